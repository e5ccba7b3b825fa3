// The proxy of fault_proxy.py for tests in JavaScript: its commands are described there.

import { spawn } from 'node:child_process';
import { access } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { undo, within } from './stack.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const LIMIT = 30_000; // ms for an answer: only a hang meets it

/** A Python with the modules that tests need. */
export async function python() {
  const own = path.resolve(here, '../../build/venv/bin/python');
  return access(own).then(() => own, () => 'python3');
}

/** Starts a proxy before a port of this machine; {port, command(line), status()}.  It goes with the test. */
export async function faultProxy(t, port, protocol = 'bytes') {
  const child = spawn(await python(), [path.join(here, 'fault_proxy.py'), '--to', `127.0.0.1:${port}`, '--protocol', protocol],
    { stdio: ['pipe', 'pipe', 'inherit'] });
  undo(t, () => child.stdin.end());
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async (what) => (await within(LIMIT, what, lines.next())).value ?? '';
  const first = await line('the port of the proxy');
  if (!first.startsWith('port '))
    throw new Error(`the proxy did not start: ${first}`);
  let last = Promise.resolve();
  /** Commands are answered in their order. */
  const command = (text) => {
    last = last.then(async () => {
      child.stdin.write(text + '\n');
      const answer = await line(`the answer to ${text}`);
      if (!answer.startsWith('ok'))
        throw new Error(`${text}: ${answer || 'the proxy has ended'}`);
      return answer.slice(3);
    });
    return last;
  };
  return {
    port: Number(first.slice(5)),
    command,
    status: async () => Object.fromEntries((await command('status')).split(' ')
      .map((pair) => pair.split('=')).map(([name, value]) => [name, Number(value)])),
  };
}
