// Postgres Changes on the side of the sockets: the life of a subscription, from the join that is held for it to its end,
// and who sees it in realtime.subscription.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { readFrame } from './lib/frames.mjs';
import { running } from './lib/member.mjs';
import { until } from './lib/poll.mjs';

const SUBSCRIBED = 'Subscribed to PostgreSQL';
const ALL = { event: '*', schema: 'app', table: 'items' };

const SETUP = `
  select realtime.setup_supabase();
  create schema app; grant usage on schema app to public;
  create table app.items (id int primary key, name text);
  create table app.others (id int primary key);
  grant select on app.items, app.others to anon, authenticated;
  alter publication supabase_realtime add table app.items, app.others;
  create policy reads on realtime.messages for select to authenticated using (realtime.topic() like 'open-%');
  create policy writes on realtime.messages for insert to authenticated with check (realtime.topic() like 'open-%');
`;

let instance;
before(async () => {
  instance = await Instance.start({ listeners: 2, settings: ['fsync = off'] });
  await instance.rows(SETUP);
});
after(() => instance?.destroy());

let number = 0;
const newTopic = (kind = 'sub') => `${kind}-${++number}`;
let row = 0;
const insert = async (session = instance) => {
  await session.rows(`insert into app.items values (${++row}, 'n')`);
  return row;
};

// One connection with any number of channels: everything that came, in its order.
async function client({ key, vsn = '2.0.0', of: server = instance } = {}) {
  const came = [];
  const socket = await server.connect({ key, vsn, onFrame: (frame) => came.push({ ...readFrame(frame), at: frame.at }) });
  let refs = 0;
  const push = (topic, event, payload, { joinRef = '1', ref = String(++refs) } = {}) => {
    const full = `realtime:${topic}`;
    socket.sendJson(vsn.startsWith('1') ? { topic: full, event, payload, ref } : [joinRef, ref, full, event, payload]);
    return ref;
  };
  const of = (topic) => came.filter((message) => message.topic === `realtime:${topic}`);
  const self = { socket, came, push, of };
  self.reply = (topic, ref, seconds = 10) =>
    until(() => `a reply to ${ref} on ${topic} (${JSON.stringify(of(topic))})`,
      () => of(topic).find((message) => message.event === 'phx_reply' && message.ref === ref), { seconds, every: 5 });
  self.systems = (topic) => of(topic).filter(({ event }) => event === 'system').map(({ payload }) => payload);
  self.system = (topic, test, seconds = 10) =>
    until(() => `a system message on ${topic} (${JSON.stringify(of(topic))})`, () => self.systems(topic).find(test), { seconds, every: 5 });
  self.changes = (topic) => of(topic).filter(({ event }) => event === 'postgres_changes').map(({ payload }) => payload);
  self.change = (topic, id, seconds = 10) =>
    until(() => `row ${id} on ${topic} (${JSON.stringify(of(topic))})`,
      () => self.changes(topic).find(({ data }) => data.record?.id === id), { seconds, every: 5 });
  // Joins and waits for the reply and the system message.
  self.subscribe = async (topic, entries = [ALL], { config = {}, joinRef = '1' } = {}) => {
    const ref = push(topic, 'phx_join', { config: { ...config, postgres_changes: entries } }, { joinRef });
    const reply = await self.reply(topic, ref);
    assert.equal(reply.payload.status, 'ok', JSON.stringify(reply.payload));
    await self.system(topic, ({ message }) => message === SUBSCRIBED);
    return reply.payload.response.postgres_changes.map(({ id }) => id);
  };
  return self;
}

const subscribed = () => instance.value(`select value from realtime.stats where name = 'subscribed_channels'`).then(Number);

test('a row that is inserted right after the reply is delivered, whoever is the first', async () => {
  for (let i = 0; i < 20; i++) {
    const self = await client();
    const topic = newTopic();
    const ref = self.push(topic, 'phx_join', { config: { postgres_changes: [ALL] } });
    await self.reply(topic, ref);
    const id = await insert();
    await self.change(topic, id);
    const order = self.of(topic).map(({ event }) => event);
    assert.deepEqual(order.slice(0, 2), ['phx_reply', 'system'], JSON.stringify(order));
    self.socket.drop();
  }
});

// A transaction that is older than the change stream keeps it from starting: every join waits for it.
describe('while the stream can\'t start', () => {
  let blocker;
  const open = [];
  const waiting = async (options) => {
    const self = await client(options);
    open.push(self);
    return self;
  };
  before(async () => {
    await instance.restart();
    blocker = instance.session();
    await blocker.rows('begin; select txid_current()');
  });

  test('a topic whose join is held waits, and other topics and heartbeats go on', async () => {
    const self = await waiting();
    const held = newTopic('held');
    const began = Date.now();
    const join = self.push(held, 'phx_join', { config: { broadcast: { ack: true, self: true }, postgres_changes: [ALL] } });
    const cast = self.push(held, 'broadcast', { type: 'broadcast', event: 'e', payload: {} });
    const other = newTopic('other');
    await self.reply(other, self.push(other, 'phx_join', { config: {} }), 2);
    self.socket.sendJson([null, 'beat', 'phoenix', 'heartbeat', {}]);
    await until('a heartbeat', () => self.came.some(({ ref }) => ref === 'beat'), { seconds: 2 });
    assert.deepEqual(self.of(held), []);
    assert.equal((await self.reply(held, join, 8)).payload.status, 'ok');
    assert.ok(Date.now() - began >= 4500, `${Date.now() - began} ms`);
    const waits = await self.system(held, ({ status }) => status === 'error');
    assert.equal(waits.extension, 'postgres_changes');
    assert.match(waits.message, /^Changes are not delivered yet: .*transaction \d+/);
    await self.reply(held, cast);
    const events = self.of(held).map(({ event, ref }) => `${event} ${ref ?? ''}`.trim());
    assert.deepEqual(events, [`phx_reply ${join}`, 'system', 'broadcast', `phx_reply ${cast}`]);
  });

  test('clients that vanish leave nothing behind', async () => {
    const before = await subscribed();
    const gone = await Promise.all(Array.from({ length: 20 }, () => client()));
    for (const self of gone) {
      for (let i = 0; i < 10; i++) {
        self.push(newTopic('gone'), 'phx_join', { config: { postgres_changes: [ALL] } });
      }
    }
    await until('they are counted', async () => (await subscribed()) === before + 200);
    for (const self of gone) {
      self.socket.drop();
    }
    await until('they have ended', async () => (await subscribed()) === before);
  });

  test('joins that are held count as channels, and all go on in the end', async () => {
    const self = await waiting();
    const joins = Array.from({ length: 103 }, () => {
      const topic = newTopic('many');
      return [topic, self.push(topic, 'phx_join', { config: { postgres_changes: [ALL] } })];
    });
    for (const [topic, ref] of joins.slice(-3)) {
      assert.deepEqual((await self.reply(topic, ref, 3)).payload.response, { reason: 'ChannelRateLimitReached: Too many channels' });
    }
    // one that takes the place of a channel does not count
    const full = await waiting();
    const topics = Array.from({ length: 100 }, () => newTopic('full'));
    await Promise.all(topics.map(async (topic) => full.reply(topic, full.push(topic, 'phx_join', { config: {} }))));
    const again = topics.slice(0, 3).map((topic) => full.push(topic, 'phx_join', { config: { postgres_changes: [ALL] } }, { joinRef: '2' }));
    await blocker.rows('commit');
    for (const [topic, ref] of joins.slice(0, -3)) {
      assert.equal((await self.reply(topic, ref)).payload.status, 'ok');
      await self.system(topic, ({ message }) => message === SUBSCRIBED);
    }
    for (const [i, ref] of again.entries()) {
      assert.equal((await full.reply(topics[i], ref)).payload.status, 'ok');
    }
    const id = await insert();
    for (const [topic] of joins.slice(0, -3)) {
      await self.change(topic, id);
    }
    // who was told that it has to wait is told now, and gets the row as well
    const topic = open[0].came.map((message) => message.topic).find((full) => full?.startsWith('realtime:held-')).slice('realtime:'.length);
    await open[0].system(topic, ({ message }) => message === SUBSCRIBED);
    await open[0].change(topic, id);
    for (const client of open) {
      client.socket.drop();
    }
  });
});

test('one wrong entry refuses all of them, and the channel stays', async () => {
  const self = await client();
  const topic = newTopic();
  const ref = self.push(topic, 'phx_join', { config: { broadcast: { ack: true }, postgres_changes: [ALL, { ...ALL, filter: 'nope=eq.1' }] } });
  assert.equal((await self.reply(topic, ref)).payload.status, 'ok');
  const refused = await self.system(topic, ({ status }) => status === 'error');
  assert.equal(refused.extension, 'postgres_changes');
  assert.match(refused.message, /^Unable to subscribe to changes with given parameters/);
  await insert();
  const cast = self.push(topic, 'broadcast', { type: 'broadcast', event: 'e', payload: {} });
  assert.equal((await self.reply(topic, cast)).payload.status, 'ok');
  const sure = newTopic();
  await self.subscribe(sure);
  await self.change(sure, await insert());
  assert.deepEqual(self.changes(topic), []);
  assert.equal(await instance.value(`select count(*) from realtime.subscription where topic = '${topic}'`), '0');
  self.socket.drop();
});

test('subscriptions end with their channel, whatever ends it', async () => {
  await until('nobody subscribes', async () => (await subscribed()) === 0);
  const self = await client();
  const topics = [newTopic(), newTopic(), newTopic(), newTopic()];
  for (const topic of topics) {
    await self.subscribe(topic);
  }
  await until('four are counted', async () => (await subscribed()) === 4);
  await self.reply(topics[0], self.push(topics[0], 'phx_leave', {}));
  await until('one has left', async () => (await subscribed()) === 3);
  // a token that is no good ends the channel
  self.push(topics[1], 'access_token', { access_token: 'no token' });
  await until('another has ended', async () => (await subscribed()) === 2);
  // joined again: the old one ends, the new one gets each change once
  const ref = self.push(topics[2], 'phx_join', { config: { postgres_changes: [ALL] } }, { joinRef: '7' });
  await self.reply(topics[2], ref);
  await until('the old one has ended', () => self.of(topics[2]).some(({ event }) => event === 'phx_close'));
  assert.equal(await subscribed(), 2);
  const id = await insert();
  await self.change(topics[2], id);
  await self.change(topics[3], id);
  await insert();
  await until('the next change', () => self.changes(topics[2]).length === 2);
  assert.deepEqual(self.changes(topics[2]).map(({ data }) => data.record.id), [id, id + 1]);
  assert.deepEqual(self.changes(topics[0]), []);
  assert.deepEqual(self.changes(topics[1]), []);
  self.socket.drop();
  await until('all have ended', async () => (await subscribed()) === 0);
});

test('a new token subscribes again, under its claims', async () => {
  const self = await client();
  const topic = newTopic();
  await self.subscribe(topic);
  self.push(topic, 'access_token', { access_token: instance.token('authenticated', { sub: 'someone' }) });
  await until('a second message', () => self.systems(topic).filter(({ message }) => message === SUBSCRIBED).length === 2);
  assert.equal(
    await instance.value(`select claims_role || ' ' || (claims ->> 'sub') from realtime.subscription where topic = '${topic}'`),
    'authenticated someone',
  );
  await self.change(topic, await insert());
  // the same again is no news
  self.push(topic, 'access_token', { access_token: instance.token('authenticated', { sub: 'someone' }) });
  await self.change(topic, await insert());
  assert.equal(self.systems(topic).length, 2);
  self.socket.drop();
});

test('a private channel keeps the rights that it was judged to have', async () => {
  const self = await client({ key: instance.token('authenticated', { sub: 'x' }) });
  const topic = newTopic('open');
  await self.subscribe(topic, [ALL], { config: { private: true, broadcast: { self: true, ack: true } } });
  const cast = self.push(topic, 'broadcast', { type: 'broadcast', event: 'e', payload: {} });
  assert.equal((await self.reply(topic, cast)).payload.status, 'ok');
  assert.ok(self.of(topic).some(({ event }) => event === 'broadcast'));
  await self.change(topic, await insert());
  const closed = newTopic('closed');
  const ref = self.push(closed, 'phx_join', { config: { private: true, postgres_changes: [ALL] } });
  assert.equal((await self.reply(closed, ref)).payload.status, 'error');
  self.socket.drop();
});

test('clients of both versions, and of equal and different entries, get what is theirs', async () => {
  const one = await client();
  const old = await client({ vsn: '1.0.0' });
  const topic = newTopic();
  const [all] = await one.subscribe(topic, [ALL]);
  const [inserts, again, deletes] = await old.subscribe(topic, [{ ...ALL, event: 'INSERT' }, ALL, { ...ALL, event: 'DELETE' }]);
  const id = await insert();
  assert.deepEqual((await one.change(topic, id)).ids, [all]);
  assert.equal(again, all);
  assert.deepEqual((await old.change(topic, id)).ids, [inserts, all].sort((a, b) => a - b));
  await instance.rows(`delete from app.items where id = ${id}`);
  const deleted = (self) => until('a delete', () => self.changes(topic).find(({ data }) => data.type === 'DELETE'));
  assert.deepEqual((await deleted(one)).ids, [all]);
  assert.deepEqual((await deleted(old)).ids, [deletes, all].sort((a, b) => a - b));
  one.socket.drop();
  old.socket.drop();
});

test('the worker and the listeners may crash: who is subscribed stays so, or is told', async () => {
  const self = await client();
  const topic = newTopic();
  await self.subscribe(topic);
  const before = await running(instance, 'changes');
  const seen = self.systems(topic).length;
  await instance.rows(`select pg_terminate_backend(${before.pid})`);
  await running(instance, 'changes', { not: before.pid });
  await until(() => JSON.stringify(self.systems(topic)),
    () => self.systems(topic).slice(seen).at(-1)?.message === SUBSCRIBED, { seconds: 20 });
  await self.change(topic, await insert());
  for (const { pid } of (await instance.rows(`select pid from realtime.workers where kind = 'realtime listener'`)).map((pid) => ({ pid }))) {
    await instance.rows(`select pg_terminate_backend(${pid})`);
  }
  await until('nobody is counted', async () => (await subscribed()) === 0);
  const back = await until('a listener', () => client().catch(() => undefined), { seconds: 20 });
  const next = newTopic();
  await back.subscribe(next);
  await back.change(next, await insert());
  assert.equal(await instance.value('select count(*) from realtime.subscription'), '1');
  back.socket.drop();
});

test('a listener that was lapped meanwhile asks again for what its clients subscribe', async () => {
  const small = await Instance.start({ listeners: 1, settings: ['fsync = off', 'realtime.bus_size = 16MB'] });
  try {
    await small.rows(SETUP);
    const self = await client({ of: small });
    const topic = newTopic();
    await self.subscribe(topic);
    const worker = await running(small, 'changes');
    const seen = self.systems(topic).length;
    const stopped = Number(await small.value(`select pid from realtime.workers where kind = 'realtime listener'`));
    process.kill(stopped, 'SIGSTOP');
    try {
      await small.rows(`select pg_terminate_backend(${worker.pid})`);
      await running(small, 'changes', { not: worker.pid });
      await small.rows(`select realtime.send(jsonb_build_object('text', repeat('x', 400000)), 'e', 'flood', false) from generate_series(1, 60)`);
      await until('they are on the bus', async () =>
        Number(await small.value(`select value from realtime.stats where name = 'broadcasts_from_database'`)) >= 60, { seconds: 20 });
    } finally {
      process.kill(stopped, 'SIGCONT');
    }
    await until(() => JSON.stringify(self.systems(topic)),
      () => self.systems(topic).slice(seen).at(-1)?.message === SUBSCRIBED, { seconds: 20 });
    assert.match(self.systems(topic)[seen].message, /^Messages were lost: the server fell behind/);
    await self.change(topic, await insert(small));
    self.socket.drop();
  } finally {
    await small.destroy();
  }
});

test('entries that are too large together are refused, and the channel stays', async () => {
  const self = await client();
  const entry = { ...ALL, filter: `name=eq.${'x'.repeat(1_000_000)}` };
  const topic = newTopic('big');
  const ref = self.push(topic, 'phx_join', { config: { postgres_changes: [entry, entry] } });
  assert.equal((await self.reply(topic, ref)).payload.status, 'ok');
  const refused = await self.system(topic, ({ status }) => status === 'error');
  assert.match(refused.message, /^Unable to subscribe to changes with given parameters: .* too large$/);
  await self.subscribe(newTopic());
  self.socket.drop();
});

test('realtime.subscription shows a caller only what his role may see', async () => {
  await instance.rows(`create role clerk; grant authenticated to clerk; grant usage on schema realtime to clerk;
    grant select on realtime.subscription to clerk; grant execute on function realtime.list_subscriptions() to clerk;
    create role warden; grant pg_monitor to warden; create role stranger; grant usage on schema realtime to stranger`);
  await until('nobody subscribes', async () => (await subscribed()) === 0);
  const alice = await client({ key: instance.token('authenticated', { sub: 'alice', email: 'a@example.com' }) });
  const bob = await client({ key: instance.token('authenticated', { sub: 'bob' }) });
  const nobody = await client();
  await alice.subscribe('view-alice', [{ ...ALL, event: 'insert', filter: 'id=eq.1', select: ['id', 'name'] }, { event: '*', schema: 'app' }]);
  await bob.subscribe('view-bob', [{ ...ALL, event: 'UPDATE' }]);
  await nobody.subscribe('view-anon', [{ event: 'DELETE', schema: 'app', table: 'others' }]);
  const seen = async (role, settings = '') => {
    const session = instance.session();
    await session.rows(`set role ${role}; ${settings}`);
    return (await session.rows(`select concat_ws('|', topic, entity, action_filter, filters, selected_columns, claims_role, claims ->> 'sub')
      from realtime.subscription order by 1`));
  };
  const everything = [
    'view-alice|app.items|*|authenticated|alice',
    'view-alice|app.items|INSERT|id=eq.1|{id,name}|authenticated|alice',
    'view-alice|app.others|*|authenticated|alice',
    'view-anon|app.others|DELETE|anon',
    'view-bob|app.items|UPDATE|authenticated|bob',
  ];
  assert.deepEqual(await seen('warden'), everything);
  assert.deepEqual(await seen('postgres'), everything);
  const ofUsers = everything.filter((line) => line.includes('authenticated')).map((line) => line.replace(/\|[a-z]+$/, ''));
  assert.deepEqual(await seen('clerk'), ofUsers);
  assert.deepEqual(await seen('authenticated'), ofUsers);
  assert.deepEqual(await seen('authenticated', `set request.jwt.claims = '{"sub": "bob"}'`), everything.filter((line) => line.startsWith('view-bob')));
  assert.deepEqual(await seen('authenticated', `set request.jwt.claims = '{"role": "authenticated"}'`), []);
  assert.deepEqual(await seen('authenticated', `set request.jwt.claims = 'no json'`), []);
  assert.deepEqual(await seen('authenticated', `set "request.jwt.claim.sub" = 'alice'`), everything.filter((line) => line.startsWith('view-alice')));
  assert.deepEqual(await seen('anon', `set request.jwt.claims = '{"sub": "bob"}'`), []);
  assert.deepEqual(await seen('service_role'), []);
  for (const sql of ['select * from realtime.subscription', 'select * from realtime.list_subscriptions()']) {
    await assert.rejects(instance.session().rows(`set role stranger; ${sql}`), /permission denied/);
  }
  // no token, whole or in part
  const text = await instance.value(`select string_agg(s::text, '') from realtime.subscription s`);
  assert.doesNotMatch(text, /eyJ/);
  for (const self of [alice, bob, nobody]) {
    self.socket.drop();
  }
});

test('a thousand entries of a hundred channels are shown, page by page, each once', async () => {
  const self = await client();
  const topics = Array.from({ length: 100 }, () => newTopic('page'));
  const entries = Array.from({ length: 100 }, (_, i) => ({ ...ALL, filter: `id=eq.${i}` }));
  for (const topic of topics) {
    self.push(topic, 'phx_join', { config: { postgres_changes: entries } });
  }
  for (const topic of topics) {
    await self.system(topic, ({ message }) => message === SUBSCRIBED, 30);
  }
  assert.equal(await instance.value(`select count(*) || ' ' || count(distinct (topic, filters)) || ' ' || count(distinct subscription_id)
    from realtime.subscription where topic like 'page-%'`), '10000 10000 10000');
  self.socket.drop();
});
