-- Publications.

## publication added
create table t (a int primary key);
=>
create publication p for table t with (publish = 'insert');
create publication everything for all tables;

## publication dropped
:roles
create table t (a int primary key);
create table u (a int primary key);
create publication "The P" for table t, u with (publish = 'insert, truncate', publish_via_partition_root = true);
comment on publication "The P" is 'P';
alter publication "The P" owner to reader;
=>
drop publication "The P";

## publication for all tables dropped
create table t (a int primary key);
create publication p for all tables with (publish = '');
=>
drop publication p;

## publication made one for all tables
create table t (a int primary key);
create publication p for table t;
comment on publication p is 'P';
=>
drop publication p;
create publication p for all tables;

## publication renamed, options changed
:roles
create table t (a int primary key);
create publication p for table t with (publish = 'insert, delete');
create publication q;
=>
alter publication q rename to r;
alter publication p rename to q;
alter publication r rename to p;
alter publication q set (publish = 'update', publish_via_partition_root = true);
alter publication q owner to reader;
comment on publication q is 'Q';

## published table dropped
create table t (a int primary key);
create table u (a int primary key);
create publication p for table only t, u;
=>
drop table t;

## published table dropped and made again
create table t (a int primary key);
create publication p for table t;
=>
drop table t;
create table t (a bigint primary key, b int);
alter publication p add table t;

## published tables exchanged
create table t (a int primary key);
create table u (a int primary key);
create publication p for table t;
=>
alter publication p set table u;
alter table t rename to v;

## published partitions
:partitioned
create publication p for table p, r with (publish_via_partition_root = true);
create publication q for table p1;
=>
alter table p detach partition p1;
drop table p1;
alter publication p set (publish_via_partition_root = false);

## published columns and rows [15+]
create table t (a int primary key, b text, "C" int);
create publication p for table t (a, "C") where (a > 0 and "C" <> 3) with (publish = 'insert');
=>
alter publication p set table t where (a > 5);

## published column dropped [15+]
create table t (a int primary key, b text, c int);
create publication p for table t (a, b);
=>
alter table t drop b cascade;

## published column retyped, renamed [15+]
create table t (a int primary key, b text);
create publication p for table t (a, b) where (a > 0);
=>
alter publication p drop table t;
alter table t alter a type bigint;
alter table t rename b to c;
alter publication p add table t (a, c) where (a > 0);

## row filter calls a function that is dropped [15+]
create table t (a int primary key, s text);
create publication p for table t where (length(s) > a);
=>
drop publication p;
alter table t drop s;

## published schemas [15+]
create schema s;
create table s.t (a int primary key);
create table u (a int primary key);
create publication p for tables in schema s, table u;
create publication q for tables in schema public;
=>
alter publication p drop tables in schema s;
alter publication q add tables in schema s;

## published schema dropped [15+]
create schema s;
create table s.t (a int primary key);
create publication p for tables in schema s;
=>
drop schema s cascade;

## published schema renamed, publication dropped [15+]
create schema s;
create table s.t (a int primary key);
create publication p for tables in schema s;
=>
drop publication p;
alter schema s rename to z;

## published generated columns [18+]
create table t (a int primary key, b int generated always as (a * 2) stored);
create publication p for table t with (publish_generated_columns = stored);
=>
alter publication p set (publish_generated_columns = none);
