// The life of the background workers.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { request } from './lib/http.mjs';
import { fence, member, running, workers } from './lib/member.mjs';
import { until } from './lib/poll.mjs';

const KINDS = ['launcher', 'authorizer', 'decoder', 'listener'];

// Those of Postgres Changes sleep while nobody subscribes.
const SLEEPERS = ['realtime change decoder', 'realtime changes'];

// A worker, as "kind state", that is as it should be.
const fine = (row) => SLEEPERS.some((kind) => row === `${kind} sleeping`) ||
  (row.endsWith(' running') && !SLEEPERS.some((kind) => row.startsWith(kind)));

// All workers run; returns their pids by kind.
function allRunning(instance, count, seconds = 20) {
  let last;
  return until(
    () => `${count} running workers: ${JSON.stringify(last)}`,
    async () => {
      last = await workers(instance);
      return last.length === count && last.every(({ kind, state, pid }) => fine(`${kind} ${state}`) && pid > 0) && last;
    },
    { seconds },
  );
}

// No process of ours is connected to a database but the launcher.
const gone = (instance) =>
  until('no worker but the launcher in the database', async () =>
    (await instance.value(`select count(*) from pg_stat_activity
      where backend_type in ('realtime authorizer', 'realtime changes', 'realtime decoder', 'realtime listener') and datname is not null`)) === '0');

describe('one instance', () => {
  let instance;
  before(async () => {
    instance = await Instance.start({ listeners: 2, settings: ['fsync = off'] });
    await allRunning(instance, 8);
  });
  after(() => instance?.destroy());

  test('they can be seen in pg_stat_activity', async () => {
    const types = await instance.rows(`select backend_type from pg_stat_activity where backend_type like 'realtime %' order by 1`);
    assert.deepEqual(types, ['realtime authorizer', 'realtime authorizer', 'realtime decoder', 'realtime launcher', 'realtime listener', 'realtime listener']);
  });

  for (const kind of KINDS) {
    test(`pg_terminate_backend of a ${kind}: another one takes over`, async () => {
      const self = await member(instance, `terminate-${kind}`);
      const before = await running(instance, kind);
      assert.equal(await instance.value(`select pg_terminate_backend(${before.pid})`), 't');
      await until('it is gone', async () => !(await workers(instance)).some(({ pid }) => pid === before.pid));
      const all = await allRunning(instance, 8);
      assert.ok(all.every(({ pid }) => pid !== before.pid));
      if (kind === 'listener') {
        self.socket.drop();
      } else {
        assert.equal(self.socket.ended, undefined, 'clients stay connected');
        assert.deepEqual(await fence(instance, self), []);
        self.socket.drop();
      }
    });
  }

  test('a reload drops no client and changes no process', async () => {
    const self = await member(instance, 'reload');
    const before = (await workers(instance)).map(({ pid }) => pid).sort();
    await instance.rows('select pg_reload_conf()');
    await instance.set('realtime.idle_timeout', `'70s'`);
    assert.deepEqual(await fence(instance, self), []);
    assert.equal(self.socket.ended, undefined);
    assert.deepEqual((await workers(instance)).map(({ pid }) => pid).sort(), before);
    self.socket.drop();
  });

  test('creating and dropping another database, also with (force), touches nothing', async () => {
    const self = await member(instance, 'other-database');
    const before = (await workers(instance)).map(({ pid }) => pid).sort();
    await instance.rows('create database other');
    await instance.rows('drop database other', 10);
    await instance.rows('create database other template template0');
    await instance.rows('drop database other with (force)', 10);
    assert.deepEqual(await fence(instance, self), []);
    assert.deepEqual((await workers(instance)).map(({ pid }) => pid).sort(), before);
    self.socket.drop();
  });

  test('VACUUM, CHECKPOINT, CREATE INDEX CONCURRENTLY and a reindex are not kept waiting', async () => {
    await instance.rows(`create table public.plain (i int); insert into public.plain select generate_series(1, 1000)`);
    await instance.rows('vacuum full public.plain', 15);
    await instance.rows('checkpoint', 15);
    await instance.rows('create index concurrently on public.plain (i)', 15);
    await instance.rows('vacuum full pg_class', 15);
    const self = await member(instance, 'after-vacuum-full');
    assert.deepEqual(await fence(instance, self), []);
    self.socket.drop();
  });

  test('DROP EXTENSION is not kept waiting, ends the service, and CREATE EXTENSION brings it back', async () => {
    for (let round = 0; round < 3; round++) {
      const self = await member(instance, 'extension');
      const began = Date.now();
      await instance.rows('drop extension realtime', 10);
      assert.ok(Date.now() - began < 5000);
      await until('the client is told', () => self.socket.ended, { seconds: 10 });
      await gone(instance);
      await assert.rejects(request(instance.port, { path: '/healthcheck' }, 2));
      await instance.rows('create extension realtime; select realtime.setup_supabase()');
      await until('it answers again', async () => (await request(instance.port, { path: '/healthcheck' }, 2)).status === 200);
    }
    await allRunning(instance, 8);
    assert.equal(await instance.value(`select count(*) from pg_replication_slots where slot_name not like '%realtime%'`), '0');
  });

  test('a DROP EXTENSION that is rolled back changes nothing', async () => {
    const self = await member(instance, 'rolled-back');
    await instance.rows('begin; drop extension realtime; rollback');
    assert.deepEqual(await fence(instance, self), []);
    assert.equal(self.socket.ended, undefined);
    self.socket.drop();
  });

  test('a restart', async () => {
    const self = await member(instance, 'restart');
    await instance.restart();
    assert.ok(self.socket.ended);
    await allRunning(instance, 8);
    const again = await member(instance, 'restart');
    await instance.rows(`select realtime.send('{}', 'x', 'restart', false)`);
    assert.deepEqual((await fence(instance, again)).map(({ event }) => event), ['x']);
    again.socket.drop();
  });

  test('an immediate stop and a start', async () => {
    await instance.stop('immediate');
    await instance.restart();
    await allRunning(instance, 8);
    const self = await member(instance, 'crash');
    assert.deepEqual(await fence(instance, self), []);
    assert.equal(await instance.value('select count(*) from pg_replication_slots where not temporary'), '0', 'no slot outlives its worker');
    self.socket.drop();
  });
});

// The workers' own database is another one here, so that it can be dropped.
describe('DROP DATABASE of their own', () => {
  let instance;
  before(async () => {
    instance = await Instance.start({ extension: false, settings: ['fsync = off', `realtime.database = 'app'`] });
  });
  after(() => instance?.destroy());

  for (const force of ['', ' with (force)']) {
    test(`drop database app${force}`, async () => {
      await instance.rows('create database app');
      const app = instance.session({ database: 'app' });
      await app.rows('create extension realtime; select realtime.setup_supabase()');
      await until('it answers', async () => (await request(instance.port, { path: '/healthcheck' }, 2)).status === 200, { seconds: 60 });
      await until('all run', async () => {
        const rows = await app.rows(`select kind || ' ' || state from realtime.workers`);
        return rows.length === 7 && rows.every(fine);
      });
      await app.rows(`select realtime.send('{}', 'e', 't', false)`);
      app.close();
      await until('our session has ended', async () =>
        (await instance.value(`select count(*) from pg_stat_activity where datname = 'app' and backend_type = 'client backend'`)) === '0');
      const began = Date.now();
      await instance.rows(`drop database app${force}`, 20);
      assert.ok(Date.now() - began < 6000, `it took ${Date.now() - began} ms`);
      assert.equal(await instance.value(`select count(*) from pg_replication_slots`), '0');
      await assert.rejects(request(instance.port, { path: '/healthcheck' }, 2));
    });
  }

  test('a DROP DATABASE that fails lets the workers go on', async () => {
    await instance.rows('create database app');
    const app = instance.session({ database: 'app' });
    await app.rows('create extension realtime; select realtime.setup_supabase()');
    await until('it answers', async () => (await request(instance.port, { path: '/healthcheck' }, 2)).status === 200, { seconds: 60 });
    const { notices } = await instance.sql('drop database app', 20);
    assert.match(notices.join('\n'), /being accessed by other users/);
    await until('it answers again', async () => (await request(instance.port, { path: '/healthcheck' }, 2)).status === 200, { seconds: 30 });
    await until('all run again', async () => {
      const rows = await app.rows(`select kind || ' ' || state from realtime.workers`);
      return rows.length === 7 && rows.every(fine);
    });
    app.close();
  });
});

test('eight listeners serve one port', async () => {
  const instance = await Instance.start({ listeners: 8, settings: ['fsync = off'] });
  try {
    await allRunning(instance, 14);
    const members = await Promise.all(Array.from({ length: 64 }, () => member(instance, 'eight')));
    const used = Number(await instance.value('select count(distinct listener) from realtime.connections'));
    assert.ok(used >= 4, `${used} of 8 listeners have clients`);
    await instance.rows(`select realtime.send('{}', 'x', 'eight', false)`);
    await until('all have it', () => members.every(({ messages }) => messages.length === 1));
    members.forEach(({ socket }) => socket.drop());
  } finally {
    await instance.destroy();
  }
});
