// With HUBBUB_TLS set the stacks of tests serve over TLS, and their clients take whatever certificate they find.

import { execFileSync } from 'node:child_process';
import path from 'node:path';

export const overTls = Boolean(process.env.HUBBUB_TLS);

if (overTls)
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; // of this process: ws, fetch and https

/** The options of `hubbub run` for a certificate that it makes in the folder; none when tests are not over TLS. */
export function certificateOptions(folder) {
  if (!overTls)
    return [];
  const [certificate, key] = ['site.pem', 'site.key'].map((name) => path.join(folder, name));
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
    '-keyout', key, '-out', certificate, '-days', '2', '-subj', '/CN=localhost',
    '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'], { stdio: 'ignore' });
  return ['--tls-certificate', certificate, '--tls-key', key];
}
