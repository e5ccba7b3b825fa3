// The router's wall clock jumps an hour to and fro: time in messages never goes back in a room, and nothing that
// is judged by time (silence, sessions, what counts as repeated) changes.

import assert from 'node:assert/strict';
import { access, open } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import { build, temporaryFolder } from '../support/stack.mjs';
import { pause, run } from './run.mjs';

const HOUR = 3600; // seconds
const JUMPS = [HOUR, -HOUR, 0, -2 * HOUR, HOUR]; // from the true time

test('the clock jumps an hour forward and back, and a gateway dies meanwhile', async (t) => {
  const shim = path.join(build, 'tests/fault/libclock_shift.so');
  await access(shim).catch(() => {
    throw new Error(`${shim} is not there: needs a build with -Dtest_hooks=true`);
  });
  const file = path.join(await temporaryFolder(t), 'shift');
  const clock = await open(file, 'w+');
  t.after(() => clock.close());
  const jump = async (seconds) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(seconds));
    await clock.write(bytes, 0, 8, 0);
  };
  await jump(0);
  const { load } = await run(t, {
    options: {
      environment: {
        LD_PRELOAD: shim,
        HUBBUB_TEST_CLOCK_PROGRAM: 'hubbub-router',
        HUBBUB_TEST_CLOCK_FILE: file,
        ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:verify_asan_link_order=0`,
      },
    },
    fault: async (stack, _, over) => {
      let kills = 0;
      for (let round = 0; !over(); round++) {
        await pause(2, over);
        await jump(JUMPS[round % JUMPS.length]);
        if (round % 3 === 1) {
          await pause(0.5, over);
          await stack.kill('gateway-1');
          kills++;
        }
      }
      return { 'gateway-1': kills };
    },
  });
  const times = [...load.messages.values()].flatMap(({ answer }) => (answer?.seq ? [answer.at] : []));
  assert.ok(Math.max(...times) - Math.min(...times) >= HOUR * 1000, 'the clock jumped');
});
