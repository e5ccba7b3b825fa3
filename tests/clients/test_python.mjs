// python-socketio, with threads and with asyncio, and both with its msgpack serializer.

import { existsSync } from 'node:fs';
import { test, after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { reference, wholeFile } from '../support/stack.mjs';
import { programTests, start } from './harness.mjs';

const file = wholeFile(after);
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const own = here('../../build/venv/bin/python');
const python = existsSync(own) ? own : 'python3';
let server;

test('two gateways on one port', async () => {
  server = await start(file);
});

for (const kind of ['sync', 'asyncio', ...(reference ? [] : ['sync-msgpack', 'asyncio-msgpack'])])
  programTests(`python-socketio (${kind})`, () => server, () => [python, here('python_client.py'), kind]);
