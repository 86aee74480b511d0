// The change stream comes with the first subscription and goes after the last. What it can't deliver it says, and it makes
// the server keep no more WAL than it may.

import { after, afterEach, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { abandon, leave } from './lib/client.mjs';
import { listen, watch } from './lib/changes.mjs';
import { member, running, workers } from './lib/member.mjs';
import { until } from './lib/poll.mjs';

const MB = 1024 * 1024;
const BACKLOG = 16 * MB;
const LINGER = 60_000;
const SUBSCRIBED = 'Subscribed to PostgreSQL';
const LOST = /^Changes that were committed between (\S+ \S+\+00) and (\S+ \S+\+00) may have been lost: /;

let instance;
let leaving; // another server, on which the last subscription has ended
let left;
before(async () => {
  const start = async (settings) => {
    const server = await Instance.start({ listeners: 2, settings: ['fsync = off', 'autovacuum = off', "timezone = 'UTC'", ...settings] });
    await server.rows(`
      select realtime.setup_supabase();
      create table items (id int primary key, body text);
      create table other (id int, body text);
      grant select on items to anon;
      alter table items alter body set storage external;
      alter publication supabase_realtime add table items`);
    return server;
  };
  [instance, leaving] = await Promise.all([start(['max_wal_size = 2GB']), start([])]);
});
after(() => Promise.all([instance?.destroy(), leaving?.destroy()]));
afterEach(abandon);

let ids = 0;
const insert = async (session = instance) => {
  await session.rows(`insert into items values (${++ids}, 'x')`);
  return ids;
};
const changes = (self) => self.others.filter(({ event }) => event === 'postgres_changes').map(({ payload }) => payload.data);
const delivered = (self, id, seconds = 20) =>
  until(() => `row ${id}; told ${JSON.stringify(self.systems)}`, () => changes(self).some(({ record }) => record?.id === id), { seconds });
const slots = (server) => server.rows(`select slot_name from pg_replication_slots where slot_name like 'realtime_changes%'`);
const connected = (server) =>
  server.rows(`select w.kind from pg_stat_activity a join realtime.workers w using (pid) where a.datname is not null and w.kind in ('realtime changes', 'realtime change decoder')`);
const filler = (megabytes) => `select g, repeat(md5(g::text), 1000) from generate_series(1, ${megabytes * 32}) g`;
// What the slot of the changes makes the server keep, in bytes.
const kept = async () => Number(await instance.value(`select coalesce(max(pg_current_wal_lsn() - restart_lsn), 0)
  from pg_replication_slots where slot_name like 'realtime_changes%'`));

// Told that changes are lost, then that it goes on, in this order. Returns the times from when to when, in ms.
async function toldOfLoss(self, from) {
  const news = () => self.systems.slice(from);
  await until(() => `a loss, and the end of it: ${JSON.stringify(news())}`, () => {
    const lost = news().findIndex(({ status, message }) => status === 'error' && LOST.test(message));
    return lost >= 0 && news().slice(lost).some(({ status, message }) => status === 'ok' && message === SUBSCRIBED);
  }, { seconds: 30 });
  const [, since, to] = LOST.exec(news().find(({ message }) => LOST.test(message)).message);
  return [since, to].map((text) => Date.parse(text.replace(' ', 'T').replace('+00', 'Z')));
}

test('while nobody subscribes there is neither a slot nor a worker that is connected', async () => {
  for (const server of [instance, leaving]) {
    const other = await member(server, 'other');
    assert.deepEqual(await slots(server), []);
    assert.deepEqual(await connected(server), []);
    other.socket.drop();
  }
});

test('both come with the first subscription', async () => {
  const self = await watch(leaving, [{ table: 'items' }]);
  assert.equal((await slots(leaving)).length, 1);
  assert.deepEqual((await connected(leaving)).sort(), ['realtime change decoder', 'realtime changes']);
  self.socket.drop();
  left = Date.now();
});

describe('a transaction that is older than the stream', () => {
  for (const [kind, begin, end, named] of [
    ['open', 'begin; insert into other values (1)', 'commit', (pid) => `pid ${pid}`],
    ['prepared', `begin; insert into other values (1); prepare transaction 'old one'`, `commit prepared 'old one'`, () => `prepared 'old one'`],
  ]) {
    test(`${kind}: the join is answered after 5 s and says what it waits for`, async () => {
      if ((await slots(instance)).length > 0) {
        await instance.restart();
      }
      const session = instance.session();
      const pid = await session.value('select pg_backend_pid()');
      await session.rows(begin);
      const began = Date.now();
      const self = await member(instance, `waits-${kind}`, { ready: false, config: { postgres_changes: [{ event: '*', schema: 'public', table: 'items' }] } });
      const took = Date.now() - began;
      assert.ok(took > 4000 && took < 8000, `${took} ms`);
      await until('the reason', () => self.systems.length > 0);
      const { status, extension, message } = self.systems[0];
      assert.deepEqual([status, extension], ['error', 'postgres_changes']);
      assert.match(message, /^Changes are not delivered yet: waiting for transaction \d+ /);
      assert.ok(message.includes(named(pid)), message);
      // What it is told of until it ends may be lost, nothing after that.
      await insert();
      await session.rows(end);
      await until(() => `the ok message: ${JSON.stringify(self.systems)}`, () => self.systems.some(({ status: s, message: m }) => s === 'ok' && m === SUBSCRIBED));
      await delivered(self, await insert());
      self.socket.drop();
      session.kill();
    });
  }
});

describe('a worker that ends', () => {
  for (const kind of ['changes', 'change decoder']) {
    test(`${kind}: what is lost is told, and later changes come`, async () => {
      const all = await Promise.all(['2.0.0', '1.0.0', '2.0.0'].map((vsn) => watch(instance, [{ table: 'items' }], { vsn })));
      const id = await insert();
      for (const self of all) {
        await delivered(self, id);
      }
      const from = all.map(({ systems }) => systems.length);
      const { pid } = await running(instance, kind);
      const at = Date.now();
      await instance.rows(`select pg_terminate_backend(${pid})`);
      await running(instance, kind, { not: pid });
      for (const [i, self] of all.entries()) {
        const [since, to] = await toldOfLoss(self, from[i]);
        assert.ok(since <= at + 5 && to >= at - 5 && to <= Date.now() + 5, `${since} to ${to}, killed at ${at}`);
      }
      const next = await insert();
      for (const self of all) {
        await delivered(self, next);
        self.socket.drop();
      }
      assert.equal((await slots(instance)).length, 1);
    });
  }

  test('a listener: supabase-js joins again, and changes come', async () => {
    const { client, heard, systems } = await listen(instance, [{ table: 'items' }]);
    const seen = await until('the first message', () => systems.length);
    for (const { pid } of await workers(instance, 'listener')) {
      await instance.rows(`select pg_terminate_backend(${pid})`);
    }
    await until(() => `subscribed again: ${JSON.stringify(systems)}`, () => systems.slice(seen).some(({ message }) => message === SUBSCRIBED), { seconds: 30 });
    const id = await insert();
    await until('the row', () => heard[0].some((change) => change.new.id === id));
    await leave(client);
  });
});

test('a crash of the server: supabase-js joins again, and changes come', { timeout: 90_000 }, async () => {
  const { client, heard, systems } = await listen(instance, [{ table: 'items' }]);
  const seen = await until('the first message', () => systems.length);
  const { pid } = await running(instance, 'change decoder');
  process.kill(pid, 'SIGKILL');
  await until('the end of the sessions, and a new one', async () => (await instance.value(`select pg_postmaster_start_time() < now() and
    not exists (select from realtime.workers where pid = ${pid})`)) === 't', { seconds: 60, every: 200 });
  await until(() => `subscribed again: ${JSON.stringify(systems)}`, () => systems.slice(seen).some(({ message }) => message === SUBSCRIBED), { seconds: 60 });
  const id = await insert();
  await until('the row', () => heard[0].some((change) => change.new.id === id));
  assert.equal((await slots(instance)).length, 1);
  await leave(client);
});

describe('WAL', () => {
  test('an open transaction on a published table keeps none', async () => {
    const self = await watch(instance, [{ table: 'items' }]);
    const session = instance.session();
    const id = ++ids;
    await session.rows(`begin; insert into items values (${id}, 'late')`);
    for (let i = 0; i < 5; i++) {
      await instance.rows(`insert into other ${filler(10)}`);
    }
    await until('the slot follows', async () => (await kept()) < 4 * MB);
    await session.rows('commit');
    await delivered(self, id);
    assert.deepEqual(self.systems.filter(({ status }) => status === 'error'), []);
    self.socket.drop();
  });

  test('a backlog beyond realtime.changes_backlog: it starts again at the present and says so', async () => {
    await instance.set('realtime.changes_backlog', "'16MB'");
    const self = await watch(instance, [{ table: 'items' }]);
    await delivered(self, await insert());
    const from = self.systems.length;
    const before = await running(instance, 'change decoder');
    const { pid } = await running(instance, 'changes');
    const began = Date.now();
    const lost = [];
    let most = 0;
    process.kill(pid, 'SIGSTOP');
    try {
      for (let i = 0; i < 8; i++) {
        await instance.rows(`insert into items select g + ${ids}, repeat(md5(g::text), 1000) from generate_series(1, 160) g`);
        lost.push((ids += 160));
        await until(() => `${most} bytes kept`, async () => {
          const now = await kept();
          most = Math.max(most, now);
          return now < BACKLOG + 6 * MB;
        });
      }
      await until(() => `${most} bytes kept`, async () => (most = Math.max(most, await kept())) && (await kept()) < BACKLOG);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    assert.ok(most > 10 * MB, `it was behind: ${most}`);
    assert.ok(most < BACKLOG + 12 * MB, `${most} bytes of WAL were kept`);
    const [since, to] = await toldOfLoss(self, from);
    assert.ok(since <= Date.now() && since >= began - 10_000 && to >= began, `${began}: ${since} to ${to}`);
    const after = await running(instance, 'change decoder');
    assert.notEqual(after.pid, before.pid);
    await delivered(self, await insert());
    // Nothing came that is not a beginning of what was committed; the last ones are lost.
    const got = changes(self).map(({ record }) => record.id);
    assert.deepEqual(got, [...got].sort((a, b) => a - b));
    assert.ok(!got.includes(lost.at(-1)), 'the last row before was not lost');
    await until('the slot follows', async () => (await kept()) < 4 * MB);
    self.socket.drop();
  });
});

test('on a server that can\'t decode a worker that comes after another one answers as well', async () => {
  const server = await Instance.start({ settings: ['fsync = off', 'wal_level = replica'] });
  try {
    await server.rows('select realtime.setup_supabase()');
    const refused = async (topic) => {
      const self = await member(server, topic, { ready: false, config: { postgres_changes: [{ event: '*', schema: 'public', table: 'missing' }] } });
      await until(() => `the refusal: ${JSON.stringify(self.systems)}`, () => self.systems.some(({ message }) => /Please check Realtime is enabled/.test(message)));
      self.socket.drop();
    };
    await refused('first');
    const [{ pid }] = await workers(server, 'changes');
    await server.rows(`select pg_terminate_backend(${pid})`);
    await until('its successor', async () => (await workers(server, 'changes')).some((worker) => worker.pid && worker.pid !== pid));
    await refused('second');
  } finally {
    await server.destroy();
  }
});

test('a minute after the last subscription slot and workers go', { timeout: 120_000 }, async () => {
  if (Date.now() > left + LINGER - 5000) {
    // The tests before took so long that nobody has looked whether it stayed.
    (await watch(leaving, [{ table: 'items' }])).socket.drop();
    left = Date.now();
  }
  const gone = async () => (await slots(leaving)).length === 0 && (await connected(leaving)).length === 0;
  while (Date.now() < left + LINGER - 5000) {
    await until('it stays a minute', async () => Date.now() >= left + LINGER - 5000 || (await gone()), { seconds: 70, every: 500 });
    assert.ok(Date.now() >= left + LINGER - 5000, `gone after ${Date.now() - left} ms`);
  }
  await until('it goes', gone, { seconds: 20, every: 200 });
  // And comes again.
  const self = await watch(leaving, [{ table: 'items' }]);
  await leaving.rows(`insert into items values (1, 'x')`);
  await delivered(self, 1);
  assert.deepEqual(self.systems.map(({ status }) => status), ['ok']);
  self.socket.drop();
});
