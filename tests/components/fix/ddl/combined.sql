-- Several changes at once, as real migrations make them.

## columns added in a batch, Alembic style
:shop
=>
alter table orders add column currency varchar(3);
update orders set currency = 'EUR';
alter table orders alter column currency set not null;
alter table orders add column paid_at timestamp without time zone;
create index ix_orders_paid_at on orders (paid_at);
create table payments (id serial not null, order_id bigint not null, amount numeric(12, 2), primary key (id), constraint fk_payments_order foreign key (order_id) references orders (id) on delete cascade);
alter table payments add constraint uq_payment unique (order_id, amount);
create index ix_payments_order on payments (order_id);

## table, column, index, sequence renamed
:shop
=>
alter table customers rename to clients;
alter table clients rename column name to full_name;
alter table orders rename column customer_id to client_id;
alter sequence customers_id_seq rename to clients_id_seq;
alter index orders_status rename to ix_orders_status;
alter table clients rename constraint customers_pkey to clients_pkey;
alter table orders rename constraint orders_customer_id_fkey to fk_client;

## keys made wider with everything around
:shop
=>
drop view order_totals;
alter table orders drop constraint orders_customer_id_fkey;
alter table customers alter id type bigint;
alter table orders alter customer_id type bigint;
alter table orders add constraint orders_customer_id_fkey foreign key (customer_id) references customers on delete restrict;
alter sequence customers_id_seq as bigint;
create view order_totals as select customer_id, sum(total) as total from orders group by customer_id;

## primary key changed from number to text
:shop
=>
alter table orders drop constraint orders_customer_id_fkey;
alter table customers drop constraint customers_pkey;
alter table customers add column slug text;
update customers set slug = id::text;
alter table customers alter slug set not null, add primary key (slug);

## unique constraints swapped
:shop
=>
alter table customers drop constraint customers_email_key;
alter table customers add constraint uq_name unique (name);
create unique index uq_email on customers (lower(email));

## table split in two
:shop
=>
create table emails (customer_id int primary key references customers, email text not null unique);
insert into emails select id, coalesce(email, id::text) from customers;
alter table customers drop column email;

## tables merged
:shop
=>
create table sales as select o.id, c.name from orders o join customers c on c.id = o.customer_id;
alter table sales add primary key (id);

## Boolean flag to state
:shop
alter table orders add done boolean default false not null;
=>
create type state as enum ('open', 'done');
alter table orders add state state;
update orders set state = case when done then 'done'::state else 'open' end;
alter table orders alter state set not null, alter state set default 'open';
create index on orders (state) where state = 'open';

## renamed, converted, moved, replaced
:shop
=>
create schema sales;
alter table orders set schema sales;
alter table sales.orders rename to purchases;
alter table sales.purchases rename status to state;
alter table sales.purchases alter state type varchar(20);
drop view order_totals;
alter table sales.purchases alter total type numeric(20, 4);
create table orders (id int);
create view order_totals as select id from orders;

## everything in a schema dropped
create schema s;
set search_path = s;
:empty_shop
:trigger
create trigger tr before insert on orders for each row execute function f();
create type e as enum ('a');
create table x (e e);
reset search_path;
=>
drop schema s cascade;

## row security, trigger, comment, grant at once
:shop
:trigger
:roles
=>
create trigger tr before insert on orders for each row execute function f();
alter table orders enable row level security;
create policy p on orders using (true);
comment on table orders is 'new';
grant all on orders to reader;
alter table orders rename to o;

## published table dropped, column converted [15+]
create table t (a int primary key, b int, c text);
create table u (a int primary key);
create publication p for table t (a, b) where (a > 0), u;
=>
drop table u;
alter publication p drop table t;
alter table t alter b type bigint;
alter publication p add table t;
