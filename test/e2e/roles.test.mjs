// Nothing that a policy runs gets out of the role of its token, and nothing of it is left behind.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { member, running } from './lib/member.mjs';
import { until } from './lib/poll.mjs';

// evil-* is judged by the attack of the test, ordinary-* by what a question must find: the role it
// came with, and nothing of the questions before it.
const SETUP = `
  select realtime.setup_supabase();
  create extension dblink;
  create schema app; create schema evil; create schema scratch;
  grant usage on schema app, evil to public;
  grant usage, create on schema scratch to public;
  create role boss superuser; create role copier replication; create role outsider;
  create role " O'Brien, ""Bob""";
  grant usage on schema realtime, auth to outsider, " O'Brien, ""Bob""", boss, copier;
  grant select, insert on realtime.messages to outsider, " O'Brien, ""Bob""", boss, copier;

  create function public.whoami() returns text language sql as $$ select 'public' $$;
  create function evil.whoami() returns text language sql as $$ select 'evil' $$;
  create function app.whose() returns text language plpgsql as 'begin return whoami(); end';

  create function app.attack(topic text) returns boolean language sql as 'select false';
  create function app.clean() returns boolean language plpgsql stable as $$
  begin
    if current_user <> 'authenticated' then raise exception 'the role is %', current_user; end if;
    if current_setting('role') <> 'none' then raise exception 'role reads %', current_setting('role'); end if;
    if auth.jwt() ->> 'mark' is distinct from 'ordinary' then raise exception 'the claims are %', auth.jwt(); end if;
    if app.whose() <> 'public' then raise exception 'the search path is %', current_setting('search_path'); end if;
    if current_setting('app.left', true) <> '' then raise exception 'a setting was left'; end if;
    if current_setting('statement_timeout') <> '0' then raise exception 'a timeout was left'; end if;
    if exists (select from pg_prepared_statements) then raise exception 'a prepared statement was left'; end if;
    if exists (select from pg_cursors where name = 'held') then raise exception 'a cursor was left'; end if;
    if exists (select from pg_listening_channels()) then raise exception 'it listens'; end if;
    if exists (select from pg_locks where pid = pg_backend_pid() and locktype = 'advisory') then raise exception 'a lock was left'; end if;
    if pg_my_temp_schema() <> 0 then raise exception 'there are temporary objects'; end if;
    return true;
  end $$;
  create policy judge on realtime.messages for select to public
    using (case when topic like 'ordinary-%' then app.clean() when topic like 'evil-%' then app.attack(topic) else false end);
`;

let instance;
let authorizer;
before(async () => {
  instance = await Instance.start({
    settings: [
      'fsync = off',
      'realtime.authorizers = 1',
      `realtime.allowed_roles = 'anon, authenticated, boss, copier, missing, postgres, pg_read_server_files, pg_monitor, " O''Brien, ""Bob"""'`,
    ],
  });
  await instance.rows(SETUP);
  authorizer = await running(instance, 'authorizer');
});
after(() => instance?.destroy());

let number = 0;

// Joins a private topic; the reason if it was refused.
async function refusal(topic, role, claims = {}) {
  try {
    const self = await member(instance, topic, { key: instance.token(role, claims), config: { private: true }, ready: false });
    self.socket.drop();
    return undefined;
  } catch (error) {
    return error.message;
  }
}

async function ordinary() {
  assert.equal(await refusal(`ordinary-${++number}`, 'authenticated', { mark: 'ordinary' }), undefined);
}

async function sameAuthorizer() {
  assert.equal((await running(instance, 'authorizer')).pid, authorizer.pid, 'the same authorizer has answered');
}

// Only some errors of policies are logged in a second, so it is done again until it is.
async function logged(position, text, again) {
  await until(`${text} in the log`, async () => text.test(await instance.logSince(position)) || ((await again()), false), { every: 300 });
}

// The body of a function that returns whether it got out. Each attack is tried twice, so that the
// second meets what the first has left.
function attack(name, body, { declare = '', log } = {}) {
  test(name, async () => {
    await instance.rows(`create or replace function app.attack(topic text) returns boolean language plpgsql as $attack$
      ${declare}
      begin
        ${body}
      end $attack$`);
    const position = await instance.logPosition();
    for (let i = 0; i < 2; i++) {
      assert.match((await refusal(`evil-${++number}`, 'authenticated')) ?? 'the attack got out', /Unauthorized/);
      await ordinary();
    }
    if (log) {
      await logged(position, log, () => refusal(`evil-${++number}`, 'authenticated'));
    }
    assert.equal(await instance.value(`select to_regclass('public.escaped') is null and to_regclass('scratch.escaped') is null`), 't');
    await sameAuthorizer();
  });
}

const OUT = `return (select rolsuper from pg_roles where rolname = current_user);`;
const FORBIDDEN = /within security-(restricted operation|definer function)/;

attack('RESET ROLE', `reset role; ${OUT}`, { log: FORBIDDEN });
attack('SET ROLE', `set role postgres; ${OUT}`, { log: FORBIDDEN });
attack('SET LOCAL ROLE none', `set local role none; ${OUT}`, { log: FORBIDDEN });
attack('SET SESSION AUTHORIZATION', `set session authorization postgres; ${OUT}`, { log: FORBIDDEN });
attack('RESET SESSION AUTHORIZATION', `reset session authorization; ${OUT}`, { log: FORBIDDEN });
attack(`set_config('role')`, `perform set_config('role', 'postgres', false); ${OUT}`, { log: FORBIDDEN });
attack(`set_config('role'), local`, `perform set_config('role', 'none', true); ${OUT}`, { log: FORBIDDEN });
attack('RESET ALL and DISCARD ALL', `begin reset all; exception when others then null; end; execute 'discard all'; ${OUT}`);
attack('a caught error, then another try', `
  begin reset role; exception when others then null; end;
  begin set session authorization default; exception when others then null; end;
  begin perform set_config('session_authorization', 'postgres', false); exception when others then null; end;
  ${OUT}`);
attack('COMMIT inside', `commit; ${OUT}`);
attack('a temporary table that shadows another', `
  create temp table members (user_id uuid, topic text); return true;`, { log: FORBIDDEN });
attack('a temporary function', `
  execute 'create function pg_temp.whoami() returns text language sql as ''select ''''evil''''''';
  perform set_config('search_path', 'pg_temp, public', false); return false;`);
attack('a search_path for those who come after', `
  perform set_config('search_path', 'evil, public', false); return false;`);
attack('a function of its own where it may create one', `
  execute 'create function scratch.whoami() returns text language sql as ''select ''''evil''''''';
  perform set_config('search_path', 'scratch, public', false); return false;`);
attack('settings for those who come after', `
  perform set_config('app.left', 'x', false); perform set_config('request.jwt.claims', '{"role": "postgres"}', false);
  perform set_config('realtime.topic', 'ordinary-1', false); perform set_config('statement_timeout', '1', false); return false;`);
attack('advisory locks, prepared statements, LISTEN, cursors', `
  perform pg_advisory_lock(4711); perform pg_advisory_lock_shared(1, 2); execute 'prepare left_behind as select 1';
  begin execute 'listen left_behind'; exception when others then null; end;
  begin execute 'declare held cursor with hold for select 1'; exception when others then null; end;
  return false;`);
attack('the same, and an error', `
  perform pg_advisory_lock(4711); execute 'prepare left_behind as select 1'; raise exception 'on purpose';`);
attack('creating an event trigger', `
  execute 'create event trigger t on ddl_command_end execute function app.on_ddl()'; return true;`);
attack('changing its own policy', `execute 'alter table realtime.messages disable row level security'; return true;`);
attack('granting itself a role', `execute 'grant postgres to authenticated'; return true;`);
attack('pg_terminate_backend', `
  return (select bool_or(pg_terminate_backend(pid)) from pg_stat_activity where backend_type like 'realtime %');`);
attack('pg_cancel_backend of itself', `return pg_cancel_backend(pg_backend_pid());`);
attack('pg_read_file', `return pg_read_file('PG_VERSION') is not null;`);
attack('COPY to a program', `copy (select 1) to program 'true'; return true;`);
attack('LOAD', `load 'dblink'; return true;`);
attack('the secret', `return current_setting('realtime.jwt_secret') <> '';`);
attack('dblink', `
  perform dblink_exec(format('dbname=postgres user=postgres host=%s port=%s', split_part(current_setting('unix_socket_directories'), ',', 1),
    current_setting('port')), 'create table public.escaped ()'); return true;`);
attack('dblink with a name', `
  perform dblink_connect('left', format('dbname=postgres user=postgres host=127.0.0.1 port=%s', current_setting('port'))); return true;`);
attack('writing rows', `
  insert into realtime.messages (topic, event, payload, extension, private) values ('ordinary-1', 'e', '{}', 'broadcast', true); return true;`);
attack('endless recursion', `return app.attack(topic);`);
attack('a table that stays', `execute 'create table scratch.escaped (x int)'; return false;`);

test('an event trigger fires as the role of the token', async () => {
  await instance.rows(`
    create table app.seen (who text); grant insert on app.seen to public;
    create function app.on_ddl() returns event_trigger language plpgsql as $$
    begin
      begin reset role; exception when others then null; end;
      begin set session authorization default; exception when others then null; end;
      if (select rolsuper from pg_roles where rolname = current_user) then perform set_config('app.out', 'yes', true); end if;
    end $$;
    create event trigger watch on ddl_command_end execute function app.on_ddl();
    create or replace function app.attack(topic text) returns boolean language plpgsql as $$
    begin
      execute 'create table scratch.escaped (x int)';
      return current_setting('app.out', true) = 'yes';
    end $$`);
  try {
    assert.match((await refusal(`evil-${++number}`, 'authenticated')) ?? 'got out', /Unauthorized/);
    await ordinary();
    assert.equal(await instance.value(`select to_regclass('scratch.escaped') is null`), 't');
    await sameAuthorizer();
  } finally {
    await instance.rows('drop event trigger watch');
  }
});

test('a SECURITY DEFINER function ends with its call', async () => {
  await instance.rows(`
    create or replace function app.definer() returns boolean language plpgsql security definer as
      $$ begin begin reset role; exception when others then null; end; return current_user = 'postgres'; end $$;
    create or replace function app.attack(topic text) returns boolean language plpgsql as
      $$ begin if not app.definer() then raise exception 'no definer'; end if; ${OUT} end $$`);
  assert.match((await refusal(`evil-${++number}`, 'authenticated')) ?? 'got out', /Unauthorized/);
  await ordinary();
  await sameAuthorizer();
});

for (const [role, why] of [
  ['postgres', /a token can't select role "postgres"/],
  ['boss', /a token can't select role "boss"/],
  ['copier', /a token can't select role "copier"/],
  ['pg_read_server_files', /a token can't select role "pg_read_server_files"/],
  ['pg_monitor', /a token can't select role "pg_monitor"/],
  ['missing', /role "missing" does not exist/],
  ['outsider', /role "outsider" is not in realtime.allowed_roles/],
  ['AUTHENTICATED', /role "AUTHENTICATED" does not exist/],
  ['none', /role "none" does not exist/],
  ['authenticated; reset role', /does not exist/],
  ['x'.repeat(200), /does not exist/],
]) {
  test(`a token whose role is ${role.slice(0, 40)}`, async () => {
    await instance.rows('create policy open on realtime.messages for select to public using (true)');
    const position = await instance.logPosition();
    try {
      assert.match((await refusal(`open-${++number}`, role)) ?? 'it was let in', /Unauthorized: You do not have permissions to read/);
      await logged(position, why, () => refusal(`open-${++number}`, role));
      assert.equal(await refusal(`open-${++number}`, 'authenticated'), undefined);
    } finally {
      await instance.rows('drop policy open on realtime.messages');
    }
    await ordinary();
    await sameAuthorizer();
  });
}

test('a role with quotes, a comma and blanks in its name', async () => {
  const role = ` O'Brien, "Bob"`;
  await instance.rows(`create policy bob on realtime.messages for select to " O'Brien, ""Bob""" using (current_user = ' O''Brien, "Bob"')`);
  assert.equal(await refusal(`bob-${++number}`, role), undefined);
  assert.match(await refusal(`bob-${++number}`, 'authenticated'), /Unauthorized/);
});

test('an authorizer that a definer function ends is replaced, and its client is answered', async () => {
  await instance.rows(`
    create or replace function app.attack(topic text) returns boolean language plpgsql security definer as
      'begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(5); return true; end'`);
  assert.match(await refusal(`evil-${++number}`, 'authenticated'), /TooManyRequests: .*try again in \d+ ms/);
  const next = await running(instance, 'authorizer', { not: authorizer.pid });
  assert.notEqual(next.pid, authorizer.pid);
  await ordinary();
});
