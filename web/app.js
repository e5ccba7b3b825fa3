/*
 * The demo page: one room at a time, over the stock Socket.IO client.
 *
 * The log holds what the room has said, in the order of seq, once each.  What this page says stands at its
 * end until the room's number for it is known.  After a lost connection the room is joined again, the gap is
 * filled by history, and what was never acknowledged is sent again under the same id, which counts once.
 * Everything that came from somebody is shown through textContent and nothing else.
 */
(() => {
  'use strict';

  const HISTORY = 50;
  const HISTORY_MAX = 200;
  const GAP_MAX = 1000; // a longer gap is not filled: the log starts over
  const TYPING_EVERY = 2000;
  const TYPING_LASTS = 4500;
  const SAME_BREATH = 5 * 60 * 1000;
  const TINTS = 8;
  const ROOM_BYTES = 255;

  const $ = (id) => document.getElementById(id);
  const page = {
    enter: $('enter'), enterForm: $('enter-form'), name: $('name'), room: $('room'), enterError: $('enter-error'),
    tokenLine: $('token-line'), token: $('token'),
    chat: $('chat'), roomName: $('room-name'), presence: $('presence'), state: $('state'),
    reconnect: $('reconnect'), leave: $('leave'), scroller: $('scroller'), olderLine: $('older-line'),
    older: $('older'), empty: $('empty'), log: $('log'), latest: $('latest'), typing: $('typing'),
    composer: $('composer'), body: $('body'),
  };

  const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
  const calendar = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });

  let socket = null;
  let myName = '';
  let room = null; // what is known of the room that is open; null outside

  function newRoom(name) {
    return {
      name,
      joined: false,
      members: 0,
      bySeq: new Map(), // seq -> its element
      oldest: 0,
      newest: 0,
      gap: 0, // when not 0: what stands right behind this number is not known yet
      more: false, // the room has older messages than these
      mine: new Map(), // id -> what this page said and has no answer for
      said: new Set(), // ids of all that this page said
      typists: new Map(), // from -> {name, timer}
      typed: 0,
      unseen: 0,
    };
  }

  // --- small things

  function remember(key, value) {
    try {
      localStorage.setItem('hubbub.' + key, value);
    } catch {
      // Storage may be forbidden; then the form starts empty.
    }
  }

  function remembered(key) {
    try {
      return localStorage.getItem('hubbub.' + key) || '';
    } catch {
      return '';
    }
  }

  function newId() {
    // randomUUID is there on secure origins only, and a phone in the same house opens http://.
    if (crypto.randomUUID)
      return crypto.randomUUID();
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
  }

  // Others may send anything: what is no text is shown as JSON.
  function plain(value, limit) {
    const text = typeof value === 'string' ? value : JSON.stringify(value === undefined ? null : value);
    return text.length > limit ? text.slice(0, limit) + '…' : text;
  }

  function element(tag, className, text) {
    const made = document.createElement(tag);
    if (className)
      made.className = className;
    if (text !== undefined)
      made.textContent = text;
    return made;
  }

  function tintOf(text) {
    let hash = 0;
    for (const character of text)
      hash = Math.imul(hash ^ character.codePointAt(0), 16777619);
    return String((hash >>> 13) % TINTS);
  }

  function roomProblem(name) {
    if (new TextEncoder().encode(name).length > ROOM_BYTES)
      return 'That is too long for a room’s name.';
    return /[\u0000-\u001f\u007f-\u009f]/.test(name) ? 'A room’s name has no control characters.' : '';
  }

  function roomOfAddress() {
    try {
      return decodeURIComponent(location.hash.slice(1));
    } catch {
      return '';
    }
  }

  // --- the log

  function atBottom() {
    const { scrollHeight, scrollTop, clientHeight } = page.scroller;
    return scrollHeight - scrollTop - clientHeight < 60;
  }

  function toBottom() {
    page.scroller.scrollTop = page.scroller.scrollHeight;
    page.latest.hidden = true;
  }

  // Runs a change of the log; the reader who was at the bottom stays there, any other stays where they read.
  function keepingPlace(change, fromAbove) {
    const bottom = atBottom();
    const before = page.scroller.scrollHeight;
    const top = page.scroller.scrollTop;
    change();
    page.empty.hidden = page.log.childElementCount > 0 || !room.joined;
    page.olderLine.hidden = !room.more;
    if (bottom)
      toBottom();
    else if (fromAbove)
      page.scroller.scrollTop = top + page.scroller.scrollHeight - before;
  }

  function makeElement({ name, from, body, id }) {
    const item = element('li', 'message');
    item.dataset.from = from + '\n' + name;
    if (room.said.has(id))
      item.classList.add('mine');
    const face = element('span', 'face', (Array.from(name)[0] || '?').toUpperCase());
    face.dataset.tint = tintOf(name);
    face.setAttribute('aria-hidden', 'true');
    const said = element('div', 'said');
    const who = element('p', 'who');
    who.append(element('span', 'author', name), element('time', 'when'));
    said.append(who, element('div', 'body', body));
    item.append(face, said);
    return item;
  }

  function setTime(item, at) {
    const when = item.querySelector('.when');
    const date = new Date(at);
    item.dataset.at = String(at);
    when.textContent = clock.format(date);
    when.dateTime = date.toISOString();
  }

  // A message goes on from the one before it when the same person said it a moment ago, the same day.
  function arrange(item) {
    if (!item)
      return;
    const before = item.previousElementSibling;
    const at = Number(item.dataset.at);
    const day = new Date(at).toDateString();
    const sameDay = before !== null && new Date(Number(before.dataset.at)).toDateString() === day;
    const label = item.querySelector('.day');
    if (sameDay && label)
      label.remove();
    else if (!sameDay && !label)
      item.prepend(element('p', 'day', calendar.format(new Date(at))));
    item.classList.toggle('continued', sameDay && before.dataset.from === item.dataset.from
      && before.classList.contains('mine') === item.classList.contains('mine')
      && at - Number(before.dataset.at) < SAME_BREATH);
  }

  // Where a message with this number stands: before the first with a higher one, and before what waits.
  function successorOf(item, seq) {
    let next = null;
    for (let other = page.log.lastElementChild; other; other = other.previousElementSibling) {
      if (other === item)
        continue;
      if (other.dataset.seq && Number(other.dataset.seq) < seq)
        break;
      next = other;
    }
    return next;
  }

  function place(item, seq, at) {
    const after = item.nextElementSibling;
    item.dataset.seq = String(seq);
    setTime(item, at);
    const next = successorOf(item, seq);
    if (item.parentNode === null || next !== item.nextElementSibling)
      page.log.insertBefore(item, next);
    arrange(item);
    arrange(item.nextElementSibling);
    arrange(after);
    room.bySeq.set(seq, item);
    room.newest = Math.max(room.newest, seq);
    room.oldest = room.oldest ? Math.min(room.oldest, seq) : seq;
  }

  // The room's word about a message: shown once, whether it came live, by history or as an acknowledgement.
  function settle({ seq, id, from, at, args }) {
    if (!Number.isSafeInteger(seq) || room.bySeq.has(seq))
      return false;
    const waiting = room.mine.get(id);
    if (waiting) {
      room.mine.delete(id);
      waiting.item.classList.remove('pending', 'refused');
      waiting.item.querySelector('.note').remove();
      waiting.item.dataset.from = from + '\n' + waiting.payload.name;
      place(waiting.item, seq, at);
      return true;
    }
    const said = args && typeof args[0] === 'object' && args[0] !== null ? args[0] : { body: args ? args[0] : '' };
    const item = makeElement({ name: plain(said.name || 'Somebody', 40), from, body: plain(said.body, 4000), id });
    place(item, seq, at);
    return true;
  }

  function showHistory(messages, fromAbove) {
    // A screen reader should hear what is said now, not fifty lines of the past.
    page.log.setAttribute('aria-live', 'off');
    keepingPlace(() => messages.forEach(settle), fromAbove);
    requestAnimationFrame(() => page.log.setAttribute('aria-live', 'polite'));
  }

  function clearLog() {
    for (const item of room.bySeq.values())
      item.remove();
    room.bySeq.clear();
    room.oldest = room.newest = room.gap = 0;
    arrange(page.log.firstElementChild);
  }

  // --- saying

  function say(body) {
    const id = newId();
    const payload = { room: room.name, id, body, name: myName };
    room.said.add(id);
    const item = makeElement({ name: myName, from: '', body, id });
    item.classList.add('pending');
    item.querySelector('.said').append(element('p', 'note', 'Sending…'));
    setTime(item, Date.now());
    room.mine.set(id, { payload, item });
    keepingPlace(() => {
      page.log.append(item);
      arrange(item);
    });
    toBottom();
    send(id);
  }

  // Without a connection it stays in room.mine, and join() sends it.
  function send(id) {
    const open = room;
    const waiting = open.mine.get(id);
    if (!open.joined || !waiting)
      return;
    socket.emit('msg', waiting.payload, (answer) => {
      if (room !== open)
        return;
      if (answer && answer.ok)
        keepingPlace(() => settle({ seq: answer.seq, id, from: 'anon:' + socket.id, at: answer.at }));
      else
        refuse(id, answer && answer.error ? plain(answer.error.message, 200) : 'the server gave no reason');
    });
  }

  function refuse(id, why) {
    const waiting = room.mine.get(id);
    if (!waiting)
      return;
    const note = waiting.item.querySelector('.note');
    const again = element('button', '', 'Try again');
    again.type = 'button';
    again.addEventListener('click', () => {
      waiting.item.classList.replace('refused', 'pending');
      note.textContent = 'Sending…';
      page.body.focus();
      send(id);
    });
    waiting.item.classList.replace('pending', 'refused');
    note.replaceChildren(element('span', '', 'Not sent: ' + why), again);
  }

  // --- the others

  function showPresence(members) {
    room.members = members;
    page.presence.textContent = !room.joined ? '' : members === 1 ? 'Only you are here' : members + ' are here';
  }

  function showTypists() {
    const names = Array.from(room.typists.values(), (typist) => typist.name);
    page.typing.textContent = names.length === 0 ? ''
      : names.length === 1 ? names[0] + ' is typing…'
      : names.length === 2 ? names[0] + ' and ' + names[1] + ' are typing…'
      : 'Several people are typing…';
  }

  function stopTypist(from) {
    const typist = room.typists.get(from);
    if (!typist)
      return;
    clearTimeout(typist.timer);
    room.typists.delete(from);
    showTypists();
  }

  // What the router says of a message stands behind all that its sender gave, before the offset: counted from the
  // front it could be the sender's own invention.
  function takeApart(args) {
    const meta = typeof args.at(-1) === 'string' ? args.at(-2) : args.at(-1);
    return { said: args[0], meta: args.length > 1 ? meta : null };
  }

  function onTyping(...args) {
    const { said, meta } = takeApart(args);
    if (!room || !meta || meta.room !== room.name)
      return;
    const open = room;
    const from = String(meta.from);
    stopTypist(from);
    if (room.typists.size >= 20)
      return;
    const timer = setTimeout(() => room === open && stopTypist(from), TYPING_LASTS);
    room.typists.set(from, { name: plain((said && said.name) || 'Somebody', 40), timer });
    showTypists();
  }

  function onMessage(...args) {
    const { said, meta } = takeApart(args);
    if (!room || !meta || meta.room !== room.name)
      return;
    stopTypist(String(meta.from));
    const bottom = atBottom();
    let fresh = false;
    keepingPlace(() => { fresh = settle({ ...meta, args: [said] }); });
    if (!fresh || room.said.has(meta.id))
      return;
    page.latest.hidden = bottom;
    if (document.hidden) {
      room.unseen++;
      showTitle();
    }
  }

  function showTitle() {
    document.title = !room ? 'Hubbub' : (room.unseen ? '(' + room.unseen + ') ' : '') + room.name + ' · Hubbub';
  }

  // --- the connection

  const STATES = { connecting: 'Connecting', connected: 'Connected', reconnecting: 'Reconnecting', offline: 'Offline' };

  function setState(state) {
    if (page.state.dataset.state !== state || page.state.textContent !== STATES[state]) {
      page.state.dataset.state = state;
      page.state.textContent = STATES[state];
    }
    page.reconnect.hidden = state !== 'offline' || !navigator.onLine;
  }

  function ask(event, argument) {
    return new Promise((resolve) => socket.emit(event, argument, (answer) => resolve(answer || { ok: false })));
  }

  async function join() {
    const open = room;
    const connection = socket.id;
    const current = () => room === open && socket.connected && socket.id === connection;
    const answer = await ask('join', { room: open.name, history: HISTORY, presence: true });
    if (!current())
      return;
    if (!answer.ok) {
      leave(answer.error ? plain(answer.error.message, 200) : 'The room did not open.');
      return;
    }
    const history = answer.history || [];
    const first = history.length ? history[0].seq : answer.seq + 1;
    // A number lower than what was seen means that the server's log is a new one.
    if (answer.seq < open.newest || first > (open.gap || open.newest) + GAP_MAX)
      clearLog();
    const last = open.gap || open.newest;
    if (!last)
      open.more = Boolean(answer.more);
    open.joined = true;
    showHistory(history);
    showPresence(answer.members);
    setState('connected');
    for (const id of open.mine.keys())
      send(id);
    if (last)
      await fillGap(open, last, first, current);
  }

  // open.gap stays when the connection is lost on the way, and the next join goes on from there.
  async function fillGap(open, after, before, current) {
    while (after + 1 < before) {
      open.gap = after;
      const answer = await ask('history', { room: open.name, after, limit: HISTORY_MAX });
      if (!current() || !answer.ok || answer.messages.length === 0)
        return;
      showHistory(answer.messages);
      after = answer.messages[answer.messages.length - 1].seq;
    }
    open.gap = 0;
  }

  async function loadOlder() {
    const open = room;
    page.older.disabled = true;
    const answer = open.joined ? await ask('history', { room: open.name, before: open.oldest, limit: HISTORY }) : null;
    page.older.disabled = false;
    if (room !== open || !answer || !answer.ok)
      return;
    open.more = Boolean(answer.more);
    showHistory(answer.messages, true);
    if (!open.more)
      page.scroller.focus();
  }

  function connect() {
    if (typeof io !== 'function') {
      leave('The Socket.IO client could not be loaded.');
      return;
    }
    const auth = (answer) => answer(page.token.value ? { token: page.token.value.trim() } : {});
    socket = io({ reconnectionDelayMax: 4000, forceNew: true, auth });
    socket.on('connect', join);
    socket.on('disconnect', () => {
      if (!room)
        return;
      room.joined = false;
      Array.from(room.typists.keys()).forEach(stopTypist);
      page.presence.textContent = '';
      setState(socket.active && navigator.onLine ? 'reconnecting' : 'offline');
    });
    socket.on('connect_error', (error) => {
      if (!room)
        return;
      if (error.data && String(error.data.code).startsWith('token_'))
        askForToken(error);
      else
        setState(socket.active && navigator.onLine ? 'reconnecting' : 'offline');
    });
    socket.on('msg', onMessage);
    socket.on('typing', onTyping);
    socket.on('hubbub:presence', (presence) => {
      if (room && room.joined && presence && presence.room === room.name)
        showPresence(Number(presence.members));
    });
  }

  /** The field is there only where it is needed; what is in it is kept nowhere. */
  function askForToken(error) {
    page.tokenLine.hidden = false;
    leave(plain(error.message, 200));
    page.token.focus();
  }

  // --- in and out

  function enter(name, roomName) {
    const problem = roomProblem(roomName);
    page.enterError.textContent = problem;
    if (problem) {
      page.room.focus();
      return;
    }
    myName = name;
    remember('name', name);
    remember('room', roomName);
    if (roomOfAddress() !== roomName)
      location.hash = encodeURIComponent(roomName);
    room = newRoom(roomName);
    page.roomName.textContent = roomName;
    page.log.replaceChildren();
    page.enter.hidden = true;
    page.chat.hidden = false;
    page.empty.hidden = page.olderLine.hidden = page.latest.hidden = true;
    page.presence.textContent = '';
    showTypists();
    showTitle();
    setState('connecting');
    page.body.focus();
    connect();
  }

  function leave(why) {
    if (!room)
      return;
    Array.from(room.typists.keys()).forEach(stopTypist);
    room = null;
    if (socket)
      socket.disconnect();
    socket = null;
    page.chat.hidden = true;
    page.enter.hidden = false;
    page.enterError.textContent = why || '';
    showTitle();
    page.room.focus();
  }

  page.enterForm.addEventListener('submit', (event) => {
    event.preventDefault();
    const name = page.name.value.trim();
    const roomName = page.room.value.trim();
    if (name && roomName) {
      enter(name, roomName);
      return;
    }
    page.enterError.textContent = name ? 'Which room?' : 'What is your name?';
    (name ? page.room : page.name).focus();
  });

  page.leave.addEventListener('click', () => leave());
  page.older.addEventListener('click', loadOlder);
  page.latest.addEventListener('click', () => {
    toBottom();
    page.body.focus();
  });
  page.scroller.addEventListener('scroll', () => {
    if (atBottom())
      page.latest.hidden = true;
  }, { passive: true });
  page.reconnect.addEventListener('click', () => {
    setState('connecting');
    socket.connect();
  });

  page.composer.addEventListener('submit', (event) => {
    event.preventDefault();
    const body = page.body.value.trim();
    page.body.focus();
    if (!body)
      return;
    page.body.value = '';
    growBody();
    room.typed = 0;
    say(body);
  });
  page.body.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      page.composer.requestSubmit();
    }
  });

  // Where the stylesheet's field-sizing is not known yet.
  function growBody() {
    if (CSS.supports('field-sizing', 'content'))
      return;
    page.body.style.height = 'auto';
    page.body.style.height = page.body.scrollHeight + 'px';
  }

  page.body.addEventListener('input', () => {
    growBody();
    const now = Date.now();
    if (!room.joined || !page.body.value || now - room.typed < TYPING_EVERY)
      return;
    room.typed = now;
    socket.volatile.emit('typing', { room: room.name, name: myName });
  });

  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && room) {
      room.unseen = 0;
      showTitle();
    }
  });
  addEventListener('resize', () => room && atBottom() && toBottom());
  addEventListener('offline', () => room && setState('offline'));
  addEventListener('online', () => {
    if (room)
      setState(room.joined ? 'connected' : socket.active ? 'reconnecting' : 'offline');
  });
  addEventListener('hashchange', () => {
    const wanted = roomOfAddress();
    if (!room) {
      page.room.value = wanted || page.room.value;
    } else if (wanted !== room.name) {
      leave();
      page.room.value = wanted || page.room.value;
      if (wanted)
        enter(myName, wanted);
    }
  });

  page.name.value = remembered('name');
  page.room.value = roomOfAddress() || remembered('room') || 'lobby';
  (page.name.value ? page.room : page.name).focus();
})();
