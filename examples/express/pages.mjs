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
  const show = (text, next = null) => log.insertBefore(document.createElement('li'), next).textContent = text;
  const events = {
    // The name in a message is what its sender wrote there; those in the app's own events come from its sessions.
    msg: ({ name, body }, next) => show(name + ': ' + body, next),
    login: ({ name }) => show(name + ' has come in'),
    order: ({ by, item }, next) => show(by + ' has ordered ' + item, next),
  };

  const socket = io({ auth: { join: [room] } });
  const shown = new Set(); // the numbers of messages that came by themselves
  for (const [event, handler] of Object.entries(events))
    socket.on(event, (data, meta) => {
      shown.add(meta?.seq);
      handler(data);
    });
  socket.on('connect', () => {
    if (socket.recovered) return; // whatever was missed has come already
    log.replaceChildren();
    shown.clear();
    socket.emit('history', { room, limit: 20 }, ({ ok, messages = [], error }) => {
      if (!ok) show(error.message);
      const next = log.firstChild; // what was said while the answer was on its way stands below it, once
      for (const { seq, event, args } of messages)
        if (!shown.has(seq)) events[event]?.(args[0], next);
    });
  });
  document.getElementById('say').addEventListener('submit', (submit) => {
    submit.preventDefault();
    const body = document.getElementById('body');
    socket.emit('msg', { room, name: user, body: body.value }, ({ ok, error }) => ok || show(error.message));
    body.value = '';
  });
</script>`);
