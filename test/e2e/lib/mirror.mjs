// A server that knows nothing but one recording and answers as recorded, with other uuids, presence
// refs and entry ids. It shows that the replayer accepts a server that does what was recorded, and
// (with a change made to its steps) that it notices one that does not.

import { createServer } from 'node:http';
import { randomUUID } from 'node:crypto';
import { WebSocketServer } from 'ws';
import { isExpectation } from './transcript.mjs';

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

export class Mirror {
  #steps;
  #next = 0;
  #sockets = new Map();
  #uuids = new Map();
  #literal;
  #http = createServer((_, response) => this.#answer(response));
  #upgrade = new WebSocketServer({ noServer: true, maxPayload: 64 << 20, perMessageDeflate: false, skipUTF8Validation: true });
  // What clients sent, by connection.
  received = new Map();
  slack = 400;

  constructor({ steps, literal }) {
    this.#steps = steps;
    this.#literal = literal;
    this.#http.on('upgrade', (request, socket, head) => this.#open(request, socket, head));
  }

  async start() {
    await new Promise((resolve) => this.#http.listen(0, '127.0.0.1', resolve));
    this.port = this.#http.address().port;
    return this;
  }

  stop() {
    for (const socket of this.#sockets.values()) {
      socket.terminate();
    }
    this.#http.close();
    this.#http.closeAllConnections?.();
  }

  // The player has performed a step: all that was received after it follows.
  performed() {
    this.#next++;
    while (this.#next < this.#steps.length && isExpectation(this.#steps[this.#next])) {
      this.#emit(this.#steps[this.#next++]);
    }
  }

  async sql() {
    const { rows = [], notices = [] } = this.#steps[this.#next];
    return { rows, notices };
  }

  #answer(response) {
    const { status, headers = {}, json, text } = this.#steps[this.#next];
    const real = Object.entries(headers).map(([name, value]) => [name, value === '(present)' ? 'x' : value]);
    response.writeHead(status, Object.fromEntries(real));
    response.end(json !== undefined ? JSON.stringify(json) : text);
  }

  #open(_, socket, head) {
    const step = this.#steps[this.#next];
    if (step.status !== 101) {
      const body = step.json !== undefined ? JSON.stringify(step.json) : (step.text ?? '');
      const headers = Object.entries(step.headers).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.end(
        `HTTP/1.1 ${step.status} x\r\n${headers.join('')}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
      return;
    }
    delete _.headers['sec-websocket-protocol'];
    this.#upgrade.handleUpgrade(_, socket, head, (ws) => {
      ws.on('error', () => {});
      ws.on('message', (data, isBinary) => {
        const list = this.received.get(step.conn) ?? [];
        list.push(isBinary ? data : data.toString());
        this.received.set(step.conn, list);
        this.#beat(ws, data, isBinary);
      });
      this.#sockets.set(step.conn, ws);
    });
  }

  // The heartbeat that ends a conversation is not in the recording.
  #beat(ws, data, isBinary) {
    if (isBinary || data.length > 200) {
      return;
    }
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return;
    }
    const ref = Array.isArray(frame) ? frame[1] : frame?.ref;
    if (typeof ref === 'string' && ref.startsWith('quiet-')) {
      const payload = { status: 'ok', response: {} };
      ws.send(JSON.stringify(Array.isArray(frame)
        ? [null, ref, 'phoenix', 'phx_reply', payload]
        : { ref, topic: 'phoenix', event: 'phx_reply', payload }));
    }
  }

  #emit(step) {
    const ws = this.#sockets.get(step.conn);
    if (step.dir === 'close') {
      step.code === 1006 ? ws.terminate() : ws.close(step.code);
    } else if (step.hex !== undefined) {
      ws.send(Buffer.from(this.#other(Buffer.from(step.hex, 'hex').toString('latin1')), 'latin1'));
    } else {
      ws.send(this.#other(step.text ?? JSON.stringify(step.json)));
    }
  }

  // The same with other volatile values.
  #other(text) {
    return text
      .replace(UUID, (uuid) => {
        if (this.#literal.has(uuid) || isSpoilt(uuid)) {
          return uuid;
        }
        if (!this.#uuids.has(uuid)) {
          this.#uuids.set(uuid, randomUUID());
        }
        return this.#uuids.get(uuid);
      })
      .replace(/"phx_ref(_prev)?":"([^"]+)"/g, (_, prev = '', ref) => `"phx_ref${prev}":"${swapCase(ref)}"`)
      .replace(/(\d+) seconds ago/g, '77 seconds ago');
  }
}

// Uuids that a mutation made wrong on purpose stay wrong.
const isSpoilt = (uuid) => uuid.startsWith('deadbeef');
const swapCase = (text) => [...text].map((c) => (c === c.toUpperCase() ? c.toLowerCase() : c.toUpperCase())).join('');
