// The steps of harness.mjs in JavaScript, for node and for a page: nothing but `io` and what is passed in.
//
// report(step, error text or null) is called for each step; kill() gives true when every gateway was killed once.

async function scenario(io, url, transport, report, kill) {
  const LIMIT = 60_000;
  const options = transport === 'default' ? {} : { transports: [transport] };
  const sockets = [];
  // Everything by default; but each with a connection of its own, as two people have.
  const open = (namespace) => {
    const socket = io(url + namespace, { forceNew: true, ...options });
    sockets.push(socket);
    return socket;
  };
  const within = (what, promise) => {
    let timer;
    return Promise.race([promise, new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no ${what}`)), LIMIT);
    })]).finally(() => clearTimeout(timer));
  };
  const once = (socket, event) => within(event, new Promise((resolve) => socket.once(event, (...args) => resolve(args))));
  const ask = (socket, ...args) => within(`answer to ${args[0]}`, socket.emitWithAck(...args));
  const check = (condition, ...shown) => {
    if (!condition)
      throw new Error(`unexpected: ${JSON.stringify(shown)}`);
  };
  const connected = async (socket) => socket.connected || once(socket, 'connect');
  const room = `room of ${transport} ${Math.random()}`;
  const join = async (socket) => {
    const answer = await ask(socket, 'join', room);
    check(answer.ok === true && answer.room === room, answer);
  };

  let one;
  let two;
  const steps = {
    async connect() {
      one = open('');
      two = open('');
      await Promise.all([connected(one), connected(two)]);
      const wanted = transport === 'polling' ? 'polling' : 'websocket';
      for (const { io: { engine } } of [one, two]) {
        if (engine.transport.name !== wanted)
          await within('upgrade', new Promise((resolve) => engine.once('upgrade', resolve)));
        check(engine.transport.name === wanted, engine.transport.name);
      }
    },
    async join() {
      await Promise.all([join(one), join(two)]);
    },
    async broadcast() {
      const heard = [once(one, 'msg'), once(two, 'msg')];
      one.emit('msg', { room, body: 'é😀' }, 'second');
      for (const [argument, second, meta] of await Promise.all(heard)) {
        check(argument.body === 'é😀' && second === 'second', argument, second);
        check(meta.room === room && meta.seq === 1 && meta.from === `anon:${one.id}`, meta);
      }
    },
    async acknowledgement() {
      const heard = [once(one, 'msg'), once(two, 'msg')]; // before the answer or behind it
      const answer = await ask(two, 'msg', { room, body: 'acknowledged' });
      check(answer.ok === true && answer.seq === 2 && answer.id.length > 0 && answer.at > 0, answer);
      for (const [argument] of await Promise.all(heard))
        check(argument.body === 'acknowledged', argument);
      const echoed = once(one, 'echo');
      const done = await ask(one, 'echo', 1, [2], { three: null });
      check(done.ok === true, done);
      check(JSON.stringify((await echoed).slice(0, 3)) === '[1,[2],{"three":null}]');
    },
    async binary() {
      const bytes = Uint8Array.from({ length: 256 }, (_, n) => n);
      const same = (data, wanted) => {
        const got = new Uint8Array(data);
        check(got.length === wanted.length && got.every((byte, n) => byte === wanted[n]), [...got]);
      };
      const echoed = once(one, 'echo');
      one.emit('echo', { deep: [bytes] }, 'between', new Uint8Array(0), bytes.buffer);
      const [first, between, empty, last] = await echoed;
      same(first.deep[0], bytes);
      same(last, bytes);
      check(between === 'between' && empty.byteLength === 0, between);
      const heard = once(two, 'msg');
      const answer = await ask(one, 'msg', { room, data: bytes });
      check(answer.ok === true, answer);
      same((await heard)[0].data, bytes);
    },
    async 'custom namespace'() {
      const custom = open('/custom');
      await connected(custom);
      const echoed = once(custom, 'echo');
      custom.emit('echo', 'there');
      check((await echoed)[0] === 'there');
      check((await ask(custom, 'join', room)).members === 1, 'rooms are apart');
      custom.disconnect();
    },
    async 'unknown namespace'() {
      const unknown = open('/unknown');
      const [error] = await once(unknown, 'connect_error');
      check(error.message === 'Invalid namespace', error.message);
      unknown.disconnect();
    },
    async reconnect() {
      let away = 0;
      for (const socket of [one, two])
        socket.on('disconnect', () => away++);
      if (!(await kill()))
        return 'nothing can be killed here';
      await within('disconnect', (async () => {
        while (away < 2)
          await new Promise((resolve) => setTimeout(resolve, 20));
      })());
      for (let done = false; !done;) {
        // Between two kills one may be back and lose it again.
        try {
          await Promise.all([connected(one), connected(two)]);
          await Promise.all([one, two].map((socket) => socket.timeout(5000).emitWithAck('join', room)));
          done = one.connected && two.connected;
        } catch {
          done = false;
        }
      }
      const heard = new Promise((resolve) => {
        two.on('msg', (argument) => argument.body === 'back' && resolve());
      });
      const answer = await ask(one, 'msg', { room, body: 'back' });
      check(answer.ok === true, answer);
      await within('broadcast after reconnecting', heard);
      return null;
    },
  };
  for (const [name, step] of Object.entries(steps)) {
    try {
      await report(name, null, (await step()) || null);
    } catch (error) {
      await report(name, String(error && error.stack || error), null);
      break;
    }
  }
  for (const socket of sockets)
    socket.disconnect();
}
