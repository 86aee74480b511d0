// Messages of a database whose encoding is not UTF-8: what has no form there is refused, and a conversion that fails ends no delivery.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { startEncoded } from './lib/encoded.mjs';
import { fence, member } from './lib/member.mjs';
import { until } from './lib/poll.mjs';

let instance;
let session;
let self;
before(async () => {
  ({ instance, session } = await startEncoded('WIN1252'));
  self = await member(instance, 'm');
});
after(() => instance?.destroy());

const text = (hex) => `convert_from('\\x${hex}', 'WIN1252')`;
const send = (event, value = `'plain'`, topic = `'m'`) => `select realtime.send(jsonb_build_object('v', ${value}), ${event}, ${topic}, false);`;
const decoderPid = async () => (await session.rows(`select pid from realtime.workers where kind = 'realtime decoder' and state = 'running'`))[0];
const got = async () => (await fence(instance, self, { session })).map(({ event, payload }) => [event, payload.v]);

test('characters are converted, bytes that are none are refused', async () => {
  const pid = await decoderPid();
  // 80 is the euro, e4 an umlaut; 81 is nothing.
  await session.rows(`
    ${send(text('80'), text('e480'))}
    ${send(`'payload'`, text('6181'))}
    ${send(text('6181'))}
    ${send(`'topic'`, `'plain'`, text('6d81'))}
    ${send(`'next'`)}`);
  assert.deepEqual(await got(), [['€', 'ä€'], ['next', 'plain']]);
  assert.ok(self.systems.some(({ message }) => message === 'UnableToBroadcastChanges: payload has bytes that have no form in UTF-8'), JSON.stringify(self.systems));
  assert.equal(await decoderPid(), pid, 'the decoder goes on');
});

test('a replay leaves out what was refused', async () => {
  await session.rows(`create policy reads on realtime.messages for select to authenticated using (true)`);
  const since = Date.now() - 60_000;
  for (const value of [text('e4'), text('6181'), `'last'`]) {
    await session.rows(`select realtime.send(jsonb_build_object('v', ${value}), 'e', 'replayed')`);
  }
  await fence(instance, self, { session });
  const late = await member(instance, 'replayed', {
    key: instance.token('authenticated'), ready: false, config: { private: true, broadcast: { replay: { since, limit: 3 } } },
  });
  await until(() => `both: ${JSON.stringify(late.messages)}`, () => late.messages.length === 2);
  assert.deepEqual(late.messages.map(({ payload }) => payload.v), ['ä', 'last']);
  assert.deepEqual(late.systems, []);
  late.socket.drop();
});

test('a transaction that can not be decoded is passed over and told, whatever is decoded before it', { timeout: 120_000 }, async () => {
  const setConversion = (name) => session.rows(`update pg_conversion set conproc = 'pg_catalog.${name}'::regproc
    where conforencoding = pg_char_to_encoding('WIN1252') and contoencoding = pg_char_to_encoding('UTF8')`);
  const conversion = await session.value(`select conproc from pg_conversion
    where conforencoding = pg_char_to_encoding('WIN1252') and contoencoding = pg_char_to_encoding('UTF8')`);
  const log = await instance.logPosition();
  const pid = Number(await decoderPid());
  // Both are read in one go, before anything is put on the bus.
  process.kill(pid, 'SIGSTOP');
  try {
    await setConversion('euc_jp_to_utf8');
    await session.rows(send(`'before'`));
    await session.rows(`update realtime.messages set event = 'changed' where event = 'before'`);
    await session.rows(send(`'poison'`, text('e4')));
    await session.rows(send(`'after'`));
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await until(() => `the gap is told: ${JSON.stringify(self.systems)}`, () =>
    self.systems.some(({ message }) => message === 'Messages from the database were lost: a transaction could not be decoded'), { seconds: 60 });
  assert.deepEqual(await got(), [['before', 'plain'], ['after', 'plain']]);
  assert.equal((await instance.logSince(log)).match(/ERROR:  expected source encoding/g).length, 5);

  await setConversion(conversion);
  await session.rows(send(`'well'`, text('e4')));
  assert.deepEqual(await got(), [['well', 'ä']]);
});
