// MongoDB dies and comes back, and its answers get lost, while the archive follows the load.  Live chat goes on, and
// in the end the archive holds each message once.

import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LIMIT } from '../support/client.mjs';
import { faultProxy } from '../support/fault_proxy.mjs';
import { MongoDB } from '../support/mongodb.mjs';
import { within } from '../support/stack.mjs';
import { LONG, metrics, pause, run } from './run.mjs';

const DOWN = LONG ? 20 : 4; // seconds
const CATCH_UP = 300_000; // ms: only a hang meets it
const LOST = 7; // each so many answers to inserts
const TORN = 5;
const HOT = 300; // messages that the journal keeps
const WINDOW = 4; // seconds of it that it keeps in any case

function archiving(port, more = '') {
  return `router = { ${more} archive = "mongodb://127.0.0.1:${port}/?directConnection=true"; archive_timeout = "1 s"; archive_retry_max = "1 s"; };\n`;
}

/** Waits until the archive has all; then what is in it. */
function whole(mongodb) {
  return async (stack) => {
    await within(CATCH_UP, 'the archive to catch up', (async () => {
      while ((await metrics(stack)).hubbub_archive_lag_messages > 0)
        await sleep(100);
    })());
    return mongodb.documents();
  };
}

test(`MongoDB is down for ${DOWN} s and comes back`, async (t) => {
  const mongodb = await MongoDB.start(t);
  const { figures } = await run(t, {
    config: archiving(mongodb.port),
    archive: whole(mongodb),
    fault: async (stack, load, over) => {
      await pause(2, over);
      await mongodb.kill();
      await pause(DOWN, () => false);
      assert.ok((await metrics(stack)).hubbub_archive_lag_messages > 0, 'the archive was behind');
      await mongodb.begin();
      return {};
    },
  });
  assert.equal(figures.losses, 0);
});

test('MongoDB\'s answers get lost and torn, and the router dies meanwhile', async (t) => {
  const mongodb = await MongoDB.start(t);
  const proxy = await faultProxy(t, mongodb.port, 'mongodb');
  await run(t, {
    config: archiving(proxy.port),
    archive: whole(mongodb),
    whole: true,
    fault: async (stack, load, over) => {
      for (let round = 0; !over(); round++) {
        await proxy.command(round % 2 ? `tear ${TORN} ${round * 7} insert` : `lose ${LOST} insert`);
        await pause(3, over);
        await stack.kill('router');
      }
      await within(LIMIT, 'answers to be lost', (async () => {
        for (let gone = 0; gone === 0; await sleep(50)) {
          const { lost, torn } = await proxy.status();
          gone = lost + torn;
        }
      })());
      await proxy.command('lose 0');
      return {};
    },
  });
});

test('most messages have left the journal, and MongoDB, a gateway and the router die', async (t) => {
  const mongodb = await MongoDB.start(t);
  const { figures } = await run(t, {
    config: archiving(mongodb.port, `hot_messages = ${HOT}; recovery_window = "${WINDOW} s"; recovery_margin = "1 s"; `),
    window: WINDOW / 2, // a client may know of its loss later than the router
    load: { logged: false }, // they leave with the window
    archive: async (stack) => {
      await within(CATCH_UP, 'messages to leave the journal', (async () => {
        while ((await metrics(stack)).hubbub_journal_removed_total <= HOT)
          await sleep(100);
      })());
      return whole(mongodb)(stack);
    },
    fault: async (stack, load, over) => {
      const losses = { 'gateway-1': 0, 'gateway-2': 0 };
      for (let round = 0; !over(); round++) {
        const gateway = `gateway-${(round % 2) + 1}`;
        await pause(WINDOW * 1.5, over); // the window begins with the router
        await stack.kill(gateway);
        losses[gateway]++;
        await mongodb.kill();
        await stack.kill('router');
        await pause(1, over);
        await mongodb.begin();
      }
      return losses;
    },
  });
  assert.ok(figures['left the journal'] > HOT, 'messages left the journal');
});
