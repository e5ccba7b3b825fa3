// What a client told at its handshake is kept with its session, and shown to whoever asks.

import assert from 'node:assert/strict';
import test from 'node:test';
import { overTls } from '../support/certificate.mjs';
import { ask, connect } from '../support/client.mjs';
import { Stack, hubbub, run } from '../support/stack.mjs';

const FAILURE = 70;

/** What `hubbub session` says about it: {sid, namespace, from, gateway, rooms, handshake}. */
async function show(stack, sid) {
  const { code, stdout, stderr } = await run(hubbub, ['session', '--json', '--stats', stack.stats, sid]);
  assert.deepEqual([code, stderr], [0, '']);
  return JSON.parse(stdout);
}

test('query, auth and headers of a stock client', async (t) => {
  const stack = await Stack.start(t);
  const before = Date.now();
  const auth = { token: 'secret "1"', nested: { list: [1, null, 'é😀'] } };
  const socket = await connect(t, stack.url(0), {
    query: { name: 'Ann & Bob', 'ü': '1+1=2', empty: '' },
    auth,
    extraHeaders: { Authorization: 'Bearer abc', 'X-Custom': 'a, b', Cookie: 'session=1; theme=dark' },
  });
  await ask(socket, 'join', 'lobby');
  const shown = await show(stack, socket.id);
  assert.equal(shown.sid, socket.id);
  assert.equal(shown.namespace, '/');
  assert.equal(shown.from, `anon:${socket.id}`);
  assert.equal(shown.gateway, 'gateway-1');
  assert.deepEqual(shown.rooms, ['lobby']);

  const { handshake } = shown;
  assert.deepEqual(Object.keys(handshake), ['headers', 'time', 'issued', 'address', 'xdomain', 'secure', 'url', 'query', 'auth']);
  assert.equal(handshake.headers.host, `127.0.0.1:${stack.ports[0]}`);
  assert.equal(handshake.headers.authorization, 'Bearer abc');
  assert.equal(handshake.headers['x-custom'], 'a, b');
  assert.equal(handshake.headers.cookie, 'session=1; theme=dark');
  for (const name of ['connection', 'upgrade', 'sec-websocket-key', 'sec-websocket-version', 'sec-websocket-extensions'])
    assert.ok(!(name in handshake.headers), name);
  assert.deepEqual(handshake.query,
    { name: 'Ann & Bob', 'ü': '1+1=2', empty: '', EIO: '4', transport: 'websocket' });
  assert.ok(handshake.url.startsWith('/socket.io/?'));
  assert.ok(handshake.url.includes('name=Ann%20%26%20Bob'));
  assert.deepEqual(handshake.auth, auth);
  assert.equal(handshake.address, '127.0.0.1');
  assert.equal(handshake.secure, overTls);
  assert.ok(handshake.issued >= before && handshake.issued <= Date.now());
  assert.equal(new Date(handshake.time).getTime(), handshake.issued);
  assert.equal(new Date(handshake.issued).toISOString(), handshake.time);

  // None of it is ever logged.
  assert.deepEqual(await stack.stop(), { code: 0, signal: null });
  for (const secret of ['secret', 'Bearer', 'session=1', 'Ann'])
    assert.ok(!(stack.output + stack.errors).includes(secret), secret);
});

test('each socket of a connection has its own auth, and the same handshake', async (t) => {
  const stack = await Stack.start(t);
  const main = await connect(t, stack.url(1));
  const other = await connect(t, stack.url(1), { auth: (callback) => callback({ who: 'other' }) });
  assert.deepEqual((await show(stack, main.id)).handshake.auth, {});
  const shown = await show(stack, other.id);
  assert.deepEqual(shown.handshake.auth, { who: 'other' });
  assert.equal(shown.gateway, 'gateway-2');
});

test('it stays with the session when the router starts again', async (t) => {
  const stack = await Stack.start(t);
  const socket = await connect(t, stack.url(0), { auth: { token: 't' }, query: { q: '1' } });
  await ask(socket, 'join', 'lobby');
  await stack.kill('router');
  await ask(socket, 'presence', 'lobby'); // answered once the gateway is linked again
  const { handshake, rooms } = await show(stack, socket.id);
  assert.deepEqual([handshake.auth, handshake.query.q, rooms], [{ token: 't' }, '1', ['lobby']]);
});

test('sockets that are not there', async (t) => {
  const stack = await Stack.start(t);
  const socket = await connect(t, stack.url(0));
  const other = await connect(t, stack.url(0));
  const gone = socket.id;
  socket.disconnect();
  for (const sid of [gone, 'x'.repeat(20)]) {
    let result;
    do { // until the router has heard of the disconnect
      result = await run(hubbub, ['session', '--stats', stack.stats, sid]);
    } while (result.code === 0);
    assert.deepEqual(result, { code: FAILURE, stdout: '', stderr: 'hubbub: no such session\n' });
  }
  assert.equal((await show(stack, other.id)).sid, other.id);
});

test('an auth payload over its limit is refused, and none is kept beyond it', async (t) => {
  const stack = await Stack.start(t);
  const large = { text: 'x'.repeat(33000) };
  await assert.rejects(connect(t, stack.url(0), { auth: large }), { message: 'The auth payload is too large' });
  const fits = { text: 'x'.repeat(32000) };
  const socket = await connect(t, stack.url(0), { auth: fits });
  assert.deepEqual((await show(stack, socket.id)).handshake.auth, fits);
});
