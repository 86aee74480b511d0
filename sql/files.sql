-- The row trigger tells the message decoder of each file that gets rows, however they get there.

create function known_files() returns int language sql as $$
	select substring(detail from '^(\d+) of')::int from realtime.health() where "check" = 'message_files'
$$;
-- a partition of our own, without the trigger until it is attached
create table own_day (like realtime.messages including defaults including constraints);
alter table own_day alter position set default 0;
select known_files() as before \gset
insert into own_day (topic, extension, inserted_at) values ('fi', 'broadcast', '2040-01-01 12:00');
select known_files() - :before as more;
alter table realtime.messages attach partition own_day for values from ('2040-01-01') to ('2040-01-02');

-- an UPDATE delivers nothing; one that may move the row to another partition tells of the file that the row leaves
update realtime.messages set event = 'ev' where topic = 'fi';
select known_files() - :before as more;
begin;
update realtime.messages set inserted_at = '2040-01-01 12:30' where topic = 'fi';
select known_files() - :before as more;
commit;

-- the partition and its TOAST table, once
insert into realtime.messages (topic, extension, inserted_at) values ('fi', 'broadcast', '2040-01-01 13:00');
select known_files() - :before as more;
insert into realtime.messages (topic, extension, inserted_at) values ('fi', 'broadcast', '2040-01-01 14:00');
select known_files() - :before as more;

-- a new file after TRUNCATE, in the same transaction too
select known_files() as before \gset
begin;
truncate own_day;
insert into realtime.messages (topic, extension, inserted_at) values ('fi', 'broadcast', '2040-01-01 13:00');
commit;
select known_files() - :before as more;

-- a direct insert into the partition, COPY, and triggers switched off
select known_files() as before \gset
begin;
truncate own_day;
insert into own_day (topic, extension, inserted_at) values ('fi', 'broadcast', '2040-01-01 13:00');
commit;
select known_files() - :before as more;
select known_files() as before \gset
begin;
truncate own_day;
copy realtime.messages (topic, extension, inserted_at) from stdin;
fi	broadcast	2040-01-01 13:00
\.
commit;
select known_files() - :before as more;
select known_files() as before \gset
begin;
truncate own_day;
set local session_replication_role = replica;
insert into realtime.messages (topic, extension, inserted_at) values ('fi', 'broadcast', '2040-01-01 13:00');
commit;
select known_files() - :before as more;

-- an UPDATE that moves a row, a TOAST table that gets a new file of its own
select known_files() as before \gset
insert into realtime.messages (topic, extension, event) values ('fi-move', 'broadcast', 'e');
truncate own_day;
update realtime.messages set inserted_at = '2040-01-01 15:00' where topic = 'fi-move';
select known_files() - :before >= 2 as more, tableoid::regclass from realtime.messages where topic = 'fi-move';
select reltoastrelid::regclass as toast from pg_class where oid = 'own_day'::regclass \gset
insert into realtime.messages (topic, extension, inserted_at) values ('fi', 'broadcast', '2040-01-01 13:00');
select known_files() as before \gset
vacuum full :toast;
insert into realtime.messages (topic, extension, inserted_at) values ('fi', 'broadcast', '2040-01-01 13:00');
select known_files() - :before as more;

-- savepoints
select known_files() as before \gset
begin;
savepoint a;
truncate own_day;
insert into realtime.messages (topic, extension, inserted_at) values ('fi', 'broadcast', '2040-01-01 13:00');
rollback to a;
insert into realtime.messages (topic, extension, inserted_at) values ('fi', 'broadcast', '2040-01-01 13:00');
commit;
select known_files() - :before as more;

-- the function is good for nothing else
select realtime.note_message_file();
create table other (a int);
create trigger t after insert on other for each row execute function realtime.note_message_file();
insert into other values (1);
drop table other, own_day;
delete from realtime.messages;
