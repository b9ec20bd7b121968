-- Foreign-data wrappers, servers, user mappings, foreign tables.

## foreign data added
=>
create foreign data wrapper w;
create server s foreign data wrapper w options (host 'a', password 'secret');
create user mapping for public server s options (user 'u', password 'secret');
create foreign table f (a int options (secret 'x'), b text) server s;
create view v as select a from f;

## foreign data dropped
:roles
create extension file_fdw;
create foreign data wrapper "W" handler file_fdw_handler;
create foreign data wrapper x validator postgresql_fdw_validator;
create server "S" type 'postgres' version '18''s' foreign data wrapper "W" options (host 'a''s', dbname 'd', fetch_size '5');
create server t foreign data wrapper file_fdw;
create user mapping for public server "S" options (user 'u');
create user mapping for "The Writer" server "S";
create foreign table "F" (a int options (column_name 'A''s') not null default 3, "B" text collate "C",
    g int generated always as (a * 2) stored, constraint positive check (a > 0))
    server "S" options (schema_name 's', table_name 't');
create foreign table g (a int) server t options (filename '/dev/null');
:trigger
create trigger tr before insert on "F" for each row execute function f();
alter table "F" disable trigger tr;
create view v as select a from "F";
comment on foreign data wrapper "W" is 'W';
comment on server "S" is 'S';
comment on foreign table "F" is 'F';
comment on column "F"."B" is 'B';
alter server "S" owner to reader;
grant usage on foreign server "S" to "The Writer" with grant option;
grant usage on foreign data wrapper "W" to reader;
alter foreign table "F" owner to reader;
grant select on "F" to "The Writer";
=>
drop foreign table "F" cascade;
drop server "S" cascade;
drop foreign data wrapper "W";
drop foreign data wrapper x;
drop server t cascade;

## foreign data altered
:roles
create extension file_fdw;
create foreign data wrapper w handler file_fdw_handler validator postgresql_fdw_validator;
create server s version '1' foreign data wrapper w options (host 'a', dbname 'd');
create server t foreign data wrapper file_fdw;
create foreign data wrapper plain;
create server plain foreign data wrapper plain;
create user mapping for reader server s options (user 'u');
create foreign table f (a int options (column_name 'x') not null, b text default 'b', constraint positive check (a > 0)) server plain options (table_name 't');
=>
alter foreign data wrapper w no handler no validator;
alter foreign data wrapper w options (debug 'true');
alter foreign data wrapper w rename to x;
alter server s version '2' options (set host 'b', drop dbname, add port '1');
alter server s rename to u;
alter server t version '3';
alter server t owner to reader;
alter user mapping for reader server u options (drop user);
alter foreign table f options (drop table_name, add schema_name 's');
alter foreign table f alter a options (set column_name 'y'), alter b options (add column_name 'z'), alter a drop not null,
    alter b drop default, alter b type varchar(9), drop constraint positive, add c int;
alter foreign table f rename a to d;
alter foreign table f rename to g;

## foreign table's column dropped
create foreign data wrapper w;
create server s foreign data wrapper w;
create foreign table f (a int, b text options (width '3') default 'x' not null, c int) server s;
alter foreign table f add check (c > 0) not valid;
create view v as select b from f;
=>
alter foreign table f drop b cascade, drop c;

## foreign table in the place of a table
create foreign data wrapper w;
create server s foreign data wrapper w;
create foreign table f (a int) server s;
create table t (a int);
=>
drop foreign table f;
drop table t;
create table f (a int);
create foreign table t (a int) server s;

## foreign partitions and children
create foreign data wrapper w;
create server s foreign data wrapper w;
create table p (id int not null, day date not null, check (id > 0)) partition by range (day);
create foreign table p1 partition of p for values from ('2025-01-01') to ('2026-01-01') server s options (name 'p1');
create foreign table p2 partition of p for values from ('2026-01-01') to ('2027-01-01') server s;
create table q (a int);
create foreign table q1 (b int) inherits (q) server s;
=>
drop foreign table p1;
alter table p detach partition p2;
drop foreign table q1;
alter table p add x int;

## secrets that stay
:roles
create foreign data wrapper w options (hidden 'h');
create server s foreign data wrapper w options (host 'a', password 'secret');
create user mapping for reader server s options (user 'u', password 'secret');
create foreign table f (a int options (token 'x')) server s options (secret 'y');
=>
alter server s options (set host 'b', add token 'z');
alter server s rename to t;
alter user mapping for reader server t options (drop user);
alter foreign table f options (name 'n');
