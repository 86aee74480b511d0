// What the server may keep of WAL for replication slots, at its least.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Instance } from './lib/instance.mjs';
import { watch } from './lib/changes.mjs';
import { fence, member, running } from './lib/member.mjs';

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
