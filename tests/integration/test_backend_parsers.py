#!/usr/bin/env python3
"""A backend and clients that speak differently, with a whole stack: Socket.IO as text and as msgpack, and bare
WebSockets. The backend is played, at the level of records.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""
import base64
import json
import pathlib
import sys
import time
import types
import unittest

import msgpack

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / 'conformance'), str(TESTS / 'support')]
import programs  # noqa: E402
from bare import Bare, Closed  # noqa: E402
from played_backend import ARCHIVED, META, VOLATILE_CLASS, Backend  # noqa: E402
from played_gateway import Router  # noqa: E402
from raw_client import BINARY, TEXT, WebSocket  # noqa: E402

EVENT, ACK = 2, 3
PACKED = '/msgpack/?EIO=4&transport=websocket'
BYTES = b'\x00\xff'
CONFIG = """
router = { dead = "60 s"; backend_wait = "300 ms"; };
namespaces = ( { name = "/"; backend = true; }, { name = "/app"; builtin = false; recovery = false; } );
"""


def strip(value, attachments, keep):
    """The value with placeholders for its binary, which goes to attachments, or the other way."""
    if keep and isinstance(value, dict) and value.get('_placeholder') is True:
        return attachments[value['num']]
    if not keep and isinstance(value, bytes):
        attachments.append(value)
        return {'_placeholder': True, 'num': len(attachments) - 1}
    if isinstance(value, list):
        return [strip(one, attachments, keep) for one in value]
    if isinstance(value, dict):
        return {key: strip(one, attachments, keep) for key, one in value.items()}
    return value


def to_record(*arguments):
    """(arguments, attachments) as records have them."""
    attachments = []
    stripped = strip(list(arguments), attachments, False)
    return json.dumps(stripped, separators=(',', ':'))[1:-1], attachments


def of_record(record):
    """The arguments of a record, with their binary."""
    arguments = json.loads(f'[{record.arguments}]')
    return strip(arguments, record.attachments, True) if record.attachments else arguments


class SocketIO:
    """What both parsers have in common."""

    answers = True

    def connect(self):
        self.send(0, None)

    def connected(self):
        self.sid = self.receive(0)['data']['sid']

    def emit(self, event, *arguments, ack=None):
        self.send(EVENT, [event, *arguments], ack)

    def event(self):
        """(event, arguments, ack id) of the next event."""
        packet = self.receive(EVENT)
        return packet['data'][0], packet['data'][1:], packet.get('id')

    def answer(self, ack, *arguments):
        self.send(ACK, list(arguments), ack)

    def acknowledged(self, ack):
        packet = self.receive(ACK)
        assert packet['id'] == ack, packet
        return packet['data']

    def frame(self, opcode):
        while True:
            got, payload = self.socket.read_frame()
            if (got, payload) != (TEXT, b'2'):
                assert got == opcode, (got, payload)
                return payload
            self.socket.send_text('3')


class Text(SocketIO):
    def __init__(self, port):
        self.socket = WebSocket(port)

    def send(self, kind, data, ack=None):
        attachments = []
        stripped = strip(data, attachments, False)
        head = f'{kind + 3}{len(attachments)}-' if attachments else str(kind)
        self.socket.send_text(f'4{head}{"" if ack is None else ack}{"" if data is None else json.dumps(stripped)}')
        for attachment in attachments:
            self.socket.send_binary(attachment)

    def receive(self, kind):
        text = self.frame(TEXT).decode()[1:]
        count, binary = 0, int(text[0]) > 4
        if binary:
            count, _, rest = text[1:].partition('-')
        else:
            rest = text[1:]
        assert int(text[0]) - 3 * binary == kind, text
        at = min(rest.index(bracket) for bracket in '[{' if bracket in rest)
        attachments = [self.frame(BINARY) for _ in range(int(count))]
        data = json.loads(rest[at:])
        return {'data': strip(data, attachments, True) if binary else data, **({'id': int(rest[:at])} if at else {})}


class Packed(SocketIO):
    def __init__(self, port):
        self.socket = WebSocket(port, path=PACKED)

    def send(self, kind, data, ack=None):
        packet = dict(type=kind, nsp='/', **({} if data is None else {'data': data}), **({} if ack is None else {'id': ack}))
        self.socket.send_binary(msgpack.packb(packet))

    def receive(self, kind):
        packet = msgpack.unpackb(self.frame(BINARY))
        assert (packet['type'], packet['nsp']) == (kind, '/'), packet
        return packet


class BareOne:
    """A bare client, which sends no binary; it gets base64."""

    answers = False

    def __init__(self, port):
        self.client = Bare(port, 'lobby', opens=False)
        self.socket = types.SimpleNamespace(socket=self.client.socket)

    def connect(self):
        pass

    def connected(self):
        opened = self.client.receive()
        assert (opened['type'], opened['room']) == ('open', 'lobby'), opened
        self.sid = opened['sid']

    def emit(self, event, *arguments, ack=None):
        data = {'data': arguments[0]} if arguments else {}
        self.client.send(event=event, **data, **({} if ack is None else {'ref': ack}))

    @staticmethod
    def whole(frame):
        attachments = [base64.b64decode(text) for text in frame.get('attachments', [])]
        return strip(frame['args'], attachments, True) if attachments else frame['args']

    def event(self):
        frame = self.client.receive()
        assert frame['type'] == 'event', frame
        arguments = self.whole(frame)
        return frame['event'], arguments + ([frame['meta']] if 'meta' in frame else []), None

    def acknowledged(self, ack):
        frame = self.client.receive()
        assert (frame['type'], frame['ref']) == ('ack', ack), frame
        return self.whole(frame) if 'args' in frame else [{key: frame[key] for key in frame if key not in ('type', 'ref')}]


class Parsers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = programs.Stack({'msgpack_path': '"/msgpack/"'}, CONFIG)
        cls.router = Router(cls.stack.folder)
        cls.router.endpoint = f'ipc://{cls.stack.folder}/data/router.ipc'
        cls.router.stats = f'{cls.stack.folder}/data/stats.sock'

    @classmethod
    def tearDownClass(cls):
        cls.stack.close()

    def setUp(self):
        self.backend = Backend(self.router, self.id(), ['/'])
        self.backend.peers = [self.backend]
        self.backend.serve()
        self.addCleanup(self.leave, self.backend)
        self.request = 0

    def leave(self, backend):
        """The router knows of it: it would give the next test's clients to this one."""
        backend.send(('LEAVING', 'end of test'))
        end = time.monotonic() + programs.PATIENCE
        while backend.name in (line.split(' ')[0] for line in self.router.ask('backends')[0].splitlines()):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)
        backend.close()

    def begin(self, make):
        client = make(self.stack.port)
        self.addCleanup(client.socket.socket.close)
        client.connect()
        return client

    def client(self, make):
        client = self.begin(make)
        self.backend.accept()
        client.connected()
        if make is BareOne:
            self.backend.take('ENTERED')
        else:
            client.emit('join', 'lobby', ack=0)
            assert client.acknowledged(0)[0]['ok'] is True
            self.backend.take('ENTERED')
        return client

    def clients(self):
        return [self.client(make) for make in (Text, Packed, BareOne)]

    def ask(self, name, *fields):
        self.request += 1
        self.backend.send((name, self.request, *fields))
        return self.request

    def send(self, event, *arguments, rooms=('lobby',), but=(), kind=VOLATILE_CLASS, flags=0):
        text, attachments = to_record(*arguments)
        self.ask('SEND', '/', list(rooms), list(but), kind, flags, '', event, text, attachments)

    def test_events_without_a_rule_and_their_answers(self):
        for make in (Text, Packed, BareOne):
            with self.subTest(client=make.__name__):
                client = self.client(make)
                given = [{'a': [1.5, 'é', None]}] if make is BareOne else [{'a': BYTES}, 'é', [b'', 5]]
                client.emit('work', *given, ack=7)
                call = self.backend.call('work')
                self.assertEqual((call.sid, of_record(call), call.flags), (client.sid, given, 1))
                text, attachments = to_record(1, {'b': BYTES}, 'z')
                self.backend.send(('HANDLED', call.task, 1, text, attachments))
                self.assertEqual(client.acknowledged(7), [1, {'b': BYTES}, 'z'])
                client.emit('work', ack=8)
                self.backend.handle(self.backend.call('work'))
                self.assertEqual(client.acknowledged(8), [])
                client.emit('work', 5)
                call = self.backend.call('work')
                self.assertEqual((of_record(call), call.flags), ([5], 0))
                self.backend.done(call)

    def test_what_a_backend_sends(self):
        clients = self.clients()
        for binary in (5, BYTES):
            self.send('news', 'one', {'two': binary})
            for at, client in enumerate(clients):
                event, arguments, ack = client.event()
                self.assertEqual((event, arguments[:2], ack), ('news', ['one', {'two': binary}], None), at)
        for without in clients:
            self.send('part', 1, but=[without.sid])
            self.send('part', 2, rooms=[])
            self.send('part', 3, rooms=[without.sid])
            for client in clients:
                expected = [2, 3] if client is without else [1, 2]
                self.assertEqual([client.event()[1][0] for _ in expected], expected)

    def test_a_message_that_is_numbered(self):
        clients = self.clients()
        self.send('kept', 'one', kind=ARCHIVED, flags=META)
        metas = [client.event()[1][1] for client in clients]
        self.assertEqual({(meta['room'], meta['seq']) for meta in metas}, {('lobby', metas[0]['seq'])})
        self.assertFalse(any('from' in meta for meta in metas))
        late = Bare(self.stack.port, 'lobby', f'&after={metas[0]["seq"] - 1}', opens=False)
        self.addCleanup(late.socket.shutdown)
        self.backend.accept()
        self.assertEqual(late.receive()['type'], 'open')
        self.assertEqual(late.receive(), {'type': 'event', 'event': 'kept', 'args': ['one'], 'meta': metas[0]})

    def test_questions(self):
        clients = self.clients()
        text, attachments = to_record('why', BYTES)
        question = self.ask('QUESTION', '/', ['lobby'], [], 60000, 'ask', text, attachments)
        self.assertEqual(set(self.backend.take('ASKED').sids), {client.sid for client in clients})
        for client in clients:
            event, arguments, ack = client.event()
            self.assertEqual((event, arguments, ack is not None), ('ask', ['why', BYTES], client.answers))
            if ack is not None:
                client.answer(ack, client.sid, [BYTES])
                reply = self.backend.take('REPLY')
                self.assertEqual((reply.number, reply.sid, of_record(reply)), (question, client.sid, [client.sid, [BYTES]]))
        # To one alone, and what JSON has nothing for is no answer.
        for client in clients[:2]:
            self.ask('QUESTION', '/', [client.sid], [], 60000, 'ask', '')
            self.backend.take('ASKED')
            _, arguments, ack = client.event()
            self.assertEqual(arguments, [])
            if isinstance(client, Packed):
                client.answer(ack, msgpack.Timestamp(1, 1))
            client.answer(ack)
            self.assertEqual(of_record(self.backend.take('REPLY')), [])
        self.backend.none('REPLY')

    def test_a_bare_client_waits_for_the_backends_word(self):
        client = self.begin(BareOne)
        client.emit('msg', 'early', ack=1)
        client.emit('work', 'early', ack=2)
        connection = self.backend.connection()
        self.assertIn('"url":"/ws?room=lobby"', connection.handshake)
        self.backend.none('CALL', 'ENTERED', patience=0.5)
        self.backend.send(('ACCEPT', connection.task, ''))
        client.connected()
        self.assertEqual(self.backend.take('ENTERED').room, 'lobby')
        self.backend.handle(self.backend.call('work'), 'late')
        frames = [client.client.receive() for _ in range(3)]
        self.assertEqual(sorted(frame['type'] for frame in frames), ['ack', 'ack', 'event'])
        self.assertEqual({frame['ref']: frame['ok'] for frame in frames if 'ref' in frame}, {1: True, 2: True})

    def test_a_bare_client_that_is_not_let_in(self):
        for error, expected in ((dict(message='not you'), (4403, 'forbidden')),
                                (dict(message='later', data=dict(code='busy', message='full')), (4451, 'busy'))):
            client = self.begin(BareOne)
            self.backend.send(('REJECT', self.backend.connection().task, json.dumps(error)))
            end = client.client.closed()
            self.assertEqual((end.code, end.reason.split(':')[0]), expected)

    def test_bare_clients_that_are_thrown_out(self):
        for way, code in ((0, 4410), (1, 4410), (2, 4453)):
            client = self.client(BareOne)
            self.ask('EXPEL', '/', [client.sid], [], way)
            self.assertEqual(client.client.closed().code, code)
            self.backend.take('DISCONNECTION', where=lambda record, sid=client.sid: record.sid == sid)

    def test_a_namespace_that_is_a_backends(self):
        other = Backend(self.router, 'app', ['/app'])
        other.peers = [self.backend, other]
        other.serve()
        self.addCleanup(self.leave, other)
        client = Bare(self.stack.port, None, 'namespace=/app', opens=False)
        self.addCleanup(client.socket.shutdown)
        sid = other.accept().sid
        self.assertEqual(client.receive(), {'type': 'open', 'sid': sid, 'from': f'anon:{sid}'})
        client.send(event='join', data='R', ref=1)
        call = other.call('join')
        self.assertEqual(of_record(call), ['R'])
        other.send(('MOVE', 1, '/app', [sid], [], ['R'], []))
        other.take('OUTCOME')
        other.handle(call, {'ok': True, 'room': 'R'})
        self.assertEqual(client.receive(), {'type': 'ack', 'ref': 1, 'ok': True, 'room': 'R'})
        other.send(('SEND', 2, '/app', ['R'], [], VOLATILE_CLASS, 0, '', 'hello', '1'))
        self.assertEqual(client.receive(), {'type': 'event', 'event': 'hello', 'args': [1]})
        self.assertEqual(client.ask(type='join', room='R')['error']['code'], 'unknown_event')

    def test_a_bare_client_without_a_backend(self):
        client = Bare(self.stack.port, None, 'namespace=/app', opens=False)
        self.addCleanup(client.socket.shutdown)
        with self.assertRaises(Closed) as end:
            client.receive()
        self.assertEqual(end.exception.code, 4450)


if __name__ == '__main__':
    unittest.main()
