// What takes its time: answers of backends and of clients, the one that moves to another transport meanwhile, and
// backends that are not there.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Backend } from '../support/backend.mjs';
import { haproxy } from '../support/balancer.mjs';
import { ask, collect, connect, next, open } from '../support/client.mjs';
import { Stack, temporaryFolder } from '../support/stack.mjs';

const DRIVEN = 'tests/support/driven-backend';

async function start(t, settings = '') {
  const config = path.join(await temporaryFolder(t), 'waits.conf');
  await writeFile(config, `${settings}
    namespaces = ( { name = "/"; }, { name = "/bare"; builtin = false; recovery = false; }, { pattern = "/some-*"; } );`);
  return Stack.start(t, { args: ['--config', config] });
}

test('an answer may take longer than any request to the router, and its client goes on meanwhile', async (t) => {
  const patience = 3000; // ms: longer than a busy machine keeps the router waiting
  const stack = await start(t, `gateway = { request_timeout = "${patience} ms"; };`);
  await Backend.start(t, stack, DRIVEN);
  const sockets = await Promise.all([0, 1].map((i) => connect(t, stack.url(i) + '/some-where', { transports: [i ? 'polling' : 'websocket'] })));
  let ended = 0;
  const late = sockets.flatMap((socket) => {
    socket.on('disconnect', () => { ended += 1; });
    return Array.from({ length: 300 }, () => ask(socket, 'call', 'later', `${patience + 1000}`)); // more than stop its reading
  });
  for (const socket of sockets)
    assert.equal((await ask(socket, 'call', 'which')), 'backend');
  assert.deepEqual(new Set(await Promise.all(late)), new Set(['late']));
  assert.equal(ended, 0);
});

test('a client that polls first goes over to a WebSocket at any gateway, with answers on their way', async (t) => {
  const stack = await start(t);
  await Backend.start(t, stack, DRIVEN);
  const url = await haproxy(t, stack.ports);
  const sockets = await Promise.all(Array.from({ length: 8 }, () => connect(t, url, { transports: ['polling', 'websocket'] })));
  let ended = 0;
  const late = sockets.map((socket, i) => {
    socket.on('disconnect', () => { ended += 1; });
    socket.on('question', (_, answer) => setTimeout(answer, 100, i));
    return ask(socket, 'call', 'later', '1500');
  });
  for (let round = 0; round < 5; round++)
    assert.deepEqual((await Promise.all(sockets.map((socket) => ask(socket, 'call', 'ask')))).map(({ first }) => first),
      sockets.map((_, i) => `${i}`));
  assert.deepEqual(await Promise.all(late), sockets.map(() => 'late'));
  assert.equal(ended, 0);
});

test('clients answer late, twice, or what nobody asked', async (t) => {
  const stack = await start(t);
  await Backend.start(t, stack, DRIVEN);
  const socket = await connect(t, stack.url(0)), other = await connect(t, stack.url(1));
  socket.once('question', (_, answer) => {
    answer('first');
    for (const id of [0, 1, 2, 3, 9007199254740991]) // ids are for all sockets of a gateway, and easy to guess
      socket.io.engine.write(`3${id}["guessed"]`);
  });
  assert.deepEqual((await ask(socket, 'call', 'ask')).first, '"first"');
  const asked = next(other, 'question');
  socket.io.engine.write('3["to nothing"]');
  const { error, replies, missing } = await ask(other, 'call', 'ask', null, '200');
  assert.deepEqual([error, replies, missing], ['no answer in time', 0, 1]);
  (await asked)[1]('late');
  for (const each of [socket, other])
    assert.equal(await ask(each, 'call', 'which'), 'backend');
});

test('who leaves before it answers is missing', async (t) => {
  const stack = await start(t);
  await Backend.start(t, stack, DRIVEN);
  const [stays, leaves] = await Promise.all([0, 1].map((i) => connect(t, stack.url(i))));
  for (const socket of [stays, leaves])
    assert.equal((await ask(socket, 'call', 'join', 'R')).error, '');
  const { id } = leaves;
  stays.on('question', (_, answer) => answer('here'));
  leaves.on('question', () => leaves.disconnect());
  const { replies, first, missing, who } = await ask(stays, 'call', 'ask', 'R', '5000');
  assert.deepEqual([replies, first, missing, who], [1, '"here"', 1, id]);
});

test('where a backend is needed clients wait for one', async (t) => {
  const stack = await start(t, 'router = { backend_wait = "60 s"; };');
  const waiting = open(t, stack.url(1) + '/bare', { transports: ['polling'] });
  const connected = next(waiting, 'connect');
  await sleep(500);
  const one = await Backend.start(t, stack, DRIVEN, 'one');
  await connected;
  assert.equal(await ask(waiting, 'call', 'which'), 'one');
  one.kill();
  const answer = ask(waiting, 'call', 'which');
  await Backend.start(t, stack, DRIVEN, 'two');
  assert.equal(await answer, 'two');
});

test('they are told when none comes', async (t) => {
  const stack = await start(t, 'router = { backend_wait = "1 s"; };');
  const refused = open(t, stack.url(0) + '/bare');
  const [error] = await next(refused, 'connect_error');
  assert.equal(error.message, 'No backend serves this namespace');
  assert.deepEqual(error.data, { code: 'unavailable' });

  const one = await Backend.start(t, stack, DRIVEN, 'one');
  const left = await connect(t, stack.url(1) + '/bare', { transports: ['polling'] });
  one.kill();
  const late = [ask(left, 'call', 'which'), ask(left, 'call', 'which')];
  assert.deepEqual((await Promise.all(late)).map((answer) => answer.error.code), ['unavailable', 'unavailable']);
  await Backend.start(t, stack, DRIVEN, 'two');
  assert.equal(await ask(left, 'call', 'which'), 'two');
});

test('where none is needed, the broker goes on by itself', async (t) => {
  const stack = await start(t);
  const socket = await connect(t, stack.url(0) + '/some-where');
  const other = await connect(t, stack.url(1) + '/some-where');
  const said = collect(other, 'msg');
  const well = async () => {
    assert.equal((await ask(other, 'join', 'R')).ok, true);
    assert.equal((await ask(socket, 'join', 'R')).ok, true);
    assert.equal((await ask(socket, 'msg', { room: 'R' })).ok, true);
  };
  await well();
  assert.equal((await ask(socket, 'call', 'which')).error.code, 'unknown_event');
  const backend = await Backend.start(t, stack, DRIVEN);
  await backend.told('connection', socket.id);
  assert.equal(await ask(socket, 'call', 'which'), 'backend');
  await well();
  backend.kill('SIGTERM');
  await backend.exited;
  await well();
  assert.equal((await ask(socket, 'call', 'which')).error.code, 'unknown_event');
  await said.reached(3);
});

test('a gateway is killed, and its clients come back to their backend', async (t) => {
  const stack = await start(t);
  const backend = await Backend.start(t, stack, DRIVEN);
  const options = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 100 };
  const socket = await connect(t, stack.url(0), options), other = await connect(t, stack.url(1));
  const { id } = socket;
  assert.equal((await ask(socket, 'call', 'join', 'R')).error, '');
  const heard = collect(socket, 'heard');
  assert.equal((await ask(other, 'call', 'room', 'R', null, 'before')).error, '');
  await ask(socket, 'call', 'which');
  const start_ = backend.lines.length;
  const back = next(socket, 'connect');
  const killed = stack.kill('gateway-1');
  await backend.told('disconnect', id, start_);
  for (let i = 0; i < 20; i++)
    assert.equal((await ask(other, 'call', 'room', 'R', null, `${i}`)).error, '');
  await killed;
  await back;
  assert.deepEqual([socket.recovered, socket.id], [true, id]);
  assert.equal((await backend.told('connection', id, start_)).arrival, 'recovered');
  await heard.reached(21);
  assert.deepEqual(heard.all.map(([text]) => text), ['before', ...Array.from({ length: 20 }, (_, i) => `${i}`)]);
});
