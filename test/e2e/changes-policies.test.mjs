// Row level security of Postgres Changes: what a row is judged to be for a role with claims is what PostgreSQL itself
// says to a session with that role and these claims.
//
// CHANGES_SEED=n repeats a run, CHANGES_ROUNDS=n makes it longer.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { chmod, copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Instance } from './lib/instance.mjs';

const LIBRARY = fileURLToPath(new URL('../../build/modules/claims_policy_test.so', import.meta.url));
const SEED = Number(process.env.CHANGES_SEED ?? 1);
const ROUNDS = Number(process.env.CHANGES_ROUNDS ?? 300);

const ANN = '11111111-1111-4111-8111-111111111111';
const BOB = '22222222-2222-4222-8222-222222222222';
const CLAIMS = [
  { sub: ANN, role: 'authenticated', team: '1', teams: [1, 2], app_metadata: { plan: 'pro' } },
  { sub: BOB, role: 'authenticated', team: '2', teams: [], admin: true },
  { sub: 'not-a-uuid', role: 'authenticated', team: 'seven', teams: 'none' },
  { role: 'anon' },
  { sub: '', role: 'authenticated', team: '', admin: 'perhaps' },
  { sub: null, role: 'service', team: 1.5, app_metadata: null, admin: false },
  { sub: `${ANN}`, team: '99999999999', admin: 'true', app_metadata: { plan: "o'clock \\ \u00e9" } },
];

const literal = (text) => `'${text.replaceAll(`'`, `''`)}'`;

// A small generator of random numbers (mulberry32), so that a seed repeats a run.
function random(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return { below: (n) => Math.floor(next() * n), pick: (list) => list[Math.floor(next() * list.length)], chance: (p) => next() < p };
}

const SETUP = `
  create schema app; create schema auth; create schema closed;
  create role authenticated; create role anon; create role outsider; create role bypasser bypassrls; create role table_owner;
  create role club; create role member; grant club to member; create role columns_only;
  grant usage on schema app, auth to authenticated, anon, bypasser, table_owner, member, club, columns_only;
  create function auth.uid() returns uuid language sql stable return
    coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
      nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid;
  create function auth.jwt() returns jsonb language sql stable return
    coalesce(nullif(current_setting('request.jwt.claim', true), ''), nullif(current_setting('request.jwt.claims', true), ''))::jsonb;
  create function auth.role() returns text language sql stable as $$ select auth.jwt() ->> 'role' $$;
  create function auth.uid_fixed_path() returns uuid language sql stable set search_path = '' as $$ select auth.uid() $$;
  create function auth.uid_definer() returns uuid language sql stable security definer as $$ select auth.uid() $$;
  create function auth.uid_plpgsql() returns uuid language plpgsql stable as $$ begin return auth.uid(); end $$;

  create type app.state as enum ('draft', 'live', 'gone');
  create domain app.short as text check (length(value) < 6);
  create table app.notes (id int primary key, owner uuid, gone int, team int, name text, code text, made timestamptz, tags text[],
    doc jsonb, state app.state, twice int generated always as (team * 2) stored, secret text default 'x', label varchar(9));
  alter table app.notes drop column gone;
  create table app.leafed (id int, owner uuid, team int, name text, code text, made timestamptz, tags text[], doc jsonb,
    state app.state, twice int generated always as (team * 2) stored, secret text default 'x', label varchar(9), primary key (id)) partition by range (id);
  create table app.leaf partition of app.leafed for values from (0) to (1000);
  create table app.members (user_id uuid, team int); insert into app.members values ('${ANN}', 1), ('${ANN}', 3), ('${BOB}', 2), (null, 4);
  create table app.guarded (user_id uuid, team int); insert into app.guarded select * from app.members;
  alter table app.guarded enable row level security;
  create policy own on app.guarded for select using (user_id = (select auth.uid()));
  create table closed.members (user_id uuid, team int); insert into closed.members select * from app.members;
  grant select on app.members, app.guarded to public;
  grant select on app.notes, app.leaf to authenticated, anon, bypasser, member, outsider;
  grant select (id, owner, name, team) on app.notes, app.leaf to columns_only;

  insert into app.notes (id, owner, team, name, code, made, tags, doc, state, label) values
    (1, '${ANN}', 1, 'alpha', '1', now(), '{a,b}', '{"k": 1, "n": "5"}', 'live', 'one'),
    (2, '${BOB}', 2, 'beta', '22', now() - interval '1 year', '{b}', '{"k": "x"}', 'draft', 'two'),
    (3, null, 3, 'gamma', 'x', now() + interval '1 year', '{}', 'null', 'gone', null),
    (4, '${ANN}', null, null, null, null, null, null, null, null),
    (5, null, 2, '${ANN}', '-7', 'epoch', '{${ANN},x}', '[1, "2"]', 'live', 'five'),
    (6, '${BOB}', 1, '${BOB}', '1e3', 'infinity', '{1,2}', '{"n": "y", "owner": "${BOB}"}', 'draft', ''),
    (7, gen_random_uuid(), 9, 'not a uuid', '', '2020-02-29', array[null, 'pro'], '{"owner": null}', 'gone', 'seven');
  insert into app.leaf (id, owner, team, name, code, made, tags, doc, state, label)
    select id, owner, team, name, code, made, tags, doc, state, label from app.notes;

  create function app.in_team(n int) returns boolean language sql stable security definer set search_path = ''
    as 'select exists (select 1 from closed.members m where m.user_id = auth.uid() and m.team = n)';
  create function app.in_team_plpgsql(n int) returns boolean language plpgsql stable
    as 'declare who uuid := auth.uid(); begin return exists (select 1 from app.members m where m.user_id = who and m.team = n); end';
  create function app.refuses(t text) returns boolean language plpgsql stable
    as $$ begin if t like 'b%' then raise exception 'no % here', t using errcode = 'P0042'; end if; return true; end $$;
  create function app.refuses_bob(who uuid) returns boolean language plpgsql immutable
    as $$ begin if who = '${BOB}' then raise exception 'not Bob' using errcode = 'P0043'; end if; return who is not null; end $$;
  create function app.is_short(t text) returns boolean language sql immutable as $$ select length(t) < 5 $$;
  create function app.hidden() returns boolean language sql stable as 'select true';
  create function app.hidden_uid() returns uuid language sql stable as 'select auth.uid()';
  revoke execute on function app.hidden(), app.hidden_uid() from public;
  create function app.row_team(n app.notes) returns int language sql stable as 'select n.team';
  create function app.row_team(n app.leaf) returns int language sql stable as 'select n.team';
  create function app.pretends(claims text) returns boolean language plpgsql volatile
    as $$ begin perform set_config('request.jwt.claims', claims, true), set_config('search_path', 'app', false); return true; end $$;
  create operator app.=== (leftarg = text, rightarg = text, function = texteq);

  -- PostgreSQL's own word, asked as a session with this role and these claims would.
  create function app.own_verdicts(tab text, who text, claims text, out id int, out verdict text) returns setof record language plpgsql as $$
  declare
    ids int[]; seen boolean;
  begin
    execute format('select array_agg(id order by id) from %s', tab) into ids;
    foreach id in array ids loop
      begin
        perform set_config('request.jwt.claims', claims, true), set_config('role', who, true);
        execute format('select exists (select 1 from %s where id = $1)', tab) into seen using id;
        verdict := seen;
        raise exception using errcode = 'ZZ000';
      exception when others then
        if sqlstate <> 'ZZ000' then
          verdict := sqlstate;
        end if;
      end;
      return next;
    end loop;
  end $$;
`;

// Things that policies say: those that read the claims, those that read the row, and both. Many fail for some rows or claims.
const ATOMS = [
  'owner = auth.uid()', '(select auth.uid()) = owner', 'owner is null', 'auth.uid() is not null', 'owner = auth.uid_fixed_path()',
  'owner = (select auth.uid_fixed_path())', 'owner = auth.uid_definer()', 'owner = auth.uid_plpgsql()', 'owner = (select auth.uid_plpgsql())',
  `auth.role() = 'authenticated'`, `(select auth.role()) = 'anon'`, `(auth.jwt() ->> 'admin')::boolean`, `(select auth.jwt() ->> 'admin') = 'true'`,
  `(auth.jwt() -> 'app_metadata' ->> 'plan') = 'pro'`, `((select auth.jwt()) -> 'app_metadata' ->> 'plan') = any (tags)`,
  `team = (auth.jwt() ->> 'team')::int`, `(auth.jwt() ->> 'team')::int > 1`, `team > ((select auth.jwt()) ->> 'team')::numeric`,
  `(auth.jwt() -> 'teams') @> to_jsonb(team)`, `auth.jwt() -> 'teams' ? '1'`, `team = any (array(select jsonb_array_elements_text(auth.jwt() -> 'teams')::int))`,
  `current_setting('request.jwt.claims', true)::json ->> 'sub' = name`, `current_setting('request.jwt.claim.sub', true) is null`,
  `current_setting('request.jwt.claim.role') = 'anon'`, `current_setting('REQUEST.jwt.claims')::jsonb ->> 'team' = code`, `current_setting('app.none', true) = 'x'`,
  'name::uuid = auth.uid()', 'name::uuid = owner', 'auth.uid()::text = name', 'code::int = 1', 'code::int = team', 'code::numeric < 5', '1 / (team - 1) = 1', '10 / team > 3',
  `name = nullif(auth.jwt() ->> 'team', '1')`, `split_part(name, ' ', 3)::uuid is null`, `code::int = nullif(auth.jwt() ->> 'none', '')::int`,
  'made < now()', `made > now() - interval '1 day'`, `made::date < current_date`, `made::text like '20%'`, `to_char(made, 'YYYY') = '2020'`, `(auth.jwt() ->> 'sub') < made::text`,
  `tags @> array['b']`, `'x' = any (tags)`, `auth.uid()::text = any (tags)`, `tags && string_to_array(auth.jwt() ->> 'team', ',')`, 'cardinality(tags) > 1',
  `doc ->> 'n' = '5'`, `(doc ->> 'n')::int = 5`, `(doc ->> 'owner')::uuid = auth.uid()`, `doc ? 'k'`, `(doc -> 'k')::int = 1`, `state = 'live'`, `state::text = 'draft'`, `name::app.state = 'live'`, `(auth.jwt() ->> 'role')::app.state = state`,
  `name::app.short is not null`, `(auth.jwt() ->> 'sub')::app.short is not null`, 'twice = 4', `secret = 'x'`, `label = 'one'`, `label::varchar(2) = 'on'`, `label = (auth.jwt() ->> 'team')::varchar`,
  `exists (select 1 from app.members m where m.team = TABLE.team and m.user_id = auth.uid())`, `coalesce(team, 0) in (select m.team from app.members m where m.user_id = (select auth.uid()))`,
  `exists (select 1 from app.guarded g where g.team = TABLE.team)`, `exists (select 1 from closed.members)`, `auth.uid() in (select user_id from app.members where team = TABLE.team)`,
  `exists (select 1 from app.members m where m.user_id = auth.uid())`, `(select count(*) from app.members m where m.team < TABLE.team) > 1`,
  'app.in_team(team)', '(select app.in_team(team))', '(select app.in_team(2))', 'app.in_team_plpgsql(team)', 'app.refuses(name)', 'app.refuses_bob(auth.uid())', 'app.refuses_bob(owner)', '(select app.refuses_bob(auth.uid()))', 'app.is_short(name)', `app.is_short(auth.jwt() ->> 'team')`,
  'app.row_team(TABLE) < 3', `to_jsonb(TABLE) ->> 'name' = 'alpha'`, 'TABLE is not null', `tableoid = 'app.TABLE'::regclass`, `name operator(app.===) (auth.jwt() ->> 'sub')`, `name ~ (auth.jwt() ->> 'sub')`, `name similar to '%a'`,
  `current_user = 'authenticated'`, `case auth.role() when 'authenticated' then owner = auth.uid() when 'anon' then name::uuid is null else code::int = 1 end`,
  `case when state = 'live' then code::int > 0 else (auth.jwt() ->> 'admin')::boolean end`, `coalesce((auth.jwt() ->> 'admin')::boolean, code::int = 1)`, `coalesce(owner = auth.uid(), false)`,
  `string_to_array(auth.jwt() ->> 'team', ',')::int[] @> array[team]`, `greatest(team, (auth.jwt() ->> 'team')::int) = team`, `(owner, team) = (auth.uid(), 1)`, `(owner = auth.uid()) is not true`,
  `(select (select (select auth.uid()))) = owner`, `(select owner) = (select auth.uid())`, `(select coalesce(auth.jwt() ->> 'team', name)) = code`,
];
const CONSTANTS = ['true', 'false', 'null::boolean'];
const RARE = ['random() < 2', 'app.hidden()', 'app.hidden_uid() = owner', '(select app.hidden())', `app.pretends('{"sub": "${BOB}"}')`, `(select app.pretends('{"sub": "${BOB}"}'))`];

// Two conditions of a row that say what the same thing equals are merged by the planner, which may then evaluate them in another
// order, and which of two sub-selects it takes for the cheaper one can't be known: a case has one at most of each. `used` has what the
// conditions that are joined by AND name in such a way, `once` the sub-selects of the case.
const equated = (one) => (one.includes(' = ') ? one.match(/'[^']*'|\b\w+\.\w+\(|\b(owner|team|name|code|made|tags|doc|state|twice|secret|label)\b/g) ?? [] : []);
const runsForEachRow = (one) => one.includes(' TABLE.team');
function atom(dice, once, used) {
  if (used && dice.chance(0.03)) {
    return dice.pick(CONSTANTS);
  }
  for (;;) {
    const one = dice.chance(0.02) ? dice.pick(RARE) : dice.pick(ATOMS);
    const names = equated(one);
    if (!(runsForEachRow(one) && once.size > 0) && !names.some((name) => used?.has(name))) {
      names.forEach((name) => used?.add(name));
      if (runsForEachRow(one)) {
        once.add(one);
      }
      return one;
    }
  }
}

function condition(dice, depth, once, used) {
  if (depth === 0 || dice.chance(0.25)) {
    return atom(dice, once, used);
  }
  const part = (names) => condition(dice, depth - 1, once, names);
  const parts = (names) => [...new Set(Array.from({ length: 2 + dice.below(2) }, () => part(names)))];
  switch (dice.below(6)) {
    case 0:
    case 1:
      return `(${[...parts(), dice.pick(['team = 4', 'name is null', 'code is null'])].join(' or ')})`;
    case 2:
    case 3:
      return `(${parts(used).join(' and ')})`;
    case 4:
      return `(not (${part(used)}))`;
    default:
      return `(case when ${part()} then ${part()} else ${part()} end)`;
  }
}

let instance;
before(async () => {
  instance = await Instance.start({ extension: false, settings: ['fsync = off', 'jit = off'] });
  const library = join(instance.home, 'claims_policy_test.so');
  await copyFile(LIBRARY, library);
  await chmod(library, 0o755);
  await instance.rows(`${SETUP}
    create function app.verdicts(regclass, name, text, int, out id int, out verdict text) returns setof record language c as ${literal(library)}, 'verdicts';
    create function app.facts(regclass, name, text, int) returns text language c as ${literal(library)}, 'facts';
    create function app.judge_often(regclass, name, text[], int, out nanoseconds float8, out visible bigint) language c as ${literal(library)}, 'judge_often';
    create function app.forget_user(int) returns void language c as ${literal(library)}, 'forget_user';
    create function app.generation_of_roles() returns bigint language c as ${literal(library)}, 'generation_of_roles';
    create function app.compare(tab text, who text, claims text, number int, out id int, out own text, out ours text) returns setof record language sql as
      'select id, o.verdict, v.verdict from app.own_verdicts(tab, who, claims) o full join app.verdicts(tab::regclass, who, claims, number) v using (id) order by id';`);
});
after(() => instance?.destroy());

const count = { true: 0, false: 0, error: 0 };

// A number per role and claims, as the worker gives them; it is the same from case to case.
const numbers = new Map();
function numberOf(role, claims) {
  const key = `${role} ${claims}`;
  numbers.set(key, numbers.get(key) ?? numbers.size + 1);
  return numbers.get(key);
}

// Without a privilege on the table a query fails, and nothing is visible here. A function that may not be called is an error here before all others.
const isError = (verdict) => verdict !== 'true' && verdict !== 'false';
const same = (role, own, ours) =>
  own === ours || (ours === '42501' && isError(own)) || (['outsider', 'table_owner'].includes(role) && ours === 'false' && isError(own));

async function compare(what, table, cases) {
  const sql = cases.map(([role, claims], n) =>
    `select ${n}, c.* from app.compare(${literal(table)}, ${literal(role)}, ${literal(claims)}, ${numberOf(role, claims)}) c;`).join('\n');
  for (const line of await instance.rows(sql)) {
    const [n, id, own, ours] = line.split('|');
    const [role, claims] = cases[n];
    count[isError(own) ? 'error' : own]++;
    assert.ok(same(role, own, ours), `seed ${SEED}: row ${id} of ${table} for ${role} with ${claims}\nPostgreSQL: ${own}, here: ${ours}\n${what}`);
  }
}

const DROP_ALL = `do $$ declare p record; begin
  for p in select polname, polrelid::regclass as tab from pg_policy where polrelid in ('app.notes'::regclass, 'app.leaf'::regclass, 'app.leafed'::regclass) loop
    execute format('drop policy %I on %s', p.polname, p.tab);
  end loop; end $$;`;

test(`random policies (seed ${SEED})`, async () => {
  const dice = random(SEED);
  for (let round = 0; round < ROUNDS; round++) {
    const table = dice.chance(0.8) ? 'notes' : 'leaf';
    const once = new Set();
    const used = new Set();
    const policies = Array.from({ length: 1 + dice.below(3) }, (_, n) => {
      const kind = n > 0 && dice.chance(0.4) ? 'restrictive' : 'permissive';
      const to = dice.pick(['public', 'public', 'authenticated', 'authenticated, club', 'anon']);
      return `create policy p${n} on app.${table} as ${kind} for ${dice.pick(['select', 'all'])} to ${to} using (${condition(dice, dice.below(3), once, used).replaceAll('TABLE', table)});`;
    }).join('\n');
    await instance.rows(`${DROP_ALL}\nalter table app.${table} enable row level security;\n${policies}`);
    const cases = CLAIMS.map((claims) => [dice.pick(['authenticated', 'authenticated', 'authenticated', 'anon', 'member', 'bypasser', 'columns_only']), JSON.stringify(claims)]);
    await compare(policies, `app.${table}`, cases);
  }
});

// Policies whose verdicts are compared for every role, with all claims.
const FIXED = [
  ['the usual one', 'using (owner = auth.uid() or owner is null)', { plain: true }],
  ['in a sub-select', 'using ((select auth.uid()) = owner)', { plain: true }],
  ['a claim that is a role', `using ((auth.jwt() ->> 'role') = 'authenticated')`, { plain: true }],
  ['membership', 'using (exists (select 1 from app.members m where m.team = notes.team and m.user_id = auth.uid()))', {}],
  ['a cast that fails behind OR', `using (team = 1 or (auth.jwt() ->> 'team')::int = team)`, {}],
  ['a cast that fails behind AND', `using (team < 2 and (auth.jwt() ->> 'team')::int = team)`, {}],
  ['a cast that fails behind CASE', `using (case when team = 1 then true else (auth.jwt() ->> 'admin')::boolean end)`, {}],
  ['a fixed search path', 'using (owner = auth.uid_fixed_path())', { plain: false }],
  ['a plpgsql helper', 'using (app.in_team_plpgsql(team))', { plain: false }],
  ['the clock', `using (owner = auth.uid() and made <= now())`, { plain: true }],
  ['a time as text', `using (made > (auth.jwt() ->> 'none')::timestamptz)`, { plain: false }],
  ['a regular expression', `using (name ~ '^(a|b)+')`, { plain: false }],
  ['nothing', 'using (false)', { plain: true }],
  ['everything', 'using (true)', { plain: true }],
];
const ROLES = ['authenticated', 'anon', 'outsider', 'bypasser', 'table_owner', 'member', 'columns_only'];
const everyone = ROLES.flatMap((role) => CLAIMS.map((claims) => [role, JSON.stringify(claims)]));

FIXED.forEach(([name, using, { plain }]) => {
  test(name, async () => {
    const policy = `create policy p on app.notes for select ${using}`;
    await instance.rows(`${DROP_ALL}\nalter table app.notes enable row level security; ${policy};`);
    await compare(policy, 'app.notes', everyone);
    if (plain !== undefined) {
      const claims = JSON.stringify(CLAIMS[0]);
      const facts = await instance.value(`select app.facts('app.notes', 'authenticated', ${literal(claims)}, ${numberOf('authenticated', claims)})`);
      assert.equal(facts.startsWith('secured plain'), plain, facts);
    }
  });
});

test('owner, FORCE, no policy, row level security off', async () => {
  try {
    await instance.rows(`${DROP_ALL}\nalter table app.notes owner to table_owner; create policy p on app.notes using (owner = auth.uid())`);
    await compare('owner', 'app.notes', everyone);
    await instance.rows('alter table app.notes force row level security');
    await compare('owner, FORCE', 'app.notes', everyone);
    await instance.rows(DROP_ALL);
    await compare('no policy', 'app.notes', everyone);
    await instance.rows('alter table app.notes disable row level security');
    await compare('off', 'app.notes', everyone);
  } finally {
    await instance.rows('alter table app.notes owner to postgres; alter table app.notes no force row level security; alter table app.notes enable row level security');
  }
});

// What has been prepared before must not outlive what it was made of; all in one session, as in the worker.
const CHANGES = [
  ['a function that was inlined', `create or replace function app.is_short(t text) returns boolean language sql immutable as $$ select length(t) > 4 $$`],
  ['a function that was not', `create or replace function app.in_team_plpgsql(n int) returns boolean language plpgsql stable as 'begin return n = 9; end'`],
  ['a policy', 'alter policy p on app.notes using (app.is_short(name))'],
  ['a second policy', 'create policy q on app.notes as restrictive using (team < 3)'],
  ['a table of a sub-select', `alter policy q on app.notes using (team in (select m.team from app.members m)); alter table app.members enable row level security`],
  ['the policies of that table', `create policy r on app.members using (user_id = auth.uid())`],
  ['a privilege on that table', 'revoke select on app.members from public'],
  ['the privilege given back', 'grant select on app.members to public'],
  ['a role', 'alter role authenticated bypassrls'],
  ['a role, back', 'alter role authenticated nobypassrls'],
  ['a membership', 'alter policy p on app.notes to club; grant club to authenticated'],
  ['a membership, back', 'revoke club from authenticated'],
  ['EXECUTE', 'alter policy p on app.notes to public; revoke execute on function app.is_short(text) from public'],
  ['EXECUTE, back', 'grant execute on function app.is_short(text) to public'],
  ['a domain', `alter policy q on app.notes using (name::app.short is not null); alter domain app.short drop constraint short_check`],
  ['a domain, back', `alter domain app.short add constraint short_check check (length(value) < 6) not valid`],
  ['a column', `alter table app.notes add column more int default 7; alter policy q on app.notes using (more = 7)`],
  ['the type of a column', `drop policy q on app.notes; alter table app.notes alter column more type text; create policy q on app.notes as restrictive using (more = '7')`],
  ['a schema', 'revoke usage on schema auth from authenticated, public; alter policy p on app.notes using (owner = auth.uid())'],
  ['a schema, back', 'grant usage on schema auth to authenticated'],
];
test('what changes counts at once', async () => {
  const cases = CLAIMS.map((claims) => ['authenticated', JSON.stringify(claims)]);
  await instance.rows(`${DROP_ALL}\ncreate policy p on app.notes using (app.is_short(auth.jwt() ->> 'team') or app.in_team_plpgsql(team))`);
  await compare('before', 'app.notes', cases);
  for (const [what, change] of CHANGES) {
    await instance.rows(change);
    await compare(`${what}: ${change}`, 'app.notes', cases);
  }
  await instance.rows('drop policy r on app.members; alter table app.members disable row level security');
});

test('the generation of roles counts what concerns them', async () => {
  const generation = async () => {
    await instance.rows('begin; lock table app.notes in access share mode; commit');
    return Number(await instance.value('select app.generation_of_roles()'));
  };
  let last = await generation();
  assert.equal(await generation(), last);
  for (const change of ['create role newcomer', 'grant club to newcomer', 'create schema more', 'drop schema more', 'drop role newcomer']) {
    await instance.rows(change);
    const now = await generation();
    assert.ok(now > last, change);
    last = now;
  }
});

// Each says what it could do; it must have been able to do nothing.
const ESCAPES = [
  ['SET ROLE', `execute 'set role postgres'`],
  ['RESET ROLE', `execute 'reset role'`],
  ['SET SESSION AUTHORIZATION', `execute 'set session authorization postgres'`],
  ['a superuser function', `perform pg_read_file('postgresql.conf')`],
  ['a table of the superuser', 'perform count(*) from closed.members'],
];
test('nothing that is run can get out of its role, folded or not', async () => {
  for (const volatility of ['immutable', 'stable', 'volatile']) {
    for (const [name, statement] of ESCAPES) {
      await instance.rows(`${DROP_ALL}
        create or replace function app.escape(t text) returns boolean language plpgsql ${volatility} as $$ begin ${statement}; return true; end $$;
        create policy p on app.notes using (app.escape(auth.jwt() ->> 'sub') and current_user = 'authenticated')`);
      const claims = JSON.stringify(CLAIMS[0]);
      const lines = await instance.rows(`select verdict from app.verdicts('app.notes', 'authenticated', ${literal(claims)}, ${numberOf('authenticated', claims)})`);
      assert.equal(lines.length, 7);
      for (const verdict of lines) {
        assert.match(verdict, /^(42501|25000|0A000|22023)$/, `${name}, ${volatility}`);
      }
      assert.equal(await instance.value('select current_user'), 'postgres');
    }
  }
  await instance.rows('drop function app.escape cascade');
});

test('what one judgement sets is gone at the next, and the session has nothing of it', async () => {
  await instance.rows(`${DROP_ALL}
    create function app.leaves() returns boolean language plpgsql as $$ begin
      if coalesce(current_setting('app.left', true), '') <> '' then raise exception 'it is there' using errcode = 'P0044'; end if;
      perform set_config('app.left', 'x', true), set_config('app.left', 'y', false), set_config('request.jwt.claims', '{}', false);
      return true; end $$;
    create policy p on app.notes using (app.leaves() and owner = auth.uid())`);
  const [a, b] = [JSON.stringify(CLAIMS[0]), JSON.stringify(CLAIMS[1])];
  const lines = await instance.rows(`select string_agg(verdict, ' ' order by id) from app.verdicts('app.notes', 'authenticated', ${literal(a)}, ${numberOf('authenticated', a)});
    select string_agg(verdict, ' ' order by id) from app.verdicts('app.notes', 'authenticated', ${literal(b)}, ${numberOf('authenticated', b)});
    select coalesce(current_setting('app.left', true), '') || coalesce(current_setting('request.jwt.claims', true), '');`);
  assert.deepEqual(lines, ['true false false true false false false', 'false true false false false true false', '']);
  await instance.rows('drop function app.leaves cascade');
});

test('a part that is cancelled is not taken for one that raises', async () => {
  await instance.rows(`${DROP_ALL}
    create function app.sleeps(t text) returns boolean language plpgsql immutable as $$ begin perform pg_sleep(0.3); return true; end $$;
    create policy p on app.notes using (app.sleeps(auth.jwt() ->> 'sub'))`);
  const claims = JSON.stringify(CLAIMS[0]);
  // The limit strikes once; the next row finds the part not known, and waits for it; the others know it.
  const [verdicts, facts] = await instance.rows(`begin; set local statement_timeout = '100ms';
    select string_agg(verdict, ' ' order by id) from app.verdicts('app.notes', 'authenticated', ${literal(claims)}, ${numberOf('authenticated', claims)});
    select app.facts('app.notes', 'authenticated', ${literal(claims)}, ${numberOf('authenticated', claims)}); commit;`);
  assert.equal(verdicts, '57014 true true true true true true');
  assert.match(facts, /^secured plain/);
  await instance.rows('drop function app.sleeps cascade');
});

test('columns: those that policies read, and those that a role may', async () => {
  const facts = (role) => instance.value(`select app.facts('app.notes', '${role}', ${literal(JSON.stringify(CLAIMS[0]))}, ${numberOf(role, JSON.stringify(CLAIMS[0]))})`);
  await instance.rows(`${DROP_ALL}\ncreate policy p on app.notes using (owner = auth.uid() or exists (select 1 from app.members m where m.team = notes.team and tableoid > 0))`);
  assert.equal((await facts('authenticated')).replace(/ 14$/, ''), 'secured limited, reads 2 4, readable 1 2 4 5 6 7 8 9 10 11 12 13');
  assert.equal(await facts('columns_only'), 'secured limited, reads 2 4, readable 1 2 4 5');
  assert.equal(await facts('table_owner'), 'secured plain, reads, readable');
  assert.match(await facts('bypasser'), /^open plain, reads, readable 1 2 4 /);
  await instance.rows(`${DROP_ALL}\ncreate policy p on app.notes using (notes is not null)`);
  assert.match(await facts('authenticated'), /, reads 0 1 2 4 5 6 7 8 9 10 11 12 13( 14)?, readable/);
});

test('a user costs little memory, and gives it back', async () => {
  await instance.rows(`${DROP_ALL}\ncreate policy p on app.notes using (owner = auth.uid() or owner is null)`);
  const used = () => instance.value(`select sum(used_bytes) from pg_backend_memory_contexts c where name like 'realtime%'
    or to_jsonb(c) ->> 'parent' like 'realtime%' or to_jsonb(c) -> 'path' -> -2 in
      (select to_jsonb(p) -> 'path' -> -1 from pg_backend_memory_contexts p where name like 'realtime%')`).then(Number);
  const judge = (users) => instance.value(`select visible from app.judge_often('app.notes', 'authenticated',
    (select array_agg(format('{"sub":"%s"}', gen_random_uuid())) from generate_series(1, ${users})), 2)`);
  await judge(1);
  const before = await used();
  assert.equal(await judge(2000), '0');
  const each = ((await used()) - before) / 1999;
  assert.ok(each > 0 && each < 1024, `${each} bytes for each user`);
  await instance.rows('select app.forget_user(1000000 + n) from generate_series(0, 1999) n');
  const left = (await used()) - before;
  assert.ok(left < 0.5 * 1999 * each, `${left} bytes are left of ${1999 * each}`);
  assert.equal(await judge(2000), '0');
});

test('all kinds of verdicts were compared', () => {
  assert.ok(count.true >= 500 && count.false >= 500 && count.error >= 500, JSON.stringify(count));
});
