// What goes wrong for one subscriber is his own: he is told, everybody else gets every change and at once. DDL between a
// commit and its delivery neither ends nor stops the stream.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFrame } from './lib/frames.mjs';
import { errorsOf, refusal, secured, startBench, watch, workersStay } from './lib/changes.mjs';
import { pause, until } from './lib/poll.mjs';

const SUBSCRIBED = 'Subscribed to PostgreSQL';

let instance;
let newId, table, user, subscriber, come, rowsOf, insertRows, held;

before(async () => {
  ({ instance, newId, table, user, subscriber, come, rowsOf, insertRows, held } = await startBench(`
    create function claim(name text) returns text language sql stable as $$ select auth.jwt() ->> name $$`, [`realtime.allowed_roles = 'anon, authenticated, service_role, visitor'`]));
});
after(() => instance?.destroy());

workersStay(() => instance, ['changes', 'change decoder']);

describe('one subscriber\'s error', () => {
  // [what, the policy, claims for which it fails, what he is told]
  const failing = [
    ['a policy that raises', 'picky()', { bad: 'yes' }, /^Unable to deliver a change of table public\.t\d+: ERROR P0001 \(raise_exception\) not for you/],
    ['a cast of a claim that fails', `n is null or (auth.jwt() ->> 'n')::int = n`, { n: 'x' }, /: ERROR 22P02 \(invalid_text_representation\) invalid input syntax for type integer: "x"/],
    ['the same in a sub-select', `(select (claim('n'))::int) is not null and exists (select 1)`, { n: 'x' }, /ERROR 22P02/],
    ['a division by a claim', `1 / (auth.jwt() ->> 'n')::int = 1`, { n: '0' }, /ERROR 22012 \(division_by_zero\)/],
  ];
  for (const [what, using, claims, text] of failing) {
    test(what, async () => {
      await instance.rows(`create or replace function picky() returns boolean language plpgsql stable as $$
        begin if auth.jwt() ->> 'bad' is not null then raise 'not for you'; end if; return true; end $$`);
      const name = await table(secured(using));
      const good = await Promise.all([1, 2, 3].map((n) => subscriber(name, { key: user({ sub: `good-${n}`, n: '1' }) })));
      const bad = await subscriber(name, { key: user({ sub: 'bad', ...claims }) });
      const twin = await subscriber(name, { key: user({ sub: 'bad', ...claims }) });
      const values = using.startsWith('n is null') ? '1, null' : 'null, null';
      const rows = await insertRows(name, 20, values);
      for (const self of good) {
        assert.deepEqual(await rowsOf(self), rows);
        assert.deepEqual(errorsOf(self), []);
      }
      for (const self of [bad, twin]) {
        assert.deepEqual(await rowsOf(self), []);
        assert.ok(errorsOf(self).length >= 1 && errorsOf(self).length <= 20);
        assert.match(errorsOf(self)[0], text);
        assert.equal(self.systems.at(-1).extension, 'postgres_changes');
      }
      // He stays subscribed: with another policy he gets what comes.
      await instance.rows(`alter policy p on ${name} using (true)`);
      const later = await insertRows(name, 2);
      for (const self of [...good, bad, twin]) {
        assert.deepEqual(await rowsOf(self), later);
        self.socket.drop();
      }
    });
  }

  test('a role that was dropped, and made again', async () => {
    await instance.rows('create role visitor nologin; grant usage on schema public to visitor; grant select on fence to visitor');
    const name = await table(`grant select on TABLE to visitor`);
    const gone = await subscriber(name, { key: instance.token('visitor') });
    const other = await subscriber(name);
    const before = await insertRows(name, 1);
    assert.deepEqual(await rowsOf(gone), before);
    await instance.rows('drop owned by visitor; drop role visitor');
    const rows = await insertRows(name, 5);
    assert.deepEqual(await rowsOf(other), [...before, ...rows]);
    await until('what is wrong', () => errorsOf(gone).length > 0);
    assert.match(errorsOf(gone)[0], /role "visitor" does not exist/);
    await instance.rows(`create role visitor nologin; grant usage on schema public to visitor; grant select on fence, ${name} to visitor`);
    const again = await insertRows(name, 1);
    assert.deepEqual(await rowsOf(gone), again);
    assert.deepEqual(await rowsOf(other), again);
    assert.deepEqual(errorsOf(other), []);
    gone.socket.drop();
    other.socket.drop();
  });

  // [what, the filter, DDL, what he is told]
  const ddl = [
    ['dropped', 'n=gt.5', 'drop column n', /invalid column for filter n$/],
    ['renamed', 'n=gt.5', 'rename column n to m', /invalid column for filter n$/],
    ['given another type', 'name=eq.hey', 'alter column name type int using 1', /ERROR 22P02 .* invalid input syntax for type integer: "hey"$/],
  ];
  for (const [what, filter, alter, text] of ddl) {
    test(`a column of a filter that was ${what}`, async () => {
      const name = await table('');
      const filtered = await subscriber(name, { filter });
      const other = await subscriber(name);
      const before = await insertRows(name, 1, `9, 'hey'`);
      assert.deepEqual(await rowsOf(filtered), before);
      await instance.rows(`alter table ${name} ${alter}`);
      const after = [newId(), newId()];
      await instance.rows(`insert into ${name} (id) values (${after[0]}), (${after[1]})`);
      assert.deepEqual(await rowsOf(other), [...before, ...after]);
      assert.deepEqual(errorsOf(other), []);
      await until('what is wrong', () => errorsOf(filtered).length > 0);
      assert.match(errorsOf(filtered)[0], text);
      assert.deepEqual(await rowsOf(filtered), []);
      filtered.socket.drop();
      other.socket.drop();
    });
  }

  test('a privilege that was taken away: the column is not shown any more', async () => {
    const name = await table('revoke select on TABLE from authenticated; grant select (id, n, name) on TABLE to authenticated');
    const self = await subscriber(name);
    const keys = async () => {
      await insertRows(name, 1, `1, 'x'`);
      return (await come(self)).map(({ record }) => Object.keys(record));
    };
    assert.deepEqual(await keys(), [['id', 'n', 'name']]);
    await instance.rows(`revoke select (name) on ${name} from authenticated`);
    assert.deepEqual(await keys(), [['id', 'n']]);
    self.socket.drop();
  });
});

describe('DDL between commit and delivery', () => {
  const first = () => ({ id: 1, n: 1, name: 'a' });
  // [what, DDL, what is inserted after it, its record, the table's name then]
  const cases = [
    ['a new column', 'alter table TABLE add column more int default 5', `(2, 1, 'b', 7)`, { id: 2, n: 1, name: 'b', more: 7 }],
    ['a column dropped', 'alter table TABLE drop column n', `(2, 'b')`, { id: 2, name: 'b' }],
    ['a column renamed', 'alter table TABLE rename column n to m', `(2, 3, 'b')`, { id: 2, m: 3, name: 'b' }],
    ['another type', 'alter table TABLE alter column n type text using n::text', `(2, 'three', 'b')`, { id: 2, n: 'three', name: 'b' }],
    ['a type that is not binary compatible, and back', `alter table TABLE alter column n type text using n::text; alter table TABLE alter column n type int using n::int`, `(2, 3, 'b')`, { id: 2, n: 3, name: 'b' }],
    ['a table that is rewritten', 'vacuum full TABLE', `(2, 3, 'b')`, { id: 2, n: 3, name: 'b' }],
    ['a truncated one', 'truncate TABLE', `(2, 3, 'b')`, { id: 2, n: 3, name: 'b' }],
    ['another primary key', 'alter table TABLE drop constraint TABLE_pkey, add primary key (id, n)', `(2, 3, 'b')`, { id: 2, n: 3, name: 'b' }],
    ['another identity', 'alter table TABLE replica identity full', `(2, 3, 'b')`, { id: 2, n: 3, name: 'b' }],
    ['another schema and back', 'create schema if not exists away; alter table TABLE set schema away; alter table away.TABLE set schema public', `(2, 3, 'b')`, { id: 2, n: 3, name: 'b' }],
  ];
  for (const [rls, kind] of [[false, 'changes'], [true, 'changes'], [true, 'change decoder']]) {
    for (const [what, sql, values, record] of cases) {
      test(`${what}, ${rls ? 'with' : 'without'} row level security, before the ${kind === 'changes' ? 'verdict' : 'decoding'}`, async () => {
        // The policy reads a column that stays as it is.
        const name = await table(rls ? `alter table TABLE enable row level security; create policy p on TABLE using (id > 0 and name <> '')` : '');
        const self = await subscriber(name);
        await held(async () => {
          await instance.rows(`insert into ${name} values (1, 1, 'a')`);
          await instance.rows(sql.replaceAll('TABLE', name));
          await instance.rows(`insert into ${name} values ${values}`);
        }, kind);
        assert.deepEqual((await come(self)).map((change) => change.record), [first(), record]);
        assert.deepEqual(errorsOf(self), []);
        self.socket.drop();
      });
    }
  }

  test('types that are changed or dropped before they are decoded', async () => {
    await instance.rows(`create type mood as enum ('sad', 'ok'); create type spot as (x int, y text); create domain short as text check (length(value) < 9)`);
    const name = await table('', 'id int primary key, m mood, s spot, d short');
    const self = await subscriber(name);
    for (const kind of ['change decoder', 'changes']) {
      await held(async () => {
        await instance.rows(`insert into ${name} values (1, 'sad', '(1,a)', 'x')`);
        await instance.rows(`alter type mood rename value 'sad' to 'glum'; alter type spot rename attribute x to z; alter type spot add attribute more int;
          insert into ${name} values (2, 'glum', '(2,b,3)', 'y')`);
        await instance.rows(`alter table ${name} drop column m, drop column s, drop column d; drop type mood; drop type spot; drop domain short`);
      }, kind);
      const changes = await come(self);
      assert.deepEqual(changes.map(({ record }) => record), [
        { id: 1, m: 'sad', s: { x: 1, y: 'a' }, d: 'x' }, { id: 2, m: 'glum', s: { z: 2, y: 'b', more: 3 }, d: 'y' },
      ]);
      assert.deepEqual(changes[0].columns.map(({ type }) => type), ['int4', 'mood', 'spot', 'short']);
      assert.deepEqual(errorsOf(self), []);
      await instance.rows(`create type mood as enum ('sad', 'ok'); create type spot as (x int, y text); create domain short as text check (length(value) < 9);
        delete from ${name}; alter table ${name} add column m mood, add column s spot, add column d short`);
      await come(self);
    }
    self.socket.drop();
  });

  test('a table renamed: its changes have the name that it had', async () => {
    const name = await table('');
    const self = await subscriber(name);
    const all = await watch(instance, [{ schema: 'public' }]);
    await held(async () => {
      await instance.rows(`insert into ${name} values (1); alter table ${name} rename to ${name}_b; insert into ${name}_b values (2); insert into fence values (${newId()})`);
    });
    assert.deepEqual((await come(self)).map(({ table: from, record }) => [from, record.id]), [[name, 1]]);
    assert.deepEqual((await come(all)).map(({ table: from, record }) => [from, record.id]), [[name, 1], [`${name}_b`, 2]]);
    self.socket.drop();
    all.socket.drop();
  });

  for (const rls of [false, true]) {
    test(`a table dropped, ${rls ? 'with' : 'without'} row level security: shown or told`, async () => {
      const name = await table(rls ? 'alter table TABLE enable row level security; create policy p on TABLE using (true)' : '');
      const self = await subscriber(name);
      const wide = await watch(instance, [{ schema: 'public' }], { key: user() });
      await held(() => instance.rows(`insert into ${name} values (1); drop table ${name}`));
      const got = await rowsOf(self);
      if (got.length === 0) {
        assert.match(errorsOf(self)[0], new RegExp(`^Unable to deliver a change of table public\\.${name}: the table does not exist any more`));
      } else {
        assert.deepEqual(got, [1]);
      }
      assert.equal((await rowsOf(wide)).length + errorsOf(wide).length > 0, true);
      // Made again under the same name it is another table, to which the subscription is as well.
      await instance.rows(`create table ${name} (id int primary key, n int, name text); alter publication supabase_realtime add table ${name}; insert into ${name} values (7)`);
      assert.deepEqual(await rowsOf(self), [7]);
      self.socket.drop();
      wide.socket.drop();
    });
  }

  test('a policy that reads a column which has another type now: told', async () => {
    const name = await table(`alter table TABLE enable row level security; create policy p on TABLE using (n > 0);
      grant select on TABLE, fence to service_role`);
    const self = await subscriber(name);
    const open = await subscriber(name, { key: instance.token('service_role') });
    await held(() => instance.rows(`
      insert into ${name} values (1, 1, 'a');
      drop policy p on ${name};
      alter table ${name} alter column n type text using n::text;
      create policy p on ${name} using (n > '0');
      insert into ${name} values (2, '1', 'b')`));
    assert.deepEqual(await rowsOf(self), [2]);
    assert.match(errorsOf(self)[0], /its policies read a column that is not in the change or has another type now$/);
    assert.equal(errorsOf(self).length, 1);
    // For whom no policy counts there is nothing that can't be judged.
    assert.deepEqual(await rowsOf(open), [1, 2]);
    assert.deepEqual(errorsOf(open), []);
    self.socket.drop();
    open.socket.drop();
  });

  test('a policy on a new column: an older row has its default, as in the table', async () => {
    const name = await table(`alter table TABLE enable row level security; create policy p on TABLE using (true)`);
    const self = await subscriber(name);
    await held(() => instance.rows(`
      insert into ${name} values (1, 1, 'a');
      alter table ${name} add column more int default 5;
      alter policy p on ${name} using (more = 5);
      insert into ${name} values (2, 1, 'b', 5), (3, 1, 'c', 6)`));
    assert.deepEqual((await come(self)).map(({ record }) => record), [{ id: 1, n: 1, name: 'a' }, { id: 2, n: 1, name: 'b', more: 5 }]);
    assert.deepEqual(errorsOf(self), []);
    self.socket.drop();
  });

  test('a new policy, and row level security turned on: those of now count', async () => {
    const name = await table('');
    const self = await subscriber(name);
    await held(() => instance.rows(`insert into ${name} values (1, 1), (2, 2); alter table ${name} enable row level security; create policy p on ${name} using (n = 2)`));
    assert.deepEqual(await rowsOf(self), [2]);
    await held(() => instance.rows(`insert into ${name} values (3, 1), (4, 2); create policy q on ${name} using (n = 1)`));
    assert.deepEqual(await rowsOf(self), [3, 4]);
    await held(() => instance.rows(`insert into ${name} values (5, 9); alter table ${name} disable row level security`));
    assert.deepEqual(await rowsOf(self), [5]);
    self.socket.drop();
  });

  test('the publication: what was published when it was committed comes', async () => {
    const name = await table('');
    const self = await subscriber(name);
    await held(() => instance.rows(`
      insert into ${name} values (1);
      alter publication supabase_realtime drop table ${name};
      insert into ${name} values (2);
      alter publication supabase_realtime add table ${name};
      insert into ${name} values (3)`));
    assert.deepEqual(await rowsOf(self), [1, 3]);
    self.socket.drop();
  });

  test('a role dropped', async () => {
    await instance.rows('drop role if exists visitor').catch(() => instance.rows('drop owned by visitor; drop role visitor'));
    await instance.rows('create role visitor nologin; grant usage on schema public to visitor; grant select on fence to visitor');
    const name = await table('grant select on TABLE to visitor; alter table TABLE enable row level security; create policy p on TABLE using (true)');
    const gone = await subscriber(name, { key: instance.token('visitor') });
    const other = await subscriber(name);
    await held(() => instance.rows(`insert into ${name} values (1); drop owned by visitor; drop role visitor; insert into ${name} values (2)`));
    assert.deepEqual(await rowsOf(other), [1, 2]);
    await until('what is wrong', () => errorsOf(gone).length > 0);
    assert.match(errorsOf(gone)[0], /role "visitor" does not exist/);
    gone.socket.drop();
    other.socket.drop();
  });
});

describe('what others lock', () => {
  test('a table that stays locked: its subscribers are told, others go on', async () => {
    const name = await table('');
    const free = await table('');
    const self = await subscriber(name);
    const other = await subscriber(free);
    const session = instance.session();
    const rows = [newId(), newId()];
    await held(async () => {
      await instance.rows(`insert into ${name} values (1); insert into ${name} values (2); insert into ${name} values (3); insert into ${free} values (${rows[0]})`);
      await session.rows(`begin; alter table ${name} add column more int`);
    });
    const began = Date.now();
    await until(() => `changes of other tables; told ${JSON.stringify(self.systems)}`, () => other.others.length > 0, { seconds: 10 });
    const took = Date.now() - began;
    assert.ok(took < 6000, `${took} ms`);
    // Who subscribes meanwhile is not kept waiting either, nor keeps others.
    const newcomer = await subscriber(name, { filter: 'n=gt.5', select: ['id', 'n'] });
    await instance.rows(`insert into ${free} values (${rows[1]})`);
    assert.deepEqual(await rowsOf(other), rows);
    assert.ok(Date.now() - began < 6000, `${Date.now() - began} ms`);
    assert.match(errorsOf(self)[0], new RegExp(`^Unable to deliver a change of table public\\.${name}: .*locked`));
    await session.rows('commit');
    await instance.rows(`insert into ${name} values (4, 9)`);
    assert.deepEqual(await rowsOf(self), [4]);
    assert.deepEqual(await rowsOf(newcomer), [4]);
    assert.deepEqual(errorsOf(other), []);
    [self, other, newcomer].forEach(({ socket }) => socket.drop());
  });

  test('a table that is locked for a moment: nothing is lost', async () => {
    const name = await table('');
    const self = await subscriber(name);
    const session = instance.session();
    await held(async () => {
      await instance.rows(`insert into ${name} values (1)`);
      await session.rows(`begin; alter table ${name} add column more int`);
    });
    await instance.rows('select pg_sleep(0.2)');
    await session.rows('commit');
    assert.deepEqual(await rowsOf(self), [1]);
    assert.deepEqual(errorsOf(self), []);
    self.socket.drop();
  });

  test('who locks two tables that we read is never a victim of ours', async () => {
    const [a, b] = [await table(''), await table('')];
    const self = await subscriber(a);
    const both = await watch(instance, [{ schema: 'public' }], { key: user() });
    const sessions = [instance.session(), instance.session()];
    await Promise.all([
      ...sessions.map(async (session, i) => {
        const [one, two] = i ? [a, b] : [b, a];
        for (let n = 0; n < 30; n++) {
          const id = 2 * n + i;
          await session.rows(`insert into ${two} values (${id}); insert into ${one} values (${id})`);
        }
      }),
      (async () => {
        const session = instance.session();
        for (let n = 0; n < 30; n++) {
          await session.rows(`begin; lock table ${a}; lock table ${b}; commit; begin; lock table ${b}; select pg_sleep(0.01); lock table ${a} nowait; commit`).catch((error) => {
            assert.match(error.message, /could not obtain lock/);
            return session.rows('rollback');
          });
        }
      })(),
    ]);
    assert.equal((await come(self)).length, 60);
    assert.equal((await come(both)).length, 120);
    self.socket.drop();
    both.socket.drop();
  });
});

// ---------------------------------------------------------------------------------------------------------------------

const percentile = (list, p) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * p))];

test('a filter whose value takes long to check is refused, and holds up nobody', async () => {
  await instance.rows(`
    create function slow(value text) returns bool language plpgsql as $$ begin if value = 'slow' then perform pg_sleep(600); end if; return true; end $$;
    create domain checked as text check (slow(value))`);
  const name = await table('', 'id int primary key, v checked');
  const self = await subscriber(name);
  assert.match(await refusal(instance, { table: name, filter: 'v=eq.slow' }, { key: user() }), /longer than realtime\.policy_timeout$/);
  await instance.rows(`insert into ${name} values (1, 'quick')`);
  assert.deepEqual(await rowsOf(self), [1]);
  self.socket.drop();
});

test('a filter that takes long is that of its subscriber, not of all with the same claims', async () => {
  const name = await table('');
  const key = user({ sub: 'all the same' });
  const slow = await subscriber(name, { key, filter: 'name=match.^(.*)(.*)(.*)\\1\\2\\3(c|d)$' });
  const others = await Promise.all([subscriber(name, { key }), subscriber(name, { key, filter: 'n=eq.0' }), subscriber(name), subscriber(name, { filter: 'name=like.ab%' })]);
  const rows = [];
  for (let i = 0; i < 6; i++) {
    rows.push(...(await insertRows(name, 1, `0, repeat('ab', 700) || 'c'`)));
  }
  for (const self of others) {
    assert.deepEqual(await rowsOf(self), rows);
    assert.deepEqual(errorsOf(self), []);
  }
  assert.match(errorsOf(slow)[0], /^Unable to deliver a change of table .*: its filter took longer than realtime\.policy_timeout/);
  assert.match(errorsOf(slow).at(-1), /: its filter, or another one of the same claims, took longer than realtime\.policy_timeout 3 times .* are not delivered here for 30 s/);
  assert.deepEqual(await rowsOf(slow), []);
  [slow, ...others].forEach(({ socket }) => socket.drop());
});

describe('a policy that sleeps', () => {
  test('for one of 500 users: the others are back within 5 s, and he is tried again after 30 s', { timeout: 120_000 }, async () => {
    const USERS = 500;
    const uuid = (n) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
    const name = await table(`
      create function sleeper() returns boolean language plpgsql stable as $$
        begin if auth.uid() = '${uuid(0)}' then perform pg_sleep(2); end if; return true; end $$;
      alter table TABLE enable row level security;
      create policy p on TABLE for select to authenticated using ((owner = auth.uid() or owner is null) and sleeper())`,
    'id bigint primary key, owner uuid');
    const users = [];
    const one = async (n) => {
      const self = { count: 0, systems: [] };
      self.socket = await instance.connect({
        key: user({ sub: uuid(n) }),
        onFrame(frame) {
          const sent = /"record":\{"id":(\d+)/.exec(frame.text);
          if (sent) {
            self.count++;
            self.late?.push(frame.at - Number(sent[1]) / 1000);
          } else if (frame.text?.includes('"system"')) {
            self.systems.push(readFrame(frame).payload);
          }
        },
      });
      self.socket.sendJson(['1', '1', 'realtime:many', 'phx_join', { config: { postgres_changes: [{ event: '*', schema: 'public', table: name }] } }]);
      return self;
    };
    for (let n = 0; n < USERS; n += 50) {
      users.push(...(await Promise.all(Array.from({ length: 50 }, (_, i) => one(n + i)))));
    }
    await until('all are subscribed', () => users.every(({ systems }) => systems.some(({ message }) => message === SUBSCRIBED)), { seconds: 30 });
    const [slow, ...others] = users;
    // Twenty changes a second, with the time of their insertion as key, while this is not stopped.
    const writer = instance.session();
    let stop = false;
    let written = 0;
    const writing = (async () => {
      while (!stop) {
        await writer.rows(`insert into ${name} values ((extract(epoch from clock_timestamp()) * 1000000)::bigint)`);
        written++;
        await pause(50);
      }
    })();
    try {
      const began = Date.now();
      await until(() => `he is suspended: ${JSON.stringify(slow.systems)}`, () => slow.systems.some(({ message }) => /are not delivered here for 30 s$/.test(message)), { seconds: 15 });
      const suspended = Date.now();
      await until('5 s', () => Date.now() - began >= 5000, { seconds: 10 });
      const late = [];
      others.forEach((self) => (self.late = late));
      await until('3 s of changes', () => Date.now() - began >= 8000, { seconds: 10 });
      others.forEach((self) => (self.late = undefined));
      assert.ok(late.length > 20 * others.length, `${late.length} deliveries`);
      const [p50, p95] = [0.5, 0.95].map((p) => percentile(late, p));
      assert.ok(p50 <= 50 && p95 <= 1500, `p50 ${p50} ms, p95 ${p95} ms`);
      assert.match(slow.systems.find(({ status }) => status === 'error').message, /^Unable to deliver a change of table .*: its policies took longer than realtime\.policy_timeout/);
      assert.equal(slow.count, 0);
      // Once its policy is better he gets changes, but not before his 30 s are over.
      await instance.rows('create or replace function sleeper() returns boolean language sql stable as $$ select true $$');
      await until('he gets changes again', () => slow.count > 0, { seconds: 40 });
      const after = Date.now() - suspended;
      assert.ok(after > 28_000 && after < 34_000, `${after} ms`);
    } finally {
      stop = true;
      await writing;
    }
    await until(() => `all changes: ${written}, came ${percentile(others.map(({ count }) => count), 0)}`, () => others.every(({ count }) => count === written), { seconds: 20 });
    assert.ok(others.every(({ systems }) => systems.every(({ status }) => status === 'ok')));
    for (const self of users) {
      self.socket.drop();
    }
  });

  test('and a stream far behind delay neither broadcasts nor presence nor heartbeats', { timeout: 60_000 }, async () => {
    const name = await table(`
      alter table TABLE enable row level security;
      create policy p on TABLE using (pg_sleep(0.05) is not null)`);
    const subscribers = await Promise.all([1, 2, 3].map((n) => subscriber(name, { key: user({ sub: `behind-${n}` }) })));
    await instance.rows(`insert into ${name} select g from generate_series(1, 2000) g`);
    const waits = new Map();
    const times = { broadcast: [], presence: [], heartbeat: [], sql: [] };
    const done = (kind, key) => {
      const began = waits.get(`${kind} ${key}`);
      if (began !== undefined) {
        times[kind].push(performance.now() - began);
        waits.delete(`${kind} ${key}`);
      }
    };
    let ready = 0;
    const join = async (n) => {
      const socket = await instance.connect({
        onFrame(frame) {
          const { event, ref, payload, userEvent } = readFrame(frame);
          if (event === 'broadcast' && n === 1) {
            const { event: e, payload: body } = payload ?? {};
            done((userEvent ?? e) === 'sql' ? 'sql' : 'broadcast', body?.k);
          } else if (event === 'presence_diff' && n === 1) {
            for (const { metas } of Object.values(payload.joins)) {
              metas.forEach(({ k }) => done('presence', k));
            }
          } else if (event === 'phx_reply') {
            done('heartbeat', ref);
          } else if (event === 'system' && payload.message === 'Replication connection established') {
            ready++;
          }
        },
      });
      socket.sendJson(['1', 'join', 'realtime:beside', 'phx_join', { config: { presence: { key: `p${n}`, enabled: true }, broadcast: { replication_ready: true } } }]);
      return socket;
    };
    const [to, from] = [await join(1), await join(2)];
    await until('both are there', () => ready === 2);
    const ask = (kind, key, send) => {
      waits.set(`${kind} ${key}`, performance.now());
      return send();
    };
    for (let k = 0; k < 200; k++) {
      ask('broadcast', k, () => from.sendJson(['1', `b${k}`, 'realtime:beside', 'broadcast', { type: 'broadcast', event: 'ws', payload: { k } }]));
      ask('heartbeat', `h${k}`, () => to.sendJson([null, `h${k}`, 'phoenix', 'heartbeat', {}]));
      if (k % 10 === 0) {
        ask('presence', k, () => from.sendJson(['1', `p${k}`, 'realtime:beside', 'presence', { type: 'presence', event: 'track', payload: { k } }]));
        await ask('sql', k, () => instance.rows(`select realtime.send('{"k": ${k}}', 'sql', 'beside', false)`));
      }
      await pause(20);
    }
    await until(() => `all answers; not yet: ${[...waits.keys()].slice(0, 5)}`, () => waits.size === 0);
    // The stream is behind all the time.
    const [behind] = await instance.rows(`select (select count(*) from ${name}) - ${subscribers[0].others.length}`);
    assert.ok(Number(behind) > 1000, `${behind} changes behind`);
    assert.ok(subscribers[0].others.length > 0);
    for (const [kind, list] of Object.entries(times)) {
      assert.ok(list.length >= 20, `${kind}: ${list.length}`);
      const [p50, p99] = [0.5, 0.99].map((p) => percentile(list, p));
      assert.ok(p50 <= 100 && p99 <= 3000, `${kind}: p50 ${p50} ms, p99 ${p99} ms`);
    }
    for (const socket of [to, from, ...subscribers.map((self) => self.socket)]) {
      socket.drop();
    }
  });
});
