// Who is present: what applications see, and whether everybody sees the same.

import { after, afterEach, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Instance } from './lib/instance.mjs';
import { VERSIONS, abandon, leave, subscribe, supabase } from './lib/client.mjs';
import { Present } from './lib/present.mjs';
import { until } from './lib/poll.mjs';

const run = promisify(execFile);
const PROCESS = fileURLToPath(new URL('./lib/present-process.mjs', import.meta.url));

let instance;
let number = 0;
const newTopic = () => `presence-${++number}`;

const opened = new Set();
// A raw client that has joined, with its presence_state.
async function joined(topic, options = {}) {
  const self = new Present(topic, options);
  opened.add(self);
  await self.open(options.port ?? instance.port, options.token ?? instance.token());
  if (options.config?.presence?.enabled !== false && options.state !== false) {
    await self.synced();
  }
  return self;
}

afterEach(() => {
  abandon();
  for (const { socket } of opened) {
    socket?.drop();
  }
  opened.clear();
});

// What each listener holds for a topic, as one text each.
async function held(on, topic) {
  const rows = await on.rows(
    `select seen_by, string_agg(concat_ws('|', private, key, phx_ref, payload, since, connection, listener), e'\\x1e' order by key, phx_ref)
     from realtime.presence where topic = '${topic}' group by seen_by order by seen_by`,
  );
  return rows.map((row) => row.slice(row.indexOf('|') + 1));
}

const keysOf = async (on, topic, seenBy = 0) =>
  on.rows(`select key from realtime.presence where topic = '${topic}' and seen_by = ${seenBy} order by key collate "C"`);

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
    assert.ok(seen.at(-1).at - began < 1500, `after ${seen.at(-1).at - began} ms`);
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
      await clients[0].tracked({ others: 'may change' });
      assert.equal((await clients[1].reply(clients[1].untrack())).status, 'ok');
      await clients[2].tracked({ there: 'is room now' });
      assert.ok(clients.every(({ socket }) => !socket.ended));
    } finally {
      await instance.rows('alter system reset realtime.max_presence_per_topic; alter system reset realtime.max_payload_size; select pg_reload_conf()');
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
    assert.ok(Date.now() - leftAt < 500);
    await until('every listener', async () => (await instance.value(`select count(*) from realtime.presence where topic = '${topic}' and key = 'a'`)) === '0');
    await leave(watcher.client);
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
    assert.ok(times[18] <= 100, `ms: ${times}`);
  });
});

// -------------------------------------------------------------------------------------- ghosts

const TIMEOUT = 2000; // realtime.client_timeout here, ms

describe('clients that vanish', () => {
  const processes = new Set();
  let host = '127.0.0.1';

  before(async () => {
    instance = await Instance.start({
      listeners: 2,
      settings: ['fsync = off', `realtime.listen_addresses = '*'`, `realtime.client_timeout = ${TIMEOUT}`, 'realtime.ping_interval = 500'],
    });
  });
  after(async () => {
    processes.forEach((child) => child.kill('SIGKILL'));
    await instance?.destroy();
  });

  // A process that is present; resolves when it says so.
  async function another(topic, key, prefix = []) {
    const [command, ...args] = [...prefix, process.execPath, PROCESS, host, String(instance.port), instance.token(), topic, key];
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    processes.add(child);
    let said = '';
    child.stdout.on('data', (bytes) => (said += bytes));
    await until('it is present', () => said.includes('present') || child.exitCode !== null, { seconds: 20 });
    assert.equal(child.exitCode, null);
    return child;
  }

  // The watcher must see key leave between `least` and `most` ms after `act`.
  async function goneAfter(topic, key, act) {
    const watcher = await joined(topic, { key: 'watcher' });
    assert.ok(watcher.view.keys.has(key));
    let goneAt;
    watcher.onDiff = ({ leaves }, at) => leaves[key] && (goneAt = at);
    // Pings keep it there as long as it answers them.
    const quiet = Date.now();
    await until('it has been quiet for longer than the timeout', () => Date.now() - quiet > TIMEOUT + 500, { every: 50 });
    assert.equal(goneAt, undefined, 'who answers pings stays');
    await act();
    const began = Date.now();
    await until(`${key} is gone`, () => goneAt, { seconds: TIMEOUT / 1000 + 5 });
    assert.ok(goneAt - began <= TIMEOUT + 1000, `after ${goneAt - began} ms`);
    await until('in every listener', async () =>
      (await instance.value(`select count(*) from realtime.presence where topic = '${topic}' and key = '${key}'`)) === '0');
  }

  test('a process that is stopped', { timeout: 60_000 }, async () => {
    const topic = newTopic();
    const child = await another(topic, 'stopped');
    await goneAfter(topic, 'stopped', async () => child.kill('SIGSTOP'));
    child.kill('SIGKILL');
  });

  test('a process that is killed', { timeout: 60_000 }, async () => {
    const topic = newTopic();
    const child = await another(topic, 'killed');
    await goneAfter(topic, 'killed', async () => child.kill('SIGKILL'));
  });

  // Clients that are started behind it reach the server by a cable of their own; act gets a function that cuts it.
  const space = `rt${process.pid}`;
  const behindCable = ['ip', 'netns', 'exec', space];
  const ip = (command) => run('ip', command.split(' '));

  async function withCable(t, act) {
    try {
      await ip(`netns add ${space}`);
    } catch {
      t.skip('needs root and iproute2');
      return;
    }
    const network = `10.213.${process.pid % 256}`;
    try {
      await ip(`link add ${space}a type veth peer name ${space}b`);
      await ip(`link set ${space}b netns ${space}`);
      await ip(`addr add ${network}.1/30 dev ${space}a`);
      await ip(`link set ${space}a up`);
      await ip(`-n ${space} addr add ${network}.2/30 dev ${space}b`);
      await ip(`-n ${space} link set ${space}b up`);
      host = `${network}.1`;
      await act(async () => {
        await until('all that was sent has been acknowledged', async () =>
          (await run('ss', ['-Htn', 'dst', `${network}.2`])).stdout.trim().split('\n').every((line) => line.split(/\s+/)[2] === '0'));
        await ip(`-n ${space} link set ${space}b down`);
      });
    } finally {
      host = '127.0.0.1';
      await ip(`link del ${space}a`).catch(() => {});
      await ip(`netns del ${space}`).catch(() => {});
    }
  }

  test('a cable that is cut, also while data is written to it', { timeout: 60_000 }, (t) =>
    withCable(t, async (cut) => {
      const topic = newTopic();
      await another(topic, 'cut', behindCable);
      const talker = await joined(topic, { key: 'talker' });
      await goneAfter(topic, 'cut', async () => {
        await cut();
        talker.push('broadcast', { type: 'broadcast', event: 'e', payload: { text: 'x'.repeat(100_000) } });
      });
    }));

  // The last one here: from now on nobody is pinged.
  test('data written to a cable that is cut ends the connection without any ping', { timeout: 60_000 }, (t) =>
    withCable(t, async (cut) => {
      await instance.restart(['realtime.ping_interval = 1h', 'realtime.idle_timeout = 1h']);
      const [written, quiet] = [newTopic(), newTopic()];
      await Promise.all([another(written, 'cut', behindCable), another(quiet, 'cut', behindCable)]);
      const [writtenId, quietId] = await instance.rows(
        `select connection from realtime.channels where topic in ('${written}', '${quiet}') order by topic = '${quiet}'`);
      const connected = () => instance.rows('select id from realtime.connections');
      const talker = await joined(written, { key: 'talker' });
      assert.ok(talker.view.keys.has('cut') && (await connected()).includes(writtenId));
      await cut();
      const began = Date.now();
      await until('the connection is gone', async () => {
        talker.push('broadcast', { type: 'broadcast', event: 'e', payload: { text: 'x'.repeat(1000) } });
        return !(await connected()).includes(writtenId);
      }, { seconds: TIMEOUT / 1000 + 3, every: 50 });
      const took = Date.now() - began;
      assert.ok(took >= TIMEOUT - 200 && took <= TIMEOUT + 1000, `after ${took} ms`);
      await until('the others see it', () => !talker.view.keys.has('cut'));
      assert.ok((await connected()).includes(quietId), 'behind the same cable, but nothing was written to it: it is not missed');
    }));
});

const CLIENTS = 200;
// A listener that ends soon after its start is started again only after a pause, of 5 s in the end: with several of
// them the rounds need not wait for it.
const LISTENERS = 8;
const ROUNDS = Number(process.env.PRESENCE_ROUNDS ?? 200);

describe('a listener that ends', () => {
  before(async () => {
    instance = await Instance.start({
      listeners: LISTENERS,
      settings: ['fsync = off', 'realtime.max_joins_per_second = 1000000', 'realtime.presence_rate = 1000'],
    });
  });
  after(() => instance?.destroy());

  // Clients that stay connected, and come back when they are thrown out.
  const population = async (topic, count) => {
    const token = instance.token();
    const clients = Array.from({ length: count }, (_, i) => new Present(topic, { vsn: VERSIONS[i % 2], key: `k${i}` }));
    const all = { clients, stop: false, reconnects: 0 };
    clients.forEach((client) => opened.add(client));
    all.lives = clients.map(async (client) => {
      while (!all.stop) {
        try {
          await client.open(instance.port, token);
          client.track({ n: 0 });
          all.reconnects++;
          await client.socket.waitFor(() => client.socket.ended || all.stop);
        } catch {
          client.socket?.drop();
          await until('a moment', (() => { let n = 0; return () => n++ > 0; })(), { every: 50 });
        }
      }
    });
    all.connected = () => clients.filter(({ socket, replies }) => socket && !socket.ended && replies.get('1')?.status === 'ok');
    all.allConnected = () => until('all are connected', () => all.connected().length === count, { seconds: 30 });
    await all.allConnected();
    return all;
  };

  test(`${ROUNDS} times, while ${CLIENTS} clients track and untrack: no ghosts`, { timeout: 400_000 }, async () => {
    const topic = newTopic();
    const all = await population(topic, CLIENTS);
    const { clients, connected, lives } = all;

    const began = Date.now();
    for (let round = 0; round < ROUNDS; round++) {
      const pid = await until('two listeners that serve', async () => {
        const pids = await instance.rows(
          `select pid from realtime.workers where kind = 'realtime listener' and state = 'running' order by random()`);
        return pids.length >= 2 && pids[0];
      }, { seconds: 20, every: 10 });
      for (const client of connected()) {
        const dice = Math.random();
        if (dice < 0.05) {
          client.untrack();
        } else if (dice < 0.15) {
          client.track({ n: round });
        }
      }
      await instance.rows(`select pg_terminate_backend(${pid})`);
      await until('it is gone', async () =>
        (await instance.value(`select count(*) from realtime.workers where pid = ${pid}`)) === '0', { seconds: 20, every: 10 });
    }
    const took = Date.now() - began;
    await all.allConnected();
    // Half of them leave for good, so that there is something a ghost could be told from.
    const staying = clients.slice(0, CLIENTS / 2);
    for (const client of staying) {
      client.track({ last: true });
    }
    all.stop = true;
    for (const client of clients.slice(CLIENTS / 2)) {
      client.socket.drop();
    }
    const keys = staying.map(({ key }) => key).sort().join();
    let last;
    await until(
      () => `the clients that are connected, everywhere: ${JSON.stringify(last)?.slice(0, 3000)}`,
      async () => {
        const everywhere = await held(instance, topic);
        const same = everywhere.length === LISTENERS && new Set(everywhere).size === 1;
        const seen = (await keysOf(instance, topic)).sort().join();
        const views = staying.map(({ view }) => [...view.keys.keys()].sort().join());
        last = { keys, seen, same, views: views.filter((view) => view !== keys) };
        return same && seen === keys && views.every((view) => view === keys);
      },
      { seconds: 15, every: 200 },
    );
    staying.forEach(({ socket }) => socket.drop());
    await Promise.all(lives);
    await until('nobody is left', async () => (await instance.value('select count(*) from realtime.presence')) === '0');
    assert.ok(all.reconnects > ROUNDS, 'clients were thrown out');
    console.log(`# ${ROUNDS} rounds in ${(took / 1000).toFixed(1)} s, ${all.reconnects} connections`);
  });

  test('a crash of the server, three times: nobody is left who is not there', { timeout: 120_000 }, async () => {
    const topic = newTopic();
    const all = await population(topic, 20);
    for (let round = 0; round < 3; round++) {
      const pid = await instance.value(`select pid from realtime.workers where kind = 'realtime listener' and state = 'running' limit 1`);
      process.kill(Number(pid), 'SIGKILL');
      await until('the server is back', async () => {
        try {
          return (await instance.value(`select count(*) from realtime.workers where state = 'running' and pid = ${pid}`)) === '0';
        } catch {
          return false;
        }
      }, { seconds: 30 });
      await all.allConnected();
      await until('those who are connected, everywhere', async () => {
        const everywhere = await held(instance, topic);
        return everywhere.length > 0 && new Set(everywhere).size === 1 &&
          (await keysOf(instance, topic)).join() === all.connected().map(({ key }) => key).sort().join();
      }, { seconds: 15, every: 200 });
    }
    all.stop = true;
    all.clients.forEach(({ socket }) => socket.drop());
    await Promise.all(all.lives);
    await until('nobody is left', async () => (await instance.value('select count(*) from realtime.presence')) === '0');
  });
});
