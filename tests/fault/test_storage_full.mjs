// The disk is full: publishes are refused, everything else goes on, nothing acknowledged is lost, and service
// resumes when there is room; in small, and under load.  Needs a small file system of its own, so root.

import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, collect, connect, LIMIT } from '../support/client.mjs';
import { Stack, run as execute, temporaryFolder, undo } from '../support/stack.mjs';
import { LONG, SECONDS, pause, run } from './run.mjs';

const SIZE = 24 << 20;
const ROOM_LEFT = 2 << 20;
const BODY = 'x'.repeat(20_000);

async function smallDisk(t, size = SIZE) {
  const folder = await temporaryFolder(t);
  const { code, stderr } = await execute('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder]);
  if (code !== 0) {
    t.skip(`needs to mount a small file system: ${stderr.trim()}`);
    return null;
  }
  undo(t, () => execute('umount', [folder]));
  return folder;
}

async function freeBytes(folder) {
  const { stdout } = await execute('df', ['--output=avail', '--block-size=1', folder]);
  return Number(stdout.trim().split('\n')[1]);
}

test('a full disk refuses publishes and loses nothing', async (t) => {
  const disk = await smallDisk(t);
  if (!disk)
    return;
  const stack = await Stack.start(t, { data: path.join(disk, 'data') });
  const [writer, reader] = await Promise.all([connect(t, stack.url(0)), connect(t, stack.url(1))]);
  await Promise.all([ask(writer, 'join', 'full'), ask(reader, 'join', 'full')]);
  const heard = collect(reader, 'msg');
  const accepted = [];
  const refused = [];
  let number = 0;
  const say = async () => {
    const id = `message-${number++}`;
    const answer = await ask(writer, 'msg', { room: 'full', id, body: BODY });
    (answer.ok ? accepted : refused).push({ id, answer });
    return answer;
  };

  assert.equal((await say()).ok, true);
  const filler = path.join(disk, 'filler');
  await writeFile(filler, Buffer.alloc(await freeBytes(disk) - ROOM_LEFT));
  const most = (ROOM_LEFT / BODY.length) * 2;
  for (let i = 0; i < most && refused.length === 0; i++)
    await say();
  assert.equal(refused.length, 1, 'the disk did not fill up');
  assert.equal(refused[0].answer.error.code, 'storage_full');

  // Everything else goes on.
  const newcomer = await connect(t, stack.url(0));
  const joined = await ask(newcomer, 'join', { room: 'full', history: 5 });
  assert.deepEqual([joined.ok, joined.members, joined.seq], [true, 3, accepted.at(-1).answer.seq]);
  assert.deepEqual(joined.history.map(({ id }) => id), accepted.slice(-5).map(({ id }) => id));
  const typing = collect(reader, 'typing');
  assert.deepEqual(await ask(writer, 'typing', { room: 'full' }), { ok: true });
  await typing.reached(1);
  assert.deepEqual(await ask(newcomer, 'leave', 'full'), { ok: true, room: 'full' });
  assert.equal((await say()).error.code, 'storage_full');

  // A kill in that state loses nothing either, and there is room again.
  await stack.kill('router');
  await rm(filler);
  const deadline = performance.now() + LIMIT;
  while (!(await say()).ok && performance.now() < deadline)
    await sleep(50);
  assert.equal((await say()).ok, true, 'service resumed');
  await heard.reached(accepted.length);

  assert.deepEqual(accepted.map(({ answer }) => answer.seq), accepted.map((_, index) => index + 1));
  assert.deepEqual(heard.all.map(([, meta]) => meta.id), accepted.map(({ id }) => id));
  assert.ok(refused.every(({ answer }) => answer.error.code === 'storage_full'), JSON.stringify(refused));
  assert.equal(writer.connected && reader.connected && newcomer.connected, true);
  assert.deepEqual(await stack.stop(), { code: 0, signal: null });
  const rows = await stack.journal('select seq, publish_id as id from message order by pos');
  assert.deepEqual(rows, accepted.map(({ id }, index) => ({ seq: index + 1, id })));
  t.diagnostic(`${accepted.length} accepted, ${refused.length} refused`);
});

test('the disk fills up under load, a gateway dies, and there is room again', async (t) => {
  const disk = await smallDisk(t, LONG ? SIZE * 4 : SIZE * 2);
  if (!disk)
    return;
  const filler = path.join(disk, 'filler');
  const full = (load) => [...load.messages.values()].some(({ refused }) => refused === 'storage_full');
  const { figures } = await run(t, {
    options: { data: path.join(disk, 'data') },
    fault: async (stack, load, over) => {
      await pause(SECONDS / 5, over);
      await writeFile(filler, Buffer.alloc(await freeBytes(disk))).catch((error) => {
        if (error.code !== 'ENOSPC') // the journal was quicker: full it is
          throw error;
      });
      while (!over() && !full(load))
        await sleep(20);
      await pause(SECONDS / 10, over);
      await stack.kill('gateway-1');
      await pause(SECONDS / 5, over);
      await rm(filler);
      return { 'gateway-1': 1 };
    },
  });
  assert.ok(figures.refused > 0, 'the disk was full');
});
