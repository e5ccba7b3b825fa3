// Processes stand still under load (SIGSTOP), shorter and longer than the other side waits for them, and go on.

import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { undo } from '../support/stack.mjs';
import { LONG, SECONDS, pause, run } from './run.mjs';

const SHORT_STOP = 3;
const LONG_STOP = LONG ? 30 : 7; // either way longer than `dead`, which is 5 s
// Clients leave a gateway that stands still long before it goes on.
const IMPATIENT = 'gateway = { ping_interval = "1500 ms"; ping_timeout = "1500 ms"; };\n';

/** Stops these processes together, and lets them go on after so many seconds, as often as there is time for. */
function stopping(t, names, seconds, mayLose) {
  return async (stack, load, over) => {
    const stopped = new Set();
    const signal = (name, what) => process.kill(stack.pids.get(name), what);
    const resume = () => {
      for (const name of stopped)
        signal(name, 'SIGCONT');
      stopped.clear();
    };
    undo(t, resume);
    for (let round = 0; !over(); round++) {
      await pause(2, over);
      for (const name of names(round)) {
        signal(name, 'SIGSTOP');
        stopped.add(name);
      }
      await sleep(seconds * 1000); // whatever the load does: it lasts so long
      resume();
      await pause(Math.max(3, SECONDS / 6), over);
    }
    return mayLose ? null : {};
  };
}

const gatewayOf = (round) => [`gateway-${(round % 2) + 1}`];
const all = () => ['router', 'gateway-1', 'gateway-2'];

for (const seconds of [SHORT_STOP, LONG_STOP]) {
  // After 30 s the next ping may be too late for a client, and an answer for a gateway.
  const mayLose = seconds === 30;
  test(`a gateway stands still for ${seconds} s`, (t) => run(t, { fault: stopping(t, gatewayOf, seconds, mayLose) }));
  test(`the router stands still for ${seconds} s`, (t) => run(t, { fault: stopping(t, () => ['router'], seconds, mayLose) }));
}

test(`a gateway stands still for ${LONG_STOP} s, its clients go elsewhere`, (t) => run(t, {
  config: IMPATIENT,
  fault: stopping(t, gatewayOf, LONG_STOP, true),
}));

test(`everything stands still for ${LONG_STOP} s`, (t) => run(t, { fault: stopping(t, all, LONG_STOP, true) }));
