// Each of examples/ does what it says.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ask, connect } from '../support/client.mjs';
import { Detour } from '../support/detour.mjs';
import { Stack, undo, within } from '../support/stack.mjs';

const LIMIT = 60_000;
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const own = here('../../build/venv/bin/python');
const python = existsSync(own) ? own : 'python3';

test('rejoin.py prints every message once and in order, over losses and a kill', async (t) => {
  const stack = await Stack.start(t);
  const detour = await Detour.start(t, stack.ports[0]);
  const author = await connect(t, stack.url(1));
  const said = [];
  const say = async (count) => {
    for (let i = 0; i < count; i++) {
      const body = `message ${said.length}`;
      const { ok, seq } = await ask(author, 'msg', { room: 'r', body });
      assert.equal(ok, true);
      said.push(`${seq} ${body}`);
    }
  };
  assert.equal((await ask(author, 'join', 'r')).ok, true);
  await say(250); // more than a page
  const child = spawn(python, [here('../../examples/rejoin.py'), detour.url, 'r'], { stdio: ['ignore', 'pipe', 'pipe'] });
  undo(t, () => child.kill('SIGKILL'));
  const lines = [];
  let errors = '';
  let look = () => {};
  child.stderr.on('data', (text) => { errors += text; });
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    look();
  });
  const printed = () => within(LIMIT, `${said.length} lines`, new Promise((resolve) => {
    look = () => lines.length >= said.length && resolve();
    look();
  })).catch((error) => {
    throw new Error(`${error.message}; there are ${lines.length}\n${errors}`);
  });
  await printed();
  for (const gateway of [1, 0]) {
    await say(3);
    detour.port = stack.ports[gateway];
    detour.cut();
    await say(5);
    await printed();
  }
  const again = stack.kill('gateway-1');
  await say(5);
  await again;
  await say(5);
  await printed();
  assert.deepEqual(lines, said);

});
