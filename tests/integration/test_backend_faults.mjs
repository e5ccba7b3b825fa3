// Backends and routers that die or stand still under load: no client is disconnected, every event is handled, each
// client gets one acknowledgement, and no event is in the hands of two backends at once.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Backend } from '../support/backend.mjs';
import { LIMIT, ask, connect } from '../support/client.mjs';
import { Stack, temporaryFolder, within } from '../support/stack.mjs';

const CLIENTS = 8;
const DRIVEN = 'tests/support/driven-backend';

// Who is silent for so long is gone, ms: more than a busy machine keeps a process waiting; no more, since tests wait for it.
const DEAD = 4000;

async function start(t, dead = DEAD) {
  const config = path.join(await temporaryFolder(t), 'faults.conf');
  await writeFile(config, `
    router = { heartbeat = "300 ms"; dead = "${dead} ms"; };
    gateway = { heartbeat = "300 ms"; dead = "${dead} ms"; };
    namespaces = ( { name = "/"; builtin = false; } );`);
  return Stack.start(t, { args: ['--config', config] });
}

/** Clients that count, each one event after the other, until stop(). */
class Load {
  static async start(t, stack) {
    const load = new Load();
    load.running = true;
    load.answers = new Map(); // number -> how often it was acknowledged
    load.sent = 0;
    load.disconnects = 0;
    load.sockets = await Promise.all(Array.from({ length: CLIENTS }, (_, i) => connect(t, stack.url(i))));
    for (const socket of load.sockets)
      socket.on('disconnect', () => { load.disconnects++; });
    load.loops = load.sockets.map((socket) => load.run(socket));
    return load;
  }

  async run(socket) {
    while (this.running) {
      const number = this.sent++;
      await within(LIMIT, `the answer to ${number}`, new Promise((resolve, reject) => {
        socket.emit('count', number, (answer) => {
          this.answers.set(number, (this.answers.get(number) || 0) + 1);
          if (answer === number)
            resolve();
          else
            reject(new Error(`${number} was answered with ${JSON.stringify(answer)}`));
        });
      }));
    }
  }

  /** Until so many more have been acknowledged. */
  async more(count) {
    const wanted = this.answers.size + count;
    await within(LIMIT, `${wanted} answers; there were ${this.answers.size}`, (async () => {
      while (this.answers.size < wanted)
        await Promise.race([sleep(10), ...this.loops.map((loop) => loop.then(() => sleep(1000)))]);
    })());
  }

  async stop() {
    this.running = false;
    await Promise.all(this.loops);
    await sleep(300); // a second acknowledgement would come now
    for (const socket of this.sockets)
      socket.off('disconnect');
  }

  /** What holds after any fault. */
  check(...backends) {
    const handled = new Map(); // number -> the lines about it
    for (const backend of backends)
      for (const line of backend.lines.filter(({ at }) => at === 'count'))
        handled.set(line.number, [...(handled.get(line.number) || []), line]);
    assert.equal(this.disconnects, 0);
    assert.equal(this.answers.size, this.sent);
    for (let number = 0; number < this.sent; number++) {
      const lines = handled.get(number);
      assert.equal(this.answers.get(number), 1, `${number} has one acknowledgement`);
      assert.ok(lines, `${number} was handled`);
      assert.ok(lines.filter(({ again }) => !again).length <= 1, `${number}: ${JSON.stringify(lines)}`);
    }
    return handled;
  }
}

test('one of two backends is killed, and later started anew', async (t) => {
  const stack = await start(t);
  const one = await Backend.start(t, stack, DRIVEN, 'one');
  const two = await Backend.start(t, stack, DRIVEN, 'two');
  const load = await Load.start(t, stack);
  await load.more(300);
  for (const backend of [one, two])
    await backend.until('its share of the load', ({ at }) => at === 'count');
  one.kill();
  await one.exited;
  await load.more(300);
  const three = await Backend.start(t, stack, DRIVEN, 'three');
  two.kill();
  await two.exited;
  await load.more(300);
  await load.stop();
  load.check(one, two, three);
  assert.ok(three.lines.some(({ at, arrival }) => at === 'connection' && arrival === 'handed'));
});

test('a backend that stood still does nothing for what it has lost', async (t) => {
  const stack = await start(t);
  const one = await Backend.start(t, stack, DRIVEN, 'one');
  const two = await Backend.start(t, stack, DRIVEN, 'two');
  const load = await Load.start(t, stack);
  await load.more(300);
  one.kill('SIGSTOP');
  const held = new Set(one.lines.filter(({ at }) => at === 'connection').map(({ id }) => id));
  const from = two.lines.length;
  await two.until('a socket of the other', ({ at, arrival, id }) => at === 'connection' && arrival === 'handed' && held.has(id), from);
  await load.more(300); // among them what was in the queue of the one that stands still
  const before = one.lines.length;
  one.kill('SIGCONT');
  await one.until('a handover', ({ at }) => at === 'handover', before);
  await load.more(300);
  await load.stop();
  load.check(one, two);
  // What it did after that was for sockets that were given to it anew, but for the event that it had in hand when it stopped.
  const handed = one.lines.slice(before).findIndex(({ at }) => at === 'handover');
  assert.ok(one.lines.slice(before).slice(0, handed).filter(({ at }) => at === 'count').length <= 1);
});

test('a callback that blocks for too long loses the sockets, and goes on', async (t) => {
  const stack = await start(t);
  const one = await Backend.start(t, stack, DRIVEN, 'one');
  const socket = await connect(t, stack.url(0));
  await one.told('connection', socket.id);
  const two = await Backend.start(t, stack, DRIVEN, 'two');
  const blocked = ask(socket, 'call', 'block', `${2 * DEAD}`);
  const next = ask(socket, 'count', 1); // would be handled behind the other, by the first
  await two.told('connection', socket.id);
  assert.equal(await blocked, 'done');
  assert.equal(await next, 1);
  await one.told('handover', socket.id);
  assert.deepEqual(one.lines.filter(({ at }) => at === 'count'), []);
  assert.equal(two.lines.filter(({ at }) => at === 'count').length, 1);
});

test('the router is killed, twice', async (t) => {
  const stack = await start(t, 5 * DEAD); // the router is back before that
  const one = await Backend.start(t, stack, DRIVEN, 'one');
  const two = await Backend.start(t, stack, DRIVEN, 'two');
  const load = await Load.start(t, stack);
  for (let i = 0; i < 2; i++) {
    await load.more(300);
    await stack.kill('router');
  }
  await load.more(300);
  await load.stop();
  load.check(one, two);
  for (const backend of [one, two])
    assert.deepEqual(backend.lines.filter(({ at }) => at === 'handover'), [], 'its sockets stay its own');
});

test('what a backend sends while the router is away arrives once', async (t) => {
  const stack = await start(t, 5 * DEAD); // the router is back before that
  await Backend.start(t, stack, DRIVEN, 'one');
  const socket = await connect(t, stack.url(0));
  let heard = 0;
  socket.on('heard', () => { heard++; });
  assert.equal((await ask(socket, 'call', 'join', 'r')).error, '');
  const seqs = [];
  for (let i = 0; i < 3; i++) {
    // An event may be handled twice, but not count twice: it has an id.
    const sent = Array.from({ length: 20 }, (_, j) => ask(socket, 'call', 'archived', 'r', `message-${i}-${j}`));
    await stack.kill('router');
    for (const { error, seq } of await Promise.all(sent)) {
      assert.equal(error, '');
      seqs.push(seq);
    }
  }
  await ask(socket, 'call', 'which');
  assert.deepEqual(seqs.sort((a, b) => a - b), Array.from({ length: 60 }, (_, i) => i + 1));
  assert.equal(heard, 60);
});
