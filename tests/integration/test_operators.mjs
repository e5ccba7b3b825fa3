// What operators do to stock clients, through `hubbub` and two gateways: kick, close, and looking at users and rooms.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import { ask, collect, connect, next } from '../support/client.mjs';
import { Stack, hubbub, run, temporaryFolder } from '../support/stack.mjs';
import { Keys } from '../support/tokens.mjs';

/** `hubbub` with these words on that stack: what it prints. */
async function operate(stack, ...words) {
  const { code, stdout, stderr } = await run(hubbub, [words[0], '--stats', stack.stats, ...words.slice(1)]);
  assert.deepEqual([code, stderr], [0, ''], words.join(' '));
  return stdout.trimEnd();
}

/** The same as JSON. */
async function document(stack, ...words) {
  return JSON.parse(await operate(stack, words[0], '--json', ...words.slice(1)));
}

/** Whatever a client does for a while: every connection that it makes. */
function connections(socket) {
  const made = [];
  socket.on('connect', () => made.push(socket.id));
  return made;
}

test('a kicked client is disconnected by the server, and does not come back by itself', async (t) => {
  const stack = await Stack.start(t);
  for (const transports of [['websocket'], ['polling']]) {
    const socket = await connect(t, stack.url(0), { transports, reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 20 });
    const other = await connect(t, stack.url(1), { reconnection: true });
    for (const one of [socket, other])
      await ask(one, 'join', 'lobby');
    const sid = socket.id;
    const made = connections(socket);
    const ended = next(socket, 'disconnect');
    assert.equal(await operate(stack, 'kick', sid, 'spam', 'again'), 'ok kicked 1');
    assert.equal((await ended)[0], 'io server disconnect');
    assert.equal((await run(hubbub, ['session', '--stats', stack.stats, sid])).code, 70);
    // Those who stay see it, and are as connected as before.
    while ((await ask(other, 'presence', 'lobby')).members !== 1)
      await ask(other, 'presence', 'lobby');
    await new Promise((done) => setTimeout(done, 300)); // many times the delay of a reconnection
    assert.deepEqual(made, []);
    // By hand it may, as somebody new.
    socket.connect();
    await next(socket, 'connect');
    assert.ok(socket.id !== sid && !socket.recovered);
    socket.disconnect();
    other.disconnect();
  }
  await stack.stop();
});

test('a client that is away when it is kicked is not recovered', async (t) => {
  const stack = await Stack.start(t);
  const socket = await connect(t, stack.url(0), { reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 50, autoConnect: true });
  await ask(socket, 'join', 'lobby');
  const sid = socket.id;
  socket.io.reconnection(false); // it stays away for as long as the test wants
  const lost = next(socket, 'disconnect');
  socket.io.engine.close();
  await lost;
  let shown;
  do {
    shown = await document(stack, 'session', sid);
  } while (shown.state !== 'away');
  assert.deepEqual(shown.rooms, ['lobby']);
  assert.deepEqual(await document(stack, 'kick', sid), { ok: true, kicked: 1 });
  socket.connect();
  await next(socket, 'connect');
  assert.equal(socket.recovered, false);
  assert.notEqual(socket.id, sid);
  assert.equal((await ask(socket, 'msg', { room: 'lobby', body: 'x' })).error.code, 'not_joined');
  await stack.stop();
});

test('a user with three sockets on two gateways is shown, and kicked, as one', async (t) => {
  const folder = await temporaryFolder(t);
  const keys = await Keys.make(folder);
  const configuration = path.join(folder, 'hubbub.conf');
  await writeFile(configuration, keys.group('required = true; rights = { join = ( "*" ); publish = ( "*" ); };'));
  const stack = await Stack.start(t, { args: ['--config', configuration] });
  const user = 'Anna "the boss" O\u2019Hara';
  const client = (sub, gateway) => connect(t, stack.url(gateway), {
    auth: { token: keys.token(sub) }, reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 20 });
  const hers = await Promise.all([0, 0, 1].map((gateway) => client(user, gateway)));
  const his = await client('bob', 1);
  for (const [at, socket] of [...hers, his].entries())
    await ask(socket, 'join', `room ${at}`);
  const shown = (await document(stack, 'user', user)).sessions;
  assert.deepEqual(shown.map((each) => [each.sid, each.gateway, each.rooms, each.state]).sort(),
    hers.map((socket, at) => [socket.id, at < 2 ? 'gateway-1' : 'gateway-2', [`room ${at}`], 'live']).sort());
  const made = hers.map(connections);
  const ended = hers.map((socket) => next(socket, 'disconnect'));
  assert.deepEqual(await document(stack, 'kick', 'user', user, 'three are too many'), { ok: true, kicked: 3 });
  for (const end of ended)
    assert.equal((await end)[0], 'io server disconnect');
  await new Promise((done) => setTimeout(done, 300)); // many times the delay of a reconnection
  assert.deepEqual(made, [[], [], []]);
  for (const words of [['user', user], ['kick', 'user', user]]) {
    const { code, stdout, stderr } = await run(hubbub, [words[0], '--stats', stack.stats, ...words.slice(1)]);
    assert.deepEqual([code, stdout, stderr], [70, '', 'hubbub: no such user\n']);
  }
  assert.ok((await ask(his, 'msg', { room: 'room 3', body: 'still here' })).ok);
  await stack.stop();
});

test('a closed room: everybody leaves and is told, and may join again', async (t) => {
  const stack = await Stack.start(t);
  const sockets = await Promise.all([0, 1, 0, 1].map((gateway) => connect(t, stack.url(gateway))));
  const room = 'two words "quoted" é';
  for (const socket of sockets) {
    await ask(socket, 'join', room);
    await ask(socket, 'join', 'stays');
  }
  const view = await document(stack, 'room', room);
  assert.deepEqual([view.members, view.gateways.map((each) => [each.name, each.members]).sort()],
    [4, [['gateway-1', 2], ['gateway-2', 2]]]);
  assert.deepEqual(view.users.map((user) => user.sid).sort(), sockets.map((socket) => socket.id).sort());
  const heard = sockets.map((socket) => collect(socket, 'msg'));
  const told = sockets.map((socket) => next(socket, 'hubbub:closed'));
  const said = Array.from({ length: 50 }, (_, i) => ask(sockets[0], 'msg', { room, body: String(i) }));
  await said[9];
  assert.equal(await operate(stack, 'close', room), 'left 4\nunreachable 0');
  for (const one of told)
    assert.equal((await one)[0].room, room);
  const answers = await Promise.all(said);
  const accepted = answers.filter((answer) => answer.ok).length;
  assert.ok(accepted >= 10);
  for (const answer of answers.slice(accepted))
    assert.equal(answer.error.code, 'not_joined');
  for (const collected of heard)
    assert.equal(collected.all.length, accepted); // the event was the last of the room
  assert.deepEqual((await document(stack, 'rooms')).rooms.map((each) => each.name), ['stays']);
  assert.deepEqual((await ask(sockets[1], 'join', room)).members, 1);
  assert.ok((await ask(sockets[1], 'msg', { room, body: 'again' })).ok);
  for (const socket of sockets)
    assert.ok(socket.connected);
  await stack.stop();
});

test('rooms, gateways and configuration of a real stack', async (t) => {
  const stack = await Stack.start(t);
  const socket = await connect(t, stack.url(0));
  await ask(socket, 'join', 'a b');
  await ask(socket, 'join', 'c');
  assert.match(await operate(stack, 'rooms'), /^# namespace members gateways seq rate name\n(\/ 1 1 0 0\.000 (c|"a\\u0020b")\n?){2}$/);
  assert.deepEqual((await document(stack, 'rooms', 'a b')).rooms.map((each) => each.name), ['a b']);
  assert.deepEqual((await document(stack, 'user', `anon:${socket.id}`)).sessions.map((each) => [each.sid, each.gateway, each.rooms.sort()]),
    [[socket.id, 'gateway-1', ['a b', 'c']]]);
  let gateways;
  do {
    ({ gateways } = await document(stack, 'gateways'));
  } while (gateways.find((each) => each.name === 'gateway-1').connections !== 1);
  assert.deepEqual(gateways.map((each) => each.state), ['live', 'live']);
  const values = (await document(stack, 'config', 'gateway-2')).config;
  const port = values.find((each) => each.key === 'gateway.port');
  assert.deepEqual([port.value, port.origin], [String(stack.ports[1]), '--port']);
  assert.equal(values.find((each) => each.key === 'gateway.ping_interval').value, '25s');
  assert.match(await operate(stack, 'config'), /^# key value origin\n/);
  assert.equal(await operate(stack, 'loglevel', 'gateway-1', 'debug'), 'ok');
  const level = async (...of) => (await document(stack, 'config', ...of)).config.find((each) => each.key.endsWith('.log_level'));
  assert.deepEqual(await level('gateway-1'), { key: 'gateway.log_level', value: 'debug', origin: 'loglevel' });
  assert.equal(await operate(stack, 'loglevel', 'router', 'warn'), 'ok');
  assert.deepEqual(await level(), { key: 'router.log_level', value: 'warn', origin: 'loglevel' });
  assert.equal(await operate(stack, 'loglevel', 'info'), 'ok');
  assert.equal((await level('gateway-1')).origin, 'default');
  assert.equal((await level('gateway-2')).origin, 'default'); // so it has heard of it
  await stack.stop();
  assert.match(stack.errors, /program=gateway-1 message="log level changed" gateway=gateway-1 level=debug/);
  assert.match(stack.errors, /program=gateway-2 message="log level changed" gateway=gateway-2 level=info/);
});
