// examples/moderation.py: a backend in Python that reads what is said before it is numbered.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ask, collect, connect, settled } from '../support/client.mjs';
import { Stack, daemon, temporaryFolder, wholeFile } from '../support/stack.mjs';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const own = here('../../build/venv/bin/python');
const python = existsSync(own) ? own : 'python3';
const file = wholeFile(after);

const rules = `
events = (
  { name = "msg";    room = "$.room"; archive = true; dedup = "$.id"; meta = true; ask = true; },
  { name = "typing"; room = "$.room"; deliver = "others"; volatile = true; }
);
`;

let stack, endpoint;

const moderate = (t) => daemon(t, python, [here('../../examples/moderation.py'), endpoint, '--ban', 'damn,blast',
  '--mask', 'secret,Größe'], /^serving$/);

before(async () => {
  const config = path.join(await temporaryFolder(file), 'hubbub.conf');
  await writeFile(config, rules);
  stack = await Stack.start(file, { args: ['--config', config] });
  endpoint = `ipc://${stack.data}/router.ipc`;
});

/** A writer and a reader, each at its own gateway, on both transports, in a room. */
async function pair(t, room, transport = 'polling') {
  const [author, reader] = await Promise.all([
    connect(t, stack.url(0)),
    connect(t, stack.url(1), { transports: [transport] }),
  ]);
  const read = collect(reader, 'msg');
  assert.equal((await ask(author, 'join', room)).ok, true);
  assert.equal((await ask(reader, 'join', room)).ok, true);
  return { author, reader, read };
}

test('what is refused is seen by nobody, what is changed is seen as changed, and the rest as it is', async (t) => {
  await moderate(t);
  const { author, reader, read } = await pair(t, 'secret room');
  const say = (message, ...more) => ask(author, 'msg', { room: 'secret room', ...message }, ...more);

  const plain = await say({ body: 'good day' });
  assert.deepEqual([plain.ok, plain.seq], [true, 1]);
  const refused = await say({ body: 'well, DAMN it' });
  assert.deepEqual(refused, { ok: false, error: { code: 'forbidden', message: 'mind your language' } });
  assert.deepEqual((await say({ deep: [{ er: ['blast'] }] })).error.code, 'forbidden');
  const changed = await say({ body: 'a Secret of GRÖSSE and größe', id: 'secret-of-mine' }, 'secret');
  assert.deepEqual([changed.ok, changed.seq, changed.id], [true, 2, 'secret-of-mine']);
  const binary = await say({ body: 'no secret', file: Buffer.from([0, 255]) });
  assert.deepEqual([binary.ok, binary.seq], [true, 3]);
  assert.deepEqual(await say({ body: 'whatever', id: 'secret-of-mine' }), changed); // the first outcome

  await settled(reader, 'secret room');
  assert.deepEqual(read.all.map(([message, ...rest]) => [message, rest.length]), [
    [{ room: 'secret room', body: 'good day' }, 2],
    [{ room: 'secret room', body: 'a ****** of GRÖSSE and *****', id: 'secret-of-mine' }, 3],
    [{ room: 'secret room', body: 'no ******', file: Buffer.from([0, 255]) }, 2],
  ]);
  assert.deepEqual(read.all.map((message) => message.at(-2).seq), [1, 2, 3]);
  const { messages } = await ask(reader, 'history', { room: 'secret room' });
  assert.deepEqual(messages.map(({ seq, args }) => [seq, args[0].body]),
    [[1, 'good day'], [2, 'a ****** of GRÖSSE and *****'], [3, 'no ******']]);
});

test('what is not its own it leaves alone', async (t) => {
  await moderate(t);
  const { author, reader } = await pair(t, 'r2', 'websocket'); // between two polls it might miss it
  const typing = collect(reader, 'typing');
  author.emit('typing', { room: 'r2', name: 'damn' });
  await typing.reached(1);
  assert.deepEqual((await ask(author, 'nothing', 1)).error.code, 'unknown_event');
  assert.deepEqual((await ask(author, 'msg', { room: 'not joined' })).error.code, 'not_joined');
});

test('one of two may be killed at any time, and who stops says goodbye', async (t) => {
  const [first, second] = [await moderate(t), await moderate(t)];
  const { author, reader, read } = await pair(t, 'r3');
  let ended = 0;
  for (const socket of [author, reader])
    socket.on('disconnect', () => { ended += 1; });
  const say = async (from, count) => {
    const answers = await Promise.all(Array.from({ length: count }, (_, i) => ask(author, 'msg',
      { room: 'r3', id: `message-${from + i}`, body: i % 4 ? `${from + i}` : `damn ${from + i}` })));
    return answers.filter((answer) => answer.ok).length;
  };
  assert.equal(await say(0, 100), 75);
  first.process.kill('SIGKILL');
  assert.equal(await say(100, 100), 75);
  const third = await moderate(t);
  second.process.kill('SIGTERM');
  assert.equal(await say(200, 100), 75);
  third.process.kill('SIGSTOP');
  const waiting = say(300, 100);
  await moderate(t);
  assert.equal(await waiting, 75);
  third.process.kill('SIGCONT');
  assert.equal(await say(400, 100), 75);
  assert.equal(ended, 0);
  await settled(reader, 'r3');
  assert.deepEqual(read.all.map((message) => message.at(-2).seq), Array.from({ length: 375 }, (_, i) => i + 1));
  assert.deepEqual(read.all.map(([message]) => message.body),
    Array.from({ length: 500 }, (_, i) => `${i}`).filter((_, i) => i % 4));
});
