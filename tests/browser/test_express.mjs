// The pages of examples/express in Debian's Chromium: a login, the chat, an order.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startChromium } from '../support/chromium.mjs';
import { missing, startExample } from '../support/express.mjs';
import { undo } from '../support/stack.mjs';

const LIMIT = 60_000; // generous: only a hang meets it

test('two people log in, talk and order', { skip: missing }, async (t) => {
  const { url } = await startExample(t);
  const browser = await startChromium(t);
  const complaints = [];

  async function enter(name) {
    const context = await browser.newContext();
    undo(t, () => context.close());
    const page = await context.newPage();
    page.setDefaultTimeout(LIMIT);
    page.on('pageerror', (error) => complaints.push(String(error)));
    await page.goto(url);
    let hand;
    const asked = new Promise((resolve) => { hand = resolve; });
    await page.route('**/socket.io/socket.io.js', hand, { times: 1 });
    await page.locator('[name=name]').fill(name);
    await page.getByRole('button', { name: 'Log in' }).click();
    const script = await asked;
    assert.equal(await page.locator('#say').count(), 0, 'what is submitted before the script is there would be lost');
    await script.continue();
    await page.locator('#say').waitFor();
    await page.waitForLoadState(); // so the script has run
    return page;
  }
  const lines = (page) => page.locator('#log li').allTextContents();
  const shows = (page, text) => page.locator('#log li', { hasText: text }).waitFor();

  async function say(page, body) {
    await page.locator('#body').fill(body);
    await page.locator('#body').press('Enter');
  }

  const ann = await enter('Ann');
  await say(ann, 'is <i>anyone</i> here?');
  await shows(ann, 'Ann: is <i>anyone</i> here?');
  // Whoever is still on the way to a WebSocket may miss what is volatile, as that somebody has come in.
  /* eslint-disable no-undef -- in the page */
  await ann.waitForFunction(() => socket.io.engine.transport.name === 'websocket');
  await ann.evaluate(() => socket.emitWithAck('presence', room));
  /* eslint-enable no-undef */
  const bob = await enter('Bob');
  await shows(ann, 'Bob has come in');
  await shows(bob, 'Ann: is <i>anyone</i> here?');
  await say(bob, 'I am');
  await shows(ann, 'Bob: I am');
  await ann.locator('[name=item]').fill('tea');
  const anew = ann.waitForEvent('framenavigated'); // the page that posts the form may be told of the order as well
  await ann.getByRole('button', { name: 'Buy' }).click();
  await shows(bob, 'Ann has ordered tea');
  await anew;
  await shows(ann, 'Ann has ordered tea'); // from the history: the form has loaded the page anew
  assert.deepEqual(await lines(bob), ['Ann: is <i>anyone</i> here?', 'Bob: I am', 'Ann has ordered tea']);
  assert.deepEqual(await lines(ann), await lines(bob));
  // An answer about the history that comes behind a message which it does not have.
  /* eslint-disable no-undef -- in the page */
  await ann.evaluate(async () => {
    const emit = socket.emit.bind(socket);
    const answer = await new Promise((resolve) => { emit('history', { room, limit: 20 }, resolve); });
    socket.emit = (name, ...rest) => (name === 'history' ? (window.late = () => rest.at(-1)(answer)) : emit(name, ...rest));
    socket.listeners('connect')[0]();
  });
  await say(ann, 'meanwhile');
  await shows(ann, 'Ann: meanwhile');
  await ann.evaluate(() => late());
  /* eslint-enable no-undef */
  await shows(bob, 'Ann: meanwhile');
  assert.deepEqual(await lines(ann), await lines(bob));
  await bob.getByRole('button', { name: 'Log out' }).click();
  await bob.getByRole('button', { name: 'Log in' }).waitFor();
  assert.deepEqual(complaints, []);
});
