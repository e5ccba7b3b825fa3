// A way from a client to whichever gateway the test says, that breaks when the test says.

import { once } from 'node:events';
import net from 'node:net';
import { overTls } from './certificate.mjs';
import { undo } from './stack.mjs';

export class Detour {
  /** port: of the gateway that new connections lead to, until `port` is set to another. */
  static async start(t, port) {
    const detour = new Detour();
    Object.assign(detour, { port, refused: false, bytesToClient: Infinity, pairs: new Set(), waiting: [] });
    detour.server = net.createServer((client) => detour.accept(client));
    detour.server.listen(0, '127.0.0.1');
    await once(detour.server, 'listening');
    detour.url = `${overTls ? 'https' : 'http'}://127.0.0.1:${detour.server.address().port}`;
    undo(t, () => {
      detour.server.close();
      detour.cut();
      for (const gateway of detour.left || [])
        gateway.destroy();
    });
    return detour;
  }

  accept(client) {
    client.on('error', () => {});
    if (this.refused) {
      client.destroy();
      return;
    }
    const gateway = net.connect(this.port, '127.0.0.1');
    const pair = { client, gateway, frozen: false };
    this.pairs.add(pair);
    gateway.on('error', () => {});
    client.on('data', (data) => gateway.write(data));
    gateway.on('data', (data) => this.pass(pair, data));
    client.on('close', () => {
      this.pairs.delete(pair);
      if (!pair.frozen)
        gateway.destroy();
    });
    gateway.on('close', () => {
      this.pairs.delete(pair);
      if (!pair.frozen)
        client.end(); // behind what it has not got yet
    });
  }

  /** To the client, as many bytes as it may still get; then it loses its connection in the middle of them. */
  pass(pair, data) {
    if (pair.frozen || pair.ending)
      return;
    if (data.length < this.bytesToClient) {
      this.bytesToClient -= data.length;
      pair.client.write(data);
      return;
    }
    const part = data.subarray(0, this.bytesToClient);
    this.bytesToClient = Infinity;
    pair.ending = true;
    pair.client.write(part, () => this.cut());
  }

  /** Every connection is lost, for both sides. */
  cut() {
    for (const { client, gateway } of this.pairs) {
      client.destroy();
      gateway.destroy();
    }
  }

  /** Nothing is read from the gateways any more, or again; it stays where it is. */
  pause() {
    for (const { gateway } of this.pairs)
      gateway.pause();
  }

  resume() {
    for (const { gateway } of this.pairs)
      gateway.resume();
  }

  /** Every connection is lost for the client, while the gateway hears nothing of it; gives those left to it. */
  freeze() {
    const left = [];
    for (const pair of this.pairs) {
      pair.frozen = true;
      pair.client.destroy();
      left.push(pair.gateway);
    }
    this.left = [...(this.left || []), ...left];
    return left;
  }
}
