-- Without shared_preload_libraries, and with wal_level = replica: what still works says what is wrong.

create extension realtime;
select "check", ok, detail, hint from realtime.health() where not ok;

select realtime.send('{}', 'ev', 'ba');
select realtime.send_binary('', 'ev', 'ba');
select realtime.broadcast_changes('ba', 'ev', 'INSERT', 't', 's', null::pg_class, null::pg_class);
insert into realtime.messages (topic, extension) values ('ba', 'broadcast');
select realtime.issue_token('anon');
select realtime.maintain_partitions();
select * from realtime.workers;
select * from realtime.stats;
select * from realtime.connections;
select * from realtime.channels;
select * from realtime.presence;
select * from realtime.list_subscriptions();

-- what needs no shared memory; that wal_level is too low the server says in other words from version to version
set client_min_messages = error;
select realtime.setup_supabase();
reset client_min_messages;
select realtime.topic() is null as none;
begin;
set local realtime.topic = 'ba';
select realtime.topic();
commit;
drop extension realtime;
