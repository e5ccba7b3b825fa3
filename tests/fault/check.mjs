// What must be true after a load, whatever happened meanwhile: a function of records alone, so that it can be
// shown that it finds what it is there to find (test_checker.mjs).  Everything that is not so stands in a list.

const SHOWN = 10; // of each kind

/**
 * The problems that a record shows, as lines.  A record is
 *
 *   messages   [{room, event, tag, intent, id, attempts, answer, refused, lost}]: all that was published; answer is the
 *              acknowledgement, lost says that it had no id and went with its connection: nobody can know
 *   clients    [{number, room, joined, stays, gaps, losses, returns}], as in load.mjs
 *   wrong      lines: what clients saw at once that can't be
 *   journal    [{pos, room, event, seq, id, at, tag}] in order of pos; seq is 0 for a logged one
 *   archive    [{room, seq, id, tag}] in order of seq, from MongoDB; null for none
 *   histories  {room: [{seq, id, tag}]}: what the broker itself shows of the whole room
 *   losses     null, or {gateway: n}: more connections of one client may not end there
 */
export function check(record) {
  const problems = [...record.wrong];
  const problem = (text) => problems.push(text);
  const rooms = byRoom(record.journal, problem);
  const tags = byTag(record.journal, 'journal', problem);
  checkOutcomes(record, tags, problem);
  checkMembers(record, rooms, problem);
  for (const room of new Set(record.clients.map((client) => client.room))) {
    if (!record.histories[room])
      problem(`${room}: nobody was there to ask for its history`);
    else
      compare(`${room}: history`, record.histories[room], roomOf(rooms, room), problem);
  }
  if (record.archive)
    checkArchive(record.archive, rooms, problem);
  if (record.losses)
    checkLosses(record, problem);
  return shorten(problems);
}

// No hole in seq, none twice, in the journal itself.
function byRoom(rows, problem) {
  const rooms = new Map();
  let position = 0;
  for (const row of rows) {
    if (row.pos <= position)
      problem(`journal: position ${row.pos} follows ${position}`);
    position = row.pos;
    const room = roomOf(rooms, row.room);
    room.places.set(row.pos, room.rows.push(row) - 1);
    if (!row.seq)
      continue;
    if (row.seq !== room.last + 1)
      problem(`journal: ${row.room}: ${row.seq} follows ${room.last}`);
    if (row.at < room.at)
      problem(`journal: ${row.room}: at goes back at ${row.seq}`);
    Object.assign(room, { last: row.seq, at: row.at });
    room.bySeq.set(row.seq, row);
  }
  return rooms;
}

function roomOf(rooms, name) {
  if (!rooms.has(name))
    rooms.set(name, { last: 0, at: 0, bySeq: new Map(), rows: [], places: new Map() }); // pos -> place in rows
  return rooms.get(name);
}

function byTag(rows, place, problem) {
  const tags = new Map();
  for (const row of rows) {
    if (tags.has(row.tag))
      problem(`${place}: ${row.tag} stands twice`);
    tags.set(row.tag, row);
  }
  return tags;
}

function checkOutcomes(record, tags, problem) {
  const sent = new Map();
  for (const { room, event, tag, id, answer, refused } of record.messages) {
    const row = tags.get(tag);
    sent.set(tag, room);
    if (refused && row)
      problem(`journal: ${tag} of ${room} was refused (${refused}) and is there as ${row.seq}`);
    if (answer && !row)
      problem(`journal: ${event} ${answer.seq} of ${room} was acknowledged and is missing (${tag})`);
    else if (answer && (row.room !== room || row.event !== event
        || (event === 'msg' && (row.seq !== answer.seq || row.id !== answer.id || row.at !== answer.at))))
      problem(`journal: ${tag} was acknowledged as ${JSON.stringify(answer)}, stored as ${JSON.stringify(row)}`);
    if (answer && id && answer.id !== id)
      problem(`${tag} was acknowledged under the id ${answer.id}`);
  }
  for (const { tag, room } of tags.values()) {
    if (sent.get(tag) !== room)
      problem(`journal: ${tag} in ${room} was never sent there`);
  }
}

// From its first join on a client saw, or asked for, what the journal holds: in order, once, without a hole.
function checkMembers(record, rooms, problem) {
  const epochs = new Set();
  for (const client of record.clients) {
    const room = roomOf(rooms, client.room);
    if (!client.joined)
      problem(`a client of ${client.room} has not come back`);
    client.stays.forEach((stay, number) => {
      const last = checkStay(client, stay, room, epochs, problem);
      if (stay.open && last !== room.last)
        problem(`${client.room}: a member that ${stay.recoveries ? 'recovered' : 'stayed'} has up to ${last}, the room has ${room.last}`);
      const next = client.stays[number + 1];
      const gap = client.gaps[number];
      if (next && (!gap || gap.after !== last || gap.upTo !== next.from))
        problem(`${client.room}: a member that had ${last} and joined anew at ${next.from} asked for ${JSON.stringify(gap)}`);
    });
    for (const gap of client.gaps)
      checkGap(client, gap, room, problem);
  }
  if (epochs.size > 1)
    problem(`${epochs.size} epochs were seen: ${[...epochs].join(' ')}`);
}

/** Gives the number up to which the member was told. */
function checkStay(client, stay, room, epochs, problem) {
  const who = `${client.room}: a member that joined at ${stay.from} and recovered ${stay.recoveries} times`;
  let seq = stay.from;
  let place = null; // in the room's rows, of the event before
  for (const heard of stay.heard) {
    const [epoch, pos] = String(heard.offset).split('.');
    const here = room.places.get(Number(pos));
    const row = room.rows[here];
    epochs.add(epoch);
    if (heard.seq && heard.seq !== ++seq)
      problem(`${who} got ${heard.seq} where ${seq} belongs`);
    else if (here !== undefined && here !== (place ?? here - 1) + 1)
      problem(`${who} got ${heard.event} at ${pos} behind ${room.rows[place].event} at ${room.rows[place].pos}, ${here - place - 1} are between`);
    if (heard.seq)
      seq = heard.seq;
    if (!row || row.event !== heard.event || row.seq !== heard.seq || row.tag !== heard.tag || row.id !== heard.id
        || heard.room !== client.room)
      problem(`${client.room}: a member got ${JSON.stringify(heard)}, the journal has ${JSON.stringify(row)}`);
    place = here ?? place;
  }
  if (stay.open && place !== null && place !== room.rows.length - 1)
    problem(`${who} has up to ${room.rows[place].pos}, the last of the room is ${room.rows.at(-1).pos}`);
  return seq;
}

function checkGap(client, { after, upTo, messages }, room, problem) {
  if (!messages) {
    problem(`${client.room}: a member could not fill its gap from ${after} to ${upTo}`);
    return;
  }
  const expected = [];
  for (let seq = after + 1; seq <= upTo; seq++)
    expected.push(room.bySeq.get(seq));
  if (list(messages) !== list(expected))
    problem(`${client.room}: a member filled its gap from ${after} to ${upTo} with ${messages.map(({ seq }) => seq)}`);
}

function list(messages) {
  return messages.map((message) => (message ? `${message.seq} ${message.id} ${message.tag}` : '-')).join('\n');
}

function compare(what, messages, room, problem) {
  if (list(messages) !== list([...room.bySeq.values()]))
    problem(`${what} is not what the journal holds: ${messages.length} messages and ${room.bySeq.size}`);
}

function checkArchive(archive, rooms, problem) {
  const copies = new Map();
  byTag(archive, 'archive', problem);
  for (const document of archive) {
    if (!copies.has(document.room))
      copies.set(document.room, []);
    copies.get(document.room).push(document);
  }
  for (const name of new Set([...rooms.keys(), ...copies.keys()])) {
    const room = roomOf(rooms, name);
    const copied = copies.get(name) ?? [];
    const numbers = new Set(copied.map(({ seq }) => seq));
    for (const seq of room.bySeq.keys()) {
      if (!numbers.has(seq))
        problem(`archive: ${name}: ${seq} is missing`);
    }
    compare(`archive: ${name}`, copied, room, problem);
  }
}

function checkLosses({ clients, losses }, problem) {
  for (const client of clients) {
    for (const gateway of new Set(client.losses.map((loss) => loss.gateway))) {
      const own = client.losses.filter((loss) => loss.gateway === gateway);
      if (own.length > (losses[gateway] ?? 0))
        problem(`a client of ${gateway} lost its connection ${own.length} times (${own.map(({ reason }) => reason)}), `
          + `${losses[gateway] ?? 0} were to be expected`);
    }
  }
}

/** What happened, in numbers; returns count when they came within so many ms. */
export function figures(record, window = Infinity) {
  const { messages, clients } = record;
  const acknowledged = messages.filter((message) => message.answer);
  const intents = new Set(messages.map(({ intent }) => intent)).size;
  const lost = messages.filter((message) => message.lost).length;
  const waits = acknowledged.map((message) => message.answeredAt - message.sentAt).sort((a, b) => a - b);
  const at = (part) => Math.round(waits[Math.min(waits.length - 1, Math.floor(waits.length * part))] ?? 0);
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
  const returns = clients.flatMap((client) => client.returns).filter(({ away }) => away < window);
  const gaps = clients.flatMap((client) => client.gaps);
  return {
    intents,
    published: messages.length,
    acknowledged: acknowledged.length,
    refused: messages.filter((message) => message.refused).length,
    unanswered: messages.filter((message) => !message.answer && !message.refused).length,
    lost,
    part: acknowledged.length / (intents - lost),
    stored: record.journal.length,
    'left the journal': record.left ?? 0,
    'sent again': sum(messages.map((message) => Math.max(0, message.attempts - 1))),
    delivered: sum(clients.flatMap((client) => client.stays.map((stay) => stay.heard.length))),
    losses: sum(clients.map((client) => client.losses.length)),
    'lost none': clients.filter((client) => client.losses.length === 0).length,
    returns: returns.length,
    recovered: returns.filter((back) => back.recovered).length,
    gaps: gaps.length,
    'messages in gaps': sum(gaps.map((gap) => gap.messages?.length ?? 0)),
    p50: at(0.5),
    p99: at(0.99),
    slowest: at(1), // ms from publishing to the answer
  };
}

function shorten(problems) {
  const kinds = new Map();
  for (const text of problems) {
    const kind = text.replace(/[0-9a-f-]{36}|\d+|\{.*/g, '#');
    kinds.set(kind, [...(kinds.get(kind) || []), text]);
  }
  return [...kinds.values()].flatMap((lines) => (lines.length > SHOWN
    ? [...lines.slice(0, SHOWN), `... and ${lines.length - SHOWN} more of that kind`] : lines));
}
