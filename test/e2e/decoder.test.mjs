// When the message decoder falls: no gap and no repeat, and where there is one, it is said.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { fence, health, member, running } from './lib/member.mjs';
import { until } from './lib/poll.mjs';
import { median } from './lib/times.mjs';

const numbers = (messages) => messages.map(({ payload }) => payload.n);
const upTo = (count) => Array.from({ length: count }, (_, n) => n);

// Sends `count` messages, each in a transaction of its own, at about `rate` a second.
const stream = (topic, count, rate) => `do $$
  declare began timestamptz := clock_timestamp();
  begin
    for n in 0 .. ${count - 1} loop
      perform realtime.send(jsonb_build_object('n', n), 'e', '${topic}', false);
      commit;
      perform pg_sleep(greatest(0, extract(epoch from began - clock_timestamp()) + n / ${rate}.0));
    end loop;
  end $$`;

// Ends the decoder; returns how many ms it took until another one was decoding.
async function endDecoder(instance, session) {
  const { pid } = await running(instance, 'decoder');
  const began = Date.now();
  await session.rows(`select pg_terminate_backend(${pid})`);
  await running(instance, 'decoder', { not: pid, seconds: 10 });
  return Date.now() - began;
}

describe('a decoder that is ended', () => {
  let instance;
  let control;
  before(async () => {
    instance = await Instance.start();
    control = instance.session();
    await instance.rows('create table public.plain (i int)');
  });
  after(() => instance?.destroy());

  for (const [what, write] of [
    ['has written a table', 'insert into public.plain values (1)'],
    ['has published', `select realtime.send('{"n": -1}', 'open', 'stream', false)`],
  ]) {
    test(`at 500 messages/s, beside a transaction that ${what} and stays open`, { timeout: 120_000 }, async () => {
      const self = await member(instance, 'stream');
      const open = instance.session();
      await open.rows(`begin; ${write}`);
      const publisher = instance.session();
      const count = 4000;
      const published = publisher.rows(stream('stream', count, 500), 60);
      const took = [];
      for (let round = 1; round <= 3; round++) {
        await until(() => `message ${round * 800}, ${self.messages.length} came`, () => self.messages.length >= round * 800, { seconds: 30 });
        took.push(await endDecoder(instance, control));
      }
      await published;
      await until(() => `${count} messages, ${self.messages.length} came`, () => self.messages.length >= count, { seconds: 20 });
      await open.rows('commit');
      const got = await fence(instance, self);
      const ours = got.filter(({ event }) => event === 'e');
      assert.deepEqual(numbers(ours), upTo(count));
      assert.equal(got.filter(({ event }) => event === 'open').length, write.includes('send') ? 1 : 0);
      assert.deepEqual(self.systems.filter(({ status }) => status === 'error'), [], 'no gap is announced');
      assert.ok(median(took) <= 1000 && Math.max(...took) <= 5000, `decoding again after ${took} ms`);
      open.close();
      publisher.close();
      self.socket.drop();
    });
  }

  test('in the middle of transactions of 10,000 messages', { timeout: 120_000 }, async () => {
    const self = await member(instance, 'bulk');
    const count = 10_000;
    for (let round = 0; round < 4; round++) {
      const published = instance.rows(`select realtime.send(jsonb_build_object('n', n), 'e', 'bulk', false) from generate_series(0, ${count - 1}) n`, 60);
      await until(() => `some messages, ${self.messages.length} came`, () => self.messages.length >= 200 * (round + 1), { every: 1, seconds: 30 });
      await endDecoder(instance, control);
      await published;
      const got = await fence(instance, self, { seconds: 30 });
      assert.deepEqual(numbers(got), upTo(count));
    }
    self.socket.drop();
  });

  test('again and again, with savepoints, rollbacks and several sessions', { timeout: 120_000 }, async () => {
    const self = await member(instance, 'mixed');
    const sessions = Array.from({ length: 3 }, () => instance.session());
    let publishing = true;
    const counts = await Promise.all([
      ...sessions.map(async (session, s) => {
        let n = 0;
        while (publishing) {
          const message = (event) => `select realtime.send(jsonb_build_object('n', ${n++}), '${event}', 'mixed', false);`;
          const gone = `select realtime.send('{}', 'gone', 'mixed', false);`;
          await session.rows(`begin; ${message(`s${s}`)} savepoint a; ${gone} rollback to a; savepoint b; ${message(`s${s}`)} release b; commit;
            begin; ${gone} rollback;`);
        }
        return n;
      }),
      (async () => {
        for (let round = 0; round < 6; round++) {
          const target = self.messages.length + 100;
          await until('some messages', () => self.messages.length >= target, { seconds: 20 });
          await endDecoder(instance, control);
        }
        publishing = false;
      })(),
    ]);
    const got = await fence(instance, self);
    sessions.forEach((session, s) => {
      assert.deepEqual(numbers(got.filter(({ event }) => event === `s${s}`)), upTo(counts[s]));
      session.close();
    });
    assert.ok(!got.some(({ event }) => event === 'gone'));
    assert.deepEqual(self.systems.filter(({ status }) => status === 'error'), []);
    self.socket.drop();
  });

  test('together with the launcher: what commits while the next one waits for its start is lost, and told after it', { timeout: 60_000 }, async () => {
    const self = await member(instance, 'together');
    assert.deepEqual(await fence(instance, self), []);
    const lost = () => self.systems.filter(({ status, message }) => status === 'error' && /lost/.test(message)).length;
    const open = instance.session();
    await open.rows('begin; insert into public.plain values (1)');
    const decoder = await running(instance, 'decoder');
    const launcher = await running(instance, 'launcher');
    await control.rows(`select pg_terminate_backend(pid) from unnest(array[${decoder.pid}, ${launcher.pid}]) pid`);
    // Unless the decoder was so quick that it found the anchor of the launcher that ends.
    const another = `select count(*) from realtime.workers where kind = 'realtime decoder' and state = 'running' and pid <> ${decoder.pid}`;
    await until('that messages are missing is told at once', async () => lost() > 0 || (await instance.value(another)) === '1');
    const told = lost();
    await instance.rows(`select realtime.send('{}', 'meanwhile', 'together', false)`);
    await open.rows('commit');
    await running(instance, 'decoder', { not: decoder.pid });
    const got = await fence(instance, self);
    assert.ok(got.some(({ event }) => event === 'meanwhile') || lost() > told, `told ${told} times before, ${lost()} times in all`);
    open.close();
    self.socket.drop();
  });

  test('an unrelated load delays nothing', { timeout: 120_000 }, async () => {
    const self = await member(instance, 'load');
    const loader = instance.session();
    const load = loader.rows('create table public.fresh as select generate_series(1, 1000000) i', 60);
    const publisher = instance.session();
    await publisher.rows(stream('load', 500, 200), 60);
    await load;
    await until(() => `500 messages, ${self.messages.length} came`, () => self.messages.length >= 500, { seconds: 5 });
    assert.deepEqual(numbers(await fence(instance, self)), upTo(500));
    loader.close();
    publisher.close();
    self.socket.drop();
  });
});

test('a decoder that stands still: retained WAL is bounded, health() says so, the gap is told', { timeout: 180_000 }, async () => {
  const limit = 64;
  const instance = await Instance.start({
    settings: ['fsync = off', `realtime.max_wal_retained = '${limit}MB'`, `max_wal_size = '64MB'`, `min_wal_size = '32MB'`, `wal_keep_size = 0`],
  });
  let stopped;
  try {
    const [one, two] = [await member(instance, 'one'), await member(instance, 'two')];
    await instance.rows('create table public.load (t text)');
    const { pid } = await running(instance, 'decoder');
    process.kill(pid, 'SIGSTOP');
    stopped = pid;
    await instance.rows(`select realtime.send('{}', 'lost', 'one', false)`);
    const retained = async () =>
      Number(await instance.value(`select coalesce(max(pg_current_wal_lsn() - restart_lsn), 0) from pg_replication_slots`));
    for (let i = 0; i < 5; i++) {
      await instance.rows(`insert into public.load select repeat(md5(i::text), 30) from generate_series(1, 40000) i; checkpoint`, 60);
    }
    await until(async () => `retained WAL is ${await retained()} bytes`, async () => (await retained()) < limit * 1024 * 1024, { seconds: 60 });
    const row = await until('health() says so', async () =>
      (await health(instance)).find(({ ok, detail, hint }) => !ok && /WAL|decoder/i.test(`${detail} ${hint}`)));
    assert.ok(row.hint);

    process.kill(pid, 'SIGCONT');
    stopped = undefined;
    for (const self of [one, two]) {
      await until(() => `the gap is told: ${JSON.stringify(self.systems)}`, () =>
        self.systems.some(({ status, message, extension }) => status === 'error' && extension === 'system' && /lost|missed|gap/i.test(message)), { seconds: 30 });
    }
    let bad;
    await until(() => `health() is well again: ${JSON.stringify(bad)}`, async () => {
      bad = (await health(instance)).filter(({ ok }) => !ok);
      return bad.length === 0;
    }, { seconds: 30 });
    await instance.rows(`select realtime.send('{"n": 1}', 'next', 'one', false)`);
    assert.deepEqual((await fence(instance, one)).filter(({ event }) => event !== 'lost').map(({ event }) => event), ['next']);
  } finally {
    if (stopped) {
      process.kill(stopped, 'SIGCONT');
    }
    await instance.destroy();
  }
});

test('a prepared transaction left open over a restart: clients are told to wait, then that it goes on', { timeout: 120_000 }, async () => {
  const instance = await Instance.start({ settings: ['fsync = off'] });
  try {
    await instance.rows(`create table public.plain (i int); begin; insert into public.plain values (1); prepare transaction 'left open'`);
    await instance.restart();
    const self = await member(instance, 'p', { ready: false });
    const waiting = await until(() => `the first message: ${JSON.stringify(self.systems)}`, () =>
      self.systems.find(({ status }) => status === 'error'));
    assert.match(waiting.message, /^Messages from the database are not delivered yet: waiting for transaction \d+ \(.*'left open'.*\)$/);
    assert.equal(waiting.extension, 'system');
    assert.equal(waiting.channel, 'p');
    const bad = (await health(instance)).filter(({ ok }) => !ok);
    assert.ok(bad.some(({ detail }) => /left open/.test(detail)), JSON.stringify(bad));

    const other = await member(instance, 'p', { ready: false, config: { broadcast: { replication_ready: true } } });
    await until('the second client is told as well', () => other.systems.some(({ status }) => status === 'error'));
    await instance.rows(`commit prepared 'left open'`);
    for (const { systems } of [self, other]) {
      await until(() => `the second message: ${JSON.stringify(systems)}`, () =>
        systems.some(({ status, message }) => status === 'ok' && message === 'Replication connection established'));
    }
    for (let n = 0; n < 100; n++) {
      await instance.rows(`select realtime.send('{"n": ${n}}', 'e', 'p', false)`);
    }
    const got = await fence(instance, self);
    assert.deepEqual(numbers(got), upTo(100));
    assert.equal(self.systems.length, 2);
    assert.equal(other.systems.length, 2);
  } finally {
    await instance.destroy();
  }
});

test('messages that were committed while the server was down for a restart are not needed to start', async () => {
  const instance = await Instance.start({ settings: ['fsync = off'] });
  try {
    const self = await member(instance, 'r');
    await instance.rows(`select realtime.send('{}', 'before', 'r', false)`);
    assert.deepEqual((await fence(instance, self)).map(({ event }) => event), ['before']);
    await instance.restart();
    const again = await member(instance, 'r');
    assert.deepEqual(await fence(instance, again), [], 'what was delivered before the restart is not delivered again');
  } finally {
    await instance.destroy();
  }
});
