// Runs a stock client's program against two gateways on one port, once with each transport.
//
// The program is told the URL and the transport (polling, websocket or default), opens connections with the
// client's default options, and says what works as TAP.  It goes through these steps:
//
//     connect            two clients, in the way that the transport says
//     join               both join a room, which is acknowledged
//     broadcast          what one sends to the room, both get
//     acknowledgement    of the message, with its number; and of an event that comes back to its sender only
//     binary             bytes to the server and back
//     custom namespace   a second namespace, with its own events
//     unknown namespace  is refused with "Invalid namespace"
//     reconnect          it prints "# kill"; when it has read "killed", every gateway has been killed once.  It comes
//                        back by itself, joins again and gets a broadcast.  After "stay" it leaves this step out.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Reference, Stack, reference, temporaryFolder, within } from '../support/stack.mjs';

export const TRANSPORTS = ['polling', 'websocket', 'default'];
const LIMIT = 120_000;

// "/" as it is by default, but for `echo`; "/custom" without offsets behind the arguments.
const EVENTS = `(
    { name = "msg";    room = "$.room"; deliver = "room";   archive = true;  dedup = "$.id"; meta = true; },
    { name = "typing"; room = "$.room"; deliver = "others"; volatile = true; meta = true; },
    { name = "echo";   deliver = "self"; meta = false; });`;
const RULES = `namespaces = ({ name = "/"; events = ${EVENTS} }, { name = "/custom"; recovery = false; events = ${EVENTS} });`;

/** Two gateways on one port. */
export async function start(t) {
  if (reference)
    return Reference.start(t, { onePort: true });
  const file = path.join(await temporaryFolder(t), 'hubbub.conf');
  await writeFile(file, `gateway = { msgpack_path = "/msgpack/"; };\n${RULES}`);
  return Stack.start(t, { gateways: 2, onePort: true, args: ['--config', file] });
}

const clients = fileURLToPath(new URL('../../build/clients', import.meta.url));

/** What tests/clients/prepare built. */
export const built = (name) => path.join(clients, name);

/** Why a client is not there, or false. */
export function missing(name) {
  if (existsSync(built(`${name}.sum`)))
    return false;
  const reason = built(`${name}.missing`);
  return existsSync(reason) ? readFileSync(reason, 'utf8').trim() : 'tests/clients/prepare has not been run';
}

/** Kills every gateway once, each after the other has come back; false when there are none. */
export async function killGateways(server) {
  if (reference)
    return false;
  await server.kill('gateway-1');
  await server.kill('gateway-2');
  return true;
}

/** The tests of one client: `command` gets the URL and the transport behind its arguments. */
export function programTests(name, server, command, skip = () => false) {
  for (const transport of TRANSPORTS) {
    test(`${name}, ${transport}`, { skip: skip() }, async (t) => {
      const [program, ...args] = command();
      const child = spawn(program, [...args, server().url(0), transport], { stdio: ['pipe', 'pipe', 'pipe'] });
      const lines = [];
      const killed = [];
      let errors = '';
      child.stdin.on('error', () => {});
      child.stderr.on('data', (text) => { errors += text; });
      createInterface({ input: child.stdout }).on('line', (line) => {
        lines.push(line);
        if (line === '# kill')
          killed.push(killGateways(server()).then((done) => child.stdin.write(done ? 'killed\n' : 'stay\n')));
      });
      try {
        await within(LIMIT, `the end of ${name}`, new Promise((resolve, reject) => {
          child.on('close', resolve);
          child.on('error', reject);
        })).catch((error) => { errors += `${error}\n`; });
      } finally {
        child.kill('SIGKILL');
      }
      await Promise.all(killed);
      let ran = 0;
      for (const line of lines) {
        const match = /^(not )?ok \d+ - (.*?)(?: # SKIP (.*))?$/.exec(line);
        if (!match)
          continue;
        ran++;
        await t.test(match[2], { skip: match[3] || false }, () =>
          assert.ok(!match[1], `${lines.join('\n')}\n${errors}`));
      }
      const plan = lines.find((line) => line.startsWith('1..'));
      assert.equal(plan, `1..${ran}`, `it did not come to its end:\n${lines.join('\n')}\n${errors}`);
      assert.ok(ran > 0);
    });
  }
}
