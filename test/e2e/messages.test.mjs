// Rows of realtime.messages: which are delivered, when, and in which order.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Instance } from './lib/instance.mjs';
import { fence, health, member, running } from './lib/member.mjs';
import { until } from './lib/poll.mjs';

let instance;
let self;
before(async () => {
  instance = await Instance.start();
  self = await member(instance, 'm');
});
after(() => instance?.destroy());

const send = (event, n = 0) => `select realtime.send('{"n": ${n}}', '${event}', 'm', false);`;
const insert = (event) =>
  `insert into realtime.messages (topic, extension, event, payload, private) values ('m', 'broadcast', '${event}', '{}', false);`;

// Runs SQL and returns the events that were delivered because of it.
async function events(sql, session = instance) {
  await session.rows(sql);
  return (await fence(instance, self)).map(({ event }) => event);
}

test('send, insert, several rows, COPY, a leaf directly, session_replication_role', async () => {
  assert.deepEqual(await events(`${send('send')} ${insert('insert')}`), ['send', 'insert']);
  assert.deepEqual(
    await events(`insert into realtime.messages (topic, extension, event, payload, private)
      select 'm', 'broadcast', 'row-' || i, '{}', false from generate_series(1, 1000) i`),
    Array.from({ length: 1000 }, (_, i) => `row-${i + 1}`),
  );
  assert.deepEqual(
    await events(`copy realtime.messages (topic, extension, event, payload, private) from stdin;\n${[1, 2, 3]
      .map((i) => `m\tbroadcast\tcopy-${i}\t{}\tf\n`)
      .join('')}\\.\n`),
    ['copy-1', 'copy-2', 'copy-3'],
  );
  const leaf = await instance.value(`select tableoid::regclass from realtime.messages where event = 'insert'`);
  assert.deepEqual(await events(insert('leaf').replace('realtime.messages', leaf)), ['leaf']);
  assert.deepEqual(
    await events(`begin; set local session_replication_role = replica; ${insert('replica')} commit`),
    ['replica'],
  );
});

test('what is rolled back is never delivered, nor are UPDATE and DELETE', async () => {
  assert.deepEqual(
    await events(`
      begin; ${send('gone')} ${insert('gone')} rollback;
      ${insert('kept')}
      update realtime.messages set event = 'changed' where topic = 'm' and event = 'kept';
      delete from realtime.messages where topic = 'm' and event = 'changed'`),
    ['kept'],
  );
});

test('savepoints', async () => {
  assert.deepEqual(
    await events(`
      begin;
      ${send('1')}
      savepoint a; ${send('gone')} savepoint b; ${send('gone')} rollback to a;
      ${send('2')}
      savepoint c; ${send('3')} release c;
      savepoint d; ${send('gone')} rollback to d; ${send('4')}
      commit`),
    ['1', '2', '3', '4'],
  );
  // Each message in a subtransaction of its own, more than a backend caches.
  assert.deepEqual(
    await events(`do $$ begin
      for i in 1 .. 200 loop
        begin
          perform realtime.send('{}', 'sub-' || i, 'm', false);
          if i % 2 = 0 then raise exception 'no'; end if;
        exception when raise_exception then null; end;
      end loop; end $$`),
    Array.from({ length: 100 }, (_, i) => `sub-${2 * i + 1}`),
  );
});

test('a subtransaction whose first writes are elsewhere', async () => {
  await instance.rows('create table other (i int)');
  assert.deepEqual(
    await events(`
      begin;
      insert into other select generate_series(1, 100);
      savepoint a; insert into other values (1); savepoint b; insert into other values (2); ${send('deep')}
      release b; rollback to a;
      savepoint c; insert into other values (3); savepoint d; insert into other values (4); ${send('kept')}
      commit`),
    ['kept'],
  );
});

test('prepared transactions', async () => {
  await instance.rows(`begin; ${send('one')} ${send('two')} prepare transaction 'p'`);
  await instance.rows(`begin; ${send('gone')} prepare transaction 'q'`);
  assert.deepEqual(await events(send('before')), ['before']);
  assert.deepEqual(await events(`rollback prepared 'q'; commit prepared 'p'`), ['one', 'two']);
});

test('commit order, not the order of writing', async () => {
  const early = instance.session();
  await early.rows(`begin; ${send('early-1')}`);
  await instance.rows(`begin; ${send('late-1')} ${send('late-2')} commit`);
  await early.rows(send('early-2'));
  await early.rows('commit');
  assert.deepEqual((await fence(instance, self)).map(({ event }) => event), ['late-1', 'late-2', 'early-1', 'early-2']);
  early.close();
});

test('synchronous_commit = off is delivered soon, without help by other commits', async () => {
  for (let round = 0; round < 3; round++) {
    const began = Date.now();
    await instance.rows(`begin; set local synchronous_commit = off; ${send('async', round)} commit`);
    await until('the message', () => self.messages.length === 1, { seconds: 5 });
    assert.ok(self.messages[0].at - began < 4000, `it took ${self.messages[0].at - began} ms`);
    self.messages.length = 0;
  }
});

test('payloads that are toasted, compressed and not', async () => {
  await instance.rows(`
    select realtime.send(jsonb_build_object('v', repeat('abc', 600000)), 'compressed', 'm', false);
    select realtime.send(jsonb_build_object('v', string_agg(md5(i::text), '')), 'incompressible', 'm', false)
      from generate_series(1, 60000) i;
    select realtime.send_binary(decode(string_agg(md5(i::text), ''), 'hex'), 'binary', 'm', false)
      from generate_series(1, 60000) i`);
  const [compressed, incompressible, binary] = await fence(instance, self);
  assert.equal(compressed.payload.v, 'abc'.repeat(600000));
  const digits = await instance.value(`select md5(string_agg(md5(i::text), '')) from generate_series(1, 60000) i`);
  assert.equal(createHash('md5').update(incompressible.payload.v).digest('hex'), digits);
  assert.equal(createHash('md5').update(binary.payload.toString('hex')).digest('hex'), digits);
});

test('every message carries the id of its row', async () => {
  await instance.rows(`${send('x')} ${insert('x')}`);
  const got = await fence(instance, self);
  const rows = await instance.rows(`select id from realtime.messages where event = 'x' order by position`);
  assert.deepEqual(got.map(({ id }) => id), rows);
  assert.equal(got[0].payload.id, rows[0]);
  assert.deepEqual(got[1].payload, {});
});

test('rows that no client can get are passed over', async () => {
  assert.deepEqual(
    await events(`
      insert into realtime.messages (topic, extension, payload, private) values ('m', 'broadcast', '{}', false);
      insert into realtime.messages (topic, extension, event, private) values ('m', 'broadcast', 'no payload', false);
      insert into realtime.messages (topic, extension, event, payload, private) values ('m', 'broadcast', 'no private', '{}', null);
      ${insert('next')}`),
    ['next'],
  );
});

test('rows of one transaction that are refused take no memory', async () => {
  const { pid } = await running(instance, 'decoder');
  const peak = async () => Number(/VmHWM:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;
  await events(insert('before'));
  const before = await peak();
  assert.deepEqual(
    await events(`
      insert into realtime.messages (topic, extension, event, payload, private)
        select 'm', 'broadcast', 'large', jsonb_build_object('a', repeat('x', 4000000)), false from generate_series(1, 80);
      ${insert('next')}`),
    ['next'],
  );
  assert.ok(self.systems.some(({ message }) => /^UnableToBroadcastChanges: payload of \d+ bytes is larger/.test(message)));
  const grown = (await peak()) - before;
  assert.ok(grown < 400, `the decoder has grown by ${grown} MB`);
});

test('other topics and the private channel of the same name are apart', async () => {
  assert.deepEqual(
    await events(`
      select realtime.send('{}', 'x', 'n', false);
      select realtime.send('{}', 'x', 'M', false);
      select realtime.send('{}', 'x', 'm', true);
      ${send('mine')}`),
    ['mine'],
  );
});

test('TRUNCATE, ALTER TABLE and VACUUM FULL of a partition lose and repeat nothing', async () => {
  const leaf = await instance.value(`select tableoid::regclass from realtime.messages where topic = 'm' limit 1`);
  assert.deepEqual(await events(`vacuum full ${leaf}; ${send('after vacuum full')}`), ['after vacuum full']);
  assert.deepEqual(await events(`truncate ${leaf}; ${send('after truncate')}`), ['after truncate']);
  assert.deepEqual(
    await events(`begin; truncate ${leaf}; ${send('in one transaction')} commit`),
    ['in one transaction'],
  );
});

test('files of messages that are gone are forgotten', { timeout: 60_000 }, async () => {
  const known = async () => Number(/^\d+/.exec((await health(instance)).find(({ check }) => check === 'message_files').detail)[0]);
  await events(send('before'));
  const leaf = await instance.value(`select tableoid::regclass from realtime.messages where event = 'before' limit 1`);
  const before = await known();
  for (let round = 0; round < 5; round++) {
    assert.deepEqual(await events(`truncate ${leaf}; ${send('kept')}`), ['kept']);
  }
  const grown = await known();
  assert.ok(grown >= before + 10, `${before} files, then ${grown}`);
  // The files go with a checkpoint, the launcher finds out in its next round, and the decoder's restart point has to pass.
  await instance.rows('checkpoint');
  await instance.rows('select pg_reload_conf()');
  let now;
  await until(() => `${before} files, then ${grown}, now ${now}`, async () => {
    assert.deepEqual(await events(`${send('kept')} checkpoint`), ['kept']);
    now = await known();
    return now <= before + 2;
  }, { seconds: 30 });
});

test('messages of several topics keep the order of their commits on one connection', async () => {
  const frames = [];
  const socket = await instance.connect({
    onFrame: ({ bytes }) => bytes && frames.push(Number(/"n": (\d+)/.exec(bytes.toString('latin1'))[1])),
  });
  for (let i = 0; i < 5; i++) {
    socket.sendJson([`${i}`, `${i}`, `realtime:several-${i}`, 'phx_join', { config: {} }]);
  }
  await until('five channels', async () =>
    (await instance.value(`select count(*) from realtime.channels where topic like 'several-%'`)) === '5');
  await instance.rows(`do $$ begin
    for n in 0 .. 499 loop
      perform realtime.send(jsonb_build_object('n', n), 'e', 'several-' || (n % 5), false);
      if n % 3 = 0 then commit; end if;
    end loop; end $$`);
  await until(() => `500 messages, ${frames.length} came`, () => frames.length >= 500);
  assert.deepEqual(frames, [...Array(500).keys()]);
  socket.drop();
});
