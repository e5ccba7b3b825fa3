// The load that faults happen under, and a record of everything that was sent, acknowledged and seen.
//
// A message is known by its tag.  Three of four carry an id of the client's own as well and are sent again with
// it after a reconnect or a long silence; the fourth is sent once, so only the link between gateway and router
// can have sent it twice.  A stay is one connection's membership: it begins behind the number that the answer to
// its join names, and from there on nothing may be missing.

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, open } from '../support/client.mjs';
import { undo } from '../support/stack.mjs';

const ANSWER_LIMIT = 10_000; // ms without an answer before a message is sent again
const TICK = 4; // ms; short, so that messages come one by one and commits are many

export class Load {
  constructor(t, stack, { clients = 200, rooms = 20, rate = 200 } = {}) {
    this.stack = stack;
    this.rate = rate;
    this.messages = new Map(); // tag -> {room, tag, id, attempts, answer, refused, sentAt, answeredAt}
    this.wrong = []; // what a client saw that can't be
    this.clients = Array.from({ length: clients }, (_, number) => {
      const gateway = Math.floor(number / rooms) % stack.ports.length;
      return new Client(t, this, stack.url(gateway), `gateway-${gateway + 1}`, `room ${number % rooms}`);
    });
  }

  /** Comes back when all are members of their rooms. */
  async begin() {
    await Promise.all(this.clients.map((client) => client.joinedOnce));
  }

  /** Sends at the rate for that time. */
  async run(seconds) {
    const start = performance.now();
    let sent = 0;
    for (let passed = 0; passed < seconds; passed = (performance.now() - start) / 1000) {
      for (const due = Math.floor(passed * this.rate); sent < due; sent++)
        this.clients[sent % this.clients.length].say();
      await sleep(TICK);
    }
  }

  /** Waits until all that can still be answered is, at most `limit` ms; then every client is up to date. */
  async end(limit = 30_000) {
    const deadline = performance.now() + limit;
    while (this.clients.some((client) => !client.joined || client.waiting.size) && performance.now() < deadline)
      await sleep(TICK);
    for (const client of this.clients)
      client.stopped = true;
    // An answer stands behind whatever was sent to that client before.
    await Promise.all(this.clients.filter((client) => client.joined)
      .map((client) => ask(client.socket, 'presence', client.room)));
  }
}

class Client {
  constructor(t, load, url, gateway, room) {
    Object.assign(this, { load, gateway, room, stays: [], stay: null, waiting: new Map(), disconnects: 0 });
    this.socket = open(t, url, { reconnection: true, reconnectionDelay: 100, reconnectionDelayMax: 500 });
    this.joinedOnce = new Promise((resolve) => { this.firstJoin = resolve; });
    this.socket.on('connect', () => this.join());
    this.socket.on('disconnect', () => this.lost());
    this.socket.on('msg', (...args) => this.hear(...args));
    undo(t, () => clearInterval(this.patience));
    this.patience = setInterval(() => this.retry(), 1000);
  }

  get joined() {
    return this.stay !== null;
  }

  join() {
    const sid = this.socket.id;
    this.socket.emit('join', this.room, (answer) => {
      if (this.socket.id !== sid)
        return;
      if (!answer.ok) {
        setTimeout(() => this.socket.id === sid && this.join(), 200);
        return;
      }
      this.stay = { sid, from: answer.seq, heard: [], open: true };
      this.stays.push(this.stay);
      this.firstJoin();
      for (const message of this.waiting.values())
        this.send(message);
    });
  }

  lost() {
    if (this.stopped)
      return; // the stack is being stopped
    this.disconnects++;
    if (this.stay)
      this.stay.open = false;
    this.stay = null;
    // What has no id can't be sent again: nobody will ever know.
    for (const [tag, message] of this.waiting) {
      if (!message.id && message.attempts)
        this.waiting.delete(tag);
    }
  }

  say() {
    const tag = randomUUID();
    const message = { room: this.room, tag, attempts: 0, answer: null, refused: null, sentAt: performance.now() };
    if (this.load.messages.size % 4)
      message.id = `id-${tag}`;
    this.load.messages.set(tag, message);
    this.waiting.set(tag, message);
    if (this.joined)
      this.send(message);
  }

  send(message) {
    const { room, id, tag } = message;
    message.attempts++;
    message.lastSentAt = performance.now();
    this.socket.emit('msg', id ? { room, id, tag } : { room, tag }, (answer) => this.answered(message, answer));
  }

  answered(message, answer) {
    if (answer.ok) {
      if (message.answer && (message.answer.seq !== answer.seq || message.answer.id !== answer.id))
        this.load.wrong.push(`two outcomes for ${message.tag}: ${JSON.stringify([message.answer, answer])}`);
      if (message.refused)
        this.load.wrong.push(`accepted after it was refused: ${JSON.stringify(message)}`);
      message.answeredAt ??= performance.now();
      message.answer = answer;
      this.waiting.delete(message.tag);
    } else if (message.attempts === 1) {
      message.refused = answer.error.code;
      this.waiting.delete(message.tag);
    }
    // A retry that is refused says nothing about the first attempt: it waits for retry().
  }

  retry() {
    const now = performance.now();
    if (!this.joined || this.stopped)
      return;
    for (const message of this.waiting.values()) {
      if (message.id && now - message.lastSentAt > ANSWER_LIMIT)
        this.send(message);
    }
  }

  hear(argument, meta, offset) {
    if (!this.stay)
      this.load.wrong.push(`${this.room}: ${meta.seq} came before the join was answered`);
    else
      this.stay.heard.push({ seq: meta.seq, tag: argument.tag, id: meta.id, room: meta.room, offset });
  }
}
