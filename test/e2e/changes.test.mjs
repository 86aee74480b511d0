// Does the published supabase-js get the changes it subscribes to, and no others? Subscribing in all ways, what is
// refused, new tokens, two listeners, publications that change, and whose version of a row is judged.

import { after, afterEach, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { VERSIONS, abandon, leave, subscribe, supabase } from './lib/client.mjs';
import { listen, refusal, watch } from './lib/changes.mjs';
import { member, workers } from './lib/member.mjs';
import { until } from './lib/poll.mjs';

const ANN = '11111111-1111-4111-8111-111111111111';
const BOB = '22222222-2222-4222-8222-222222222222';
const SUBSCRIBED = 'Subscribed to PostgreSQL';

let instance;
before(async () => {
  instance = await Instance.start({ listeners: 2, settings: ['fsync = off', 'autovacuum = off'] });
  await instance.rows(`
    select realtime.setup_supabase();
    create schema app;
    grant usage on schema app to anon, authenticated;
    alter default privileges grant select on tables to anon, authenticated;
    create table items (id int primary key, name text, n int);
    create table others (id int primary key, name text);
    create table app.notes (id int primary key, name text);
    create table mine (id int primary key, owner uuid);
    alter table mine enable row level security;
    create policy own on mine for select to authenticated using (owner = auth.uid());
    create table fence (id int primary key);
    create table unpublished (id int primary key);
    alter publication supabase_realtime add table items, others, app.notes, mine, fence;
    create policy reads on realtime.messages for select to authenticated using (true);
  `);
});
after(() => instance?.destroy());
afterEach(abandon);

let ids = 0;
const newId = () => ++ids;
let topics = 0;
const newTopic = () => `topic-${++topics}`;

// [type, table, id] of payloads of supabase-js, and of data on the wire.
const told = (payloads) => payloads.map(({ eventType, table, new: row, old }) => `${eventType} ${table} ${row.id ?? old.id}`);
const shown = (changes) => changes.map(({ type, table, record, old_record: old }) => `${type} ${table} ${(record ?? old).id}`);

// What came on a raw connection that has subscribed to `fence` as well.
async function come(self) {
  const id = newId();
  await instance.rows(`insert into fence values (${id})`);
  const changes = [];
  await until(
    () => `fence ${id}; came ${shown(changes)}; told ${JSON.stringify(self.systems)}`,
    async () => {
      changes.push(...(await self.take(0)));
      return changes.some(({ table, record }) => table === 'fence' && record?.id === id);
    },
    { seconds: 20 },
  );
  return shown(changes).filter((line) => !line.includes(' fence '));
}

for (const vsn of VERSIONS) {
  describe(`supabase-js ${vsn}`, () => {
    test('each binding of a channel gets what it asks for', async () => {
      const entries = {
        'a table': { table: 'items' },
        INSERT: { table: 'items', event: 'INSERT' },
        UPDATE: { table: 'items', event: 'UPDATE' },
        DELETE: { table: 'items', event: 'DELETE' },
        'a schema': {},
        'any table of it': { table: '*' },
        'another schema': { schema: 'app' },
        everything: { schema: '*' },
        'one of any schema': { schema: '*', table: 'notes' },
        'a filter': { table: 'items', filter: 'n=gt.5' },
        'two filters': { table: 'items', filter: 'n=gt.5,name=in.("b","c")' },
        'what does not come': { table: 'items', filter: 'n=eq.77' },
        columns: { table: 'others', select: ['id'] },
      };
      const names = Object.keys(entries);
      const { client, channel, heard } = await listen(instance, Object.values(entries), { vsn });
      const [a, b, c, d, last] = Array.from({ length: 5 }, newId);
      await instance.rows(`
        insert into items values (${a}, 'a', 1), (${b}, 'b', 9);
        insert into others values (${c}, 'c');
        insert into app.notes values (${d}, 'd');
        update items set n = 7 where id = ${a};
        delete from items where id = ${b};
        insert into others values (${last}, 'last')`);
      await until('the last change', () => heard[names.indexOf('everything')].some((change) => change.new.id === last));
      const items = [`INSERT items ${a}`, `INSERT items ${b}`, `UPDATE items ${a}`, `DELETE items ${b}`];
      const [, , update, remove] = items;
      const ofPublic = [items[0], items[1], `INSERT others ${c}`, update, remove, `INSERT others ${last}`];
      const all = [...ofPublic.slice(0, 3), `INSERT notes ${d}`, ...ofPublic.slice(3)];
      const got = Object.fromEntries(names.map((name, i) => [name, told(heard[i])]));
      assert.deepEqual(got, {
        'a table': items,
        INSERT: items.slice(0, 2),
        UPDATE: [update],
        DELETE: [remove],
        'a schema': ofPublic,
        'any table of it': ofPublic,
        'another schema': [`INSERT notes ${d}`],
        everything: all,
        'one of any schema': [`INSERT notes ${d}`],
        'a filter': [items[1], update],
        'two filters': [items[1]],
        'what does not come': [],
        columns: [`INSERT others ${c}`, `INSERT others ${last}`],
      });
      const [narrow] = heard[names.indexOf('columns')];
      assert.deepEqual([Object.keys(narrow.new), narrow.errors], [['id'], null]);
      const [insert, , updated, deleted] = heard[0];
      assert.deepEqual(
        [insert.schema, insert.new, insert.old, updated.new, updated.old, deleted.new, deleted.old],
        ['public', { id: a, name: 'a', n: 1 }, {}, { id: a, name: 'a', n: 7 }, { id: a }, {}, { id: b }],
      );
      assert.match(insert.commit_timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|\+00:00)$/);
      assert.ok(Math.abs(Date.parse(insert.commit_timestamp) - Date.now()) < 20_000);
      // The client, too, knows the ids of the echo; equal entries have equal ids.
      const echoed = channel.bindings.postgres_changes.map(({ id }) => id);
      assert.ok(echoed.every((id) => Number.isInteger(id)), JSON.stringify(echoed));
      assert.equal(new Set(echoed).size, echoed.length);
      await leave(client);
    });

    test('what is inserted as soon as it is SUBSCRIBED comes', async () => {
      const client = supabase(instance, { vsn });
      for (let i = 0; i < 50; i++) {
        const channel = client.channel(newTopic());
        const got = [];
        channel.on('postgres_changes', { event: 'INSERT', schema: 'public', table: 'items' }, (change) => got.push(change.new.id));
        await subscribe(channel);
        const id = newId();
        await instance.rows(`insert into items (id) values (${id})`);
        await until(() => `row ${id} after SUBSCRIBED number ${i}; got ${got}`, () => got.includes(id), { every: 2 });
        await client.removeChannel(channel);
      }
      await leave(client);
    });

    test('another token: what is seen is what its user may see', async () => {
      const client = supabase(instance, { vsn });
      const channel = client.channel(newTopic());
      const got = [];
      const systems = [];
      channel.on('postgres_changes', { event: '*', schema: 'public', table: 'mine' }, (change) => got.push(change.new.id));
      channel.on('system', {}, (payload) => systems.push(payload));
      const [a1, b1, a2, b2, last] = Array.from({ length: 5 }, newId);
      const ready = (count) => until(() => `message ${count}: ${JSON.stringify(systems)}`, () =>
        systems.filter(({ status, message }) => status === 'ok' && message === SUBSCRIBED).length === count);
      await client.realtime.setAuth(instance.token('authenticated', { sub: ANN }));
      await subscribe(channel);
      await ready(1);
      await instance.rows(`insert into mine values (${b1}, '${BOB}'), (${a1}, '${ANN}')`);
      await until('the row of the first user', () => got.includes(a1));
      await client.realtime.setAuth(instance.token('authenticated', { sub: BOB }));
      await ready(2);
      await instance.rows(`insert into mine values (${a2}, '${ANN}'), (${b2}, '${BOB}')`);
      await until('the row of the second user', () => got.includes(b2));
      await client.realtime.setAuth(instance.token('anon'));
      await ready(3);
      await instance.rows(`insert into mine values (${last}, '${BOB}'); delete from mine where id = ${last}`);
      await until('the delete, which is not judged', () => got.length === 3);
      assert.deepEqual(got, [a1, b2, undefined]);
      await leave(client);
    });

    test('a private channel, and broadcasts beside', async () => {
      const client = supabase(instance, { vsn });
      await client.realtime.setAuth(instance.token('authenticated', { sub: ANN }));
      const channel = client.channel(newTopic(), { config: { private: true } });
      const got = [];
      const casts = [];
      channel.on('postgres_changes', { event: '*', schema: 'public', table: 'mine' }, (change) => got.push(change.new.id));
      channel.on('broadcast', { event: '*' }, ({ payload }) => casts.push(payload.n));
      await subscribe(channel);
      const [a, b] = [newId(), newId()];
      await instance.rows(`insert into mine values (${b}, '${BOB}'), (${a}, '${ANN}')`);
      await until('the row', () => got.length > 0);
      await until('a broadcast', async () => {
        await instance.rows(`select realtime.send('{"n": 1}', 'e', '${channel.subTopic}', true)`);
        return casts.length > 0;
      });
      assert.deepEqual(got, [a]);
      await leave(client);
    });
  });
}

describe('the wire', () => {
  test('ids are echoed, the same for the same entry, and say which entries a change is for', async () => {
    const entries = [{ table: 'items' }, { table: 'items', filter: 'n=eq.1' }, { event: 'DELETE', table: 'items' }, { schema: '*', table: 'fence' }];
    const one = await watch(instance, entries);
    const two = await watch(instance, [...entries].reverse(), { vsn: '1.0.0' });
    assert.deepEqual(two.ids, [...one.ids].reverse());
    assert.equal(new Set(one.ids).size, entries.length);
    assert.deepEqual(
      one.replies.get('1').response.postgres_changes.map(({ id, ...entry }) => entry),
      entries.map((entry) => ({ event: '*', schema: 'public', ...entry })),
    );
    const id = newId();
    await instance.rows(`insert into items values (${id}, null, 1); delete from items where id = ${id}`);
    for (const self of [one, two]) {
      const changes = await until('both changes', () => self.others.length >= 2 && self.others.filter(({ event }) => event === 'postgres_changes'));
      const sorted = (list) => [...list].sort((a, b) => a - b);
      assert.deepEqual(changes.map(({ payload }) => sorted(payload.ids)), [sorted([one.ids[0], one.ids[1]]), sorted([one.ids[0], one.ids[2]])]);
      self.socket.drop();
    }
  });

  test('an event in any case; anything else, or none, is all of them; a table alone is one of public', async () => {
    const asked = [
      [{ table: 'others', event: 'insert' }, ['INSERT']], [{ table: 'others', event: 'Update' }, ['UPDATE']],
      [{ table: 'others', event: 'anything' }, ['INSERT', 'UPDATE', 'DELETE']], [{ table: 'others', event: undefined }, ['INSERT', 'UPDATE', 'DELETE']],
      [{ table: 'others', event: 7, schema: undefined }, ['INSERT', 'UPDATE', 'DELETE']],
    ];
    for (const [entry, types] of asked) {
      const self = await watch(instance, [entry, { table: 'fence' }]);
      const id = newId();
      await instance.rows(`insert into others values (${id}); update others set name = 'x' where id = ${id}; delete from others where id = ${id}`);
      assert.deepEqual(await come(self), types.map((type) => `${type} others ${id}`), JSON.stringify(entry));
      self.socket.drop();
    }
  });

  test('listeners share the subscribers, and each tells its own', async () => {
    const many = await Promise.all(Array.from({ length: 24 }, () => watch(instance, [{ table: 'items' }, { table: 'fence' }])));
    const spread = await instance.rows('select listener, count(*) from realtime.connections group by 1');
    assert.equal(spread.length, 2, `both have clients: ${spread}`);
    const id = newId();
    await instance.rows(`insert into items (id) values (${id})`);
    for (const self of many) {
      assert.deepEqual(await come(self), [`INSERT items ${id}`]);
      self.socket.drop();
    }
  });
});

describe('what is refused, and the channel stays', () => {
  const ABOUT = 'Unable to subscribe to changes with given parameters. ';
  const ENABLED = `${ABOUT}Please check Realtime is enabled for the given connect parameters: `;
  const EXCEPTION = `${ABOUT}An exception happened so please check your connect parameters: `;
  const FILTER = 'Error parsing `filter` params: ';
  const cases = [
    [{ schema: undefined }, 'No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: %{"event" => "*"}'],
    [{ table: 'items', filter: null }, /^No subscription params provided\. .*: %\{.*"filter" => nil.*\}$/],
    [{ table: 7 }, /^No subscription params provided\. .*: %\{.*"table" => 7.*\}$/],
    [{ filter: 'id=eq.1' }, /^No subscription params provided\. /],
    [{ table: 'items', user_token: 'secret' , filter: 7 }, /^No subscription params provided\. .*: <redacted>$/],
    [{ table: 'items', select: 'id' }, 'Error parsing `select` params: expected a list of column name strings, e.g. select: ["col1", "col2"]'],
    [{ table: '*', select: ['id'] }, 'Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name.'],
    [{ table: 'items', filter: 'id=eq.1,' }, `${FILTER}filter must not contain empty segments (check for extra commas)`],
    [{ table: 'items', filter: 'nothing' }, `${FILTER}["nothing"]`],
    [{ table: 'items', filter: 'id=foo.hey' }, `${FILTER}["foo", "hey"]`],
    [{ table: 'items', filter: 'id=abc' }, `${FILTER}["abc"]`],
    [{ table: 'items', filter: 'id=in.1' }, `${FILTER}\`in\` filter value must be wrapped by parentheses`],
    [{ table: 'unpublished', event: 'INSERT' }, `${ENABLED}[event: INSERT, schema: public, table: unpublished, filters: [], select: nil]`],
    [{ table: 'nowhere' }, `${ENABLED}[event: *, schema: public, table: nowhere, filters: [], select: nil]`],
    [{ schema: 'no_schema' }, `${ENABLED}[event: *, schema: no_schema, table: *, filters: [], select: nil]`],
    [{ table: 'items', filter: 'id=eq.hey', select: ['id', 'n'] },
      `${EXCEPTION}[event: *, schema: public, table: items, filters: [{"id", "eq", "hey", false}], select: ["id", "n"]]. Exception: ` +
      'ERROR 22P02 (invalid_text_representation) invalid input syntax for type integer: "hey"'],
    [{ table: 'items', filter: 'id=not.eq.hey' }, /filters: \[\{"id", "eq", "hey", true\}\], select: nil\]\. Exception: ERROR 22P02/],
  ];
  for (const [entry, text] of cases) {
    test(JSON.stringify(entry), async () => {
      const message = await refusal(instance, entry);
      if (typeof text === 'string') {
        assert.equal(message, text);
      } else {
        assert.match(message, text);
      }
    });
  }

  test('with supabase-js, for a role that is not there: no changes, but broadcasts', async () => {
    const key = instance.token('nobody');
    const first = supabase(instance, { key });
    const channel = first.channel(newTopic(), { config: { broadcast: { self: true, ack: true } } });
    const systems = [];
    const casts = [];
    channel.on('postgres_changes', { event: '*', schema: 'public', table: 'items', filter: 'id=eq.1' }, () => {});
    channel.on('system', {}, (payload) => systems.push(payload));
    channel.on('broadcast', { event: 'e' }, () => casts.push(1));
    await subscribe(channel);
    await until('the refusal', () => systems.some(({ extension }) => extension === 'postgres_changes'));
    const { status, message } = systems.find(({ extension }) => extension === 'postgres_changes');
    assert.equal(status, 'error');
    assert.match(message, /^Unable to subscribe to changes .* Exception: ERROR \w{5} \(\w+\) role "nobody" does not exist$/);
    assert.equal(await channel.send({ type: 'broadcast', event: 'e', payload: {} }), 'ok');
    await until('the broadcast', () => casts.length === 1);
    await leave(first);
  });
});

describe('the publication', () => {
  test('who subscribed to all tables gets those that are published later, and no more those that are not', async () => {
    const self = await watch(instance, [{ schema: '*' }]);
    const [a, b, c, d] = Array.from({ length: 4 }, newId);
    await instance.rows(`create table later (id int primary key); insert into later values (${a})`);
    await instance.rows('alter publication supabase_realtime add table later');
    await instance.rows(`insert into later values (${b})`);
    await instance.rows('alter publication supabase_realtime drop table later');
    await instance.rows(`insert into later values (${c})`);
    await instance.rows('alter publication supabase_realtime add table later');
    await instance.rows(`insert into later values (${d})`);
    assert.deepEqual(await come(self), [`INSERT later ${b}`, `INSERT later ${d}`]);
    self.socket.drop();
  });

  test('a subscription to one table waits while that is not published', async () => {
    const self = await watch(instance, [{ table: 'others' }, { table: 'fence' }]);
    const [a, b] = [newId(), newId()];
    await instance.rows('alter publication supabase_realtime drop table others');
    await instance.rows(`insert into others values (${a})`);
    assert.match(await refusal(instance, { table: 'others' }), /^Unable to subscribe/);
    await instance.rows('alter publication supabase_realtime add table others');
    await instance.rows(`insert into others values (${b})`);
    assert.deepEqual(await come(self), [`INSERT others ${b}`]);
    self.socket.drop();
  });

  test('what it publishes: inserts, updates, deletes', async () => {
    const self = await watch(instance, [{ table: 'others' }, { table: 'fence' }]);
    const expected = [];
    try {
      for (const flags of [['insert'], ['insert', 'update'], ['insert', 'delete'], ['insert', 'update', 'delete', 'truncate']]) {
        const id = newId();
        await instance.rows(`alter publication supabase_realtime set (publish = '${flags.join(', ')}')`);
        await instance.rows(`insert into others values (${id}); update others set name = 'x' where id = ${id}; delete from others where id = ${id}; truncate others`);
        expected.push(...['insert', 'update', 'delete'].filter((flag) => flags.includes(flag)).map((flag) => `${flag.toUpperCase()} others ${id}`));
      }
    } finally {
      await instance.rows(`alter publication supabase_realtime set (publish = 'insert, update, delete, truncate')`);
    }
    assert.deepEqual(await come(self), expected);
    self.socket.drop();
  });

  test('another one, FOR ALL TABLES', async () => {
    const before = await watch(instance, [{ table: 'fence' }, { schema: '*' }]);
    await instance.rows('create publication everything for all tables');
    await instance.set('realtime.publication', "'everything'");
    try {
      await until('the other publication', async () => {
        await instance.rows(`insert into unpublished values (${newId()})`);
        return (await come(before)).length > 0;
      });
      const self = await watch(instance, [{ table: 'unpublished' }, { table: 'fence' }]);
      const id = newId();
      await instance.rows(`create table born (id int primary key); insert into born values (${id}); insert into unpublished values (${id})`);
      assert.deepEqual(await come(self), [`INSERT unpublished ${id}`]);
      assert.deepEqual((await come(before)).slice(-2), [`INSERT born ${id}`, `INSERT unpublished ${id}`]);
      self.socket.drop();
    } finally {
      await instance.rows('alter system reset realtime.publication');
      await instance.rows('select pg_reload_conf()');
      await instance.rows('drop publication everything');
    }
    before.socket.drop();
    await until('the first publication', async () => (await refusal(instance, { table: 'unpublished' })).startsWith('Unable'));
  });

  for (const viaRoot of [false, true]) {
    test(`partitions, publish_via_partition_root = ${viaRoot}`, async () => {
      const name = `parts_${viaRoot}`;
      await instance.rows(`
        create table ${name} (id int, k int, v text, primary key (id, k)) partition by list (k);
        create table ${name}_1 partition of ${name} for values in (1);
        create table ${name}_2 partition of ${name} for values in (2);
        alter publication supabase_realtime set (publish_via_partition_root = ${viaRoot});
        alter publication supabase_realtime add table ${name}`);
      try {
        const [one, two] = viaRoot ? [name, name] : [`${name}_1`, `${name}_2`];
        const all = await watch(instance, [{ schema: 'public' }]);
        const root = viaRoot
          ? await watch(instance, [{ table: name }, { table: 'fence' }])
          : await watch(instance, [{ table: `${name}_2` }, { table: 'fence' }]);
        assert.match(await refusal(instance, { table: viaRoot ? `${name}_2` : name }), /^Unable to subscribe/);
        const [a, b] = [newId(), newId()];
        await instance.rows(`
          insert into ${name} values (${a}, 1), (${b}, 2);
          update ${name} set v = 'x' where id = ${b};
          update ${name} set k = 2 where id = ${a};
          create table ${name}_3 partition of ${name} for values in (3);
          insert into ${name} values (${b}, 3);
          delete from ${name} where id = ${a}`);
        const three = viaRoot ? name : `${name}_3`;
        const expected = [
          `INSERT ${one} ${a}`, `INSERT ${two} ${b}`, `UPDATE ${two} ${b}`, `DELETE ${one} ${a}`, `INSERT ${two} ${a}`,
          `INSERT ${three} ${b}`, `DELETE ${two} ${a}`,
        ];
        assert.deepEqual(await come(all), expected);
        assert.deepEqual(await come(root), expected.filter((line) => viaRoot || line.includes(`${name}_2`)));
        all.socket.drop();
        root.socket.drop();
      } finally {
        await instance.rows(`drop table ${name}; alter publication supabase_realtime set (publish_via_partition_root = false)`);
      }
    });
  }
});

describe('which version of a row is judged', () => {
  const key = () => instance.token('authenticated', { sub: ANN });

  // Runs what it is given while the worker that judges is stopped, so that all of it is committed before it is looked at.
  const beforeDelivery = async (sql) => {
    const [{ pid }] = await workers(instance, 'changes');
    process.kill(pid, 'SIGSTOP');
    try {
      await instance.rows(sql);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  };

  test('the one that was committed, whatever became of it', async () => {
    const self = await watch(instance, [{ table: 'mine' }, { table: 'fence' }], { key: key() });
    const [hidden, removed, shownLater, never] = Array.from({ length: 4 }, newId);
    await beforeDelivery(`
      insert into mine values (${hidden}, '${ANN}'); update mine set owner = '${BOB}' where id = ${hidden};
      insert into mine values (${removed}, '${ANN}'); delete from mine where id = ${removed};
      insert into mine values (${shownLater}, '${BOB}'); update mine set owner = '${ANN}' where id = ${shownLater};
      insert into mine values (${never}, '${BOB}'); update mine set owner = null where id = ${never}`);
    assert.deepEqual(await come(self), [
      `INSERT mine ${hidden}`, `INSERT mine ${removed}`, `DELETE mine ${removed}`, `UPDATE mine ${shownLater}`,
    ]);
    self.socket.drop();
  });

  test('under the policies of now', async () => {
    const self = await watch(instance, [{ table: 'mine' }, { table: 'fence' }], { key: key() });
    const [a, b] = [newId(), newId()];
    await beforeDelivery(`insert into mine values (${a}, '${ANN}'), (${b}, '${BOB}'); alter policy own on mine using (owner = '${BOB}')`);
    assert.deepEqual(await come(self), [`INSERT mine ${b}`]);
    await instance.rows('alter policy own on mine using (owner = auth.uid())');
    self.socket.drop();
  });

  test('deletes are judged on the old row with judge_deletes and the identity FULL', async () => {
    const self = await watch(instance, [{ table: 'mine' }, { table: 'fence' }], { key: key() });
    const both = async () => {
      const [a, b] = [newId(), newId()];
      await instance.rows(`insert into mine values (${a}, '${ANN}'), (${b}, '${BOB}'); delete from mine where id in (${a}, ${b})`);
      const changes = [];
      const last = newId();
      await instance.rows(`insert into fence values (${last})`);
      await until('the fence', async () => changes.push(...(await self.take(0))) && changes.some(({ record }) => record?.id === last));
      return changes.filter(({ type }) => type === 'DELETE').map(({ old_record: old }) => [old.id === a ? 'own' : 'other', Object.keys(old)]);
    };
    const everybodys = [['own', ['id']], ['other', ['id']]];
    assert.deepEqual(await both(), everybodys);
    await instance.rows('alter table mine replica identity full');
    assert.deepEqual(await both(), everybodys);
    await instance.set('realtime.judge_deletes', 'on');
    try {
      await until('judge_deletes', async () => (await both()).length === 1);
      assert.deepEqual((await both()).map(([whose]) => whose), ['own']);
      await instance.rows('alter table mine replica identity default');
      assert.deepEqual(await both(), everybodys);
    } finally {
      await instance.set('realtime.judge_deletes', 'off');
    }
    await instance.rows('alter table mine replica identity full');
    await until('it off again', async () => (await both()).length === 2);
    await instance.rows('alter table mine replica identity default');
    self.socket.drop();
  });
});

test('realtime.subscription shows what a role may see, and no token', async () => {
  const ann = await listen(instance, [{ table: 'mine', filter: 'id=gt.0' }], { key: instance.token('authenticated', { sub: ANN, secret: 'psst' }) });
  const bob = await listen(instance, [{ table: 'mine', event: 'INSERT', select: ['id'] }], { key: instance.token('authenticated', { sub: BOB }) });
  const mine = [ann, bob].map(({ channel }) => channel.subTopic);
  const seen = (role, sub) => instance.session().rows(`set role ${role};
    set request.jwt.claims = '${JSON.stringify({ role, sub })}';
    select topic from realtime.subscription where topic = any ('{${mine}}') order by 1`).then((rows) => rows);
  assert.deepEqual(await instance.rows(`select topic from realtime.subscription where topic = any ('{${mine}}') order by 1`), [...mine].sort());
  assert.deepEqual(await seen('authenticated', ANN), [mine[0]]);
  assert.deepEqual(await seen('authenticated', BOB), [mine[1]]);
  assert.deepEqual(await seen('anon', ANN), []);
  assert.doesNotMatch((await instance.rows('select * from realtime.subscription')).join('\n'), /eyJ/);
  await leave(ann.client, bob.client);
  await until('they are gone', async () =>
    (await instance.value(`select count(*) from realtime.subscription where topic = any ('{${mine}}')`)) === '0');
});

describe('transactions', () => {
  test('that began before the subscription and commit after it are delivered', async () => {
    const session = instance.session();
    const [a, b, c] = Array.from({ length: 3 }, newId);
    await session.rows(`begin; insert into items (id) values (${a})`);
    const self = await watch(instance, [{ table: 'items' }, { table: 'fence' }]);
    await session.rows(`insert into items (id) values (${b}); commit; insert into items (id) values (${c})`);
    assert.deepEqual(await come(self), [a, b, c].map((id) => `INSERT items ${id}`));
    self.socket.drop();
  });

  test('are whole: what was rolled back does not come, what was prepared comes with its commit', async () => {
    const self = await watch(instance, [{ table: 'items' }, { table: 'fence' }]);
    const session = instance.session();
    const [a, b, c, d, e] = Array.from({ length: 5 }, newId);
    await session.rows(`
      begin; insert into items (id) values (${a}); rollback;
      begin; insert into items (id) values (${b}); savepoint s; insert into items (id) values (${c}); rollback to s; commit;
      begin; insert into items (id) values (${d}); prepare transaction 'two phases';
      insert into items (id) values (${e})`);
    assert.deepEqual(await come(self), [`INSERT items ${b}`, `INSERT items ${e}`]);
    await session.rows(`commit prepared 'two phases'`);
    assert.deepEqual(await come(self), [`INSERT items ${d}`]);
    self.socket.drop();
  });
});

test('a channel without Postgres Changes gets none', async () => {
  const none = await member(instance, newTopic(), { ready: false });
  const self = await watch(instance, [{ table: 'items' }, { table: 'fence' }]);
  const id = newId();
  await instance.rows(`insert into items (id) values (${id})`);
  assert.deepEqual(await come(self), [`INSERT items ${id}`]);
  assert.deepEqual(none.others, []);
  none.socket.drop();
  self.socket.drop();
});
