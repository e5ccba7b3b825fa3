// Each call of libhubbub-app against stock clients: over both transports, across two gateways and two backends.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { haproxy } from '../support/balancer.mjs';
import { Backend, startStack } from '../support/backend.mjs';
import { ask, collect, connect, LIMIT, next, open } from '../support/client.mjs';
import { undo, wholeFile, within } from '../support/stack.mjs';

const file = wholeFile(after);
const POLLING = { transports: ['polling'] };

let stack, backends;

before(async () => {
  stack = await startStack(file);
  backends = [await Backend.start(file, stack, 'one'), await Backend.start(file, stack, 'two')];
});

/** Clients in a namespace: each in its turn at the one gateway and the other, on a WebSocket and on polling. */
async function crowd(t, namespace, count = 4, options = {}) {
  return Promise.all(Array.from({ length: count }, (_, i) => connect(t, stack.url(i) + namespace,
    { ...options, ...(i & 2 ? POLLING : {}) })));
}

/** The call went well. */
async function well(socket, event, ...args) {
  const answer = await ask(socket, event, ...args);
  assert.equal(answer.error, 0, `${event}: ${JSON.stringify(answer)}`);
  return answer;
}

const describe = (socket) => well(socket, 'describe');

/** The backend whose socket it is. */
async function backendOf(socket) {
  const { backend } = await describe(socket);
  return backends.find(({ name }) => name === backend);
}

const collected = (sockets, event) => sockets.map((socket) => collect(socket, event));

/** Comes back when everything that was sent to these before has come: an answer stands behind it. */
const settle = (sockets) => Promise.all(sockets.map((socket) => ask(socket, 'echo')));

/** What each has got of an event, without the offset. */
const got = (collections, recovery = true) => collections.map(({ all }) => all.map((args) => (recovery ? args.slice(0, -1) : args)));

// -- connections ------------------------------------------------------------------------------

test('a backend knows what its client told, on either transport', async (t) => {
  for (const transports of [['websocket'], ['polling']]) {
    const socket = await connect(t, stack.url(1) + '/all', { transports, query: { room: 'a b', v: '1' }, auth: { token: 'ä"' } });
    const told = await describe(socket);
    assert.deepEqual([told.id, told.namespace, told.from, told.arrival, told.data, told.connected, told.found],
      [socket.id, '/all', `anon:${socket.id}`, 'new', '', true, true]);
    const { handshake } = told;
    assert.deepEqual(handshake.auth, { token: 'ä"' });
    assert.deepEqual([handshake.query.room, handshake.query.v, handshake.query.EIO, handshake.query.transport],
      ['a b', '1', '4', transports[0]]);
    assert.equal(handshake.address, '127.0.0.1');
    assert.equal(handshake.secure, false);
    assert.match(handshake.url, /^\/socket\.io\/\?/);
    assert.equal(handshake.headers.host, new URL(stack.url(1)).host);
    assert.ok(Math.abs(handshake.issued - Date.now()) < 60_000);
    assert.equal(Date.parse(handshake.time), handshake.issued);
  }
});

test('clients are let in at once, later, or not', async (t) => {
  for (const let_ of ['in', 'later']) {
    const socket = await connect(t, stack.url(0) + '/guarded', { auth: { let: let_ } });
    assert.equal((await describe(socket)).namespace, '/guarded');
  }
  const refusals = [];
  for (const auth of [{}, { let: 'no' }]) {
    const socket = open(t, stack.url(1) + '/guarded', { auth, ...POLLING });
    const [error] = await next(socket, 'connect_error');
    refusals.push([error.message, error.data]);
    assert.equal(socket.active, false);
  }
  assert.deepEqual(refusals, [['not here', undefined], ['not here', { reason: [1, 2] }]]);
});

test('one that leaves while it is judged', async (t) => {
  const socket = open(t, stack.url(0) + '/guarded', { auth: { let: 'later' } });
  await next(socket.io, 'open');
  const starts = backends.map(({ told }) => told.length);
  await new Promise((resolve) => setTimeout(resolve, 50));
  socket.disconnect();
  const done = await Promise.race(backends.map((backend, i) => backend.hears({ done: 'accept' }, starts[i])));
  assert.notEqual(done.error, 0);
  const [again] = await crowd(t, '/guarded', 1, { auth: { let: 'in' } });
  await describe(again);
});

test('namespaces of a pattern are served, each by itself', async (t) => {
  const [a, b] = [await connect(t, stack.url(0) + '/some-a'), await connect(t, stack.url(1) + '/some-b')];
  assert.deepEqual([(await describe(a)).namespace, (await describe(b)).namespace], ['/some-a', '/some-b']);
  const heard = collected([a, b], 'news');
  await well(b, 'emit', { whom: '/some-a' }, 'news', [1]);
  await settle([a, b]);
  assert.deepEqual(got(heard), [[[1]], []]);
});

test('the broker goes on by itself where no backend serves', async (t) => {
  const socket = await connect(t, stack.url(0) + '/plain');
  assert.equal((await ask(socket, 'join', 'R')).ok, true);
  assert.equal((await ask(socket, 'describe')).error.code, 'unknown_event');
});

// -- events and acknowledgements --------------------------------------------------------------

test('acknowledgements of every kind', async (t) => {
  for (const socket of await crowd(t, '/all', 4)) {
    const all = (...args) => within(LIMIT, 'echo', new Promise((resolve) => socket.emit('echo', ...args, (...back) => resolve(back))));
    assert.deepEqual(await all(), []);
    assert.deepEqual(await all(1, 'two', [3], { four: null }), [1, 'two', [3], { four: null }]);
    assert.deepEqual(await all(Buffer.from([0, 255]), { deep: Buffer.alloc(0) }), [Buffer.from([0, 255]), { deep: Buffer.alloc(0) }]);
    assert.equal((await ask(socket, 'nobody handles this')).error.code, 'unknown_event');
    let answered = false;
    socket.emit('done', () => { answered = true; });
    await settle([socket]);
    assert.equal(answered, false);
  }
});

test('answers that take a while come in any order, and their clients can be used meanwhile', async (t) => {
  const [socket] = await crowd(t, '/bare', 1);
  const slow = [300, 200, 100].map((ms, i) => ask(socket, 'work', i, ms));
  assert.deepEqual(await ask(socket, 'echo', 'meanwhile'), 'meanwhile');
  assert.deepEqual((await Promise.all(slow)).map(({ number }) => number), [0, 1, 2]);
});

test('rules stand beside a backend, and it judges where they say so', async (t) => {
  const sockets = await crowd(t, '');
  for (const socket of sockets)
    assert.equal((await ask(socket, 'join', 'court')).ok, true);
  const msgs = collected(sockets, 'msg'), judged = collected(sockets, 'judged');
  assert.equal((await ask(sockets[0], 'msg', { room: 'court', n: 1 })).seq, 1);
  assert.equal((await ask(sockets[1], 'judged', { room: 'court', verdict: 'pass' })).seq, 2);
  assert.deepEqual(await ask(sockets[2], 'judged', { room: 'court', verdict: 'rude' }),
    { ok: false, error: { code: 'rude', message: 'not like this' } });
  assert.equal((await ask(sockets[3], 'judged', { room: 'court', verdict: 'change' })).seq, 3);
  await settle(sockets);
  for (const { all } of msgs)
    assert.deepEqual(all.map((args) => args[0]), [{ room: 'court', n: 1 }]);
  for (const { all } of judged)
    assert.deepEqual(all.map((args) => [args.slice(0, -2), args.at(-2).seq]),
      [[[{ room: 'court', verdict: 'pass' }], 2], [[{ changed: true }, 'by the backend'], 3]]);
});

// -- emitting ---------------------------------------------------------------------------------

test('to self, to all others, to the namespace', async (t) => {
  for (const namespace of ['/all', '/bare']) {
    const sockets = await crowd(t, namespace);
    const heard = collected(sockets, 'news');
    await well(sockets[0], 'emit_self', 'news', ['mine', 1]);
    await well(sockets[1], 'emit', { whom: 'self' }, 'news', ['also']);
    await well(sockets[2], 'emit', { whom: 'broadcast' }, 'news', ['others']);
    await well(sockets[3], 'emit', { whom: namespace }, 'news', ['all', Buffer.from('bytes')]);
    await settle(sockets);
    const all = ['all', Buffer.from('bytes')];
    assert.deepEqual(got(heard, namespace === '/all'), [
      [['mine', 1], ['others'], all], [['also'], ['others'], all], [all], [['others'], all]], namespace);
  }
});

test('to rooms, to each member once, and with exceptions', async (t) => {
  const sockets = await crowd(t, '/all', 6);
  const [a, b, c, d, e, f] = sockets;
  for (const [socket, rooms] of [[a, ['x']], [b, ['x', 'y']], [c, ['y']], [d, ['y', 'z']], [e, []], [f, ['z']]])
    for (const room of rooms) {
      await well(socket, 'join_room', room);
      await (await backendOf(socket)).hears({ told: 'join', id: socket.id, room });
    }
  const heard = collected(sockets, 'news');
  await well(a, 'emit', { whom: '/all', to: ['x', 'y'] }, 'news', [1]);
  await well(a, 'emit', { whom: 'broadcast', to: ['x'] }, 'news', [2]);
  await well(a, 'emit', { whom: '/all', to: ['x', 'y'], except: ['z', c.id] }, 'news', [3]);
  await well(a, 'emit', { whom: '/all', except: ['x', 'y'] }, 'news', [4]);
  await well(a, 'emit', { whom: '/all', to: [e.id, f.id, 'z'] }, 'news', [5]);
  await well(a, 'emit', { whom: '/all', to: ['nobody is here'] }, 'news', [6]);
  await well(a, 'emit', { whom: '/all', to: ['x'], class: 'volatile' }, 'news', ['volatile']);
  await settle(sockets);
  const [onWebSocket, onPolling] = [[['volatile']], []]; // between two polls it may be dropped
  const seen = got(heard).map((each) => each.filter(([what]) => what !== 'volatile'));
  assert.deepEqual(seen, [[[1], [3]], [[1], [2], [3]], [[1]], [[1], [5]], [[4], [5]], [[4], [5]]]);
  assert.deepEqual(got(heard).slice(0, 2).map((each) => each.slice(-1)), [onWebSocket, onWebSocket]);
  assert.deepEqual(got(heard)[2].filter(([what]) => what === 'volatile'), onPolling);
});

test('archived events are numbered in each room, and an id counts once', async (t) => {
  const sockets = await crowd(t, '');
  for (const socket of sockets)
    assert.equal((await ask(socket, 'join', 'hall')).ok, true);
  const heard = collected(sockets, 'news');
  const said = await well(sockets[0], 'emit', { whom: '/', to: ['hall', 'attic'], class: 'archived', meta: true }, 'news', [{ n: 1 }]);
  assert.deepEqual(said.seqs, [1, 1]);
  const once = { whom: '/', to: ['hall'], class: 'archived', meta: true, id: 'only-once-1' };
  const first = await well(sockets[1], 'emit', once, 'news', [{ n: 2 }]);
  assert.deepEqual([first.id, first.seqs], ['only-once-1', [2]]);
  const second = await well(sockets[2], 'emit', once, 'news', [{ n: 'again' }]);
  assert.deepEqual([second.id, second.seqs, second.at], [first.id, first.seqs, first.at]);
  await well(sockets[0], 'emit', { whom: '/', to: ['hall'], meta: true }, 'news', [{ n: 'logged' }]);
  await settle(sockets);
  for (const { all } of heard)
    assert.deepEqual(all.map(([argument, meta]) => [argument.n, meta.room, meta.seq]),
      [[1, 'hall', 1], [2, 'hall', 2], ['logged', 'hall', undefined]]);
  const { messages } = await ask(sockets[3], 'history', { room: 'hall' });
  assert.deepEqual(messages.map(({ seq, event, args }) => [seq, event, args]), [[1, 'news', [{ n: 1 }]], [2, 'news', [{ n: 2 }]]]);
  const refused = await ask(sockets[0], 'emit', { whom: '/', class: 'archived' }, 'news', []);
  assert.notEqual(refused.error, 0); // it wants a room
});

// -- rooms, data, and who is there ------------------------------------------------------------

test('rooms of one and of many', async (t) => {
  const sockets = await crowd(t, '/all');
  const [a] = sockets;
  const hears = async (socket, told, room, start = 0) => (await backendOf(socket)).hears({ told, id: socket.id, room }, start);
  await well(a, 'join_room', 'R');
  await hears(a, 'join', 'R');
  const described = await describe(a);
  assert.deepEqual([described.rooms, described.in], [[a.id, 'R'], true]);
  await well(sockets[1], 'sockets_join', { whom: '/all', to: sockets.slice(1).map(({ id }) => id) }, 'S');
  for (const socket of sockets.slice(1))
    await hears(socket, 'join', 'S');
  await well(a, 'sockets_join', { whom: '/all', to: ['S'], except: [sockets[3].id] }, 'T');
  for (const socket of sockets.slice(1, 3))
    await hears(socket, 'join', 'T');
  await well(a, 'sockets_leave', { whom: '/all', to: ['T'] }, 'S');
  for (const socket of sockets.slice(1, 3))
    await hears(socket, 'leave', 'S');
  await well(a, 'leave_room', 'R');
  await hears(a, 'leave', 'R');
  const rooms = await Promise.all(sockets.map(async (socket) => (await describe(socket)).rooms.filter((room) => room !== socket.id)));
  assert.deepEqual(rooms, [[], ['T'], ['T'], ['S']]);
  for (const bad of ['', 'x'.repeat(256)])
    assert.notEqual((await ask(a, 'join_room', bad)).error, 0);
});

test('data is kept with its socket, and fetching shows sockets wherever they are', async (t) => {
  const sockets = await crowd(t, '/all');
  for (const [i, socket] of sockets.entries()) {
    await well(socket, 'data', { number: i, text: 'ö' });
    await well(socket, 'join_room', i < 3 ? 'fetched' : 'other');
    await (await backendOf(socket)).hears({ told: 'join', id: socket.id });
  }
  assert.deepEqual(JSON.parse((await describe(sockets[1])).data), { number: 1, text: 'ö' });
  const found = await well(sockets[3], 'fetch', { whom: '/all', to: ['fetched'], except: [sockets[1].id] });
  found.sockets.sort((a, b) => JSON.parse(a.data).number - JSON.parse(b.data).number);
  assert.deepEqual(found.sockets.map(({ id, from, address, data, rooms }) => [id, from, address, JSON.parse(data).number, rooms]),
    [0, 2].map((i) => [sockets[i].id, `anon:${sockets[i].id}`, '127.0.0.1', i, ['fetched']]));
  const everybody = await well(sockets[3], 'fetch', { whom: '/all' });
  assert.ok(sockets.every(({ id }) => everybody.sockets.some((each) => each.id === id)));
  assert.deepEqual((await well(sockets[3], 'fetch', { whom: '/all', to: ['nobody'] })).sockets, []);
  assert.notEqual((await ask(sockets[0], 'data', 'x'.repeat(17_000))).error, 0);
});

// -- questions --------------------------------------------------------------------------------

test('one is asked, and many', async (t) => {
  const sockets = await crowd(t, '/all');
  for (const [i, socket] of sockets.entries()) {
    await well(socket, 'join_room', 'asked');
    await (await backendOf(socket)).hears({ told: 'join', id: socket.id });
    socket.on('which', (argument, callback) => callback(i, argument));
    socket.on('bytes', (callback) => callback({ file: Buffer.from([i]) }));
    socket.on('nothing', (callback) => callback());
    socket.on('some', (callback) => i % 2 && callback(i));
  }
  const byNumber = ({ replies }) => replies.map(({ id, arguments: args, attachments }) =>
    [sockets.findIndex((socket) => socket.id === id), args, attachments]).sort();
  const one = await well(sockets[1], 'ask', { whom: 'self' }, 'which', ['a']);
  assert.deepEqual([byNumber(one), one.missing], [[[1, '1,"a"', 0]], []]);
  const many = await well(sockets[0], 'ask', { whom: '/all', to: ['asked'] }, 'which', [{ b: 1 }]);
  assert.deepEqual(byNumber(many), sockets.map((_, i) => [i, `${i},{"b":1}`, 0]));
  const others = await well(sockets[3], 'ask', { whom: 'broadcast', to: ['asked'], except: [sockets[0].id] }, 'which', [2]);
  assert.deepEqual(byNumber(others), [[1, '1,2', 0], [2, '2,2', 0]]);
  const bytes = await well(sockets[0], 'ask', { whom: '/all', to: ['asked'] }, 'bytes', []);
  assert.deepEqual(byNumber(bytes), sockets.map((_, i) => [i, '{"file":{"_placeholder":true,"num":0}}', 1]));
  assert.deepEqual(byNumber(await well(sockets[2], 'ask', { whom: 'self' }, 'nothing', [])), [[2, '', 0]]);
  assert.deepEqual((await well(sockets[0], 'ask', { whom: '/all', to: ['nobody'] }, 'which', [1])).replies, []);

  const some = await ask(sockets[0], 'ask', { whom: '/all', to: ['asked'], timeout: 500 }, 'some', []);
  assert.equal(some.error, -8); // HUBBUB_ERROR_TIMEOUT
  assert.deepEqual(byNumber(some), [[1, '1', 0], [3, '3', 0]]);
  assert.deepEqual(some.missing.sort(), [sockets[0].id, sockets[2].id].sort());

  // What is answered twice counts once, and what comes too late or was never asked is nobody's.
  sockets[0].once('twice', (callback) => {
    callback('first');
    sockets[0].io.engine.write('3/all,987654["never asked"]');
  });
  assert.deepEqual(byNumber(await well(sockets[0], 'ask', { whom: 'self' }, 'twice', [])), [[0, '"first"', 0]]);
  sockets[1].once('late', (callback) => setTimeout(callback, 400, 'late'));
  const late = await ask(sockets[1], 'ask', { whom: 'self', timeout: 100 }, 'late', []);
  assert.deepEqual([late.error, late.replies], [-8, []]);
  await new Promise((resolve) => setTimeout(resolve, 500));
  await settle(sockets);
});

test('who leaves before answering is missing', async (t) => {
  const sockets = await crowd(t, '/bare', 2);
  for (const socket of sockets) {
    await well(socket, 'join_room', 'leaving');
    await (await backendOf(socket)).hears({ told: 'join', id: socket.id });
  }
  sockets[0].on('stay', (callback) => callback('here'));
  sockets[1].on('stay', () => sockets[1].disconnect());
  const gone = sockets[1].id;
  const answer = await ask(sockets[0], 'ask', { whom: '/bare', to: ['leaving'], timeout: 2000 }, 'stay', []);
  assert.deepEqual([answer.replies.map((reply) => reply.arguments), answer.missing], [['"here"'], [gone]]);
});

// -- partings ---------------------------------------------------------------------------------

test('disconnected from the namespace', async (t) => {
  const [socket, other] = await crowd(t, '/all', 3);
  const backend = await backendOf(socket), { id } = socket;
  const second = socket.io.socket('/bare');
  undo(t, () => second.disconnect());
  await next(second, 'connect');
  socket.emit('disconnect_me', 'leave');
  assert.equal((await next(socket, 'disconnect'))[0], 'io server disconnect');
  await backend.hears({ told: 'disconnect', id, reason: 'server namespace disconnect' });
  assert.equal(await ask(second, 'echo', 'alive'), 'alive'); // the connection lives
  assert.equal(await ask(other, 'echo', 'alive'), 'alive');
});

test('disconnected with the connection, for good', async (t) => {
  for (const options of [{}, POLLING]) {
    const socket = await connect(t, stack.url(0) + '/all', { ...options, reconnection: true });
    const second = socket.io.socket('/bare');
    undo(t, () => second.disconnect());
    await next(second, 'connect');
    const ids = [socket.id, second.id], owners = [await backendOf(socket), await backendOf(second)];
    socket.emit('disconnect_me', 'close');
    const reasons = await Promise.all([next(socket, 'disconnect'), next(second, 'disconnect')]);
    assert.deepEqual(reasons.map(([reason]) => reason), ['io server disconnect', 'io server disconnect']);
    for (const [i, owner] of owners.entries())
      await owner.hears({ told: 'disconnect', id: ids[i], reason: 'server namespace disconnect' });
    socket.connect();
    await next(socket, 'connect');
    assert.deepEqual([socket.recovered, socket.id === ids[0]], [false, false]);
  }
});

test('dropped as by a failing network, and recovered', async (t) => {
  for (const options of [{}, POLLING]) {
    const socket = await connect(t, stack.url(0) + '/all', { ...options, reconnection: true });
    const owner = await backendOf(socket), { id } = socket;
    await well(socket, 'join_room', 'kept');
    await owner.hears({ told: 'join', id, room: 'kept' });
    await well(socket, 'data', { kept: true });
    const heard = collect(socket, 'news');
    await well(socket, 'emit_self', 'news', ['before']);
    const dropped = next(socket, 'disconnect');
    socket.emit('disconnect_me', 'drop');
    assert.equal((await dropped)[0], 'transport close');
    await next(socket, 'connect');
    assert.deepEqual([socket.recovered, socket.id], [true, id]);
    const again = await describe(socket);
    assert.deepEqual([again.arrival, again.rooms, JSON.parse(again.data)], ['recovered', [id, 'kept'], { kept: true }]);
    await well(socket, 'emit', { whom: '/all', to: ['kept'] }, 'news', ['behind']);
    await settle([socket]);
    assert.deepEqual(got([heard]), [[['before'], ['behind']]]);
  }
});

test('many are disconnected', async (t) => {
  const sockets = await crowd(t, '/all');
  for (const socket of sockets.slice(0, 3)) {
    await well(socket, 'join_room', 'out');
    await (await backendOf(socket)).hears({ told: 'join', id: socket.id });
  }
  const ends = sockets.slice(0, 2).map((socket) => next(socket, 'disconnect'));
  await well(sockets[3], 'sockets_disconnect', { whom: '/all', to: ['out'], except: [sockets[2].id] }, 'leave');
  for (const [reason] of await Promise.all(ends))
    assert.equal(reason, 'io server disconnect');
  await settle(sockets.slice(2));
});

test('a backend hears why a client has gone', async (t) => {
  for (const [options, part, reason] of [
    [{}, (socket) => socket.disconnect(), 'client namespace disconnect'],
    [{}, (socket) => socket.io.engine.close(), 'transport close'],
    [POLLING, (socket) => socket.io.engine.close(), 'transport close']]) {
    const socket = await connect(t, stack.url(1) + '/bare', options);
    const owner = await backendOf(socket), { id } = socket;
    part(socket);
    await owner.hears({ told: 'disconnect', id, reason });
  }
});

// -- what was missed --------------------------------------------------------------------------

test('what a backend sent to one who was away comes with recovery, and nothing else', async (t) => {
  const [speaker] = await crowd(t, '/all', 1);
  const away = await connect(t, stack.url(1) + '/all', { reconnection: false });
  const owner = await backendOf(away), { id } = away;
  for (const room of ['in', 'also in']) {
    await well(away, 'join_room', room);
    await owner.hears({ told: 'join', id, room });
  }
  const heard = collect(away, 'news');
  await well(speaker, 'emit', { whom: '/all', to: ['in'] }, 'news', [0]);
  await settle([away]);
  away.io.engine.close();
  await owner.hears({ told: 'disconnect', id });
  const send = (target, ...args) => well(speaker, 'emit', { whom: '/all', ...target }, 'news', args);
  await send({ to: ['in'] }, 1);
  await send({ to: ['in'], except: ['also in'] }, 'excepted by room');
  await send({ to: ['in'], except: [id] }, 'excepted by id');
  await send({ to: ['in'], class: 'volatile' }, 'volatile');
  await send({ to: ['elsewhere'] }, 'elsewhere');
  await send({ to: [id] }, 2, Buffer.from('to it alone'));
  await send({}, 3);
  await send({ to: ['also in', 'in'] }, 4);
  away.connect();
  await next(away, 'connect');
  assert.deepEqual([away.recovered, away.id], [true, id]);
  await settle([away]);
  assert.deepEqual(got([heard]), [[[0], [1], [2, Buffer.from('to it alone')], [3], [4]]]);
});

// -- transports -------------------------------------------------------------------------------

test('a client that polls first goes over to a WebSocket at any gateway, with answers on their way', async (t) => {
  const url = await haproxy(t, stack.ports);
  const sockets = await Promise.all(Array.from({ length: 8 }, () => connect(t, `${url}/all`, { transports: ['polling', 'websocket'] })));
  let ended = 0;
  const slow = sockets.map((socket, i) => {
    socket.on('disconnect', () => { ended += 1; });
    socket.on('which', (callback) => callback(socket.id));
    return ask(socket, 'work', i, 1500);
  });
  const answers = await Promise.all(sockets.map((socket) => ask(socket, 'ask', { whom: 'self' }, 'which', [])));
  assert.deepEqual(answers.map(({ replies }) => JSON.parse(replies[0].arguments)), sockets.map(({ id }) => id));
  assert.deepEqual((await Promise.all(slow)).map(({ number }) => number), sockets.map((_, i) => i));
  await settle(sockets);
  assert.equal(ended, 0);
});
