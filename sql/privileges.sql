-- Who may do what. 42501 is insufficient_privilege.

create role watcher;
grant pg_monitor to watcher;
create role stranger;
\set VERBOSITY sqlstate

set role anon;
show realtime.jwt_secret;
select realtime.issue_token('service_role');
select realtime.maintain_partitions();
select realtime.setup_supabase();
select * from realtime.health();
select * from realtime.connections;
select * from realtime.channels;
select * from realtime.presence;
select * from realtime.workers;
select * from realtime.stats;
select * from realtime.list_connections();
select * from realtime.list_channels();
select * from realtime.list_presence();
-- those of his role, and there are none
select * from realtime.subscription;
select * from realtime.list_subscriptions();
select * from realtime.list_workers();
select * from realtime.list_stats();
select * from realtime.messages_default;
insert into realtime.messages_default (topic, extension, inserted_at) values ('x', 'broadcast', '2000-01-01');
select nextval('realtime.messages_position_seq');
alter table realtime.messages disable trigger all;
create table realtime.mine ();
delete from realtime.messages;
truncate realtime.messages;
set realtime.partition_clock = '2000-01-01';
-- row level security decides about messages
select realtime.send('{}', 'ev', 'pr');
select realtime.send_binary('', 'ev', 'pr');
select count(*) from realtime.messages;
select realtime.topic() is null as none;

set role stranger;
select * from realtime.subscription;
select * from realtime.list_subscriptions();
select realtime.send('{}', 'ev', 'pr');
select * from realtime.messages;
reset role;

-- policies are asked with realtime.topic() set
create policy members on realtime.messages for insert to authenticated
	with check ((select realtime.topic()) = 'pr-open' and extension = 'broadcast');
create policy listeners on realtime.messages for select to authenticated using (topic = 'pr-open');
\set VERBOSITY default
set role authenticated;
select realtime.send('{"by": "authenticated"}', 'ev', 'pr-open');
select realtime.send('{"by": "authenticated"}', 'ev', 'pr-closed');
select payload - 'id' as payload from realtime.messages;
set role anon;
select count(*) from realtime.messages;
set role service_role;
select realtime.send('{"by": "service_role"}', 'ev', 'pr-closed');
select payload - 'id' as payload from realtime.messages order by position;
reset role;
-- the plan that was made for one role is not used for another
create function send_as(who name) returns void language plpgsql as $$
begin
	perform set_config('role', who, true);
	perform realtime.send('{}', 'ev', 'pr-closed');
end
$$;
begin;
select send_as('service_role');
select send_as('authenticated');
rollback;

-- a SECURITY DEFINER function publishes for those who may not
create function announce() returns void language sql security definer set search_path = ''
	as $$ select realtime.send('{"by": "announce"}', 'ev', 'pr-open') $$;
set role anon;
select announce();
reset role;
select count(*) from realtime.messages where payload ->> 'by' = 'announce';

-- pg_monitor may look
set role watcher;
select count(*) > 0 as seen from realtime.health();
select count(*) > 0 as seen from realtime.workers;
select count(*) > 0 as seen from realtime.stats;
select count(*) >= 0 as seen from realtime.connections;
select count(*) >= 0 as seen from realtime.channels;
select count(*) >= 0 as seen from realtime.presence;
select count(*) >= 0 as seen from realtime.subscription;
\set VERBOSITY sqlstate
select realtime.issue_token('anon');
select realtime.maintain_partitions();
select * from realtime.messages;
reset role;
\set VERBOSITY default

-- functions that everybody may execute
select proname from pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner)))
where pronamespace = 'realtime'::regnamespace and grantee = 0 order by 1;

drop policy members on realtime.messages;
drop policy listeners on realtime.messages;
drop function send_as, announce;
drop role watcher, stranger;
delete from realtime.messages;
