// The whole stack as docker-compose brings it up, for real: HAProxy, gateways, router, an archive, Prometheus, each in its
// container; stock clients and Chromium talk through HAProxy, over TLS, with nothing that keeps one at its gateway.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import https from 'node:https';
import net from 'node:net';
import test, { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { run } from '../fault/run.mjs';
import { startChromium } from '../support/chromium.mjs';
import { ask, collect, connect } from '../support/client.mjs';
import { undo, wholeFile, within } from '../support/stack.mjs';
import { Composed, keepDocker, projectName } from './composed.mjs';

const LIMIT = 60_000; // ms: only a hang meets it
const ADDED = 60e6; // bytes that the image may add to its base
const GATEWAYS = 3;
const MORE_GATEWAYS = 5;
const LOAD = { clients: 100, rooms: 10, rate: 100 };
const AFTER_FAULT = 2000; // ms of load after each fault
const REQUESTS = 10; // to each gateway in turn

const file = wholeFile(after);
const project = projectName();
const docker = await keepDocker(file, project);
let stack;
let options; // of clients

/** A test of what is up. */
function further(name, body) {
  if (!docker.skip)
    test(name, async (t) => (stack ? body(t) : t.skip('it did not come up')));
}

test('docker-compose brings it up', { skip: docker.skip }, async (t) => {
  const begin = performance.now();
  stack = await Composed.start(file, docker, project);
  options = { ca: stack.certificate, auth: { token: await stack.token('tester') } };
  t.diagnostic(`${docker.own ? 'a dockerd of its own' : 'the docker that runs here'}, ${Math.round((performance.now() - begin) / 1000)} s`);
  const containers = await stack.containers();
  const count = (service) => containers.filter((container) => container.service === service).length;
  assert.deepEqual(Object.fromEntries(['haproxy', 'gateway', 'router', 'mongodb', 'prometheus'].map((name) => [name, count(name)])),
    { haproxy: 1, gateway: GATEWAYS, router: 1, mongodb: 1, prometheus: 1 });
  for (const service of ['haproxy', 'gateway', 'router', 'mongodb', 'prometheus']) {
    await stack.until(`${service} to be healthy`, async () => (await stack.ofService(service)).every(({ health }) => health === 'healthy'));
  }
});

further('the image adds at most 60 MB to its base, and no container of it has rights', async (t) => {
  const layers = async (image) => JSON.parse(await stack.docker('inspect', image))[0];
  const [base, image] = [await layers('debian:bookworm-slim'), await layers('hubbub-test')];
  t.diagnostic(`${((image.Size - base.Size) / 1e6).toFixed(1)} MB over ${(base.Size / 1e6).toFixed(1)} MB`);
  assert.ok(image.Size - base.Size <= ADDED, `${image.Size - base.Size} bytes`);
  assert.deepEqual(image.RootFS.Layers.slice(0, base.RootFS.Layers.length), base.RootFS.Layers);
  assert.ok(image.Config.Healthcheck.Test.length > 1);
  for (const { service, name, id, inspected } of await stack.containers()) {
    if (service === 'mongodb')
      continue; // its image begins as root
    const status = await readFile(`/proc/${inspected.State.Pid}/status`, 'utf8');
    assert.notEqual(/^Uid:\t(\d+)/m.exec(status)[1], '0', `${name} (${id}) runs as root`);
    assert.equal(/^CapEff:\t(\w+)/m.exec(status)[1], '0000000000000000', name);
    assert.equal(/^NoNewPrivs:\t(\d)/m.exec(status)[1], '1', name);
    assert.equal(inspected.HostConfig.ReadonlyRootfs, true, name);
  }
});

further('only HAProxy can be reached from outside', async () => {
  const published = {};
  for (const { service, inspected } of await stack.containers()) {
    for (const [port, places] of Object.entries(inspected.NetworkSettings.Ports ?? {}))
      if (places?.length)
        (published[service] ??= []).push(port);
  }
  assert.deepEqual(published, { haproxy: ['8080/tcp', '8443/tcp'] });
  // A stranger's container on HAProxy's outer network reaches neither the others nor, through them, anything.
  const addresses = [];
  for (const [service, network, port] of [['gateway', 'front', 3000], ['gateway', 'back', 3000], ['router', 'back', 3010],
    ['mongodb', 'archive', 27017], ['prometheus', 'front', 9090]])
    addresses.push(`${await stack.address(service, network)} ${port}`);
  const haproxy = await stack.address('haproxy', 'outside');
  const reached = await stack.docker('run', '--rm', '--network', `${project}_outside`, '--entrypoint', 'bash', 'hubbub-test', '-c',
    `for place in ${[`${haproxy} 8443`, ...addresses].map((place) => `"${place}"`).join(' ')}; do set -- $place
     timeout 2 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null && echo "$place"; done; exit 0`);
  assert.equal(reached.trim(), `${haproxy} 8443`);
  // From this machine they can be, which shows that the ports are the right ones.
  for (const place of addresses) {
    const [host, port] = place.split(' ');
    const socket = net.connect(Number(port), host);
    await within(LIMIT, `a connection to ${place}`, new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject)));
    socket.destroy();
  }
});

further('plain HTTP leads to HTTPS; TLS 1.2 and 1.3 and HTTP/1.1 it is', async () => {
  const answer = await fetch(`http://127.0.0.1:${stack.plain}/socket.io/?EIO=4`, { redirect: 'manual' });
  assert.equal(answer.status, 308);
  assert.equal(answer.headers.get('location'), `https://127.0.0.1:${stack.port}/socket.io/?EIO=4`);
  const agreed = (versions) => new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port: stack.port, servername: 'localhost', ALPNProtocols: ['h2', 'http/1.1'],
      ca: options.ca, ...versions }, () => {
      resolve([socket.getProtocol(), socket.alpnProtocol]);
      socket.destroy();
    }).on('error', reject);
  });
  assert.deepEqual(await agreed({}), ['TLSv1.3', 'http/1.1']);
  assert.deepEqual(await agreed({ maxVersion: 'TLSv1.2' }), ['TLSv1.2', 'http/1.1']);
  await assert.rejects(agreed({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }));
  const headers = await new Promise((resolve, reject) => {
    https.get(`${stack.url()}/`, { ca: options.ca }, (response) => resolve(response.resume().headers)).on('error', reject);
  });
  assert.match(headers['strict-transport-security'], /^max-age=\d+/);
});

further('nobody comes in without a token', async (t) => {
  const refused = (token) => connect(t, stack.url(), { ...options, auth: { token } }).then(() => 'let in', (error) => error.data.code);
  assert.equal(await refused(undefined), 'token_missing');
  const forged = options.auth.token.split('.');
  forged[2] = Buffer.from(Buffer.from(forged[2], 'base64url').map((byte) => byte ^ 1)).toString('base64url');
  assert.equal(await refused(forged.join('.')), 'token_invalid');
  const socket = await connect(t, stack.url(), { ...options, auth: { token: await stack.token('ann') } });
  assert.equal((await ask(socket, 'join', 'names')).ok, true);
  const heard = collect(socket, 'msg');
  assert.equal((await ask(socket, 'msg', { room: 'names', tag: 'by ann' })).ok, true);
  await heard.reached(1);
  assert.equal(heard.all[0][1].from, 'ann');
});

further('the stock client chats over wss, on both transports and on its way between them', async (t) => {
  const ways = [['websocket'], ['polling'], ['polling', 'websocket']];
  const sockets = [];
  for (let number = 0; number < 4 * ways.length; number++)
    sockets.push(await connect(t, stack.url(), { ...options, transports: ways[number % ways.length] }));
  const room = 'through haproxy';
  for (const socket of sockets)
    assert.equal((await ask(socket, 'join', room)).ok, true);
  // A gateway knows whom HAProxy speaks for, and that they came over TLS: docker's own proxy here.
  const outside = (await stack.ofService('haproxy'))[0].inspected.NetworkSettings.Networks[`${project}_outside`].Gateway;
  for (const socket of sockets) {
    const { handshake } = await stack.hubbub('session', socket.id);
    assert.deepEqual([handshake.address, handshake.secure], [outside, true]);
  }
  const heard = sockets.map((socket) => collect(socket, 'msg'));
  for (const [number, socket] of sockets.entries())
    assert.equal((await ask(socket, 'msg', { room, tag: `by ${number}`, number })).seq, number + 1);
  for (const one of heard) {
    await one.reached(sockets.length);
    assert.deepEqual(one.all.map(([{ number }, meta]) => [number, meta.seq]), sockets.map((_, number) => [number, number + 1]));
  }
  for (const [number, socket] of sockets.entries()) {
    const wanted = ways[number % ways.length].at(-1);
    await stack.until(`${number} to be on ${wanted}`, async () => socket.io.engine.transport.name === wanted);
  }
  // In turn: so polls come to other gateways than that of their session.  One that stood still is left out for a while.
  const carried = () => stack.byGateway('sessions_total');
  await stack.until('all gateways to get requests in turn', async () => {
    const before = await carried();
    for (let number = 0; number < REQUESTS * GATEWAYS; number++)
      await new Promise((resolve, reject) => {
        https.get(`${stack.url()}/healthz`, { ca: options.ca }, (response) => response.resume().on('end', resolve)).on('error', reject);
      });
    const each = (await carried()).map((figure, number) => figure - before[number]);
    t.diagnostic(`requests of each gateway: ${each}`);
    return each.length === GATEWAYS && each.every((figure) => figure >= REQUESTS - 1);
  });
  assert.ok((await stack.metrics()).hubbub_relayed_total > 0, 'requests are passed on between gateways');
});

further('people chat in Chromium', async (t) => {
  const browser = await startChromium(t);
  const people = [];
  for (const name of ['Ann', 'Ben', 'Cara']) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    undo(t, () => context.close());
    const page = await context.newPage();
    page.setDefaultTimeout(LIMIT);
    page.complaints = [];
    page.on('pageerror', (error) => page.complaints.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && page.complaints.push(message.text()));
    await page.goto(`${stack.url()}/`);
    await page.locator('#name').fill(name);
    await page.locator('#room').fill('browsers');
    await page.keyboard.press('Enter');
    await page.locator('#token').fill(await stack.token(name)); // it is asked for when it is missing
    await page.keyboard.press('Enter');
    await page.waitForSelector('#state[data-state=connected]');
    people.push(page);
  }
  for (const [number, page] of people.entries()) {
    await page.locator('#body').fill(`I am number ${number}`);
    await page.keyboard.press('Enter');
    for (const other of people)
      await other.locator('.message:not(.pending) .body', { hasText: `I am number ${number}` }).waitFor();
  }
  for (const page of people) {
    assert.deepEqual(await page.locator('.message .body').allTextContents(), people.map((_, number) => `I am number ${number}`));
    // The refusal without a token ends a connection that polls or is about to upgrade, which the browser mentions.
    assert.deepEqual(page.complaints.filter((text) => !/closed before the connection is|400 \(Bad Request\)/.test(text)), []);
  }
});

further('Prometheus reads the figures of all of them, and knows the alerts', async () => {
  const all = { 'hubbub-gateway': GATEWAYS, 'hubbub-router': 1, haproxy: 1 };
  await stack.until('all to be read', async () => isDeepStrictEqual(await stack.queried('sum by (job) (up)'), all));
  await stack.until('the figures of gateways', async () => (await stack.queried('sum by (job) (hubbub_deliveries_total)'))['hubbub-gateway'] > 0);
  assert.deepEqual(await stack.queried('count by (job) (hubbub_build_info)'), { 'hubbub-gateway': GATEWAYS, 'hubbub-router': 1 });
  const { data } = await (await fetch(`http://${await stack.address('prometheus', 'front')}:9090/api/v1/rules`)).json();
  const rules = data.groups.flatMap((group) => group.rules);
  assert.ok(rules.length > 0);
  assert.deepEqual(rules.filter(({ health }) => health === 'err').map(({ name, lastError }) => [name, lastError]), []);
});

further('gateways, router and HAProxy take new settings without a connection lost', async (t) => {
  const sockets = await Promise.all([1, 2, 3].map(() => connect(t, stack.url(), options)));
  const lost = [];
  for (const socket of sockets)
    socket.on('disconnect', (reason) => lost.push(reason));
  const [{ id, pid }] = await stack.ofService('haproxy');
  const workers = async () => (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim().split(' ');
  const before = await workers();
  await stack.composed('kill', '-s', 'USR2', 'haproxy');
  await stack.until('a new worker', async () => (await workers()).some((one) => !before.includes(one)));
  await stack.until('the gateways to be found again', async () => (await stack.serving()) === GATEWAYS);
  await stack.composed('kill', '-s', 'HUP', 'gateway', 'router');
  await stack.until('all to have read theirs', async () => {
    const metrics = await stack.metrics();
    return metrics['hubbub_config_reloads_total{result=ok}'] === GATEWAYS && metrics['hubbub_router_config_reloads_total{result=ok}'] === 1;
  });
  await connect(t, stack.url(), options);
  for (const socket of sockets)
    assert.equal((await ask(socket, 'join', 'reloaded')).ok, true);
  assert.deepEqual(lost, []);
  assert.equal((await stack.ofService('haproxy'))[0].id, id);
});

further('gateways are replaced by new ones, as docs/operations.md says', async (t) => {
  const socket = await connect(t, stack.url(), { ...options, reconnection: true });
  assert.equal((await ask(socket, 'join', 'upgraded')).ok, true);
  const { id } = socket;
  const old = (await stack.ofService('gateway')).map((container) => container.id);
  await stack.composed('up', '-d', '--no-build', '--no-deps', '--no-recreate', '--scale', `gateway=${2 * GATEWAYS}`, 'gateway');
  await stack.until('the new ones to serve', async () => (await stack.serving()) === 2 * GATEWAYS);
  await stack.docker('stop', '-t', '40', ...old);
  await stack.docker('rm', ...old);
  await stack.until('the old ones to be gone', async () => (await stack.serving()) === GATEWAYS);
  await stack.until('the client to be back', async () => socket.connected);
  assert.equal(socket.recovered, true);
  assert.equal(socket.id, id);
  assert.equal((await ask(socket, 'msg', { room: 'upgraded', tag: 'still here' })).ok, true);
});

further('containers are killed one by one, gateways become five and three again, under load: nothing is lost', async (t) => {
  const done = [];
  const fault = async () => {
    await sleep(AFTER_FAULT);
    for (const container of [...await stack.ofService('gateway'), ...await stack.ofService('router'),
      ...await stack.ofService('mongodb'), ...await stack.ofService('prometheus'), ...await stack.ofService('haproxy')]) {
      await stack.crash(container);
      done.push(container.service);
      await sleep(AFTER_FAULT);
    }
    for (const count of [MORE_GATEWAYS, GATEWAYS]) {
      await stack.composed('up', '-d', '--no-build', '--no-recreate', '--scale', `gateway=${count}`);
      await stack.until(`${count} gateways`, async () => (await stack.serving()) === count
        && (await stack.ofService('gateway')).length === count);
      if (count === MORE_GATEWAYS)
        await newcomers();
      done.push(count);
      await sleep(AFTER_FAULT);
    }
  };
  // HAProxy leads new clients to the new gateways.
  const newcomers = async () => {
    await stack.until('clients at all gateways', async () => {
      await connect(t, stack.url(), options);
      const { gateways } = await stack.hubbub('gateways');
      return gateways.length === MORE_GATEWAYS && gateways.every(({ sockets }) => sockets > 0);
    });
  };
  const { figures } = await run(t, {
    stack: inRooms(stack),
    fault,
    whole: true,
    archive: async () => (await stack.documents()).filter(isOfLoad),
    load: { ...LOAD, connection: options },
  });
  t.diagnostic(`done: ${done.join(' ')}`);
  assert.deepEqual(done, [...Array(GATEWAYS).fill('gateway'), 'router', 'mongodb', 'prometheus', 'haproxy', MORE_GATEWAYS, GATEWAYS]);
  assert.ok(figures.returns > 0, 'clients came back');
});

/** The load's own rooms: others have spoken before. */
function isOfLoad({ room }) {
  return /^room \d+$/.test(room);
}

function inRooms(stack) {
  return {
    ports: stack.ports,
    starts: stack.starts,
    url: () => stack.url(),
    stop: () => stack.stop(),
    journal: async (sql) => (await stack.journal(sql)).filter(isOfLoad),
  };
}
