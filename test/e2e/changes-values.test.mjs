// What does a change show? Values of all types, images of the row, what is cut and what may not be seen.

import { after, afterEach, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { abandon, leave } from './lib/client.mjs';
import { listen, watch } from './lib/changes.mjs';
import { until } from './lib/poll.mjs';

let instance;
before(async () => {
  instance = await Instance.start({ settings: ['fsync = off'] });
  await instance.rows(`
    select realtime.setup_supabase();
    create type mood as enum ('sad', 'ok', 'happy');
    create domain positive as int check (value > 0);
    create domain stamp as timestamptz;
    create type spot as (x int, y text, z timestamptz);
    create table types (
      id int primary key, c_int2 int2, gone text, c_int8 int8, c_numeric numeric, c_num102 numeric(10,2), c_float4 float4, c_float8 float8,
      c_bool bool, c_text text, c_varchar varchar(20), c_bpchar char(5), c_name name, c_char "char", c_uuid uuid, c_json json, c_jsonb jsonb,
      c_int4s int4[], c_texts text[], c_jsonbs jsonb[], c_grid int4[][], c_tstzs timestamptz[], c_tstz timestamptz, c_ts timestamp,
      c_date date, c_time time, c_timetz timetz, c_interval interval, c_inet inet, c_cidr cidr, c_mac macaddr, c_mood mood,
      c_moods mood[], c_positive positive, c_stamp stamp, c_spot spot, c_spots spot[], c_oid oid, c_point point, c_money money,
      c_range int4range, c_ranges int4multirange, c_bit bit(4), c_varbit varbit, c_tsv tsvector, c_xml xml,
      c_gen int generated always as (id * 2) stored, "odd ""name" text);
    alter table types drop column gone;
    create table bytes (id int primary key, v bytea, vs bytea[], f float8, n numeric);

    create table by_default (id int primary key, code text not null, v text);
    create table by_full (like by_default including all);
    create table by_index (like by_default including all);
    create table by_nothing (like by_default including all);
    alter table by_full replica identity full;
    create unique index by_index_code on by_index (code);
    alter table by_index replica identity using index by_index_code;
    alter table by_nothing replica identity nothing;
    create table pair (a int, b text, c text, primary key (b, a));

    create table toast (id int primary key, name text, body text);
    create table toast_full (like toast including all);
    alter table toast alter body set storage external;
    alter table toast_full alter body set storage external;
    alter table toast_full replica identity full;

    create table big (id int primary key, tiny text, nothing text, body text);
    create table no_key (a int, b text);
    alter table no_key replica identity full;
    create table half (id int primary key, shown text, hidden text);
    alter table half replica identity full;
    create table key_hidden (id int primary key, shown text);
    alter table key_hidden replica identity full;
    create table secret (id int primary key, v text);
    alter table secret replica identity full;
    alter table secret enable row level security;
    create policy everything on secret for select to anon using (true);

    grant select on all tables in schema public to anon;
    revoke select on half, key_hidden from anon;
    grant select (id, shown) on half to anon;
    grant select (shown) on key_hidden to anon;
    grant select on half to service_role;
    alter publication supabase_realtime add table types, bytes, by_default, by_full, by_index, by_nothing, pair, toast, toast_full,
      big, no_key, half, key_hidden, secret;
  `);
});
after(() => instance?.destroy());
afterEach(abandon);

const names = (columns) => columns.map(({ name }) => name);

describe('values', () => {
  const ROWS = [
    `(1, -32768, 9223372036854775807, 12345678901234567890.123456789, 1.50, 1.5, 0.1, true, E'tab\\t quote " back \\\\ é 日本 \\n \\x01\\x1f',
      'varchar', 'ab', 'a_name', 'c', 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee', '{"b": 1,  "a": [1.50, null]}', '{"b": 1, "a": [1.50, null, "x"]}',
      '{1,NULL,3}', '{"a b","c,d",NULL,"e\\"f"}', array['{"k": 1}', '[1]']::jsonb[], '{{1,2},{3,4}}', '{2024-02-29 12:34:56+02,NULL}',
      '2024-02-29 12:34:56.789012+02', '2024-02-29 12:34:56.789', '2024-02-29', '12:34:56.5', '12:34:56+02', '1 year 2 mons 3 days 04:05:06.7',
      '192.168.0.1/24', '10.0.0.0/8', '08:00:2b:01:02:03', 'happy', '{sad,ok}', 7, '2024-02-29 12:34:56+00', row(1, 'a b', '2024-01-01 00:00+00'),
      array[row(1, 'x,y', null)::spot], 16384, '(1.5,2)', '12.34', '[1,5)', '{[1,2),[5,6)}', B'1010', B'101', 'fat cat', '<a>1</a>',
      default, 'odd')`,
    '(2)',
    `(3, 0, 0, 1e-5, 0, 1e-10, 1e10, false, '', '', '', '', '', null, '"s"', '[]', '{}', '{}', '{}', '{}', '{}',
      'infinity', '-infinity', '0001-01-01 BC', '24:00', '00:00-15:59', '-1 day', '::1', '::/0', null, 'sad', '{}', 1, '-infinity',
      row(null, null, null), '{}', 4294967295, '(0,0)', '-1', 'empty', '{}', B'0000', B'', '', '', default, '')`,
  ];

  // Everything that PostgreSQL's own to_jsonb shows as we do: all but bytea and numbers that are none.
  test('are those of to_jsonb', async () => {
    const self = await watch(instance, [{ table: 'types' }]);
    await instance.rows(`set timezone = 'UTC'; ${ROWS.map((row) => `insert into types values ${row};`).join('\n')} update types set c_text = 'new' where id = 1; `);
    const changes = await self.take(ROWS.length + 1);
    const rows = await instance.rows("set timezone = 'UTC'; select to_jsonb(t) from types t order by id");
    const expected = rows.map((row) => JSON.parse(row));
    const updated = changes.pop();
    assert.deepEqual(changes.slice(1).map(({ record }) => record), expected.slice(1));
    assert.deepEqual(updated.record, expected[0]);
    assert.equal(changes[0].record.c_text, 'tab\t quote " back \\ é 日本 \n \x01\x1f');
    assert.deepEqual({ ...changes[0].record, c_text: 'new' }, expected[0]);
    const columns = await instance.rows(`
      select jsonb_build_object('name', attname, 'type', typname) from pg_attribute a join pg_type t on t.oid = atttypid
      where attrelid = 'types'::regclass and attnum > 0 and not attisdropped order by attnum`);
    for (const change of [...changes, updated]) {
      assert.deepEqual(change.columns, columns.map((column) => JSON.parse(column)));
    }
    self.socket.drop();
  });

  test('bytea is hex without a prefix, numbers that JSON does not have are strings', async () => {
    const self = await watch(instance, [{ table: 'bytes' }]);
    await instance.rows(`insert into bytes values (1, '\\x00ff10', '{"\\\\x01",NULL}', 'NaN', 'Infinity'), (2, '', '{}', '-Infinity', 'NaN')`);
    const changes = await self.take(2);
    assert.deepEqual(changes.map(({ record }) => record), [
      { id: 1, v: '00ff10', vs: changes[0].record.vs, f: 'NaN', n: 'Infinity' },
      { id: 2, v: '', vs: [], f: '-Infinity', n: 'NaN' },
    ]);
    assert.equal(changes[0].record.vs[1], null);
    assert.match(changes[0].record.vs[0], /^(\\x)?01$/);
    self.socket.drop();
  });

  test('supabase-js makes what an application expects of them', async () => {
    const { client, heard } = await listen(instance, [{ table: 'types' }]);
    await instance.rows(`insert into types (id, c_bool, c_numeric, c_int4s, c_jsonb, c_ts, c_tstz) values
      (50, true, 2.5, '{1,2}', '{"a": [1]}', '2024-02-29 12:34:56', '2024-02-29 12:34:56+02')`);
    await until('the change', () => heard[0].length > 0);
    const { new: row, old, eventType, schema, table, errors, commit_timestamp: at } = heard[0][0];
    assert.deepEqual([row.id, row.c_bool, row.c_numeric, row.c_int4s, row.c_jsonb, row.c_ts, row.c_gen, row.c_text],
      [50, true, 2.5, [1, 2], { a: [1] }, '2024-02-29T12:34:56', 100, null]);
    assert.equal(new Date(row.c_tstz).toISOString(), '2024-02-29T10:34:56.000Z');
    assert.deepEqual([old, eventType, schema, table, errors], [{}, 'INSERT', 'public', 'types', null]);
    assert.match(at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.ok(Math.abs(Date.now() - Date.parse(at)) < 60_000, at);
    await leave(client);
  });
});

describe('images', () => {
  // What a sequence of statements on a table shows, as [type, record, old_record].
  async function images(table, sql, count, entry = {}) {
    const self = await watch(instance, [{ table, ...entry }]);
    await instance.rows(sql);
    const changes = await self.take(count);
    self.socket.drop();
    for (const change of changes) {
      assert.equal('record' in change, change.type !== 'DELETE', JSON.stringify(change));
      assert.equal('old_record' in change, change.type !== 'INSERT', JSON.stringify(change));
    }
    return changes.map(({ type, record, old_record: old }) => [type, record, old]);
  }

  const life = (table) => `
    insert into ${table} values (1, 'a', 'x');
    update ${table} set v = 'y';
    update ${table} set v = 'y';
    update ${table} set id = 2, code = 'b';
    delete from ${table}`;
  const rows = [{ id: 1, code: 'a', v: 'x' }, { id: 1, code: 'a', v: 'y' }, { id: 1, code: 'a', v: 'y' }, { id: 2, code: 'b', v: 'y' }];
  const lives = (known) => [
    ['INSERT', rows[0], undefined],
    ...[1, 2, 3].map((n) => ['UPDATE', rows[n], known(rows[n - 1])]),
    ['DELETE', undefined, known(rows[3])],
  ];

  test('of the identity DEFAULT', async () => {
    assert.deepEqual(await images('by_default', life('by_default'), 5), lives(({ id }) => ({ id })));
  });

  test('of the identity FULL', async () => {
    assert.deepEqual(await images('by_full', life('by_full'), 5), lives((row) => row));
  });

  test('of an identity that is an index', async () => {
    assert.deepEqual(await images('by_index', life('by_index'), 5), lives(({ code }) => ({ code })));
  });

  test('of the identity NOTHING: rows can only be inserted', async () => {
    assert.deepEqual(await images('by_nothing', "insert into by_nothing values (1, 'a', 'x')", 1), [['INSERT', rows[0], undefined]]);
    const { notices } = await instance.sql("update by_nothing set v = 'y'");
    assert.match(notices.join(), /does not have a replica identity and publishes updates/);
  });

  test('of a key of two columns', async () => {
    const sql = "insert into pair values (1, 'b', 'c'); update pair set c = 'd'; update pair set a = 2; delete from pair";
    assert.deepEqual(await images('pair', sql, 4), [
      ['INSERT', { a: 1, b: 'b', c: 'c' }, undefined],
      ['UPDATE', { a: 1, b: 'b', c: 'd' }, { a: 1, b: 'b' }],
      ['UPDATE', { a: 2, b: 'b', c: 'd' }, { a: 1, b: 'b' }],
      ['DELETE', undefined, { a: 2, b: 'b' }],
    ]);
  });

  const body = 'b'.repeat(9000);
  const toast = (table) => `
    insert into ${table} values (1, 'one', repeat('b', 9000));
    update ${table} set name = 'two';
    update ${table} set body = repeat('c', 9000);
    delete from ${table}`;

  test('with an out-of-line value that has not changed', async () => {
    assert.deepEqual(await images('toast', toast('toast'), 4), [
      ['INSERT', { id: 1, name: 'one', body }, undefined],
      ['UPDATE', { id: 1, name: 'two' }, { id: 1 }],
      ['UPDATE', { id: 1, name: 'two', body: 'c'.repeat(9000) }, { id: 1 }],
      ['DELETE', undefined, { id: 1 }],
    ]);
  });

  test('the same with identity FULL, which has it from the old row', async () => {
    assert.deepEqual(await images('toast_full', toast('toast_full'), 4), [
      ['INSERT', { id: 1, name: 'one', body }, undefined],
      ['UPDATE', { id: 1, name: 'two', body }, { id: 1, name: 'one', body }],
      ['UPDATE', { id: 1, name: 'two', body: 'c'.repeat(9000) }, { id: 1, name: 'two', body }],
      ['DELETE', undefined, { id: 1, name: 'two', body: 'c'.repeat(9000) }],
    ]);
  });

  test('a filter on such a value matches only where the value is known', async () => {
    for (const table of ['toast', 'toast_full']) {
      const sql = `${toast(table)}; insert into ${table} values (9, 'end', repeat('b', 9000))`;
      const types = (await images(table, sql, table === 'toast' ? 2 : 3, { filter: 'body=like.b%' })).map(([type]) => type);
      assert.deepEqual(types, table === 'toast' ? ['INSERT', 'INSERT'] : ['INSERT', 'UPDATE', 'INSERT']);
      await instance.rows(`truncate ${table}`);
    }
  });

  test('a delete under row level security shows the key only', async () => {
    const sql = "insert into secret values (1, 'x'); update secret set v = 'y'; delete from secret";
    assert.deepEqual(await images('secret', sql, 3), [
      ['INSERT', { id: 1, v: 'x' }, undefined],
      ['UPDATE', { id: 1, v: 'y' }, { id: 1, v: 'x' }],
      ['DELETE', undefined, { id: 1 }],
    ]);
  });

  test('TRUNCATE shows nothing', async () => {
    const sql = "insert into pair values (7, 'b', 'c'); truncate pair; insert into pair values (8, 'b', 'c')";
    assert.deepEqual((await images('pair', sql, 2)).map(([type, record]) => [type, record.a]), [['INSERT', 7], ['INSERT', 8]]);
  });
});

describe('what is not shown', () => {
  test('long values of a change over 1 MB, and the error says so', async () => {
    const self = await watch(instance, [{ table: 'big' }]);
    const chosen = await watch(instance, [{ table: 'big', select: ['tiny'], filter: 'body=neq.x' }]);
    await instance.rows(`
      insert into big values (1, repeat('t', 62), null, repeat('x', 1100000)), (2, repeat('t', 63), null, repeat('x', 1100000));
      update big set tiny = 't', body = repeat('z', 1100000) where id = 1;
      insert into big values (3, 't', null, repeat('x', 900000)), (4, 't', null, repeat(E'\\n', 540000));
      delete from big`);
    const changes = await self.take(9);
    const errors = ['Error 413: Payload Too Large'];
    assert.deepEqual(changes.slice(0, 5).map(({ record, errors }) => [record, errors]), [
      [{ id: 1, tiny: 't'.repeat(62) }, errors],
      [{ id: 2 }, errors],
      [{ id: 1, tiny: 't' }, errors],
      [{ id: 3, tiny: 't', nothing: null, body: 'x'.repeat(900000) }, null],
      [{ id: 4, tiny: 't' }, errors],
    ]);
    assert.deepEqual(changes[2].old_record, { id: 1 });
    assert.deepEqual(names(changes[0].columns), ['id', 'tiny', 'nothing', 'body']);
    assert.deepEqual(changes.slice(5).map(({ type, old_record: old, errors }) => [type, old.id, errors]),
      [['DELETE', 2, null], ['DELETE', 1, null], ['DELETE', 3, null], ['DELETE', 4, null]]);
    const selected = await chosen.take(5);
    assert.deepEqual(selected.map(({ record }) => Object.keys(record)), [['id', 'tiny'], ['id'], ['id', 'tiny'], ['id', 'tiny'], ['id', 'tiny']]);
    assert.deepEqual(names(selected[0].columns), ['id', 'tiny']);
    self.socket.drop();
    chosen.socket.drop();
  });

  test('rows of a table without a key; its deletes are shown', async () => {
    const self = await watch(instance, [{ table: 'no_key', filter: 'a=eq.99' }, { table: 'no_key', event: 'DELETE' }]);
    await instance.rows("insert into no_key values (1, 'x'); update no_key set b = 'y'; delete from no_key");
    const changes = await self.take(3);
    const error = { columns: [], errors: ['Error 400: Bad Request, no primary key'], commit_timestamp: null, schema: 'public', table: 'no_key' };
    assert.deepEqual(changes[0], { type: 'INSERT', record: {}, ...error });
    assert.deepEqual(changes[1], { type: 'UPDATE', record: {}, old_record: {}, ...error });
    assert.deepEqual([changes[2].old_record, changes[2].errors], [{ a: 1, b: 'y' }, null]);
    self.socket.drop();
  });

  test('rows whose key may not be read; of deletes what may be read', async () => {
    const self = await watch(instance, [{ table: 'key_hidden' }]);
    await instance.rows("insert into key_hidden values (1, 'x'); update key_hidden set shown = 'y'; delete from key_hidden");
    const changes = await self.take(3);
    const error = { columns: [], errors: ['Error 401: Unauthorized'], commit_timestamp: null, schema: 'public', table: 'key_hidden' };
    assert.deepEqual(changes[0], { type: 'INSERT', record: {}, ...error });
    assert.deepEqual(changes[1], { type: 'UPDATE', record: {}, old_record: {}, ...error });
    assert.deepEqual([changes[2].old_record, changes[2].errors, names(changes[2].columns)], [{ shown: 'y' }, null, ['shown']]);
    self.socket.drop();
  });

  test('columns that the role may not read or that were not selected', async () => {
    const anon = await watch(instance, [{ table: 'half' }]);
    const chosen = await watch(instance, [{ table: 'half', select: ['hidden'] }], { key: instance.token('service_role') });
    await instance.rows("insert into half values (1, 's', 'h'); update half set hidden = 'i'; delete from half");
    const seen = (changes) => changes.map(({ record, old_record: old, columns }) => [record, old, names(columns)]);
    assert.deepEqual(seen(await anon.take(3)), [
      [{ id: 1, shown: 's' }, undefined, ['id', 'shown']],
      [{ id: 1, shown: 's' }, { id: 1, shown: 's' }, ['id', 'shown']],
      [undefined, { id: 1, shown: 's' }, ['id', 'shown']],
    ]);
    assert.deepEqual(seen(await chosen.take(3)), [
      [{ id: 1, hidden: 'h' }, undefined, ['id', 'hidden']],
      [{ id: 1, hidden: 'i' }, { id: 1, hidden: 'h' }, ['id', 'hidden']],
      [undefined, { id: 1, hidden: 'i' }, ['id', 'hidden']],
    ]);
    anon.socket.drop();
    chosen.socket.drop();
  });
});
