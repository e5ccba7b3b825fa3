// The reference server: Socket.IO's own from npm, with handlers that do what Hubbub's default rules do.
//
//     node reference.mjs '{"port":3000,"options":{"pingInterval":300}}'
//
// Suites run against it to show that they ask for nothing that stock software does not do, and the
// differential test holds Hubbub's answers against its.  `options` goes to the server as it is.  Prints `ready`.
//
// In "/" and "/custom": join, leave, presence, history, msg, typing as docs/protocol.md has them, with nothing kept;
// and `echo`, the rule { name = "echo"; deliver = "self"; meta = false; }.  /engine.io/ echoes bare
// Engine.IO messages, /echo bare frames.  Every other namespace is unknown.

import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { createRequire } from 'node:module';
import { Server } from 'socket.io';

// What socket.io itself depends on, in the versions that it chose.
const require = createRequire(createRequire(import.meta.url).resolve('socket.io'));
const engine = require('engine.io');
const { WebSocketServer } = require('ws');

const { port, host = '::', options = {} } = JSON.parse(process.argv[2] || '{}');
const bare = { cors: options.cors, pingInterval: options.pingInterval, pingTimeout: options.pingTimeout,
  maxHttpBufferSize: options.maxHttpBufferSize };
for (const key of Object.keys(bare))
  bare[key] === undefined && delete bare[key];

const server = http.createServer((request, response) => {
  response.writeHead(404);
  response.end();
});
const io = new Server(server, { ...options, destroyUpgrade: false });

const bareEngine = new engine.Server({ ...bare });
bareEngine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
bareEngine.attach(server, { path: '/engine.io', destroyUpgrade: false });

const echo = new WebSocketServer({ noServer: true, maxPayload: 1 << 26, maxFragments: 0,
  perMessageDeflate: options.perMessageDeflate || false, skipUTF8Validation: false });
server.on('upgrade', (request, socket, head) => {
  if (request.url.split('?')[0] === '/echo') {
    echo.handleUpgrade(request, socket, head, (peer) => {
      peer.on('message', (data, binary) => peer.send(data, { binary }));
      peer.on('error', () => {});
    });
  }
});

const refusal = (code, message) => ({ ok: false, error: { code, message } });

for (const name of ['/', '/custom']) {
  const namespace = io.of(name);
  const rooms = new Map(); // name -> {seq, messages}
  const room = (key) => {
    if (!rooms.has(key))
      rooms.set(key, { seq: 0, messages: [] });
    return rooms.get(key);
  };
  const members = (key) => namespace.adapter.rooms.get(key)?.size ?? 0;

  const enter = (socket, wanted) => {
    const key = typeof wanted === 'string' ? wanted : wanted?.room;
    if (typeof key !== 'string' || !key)
      return refusal('bad_room', 'a room is a text of 1 to 255 bytes without control characters');
    socket.join(key);
    const { seq, messages } = room(key);
    const answer = { ok: true, room: key, seq, members: members(key) };
    if (wanted.history !== undefined) {
      answer.history = messages.slice(Math.max(0, messages.length - wanted.history));
      if (messages.length > answer.history.length)
        answer.more = true;
    }
    return answer;
  };

  const handlers = {
    join: enter,
    leave(socket, wanted) {
      const key = wanted?.room ?? wanted;
      socket.leave(key);
      return { ok: true, room: key };
    },
    presence(socket, wanted) {
      const key = wanted?.room ?? wanted;
      return { ok: true, room: key, members: members(key) };
    },
    history(socket, { room: key, after, before, limit = 50 }) {
      if (!socket.rooms.has(key))
        return refusal('not_joined', 'join the room first');
      const all = room(key).messages.filter(({ seq }) => seq > (after ?? 0) && seq < (before ?? Infinity));
      const few = Math.min(limit, 200);
      const messages = after === undefined ? all.slice(Math.max(0, all.length - few)) : all.slice(0, few);
      return { ok: true, room: key, messages, more: messages.length < all.length };
    },
    msg(socket, ...args) {
      const key = args[0]?.room;
      if (!socket.rooms.has(key))
        return refusal('not_joined', 'join the room first');
      const kept = room(key);
      const meta = { room: key, seq: ++kept.seq, id: args[0].id ?? randomUUID(), from: `anon:${socket.id}`, at: Date.now() };
      kept.messages.push({ seq: meta.seq, id: meta.id, event: 'msg', from: meta.from, at: meta.at, args });
      namespace.to(key).emit('msg', ...args, meta);
      return { ok: true, id: meta.id, seq: meta.seq, at: meta.at };
    },
    typing(socket, ...args) {
      const key = args[0]?.room;
      if (!socket.rooms.has(key))
        return refusal('not_joined', 'join the room first');
      socket.to(key).volatile.emit('typing', ...args, { room: key, from: `anon:${socket.id}`, at: Date.now() });
      return { ok: true };
    },
    echo(socket, ...args) {
      socket.emit('echo', ...args);
      return { ok: true };
    },
  };

  namespace.on('connection', (socket) => {
    for (const key of Array.isArray(socket.handshake.auth.join) ? socket.handshake.auth.join : [])
      enter(socket, key);
    for (const [event, handler] of Object.entries(handlers)) {
      socket.on(event, (...args) => {
        const acknowledge = typeof args.at(-1) === 'function' ? args.pop() : () => {};
        acknowledge(handler(socket, ...args));
      });
    }
  });
}

process.on('SIGTERM', () => process.exit(0));
server.listen(port, host, () => console.log('ready'));
