-- Constraints.

## primary key dropped
create table t (a int primary key, b int);
=>
alter table t drop constraint t_pkey;

## primary key moved to another column
:shop
=>
alter table orders drop constraint orders_pkey, add column uid uuid primary key default gen_random_uuid();

## primary key added
create table t (a int, b int);
insert into t values (1, 2);
=>
alter table t add primary key (a);

## primary key made composite
:shop
=>
alter table orders drop constraint orders_pkey;
alter table orders add primary key (id, customer_id);

## referenced primary key replaced
:shop
=>
alter table orders drop constraint orders_customer_id_fkey;
alter table customers drop constraint customers_pkey;
alter table customers add constraint customers_pk primary key (id);
alter table orders add foreign key (customer_id) references customers;

## primary key renamed
:shop
=>
alter table orders rename constraint orders_pkey to purchases_pkey;

## primary keys swap names
create table t (a int constraint x primary key);
create table u (a int constraint y primary key);
=>
alter table t rename constraint x to z;
alter table u rename constraint y to x;
alter table t rename constraint z to y;

## unique added, dropped
:shop
=>
alter table customers drop constraint customers_email_key, add constraint name_once unique (name, email);

## unique nulls not distinct [15+]
create table t (a int, b int, constraint u unique nulls not distinct (a) include (b) deferrable initially deferred);
=>
alter table t drop constraint u;

## unique swapped for another of its name
create table t (a int, b int, constraint u unique (a));
=>
alter table t drop constraint u, add constraint u unique (b);

## unique with storage parameter
create table t (a int, constraint u unique (a) with (fillfactor = 60));
=>
alter table t drop constraint u;

## unique's storage parameter
create table t (a int constraint u unique);
=>
alter index u set (fillfactor = 60);

## check added
:shop
=>
alter table orders add constraint known check (status in ('new', 'done'));

## check dropped
:shop
=>
alter table orders drop constraint total_positive;

## check changed
:shop
=>
alter table orders drop constraint total_positive, add constraint total_positive check (total >= -1);

## check renamed
:shop
=>
alter table orders rename constraint total_positive to sane;

## check not valid dropped
create table t (a int);
insert into t values (-1);
alter table t add constraint c check (a > 0) not valid;
=>
alter table t drop constraint c;

## check not valid of a dropped table
create table t (a int);
alter table t add constraint c check (a > 0) not valid;
=>
drop table t;

## not null not valid of a dropped table [18+]
create table t (a int);
alter table t add constraint n not null a not valid;
=>
drop table t;

## check validated
create table t (a int);
alter table t add constraint c check (a > 0) not valid;
=>
alter table t validate constraint c;

## check not enforced [18+]
create table t (a int, constraint c check (a > 0) not enforced);
=>
alter table t drop constraint c;

## check no inherit
create table t (a int, constraint c check (a > 0) no inherit);
=>
alter table t drop constraint c;

## foreign key dropped
:shop
=>
alter table orders drop constraint orders_customer_id_fkey;

## foreign key rule changed
:shop
=>
alter table orders drop constraint orders_customer_id_fkey, add constraint orders_customer_id_fkey foreign key (customer_id) references customers on delete set null;

## foreign key deferrable
:shop
=>
alter table orders alter constraint orders_customer_id_fkey deferrable initially deferred;

## foreign key renamed
:shop
=>
alter table orders rename constraint orders_customer_id_fkey to buyer;

## foreign key not valid dropped
create table p (a int primary key);
create table c (a int);
insert into c values (1);
alter table c add constraint f foreign key (a) references p not valid;
=>
alter table c drop constraint f;

## foreign key validated
create table p (a int primary key);
create table c (a int);
alter table c add constraint f foreign key (a) references p not valid;
=>
alter table c validate constraint f;

## foreign key of all kinds
create table p (a int, b int, unique (a, b));
create table c (x int, y int, constraint f foreign key (x, y) references p (a, b) match full on update cascade on delete set default deferrable initially deferred);
=>
alter table c drop constraint f;

## foreign key to itself
create table n (id int primary key, parent int references n);
insert into n values (1, 1);
=>
drop table n;

## foreign key cycle
create table a (id int primary key, b int);
create table b (id int primary key, a int references a);
alter table a add foreign key (b) references b;
=>
drop table a, b;

## foreign key cycle added
create table a (id int primary key, b int);
=>
create table b (id int primary key, a int references a);
alter table a add foreign key (b) references b;

## foreign key references a renamed table
:shop
=>
alter table customers rename to clients;
alter table clients rename id to client_id;
alter table orders drop constraint orders_customer_id_fkey;

## exclusion
create table t (a int4range, exclude using gist (a with &&) where (a is not null));
=>
alter table t drop constraint t_a_excl;

## comment on a constraint
create table t (a int constraint c check (a > 0));
comment on constraint c on t is 'C';
=>
alter table t drop constraint c;

## check by a function
create function ok(int) returns boolean language sql immutable as 'select $1 > 0';
create table t (a int check (ok(a)));
=>
alter table t drop constraint t_a_check;
drop function ok;

## check by a function that changes
create function ok(int) returns boolean language sql immutable as 'select $1 > 0';
create table t (a int check (ok(a)), b int generated always as (a + 1) stored);
=>
drop function ok cascade;
create function ok(a int, b int default 1) returns boolean language sql immutable as 'select a > b';
alter table t add check (ok(a));

## not null of a table dropped with comment [18+]
create table t (a int constraint filled not null);
comment on constraint filled on t is 'F';
=>
drop table t;

## not null no inherit [18+]
create table t (a int, constraint filled not null a no inherit);
=>
alter table t alter constraint filled inherit;

## temporal key [18+]
create extension btree_gist;
create table t (a int, d daterange, primary key (a, d without overlaps));
=>
drop table t;

## comment on a constraint added
create table t (a int constraint c check (a > 0));
=>
comment on constraint c on t is 'C';

## comment on a constraint changed
create table t (a int constraint c primary key);
comment on constraint c on t is 'C';
=>
comment on constraint c on t is 'D';

## primary key dropped with what refers to it
:shop
comment on constraint orders_customer_id_fkey on orders is 'F';
=>
alter table customers drop constraint customers_pkey cascade;

## exclusion added
create table t (a int4range);
insert into t values ('[1,5)');
=>
alter table t add constraint apart exclude using gist (a with &&);

## exclusion renamed
create table t (a int4range, constraint apart exclude using gist (a with &&) deferrable);
=>
alter table t rename constraint apart to e;

## foreign key added
create table p (a int primary key);
create table c (a int);
insert into p values (1);
insert into c values (1);
=>
alter table c add foreign key (a) references p on delete cascade;

## unique renamed
create table t (a int constraint u unique);
=>
alter table t rename constraint u to v;

## unique made deferrable
create table t (a int constraint u unique);
insert into t values (1);
=>
alter table t drop constraint u, add constraint u unique (a) deferrable initially deferred;

## foreign key set null of some columns [15+]
create table p (a int, b int, primary key (a, b));
create table c (a int, b int, constraint f foreign key (a, b) references p on delete set null (b));
=>
alter table c drop constraint f;

## foreign key not enforced [18+]
create table p (a int primary key);
create table c (a int constraint f references p not enforced);
=>
alter table c drop constraint f;

## foreign key enforced [18+]
create table p (a int primary key);
create table c (a int constraint f references p not enforced);
=>
alter table c alter constraint f enforced;

## not null not valid validated [18+]
create table t (a int);
alter table t add constraint n not null a not valid;
=>
alter table t validate constraint n;
