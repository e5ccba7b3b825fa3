"""A client that sends exactly the bytes it is told to: HTTP/1.1, WebSocket (RFC 6455), Engine.IO, Socket.IO."""
import base64
import contextlib
import hashlib
import itertools
import json
import os
import socket
import ssl
import struct
import time

TLS = bool(os.environ.get('HUBBUB_TLS'))  # clients speak it, and take whatever certificate they find
PATIENCE = float(os.environ.get('HUBBUB_PATIENCE', 60))  # seconds that anything awaited may take

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
HANDSHAKE_PATH = '/socket.io/?EIO=4&transport=websocket'
KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
MOMENT = 0.1  # seconds in which nothing comes, where that is what is awaited


class Closed(Exception):
    """The peer has ended the connection."""


class TooLate(Exception):
    """A short time limit of the server was over before the test had done what must come before it."""


@contextlib.contextmanager
def before_time_is_up():
    """Around what a server with short time limits may refuse when the machine has stood still for so long."""
    try:
        yield
    except (AssertionError, Closed, ConnectionError) as error:
        raise TooLate(repr(error)) from error


def in_time(attempt):
    """What attempt() gives; once more from the beginning whenever it was TooLate."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return attempt()
        except TooLate:
            if time.monotonic() > end:
                raise


def tls_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Connection:
    """A TCP connection with a buffer; over TLS if the tests are."""

    def __init__(self, port, host='127.0.0.1'):
        self.socket = socket.create_connection((host, port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if TLS:
            self.socket = tls_context().wrap_socket(self.socket)
        self.buffer = b''

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b''
        if not data:
            raise Closed(f'with {self.buffer!r} unread')
        self.buffer += data

    def read(self, length):
        while len(self.buffer) < length:
            self._more()
        data, self.buffer = self.buffer[:length], self.buffer[length:]
        return data

    def read_until(self, mark):
        while mark not in self.buffer:
            self._more()
        data, self.buffer = self.buffer.split(mark, 1)
        return data

    def read_end(self):
        """Everything up to the peer's end."""
        try:
            while True:
                self._more()
        except Closed:
            data, self.buffer = self.buffer, b''
            return data

    def peer_ended(self):
        return self.read_end() == b''

    def response(self, head_only=False):
        return Response(self, head_only)


class Response:
    """One HTTP response: status, reason, fields (lower case), body."""

    def __init__(self, connection, head_only=False):
        head = connection.read_until(b'\r\n\r\n').decode('latin-1').split('\r\n')
        version, status, self.reason = head[0].split(' ', 2)
        assert version == 'HTTP/1.1', head[0]
        self.status = int(status)
        self.fields = {}
        for line in head[1:]:
            name, _, value = line.partition(':')
            name, value = name.lower(), value.strip()
            assert name not in self.fields or name == 'vary', f'{name} stands there twice'
            self.fields[name] = f'{self.fields[name]}, {value}' if name in self.fields else value
        if head_only or self.status in (101, 204, 304):
            self.body = b''
        elif self.fields.get('transfer-encoding') == 'chunked':
            self.body = read_chunks(connection)
        elif 'content-length' not in self.fields and self.fields.get('connection') == 'close':
            self.body = connection.read_end()
        else:
            self.body = connection.read(int(self.fields['content-length']))

    @property
    def json(self):
        return json.loads(self.body)


def read_chunks(connection):
    body = b''
    while True:
        length = int(connection.read_until(b'\r\n').split(b';')[0], 16)
        body += connection.read(length)
        assert connection.read(2) == b'\r\n'
        if not length:
            return body


def request(port, text, host='127.0.0.1'):
    """Sends one request as it is, and reads one response."""
    with Connection(port, host) as connection:
        connection.send(text)
        return connection.response(head_only=text.startswith('HEAD'))


def get(port, path, *fields, method='GET'):
    return request(port, '\r\n'.join([f'{method} {path} HTTP/1.1', 'Host: test', *fields, '', '']))


def accept_for(key):
    return base64.b64encode(hashlib.sha1((key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').encode()).digest()).decode()


def handshake(path=HANDSHAKE_PATH, key=KEY, fields=()):
    return '\r\n'.join([f'GET {path} HTTP/1.1', 'Host: test', 'Upgrade: websocket', 'Connection: Upgrade',
                        f'Sec-WebSocket-Key: {key}', 'Sec-WebSocket-Version: 13', *fields, '', '']).encode()


def masked(data, mask):
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)) if any(mask) else data


def frame(opcode, payload=b'', fin=True, rsv=0, mask=b'\0\0\0\0', length_bytes=None):
    """A client's frame; mask None leaves it unmasked, length_bytes 0, 2 or 8 forces the form of the length."""
    if isinstance(payload, str):
        payload = payload.encode()
    if length_bytes is None:
        length_bytes = 0 if len(payload) < 126 else 2 if len(payload) < 65536 else 8
    bit = 0x80 if mask is not None else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if length_bytes == 0:
        head += bytes([bit | len(payload)])
    elif length_bytes == 2:
        head += struct.pack('>BH', bit | 126, len(payload))
    else:
        head += struct.pack('>BQ', bit | 127, len(payload))
    return head + payload if mask is None else head + mask + masked(payload, mask)


def close_payload(code, reason=''):
    return struct.pack('>H', code) + (reason if isinstance(reason, bytes) else reason.encode())


class WebSocket(Connection):
    """An open Engine.IO session; with opens=False no open packet is awaited."""

    def __init__(self, port, fields=(), path=HANDSHAKE_PATH, first=b'', opens=True, host='127.0.0.1'):
        super().__init__(port, host)
        self.send(handshake(path, fields=fields) + first)
        self.answer = self.response()
        assert self.answer.status == 101, (self.answer.status, self.answer.body)
        assert self.answer.fields['sec-websocket-accept'] == accept_for(KEY)
        self.open = json.loads(self.read_text()[1:]) if opens else None

    def read_frame(self):
        """(opcode, payload) of the next frame, which must be whole, unmasked and in its shortest form."""
        first, second = self.read(2)
        assert first & 0x80 and not first & 0x70, f'first byte {first:#x}'
        assert not second & 0x80, 'a server masks nothing'
        length = second
        if second == 126:
            length, = struct.unpack('>H', self.read(2))
            assert length > 125
        elif second == 127:
            length, = struct.unpack('>Q', self.read(8))
            assert length > 65535
        return first & 15, self.read(length)

    def read_text(self):
        opcode, payload = self.read_frame()
        assert opcode == TEXT, (opcode, payload)
        return payload.decode()

    def send_text(self, text):
        self.send(frame(TEXT, text, mask=os.urandom(4)))

    def send_binary(self, data):
        self.send(frame(BINARY, data, mask=os.urandom(4)))

    def read_packets(self, count):
        """The next messages as a polling payload would have them; pings are answered and not counted."""
        packets = []
        while len(packets) < count:
            opcode, payload = self.read_frame()
            assert opcode in (TEXT, BINARY), (opcode, payload)
            if (opcode, payload) == (TEXT, b'2'):
                self.send_text('3')
            else:
                packets.append(payload.decode() if opcode == TEXT else payload)
        return packets

    def read_close(self):
        """The code of the server's Close frame (None without one), then the end of the connection."""
        opcode, payload = self.read_frame()
        assert opcode == CLOSE, (opcode, payload)
        assert len(payload) != 1
        with contextlib.suppress(ConnectionError):  # who waits for this answer does not wait forever
            self.send(frame(CLOSE, payload))
        assert self.peer_ended()
        return struct.unpack('>H', payload[:2])[0] if payload else None


class Client(WebSocket):
    """Socket.IO on top: connected to "/" unless told otherwise."""

    def __init__(self, port, connect=True, auth=None):
        super().__init__(port)
        self.acks = 0
        if connect:
            self.send_text('40' + (json.dumps(auth) if auth is not None else ''))
            self.connected = json.loads(self.packet('40'))

    def packet(self, prefix):
        """What stands behind the prefix of the next message, which must have it; pings are answered."""
        while True:
            text = self.read_text()
            if text == '2':
                self.send_text('3')
                continue
            assert text.startswith(prefix), (prefix, text)
            return text[len(prefix):]

    def event(self):
        return json.loads(self.packet('42'))

    def emit(self, *arguments):
        self.send_text('42' + json.dumps(arguments))

    def call(self, *arguments):
        """Emits with an acknowledgement, and returns its one argument; events that come before it are dropped."""
        self.acks += 1
        self.send_text(f'42{self.acks}' + json.dumps(arguments))
        while True:
            text = self.packet('4')
            if text.startswith('3'):
                break
        head = f'3{self.acks}['
        assert text.startswith(head), text
        answer = json.loads(text[len(head) - 1:])
        assert len(answer) == 1, answer
        return answer[0]


class Placement:
    """Which gateway each request of a session goes to: 0 is its home, 1 the other one."""

    def __init__(self, name, requests, websocket):
        self.name, self.requests, self.websocket = name, requests, websocket


HOME = Placement('at_home', [0], 0)
ALTERNATING = Placement('alternating', [1, 0], 0)
AWAY = Placement('away', [1], 1)
CROSSING = Placement('crossing', [0], 1)


class Polling:
    """An Engine.IO session over HTTP long-polling: each request on a connection of its own, placed as told."""

    def __init__(self, server, place=HOME, path='/socket.io/', query='', fields=(), host='127.0.0.1'):
        self.server, self.place, self.path, self.host, self.fields = server, place, path, host, fields
        self.turns = itertools.cycle(place.requests)
        self.query = 'EIO=4&transport=polling' + query
        self.acks = 0
        response = request(server.ports[0], self._head('GET') + '\r\n', host)
        assert response.status == 200, (response.status, response.body)
        assert response.body[:1] == b'0', response.body
        self.open = json.loads(response.body[1:])
        self.sid = self.open['sid']
        self.query += f'&sid={self.sid}'
        self.unread = []

    def _head(self, method, *fields):
        return '\r\n'.join([f'{method} {self.path}?{self.query} HTTP/1.1', 'Host: test', *self.fields, *fields, ''])

    def connection(self, port=None):
        return Connection(self.server.ports[next(self.turns)] if port is None else port, self.host)

    def start(self, method, *fields, body=None, port=None):
        """Sends a request; the connection whose response() is the answer."""
        connection = self.connection(port)
        body = body.encode() if isinstance(body, str) else body
        if body is not None:
            fields += (f'Content-Length: {len(body)}',)
        connection.send((self._head(method, *fields) + '\r\n').encode() + (body or b''))
        return connection

    def ask(self, method, *fields, body=None, port=None):
        with self.start(method, *fields, body=body, port=port) as connection:
            return connection.response(head_only=method == 'HEAD')

    def start_get(self, *fields):
        return self.start('GET', *fields)

    @contextlib.contextmanager
    def pending_get(self):
        """A GET that the session holds: a POST that took the same way behind it is answered, and nothing has come to it."""
        port = self.server.ports[next(self.turns)]
        with self.start('GET', port=port) as pending:
            behind = self.ask('POST', body='3', port=port)
            assert (behind.status, behind.body) == (200, b'ok'), (behind.status, behind.body)
            pending.socket.settimeout(MOMENT)
            try:
                answer = pending.response()
            except TimeoutError:
                pass
            else:
                raise AssertionError(f'it is answered: {answer.status} {answer.body}')
            pending.socket.settimeout(PATIENCE)
            yield pending

    def get(self, *fields):
        return self.ask('GET', *fields)

    def post(self, body, *fields):
        return self.ask('POST', *fields, body=body)

    def poll(self):
        """The packets of the next answer to a GET."""
        response = self.get()
        assert response.status == 200, (response.status, response.body)
        return response.body.decode().split('\x1e')

    def send(self, *packets):
        """One POST; bytes travel as base64."""
        texts = [packet if isinstance(packet, str) else 'b' + base64.b64encode(packet).decode() for packet in packets]
        response = self.post('\x1e'.join(texts))
        assert (response.status, response.body) == (200, b'ok'), (response.status, response.body)

    def read_packets(self, count):
        """The next packets, binary ones as bytes, by as many GETs as they take; pings are answered and not counted."""
        end = time.monotonic() + PATIENCE
        while len(self.unread) < count:
            assert time.monotonic() < end, f'{len(self.unread)} of {count} packets: {self.unread}'
            for packet in self.poll():
                if packet == '2':
                    self.send('3')
                elif packet != '6':
                    self.unread.append(base64.b64decode(packet[1:]) if packet.startswith('b') else packet)
        packets, self.unread = self.unread[:count], self.unread[count:]
        return packets

    def connect(self, namespace='', auth=''):
        """Joins a namespace ("/name," or nothing); its socket's id."""
        self.send('40' + namespace + auth)
        answer, = self.read_packets(1)
        assert answer.startswith('40' + namespace + '{'), answer
        return json.loads(answer[2 + len(namespace):])['sid']

    def call(self, *arguments):
        """Emits with an acknowledgement, and returns its one argument; other packets before it are dropped."""
        self.acks += 1
        self.send(f'42{self.acks}' + json.dumps(arguments))
        head = f'43{self.acks}['
        while True:
            packet, = self.read_packets(1)
            if not isinstance(packet, bytes) and packet.startswith(head):
                return json.loads(packet[len(head) - 1:])[0]

    def websocket_path(self):
        return self.path + '?' + self.query.replace('transport=polling', 'transport=websocket')

    def websocket(self):
        """A WebSocket with this session's id, where the placement wants it; nothing is said on it yet."""
        return WebSocket(self.server.ports[self.place.websocket], path=self.websocket_path(), opens=False,
                         host=self.host, fields=self.fields)

    def probed(self):
        """The same after the probe."""
        websocket = self.websocket()
        websocket.send_text('2probe')
        answer = websocket.read_text()
        assert answer == '3probe', answer
        return websocket

    def gone(self):
        """Whether the session is no more.  That one which had moved has ended has a way to go to its first gateway."""
        end = time.monotonic() + PATIENCE
        while True:
            response = self.get()
            if (response.status, response.body) != (400, b'{"code":3,"message":"Bad request"}') or time.monotonic() > end:
                break
        return (response.status, response.body) == (400, b'{"code":1,"message":"Session ID unknown"}')
