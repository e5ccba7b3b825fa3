// The stock Socket.IO client, unmodified, with what tests need around it.

import { io as stock } from 'socket.io-client';
import { overTls } from './certificate.mjs';
import { undo, within } from './stack.mjs';

export const LIMIT = 60_000; // generous: only a hang meets it

/** The stock client's io(): over TLS it takes whatever certificate it finds. */
export function io(url, options = {}) {
  return stock(url, { rejectUnauthorized: !overTls, ...options });
}

/** A socket that has not connected yet; it goes when the test is over. */
export function open(t, url, options = {}) {
  const socket = io(url, { transports: ['websocket'], forceNew: true, reconnection: false, ...options });
  undo(t, () => socket.disconnect());
  return socket;
}

/** A connected socket. */
export async function connect(t, url, options = {}) {
  const socket = open(t, url, options);
  await within(LIMIT, 'connect', new Promise((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('connect_error', reject);
  }));
  return socket;
}

/** Emits, and gives the acknowledgement's first argument. */
export function ask(socket, event, ...args) {
  return within(LIMIT, `the answer to ${event}`, socket.emitWithAck(event, ...args));
}

/** The arguments of the next event of that name. */
export function next(socket, event) {
  return within(LIMIT, `the event ${event}`, new Promise((resolve) => {
    socket.once(event, (...args) => resolve(args));
  }));
}

/**
 * Everything of one event from now on: `all` grows, reached(n) comes back when it has n.
 */
export function collect(socket, event) {
  const collected = { all: [], waiting: null };
  socket.on(event, (...args) => {
    collected.all.push(args);
    if (collected.waiting && collected.all.length >= collected.waiting.count)
      collected.waiting.resolve();
  });
  collected.reached = (count) => within(LIMIT, `${count} times ${event}`, new Promise((resolve) => {
    if (collected.all.length >= count)
      resolve();
    else
      collected.waiting = { count, resolve };
  })).catch((error) => {
    throw new Error(`${error.message}; there were ${collected.all.length}`);
  });
  return collected;
}

/**
 * Comes back when what was sent to this socket before has come: an answer stands behind it in the link's and
 * the connection's order.
 */
export async function settled(socket, room) {
  return ask(socket, 'presence', room);
}

/** Values as they can be compared: all kinds of binary become Buffers. */
export function plain(value) {
  if (value instanceof ArrayBuffer)
    return Buffer.from(value);
  if (ArrayBuffer.isView(value))
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (Array.isArray(value))
    return value.map(plain);
  if (value && typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
  return value;
}
