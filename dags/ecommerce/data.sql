-- The same rows every time: 20,000 customers, 2,000 products, 200,000 orders with 400,001 items and 150,000 payments.

insert into customers (email, name, city, created_at)
select 'customer' || n || '@example.com', 'Customer ' || n,
    (array['Berlin', 'Lyon', 'Porto', 'Tromsø', null])[1 + n % 5],
    timestamptz '2019-01-01 00:00+00' + n * interval '2 hours'
from generate_series(1, 20000) n;

insert into products (sku, name, price, active)
select 'SKU-' || lpad(n::text, 6, '0'), 'Product ' || n, 1 + n * 37 % 20000 / 100.0, n % 9 <> 0
from generate_series(1, 2000) n;

insert into promotions (code, product_id, percent, starts_on, ends_on)
select 'PROMO-' || n, 1 + n * 7 % 2000, 5 + n % 60, date '2026-01-01' + n, date '2026-01-31' + n
from generate_series(1, 300) n;

insert into orders (customer_id, status, total, note, legacy_code, placed_at, updated_at)
select 1 + n::bigint * 7919 % 20000,
    (array['placed', 'paid', 'shipped', 'delivered', 'delivered', 'delivered', 'delivered', 'cancelled'])[1 + n % 8]::order_status,
    (select sum((1 + (n + line) % 3) * (1 + (1 + (n * 31 + line * 17) % 2000) * 37 % 20000 / 100.0))
        from generate_series(1, 1 + n % 3) line),
    case when n % 10 = 0 then 'Leave it with neighbour no. ' || n % 97 end,
    case when n <= 60000 then 'L-' || 500000 + n end,
    timestamptz '2020-01-01 00:00+00' + n * interval '15 minutes',
    timestamptz '2020-01-01 00:00+00' + n * interval '15 minutes' + interval '1 day'
from generate_series(1, 200000) n;

insert into order_items (order_id, line, product_id, quantity, price)
select orders.id, line, products.id, 1 + (orders.id + line) % 3, products.price
from orders
cross join lateral generate_series(1, 1 + orders.id % 3) line
join products on products.id = 1 + (orders.id * 31 + line * 17) % 2000;

insert into payments (order_id, amount, method, reference, paid_at)
select id, total, (array['card', 'transfer', 'voucher'])[1 + id % 3], 'PAY-' || id, placed_at + interval '5 minutes'
from orders
where status in ('paid', 'shipped', 'delivered') and total > 0;

analyze;
