// Opaque keys (realtime.api_keys), which stand for a role.

import { after, afterEach, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Instance } from './lib/instance.mjs';
import { RawSocket } from './lib/socket.mjs';
import { abandon, arrived, leave, subscribed, supabase, VERSIONS } from './lib/client.mjs';
import { member } from './lib/member.mjs';
import { inEveryListener, until } from './lib/poll.mjs';
import { sign } from './lib/tokens.mjs';

const PUBLISHABLE = 'sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH';
const SECRET = 'sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz';
const QUOTED = 'sb_secret_back.office~1';
const ALL = `${PUBLISHABLE}=anon, ${SECRET} = service_role ,${QUOTED}="Back Office, ""x"""`;
const NOT_A_JWT = 'The token provided is not a valid JWT';

let instance;
before(async () => {
  instance = await Instance.start({ listeners: 2, settings: ['fsync = off', `realtime.api_keys = '${ALL}'`] });
  await instance.rows(`
    create policy "anon reads" on realtime.messages for select to anon using (realtime.topic() like 'anon-%');
    create policy "anon writes" on realtime.messages for insert to anon
      with check (realtime.topic() like 'anon-%' and auth.jwt() = '{"role":"anon"}' and auth.role() = 'anon');
    create policy "service reads" on realtime.messages for select to service_role using (realtime.topic() like 'service-%');
    create policy "user reads" on realtime.messages for select to authenticated using (realtime.topic() like 'user-%')`);
});
after(() => instance?.destroy());
afterEach(abandon);

async function refusal(key, headers) {
  const socket = new RawSocket();
  const answer = await socket.open(instance.port, `/realtime/v1/websocket?${key === undefined ? '' : `apikey=${key}&`}vsn=2.0.0`, headers);
  socket.drop();
  return answer.status === 101 ? 101 : [answer.status, JSON.parse(answer.body).error];
}

const set = async (value) => {
  await instance.set('realtime.api_keys', `'${value}'`);
};

describe('supabase-js, with an opaque key as its key', () => {
  for (const vsn of VERSIONS) {
    test(`${vsn}: joins, sends and receives`, async () => {
      const topic = `anon-${vsn}`;
      const one = supabase(instance, { vsn, key: PUBLISHABLE });
      const two = supabase(instance, { vsn, key: PUBLISHABLE });
      const a = await subscribed(one, topic);
      const b = await subscribed(two, topic);
      await a.channel.send({ type: 'broadcast', event: 'e', payload: { n: 1 } });
      await arrived(b.messages, 1);
      assert.deepEqual(b.messages[0].payload, { n: 1 });
      await leave(one, two);
    });

    test(`${vsn}: a private channel is judged as the key's role`, async () => {
      const client = supabase(instance, { vsn, key: PUBLISHABLE });
      const self = await subscribed(client, 'anon-private', { private: true, broadcast: { self: true, ack: true } });
      assert.equal(await self.channel.send({ type: 'broadcast', event: 'e', payload: { n: 2 } }), 'ok');
      await arrived(self.messages, 1);
      await assert.rejects(subscribed(client, 'service-private', { private: true }), /Unauthorized/);
      await leave(client);
      const service = supabase(instance, { vsn, key: SECRET });
      await subscribed(service, 'service-private', { private: true });
      await leave(service);
    });
  }

  test('setAuth with a token, and back', async () => {
    const client = supabase(instance, { key: PUBLISHABLE });
    await client.realtime.setAuth(instance.token('authenticated'));
    await subscribed(client, 'user-x', { private: true });
    await leave(client);
  });
});

test('realtime.connections shows the role', async () => {
  for (const [key, role] of [[PUBLISHABLE, 'anon'], [SECRET, 'service_role'], [QUOTED, 'Back Office, "x"']]) {
    const socket = await instance.connect({ key });
    assert.equal(await instance.value('select role from realtime.connections where sub is null'), role);
    socket.drop();
    await until('it is gone', async () => (await instance.value('select count(*) from realtime.connections')) === '0');
  }
});

test('the header x-api-key, which wins', async () => {
  assert.equal(await refusal(undefined, { 'x-api-key': PUBLISHABLE }), 101);
  assert.equal(await refusal('sb_no', { 'X-Api-Key': PUBLISHABLE }), 101);
  assert.deepEqual(await refusal(PUBLISHABLE, { 'x-api-key': 'sb_no' }), [401, NOT_A_JWT]);
});

test('keys that are not known', async () => {
  for (const key of ['sb_', 'sb_x', 'sb_publishable_', PUBLISHABLE.slice(0, -1), `${PUBLISHABLE}x`, PUBLISHABLE.toLowerCase(),
    PUBLISHABLE.slice(1), `${PUBLISHABLE}=anon`, `${PUBLISHABLE},${SECRET}`, 'Back%20Office', `sb_${'x'.repeat(8000)}`]) {
    assert.deepEqual(await refusal(key), [401, NOT_A_JWT], key.slice(0, 80));
  }
});

test('which token a join has', async () => {
  const self = await member(instance, 'anon-token', { key: PUBLISHABLE, ready: false });
  const join = async (ref, topic, payload) => {
    self.socket.sendJson([ref, ref, `realtime:${topic}`, 'phx_join', payload]);
    await until(`a reply to ${ref}`, () => self.replies.get(ref));
    return self.replies.get(ref);
  };
  const config = { private: true };
  assert.equal((await join('10', 'anon-a', { config })).status, 'ok', 'none given');
  assert.equal((await join('11', 'anon-b', { config, access_token: SECRET })).status, 'ok', 'an opaque key means that of the connect');
  assert.match((await join('12', 'service-c', { config, access_token: SECRET })).response.reason, /^Unauthorized/);
  assert.equal((await join('13', 'anon-d', { config, user_token: 'sb_whatever' })).status, 'ok');
  assert.equal((await join('14', 'user-e', { config, access_token: instance.token('authenticated') })).status, 'ok');
  assert.match((await join('15', 'user-f', { config })).response.reason, /^Unauthorized/);

  self.push('access_token', { access_token: 'sb_whatever' });
  self.push('broadcast', { type: 'broadcast', event: 'e', payload: {} });
  self.socket.sendJson([null, '20', 'phoenix', 'heartbeat', {}]);
  await until('a heartbeat', () => self.replies.get('20'));
  assert.deepEqual(self.systems, [], 'an opaque key in access_token is ignored');
  self.socket.drop();
});

test('an opaque key and claim validators', async () => {
  const self = await member(instance, 'anon-validators', { key: PUBLISHABLE, ready: false });
  await instance.set('realtime.claim_validators', `'{"iss": "x"}'`);
  await inEveryListener('tokens are refused', async () => (await refusal(instance.token())) !== 101);
  assert.equal(await refusal(PUBLISHABLE), 101);
  assert.equal(self.socket.ended, undefined);
  await instance.set('realtime.claim_validators', `''`);
  await inEveryListener('tokens are accepted', async () => (await refusal(instance.token())) === 101);
  self.socket.drop();
});

test('a key that is taken away, or gets another role, ends its clients and no other', async () => {
  const one = await member(instance, 'anon-reload', { key: PUBLISHABLE, ready: false });
  const two = await member(instance, 'anon-reload', { key: SECRET, ready: false });
  const jwt = await member(instance, 'anon-reload', { ready: false });
  await set(`${ALL}, sb_publishable_another=anon`);
  await inEveryListener('the new key', async () => (await refusal('sb_publishable_another')) === 101);
  for (const { socket } of [one, two, jwt]) {
    assert.equal(socket.ended, undefined, 'a key more harms nobody');
  }

  await set(`${SECRET}=service_role`);
  await until('it is sent away', () => one.socket.ended);
  assert.equal(one.socket.ended.code, 1012);
  assert.equal(one.systems.at(-1).message, 'Server requested disconnect');
  await inEveryListener('nobody gets in with it', async () => (await refusal(PUBLISHABLE))[1] === NOT_A_JWT);
  assert.equal(two.socket.ended, undefined);

  await set(`${SECRET}=anon`);
  await until('it is sent away', () => two.socket.ended);
  assert.equal(two.socket.ended.code, 1012);
  assert.equal(await refusal(SECRET), 101);
  assert.equal(jwt.socket.ended, undefined);
  await set('');
  await inEveryListener('none', async () => (await refusal(SECRET)) !== 101);
  await instance.rows('alter system reset realtime.api_keys');
  await instance.rows('select pg_reload_conf()');
  await inEveryListener('all again', async () => (await refusal(PUBLISHABLE)) === 101);
  jwt.socket.drop();
});

// The file and not ALTER SYSTEM: a statement that fails is logged by the server, with all that it says.
test('bad values are refused without being quoted, and change nothing', async () => {
  const bad = [
    ['sb_publishable_bad1', /Entry 1: "=" must follow the key/],
    ['sb_publishable_bad2=', /Entry 1: it names no role/],
    ['bad3_key=anon', /Entry 1: a key must begin with "sb_"/],
    ['sb_=anon', /Entry 1: its key is too short or too long/],
    ['sb_bad5=anon,', /Entry 1: nothing follows its comma/],
    ['sb_ok=anon, sb_bad6="x', /Entry 2: the quotes of its role are not closed/],
    ['sb_bad7=anon sb_more=anon', /Entry 1: a comma must follow its role/],
    ['sb_bad8=anon, sb_bad8=service_role', /Entry 1: its key is there twice/],
    [`sb_bad9=${'r'.repeat(64)}`, /Entry 1: its role is longer than a name may be/],
    [Array.from({ length: 65 }, (_, i) => `sb_bad${i}=anon`).join(), /Entry 65: there are more than 64 entries/],
  ];
  for (const [value, detail] of bad) {
    const position = await instance.logPosition();
    await appendFile(join(instance.home, 'data', 'instance.conf'), `realtime.api_keys = '${value}'\n`);
    await instance.rows('select pg_reload_conf()');
    const log = await until(`${detail}`, async () => {
      const text = await instance.logSince(position);
      return detail.test(text) && text;
    });
    assert.match(log, /invalid value for parameter "realtime\.api_keys"/);
    assert.doesNotMatch(log, /bad\d/);
    assert.equal(await refusal(PUBLISHABLE), 101);
  }
  await appendFile(join(instance.home, 'data', 'instance.conf'), `realtime.api_keys = '${ALL}'\n`);
  await instance.rows('select pg_reload_conf()');
});

test('nobody sees the keys', async () => {
  assert.equal(await instance.value('show realtime.api_keys'), '<hidden>');
  assert.deepEqual(await instance.rows(`select setting from pg_settings where name = 'realtime.api_keys'`), []);
  await instance.rows('create role plain');
  await assert.rejects(instance.rows('set role plain; show realtime.api_keys'));
  await instance.rows('reset role');

  // from none to one is what the server would log
  const secrets = ['a first secret of thirty-two bytes.', 'another secret of thirty-two bytes'];
  for (const secret of ['', ...secrets, '', instance.secret]) {
    await instance.set('realtime.jwt_secret', `'${secret}'`);
    await until('it is in use', async () =>
      (await refusal(sign({ role: 'anon', exp: 4102444800 }, secret || 'x'))) === (secret ? 101 : undefined) ||
      (!secret && (await refusal(instance.token()))[1]?.startsWith('Failed to generate JWT signer')));
    await until('the session has read it too', async () =>
      (await instance.value('show realtime.jwt_secret')) === (secret ? '<hidden>' : ''));
  }
  const log = await instance.logSince();
  for (const key of [PUBLISHABLE, SECRET, QUOTED, 'sb_publishable_another', ...secrets, instance.secret]) {
    assert.ok(!log.includes(key), log.split('\n').filter((line) => line.includes(key)).join('\n'));
  }
  assert.match(log, /invalid value for parameter "realtime\.api_keys"/, 'something is there to look through');
});
