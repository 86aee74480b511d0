// Replay of stored messages: which, in which order, and that nothing is lost or doubled between it and what comes live.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { arrived, leave, subscribed, supabase } from './lib/client.mjs';
import { readFrame } from './lib/frames.mjs';
import { fence, member } from './lib/member.mjs';
import { until } from './lib/poll.mjs';

let instance;
let key;
before(async () => {
  instance = await Instance.start({ listeners: 2, settings: ['fsync = off', 'realtime.policy_timeout = 5s'] });
  await instance.rows('select realtime.setup_supabase()');
  await instance.rows(`create policy "reads" on realtime.messages for select to authenticated using (true)`);
  key = instance.token('authenticated');
});
after(() => instance?.destroy());

let number = 0;
const newTopic = () => `replay-${++number}`;
const HOUR = 3_600_000;
const since = () => Date.now() - HOUR;

// Waits until all that was committed before has been decoded: what is replayed and what comes live is then certain.
async function decoded() {
  const self = await member(instance, 'decoded');
  await fence(instance, self);
  self.socket.drop();
}

// Joins and resolves with the reply; messages are { event, payload, meta, joinRef } as they come.
async function join(topic, replay, { vsn = '2.0.0', broadcast = {}, as = key, config = {}, of = instance } = {}) {
  const messages = [];
  const systems = [];
  let reply;
  const onFrame = (frame) => {
    const { joinRef, event, payload, meta, userEvent, data, encoding } = readFrame(frame);
    if (event === 'broadcast') {
      messages.push({
        event: userEvent ?? payload.event,
        payload: encoding === 0 ? data : payload.payload,
        meta: meta ?? payload?.meta,
        joinRef,
      });
    } else if (event === 'phx_reply') {
      reply = payload;
    } else if (event === 'system') {
      systems.push(payload.message);
    }
  };
  const socket = await of.connect({ vsn, key: as, onFrame });
  const full = `realtime:${topic}`;
  const payload = { config: { ...config, private: true, broadcast: { ...broadcast, replay } } };
  socket.sendJson(vsn.startsWith('1') ? { topic: full, event: 'phx_join', payload, ref: '1' } : ['1', '1', full, 'phx_join', payload]);
  await until('a reply to the join', () => reply);
  return { socket, messages, systems, reply };
}

// What a join gets replayed, known to be all by a message that follows.
async function replayed(topic, replay, options) {
  await decoded();
  const self = await join(topic, replay, options);
  assert.equal(self.reply.status, 'ok', JSON.stringify(self.reply));
  await instance.rows(`insert into realtime.messages (topic, extension, private, event, payload) values ('${topic}', 'end', true, 'end', '{}')`);
  await until(() => `the end of ${JSON.stringify(self.messages)}`, () => self.messages.at(-1)?.event === 'end');
  self.socket.drop();
  return self.messages.filter(({ event }) => event !== 'end');
}

const numbers = (messages) => messages.map(({ payload }) => payload.n);

// Puts rows into the table that no history holds: as if they had been sent `minutes` ago, before the server started.
async function store(topic, count, minutes) {
  await instance.rows(`
    insert into realtime.messages (topic, extension, private, event, payload, inserted_at)
    select '${topic}', 'broadcast', true, 'old', jsonb_build_object('n', n), now() at time zone 'utc' - interval '${minutes} minutes'
    from generate_series(1, ${count}) n`);
  await decoded();
}

describe('order', () => {
  test('is that of the commits, not that of the start of transactions', async () => {
    const topic = newTopic();
    const [early, late] = [instance.session(), instance.session()];
    await early.rows(`begin; select realtime.send('{"n": 3}', 'e', '${topic}')`);
    await late.rows(`begin; select realtime.send('{"n": 1}', 'e', '${topic}'); select realtime.send('{"n": 2}', 'e', '${topic}'); commit`);
    await early.rows(`select realtime.send('{"n": 4}', 'e', '${topic}'); commit`);
    assert.deepEqual(numbers(await replayed(topic, { since: since() })), [1, 2, 3, 4]);
    early.kill();
    late.kill();
  });

  test('of what the history does not hold is that of inserted_at, and of position inside a transaction', async () => {
    const topic = newTopic();
    await store(topic, 5, 10);
    await instance.rows(`select realtime.send('{"n": 6}', 'e', '${topic}')`);
    await instance.restart();
    (await member(instance, 'ready')).socket.drop();
    await instance.rows(`
      insert into realtime.messages (topic, extension, private, event, payload, inserted_at)
      values ('${topic}', 'broadcast', true, 'new', '{"n": 7}', now() at time zone 'utc' - interval '20 minutes')`);
    await instance.rows(`select realtime.send('{"n": 8}', 'e', '${topic}')`);
    assert.deepEqual(numbers(await replayed(topic, { since: since() })), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert.deepEqual(numbers(await replayed(topic, { since: since(), limit: 3 })), [6, 7, 8]);
  });
});

describe('what is replayed', () => {
  test('is what a join asks for, with id and replayed in meta and the join_ref of the channel', async () => {
    const topic = newTopic();
    const other = newTopic();
    await instance.rows(`
      select realtime.send('{"n": 1}', 'mine', '${topic}');
      select realtime.send('{"n": 2}', 'public', '${topic}', false);
      select realtime.send('{"n": 3}', 'elsewhere', '${other}');
      insert into realtime.messages (topic, extension, private, event, payload) values ('${topic}', 'presence', true, 'presence', '{}')`);
    const [message, ...more] = await replayed(topic, { since: since() });
    const id = await instance.value(`select id from realtime.messages where topic = '${topic}' and event = 'mine'`);
    assert.deepEqual(message, { event: 'mine', payload: { n: 1, id }, meta: { id, replayed: true }, joinRef: '1' });
    assert.deepEqual(more, []);
    assert.deepEqual(await replayed(topic, { since: Date.now() + HOUR }), []);
  });

  test('ends where the retention of rows does: a deleted message does not come back', async () => {
    const topic = newTopic();
    await instance.rows(`
      select realtime.send('{"n": 1}', 'e', '${topic}'), realtime.send('{"n": 2}', 'e', '${topic}');
      delete from realtime.messages where topic = '${topic}' and payload ->> 'n' = '1'`);
    // What is younger than a second is not looked for among the rows: it comes live.
    await until('the deleted one is gone', async () =>
      JSON.stringify(numbers(await replayed(topic, { since: since() }))) === '[2]');
  });

  test('begins at since', async () => {
    const topic = newTopic();
    await store(topic, 2, 30);
    await store(topic, 1, 10);
    assert.deepEqual(numbers(await replayed(topic, { since: Date.now() - 20 * 60_000 })), [1]);
    assert.equal((await replayed(topic, { since: 0 })).length, 3);
  });

  test('holds bytes for V2, and not for V1', async () => {
    const topic = newTopic();
    await instance.rows(`
      select realtime.send('{"n": 1}', 'json', '${topic}'), realtime.send_binary('\\x00ff7f', 'bytes', '${topic}')`);
    const v2 = await replayed(topic, { since: since() });
    assert.deepEqual(v2.map(({ event }) => event), ['json', 'bytes']);
    assert.deepEqual(v2[1].payload, Buffer.from([0, 255, 127]));
    assert.equal(v2[1].meta.replayed, true);
    const v1 = await replayed(topic, { since: since() }, { vsn: '1.0.0' });
    assert.deepEqual(v1.map(({ event }) => event), ['json']);
    assert.equal(v1[0].meta.replayed, true);
  });

  test('is at most realtime.replay_limit', async () => {
    const topic = newTopic();
    await store(topic, 40, 5);
    assert.deepEqual(numbers(await replayed(topic, { since: since(), limit: 100 })), [...Array(25).keys()].map((n) => n + 16));
    await instance.set('realtime.replay_limit', 30);
    try {
      await until('thirty are replayed', async () => (await replayed(topic, { since: since() })).length === 30);
    } finally {
      await instance.set('realtime.replay_limit', 25);
    }
  });

  test('is what fits into the queue of a client, and says so', async () => {
    const topic = newTopic();
    for (let n = 0; n < 5; n++) {
      await instance.rows(`select realtime.send(jsonb_build_object('n', ${n}, 'text', repeat('x', 1500000)), 'e', '${topic}')`);
    }
    await decoded();
    const self = await join(topic, { since: since() });
    await arrived(self.systems, 1);
    assert.deepEqual(self.systems, ['UnableToReplayMessages: 3 of the messages asked for are too long to be sent at once']);
    assert.deepEqual(numbers(self.messages), [3, 4]);
    self.socket.drop();
  });

  test('is what fits into the queue of a client of its role', async () => {
    const topic = newTopic();
    await instance.set('realtime.role_limits', "'authenticated: client_queue_size=64kB'");
    await instance.reloaded();
    try {
      for (let n = 0; n < 5; n++) {
        await instance.rows(`select realtime.send(jsonb_build_object('n', ${n}, 'text', repeat('x', 20000)), 'e', '${topic}')`);
      }
      await decoded();
      const self = await join(topic, { since: since() });
      await arrived(self.systems, 1);
      assert.deepEqual(self.systems, ['UnableToReplayMessages: 4 of the messages asked for are too long to be sent at once']);
      assert.deepEqual(numbers(self.messages), [4]);
      self.socket.drop();
    } finally {
      await instance.set('realtime.role_limits', "''");
      await instance.reloaded();
    }
  });

  test('is nothing for those who may not read', async () => {
    const topic = newTopic();
    await store(topic, 3, 1);
    const self = await join(topic, { since: since() }, { as: instance.token() });
    assert.match(self.reply.response.reason, /^Unauthorized/);
    assert.deepEqual(self.messages, []);
    self.socket.drop();
  });

  test('is refused when it can not be read', async () => {
    const topic = newTopic();
    const session = instance.session();
    await session.rows('begin; lock table realtime.messages in access exclusive mode');
    const self = await join(topic, { since: since() });
    assert.match(self.reply.response.reason, /^(UnableToReplayMessages: Realtime was unable to replay messages|QueryCanceled)/);
    await session.rows('rollback');
    session.kill();
    self.socket.drop();
  });
});

test('the published client replays', async () => {
  const topic = newTopic();
  await store(topic, 3, 1);
  const client = supabase(instance, { key });
  await client.realtime.setAuth(key);
  const { messages } = await subscribed(client, topic, { private: true, broadcast: { replay: { since: since(), limit: 2 } } });
  await arrived(messages, 2);
  assert.deepEqual(numbers(messages), [2, 3]);
  assert.ok(messages.every(({ meta }) => meta.replayed));
  await leave(client);
});

test('a join that also waits for its subscription to changes gets all that comes meanwhile', async () => {
  const topic = newTopic();
  await instance.rows(`
    create table if not exists public.watched (id int primary key);
    grant select on public.watched to authenticated;
    alter publication supabase_realtime add table public.watched`);
  await store(topic, 2, 1);
  const session = instance.session();
  let n = 2;
  let going = true;
  const publisher = (async () => {
    while (going) {
      await session.rows(`select realtime.send('{"n": ${++n}}', 'e', '${topic}')`);
    }
  })();
  const config = { postgres_changes: [{ event: '*', schema: 'public', table: 'watched' }] };
  const self = await join(topic, { since: since() }, { config });
  assert.equal(self.reply.status, 'ok', JSON.stringify(self.reply));
  assert.equal(self.reply.response.postgres_changes.length, 1);
  await until('what comes live', () => self.messages.some(({ meta }) => !meta.replayed));
  going = false;
  await publisher;
  await until(() => `message ${n}`, () => self.messages.some(({ payload }) => payload.n === n));
  const got = numbers(self.messages);
  assert.deepEqual(got, [...Array(got.length).keys()].map((i) => got[0] + i));
  assert.equal(got.at(-1), n);
  session.kill();
  self.socket.drop();
});

test('a join that resumes gets no replay on top, and a replay if it can not resume', async () => {
  const topic = newTopic();
  await instance.rows(`select realtime.send('{"n": 1}', 'e', '${topic}')`);
  await decoded();
  const first = await join(topic, { since: since() }, { broadcast: { resume: {} } });
  await arrived(first.messages, 1);
  assert.equal(first.messages[0].meta.replayed, true);
  const { resume } = first.reply.response;
  assert.equal(resume.seq, 1);
  await instance.rows(`select realtime.send('{"n": 2}', 'e', '${topic}')`);
  await arrived(first.messages, 2);
  const again = await join(topic, { since: since() }, { broadcast: { resume } });
  assert.deepEqual(again.reply.response.resume, { recovered: true, ...resume });
  const late = await join(topic, { since: since() }, { broadcast: { resume: { ...resume, seq: 77 } } });
  assert.deepEqual(late.reply.response.resume, { recovered: false, epoch: resume.epoch, seq: 2 });
  await instance.rows(`select realtime.send('{"n": 3}', 'e', '${topic}')`);
  await arrived(again.messages, 2);
  await arrived(late.messages, 3);
  assert.deepEqual(numbers(again.messages), [2, 3]);
  assert.ok(again.messages.every(({ meta }) => !meta.replayed));
  assert.deepEqual(late.messages.map(({ payload, meta }) => [payload.n, meta.replayed ?? false]), [[1, true], [2, true], [3, false]]);
  assert.equal(late.messages[2].meta.seq, 3);
  for (const self of [first, again, late]) {
    self.socket.drop();
  }
});

for (const asynchronous of [false, true]) {
  test(`while messages are committed ${asynchronous ? 'asynchronously' : 'all the time'}, each comes once and in order, replayed or live`, async () => {
    const topic = newTopic();
    const session = instance.session();
    await session.rows(`set synchronous_commit = ${asynchronous ? 'off' : 'on'}`);
    let n = 0;
    let going = true;
    const publisher = (async () => {
      while (going) {
        await session.rows(`select realtime.send('{"n": ${n}}', 'e', '${topic}')`);
        n++;
      }
    })();
    await until('some messages', () => n > 30);
    const selves = [];
    for (let i = 0; i < 60; i++) {
      selves.push(await join(topic, { since: since(), limit: 1 + (i % 25) }, { broadcast: i % 2 ? { resume: {} } : {} }));
    }
    going = false;
    await publisher;
    for (const self of selves) {
      await until(() => `message ${n - 1} after ${JSON.stringify(self.messages.at(-1))}`, () => self.messages.some(({ payload }) => payload.n === n - 1));
      const got = numbers(self.messages);
      const first = Math.min(...got);
      assert.equal(new Set(got).size, got.length, 'none is doubled');
      assert.equal(got.length, n - first, `none is missing: ${self.messages.slice(0, 60).map(({ payload, meta }) => `${payload.n}${meta.replayed ? 'r' : ''}`)}`);
      if (!asynchronous) {
        assert.deepEqual(got, [...got].sort((a, b) => a - b));
      }
      assert.deepEqual(self.systems, []);
      self.socket.drop();
    }
    // While much is going on, all that was asked for may come live.
    assert.ok(selves.filter(({ messages }) => messages[0].meta.replayed).length >= 10);
    session.kill();
  });
}

for (const late of [false, true]) {
  test(`a listener that is lapped ${late ? 'after its replay was read' : 'while its policies are judged'}`, async () => {
    const small = await Instance.start({
      settings: ['fsync = off', 'realtime.bus_size = 16MB', 'realtime.policy_timeout = 10s', 'realtime.authorizers = 1'],
    });
    let stopped;
    const goOn = () => {
      if (stopped) {
        process.kill(stopped, 'SIGCONT');
        stopped = undefined;
      }
    };
    try {
      await small.rows('select realtime.setup_supabase()');
      await small.rows(`
        create table lock ();
        grant select on lock to authenticated;
        create function slow() returns boolean language plpgsql as $$ begin perform from lock; return true; end $$;
        create policy slow on realtime.messages for select to authenticated using (slow())`);
      const topic = newTopic();
      const flood = async (from) => {
        await small.rows(`select realtime.send(jsonb_build_object('n', n, 'text', repeat('x', 400000)), 'e', '${topic}')
          from generate_series(${from}, ${from + 59}) n`);
        await until('all of it on the bus', async () =>
          Number(await small.value(`select value from realtime.stats where name = 'broadcasts_from_database'`)) >= from + 59, { seconds: 20 });
      };
      await small.rows(`select realtime.send(jsonb_build_object('n', n), 'e', '${topic}') from generate_series(1, 3) n`);
      const replay = { since: since(), limit: 5 };
      const as = small.token('authenticated');
      const waits = async (type) =>
        (await small.value(`select wait_event_type from pg_stat_activity where backend_type = 'realtime authorizer'`)) === type;
      const locker = small.session();
      await locker.rows('begin; lock table lock');
      const joining = join(topic, replay, { of: small, as });
      await until('the policy', () => waits('Lock'), { every: 1 });
      stopped = Number(await small.value(`select pid from realtime.workers where kind = 'realtime listener'`));
      process.kill(stopped, 'SIGSTOP');
      if (late) {
        await locker.rows('commit');
        await until('the answer', () => waits('Extension'));
      }
      await flood(4);
      goOn();
      if (!late) {
        await until('the loss', async () => Number(await small.value(`select value from realtime.stats where name = 'bus_bytes_lost'`)) > 0);
        await locker.rows('commit');
      }
      locker.kill();
      let self = await joining;
      if (late) {
        // The rows came by the bus, too.
        assert.deepEqual(self.reply, { status: 'error', response: { reason: 'UnableToReplayMessages: Realtime was unable to replay messages' } });
        self.socket.drop();
        self = await join(topic, replay, { of: small, as });
      }
      assert.equal(self.reply.status, 'ok', JSON.stringify(self.reply));
      await small.rows(`select realtime.send('{"n": 64}', 'e', '${topic}')`);
      await until(() => `the last of ${numbers(self.messages)}`, () => numbers(self.messages).at(-1) === 64, { seconds: 20 });
      assert.deepEqual(numbers(self.messages), [59, 60, 61, 62, 63, 64]);
      assert.deepEqual(self.systems, []);
      self.socket.drop();
    } finally {
      goOn();
      await small.destroy();
    }
  });
}
