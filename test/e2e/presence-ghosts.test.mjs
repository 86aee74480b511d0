// Who is present when clients, cables, listeners and servers come to an end: is anybody left who is not there?

import { after, afterEach, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Instance } from './lib/instance.mjs';
import { VERSIONS } from './lib/client.mjs';
import { dropAll, held, join, keysOf, newTopic, opened } from './lib/presence.mjs';
import { Present } from './lib/present.mjs';
import { pause, until } from './lib/poll.mjs';

const run = promisify(execFile);
const PROCESS = fileURLToPath(new URL('./lib/present-process.mjs', import.meta.url));

let instance;
const joined = (topic, options) => join(instance, topic, options);

afterEach(dropAll);

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
    assert.ok(goneAt - began <= TIMEOUT + 3000, `after ${goneAt - began} ms`);
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

  test('who has left may stop reading for longer than client_timeout', { timeout: 60_000 }, async () => {
    const topic = newTopic();
    const [left, talker] = await Promise.all(['left', 'talker'].map((key) => joined(topic, { key })));
    await left.tracked({});
    await left.reply(left.untrack());
    left.socket.pause();
    const filler = 'x'.repeat(40_000);
    for (let n = 0; n < 20; n++) {
      talker.push('broadcast', { type: 'broadcast', event: 'e', payload: { n, filler } });
    }
    await pause(3 * TIMEOUT);
    left.socket.resume();
    await left.tracked({ again: true });
  });

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
      }, { seconds: TIMEOUT / 1000 + 5, every: 50 });
      const took = Date.now() - began;
      assert.ok(took >= TIMEOUT - 200 && took <= TIMEOUT + 3000, `after ${took} ms`);
      await until('the others see it', () => !talker.view.keys.has('cut'));
      assert.ok((await connected()).includes(quietId), 'behind the same cable, but nothing was written to it: it is not missed');
    }));
});

test('a ping_interval as long as client_timeout leaves time to answer', { timeout: 60_000 }, async () => {
  instance = await Instance.start({ settings: ['fsync = off', 'realtime.client_timeout = 4s', 'realtime.ping_interval = 5s'] });
  try {
    const self = await joined(newTopic(), { key: 'self' });
    await self.tracked({});
    await pause(4000);
    self.socket.pause();
    await pause(1700); // the ping comes after a second of it
    self.socket.resume();
    await pause(2000);
    assert.equal(self.socket.ended, undefined);
    assert.equal(self.socket.pings, 1);
  } finally {
    await instance.destroy();
  }
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
      { seconds: 30, every: 200 },
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
      }, { seconds: 30, every: 200 });
    }
    all.stop = true;
    all.clients.forEach(({ socket }) => socket.drop());
    await Promise.all(all.lives);
    await until('nobody is left', async () => (await instance.value('select count(*) from realtime.presence')) === '0');
  });
});
