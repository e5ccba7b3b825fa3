// The Server API with stock clients: each call, over both transports and across gateways.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Backend } from '../support/backend.mjs';
import { LIMIT, ask, collect, connect, next, open } from '../support/client.mjs';
import { Stack, temporaryFolder, wholeFile, within } from '../support/stack.mjs';

const RULES = `
namespaces = ( { name = "/"; events = (
  { name = "say"; room = "$.room"; archive = true; ask = true; meta = true; } ); } );
`;

const file = wholeFile(after);
let stack, backend;

before(async () => {
  const config = path.join(await temporaryFolder(file), 'backends.conf');
  await writeFile(config, RULES);
  stack = await Stack.start(file, { args: ['--config', config] });
  backend = await Backend.start(file, stack, 'tests/support/driven-backend', 'one');
});

const call = (socket, ...args) => ask(socket, 'call', ...args);
const fine = async (socket, ...args) => {
  const answer = await call(socket, ...args);
  assert.equal(answer.error, '', JSON.stringify(answer));
  return answer;
};

/** Without the offset that ends an event on a namespace with recovery. */
const bare = (args) => args.slice(0, -1);

/** How often each of the sockets has heard what act() sends: an answer stands behind whatever was sent before. */
async function heard(sockets, act) {
  const collected = sockets.map((socket) => collect(socket, 'heard'));
  await act();
  await Promise.all(sockets.map((socket) => fine(socket, 'self')));
  const counts = collected.map(({ all }) => all.length - 1); // its own last one stands behind
  for (const socket of sockets)
    socket.off('heard');
  return counts;
}

for (const transport of ['websocket', 'polling']) {
  const options = { transports: [transport] };
  const member = (t, gateway, more = {}) => connect(t, stack.url(gateway), { ...options, ...more });

  test(`${transport}: a connection with its handshake, and its end`, async (t) => {
    const socket = await member(t, 0, { auth: { token: 'x' }, query: { q: '1' } });
    const told = await backend.told('connection', socket.id);
    assert.equal(told.arrival, 'new');
    assert.equal(told.from, `anon:${socket.id}`);
    assert.equal(told.rooms, 1);
    assert.match(told.address, /127\.0\.0\.1$/);
    assert.match(told.url, /[?&]q=1/);
    const { id } = socket;
    socket.disconnect();
    assert.equal((await backend.told('disconnect', id)).what, 'client namespace disconnect');
    const other = await member(t, 1);
    const otherId = other.id;
    other.io.engine.close();
    assert.match((await backend.told('disconnect', otherId)).what, /^transport (close|error)$/);
  });

  test(`${transport}: refused and accepted, also later`, async (t) => {
    const refused = open(t, stack.url(1), { ...options, auth: { refuse: 'not you' } });
    const error = await within(LIMIT, 'connect_error', new Promise((resolve) => refused.once('connect_error', resolve)));
    assert.equal(error.message, 'not you');
    assert.deepEqual(error.data, { by: 'the backend' });
    const waited = await member(t, 0, { auth: { wait: 200 } });
    assert.equal((await backend.told('connection', waited.id)).arrival, 'new');
  });

  test(`${transport}: who hears what`, async (t) => {
    const all = await Promise.all([0, 1, 0, 1].map((gateway) => member(t, gateway)));
    const [a, b, c, d] = all;
    const [r, q] = [`${transport}-r`, `${transport}-q`];
    for (const socket of [a, b, c])
      await fine(socket, 'join', r);
    for (const socket of [c, d])
      await fine(socket, 'join', q);
    assert.deepEqual(await heard(all, () => fine(a, 'self')), [1, 0, 0, 0]);
    assert.deepEqual(await heard(all, () => fine(a, 'emit')), [1, 0, 0, 0]);
    assert.deepEqual(await heard(all, () => fine(a, 'others', r)), [0, 1, 1, 0]);
    assert.deepEqual(await heard(all, () => fine(a, 'room', r)), [1, 1, 1, 0]);
    assert.deepEqual(await heard(all, () => fine(a, 'room', d.id)), [0, 0, 0, 1]);
    assert.deepEqual(await heard(all, () => fine(a, 'rooms', r, q)), [1, 1, 1, 1]);
    assert.deepEqual(await heard(all, () => fine(a, 'except', r, q)), [1, 1, 0, 0]);
    assert.deepEqual(await heard(all, () => fine(a, 'except', r, b.id)), [1, 0, 1, 0]);
    assert.deepEqual(await heard(all, () => fine(a, 'broadcast')), [0, 1, 1, 1]);
    assert.deepEqual(await heard(all, () => fine(a, 'everyone')), [1, 1, 1, 1]);
    let counts;
    do // who is between two polls misses it
      counts = await heard(all, () => fine(a, 'volatile', r));
    while (transport === 'polling' && counts.slice(0, 3).includes(0));
    assert.deepEqual(counts, [1, 1, 1, 0]);
    await fine(b, 'leave', r);
    assert.equal((await backend.told('leave', b.id)).what, r);
    assert.deepEqual(await heard(all, () => fine(a, 'room', r)), [1, 0, 1, 0]);
    assert.deepEqual(await heard(all, () => fine(d, 'join-and-room', r)), [1, 0, 1, 1]);
    assert.equal((await backend.until('the join', (line) => line.at === 'join' && line.id === d.id && line.what === r)).what, r);
    assert.deepEqual(await heard(all, () => fine(d, 'leave-and-room', r)), [1, 0, 1, 0]);
  });

  test(`${transport}: archived, with an id and with meta`, async (t) => {
    const room = `${transport}-archived`;
    const [a, b] = await Promise.all([member(t, 0), member(t, 1)]);
    await fine(a, 'join', room);
    const arrives = next(a, 'heard');
    const first = await fine(b, 'archived', room, `${transport}-id-1`);
    assert.deepEqual([first.seq, first.seqs, first.id], [1, 1, `${transport}-id-1`]);
    assert.deepEqual(bare(await arrives), [1]);
    const again = await fine(b, 'archived', room, `${transport}-id-1`);
    assert.deepEqual(again, first);
    const later = collect(a, 'heard');
    assert.equal((await fine(b, 'archived', room)).seq, 2);
    await fine(b, 'meta', room);
    await later.reached(2);
    const [, two, meta] = later.all.at(-1);
    assert.equal(two, 'two');
    assert.equal(meta.room, room);
    const history = await ask(a, 'history', { room });
    assert.deepEqual(history.messages.map(({ seq, event }) => [seq, event]), [[1, 'heard'], [2, 'heard']]);
  });

  test(`${transport}: binary both ways`, async (t) => {
    const socket = await member(t, 0);
    const arrives = next(socket, 'heard');
    await fine(socket, 'binary', 'x', Buffer.from([1, 2, 3]));
    const [more, sent] = await arrives;
    assert.deepEqual([...Buffer.from(more)], [...Buffer.from('\0more')]);
    assert.deepEqual([...Buffer.from(sent)], [1, 2, 3]);
    assert.deepEqual([...Buffer.from(await call(socket, 'answer-binary', Buffer.from([4, 5])))], [4, 5]);
  });

  test(`${transport}: answers at once, later, from a thread, and none`, async (t) => {
    const socket = await member(t, 1);
    assert.equal(await call(socket, 'which'), 'one');
    assert.equal(await call(socket, 'later', '100'), 'late');
    assert.equal(await call(socket, 'thread'), 'late');
    assert.equal((await call(socket, 'no such call')).error, 'there is no such thing, or no more');
    await assert.rejects(socket.timeout(300).emitWithAck('call', 'nothing'));
    socket.emit('call', 'done', () => assert.fail('it was done with, without an acknowledgement'));
    assert.equal((await backend.until('done', (line) => /^(not )?done$/.test(line.at) && line.id === socket.id)).at, 'done');
    const own = await call(socket, 'own', socket.id);
    assert.ok(own.count >= 1 && own.named === 1, JSON.stringify(own));
    socket.emit('something', 1);
    assert.equal((await backend.told('event', socket.id)).what, 'something');
  });

  test(`${transport}: questions to one and to many`, async (t) => {
    const room = `${transport}-asked`;
    const [a, b, c] = await Promise.all([0, 1, 1].map((gateway) => member(t, gateway)));
    for (const socket of [a, b, c])
      await fine(socket, 'join', room);
    a.on('question', (one, ack) => ack(one + 1, Buffer.from([7])));
    b.on('question', (one, ack) => ack('b'));
    const single = await call(a, 'ask');
    assert.deepEqual(single, { error: '', replies: 1, first: '2,{"_placeholder":true,"num":0}', attachments: 1, missing: 0, who: '' });
    let many;
    for (const wait of ['1000', '20000']) // whom the machine kept waiting has answered by then
      if (!many || many.missing > 1)
        many = await call(a, 'ask', room, wait);
    assert.deepEqual([many.error, many.replies, many.missing, many.who], ['no answer in time', 2, 1, c.id]);
    c.on('question', (one, ack) => ack());
    const all = await call(a, 'ask', room);
    assert.deepEqual([all.error, all.replies, all.missing], ['', 3, 0]);
    const nobody = await call(a, 'ask', `${room}-empty`);
    assert.deepEqual([nobody.error, nobody.replies, nobody.missing], ['', 0, 0]);
  });

  test(`${transport}: many sockets at once`, async (t) => {
    const [from, to] = [`${transport}-from`, `${transport}-to`];
    const [a, b, c] = await Promise.all([0, 1, 0].map((gateway) => member(t, gateway)));
    for (const socket of [a, b])
      await fine(socket, 'join', from);
    assert.equal(await call(b, 'data', '{"name":"b"}'), '{"name":"b"}');
    await fine(c, 'sockets-join', from, to);
    assert.equal((await backend.until('the join', (line) => line.at === 'join' && line.id === b.id && line.what === to)).what, to);
    const found = (await call(c, 'fetch', to)).sort((one, other) => (one.id < other.id ? -1 : 1));
    assert.deepEqual(found.map(({ id }) => id), [a.id, b.id].sort());
    assert.equal(found.find(({ id }) => id === b.id).data, '{"name":"b"}');
    assert.ok(found.every(({ address }) => /127\.0\.0\.1$/.test(address)));
    assert.ok((await call(c, 'fetch')).length >= 3);
    await fine(c, 'sockets-leave', from, to);
    assert.deepEqual(await call(c, 'fetch', to), []);
    const ends = [a, b].map((socket) => within(LIMIT, 'disconnect', new Promise((resolve) => socket.once('disconnect', resolve))));
    const ids = [a.id, b.id];
    await fine(c, 'sockets-disconnect', from);
    assert.deepEqual(await Promise.all(ends), ['io server disconnect', 'io server disconnect']);
    for (const id of ids)
      assert.equal((await backend.told('disconnect', id)).what, 'server namespace disconnect');
  });

  test(`${transport}: events that are judged`, async (t) => {
    const room = `${transport}-judged`;
    const [a, b] = await Promise.all([member(t, 0), member(t, 1)]);
    const said = collect(b, 'say');
    for (const socket of [a, b])
      assert.equal((await ask(socket, 'join', room)).ok, true);
    assert.equal((await ask(a, 'say', { room, text: 'pass' })).seq, 1);
    assert.equal((await ask(a, 'say', { room, text: 'change' })).seq, 2);
    const refused = await ask(a, 'say', { room, text: 'refuse' });
    assert.deepEqual(refused, { ok: false, error: { code: 'rude', message: 'mind your words' } });
    assert.equal((await ask(a, 'say', { room, text: 'later' })).seq, 3);
    await said.reached(3);
    assert.deepEqual(said.all.map(([{ text }]) => text), ['pass', '***', 'later']);
  });
}

test('a client that recovers is a connection marked so, with its rooms and data', async (t) => {
  const socket = await connect(t, stack.url(0), { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 100 });
  const { id } = socket;
  await fine(socket, 'join', 'kept');
  assert.equal(await call(socket, 'data', '[1]'), '[1]');
  await fine(socket, 'self'); // an offset
  const start = backend.lines.length;
  const back = within(LIMIT, 'reconnect', new Promise((resolve) => socket.once('connect', resolve)));
  socket.io.engine.close();
  await back;
  assert.equal(socket.recovered, true);
  const told = await backend.told('connection', id, start);
  assert.deepEqual([told.arrival, told.rooms, told.second, told.data], ['recovered', 2, 'kept', '[1]']);
});

test('it ends cleanly, and its clients wait for the next one', async (t) => {
  const socket = await connect(t, stack.url(1));
  const other = await connect(t, stack.url(0));
  assert.equal(await call(socket, 'data', '"kept"'), '"kept"');
  backend.kill('SIGTERM');
  assert.deepEqual(await within(LIMIT, 'the end', backend.exited), { code: 0, signal: null });
  assert.equal(backend.errors.includes('ERROR'), false, backend.errors); // of a sanitizer
  backend = await Backend.start(file, stack, 'tests/support/driven-backend', 'two', 'poll');
  const told = await backend.told('connection', socket.id);
  assert.deepEqual([told.arrival, told.data], ['handed', '"kept"']);
  assert.equal(await call(socket, 'which'), 'two');
  assert.equal(await call(other, 'which'), 'two');
  const own = await call(socket, 'own', other.id);
  assert.ok(own.count >= 2 && own.named === 1, JSON.stringify(own));
  assert.equal(socket.connected && other.connected, true);
  backend.kill('SIGTERM');
  assert.deepEqual(await within(LIMIT, 'the end', backend.exited), { code: 0, signal: null });
  assert.equal(backend.errors.includes('ERROR'), false, backend.errors);
});
