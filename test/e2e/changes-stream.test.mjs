// The change decoder: there only while somebody subscribes, in the order of commits, bounded, and what it loses is told.

import { after, afterEach, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { abandon } from './lib/client.mjs';
import { watch } from './lib/changes.mjs';
import { running, workers } from './lib/member.mjs';
import { decoded } from './lib/pgoutput.mjs';
import { pause, until } from './lib/poll.mjs';

let instance;
before(async () => {
  instance = await Instance.start({ settings: ['fsync = off', 'autovacuum = off', 'realtime.changes_backlog = 16MB'] });
  await instance.rows(`
    select realtime.setup_supabase();
    create table notes (id int primary key, body text);
    create table unpublished (id int, body text);
    grant select on notes to anon;
    alter publication supabase_realtime add table notes;
  `);
});
after(() => instance?.destroy());
afterEach(abandon);

let notes = 0;

// Slots of the change decoder: how many bytes of WAL each keeps.
const slots = () => instance.rows(`select pg_current_wal_lsn() - restart_lsn from pg_replication_slots
  where slot_name like 'realtime\\_changes%'`);

const filler = (megabytes) => `insert into unpublished select g, repeat('x', 1000) from generate_series(1, ${megabytes * 950}) g`;

// Inserts a row and waits for it.
async function arrives(self, seconds = 20) {
  const id = ++notes;
  await instance.rows(`insert into notes values (${id})`);
  await until(() => `note ${id}`, () => self.others.some(({ payload }) => payload.data?.record?.id === id), { seconds });
}

const losses = (self) => self.systems.filter(({ status, message }) => status === 'error' && /may have been lost/.test(message));

test('no slot until somebody subscribes, and none a minute after the last', { timeout: 120_000 }, async () => {
  const [before] = await workers(instance, 'change decoder');
  assert.equal(before.state, 'sleeping');
  assert.deepEqual(await slots(), []);
  const self = await watch(instance, [{ table: 'notes' }]);
  await arrives(self);
  assert.equal((await slots()).length, 1);
  self.socket.drop();
  const began = Date.now();
  await until('the slot to go', async () => (await slots()).length === 0, { seconds: 90 });
  assert.ok(Date.now() - began > 50_000, `${Date.now() - began} ms`);
  await until('a decoder asleep', async () => (await workers(instance, 'change decoder'))[0].state === 'sleeping');
});

describe('while somebody subscribes', () => {
  let self;
  before(async () => {
    self = await watch(instance, [{ table: 'notes' }]);
  });

  test('8 writers, 20,000 changes: in the order of their commits, none missing', { timeout: 120_000 }, async () => {
    await instance.rows("select pg_create_logical_replication_slot('oracle', 'pgoutput')");
    self.others.length = 0;
    const writers = 8;
    const each = 2500;
    await Promise.all(Array.from({ length: writers }, (_, w) => instance.session().rows(`do $$ begin
      for n in 0 .. ${each - 1} loop
        insert into notes values (100000 + n * ${writers} + ${w}); commit;
      end loop; end $$`, 90)));
    const changes = await self.take(writers * each, 60);
    const theirs = await decoded(instance, 'oracle');
    await instance.rows("select pg_drop_replication_slot('oracle')");
    assert.deepEqual(changes.map(({ table, type, record }) => `${table} ${type} ${record.id}`), theirs);
  });

  test('a transaction that stays open keeps no WAL', async () => {
    const open = instance.session();
    await open.rows(`begin; insert into notes values (${++notes})`);
    await instance.rows(filler(8));
    await arrives(self);
    await until(async () => `little WAL to be kept: ${await slots()}`, async () => {
      await instance.rows(filler(1));
      return Number((await slots())[0]) < 4 * 1024 * 1024;
    });
    const id = notes - 1;
    await open.rows('commit');
    await until('the change of the old transaction', () => self.others.some(({ payload }) => payload.data?.record?.id === id));
  });

  test('a decoder that is ended: the gap is told, and it goes on', async () => {
    await arrives(self);
    const told = losses(self).length;
    const { pid } = await running(instance, 'change decoder');
    await instance.rows(`select pg_terminate_backend(${pid})`);
    await until('the loss to be told', () => losses(self).length === told + 1, { seconds: 20 });
    await arrives(self);
    assert.equal(losses(self).length, told + 1);
  });

  test('a subscriber side that stands still: WAL is given up, the gap is told, and it goes on', { timeout: 60_000 }, async () => {
    await arrives(self);
    const told = losses(self).length;
    const decoder = await running(instance, 'change decoder');
    const { pid } = await running(instance, 'changes');
    process.kill(pid, 'SIGSTOP');
    try {
      await instance.rows(`insert into notes select g, repeat('x', 1000) from generate_series(200001, 210000) g`);
      await instance.rows(filler(30));
      await until('the slot to go', async () => (await slots()).length === 0, { seconds: 20 });
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await until('the loss to be told', () => losses(self).length === told + 1, { seconds: 20 });
    await running(instance, 'change decoder', { not: decoder.pid });
    await arrives(self);
    assert.equal(losses(self).length, told + 1);
  });

  test('commits that are not flushed arrive too', async () => {
    const session = instance.session();
    await session.rows('set synchronous_commit = off');
    const id = ++notes;
    await session.rows(`insert into notes values (${id})`);
    const began = Date.now();
    await until(`note ${id}`, () => self.others.some(({ payload }) => payload.data?.record?.id === id));
    assert.ok(Date.now() - began < 4000, `${Date.now() - began} ms`);
  });
});

test('to cancel the worker while it waits for a listener ends nothing and loses nothing', { timeout: 60_000 }, async () => {
  const small = await Instance.start({ listeners: 2, settings: ['fsync = off', 'autovacuum = off', 'realtime.bus_size = 16MB', 'realtime.client_queue_size = 64MB'] });
  try {
    await small.rows(`
      select realtime.setup_supabase();
      create table notes (id int primary key, body text); grant select on notes to anon;
      alter publication supabase_realtime add table notes`);
    const reader = await watch(small, [{ table: 'notes' }]);
    // Later ones find in the caches what the first one has to look up, which may be cancelled.
    await small.rows('insert into notes values (0)');
    await reader.take(1);
    const { pid } = await running(small, 'changes');
    const mine = Number(await small.value('select listener from realtime.connections'));
    const { pid: stopped } = (await workers(small, 'listener'))[1 - mine];
    process.kill(stopped, 'SIGSTOP');
    try {
      // More than half of the bus, so that it waits a second for who is behind.
      await small.rows(`insert into notes select g, repeat('x', 100000) from generate_series(1, 200) g`);
      for (let i = 0; i < 150; i++) {
        await small.rows(`select pg_cancel_backend(${pid})`);
        await pause(10);
      }
      await reader.take(200);
    } finally {
      process.kill(stopped, 'SIGCONT');
    }
    assert.equal((await running(small, 'changes')).pid, pid);
    assert.deepEqual(reader.systems.filter(({ status }) => status === 'error'), []);
    reader.socket.drop();
  } finally {
    await small.destroy();
  }
});
