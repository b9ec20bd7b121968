-- Tables as a whole.

## nothing
:shop
=>

## table added
:shop
=>
create table extra (id serial primary key, order_id bigint references orders);

## table dropped
:shop
=>
drop table orders cascade;

## tables dropped with their keys
:shop
=>
drop table orders, customers cascade;

## table renamed
:shop
=>
alter table orders rename to purchases;

## tables swapped
:shop
=>
alter table orders rename to t;
alter table customers rename to orders;
alter table t rename to customers;

## rename through a temporary name
:shop
=>
alter table orders rename to tmp;
alter table tmp rename to purchases;

## new table takes the old name
:shop
=>
alter table orders rename to orders_old;
create table orders (like orders_old including all);

## dropped and made again
:shop
=>
drop table orders cascade;
create table orders (id bigint primary key, total numeric(10,2));

## copied and swapped
:shop
=>
create table orders_new (like orders including all);
insert into orders_new select * from orders;
drop view order_totals;
drop table orders;
alter table orders_new rename to orders;
create view order_totals as select customer_id, sum(total) as total from orders group by customer_id;

## moved to another schema
:shop
=>
create schema archive;
alter table orders set schema archive;

## moved and renamed
:shop
=>
create schema archive;
alter table orders set schema archive;
alter table archive.orders rename to old;

## moved with its serial
:shop
=>
create schema archive;
alter table customers set schema archive;

## schema renamed
create schema a;
create table a.t (id serial primary key);
create view a.v as select * from a.t;
=>
alter schema a rename to b;

## schema dropped
create schema a;
create table a.t (id serial primary key);
=>
drop schema a cascade;

## schemas swapped
create schema a;
create schema b;
create table a.t (a int);
create table b.t (b int);
=>
alter schema a rename to c;
alter schema b rename to a;
alter schema c rename to b;

## unlogged
:shop
=>
alter table orders set unlogged;

## logged
create unlogged table t (a int primary key);
=>
alter table t set logged;

## storage parameters
create table t (a text) with (fillfactor = 70, toast.autovacuum_enabled = false);
=>
alter table t set (fillfactor = 80, autovacuum_enabled = false);
alter table t reset (toast.autovacuum_enabled);

## table with storage parameters dropped
create table t (a text) with (fillfactor = 70, toast.autovacuum_enabled = false);
=>
drop table t;

## replica identity full
:shop
=>
alter table orders replica identity full;

## replica identity by index
create table t (a int not null);
create unique index t_a on t (a);
alter table t replica identity using index t_a;
=>
alter table t replica identity nothing;

## clustered
:shop
=>
alter table orders cluster on orders_status;

## unclustered
:shop
alter table orders cluster on orders_pkey;
=>
alter table orders set without cluster;

## inheritance added
create table p (a int);
create table c (a int, b int);
=>
alter table c inherit p;

## child dropped
create table p (a int not null, x int check (x > 0));
create table c (b int) inherits (p);
=>
drop table c;

## parent's column dropped
create table p (a int, x int);
create table c (b int) inherits (p);
=>
alter table p drop column x;

## table without columns
create table t ();
insert into t default values;
insert into t default values;
=>
drop table t;

## table with nothing but a generated column
create table t (a int generated always as (1) stored);
insert into t default values;
=>
drop table t;

## table without columns that gets one
create table t ();
=>
alter table t add a int;

## comment on a table added
:shop
=>
comment on table orders is 'Orders';

## comment on a table changed
:shop
comment on table orders is 'Orders';
=>
comment on table orders is 'Purchases';

## comment on a table taken away
:shop
comment on table orders is 'it''s \ "so"';
=>
comment on table orders is null;

## schema added
=>
create schema a;
create table a.t (id serial primary key);
comment on schema a is 'A';

## comment on a schema
create schema a;
=>
comment on schema a is 'A';

## table moved to a schema that the migration made, and its sequence elsewhere
create sequence s;
create table t (id int default nextval('s'));
=>
create schema a;
create schema b;
alter table t set schema a;
alter sequence s set schema b;

## inheritance taken away
create table p (a int not null);
create table c (a int not null, b int) inherits (p);
insert into c values (1);
=>
alter table c no inherit p;
alter table c alter a drop not null;
