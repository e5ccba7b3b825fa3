// MongoDB for tests in JavaScript: a server of nx-27017 that can die and come back, and what is in it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { python } from './fault_proxy.mjs';
import { freePorts, portAnswers, run, temporaryFolder, undo, within } from './stack.mjs';

const LIMIT = 60_000;

// Prints each document of a collection as a line of JSON: what the checker compares.
const DUMP = `
import datetime, json, pymongo, sys
for document in pymongo.MongoClient(sys.argv[1], directConnection=True).hubbub.messages.find():
    at = document["at"].replace(tzinfo=datetime.timezone.utc)
    print(json.dumps(dict(namespace=document["namespace"], room=document["room"], seq=int(document["seq"]),
                          pos=int(document["pos"]), at=round(at.timestamp() * 1000), event=document["event"],
                          id=document["id"], tag=json.loads(document["raw"])[0].get("tag"))))
`;

export class MongoDB {
  static async start(t) {
    const mongodb = new MongoDB();
    mongodb.folder = await temporaryFolder(t);
    [mongodb.port] = await freePorts(1);
    undo(t, () => mongodb.kill());
    await mongodb.begin();
    return mongodb;
  }

  /** Starts it, also again, on the data it had. */
  async begin() {
    const program = path.join(path.dirname(await python()), 'nx-27017');
    this.process = spawn(program, ['--db', path.join(this.folder, 'archive.db'), '--host', '127.0.0.1', '--port', String(this.port),
      '--log-file', path.join(this.folder, 'log'), '--pid-file', path.join(this.folder, 'pid')], { stdio: 'ignore' });
    this.exited = once(this.process, 'exit');
    this.exited.catch(() => {});
    await within(LIMIT, 'MongoDB to be ready', this.answers());
  }

  async answers() {
    for (;;) {
      if (this.process.exitCode !== null)
        throw new Error(`nx-27017 ended with ${this.process.exitCode}`);
      if (await portAnswers(this.port))
        return;
      await sleep(50);
    }
  }

  /** kill -9. */
  async kill() {
    if (this.process?.exitCode === null && this.process.signalCode === null) {
      this.process.kill('SIGKILL');
      await this.exited;
    }
  }

  documents() {
    return archived(`mongodb://127.0.0.1:${this.port}`);
  }
}

/** All messages of an archive: [{namespace, room, seq, pos, at, event, id, tag}], by room and seq. */
export async function archived(uri) {
  const { code, stdout, stderr } = await run(await python(), ['-c', DUMP, uri]);
  if (code !== 0)
    throw new Error(`the archive can't be read: ${stderr}`);
  return stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line))
    .sort((a, b) => (a.room < b.room ? -1 : a.room > b.room ? 1 : a.seq - b.seq));
}
