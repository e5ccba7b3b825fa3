// Binary in events, acknowledgements and history, with the stock client on two gateways, and after a restart.

import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { LIMIT, ask, collect, connect, next, plain, settled } from '../support/client.mjs';
import { Stack, wholeFile, within } from '../support/stack.mjs';

// One stack for all of the file; every test has rooms of its own.
const file = wholeFile(after);
let stack;
let rooms = 0;
const newRoom = () => `room ${++rooms}`;

const argsOf = (messages) => messages.map(({ args }) => plain(args.slice(1)));
const bytes = (...values) => Uint8Array.from(values);
const lookalike = { _placeholder: true, num: 0 };

/** Two sockets on different gateways, both in the room. */
async function pair(t, room) {
  const sockets = await Promise.all([connect(t, stack.url(0)), connect(t, stack.url(1))]);
  await Promise.all(sockets.map((socket) => ask(socket, 'join', room)));
  return sockets;
}

async function publish(socket, room, ...args) {
  const answer = await ask(socket, 'msg', { room }, ...args);
  assert.equal(answer.ok, true, JSON.stringify(answer));
  return answer;
}

test('the stack starts', async () => {
  stack = await Stack.start(file);
});

test('events carry binary in both directions, and so to the sender itself', async (t) => {
  const room = newRoom();
  const [a, b] = await pair(t, room);
  const shared = bytes(1, 2, 3);
  const large = Buffer.alloc(300_000, 'large');
  const kinds = [
    [bytes(0, 255, 10)],
    [bytes(7).buffer, Buffer.from('a Buffer'), new Uint16Array([1, 65535])],
    [{ deep: [{ deeper: bytes(5) }, 'text'], number: 1.5 }, null, bytes(6)],
    [shared, { again: shared }],
    [bytes(), { empty: [bytes()] }],
    [large],
    Array.from({ length: 10 }, (_, i) => bytes(i)),
  ];
  for (const [from, to] of [[a, b], [b, a]]) {
    for (const args of kinds) {
      const heard = [next(to, 'msg'), next(from, 'msg')];
      const { seq } = await publish(from, room, ...args);
      for (const got of await Promise.all(heard)) {
        const [first, ...rest] = got;
        const [meta, offset] = rest.splice(-2);
        assert.deepEqual(first, { room });
        assert.deepEqual(plain(rest), plain(args));
        assert.equal(meta.seq, seq);
        assert.match(offset, /^[\w-]+\.\d+$/);
      }
    }
  }
});

test('an event with binary needs no acknowledgement', async (t) => {
  const room = newRoom();
  const [a, b] = await pair(t, room);
  const heard = next(b, 'msg');
  a.emit('msg', { room, data: bytes(1, 2) });
  assert.deepEqual(plain((await heard)[0].data), Buffer.from([1, 2]));
});

test('order holds between events with and without binary', async (t) => {
  const room = newRoom();
  const [a, b] = await pair(t, room);
  const heard = [collect(a, 'msg'), collect(b, 'msg')];
  const answers = [];
  for (let i = 0; i < 300; i++)
    answers.push(publish(i % 2 ? a : b, room, i, ...(i % 3 ? [Buffer.alloc(i * 10, i & 255)] : [])));
  await Promise.all(answers);
  for (const each of heard) {
    await each.reached(300);
    assert.deepEqual(each.all.map((args) => args.at(-2).seq), Array.from({ length: 300 }, (_, i) => i + 1));
    for (const [, i, data] of each.all) {
      if (i % 3)
        assert.deepEqual(plain(data), Buffer.alloc(i * 10, i & 255));
    }
  }
  assert.deepEqual(heard[0].all.map(plain), heard[1].all.map(plain));
});

test('volatile events carry binary to the others', async (t) => {
  const room = newRoom();
  const [a, b] = await pair(t, room);
  const own = collect(a, 'typing');
  const heard = next(b, 'typing');
  assert.deepEqual(await ask(a, 'typing', { room, ink: bytes(1, 2, 3) }), { ok: true });
  assert.deepEqual(plain((await heard)[0].ink), Buffer.from([1, 2, 3]));
  await settled(a, room);
  assert.equal(own.all.length, 0);
});

test('a retry of a message with binary counts once', async (t) => {
  const room = newRoom();
  const [a, b] = await pair(t, room);
  const heard = collect(b, 'msg');
  const message = { room, id: 'binary-once-1', data: bytes(1) };
  const first = await ask(a, 'msg', message);
  assert.equal(first.ok, true);
  assert.deepEqual(await ask(a, 'msg', message), first);
  assert.deepEqual(await ask(b, 'msg', { ...message, data: bytes(2) }), first);
  assert.equal((await publish(b, room)).seq, 2);
  await heard.reached(2);
  assert.deepEqual(plain(heard.all[0][0].data), Buffer.from([1]));
});

test('refusals come for events with binary too', async (t) => {
  const room = newRoom();
  const [a] = await pair(t, room);
  const codes = async (...args) => (await ask(a, ...args)).error?.code;
  assert.equal(await codes('msg', { room: newRoom() }, bytes(1)), 'not_joined');
  assert.equal(await codes('no such event', bytes(1)), 'unknown_event');
  assert.equal(await codes('msg', { room: bytes(1) }), 'bad_room');
  assert.equal(await codes('msg', { room }, Buffer.alloc(600_000), Buffer.alloc(600_000)), 'too_large');
  const told = next(a, 'hubbub:error');
  a.emit('msg', { room }, Buffer.alloc(600_000), Buffer.alloc(600_000));
  assert.equal((await told)[0].error.code, 'too_large');
  assert.equal((await publish(a, room, Buffer.alloc(1_000_000))).seq, 1);
});

/** Reads a room in all ways: it has 16 messages, of which every third has binary; nothing is missing or twice. */
async function readEverything(socket, room, expected) {
  const seqs = (messages) => messages.map((message) => message.seq);
  const backward = [];
  for (let more = true, before; more;) {
    const page = await ask(socket, 'history', { room, ...(before ? { before } : {}) });
    assert.equal(page.ok, true, JSON.stringify(page));
    backward.unshift(...page.messages);
    before = page.messages[0].seq;
    more = page.more;
  }
  const forward = [];
  for (let more = true; more;) {
    const page = await ask(socket, 'history', { room, after: forward.length });
    forward.push(...page.messages);
    more = page.more;
  }
  const joined = await ask(socket, 'join', { room, history: 200 });
  for (const messages of [backward, forward]) {
    assert.deepEqual(seqs(messages), expected.map((_, i) => i + 1));
    assert.deepEqual(argsOf(messages), expected.map(plain));
  }
  assert.equal(joined.seq, expected.length);
  assert.equal(joined.more, joined.history.length < expected.length);
  assert.ok(joined.history.length > 0);
  assert.deepEqual(argsOf(joined.history), expected.slice(-joined.history.length).map(plain));
  return joined;
}

const archived = []; // what the rooms hold that are read again after the restart
let archiveRoom;
let oddRoom;
const odd = [[lookalike], [bytes(1)], ['plain'], [{ deep: [lookalike] }], [lookalike], [bytes(2), { same: 1 }], [bytes(3)]];

test('history and join give binary back, in pages of at most ten', async (t) => {
  archiveRoom = newRoom();
  const [a, b] = await pair(t, archiveRoom);
  const shared = Buffer.from('shared');
  for (let i = 0; i < 16; i++) {
    const args = i % 3 ? [`text ${i}`] : [{ nested: [Buffer.from(`one ${i}`)] }, shared, { again: shared }, bytes()];
    archived.push(args);
    await publish(i % 2 ? a : b, archiveRoom, ...args);
  }
  const joined = await readEverything(b, archiveRoom, archived);
  // The stock client makes four attachments of such a message: the last two of them, and what stands behind each.
  assert.deepEqual(joined.history.map(({ seq }) => seq), [11, 12, 13, 14, 15, 16]);
});

test('what only looks like a placeholder stays what it is', async (t) => {
  oddRoom = newRoom();
  const [a, b] = await pair(t, oddRoom);
  const heard = collect(b, 'msg');
  for (const args of odd)
    await publish(a, oddRoom, ...args);
  await heard.reached(odd.length);
  assert.deepEqual(heard.all.map((args) => plain(args.slice(1, -2))), odd.map(plain));
  await readEverything(b, oddRoom, odd);
});

test('binary survives the router, and a new link replays it', async (t) => {
  const room = newRoom();
  const [a, b] = await pair(t, room);
  const heard = [collect(a, 'msg'), collect(b, 'msg')];
  const sent = [];
  // Published while the router goes: what was not answered goes on with the next one.
  for (let i = 0; i < 50; i++)
    sent.push(publish(i % 2 ? a : b, room, i, Buffer.alloc(1000, i)));
  await stack.kill('router');
  for (let i = 50; i < 60; i++)
    sent.push(publish(i % 2 ? a : b, room, i, Buffer.alloc(1000, i)));
  const answers = await Promise.all(sent);
  assert.deepEqual(answers.map(({ seq }) => seq).sort((x, y) => x - y), answers.map((_, i) => i + 1));
  for (const each of heard) {
    await each.reached(60);
    assert.deepEqual(each.all.map((args) => args.at(-2).seq), answers.map((_, i) => i + 1));
    for (const [, i, data] of each.all)
      assert.deepEqual(plain(data), Buffer.alloc(1000, i));
  }
  await Promise.all([ask(a, 'join', archiveRoom), ask(a, 'join', oddRoom)]);
  await readEverything(a, archiveRoom, archived);
  await readEverything(a, oddRoom, odd);
});

test('a client that sends attachments nobody announced is closed, and comes back', async (t) => {
  const socket = await connect(t, stack.url(0), { reconnection: true });
  const again = within(LIMIT, 'another connection', new Promise((resolve) => {
    socket.once('disconnect', () => socket.once('connect', resolve));
  }));
  socket.io.engine.write(bytes(1, 2, 3));
  await again;
  assert.equal((await ask(socket, 'join', newRoom())).ok, true);
});

test('stops cleanly', async () => {
  assert.deepEqual(await stack.stop(), { code: 0, signal: null });
  const rows = await stack.journal('SELECT count(*) AS count FROM message WHERE attachments IS NOT NULL');
  assert.ok(rows[0].count > 100, JSON.stringify(rows));
});
