// The checker, for clients that resume: each message says its place in its topic, { epoch, seq }. Places follow each other
// without a hole, also over connections whose gap was recovered, unless a notice came; what the server answers to a join is
// true; and one place is one message, for everybody.

const same = (a, b) => a.epoch === b.epoch && a.seq === b.seq;
const spell = (place) => (place ? `${place.epoch}/${place.seq}` : 'no place');

// Does a notice say that the numbers of broadcasts may go on elsewhere? Not one that says that nothing flows.
const breaksPlaces = ({ kinds, goesOn }) => goesOn && (kinds.includes('client') || kinds.includes('database'));

// What one client that resumes was told and given, in its order.
class Follower {
  loose = false;
  placeAt = -1;

  constructor(who, place, findings, figures) {
    Object.assign(this, { who, place, findings, figures });
  }

  find(event, what, text) {
    this.findings.push({ what, who: [this.who], keys: event.key ? [event.key] : [], at: event.at, text: `${this.who} ${text}` });
  }

  is(place, at) {
    Object.assign(this, { place, placeAt: at, loose: false });
  }

  sees(event) {
    const { mark, key, at } = event;
    const { place, loose } = this;
    if (typeof mark?.epoch !== 'string' || !Number.isInteger(mark.seq)) {
      this.find(event, 'no place', `saw ${key}, which does not say its place: ${JSON.stringify(mark)}`);
      return;
    }
    const follows = mark.epoch === place?.epoch && mark.seq === place.seq + 1;
    const mayFollow = !place || (loose && (mark.epoch !== place.epoch || mark.seq > place.seq));
    if (!follows && !mayFollow) {
      this.find(event, 'wrong place', `saw ${key} at ${spell(mark)} after ${spell(place)}, and was not told of a gap`);
    }
    this.is(mark, at);
  }

  // The answer to a join. forgotAt: where the server's memory was lost last.
  isPlaced(event, forgotAt) {
    const { place, asked, recovered, since, at } = event;
    const forgotten = asked && forgotAt > this.placeAt && since > forgotAt;
    if (!place || typeof place.epoch !== 'string' || !Number.isInteger(place.seq)) {
      this.find(event, 'bad answer', 'joined, and was not told from where messages follow');
    } else if (!asked ? recovered !== undefined : typeof recovered !== 'boolean') {
      this.find(event, 'bad answer', `joined from ${spell(asked)} and was told recovered: ${recovered}`);
    } else if (recovered && !same(place, asked)) {
      this.find(event, 'bad answer', `joined from ${spell(asked)}, and was told that messages follow ${spell(place)}`);
    } else if (recovered && forgotten) {
      this.find(event, 'bad answer', `was told that all since ${spell(asked)} comes, of which the server can't know`);
    } else if (recovered === false && same(place, asked)) {
      this.find(event, 'bad answer', `was told that a gap can't be recovered in which nothing came: ${spell(place)}`);
    }
    if (asked) {
      this.figures[recovered ? 'recovered' : 'unrecovered']++;
      this.figures.forgotten += forgotten ? 1 : 0;
      // The history is too short: the epoch is still that one.
      this.figures.outOfReach += !recovered && place?.epoch === asked.epoch ? 1 : 0;
    }
    this.is(place, at);
  }
}

// How many messages came late, since they were recovered: others had seen them when this client was still joining.
function countRecovered(history, who, firstSeen) {
  let count = 0;
  let since = -1;
  for (const event of history.events) {
    if (event.who !== who) {
      continue;
    }
    if (event.type === 'placed') {
      since = event.recovered ? event.since : -1;
    } else if (event.type === 'seen' && event.mark && firstSeen.get(event.key) < since) {
      count++;
    }
  }
  return count;
}

// One place is one message, and one message has one place.
function checkAgreement(history, findings) {
  const seen = new Map();
  for (const { type, who, key, mark, at } of history.events) {
    if (type !== 'seen' || !mark) {
      continue;
    }
    const { topic } = history.receivers.get(who);
    const claim = { who, key, mark: spell(mark) };
    for (const id of [`${topic} at ${claim.mark}`, `key ${key}`]) {
      const before = seen.get(id);
      if (before && (before.key !== key || before.mark !== claim.mark)) {
        findings.push({ what: 'wrong place', who: [before.who, who], keys: [key, before.key], at,
          text: `${before.who} saw ${before.key} at ${before.mark}, ${who} saw ${key} at ${claim.mark}` });
      }
      seen.set(id, before ?? claim);
    }
  }
}

// messages: what is known of each message, by its key.
export function checkPlaces(history, messages, findings, figures) {
  const firstSeen = new Map();
  for (const event of history.events) {
    if (event.type === 'seen' && !firstSeen.has(event.key)) {
      firstSeen.set(event.key, event.at);
    }
  }
  for (const [who, { resumes, place }] of history.receivers) {
    const follower = new Follower(who, place, findings, figures);
    let forgotAt = -1;
    for (const event of history.events) {
      if (event.type === 'forgot') {
        forgotAt = event.at;
      }
      if (event.who !== who) {
        continue;
      }
      if (!resumes) {
        if (event.mark) {
          follower.find(event, 'unwanted', `saw ${event.key} with a place for which it did not ask`);
        }
      } else if (event.type === 'seen' && messages.get(event.key)?.kind !== 'changes') {
        follower.sees(event);
      } else if (event.type === 'placed') {
        follower.isPlaced(event, forgotAt);
      } else if (event.type === 'notice' && breaksPlaces(event)) {
        follower.loose = true;
      }
    }
    figures.inGaps += resumes ? countRecovered(history, who, firstSeen) : 0;
  }
  checkAgreement(history, findings);
}
