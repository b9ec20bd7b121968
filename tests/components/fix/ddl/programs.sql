-- What takes a superuser: event triggers, procedural languages, transforms, access methods, operator classes and families.

## event trigger added
=>
create function f() returns event_trigger language plpgsql as 'begin end';
create event trigger e on ddl_command_end execute function f();

## event triggers dropped
:roles
create function f() returns event_trigger language plpgsql as 'begin end';
create event trigger "E" on ddl_command_start when tag in ('DROP TABLE', 'CREATE TABLE') execute function f();
create event trigger e on sql_drop execute function f();
alter event trigger e enable always;
comment on event trigger "E" is 'E';
=>
drop event trigger "E";
drop event trigger e;
drop function f;

## event triggers changed
create function f() returns event_trigger language plpgsql as 'begin end';
create function g() returns event_trigger language plpgsql as 'begin end';
create event trigger e on ddl_command_end execute function f();
create event trigger d on sql_drop execute function f();
alter event trigger d disable;
=>
alter event trigger e disable;
alter event trigger e rename to x;
drop event trigger d;
create event trigger d on ddl_command_end execute function g();
alter function f rename to h;

## language and transform added
=>
create function h() returns language_handler language c as '$libdir/plpgsql', 'plpgsql_call_handler';
create language mine handler h;
create function f() returns int language mine as 'begin return 1; end';
create transform for int language mine (from sql with function prsd_lextype(internal), to sql with function int4recv(internal));

## language and transform dropped
:roles
create function h() returns language_handler language c as '$libdir/plpgsql', 'plpgsql_call_handler';
create function i(internal) returns void language c as '$libdir/plpgsql', 'plpgsql_inline_handler';
create function v(oid) returns void language c as '$libdir/plpgsql', 'plpgsql_validator';
create trusted language "Mine" handler h inline i validator v;
create language other handler h;
create function f() returns int language "Mine" as 'begin return 1; end';
create transform for int language "Mine" (from sql with function prsd_lextype(internal), to sql with function int4recv(internal));
create transform for text language other (from sql with function prsd_lextype(internal));
comment on language "Mine" is 'L';
comment on transform for int language "Mine" is 'T';
alter language other owner to "The Writer";
grant usage on language "Mine" to reader;
revoke usage on language "Mine" from public;
=>
drop language "Mine" cascade;
drop transform for text language other;
drop language other;
drop function h, i, v;

## language and transform changed
create function h() returns language_handler language c as '$libdir/plpgsql', 'plpgsql_call_handler';
create language mine handler h;
create function f() returns int language mine as 'begin return 1; end';
create transform for int language sql (from sql with function prsd_lextype(internal), to sql with function int4recv(internal));
=>
alter language mine rename to yours;
alter function h rename to handle;
drop transform for int language sql;
create transform for int language sql (to sql with function int4recv(internal));

## access methods
create access method heap2 type table handler heap_tableam_handler;
create access method btree2 type index handler bthandler;
create table t (a int) using heap2;
comment on access method heap2 is 'H';
=>
drop table t;
drop access method heap2;
drop access method btree2;
create access method heap3 type table handler heap_tableam_handler;

## operator class added
create type pair as (a int, b int);
=>
create operator class c for type int using btree as operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >,
    function 1 btint4cmp(int, int);
create table t (a int);
create index i on t (a c);

## operator classes dropped
:roles
create operator family f using btree;
create operator class "C" for type int using btree family f as operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >,
    function 1 btint4cmp(int, int), function 2 btint4sortsupport(internal);
alter operator family f using btree add operator 1 < (int, bigint), operator 2 <= (int, bigint), operator 3 = (int, bigint),
    operator 4 >= (int, bigint), operator 5 > (int, bigint), function 1 (int, bigint) btint48cmp(int, bigint);
create type pair as (a int, b int);
create operator class points for type point using gist as storage box, operator 1 <<, operator 15 <-> (point, point) for order by float_ops,
    function 1 gist_point_consistent(internal, point, smallint, oid, internal), function 2 gist_box_union(internal, internal),
    function 3 gist_point_compress(internal), function 5 gist_box_penalty(internal, internal, internal),
    function 6 gist_box_picksplit(internal, internal), function 7 gist_box_same(box, box, internal),
    function 8 gist_point_distance(internal, point, smallint, oid, internal);
create table t (a int, p point);
create index i on t (a "C");
create index j on t using gist (p points);
comment on operator class "C" using btree is 'C';
comment on operator family f using btree is 'F';
alter operator class "C" using btree owner to reader;
alter operator family f using btree owner to reader;
=>
drop operator family f using btree cascade;
drop operator family points using gist cascade;

## operator family changed
create function cmp(int, bigint) returns int language sql immutable as 'select btint48cmp($1, $2)';
create operator family f using btree;
create operator class c for type int using btree family f as operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >,
    function 1 btint4cmp(int, int);
alter operator family f using btree add operator 1 < (int, bigint);
create table t (a int);
create index i on t (a c);
=>
alter operator family f using btree drop operator 1 (int, bigint);
alter operator family f using btree add function 1 (int, bigint) cmp(int, bigint);
create function other(bigint, int) returns int language sql immutable as 'select btint84cmp($1, $2)';
alter operator family f using btree add function 1 (bigint, int) other(bigint, int);
alter operator family f using btree rename to g;

## operator class changed, renamed and moved
create schema s;
create operator class c for type int using btree as operator 1 <, function 1 btint4cmp(int, int);
create operator class d for type int using hash as operator 1 =, function 1 hashint4(int);
create operator family e using hash;
create table t (a int);
create index i on t (a c);
=>
drop operator class c using btree cascade;
create operator class c for type int using btree family c as operator 1 <, operator 5 >, function 1 btint4cmp(int, int);
create index i on t (a c);
alter operator class d using hash rename to d2;
alter operator class d2 using hash set schema s;
alter operator family e using hash set schema s;
