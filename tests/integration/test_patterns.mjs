// Namespaces of patterns with stock clients: on both gateways, over one connection, and through restarts.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import { Manager } from 'socket.io-client';
import { overTls } from '../support/certificate.mjs';
import { LIMIT, ask, collect, connect, next } from '../support/client.mjs';
import { Stack, temporaryFolder, undo, within } from '../support/stack.mjs';

const CONFIGURATION = `
namespaces = (
  { name = "/"; },
  { pattern = "/orders-*"; },
  { pattern = "/*/live"; recovery = false;
    events = ({ name = "msg"; room = "$.room"; archive = true; meta = false; }); }
);
`;

async function start(t) {
  const config = path.join(await temporaryFolder(t), 'patterns.conf');
  await writeFile(config, CONFIGURATION);
  return Stack.start(t, { args: ['--config', config] });
}

function refusal(socket) {
  return within(LIMIT, 'connect_error', new Promise((resolve) => {
    socket.once('connect_error', resolve);
  }));
}

test('two gateways, ten orders, and nobody hears of another order', async (t) => {
  const stack = await start(t);
  const orders = Array.from({ length: 10 }, (_, number) => `/orders-${number}`);
  const members = await Promise.all(orders.map((name) => Promise.all([0, 1].map(async (gateway) => {
    const socket = await connect(t, stack.url(gateway) + name);
    assert.equal((await ask(socket, 'join', 'room')).ok, true);
    return { socket, heard: collect(socket, 'msg') };
  }))));
  for (const pair of members)
    assert.equal((await ask(pair[0].socket, 'presence', 'room')).members, 2);
  await Promise.all(members.map(async (pair, number) => {
    for (let i = 0; i <= number; i++)
      assert.equal((await ask(pair[i % 2].socket, 'msg', { room: 'room', number, i })).seq, i + 1);
  }));
  for (const [number, pair] of members.entries())
    for (const { socket, heard } of pair) {
      await heard.reached(number + 1);
      await ask(socket, 'presence', 'room');
      assert.deepEqual(heard.all.map(([argument]) => [argument.number, argument.i]),
        Array.from({ length: number + 1 }, (_, i) => [number, i]));
    }
  assert.deepEqual(await stack.stop(), { code: 0, signal: null });
  const rows = await stack.journal('select namespace, count(*) as count from message group by namespace');
  assert.deepEqual(Object.fromEntries(rows.map((row) => [row.namespace, row.count])),
    Object.fromEntries(orders.map((name, number) => [name, number + 1])));
});

test('several over one connection, and one of them goes', async (t) => {
  const stack = await start(t);
  const manager = new Manager(stack.url(0), { transports: ['websocket'], reconnection: false, rejectUnauthorized: !overTls });
  const sockets = ['/', '/orders-1', '/orders-2', '/shop/live'].map((name) => manager.socket(name));
  undo(t, () => sockets.forEach((socket) => socket.disconnect()));
  await within(LIMIT, 'all connect', Promise.all(sockets.map((socket) => new Promise((resolve) => {
    socket.once('connect', resolve);
  }))));
  assert.equal(new Set(sockets.map((socket) => socket.id)).size, 4);
  for (const socket of sockets)
    assert.equal((await ask(socket, 'join', 'r')).members, 1);

  const stranger = manager.socket('/nobody-serves-this');
  assert.equal((await refusal(stranger)).message, 'Invalid namespace');
  const arguments_ = next(sockets[3], 'msg');
  await ask(sockets[3], 'msg', { room: 'r' });
  assert.deepEqual(await arguments_, [{ room: 'r' }]); // meta and recovery are off there

  sockets[1].disconnect();
  for (const socket of [sockets[0], sockets[2], sockets[3]])
    assert.equal((await ask(socket, 'presence', 'r')).members, 1);
  const again = next(sockets[1], 'connect');
  sockets[1].connect();
  await again;
  assert.equal((await ask(sockets[1], 'join', 'r')).members, 1);
});

test('the router and a gateway start again', async (t) => {
  const stack = await start(t);
  const stays = await connect(t, `${stack.url(0)}/orders-17`);
  const moves = await connect(t, `${stack.url(1)}/orders-17`, { reconnection: true, reconnectionDelay: 20 });
  const heard = collect(stays, 'msg');
  for (const socket of [stays, moves])
    await ask(socket, 'join', 'r');
  for (let i = 0; i < 3; i++)
    await ask(moves, 'msg', { room: 'r', i });
  await stack.kill('router');
  assert.equal((await ask(stays, 'msg', { room: 'r', i: 3 })).seq, 4);
  const back = next(moves, 'connect');
  await stack.kill('gateway-2');
  await back;
  assert.deepEqual((await ask(moves, 'join', { room: 'r', history: 10 })).history.map((message) => message.args[0].i),
    [0, 1, 2, 3]);
  assert.equal((await ask(moves, 'msg', { room: 'r', i: 4 })).seq, 5);
  await heard.reached(5);
  assert.deepEqual(heard.all.map(([argument]) => argument.i), [0, 1, 2, 3, 4]);

  // Nobody is left in it, and the router has forgotten it: the journal has not.
  stays.disconnect();
  moves.disconnect();
  await stack.kill('router');
  const late = await connect(t, `${stack.url(0)}/orders-17`, { reconnection: true });
  const answer = await ask(late, 'join', { room: 'r', history: 10 });
  assert.deepEqual([answer.seq, answer.members, answer.history.length], [5, 1, 5]);
});
