"""Clients that take their time: with a head, a frame, a body, and with reading. Each ends, and is counted under its reason.

    slow loris in the head            Slow.test_heads
    ... in a frame                    SlowFrames.*
    ... in a post                     Slow.test_posts
    ... in saying anything            Silent.*
    ... in reading                    Reading.*
    ... at the admin port             AdminPort.*
"""
import json
import socket
import threading
import time
import unittest

from attack import PATIENCE, Figures, serves
from programs import Stack, free_port
from raw_client import Client, Connection, Polling, WebSocket, frame, get, handshake

COUNT = 20


def setUpModule():
    global stack
    # Who has said nothing by the first of them counts as silent, and not as slow.
    stack = Stack({'http_head_timeout': 3000, 'http_body_timeout': 700})


def tearDownModule():
    stack.close()


def drip(connections, text, end):
    """Sends a byte to each in turn until all are closed, or have been answered; how many are not."""
    waiting, at = list(connections), 0
    while waiting and time.monotonic() < end:
        for connection in list(waiting):
            try:
                connection.send(text[at % len(text)].to_bytes(1, 'big'))
                connection.socket.setblocking(False)
                try:
                    if connection.socket.recv(4096) == b'' or at > 0:
                        waiting.remove(connection)
                except BlockingIOError:
                    pass
                connection.socket.setblocking(True)
            except OSError:
                waiting.remove(connection)
        at += 1
        time.sleep(0.05)
    return len(waiting)


class WithStack(unittest.TestCase):
    """In the place of the common stack, one with these keys."""
    GATEWAY = {}

    @classmethod
    def setUpClass(cls):
        global stack
        cls.addClassCleanup(globals().update, stack=stack)
        stack = Stack(cls.GATEWAY)
        cls.addClassCleanup(stack.close)


class Slow(unittest.TestCase):
    def all_end(self, begin, text, reason):
        figures = Figures(stack)
        connections = [begin() for _ in range(COUNT)]
        self.assertEqual(drip(connections, text, time.monotonic() + PATIENCE), 0)
        for connection in connections:
            connection.socket.close()
        figures.wait_for(f'hubbub_closed_total{{reason={reason}}}', COUNT)
        serves(stack)

    def test_heads(self):
        def begin():
            connection = Connection(stack.port)
            connection.send(b'G')
            return connection
        self.all_end(begin, b'ET / HTTP/1.1\r\nHost: h\r\nX-Slow: ' + b'x' * 4000, 'http_timeout')

    def test_posts(self):
        self.all_end(lambda: Polling(stack).start('POST', 'Content-Length: 4000'), b'4' + b'x' * 4000, 'http_timeout')


class Silent(WithStack):
    GATEWAY = {'http_head_timeout': 700}

    def test_silence(self):
        figures = Figures(stack)
        connections = [Connection(stack.port) for _ in range(COUNT)]
        for connection in connections:
            self.assertTrue(connection.peer_ended())
            connection.socket.close()
        figures.wait_for('hubbub_closed_total{reason=http_idle}', COUNT)


class SlowFrames(WithStack):
    GATEWAY = {'ping_interval': 500, 'ping_timeout': 500}

    def test_frames(self):
        """Between the bytes of a frame no pong can come."""
        figures = Figures(stack)
        connections = []
        for _ in range(COUNT):
            websocket = WebSocket(stack.port)
            websocket.send_text('40')
            websocket.send(frame(1, 'x' * 4000)[:10])
            connections.append(websocket)
        end = time.monotonic() + PATIENCE
        for websocket in connections:
            websocket.socket.setblocking(False)
        open_ones = set(connections)
        while open_ones and time.monotonic() < end:
            for websocket in list(open_ones):
                try:
                    websocket.socket.send(b'x')
                    while True:
                        if websocket.socket.recv(4096) == b'':
                            raise ConnectionResetError
                except BlockingIOError:
                    pass
                except OSError:
                    open_ones.discard(websocket)
                    websocket.socket.close()
            time.sleep(0.05)
        self.assertEqual(open_ones, set())
        figures.wait_for('hubbub_closed_total{reason=ping_timeout}', COUNT)
        serves(stack)

    def test_frames_of_bare_websockets(self):
        figures = Figures(stack)
        with Connection(stack.port) as websocket:
            websocket.send(handshake('/ws?room=slow'))
            websocket.response()
            websocket.send(frame(1, 'x' * 4000)[:10])
            end = time.monotonic() + PATIENCE
            with self.assertRaises(OSError):
                while time.monotonic() < end:
                    websocket.send(b'x')
                    time.sleep(0.1)
        figures.wait_for('hubbub_closed_total{reason=ping_timeout}')


class Reading(WithStack):
    SIZE = 8000
    GATEWAY = {'outbound_queue': 100000, 'http_idle_timeout': 700}

    def fill(self, room, count):
        """Says so much in a room that nobody can miss it."""
        with Client(stack.port) as speaker:
            self.assertTrue(speaker.call('join', room)['ok'])
            for _ in range(count):
                speaker.send_text('42["msg",' + json.dumps({'room': room, 'body': 'x' * self.SIZE}) + ']')
                speaker.event()

    def slow(self, room):
        client = Client(stack.port, connect=False)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send_text('40' + json.dumps({'join': [room]}))
        self.assertTrue(client.packet('40'))
        return client

    def test_who_does_not_read_is_dropped_and_others_hear_everything(self):
        figures = Figures(stack)
        slow = [self.slow('slow') for _ in range(5)]
        with Client(stack.port) as good:
            self.assertTrue(good.call('join', 'slow')['ok'])
            heard = []

            def listen():
                while len(heard) < 600:
                    heard.append(good.event()[1]['body'])
            listener = threading.Thread(target=listen)
            listener.start()
            self.fill('slow', 600)
            listener.join(PATIENCE)
            self.assertEqual(len(heard), 600)
        figures.wait_for('hubbub_closed_total{reason=slow_reader}', 5)
        for client in slow:
            client.socket.close()
        self.assertLess(figures.grown(), figures.bound(32))

    def test_files_that_are_asked_for_and_not_read(self):
        figures = Figures(stack)
        connections = []
        for _ in range(COUNT):
            connection = Connection(stack.port)
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.send('GET /socket.io/socket.io.js.map HTTP/1.1\r\nHost: h\r\n\r\n' * 40)
            connections.append(connection)
        stack.wait_for_metric(lambda now: sum(now.get(f'hubbub_closed_total{{reason={reason}}}', 0) - figures.before.get(f'hubbub_closed_total{{reason={reason}}}', 0)
                                              for reason in ('slow_reader', 'http_idle', 'http_done', 'transport_close')) >= COUNT)
        stack.wait_for_metric(lambda now: now['hubbub_connections'] == 0)
        for connection in connections:
            connection.socket.close()
        serves(stack)


class AdminPort(unittest.TestCase):
    """The router's has 64 places; all are taken by clients that keep it waiting."""
    BOUND = 45  # seconds: those who are not sent away have 30 each, and there are two rounds of them

    @classmethod
    def setUpClass(cls):
        cls.port = free_port()
        cls.stack = Stack(rest=f'router = {{ admin = "127.0.0.1:{cls.port}"; }};')

    @classmethod
    def tearDownClass(cls):
        cls.stack.close()

    def taken_by(self, text):
        """They come again and again; how long others wait for an answer."""
        for _ in range(2):
            for _ in range(64):
                taker = socket.socket()
                taker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                taker.connect(('127.0.0.1', self.port))
                self.addCleanup(taker.close)
                taker.setblocking(False)
                try:
                    taker.send(text)
                except BlockingIOError:
                    pass
            time.sleep(0.3)
        begun = time.monotonic()
        self.assertEqual(get(self.port, '/healthz').status, 200)
        return time.monotonic() - begun

    def test_who_reads_nothing(self):
        self.assertLess(self.taken_by(b'GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n' * 1000), self.BOUND)

    def test_who_asks_nothing(self):
        self.assertLess(self.taken_by(b'GET /metr'), self.BOUND)


if __name__ == '__main__':
    unittest.main()
