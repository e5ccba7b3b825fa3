// Tokens with real programs and stock clients: who comes in, as whom, what each door lets through, and what becomes
// of a token's end.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test, after } from 'node:test';
import { io } from 'socket.io-client';
import WebSocket from 'ws';
import { Backend } from '../support/backend.mjs';
import { haproxy, steering } from '../support/balancer.mjs';
import { LIMIT, ask, connect, next, open } from '../support/client.mjs';
import { Stack, hubbub, run, temporaryFolder, undo, wholeFile, within } from '../support/stack.mjs';
import { Keys, forge, now } from '../support/tokens.mjs';

const GRACE = 6000; // ms; long enough to answer in, whatever stands still meanwhile
const SHORT = 8; // s that a short token holds, which is time to connect in
const RULES = `
gateway = { log_level = "debug"; }; router = { log_level = "debug"; };
namespaces = (
  { name = "/"; events = (
    { name = "msg"; room = "$.room"; deliver = "room"; archive = true; dedup = "$.id"; meta = true; },
    { name = "all"; deliver = "namespace"; meta = true; },
    { name = "me"; deliver = "self"; meta = true; } ); },
  { name = "/open"; tokens_required = false; },
  { name = "/bare"; builtin = false; }
);
`;
const TRANSPORTS = { websocket: { transports: ['websocket'] }, polling: { transports: ['polling'] } };

const file = wholeFile(after);
const keys = await Keys.make(await temporaryFolder(file));
const configuration = path.join(await temporaryFolder(file), 'hubbub.conf');
await writeFile(configuration, RULES + keys.group(`required = true; leeway = 0; grace = ${GRACE};
  rights = { join = ( "lobby", "user-{sub}" ); }; anonymous = { join = ( "lobby" ); publish = ( ); };
  issuer = "id";`));
const ID = { iss: 'id' };
const token = (sub, options = {}) => keys.token(sub, { ...options, claims: { ...ID, ...options.claims } });
const rights = (sub, hubbub_, options = {}) => token(sub, { ...options, claims: { hubbub: hubbub_ } });
const stack = await Stack.start(file, { gateways: 2, args: ['--config', configuration] });
const used = []; // every token that went somewhere

function note(text) {
  used.push(text);
  return text;
}

async function metric(name) {
  const { stdout } = await run(hubbub, ['stats', '--data', stack.data, 'json']);
  return JSON.parse(stdout).metrics[name] || 0;
}

/** Waits for a metric: gateways tell theirs once a second. */
async function reaches(name, value) {
  const end = Date.now() + LIMIT;
  while (await metric(name) < value) {
    if (Date.now() > end)
      throw new Error(`${name} did not reach ${value}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

/** How a connect with these options is refused. */
async function refusal(t, options, gateway = 0, namespace = '') {
  const socket = open(t, stack.url(gateway) + namespace, options);
  const error = await within(LIMIT, 'a refusal', new Promise((resolve, reject) => {
    socket.once('connect_error', resolve);
    socket.once('connect', () => reject(new Error('it was let in')));
  }));
  return { message: error.message, ...error.data };
}

const code = async (...args) => (await ask(...args)).error?.code;

/** A bare client, and its frames. */
async function bare(t, query, { gateway = 0, headers = {} } = {}) {
  const socket = new WebSocket(`${stack.url(gateway).replace('http', 'ws')}/ws?${query}`, { headers });
  const client = { socket, frames: [], waiting: [], end: null };
  undo(t, () => socket.terminate());
  socket.on('message', (data) => {
    client.frames.push(JSON.parse(data));
    client.waiting.splice(0).forEach((wake) => wake());
  });
  client.closed = once(socket, 'close').then(([number, reason]) => {
    client.end = { code: number, name: String(reason).split(':')[0] };
    client.waiting.splice(0).forEach((wake) => wake());
    return client.end;
  });
  client.frame = async (wanted) => within(LIMIT, 'a frame', (async () => {
    for (;;) {
      const found = client.frames.findIndex(wanted);
      if (found >= 0)
        return client.frames.splice(found, 1)[0];
      if (client.end)
        throw new Error(`closed: ${JSON.stringify(client.end)}`);
      await new Promise((wake) => client.waiting.push(wake));
    }
  })());
  client.ask = async (frame) => {
    client.ref = (client.ref || 0) + 1;
    socket.send(JSON.stringify({ ref: client.ref, ...frame }));
    const { ref } = client;
    return client.frame((each) => each.type === 'ack' && each.ref === ref);
  };
  return client;
}

const bareEnd = async (t, query, options) => within(LIMIT, 'the end', (await bare(t, query, options)).closed);

// --- who comes in

const forged = {
  'a signature by another secret': forge({ alg: 'HS256' }, { sub: 'ann', exp: now() + 600, ...ID },
    (text) => keys.hmac(text, 'not the secret, but as long as that one is')),
  'no algorithm': forge({ alg: 'none' }, { sub: 'ann', exp: now() + 600, ...ID }, () => ''),
  'the public key as a secret': forge({ alg: 'HS256' }, { sub: 'ann', exp: now() + 600, ...ID },
    (text) => keys.hmac(text, keys.rsaText)),
  'the public key as a secret, named': forge({ alg: 'HS256', kid: 'RS256' }, { sub: 'ann', exp: now() + 600, ...ID },
    (text) => keys.hmac(text, keys.rsaText)),
  'a kid that is a path': token('ann', { head: { kid: '../../dev/null' } }),
  'a kid that is SQL': token('ann', { head: { kid: "HS256' OR 1=1 --" } }),
  'a kid of another algorithm': token('ann', { head: { kid: 'RS256' } }),
  'another issuer': token('ann', { claims: { iss: 'evil' } }),
  'not yet': token('ann', { claims: { nbf: now() + 600 } }),
  'an anonymous name': token('anon:ann'),
  'a name with a line break': token('ann\r\nX-Forged: 1'),
  'no end': token('ann', { claims: { exp: undefined } }),
  'an end beyond all numbers': token('ann', { claims: { exp: 1e300 } }),
  'cut short': token('ann').slice(0, -5),
  'no token': 'Bearer',
  'huge': 'x'.repeat(20_000),
};

test('each kind of bad token is refused, wherever it stands', async (t) => {
  for (const [what, bad] of Object.entries(forged)) {
    assert.equal((await refusal(t, { auth: { token: note(bad) } })).code, 'token_invalid', what);
    if (bad.length < 4000) {
      assert.equal((await refusal(t, { query: { token: bad } }, 1)).code, 'token_invalid', what);
      assert.deepEqual(await bareEnd(t, `room=lobby&token=${encodeURIComponent(bad)}`), { code: 4411, name: 'token_invalid' }, what);
    }
  }
  for (const strange of [1, true, ['x'], { token: 'x' }])
    assert.equal((await refusal(t, { auth: { token: strange } })).code, 'token_invalid');
  await reaches('hubbub_refused_total{code=token_invalid}', 30);
});

test('refusals differ, on both transports', async (t) => {
  const old = note(token('ann', { seconds: -1 }));
  for (const [name, transport] of Object.entries(TRANSPORTS)) {
    assert.deepEqual(await refusal(t, transport), { message: 'a token is required', code: 'token_missing' }, name);
    assert.equal((await refusal(t, { ...transport, auth: { token: old } })).code, 'token_expired');
    assert.equal((await refusal(t, { ...transport, auth: { token: null } }, 1)).code, 'token_missing');
    assert.equal((await refusal(t, { ...transport, query: { token: '' } }, 1)).code, 'token_missing');
  }
  assert.deepEqual(await bareEnd(t, 'room=lobby'), { code: 4401, name: 'token_missing' });
  assert.deepEqual(await bareEnd(t, `room=lobby&token=${old}`), { code: 4412, name: 'token_expired' });
  assert.deepEqual(await bareEnd(t, 'room=lobby', { headers: { authorization: `Bearer ${old}` } }),
    { code: 4412, name: 'token_expired' });
  await reaches('hubbub_refused_total{code=token_missing}', 7);
  await reaches('hubbub_refused_total{code=token_expired}', 4);
});

test('a good one comes in by each door, and is who it says', async (t) => {
  const watcher = await connect(t, stack.url(0), { auth: { token: note(token('watcher')), join: ['lobby'] } });
  const from = async (socket, room = 'lobby') => {
    const heard = next(watcher, 'msg');
    assert.equal((await ask(socket, 'join', room)).ok, true);
    assert.equal((await ask(socket, 'msg', { room, from: 'forged', sub: 'forged' }, { from: 'forged' })).ok, true);
    return (await heard).at(-2).from;
  };
  for (const [algorithm, gateway] of [['HS256', 0], ['RS256', 1], ['ES256', 0]])
    assert.equal(await from(await connect(t, stack.url(gateway), { auth: { token: note(token(`u-${algorithm}`, { algorithm })) } })),
      `u-${algorithm}`);
  const good = note(token('ann')), other = note(token('bob'));
  for (const transport of Object.values(TRANSPORTS)) {
    assert.equal(await from(await connect(t, stack.url(0), { ...transport, query: { token: good } })), 'ann');
    assert.equal(await from(await connect(t, stack.url(1), { ...transport, extraHeaders: { authorization: `Bearer ${good}` } })), 'ann');
    assert.equal(await from(await connect(t, stack.url(1), { ...transport, auth: { token: other, from: 'eve', sub: 'eve' },
      query: { token: good } })), 'bob'); // auth comes first
  }
  for (const client of [await bare(t, `room=lobby&token=${good}`), await bare(t, 'room=lobby', { headers: { authorization: `bearer ${good}` } })])
    assert.equal((await client.frame((each) => each.type === 'open')).from, 'ann');
  assert.deepEqual((await refusal(t, { auth: { token: forged['no algorithm'] }, query: { token: good } })).code, 'token_invalid');
});

// --- what each may do

/** The rooms are the run's own where members are counted: who left another gateway may still be going. */
async function doors(t, transport, gateway) {
  const team = `team-${gateway}`;
  const owner = await connect(t, stack.url(gateway), { auth: { token: note(rights('owner', { join: ['*'] })) } });
  assert.equal((await ask(owner, 'join', 'secret')).ok, true);
  assert.equal((await ask(owner, 'join', team)).ok, true);
  assert.equal((await ask(owner, 'msg', { room: 'secret', text: 'x' })).ok, true);
  const ann = await connect(t, stack.url(gateway), { ...transport,
    auth: { token: note(rights('ann', { join: ['team-*', 'quiet', 'loud'], publish: ['team-*', 'loud'], read: ['team-*', 'quiet'] })),
      join: ['secret', team, { room: 'secret', presence: true }, { room: 'loud', presence: true }, 'quiet'] } });
  const seen = [];
  ann.onAny((...args) => seen.push(args));
  assert.equal(await code(ann, 'join', 'secret'), 'forbidden');
  assert.equal(await code(ann, 'join', { room: 'secret', history: 5 }), 'forbidden');
  assert.equal(await code(ann, 'join', 'team'), 'forbidden');
  assert.equal(await code(ann, 'join', ann.id), 'bad_room');
  assert.equal(await code(ann, 'msg', { room: 'secret', text: 'x' }), 'forbidden');
  assert.equal(await code(ann, 'msg', { room: 'secret', text: 'x', id: 'an id of its own' }), 'forbidden');
  assert.equal(await code(ann, 'history', { room: 'secret' }), 'forbidden');
  assert.equal(await code(ann, 'presence', 'secret'), 'forbidden');
  assert.equal(await code(ann, 'msg', { room: 'quiet' }), 'forbidden');
  assert.equal(await code(ann, 'all', 'everybody'), 'forbidden'); // only "*" may speak to the whole namespace
  assert.equal((await ask(ann, 'me', 'myself')).ok, true);
  assert.equal((await ask(ann, 'history', { room: 'quiet' })).ok, true);
  assert.equal(await code(ann, 'msg', { room: 'loud' }), 'not_joined'); // to be told of presence takes the right to read
  assert.equal(await code(ann, 'join', { room: 'loud', history: 1 }), 'forbidden');
  assert.equal(await code(ann, 'join', { room: 'loud', presence: true }), 'forbidden');
  assert.equal((await ask(ann, 'join', 'loud')).ok, true);
  assert.equal((await ask(ann, 'msg', { room: 'loud' })).ok, true);
  assert.equal(await code(ann, 'history', { room: 'loud' }), 'forbidden');
  assert.equal(await code(ann, 'presence', 'loud'), 'forbidden');
  assert.equal((await ask(ann, 'presence', team)).members, 2);
  assert.equal((await ask(owner, 'msg', { room: 'secret', text: 'not for ann' })).ok, true);
  const heard = next(ann, 'msg');
  assert.equal((await ask(owner, 'msg', { room: team, text: 'for ann' })).ok, true);
  assert.equal((await heard)[0].text, 'for ann');
  assert.ok(!seen.some(([, first]) => first?.room === 'secret'), 'nothing of the room came');
  owner.disconnect();
  ann.disconnect();
}

for (const [name, transport] of Object.entries(TRANSPORTS))
  test(`no door of ${name} leads into a room that is not granted`, (t) => doors(t, transport, name === 'polling' ? 1 : 0));

test('nor does one of /ws', async (t) => {
  const limited = note(rights('ann', { join: ['team-*', 'quiet'], publish: ['team-*'], read: ['team-*'] }));
  assert.deepEqual(await bareEnd(t, `room=secret&token=${limited}`), { code: 4403, name: 'forbidden' });
  assert.deepEqual(await bareEnd(t, `room=secret&after=0&token=${limited}`), { code: 4403, name: 'forbidden' });
  const ann = await bare(t, `room=team-of-ws&token=${limited}`);
  await ann.frame((each) => each.type === 'open');
  for (const frame of [{ type: 'join', room: 'secret' }, { type: 'history', room: 'secret' }, { type: 'presence', room: 'secret' },
    { room: 'secret', data: 1 }, { event: 'msg', data: { room: 'secret' } }])
    assert.equal((await ann.ask(frame)).error?.code, 'forbidden', JSON.stringify(frame));
  assert.equal((await ann.ask({ type: 'join', room: 'quiet' })).ok, true);
  assert.equal((await ann.ask({ room: 'quiet', data: 1 })).error.code, 'forbidden');
  assert.equal((await ann.ask({ data: 1 })).ok, true);
});

test('default rights name their user, and those of nobody in particular are the anonymous ones', async (t) => {
  const ann = await connect(t, stack.url(0), { auth: { token: note(token('ann')) } });
  assert.equal((await ask(ann, 'join', 'user-ann')).ok, true);
  assert.equal(await code(ann, 'join', 'user-bob'), 'forbidden');
  assert.equal(await code(ann, 'join', 'user-{sub}'), 'forbidden');
  const nobody = await connect(t, `${stack.url(1)}/open`, {});
  assert.equal((await ask(nobody, 'join', 'lobby')).ok, true);
  assert.equal(await code(nobody, 'join', 'user-'), 'forbidden');
  assert.equal(await code(nobody, 'msg', { room: 'lobby' }), 'forbidden');
  assert.equal((await refusal(t, { auth: { token: forged['no algorithm'] } }, 0, '/open')).code, 'token_invalid');
  assert.equal(await code(nobody, 'hubbub:authenticate', token('ann')), 'forbidden');
});

// --- the end of a token

// Together, since each waits for the time of a token to pass.
describe('the end of a token', { concurrency: true }, () => {
  test('it is told, renewed, or the end of the transport', async (t) => {
    let seconds = SHORT;
    let made = 0;
    const socket = io(stack.url(0), { ...TRANSPORTS.websocket, forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100,
      auth: (answer) => { made++; answer({ token: note(token('ann', { seconds })) }); } });
    undo(t, () => socket.disconnect());
    const errors = [];
    socket.on('connect_error', (error) => errors.push(error.data?.code || error.message));
    const end = next(socket, 'hubbub:token');
    await next(socket, 'connect');
    assert.equal((await ask(socket, 'join', 'lobby')).ok, true);
    const { id } = socket;
    const [told] = await end;
    assert.equal(told.expired, true);
    assert.ok(told.grace > 0 && told.grace <= GRACE, String(told.grace));
    // Refused ones change nothing, one of somebody else neither.
    assert.equal(await code(socket, 'hubbub:authenticate', { token: forged['no algorithm'] }), 'token_invalid');
    assert.equal(await code(socket, 'hubbub:authenticate', token('ann', { seconds: -5 })), 'token_expired');
    assert.equal(await code(socket, 'hubbub:authenticate', {}), 'token_missing');
    assert.equal(await code(socket, 'hubbub:authenticate', token('eve')), 'forbidden');
    const newer = note(token('ann', { seconds: SHORT }));
    const { exp } = JSON.parse(Buffer.from(newer.split('.')[1], 'base64url'));
    assert.deepEqual(await ask(socket, 'hubbub:authenticate', { token: newer }), { ok: true, expires: exp * 1000 });
    // The next end is not answered: the transport closes, and the stock client comes back with a fresh token.
    seconds = 600;
    assert.equal((await next(socket, 'disconnect'))[0], 'transport close');
    await next(socket, 'connect');
    assert.equal(socket.id, id, 'recovered');
    assert.equal(socket.recovered, true);
    assert.equal(made, 2);
    assert.deepEqual(errors, []);
    await reaches('hubbub_closed_total{reason=token_expired}', 1);
  });

  test('who comes back with the old token is told so, for good', async (t) => {
    const old = note(token('ann', { seconds: SHORT }));
    const socket = io(stack.url(1), { ...TRANSPORTS.polling, forceNew: true, reconnectionDelay: 20, auth: { token: old } });
    undo(t, () => socket.disconnect());
    await next(socket, 'connect');
    const error = await within(LIMIT, 'the refusal', new Promise((resolve) => socket.once('connect_error', resolve)));
    assert.equal(error.data.code, 'token_expired');
  });

  test('bare clients are told and renewed as well', async (t) => {
    const client = await bare(t, `room=lobby&token=${note(token('ann', { seconds: SHORT }))}`);
    await client.frame((each) => each.type === 'open');
    assert.equal((await client.frame((each) => each.event === 'hubbub:token')).args[0].expired, true);
    assert.equal((await client.ask({ type: 'authenticate', token: token('eve') })).error.code, 'forbidden');
    assert.equal((await client.ask({ type: 'authenticate', token: note(token('ann', { seconds: SHORT })) })).ok, true);
    assert.deepEqual(await within(LIMIT, 'the end', client.closed), { code: 4412, name: 'token_expired' });
  });

  test('a session that moves to another gateway has it with it', async (t) => {
    const { url } = await steering(t, stack.ports[0], stack.ports[1]);
    const options = { forceNew: true, reconnection: false };
    const sockets = await Promise.all(['auth', 'query'].map(async (place, n) => {
      const socket = io(url, { ...options, [place]: { token: note(rights(`u${n}`, { join: ['team-*'] }, { seconds: 2 * SHORT })) } });
      undo(t, () => socket.disconnect());
      socket.told = next(socket, 'hubbub:token');
      socket.told.catch(() => {}); // whatever fails before tells more
      const upgraded = new Promise((resolve) => socket.io.on('open', () => socket.io.engine.on('upgrade', resolve)));
      await next(socket, 'connect');
      await within(LIMIT, 'an upgrade', upgraded);
      return socket;
    }));
    for (const [n, socket] of sockets.entries()) {
      assert.equal(await code(socket, 'join', 'secret'), 'forbidden');
      assert.equal((await ask(socket, 'join', 'team-1')).ok, true);
      const heard = next(socket, 'msg');
      assert.equal((await ask(socket, 'msg', { room: 'team-1' })).ok, true);
      assert.equal((await heard)[1].from, `u${n}`);
      socket.off('msg');
    }
    for (const socket of sockets)
      assert.equal((await socket.told)[0].expired, true);
    await reaches('hubbub_sessions_moved_total{direction=in}', sockets.length);
  });
});

test('hubbub token makes what a gateway takes, from the configuration of the stack', async (t) => {
  const folder = await temporaryFolder(t);
  const make = (...words) => run(hubbub, ['token', '--config', configuration, '--sub', 'tess', ...words]);
  const privates = {};
  for (const [name, pair] of [['RS256', keys.rsa], ['ES256', keys.ec]]) {
    privates[name] = path.join(folder, name);
    await writeFile(privates[name], pair.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  }
  for (const words of [['--kid', 'HS256'], ['--kid', 'RS256', '--key', privates.RS256], ['--key', privates.ES256], ['--key', keys.files.HS256]]) {
    const { code, stdout, stderr } = await make(...words);
    assert.deepEqual([code, stderr], [0, ''], words.join(' '));
    const socket = await connect(t, stack.url(0), { auth: { token: note(stdout.trim()) } });
    assert.equal((await ask(socket, 'join', 'user-tess')).ok, true, words.join(' '));
  }
  const refused = async (words, code, said) => {
    const done = await make(...words);
    assert.deepEqual([done.code, done.stdout], [code, ''], words.join(' '));
    assert.match(done.stderr, said);
  };
  await refused([], 78, /several keys; say which with --kid/);
  await refused(['--kid', 'none'], 78, /no key with the id "none"/);
  await refused(['--kid', 'ES256'], 78, /has the public key for ES256 only; expected --key/);
  await refused(['--kid', 'HS256', '--key', privates.RS256], 70, /this is a private key for --algorithm RS256, not for HS256/);
  await refused(['--kid', 'ES256', '--key', keys.files.HS256], 70, /expected a private key as PEM for ES256/);
  const publicKey = path.join(folder, 'public');
  await writeFile(publicKey, keys.rsaText, { mode: 0o600 });
  await refused(['--key', publicKey], 70, /expected a private key as PEM, RSA or EC/);

  // What gateways would refuse, or take for something else.
  const fitting = ['--kid', 'HS256'];
  await refused([...fitting, '--sub', 'two\nlines'], 64, /--sub: 'two\?lines' is not valid/);
  await refused([...fitting, '--sub', 'a\u009fb'], 64, /--sub: expected a name in UTF-8 without control characters/);
  const latin = await run('sh', ['-c', 'exec "$0" token --config "$1" --kid HS256 --sub "$(printf "\\304nn")"', hubbub, configuration]);
  assert.deepEqual([latin.code, latin.stdout], [64, '']);
  assert.match(latin.stderr, /--sub: expected a name in UTF-8/);
  await refused([...fitting, '--sub', 'anon:x'], 64, /names that begin with anon:/);
  await refused([...fitting, '--join', 'a,b\u0085c'], 64, /--join: expected at most 64 rooms/);
  await refused([...fitting, '--read', 'r'.repeat(256)], 64, /--read: expected at most 64 rooms/);
  await refused([...fitting, '--publish', Array(65).fill('r').join()], 64, /--publish: expected at most 64 rooms/);
  assert.equal((await make(...fitting, '--sub', 'Änn', '--join', Array(64).fill('r').join())).code, 0);

  const alone = path.join(folder, 'hubbub.conf');
  await writeFile(alone, `run = { port = 1; }; tokens = { issuer = "i"; audience = "a"; keys = ( { id = "k"; algorithm = "HS256"; file = "${keys.files.HS256}"; } ); };`);
  const claims = async (...words) => {
    const { stdout } = await run(hubbub, ['token', '--config', alone, '--sub', 'tess', ...words]);
    return stdout.split('.').slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url')));
  };
  let [head, body] = await claims();
  assert.deepEqual([head.alg, head.kid, body.iss, body.aud], ['HS256', 'k', 'i', 'a']);
  [head, body] = await claims('--issuer', 'j', '--audience', 'b', '--kid', 'k');
  assert.deepEqual([head.alg, head.kid, body.iss, body.aud], ['HS256', 'k', 'j', 'b']);
});

test('a newer token with fewer rights takes rooms away', async (t) => {
  const ann = await connect(t, stack.url(0), { auth: { token: note(rights('ann', { join: ['a', 'b'] })), join: ['a', 'b'] } });
  const bob = await connect(t, stack.url(1), { auth: { token: note(rights('bob', { join: ['a', 'b'] })), join: ['a', 'b'] } });
  const seen = [];
  ann.on('msg', (first) => seen.push(first.room));
  assert.equal((await ask(ann, 'hubbub:authenticate', note(rights('ann', { join: ['b'] })))).ok, true);
  assert.equal((await ask(bob, 'msg', { room: 'a' })).ok, true);
  const heard = next(ann, 'msg');
  assert.equal((await ask(bob, 'msg', { room: 'b' })).ok, true);
  await heard;
  assert.deepEqual(seen, ['b']);
  assert.equal(await code(ann, 'msg', { room: 'a' }), 'forbidden');
  assert.equal((await ask(bob, 'presence', 'a')).members, 1);
});

// --- coming back

/** A client of a session, as raw as it must be to name what it likes. */
async function session(t, gateway, auth) {
  const socket = open(t, stack.url(gateway), { auth });
  await within(LIMIT, 'connect', new Promise((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('connect_error', (error) => reject(new Error(error.data?.code)));
  }));
  return { socket, id: socket.id, pid: socket._pid };
}

test('nobody takes over the session of another user', async (t) => {
  const mine = rights('ann', { join: ['lobby', 'team-1'] });
  const ann = await session(t, 0, { token: note(mine), join: ['lobby'] });
  ann.socket.io.engine.close();
  const before = await metric('hubbub_recoveries_total{result=other_user}');
  const eve = await session(t, 1, { token: note(rights('eve', { join: ['lobby'] })), pid: ann.pid });
  assert.notEqual(eve.id, ann.id);
  await assert.rejects(session(t, 1, { pid: ann.pid }), /token_missing/);
  const nobody = open(t, `${stack.url(1)}/open`, { auth: { pid: ann.pid } });
  await next(nobody, 'connect');
  assert.notEqual(nobody.id, ann.id);
  assert.equal(await metric('hubbub_recoveries_total{result=other_user}'), before + 1);
  const again = await session(t, 1, { token: note(mine), pid: ann.pid });
  assert.equal(again.id, ann.id);
  again.socket.io.engine.close();
  // Nor does one go on in rooms that its token does not allow any more.
  const narrow = await session(t, 0, { token: note(rights('ann', { join: ['team-1'] })), pid: ann.pid });
  assert.notEqual(narrow.id, ann.id);
  assert.equal(await metric('hubbub_recoveries_total{result=forbidden}'), 1);
});

test('rights outlive the router, and all processes at once', async (t) => {
  const options = { ...TRANSPORTS.websocket, forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 200, timeout: 2000 };
  const person = io(stack.url(0), { ...options, auth: { token: note(rights('ann', { join: ['team-*'], publish: [] })), join: ['team-1'] } });
  const short = io(stack.url(1), { ...options, reconnection: false, auth: { token: note(token('bob', { seconds: 9 })) } });
  undo(t, () => { person.disconnect(); short.disconnect(); });
  await Promise.all([next(person, 'connect'), next(short, 'connect')]);
  const { id } = person;
  const told = next(short, 'hubbub:token');
  await stack.kill('router');
  assert.equal(await code(person, 'join', 'secret'), 'forbidden');
  assert.equal(await code(person, 'msg', { room: 'team-1' }), 'forbidden');
  assert.equal((await ask(person, 'join', 'team-2')).ok, true);
  assert.equal((await told)[0].expired, true);
  const back = next(person, 'connect');
  await Promise.all([stack.kill('router'), stack.kill('gateway-1'), stack.kill('gateway-2')]);
  await back;
  assert.equal(person.id, id);
  assert.equal(person.recovered, true);
  assert.equal(await code(person, 'join', 'secret'), 'forbidden');
  assert.equal(await code(person, 'msg', { room: 'team-1' }), 'forbidden');
  assert.equal((await ask(person, 'history', { room: 'team-2' })).ok, true);
});

test('a polling client whose requests go to all gateways in turn is let in as well', async (t) => {
  const url = await haproxy(t, stack.ports);
  for (const place of ['auth', 'query']) {
    const socket = await connect(t, url, { ...TRANSPORTS.polling, [place]: { token: note(token('ann')) } });
    assert.equal((await ask(socket, 'join', 'user-ann')).ok, true);
    assert.equal(await code(socket, 'join', 'user-bob'), 'forbidden');
  }
  assert.equal((await refusal(t, TRANSPORTS.polling)).code, 'token_missing');
});

// --- secrets

test('no token, and no secret, is in a log, in the journal, or told to anybody', async (t) => {
  const shown = note(rights('ann', { join: ['*'] }));
  const ann = await connect(t, stack.url(0), { auth: { token: shown, name: 'kept' }, query: { token: shown, kept: 'yes' },
    extraHeaders: { authorization: `Bearer ${shown}` } });
  const { stdout } = await run(hubbub, ['session', '--data', stack.data, ann.id]);
  assert.match(stdout, /from: ?ann|from ann/);
  assert.match(stdout, /"kept"/);
  assert.match(stdout, /"kept":"yes"/);
  const texts = { socket: stdout, output: stack.output, errors: stack.errors };
  for (const name of await readdir(stack.data))
    if (!name.endsWith('.sock') && !name.endsWith('.lock'))
      texts[name] = await readFile(path.join(stack.data, name), 'latin1').catch(() => '');
  for (const [where, text] of Object.entries(texts)) {
    assert.ok(!text.includes(keys.secret), `the secret is in ${where}`);
    assert.ok(!/eyJ[A-Za-z0-9_-]{8}/.test(text), `a token is in ${where}`);
    for (const one of used.filter((each) => each.length > 20))
      assert.ok(!text.includes(one.split('.').at(-1) || one), `a token is in ${where}`);
  }
  assert.ok(texts['journal.sqlite'] !== undefined);
  assert.match(stack.output + stack.errors, /token refused/);
});

// --- backends: last, because a namespace that one has served waits for another

test('a backend sees who it is and no token, and is no door for what the broker refuses', async (t) => {
  const backend = await Backend.start(t, stack, 'tests/support/driven-backend');
  const shown = note(rights('ann', { join: ['team-*'] }));
  const options = { query: { token: shown, kept: 'yes' }, extraHeaders: { authorization: `Bearer ${shown}` } };
  for (const namespace of ['', '/bare']) {
    assert.equal((await refusal(t, {}, 0, namespace)).code, 'token_missing');
    const ann = await connect(t, stack.url(0) + namespace, { ...options, auth: { token: shown, join: ['secret'] } });
    const seen = await backend.told('connection', ann.id);
    assert.equal(seen.from, 'ann');
    assert.match(seen.url, /kept=yes/);
    assert.ok(!JSON.stringify(backend.lines).includes(shown));
    assert.equal(seen.second, ''); // in no room but its own
    if (namespace === '')
      assert.equal(await code(ann, 'join', 'secret'), 'forbidden');
    else
      ann.emit('join', 'secret');
  }
  await backend.until('the event', (line) => line.at === 'event' && line.what === 'join'); // the backend's to judge
  assert.ok(!backend.lines.some((line) => line.at === 'join' && line.what === 'secret'));
});
