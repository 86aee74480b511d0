// Limits on rates and numbers: token buckets per connection and in all, their answers, and what a role
// may have instead.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { VERSIONS, abandon, leave, supabase } from './lib/client.mjs';
import { request } from './lib/http.mjs';
import { member } from './lib/member.mjs';
import { until } from './lib/poll.mjs';

const MESSAGES = 'Too many messages per second';
const PRESENCE = 'Too many presence messages per second';
const JOINS = 'ClientJoinRateLimitReached: Too many joins per second';
const CHANNELS = 'ChannelRateLimitReached: Too many channels';

let number = 0;
const newTopic = () => `limits-${++number}`;

// Settings for a test, until the next one sets its own. A bucket that was emptied by the test before may take limit_burst
// to be full.
class Limited {
  constructor(instance) {
    this.instance = instance;
  }

  async set(settings) {
    const { instance } = this;
    for (const name of this.names ?? []) {
      await instance.rows(`alter system reset ${name}`);
    }
    this.names = Object.keys(settings);
    for (const [name, value] of Object.entries(settings)) {
      await instance.rows(`alter system set ${name} = ${value}`);
    }
    await instance.reloaded();
  }
}

const join = (instance, topic, { role = 'anon', ack = true, self, vsn, presence, claims } = {}) =>
  member(instance, topic, { vsn, ready: false, key: instance.token(role, claims), config: { broadcast: { ack, self }, presence } });

// Pushes so many at once, with acks; returns the responses in their order.
async function burst(self, count, payload = {}) {
  const refs = Array.from({ length: count }, (_, n) => self.push('broadcast', { type: 'broadcast', event: 'e', payload: { n, ...payload } }));
  await until('an answer to each push', () => refs.every((ref) => self.replies.has(ref)), { every: 2 });
  return refs.map((ref) => self.replies.get(ref));
}

const accepted = (replies) => replies.filter(({ status }) => status === 'ok').length;
const refused = (replies) => replies.filter(({ status }) => status === 'error').map(({ response }) => response);
const between = (value, low, high, what) => assert.ok(value >= low && value <= high, `${what}: ${value}, not ${low} to ${high}`);

// Measures how long work took, in seconds, to know how many tokens may have come meanwhile.
async function timed(work) {
  const began = performance.now();
  const result = await work();
  return [result, (performance.now() - began) / 1000];
}

after(abandon);

describe('limits with one listener', { concurrency: false }, () => {
  let instance;
  let limited;
  before(async () => {
    instance = await Instance.start({ listeners: 1, settings: ['fsync = off'] });
    limited = new Limited(instance);
  });
  after(() => instance?.destroy());

  for (const vsn of ['2.0.0', '1.0.0']) {
    test(`messages of one connection: a burst, then a refusal that says when to try again, ${vsn}`, async () => {
      await limited.set({ 'realtime.max_messages_per_second': 10 });
      const topic = newTopic();
      const other = await join(instance, topic);
      const self = await join(instance, topic, { vsn });
      // its join has taken one of the ten
      const [replies, seconds] = await timed(() => burst(self, 40));
      between(accepted(replies), 9, 10 + seconds * 10, 'accepted');
      for (const response of refused(replies)) {
        assert.deepEqual(Object.keys(response), ['reason', 'retry_after_ms']);
        assert.equal(response.reason, MESSAGES);
        between(response.retry_after_ms, 1, 100, 'retry_after_ms');
        assert.ok(Number.isInteger(response.retry_after_ms));
      }
      await until('what was accepted', () => other.messages.length === accepted(replies));
      assert.deepEqual(self.others, [], 'the channel stays');
      await until('there is room again', async () => accepted(await burst(self, 1)) === 1, { every: 5 });
      assert.deepEqual(self.systems, []);
      self.socket.drop();
      other.socket.drop();
    });
  }

  test('a second connection has a rate of its own', async () => {
    await limited.set({ 'realtime.max_messages_per_second': 10 });
    const topic = newTopic();
    const one = await join(instance, topic);
    const two = await join(instance, topic);
    assert.ok(refused(await burst(one, 30)).length > 0);
    assert.equal(accepted(await burst(two, 9)), 9);
    one.socket.drop();
    two.socket.drop();
  });

  test('without an ack: at most one system error a second, with the cause and the number', async () => {
    await limited.set({ 'realtime.max_messages_per_second': 5 });
    const topic = newTopic();
    const other = await join(instance, topic);
    const self = await join(instance, topic, { ack: false });
    const count = 60;
    for (let n = 0; n < count; n++) {
      self.push('broadcast', { type: 'broadcast', event: 'e', payload: { n } });
    }
    const told = () => self.systems.reduce((sum, { message }) => sum + Number(/\((\d+) messages? refused\)$/.exec(message)[1]), 0);
    await until(() => `all are told: ${JSON.stringify(self.systems)}`, () => told() + other.messages.length === count);
    assert.ok(told() > 40);
    for (const { extension, status, message, channel } of self.systems) {
      assert.ok(message.startsWith(`${MESSAGES} (`), message);
      assert.deepEqual([extension, status, channel], ['system', 'error', topic]);
    }
    self.systems.slice(1).forEach(({ at }, i) => assert.ok(at - self.systems[i].at >= 500));
    assert.deepEqual(self.others, []);
    self.socket.drop();
    other.socket.drop();
  });

  test('limit_burst says how much may come at once', async () => {
    await limited.set({ 'realtime.max_messages_per_second': 10, 'realtime.limit_burst': `'5s'` });
    const self = await join(instance, newTopic());
    const [replies, seconds] = await timed(() => burst(self, 80));
    between(accepted(replies), 49, 50 + seconds * 10, 'accepted');
    self.socket.drop();
  });

  test('payload_size_exceeded stays the bare string, and a role may have longer payloads', async () => {
    await limited.set({ 'realtime.max_payload_size': `'10kB'`, 'realtime.role_limits': `'service_role: max_payload_size=100kB'` });
    const topic = newTopic();
    const text = 'x'.repeat(50_000);
    const anon = await join(instance, topic);
    const service = await join(instance, topic, { role: 'service_role' });
    assert.deepEqual(refused(await burst(anon, 1, { text })), ['payload_size_exceeded']);
    assert.equal(accepted(await burst(service, 1, { text })), 1);
    await until('the long one', () => anon.messages.length === 1);
    anon.socket.drop();
    service.socket.drop();
  });

  test('role_limits: another rate and another number of channels', async () => {
    await limited.set({
      'realtime.max_messages_per_second': 10,
      'realtime.max_channels_per_client': 2,
      'realtime.role_limits': `'service_role: max_messages_per_second = 1000, max_channels_per_client=4; "authenticated": max_messages_per_second=100;'`,
    });
    for (const [role, rate, channels] of [['anon', 10, 2], ['authenticated', 100, 2], ['service_role', 1000, 4]]) {
      const self = await join(instance, newTopic(), { role });
      const [replies, seconds] = await timed(() => burst(self, 200));
      between(accepted(replies), Math.min(rate - 1, 200), Math.min(rate + seconds * rate, 200), role);
      await until('there is room again', async () => accepted(await burst(self, 1)) === 1, { every: 5 });
      const answers = [];
      for (let n = 0; n < 4; n++) {
        await until('a join that is not too early', async () => {
          self.socket.sendJson([`j${n}`, `j${n}`, `realtime:${self.topic}-${n}`, 'phx_join', { config: {} }]);
          const reply = await until('a reply to the join', () => self.replies.get(`j${n}`));
          self.replies.delete(`j${n}`);
          answers[n] = reply.status === 'ok' || reply.response.reason;
          return answers[n] !== JOINS;
        }, { every: 5 });
      }
      assert.deepEqual(answers, [0, 1, 2, 3].map((n) => n + 1 < channels || CHANNELS), role);
      self.socket.drop();
    }
  });

  test('a channel joined with the token of another role has the rate of that role', async () => {
    await limited.set({ 'realtime.max_messages_per_second': 10, 'realtime.role_limits': `'service_role: max_messages_per_second=1000'` });
    const self = await join(instance, newTopic());
    const full = `realtime:${newTopic()}`;
    self.socket.sendJson(['s', 's', full, 'phx_join', { config: { broadcast: { ack: true } }, access_token: instance.token('service_role') }]);
    await until('a reply to the join', () => self.replies.get('s')?.status === 'ok');
    for (let n = 0; n < 100; n++) {
      self.socket.sendJson(['s', `s${n}`, full, 'broadcast', { type: 'broadcast', event: 'e', payload: {} }]);
    }
    await until('the last answer', () => self.replies.has('s99'));
    assert.equal([...self.replies].filter(([ref, { status }]) => /^s\d/.test(ref) && status === 'ok').length, 100);
    self.socket.drop();
  });

  test('presence: the latest payload is told when the rate allows, and too many messages are refused', async () => {
    await limited.set({ 'realtime.presence_rate': 5, 'realtime.max_messages_per_second': 20 });
    const topic = newTopic();
    const other = await join(instance, topic, { presence: { enabled: true } });
    const self = await join(instance, topic, { presence: { enabled: true, key: 'me' } });
    const [refs, seconds] = await timed(async () => {
      const all = Array.from({ length: 30 }, (_, n) => self.push('presence', { type: 'presence', event: 'track', payload: { n } }));
      await until('an answer to each', () => all.every((ref) => self.replies.has(ref)), { every: 2 });
      return all;
    });
    const replies = refs.map((ref) => self.replies.get(ref));
    between(accepted(replies), 19, 20 + seconds * 20, 'accepted');
    for (const { reason, retry_after_ms } of refused(replies)) {
      assert.equal(reason, PRESENCE);
      between(retry_after_ms, 1, 50, 'retry_after_ms');
    }
    const last = replies.findLastIndex(({ status }) => status === 'ok');
    const seen = () => other.others.filter(({ event }) => event === 'presence_diff').flatMap(({ payload }) => payload.joins.me?.metas ?? []).map(({ n }) => n);
    await until('the latest one', () => seen().includes(last));
    between(seen().length, 5, 7 + seconds * 5, 'diffs');
    assert.deepEqual(self.others.filter(({ event }) => event === 'phx_close'), []);
    self.socket.drop();
    other.socket.drop();
  });

  test('joins in all: only that join is refused, and the socket stays', async () => {
    await limited.set({ 'realtime.max_joins_per_second': 5 });
    const topic = newTopic();
    const self = await join(instance, topic);
    const joinAll = async (names) => {
      names.forEach((name) => self.socket.sendJson([name, name, `realtime:${topic}-${name}`, 'phx_join', { config: {} }]));
      await until('a reply to each join', () => names.every((name) => self.replies.has(name)), { every: 2 });
    };
    const names = Array.from({ length: 20 }, (_, n) => `n${n}`);
    const [, seconds] = await timed(() => joinAll(names));
    const replies = names.map((name) => self.replies.get(name));
    between(accepted(replies), 4, 5 + seconds * 5, 'joined');
    for (const response of refused(replies)) {
      assert.equal(response.reason, JOINS);
      between(response.retry_after_ms, 1, 200, 'retry_after_ms');
    }
    let more = 0;
    const refusal = await until('a connect that is refused', async () => {
      await joinAll(Array.from({ length: 5 }, () => `m${more++}`));
      const answer = await request(instance.port, {
        path: `/socket/websocket?apikey=${instance.token()}&vsn=2.0.0`,
        headers: { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' },
      });
      return answer.status === 429 && answer;
    });
    assert.match(refusal.body.toString(), /Too many joins per second/);
    assert.equal(accepted(await burst(self, 3)), 3, 'other channels go on');
    await until('all have joined in the end', async () => {
      const left = names.filter((name) => self.replies.get(name)?.status !== 'ok').slice(0, 2);
      left.forEach((name) => self.replies.delete(name));
      await joinAll(left);
      return names.every((name) => self.replies.get(name)?.status === 'ok');
    }, { every: 20 });
    assert.equal(self.socket.ended, undefined);
    self.socket.drop();
  });

  for (const vsn of VERSIONS) {
    test(`supabase-js, ${vsn}: more joins than allowed at once are all there in the end, on one socket`, async () => {
      await limited.set({ 'realtime.max_joins_per_second': 5 });
      const client = supabase(instance, { vsn });
      const topic = newTopic();
      const statuses = Array.from({ length: 12 }, () => []);
      statuses.forEach((list, n) => client.channel(`${topic}-${n}`).subscribe((status) => list.push(status)));
      await until(() => `all are subscribed: ${JSON.stringify(statuses)}`, () => statuses.every((list) => list.at(-1) === 'SUBSCRIBED'), { seconds: 20 });
      assert.ok(statuses.some((list) => list.includes('CHANNEL_ERROR')), 'some had to try again');
      assert.equal(await instance.value(`select count(distinct connection) from realtime.channels where topic like '${topic}-%'`), '1');
      await leave(client);
    });
  }

  test('a role with a limit of its own in all is not touched by what others use up', async () => {
    await limited.set({
      'realtime.max_total_messages_per_second': 5,
      'realtime.role_limits': `'service_role: max_total_messages_per_second=0; authenticated: max_total_messages_per_second=50'`,
    });
    const topic = newTopic();
    const [anon, user, service] = await Promise.all(['anon', 'authenticated', 'service_role'].map((role) => join(instance, topic, { role })));
    const [replies, seconds] = await timed(() => burst(anon, 100));
    between(accepted(replies), 5, 5 + seconds * 5, 'anon');
    assert.equal(accepted(await burst(service, 200)), 200);
    const [more, time] = await timed(() => burst(user, 60));
    between(accepted(more), 50, 50 + time * 50, 'authenticated');
    [anon, user, service].forEach(({ socket }) => socket.drop());
  });

  test('a connection over its rate uses up nothing of what is allowed in all', async () => {
    // roles have buckets by their place in the setting, and nobody has used the ninth
    const others = [...'abcdefgh'].map((role) => `${role}: presence_rate=1`).join('; ');
    await limited.set({ 'realtime.max_messages_per_second': 10, 'realtime.role_limits': `'${others}; anon: max_total_messages_per_second=40'` });
    const topic = newTopic();
    const bad = await join(instance, topic);
    const good = await Promise.all([join(instance, topic), join(instance, topic)]);
    const [replies, seconds] = await timed(() => burst(bad, 300));
    assert.ok(accepted(replies) <= 10 + seconds * 10);
    assert.equal(accepted((await Promise.all(good.map((self) => burst(self, 9)))).flat()), 18);
    [bad, ...good].forEach(({ socket }) => socket.drop());
  });

  test('HTTP: requests in all, with the time to come again, and the rate of a role', async () => {
    const post = (role) => request(instance.port, {
      method: 'POST',
      path: '/api/broadcast',
      headers: { authorization: `Bearer ${instance.token(role)}`, 'content-type': 'application/json' },
      body: JSON.stringify({ messages: [{ topic: 'http', event: 'e', payload: {} }] }),
    });
    await limited.set({ 'realtime.role_limits': `'service_role: max_requests_per_second=1000'` });
    await instance.set('realtime.max_requests_per_second', 3);
    const answer = await until('too many requests', async () => {
      const some = await Promise.all(Array.from({ length: 8 }, () => post('anon')));
      return some.find(({ status }) => status === 429);
    });
    assert.deepEqual(JSON.parse(answer.body), { message: 'Too many requests' });
    assert.equal(answer.headers['x-rate-limit'], '3');
    assert.equal(answer.headers['x-rate-limit-remaining'], '0');
    assert.equal(answer.headers['retry-after'], '1');
    const others = await Promise.all(Array.from({ length: 20 }, () => post('service_role')));
    assert.deepEqual([...new Set(others.map(({ status }) => status))], [202]);
    assert.equal(others[0].headers['x-rate-limit'], '1000');
    await until('a request is answered again', async () => (await post('anon')).status === 202, { every: 50 });
  });

  test('HTTP: messages in all; a batch is taken whole or not at all', async () => {
    await limited.set({ 'realtime.max_total_messages_per_second': 1, 'realtime.limit_burst': `'10s'` });
    const topic = newTopic();
    const other = await join(instance, topic);
    const post = (count) => request(instance.port, {
      method: 'POST',
      path: '/api/broadcast',
      headers: { authorization: `Bearer ${instance.token()}`, 'content-type': 'application/json' },
      body: JSON.stringify({ messages: Array.from({ length: count }, (_, n) => ({ topic, event: 'e', payload: { n } })) }),
    });
    await until('a batch', async () => (await post(8)).status === 202, { seconds: 20, every: 50 });
    const answer = await post(8);
    assert.equal(answer.status, 429);
    assert.deepEqual(JSON.parse(answer.body), { message: 'You have exceeded your rate limit' });
    assert.match(answer.headers['retry-after'], /^[1-9]$/);
    await until('the first batch', () => other.messages.length === 8);
    await until('another batch', async () => (await post(8)).status === 202, { seconds: 20, every: 50 });
    await until('the other batch', () => other.messages.length === 16);
    other.socket.drop();
  });

  test('a shorter limit_burst holds for who has used up a longer one', async () => {
    await limited.set({ 'realtime.max_messages_per_second': 1, 'realtime.max_total_messages_per_second': 1, 'realtime.presence_rate': 1, 'realtime.limit_burst': `'1h'` });
    const self = await join(instance, newTopic(), { presence: { enabled: true, key: 'self' } });
    const answers = await burst(self, 5000);
    assert.equal(answers.at(-1).status, 'error', JSON.stringify(answers.at(-1)));
    await limited.set({ 'realtime.max_messages_per_second': 1, 'realtime.max_total_messages_per_second': 1, 'realtime.limit_burst': `'1s'` });
    await until('a push', async () => (await burst(self, 1))[0].status === 'ok', { every: 500 });
    self.socket.drop();
  });

  test('the setting role_limits is checked', async () => {
    const set = async (value) => (await instance.sql(`alter system set realtime.role_limits = '${value}'`)).notices;
    for (const [value, detail] of [
      ['service_role', /Entry 1: a colon must follow its role/],
      [': max_messages_per_second=1', /Entry 1: it names no role/],
      ['a: max_messages_per_second', /Entry 1: "=" must follow the name of a limit/],
      ['a: max_clients=1', /Entry 1: it names no limit that a role may have/],
      ['a: max_messages_per_second=0', /Entry 1: its value is too small/],
      ['a: max_messages_per_second=ten', /Entry 1: its value is no number/],
      ['a: client_queue_size=5 parsecs', /Entry 1: its value is no number, or its unit is unknown/],
      ['a: presence_rate=1, presence_rate=2', /Entry 1: it names a limit twice/],
      ['a: presence_rate=1; a: presence_rate=2', /Entry 2: its role is there twice/],
      ['a: presence_rate=1, ', /Entry 1: it names no limit/],
      ['"a: presence_rate=1', /Entry 1: the quotes of its role are not closed/],
      [Array.from({ length: 17 }, (_, n) => `r${n}: presence_rate=1`).join(';'), /Entry 17: there are more than 16 roles/],
    ]) {
      assert.match((await set(value)).join('\n'), detail, value);
    }
    for (const value of ['', ' ', 'a: presence_rate=1;', '"B c": client_queue_size=16MB, client_queue_soft=2MB ; d : max_total_messages_per_second = 0', 'é: max_payload_size=5MB']) {
      assert.deepEqual(await set(value), [], value);
    }
    await instance.rows('alter system reset realtime.role_limits');
  });
});

describe('limits over two listeners', { concurrency: false }, () => {
  let instance;
  let limited;
  before(async () => {
    instance = await Instance.start({ listeners: 2, settings: ['fsync = off'] });
    limited = new Limited(instance);
  });
  after(() => instance?.destroy());

  // Members on each listener, two for each.
  async function onBoth(topic) {
    const all = [];
    const listenersOf = async () => instance.rows(`select distinct listener from realtime.connections where channels > 0`);
    await until('members on both listeners', async () => {
      all.push(await join(instance, topic));
      return all.length >= 4 && (await listenersOf()).length === 2;
    });
    return all;
  }

  test('messages in all count over both', async () => {
    await limited.set({});
    const all = await onBoth(newTopic());
    await limited.set({ 'realtime.max_total_messages_per_second': 20 });
    const [replies, seconds] = await timed(async () => (await Promise.all(all.map((self) => burst(self, 30)))).flat());
    between(accepted(replies), 20, 20 + seconds * 20, 'accepted');
    assert.ok(refused(replies).every(({ reason }) => reason === MESSAGES));
    all.forEach(({ socket }) => socket.drop());
  });

  test('joins in all count over both', async () => {
    await limited.set({});
    const all = await onBoth(newTopic());
    await limited.set({ 'realtime.max_joins_per_second': 10 });
    const [replies, seconds] = await timed(async () => {
      all.forEach((self) => {
        for (let n = 0; n < 15; n++) {
          self.socket.sendJson([`n${n}`, `n${n}`, `realtime:${self.topic}-${n}`, 'phx_join', { config: {} }]);
        }
      });
      await until('all replies', () => all.every((self) => self.replies.size >= 16), { every: 2 });
      return all.flatMap((self) => [...self.replies].filter(([ref]) => ref.startsWith('n')).map(([, reply]) => reply));
    });
    between(accepted(replies), 10, 10 + seconds * 10, 'joined');
    all.forEach(({ socket }) => socket.drop());
  });
});
