// A rolling restart: three gateways and then the router are asked to end, one after the other, under 1,000 stock
// clients in 50 rooms and 200 messages a second.  Nothing is lost, nothing comes twice, and everybody is recovered.

import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LIMIT } from '../support/client.mjs';
import { within } from '../support/stack.mjs';
import { run } from './run.mjs';

const GATEWAYS = 3;
const DELAY = 3000; // ms; long enough to be seen, whatever stands still meanwhile
const CONFIG = `gateway = { drain_delay = "${DELAY} ms"; drain_time = "4 s"; };\n`;

async function status(stack, gateway) {
  const response = await fetch(`${stack.url(gateway)}/healthz`).catch(() => null);
  return response?.status;
}

async function untilStatus(stack, gateway, wanted) {
  await within(LIMIT, `/healthz of gateway ${gateway} to say ${wanted}`, (async () => {
    while (await status(stack, gateway) !== wanted)
      await sleep(20);
  })());
}

test('three gateways and then the router end and start again, one after the other', async (t) => {
  const told = [];
  const { restarts, figures, load } = await run(t, {
    options: { gateways: GATEWAYS },
    config: CONFIG,
    whole: true,
    load: { clients: 1000, rooms: 50, rate: 200, roving: 'all' },
    fault: async (stack) => {
      const losses = {};
      for (let gateway = 0; gateway < GATEWAYS; gateway++) {
        const name = `gateway-${gateway + 1}`;
        const start = performance.now();
        const again = stack.kill(name, 'SIGTERM');
        await untilStatus(stack, gateway, 503); // a balancer sees it while the port is still there
        await again;
        told.push({ name, ms: Math.round(performance.now() - start) });
        await untilStatus(stack, gateway, 200);
        losses[name] = 1;
      }
      await stack.kill('router', 'SIGTERM');
      return losses; // so nobody lost a connection because of the router
    },
  });
  t.diagnostic(told.map(({ name, ms }) => `${name} ${ms} ms`).join(', '));
  assert.deepEqual(restarts, ['gateway-1', 'gateway-2', 'gateway-3', 'router']);
  for (const { ms } of told)
    assert.ok(ms > DELAY + 2000, `clients were told at a pace, in ${ms} ms`); // 333 of them, at least 100 a second
  assert.ok(figures.losses >= 1000, `everybody had to go at least once: ${figures.losses}`);
  assert.equal(figures.recovered, figures.returns, 'everybody that came back was recovered');
  for (const { reason } of load.clients.flatMap((client) => client.losses))
    assert.ok(['transport close', 'transport error'].includes(reason), reason);
});
