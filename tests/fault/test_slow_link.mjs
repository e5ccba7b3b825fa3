// The link between gateways and router is slow, stands still at times, and breaks in the middle of a batch.

import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LIMIT } from '../support/client.mjs';
import { faultProxy } from '../support/fault_proxy.mjs';
import { within } from '../support/stack.mjs';
import { ApartStack } from './apart.mjs';
import { LONG, configuration, metrics, pause, run } from './run.mjs';

const DELAY = 200; // ms each way
const STALLS = [LONG ? 8 : 6, 0.5, 2]; // seconds; the first is longer than `dead`

async function behindProxies(t, options = {}) {
  const proxies = [];
  const stack = await ApartStack.start(t, {
    options: [await configuration(t)],
    ...options,
    through: async (port, number) => {
      proxies[number] = await faultProxy(t, port);
      return `tcp://127.0.0.1:${proxies[number].port}`;
    },
  });
  return { stack, proxies };
}

test(`the link is ${DELAY} ms slower each way and stalls`, async (t) => {
  const { stack, proxies } = await behindProxies(t);
  const { figures } = await run(t, {
    stack,
    fault: async (_, load, over) => {
      await Promise.all(proxies.map((proxy) => proxy.command(`delay ${DELAY}`)));
      for (let round = 0; !over(); round++) {
        const proxy = proxies[round % proxies.length];
        await pause(1, over);
        await proxy.command(['stall', 'stall up', 'stall down'][round % 3]);
        await pause(STALLS[round % STALLS.length], over);
        await proxy.command('resume');
        await pause(2, over);
      }
      await Promise.all(proxies.map((proxy) => proxy.command('delay 0')));
      return {};
    },
  });
  assert.ok(figures.p50 >= 2 * DELAY, 'the link was slow');
});

test('the link breaks in the middle of a batch', async (t) => {
  const { stack, proxies } = await behindProxies(t);
  await run(t, {
    stack,
    fault: async (_, load, over) => {
      for (let round = 0; !over(); round++) {
        const way = round % 2 ? 'up' : 'down';
        await Promise.all(proxies.map((proxy, number) => proxy.command(`break ${1 + ((round * 997 + number * 313) % 5000)} ${way}`)));
        await pause(1.5, over);
      }
      const broken = await Promise.all(proxies.map(async (proxy) => (await proxy.status()).broken));
      assert.ok(broken.every((count) => count > 0), `${broken} links were broken`);
      return {};
    },
  });
});

test('a gateway falls behind, at times by more than it can be told', async (t) => {
  const { stack, proxies } = await behindProxies(t, { router: ['--max-unacknowledged=64 KB', '--resync-max=64 KB'] });
  const behind = async () => (await metrics(stack)).hubbub_router_links_behind_total;
  await run(t, {
    stack,
    whole: true,
    fault: async (_, load, over) => {
      for (let round = 0; round === 0 || !over(); round++) {
        const enough = () => round > 0 && over(); // the first is whole, however slow this is
        const before = await behind();
        const proxy = proxies[round % 2];
        await pause(1, enough);
        await proxy.command('stall down');
        await within(LIMIT, 'a gateway to fall behind', (async () => {
          while (!enough() && await behind() === before)
            await sleep(100);
        })());
        await pause(round % 2 ? 4 : 0, enough);
        await proxy.command('resume');
        await pause(2, enough);
      }
      let figures;
      const replays = (result) => figures[`hubbub_router_replays_total{result=${result}}`] ?? 0;
      // A short run has two or three rounds, which may all end in the same way.
      await within(LIMIT, 'a gateway to come back', (async () => {
        while (figures = await metrics(stack), replays('complete') + replays('impossible') <= proxies.length)
          await sleep(100);
      })());
      t.diagnostic(`replays: ${replays('complete')} complete, ${replays('impossible')} impossible`);
      if (LONG) {
        assert.ok(replays('complete') > proxies.length, 'a gateway was told what it had missed');
        assert.ok(replays('impossible') > 0, 'a gateway had missed too much');
      }
      return null;
    },
  });
});
