// What is published over HTTP reaches stock clients: rooms, sids, namespaces and exceptions, on both gateways.

import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { ask, collect, connect, settled } from '../support/client.mjs';
import { Stack, freePorts, temporaryFolder } from '../support/stack.mjs';

const KEY = 'a-key-for-the-tests-of-http';

async function start(t) {
  const folder = await temporaryFolder(t);
  const keys = path.join(folder, 'keys');
  const [admin] = await freePorts(2, { row: true }); // one for each gateway
  await writeFile(keys, `${KEY}\n`);
  await chmod(keys, 0o600);
  const stack = await Stack.start(t, { args: ['--admin-port', String(admin), '--publish-key', keys] });
  let turn = 0;
  const publish = async (body) => {
    const response = await fetch(`http://127.0.0.1:${admin + (turn++ % 2)}/api/publish`, {
      method: 'POST', headers: { authorization: `Bearer ${KEY}` }, body: JSON.stringify(body),
    });
    const answer = await response.json();
    assert.equal(response.status, 200, JSON.stringify(answer));
    return answer;
  };
  return { stack, publish };
}

const shown = (events) => events.all.map(([first]) => first);

test('rooms, sids, the namespace, and who is left out', async (t) => {
  const { stack, publish } = await start(t);
  const [ann, bob, cat] = await Promise.all([0, 1, 1].map((gateway) => connect(t, stack.url(gateway))));
  for (const [client, ...rooms] of [[ann, 'a', 'b'], [bob, 'b'], [cat, 'c']])
    for (const room of rooms)
      assert.equal((await ask(client, 'join', room)).ok, true);
  const news = [ann, bob, cat].map((client) => collect(client, 'news'));
  await publish({ room: 'a', event: 'news', args: [1] });
  await publish({ rooms: ['a', 'b'], event: 'news', args: [2] });
  await publish({ rooms: [], event: 'news', args: [3] });
  await publish({ sid: bob.id, event: 'news', args: [4] });
  await publish({ rooms: [], event: 'news', args: [5], except: ['b'] });
  await publish({ room: 'b', event: 'news', args: [6], except: [ann.id] });
  await publish({ rooms: ['a', 'c'], event: 'news', args: [7], class: 'volatile' });
  await publish({ room: 'c', event: 'news', args: [8], class: 'archived' });
  for (const [client, room] of [[ann, 'a'], [bob, 'b'], [cat, 'c']])
    await settled(client, room);
  assert.deepEqual(news.map(shown), [[1, 2, 3, 7], [2, 3, 4, 6], [3, 5, 7, 8]]);
});

test('an event with a rule comes as that of a client does, and stands in the history', async (t) => {
  const { stack, publish } = await start(t);
  const ann = await connect(t, stack.url(1));
  const messages = collect(ann, 'msg');
  await ask(ann, 'join', 'r');
  const { seq, id, at } = await publish({ room: 'r', event: 'msg', args: [{ room: 'r', body: 'doors open' }], id: 'doors-17' });
  await messages.reached(1);
  const [argument, meta] = messages.all[0];
  assert.deepEqual(argument, { room: 'r', body: 'doors open' });
  assert.deepEqual({ seq: meta.seq, id: meta.id, at: meta.at, room: meta.room }, { seq, id, at, room: 'r' });
  assert.equal(id, 'doors-17');
  const { messages: page } = await ask(ann, 'history', { room: 'r' });
  assert.deepEqual(page.map((each) => [each.seq, each.id, each.args]), [[1, 'doors-17', [argument]]]);
});
