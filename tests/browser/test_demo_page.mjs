// The demo page in Debian's Chromium: people in two rooms, on both gateways.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import test, { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startChromium } from '../support/chromium.mjs';
import { Stack, artefact, hubbub, run, temporaryFolder, undo, wholeFile } from '../support/stack.mjs';

const LIMIT = 60_000; // generous: only a hang meets it
const PHONE = { viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };
const DESKTOP = { viewport: { width: 1100, height: 760 } };

const file = wholeFile(after);
let stack;
let browser;

test('the stack and the browser start', async () => {
  stack = await Stack.start(file);
  browser = await startChromium(file);
});

/** Somebody's own browser at the page; its console must stay clean, and everything comes from its gateway. */
async function visitor(t, gateway, options = DESKTOP, from = stack) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT);
  page.complaints = [];
  page.on('pageerror', (error) => page.complaints.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && page.complaints.push(message.text()));
  page.on('request', (request) => {
    if (!request.url().startsWith(`${from.url(gateway)}/`))
      page.complaints.push(`asked for ${request.url()}`);
  });
  page.on('dialog', (dialog) => {
    page.complaints.push(`a dialog said ${dialog.message()}`);
    dialog.dismiss();
  });
  undo(t, () => context.close());
  await page.goto(`${from.url(gateway)}/`);
  return page;
}

/** By keyboard alone: the name, Tab, the room, Enter. */
async function enter(page, name, room) {
  await page.locator('#name').focus();
  await page.keyboard.type(name);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Control+A');
  await page.keyboard.type(room);
  await page.keyboard.press('Enter');
  await page.waitForSelector('#state[data-state=connected]');
}

async function say(page, text) {
  await page.locator('#body').focus();
  await page.keyboard.insertText(text);
  await page.keyboard.press('Enter');
}

async function hears(page, text) {
  await page.locator('.message:not(.pending) .body', { hasText: text }).first().waitFor();
}

const bodies = (page) => page.locator('.message:not(.pending) .body').allTextContents();
const presence = (page, text) => page.waitForFunction(
  (wanted) => document.querySelector('#presence').textContent === wanted, text);
const typing = (page, text) => page.waitForFunction(
  (wanted) => document.querySelector('#typing').textContent === wanted, text);

/** Types until the other page says so: one notice may get lost, it is volatile, as while a connection becomes a WebSocket. */
async function typesUntilTold(page, other, text) {
  const told = typing(other, text).then(() => true);
  await page.locator('#body').focus();
  do
    await page.keyboard.type('I');
  while (!await Promise.race([told, sleep(500, false)]));
  await page.locator('#body').fill('');
}

test('what one says is seen by those in the room and by no one else', async (t) => {
  const [ann, ben, cara] = await Promise.all([visitor(t, 0, PHONE), visitor(t, 1), visitor(t, 0)]);
  await enter(ann, 'Ann', 'stream');
  await enter(ben, 'Ben', 'stream');
  await enter(cara, 'Cara', 'lobby');
  await Promise.all([presence(ann, '2 are here'), presence(ben, '2 are here'), presence(cara, 'Only you are here')]);

  await typesUntilTold(ben, ann, 'Ben is typing…');

  const html = '<img src=x onerror="alert(1)"><b>bold</b> & <script>alert(2)</script>';
  await say(ann, 'Good evening');
  await hears(ben, 'Good evening');
  await say(ben, html);
  await hears(ann, html);
  await typing(ann, '');
  await say(cara, 'Nobody but me');
  await hears(cara, 'Nobody but me');
  await say(ann, 'Two\u2028lines: é, 😀, שלום');
  await Promise.all([hears(ann, 'שלום'), hears(ben, 'שלום')]);

  const told = ['Good evening', html, 'Two\u2028lines: é, 😀, שלום'];
  assert.deepEqual(await bodies(ann), told);
  assert.deepEqual(await bodies(ben), told);
  assert.deepEqual(await bodies(cara), ['Nobody but me']);
  assert.equal(await ann.locator('.body *').count(), 0, 'a message is text');
  assert.equal(await typing(cara, '').then(() => true), true);
  assert.deepEqual(await ann.locator('.message.mine .body').allTextContents(), [told[0], told[2]]);

  // A late comer gets what was said.
  const dora = await visitor(t, 1);
  await enter(dora, '<i>Dora</i>', 'stream');
  await hears(dora, 'שלום');
  assert.deepEqual(await bodies(dora), told);
  await Promise.all([ann, ben, dora].map((page) => presence(page, '3 are here')));
  await say(dora, 'Hello all');
  await hears(ann, 'Hello all');
  assert.equal(await ann.locator('.author', { hasText: 'Dora' }).textContent(), '<i>Dora</i>');

  // The room is not wider than the phone.
  assert.ok(await ann.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth));
  await ann.screenshot({ path: await artefact('demo-page-phone.png') });
  await ben.screenshot({ path: await artefact('demo-page-desktop.png') });

  await dora.getByRole('button', { name: 'Leave the room' }).click();
  await Promise.all([ann, ben].map((page) => presence(page, '2 are here')));
  for (const page of [ann, ben, cara, dora])
    assert.deepEqual(page.complaints, []);
});

test('older messages come page by page, and the reader keeps their place', async (t) => {
  const [ann, ben] = await Promise.all([visitor(t, 0), visitor(t, 1)]);
  await enter(ann, 'Ann', 'long room');
  for (let i = 1; i <= 120; i++)
    await say(ann, `line ${i}.`);
  await hears(ann, 'line 120.');
  await enter(ben, 'Ben', 'long room');
  await hears(ben, 'line 120.');
  const lines = (first) => Array.from({ length: 121 - first }, (_, index) => `line ${first + index}.`);
  assert.deepEqual(await bodies(ben), lines(71));
  const older = ben.getByRole('button', { name: 'Load older messages' });
  await older.click();
  await hears(ben, 'line 21.');
  assert.deepEqual(await bodies(ben), lines(21));
  await older.click();
  await hears(ben, 'line 1.');
  assert.deepEqual(await bodies(ben), lines(1));
  await older.waitFor({ state: 'hidden' });

  // Scrolled up, what comes does not pull the reader down; a button leads there.
  await ben.locator('#scroller').evaluate((scroller) => { scroller.scrollTop = 0; });
  await say(ann, 'the newest');
  const latest = ben.getByRole('button', { name: 'New messages' });
  await latest.waitFor();
  assert.equal(await ben.locator('#scroller').evaluate((scroller) => scroller.scrollTop), 0);
  await latest.click();
  await ben.locator('.body', { hasText: 'the newest' }).waitFor();
  await latest.waitFor({ state: 'hidden' });
  assert.deepEqual([ann.complaints, ben.complaints], [[], []]);
});

test('a gateway dies: the page says so, comes back and has missed nothing', async (t) => {
  const [ann, ben] = await Promise.all([visitor(t, 0), visitor(t, 1)]);
  await enter(ann, 'Ann', 'shaky');
  await enter(ben, 'Ben', 'shaky');
  await say(ann, 'before');
  await hears(ben, 'before');

  const states = await ben.evaluateHandle(() => {
    const seen = [];
    new MutationObserver(() => seen.push(document.querySelector('#state').dataset.state))
      .observe(document.querySelector('#state'), { attributes: true });
    return seen;
  });
  const again = stack.kill('gateway-2');
  await ben.waitForFunction((seen) => seen.includes('reconnecting'), states);
  await say(ben, 'said while away');
  await say(ann, 'meanwhile');
  await again;
  await ben.waitForFunction((seen) => seen.includes('connected'), states);
  for (const text of ['said while away', 'meanwhile'])
    await Promise.all([hears(ann, text), hears(ben, text)]);
  assert.deepEqual(await bodies(ben), await bodies(ann));
  assert.equal((await bodies(ben)).length, 3);
  await Promise.all([ann, ben].map((page) => presence(page, '2 are here')));
  assert.deepEqual(ann.complaints, []);
});

test('Back leaves the room, and a long name of one keeps the page in its window', async (t) => {
  const dan = await visitor(t, 0, PHONE);
  const room = 'a-room-with-a-long-name-'.repeat(6);
  await enter(dan, 'Dan', room);
  await say(dan, 'here');
  await hears(dan, 'here');
  const [wide, window] = await dan.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.equal(wide, window);
  await dan.goBack();
  await dan.locator('#room').waitFor({ state: 'visible' });
  await dan.locator('#body').waitFor({ state: 'hidden' });
  assert.deepEqual(dan.complaints, []);
});

test('where a token is needed the page asks for one', async (t) => {
  const folder = await temporaryFolder(t);
  const key = path.join(folder, 'token.key');
  await writeFile(key, randomBytes(32).toString('hex'), { mode: 0o600 });
  await writeFile(path.join(folder, 'hubbub.conf'), `tokens = { required = true; keys = ({ algorithm = "HS256"; file = "${key}"; }); };`);
  const closed = await Stack.start(t, { args: [`--config=${folder}/hubbub.conf`] });
  const token = async (sub) => (await run(hubbub, ['token', '--key', key, '--sub', sub])).stdout.trim();

  const ann = await visitor(t, 0, DESKTOP, closed);
  assert.equal(await ann.locator('#token').isVisible(), false);
  await ann.locator('#name').fill('Ann');
  await ann.locator('#room').fill('club');
  await ann.keyboard.press('Enter');
  await ann.locator('#enter-error', { hasText: 'token' }).waitFor();
  await ann.locator('#token').fill('none of yours');
  await ann.keyboard.press('Enter');
  await ann.locator('#enter-error', { hasText: 'not valid' }).waitFor();
  await ann.locator('#token').fill(await token('ann'));
  await ann.keyboard.press('Enter');
  await ann.waitForSelector('#state[data-state=connected]');
  await say(ann, 'let in');
  await hears(ann, 'let in');
  assert.ok(!(await ann.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }))).includes('eyJ'), 'the token is kept nowhere');
  // A refusal ends a connection that polls or is about to upgrade, which the browser mentions.
  assert.deepEqual(ann.complaints.filter((text) => !/closed before the connection is|400 \(Bad Request\)/.test(text)), []);
});

test('the page stops with the stack', async () => {
  assert.deepEqual(await stack.stop(), { code: 0, signal: null });
});
