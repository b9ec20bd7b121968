-- Extensions.

## extension added
create table t (a text);
=>
create extension citext;
alter table t alter a type citext;
create table u (a citext);

## extension dropped
create extension citext;
create table t (a citext default 'x', b citext[]);
=>
drop extension citext cascade;

## extension in a schema
create schema ext;
create extension hstore schema ext;
create table t (a ext.hstore);
create index i on t using gin (a);
=>
alter extension hstore set schema public;
