-- What the extension makes. All other tests build on this one.

-- Waits until a condition holds.
create function wait_until(condition text) returns void language plpgsql as $$
declare
	deadline timestamptz := clock_timestamp() + interval '60 s';
	holds boolean;
begin
	loop
		execute 'select ' || condition into holds;
		exit when holds;
		if clock_timestamp() > deadline then
			raise exception 'waited in vain until %', condition;
		end if;
		perform pg_sleep(0.02);
	end loop;
end
$$;

create extension realtime;
select realtime.setup_supabase();
-- a second time it changes nothing
select realtime.setup_supabase();

-- the launcher finds it and makes the partitions around today
select wait_until($$ (select count(*) = 6 from pg_inherits where inhparent = 'realtime.messages'::regclass) $$);

-- the columns of realtime.messages
select attname, format_type(atttypid, atttypmod) as type, attnotnull as not_null, attidentity as identity,
	pg_get_expr(adbin, adrelid) as "default"
from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
where attrelid = 'realtime.messages'::regclass and attnum > 0 order by attnum;
select conname, pg_get_constraintdef(oid) from pg_constraint where conrelid = 'realtime.messages'::regclass and contype <> 'n' order by conname;
select pg_get_indexdef(indexrelid) from pg_index where indrelid = 'realtime.messages'::regclass order by 1;
select pg_get_partkeydef('realtime.messages'::regclass);

-- row level security on the table, not on its partitions; nobody but the owner gets at a partition
select relrowsecurity, relforcerowsecurity from pg_class where oid = 'realtime.messages'::regclass;
select count(*) as partitions, count(*) filter (where relrowsecurity) as with_rls,
	count(*) filter (where relacl is not null and cardinality(relacl) > 1) as with_grants,
	count(*) filter (where relowner = (select relowner from pg_class where oid = 'realtime.messages'::regclass)) as owned
from pg_inherits join pg_class on oid = inhrelid where inhparent = 'realtime.messages'::regclass;

-- the trigger fires always, in every partition
select tgenabled, count(*)
from pg_trigger join (select 'realtime.messages'::regclass as relid union all
	select inhrelid from pg_inherits where inhparent = 'realtime.messages'::regclass) r on tgrelid = relid
where tgfoid = 'realtime.note_message_file'::regproc group by tgenabled;

-- everything in the schema belongs to the extension, and so does the schema
select count(*) as strangers
from (select 'pg_class'::regclass as classid, oid from pg_class
		where relnamespace = 'realtime'::regnamespace and relkind in ('r', 'p', 'v')
	union all select 'pg_proc'::regclass, oid from pg_proc where pronamespace = 'realtime'::regnamespace
	union all select 'pg_namespace'::regclass, oid from pg_namespace where nspname = 'realtime') o
where not exists (select from pg_depend d where d.classid = o.classid and d.objid = o.oid and d.deptype = 'e'
	and d.refobjid = (select oid from pg_extension where extname = 'realtime'));

-- partitions reach from yesterday to three days ahead, by UTC
select count(*) as partitions,
	count(*) filter (where to_regclass('realtime.messages_' || to_char(day, 'YYYY_MM_DD')) is not null) as found
from generate_series(date_trunc('day', now() at time zone 'utc') - interval '1 day',
	date_trunc('day', now() at time zone 'utc') + interval '3 days', interval '1 day') day;

-- what setup_supabase() has made
select rolname, rolcanlogin, rolinherit, rolbypassrls, rolsuper from pg_roles
where rolname in ('anon', 'authenticated', 'service_role') order by rolname;
select pubname, puballtables from pg_publication;
select grantee, string_agg(privilege_type, ', ' order by privilege_type) from information_schema.role_table_grants
where table_schema = 'realtime' and table_name = 'messages' and grantee in ('anon', 'authenticated', 'service_role')
group by grantee order by grantee;

-- auth.uid() and its like read both spellings of the claims
select auth.uid(), auth.role(), auth.jwt();
begin;
set local request.jwt.claims = '{"sub": "11111111-1111-4111-8111-111111111111", "role": "authenticated", "x": 1}';
select auth.uid(), auth.role(), auth.jwt();
set local request.jwt.claim.sub = '22222222-2222-4222-8222-222222222222';
set local request.jwt.claim.role = 'anon';
select auth.uid(), auth.role();
rollback;
