// A server whose realtime.database has another encoding than UTF-8.

import { Instance } from './instance.mjs';
import { until } from './poll.mjs';

// Returns { instance, session }: the session speaks to that database in its encoding. `sql` is run there.
export async function startEncoded(encoding, sql = '') {
  const instance = await Instance.start({ extension: false, settings: ['fsync = off', `realtime.database = 'encoded'`] });
  try {
    await instance.rows(`create database encoded encoding '${encoding}' template template0 lc_collate 'C' lc_ctype 'C'`);
    const session = instance.session({ database: 'encoded', options: '-c client_min_messages=warning -c client_encoding=sql_ascii' });
    await session.rows(`create extension realtime; select realtime.setup_supabase(); ${sql}`);
    await until('the listener', () => instance.get('/healthcheck').then(({ status }) => status === 200, () => false), { seconds: 20 });
    return { instance, session };
  } catch (error) {
    await instance.destroy();
    throw error;
  }
}
