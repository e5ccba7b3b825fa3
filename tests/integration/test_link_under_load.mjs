// The link between gateway and router when much is going on: it must neither break nor stay broken.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import { ask, collect, connect, LIMIT } from '../support/client.mjs';
import { Stack, hubbub, run, temporaryFolder, undo, within } from '../support/stack.mjs';

async function metrics(stack) {
  const { code, stdout, stderr } = await run(hubbub, ['stats', 'json', '--stats', stack.stats]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout).metrics;
}

// Silence is none of what these are about.
const PATIENT = 'gateway = { dead = "60 s"; }; router = { dead = "60 s"; };';

async function start(t, settings, options = {}) {
  const config = path.join(await temporaryFolder(t), 'hubbub.conf');
  await writeFile(config, settings);
  return Stack.start(t, { args: ['--config', config], ...options });
}

/** Stops a process; it goes on when resume() is called, or the test is over. */
function pause(t, pid) {
  let paused = process.kill(pid, 'SIGSTOP');
  const resume = () => { paused = paused && !process.kill(pid, 'SIGCONT'); };
  undo(t, resume);
  return resume;
}

test('more in one turn than a batch may hold goes in several', async (t) => {
  const CLIENTS = 400;
  const BODY = 'x'.repeat(60_000); // 24 MB together; router.max_batch is 16 MB
  const stack = await start(t, PATIENT, { gateways: 1 });
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connect(t, stack.url(0))));
  await Promise.all(clients.map((client, number) => ask(client, 'join', `room ${number}`)));

  // All of it waits in the gateway's sockets, and is read in one turn.
  const resume = pause(t, stack.pids.get('gateway-1'));
  const written = clients.map((client) => new Promise((resolve) => { client.io.engine.once('drain', resolve); }));
  const answers = clients.map((client, number) => ask(client, 'msg', { room: `room ${number}`, body: BODY }));
  await within(LIMIT, 'writing', Promise.all(written));
  resume();
  assert.ok((await Promise.all(answers)).every(({ ok, seq }) => ok && seq === 1));

  assert.equal((await metrics(stack)).hubbub_router_links_total, 1, 'the link held');
  assert.deepEqual(await stack.stop(), { code: 0, signal: null });
});

test('the largest message that a gateway may be told to take passes', async (t) => {
  const stack = await start(t, `gateway = { max_payload = "8 MB"; outbound_queue = "16 MB"; dead = "60 s"; };
    router = { max_event = "8 MB"; dead = "60 s"; };`, { gateways: 1 });
  const client = await connect(t, stack.url(0));
  await ask(client, 'join', 'large');
  const heard = collect(client, 'msg');
  const body = 'x'.repeat((8 << 20) - 200);
  assert.equal((await ask(client, 'msg', { room: 'large', body })).seq, 1);
  await heard.reached(1);
  assert.equal(heard.all[0][0].body.length, body.length);
  assert.equal((await metrics(stack)).hubbub_router_links_total, 1, 'the link held');
  assert.deepEqual(await stack.stop(), { code: 0, signal: null });
});

test('a gateway that was behind comes back while its clients are busy', async (t) => {
  const stack = await start(t, `router = { max_unacknowledged = "64 KB"; resync_max = "64 KB"; dead = "60 s"; };
    gateway = { dead = "60 s"; };`);
  const [reader, talker, writer] = await Promise.all([0, 0, 1].map((gateway) => connect(t, stack.url(gateway))));
  await Promise.all([reader, talker, writer].map((client) => ask(client, 'join', 'busy')));
  await ask(talker, 'join', 'alone');
  const heard = collect(reader, 'msg');

  const resume = pause(t, stack.pids.get('gateway-1'));
  const say = () => ask(writer, 'msg', { room: 'busy', body: 'x'.repeat(30_000) });
  for (const seq of [1, 2, 3])
    assert.equal((await say()).seq, seq);
  // Something for every turn of the gateway's loop, and nothing for anybody to be behind with.
  const chatter = setInterval(() => talker.emit('typing', { room: 'alone' }), 1);
  undo(t, () => clearInterval(chatter));
  resume();
  await heard.reached(3);
  assert.equal((await say()).seq, 4);
  await heard.reached(4);
  assert.deepEqual(await ask(talker, 'presence', 'busy'), { ok: true, room: 'busy', members: 3 });
  clearInterval(chatter);

  const figures = await metrics(stack);
  assert.equal(figures.hubbub_router_links_behind_total, 1);
  assert.equal(figures.hubbub_router_links_total, 3, 'one for each gateway, and one after it was behind');
  assert.deepEqual(heard.all.map(([, { seq }]) => seq), [1, 2, 3, 4]);
  assert.deepEqual([reader, talker, writer].map(({ connected }) => connected), [true, true, true]);
  assert.deepEqual(await stack.stop(), { code: 0, signal: null });
});
