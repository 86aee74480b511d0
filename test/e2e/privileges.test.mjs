// Who may do and see what.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { member } from './lib/member.mjs';
import { until } from './lib/poll.mjs';
import { token } from './lib/tokens.mjs';

let instance;
before(async () => {
  instance = await Instance.start({ settings: ['fsync = off', 'max_connections = 50'] });
});
after(() => instance?.destroy());

// The SQLSTATE that a statement of a role fails with, or undefined.
async function failureOf(role, sql) {
  const session = instance.session();
  try {
    await session.rows(`\\set VERBOSITY verbose\nset role ${role}`);
    const { notices } = await session.run(sql);
    const failure = notices.find((line) => /^(ERROR|FATAL):/.test(line));
    return failure && /^\w+:\s+(\w{5}):/.exec(failure)?.[1];
  } finally {
    session.close();
  }
}

const PUBLIC = ['send', 'send_binary', 'broadcast_changes', 'topic'];
// Granted by setup_supabase(); list_subscriptions decides by itself what its caller sees.
const API = [...PUBLIC, 'list_subscriptions'];

for (const role of ['anon', 'authenticated', 'service_role']) {
  test(`${role} reaches nothing administrative`, async () => {
    for (const sql of [
      'show realtime.jwt_secret',
      `select current_setting('realtime.jwt_secret')`,
      `set realtime.partition_clock = '2020-01-01'`,
      'select * from realtime.connections',
      'select * from realtime.channels',
      'select * from realtime.presence',
      'select * from realtime.workers',
      'select * from realtime.stats',
      'select * from realtime.health()',
      `select realtime.issue_token('service_role')`,
      'select realtime.setup_supabase()',
      'select realtime.maintain_partitions()',
      'alter system set realtime.port = 1',
    ]) {
      assert.equal(await failureOf(role, sql), '42501', sql);
    }
    assert.equal(await instance.value(`set role ${role}; select count(*) from pg_settings where name = 'realtime.jwt_secret'; reset role`), '0');
  });

  test(`${role} may execute only what is meant for everybody, and read no leaf directly`, async () => {
    const functions = await instance.rows(`select distinct proname from pg_proc
      where pronamespace = 'realtime'::regnamespace and has_function_privilege('${role}', oid, 'execute') order by 1`);
    assert.deepEqual(functions, [...API].sort());
    const relations = await instance.rows(`select relname from pg_class
      where relnamespace = 'realtime'::regnamespace and relkind in ('r', 'p', 'v', 'S', 'm')
        and (has_table_privilege('${role}', oid, 'select, insert, update, delete, truncate, references, trigger'))`);
    assert.deepEqual(relations.sort(), ['messages', 'subscription']);
  });
}

test('a function that is not meant for everybody stays so for a role made later', async () => {
  await instance.rows('create role newcomer');
  const functions = await instance.rows(`select distinct proname from pg_proc
    where pronamespace = 'realtime'::regnamespace and has_function_privilege('newcomer', oid, 'execute') order by 1`);
  assert.deepEqual(functions, [...PUBLIC].sort());
  assert.equal(await failureOf('newcomer', 'select realtime.topic()'), '42501', 'no USAGE on the schema');
});

test('row level security holds for publishing', async () => {
  assert.equal(await failureOf('anon', `select realtime.send('{}', 'e', 't', false)`), '42501');
  await instance.rows(`create policy "anon may publish to open-*" on realtime.messages for insert to anon
    with check (topic like 'open-%')`);
  assert.equal(await failureOf('anon', `select realtime.send('{}', 'e', 'open-1', false)`), undefined);
  assert.equal(await failureOf('anon', `select realtime.send('{}', 'e', 'closed', false)`), '42501');
  assert.equal(await failureOf('anon', `select realtime.send_binary('x', 'e', 'closed', false)`), '42501');
  assert.equal(await failureOf('service_role', `select realtime.send('{}', 'e', 'closed', false)`), undefined);
});

test('pg_monitor sees the views and health(), and no token', async () => {
  const secretToken = instance.token('authenticated', { sub: 'somebody' });
  const self = await member(instance, 'watched', { key: secretToken });
  await instance.rows('create role watcher in role pg_monitor');
  const session = instance.session();
  await session.rows('set role watcher');
  const seen = [];
  for (const view of ['connections', 'channels', 'workers', 'stats']) {
    seen.push(...(await session.rows(`select row_to_json(v) from realtime.${view} v`)));
  }
  seen.push(...(await session.rows('select row_to_json(h) from realtime.health() h')));
  session.close();
  const text = seen.join('\n');
  assert.match(text, /"role":"authenticated"/);
  assert.match(text, /"sub":"somebody"/);
  assert.match(text, /"topic":"watched"/);
  assert.ok(!text.includes(secretToken) && !text.includes(secretToken.split('.')[2]));
  assert.ok(!text.includes(instance.secret));
  // pg_monitor may read all settings; what it reads of this one is not the secret.
  assert.equal(await instance.value('set role watcher; show realtime.jwt_secret; reset role'), '<hidden>');
  self.socket.drop();
});

test('the secret is in no log line and no error', async () => {
  const position = await instance.logPosition();
  const short = 'a-short-secret-of-ours';
  const other = 'another-secret-with-more-than-32-bytes-0123456789';
  const { notices } = await instance.sql(`alter system set realtime.jwt_secret = '${short}'`);
  assert.ok(notices.some((line) => line.startsWith('ERROR:')), 'a secret below 32 bytes is refused');
  assert.ok(!notices.join('\n').includes(short));
  await instance.set('realtime.jwt_secret', `'${other}'`);
  await until('the new secret holds', async () => (await instance.connect({ key: token('anon', other) })).drop() ?? true);
  await instance.set('realtime.jwt_secret', `'${instance.secret}'`);
  const log = await instance.logSince(position);
  // The server logs statements that fail as they are: that is log_min_error_statement, not ours.
  const own = log.split('\n').filter((line) => !/STATEMENT:|alter system/i.test(line)).join('\n');
  for (const secret of [short, other, instance.secret]) {
    assert.ok(!own.includes(secret), own);
  }
});
