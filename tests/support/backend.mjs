// A backend's process: what it prints, a JSON object or a word a line, and how it ends.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { build, undo, within } from './stack.mjs';

const LIMIT = 60_000;

export class Backend {
  /** Starts a program of the build folder, and comes back when the router has taken it in. */
  static async start(t, stack, program, name = 'backend', ...more) {
    const backend = new Backend();
    backend.lines = [];
    backend.errors = '';
    backend.look = () => {};
    backend.process = spawn(path.join(build, program), [`ipc://${stack.data}/router.ipc`, name, ...more],
      { stdio: ['ignore', 'pipe', 'pipe'] });
    backend.exited = once(backend.process, 'close').then(([code, signal]) => ({ code, signal }));
    backend.process.stderr.setEncoding('utf8').on('data', (text) => { backend.errors += text; });
    createInterface({ input: backend.process.stdout }).on('line', (line) => {
      backend.lines.push(line.startsWith('{') ? JSON.parse(line) : line);
      backend.look();
    });
    undo(t, async () => {
      backend.process.kill('SIGKILL');
      await backend.exited;
    });
    await backend.until(`${name} to be live`, (line) => line === 'ready' || line.at === 'live');
    return backend;
  }

  /** The first line for which test() is true, of those from `start` on. */
  until(what, test, start = 0) {
    return within(LIMIT, what, new Promise((resolve, reject) => {
      this.look = () => {
        const line = this.lines.slice(start).find(test);
        if (line !== undefined)
          resolve(line);
      };
      this.exited.then(() => reject(new Error(`the backend ended; it said:\n${this.errors}`)));
      this.look();
    })).catch((error) => {
      throw new Error(`${error.message}\n${this.errors}\n${this.lines.slice(-20).map((line) => JSON.stringify(line)).join('\n')}`);
    });
  }

  told(at, id, start = 0) {
    return this.until(`${at} of ${id}`, (line) => line.at === at && line.id === id, start);
  }

  kill(signal = 'SIGKILL') {
    this.process.kill(signal);
  }
}
