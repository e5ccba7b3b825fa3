"""Engine.IO v4 over HTTP long-polling, each request at the session's gateway or at the other one.

Rows of the protocol, and the tests that hold them (the WebSocket side of a row is in test_engineio.py, the
upgrade in test_upgrade.py, packets of Socket.IO in test_socketio.py, HTTP itself in test_http.py):

    paths and the query               Opening.test_queries_and_paths_that_are_fine, .test_paths_that_are_not_served
    which refusal comes first         Opening.test_refusals_and_their_order, .test_methods_without_a_session,
                                      Session.test_a_known_session_and_a_wrong_query
    forms of refusals                 Opening.test_refusals_and_their_order
    the open packet                   Opening.test_the_open_packet, .test_the_id_names_the_gateway
    packets in a payload              Payloads.*
    headers of answers                Opening.test_the_open_packet, Session.test_headers_of_answers
    GET: at once, or held             Session.test_a_get_is_held_until_there_is_something,
                                      .test_what_came_between_polls_comes_at_once
    POST: ok, 400, 413, 500           Payloads.test_what_is_no_packet_*, Session.test_a_body_that_*,
                                      .test_other_methods, .test_content_types
    overlapping requests              Overlap.*, OverlappingPosts.*
    aborted requests                  Aborted.*
    closing, from both sides          Closing.*
    gzip                              Compression.*
    keep-alive, chunked, pipelined    Http.*
    heartbeat                         Heartbeat.*
    two address families              Opening.test_both_address_families
    echoes of one POST in one answer  Bare.* (Engine.IO without Socket.IO)
"""
import base64
import gzip
import json
import socket
import time
import unittest
import zlib

from programs import REFERENCE, in_placements, serve
from raw_client import (ALTERNATING, AWAY, HOME, Closed, Connection, Polling, TooLate, before_time_is_up, get, in_time,
                        request)

INTERVAL, TIMEOUT = 0.3, 0.2
LIMIT = 4000
QUERY = 'EIO=4&transport=polling'
UNKNOWN = (400, b'{"code":1,"message":"Session ID unknown"}')
BAD_REQUEST = (400, b'{"code":3,"message":"Bad request"}')


def setUpModule():
    global patient, hasty, pinging, small, impatient
    patient = serve()
    hasty = serve({'ping_interval': 300, 'ping_timeout': 200})
    pinging = serve({'ping_interval': 300})
    small = serve({'max_payload': LIMIT})
    impatient = serve({'connect_timeout': 300})


def tearDownModule():
    for server in (patient, hasty, pinging, small, impatient):
        server.close()


def answer_of(response):
    return response.status, response.body


class Opening(unittest.TestCase):
    def test_the_open_packet(self):
        seen = set()
        for port in hasty.ports * 5:
            response = get(port, f'/socket.io/?{QUERY}')
            self.assertEqual(response.status, 200)
            self.assertEqual(response.fields['content-type'], 'text/plain; charset=UTF-8')
            self.assertEqual(response.fields['cache-control'], 'no-store')
            self.assertEqual(response.fields['connection'], 'keep-alive')
            self.assertEqual(int(response.fields['content-length']), len(response.body))
            for field in ('access-control-allow-origin', 'vary', 'set-cookie', 'content-encoding'):
                self.assertNotIn(field, response.fields)
            self.assertEqual(response.body[:1], b'0')
            packet = json.loads(response.body[1:])
            self.assertEqual(list(packet), ['sid', 'upgrades', 'pingInterval', 'pingTimeout', 'maxPayload'])
            self.assertEqual({**packet, 'sid': ''}, {'sid': '', 'upgrades': ['websocket'], 'pingInterval': 300,
                                                     'pingTimeout': 200, 'maxPayload': 1000000})
            self.assertRegex(packet['sid'], r'\A[A-Za-z0-9_-]{20,24}\Z')
            seen.add(packet['sid'])
        self.assertEqual(len(seen), 5 * len(hasty.ports))

    def test_the_defaults(self):
        packet = Polling(patient).open
        self.assertEqual((packet['pingInterval'], packet['pingTimeout'], packet['maxPayload']), (25000, 20000, 1000000))

    @unittest.skipIf(REFERENCE, 'the reference has no gateways')
    def test_the_id_names_the_gateway(self):
        names = [{json.loads(get(port, f'/socket.io/?{QUERY}').body[1:])['sid'][:8] for _ in range(5)}
                 for port in patient.ports]
        self.assertEqual([len(name) for name in names], [1, 1])
        self.assertNotEqual(names[0], names[1])

    def test_the_socket_has_another_id(self):
        session = Polling(patient)
        self.assertNotEqual(session.connect(), session.sid)

    def test_both_address_families(self):
        for host in ('127.0.0.1', '::1'):
            session = Polling(patient, host=host)
            session.connect()
            self.assertEqual(session.call('echo', host), {'ok': True})

    def test_queries_and_paths_that_are_fine(self):
        for query in ('transport=polling&EIO=4', f'{QUERY}&t=PabcDEF&b64=1&token=1&x=%zz', f'&&{QUERY}', f'{QUERY}&sid=',
                      'E%49O=4&transport=poll%69ng'):
            response = get(patient.ports[0], '/socket.io/?' + query)
            self.assertEqual(response.status, 200, query)
        self.assertEqual(get(patient.ports[0], f'/socket.io/any/thing?{QUERY}').status, 200)

    def test_paths_that_are_not_served(self):
        for path in ('/socket.io', '/other/', '/socket.iox/'):
            self.assertEqual(get(patient.ports[0], f'{path}?{QUERY}').status, 404)

    REFUSED = (
        ('', 0), ('EIO=4', 0), ('EIO=4&transport=webtransport', 0), ('EIO=4&transport=abc', 0), ('transport=Polling&EIO=4', 0),
        ('EIO=3&transport=abc&sid=x', 0), ('EIO=4&transport=abc&sid=x', 0),
        (f'{QUERY}&sid=nope', 1), (f'{QUERY}&sid=__proto__', 1), ('EIO=3&transport=polling&sid=nope', 1),
        ('EIO=4&transport=websocket&sid=nope', 1), ('transport=polling&sid=nope', 1),
        ('EIO=4&transport=websocket', 3), ('EIO=3&transport=websocket', 3),
        ('EIO=3&transport=polling', 5), ('transport=polling', 5), ('EIO=5&transport=polling', 5), ('EIO=44&transport=polling', 5),
        ('EIO=&transport=polling', 5),
    )
    MESSAGES = {0: 'Transport unknown', 1: 'Session ID unknown', 2: 'Bad handshake method', 3: 'Bad request',
                5: 'Unsupported protocol version'}

    def refused(self, port, query, code, method='GET', body=None):
        fields = () if body is None else (f'Content-Length: {len(body)}',)
        text = '\r\n'.join([f'{method} /socket.io/?{query} HTTP/1.1', 'Host: test', *fields, '', body or ''])
        response = request(port, text)
        self.assertEqual((response.status, response.fields['content-type']), (400, 'application/json'), (method, query))
        self.assertEqual(response.fields['connection'], 'keep-alive')
        if method != 'HEAD':
            self.assertEqual(response.body.decode(), f'{{"code":{code},"message":"{self.MESSAGES[code]}"}}', (method, query))

    def test_refusals_and_their_order(self):
        for port in patient.ports:
            for query, code in self.REFUSED:
                self.refused(port, query, code)

    def test_methods_without_a_session(self):
        for method in ('POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD'):
            self.refused(patient.ports[0], QUERY, 2, method)
            self.refused(patient.ports[0], 'EIO=3&transport=polling', 2, method)
            self.refused(patient.ports[0], 'EIO=4&transport=abc', 0, method)
            self.refused(patient.ports[0], f'{QUERY}&sid=nope', 1, method)
        for body in ('', '40', '4' * 1000):
            self.refused(patient.ports[0], QUERY, 2, 'POST', body)
            self.refused(patient.ports[0], f'{QUERY}&sid=nope', 1, 'POST', body)

    def test_the_connection_goes_on_behind_a_refusal(self):
        with Connection(patient.ports[0]) as connection:
            for query, status in ((f'{QUERY}&sid=nope', 400), (QUERY, 200), ('EIO=4', 400), (QUERY, 200)):
                connection.send(f'POST /socket.io/?{QUERY}&sid=nope HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n4abc')
                self.assertEqual(connection.response().status, 400)
                connection.send(f'GET /socket.io/?{query} HTTP/1.1\r\nHost: a\r\n\r\n')
                self.assertEqual(connection.response().status, status)


@in_placements(HOME, ALTERNATING, AWAY)
class Session(unittest.TestCase):
    def test_headers_of_answers(self, place):
        session = Polling(patient, place)
        response = session.post('40')
        self.assertEqual(answer_of(response), (200, b'ok'))
        self.assertEqual((response.fields['content-type'], response.fields['content-length'],
                          response.fields['cache-control'], response.fields['connection']),
                         ('text/html', '2', 'no-store', 'keep-alive'))
        response = session.get()
        self.assertEqual(response.status, 200)
        self.assertTrue(response.body.startswith(b'40{"sid":"'), response.body)
        self.assertEqual((response.fields['content-type'], int(response.fields['content-length']),
                          response.fields['cache-control'], response.fields['connection']),
                         ('text/plain; charset=UTF-8', len(response.body), 'no-store', 'keep-alive'))

    def test_a_get_is_held_until_there_is_something(self, place):
        session = Polling(patient, place)
        session.connect()
        for n in range(3):
            with session.pending_get() as pending:
                session.send(f'42["echo",{n}]')
                self.assertEqual(answer_of(pending.response()), (200, f'42["echo",{n}]'.encode()))

    def test_what_came_between_polls_comes_at_once(self, place):
        session, other = Polling(patient, place), Polling(patient, place)
        for each in (session, other):
            each.connect()
            self.assertTrue(each.call('join', f'between {place.name}')['ok'])
        for n in range(5):
            self.assertTrue(other.call('msg', {'room': f'between {place.name}', 'n': n})['ok'])
        # What the room sent stands before the answer to its sender in the order of the room: it has all been sent.
        packets = session.read_packets(5)
        self.assertEqual([json.loads(packet[2:])[1]['n'] for packet in packets], list(range(5)))

    def test_other_methods(self, place):
        session = Polling(patient, place)
        for method, body in (('PUT', 'x'), ('DELETE', None), ('PATCH', '40'), ('OPTIONS', None), ('HEAD', None)):
            response = session.ask(method, body=body)
            self.assertEqual(answer_of(response), (500, b''), method)
        session.connect()

    def test_content_types(self, place):
        session = Polling(patient, place)
        session.connect()
        for kind in ('text/plain;charset=UTF-8', 'application/x-www-form-urlencoded', 'application/json', 'x'):
            self.assertEqual(answer_of(session.post(f'42["echo","{kind}"]', f'Content-Type: {kind}')), (200, b'ok'))
            self.assertEqual(session.read_packets(1), [f'42["echo","{kind}"]'])
        self.assertEqual(answer_of(session.post('42["echo",1]', 'Content-Type: application/octet-stream')), (400, b''))
        self.assertTrue(session.gone())

    def test_a_body_that_is_too_large(self, place):
        session = Polling(small, place)
        session.connect()
        frame = '42["echo",""]'
        fits = '42["echo","' + 'x' * (LIMIT - len(frame)) + '"]'
        self.assertEqual(len(fits), LIMIT)
        self.assertEqual(answer_of(session.post(fits)), (200, b'ok'))
        self.assertEqual(session.read_packets(1), [fits])
        with session.start('POST', body=fits + ' ') as connection:
            self.assertEqual(answer_of(connection.response()), (413, b''))
        with session.start('POST', 'Transfer-Encoding: chunked') as connection:
            half = 'x' * (LIMIT // 2)
            chunk = f'{len(half):x}\r\n{half}\r\n'
            connection.send(chunk + chunk + '1\r\nx\r\n')
            self.assertEqual(answer_of(connection.response()), (413, b''))
        session.send('42["echo","lives"]')
        self.assertEqual(session.read_packets(1), ['42["echo","lives"]'])

    def test_a_body_of_the_default_limit(self, place):
        session = Polling(patient, place)
        session.connect()
        fits = '42["echo","' + 'x' * (1000000 - len('42["echo",""]')) + '"]'
        self.assertEqual(answer_of(session.post(fits)), (200, b'ok'))
        self.assertEqual(session.read_packets(1)[0], fits)

    def test_a_known_session_and_a_wrong_query(self, place):
        session = Polling(patient, place)
        port = patient.ports[place.requests[0]]
        for query, expected in (
                (f'EIO=4&transport=websocket&sid={session.sid}', BAD_REQUEST),
                (f'EIO=4&transport=abc&sid={session.sid}', (400, b'{"code":0,"message":"Transport unknown"}')),
                (f'EIO=3&transport=polling&sid={session.sid}', BAD_REQUEST),
                (f'transport=polling&sid={session.sid}', BAD_REQUEST),
                (f'EIO=4&transport=polling&sid={session.sid}x', UNKNOWN),
                (f'EIO=4&transport=polling&sid={session.sid[:-1]}', UNKNOWN),
                (f'EIO=4&transport=polling&sid={session.sid[:-1]}%20', UNKNOWN)):
            self.assertEqual(answer_of(get(port, '/socket.io/?' + query)), expected, query)
        session.connect()


@in_placements(HOME, ALTERNATING, AWAY)
class Payloads(unittest.TestCase):
    def echoed(self, session, *packets):
        """Sends them in one POST, and reads as many packets back."""
        session.send(*packets)
        return session.read_packets(len(packets))

    def test_many_packets_keep_their_order(self, place):
        session = Polling(patient, place)
        session.connect()
        for count in (1, 2, 10, 100):
            packets = [f'42["echo",{n}]' for n in range(count)]
            self.assertEqual(self.echoed(session, *packets), packets)

    def test_text_is_utf8(self, place):
        session = Polling(patient, place)
        session.connect()
        for text in ('é€😀', '\u2028\u2029', '\x7f', 'שלום', 'a\\u001eb', '\ufeff'):
            self.assertEqual(self.echoed(session, f'42["echo","{text}"]'), [f'42["echo","{text}"]'])

    def test_binary_travels_as_base64(self, place):
        session = Polling(patient, place)
        session.connect()
        head = '451-["echo",{"_placeholder":true,"num":0}]'
        for data in (b'\1\2\3\4', b'', b'\0', b'\xff\xfe', bytes(range(256)), b'x' * 50000):
            session.send(head, data)
            self.assertEqual(session.read_packets(2), [head, data])

    def test_an_event_and_its_attachments_in_several_posts(self, place):
        session = Polling(patient, place)
        session.connect()
        head = '452-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
        for packet in (head, b'\1', b'\2'):
            session.send(packet)
        self.assertEqual(session.read_packets(3), [head, b'\1', b'\2'])

    def test_base64_is_read_leniently(self, place):
        session = Polling(patient, place)
        session.connect()
        head = '451-["echo",{"_placeholder":true,"num":0}]'
        for text, data in (('AQIDBA', b'\1\2\3\4'), ('_-8=', b'\xff\xef'), ('AQ I\nD', b'\1\2\3'), ('', b'')):
            session.send(head, 'b' + text)
            self.assertEqual(session.read_packets(2), [head, data], text)

    def test_what_is_no_packet_closes_the_session(self, place):
        for body in ('abc', '', '2', '2probe', '7', 'é', '4', '\x1e', '40\x1e', '40\x1e\x1e40'):
            session = Polling(patient, place)
            self.assertEqual(answer_of(session.post(body)), (200, b'ok'), repr(body))
            # What CONNECT had been answered may still be there; the session is not.
            for _ in range(2):
                response = session.get()
                if response.status == 400:
                    break
                self.assertRegex(response.body, rb'\A(40\{[^\x1e]*\x1e)?(6\x1e)?1\Z')
            self.assertEqual(answer_of(response), UNKNOWN, repr(body))

    @unittest.skipIf(REFERENCE, 'it has left its rooms before it looks at the events')
    def test_what_is_no_packet_ends_what_counts(self, place):
        room = f'counts {place.name}'
        watcher, session = Polling(patient), Polling(patient, place)
        for each in (watcher, session):
            each.connect()
            self.assertTrue(each.call('join', room)['ok'])
        message = '42["msg",{"room":"%s","n":%d}]'
        session.send(message % (room, 1), message % (room, 2), 'zzz', message % (room, 3))
        self.assertTrue(session.gone())
        received = [json.loads(packet[2:])[1]['n'] for packet in watcher.read_packets(2)]
        self.assertEqual(received, [1, 2])
        self.assertTrue(watcher.call('msg', {'room': room, 'n': 4})['ok'])
        while watcher.call('presence', room)['members'] != 1:
            pass

    def test_packets_of_servers_are_ignored(self, place):
        session = Polling(patient, place)
        session.send('0', '0{"sid":"x"}', '5', '6', '3', '3probe')
        session.send('40/x,')
        self.assertEqual(session.read_packets(1), ['44/x,{"message":"Invalid namespace"}'])


@in_placements(HOME, ALTERNATING, AWAY)
class Overlap(unittest.TestCase):
    def test_two_gets_at_once(self, place):
        session = Polling(patient, place)
        session.connect()
        with session.pending_get() as first:
            self.assertEqual(answer_of(session.get()), (400, b''))
            self.assertEqual(answer_of(first.response()), (200, b'1'))
        self.assertTrue(session.gone())

    def test_a_get_and_a_post_at_once_are_fine(self, place):
        session = Polling(patient, place)
        session.connect()
        with session.start_get() as pending:
            for n in range(3):
                self.assertEqual(answer_of(session.post('3')), (200, b'ok'))
            session.send('42["echo",1]')
            self.assertEqual(pending.response().body, b'42["echo",1]')


# A gateway passes a POST on when it has all of it: one that is half-way at the other gateway is not there yet.
@in_placements(HOME, AWAY)
class OverlappingPosts(unittest.TestCase):
    def test_two_posts_at_once(self, place):
        session = Polling(patient, place)
        session.connect()
        # A POST counts as there when its head is: an answer to 100-continue shows that.
        with session.start('POST', 'Content-Length: 10', 'Expect: 100-continue') as first:
            self.assertTrue(first.read_until(b'\r\n\r\n').startswith(b'HTTP/1.1 100 '))
            first.send('42')
            self.assertEqual(answer_of(session.post('42["echo"]')), (400, b''))
            self.assertTrue(first.peer_ended())
        self.assertTrue(session.gone())


@in_placements(HOME, ALTERNATING, AWAY)
class Aborted(unittest.TestCase):
    def ends(self, session):
        """The session ends when the news has come; until then a poll is refused as one too many, or held and ended."""
        for _ in range(3):
            response = session.get()
            if answer_of(response) == UNKNOWN:
                return
            self.assertIn(answer_of(response), ((400, b''), (200, b'1'), (200, b'6\x1e1')))
        self.fail('the session is still there')

    def test_a_get_that_its_client_gives_up(self, place):
        watched = f'gives up {place.name}'
        session, other = Polling(patient, place), Polling(patient)
        for each in (session, other):
            each.connect()
            each.call('join', watched)
        with session.pending_get():
            pass
        while other.call('presence', watched)['members'] != 1:
            pass
        self.assertTrue(session.gone())

    def test_a_post_that_its_client_gives_up(self, place):
        session = Polling(patient, place)
        session.connect()
        with session.start('POST', 'Content-Length: 100') as unfinished:
            unfinished.send('42["echo"')
            unfinished.socket.shutdown(socket.SHUT_WR)
            self.assertNotIn(b'200', unfinished.read_end())
        self.ends(session)

    def test_a_connection_that_ends_between_requests_ends_nothing(self, place):
        session = Polling(patient, place)
        session.connect()  # each request had a connection of its own
        self.assertEqual(session.call('echo', 1), {'ok': True})


@in_placements(HOME, ALTERNATING, AWAY)
class Closing(unittest.TestCase):
    def test_a_close_packet_with_a_get_pending(self, place):
        session = Polling(patient, place)
        session.connect()
        with session.pending_get() as pending:
            self.assertEqual(answer_of(session.post('1')), (200, b'ok'))
            self.assertEqual(answer_of(pending.response()), (200, b'6'))
        self.assertTrue(session.gone())

    def test_a_close_packet_alone(self, place):
        session = Polling(patient, place)
        session.connect()
        self.assertEqual(answer_of(session.post('1')), (200, b'ok'))
        self.assertTrue(session.gone())
        self.assertEqual(answer_of(session.post('40')), UNKNOWN)

    @unittest.skipIf(REFERENCE, 'it has left its rooms before it looks at the events')
    def test_packets_before_a_close_count(self, place):
        room = f'last words {place.name}'
        watcher, session = Polling(patient), Polling(patient, place)
        for each in (watcher, session):
            each.connect()
            each.call('join', room)
        session.send(f'42["msg",{{"room":"{room}","n":1}}]', '1')
        packet, = watcher.read_packets(1)
        self.assertTrue(packet.startswith(f'42["msg",{{"room":"{room}","n":1}},'), packet)

    def test_the_server_closes_while_a_get_is_pending(self, place):
        def attempt():
            session = Polling(impatient, place)  # joins nothing
            with before_time_is_up(), session.pending_get() as pending:
                self.assertEqual(answer_of(pending.response()), (200, b'1'))
            self.assertTrue(session.gone())
        in_time(attempt)

    def test_the_server_closes_what_says_nonsense_to_its_pending_get(self, place):
        session = Polling(patient, place)
        session.connect()
        with session.pending_get() as pending:
            self.assertEqual(answer_of(session.post('42[]')), (200, b'ok'))
            self.assertEqual(answer_of(pending.response()), (200, b'1'))
        self.assertTrue(session.gone())

    @unittest.skipIf(REFERENCE, 'the poll that is to get the close packet is held there')
    def test_the_server_closes_between_polls(self, place):
        session = Polling(patient, place)
        session.connect()
        session.send('42["echo",1]')
        session.send('41', '42["echo",2]')  # not connected any more
        packets = []
        while True:
            response = session.get()
            if response.status != 200:
                break
            packets += response.body.decode().split('\x1e')
        self.assertEqual(answer_of(response), UNKNOWN)
        # The close may overtake the echo, which is on its way through the router; nothing else may be said.
        self.assertEqual(packets[-1:], ['1'])
        self.assertLessEqual(set(packets), {'42["echo",1]', '6', '1'})


class Bare(unittest.TestCase):
    """Engine.IO alone, echoed at once by the gateway itself."""

    @classmethod
    def setUpClass(cls):
        cls.server = serve({'echo': 'true'})

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def session(self, place=HOME):
        return Polling(self.server, place, path='/engine.io/')

    def test_the_open_packet(self):
        packet = self.session().open
        self.assertEqual(list(packet), ['sid', 'upgrades', 'pingInterval', 'pingTimeout', 'maxPayload'])
        self.assertEqual({**packet, 'sid': ''}, {'sid': '', 'upgrades': ['websocket'], 'pingInterval': 25000,
                                                 'pingTimeout': 20000, 'maxPayload': 1000000})

    def test_echoes_of_one_post_come_in_one_answer(self):
        for place in (HOME,) if REFERENCE else (HOME, ALTERNATING, AWAY):
            session = self.session(place)
            self.assertEqual(answer_of(session.post('4test1\x1e4test2\x1e4test3')), (200, b'ok'))
            self.assertEqual(answer_of(session.get()), (200, b'4test1\x1e4test2\x1e4test3'), place.name)
            self.assertEqual(answer_of(session.post('4é€😀\x1ebAQIDBA==')), (200, b'ok'))
            self.assertEqual(answer_of(session.get()), (200, '4é€😀\x1ebAQIDBA=='.encode()), place.name)

    def test_posts_between_polls_come_in_one_answer(self):
        session = self.session()
        for n in range(5):
            session.send(f'4{n}', bytes([n]))
        expected = '\x1e'.join(f'4{n}\x1eb{base64.b64encode(bytes([n])).decode()}' for n in range(5))
        self.assertEqual(session.get().body.decode(), expected)


class Compression(unittest.TestCase):
    CODINGS = (
        ('gzip', 'gzip'), ('gzip, deflate', 'gzip'), ('gzip, deflate, br', 'gzip'), ('deflate', 'deflate' if REFERENCE else None),
        ('br', None), ('identity', None), ('gzip;q=0', None), ('*', 'gzip'),
        ('GZIP', 'gzip'), ('x-gzip-not', None),
    )

    def big(self, session, size, *fields):
        """An event of that many bytes comes back; the response."""
        event = '42["echo","' + 'é' * 2 + 'x' * (size - 17) + '"]'
        self.assertEqual(len(event.encode()), size)
        session.send(event)
        return event.encode(), session.get(*fields)

    def test_large_answers_are_compressed_as_asked(self):
        session = Polling(patient)
        session.connect()
        for asked, coding in self.CODINGS:
            event, response = self.big(session, 3000, f'Accept-Encoding: {asked}')
            self.assertEqual(response.status, 200)
            self.assertEqual(response.fields.get('content-encoding'), coding, asked)
            body = response.body
            if coding:
                self.assertLess(len(body), 300)
                body = gzip.decompress(body) if coding == 'gzip' else zlib.decompress(body)
            self.assertEqual(body, event)
            self.assertEqual(response.fields['content-type'], 'text/plain; charset=UTF-8')

    def test_small_answers_are_not(self):
        session = Polling(patient)
        session.connect()
        for size, coding in ((100, None), (1023, None), (1024, 'gzip')):
            event, response = self.big(session, size, 'Accept-Encoding: gzip')
            self.assertEqual(response.fields.get('content-encoding'), coding, size)
            self.assertEqual(gzip.decompress(response.body) if coding else response.body, event)

    def test_nor_what_nobody_asked_for(self):
        session = Polling(patient)
        session.connect()
        event, response = self.big(session, 3000)
        self.assertNotIn('content-encoding', response.fields)
        self.assertEqual(response.body, event)

    @unittest.skipIf(REFERENCE, 'this is a key of the gateway')
    def test_the_threshold(self):
        for threshold, codings in ((200, {199: None, 200: 'gzip'}), (0, {200: None, 3000: None})):
            server = serve({'http_compression_threshold': threshold})
            self.addCleanup(server.close)
            session = Polling(server)
            session.connect()
            for size, coding in codings.items():
                _, response = self.big(session, size, 'Accept-Encoding: gzip')
                self.assertEqual(response.fields.get('content-encoding'), coding, (threshold, size))

    @unittest.skipIf(REFERENCE, 'the reference has no gateways')
    def test_at_the_other_gateway(self):
        session = Polling(patient, AWAY)
        session.connect()
        event, response = self.big(session, 3000, 'Accept-Encoding: gzip')
        self.assertEqual(response.fields['content-encoding'], 'gzip')
        self.assertEqual(gzip.decompress(response.body), event)


@in_placements(HOME, AWAY)
class Http(unittest.TestCase):
    def get_text(self, session):
        return f'GET /socket.io/?{session.query} HTTP/1.1\r\nHost: test\r\n\r\n'

    def post_text(self, session, body):
        return (f'POST /socket.io/?{session.query} HTTP/1.1\r\nHost: test\r\n'
                f'Content-Length: {len(body.encode())}\r\n\r\n{body}')

    def test_many_requests_on_one_connection(self, place):
        session = Polling(patient, place)
        with session.connection() as connection:
            connection.send(self.post_text(session, '40'))
            self.assertEqual(answer_of(connection.response()), (200, b'ok'))
            connection.send(self.get_text(session))
            self.assertTrue(connection.response().body.startswith(b'40{"sid":'))
            for n in range(20):
                connection.send(self.post_text(session, f'42["echo","é{n}"]'))
                self.assertEqual(answer_of(connection.response()), (200, b'ok'))
                connection.send(self.get_text(session))
                self.assertEqual(answer_of(connection.response()), (200, f'42["echo","é{n}"]'.encode()))

    @unittest.skipIf(REFERENCE, 'it takes two pipelined POSTs for overlapping ones')
    def test_pipelined_requests(self, place):
        session = Polling(patient, place)
        with session.connection() as connection:
            connection.send(self.post_text(session, '40') + self.get_text(session) +
                            self.post_text(session, '41') + self.post_text(session, '40') + self.get_text(session))
            self.assertEqual(answer_of(connection.response()), (200, b'ok'))
            self.assertRegex(connection.response().body, rb'\A40\{"sid":"[^"]+"\}\Z')
            self.assertEqual(answer_of(connection.response()), (200, b'ok'))
            self.assertEqual(answer_of(connection.response()), (200, b'ok'))
            self.assertRegex(connection.response().body, rb'\A40\{"sid":"[^"]+"\}\Z')

    def test_requests_of_two_sessions_on_one_connection(self, place):
        one, two = Polling(patient, place), Polling(patient)
        one.connect()
        two.connect()
        with one.connection() as connection:
            for n in range(5):
                for session in (one, two):
                    connection.send(self.post_text(session, f'42["echo",{n}]') + self.get_text(session))
                for session in (one, two):
                    self.assertEqual(answer_of(connection.response()), (200, b'ok'))
                    self.assertEqual(answer_of(connection.response()), (200, f'42["echo",{n}]'.encode()))

    def test_chunked_bodies(self, place):
        event = '42["echo","é€😀"]'.encode()
        for size in (1, 2, 3, 7, len(event)):
            session = Polling(patient, place)
            session.connect()
            pieces = [event[i:i + size] for i in range(0, len(event), size)]
            body = b''.join(b'%x\r\n%s\r\n' % (len(piece), piece) for piece in pieces)
            for tail in (b'0\r\n\r\n', b'0;last=1\r\n\r\n', b'000\r\nTrailer: 1\r\n\r\n'):
                with session.start('POST', 'Transfer-Encoding: chunked') as connection:
                    connection.send(body + tail)
                    self.assertEqual(answer_of(connection.response()), (200, b'ok'))
                    # And the connection goes on.
                    connection.send(self.get_text(session))
                    self.assertEqual(answer_of(connection.response()), (200, event))

    def test_a_request_byte_by_byte(self, place):
        session = Polling(patient, place)
        session.connect()
        with session.connection() as connection:
            for byte in self.post_text(session, '42["echo","é"]').encode():
                connection.send(bytes([byte]))
            self.assertEqual(answer_of(connection.response()), (200, b'ok'))
        with session.connection() as connection:
            chunked = (f'POST /socket.io/?{session.query} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n'
                       '3;a=b\r\n42[\r\na\r\n"echo","x"\r\n1\r\n]\r\n0\r\nT: v\r\n\r\n')
            for byte in chunked.encode():
                connection.send(bytes([byte]))
            self.assertEqual(answer_of(connection.response()), (200, b'ok'))
        self.assertEqual(session.read_packets(2), ['42["echo","é"]', '42["echo","x"]'])

    def test_chunks_that_are_none(self, place):
        for body in ('x\r\n', '-1\r\n', '1\r\nab\r\n', '10000000000000000\r\n', '\r\n', '1 \r\n4\r\n'):
            session = Polling(patient, place)
            session.connect()
            with session.start('POST', 'Transfer-Encoding: chunked') as connection:
                connection.send(body + '0\r\n\r\n')
                try:
                    self.assertEqual(connection.response().status, 400, body)
                except Closed:
                    pass
                connection.read_end()

    def test_a_connection_that_is_to_be_closed(self, place):
        session = Polling(patient, place)
        for method, body in (('POST', '40'), ('GET', None)):
            with session.start(method, 'Connection: close', body=body) as connection:
                response = connection.response()
                self.assertEqual((response.status, response.fields['connection']), (200, 'close'))
                self.assertTrue(connection.peer_ended())
        self.assertEqual(session.call('echo'), {'ok': True})


@in_placements(HOME, ALTERNATING, AWAY)
class Heartbeat(unittest.TestCase):
    def test_pings_come_while_pongs_do(self, place):
        last = time.monotonic()
        session = Polling(pinging, place)
        for _ in range(4):
            self.assertEqual(answer_of(session.get()), (200, b'2'))
            now = time.monotonic()
            self.assertGreater(now - last, INTERVAL - 0.02)
            last = now
            session.send('3')

    def test_without_a_pong_the_session_ends_and_not_early(self, place):
        def attempt():
            started = time.monotonic()
            session = Polling(hasty, place)
            with before_time_is_up():
                self.assertEqual(answer_of(session.get()), (200, b'2'))
            last = answer_of(session.get())
            self.assertGreater(time.monotonic() - started, INTERVAL + TIMEOUT - 0.02)
            if last == UNKNOWN:
                raise TooLate('it had ended before it was asked')
            self.assertEqual(last, (200, b'1'))
            self.assertTrue(session.gone())
        in_time(attempt)

    def test_the_end_is_not_late(self, place):
        """After exactly both times the session is gone: a busy machine makes the server late sometimes, and not always."""
        gone = 0
        for _ in range(30):
            session = Polling(hasty, place)
            time.sleep(INTERVAL + TIMEOUT)
            gone += session.get().status == 400
            if gone == 4:
                return
        self.fail(f'{gone} of 30 had gone')

    def test_a_session_that_polls_is_kept(self, place):
        def attempt():
            session = Polling(hasty, place)
            end = time.monotonic() + 3 * (INTERVAL + TIMEOUT)
            with before_time_is_up():
                session.connect()
                while time.monotonic() < end:
                    self.assertEqual(session.call('echo', 'still'), {'ok': True})
                self.assertEqual(session.call('echo', 'here'), {'ok': True})
        in_time(attempt)


if __name__ == '__main__':
    unittest.main()
