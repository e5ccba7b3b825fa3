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
   * Comes back when all are ready.  Options: gateways (their number), router and gateway (more options of each), environment (more variables of
   * the router),
   * through: async (port of the router, number of the gateway): the endpoint that this gateway connects to.
   */
  static async start(t, { gateways = 2, router = [], gateway = [], environment = {}, through } = {}) {
    const stack = new ApartStack();
    const folder = await temporaryFolder(t);
    Object.assign(stack, { t, folder, data: path.join(folder, 'data'), pids: new Map(), starts: [], processes: new Map() });
    stack.stats = path.join(stack.data, 'stats.sock');
    await mkdir(stack.data, { mode: 0o700 });
    let link;
    [link, ...stack.ports] = await freePorts(1 + gateways);
    stack.startRouter = () => stack.spawn('router', 'router/hubbub-router',
      [`--listen=tcp://127.0.0.1:${link}`, `--data=${stack.data}`, ...router], environment);
    await stack.startRouter();
    await Promise.all(stack.ports.map(async (port, number) => stack.spawn(`gateway-${number + 1}`, 'gateway/hubbub-gateway',
      [`--port=${port}`, `--router=${through ? await through(link, number) : `tcp://127.0.0.1:${link}`}`, ...gateway])));
    return stack;
  }

  async spawn(name, program, options, environment = {}) {
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

  /** kill -9 of the router, which stays away until startRouter(). */
  async killRouter() {
    const { child, exited } = this.processes.get('router');
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
