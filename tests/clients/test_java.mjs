// io.socket:socket.io-client, the Java client.

import { test, after } from 'node:test';
import { wholeFile } from '../support/stack.mjs';
import { built, missing, programTests, start } from './harness.mjs';

const file = wholeFile(after);
let server;

test('two gateways on one port', { skip: missing('java') }, async () => {
  server = await start(file);
});

programTests('io.socket:socket.io-client', () => server, () => ['java', '-cp', `${built('java/classes')}:${built('java/lib')}/*`, 'StockClient'],
  () => missing('java'));
