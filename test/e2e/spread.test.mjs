// Many clients over two listeners see one and the same order, wherever they join.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { readFrame, userBroadcastPush } from './lib/frames.mjs';
import { member, workers } from './lib/member.mjs';
import { until } from './lib/poll.mjs';

const CLIENTS = 200;
const TOPICS = ['spread-a', 'spread-b'];
const SENDERS = 3; // clients on each topic
const FROM_EACH = 600;
const FROM_SQL = 700; // on each topic
const EACH_TOPIC = SENDERS * FROM_EACH + FROM_SQL;

let instance;
before(async () => {
  instance = await Instance.start({ listeners: 2, settings: ['fsync = off'] });
});
after(() => instance?.destroy());

// A number for each message: topic, sender and the sender's count.
const mark = (topic, sender, n) => topic * 10_000_000 + sender * 100_000 + n;
const MARK = /"mark": ?(\d+)/;

// A connection that joins both topics and keeps the marks that it gets, in order.
async function receiver() {
  const marks = [];
  let joined = 0;
  const onFrame = ({ text, bytes }) => {
    const body = text ?? bytes.toString('latin1');
    const found = MARK.exec(body);
    if (found) {
      marks.push(Number(found[1]));
    } else if (body.includes('"Replication connection established"')) {
      joined++;
    }
  };
  const socket = await instance.connect({ onFrame });
  TOPICS.forEach((topic, i) =>
    socket.sendJson([`${i}`, `${i}`, `realtime:${topic}`, 'phx_join', { config: { broadcast: { replication_ready: true } } }]),
  );
  await until('both joins', () => joined === TOPICS.length, { seconds: 30 });
  return { socket, marks };
}

async function sender(topicNumber, number) {
  const topic = `realtime:${TOPICS[topicNumber]}`;
  let done = 0;
  const socket = await instance.connect({ onFrame: ({ text }) => text?.includes('"ok"') && done++ });
  socket.sendJson(['j', 'j', topic, 'phx_join', { config: { broadcast: { ack: true } } }]);
  await until('the join', () => done === 1);
  return async () => {
    for (let n = 0; n < FROM_EACH; n++) {
      const payload = { mark: mark(topicNumber, number, n) };
      const ref = String(n);
      if (n % 2) {
        socket.sendBinary(userBroadcastPush({ joinRef: 'j', ref, topic, event: 'e', payload }));
      } else {
        socket.sendJson(['j', ref, topic, 'broadcast', { type: 'broadcast', event: 'e', payload }]);
      }
      // Let the others have their turn, so that the senders mix.
      if (n % 20 === 19) {
        await until('acks', () => done > n - 40, { every: 1, seconds: 30 });
      }
    }
    await until(() => `all acks, ${done} came`, () => done === FROM_EACH + 1, { seconds: 60 });
    socket.drop();
  };
}

test(`${CLIENTS} clients, ${TOPICS.length * EACH_TOPIC} messages`, { timeout: 180_000 }, async () => {
  const receivers = [];
  while (receivers.length < CLIENTS) {
    receivers.push(...(await Promise.all(Array.from({ length: 20 }, receiver))));
  }
  const spread = await instance.rows('select listener, count(*) from realtime.connections group by 1 order by 1');
  assert.equal(spread.length, 2, `both listeners have clients: ${spread}`);
  assert.ok(spread.every((row) => Number(row.split('|')[1]) > CLIENTS / 10), `clients are spread: ${spread}`);

  const senders = await Promise.all(
    TOPICS.flatMap((_, topic) => Array.from({ length: SENDERS }, (__, i) => sender(topic, i + 1))),
  );
  const publish = (topic) =>
    instance.session().rows(
      `do $$ begin
        for n in 0 .. ${FROM_SQL - 1} loop
          perform realtime.send(jsonb_build_object('mark', ${mark(topic, 9, 0)} + n), 'e', '${TOPICS[topic]}', false);
          commit;
        end loop;
      end $$`,
      120,
    );
  await Promise.all([...senders.map((send) => send()), ...TOPICS.map((_, topic) => publish(topic))]);

  const total = TOPICS.length * EACH_TOPIC;
  await until(
    () => `all messages everywhere; counts ${[...new Set(receivers.map(({ marks }) => marks.length))]}`,
    () => receivers.every(({ marks }) => marks.length >= total),
    { seconds: 60 },
  );
  await instance.rows(`select realtime.send('{"mark": 0}', 'e', topic, false) from unnest(array['${TOPICS.join("','")}']) topic`);
  await until('the last messages', () => receivers.every(({ marks }) => marks.length >= total + 2), { seconds: 60 });

  TOPICS.forEach((_, topic) => {
    const sequences = receivers.map(({ marks }) => marks.filter((m) => m > 0 && Math.floor(m / 10_000_000) === topic));
    const [first] = sequences;
    assert.equal(first.length, EACH_TOPIC);
    assert.equal(new Set(first).size, EACH_TOPIC, 'none twice');
    sequences.forEach((sequence, i) => assert.deepEqual(sequence, first, `receiver ${i} has another order`));
    for (const number of [1, 2, 3, 9]) {
      const own = first.filter((m) => Math.floor((m % 10_000_000) / 100_000) === number);
      assert.deepEqual(own, [...own].sort((a, b) => a - b), `sender ${number} in its own order`);
      assert.equal(own.length, number === 9 ? FROM_SQL : FROM_EACH);
    }
  });
  receivers.forEach(({ socket }) => socket.drop());
});

test('a client that joins a listener that is behind gets nothing from before it joined', { timeout: 60_000 }, async () => {
  const sender = await member(instance, 'behind', { ready: false, config: { broadcast: { ack: true } } });
  const own = Number(await instance.value('select listener from realtime.connections'));
  const { pid: other } = (await workers(instance, 'listener'))[1 - own];
  const push = (event, pad = '') => sender.push('broadcast', { type: 'broadcast', event, payload: { pad } });
  const acked = (refs) => until('acknowledgements', () => refs.every((ref) => sender.replies.get(ref)?.status === 'ok'), { seconds: 30 });
  const sockets = await Promise.all(Array.from({ length: 12 }, async () => instance.connect()));
  const events = ({ frames }) => frames.map(readFrame).filter(({ event }) => event === 'broadcast').map(({ payload }) => payload.event);
  const joined = ({ frames }) => frames.some((frame) => readFrame(frame).event === 'phx_reply');

  process.kill(other, 'SIGSTOP');
  try {
    // More than the sleeping listener reads at a time: once it is awake it takes the joins long before it has read all.
    await acked(Array.from({ length: 200 }, () => push('before', 'x'.repeat(100_000))));
    sockets.forEach((socket) => socket.sendJson(['1', '1', 'realtime:behind', 'phx_join', { config: {} }]));
    await until('some are served by the listener that is awake', () => sockets.some(joined));
  } finally {
    process.kill(other, 'SIGCONT');
  }
  await until('all have joined', () => sockets.every(joined), { seconds: 20 });
  const spread = await instance.rows('select listener from realtime.connections group by 1');
  assert.equal(spread.length, 2, 'both listeners have clients');
  await acked([push('after')]);
  await until('the message from after the joins', () => sockets.every((socket) => events(socket).includes('after')), { seconds: 20 });
  sockets.forEach((socket) => assert.deepEqual(events(socket), ['after']));
  [sender.socket, ...sockets].forEach((socket) => socket.drop());
});
