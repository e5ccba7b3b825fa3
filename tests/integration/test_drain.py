"""How a gateway gets rid of its clients, by an operator's word and to end: before a router that is played."""
import pathlib
import re
import select
import signal
import socket
import sys
import time
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / folder) for folder in ("support", "conformance")]
import programs  # noqa: E402
from played_gateway import NUMBERS  # noqa: E402
from played_router import PlayedRouter  # noqa: E402
from raw_client import CLOSE, Client, Connection, Polling, close_payload, frame, get, handshake  # noqa: E402

CONNECT, CONNECTED, EVENT, ANSWER, DISCONNECT, DRAIN, STATISTICS, BYE = (
    NUMBERS[name] for name in ("CONNECT", "CONNECTED", "EVENT", "ANSWER", "DISCONNECT", "DRAIN", "STATISTICS", "BYE"))
GOING_AWAY = (CLOSE, close_payload(1001))
ON, OFF = 1, 0


class DrainTest(PlayedRouter):
    OPTIONS = dict(dead="60s")
    CONFIG = 'events = ( { name = "msg"; room = "$"; deliver = "room"; } );'

    def client(self):
        client = Client(self.gateway.port, connect=False)
        self.addCleanup(client.__exit__)
        client.send_text("40")
        self.take_in()
        client.packet("40")
        return client

    def take_in(self):
        record = self.next(CONNECT)
        sid = f"{record[2]:020}"
        self.send([CONNECTED, record[1], record[2], sid, f"anon:{sid}", 1, "", 0, ""])

    def publish(self, client):
        """An event that the router has got, and not answered: its request."""
        client.send_text('427["msg","room"]')
        return self.next(EVENT)[1]

    def answer(self, request):
        self.send([ANSWER, request, '{"ok":true}'])

    def health(self):
        response = get(self.gateway.port, "/healthz")
        return response.status, response.body

    def await_port(self, is_open):
        end = time.monotonic() + programs.PATIENCE
        while True:
            try:
                Connection(self.gateway.port).socket.close()
                found = True
            except (ConnectionRefusedError, ConnectionResetError):  # reset: it came in the moment that the port closed
                found = False
            if found == is_open:
                return
            self.assertLess(time.monotonic(), end, self.gateway.log_text())
            time.sleep(0.01)

    def await_metric(self, name, value):
        while True:
            counters = self.next(STATISTICS)[1]
            if dict(zip(counters[::2], counters[1::2])).get(name, 0) == value:
                return

    def silent(self, client, seconds=0.2):
        self.assertEqual(select.select([client.socket], [], [], seconds)[0], [])

    def told(self, client):
        self.assertEqual(client.read_frame(), GOING_AWAY)
        client.send(frame(CLOSE, GOING_AWAY[1]))
        self.assertTrue(client.peer_ended())


class ByCommand(DrainTest):
    def test_clients_go_and_the_gateway_stays_until_it_is_to_serve_again(self):
        clients = [self.client() for _ in range(3)]
        self.assertEqual(self.health(), (200, b"ok\n"))
        self.send([DRAIN, ON, 0])
        for client in clients:
            self.told(client)
        self.assertEqual([self.next(DISCONNECT)[2] for _ in clients], ["drain"] * 3)
        self.await_port(False)
        self.await_metric("hubbub_draining", 1)
        self.await_metric("hubbub_closed_total{reason=drain}", 3)
        self.send([DRAIN, ON, 5])  # as a new link of the router's says it
        self.assertIsNone(self.gateway.process.poll())
        self.send([DRAIN, OFF, 0])
        self.await_port(True)
        self.assertEqual(self.health(), (200, b"ok\n"))
        self.await_metric("hubbub_draining", 0)
        self.publish(self.client())
        # And once more.
        self.send([DRAIN, ON, 0])
        self.await_port(False)

    def test_what_a_client_asked_is_answered_before_it_is_told(self):
        client, other = self.client(), self.client()
        request = self.publish(client)
        self.send([DRAIN, ON, 0])
        self.told(other)
        client.send_text('428["msg","not read any more"]')
        self.silent(client)
        self.answer(request)
        self.assertEqual(client.read_text(), '437[{"ok":true}]')
        self.told(client)
        self.await_metric("hubbub_messages_in_total", 3)

    def test_a_client_whose_turn_has_come_stays_when_the_drain_is_called_off(self):
        client, other = self.client(), self.client()
        request = self.publish(client)
        self.send([DRAIN, ON, 0])
        self.told(other)
        client.send_text('428["msg","read again"]')
        self.silent(client)
        self.send([DRAIN, OFF, 0])
        second = self.next(EVENT)[1]
        for number, ack in ((request, 7), (second, 8)):
            self.answer(number)
            self.assertEqual(client.read_text(), f'43{ack}[{{"ok":true}}]')
        self.silent(client)
        self.await_port(True)

    def test_who_waits_for_a_backend_is_told_in_the_end(self):
        client = self.client()
        self.publish(client)
        self.send([DRAIN, ON, 0])
        self.told(client)  # seconds later
        self.await_port(False)

    def test_clients_are_told_at_a_pace(self):
        clients = [self.client() for _ in range(60)]  # 100 a second: 600 ms
        self.send([DRAIN, ON, 3600])
        waiting = {client.socket: client for client in clients}
        while waiting:
            ready, _, _ = select.select(list(waiting), [], [], programs.PATIENCE)
            self.assertTrue(ready, self.gateway.log_text())
            for socket in ready:
                self.told(waiting.pop(socket))
        self.assertIn("clients=60 connections=60 spread_ms=600", self.gateway.log_text())
        self.await_metric("hubbub_connections", 0)
        # By the gateway's clock: whoever looks late finds all of them told.
        took, = re.findall(r"message=drained .*took_ms=(\d+)", self.gateway.log_text())
        self.assertGreaterEqual(int(took), 500)

    def test_polling_sessions_are_told_too(self):
        session = Polling(self.server)
        session.send("40")
        self.take_in()
        self.assertTrue(session.poll()[0].startswith("40"))
        poll = session.start_get()
        self.addCleanup(poll.socket.close)
        other = session.connection()  # kept by a balancer, for whatever comes
        self.addCleanup(other.socket.close)
        self.silent(poll)
        self.send([DRAIN, ON, 0])
        response = poll.response()
        self.assertEqual((response.status, response.body), (200, b"1"))
        self.assertTrue(other.peer_ended())
        self.await_port(False)

    def test_who_waits_at_the_port_when_it_is_closed_is_served_first(self):
        first = self.client()
        self.gateway.process.send_signal(signal.SIGSTOP)
        self.send([DRAIN, ON, 0])
        time.sleep(0.1)  # its word is there before them
        late = [Connection(self.gateway.port) for _ in range(5)]
        for connection in late:
            self.addCleanup(connection.socket.close)
            connection.send(handshake("/socket.io/?EIO=4&transport=websocket"))
        self.gateway.process.send_signal(signal.SIGCONT)
        for connection in late:
            self.assertEqual(connection.response().status, 101)
        for connection in late:
            self.assertEqual(connection.read(2)[:1], b"\x81")  # the packet open
        self.told(first)
        self.await_port(False)
        self.await_metric("hubbub_closed_total{reason=drain}", 6)

    def test_who_was_let_in_before_the_port_is_closed_has_a_moment_to_ask(self):
        early = Connection(self.gateway.port)
        self.addCleanup(early.socket.close)
        first = self.client()  # behind it
        sent = time.monotonic()
        self.send([DRAIN, ON, 0])
        self.told(first)
        self.assertTrue(early.peer_ended())
        self.assertGreater(time.monotonic() - sent, 0.9)


class Reopening(DrainTest):
    """Told to serve again while somebody else has the port, and a client that asks still there."""

    def setUp(self):
        super().setUp()
        asking = self.client()
        self.publish(asking)
        self.send([DRAIN, ON, 0])
        self.await_port(False)
        self.other = socket.socket()
        self.addCleanup(self.other.close)
        self.other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.other.bind(("0.0.0.0", self.gateway.port))
        self.other.listen()
        self.send([DRAIN, OFF, 0])
        end = time.monotonic() + programs.PATIENCE
        while "can't listen" not in self.gateway.log_text():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def test_a_signal_ends_it(self):
        self.gateway.process.send_signal(signal.SIGTERM)
        self.next(BYE)
        self.assertEqual(self.gateway.process.wait(programs.PATIENCE), 0, self.gateway.log_text())

    def test_another_drain_counts(self):
        self.send([DRAIN, ON, 0])
        self.next(DISCONNECT)
        end = time.monotonic() + programs.PATIENCE
        while "drained" not in self.gateway.log_text():
            self.assertLess(time.monotonic(), end, self.gateway.log_text())
            time.sleep(0.01)
        self.other.close()
        time.sleep(1.2)  # it would have tried again
        self.await_port(False)
        self.send([DRAIN, OFF, 0])
        self.await_port(True)
        self.publish(self.client())

    def test_it_serves_when_the_port_is_free(self):
        self.other.close()
        self.await_port(True)
        self.await_metric("hubbub_draining", 0)
        self.publish(self.client())


class WithADelay(DrainTest):
    OPTIONS = dict(dead="60s", drain_delay="3s")

    def test_health_says_so_first_and_clients_are_still_served(self):
        client = self.client()
        self.send([DRAIN, ON, 0])
        while self.health()[0] == 200:
            time.sleep(0.01)
        self.assertEqual(self.health(), (503, b"draining\n"))
        late = self.client()  # its balancer has not noticed
        self.answer(self.publish(late))
        self.assertEqual(late.read_text(), '437[{"ok":true}]')
        for each in (client, late):
            self.told(each)
        self.await_port(False)

    def test_it_may_be_called_off_before_anybody_was_told(self):
        client = self.client()
        self.send([DRAIN, ON, 0])
        while self.health()[0] == 200:
            time.sleep(0.01)
        self.send([DRAIN, OFF, 0])
        while self.health()[0] == 503:
            time.sleep(0.01)
        self.silent(client, 3.2)
        self.answer(self.publish(client))
        self.assertEqual(client.read_text(), '437[{"ok":true}]')


class ToEnd(DrainTest):
    def end(self):
        self.gateway.process.send_signal(signal.SIGTERM)

    def ended(self):
        self.assertEqual(self.gateway.process.wait(programs.PATIENCE), 0, self.gateway.log_text())

    def test_a_signal_drains_and_ends(self):
        client, other = self.client(), self.client()
        request = self.publish(client)
        self.end()
        self.told(other)
        self.send([DRAIN, OFF, 0])  # is for others
        self.silent(client)
        self.answer(request)
        self.assertEqual(client.read_text(), '437[{"ok":true}]')
        self.told(client)
        self.next(BYE)
        self.ended()

    def test_a_second_signal_ends_at_once(self):
        client = self.client()
        self.publish(client)
        self.end()
        self.await_port(False)
        self.silent(client)
        self.end()
        self.assertEqual(client.read_frame(), GOING_AWAY)
        self.ended()
        self.assertIn("draining at once", self.gateway.log_text())

    def test_one_that_is_empty_already_ends(self):
        self.send([DRAIN, ON, 0])
        self.await_metric("hubbub_draining", 1)
        self.end()
        self.next(BYE)
        self.ended()

    def test_an_operators_long_drain_is_shortened(self):
        clients = [self.client() for _ in range(5)]
        self.send([DRAIN, ON, 86400 * 365])
        self.end()
        for client in clients:
            self.told(client)
        self.ended()


if __name__ == "__main__":
    unittest.main()
