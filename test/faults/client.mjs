// A client that stays on a channel through every fault: it connects again whenever it is cut off, and writes down what it
// is told and what it sees. Some also send. Some resume: they say where they were when they join again, as test/e2e/resume.mjs
// does, and take the end of a connection for a notice only if the server can't give them the rest.

import { readFrame } from '../e2e/lib/frames.mjs';
import { pause, until } from '../e2e/lib/poll.mjs';
import { RawSocket } from '../e2e/lib/socket.mjs';

// Kinds of messages that a client can be given when it joins again.
const RESUMED = ['client', 'database'];

// Which kinds of messages a system error is about, and whether what is sent after it arrives in any case.
function noticeOf({ extension, message }) {
  if (extension === 'postgres_changes') {
    return { kinds: ['changes'], goesOn: /lost/.test(message) };
  }
  if (/^Messages from the database/.test(message)) {
    return { kinds: ['database'], goesOn: /lost/.test(message) };
  }
  if (/^Messages were lost/.test(message)) {
    return { kinds: ['client', 'database', 'changes'], goesOn: true };
  }
  return undefined;
}

export class Client {
  history;
  stopped = false;
  // System errors that are no notice, for the report.
  remarks = new Map();
  closes = new Map();
  // What a client that resumes has seen last, { epoch, seq }; and whether it was told since that some were lost.
  #place;
  #told = false;
  #incarnation = 0;
  #number = 0;
  #ref = 1;
  #pending = new Map();
  #socket;
  #state = {};
  #loop;

  // sends: it may push broadcasts; changes: it subscribes to the published table; present: it tracks itself; resumes: see above.
  constructor(server, { name, topic, isPrivate = false, vsn = '2.0.0', role = 'anon', sends = false, changes = false, present = false, resumes = false }) {
    Object.assign(this, { server, name, topic, isPrivate, vsn, role, sends, changes, present, resumes });
    this.kinds = ['client', 'database', ...(changes ? ['changes'] : [])];
  }

  start(history) {
    this.use(history);
    this.#loop = this.#live();
  }

  // A new round begins: what was whole stays so.
  use(history) {
    const { joined, ready, subscribed } = this.#state;
    history.receiver(this.name, this.topic, this.kinds,
      [joined && 'client', ready && 'database', subscribed && 'changes'].filter((kind) => this.kinds.includes(kind)),
      { resumes: this.resumes, place: this.#told ? undefined : this.#place });
    this.history = history;
  }

  // Everything that it subscribed flows.
  get well() {
    const { joined, ready, subscribed, tracked, over } = this.#state;
    return !over && !this.#socket?.ended && joined && ready && (subscribed || !this.changes) && (tracked || !this.present);
  }

  get state() {
    return `${this.name}: ${JSON.stringify(this.#state)}${this.lastError ? `, last: ${this.lastError}` : ''}`;
  }

  async stop() {
    this.stopped = true;
    this.#socket?.drop();
    await this.#loop;
  }

  async #live() {
    while (!this.stopped) {
      try {
        await this.#session();
      } catch (error) {
        this.lastError = error.message;
      }
      if (!this.stopped) {
        await pause(20 + Math.random() * 60);
      }
    }
  }

  // One connection, from its begin to its end.
  async #session() {
    const state = (this.#state = {});
    const stream = `${this.name}.${++this.#incarnation}`;
    this.#number = 0;
    this.#pending.clear();
    const socket = new RawSocket({ onFrame: (frame) => this.#socket === socket && this.#take(frame, state) });
    const answer = await socket.open(this.server.port, `/realtime/v1/websocket?apikey=${this.server.token(this.role)}&vsn=${this.vsn}`, {}, { seconds: 5 });
    if (answer.status !== 101) {
      throw new Error(`not accepted: ${answer.status} ${answer.body}`);
    }
    this.#socket = socket;
    this.stream = stream;
    try {
      state.join = this.resumes ? this.history.joins(this.name, this.#place) : undefined;
      this.#push('phx_join', { config: {
        broadcast: { ack: true, self: true, replication_ready: true, ...(this.resumes && { resume: this.#place ?? {} }) },
        presence: { enabled: this.present, key: this.name },
        postgres_changes: this.changes ? [{ event: '*', schema: 'public', table: 'items' }] : [],
        private: this.isPrivate,
      } }, '1');
      const began = Date.now();
      // A join that is never answered is a fault of its own, which the end of the round will show.
      await socket.waitFor(() => socket.ended || state.over);
      this.lastError = socket.ended
        ? `closed ${socket.ended.code} ${socket.ended.reason} after ${Date.now() - began} ms`
        : state.over;
      const close = socket.ended ? `${socket.ended.code} ${socket.ended.reason}` : state.over;
      this.closes.set(close, (this.closes.get(close) ?? 0) + 1);
    } finally {
      state.over ??= 'ended';
      this.#pending.clear();
      this.#ends();
      socket.drop();
    }
  }

  // What was sent to it from now on is missing, unless it resumes.
  #ends() {
    const text = `the connection ended: ${this.lastError}`;
    const missing = this.kinds.filter((kind) => !this.resumes || !RESUMED.includes(kind));
    if (this.resumes) {
      this.history.cut(this.name, text);
    }
    if (missing.length > 0) {
      this.history.notice(this.name, missing, text);
    }
  }

  #push(event, payload, ref = String(++this.#ref)) {
    const topic = `realtime:${this.topic}`;
    this.#socket.sendJson(this.vsn.startsWith('1')
      ? { topic, event, payload, ref, join_ref: '1' } : ['1', ref, topic, event, payload]);
    return ref;
  }

  // Pushes a broadcast; false: not now.
  broadcast(pad = '') {
    if (!this.#state.joined || this.#state.over || this.#socket.ended) {
      return false;
    }
    const key = `${this.stream}:${++this.#number}`;
    this.history.sent(key, 'client', this.topic);
    const ref = this.#push('broadcast', { type: 'broadcast', event: 'm', payload: { k: key, ...(pad && { pad }) } });
    this.#pending.set(ref, key);
    return true;
  }

  get unanswered() {
    return this.#pending.size;
  }

  // Begins a broadcast and cuts the connection in the midst of its frame.
  tear(random) {
    if (!this.#state.joined || this.#socket.ended) {
      return;
    }
    const key = `${this.stream}:${++this.#number}`;
    this.history.sent(key, 'client', this.topic);
    this.history.torn(key);
    const text = Buffer.from(JSON.stringify(['1', '9', `realtime:${this.topic}`, 'broadcast', { type: 'broadcast', event: 'm', payload: { k: key } }]));
    // Masked with zeros, which is allowed.
    const frame = Buffer.concat([Buffer.from([0x81, 0x80 | 126, text.length >> 8, text.length & 255, 0, 0, 0, 0]), text]);
    this.#socket.sendRaw(frame.subarray(0, 1 + Math.floor(random() * (frame.length - 1))));
    this.#socket.drop();
  }

  cut() {
    this.#socket?.drop();
  }

  // Stops reading until the returned function is called.
  pauseReading() {
    const socket = this.#socket;
    if (!socket || socket.ended) {
      return () => {};
    }
    socket.pause();
    return () => socket.resume();
  }

  #take(frame, state) {
    const { event, payload, ref, meta } = readFrame(frame);
    if (state.behind) {
      return; // left to the next join
    }
    switch (event) {
      case 'broadcast':
        this.#see(payload?.payload?.k, meta);
        break;
      case 'postgres_changes':
        this.#see(changeKey(payload.data));
        break;
      case 'INSERT':
      case 'UPDATE':
      case 'DELETE':
        this.#see(changeKey(payload));
        break;
      case 'phx_reply':
        this.#reply(ref, payload, state);
        break;
      case 'system':
        this.#system(payload, state);
        break;
      case 'phx_close':
      case 'phx_error':
        state.over = event;
        break;
    }
  }

  #see(key, { epoch, seq } = {}) {
    const mark = epoch === undefined && seq === undefined ? undefined : { epoch, seq };
    if (this.resumes && mark) {
      this.#place = mark;
      this.#told = false;
    }
    this.history.seen(this.name, key ?? 'a message without a key', mark);
  }

  // The answer to a join that asked for its place.
  #placed(state, resume) {
    this.history.placed(this.name, state.join, resume);
    if (state.join.place && resume?.recovered !== true) {
      this.history.notice(this.name, RESUMED, 'the connection ended, and what came meanwhile was not recovered');
    }
    this.#place = resume?.epoch === undefined ? undefined : { epoch: resume.epoch, seq: resume.seq };
    this.#told = false;
  }

  #reply(ref, { status, response }, state) {
    const text = JSON.stringify(response).slice(0, 200);
    if (ref === '1') {
      if (status === 'ok') {
        state.joined = true;
        if (this.resumes) {
          this.#placed(state, response.resume);
        }
        this.history.starts(this.name, 'client');
        if (this.present) {
          this.trackRef = this.#push('presence', { type: 'presence', event: 'track', payload: { name: this.name } });
        }
      } else {
        state.over = `join refused: ${text}`;
      }
    } else if (ref === this.trackRef) {
      state.tracked = status === 'ok';
      state.over ??= status === 'ok' ? undefined : `track refused: ${text}`;
    } else if (this.#pending.has(ref)) {
      const key = this.#pending.get(ref);
      this.#pending.delete(ref);
      if (status === 'ok') {
        this.history.acked(key);
      } else {
        this.history.refused(key, text);
      }
    }
  }

  #system(payload, state) {
    const { status, extension, message } = payload;
    if (status === 'ok') {
      const kind = extension === 'postgres_changes' ? 'changes' : message === 'Replication connection established' ? 'database' : undefined;
      if (kind) {
        state[kind === 'changes' ? 'subscribed' : 'ready'] = true;
        this.history.starts(this.name, kind);
      }
      return;
    }
    const notice = noticeOf(payload);
    if (notice && this.resumes && /^Messages were lost/.test(message)) {
      // The history may still hold them.
      Object.assign(state, { behind: true, over: message });
      return;
    }
    if (!notice) {
      this.remarks.set(message, (this.remarks.get(message) ?? 0) + 1);
      this.history.note(`${this.name} was told: ${message}`);
      return;
    }
    if (!notice.goesOn) {
      if (notice.kinds.includes('changes')) {
        state.subscribed = false;
      }
      if (notice.kinds.includes('database')) {
        state.ready = false;
      }
    }
    if (notice.kinds.includes('client')) {
      this.#pending.clear(); // answers are among what may be lost
    }
    this.#told ||= notice.goesOn;
    this.history.notice(this.name, notice.kinds, message, notice.goesOn);
  }
}

// The key of a row: of an insert or update it is a column of its own, of a deletion the primary key.
const changeKey = (data) => (data.type === 'DELETE' ? `gone:${data.old_record?.id}` : data.record?.k);

// Waits until all clients are well again.
export const allWell = (clients, seconds) =>
  until(() => `all clients are well: ${clients.filter(({ well }) => !well).map(({ state }) => state).join('; ')}`,
    () => clients.every(({ well }) => well), { seconds, every: 10 });
