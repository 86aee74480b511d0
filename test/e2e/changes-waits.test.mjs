// What the judging of a change may have to wait for: locks on what policies read, and the end of the transaction that it comes from. It
// waits for no longer than realtime.policy_timeout; whoever misses a change is told. What that transaction has changed counts.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { errorsOf, secured, startBench, workersStay } from './lib/changes.mjs';
import { pause, until } from './lib/poll.mjs';

let instance;
let newId, table, user, subscriber, come, rowsOf, insertRows;

before(async () => {
  ({ instance, newId, table, user, subscriber, come, rowsOf, insertRows } = await startBench(`
    create table members (who text, n int);
    insert into members values ('all', 1)`));
});
after(() => instance?.destroy());

workersStay(() => instance);

const LOCKED = /: a table that its policies read is locked, and that it is has taken longer than realtime\.policy_timeout$/;

describe('a lock on a table that a policy reads', () => {
  const sub = 'exists (select from members m where m.n = TABLE.n)';

  test('the others go on, its subscribers are told once it has been waited for, and get what comes after it', { timeout: 60_000 }, async () => {
    const name = await table(secured(sub));
    const free = await table('');
    // Many users: the lock is waited for once, not for each.
    const all = await Promise.all(Array.from({ length: 20 }, (_, i) => subscriber(name, { key: user({ sub: `user-${i}` }) })));
    const other = await subscriber(free);
    const before = await insertRows(name, 1, '1, null');
    for (const self of all) {
      assert.deepEqual(await rowsOf(self), before);
    }
    const session = instance.session();
    await session.rows('begin; lock table members');
    const began = Date.now();
    try {
      for (let i = 0; i < 5; i++) {
        await insertRows(name, 1, '1, null');
      }
      const rows = await insertRows(free, 1);
      assert.deepEqual(await rowsOf(other), rows);
      // One user after the other, three times each, would be a minute.
      assert.ok(Date.now() - began < 20_000, `${Date.now() - began} ms`);
      for (const self of all) {
        await until('what is wrong', () => errorsOf(self).length > 0);
        assert.match(errorsOf(self)[0], LOCKED);
      }
    } finally {
      await session.rows('commit');
      session.close();
    }
    // Nobody is suspended for it.
    const after = await insertRows(name, 1, '1, null');
    for (const self of all) {
      assert.deepEqual(await rowsOf(self), after);
      self.socket.drop();
    }
    assert.deepEqual(errorsOf(other), []);
    other.socket.drop();
  });

  test('for a moment: nothing is lost', async () => {
    const name = await table(secured(sub));
    const self = await subscriber(name);
    const before = await insertRows(name, 1, '1, null');
    assert.deepEqual(await rowsOf(self), before);
    const session = instance.session();
    await session.rows('begin; lock table members');
    const rows = await insertRows(name, 1, '1, null');
    await instance.rows('select pg_sleep(0.2)');
    await session.rows('commit');
    session.close();
    assert.deepEqual(await rowsOf(self), rows);
    assert.deepEqual(errorsOf(self), []);
    self.socket.drop();
  });

  test('a function of a policy that takes errors for a no does not take such a wait for one', async () => {
    const name = await table(`
      create function forgiving() returns boolean language plpgsql stable as $$ begin
        return exists (select from members); exception when others then return false; end $$;
      ${secured('forgiving()')}`);
    const self = await subscriber(name);
    const before = await insertRows(name, 1);
    assert.deepEqual(await rowsOf(self), before);
    const session = instance.session();
    await session.rows('begin; lock table members');
    const rows = await insertRows(name, 1);
    await instance.rows('select pg_sleep(0.2)');
    await session.rows('commit');
    session.close();
    assert.deepEqual(await rowsOf(self), rows);
    self.socket.drop();
  });

  test('who has it and asks for our table is never a victim of ours', { timeout: 60_000 }, async () => {
    const name = await table(secured(sub));
    const self = await subscriber(name);
    await insertRows(name, 1, '1, null');
    await come(self);
    const session = instance.session();
    for (let i = 0; i < 5; i++) {
      await session.rows('begin; lock table members');
      await insertRows(name, 5, '1, null');
      await session.rows(`lock table ${name}; commit`);
    }
    session.close();
    assert.deepEqual(await rowsOf(self).then((rows) => rows.length), 25);
    self.socket.drop();
  });
});

test('a policy that was given up while it ran is made anew under the clock too', { timeout: 60_000 }, async () => {
  // The planner asks for what a stable function says: it waits for an advisory lock.
  const name = await table(`
    create function current_team() returns int language plpgsql stable as $$
      begin perform pg_advisory_xact_lock_shared(77); return 1; end $$;
    ${secured('n = current_team() and exists (select from members)')}`);
  const free = await table('');
  const [self, other] = [await subscriber(name), await subscriber(free)];
  const before = await insertRows(name, 1, '1, null');
  assert.deepEqual(await rowsOf(self), before);
  const session = instance.session();
  await session.rows('select pg_advisory_lock(77)');
  try {
    for (let i = 0; i < 2; i++) {
      await insertRows(name, 1, '1, null');
    }
    const rows = await insertRows(free, 1);
    assert.deepEqual(await rowsOf(other), rows);
    await until('what is wrong', () => errorsOf(self).length > 0);
  } finally {
    session.close();
  }
  self.socket.drop();
  other.socket.drop();
});

describe('the transaction that a change comes from', () => {
  // A change that is judged for some ms comes first, so that the transaction ends while the batch goes on in which it is judged.
  const PAUSE = 'create or replace function pause() returns boolean language plpgsql stable as $$ begin perform pg_sleep(0.012); return true; end $$;';

  test('takes a privilege away: what it writes is not shown any more', { timeout: 60_000 }, async () => {
    const secret = await table('');
    const slow = await table(`${PAUSE} ${secured('pause()')}`);
    const self = await subscriber(secret);
    const reader = await subscriber(slow);
    for (let i = 0; i < 20; i++) {
      await instance.rows(`
        begin; insert into ${secret} values (${newId()}, 1, 'shown'); insert into ${slow} values (${newId()}); commit;
        begin; revoke select on ${secret} from authenticated; grant select (id, n) on ${secret} to authenticated;
        insert into ${secret} values (${newId()}, 1, 'secret'); commit`);
      const changes = await come(self);
      assert.equal(changes.length, 2);
      assert.deepEqual(changes[1].record, { id: changes[0].record.id + 2, n: 1 });
      await come(reader);
      await instance.rows(`grant select on ${secret} to authenticated`);
    }
    self.socket.drop();
    reader.socket.drop();
  });

  test('replaces a function of the policies: what it writes is judged by that', { timeout: 60_000 }, async () => {
    const open = (yes) => `create or replace function is_open() returns boolean language sql stable as 'select ${yes}';`;
    const name = await table(`${PAUSE} ${open(true)} ${secured('is_open() and pause()')}`);
    const self = await subscriber(name);
    for (let i = 0; i < 20; i++) {
      const [shown, hidden] = [newId(), newId()];
      await instance.rows(`insert into ${name} values (${shown}); begin; ${open(false)} insert into ${name} values (${hidden}); commit`);
      assert.ok(!(await rowsOf(self)).includes(hidden));
      await instance.rows(open(true));
    }
    self.socket.drop();
  });

  test('and is not visible for long, as it waits for a standby: its subscribers are told', { timeout: 60_000 }, async () => {
    const name = await table(secured('true'));
    const self = await subscriber(name);
    assert.deepEqual(await rowsOf(self), []);
    const session = instance.session();
    await instance.set('synchronous_standby_names', "'nobody'");
    let waiting;
    // Until the setting is known to all it waits for nobody.
    for (let waits = false; !waits;) {
      waiting = session.rows(`insert into ${name} values (${newId()})`, 60);
      waits = await Promise.race([waiting.then(() => false), pause(1000).then(() => true)]);
    }
    try {
      await until('what is wrong', () => errorsOf(self).length > 0, { seconds: 20 });
      assert.match(errorsOf(self)[0], /: its transaction is not visible yet, and that it is not has taken longer than realtime\.policy_timeout$/);
    } finally {
      await instance.set('synchronous_standby_names', "''");
      await waiting;
      session.close();
    }
    const rows = await insertRows(name, 1);
    assert.deepEqual((await rowsOf(self)).slice(-1), rows);
    self.socket.drop();
  });
});
