// Going down and coming back: clients are told, not all in the same instant, and are served again at once.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { promisify } from 'node:util';
import { Instance } from './lib/instance.mjs';
import { abandon, leave, subscribed, supabase, VERSIONS } from './lib/client.mjs';
import { fence, member } from './lib/member.mjs';
import { readFrame } from './lib/frames.mjs';
import { pause, until } from './lib/poll.mjs';

const run = promisify(execFile);
const MANY = 1500;
const FEW = 20;

let instance;
before(async () => {
  instance = await Instance.start({ listeners: 2, settings: ['fsync = off'] });
});
after(async () => {
  abandon();
  await instance?.destroy();
});

// Tries to join again and again until it is let in; returns when.
async function firstJoin(topic, signal) {
  while (!signal.aborted) {
    try {
      const socket = await instance.connect();
      socket.sendJson(['1', '1', `realtime:${topic}`, 'phx_join', { config: {} }]);
      await Promise.race([
        socket.waitFor(() => socket.ended || socket.frames.some(({ text }) => text?.includes('"phx_reply"'))),
        pause(2000),
      ]);
      const reply = socket.frames.find(({ text }) => text?.includes('"phx_reply"'));
      socket.drop();
      if (reply?.text.includes('"ok"')) {
        return reply.at;
      }
    } catch {
      // not yet
    }
    await pause(10);
  }
  throw new Error('nobody was let in');
}

// Does something that takes the server down and up again, and says how long after "ready" a join was served.
async function joinAfterReady(position, topic, work) {
  await work();
  const at = await firstJoin(topic, AbortSignal.timeout(30_000));
  const ready = [...(await instance.logSince(position)).matchAll(/^(\S+ \S+) UTC .*database system is ready to accept connections/gm)].at(-1);
  assert.ok(ready, 'the log says when the server was ready');
  return at - Date.parse(`${ready[1].replace(' ', 'T')}Z`);
}

// What we have logged above WARNING.
async function alarming(position) {
  return (await instance.logSince(position)).split('\n').filter((line) => /realtime/.test(line) && /(ERROR|FATAL|PANIC): /.test(line));
}

// pg_ctl itself, without the time that the scripts around it take.
const pgCtl = (...how) => {
  const pgctl = [`${instance.bindir}/pg_ctl`, ...how, '-w', '-D', `${instance.home}/data`, '-l', `${instance.home}/server.log`];
  const command = process.getuid() === 0 ? ['runuser', '-u', 'postgres', '--', ...pgctl] : pgctl;
  return run(command[0], command.slice(1), { cwd: '/', timeout: 60_000 });
};

async function crowd(count) {
  const sockets = [];
  while (sockets.length < count) {
    sockets.push(...(await Promise.all(Array.from({ length: Math.min(100, count - sockets.length) }, async (_, i) => {
      const seen = { joined: false, goodbye: false, beats: 0 };
      const socket = await instance.connect({
        onFrame: ({ text }) => {
          seen.joined ||= text.includes('"phx_reply"') && text.includes('"ok"');
          seen.beats += text.includes('"phoenix"') ? 1 : 0;
          seen.goodbye ||= text.includes('Server requested disconnect');
        },
      });
      socket.sendJson(['1', '1', `realtime:crowd-${i % 7}`, 'phx_join', { config: {} }]);
      await socket.waitFor(() => seen.joined || socket.ended);
      assert.ok(seen.joined);
      return { socket, seen };
    }))));
  }
  return sockets;
}

// When they were told, in ms after the first of them.
const toldAt = (sockets) => {
  const at = sockets.map(({ socket }) => socket.ended.at).sort((a, b) => a - b);
  return at.map((each) => each - at[0]);
};

test('a fast shutdown tells clients of both protocol versions, and a restart serves them again soon', async (t) => {
  const raw = [];
  for (const vsn of VERSIONS) {
    const frames = [];
    const socket = await instance.connect({ vsn, onFrame: (frame) => frames.push(readFrame(frame)) });
    for (const [i, topic] of ['one', 'two'].entries()) {
      const [full, payload, ref] = [`realtime:${topic}`, { config: {} }, String(i)];
      socket.sendJson(vsn.startsWith('1') ? { topic: full, event: 'phx_join', payload, ref, join_ref: ref } : [ref, ref, full, 'phx_join', payload]);
    }
    await until('both joins', () => frames.filter(({ event, payload }) => event === 'phx_reply' && payload.status === 'ok').length === 2);
    frames.length = 0;
    raw.push({ socket, frames });
  }
  const clients = await Promise.all(VERSIONS.map(async (vsn) => {
    const client = supabase(instance, { vsn });
    return { client, ...(await subscribed(client, 'told')) };
  }));
  // A connection without a WebSocket holds nothing up.
  const idle = connect(instance.port, '127.0.0.1');
  idle.on('error', () => {});
  await once(idle, 'connect');

  const position = await instance.logPosition();
  let took;
  const after = await joinAfterReady(position, 'again', async () => {
    const began = Date.now();
    await pgCtl('stop', '-m', 'fast');
    took = Date.now() - began;
    await pgCtl('start');
  });
  t.diagnostic(`the shutdown took ${took} ms; a join was served ${after} ms after "ready"`);
  assert.ok(took < 5000, `the shutdown took ${took} ms`);
  assert.ok(after < 3000, `served ${after} ms after "ready"`);

  await until('the idle connection has ended', () => idle.destroyed);

  for (const { socket, frames } of raw) {
    assert.deepEqual(frames.map(({ event, topic, payload }) => ({ event, topic, payload })).sort((a, b) => (a.topic < b.topic ? -1 : 1)),
      ['one', 'two'].map((topic) => ({
        event: 'system',
        topic: `realtime:${topic}`,
        payload: { extension: 'system', status: 'ok', message: 'Server requested disconnect' },
      })));
    assert.equal(socket.ended.code, 1012);
    assert.equal(socket.ended.by, 'server');
  }
  await until('both supabase-js clients are back', () => clients.every(({ channel, statuses }) =>
    channel.state === 'joined' && statuses.filter((status) => status === 'SUBSCRIBED').length === 2), { seconds: 15 });
  clients.forEach(({ systems }) => assert.equal(systems[0].message, 'Server requested disconnect'));
  await leave(...clients.map(({ client }) => client));
  assert.deepEqual(await alarming(position), []);
});

test('many clients are told one after the other, within a bounded time', { timeout: 120_000 }, async (t) => {
  const sockets = await crowd(MANY);
  // Those who came last are told last: meanwhile they are served.
  const last = sockets.slice(-40);
  const began = Date.now();
  const stopped = pgCtl('stop', '-m', 'fast').then(() => Date.now() - began);
  await Promise.race(sockets.map(({ socket, seen }) => socket.waitFor(() => seen.goodbye)));
  const beats = () => last.reduce((sum, { seen }) => sum + seen.beats, 0);
  for (let round = 0; round < 20 && last.some(({ socket }) => !socket.ended); round++) {
    last.filter(({ socket }) => !socket.ended).forEach(({ socket }) => socket.sendJson([null, `${round}`, 'phoenix', 'heartbeat', {}]));
    await pause(10);
  }
  const took = await stopped;
  assert.ok(beats() > 0, 'clients are served after others were told');
  await until('all connections have ended', () => sockets.every(({ socket }) => socket.ended));
  await instance.restart();
  assert.ok(sockets.every(({ socket, seen }) => seen.goodbye && socket.ended.code === 1012), 'all were told');
  const told = toldAt(sockets);
  t.diagnostic(`${MANY} clients: half told after ${told[MANY / 2]} ms, the last after ${told.at(-1)} ms; ${beats()} heartbeats of the last ${last.length} answered meanwhile; the shutdown took ${took} ms`);
  assert.ok(took < 4000, `the shutdown took ${took} ms`);
});

test('a few are told at once', async (t) => {
  const sockets = await crowd(FEW);
  const [pid] = await instance.rows(`select pid from pg_stat_activity where backend_type = 'realtime listener'`);
  const position = await instance.logPosition();
  const began = Date.now();
  await instance.rows(`select pg_terminate_backend(${pid})`);
  await until('its clients were told', async () =>
    !(await instance.rows(`select pid from realtime.workers where kind = 'realtime listener' and state = 'running'`)).includes(pid) &&
    sockets.some(({ socket }) => socket.ended));
  const ended = sockets.filter(({ socket }) => socket.ended);
  t.diagnostic(`${ended.length} clients told after ${ended[0].socket.ended.at - began} ms, the last ${toldAt(ended).at(-1)} ms after the first`);
  assert.ok(ended.every(({ socket, seen }) => seen.goodbye && socket.ended.code === 1012));
  assert.ok(toldAt(ended).at(-1) < 1000, `the last was told ${toldAt(ended).at(-1)} ms after the first`);
  assert.deepEqual(await alarming(position), []);
  sockets.forEach(({ socket }) => socket.drop());
});

test('kill -9 of a backend: clients are served soon after "ready", messages of the database too', async (t) => {
  const before = await member(instance, 'crash');
  const session = instance.session();
  const victim = await session.value('select pg_backend_pid()');
  const position = await instance.logPosition();
  const after = await joinAfterReady(position, 'crash-again', async () => {
    process.kill(Number(victim), 'SIGKILL');
    await until('the crash', async () => /all server processes terminated; reinitializing/.test(await instance.logSince(position)));
  });
  t.diagnostic(`a join was served ${after} ms after "ready"`);
  assert.ok(after < 3000, `served ${after} ms after "ready"`);
  await until('the old connection has ended', () => before.socket.ended);
  const self = await member(instance, 'crash');
  await instance.session().rows(`select realtime.send('{}', 'x', 'crash', false)`);
  assert.deepEqual((await fence(instance, self, { session: instance.session() })).map(({ event }) => event), ['x']);
  self.socket.drop();
  assert.deepEqual(await alarming(position), []);
});

describe('what is under way when the server goes', () => {
  test('a join is refused with a reason, or its connection ends with 1012', async () => {
    const sockets = await crowd(600);
    const late = await Promise.all(Array.from({ length: 20 }, () => instance.connect()));
    const stopped = pgCtl('stop', '-m', 'fast');
    // Those that have not been told yet go on trying to join.
    let number = 0;
    while (late.some((socket) => !socket.ended)) {
      number++;
      late.filter((socket) => !socket.ended).forEach((socket) => socket.sendJson([`${number}`, `${number}`, 'realtime:late', 'phx_join', { config: {} }]));
      await pause(5);
    }
    await stopped;
    await instance.restart();
    let refused = 0;
    for (const socket of late) {
      assert.equal(socket.ended.code, 1012);
      const refusals = socket.frames.map(({ text }) => JSON.parse(text)).filter(([, , , event, { status }]) => event === 'phx_reply' && status === 'error');
      assert.ok(refusals.every(([, , , , { response }]) => response.reason === 'RealtimeRestarting: Realtime is restarting, please standby'),
        JSON.stringify(refusals[0]));
      refused += refusals.length;
    }
    assert.ok(refused > 0, 'some were refused');
    sockets.forEach(({ socket }) => socket.drop());
  });
});
