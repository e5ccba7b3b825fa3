"""What probes are made of: functions that take a Side, send it raw bytes, and note what comes back.

test_differential.py has the probes.  What cannot be equal in two servers (ids, dates, how a body is framed) is made so.
"""
import contextlib
import gzip
import re
import struct
import zlib

from raw_client import (CLOSE, HOME, MOMENT, PING, PONG, TEXT, Closed, Connection, Polling, Response, WebSocket, close_payload,
                        frame, handshake)

QUERY = 'EIO=4&transport=polling'
WEBSOCKET = 'EIO=4&transport=websocket'
CLOSE_FRAME = frame(CLOSE, close_payload(1000))

# Headers that say nothing about the answer, or that say how it is framed.
FRAMING = {'date', 'content-length', 'transfer-encoding', 'server', 'sec-websocket-accept', 'x-content-type-options'}


class Side:
    """One of the two servers."""

    def __init__(self, server):
        self.server, self.ports = server, server.ports

    def connection(self):
        return Connection(self.ports[0])

    def polling(self, **options):
        return Polling(self.server, HOME, **options)

    def websocket(self, **options):
        return WebSocket(self.ports[0], **options)


def normal(text):
    """Ids of sessions and of sockets become the same."""
    text = re.sub(r'"sid":"[A-Za-z0-9_-]{20,24}"', '"sid":"S"', text)
    return re.sub(r'=[A-Za-z0-9_-]{20,24}; Path', '=S; Path', text)


def note_response(response):
    fields = {name: value for name, value in response.fields.items() if name not in FRAMING}
    if 'vary' in fields:
        fields['vary'] = ', '.join(sorted(part.strip().lower() for part in fields['vary'].split(',')))
    fields = {name: normal(value) for name, value in fields.items()}
    return [response.status, sorted(fields.items()), normal(response.body.decode('latin-1'))]


def ended(connection):
    """Whether the peer ends the connection, or has an answer to a further request, and nothing before it."""
    try:
        connection.send(http('GET', '/socket.io/?EIO=4&transport=none'))
        answer = Response(connection)
    except (Closed, ConnectionError):
        return 'ended'
    return 'open' if (answer.status, answer.json['code']) == (400, 0) else 'more'


def answers(connection, count=1, head_only=False):
    """That many responses, and what becomes of the connection."""
    notes = []
    for _ in range(count):
        try:
            notes += note_response(Response(connection, head_only))
        except Closed:
            return [*notes, 'ended']
        except TimeoutError:
            return [*notes, 'held']
    return [*notes, ended(connection)]


def http(method, target, fields=(), body=b'', host='Host: test'):
    text = '\r\n'.join([f'{method} {target} HTTP/1.1', *([host] if host else []), *fields, '', '']).encode('latin-1')
    return text + body


def ask(method, query, fields=(), body=None, path='/socket.io/'):
    """A probe of one request."""
    def probe(side):
        more = () if body is None else (f'Content-Length: {len(body)}',)
        with side.connection() as connection:
            connection.send(http(method, path if query is None else f'{path}?{query}', (*fields, *more), body or b''))
            return answers(connection, head_only=method == 'HEAD')
    return probe


def raw(*parts, count=1):
    """A probe of these bytes on one connection."""
    def probe(side):
        with side.connection() as connection:
            for part in parts:
                connection.send(part)
            return answers(connection, count)
    return probe


def session(*steps, path='/socket.io/', join=True):
    """A probe of a polling session; each step is a function of it, its notes are those of the steps."""
    def probe(side):
        polling = side.polling(path=path)
        if join and path == '/socket.io/':
            polling.connect()
        notes = []
        for step in steps:
            notes.append(step(polling))
        return notes
    return probe


def short(response):
    return [response.status, normal(response.body.decode('latin-1'))]


def post(body, *fields):
    return lambda polling: short(polling.post(body, *fields))


def post_answer(body, *fields):
    return lambda polling: note_response(polling.post(body, *fields))


def get(*fields):
    return lambda polling: short(polling.get(*fields))


def get_answer(*fields):
    return lambda polling: note_response(polling.get(*fields))


def get_coding(coding):
    def step(polling):
        response = polling.get(f'Accept-Encoding: {coding}')
        coded = response.fields.get('content-encoding')
        body = {None: bytes, 'gzip': gzip.decompress, 'deflate': zlib.decompress}[coded](response.body)
        return [response.status, coded, response.fields.get('content-type'), len(body)]
    return step


def end_of_session(polling):
    """Polls until the session is refused: what came, and the refusal.  Only what a close says may come."""
    notes = []
    for _ in range(3):
        response = polling.get()
        if response.status != 200:
            return [*notes, *short(response)]
        notes.append(normal(response.body.decode()))
    return notes


def packets(count):
    """The next packets, but for pings and noops; or what the poll was refused with."""
    def step(polling):
        try:
            return [normal(packet) for packet in polling.read_packets(count)]
        except AssertionError as error:
            return str(error)
    return step


def other_method(method, body=None):
    return lambda polling: note_response(polling.ask(method, body=body))


def with_query(query, method='GET', body=None):
    def step(polling):
        before = polling.query
        polling.query = query.replace('SID', polling.sid)
        try:
            return short(polling.ask(method, body=body))
        finally:
            polling.query = before
    return step


def overlapping_gets(polling):
    with polling.pending_get() as first:
        return [short(polling.get()), short(first.response()), short(polling.get())]


def overlapping_posts(polling):
    with polling.start('POST', 'Content-Length: 10', 'Expect: 100-continue') as first:
        notes = [first.read_until(b'\r\n\r\n').decode()]
        first.send('4')
        notes.append(short(polling.post('4a')))
        notes.append(ended(first))
    return [*notes, short(polling.get())]


def pending_get_gets(body):
    """What a pending GET is answered when that is posted."""
    def step(polling):
        with polling.pending_get() as pending:
            posted = short(polling.post(body))
            return [posted, short(pending.response())]
    return step


def abort_get(polling):
    with polling.pending_get():
        pass
    # The news takes its time, as over any network.
    while (response := polling.get()).status != 400 or not response.body:
        pass
    return short(response)


def pipelined(*bodies):
    """GETs (None) and POSTs, all sent at once."""
    def step(polling):
        with polling.connection() as connection:
            for body in bodies:
                if body is None:
                    connection.send(http('GET', f'/socket.io/?{polling.query}'))
                else:
                    connection.send(http('POST', f'/socket.io/?{polling.query}', (f'Content-Length: {len(body)}',), body))
            if bodies[0] is None:  # it may be held: a POST behind all that shows that they have been read
                polling.send('3')
                connection.socket.settimeout(MOMENT)
            return answers(connection, len(bodies))
    return step


def chunked(*chunks, tail=b'0\r\n\r\n'):
    def step(polling):
        with polling.start('POST', 'Transfer-Encoding: chunked') as connection:
            for chunk in chunks:
                connection.send(b'%x\r\n%s\r\n' % (len(chunk), chunk))
            connection.send(tail)
            return answers(connection)
    return step


# -- WebSocket

SYNC = object()  # among messages: wait until the server has read those before it; a pattern: until it has said that


def a_frame(peer):
    """(opcode, payload), with whatever bits and lengths."""
    first, second = peer.read(2)
    length = second & 127
    if length == 126:
        length, = struct.unpack('>H', peer.read(2))
    elif length == 127:
        length, = struct.unpack('>Q', peer.read(8))
    return first & 15, peer.read(length)


def frames(peer, last=None):
    """Frames up to the text that is the last, or to the server's end."""
    notes = []
    try:
        while not notes or notes[-1] != last:
            opcode, payload = a_frame(peer)
            if opcode == CLOSE:
                with contextlib.suppress(ConnectionError):
                    peer.send(frame(CLOSE, payload, mask=b'abcd'))
                code = struct.unpack('>H', payload[:2])[0] if payload else None
                return [*notes, f'Close {code}']
            notes.append(normal(payload.decode()) if opcode == TEXT else f'{opcode} {payload!r}')
        return notes
    except (Closed, ConnectionError):
        return [*notes, 'ended']


def say(peer, messages):
    """What came while it waited, where it had to."""
    notes = []
    try:
        for message in messages:
            if message is SYNC or isinstance(message, re.Pattern):
                if message is SYNC:
                    peer.send(frame(PING, b'sync', mask=b'abcd'))
                while True:
                    opcode, payload = a_frame(peer)
                    if (opcode, payload) == (PONG, b'sync'):
                        break
                    notes.append(normal(payload.decode()) if opcode == TEXT else f'{opcode} {payload!r}')
                    if message is not SYNC and message.match(notes[-1]):
                        break
            elif isinstance(message, tuple):  # bytes of frames as they are
                peer.send(message[0])
            elif isinstance(message, str):
                peer.send_text(message)
            else:
                peer.send_binary(message)
    except (Closed, ConnectionError):
        pass  # frames() will say so
    return notes


def told(peer, *messages, path='/socket.io/'):
    """What is said to these messages in a session that has joined nothing."""
    question, answer = ('4last', '4last') if path == '/engine.io/' else ('40/last,', '44/last,{"message":"Invalid namespace"}')
    return [*say(peer, (*messages, question)), *frames(peer, answer)]


def websocket(*messages, path='/socket.io/'):
    """A probe of a session that has joined nothing."""
    def probe(side):
        with side.websocket(path=f'{path}?{WEBSOCKET}') as peer:
            return told(peer, *messages, path=path)
    return probe


def upgrade_request(query=WEBSOCKET, fields=(), path='/socket.io/'):
    """A probe: the answer to a handshake, and the first frames of what was opened."""
    def probe(side):
        with side.connection() as connection:
            connection.send(handshake(f'{path}?{query}', fields=fields))
            response = Response(connection)
            notes = note_response(response)
            if response.status != 101:
                return [*notes, ended(connection)]
            return [*notes, *told(opened(connection), path=path)]
    return probe


def opened(connection):
    """The WebSocket that a handshake on this connection has opened."""
    peer = WebSocket.__new__(WebSocket)
    peer.socket, peer.buffer = connection.socket, connection.buffer
    return peer


def spoken(*messages, connect='40'):
    """A probe: what a joined client is told; events in their order, acknowledgements behind them in the order of their ids."""
    def probe(side):
        with side.websocket() as peer:
            peer.send_text(connect)
            notes = [normal(peer.read_text())]
            if not notes[0].startswith('40'):
                return notes
            namespace = re.match(r'40(/[^,]*)?', connect)[1]
            namespace = f'{namespace},' if namespace and namespace != '/' else ''
            last = f'42{namespace}["echo","last"]'
            notes += say(peer, (*messages, f'42{namespace}987654["echo","last"]'))
            events = frames(peer, last)
            acks = [note for note in events if note.startswith('43')]
            if events[-1] != last:
                return [*notes, events[-1]]  # what was on its way may have been answered or not
            if f'43{namespace}987654[{{"ok":true}}]' not in acks:
                acks += frames(peer, f'43{namespace}987654[{{"ok":true}}]')
            return [*notes, *(note for note in events if not note.startswith('43')), *sorted(acks)]
    return probe


def upgrade(*steps):
    """A probe of an upgrade; steps get the polling session and its WebSocket."""
    def probe(side):
        polling = side.polling()
        polling.connect()
        with polling.websocket() as peer:
            return [step(polling, peer) for step in steps]
    return probe


def ws_says(*messages, hears=None):
    """What is heard up to that text, or to the end."""
    def step(_, peer):
        return [*say(peer, messages), *frames(peer, hears)]
    return step


def ws_closes(polling, peer):
    del polling
    return frames(peer)


def ws_drops(polling, peer):
    del polling
    peer.socket.close()
    return None


def polls(step):
    return lambda polling, peer: step(polling)


def second_websocket(polling, peer):
    del peer
    with Connection(polling.server.ports[0]) as connection:
        connection.send(handshake(polling.websocket_path()))
        response = Response(connection)
        if response.status != 101:
            return note_response(response)
        return [response.status, *frames(opened(connection))]


def again_until(wanted):
    """Another attempt at upgrading, as soon as the first one's end is known."""
    def step(polling, peer):
        del peer
        while True:
            with polling.websocket() as another:
                say(another, ['2probe'])
                notes = frames(another, wanted)
                if wanted in notes:
                    return notes
    return step
