// The socket itself: what no client library sends, and what one client may not do to the others.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { Instance } from './lib/instance.mjs';
import { RawSocket } from './lib/socket.mjs';
import { request } from './lib/http.mjs';
import { member } from './lib/member.mjs';
import { until, within } from './lib/poll.mjs';
import { thirdSlowest } from './lib/times.mjs';
import { sign } from './lib/tokens.mjs';

let instance;
before(async () => {
  instance = await Instance.start({
    settings: ['fsync = off', `realtime.handshake_timeout = '3s'`, `realtime.client_queue_size = '1MB'`, `realtime.client_queue_soft = '512kB'`],
  });
});
after(() => instance?.destroy());

const heartbeat = (ref) => [null, ref, 'phoenix', 'heartbeat', {}];
const beaten = (socket, ref) =>
  until(`the answer to heartbeat ${ref}`, () => socket.frames.some(({ text }) => JSON.parse(text)[1] === ref));

// Sends bytes on a bare connection; what came back until the server ended it.
function exchange(bytes, seconds = 10) {
  const socket = connect({ port: instance.port, host: '127.0.0.1' });
  const chunks = [];
  socket.on('error', () => {});
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.write(bytes);
  return within(
    seconds,
    `the end of a connection that sent ${JSON.stringify(bytes.toString('latin1').slice(0, 60))}`,
    new Promise((resolve) => socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')))),
  ).finally(() => socket.destroy());
}

test('messages in fragments, pings in between, a pong for each', async () => {
  const socket = await instance.connect();
  const text = JSON.stringify(heartbeat('é-1'));
  const bytes = Buffer.from(text);
  socket.sendFragments([...bytes].map((byte) => Buffer.from([byte])));
  await beaten(socket, 'é-1');
  await until('all pongs', () => socket.pongs.length === bytes.length - 1);
  assert.deepEqual(socket.pongs, [...bytes.keys()].slice(0, -1).map(String));
  assert.equal(socket.pings, 0, 'the server itself does not ping');
  socket.drop();
});

test('many messages in one packet, and one message in many', async () => {
  const self = await member(instance, 'packets', { config: { broadcast: { self: true } } });
  for (let n = 0; n < 300; n++) {
    self.push('broadcast', { type: 'broadcast', event: 'e', payload: { n } });
  }
  await until('300 messages', () => self.messages.length === 300);
  const big = { text: 'x'.repeat(2_000_000) };
  self.push('broadcast', { type: 'broadcast', event: 'big', payload: big });
  await until('the big one', () => self.messages.length === 301);
  assert.deepEqual(self.messages.slice(0, 300).map(({ payload }) => payload.n), [...Array(300).keys()]);
  assert.deepEqual(self.messages[300].payload, big);
  self.socket.drop();
});

test('a close frame is answered with the same code', async () => {
  for (const code of [1000, 1001, 3000, 4999]) {
    const socket = await instance.connect();
    await socket.close(code);
    assert.equal(socket.ended.code, code);
  }
});

test('frames against RFC 6455 end the connection, with 1002 where a code is sent', async () => {
  const bad = {
    'not masked': '810568656c6c6f',
    'a reserved bit': 'c18000000000',
    'a reserved opcode': '838000000000',
    'a fragmented ping': '098000000000',
    'a ping of 126 bytes': `89fe007e00000000${'61'.repeat(126)}`,
    'a continuation of nothing': '808000000000',
    'a close frame of one byte': '88810000000061',
  };
  for (const [what, hex] of Object.entries(bad)) {
    const socket = await instance.connect();
    socket.sendRaw(Buffer.from(hex, 'hex'));
    await within(10, `the end after ${what}`, socket.waitFor(() => socket.ended));
    assert.equal(socket.ended.by, 'server', what);
    assert.ok([1002, 1006].includes(socket.ended.code), `${what}: ${socket.ended.code}`);
  }
  const well = await instance.connect();
  well.sendJson(heartbeat('after'));
  await beaten(well, 'after');
  well.drop();
});

test('what is no HTTP is refused, and nothing hangs', async () => {
  for (const bytes of [
    '\r\n\r\n',
    'GET\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    'NONSENSE\0\0\0\r\n\r\n',
    '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    `GET /${'a'.repeat(100_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: x\r\n${'a: b\r\n'.repeat(20_000)}\r\n`,
    'GET /healthcheck HTTP/1.1\r\nHost',
    '',
  ]) {
    const answer = await exchange(Buffer.from(bytes, 'latin1'));
    assert.doesNotMatch(answer, /^HTTP\/1\.1 200/);
  }
  assert.equal((await instance.get('/healthcheck')).status, 200);
});

test('a key of several thousand bytes is read, and a wrong one gets an answer', async () => {
  const key = sign({ role: 'anon', exp: 4102444800, filler: 'x'.repeat(4000) }, instance.secret);
  (await instance.connect({ key })).drop();
  const socket = new RawSocket();
  const answer = await socket.open(instance.port, `/socket/websocket?vsn=2.0.0&apikey=${'x'.repeat(6000)}`);
  assert.equal(answer.status, 401);
  assert.deepEqual(JSON.parse(answer.body), { error: 'The token provided is not a valid JWT' });
});

test('requests one after the other on one connection', async () => {
  const answer = await exchange(
    Buffer.from(
      'GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\nGET /healthcheck HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    ),
  );
  assert.ok(/^HTTP\/1\.1 200/.test(answer), answer);
});

test('HTTP/1.0, and a query on the health check', async () => {
  assert.match(await exchange(Buffer.from('GET /healthcheck HTTP/1.0\r\n\r\n')), /^HTTP\/1\.[01] 200[^]*\r\n\r\nok$/);
  assert.equal((await request(instance.port, { path: '/healthcheck?x=1' })).status, 200);
});

test('a client that does not read is cut off; the others are not delayed', { timeout: 60_000 }, async () => {
  const slow = await member(instance, 'slow');
  const quick = await member(instance, 'slow');
  const sender = await member(instance, 'slow', { config: { broadcast: { ack: true } } });
  slow.socket.pause();
  const filler = 'x'.repeat(50_000);
  const total = 400;
  const took = [];
  for (let n = 0; n < total; n++) {
    const began = Date.now();
    const ref = sender.push('broadcast', { type: 'broadcast', event: 'e', payload: { n, filler } });
    await until('the ack', () => sender.replies.has(ref), { every: 1 });
    took.push(Date.now() - began);
  }
  await until('all at the quick one', () => quick.messages.length === total);
  await until('the slow one is gone', async () =>
    (await instance.value(`select count(*) from realtime.channels where topic = 'slow'`)) === '2');
  assert.ok(thirdSlowest(took) < 1000, `the slowest acks took ${thirdSlowest(took)} ms`);
  slow.socket.resume();
  await until('the slow one notices', () => slow.socket.ended);
  assert.ok(slow.messages.length < total);
  const numbers = slow.messages.map(({ payload }) => payload.n);
  assert.deepEqual(numbers, [...numbers.keys()], 'what it got has no gap');
  quick.socket.drop();
  sender.socket.drop();
});

test('refused pushes without an ack: one system error a second, with the number', { timeout: 60_000 }, async () => {
  const self = await member(instance, 'refused');
  const count = 50;
  for (let n = 0; n < count; n++) {
    self.push('broadcast', 'no object');
  }
  const errors = () => self.systems.filter(({ status }) => status === 'error');
  const told = () => errors().reduce((sum, { message }) => sum + Number(/\d+/.exec(message.replace(/^[^:]*:/, ''))?.[0] ?? /\d+/.exec(message)?.[0]), 0);
  await until(() => `all ${count} are told: ${JSON.stringify(errors())}`, () => told() >= count, { seconds: 10 });
  assert.equal(told(), count);
  assert.ok(errors().length <= 3, `${errors().length} messages`);
  const times = errors().map(({ at }) => at);
  times.slice(1).forEach((at, i) => assert.ok(at - times[i] >= 500, `${at - times[i]} ms between two`));
  self.socket.drop();
});

test('tokens of issue_token are accepted until they expire', async () => {
  const key = await instance.value(`select realtime.issue_token('authenticated', '{"sub": "me"}', '1 hour')`);
  const self = await member(instance, 'issued', { key });
  const row = await instance.value(`select role, sub from realtime.connections where sub = 'me'`);
  assert.equal(row, 'authenticated|me');
  self.socket.drop();
  const short = await instance.value(`select realtime.issue_token('anon', '{}', '1 second')`);
  await until('its end', () => Date.now() > JSON.parse(Buffer.from(short.split('.')[1], 'base64url')).exp * 1000 + 1000);
  await assert.rejects(instance.connect({ key: short }), /401 .*expired/);
});

test('views: connections and channels say what is there', async () => {
  // Sockets of earlier tests may still be on their way out: only those that have joined these topics count.
  const mine = async () => Number(await instance.value(
    `select count(*) from realtime.connections n join realtime.channels c on c.connection = n.id where c.topic like 'view-%'`));
  const members = [await member(instance, 'view-1'), await member(instance, 'view-2', { vsn: '1.0.0', key: instance.token('authenticated', { sub: 'u' }) })];
  assert.equal(await mine(), 2);
  const rows = await instance.rows(`select c.topic, c.private, n.vsn, n.role, n.sub, n.channels, n.client_addr, n.listener
    from realtime.channels c join realtime.connections n on n.id::text = c.connection::text
    where c.topic like 'view-%' order by 1`);
  assert.deepEqual(rows, ['view-1|f|2.0.0|anon||1|127.0.0.1|0', 'view-2|f|1.0.0|authenticated|u|1|127.0.0.1|0']);
  members.forEach(({ socket }) => socket.drop());
  await until('they are gone', async () => (await mine()) === 0);
});
