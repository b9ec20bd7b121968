-- Functions and procedures.

## function added
=>
create function f(int) returns int language sql as 'select 1';

## function dropped
create function f(a int default 3, variadic b text[] default '{}', out c int) language plpgsql immutable strict parallel safe cost 5 set search_path = pg_temp as 'begin c := 1;
end';
comment on function f is 'F';
=>
drop function f;

## function replaced
create function f() returns int language sql as 'select 1';
create view v as select f() as a;
=>
create or replace function f() returns int language sql stable as 'select 2';

## function with another result
create function f() returns int language sql as 'select 1';
create view v as select f() as a;
=>
drop function f cascade;
create function f() returns text language sql as 'select ''x''';
create view v as select f() as a;

## function with another argument name
create function f(a int) returns int language sql as 'select 1';
=>
drop function f;
create function f(b int) returns int language sql as 'select 1';

## functions overloaded
create function f(int) returns int language sql as 'select 1';
create function f(text) returns int language sql as 'select 2';
=>
drop function f(int);
create function f(bigint) returns int language sql as 'select 3';

## function renamed and moved
create function f(a int) returns int language sql as 'select 1';
=>
create schema s;
alter function f(int) set schema s;
alter function s.f(int) rename to g;

## function with a body in SQL
create table t (a int);
create function f() returns bigint begin atomic select count(a) from t;
end;
=>
drop function f;
alter table t drop a;

## function of a renamed table
create table t (a int);
create function f(t) returns int language sql as 'select ($1).a';
=>
alter table t rename to u;

## function of a dropped table
create table t (a int);
create function f() returns setof t language sql as 'select * from t';
=>
drop table t cascade;

## procedure
create procedure p(inout a int) language sql as 'select 1';
comment on procedure p is 'P';
revoke execute on procedure p from public;
=>
drop procedure p;

## window function by SQL, set-returning
create function f(int) returns table (a int, b text) language sql rows 7 as 'select 1, ''x''';
=>
drop function f;

## default calls a function on a table that comes back
create table s (a int);
create function f() returns bigint begin atomic select count(a) from s;
end;
create table t (a int default f());
=>
drop table s, t cascade;

## generated column by a function with another result
create function twice(int) returns int language sql immutable as 'select $1 * 2';
create table t (a int, b int generated always as (twice(a)) stored);
=>
alter table t drop b;
drop function twice;
create function twice(int) returns bigint language sql immutable as 'select $1 * 2';
alter table t add b bigint generated always as (twice(a)) stored;

## comment on a function
create function f() returns int language sql as 'select 1';
comment on function f is 'F';
=>
comment on function f is 'G';

## function's owner
:roles
create function f() returns int language sql as 'select 1';
alter function f owner to reader;
=>
alter function f owner to current_user;

## function's options
create function f(int) returns int language sql as 'select $1';
=>
alter function f(int) immutable strict leakproof security definer parallel safe cost 7 set work_mem = '8MB';

## procedure added
=>
create procedure p() language sql as 'select 1';

## procedure replaced
create procedure p(a int) language sql as 'select 1';
=>
create or replace procedure p(a int) language plpgsql as 'begin null; end';

## procedure renamed, with grants and a comment
:roles
create procedure p() language sql as 'select 1';
grant execute on procedure p to reader;
comment on procedure p is 'P';
=>
alter procedure p rename to q;
revoke execute on procedure q from reader;
comment on procedure q is null;
