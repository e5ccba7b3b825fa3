// No sticky sessions: stock clients, which poll first, behind balancers that give each request to any gateway.
// Every member of a room gets every message of it once, and all in the same order.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { io } from 'socket.io-client';
import { haproxy, steering } from '../support/balancer.mjs';
import { ask, LIMIT } from '../support/client.mjs';
import { Reference, Stack, reference, undo, within } from '../support/stack.mjs';

const CLIENTS = 100;
const ROOMS = 10;
const MESSAGES = 10_000;
const LONG = 5 * LIMIT;

const Server = reference ? Reference : Stack;

/** A stock client with its defaults, but with a connection of its own. */
function client(t, url, options = {}) {
  const socket = io(url, { forceNew: true, ...options });
  undo(t, () => socket.disconnect());
  return socket;
}

const connected = (socket) => within(LIMIT, 'connect', new Promise((resolve) => {
  if (socket.connected)
    resolve();
  else
    socket.once('connect', resolve);
}));

/** What one person sees of their room. */
class Member {
  constructor(socket, room) {
    Object.assign(this, { socket, room, received: [], disconnects: [], waiting: () => {} });
    socket.on('msg', (argument, meta) => {
      this.received.push({ seq: meta.seq, body: argument.body });
      this.waiting();
    });
    socket.on('disconnect', (reason) => this.disconnects.push(reason));
  }

  async join() {
    await connected(this.socket);
    const answer = await ask(this.socket, 'join', this.room);
    assert.equal(answer.ok, true, JSON.stringify(answer));
  }

  /** Sends until it is acknowledged, under one id: over a reconnection, too. */
  async publish(body) {
    const argument = { room: this.room, body, id: randomUUID() };
    for (;;) {
      const answer = await Promise.race([
        this.socket.emitWithAck('msg', argument),
        new Promise((resolve) => this.socket.once('disconnect', () => resolve(null))),
      ]);
      if (answer?.ok)
        return { seq: answer.seq, body };
      // Whoever was away joins again first; nothing else may be refused.
      assert.ok(!answer || answer.error.code === 'not_joined' && this.disconnects.length, JSON.stringify(answer));
      await this.join().catch(() => {});
    }
  }

  /** Waits until that is its transport. */
  async on(transport) {
    const { engine } = this.socket.io;
    if (engine.transport.name !== transport)
      await within(LIMIT, `${transport} in place of ${engine.transport.name}`, new Promise((resolve) => engine.once('upgrade', resolve)));
    assert.equal(engine.transport.name, transport);
  }

  has(count) {
    return within(LONG, `${count} messages in ${this.room}`, new Promise((resolve) => {
      this.waiting = () => this.received.length >= count && resolve();
      this.waiting();
    })).catch((error) => {
      throw new Error(`${error.message}; there were ${this.received.length}`);
    });
  }
}

/** Everyone joins, all talk at once, each one message after another; the acknowledged messages of each room. */
async function talk(members, meanwhile = async () => {}) {
  await Promise.all(members.map((member) => member.join()));
  const said = new Map(Array.from({ length: ROOMS }, (_, number) => [`room ${number}`, []]));
  let count = 0;
  let half;
  const underWay = new Promise((resolve) => { half = resolve; });
  const talking = Promise.all(members.map(async (member, number) => {
    for (let i = 0; i < MESSAGES / members.length; i++) {
      said.get(member.room).push(await member.publish(`${number} says ${i}`));
      if (++count === MESSAGES / 4)
        half();
    }
  }));
  await Promise.all([talking, underWay.then(meanwhile)]);
  for (const messages of said.values()) {
    messages.sort((a, b) => a.seq - b.seq);
    assert.deepEqual(messages.map(({ seq }) => seq), messages.map((_, index) => index + 1), 'no number twice, and no hole');
  }
  return said;
}

const people = (t, url, options) => Array.from({ length: CLIENTS }, (_, number) =>
  new Member(client(t, url, options), `room ${number % ROOMS}`));

const TRANSPORTS = { 'default options': {}, 'polling only': { transports: ['polling'] } };
const BALANCERS = {
  'one port, two gateways': async (t) => (await Server.start(t, { gateways: 2, onePort: true })).url(0),
  'HAProxy, two gateways': async (t) => haproxy(t, (await Server.start(t, { gateways: 2 })).ports),
};

for (const [balanced, start] of Object.entries(BALANCERS)) {
  for (const [how, options] of Object.entries(TRANSPORTS)) {
    test(`${balanced}, ${how}: nothing lost, nothing twice, one order`, async (t) => {
      const members = people(t, await start(t), options);
      const said = await talk(members);
      for (const member of members) {
        await member.has(MESSAGES / ROOMS);
        assert.deepEqual(member.received, said.get(member.room), `what a member of ${member.room} got`);
        assert.deepEqual(member.disconnects, []);
        await member.on(options.transports ? 'polling' : 'websocket');
      }
      // An answer stands behind whatever would come twice.
      await Promise.all(members.map((member) => ask(member.socket, 'presence', member.room)));
      for (const member of members)
        assert.equal(member.received.length, MESSAGES / ROOMS);
    });
  }
}

const FIVE = {
  'one port, default options': [{ gateways: 5, onePort: true }, (t, stack) => stack.url(0), {}],
  'HAProxy, polling only': [{ gateways: 5 }, (t, stack) => haproxy(t, stack.ports), { transports: ['polling'] }],
};

for (const [name, [gateways, balance, options]] of Object.entries(FIVE)) {
  test(`five gateways, ${name}: one is killed under way`, { skip: reference && 'the reference has no gateways' }, async (t) => {
    const stack = await Stack.start(t, gateways);
    const url = await balance(t, stack);
    const members = people(t, url, options);
    const said = await talk(members, () => stack.kill('gateway-3'));

    const stayed = members.filter((member) => !member.disconnects.length);
    const came = members.filter((member) => member.disconnects.length);
    assert.ok(stayed.length > 0, 'not everyone was there');
    assert.ok(came.length > 0, 'somebody was there');
    for (const member of stayed) {
      await member.has(MESSAGES / ROOMS);
      assert.deepEqual(member.received, said.get(member.room), `what a member of ${member.room} got`);
    }
    // Who was away has nothing twice and nothing out of order, and is back.
    for (const member of came) {
      await member.join();
      const numbers = member.received.map(({ seq }) => seq);
      assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b));
      for (const message of member.received)
        assert.deepEqual(message, said.get(member.room)[message.seq - 1]);
    }
    // Everything that was acknowledged is in the history, once.
    for (const [room, messages] of said) {
      const { socket } = members.find((member) => member.room === room);
      const kept = [];
      for (let more = true; more;) {
        const page = await ask(socket, 'history', { room, after: kept.length, limit: 200 });
        assert.equal(page.ok, true, JSON.stringify(page));
        kept.push(...page.messages.map(({ seq, args }) => ({ seq, body: args[0].body })));
        more = page.more;
      }
      assert.deepEqual(kept, messages);
    }
  });
}

const NUMBERED = 1_000;
const WAYS = {
  'at one gateway': async (t, ports) => steering(t, ports[0], ports[0]),
  'polls at one gateway, WebSocket at the other': async (t, ports) => steering(t, ports[0], ports[1]),
  'behind HAProxy': async (t, ports) => {
    const port = new URL(await haproxy(t, ports)).port;
    return steering(t, port, port);
  },
};

for (const [name, way] of Object.entries(WAYS)) {
  test(`upgrade under load, ${name}: ${NUMBERED} numbered messages each way`, async (t) => {
    const { ports } = await Server.start(t, { gateways: 2 });
    const { url, hold, release } = await way(t, ports);
    const other = client(t, `http://127.0.0.1:${ports[1]}`, { transports: ['websocket'] });
    await connected(other);
    for (let round = 0; round < 5; round++) {
      const room = `round ${round}`;
      assert.equal((await ask(other, 'join', room)).ok, true);
      hold();
      const socket = client(t, url);
      const received = { here: [], there: [] };
      const seen = { polling: 0, websocket: 0 };
      socket.on('msg', (argument) => {
        seen[socket.io.engine.transport.name]++;
        received.here.push(`${argument.from} ${argument.n}`);
      });
      const heard = (argument) => argument.room === room && received.there.push(`${argument.from} ${argument.n}`);
      other.on('msg', heard);
      await connected(socket);
      assert.equal((await ask(socket, 'join', room)).ok, true);
      let switched = false;
      const upgrade = new Promise((resolve) => socket.io.engine.once('upgrade', resolve)).then(() => { switched = true; });
      // Both talk before, during and after the switch.
      const answers = [];
      let before = 0;
      for (let n = 0; n < NUMBERED; n++) {
        if (n === NUMBERED * 0.2) {
          await within(LIMIT, 'the first messages', (async () => {
            while (!received.here.length)
              await new Promise((resolve) => setTimeout(resolve, 1));
          })());
          release();
        }
        if (n === NUMBERED * 0.9)
          await within(LIMIT, 'the upgrade', upgrade);
        answers.push(socket.emitWithAck('msg', { room, from: 'one', n }), other.emitWithAck('msg', { room, from: 'other', n }));
        before += !switched;
        if (n % 10 === 9)
          await new Promise((resolve) => setTimeout(resolve, 1));
      }
      assert.ok(before > 0 && before < NUMBERED, `${before} sent before the switch`);
      for (const answer of await within(LIMIT, 'all answers', Promise.all(answers)))
        assert.equal(answer.ok, true, JSON.stringify(answer));
      await Promise.all([ask(socket, 'presence', room), ask(other, 'presence', room)]);
      const numbers = (list, from) => list.filter((text) => text.startsWith(`${from} `)).map((text) => Number(text.split(' ')[1]));
      const expected = Array.from({ length: NUMBERED }, (_, n) => n);
      for (const list of Object.values(received)) {
        assert.equal(list.length, 2 * NUMBERED);
        assert.deepEqual(numbers(list, 'one'), expected);
        assert.deepEqual(numbers(list, 'other'), expected);
      }
      assert.deepEqual(received.here, received.there, 'both see one order');
      assert.ok(seen.polling > 0 && seen.websocket > 0, JSON.stringify(seen));
      other.off('msg', heard);
      socket.disconnect();
    }
  });
}
