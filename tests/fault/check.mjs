// What must be true after a load, whatever happened meanwhile.  Everything that is not stands in a list.

import { ask } from '../support/client.mjs';

const SHOWN = 10; // of each kind

/** Checks a load whose stack still runs, stops the stack, and checks the journal.  Gives {problems, figures}. */
export async function check(load, { kills }) {
  const problems = [...load.wrong];
  const problem = (text) => problems.push(text);
  const rooms = new Map(); // room -> a client in it
  for (const client of load.clients) {
    if (client.joined)
      rooms.set(client.room, client);
    else
      problem(`a client of ${client.room} has not come back`);
  }
  const histories = new Map();
  await Promise.all([...rooms].map(async ([room, client]) => histories.set(room, await wholeHistory(client))));
  const { code, signal } = await load.stack.stop();
  if (code !== 0)
    problem(`hubbub run ended with ${code ?? signal}`);

  const rows = await load.stack.journal(
    `select pos, room, seq, publish_id as id, at, json_extract(arguments, '$.tag') as tag from message order by pos`);
  const journal = byRoom(rows, problem);
  checkAcknowledged(load, journal, problem);
  checkMembers(load, journal, problem);
  for (const [room, history] of histories) {
    const list = (messages) => messages.map(({ seq, id }) => `${seq} ${id}`).join('\n');
    if (list(history) !== list([...roomOf(journal, room).bySeq.values()]))
      problem(`${room}: history is not what the journal holds`);
  }
  for (const client of load.clients) {
    if (client.disconnects > (kills.get(client.gateway) || 0))
      problem(`a client of ${client.gateway} was disconnected ${client.disconnects} times, `
        + `its gateway was killed ${kills.get(client.gateway) || 0} times`);
  }
  return { problems: shorten(problems), figures: figures(load, rows) };
}

async function wholeHistory(client) {
  const messages = [];
  for (;;) {
    const answer = await ask(client.socket, 'history',
      { room: client.room, after: messages.length ? messages.at(-1).seq : 0, limit: 200 });
    if (!answer.ok)
      throw new Error(`history of ${client.room}: ${JSON.stringify(answer)}`);
    messages.push(...answer.messages);
    if (!answer.more)
      return messages;
  }
}

// No hole in seq, nothing twice, in the journal itself.
function byRoom(rows, problem) {
  const journal = { rooms: new Map(), tags: new Map() };
  let position = 0;
  for (const row of rows) {
    if (row.pos !== position + 1)
      problem(`journal: position ${row.pos} follows ${position}`);
    position = row.pos;
    const room = roomOf(journal, row.room);
    if (row.seq !== room.last + 1)
      problem(`journal: ${row.room}: ${row.seq} follows ${room.last}`);
    if (row.at < room.at)
      problem(`journal: ${row.room}: at goes back at ${row.seq}`);
    Object.assign(room, { last: row.seq, at: row.at });
    room.bySeq.set(row.seq, row);
    if (journal.tags.has(row.tag))
      problem(`journal: ${row.tag} stands twice`);
    journal.tags.set(row.tag, row);
  }
  return journal;
}

function roomOf(journal, name) {
  if (!journal.rooms.has(name))
    journal.rooms.set(name, { last: 0, at: 0, bySeq: new Map() });
  return journal.rooms.get(name);
}

function checkAcknowledged(load, journal, problem) {
  for (const { room, tag, id, answer, refused } of load.messages.values()) {
    const row = journal.tags.get(tag);
    if (refused && row)
      problem(`journal: ${tag} of ${room} was refused (${refused}) and is there as ${row.seq}`);
    if (answer && !row)
      problem(`journal: ${room} ${answer.seq} was acknowledged and is missing (${tag})`);
    else if (answer && (row.room !== room || row.seq !== answer.seq || row.id !== answer.id || row.at !== answer.at))
      problem(`journal: ${tag} was acknowledged as ${JSON.stringify(answer)}, stored as ${JSON.stringify(row)}`);
    if (answer && id && answer.id !== id)
      problem(`${tag} was acknowledged under the id ${answer.id}`);
  }
  for (const { tag, room } of journal.tags.values()) {
    if (load.messages.get(tag)?.room !== room)
      problem(`journal: ${tag} in ${room} was never sent there`);
  }
}

// Each stay saw, from the number of its join on, what the journal holds: in order, once, without a hole.
function checkMembers(load, journal, problem) {
  const epochs = new Set();
  for (const client of load.clients) {
    const room = roomOf(journal, client.room);
    for (const stay of client.stays) {
      let seq = stay.from;
      let position = 0;
      for (const heard of stay.heard) {
        seq++;
        if (heard.seq !== seq) {
          problem(`${client.room}: a member that joined at ${stay.from} got ${heard.seq} where ${seq} belongs`);
          seq = heard.seq;
        }
        const row = room.bySeq.get(heard.seq);
        if (!row || row.tag !== heard.tag || row.id !== heard.id || heard.room !== client.room)
          problem(`${client.room}: a member got ${JSON.stringify(heard)}, the journal has ${JSON.stringify(row)}`);
        const [epoch, pos] = String(heard.offset).split('.');
        epochs.add(epoch);
        if (row && Number(pos) !== row.pos)
          problem(`${client.room}: ${heard.seq} came with the offset ${heard.offset}, its position is ${row.pos}`);
        if (Number(pos) <= position)
          problem(`${client.room}: offsets go back at ${heard.seq}`);
        position = Number(pos);
      }
      if (stay.open && seq !== room.last)
        problem(`${client.room}: a member that stayed has up to ${seq}, the room has ${room.last}`);
    }
  }
  if (epochs.size !== 1)
    problem(`${epochs.size} epochs were seen: ${[...epochs].join(' ')}`);
}

function figures(load, rows) {
  const messages = [...load.messages.values()];
  const acknowledged = messages.filter((message) => message.answer);
  const waits = acknowledged.map((message) => message.answeredAt - message.sentAt).sort((a, b) => a - b);
  const at = (part) => Math.round(waits[Math.min(waits.length - 1, Math.floor(waits.length * part))] ?? 0);
  const sum = (list) => list.reduce((total, number) => total + number, 0);
  return {
    sent: messages.length,
    acknowledged: acknowledged.length,
    part: acknowledged.length / messages.length,
    refused: messages.filter((message) => message.refused).length,
    unanswered: messages.filter((message) => !message.answer && !message.refused).length,
    stored: rows.length,
    'sent again': sum(messages.map((message) => Math.max(0, message.attempts - 1))),
    delivered: sum(load.clients.flatMap((client) => client.stays.map((stay) => stay.heard.length))),
    disconnects: sum(load.clients.map((client) => client.disconnects)),
    'stayed all the time': load.clients.filter((client) => client.disconnects === 0).length,
    'answer ms p50/p99/max': `${at(0.5)}/${at(0.99)}/${at(1)}`,
  };
}

function shorten(problems) {
  const shown = new Map();
  for (const text of problems) {
    const kind = text.replace(/[0-9a-f-]{36}|\d+|\{.*/g, '#');
    shown.set(kind, [...(shown.get(kind) || []), text]);
  }
  return [...shown.values()].flatMap((list) => (list.length > SHOWN
    ? [...list.slice(0, SHOWN), `... and ${list.length - SHOWN} more of that kind`] : list));
}
