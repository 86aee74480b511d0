// Policies and filters that take too long: who misses changes for it knows, and nobody else misses any.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { errorsOf, secured, startBench, workersStay } from './lib/changes.mjs';
import { running } from './lib/member.mjs';
import { until } from './lib/poll.mjs';

let instance;
let table, user, subscriber, come, rowsOf, insertRows;

before(async () => {
  ({ instance, table, user, subscriber, come, rowsOf, insertRows } = await startBench());
});
after(() => instance?.destroy());

workersStay(() => instance);

test('policies are suspended on their table, and who comes later is told too', { timeout: 60_000 }, async () => {
  const slow = await table(secured('pg_sleep(60) is not null'));
  const quick = await table(secured('true'));
  const key = user({ sub: 'the same' });
  const [self, other] = [await subscriber(slow, { key }), await subscriber(quick, { key })];
  const suspended = (one) => errorsOf(one).find((text) => / 3 times within 60 s, so that changes are not delivered here for \d+ s$/.test(text));
  await until(() => `it is suspended: ${JSON.stringify(errorsOf(self))}`, async () => {
    await insertRows(slow, 1);
    await come(other);
    return suspended(self);
  }, { seconds: 30 });
  const rows = await insertRows(quick, 3);
  assert.deepEqual(await rowsOf(other), rows);
  const late = await subscriber(slow, { key });
  await until(() => `he is told: ${JSON.stringify(errorsOf(late))}`, async () => {
    await insertRows(slow, 1);
    await come(other);
    return errorsOf(late).length > 0;
  });
  assert.match(errorsOf(late)[0], /: its policies took longer than realtime\.policy_timeout 3 times/);
  // Once is enough.
  await insertRows(slow, 5);
  assert.deepEqual(await rowsOf(late), []);
  assert.equal(errorsOf(late).length, 1);
  assert.deepEqual(errorsOf(other), []);
  [self, other, late].forEach(({ socket }) => socket.drop());
});

test('filters with patterns likewise, on all tables', { timeout: 60_000 }, async () => {
  const [one, two] = [await table(''), await table('')];
  const key = user({ sub: 'pattern' });
  const [self, other, plain] = [
    await subscriber(one, { key, filter: 'name=match.^(.*)(.*)(.*)\\1\\2\\3(c|d)$' }),
    await subscriber(two, { key, filter: 'name=like.a%' }),
    await subscriber(two, { key }),
  ];
  for (let i = 0; i < 3; i++) {
    await insertRows(one, 1, `0, repeat('ab', 700) || 'c'`);
    await come(self);
  }
  const rows = await insertRows(two, 1, `0, 'abc'`);
  assert.deepEqual(await rowsOf(plain), rows);
  assert.deepEqual(await rowsOf(other), []);
  assert.match(errorsOf(other)[0], /: its filter, or another one of the same claims, took longer than .* are not delivered here for \d+ s$/);
  [self, other, plain].forEach(({ socket }) => socket.drop());
});

test('a filter that was given up while it was made is tried again', { timeout: 60_000 }, async () => {
  await instance.rows(`
    create function waits(value text) returns bool language plpgsql as $$ begin
      if value = 'x' then perform pg_advisory_xact_lock_shared(78); end if; return true; end $$;
    create domain waiting as text check (waits(value))`);
  const name = await table('', 'id int primary key, n int, v waiting');
  const self = await subscriber(name, { filter: 'v=eq.x' });
  const other = await subscriber(name);
  const session = instance.session();
  await session.rows('select pg_advisory_lock(78)');
  try {
    const before = await insertRows(name, 1, `1, 'y'`);
    assert.deepEqual(await rowsOf(other), before);
    await until('what is wrong', () => errorsOf(self).length > 0);
    assert.match(errorsOf(self)[0], /: its filter took longer than realtime\.policy_timeout$/);
  } finally {
    await session.rows('select pg_advisory_unlock(78)');
    session.close();
  }
  const rows = await insertRows(name, 1, `1, 'x'`);
  assert.deepEqual(await rowsOf(self), rows);
  assert.equal(errorsOf(self).length, 1);
  [self, other].forEach(({ socket }) => socket.drop());
});

// What the worker has allocated, in bytes.
async function memory() {
  const { pid } = await running(instance, 'changes');
  const at = await instance.logPosition();
  await instance.rows(`select pg_log_backend_memory_contexts(${pid})`);
  const found = await until('the worker says what it has', async () => /Grand total: (\d+) bytes/.exec(await instance.logSince(at)));
  return Number(found[1]);
}

test('filters go with who had them', { timeout: 120_000 }, async () => {
  const name = await table('');
  const stays = await subscriber(name);
  const rounds = async (count) => {
    for (let i = 0; i < count; i++) {
      const values = Array.from({ length: 100 }, (_, n) => `${i}x${n}${'y'.repeat(200)}`);
      const self = await subscriber(name, { filter: `name=in.(${values.join(',')})` });
      await insertRows(name, 1, `1, '${i}x0'`);
      await come(self);
      self.socket.drop();
    }
    await until('they have gone', async () => (await instance.value('select count(*) from realtime.subscription')) === '2');
    await come(stays);
  };
  await rounds(5);
  const before = await memory();
  await rounds(60);
  const grown = (await memory()) - before;
  // 60 filters of 20 kB, their values beside.
  assert.ok(grown < 1_000_000, `${grown} bytes`);
  stays.socket.drop();
});
