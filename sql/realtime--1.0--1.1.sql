/* sql/realtime--1.0--1.1.sql */

-- complain if the script is fed to psql instead of ALTER EXTENSION
\echo Use "ALTER EXTENSION realtime UPDATE TO '1.1'" to load this file. \quit

-- pg_dump leaves out the rows of realtime.messages too, since its partitions belong to the extension. This table carries
-- them in the same way: its trigger puts them where they belong, and they are not delivered again.
create table realtime.dumped_messages (
	topic text,
	extension text,
	payload pg_catalog.jsonb,
	event text,
	private boolean,
	updated_at timestamp without time zone,
	inserted_at timestamp without time zone,
	id uuid,
	binary_payload bytea,
	position bigint
);

comment on table realtime.dumped_messages is
	'Always empty. Carries the rows of realtime.messages through pg_dump and restore.';

create function realtime.restore_message() returns trigger
	language c
	as 'MODULE_PATHNAME', 'realtime_restore_message';

create trigger restore_message before insert on realtime.dumped_messages
	for each row execute function realtime.restore_message();

-- Partitions that somebody else has attached are dumped by themselves.
select pg_catalog.pg_extension_config_dump('realtime.dumped_messages', $dump$where false
	union all
	select topic, extension, payload, event, private, updated_at, inserted_at, id, binary_payload, "position"
	from realtime.messages
	where tableoid in (select objid from pg_catalog.pg_depend
		where classid = 'pg_catalog.pg_class'::pg_catalog.regclass and deptype = 'e')$dump$);
select pg_catalog.pg_extension_config_dump('realtime.messages_position_seq', '');

-- Its caller sees only what his role may see (sql/views.c), so it needs no other guard. The claims are json, not jsonb, since
-- they may hold \u0000.
create function realtime.list_subscriptions(out connection text, out topic text, out number bigint, out "position" integer,
		out id bigint, out schema_name text, out table_name text, out action text, out filter text, out selected text[],
		out role text, out sub text, out claims json, out since timestamp with time zone) returns setof record
	language c volatile parallel restricted
	as 'MODULE_PATHNAME', 'realtime_list_subscriptions';

-- One row for each entry of a channel and table of the publication that it names, as the reference has them. subscription_id
-- is that of the entry: 16 digits for the connection, 8 each for the channel and its entry.
create view realtime.subscription as
	with published as materialized (
		select p.schemaname, p.tablename,
			pg_catalog.to_regclass(pg_catalog.format('%I.%I', p.schemaname, p.tablename)) as entity
		from pg_catalog.pg_publication_tables p
		where p.pubname = pg_catalog.current_setting('realtime.publication')
			and p.schemaname not in ('pg_catalog', 'information_schema', 'realtime')
	)
	select s.id,
		(pg_catalog.lpad(pg_catalog.to_hex(s.connection::bigint), 16, '0') ||
			pg_catalog.lpad(pg_catalog.to_hex(s.number), 8, '0') ||
			pg_catalog.lpad(pg_catalog.to_hex(s."position"), 8, '0'))::pg_catalog.uuid as subscription_id,
		p.entity, s.filter as filters, s.claims,
		pg_catalog.to_regrole(pg_catalog.quote_ident(s.role)) as claims_role, s.since as created_at,
		s.action as action_filter, s.selected as selected_columns, s.topic, s.connection
	from realtime.list_subscriptions() s
		join published p on (s.schema_name = '*' or p.schemaname::text = s.schema_name)
			and (s.table_name = '*' or p.tablename::text = s.table_name);

comment on view realtime.subscription is
	'What channels have subscribed of Postgres Changes: one row for each entry and table, of those that the caller may see.';

create or replace function realtime.setup_supabase() returns void
	language plpgsql volatile parallel unsafe
	set search_path = pg_catalog, pg_temp
as $setup$
begin
	if pg_catalog.to_regrole('anon') is null then
		create role anon nologin noinherit;
	end if;
	if pg_catalog.to_regrole('authenticated') is null then
		create role authenticated nologin noinherit;
	end if;
	if pg_catalog.to_regrole('service_role') is null then
		create role service_role nologin noinherit bypassrls;
	end if;

	if pg_catalog.to_regnamespace('auth') is null then
		create schema auth;
		grant usage on schema auth to anon, authenticated, service_role;
	end if;
	if pg_catalog.to_regprocedure('auth.uid()') is null then
		create function auth.uid() returns uuid language sql stable parallel safe
			return coalesce(nullif(pg_catalog.current_setting('request.jwt.claim.sub', true), ''),
				nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::pg_catalog.jsonb ->> 'sub')::uuid;
	end if;
	if pg_catalog.to_regprocedure('auth.role()') is null then
		create function auth.role() returns text language sql stable parallel safe
			return coalesce(nullif(pg_catalog.current_setting('request.jwt.claim.role', true), ''),
				nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::pg_catalog.jsonb ->> 'role');
	end if;
	if pg_catalog.to_regprocedure('auth.jwt()') is null then
		create function auth.jwt() returns pg_catalog.jsonb language sql stable parallel safe
			return coalesce(nullif(pg_catalog.current_setting('request.jwt.claim', true), ''),
				nullif(pg_catalog.current_setting('request.jwt.claims', true), ''))::pg_catalog.jsonb;
	end if;

	if not exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime') then
		create publication supabase_realtime;
	end if;

	grant usage on schema realtime to anon, authenticated, service_role;
	grant select, insert, update on realtime.messages to anon, authenticated, service_role;
	grant select on realtime.subscription to anon, authenticated, service_role;
	grant execute on function realtime.list_subscriptions() to anon, authenticated, service_role;
end
$setup$;

comment on view realtime.stats is 'Totals since the server started, queues, lags and limits.';

-- What default privileges have granted goes, as at the end of realtime--1.1.sql.
do $revoke$
declare
	statement text;
begin
	for statement in
		select pg_catalog.format('revoke all on %s %s from %s',
				case o.kind when 'function' then 'function' else 'table' end, o.name,
				case a.grantee when 0 then 'public' else a.grantee::pg_catalog.regrole::text end)
		from (select 'function' as kind, p.oid::pg_catalog.regprocedure::text as name, p.proowner as owner,
					coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner)) as acl
				from pg_catalog.pg_proc p
				where p.oid in ('realtime.restore_message()'::pg_catalog.regprocedure,
					'realtime.list_subscriptions()'::pg_catalog.regprocedure)
			union all
				select 'table', c.oid::pg_catalog.regclass::text, c.relowner, c.relacl
				from pg_catalog.pg_class c
				where c.oid in ('realtime.dumped_messages'::pg_catalog.regclass,
					'realtime.subscription'::pg_catalog.regclass)) o,
			pg_catalog.aclexplode(o.acl) a
		where a.grantee <> o.owner
		group by o.kind, o.name, a.grantee
	loop
		execute statement;
	end loop;
end
$revoke$;

grant execute on function realtime.list_subscriptions() to pg_monitor;
grant select on realtime.subscription to pg_monitor;
