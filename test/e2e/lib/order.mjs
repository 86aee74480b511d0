// Which of two frames that one connection received has to come first. The recordings fix the order
// of frames from one source; frames from different sources may come either way, save that
//   - the reply to a join comes before everything else of its topic,
//   - a sender's own copy comes before the ack,
//   - a system error that shuts a channel comes before the phx_close.

import { readFrame } from './frames.mjs';

// Where a frame comes from: frames of one source keep their order.
function sourceOf({ topic, event, payload, meta }) {
  switch (event) {
    case 'phx_reply':
    case 'phx_close':
    case 'phx_error':
      return 'channel';
    case 'system':
      return `system ${payload?.extension} ${topic}`;
    case 'presence_state':
      return `presence_state ${topic}`;
    case 'presence_diff':
      return `presence_diff ${topic}`;
    case 'broadcast':
      if (meta?.replayed) {
        return 'channel';
      }
      // Messages from the database carry an id; they come in commit order, whatever the topic.
      return typeof meta?.id === 'string' && meta.id.length === 36 ? 'database' : `broadcast ${topic}`;
    case 'postgres_changes':
    case 'INSERT':
    case 'UPDATE':
    case 'DELETE':
      return `changes ${topic}`;
  }
  return `other ${topic} ${event}`;
}

// A function fixed(i, j) for steps i < j received by one connection: true if i has to come first.
// steps: all of the scenario; i and j are positions in it.
export function orderRules(steps) {
  const frames = steps.map((step) => (step.dir === 'send' || step.dir === 'recv' ? readFrame(step) : {}));
  const sources = frames.map((frame, i) => (steps[i].dir === 'recv' ? sourceOf(frame) : undefined));
  const answers = new Map();

  // Which push a reply answers: the last one before it with this topic and ref.
  steps.forEach((step, i) => {
    if (step.dir !== 'recv' || frames[i].event !== 'phx_reply') {
      return;
    }
    for (let k = i - 1; k >= 0; k--) {
      if (
        steps[k].dir === 'send' &&
        steps[k].conn === step.conn &&
        frames[k].topic === frames[i].topic &&
        frames[k].ref === frames[i].ref
      ) {
        answers.set(i, k);
        break;
      }
    }
  });

  return function fixed(i, j) {
    if (sources[i] === sources[j]) {
      return true;
    }
    if (frames[i].topic !== frames[j].topic) {
      return false;
    }
    const pushOfI = answers.get(i);
    if (pushOfI !== undefined && frames[pushOfI].event === 'phx_join') {
      return true;
    }
    const pushOfJ = answers.get(j);
    if (pushOfJ !== undefined && frames[i].event === 'broadcast' && pushOfJ < i && sources[i] !== 'database') {
      return true;
    }
    return frames[i].event === 'system' && frames[i].payload?.status === 'error' && frames[j].event === 'phx_close';
  };
}
