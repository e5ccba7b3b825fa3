"""Bare WebSockets (docs/protocol.md, "Bare WebSocket") with a whole stack: two gateways, together with Socket.IO
clients, over restarts of the router and the loss of a gateway."""
import asyncio
import base64
import json
import os
import pathlib
import signal
import ssl
import subprocess
import sys
import threading
import time
import unittest

import aiohttp
import websocket

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / 'conformance'), str(TESTS / 'support')]
import programs  # noqa: E402
from bare import Bare, Closed  # noqa: E402
from raw_client import CLOSE, PING, TEXT, TLS, Client, WebSocket, close_payload, frame  # noqa: E402

RULES = """
namespaces = (
  { name = "/"; },
  { name = "/plain"; recovery = false; events = (
    { name = "msg"; room = "$.room"; deliver = "room"; archive = true; meta = false; },
    { name = "all"; deliver = "namespace"; meta = true; },
    { name = "me"; deliver = "self"; meta = false; },
    { name = "second"; room = "$2"; deliver = "room"; meta = true; }
  ); },
  { name = "/app"; builtin = false; },
  { pattern = "/shop-*"; }
);
"""


class BareTest(unittest.TestCase):
    OPTIONS = {}
    ROUTER = ''

    @classmethod
    def setUpClass(cls):
        cls.stack = programs.Stack(cls.OPTIONS, RULES + cls.ROUTER, gateways=2)

    @classmethod
    def tearDownClass(cls):
        cls.stack.close()

    def bare(self, gateway=0, room=None, **options):
        client = Bare(self.stack.ports[gateway], self.id() if room is None else room, **options)
        self.addCleanup(client.socket.shutdown)
        return client

    def refused(self, query, gateway=0):
        """How a connection with that query ends."""
        client = Bare(self.stack.ports[gateway], None, query, opens=False)
        self.addCleanup(client.socket.shutdown)
        end = client.closed()
        self.assertEqual(client.events, [])
        return end.code, end.reason.split(':')[0]

    def socketio(self, gateway=1, room=None):
        client = Client(self.stack.ports[gateway])
        self.addCleanup(client.socket.close)
        self.assertTrue(client.call('join', room or self.id())['ok'])
        return client

    def raw(self, query='', gateway=0, first=b'', fields=()):
        """A client whose bytes the test chooses; it has read the frame "open"."""
        peer = WebSocket(self.stack.ports[gateway], fields, f'/ws?room={self.id()}{query}', first, opens=False)
        self.addCleanup(peer.socket.close)
        self.assertEqual(json.loads(peer.read_text())['type'], 'open')
        return peer


class Together(BareTest):
    ROUTER = 'router = { backend_wait = "300 ms"; };'

    def test_both_kinds_share_a_room(self):
        room = self.id()
        one, two = self.bare(0), self.bare(1)
        other = self.socketio(1)
        self.assertEqual((one.opened['room'], one.opened['seq'], one.opened['members']), (room, 0, 1))
        self.assertEqual(two.opened['members'], 2)
        self.assertEqual(one.opened['from'], 'anon:' + one.opened['sid'])
        sent = {'text': 'Grüße "\\', 'n': 1.50}
        answer = one.ask(data=sent)
        self.assertEqual({**answer, 'id': '', 'at': 0}, {'ok': True, 'seq': 1, 'id': '', 'at': 0})
        expected = {'type': 'event', 'event': 'msg', 'args': [sent],
                    'meta': {'room': room, 'seq': 1, 'id': answer['id'], 'from': one.opened['from'], 'at': answer['at']}}
        self.assertEqual(one.event(), expected)
        self.assertEqual(two.event(), expected)
        name, argument, meta, _ = other.event()
        self.assertEqual((name, argument, meta), ('msg', sent, expected['meta']))
        answer = other.call('msg', {'room': room, 'text': 'back'})
        for client in (one, two):
            event = client.event()
            self.assertEqual((event['args'], event['meta']['seq']), ([{'room': room, 'text': 'back'}], 2))
        page = other.call('history', {'room': room})
        self.assertEqual(page, two.ask(type='history'))
        self.assertEqual([message['args'] for message in page['messages']], [[sent], [{'room': room, 'text': 'back'}]])

    def test_the_order_is_one(self):
        room = self.id()
        bare = [self.bare(0), self.bare(1)]
        others = [self.socketio(0), self.socketio(1)]
        for at in range(50):
            for client in bare:
                client.send(data=at)
            for client in others:
                client.emit('msg', {'room': room, 'at': at})
        seen = [[client.event()['meta']['id'] for _ in range(200)] for client in bare]
        seen += [[client.event()[2]['id'] for _ in range(200)] for client in others]
        self.assertEqual(len(set(seen[0])), 200)
        for ids in seen[1:]:
            self.assertEqual(ids, seen[0])

    def test_others_get_what_is_for_others(self):
        room = self.id()
        one, two = self.bare(0), self.bare(0)
        other = self.socketio(0)
        one.send(event='typing')
        self.assertEqual(two.event()['event'], 'typing')
        self.assertEqual(other.event()[0], 'typing')
        other.emit('typing', {'room': room})
        for client in (one, two):
            event = client.event()
            self.assertEqual((event['event'], event['args'], 'seq' in event['meta']), ('typing', [{'room': room}], False))

    def test_an_id_counts_once_for_both_kinds(self):
        room = self.id()
        one, other = self.bare(0), self.socketio(1)
        first = one.ask(data={'text': 1}, id='the same id')
        self.assertEqual(one.ask(data={'text': 2}, id='the same id'), first)
        self.assertEqual(other.call('msg', {'room': room, 'id': 'the same id'}), first)
        self.assertEqual(one.ask(data={'id': 'the same id'}), first)
        self.assertEqual(one.ask(data=3)['seq'], first['seq'] + 1)

    def test_further_rooms(self):
        one, two = self.bare(0), self.bare(1, self.id() + ' second')
        second = self.id() + ' second'
        self.assertEqual(one.ask(data=1, room=second)['error']['code'], 'not_joined')
        self.assertEqual(one.ask(type='join', room=second), {'ok': True, 'room': second, 'seq': 0, 'members': 2})
        two.send(data='hello')
        event = one.event()
        self.assertEqual((event['args'], event['meta']['room']), (['hello'], second))
        self.assertEqual(one.ask(type='presence', room=second)['members'], 2)
        self.assertEqual(one.ask(type='leave', room=second), {'ok': True, 'room': second})
        self.assertEqual(one.ask(data=1, room=second)['error']['code'], 'not_joined')
        self.assertEqual(one.ask(type='join', room=second, history=5, presence=True)['history'][0]['args'], ['hello'])
        self.assertEqual(one.event()['args'], [{'room': second, 'members': 2}])
        self.assertEqual(one.ask(type='leave'), {'ok': True, 'room': self.id()})
        self.assertEqual(one.ask(data=1)['error']['code'], 'not_joined')
        two.socket.close()
        self.assertEqual(one.event()['args'], [{'room': second, 'members': 1}])

    def test_attachments_of_socketio_clients(self):
        room = self.id()
        one, other = self.bare(0), self.socketio(1)
        text = json.dumps(['msg', {'room': room, 'file': {'_placeholder': True, 'num': 0}, 'more': {'_placeholder': True, 'num': 1}}])
        for _ in range(2):
            other.send_text('452-' + text)
            other.send_binary(b'\0\1\2')
            other.send_binary(b'')
        later = []
        for client in (one, one):
            event = client.event()
            self.assertEqual(event['attachments'], [base64.b64encode(b'\0\1\2').decode(), ''])
            self.assertEqual(event['args'][0]['more'], {'_placeholder': True, 'num': 1})
            later.append(event)
        again = self.bare(1, query='&after=0')
        self.assertEqual([again.event() for _ in range(2)], later)
        page = one.ask(type='history')
        self.assertEqual(page['attachments'], later[0]['attachments'] * 2)
        # What looks like a placeholder is data, when it comes in a frame.
        one.send(data={'_placeholder': True, 'num': 0})
        self.assertNotIn('attachments', one.event())

    def test_namespaces(self):
        one, two = self.bare(0, query='&namespace=/shop-1'), self.bare(1, query='&namespace=%2Fshop-1')
        self.bare(0, query='&namespace=/shop-2').send(data='elsewhere')
        one.send(data='here')
        self.assertEqual(two.event()['args'], ['here'])
        self.assertEqual(self.refused('room=R&namespace=/none'), (4404, 'no_namespace'))
        plain = self.bare(0, query='&namespace=/plain')
        self.assertEqual(plain.ask(data=1, id='12345678')['error']['code'], 'bad_request')
        self.assertEqual(plain.ask(data=1)['seq'], 1)
        self.assertNotIn('meta', plain.event())  # meta = false: as its rule says
        self.assertEqual(plain.ask(event='all', data=2), {'ok': True})
        event = plain.event()
        self.assertEqual((event['args'], event['meta']['room']), ([2], ''))
        plain.send(event='me', data=['e.1'])
        self.assertEqual(plain.event(), {'type': 'event', 'event': 'me', 'args': [['e.1']]})
        plain.send(event='second', data=3)
        self.assertEqual(plain.event()['meta']['room'], self.id())

    def test_a_namespace_that_is_the_applications(self):
        self.assertEqual(self.refused('room=R&namespace=/app'), (4403, 'forbidden'))
        self.assertEqual(self.refused('namespace=/app'), (4450, 'unavailable'))  # it has no backend

    def test_operators_see_it(self):
        one = self.bare(0)
        told = subprocess.run([programs.BUILD / 'cli' / 'hubbub', 'session', one.opened['sid'], '--data',
                               self.stack.folder / 'data'], capture_output=True, text=True, check=True).stdout
        self.assertIn(f'"url":"/ws?room={self.id()}"', told)
        self.assertIn(f'room {self.id()}', told)

    def test_operators_close_its_room_and_kick_it(self):
        def operate(*words):
            return subprocess.run([programs.BUILD / 'cli' / 'hubbub', words[0], '--data', self.stack.folder / 'data', *words[1:]],
                                  capture_output=True, text=True, check=True).stdout
        one, two = self.bare(0), self.bare(1)
        self.assertEqual(operate('close', self.id()), 'left 2\nunreachable 0\n')
        for client in (one, two):
            self.assertEqual(client.event(), {'type': 'event', 'event': 'hubbub:closed', 'args': [{'room': self.id()}]})
        self.assertEqual(one.ask(data=1)['error']['code'], 'not_joined')
        self.assertEqual(one.ask(type='join')['members'], 1)
        self.assertEqual(operate('kick', one.opened['sid'], 'spam'), 'ok kicked 1\n')
        end = one.closed()
        self.assertEqual((end.code, end.reason.split(':')[0]), (4410, 'removed'))
        self.assertEqual(two.ask(type='join')['members'], 1)


class Resume(BareTest):
    def seqs(self, client, count):
        events = [client.event() for _ in range(count)]
        return [event['meta']['seq'] if event['type'] == 'event' else event for event in events]

    def publish(self, client, first, count):
        for at in range(first, first + count):
            client.send(data=at, ref=at)
        for _ in range(count):
            while (answer := client.receive())['type'] != 'ack':
                pass
            self.assertTrue(answer['ok'], answer)

    def test_what_was_missed(self):
        one = self.bare(0)
        self.publish(one, 1, 450)
        self.assertEqual(self.seqs(self.bare(1, query='&after=0'), 450), list(range(1, 451)))
        again = self.bare(1, query='&after=445')
        self.assertEqual(again.opened['seq'], 450)
        self.assertEqual(self.seqs(again, 5), [446, 447, 448, 449, 450])
        one.send(data='live')
        self.assertEqual(self.seqs(again, 1), [451])
        event = self.bare(0, query='&after=450').event()
        self.assertEqual(event['args'], ['live'])
        all_there = self.bare(0, query='&after=451')
        self.assertEqual(all_there.ask(type='presence')['members'], 5)
        self.assertEqual(all_there.events, [])

    def test_too_much_was_missed(self):
        room = self.id()
        one = self.bare(0)
        for first in range(1, 1201, 200):
            self.publish(one, first, 200)
        again = self.bare(1, query='&after=100')
        self.assertEqual(self.seqs(again, 1001), [{'type': 'gap', 'room': room, 'after': 100, 'next': 201},
                                                  *range(201, 1201)])
        another = self.bare(1, query='&after=5000')
        self.assertEqual(self.seqs(another, 2), [{'type': 'gap', 'room': room, 'after': 5000, 'next': 201}, 201])

    def test_each_once_while_others_talk(self):
        """Clients come back again and again, to either gateway, while messages pour in."""
        stop = threading.Event()
        talkers = [self.bare(gateway) for gateway in (0, 1)]
        last, said = 0, [0, 0]

        def talk(client, place):
            while not stop.is_set():
                if sum(said) > last + 400:  # more than 1000 that are missed would be a gap
                    time.sleep(0.01)
                    continue
                said[place] += 1
                client.send(data=said[place], ref=said[place])
                while client.receive().get('ref') != said[place]:
                    pass

        threads = [threading.Thread(target=talk, args=[client, place]) for place, client in enumerate(talkers)]
        for thread in threads:
            thread.start()
        try:
            for turn in range(40):
                with Bare(self.stack.ports[turn % 2], self.id(), f'&after={last}') as client:
                    for _ in range(turn % 7 + client.opened['seq'] - last):
                        event = client.event()
                        self.assertEqual(event['meta']['seq'], last + 1)
                        last += 1
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertGreater(last, 40)


class Kills(BareTest):
    def run_talkers(self, count, strike):
        """Messages with ids of their own from one client, each sent until it is acknowledged, whatever is lost; and
        a reader that resumes.  The reader's events."""
        room = self.id()
        ports = self.stack.ports
        failures = []

        def talk():
            at, turn = 0, 0
            while at < count:
                turn += 1
                try:
                    with Bare(ports[turn % 2], room) as client:
                        while at < count:
                            answer = client.ask(data=at, id=f'message {at:04}')
                            if not answer['ok']:
                                break
                            at += 1
                except (Closed, OSError) as end:
                    if isinstance(end, Closed) and 4400 <= end.code < 4450:
                        failures.append(end)
                        return
                    time.sleep(0.02)

        talker = threading.Thread(target=talk)
        talker.start()
        events, last, turn, struck = [], 0, 0, None
        try:
            while len(events) < count:
                self.assertEqual(failures, [])
                turn += 1
                try:
                    with Bare(ports[turn % 2], room, f'&after={last}') as client:
                        while len(events) < count:
                            event = client.event()
                            self.assertEqual(event['type'], 'event')
                            events.append(event)
                            last = event['meta']['seq']
                            if not struck and len(events) > count // 4:
                                struck = strike()
                except (Closed, OSError):
                    time.sleep(0.02)
        finally:
            talker.join()
        return events

    def check(self, events, count):
        self.assertEqual([event['meta']['seq'] for event in events], list(range(1, count + 1)))
        self.assertEqual([event['args'] for event in events], [[at] for at in range(count)])

    def kill(self, name):
        os.kill(self.stack.pids[name], signal.SIGKILL)
        self.stack.wait_for(name)
        return True

    def test_a_gateway_is_killed(self):
        self.check(self.run_talkers(300, lambda: self.kill('gateway-2') and self.kill('gateway-1')), 300)

    def test_the_router_is_killed(self):
        self.check(self.run_talkers(300, lambda: self.kill('router')), 300)

    def test_clients_stay_when_the_router_is_killed(self):
        one, two = self.bare(0), self.bare(1)
        self.assertEqual(one.ask(data=1)['seq'], 1)
        self.kill('router')
        one.send(data=2, ref=77)
        self.assertEqual([two.event()['meta']['seq'] for _ in range(2)], [1, 2])
        self.assertEqual([one.event()['meta']['seq'], sorted(one.receive().get('ref', 0) for _ in range(2))], [1, [0, 77]])


class BadInput(BareTest):
    OPTIONS = {'max_payload': 200000, 'compression': 'true', 'compression_threshold': 20}
    ROUTER = 'router = { max_event = 100000; };'

    def test_addresses(self):
        for query, code in (('', 4422), ('room=', 4422), ('room=' + 'x' * 256, 4422), ('room=a%0ab', 4422),
                            ('room=%ff', 4422), ('room=R&after=x', 4400), ('room=R&namespace=none', 4404)):
            self.assertEqual(self.refused(query)[0], code, query)
        private = self.bare().opened['sid']
        self.assertEqual(self.refused(f'room={private}', 1), (4422, 'bad_room'))

    def test_frames(self):
        deep = '{"data":' + '[' * 128 + ']' * 128 + '}'
        for sent in ('', 'x', '[]', '{', '{"data":1}x', '{"type":"shout"}', '{"ref":"1"}', '{"data":1,"data":2}', deep):
            peer = self.raw()
            peer.send_text(sent)
            self.assertEqual(peer.read_close(), 4400, sent)
        peer = self.raw()
        peer.send_binary(b'{"data":1}')
        self.assertEqual(peer.read_close(), 4400)

    def test_what_no_websocket_may_do(self):
        for sent, code in ((frame(TEXT, b'\xff'), 1007), (frame(3), 1002), (frame(TEXT, b'{}', rsv=2), 1002),
                           (frame(TEXT, b'{"data":"' + b'x' * 200000 + b'"}'), 1009)):
            peer = self.raw()
            peer.send(sent)
            self.assertEqual(peer.read_close(), code, sent[:20])

    def test_fragments_and_control_frames_between(self):
        peer = self.raw()
        peer.send(frame(TEXT, b'{"data"', fin=False) + frame(PING, b'p') + frame(0, b':"\xc3', fin=False) +
                  frame(0, b'\xbc"}'))
        self.assertEqual(peer.read_frame()[-1], b'p')
        self.assertEqual(json.loads(peer.read_text())['args'], ['ü'])
        peer.send(frame(CLOSE, close_payload(4321, 'enough')))
        self.assertEqual(peer.read_close(), 4321)

    def test_frames_may_come_with_the_handshake(self):
        peer = self.raw(first=frame(TEXT, b'{"data":1,"ref":1}') + frame(TEXT, b'{"type":"presence","ref":2}'))
        got = [json.loads(peer.read_text()) for _ in range(3)]
        self.assertEqual(sorted(one.get('ref', 0) for one in got), [0, 1, 2])
        self.assertTrue(all(one.get('ok', True) for one in got), got)

    def test_too_large_an_event_is_refused_and_the_connection_lives(self):
        one = self.bare()
        self.assertEqual(one.ask(data='x' * 150000)['error']['code'], 'too_large')
        one.send(data='x' * 150000)
        event = one.event()
        self.assertEqual((event['event'], event['args'][0]['error']['code']), ('hubbub:error', 'too_large'))
        self.assertTrue(one.ask(data='x' * 90000)['ok'])

    def test_compressed_frames(self):
        async def talk():
            async with aiohttp.ClientSession() as session:
                url = f'http{"s" if TLS else ""}://127.0.0.1:{self.stack.ports[0]}/ws?room={self.id()}'
                anything = {'ssl': False} if TLS else {}  # whatever the certificate
                async with session.ws_connect(url, compress=15, **anything) as one, session.ws_connect(url, **anything) as two:
                    self.assertEqual((one.compress, two.compress), (15, 0))
                    text = 'tell me again ' * 100
                    for ws in (one, two):
                        self.assertEqual((await ws.receive_json())['type'], 'open')
                    await one.send_json({'data': text, 'ref': 1})
                    for ws in (one, one, two):
                        frame = await ws.receive_json()
                        self.assertEqual(frame['args'] if frame['type'] == 'event' else frame['ok'],
                                         [text] if frame['type'] == 'event' else True)
                async with session.ws_connect(url + '&after=0', compress=15, **anything) as late:
                    self.assertEqual((await late.receive_json())['seq'], 1)
                    self.assertEqual((await late.receive_json())['args'], [text])

        asyncio.run(talk())

    def test_the_subprotocol(self):
        for offered, answered in ((None, None), (['hubbub.v1.json'], 'hubbub.v1.json'),
                                  (['chat', 'hubbub.v1.json'], 'hubbub.v1.json')):
            self.assertEqual(self.bare(subprotocols=offered).socket.getsubprotocol(), answered)


class Heartbeat(BareTest):
    OPTIONS = {'ping_interval': '"300 ms"', 'ping_timeout': '"2500 ms"'}

    def test_who_answers_no_ping_is_closed(self):
        peer = self.raw()
        self.assertEqual(peer.read_frame()[0], PING)
        self.assertEqual(peer.read_close(), 4454)

    def test_who_answers_stays(self):
        one = self.bare()
        for _ in range(11):  # websocket-client answers them, and the first would be too late by now
            self.assertEqual(one.socket.recv_data(control_frame=True)[0], PING)


class Limits(BareTest):
    OPTIONS = {'outbound_queue': '"256 KB"', 'max_connections': 6}

    def test_a_slow_reader_is_alone(self):
        slow, reader, talker = self.bare(1), self.bare(1), self.bare(0)
        before = self.stack.metrics().get('hubbub_closed_total{reason=slow_reader}', 0)
        sent = 0
        while self.stack.metrics().get('hubbub_closed_total{reason=slow_reader}', 0) == before:
            for _ in range(20):
                self.assertTrue(talker.ask(data='x' * 50000)['ok'])
                talker.events.clear()
                sent += 1
                self.assertEqual(reader.event()['meta']['seq'], sent)
        end = slow.closed()
        self.assertEqual(end.code, 1006)
        last = max((event['meta']['seq'] for event in slow.events if event['type'] == 'event'), default=0)
        self.assertLess(last, sent)
        again = self.bare(0, query=f'&after={sent - 1}')
        self.assertEqual(again.event()['meta']['seq'], sent)

    def test_no_more_connections_than_allowed(self):
        refusal = (ssl.SSLError, 'INTERNAL_ERROR') if TLS else (websocket.WebSocketBadStatusException, '503')
        with self.assertRaisesRegex(*refusal):
            for _ in range(7):
                self.bare(0)


class Drain(BareTest):
    def test_a_drain_tells_to_come_back(self):
        one = self.bare(0)
        os.kill(self.stack.pids['gateway-1'], signal.SIGTERM)
        end = one.closed()
        self.assertEqual((end.code, end.reason), (1001, 'drain'))
        self.stack.wait_for('gateway-1')
        self.assertTrue(self.bare(1, query='&after=0').ask(data=1)['ok'])


if __name__ == '__main__':
    unittest.main()
