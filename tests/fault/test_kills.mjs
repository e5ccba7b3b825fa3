// Processes die under load: 200 stock clients in 20 rooms, 200 messages a second, HUBBUB_FAULT_SECONDS a run.

import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Stack } from '../support/stack.mjs';
import { check } from './check.mjs';
import { Load } from './load.mjs';

const SECONDS = Number(process.env.HUBBUB_FAULT_SECONDS || 20);
const EVERY = 5; // seconds between faults
const ABORT_AFTER_COMMITS = 500; // a few seconds of this load

/** A run with a fault every EVERY seconds; fault(stack, round) gives the names it killed. */
async function run(t, { fault, environment, acknowledged }) {
  const stack = await Stack.start(t, { environment });
  const load = new Load(t, stack);
  const kills = new Map();
  await load.begin();
  const before = stack.starts.length;
  let over = false;
  const faults = (async () => {
    for (let round = 0; fault && !over; round++) {
      await sleep((round ? EVERY : EVERY / 2) * 1000);
      for (const name of over ? [] : await fault(stack, round))
        kills.set(name, (kills.get(name) || 0) + 1);
    }
  })();
  await load.run(SECONDS);
  over = true;
  await faults;
  await load.end();
  const restarts = stack.starts.slice(before).map(({ name }) => name);
  const { problems, figures } = await check(load, { kills });
  t.diagnostic(`${SECONDS} s, restarts: ${restarts.join(' ') || 'none'}`);
  t.diagnostic(Object.entries(figures).map(([name, figure]) => `${name} ${figure}`).join(', '));
  assert.deepEqual(problems, []);
  assert.ok(figures.sent > SECONDS * load.rate * 0.8, `only ${figures.sent} were sent: the test itself is too slow`);
  assert.ok(figures.part >= acknowledged, `${figures.acknowledged} of ${figures.sent} were acknowledged`);
  return { restarts, figures };
}

async function killAll(stack, names) {
  await Promise.all(names.map((name) => stack.kill(name)));
  return names;
}

const gatewayOf = (round) => `gateway-${(round % 2) + 1}`;

test('no fault', async (t) => {
  const { restarts, figures } = await run(t, { acknowledged: 0.99 });
  assert.deepEqual(restarts, []);
  assert.equal(figures.disconnects, 0);
});

test('kill -9 of the router: no client is disconnected', async (t) => {
  const { figures } = await run(t, { acknowledged: 0.9, fault: (stack) => killAll(stack, ['router']) });
  assert.equal(figures.disconnects, 0);
});

test('kill -9 of a gateway: nobody else is disconnected', async (t) => {
  await run(t, { acknowledged: 0.9, fault: (stack, round) => killAll(stack, [gatewayOf(round)]) });
});

test('kill -9 of the router and of a gateway at once, of all at times', async (t) => {
  await run(t, {
    acknowledged: 0.9,
    fault: (stack, round) => killAll(stack,
      round % 3 === 2 ? ['router', 'gateway-1', 'gateway-2'] : ['router', gatewayOf(round)]),
  });
});

test('the router aborts between commit and send: no client is disconnected', async (t) => {
  const { restarts, figures } = await run(t, {
    acknowledged: 0.9,
    environment: { HUBBUB_TEST_ABORT_AFTER_COMMITS: String(ABORT_AFTER_COMMITS) },
  });
  assert.ok(restarts.length > 0, 'the router was aborted: needs a build with -Dtest_hooks=true');
  assert.deepEqual([...new Set(restarts)], ['router']);
  assert.equal(figures.disconnects, 0);
});
