-- Tables of a composite type.

## typed table dropped
create type pair as (a int, b text);
create table t of pair (a primary key, b with options default 'x' not null);
insert into t values (1, 'y');
=>
drop table t;
drop type pair;

## typed table added
create type pair as (a int, b text);
=>
create table t of pair;

## table made typed and untyped
create type pair as (a int, b text);
create table t of pair;
create table u (a int, b text);
=>
alter table t not of;
alter table t add c int;
alter table u of pair;

## type of a typed table changed
create type pair as (a int, b text, c varchar(9));
create table t of pair (a primary key);
insert into t values (1, 'y');
=>
alter type pair add attribute d int cascade;
alter type pair rename attribute b to e cascade;
alter type pair alter attribute c type text cascade;

## last attribute of a typed table dropped
create type pair as (a int, b text);
create table t of pair;
=>
alter type pair drop attribute b cascade;

## type of a typed table renamed and moved
create type pair as (a int, b text);
create table t of pair;
=>
create schema s;
alter type pair rename to couple;
alter type couple set schema s;

## typed table changed otherwise
create type pair as (a int, b text);
create table t of pair;
=>
alter table t add check (a > 0), alter b set default 'x', alter a set not null;
alter table t rename to u;
