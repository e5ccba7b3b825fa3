"""Little that becomes much: compressed bombs, nesting, and packets that announce more than they bring.

    compressed bombs                  Compressed.*
    100,000 brackets                  Nested.*
    announced, and never sent         Announced.*
"""
import contextlib
import json
import unittest
import zlib

from attack import Figures, serves
from programs import Stack
from raw_client import BINARY, CLOSE, TEXT, Client, Connection, Polling, WebSocket, frame, handshake

LIMIT = 100000
DEPTH = 100000
DEFLATE = ('Sec-WebSocket-Extensions: permessage-deflate',)


def setUpModule():
    global stack
    stack = Stack({'compression': 'true', 'max_payload': LIMIT * 10, 'ping_interval': 60000, 'msgpack_path': '"/msgpack/"', 'max_auth': 65536})


def tearDownModule():
    stack.close()


def squeeze(data):
    """As a message of permessage-deflate (RFC 7692 7.2.1)."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Compressed(unittest.TestCase):
    def closes(self, payload, code, opcode=TEXT):
        with WebSocket(stack.port, fields=DEFLATE) as websocket:
            self.assertIn('permessage-deflate', websocket.answer.fields['sec-websocket-extensions'])
            websocket.send(frame(opcode, payload, rsv=4))
            kind, answer = websocket.read_frame()
            self.assertEqual((kind, int.from_bytes(answer[:2], 'big')), (CLOSE, code))

    def test_a_message_that_inflates_beyond_the_limit(self):
        figures = Figures(stack)
        bomb = squeeze(b'4' + b'x' * (200 << 20))
        self.assertLess(len(bomb), LIMIT * 10)
        for _ in range(10):
            self.closes(bomb, 1009)
        figures.wait_for('hubbub_closed_total{reason=websocket_message_too_large}', 10)
        self.assertLess(figures.grown(), figures.bound(16))
        serves(stack)

    def test_a_bomb_in_many_fragments(self):
        bomb = squeeze(b'4' + b'x' * (20 << 20))
        with WebSocket(stack.port, fields=DEFLATE) as websocket:
            parts = [bomb[i:i + 1000] for i in range(0, len(bomb), 1000)]
            websocket.send(b''.join(frame(TEXT if i == 0 else 0, part, fin=i == len(parts) - 1, rsv=4 if i == 0 else 0)
                                    for i, part in enumerate(parts)))
            kind, answer = websocket.read_frame()
            self.assertEqual((kind, int.from_bytes(answer[:2], 'big')), (CLOSE, 1009))

    def test_exactly_the_limit_passes(self):
        with WebSocket(stack.port, fields=DEFLATE) as websocket:
            websocket.send_text('40')
            websocket.read_text()
            text = '421["nothing","' + 'x' * (LIMIT * 10 - 17) + '"]'
            self.assertEqual(len(text), LIMIT * 10)
            websocket.send(frame(TEXT, squeeze(text.encode()), rsv=4))
            self.assertIn('unknown_event', websocket.read_text())
            websocket.send(frame(TEXT, squeeze(text.replace('x', 'xx', 1).encode()), rsv=4))
            kind, answer = websocket.read_frame()
            self.assertEqual((kind, int.from_bytes(answer[:2], 'big')), (CLOSE, 1009))

    def test_what_is_no_deflate(self):
        for payload in (b'\xff' * 100, b'\x06\xff', squeeze(b'4x')[:-1] + b'\xff\xff'):
            self.closes(payload, 1007)

    def test_posts_are_not_inflated(self):
        """A body with Content-Encoding is what it is, not what it inflates to."""
        session = Polling(stack)
        answer = session.post(zlib.compress(b'4' + b'x' * (20 << 20), 9), 'Content-Encoding: gzip')
        self.assertNotEqual(answer.status, 413)
        self.assertTrue(session.gone())


class Nested(unittest.TestCase):
    BRACKETS = '[' * DEPTH

    def test_events(self):
        figures = Figures(stack)
        for arguments in (self.BRACKETS + ']' * DEPTH, '{"a":' * DEPTH + '1' + '}' * DEPTH):
            with Client(stack.port) as client:
                client.send_text('425["msg",' + arguments + ']')
                self.assertEqual(json.loads(client.packet('435'))[0]['error']['code'], 'too_deep')
        figures.wait_for('hubbub_refused_total{code=too_deep}', 2)

    def test_events_that_never_close(self):
        for arguments in (self.BRACKETS, '{"a":' * DEPTH, '["' * DEPTH):
            with Client(stack.port) as client:
                client.send_text('425["msg",' + arguments)
                kind = client.read_frame()[0]
                self.assertIn(kind, (CLOSE, TEXT))

    def test_connect(self):
        for text in ('40' + '{"a":' * 10000 + '1' + '}' * 10000, '40' + '[' * 50000, '40{"join":' + '[' * 50000 + ']' * 50000 + '}'):
            with Client(stack.port, connect=False) as client:
                client.send_text(text)
                client.read_frame()
        serves(stack)

    def test_placeholders(self):
        with Client(stack.port) as client:
            client.send_text('451-["msg",' + self.BRACKETS + '{"_placeholder":true,"num":0}' + ']' * DEPTH + ']')
            client.send(frame(BINARY, b'x'))
            client.read_frame()
        serves(stack)

    def test_msgpack(self):
        """Arrays of one array, in the msgpack parser."""
        packet = b'\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa3msg' + b'\x91' * DEPTH + b'\xc0'
        with WebSocket(stack.port, path='/msgpack/?EIO=4&transport=websocket') as websocket:
            websocket.send(frame(BINARY, b'\x82\xa4type\x00\xa3nsp\xa1/'))
            websocket.read_frame()
            websocket.send(frame(BINARY, packet))
            websocket.read_frame()
        serves(stack)

    def test_bare_websockets(self):
        with Connection(stack.port) as websocket:
            websocket.send(handshake('/ws?room=deep'))
            websocket.response()
            websocket.send(frame(TEXT, '{"data":' + self.BRACKETS + ']' * DEPTH + '}'))
            self.assertIn(b'nested deeper', websocket.read_end())

    def test_answers(self):
        with Client(stack.port) as client:
            client.send_text('431' + self.BRACKETS + ']' * DEPTH)
            self.assertEqual(client.read_frame()[0], CLOSE)
        serves(stack)


class Announced(unittest.TestCase):
    def test_attachments(self):
        figures = Figures(stack)
        for text in ('4510-["msg",{"_placeholder":true,"num":0}]', '4599999999999-["msg"]', '45-1-["msg"]', '4511-["msg"]'):
            with Client(stack.port) as client:
                client.send_text(text)
                with contextlib.suppress(ConnectionError):  # what is refused at once is not read for ever
                    for _ in range(11):
                        client.send(frame(BINARY, b'x' * 50000))
                client.read_frame()
        self.assertLess(figures.grown(), figures.bound(16))
        serves(stack)

    def test_lengths_of_msgpack(self):
        for data in (b'\xdd\xff\xff\xff\xff', b'\xdf\xff\xff\xff\xff', b'\x81\xa4type\xc6\xff\xff\xff\xff', b'\xdb\xff\xff\xff\xffxx',
                     b'\x81\xa4data\xdd\x7f\xff\xff\xff\x90'):
            with WebSocket(stack.port, path='/msgpack/?EIO=4&transport=websocket') as websocket:
                websocket.send(frame(BINARY, data))
                self.assertEqual(websocket.read_frame()[0], CLOSE)
        serves(stack)

    def test_very_long_numbers(self):
        with Client(stack.port) as client:
            client.call('join', 'numbers')
            for number in ('1' * 50000, '1e' + '9' * 50000, '0.' + '3' * 50000, '-' + '9' * 50000):
                self.assertTrue(client.call('presence', 'numbers')['ok'])
                client.send_text('427["msg",{"room":"numbers","n":' + number + '}]')
                while not (text := client.packet('4')).startswith('37'):
                    pass
                self.assertIn('"ok":true', text)


if __name__ == '__main__':
    unittest.main()
