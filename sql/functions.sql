-- realtime.send, send_binary and topic: what they write, and what they refuse.

select realtime.send('{"n": 1, "t": "é"}', 'ev', 'fn');
select realtime.send('{"n": 2, "id": "mine"}', 'ev', 'fn', false);
select realtime.send(payload => '{}', event => 'named', topic => 'fn', private => true);
select realtime.send_binary('\x00010203ff', 'bin', 'fn', false);

-- the payload gets the row's id, unless it has one of its own
select event, private, extension, payload - 'id' as payload, payload ->> 'id' = id::text as same_id, binary_payload
from realtime.messages where topic = 'fn' order by position;
select payload ->> 'id' from realtime.messages where topic = 'fn' and payload ->> 'id' = 'mine';

-- what is rolled back is not there
begin;
select realtime.send('{"n": 3}', 'ev', 'fn-rolled-back');
savepoint s;
select realtime.send('{"n": 4}', 'ev', 'fn-rolled-back');
rollback to s;
rollback;
select count(*) from realtime.messages where topic = 'fn-rolled-back';

-- realtime.topic() is that of the last send until the transaction ends
begin;
select realtime.topic() is null as none;
select realtime.send('{}', 'ev', 'fn-topic');
select realtime.topic();
commit;
select realtime.topic() is null as none;

-- whatever can't be delivered is an error, with a hint
select realtime.send(null, 'ev', 'fn');
select realtime.send('{}', null, 'fn');
select realtime.send('{}', 'ev', null);
select realtime.send('{}', 'ev', '');
select realtime.send('{}', 'ev', 'fn', null);
select realtime.send('[1, 2]', 'ev', 'fn');
select realtime.send('"text"', 'ev', 'fn');
select realtime.send('null', 'ev', 'fn');
select realtime.send('{}', 'ev', repeat('t', 4097));
select realtime.send('{}', repeat('e', 4097), 'fn');
select realtime.send_binary(null, 'ev', 'fn');
select realtime.send_binary('', null, 'fn');

-- the longest topic, in bytes and not in characters, is accepted
select realtime.send('{}', 'ev', repeat('t', 4096));
select realtime.send('{}', 'ev', repeat('é', 2048));
select realtime.send('{}', 'ev', repeat('é', 2049));

-- the limit is that of the payload's text, with the id
select current_setting('realtime.max_payload_size');
\set VERBOSITY terse
select realtime.send(jsonb_build_object('x', repeat('x', 3072001)), 'ev', 'fn');
select realtime.send(jsonb_build_object('x', repeat(E'\n', 1600000)), 'ev', 'fn');
select realtime.send_binary(convert_to(repeat('x', 3072001), 'utf8'), 'ev', 'fn');
\set VERBOSITY default
select realtime.send(jsonb_build_object('x', repeat('x', 3000000)), 'ev', 'fn-long');
select realtime.send_binary(convert_to(repeat('x', 3072000), 'utf8'), 'ev', 'fn-long');
select event, length(payload::text), length(binary_payload) from realtime.messages where topic = 'fn-long' order by position;

-- both payloads at once are against the table's constraint
\set VERBOSITY sqlstate
insert into realtime.messages (topic, extension, event, payload, binary_payload) values ('fn', 'broadcast', 'ev', '{}', '');
\set VERBOSITY default

-- somebody's search_path changes nothing
begin;
create schema hostile;
create table hostile.messages (id uuid);
create function hostile.nullif(text, text) returns text language sql as 'select ''hostile''';
set local search_path = hostile, pg_catalog;
select realtime.send('{}', 'ev', 'fn-path');
select realtime.topic();
select count(*) from messages;
rollback;

-- prepared, in a loop and in a function: the plan is used again
do $$
begin
	for i in 1 .. 20 loop
		perform realtime.send(jsonb_build_object('i', i), 'loop', 'fn-loop', false);
	end loop;
end
$$;
select array_agg(payload -> 'i' order by position) from realtime.messages where topic = 'fn-loop';
delete from realtime.messages;
