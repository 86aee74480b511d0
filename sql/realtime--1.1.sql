/* sql/realtime--1.1.sql */

-- complain if the script is fed to psql instead of CREATE EXTENSION
\echo Use "CREATE EXTENSION realtime" to load this file. \quit

-- The schema is made here, so that the extension owns it: it goes with DROP EXTENSION, and dumps hold nothing of it
-- but the grants and the policies that were added to its tables.
create schema realtime;
grant usage on schema realtime to pg_monitor;

----------------------------------------------------------------------------------------------------------------------
-- realtime.messages: what the database publishes
----------------------------------------------------------------------------------------------------------------------

create table realtime.messages (
	topic text not null,
	extension text not null,
	payload pg_catalog.jsonb,
	event text,
	private boolean default false,
	updated_at timestamp without time zone not null default (pg_catalog.now() at time zone 'utc'),
	inserted_at timestamp without time zone not null default (pg_catalog.now() at time zone 'utc'),
	id uuid not null default pg_catalog.gen_random_uuid(),
	binary_payload bytea,
	position bigint not null generated always as identity,
	constraint messages_pkey primary key (id, inserted_at),
	constraint messages_payload_exclusive check (payload is null or binary_payload is null)
) partition by range (inserted_at);

comment on table realtime.messages is
	'Messages for the members of a channel: a row that is inserted is delivered when its transaction has committed.';
comment on column realtime.messages.topic is 'Topic of the channel, without "realtime:".';
comment on column realtime.messages.private is 'Whether members of the private or of the public channel get it.';
comment on column realtime.messages.id is 'What clients see as meta.id.';
comment on column realtime.messages.position is 'Orders the rows of one transaction.';

-- serves replay
create index messages_inserted_at_topic_index on realtime.messages (inserted_at desc, topic)
	where extension = 'broadcast' and private is true;

alter table realtime.messages enable row level security;

-- Tells the message decoder which files hold messages. It comes before any partition, which gets its own copy of it,
-- and fires for every kind of insert, whatever session_replication_role says. An update of inserted_at may move a row
-- to another partition; the decoder knows such a move by the file that the row leaves.
create function realtime.note_message_file() returns trigger
	language c
	as 'MODULE_PATHNAME', 'realtime_note_message_file';

create trigger realtime_note_message_file before insert or update of inserted_at on realtime.messages
	for each row execute function realtime.note_message_file();
alter table realtime.messages enable always trigger realtime_note_message_file;

-- Partitions for the days around today are made by the launcher. What they don't cover lands here.
create table realtime.messages_default partition of realtime.messages default;

-- Before PostgreSQL 17 partitions don't inherit the identity: a row that is inserted here directly needs this.
do $identity$
begin
	if pg_catalog.current_setting('server_version_num')::integer < 170000 then
		alter table realtime.messages_default
			alter column position set default pg_catalog.nextval('realtime.messages_position_seq');
	end if;
end
$identity$;

comment on table realtime.messages_default is
	'Messages of days that have no partition; the launcher moves them home.';

create function realtime.maintain_partitions() returns void
	language c volatile parallel unsafe
	as 'MODULE_PATHNAME', 'realtime_maintain_partitions';

comment on function realtime.maintain_partitions() is
	'Does now what the launcher does every hour: makes and drops partitions of realtime.messages. Superusers only.';

-- pg_dump leaves out the policies of tables that belong to an extension. This table carries them: what is dumped as its
-- contents are the policies of the moment, and when that is restored, its trigger creates them.
create table realtime.policies (
	name name,
	permissive boolean,
	command text,
	roles text,
	using_expression text,
	check_expression text
);

comment on table realtime.policies is
	'Always empty. Carries the policies of realtime.messages through pg_dump and restore.';

create function realtime.restore_policy() returns trigger
	language plpgsql
	set search_path = pg_catalog, pg_temp
as $policy$
begin
	if not exists (select from pg_catalog.pg_policy
			where polrelid = 'realtime.messages'::regclass and polname = new.name) then
		execute format('create policy %I on realtime.messages as %s for %s to %s%s%s', new.name,
			case when new.permissive then 'permissive' else 'restrictive' end, new.command, new.roles,
			' using (' || new.using_expression || ')', ' with check (' || new.check_expression || ')');
	end if;
	return null;
end
$policy$;

create trigger restore_policy before insert on realtime.policies
	for each row execute function realtime.restore_policy();

select pg_catalog.pg_extension_config_dump('realtime.policies', $dump$where false
	union all
	select polname, polpermissive,
		case polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
		(select pg_catalog.string_agg(case r when 0 then 'public' else r::pg_catalog.regrole::text end, ', ')
			from pg_catalog.unnest(polroles) r),
		pg_catalog.pg_get_expr(polqual, polrelid), pg_catalog.pg_get_expr(polwithcheck, polrelid)
	from pg_catalog.pg_policy where polrelid = 'realtime.messages'::pg_catalog.regclass$dump$);

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

----------------------------------------------------------------------------------------------------------------------
-- What everybody may call
----------------------------------------------------------------------------------------------------------------------

create function realtime.send(payload jsonb, event text, topic text, private boolean default true) returns void
	language c volatile parallel unsafe
	as 'MODULE_PATHNAME', 'realtime_send';

comment on function realtime.send(jsonb, text, text, boolean) is
	'Sends a JSON object to the members of a channel when this transaction commits.';

create function realtime.send_binary(payload bytea, event text, topic text, private boolean default true) returns void
	language c volatile parallel unsafe
	as 'MODULE_PATHNAME', 'realtime_send_binary';

comment on function realtime.send_binary(bytea, text, text, boolean) is
	'Sends bytes to the members of a channel when this transaction commits.';

create function realtime.broadcast_changes(topic_name text, event_name text, operation text, table_name text,
		table_schema text, new record, old record, level text default 'ROW') returns void
	language c volatile parallel unsafe
	as 'MODULE_PATHNAME', 'realtime_broadcast_changes';

comment on function realtime.broadcast_changes(text, text, text, text, text, record, record, text) is
	'For row triggers: sends the changed row to the members of a private channel when this transaction commits.';

-- The body is parsed here and now, so a search_path can't change its meaning, and policies get it inlined.
create function realtime.topic() returns text
	language sql stable parallel safe
	return nullif(pg_catalog.current_setting('realtime.topic', true), '');

comment on function realtime.topic() is 'Topic of the channel that a policy is asked about; null outside of one.';

----------------------------------------------------------------------------------------------------------------------
-- Administration
----------------------------------------------------------------------------------------------------------------------

create function realtime.issue_token(role text, claims jsonb default '{}', expires_in interval default '1 hour')
	returns text
	language c volatile parallel restricted
	as 'MODULE_PATHNAME', 'realtime_issue_token';

comment on function realtime.issue_token(text, jsonb, interval) is
	'A token signed with realtime.jwt_secret (HS256): an API key, or the access token of a user.';

create function realtime.health(out "check" text, out ok boolean, out detail text, out hint text) returns setof record
	language c volatile parallel unsafe security definer set search_path = pg_catalog, pg_temp
	as 'MODULE_PATHNAME', 'realtime_health';

comment on function realtime.health() is 'What works and what does not, one row for each thing that can be wrong.';

create function realtime.reauthorize(topic text default null) returns void
	language c volatile parallel unsafe
	as 'MODULE_PATHNAME', 'realtime_reauthorize';

comment on function realtime.reauthorize(text) is
	'Judges the members of a private channel, or of all, again when this transaction commits.';

create function realtime.disconnect(topic text default null, sub text default null, reason text default null)
	returns integer
	language c volatile parallel restricted
	as 'MODULE_PATHNAME', 'realtime_disconnect';

comment on function realtime.disconnect(text, text, text) is
	'Ends, at once, the clients that have joined a topic, have this sub in their token, both, or all; returns how many.';

create function realtime.list_connections(out id text, out listener integer, out client_addr inet, out vsn text,
		out role text, out sub text, out connected_at timestamp with time zone, out last_seen timestamp with time zone,
		out channels integer, out queued_bytes bigint, out sent bigint, out received bigint) returns setof record
	language c volatile parallel restricted
	as 'MODULE_PATHNAME', 'realtime_list_connections';

create function realtime.list_channels(out topic text, out private boolean, out connection text,
		out joined_at timestamp with time zone, out presence_key text, out subscriptions integer) returns setof record
	language c volatile parallel restricted
	as 'MODULE_PATHNAME', 'realtime_list_channels';

-- The payload is json, not jsonb, since clients may track \u0000. It is null if it is longer than 128 kB.
create function realtime.list_presence(out topic text, out private boolean, out key text, out phx_ref text,
		out payload json, out since timestamp with time zone, out connection text, out listener integer,
		out seen_by integer) returns setof record
	language c volatile parallel restricted
	as 'MODULE_PATHNAME', 'realtime_list_presence';

-- Its caller sees only what his role may see (sql/views.c), so it needs no other guard. The claims are json, not jsonb, since
-- they may hold \u0000.
create function realtime.list_subscriptions(out connection text, out topic text, out number bigint, out "position" integer,
		out id bigint, out schema_name text, out table_name text, out action text, out filter text, out selected text[],
		out role text, out sub text, out claims json, out since timestamp with time zone) returns setof record
	language c volatile parallel restricted
	as 'MODULE_PATHNAME', 'realtime_list_subscriptions';

create function realtime.list_workers(out kind text, out pid integer, out state text,
		out since timestamp with time zone, out restarts bigint, out "position" pg_lsn, out lag bigint)
	returns setof record
	language c volatile parallel restricted
	as 'MODULE_PATHNAME', 'realtime_list_workers';

create function realtime.list_stats(out name text, out value bigint) returns setof record
	language c volatile parallel restricted
	as 'MODULE_PATHNAME', 'realtime_list_stats';

create view realtime.connections as
	select id, listener, client_addr, vsn, role, sub, connected_at, last_seen, channels, queued_bytes, sent, received
	from realtime.list_connections();

create view realtime.channels as
	select topic, private, connection, joined_at, presence_key, subscriptions
	from realtime.list_channels();

create view realtime.presence as
	select topic, private, key, phx_ref, payload, since, connection, listener, seen_by
	from realtime.list_presence();

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

create view realtime.workers as
	select kind, pid, state, since, restarts, "position", lag
	from realtime.list_workers();

create view realtime.stats as
	select name, value
	from realtime.list_stats();

comment on view realtime.connections is 'Clients that are connected.';
comment on view realtime.channels is 'Channels that clients have joined, one row for each client.';
comment on view realtime.presence is 'Who is present where, one row for each listener that knows of it (seen_by).';
comment on view realtime.subscription is
	'What channels have subscribed of Postgres Changes: one row for each entry and table, of those that the caller may see.';
comment on view realtime.workers is 'The background workers of realtime and what they are at.';
comment on view realtime.stats is 'Totals since the server started, queues, lags and limits.';

-- Roles, functions and the publication that Supabase's clients and policies count on. They are no part of the
-- extension: dumps hold them, and they stay when it is dropped.
create function realtime.setup_supabase() returns void
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

comment on function realtime.setup_supabase() is
	'Makes what Supabase clients count on, where it is missing: roles, auth.uid() and its like, the publication, grants.';

----------------------------------------------------------------------------------------------------------------------
-- Privileges: send, send_binary, broadcast_changes and topic are everybody's, the rest is not
----------------------------------------------------------------------------------------------------------------------

-- What default privileges have granted goes too: a grant on a partition would lead around the policies of the table.
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
				where p.pronamespace = 'realtime'::pg_catalog.regnamespace
					and p.proname not in ('send', 'send_binary', 'broadcast_changes', 'topic')
			union all
				select 'table', c.oid::pg_catalog.regclass::text, c.relowner, c.relacl
				from pg_catalog.pg_class c
				where c.relnamespace = 'realtime'::pg_catalog.regnamespace and c.relkind in ('r', 'p', 'v', 'S')) o,
			pg_catalog.aclexplode(o.acl) a
		where a.grantee <> o.owner
		group by o.kind, o.name, a.grantee
	loop
		execute statement;
	end loop;
end
$revoke$;

grant execute on function
	realtime.health(),
	realtime.list_connections(),
	realtime.list_channels(),
	realtime.list_presence(),
	realtime.list_subscriptions(),
	realtime.list_workers(),
	realtime.list_stats()
	to pg_monitor;

grant select on realtime.connections, realtime.channels, realtime.presence, realtime.subscription, realtime.workers,
	realtime.stats to pg_monitor;

-- What is created where nobody serves it says so at once.
do $served$
declare
	served text := pg_catalog.current_setting('realtime.database', true);
begin
	if served is null then
		raise warning 'realtime is not loaded at server start: nothing is served'
			using hint = 'Add realtime to shared_preload_libraries and restart the server.';
	elsif served <> pg_catalog.current_database() then
		raise warning 'database "%" is not served: realtime.database is "%"', pg_catalog.current_database(), served
			using hint = 'Create the extension in that database, or set realtime.database to this one and restart the server.';
	end if;
end
$served$;
