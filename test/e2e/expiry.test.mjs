// The end of a token: a warning before it, a time of grace after it, and what a channel that goes on
// has missed.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { VERSIONS, abandon, leave, subscribed, supabase } from './lib/client.mjs';
import { member } from './lib/member.mjs';
import { pause, until } from './lib/poll.mjs';

const EXPIRED = /^InvalidJWTToken: Token has expired \d+ seconds ago$/;
const ENDED = /^Token has expired \d+ seconds ago$/;
const WAITS = /^Token has expired \d+ seconds ago: nothing is delivered or accepted until a fresh access_token comes$/;
const WARNED = /^Token expires in (\d+) seconds, send a fresh access_token$/;
const RENEWED = 'The token was renewed: the channel goes on';
const lost = (n) => `Messages were lost: ${n} message${n === 1 ? ' was' : 's were'} not delivered while the token had expired`;

const SETUP = `
  create table public.expiry_rows (id int primary key);
  grant select on public.expiry_rows to anon, authenticated;
  alter publication supabase_realtime add table public.expiry_rows;
  create policy reads on realtime.messages for select to authenticated using (topic not like 'slow-%' or pg_sleep(2) is not null);
  create policy writes on realtime.messages for insert to authenticated with check (true);
`;

let instance;
before(async () => {
  instance = await Instance.start({ listeners: 2, settings: ['fsync = off', `realtime.token_warning = '2s'`, `realtime.token_grace = '4s'`, `realtime.policy_timeout = '5s'`] });
  await instance.rows('select realtime.setup_supabase()');
  await instance.rows(SETUP);
});
after(async () => {
  abandon();
  await instance?.destroy();
});

let number = 0;
const newTopic = (kind = 'expiry') => `${kind}-${++number}`;
const inSeconds = (seconds) => Math.floor(Date.now() / 1000) + seconds;
const tokenUntil = (exp, more = {}) => instance.token('authenticated', { exp, ...more });
const lasting = () => instance.token('authenticated', { n: ++number });
const join = (topic, { key = lasting(), vsn, isPrivate = false, ack = true, presence } = {}) =>
  member(instance, topic, { key, vsn, ready: false, config: { private: isPrivate, broadcast: { ack }, presence } });

async function answer(self, event, payload) {
  const ref = self.push(event, payload);
  return until(`an answer to ${event}`, () => self.replies.get(ref), { every: 5 });
}
const send = (self, n = 0) => answer(self, 'broadcast', { type: 'broadcast', event: 'e', payload: { n } });
const closed = (self) => self.others.some(({ event }) => event === 'phx_close');
const saying = (self, pattern) => self.systems.filter(({ message }) => pattern.test(message));
const told = (self, pattern, seconds = 10) => until(() => `${pattern} among ${JSON.stringify(self.systems)}`, () => saying(self, pattern)[0], { seconds, every: 5 });

describe('a token that expires', { concurrency: 8 }, () => {
  for (const vsn of ['2.0.0', '1.0.0']) {
    for (const isPrivate of [false, true]) {
      test(`${isPrivate ? 'private' : 'public'}, ${vsn}: warning, grace, and on where it was`, async () => {
        const topic = newTopic();
        const exp = inSeconds(6);
        const presence = { enabled: true, key: 'me' };
        const self = await join(topic, { key: tokenUntil(exp), vsn, isPrivate, presence });
        const other = await join(topic, { isPrivate, presence: { enabled: true, key: 'other' } });
        assert.equal((await answer(self, 'presence', { event: 'track', payload: { is: 'here' } })).status, 'ok');
        await send(other, 1);

        const warned = await told(self, WARNED);
        assert.deepEqual([warned.status, warned.extension, warned.channel], ['ok', 'system', topic]);
        assert.ok(warned.at >= (exp - 2) * 1000 && warned.at < exp * 1000, `warned ${exp * 1000 - warned.at} ms before exp`);
        assert.match(WARNED.exec(warned.message)[1], /^[12]$/);

        const waits = await told(self, WAITS);
        assert.deepEqual([waits.status, waits.extension], ['error', 'system']);
        assert.ok(waits.at >= exp * 1000 && waits.at < exp * 1000 + 3000, `told ${waits.at - exp * 1000} ms after exp`);
        for (const n of [2, 3]) {
          assert.equal((await send(other, n)).status, 'ok');
        }
        assert.equal((await answer(other, 'presence', { event: 'track', payload: { came: 'later' } })).status, 'ok');
        for (const refusal of [await send(self), await answer(self, 'presence', { event: 'track', payload: {} }), await answer(self, 'presence', { event: 'untrack' })]) {
          assert.equal(refusal.status, 'error');
          assert.match(refusal.response.reason, EXPIRED);
        }
        const before = self.others.length;
        self.push('access_token', { access_token: lasting() });
        const renewed = await told(self, /^The token was renewed/);
        assert.deepEqual([renewed.status, renewed.message], ['ok', RENEWED]);
        assert.deepEqual(saying(self, /lost/).map(({ status, message }) => [status, message]), [['error', lost(3)]]);
        const state = await until('presence_state', () => self.others.slice(before).find(({ event }) => event === 'presence_state'));
        assert.deepEqual(Object.keys(state.payload).sort(), ['me', 'other']);

        await send(other, 4);
        assert.equal((await send(self, 5)).status, 'ok');
        await until('what came afterwards', () => self.messages.some(({ payload }) => payload.n === 4));
        assert.deepEqual(self.messages.map(({ payload }) => payload.n), [1, 4]);
        await until('its own at the other', () => other.messages.some(({ payload }) => payload.n === 5));
        assert.equal(closed(self), false);
        assert.equal(saying(self, WARNED).length, 1);
        self.socket.drop();
        other.socket.drop();
      });
    }
  }

  test('without an ack what is refused is told in a system error', async () => {
    const exp = inSeconds(2);
    const self = await join(newTopic(), { key: tokenUntil(exp), ack: false });
    await told(self, WAITS);
    for (let n = 0; n < 3; n++) {
      self.push('broadcast', { type: 'broadcast', event: 'e', payload: {} });
    }
    const refusals = () => saying(self, /^InvalidJWTToken: Token has expired \(/).reduce((sum, { message }) => sum + Number(/(\d+) messages? refused\)$/.exec(message)[1]), 0);
    await until('three refusals', () => refusals() === 3);
    self.socket.drop();
  });

  test('without a fresh token the channel ends when the grace is over', async () => {
    const exp = inSeconds(2);
    const self = await join(newTopic(), { key: tokenUntil(exp) });
    const end = await told(self, ENDED, 15);
    const late = end.at - (exp + 4) * 1000;
    assert.ok(late >= 0 && late < 3000, `${late} ms after the grace`);
    await until('phx_close', () => closed(self));
    self.socket.drop();
  });

  test('a fresh token before exp: one warning for each token, and nothing else', async () => {
    const self = await join(newTopic(), { key: tokenUntil(inSeconds(3)) });
    await told(self, WARNED);
    const exp = inSeconds(4);
    self.push('access_token', { access_token: tokenUntil(exp) });
    await until('a second warning', () => saying(self, WARNED).length === 2);
    self.push('access_token', { access_token: lasting() });
    await until('the second token is out of date', () => Date.now() > (exp + 1) * 1000);
    assert.equal((await send(self)).status, 'ok');
    assert.equal(self.systems.length, 2, JSON.stringify(self.systems));
    self.socket.drop();
  });

  test('nothing that was sent after exp is delivered', async () => {
    const topic = newTopic();
    const exp = inSeconds(4);
    const self = await join(topic, { key: tokenUntil(exp) });
    const other = await join(topic, { ack: false });
    for (let late = 0; late < 50; await pause(2)) {
      const now = Date.now();
      other.push('broadcast', { type: 'broadcast', event: 'e', payload: { sent: now } });
      late += now > exp * 1000;
    }
    assert.equal((await answer(other, 'presence', { event: 'untrack' })).status, 'ok');
    const sent = self.messages.map(({ payload }) => payload.sent);
    assert.ok(Math.max(...sent) < exp * 1000 + 2, `delivered ${Math.max(...sent) - exp * 1000} ms after exp`);
    assert.ok(sent.length > 0 && Math.max(...sent) > exp * 1000 - 1500, 'and everything before it is');
    self.push('access_token', { access_token: lasting() });
    const gap = await told(self, /^Messages were lost/);
    assert.ok(Number(/\d+/.exec(gap.message)[0]) > 20, gap.message);
    self.socket.drop();
    other.socket.drop();
  });

  test('a token that came in time is waited for while the policies judge it', async () => {
    const exp = inSeconds(6);
    const self = await join(newTopic('slow'), { key: tokenUntil(exp), isPrivate: true });
    await told(self, WAITS);
    await until('a moment before the end', () => Date.now() >= (exp + 4) * 1000 - 1500, { every: 1 });
    self.push('access_token', { access_token: lasting() });
    await told(self, /^The token was renewed/);
    assert.ok(Date.now() > (exp + 4) * 1000, 'the policy was slow enough');
    assert.equal((await send(self)).status, 'ok');
    assert.equal(closed(self), false);
    self.socket.drop();
  });

  test('changes of tables are withheld, counted, and go on', async () => {
    const exp = inSeconds(6);
    const topic = newTopic();
    const changes = [{ event: 'INSERT', schema: 'public', table: 'expiry_rows' }];
    const self = await member(instance, topic, { key: tokenUntil(exp), ready: false, config: { postgres_changes: changes } });
    await told(self, /^Subscribed to PostgreSQL$/);
    const seen = () => self.others.filter(({ event }) => event === 'postgres_changes').map(({ payload }) => payload.data.record.id);
    await instance.rows('insert into expiry_rows values (1)');
    await until('a change', () => seen().length === 1);
    await told(self, WAITS);
    await instance.rows('insert into expiry_rows values (2), (3)');
    const other = await member(instance, newTopic(), { ready: false, config: { postgres_changes: changes } });
    await told(other, /^Subscribed to PostgreSQL$/);
    await instance.rows('insert into expiry_rows values (4)');
    await until('the last one, at another client', () => other.others.some(({ event, payload }) => event === 'postgres_changes' && payload.data.record.id === 4));
    self.push('access_token', { access_token: lasting() });
    assert.equal((await told(self, /^Messages were lost/)).message, lost(3));
    await until('it has subscribed again', () => saying(self, /^Subscribed to PostgreSQL$/).length === 2);
    await instance.rows('insert into expiry_rows values (5)');
    await until('a change afterwards', () => seen().includes(5));
    assert.deepEqual(seen(), [1, 5]);
    [self, other].forEach(({ socket }) => socket.drop());
  });

  for (const vsn of VERSIONS) {
    test(`supabase-js, ${vsn}: setAuth in the time of grace, and the channel goes on`, async () => {
      const topic = newTopic();
      const client = supabase(instance, { vsn });
      const sender = supabase(instance, { vsn });
      await client.realtime.setAuth(tokenUntil(inSeconds(3)));
      await sender.realtime.setAuth(lasting());
      const self = await subscribed(client, topic, { private: true, broadcast: { ack: true } });
      const other = await subscribed(sender, topic, { private: true, broadcast: { ack: true } });
      await until('the grace', () => self.systems.some(({ message }) => WAITS.test(message)));
      assert.equal(await other.channel.send({ type: 'broadcast', event: 'e', payload: { n: 1 } }), 'ok');
      assert.equal(await self.channel.send({ type: 'broadcast', event: 'e', payload: {} }), 'error');
      await client.realtime.setAuth(lasting());
      await until('it goes on', () => self.systems.some(({ message }) => message === RENEWED));
      assert.equal(await other.channel.send({ type: 'broadcast', event: 'e', payload: { n: 2 } }), 'ok');
      assert.equal(await self.channel.send({ type: 'broadcast', event: 'e', payload: {} }), 'ok');
      await until('the second message', () => self.messages.length > 0);
      assert.deepEqual(self.messages.map(({ payload }) => payload.n), [2]);
      assert.deepEqual(self.statuses, ['SUBSCRIBED']);
      await leave(client, sender);
    });
  }

  test('a bad token in the time of grace ends the channel', async () => {
    const self = await join(newTopic(), { key: tokenUntil(inSeconds(2)) });
    await told(self, WAITS);
    self.push('access_token', { access_token: 'no.to.ken' });
    await told(self, /^The token provided is not a valid JWT$/);
    await until('phx_close', () => closed(self));
    self.socket.drop();
  });

  test('a join with a token that has expired is refused as ever', async () => {
    const self = await join(newTopic());
    self.socket.sendJson(['x', 'x', 'realtime:expiry-join', 'phx_join', { config: {}, access_token: tokenUntil(inSeconds(-5)) }]);
    const { status, response } = await until('a reply', () => self.replies.get('x'));
    assert.equal(status, 'error');
    assert.match(response.reason, EXPIRED);
    self.socket.drop();
  });
});

test('a reload of the settings holds for channels that are there', async () => {
  await instance.set('realtime.token_warning', `'1h'`);
  const self = await join(newTopic(), { key: tokenUntil(inSeconds(1800)) });
  await told(self, WARNED);
  await instance.set('realtime.token_warning', '0');
  await instance.set('realtime.token_grace', '0');
  await until('the end of the grace is used', async () => {
    const other = await join(newTopic(), { key: tokenUntil(inSeconds(2)) });
    await until('its end', () => closed(other));
    const messages = other.systems.map(({ message }) => message);
    other.socket.drop();
    return messages.length === 1 && ENDED.test(messages[0]);
  }, { seconds: 30 });
  const other = await join(newTopic(), { key: tokenUntil(inSeconds(1800)) });
  await instance.set('realtime.token_warning', `'1h'`);
  await told(other, WARNED);
  [self, other].forEach(({ socket }) => socket.drop());
});
