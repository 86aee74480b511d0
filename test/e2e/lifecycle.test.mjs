// What a client may do on a private channel, from its join to its end: when tokens, policies and
// memberships change.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { readFrame } from './lib/frames.mjs';
import { member } from './lib/member.mjs';
import { pause, until } from './lib/poll.mjs';

const ALICE = '11111111-1111-4111-8111-111111111111';
const BOB = '22222222-2222-4222-8222-222222222222';
const NO_READ = (topic) => `You do not have permissions to read from this Channel topic: ${topic}`;
const READ_LOST = (topic) => `You no longer have permission to read from this Channel topic: ${topic}`;
const NO_WRITE = 'Unauthorized: You do not have permissions to write to this Channel topic';

// Rows of app.rights say who may do what; no policy sees that they change until it is asked again.
const SETUP = `
  select realtime.setup_supabase();
  create schema app; grant usage on schema app to public;
  create role club; create role temp_bypasser; create role clubber;
  grant usage on schema realtime, auth to temp_bypasser, clubber;
  grant select, insert on realtime.messages to temp_bypasser, clubber;
  create table app.rights (sub text, topic text, extension text default 'broadcast', reads boolean default true, writes boolean default true);
  grant select on app.rights to public;
  create policy reads on realtime.messages for select to authenticated using (exists (
    select 1 from app.rights r where r.sub = (select auth.uid())::text and r.topic = (select realtime.topic())
      and r.extension = messages.extension and r.reads));
  create policy writes on realtime.messages for insert to authenticated with check (exists (
    select 1 from app.rights r where r.sub = (select auth.uid())::text and r.topic = (select realtime.topic())
      and r.extension = messages.extension and r.writes));
  create policy slow on realtime.messages for select to authenticated using (topic like 'slow-%' and pg_sleep(0.3) is not null);
  create policy slow_writes on realtime.messages for insert to authenticated with check (topic like 'slow-%' and pg_sleep(0.1) is not null);
`;

let instance;
before(async () => {
  instance = await Instance.start({
    listeners: 2,
    settings: ['fsync = off', `realtime.allowed_roles = 'anon, authenticated, service_role, temp_bypasser, clubber'`],
  });
  await instance.rows(SETUP);
  await digested();
});
after(() => instance?.destroy());

let number = 0;
const newTopic = (kind = 'life') => `${kind}-${++number}`;
const tokenOf = (sub, claims = {}, role = 'authenticated') => instance.token(role, { sub, ...claims });
const grant = (sub, topic, { extension = 'broadcast', reads = true, writes = true } = {}) =>
  instance.rows(`insert into app.rights values ('${sub}', '${topic}', '${extension}', ${reads}, ${writes})`);

const join = (topic, { sub = ALICE, key = tokenOf(sub), config = {}, vsn } = {}) =>
  member(instance, topic, { key, vsn, ready: false, config: { private: true, broadcast: { ack: true, ...config.broadcast }, presence: config.presence } });

async function send(self, event = 'e') {
  const ref = self.push('broadcast', { type: 'broadcast', event, payload: { event } });
  return until(`an answer to ${event}`, () => self.replies.get(ref));
}
const ok = async (self, event) => assert.deepEqual(await send(self, event), { status: 'ok', response: {} });
const denied = async (self, event) => assert.deepEqual(await send(self, event), { status: 'error', response: { reason: NO_WRITE } });
const closed = (self, seconds = 5) => until(() => `the end of ${self.topic}`, () => self.others.find(({ event }) => event === 'phx_close'), { seconds, every: 5 });

// Waits until no DDL is left that the authorizers have not heard of: rights that are known then stay so.
async function digested() {
  await until('rights stay known', async () => {
    const topic = newTopic();
    await grant(ALICE, topic, { writes: false });
    const self = await join(topic);
    await denied(self, 'known');
    await instance.rows(`update app.rights set writes = true where topic = '${topic}'`);
    let known = true;
    for (const end = Date.now() + 1000; known && Date.now() < end; await pause(50)) {
      known = (await send(self, 'x')).status === 'error';
    }
    self.socket.drop();
    return known;
  }, { seconds: 20 });
}

describe('the right to write', () => {
  test('is asked for at the first push and kept until the token changes', async () => {
    const topic = newTopic();
    await grant(ALICE, topic, { writes: false });
    const self = await join(topic);
    await denied(self, 'before');
    await instance.rows(`update app.rights set writes = true where topic = '${topic}'`);
    await denied(self, 'kept');
    self.push('access_token', { access_token: tokenOf(ALICE, { another: 1 }) });
    await ok(self, 'granted');
    await instance.rows(`update app.rights set writes = false where topic = '${topic}'`);
    await ok(self, 'kept too');
    self.push('access_token', { access_token: tokenOf(ALICE, { another: 2 }) });
    await denied(self, 'taken');
    self.socket.drop();
  });

  for (const vsn of ['2.0.0', '1.0.0']) {
    test(`without an ack a denied push is told at most once a second, ${vsn}`, async () => {
      const topic = newTopic();
      await grant(ALICE, topic, { writes: false });
      await grant(BOB, topic);
      const self = await join(topic, { vsn, config: { broadcast: { ack: false } } });
      const other = await join(topic, { sub: BOB });
      for (let i = 0; i < 50; i++) {
        self.push('broadcast', { type: 'broadcast', event: 'denied', payload: {} });
      }
      const counted = () => self.systems.map(({ message }) => Number(/\((\d+) messages? refused\)$/.exec(message)?.[1] ?? NaN));
      await until(() => `50 refusals, ${JSON.stringify(self.systems)}`, () => counted().reduce((sum, n) => sum + n, 0) === 50);
      assert.ok(self.systems.length <= 3, JSON.stringify(self.systems));
      for (const { status, extension, message, channel } of self.systems) {
        assert.ok(message.startsWith(NO_WRITE));
        assert.deepEqual([status, extension, channel], ['error', 'system', topic]);
      }
      await ok(other, 'allowed');
      await until('the allowed one', () => self.messages.length > 0);
      assert.deepEqual(self.messages.map(({ event }) => event), ['allowed']);
      assert.deepEqual(other.messages, []);
      self.socket.drop();
      other.socket.drop();
    });
  }
});

describe('access_token', () => {
  for (const resume of [undefined, {}]) test(`a gained right to read starts delivery${resume ? ', with resume' : ''}`, async () => {
    const topic = newTopic();
    await grant(ALICE, topic, { extension: 'presence' });
    await grant(BOB, topic);
    const self = await join(topic, { config: { presence: { enabled: true }, broadcast: { resume } } });
    const other = await join(topic, { sub: BOB });
    await ok(other, 'unseen');
    await grant(ALICE, topic);
    self.push('access_token', { access_token: tokenOf(ALICE, { another: 1 }) });
    await ok(self, 'own');
    await ok(other, 'seen');
    await until('what may be read now', () => self.messages.length > 0);
    assert.deepEqual(self.messages.map(({ event }) => event), ['seen']);
    self.socket.drop();
    other.socket.drop();
  });

  for (const how of ['access_token', 'reauthorize']) test(`a gained right to presence brings the state first: ${how}`, async () => {
    const topic = newTopic();
    await grant(ALICE, topic);
    await grant(BOB, topic, { extension: 'presence' });
    const self = await join(topic, { config: { presence: { enabled: true } } });
    const other = await join(topic, { sub: BOB, config: { presence: { enabled: true, key: 'bob' } } });
    const track = async (n) => {
      const ref = other.push('presence', { type: 'presence', event: 'track', payload: { n } });
      await until('its track', () => other.replies.get(ref)?.status === 'ok');
    };
    const told = () => self.others.filter(({ event }) => /^presence/.test(event)).map(({ event, payload }) => [event, (payload.bob ?? payload.joins?.bob)?.metas[0].n]);
    await track(1);
    assert.deepEqual(told(), []);
    await grant(ALICE, topic, { extension: 'presence' });
    if (how === 'access_token') {
      self.push('access_token', { access_token: tokenOf(ALICE, { another: 1 }) });
    } else {
      await instance.rows(`select realtime.reauthorize('${topic}')`);
    }
    await until('the state', () => told().length > 0);
    await track(2);
    await until('the change of it', () => told().length > 1);
    assert.deepEqual(told(), [['presence_state', 1], ['presence_diff', 2]]);
    self.socket.drop();
    other.socket.drop();
  });

  test('one right of two lost ends the channel, and so does the last', async () => {
    for (const [left, text] of [['presence', READ_LOST], ['nothing', NO_READ]]) {
      const topic = newTopic();
      await grant(ALICE, topic);
      await grant(ALICE, topic, { extension: 'presence' });
      const self = await join(topic, { config: { presence: { enabled: true } } });
      await instance.rows(`delete from app.rights where topic = '${topic}' and extension <> '${left}'`);
      self.push('access_token', { access_token: tokenOf(ALICE, { another: 1 }) });
      await closed(self);
      assert.deepEqual(self.systems.map(({ message }) => message), [text(topic)]);
      self.socket.drop();
    }
  });

  test('the token of somebody who may not read ends the channel', async () => {
    const topic = newTopic();
    await grant(ALICE, topic);
    const self = await join(topic);
    self.push('access_token', { access_token: tokenOf(BOB) });
    await closed(self);
    assert.deepEqual(self.systems.map(({ message }) => message), [NO_READ(topic)]);
    self.socket.drop();
  });

  test('the same token again, null and opaque keys are ignored', async () => {
    const topic = newTopic();
    const key = tokenOf(ALICE);
    await grant(ALICE, topic);
    const self = await join(topic, { key });
    await instance.rows(`delete from app.rights where topic = '${topic}'`);
    for (const access_token of [key, null, 'sb_publishable_x']) {
      self.push('access_token', { access_token });
    }
    await denied(self, 'still joined');
    assert.deepEqual(self.systems, []);
    self.socket.drop();
  });

  test('a channel ends within a second of exp', async () => {
    const topic = newTopic();
    await grant(ALICE, topic);
    const exp = Math.floor(Date.now() / 1000) + 3;
    const self = await join(topic, { key: tokenOf(ALICE, { exp }) });
    await ok(self, 'before');
    await closed(self);
    assert.match(self.systems[0].message, /^Token has expired \d seconds? ago$/);
    const late = self.systems[0].at - exp * 1000;
    assert.ok(late >= 0 && late < 3000, `${late} ms after exp`);
    self.socket.drop();
  });

  test('a token in time keeps the channel', async () => {
    const topic = newTopic();
    await grant(ALICE, topic);
    const exp = Math.floor(Date.now() / 1000) + 2;
    const self = await join(topic, { key: tokenOf(ALICE, { exp }) });
    self.push('access_token', { access_token: tokenOf(ALICE) });
    await until('the first token is out of date', () => Date.now() > (exp + 1) * 1000);
    await ok(self, 'alive');
    assert.deepEqual(self.systems, []);
    self.socket.drop();
  });
});

describe('DDL', () => {
  // before: what lets it in; ddl: what takes that away; after: as it was.
  const LOSSES = [
    ['DROP POLICY', { before: 'create policy p on realtime.messages for select to authenticated using (true)', ddl: 'drop policy p on realtime.messages' }],
    ['ALTER POLICY', { before: 'create policy p on realtime.messages for select to authenticated using (true)', ddl: 'alter policy p on realtime.messages using (false)', after: 'drop policy p on realtime.messages' }],
    ['ALTER POLICY TO', { before: 'create policy p on realtime.messages for select to authenticated using (true)', ddl: 'alter policy p on realtime.messages to anon', after: 'drop policy p on realtime.messages' }],
    ['CREATE POLICY, restrictive', { before: 'create policy p on realtime.messages for select to authenticated using (true)', ddl: `create policy q on realtime.messages as restrictive for select to authenticated using (topic not like 'ddl-%')`, after: 'drop policy p on realtime.messages; drop policy q on realtime.messages' }],
    ['REVOKE on the table', { role: 'service_role', ddl: 'revoke select on realtime.messages from service_role', after: 'grant select on realtime.messages to service_role' }],
    ['REVOKE of the schema', { role: 'service_role', ddl: 'revoke usage on schema realtime from service_role', after: 'grant usage on schema realtime to service_role' }],
    ['REVOKE of a role', { role: 'clubber', before: 'create policy p on realtime.messages for select to club using (true); grant club to clubber', ddl: 'revoke club from clubber', after: 'drop policy p on realtime.messages' }],
    ['ALTER ROLE', { role: 'temp_bypasser', before: 'alter role temp_bypasser bypassrls', ddl: 'alter role temp_bypasser nobypassrls' }],
    ['ALTER TABLE … FORCE', { role: 'temp_bypasser', before: 'alter table realtime.messages owner to temp_bypasser', ddl: 'alter table realtime.messages force row level security', after: 'alter table realtime.messages no force row level security; alter table realtime.messages owner to postgres' }],
    ['CREATE OR REPLACE FUNCTION', {
      before: `create or replace function app.lets_in() returns boolean language plpgsql as 'begin return true; end';
        create policy p on realtime.messages for select to authenticated using (app.lets_in())`,
      ddl: `create or replace function app.lets_in() returns boolean language plpgsql as 'begin return false; end'`,
      after: 'drop policy p on realtime.messages',
    }],
    ['CREATE OR REPLACE FUNCTION, in a sub-select', {
      before: `create or replace function app.lets_in() returns boolean language sql stable as 'select true';
        create policy p on realtime.messages for select to authenticated using ((select app.lets_in()))`,
      ddl: `create or replace function app.lets_in() returns boolean language sql stable as 'select false'`,
      after: 'drop policy p on realtime.messages',
    }],
    ['REVOKE EXECUTE', {
      before: `create or replace function app.lets_in() returns boolean language plpgsql as 'begin return true; end';
        create policy p on realtime.messages for select to authenticated using (app.lets_in())`,
      ddl: 'revoke execute on function app.lets_in() from public',
      after: 'drop policy p on realtime.messages; drop function app.lets_in()',
    }],
    ['a policy of a table in a sub-select', {
      before: `create table app.other as select 1 as x; grant select on app.other to public;
        create policy p on realtime.messages for select to authenticated using (exists (select 1 from app.other))`,
      ddl: 'alter table app.other enable row level security',
      after: 'drop policy p on realtime.messages; drop table app.other',
    }],
    ['REVOKE on a table in a sub-select', {
      before: `create table app.other as select 1 as x; grant select on app.other to public;
        create policy p on realtime.messages for select to authenticated using (exists (select 1 from app.other))`,
      ddl: 'revoke select on app.other from public',
      after: 'drop policy p on realtime.messages; drop table app.other',
    }],
    ['CREATE OR REPLACE VIEW', {
      before: `create view app.seen as select 1 as x; grant select on app.seen to public;
        create policy p on realtime.messages for select to authenticated using (exists (select 1 from app.seen))`,
      ddl: 'create or replace view app.seen as select 1 as x where false',
      after: 'drop policy p on realtime.messages; drop view app.seen',
    }],
    ['a role leaves realtime.allowed_roles', {
      role: 'service_role',
      ddl: `alter system set realtime.allowed_roles = 'anon, authenticated, temp_bypasser, clubber'; select pg_reload_conf()`,
      after: 'alter system reset realtime.allowed_roles; select pg_reload_conf()',
    }],
  ];

  for (const [name, { role = 'authenticated', before: prepare = '', ddl, after: undo = '' }] of LOSSES) {
    test(`${name} ends joined channels`, async () => {
      const topic = newTopic('ddl');
      await instance.rows(prepare);
      const self = await join(topic, { key: tokenOf(ALICE, {}, role) });
      try {
        // alter system doesn't run in a block; the others do their work when they commit.
        await instance.rows(ddl);
        const done = Date.now();
        await closed(self);
        assert.deepEqual(self.systems.map(({ message }) => message), [NO_READ(topic)]);
        const late = self.systems[0].at - done;
        assert.ok(late < 3000, `${late} ms after the statement`);
      } finally {
        await instance.rows(undo);
        self.socket.drop();
      }
    });
  }

  test('a lost right to write shows at the next push, a gained one too', async () => {
    const topic = newTopic('ddl');
    await instance.rows(`create policy p on realtime.messages for all to authenticated using (topic like 'ddl-%')`);
    const self = await join(topic);
    await ok(self, 'first');
    await instance.rows(`alter policy p on realtime.messages with check (false)`);
    await until('the right is lost', async () => (await send(self, 'later')).status === 'error', { seconds: 3 });
    await denied(self, 'lost');
    await instance.rows(`alter policy p on realtime.messages with check (true)`);
    await until('the right is back', async () => (await send(self, 'again')).status === 'ok', { seconds: 3 });
    await instance.rows('drop policy p on realtime.messages');
    await closed(self);
    self.socket.drop();
  });

  test('DDL that takes nothing away is not noticed by a joined channel', async () => {
    const topic = newTopic();
    await grant(ALICE, topic);
    const self = await join(topic, { config: { broadcast: { self: true } } });
    for (let i = 0; i < 5; i++) {
      await ok(self, `m${i}`);
      await instance.rows(`create policy p on realtime.messages for select to anon using (true)`);
      await ok(self, `n${i}`);
      await instance.rows(`drop policy p on realtime.messages; create function app.f() returns int language sql as 'select 1'; drop function app.f()`);
    }
    const judged = await join(newTopic('slow'));
    await ok(self, 'last');
    assert.deepEqual(self.systems, []);
    assert.equal(self.messages.length, 11);
    self.socket.drop();
    judged.socket.drop();
  });

  test('a change that is not committed is none', async () => {
    const topic = newTopic();
    await grant(ALICE, topic);
    const self = await join(topic);
    const session = instance.session();
    await session.rows('begin; delete from app.rights; revoke usage on schema realtime from authenticated');
    try {
      // A question that is answered while it is open, and channels that are judged again.
      (await join(newTopic('slow'))).socket.drop();
      await instance.rows('select realtime.reauthorize()');
      await ok(self, 'still there');
    } finally {
      await session.rows('rollback');
      session.close();
    }
    assert.deepEqual(self.systems, []);
    self.socket.drop();
  });

  test('what is changed and changed back is noticed if anybody was judged in between', async () => {
    for (let i = 0; i < 3; i++) {
      await digested();
      const [topic, between] = [newTopic(), newTopic()];
      await grant(ALICE, topic, { writes: false });
      await grant(ALICE, between);
      const self = await join(topic);
      await denied(self, 'right is known');
      await instance.rows(`update app.rights set writes = true where topic = '${topic}'`);
      await denied(self, 'still known');
      await instance.rows('create policy p on realtime.messages for select to anon using (true)');
      (await join(between)).socket.drop();
      await instance.rows('drop policy p on realtime.messages');
      // It is judged again, so the right to write is asked for anew.
      await until('it is noticed', async () => (await send(self, 'x')).status === 'ok');
      self.socket.drop();
    }
  });
});

describe('reauthorize', () => {
  before(digested);

  test('takes effect at commit, for one topic', async () => {
    const [topic, other] = [newTopic(), newTopic()];
    for (const name of [topic, other]) {
      await grant(ALICE, name);
    }
    const [self, bystander] = [await join(topic), await join(other)];
    const session = instance.session();
    await ok(bystander, 'right is known');
    await session.rows(`begin; delete from app.rights where topic in ('${topic}', '${other}'); select realtime.reauthorize('${topic}')`);
    await ok(self, 'before the commit');
    await session.rows('commit');
    await closed(self);
    assert.deepEqual(self.systems.map(({ message }) => message), [NO_READ(topic)]);
    await ok(bystander, 'not asked');
    assert.deepEqual(bystander.systems, []);
    await instance.rows('select realtime.reauthorize()');
    await closed(bystander);
    session.close();
    self.socket.drop();
    bystander.socket.drop();
  });

  test('not at a rollback', async () => {
    const topic = newTopic();
    await grant(ALICE, topic);
    const self = await join(topic);
    await ok(self, 'right is known');
    await instance.rows(`update app.rights set writes = false where topic = '${topic}'`);
    await instance.rows(`begin; select realtime.reauthorize('${topic}'); select realtime.reauthorize(); rollback`);
    // Had it been judged again, the right to write would be asked for anew.
    for (let i = 0; i < 10; i++) {
      await ok(self, 'still known');
      await pause(50);
    }
    await instance.rows(`select realtime.reauthorize('${topic}')`);
    await until('it is judged again', async () => (await send(self, 'x')).status === 'error');
    self.socket.drop();
  });

  test('from a trigger on the table of memberships', async () => {
    await instance.rows(`
      create function app.rights_changed() returns trigger language plpgsql security definer as $$
        begin perform realtime.reauthorize(old.topic); return null; end $$;
      create trigger rights_changed after update or delete on app.rights for each row execute function app.rights_changed()`);
    try {
      const topic = newTopic();
      await grant(ALICE, topic);
      await grant(BOB, topic);
      const [alice, bob] = [await join(topic), await join(topic, { sub: BOB })];
      await instance.rows(`delete from app.rights where topic = '${topic}' and sub = '${ALICE}'`);
      await closed(alice);
      await ok(bob, 'stays');
      assert.deepEqual(bob.systems, []);
      await instance.rows(`update app.rights set writes = false where topic = '${topic}'`);
      await until('the right to write is lost', async () => (await send(bob, 'x')).status === 'error');
      alice.socket.drop();
      bob.socket.drop();
    } finally {
      await instance.rows('drop trigger rights_changed on app.rights');
    }
  });

  test('reaches a join that is just being judged', async () => {
    const topic = newTopic('slow');
    const session = instance.session();
    const joining = join(topic);
    await until('the question is being answered', async () => Number(await instance.value(
      `select count(*) from pg_stat_activity where backend_type = 'realtime authorizer' and wait_event = 'PgSleep'`)) > 0, { every: 5 });
    await session.rows(`alter policy slow on realtime.messages using (topic like 'slow-%' and topic <> '${topic}' and pg_sleep(0.3) is not null)`);
    try {
      const self = await joining.catch(({ message }) => {
        assert.ok(message.includes(`"Unauthorized: ${NO_READ(topic)}"`), message);
      });
      if (self) {
        await closed(self);
        assert.deepEqual(self.systems.map(({ message }) => message), [NO_READ(topic)]);
        self.socket.drop();
      }
    } finally {
      await session.rows(`alter policy slow on realtime.messages using (topic like 'slow-%' and pg_sleep(0.3) is not null)`);
      session.close();
    }
  });

  test('of very many channels at once, other clients join as ever', async () => {
    const sockets = [];
    let answered = 0;
    await instance.rows(`create policy crowd on realtime.messages for select to authenticated using (topic like 'crowd-%')`);
    for (let c = 0; c < 30; c++) {
      const socket = await instance.connect({ key: tokenOf(ALICE), onFrame: (frame) => (answered += readFrame(frame).event === 'phx_reply') });
      for (let i = 0; i < 90; i++) {
        socket.sendJson(['1', '1', `realtime:crowd-${c}-${i}`, 'phx_join', { config: { private: true } }]);
        if (i % 30 === 29) {
          const expected = c * 90 + i + 1;
          await until(() => `${expected} answers, ${answered} came`, () => answered >= expected);
        }
      }
      sockets.push(socket);
    }
    assert.equal(await instance.value(`select count(*) from realtime.channels where topic like 'crowd-%'`), '2700');
    await instance.rows('select realtime.reauthorize()');
    for (let i = 0; i < 10; i++) {
      const topic = newTopic();
      await grant(ALICE, topic);
      (await join(topic)).socket.drop();
    }
    await instance.rows('drop policy crowd on realtime.messages');
    await until('all are gone', async () => (await instance.value(`select count(*) from realtime.channels where topic like 'crowd-%'`)) === '0', { seconds: 60 });
    sockets.forEach((socket) => socket.drop());
  });
});

describe('disconnect', () => {
  const ended = (self) => until('the end of the connection', () => self.socket.ended);

  test('by topic, with a reason', async () => {
    const [topic, other] = [newTopic(), newTopic()];
    for (const sub of [ALICE, BOB]) {
      await grant(sub, topic);
      await grant(sub, other);
    }
    const members = [await join(topic), await join(topic, { sub: BOB })];
    const bystander = await join(other);
    assert.equal(await instance.value(`select realtime.disconnect(topic => '${topic}', reason => 'moved house')`), '2');
    for (const self of members) {
      await ended(self);
      assert.deepEqual(self.systems.map(({ message }) => message), ['moved house']);
    }
    await ok(bystander, 'stays');
    assert.equal(await instance.value(`select realtime.disconnect(topic => '${topic}')`), '0');
    bystander.socket.drop();
  });

  test('by sub, by both, and all', async () => {
    const topic = newTopic();
    await grant(ALICE, topic);
    await grant(BOB, topic);
    const [alice, bob, third] = [await join(topic), await join(topic, { sub: BOB }), await join(topic, { sub: BOB })];
    assert.equal(await instance.value(`select realtime.disconnect(sub => '${ALICE}', topic => 'elsewhere')`), '0');
    assert.equal(await instance.value(`select realtime.disconnect(sub => '${ALICE}')`), '1');
    await ended(alice);
    assert.deepEqual(alice.systems.map(({ message }) => message), ['Server requested disconnect']);
    await ok(bob, 'stays');
    assert.equal(await instance.value(`select realtime.disconnect(sub => '${BOB}', topic => '${topic}')`), '2');
    await ended(bob);
    await ended(third);
    const last = await join(topic);
    const open = Number(await instance.value('select count(*) from realtime.connections'));
    assert.ok(open >= 1);
    assert.equal(Number(await instance.value('select realtime.disconnect()')), open);
    await ended(last);
  });
});

describe('order while a question waits', () => {
  for (const vsn of ['2.0.0', '1.0.0']) {
    test(`one burst is handled in its order, ${vsn}`, async () => {
      const frames = [];
      const socket = await instance.connect({ vsn, key: tokenOf(ALICE), onFrame: (frame) => frames.push(readFrame(frame)) });
      const [topic, open] = [newTopic('slow'), newTopic('open')];
      const push = (name, ref, event, payload) =>
        socket.sendJson(vsn === '2.0.0' ? ['1', ref, name, event, payload] : { topic: name, event, payload, ref, join_ref: '1' });
      const config = { broadcast: { ack: true, self: true } };
      push(`realtime:${open}`, 'open', 'phx_join', { config });
      push(`realtime:${topic}`, 'join', 'phx_join', { config: { ...config, private: true } });
      push(`realtime:${open}`, 'o0', 'broadcast', { type: 'broadcast', event: 'o0', payload: {} });
      for (let i = 0; i < 20; i++) {
        push(`realtime:${topic}`, `m${i}`, 'broadcast', { type: 'broadcast', event: `m${i}`, payload: {} });
      }
      push('phoenix', 'hb', 'heartbeat', {});
      push(`realtime:${topic}`, 'leave', 'phx_leave', {});
      push(`realtime:${topic}`, 'after', 'broadcast', { type: 'broadcast', event: 'after', payload: {} });
      await until(() => `all answers: ${JSON.stringify(frames.map(({ ref, event }) => ref ?? event))}`, () => frames.some(({ ref }) => ref === 'after'));
      socket.drop();

      const on = (name) => frames.filter((frame) => frame.topic === name);
      const seen = on(`realtime:${topic}`).map(({ event, ref, payload }) =>
        event === 'broadcast' ? `copy ${payload.event}` : event === 'phx_reply' ? `${payload.status} ${ref}` : event);
      assert.deepEqual(seen, [
        'ok join',
        ...Array.from({ length: 20 }, (_, i) => [`copy m${i}`, `ok m${i}`]).flat(),
        'ok leave',
        'phx_close',
        'error after',
      ]);
      const place = (test) => frames.findIndex(test);
      const joined = place(({ ref }) => ref === 'join');
      assert.ok(place(({ ref }) => ref === 'hb') < joined, 'the heartbeat does not wait');
      assert.ok(place(({ ref }) => ref === 'o0') < joined, 'nor does another topic');
    });
  }
});
