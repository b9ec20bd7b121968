-- Orders whose payments do not add up to what they cost.
select orders.order_number, orders.total, paid.amount
from orders
join (select order_id, sum(amount) as amount from payments group by order_id) paid on paid.order_id = orders.id
where orders.total <> paid.amount
order by orders.id
