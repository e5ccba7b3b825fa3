// examples/express: pages and logins stay where they are, the chat is beside them, and the app has its say in it.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import { startHaproxy } from '../support/balancer.mjs';
import { ask, collect, connect, next, open, settled } from '../support/client.mjs';
import { folder, logIn, missing, post, startExample } from '../support/express.mjs';
import { freePorts, undo } from '../support/stack.mjs';

const ROOM = 'shop';
const WAYS = {
  'polling': { transports: ['polling'] },
  'websocket': { transports: ['websocket'] },
  'the default options': { transports: ['polling', 'websocket'] },
};
const skip = missing;

const shown = (events) => events.all.map(([first]) => first);

test('pages are those of express, and a login there opens the way to the chat', { skip }, async (t) => {
  const { url } = await startExample(t);
  const page = async (cookie = '') => (await fetch(`${url}/`, { headers: { cookie } })).text();
  assert.match(await page(), /action="\/login"/);
  for (const [name, options] of Object.entries(WAYS)) {
    const [error] = await next(open(t, url, options), 'connect_error');
    assert.equal(error.type, 'TransportError', name);
  }
  assert.equal((await fetch(`${url}/socket.io/socket.io.js`)).status, 401);
  for (const sideways of ['//socket.io/socket.io.js', '/Socket.io/socket.io.js', '//x/socket.io/socket.io.js'])
    assert.equal((await fetch(`${url}${sideways}`)).status, 404, sideways);
  assert.equal((await fetch(`${url}/session`)).status, 401);
  assert.equal((await post(`${url}/login`, { name: '' })).status, 400);
  assert.equal((await fetch(`${url}/login`, { method: 'POST' })).status, 400);

  const cookie = await logIn(url, 'Ann <b>');
  const headers = { cookie };
  assert.match(await page(cookie), /Ann &#60;b&#62;/);
  assert.equal((await fetch(`${url}/session`, { headers })).status, 204);
  assert.match(await (await fetch(`${url}/socket.io/socket.io.js`, { headers })).text(), /Socket\.IO v/);
  await connect(t, url, { extraHeaders: headers });

  assert.equal((await post(`${url}/logout`, {}, cookie)).status, 303);
  assert.match(await page(cookie), /action="\/login"/);
  await next(open(t, url, { extraHeaders: headers }), 'connect_error');
});

for (const [name, options] of Object.entries(WAYS)) {
  test(`the chat works through express, with ${name}`, { skip }, async (t) => {
    const { stack, url } = await startExample(t);
    const ann = await connect(t, url, { ...options, extraHeaders: { cookie: await logIn(url, 'Ann') } });
    const bob = await connect(t, stack.url(1));
    const said = [ann, bob].map((client) => collect(client, 'msg'));
    for (const client of [ann, bob])
      assert.equal((await ask(client, 'join', ROOM)).ok, true);
    if (options.transports.length > 1 && ann.io.engine.transport.name === 'polling')
      await next(ann.io.engine, 'upgrade');
    const long = 'a'.repeat(100_000);
    for (const [number, client] of [ann, bob].entries())
      assert.equal((await ask(client, 'msg', { room: ROOM, body: long })).seq, number + 1);
    for (const client of [ann, bob])
      await settled(client, ROOM);
    for (const events of said)
      assert.deepEqual(events.all.map(([{ body }, { seq }]) => [body.length, seq]), [[long.length, 1], [long.length, 2]]);
    assert.equal(ann.io.engine.transport.name, options.transports.at(-1));
  });
}

/** A way to `port` that loses the answer to the first request for each of these events; its own port, and what it lost. */
async function forgetful(t, port, events) {
  const lost = [];
  const server = http.createServer(async (request, response) => {
    const body = (await request.toArray()).join('');
    const answer = await fetch(`http://127.0.0.1:${port}${request.url}`, { method: request.method, headers: request.headers, body });
    const text = await answer.text();
    const { event } = JSON.parse(body);
    if (events.includes(event) && !lost.includes(event)) {
      assert.equal(answer.status, 200, text);
      lost.push(event);
      request.socket.destroy();
    } else {
      response.writeHead(answer.status).end(text);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  undo(t, () => {
    server.closeAllConnections();
    server.close();
  });
  return { port: server.address().port, lost };
}

test('what is posted in a form comes to the room once, also over a lost answer', { skip }, async (t) => {
  let way;
  const { stack, url } = await startExample(t, {
    between: async (port) => {
      way = await forgetful(t, port, ['order']);
      return way.port;
    },
  });
  const bob = await connect(t, stack.url(1));
  await ask(bob, 'join', ROOM);
  const [logins, orders] = ['login', 'order'].map((event) => collect(bob, event));
  const cookie = await logIn(url, 'Ann');
  await logins.reached(1);
  const page = await (await fetch(`${url}/`, { headers: { cookie } })).text();
  const order = /name="order" value="([^"]+)"/.exec(page)[1];

  assert.equal((await post(`${url}/order`, { order, item: 'tea' }, cookie)).status, 303);
  assert.deepEqual(way.lost, ['order']);
  assert.equal((await post(`${url}/order`, { order, item: 'tea' }, cookie)).status, 303);
  assert.equal((await post(`${url}/order`, { order: randomUUID(), item: 'milk' }, cookie)).status, 303);
  // Neither from nobody, nor nonsense, nor from a client of the room.
  assert.equal((await post(`${url}/order`, { order: randomUUID(), item: 'gold' })).status, 303);
  assert.equal((await post(`${url}/order`, { order: 'x', item: 'gold' }, cookie)).status, 400);
  assert.equal((await post(`${url}/order`, { order: randomUUID() }, cookie)).status, 400);
  assert.equal((await ask(bob, 'order', { by: 'Ann', item: 'gold' })).error.code, 'unknown_event');

  await settled(bob, ROOM);
  const expected = [{ by: 'Ann', item: 'tea' }, { by: 'Ann', item: 'milk' }];
  assert.deepEqual(shown(orders), expected);
  assert.deepEqual(shown(logins), [{ name: 'Ann' }]);
  const { messages } = await ask(bob, 'history', { room: ROOM });
  assert.deepEqual(messages.map(({ event, args, id }) => [event, args[0], id.slice(0, 6)]), expected.map((each) => ['order', each, 'order-']));
});

test('HAProxy leads to both with the configuration that is there', { skip }, async (t) => {
  const { stack, port } = await startExample(t);
  const [web] = await freePorts(1);
  const address = (each) => `127.0.0.1:${each}`;
  const url = await startHaproxy(t, path.join(folder, 'haproxy.cfg'), web, {
    WEB: address(web), EXPRESS: address(port), GATEWAY1: address(stack.ports[0]), GATEWAY2: address(stack.ports[1]),
  });
  const cookie = await logIn(url, 'Ann');
  assert.match(await (await fetch(`${url}/`, { headers: { cookie } })).text(), /Logged in as/);
  for (const [name, options] of Object.entries(WAYS)) {
    const client = await connect(t, url, options);
    assert.equal((await ask(client, 'join', ROOM)).ok, true, name);
  }
});
