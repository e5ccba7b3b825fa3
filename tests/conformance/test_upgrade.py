"""The upgrade from polling to WebSocket, with the session's requests and its WebSocket at one gateway or at two.

Rows of the protocol, and the tests that hold them:

    the probe, noop, the switch       Upgrade.test_the_whole_of_it, .test_the_poll_is_let_go_after_the_probe_only
    polling goes on during it         Upgrade.test_both_ways_are_open_until_the_switch
    what was sent first comes first   Order.*
    what waits is flushed             Order.test_what_waits_comes_on_the_websocket
    without a probe                   Upgrade.test_a_switch_without_a_probe
    another first packet              Failure.test_what_is_no_probe
    a WebSocket that goes away        Failure.test_a_websocket_that_ends
    too late                          Failure.test_one_that_takes_too_long
    a second WebSocket                Second.*
    the session ends meanwhile        Failure.test_the_session_ends_meanwhile
    polls after it                    Upgrade.test_the_whole_of_it
    the heartbeat goes on             Heartbeat.*
    what belongs to the session stays Kept.*
    nothing lost under load           tests/integration/test_balanced.mjs, with the stock client

Placements: at_home has all at one gateway; away has all but the opening at the other; alternating changes with each
request and upgrades at home; crossing polls at home and upgrades at the other.
"""
import json
import os
import signal
import time
import unittest

from programs import PATIENCE, REFERENCE, in_placements, serve
from raw_client import (ALTERNATING, AWAY, CLOSE, CROSSING, HOME, Client, Closed, Connection, Polling, before_time_is_up, frame,
                        handshake, in_time)

INTERVAL, TIMEOUT = 0.3, 0.2
EVERYWHERE = in_placements(HOME, ALTERNATING, AWAY, CROSSING)
BAD_REQUEST = (400, b'{"code":3,"message":"Bad request"}')


def setUpModule():
    global patient, hasty, pinging, impatient
    patient = serve()
    hasty = serve({'ping_interval': 300, 'ping_timeout': 200})
    pinging = serve({'ping_interval': 300})
    impatient = serve({'upgrade_timeout': 300})


def tearDownModule():
    for server in (patient, hasty, pinging, impatient):
        server.close()


class UpgradeTest(unittest.TestCase):
    def ends(self, session):
        """It is no more, as soon as the gateway that was asked has the news."""
        end = time.monotonic() + PATIENCE
        while not session.gone():
            self.assertLess(time.monotonic(), end)

    def upgraded(self, session):
        """Its WebSocket, after the switch."""
        websocket = session.probed()
        websocket.send_text('5')
        return websocket

    def is_websocket(self, session):
        """Waits until the session's requests are told that it has a WebSocket: the switch has been done."""
        response = session.post('3')
        end = time.monotonic() + PATIENCE
        while response.status == 200 and time.monotonic() < end:
            response = session.post('3')
        self.assertEqual((response.status, response.body), BAD_REQUEST)
        response = session.get()
        self.assertEqual((response.status, response.body), BAD_REQUEST)

    def echoes(self, websocket, text='here'):
        websocket.send_text(f'42["echo","{text}"]')
        self.assertEqual(websocket.read_packets(1), [f'42["echo","{text}"]'])

    def polls(self, session):
        """Polling works: with a fresh namespace, and then with an event."""
        session.connect()
        self.assertEqual(session.call('echo', 1), {'ok': True})

    def refused(self, session):
        """A further WebSocket gets a refusal, or is opened and closed at once."""
        with Connection(patient.ports[session.place.websocket]) as connection:
            connection.send(handshake(session.websocket_path()))
            response = connection.response()
            if response.status == 101:
                self.assertEqual(connection.read(2), b'\x88\0')
                connection.send(frame(CLOSE))
            else:
                self.assertEqual(response.status, 400)
            self.assertTrue(connection.peer_ended())


@EVERYWHERE
class Upgrade(UpgradeTest):
    def test_the_whole_of_it(self, place):
        session = Polling(patient, place)
        session.connect()
        with session.probed() as websocket:
            self.assertEqual(session.poll(), ['6'])
            websocket.send_text('5')
            self.echoes(websocket)
            self.is_websocket(session)
            self.refused(session)
            websocket.send_text('427["echo","é😀"]')
            self.assertEqual(sorted(websocket.read_packets(2)), ['42["echo","é😀"]', '437[{"ok":true}]'])

    def test_the_poll_is_let_go_after_the_probe_only(self, place):
        session = Polling(patient, place)
        session.connect()
        with session.websocket() as websocket, session.pending_get() as pending:
            websocket.send_text('2probe')
            self.assertEqual(websocket.read_text(), '3probe')
            response = pending.response()
            self.assertEqual((response.status, response.body), (200, b'6'))
            websocket.send_text('5')
            self.echoes(websocket)

    def test_a_poll_after_the_probe_gets_a_noop(self, place):
        session = Polling(patient, place)
        session.connect()
        with session.probed() as websocket:
            for _ in range(3):
                self.assertEqual(session.poll(), ['6'])
            websocket.send_text('5')
            self.echoes(websocket)

    def test_the_websocket_has_no_open_packet(self, place):
        session = Polling(patient, place)
        with session.websocket() as websocket:
            self.assertNotIn('sec-websocket-extensions', websocket.answer.fields)
            websocket.send_text('2probe')
            self.assertEqual(websocket.read_text(), '3probe')

    def test_both_ways_are_open_until_the_switch(self, place):
        session = Polling(patient, place)
        session.connect()
        with session.probed() as websocket:
            for n in range(5):
                session.send(f'42["echo",{n}]')
                self.assertEqual(session.read_packets(1), [f'42["echo",{n}]'])
            websocket.send_text('5')
            self.echoes(websocket)

    def test_a_switch_without_a_probe(self, place):
        session = Polling(patient, place)
        session.connect()
        with session.websocket() as websocket:
            websocket.send_text('5')
            self.echoes(websocket)
            self.is_websocket(session)

    def test_before_any_namespace(self, place):
        session = Polling(patient, place)
        with self.upgraded(session) as websocket:
            websocket.send_text('40')
            self.assertTrue(websocket.read_text().startswith('40{"sid":"'))
            self.echoes(websocket)

    def test_probe_and_switch_in_one_segment_with_the_handshake(self, place):
        session = Polling(patient, place)
        session.connect()
        with Connection(patient.ports[place.websocket]) as connection:
            connection.send(handshake(session.websocket_path()) + frame(1, '2probe') + frame(1, '5') +
                            frame(1, '42["echo",1]') + frame(1, '42["echo",2]'))
            self.assertEqual(connection.response().status, 101)
            for text in (b'3probe', b'42["echo",1]', b'42["echo",2]'):
                head = connection.read(2)
                self.assertEqual(head[0], 0x81)
                self.assertEqual(connection.read(head[1]), text)

    def test_a_pending_poll_ends_with_the_switch(self, place):
        session = Polling(patient, place)
        session.connect()
        with session.websocket() as websocket, session.pending_get() as pending:
            websocket.send_text('5')
            response = pending.response()
            # Nobody reads it; here it is refused, like one that comes a moment later.
            self.assertEqual((response.status, response.body), (200, b'1') if REFERENCE else BAD_REQUEST)
            self.echoes(websocket)

    def test_the_client_closes_afterwards(self, place):
        session = Polling(patient, place)
        session.connect()
        with self.upgraded(session) as websocket:
            self.echoes(websocket)
            websocket.send(frame(CLOSE, b'\x03\xe8'))
            self.assertEqual(websocket.read_frame(), (CLOSE, b'\x03\xe8'))
            self.assertTrue(websocket.peer_ended())
        self.ends(session)

    def test_the_server_closes_afterwards(self, place):
        session = Polling(patient, place)
        session.connect()
        with self.upgraded(session) as websocket:
            self.echoes(websocket)
            websocket.send_text('42[]')
            self.assertIsNone(websocket.read_close())
        self.ends(session)


@EVERYWHERE
class Order(UpgradeTest):
    COUNT = 50

    def events(self, first, count=COUNT):
        return [f'42["echo",{n}]' for n in range(first, first + count)]

    def test_what_was_posted_comes_before_what_the_websocket_says(self, place):
        session = Polling(patient, place)
        session.connect()
        with session.probed() as websocket:
            session.send(*self.events(0))
            websocket.send(b''.join(frame(1, text) for text in ('5', *self.events(self.COUNT))))
            received = websocket.read_packets(2 * self.COUNT)
            self.assertEqual(received, self.events(0, 2 * self.COUNT))

    def test_what_waits_comes_on_the_websocket(self, place):
        room = f'waits {place.name}'
        session, other = Polling(patient, place), Polling(patient)
        for each in (session, other):
            each.connect()
            each.call('join', room)
        with session.probed() as websocket:
            for n in range(5):
                self.assertTrue(other.call('msg', {'room': room, 'n': n})['ok'])
            websocket.send_text('5')
            numbers = [json.loads(packet[2:])[1]['n'] for packet in websocket.read_packets(5)]
            self.assertEqual(numbers, list(range(5)))
            self.echoes(websocket)

    def test_what_comes_meanwhile_comes_once_and_in_order(self, place):
        """Others talk all the time; what polls got and what the WebSocket got is the whole."""
        room = f'meanwhile {place.name}'
        session = Polling(patient, place)
        session.connect()
        session.call('join', room)
        with Client(patient.ports[-1]) as other:
            other.call('join', room)
            def say(first, count):
                other.send(b''.join(frame(1, '42["msg",{"room":"%s","n":%d}]' % (room, n)) for n in range(first, first + count)))
            numbers = []
            def take(packets):
                numbers.extend(json.loads(packet[2:])[1]['n'] for packet in packets if packet not in ('2', '6'))
            say(0, 100)
            take(session.poll())
            with session.websocket() as websocket:
                say(100, 100)
                websocket.send_text('2probe')
                self.assertEqual(websocket.read_text(), '3probe')
                say(200, 100)
                while True:  # as clients do: until the poll that is under way has ended
                    packets = session.poll()
                    take(packets)
                    if '6' in packets or len(numbers) >= 150:
                        break
                say(300, 100)
                websocket.send_text('5')
                say(400, 100)
                take(websocket.read_packets(500 - len(numbers)))
        self.assertEqual(numbers, list(range(500)))

    def test_binary_packets_across_it(self, place):
        session = Polling(patient, place)
        session.connect()
        head = '452-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
        with session.probed() as websocket:
            session.send(head, b'\1\2')
            websocket.send_text('5')
            websocket.send_binary(b'\3\4')  # the second attachment of a packet that began on polling
            self.assertEqual(websocket.read_packets(3), [head, b'\1\2', b'\3\4'])

    def test_an_answer_that_is_under_way_comes_on_the_websocket(self, place):
        session = Polling(patient, place)
        session.connect()
        with session.probed() as websocket:
            session.send(f'4299["join","under way {place.name}"]')
            websocket.send_text('5')
            self.assertEqual(websocket.read_packets(1), [f'4399[{{"ok":true,"room":"under way {place.name}","seq":0,"members":1}}]'])


@EVERYWHERE
class Failure(UpgradeTest):
    def test_what_is_no_probe(self, place):
        for text in ('4hello', '40', '2', '3', '6', '1', '2prob', 'x', ''):
            session = Polling(patient, place)
            with session.websocket() as websocket:
                websocket.send_text(text)
                self.assertIsNone(websocket.read_close(), text)
            self.polls(session)
        session = Polling(patient, place)
        with session.websocket() as websocket:
            websocket.send_binary(b'2probe')
            self.assertIsNone(websocket.read_close())
        self.polls(session)

    def test_a_websocket_that_ends(self, place):
        session = Polling(patient, place)
        session.connect()
        for probed in (False, True):
            for ending in ('close frame', 'end', 'reset'):
                with session.probed() if probed else session.websocket() as websocket:
                    if ending == 'close frame':
                        websocket.send(frame(CLOSE))
                        self.assertEqual(websocket.read_frame()[0], CLOSE)
                    elif ending == 'reset':
                        websocket.socket.setsockopt(1, 13, b'\1\0\0\0\0\0\0\0')  # SO_LINGER: reset at close
                self.assertEqual(session.call('echo', ending), {'ok': True})
                end = time.monotonic() + PATIENCE
                while True:  # another may try when the news of the end has come
                    with session.websocket() as websocket:
                        websocket.send_text('2probe')
                        opcode, payload = websocket.read_frame()
                        if opcode != CLOSE:
                            self.assertEqual(payload, b'3probe')
                            break
                    self.assertLess(time.monotonic(), end)
        websocket = None
        end = time.monotonic() + PATIENCE
        while websocket is None:
            websocket = session.websocket()
            websocket.send_text('2probe')
            if websocket.read_frame()[0] == CLOSE:
                websocket = None
            self.assertLess(time.monotonic(), end)
        websocket.send_text('5')
        self.echoes(websocket)
        websocket.socket.close()

    def test_bad_frames_end_the_attempt_only(self, place):
        session = Polling(patient, place)
        session.connect()
        for data, code in ((frame(1, '2probe', mask=None), 1002), (frame(1, b'\xff'), 1007), (frame(3), 1002)):
            end = time.monotonic() + PATIENCE
            while True:
                with session.websocket() as websocket:
                    try:
                        websocket.send(data)
                        got = websocket.read_close()
                    except (Closed, ConnectionError):
                        got = None
                if got == code:
                    break
                self.assertLess(time.monotonic(), end)
        self.assertEqual(session.call('echo', 1), {'ok': True})

    def test_one_that_takes_too_long(self, place):
        session = Polling(impatient, place)
        session.connect()

        def attempt(begin):
            started = time.monotonic()
            with before_time_is_up():
                websocket = begin()
            with websocket:
                self.assertIsNone(websocket.read_close())
                self.assertGreater(time.monotonic() - started, 0.28)
            self.assertEqual(session.call('echo', 1), {'ok': True})
        in_time(lambda: attempt(session.websocket))
        in_time(lambda: attempt(session.probed))

        # In time, it succeeds; and is left alone then.
        def succeed():
            with before_time_is_up():
                websocket = self.upgraded(session)
                self.echoes(websocket)
                return websocket
        with in_time(succeed) as websocket:
            websocket.socket.settimeout(0.5)
            with self.assertRaises(TimeoutError):
                websocket.read_frame()
            websocket.socket.settimeout(PATIENCE)
            self.echoes(websocket)

    def test_the_session_ends_meanwhile(self, place):
        session = Polling(patient, place)
        session.connect()
        with session.probed() as websocket:
            session.post('1')
            self.assertIsNone(websocket.read_close())
        self.ends(session)

    def test_the_session_times_out_meanwhile(self, place):
        def attempt():
            session = Polling(hasty, place)
            with before_time_is_up():
                websocket = session.probed()
            with websocket:
                self.assertIsNone(websocket.read_close())
            self.ends(session)
        in_time(attempt)


@EVERYWHERE
class Second(UpgradeTest):
    def test_one_during_the_upgrade(self, place):
        session = Polling(patient, place)
        session.connect()
        with session.probed() as websocket:
            self.refused(session)
            self.assertEqual(session.call('echo', 1), {'ok': True})
            websocket.send_text('5')
            self.echoes(websocket)
            self.refused(session)
            self.echoes(websocket)

    @unittest.skipIf(REFERENCE, 'it lets a second WebSocket take over a session that began on one')
    def test_one_for_a_session_that_began_on_websocket(self, place):
        with Client(patient.ports[0]) as peer:
            with Connection(patient.ports[place.websocket]) as connection:
                connection.send(handshake(f'/socket.io/?EIO=4&transport=websocket&sid={peer.open["sid"]}'))
                response = connection.response()
                if response.status == 101:
                    self.assertEqual(connection.read(2), b'\x88\0')
                else:
                    self.assertEqual(response.status, 400)
            peer.send_text('42["echo",1]')
            self.assertEqual(peer.read_packets(1), ['42["echo",1]'])


@EVERYWHERE
class Heartbeat(UpgradeTest):
    def test_it_goes_on(self, place):
        session = Polling(pinging, place)
        with self.upgraded(session) as websocket:
            last = time.monotonic()
            for n in range(4):
                self.assertEqual(websocket.read_text(), '2')
                now = time.monotonic()
                if n:
                    self.assertGreater(now - last, INTERVAL - 0.02)
                last = now
                websocket.send_text('3')

    def test_it_still_ends_who_does_not_answer(self, place):
        def attempt():
            started = time.monotonic()
            session = Polling(hasty, place)
            with before_time_is_up():
                websocket = self.upgraded(session)
                self.assertEqual(websocket.read_text(), '2')
            with websocket:
                self.assertIsNone(websocket.read_close())
                self.assertGreater(time.monotonic() - started, INTERVAL + TIMEOUT - 0.02)
            self.ends(session)
        in_time(attempt)


@EVERYWHERE
class Kept(UpgradeTest):
    def test_rooms_and_namespaces(self, place):
        room = f'kept {place.name}'
        session = Polling(patient, place)
        sid = session.connect()
        custom = session.connect('/custom,')
        self.assertEqual(session.call('join', room)['members'], 1)
        session.send(f'42/custom,1["join","{room}"]')
        self.assertEqual(session.read_packets(1), [f'43/custom,1[{{"ok":true,"room":"{room}","seq":0,"members":1}}]'])
        with Client(patient.ports[0]) as other, Client(patient.ports[-1]) as third:
            self.assertEqual(other.call('join', room)['members'], 2)
            with self.upgraded(session) as websocket:
                self.echoes(websocket)
                self.assertEqual(third.call('join', room)['members'], 3)
                for n, peer in enumerate((other, third)):
                    self.assertTrue(peer.call('msg', {'room': room, 'n': n})['ok'])
                numbers = [json.loads(packet[2:])[1]['n'] for packet in websocket.read_packets(2)]
                self.assertEqual(numbers, [0, 1])
                # What it says is said by the same socket.
                websocket.send_text(f'425["msg",{{"room":"{room}","n":2}}]')
                packets = websocket.read_packets(2)
                event = json.loads(next(packet for packet in packets if packet.startswith('42['))[2:])
                self.assertEqual(event[2]['from'], f'anon:{sid}')
                websocket.send_text(f'42/custom,6["msg",{{"room":"{room}","n":3}}]')
                packets = websocket.read_packets(2)
                event = json.loads(next(packet for packet in packets if packet.startswith('42/'))[len('42/custom,'):])
                self.assertEqual(event[2]['from'], f'anon:{custom}')
                self.assertEqual(other.call('presence', room)['members'], 3)
            while other.call('presence', room)['members'] != 2:
                pass


@unittest.skipIf(REFERENCE, 'the reference has no gateways')
class Homes(UpgradeTest):
    """A session that has moved needs its first gateway no more."""

    def test_the_first_gateway_may_die_once_the_session_has_moved(self):
        server = serve()
        try:
            session = Polling(server, CROSSING)
            session.connect()
            session.call('join', 'moved')
            with session.probed() as websocket:
                websocket.send_text('5')
                self.echoes(websocket)
                dead = server.pids['gateway-1']
                os.kill(dead, signal.SIGKILL)
                while server.pids['gateway-1'] == dead:
                    server.wait_for('gateway-1')
                self.echoes(websocket, 'after')
                with Client(server.ports[1]) as other:
                    self.assertEqual(other.call('join', 'moved')['members'], 2)
                    other.emit('msg', {'room': 'moved', 'n': 1})
                    packet, = websocket.read_packets(1)
                    self.assertTrue(packet.startswith('42["msg",{"room": "moved", "n": 1},'), packet)
        finally:
            server.close()

    def test_its_first_gateway_dies_during_the_upgrade(self):
        """The WebSocket ends in bounded time, and the client may start anew."""
        server = serve()
        try:
            session = Polling(server, CROSSING)
            session.connect()
            with session.probed() as websocket:
                os.kill(server.pids['gateway-1'], signal.SIGKILL)
                self.assertIn(websocket.read_close(), (None, 1012, 1013))
            server.wait_for('gateway-1')
            server.wait_until_it_listens(server.ports[0])
            self.ends(session)  # another run of the gateway does not know it
        finally:
            server.close()


@unittest.skipIf(REFERENCE, 'the reference counts nothing')
class Counted(UpgradeTest):
    def test_sessions_that_upgrade_and_move(self):
        server = serve()
        self.addCleanup(server.close)
        for place in (HOME, CROSSING):
            session = Polling(server, place)
            session.connect()
            with session.probed() as websocket:
                websocket.send_text('5')
                self.echoes(websocket)
        wanted = {'hubbub_upgrades_total': 2, 'hubbub_sessions_moved_total{direction=in}': 1,
                  'hubbub_sessions_moved_total{direction=out}': 1, 'hubbub_takes_total{result=taken}': 1,
                  'hubbub_closed_total{reason=upgraded}': 2, 'hubbub_polling_sessions': 0, 'hubbub_websockets': 0}
        # Each gateway reports at its own time.
        server.wait_for_metric(lambda counted: all(counted.get(name) == value for name, value in wanted.items()))
        self.assertGreaterEqual(server.metrics()['hubbub_relayed_total'], 2)


if __name__ == '__main__':
    unittest.main()
