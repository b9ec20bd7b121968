-- A shop: who buys what, in which order, and how it was paid.

create type order_status as enum ('placed', 'paid', 'shipped', 'delivered', 'cancelled');

create table customers (
    id bigint generated always as identity primary key,
    email text not null,
    name text not null,
    city text,
    created_at timestamptz not null default now(),
    constraint customers_email_is_an_address check (position('@' in email) > 1)
);
create unique index customers_email on customers (lower(email));

create table products (
    id bigint generated always as identity primary key,
    sku text not null unique,
    name text not null,
    price numeric(10,2) not null,
    active boolean not null default true,
    constraint products_price_not_negative check (price >= 0)
);
create index products_for_sale on products (name) where active;

create table promotions (
    code text primary key,
    product_id bigint not null references products on delete cascade,
    percent numeric(5,2) not null,
    starts_on date not null,
    ends_on date not null,
    constraint promotions_percent_is_a_share check (percent > 0 and percent <= 100),
    constraint promotions_end_after_start check (ends_on >= starts_on)
);
create index promotions_product on promotions (product_id);

create sequence order_numbers start 1000001;

create table orders (
    id bigint generated always as identity primary key,
    order_number text not null unique default 'ORD-' || nextval('order_numbers'),
    customer_id bigint not null references customers on delete restrict,
    status order_status not null default 'placed',
    total numeric(10,2) not null,
    note text,
    legacy_code varchar(20),
    placed_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint orders_total_not_negative check (total >= 0)
);
alter sequence order_numbers owned by orders.order_number;
create index orders_customer on orders (customer_id, placed_at desc);
create index orders_open on orders (placed_at) where status in ('placed', 'paid');
create index orders_legacy_code on orders (legacy_code) where legacy_code is not null;
comment on column orders.legacy_code is 'Number of the order in the shop before 2020';

create table order_items (
    order_id bigint not null references orders on delete cascade,
    line smallint not null,
    product_id bigint not null references products on delete restrict,
    quantity integer not null,
    price numeric(10,2) not null,
    amount numeric(12,2) generated always as (quantity * price) stored,
    primary key (order_id, line),
    constraint order_items_quantity_positive check (quantity > 0)
);
create index order_items_product on order_items (product_id);

create table payments (
    id bigint generated always as identity primary key,
    order_id bigint not null references orders on delete restrict,
    amount numeric(10,2) not null,
    method text not null,
    reference text not null unique,
    paid_at timestamptz not null default now(),
    constraint payments_amount_positive check (amount > 0),
    constraint payments_method_known check (method in ('card', 'transfer', 'voucher'))
);
create index payments_order on payments (order_id);

create view open_orders as
    select orders.id, orders.order_number, customers.name as customer, orders.status, orders.note, orders.placed_at
    from orders
    join customers on customers.id = orders.customer_id
    where orders.status in ('placed', 'paid');

create function touch_order() returns trigger language plpgsql as $$
begin
    -- Who sets the time explicitly, a restore for example, means it.
    if new.updated_at = old.updated_at then
        new.updated_at := now();
    end if;
    return new;
end
$$;
create trigger orders_touch before update on orders
    for each row when (old.* is distinct from new.*) execute function touch_order();
