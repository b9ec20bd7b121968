-- Notes are the customer's, the numbers of the old shop and its promotions go, prices get two more digits.

alter table orders rename column note to customer_note;
alter table orders add constraint orders_customer_note_is_short check (length(customer_note) <= 500);
alter table orders drop column legacy_code;
drop table promotions;
alter table products alter column price type numeric(12,4);

-- One order in a hundred was stored without its tax. (It was not: this is the mistake that the verification finds.)
update orders set total = round(total * 1.19, 2) where id % 100 = 0;
