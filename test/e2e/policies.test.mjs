// Policies of every shape on realtime.messages: what the server lets a client do is what PostgreSQL
// itself allows that role with those settings.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { running } from './lib/member.mjs';
import { readFrame } from './lib/frames.mjs';
import { RawSocket } from './lib/socket.mjs';
import { until } from './lib/poll.mjs';

const USER = '11111111-1111-4111-8111-111111111111';
const CLAIMS = { sub: USER, org: 'acme', teams: [1, 2], app_metadata: { plan: 'pro', rooms: ['a', 'b'] } };
const HEADERS = { 'x-team': 'red' };

const SETUP = `
  select realtime.setup_supabase();
  create role plain; create role noinherit_member noinherit; create role inherit_member; create role club;
  create role bypasser bypassrls; create role owner_role; create role "My ""odd"" role";
  grant club to inherit_member, noinherit_member;
  grant usage on schema realtime, auth, public to plain, noinherit_member, inherit_member, club, bypasser, owner_role, "My ""odd"" role";
  grant select, insert on realtime.messages to plain, noinherit_member, inherit_member, bypasser, "My ""odd"" role";
  create schema app; grant usage on schema app to public;

  create table app.members (user_id uuid, topic text, level int default 1);
  insert into app.members select '${USER}', 'room:' || n || ':1', n % 3 from generate_series(0, 99) n;
  insert into app.members select gen_random_uuid(), 'lobby:' || n || ':2' from generate_series(0, 99) n;
  create index on app.members (user_id, topic);
  grant select on app.members to public;

  create table app.guarded (user_id uuid, topic text);
  insert into app.guarded select user_id, topic from app.members;
  alter table app.guarded enable row level security;
  create policy own on app.guarded for select to authenticated using (user_id = (select auth.uid()));
  grant select on app.guarded to public;

  create table app.closed (user_id uuid, topic text);
  insert into app.closed select user_id, topic from app.members;

  create view app.my_rooms as select m.topic from app.members m where m.user_id = auth.uid();
  grant select on app.my_rooms to public;
  create view app.their_rooms with (security_invoker = true) as select topic from app.closed where user_id = auth.uid();
  grant select on app.their_rooms to public;

  create function app.is_member(t text) returns boolean language sql stable security definer set search_path = ''
    as 'select exists (select 1 from app.closed c where c.user_id = auth.uid() and c.topic = t)';
  create function app.is_member_plpgsql(t text) returns boolean language plpgsql stable
    as 'begin return exists (select 1 from app.members m where m.user_id = auth.uid() and m.topic = t); end';
  create function app.is_room(t text) returns boolean language sql immutable as $$ select t like 'room:%' $$;
  create function app.fails(t text) returns boolean language plpgsql
    as $$ begin if t like 'room:%' then raise exception 'no entry to %', t using errcode = 'P0042'; end if; return true; end $$;
  create function app.hidden() returns boolean language sql stable as 'select true';
  revoke execute on function app.hidden() from public;
  create function app.hidden_plpgsql() returns boolean language plpgsql stable as 'begin return true; end';
  revoke execute on function app.hidden_plpgsql() from public;
  create function app.calls_itself(n int) returns boolean language plpgsql as 'begin return app.calls_itself(n + 1); end';
  create function app.writes(t text) returns boolean language plpgsql
    as $$ begin insert into app.log values (t); return (select count(*) from app.log) > 0; end $$;
  create table app.log (t text); grant select, insert on app.log to public;
  create type app.kind as enum ('room', 'lobby');
  create domain app.short as text check (length(value) < 8);
  create function app.set_returning() returns setof text language sql stable as $$ values ('broadcast'), ('nothing') $$;
  create function app.row_is_room(m realtime.messages) returns boolean language sql stable as $$ select m.topic like 'room:%' $$;
`;

// Each gives the policies for reading, or for writing: policy() knows which.
//   before, after   what else is done around the case
//   role            whose token it is (authenticated)
//   readOnly        the case can't let a reader in and a writer out
const CASES = [
  ['nothing at all', () => ''],
  ['true', (policy) => policy('true')],
  ['false', (policy) => policy('false')],
  ['null', (policy) => policy('null::boolean')],
  ['one topic, by realtime.topic()', (policy, n) => policy(`(select realtime.topic()) = 'room:${n}:1'`)],
  ['one topic, without a sub-select', (policy, n) => policy(`realtime.topic() = 'room:${n}:1'`)],
  ['the column topic', (policy, n) => policy(`topic = 'room:${n}:1'`)],
  ['the column topic with like', (policy) => policy(`topic like 'room:%'`)],
  ['the column qualified by its table', (policy) => policy(`realtime.messages.topic like 'room:%'`)],
  ['auth.uid()', (policy) => policy(`auth.uid() = '${USER}'`)],
  ['another auth.uid()', (policy) => policy(`(select auth.uid()) = gen_random_uuid()`)],
  ['auth.jwt()', (policy) => policy(`(auth.jwt() ->> 'org') = 'acme' and topic like 'room:%'`)],
  ['auth.jwt() in a sub-select', (policy) => policy(`((select auth.jwt()) -> 'app_metadata' ->> 'plan') = 'pro'`)],
  ['json arrays of claims', (policy) => policy(`((auth.jwt() -> 'teams') @> '2'::jsonb) and (auth.jwt() -> 'app_metadata' -> 'rooms') ? 'a'`)],
  ['an array of claims with ANY', (policy) => policy(`'b' = any (select jsonb_array_elements_text(auth.jwt() -> 'app_metadata' -> 'rooms'))`)],
  ['auth.role()', (policy) => policy(`auth.role() = 'authenticated'`)],
  ['current_user', (policy) => policy(`current_user = 'authenticated' and session_user <> 'authenticated'`)],
  ['extension =', (policy) => policy(`extension = 'presence'`)],
  ['extension in', (policy) => policy(`extension in ('broadcast', 'presence')`)],
  ['extension of a sub-select', (policy) => policy(`extension in (select app.set_returning())`)],
  ['permissive policies are alternatives', (policy) => policy('false') + policy(`topic like 'room:%'`) + policy('null::boolean')],
  ['restrictive policies are conditions', (policy) => policy('true') + policy(`topic like 'room:%'`, { as: 'restrictive' }) + policy(`extension = 'broadcast'`, { as: 'restrictive' })],
  ['only restrictive policies', (policy) => policy('true', { as: 'restrictive' })],
  ['a restrictive policy of another role', (policy) => policy('true') + policy('false', { as: 'restrictive', to: 'anon' })],
  ['a restrictive sub-select', (policy) => policy('true') + policy(`exists (select 1 from app.members m where m.topic = messages.topic and m.user_id = auth.uid())`, { as: 'restrictive' })],
  ['a restrictive null', (policy) => policy('true') + policy('null::boolean', { as: 'restrictive' })],
  ['for all, with using alone', (policy) => policy(`topic like 'room:%'`, { all: true })],
  ['for all, with both', (policy) => policy(`topic like 'room:%'`, { all: true, check: 'false' })],
  ['to public', (policy) => policy('true', { to: 'public' })],
  ['to another role', (policy) => policy('true', { to: 'anon' })],
  ['to several roles', (policy) => policy('true', { to: 'anon, authenticated' })],
  ['to a group, a member who inherits', (policy) => policy('true', { to: 'club' }), { role: 'inherit_member' }],
  ['to a group, a member who does not inherit', (policy) => policy('true', { to: 'club' }), { role: 'noinherit_member' }],
  ['the anonymous', (policy) => policy(`topic like 'lobby:%'`, { to: 'anon' }), { role: 'anon' }],
  ['membership', (policy) => policy(`exists (select 1 from app.members m where m.user_id = (select auth.uid()) and m.topic = (select realtime.topic()) and realtime.messages.extension in ('broadcast'))`)],
  ['membership with in', (policy) => policy(`topic in (select m.topic from app.members m where m.user_id = auth.uid())`)],
  ['membership under its own row level security', (policy) => policy(`exists (select 1 from app.guarded g where g.topic = messages.topic)`)],
  ['membership that this role may not read', (policy) => policy(`exists (select 1 from app.closed g where g.topic = messages.topic)`)],
  ['membership that another alternative makes needless', (policy) => policy(`true or exists (select 1 from app.closed g where g.topic = messages.topic)`)],
  ['a view', (policy) => policy(`topic in (select r.topic from app.my_rooms r)`)],
  ['a view with the rights of the caller', (policy) => policy(`topic in (select r.topic from app.their_rooms r)`)],
  ['a policy that reads its own table', (policy) => policy(`exists (select 1 from realtime.messages m where m.topic = messages.topic)`)],
  ['a policy that reads its own table, whose other policies have sub-selects', (policy) => policy(`exists (select 1 from realtime.messages m where m.topic = messages.topic)`) + policy(`exists (select 1 from app.members)`)],
  ['aggregates, joins, a CTE', (policy) => policy(`(with mine as (select * from app.members where user_id = auth.uid()) select count(*) from mine a join mine b using (topic) where a.topic = messages.topic) = 1`)],
  ['a correlated sub-select two levels deep', (policy) => policy(`exists (select 1 from app.members m where exists (select 1 from app.members o where o.topic = messages.topic and o.user_id = m.user_id) and m.user_id = auth.uid())`)],
  ['a SECURITY DEFINER helper', (policy) => policy('app.is_member(topic)')],
  ['a SECURITY DEFINER helper in a sub-select', (policy) => policy('(select app.is_member((select realtime.topic())))')],
  ['a plpgsql helper', (policy) => policy('app.is_member_plpgsql(topic)')],
  ['an SQL helper that is inlined', (policy) => policy('app.is_room(topic)')],
  ['headers', (policy) => policy(`(current_setting('request.headers', true)::json ->> 'x-team') = 'red'`)],
  ['headers that are not there', (policy) => policy(`(current_setting('request.headers', true)::json ->> 'x-colour') = 'red'`)],
  ['the single claims', (policy) => policy(`current_setting('request.jwt.claim.sub') = '${USER}' and current_setting('request.jwt.claim.role') = 'authenticated'`)],
  ['a cast that fails, alone', (policy) => policy(`split_part(topic, ':', 1)::int = 1`)],
  ['a cast that fails, behind OR', (policy) => policy(`topic like 'lobby:%' or split_part(topic, ':', 1)::int = 1`)],
  ['a cast that fails, behind AND', (policy) => policy(`topic like 'none%' and split_part(topic, ':', 1)::int = 1`)],
  ['a cast that fails, behind CASE', (policy) => policy(`case when topic like 'room:%' then split_part(topic, ':', 2)::int >= 0 else split_part(topic, ':', 1)::int = 1 end`)],
  ['a policy that raises', (policy) => policy('app.fails(topic)')],
  ['a policy that raises beside one that allows', (policy) => policy('app.fails(topic)') + policy('true', { name: 'a first' })],
  ['a function that calls itself for ever', (policy) => policy('app.calls_itself(0)')],
  ['a volatile function', (policy) => policy('random() < 2')],
  ['a volatile function that says no', (policy) => policy('random() > 2')],
  ['a function that writes and reads what it wrote', (policy) => policy('app.writes(topic)')],
  ['now()', (policy) => policy(`now() - interval '1 minute' < inserted_at at time zone 'utc' and inserted_at <= now() at time zone 'utc'`)],
  ['columns that a probe leaves null', (policy) => policy('payload is null and event is null and not private and id is not null and binary_payload is null')],
  ['array operators', (policy) => policy(`string_to_array(topic, ':') && array['room', 'hall'] and topic <> all (array['x', 'y'])`)],
  ['an enum', (policy) => policy(`split_part(topic, ':', 1)::app.kind = 'room'`)],
  ['an enum value that is none', (policy) => policy(`substr(topic, 2)::app.kind = 'room'`)],
  ['a domain', (policy) => policy(`split_part(topic, ':', 1)::app.short is not null`)],
  ['a domain that refuses', (policy) => policy(`(topic || topic)::app.short is not null`)],
  ['the whole row', (policy) => policy(`messages is not null or to_jsonb(messages) ->> 'topic' like 'room:%'`)],
  ['the whole row in a sub-select', (policy) => policy(`exists (select 1 from app.members m where m.topic = (to_jsonb(messages) ->> 'topic') and m.user_id = auth.uid())`)],
  ['the whole row as an argument', (policy) => policy('app.row_is_room(messages)')],
  ['a field of the whole row', (policy) => policy(`(messages).topic like 'room:%' and (select (messages).extension) = 'broadcast'`)],
  ['tableoid', (policy) => policy(`tableoid <> 'realtime.messages'::regclass and tableoid::regclass::text like 'realtime.messages%'`)],
  ['tableoid in a sub-select', (policy) => policy(`exists (select 1 from pg_class c where c.oid = messages.tableoid and c.relispartition)`)],
  ['no privilege on the table', (policy) => policy('true'), { before: 'revoke select on realtime.messages from authenticated', after: 'grant select on realtime.messages to authenticated', readOnly: true }],
  ['no privilege to insert', (policy) => policy('true'), { before: 'revoke insert on realtime.messages from authenticated', after: 'grant insert on realtime.messages to authenticated' }],
  ['privileges on the columns that are named', (policy) => policy(`private is not null`), {
    before: 'revoke select, insert on realtime.messages from authenticated; grant select (id), insert (topic, extension, inserted_at, updated_at) on realtime.messages to authenticated',
    after: 'grant select, insert on realtime.messages to authenticated',
  }],
  ['privileges on other columns', (policy) => policy('true'), {
    before: 'revoke insert on realtime.messages from authenticated; grant insert (topic, extension, payload) on realtime.messages to authenticated',
    after: 'grant select, insert on realtime.messages to authenticated',
  }],
  ['no privilege on the column id', (policy) => policy('true'), {
    before: 'revoke select on realtime.messages from authenticated; grant select (topic, extension) on realtime.messages to authenticated',
    after: 'grant select on realtime.messages to authenticated',
    readOnly: true,
  }],
  ['no usage of the schema', (policy) => policy('true'), { before: 'revoke usage on schema realtime from plain', after: 'grant usage on schema realtime to plain', role: 'plain', readOnly: true }],
  ['BYPASSRLS', (policy) => policy('false', { to: 'public' }), { role: 'bypasser' }],
  ['service_role', () => '', { role: 'service_role' }],
  ['the owner', (policy) => policy('false', { to: 'public' }), { before: 'alter table realtime.messages owner to owner_role', after: 'alter table realtime.messages owner to postgres', role: 'owner_role' }],
  ['the owner, with FORCE', (policy) => policy(`topic like 'room:%'`, { to: 'public' }), {
    before: 'alter table realtime.messages owner to owner_role; alter table realtime.messages force row level security',
    after: 'alter table realtime.messages no force row level security; alter table realtime.messages owner to postgres',
    role: 'owner_role',
  }],
  ['row level security off', (policy) => policy('false'), { before: 'alter table realtime.messages disable row level security', after: 'alter table realtime.messages enable row level security' }],
  ['EXECUTE revoked', (policy) => policy('app.hidden()')],
  ['EXECUTE revoked from a plpgsql function', (policy) => policy('app.hidden_plpgsql()')],
  ['EXECUTE revoked, in a sub-select', (policy) => policy('(select app.hidden())')],
  ['a role with quotes and blanks', (policy) => policy('true', { to: '"My ""odd"" role"' }), { role: 'My "odd" role' }],
  ['a column was dropped', (policy) => policy(`topic like 'room:%' and app.row_is_room(messages)`), { before: 'alter table realtime.messages add column gone int; alter table realtime.messages drop column gone' }],
  ['a column was dropped, the whole row in a sub-select', (policy) => policy(`exists (select 1 from app.members m where app.row_is_room(messages) and m.user_id = auth.uid())`)],
  ['a column was added, with a default', (policy) => policy('added is null or added = 7'), { before: 'alter table realtime.messages add column added int', after: 'alter table realtime.messages drop column added cascade' }],
];

let instance;
before(async () => {
  instance = await Instance.start({
    settings: [
      'fsync = off',
      `realtime.allowed_roles = 'anon, authenticated, service_role, plain, inherit_member, noinherit_member, bypasser, owner_role, "My ""odd"" role"'`,
      'realtime.authorizers = 1',
    ],
  });
  await instance.rows(SETUP);
});
after(() => instance?.destroy());

const literal = (text) => `'${text.replaceAll(`'`, `''`)}'`;
const identifier = (text) => `"${text.replaceAll('"', '""')}"`;

// What the policies of one case are made with.
function maker(command) {
  let count = 0;
  return (condition, { as = 'permissive', to = 'authenticated', all = false, check, name = `case ${++count}` } = {}) => {
    const clause = command === 'select' || all ? 'using' : 'with check';
    return `create policy ${identifier(name)} on realtime.messages as ${as} for ${all ? 'all' : command} to ${to}
      ${clause} (${condition})${check ? ` with check (${check})` : ''};\n`;
  };
}

const DROP_ALL = `do $$ declare p name; begin
  for p in select polname from pg_policy where polrelid = 'realtime.messages'::regclass loop
    execute format('drop policy %I on realtime.messages', p);
  end loop; end $$;`;

function settings(topic, role) {
  const claims = JSON.stringify({ role, exp: 4102444800, ...CLAIMS });
  return [
    ['realtime.topic', topic],
    ['request.jwt.claims', claims],
    ['request.jwt.claim.sub', USER],
    ['request.jwt.claim.role', role],
    ['request.headers', JSON.stringify(HEADERS)],
  ]
    .map(([name, value]) => `set local ${identifier(name).replaceAll('.', '"."')} = ${literal(value)};`)
    .join('\n');
}

const failure = ({ notices }) => notices.find((line) => /^ERROR:/.test(line));

// PostgreSQL's own word: { broadcast, presence, error } for reading.
async function readAllowed(topic, role, extensions) {
  const result = await instance.sql(`
    begin;
    insert into realtime.messages (topic, extension, inserted_at, updated_at)
      select ${literal(topic)}, e, now() at time zone 'utc', now() at time zone 'utc' from unnest('{${extensions}}'::text[]) e;
    ${settings(topic, role)}
    create temp table probe on commit drop as select id, extension from realtime.messages where topic = ${literal(topic)};
    select 'ids ' || quote_literal(array_agg(id)::text) as ids from probe \\gset
    set local role ${identifier(role)};
    select 'saw ' || id from realtime.messages where id = any (substr(:'ids', 5)::text::uuid[]);
    reset role;
    select 'is ' || extension || ' ' || id from probe;
    rollback;`.replace(`substr(:'ids', 5)::text::uuid[]`, `trim(both '''' from substr(:'ids', 5))::uuid[]`));
  const seen = new Set(result.rows.filter((row) => row.startsWith('saw ')).map((row) => row.slice(4)));
  const is = Object.fromEntries(
    result.rows.filter((row) => row.startsWith('is ')).map((row) => row.split(' ').slice(1)).map(([extension, id]) => [extension, seen.has(id)]),
  );
  const error = failure(result);
  return { broadcast: !error && Boolean(is.broadcast), presence: !error && Boolean(is.presence), error };
}

async function writeAllowed(topic, role) {
  const result = await instance.sql(`
    begin;
    ${settings(topic, role)}
    set local role ${identifier(role)};
    insert into realtime.messages (topic, extension, inserted_at, updated_at)
      values (${literal(topic)}, 'broadcast', now() at time zone 'utc', now() at time zone 'utc');
    rollback;`);
  return { broadcast: !failure(result), error: failure(result) };
}

// A connection with frames sorted by topic.
async function client(role) {
  const frames = [];
  const socket = new RawSocket({ onFrame: (frame) => frames.push(readFrame(frame)) });
  const key = instance.token(role, CLAIMS);
  const answer = await socket.open(instance.port, `/socket/websocket?apikey=${key}&vsn=2.0.0`, HEADERS);
  assert.equal(answer.status, 101);
  const reply = (topic, ref) =>
    until(`an answer to ${ref} on ${topic}`, () => frames.find((f) => f.topic === `realtime:${topic}` && f.event === 'phx_reply' && f.ref === ref));
  const push = (topic, ref, event, payload) => {
    socket.sendJson(['1', ref, `realtime:${topic}`, event, payload]);
    return reply(topic, ref);
  };
  return {
    socket,
    push,
    // What it may read: asked with presence, and without.
    async join(topic, ref, presence) {
      const { payload } = await push(topic, ref, 'phx_join', {
        config: { private: true, broadcast: { ack: true }, presence: { enabled: presence } },
      });
      // What follows a join is on its way before the answer to what is asked next.
      await this.push(`${topic}?`, `after ${ref}`, 'phx_leave', {});
      const state = frames.some((f) => f.topic === `realtime:${topic}` && f.event === 'presence_state' && f.joinRef === '1');
      if (payload.status === 'ok') {
        await push(topic, `${ref} left`, 'phx_leave', {});
      } else {
        assert.match(payload.response.reason, /^Unauthorized: You do not have permissions to read from this Channel topic: /);
      }
      return { joined: payload.status === 'ok', state };
    },
  };
}

const count = { yes: 0, no: 0, error: 0 };
const tally = (allowed, error) => count[error ? 'error' : allowed ? 'yes' : 'no']++;

async function compareRead(name, topics, role) {
  const one = await client(role);
  for (const topic of topics) {
    const alone = await readAllowed(topic, role, ['broadcast']);
    const both = await readAllowed(topic, role, ['broadcast', 'presence']);
    tally(alone.broadcast, alone.error);
    const off = await one.join(topic, 'off', false);
    assert.equal(off.joined, alone.broadcast, `${name}: read ${topic}, PostgreSQL: ${alone.error ?? alone.broadcast}`);
    const on = await one.join(topic, 'on', true);
    assert.equal(on.joined, both.broadcast || both.presence, `${name}: read ${topic} with presence, PostgreSQL: ${JSON.stringify(both)}`);
    assert.equal(on.state, both.presence, `${name}: presence of ${topic}, PostgreSQL: ${JSON.stringify(both)}`);
  }
  one.socket.drop();
}

async function compareWrite(name, topics, role) {
  const one = await client(role);
  for (const topic of topics) {
    const own = await writeAllowed(topic, role);
    tally(own.broadcast, own.error && !/row-level security/.test(own.error));
    const { payload: joined } = await one.push(topic, '1', 'phx_join', { config: { private: true, broadcast: { ack: true } } });
    assert.equal(joined.status, 'ok', `${name}: join of ${topic}: ${JSON.stringify(joined)}`);
    const { payload } = await one.push(topic, '2', 'broadcast', { type: 'broadcast', event: 'e', payload: {} });
    assert.equal(payload.status === 'ok', own.broadcast, `${name}: write ${topic}, PostgreSQL: ${own.error ?? 'allows'}, we: ${JSON.stringify(payload)}`);
    if (payload.status !== 'ok') {
      assert.match(payload.response.reason, /^Unauthorized: You do not have permissions to write to this Channel topic/);
    }
  }
  one.socket.drop();
}

CASES.forEach(([name, policies, { before: prepare, after: undo, role = 'authenticated', readOnly = false } = {}], number) => {
  test(name, async () => {
    const topics = [`room:${number}:1`, `lobby:${number}:2`];
    try {
      await instance.rows(`${DROP_ALL}\n${prepare ?? ''};\n${policies(maker('select'), number)}`);
      await compareRead(name, topics, role);
      if (!readOnly) {
        await instance.rows(`${DROP_ALL}\n${policies(maker('insert'), number)}
          create policy "0 reader" on realtime.messages for select to public using (true);`);
        await compareWrite(name, topics, role);
      }
    } finally {
      await instance.rows(`${DROP_ALL}\n${undo ?? ''}`);
    }
  });
});

test('what a policy raises is in the log, with topic and role', async () => {
  await instance.rows(`${DROP_ALL}\ncreate policy p on realtime.messages for select to authenticated using (app.fails(topic))`);
  const position = await instance.logPosition();
  // Errors of policies are not all logged when there are many in a second.
  const one = await client('authenticated');
  const log = await until('the error in the log', async () => {
    assert.equal((await one.join('room:logged', 'x', false)).joined, false);
    const text = await instance.logSince(position);
    return text.includes('no entry to room:logged') && text;
  }, { every: 300 });
  assert.match(log, /ERROR: {2}no entry to room:logged/);
  assert.match(log, /CONTEXT: .*[\s\S]*realtime policy check of topic "room:logged" as role "authenticated"/);
  one.socket.drop();
});

test('all kinds of verdicts were compared, by one authorizer that never fell', async () => {
  assert.ok(count.yes >= 30 && count.no >= 30 && count.error >= 20, JSON.stringify(count));
  assert.equal(Number(await instance.value(`select sum(restarts) from realtime.workers where kind = 'realtime authorizer'`) ?? 0), 0);
  await running(instance, 'authorizer');
});
