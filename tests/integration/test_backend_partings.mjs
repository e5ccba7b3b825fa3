// How sockets part from their backend: disconnected, with their connection, or dropped as by a failing network; and
// what those who come back have missed.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Backend } from '../support/backend.mjs';
import { ask, collect, connect, next } from '../support/client.mjs';
import { Stack, temporaryFolder, undo, wholeFile } from '../support/stack.mjs';

const file = wholeFile(after);
let stack, backend;

before(async () => {
  const config = path.join(await temporaryFolder(file), 'partings.conf');
  await writeFile(config, 'namespaces = ( { name = "/"; }, { name = "/bare"; builtin = false; recovery = false; } );');
  stack = await Stack.start(file, { args: ['--config', config] });
  backend = await Backend.start(file, stack, 'tests/support/driven-backend', 'one');
});

async function fine(socket, ...args) {
  const answer = await ask(socket, 'call', ...args);
  assert.equal(answer.error, '', JSON.stringify(answer));
  return answer;
}

/** A client with a second socket, in /bare, on the same connection. */
async function pair(t, options) {
  const socket = await connect(t, stack.url(0), { reconnectionDelay: 50, ...options, reconnection: true });
  const second = socket.io.socket('/bare');
  undo(t, () => second.disconnect());
  await next(second, 'connect');
  return [socket, second];
}

for (const transport of ['websocket', 'polling']) {
  const options = { transports: [transport] };

  test(`${transport}: disconnected from a namespace, the connection lives`, async (t) => {
    const [socket, second] = await pair(t, options);
    const { id } = socket;
    const end = next(socket, 'disconnect');
    socket.emit('call', 'part', 'leave');
    assert.equal((await end)[0], 'io server disconnect');
    assert.equal((await backend.told('disconnect', id)).what, 'server namespace disconnect');
    assert.equal(await ask(second, 'call', 'which'), 'one');
    assert.equal(socket.active, false);
  });

  test(`${transport}: disconnected with the connection, for good`, async (t) => {
    const [socket, second] = await pair(t, options);
    const ids = [socket.id, second.id];
    const ends = [socket, second].map((each) => next(each, 'disconnect'));
    second.emit('call', 'part', 'close');
    assert.deepEqual((await Promise.all(ends)).map(([reason]) => reason), ['io server disconnect', 'io server disconnect']);
    for (const id of ids)
      assert.equal((await backend.told('disconnect', id)).what, 'server namespace disconnect');
    assert.deepEqual([socket.active, second.active], [false, false]);
    const back = next(socket, 'connect');
    socket.connect();
    await back;
    assert.equal(socket.recovered, false);
    assert.equal((await backend.told('connection', socket.id)).arrival, 'new');
  });

  test(`${transport}: dropped as by a failing network`, async (t) => {
    const [socket, second] = await pair(t, options);
    const { id } = socket, secondId = second.id;
    await fine(socket, 'join', `${transport}-dropped`);
    const heard = collect(socket, 'heard');
    await fine(socket, 'room', `${transport}-dropped`, null, 'before');
    const start = backend.lines.length;
    const end = next(socket, 'disconnect'), back = next(socket, 'connect'), secondBack = next(second, 'connect');
    socket.emit('call', 'part', 'drop');
    assert.equal((await end)[0], 'transport close');
    await Promise.all([back, secondBack]);
    assert.deepEqual([socket.recovered, socket.id], [true, id]);
    assert.notEqual(second.id, secondId); // there is no recovery in its namespace
    assert.equal((await backend.told('connection', id, start)).arrival, 'recovered');
    await fine(socket, 'room', `${transport}-dropped`, null, 'behind');
    assert.deepEqual(heard.all.map(([text]) => text), ['before', 'behind']);
  });

  test(`${transport}: what was sent to one who was away`, async (t) => {
    const [inside, also] = [`${transport}-in`, `${transport}-also`];
    const speaker = await connect(t, stack.url(1), options);
    const away = await connect(t, stack.url(0), options);
    const { id } = away;
    for (const room of [inside, also])
      await fine(away, 'join', room);
    const heard = collect(away, 'heard');
    await fine(speaker, 'room', inside, null, 'before');
    await ask(away, 'call', 'which');
    const start = backend.lines.length;
    away.io.engine.close();
    await backend.told('disconnect', id, start);
    await fine(speaker, 'room', inside, null, 'in its room');
    await fine(speaker, 'except', inside, also, 'but not for the other room');
    await fine(speaker, 'except', inside, id, 'but not for itself');
    await fine(speaker, 'volatile', inside);
    await fine(speaker, 'room', 'elsewhere', null, 'in another room');
    await fine(speaker, 'room', id, null, 'to itself');
    await fine(speaker, 'everyone', null, null, 'to everyone');
    await fine(speaker, 'rooms', inside, also, 'in either room');
    await fine(speaker, 'sockets-join', inside, 'too late');
    const back = next(away, 'connect');
    away.connect();
    await back;
    assert.deepEqual([away.recovered, away.id], [true, id]);
    await ask(away, 'call', 'which');
    assert.deepEqual(heard.all.map(([text]) => text), ['before', 'in its room', 'to itself', 'to everyone', 'in either room']);
  });
}
