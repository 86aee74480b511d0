// As an extension should: versions, dumps, pg_upgrade, standbys, and databases that come and go.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { catalog } from './lib/catalog.mjs';
import { Instance } from './lib/instance.mjs';
import { request } from './lib/http.mjs';
import { fence, health, member, workers } from './lib/member.mjs';
import { until } from './lib/poll.mjs';

const run = promisify(execFile);
const SQL = new URL('../../sql/', import.meta.url);

// Runs a program of the server as the user that the server runs as, which is not root.
async function asServer(instance, program, args, { cwd = '/', env = {}, seconds = 180 } = {}) {
  const command = [join(instance.bindir, program), ...args];
  if (process.getuid() === 0) {
    command.unshift('runuser', '-u', 'postgres', '--');
  }
  const options = { cwd, env: { ...process.env, LC_ALL: 'C', ...env }, timeout: seconds * 1000, maxBuffer: 64 << 20 };
  try {
    return await run(command[0], command.slice(1), options);
  } catch (error) {
    throw new Error(`${program}: ${error.stdout}${error.stderr}${error.message}`);
  }
}

const where = (instance, database = 'postgres') => ['-h', instance.pgHost, '-p', String(instance.pgPort), '-U', 'postgres', '-d', database];

const serves = (instance) =>
  until('it answers', async () => (await request(instance.port, { path: '/healthcheck' }, 2)).status === 200, { seconds: 60 });

// All that is in realtime.messages, wherever it lies.
const messages = (session) =>
  session.rows(`select row(position, id, topic, extension, event, payload, binary_payload, private, inserted_at, updated_at)
    from realtime.messages order by position`);

// Messages of three days and one that has no partition, and policies that let anon into the topics that begin with "open-".
async function fill(session) {
  await until('partitions', async () =>
    Number(await session.value(`select count(*) from pg_inherits where inhparent = 'realtime.messages'::regclass`)) >= 5);
  await session.rows(`
    create function public.is_open(topic text) returns boolean language sql stable return topic like 'open-%';
    create policy reading on realtime.messages for select to anon using (public.is_open((select realtime.topic())));
    create policy writing on realtime.messages for insert to anon with check (extension = 'broadcast' and public.is_open(topic));
    insert into realtime.messages (topic, extension, event, payload, private, inserted_at)
      select 'open-' || i, 'broadcast', 'e', jsonb_build_object('i', i), true, now() at time zone 'utc' - interval '1 day' + i * interval '1 hour'
      from generate_series(1, 40) i;
    insert into realtime.messages (topic, extension, event, binary_payload) values ('bytes', 'broadcast', 'e', '\\x00ff');
    insert into realtime.messages (topic, extension, event, inserted_at) values ('late', 'broadcast', 'e', now() at time zone 'utc' + interval '9 days');`);
}

// anon gets into open- and nowhere else, and gets what is published there.
async function policiesWork(instance) {
  const config = { private: true };
  const self = await member(instance, 'open-x', { config });
  await assert.rejects(member(instance, 'closed', { config, ready: false }), /refused/);
  await instance.rows(`select realtime.send('{}', 'hello', 'open-x')`);
  await until('the message', () => self.messages.some(({ event }) => event === 'hello'));
  self.socket.drop();
}

describe('versions', () => {
  let instance;
  before(async () => {
    instance = await Instance.start({ extension: false, settings: ['fsync = off'] });
  });
  after(() => instance?.destroy());

  // The catalog of a new database in which this was run.
  async function catalogAfter(name, sql) {
    await instance.rows(`create database ${name}`);
    const session = instance.session({ database: name });
    await session.rows(sql);
    const lines = await catalog(session);
    session.close();
    return lines;
  }

  test('each update gives the catalog of a fresh install', async () => {
    const names = (await readdir(SQL)).map((name) => name.match(/^realtime--(.+)\.sql$/)?.[1]).filter(Boolean);
    const steps = names.filter((name) => name.includes('--')).map((name) => name.split('--'));
    const newest = await instance.value(`select default_version from pg_available_extensions where name = 'realtime'`);
    const versions = [...new Set(steps.flat())];
    assert.ok(steps.length > 0 && versions.includes(newest), `there is a step to ${newest}`);
    const fresh = new Map();
    let number = 0;
    for (const version of versions) {
      fresh.set(version, await catalogAfter(`fresh_${++number}`, `create extension realtime version '${version}'`));
    }
    for (const [from, to] of steps) {
      const updated = await catalogAfter(`updated_${++number}`,
        `create extension realtime version '${from}'; alter extension realtime update to '${to}'`);
      assert.deepEqual(updated, fresh.get(to), `${from} to ${to}`);
    }
    for (const version of versions.filter((name) => names.includes(name))) {
      const updated = await catalogAfter(`newest_${++number}`,
        `create extension realtime version '${version}'; alter extension realtime update`);
      assert.deepEqual(updated, fresh.get(newest), `${version} to the newest`);
    }
  });

  test('the comparison sees what differs', async () => {
    const fresh = await catalogAfter('differs_0', 'create extension realtime');
    let number = 0;
    for (const sql of [
      `comment on view realtime.stats is 'x'`,
      `comment on column realtime.messages.topic is 'x'`,
      'alter function realtime.topic() volatile',
      'revoke select on realtime.stats from pg_monitor',
      'grant execute on function realtime.health() to public',
      'alter table realtime.messages alter topic drop not null',
      'alter table realtime.messages disable trigger realtime_note_message_file',
      'alter extension realtime drop view realtime.stats',
      'create index on realtime.messages (topic)',
      `update pg_extension set extcondition[1] = 'where false' where extname = 'realtime'`,
    ]) {
      assert.notDeepEqual(await catalogAfter(`differs_${++number}`, `create extension realtime; ${sql}`), fresh, sql);
    }
  });

  test('an update where it is served ends no client', async () => {
    await instance.rows(`create extension realtime version '1.0'; select realtime.setup_supabase()`);
    await serves(instance);
    const self = await member(instance, 'update');
    await instance.rows('alter extension realtime update');
    assert.deepEqual(await fence(instance, self), []);
    assert.equal(self.socket.ended, undefined);
    self.socket.drop();
  });

  test('CREATE EXTENSION in another database says so', async () => {
    await instance.rows('create database elsewhere');
    const session = instance.session({ database: 'elsewhere' });
    const { notices } = await session.run('create extension realtime');
    assert.match(notices.join('\n'), /WARNING: +database "elsewhere" is not served: realtime.database is "postgres"\nHINT: .*realtime\.database.*restart/);
    session.close();
    await instance.rows('drop database elsewhere');
  });

  test('CREATE EXTENSION in the database that is served warns of nothing', async () => {
    const { notices } = await instance.sql('drop extension realtime; create extension realtime');
    assert.deepEqual(notices, []);
  });
});

describe('dump and restore', () => {
  let from;
  let to;
  before(async () => {
    from = await Instance.start({ settings: ['fsync = off'] });
    to = await Instance.start({ extension: false, settings: ['fsync = off'] });
    await fill(from);
  });
  after(async () => {
    await from?.destroy();
    await to?.destroy();
  });

  test('messages, policies and the position come back', async () => {
    const file = join(from.home, 'dump');
    const expected = await messages(from);
    assert.equal(expected.length, 42);
    await asServer(from, 'pg_dump', [...where(from), '-Fc', '-f', file]);
    await to.rows('create role anon nologin; create role authenticated nologin; create role service_role nologin bypassrls');
    await asServer(to, 'pg_restore', [...where(to), '--exit-on-error', '-j', '2', file]);
    await serves(to);
    assert.deepEqual(await messages(to), expected);
    const policies = `select polname, polcmd, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid) from pg_policy order by 1`;
    assert.deepEqual(await to.rows(policies), await from.rows(policies));
    assert.deepEqual(await catalog(to), await catalog(from));
    const last = Number(await from.value('select max(position) from realtime.messages'));
    assert.equal(Number(await to.value(`insert into realtime.messages (topic, extension) values ('next', 'broadcast') returning position`)), last + 1);
    await policiesWork(to);
    assert.equal(await to.value('select (select count(*) from realtime.dumped_messages) + (select count(*) from realtime.policies)'), '0');
  });

  test('restored messages are not delivered again, and those that are there are left alone', async () => {
    const file = join(from.home, 'data.sql');
    await asServer(from, 'pg_dump', [...where(from), '--data-only', '-f', file]);
    await to.rows(`delete from realtime.messages where topic <> 'open-7'`);
    const self = await member(to, 'bytes');
    await asServer(to, 'psql', [...where(to), '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', file]);
    assert.deepEqual(await fence(to, self), []);
    assert.deepEqual((await messages(to)).filter((row) => !/fence/.test(row)), await messages(from));
    // The same row by any other way is delivered.
    await to.rows(`insert into realtime.messages (topic, extension, event, payload) values ('bytes', 'broadcast', 'again', '{}')`);
    assert.deepEqual((await fence(to, self)).map(({ event }) => event), ['again']);
    self.socket.drop();
  });

  test('who is no superuser dumps without schema realtime', async () => {
    await from.rows('create role plain login; create database plain owner plain');
    const session = from.session({ database: 'plain' });
    await session.rows('create extension realtime; set role plain; create table public.mine as select 7 as seven');
    session.close();
    const args = where(from, 'plain').map((word) => (word === 'postgres' ? 'plain' : word));
    const { stdout } = await asServer(from, 'pg_dump', [...args, '-N', 'realtime']);
    assert.match(stdout, /CREATE EXTENSION IF NOT EXISTS realtime/);
    assert.match(stdout, /COPY public\.mine/);
    await assert.rejects(asServer(from, 'pg_dump', args), /permission denied for schema realtime|privilege on the sequence/);
  });

  test('a partition that somebody has attached is dumped once', async () => {
    const file = join(from.home, 'attached.dump');
    await from.rows(`create table public.old (like realtime.messages including all);
      alter table public.old alter position drop identity if exists;
      alter table realtime.messages attach partition public.old for values from ('2020-01-01') to ('2020-02-01');
      insert into realtime.messages (topic, extension, inserted_at) values ('old', 'broadcast', '2020-01-15')`);
    // Its indexes come with the attaching, so that those of the dump would be in the way, here as with any such table.
    await asServer(from, 'pg_dump', [...where(from), '-Fc', '--section=pre-data', '--section=data', '-f', file]);
    await from.rows('create database restored');
    await asServer(from, 'pg_restore', [...where(from, 'restored'), '--exit-on-error', file]);
    const session = from.session({ database: 'restored' });
    assert.deepEqual(await messages(session), await messages(from));
    assert.equal(await session.value('select count(*) from public.old'), '1');
    session.close();
  });
});

test('pg_upgrade', async () => {
  // Both have the partitions of the same days, also over midnight.
  const settings = ['fsync = off', 'log_min_messages = debug1', `realtime.partition_clock = '${new Date().toISOString().slice(0, 10)} 12:00:00'`];
  const old = await Instance.start({ settings });
  const fresh = await Instance.start({ extension: false, settings });
  try {
    await fill(old);
    const rows = await messages(old);
    const before = await catalog(old, { days: true });
    const policies = `select polname, polcmd, polroles::regrole[], pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid) from pg_policy order by 1`;
    const had = await old.rows(policies);
    await old.stop();
    await fresh.stop();
    const started = await fresh.logPosition();
    await asServer(old, 'pg_upgrade', ['-b', old.bindir, '-B', old.bindir, '-d', join(old.home, 'data'), '-D', join(fresh.home, 'data'),
      '-p', String(old.pgPort), '-P', String(fresh.pgPort), '-U', 'postgres', '-s', fresh.home, '--retain'], { cwd: fresh.home });

    // While it upgrades, there are no workers; a normal start has them.
    const registers = /registering background worker "realtime launcher"/;
    const { stdout: logs } = await run('grep', ['-rlE', 'database system is ready', join(fresh.home, 'data', 'pg_upgrade_output.d')]);
    const { stdout: text } = await run('cat', logs.trim().split('\n'));
    assert.match(text, /DEBUG:  loaded library "realtime"/);
    assert.doesNotMatch(text, registers);
    await fresh.restart();
    await serves(fresh);
    assert.match(await fresh.logSince(started), registers);

    assert.deepEqual(await messages(fresh), rows);
    assert.deepEqual(await fresh.rows(policies), had);
    assert.deepEqual(await catalog(fresh, { days: true }), before);
    const last = Number(await fresh.value('select max(position) from realtime.messages'));
    assert.equal(Number(await fresh.value(`insert into realtime.messages (topic, extension) values ('next', 'broadcast') returning position`)), last + 1);
    await policiesWork(fresh);
    await until('health() is well', async () => (await health(fresh)).every(({ ok }) => ok));
  } finally {
    await old.destroy();
    await fresh.destroy();
  }
});

test('on a standby the workers wait and say so, until it is promoted', async () => {
  const primary = await Instance.start({ settings: ['fsync = off'] });
  let standby;
  try {
    standby = await Instance.start({
      extension: false,
      settings: ['fsync = off'],
      prepare: async (dir) => {
        await mkdir(dir, { recursive: true });
        if (process.getuid() === 0) {
          await run('chown', ['postgres', dir]);
        }
        await asServer(primary, 'pg_basebackup', [...where(primary).slice(0, 6), '-D', join(dir, 'data'), '-R', '-c', 'fast', '-X', 'stream']);
      },
    });
    assert.equal(await standby.value('select pg_is_in_recovery()'), 't');
    const rows = await health(standby);
    const recovery = rows.find(({ check }) => check === 'recovery');
    assert.equal(recovery.ok, false);
    assert.match(recovery.detail, /standby/);
    assert.match(recovery.hint, /primary/);
    const unwell = rows.filter(({ ok }) => !ok);
    assert.deepEqual(unwell.filter(({ hint }) => !/primary|row recovery/.test(hint)), [], 'every row leads there');
    assert.ok(unwell.some(({ check }) => check === 'launcher'));
    const waiting = await workers(standby);
    assert.equal(waiting.length, 7);
    assert.ok(waiting.every(({ state, pid }) => state === 'waiting' && pid === null), JSON.stringify(waiting));
    assert.equal(await standby.value('select count(*) from realtime.connections'), '0');
    await assert.rejects(request(standby.port, { path: '/healthcheck' }, 2));

    // What the primary publishes is replayed here, and nothing more is logged.
    await primary.rows(`select realtime.send('{}', 'e', 't') from generate_series(1, 100)`);
    const lsn = await primary.value('select pg_current_wal_lsn()');
    await until('it is replayed', async () => (await standby.value(`select pg_last_wal_replay_lsn() >= '${lsn}'`)) === 't');
    assert.equal(await standby.value('select count(*) from realtime.messages'), '100');
    const said = (await standby.logSince()).split('\n').filter((line) => /realtime/.test(line));
    assert.equal(said.length, 1, said.join('\n'));
    assert.match(said[0], /LOG: .*the workers wait for the end of recovery/);

    await standby.rows('select pg_promote()');
    await serves(standby);
    const self = await member(standby, 'promoted');
    await standby.rows(`select realtime.send('{}', 'x', 'promoted', false)`);
    assert.deepEqual((await fence(standby, self)).map(({ event }) => event), ['x']);
    self.socket.drop();
    let last;
    await until(() => `health() is well: ${JSON.stringify(last)}`, async () => {
      last = await health(standby);
      return last.every(({ ok }) => ok);
    });
    assert.ok((await workers(standby)).every(({ kind, state }) => state === (/change/.test(kind) ? 'sleeping' : 'running')));
  } finally {
    await standby?.destroy();
    await primary.destroy();
  }
});

test('DROP DATABASE of the database that is served names the way', async () => {
  const instance = await Instance.start({ extension: false, settings: ['fsync = off', `realtime.database = 'app'`] });
  let stopped;
  try {
    await instance.rows('create database app');
    const app = instance.session({ database: 'app' });
    await app.rows('create extension realtime; select realtime.setup_supabase()');
    await serves(instance);
    stopped = Number(await until('the decoder', () => app.value(`select pid from realtime.workers where kind = 'realtime decoder' and state = 'running'`)));
    app.close();
    await until('our session has ended', async () =>
      (await instance.value(`select count(*) from pg_stat_activity where datname = 'app' and backend_type = 'client backend'`)) === '0');
    const drops = instance.session({ options: '-c client_min_messages=notice' });

    process.kill(stopped, 'SIGSTOP');
    const hung = (await drops.run('drop database app', 30)).notices.join('\n');
    process.kill(stopped, 'SIGCONT');
    stopped = undefined;
    assert.match(hung, /NOTICE: +database "app" is the one that realtime serves/);
    assert.match(hung, /HINT: .*realtime\.database/);
    assert.match(hung, /WARNING: +1 worker process(es)? of realtime ha(s|ve) not left/);
    assert.match(hung, /HINT: .*Try again/);
    assert.match(hung, /ERROR: .*is being accessed by other users|ERROR: .*used by an active logical replication slot/);

    await until('it can be dropped', async () => !(await drops.run('drop database app', 30)).notices.join('\n').includes('ERROR'), { seconds: 60 });
    let last;
    await until(() => `the log says that it is gone: ${last}`, async () => {
      last = await instance.logSince();
      return /database "app" does not exist[^]*HINT: .*realtime\.database/.test(last);
    });
    drops.close();
  } finally {
    if (stopped !== undefined) {
      process.kill(stopped, 'SIGCONT');
    }
    await instance.destroy();
  }
});
