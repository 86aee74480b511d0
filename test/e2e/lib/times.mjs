// Times that were measured on a machine that may keep any process from running for a moment.

export const median = (times) => [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)];

// The third slowest, or 0 if there are fewer: two may be the machine's.
export const thirdSlowest = (times) => [...times].sort((a, b) => b - a)[2] ?? 0;
