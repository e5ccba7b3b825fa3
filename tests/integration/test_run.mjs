// `hubbub run` with the real programs: what it prints, what it refuses, what it restarts, how it ends.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import test from 'node:test';
import { ask, collect, connect, next, open, LIMIT } from '../support/client.mjs';
import { Stack, freePorts, hubbub, run, temporaryFolder, undo, within } from '../support/stack.mjs';

const USAGE = 64;
const FAILURE = 70;
const CONFIGURATION = 78;

function oneLine(text, pattern) {
  const lines = text.trim().split('\n');
  assert.equal(lines.length, 1, `one clear line, not:\n${text}`);
  assert.match(lines[0], pattern);
}

test('prints a line for each process, then ready once', async (t) => {
  let stopLine;
  const stopping = new Promise((resolve) => { stopLine = resolve; });
  const stack = await Stack.start(t, { onLine: (line) => line.includes('Ctrl-C') && stopLine() });
  await within(LIMIT, 'how to stop', stopping);
  const lines = stack.output.trim().split('\n');
  const names = lines.map((line) => /^(\S+) pid=\d+/.exec(line)?.[1]).filter(Boolean);
  assert.deepEqual([...names].sort(), ['gateway-1', 'gateway-2', 'router']);
  assert.equal(lines.filter((line) => line === 'ready').length, 1);
  for (const [index, port] of stack.ports.entries())
    assert.match(stack.starts.find(({ name }) => name === `gateway-${index + 1}`).line, new RegExp(`\\bport=${port}\\b`));
  assert.match(stack.output, new RegExp(`http://[^\\s]*:${stack.ports[0]}/`), 'the address of the demo page');
  assert.ok(stack.output.includes(stack.stats), 'the path of the stats socket');
  assert.deepEqual(await stack.stop('SIGINT'), { code: 0, signal: null });
});

test('serves the demo page, the stock client and a health check', async (t) => {
  const stack = await Stack.start(t);
  const get = async (target, headers = {}) => {
    const response = await fetch(stack.url(1) + target, { headers });
    return { status: response.status, type: response.headers.get('content-type'), etag: response.headers.get('etag'),
      text: await response.text() };
  };
  const page = await get('/');
  assert.equal(page.status, 200);
  assert.match(page.type, /^text\/html\b/);
  assert.match(page.text, /<title>Hubbub<\/title>/);
  assert.match((await get('/app.js')).type, /javascript/);
  assert.match((await get('/style.css')).type, /^text\/css\b/);
  assert.equal((await get('/healthz')).status, 200);
  assert.equal((await get('/no/such/page')).status, 404);
  const client = await get('/socket.io/socket.io.js');
  assert.equal(client.status, 200);
  assert.match(client.type, /javascript/);
  assert.match(client.text, /Socket\.IO v4\.8\.4/);
  assert.equal((await get('/socket.io/socket.io.js', { 'if-none-match': client.etag })).status, 304);
  assert.equal(JSON.parse((await get('/socket.io/socket.io.js.map')).text).version, 3);
  const polling = await get('/socket.io/?EIO=4&transport=polling');
  assert.equal(polling.status, 200);
  assert.equal(polling.text[0], '0');
  assert.deepEqual(JSON.parse(polling.text.slice(1)).upgrades, ['websocket']);
  await stack.stop();
});

test('gateways share one port', async (t) => {
  const [port] = await freePorts(1);
  const data = path.join(await temporaryFolder(t), 'data');
  const stack = new Stack();
  stack.data = data;
  stack.ports = [port];
  stack.spawnRun(['--port', String(port), '--gateways', '2', '--data', data]);
  undo(t, () => stack.end());
  await within(LIMIT, 'ready', stack.ready);
  // The kernel spreads connections by their addresses: of 64, one gateway getting all is beyond chance.
  const sockets = await Promise.all(Array.from({ length: 64 }, () => connect(t, stack.url(0))));
  await Promise.all(sockets.map((socket) => ask(socket, 'join', 'shared')));
  const { stdout } = await run(hubbub, ['gateways', '--stats', stack.stats]);
  for (const name of ['gateway-1', 'gateway-2'])
    assert.match(stdout, new RegExp(name));
  const heard = sockets.map((socket) => collect(socket, 'msg'));
  assert.equal((await ask(sockets[0], 'msg', { room: 'shared', body: 'to all' })).seq, 1);
  await Promise.all(heard.map((collected) => collected.reached(1)));
  const lost = within(LIMIT, 'a disconnect', Promise.any(sockets.map((socket) => next(socket, 'disconnect'))));
  await stack.kill('gateway-1');
  await lost;
  const left = sockets.filter((socket) => socket.connected).length;
  assert.ok(left > 0 && left < 64, `${left} of 64 were on the other gateway`);
  assert.deepEqual(await stack.stop(), { code: 0, signal: null });
});

test('a second start on the same port or data folder fails with one clear line', async (t) => {
  const stack = await Stack.start(t);
  const [port] = await freePorts(1);
  const second = await run(hubbub, ['run', '--ports', `${stack.ports[1]},${port}`,
    '--data', path.join(await temporaryFolder(t), 'data')]);
  assert.equal(second.code, FAILURE);
  oneLine(second.stderr, new RegExp(`\\b${stack.ports[1]}\\b`));
  assert.ok(!second.stdout.includes('pid='), 'nothing was started');

  const third = await run(hubbub, ['run', '--port', String(port), '--data', stack.data]);
  assert.equal(third.code, FAILURE);
  oneLine(third.stderr, new RegExp(`${stack.data}.*\\b${stack.process.pid}\\b`));
  assert.ok(!third.stdout.includes('pid='), 'nothing was started');

  // The first one took no harm.
  assert.equal((await ask(await connect(t, stack.url(0)), 'join', 'here')).ok, true);
  await stack.stop();
});

test('a port that another program has is refused', async (t) => {
  const [port] = await freePorts(1);
  const other = net.createServer();
  await new Promise((resolve) => other.listen(port, '127.0.0.1', resolve));
  undo(t, () => other.close());
  const result = await run(hubbub, ['run', '--port', String(port), '--data', path.join(await temporaryFolder(t), 'data')]);
  assert.equal(result.code, FAILURE);
  oneLine(result.stderr, new RegExp(`\\b${port}\\b`));
});

test('usage and configuration errors have exit codes of their own', async (t) => {
  const folder = await temporaryFolder(t);
  assert.equal((await run(hubbub, ['run', '--no-such-option'])).code, USAGE);
  assert.equal((await run(hubbub, ['no-such-command'])).code, USAGE);
  const file = path.join(folder, 'bad.conf');
  await writeFile(file, 'gateway: {\n  ping_interval = "25 s";\n  pong_interval = 3;\n};\n');
  const [port] = await freePorts(1);
  const bad = await run(hubbub, ['run', '--port', String(port), '--data', path.join(folder, 'data'), '--config', file]);
  assert.equal(bad.code, CONFIGURATION);
  assert.match(bad.stderr, /bad\.conf:3: .*pong_interval/);
  assert.ok(!bad.stdout.includes('pid='), 'nothing was started');
  for (const program of [hubbub, path.join(path.dirname(hubbub), '../gateway/hubbub-gateway'),
    path.join(path.dirname(hubbub), '../router/hubbub-router')]) {
    const help = await run(program, ['--help']);
    assert.equal(help.code, 0);
    assert.match(help.stdout, /--version/);
    assert.match((await run(program, ['--version'])).stdout, /^hubbub\S* \d+\.\d+\.\d+\n$/);
  }
});

test('the events of a configuration file reach all programs', async (t) => {
  const folder = await temporaryFolder(t);
  const file = path.join(folder, 'hubbub.conf');
  await writeFile(file, 'events = (\n  { name = "shout"; room = "$2.where"; archive = true; dedup = "$2.key"; meta = false; },\n'
    + '  { name = "whisper"; deliver = "self"; volatile = true; }\n);\n');
  const stack = await Stack.start(t, { args: ['--config', file] });
  const [a, b] = await Promise.all([connect(t, stack.url(0)), connect(t, stack.url(1))]);
  await Promise.all([ask(a, 'join', 'yard'), ask(b, 'join', 'yard')]);
  const [shouts, whispers, others] = [collect(b, 'shout'), collect(a, 'whisper'), collect(b, 'whisper')];
  const answer = await ask(a, 'shout', 'HEY', { where: 'yard', key: 'key-number-1' });
  assert.deepEqual([answer.ok, answer.id, answer.seq], [true, 'key-number-1', 1]);
  await shouts.reached(1);
  assert.deepEqual(shouts.all[0].slice(0, 2), ['HEY', { where: 'yard', key: 'key-number-1' }]);
  assert.equal(shouts.all[0].length, 3, 'no meta, but the offset');
  assert.deepEqual(await ask(a, 'whisper', 'psst'), { ok: true });
  await whispers.reached(1);
  assert.equal((await ask(a, 'msg', { room: 'yard' })).error.code, 'unknown_event');
  await ask(b, 'presence', 'yard');
  assert.equal(others.all.length, 0);
  await stack.stop();
});

test('a child that dies is started again, with a message; clients go on', async (t) => {
  const stack = await Stack.start(t);
  const stays = await connect(t, stack.url(0));
  const moves = open(t, stack.url(1), { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200 });
  await within(LIMIT, 'connect', new Promise((resolve) => moves.once('connect', resolve)));
  await ask(stays, 'join', 'room');
  assert.equal((await ask(stays, 'msg', { room: 'room', body: '1' })).seq, 1);
  const heard = collect(stays, 'msg');

  const router = stack.router;
  assert.notEqual(await stack.kill('router'), router);
  // Asked while the router was away: answered when it is back, with the next number.
  assert.equal((await ask(stays, 'msg', { room: 'room', body: '2' })).seq, 2);
  await heard.reached(1);
  assert.match(stack.errors, new RegExp(`router \\(pid ${router}\\)`));

  const again = within(LIMIT, 'the reconnect', new Promise((resolve) => moves.once('connect', resolve)));
  const gateway = stack.pids.get('gateway-2');
  await stack.kill('gateway-2');
  await again;
  assert.match(stack.errors, new RegExp(`gateway-2 \\(pid ${gateway}\\)`));
  const joined = await ask(moves, 'join', { room: 'room', history: 10 });
  assert.deepEqual(joined.history.map(({ seq, args }) => [seq, args[0].body]), [[1, '1'], [2, '2']]);
  assert.equal(stays.connected, true);
  assert.equal(stack.output.split('\n').filter((line) => line === 'ready').length, 1);
  await stack.stop();
});

test('the same data folder again: numbers go on', async (t) => {
  const folder = path.join(await temporaryFolder(t), 'data');
  for (const seq of [1, 2, 3]) {
    const stack = await Stack.start(t, { data: folder });
    const socket = await connect(t, stack.url(seq));
    assert.equal((await ask(socket, 'join', 'room')).seq, seq - 1);
    assert.equal((await ask(socket, 'msg', { room: 'room', body: `run ${seq}` })).seq, seq);
    assert.deepEqual(await stack.stop('SIGTERM'), { code: 0, signal: null });
    const rows = await stack.journal('select seq from message order by pos');
    assert.deepEqual(rows.map((row) => row.seq), Array.from({ length: seq }, (_, index) => index + 1));
  }
});

test('Ctrl-C ends all of it, and clients may come back elsewhere', async (t) => {
  const stack = await Stack.start(t);
  const sockets = await Promise.all([0, 1, 0, 1].map((gateway) => connect(t, stack.url(gateway), { reconnection: true })));
  const reasons = Promise.all(sockets.map((socket) => within(LIMIT, 'the disconnect',
    new Promise((resolve) => socket.once('disconnect', resolve)))));
  assert.deepEqual(await stack.stop('SIGINT'), { code: 0, signal: null });
  // Not "io server disconnect": after that a stock client stays away.
  assert.deepEqual(await reasons, sockets.map(() => 'transport close'));
  assert.ok(sockets.every((socket) => socket.active));
});

test('hubbub stats and socat read the stats socket', async (t) => {
  const stack = await Stack.start(t);
  const sockets = await Promise.all([0, 1, 1].map((gateway) => connect(t, stack.url(gateway))));
  await Promise.all(sockets.map((socket) => ask(socket, 'join', 'counted')));
  await ask(sockets[0], 'msg', { room: 'counted', body: 'x' });
  await ask(sockets[0], 'msg', { room: 'elsewhere', body: 'x' });

  const text = await run(hubbub, ['stats', '--stats', stack.stats]);
  assert.equal(text.code, 0, text.stderr);
  for (const word of ['gateways', 'connections', 'rooms', 'members'])
    assert.match(text.stdout, new RegExp(word));
  const json = await run(hubbub, ['stats', '--data', stack.data, 'json']);
  assert.equal(json.code, 0, json.stderr);
  const stats = JSON.parse(json.stdout);
  assert.deepEqual([stats.gateways, stats.rooms, stats.members], [2, 1, 3], json.stdout);
  assert.match((await run(hubbub, ['rooms', '--stats', stack.stats])).stdout, /counted/);

  const socat = await run('socat', ['-t', '10', '-', `UNIX-CONNECT:${stack.stats}`],
    { input: 'help\nstats json\nnonsense\nquit\n' });
  assert.equal(socat.code, 0, socat.stderr);
  const [help, document, error] = socat.stdout.split('\n\n');
  assert.match(help, /kick +SID/);
  assert.equal(JSON.parse(document).members, 3);
  assert.ok(error.trim().length > 0 && !error.trim().includes('\n'), `an error line, not: ${error}`);

  await stack.stop();
  const gone = await run(hubbub, ['stats', '--stats', stack.stats]);
  assert.equal(gone.code, FAILURE);
  oneLine(gone.stderr, /stats\.sock/);
});

test('a path too long for a Unix socket is refused with a clear line', async (t) => {
  const folder = await temporaryFolder(t);
  const [port] = await freePorts(1);
  const result = await run(hubbub, ['run', '--port', String(port), '--data', path.join(folder, 'x'.repeat(120))]);
  assert.equal(result.code, FAILURE);
  oneLine(result.stderr, /--data|--stats/);
});
