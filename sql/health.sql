-- realtime.health() and the views.

select wait_until($$ (select count(*) = 5 from realtime.workers where state = 'running') $$);
select wait_until($$ (select ok from realtime.health() where "check" = 'replication') $$);
select "check", ok, hint from realtime.health();
-- every row that is not well says what to do
select "check" from realtime.health() where not ok and hint is null;

select kind, pid is not null as has_pid, state, since <= now() as since, lag >= 0 as lag from realtime.workers order by kind;
-- without the limits, which are settings
select name from realtime.stats where 'realtime.' || name not in (select name from pg_settings) order by name;
select count(*) from realtime.connections;
select count(*) from realtime.channels;
select count(*) from realtime.presence;
select count(*) from realtime.subscription;
select column_name, data_type from information_schema.columns
where table_schema = 'realtime' and table_name = 'subscription' order by ordinal_position;
select column_name, data_type from information_schema.columns
where table_schema = 'realtime' and table_name = 'connections' order by ordinal_position;
select column_name, data_type from information_schema.columns
where table_schema = 'realtime' and table_name = 'channels' order by ordinal_position;
select column_name, data_type from information_schema.columns
where table_schema = 'realtime' and table_name = 'workers' order by ordinal_position;

-- a worker that is ended comes back, and is counted
select pid as launcher from realtime.workers where kind = 'realtime launcher' \gset
select pg_terminate_backend(:launcher);
select wait_until($$ (select state = 'running' and restarts > 0 and pid <> $$ || :launcher || $$
	from realtime.workers where kind = 'realtime launcher') $$);

-- the secret goes missing; a session reads the configuration between two statements
alter system set realtime.jwt_secret = '';
select pg_reload_conf();
\o /dev/null
select $$ select pg_sleep(case when current_setting('realtime.jwt_secret') = '' then 0 else 0.02 end) $$ from generate_series(1, 1000) \gexec
\o
select detail, hint from realtime.health() where "check" = 'jwt_secret';
alter system reset realtime.jwt_secret;
select pg_reload_conf();
\o /dev/null
select $$ select pg_sleep(case when current_setting('realtime.jwt_secret') <> '' then 0 else 0.02 end) $$ from generate_series(1, 1000) \gexec
\o

-- rows that are not moved home yet, and days that have no partition yet
begin;
insert into realtime.messages (topic, extension, inserted_at) values
	('he', 'broadcast', now() at time zone 'utc' - interval '2 days'), ('he', 'broadcast', now() at time zone 'utc' + interval '9 days');
select ok, detail from realtime.health() where "check" = 'default_partition';
set local realtime.partition_clock = '2040-01-01';
select ok, detail from realtime.health() where "check" = 'partitions';
select ok from realtime.health() where "check" = 'retention';
rollback;

-- in a database that is not served
create database regress_other;
\c regress_other
create extension realtime;
select ok, detail, hint from realtime.health() where "check" = 'database';
select ok from realtime.health() where "check" = 'partitions';
-- nobody would get what is published here
select realtime.send('{}', 'ev', 'he');
select realtime.send_binary('', 'ev', 'he');
\c regression
drop database regress_other;
