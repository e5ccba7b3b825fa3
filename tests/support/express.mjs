// The example "beside your express app", with a stack behind it.

import { existsSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Stack, daemon, freePorts, temporaryFolder } from './stack.mjs';

const KEY = 'a-key-for-the-express-example';

export const folder = fileURLToPath(new URL('../../examples/express', import.meta.url));

/** Why its tests can't run, or false. */
export const missing = !existsSync(path.join(folder, 'node_modules')) && 'npm has not installed what examples/express needs';

/**
 * Starts both; {stack, port, url}: of the app.  `between` may give the port where the app is to publish, from the admin port.
 */
export async function startExample(t, { between = (port) => port } = {}) {
  const keys = path.join(await temporaryFolder(t), 'keys');
  await writeFile(keys, `${KEY}\n`);
  await chmod(keys, 0o600);
  const [port] = await freePorts(1);
  const [admin] = await freePorts(2, { row: true }); // one for each gateway
  const stack = await Stack.start(t, { args: ['--admin-port', String(admin), '--publish-key', keys] });
  const environment = {
    PORT: String(port),
    HUBBUB: stack.url(0),
    HUBBUB_ADMIN: `http://127.0.0.1:${await between(admin)}`,
    HUBBUB_KEY: KEY,
  };
  await daemon(t, 'node', [path.join(folder, 'server.mjs')], /^http:/, environment);
  return { stack, port, url: `http://127.0.0.1:${port}` };
}

/** A form that is posted as a browser does; its answer, not followed. */
export const post = (url, form, cookie = '') => fetch(url, {
  method: 'POST', body: new URLSearchParams(form), headers: { cookie }, redirect: 'manual',
});

/** The cookie of somebody who has logged in. */
export async function logIn(url, name) {
  const response = await post(`${url}/login`, { name });
  if (response.status !== 303)
    throw new Error(`${response.status} ${await response.text()}`);
  return response.headers.get('set-cookie').split(';')[0];
}
