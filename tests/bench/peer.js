// The peer of the benchmark: rooms on Bun's own publish/subscribe, nothing kept and nothing acknowledged.
// Started as `bun peer.js PORT`; the room of a connection stands in its URL, that of a message in the message.
const server = Bun.serve({
  hostname: '127.0.0.1',
  port: Number(process.argv[2]),
  fetch(request) {
    const room = new URL(request.url).searchParams.get('room');
    if (!room || !server.upgrade(request, { data: room }))
      return new Response('a WebSocket with ?room= is expected', { status: 400 });
  },
  websocket: {
    open: (member) => member.subscribe(member.data),
    message: (_, text) => server.publish(JSON.parse(text).room, text),
  },
});
console.log('ready');
