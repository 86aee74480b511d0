// A process of its own that is present on a topic until it is stopped or killed:
//     node present-process.mjs HOST PORT TOKEN TOPIC KEY
// Says "present" when it is.

import { Present } from './present.mjs';

const [host, port, token, topic, key] = process.argv.slice(2);
const self = new Present(topic, { key });
await self.open(Number(port), token, { host });
await self.tracked({ from: 'another process' });
console.log('present');
// It is quiet from now on, but for the pongs.
await self.socket.waitFor(() => self.socket.ended);
