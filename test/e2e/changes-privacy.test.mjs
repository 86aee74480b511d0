// What one subscriber's judgement leaves behind, and what errors say: nobody learns of rows that are not his, and nobody's filters or
// types reach the verdicts of others.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { errorsOf, secured, startBench, workersStay } from './lib/changes.mjs';

let instance;
let table, user, subscriber, rowsOf, held;

before(async () => {
  ({ instance, table, user, subscriber, rowsOf, held } = await startBench(`
    create function pretends(value text) returns boolean language plpgsql as $$ begin
      perform set_config('request.jwt.claim.sub', 'victim', true); return true; end $$;
    create domain pretending as text check (pretends(value))`));
});
after(() => instance?.destroy());

workersStay(() => instance);

const VICTIM = `name = current_setting('request.jwt.claim.sub', true)`;

describe('what a type\'s code sets', () => {
  test('while a row is made for a policy is gone for the next one', async () => {
    const name = await table(secured(`d is not null and ${VICTIM}`), 'id int primary key, name text, d pretending');
    const all = await Promise.all([1, 2, 3].map((n) => subscriber(name, { key: user({ sub: `user-${n}` }) })));
    await instance.rows(`insert into ${name} values (1, 'victim', 'x'), (2, 'victim', 'x')`);
    for (const self of all) {
      assert.deepEqual(await rowsOf(self), []);
      assert.deepEqual(errorsOf(self), []);
      self.socket.drop();
    }
  });

  test('while a filter is tested is gone for the policy', async () => {
    const name = await table(secured(VICTIM), 'id int primary key, name text, d pretending');
    const self = await subscriber(name, { filter: 'd=eq.x' });
    await instance.rows(`insert into ${name} values (1, 'victim', 'x'), (2, 'victim', 'x')`);
    assert.deepEqual(await rowsOf(self), []);
    assert.deepEqual(errorsOf(self), []);
    self.socket.drop();
  });
});

// A value that can't be read any more: what was inserted is judged after its label has got another name.
describe('a value whose type does not know it any more', () => {
  let moods = 0;
  async function moody(insert) {
    const mood = `mood${++moods}`;
    await instance.rows(`create type ${mood} as enum ('sad', 'ok')`);
    const name = await table(secured('n = 1'), `id int primary key, n int, m ${mood}`);
    return { name, rename: () => held(() => instance.rows(`insert into ${name} values ${insert}; alter type ${mood} rename value 'sad' to 'glum'`)) };
  }

  test('in a column that no policy reads does not matter', async () => {
    const { name, rename } = await moody(`(1, 1, 'sad'), (2, 2, 'sad'), (3, 1, 'ok')`);
    const self = await subscriber(name);
    await rename();
    assert.deepEqual(await rowsOf(self), [1, 3]);
    assert.deepEqual(errorsOf(self), []);
    self.socket.drop();
  });

  test('is told to whom the filter belongs, unless the row is hidden from him', async () => {
    for (const [insert, rows, told] of [[`(1, 2, 'sad'), (2, 1, 'ok')`, [2], 0], [`(1, 2, 'sad'), (2, 1, 'ok'), (3, 1, 'sad')`, [2], 1]]) {
      const { name, rename } = await moody(insert);
      const self = await subscriber(name, { filter: 'm=eq.ok' });
      await rename();
      assert.deepEqual(await rowsOf(self), rows);
      assert.equal(errorsOf(self).length, told, JSON.stringify(errorsOf(self)));
      self.socket.drop();
    }
  });
});
