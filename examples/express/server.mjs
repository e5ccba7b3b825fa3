// Hubbub beside your express app: pages, logins and forms stay in express; /socket.io/ leads to Hubbub, for those who
// are logged in; and what the app itself has to say in a room, it says over HTTP.

import { randomUUID } from 'node:crypto';
import express from 'express';
import session from 'express-session';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { chatPage, loginPage } from './pages.mjs';

const {
  PORT = '8000',
  HUBBUB = 'http://127.0.0.1:3000', // where its clients connect
  HUBBUB_ADMIN = 'http://127.0.0.1:3020', // and where programs publish
  HUBBUB_KEY, // a line of the file gateway.publish_key
  SESSION_SECRET = randomUUID(),
} = process.env;
const ROOM = 'shop';

if (!HUBBUB_KEY)
  throw new Error('HUBBUB_KEY is missing: a line of the file that Hubbub has as its publish_key');

/**
 * Publishes an event to the room, and comes back when it is on disk.  After a lost answer or a passing refusal it is sent again
 * with the same id, and so counts once: also when whoever calls this calls it again with the id of the thing that it is about.
 */
async function publish({ id = randomUUID(), ...event }) {
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(`${HUBBUB_ADMIN}/api/publish`, {
      method: 'POST',
      headers: { 'authorization': `Bearer ${HUBBUB_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify({ room: ROOM, id, ...event }),
      signal: AbortSignal.timeout(15_000),
    }).catch((error) => ({ status: 503, text: () => error.message }));
    if (response.ok)
      return response.json();
    if (response.status < 503 || response.status > 504 || attempt === 5)
      throw new Error(`not published: ${response.status} ${await response.text()}`);
    await new Promise((resolve) => setTimeout(resolve, 200 * attempt));
  }
}

const app = express();
const sessions = session({ secret: SESSION_SECRET, resave: false, saveUninitialized: false, cookie: { sameSite: 'lax' } });
app.use(sessions);

// The way to Hubbub, before anything that would read the bodies of its requests.
const hubbub = createProxyMiddleware({ target: HUBBUB, xfwd: true });
const isForHubbub = (request) => request.url.startsWith('/socket.io/');
app.use((request, response, next) => {
  if (!isForHubbub(request))
    next();
  else if (request.session.user)
    hubbub(request, response, next);
  else
    response.sendStatus(401);
});

app.use(express.urlencoded());

app.get('/', (request, response) => {
  const { user } = request.session;
  response.send(user ? chatPage({ user, room: ROOM, order: randomUUID() }) : loginPage());
});

app.post('/login', (request, response, next) => {
  const { name } = request.body ?? {}; // your own check of a password stands here
  if (typeof name !== 'string' || !/^\S.{0,39}$/.test(name))
    return response.status(400).send(loginPage());
  request.session.regenerate((error) => {
    if (error)
      return next(error);
    request.session.user = name;
    // Nobody waits for this one, and nobody minds when it is missing.
    publish({ event: 'login', args: [{ name }], class: 'volatile' }).catch(console.error);
    response.redirect(303, '/');
  });
});

// For balancers that lead to Hubbub themselves: who may.
app.get('/session', (request, response) => response.sendStatus(request.session.user ? 204 : 401));

app.post('/logout', (request, response) => request.session.destroy(() => response.redirect(303, '/')));

app.post('/order', async (request, response) => {
  const { order, item } = request.body ?? {};
  const { user } = request.session;
  if (!user)
    return response.redirect(303, '/');
  if (!/^[0-9a-f-]{36}$/.test(order) || typeof item !== 'string' || !item)
    return response.status(400).send('An order has a number and an item.');
  // The form's number: sent twice, by an impatient finger or after an error, it is one order. Your database comes first.
  await publish({ id: `order-${order}`, event: 'order', args: [{ by: user, item }], class: 'archived' });
  response.redirect(303, '/');
});

const server = app.listen(PORT, (error) => {
  if (error)
    throw error;
  console.log(`http://localhost:${server.address().port}/`);
});

// A WebSocket does not pass through the app's handlers, so it is asked for its session here.
server.on('upgrade', (request, socket, head) => {
  socket.on('error', () => socket.destroy());
  sessions(request, {}, () => {
    if (isForHubbub(request) && request.session.user)
      hubbub.upgrade(request, socket, head);
    else
      socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
  });
});
