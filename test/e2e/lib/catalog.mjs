// What the catalog has about the extension, as lines of text without OIDs, so that two databases can be compared.

const MEMBERS = `(select classid, objid from pg_depend
  where refclassid = 'pg_extension'::regclass and refobjid = (select oid from pg_extension where extname = 'realtime')
    and deptype = 'e')`;

// Partitions come and go; `days: true` has them too.
const queries = (days) => {
  const relations = `(select c.* from pg_class c join ${MEMBERS} m on m.classid = 'pg_class'::regclass and m.objid = c.oid
    ${days ? '' : String.raw`where c.relname !~ '^messages_\d{4}_'`})`;
  return [
    `select format('extension version %s schema %s owner %s relocatable %s', extversion, extnamespace::regnamespace,
       extowner::regrole, extrelocatable) from pg_extension where extname = 'realtime'`,
    `select format('dumped: %s %s', c.oid::regclass, condition)
       from pg_extension e, unnest(extconfig, extcondition) with ordinality u (relation, condition, number)
       join pg_class c on c.oid = relation where extname = 'realtime' order by number`,
    `select format('member: %s', pg_describe_object(m.classid, m.objid, 0)) from ${MEMBERS} m
       ${days ? '' : String.raw`where pg_describe_object(m.classid, m.objid, 0) !~ 'realtime\.messages_\d{4}_'`} order by 1`,
    `select format('schema %s owner %s acl %s comment %s', nspname, nspowner::regrole, nspacl, obj_description(oid))
       from pg_namespace where nspname = 'realtime'`,
    `select format('relation %s kind %s owner %s acl %s rls %s %s options %s persistence %s identity %s parts %s bound %s comment %s',
         oid::regclass, relkind, relowner::regrole, relacl, relrowsecurity, relforcerowsecurity, reloptions, relpersistence,
         relreplident, pg_get_partkeydef(oid), pg_get_expr(relpartbound, oid), obj_description(oid, 'pg_class'))
       from ${relations} r order by 1`,
    `select format('column %s.%s number %s type %s not null %s default %s identity %s generated %s storage %s compression %s collation %s acl %s comment %s',
         r.oid::regclass, attname, attnum, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid), attidentity,
         attgenerated, attstorage, attcompression, attcollation::regcollation, attacl, col_description(r.oid, attnum))
       from ${relations} r join pg_attribute a on attrelid = r.oid and attnum > 0
       left join pg_attrdef on adrelid = r.oid and adnum = attnum order by 1`,
    `select format('view %s %s', oid::regclass, pg_get_viewdef(oid)) from ${relations} r where relkind = 'v' order by 1`,
    `select format('sequence %s %s %s %s %s %s %s', oid::regclass, seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle)
       from ${relations} r join pg_sequence on seqrelid = oid order by 1`,
    `select format('constraint %s on %s %s comment %s', conname, conrelid::regclass, pg_get_constraintdef(n.oid),
         obj_description(n.oid, 'pg_constraint')) from ${relations} r join pg_constraint n on conrelid = r.oid order by 1`,
    `select format('index %s valid %s', pg_get_indexdef(indexrelid), indisvalid)
       from ${relations} r join pg_index on indrelid = r.oid order by 1`,
    `select format('trigger %s enabled %s', pg_get_triggerdef(t.oid), tgenabled)
       from ${relations} r join pg_trigger t on tgrelid = r.oid and not tgisinternal order by 1`,
    `select format('function %s owner %s acl %s comment %s', pg_get_functiondef(p.oid), proowner::regrole, proacl,
         obj_description(p.oid, 'pg_proc'))
       from pg_proc p join ${MEMBERS} m on m.classid = 'pg_proc'::regclass and m.objid = p.oid order by 1`,
    `select format('initial privileges of %s: %s %s', pg_describe_object(i.classoid, i.objoid, i.objsubid), privtype, initprivs)
       from pg_init_privs i join ${MEMBERS} m on m.classid = i.classoid and m.objid = i.objoid
       ${days ? '' : String.raw`where pg_describe_object(i.classoid, i.objoid, 0) !~ 'realtime\.messages_\d{4}_'`} order by 1`,
  ];
};

// The lines for the database of a session.
export async function catalog(session, { days = false } = {}) {
  const lines = [];
  for (const query of queries(days)) {
    lines.push(...(await session.rows(query)));
  }
  return lines;
}
