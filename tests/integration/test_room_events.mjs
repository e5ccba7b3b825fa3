// The events that the broker itself handles, and its refusals, seen by the stock client.

import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { ask, collect, connect, next, open, settled, LIMIT } from '../support/client.mjs';
import { Stack, wholeFile, within } from '../support/stack.mjs';

// One stack for all of the file; every test has rooms of its own.
const MAX_PAYLOAD = 1_000_000;
const file = wholeFile(after);
let stack;
let rooms = 0;
const newRoom = () => `room ${++rooms}`;

function refused(answer, ...codes) {
  const shown = JSON.stringify(answer).slice(0, 300);
  assert.equal(answer.ok, false, shown);
  assert.ok(codes.includes(answer.error.code), shown);
  assert.equal(typeof answer.error.message, 'string');
  assert.ok(answer.error.message.length > 0);
}

/** Comes back when the last presence event that was collected counts so many members. */
function presenceOf(collected, socket, members) {
  return within(LIMIT, `a presence of ${members}`, new Promise((resolve) => {
    const look = () => {
      const last = collected.all.at(-1);
      if (last && last[0].members === members) {
        socket.off('hubbub:presence', look);
        resolve(last[0]);
      }
    };
    socket.on('hubbub:presence', look);
    look();
  }));
}

test('the stack starts', async () => {
  stack = await Stack.start(file);
});

test('join is idempotent and counts members', async (t) => {
  const room = newRoom();
  const [a, b] = await Promise.all([connect(t, stack.url(0)), connect(t, stack.url(1))]);
  assert.deepEqual(await ask(a, 'join', room), { ok: true, room, seq: 0, members: 1 });
  assert.deepEqual(await ask(b, 'join', { room }), { ok: true, room, seq: 0, members: 2 });
  assert.deepEqual(await ask(b, 'join', room), { ok: true, room, seq: 0, members: 2 });
  assert.deepEqual(await ask(a, 'presence', room), { ok: true, room, members: 2 });
  assert.deepEqual(await ask(b, 'leave', room), { ok: true, room });
  assert.deepEqual(await ask(a, 'presence', room), { ok: true, room, members: 1 });
});

test('who left gets nothing more and may not publish', async (t) => {
  const room = newRoom();
  const [a, b] = await Promise.all([connect(t, stack.url(0)), connect(t, stack.url(1))]);
  await Promise.all([ask(a, 'join', room), ask(b, 'join', room)]);
  const heard = collect(b, 'msg');
  await ask(a, 'msg', { room, body: 'one' });
  await heard.reached(1);
  await ask(b, 'leave', room);
  await ask(a, 'msg', { room, body: 'two' });
  refused(await ask(b, 'msg', { room, body: 'three' }), 'not_joined');
  assert.deepEqual(heard.all.map(([message]) => message.body), ['one']);
});

test('history on entering and page by page, both ways', async (t) => {
  const room = newRoom();
  const a = await connect(t, stack.url(0));
  const b = await connect(t, stack.url(1));
  await ask(a, 'join', room);
  const answers = [];
  for (let i = 1; i <= 230; i++)
    answers.push(ask(a, 'msg', { room, body: `line ${i}` }));
  await Promise.all(answers);
  const seqs = (messages) => messages.map((message) => message.seq);
  const range = (first, last) => Array.from({ length: last - first + 1 }, (_, index) => first + index);

  refused(await ask(b, 'history', { room }), 'not_joined');
  const entered = await ask(b, 'join', { room, history: 3 });
  assert.deepEqual(seqs(entered.history), [228, 229, 230]);
  assert.equal(entered.seq, 230);
  assert.equal(entered.more, true);
  const [message] = entered.history.slice(-1);
  assert.deepEqual(Object.keys(message).sort(), ['args', 'at', 'event', 'from', 'id', 'seq']);
  assert.equal(message.event, 'msg');
  assert.equal(message.from, `anon:${a.id}`);
  assert.deepEqual(message.args, [{ room, body: 'line 230' }]);
  assert.equal(message.id, (await answers[229]).id);
  assert.equal(message.at, (await answers[229]).at);

  const page = async (bounds) => {
    const answer = await ask(b, 'history', { room, ...bounds });
    assert.equal(answer.ok, true, JSON.stringify(answer).slice(0, 300));
    assert.equal(answer.room, room);
    return { seqs: seqs(answer.messages), more: answer.more };
  };
  assert.deepEqual(await page({}), { seqs: range(181, 230), more: true });
  assert.deepEqual(await page({ limit: 200 }), { seqs: range(31, 230), more: true });
  assert.deepEqual(await page({ before: 31, limit: 200 }), { seqs: range(1, 30), more: false });
  assert.deepEqual(await page({ before: 4 }), { seqs: [1, 2, 3], more: false });
  assert.deepEqual(await page({ before: 1 }), { seqs: [], more: false });
  assert.deepEqual(await page({ after: 228 }), { seqs: [229, 230], more: false });
  assert.deepEqual(await page({ after: 100, limit: 2 }), { seqs: [101, 102], more: true });
  assert.deepEqual(await page({ after: 230 }), { seqs: [], more: false });
  assert.deepEqual(await page({ after: 0, limit: 3 }), { seqs: [1, 2, 3], more: true });
  refused(await ask(b, 'history', { room, before: 10, after: 2 }), 'bad_request');
  const greedy = await ask(b, 'history', { room, limit: 1000 });
  assert.ok(greedy.ok ? greedy.messages.length === 200 : greedy.error.code === 'bad_request', 'at most 200 a page');
  refused(await ask(b, 'history', { room, limit: 'many' }), 'bad_request');

  const empty = newRoom();
  assert.deepEqual(await ask(b, 'join', { room: empty, history: 50 }),
    { ok: true, room: empty, seq: 0, members: 1, history: [], more: false });
});

test('presence events come when asked for, and count', async (t) => {
  const room = newRoom();
  const [watcher, blind] = await Promise.all([connect(t, stack.url(0)), connect(t, stack.url(1))]);
  const unasked = collect(blind, 'hubbub:presence');
  const seen = collect(watcher, 'hubbub:presence');
  await ask(blind, 'join', room);
  await ask(watcher, 'join', { room, presence: true });
  const others = await Promise.all([0, 1, 0].map((gateway) => connect(t, stack.url(gateway))));
  await Promise.all(others.map((socket) => ask(socket, 'join', room)));
  assert.deepEqual(await presenceOf(seen, watcher, 5), { room, members: 5 });
  others[0].disconnect();
  await ask(others[1], 'leave', room);
  assert.deepEqual(await presenceOf(seen, watcher, 3), { room, members: 3 });
  await settled(blind, room);
  assert.equal(unasked.all.length, 0);
});

test('typing goes to the others, is never stored and takes no number', async (t) => {
  const room = newRoom();
  const [a, b, c] = await Promise.all([0, 1, 0].map((gateway) => connect(t, stack.url(gateway))));
  await Promise.all([a, b, c].map((socket) => ask(socket, 'join', room)));
  const own = collect(a, 'typing');
  const [toB, toC] = [collect(b, 'typing'), collect(c, 'typing')];
  a.emit('typing', { room, name: 'Ann' });
  assert.deepEqual(await ask(a, 'typing', { room, name: 'Ann' }), { ok: true });
  await Promise.all([toB.reached(2), toC.reached(2)]);
  const [argument, meta, offset] = toB.all[0];
  assert.deepEqual(argument, { room, name: 'Ann' });
  assert.equal(meta.room, room);
  assert.equal(meta.from, `anon:${a.id}`);
  assert.equal(meta.seq, undefined);
  assert.match(offset, /^[\w-]+\.\d+$/);
  await settled(a, room);
  assert.equal(own.all.length, 0);
  assert.equal((await ask(a, 'msg', { room, body: 'after' })).seq, 1);
  assert.equal((await ask(a, 'history', { room })).messages.length, 1);
});

test('a retry with the same id counts once, also on the other gateway', async (t) => {
  const room = newRoom();
  const [a, b] = await Promise.all([connect(t, stack.url(0)), connect(t, stack.url(1))]);
  await Promise.all([ask(a, 'join', room), ask(b, 'join', room)]);
  const heard = collect(a, 'msg');
  const message = { room, id: 'only-once-1', body: 'first' };
  const first = await ask(a, 'msg', message);
  assert.equal(first.ok, true);
  assert.deepEqual(await ask(a, 'msg', message), first);
  assert.deepEqual(await ask(b, 'msg', { ...message, body: 'other text' }), first);
  assert.equal((await ask(b, 'msg', { room, id: 'only-once-2', body: 'last' })).seq, 2);
  await heard.reached(2);
  assert.deepEqual(heard.all.map(([got]) => got.body), ['first', 'last']);
});

test('refusals come in the acknowledgement, and the connection lives', async (t) => {
  const room = newRoom();
  const a = await connect(t, stack.url(0));
  await ask(a, 'join', room);
  refused(await ask(a, 'msg', { room: newRoom(), body: 'x' }), 'not_joined');
  refused(await ask(a, 'typing', { room: newRoom() }), 'not_joined');
  refused(await ask(a, 'history', { room: newRoom() }), 'not_joined');
  refused(await ask(a, 'no such event', { room }), 'unknown_event');
  refused(await ask(a, 'msg', { body: 'no room' }), 'bad_room');
  refused(await ask(a, 'msg', { room: 7, body: 'x' }), 'bad_room');
  refused(await ask(a, 'msg'), 'bad_room');
  refused(await ask(a, 'msg', { room, id: 'short', body: 'x' }), 'bad_request');
  refused(await ask(a, 'msg', { room, id: 'x'.repeat(65), body: 'x' }), 'bad_request');
  refused(await ask(a, 'msg', { room, id: 12345678, body: 'x' }), 'bad_request');
  refused(await ask(a, 'join'), 'bad_request', 'bad_room');
  refused(await ask(a, 'join', { room, history: -1 }), 'bad_request');
  refused(await ask(a, 'join', { room, history: 'all' }), 'bad_request');
  for (const name of ['', 'a\u0000b', 'line\nbreak', 'x'.repeat(256), 'é'.repeat(128), '\ud800'])
    refused(await ask(a, 'join', name), 'bad_room');
  for (const name of ['x'.repeat(255), 'é'.repeat(127) + 'x', '😀 " \\ / <b>']) {
    const answer = await ask(a, 'join', name);
    assert.equal(answer.ok, true, JSON.stringify(answer));
    assert.equal(answer.room, name);
    const heard = next(a, 'msg');
    assert.equal((await ask(a, 'msg', { room: name, body: 'here' })).seq, 1);
    assert.equal((await heard)[1].room, name);
  }
  assert.equal(a.connected, true);
});

test('JSON at the limit of its depth passes, beyond it is too_deep', async (t) => {
  const room = newRoom();
  const a = await connect(t, stack.url(0));
  await ask(a, 'join', room);
  const nested = (depth) => {
    let value = 1;
    for (let i = 0; i < depth; i++)
      value = [value];
    return value;
  };
  const fine = nested(100);
  const heard = next(a, 'msg');
  assert.equal((await ask(a, 'msg', { room, deep: fine })).ok, true);
  assert.deepEqual((await heard)[0].deep, fine);
  refused(await ask(a, 'msg', { room, deep: nested(200) }), 'too_deep');
  assert.equal((await ask(a, 'msg', { room, body: 'still here' })).seq, 2);
});

test('a refusal without an acknowledgement comes as hubbub:error', async (t) => {
  const room = newRoom();
  const a = await connect(t, stack.url(1));
  const told = next(a, 'hubbub:error');
  a.emit('msg', { room, body: 'not joined' });
  const [what] = await told;
  assert.equal(what.event, 'msg');
  assert.equal(what.error.code, 'not_joined');
  assert.equal(typeof what.error.message, 'string');
  assert.equal((await ask(a, 'join', room)).seq, 0);
});

test('auth.join joins before the connection is answered', async (t) => {
  const [one, two] = [newRoom(), newRoom()];
  const socket = open(t, stack.url(0), { auth: { join: [one, two] } });
  // What was queued before the connection is sent with it, and meets a room that is joined.
  const early = ask(socket, 'msg', { room: two, body: 'early' });
  const heard = next(socket, 'msg');
  assert.equal((await early).seq, 1);
  assert.equal((await heard)[1].room, two);
  assert.deepEqual(await ask(socket, 'presence', one), { ok: true, room: one, members: 1 });
});

test('rooms are kept apart', async (t) => {
  const [one, two] = [newRoom(), newRoom()];
  const [a, b, both] = await Promise.all([0, 1, 1].map((gateway) => connect(t, stack.url(gateway))));
  await Promise.all([ask(a, 'join', one), ask(b, 'join', two), ask(both, 'join', one), ask(both, 'join', two)]);
  const heard = [a, b, both].map((socket) => collect(socket, 'msg'));
  await ask(a, 'msg', { room: one, body: 'to one' });
  await ask(b, 'msg', { room: two, body: 'to two' });
  await heard[2].reached(2);
  await Promise.all([settled(a, one), settled(b, two)]);
  assert.deepEqual(heard.map(({ all }) => all.map(([message]) => message.body)),
    [['to one'], ['to two'], ['to one', 'to two']]);
  assert.equal(heard[0].all[0][1].seq, 1);
  assert.equal(heard[1].all[0][1].seq, 1);
});

test('an unknown namespace is refused, and the main one works beside it', async (t) => {
  const main = await connect(t, stack.url(0), { forceNew: false });
  const other = main.io.socket('/nowhere');
  const error = await within(LIMIT, 'connect_error', new Promise((resolve) => {
    other.once('connect_error', resolve);
    other.connect();
  }));
  assert.equal(error.message, 'Invalid namespace');
  assert.equal((await ask(main, 'join', newRoom())).ok, true);
});

test('disconnect leaves the rooms, and the client may come again', async (t) => {
  const room = newRoom();
  const [a, b] = await Promise.all([connect(t, stack.url(0)), connect(t, stack.url(1))]);
  const seen = collect(b, 'hubbub:presence');
  await ask(b, 'join', { room, presence: true });
  await ask(a, 'join', room);
  await presenceOf(seen, b, 2);
  const sid = a.id;
  a.disconnect();
  await presenceOf(seen, b, 1);
  const again = next(a, 'connect');
  a.connect();
  await again;
  assert.notEqual(a.id, sid);
  assert.equal((await ask(a, 'join', room)).members, 2);
});

test('a message at maxPayload passes, a larger one closes with 1009', async (t) => {
  const room = newRoom();
  const a = await connect(t, stack.url(0));
  const b = await connect(t, stack.url(1));
  await Promise.all([ask(a, 'join', room), ask(b, 'join', room)]);
  const heard = next(b, 'msg');
  const body = 'x'.repeat(MAX_PAYLOAD - 200);
  assert.equal((await ask(a, 'msg', { room, body })).ok, true);
  assert.equal((await heard)[0].body.length, body.length);
  const closed = within(LIMIT, 'the disconnect', new Promise((resolve) => {
    a.once('disconnect', (reason, details) => resolve({ reason, details }));
  }));
  a.emit('msg', { room, body: 'x'.repeat(MAX_PAYLOAD + 1) });
  const { details } = await closed;
  assert.equal(details.context.code, 1009);
  assert.equal((await ask(b, 'msg', { room, body: 'on it goes' })).seq, 2);
});

test('stops cleanly', async () => {
  assert.deepEqual(await stack.stop(), { code: 0, signal: null });
});
