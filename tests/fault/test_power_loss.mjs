// The router's machine goes dark under load, and at times the gateways' as well: what was written and not synced is
// lost, all of it or any sectors of it, and what was acknowledged is there, sessions among it.  A shim keeps what
// the writes replaced (unsynced.c).

import assert from 'node:assert/strict';
import { access, open, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import { build } from '../support/stack.mjs';
import { ApartStack } from './apart.mjs';
import { configuration, pause, run } from './run.mjs';

const SECTOR = 512;
const HEAD = 32;
const SYNC_MS = 15;
const EVERYTHING = 4; // each so many times the gateways' machine as well

/** Takes back what was not synced of a file: of each write all, or any sectors.  Gives how many writes there were. */
async function lose(file, all) {
  const record = await readFile(`${file}.unsynced`).catch(() => Buffer.alloc(0));
  const writes = [];
  // The kill may have come while the last record was being written; its write had not begun then.
  for (let at = 0; at + HEAD <= record.length;) {
    const [offset, replaced, written, size] = [0, 8, 16, 24].map((field) => Number(record.readBigInt64LE(at + field)));
    if (at + HEAD + replaced > record.length)
      break;
    writes.push({ offset, written, size, before: record.subarray(at + HEAD, at + HEAD + replaced) });
    at += HEAD + replaced;
  }
  if (writes.length) {
    const handle = await open(file, 'r+');
    for (const { offset, written, size, before } of writes.reverse()) {
      // A size that grew is kept when parts are: a file system may have noted it before the bytes, which are zeros then.
      const zeros = Buffer.alloc(Math.max(0, written - before.length));
      const former = Buffer.concat([before, zeros]);
      for (let at = 0; at < former.length; at += SECTOR) {
        if (all || Math.random() < 0.5)
          await handle.write(former, at, Math.min(SECTOR, former.length - at), offset + at);
      }
      if (all)
        await handle.truncate(size);
    }
    await handle.close();
  }
  await rm(`${file}.unsynced`, { force: true });
  return writes.length;
}

test('the machine goes dark, again and again', async (t) => {
  const shim = path.join(build, 'tests/fault/libunsynced.so');
  await access(shim).catch(() => {
    throw new Error(`${shim} is not there: needs a build with -Dtest_hooks=true`);
  });
  const stack = await ApartStack.start(t, {
    options: [await configuration(t)],
    environment: {
      LD_PRELOAD: shim,
      HUBBUB_TEST_SYNC_MS: String(SYNC_MS),
      ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:verify_asan_link_order=0`,
    },
  });
  const { figures } = await run(t, {
    stack,
    fault: async (_, load, over) => {
      const journal = path.join(stack.data, 'journal.sqlite');
      const lost = { 'journal.sqlite': 0, 'journal.sqlite-wal': 0 };
      const gateways = ['gateway-1', 'gateway-2'];
      const losses = {};
      let rounds = 0;
      for (; !over(); rounds++) {
        const died = rounds % EVERYTHING ? ['router'] : ['router', ...gateways];
        await pause(0.5 + Math.random(), over);
        await Promise.all(died.map((name) => stack.kill(name)));
        for (const file of [journal, `${journal}-wal`])
          lost[path.basename(file)] += await lose(file, rounds % 2 === 0);
        await rm(`${journal}-shm`, { force: true }); // made anew from the WAL
        await Promise.all(died.map((name) => stack.begin(name)));
        for (const name of died)
          losses[name] = (losses[name] ?? 0) + 1;
      }
      t.diagnostic(`${rounds} times dark, writes lost: ${JSON.stringify(lost)}`);
      assert.ok(lost['journal.sqlite-wal'] > rounds, 'something was on its way to the disk');
      return losses;
    },
  });
  assert.ok(figures.returns > 0, 'clients came back');
});
