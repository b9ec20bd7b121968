-- Sequences.

## sequence added
=>
create sequence s;

## sequence dropped
create sequence s as smallint increment 2 minvalue -5 maxvalue 99 start 3 cache 4 cycle;
comment on sequence s is 'S';
=>
drop sequence s;

## sequence changed
create sequence s;
=>
alter sequence s as int increment 5 minvalue 1 maxvalue 50 start 7 cache 2 cycle;

## sequence renamed
create sequence s;
create table t (a int default nextval('s'));
=>
alter sequence s rename to r;

## sequence owner column changed
create table t (a int, b int);
create sequence s owned by t.a;
=>
alter sequence s owned by t.b;

## sequence owned by a new column
create table t (a int);
create sequence s;
=>
alter table t add b int;
alter sequence s owned by t.b;

## sequence unlogged
create sequence s;
=>
alter sequence s set unlogged;

## identity sequence renamed
create table t (a int generated always as identity);
=>
alter sequence t_a_seq rename to ids;
grant select on sequence ids to public;

## table dropped with its serial
:empty_shop
=>
drop table customers cascade;
