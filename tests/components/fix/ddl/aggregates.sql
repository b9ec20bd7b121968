-- Aggregates.

## aggregate added
=>
create aggregate total(int) (sfunc = int4pl, stype = int);
create view v as select total(a) as a from (values (1)) as x(a);

## aggregate dropped
:roles
create function half(int) returns int language sql immutable as 'select $1 / 2';
create aggregate "Total"(a int) (sfunc = int4pl, stype = int, sspace = 8, initcond = '7', finalfunc = half, combinefunc = int4pl,
    msfunc = int4pl, minvfunc = int4mi, mstype = int, msspace = 9, minitcond = '0', mfinalfunc = half, parallel = safe);
comment on aggregate "Total"(int) is 'A''s';
alter aggregate "Total"(int) owner to reader;
revoke execute on function "Total"(int) from public;
grant execute on function "Total"(int) to "The Writer" with grant option;
=>
drop aggregate "Total"(int);
drop function half;

## aggregate of all rows dropped
create aggregate lines(*) (sfunc = int8inc, stype = bigint, initcond = '0');
comment on aggregate lines(*) is 'L';
grant execute on function lines() to public;
revoke execute on function lines() from public;
=>
drop aggregate lines(*);

## aggregate replaced
create aggregate total(int) (sfunc = int4pl, stype = int);
create view v as select total(a) as a from (values (1)) as x(a);
=>
create or replace aggregate total(int) (sfunc = int4mi, stype = int, initcond = '3', parallel = safe);

## aggregate with another result
create aggregate total(int) (sfunc = int4pl, stype = int);
create view v as select total(a) as a from (values (1)) as x(a);
=>
drop aggregate total(int) cascade;
create aggregate total(int) (sfunc = int84pl, stype = bigint, initcond = '0');

## aggregate renamed and moved, its function renamed
create schema s;
create function add(int, int) returns int language sql as 'select $1 + $2';
create aggregate total(int) (sfunc = add, stype = int);
=>
alter aggregate total(int) rename to sum_of;
alter aggregate sum_of(int) set schema s;
alter function add rename to plus;

## ordered-set and hypothetical aggregates
create aggregate share(float8 order by anyelement) (sfunc = ordered_set_transition, stype = internal,
    finalfunc = percentile_disc_final, finalfunc_extra, finalfunc_modify = read_write);
create aggregate place(variadic "any" order by variadic "any") (sfunc = ordered_set_transition_multi, stype = internal,
    finalfunc = rank_final, finalfunc_extra, hypothetical);
comment on aggregate place(variadic "any" order by variadic "any") is 'P';
revoke execute on function share(float8, anyelement) from public;
=>
drop aggregate share(float8 order by anyelement);
drop aggregate place(variadic "any" order by variadic "any");

## aggregate with serialization, variadic, sort operator
create aggregate mean(numeric) (sfunc = numeric_avg_accum, stype = internal, finalfunc = numeric_avg, combinefunc = numeric_avg_combine,
    serialfunc = numeric_avg_serialize, deserialfunc = numeric_avg_deserialize, finalfunc_modify = shareable);
create aggregate least_of(int) (sfunc = int4smaller, stype = int, sortop = <);
create function f(int, variadic int[]) returns int language sql as 'select $1';
create aggregate any_of(variadic int[]) (sfunc = f, stype = int);
=>
drop aggregate mean(numeric);
drop aggregate least_of(int);
drop aggregate any_of(variadic int[]);

## aggregate over a type that is swapped
create type mood as enum ('good', 'bad');
create function worse(mood, mood) returns mood language sql as 'select greatest($1, $2)';
create aggregate worst(mood) (sfunc = worse, stype = mood);
create view v as select worst(m) as m from (values ('good'::mood)) as x(m);
=>
alter type mood add value 'ugly';
