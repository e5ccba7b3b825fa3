"""WebSocket (RFC 6455) on the wire.  A CONNECT to a namespace that is not served comes back as its refusal, with
the namespace's name in it: that is the echo by which whole messages are seen, and it needs no router."""
import random
import struct
import unittest

from programs import Gateway
from raw_client import (BINARY, CLOSE, PING, PONG, TEXT, Closed, Connection, WebSocket, close_payload, frame,
                        handshake)

LIMIT = 20000
REFUSAL = ',{"message":"Invalid namespace"}'


def setUpModule():
    global gateway
    gateway = Gateway(max_payload=LIMIT)


def tearDownModule():
    gateway.close()


class WebSocketTest(unittest.TestCase):
    def echo(self, peer, name='/x'):
        """The session is alive, and what was sent before has come through."""
        peer.send_text('40' + name)
        self.assertEqual(peer.read_text(), '44' + name + REFUSAL)

    def closed_with(self, code, *sent):
        """After that the server closes with the code, and the connection ends."""
        with WebSocket(gateway.port) as peer:
            for data in sent:
                peer.send(data)
            self.assertEqual(peer.read_close(), code, [data[:40] for data in sent])


class Handshake(WebSocketTest):
    def answer(self, text):
        with Connection(gateway.port) as connection:
            connection.send(text)
            response = connection.response()
            if response.status != 101 and response.fields['connection'] == 'close':
                self.assertTrue(connection.peer_ended())
            return response

    def test_the_answer_of_rfc_6455_1_3(self):
        answer = self.answer(handshake())
        self.assertEqual(answer.status, 101)
        self.assertEqual(answer.fields, {'upgrade': 'websocket', 'connection': 'Upgrade',
                                         'sec-websocket-accept': 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='})

    def test_forms_that_are_fine(self):
        good = handshake().decode()
        for text in (good.replace('Upgrade: websocket', 'upgrade: WebSocket'),
                     good.replace('Connection: Upgrade', 'Connection: keep-alive, upgrade'),
                     good.replace('Host: test', 'Host: test\r\nOrigin: http://elsewhere'),
                     good.replace('\r\n\r\n', '\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n'),
                     good.replace('Upgrade: websocket', 'Upgrade: h2c, websocket')):
            answer = self.answer(text)
            self.assertEqual(answer.status, 101, text)
            self.assertNotIn('sec-websocket-extensions', answer.fields)

    def test_refusals(self):
        good = handshake().decode()
        key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
        for text in (good.replace(key, ''), good.replace(key, key * 2), good.replace('ZQ==', 'ZQ='),
                     good.replace('dGhl', 'dG l'), good.replace('dGhl', ''), good.replace('ZQ==', 'ZQQ='),
                     good.replace('Sec-WebSocket-Version: 13\r\n', ''),
                     good.replace('Version: 13', 'Version: 13\r\nSec-WebSocket-Version: 13'),
                     good.replace('\r\n\r\n', '\r\nContent-Length: 3\r\n\r\nabc'),
                     good.replace('\r\n\r\n', '\r\nSec-WebSocket-Protocol: a b\r\n\r\n')):
            answer = self.answer(text)
            self.assertEqual((answer.status, answer.fields['connection']), (400, 'close'), text)
        for version in ('8', '0', '14', '013', '13, 8'):
            answer = self.answer(good.replace('Version: 13', f'Version: {version}'))
            self.assertEqual((answer.status, answer.fields['sec-websocket-version'], answer.fields.get('upgrade')), (426, '13', 'websocket'))
        # Without an upgrade it is a request like any other: Engine.IO refuses it.
        for text in (good.replace('Connection: Upgrade', 'Connection: keep-alive'),
                     good.replace('Upgrade: websocket', 'Upgrade: h2c'), good.replace('HTTP/1.1', 'HTTP/1.0')):
            answer = self.answer(text)
            self.assertEqual((answer.status, answer.json['code']), (400, 3), text)

    def test_the_first_subprotocol_is_taken(self):
        for offer, taken in (('chat', 'chat'), ('a, b', 'a'), ('b,a', 'b')):
            with WebSocket(gateway.port, fields=[f'Sec-WebSocket-Protocol: {offer}']) as peer:
                self.assertEqual(peer.answer.fields['sec-websocket-protocol'], taken)

    def test_frames_may_come_with_the_handshake(self):
        with WebSocket(gateway.port, first=frame(PING, 'early') + frame(TEXT, '40/x')) as peer:
            self.assertEqual(peer.read_frame(), (PONG, b'early'))
            self.assertEqual(peer.read_text(), '44/x' + REFUSAL)

    def test_a_handshake_may_come_byte_by_byte(self):
        with Connection(gateway.port) as connection:
            for byte in handshake():
                connection.send(bytes([byte]))
            self.assertEqual(connection.response().status, 101)


class Frames(WebSocketTest):
    def test_the_masked_example_of_rfc_6455_5_7(self):
        # "Hello" is no Engine.IO packet, and so closes the session; as a ping it comes back.
        self.closed_with(None, b'\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58')
        with WebSocket(gateway.port) as peer:
            peer.send(b'\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58')
            self.assertEqual(peer.read(7), b'\x8a\x05Hello')

    def test_the_unmasked_examples_are_refused(self):
        for data in (b'\x81\x05\x48\x65\x6c\x6c\x6f', b'\x89\x05\x48\x65\x6c\x6c\x6f', b'\x01\x03\x48\x65\x6c'):
            self.closed_with(1002, data)

    def test_every_length_has_one_form(self):
        with WebSocket(gateway.port) as peer:
            for length in (0, 1, 124, 125):
                peer.send(frame(PING, b'p' * length))
                self.assertEqual(peer.read_frame(), (PONG, b'p' * length))
            for length in (126, 127, 200, 250):
                name = '/' + 'n' * (length - 3)
                peer.send(frame(TEXT, '40' + name))
                self.assertEqual(peer.read_text(), '44' + name + REFUSAL)
        for data in (frame(TEXT, '40/x', length_bytes=2), frame(TEXT, 'a' * 125, length_bytes=2),
                     frame(TEXT, 'a' * 300, length_bytes=8), frame(TEXT, 'a' * 65535, length_bytes=8),
                     b'\x81\xff' + b'\xff' * 8 + b'mask'):
            self.closed_with(1002, data)

    def test_fragments_with_control_frames_between(self):
        with WebSocket(gateway.port) as peer:
            peer.send(frame(TEXT, '40', fin=False) + frame(PING, 'one') + frame(0, '/a', fin=False) +
                      frame(PONG, 'unasked') + frame(0, '', fin=False) + frame(PING, 'two') + frame(0, 'bc'))
            self.assertEqual(peer.read_frame(), (PONG, b'one'))
            self.assertEqual(peer.read_frame(), (PONG, b'two'))
            self.assertEqual(peer.read_text(), '44/abc' + REFUSAL)
            self.echo(peer)

    def test_split_at_every_byte(self):
        data = (frame(TEXT, '40/', fin=False, mask=b'abcd') + frame(PING, 'p' * 10, mask=b'efgh') +
                frame(0, 'grün€😀', mask=b'ijkl') + frame(TEXT, '40/' + 'y' * 130, mask=b'mnop'))
        with WebSocket(gateway.port) as peer:
            for at in range(len(data) + 1):
                peer.send(data[:at])
                peer.send(data[at:])
                self.assertEqual(peer.read_frame(), (PONG, b'p' * 10))
                self.assertEqual(peer.read_text(), '44/grün€😀' + REFUSAL)
                self.assertEqual(peer.read_text(), '44/' + 'y' * 130 + REFUSAL)
            for byte in data:
                peer.send(bytes([byte]))
            self.assertEqual(peer.read_frame(), (PONG, b'p' * 10))
            self.assertEqual(peer.read_text(), '44/grün€😀' + REFUSAL)
            self.assertEqual(peer.read_text(), '44/' + 'y' * 130 + REFUSAL)

    def test_masks(self):
        random.seed(6455)
        with WebSocket(gateway.port) as peer:
            for mask in [b'\0\0\0\0', b'\xff\xff\xff\xff', b'\0\0\0\1'] + [random.randbytes(4) for _ in range(20)]:
                name = '/' + 'm' * random.randrange(1, 250)
                peer.send(frame(TEXT, '40' + name, mask=mask))
                self.assertEqual(peer.read_text(), '44' + name + REFUSAL)

    def test_reserved_bits_and_opcodes(self):
        for rsv in range(1, 8):
            self.closed_with(1002, frame(TEXT, '40/x', rsv=rsv))
            self.closed_with(1002, frame(PING, 'x', rsv=rsv))
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
            self.closed_with(1002, frame(opcode))
            self.closed_with(1002, frame(opcode, 'x', fin=False))

    def test_frames_out_of_order(self):
        self.closed_with(1002, frame(0, 'x'))
        self.closed_with(1002, frame(0, 'x', fin=False))
        self.closed_with(1002, frame(TEXT, '4', fin=False), frame(TEXT, '0'))
        self.closed_with(1002, frame(TEXT, '4', fin=False), frame(BINARY, '0'))
        self.closed_with(1002, frame(TEXT, '4', fin=False), frame(PONG, 'x'), frame(TEXT, '0'))

    def test_control_frames_are_short_and_whole(self):
        for opcode in (CLOSE, PING, PONG):
            self.closed_with(1002, frame(opcode, b'\x03\xe8' + b'a' * 124))
            self.closed_with(1002, frame(opcode, '', fin=False))

    def test_binary_that_was_not_announced(self):
        self.closed_with(None, frame(BINARY, b'\x01\x02'))
        self.closed_with(None, frame(BINARY, b''))


class Text(WebSocketTest):
    def test_text_that_is_not_utf8(self):
        for bad in (b'\xff', b'\xc0\x80', b'\xed\xa0\x80', b'\xf4\x90\x80\x80', b'\xe2\x82', b'\x80', b'\xf8\x88\x80\x80\x80',
                    b'\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited'):
            self.closed_with(1007, frame(TEXT, b'40/' + bad))
            self.closed_with(1007, frame(TEXT, b'40/', fin=False), frame(0, bad))
            self.closed_with(1007, b''.join(frame(TEXT if i == 0 else 0, bytes([byte]), fin=i == len(bad) - 1)
                                            for i, byte in enumerate(bad)))

    def test_a_bad_byte_is_refused_as_soon_as_it_comes(self):
        self.closed_with(1007, frame(TEXT, b'40/\xff', fin=False))
        self.closed_with(1007, frame(TEXT, b'40/\xff' + b'a' * 100)[:12])
        self.closed_with(1007, frame(TEXT, b'40/\xf4', fin=False), frame(0, b'\x90', fin=False))

    def test_characters_may_be_cut_between_fragments(self):
        text = 'κόσμε€😀\U0010ffff\ufeff'.encode()
        with WebSocket(gateway.port) as peer:
            for at in range(len(text) + 1):
                peer.send(frame(TEXT, b'40/', fin=False) + frame(0, text[:at], fin=False) + frame(PING) +
                          frame(0, text[at:]))
                self.assertEqual(peer.read_frame(), (PONG, b''))
                self.assertEqual(peer.read_text(), '44/' + text.decode() + REFUSAL)


class Sizes(WebSocketTest):
    def message(self, length):
        head = '40/x,{"a":"'
        return (head + 'a' * (length - len(head) - 2) + '"}').encode()

    def test_the_limit_passes_exactly(self):
        with WebSocket(gateway.port) as peer:
            peer.send(frame(TEXT, self.message(LIMIT)))
            self.assertEqual(peer.read_text(), '44/x' + REFUSAL)
            data = self.message(LIMIT)
            peer.send(b''.join(frame(0 if at else TEXT, data[at:at + 100], fin=at + 100 >= LIMIT)
                               for at in range(0, LIMIT, 100)))
            self.assertEqual(peer.read_text(), '44/x' + REFUSAL)

    def test_one_more_does_not(self):
        data = self.message(LIMIT + 1)
        self.closed_with(1009, frame(TEXT, data))
        self.closed_with(1009, frame(TEXT, data)[:10])  # the header says it
        self.closed_with(1009, frame(TEXT, data[:LIMIT], fin=False), frame(0, data[LIMIT:]))
        self.closed_with(1009, b'\x81\xff' + struct.pack('>Q', 2 ** 62) + b'mask')
        self.closed_with(1009, b'\x82\xff' + struct.pack('>Q', 2 ** 32 + 5) + b'mask')


class Closing(WebSocketTest):
    def test_a_close_is_answered_with_its_code(self):
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999):
            with WebSocket(gateway.port) as peer:
                peer.send(frame(CLOSE, close_payload(code, 'because')))
                opcode, payload = peer.read_frame()
                self.assertEqual((opcode, payload[:2]), (CLOSE, struct.pack('>H', code)))
                self.assertTrue(peer.peer_ended())

    def test_a_close_without_a_code(self):
        with WebSocket(gateway.port) as peer:
            peer.send(frame(CLOSE))
            self.assertEqual(peer.read_frame(), (CLOSE, b''))
            self.assertTrue(peer.peer_ended())

    def test_codes_that_may_not_be_sent(self):
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
            self.closed_with(1002, frame(CLOSE, close_payload(code)))
        self.closed_with(1002, frame(CLOSE, b'\x03'))
        self.closed_with(1007, frame(CLOSE, close_payload(1000, b'\xff')))

    def test_nothing_counts_after_a_close(self):
        with WebSocket(gateway.port) as peer:
            peer.send(frame(CLOSE, close_payload(1000)) + frame(PING, 'late') + frame(TEXT, '40/x') + b'\xff\xff')
            self.assertEqual(peer.read_frame()[0], CLOSE)
            self.assertTrue(peer.peer_ended())

    def test_a_close_may_come_in_the_middle_of_a_message(self):
        with WebSocket(gateway.port) as peer:
            peer.send(frame(TEXT, '40/', fin=False) + frame(CLOSE, close_payload(1001)))
            self.assertEqual(peer.read_frame(), (CLOSE, close_payload(1001)))
            self.assertTrue(peer.peer_ended())

    def test_a_peer_that_does_not_answer_a_close_is_let_go(self):
        with WebSocket(gateway.port) as peer:
            peer.send(frame(0, 'x'))
            self.assertEqual(peer.read_frame(), (CLOSE, b'\x03\xea'))
            self.assertTrue(peer.peer_ended())  # its own end stays open, and no answer comes

    def test_peers_that_vanish(self):
        for data in (b'', b'\x81', frame(TEXT, 'a' * 500)[:300], frame(TEXT, '4', fin=False)):
            peer = WebSocket(gateway.port)
            peer.send(data)
            peer.socket.close()
        with WebSocket(gateway.port) as peer:
            self.echo(peer)


class Rubbish(WebSocketTest):
    def test_random_bytes_close_and_hurt_nobody(self):
        random.seed(1)
        with WebSocket(gateway.port) as neighbour:
            for _ in range(100):
                with WebSocket(gateway.port) as peer:
                    try:
                        peer.send(random.randbytes(random.randrange(1, 400)))
                        peer.socket.shutdown(1)
                        peer.read_end()
                    except (Closed, OSError):
                        pass
            self.echo(neighbour)


if __name__ == '__main__':
    unittest.main()
