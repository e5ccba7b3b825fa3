// Exactly once from end to end: stock clients that send again by themselves (retries, ackTimeout), on links that
// lose every tenth answer, cut and moved to the other gateway, over a router and a gateway that are killed.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { ask, collect, connect, open, settled, LIMIT } from '../support/client.mjs';
import { Stack, hubbub, run, undo, within } from '../support/stack.mjs';

const PROXY = path.join(path.dirname(fileURLToPath(import.meta.url)), '../support/fault_proxy.py');
const ROOMS = ['left', 'right'];
const SENDERS = 3; // of each room
const MESSAGES = 40; // of each sender
const AGAIN = ['busy', 'unavailable', 'storage_full'];

/** A proxy before one gateway; {url, command(line)}.  It ends with its standard input. */
async function faultProxy(t, url) {
  const { host } = new URL(url);
  const child = spawn('python3', [PROXY, '--to', host, '--protocol', 'websocket'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  undo(t, async () => {
    child.stdin.end();
    await within(LIMIT, 'the end of the proxy', exited).catch(() => child.kill('SIGKILL'));
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => (await within(LIMIT, 'a line of the proxy', lines.next())).value;
  const command = async (text) => {
    child.stdin.write(`${text}\n`);
    const answer = await line();
    assert.match(answer, /^ok/, text);
    return answer;
  };
  const port = /^port (\d+)$/.exec(await line());
  assert.ok(port);
  return { url: `http://127.0.0.1:${port[1]}`, command };
}

/** The loop of docs/protocol.md, Publishing once. */
async function say(socket, message) {
  for (;;) {
    const answer = await socket.emitWithAck('msg', message);
    if (answer.ok)
      return answer;
    if (answer.error.code === 'not_joined')
      await socket.emitWithAck('join', message.room);
    else
      assert.ok(AGAIN.includes(answer.error.code), JSON.stringify(answer));
  }
}

/** A client that comes back on the other link whenever it loses the one it has. */
function sender(t, links, number) {
  let link = number % links.length;
  const socket = open(t, links[link].url, {
    retries: Infinity, ackTimeout: 1000, reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200,
  });
  socket.connects = 0;
  socket.moved = new Promise((resolve) => {
    socket.on('connect', () => ++socket.connects === 2 && resolve());
  });
  socket.io.on('reconnect_attempt', () => { socket.io.uri = links[++link % links.length].url; });
  return socket;
}

test('stock clients with retries: each message once in the archive and at every member', async (t) => {
  const stack = await Stack.start(t, { gateways: 2 });
  const links = await Promise.all([0, 1].map((gateway) => faultProxy(t, stack.url(gateway))));

  // The members' links are sound: each hears all of its room, or, on the gateway that is killed, all up to then.
  const members = [];
  for (const room of ROOMS) {
    for (const gateway of [0, 1]) {
      const socket = await connect(t, stack.url(gateway));
      await ask(socket, 'join', room);
      members.push({ room, gateway, socket, heard: collect(socket, 'msg') });
    }
  }
  for (const link of links)
    await link.command('lose 10 43');

  const total = ROOMS.length * SENDERS * MESSAGES;
  const sent = []; // {room, by, id, n, answer} in each sender's order
  let answered = 0;
  const faults = new Map([
    [Math.floor(total / 4), () => links[0].command('cut')],
    [Math.floor(total / 2), () => stack.kill('router')],
    [Math.floor(total * 5 / 8), () => Promise.all(links.map((link) => link.command('cut rst')))],
    [Math.floor(total * 3 / 4), async () => {
      for (const { gateway, socket, room } of members)
        if (gateway === 0)
          await settled(socket, room); // a gateway that was kept waiting has told its members by then
      await stack.kill('gateway-1');
    }],
  ]);
  const happening = [];
  const sockets = [];
  await within(5 * LIMIT, 'every answer', Promise.all(ROOMS.flatMap((room, r) =>
    Array.from({ length: SENDERS }, async (_, s) => {
      const by = `${room} ${s}`;
      const socket = sender(t, links, r * SENDERS + s);
      sockets.push(socket);
      for (let n = 0; n < MESSAGES; n++) {
        const message = { room, id: randomUUID(), by, n };
        sent.push({ ...message, answer: await say(socket, message) });
        const fault = faults.get(++answered);
        if (fault)
          happening.push(fault());
      }
    }))));
  await Promise.all(happening);

  // It was as bad as it was meant to be.
  assert.equal(happening.length, 4);
  const lost = (await Promise.all(links.map((link) => link.command('status'))))
    .reduce((sum, answer) => sum + Number(/ lost=(\d+)/.exec(answer)[1]), 0);
  assert.ok(lost >= total / 20, `only ${lost} answers were lost`);
  await within(LIMIT, 'everyone on the other link', Promise.all(sockets.map((socket) => socket.moved)));
  const { stdout } = await run(hubbub, ['stats', 'json', '--data', stack.data]);
  const repeated = JSON.parse(stdout).metrics.hubbub_repeated_total; // since the router was killed
  assert.ok(repeated >= total / 40, `only ${repeated} came again`);

  for (const message of sent)
    assert.equal(message.answer.id, message.id);
  for (const room of ROOMS) {
    const numbers = sent.filter((message) => message.room === room).map(({ answer }) => answer.seq);
    assert.deepEqual(numbers.toSorted((a, b) => a - b), numbers.map((_, index) => index + 1), `the numbers of ${room}`);
  }
  const expected = (room) => sent.filter((message) => message.room === room)
    .toSorted((a, b) => a.answer.seq - b.answer.seq).map(({ id, by, n, answer }) => ({ id, by, n, seq: answer.seq }));
  for (const { room, gateway, socket, heard } of members) {
    if (gateway === 1)
      await settled(socket, room);
    const got = heard.all.map(([{ id, by, n }, { seq }]) => ({ id, by, n, seq }));
    const due = gateway === 1 ? expected(room) : expected(room).slice(0, got.length);
    assert.ok(got.length > MESSAGES, `${got.length} reached a member of ${room}`);
    assert.deepEqual(got, due, `a member of ${room} on gateway ${gateway + 1}`);
  }
  for (const room of ROOMS) {
    for (let s = 0; s < SENDERS; s++) {
      const order = expected(room).filter(({ by }) => by === `${room} ${s}`).map(({ n }) => n);
      assert.deepEqual(order, order.map((_, index) => index), `the order of ${room} ${s}`);
    }
  }

  assert.deepEqual(await stack.stop(), { code: 0, signal: null });
  const rows = await stack.journal('select room, seq, publish_id as id from message order by pos');
  for (const room of ROOMS) {
    assert.deepEqual(rows.filter((row) => row.room === room).map(({ id, seq }) => ({ id, seq })),
      expected(room).map(({ id, seq }) => ({ id, seq })), `the archive of ${room}`);
  }
  assert.equal(rows.length, total);
  t.diagnostic(`${total} messages, ${lost} answers lost, ${sockets.reduce((sum, { connects }) => sum + connects, 0)} connections, ${repeated} repetitions since the kill`);
});
