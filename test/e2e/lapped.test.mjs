// A listener that was too slow, so that the ring of the bus has gone round: what it did not read were not only messages. That
// it asks again for changes is in changes-subscriptions.test.mjs, and what becomes of a replay in replay.test.mjs.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { member } from './lib/member.mjs';
import { pause, until } from './lib/poll.mjs';

const LOST = /^Messages were lost: the server fell behind by \d+ bytes$/;

let instance;
before(async () => {
  instance = await Instance.start({ listeners: 1, settings: ['fsync = off', 'realtime.bus_size = 16MB'] });
  await instance.rows(`select realtime.setup_supabase();
    create table rights (topic text); grant select on rights to authenticated; insert into rights values ('rights');
    create policy reads on realtime.messages for select to authenticated using (exists (select from rights r where r.topic = realtime.topic()))`);
});
after(() => instance?.destroy());

const stat = async (name) => Number(await instance.value(`select value from realtime.stats where name = '${name}'`));

// Messages from the database, more than the ring takes.
async function flood() {
  const before = await stat('broadcasts_from_database');
  await instance.rows(`select realtime.send(jsonb_build_object('text', repeat('x', 400000)), 'e', 'flood', false) from generate_series(1, 60)`);
  await until('they are on the bus', async () => (await stat('broadcasts_from_database')) >= before + 60, { seconds: 30 });
}

// Does act() while the listener is stopped, and then makes it miss what that has put on the bus.
async function missed(act) {
  const lost = await stat('bus_bytes_lost');
  const stopped = Number(await instance.value(`select pid from realtime.workers where kind = 'realtime listener'`));
  process.kill(stopped, 'SIGSTOP');
  try {
    await act();
    await flood();
  } finally {
    process.kill(stopped, 'SIGCONT');
  }
  await until('the loss', async () => (await stat('bus_bytes_lost')) > lost);
}

test('rights that were taken away meanwhile are gone', async () => {
  const self = await member(instance, 'rights', { key: instance.token('authenticated'), ready: false, config: { private: true } });
  await pause(2000); // the authorizers have seen the policies, and say no more of them
  await missed(() => instance.rows('begin; delete from rights; select realtime.reauthorize(); commit'));
  await until(() => `the end: ${JSON.stringify(self.systems)}`, () => self.others.some(({ event }) => event === 'phx_close'), { seconds: 20 });
  assert.match(self.systems[0].message, LOST);
  assert.match(self.systems[1].message, /^You do not have permissions to read from this Channel topic: rights$/);
  self.socket.drop();
});

test('who waits for messages from the database is told that they come', { timeout: 120_000 }, async () => {
  await instance.rows(`create table public.plain (i int); begin; insert into public.plain values (1); prepare transaction 'left open'`);
  await instance.restart();
  const [waits, other] = await Promise.all([{ config: { broadcast: { replication_ready: true } } }, {}].map(async (options) => {
    const self = await member(instance, 'ready', { ready: false, ...options });
    await until(() => `it is told to wait: ${JSON.stringify(self.systems)}`, () => self.systems.some(({ message }) => /^Messages from the database are not delivered yet/.test(message)));
    return self;
  }));
  await missed(() => instance.rows(`commit prepared 'left open'`));
  for (const { systems } of [waits, other]) {
    await until(() => `that they come: ${JSON.stringify(systems)}`, () =>
      systems.some(({ status, message }) => status === 'ok' && message === 'Replication connection established'));
    assert.ok(systems.some(({ message }) => LOST.test(message)));
  }
  [waits, other].forEach(({ socket }) => socket.drop());
});
