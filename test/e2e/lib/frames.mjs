// What a frame says: the five fields of the protocol, from either version and from binary frames.

const decoder = new TextDecoder();

// { joinRef, ref, topic, event, payload, kind, meta } of { json }, { text }, { hex } or { bytes };
// fields that the frame hasn't are undefined. A frame that can't be read gives {}.
export function readFrame({ json, text, hex, bytes }) {
  if (hex !== undefined || bytes !== undefined) {
    return readBinary(bytes ?? Buffer.from(hex, 'hex'));
  }
  let value = json;
  if (value === undefined) {
    try {
      value = JSON.parse(text);
    } catch {
      return {};
    }
  }
  if (Array.isArray(value)) {
    const [joinRef, ref, topic, event, payload] = value;
    return { joinRef, ref, topic, event, payload, meta: payload?.meta };
  }
  const { join_ref: joinRef, ref, topic, event, payload } = value ?? {};
  return { joinRef, ref, topic, event, payload, meta: payload?.meta };
}

// How many length bytes each kind has, and what they measure.
const KINDS = {
  0: ['joinRef', 'ref', 'topic', 'event'],
  2: ['topic', 'event'],
  3: ['joinRef', 'ref', 'topic', 'userEvent', 'metadata'],
  4: ['topic', 'userEvent', 'metadata'],
};

function readBinary(bytes) {
  const kind = bytes[0];
  const names = KINDS[kind];
  if (!names) {
    return { kind };
  }
  const frame = { kind };
  let at = 1 + names.length;
  if (kind >= 3) {
    frame.encoding = bytes[at++];
  }
  names.forEach((name, i) => {
    const length = bytes[1 + i];
    frame[name] = decoder.decode(bytes.subarray(at, at + length));
    at += length;
  });
  frame.data = bytes.subarray(at);
  if (kind >= 3) {
    frame.event = 'broadcast';
    try {
      frame.meta = frame.metadata ? JSON.parse(frame.metadata) : undefined;
    } catch {
      frame.meta = undefined;
    }
    if (frame.encoding !== 0) {
      try {
        frame.payload = { type: 'broadcast', event: frame.userEvent, payload: JSON.parse(decoder.decode(frame.data)) };
      } catch {
        frame.payload = undefined;
      }
    }
  }
  return frame;
}

// A kind 3 frame, as clients push a broadcast.
export function userBroadcastPush({ joinRef = '', ref = '', topic, event, metadata = '', payload }) {
  const raw = Buffer.isBuffer(payload);
  const parts = [joinRef, ref, topic, event, metadata].map((part) => Buffer.from(part));
  return Buffer.concat([
    Buffer.from([3, ...parts.map((part) => part.length), raw ? 0 : 1]),
    ...parts,
    raw ? payload : Buffer.from(JSON.stringify(payload)),
  ]);
}
