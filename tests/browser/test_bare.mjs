// Bare WebSockets with the browser's own new WebSocket(...) in Debian's Chromium: its events, close codes and states,
// and the page of examples/.

import assert from 'node:assert/strict';
import { test, after } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { startChromium } from '../support/chromium.mjs';
import { ask, connect } from '../support/client.mjs';
import { Stack, undo, wholeFile } from '../support/stack.mjs';

const LIMIT = 60_000; // generous: only a hang meets it
const file = wholeFile(after);
const example = pathToFileURL(fileURLToPath(new URL('../../examples/bare.html', import.meta.url))).href;
let stack;
let browser;
let rooms = 0;

test('two gateways and a browser', async () => {
  stack = await Stack.start(file);
  browser = await startChromium(file);
});

async function open(t, url) {
  const context = await browser.newContext();
  undo(t, () => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT);
  await page.goto(url);
  return page;
}

const address = (gateway, query) => `${stack.url(gateway).replace('http', 'ws')}/ws${query}`;

/* eslint-disable no-undef -- in the page */
/** A page whose `log` has everything that happens to its `socket`, each with the state at that time. */
async function visitor(t, url, protocols = []) {
  const page = await open(t, `${stack.url(1)}/healthz`); // any page; of another origin, for the first gateway
  await page.evaluate(([to, offered]) => {
    window.log = [];
    window.socket = new WebSocket(to, offered);
    const note = (name, ...rest) => log.push([name, socket.readyState, ...rest]);
    note('new');
    socket.onopen = () => note('open', socket.protocol);
    socket.onmessage = ({ data }) => note('message', JSON.parse(data));
    socket.onerror = () => note('error');
    socket.onclose = ({ code, reason, wasClean }) => note('close', code, reason, wasClean);
  }, [url, protocols]);
  return page;
}

const until = (page, name, count = 1) => page.waitForFunction(
  ([wanted, times]) => log.filter(([one]) => one === wanted).length >= times, [name, count]);
const logOf = (page) => page.evaluate(() => log);
const send = (page, frame) => page.evaluate((object) => socket.send(JSON.stringify(object)), frame);

test('onopen, onmessage, onclose, and readyState from 0 to 3', async (t) => {
  const room = `room ${++rooms} & ü`;
  const page = await visitor(t, address(0, `?room=${encodeURIComponent(room)}`), ['hubbub.v1.json']);
  await until(page, 'message');
  const other = await connect(t, stack.url(1));
  assert.equal((await ask(other, 'join', room)).members, 2);
  const heard = new Promise((resolve) => { other.once('msg', resolve); });
  await send(page, { ref: 1, data: { body: 'from the browser' } });
  assert.deepEqual(await heard, { body: 'from the browser' });
  await ask(other, 'msg', { room, body: 'back' });
  await until(page, 'message', 4);
  await page.evaluate(() => {
    socket.close(3001, 'enough');
    log.push(['closing', socket.readyState]);
  });
  await until(page, 'close');
  const log = await logOf(page);
  assert.deepEqual(log.slice(0, 2), [['new', 0], ['open', 1, 'hubbub.v1.json']]);
  const frames = log.slice(2, 6).map(([name, state, frame]) => {
    assert.deepEqual([name, state], ['message', 1]);
    return frame;
  });
  assert.deepEqual({ ...frames[0], sid: '', from: '' }, { type: 'open', sid: '', from: '', room, seq: 0, members: 1 });
  const answer = frames.find(({ type }) => type === 'ack');
  assert.deepEqual([answer.ref, answer.ok, answer.seq], [1, true, 1]);
  const events = frames.filter(({ type }) => type === 'event');
  assert.deepEqual(events.map(({ args }) => args), [[{ body: 'from the browser' }], [{ room, body: 'back' }]]);
  assert.deepEqual(events.map(({ meta }) => [meta.room, meta.seq]), [[room, 1], [room, 2]]);
  assert.deepEqual(log.slice(6), [['closing', 2], ['close', 3, 3001, '', true]]);
});

test('a refusal is a close code and a reason, behind onopen', async (t) => {
  for (const [query, code, reason] of [
    ['', 4422, 'bad_room: the address names no room'],
    ['?room=%0a', 4422, 'bad_room: a room is a text of 1 to 255 bytes without control characters'],
    ['?room=R&namespace=/none', 4404, 'no_namespace: there is no such namespace'],
    ['?room=R&after=x', 4400, 'bad_request: after is the seq of a message of the room'],
  ]) {
    const page = await visitor(t, address(0, query));
    await until(page, 'close');
    assert.deepEqual(await logOf(page), [['new', 0], ['open', 1, ''], ['close', 3, code, reason, true]]);
  }
  const page = await visitor(t, address(0, '?room=R'));
  await until(page, 'message');
  await page.evaluate(() => socket.send('no frame'));
  await until(page, 'close');
  assert.deepEqual((await logOf(page)).at(-1), ['close', 3, 4400, 'bad_request: a frame is one JSON object', true]);
});

test('onerror where nobody is, or the subprotocol is not known, and 1006 for a loss', async (t) => {
  const lost = await visitor(t, address(1, '?room=R'));
  await until(lost, 'message');
  const again = stack.kill('gateway-2');
  await until(lost, 'close');
  assert.deepEqual((await logOf(lost)).at(-1), ['close', 3, 1006, '', false]);
  await again;
  for (const [url, protocols] of [['ws://127.0.0.1:1/ws?room=R', []], [address(0, '?room=R'), ['other.v1']]]) {
    const page = await visitor(t, url, protocols);
    await until(page, 'close');
    assert.deepEqual(await logOf(page), [['new', 0], ['error', 3], ['close', 3, 1006, '', false]]);
  }
});

test('the page of the examples goes on where it was', async (t) => {
  const room = `room ${++rooms}`;
  const url = `${example}?${encodeURIComponent(address(0, `?room=${encodeURIComponent(room)}`))}`;
  const page = await open(t, url);
  const shows = (text) => page.waitForFunction((wanted) => document.querySelector('pre').textContent === wanted, text);
  await page.waitForFunction(() => seen === 0);
  await page.fill('input', 'one');
  await page.press('input', 'Enter');
  await shows('1 one\n');
  const other = await connect(t, stack.url(1));
  await ask(other, 'join', room);
  await page.evaluate(() => { window.lost = new Promise((resolve) => { socket.addEventListener('close', () => resolve()); }); });
  const again = stack.kill('gateway-1');
  await page.evaluate(() => lost); // 500 ms later it may be back
  for (const body of ['two', 'three'])
    assert.equal((await ask(other, 'msg', { room, body })).ok, true);
  await again;
  await shows('1 one\n2 two\n3 three\n');
  await page.fill('input', 'four');
  await page.press('input', 'Enter');
  await shows('1 one\n2 two\n3 three\n4 four\n');
  const refused = await open(t, `${example}?${encodeURIComponent(address(0, '?room='))}`);
  await refused.waitForFunction(() => document.querySelector('pre').textContent.startsWith('4422 bad_room'));
});

test('a drain is told', async (t) => {
  const page = await visitor(t, address(0, '?room=R'));
  await until(page, 'message');
  await stack.kill('gateway-1', 'SIGTERM');
  await until(page, 'close');
  assert.deepEqual((await logOf(page)).at(-1), ['close', 3, 1001, 'drain', true]);
});
/* eslint-enable no-undef */
