-- The output plugin by itself: one JSON object for each change.

-- a database of its own, so that nothing else is decoded
create database regress_plugin;
\c regress_plugin
create extension realtime;
set realtime.partition_clock = '2031-05-05 12:00';
select realtime.maintain_partitions();
create function changes(out change jsonb) returns setof jsonb language sql as $$
	select data::jsonb - 'lsn' from pg_logical_slot_get_changes('regress', null, null, 'include-xid', 'off', 'include-timestamp', 'off')
$$;
create table things (id int primary key, name text, amount numeric, flags bool[], doc jsonb, at timestamptz, raw bytea, big text);
alter table things alter big set storage external;
create table keyless (a int, b text);
alter table keyless replica identity full;
select slot_name from pg_create_logical_replication_slot('regress', 'realtime');

insert into things values (1, 'é "quoted"', 1.50, '{t,f}', '{"a": [1, null]}', '2024-01-31 12:00+00', '\x00ff', null),
	(2, null, 'NaN', null, 'null', 'infinity', '', repeat('x', 5));
update things set name = 'new' where id = 1;
update things set id = 3 where id = 2;
delete from things where id = 3;
insert into keyless values (1, 'one');
update keyless set b = 'two';
delete from keyless;
truncate things, keyless;
select change from changes();

-- whole transactions only, in the order of their commits; nothing of what is rolled back
begin;
insert into keyless values (1, 'rolled back');
rollback;
begin;
insert into keyless values (2, 'kept');
savepoint s;
insert into keyless values (3, 'rolled back');
rollback to s;
insert into keyless values (4, 'kept');
commit;
select change -> 'columns' from changes();

-- a value out of line, and one that has not changed
insert into things (id, big) values (10, repeat('long ', 2000));
update things set name = 'x' where id = 10;
select change ->> 'action' as action, column_value ->> 'name' as name, length(column_value ->> 'value') as length, column_value ? 'value' as has_value
from changes(), jsonb_array_elements(change -> 'columns') column_value where column_value ->> 'name' = 'big';

-- messages: the row arrives with its insert, and not again when it is moved home
insert into realtime.messages (topic, extension, event, payload, inserted_at)
	values ('pl', 'broadcast', 'at home', '{}', '2031-05-05 10:00'), ('pl', 'broadcast', 'early', jsonb_build_object('long', repeat('x', 10000)), '2031-05-09 10:00');
set realtime.partition_clock = '2031-05-06 12:00';
select realtime.maintain_partitions();
select tableoid::regclass, event from realtime.messages order by 2;
select change ->> 'table' as "table", change ->> 'action' as action, (select c ->> 'value' from jsonb_array_elements(change -> 'columns') c where c ->> 'name' = 'event') as event
from changes() where change ->> 'schema' = 'realtime' and change ->> 'table' like 'messages%';

-- options
insert into keyless values (5, 'five');
select jsonb_object_keys(data::jsonb) from pg_logical_slot_peek_changes('regress', null, null);
select data::jsonb ->> 'action' from pg_logical_slot_peek_changes('regress', null, null, 'include-transactions', 'on');
select data from pg_logical_slot_peek_changes('regress', null, null, 'include-everything', 'on');

select pg_drop_replication_slot('regress');
\c regression
drop database regress_plugin;
