// Balancers between clients and gateways: a real HAProxy without stickiness, and one that sends WebSockets
// elsewhere than polls.

import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { certificateOptions, overTls } from './certificate.mjs';
import { daemon, freePorts, temporaryFolder, undo } from './stack.mjs';

/** A HAProxy that gives each request to the next of these ports; its URL.  Where tests are over TLS, so are both sides of it. */
export async function haproxy(t, ports) {
  const [port] = await freePorts(1);
  const folder = await temporaryFolder(t);
  const file = path.join(folder, 'haproxy.cfg');
  const site = path.join(folder, 'haproxy.pem');
  const parts = certificateOptions(folder).filter((option) => !option.startsWith('--'));
  await writeFile(site, await Promise.all(parts.map((part) => readFile(part, 'utf8'))).then((texts) => texts.join('')));
  await writeFile(file, `
global
    maxconn 4000
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 10m
    retries 3
    option redispatch
    retry-on conn-failure
frontend clients
    bind 127.0.0.1:${port}${overTls ? ` ssl crt ${site}` : ''}
    default_backend gateways
backend gateways
    balance roundrobin
    option http-server-close
${ports.map((each, number) => `    server gateway${number} 127.0.0.1:${each}${overTls ? ' ssl verify none' : ''}`).join('\n')}
`);
  return startHaproxy(t, file, port, {}, overTls ? 'https' : 'http');
}

/** A HAProxy of that configuration, which listens on the port and has gateways behind it; its URL. */
export async function startHaproxy(t, file, port, environment = {}, scheme = 'http') {
  const { process, errors } = await daemon(t, 'haproxy', ['-db', '-V', '-f', file], /Loading success|Available polling systems|started/, environment);
  const url = `${scheme}://127.0.0.1:${port}`;
  for (;;) {
    const [answered] = await Promise.allSettled([fetch(`${url}/socket.io/`)]);
    if (answered.status === 'fulfilled' && answered.value.status === 400)
      return url;
    if (process.exitCode !== null)
      throw new Error(`haproxy ended:\n${errors()}`);
    await sleep(20);
  }
}

/**
 * Connections that ask for WebSocket go to one port, all others to the other; {url, hold(), release()}: between the
 * two calls those for WebSocket wait.
 */
export async function steering(t, requests, websockets) {
  const open = new Set();
  let gate = Promise.resolve();
  let release = () => {};
  const server = net.createServer((client) => {
    let head = Buffer.alloc(0);
    open.add(client);
    client.on('close', () => open.delete(client));
    client.on('error', () => {});
    const collect = async (data) => {
      head = Buffer.concat([head, data]);
      if (!head.includes('\r\n'))
        return;
      client.off('data', collect);
      client.pause();
      const upgrades = /[?&]transport=websocket/.test(head.toString('latin1').split('\r\n')[0]);
      if (upgrades)
        await gate;
      if (client.destroyed)
        return; // it has given up meanwhile: nobody would end its connection to the gateway
      const port = upgrades ? websockets : requests;
      const gateway = net.connect(port, '127.0.0.1', () => {
        gateway.write(head);
        client.pipe(gateway).pipe(client);
      });
      open.add(gateway);
      gateway.on('close', () => {
        open.delete(gateway);
        client.destroy();
      });
      client.on('close', () => gateway.destroy());
      gateway.on('error', () => client.destroy());
    };
    client.on('data', collect);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  undo(t, () => {
    server.close();
    for (const socket of open)
      socket.destroy();
  });
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    hold: () => { gate = new Promise((resolve) => { release = resolve; }); },
    release: () => release(),
  };
}
