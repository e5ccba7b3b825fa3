// Processes die under load: 200 stock clients in 20 rooms, 200 messages a second, HUBBUB_FAULT_SECONDS a run.

import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LIMIT } from '../support/client.mjs';
import { pause, run } from './run.mjs';

const EVERY = 5; // seconds between faults
const STORM = 0.25; // seconds between kills, too short for all clients to be back
const ABORT_AFTER_COMMITS = 500; // a few seconds of this load

/** Kills what names(round) says every few seconds, all at once. */
function killing(names, { every = EVERY, signal = 'SIGKILL' } = {}) {
  return async (stack, load, over) => {
    const kills = {};
    for (let round = 0; ; round++) {
      await pause(round ? every : every / 2, over);
      if (over())
        return kills;
      await Promise.all(names(round).map((name) => stack.kill(name, signal)));
      for (const name of names(round))
        kills[name] = (kills[name] || 0) + 1;
    }
  };
}

const gatewayOf = (round) => `gateway-${(round % 2) + 1}`;

test('no fault', async (t) => {
  const { restarts, figures } = await run(t);
  assert.deepEqual(restarts, []);
  assert.equal(figures.losses, 0);
});

test('kill -9 of the router: no client is disconnected', async (t) => {
  const { figures } = await run(t, { fault: killing(() => ['router']) });
  assert.equal(figures.losses, 0);
});

test('kill -9 of a gateway: nobody else is disconnected', async (t) => {
  const { figures } = await run(t, { fault: killing((round) => [gatewayOf(round)]) });
  assert.ok(figures.returns > 0, 'clients came back');
});

test('kill -9 of the router and of a gateway at once, of all at times', async (t) => {
  const { figures } = await run(t, {
    fault: killing((round) => (round % 3 === 2 ? ['router', 'gateway-1', 'gateway-2'] : ['router', gatewayOf(round)])),
  });
  assert.ok(figures.returns > 0, 'clients came back');
});

test('kill -9 of one after the other, clients lose their connection again while they come back', async (t) => {
  const order = ['gateway-1', 'gateway-2', 'router', 'gateway-2', 'gateway-1'];
  await run(t, { fault: killing((round) => [order[round % order.length]], { every: STORM }) });
});

test('a rolling restart: each is asked to end in its turn', async (t) => {
  const order = ['gateway-1', 'gateway-2', 'router'];
  await run(t, { fault: killing((round) => [order[round % order.length]], { every: 2, signal: 'SIGTERM' }) });
});

test('the router aborts between commit and send: no client is disconnected', async (t) => {
  const { restarts, figures } = await run(t, {
    options: { environment: { HUBBUB_TEST_ABORT_AFTER_COMMITS: String(ABORT_AFTER_COMMITS) } },
    whole: true,
    fault: async (stack) => {
      const starts = stack.starts.length; // a slow disk takes more messages to a commit, and longer to come so far
      for (const end = performance.now() + LIMIT; stack.starts.length === starts && performance.now() < end;)
        await sleep(50);
      return {};
    },
  });
  assert.ok(restarts.length > 0, 'the router was aborted: needs a build with -Dtest_hooks=true');
  assert.deepEqual([...new Set(restarts)], ['router']);
  assert.equal(figures.losses, 0);
});
