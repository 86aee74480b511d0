// A table that a policy of realtime.messages reads is locked, as in a migration: nobody can join meanwhile, and nobody who has is sent away.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { member } from './lib/member.mjs';
import { pause, until } from './lib/poll.mjs';

let instance;
before(async () => {
  instance = await Instance.start({ settings: ['fsync = off', 'autovacuum = off', `realtime.policy_timeout = '300ms'`] });
  await instance.rows(`
    select realtime.setup_supabase();
    create table rooms_users (topic text); grant select on rooms_users to public;
    insert into rooms_users values ('room-1'), ('room-2');
    create policy reads on realtime.messages for select to authenticated using (exists (
      select from rooms_users r where r.topic = (select realtime.topic())))`);
});
after(() => instance?.destroy());

const join = (topic) => member(instance, topic, { key: instance.token('authenticated'), ready: false, config: { private: true } });

test('who has joined stays, and what has changed meanwhile counts in the end', { timeout: 60_000 }, async () => {
  const [one, two] = [await join('room-1'), await join('room-2')];
  await pause(2000); // the policies are known, and nobody has to be judged again because of them
  const session = instance.session();
  await session.rows('begin; lock table rooms_users');
  try {
    // Something that the authorizers hear of, and that they can't rule out to be about policies.
    for (let i = 0; i < 12; i++) {
      await instance.rows(`create function harmless${i}() returns int language sql as 'select 1'`);
      await assert.rejects(join('room-1'), /QueryCanceled/);
    }
    await pause(3000);
    for (const self of [one, two]) {
      assert.deepEqual(self.systems, []);
      assert.ok(!self.others.some(({ event }) => event === 'phx_close' || event === 'phx_error'));
    }
    await session.rows(`delete from rooms_users where topic = 'room-2'; commit`);
  } finally {
    session.close();
  }
  await until('who may not any more is sent away', () => two.others.some(({ event }) => event === 'phx_close'));
  (await join('room-1')).socket.drop();
  assert.deepEqual(one.systems, []);
  one.socket.drop();
  two.socket.drop();
});
