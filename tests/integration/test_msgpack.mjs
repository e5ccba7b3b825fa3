// Clients with socket.io-msgpack-parser, unmodified, beside clients without it: one room, one order, the same values,
// binary both ways, on both transports and two gateways, and after the loss of a gateway.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import path from 'node:path';
import test, { after } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import * as msgpack from 'socket.io-msgpack-parser';
import { haproxy } from '../support/balancer.mjs';
import { LIMIT, ask, collect, io, next, plain, settled } from '../support/client.mjs';
import { Detour } from '../support/detour.mjs';
import { Stack, hubbub, run, temporaryFolder, undo, wholeFile, within } from '../support/stack.mjs';

const PATH = '/msgpack/';
const parser = msgpack.default ?? msgpack;
const EVENTS = `(
    { name = "msg";    room = "$.room"; deliver = "room";   archive = true;  dedup = "$.id"; meta = true; },
    { name = "typing"; room = "$.room"; deliver = "others"; volatile = true; meta = true; },
    { name = "mine";   deliver = "self"; meta = false; },
    { name = "all";    deliver = "namespace"; meta = false; })`;
const CONFIG = `
gateway = { msgpack_path = "${PATH}"; compression = true; compression_threshold = 200; };
namespaces = ({ name = "/"; events = ${EVENTS}; }, { name = "/deep/er"; events = ${EVENTS}; });`;

const file = wholeFile(after);
let stack;
let rooms = 0;
const newRoom = () => `room ${++rooms}`;

const PARSERS = { text: {}, msgpack: { parser, path: PATH } };
const TRANSPORTS = {
  websocket: { transports: ['websocket'] },
  polling: { transports: ['polling'] },
  compressed: { transports: ['websocket'], perMessageDeflate: { threshold: 0 } },
};

async function start(t, options = {}) {
  const config = path.join(await temporaryFolder(t), 'hubbub.conf');
  await writeFile(config, CONFIG);
  return Stack.start(t, { gateways: 2, args: ['--config', config], ...options });
}

function open(t, url, options) {
  const socket = io(url, { forceNew: true, reconnection: false, ...options });
  undo(t, () => socket.disconnect());
  return socket;
}

const connected = (socket) => within(LIMIT, 'connect', new Promise((resolve, reject) => {
  if (socket.connected)
    resolve(socket);
  socket.once('connect', () => resolve(socket));
  socket.once('connect_error', reject);
}));

const connect = (t, url, options) => connected(open(t, url, options));

/** A member for each parser and transport, on both gateways in turns. */
async function members(t, room, nsp = '') {
  let number = 0;
  const all = [];
  for (const [parserName, byParser] of Object.entries(PARSERS)) {
    for (const [transport, byTransport] of Object.entries(TRANSPORTS)) {
      const socket = await connect(t, stack.url(number++) + nsp, { ...byParser, ...byTransport });
      if (transport === 'compressed')
        assert.match(socket.io.engine.transport.ws.extensions, /permessage-deflate/);
      assert.equal((await ask(socket, 'join', room)).ok, true);
      all.push(Object.assign(socket, { label: `${parserName} on ${transport}` }));
    }
  }
  return all;
}

/** Emits a message and gives what each member got of it, without the room's argument, meta and offset. */
async function say(from, everyone, room, ...args) {
  const heard = everyone.map((socket) => next(socket, 'msg'));
  const answer = await ask(from, 'msg', { room }, ...args);
  assert.equal(answer.ok, true, JSON.stringify(answer));
  return Promise.all(heard.map(async (one, index) => {
    const [first, ...rest] = await one;
    const [meta, offset] = rest.splice(-2);
    assert.deepEqual(first, { room }, everyone[index].label);
    assert.equal(meta.seq, answer.seq, everyone[index].label);
    assert.match(offset, /^[\w-]+\.\d+$/, everyone[index].label);
    return plain(rest);
  }));
}

test('the stack starts', async () => {
  stack = await start(file);
});

test('members with and without it, on every transport and gateway, see the same values', async (t) => {
  const room = newRoom();
  const everyone = await members(t, room);
  const kinds = [
    [],
    [null, true, false, '', 'text', 'ünï \u{1F600} \u0000 "quoted" \\'],
    [0, 1, -1, 127, 128, 255, 256, 65535, 65536, 2 ** 31, 2 ** 32, 2 ** 53 - 1, -32, -33, -128, -129, -32769, -(2 ** 31) - 1, -(2 ** 53)],
    [0.1, -1.5, 1e-7, 5e-324, 123456789.123],
    [[], {}, [[[]]], { a: { b: { c: [1, { d: null }] } } }],
    [Array.from({ length: 40 }, (_, i) => i), Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`key ${i}`, i]))],
    ['x'.repeat(31), 'x'.repeat(32), 'x'.repeat(300), 'ä'.repeat(70_000)],
    [Array.from({ length: 70_000 }, (_, i) => i % 300)],
    [{ _placeholder: true, num: 0 }],
  ];
  for (const args of kinds) {
    for (const from of everyone) {
      for (const [index, got] of (await say(from, everyone, room, ...args)).entries())
        assert.deepEqual(got, args, `from ${from.label} to ${everyone[index].label}`);
    }
  }
});

test('numbers beyond 64 bits reach both parsers', async (t) => {
  const room = newRoom();
  const everyone = await members(t, room);
  const args = [2 ** 63, 1e20, 1e21, -1e300, Number.MAX_VALUE]; // notepack itself writes them wrongly
  for (const got of await say(everyone[0], everyone, room, ...args))
    assert.deepEqual(got, args);
});

test('what JSON has no value for is what JSON.stringify() makes of it', async (t) => {
  const room = newRoom();
  const everyone = await members(t, room);
  const date = new Date(Date.UTC(2024, 1, 29, 12, 34, 56, 789));
  const args = [[undefined, NaN, Infinity, -Infinity], { a: 1, gone: undefined, b: 2 }, date, { at: new Date(-1) }];
  const expected = JSON.parse(JSON.stringify(args));
  for (const from of everyone) {
    for (const got of await say(from, everyone, room, ...args))
      assert.deepEqual(got, expected, from.label);
  }
});

test('binary goes both ways between all of them', async (t) => {
  const room = newRoom();
  const everyone = await members(t, room);
  const bytes = (...values) => Buffer.from(values);
  const kinds = [
    [bytes(0, 255, 10)],
    [bytes()],
    [{ deep: [{ deeper: bytes(5) }, 'text'], number: 1.5 }, null, bytes(6), [bytes(7), bytes(8)]],
    [Buffer.alloc(300_000, 'large')],
    Array.from({ length: 10 }, (_, i) => bytes(i)),
    [Array.from({ length: 30 }, (_, i) => (i === 20 ? bytes(1, 2, 3) : i))],
  ];
  for (const args of kinds) {
    for (const from of everyone) {
      for (const [index, got] of (await say(from, everyone, room, ...args)).entries())
        assert.deepEqual(got, args, `from ${from.label} to ${everyone[index].label}`);
    }
  }
  // Node's notepack writes these as an extension.
  for (const [index, got] of (await say(everyone[3], everyone, room, Uint8Array.from([1, 2]).buffer)).entries())
    assert.deepEqual(got, [bytes(1, 2)], everyone[index].label);
});

test('history and its attachments come in either parser', async (t) => {
  const room = newRoom();
  const everyone = await members(t, room);
  for (let i = 0; i < 20; i++)
    await say(everyone[i % everyone.length], [], room, i, ...(i % 4 ? [] : [Buffer.from([i, i])]));
  const pages = await Promise.all(everyone.map(async (socket) => {
    const all = [];
    for (let more = true, after = 0; more;) {
      const page = await ask(socket, 'history', { room, after, limit: 3 });
      assert.equal(page.ok, true, JSON.stringify(page));
      all.push(...page.messages);
      ({ more } = page);
      after = page.messages.at(-1)?.seq ?? after;
    }
    return plain(all.map(({ seq, event, args }) => ({ seq, event, args })));
  }));
  assert.equal(pages[0].length, 20);
  assert.deepEqual(pages[0][4].args.slice(1), [4, Buffer.from([4, 4])]);
  for (const [index, page] of pages.entries())
    assert.deepEqual(page, pages[0], everyone[index].label);
});

test('the other ways to deliver, volatile events and presence', async (t) => {
  const room = newRoom();
  const everyone = await members(t, room);
  for (const from of everyone) {
    const others = everyone.filter((socket) => socket !== from);
    const own = collect(from, 'typing');
    const heard = Promise.all(others.map((socket) => next(socket, 'typing')));
    do // who is between two polls misses it
      assert.deepEqual(await ask(from, 'typing', { room, ink: Buffer.from([1]) }), { ok: true });
    while (!await Promise.race([heard, pause(50)]));
    for (const [argument] of await heard)
      assert.deepEqual(plain(argument), { room, ink: Buffer.from([1]) });
    assert.equal(own.all.length, 0);
    from.off('typing');
    const mine = next(from, 'mine');
    from.emit('mine', 1, 'two');
    assert.deepEqual((await mine).slice(0, 2), [1, 'two']);
    const all = everyone.map((socket) => next(socket, 'all'));
    from.emit('all', { n: 0.5 });
    for (const [argument] of await Promise.all(all))
      assert.deepEqual(argument, { n: 0.5 });
    assert.deepEqual(await ask(from, 'presence', room), { ok: true, room, members: everyone.length });
  }
  const watching = await connect(t, stack.url(0), { ...PARSERS.msgpack, transports: ['websocket'] });
  const told = next(watching, 'hubbub:presence');
  assert.equal((await ask(watching, 'join', { room, presence: true })).ok, true);
  everyone[0].disconnect();
  assert.equal((await told)[0].room, room);
});

test('namespaces, nested ones too, on one connection', async (t) => {
  const room = newRoom();
  for (const transports of [['websocket'], ['polling']]) {
    const socket = await connect(t, stack.url(0), { ...PARSERS.msgpack, transports });
    const nested = await connected(socket.io.socket('/deep/er'));
    assert.equal((await ask(nested, 'join', room)).ok, true);
    assert.equal((await ask(socket, 'msg', { room })).error.code, 'not_joined');
    const heard = next(nested, 'msg');
    assert.equal((await ask(nested, 'msg', { room, data: Buffer.from([9]) })).ok, true);
    assert.deepEqual(plain((await heard)[0].data), Buffer.from([9]));
    const refused = socket.io.socket('/nowhere');
    const [error] = await within(LIMIT, 'the refusal', once(refused, 'connect_error'));
    assert.equal(error.message, 'Invalid namespace');
    nested.disconnect();
    assert.equal((await ask(socket, 'join', room)).ok, true);
  }
});

test('refusals come with their codes', async (t) => {
  const room = newRoom();
  for (const transports of [['websocket'], ['polling']]) {
    const socket = await connect(t, stack.url(1), { ...PARSERS.msgpack, transports });
    const code = async (...args) => (await ask(socket, ...args)).error?.code;
    assert.equal(await code('msg', { room }), 'not_joined');
    assert.equal(await code('no such event'), 'unknown_event');
    assert.equal(await code('join', ''), 'bad_room');
    assert.equal((await ask(socket, 'join', room)).ok, true);
    let deep = 1;
    for (let i = 0; i < 127; i++)
      deep = [deep];
    assert.equal((await ask(socket, 'msg', { room }, deep)).ok, true);
    const history = await ask(socket, 'history', room);
    assert.deepEqual(history.messages[0].args[1], deep);
    assert.equal(await code('msg', { room }, [deep]), 'too_deep');
    assert.equal(await code('msg', { room }, ...Array(11).fill(Buffer.from([1]))), 'too_large');
    assert.equal(await code('msg', { room }, '\u0001'.repeat(300_000)), 'too_large');
    assert.equal(await code('msg', { room }, { _placeholder: true, num: 0 }, Buffer.from([1])), 'bad_request');
    const told = next(socket, 'hubbub:error');
    socket.emit('msg', { room }, [deep]);
    assert.equal((await told)[0].error.code, 'too_deep');
  }
});

test('a retry of a message counts once, whatever the parser', async (t) => {
  const room = newRoom();
  const everyone = await members(t, room);
  const message = { room, id: 'msgpack-once', data: Buffer.from([1]) };
  const answers = [];
  for (const socket of everyone)
    answers.push(await ask(socket, 'msg', message));
  for (const answer of answers)
    assert.deepEqual(answer, answers[0]);
});

test('order holds between parsers when all talk at once', async (t) => {
  const room = newRoom();
  const everyone = await members(t, room);
  const heard = everyone.map((socket) => collect(socket, 'msg'));
  await Promise.all(Array.from({ length: 600 }, (_, i) =>
    ask(everyone[i % everyone.length], 'msg', { room }, i, ...(i % 5 ? [] : [Buffer.alloc(i, i & 255)]))));
  await Promise.all(heard.map((each) => each.reached(600)));
  for (const each of heard) {
    assert.deepEqual(each.all.map((args) => args.at(-2).seq), Array.from({ length: 600 }, (_, i) => i + 1));
    assert.deepEqual(plain(each.all.map((args) => args.slice(1, -2))), plain(heard[0].all.map((args) => args.slice(1, -2))));
  }
});

for (const [balanced, address] of Object.entries({
  'on its gateway': async () => stack.url(0),
  'between gateways': async (t) => haproxy(t, stack.ports),
})) {
  test(`the upgrade ${balanced} keeps the parser and loses nothing`, async (t) => {
    const url = await address(t);
    const room = newRoom();
    const author = await connect(t, stack.url(1), { transports: ['websocket'] });
    assert.equal((await ask(author, 'join', room)).ok, true);
    const clients = Array.from({ length: 12 }, () => open(t, url, PARSERS.msgpack));
    const heard = clients.map((socket) => collect(socket, 'msg'));
    await Promise.all(clients.map(async (socket) => {
      await connected(socket);
      assert.equal((await ask(socket, 'join', room)).ok, true);
    }));
    const upgraded = clients.map((socket) => within(LIMIT, 'the upgrade', new Promise((resolve) => {
      socket.io.engine.once('upgrade', resolve);
      if (socket.io.engine.transport.name === 'websocket')
        resolve();
    })));
    for (let i = 0; i < 100; i++)
      await ask(author, 'msg', { room }, i, Buffer.from([i]));
    await Promise.all(upgraded);
    for (const each of heard) {
      await each.reached(100);
      assert.deepEqual(plain(each.all.map((args) => args.slice(1, 3))), Array.from({ length: 100 }, (_, i) => [i, Buffer.from([i])]));
    }
    await Promise.all(clients.map(async (socket, i) => assert.equal((await ask(socket, 'msg', { room }, i)).ok, true)));
    await Promise.all(clients.map((socket) => settled(socket, room)));
    for (const each of heard)
      assert.equal(each.all.length, 112);
  });
}

// -- recovery

for (const transports of [['websocket'], ['polling']]) {
  test(`a session on ${transports} recovers on another gateway when its own is killed`, async (t) => {
    const own = await start(t);
    const room = newRoom();
    const detour = await Detour.start(t, own.ports[0]);
    const author = await connect(t, own.url(1), { transports: ['websocket'] });
    assert.equal((await ask(author, 'join', room)).ok, true);
    const person = io(detour.url, {
      ...PARSERS.msgpack, transports, forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100, timeout: 1000,
    });
    undo(t, () => person.disconnect());
    const sessions = [];
    person.on('connect', () => sessions.push({ id: person.id, recovered: person.recovered }));
    await connected(person);
    assert.equal((await ask(person, 'join', room)).ok, true);
    const heard = collect(person, 'msg');
    const tell = async (from, to) => {
      for (let i = from; i < to; i++)
        assert.equal((await ask(author, 'msg', { room }, i, ...(i % 2 ? [Buffer.from([i])] : [i / 4]))).ok, true);
    };
    await tell(0, 10);
    await heard.reached(10);
    detour.refused = true;
    detour.cut();
    await own.kill('gateway-1');
    await tell(10, 30);
    Object.assign(detour, { port: own.ports[1], refused: false });
    await heard.reached(30);
    await tell(30, 35);
    await heard.reached(35);
    await settled(person, room);
    assert.deepEqual(plain(heard.all.map((args) => args.slice(1, 3))),
      Array.from({ length: 35 }, (_, i) => [i, i % 2 ? Buffer.from([i]) : i / 4]));
    assert.equal(sessions.length, 2);
    assert.equal(sessions[0].id, sessions[1].id);
    assert.equal(sessions[1].recovered, true);
  });
}

// -- bad frames

/** Waits until the gateways have told the router of so many. */
async function counted(name, expected) {
  for (const end = Date.now() + LIMIT; ; await pause(50)) {
    const { stdout } = await run(hubbub, ['stats', '--data', stack.data, 'json']);
    const count = JSON.parse(stdout).metrics[name] || 0;
    if (count === expected)
      return;
    assert.ok(count < expected && Date.now() < end, `${name}: ${count}, not ${expected}`);
  }
}

test('a frame that is no packet closes its connection and no other', async (t) => {
  const room = newRoom();
  const bystanders = await members(t, room);
  const encoder = new parser.Encoder();
  const encode = (packet) => encoder.encode(packet)[0];
  const packets = [
    Buffer.from([0xc1]),
    Buffer.alloc(0),
    Buffer.from('2["msg"]'),
    Buffer.from([0xdf, 0xff, 0xff, 0xff, 0xff]),
    Buffer.concat([encode({ type: 2, data: ['msg'], nsp: '/' }), Buffer.from([0xc0])]),
    encode({ type: 2, data: ['msg'], nsp: '/' }).subarray(0, -1),
    encode({ type: 2, data: { 0: 'msg' }, nsp: '/' }),
    encode({ type: 2, data: ['connect'], nsp: '/' }),
    encode({ type: 9, data: ['msg'], nsp: '/' }),
    encode({ type: 2, data: ['msg'], nsp: '/', id: -1 }),
    encode({ type: 2, data: ['msg'] }),
    encode({ type: 2, data: ['msg'], nsp: '/elsewhere' }),
    '2["msg"]',
  ];
  for (const transports of [['websocket'], ['polling']]) {
    for (const packet of packets) {
      const socket = await connect(t, stack.url(0), { ...PARSERS.msgpack, transports });
      const closed = once(socket, 'disconnect');
      socket.io.engine.write(packet);
      const [reason] = await within(LIMIT, `the end over ${Buffer.from(packet).toString('hex')}`, closed);
      assert.match(reason, /^transport (close|error)$/);
    }
  }
  await counted('hubbub_closed_total{reason=packet_in_wrong_state}', 2);
  await counted('hubbub_closed_total{reason=parse_error}', 2 * (packets.length - 1));
  for (const got of await say(bystanders[0], bystanders, room, 'still here'))
    assert.deepEqual(got, ['still here']);
});

test('clients that mistake the path are closed', async (t) => {
  for (const options of [{ path: PATH }, { parser, path: '/socket.io/' }]) {
    const socket = open(t, stack.url(0), { ...options, transports: ['websocket'] });
    const [error] = await within(LIMIT, 'the end', new Promise((resolve) => {
      socket.io.engine.once('close', (...args) => resolve(args));
    }));
    assert.equal(error, 'transport close');
  }
});

test('a path that is not configured is not there', async (t) => {
  assert.equal((await fetch(`${stack.url(0)}/elsewhere/?EIO=4&transport=polling`)).status, 404);
  const bare = await Stack.start(t, { gateways: 1 });
  assert.equal((await fetch(`${bare.url(0)}${PATH}?EIO=4&transport=polling`)).status, 404);
});

for (const [value, line] of [
  ['msgpack', /msgpack_path is a path such as/],
  ['/', /msgpack_path is a path such as/],
  ['/a b/', /msgpack_path is a path such as/],
  ['/socket.io/', /msgpack_path: \/socket.io\/ is served already/],
]) {
  test(`the path ${value} is refused`, async () => {
    const gateway = path.join(path.dirname(hubbub), '..', 'gateway', 'hubbub-gateway');
    const { code, stderr } = await run(gateway, ['--msgpack-path', value, '--check-config']);
    assert.notEqual(code, 0);
    assert.match(stderr, line);
  });
}
