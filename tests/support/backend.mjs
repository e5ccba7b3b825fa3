// Backends at the orders of a test (obedient.c), beside a stack.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { build, Stack, temporaryFolder, undo, within } from './stack.mjs';

const LIMIT = 60_000;

/** A configuration for what obedient.c serves; "/plain" it does not serve. */
export const NAMESPACES = `
namespaces = (
  { name = "/"; events = (
      { name = "msg";    room = "$.room"; deliver = "room"; archive = true; dedup = "$.id"; meta = true; },
      { name = "judged"; room = "$.room"; deliver = "room"; archive = true; dedup = "$.id"; meta = true; ask = true; } ); },
  { name = "/all"; builtin = false; },
  { name = "/bare"; builtin = false; recovery = false; },
  { name = "/guarded"; builtin = false; },
  { pattern = "/some-*"; builtin = false; },
  { name = "/plain"; }
);
`;

/** A stack with these namespaces; more: further text of the configuration. */
export async function startStack(t, { more = '', ...options } = {}) {
  const config = path.join(await temporaryFolder(t), 'hubbub.conf');
  await writeFile(config, NAMESPACES + more);
  const stack = await Stack.start(t, { args: ['--config', config], ...options });
  stack.endpoint = `ipc://${stack.data}/router.ipc`;
  return stack;
}

export class Backend {
  /** Starts one and comes back when the router has taken it in. */
  static async start(t, stack, name) {
    const backend = new Backend();
    backend.name = name;
    backend.told = []; // each line that it has said, with the backend's name
    backend.waiting = new Set();
    backend.errors = '';
    backend.process = spawn(path.join(build, 'tests/support/obedient'), [stack.endpoint, name],
      { stdio: ['ignore', 'pipe', 'pipe'] });
    const kill = () => backend.process.kill('SIGKILL');
    process.on('exit', kill);
    backend.exited = once(backend.process, 'exit').then(([code, signal]) => {
      process.off('exit', kill);
      backend.ended = { code, signal };
      return backend.ended;
    });
    undo(t, () => backend.stop());
    backend.process.stderr.on('data', (text) => { backend.errors += text; });
    createInterface({ input: backend.process.stdout }).on('line', (line) => {
      backend.told.push({ ...JSON.parse(line), backend: name });
      for (const look of backend.waiting)
        look();
    });
    await backend.hears({ state: 'live' });
    return backend;
  }

  /** Comes back with the first line of all that has these fields, or of those from `start` on. */
  hears(fields, start = 0) {
    return within(LIMIT, `${this.name} to hear ${JSON.stringify(fields)}`, new Promise((resolve) => {
      const look = () => {
        const found = this.told.slice(start).find((line) => Object.entries(fields).every(([key, value]) => line[key] === value));
        if (found) {
          this.waiting.delete(look);
          resolve(found);
        }
      };
      this.waiting.add(look);
      look();
    })).catch((error) => {
      throw new Error(`${error.message}; it has heard ${JSON.stringify(this.told.slice(-10))}\n${this.errors}`);
    });
  }

  signal(name) {
    this.process.kill(name);
  }

  /** Ends it as an operator would; its exit code must be 0. */
  async stop() {
    if (this.ended)
      return;
    this.process.kill('SIGCONT');
    this.process.kill('SIGTERM');
    const { code, signal } = await within(LIMIT, `the end of ${this.name}`, this.exited).catch(async (error) => {
      this.process.kill('SIGKILL');
      await this.exited;
      throw error;
    });
    if (code !== 0)
      throw new Error(`${this.name} ended with ${code ?? signal}:\n${this.errors}`);
  }

  async kill() {
    this.process.kill('SIGKILL');
    await this.exited;
  }
}
