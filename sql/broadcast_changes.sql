-- realtime.broadcast_changes through a trigger.

create table orders (id int primary key, state text, at timestamptz, tags text[], amount numeric, doc jsonb);
create function orders_changed() returns trigger language plpgsql security definer set search_path = '' as $$
begin
	perform realtime.broadcast_changes('orders:' || coalesce(new.id, old.id), tg_op, tg_op, tg_table_name, tg_table_schema,
		new, old);
	return null;
end
$$;
create trigger orders_changed after insert or update or delete on orders
	for each row execute function orders_changed();

insert into orders values (1, 'new "one"', '2024-01-31 12:00+00', '{a,b}', 'NaN', '{"k": [1, null]}'), (2, null, null, null, null, null);
update orders set state = 'paid' where id = 1;
delete from orders;
select topic, event, private, extension, jsonb_pretty(payload - 'id') as payload, payload ->> 'id' = id::text as same_id
from realtime.messages where topic like 'orders:%' order by position;

-- a level and an operation that can't be
select realtime.broadcast_changes('t', 'e', 'INSERT', 'orders', 'public', null::orders, null::orders, 'STATEMENT');
select realtime.broadcast_changes('t', 'e', 'TRUNCATE', 'orders', 'public', null::orders, null::orders);
select realtime.broadcast_changes('t', 'e', null, 'orders', 'public', null::orders, null::orders);
select realtime.broadcast_changes(null, 'e', 'INSERT', 'orders', 'public', null::orders, null::orders);
select realtime.broadcast_changes('t', null, 'INSERT', 'orders', 'public', null::orders, null::orders);

-- an error in it undoes the statement
create or replace function orders_changed() returns trigger language plpgsql as $$
begin
	perform realtime.broadcast_changes(null, tg_op, tg_op, tg_table_name, tg_table_schema, new, old);
	return null;
end
$$;
insert into orders values (3);
select count(*) from orders;

drop table orders;
drop function orders_changed;
delete from realtime.messages;
