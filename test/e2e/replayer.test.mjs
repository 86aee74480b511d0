// The replayer's own tests: it accepts what was recorded, and notices every kind of departure.

import { test, describe } from 'node:test';
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { Bindings, Expect, matching, same, sameText } from './lib/match.mjs';
import { orderRules } from './lib/order.mjs';
import { isExpectation, loadTranscript, prepare } from './lib/transcript.mjs';
import { play, TooSlow } from './lib/replay.mjs';
import { Mirror } from './lib/mirror.mjs';
import { transcriptTokens } from './lib/tokens.mjs';
import { readFrame, userBroadcastPush } from './lib/frames.mjs';
import { DIFFERENCES } from './differences.mjs';

const here = new URL('./transcripts/', import.meta.url);
const tokens = transcriptTokens(JSON.parse(readFileSync(new URL('tokens.json', here))), 'x'.repeat(32));
const places = { tokens, ws: '/socket/websocket', api: '/api' };
const names = readdirSync(here)
  .filter((file) => file.endsWith('.json') && file !== 'tokens.json')
  .map((file) => file.slice(0, -'.json'.length));

// Plays a scenario against a mirror of it, after change(steps) has spoilt the mirror. What is spoilt is not waited for long;
// what is not has time for it on a machine with other things to do, too.
async function playMirrored(name, change, differences = []) {
  const prepared = prepare(loadTranscript(name), differences, places);
  const spoilt = { ...prepared, steps: structuredClone(prepared.steps) };
  change?.(spoilt.steps);
  const mirror = await new Mirror(spoilt).start();
  if (!change) {
    mirror.slack = 10_000;
  }
  try {
    return await play(prepared, mirror, 60);
  } finally {
    mirror.stop();
  }
}

const json = (value) => ({ text: JSON.stringify(value) });

describe('comparison', () => {
  const equal = (expected, actual, bindings = new Bindings()) => same(expected, actual, bindings);
  const A = '11111111-1111-4111-8111-111111111111';
  const B = '22222222-2222-4222-8222-222222222222';
  const C = '33333333-3333-4333-8333-333333333333';

  test('order of members is free, order of items and spelling of numbers are not', () => {
    assert.ok(equal({ json: { a: 1, b: [1, 2] } }, { text: '{"b":[1,2],"a":1}' }));
    assert.ok(!equal({ json: { a: 1, b: [1, 2] } }, { text: '{"b":[2,1],"a":1}' }));
    assert.ok(!equal({ json: [1] }, { text: '[1.0]' }));
    assert.ok(!equal({ json: { a: 1 } }, { text: '{"a":1,"a":1}' }));
    assert.ok(!equal({ json: { a: null } }, { text: '{}' }));
    assert.ok(!equal({ json: ['1'] }, { text: '[1]' }));
    assert.ok(!equal({ json: [] }, { text: '[' }));
    assert.ok(!equal({ json: [] }, { bytes: Buffer.from('[]') }));
  });

  test('uuids are free but equal where the recording has them equal', () => {
    const bindings = new Bindings();
    assert.ok(same({ json: [A] }, json([C]), bindings));
    assert.ok(same({ json: [A] }, json([C]), bindings));
    assert.ok(!same({ json: [A] }, json([B]), bindings));
    assert.ok(!same({ json: [B] }, json([C]), bindings));
    assert.ok(!equal({ json: [A] }, json(['x'])));
    assert.ok(!equal({ json: [A, A] }, json([B, C])));
    assert.ok(!equal({ json: [A, B] }, json([C, C])));
    assert.ok(!equal({ json: [A] }, json([B]), new Bindings(new Set([A]))));
    assert.ok(equal({ json: { [A]: 1, [B]: 2 } }, json({ [C]: 2, [A]: 1 })));
    assert.ok(!equal({ json: { [A]: 1, [B]: A } }, json({ [C]: 1, [A]: A })));
  });

  test('a comparison that fails ties nothing', () => {
    const bindings = new Bindings();
    assert.ok(!same({ json: [A, 1] }, json([B, 2]), bindings));
    assert.ok(same({ json: [A, 1] }, json([C, 1]), bindings));
  });

  test('entry ids, presence refs, times and seconds', () => {
    const reply = (id) => ['1', '1', 't', 'phx_reply', { status: 'ok', response: { postgres_changes: [{ id }] } }];
    const bindings = new Bindings();
    assert.ok(same({ json: reply(5) }, json(reply(77)), bindings));
    assert.ok(!same({ json: reply(5) }, json(reply(78)), bindings));
    assert.ok(!equal({ json: reply(5) }, json(reply(0))));
    assert.ok(!equal({ json: reply(5) }, json(reply('5'))));
    const change = (ids, time) => [null, null, 't', 'postgres_changes', { ids, data: { commit_timestamp: time } }];
    const now = '2026-01-02T03:04:05.678Z';
    assert.ok(same({ json: change([5], now) }, json(change([77], '2027-01-02T03:04:05Z')), bindings));
    assert.ok(!same({ json: change([5], now) }, json(change([76], now)), bindings));
    assert.ok(!same({ json: change([5], now) }, json(change([77], null)), bindings));
    assert.ok(equal({ json: { phx_ref: 'a', phx_ref_prev: 'b' } }, json({ phx_ref: 'x', phx_ref_prev: 'y' })));
    assert.ok(!equal({ json: { phx_ref: 'a', phx_ref_prev: 'b' } }, json({ phx_ref: 'x', phx_ref_prev: 'x' })));
    assert.ok(sameText('expired 5 seconds ago', 'expired 77 seconds ago', new Bindings()));
    assert.ok(!sameText('expired 5 seconds ago', 'expired x seconds ago', new Bindings()));
    assert.ok(!sameText('expired 5 seconds ago', 'expired 5 seconds ago!', new Bindings()));
  });

  test('recorded texts: the payload byte for byte, the rest as JSON', () => {
    const text = '{"ref":null,"event":"broadcast","payload":{"event":"e","payload":{"b": 2.50}},"topic":"t"}';
    assert.ok(equal({ text }, { text: text.replace('"ref":null,', '').replace('}', '}').replace('"topic":"t"', '"topic":"t","ref":null') }));
    assert.ok(!equal({ text }, { text: text.replace('{"b": 2.50}', '{"b":2.50}') }));
    assert.ok(!equal({ text }, { text: text.replace('2.50', '2.5') }));
    assert.ok(!equal({ text: '{"a":1,"a":2}' }, { text: '{"a":2,"a":1}' }));
    assert.ok(equal({ text: 'ok' }, { text: 'ok' }));
    assert.ok(!equal({ text: 'ok' }, { text: 'ok\n' }));
  });

  test('binary frames: byte for byte, uuids apart', () => {
    const frame = (id) => Buffer.concat([Buffer.from([4, 1, 1, 45, 1]), Buffer.from(`te{"id":"${id}"}{}`)]);
    assert.ok(equal({ hex: frame(A).toString('hex') }, { bytes: frame(B) }));
    assert.ok(!equal({ hex: frame(A).toString('hex') }, { bytes: frame(`${B.slice(0, 35)}x`) }));
    assert.ok(!equal({ hex: '00ff' }, { bytes: Buffer.from([0, 254]) }));
    assert.ok(!equal({ hex: '00' }, { text: '\0' }));
  });

  test('rules stand for values', () => {
    assert.ok(equal({ json: { reason: matching(/^No: /) } }, json({ reason: 'No: x' })));
    assert.ok(!equal({ json: { reason: matching(/^No: /) } }, json({ reason: 'Yes' })));
    assert.ok(!equal({ json: [new Expect('never', () => false)] }, json([1])));
  });
});

describe('order on one connection', () => {
  const steps = [
    { dir: 'send', conn: 'a', json: ['1', '1', 't', 'phx_join', {}] },
    { dir: 'recv', conn: 'a', json: ['1', '1', 't', 'phx_reply', { status: 'ok', response: {} }] },
    { dir: 'recv', conn: 'a', json: ['1', null, 't', 'system', { extension: 'system', status: 'ok' }] },
    { dir: 'recv', conn: 'a', json: ['1', null, 't', 'presence_state', {}] },
    { dir: 'send', conn: 'a', json: ['1', '2', 't', 'broadcast', {}] },
    { dir: 'recv', conn: 'a', json: [null, null, 't', 'broadcast', {}] },
    { dir: 'recv', conn: 'a', json: ['1', '2', 't', 'phx_reply', { status: 'ok', response: {} }] },
    { dir: 'recv', conn: 'a', json: [null, null, 't', 'broadcast', { meta: { id: '11111111-1111-4111-8111-111111111111' } }] },
    { dir: 'recv', conn: 'a', json: ['1', null, 't', 'system', { extension: 'system', status: 'error' }] },
    { dir: 'recv', conn: 'a', json: ['1', '1', 't', 'phx_close', {}] },
  ];
  const fixed = orderRules(steps);

  test('fixed', () => {
    for (const [i, j] of [[1, 2], [1, 3], [1, 7], [5, 6], [6, 9], [8, 9], [2, 8]]) {
      assert.ok(fixed(i, j), `${i} before ${j}`);
    }
  });
  test('free', () => {
    for (const [i, j] of [[2, 3], [2, 7], [5, 7], [6, 7], [7, 9]]) {
      assert.ok(!fixed(i, j), `${i} and ${j}`);
    }
  });
});

describe('the recordings, mirrored', { concurrency: 8 }, () => {
  for (const name of names) {
    test(name, async () => {
      assert.deepEqual(await playMirrored(name), []);
    });
  }
});

test('what is sent is what was recorded', async () => {
  const prepared = prepare(loadTranscript('broadcast-kind3-json'), [], places);
  const mirror = await new Mirror(prepared).start();
  await play(prepared, mirror, 30);
  mirror.stop();
  const sends = prepared.steps.filter(({ dir, conn }) => dir === 'send' && conn === 'a');
  const received = mirror.received.get('a').slice(0, sends.length);
  assert.deepEqual(
    received.map((frame) => (typeof frame === 'string' ? frame : frame.toString('hex'))),
    sends.map(({ json: value, hex }) => hex ?? JSON.stringify(value)),
  );
});

describe('departures are noticed', { concurrency: 8 }, () => {
  const isFrame = ({ dir }) => dir === 'recv';
  const pick = (steps, test) => steps.findIndex(test);
  const departures = {
    'a frame is missing': ['broadcast-v1-v2', (steps) => steps.splice(pick(steps, isFrame), 1)],
    'the last frame is missing': ['broadcast-v1-v2', (steps) => steps.splice(steps.findLastIndex(isFrame), 1)],
    'a frame too many': ['broadcast-v1-v2', (steps) => steps.splice(13, 0, structuredClone(steps[13]))],
    'a frame on the wrong connection': ['broadcast-v1-v2', (steps) => (steps[8].conn = 'v2')],
    'another ref': ['heartbeat-v2', (steps) => (steps[8].json[1] = '2')],
    'another status': ['join-bad-topic-v2', (steps) => (steps[12].json[4].status = 'ok')],
    'a member too many': ['join-minimal-v2', (steps) => (steps[2].json[4].response.x = 1)],
    'the ack before the own copy': [
      'broadcast-v1-v2',
      (steps) => ([steps[7].json, steps[8].json] = [steps[8].json, steps[7].json]),
    ],
    'something before the reply to the join': [
      'join-presence-v2',
      (steps) => ([steps[2].json, steps[3].json] = [steps[3].json, steps[2].json]),
    ],
    'two messages swapped': [
      'broadcast-self-ack-v1',
      (steps) => ([steps[8].json, steps[9].json] = [steps[9].json, steps[8].json]),
    ],
    'an id that is not the same everywhere': [
      'db-send-public',
      (steps) => (steps[9].text = steps[9].text.replace('b92b8493', 'deadbeef')),
    ],
    'a payload that was written again': ['db-send-public', (steps) => (steps[9].text = steps[9].text.replace('"x": 1', '"x":1'))],
    'a binary frame with another byte': ['broadcast-kind3-raw', (steps) => (steps[10].hex = steps[10].hex.replace(/fe$/, 'ff'))],
    'text instead of binary': [
      'broadcast-kind3-raw',
      (steps) => {
        delete steps[10].hex;
        steps[10].text = 'x';
      },
    ],
    'a refusal with another status': ['connect-no-key', (steps) => (steps[0].status = 403)],
    'a refusal with another body': ['connect-no-key', (steps) => (steps[0].json.error += '.')],
    'a refusal with another content type': ['connect-no-key', (steps) => (steps[0].headers['content-type'] = 'text/html')],
    'accepted instead of refused': [
      'connect-no-key',
      (steps) => Object.assign(steps[0], { status: 101, headers: {} }),
    ],
    'another HTTP body': ['http-misc', (steps) => (steps[0].text = 'OK')],
    'a body where there was none': ['http-misc', (steps) => (steps[8].text = '{}')],
    'a header is missing': ['http-misc', (steps) => delete steps[1].headers['x-rate-limit']],
    'the server hangs up': [
      'heartbeat-v1',
      (steps) => steps.splice(23, 0, { dir: 'close', conn: 'a', by: 'server', code: 1000 }),
    ],
    'another close code': ['idle', (steps) => (steps[pick(steps, ({ by }) => by === 'server')].code = 1001)],
    'the server does not hang up': ['idle', (steps) => steps.splice(pick(steps, ({ by }) => by === 'server'), 1)],
    'another SQL error': ['db-broadcast-changes', (steps) => (steps[27].notices[0] += '.')],
    'no SQL error': ['db-broadcast-changes', (steps) => (steps[27].notices = [])],
    'a warning where there was none': ['db-send-public', (steps) => (steps[8].notices = ['WARNING:  x'])],
    'other entry ids for equal entries': [
      'pg-rejoin-ids',
      (steps) => {
        const i = steps.findLastIndex((step) => isFrame(step) && step.json?.[4]?.response?.postgres_changes?.length > 0);
        steps[i].json[4].response.postgres_changes[0].id = 7;
      },
    ],
    'one presence ref for two': [
      'presence-v2',
      (steps) => {
        const text = JSON.stringify(steps);
        const refs = [...new Set([...text.matchAll(/"phx_ref":"([^"]+)"/g)].map(([, ref]) => ref))];
        steps.splice(0, steps.length, ...JSON.parse(text.replaceAll(refs[1], refs[0])));
      },
    ],
  };
  for (const [what, [name, change]] of Object.entries(departures)) {
    test(what, async () => {
      const failures = await playMirrored(name, change);
      assert.notEqual(failures.length, 0);
    });
  }
});

test('departures in what was played more slowly than may be count for nothing', async () => {
  const miss = (steps) => steps.splice(steps.findLastIndex(({ dir }) => dir === 'recv'), 1);
  await assert.rejects(playMirrored('broadcast-v1-v2', miss, [{ most: -1 }]), TooSlow);
  assert.equal((await playMirrored('broadcast-v1-v2', miss, [{ most: 60_000 }])).length, 1);
  assert.deepEqual(await playMirrored('broadcast-v1-v2', undefined, [{ most: -1 }]), []);
});

describe('differences', () => {
  test('name existing scenarios and steps, and still let the steps be played', () => {
    for (const [name, differences] of Object.entries(DIFFERENCES)) {
      const { steps } = prepare(loadTranscript(name), differences, places);
      assert.ok(steps.some(isExpectation) || steps.some(({ dir }) => dir === 'open' || dir === 'http'), name);
      for (const { why } of differences) {
        assert.ok(why, `${name}: every difference says why`);
      }
    }
  });
});

test('frames are read and written', () => {
  const frame = userBroadcastPush({ joinRef: '1', ref: '2', topic: 'realtime:t', event: 'e', payload: { x: 1 } });
  const read = readFrame({ bytes: frame });
  assert.deepEqual(read.payload, { type: 'broadcast', event: 'e', payload: { x: 1 } });
  assert.equal(read.topic, 'realtime:t');
  assert.equal(read.ref, '2');
  const raw = readFrame({ bytes: userBroadcastPush({ topic: 't', event: 'e', payload: Buffer.from([1, 2]) }) });
  assert.equal(raw.encoding, 0);
  assert.deepEqual([...raw.data], [1, 2]);
});
