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
				where p.oid = 'realtime.restore_message()'::pg_catalog.regprocedure
			union all
				select 'table', c.oid::pg_catalog.regclass::text, c.relowner, c.relacl
				from pg_catalog.pg_class c
				where c.oid = 'realtime.dumped_messages'::pg_catalog.regclass) o,
			pg_catalog.aclexplode(o.acl) a
		where a.grantee <> o.owner
		group by o.kind, o.name, a.grantee
	loop
		execute statement;
	end loop;
end
$revoke$;
