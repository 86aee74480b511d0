// Waiting for a state: ask for it again and again until it is there or a deadline has passed.

import { setTimeout as pause } from 'node:timers/promises';

// Calls ask() until it returns something truthy, and returns that. `what` says what was waited for;
// a function is called with the last answer, so that the error shows it.
export async function until(what, ask, { seconds = 10, every = 20 } = {}) {
  const deadline = Date.now() + seconds * 1000;
  let answer;
  let error;
  for (;;) {
    try {
      answer = await ask();
      error = undefined;
    } catch (e) {
      error = e;
    }
    if (answer && !error) {
      return answer;
    }
    if (Date.now() >= deadline) {
      const text = typeof what === 'function' ? what(answer) : what;
      throw new Error(`not within ${seconds} s: ${text}${error ? ` (last error: ${error.message})` : ''}`);
    }
    await pause(every);
  }
}

// until() for what each of several listeners has for itself. A new connection falls to any of them, so ask() has to make one
// and find it there many times in a row.
export function inEveryListener(what, ask, options = {}) {
  let found = 0;
  return until(what, async () => {
    const before = found;
    found = 0;
    found = (await ask()) ? before + 1 : 0;
    return found >= 20;
  }, { every: 1, ...options });
}

// The promise's result, or an error that says what took too long.
export function within(seconds, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${seconds} s: ${what}`)), seconds * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export { pause };
