// Where the server deliberately differs from the recordings: transcripts/DIFFERENCES.md in code.
// What is written here is asserted in place of the recorded step. The fields are those that
// lib/transcript.mjs and lib/replay.mjs name; `why` says which finding (of transcripts/README.md) or
// section of the protocol it rests on. An entry with `until` holds until that issue is done.

import { Expect, matching } from './lib/match.mjs';
import { loadTranscript } from './lib/transcript.mjs';

// Issues whose features the server has.
export const DONE = new Set([2, 3, 4, 5, 6]);

// ---------------------------------------------------------------- frames that are used often

const reply = (joinRef, ref, topic, status, response) => ({
  json: [joinRef, ref, topic, 'phx_reply', { status, response }],
});
const replyV1 = (ref, topic, status, response) => ({
  json: { ref, event: 'phx_reply', payload: { status, response }, topic },
});
const system = (joinRef, topic, payload) => ({
  json: [joinRef, null, topic, 'system', { ...payload, channel: topic.slice('realtime:'.length) }],
});
const systemV1 = (topic, payload) => ({
  json: { ref: null, event: 'system', payload: { ...payload, channel: topic.slice('realtime:'.length) }, topic },
});
const broadcastV1 = (topic, payload) => ({ json: { ref: null, event: 'broadcast', payload, topic } });
const kind4 = (topic, event, payload) => ({
  hex: Buffer.concat([
    Buffer.from([4, Buffer.byteLength(topic), Buffer.byteLength(event), 0, 1]),
    Buffer.from(topic + event + payload),
  ]).toString('hex'),
});

const malformedKey = {
  status: 401,
  headers: { 'content-type': 'application/json; charset=utf-8' },
  json: { error: 'The token provided is not a valid JWT' },
};
const notFound = {
  headers: { 'content-type': 'application/json; charset=utf-8', 'x-request-id': '(present)' },
  json: { message: 'Not Found' },
};
const preflight = {
  status: 204,
  headers: {
    'access-control-allow-origin': '*',
    'access-control-allow-methods': 'POST, OPTIONS',
    'access-control-allow-headers': 'authorization, apikey, content-type, x-client-info',
    'access-control-max-age': '(present)',
  },
  text: '',
};
const restError = (status, message) => ({
  status,
  headers: { 'content-type': 'application/json; charset=utf-8', 'x-request-id': '(present)' },
  json: { message },
});
const presenceDiff = (topic, joins, leaves, joinRef = null) => ({
  json: [joinRef, null, topic, 'presence_diff', { joins, leaves }],
});
const presenceDiffV1 = (topic, joins, leaves) => ({
  json: { ref: null, event: 'presence_diff', payload: { joins, leaves }, topic },
});
const present = (key, ...metas) => ({ [key]: { metas } });
const invalidJoin = (member) => ({ reason: matching(new RegExp(`^InvalidJoinPayload: .*${member}`)) });
const writeDenied = { reason: 'Unauthorized: You do not have permissions to write to this Channel topic' };
const tooMany = {
  reason: 'Too many messages per second',
  retry_after_ms: new Expect('milliseconds', (n) => Number.isInteger(n) && n > 0),
};
const invalidPayload = { reason: matching(/^InvalidPayload: ./) };

// ---------------------------------------------------------------- a bad member of the join config

// Bad booleans take their default and a system error names them (finding 11). `names` are the
// members that some message has to name.
const namedInSystemErrors = (conn, topic, names) => ({
  why: 'finding 11: a system error names each value that took its default',
  extra: {
    conn,
    topic,
    event: 'system',
    min: 1,
    max: names.length,
    what: `system errors that name ${names.join(', ')}`,
    check: (payloads) =>
      payloads.every(({ status, message }) => status === 'error' && typeof message === 'string') &&
      names.every((name) => payloads.some(({ message }) => message.includes(name))),
  },
});

// ---------------------------------------------------------------- broadcast payloads that are no objects

// In broadcast-odd-payload-*: the pushes of a non-object get an error reply and the channel lives, so
// that the joins after the crashes are not made.
const BAD_PUSHES = [
  ['10', 41],
  ['11', 45],
  ['12', 49],
  ['13', 53],
];

// ---------------------------------------------------------------- numbers and equal keys pass as they came

const ODD_NUMBERS = '{"event":"e","payload":[1,2.50,1e3,12345678901234567890,0.1,-0,"\\u00e9\\u2028\\/",null,true]}';
const textV1 = (topic, payload) => ({ text: `{"ref":null,"event":"broadcast","payload":${payload},"topic":"${topic}"}` });
const textV2 = (topic, payload) => ({ text: `[null,null,"${topic}","broadcast",${payload}]` });

// ---------------------------------------------------------------- names of more than 255 bytes

const LONG_TOPIC = `realtime:${'abcdefghij'.repeat(25)}`;
const LONG_EVENT = 'abcdefgh'.repeat(32);
// The id is any uuid: it is tied to the other places where the same message shows it.
const fromDatabase = (event, number, id) =>
  `{"event":"${event}","meta":{"id":"${id}"},"payload":{"x": ${number}, "id": "${id}"},"type":"broadcast"}`;
const ID_OF_4 = '44444444-0000-4000-8000-000000000004';
const ID_OF_5 = '123cb0c6-dc8f-49bf-aca7-3a6d06dd79dc';

const LENIENT_META = { phx_ref: 'GOrxlWRH6UaZ64gR', a: 1 };

// The metas of presence-odd without what the client had called phx_ref.
const ODD = 'realtime:rec-presodd';
const CAPS_META = { phx_ref: 'GOrxm7SL3RQaMWxx', phx_ref_prev: 'GOrxm1UPtE4aMWxh', caps: 1 };
const OWN_REF_META = { phx_ref: 'GOrxnBQKY6YaMWyB', phx_ref_prev: 'GOrxm7SL3RQaMWxx', metas: 1 };

const K3 = 'realtime:rec-k3';
const NO_REFS = '{"x":4}';

// ---------------------------------------------------------------- changes

// A recorded step with some of its text replaced: pairs of what is there and what comes instead.
function edited(name, step, pairs) {
  const { json, text = JSON.stringify(json) } = loadTranscript(name).steps[step];
  const changed = pairs.reduce((all, [from, to]) => {
    if (!all.includes(from)) {
      throw new Error(`${name}, step ${step} has no ${from}`);
    }
    return all.replace(from, () => to);
  }, text);
  return { text: changed };
}
const editedSteps = (name, steps, why, pairs) => steps.map((step) => ({ step, why, replace: edited(name, step, pairs) }));

// What the reference's printer has broken into lines.
function onOneLine(name, step) {
  const [joinRef, ref, topic, event, payload] = loadTranscript(name).steps[step].json;
  const message = payload.message.replace(/([[,])\n */g, (_, mark) => (mark === '[' ? mark : ', ')).replace(/\n *\]/g, ']');
  return { json: [joinRef, ref, topic, event, { ...payload, message }] };
}

// A change of rec.owned before the row was hidden or deleted.
const ownedBefore = (id, body) => ({
  conn: 'auth1',
  text: loadTranscript('pg-rls-late').steps[9].text.replace('"id": 3', `"id": ${id}`).replace('"body": "a"', `"body": "${body}"`),
});

export const DIFFERENCES = {
  // -------------------------------------------------------------- Postgres Changes
  'pg-bad-column': [{ step: 41, why: '§6.5: on one line', replace: onOneLine('pg-bad-column', 41) }],
  'pg-bpchar': [
    ...editedSteps('pg-bpchar', [10, 11], 'finding 21: full values', [
      ['"b": "1"', '"b": "1010"'],
      ['"c": "a"', '"c": "ab   "'],
      ['"bs": ["1"]', '"bs": ["1010"]'],
      ['"cs": ["a", "c"]', '"cs": ["ab   ", "cdefg"]'],
    ]),
    ...editedSteps('pg-bpchar', [13], 'finding 21: full values', [
      ['"b": "1"', '"b": "1010"'],
      ['"c": "z"', '"c": "zz   "'],
      ['"bs": ["1"]', '"bs": ["1010"]'],
      ['"cs": ["a", "c"]', '"cs": ["ab   ", "cdefg"]'],
    ]),
  ],
  'pg-client-id': editedSteps('pg-client-id', [3], 'finding 12: the id is ours', [
    ['"id":5,', ''],
    ['"id":null,', ''],
  ]),
  'pg-filter-json': [
    {
      step: 4,
      why: 'finding 22: refused at subscribe time',
      replace: system('1', 'realtime:rec-pg-json', {
        message: matching(/^Unable to subscribe to changes with given parameters\..*\{"c_json", "eq", "\{\}", false\}.*Exception: ERROR /),
        status: 'error',
        extension: 'postgres_changes',
      }),
    },
    {
      step: 11,
      why: 'finding 22: nothing is lost',
      insert: [{ conn: 'plain', json: [null, null, 'realtime:rec-pg-plain', 'postgres_changes', { ids: [59752378], data: new Expect('the row of rec.types', (data) => data?.table === 'types' && data.record?.id === 1) }] }],
    },
  ],
  'pg-no-params': [
    ...editedSteps('pg-no-params', [45], 'finding 12: the id is ours', [['"id":5,', '']]),
    {
      step: 68,
      why: 'finding 11: entries that are no objects',
      replace: reply('1', '1', 'realtime:rec-pgerr-strings', 'error', invalidJoin('postgres_changes')),
    },
  ],
  'pg-publication-change': [
    {
      step: 10,
      why: 'a lost change: tables count from the moment at which they are published',
      insert: [
        {
          conn: 'schema',
          text: loadTranscript('pg-publication-change').steps[14].text.replace('"v": "in time", "id": 2', '"v": "too early", "id": 1'),
        },
      ],
    },
    { step: [11, 12], why: 'so nobody has to be subscribed again', absent: true },
  ],
  'pg-rls-late': [
    { step: 5, why: 'judged on the committed row version', insert: [ownedBefore(1, 'gone')] },
    { step: 7, why: 'judged on the committed row version', insert: [ownedBefore(2, 'hidden')] },
  ],
  'pg-types': [
    ...editedSteps('pg-types', [10, 11, 22, 23], 'finding 21: full values; json passes as it is, as in finding 10', [
      ['"c_bpchar": "a"', '"c_bpchar": "ab   "'],
      ['"c_json": {"a": [1.50, null], "b": 2}', '"c_json": {"b": 1,  "a": [1.50, null], "b": 2}'],
    ]),
    ...editedSteps('pg-types', [16, 17], 'finding 21: NaN and infinity', [
      ['"c_float4": null', '"c_float4": "Infinity"'],
      ['"c_float8": null', '"c_float8": "-Infinity"'],
      ['"c_numeric": null', '"c_numeric": "NaN"'],
    ]),
  ],

  // -------------------------------------------------------------- Connecting and HTTP
  'connect-malformed-key': [
    { step: 5, why: 'finding 1: no 500 for a malformed token', replace: malformedKey },
  ],
  'http-misc': [
    { step: [2, 3, 4, 7], why: 'finding 28: JSON bodies', replace: notFound },
    { step: [5, 6], why: 'finding 30: OPTIONS is answered', replace: preflight },
    {
      step: 8,
      why: 'issue 6: /metrics is open to this host, so it is asked for as a proxy passes it on',
      replace: { request: { method: 'GET', path: '/metrics', headers: { 'x-forwarded-for': '192.0.2.1' } } },
    },
  ],

  // -------------------------------------------------------------- The socket
  idle: [{ why: 'played 20 times as fast, with an idle_timeout to match', pace: 1 / 20, settings: { 'realtime.idle_timeout': "'3s'" } }],

  // -------------------------------------------------------------- Joining and leaving
  'join-booleans': [5, 6, 9, 10].map((n) => namedInSystemErrors('a', `realtime:rec-bool-${n}`, ['ack', 'self', 'enabled'])),
  'join-config-shapes': [
    ...[
      [35, 'config-array', 'config'],
      [36, 'config-string', 'config'],
      [37, 'payload-array', 'payload'],
      [38, 'payload-null', 'payload'],
      [39, 'payload-string', 'payload'],
      [40, 'parts-array', '(broadcast|private)'],
      [41, 'parts-string', '(broadcast|private)'],
    ].map(([step, shape, member]) => ({
      step,
      why: 'finding 11: refused by name',
      replace: reply('1', '1', `realtime:rec-shape-${shape}`, 'error', invalidJoin(member)),
    })),
  ],
  'join-private-values': [
    ...[
      [10, 3, 35],
      [13, 4, 42],
      [18, 6, 46],
    ].flatMap(([step, n, hello]) => [
      {
        step,
        why: '§12.2, finding 11: an invalid private value refuses the join',
        replace: reply('1', '1', `realtime:rec-rw-priv-${n}`, 'error', invalidJoin('private')),
      },
      { step: hello, why: 'the join was refused', absent: true },
    ]),
  ],
  'join-ref-leniency-v1': [
    ...['stale', 'empty'].map((event, i) => ({
      step: [12, 21][i],
      why: '§2.5, finding 14: pushes with a stale or empty join_ref are accepted',
      insert: [
        { conn: 'b', ...broadcastV1('realtime:rec-lenient-v1', { event, payload: { i: event }, type: 'broadcast' }) },
        { conn: 'a', ...broadcastV1('realtime:rec-lenient-v1', { event, payload: { i: event }, type: 'broadcast' }) },
        { conn: 'a', ...replyV1(event, 'realtime:rec-lenient-v1', 'ok', {}) },
      ],
    })),
    {
      step: 22,
      why: '§2.5, finding 14: pushes with a stale join_ref are accepted',
      insert: [
        { conn: 'a', ...replyV1('p', 'realtime:rec-lenient-v1', 'ok', {}) },
        ...['a', 'b'].map((conn) => ({ conn, ...presenceDiffV1('realtime:rec-lenient-v1', present('k', LENIENT_META), {}) })),
      ],
    },
  ],
  'join-ref-leniency-v2': [
    ...['stale', 'empty'].map((event, i) => ({
      step: [12, 21][i], // 11 is the push; 12 was on its way
      why: '§2.5, finding 14: pushes with a stale or empty join_ref are accepted',
      insert: [
        { conn: 'b', json: [null, null, 'realtime:rec-lenient-v2', 'broadcast', { event, payload: { i: event }, type: 'broadcast' }] },
        { conn: 'a', json: [null, null, 'realtime:rec-lenient-v2', 'broadcast', { event, payload: { i: event }, type: 'broadcast' }] },
        { conn: 'a', ...reply('5', event, 'realtime:rec-lenient-v2', 'ok', {}) },
      ],
    })),
    {
      step: 22,
      why: '§2.5, finding 14: pushes with a stale join_ref are accepted',
      insert: [
        { conn: 'a', ...reply('5', 'p', 'realtime:rec-lenient-v2', 'ok', {}) },
        ...['a', 'b'].map((conn) => ({ conn, ...presenceDiff('realtime:rec-lenient-v2', present('k', LENIENT_META), {}) })),
      ],
    },
  ],
  'join-token-errors': [
    [32, 'iatstring', 'MalformedJWT: The token provided is not a valid JWT'],
    [35, 'expfloat', 'InvalidJWTToken: Token has expired 95512993 seconds ago'],
    [36, 'expstring', 'InvalidJWTToken: Token expiration time is invalid'],
    [39, 'notjson', 'MalformedJWT: The token provided is not a valid JWT'],
    [40, 'claimsarray', 'MalformedJWT: The token provided is not a valid JWT'],
  ].map(([step, name, reason]) => ({
    step,
    why: 'findings 1 and 2: the closest text of §3.4, with its code',
    replace: reply('1', '1', `realtime:rec-token-${name}`, 'error', { reason }),
  })),
  'join-without-join-ref': [
    { step: 20, why: '§3.9: a client without join_refs would take it for the end of the new channel', absent: true },
  ],

  // -------------------------------------------------------------- Broadcast
  'broadcast-kind3-bad': [
    { step: [10, 13, 14], why: 'finding 8: JSON that is none is not relayed', absent: true },
    { step: 11, why: 'finding 8', replace: reply('1', '2', 'realtime:rec-k3bad', 'error', invalidPayload) },
    { step: [22, 24, 25], why: 'findings 6 and 8: kind 2 is never sent, bytes are no payload object', absent: true },
    { step: 23, why: 'findings 6 and 8', replace: reply('1', '6', 'realtime:rec-k3bad', 'error', invalidPayload) },
  ],
  'broadcast-kind3-json': [
    {
      step: 24, // after what was on its way when step 22 was sent
      why: '§2.5, finding 14: empty refs are accepted and echoed',
      insert: [
        { conn: 'a', ...kind4(K3, 'no-refs', NO_REFS) },
        { conn: 'a', ...reply('1', '', K3, 'ok', {}) },
        { conn: 'b', ...kind4(K3, 'no-refs', NO_REFS) },
        { conn: 'v1', ...broadcastV1(K3, { event: 'no-refs', payload: { x: 4 }, type: 'broadcast' }) },
      ],
    },
    { step: [46, 47, 48], why: 'finding 8: an empty payload is no JSON', absent: true },
    { step: 49, why: 'finding 8', replace: reply('1', '9', K3, 'error', invalidPayload) },
  ],
  'broadcast-long-names': [
    {
      step: 20,
      why: 'finding 9: a text frame where kind 4 has no room for the topic',
      insert: [
        { conn: 'a', ...textV2(LONG_TOPIC, fromDatabase('evt', 4, ID_OF_4)) },
        { conn: 'v1', ...textV1(LONG_TOPIC, fromDatabase('evt', 4, ID_OF_4)) },
      ],
    },
    {
      step: 26,
      why: 'finding 9: a text frame where kind 4 has no room for the event',
      insert: [{ conn: 'a', ...textV2('realtime:rec-long-event', fromDatabase(LONG_EVENT, 5, ID_OF_5)) }],
    },
  ],
  'broadcast-odd-payload-v1-only': [
    { step: 11, why: 'finding 6: a payload that is no object is refused, whoever listens', absent: true },
    { step: 12, why: 'finding 6', replace: replyV1('2', 'realtime:rec-odd-only-v1', 'error', invalidPayload) },
    { step: 13, why: 'finding 6', replace: replyV1('2', 'realtime:rec-odd-alone', 'error', invalidPayload) },
  ],
  'broadcast-odd-payload-v1': [
    { step: 30, why: 'finding 10: byte for byte', replace: textV1('realtime:rec-odd-v1', ODD_NUMBERS) },
    { step: 31, why: 'finding 10: byte for byte', replace: textV2('realtime:rec-odd-v1', ODD_NUMBERS) },
    { step: 38, why: 'finding 10: byte for byte', replace: textV1('realtime:rec-odd-v1', '{"a":1,"a":2}') },
    { step: 39, why: 'finding 10: byte for byte', replace: textV2('realtime:rec-odd-v1', '{"a":1,"a":2}') },
    ...BAD_PUSHES.map(([ref, push]) => ({
      step: push + 1,
      why: 'finding 6: an error reply, the channel lives',
      replace: replyV1(ref, 'realtime:rec-odd-v1', 'error', invalidPayload),
    })),
    { step: [43, 47, 51, 55], why: 'finding 6: still joined', skip: true },
    { step: [44, 48, 52, 56], why: 'finding 6: still joined', absent: true },
  ],
  'broadcast-odd-payload-v2': [
    { step: 30, why: 'finding 10: byte for byte', replace: textV1('realtime:rec-odd-v2', ODD_NUMBERS) },
    { step: 31, why: 'finding 10: byte for byte', replace: textV2('realtime:rec-odd-v2', ODD_NUMBERS) },
    { step: 38, why: 'finding 10: byte for byte', replace: textV1('realtime:rec-odd-v2', '{"a":1,"a":2}') },
    { step: 39, why: 'finding 10: byte for byte', replace: textV2('realtime:rec-odd-v2', '{"a":1,"a":2}') },
    ...[
      ['10', 42],
      ['11', 47],
      ['12', 53],
      ['13', 58],
    ].map(([ref, step]) => ({
      step,
      why: 'finding 6: an error reply, the channel lives',
      replace: reply('1', ref, 'realtime:rec-odd-v2', 'error', invalidPayload),
    })),
    { step: [43, 48, 52, 57], why: 'finding 6: not relayed', absent: true },
    { step: [44, 49, 54, 59], why: 'finding 6: still joined', skip: true },
    { step: [45, 50, 55, 60], why: 'finding 6: still joined', absent: true },
  ],
  'broadcast-oversize': [
    {
      why: 'issue 2: a refused push without an ack is told in a system error',
      extra: {
        conn: 'a',
        topic: 'realtime:rec-oversize-noack',
        event: 'system',
        min: 1,
        max: 1,
        what: 'one system error with the cause and the number of pushes refused',
        check: ([{ status, message, channel }]) =>
          status === 'error' && channel === 'rec-oversize-noack' && /payload/i.test(message) && /\b1\b/.test(message),
      },
    },
  ],

  // -------------------------------------------------------------- Presence
  'limit-presence-calls': [
    {
      step: 29,
      why: 'findings 31, §3.8: over the rate the channel stays, and the latest payload is told',
      replace: reply('1', '8', 'realtime:rec-lim-pres', 'ok', {}),
    },
    ...[
      [30, 'a'],
      [31, 'b'],
    ].map(([step, conn]) => ({
      step,
      why: 'findings 31, §3.8',
      replace: {
        conn,
        ...presenceDiff(
          'realtime:rec-lim-pres',
          present('a', { phx_ref: 'GOrx5PvhrEJUZgOS', phx_ref_prev: 'GOrx5PEdGv5UZgOC', n: 8 }),
          present('a', { phx_ref: 'GOrx5PEdGv5UZgOC', phx_ref_prev: 'GOrx5NLuLz9UZgNy', n: 7 }),
        ),
      },
    })),
  ],
  'presence-big': [
    {
      step: 5,
      why: 'finding 31, §3.8: an error reply, the channel lives',
      replace: reply('1', '2', 'realtime:rec-presbig', 'error', { reason: matching(/^PresencePayloadTooLarge: .*max_payload_size/) }),
    },
    { step: 6, why: 'finding 31: still joined', absent: true },
  ],
  'presence-crash': [
    {
      step: 14,
      why: 'finding 17: an error reply, the channel lives',
      replace: reply('j1', 'x1', 'realtime:rec-prescrash', 'error', {}),
    },
    { step: 13, why: 'finding 17: it has not left yet', absent: true },
    {
      step: 15,
      why: 'finding 17: the channel ends with the next join',
      insert: [
        { conn: 'b', ...presenceDiff('realtime:rec-prescrash', {}, present('alice', { phx_ref: 'GOrxlRXqp6A3HkgR', k: 1 })) },
      ],
    },
    {
      step: 16,
      why: 'finding 17: the channel ends with the next join',
      insert: [{ conn: 'a', json: ['j1', 'j1', 'realtime:rec-prescrash', 'phx_close', {}] }],
    },
  ],
  'presence-key-object': [
    {
      step: 58,
      why: 'finding 18: an object is refused as a key',
      replace: reply('1', '1', 'realtime:rec-keyobj', 'error', invalidJoin('config\\.presence\\.key')),
    },
    { step: [59, 62, 63], why: 'finding 18: not joined, and nothing crashes', absent: true },
    {
      step: 61,
      why: 'finding 18: not joined',
      replace: reply(null, '2', 'realtime:rec-keyobj', 'error', { reason: 'unmatched topic' }),
    },
    { step: 65, why: 'finding 18: still joined; its broadcast asks for no ack', absent: true },
  ],
  'presence-keys': [
    {
      step: 61,
      why: 'finding 18: an array is refused as a key',
      replace: reply('1', '1', 'realtime:rec-key-6', 'error', invalidJoin('config\\.presence\\.key')),
    },
    { step: 64, why: 'finding 18: not joined', replace: reply(null, '2', 'realtime:rec-key-6', 'error', { reason: 'unmatched topic' }) },
    { step: [62, 66, 67], why: 'finding 18: not joined', absent: true },
  ],
  'presence-not-enabled': [
    { step: 28, why: 'the recorder wrote the close down after what it brought about', absent: true },
    {
      step: 29,
      why: 'likewise',
      insert: [
        { conn: 'noconfig', ...presenceDiff('realtime:rec-presoff', {}, present('bob', { phx_ref: 'GOrxlJHxQ9eZ60ah', n: 2 })) },
      ],
    },
  ],
  'presence-odd': [
    {
      step: [28, 29],
      why: 'finding 16: the refs of the client are dropped',
      replace: presenceDiff(ODD, present('alice', OWN_REF_META), present('alice', CAPS_META)),
    },
    { step: 38, why: 'finding 17: an error reply, the channel lives', replace: reply('1', '13', ODD, 'error', {}) },
    { step: 37, why: 'finding 17: it has not left yet', absent: true },
    {
      step: 39,
      why: 'finding 17: it leaves with its connection',
      insert: [{ conn: 'b', ...presenceDiff(ODD, {}, present('alice', OWN_REF_META)) }],
    },
  ],
  'presence-setting-on': [{ why: 'recorded with this setting', settings: { 'realtime.presence_enabled': 'on' } }],
  'presence-v2': [
    { step: 40, why: 'the recorder wrote the close down after what it brought about', absent: true },
    {
      step: 41,
      why: 'likewise',
      insert: [
        {
          conn: 'b',
          ...presenceDiff('realtime:rec-pres-v2', {}, present('alice', { phx_ref: 'GOrxl2kfK21ZIFVB', n: 3, name: 'Alice' })),
        },
      ],
    },
  ],
  'private-presence-off-diffs': [
    { step: 18, why: 'the recorder wrote the close down after what it brought about', absent: true },
    {
      step: 19,
      why: 'likewise',
      insert: [
        {
          conn: 'off',
          ...presenceDiff(
            'realtime:rec-rw-poff',
            {},
            present('a', { phx_ref: 'GOrxjwQvJPvpxx1R', phx_ref_prev: 'GOrxjfvnuBzpxxqB', n: 3 }),
            '1',
          ),
        },
      ],
    },
  ],

  // -------------------------------------------------------------- Broadcast from the database
  'db-insert': ['v2', 'v1'].map((conn) => ({
    why: 'law 6: nothing is dropped in silence, a row without an event is told to its topic',
    extra: {
      conn,
      topic: 'realtime:rec-rw-ins',
      event: 'system',
      min: 1,
      max: 2,
      what: 'system errors that say why a row was not delivered',
      check: (payloads) =>
        payloads.every(({ status, message }) => status === 'error' && /^UnableToBroadcastChanges: (event|payload) is null/.test(message)),
    },
  })),
  'db-send-oversize': [
    {
      step: 8,
      why: 'DESIGN: what send() can\'t deliver is an error for the caller, not silence',
      replace: {
        notices: new Expect('one error about the payload', (lines) => lines.length === 1 && /^ERROR: .*payload/.test(lines[0])),
      },
    },
  ],

  // -------------------------------------------------------------- REST
  'rest-batch-401': [
    { step: [5, 10, 11], why: 'findings 1 and 28: no 500 for a malformed token or header', replace: restError(401, 'Unauthorized') },
  ],
  'rest-batch-422': [{ step: 18, why: 'finding 28: JSON bodies', replace: restError(400, 'Bad Request') }],
  'rest-cors': [{ step: [5, 6], why: 'finding 30: OPTIONS is answered', replace: preflight }],
  'rest-single-errors': [
    { step: [7, 8], why: 'finding 28: JSON bodies', replace: restError(400, 'Bad Request') },
    { step: 13, why: 'finding 28: JSON bodies', replace: restError(413, 'Request Entity Too Large') },
    { step: [14, 15], why: 'finding 28: JSON bodies', replace: restError(404, 'Not Found') },
  ],

  // -------------------------------------------------------------- Private channels
  'private-denied': [
    {
      step: 26,
      why: 'findings 2 and 3: a token without a role may read nothing',
      replace: reply('1', '1', 'realtime:rec-rw-1', 'error', {
        reason: 'Unauthorized: You do not have permissions to read from this Channel topic: rec-rw-1',
      }),
    },
  ],
  'private-ok-v2': [
    { step: 20, why: 'the recorder wrote the close down after what it brought about', absent: true },
    {
      step: 21,
      why: 'likewise',
      insert: [
        { conn: 'b', ...presenceDiff('realtime:rec-rw-ok-v2', {}, present('k', { phx_ref: 'GOrxlZqrUhemAEtR', who: 'a' })) },
      ],
    },
  ],
  'private-write-denied': [
    { step: 22, why: 'the recorder wrote the close down after what it brought about', absent: true },
    {
      step: 23,
      why: 'likewise',
      insert: [
        { conn: 'reader', ...presenceDiff('realtime:rec-mem-2', {}, present('w', { phx_ref: 'GOrxjO5uC_amABPi', who: 'writer' })) },
      ],
    },
    {
      step: 9, // both pushes are made before the first answer is looked for
      why: 'a denied private broadcast that asked for an ack is answered',
      insert: ['2', '3'].map((ref) => ({ conn: 'reader', ...reply('1', ref, 'realtime:rec-mem-2', 'error', writeDenied) })),
    },
  ],

  // -------------------------------------------------------------- access_token
  'token-expires': [
    { why: 'played as slowly as it was recorded: the tokens are that old', pace: 1 },
    {
      step: 39,
      why: 'findings 2 and 3: the text of §3.8',
      replace: system('1', 'realtime:rec-short', { extension: 'system', status: 'error', message: 'Token has expired 0 seconds ago' }),
    },
  ],
  'token-extended': [{ why: 'as in token-expires', pace: 1 }],
  'token-refresh-bad': [
    ...[
      [46, 'rs256kid', 'JwtSignerError: Failed to generate JWT signer, check your JWT secret or JWKS configuration'],
      [48, 'iatstring', 'The token provided is not a valid JWT'],
      [50, 'algnone', 'JwtSignerError: Failed to generate JWT signer, check your JWT secret or JWKS configuration'],
      [52, 'badsig', 'JwtSignatureError: Failed to validate JWT signature'],
      [54, 'expstring', 'InvalidJWTToken: Token expiration time is invalid'],
    ].map(([step, name, message]) => ({
      step,
      why: 'findings 2 and 3: the closest text of §3.4 and §3.8, with its code',
      replace: system('1', `realtime:rec-rw-badref-${name}`, { extension: 'system', status: 'error', message }),
    })),
    {
      step: 68,
      why: 'finding 1: no crash',
      replace: system('1', 'realtime:rec-rw-badref-notjson', {
        extension: 'system',
        status: 'error',
        message: 'The token provided is not a valid JWT',
      }),
      insert: [{ conn: 'notjson', json: ['1', '1', 'realtime:rec-rw-badref-notjson', 'phx_close', {}] }],
    },
  ],
  'token-refresh-revoked': [
    ...[
      [7, '2'],
      [9, '3'],
    ].map(([step, ref]) => ({
      step,
      why: 'a denied private broadcast that asked for an ack is answered',
      insert: [{ conn: 'a', ...reply('1', ref, 'realtime:rec-mem-9', 'error', writeDenied) }],
    })),
  ],

  // -------------------------------------------------------------- Limits
  'limit-channels': [{ why: 'its settings', settings: { 'realtime.max_channels_per_client': 3, 'realtime.presence_enabled': 'on' } }],
  // The reference counts for some seconds before it says no; here 53 messages are allowed at once, and then one a second.
  'limit-events': [
    {
      why: 'its settings: two of the 55 messages are too many, as long as no second has passed',
      most: 900,
      settings: { 'realtime.private_only': 'on', 'realtime.max_total_messages_per_second': 1, 'realtime.limit_burst': "'53s'" },
    },
    ...[
      [164, 'm10-3'],
      [165, 'm10-4'],
    ].map(([step, ref]) => ({
      step,
      why: '§3.8, finding 31: what is too much is refused with the text of §3.8',
      replace: reply('1', ref, 'realtime:rec-rw-ev', 'error', tooMany),
    })),
    { step: [169, 172], why: 'finding 31: and not delivered', absent: true },
    { step: [170, 171], why: 'finding 31: the channel stays', absent: true },
    { step: 181, why: 'finding 31: the sender is limited, too', replace: reply('1', 'last', 'realtime:rec-rw-ev', 'error', tooMany) },
  ],
  'limit-private-only': [{ why: 'its setting', settings: { 'realtime.private_only': 'on' } }],
};

// The differences of a scenario that hold today.
export function differencesOf(name) {
  return (DIFFERENCES[name] ?? []).filter(({ until }) => !DONE.has(until));
}
