// What was committed, in the order of the WAL, from a replication slot of the server's own test_decoding.

const SLOT = 'faults_truth';

// Primary keys of the published table; nobody uses one twice.
export const PublishedIds = {
  last: 0,
  next() {
    return ++this.last;
  },
};

export class Truth {
  constructor(server) {
    this.server = server;
  }

  async start() {
    await this.server.sql(`select pg_create_logical_replication_slot('${SLOT}', 'test_decoding')`);
  }

  // The keys committed since the last call, perhaps with some from before it: a crash sets a slot back.
  async take() {
    const lines = await this.server.sql(`select regexp_replace(data, '"pad": "[^"]*"', '') from pg_logical_slot_get_changes('${SLOT}', null, null,
      'include-xids', 'off', 'skip-empty-xacts', 'on', 'only-local', 'on')
      where data like 'table realtime.messages%: INSERT:%' or data like 'table public.items: %'`, 60);
    return lines.map(keyOf).filter(Boolean);
  }
}

export function keyOf(line) {
  const deleted = /^table public\.items: DELETE: id\[bigint\]:(\d+)/.exec(line);
  if (deleted) {
    return `gone:${deleted[1]}`;
  }
  return (/^table public\.items: .* k\[text\]:'([^']+)'/.exec(line) ?? /"k": "([^"]+)"/.exec(line))?.[1];
}
