-- Triggers, rules, policies.

## trigger added
:shop
=>
:trigger
create trigger tr before insert on orders for each row execute function f();

## trigger dropped
:shop
:trigger
create trigger tr before update of status or insert on orders for each row when (new.total > 1) execute function f('a', 'b');
comment on trigger tr on orders is 'T';
=>
drop trigger tr on orders;
drop function f;

## trigger changed
:shop
:trigger
create trigger tr before insert on orders for each row execute function f();
=>
create or replace trigger tr after insert on orders for each row execute function f();

## trigger disabled
:shop
:trigger
create trigger tr before insert on orders for each row execute function f();
=>
alter table orders disable trigger tr;

## trigger always
:shop
:trigger
create trigger tr before insert on orders for each row execute function f();
alter table orders enable always trigger tr;
=>
drop table orders cascade;

## trigger renamed
:shop
:trigger
create trigger tr before insert on orders for each row execute function f();
=>
alter trigger tr on orders rename to other;
alter function f rename to g;

## trigger's function made again
:shop
:trigger
create trigger tr before insert on orders for each row execute function f();
=>
drop function f cascade;
:trigger

## trigger with transition table
:shop
:trigger
create trigger tr after insert on orders referencing new table as fresh for each statement execute function f();
=>
drop trigger tr on orders;

## constraint trigger
:shop
:trigger
create constraint trigger tr after insert on orders from customers deferrable initially deferred for each row execute function f();
=>
drop trigger tr on orders;

## instead of trigger
:shop
:trigger
create trigger tr instead of insert on order_totals for each row execute function f();
=>
alter table orders alter status type varchar(30);
drop view order_totals;
create view order_totals as select 1 as one;

## rule
:shop
create rule nodelete as on delete to orders do instead nothing;
comment on rule nodelete on orders is 'R';
=>
drop rule nodelete on orders;

## rule disabled
:shop
create rule nodelete as on delete to orders where id > 5 do also select 1;
=>
alter table orders disable rule nodelete;
alter rule nodelete on orders rename to n;

## policy
:shop
:roles
alter table orders enable row level security;
create policy mine on orders as restrictive for select to reader, "The Writer" using (total > 1);
=>
drop policy mine on orders;
alter table orders disable row level security, force row level security;

## policy added
:shop
=>
alter table orders enable row level security;
create policy mine on orders with check (total > 1);

## policy changed
:shop
create policy mine on orders using (total > 1) with check (total > 2);
=>
alter policy mine on orders using (total > 3);
alter policy mine on orders rename to ours;

## policies of a dropped table
:shop
alter table orders enable row level security;
alter table orders force row level security;
create policy mine on orders for insert with check (total > 1);
comment on policy mine on orders is 'P';
=>
drop table orders cascade;

## comment on a trigger
:shop
:trigger
create trigger tr before insert on orders for each row execute function f();
comment on trigger tr on orders is 'T';
=>
comment on trigger tr on orders is 'S';

## statement trigger on truncate
:shop
:trigger
create trigger tr before truncate on orders for each statement execute function f();
=>
drop trigger tr on orders;

## trigger made for replicas
:shop
:trigger
create trigger tr before insert on orders for each row execute function f();
=>
alter table orders enable replica trigger tr;

## rule added
:shop
=>
create rule nodelete as on delete to orders do instead nothing;

## rule changed
:shop
create rule r as on insert to orders where new.id > 5 do instead nothing;
=>
create or replace rule r as on insert to orders where new.id > 9 do instead nothing;
comment on rule r on orders is 'R';

## policy for other roles
:shop
:roles
create policy mine on orders to reader using (true);
comment on policy mine on orders is 'P';
=>
alter policy mine on orders to "The Writer", public;
comment on policy mine on orders is null;

## policy renamed
:shop
create policy mine on orders using (true);
=>
alter policy mine on orders rename to ours;

## row security enabled and forced
:shop
=>
alter table orders enable row level security, force row level security;
