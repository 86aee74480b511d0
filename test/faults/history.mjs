// What happened in one round, in the order in which this process saw it: who sent what, and who saw what.
//
// Kinds of messages:
//   client     a client's broadcast; its sender gets an acknowledgement
//   database   a row of realtime.messages, committed by a transaction
//   changes    a change of the published table
// Each message has a key of its own, "STREAM:NUMBER". A stream is one connection of one sender, so that its numbers
// are the order in which they were sent.

export const KINDS = ['client', 'database', 'changes'];

export class History {
  // { at, type, … }; at is the index. Types:
  //   sent    key, kind, topic        handed over to the server
  //   acked   key                     the server has acknowledged it (database, changes: the commit)
  //   refused key                     the server has refused it, or it was rolled back: nobody may see it
  //   torn    key                     only a part of its frame was sent: nobody may see it
  //   starts  who, kind               from now on who gets all messages of this kind
  //   notice  who, kinds, text        who was told that messages of these kinds may be missing; goesOn: what is sent from
  //                                   now on will be there, else it says so by `starts`
  //   seen    who, key, mark          who got a message, and its place in the topic, { epoch, seq }, if it says so
  //   cut     who, text               a client that resumes lost its connection: no notice, since it may get the rest by its place
  //   joins   who, place              it joins again and says where it was
  //   placed  who, place, asked, recovered
  //                                   the answer to a join: messages follow from here. asked: the place that the join named;
  //                                   since: the place in the history of that join
  //   forgot                          the server's shared memory of before is gone
  //   note    text                    a fault, for the reader
  events = [];
  // who -> { topic, kinds, live, resumes, place }: kinds that it receives; live: those that it already got without a gap at
  // the start; resumes: it asks for the places of messages; place: that of its last message, undefined if the next may be any.
  receivers = new Map();

  #push(event) {
    event.at = this.events.length;
    event.ms = Math.round(performance.now());
    this.events.push(event);
    return event;
  }

  receiver(who, topic, kinds, live = [], { resumes = false, place } = {}) {
    this.receivers.set(who, { topic, kinds: [...kinds], live: [...live], resumes, place });
  }

  sent(key, kind, topic) {
    this.#push({ type: 'sent', key, kind, topic });
  }

  acked(key) {
    this.#push({ type: 'acked', key });
  }

  refused(key, text) {
    this.#push({ type: 'refused', key, text });
  }

  torn(key) {
    this.#push({ type: 'torn', key });
  }

  starts(who, kind) {
    this.#push({ type: 'starts', who, kind });
  }

  notice(who, kinds, text, goesOn = false) {
    this.#push({ type: 'notice', who, kinds, text, goesOn });
  }

  seen(who, key, mark) {
    this.#push({ type: 'seen', who, key, mark });
  }

  cut(who, text) {
    this.#push({ type: 'cut', who, text });
  }

  joins(who, place) {
    return this.#push({ type: 'joins', who, place });
  }

  // join: what joins() returned, of this history or of one before.
  placed(who, join, { epoch, seq, recovered } = {}) {
    const since = this.events[join.at] === join ? join.at : -1;
    const place = epoch === undefined ? undefined : { epoch, seq };
    this.#push({ type: 'placed', who, place, asked: join.place, recovered, since });
  }

  forgot() {
    this.#push({ type: 'forgot' });
  }

  note(text) {
    this.#push({ type: 'note', text });
  }
}

const spell = (place) => place && `${place.epoch}/${place.seq}`;

const describe = ({ type, who, key, kind, topic, kinds, text, mark, place, recovered }) =>
  [type, who, key, kind, topic, kinds?.join('+'), text, spell(mark), spell(place), recovered !== undefined && `recovered: ${recovered}`]
    .filter(Boolean).join(' ');

// The events around some of them that concern these receivers or keys, a line each.
export function excerpt(history, { who = [], keys = [], at }, lines = 40) {
  const concerned = history.events.filter((event) =>
    event.type === 'note' || event.type === 'forgot' || who.includes(event.who) || (!event.who && keys.includes(event.key)));
  let from = concerned.findIndex((event) => event.at >= at);
  from = Math.max(0, (from < 0 ? concerned.length : from) - Math.floor(lines / 2));
  const began = history.events[0]?.ms ?? 0;
  return concerned
    .slice(from, from + lines)
    .map((event) => `  ${event.at === at ? '>' : ' '} ${String(event.ms - began).padStart(6)} ms  #${event.at} ${describe(event)}`)
    .join('\n');
}
