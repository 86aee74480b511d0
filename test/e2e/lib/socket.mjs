// A WebSocket client that hides nothing: any bytes can be sent, each frame and the way the
// connection ended are kept as they came.

import { createHash, randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { readAnswer } from './http.mjs';
import { within } from './poll.mjs';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const OP = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

export class RawSocket {
  // Frames as they came: { text } or { bytes }, and `at`, ms since the epoch.
  frames = [];
  // How it ended, once it has: { by: 'server' | 'client', code, reason, at }.
  ended = undefined;
  pings = 0;
  // What came back in answer to our pings.
  pongs = [];

  #socket;
  #bytes = Buffer.alloc(0);
  #fragments = [];
  #fragmentOp;
  #closing = false;
  #listeners = new Set();
  #onFrame;

  // onFrame(frame), if given, gets each frame instead of its being kept in `frames`.
  constructor({ onFrame } = {}) {
    this.#onFrame = onFrame;
  }

  // Connects and shakes hands; tls: options of node:tls for a connection with TLS. Returns the HTTP answer; the
  // socket is open if its status is 101.
  async open(port, path, headers = {}, { seconds = 10, host = '127.0.0.1', tls } = {}) {
    const key = randomBytes(16).toString('base64');
    const socket = tls ? connectTls({ port, host, ...tls }) : connect({ port, host, noDelay: true });
    this.#socket = socket;
    socket.on('error', () => {});
    const answer = readAnswer(socket);
    const lines = [
      `GET ${path} HTTP/1.1`,
      `Host: ${host}:${port}`,
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      `Sec-WebSocket-Key: ${key}`,
      ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ];
    socket.write(`${lines.join('\r\n')}\r\n\r\n`);
    let got;
    try {
      got = await within(seconds, `an answer to GET ${path.slice(0, 200)}`, answer);
    } catch (error) {
      socket.destroy();
      throw error;
    }
    if (got.status !== 101) {
      this.ended = { by: 'server', code: got.status, reason: 'refused', at: Date.now() };
      socket.destroy();
      return got;
    }
    const accept = createHash('sha1').update(key + GUID).digest('base64');
    if (got.headers['sec-websocket-accept'] !== accept) {
      socket.destroy();
      throw new Error(`wrong sec-websocket-accept: ${got.headers['sec-websocket-accept']}`);
    }
    socket.on('data', (chunk) => this.#read(chunk));
    socket.on('close', () => this.#end(this.#closing ? 'client' : 'server', 1006, ''));
    if (got.rest.length > 0) {
      this.#read(got.rest);
    }
    return got;
  }

  send(text) {
    this.#write(OP.text, Buffer.from(text));
  }

  sendJson(value) {
    this.send(JSON.stringify(value));
  }

  sendBinary(bytes) {
    this.#write(OP.binary, bytes);
  }

  // A text frame of any bytes, valid UTF-8 or not.
  sendTextBytes(bytes) {
    this.#write(OP.text, bytes);
  }

  // One text message in several frames, with a ping after each but the last.
  sendFragments(parts) {
    parts.forEach((part, i) => {
      const last = i === parts.length - 1;
      this.#write(i === 0 ? OP.text : OP.continuation, Buffer.from(part), last);
      if (!last) {
        this.ping(Buffer.from(`${i}`));
      }
    });
  }

  ping(bytes = Buffer.alloc(0)) {
    this.#write(OP.ping, bytes);
  }

  // What send() sends goes out at once, for the server to read together.
  burst(send) {
    this.#socket.cork();
    send();
    this.#socket.uncork();
  }

  // Bytes below the WebSocket layer.
  sendRaw(bytes) {
    this.#socket.write(bytes);
  }

  // Stops reading, so that the server's data piles up; resume() goes on.
  pause() {
    this.#socket.pause();
  }

  resume() {
    this.#socket.resume();
  }

  // Says goodbye and waits until the server has ended the connection.
  async close(code = 1000, seconds = 10) {
    if (this.ended) {
      return;
    }
    this.#closing = true;
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code);
    this.#write(OP.close, payload);
    await within(seconds, 'the end of the connection after a close frame', this.waitFor(() => this.ended));
  }

  // Cuts the connection without a word.
  drop() {
    this.#closing = true;
    this.#socket?.destroy();
  }

  // Resolves as soon as test() is true; it is asked after each frame and at the end.
  waitFor(test) {
    return new Promise((resolve) => {
      const look = () => {
        const result = test();
        if (result) {
          this.#listeners.delete(look);
          resolve(result);
        }
      };
      this.#listeners.add(look);
      look();
    });
  }

  // Calls back after each frame and at the end, until the returned function is called.
  onChange(callback) {
    this.#listeners.add(callback);
    return () => this.#listeners.delete(callback);
  }

  #changed() {
    for (const listener of [...this.#listeners]) {
      listener();
    }
  }

  #end(by, code, reason) {
    if (!this.ended) {
      this.ended = { by, code, reason, at: Date.now() };
      this.#socket.destroy();
      this.#changed();
    }
  }

  #write(op, payload, fin = true) {
    const length = payload.length;
    const head = length < 126 ? Buffer.alloc(6) : length < 65536 ? Buffer.alloc(8) : Buffer.alloc(14);
    head[0] = (fin ? 0x80 : 0) | op;
    if (length < 126) {
      head[1] = 0x80 | length;
    } else if (length < 65536) {
      head[1] = 0x80 | 126;
      head.writeUInt16BE(length, 2);
    } else {
      head[1] = 0x80 | 127;
      head.writeBigUInt64BE(BigInt(length), 2);
    }
    const mask = randomBytes(4);
    mask.copy(head, head.length - 4);
    const masked = Buffer.allocUnsafe(length);
    for (let i = 0; i < length; i++) {
      masked[i] = payload[i] ^ mask[i & 3];
    }
    if (!this.#socket.destroyed) {
      this.#socket.write(head);
      this.#socket.write(masked);
    }
  }

  #read(chunk) {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    for (;;) {
      const frame = this.#nextFrame();
      if (!frame) {
        return;
      }
      this.#take(frame);
    }
  }

  #nextFrame() {
    const bytes = this.#bytes;
    if (bytes.length < 2) {
      return undefined;
    }
    let length = bytes[1] & 0x7f;
    let at = 2;
    if (length === 126) {
      if (bytes.length < 4) {
        return undefined;
      }
      length = bytes.readUInt16BE(2);
      at = 4;
    } else if (length === 127) {
      if (bytes.length < 10) {
        return undefined;
      }
      length = Number(bytes.readBigUInt64BE(2));
      at = 10;
    }
    if (bytes.length < at + length) {
      return undefined;
    }
    this.#bytes = bytes.subarray(at + length);
    return {
      fin: (bytes[0] & 0x80) !== 0,
      reserved: bytes[0] & 0x70,
      op: bytes[0] & 0x0f,
      masked: (bytes[1] & 0x80) !== 0,
      payload: bytes.subarray(at, at + length),
    };
  }

  #take({ fin, reserved, op, masked, payload }) {
    if (masked || reserved) {
      this.#end('client', 1002, 'the server sent a masked frame or a reserved bit');
      return;
    }
    if (op === OP.ping) {
      this.pings++;
      this.#write(OP.pong, payload);
      return;
    }
    if (op === OP.pong) {
      this.pongs.push(payload.toString());
      this.#changed();
      return;
    }
    if (op === OP.close) {
      const code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
      if (!this.#closing) {
        this.#write(OP.close, payload.subarray(0, 2));
      }
      this.#end(this.#closing ? 'client' : 'server', code, payload.subarray(2).toString());
      return;
    }
    if (op !== OP.continuation) {
      this.#fragmentOp = op;
      this.#fragments = [];
    }
    this.#fragments.push(payload);
    if (!fin) {
      return;
    }
    const whole = this.#fragments.length === 1 ? payload : Buffer.concat(this.#fragments);
    const frame =
      this.#fragmentOp === OP.text
        ? { text: whole.toString('utf8'), at: Date.now() }
        : { bytes: Buffer.from(whole), at: Date.now() };
    if (this.#onFrame) {
      this.#onFrame(frame);
    } else {
      this.frames.push(frame);
    }
    this.#changed();
  }
}
