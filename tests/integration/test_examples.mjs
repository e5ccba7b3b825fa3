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

/** Starts a script of examples/; its lines, and a wait for so many of them. */
function run(t, name, ...args) {
  const child = spawn(python, [here(`../../examples/${name}`), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const script = { lines: [], errors: '', look: () => {} };
  undo(t, () => child.kill('SIGKILL'));
  child.stderr.setEncoding('utf8').on('data', (text) => { script.errors += text; });
  createInterface({ input: child.stdout }).on('line', (line) => {
    script.lines.push(line);
    script.look();
  });
  script.exited = new Promise((resolve) => { child.on('close', resolve); /* and all that it said is here */ });
  script.printed = (count) => within(LIMIT, `${count} lines`, new Promise((resolve) => {
    script.look = () => script.lines.length >= count && resolve();
    script.look();
  })).catch((error) => {
    throw new Error(`${error.message}; there are ${script.lines.length}\n${script.errors}`);
  });
  return script;
}

/** Its connection is cut twice, and its gateway killed, while others go on: what they said is printed each time. */
async function lose(stack, detour, say, printed) {
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
}

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
  const script = run(t, 'rejoin.py', detour.url, 'r');
  const printed = () => script.printed(said.length);
  await printed();
  const other = await ask(author, 'msg', { room: 'r', n: 1 }, 'more'); // not what the script's own chat would say
  said.push(`${other.seq} [{'room': 'r', 'n': 1}, 'more']`);
  await lose(stack, detour, say, printed);
  assert.deepEqual(script.lines, said);
});

test('bare.py says its text once and prints every message once and in order, over losses and a kill', async (t) => {
  const stack = await Stack.start(t);
  const detour = await Detour.start(t, stack.ports[0]);
  const author = await connect(t, stack.url(1));
  assert.equal((await ask(author, 'join', 'a & b')).ok, true);
  assert.equal((await ask(author, 'msg', { room: 'a & b', body: 'before' })).ok, true);
  const said = ['2 hello'];
  const say = async (count) => {
    for (let i = 0; i < count; i++) {
      const body = `message ${said.length}`;
      said.push(`${(await ask(author, 'msg', { room: 'a & b', body })).seq} ${body}`);
    }
  };
  const script = run(t, 'bare.py', `${detour.url.replace('http', 'ws')}/ws`, 'a & b', 'hello');
  const printed = () => script.printed(said.length);
  await printed();
  const other = await ask(author, 'msg', { room: 'a & b', n: 1 }); // not what the script's own chat would say
  said.push(`${other.seq} [{"room": "a & b", "n": 1}]`);
  await lose(stack, detour, say, printed);
  assert.deepEqual(script.lines, said);
  const refused = run(t, 'bare.py', `${detour.url.replace('http', 'ws')}/ws`, '');
  assert.equal(await refused.exited, 1);
  assert.match(refused.errors, /^4422 bad_room/);
});
