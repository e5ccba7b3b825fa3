"""Namespaces on the wire: fixed ones, patterns, several over one connection, refusals, and the end of each."""
import json
import pathlib
import subprocess
import tempfile
import time
import unittest

import msgpack
import zmq
from programs import BUILD, PATIENCE, Gateway, Stack
from raw_client import BINARY, PING, PONG, TEXT, Client, WebSocket, before_time_is_up, frame, in_time

SERVED = '''
namespaces = (
  { pattern = "/orders-*"; },
  { pattern = "/*/chat-*"; recovery = false; builtin = false;
    events = ({ name = "join"; deliver = "self"; meta = false; },
              { name = "all"; deliver = "namespace"; volatile = true; meta = false; }); },
  { name = "/"; },
  { name = "/custom"; },
  { name = "/orders-fixed"; recovery = false; }
);
'''
INVALID = '{"message":"Invalid namespace"}'
TOO_MANY = '{"message":"Too many namespaces"}'
TIMEOUT = 600  # ms


def setUpModule():
    global stack
    stack = Stack({'max_namespaces': 4}, SERVED)


def tearDownModule():
    stack.close()


class Names(unittest.TestCase):
    def open(self, port=None, **options):
        peer = WebSocket(port or stack.port, **options)
        self.addCleanup(peer.__exit__)
        return peer

    def connect(self, peer, name, auth=''):
        """The object in the answer to a CONNECT that must succeed."""
        peer.send_text(f'40{name},{auth}')
        text = peer.read_text()
        head = f'40{name},' if name != '/' else '40'
        self.assertTrue(text.startswith(head + '{'), text)
        return json.loads(text[len(head):])

    def says(self, peer, sent, answer):
        peer.send_text(sent)
        self.assertEqual(peer.read_text(), answer)

    def lives(self, peer, name=''):
        """Nothing was said but what this asks for."""
        peer.send_text(f'42{name}77["nothing"]')
        self.assertTrue(peer.read_text().startswith(f'43{name}77[{{"ok":false,'))


class Patterns(Names):
    def test_every_name_is_a_namespace_of_its_own(self):
        first, second, other = self.open(), self.open(), self.open()
        for peer, name in ((first, '/orders-1'), (second, '/orders-1'), (other, '/orders-2')):
            self.assertEqual(list(self.connect(peer, name)), ['sid', 'pid'])
            peer.send_text(f'42{name},1["join","r"]')
            self.assertTrue(peer.read_text().startswith(f'43{name},1[{{"ok":true,"room":"r","seq":0,'))
        self.says(first, '42/orders-1,2["presence","r"]', '43/orders-1,2[{"ok":true,"room":"r","members":2}]')
        self.says(other, '42/orders-2,2["presence","r"]', '43/orders-2,2[{"ok":true,"room":"r","members":1}]')
        first.send_text('42/orders-1,["msg",{"room":"r"}]')
        for peer in (first, second):
            self.assertRegex(peer.read_text(), r'\A42/orders-1,\["msg",\{"room":"r"\},\{"room":"r","seq":1,.*,"[^"]+\.\d+"\]\Z')
        self.lives(other, '/orders-2,')

    def test_binary_events_carry_the_name_too(self):
        peer, other = self.open(), self.open()
        for one in (peer, other):
            self.connect(one, '/orders-bytes')
            one.send_text('42/orders-bytes,1["join","r"]')
            one.read_text()
        event = '["msg",{"room":"r","b":{"_placeholder":true,"num":0}}'
        peer.send_text(f'451-/orders-bytes,{event}]')
        peer.send(frame(BINARY, b'\0\xff'))
        for one in (peer, other):
            self.assertTrue(one.read_text().startswith(f'451-/orders-bytes,{event},'))
            self.assertEqual(one.read_frame(), (BINARY, b'\0\xff'))
        peer.send_text('42/orders-bytes,2["history",{"room":"r"}]')
        self.assertTrue(peer.read_text().startswith('461-/orders-bytes,2[{"ok":true,'))
        self.assertEqual(peer.read_frame(), (BINARY, b'\0\xff'))

    def test_each_has_the_keys_and_rules_of_its_entry(self):
        peer, other = self.open(), self.open()
        for one in (peer, other):
            self.connect(one, '/shop/chat-5')
        self.connect(other, '/shop/chat-6')
        self.says(peer, '42/shop/chat-5,["join",1]', '42/shop/chat-5,["join",1]')
        peer.send_text('42/shop/chat-5,["all",2]')
        for one in (peer, other):
            self.assertEqual(one.read_text(), '42/shop/chat-5,["all",2]')
        self.connect(peer, '/orders-fixed')
        self.assertRegex(self.event_of(peer, '/orders-fixed'), r'"at":\d+\}\]\Z')  # no offset: the fixed entry's
        self.connect(peer, '/orders-other')
        self.assertRegex(self.event_of(peer, '/orders-other'), r'"\]\Z')
        self.lives(other, '/shop/chat-6,')

    def event_of(self, peer, name):
        peer.send_text(f'42{name},1["join","r"]')
        peer.read_text()
        peer.send_text(f'42{name},["msg",{{"room":"r"}}]')
        return peer.read_text()

    def test_what_no_pattern_stands_for(self):
        peer = self.open()
        for name in ('/random', '/orders-', '/orders', '/orders-1/2', '/orders-1?x=1', '/custom?x=1', '/?x=1', '/Orders-1',
                     '/x/orders-1', '/shop/chat-', '/shop//chat-1', '//chat-1', '/orders-\x7f', '/orders-\u0085'):
            self.says(peer, f'40{name},', f'44{name},{INVALID}')
            self.says(peer, f'40{name},{{"token":"x"}}', f'44{name},{INVALID}')
        self.connect(peer, '/orders-*')
        self.connect(peer, '/orders-é "x"')
        self.connect(peer, '/orders-' + 'n' * 247)

    def test_too_long_or_with_a_control_character(self):
        peer = self.open()
        peer.send_text('40/orders-' + 'n' * 248)
        self.assertIsNone(peer.read_close())

    def test_connecting_twice_and_events_before_it_close(self):
        for text in ('42/orders-1,["msg"]', '41/orders-1,', '43/orders-1,1[]'):
            with WebSocket(stack.port) as peer:
                peer.send_text(text)
                self.assertIsNone(peer.read_close(), text)
        for text in ('40/orders-1,', '42/orders-2,["msg"]'):
            with WebSocket(stack.port) as peer:
                self.connect(peer, '/orders-1')
                peer.send_text(text)
                self.assertIsNone(peer.read_close(), text)

    def test_one_that_was_left_by_all_is_there_again(self):
        peer = self.open()
        sids = set()
        for count in range(1, 4):
            sids.add(self.connect(peer, '/orders-again')['sid'])
            peer.send_text('42/orders-again,1["join","r"]')
            self.assertTrue(peer.read_text().startswith(f'43/orders-again,1[{{"ok":true,"room":"r","seq":{count - 1},'))
            peer.send_text('42/orders-again,2["msg",{"room":"r"}]')
            texts = sorted((peer.read_text(), peer.read_text()))
            self.assertIn(f'"seq":{count},', texts[1])
            peer.send_text('41/orders-again,')
        self.assertEqual(len(sids), 3)


class Several(Names):
    def test_over_one_connection(self):
        peer = self.open()
        names = ('/', '/custom', '/orders-1', '/orders-2')
        sids = [self.connect(peer, name)['sid'] for name in names]
        self.assertEqual(len({*sids, peer.open['sid']}), 5)
        heads = ['' if name == '/' else name + ',' for name in names]
        for head in heads:
            self.lives(peer, head)
        self.says(peer, '40/orders-3,', f'44/orders-3,{TOO_MANY}')
        for head in heads:
            self.lives(peer, head)
        peer.send_text('41/custom,')
        for head in ('', *heads[2:]):
            self.lives(peer, head)
        self.says(peer, '40/random,', f'44/random,{INVALID}')
        self.connect(peer, '/orders-3')
        self.lives(peer)

    def test_a_refused_one_may_be_tried_again(self):
        peer = self.open()
        for _ in range(3):
            self.says(peer, '40/random,', f'44/random,{INVALID}')
        peer.send_text('42/random,["msg"]')  # it is not connected
        self.assertIsNone(peer.read_close())

    def test_the_last_one_may_go(self):
        peer = self.open()
        self.connect(peer, '/orders-1')
        peer.send_text('41/orders-1,')
        peer.send(frame(PING, 'alive'))
        self.assertEqual(peer.read_frame(), (PONG, b'alive'))
        self.connect(peer, '/')
        self.lives(peer)

    def test_in_one_segment(self):
        peer = self.open()
        peer.send(b''.join(frame(TEXT, text) for text in ('40', '40/orders-1,', '42/orders-1,1["join","r"]', '41/orders-1,',
                                                          '40/random', '421["nothing"]')))
        texts = [peer.read_text() for _ in range(3)]
        self.assertEqual([text for text in texts if text.startswith('44')], [f'44/random,{INVALID}'])
        self.assertEqual(len([text for text in texts if text.startswith('40{')]), 1)
        self.assertTrue(texts[-1].startswith('431[{"ok":false,'), texts)
        self.lives(peer)


class Limit(Names):
    def test_namespaces_of_patterns(self):
        bounded = Stack({'max_pattern_namespaces': 2}, SERVED)
        self.addCleanup(bounded.close)
        first, second = self.open(bounded.port), self.open(bounded.port)
        self.connect(first, '/orders-1')
        self.connect(first, '/orders-2')
        self.says(second, '40/orders-3,', f'44/orders-3,{TOO_MANY}')
        self.connect(second, '/orders-1')
        self.connect(second, '/orders-fixed')
        first.send_text('41/orders-2,')
        self.connect(first, '/')  # behind the 41
        self.connect(second, '/orders-3')
        self.says(first, '40/orders-2,', f'44/orders-2,{TOO_MANY}')
        self.counted(bounded, 'hubbub_namespaces_refused_total', 2)
        first.socket.close()
        second.send_text('41/orders-1,')
        self.connect(second, '/orders-4')

    def test_auth_payloads(self):
        bounded = Stack({'max_auth': 128}, SERVED)
        self.addCleanup(bounded.close)
        peer = self.open(bounded.port)
        for length, name in ((128, '/custom'), (129, '/orders-1')):
            auth = '{"a":"' + 'x' * (length - 8) + '"}'
            peer.send_text(f'40{name},{auth} ')
            text = peer.read_text()
            if length > 128:
                self.assertEqual(text, f'44{name},{{"message":"The auth payload is too large"}}')
            else:
                self.assertTrue(text.startswith(f'40{name},{{"sid":"'))
        self.connect(peer, '/orders-1')
        self.counted(bounded, 'hubbub_auths_refused_total', 1)

    def test_namespaces_of_one_connection(self):
        bounded = Stack({'max_namespaces': 2}, SERVED)
        self.addCleanup(bounded.close)
        peer = self.open(bounded.port)
        self.connect(peer, '/')
        self.connect(peer, '/orders-1')
        self.says(peer, '40/orders-2,', f'44/orders-2,{TOO_MANY}')
        self.says(peer, '40/random,', f'44/random,{INVALID}')
        peer.send_text('41/orders-1,')
        self.connect(peer, '/orders-2')
        self.counted(bounded, 'hubbub_sockets_refused_total', 1)
        self.counted(bounded, 'hubbub_connects_refused_total', 1)

    def counted(self, asked, name, value):
        """Waits for a report of the gateway (one comes every second) that says so."""
        end = time.monotonic() + PATIENCE
        while True:
            answer = subprocess.run([BUILD / 'cli' / 'hubbub', 'stats', '--data', asked.folder / 'data', 'json'],
                                    capture_output=True, check=True, text=True)
            found = json.loads(answer.stdout)['metrics'].get(name)
            if found == value:
                return
            self.assertLess(time.monotonic(), end, found)
            time.sleep(0.1)


class ConnectTimeout(Names):
    def setUp(self):
        self.gateway = Stack({'connect_timeout': TIMEOUT, 'ping_interval': TIMEOUT * 2}, SERVED)
        self.addCleanup(self.gateway.close)

    def test_a_refused_connect_does_not_stop_it(self):
        def attempt():
            start = time.monotonic()
            peer = self.open(self.gateway.port)
            with before_time_is_up():
                self.says(peer, '40/random,', f'44/random,{INVALID}')
            self.assertIsNone(peer.read_close())
            self.assertGreaterEqual(time.monotonic() - start, TIMEOUT / 1000 - 0.01)
        in_time(attempt)

    def test_it_does_not_run_again_behind_the_last_disconnect(self):
        def attempt():
            peer = self.open(self.gateway.port)
            with before_time_is_up():
                self.connect(peer, '/custom')
            return peer
        peer = in_time(attempt)
        peer.send_text('41/custom,')
        self.assertEqual(peer.read_text(), '2')  # the ping: later than the timeout
        peer.send_text('3')
        self.assertEqual(peer.read_text(), '2')
        self.connect(peer, '/custom')


class PlayedRouter(Names):
    """A gateway whose router is this test: what the router decides, as the client gets it."""
    HELLO, CONNECT, DISCONNECT, EVENT = 1, 5, 6, 11
    WELCOME, LIVE, CONNECTED, REFUSED, ANSWER, CLOSE = 32, 33, 34, 35, 38, 42
    TOLD, ASK = 16, 50

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name, 'conf')
        path.write_text(SERVED)
        context = zmq.Context()
        self.addCleanup(context.destroy, 0)
        self.socket = context.socket(zmq.ROUTER)
        self.socket.bind(f'ipc://{folder.name}/link')
        self.gateway = Gateway(config=path, router=f'ipc://{folder.name}/link', dead='600s')  # the test gives no signs of life
        self.addCleanup(self.gateway.close, check=False)
        self.sent = 0
        self.records = []
        self.take(self.HELLO)
        self.put([self.WELCOME, 'epoch', 0, 1, 0], [self.LIVE, 0])

    def put(self, *records):
        self.sent += 1
        self.socket.send_multipart([self.routing, msgpack.packb([1, self.link, self.sent, self.received, list(records)])])

    def take(self, kind):
        """The next record of that kind; what comes before it is dropped."""
        while True:
            while self.records:
                record = self.records.pop(0)
                if record[0] == kind:
                    return record[1:]
            self.assertTrue(self.socket.poll(PATIENCE * 1000), 'the gateway says nothing')
            self.routing, batch = self.socket.recv_multipart()
            _, self.link, self.received, _, self.records = msgpack.unpackb(batch)

    def accept(self, peer, name):
        peer.send_text(f'40{name},')
        request, number, namespace, auth, address = self.take(self.CONNECT)[:5]
        self.assertEqual((namespace, auth, address), (name, '', '127.0.0.1'))
        self.put([self.CONNECTED, request, number, 's' * 20, 'anon:' + 's' * 20, 1, '', 0])
        self.assertTrue(peer.read_text().endswith('{"sid":"' + 's' * 20 + '"}'))
        return number

    def test_a_refusal_goes_to_the_client_byte_for_byte(self):
        peer = self.open(self.gateway.port)
        for name, head in (('/', '44'), ('/custom', '44/custom,'), ('/orders-1', '44/orders-1,')):
            for error in ('{"message":"not authorized"}', '{"message":"no","data":{"code":1, "é":[1.0,null]}}'):
                peer.send_text(f'40{name},{{"token":"x"}}')
                request, number, namespace, auth, _ = self.take(self.CONNECT)[:5]
                self.assertEqual((namespace, auth), (name, '{"token":"x"}'))
                self.put([self.REFUSED, request, number, error])
                self.assertEqual(peer.read_text(), head + error)
        self.accept(peer, '/custom')  # and the client may try again

    def test_a_disconnect_by_the_server_ends_one_namespace(self):
        peer = self.open(self.gateway.port)
        numbers = {name: self.accept(peer, name) for name in ('/', '/custom', '/orders-1')}
        self.put([self.CLOSE, numbers['/custom'], 'kicked', 1], [self.CLOSE, numbers['/orders-1'], 'kicked', 1])
        self.assertEqual([peer.read_text(), peer.read_text()], ['41/custom,', '41/orders-1,'])
        self.lives_here(peer, numbers['/'])
        again = self.accept(peer, '/orders-1')
        self.assertNotIn(again, numbers.values())
        self.put([self.CLOSE, numbers['/'], 'kicked', 1])
        self.assertEqual(peer.read_text(), '41')
        self.put([self.CLOSE, again, 'kicked', 1])
        self.assertEqual(peer.read_text(), '41/orders-1,')
        self.accept(peer, '/')  # the connection stays, with no namespace left

    def test_a_disconnect_of_the_connection_ends_all_namespaces(self):
        for peer in (self.open(self.gateway.port), self.open(self.gateway.port)):
            numbers = {name: self.accept(peer, name) for name in ('/', '/custom', '/orders-1')}
            self.put([self.CLOSE, numbers['/custom'], 'kicked', 2])
            texts = [peer.read_text() for _ in numbers]
            self.assertEqual((texts[0], sorted(texts)), ('41/custom,', ['41', '41/custom,', '41/orders-1,']))
            self.assertIsNone(peer.read_close())
            told = [self.take(self.DISCONNECT) for _ in range(2)]
            self.assertEqual(sorted(told), sorted([numbers[name], 'server_disconnect'] for name in ('/', '/orders-1')))

    def test_a_disconnect_by_the_client_is_told_and_not_answered(self):
        peer = self.open(self.gateway.port)
        number, main = self.accept(peer, '/orders-1'), self.accept(peer, '/')
        peer.send_text('41/orders-1,')
        self.assertEqual(self.take(self.DISCONNECT), [number, 'client_disconnect'])
        self.put([self.CLOSE, number, 'kicked', 1])  # it has crossed the client's
        self.lives_here(peer, main)

    def test_what_a_client_told_is_answered_to_whoever_asks(self):
        peer = self.open(self.gateway.port, path='/socket.io/?EIO=4&transport=websocket&a=%22', fields=('X-A: \x9b',))
        number = self.accept(peer, '/orders-1')
        self.put([self.ASK, 5, number], [self.ASK, 6, number + 1])
        ask, handshake = self.take(self.TOLD)
        self.assertEqual(ask, 5)
        self.assertEqual(json.loads(handshake)['query']['a'], '"')
        self.assertEqual(json.loads(handshake)['auth'], {})
        self.assertIn('"x-a":"Â' + r'\u009b"', handshake)
        self.assertEqual(self.take(self.TOLD), [6, ''])
        peer.send_text('41/orders-1,')
        self.take(self.DISCONNECT)
        self.put([self.ASK, 7, number])
        self.assertEqual(self.take(self.TOLD), [7, ''])

    def lives_here(self, peer, number):
        peer.send_text('427["x",1]')
        request, socket, *_ = self.take(self.EVENT)
        self.assertEqual(socket, number)
        self.put([self.ANSWER, request, '{"ok":true}'])
        self.assertEqual(peer.read_text(), '437[{"ok":true}]')


if __name__ == '__main__':
    unittest.main()
