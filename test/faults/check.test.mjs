// The checker is proved on recorded histories: a good one passes, and each way to spoil it is found.

import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { check } from './check.mjs';
import { excerpt, History } from './history.mjs';
import { randomFrom } from './random.mjs';
import { keyOf } from './truth.mjs';

const RECEIVERS = ['ann', 'ben', 'cat'];

// A round of 40 messages of each kind that everybody sees. Returns { history, truth }.
function good() {
  const history = new History();
  const truth = [];
  for (const who of RECEIVERS) {
    history.receiver(who, 'pub', ['client', 'database', 'changes'], ['client', 'database', 'changes']);
  }
  for (let n = 1; n <= 40; n++) {
    for (const [stream, kind] of [['c.1', 'client'], ['d.1', 'client'], ['w.1', 'database'], ['v.1', 'changes']]) {
      const key = `${stream}:${n}`;
      history.sent(key, kind, 'pub');
      if (kind !== 'client') {
        truth.push(key);
      }
      for (const who of RECEIVERS) {
        history.seen(who, key);
      }
      history.acked(key);
    }
  }
  return { history, truth };
}

// The history again, with change(event) instead of each event: a list of events.
function changed(history, change) {
  history.events = history.events.flatMap((event) => change(event) ?? []).map((event, at) => ({ ...event, at }));
}

const isSeen = (event, who, key) => event.type === 'seen' && event.who === who && event.key === key;
const whats = ({ history, truth }, options) => [...new Set(check(history, truth, options).findings.map(({ what }) => what))];

test('a good history has no findings', () => {
  const round = good();
  const { findings, figures } = check(round.history, round.truth);
  assert.deepEqual(findings, []);
  assert.deepEqual(figures, { sent: 160, seen: 480, missedWithNotice: 0, notices: 0, recovered: 0, inGaps: 0, unrecovered: 0, outOfReach: 0, forgotten: 0 });
});

describe('one change to a good history is found', () => {
  const random = randomFrom(1);
  for (const stream of ['c.1', 'd.1', 'w.1', 'v.1']) {
    for (const n of [1, 2 + Math.floor(random() * 38), 40]) {
      const key = `${stream}:${n}`;
      const who = RECEIVERS[n % 3];

      test(`${key} is dropped`, () => {
        const round = good();
        changed(round.history, (event) => (isSeen(event, who, key) ? [] : [event]));
        const { findings } = check(round.history, round.truth);
        assert.equal(findings.length, 1);
        assert.equal(findings[0].what, 'lost');
        assert.deepEqual(findings[0].who, [who]);
        assert.deepEqual(findings[0].keys, [key]);
        assert.match(excerpt(round.history, findings[0]), new RegExp(who));
      });

      test(`${key} is doubled`, () => {
        const round = good();
        changed(round.history, (event) => (isSeen(event, who, key) ? [event, { ...event }] : [event]));
        assert.deepEqual(whats(round), ['duplicate']);
      });

      test(`${key} comes again at the end`, () => {
        const round = good();
        round.history.seen(who, key);
        assert.deepEqual(whats(round), ['duplicate']);
      });

      test(`${key} is swapped with another of its stream`, () => {
        const round = good();
        const other = `${stream}:${n === 1 ? 2 : n - 1}`;
        changed(round.history, (event) => [
          isSeen(event, who, key) ? { ...event, key: other } : isSeen(event, who, other) ? { ...event, key } : event,
        ]);
        assert.ok(whats(round).includes('out of order'), whats(round).join());
      });
    }
  }

  test('two clients see messages of two senders in two orders', () => {
    const round = good();
    changed(round.history, (event) => [
      isSeen(event, 'ben', 'c.1:7') ? { ...event, key: 'd.1:7' } : isSeen(event, 'ben', 'd.1:7') ? { ...event, key: 'c.1:7' } : event,
    ]);
    assert.deepEqual(whats(round), ['out of order']);
  });

  test('messages of the database come in another order than that of the WAL, for everybody', () => {
    const round = good();
    const from = round.truth.indexOf('w.1:7');
    round.truth[from] = 'w.1:8';
    round.truth[round.truth.indexOf('w.1:8', from + 1)] = 'w.1:7';
    assert.ok(whats(round).includes('out of order'));
  });

  test('what was refused, torn, rolled back, never sent or is for others is seen', () => {
    for (const spoil of [
      ({ history }) => history.refused('c.1:5'),
      ({ history }) => history.torn('c.1:5'),
      ({ truth }) => truth.splice(truth.indexOf('w.1:5'), 1),
      ({ history }) => history.seen('ann', 'z.1:1'),
      ({ history }) => (history.sent('p.1:1', 'client', 'priv'), history.seen('ann', 'p.1:1')),
      ({ history }) => history.receiver('ann', 'pub', ['client', 'database'], ['client', 'database']),
    ]) {
      const round = good();
      spoil(round);
      const found = check(round.history, round.truth).findings;
      assert.ok(found.some(({ what }) => what === 'unwanted' || what === 'unknown'), `${spoil}: ${JSON.stringify(found)}`);
    }
  });

  test('a commit that was acknowledged is not in the WAL', () => {
    const round = good();
    round.history.sent('w.1:41', 'database', 'pub');
    round.history.acked('w.1:41');
    assert.deepEqual(whats(round), ['lost']);
    assert.deepEqual(whats(round, { volatileCommits: new Set(['w.1:41']) }), []);
  });

  test('a message that only others see, and that was not acknowledged', () => {
    const round = good();
    changed(round.history, (event) =>
      isSeen(event, 'ann', 'c.1:9') || (event.type === 'acked' && event.key === 'c.1:9') ? [] : [event]);
    assert.deepEqual(whats(round), ['lost']);
  });
});

describe('notices', () => {
  // Ann misses messages 10 to 19 of each stream, and is told so before 20, or as `place` says.
  function gap(insert) {
    const round = good();
    changed(round.history, (event) => {
      const n = Number(event.key?.split(':')[1]);
      if (event.type === 'seen' && event.who === 'ann' && n >= 10 && n <= 19) {
        return [];
      }
      return insert(event);
    });
    return round;
  }
  const kinds = ['client', 'database', 'changes'];
  const told = (more = {}) => ({ type: 'notice', who: 'ann', kinds, text: 'gone', ...more });
  const back = kinds.map((kind) => ({ type: 'starts', who: 'ann', kind }));
  const before = (key) => (event) => event.type === 'sent' && event.key === key;

  test('a notice before the next message makes a gap good', () => {
    const round = gap((event) => (before('c.1:20')(event) ? [told({ goesOn: true }), event] : [event]));
    const { findings, figures } = check(round.history, round.truth);
    assert.deepEqual(findings, []);
    assert.equal(figures.missedWithNotice, 40);
  });

  test('so does a connection that ended, and a new one', () => {
    const round = gap((event) => (before('c.1:10')(event) ? [told(), event] : before('c.1:20')(event) ? [...back, event] : [event]));
    assert.deepEqual(whats(round), []);
  });

  test('no notice, one after the next message, one of another client, or one about other messages does not', () => {
    for (const insert of [
      (event) => [event],
      (event) => (before('c.1:21')(event) ? [told({ goesOn: true }), event] : [event]),
      (event) => (before('c.1:20')(event) ? [told({ who: 'ben', goesOn: true }), event] : [event]),
      (event) => (before('c.1:20')(event) ? [told({ kinds: ['changes'], goesOn: true }), event] : [event]),
    ]) {
      assert.ok(whats(gap(insert)).includes('lost'), String(insert));
    }
  });

  test('a client that is back gets everything from then on', () => {
    // Told at 10, back at 15: 15 to 19 are missing.
    const round = gap((event) => (before('c.1:10')(event) ? [told(), event] : before('c.1:15')(event) ? [...back, event] : [event]));
    const { findings } = check(round.history, round.truth);
    assert.deepEqual([...new Set(findings.map(({ what }) => what))], ['lost']);
    assert.deepEqual(findings.find(({ keys }) => keys[0].startsWith('w.1')).keys, ['w.1:15', 'w.1:16', 'w.1:17', 'w.1:18', 'w.1:19']);
  });

  test('a client that comes back must not get again what it has had', () => {
    const round = good();
    changed(round.history, (event) => (before('c.1:20')(event) ? [told(), ...back, { type: 'seen', who: 'ann', key: 'c.1:19' }, event] : [event]));
    assert.deepEqual(whats(round), ['duplicate']);
  });
});

test('keys are found in what test_decoding prints', () => {
  assert.equal(keyOf(`table realtime.messages_2026_01_01: INSERT: topic[text]:'pub' payload[jsonb]:'{"k": "w1.2:33"}' event[text]:'m'`), 'w1.2:33');
  assert.equal(keyOf(`table public.items: INSERT: id[bigint]:5 k[text]:'w1.2:34'`), 'w1.2:34');
  assert.equal(keyOf(`table public.items: UPDATE: id[bigint]:5 k[text]:'w1.2:35' faults[integer]:null`), 'w1.2:35');
  assert.equal(keyOf(`table public.items: DELETE: id[bigint]:5`), 'gone:5');
});
