// Clients that don't read what they get: how long their queues may become, what they are told, and
// what others notice.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { member } from './lib/member.mjs';
import { pause, until } from './lib/poll.mjs';
import { thirdSlowest } from './lib/times.mjs';

const QUEUE_MEMORY = 'too slow: over queue_memory, connect again and resume';
const QUEUE_SIZE = 'too slow: over client_queue_size, connect again and resume';
const QUEUE_SOFT = 'too slow: over client_queue_soft for too long, connect again and resume';
const MB = 1024 * 1024;

let number = 0;
const newTopic = () => `slow-${++number}`;
const join = (instance, topic, { role = 'anon' } = {}) =>
  member(instance, topic, { ready: false, key: instance.token(role), config: { broadcast: { ack: true } } });

// Sends messages of about this size one after the other, each when the last one is acknowledged, until it is
// enough; returns how many it has sent and how long each ack took, in ms.
async function flood(sender, enough, { most = 2000, size = 40_000 } = {}) {
  const filler = 'x'.repeat(size);
  const took = [];
  for (let n = 0; n < most; n++) {
    const began = performance.now();
    const ref = sender.push('broadcast', { type: 'broadcast', event: 'e', payload: { n, filler } });
    await until('the ack', () => sender.replies.has(ref), { every: 1 });
    took.push(performance.now() - began);
    if (n % 10 === 0 && (await enough(n))) {
      return { took, sent: n + 1 };
    }
  }
  throw new Error(`not after ${most} messages`);
}

const stat = async (instance, name) => Number(await instance.value(`select value from realtime.stats where name = '${name}'`));
const whole = (self, sent) => until(() => `all messages, not ${self.messages.length} of ${sent}`, () => self.messages.length === sent)
  .then(() => assert.deepEqual(self.messages.map(({ payload }) => payload.n), [...Array(sent).keys()]));

// A client that has stopped reading and is over client_queue_soft, who sent it so many messages, and how many were closed
// before.
async function behind(instance) {
  const topic = newTopic();
  const [slow, sender] = await Promise.all([1, 2].map(() => join(instance, topic)));
  const closed = await stat(instance, 'slow_consumers_closed');
  slow.socket.pause();
  const { sent } = await flood(sender, async (n) => n >= 50);
  return { slow, sender, sent, closed };
}

// A client that had stopped reading reads again: it gets what was sent before, without a gap, and then why it was closed.
async function seesItsEnd(self, reason) {
  self.socket.resume();
  await until('the end', () => self.socket.ended);
  assert.deepEqual([self.socket.ended.code, self.socket.ended.reason], [1013, reason]);
  const numbers = self.messages.map(({ payload }) => payload.n);
  assert.deepEqual(numbers, [...numbers.keys()], 'what it got has no gap');
}

describe('the queue of one client', { concurrency: false }, () => {
  let instance;
  before(async () => {
    instance = await Instance.start({
      settings: [
        'fsync = off',
        `realtime.client_send_buffer = '16kB'`,
        `realtime.client_queue_size = '4MB'`,
        `realtime.client_queue_soft = '256kB'`,
        `realtime.client_queue_soft_time = '1s'`,
        `realtime.role_limits = 'service_role: client_queue_size=64MB, client_queue_soft=64MB'`,
      ],
    });
  });
  after(() => instance?.destroy());

  test('over client_queue_size it is closed at once, and told how to go on', async () => {
    await instance.set('realtime.client_queue_soft_time', `'1h'`);
    const topic = newTopic();
    const [slow, service, quick, sender] = await Promise.all(['anon', 'service_role', 'anon', 'anon'].map((role) => join(instance, topic, { role })));
    slow.socket.pause();
    service.socket.pause();
    const closed = await stat(instance, 'slow_consumers_closed');
    const { took, sent } = await flood(sender, async () => (await stat(instance, 'slow_consumers_closed')) > closed);
    await seesItsEnd(slow, QUEUE_SIZE);
    assert.ok(sent * 40_000 > 4 * MB, `${sent} messages`);
    assert.ok(thirdSlowest(took) < 1000, `the slowest acks took ${thirdSlowest(took)} ms`);
    await whole(quick, sent);
    service.socket.resume();
    await whole(service, sent);
    const again = await join(instance, topic);
    assert.equal((await flood(sender, async () => true)).sent, 1);
    await until('a message for the one that has come back', () => again.messages.length === 1);
    [service, quick, sender, again].forEach(({ socket }) => socket.drop());
  });

  // Long queues are given up a part in each turn.
  test('many of them over client_queue_size at once leave nothing behind', async () => {
    await instance.set('realtime.client_queue_soft_time', `'1h'`);
    await instance.set('realtime.client_queue_size', `'1MB'`);
    const topic = newTopic();
    const [quick, sender] = await Promise.all([1, 2].map(() => join(instance, topic)));
    const slow = await Promise.all(Array.from({ length: 60 }, () => join(instance, topic)));
    slow.forEach(({ socket }) => socket.pause());
    const closed = await stat(instance, 'slow_consumers_closed');
    let most = 0;
    const { took, sent } = await flood(sender, async () => {
      most = Math.max(most, await stat(instance, 'queue_memory_used'));
      return (await stat(instance, 'slow_consumers_closed')) === closed + slow.length;
    }, { most: 10_000, size: 1000 });
    assert.ok(most > slow.length * 500 * 8, `queues of ${most} bytes`);
    assert.ok(thirdSlowest(took) < 1000, `the slowest acks took ${thirdSlowest(took)} ms`);
    for (const self of slow) {
      await seesItsEnd(self, QUEUE_SIZE);
    }
    await whole(quick, sent);
    for (const name of ['queue_memory_used', 'queued_bytes']) {
      await until(() => `${name} falls`, async () => (await stat(instance, name)) < 1000);
    }
    [quick, sender].forEach(({ socket }) => socket.drop());
    await instance.set('realtime.client_queue_size', `'4MB'`);
  });

  test('over client_queue_soft it is closed after client_queue_soft_time', async () => {
    await instance.set('realtime.client_queue_soft_time', `'5s'`);
    const topic = newTopic();
    const [slow, short, sender] = await Promise.all([1, 2, 3].map(() => join(instance, topic)));
    const before = await stat(instance, 'slow_consumers_closed');
    slow.socket.pause();
    short.socket.pause();
    const { sent } = await flood(sender, async (n) => n >= 50);
    const began = Date.now();
    short.socket.resume();
    await until('it is gone', async () => (await stat(instance, 'slow_consumers_closed')) === before + 1);
    assert.ok(Date.now() - began > 2500, 'not at once');
    await seesItsEnd(slow, QUEUE_SOFT);
    await whole(short, sent);
    [short, sender].forEach(({ socket }) => socket.drop());
  });

  test('a higher client_queue_soft holds for those that are over the lower one already', async () => {
    await instance.set('realtime.client_queue_soft_time', `'5s'`);
    const { slow, sender, sent, closed } = await behind(instance);
    await instance.set('realtime.client_queue_soft', `'4MB'`);
    const began = Date.now();
    await until('six seconds without a close', async () => {
      assert.equal(await stat(instance, 'slow_consumers_closed'), closed);
      return Date.now() - began > 6000;
    });
    slow.socket.resume();
    await whole(slow, sent);
    await instance.set('realtime.client_queue_soft', `'256kB'`);
    [slow, sender].forEach(({ socket }) => socket.drop());
  });

  test('a shorter client_queue_soft_time holds for those that are over client_queue_soft already', async () => {
    await instance.set('realtime.client_queue_soft_time', `'1h'`);
    const { slow, sender, closed } = await behind(instance);
    assert.equal(await stat(instance, 'slow_consumers_closed'), closed);
    await instance.set('realtime.client_queue_soft_time', `'1s'`);
    await until('it is gone', async () => (await stat(instance, 'slow_consumers_closed')) === closed + 1);
    await seesItsEnd(slow, QUEUE_SOFT);
    sender.socket.drop();
  });

  // A large send buffer takes more than one turn's worth at once: the rest of the queue then goes without the socket
  // having been full again.
  test('one that has caught up is not closed for having been over client_queue_soft', async () => {
    await instance.set('realtime.client_send_buffer', `'0'`);
    await instance.set('realtime.client_queue_size', `'64MB'`);
    await instance.set('realtime.client_queue_soft', `'64kB'`);
    await instance.set('realtime.client_queue_soft_time', `'5s'`);
    const topic = newTopic();
    const [sender, ...members] = await Promise.all(Array.from({ length: 20 }, () => join(instance, topic)));
    members.forEach(({ socket }) => socket.pause());
    const { sent } = await flood(sender, async (n) => n >= 150);
    members.forEach(({ socket }) => socket.resume());
    await Promise.all(members.map((self) => whole(self, sent)));
    await pause(5500);
    assert.deepEqual(members.filter(({ socket }) => socket.ended).map(({ socket }) => socket.ended), []);
    [sender, ...members].forEach(({ socket }) => socket.drop());
  });
});

describe('the queues of all clients', { concurrency: false }, () => {
  const BUDGET = 8 * MB;
  let instance;
  before(async () => {
    instance = await Instance.start({
      settings: ['fsync = off', `realtime.client_send_buffer = '16kB'`, `realtime.client_queue_size = '1GB'`, `realtime.client_queue_soft = '1GB'`, `realtime.queue_memory = '8MB'`],
    });
  });
  after(() => instance?.destroy());

  test('over queue_memory those with the longest queues are closed, and the others notice nothing', async () => {
    const topic = newTopic();
    const calm = newTopic();
    const [quick, sender, calmSender, behind] = [await join(instance, topic), await join(instance, topic), await join(instance, calm), await join(instance, calm)];
    const slow = await Promise.all(Array.from({ length: 30 }, () => join(instance, topic)));
    [...slow, behind].forEach(({ socket }) => socket.pause());
    const calmSent = (await flood(calmSender, async (n) => n >= 20)).sent;
    const closed = await stat(instance, 'slow_consumers_closed');
    let most = 0;
    const { took, sent } = await flood(sender, async () => {
      most = Math.max(most, await stat(instance, 'queue_memory_used'));
      return (await stat(instance, 'slow_consumers_closed')) === closed + slow.length;
    });
    assert.ok(most <= BUDGET + MB, `${most} bytes of queues`);
    assert.ok(most > BUDGET / 2, `only ${most} bytes of queues`);
    assert.ok(thirdSlowest(took) < 1000, `the slowest acks took ${thirdSlowest(took)} ms`);
    for (const self of slow) {
      await seesItsEnd(self, QUEUE_MEMORY);
    }
    await whole(quick, sent);
    behind.socket.resume();
    await whole(behind, calmSent);
    await until('the memory is free', async () => (await stat(instance, 'queue_memory_used')) < MB / 4);
    [quick, sender, calmSender, behind].forEach(({ socket }) => socket.drop());
  });

  test('one client with messages of its own is closed before many that share theirs', async () => {
    const topic = newTopic();
    const own = newTopic();
    const [sender, ownSender, greedy] = [await join(instance, topic), await join(instance, own), await join(instance, own)];
    const slow = await Promise.all(Array.from({ length: 10 }, () => join(instance, topic)));
    [...slow, greedy].forEach(({ socket }) => socket.pause());
    const { sent } = await flood(sender, async (n) => n >= 50);
    const closed = await stat(instance, 'slow_consumers_closed');
    await flood(ownSender, async () => (await stat(instance, 'slow_consumers_closed')) > closed);
    await seesItsEnd(greedy, QUEUE_MEMORY);
    slow.forEach(({ socket }) => socket.resume());
    for (const self of slow) {
      await whole(self, sent);
    }
    [sender, ownSender, ...slow].forEach(({ socket }) => socket.drop());
  });
});
