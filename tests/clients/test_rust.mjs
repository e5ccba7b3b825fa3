// rust_socketio, the Rust client.

import { test, after } from 'node:test';
import { wholeFile } from '../support/stack.mjs';
import { built, missing, programTests, start } from './harness.mjs';

const file = wholeFile(after);
let server;

test('two gateways on one port', { skip: missing('rust') }, async () => {
  server = await start(file);
});

programTests('rust_socketio', () => server, () => [built('rust/debug/stock-client')],
  () => missing('rust'));
