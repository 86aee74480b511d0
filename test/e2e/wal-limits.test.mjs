// What the server may keep of WAL for replication slots, at its least.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Instance } from './lib/instance.mjs';
import { watch } from './lib/changes.mjs';
import { fence, member, running } from './lib/member.mjs';
import { until } from './lib/poll.mjs';

test('max_slot_wal_keep_size = 0: delivery goes on', { timeout: 60_000 }, async () => {
  const instance = await Instance.start({ settings: ['fsync = off', 'max_slot_wal_keep_size = 0'] });
  try {
    await instance.rows(`create table public.items (id int primary key); grant select on public.items to anon;
      alter publication supabase_realtime add table public.items`);
    const self = await member(instance, 'm');
    const changes = await watch(instance, [{ table: 'items' }]);
    const { pid } = await running(instance, 'decoder');
    const { pid: changePid } = await running(instance, 'change decoder');
    const told = self.systems.length;
    const count = 30;
    for (let n = 0; n < count; n++) {
      await instance.rows(`select realtime.send('{"n": ${n}}', 'e', 'm', false); insert into public.items values (${n})`);
      await sleep(100);
    }
    assert.deepEqual((await fence(instance, self)).map(({ payload }) => payload.n), [...Array(count).keys()]);
    assert.deepEqual((await changes.take(count)).map(({ record }) => record.id), [...Array(count).keys()]);
    assert.equal((await running(instance, 'decoder')).pid, pid);
    assert.equal((await running(instance, 'change decoder')).pid, changePid);
    assert.deepEqual(self.systems.slice(told), []);
  } finally {
    await instance.destroy();
  }
});

// Its first record names the top-level transaction, the others don't. Once the WAL of that record is behind the restart point,
// a decoder that starts again takes the subtransaction for a transaction of its own.
test('a subtransaction that is cut twice is lost as a whole, and that is told', { timeout: 120_000 }, async () => {
  const instance = await Instance.start({
    settings: ['fsync = off', `realtime.max_wal_retained = '32MB'`, `max_wal_size = '64MB'`, `min_wal_size = '32MB'`],
  });
  try {
    const self = await member(instance, 'm');
    const other = await member(instance, 'other');
    const control = instance.session();
    const open = instance.session();
    await instance.rows('create table public.plain (t text)');

    const isPast = (lsn) => control.value(`select coalesce(bool_and(restart_lsn > '${lsn}'), false) from pg_replication_slots`);
    const restartPast = async (work) => {
      const lsn = await control.value('select pg_current_wal_insert_lsn()');
      await until(`restart points past ${lsn}`, async () => {
        await control.rows(work);
        return (await isPast(lsn)) === 't';
      }, { seconds: 30, every: 100 });
    };
    const startAgain = async () => {
      const { pid } = await running(instance, 'decoder');
      await control.rows(`select pg_terminate_backend(${pid})`);
      await running(instance, 'decoder', { not: pid });
    };

    await open.rows(`begin; insert into public.plain values ('top'); savepoint a; insert into public.plain values ('first')`);
    await restartPast(`select realtime.send('{}', 'e', 'other', false); checkpoint`);
    await startAgain();
    await open.rows(`select realtime.send('{}', 'early', 'm', false)`);
    await restartPast('insert into public.plain select repeat(md5(i::text), 30) from generate_series(1, 3000) i');
    await startAgain();
    // It reads which transactions are running.
    await control.rows('checkpoint');
    await fence(instance, other);
    await open.rows(`select realtime.send('{}', 'late', 'm', false); commit`);

    const got = await fence(instance, self);
    assert.deepEqual(got.map(({ event }) => event), []);
    // That an end of the decoder may have cost something is said when it is not sure.
    const told = self.systems.slice(1).map(({ message }) => message).filter((message) => !/may have been lost: delivery was interrupted$/.test(message));
    assert.deepEqual(told, ['Messages from the database were lost: a transaction was open for too long']);
    other.socket.drop();
  } finally {
    await instance.destroy();
  }
});
