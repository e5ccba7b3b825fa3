// A member that never reads, in a room of 500 at full speed: the gateway's memory stays bounded, and what the others
// get costs no more than without it.  Compared in turns, by the processor's time for a delivery: on a busy machine
// latency and throughput say more about the machine.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LIMIT } from '../support/client.mjs';
import { Stack, build, run as execute, undo, within } from '../support/stack.mjs';
import { LONG, metrics } from './run.mjs';

const PAIRS = LONG ? 5 : 3;
const PAIRS_MAX = 11;
const MEASURE = LONG ? 5000 : 1500; // ms
const MORE = 20; // such times at most until the queue is full
const MEMBERS = 499;
const TEXT = 4000; // bytes of a message: the queue of one that does not read is full within seconds
const SLOWER = 1.2;
const MEMORY = 8 << 20; // bytes; outbound_queue is 1 MB
const NUDGE = Buffer.from([0x8a, 0x80, 0, 0, 0, 0]); // an unasked pong: shows whether the connection still is

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

function textFrame(text) {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([0x81, 0x80 | bytes.length, 0, 0, 0, 0]), bytes]);
}

/** Joins the room and reads nothing from then on; comes back as soon as it was closed. */
class SlowReader {
  constructor(t, port, room) {
    Object.assign(this, { port, room, ended: false });
    this.nudging = setInterval(() => this.socket?.write(NUDGE), 50);
    undo(t, () => this.end());
  }

  open() {
    this.socket = net.connect(this.port, '127.0.0.1');
    this.socket.on('error', () => {});
    this.socket.once('close', () => this.ended || this.open());
    this.socket.write('GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n'
      + 'Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n');
    this.socket.write(textFrame('40'));
    this.socket.write(textFrame(`420["join","${this.room}"]`));
    return new Promise((resolve) => {
      let seen = '';
      this.socket.on('data', (data) => {
        seen += data.toString('latin1');
        if (!seen.includes('430['))
          return;
        this.socket.removeAllListeners('data');
        this.socket.pause();
        resolve();
      });
    });
  }

  end() {
    this.ended = true;
    clearInterval(this.nudging);
    this.socket?.destroy();
  }
}

async function residentBytes(pid) {
  return Number(/VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))[1]) << 10;
}

test('a member that never reads costs the others nothing', async (t) => {
  const stack = await Stack.start(t, { gateways: 1 });
  const gateway = stack.pids.get('gateway-1');
  const figures = { with: { cost: [], memory: 0 }, without: { cost: [], memory: 0 } };
  const slowReaders = async () => (await metrics(stack))['hubbub_closed_total{reason=slow_reader}'] ?? 0;

  const slowReader = async () => {
    const slow = new SlowReader(t, stack.ports[0], 'room-0');
    await within(LIMIT, 'the join of the slow reader', slow.open());
    return slow;
  };

  /** The crowd talks for a while. */
  const talk = async (kind) => {
    const figure = figures[kind];
    let over = false;
    const watching = (async () => {
      while (!over) {
        figure.memory = Math.max(figure.memory, await residentBytes(gateway));
        await sleep(20);
      }
    })();
    const { code, stdout, stderr } = await execute(path.join(build, 'tests/bench/load'), [`--port=${stack.ports[0]}`,
      `--members=${MEMBERS}`, '--publishers=5', '--window=4', `--text=${TEXT}`, '--warm-up=500 ms', `--measure=${MEASURE} ms`,
      `--servers=${[...stack.pids.values()]}`]);
    over = true;
    await watching;
    assert.equal(code, 0, `everybody else got everything: ${stdout}${stderr}`);
    const { cpu_us_per_delivery: cost, deliveries_per_s: rate, p50_ms: latency } = JSON.parse(stdout);
    figure.cost.push(cost);
    t.diagnostic(`${kind}: ${cost} us a delivery, ${Math.round(rate)} deliveries/s, p50 ${latency} ms`);
  };

  const ratioOf = () => median(figures.with.cost) / median(figures.without.cost);
  // What else the machine does shows in these figures as well: a ratio that is too large is looked at longer.
  for (let pair = 0; pair < PAIRS || (pair < PAIRS_MAX && ratioOf() > SLOWER); pair++) {
    for (const kind of pair % 2 ? ['with', 'without'] : ['without', 'with']) {
      const slow = kind === 'with' && await slowReader();
      await talk(kind);
      if (slow)
        slow.end();
    }
  }
  const ratio = ratioOf();
  // On a busy machine not enough has come through to fill the queue of any: one that stays has what all talks left it.
  if (await slowReaders() === 0) {
    const slow = await slowReader();
    for (let more = 0; more < MORE && await slowReaders() === 0; more++)
      await talk('with');
    slow.end();
  }
  const memory = figures.with.memory - figures.without.memory;
  const closed = await slowReaders();
  t.diagnostic(`ratio ${ratio.toFixed(3)}, ${(memory / 1024).toFixed()} KB more memory, closed ${closed} times`);
  assert.ok(closed > 0, 'it was slow, and was closed for it');
  assert.ok(ratio <= SLOWER, `others cost ${ratio} times as much`);
  assert.ok(memory <= MEMORY, `the gateway took ${memory} bytes more`);
  assert.deepEqual(await stack.stop(), { code: 0, signal: null });
});
