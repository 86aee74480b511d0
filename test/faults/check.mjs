// The checker: does a history keep what is promised? No message lost without a notice, none twice, none out of order,
// and none that was refused, rolled back or never sent.

import { KINDS } from './history.mjs';
import { checkPlaces } from './places.mjs';

// What is known of each message: { key, kind, topic, sent, acked, refused, torn, stream, n }.
function messagesOf(history) {
  const messages = new Map();
  for (const event of history.events) {
    if (event.type === 'sent') {
      const colon = event.key.lastIndexOf(':');
      messages.set(event.key, {
        key: event.key,
        kind: event.kind,
        topic: event.topic,
        sent: event.at,
        stream: event.key.slice(0, colon),
        n: Number(event.key.slice(colon + 1)),
      });
    } else if (['acked', 'refused', 'torn'].includes(event.type) && messages.has(event.key)) {
      messages.get(event.key)[event.type] = true;
    }
  }
  return messages;
}

// What a receiver saw of a kind, in pieces between notices: [{ starts, floor, seen: [event], ended }]. floor: the place in the
// history from which on it has to see everything that is sent, undefined if that is not known; ended: by a notice.
function segmentsOf(history, who, kind, messages) {
  const { live } = history.receivers.get(who);
  const segments = [{ floor: live.includes(kind) ? -1 : undefined, seen: [] }];
  for (const event of history.events) {
    if (event.who !== who) {
      continue;
    }
    const last = segments.at(-1);
    if (event.type === 'starts' && event.kind === kind) {
      if (last.seen.length === 0 && last.floor === undefined) {
        last.floor = event.at;
      }
    } else if (event.type === 'notice' && event.kinds.includes(kind)) {
      last.ended = event;
      segments.push({ floor: event.goesOn ? event.at : undefined, seen: [] });
    } else if (event.type === 'seen' && messages.get(event.key)?.kind === kind) {
      last.seen.push(event);
    }
  }
  return segments;
}

// The sequences of which a receiver has to see an unbroken part: of a kind from the WAL one for all, of clients' messages
// one for each connection that sent.
function sequencesOf(history, kind, topic, messages, truth, seenByAnyone) {
  if (kind !== 'client') {
    return [truth.map((key) => messages.get(key)).filter((m) => m?.kind === kind && (kind === 'changes' || m.topic === topic))];
  }
  const streams = new Map();
  for (const message of messages.values()) {
    if (message.kind === 'client' && message.topic === topic && (message.acked || seenByAnyone.has(message.key))) {
      streams.set(message.stream, [...(streams.get(message.stream) ?? []), message]);
    }
  }
  return [...streams.values()].map((stream) => stream.sort((a, b) => a.n - b.n));
}

function checkSequence(who, kind, segments, sequence, findings, figures) {
  const place = new Map(sequence.map(({ key }, i) => [key, i]));
  const known = new Set();
  let highest = -1;
  let untold = 0;
  for (const segment of segments) {
    const seen = segment.seen.filter(({ key }) => place.has(key));
    let next;
    if (segment.floor !== undefined) {
      const first = sequence.findIndex(({ sent }) => sent > segment.floor);
      next = first < 0 ? sequence.length : first;
    }
    for (const event of seen) {
      const at = place.get(event.key);
      if (known.has(event.key)) {
        continue; // a duplicate: found by checkSingly
      }
      known.add(event.key);
      if (at <= highest) {
        findings.push({ what: 'out of order', who: [who], keys: [event.key, sequence[highest].key], at: event.at,
          text: `${who} saw ${event.key} after ${sequence[highest].key}` });
        continue;
      }
      if (next !== undefined && at > next) {
        const keys = sequence.slice(next, at).map(({ key }) => key);
        findings.push({ what: 'lost', who: [who], keys, at: event.at,
          text: `${who} did not see ${keys.length} (${keys[0]} to ${keys.at(-1)}) before ${event.key}, and was not told` });
        untold += keys.length;
      }
      highest = at;
      next = at + 1;
    }
    if (!segment.ended && next !== undefined && next < sequence.length) {
      const keys = sequence.slice(next).map(({ key }) => key);
      untold += keys.length;
      findings.push({ what: 'lost', who: [who], keys, at: Infinity,
        text: `${who} did not see ${keys.length} (${keys[0]} to ${keys.at(-1)}) until the end of the round, and was not told` });
    }
  }
  figures.missedWithNotice += sequence.length - known.size - untold;
}

// All receivers of a topic have to see what they share in one order.
function checkSharedOrder(history, messages, findings) {
  const views = [...history.receivers].map(([who, { topic }]) => {
    const order = new Map();
    for (const event of history.events) {
      const kind = event.who === who && event.type === 'seen' && messages.get(event.key)?.kind;
      if (kind && kind !== 'changes' && !order.has(event.key)) {
        order.set(event.key, event);
      }
    }
    return { who, topic, order };
  });
  for (let i = 0; i < views.length; i++) {
    for (let j = i + 1; j < views.length; j++) {
      const [a, b] = [views[i], views[j]];
      if (a.topic !== b.topic) {
        continue;
      }
      let last;
      for (const [key] of a.order) {
        const event = b.order.get(key);
        if (event && last && event.at < last.at) {
          findings.push({ what: 'out of order', who: [a.who, b.who], keys: [key, last.key], at: event.at,
            text: `${a.who} saw ${last.key} before ${key}, ${b.who} the other way round` });
          break;
        }
        last = event ?? last;
      }
    }
  }
}

// What nobody may see, and what nobody may see twice.
function checkSingly(history, messages, committed, findings) {
  const seenBy = new Map();
  for (const event of history.events) {
    if (event.type !== 'seen') {
      continue;
    }
    const find = (what, text) => findings.push({ what, who: [event.who], keys: [event.key], at: event.at, text: `${event.who} saw ${event.key} ${text}` });
    const message = messages.get(event.key);
    const { topic, kinds } = history.receivers.get(event.who);
    const id = `${event.who} ${event.key}`;
    if (!message) {
      find('unknown', 'which was not sent in this round');
    } else if (message.torn || message.refused) {
      find('unwanted', message.torn ? 'of which only a part was sent' : 'which was refused or rolled back');
    } else if (message.kind !== 'client' && !committed.has(event.key)) {
      find('unwanted', 'which was not committed');
    } else if ((message.kind !== 'changes' && message.topic !== topic) || !kinds.includes(message.kind)) {
      find('unwanted', `which is for others (${message.kind} ${message.topic})`);
    } else if (seenBy.has(id)) {
      find('duplicate', `twice: #${seenBy.get(id)} and #${event.at}`);
    }
    seenBy.set(id, event.at);
  }
}

// history: see history.mjs. truth: the keys of what was committed, in the order of the WAL. volatileCommits: commits that
// were acknowledged may be missing (synchronous_commit is off and the server crashed).
// Returns { findings: [{ what, who, keys, at, text }], figures }.
export function check(history, truth, { volatileCommits = new Set() } = {}) {
  const findings = [];
  const figures = { sent: 0, seen: 0, missedWithNotice: 0, notices: 0, recovered: 0, inGaps: 0, unrecovered: 0, outOfReach: 0, forgotten: 0 };
  const messages = messagesOf(history);
  const committed = new Set(truth);
  const seenByAnyone = new Set();
  for (const event of history.events) {
    if (event.type === 'seen') {
      seenByAnyone.add(event.key);
    }
    figures.sent += event.type === 'sent' ? 1 : 0;
    figures.seen += event.type === 'seen' ? 1 : 0;
    figures.notices += event.type === 'notice' ? 1 : 0;
  }
  checkSingly(history, messages, committed, findings);
  for (const message of messages.values()) {
    if (message.kind !== 'client' && message.acked && !committed.has(message.key) && !volatileCommits.has(message.key)) {
      findings.push({ what: 'lost', who: [], keys: [message.key], at: message.sent, text: `the commit of ${message.key} was acknowledged and is not in the WAL` });
    }
  }
  for (const [who, { topic, kinds }] of history.receivers) {
    for (const kind of KINDS.filter((k) => kinds.includes(k))) {
      const segments = segmentsOf(history, who, kind, messages);
      for (const sequence of sequencesOf(history, kind, topic, messages, truth, seenByAnyone)) {
        checkSequence(who, kind, segments, sequence, findings, figures);
      }
    }
  }
  checkSharedOrder(history, messages, findings);
  checkPlaces(history, messages, findings, figures);
  return { findings, figures };
}
