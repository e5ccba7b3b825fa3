// The checker finds what it is there to find: a sound record passes, and each forgery of it is told.

import assert from 'node:assert/strict';
import test from 'node:test';
import { check, figures } from './check.mjs';

const LAST = 6; // messages of the room

/**
 * A room of six messages, a logged one behind the third, and four members: one stayed, one recovered, one joined
 * anew, one came late.
 */
function sound() {
  const messages = [];
  const journal = [];
  for (let seq = 1; seq <= LAST; seq++) {
    const tag = `tag-${seq}`;
    const id = `id-${tag}`;
    const at = 1000 + seq;
    messages.push({ room: 'r', event: 'msg', tag, intent: seq, id, attempts: 1, answer: { ok: true, id, seq, at }, refused: null });
    journal.push({ pos: 10 * seq, room: 'r', event: 'msg', seq, id, at, tag });
  }
  messages.push({ room: 'r', event: 'msg', tag: 'tag-refused', intent: 7, id: 'id-tag-refused', attempts: 1, answer: null, refused: 'busy' });
  messages.push({ room: 'r', event: 'msg', tag: 'tag-unknown', intent: 8, id: undefined, attempts: 1, answer: null, refused: null });
  messages.push({ room: 'r', event: 'note', tag: 'tag-note', intent: 9, attempts: 1, answer: { ok: true }, refused: null });
  const archived = [...journal];
  const note = { pos: 35, room: 'r', event: 'note', seq: 0, id: 'made', at: 1003, tag: 'tag-note' };
  journal.splice(3, 0, note);
  const seen = (...numbers) => numbers.map((seq) => {
    const { pos, event, id, tag } = seq ? archived[seq - 1] : note;
    return { event, seq, tag, id, room: 'r', offset: `epoch.${pos}` };
  });
  const stay = (from, numbers, { open = true, recoveries = 0 } = {}) => ({ from, open, recoveries, heard: seen(...numbers) });
  const client = (stays, gaps = []) => ({ room: 'r', joined: true, stays, gaps, losses: [], returns: [] });
  return {
    messages,
    journal,
    clients: [
      client([stay(0, [1, 2, 3, 0, 4, 5, 6])]),
      client([stay(1, [2, 3, 0, 4, 5, 6], { recoveries: 1 })]),
      client([stay(0, [1, 2], { open: false }), stay(4, [5, 6])], [{ after: 2, upTo: 4, messages: [3, 4].map((seq) => brief(archived[seq - 1])) }]),
      client([stay(6, [])]),
    ],
    wrong: [],
    archive: archived.map((row) => ({ ...brief(row), room: 'r' })),
    histories: { r: archived.map(brief) },
    losses: { 'gateway-1': 1 },
  };
}

function brief({ seq, id, tag }) {
  return { seq, id, tag };
}

test('a sound record has no problem', () => {
  assert.deepEqual(check(sound()), []);
  assert.deepEqual(check({ ...sound(), archive: null, losses: null }), []);
});

const [STAYED, RECOVERED, ANEW] = [0, 1, 2];
const NOTE = 3; // where the logged message stands

// what is forged; how; what has to be told
const forgeries = [
  ['an acknowledged message is missing from the journal and from everyone', (record) => {
    record.journal.pop();
    record.archive.pop();
    record.histories.r.pop();
    for (const client of record.clients)
      client.stays.at(-1).heard.pop();
    record.clients[3].stays[0].from = 5;
  }, /^journal: msg 6 of r was acknowledged and is missing/],
  ['an acknowledged logged message is missing', (record) => {
    record.journal.splice(NOTE, 1);
    for (const { stays } of record.clients)
      stays[0].heard = stays[0].heard.filter(({ seq }) => seq);
  }, /^journal: note undefined of r was acknowledged and is missing/],
  ['a logged message is stored as another event', (record) => { record.journal[NOTE].event = 'msg'; },
    /^journal: tag-note was acknowledged as .* stored as/],
  ['a message is numbered otherwise than it was acknowledged', (record) => { record.messages[2].answer.seq = 4; },
    /^journal: tag-3 was acknowledged as .* stored as/],
  ['a message is in another room', (record) => { record.messages[2].room = 's'; }, /^journal: tag-3 in r was never sent there/],
  ['a message is acknowledged under another id', (record) => { record.messages[2].id = 'mine'; }, /was acknowledged under the id id-tag-3/],
  ['a message was never sent', (record) => { record.messages.splice(2, 1); }, /^journal: tag-3 in r was never sent there/],
  ['a refused message is there', (record) => {
    Object.assign(record.messages[2], { answer: null, refused: 'busy' });
  }, /^journal: tag-3 of r was refused \(busy\) and is there as 3/],
  ['a message stands twice in the journal', (record) => {
    record.journal.push({ ...record.journal[2], pos: 70, seq: 7, at: 1007 });
  }, /^journal: tag-3 stands twice/],
  ['a hole in seq', (record) => { record.journal[6].seq = 7; }, /^journal: r: 7 follows 5/],
  ['a seq twice', (record) => { record.journal[6].seq = 5; }, /^journal: r: 5 follows 5/],
  ['positions go back', (record) => { record.journal[6].pos = 50; }, /^journal: position 50 follows 50/],
  ['time goes back in a room', (record) => { record.journal[6].at = 1; }, /^journal: r: at goes back at 6/],
  ['a member that stayed misses the last message', (record) => { record.clients[STAYED].stays[0].heard.pop(); },
    /^r: a member that stayed has up to 5, the room has 6/],
  ['a member that recovered misses the last message', (record) => { record.clients[RECOVERED].stays[0].heard.pop(); },
    /^r: a member that recovered has up to 5, the room has 6/],
  ['a member that recovered misses one in the middle', (record) => { record.clients[RECOVERED].stays[0].heard.splice(1, 1); },
    /^r: a member that joined at 1 and recovered 1 times got note at 35 behind msg at 20, 1 are between/],
  ['a member that recovered misses an archived one before others', (record) => { record.clients[RECOVERED].stays[0].heard.splice(0, 1); },
    /^r: a member that joined at 1 and recovered 1 times got 3 where 2 belongs/],
  ['a member that recovered misses a logged one', (record) => { record.clients[RECOVERED].stays[0].heard.splice(2, 1); },
    /^r: a member that joined at 1 and recovered 1 times got msg at 40 behind msg at 30, 1 are between/],
  ['a member that stayed misses the last, a logged one', (record) => {
    record.journal.push({ ...record.journal[NOTE], pos: 70, tag: 'tag-last' });
    record.messages.push({ ...record.messages.at(-1), tag: 'tag-last' });
  }, /^r: a member that joined at 0 and recovered 0 times has up to 60, the last of the room is 70/],
  ['a member got a logged one twice', (record) => {
    const { heard } = record.clients[STAYED].stays[0];
    heard.splice(NOTE, 0, heard[NOTE]);
  }, /^r: a member that joined at 0 and recovered 0 times got note at 35 behind note at 35/],
  ['a logged one overtook an archived one', (record) => {
    const { heard } = record.clients[STAYED].stays[0];
    [heard[3], heard[4]] = [heard[4], heard[3]];
  }, /^r: a member that joined at 0 and recovered 0 times got msg at 40 behind msg at 30, 1 are between/],
  ['a member got a message twice', (record) => {
    const { heard } = record.clients[RECOVERED].stays[0];
    heard.splice(1, 0, heard[1]);
  }, /^r: a member that joined at 1 and recovered 1 times got 3 where 4 belongs/],
  ['a member got two in another order', (record) => {
    const { heard } = record.clients[STAYED].stays[0];
    [heard[1], heard[2]] = [heard[2], heard[1]];
  }, /^r: a member that joined at 0 and recovered 0 times got 3 where 2 belongs/],
  ['two members got different messages under one number', (record) => { record.clients[STAYED].stays[0].heard[1].tag = 'tag-3'; },
    /^r: a member got .*the journal has/],
  ['a member got a refused message', (record) => {
    record.clients[STAYED].stays[0].heard.push({ event: 'msg', seq: 7, tag: 'tag-refused', id: 'id-tag-refused', room: 'r', offset: 'epoch.70' });
  }, /^r: a member got .*tag-refused.*the journal has undefined/],
  ['a member got a message of another room', (record) => { record.clients[STAYED].stays[0].heard[1].room = 's'; }, /^r: a member got/],
  ['an offset is not the position', (record) => { record.clients[STAYED].stays[0].heard[1].offset = 'epoch.21'; },
    /^r: a member got .*epoch.21.*the journal has undefined/],
  ['two epochs', (record) => { record.clients[STAYED].stays[0].heard[1].offset = 'other.20'; }, /^2 epochs were seen/],
  ['a gap was never filled', (record) => { record.clients[ANEW].gaps[0].messages = null; }, /^r: a member could not fill its gap from 2 to 4/],
  ['a gap was filled in part', (record) => { record.clients[ANEW].gaps[0].messages.pop(); }, /^r: a member filled its gap from 2 to 4 with 3/],
  ['a gap was filled with the wrong message', (record) => { record.clients[ANEW].gaps[0].messages[1].tag = 'tag-5'; },
    /^r: a member filled its gap from 2 to 4/],
  ['a gap was not asked for', (record) => { record.clients[ANEW].gaps.pop(); }, /^r: a member that had 2 and joined anew at 4 asked for undefined/],
  ['a message came between what a member had and the gap it asked for', (record) => { record.clients[ANEW].stays[0].heard.pop(); },
    /^r: a member that had 1 and joined anew at 4 asked for/],
  ['a client has not come back', (record) => { record.clients[STAYED].joined = false; }, /^a client of r has not come back/],
  ['history misses a message', (record) => { record.histories.r.splice(2, 1); }, /^r: history is not what the journal holds: 5 messages and 6/],
  ['history has two in another order', (record) => { record.histories.r.reverse(); }, /^r: history is not what the journal holds/],
  ['nobody could ask for the history', (record) => { record.histories = {}; }, /^r: nobody was there to ask for its history/],
  ['the archive misses a message', (record) => { record.archive.splice(2, 1); }, /^archive: r: 3 is missing/],
  ['the archive has a message twice', (record) => { record.archive.push({ ...record.archive[2], seq: 7 }); }, /^archive: tag-3 stands twice/],
  ['the archive has another message under a number', (record) => { record.archive[2].id = 'other'; }, /^archive: r is not what the journal holds/],
  ['the archive has a room that the journal lacks', (record) => {
    record.archive.push({ seq: 1, id: 'id-x', tag: 'tag-x', room: 's' });
  }, /^archive: s is not what the journal holds: 1 messages and 0/],
  ['a connection ended that no fault had ended', (record) => {
    record.clients[STAYED].losses = [{ gateway: 'gateway-2', reason: 'transport close' }];
  }, /^a client of gateway-2 lost its connection 1 times \(transport close\), 0 were to be expected/],
  ['a client saw something that cannot be', (record) => { record.wrong.push('two outcomes'); }, /^two outcomes$/],
];

for (const [what, forge, told] of forgeries) {
  test(what, () => {
    const record = sound();
    forge(record);
    const problems = check(record);
    assert.ok(problems.some((line) => told.test(line)), `not told: ${JSON.stringify(problems)}`);
  });
}

test('many problems of one kind are shown in part', () => {
  const record = sound();
  record.clients = Array.from({ length: 50 }, () => ({ ...record.clients[STAYED], joined: false }));
  assert.deepEqual(check(record), [...Array(10).fill('a client of r has not come back'), '... and 40 more of that kind']);
});

test('the share that was acknowledged counts what there was to say, not attempts', () => {
  const record = sound();
  record.messages[7].intent = 7; // the refused one was published anew
  const { intents, published, acknowledged, refused, unanswered, lost, part } = figures(record);
  assert.deepEqual({ intents, published, acknowledged, refused, unanswered, lost, part },
    { intents: 8, published: 9, acknowledged: 7, refused: 1, unanswered: 1, lost: 0, part: 7 / 8 });
  record.messages[7].lost = true;
  assert.equal(figures(record).part, 1);
});
