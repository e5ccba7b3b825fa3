// The stack of deploy/docker-compose.yml for a test: built, started under a project of its own with secrets and ports of
// its own, looked into, and gone afterwards.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { archived } from '../support/mongodb.mjs';
import { freePorts, journalRows, temporaryFolder, undo, within } from '../support/stack.mjs';
import { EVENTS } from '../fault/load.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const top = path.resolve(here, '../..');
const LIMIT = 120_000; // generous: only a hang meets it
const BUILD_LIMIT = 1_200_000;
const KEPT = path.join(top, 'build', 'stack'); // what the next run needs not make again

/** Images beside Hubbub: their names in docker-compose.yml, and the stage of tests/stack/Dockerfile. */
const BESIDE = { 'haproxy:2.6': 'haproxy', 'prom/prometheus:v2.53.0': 'prometheus', 'hubbub-test-mongodb': 'mongodb' };

/** Has docker until the test is over; {host, own}, or {skip: the reason}. */
export async function keepDocker(t, project) {
  await mkdir(KEPT, { recursive: true });
  // In a session of its own: it outlives whatever ends this process, and cleans up then.
  const keeper = spawn(path.join(here, 'keeper'), [KEPT, project], { detached: true, stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(keeper, 'exit');
  undo(t, async () => {
    keeper.stdin.end();
    await within(LIMIT, 'the end of docker', exited);
  });
  const [line] = await Promise.race([once(createInterface({ input: keeper.stdout }), 'line'), exited.then(() => ['skip no word'])]);
  const [word, ...rest] = line.split(' ');
  return word === 'skip' ? { skip: rest.join(' ') } : { host: rest[0], own: rest[1] === 'own' };
}

export class Composed {
  static async start(t, docker, project, { config = '' } = {}) {
    const stack = new Composed();
    stack.project = project;
    stack.folder = await temporaryFolder(t);
    [stack.port, stack.plain] = await freePorts(2);
    stack.ports = [stack.port];
    stack.starts = [];
    stack.environment = {
      ...process.env,
      DOCKER_HOST: docker.host,
      DOCKER_BUILDKIT: '0',
      COMPOSE_DOCKER_CLI_BUILD: '0',
      HUBBUB_IMAGE: 'hubbub-test',
      HUBBUB_HTTPS: `127.0.0.1:${stack.port}`,
      HUBBUB_HTTP: `127.0.0.1:${stack.plain}`,
      HUBBUB_SECRETS: path.join(stack.folder, 'secrets'),
      HUBBUB_STACK: stack.folder,
    };
    await chmod(stack.folder, 0o755);
    stack.compose = await stack.run('docker', ['compose', 'version']).then(() => ['docker', 'compose'], () => ['docker-compose']);
    const conf = await readFile(path.join(top, 'deploy', 'hubbub.conf'), 'utf8');
    await writeFile(path.join(stack.folder, 'hubbub.conf'), conf + EVENTS + config);
    await stack.buildImages();
    await stack.run(path.join(top, 'deploy', 'setup'), ['chat.test'], { limit: LIMIT });
    stack.certificate = await readFile(path.join(stack.folder, 'secrets', 'certificate.pem'), 'utf8');
    undo(t, () => stack.saveLogs());
    await stack.up();
    return stack;
  }

  /** Runs a program to its end and gives what it printed. */
  async run(command, args, { limit = LIMIT } = {}) {
    try {
      const { stdout } = await promisify(execFile)(command, args,
        { cwd: top, env: this.environment, maxBuffer: 1 << 28, timeout: limit, encoding: 'utf8' });
      return stdout;
    } catch (error) {
      throw new Error(`${command} ${args.join(' ')}: ${error.message}\n${error.stdout?.slice(-4000)}`);
    }
  }

  docker(...args) {
    return this.run('docker', args);
  }

  composed(...args) {
    return this.composeFor(LIMIT, ...args);
  }

  composeFor(limit, ...args) {
    const [command, ...first] = this.compose;
    return this.run(command, [...first, '-p', this.project, '-f', 'deploy/docker-compose.yml',
      '-f', 'tests/stack/docker-compose.nx.yml', ...args], { limit });
  }

  async buildImages() {
    await this.run(path.join(here, 'base-image'), [KEPT], { limit: BUILD_LIMIT });
    const context = await mkdtemp(path.join(KEPT, 'context.'));
    try {
      await this.nx(context);
      for (const [name, stage] of Object.entries(BESIDE)) {
        await this.run('docker', ['build', '--quiet', '--label', 'hubbub.test=1', '--target', stage, '-t', name,
          '-f', path.join(here, 'Dockerfile'), context], { limit: BUILD_LIMIT });
      }
    } finally {
      await rm(context, { recursive: true });
    }
    // The first stage has a name as well, or what it has installed would be made anew the next time.
    for (const [name, ...target] of [['hubbub-test-build', '--target', 'build'], ['hubbub-test']]) {
      await this.run('docker', ['build', '--quiet', '--label', 'hubbub.test=1', '-t', name, ...target, '-f', 'deploy/Dockerfile', '.'],
        { limit: BUILD_LIMIT });
    }
  }

  /** nx-27017 for the Python of Debian 12, in the folder `nx` of a build context. */
  async nx(context) {
    const list = await readFile(path.join(top, 'tests', 'requirements.txt'), 'utf8');
    const [requirement] = list.match(/^nx-27017==.*$/m);
    const kept = path.join(KEPT, requirement);
    await this.run('sh', ['-c', '[ -d "$0" ] || { rm -rf "$0.part" && python3 -m pip install --quiet --target "$0.part" '
      + '--python-version 3.11 --only-binary=:all: "$1" && mv "$0.part" "$0"; }', kept, requirement], { limit: BUILD_LIMIT });
    await cp(kept, path.join(context, 'nx'), { recursive: true, preserveTimestamps: true });
  }

  /** Starts all of it, and waits until HAProxy leads to gateways that serve. */
  async up() {
    await this.composed('up', '-d', '--no-build');
    await this.until('the stack to serve', async () => (await this.serving()) >= 3);
  }

  async until(what, condition) {
    await within(LIMIT, what, (async () => {
      while (!(await condition()))
        await sleep(200);
    })());
  }

  url() {
    return `https://localhost:${this.port}`;
  }

  /** [{id, service, name, pid, health, status}] of all containers. */
  async containers() {
    const ids = (await this.docker('ps', '-aq', '--filter', `label=com.docker.compose.project=${this.project}`)).split('\n').filter(Boolean);
    return ids.length ? JSON.parse(await this.docker('inspect', ...ids)).map(({ Id: id, Name: name, Config, State, ...rest }) => ({
      id, name, service: Config.Labels['com.docker.compose.service'], pid: State.Pid, status: State.Status,
      code: State.ExitCode, health: State.Health?.Status, inspected: { Config, State, ...rest },
    })) : [];
  }

  async ofService(service) {
    return (await this.containers()).filter((container) => container.service === service)
      .sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
  }

  /** The address of a container in a network of the stack. */
  async address(service, network) {
    const [container] = await this.ofService(service);
    return container.inspected.NetworkSettings.Networks[`${this.project}_${network}`].IPAddress;
  }

  /** What `hubbub ARGS --json` says beside the router. */
  async hubbub(...args) {
    const [router] = await this.ofService('router');
    return JSON.parse(await this.docker('exec', router.id, 'hubbub', ...args, '--json', '--data', '/var/lib/hubbub'));
  }

  /** A token of somebody's, signed with the stack's own secret. */
  async token(sub) {
    const [gateway] = await this.ofService('gateway');
    return (await this.docker('exec', gateway.id, 'hubbub', 'token', '--key', '/etc/hubbub/secrets/token.key', '--sub', sub)).trim();
  }

  async metrics() {
    return (await this.hubbub('stats')).metrics;
  }

  /** A figure that HAProxy has of each gateway: [number], of those with one above 0. */
  async byGateway(name, label = '') {
    const text = await fetch(`http://${await this.address('haproxy', 'front')}:8404/metrics`).then((answer) => answer.text(), () => '');
    return text.split('\n').filter((line) => line.startsWith(`haproxy_server_${name}{proxy="gateways"`) && line.includes(label))
      .map((line) => Number(line.split(' ').at(-1))).filter((figure) => figure > 0);
  }

  /** How many gateways HAProxy sends new clients to. */
  async serving() {
    return (await this.byGateway('status', 'state="UP"')).length;
  }

  /** What Prometheus answers to a query: {labels without __name__ as one text: number}. */
  async queried(query) {
    const url = `http://${await this.address('prometheus', 'front')}:9090/api/v1/query?query=${encodeURIComponent(query)}`;
    const { data } = await fetch(url).then((answer) => answer.json(), () => ({}));
    return Object.fromEntries((data?.result ?? []).map(({ metric, value }) => [Object.values(metric).join(' '), Number(value[1])]));
  }

  /** kill -9, as the kernel does it: docker starts it again. */
  async crash(container) {
    process.kill(container.pid, 'SIGKILL');
    await this.until(`${container.name} to be back`, async () => {
      const [now] = (await this.containers()).filter(({ id }) => id === container.id);
      return now.status === 'running' && now.pid !== container.pid && (now.health ?? 'healthy') === 'healthy';
    });
  }

  /** The documents of the archive, when it has them all. */
  async documents() {
    await this.until('the archive to catch up', async () => (await this.metrics()).hubbub_archive_lag_messages === 0);
    return archived(`mongodb://${await this.address('mongodb', 'archive')}:27017`);
  }

  /** Stops all of it in order; code is 0 when each of ours ended well. */
  async stop() {
    await this.composed('stop');
    const bad = (await this.containers()).filter(({ service, code }) => ['gateway', 'router'].includes(service) && code !== 0);
    return { code: bad.length ? bad.map(({ name, code }) => `${name}: ${code}`).join(', ') : 0 };
  }

  /** Rows of the journal, after stop(). */
  async journal(sql) {
    const [router] = await this.ofService('router');
    const copy = path.join(this.folder, 'journal');
    await this.docker('cp', `${router.id}:/var/lib/hubbub`, copy);
    return journalRows(copy, sql);
  }

  async saveLogs() {
    if (process.env.HUBBUB_TEST_RESULTS)
      await writeFile(path.join(process.env.HUBBUB_TEST_RESULTS, 'stack-containers.log'), await this.composed('logs', '--no-color', '-t'));
  }
}

/** A name of docker-compose's that no other run has. */
export function projectName() {
  return `hubbubtest${process.pid}`;
}
