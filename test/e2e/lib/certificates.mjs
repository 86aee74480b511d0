// Certificates for tests, made by the openssl program: an authority of our own, and servers that it vouches for.

import { execFile } from 'node:child_process';
import { chmod, chown, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export class Authority {
  #dir;
  #serial = 1;

  static async make() {
    const self = new Authority();
    self.#dir = await mkdtemp(join(tmpdir(), 'rtc.'));
    await self.#openssl('req', '-x509', ...NEW_KEY, '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '2', '-subj', '/CN=test authority');
    self.certificate = await readFile(join(self.#dir, 'ca.crt'), 'utf8');
    return self;
  }

  #openssl(...args) {
    return run('openssl', args, { cwd: this.#dir });
  }

  // A certificate for localhost and its key: { cert, key } in PEM. passphrase: of the key.
  async issue({ passphrase } = {}) {
    const serial = this.#serial++;
    const name = `server-${serial}`;
    await writeFile(join(this.#dir, `${name}.ext`), 'subjectAltName = DNS:localhost, IP:127.0.0.1\n');
    await this.#openssl('req', ...NEW_KEY, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    await this.#openssl('x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.crt', '-CAkey', 'ca.key', '-set_serial', String(serial),
      '-days', '1', '-extfile', `${name}.ext`, '-out', `${name}.crt`);
    if (passphrase) {
      await this.#openssl('pkey', '-in', `${name}.key`, '-aes256', '-passout', `pass:${passphrase}`, '-out', `${name}.locked`);
    }
    return {
      name,
      cert: await readFile(join(this.#dir, `${name}.crt`), 'utf8'),
      key: await readFile(join(this.#dir, `${name}.${passphrase ? 'locked' : 'key'}`), 'utf8'),
    };
  }

  remove() {
    return rm(this.#dir, { recursive: true, force: true });
  }
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

// Puts a file into the server's data directory as its owner would, in one step.
export async function putFile(instance, name, text, mode = 0o600) {
  const data = join(instance.home, 'data');
  const { uid, gid } = await stat(data);
  const file = join(data, name);
  await writeFile(`${file}.new`, text, { mode: 0o600 });
  await chown(`${file}.new`, uid, gid);
  await chmod(`${file}.new`, mode);
  await rename(`${file}.new`, file);
}

export const removeFile = (instance, name) => rm(join(instance.home, 'data', name), { force: true });
