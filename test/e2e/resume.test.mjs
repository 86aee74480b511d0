// Clients that come back: the whole gap in order, or an honest no.

import { after, afterEach, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import WebSocket from 'ws';
import { resumable } from './resume.mjs';
import { Instance } from './lib/instance.mjs';
import { VERSIONS, abandon, arrived, leave, subscribed, supabase } from './lib/client.mjs';
import { readFrame } from './lib/frames.mjs';
import { request } from './lib/http.mjs';
import { until } from './lib/poll.mjs';

let instance;
before(async () => {
  instance = await Instance.start({
    listeners: 2,
    settings: ['fsync = off', 'realtime.history_size = 2000', "realtime.max_joins_per_second = '100000'", 'realtime.max_messages_per_second = 100000', 'realtime.bus_size = 16MB', 'realtime.max_topics = 300'],
  });
  await instance.rows('select realtime.setup_supabase()');
  await instance.rows(`
    create policy "reads" on realtime.messages for select to authenticated using (realtime.topic() like 'open-%');
    create policy "writes" on realtime.messages for insert to authenticated with check (realtime.topic() like 'open-%')`);
});
after(() => instance?.destroy());
afterEach(abandon);

let number = 0;
const newTopic = () => `open-resume-${++number}`;

// Sockets that can be cut as a network does.
function cuttable() {
  const sockets = new Set();
  class Transport extends WebSocket {
    constructor(...args) {
      super(...args);
      sockets.add(this);
      this.on('close', () => sockets.delete(this));
    }
  }
  return { Transport, cut: () => [...sockets].forEach((socket) => socket.terminate()) };
}

// A client of the example, whose connection can be cut. `keys` are what its messages say in n.
function resuming(topic, { vsn = '2.0.0', config, key, reconnectAfterMs = () => 20 } = {}) {
  const { Transport, cut } = cuttable();
  const client = supabase(instance, { vsn, key, realtime: { transport: Transport, reconnectAfterMs } });
  const self = { client, cut, messages: [], gaps: [], statuses: [], joins: () => self.statuses.filter((s) => s === 'SUBSCRIBED').length };
  const room = resumable(client, topic, {
    config,
    onMessage: (message) => self.messages.push(message),
    onGap: (why) => self.gaps.push(why),
    onStatus: (status) => self.statuses.push(status),
  });
  return Object.assign(self, room);
}

const joined = (self, times = 1) => until(() => `joined ${times} times: ${self.statuses}`, () => self.joins() >= times, { seconds: 20 });

// A raw member: what a join with this config is answered, and every broadcast as { event, payload, meta }.
async function raw(topic, broadcast, { vsn = '2.0.0', config = {}, key } = {}) {
  const messages = [];
  const systems = [];
  const replies = new Map();
  const texts = [];
  const onFrame = (frame) => {
    const { event, payload, ref, meta, userEvent, data, encoding } = readFrame(frame);
    texts.push(frame.text);
    if (event === 'broadcast') {
      messages.push({
        event: userEvent ?? payload.event,
        payload: encoding === 0 ? data : payload.payload,
        meta: meta ?? payload?.meta,
        whole: payload,
      });
    } else if (event === 'phx_reply') {
      replies.set(ref, payload);
    } else if (event === 'system') {
      systems.push(payload);
    }
  };
  const socket = await instance.connect({ vsn, key, onFrame });
  const full = `realtime:${topic}`;
  let ref = 1;
  const push = (event, payload, its = String(++ref)) => {
    socket.sendJson(vsn.startsWith('1') ? { topic: full, event, payload, ref: its, join_ref: '1' } : ['1', its, full, event, payload]);
    return its;
  };
  push('phx_join', { config: { ...config, broadcast } }, '1');
  await until('a reply to the join', () => replies.has('1'));
  const reply = replies.get('1');
  return { socket, messages, systems, replies, texts, push, reply, resume: reply.response?.resume };
}

async function send(member, event, payload, more = {}) {
  const ref = member.push('broadcast', { type: 'broadcast', event, payload, ...more });
  await until('an ack', () => member.replies.has(ref));
}

const place = ({ meta }) => ({ epoch: meta.epoch, seq: meta.seq });

describe('what is said on the wire', () => {
  for (const vsn of VERSIONS) {
    test(`${vsn}: who does not ask sees nothing of it`, async () => {
      const topic = newTopic();
      const asks = await raw(topic, { resume: {}, self: true, ack: true }, { vsn });
      const member = await raw(topic, { self: true, ack: true }, { vsn });
      assert.deepEqual(member.reply, { status: 'ok', response: { postgres_changes: [] } });
      await send(member, 'e', { n: 1 });
      await instance.rows(`select realtime.send('{"n": 2, "id": "x"}', 'e', '${topic}', false)`);
      await arrived(member.messages, 2);
      await arrived(asks.messages, 2);
      assert.deepEqual(member.messages[0].whole, { type: 'broadcast', event: 'e', payload: { n: 1 } });
      assert.deepEqual(Object.keys(member.messages[1].meta), ['id']);
      assert.equal(asks.messages[1].meta.id, member.messages[1].meta.id);
      member.socket.drop();
      asks.socket.drop();
    });

    test(`${vsn}: epoch and seq are in the meta of each message, beside what is there`, async () => {
      const topic = newTopic();
      const member = await raw(topic, { resume: {}, self: true, ack: true }, { vsn });
      const { epoch } = member.resume;
      assert.match(epoch, /^[0-9a-f]{16}$/);
      assert.deepEqual(member.resume, { epoch, seq: 0 });
      await send(member, 'text', { n: 1 });
      await send(member, 'text', { n: 2 }, { meta: { mine: true, seq: 99, epoch: 'no' }, extra: 5 });
      await instance.rows(`select realtime.send('{"n": 3, "id": "x"}', 'row', '${topic}', false)`);
      await arrived(member.messages, 3);
      const answer = await request(instance.port, {
        method: 'POST',
        path: '/realtime/v1/api/broadcast',
        headers: { apikey: instance.token(), 'content-type': 'application/json' },
        body: JSON.stringify({ messages: [{ topic, event: 'rest', payload: { n: 4 }, id: 'ours' }] }),
      });
      assert.equal(answer.status, 202);
      await arrived(member.messages, 4);
      const id = await instance.value(`select id from realtime.messages where topic = '${topic}'`);
      assert.deepEqual(member.messages.map(({ meta }) => meta), [
        { epoch, seq: 1 },
        { mine: true, epoch, seq: 2 },
        { id, epoch, seq: 3 },
        { id: 'ours', epoch, seq: 4 },
      ]);
      assert.equal(member.messages[1].whole.extra, 5);
      member.socket.drop();
    });
  }

  test('binary messages have it too', async () => {
    const topic = newTopic();
    const member = await raw(topic, { resume: {} });
    await instance.rows(`select realtime.send_binary('\\x00ff', 'bytes', '${topic}', false)`);
    await arrived(member.messages, 1);
    assert.deepEqual(member.messages[0].payload, Buffer.from([0, 255]));
    assert.equal(member.messages[0].meta.seq, 1);
    assert.equal(member.messages[0].meta.epoch, member.resume.epoch);
    member.socket.drop();
  });

  test('a value that is no place is warned of, and not recovered', async () => {
    const topic = newTopic();
    const half = await raw(topic, { resume: { seq: 5 } });
    assert.equal(half.resume.recovered, false);
    await arrived(half.systems, 1);
    assert.equal(half.systems[0].message, 'InvalidJoinPayload: config.broadcast.resume: expected {} or an epoch and a seq; the default is used');
    const none = await raw(topic, { resume: 5 });
    assert.equal(none.resume, undefined);
    await arrived(none.systems, 1);
    half.socket.drop();
    none.socket.drop();
  });
});

describe('a gap', () => {
  test('comes whole, right after the reply, and what follows comes once', async () => {
    const topic = newTopic();
    const sender = await raw(topic, { ack: true });
    const first = await raw(topic, { resume: {} });
    for (let n = 1; n <= 3; n++) {
      await send(sender, 'e', { n });
    }
    await arrived(first.messages, 3);
    first.socket.drop();
    await instance.rows(`select realtime.send('{"n": 4}', 'e', '${topic}', false); select realtime.send_binary('\\x05', 'e', '${topic}', false)`);
    await arrived(sender.messages, 2);
    await send(sender, 'e', { n: 6 });
    const again = await raw(topic, { resume: place(first.messages[1]) });
    assert.deepEqual(again.resume, { recovered: true, ...place(first.messages[1]) });
    await send(sender, 'e', { n: 7 });
    await arrived(again.messages, 5);
    assert.deepEqual(again.messages.map(({ meta }) => meta.seq), [3, 4, 5, 6, 7]);
    assert.deepEqual(again.messages.map(({ payload }) => payload.n ?? payload[0]), [3, 4, 5, 6, 7]);
    for (const member of [sender, again]) {
      member.socket.drop();
    }
  });

  test('of a V1 client holds what V1 can carry', async () => {
    const topic = newTopic();
    const first = await raw(topic, { resume: {}, self: true, ack: true }, { vsn: '1.0.0' });
    await instance.rows(`
      select realtime.send('{"n": 1}', 'e', '${topic}', false);
      select realtime.send_binary('\\x02', 'e', '${topic}', false);
      select realtime.send('{"n": 3}', 'e', '${topic}', false)`);
    await arrived(first.messages, 2);
    const again = await raw(topic, { resume: { ...first.resume } }, { vsn: '1.0.0' });
    await arrived(again.messages, 2);
    assert.equal(again.resume.recovered, true);
    assert.deepEqual(again.messages, first.messages);
    first.socket.drop();
    again.socket.drop();
  });

  test('that is empty is recovered', async () => {
    const topic = newTopic();
    const first = await raw(topic, { resume: {} });
    const again = await raw(topic, { resume: first.resume });
    assert.deepEqual(again.resume, { recovered: true, ...first.resume });
    first.socket.drop();
    again.socket.drop();
  });

  test('is not recovered from a place in the future, or in another topic', async () => {
    const [topic, other] = [newTopic(), newTopic()];
    const first = await raw(topic, { resume: {} });
    const future = await raw(topic, { resume: { ...first.resume, seq: 1 } });
    assert.equal(future.resume.recovered, false);
    const elsewhere = await raw(other, { resume: first.resume });
    assert.equal(elsewhere.resume.recovered, false);
    const key = instance.token('authenticated');
    const inPrivate = await raw(topic, { resume: first.resume }, { key, config: { private: true } });
    assert.equal(inPrivate.resume.recovered, false);
    assert.notEqual(inPrivate.resume.epoch, first.resume.epoch);
    for (const member of [first, future, elsewhere, inPrivate]) {
      member.socket.drop();
    }
  });

  test('is not recovered once the history does not reach back', async () => {
    const topic = newTopic();
    await instance.set('realtime.history_size', 5);
    await until('the setting is there', async () => (await instance.value('show realtime.history_size')) === '5');
    try {
      const first = await raw(topic, { resume: {}, self: true, ack: true });
      await until('five are kept', async () => {
        await send(first, 'e', {});
        const five = await raw(topic, { resume: { ...first.resume, seq: first.messages.at(-1).meta.seq - 6 } });
        five.socket.drop();
        return first.messages.length > 10 && five.resume.recovered === false;
      });
      const seq = first.messages.at(-1).meta.seq;
      const six = await raw(topic, { resume: { ...first.resume, seq: seq - 6 } });
      assert.deepEqual(six.resume, { recovered: false, epoch: first.resume.epoch, seq });
      const five = await raw(topic, { resume: { ...first.resume, seq: seq - 5 } });
      assert.equal(five.resume.recovered, true);
      await send(first, 'end', {});
      await arrived(five.messages, 6);
      await arrived(six.messages, 1);
      assert.deepEqual(five.messages.map(({ meta }) => meta.seq), [4, 3, 2, 1, 0, -1].map((n) => seq - n));
      assert.deepEqual(six.messages.map(({ event }) => event), ['end']);
      for (const member of [first, six, five]) {
        member.socket.drop();
      }
    } finally {
      await instance.set('realtime.history_size', 2000);
      await until('the setting is back', async () => (await instance.value('show realtime.history_size')) === '2000');
    }
  });

  test('is not recovered from messages that are too old', async () => {
    const topic = newTopic();
    const first = await raw(topic, { resume: {}, self: true, ack: true });
    await send(first, 'e', {});
    await instance.set('realtime.history_ttl', 1);
    try {
      await until('the message is too old', async () => {
        const again = await raw(topic, { resume: first.resume });
        again.socket.drop();
        return again.resume.recovered === false;
      });
    } finally {
      await instance.set('realtime.history_ttl', "'5min'");
    }
    first.socket.drop();
  });

  test('is not recovered when a message in it could not be delivered', async () => {
    const topic = newTopic();
    const first = await raw(topic, { resume: {}, self: true, ack: true });
    await send(first, 'e', {});
    await instance.rows(`insert into realtime.messages (topic, extension, private, event, payload) values ('${topic}', 'broadcast', false, null, '{}')`);
    await arrived(first.systems, 1);
    const again = await raw(topic, { resume: first.resume });
    assert.equal(again.resume.recovered, false);
    assert.notEqual(again.resume.epoch, first.resume.epoch);
    first.socket.drop();
    again.socket.drop();
  });

  test('is not recovered when more topics than max_topics came between', async () => {
    const topic = newTopic();
    const first = await raw(topic, { resume: {}, self: true, ack: true });
    await send(first, 'e', {});
    const other = [];
    await instance.rows(`select realtime.send('{}', 'e', 'many-' || n, false) from generate_series(1, 320) n`);
    await until('its place was taken', async () => {
      const again = await raw(topic, { resume: first.resume });
      other.push(again);
      return again.resume.recovered === false;
    });
    assert.ok(Number(await instance.value(`select value from realtime.stats where name = 'topics_evicted'`)) > 0);
    for (const member of [first, ...other]) {
      member.socket.drop();
    }
  });

  test('is for those who may read', async () => {
    const topic = newTopic();
    const key = instance.token('authenticated');
    const first = await raw(topic, { resume: {}, self: true, ack: true }, { key, config: { private: true } });
    await send(first, 'e', { n: 1 });
    const anon = await raw(topic, { resume: first.resume }, { config: { private: true } });
    assert.match(anon.reply.response.reason, /^Unauthorized/);
    assert.deepEqual(anon.messages, []);
    const again = await raw(topic, { resume: first.resume }, { key, config: { private: true } });
    await arrived(again.messages, 1);
    assert.equal(again.resume.recovered, true);
    for (const member of [first, anon, again]) {
      member.socket.drop();
    }
  });

  test('longer than a client may have queued is not recovered', async () => {
    const topic = newTopic();
    const first = await raw(topic, { resume: {}, ack: true });
    for (let n = 0; n < 5; n++) {
      await send(first, 'e', { text: 'x'.repeat(2_000_000) });
    }
    const again = await raw(topic, { resume: first.resume });
    assert.equal(again.resume.recovered, false);
    const part = await raw(topic, { resume: { epoch: first.resume.epoch, seq: 3 } });
    assert.equal(part.resume.recovered, true);
    await arrived(part.messages, 2);
    assert.deepEqual(part.messages.map(({ payload }) => payload.text.length), [2_000_000, 2_000_000]);
    for (const member of [first, again, part]) {
      member.socket.drop();
    }
  });

  test('longer than a client of its role may have queued is not recovered', async () => {
    await instance.set('realtime.role_limits', "'anon: client_queue_size=64kB'");
    try {
      const topic = newTopic();
      const first = await raw(topic, { resume: {}, ack: true });
      for (let n = 0; n < 5; n++) {
        await send(first, 'e', { text: 'x'.repeat(30_000) });
      }
      const again = await raw(topic, { resume: first.resume });
      assert.equal(again.resume.recovered, false);
      const part = await raw(topic, { resume: { epoch: first.resume.epoch, seq: 4 } });
      assert.equal(part.resume.recovered, true);
      await arrived(part.messages, 1);
      for (const member of [first, again, part]) {
        member.socket.drop();
      }
    } finally {
      await instance.set('realtime.role_limits', "''");
    }
  });
});

describe('the example', () => {
  for (const vsn of VERSIONS) {
    test(`${vsn}: sockets are cut again and again, nothing is lost, doubled, or out of order`, async () => {
      const topic = newTopic();
      const witness = resuming(topic, { vsn });
      const self = resuming(topic, { vsn });
      const sender = await subscribed(supabase(instance), topic, { broadcast: { ack: true } });
      await Promise.all([joined(witness), joined(self)]);
      const session = instance.session();
      const total = 400;
      const binary = vsn.startsWith('2');
      let cuts = 0;
      const fromClient = (async () => {
        for (let n = 0; n < total; n++) {
          await until('a cut', () => cuts >= Math.min(Math.floor(n / 100), 3), { every: 1, seconds: 20 });
          await sender.channel.send({ type: 'broadcast', event: 'client', payload: { n } });
          if (binary && n % 4 === 0) {
            await sender.channel.send({ type: 'broadcast', event: 'bytes', payload: Uint8Array.from([n / 4]).buffer });
          }
        }
      })();
      const fromDatabase = (async () => {
        for (let n = 0; n < total; n += 4) {
          await session.rows(`
            begin;
            select realtime.send('{"n": ${n}}', 'row', '${topic}', false), realtime.send('{"n": ${n + 1}}', 'row', '${topic}', false);
            select realtime.send_binary('\\x${(n / 4).toString(16).padStart(2, '0')}', 'rowbytes', '${topic}', false);
            commit`);
        }
      })();
      const done = Promise.all([fromClient, fromDatabase]).then(() => (cuts = -cuts || -1));
      while (cuts >= 0) {
        await joined(self, cuts + 1);
        if (cuts >= 0) {
          self.cut();
          cuts++;
        }
      }
      await done;
      assert.ok(cuts <= -3, `${-cuts} cuts`);
      await sender.channel.send({ type: 'broadcast', event: 'end', payload: {} });
      for (const { messages } of [witness, self]) {
        await until(() => `the end after ${messages.length}`, () => messages.at(-1)?.event === 'end', { seconds: 20 });
      }
      assert.deepEqual(self.gaps, []);
      assert.deepEqual(self.messages, witness.messages);
      assert.equal(self.messages.length, total + (binary ? total / 2 : 0) + total / 2 + 1);
      const numbers = self.messages.map(({ meta }) => meta.seq);
      assert.ok(numbers.every((seq, i) => i === 0 || seq > numbers[i - 1]));
      for (const event of ['client', 'row']) {
        const order = self.messages.filter((m) => m.event === event).map(({ payload }) => payload.n);
        assert.deepEqual(order, [...order].sort((a, b) => a - b));
      }
      session.kill();
      await leave(witness.client, self.client);
    });
  }

  test('what is gone is said before the next message', async () => {
    const topic = newTopic();
    let wait = 20;
    const self = resuming(topic, { reconnectAfterMs: () => wait });
    const sender = await subscribed(supabase(instance), topic, { broadcast: { ack: true } });
    await joined(self);
    await sender.channel.send({ type: 'broadcast', event: 'a', payload: {} });
    await arrived(self.messages, 1);
    wait = 5000;
    self.cut();
    // More than the whole history holds.
    for (let n = 0; n < 2050; n++) {
      sender.channel.send({ type: 'broadcast', event: 'missed', payload: {} });
    }
    await sender.channel.send({ type: 'broadcast', event: 'missed', payload: {} });
    await joined(self, 2);
    await sender.channel.send({ type: 'broadcast', event: 'b', payload: {} });
    await arrived(self.messages, 2);
    assert.deepEqual(self.messages.map(({ event }) => event), ['a', 'b']);
    assert.equal(self.gaps.length, 1);
    await leave(self.client);
  });

  test('a listener that was lapped costs nothing', async () => {
    const topic = newTopic();
    await instance.set('realtime.client_queue_size', "'60MB'");
    await instance.set('realtime.client_queue_soft', "'60MB'");
    const self = resuming(topic);
    await joined(self);
    const listeners = () => instance.rows(`
      select l.listener from realtime.connections l join realtime.channels c on c.connection = l.id where c.topic = '${topic}'`);
    const [mine] = await listeners();
    // Somebody on the other listener.
    let sender;
    await until('a sender on the other listener', async () => {
      sender?.socket.drop();
      sender = await raw(topic, { ack: true });
      return (await listeners()).some((listener) => listener !== mine);
    });
    const pids = await instance.rows(`select pid from realtime.workers where kind = 'realtime listener'`);
    const stopped = Number(pids[Number(mine)]);
    process.kill(stopped, 'SIGSTOP');
    try {
      for (let n = 0; n < 60; n++) {
        await send(sender, 'big', { n, text: 'x'.repeat(400_000) });
      }
    } finally {
      process.kill(stopped, 'SIGCONT');
    }
    await until(() => `the last message, of ${self.messages.length}`, () => self.messages.at(-1)?.payload.n === 59, { seconds: 20 });
    assert.deepEqual(self.messages.map(({ payload }) => payload.n), [...Array(60).keys()]);
    assert.deepEqual(self.gaps, []);
    assert.ok(Number(await instance.value(`select value from realtime.stats where name = 'bus_bytes_lost'`)) > 0);
    sender.socket.drop();
    await leave(self.client);
  });

  test('a message that nobody can be given is said', async () => {
    const topic = newTopic();
    const self = resuming(topic);
    await joined(self);
    await instance.rows(`
      select realtime.send('{}', 'a', '${topic}', false);
      insert into realtime.messages (topic, extension, private, event, payload) values ('${topic}', 'broadcast', false, null, '{}');
      select realtime.send('{}', 'b', '${topic}', false)`);
    await arrived(self.messages, 2);
    assert.deepEqual(self.gaps, ['UnableToBroadcastChanges: event is null']);
    self.cut();
    await joined(self, 2);
    await instance.rows(`select realtime.send('{}', 'c', '${topic}', false)`);
    await arrived(self.messages, 3);
    assert.deepEqual(self.messages.map(({ event }) => event), ['a', 'b', 'c']);
    assert.equal(self.gaps.length, 1);
    await leave(self.client);
  });

  test('after a restart, and after a crash, it is honest', async () => {
    const topic = newTopic();
    const self = resuming(topic);
    await joined(self);
    await instance.rows(`select realtime.send('{}', 'before', '${topic}', false)`);
    await arrived(self.messages, 1);
    await instance.restart();
    await joined(self, 2);
    assert.equal(self.gaps.length, 1);
    const pid = await instance.value('select pg_backend_pid()');
    process.kill(Number(pid), 'SIGKILL');
    await joined(self, 3);
    assert.equal(self.gaps.length, 2);
    await until('a message', async () => {
      await instance.rows(`select realtime.send('{}', 'after', '${topic}', false)`);
      return self.messages.length >= 2;
    });
    assert.equal(self.messages[1].event, 'after');
    await leave(self.client);
  });
});

test('with little memory the oldest of all go first, and what is recovered is whole', async () => {
  await instance.restart(['realtime.history_memory = 1MB']);
  const topics = [...Array(6).keys()].map(newTopic);
  const witnesses = [];
  for (const topic of topics) {
    witnesses.push(await raw(topic, { resume: {}, self: true, ack: true }));
  }
  // Always the same numbers.
  let state = 4711;
  const random = (below) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor(state / 65536) % below;
  };
  const outcomes = { true: 0, false: 0 };
  for (let round = 0; round < 60; round++) {
    for (let n = 0; n < 8; n++) {
      const witness = witnesses[random(6) % (1 + random(6))];
      await send(witness, 'e', { n: `${round}.${n}`, text: 'abcdefghij'.repeat(random(5) === 0 ? 4000 : random(60)) });
    }
    const index = random(6);
    const witness = witnesses[index];
    const last = witness.messages.at(-1)?.meta.seq ?? 0;
    const from = Math.max(0, last - random(40));
    const again = await raw(topics[index], { resume: { epoch: witness.resume.epoch, seq: from }, ack: true });
    outcomes[again.resume.recovered]++;
    await send(witness, 'end', {});
    await until('the end', () => again.messages.at(-1)?.event === 'end');
    const expected = witness.messages.filter(({ meta }) => meta.seq > (again.resume.recovered ? from : last));
    assert.deepEqual(again.messages, expected);
    again.socket.drop();
  }
  assert.ok(outcomes.true >= 5 && outcomes.false >= 5, JSON.stringify(outcomes));

  // The topic that was quiet lost its messages to the others.
  const quiet = await raw(newTopic(), { resume: {}, self: true, ack: true });
  await send(quiet, 'e', {});
  for (let n = 0; n < 30; n++) {
    await send(witnesses[0], 'e', { text: 'x'.repeat(50_000) });
  }
  const back = await raw(`open-resume-${number}`, { resume: quiet.resume });
  assert.equal(back.resume.recovered, false);
  // A message of more than a quarter of the memory is delivered, and not kept.
  await send(witnesses[0], 'huge', { text: 'x'.repeat(400_000) });
  const missed = await raw(topics[0], { resume: place(witnesses[0].messages.at(-2)) });
  assert.equal(missed.resume.recovered, false);
  for (const member of [...witnesses, quiet, back, missed]) {
    member.socket.drop();
  }
});
