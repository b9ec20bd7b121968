-- Operators and casts.

## operators added
create type pair as (a int, b int);
=>
create function less(pair, pair) returns boolean language sql immutable as 'select $1.a < $2.a';
create operator <<< (leftarg = pair, rightarg = pair, function = less, commutator = >>>);
create operator >>> (leftarg = pair, rightarg = pair, function = less, commutator = <<<);
create view v as select (1, 2)::pair <<< (2, 3)::pair as a;

## operators dropped
:roles
create schema s;
create function less(int, int) returns boolean language sql immutable as 'select $1 < $2';
create operator s.<<< (leftarg = int, rightarg = int, function = less, commutator = operator(s.>>>), negator = operator(s.!<<<),
    restrict = scalarltsel, join = scalarltjoinsel, hashes, merges);
create operator s.>>> (leftarg = int, rightarg = int, function = less, commutator = operator(s.<<<));
create operator s.!<<< (leftarg = int, rightarg = int, function = less, negator = operator(s.<<<));
create operator s.@@@ (rightarg = bigint, function = int8abs);
create table t (a int, check (a operator(s.<<<) 3));
comment on operator s.<<< (int, int) is 'O';
comment on operator s.@@@ (none, bigint) is 'P';
alter operator s.@@@ (none, bigint) owner to reader;
=>
alter table t drop constraint t_a_check;
drop operator s.<<< (int, int);
drop operator s.>>> (int, int);
drop operator s.!<<< (int, int);
drop operator s.@@@ (none, bigint);

## one of two operators that commute dropped
create operator <<< (leftarg = int, rightarg = int, function = int4lt, commutator = >>>, negator = !<<<);
create operator >>> (leftarg = int, rightarg = int, function = int4gt, commutator = <<<);
create operator !<<< (leftarg = int, rightarg = int, function = int4ge, negator = <<<);
create operator ~~~ (leftarg = int, rightarg = int, function = int4eq, commutator = ~~~);
create view v as select 1 <<< 2 as a;
=>
drop operator >>> (int, int);
drop operator !<<< (int, int);
drop operator ~~~ (int, int);

## commutator added
create operator <<< (leftarg = int, rightarg = int, function = int4lt);
create view v as select 1 <<< 2 as a;
=>
create operator >>> (leftarg = int, rightarg = int, function = int4gt, commutator = <<<);

## operators linked [17+]
create operator <<< (leftarg = int, rightarg = int, function = int4lt);
create operator >>> (leftarg = int, rightarg = int, function = int4gt);
create view v as select 1 <<< 2 as a;
=>
alter operator <<< (int, int) set (commutator = >>>, hashes);

## operator altered and moved
:roles
create schema s;
create operator <<< (leftarg = int, rightarg = int, function = int4lt, restrict = scalarltsel);
=>
alter operator <<< (int, int) set (restrict = none, join = scalarltjoinsel);
alter operator <<< (int, int) set schema s;
alter operator s.<<< (int, int) owner to reader;
comment on operator s.<<< (int, int) is 'O';

## operator with another function
create operator <<< (leftarg = int, rightarg = int, function = int4lt);
create view v as select 1 <<< 2 as a;
=>
drop operator <<< (int, int) cascade;
create operator <<< (leftarg = int, rightarg = int, function = int4gt);
create view v as select 1 <<< 2 as a;

## function and types of an operator renamed
create type pair as (a int, b int);
create function less(pair, pair) returns boolean language sql immutable as 'select $1.a < $2.a';
create operator <<< (leftarg = pair, rightarg = pair, function = less);
create function first(pair) returns int language sql as 'select $1.a';
create cast (pair as int) with function first(pair);
=>
alter type pair rename to pairs;
alter function less rename to smaller;

## cast added
create type pair as (a int, b int);
=>
create function first(pair) returns int language sql as 'select $1.a';
create cast (pair as int) with function first(pair) as implicit;
create cast (pair as varchar) with inout;

## casts dropped
create type "Pair" as (a int, b int);
create type other as (a int, b int);
create function first("Pair") returns int language sql as 'select $1.a';
create cast ("Pair" as int) with function first("Pair");
create cast ("Pair" as varchar) with inout as implicit;
create cast (other as numeric) with inout as assignment;
create cast (bigint as timestamp) without function;
comment on cast ("Pair" as int) is 'C';
=>
drop cast ("Pair" as int);
drop cast ("Pair" as varchar);
drop type other cascade;
drop cast (bigint as timestamp);

## cast changed
create type pair as (a int, b int);
create cast (pair as varchar) with inout as implicit;
comment on cast (pair as varchar) is 'C';
=>
drop cast (pair as varchar);
create cast (pair as varchar) with inout;
