-- Columns that get another type, and types themselves.

## integer to bigint
create table t (a int primary key, b int default 5);
=>
alter table t alter a type bigint, alter b type bigint;

## key of a foreign key to bigint
:shop
=>
drop view order_totals;
alter table customers alter id type bigint;
alter table orders alter customer_id type bigint;

## serial to bigint with its sequence
create table t (a serial primary key);
=>
alter table t alter a type bigint;
alter sequence t_a_seq as bigint;

## varchar to text
:shop
=>
alter table customers alter name type text;

## varchar widened under a view
create table t (a varchar(10));
insert into t values ('x');
create view v as select a from t;
=>
drop view v;
alter table t alter a type varchar(20);
create view v as select a from t;

## varchar widened
create table t (a varchar(10) check (a <> 'x'));
create index t_a on t (a varchar_pattern_ops) where a <> 'y';
=>
alter table t alter a type varchar(200);

## text to integer
create table t (a text default '1');
insert into t values ('12');
=>
alter table t alter a drop default;
alter table t alter a type integer using a::integer;

## numeric narrowed
:shop
=>
drop view order_totals;
alter table orders alter total type numeric(10,2);

## check on a converted column
create table t (a int default 3 check (a > 0), b int, unique (a, b));
=>
alter table t alter a type numeric(20);

## boolean to integer
create table t (a boolean default false);
insert into t values (true), (null);
=>
alter table t alter a drop default;
alter table t alter a type int using a::int;
alter table t alter a set default 0;

## timestamp to timestamptz
create table t (a timestamp default now());
insert into t default values;
=>
alter table t alter a type timestamptz;

## json to jsonb
create table t (a json);
insert into t values ('{}');
=>
alter table t alter a type jsonb;

## integer array
create table t (a int[] default '{1}');
insert into t default values;
=>
alter table t alter a type bigint[];

## converted under index, trigger, policy, statistics
create table t (a int, b int);
create index t_a on t (a) where a > 5;
create statistics s on a, b from t;
:trigger
create trigger tr before update of a on t for each row when (new.a > 1) execute function f();
alter table t disable trigger tr;
create policy p on t using (a > 1);
create view v as select a from t;
create materialized view m as select a, b from t;
create index m_a on m (a);
=>
drop view v;
drop materialized view m;
drop trigger tr on t;
drop policy p on t;
alter table t alter a type bigint;
create view v as select a from t;
create policy p on t using (a > 1);

## converted and renamed
create table t (a int check (a > 0) unique, b text);
=>
alter table t alter a type bigint;
alter table t rename a to c;
alter table t rename to u;

## enum from text
create table t (a text default 'x');
insert into t values ('x');
=>
create type e as enum ('x', 'y');
alter table t alter a drop default;
alter table t alter a type e using a::e;
alter table t alter a set default 'y';

## enum to text
create type e as enum ('x', 'y');
create table t (a e default 'x', b e[]);
=>
alter table t alter a drop default;
alter table t alter a type text, alter b type text[];
drop type e;

## enum label added
create type e as enum ('x', 'y');
create table t (a e default 'x' not null, b e[] default '{x}');
create index t_a on t (a);
insert into t values ('x'), ('y');
=>
alter type e add value 'z';

## enum label added, type used in function and view
create type e as enum ('x', 'y');
create table t (a e);
create view v as select a from t where a = 'x';
create function f(e) returns e language sql as 'select $1';
=>
alter type e add value 'w' before 'x';

## enum label renamed
create type e as enum ('x', 'y');
create table t (a e);
=>
alter type e rename value 'x' to 'z';

## enum labels swapped
create type e as enum ('x', 'y');
create table t (a e);
=>
alter type e rename value 'x' to 't';
alter type e rename value 'y' to 'x';
alter type e rename value 't' to 'y';

## enum swapped as Alembic does
create type e as enum ('x', 'y');
create table t (a e default 'x');
insert into t values ('y');
=>
alter type e rename to e_old;
create type e as enum ('x', 'y', 'z');
alter table t alter a drop default;
alter table t alter a type e using a::text::e;
alter table t alter a set default 'x';
drop type e_old;

## enum renamed
create type e as enum ('x');
create table t (a e default 'x');
=>
alter type e rename to f;

## enum dropped
create type e as enum ('x', 'it''s');
comment on type e is 'E';
=>
drop type e;

## domain changed
create domain d as int default 3 not null check (value > 0);
create table t (a d);
=>
alter domain d drop constraint d_check;
alter domain d drop default;
alter domain d drop not null;
alter domain d add constraint small check (value < 9);

## domain dropped
create domain d as varchar(9) collate "C" constraint c check (value <> 'x') constraint n not null;
create table t (a d, b d[]);
=>
alter table t drop a, drop b;
drop domain d;

## domain renamed and moved
create domain d as int;
create table t (a d);
=>
create schema s;
alter domain d set schema s;
alter domain s.d rename to e;

## composite type changed
create type c as (x int, y text);
create function f(c) returns int language sql as 'select ($1).x';
create table t (a c);
=>
drop table t;
alter type c add attribute z int;

## composite type dropped
create type c as (x int, "Y z" text collate "C");
create table t (a c);
=>
drop table t;
drop type c;

## range type dropped
create type r as range (subtype = float8, subtype_diff = float8mi);
create table t (a r);
=>
drop table t;
drop type r;

## enum added
=>
create type e as enum ('x', 'y');
create table t (a e);

## enum moved to another schema
create type e as enum ('x', 'y');
create table t (a e);
=>
create schema s;
alter type e set schema s;

## comment on an enum
create type e as enum ('x');
comment on type e is 'E';
=>
comment on type e is 'F';

## grants on an enum
:roles
create type e as enum ('x');
grant usage on type e to reader with grant option;
revoke usage on type e from public;
=>
grant usage on type e to public;
revoke usage on type e from reader;

## owner of an enum
:roles
create type e as enum ('x');
alter type e owner to reader;
=>
alter type e owner to current_user;

## domain added
=>
create domain d as int check (value > 0);
create table t (a d);

## domain's constraint renamed
create domain d as int constraint c check (value > 0);
create table t (a d);
=>
alter domain d rename constraint c to e;

## domain's constraint not valid
create domain d as int;
create table t (a d);
insert into t values (-1);
alter domain d add constraint c check (value > 0) not valid;
=>
alter domain d drop constraint c;

## comments on the constraints of a domain
create domain d as int constraint a check (value > 0) constraint b check (value < 9) constraint n not null;
create domain e as int constraint c check (value <> 3);
create domain f as int constraint g check (value <> 3);
create table t (d d, e e);
comment on constraint a on domain d is 'A';
comment on constraint b on domain d is 'B''s';
comment on constraint c on domain e is 'C';
comment on constraint g on domain f is 'G';
=>
comment on constraint a on domain d is 'other';
alter domain d drop constraint b;
alter domain e rename constraint c to cc;
comment on constraint cc on domain e is null;
drop domain f;

## comment on a domain's NOT NULL [17+]
create domain d as int constraint n not null;
comment on constraint n on domain d is 'N';
=>
alter domain d drop not null;

## comment and grants on a domain
:roles
create domain d as int;
comment on domain d is 'D';
grant usage on domain d to reader;
=>
comment on domain d is null;
revoke usage on domain d from reader, public;

## composite type added
=>
create type c as (x int, y text);
create table t (a c);

## composite type's attribute renamed
create type c as (x int, y text);
create table t (a c);
insert into t values ((1, 'y'));
=>
alter type c rename attribute x to z;

## composite type renamed and moved
create type c as (x int);
create table t (a c);
=>
create schema s;
alter type c rename to d;
alter type d set schema s;

## comment and grants on a composite type
:roles
create type c as (x int);
comment on type c is 'C';
=>
comment on type c is 'D';
revoke usage on type c from public;
grant usage on type c to reader;

## range type added
=>
create type r as range (subtype = int);
create table t (a r);

## range type renamed
create type r as range (subtype = int);
create table t (a r);
insert into t values ('[1,2)');
=>
alter type r rename to q;

## comment and grants on a range type
:roles
create type r as range (subtype = int);
comment on type r is 'R';
=>
comment on type r is null;
revoke usage on type r from public;
grant usage on type r to reader;
