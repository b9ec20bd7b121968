-- Names that need quoting, or are long, or change places.

## quoted
create table "My Orders" ("Select" int primary key, "a""b" text default 'x', "ü ö" int check ("ü ö" > 0));
=>
alter table "My Orders" rename to "Your ""Orders""";
alter table "Your ""Orders""" rename "Select" to "From";

## quoted, dropped
create schema "S x";
create table "S x"."My Orders" ("Select" serial primary key, "a.b" text default 'x', "ü ö" int check ("ü ö" > 0));create index "I""x" on "S x"."My Orders" ("a.b");
comment on column "S x"."My Orders"."a.b" is 'it''s \ "x"';
=>
drop table "S x"."My Orders";

## keywords
create table "table" ("user" int primary key, "order" text);
create view "view" as select "user" from "table";
=>
drop view "view";
alter table "table" drop column "order";
alter table "table" rename to "select";

## 63 bytes
create table ttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt (ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc serial primary key, ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd text not null);
=>
alter table ttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt rename to uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu;
alter table uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu rename ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc to eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee;
alter table uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu drop ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd;

## 63 bytes of Unicode
create table "éééééééééééééééééééééééééééééééx" ("ßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßß" int unique);
=>
drop table "éééééééééééééééééééééééééééééééx";

## percent and colon
create table "100%" ("%s" int check ("%s" > 0), ":a" text default '%(x)s');
=>
drop table "100%";

## column named like a table
create table a (a int primary key, b int);
create table b (a int references a, b int);
=>
alter table a rename a to c;
alter table a rename b to a;
alter table b rename to d;

## schemas called like kinds
create schema "table";
create schema "index";
create schema function;
create table "table".t (a int);
create table "index".u (a int);
create index i on "index".u (a);
create function function.f() returns int language sql as 'select 1';
=>
alter table "table".t rename to x;
alter index "index".i rename to j;
alter table "index".u rename a to b;
alter function function.f rename to g;

## names with dots and spaces swapped
create table "a.b" ("x y" int primary key, "x.y" int);
create index "i.j" on "a.b" ("x.y");
=>
alter table "a.b" rename "x y" to t;
alter table "a.b" rename "x.y" to "x y";
alter table "a.b" rename t to "x.y";
alter index "i.j" rename to "j i";

## names of a trigger, a policy, a type and a function
create type "My Type" as enum ('A b', 'c"d');
create function "My Function"("My Arg" "My Type") returns int language sql as 'select 1';
create table t (a "My Type");
create policy "My Policy" on t using (a = 'A b');
=>
drop policy "My Policy" on t;
drop function "My Function";
alter table t drop a;
drop type "My Type";
