// Connection state recovery in Debian's Chromium, with the stock client that the gateway serves: the main cases of
// tests/integration/test_recovery.mjs.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test, after } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startChromium } from '../support/chromium.mjs';
import { ask, connect } from '../support/client.mjs';
import { Detour } from '../support/detour.mjs';
import { Stack, undo, wholeFile, within } from '../support/stack.mjs';

const LIMIT = 60_000; // generous: only a hang meets it
const TRANSPORTS = { websocket: ['websocket'], polling: ['polling'], default: ['polling', 'websocket'] };
const file = wholeFile(after);
let stack;
let browser;

test('two gateways and a browser', async () => {
  stack = await Stack.start(file);
  browser = await startChromium(file);
});

/** A page with a socket in a room; all that it sees is in its `seen`, `sessions` and `losses`. */
async function visitor(t, detour, room, transports) {
  const context = await browser.newContext();
  undo(t, () => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT);
  await page.goto(`${detour.url}/socket.io/socket.io.js`); // any page of that origin
  await page.addScriptTag({ url: `${detour.url}/socket.io/socket.io.js` });
  /* eslint-disable no-undef -- in the page */
  await page.evaluate(async ([joins, names]) => {
    Object.assign(window, { seen: [], sessions: [], losses: 0 });
    window.socket = io({ transports: names, reconnectionDelay: 20, reconnectionDelayMax: 100, timeout: 1000 });
    socket.on('msg', ({ value }, { seq }) => seen.push({ seq, value }));
    socket.on('connect', () => sessions.push({ id: socket.id, recovered: socket.recovered }));
    socket.on('disconnect', () => { window.losses++; });
    await new Promise((resolve) => { socket.once('connect', resolve); });
    await socket.emitWithAck('join', joins);
  }, [room, transports]);
  return page;
}

const sees = (page, count) => page.waitForFunction((wanted) => seen.length >= wanted, count);

async function lose(page, detour) {
  const before = await page.evaluate(() => losses);
  detour.refused = true;
  detour.cut();
  await page.waitForFunction((losing) => losses > losing || !socket.connected, before);
}

/** It has come back as the one that it was, with everything once and in order. */
async function check(page, said, times) {
  await page.waitForFunction((wanted) => sessions.length >= wanted && socket.connected, times);
  await sees(page, said.length);
  const { seen, sessions } = await page.evaluate(async () => {
    await socket.emitWithAck('presence', ''); // an answer stands behind whatever would come twice
    return { seen: window.seen, sessions: window.sessions };
  });
  assert.deepEqual(seen, said);
  assert.deepEqual(sessions.map(({ id, recovered }) => [id, recovered]), sessions.map((_, i) => [sessions[0].id, i > 0]));
}
/* eslint-enable no-undef */

/** Somebody at the second gateway who publishes. */
async function author(t, server, room) {
  const socket = await connect(t, server.url(1), { reconnection: true, reconnectionDelay: 20 });
  const said = [];
  const say = async (count) => {
    for (let i = 0; i < count; i++) {
      const { ok, seq } = await ask(socket, 'msg', { room, value: said.length });
      assert.equal(ok, true);
      said.push({ seq, value: said.length });
    }
  };
  assert.equal((await ask(socket, 'join', room)).ok, true);
  return { socket, said, say };
}

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  test(`${name}: a loss before the first message, then at the other gateway, and a kill`, async (t) => {
    const room = `room of ${name}`;
    const detour = await Detour.start(t, stack.ports[0]);
    const { said, say } = await author(t, stack, room);
    const page = await visitor(t, detour, room, transports);
    await lose(page, detour);
    await say(3);
    detour.refused = false;
    await check(page, said, 2);
    await lose(page, detour);
    await say(3);
    Object.assign(detour, { port: stack.ports[1], refused: false });
    await check(page, said, 3);
    detour.port = stack.ports[0];
    detour.cut();
    await say(3);
    await sees(page, said.length);
    const again = stack.kill('gateway-1');
    await say(3);
    await again;
    await say(3);
    await check(page, said, 4);
  });
}

test('a second loss during the replay', async (t) => {
  const detour = await Detour.start(t, stack.ports[0]);
  const { said, say } = await author(t, stack, 'second');
  const page = await visitor(t, detour, 'second', TRANSPORTS.websocket);
  await say(1);
  await sees(page, 1);
  for (const bytes of [300, 900, 1800]) {
    await lose(page, detour);
    await say(15);
    Object.assign(detour, { bytesToClient: bytes, refused: false });
    while (detour.bytesToClient !== Infinity)
      await pause(20);
    await sees(page, said.length);
  }
  await check(page, said, 4);
});

test('kill -9 of everything', async (t) => {
  const own = await Stack.start(t);
  const detour = await Detour.start(t, own.ports[0]);
  const { socket, said, say } = await author(t, own, 'all');
  const page = await visitor(t, detour, 'all', TRANSPORTS.default);
  await say(3);
  await sees(page, 3);
  const again = once(socket, 'connect');
  await Promise.all(['gateway-1', 'gateway-2', 'router'].map((name) => own.kill(name)));
  await within(LIMIT, 'the author', again);
  assert.equal(socket.recovered, true);
  await say(3);
  await check(page, said, 2);
});
