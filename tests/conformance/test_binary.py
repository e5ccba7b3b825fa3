"""Socket.IO's binary packets over WebSocket, raw, against the whole stack: what comes in as announced goes out as it
came, and what does not is refused or closes."""
import json
import subprocess
import time
import unittest

from programs import BUILD, PATIENCE, Stack
from raw_client import BINARY, PING, PONG, TEXT, Client, frame

# "message" comes back as it was sent, without anything added.
EVENTS = '''recovery = false; events = (
  { name = "message"; deliver = "self"; volatile = true; meta = false; },
  { name = "msg"; room = "$.room"; archive = true; dedup = "$.id"; });'''
SERVED = f'namespaces = ({{ name = "/"; {EVENTS} }}, {{ name = "/custom"; {EVENTS} }});'
LIMIT = 100000
INTERVAL, TIMEOUT = 200, 200  # ms


def setUpModule():
    global stack
    stack = Stack({'max_attachments': LIMIT}, SERVED)


def tearDownModule():
    stack.close()


def placeholder(num):
    return '{"_placeholder":true,"num":%s}' % num


def send(peer, *messages):
    """Texts and bytes, in one segment."""
    peer.send(b''.join(frame(BINARY if isinstance(one, bytes) else TEXT, one) for one in messages))


class BinaryTest(unittest.TestCase):
    def comes_back(self, text, *attachments, peer=None):
        if peer is None:
            with Client(stack.port) as peer:
                return self.comes_back(text, *attachments, peer=peer)
        send(peer, text, *attachments)
        self.assertEqual(peer.read_text(), text)
        for attachment in attachments:
            self.assertEqual(peer.read_frame(), (BINARY, attachment))

    def lives(self, peer):
        """Nothing has been said but what this asks for, and it is answered."""
        self.comes_back('42["message","alive"]', peer=peer)

    def closes(self, *messages):
        """All but the last are taken in silence, and the last one closes without a code."""
        with Client(stack.port) as peer:
            send(peer, *messages[:-1])
            peer.send(frame(PING, b'still here'))
            self.assertEqual(peer.read_frame(), (PONG, b'still here'), messages)
            send(peer, messages[-1])
            self.assertIsNone(peer.read_close(), messages)

    def refused(self, peer, head, code):
        answer, = json.loads(peer.packet(head))
        self.assertEqual((answer['ok'], answer['error']['code']), (False, code))


class Events(BinaryTest):
    def test_attachments_come_back_as_they_were(self):
        self.comes_back('451-["message",' + placeholder(0) + ']', b'\1\2\3')
        self.comes_back('452-["message",{"a":[' + placeholder(1) + '],"b":' + placeholder(0) + '}]', b'\1', b'\2')
        self.comes_back('451-["message",' + placeholder(0) + ',' + placeholder(0) + ']', b'\1')
        self.comes_back('451-["message",{"num":0,"x":[1],"_placeholder":true}]', b'\1')
        self.comes_back('451-["message",{"a":{"b":[[{"c":' + placeholder(0) + '}]]}}]', bytes(range(256)) * 200)

    def test_in_a_namespace(self):
        with Client(stack.port) as peer:
            peer.send_text('40/custom')
            peer.packet('40/custom,')
            self.comes_back('451-/custom,["message",' + placeholder(0) + ']', b'\1\2\3', peer=peer)

    def test_attachments_without_placeholders(self):
        self.comes_back('451-["message",1]', b'\1')
        self.comes_back('452-["message",' + placeholder(1) + ']', b'\1', b'\2')
        self.comes_back('451-["message"]', b'\1')

    def test_empty_attachments(self):
        self.comes_back('451-["message",' + placeholder(0) + ']', b'')
        self.comes_back('453-["message",' + placeholder(1) + ']', b'', b'x', b'')

    def test_ten_are_the_most(self):
        self.comes_back('4510-["message",' + placeholder(9) + ']', *(b'%d' % i for i in range(10)))
        self.closes('4511-["message",1]')

    def test_a_placeholder_in_a_plain_event_is_ordinary_data(self):
        self.comes_back('42["message",' + placeholder(0) + ']')
        self.comes_back('42["message",{"_placeholder":true,"num":"x"}]')

    def test_what_only_looks_like_a_placeholder_is_ordinary_data_too(self):
        self.comes_back('451-["message",{"_placeholder":1,"num":7},{"_placeholder":"true"},["_placeholder",true]]', b'\1')
        self.comes_back('451-["message",{"_placeholder":true,"_placeholder":false,"num":7}]', b'\1')

    def test_an_event_may_say_nothing(self):
        with Client(stack.port) as peer:
            send(peer, '452-', b'\1', b'\2', '451-7', b'')
            self.lives(peer)

    def test_an_event_with_an_acknowledgement(self):
        with Client(stack.port) as peer:
            send(peer, '451-7["message",' + placeholder(0) + ']', b'\1')
            self.assertEqual(sorted([peer.read_text(), peer.read_text()]),
                             ['437[{"ok":true}]', '451-["message",' + placeholder(0) + ']'])
            self.assertEqual(peer.read_frame(), (BINARY, b'\1'))

    def test_one_may_be_sent_in_fragments_and_slowly(self):
        text = '452-["message",' + placeholder(0) + ',' + placeholder(1) + ']'
        data = frame(TEXT, text) + frame(BINARY, b'ab', fin=False) + frame(0, b'', fin=False) + frame(0, b'c') + frame(BINARY, b'd')
        for cut in range(len(data)):
            with Client(stack.port) as peer:
                peer.send(data[:cut])
                peer.send(data[cut:])
                self.assertEqual(peer.read_text(), text)
                self.assertEqual([peer.read_frame(), peer.read_frame()], [(BINARY, b'abc'), (BINARY, b'd')])

    def test_heartbeats_may_stand_between(self):
        with Client(stack.port) as peer:
            text = '452-["message",' + placeholder(0) + ']'
            peer.send(frame(TEXT, text) + frame(TEXT, '3') + frame(PING, b'p') + frame(BINARY, b'\1') + frame(TEXT, '6')
                      + frame(BINARY, b'\2'))
            self.assertEqual(peer.read_frame(), (PONG, b'p'))
            self.assertEqual(peer.read_text(), text)
            self.assertEqual([peer.read_frame(), peer.read_frame()], [(BINARY, b'\1'), (BINARY, b'\2')])

    def test_acknowledgements_that_nobody_waits_for(self):
        with Client(stack.port) as peer:
            send(peer, '461-5[' + placeholder(0) + ']', b'\1', '461-[]', b'\1', '462-7[1]', b'', b'')
            self.lives(peer)


class Closing(BinaryTest):
    def test_heads_that_are_malformed(self):
        for text in ('45["a"]', '450-["a"]', '4511-["a"]', '451["a"]', '45-["a"]', '451e0-["a"]', '451.0-["a"]',
                     '45a-["a"]', '45-1-["a"]', '45', '451', '46[]', '460-1[]', '461-1', '461-1{}', '461-{}'):
            self.closes(text)

    def test_json_is_judged_before_the_attachments(self):
        for text in ('451-["message",', '451-{}', '451-[]', '451-[null]', '451-["message"]x', '451-["connect",1]',
                     '451-["message",{"a"}]', '461-1["x"', '461-1"x"'):
            self.closes(text)

    def test_placeholders_that_name_nothing_are_judged_behind_them(self):
        for num in ('1', '-1', '0.5', '"0"', 'null', 'true', '[0]', '1e300'):
            self.closes('451-["message",' + placeholder(num) + ']', b'\1')
            self.closes('451-["message",{"a":[' + placeholder(num) + ']}]', b'\1')
        self.closes('451-["message",{"_placeholder":true}]', b'\1')
        self.closes('452-["message",' + placeholder(2) + ']', b'\1', b'\2')
        self.closes('461-1[' + placeholder(1) + ']', b'\1')
        self.closes('451-["message",{"_placeholder":false,"num":0,"_placeholder":true,"num":1}]', b'\1')

    def test_a_text_while_attachments_are_missing(self):
        for text in ('42["message",1]', '451-["message",1]', '41', '40/custom', '4'):
            self.closes('451-["message",' + placeholder(0) + ']', text)
            self.closes('452-["message",' + placeholder(0) + ']', b'\1', text)

    def test_a_binary_message_that_nobody_announced(self):
        self.closes(b'\1')
        self.closes(b'')
        with Client(stack.port) as peer:
            self.comes_back('451-["message",1]', b'\1', peer=peer)
            send(peer, b'\1')
            self.assertIsNone(peer.read_close())

    def test_a_namespace_that_is_not_joined_is_judged_behind_them(self):
        self.closes('451-/custom,["message",' + placeholder(0) + ']', b'\1')
        self.closes('452-/custom,', b'\1', b'\2')
        self.closes('461-/nowhere,1[]', b'\1')
        with Client(stack.port, connect=False) as peer:
            send(peer, '451-["message",1]', b'\1')
            self.assertIsNone(peer.read_close())


class Rooms(BinaryTest):
    def publish(self, peer, ack, head, *attachments):
        send(peer, f'45{len(attachments)}-{ack}["msg",{head}]', *attachments)

    def test_a_message_reaches_the_room_with_its_attachments(self):
        with Client(stack.port) as sender, Client(stack.port) as other:
            for peer in (sender, other):
                peer.call('join', 'binary')
            self.publish(sender, 7, '{"room":"binary","at":[' + placeholder(1) + ']},' + placeholder(0), b'first', b'\0\xff')
            answer, = json.loads(sender.packet('437'))
            self.assertEqual((answer['ok'], answer['seq']), (True, 1))
            for peer in (sender, other):
                event = json.loads(peer.packet('452-'))
                self.assertEqual(event[1:3], [{'room': 'binary', 'at': [json.loads(placeholder(1))]}, json.loads(placeholder(0))])
                self.assertEqual((event[3]['seq'], len(event)), (1, 4))
                self.assertEqual([peer.read_frame(), peer.read_frame()], [(BINARY, b'first'), (BINARY, b'\0\xff')])

    def test_a_page_of_history_is_a_binary_acknowledgement(self):
        with Client(stack.port) as peer:
            peer.call('join', 'page')
            for n in range(2):
                self.publish(peer, n, '{"room":"page"},' + placeholder(0), b'page %d' % n)
                peer.packet(f'43{n}')
                peer.packet('451-')
                peer.read_frame()
            send(peer, '429["history","page"]')
            page, = json.loads(peer.packet('462-9'))
            self.assertEqual([message['args'][1] for message in page['messages']],
                             [json.loads(placeholder(0)), json.loads(placeholder(1))])
            self.assertEqual([peer.read_frame(), peer.read_frame()], [(BINARY, b'page 0'), (BINARY, b'page 1')])
            send(peer, '428["join",{"room":"page","history":1}]')
            joined, = json.loads(peer.packet('461-8'))
            self.assertEqual(joined['history'][0]['args'][1], json.loads(placeholder(0)))
            self.assertEqual(peer.read_frame(), (BINARY, b'page 1'))
            self.lives(peer)

    def test_where_a_rule_reads_no_attachment_counts(self):
        with Client(stack.port) as peer:
            peer.call('join', 'r')
            self.publish(peer, 1, '{"room":' + placeholder(0) + '}', b'r')
            self.refused(peer, '431', 'bad_room')
            self.publish(peer, 2, '{"room":"r","id":' + placeholder(0) + '}', b'12345678')
            self.refused(peer, '432', 'bad_request')
            self.publish(peer, 3, '{"room":"r","room":"r","a":' + placeholder(0) + '}', b'r')
            self.refused(peer, '433', 'bad_request')
            send(peer, '451-4["join","s",' + placeholder(0) + ']', b'ignored')
            self.assertTrue(json.loads(peer.packet('434'))[0]['ok'])
            send(peer, '451-5["join",' + placeholder(0) + ']', b's')
            self.refused(peer, '435', 'bad_room')
            self.lives(peer)


class Bounds(BinaryTest):
    def test_the_bound_in_bytes(self):
        text = '452-7["message",' + placeholder(0) + ']'
        rest = LIMIT - len(text) + 1 - 10
        with Client(stack.port) as peer:
            send(peer, text, bytes(10), bytes(rest))
            self.assertEqual(sorted([peer.read_text()[:4], peer.read_text()[:4]]), ['437[', '452-'])
            self.assertEqual([len(peer.read_frame()[1]), len(peer.read_frame()[1])], [10, rest])
            for attachments in ((bytes(10), bytes(rest + 1)), (bytes(2 * LIMIT), b''), (bytes(500000), bytes(900000))):
                send(peer, text, *attachments)
                self.refused(peer, '437', 'too_large')
            send(peer, '451-7["message","' + 'x' * LIMIT + '"]', b'')
            self.refused(peer, '437', 'too_large')
            send(peer, '451-["message",1]', bytes(LIMIT))
            event = json.loads(peer.packet('42'))
            self.assertEqual((event[0], event[1]['event'], event[1]['error']['code']), ('hubbub:error', 'message', 'too_large'))
            self.lives(peer)

    def test_depth_is_refused_behind_the_attachments(self):
        with Client(stack.port) as peer:
            send(peer, '451-7["message",' + '[' * 128 + ']' * 128 + ']', b'')
            self.refused(peer, '437', 'too_deep')
            send(peer, '451-7["message",' + '[' * 127 + ']' * 127 + ']', b'')
            self.assertEqual(sorted([peer.read_text()[:4], peer.read_text()[:4]]), ['437[', '451-'])

    def test_names_that_are_too_long(self):
        with Client(stack.port) as peer:
            send(peer, '451-7["' + 'n' * 256 + '"]', b'')
            self.refused(peer, '437', 'too_large')
            send(peer, '451-7["' + 'n' * LIMIT + '"]', b'')
            self.refused(peer, '437', 'too_large')

    def test_a_single_attachment_over_the_largest_message(self):
        with Client(stack.port) as peer:
            send(peer, '451-["message",1]', bytes(1000001))
            self.assertEqual(peer.read_close(), 1009)

    def test_attachments_that_do_not_come_in_time(self):
        hasty = Stack({'ping_interval': f'"{INTERVAL} ms"', 'ping_timeout': f'"{TIMEOUT} ms"'}, SERVED)
        try:
            with Client(hasty.port) as peer:
                started = time.monotonic()
                send(peer, '453-["message",1]', b'1', b'2')
                while (message := peer.read_frame()) == (TEXT, b'2'):
                    peer.send_text('3')
                self.assertEqual(message, (8, b''))
                self.assertGreaterEqual(time.monotonic() - started, (INTERVAL + TIMEOUT) / 1000 * 0.99)
            with Client(hasty.port) as peer:  # who answers pings and owes nothing stays
                for _ in range(5):
                    self.assertEqual(peer.read_text(), '2')
                    peer.send_text('3')
                self.comes_back('451-["message",1]', b'1', peer=peer)
            self.assertEqual(self.closed(hasty, 'attachments_timeout'), 1)
        finally:
            hasty.close()

    def closed(self, asked, reason):
        """The gateways report once a second: waits for the report that has the reason."""
        end = time.monotonic() + PATIENCE
        while True:
            answer = subprocess.run([BUILD / 'cli' / 'hubbub', 'stats', '--data', asked.folder / 'data', 'json'],
                                    capture_output=True, check=True, text=True)
            closed = json.loads(answer.stdout)['metrics'].get('hubbub_closed_total{reason=%s}' % reason)
            if closed or time.monotonic() > end:
                return closed
            time.sleep(0.1)


if __name__ == '__main__':
    unittest.main()
