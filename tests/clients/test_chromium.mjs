// socket.io-client 4.8.4, its build for browsers, in Debian's Chromium.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { test, after } from 'node:test';
import path from 'node:path';
import { startChromium } from '../support/chromium.mjs';
import { undo, wholeFile } from '../support/stack.mjs';
import { TRANSPORTS, killGateways, start } from './harness.mjs';

const LIMIT = 60_000; // generous: only a hang meets it

const file = wholeFile(after);
const main = createRequire(import.meta.url).resolve('socket.io-client');
const client = path.join(main, '../../../dist/socket.io.min.js');
const source = await readFile(new URL('scenario.js', import.meta.url), 'utf8');
let server;
let browser;

test('two gateways on one port, and a browser', async () => {
  server = await start(file);
  browser = await startChromium(file);
});

for (const transport of TRANSPORTS) {
  test(`socket.io-client in Chromium, ${transport}`, async (t) => {
    const context = await browser.newContext();
    undo(t, () => context.close());
    const page = await context.newPage();
    page.setDefaultTimeout(LIMIT);
    const steps = [];
    await page.exposeFunction('report', (...step) => { steps.push(step); });
    await page.exposeFunction('kill', () => killGateways(server));
    // Any page of the same origin: a text will do.
    await page.goto(`${server.url(0)}/socket.io/socket.io.js`);
    await page.addScriptTag({ path: client });
    await page.addScriptTag({ content: source });
    // eslint-disable-next-line no-undef -- in the page
    await page.evaluate(([url, name]) => scenario(io, url, name, report, kill), [server.url(0), transport]);
    for (const [step, error, skip] of steps)
      await t.test(step, { skip: skip || false }, () => assert.equal(error, null));
    assert.equal(steps.length, 8);
  });
}
