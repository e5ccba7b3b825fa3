// Many stock clients over both gateways: each member gets each message of its room exactly once, in the
// order of seq without a hole, and the journal holds what was acknowledged.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { ask, collect, connect } from '../support/client.mjs';
import { Stack } from '../support/stack.mjs';

const CLIENTS = 200;
const ROOMS = 20;
const MESSAGES = 2000;

test('200 clients, 20 rooms, 2 gateways, 2,000 acknowledged messages', async (t) => {
  const stack = await Stack.start(t);
  const clients = await Promise.all(Array.from({ length: CLIENTS }, async (_, number) => {
    // Every room has members on both gateways.
    const socket = await connect(t, stack.url(Math.floor(number / ROOMS)));
    return { socket, room: `room ${number % ROOMS}`, messages: collect(socket, 'msg') };
  }));
  const joins = await Promise.all(clients.map(({ socket, room }) => ask(socket, 'join', room)));
  for (const [number, answer] of joins.entries()) {
    assert.equal(answer.ok, true);
    assert.equal(answer.room, clients[number].room);
    assert.equal(answer.seq, 0);
  }
  const members = CLIENTS / ROOMS;
  assert.equal(Math.max(...joins.map((answer) => answer.members)), members);

  // Each client sends one after another, all clients at once; every other message has an id of its own.
  const sent = [];
  await Promise.all(clients.map(async ({ socket, room }, number) => {
    for (let i = 0; i < MESSAGES / CLIENTS; i++) {
      const argument = { room, body: `${number} says ${i}: "é\\ 😀"`, number: i / 3, nested: { list: [1, null, true] } };
      if (i % 2)
        argument.id = randomUUID();
      const answer = await ask(socket, 'msg', argument);
      assert.equal(answer.ok, true, JSON.stringify(answer));
      assert.deepEqual(Object.keys(answer).sort(), ['at', 'id', 'ok', 'seq']);
      if (argument.id)
        assert.equal(answer.id, argument.id);
      sent.push({ room, argument, from: `anon:${socket.id}`, sid: socket.id, answer });
    }
  }));
  assert.equal(sent.length, MESSAGES);

  const byRoom = new Map();
  for (const message of sent) {
    if (!byRoom.has(message.room))
      byRoom.set(message.room, []);
    byRoom.get(message.room).push(message);
  }
  for (const [room, messages] of byRoom) {
    messages.sort((a, b) => a.answer.seq - b.answer.seq);
    assert.deepEqual(messages.map((message) => message.answer.seq), messages.map((_, index) => index + 1),
      `${room}: the acknowledged numbers have no hole and no repeat`);
    for (let i = 1; i < messages.length; i++)
      assert.ok(messages[i].answer.at >= messages[i - 1].answer.at, `${room}: at never decreases`);
  }

  const perRoom = MESSAGES / ROOMS;
  const epochs = new Set();
  for (const { socket, room, messages } of clients) {
    await messages.reached(perRoom);
    const expected = byRoom.get(room);
    let last = 0;
    assert.deepEqual(messages.all.map(([argument, meta]) => ({ argument, meta })), expected.map((message) => ({
      argument: message.argument,
      meta: { room, seq: message.answer.seq, id: message.answer.id, from: message.from, at: message.answer.at },
    })), `${room}: what a member got`);
    for (const [, , offset, ...more] of messages.all) {
      const [, epoch, position] = /^([\w-]+)\.(\d+)$/.exec(offset);
      assert.ok(Number(position) > last, 'offsets go up');
      last = Number(position);
      epochs.add(epoch);
      assert.equal(more.length, 0);
    }
    assert.equal(socket.connected, true);
  }
  assert.equal(epochs.size, 1);

  // Nothing more comes: an answer stands behind whatever would.
  await Promise.all(clients.map(({ socket, room }) => ask(socket, 'presence', room)));
  for (const { messages } of clients)
    assert.equal(messages.all.length, perRoom);

  assert.deepEqual(await stack.stop(), { code: 0, signal: null });
  const rows = await stack.journal('select * from message order by pos');
  assert.deepEqual(rows.map((row) => row.pos), rows.map((_, index) => index + 1));
  const stored = rows.map((row) => ({
    namespace: row.namespace, room: row.room, seq: row.seq, id: row.publish_id, at: row.at, event: row.event,
    sid: row.sender_sid, from: row.sender_name, arguments: row.arguments,
  }));
  const order = (a, b) => (a.room < b.room ? -1 : a.room > b.room ? 1 : a.seq - b.seq);
  assert.deepEqual(stored.sort(order), sent.map((message) => ({
    namespace: '/', room: message.room, seq: message.answer.seq, id: message.answer.id, at: message.answer.at,
    event: 'msg', sid: message.sid, from: message.from, arguments: JSON.stringify(message.argument),
  })).sort(order), 'the journal holds what was acknowledged, byte for byte');
});
