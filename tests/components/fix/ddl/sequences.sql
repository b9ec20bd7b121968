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

## sequence unlogged [15+]
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

## comment on a sequence
create sequence s;
comment on sequence s is 'S';
=>
comment on sequence s is 'R';

## sequence's grants
:roles
create sequence s;
grant usage on sequence s to reader;
=>
revoke usage on sequence s from reader;
grant select, update on sequence s to "The Writer" with grant option;

## sequence's owner
:roles
create sequence s;
alter sequence s owner to reader;
=>
alter sequence s owner to current_user;

## sequence moved
create sequence s;
create table t (a int default nextval('s'));
=>
create schema x;
alter sequence s set schema x;

## sequence that has counted dropped
create sequence s increment 10;
select nextval('s'), nextval('s');
=>
drop sequence s;

## sequence that counts down dropped
create sequence s increment -3 start 100 minvalue -1000 maxvalue 100;
select nextval('s'), nextval('s');
=>
drop sequence s;

## sequence set back
create sequence s;
select setval('s', 50);
=>
select setval('s', 10, false);

## sequence owned by none
create table t (a int);
create sequence s owned by t.a;
=>
alter sequence s owned by none;
