"""Engine.IO v4 over WebSocket: the handshake and its refusals, the heartbeat, packets that only one side sends."""
import time
import unittest

from programs import Gateway
from raw_client import (BINARY, PING, PONG, TEXT, Connection, WebSocket, before_time_is_up, frame, get, handshake,
                        in_time, request)

INTERVAL, TIMEOUT = 0.3, 0.2
REFUSAL = ',{"message":"Invalid namespace"}'
UPGRADE = ('Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13',
           'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==')


def setUpModule():
    global gateway, patient, pinging, impatient
    gateway = Gateway(ping_interval=300, ping_timeout=200)
    patient = Gateway()
    pinging = Gateway(ping_interval=300)
    impatient = Gateway(connect_timeout=300)


def tearDownModule():
    for each in (gateway, patient, pinging, impatient):
        each.close()


class Handshake(unittest.TestCase):
    def test_the_open_packet_has_exactly_its_keys(self):
        seen = set()
        for _ in range(50):
            with WebSocket(gateway.port) as peer:
                self.assertEqual(list(peer.open), ['sid', 'upgrades', 'pingInterval', 'pingTimeout', 'maxPayload'])
                self.assertEqual({**peer.open, 'sid': ''}, {'sid': '', 'upgrades': [], 'pingInterval': 300,
                                                            'pingTimeout': 200, 'maxPayload': 1000000})
                self.assertRegex(peer.open['sid'], r'\A[A-Za-z0-9_-]{24}\Z')
                seen.add(peer.open['sid'])
        self.assertEqual(len(seen), 50)

    def test_the_defaults(self):
        with WebSocket(patient.port) as peer:
            self.assertEqual((peer.open['pingInterval'], peer.open['pingTimeout']), (25000, 20000))

    def test_queries_that_are_fine(self):
        for query in ('transport=websocket&EIO=4', 'EIO=4&transport=websocket&t=abc&b64=1&x=%zz', '&&EIO=4&transport=websocket',
                      'EIO=4&transport=websocket&sid=', 'E%49O=4&transport=web%73ocket'):
            with WebSocket(gateway.port, path='/socket.io/?' + query) as peer:
                self.assertEqual(peer.open['upgrades'], [])
        with WebSocket(gateway.port, path='/socket.io/any/thing?EIO=4&transport=websocket') as peer:
            self.assertEqual(peer.open['upgrades'], [])

    # What is wrong, and the code that is said first when more than one thing is.
    REFUSED = (
        ('', 0, 'Transport unknown'), ('EIO=4', 0, 'Transport unknown'),
        ('EIO=4&transport=webtransport', 0, 'Transport unknown'),
        ('EIO=4&transport=abc', 0, 'Transport unknown'), ('EIO=3&transport=abc&sid=x', 0, 'Transport unknown'),
        ('EIO=4&transport=Websocket', 0, 'Transport unknown'), ('EIO=4&transport=%zz', 0, 'Transport unknown'),
        ('EIO=4&transport=websocket&sid=unknown', 1, 'Session ID unknown'),
        ('EIO=3&transport=websocket&sid=unknown', 1, 'Session ID unknown'),
    )
    REFUSED_UPGRADES = (('EIO=4&transport=polling', 0), ('EIO=3&transport=websocket', 5), ('transport=websocket', 5), ('EIO=5&transport=websocket', 5),
                        ('EIO=44&transport=websocket', 5), ('EIO=&transport=websocket', 5))

    def test_refusals_and_their_order(self):
        for query, code, message in self.REFUSED:
            response = get(gateway.port, '/socket.io/?' + query)
            self.assertEqual((response.status, response.fields['content-type']), (400, 'application/json'), query)
            self.assertEqual(response.body.decode(), f'{{"code":{code},"message":"{message}"}}')
            self.assertEqual(response.fields['connection'], 'keep-alive')

    def test_methods_and_requests_that_do_not_upgrade(self):
        for query in ('EIO=4&transport=websocket', 'EIO=3&transport=websocket'):
            for method in ('POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'):
                response = get(gateway.port, '/socket.io/?' + query, method=method)
                self.assertEqual((response.status, response.body), (400, b'{"code":2,"message":"Bad handshake method"}'))
            response = get(gateway.port, '/socket.io/?' + query)
            self.assertEqual((response.status, response.body), (400, b'{"code":3,"message":"Bad request"}'))
        response = request(gateway.port, 'HEAD /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\n\r\n')
        self.assertEqual((response.status, response.fields['content-length']), (400, '43'))

    def test_a_refused_upgrade_gets_the_bare_message(self):
        messages = {0: b'Transport unknown', 1: b'Session ID unknown', 5: b'Unsupported protocol version'}
        for query, code, *_ in self.REFUSED + self.REFUSED_UPGRADES:
            with Connection(gateway.port) as connection:
                connection.send(handshake('/socket.io/?' + query))
                response = connection.response()
                self.assertEqual((response.status, response.body), (400, messages[code]), query)
                self.assertEqual(response.fields['connection'], 'close')
                self.assertTrue(connection.peer_ended())

    def test_other_paths_are_not_upgraded(self):
        for path in ('/socket.io?EIO=4&transport=websocket', '/?EIO=4&transport=websocket', '/other'):
            self.assertIn(get(gateway.port, path, *UPGRADE).status, (200, 404))


class Heartbeat(unittest.TestCase):
    def test_pings_come_while_pongs_do(self):
        last = time.monotonic()
        with WebSocket(pinging.port) as peer:
            for _ in range(4):
                self.assertEqual(peer.read_text(), '2')
                now = time.monotonic()
                self.assertGreater(now - last, INTERVAL - 0.02)
                last = now
                peer.send_text('3')

    def test_a_missing_pong_closes_without_a_code_and_not_early(self):
        started = time.monotonic()
        with WebSocket(gateway.port) as peer:
            self.assertEqual(peer.read_text(), '2')
            self.assertIsNone(peer.read_close())
            self.assertGreater(time.monotonic() - started, INTERVAL + TIMEOUT - 0.02)

    def test_a_websocket_pong_is_no_pong(self):
        with WebSocket(gateway.port) as peer:
            self.assertEqual(peer.read_text(), '2')
            peer.send(frame(PONG))
            self.assertIsNone(peer.read_close())

    def test_an_unasked_pong_starts_the_interval_again(self):
        def attempt():
            with WebSocket(pinging.port) as peer:
                time.sleep(INTERVAL / 2)
                sent = time.monotonic()
                peer.send(frame(TEXT, '3') + frame(PING, 'behind it'))
                with before_time_is_up():
                    self.assertEqual(peer.read_frame(), (PONG, b'behind it'))
                self.assertEqual(peer.read_text(), '2')
                self.assertGreater(time.monotonic() - sent, INTERVAL - 0.02)
        in_time(attempt)

    def test_another_packet_moves_the_deadline_once(self):
        def attempt():
            with WebSocket(gateway.port) as peer:
                self.assertEqual(peer.read_text(), '2')
                time.sleep(TIMEOUT / 2)
                moved = time.monotonic()
                peer.send(frame(TEXT, '6') + frame(TEXT, '6') + frame(PING, 'behind them'))
                with before_time_is_up():
                    self.assertEqual(peer.read_frame(), (PONG, b'behind them'))
                self.assertIsNone(peer.read_close())
                self.assertGreater(time.monotonic() - moved, TIMEOUT - 0.02)
        in_time(attempt)


class Packets(unittest.TestCase):
    def closed_by(self, *texts):
        for text in texts:
            with WebSocket(patient.port) as peer:
                peer.send_text(text)
                self.assertIsNone(peer.read_close(), text)

    def test_packets_of_servers_are_ignored(self):
        with WebSocket(patient.port) as peer:
            for text in ('0', '0{"sid":"x"}', '5', '6', '3', '3probe'):
                peer.send_text(text)
            peer.send_text('40/x')
            self.assertEqual(peer.read_text(), '44/x' + REFUSAL)

    def test_a_ping_of_the_client_closes(self):
        self.closed_by('2', '2probe')

    def test_a_close_packet_closes_at_once(self):
        self.closed_by('1')

    def test_what_is_no_packet_closes(self):
        self.closed_by('', '7', '9', 'x', ' 4', 'bAQIDBA==', '4', '\0', 'é')

    def test_who_joins_no_namespace_is_closed(self):
        def attempt(*texts):
            started = time.monotonic()
            with WebSocket(impatient.port) as peer:
                for text in texts:
                    peer.send_text(text)
                    with before_time_is_up():
                        self.assertEqual(peer.read_text(), '44/x' + REFUSAL)
                self.assertIsNone(peer.read_close())
                self.assertGreater(time.monotonic() - started, 0.28)
        attempt()
        in_time(lambda: attempt('40/x'))  # a refusal does not count as joining

    def test_messages_in_one_segment_are_told_apart(self):
        with WebSocket(patient.port) as peer:
            peer.send(b''.join(frame(TEXT, f'40/{i}') for i in range(100)))
            for i in range(100):
                self.assertEqual(peer.read_text(), f'44/{i}' + REFUSAL)

    def test_a_binary_message_that_was_not_announced_closes(self):
        with WebSocket(patient.port) as peer:
            peer.send(frame(BINARY, b'4'))
            self.assertIsNone(peer.read_close())


if __name__ == '__main__':
    unittest.main()
