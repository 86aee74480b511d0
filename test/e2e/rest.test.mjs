// Broadcasts by HTTP: the client library's httpSend, private topics, and how bytes become requests.

import { after, afterEach, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { Instance } from './lib/instance.mjs';
import { abandon, arrived, subscribed, supabase } from './lib/client.mjs';
import { readAnswer, request } from './lib/http.mjs';
import { member } from './lib/member.mjs';
import { until, within } from './lib/poll.mjs';

const POLICIES = `
  create function public.nap() returns boolean language plpgsql as $$ begin perform pg_sleep(2); return true; end $$;
  create function public.boom() returns boolean language plpgsql as $$ begin raise 'boom'; end $$;
  create policy r on realtime.messages for select to authenticated using (true);
  create policy w on realtime.messages for insert to authenticated with check (
    case split_part(realtime.topic(), '-', 1)
      when 'may' then true
      when 'nap' then public.nap()
      when 'doze' then pg_sleep(0.3)::text is not null
      when 'long' then pg_sleep(30)::text is not null
      when 'boom' then public.boom()
      when 'head' then current_setting('request.headers')::json ->> 'x-pass' = 'yes'
      else false
    end);`;

let instance;
let key;
before(async () => {
  instance = await Instance.start({ listeners: 2, settings: ['fsync = off', `realtime.handshake_timeout = '2s'`, `realtime.policy_timeout = '4s'`] });
  await instance.rows(POLICIES, 30);
  key = instance.token('authenticated', { sub: '11111111-1111-4111-8111-111111111111' });
});
after(() => instance?.destroy());
afterEach(abandon);

const listen = (topic, isPrivate = true, options = {}) =>
  member(instance, topic, { key, config: { private: isPrivate }, ready: false, ...options });
const post = (body, headers = {}, path = '/api/broadcast') =>
  request(instance.port, {
    method: 'POST',
    path,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
  });
const message = (topic, event, rest = {}) => ({ topic, event, payload: { event }, private: true, ...rest });
const jsonOf = ({ body }) => JSON.parse(body.toString());
const names = ({ messages }) => messages.map(({ event }) => event);

// A bare connection: write bytes, read one answer after the other.
class Wire {
  #rest = Buffer.alloc(0);

  constructor() {
    this.socket = connect({ port: instance.port, host: '127.0.0.1', noDelay: true });
    this.ended = new Promise((resolve) => this.socket.on('close', resolve));
    this.socket.on('error', () => {});
  }

  async answer(seconds = 10) {
    const reading = readAnswer(this.socket);
    if (this.#rest.length > 0) {
      const left = this.#rest;
      this.#rest = Buffer.alloc(0);
      this.socket.emit('data', left);
    }
    const answer = await within(seconds, 'an answer', reading);
    this.#rest = answer.rest ?? Buffer.alloc(0);
    return answer;
  }

  write(bytes) {
    return new Promise((resolve) => this.socket.write(bytes, resolve));
  }
}

const head = (lines, path = '/api/broadcast') =>
  [`POST ${path} HTTP/1.1`, 'Host: x', `apikey: ${key}`, 'Content-Type: application/json', ...lines].join('\r\n') + '\r\n\r\n';
const whole = (body, path) => head([`Content-Length: ${Buffer.byteLength(body)}`], path) + body;
const batch = (...messages) => JSON.stringify({ messages });

test('httpSend of the client library: public, private, bytes, and a refusal', async () => {
  const receiver = await subscribed(supabase(instance, { key }), 'may/☀ %-b', {});
  const sender = supabase(instance, { key });
  const channel = sender.channel('may/☀ %-b');
  assert.deepEqual(await channel.httpSend('hé/llo', { text: 'жарко ☀' }), { success: true });
  const [{ event, payload }] = await arrived(receiver.messages, 1);
  assert.deepEqual({ event, payload }, { event: 'hé/llo', payload: { text: 'жарко ☀' } });
  assert.deepEqual(await channel.httpSend('bytes', new Uint8Array([0, 1, 255])), { success: true });
  const [, bytes] = await arrived(receiver.messages, 2);
  assert.deepEqual([...new Uint8Array(bytes.payload)], [0, 1, 255]);

  const secret = await listen('may-secret');
  assert.deepEqual(
    await sender.channel('may-secret', { config: { private: true } }).httpSend('e', { n: 1 }), { success: true });
  await until('the private message', () => secret.messages.length === 1);
  await assert.rejects(sender.channel('no-secret', { config: { private: true } }).httpSend('e', { n: 1 }), /Unauthorized/);
  secret.socket.drop();
});

test('a batch: public ones first, then private ones by topic; not allowed: refused whole, the entries named', async () => {
  const open = await listen('may-1', false);
  const [one, two, no] = [await listen('may-1'), await listen('may-2'), await listen('no-1')];
  const answer = await post({
    messages: [message('may-2', 'a'), message('may-1', 'b'), message('may-1', 'c', { private: false }), message('may-2', 'd', { id: 'x' })],
  });
  assert.equal(answer.status, 202, answer.body.toString());
  await until('all four', () => two.messages.length === 2 && one.messages.length === 1 && open.messages.length === 1);
  assert.deepEqual([names(two), names(one), names(open), two.messages[1].id], [['a', 'd'], ['b'], ['c'], 'x']);

  const refused = await post({
    messages: [message('may-1', 'x', { private: false }), message('no-1', 'x'), message('may-2', 'x'), message('no-1', 'y')],
  });
  assert.equal(refused.status, 403);
  const denied = { topic: ['You do not have permissions to write to this Channel topic'] };
  assert.deepEqual(jsonOf(refused), { message: 'Unauthorized', errors: { messages: [{}, denied, {}, denied] } });

  // what comes afterwards comes alone
  assert.equal((await post({ messages: [message('may-1', 'z'), message('may-2', 'z'), message('may-1', 'z', { private: false })] })).status, 202);
  await until('the last ones', () => [one, two, open].every((each) => names(each).includes('z')));
  assert.deepEqual([names(one), names(two), names(open), names(no)], [['b', 'z'], ['a', 'd', 'z'], ['c', 'z'], []]);
  [open, one, two, no].forEach(({ socket }) => socket.drop());
});

test('policies see the headers of the request; one that raises or takes too long refuses', async () => {
  assert.equal((await post({ messages: [message('head-1', 'e')] })).status, 403);
  assert.equal((await post({ messages: [message('head-1', 'e')] }, { 'X-Pass': 'yes' })).status, 202);
  const raised = await post({ messages: [message('may-1', 'e'), message('boom-1', 'e')] });
  assert.equal(raised.status, 422);
  assert.deepEqual(jsonOf(raised), { message: 'RLS policy error', errors: { messages: [{}, { topic: ['RLS policy error'] }] } });
  const single = await post({}, {}, '/api/broadcast/boom-1/events/e?private=true');
  assert.deepEqual([single.status, jsonOf(single)], [422, { message: 'RLS policy error' }]);
  for (const path of ['/api/broadcast/long-1/events/e?private=true', '/api/broadcast']) {
    const canceled = await post({ messages: [message('long-1', 'e')] }, {}, path);
    assert.deepEqual([canceled.status, jsonOf(canceled)], [422, { message: 'Query canceled' }]);
  }
  const many = await post({ messages: Array.from({ length: 257 }, (_, n) => message(`may-${n}`, 'e')) });
  assert.equal(many.status, 422);
  assert.equal((await post({ messages: Array.from({ length: 600 }, (_, n) => message(`may-${n % 256}`, 'e')) })).status, 202);
  // quotes take two bytes each in the JSON that the policies read
  assert.equal((await post({ messages: [message('may-1', 'e')] }, { 'x-a': 'a'.repeat(14_000) })).status, 202);
  assert.equal((await post({ messages: [message('may-1', 'e')] }, { 'x-a': '"'.repeat(14_000) })).status, 431);
});

test('requests behind one that waits for a policy are answered after it, and other clients meanwhile', async () => {
  const [nap, open] = [await listen('nap-1'), await listen('may-p', false)];
  const wire = new Wire();
  const publicOne = whole(batch(message('may-p', 'p', { private: false })));
  await wire.write(whole(batch(message('nap-1', 'n1'))) + publicOne + whole('{', undefined) + whole(batch(message('nap-1', 'n2'))));
  const began = Date.now();
  assert.equal((await post({ messages: [message('may-p', 'other', { private: false })] })).status, 202);
  assert.ok(Date.now() - began < 1500, `another client waited ${Date.now() - began} ms`);
  await wire.write(publicOne.slice(0, 50));
  assert.equal((await wire.answer()).status, 202);
  assert.equal((await wire.answer()).status, 202);
  assert.equal((await wire.answer()).status, 400);
  assert.equal((await wire.answer()).status, 202);
  await wire.write(publicOne.slice(50));
  assert.equal((await wire.answer()).status, 202);
  await until('all', () => nap.messages.length === 2 && open.messages.length === 3);
  assert.deepEqual([names(nap), names(open)], [['n1', 'n2'], ['other', 'p', 'p']]);

  // a client that sends too much meanwhile is told that the answer is the last one
  await wire.write(whole(batch(message('nap-1', 'n3'))));
  await wire.write('POST /x HTTP/1.1\r\nx: '.padEnd(300_000, 'y'));
  const last = await wire.answer();
  assert.deepEqual([last.status, last.headers.connection], [202, 'close']);
  await within(5, 'the end of the connection', wire.ended);
  [nap, open].forEach(({ socket }) => socket.drop());
});

test('a client that goes while it waits harms nobody', async () => {
  for (let n = 0; n < 20; n++) {
    const wire = new Wire();
    await wire.write(whole(batch(message('doze-gone', 'g'), message('may-1', 'g'))));
    n % 2 ? wire.socket.destroy() : wire.socket.end();
    await within(5, 'the end', wire.ended);
  }
  assert.equal((await post({ messages: [message('may-1', 'e')] })).status, 202);
  assert.equal((await instance.get('/api/ping')).status, 200);
});

test('bodies cut in every place, counted and chunked, one request behind the other', async () => {
  const self = await listen('may-cut', false);
  const body = batch(message('may-cut', 'é☀', { private: false }));
  const bytes = Buffer.from(body);
  const parts = [bytes.subarray(0, 1), bytes.subarray(1, 60), bytes.subarray(60)];
  const chunked = Buffer.concat([
    Buffer.from(head(['Transfer-Encoding: chunked'])),
    ...parts.flatMap((part) => [Buffer.from(`${part.length.toString(16)};ext=1\r\n`), part, Buffer.from('\r\n')]),
    Buffer.from('0\r\nTrailer: x\r\n\r\n'),
  ]);
  const counted = Buffer.from(whole(body));
  const wire = new Wire();
  let sent = 0;
  for (const wanted of [counted, chunked]) {
    for (let at = 1; at < wanted.length; at += 1) {
      wire.socket.write(wanted.subarray(0, at));
      await new Promise(setImmediate);
      wire.socket.write(Buffer.concat([wanted.subarray(at), wanted]));
      assert.equal((await wire.answer()).status, 202, `cut at ${at}`);
      assert.equal((await wire.answer()).status, 202, `behind a cut at ${at}`);
      sent += 2;
    }
  }
  for (const byte of Buffer.concat([counted, chunked])) {
    await wire.write(Buffer.from([byte]));
  }
  assert.equal((await wire.answer()).status, 202);
  assert.equal((await wire.answer()).status, 202);
  wire.socket.destroy();
  await until(() => `${sent + 2} messages, ${self.messages.length} came`, () => self.messages.length === sent + 2);
  assert.ok(self.messages.every(({ event }) => event === 'é☀'));
  self.socket.drop();
});

test('Expect: 100-continue, and a refusal in its place', async () => {
  const body = batch(message('may-1', 'e', { private: false }));
  const wire = new Wire();
  await wire.write(head([`Content-Length: ${body.length}`, 'Expect: 100-continue']));
  const told = await within(5, '100', new Promise((resolve) => wire.socket.once('data', resolve)));
  assert.equal(told.toString(), 'HTTP/1.1 100 Continue\r\n\r\n');
  await wire.write(body);
  assert.equal((await wire.answer()).status, 202);
  wire.socket.destroy();

  const refused = new Wire();
  await refused.write(head([`Content-Length: ${body.length}`, 'Expect: 100-continue']).replace('apikey', 'no-key'));
  const answer = await refused.answer();
  assert.deepEqual([answer.status, answer.headers.connection], [401, 'close']);
  refused.socket.destroy();
});

test('what does not say clearly where its body ends is refused, and nothing behind it is read', async () => {
  const body = batch(message('may-1', 'e', { private: false }));
  const bad = [
    [`Content-Length: ${body.length}`, 'Transfer-Encoding: chunked'],
    [`Content-Length: ${body.length}`, `Content-Length: ${body.length + 1}`],
    ['Content-Length: +5'],
    ['Transfer-Encoding: gzip, chunked'],
  ];
  for (const lines of bad) {
    const wire = new Wire();
    await wire.write(head(lines) + body + whole(body));
    const answer = await wire.answer();
    assert.deepEqual([answer.status, answer.headers.connection, answer.rest.length], [400, 'close', 0], lines.join());
    await within(5, 'the end', wire.ended);
  }
  const wire = new Wire();
  await wire.write(`${head(['Transfer-Encoding: chunked'])}zz\r\n${whole(body)}`);
  assert.equal((await wire.answer()).status, 400);
  await within(5, 'the end', wire.ended);
});

test('sizes: announced, chunked, and of a stranger whose body nobody keeps', async () => {
  const announced = new Wire();
  await announced.write(head(['Content-Length: 8100000']));
  assert.equal((await announced.answer()).status, 413);
  announced.socket.destroy();

  const chunk = `100000\r\n${'x'.repeat(0x100000)}\r\n`;
  for (const name of ['apikey', 'no-key']) {
    const wire = new Wire();
    wire.socket.write(head(['Transfer-Encoding: chunked']).replace('apikey', name));
    for (let n = 0; n < 8; n++) {
      wire.socket.write(chunk);
    }
    const answer = await wire.answer();
    assert.deepEqual([answer.status, jsonOf(answer)], [413, { message: 'Request Entity Too Large' }]);
    wire.socket.destroy();
  }
  const stranger = new Wire();
  await stranger.write(whole(`"${'x'.repeat(2_000_000)}"`).replace('apikey', 'no-key') + whole(batch(message('may-1', 'e'))));
  assert.equal((await stranger.answer()).status, 401);
  assert.equal((await stranger.answer()).status, 202, 'the connection goes on behind the body');
  stranger.socket.destroy();
});

test('a body that comes too slowly is not waited for', async () => {
  const wire = new Wire();
  await wire.write(head(['Content-Length: 1000']));
  const began = Date.now();
  const drip = setInterval(() => wire.socket.write('x'), 100);
  await within(10, 'the end', wire.ended).finally(() => clearInterval(drip));
  assert.ok(Date.now() - began > 1500);
});

test('many messages at once', async () => {
  const self = await listen('may-many', false);
  const messages = Array.from({ length: 2000 }, (_, n) => ({ topic: 'may-many', event: `${n}`, payload: {} }));
  assert.equal((await post({ messages })).status, 202);
  await until('2000 messages', () => self.messages.length === 2000);
  assert.deepEqual(names(self), messages.map(({ event }) => event));
  const tooMany = await post(`{"messages":[${'{},'.repeat(10_000)}{}]}`);
  assert.deepEqual([tooMany.status, jsonOf(tooMany)], [
    429, { message: 'Too many messages to broadcast, please reduce the batch size' }]);
  const bad = await post(`{"messages":[${'{},'.repeat(9_999)}{}]}`);
  assert.equal(bad.status, 422);
  assert.equal(jsonOf(bad).errors.messages.length, 10_000);
  self.socket.drop();
});
