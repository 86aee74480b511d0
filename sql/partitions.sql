-- Partitions of realtime.messages: made, dropped, and rows moved home. In a database of its own, which no launcher serves,
-- with a clock of its own.

create database regress_partitions;
\c regress_partitions
-- default privileges open neither the extension's objects nor a partition
create role regress_reader;
alter default privileges grant all on tables to regress_reader, public;
alter default privileges grant all on sequences to regress_reader, public;
alter default privileges grant all on functions to regress_reader, public;
create extension realtime;
create view open_to_others as
	select o.name, case a.grantee when 0 then 'public' else a.grantee::regrole::text end as grantee
	from (select oid::regclass::text as name, relowner as owner, relacl as acl from pg_class
				where relnamespace = 'realtime'::regnamespace and relkind in ('r', 'p', 'v', 'S')
			union all select oid::regprocedure::text, proowner, coalesce(proacl, acldefault('f', proowner)) from pg_proc
				where pronamespace = 'realtime'::regnamespace) o, aclexplode(o.acl) a
	where a.grantee <> o.owner group by 1, 2;
select * from open_to_others order by 1, 2;

create view days as
	select inhrelid::regclass::text as partition, pg_get_expr(relpartbound, inhrelid) as bounds
	from pg_inherits join pg_class on oid = inhrelid where inhparent = 'realtime.messages'::regclass;
create view placed as select tableoid::regclass as partition, event, inserted_at from realtime.messages;
create function health(what text) returns table (ok boolean, detail text) language sql as $$
	select ok, detail from realtime.health() where "check" = what
$$;
set datestyle = 'ISO, DMY';
set timezone = 'Asia/Tokyo';

-- yesterday to three days ahead, by UTC
set realtime.partition_clock = '2031-05-05 23:30';
select * from health('partitions');
select realtime.maintain_partitions();
select * from days order by 1;
select * from health('partitions');
-- nothing to do
select realtime.maintain_partitions();
select count(*) from days;

-- they are like the parent, belong to its owner and to the extension
select count(*) as members from pg_depend join days on objid = partition::regclass
where deptype = 'e' and refobjid = (select oid from pg_extension where extname = 'realtime');
select tgname, tgenabled from pg_trigger where tgrelid = 'realtime.messages_2031_05_05'::regclass and tgparentid <> 0;
select count(*) as indexes from pg_index where indrelid = 'realtime.messages_2031_05_05'::regclass;
insert into realtime.messages_2031_05_05 (topic, extension, inserted_at) values ('pa', 'broadcast', '2031-05-05 10:00') returning position;
insert into realtime.messages (topic, extension, inserted_at) values ('pa', 'broadcast', '2031-05-05 10:00') returning position;
delete from realtime.messages;

-- days pass: new ones are made, those that the retention has passed are dropped
set realtime.partition_clock = '2031-05-07 00:00';
select realtime.maintain_partitions();
select partition from days order by 1;
select * from open_to_others where name like '%messages_2031%';
alter default privileges revoke all on tables from regress_reader, public;
alter default privileges revoke all on sequences from regress_reader, public;
alter default privileges revoke all on functions from regress_reader;
show realtime.retention;
set realtime.partition_clock = '2031-05-08 23:59:59';
select realtime.maintain_partitions();
select partition from days order by 1;
set realtime.partition_clock = '2031-05-09 00:00';
select realtime.maintain_partitions();
select partition from days order by 1;

-- what has no partition lands in the default one and is moved home; what is too old goes; what is too early stays
insert into realtime.messages (topic, extension, event, payload, inserted_at) values
	('pa', 'broadcast', 'early', '{}', '2031-05-20 10:00'),
	('pa', 'broadcast', 'home', '{}', '2031-05-13 10:00'),
	('pa', 'broadcast', 'home', '{}', '2031-05-13 00:00'),
	('pa', 'broadcast', 'home', jsonb_build_object('long', repeat('x', 100000)), '2031-05-13 23:59:59.999999'),
	('pa', 'broadcast', 'old', '{}', '2031-01-01 10:00'),
	('pa', 'broadcast', 'never', '{}', 'infinity'),
	('pa', 'broadcast', 'old', '{}', '-infinity');
select * from placed order by inserted_at;
create table before as select * from realtime.messages where event = 'home';
set realtime.partition_clock = '2031-05-10 00:00';
select * from health('default_partition');
select realtime.maintain_partitions();
select * from placed order by inserted_at;
select * from health('default_partition');
-- with all they had
table before except table realtime.messages;
-- a day of the past that has no partition but is to be kept
alter extension realtime drop table realtime.messages_2031_05_07;
drop table realtime.messages_2031_05_07;
insert into realtime.messages (topic, extension, event, inserted_at) values ('pa', 'broadcast', 'home', '2031-05-07 12:00');
select tableoid::regclass from realtime.messages where inserted_at = '2031-05-07 12:00';
select realtime.maintain_partitions();
select tableoid::regclass from realtime.messages where inserted_at = '2031-05-07 12:00';

-- triggers of users see nothing of a move
create function tell() returns trigger language plpgsql as $$ begin raise notice 'trigger: %', tg_op; return null; end $$;
create trigger tell after insert or delete on realtime.messages for each row execute function tell();
insert into realtime.messages (topic, extension, event, inserted_at) values ('pa', 'broadcast', 'home', '2031-05-14 12:00');
set realtime.partition_clock = '2031-05-11 00:00';
select realtime.maintain_partitions();
select partition from placed where inserted_at = '2031-05-14 12:00';
drop trigger tell on realtime.messages;
delete from realtime.messages;

-- partitions of others are respected: one that holds a whole week, one in another schema, whose days pass
create schema archive;
create table archive.week (like realtime.messages including all excluding identity);
alter table realtime.messages attach partition archive.week for values from ('2031-06-01') to ('2031-06-08');
set realtime.partition_clock = '2031-06-03 12:00';
select realtime.maintain_partitions();
select * from days order by 1;
set realtime.partition_clock = '2031-07-03 12:00';
select realtime.maintain_partitions();
select partition from days order by 1;
drop table archive.week;

-- a table of somebody else's has the name: a warning that says so, and the other days are made all the same
create table realtime.messages_2031_08_04 (a int);
set realtime.partition_clock = '2031-08-01 12:00';
select realtime.maintain_partitions();
select partition from days order by 1;
drop table realtime.messages_2031_08_04;
select realtime.maintain_partitions();
select partition from days order by 1;

-- a partition that something else hangs on is not dropped
create view leans_on_it as select topic from realtime.messages_2031_08_01;
set realtime.partition_clock = '2031-09-01 12:00';
select realtime.maintain_partitions();
drop view leans_on_it;
select realtime.maintain_partitions();
select partition from days order by 1;

-- without a default partition there is nothing to move
alter extension realtime drop table realtime.messages_default;
drop table realtime.messages_default;
select * from health('default_partition');
set realtime.partition_clock = '2031-09-02 12:00';
select realtime.maintain_partitions();
select partition from days order by 1;

-- a clock that can't be read
set realtime.partition_clock = 'yesterday at noon';
set realtime.partition_clock = 'infinity';
reset realtime.partition_clock;

-- not the messages of the extension
drop extension realtime cascade;
create schema realtime;
create table realtime.messages (inserted_at timestamp) partition by range (inserted_at);
drop schema realtime cascade;

\c regression
drop database regress_partitions;
drop role regress_reader;
