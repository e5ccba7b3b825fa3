// The backends of examples/ do what they say.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { Backend } from '../support/backend.mjs';
import { LIMIT, ask, collect, connect, next, open } from '../support/client.mjs';
import { Stack, temporaryFolder, within } from '../support/stack.mjs';

test('room_chat: the three kinds of emit, and namespaces', async (t) => {
  const config = path.join(await temporaryFolder(t), 'chat.conf');
  await writeFile(config, 'namespaces = ( { name = "/chat"; builtin = false; }, { name = "/news"; } );');
  const stack = await Stack.start(t, { args: ['--config', config] });
  await Backend.start(t, stack, 'examples/example-room_chat');
  const nameless = open(t, `${stack.url(0)}/chat`);
  const error = await within(LIMIT, 'connect_error', new Promise((resolve) => nameless.once('connect_error', resolve)));
  assert.equal(error.message, 'say who you are');
  assert.deepEqual(error.data, { code: 'no_name' });

  const come = (name, gateway) => connect(t, `${stack.url(gateway)}/chat`, { auth: { name } });
  const [ada, bob, eve] = await Promise.all([come('Ada', 0), come('Bob', 1), come('Eve', 1)]);
  const news = await connect(t, `${stack.url(0)}/news`);
  const headlines = collect(news, 'headline');
  const heard = {};
  for (const [name, socket] of Object.entries({ ada, bob, eve }))
    heard[name] = Object.fromEntries(['joined', 'said', 'typing', 'left'].map((event) => [event, collect(socket, event)]));

  assert.deepEqual(await ask(ada, 'join', { room: 'tea' }), { ok: true, room: 'tea', members: 1 });
  assert.deepEqual(await ask(bob, 'join', { room: 'tea' }), { ok: true, room: 'tea', members: 2 });
  await heard.ada.joined.reached(1);
  assert.deepEqual(heard.ada.joined.all[0][0], { name: 'Bob', room: 'tea' });
  assert.equal(heard.bob.joined.all.length, 0); // not the sender
  await headlines.reached(2);

  assert.deepEqual(await ask(ada, 'say', { room: 'tea', text: 'milk "first"' }), { ok: true, seq: 1 });
  for (const { said } of [heard.ada, heard.bob]) { // the whole room
    await said.reached(1);
    assert.deepEqual(said.all[0][0], { name: 'Ada', room: 'tea', text: 'milk "first"' });
  }
  assert.deepEqual(await ask(eve, 'say', { room: 'tea', text: 'me too' }), { ok: false, error: 'join the room first' });
  bob.emit('typing', { room: 'tea' });
  await heard.ada.typing.reached(1);

  const members = next(ada, 'members'); // the sender alone
  assert.deepEqual(await ask(ada, 'who', { room: 'tea' }), { ok: true });
  assert.deepEqual((await members)[0].sort(), ['Ada', 'Bob']);
  bob.disconnect();
  await heard.ada.left.reached(1);
  assert.deepEqual(heard.ada.left.all[0][0], { name: 'Bob', reason: 'client namespace disconnect' });
  assert.equal((await ask(ada, 'say', { room: 'tea', text: 'bye' })).seq, 2);
  assert.deepEqual([heard.eve.said.all.length, heard.eve.left.all.length], [0, 0]);
});

test('echo: a client that lost its connection recovers when it may', async (t) => {
  const config = path.join(await temporaryFolder(t), 'echo.conf');
  await writeFile(config, 'namespaces = ( { name = "/"; builtin = false; } );');
  const stack = await Stack.start(t, { args: ['--config', config] });
  await Backend.start(t, stack, 'examples/example-echo');
  const socket = await connect(t, stack.url(0), { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 100, auth: { a: 1 } });
  assert.equal(await ask(socket, 'join', 'r'), 'joined');
  const back = within(LIMIT, 'reconnect', new Promise((resolve) => socket.once('connect', resolve)));
  socket.emit('drop');
  await back;
  assert.equal(socket.recovered, true);
  const answer = next(socket, 'recovered');
  socket.emit('recovered?');
  const [recovered, rooms, data] = await answer;
  assert.deepEqual([recovered, [...rooms].sort(), data], [true, [socket.id, 'r'].sort(), {}]);
  const big = next(socket, 'big');
  socket.emit('big', 200_000);
  assert.equal((await big)[0].length, 200_000);
});
