"""A bare WebSocket client for tests: PyPI's websocket-client, and one JSON object a frame.

It needs tests/conformance on the path, for programs.py.
"""
import json
import os
import ssl
import urllib.parse

import programs
import websocket


class Closed(Exception):
    """The server has closed: code (1006 when the connection just ended) and reason."""

    def __init__(self, code, reason=''):
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class Bare:
    """A client in its room: opened is the first frame."""

    def __init__(self, port, room='R', query='', opens=True, **options):
        quoted = '' if room is None else f'room={urllib.parse.quote(room)}'
        scheme = 'ws'
        if os.environ.get('HUBBUB_TLS'):
            scheme, options['sslopt'] = 'wss', {'cert_reqs': ssl.CERT_NONE}
        try:
            self.socket = websocket.create_connection(f'{scheme}://127.0.0.1:{port}/ws?{quoted}{query}',
                                                      timeout=programs.PATIENCE, **options)
        except websocket.WebSocketConnectionClosedException:  # before its handshake was answered
            raise Closed(1006) from None
        self.refs = 0
        self.events = []  # that came while something else was awaited
        if opens:
            self.opened = self.receive()
            assert self.opened['type'] == 'open', self.opened

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.shutdown()

    def send(self, **frame):
        self.socket.send(json.dumps(frame))

    def receive(self):
        """The next frame, or Closed."""
        while True:
            try:
                opcode, data = self.socket.recv_data(control_frame=True)
            except (websocket.WebSocketConnectionClosedException, ConnectionError):
                raise Closed(1006) from None
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                raise Closed(int.from_bytes(data[:2], 'big') if data else 1005, data[2:].decode())
            if opcode == websocket.ABNF.OPCODE_TEXT:
                return json.loads(data)
            assert opcode == websocket.ABNF.OPCODE_PING, opcode  # websocket-client answers

    def event(self):
        """The next event frame."""
        return self.events.pop(0) if self.events else self.receive()

    def ask(self, **frame):
        """Sends it with a ref; the acknowledgement."""
        self.refs += 1
        self.send(ref=self.refs, **frame)
        while True:
            answer = self.receive()
            if answer['type'] == 'ack':
                assert answer.pop('ref') == self.refs, answer
                del answer['type']
                return answer
            self.events.append(answer)

    def closed(self):
        """Reads on to the end: the Closed."""
        try:
            while True:
                self.events.append(self.receive())
        except Closed as end:
            return end
