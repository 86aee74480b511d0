-- A dump holds of the extension what was added to it: grants, policies, and messages.

create database regress_dump;
\c regress_dump
create extension realtime;
set realtime.partition_clock = '2031-05-05 12:00';
select realtime.maintain_partitions();
insert into realtime.messages (topic, extension, event, inserted_at) values ('du', 'broadcast', 'e', '2031-05-05 12:00');
create role "Regress Reader";
create table members (topic text, who name);
create function is_open(topic text) returns boolean language sql stable return topic like 'open-%';
create policy everything on realtime.messages using (true);
create policy "odd ""name""" on realtime.messages as restrictive for select to "Regress Reader", current_user
	using (exists (select from members m where m.topic = (select realtime.topic()) and m.who = current_user));
create policy adding on realtime.messages for insert to "Regress Reader" with check (is_open(topic) and extension = 'broadcast');
create policy changing on realtime.messages for update to "Regress Reader" using (private) with check (not private);
grant select on realtime.messages to "Regress Reader";
create view policies as select polname, polpermissive, polcmd, cardinality(polroles) as roles, 0 = any (polroles) as "public",
	(select oid from pg_roles where rolname = 'Regress Reader') = any (polroles) as reader,
	pg_get_expr(polqual, polrelid) as "using", pg_get_expr(polwithcheck, polrelid) as "check"
	from pg_policy where polrelid = 'realtime.messages'::regclass;
select * from policies order by 1;
table realtime.policies;

create database regress_restored;
\! pg_dump regress_dump | psql -X -q -o /dev/null -v ON_ERROR_STOP=1 regress_restored 2>&1 | grep -E "ERROR|FATAL"
\c regress_restored
select * from policies order by 1;
select has_table_privilege('Regress Reader', 'realtime.messages', 'select');
select topic, event, inserted_at, position, tableoid::regclass from realtime.messages;
insert into realtime.messages (topic, extension) values ('next', 'broadcast') returning position;
select count(*) from pg_inherits where inhparent = 'realtime.messages'::regclass;
table realtime.policies;
table realtime.dumped_messages;
-- what is there is left alone, and nobody else can use the way in
insert into realtime.dumped_messages
	select topic, extension, payload, 'other', private, updated_at, inserted_at, id, binary_payload, position from realtime.messages;
select topic, event from realtime.messages order by position;
create table mine (like realtime.dumped_messages);
create trigger mine after insert on mine for each statement execute function realtime.restore_message();
insert into mine default values;
set role "Regress Reader";
insert into realtime.dumped_messages default values;
reset role;

-- as INSERT statements, into a database that has some of them
drop policy everything on realtime.messages;
\! pg_dump --inserts --data-only regress_dump | psql -X -q -o /dev/null -v ON_ERROR_STOP=1 regress_restored 2>&1 | grep -E "ERROR|FATAL"
select count(*) from policies;

\c regression
drop database regress_dump;
drop database regress_restored;
drop role "Regress Reader";
