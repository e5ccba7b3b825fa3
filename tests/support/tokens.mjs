// Tokens for tests: signed here, so that they may be wrong in any way, and the group of the configuration that takes them.

import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { chmod, writeFile } from 'node:fs/promises';
import path from 'node:path';

const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

export const now = () => Math.floor(Date.now() / 1000);

/** A token with that head and claims, whose signature is whatever `mac` makes of its text. */
export function forge(head, claims, mac) {
  const text = `${encode(head)}.${encode(claims)}`;
  return `${text}.${Buffer.from(mac(text)).toString('base64url')}`;
}

/** The keys of a stack, one of each algorithm. */
export class Keys {
  static async make(folder) {
    const keys = new Keys();
    keys.secret = 'a secret that only this test knows, or so it hopes';
    keys.rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
    keys.ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    keys.files = { HS256: path.join(folder, 'hs'), RS256: path.join(folder, 'rs'), ES256: path.join(folder, 'es') };
    await writeFile(keys.files.HS256, keys.secret + '\n');
    await chmod(keys.files.HS256, 0o600);
    keys.rsaText = keys.rsa.publicKey.export({ type: 'spki', format: 'pem' });
    await writeFile(keys.files.RS256, keys.rsaText);
    await writeFile(keys.files.ES256, keys.ec.publicKey.export({ type: 'spki', format: 'pem' }));
    return keys;
  }

  /** The group `tokens`. */
  group(rest = '') {
    const list = Object.entries(this.files).map(([name, file]) => `{ id = "${name}"; algorithm = "${name}"; file = "${file}"; }`);
    return `tokens = { ${rest} keys = ( ${list.join(', ')} ); };\n`;
  }

  hmac(text, secret = this.secret) {
    return createHmac('sha256', secret).update(text).digest();
  }

  /** A good token: claims beside sub and exp may be given, and seconds how long it holds. */
  token(sub, { claims = {}, seconds = 600, algorithm = 'HS256', head = {} } = {}) {
    const macs = {
      HS256: (text) => this.hmac(text),
      RS256: (text) => sign('sha256', Buffer.from(text), this.rsa.privateKey),
      ES256: (text) => sign('sha256', Buffer.from(text), { key: this.ec.privateKey, dsaEncoding: 'ieee-p1363' }),
    };
    return forge({ alg: algorithm, typ: 'JWT', ...head }, { sub, exp: now() + seconds, ...claims }, macs[algorithm]);
  }

  /** One whose rights are these. */
  with(sub, rights, options = {}) {
    return this.token(sub, { ...options, claims: { hubbub: rights } });
  }
}
