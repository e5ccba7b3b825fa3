// A stack whose processes were started one by one, with the link over tcp, so that something can stand between them.
// It has what tests use of Stack; nothing starts a process again by itself.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { build, freePorts, journalRows, temporaryFolder, undo, within } from '../support/stack.mjs';

const LIMIT = 60_000;

export class ApartStack {
  /**
   * Comes back when all are ready.  Options: gateways (their number), options (more of each process), router (more
   * of the router), environment (more variables of the router), through: async (port of the router, number of the gateway): the endpoint that this gateway connects to.
   */
  static async start(t, { gateways = 2, options = [], router = [], environment = {}, through } = {}) {
    const stack = new ApartStack();
    const folder = await temporaryFolder(t);
    Object.assign(stack, { t, folder, data: path.join(folder, 'data'), pids: new Map(), starts: [], processes: new Map() });
    stack.stats = path.join(stack.data, 'stats.sock');
    await mkdir(stack.data, { mode: 0o700 });
    const [link, ...ports] = await freePorts(1 + gateways);
    stack.ports = ports;
    stack.plan = new Map([['router', { program: 'router/hubbub-router', environment,
      options: [`--listen=tcp://127.0.0.1:${link}`, `--data=${stack.data}`, ...options, ...router] }]]);
    for (const [number, port] of stack.ports.entries()) {
      const endpoint = through ? await through(link, number) : `tcp://127.0.0.1:${link}`;
      stack.plan.set(`gateway-${number + 1}`, { program: 'gateway/hubbub-gateway', options: [`--port=${port}`, `--router=${endpoint}`, ...options] });
    }
    await stack.begin('router');
    await Promise.all([...stack.plan.keys()].filter((name) => name !== 'router').map((name) => stack.begin(name)));
    return stack;
  }

  /** Starts a process, also again. */
  async begin(name) {
    const { program, options, environment = {} } = this.plan.get(name);
    const log = await open(path.join(this.folder, `${name}.log`), 'a');
    const child = spawn(path.join(build, program), [`--name=${name}`, ...options], {
      stdio: ['ignore', log.fd, log.fd, 'pipe'],
      env: { ...process.env, HUBBUB_READY_FD: '3', ...environment },
    });
    await log.close();
    const exited = once(child, 'exit').then(([code, signal]) => ({ code, signal }));
    this.processes.set(name, { child, exited });
    this.pids.set(name, child.pid);
    undo(this.t, async () => {
      if (child.exitCode === null && child.signalCode === null)
        child.kill('SIGKILL');
      await exited;
    });
    await within(LIMIT, `${name} to be ready`, Promise.race([once(child.stdio[3], 'data'), exited.then(async () => {
      throw new Error(`${name} ended before it was ready: ${await readFile(path.join(this.folder, `${name}.log`), 'utf8')}`);
    })]));
  }

  /** kill -9 of a process, which stays away until begin(). */
  async kill(name) {
    const { child, exited } = this.processes.get(name);
    child.kill('SIGKILL');
    await exited;
  }

  url(gateway) {
    return `http://127.0.0.1:${this.ports[gateway % this.ports.length]}`;
  }

  /** Ends the gateways, then the router; gives the first {code, signal} that is no success. */
  async stop() {
    const end = async (name) => {
      const { child, exited } = this.processes.get(name);
      child.kill('SIGTERM');
      return within(LIMIT, `the end of ${name}`, exited);
    };
    const ends = await Promise.all([...this.processes.keys()].filter((name) => name !== 'router').map(end));
    ends.push(await end('router'));
    return ends.find(({ code }) => code !== 0) ?? { code: 0, signal: null };
  }

  /** Rows of the journal, after stop(). */
  journal(sql) {
    return journalRows(this.data, sql);
  }
}
