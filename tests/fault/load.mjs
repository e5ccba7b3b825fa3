// The load that faults happen under, and a record of everything that was sent, answered and seen.
//
// A client has something to say (an intent) and publishes it under a tag.  Nine of ten messages carry an id of the
// client's own as well and are sent again with it after a reconnect or a long silence; the tenth is sent once, so
// only the link between gateway and router can have sent it twice.  One in eight is a logged event instead: it has no
// number, and stands in no history, but a session that is recovered gets it.  What is refused is published anew, as another
// message under another tag, until the intent is acknowledged.
//
// A stay is one membership.  It begins behind the number that the answer to its join names, outlives connections
// that were recovered, and from its beginning on nothing may be missing.  A client that got a fresh session joins
// again and asks for the gap between its stays with history {after}.

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, LIMIT, open } from '../support/client.mjs';
import { undo } from '../support/stack.mjs';

/** The rules of a stack that this load is for. */
export const EVENTS = `
events = (
  { name = "msg"; room = "$.room"; deliver = "room"; archive = true; dedup = "$.id"; meta = true; },
  { name = "note"; room = "$.room"; deliver = "room"; meta = true; }
);
`;

const ANSWER_LIMIT = 10_000; // ms without an answer before a message is sent again
const AGAIN = 300; // ms until what was refused is tried again
const TICK = 4; // ms; short, so that messages come one by one and commits are many
const WITHOUT_ID = 10; // one in so many messages
const LOGGED = 8; // one in so many
const FORGETFUL = 10; // one in so many clients never asks for its session
const POLLING = 25; // one in so many clients stays on polling
const UPGRADING = 10; // one in so many begins on polling and upgrades, as the stock client does by itself
const PAGE = 200;

const NO_SESSION = 'none'; // what a forgetful client names instead of its pid

export class Load {
  /** Options: clients, rooms, rate (messages a second), roving (every other client, or 'all', comes back to
   *  the next gateway), logged (whether there are logged events as well), connection (further options of the clients). */
  constructor(t, stack, { clients = 200, rooms = 20, rate = 200, roving = true, logged = true, connection = {} } = {}) {
    this.stack = stack;
    this.connection = connection;
    this.rate = rate;
    this.logged = logged;
    this.intents = 0;
    this.messages = new Map(); // tag -> see Client.publish()
    this.wrong = []; // what a client saw that can't be
    this.clients = Array.from({ length: clients }, (_, number) => new Client(t, this, {
      number,
      gateway: Math.floor(number / rooms) % stack.ports.length,
      room: `room ${number % rooms}`,
      roves: roving === 'all' || (roving && number % 2 === 1),
      forgetful: number % FORGETFUL === FORGETFUL - 1,
      transports: transportsOf(number),
    }));
  }

  /** Comes back when all are members of their rooms. */
  async begin() {
    await Promise.all(this.clients.map((client) => client.joinedOnce));
  }

  /** Publishes at the rate for that time, and for as long as more() says; gives how many seconds that were. */
  async run(seconds, more = () => false) {
    const start = performance.now();
    let sent = 0;
    for (;;) {
      const passed = (performance.now() - start) / 1000;
      for (const due = Math.floor(passed * this.rate); sent < due; sent++)
        this.clients[sent % this.clients.length].publish(this.intents++);
      if (passed >= seconds && !more())
        return passed;
      await sleep(TICK);
    }
  }

  /** Waits until all that can still be answered is, at most `limit` ms; then every client is up to date. */
  async end(limit = 60_000) {
    const deadline = performance.now() + limit;
    while (this.clients.some((client) => !client.settled) && performance.now() < deadline)
      await sleep(TICK);
    for (const client of this.clients)
      client.stopped = true;
    // An answer stands behind whatever was sent to that client before.
    await Promise.all(this.clients.filter((client) => client.joined)
      .map((client) => ask(client.socket, 'presence', client.room)));
  }
}

function transportsOf(number) {
  if (number % POLLING === POLLING - 1)
    return ['polling'];
  return number % UPGRADING === UPGRADING / 2 ? ['polling', 'websocket'] : ['websocket'];
}

class Client {
  constructor(t, load, { number, gateway, room, roves, forgetful, transports }) {
    Object.assign(this, { load, number, gateway, room, roves, forgetful });
    this.stays = []; // {sid, from, last, open, recoveries, heard: [{event, seq, tag, id, room, offset}]}; seq 0: logged
    this.gaps = []; // {after, upTo, messages: [{seq, tag, id, room}]}, null while not known
    this.filling = false;
    this.stay = null; // the open one
    this.away = null; // the stay whose connection was lost
    this.waiting = new Map(); // tag -> message without an outcome
    this.soon = 0; // refused ones that will be tried again
    this.losses = []; // {gateway: its name, reason, at}
    this.returns = []; // {away: ms, recovered}, only of those that asked for their session
    this.socket = open(t, load.stack.url(gateway), {
      ...load.connection,
      transports,
      reconnection: true,
      reconnectionDelay: 100,
      reconnectionDelayMax: 500,
      auth: { ...load.connection.auth, ...(forgetful && { pid: NO_SESSION }) },
    });
    this.joinedOnce = new Promise((resolve) => { this.firstJoin = resolve; });
    this.socket.on('connect', () => this.connected());
    this.socket.on('disconnect', (reason) => this.lost(reason));
    for (const event of ['msg', 'note'])
      this.socket.on(event, (...args) => this.hear(event, ...args));
    if (roves)
      this.socket.io.on('reconnect_attempt', () => this.goElsewhere());
    undo(t, () => clearInterval(this.patience));
    this.patience = setInterval(() => this.retry(), 1000);
  }

  get joined() {
    return this.stay !== null;
  }

  get settled() {
    return this.joined && !this.waiting.size && !this.soon && !this.unfilled;
  }

  /** The stock client's manager reads its address at each attempt. */
  goElsewhere() {
    this.gateway = (this.gateway + 1) % this.load.stack.ports.length;
    this.socket.io.uri = this.load.stack.url(this.gateway);
  }

  connected() {
    if (this.stopped)
      return; // at a gateway that has not heard yet that the stack is being stopped
    if (this.losses.length && this.stays.length && !this.forgetful)
      this.returns.push({ away: performance.now() - this.losses.at(-1).at, recovered: this.socket.recovered });
    if (!this.socket.recovered)
      this.join();
    else if (this.resume())
      this.sendWaiting();
    else if (!this.stay)
      this.join(); // its former connection ended before it was a member
  }

  /** Goes on with the stay that was interrupted; missed events come before `connect`.  False when there is none. */
  resume() {
    if (!this.away)
      return this.stay !== null;
    if (this.forgetful)
      this.load.wrong.push(`${this.room}: a client that named no session was given one`);
    if (this.socket.id !== this.away.sid)
      this.load.wrong.push(`${this.room}: recovered as ${this.socket.id}, it was ${this.away.sid}`);
    this.stay = this.away;
    this.stay.open = true;
    this.stay.recoveries++;
    this.away = null;
    return true;
  }

  join() {
    const sid = this.socket.id;
    this.socket.emit('join', this.room, (answer) => {
      if (this.socket.id !== sid)
        return;
      if (!answer.ok) {
        setTimeout(() => this.socket.id === sid && !this.joined && this.join(), AGAIN);
        return;
      }
      const last = this.stays.at(-1);
      if (last)
        this.gaps.push({ after: last.last, upTo: answer.seq, messages: null });
      this.stay = { sid, from: answer.seq, last: answer.seq, heard: [], open: true, recoveries: 0 };
      this.away = null;
      this.stays.push(this.stay);
      this.firstJoin();
      this.sendWaiting();
      this.fill();
    });
  }

  get unfilled() {
    return this.gaps.find(({ messages }) => !messages);
  }

  /** Asks for what came between stays.  A gap whose pages a further loss interrupts is begun anew. */
  async fill() {
    if (this.filling)
      return;
    this.filling = true;
    for (let gap; !this.stopped && this.joined && (gap = this.unfilled);) {
      gap.messages = await this.pages(gap);
      if (!gap.messages)
        await sleep(AGAIN);
    }
    this.filling = false;
  }

  /** The messages of a gap; null when they can't be had now. */
  async pages({ after, upTo }) {
    const messages = [];
    for (let more = true; more && (messages.at(-1)?.seq ?? after) < upTo;) {
      const answer = await this.socket.timeout(LIMIT)
        .emitWithAck('history', { room: this.room, after: messages.at(-1)?.seq ?? after, limit: PAGE })
        .catch(() => null);
      if (!answer?.ok || (answer.more && !answer.messages.length))
        return null;
      messages.push(...answer.messages.map(({ seq, id, args }) => ({ seq, id, tag: args[0].tag, room: this.room })));
      more = answer.more;
    }
    return messages.filter(({ seq }) => seq <= upTo);
  }

  lost(reason) {
    if (this.stopped)
      return; // the stack is being stopped
    this.losses.push({ gateway: `gateway-${this.gateway + 1}`, reason, at: performance.now() });
    if (this.stay) {
      this.stay.open = false;
      this.away = this.stay;
    }
    this.stay = null;
    // What has no id can't be sent again: nobody will ever know.
    for (const [tag, message] of this.waiting) {
      if (!message.id && message.attempts) {
        message.lost = true;
        this.waiting.delete(tag);
      }
    }
  }

  publish(intent) {
    const tag = randomUUID();
    const event = this.load.logged && intent % LOGGED === 0 ? 'note' : 'msg';
    const message = { room: this.room, event, tag, intent, attempts: 0, answer: null, refused: null, sentAt: performance.now() };
    if (event === 'msg' && intent % WITHOUT_ID)
      message.id = `id-${tag}`;
    this.load.messages.set(tag, message);
    this.waiting.set(tag, message);
    if (this.joined)
      this.send(message);
  }

  sendWaiting() {
    for (const message of this.waiting.values())
      this.send(message);
    this.fill();
  }

  send(message) {
    const { room, event, id, tag } = message;
    message.attempts++;
    message.lastSentAt = performance.now();
    this.socket.emit(event, id ? { room, id, tag } : { room, tag }, (answer) => this.answered(message, answer));
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
      this.soon++;
      setTimeout(() => {
        this.soon--;
        if (!this.stopped)
          this.publish(message.intent);
      }, AGAIN);
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

  hear(event, argument, meta, offset) {
    if (!this.stay && !(this.socket.recovered && this.resume())) {
      this.load.wrong.push(`${this.room}: ${meta.seq} came before the join was answered`);
      return;
    }
    this.stay.heard.push({ event, seq: meta.seq ?? 0, tag: argument.tag, id: meta.id, room: meta.room, offset });
    this.stay.last = meta.seq ?? this.stay.last;
  }

  /** What the checker looks at. */
  record() {
    const { number, room, forgetful, stays, gaps, losses, returns } = this;
    return { number, room, forgetful, stays, gaps, losses, returns, joined: this.joined };
  }
}
