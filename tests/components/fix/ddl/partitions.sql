-- Partitioned tables.

## partition added
:partitioned
=>
create table p3 partition of p for values from ('2027-01-01') to ('2028-01-01');

## partition dropped
:partitioned
=>
drop table p1 cascade;

## partition detached
:partitioned
=>
alter table p detach partition p1;

## partition attached
:partitioned
create table p3 (like p including all);
=>
alter table p attach partition p3 for values from ('2027-01-01') to ('2028-01-01');

## partitioned table dropped
:partitioned
=>
drop table p cascade;

## partition bounds changed
:partitioned
=>
alter table p detach partition p2;
alter table p attach partition p2 for values from ('2026-01-01') to ('2026-07-01');

## partitioned column renamed
:partitioned
=>
alter table p rename note to remark;
alter table p rename to q;

## partitioned column dropped
:partitioned
=>
alter table p drop note;

## partitioned column added
:partitioned
=>
alter table p add extra int not null default 1;

## partitioned column converted
:partitioned
=>
alter table p alter note type varchar(99);

## partitioned index dropped
:partitioned
=>
drop index p_note;

## partitioned index added
:partitioned
=>
create index p_id on p (id);

## partitioned unique
:partitioned
=>
alter table p add unique (day, id);

## partitioned primary key dropped
:partitioned
=>
alter table r drop constraint r_p_id_p_day_fkey;
alter table p drop constraint p_pkey;

## partitioned check dropped
:partitioned
=>
alter table p drop constraint positive;

## partitioned check added
:partitioned
=>
alter table p add constraint small check (id < 9);

## foreign key of a partitioned table
create table c (id int primary key);
create table p (id int, c int references c) partition by list (id);
create table p1 partition of p for values in (1);
=>
alter table p drop constraint p_c_fkey;

## trigger of a partitioned table
:partitioned
:trigger
create trigger tr after insert on p for each row execute function f();
=>
drop trigger tr on p;

## nested partitions dropped
create table p (a int, b int) partition by list (a);
create table p1 partition of p for values in (1) partition by hash (b);
create table p1a partition of p1 for values with (modulus 2, remainder 0);
create table p1b partition of p1 for values with (modulus 2, remainder 1);
create index on p (b);
=>
drop table p1;

## partitioned table made anew
create table t (a int primary key, b text);
=>
alter table t rename to t_old;
create table t (a int, b text, primary key (a)) partition by hash (a);
create table t1 partition of t for values with (modulus 1, remainder 0);
drop table t_old;

## partitioned table added
=>
create table p (id int, day date) partition by range (day);
create table p1 partition of p for values from ('2025-01-01') to ('2026-01-01');
insert into p values (1, '2025-05-05');

## partition renamed and moved
:partitioned
=>
create schema old;
alter table p1 rename to year_2025;
alter table year_2025 set schema old;

## partition split
:partitioned
insert into p values (1, '2025-03-03'), (2, '2025-09-09');
=>
alter table r drop constraint r_p_id_p_day_fkey;
create table kept as select * from p1;
drop table p1;
create table p1a partition of p for values from ('2025-01-01') to ('2025-07-01');
create table p1b partition of p for values from ('2025-07-01') to ('2026-01-01');
insert into p select * from kept;
drop table kept;

## default partition dropped
:partitioned
insert into p values (1, '2030-01-01');
insert into r values (1, null, null);
=>
drop table pd cascade;

## partition with rows detached and dropped
:partitioned
insert into p values (1, '2025-03-03');
=>
alter table p detach partition p1;
drop table p1;

## partition's own index, constraint, trigger, grant, comment
:partitioned
:trigger
:roles
create index p1_note on p1 (note);
alter table p1 add constraint c check (id < 1000);
create trigger tr before insert on p1 for each row execute function f();
grant select on p1 to reader;
comment on table p1 is 'P1';
=>
drop table p1 cascade;

## rows that change partitions
:partitioned
insert into p values (1, '2025-03-03'), (2, '2026-03-03');
=>
update p set day = day + interval '1 year';

## partition detached, its key, check and NOT NULL dropped
:partitioned
insert into p values (1, '2025-03-03');
=>
alter table p detach partition p1;
alter table p1 drop constraint p1_pkey;
alter table p1 drop constraint positive;
alter table p1 alter day drop not null, alter note set not null;
