// The network between gateways and router loses everything, one way or both: packets vanish and no connection ends.
//
// The whole test runs in a network namespace of its own, where nothing but its own traffic can be hit.  Each gateway
// connects from an address of its own, so that rules tell their links apart.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import test from 'node:test';
import { run as execute, undo } from '../support/stack.mjs';
import { ApartStack } from './apart.mjs';
import { LONG, configuration, pause, run } from './run.mjs';

const INSIDE = 'HUBBUB_TEST_NETWORK'; // set in the namespace
const UNSHARE = ['--net', '--'];

/** Starts this file in a namespace of its own, and ends as it does. */
async function goInside() {
  try {
    execFileSync('unshare', [...UNSHARE, 'sh', '-c', 'ip link set lo up && nft add table ip test'], { stdio: 'pipe' });
  } catch (error) {
    console.log(`1..0 # SKIP needs network namespaces and nftables: ${String(error.stderr || error.message).trim().split('\n')[0]}`);
    return;
  }
  const child = spawn('unshare', [...UNSHARE, 'sh', '-c', 'ip link set lo up && exec "$0" "$@"',
    process.execPath, ...process.execArgv, fileURLToPath(import.meta.url)], {
    stdio: 'inherit',
    env: { ...process.env, [INSIDE]: '1' },
  });
  const [code] = await once(child, 'exit');
  process.exitCode = code ?? 1;
}

async function nft(rules) {
  const { code, stderr } = await execute('nft', ['-f', '-'], { input: rules });
  if (code !== 0)
    throw new Error(`nft: ${stderr}`);
}

/** Loses what goes between gateways and router: `up` to the router, `down` from it, or both. */
async function cut(port, gateways, ways) {
  const drop = { up: (address) => `ip saddr ${address} tcp dport ${port} counter drop`,
    down: (address) => `ip daddr ${address} tcp sport ${port} counter drop` };
  await nft(`add table ip faults
flush table ip faults
table ip faults {
  chain way {
    type filter hook output priority 0;
    ${gateways.flatMap((number) => ways.map((way) => drop[way](addressOf(number)))).join('\n    ')}
  }
}
`);
}

/** Ends it; how many packets were lost. */
async function mend() {
  const { stdout } = await execute('nft', ['list', 'ruleset']);
  await nft('flush ruleset\n');
  return [...stdout.matchAll(/counter packets (\d+)/g)].reduce((sum, [, packets]) => sum + Number(packets), 0);
}
const addressOf = (number) => `127.0.1.${number + 1}`;

/** Cuts the gateways' links that way, for so many seconds each time, as often as there is time for. */
async function runCut(t, { ways, gateways, seconds, mayLose }) {
  let port;
  const stack = await ApartStack.start(t, {
    options: [await configuration(t)],
    through: async (link, number) => {
      port = link;
      return `tcp://${addressOf(number)}:0;127.0.0.1:${link}`; // ZeroMQ's way to name the source
    },
  });
  undo(t, mend);
  await run(t, {
    stack,
    fault: async (_, load, over) => {
      for (let round = 0; !over(); round++) {
        await pause(2, over);
        await cut(port, gateways(round), ways);
        await pause(seconds, () => false); // whatever the load does: it lasts so long
        assert.ok(await mend() > 0, 'packets were lost');
        await pause(4, over);
      }
      return mayLose ? null : {};
    },
  });
}

if (process.env[INSIDE]) {
  const both = () => [0, 1];
  const one = (round) => [round % 2];
  const LONG_CUT = LONG ? 20 : 7; // either way longer than `dead`; the long one also than the answer's time limit
  test('a gateway is cut off for 3 s', (t) => runCut(t, { ways: ['up', 'down'], gateways: one, seconds: 3, mayLose: false }));
  test(`both gateways are cut off for ${LONG_CUT} s`, (t) => runCut(t, { ways: ['up', 'down'], gateways: both, seconds: LONG_CUT, mayLose: LONG }));
  test(`the router hears nothing of a gateway for ${LONG_CUT} s`, (t) => runCut(t, { ways: ['up'], gateways: one, seconds: LONG_CUT, mayLose: LONG }));
  test(`a gateway hears nothing of the router for ${LONG_CUT} s`, (t) => runCut(t, { ways: ['down'], gateways: one, seconds: LONG_CUT, mayLose: LONG }));
} else {
  await goInside();
}
