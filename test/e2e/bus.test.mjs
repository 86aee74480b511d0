// The ring between the decoder and the listeners, when one of these is behind.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Instance } from './lib/instance.mjs';
import { fence, member, workers } from './lib/member.mjs';
import { until } from './lib/poll.mjs';

// While it waits for a listener the decoder looks at its latch, which a commit sets. Without anything else to wake it the
// decoder sleeps for five seconds after that.
test('what is committed while the decoder waits for a listener comes when that goes on', { timeout: 60_000 }, async () => {
  const instance = await Instance.start({ settings: ['fsync = off', `realtime.bus_size = '16MB'`], listeners: 1 });
  let stopped;
  try {
    const self = await member(instance, 'm');
    const delivered = async () => Number(await instance.value(`select value from realtime.stats where name = 'broadcasts_from_database'`));
    const before = await delivered();
    const send = (count) => instance.rows(`do $$ begin
      for n in 1 .. ${count} loop
        perform realtime.send(jsonb_build_object('v', repeat('x', 100000)), 'large', 'm', false);
        commit;
      end loop; end $$`);

    // The listener can't read; one after the other until half of the ring is full and the decoder waits.
    [{ pid: stopped }] = await workers(instance, 'listener');
    process.kill(stopped, 'SIGSTOP');
    let sent = 60;
    await send(sent);
    await until(async () => `${sent} messages are on the bus`, async () => (await delivered()) - before === sent);
    for (let waits = false; !waits && sent < 150;) {
      await send(1);
      sent++;
      await until('the message is on the bus', async () => (await delivered()) - before === sent, { seconds: 0.3 }).catch(() => (waits = true));
    }
    await instance.rows(`select realtime.send('{}', 'last', 'm', false)`);
    await sleep(100);
    process.kill(stopped, 'SIGCONT');
    stopped = undefined;

    const began = Date.now();
    await until('the last message', () => self.messages.some(({ event }) => event === 'last'), { seconds: 20 });
    const took = Date.now() - began;
    assert.ok(took < 4500, `it came after ${took} ms`);
    assert.equal((await fence(instance, self)).length, sent + 1);
  } finally {
    if (stopped) {
      process.kill(stopped, 'SIGCONT');
    }
    await instance.destroy();
  }
});
