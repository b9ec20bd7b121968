-- Views and materialized views.

## view added
:shop
=>
create view recent as select * from orders where id > 1;

## view dropped
:shop
=>
drop view order_totals;

## view replaced with a column more
:shop
=>
create or replace view order_totals as select customer_id, sum(total) as total, count(*) as n from orders group by customer_id;

## view replaced under another
:shop
create view top as select customer_id from order_totals where total > 5;
comment on view top is 'T';
create function g() returns setof top language sql as 'select * from top';
=>
create or replace view order_totals as select customer_id, max(total) as total from orders group by customer_id;

## view's columns renamed
:shop
=>
alter view order_totals rename customer_id to buyer;

## view renamed and moved
:shop
=>
create schema s;
alter view order_totals set schema s;
alter view s.order_totals rename to totals;

## view with options
create table t (a int);
create view v with (security_barrier, check_option = local) as select a from t where a > 0;
alter view v alter a set default 5;
comment on column v.a is 'A';
=>
alter view v reset (security_barrier, check_option);
alter view v alter a drop default;
comment on column v.a is null;

## view with options dropped [15+]
create table t (a int);
create view v with (security_invoker = true, check_option = cascaded) as select a from t where a > 0;
alter view v alter a set default 5;
comment on column v.a is 'A';
=>
drop view v;

## views over views over a dropped table
:shop
create view a as select * from order_totals;
create view b as select a.* from a join customers c on c.id = a.customer_id;
=>
drop table orders cascade;

## recursive view
create table t (a int, p int);
create recursive view v (a) as select a from t where p is null union all select t.a from t join v on t.p = v.a;
=>
drop view v;

## view over a function
create function f(int) returns int language sql as 'select $1';
create view v as select f(1) as one;
=>
drop view v;
drop function f;
create function f(int) returns text language sql as 'select $1::text';
create view v as select f(1) as one;

## view grouped by the primary key
create table t (a int primary key, b text);
create view v as select a, b from t group by a;
=>
drop view v;
alter table t drop constraint t_pkey;

## view on renamed columns made again
:shop
=>
drop view order_totals;
alter table orders rename total to amount;
create view order_totals as select customer_id, sum(amount) as total from orders group by customer_id;

## view without columns
create view v as select;
=>
drop view v;

## materialized view
:shop
create materialized view m with (fillfactor = 70) as select * from order_totals;
create unique index m_c on m (customer_id);
comment on column m.total is 'sum';
=>
drop materialized view m;

## materialized view not populated
create table t (a int);
create materialized view m as select a from t with no data;
=>
drop table t cascade;

## materialized view's index
create table t (a int);
create materialized view m as select a from t;
create index m_a on m (a);
=>
drop index m_a;

## materialized view renamed
create table t (a int);
create materialized view m as select a from t;
=>
alter materialized view m rename to n;
alter materialized view n rename a to b;

## comment on a view
:shop
comment on view order_totals is 'V';
=>
comment on view order_totals is 'W';
comment on column order_totals.total is 'T';

## view's grants
:shop
:roles
grant select on order_totals to reader;
=>
revoke select on order_totals from reader;
grant insert on order_totals to "The Writer" with grant option;

## view's grants when it is made again
:shop
:roles
grant select on order_totals to reader;
alter view order_totals owner to "The Writer";
comment on column order_totals.total is 'T';
=>
drop view order_totals;
create view order_totals as select id, total from orders;

## materialized view added
:shop
=>
create materialized view m as select * from orders;
create index m_id on m (id);

## materialized view's comment and grants
:shop
:roles
create materialized view m as select * from orders;
comment on materialized view m is 'M';
grant select on m to reader;
=>
comment on materialized view m is null;
revoke select on m from reader;
grant select (id) on m to "The Writer";

## materialized view refreshed
:shop
create materialized view m as select count(*) from orders;
=>
delete from orders where id = 1;
refresh materialized view m;

## materialized view of a table made anew
:shop
create materialized view m as select id from orders;
create unique index m_id on m (id);
=>
drop table orders cascade;
create table orders (id int primary key);
