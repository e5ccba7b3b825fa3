// A whole stack for a test: starts `hubbub run` of the build under test with a port of its own for each
// gateway and a data folder of its own, knows the processes by name, and leaves nothing behind.

import { spawn, execFile } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, mkdir, rm } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { certificateOptions, overTls } from './certificate.mjs';

const top = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

export const build = path.resolve(process.env.HUBBUB_BUILD || path.join(top, 'build'));
export const results = path.resolve(process.env.HUBBUB_TEST_RESULTS || path.join(top, 'test-results'));
export const hubbub = path.join(build, 'cli', 'hubbub');

// Generous: a build with sanitizers on a busy machine.
const START_LIMIT = 60_000;
const STOP_LIMIT = 60_000;

// What is under test, by process id; whatever happens to the test, none of it outlives it.
const alive = new Set();
process.on('exit', () => alive.forEach(killNow));

function killNow(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

/** Rejects with `what` when the promise takes longer than `limit` ms. */
export function within(limit, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${limit} ms`)), limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function portIsFree(port) {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen(port, () => server.close(() => resolve(true)));
  });
}

/** Whether somebody accepts connections at the port. */
export async function portAnswers(port) {
  const socket = net.connect(port, '127.0.0.1');
  const answers = await new Promise((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
  });
  socket.destroy();
  return answers;
}

const given = new Set(); // by freePorts(): what is not bound yet would be found free once more

/**
 * Free ports below the range that outgoing connections take, so that a restarted gateway finds its own free; none that
 * was given before.  In a row they follow each other, as the admin ports of the gateways do.
 */
export async function freePorts(count, { row = false } = {}) {
  const ports = [];
  while (ports.length < count) {
    const first = 20_000 + Math.floor(Math.random() * 12_000);
    const found = Array.from({ length: row ? count : 1 }, (_, number) => first + number);
    const free = await Promise.all(found.map(portIsFree));
    if (free.includes(false) || found.some((port) => given.has(port)))
      continue;
    found.forEach((port) => given.add(port));
    ports.push(...found);
  }
  return ports;
}

const undoing = new WeakMap(); // a test's context -> its steps

/** Has something undone when the test is over: the last first, and each whatever becomes of the others. */
export function undo(t, step) {
  if (!undoing.has(t)) {
    const steps = [];
    undoing.set(t, steps);
    t.after(async () => {
      const failures = [];
      for (const each of steps.reverse())
        await Promise.resolve().then(each).catch((error) => failures.push(error));
      if (failures.length)
        throw failures[0];
    });
  }
  undoing.get(t).push(step);
}

/** In place of a test's context, for what lives as long as the file: pass node:test's own `after`. */
export function wholeFile(after) {
  // Registered now: inside a test it would belong to that test.
  let end = null;
  after(() => end && end());
  return { after: (step) => { end = step; } };
}

/** A temporary folder that goes when the test (node:test's context) is over. */
export async function temporaryFolder(t) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'hubbub-test-'));
  undo(t, () => rm(folder, { recursive: true, force: true, maxRetries: 5 })); // who was killed may still be writing
  return folder;
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

export class Stack {
  /**
   * Starts `hubbub run` and comes back when it says `ready`.  Options: ports (or gateways, their number; with
   * onePort they share one), data, environment (more variables), args (more options), onLine (each line of its output).
   */
  static async start(t, options = {}) {
    const stack = new Stack();
    await access(hubbub).catch(() => {
      throw new Error(`${hubbub} is not there: build first`);
    });
    const gateways = options.gateways || 2;
    stack.ports = options.ports || (await freePorts(options.onePort ? 1 : gateways));
    stack.data = options.data || path.join(await temporaryFolder(t), 'data');
    const listen = options.onePort ? ['--port', String(stack.ports[0]), '--gateways', String(gateways)]
      : ['--ports', stack.ports.join(',')];
    const secured = certificateOptions(await temporaryFolder(t));
    stack.spawnRun([...listen, '--data', stack.data, ...secured, ...(options.args || [])], options);
    undo(t, () => stack.end());
    await within(START_LIMIT, 'ready', Promise.race([stack.ready, stack.exited.then(() => {
      throw new Error(`hubbub run ended before it was ready:\n${stack.errors}`);
    })])).catch((error) => {
      throw new Error(`${error.message}\n${stack.output}\n${stack.errors}`);
    });
    return stack;
  }

  spawnRun(args, { environment = {}, onLine = () => {} } = {}) {
    this.pids = new Map(); // name -> the process id of the present one
    this.starts = []; // {name, pid, line} in order
    this.output = '';
    this.errors = '';
    this.waiters = [];
    this.process = spawn(hubbub, ['run', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    });
    this.process.on('error', (error) => { this.errors += `${error}\n`; });
    if (this.process.pid)
      alive.add(this.process.pid);
    this.closed = new Promise((resolve) => { this.process.once('close', resolve); });
    this.exited = once(this.process, 'exit').then(([code, signal]) => {
      alive.delete(this.process.pid);
      return { code, signal };
    });
    this.process.stderr.setEncoding('utf8').on('data', (text) => { this.errors += text; });
    this.ready = new Promise((resolve) => {
      createInterface({ input: this.process.stdout }).on('line', (line) => {
        this.output += line + '\n';
        const match = /^(\S+) pid=(\d+)/.exec(line);
        if (match)
          this.started(match[1], Number(match[2]), line);
        if (line === 'ready')
          resolve();
        onLine(line);
      });
    });
  }

  started(name, pid, line) {
    alive.delete(this.pids.get(name));
    alive.add(pid);
    this.pids.set(name, pid);
    this.starts.push({ name, pid, line });
    for (const waiter of this.waiters.splice(0)) {
      if (!waiter(name, pid))
        this.waiters.push(waiter);
    }
  }

  get router() {
    return this.pids.get('router');
  }

  get stats() {
    return path.join(this.data, 'stats.sock');
  }

  url(gateway) {
    return `${overTls ? 'https' : 'http'}://127.0.0.1:${this.ports[gateway % this.ports.length]}`;
  }

  /** Kills a process by its name and comes back when `hubbub run` has started another, and a gateway listens. */
  async kill(name, signal = 'SIGKILL') {
    const old = this.pids.get(name);
    const again = new Promise((resolve) => this.waiters.push((started, pid) => {
      if (started === name && pid !== old)
        resolve(pid);
      return started === name && pid !== old;
    }));
    process.kill(old, signal);
    return within(START_LIMIT, `a new ${name}`, again.then(async (pid) => {
      const [, gateway] = /^gateway-(\d+)$/.exec(name) || [];
      while (gateway && !(await portAnswers(this.ports[(gateway - 1) % this.ports.length])))
        await delay(20);
      return pid;
    }));
  }

  /** Stops it as Ctrl-C does; gives {code, signal}.  What it started is gone then, and all that they said is here. */
  async stop(signal = 'SIGINT') {
    this.process.kill(signal);
    const result = await within(STOP_LIMIT, `the end after ${signal}`, this.exited);
    const left = [...this.pids].filter(([, pid]) => isAlive(pid));
    if (left.length)
      throw new Error(`still running after hubbub run ended: ${left.map(([name, pid]) => `${name} ${pid}`)}`);
    for (const pid of this.pids.values())
      alive.delete(pid);
    await within(STOP_LIMIT, 'the end of what it says', this.closed);
    return result;
  }

  /** The clean-up of a test that may have failed anywhere. */
  async end() {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill('SIGTERM');
      await within(STOP_LIMIT, 'the end', this.exited).catch(() => {});
    }
    for (const pid of [this.process.pid, ...this.pids.values()]) {
      if (alive.delete(pid))
        killNow(pid);
    }
  }

  /** Rows of the journal, after stop(). */
  journal(sql) {
    return journalRows(this.data, sql);
  }
}

/** Rows of the journal in a data folder that no router has open. */
export async function journalRows(data, sql) {
  const { stdout } = await promisify(execFile)('sqlite3', ['-readonly', '-json',
    path.join(data, 'journal.sqlite'), sql], { maxBuffer: 1 << 30 });
  return stdout.trim() ? JSON.parse(stdout) : [];
}

/**
 * Starts a program that stays until the test is over and comes back when a line of its output matches;
 * {process, errors()}.
 */
export async function daemon(t, command, args, ready, environment = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...environment } });
  let errors = '';
  alive.add(child.pid);
  const exited = once(child, 'exit').then(() => alive.delete(child.pid), (error) => { errors += `${error}\n`; });
  undo(t, async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      await within(STOP_LIMIT, `the end of ${command}`, exited).catch(() => child.kill('SIGKILL'));
    }
  });
  await within(START_LIMIT, `${command} to be ready`, new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        errors += `${line}\n`;
        if (ready.test(line))
          resolve();
      });
    }
    exited.then(() => reject(new Error(`${command} ended:\n${errors}`)));
  }));
  return { process: child, errors: () => errors };
}

/** Set: suites that can do so run against the reference server, which shows that they ask for nothing unusual. */
export const reference = Boolean(process.env.HUBBUB_REFERENCE);

/** The reference server in the place of a stack: one process on one port, which all gateways are said to have. */
export class Reference {
  static async start(t, { gateways = 2, onePort = false, options = {} } = {}) {
    const server = new Reference();
    const [port] = await freePorts(1);
    server.ports = Array(onePort ? 1 : gateways).fill(port);
    await daemon(t, 'node', [path.join(top, 'tests/support/reference.mjs'), JSON.stringify({ port, options })], /^ready$/);
    return server;
  }

  url(gateway) {
    return `http://127.0.0.1:${this.ports[gateway % this.ports.length]}`;
  }
}

/** Runs a program to its end: {code, stdout, stderr}. */
export async function run(command, args, { input = '', environment = {}, limit = START_LIMIT } = {}) {
  const child = spawn(command, args, { env: { ...process.env, ...environment } });
  const result = { stdout: '', stderr: '' };
  alive.add(child.pid);
  child.stdout.setEncoding('utf8').on('data', (text) => { result.stdout += text; });
  child.stderr.setEncoding('utf8').on('data', (text) => { result.stderr += text; });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [code] = await within(limit, `the end of ${command}`, once(child, 'close'))
    .finally(() => child.exitCode === null && child.kill('SIGKILL'));
  alive.delete(child.pid);
  return { code, ...result };
}

/** The folder for what a test leaves to be looked at. */
export async function artefact(name) {
  await mkdir(results, { recursive: true });
  return path.join(results, `${process.env.HUBBUB_STAGE ? process.env.HUBBUB_STAGE + '-' : ''}${name}`);
}
