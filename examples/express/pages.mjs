// The pages of the example: a login, and a chat with a form for orders.

const escape = (text) => text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);

const page = (body) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The shop</title>
<body>${body}`;

export const loginPage = () => page(`
<form method="post" action="/login">
  <label>Your name <input name="name" maxlength="40" required></label> <button>Log in</button>
</form>`);

export const chatPage = ({ user, room, order }) => page(`
<script src="/socket.io/socket.io.js"></script>
<form method="post" action="/logout">Logged in as <b id="user">${escape(user)}</b> <button>Log out</button></form>
<form method="post" action="/order">
  <input type="hidden" name="order" value="${order}">
  <label>Order <input name="item" required></label> <button>Buy</button>
</form>
<ol id="log"></ol>
<form id="say"><input id="body" aria-label="Message" autocomplete="off" required> <button>Say</button></form>

<script>
  const room = '${room}';
  const log = document.getElementById('log');
  const user = document.getElementById('user').textContent;
  const show = (text) => log.appendChild(document.createElement('li')).textContent = text;
  const events = {
    // The name in a message is what its sender wrote there; those in the app's own events come from its sessions.
    msg: ({ name, body }) => show(name + ': ' + body),
    login: ({ name }) => show(name + ' has come in'),
    order: ({ by, item }) => show(by + ' has ordered ' + item),
  };

  const socket = io({ auth: { join: [room] } });
  for (const [event, handler] of Object.entries(events)) socket.on(event, handler);
  socket.on('connect', () => {
    if (socket.recovered) return; // whatever was missed has come already
    socket.emit('history', { room, limit: 20 }, ({ ok, messages = [], error }) => {
      log.replaceChildren();
      if (!ok) show(error.message);
      for (const { event, args } of messages) events[event]?.(...args);
    });
  });
  document.getElementById('say').addEventListener('submit', (submit) => {
    submit.preventDefault();
    const body = document.getElementById('body');
    socket.emit('msg', { room, name: user, body: body.value }, ({ ok, error }) => ok || show(error.message));
    body.value = '';
  });
</script>`);
