-- Collations and conversions. Some builds of PostgreSQL have no ICU.

## collation added
create table t (a text);
=>
create collation c from "C";
alter table t alter a type text collate c;
alter table t add b text collate c;

## collations dropped
:roles
create collation c from "C";
do $$ begin
    create collation icu (provider = icu, locale = 'de-u-kn', deterministic = false);
exception when feature_not_supported then
    create collation icu from "POSIX";
end $$;
create collation libc (provider = libc, lc_collate = 'C', lc_ctype = 'POSIX');
create table t (a text collate c default 'x' not null, b text collate icu);
create index i on t (a);
create domain d as text collate c;
comment on collation c is 'C';
alter collation icu owner to reader;
=>
drop collation c cascade;
alter table t drop b;
drop collation icu;
drop collation libc;

## collation with other rules [16+]
do $$ begin
    create collation "C 1" (provider = icu, locale = 'und', rules = '&a < g''s');
exception when feature_not_supported then
    create collation "C 1" from "POSIX";
end $$;
create table t (a text collate "C 1");
=>
drop collation "C 1" cascade;
do $$ begin
    create collation "C 1" (provider = icu, locale = 'und');
exception when feature_not_supported then
    create collation "C 1" from "C";
end $$;
alter table t add a text collate "C 1";

## collation of a built-in provider [17+]
create collation c (provider = builtin, locale = 'C.UTF-8');
=>
drop collation c;

## collation replaced
create collation c from "C";
create table t (a text collate c default 'x' not null, b text collate c primary key, check (a > 'a'));
create index i on t (a);
create view v as select a from t;
create type pair as (a text collate c);
=>
do $$ begin
    create collation e (provider = icu, locale = 'en');
exception when feature_not_supported then
    create collation e from "POSIX";
end $$;
alter table t drop constraint t_pkey;
drop view v;
drop type pair;
alter table t alter a type text collate e, alter b type text;
drop collation c;
alter collation e rename to c;

## collation renamed and moved
create schema s;
create collation c from "C";
create table t (a text collate c);
create domain d as text collate c;
create index i on t (a collate c);
=>
alter collation c rename to e;
alter collation e set schema s;

## collations swapped
create collation c from "C";
create collation e from "POSIX";
create table t (a text collate c, b text collate e);
=>
alter collation c rename to x;
alter collation e rename to c;
alter collation x rename to e;

## conversion
:roles
create default conversion c for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8;
create conversion d for 'UTF8' to 'LATIN1' from utf8_to_iso8859_1;
comment on conversion c is 'C';
alter conversion d owner to reader;
=>
drop conversion c;
alter conversion d rename to e;
create conversion c for 'UTF8' to 'LATIN1' from utf8_to_iso8859_1;
