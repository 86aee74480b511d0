// A light client that is present on a topic, and its own view of who else is, kept as the protocol says.

import { RawSocket } from './socket.mjs';
import { readFrame } from './frames.mjs';
import { until } from './poll.mjs';

// Who is present according to presence_state and presence_diff: key -> phx_ref -> meta.
export class View {
  keys = new Map();
  // Faults of the server that no application should have to bear.
  faults = [];
  syncs = 0;

  state(state) {
    this.keys = new Map(
      Object.entries(state).map(([key, { metas }]) => [key, new Map(metas.map((meta) => [meta.phx_ref, meta]))]),
    );
    this.syncs++;
  }

  diff({ joins, leaves }) {
    for (const [key, { metas }] of Object.entries(joins)) {
      const known = this.keys.get(key) ?? new Map();
      for (const meta of metas) {
        if (known.has(meta.phx_ref)) {
          this.faults.push(`${key} ${meta.phx_ref} joins twice`);
        }
        known.set(meta.phx_ref, meta);
      }
      this.keys.set(key, known);
    }
    for (const [key, { metas }] of Object.entries(leaves)) {
      for (const { phx_ref: ref } of metas) {
        if (!this.keys.get(key)?.delete(ref)) {
          this.faults.push(`${key} ${ref} leaves without having joined`);
        }
      }
      if (this.keys.get(key)?.size === 0) {
        this.keys.delete(key);
      }
    }
    this.syncs++;
  }

  // One line for each entry, sorted.
  lines() {
    return [...this.keys].flatMap(([key, metas]) => [...metas.keys()].map((ref) => `${key} ${ref}`)).sort();
  }
}

export class Present {
  view = new View();
  replies = new Map();
  diffs = [];
  systems = [];
  onDiff = undefined;
  #number = 1;

  constructor(topic, { vsn = '2.0.0', key, config = {} } = {}) {
    this.topic = `realtime:${topic}`;
    this.vsn = vsn;
    this.key = key;
    this.config = config;
  }

  // Connects, joins and waits for presence_state.
  async open(port, token, { host, seconds = 20 } = {}) {
    this.view.keys.clear();
    this.replies.clear();
    this.hasState = false;
    const socket = new RawSocket({ onFrame: (frame) => this.#take(frame) });
    this.socket = socket;
    const answer = await socket.open(port, `/realtime/v1/websocket?apikey=${token}&vsn=${this.vsn}`, {}, { host, seconds });
    if (answer.status !== 101) {
      throw new Error(`not accepted: ${answer.status} ${answer.body}`);
    }
    const { presence, ...rest } = this.config;
    this.push('phx_join', { config: { ...rest, presence: { enabled: true, ...(this.key ? { key: this.key } : {}), ...presence } } }, '1');
    await until('the reply to the join', () => this.replies.has('1') || socket.ended, { seconds, every: 5 });
    if (this.replies.get('1')?.status !== 'ok') {
      throw new Error(`join refused: ${JSON.stringify(this.replies.get('1') ?? socket.ended)}`);
    }
    return this;
  }

  // After open, if presence is enabled.
  async synced(seconds = 20) {
    await until('presence_state', () => this.hasState || this.socket.ended, { seconds, every: 5 });
    return this;
  }

  push(event, payload, ref = String(++this.#number)) {
    this.socket.sendJson(
      this.vsn.startsWith('1')
        ? { topic: this.topic, event, payload, ref, join_ref: '1' }
        : ['1', ref, this.topic, event, payload],
    );
    return ref;
  }

  track(payload = {}) {
    return this.push('presence', { type: 'presence', event: 'track', payload });
  }

  untrack() {
    return this.push('presence', { type: 'presence', event: 'untrack' });
  }

  // The reply to a push: its payload.
  async reply(ref, seconds = 10) {
    await until(`a reply to ${ref}`, () => this.replies.has(ref) || this.socket.ended, { seconds, every: 5 });
    return this.replies.get(ref);
  }

  async tracked(payload) {
    const reply = await this.reply(this.track(payload));
    if (reply?.status !== 'ok') {
      throw new Error(`track refused: ${JSON.stringify(reply)}`);
    }
    return this;
  }

  #take(frame) {
    const { event, payload, ref } = readFrame(frame);
    switch (event) {
      case 'presence_state':
        this.view.state(payload);
        this.hasState = true;
        break;
      case 'presence_diff':
        this.onDiff?.(payload, frame.at);
        this.view.diff(payload);
        break;
      case 'phx_reply':
        this.replies.set(ref, payload);
        break;
      case 'system':
        this.systems.push(payload);
        break;
    }
  }
}
