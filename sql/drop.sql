-- DROP EXTENSION takes everything with it and stops the workers; they come back with the next CREATE EXTENSION.

-- rolled back, nothing happens
begin;
drop extension realtime;
rollback;
select count(*) from realtime.workers where state = 'running';

drop extension realtime;
select count(*) from pg_namespace where nspname = 'realtime';
select wait_until($$ (select count(*) = 0 from pg_stat_activity where backend_type = 'realtime decoder' and datname is not null) $$);
-- what setup_supabase() has made stays
select to_regprocedure('auth.uid()') is not null as uid, to_regrole('anon') is not null as anon;

create extension realtime;
select wait_until($$ (select count(*) = 6 from pg_inherits where inhparent = 'realtime.messages'::regclass) $$);
select wait_until($$ (select count(*) = 5 from realtime.workers where state = 'running') $$);
-- its schema can't be another
drop extension realtime;
create extension realtime schema public;
-- a schema of somebody else's is not taken over, which some versions say with the place in the script
\set SHOW_CONTEXT never
create schema realtime;
create extension realtime;
drop schema realtime;
create extension realtime;
select count(*) from pg_depend where deptype = 'e' and classid = 'pg_namespace'::regclass and objid = 'realtime'::regnamespace;
drop extension realtime;
