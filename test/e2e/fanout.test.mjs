// Messages that come at once on a topic: every member gets them as if they had come one by one, whatever it is.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { readFrame, userBroadcastPush } from './lib/frames.mjs';
import { until } from './lib/poll.mjs';

const BURST = 60; // messages of a sender
const ROUNDS = 8;
const FROM_SQL = 50; // in one transaction

let instance;
before(async () => {
  instance = await Instance.start({ settings: ['fsync = off', `realtime.max_messages_per_second = 100000`] });
});
after(() => instance?.destroy());

// A member that keeps everything in order: { mark } of messages, { ack } of replies.
async function join(topic, { vsn = '2.0.0', broadcast = {}, private: isPrivate = false } = {}) {
  const got = [];
  let joined;
  let frames = 0;
  const onFrame = (frame) => {
    const { event, payload, ref, meta, data, encoding } = readFrame(frame);
    frames++;
    if (event === 'broadcast') {
      const mark = encoding === 0 ? data.toString() : payload.payload.mark;
      got.push({ mark, seq: meta?.seq, raw: encoding === 0 });
    } else if (event === 'phx_reply' && ref === 'join') {
      joined = payload;
    } else if (event === 'phx_reply') {
      got.push({ ack: ref, status: payload.status });
    }
  };
  const socket = await instance.connect({ vsn, onFrame });
  const full = `realtime:${topic}`;
  const push = (event, payload, ref) =>
    socket.sendJson(vsn.startsWith('1') ? { topic: full, event, payload, ref, join_ref: 'join' } : ['join', ref, full, event, payload]);
  push('phx_join', { config: { broadcast, private: isPrivate } }, 'join');
  await until('the join', () => joined !== undefined);
  assert.equal(joined.status, 'ok', JSON.stringify(joined));
  return { socket, got, push, full, vsn, marks: () => got.filter(({ mark }) => mark !== undefined), frames: () => frames };
}

// A burst of short, long and binary messages; the mark is also the ref.
function burst(member, name, round) {
  member.socket.burst(() => {
    for (let n = 0; n < BURST; n++) {
      const mark = `${name}-${round}-${n}`;
      const filler = n % 17 === 3 ? 'x'.repeat(20_000) : 'x';
      if (member.vsn === '1.0.0' || n % 3 === 0) {
        member.push('broadcast', { type: 'broadcast', event: 'e', payload: { mark, filler } }, mark);
      } else {
        const payload = n % 3 === 1 ? { mark, filler } : Buffer.from(mark);
        member.socket.sendBinary(userBroadcastPush({ joinRef: 'join', ref: mark, topic: member.full, event: 'e', payload }));
      }
    }
  });
}

// Only what the member is meant to get of what the witness got.
const meantFor = (witness, { vsn, without }) =>
  witness.filter(({ mark, raw }) => !(raw && vsn === '1.0.0') && !mark.startsWith(`${without}-`)).map(({ mark }) => mark);

test('bursts of several senders, and of a transaction', { timeout: 120_000 }, async () => {
  const topic = 'fanout';
  const witness = await join(topic);
  const old = await join(topic, { vsn: '1.0.0' });
  const marked = await join(topic, { broadcast: { resume: {} } });
  const senders = {
    selfAck: await join(topic, { broadcast: { self: true, ack: true } }),
    ack: await join(topic, { broadcast: { ack: true } }),
    self: await join(topic, { broadcast: { self: true, resume: {} } }),
    neither: await join(topic, { vsn: '1.0.0' }),
  };
  const others = await Promise.all(Array.from({ length: 10 }, () => join(topic)));
  let expected = 0;
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, member] of Object.entries(senders)) {
      burst(member, name, round);
    }
    await instance.rows(
      `select realtime.send(jsonb_build_object('mark', 'sql-${round}-' || n), 'e', '${topic}', false) from generate_series(0, ${FROM_SQL - 1}) n`,
    );
    expected += BURST * Object.keys(senders).length + FROM_SQL;
    await until(() => `${expected} messages, ${witness.got.length} came`, () => witness.got.length >= expected, { seconds: 30 });
  }
  const all = witness.marks();
  assert.equal(all.length, expected);
  assert.equal(new Set(all.map(({ mark }) => mark)).size, expected, 'none twice');
  for (const name of [...Object.keys(senders), 'sql']) {
    const own = all.filter(({ mark }) => mark.startsWith(`${name}-`)).map(({ mark }) => mark);
    const each = name === 'sql' ? FROM_SQL : BURST;
    assert.deepEqual(own, Array.from({ length: ROUNDS * each }, (_, i) => `${name}-${Math.floor(i / each)}-${i % each}`));
  }

  const members = {
    old: [old, { vsn: '1.0.0' }],
    marked: [marked, {}],
    selfAck: [senders.selfAck, {}],
    ack: [senders.ack, { without: 'ack' }],
    self: [senders.self, {}],
    neither: [senders.neither, { vsn: '1.0.0', without: 'neither' }],
    ...Object.fromEntries(others.map((member, i) => [`other ${i}`, [member, {}]])),
  };
  for (const [name, [member, how]] of Object.entries(members)) {
    const meant = meantFor(all, how);
    await until(() => `${meant.length} messages for ${name}`, () => member.marks().length >= meant.length, { seconds: 30 });
    assert.deepEqual(member.marks().map(({ mark }) => mark), meant, name);
  }
  for (const name of ['marked', 'self']) {
    const seqs = members[name][0].marks().map(({ seq }) => seq);
    assert.deepEqual(seqs, seqs.map((_, i) => seqs[0] + i), `numbers of ${name}`);
  }

  // Acks come in the order of the pushes, each right after the sender's own copy where it has one.
  for (const name of ['selfAck', 'ack']) {
    const { got } = senders[name];
    const acks = () => got.filter(({ ack }) => ack !== undefined);
    await until(`the acks of ${name}`, () => acks().length >= ROUNDS * BURST);
    assert.ok(acks().every(({ status }) => status === 'ok'));
    assert.deepEqual(acks().map(({ ack }) => ack), all.filter(({ mark }) => mark.startsWith(`${name}-`)).map(({ mark }) => mark));
  }
  senders.selfAck.got.forEach(({ ack }, i, got) => {
    if (ack !== undefined) {
      assert.equal(got[i - 1].mark, ack);
    }
  });

  // A frame that carries several counts each of them.
  const sent = await instance.rows('select sent from realtime.connections order by sent');
  const frames = [witness, old, marked, ...Object.values(senders), ...others].map((member) => member.frames());
  frames.sort((a, b) => a - b);
  assert.deepEqual(sent.map(Number), frames);
});

test('a member that comes and goes amid bursts', { timeout: 120_000 }, async () => {
  const topic = 'fanout-amid';
  const witness = await join(topic, { broadcast: { resume: {} } });
  const sender = await join(topic, { broadcast: { ack: true } });
  for (let round = 0; round < 20; round++) {
    burst(sender, 's', round);
    const guest = await join(topic, { broadcast: { resume: {} } });
    burst(sender, 't', round);
    await until('the bursts', () => witness.marks().length >= (round + 1) * BURST * 2, { seconds: 30 });
    const last = witness.marks().at(-1);
    await until('the last message', () => guest.marks().at(-1)?.seq === last.seq, { seconds: 10 });
    const seqs = guest.marks().map(({ seq }) => seq);
    assert.deepEqual(seqs, seqs.map((_, i) => seqs[0] + i));
    assert.deepEqual(
      guest.marks().map(({ mark }) => mark),
      witness.marks().slice(-seqs.length).map(({ mark }) => mark),
    );
    assert.ok(seqs.length >= BURST);
    guest.socket.drop();
  }
});
