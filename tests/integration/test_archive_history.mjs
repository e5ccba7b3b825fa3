// A room whose older messages lie in MongoDB: the stock client pages through it and notices nothing.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, connect } from '../support/client.mjs';
import { MongoDB } from '../support/mongodb.mjs';
import { hubbub, run, Stack, temporaryFolder } from '../support/stack.mjs';

const MESSAGES = 3000;
const HOT = 200;
const WINDOW = 100; // messages on the way at once
const LIMIT = 120_000;

async function start(t) {
  const mongodb = await MongoDB.start(t);
  const config = path.join(await temporaryFolder(t), 'conf');
  await writeFile(config, `router = { archive = "mongodb://127.0.0.1:${mongodb.port}/"; archive_timeout = "20 s"; hot_messages = ${HOT};
    recent_max = "16 KB"; recovery_window = "100 ms"; recovery_margin = "100 ms"; };\n`);
  return { mongodb, stack: await Stack.start(t, { args: ['--config', config] }) };
}

async function publish(socket, room, count) {
  for (let first = 1; first <= count; first += WINDOW) {
    const answers = await Promise.all(Array.from({ length: Math.min(WINDOW, count - first + 1) },
      (_, at) => ask(socket, 'msg', { room, text: `text ${first + at}` })));
    answers.forEach((answer, at) => assert.equal(answer.seq, first + at));
  }
}

/** Comes back when all but the newest have left the journal. */
async function cooled(stack, left) {
  for (const end = Date.now() + LIMIT; ;) {
    const { stdout } = await run(hubbub, ['stats', 'json', '--stats', stack.stats]);
    const stats = JSON.parse(stdout);
    if (stats.journal.removed >= left)
      return;
    assert.ok(Date.now() < end, stdout);
    await sleep(50);
  }
}

function check(messages, first, last) {
  assert.deepEqual(messages.map(({ seq }) => seq), Array.from({ length: last - first + 1 }, (_, at) => first + at));
  for (const message of messages) {
    assert.deepEqual(Object.keys(message).sort(), ['args', 'at', 'event', 'from', 'id', 'seq']);
    assert.equal(message.args[0].text, `text ${message.seq}`);
  }
}

async function page(socket, room, bounds) {
  const answer = await ask(socket, 'history', { room, limit: 200, ...bounds });
  assert.equal(answer.ok, true, JSON.stringify(answer));
  return answer;
}

test('a client pages to the first message and back, with MongoDB there, away and there again', { timeout: 600_000 }, async (t) => {
  const { mongodb, stack } = await start(t);
  const room = 'a room';
  const [author, reader] = await Promise.all([connect(t, stack.url(0)), connect(t, stack.url(1))]);
  await ask(author, 'join', room);
  await publish(author, room, MESSAGES);
  await cooled(stack, MESSAGES - HOT);

  const joined = await ask(reader, 'join', { room, history: 50 });
  assert.equal(joined.more, true);
  check(joined.history, MESSAGES - 49, MESSAGES);

  await t.test('back to the first message', async () => {
    let first = joined.history[0].seq;
    for (let more = joined.more; more;) {
      const answer = await page(reader, room, { before: first });
      check(answer.messages, Math.max(1, first - 200), first - 1);
      ({ more } = answer);
      first = answer.messages[0].seq;
      assert.equal(more, first > 1);
    }
    assert.equal(first, 1);
  });

  await t.test('and forward to the last one', async () => {
    let last = 0;
    for (let more = true; more;) {
      const answer = await page(reader, room, { after: last });
      check(answer.messages, last + 1, Math.min(last + 200, MESSAGES));
      ({ more } = answer);
      last = answer.messages.at(-1).seq;
      assert.equal(more, last < MESSAGES);
    }
    assert.equal(last, MESSAGES);
  });

  await t.test('old pages are unavailable while MongoDB is away, and nothing else is', async () => {
    await mongodb.kill();
    const refused = await ask(reader, 'history', { room, before: 100 });
    assert.deepEqual([refused.ok, refused.error.code], [false, 'unavailable']);
    check((await page(reader, room, { limit: 50 })).messages, MESSAGES - 49, MESSAGES);
    check((await page(reader, room, { after: MESSAGES - HOT })).messages, MESSAGES - HOT + 1, MESSAGES);
    assert.equal((await ask(author, 'msg', { room, text: `text ${MESSAGES + 1}` })).seq, MESSAGES + 1);
  });

  await t.test('and come again with it', async () => {
    await mongodb.begin();
    check((await page(reader, room, { before: 100 })).messages, 1, 99);
    check((await page(reader, room, { after: MESSAGES - HOT - 100 })).messages, MESSAGES - HOT - 99, MESSAGES - HOT + 100);
  });
});
