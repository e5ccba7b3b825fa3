// The msgpack parser in Debian's Chromium, with the build of the stock client that has it and that the gateway serves.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { startChromium } from '../support/chromium.mjs';
import { ask, connect, next } from '../support/client.mjs';
import { Stack, temporaryFolder, undo } from '../support/stack.mjs';

const LIMIT = 60_000; // generous: only a hang meets it

for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
  test(`a page and a text client share a room, over ${transports}`, async (t) => {
    const config = path.join(await temporaryFolder(t), 'hubbub.conf');
    await writeFile(config, 'gateway: { msgpack_path = "/msgpack/"; };');
    const stack = await Stack.start(t, { gateways: 2, args: ['--config', config] });
    const browser = await startChromium(t);
    const context = await browser.newContext();
    undo(t, () => context.close());
    const page = await context.newPage();
    page.setDefaultTimeout(LIMIT);
    await page.goto(`${stack.url(0)}/socket.io/socket.io.msgpack.min.js`); // any page of that origin
    await page.addScriptTag({ url: `${stack.url(0)}/socket.io/socket.io.msgpack.min.js` });
    const person = await connect(t, stack.url(1));
    assert.equal((await ask(person, 'join', 'room')).ok, true);

    const heard = next(person, 'msg');
    /* eslint-disable no-undef -- in the page */
    const answer = await page.evaluate(async (names) => {
      window.socket = io({ path: '/msgpack/', transports: names });
      await new Promise((resolve) => { socket.once('connect', resolve); });
      await socket.emitWithAck('join', 'room');
      window.seen = new Promise((resolve) => {
        socket.on('msg', (argument, data) => argument.from === 'person' && resolve([argument, [...new Uint8Array(data)]]));
      });
      return socket.emitWithAck('msg', { room: 'room', from: 'page', n: [1.5, -2, 2 ** 40] }, Uint8Array.from([1, 2, 255]).buffer);
    }, transports);
    assert.equal(answer.ok, true, JSON.stringify(answer));
    const [argument, data] = await heard;
    assert.deepEqual(argument, { room: 'room', from: 'page', n: [1.5, -2, 2 ** 40] });
    assert.deepEqual(data, Buffer.from([1, 2, 255]));

    const said = { room: 'room', from: 'person', text: 'ünï \u{1F600}', n: [0.1, 2 ** 53 - 1, -1] };
    assert.equal((await ask(person, 'msg', said, Buffer.from([3, 0, 254]))).ok, true);
    assert.deepEqual(await page.evaluate(() => seen), [said, [3, 0, 254]]);
    const history = await page.evaluate(async () => (await socket.emitWithAck('history', 'room')).messages.map(({ seq }) => seq));
    assert.deepEqual(history, [1, 2]);
    /* eslint-enable no-undef */
  });
}
