// One run: a stack, the load of load.mjs on it, faults meanwhile, and the checker at the end.
//
// HUBBUB_FAULT_SECONDS is how long the load lasts; a short run has shorter faults, and fewer of them.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LIMIT, ask } from '../support/client.mjs';
import { Stack, hubbub, run as execute, temporaryFolder } from '../support/stack.mjs';
import { check, figures } from './check.mjs';
import { EVENTS, Load } from './load.mjs';

export const SECONDS = Number(process.env.HUBBUB_FAULT_SECONDS || 12);
export const LONG = SECONDS >= 60;

const ACKNOWLEDGED = 0.99; // of what can be known of
const ACKNOWLEDGED_UNDER_FAULTS = 0.9; // of everything
const RECOVERED = 0.95; // of the returns within the window
const WINDOW = 120; // s

/** An option that names a configuration file of this test, with the load's rules. */
export async function configuration(t, text = '') {
  const file = path.join(await temporaryFolder(t), 'hubbub.conf');
  await writeFile(file, EVENTS + text);
  return `--config=${file}`;
}

/**
 * Runs the load.  Options:
 *   stack    a stack that runs with the load's rules; without it one is started with `options`, and with the
 *            text `config` in its configuration
 *   fault    async (stack, load, over): makes faults until over() is true, which is after SECONDS, gives {gateway:
 *            connections that end}, or nothing when any connection may end; without it none is made and none may end
 *   archive  async (stack): the documents of MongoDB, asked for while the stack still runs
 *   whole    the load lasts until the faults are over, however long they take
 *   window   for how many seconds sessions may come back, from when their clients know that they were lost
 *   load     options of Load
 * Gives {restarts, figures, load}.
 */
export async function run(t, { stack, options = {}, config, fault, archive, whole = false, window = WINDOW, load: settings } = {}) {
  stack ??= await Stack.start(t, { ...options, args: [await configuration(t, config)] });
  const load = new Load(t, stack, settings);
  await load.begin();
  const before = stack.starts.length;
  const end = performance.now() + SECONDS * 1000;
  const over = () => performance.now() >= end;
  let making = whole;
  const faults = (fault ? fault(stack, load, over) : Promise.resolve({})).finally(() => { making = false; });
  const [losses, seconds] = await Promise.all([faults, load.run(SECONDS, () => making)]);
  await load.end();
  const restarts = stack.starts.slice(before).map(({ name }) => name);
  const record = await collect(load, losses ?? null, archive);
  const problems = check(record);
  const numbers = figures(record, window * 1000);
  t.diagnostic(`${Math.round(seconds)} s, restarts: ${restarts.join(' ') || 'none'}`);
  t.diagnostic(Object.entries(numbers).map(([name, figure]) => `${name} ${figure}`).join(', '));
  assert.deepEqual(problems, []);
  const acknowledged = `${numbers.acknowledged} of ${numbers.intents} were acknowledged, ${numbers.lost} lost with a connection`;
  assert.ok(numbers.part >= ACKNOWLEDGED, acknowledged);
  assert.ok(numbers.acknowledged >= numbers.intents * (fault ? ACKNOWLEDGED_UNDER_FAULTS : ACKNOWLEDGED), acknowledged);
  assert.ok(numbers.recovered >= numbers.returns * RECOVERED, `${numbers.recovered} of ${numbers.returns} were recovered`);
  return { restarts, figures: numbers, load };
}

/** Everything that the checker looks at; stops the stack. */
async function collect(load, losses, archive) {
  const wrong = [...load.wrong];
  const histories = {};
  const members = new Map(load.clients.filter((client) => client.joined).map((client) => [client.room, client]));
  await Promise.all([...members].map(async ([room, client]) => { histories[room] = await wholeHistory(client); }));
  const documents = archive ? await archive(load.stack) : null;
  const { code, signal } = await load.stack.stop();
  if (code !== 0)
    wrong.push(`the stack ended with ${code ?? signal}`);
  const journal = await load.stack.journal(`select pos, room, event, coalesce(seq, 0) as seq, publish_id as id, at,
    json_extract(arguments, '$.tag') as tag from message order by pos`);
  // What has left the journal is in the archive alone, and counts as if it were still there.
  const kept = new Set(journal.map(({ pos }) => pos));
  const left = (documents ?? []).filter(({ pos }) => !kept.has(pos));
  return {
    messages: [...load.messages.values()],
    clients: load.clients.map((client) => client.record()),
    wrong,
    journal: [...left, ...journal].sort((a, b) => a.pos - b.pos),
    left: left.length,
    archive: documents,
    histories,
    losses,
  };
}

async function wholeHistory({ socket, room }) {
  const messages = [];
  const deadline = performance.now() + LIMIT;
  for (;;) {
    const answer = await ask(socket, 'history', { room, after: messages.at(-1)?.seq ?? 0, limit: 200 });
    // Pages that have left the journal take as long as MongoDB does.
    if (['busy', 'unavailable'].includes(answer.error?.code) && performance.now() < deadline) {
      await sleep(100);
      continue;
    }
    if (!answer.ok)
      throw new Error(`history of ${room}: ${JSON.stringify(answer)}`);
    messages.push(...answer.messages.map(({ seq, id, args }) => ({ seq, id, tag: args[0].tag })));
    if (!answer.more)
      return messages;
  }
}

/** A figure of `hubbub stats json`. */
export async function metrics(stack) {
  const { code, stdout, stderr } = await execute(hubbub, ['stats', 'json', '--stats', stack.stats]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout).metrics;
}

/** Waits that long, or until it is over. */
export async function pause(seconds, over) {
  const end = performance.now() + seconds * 1000;
  while (!over() && performance.now() < end)
    await sleep(50);
}
