// socket.io-client 4.8.4 in node.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test, after } from 'node:test';
import { io } from '../support/client.mjs';
import { wholeFile } from '../support/stack.mjs';
import { TRANSPORTS, killGateways, start } from './harness.mjs';

const file = wholeFile(after);
const source = await readFile(new URL('scenario.js', import.meta.url), 'utf8');
const scenario = new Function(`${source}; return scenario;`)();
let server;

test('two gateways on one port', async () => {
  server = await start(file);
});

for (const transport of TRANSPORTS) {
  test(`socket.io-client in node, ${transport}`, async (t) => {
    await scenario(io, server.url(0), transport, (step, error, skip) =>
      t.test(step, { skip: skip || false }, () => assert.equal(error, null)), () => killGateways(server));
  });
}
