-- Indexes and statistics objects.

## index added
:shop
=>
create index orders_note on orders (note);

## index dropped
:shop
=>
drop index orders_status;

## index renamed
:shop
=>
alter index orders_status rename to orders_by_status;

## index swapped for another of its name
:shop
=>
drop index orders_status;
create index orders_status on orders (status, id);

## indexes swap names
create table t (a int, b int);
create index x on t (a);
create index y on t (b);
=>
alter index x rename to z;
alter index y rename to x;
alter index z rename to y;

## index concurrently rebuilt
:shop
=>
reindex table orders;

## index of all kinds
create table t (a text, b text, c int, j jsonb);
create unique index i on t (lower(a) collate "C" text_pattern_ops desc nulls last, b) include (c) with (fillfactor = 50) where c > 0;
create index g on t using gin (j jsonb_path_ops) with (fastupdate = off);
create index h on t using hash (b);
alter index i alter column 1 set statistics 300;
comment on index i is 'I';
=>
drop index i, g, h;

## unique index, nulls not distinct [15+]
create table t (a int);
create unique index i on t (a) nulls not distinct;
=>
drop index i;

## index options
create table t (a int);
create index i on t (a);
=>
alter index i set (fillfactor = 60);

## index statistics
create table t (a int);
create index i on t ((a + 1));
alter index i alter column 1 set statistics 7;
=>
alter index i alter column 1 set statistics 8;

## index by a function
create function f(int) returns int language sql immutable as 'select $1';
create table t (a int);
create index i on t (f(a));
=>
drop index i;
drop function f;

## index takes a table's name
create table t (a int);
create index i on t (a);
=>
alter index i rename to j;
create table i (a int);

## unique index becomes a constraint
create table t (a int);
create unique index u on t (a);
=>
alter table t add constraint u unique using index u;

## statistics object
create table t (a int, b int);
create statistics s (ndistinct) on a, b from t;
alter statistics s set statistics 50;
comment on statistics s is 'S';
=>
drop statistics s;

## statistics target
create table t (a int, b int);
create statistics s on a, b from t;
=>
alter statistics s set statistics 50;
alter statistics s rename to r;

## comment on an index added
:shop
=>
comment on index orders_status is 'I';

## comment on an index changed
:shop
comment on index orders_status is 'I';
=>
comment on index orders_status is 'J';

## index dropped and made unique
create table t (a int);
create index i on t (a);
insert into t values (1), (2);
=>
drop index i;
create unique index i on t (a);

## index made brin
create table t (a int);
create index i on t (a);
=>
drop index i;
create index i on t using brin (a) with (pages_per_range = 4);

## statistics object added
create table t (a int, b int);
=>
create statistics s (dependencies, mcv) on a, b from t;
comment on statistics s is 'S';

## statistics object on expressions
create table t (a int, b int);
create statistics s on (a + b), (a * 2) from t;
=>
drop statistics s;

## statistics object of a dropped table
:roles
create table t (a int, b int);
create statistics s (ndistinct, mcv) on a, b from t;
alter statistics s owner to reader;
comment on statistics s is 'S';
=>
drop table t;

## statistics object moved
create table t (a int, b int);
create statistics s on a, b from t;
=>
create schema x;
alter statistics s set schema x;

## comment on a statistics object
create table t (a int, b int);
create statistics s on a, b from t;
=>
comment on statistics s is 'S';
