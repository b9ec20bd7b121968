-- Owners, privileges, default privileges.

## grants changed
:shop
:roles
grant select, insert on orders to reader;
grant update (note) on orders to "The Writer" with grant option;
=>
revoke insert on orders from reader;
grant delete on orders to public;
revoke update (note) on orders from "The Writer";
grant select (id) on orders to reader;

## grants of what is dropped
:shop
:roles
grant select on orders to reader;
grant update (note) on orders to "The Writer" with grant option;
grant select on order_totals to reader;
grant usage on sequence customers_id_seq to reader;
=>
drop table orders, customers cascade;

## owner's own privileges
:shop
revoke delete on orders from current_user;
=>
grant delete on orders to current_user;

## owner's own privileges of a dropped table
:shop
revoke delete on orders from current_user;
=>
drop table orders cascade;

## owners
:shop
:roles
alter table orders owner to reader;
alter view order_totals owner to "The Writer";
create function f() returns int language sql as 'select 1';
alter function f owner to reader;
=>
alter table orders owner to current_user;
drop view order_totals;
drop function f;

## owner of a dropped table
:empty_shop
:roles
alter table customers owner to reader;
grant select on customers to "The Writer";
=>
drop table customers cascade;

## function execute revoked
:roles
create function f() returns int language sql as 'select 1';
revoke execute on function f from public;
grant execute on function f to reader;
=>
grant execute on function f to public;
revoke execute on function f from reader;

## schema grants
:roles
create schema s;
grant usage on schema s to reader;
=>
revoke usage on schema s from reader;
grant create on schema s to public;
alter schema s owner to reader;

## schema dropped with owner
:roles
create schema s authorization reader;
grant usage on schema s to public;
comment on schema s is 'S';
=>
drop schema s;

## type grants
:roles
create type e as enum ('a');
revoke usage on type e from public;
create domain d as int;
grant usage on domain d to reader;
=>
drop type e;
drop domain d;

## default privileges
:roles
alter default privileges in schema public grant select on tables to reader;
create table t (a int);
=>
alter default privileges in schema public revoke select on tables from reader;
alter default privileges grant insert on tables to "The Writer";
drop table t;

## default privileges hit what comes back
:roles
create table t (a serial);
create view v as select a from t;
create function f() returns int language sql as 'select 1';
=>
alter default privileges grant select on tables to reader;
alter default privileges in schema public grant select on sequences to public;
alter default privileges revoke execute on functions from public;
drop table t cascade;
drop function f;

## view column grants
:shop
:roles
grant select (total) on order_totals to reader;
=>
drop view order_totals;

## table grants with grant option
:shop
:roles
grant select, update on orders to reader with grant option;
=>
revoke grant option for select on orders from reader;
grant truncate, references, trigger on orders to reader;

## everything granted to everybody
:shop
:roles
=>
grant all on orders, customers to public;
grant all on all sequences in schema public to reader;

## default privileges added
:roles
=>
alter default privileges grant select on tables to reader;
alter default privileges in schema public grant execute on functions to reader;

## default privileges taken away
:roles
alter default privileges grant select on tables to reader;
alter default privileges in schema public grant usage on types to "The Writer" with grant option;
=>
alter default privileges revoke select on tables from reader;
alter default privileges in schema public revoke usage on types from "The Writer";

## default privileges of another role
:roles
alter default privileges for role reader grant select on tables to "The Writer";
=>
alter default privileges for role reader revoke select on tables from "The Writer";
alter default privileges for role "The Writer" grant usage on schemas to reader;

## default privileges of a schema that is dropped
:roles
create schema s;
alter default privileges in schema s grant select on tables to reader;
=>
drop schema s;

## granted roles keep what was granted through them
:roles
create table t (a int);
alter table t owner to reader;
grant select on t to "The Writer" with grant option;
=>
revoke all on t from "The Writer";
revoke insert on t from reader;
