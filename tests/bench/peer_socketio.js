// A peer of the benchmark: rooms on the reference server, Socket.IO for Node, nothing kept.
// Started as `node peer_socketio.js PORT FOLDER`; the npm package socket.io is in the folder's node_modules.
import { createRequire } from 'node:module';
import path from 'node:path';

const [port, folder] = process.argv.slice(2);
const { Server } = createRequire(path.join(path.resolve(folder), 'package.json'))('socket.io');
const io = new Server({ serveClient: false });

io.on('connection', (socket) => {
  socket.on('join', (room, answer) => {
    socket.join(room);
    answer({ ok: true });
  });
  socket.on('msg', (message) => io.to(message.room).emit('msg', message));
});
io.listen(Number(port));
console.log('ready');
