// Plays a recorded conversation against a server and says how what came differs from the recording.
//
// A step of a client is performed only when all that the recording has before it has come, on every
// connection. What the recording hasn't must not come: after the last step each connection sends a
// heartbeat and is watched for a while.

import { RawSocket } from './socket.mjs';
import { request } from './http.mjs';
import { readFrame } from './frames.mjs';
import { Bindings, same } from './match.mjs';
import { orderRules } from './order.mjs';
import { isExpectation } from './transcript.mjs';
import { pause, within } from './poll.mjs';

const SLACK_MS = 4000; // for what was there in the recording at once
const SLACK_AFTER_FAILURES_MS = 500; // once a conversation has gone wrong twice
const QUIET_MS = 300; // how long nothing more may come at the end
const PROMPT_MS = 4000; // the reference sleeps before a refusal, we answer at once
const MESSAGE_LIMIT = 5_000_000; // a longer message ends the connection

const show = (value) => {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text === undefined || text.length <= 400 ? text : `${text.slice(0, 300)}…(${text.length} characters)`;
};

const showFrame = ({ json, text, hex, bytes }) =>
  hex !== undefined || bytes !== undefined ? `binary ${show(hex ?? bytes.toString('hex'))}` : show(json ?? text);

const showExpected = (step) =>
  step.dir === 'close' ? `close ${step.code} by the server` : showFrame(step);

class Connection {
  expected = []; // { position, frame?, sentAt }
  taken = new Set(); // frames that were expected
  lastSend = 0; // bytes of the last message

  constructor(name, url) {
    this.name = name;
    this.socket = new RawSocket();
    this.version = /[?&]vsn=2\./.test(url) ? 2 : 1;
  }

  left() {
    return this.socket.frames.filter((frame) => !this.taken.has(frame));
  }
}

// It was played too slowly for the recording to tell what has to come.
export class TooSlow extends Error {}

export class Player {
  #connections = new Map();
  #failures = [];
  #steps;
  #bindings;
  #now = 0; // at_ms of the last step that was performed
  #started;
  #server;
  #extras;
  #pace;
  #most; // ms that the recording allows from the first thing that is sent to the last answer
  #firstSend;
  #quietRefs = new Set();

  // prepared: from transcript.mjs. server: { port, sql(text) → { rows, notices } }; it may also have
  // performed(step), called after each step of a client, and slack, ms to wait for whatever should come.
  constructor(prepared, server) {
    this.#steps = prepared.steps;
    this.#server = server;
    this.#bindings = new Bindings(prepared.literal);
    this.#extras = prepared.differences.filter(({ extra }) => extra).map(({ extra }) => ({ ...extra, got: [] }));
    this.#pace = prepared.differences.find(({ pace }) => pace)?.pace;
    this.#most = prepared.differences.find(({ most }) => most)?.most ?? Infinity;
  }

  // Returns the list of differences, each a text; empty if all was as recorded.
  async play() {
    this.#started = Date.now();
    let tail = this.#steps.length;
    while (tail > 0 && this.#steps[tail - 1].dir === 'close' && this.#steps[tail - 1].by === 'client') {
      tail--;
    }
    try {
      for (let position = 0; position < tail; position++) {
        const step = this.#steps[position];
        if (isExpectation(step)) {
          this.#expect(step, position);
        } else {
          await this.#settle();
          await this.#perform(step);
          this.#now = step.at_ms;
          this.#server.performed?.(step);
        }
      }
      await this.#settle();
      const took = Date.now() - this.#firstSend;
      await this.#quiet();
      this.#checkOrder();
      if (this.#failures.length > 0 && took > this.#most) {
        throw new TooSlow(`played in ${took} ms instead of ${this.#most}, with ${this.#failures.length} difference(s):\n    ${this.#failures.join('\n    ')}`);
      }
      for (let position = tail; position < this.#steps.length; position++) {
        await this.#perform(this.#steps[position]);
      }
    } finally {
      for (const { socket } of this.#connections.values()) {
        socket.drop();
      }
    }
    return this.#failures;
  }

  #fail(step, text) {
    this.#failures.push(`step ${step.index}${step.inserted ? ' (inserted)' : ''}, ${step.conn ?? step.dir}: ${text}`);
  }

  #connection(name) {
    const connection = this.#connections.get(name);
    if (!connection) {
      throw new Error(`connection ${name} was never opened`);
    }
    return connection;
  }

  #expect(step, position) {
    const connection = this.#connection(step.conn);
    connection.expected.push({ step, position, since: Date.now(), allowed: this.#allowed(step) });
  }

  // How long a step may take: what it took in the recording, and some more.
  #allowed(step) {
    if (this.#server.slack) {
      return this.#server.slack;
    }
    const slack = this.#failures.length >= 2 ? SLACK_AFTER_FAILURES_MS : SLACK_MS;
    const recorded = (step.at_ms - this.#now) * (this.#pace ?? 1);
    return Math.min(Math.max(recorded, 0), 70_000) + slack;
  }

  #prompt() {
    return Math.max(PROMPT_MS, this.#server.slack ?? 0);
  }

  // Gives each frame that has come to the first expectation that it fulfils. True if none is open.
  #matchFrames() {
    let open = false;
    for (const connection of this.#connections.values()) {
      const { socket, expected, taken } = connection;
      for (const frame of socket.frames) {
        if (taken.has(frame) || frame.extra) {
          continue;
        }
        const entry = expected.find(
          ({ step, frame: got }) => !got && step.dir === 'recv' && same(step, frame, this.#bindings),
        );
        if (entry) {
          entry.frame = frame;
          taken.add(frame);
        } else if (!frame.looked) {
          frame.looked = true;
          frame.extra = this.#takeExtra(connection, frame);
        }
      }
      for (const entry of expected) {
        if (entry.step.dir === 'close' && socket.ended) {
          entry.frame = socket.ended;
        }
        open ||= !entry.frame && !entry.failed;
      }
    }
    return !open && this.#extras.every(({ got, min }) => got.length >= min || this.#failures.length > 0);
  }

  // True if a frame is one of those that we send though the reference doesn't.
  #takeExtra(connection, frame) {
    const { topic, event, payload, ref } = readFrame(frame);
    if (topic === 'phoenix' && this.#quietRefs.has(ref)) {
      return true;
    }
    const extra = this.#extras.find(
      (e) => e.conn === connection.name && e.topic === topic && e.event === event && e.got.length < e.max,
    );
    extra?.got.push(payload);
    return extra !== undefined;
  }

  // Waits until every expectation so far is fulfilled, or says which are not.
  async #settle() {
    for (;;) {
      if (this.#matchFrames()) {
        return;
      }
      const open = [...this.#connections.values()].flatMap((connection) =>
        connection.expected.filter(({ frame, failed }) => !frame && !failed).map((entry) => ({ connection, entry })),
      );
      const now = Date.now();
      for (const { connection, entry } of open) {
        const dead = connection.socket.ended && entry.step.dir === 'recv';
        if (dead || now >= entry.since + entry.allowed) {
          entry.failed = true;
          const left = connection.left().filter((frame) => !frame.extra);
          this.#fail(
            entry.step,
            `expected ${showExpected(entry.step)}\n      got ${
              left.length ? left.map(showFrame).join('\n      and ') : 'nothing'
            }${connection.socket.ended ? `\n      and the connection ended with ${connection.socket.ended.code}` : ''}`,
          );
        }
      }
      if (open.length === 0) {
        // Only extras are missing: the quiet time is what they have.
        return;
      }
      await this.#change(50);
    }
  }

  // Resolves when a frame comes, or after ms.
  #change(ms) {
    return new Promise((resolve) => {
      const undo = [];
      const done = () => {
        clearTimeout(timer);
        undo.forEach((f) => f());
        resolve();
      };
      const timer = setTimeout(done, ms);
      for (const { socket } of this.#connections.values()) {
        undo.push(socket.onChange(done));
      }
    });
  }

  async #perform(step) {
    if (this.#pace) {
      await pause(Math.max(0, this.#started + step.at_ms * this.#pace - Date.now()));
    }
    switch (step.dir) {
      case 'open':
        return this.#open(step);
      case 'send':
        return this.#send(step);
      case 'close':
        return this.#close(step);
      case 'http':
        return this.#http(step);
      case 'sql':
        return this.#sql(step);
    }
    throw new Error(`unknown kind of step: ${step.dir}`);
  }

  async #open(step) {
    const connection = new Connection(step.conn, step.url);
    const began = Date.now();
    const answer = await connection.socket.open(this.#server.port, step.url, step.request_headers);
    this.#checkAnswer(step, answer, Date.now() - began);
    if (step.status === 101) {
      // If it was refused, the rest of its steps fail one by one.
      this.#connections.set(step.conn, connection);
    }
    if (answer.status === 101) {
      if (step.status !== 101) {
        connection.socket.drop();
      }
      if (answer.headers['sec-websocket-protocol'] !== undefined || answer.headers['sec-websocket-extensions']) {
        this.#fail(step, `a subprotocol or an extension was accepted: ${show(answer.headers)}`);
      }
    }
  }

  async #http(step) {
    const { method, path, headers, json, text, hex } = step.request;
    let body = text;
    if (json !== undefined) {
      body = JSON.stringify(json);
    } else if (hex !== undefined) {
      body = Buffer.from(hex, 'hex');
    }
    const began = Date.now();
    const answer = await request(this.#server.port, { method, path, headers, body });
    this.#checkAnswer(step, answer, Date.now() - began);
  }

  #checkAnswer(step, answer, took) {
    if (answer.status !== step.status) {
      this.#fail(step, `expected status ${step.status} ${show(step.json ?? step.text ?? '')}\n      got ${
        answer.status} ${show(answer.body.toString())}`);
      return;
    }
    for (const [name, wanted] of Object.entries(step.headers ?? {})) {
      const got = answer.headers[name];
      const right =
        wanted === '(present)'
          ? got !== undefined
          : name.startsWith('x-rate-')
            ? /^\d+$/.test(got ?? '')
            : got?.toLowerCase() === wanted.toLowerCase();
      if (!right) {
        this.#fail(step, `expected the header ${name}: ${wanted}\n      got ${got ?? 'none'}`);
      }
    }
    if (step.status !== 101) {
      const wanted = step.json !== undefined || step.text !== undefined ? step : { text: '' };
      if (!same(wanted, { text: answer.body.toString() }, this.#bindings)) {
        this.#fail(step, `expected the body ${showFrame(wanted)}\n      got ${show(answer.body.toString())}`);
      }
      if (took > this.#prompt()) {
        this.#fail(step, `the answer took ${took} ms`);
      }
    }
  }

  #send(step) {
    this.#firstSend ??= Date.now();
    const connection = this.#connection(step.conn);
    const { socket } = connection;
    if (socket.ended) {
      this.#fail(step, `the server ended the connection with ${socket.ended.code} ${socket.ended.reason}`);
      return;
    }
    if (step.hex !== undefined) {
      socket.sendBinary(Buffer.from(step.hex, 'hex'));
    } else if (step.text_hex !== undefined) {
      socket.sendTextBytes(Buffer.from(step.text_hex, 'hex'));
    } else if (step.tcp_hex !== undefined) {
      socket.sendRaw(Buffer.from(step.tcp_hex, 'hex'));
    } else {
      const text = step.text ?? JSON.stringify(step.json);
      connection.lastSend = Buffer.byteLength(text);
      socket.send(text);
    }
  }

  async #close(step) {
    const { socket } = this.#connection(step.conn);
    if (step.dropped) {
      socket.drop();
    } else if (socket.ended) {
      this.#fail(step, `the server had ended the connection with ${socket.ended.code} ${socket.ended.reason}`);
    } else {
      await socket.close(step.code);
    }
  }

  async #sql(step) {
    const { rows, notices } = await this.#server.sql(step.text);
    if (step.rows !== undefined && !same({ json: step.rows }, { text: JSON.stringify(rows) }, this.#bindings)) {
      this.#fail(step, `expected the rows ${show(step.rows)}\n      got ${show(rows)}`);
    }
    // Hints, contexts and details are each server's own.
    const main = (lines) => lines.filter((line) => /^(ERROR|WARNING|NOTICE|INFO|FATAL):/.test(line));
    const wanted = step.notices instanceof Array ? main(step.notices) : [];
    const got = main(notices);
    const right = step.notices?.test ? step.notices.test(got) : same({ json: wanted }, { text: JSON.stringify(got) }, this.#bindings);
    if (!right) {
      this.#fail(step, `expected ${show(step.notices?.test ? step.notices : wanted)}\n      got ${show(got)}`);
    }
  }

  // Nothing more may come.
  async #quiet() {
    let number = 0;
    for (const { socket, version } of this.#connections.values()) {
      const ref = `quiet-${++number}`;
      this.#quietRefs.add(ref);
      if (!socket.ended) {
        socket.sendJson(
          version === 1
            ? { topic: 'phoenix', event: 'heartbeat', payload: {}, ref }
            : [null, ref, 'phoenix', 'heartbeat', {}],
        );
      }
    }
    const began = Date.now();
    const missing = () => this.#extras.some(({ got, min }) => got.length < min);
    while (Date.now() < began + QUIET_MS || (missing() && Date.now() < began + (this.#server.slack ?? SLACK_MS))) {
      await this.#change(20);
      this.#matchFrames();
    }
    for (const connection of this.#connections.values()) {
      for (const frame of connection.left()) {
        if (!frame.extra) {
          this.#failures.push(`${connection.name}: not in the recording: ${showFrame(frame)}`);
        }
      }
      this.#checkEnd(connection);
    }
    for (const { conn, topic, event, min, got, check, what } of this.#extras) {
      if (got.length < min || (check && !check(got))) {
        this.#failures.push(`${conn}: expected ${what} (${event} on ${topic})\n      got ${show(got)}`);
      }
    }
  }

  // If and how the server ended a connection, and that it did not do so too early.
  #checkEnd({ name, socket, expected, lastSend }) {
    const end = expected.find(({ step }) => step.dir === 'close');
    if (!end) {
      if (socket.ended?.by === 'server') {
        this.#failures.push(`${name}: the server ended the connection with ${socket.ended.code} ${socket.ended.reason}`);
      }
      return;
    }
    if (!socket.ended) {
      return; // #settle has said so
    }
    // A client that is still writing when it is cut off may see no close frame.
    const codes = lastSend > MESSAGE_LIMIT ? [1009, 1006] : [end.step.code];
    if (!codes.includes(socket.ended.code)) {
      this.#fail(end.step, `expected close ${codes.join(' or ')}\n      got ${socket.ended.code} ${socket.ended.reason}`);
    }
    const earliest = this.#pace ? this.#started + 0.85 * end.step.at_ms * this.#pace : 0;
    if (socket.ended.at < earliest) {
      this.#fail(end.step, `closed ${Math.round(earliest - socket.ended.at)} ms too early`);
    }
  }

  #checkOrder() {
    const fixed = orderRules(this.#steps);
    for (const { socket, expected } of this.#connections.values()) {
      const came = expected
        .filter(({ step, frame }) => step.dir === 'recv' && frame)
        .map((entry) => ({ ...entry, rank: socket.frames.indexOf(entry.frame) }));
      for (let i = 0; i < came.length; i++) {
        for (let j = i + 1; j < came.length; j++) {
          if (came[i].rank > came[j].rank && fixed(came[i].position, came[j].position)) {
            this.#fail(came[j].step, `${showFrame(came[j].frame)}\n      came before ${showFrame(came[i].frame)}`);
          }
        }
        this.#checkPrompt(came[i]);
      }
    }
  }

  // The reference waits 5 s before it refuses a join; we don't.
  #checkPrompt({ step, frame, since }) {
    const { event, payload } = readFrame(step);
    if (event === 'phx_reply' && payload?.status === 'error' && frame.at - since > this.#prompt()) {
      this.#fail(step, `the refusal took ${frame.at - since} ms`);
    }
  }
}

// Plays a prepared scenario; the list of differences.
export function play(prepared, server, seconds = 120) {
  return within(seconds, `the end of ${prepared.name}`, new Player(prepared, server).play());
}
