"""Socket.IO v5 over WebSocket, raw, against the whole stack: packets, namespaces, acknowledgements, and what closes."""
import json
import subprocess
import time
import unittest

from programs import BUILD, PATIENCE, Stack
from raw_client import CLOSE, PING, PONG, TEXT, Client, WebSocket, frame

SERVED = '''
namespaces = (
  { name = "/"; },
  { name = "/custom"; },
  { name = "/bare"; builtin = false; recovery = false;
    events = ({ name = "join"; deliver = "self"; meta = false; },
              { name = "all"; deliver = "namespace"; volatile = true; meta = false; }); }
);
'''
INVALID = '{"message":"Invalid namespace"}'
UNKNOWN = 'unknown_event'


def setUpModule():
    global stack
    stack = Stack({'max_namespaces': 2}, SERVED)


def tearDownModule():
    stack.close()


def open_session():
    return WebSocket(stack.port)


def connected(auth=None):
    return Client(stack.port, auth=auth)


class SocketIoTest(unittest.TestCase):
    def closes(self, *texts, connect=True):
        """The server takes the texts before the last one in silence, and closes without a code at the last."""
        with Client(stack.port, connect=connect) as peer:
            for text in texts:
                peer.send_text(text)
            self.assertIsNone(peer.read_close(), [text[:80] for text in texts])

    def lives(self, peer, path=''):
        """Nothing has been said but what this asks for, and it is answered."""
        peer.send_text(f'42{path}99["nothing"]')
        self.assertEqual(json.loads(peer.packet(f'43{path}99'))[0]['error']['code'], UNKNOWN)


class Connecting(SocketIoTest):
    def test_the_answer_has_sid_and_pid_and_nothing_else(self):
        seen = set()
        with open_session() as peer:
            for text, head in (('40', '40'), ('40/custom,', '40/custom,')):
                peer.send_text(text)
                answer = peer.read_text()
                self.assertTrue(answer.startswith(head + '{'), answer)
                answer = json.loads(answer[len(head):])
                self.assertEqual(list(answer), ['sid', 'pid'])
                self.assertRegex(answer['sid'], r'\A[A-Za-z0-9_-]{20,}\Z')
                seen.add(answer['sid'])
            self.assertEqual(len(seen | {peer.open['sid']}), 3)

    def test_ways_to_name_a_namespace(self):
        for text, head in (('40', '40{'), ('40/', '40{'), ('40/,', '40{'), ('40{}', '40{'), ('40{"token":"123"}', '40{'),
                           ('40/,{"a":1}', '40{'), ('40 '[:2], '40{'), ('40/custom', '40/custom,{'),
                           ('40/custom,', '40/custom,{'), ('40/custom,{"a":[]}', '40/custom,{')):
            with open_session() as peer:
                peer.send_text(text)
                self.assertTrue(peer.read_text().startswith(head), text)

    def test_a_namespace_that_is_not_served(self):
        with Client(stack.port, connect=False) as peer:
            for name in ('/random', '/custom?token=1', '/Custom', '/custom/', '//', '/é', '/' + 'n' * 254, '/a"b'):
                peer.send_text(f'40{name}')
                self.assertEqual(peer.read_text(), f'44{name},{INVALID}')
                peer.send_text(f'40{name},{{"a":1}}')
                self.assertEqual(peer.read_text(), f'44{name},{INVALID}')
            peer.send_text('40')  # the session lives, and may use others
            self.assertTrue(peer.read_text().startswith('40{'))
            self.lives(peer)

    def test_more_namespaces_than_allowed(self):
        with connected() as peer:
            peer.send_text('40/custom')
            peer.packet('40/custom,')
            peer.send_text('40/bare')
            self.assertEqual(peer.read_text(), '44/bare,{"message":"Too many namespaces"}')
            peer.send_text('41/custom')
            peer.send_text('40/bare')
            peer.packet('40/bare,')

    def test_connecting_twice_closes(self):
        self.closes('40')
        self.closes('40/,')
        with connected() as peer:
            peer.send_text('40/custom,')
            peer.packet('40/custom,')
            peer.send_text('40/custom,')
            self.assertIsNone(peer.read_close())

    def test_what_comes_before_connecting_closes(self):
        for text in ('42["msg"]', '421["msg"]', '43["x"]', '431[]', '41', '42/custom,["msg"]'):
            self.closes(text, connect=False)
        for text in ('42/custom,["msg"]', '41/custom', '43/custom,1[]', '42/random,["msg"]', '41/random,'):
            self.closes(text)

    def test_what_comes_right_behind_connecting_counts(self):
        with open_session() as peer:
            peer.send(b''.join(frame(TEXT, text) for text in ('40', '421["join","r"]', '422["nothing"]')))
            self.assertTrue(peer.read_text().startswith('40{"sid":"'))
            answers = sorted(peer.read_text() for _ in range(2))
            self.assertEqual(answers[0], '431[{"ok":true,"room":"r","seq":0,"members":1}]')
            self.assertTrue(answers[1].startswith('432[{"ok":false,"error":{"code":"unknown_event",'))

    def test_auth_that_is_no_object_closes(self):
        for payload in ('null', '[]', '"a"', '1.5', '-1', 'true', '{', '{"a"}', '{}x', '{"a":1,}', "{'a':1}"):
            self.closes('40' + payload, connect=False)

    def test_rooms_may_be_joined_with_connect(self):
        with connected({'join': ['early', 'bird']}) as peer:
            self.assertEqual(list(peer.connected), ['sid', 'pid'])
            self.assertTrue(peer.call('msg', {'room': 'early', 'n': 1})['ok'])
            self.assertTrue(peer.call('msg', {'room': 'bird', 'n': 1})['ok'])
            self.assertEqual(peer.call('msg', {'room': 'late', 'n': 1})['error']['code'], 'not_joined')


class Disconnecting(SocketIoTest):
    def test_it_is_silent_and_the_session_stays(self):
        with connected() as peer:
            first = peer.connected['sid']
            peer.send_text('41')
            peer.send(frame(PING, 'alive'))
            self.assertEqual(peer.read_frame(), (PONG, b'alive'))
            peer.send_text('40')  # and may connect again, as someone new
            self.assertNotEqual(json.loads(peer.packet('40'))['sid'], first)
            self.lives(peer)
            peer.send_text('41/,')
            peer.send_text('42["msg"]')
            self.assertIsNone(peer.read_close())

    def test_other_namespaces_go_on(self):
        with connected() as peer:
            peer.send_text('40/custom')
            peer.packet('40/custom,')
            peer.send_text('41/custom,')
            self.lives(peer)
            peer.send_text('40/custom')
            peer.packet('40/custom,')
            peer.send_text('41')
            self.lives(peer, '/custom,')

    def test_a_payload_closes(self):
        self.closes('41{}')
        self.closes('41"bye"')

    def test_rooms_are_left(self):
        with connected() as watcher, connected() as leaver:
            watcher.call('join', 'left')
            leaver.call('join', 'left')
            self.assertEqual(watcher.call('presence', 'left')['members'], 2)
            leaver.send_text('41')
            leaver.send_text('40')
            leaver.packet('40')
            self.assertEqual(watcher.call('presence', 'left')['members'], 1)


class Grammar(SocketIoTest):
    def test_types_and_trailing_bytes(self):
        for text in ('4', '47', '49', '4a', '4abc', '4-1', '4 2', '42x', '42{}', '42[', '42["a"]x', '42["a"],', '42["a"]["b"]',
                     '42[]', '42[null]', '42[{}]', '42[["a"]]', '42[true]', '42null', '42"a"', '42["a",]', '42["a",01]',
                     '42["a",1.]', '42["a",+1]', '42["a",\'b\']', '42["a",undefined]', '42["a",NaN]', '42["a","\t"]',
                     '42["a","\\x"]', '42["a","\\u12"]', '42["a",tru]', '42["a" "b"]', '42["a";1]', '42["a",{"b"}]',
                     '42["a",{b:1}]', '42["a",{"b":1,}]', '42["a",/**/1]', '42["a",\ufeff1]'):
            self.closes(text)

    def test_reserved_names_close(self):
        for name in ('connect', 'connect_error', 'disconnect', 'disconnecting', 'newListener', 'removeListener'):
            self.closes(f'42["{name}"]')
            self.closes(f'427["{name}",1]')
        self.closes('42["\\u0063onnect"]')

    def test_packets_of_servers_close(self):
        self.closes('44{"message":"x"}')
        self.closes('44"x"')

    def test_acks_must_be_arrays(self):
        for text in ('43', '431', '431{}', '431"x"', '431[', '431null'):
            self.closes(text)

    def test_ack_ids(self):
        with connected() as peer:
            for sent, answered in (('0', '0'), ('1', '1'), ('007', '7'), ('9007199254740991', '9007199254740991')):
                peer.send_text(f'42{sent}["nothing"]')
                peer.packet(f'43{answered}[{{"ok":false')
        for text in ('42-1["a"]', '421.5["a"]', '421e3["a"]', '42 1["a"]', '421 ["a"]', '429007199254740992["a"]',
                     '42' + '9' * 400 + '["a"]'):
            self.closes(text)

    def test_blanks_are_json_s_own(self):
        with connected() as peer:
            peer.send_text('425[ "nothing" ,\t1\r\n] \n')
            peer.packet('435[{"ok":false')

    def test_long_namespaces_close(self):
        self.closes('40/' + 'n' * 255, connect=False)


class Events(SocketIoTest):
    def test_unknown_acks_and_empty_events_are_ignored(self):
        with connected() as peer:
            for text in ('431["x"]', '43["x"]', '4399[]', '42', '421'):
                peer.send_text(text)
            self.lives(peer)

    def test_every_ack_is_answered_once_and_in_its_namespace(self):
        with connected() as peer:
            peer.send_text('40/custom')
            peer.packet('40/custom,')
            for path in ('', '/custom,'):
                peer.send_text(f'42{path}5["join","r"]')
                self.assertEqual(json.loads(peer.packet(f'43{path}5')), [{'ok': True, 'room': 'r', 'seq': 0, 'members': 1}])
                peer.send_text(f'42{path}6["nothing"]')
                self.assertEqual(json.loads(peer.packet(f'43{path}6')), [{
                    'ok': False, 'error': {'code': UNKNOWN, 'message': 'no rule and no backend takes this event'}}])
            self.lives(peer)
            self.lives(peer, '/custom,')

    def test_a_refusal_without_an_ack_is_an_event(self):
        with connected() as peer:
            peer.emit('nothing', 1)
            name, what, offset = peer.event()
            self.assertEqual((name, what['event'], what['error']['code']), ('hubbub:error', 'nothing', UNKNOWN))
            self.assertRegex(offset, r'\A[^.]+\.\d+\Z')
            peer.emit('join', '')
            self.assertEqual(peer.event()[1]['error']['code'], 'bad_room')
            peer.emit('msg', {'room': 'elsewhere'})
            self.assertEqual(peer.event()[1]['error']['code'], 'not_joined')
            self.lives(peer)

    def test_refusals_without_an_ack_are_limited(self):
        with connected() as peer:
            for _ in range(500):
                peer.emit('nothing')
            peer.send_text('421["nothing"]')
            errors = 0
            while not (text := peer.packet('4')).startswith('31'):
                self.assertTrue(text.startswith('2["hubbub:error",'))
                errors += 1
            self.assertGreater(errors, 0)
            self.assertLess(errors, 250)

    def test_numbers_may_be_names(self):
        with connected() as peer:
            peer.send_text('421[5,"x"]')
            self.assertEqual(json.loads(peer.packet('431'))[0]['error']['code'], UNKNOWN)

    def test_depth(self):
        """The array of the packet is the first of 128 levels."""
        with connected() as peer:
            for depth, code in ((1, UNKNOWN), (127, UNKNOWN), (128, 'too_deep'), (5000, 'too_deep')):
                for a, b in (('[', ']'), ('{"a":', '}')):
                    inner = a * depth + '1' + b * depth
                    peer.send_text(f'423["nothing",{inner}]')
                    self.assertEqual(json.loads(peer.packet('433'))[0]['error']['code'], code, depth)
            peer.call('join', 'deep')
            inner = '[' * 126 + ']' * 126
            peer.send_text(f'42["msg",{{"room":"deep","x":{inner}}}]')
            self.assertIn(f'"x":{inner}', peer.packet('42["msg",'))
        self.closes('40' + '{"a":' * 129 + '1' + '}' * 129, connect=False)

    def test_names_and_rooms_that_are_too_long(self):
        with connected() as peer:
            self.assertEqual(peer.call('n' * 255)['error']['code'], UNKNOWN)
            self.assertEqual(peer.call('n' * 256)['error']['code'], 'too_large')
            self.assertEqual(peer.call('\ud800')['error']['code'], 'bad_request')
            for room in ('', 'r' * 256, 'a\u0000b', 'a\nb', 'a\u007fb', '\u0085', '\ud800', 5, None, True, ['r'], {}, {'room': 1}):
                for event in ('join', 'leave', 'presence', 'history'):
                    self.assertEqual(peer.call(event, room)['error']['code'], 'bad_room', (event, room))
            for event in ('join', 'leave', 'presence', 'history', 'msg', 'typing'):
                self.assertEqual(peer.call(event)['error']['code'], 'bad_room', event)
            for room in ('r' * 255, 'é' * 127, ' ', '"\\/', 'a b', '😀'):
                self.assertEqual(peer.call('join', room)['room'], room)
            self.lives(peer)

    def test_arguments_that_are_not_what_an_event_takes(self):
        with connected() as peer:
            peer.call('join', 'args')
            for event, argument in (('join', {'history': -1}), ('join', {'history': 1.5}), ('join', {'history': '5'}),
                                    ('join', {'presence': 1}), ('history', {'before': 0}), ('history', {'after': -1}),
                                    ('history', {'limit': 0}), ('history', {'before': 2, 'after': 1}),
                                    ('history', {'limit': None}), ('msg', {'id': 'short'}), ('msg', {'id': 'x' * 65}),
                                    ('msg', {'id': 12345678})):
                answer = peer.call(event, {'room': 'args', **argument})
                self.assertEqual(answer['error']['code'], 'bad_request', (event, argument))
            peer.send_text('428["msg",{"room":"args","room":"other"}]')
            self.assertEqual(json.loads(peer.packet('438'))[0]['error']['code'], 'bad_request')
            self.lives(peer)

    def test_arguments_travel_as_the_bytes_they_are(self):
        arguments = ('{"room":"raw", "n":1.0,"e":1e400,"z":-0,"u":"\\u00e9\\ud800 é","dup":1,"dup":2,"s":"a\\/b"},"more" , null,[ ]')
        with connected() as peer:
            peer.call('join', 'raw')
            peer.send_text(f'42["msg",{arguments}]')
            text = peer.packet('42["msg",')
            self.assertTrue(text.startswith(arguments + ','), text)

    def test_namespaces_are_apart(self):
        with connected() as main, open_session() as other:
            other.send_text('40/custom')
            other.read_text()
            other.send_text('42/custom,1["join","apart"]')
            self.assertEqual(other.read_text(), '43/custom,1[{"ok":true,"room":"apart","seq":0,"members":1}]')
            self.assertEqual(main.call('join', 'apart')['members'], 1)
            main.emit('msg', {'room': 'apart'})
            self.assertEqual(main.event()[2]['seq'], 1)
            other.send_text('42/custom,2["msg",{"room":"apart"}]')
            answer, event = sorted((other.read_text(), other.read_text()), reverse=True)
            self.assertTrue(event.startswith('42/custom,["msg",{"room":"apart"},{"room":"apart","seq":1,'), event)
            self.assertTrue(answer.startswith('43/custom,2[{"ok":true,'), answer)
            self.lives(main)

    def test_a_namespace_without_the_brokers_events_and_without_recovery(self):
        with open_session() as peer, open_session() as other:
            for session in (peer, other):
                session.send_text('40/bare')
                session.read_text()
            peer.send_text('42/bare,["join",{"a":1},"b"]')  # an application's event like any other
            self.assertEqual(peer.read_text(), '42/bare,["join",{"a":1},"b"]')
            peer.send_text('42/bare,1["all",1]')
            texts = {peer.read_text(), peer.read_text()}
            self.assertEqual(texts, {'43/bare,1[{"ok":true}]', '42/bare,["all",1]'})
            self.assertEqual(other.read_text(), '42/bare,["all",1]')
            peer.send_text('42/bare,2["presence","r"]')
            self.assertEqual(json.loads(peer.read_text()[len('43/bare,2'):])[0]['error']['code'], UNKNOWN)

    def test_a_close_leaves_the_room(self):
        with connected() as stays:
            stays.call('join', {'room': 'ends', 'presence': True})
            self.assertEqual(stays.event()[1], {'room': 'ends', 'members': 1})
            for how in (lambda peer: peer.send(frame(CLOSE)), lambda peer: peer.socket.close(),
                        lambda peer: peer.send_text('1'), lambda peer: peer.send_text('4x')):
                with connected() as leaves:
                    leaves.call('join', 'ends')
                    while stays.event()[1]['members'] != 2:
                        pass
                    how(leaves)
                    while stays.event()[1]['members'] != 1:
                        pass


class Flooding(unittest.TestCase):
    """Who asks for more than is answered is not read for a while; everything is answered once, in the end."""

    def test_pages_of_history_are_answered_a_few_at_a_time(self):
        flooded = Stack({'max_unanswered': 64})
        try:
            with Client(flooded.port) as peer, Client(flooded.port) as other:
                for client in (peer, other):
                    self.assertTrue(client.call('join', 'room')['ok'])
                peer.call('msg', {'room': 'room', 'body': 'x' * 1000})
                peer.event()
                other.event()
                asked = 300
                peer.send(b''.join(frame(TEXT, b'42%d["history",{"room":"room"}]' % n, mask=b'abcd')
                                   for n in range(1000, 1000 + asked)))
                answered = set()
                while len(answered) < asked:
                    text = peer.read_text()
                    self.assertRegex(text, r'\A431[0-9]{3}\[\{"ok":true,"room":"room","messages":\[')
                    self.assertNotIn(text[2:6], answered)
                    answered.add(text[2:6])
                self.assertTrue(other.call('presence', 'room')['ok'])
                self.assertTrue(peer.call('presence', 'room')['ok'])
                metrics = self.metrics(flooded)
                self.assertGreater(metrics['hubbub_reading_paused_total'], 0)
        finally:
            flooded.close()

    def metrics(self, asked):
        """The gateways report once a second: waits for the report in which somebody was paused."""
        end = time.monotonic() + PATIENCE
        while True:
            answer = subprocess.run([BUILD / 'cli' / 'hubbub', 'stats', '--data', asked.folder / 'data', 'json'],
                                    capture_output=True, check=True, text=True)
            metrics = json.loads(answer.stdout)['metrics']
            if metrics.get('hubbub_reading_paused_total') or time.monotonic() > end:
                return metrics
            time.sleep(0.1)


if __name__ == '__main__':
    unittest.main()
