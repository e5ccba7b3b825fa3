"""What clients do wrong, on purpose or not: refused, counted, and bounded in memory and time.

    opens without CONNECT             Idle.test_sessions_that_join_nothing
    half-open probes                  Idle.test_probes_that_are_never_finished
    requests that stop half-way       Idle.test_a_post_that_never_ends, .test_a_post_that_ends_too_early
    a POST with a wrong length        Length.*
    endless fragments                 Endless.test_fragments, EmptyFragments.*
    attachments that never come       Attachments.*, Endless.test_attachments_without_end
    who publishes and never polls     Endless.test_who_never_polls
    forged names of gateways          Forged.*
    a gateway that does not answer    Silent.*
    a gateway that is gone            Gone.*
    refused requests, by reason       Counted.*
"""
import base64
import json
import os
import select
import signal
import time
import unittest

from programs import PATIENCE, REFERENCE, sanitized, serve
from raw_client import (AWAY, CLOSE, CROSSING, HOME, TEXT, Client, Closed, Connection, Polling, TooLate, WebSocket,
                        before_time_is_up, frame, get, handshake, in_time)

UNKNOWN = (400, b'{"code":1,"message":"Session ID unknown"}')


def setUpModule():
    global server
    server = serve({'max_payload': 20000})


def tearDownModule():
    server.close()


def answer_of(response):
    return response.status, response.body


def memory():
    """Resident bytes of all processes of the stack."""
    total = 0
    for pid in server.pids.values():
        with open(f'/proc/{pid}/statm', encoding='ascii') as file:
            total += int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
    return total


def connections(counted):
    return counted.get('hubbub_connections', 0)


class BadInputTest(unittest.TestCase):
    SERVER = None  # its options, for a server of these tests' own, which takes the place of the common one

    @classmethod
    def setUpClass(cls):
        global server
        if cls.SERVER:
            cls.addClassCleanup(globals().update, server=server)
            server = serve(cls.SERVER)
            cls.addClassCleanup(server.close)

    def nobody_is_left(self):
        """All connections and sessions go within bounded time."""
        if not REFERENCE:
            server.wait_for_metric(lambda counted: connections(counted) == 0)

    def closed(self, reason, before):
        """The reason is counted once more at least than before."""
        if not REFERENCE:
            name = f'hubbub_closed_total{{reason={reason}}}'
            server.wait_for_metric(lambda counted: counted.get(name, 0) > before.get(name, 0))

    def counted(self):
        return {} if REFERENCE else server.metrics()

    def lives(self):
        for port in server.ports:
            def attempt():
                with before_time_is_up(), Client(port) as peer:
                    self.assertEqual(peer.call('echo'), {'ok': True})
            in_time(attempt)


class Idle(BadInputTest):
    COUNT = 100
    SERVER = {'ping_interval': 300, 'ping_timeout': 300, 'connect_timeout': 400, 'upgrade_timeout': 400, 'http_body_timeout': 1500}

    def test_sessions_that_join_nothing(self):
        before = self.counted()
        sessions = [Polling(server, place) for place in (HOME, AWAY) for _ in range(self.COUNT // 2)]
        for session in sessions:
            end = time.monotonic() + PATIENCE
            while not session.gone():
                self.assertLess(time.monotonic(), end)
        self.nobody_is_left()
        self.closed('connect_timeout', before)
        self.lives()

    def test_probes_that_are_never_finished(self):
        before = self.counted()

        def attempt(place):
            session = Polling(server, place)
            with before_time_is_up():
                return session.websocket()
        sockets = [in_time(lambda: attempt(place)) for place in (HOME, CROSSING) for _ in range(self.COUNT // 2)]
        for websocket in sockets[::2]:
            websocket.send_text('2probe')
        for websocket in sockets:
            while True:
                opcode, payload = websocket.read_frame()
                if opcode == CLOSE:
                    break
                self.assertEqual(payload, b'3probe')
            websocket.send(frame(CLOSE))
            self.assertTrue(websocket.peer_ended())
            websocket.socket.close()
        self.nobody_is_left()
        self.closed('connect_timeout', before)
        self.lives()

    @unittest.skipIf(REFERENCE, 'it gives a request five minutes')
    def test_a_post_that_never_ends(self):
        for place in (HOME, AWAY):
            for fields in (('Content-Length: 1000',), ('Transfer-Encoding: chunked',)):
                session = Polling(server, place)
                with session.start('POST', *fields) as unfinished:
                    unfinished.send('3e8\r\n40' if 'chunked' in fields[0] else '40')
                    answered = unfinished.read_end()
                    self.assertNotIn(b'200 OK', answered)
                end = time.monotonic() + PATIENCE
                while not session.gone():
                    self.assertLess(time.monotonic(), end)
        self.nobody_is_left()

    @unittest.skipIf(REFERENCE, 'it gives a request five minutes')
    def test_a_post_that_drips(self):
        session = Polling(server)
        with session.start('POST', 'Content-Length: 10000') as unfinished:
            end = time.monotonic() + PATIENCE
            with self.assertRaises((ConnectionError, Closed)):
                while time.monotonic() < end:
                    unfinished.send('x')
                    unfinished.socket.settimeout(0.05)
                    try:
                        unfinished.read(1)
                    except TimeoutError:
                        pass
        self.nobody_is_left()

    def test_a_post_that_ends_too_early(self):
        for place in (HOME, AWAY):
            sessions = [Polling(server, place) for _ in range(20)]
            for session in sessions:
                with session.start('POST', 'Content-Length: 1000') as unfinished:
                    unfinished.send('40')
        self.nobody_is_left()
        self.lives()


class Length(BadInputTest):
    def test_longer_than_said(self):
        """What is too much is no request; nothing of it reaches the session, and no second answer is given for it."""
        for place in (HOME, AWAY):
            session = Polling(server, place)
            with session.start('POST', 'Content-Length: 2') as connection:
                connection.send('40' + '41\r\n\r\n')
                answers = connection.read_end().split(b'HTTP/1.1 ')[1:]
                self.assertIn([answer[:3] for answer in answers], ([b'200', b'400'], [b'200'], [b'400']))
            if answers[0][:3] == b'200':
                self.assertTrue(session.read_packets(1)[0].startswith('40{"sid":'))

    def test_what_is_no_length(self):
        for length in ('x', '-1', '', '1, 2', '99999999999999999999', '0x2', '+2'):
            session = Polling(server)
            with session.start('POST', f'Content-Length: {length}') as connection:
                connection.send('40')
                answered = connection.read_end()
                self.assertRegex(answered, rb'\AHTTP/1\.1 4(00|13) ', length)

    def test_much_more_than_allowed(self):
        for place in (HOME, AWAY):
            session = Polling(server, place)
            session.connect()
            with session.start('POST', 'Content-Length: 1000000000000') as connection:
                connection.send(b'4' * 30000)
                self.assertEqual(answer_of(connection.response()), (413, b''))
            self.assertEqual(session.call('echo'), {'ok': True})

    def test_no_length_at_all(self):
        session = Polling(server)
        with session.start('POST') as connection:  # a body without bytes: no packet
            self.assertEqual(answer_of(connection.response()), (200, b'ok'))
        self.assertTrue(session.gone())


class EndlessTest(BadInputTest):
    def endless(self, peer, data):
        """Sends the same over and over until the server has had enough; the code of its Close frame, and the bytes sent."""
        end = time.monotonic() + PATIENCE
        sent = 0
        try:
            opcode, payload = TEXT, b'2'
            while (opcode, payload) == (TEXT, b'2'):
                while not peer.buffer and not select.select([peer.socket], [], [], 0)[0]:
                    peer.send(data)
                    sent += len(data)
                    self.assertLess(time.monotonic(), end, 'it goes on and on')
                opcode, payload = peer.read_frame()
            self.assertEqual(opcode, CLOSE)
            return int.from_bytes(payload[:2], 'big') if payload else None, sent
        except (BrokenPipeError, ConnectionResetError, Closed):
            return 'ended', sent


class Endless(EndlessTest):
    def test_fragments(self):
        before = self.counted()
        for piece in (b'x', b'x' * 1000):
            with Client(server.ports[0]) as peer:
                peer.send(frame(TEXT, '4', fin=False))
                code, sent = self.endless(peer, frame(0, piece, fin=False) * 10)
                self.assertIn(code, (1009, 1008, 'ended'))
                self.assertLess(sent, 10_000_000)
        self.closed('websocket_message_too_large', before)
        self.lives()

    def test_attachments_without_end(self):
        for count in ('11', '99999999999', '1' * 1000, '-1', '1.5'):
            with Client(server.ports[0]) as peer:
                peer.send_text(f'45{count}-["echo"]')
                self.assertIsNone(peer.read_close())
        with Client(server.ports[0]) as peer:
            peer.send_text('451-["echo",{"_placeholder":true,"num":0}]')
            peer.send_binary(b'x' * 20001)
            self.assertEqual(peer.read_close(), 1009)

    @unittest.skipIf(REFERENCE, 'it keeps whatever is to be read')
    def test_who_never_polls(self):
        """It answers pings by POST, so that it lives; what waits for it is bounded, and others are not kept waiting."""
        for place in (HOME, AWAY):
            with Client(server.ports[0]) as other:
                room = f'never polls {place.name}'
                session = Polling(server, place)
                session.connect()
                session.call('join', room)
                other.call('join', room)
                before = self.counted()
                end = time.monotonic() + PATIENCE
                while True:
                    for n in range(20):
                        self.assertTrue(other.call('msg', {'room': room, 'body': 'x' * 15000, 'n': n})['ok'])
                    response = session.post('3')
                    if response.status != 200:
                        break
                    self.assertLess(time.monotonic(), end)
                self.assertEqual(answer_of(response), UNKNOWN)
                self.assertEqual(other.call('presence', room)['members'], 1)
            self.closed('slow_reader', before)


class EmptyFragments(EndlessTest):
    SERVER = {'ping_interval': 300, 'ping_timeout': 300, 'max_payload': 20000}

    def test_empty_fragments(self):
        """They add nothing to the message; but they are no pongs either."""
        with Client(server.ports[0]) as peer:
            peer.send(frame(TEXT, '4', fin=False))
            self.endless(peer, frame(0, b'', fin=False) * 10)
        self.nobody_is_left()
        self.lives()


class Attachments(BadInputTest):
    SERVER = {'ping_interval': 300, 'max_payload': 20000}

    @unittest.skipIf(REFERENCE, 'nothing is measured there')
    def test_attachments_that_are_never_sent(self):
        """A packet may wait for its attachments as long as its client answers pings; what it holds is bounded."""
        peers = [Client(port) for port in server.ports for _ in range(20)]
        before = memory()
        try:
            for peer in peers:
                peer.send_text('4510-["echo","%s"]' % ('x' * 15000))
                for _ in range(9):
                    peer.send_binary(b'x' * 19000)
            for peer in peers:
                self.assertEqual(peer.read_text(), '2')
                peer.send_text('3')
            if REFERENCE or not sanitized():  # their allocator keeps what was freed
                self.assertLess(memory() - before, 40 * 400_000)
            for peer in peers:
                peer.send_text('42["echo",1]')
                while True:
                    opcode, _ = peer.read_frame()
                    if opcode == CLOSE:
                        break
        finally:
            for peer in peers:
                peer.socket.close()
        self.nobody_is_left()
        self.lives()


class Forged(BadInputTest):
    def unknown(self, sid):
        for port in server.ports:
            for transport in ('polling', 'websocket'):
                path = f'/socket.io/?EIO=4&transport={transport}&sid={sid}'
                self.assertEqual(answer_of(get(port, path)), UNKNOWN, sid)
            with Connection(port) as connection:
                connection.send(handshake(f'/socket.io/?EIO=4&transport=websocket&sid={sid}'))
                self.assertEqual(answer_of(connection.response()), (400, b'Session ID unknown'), sid)
                self.assertTrue(connection.peer_ended())
            with Connection(port) as connection:
                connection.send(f'POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: a\r\n'
                                'Content-Length: 2\r\n\r\n40')
                self.assertEqual(answer_of(connection.response()), UNKNOWN, sid)

    def test_names_of_no_gateway(self):
        for _ in range(20):
            self.unknown(base64.urlsafe_b64encode(os.urandom(18)).decode())
        self.unknown('A' * 24)
        self.unknown('_' * 24)

    def test_names_of_gateways_and_no_session(self):
        for port in server.ports:
            name = json.loads(get(port, '/socket.io/?EIO=4&transport=polling').body[1:])['sid'][:8]
            for rest in (base64.urlsafe_b64encode(os.urandom(12)).decode(), 'A' * 16, '_' * 16, '-' * 16):
                self.unknown(name + rest)

    def test_what_is_no_id(self):
        good = Polling(server)
        for sid in ('x', 'A' * 7, 'A' * 8, 'A' * 9, 'A' * 20, 'A' * 23, 'A' * 25, 'A' * 1000, '%00' * 24, '%ff' * 24, '..', '/',
                    '%E2%82%AC' * 8, good.sid[:8], good.sid + 'A', good.sid[8:], '+' + good.sid[1:], ' ' + good.sid[1:],
                    good.sid[:-1], good.sid.swapcase()):
            self.unknown(sid.replace(' ', '%20'))

    @unittest.skipIf(REFERENCE, 'the reference has no gateways')
    def test_many_of_them(self):
        """They cost no more than their answers: nothing is kept for them."""
        name = Polling(server).sid[:8]
        before = memory()
        for _ in range(10):
            with Connection(server.ports[1]) as connection:
                text = ''.join(f'GET /socket.io/?EIO=4&transport=polling&sid={name}{base64.urlsafe_b64encode(os.urandom(12)).decode()}'
                               ' HTTP/1.1\r\nHost: a\r\n\r\n' for _ in range(50))
                connection.send(text)
                for _ in range(50):
                    self.assertEqual(answer_of(connection.response()), UNKNOWN)
        self.assertLess(memory() - before, 20_000_000)


@unittest.skipIf(REFERENCE, 'the reference counts nothing')
class Counted(unittest.TestCase):
    """Each on gateways of its own, which count nothing else."""

    def setUp(self):
        self.server = serve({'http_head_timeout': 1000, 'max_payload': 20000})
        self.addCleanup(self.server.close)

    def counts(self, name, value):
        self.server.wait_for_metric(lambda counted: counted.get(name, 0) >= value)
        self.assertEqual(self.server.metrics()[name], value, name)

    def test_errors_of_engine_io(self):
        codes = {'EIO=4&transport=abc': 0, 'EIO=4&transport=polling&sid=nope': 1, 'EIO=4&transport=websocket': 3,
                 'EIO=3&transport=polling': 5}
        for port in self.server.ports:
            for query in codes:
                self.assertEqual(get(port, f'/socket.io/?{query}').status, 400)
            self.assertEqual(get(port, '/socket.io/?EIO=4&transport=polling', method='PUT').status, 400)
            with Connection(port) as connection:
                connection.send(handshake('/socket.io/?EIO=3&transport=websocket'))
                self.assertEqual(answer_of(connection.response()), (400, b'Unsupported protocol version'))
        for code, more in ((0, 2), (1, 2), (2, 2), (3, 2), (5, 4)):
            self.counts(f'hubbub_engine_refused_total{{code={code}}}', more)
        self.counts('hubbub_http_refused_total{status=400}', 12)

    def status_of(self, port, text):
        with Connection(port) as connection:
            connection.send(text)
            answer = connection.read_end()
        if not answer:
            raise TooLate('nothing had come in time, which is no bad request')
        return answer[9:12]

    def test_heads_and_frames(self):
        for port in self.server.ports:
            for text, status in (('nonsense\r\n\r\n', b'400'), ('GET / HTTP/1.1\r\nHo', b'408')):
                in_time(lambda: self.assertEqual(self.status_of(port, text), status))
            for bad, code in ((frame(TEXT, '2', rsv=1), 1002), (frame(TEXT, b'4\xff'), 1007), (frame(TEXT, 'x' * 20001), 1009)):
                with WebSocket(port) as websocket:
                    websocket.send(bad)
                    self.assertEqual(websocket.read_close(), code)
        for reason in ('http_bad_request', 'http_timeout', 'websocket_protocol_error', 'websocket_invalid_text',
                       'websocket_message_too_large'):
            self.counts(f'hubbub_closed_total{{reason={reason}}}', 2)

    def test_a_second_websocket(self):
        for place in (HOME, CROSSING):
            session = Polling(self.server, place)
            first = session.probed()
            with session.websocket() as second:
                self.assertIsNone(second.read_close())
            first.socket.close()
        self.counts('hubbub_closed_total{reason=upgrade_refused}', 2)

    def test_other_answers(self):
        for place in (HOME, AWAY):
            session = Polling(self.server, place)
            self.assertEqual(session.ask('DELETE').status, 500)
            self.assertEqual(session.post('4' * 20001).status, 413)
            self.assertEqual(session.post('40', 'Content-Type: application/octet-stream').status, 400)
            self.assertEqual(get(self.server.ports[0], '/none').status, 404)
        for status in (400, 404, 413, 500):
            self.counts(f'hubbub_http_refused_total{{status={status}}}', 2)


@unittest.skipIf(REFERENCE, 'the reference has no gateways')
class Silent(BadInputTest):
    """A gateway that is stopped: its sessions' requests elsewhere are answered with code 1, or closed, in bounded time."""

    def setUp(self):
        self.own = serve({'ping_interval': 5000, 'ping_timeout': 500, 'dead': 3000, 'heartbeat': 300},
                         rest='router = { dead = 3000; heartbeat = 300; };')

    def tearDown(self):
        self.own.close()

    def refused(self, connection):
        """Answered with code 1, or ended without an answer."""
        try:
            response = connection.response()
        except Closed:
            return
        self.assertIn(response.body, (UNKNOWN[1], b'Session ID unknown', b''))
        self.assertIn(response.status, (400, 502, 503, 504))

    def test_requests_of_its_sessions(self):
        sessions = [Polling(self.own, AWAY) for _ in range(5)]
        for session in sessions:
            session.connect()
        held = self.enterContext(sessions[0].pending_get())
        stopped = self.own.pids['gateway-1']
        os.kill(stopped, signal.SIGSTOP)
        try:
            started = time.monotonic()
            polls = [session.start_get() for session in sessions[1:3]]
            posts = [session.start('POST', body='42["echo"]') for session in sessions[3:]]
            websocket = Connection(self.own.ports[1])
            websocket.send(handshake(sessions[3].websocket_path()))
            for connection in (*polls, *posts, websocket, held):
                with connection:
                    self.refused(connection)
            self.assertLess(time.monotonic() - started, 30)
            # The other serves on.
            with Client(self.own.ports[1]) as peer:
                self.assertEqual(peer.call('echo'), {'ok': True})
        finally:
            os.kill(stopped, signal.SIGCONT)
        # Its sessions have timed out, and it serves again.
        for session in sessions:
            end = time.monotonic() + PATIENCE
            while not session.gone():
                self.assertLess(time.monotonic(), end)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                with Client(self.own.ports[0]) as peer:
                    self.assertEqual(peer.call('echo'), {'ok': True})
                break
            except (Closed, AssertionError):
                self.assertLess(time.monotonic(), end)

    def test_probes_of_its_sessions(self):
        session = Polling(self.own, CROSSING)
        session.connect()
        with session.probed() as probed:
            stopped = self.own.pids['gateway-1']
            os.kill(stopped, signal.SIGSTOP)
            try:
                probed.send_text('5')
                started = time.monotonic()
                try:
                    while probed.read_frame()[0] != CLOSE:
                        pass
                except Closed:
                    pass
                self.assertLess(time.monotonic() - started, 30)
            finally:
                os.kill(stopped, signal.SIGCONT)


@unittest.skipIf(REFERENCE, 'the reference has no gateways')
class Gone(BadInputTest):
    def setUp(self):
        self.own = serve()

    def tearDown(self):
        self.own.close()

    def kill(self, name):
        os.kill(self.own.pids[name], signal.SIGKILL)

    def test_requests_for_a_gateway_that_was_killed(self):
        session = Polling(self.own, AWAY)
        session.connect()
        with session.pending_get() as held:
            self.kill('gateway-1')
            started = time.monotonic()
            try:
                self.assertEqual(answer_of(held.response()), UNKNOWN)
            except Closed:
                pass
            self.assertLess(time.monotonic() - started, 30)
        self.assertEqual(answer_of(session.post('3')), UNKNOWN)
        self.own.wait_for('gateway-1')
        self.assertTrue(session.gone())

    def test_the_gateway_of_its_requests_was_killed(self):
        """Its session has lost a poll, and ends; a client at the first gateway sees it leave."""
        session = Polling(self.own, AWAY)
        session.connect()
        session.call('join', 'room')
        with Client(self.own.ports[0]) as other:
            other.call('join', 'room')
            with session.pending_get() as held:
                self.kill('gateway-2')
                self.assertTrue(held.peer_ended())
            self.own.wait_for('gateway-2')
            end = time.monotonic() + PATIENCE
            while other.call('presence', 'room')['members'] != 1:
                self.assertLess(time.monotonic(), end)

    def test_the_router_is_killed(self):
        """Requests at the other gateway wait for the next one, or are refused; at home they are served."""
        away, home = Polling(self.own, AWAY), Polling(self.own, HOME)
        for session in (away, home):
            session.connect()
        self.kill('router')
        self.assertEqual(answer_of(home.post('3')), (200, b'ok'))
        response = away.post('3')
        self.assertIn(answer_of(response), ((200, b'ok'), UNKNOWN))
        self.own.wait_for('router')
        end = time.monotonic() + PATIENCE
        while True:
            session = Polling(self.own, AWAY)
            response = session.post('40')
            if answer_of(response) == (200, b'ok'):
                break
            self.assertLess(time.monotonic(), end)
        self.assertTrue(session.read_packets(1)[0].startswith('40{'))


if __name__ == '__main__':
    unittest.main()
