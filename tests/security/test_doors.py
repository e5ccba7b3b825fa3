"""Doors that are not one's own: sessions of others, and rooms that one has not joined, through everything that speaks.

    session ids stolen by another     Sessions.*
    joining without permission        Rooms.*
"""
import collections
import json
import unittest

from attack import Figures, serves
from programs import Stack
from raw_client import CLOSE, TEXT, Client, Connection, Polling, WebSocket, frame, get, handshake, request

UNKNOWN = (400, b'{"code":1,"message":"Session ID unknown"}')
RULES = """
namespaces = (
  { name = "/"; },
  { name = "/other"; },
  { name = "/strict"; events = ( { name = "msg"; room = "$.room"; arguments = 1; }, { name = "two"; room = "$.room"; } ); },
  { name = "/closed"; recovery = false; events = (); }
);
"""


def setUpModule():
    global stack
    stack = Stack({'msgpack_path': '"/msgpack/"'}, RULES, gateways=2)


def tearDownModule():
    stack.close()


def poll(sid, port=None):
    answer = get(port or stack.port, f'/socket.io/?EIO=4&transport=polling&sid={sid}', 'Connection: close')
    return answer.status, answer.body


class Bare(Connection):
    """A bare WebSocket; its frames as objects."""

    def __init__(self, path):
        super().__init__(stack.port)
        self.send(handshake(path))
        self.answer = self.response()

    def read_object(self):
        """The next frame; a Close frame as (code, reason)."""
        while True:
            first, second = self.read(2)
            length = second
            if length == 126:
                length = int.from_bytes(self.read(2), 'big')
            payload = self.read(length)
            if first & 15 == CLOSE:
                return int.from_bytes(payload[:2], 'big'), payload[2:].decode()
            if first & 15 == TEXT:
                return json.loads(payload)

    def ask(self, **keys):
        self.send(frame(TEXT, json.dumps({**keys, 'ref': 1})))
        while (answer := self.read_object())['type'] != 'ack':
            pass
        return answer


class Sessions(unittest.TestCase):
    def test_ids_can_not_be_guessed(self):
        """Sixteen of the characters are random: all differ, and none stands out in any place."""
        sids = [Polling(stack).sid for _ in range(200)]
        self.assertEqual(len({sid[8:] for sid in sids}), len(sids))
        for place in range(8, 24):
            most = collections.Counter(sid[place] for sid in sids).most_common(1)[0][1]
            self.assertLess(most, 30, place)
        with Client(stack.port) as client:
            self.assertNotIn(client.connected['sid'], client.open['sid'])

    def test_guesses(self):
        figures = Figures(stack)
        sid = Polling(stack).sid
        near = [sid[:-1] + chr(ord(sid[-1]) ^ 1), sid.lower() if sid != sid.lower() else sid.upper(), sid[:8] + 'A' * 16, sid + 'A', sid[:-1], sid[::-1], '*' * 24]
        for guess in near:
            for port in stack.ports:
                self.assertEqual(poll(guess, port), UNKNOWN, guess)
        figures.wait_for('hubbub_engine_refused_total{code=1}', 2 * len(near))
        self.assertEqual(Polling(stack).post('40').status, 200)

    def test_the_id_that_others_see_opens_nothing(self):
        """Members know a socket by anon:<sid of the socket>; that is neither its session nor its room."""
        with Client(stack.port) as victim, Client(stack.port) as thief:
            for client in (victim, thief):
                client.call('join', 'seen')
            victim.emit('msg', {'room': 'seen', 'body': 'x'})
            victim.event()
            meta = thief.event()[2]
            sid = meta['from'].removeprefix('anon:')
            self.assertEqual(sid, victim.connected['sid'])
            self.assertEqual(poll(sid), UNKNOWN)
            self.assertNotIn(victim.connected['pid'], json.dumps(meta))
            self.assertNotIn(victim.open['sid'], json.dumps(meta))

    def test_a_session_on_a_websocket_has_no_other_door(self):
        with Client(stack.port) as victim:
            for port in stack.ports:
                self.assertEqual(poll(victim.open['sid'], port), UNKNOWN)
                answer = request(port, handshake(f'/socket.io/?EIO=4&transport=websocket&sid={victim.open["sid"]}').decode())
                self.assertEqual(answer.status, 400)
            self.assertTrue(victim.call('join', 'mine')['ok'])

    def test_a_thief_of_a_poll_ends_the_session_and_both_know(self):
        """Whoever has the id of a session on polling has the session, as with the reference; two can't use it unnoticed."""
        session = Polling(stack)
        session.connect()
        with session.pending_get() as waiting:
            self.assertEqual(poll(session.sid)[0], 400)
            waiting.read_end()  # it waits no longer
        self.assertTrue(session.gone())

    def test_a_session_that_has_upgraded_is_not_taken_by_a_second_websocket(self):
        session = Polling(stack)
        session.connect()
        own = session.probed()
        own.send_text('5')
        with own, WebSocket(stack.port, path=session.websocket_path(), opens=False) as second:
            self.assertEqual(second.read_frame()[0], CLOSE)
            own.send_text('421["presence","R"]')
            self.assertTrue(own.read_text().startswith('431['))

    def test_recovery_needs_the_secret(self):
        figures = Figures(stack)
        with Client(stack.port) as victim:
            victim.call('join', 'private-talk')
            pid, sid = victim.connected['pid'], victim.connected['sid']
            guesses = [sid, pid[:-1] + ('A' if pid[-1] != 'A' else 'B'), pid.swapcase(), pid + 'A', '', pid[:-1], 'A' * len(pid)]
            for guess in guesses:
                with Client(stack.port, auth={'pid': guess, 'offset': ''}) as thief:
                    self.assertNotEqual(thief.connected['sid'], sid)
                    self.assertNotEqual(thief.connected['pid'], pid)
                    self.assertEqual(thief.call('history', {'room': 'private-talk'})['error']['code'], 'not_joined')
            self.assertTrue(victim.call('presence', 'private-talk')['members'] == 1)  # nobody was disturbed
            with Client(stack.port, connect=False) as thief:  # and of another namespace
                thief.send_text('40/other,' + json.dumps({'pid': pid}))
                self.assertNotEqual(json.loads(thief.packet('40/other,'))['sid'], sid)
            self.assertTrue(victim.call('leave', 'private-talk')['ok'])
        figures.wait_for('hubbub_recoveries_total{result=unknown}', 5)

    def test_answers_of_others(self):
        """An acknowledgement that nobody asked this client for is dropped."""
        figures = Figures(stack)
        with Client(stack.port) as client:
            for number in range(50):
                client.send_text(f'43{number}["forged"]')
            self.assertTrue(client.call('join', 'R')['ok'])
        figures.wait_for('hubbub_dropped_total{reason=unasked_answer}', 50)


class Rooms(unittest.TestCase):
    def setUp(self):
        self.victim = Client(stack.port)
        self.addCleanup(self.victim.socket.close)
        self.private = self.victim.connected['sid']

    BAD = ('', 'a\nb', 'r' * 256, 7, None, [], {}, {'room': {}}, {'room': ''}, True)

    def each_refuses(self, ask):
        """ask(event, argument): the private room of another, and what is no room, on one door."""
        for argument in (self.private, {'room': self.private}):
            self.assertIn(ask('join', argument)['error']['code'], ('bad_room', 'forbidden'), argument)
        for event, argument in (('history', {'room': self.private}), ('msg', {'room': self.private, 'body': 'x'}), ('msg', {'room': 'not-joined', 'body': 'x'}),
                                ('history', {'room': 'not-joined'})):
            self.assertIn(ask(event, argument)['error']['code'], ('not_joined', 'bad_room', 'forbidden'), (event, argument))
        for bad in self.BAD:
            self.assertEqual(ask('join', bad)['error']['code'], 'bad_room', bad)

    def nothing_came(self):
        """The victim hears nothing but the answer to what it asks itself."""
        self.victim.send_text('429["join","of-its-own"]')
        self.assertTrue(self.victim.packet('4').startswith('39[{"ok":true'))

    def test_socket_io_on_a_websocket(self):
        with Client(stack.port) as thief:
            self.each_refuses(thief.call)
        self.nothing_came()

    def test_socket_io_on_polling(self):
        session = Polling(stack)
        session.connect()
        self.each_refuses(session.call)
        self.nothing_came()

    def test_the_rooms_of_connect(self):
        figures = Figures(stack)
        with Client(stack.port, auth={'join': [self.private, 'a\nb', '', {'room': self.private}]}) as thief:
            self.assertEqual(thief.call('history', {'room': self.private})['error']['code'], 'not_joined')
        figures.wait_for('hubbub_joins_skipped_total', 4)
        self.nothing_came()

    def test_the_msgpack_parser(self):
        import msgpack
        with WebSocket(stack.port, path='/msgpack/?EIO=4&transport=websocket') as thief:
            def send(**packet):
                thief.send(frame(2, msgpack.packb({'nsp': '/', **packet})))
                while True:
                    opcode, payload = thief.read_frame()
                    if opcode == 2:
                        return msgpack.unpackb(payload)
            send(type=0)
            self.each_refuses(lambda event, argument: send(type=2, id=1, data=[event, argument])['data'][0])
        self.nothing_came()

    def test_the_address_of_a_bare_websocket(self):
        for room in (self.private, 'a%0ab', '', 'r' * 256, '%00'):
            with Bare(f'/ws?room={room}') as thief:
                self.assertEqual(thief.read_object()[0], 4422, room)
        self.nothing_came()

    def test_frames_of_a_bare_websocket(self):
        with Bare('/ws?room=mine') as thief:
            self.assertEqual(thief.read_object()['type'], 'open')
            self.assertIn(thief.ask(type='join', room=self.private)['error']['code'], ('bad_room', 'forbidden'))
            for keys in (dict(type='history', room=self.private), dict(room=self.private, data='x'), dict(data={'room': self.private}),
                         dict(room='not-joined', data='x'), dict(type='history', room='not-joined')):
                self.assertIn(thief.ask(**keys)['error']['code'], ('not_joined', 'bad_room', 'forbidden'), keys)
            for bad in ('', 'a\nb', 'r' * 256, 7, None, [], {}):
                self.assertEqual(thief.ask(type='join', room=bad)['error']['code'], 'bad_room', bad)
            answer = thief.ask(room='mine', data={'room': 'not-joined', 'body': 'x'})  # two rooms at once
            self.assertEqual(answer['error']['code'], 'bad_request')
        self.nothing_came()

    def test_a_room_of_another_namespace(self):
        with Client(stack.port) as member, Client(stack.port, connect=False) as thief:
            member.call('join', 'shared-name')
            thief.send_text('40/other,')
            thief.packet('40/other,')
            thief.send_text('42/other,1["join","shared-name"]')
            self.assertIn('"members":1', thief.packet('43/other,1'))
            thief.send_text('42/other,2["msg",{"room":"shared-name","body":"x"}]')
            thief.packet('4')
            thief.packet('4')
            self.assertTrue(member.call('presence', 'shared-name')['members'] == 1)

    def test_packets_for_a_namespace_that_is_not_connected(self):
        for packet in ('42/other,1["join","R"]', '41/other,', '43/other,1[1]', '451-/other,["msg",{"_placeholder":true,"num":0}]'):
            with Client(stack.port) as thief:
                thief.send_text(packet)
                if packet.startswith('45'):
                    thief.send(frame(2, b'x'))
                self.assertEqual(thief.read_frame()[0], CLOSE, packet)

    def test_packets_before_connect(self):
        for packet in ('421["join","R"]', '42["msg",{"room":"R"}]', '41', '431[1]'):
            with Client(stack.port, connect=False) as thief:
                thief.send_text(packet)
                self.assertEqual(thief.read_frame()[0], CLOSE, packet)

    def test_events_of_the_broker_are_not_forged(self):
        with Client(stack.port) as thief:
            for name in ('connect', 'disconnect', 'connect_error', 'disconnecting', 'newListener', 'removeListener'):
                with Client(stack.port) as other:
                    other.send_text(f'421["{name}",1]')
                    self.assertEqual(other.read_frame()[0], CLOSE, name)
            for name in ('hubbub:presence', 'hubbub:error'):
                self.assertEqual(thief.call(name, {'room': 'R'})['error']['code'], 'unknown_event')
        serves(stack)

    def test_from_is_the_routers_word(self):
        with Client(stack.port) as forger:
            forger.call('join', 'names')
            forger.emit('msg', {'room': 'names', 'body': 'x', 'from': 'admin', 'meta': {'from': 'admin'}})
            event = forger.event()
            self.assertEqual(event[-2]['from'], f'anon:{forger.connected["sid"]}')
            self.assertEqual(len(event), 4)

    def test_nobody_puts_a_word_in_the_routers_place(self):
        """With `arguments` in the rule the place of the router's word is fixed; without it, it is found from the end."""
        forged = {'room': 'words', 'seq': 1, 'id': 'x', 'from': 'admin', 'at': 1}
        with Client(stack.port, connect=False) as forger:
            forger.send_text('40/strict,')
            own = 'anon:' + json.loads(forger.packet('40/strict,'))['sid']
            forger.send_text('42/strict,1["join","words"]')
            forger.packet('43/strict,1')
            forger.send_text('42/strict,2' + json.dumps(['msg', {'room': 'words'}, forged]))
            self.assertIn('bad_request', forger.packet('43/strict,2'))
            forger.send_text('42/strict,' + json.dumps(['msg', {'room': 'words'}]))
            self.assertEqual(json.loads(forger.packet('42/strict,'))[2]['from'], own)
            forger.send_text('42/strict,' + json.dumps(['two', {'room': 'words'}, forged]))
            self.assertEqual(json.loads(forger.packet('42/strict,'))[-2]['from'], own)


if __name__ == '__main__':
    unittest.main()
