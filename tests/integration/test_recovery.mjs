// Connection state recovery with stock clients and real programs: whoever comes back, to whatever gateway, after whatever
// loss, is the one that it was, and has got every message of its rooms once and in order.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import path from 'node:path';
import { test, after } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { ask, io, LIMIT } from '../support/client.mjs';
import { Detour } from '../support/detour.mjs';
import { Stack, hubbub, run, temporaryFolder, undo, wholeFile, within } from '../support/stack.mjs';

const MOST = 50; // messages that may be missed, where that is set
const TRANSPORTS = { websocket: { transports: ['websocket'] }, polling: { transports: ['polling'] }, 'default transports': {} };

const EVENTS = `(
    { name = "msg";   room = "$.room"; deliver = "room";   archive = true; dedup = "$.id"; meta = true; },
    { name = "note";  room = "$.room"; deliver = "others"; volatile = true; meta = false; },
    { name = "mine";  deliver = "self"; meta = false; },
    { name = "all";   deliver = "namespace"; meta = false; })`;
const RULES = `namespaces = ({ name = "/"; events = ${EVENTS}; }, { name = "/custom"; events = ${EVENTS}; });`;

// Whoever is away while others talk misses more, the longer the machine takes to let it come back.
const MUCH = 'recovery_max_messages = 1000000; recovery_max_bytes = "8 MB";';

async function start(t, router = MUCH) {
  const file = path.join(await temporaryFolder(t), 'hubbub.conf');
  await writeFile(file, `${RULES}\nrouter = { ${router} };\n`);
  return Stack.start(t, { gateways: 2, args: ['--config', file] });
}

/** One value of the metrics, 0 when it is not there. */
async function metric(stack, name) {
  const { stdout } = await run(hubbub, ['stats', '--data', stack.data, 'json']);
  return JSON.parse(stdout).metrics[name] || 0;
}

const recoveries = (stack, result) => metric(stack, `hubbub_recoveries_total{result=${result}}`);

/** Waits for something that nobody tells of. */
async function until(what, condition) {
  const end = Date.now() + LIMIT;
  for (;;) {
    const value = await condition();
    if (value)
      return value;
    if (Date.now() > end)
      throw new Error(`${what}: not within ${LIMIT} ms`);
    await pause(20);
  }
}

// An attempt whose connection ends between 101 and the open packet is given up by the client's timeout only.
const HASTE = { forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100, timeout: 1000 };

/** Somebody with a stock client behind a detour, and all that they have seen. */
class Person {
  static async join(t, detour, rooms, options = {}, namespace = '') {
    const person = new Person();
    Object.assign(person, { detour, seen: [], sessions: [], disconnects: [], errors: [] });
    person.socket = io(detour.url + namespace, { ...HASTE, ...options });
    person.socket.on('connect', () => person.sessions.push({ id: person.socket.id, recovered: person.socket.recovered }));
    person.socket.on('disconnect', (reason) => person.disconnects.push(reason));
    person.socket.on('msg', (argument, meta) => person.seen.push({ room: meta.room, seq: meta.seq, value: argument.value }));
    person.socket.on('connect_error', (error) => person.errors.push(error.message));
    undo(t, () => person.socket.disconnect());
    await person.connected(1);
    for (const room of rooms)
      assert.equal((await ask(person.socket, 'join', room)).ok, true);
    return person;
  }

  /** Waits until it has connected so often. */
  connected(times) {
    return until(`connection ${times}`, () => this.sessions.length >= times && this.socket.connected).catch((error) => {
      throw new Error(`${error.message}; ${JSON.stringify([this.sessions, this.disconnects, this.errors])}`);
    });
  }

  /** Loses its connection, and gets no other before back(). */
  async lose() {
    const before = this.disconnects.length;
    this.detour.refused = true;
    this.detour.cut();
    await until('the loss', () => this.disconnects.length > before || !this.socket.connected);
  }

  back(port) {
    Object.assign(this.detour, { port: port ?? this.detour.port, refused: false });
  }

  /** Waits for the last session, which must be the first one, recovered. */
  async recovered(times = this.sessions.length + 1) {
    await this.connected(times);
    for (const { id, recovered } of this.sessions.slice(1)) {
      assert.equal(recovered, true, JSON.stringify(this.sessions));
      assert.equal(id, this.sessions[0].id);
    }
  }

  has(count) {
    return until(`${count} messages`, () => this.seen.length >= count).catch((error) => {
      throw new Error(`${error.message}; there were ${this.seen.length}, sessions ${JSON.stringify(this.sessions)}`);
    });
  }

  /** What was on its way to it is there, nothing came twice and nothing is missing. */
  async sawAll(said, rooms) {
    await this.has(said.length);
    await ask(this.socket, 'presence', rooms[0]); // an answer stands behind whatever would come twice
    for (const room of rooms)
      assert.deepEqual(this.seen.filter((message) => message.room === room), said.filter((message) => message.room === room));
    assert.equal(this.seen.length, said.length);
  }
}

/** Somebody who publishes, and what was acknowledged of it. */
class Author {
  static async join(t, url, rooms, namespace = '') {
    const author = new Author();
    Object.assign(author, { rooms, said: [], next: 0 });
    author.socket = io(url + namespace, { ...HASTE, transports: ['websocket'] });
    undo(t, () => author.socket.disconnect());
    for (const room of rooms)
      assert.equal((await ask(author.socket, 'join', room)).ok, true);
    return author;
  }

  /** Publishes to its rooms in turn until each is acknowledged, under one id. */
  async say(count, value = (number) => number) {
    for (let i = 0; i < count; i++) {
      const room = this.rooms[this.next % this.rooms.length];
      const argument = { room, value: value(this.next++), id: randomUUID() };
      for (;;) {
        const answer = await Promise.race([
          this.socket.emitWithAck('msg', argument),
          new Promise((resolve) => this.socket.once('disconnect', () => resolve(null))),
        ]);
        if (answer?.ok) {
          this.said.push({ room, seq: answer.seq, value: argument.value });
          break;
        }
        assert.ok(!answer || ['unavailable', 'busy'].includes(answer.error.code), JSON.stringify(answer));
        await until('the author', () => this.socket.connected);
      }
    }
  }

  /** The same while something else happens, at the pace of people, until that is over and a few more are said. */
  async sayDuring(happening) {
    let over = false;
    const done = happening.finally(() => { over = true; });
    while (!over) {
      await this.say(1);
      await pause(10);
    }
    await done;
    await this.say(3);
  }
}

const file = wholeFile(after);
let shared;
let rooms = 0;
const newRoom = () => `room ${++rooms}`;

test('two gateways', async () => {
  shared = await start(file);
});

for (const [how, options] of Object.entries(TRANSPORTS)) {
  for (const there of [0, 1]) {
    test(`${how}: back at ${there ? 'the other gateway' : 'the same gateway'} with what was missed`, async (t) => {
      const room = newRoom();
      const detour = await Detour.start(t, shared.ports[0]);
      const author = await Author.join(t, shared.url(1), [room]);
      const person = await Person.join(t, detour, [room], options);
      await author.say(3);
      await person.has(3);
      await person.lose();
      await author.say(10);
      person.back(shared.ports[there]);
      await author.sayDuring(person.recovered());
      await person.sawAll(author.said, [room]);
      // It is in its room as before, and counts once.
      assert.equal((await ask(person.socket, 'msg', { room, value: 'mine' })).ok, true);
      assert.equal((await ask(person.socket, 'presence', room)).members, 2);
    });
  }
}

test('nothing received before the loss, not even an offset', async (t) => {
  const room = newRoom();
  const detour = await Detour.start(t, shared.ports[0]);
  const author = await Author.join(t, shared.url(1), [room]);
  const person = await Person.join(t, detour, [room], TRANSPORTS.websocket);
  await person.lose();
  await author.say(5);
  person.back(shared.ports[1]);
  await person.recovered();
  await author.say(2);
  await person.sawAll(author.said, [room]);
});

test('a volatile event that ends in a text as the last one received', async (t) => {
  const room = newRoom();
  const detour = await Detour.start(t, shared.ports[0]);
  const author = await Author.join(t, shared.url(1), [room]);
  const person = await Person.join(t, detour, [room], TRANSPORTS.websocket);
  await author.say(2);
  const note = once(person.socket, 'note');
  assert.equal((await ask(author.socket, 'note', { room }, 'no.offset 7')).ok, true);
  assert.deepEqual((await note).slice(0, 2), [{ room }, 'no.offset 7']);
  detour.cut();
  await author.say(2);
  await person.recovered(2);
  await person.sawAll(author.said, [room]);
});

test('events for itself and for everyone', async (t) => {
  const room = newRoom();
  const detour = await Detour.start(t, shared.ports[0]);
  const author = await Author.join(t, shared.url(1), [room]);
  const person = await Person.join(t, detour, [], TRANSPORTS.websocket);
  const seen = [];
  person.socket.onAny((event, value) => seen.push(`${event} ${value}`));
  assert.equal((await ask(person.socket, 'mine', 1)).ok, true);
  await until('its own event', () => seen.length);
  await person.lose();
  assert.equal((await ask(author.socket, 'all', 2)).ok, true);
  person.back(shared.ports[1]);
  await person.recovered();
  assert.equal((await ask(person.socket, 'mine', 3)).ok, true);
  await until('all of them', () => seen.length >= 3);
  assert.deepEqual(seen, ['mine 1', 'all 2', 'mine 3']);
});

test('a reconnect that overtakes the end of the older socket', async (t) => {
  for (const options of Object.values(TRANSPORTS)) {
    const room = newRoom();
    const detour = await Detour.start(t, shared.ports[0]);
    const author = await Author.join(t, shared.url(1), [room]);
    const person = await Person.join(t, detour, [room], options);
    await author.say(2);
    await person.has(2);
    if (person.socket.io.engine.transport.name === 'polling')
      await until('a poll that waits', () => detour.pairs.size);
    detour.refused = true; // a poll that was not among them would find its session at the other gateway
    const left = detour.freeze();
    const ended = Promise.all(left.map((gateway) => gateway.destroyed || new Promise((resolve) => gateway.once('close', resolve))));
    await until('the loss', () => !person.socket.connected);
    person.back(shared.ports[1]);
    await author.sayDuring(person.recovered(2));
    await within(LIMIT, 'the end of the older connection', ended);
    await author.say(2);
    await person.sawAll(author.said, [room]);
    assert.equal((await ask(author.socket, 'presence', room)).members, 2);
  }
});

test('a gateway that stands still while its clients go to the other', async (t) => {
  const stack = await start(t);
  const detour = await Detour.start(t, stack.ports[0]);
  const author = await Author.join(t, stack.url(1), ['r']);
  const person = await Person.join(t, detour, ['r'], TRANSPORTS.websocket);
  await author.say(2);
  await person.has(2);
  const gateway = stack.pids.get('gateway-1');
  process.kill(gateway, 'SIGSTOP');
  try {
    detour.port = stack.ports[1];
    detour.freeze();
    await author.sayDuring(person.recovered(2));
  } finally {
    process.kill(gateway, 'SIGCONT');
  }
  // What the gateway says when it wakes up, of a socket that is not its own any more, changes nothing.
  await until('its link', async () => (await metric(stack, 'hubbub_sockets')) === 2);
  await author.say(5);
  await person.sawAll(author.said, ['r']);
  assert.deepEqual(person.disconnects.length, 1);
  assert.equal((await ask(author.socket, 'presence', 'r')).members, 2);
});

test('two clients with one pid at once: one wins, the other is closed', async (t) => {
  const room = newRoom();
  const detour = await Detour.start(t, shared.ports[0]);
  const author = await Author.join(t, shared.url(1), [room]);
  const person = await Person.join(t, detour, [room], { ...TRANSPORTS.websocket, reconnection: false });
  await author.say(1);
  await person.has(1);
  const { _pid: pid, _lastOffset: offset } = person.socket;
  assert.match(pid, /^[A-Za-z0-9_-]{42}$/);
  detour.cut();
  await until('the loss', () => person.disconnects.length);
  await author.say(2);
  const ways = await Promise.all([0, 1].map((gateway) => Detour.start(t, shared.ports[gateway])));
  const both = ways.map((way) => {
    const seen = [];
    const ends = [];
    const socket = io(way.url, { forceNew: true, transports: ['websocket'], reconnection: false, auth: { pid, offset } });
    undo(t, () => socket.disconnect());
    socket.on('msg', ({ value }) => seen.push(value));
    socket.on('disconnect', (reason) => ends.push(reason));
    return { socket, seen, ends };
  });
  await until('one of them', () => both.some(({ ends }) => ends.length) && both.some(({ socket }) => socket.connected));
  await author.say(1);
  const [winner] = both.filter(({ socket }) => socket.connected);
  const [loser] = both.filter(({ socket }) => !socket.connected);
  assert.ok(winner && loser);
  await until('all of it', () => winner.seen.length >= 3);
  assert.deepEqual(winner.seen, author.said.slice(1).map(({ value }) => value));
  assert.equal(winner.socket.id, person.sessions[0].id);
  assert.deepEqual(loser.ends, ['transport close'], 'no DISCONNECT: a client that lost its own race comes back');
  assert.equal((await ask(author.socket, 'presence', room)).members, 2);
});

test('a pid that was made up gets a fresh session, and is counted', async (t) => {
  const room = newRoom();
  const detour = await Detour.start(t, shared.ports[0]);
  const author = await Author.join(t, shared.url(1), [room]);
  const person = await Person.join(t, detour, [room], TRANSPORTS.websocket);
  await author.say(1);
  await person.has(1);
  const before = await recoveries(shared, 'unknown');
  const { _pid: pid, _lastOffset: offset } = person.socket;
  const stolen = pid.slice(0, 20) + [...pid.slice(20)].reverse().join('');
  const thief = await Person.join(t, detour, [], { ...TRANSPORTS.websocket, auth: { pid: stolen, offset } });
  assert.notEqual(thief.socket.id, person.socket.id);
  assert.equal((await ask(thief.socket, 'msg', { room, value: 1 })).error.code, 'not_joined');
  assert.equal(await recoveries(shared, 'unknown'), before + 1);
  await author.say(1);
  await person.sawAll(author.said, [room]);
  assert.deepEqual([thief.seen, person.disconnects], [[], []]);
});

test('a room that was left just before the loss', async (t) => {
  const [room, kept] = [newRoom(), newRoom()];
  const detour = await Detour.start(t, shared.ports[0]);
  const author = await Author.join(t, shared.url(1), [room, kept]);
  const person = await Person.join(t, detour, [room, kept], TRANSPORTS.websocket);
  await author.say(2);
  await person.has(2);
  assert.equal((await ask(person.socket, 'leave', room)).ok, true);
  detour.cut();
  await author.say(4);
  await person.recovered(2);
  await author.say(2);
  const after = author.said.slice(2).filter((message) => message.room === kept);
  await person.has(2 + after.length);
  await ask(person.socket, 'presence', kept);
  assert.deepEqual(person.seen.slice(2), after);
  assert.equal((await ask(person.socket, 'presence', room)).error.code, 'not_joined');
});

test('a second loss during the replay, wherever it comes', async (t) => {
  const room = newRoom();
  const detour = await Detour.start(t, shared.ports[0]);
  const author = await Author.join(t, shared.url(1), [room]);
  const person = await Person.join(t, detour, [room], TRANSPORTS.websocket);
  await author.say(1);
  // The handshake, the answer to CONNECT and these events are more than 4,500 bytes; each cut is a little later.
  for (let bytes = 150; bytes < 4500; bytes += 350) {
    await person.lose();
    await author.say(25);
    detour.bytesToClient = bytes;
    person.back(shared.ports[(bytes / 350 | 0) % 2]);
    await until('the second loss', () => detour.bytesToClient === Infinity);
    await until('the client', () => person.socket.connected);
    await person.has(author.said.length);
  }
  await person.recovered(person.sessions.length);
  await person.sawAll(author.said, [room]);
});

test('more missed than allowed: a fresh session', async (t) => {
  const stack = await start(t, `recovery_max_messages = ${MOST};`);
  const room = 'r';
  const detour = await Detour.start(t, stack.ports[0]);
  const author = await Author.join(t, stack.url(1), [room]);
  const person = await Person.join(t, detour, [room], TRANSPORTS.websocket);
  await author.say(1);
  await person.has(1);
  const pid = person.socket._pid;
  for (const [count, recovered] of [[MOST, true], [MOST + 1, false]]) {
    const connections = person.sessions.length;
    await person.lose();
    await author.say(count);
    person.back();
    await person.connected(connections + 1);
    assert.equal(person.sessions.at(-1).recovered, recovered);
    if (recovered)
      await person.has(1 + count);
  }
  assert.equal(person.seen.length, 1 + MOST, 'all or nothing');
  assert.notEqual(person.socket.id, person.sessions[0].id);
  assert.notEqual(person.socket._pid, pid);
  assert.equal(await recoveries(stack, 'too_many'), 1);
  // It rejoins as after any start, and can recover again.
  assert.equal((await ask(person.socket, 'join', { room, history: MOST })).history.length, MOST);
  detour.cut();
  await author.say(1);
  await until('the one after', () => person.seen.length === 2 + MOST);
  assert.equal(person.sessions.at(-1).recovered, true);
});

test('binary events', async (t) => {
  for (const options of Object.values(TRANSPORTS)) {
    const room = newRoom();
    const detour = await Detour.start(t, shared.ports[0]);
    const author = await Author.join(t, shared.url(1), [room]);
    const person = await Person.join(t, detour, [room], options);
    await person.lose();
    await author.say(10, (number) => (number % 2 ? number : Buffer.from([number, 0, 255])));
    person.back(shared.ports[1]);
    await person.recovered();
    await person.sawAll(author.said, [room]);
  }
});

test('several namespaces of one connection', async (t) => {
  const room = newRoom();
  const detour = await Detour.start(t, shared.ports[0]);
  const authors = [await Author.join(t, shared.url(1), [room]), await Author.join(t, shared.url(1), [room], '/custom')];
  const person = await Person.join(t, detour, [room], TRANSPORTS.websocket);
  const custom = { seen: [], sessions: [] };
  const socket = person.socket.io.socket('/custom');
  undo(t, () => socket.disconnect());
  socket.on('msg', ({ value }, { seq }) => custom.seen.push({ room, seq, value }));
  socket.on('connect', () => custom.sessions.push({ id: socket.id, recovered: socket.recovered }));
  socket.connect();
  await until('the other namespace', () => socket.connected);
  assert.equal((await ask(socket, 'join', room)).ok, true);
  for (let i = 0; i < 3; i++) {
    await Promise.all(authors.map((author, number) => author.say(1 + number)));
    detour.port = shared.ports[i % 2];
    detour.cut();
    await Promise.all(authors.map((author) => author.say(3)));
    await person.recovered(2 + i);
    await until('the other namespace', () => custom.sessions.length === 2 + i && socket.connected);
  }
  await person.sawAll(authors[0].said, [room]);
  await ask(socket, 'presence', room);
  assert.deepEqual(custom.seen, authors[1].said);
  assert.deepEqual(custom.sessions.map(({ id, recovered }) => [id, recovered]), [0, 1, 2, 3].map((i) => [custom.sessions[0].id, i > 0]));
});

test('members of several rooms, cut again and again while everyone talks', async (t) => {
  const stack = await start(t);
  const own = [newRoom(), newRoom(), newRoom()];
  const authors = await Promise.all([0, 1, 0].map((gateway, number) => Author.join(t, stack.url(gateway), [own[number]])));
  const people = await Promise.all([...Object.values(TRANSPORTS), ...Object.values(TRANSPORTS)].map(async (options, number) => {
    const detour = await Detour.start(t, stack.ports[number % 2]);
    return Person.join(t, detour, own, options);
  }));
  let over = false;
  const talking = Promise.all(authors.map(async (author) => {
    while (!over)
      await author.say(1);
  }));
  for (let round = 0; round < 8; round++) {
    for (const { detour } of people) {
      detour.port = stack.ports[Math.random() * 2 | 0];
      detour.bytesToClient = Math.random() * 20_000 | 0; // somewhere between two events, or within one
    }
    await until('all losses', () => people.every(({ detour }) => detour.bytesToClient === Infinity));
    await until('everyone', () => people.every(({ socket }) => socket.connected));
  }
  over = true;
  await talking;
  const said = authors.flatMap((author) => author.said);
  for (const person of people) {
    await person.sawAll(said, own);
    await person.recovered(person.sessions.length);
  }
});

test('longer away than the window: a fresh session', async (t) => {
  const stack = await start(t, 'recovery_window = "300 ms";');
  const detour = await Detour.start(t, stack.ports[0]);
  const person = await Person.join(t, detour, ['r'], TRANSPORTS.websocket);
  await person.lose();
  await until('the end of the window', async () => await metric(stack, 'hubbub_sessions_ended_total{reason=expired}'));
  person.back();
  await person.connected(2);
  assert.equal(person.sessions[1].recovered, false);
  assert.notEqual(person.sessions[1].id, person.sessions[0].id);
  assert.equal(await recoveries(stack, 'expired'), 1);
});

const KILLS = {
  'its gateway': ['gateway-1'],
  'the router': ['router'],
  'its gateway and the router': ['gateway-1', 'router'],
  'everything': ['gateway-1', 'gateway-2', 'router'],
};

for (const [what, names] of Object.entries(KILLS)) {
  test(`kill -9 of ${what}`, async (t) => {
    const stack = await start(t);
    const own = ['a', 'b'];
    const author = await Author.join(t, stack.url(1), own);
    const people = await Promise.all(Object.values(TRANSPORTS).flatMap((options) => [0, 1].map(async (there) => {
      const detour = await Detour.start(t, stack.ports[0]);
      const person = await Person.join(t, detour, own, options);
      return Object.assign(person, { there });
    })));
    for (let round = 0; round < 2; round++) {
      await author.say(4);
      await author.sayDuring((async () => {
        const again = names.map((name) => stack.kill(name));
        await Promise.all(people.map((person) => person.lose())); // also those whose gateway lives
        for (const person of people)
          person.back(stack.ports[person.there]);
        await Promise.all(again);
        await Promise.all(people.map((person) => person.connected(2 + round)));
      })());
    }
    for (const person of people) {
      await person.sawAll(author.said, own);
      await person.recovered(person.sessions.length);
    }
    await until('the members', async () => (await ask(author.socket, 'presence', 'a')).members === 1 + people.length);
  });
}

test('the connections stay when only the router is killed', async (t) => {
  const stack = await start(t);
  const author = await Author.join(t, stack.url(1), ['r']);
  const detour = await Detour.start(t, stack.ports[0]);
  const person = await Person.join(t, detour, ['r'], TRANSPORTS.websocket);
  for (let round = 0; round < 3; round++)
    await author.sayDuring(stack.kill('router'));
  await person.sawAll(author.said, ['r']);
  assert.deepEqual(person.disconnects, []);
  // The router has read who may come back from its journal, and the gateway has told it who is there.
  detour.port = stack.ports[1];
  detour.cut();
  await author.sayDuring(person.recovered(2));
  await person.sawAll(author.said, ['r']);
});

test('a stop and a start of everything', async (t) => {
  const first = await start(t);
  const detour = await Detour.start(t, first.ports[0]);
  const author = await Author.join(t, first.url(1), ['r']);
  const people = await Promise.all(Object.values(TRANSPORTS).map((options) => Person.join(t, detour, ['r'], options)));
  await author.say(3);
  await Promise.all(people.map((person) => person.has(3)));
  assert.deepEqual(await first.stop(), { code: 0, signal: null });
  const again = await Stack.start(t, { ports: first.ports, data: first.data });
  await until('the author', () => author.socket.connected);
  assert.equal(author.socket.recovered, true);
  await author.say(3);
  for (const person of people) {
    await person.recovered(2);
    await person.sawAll(author.said, ['r']);
  }
  assert.equal(await recoveries(again, 'recovered'), 1 + people.length);
});

test('a gateway that fell too far behind: its clients recover', async (t) => {
  const stack = await start(t, 'resync_max = "1 KB";');
  const detour = await Detour.start(t, stack.ports[0]);
  const author = await Author.join(t, stack.url(1), ['r']);
  const people = await Promise.all([[], ['r'], ['r']].map((rooms) => Person.join(t, detour, rooms, TRANSPORTS.websocket)));
  const everyone = [];
  people[0].socket.on('all', (value) => everyone.push(value));
  const gateway = stack.pids.get('gateway-1');
  process.kill(gateway, 'SIGSTOP');
  try {
    await author.say(3);
    await until('the end of its link', async () => {
      const { stdout } = await run(hubbub, ['stats', '--data', stack.data, 'json']);
      return JSON.parse(stdout).gateways === 1;
    });
    await author.say(20, (number) => `${number} ${'x'.repeat(200)}`);
    assert.equal((await ask(author.socket, 'all', 1)).ok, true);
  } finally {
    process.kill(gateway, 'SIGCONT');
  }
  await author.say(3);
  for (const person of people.slice(1)) {
    await person.recovered(2);
    await person.sawAll(author.said, ['r']);
  }
  await people[0].recovered(2);
  await until('what is for everyone', () => everyone.length);
  assert.deepEqual(everyone, [1]);
  await until('their count', async () => (await metric(stack, 'hubbub_closed_total{reason=not_resumable}')) === people.length);
});

test('a slow reader is closed, and goes on where it was', async (t) => {
  const stack = await start(t);
  const detour = await Detour.start(t, stack.ports[0]);
  const author = await Author.join(t, stack.url(1), ['r']);
  const person = await Person.join(t, detour, ['r'], TRANSPORTS.websocket);
  const quick = await Person.join(t, await Detour.start(t, stack.ports[0]), ['r'], TRANSPORTS.websocket);
  const large = (number) => `${number} ${'x'.repeat(200_000)}`;
  await author.say(1, large);
  await person.has(1);
  detour.pause();
  // The buffers of both systems take several megabytes before its queue grows.  What another one has heard has come to its
  // gateway: an author who ran ahead of that could say more than may be missed.
  await until('its end', async () => {
    await author.say(2, large);
    await quick.has(author.said.length);
    return (await ask(author.socket, 'presence', 'r')).members === 2;
  });
  await author.say(3, large);
  detour.resume();
  await person.recovered(2);
  await author.say(3, large);
  await person.sawAll(author.said, ['r']);
  await quick.sawAll(author.said, ['r']);
  assert.equal(await until('the count', () => metric(stack, 'hubbub_closed_total{reason=slow_reader}')), 1);
});
