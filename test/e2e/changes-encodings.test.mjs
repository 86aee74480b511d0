// A database whose encoding is not UTF-8: texts without a form on the other side end no worker, and what can be told is told.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { refusal, watch } from './lib/changes.mjs';
import { startEncoded } from './lib/encoded.mjs';
import { until } from './lib/poll.mjs';

// [encoding, bytes of a text in it]: in UTF-8 it has a form, or none, or is not valid.
const ENCODINGS = [
  ['LATIN1', 'a3a4'],
  ['EUC_JP', 'a3a4'],
  ['SQL_ASCII', 'a3a4'],
];

for (const [encoding, bytes] of ENCODINGS) {
  describe(encoding, () => {
    let instance;
    let session;
    let pid;
    before(async () => {
      ({ instance, session } = await startEncoded(encoding, `
        create table items (id int primary key, body text);
        create table raising (id int primary key);
        grant select on items, raising to anon;
        create function raise() returns bool language plpgsql stable as $$ begin raise exception 'no: %', convert_from('\\x${bytes}', getdatabaseencoding()); end $$;
        alter table raising enable row level security;
        create policy p on raising for select using (raise());
        alter publication supabase_realtime add table items, raising`));
    });
    after(() => instance?.destroy());

    const changesPid = async () => (await session.rows(`select pid from realtime.workers where kind = 'realtime changes'`))[0];

    test('what comes, is told and is refused', async () => {
      const self = await watch(instance, [{ table: 'items' }, { table: 'raising' }]);
      pid = await changesPid();
      await session.rows(`insert into items values (1, 'plain'), (2, convert_from('\\x61${bytes}62', getdatabaseencoding())); insert into raising values (3)`);
      const data = await self.take(2);
      assert.deepEqual(data.map(({ record }) => record.id), [1, 2]);
      assert.match(data[1].record.body, /^a.+b$/u);
      await until(() => `an error: ${JSON.stringify(self.systems)}`, () => self.systems.some(({ message }) => /P0001 \(raise_exception\) no: /.test(message)));

      // A filter with a character that the database does not have, and a name of no table.
      assert.match(await refusal(instance, { table: 'items', filter: 'nösuch\u{1F600}=eq.\u{1F600}' }), /^Unable to subscribe to changes with given parameters\. An exception happened/);
      assert.match(await refusal(instance, { table: 'nösuch' }), /Please check Realtime is enabled/);
      assert.match(await refusal(instance, { table: '\u{1F600}', filter: 'id=eq.x' }), /^Unable to subscribe to changes/);
      assert.equal(await changesPid(), pid);
      self.socket.drop();
    });

    test('a loss', async () => {
      const self = await watch(instance, [{ table: 'items' }]);
      await session.rows(`insert into items values (10)`);
      await self.take(1);
      const [decoder] = await session.rows(`select pid from realtime.workers where kind = 'realtime change decoder'`);
      await session.rows(`select pg_terminate_backend(${decoder})`);
      await until(() => `a loss: ${JSON.stringify(self.systems)}`, () => self.systems.some(({ message }) => /may have been lost/.test(message)), { seconds: 20 });
      await until(() => 'the end of it', () => self.systems.filter(({ status }) => status === 'ok').length > 1);
      await session.rows(`insert into items values (11)`);
      assert.deepEqual((await self.take(1)).map(({ record }) => record.id), [11]);
      assert.equal(await changesPid(), pid);
      self.socket.drop();
    });
  });
}
