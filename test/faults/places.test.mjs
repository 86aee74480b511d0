// The checker of places is proved as that of all else: a good history of clients that resume passes, and each way to spoil it
// is found.

import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { check } from './check.mjs';
import { History } from './history.mjs';

const KINDS = ['client', 'database'];
const LAST = 30;

// Ann, who resumes, is cut off after message 10 and is back when 20 was sent; ben sees all of it, and resumes, too; cat does
// not. The answers to ann's join are true: it gets 11 to 20, or nothing of them. again: the server has forgotten all.
function good({ recovered = true, again = false } = {}) {
  const history = new History();
  const truth = [];
  for (const who of ['ann', 'ben', 'cat']) {
    history.receiver(who, 'pub', KINDS, KINDS, { resumes: who !== 'cat', place: who === 'cat' ? undefined : { epoch: '7', seq: 100 } });
  }
  // The senders take turns: c.1:1, w.1:1, c.1:2, …
  const keyOf = (n) => `${n % 2 ? 'c.1' : 'w.1'}:${Math.ceil(n / 2)}`;
  const markOf = (n) => (again && n > 10 ? { epoch: '9', seq: n - 10 } : { epoch: '7', seq: 100 + n });
  const sees = (who, n) => history.seen(who, keyOf(n), who === 'cat' ? undefined : markOf(n));
  let join;
  for (let n = 1; n <= LAST; n++) {
    history.sent(keyOf(n), n % 2 ? 'client' : 'database', 'pub');
    if (n % 2 === 0) {
      truth.push(keyOf(n));
    }
    history.acked(keyOf(n));
    sees('ben', n);
    sees('cat', n);
    if (n <= 10 || n > 20) {
      sees('ann', n);
    }
    if (n === 10) {
      history.cut('ann', 'the connection ended');
      if (again) {
        history.forgot();
        history.notice('ben', KINDS, 'all begins anew', true);
      }
    } else if (n === 20) {
      join = history.joins('ann', markOf(10));
      history.placed('ann', join, recovered ? { recovered, ...join.place } : { recovered, ...markOf(20) });
      if (recovered) {
        for (let missed = 11; missed <= 20; missed++) {
          sees('ann', missed);
        }
      } else {
        history.notice('ann', KINDS, 'not recovered');
        KINDS.forEach((kind) => history.starts('ann', kind));
      }
    }
  }
  return { history, truth };
}

function changed({ history, truth }, change) {
  history.events = history.events.flatMap((event) => change(event) ?? []).map((event, at) => ({ ...event, at }));
  return { history, truth };
}

const found = ({ history, truth }) => [...new Set(check(history, truth).findings.map(({ what }) => what))].sort();
const isSeen = (event, who, key) => event.type === 'seen' && event.who === who && event.key === key;
const ifSeen = (who, key, instead) => (event) => (isSeen(event, who, key) ? instead(event) : [event]);
const ifPlaced = (more) => (event) => (event.type === 'placed' ? [{ ...event, ...more }] : [event]);

describe('a good history has no findings', () => {
  const figuresOf = (round) => {
    const { findings, figures } = check(round.history, round.truth);
    assert.deepEqual(findings, []);
    return figures;
  };

  test('with a gap that is recovered', () => {
    const figures = figuresOf(good());
    assert.equal(figures.missedWithNotice, 0);
    assert.deepEqual([figures.recovered, figures.inGaps, figures.unrecovered, figures.outOfReach], [1, 10, 0, 0]);
  });

  test('with one that is not', () => {
    const figures = figuresOf(good({ recovered: false }));
    assert.equal(figures.missedWithNotice, 10);
    assert.deepEqual([figures.recovered, figures.inGaps, figures.unrecovered, figures.outOfReach], [0, 0, 1, 1]);
  });

  test('with one in which the server has lost its memory', () => {
    const round = good({ recovered: false, again: true });
    changed(round, (event) => (event.type === 'placed' ? [{ ...event, since: event.at - 1 }] : [event]));
    const figures = figuresOf(round);
    assert.deepEqual([figures.unrecovered, figures.outOfReach, figures.forgotten], [1, 0, 1]);
  });
});

describe('a spoiled gap is found', () => {
  for (const key of ['c.1:6', 'w.1:8', 'w.1:10']) {
    test(`${key} of the gap is missing`, () => {
      assert.deepEqual(found(changed(good(), ifSeen('ann', key, () => []))), ['lost', 'wrong place']);
    });

    test(`${key} of the gap comes twice`, () => {
      assert.deepEqual(found(changed(good(), ifSeen('ann', key, (event) => [event, event]))), ['duplicate', 'wrong place']);
    });
  }

  test('the whole gap is missing', () => {
    let since = false;
    const round = changed(good(), (event) => {
      since ||= event.type === 'placed';
      const [, n] = event.key?.split(':') ?? [];
      return event.type === 'seen' && event.who === 'ann' && since && n <= 10 ? [] : [event];
    });
    assert.deepEqual(found(round), ['lost', 'wrong place']);
  });

  test('two of the gap come in the wrong order', () => {
    const swapped = { 'c.1:7': 'c.1:8', 'c.1:8': 'c.1:7' };
    const round = changed(good(), (event) => (event.type === 'seen' && event.who === 'ann' && swapped[event.key] ? [{ ...event, key: swapped[event.key] }] : [event]));
    assert.deepEqual(found(round), ['lost', 'out of order', 'wrong place']);
  });

  test('what ann had already comes again', () => {
    const round = good();
    const again = round.history.events.find((event) => isSeen(event, 'ann', 'w.1:5'));
    changed(round, (event) => (event.type === 'placed' ? [event, again] : [event]));
    assert.deepEqual(found(round), ['duplicate', 'wrong place']);
  });

  test('a part of a gap comes that was said to be lost', () => {
    const round = good({ recovered: false });
    const late = round.history.events.find((event) => isSeen(event, 'ben', 'w.1:10'));
    changed(round, (event) => (event.type === 'starts' && event.kind === 'database' ? [event, { ...late, who: 'ann' }] : [event]));
    assert.deepEqual(found(round), ['wrong place']);
  });

  test('one is missing right after a gap was not recovered', () => {
    assert.deepEqual(found(changed(good({ recovered: false }), ifSeen('ann', 'w.1:11', () => []))), ['lost', 'wrong place']);
  });
});

describe('a bad answer is found', () => {
  test('all of a gap is promised by a server that has lost its memory', () => {
    const round = good({ recovered: false, again: true });
    changed(round, (event) => (event.type === 'placed' ? [{ ...event, since: event.at - 1, recovered: true, place: event.asked }] : [event]));
    assert.ok(found(round).includes('bad answer'));
  });

  test('but not if the join was sent before', () => {
    const round = good();
    changed(round, (event) => (event.type === 'joins' ? [event, { type: 'forgot' }] : [event]));
    assert.deepEqual(found(round), []);
  });

  test('no place, no word about the gap, another place than the one that the join named', () => {
    for (const more of [{ place: undefined }, { place: { epoch: 7, seq: 110 } }, { recovered: undefined }, { recovered: 'true' }, { place: { epoch: '7', seq: 111 } }]) {
      assert.ok(found(changed(good(), ifPlaced(more))).includes('bad answer'), JSON.stringify(more));
    }
  });

  test('a word about a gap where none was named', () => {
    assert.ok(found(changed(good(), ifPlaced({ asked: undefined }))).includes('bad answer'));
  });

  test('an empty gap is refused', () => {
    assert.ok(found(changed(good(), ifPlaced({ recovered: false }))).includes('bad answer'));
  });
});

describe('a wrong place is found', () => {
  test('a number is left out, or an epoch begins, without a notice', () => {
    for (const mark of [{ epoch: '7', seq: 131 }, { epoch: '8', seq: 1 }]) {
      const round = changed(good(), ifSeen('ben', 'w.1:15', (event) => [{ ...event, mark }]));
      assert.deepEqual(found(round), ['wrong place']);
    }
  });

  test('a number goes back after a notice; it may only be left out', () => {
    const told = { type: 'notice', who: 'ben', kinds: KINDS, text: 'lost', goesOn: true };
    const complaints = (mark) => {
      const { history, truth } = changed(good(), ifSeen('ben', 'w.1:15', (event) => [told, { ...event, mark }]));
      return check(history, truth).findings.filter(({ text }) => text.includes('was not told of a gap')).length;
    };
    assert.equal(complaints({ epoch: '7', seq: 128 }), 1);
    assert.equal(complaints({ epoch: '7', seq: 131 }), 0);
    assert.equal(complaints({ epoch: '8', seq: 1 }), 0);
  });

  test('a message has another place for another client, or its place another message', () => {
    const round = changed(good(), (event) => [event.who === 'ben' && event.type === 'seen' ? { ...event, mark: { epoch: '6', seq: event.mark.seq } } : event]);
    round.history.receivers.get('ben').place = undefined;
    assert.deepEqual(found(round), ['wrong place']);
    assert.ok(check(round.history, round.truth).findings.every(({ who }) => who.length === 2));
  });

  test('a message says no place, or a bad one', () => {
    for (const mark of [undefined, {}, { epoch: 7, seq: 130 }, { epoch: '7', seq: '130' }]) {
      assert.deepEqual(found(changed(good(), ifSeen('ben', 'w.1:15', (event) => [{ ...event, mark }])))[0], 'no place');
    }
  });

  test('who does not ask sees one', () => {
    const mark = { epoch: '7', seq: 130 };
    assert.deepEqual(found(changed(good(), ifSeen('cat', 'w.1:15', (event) => [{ ...event, mark }]))), ['unwanted']);
  });
});
