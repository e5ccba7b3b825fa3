// HTML and scripts in every field that the demo page shows: in Chromium nothing of it runs, and all of it is text.

import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startChromium } from '../support/chromium.mjs';
import { ask, connect } from '../support/client.mjs';
import { Stack, undo, wholeFile, within } from '../support/stack.mjs';

const LIMIT = 60_000; // generous: only a hang meets it
const ATTACKS = [
  '<script>window.owned=1</script>',
  '<img src=x onerror="window.owned=2">',
  '"><svg onload=window.owned=3>',
  "'-alert(4)-'",
  'javascript:window.owned=5',
  '<iframe srcdoc="<script>parent.owned=6</script>"></iframe>',
  '<a href="javascript:window.owned=7" autofocus onfocus=window.owned=7>x</a>',
  '</textarea><style>*{display:none}</style><base href="//evil.example">',
  '{{constructor.constructor("window.owned=9")()}}${window.owned=9}',
  '<math><mtext></form><form><mglyph><style></math><img src onerror=window.owned=10>',
];

const file = wholeFile(after);
let stack;
let browser;

test('the stack and the browser start', async () => {
  stack = await Stack.start(file);
  browser = await startChromium(file);
});

/** The page in a browser of its own. Whatever it asks for elsewhere, says or throws is kept. */
async function visitor(t, hash = '') {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT);
  page.complaints = [];
  page.on('pageerror', (error) => page.complaints.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && page.complaints.push(message.text()));
  page.on('request', (request) => request.url().startsWith(`${stack.url(0)}/`) || page.complaints.push(`asked for ${request.url()}`));
  page.on('dialog', (dialog) => {
    page.complaints.push(`a dialog said ${dialog.message()}`);
    dialog.dismiss();
  });
  undo(t, () => context.close());
  await page.goto(`${stack.url(0)}/${hash}`);
  return page;
}

async function enter(page, name, room) {
  await page.locator('#name').fill(name);
  await page.locator('#room').fill(room);
  await page.locator('#enter-form button[type=submit]').click();
  await page.waitForSelector('#state[data-state=connected]');
}

/** Nothing ran, nothing was asked for, and what came from others has made no element. */
async function isClean(page) {
  assert.equal(await page.evaluate(() => window.owned), undefined);
  assert.equal(await page.locator('script:not([src^="/"]), iframe, img, base, object, embed, style, a[href^="javascript"], [onerror], [onload], [onfocus]').count(), 0);
  for (const field of ['.body', '.author', '#typing', '#room-name', '#presence', '#enter-error'])
    assert.equal(await page.locator(`${field} *`).count(), 0, field);
  assert.deepEqual(page.complaints, []);
}

test('what others write, their names, and that they type', async (t) => {
  const page = await visitor(t);
  await enter(page, 'Reader', 'stage');
  const attacker = await connect(t, stack.url(0));
  await ask(attacker, 'join', 'stage');
  for (const [number, text] of ATTACKS.entries()) {
    const name = `${text} ${number}`;
    const told = page.waitForFunction((wanted) => document.querySelector('#typing').textContent.includes(wanted), name.slice(0, 10))
      .then(() => true);
    do // it is volatile: lost, for example, while the page's connection becomes a WebSocket
      attacker.emit('typing', { room: 'stage', name });
    while (!await Promise.race([told, sleep(500, false)]));
    assert.equal((await ask(attacker, 'msg', { room: 'stage', body: text, name, id: crypto.randomUUID() })).ok, true);
    await page.locator('.message .body', { hasText: text }).first().waitFor();
  }
  assert.deepEqual(await page.locator('.message .body').allTextContents(), ATTACKS);
  await isClean(page);
});

test('what is no text where the page awaits one', async (t) => {
  const page = await visitor(t);
  await enter(page, 'Reader', 'shapes');
  const attacker = await connect(t, stack.url(0));
  await ask(attacker, 'join', 'shapes');
  const bad = [{ toString: 'x', html: ATTACKS[1] }, [ATTACKS[1]], null, 7, true, { __proto__: { polluted: 1 }, constructor: { prototype: { polluted: 1 } } }];
  for (const value of bad) {
    attacker.emit('typing', { room: 'shapes', name: value });
    assert.equal((await ask(attacker, 'msg', { room: 'shapes', body: value, name: value })).ok, true);
  }
  assert.equal((await ask(attacker, 'msg', { room: 'shapes' })).ok, true);
  // What stands in the place of the router's word is the sender's own.
  const forged = { room: 'shapes', seq: 1_000_000, id: 'x', from: 'admin', at: 1 };
  attacker.emit('typing', { room: 'shapes', name: 'typist' }, forged, 'offset');
  assert.equal((await ask(attacker, 'msg', { room: 'shapes', body: 'the last one' }, forged, ATTACKS[1])).ok, true);
  const last = page.locator('.message', { hasText: 'the last one' });
  await last.first().waitFor();
  assert.equal(await last.count(), 1);
  assert.notEqual(await last.getAttribute('data-seq'), '1000000');
  assert.ok(!(await last.getAttribute('data-from')).startsWith('admin'));
  assert.equal(await page.evaluate(() => ({}).polluted), undefined);
  await isClean(page);
});

test('the history that a late comer gets', async (t) => {
  const attacker = await connect(t, stack.url(0));
  await ask(attacker, 'join', 'old');
  for (const text of ATTACKS)
    await ask(attacker, 'msg', { room: 'old', body: text, name: text });
  const page = await visitor(t);
  await enter(page, 'Late', 'old');
  await page.locator('.message .body').nth(ATTACKS.length - 1).waitFor();
  assert.deepEqual(await page.locator('.message .body').allTextContents(), ATTACKS);
  await isClean(page);
});

test('its own fields, and the room in the address', async (t) => {
  for (const text of ATTACKS.slice(0, 4)) {
    const page = await visitor(t, `#${encodeURIComponent(text)}`);
    assert.equal(await page.locator('#room').inputValue(), text);
    await enter(page, text.slice(0, 40), text);
    assert.equal(await page.locator('#room-name').textContent(), text);
    await page.locator('#body').fill(text);
    await page.keyboard.press('Enter');
    await page.locator('.message:not(.pending) .body', { hasText: text }).first().waitFor();
    assert.ok((await page.title()).includes(text));
    await isClean(page);
  }
});

test('a script that got in all the same would not run, nor be framed', async (t) => {
  const page = await visitor(t);
  const complained = within(LIMIT, 'a complaint', page.waitForEvent('console', (message) => message.text().includes('Content Security Policy')));
  await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'window.owned = 1';
    document.body.append(script);
    document.body.insertAdjacentHTML('beforeend', '<b id="proof" onclick="window.owned = 2">x</b>');
    document.querySelector('#proof').click();
  });
  assert.equal(await page.evaluate(() => window.owned), undefined);
  await complained;
  const answer = await fetch(`${stack.url(0)}/`);
  assert.match(answer.headers.get('content-security-policy'), /frame-ancestors 'none'/);
  assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
});
