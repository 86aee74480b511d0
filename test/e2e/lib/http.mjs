// HTTP requests with every byte under the test's control, and the reader of their answers that the
// WebSocket handshake shares.

import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { within } from './poll.mjs';

// Reads one HTTP answer from a socket: { status, headers, body, rest }. Bytes after a 101's headers
// are in `rest`. The socket is left without listeners.
export function readAnswer(socket) {
  return new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0);
    let head;

    const finish = (error, answer) => {
      socket.off('data', onData);
      socket.off('end', onEnd);
      socket.off('close', onEnd);
      socket.off('error', finish);
      error ? reject(error) : resolve(answer);
    };
    const onData = (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      if (!head) {
        const end = bytes.indexOf('\r\n\r\n');
        if (end < 0) {
          return;
        }
        head = parseHead(bytes.subarray(0, end).toString('latin1'));
        bytes = bytes.subarray(end + 4);
      }
      const body = parseBody(head, bytes, false);
      if (body) {
        finish(null, { ...head, ...body });
      }
    };
    const onEnd = () => {
      const body = head && parseBody(head, bytes, true);
      if (body) {
        finish(null, { ...head, ...body });
      } else {
        finish(new Error(`the connection ended without an answer (${bytes.length} bytes came)`));
      }
    };
    socket.on('data', onData);
    socket.on('end', onEnd);
    socket.on('close', onEnd);
    socket.on('error', finish);
  });
}

function parseHead(text) {
  const [first, ...lines] = text.split('\r\n');
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1]);
  const headers = {};
  for (const line of lines) {
    const at = line.indexOf(':');
    const name = line.slice(0, at).trim().toLowerCase();
    const value = line.slice(at + 1).trim();
    headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
  }
  return { status, headers, first };
}

// The body and what follows it, or undefined while it isn't complete.
function parseBody({ status, headers }, bytes, ended) {
  if (status === 101 || status === 204 || status === 304) {
    return { body: Buffer.alloc(0), rest: bytes };
  }
  if (/chunked/i.test(headers['transfer-encoding'] ?? '')) {
    return parseChunks(bytes);
  }
  if (headers['content-length'] !== undefined) {
    const length = Number(headers['content-length']);
    return bytes.length >= length
      ? { body: bytes.subarray(0, length), rest: bytes.subarray(length) }
      : undefined;
  }
  return ended ? { body: bytes, rest: Buffer.alloc(0) } : undefined;
}

function parseChunks(bytes) {
  const parts = [];
  let at = 0;
  for (;;) {
    const end = bytes.indexOf('\r\n', at);
    if (end < 0) {
      return undefined;
    }
    const size = parseInt(bytes.subarray(at, end).toString('latin1'), 16);
    at = end + 2;
    if (bytes.length < at + size + 2) {
      return undefined;
    }
    if (size === 0) {
      return { body: Buffer.concat(parts), rest: bytes.subarray(at + 2) };
    }
    parts.push(bytes.subarray(at, at + size));
    at += size + 2;
  }
}

// Sends a request and reads its answer. A body may be text or bytes; tls: options of node:tls for a connection with TLS.
export async function request(port, { method = 'GET', path, headers = {}, body, tls, host = '127.0.0.1' }, seconds = 10) {
  const socket = tls ? connectTls({ port, host, ...tls }) : connect({ port, host, noDelay: true });
  const names = new Set(Object.keys(headers).map((name) => name.toLowerCase()));
  const lines = [`${method} ${path} HTTP/1.1`];
  if (!names.has('host')) {
    lines.push(`Host: 127.0.0.1:${port}`);
  }
  if (!names.has('connection')) {
    lines.push('Connection: keep-alive');
  }
  for (const [name, value] of Object.entries(headers)) {
    lines.push(`${name}: ${value}`);
  }
  if (body !== undefined && !names.has('content-length')) {
    lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
  }
  try {
    const answer = readAnswer(socket);
    socket.write(`${lines.join('\r\n')}\r\n\r\n`);
    if (body !== undefined) {
      socket.write(body);
    }
    return await within(seconds, `an answer to ${method} ${path}`, answer);
  } finally {
    socket.on('error', () => {});
    socket.destroy();
  }
}
