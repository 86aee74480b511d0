// Who is present: what applications see, and whether everybody sees the same.

import { after, afterEach, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { VERSIONS, abandon, leave, subscribe, supabase } from './lib/client.mjs';
import { dropAll, held, join, keysOf, newTopic } from './lib/presence.mjs';
import { until } from './lib/poll.mjs';

let instance;
const joined = (topic, options) => join(instance, topic, options);

afterEach(() => {
  abandon();
  dropAll();
});

// An application. Where a key has had several metas, or a changed one, its presenceState() may show more than there is:
// the published client (realtime-js 2.10x) takes the phx_ref off the metas that it has when another one joins, and then
// can't tell which one leaves. So what is left is asked of the callbacks, and of raw clients beside it.
//
// Its presence callbacks as they came, with what presenceState() said in each.
async function application(topic, { vsn, key, config = {}, on = instance } = {}) {
  const client = supabase(on, { vsn });
  const channel = client.channel(topic, { config: { ...config, presence: { ...(key ? { key } : {}), ...config.presence } } });
  const events = [];
  for (const event of ['sync', 'join', 'leave']) {
    channel.on('presence', { event }, (payload) => events.push({ ...payload, event, state: structuredClone(channel.presenceState()) }));
  }
  await subscribe(channel);
  await until('the first sync', () => events.some(({ event }) => event === 'sync'));
  return { client, channel, events };
}

describe('two listeners', () => {
  before(async () => {
    instance = await Instance.start({ listeners: 2, settings: ['fsync = off'] });
  });
  after(() => instance?.destroy());

  for (const vsn of VERSIONS) {
    describe(`the published client, ${vsn}`, () => {
      test('others come and go', async () => {
        const topic = newTopic();
        const a = await application(topic, { vsn, key: 'a' });
        const b = await application(topic, { vsn, key: 'b' });
        assert.equal(await a.channel.track({ name: 'Ann', at: [1, 2.5] }), 'ok');
        await until('b sees a', () => b.channel.presenceState().a?.length === 1);
        const [{ presence_ref: ref, ...meta }] = b.channel.presenceState().a;
        assert.deepEqual(meta, { name: 'Ann', at: [1, 2.5] });
        assert.match(ref, /^\S{16}$/);
        assert.equal(await b.channel.track({ name: 'Bob' }), 'ok');
        await until('a sees b', () => a.channel.presenceState().b?.length === 1);
        assert.equal(await a.channel.untrack(), 'ok');
        await until('b no longer sees a', () => !b.channel.presenceState().a);
        const left = b.events.find(({ event }) => event === 'leave');
        assert.equal(left.key, 'a');
        assert.deepEqual(left.currentPresences, []);
        await leave(b.client);
        await until('a no longer sees b', () => !a.channel.presenceState().b);
        await leave(a.client);
      });

      test('a changed payload is one sync, the key is never away, and it does not look like a departure', async () => {
        const topic = newTopic();
        const a = await application(topic, { vsn, key: 'a' });
        const b = await application(topic, { vsn, key: 'b' });
        await a.channel.track({ n: 0 });
        await until('b sees a', () => b.channel.presenceState().a);
        for (let n = 1; n <= 8; n++) {
          const before = b.events.length;
          assert.equal(await a.channel.track({ n }), 'ok');
          await until(`b sees ${n}`, () => b.channel.presenceState().a?.some((meta) => meta.n === n));
          // A fence: whatever else the change has brought about would have come before.
          await b.channel.track({ fence: n });
          await until('its fence', () => b.channel.presenceState().b?.some(({ fence }) => fence === n));
          const brought = b.events.slice(before).filter(({ state }) => !state.b?.some(({ fence }) => fence === n));
          assert.equal(brought.filter(({ event }) => event === 'sync').length, 1, 'exactly one sync');
          assert.ok(b.events.slice(before).every(({ state }) => state.a?.length >= 1), 'a is never away');
          const left = brought.find(({ event, key }) => event === 'leave' && key === 'a');
          assert.ok(left.currentPresences.some((meta) => meta.n === n), 'a leave with presences left is a change');
          assert.equal(left.leftPresences[0].n, n - 1);
        }
        await leave(a.client, b.client);
      });

      test('several clients under one key', async () => {
        const topic = newTopic();
        const [x, y] = [await application(topic, { vsn, key: 'same' }), await application(topic, { vsn, key: 'same' })];
        const watcher = await application(topic, { vsn, key: 'watcher' });
        const raw = await joined(topic, { vsn, key: 'raw' });
        await x.channel.track({ tab: 1 });
        await y.channel.track({ tab: 2 });
        await until('both', () => watcher.channel.presenceState().same?.length === 2);
        assert.deepEqual(watcher.channel.presenceState().same.map(({ tab }) => tab).sort(), [1, 2]);
        await leave(x.client);
        await until('one has left', () => watcher.events.some(({ event }) => event === 'leave'));
        const left = watcher.events.find(({ event }) => event === 'leave');
        assert.deepEqual(left.leftPresences.map(({ tab }) => tab), [1]);
        assert.ok(left.currentPresences.some(({ tab }) => tab === 2));
        await until('one is left', () => raw.view.keys.get('same').size === 1);
        assert.deepEqual([...raw.view.keys.get('same').values()].map(({ tab }) => tab), [2]);
        await leave(y.client);
        await until('none is left', () => !raw.view.keys.has('same'));
        await leave(watcher.client);
      });

      test('without a key each gets one of its own', async () => {
        const topic = newTopic();
        const clients = [await application(topic, { vsn }), await application(topic, { vsn })];
        await Promise.all(clients.map(({ channel }) => channel.track({})));
        await until('two keys', () => Object.keys(clients[0].channel.presenceState()).length === 2);
        for (const key of Object.keys(clients[0].channel.presenceState())) {
          assert.match(key, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
        }
        await leave(...clients.map(({ client }) => client));
      });
    });
  }

  test('all listeners hold the same after a random load, and so does every client', { timeout: 60_000 }, async () => {
    const topic = newTopic();
    const clients = [];
    while (clients.length < 40) {
      clients.push(...(await Promise.all(Array.from({ length: 10 }, (_, i) =>
        joined(topic, { vsn: VERSIONS[i % 2], key: `key-${(clients.length + i) % 25}`, config: { presence: { grace_ms: i % 5 ? 0 : 50 } } })))));
    }
    const used = await instance.value('select count(distinct listener) from realtime.connections');
    assert.equal(used, '2');
    for (let round = 0; round < 60; round++) {
      const moves = [];
      for (const client of clients) {
        const dice = Math.random();
        if (dice < 0.35) {
          client.track({ n: Math.floor(Math.random() * 4), text: '"}]☀\u0000'.repeat(Math.floor(Math.random() * 4)) });
        } else if (dice < 0.45) {
          client.untrack();
        } else if (dice < 0.48) {
          client.socket.drop();
          moves.push(client.open(instance.port, instance.token()).then(() => client.synced()));
        }
      }
      await Promise.all(moves);
    }
    let last;
    await until(
      () => `the same everywhere: ${JSON.stringify(last)?.slice(0, 2000)}`,
      async () => {
        // Until nothing is held back or lingers any more.
        const [one, two] = await held(instance, topic);
        const rows = await instance.rows(`select key || ' ' || phx_ref from realtime.presence where topic = '${topic}' and seen_by = 0`);
        const views = clients.map(({ view }) => view.lines().join());
        last = { one, two, rows, views: [...new Set(views)] };
        return one && one === two && views.every((view) => view === [...rows].sort().join());
      },
      { seconds: 10, every: 200 },
    );
    assert.deepEqual(clients.flatMap(({ view }) => view.faults), []);
    const payloads = await instance.value(`select count(*) from realtime.presence where topic = '${topic}' and payload is null`);
    assert.equal(payloads, '0');
  });

  test('a listener that starts anew knows all', { timeout: 60_000 }, async () => {
    const topic = newTopic();
    const clients = await Promise.all(Array.from({ length: 12 }, (_, i) => joined(topic, { key: `k${i}` })));
    await Promise.all(clients.map((client, i) => client.tracked({ i })));
    for (const listener of [0, 1]) {
      const pid = await instance.value(`select pid from realtime.workers where kind = 'realtime listener' order by pid offset ${listener} limit 1`);
      await instance.rows(`select pg_terminate_backend(${pid})`);
      await until('it is another process', async () =>
        (await instance.value(`select count(*) from realtime.workers where kind = 'realtime listener' and state = 'running' and pid <> ${pid}`)) === '2');
      const left = () => clients.filter(({ socket }) => !socket.ended).map(({ key }) => key).sort();
      await until('those who are left, everywhere', async () => {
        const [one, two] = await held(instance, topic);
        return one === two && (await keysOf(instance, topic)).join() === left().join();
      });
      await Promise.all(clients.filter(({ socket }) => socket.ended).map(async (client) => {
        await client.open(instance.port, instance.token());
        await client.synced();
        await client.tracked({ again: true });
      }));
      await until('all again', async () => {
        const [one, two] = await held(instance, topic);
        return one === two && (await keysOf(instance, topic)).length === 12 && clients.every(({ view }) => view.keys.size === 12);
      });
    }
  });

  test('private topics: who may not read is told nothing, who may not write can not track', async () => {
    await instance.rows(`
      create policy presence_read on realtime.messages for select to authenticated using (
        realtime.topic() like 'private-%' and
        (extension = 'broadcast' or (extension = 'presence' and auth.jwt() ->> 'sub' <> 'blind')));
      create policy presence_write on realtime.messages for insert to authenticated with check (
        realtime.topic() like 'private-%' and extension = 'presence' and auth.jwt() ->> 'sub' <> 'mute')`);
    const topic = `private-${newTopic()}`;
    const as = (sub, more = {}) =>
      joined(topic, { key: sub, token: instance.token('authenticated', { sub }), config: { private: true }, ...more });
    const full = await as('full');
    const mute = await as('mute');
    const blind = await as('blind', { state: false });
    const late = await as('late', { config: { private: true, presence: { enabled: false } } });
    await full.tracked({ secret: 1 });
    await until('the reader sees it', () => mute.view.keys.has('full'));
    assert.deepEqual(await mute.reply(mute.track({})), { status: 'error', response: {} });
    await blind.tracked({});
    await until('the others see it', () => full.view.keys.has('blind') && mute.view.keys.has('blind'));
    assert.equal(late.view.syncs, 0, 'joined without presence: told nothing');
    await late.tracked({});
    await until('from its own track on it is told', () => late.view.keys.has('late') && full.view.keys.has('late'));
    await full.tracked({ secret: 2 });
    await until('of others, too', () => late.view.keys.has('full') && mute.view.keys.get('full').size === 1);
    assert.equal(blind.view.syncs, 0, 'no right to read: told nothing');
    const outside = await joined(topic, { key: 'outside' });
    assert.deepEqual(outside.view.lines(), [], 'the public topic of that name is another one');
    assert.deepEqual(await keysOf(instance, topic), ['blind', 'full', 'late']);
  });

  test('rate: the latest arrives at the end of the second, and the channel stays', async () => {
    const topic = newTopic();
    const a = await joined(topic, { key: 'a' });
    const b = await joined(topic, { key: 'b' });
    const seen = [];
    b.onDiff = ({ joins }, at) => joins.a && seen.push({ n: joins.a.metas[0].n, at });
    const began = Date.now();
    const refs = Array.from({ length: 100 }, (_, n) => a.track({ n }));
    await until('the latest', () => seen.at(-1)?.n === 99);
    assert.ok(seen.at(-1).at - began < 3000, `after ${seen.at(-1).at - began} ms`);
    assert.ok(seen.length <= 21, `${seen.length} were told`);
    for (const ref of refs) {
      assert.equal((await a.reply(ref)).status, 'ok');
    }
    assert.deepEqual([...b.view.keys.get('a').values()].map(({ n }) => n), [99]);
    // An untrack over the rate, too.
    Array.from({ length: 30 }, (_, n) => a.track({ m: n }));
    a.untrack();
    await until('it has left', () => !b.view.keys.has('a'), { seconds: 3 });
    assert.equal(a.socket.ended, undefined);
    await a.tracked({ still: 'joined' });
    assert.deepEqual([...a.view.faults, ...b.view.faults], []);
  });

  test('a payload that is too large, and too many on a topic, get an error reply', async () => {
    const topic = newTopic();
    await instance.set('realtime.max_presence_per_topic', 2);
    await instance.set('realtime.max_payload_size', 2000);
    try {
      const clients = await Promise.all(['a', 'b', 'c'].map((key) => joined(topic, { key })));
      await until('the settings hold', async () => {
        const reply = await clients[0].reply(clients[0].track({ text: 'x'.repeat(2500) }));
        return reply.status === 'error' && /^PresencePayloadTooLarge: .*max_payload_size/.test(reply.response.reason);
      });
      await clients[0].tracked({});
      await clients[1].tracked({});
      const reply = await clients[2].reply(clients[2].track({}));
      assert.equal(reply.status, 'error');
      assert.match(reply.response.reason, /^TooManyPresences: .*max_presence_per_topic/);
      await instance.set('realtime.role_limits', `'service_role: max_presence_per_topic=3'`);
      const service = await joined(topic, { key: 'service', token: instance.token('service_role') });
      await until('room for another role', async () => (await service.reply(service.track({}))).status === 'ok');
      assert.equal((await clients[2].reply(clients[2].track({}))).status, 'error');
      assert.equal((await service.reply(service.untrack())).status, 'ok');
      await clients[0].tracked({ others: 'may change' });
      assert.equal((await clients[1].reply(clients[1].untrack())).status, 'ok');
      await clients[2].tracked({ there: 'is room now' });
      assert.ok(clients.every(({ socket }) => !socket.ended));
    } finally {
      await instance.rows('alter system reset realtime.max_presence_per_topic; alter system reset realtime.role_limits; alter system reset realtime.max_payload_size; select pg_reload_conf()');
    }
  });

  test('grace_ms: who comes back under the same key was never away', async () => {
    const topic = newTopic();
    const watcher = await application(topic, { key: 'watcher' });
    const raw = await joined(topic, { key: 'raw-watcher' });
    const left = [];
    raw.onDiff = ({ joins, leaves }) => leaves.a && !joins.a && left.push(leaves.a);
    const a = await joined(topic, { key: 'a', config: { presence: { grace_ms: 1500 } } });
    await a.tracked({ visit: 1 });
    await until('it is seen', () => watcher.channel.presenceState().a);
    const before = watcher.events.length;
    for (let visit = 2; visit <= 5; visit++) {
      if (visit % 2) {
        a.socket.drop();
      } else {
        await a.socket.close();
      }
      await a.open(instance.port, instance.token());
      await a.synced();
      assert.ok(a.view.keys.has('a'), 'it finds itself there');
      await a.tracked({ visit });
      await until('the change is seen', () => watcher.channel.presenceState().a?.some((meta) => meta.visit === visit));
    }
    assert.deepEqual(left, [], 'no departure was told');
    assert.ok(watcher.events.slice(before).every(({ state }) => state.a?.length >= 1), 'the key was always there');
    assert.deepEqual(raw.view.faults, []);
    // When it does not come back it goes after the grace time; and a leave is a leave.
    const dropped = Date.now();
    a.socket.drop();
    await until('it has left', () => left.length === 1, { seconds: 5 });
    assert.ok(Date.now() - dropped >= 1400, `after ${Date.now() - dropped} ms`);
    await a.open(instance.port, instance.token());
    await a.tracked({});
    await a.reply(a.push('phx_leave', {}));
    const leftAt = Date.now();
    await until('it has left', () => left.length === 2);
    assert.ok(Date.now() - leftAt < 1400);
    await until('every listener', async () => (await instance.value(`select count(*) from realtime.presence where topic = '${topic}' and key = 'a'`)) === '0');
    await leave(watcher.client);
  });

  test('who comes back within the grace needs no room', async () => {
    const topic = newTopic();
    await instance.set('realtime.max_presence_per_topic', 1);
    try {
      const a = await joined(topic, { key: 'a', config: { presence: { grace_ms: 30000 } } });
      const b = await joined(topic, { key: 'b' });
      await a.tracked({ visit: 1 });
      const full = async () => (await b.reply(b.track({}))).response.reason;
      await until('the limit holds', async () => /^TooManyPresences/.test(await full()) || !(await b.reply(b.untrack())));
      a.socket.drop();
      await until('it lingers', async () => (await instance.value(`select count(*) from realtime.channels where topic = '${topic}'`)) === '1');
      assert.match(await full(), /^TooManyPresences/, 'its place is kept');
      await a.open(instance.port, instance.token());
      await a.synced();
      await a.tracked({ visit: 2 });
      await until('one is present', () => b.view.keys.size === 1 && [...b.view.keys.get('a').values()][0].visit === 2);
      assert.deepEqual([...a.view.faults, ...b.view.faults], []);
    } finally {
      await instance.rows('alter system reset realtime.max_presence_per_topic; select pg_reload_conf()');
    }
  });

  test('a track that was held back by the rate is not one too many', async () => {
    const topic = newTopic();
    const nobody = () => until('nobody is there', async () => (await keysOf(instance, topic)).length === 0);
    await instance.set('realtime.max_presence_per_topic', 1);
    await instance.set('realtime.presence_rate', 1);
    await instance.set('realtime.limit_burst', `'1s'`);
    try {
      const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((key) => joined(topic, { key })));
      await b.tracked({});
      await until('the limit holds', async () => (await c.reply(c.track({}))).status === 'error' || !(await c.reply(c.untrack())));
      await b.reply(b.untrack());
      await nobody();
      // The untrack is held back until the next second, and then the track after it: by the time that comes the place is
      // taken. Who is slow finds it not held back, and tries again.
      await until('somebody else while it is held back', async () => {
        await a.tracked({});
        await a.reply(a.untrack());
        await nobody();
        await a.tracked({ again: true });
        if ((await c.reply(c.track({}))).status === 'ok') {
          return true;
        }
        await a.reply(a.untrack());
        await nobody();
        return false;
      }, { seconds: 30 });
      await until('it is refused', () => a.systems.some(({ status, message }) => status === 'error' && /^TooManyPresences/.test(message)));
      assert.deepEqual(await keysOf(instance, topic), ['c']);
    } finally {
      await instance.rows('alter system reset realtime.max_presence_per_topic; alter system reset realtime.presence_rate; alter system reset realtime.limit_burst; select pg_reload_conf()');
    }
  });

  test('without grace_ms a closed socket is told within 100 ms', async () => {
    const topic = newTopic();
    const watcher = await joined(topic, { key: 'watcher' });
    let goneAt;
    watcher.onDiff = ({ leaves }, at) => leaves.a && (goneAt = at);
    const times = [];
    for (let i = 0; i < 20; i++) {
      const a = await joined(topic, { key: 'a' });
      await a.tracked({ i });
      await until('it is seen', () => watcher.view.keys.has('a'), { every: 5 });
      goneAt = undefined;
      const at = Date.now();
      a.socket.drop();
      await until('it has left', () => goneAt, { every: 5 });
      times.push(goneAt - at);
    }
    times.sort((x, y) => x - y);
    assert.ok(times[10] <= 100 && times[18] <= 1000, `ms: ${times}`);
  });
});
