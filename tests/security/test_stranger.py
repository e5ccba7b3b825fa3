"""A stranger on the router's port: noise, frames without end, forged batches, a key that is not listed, a name that is taken.

    random bytes, ZMTP garbage        Noise.*
    huge frames                       Noise.test_frames_that_announce_too_much, .test_batches_that_are_too_large
    batches of strangers              Batches.*
    a key that is not listed          Keys.*
"""
import contextlib
import pathlib
import random
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

import msgpack
import zmq
from attack import PATIENCE, resident
from played_gateway import Router
from programs import BUILD, free_port, sanitized
from raw_client import Client, get

GREETING = b'\xff' + bytes(8) + b'\x7f\x03\x00NULL' + bytes(16) + b'\x00' + bytes(31)
READY = b'\x04\x29\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00'


class TcpRouter(Router):
    """On a port of loopback."""

    def __init__(self, folder, *options):
        super().__init__(folder, *options)
        self.port = free_port()
        self.endpoint = f'tcp://127.0.0.1:{self.port}'


class WithRouter(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='hubbub-stranger-')
        self.addCleanup(shutil.rmtree, self.folder)
        self.router = TcpRouter(self.folder, *self.options())
        self.router.start()
        self.addCleanup(self.router.kill)
        self.web = free_port()
        self.gateway = self.start_gateway()

    def options(self):
        return ()

    def gateway_options(self):
        return ()

    def start_gateway(self):
        log = open(f'{self.folder}/gateway.log', 'wb')
        self.addCleanup(log.close)
        gateway = subprocess.Popen([BUILD / 'gateway' / 'hubbub-gateway', '--name=real', f'--router={self.router.endpoint}', '--host=127.0.0.1',
                                    f'--port={self.web}', *self.gateway_options()], stderr=log)

        def stop():
            gateway.terminate()
            gateway.wait(PATIENCE)
        self.addCleanup(stop)
        self.wait_for(lambda: get(self.web, '/healthz').status == 200 and self.links() == 1, 'the gateway')
        return gateway

    def wait_for(self, condition, what):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                if condition():
                    return
            time.sleep(0.02)
        raise AssertionError(f'timed out: {what}\n{self.router.log()}')

    def serves(self):
        """The real gateway's link was not disturbed: its clients speak."""
        self.assertIsNone(self.router.process.poll(), self.router.log())
        with Client(self.web) as client:
            self.assertTrue(client.call('join', 'R')['ok'])
            self.assertTrue(client.call('msg', {'room': 'R', 'body': 'x'})['ok'])

    def links(self):
        return self.router.metric('hubbub_router_links_total')


class Noise(WithRouter):
    def knock(self):
        return socket.create_connection(('127.0.0.1', self.router.port), PATIENCE)

    def test_random_bytes(self):
        links, source = self.links(), random.Random(8)
        for prefix in (b'', b'\xff', GREETING[:10], GREETING, GREETING + READY):
            for _ in range(20):
                with self.knock() as stranger, contextlib.suppress(OSError):
                    stranger.sendall(prefix + source.randbytes(source.randrange(1, 3000)))
        for text in (b'GET / HTTP/1.1\r\nHost: h\r\n\r\n', b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + bytes(500)):
            with self.knock() as stranger, contextlib.suppress(OSError):
                stranger.sendall(text)
        self.serves()
        self.assertEqual(self.links(), links)

    def test_frames_that_announce_too_much(self):
        before = resident([self.router.process.pid])
        strangers = []
        for length in (1 << 25, 1 << 31, 1 << 40, (1 << 63) - 1, (1 << 64) - 1):
            for _ in range(10):
                stranger = self.knock()
                strangers.append(stranger)
                with contextlib.suppress(OSError):
                    stranger.sendall(GREETING + READY)
                    stranger.recv(64)
                    stranger.sendall(b'\x02' + length.to_bytes(8, 'big') + b'x' * 1000)
        self.serves()
        self.assertLess(resident([self.router.process.pid]) - before, (400 if sanitized() else 64) << 20)
        for stranger in strangers:
            stranger.close()

    def test_batches_that_are_too_large(self):
        """Beyond max_batch the connection is cut; the others do not notice."""
        context = zmq.Context()
        dealer = context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.connect(self.router.endpoint)
        dealer.send(b'x' * (17 << 20))
        self.serves()
        dealer.close()
        context.term()

    def test_many_who_say_nothing(self):
        strangers = [self.knock() for _ in range(200)]
        self.serves()
        for stranger in strangers:
            stranger.close()
        self.serves()


class Batches(WithRouter):
    def send(self, *frames):
        dealer = zmq.Context.instance().socket(zmq.DEALER)
        dealer.setsockopt(zmq.LINGER, 1000)
        dealer.connect(self.router.endpoint)
        dealer.send_multipart(list(frames))
        return dealer

    def test_what_is_no_batch(self):
        before = self.router.metric('hubbub_router_malformed_total')
        bad = [b'', b'\xc0', msgpack.packb([]), msgpack.packb('text'), msgpack.packb([1, 2, 3, 4]), msgpack.packb([1, 'x', 1, 0, []]), b'\xdd\xff\xff\xff\xff',
               b'\x91' * 100000, msgpack.packb([1, 7, 1, 0, [[1]]]), msgpack.packb([1, 7, 1, 0, [[9999, 1, 2]]]), msgpack.packb([1, 7, 1, 0, [['x']]]),
               msgpack.packb([1, -1, 1, 0, []]), msgpack.packb([1, 7, 1, 0, [[1, 'x' * 1000, 1, '', 0, 0, 'v', 1]]])]
        dealers = [self.send(data) for data in bad] + [self.send(b'one', b'two', b'three')]
        self.wait_for(lambda: self.router.metric('hubbub_router_malformed_total') - before + self.router.metric('hubbub_router_strangers_total') >= len(bad),
                      'the counters')
        for dealer in dealers:
            dealer.close()
        self.serves()

    def test_records_without_a_hello(self):
        """A link that has not begun has no say: nothing is published, nobody is disconnected."""
        rows = len(self.router.rows())
        before = self.router.metric('hubbub_router_strangers_total')
        dealers = [self.send(msgpack.packb([1, 7, 1, 0, [[11, 1, 1, 1, 'R', 'msg', '["forged"]', '', []]]])),
                   self.send(msgpack.packb([1, 7, 1, 0, [[6, 1, 'x']]])), self.send(msgpack.packb([1, 7, 5, 0, []]))]
        self.wait_for(lambda: self.router.metric('hubbub_router_strangers_total') >= before + 3, 'the strangers')
        for dealer in dealers:
            dealer.close()
        self.assertEqual(len(self.router.rows()), rows)
        self.serves()


class Keys(WithRouter):
    """With CURVE, as between machines: only listed keys are heard, whatever they say."""

    def setUp(self):
        self.keys = tempfile.mkdtemp(prefix='hubbub-keys-')
        self.addCleanup(shutil.rmtree, self.keys)
        self.public = {}
        for name in ('router', 'real', 'stranger'):
            done = subprocess.run([BUILD / 'cli' / 'hubbub', 'keygen', f'{self.keys}/{name}'], capture_output=True, text=True, check=True)
            self.public[name] = done.stdout.strip()
        pathlib.Path(self.keys, 'listed').write_text(self.public['real'] + '\n')
        super().setUp()

    def options(self):
        return (f'--curve-secret-key={self.keys}/router', f'--curve-gateways={self.keys}/listed')

    def gateway_options(self):
        return (f'--curve-secret-key={self.keys}/real', f'--curve-router-key={self.keys}/router.pub')

    HELLO = [[1, 'real', 4711, '', 0, 0, '0.1.0', 1], [4, 0]]

    def connect(self, keys):
        dealer = zmq.Context.instance().socket(zmq.DEALER)
        dealer.setsockopt(zmq.LINGER, 0)
        if keys:
            public, secret = keys
            dealer.curve_publickey, dealer.curve_secretkey, dealer.curve_serverkey = public, secret, self.public['router'].encode()
        dealer.connect(self.router.endpoint)
        dealer.send(msgpack.packb([1, 4711, 1, 0, self.HELLO]))
        return dealer

    def test_a_hello_under_the_name_of_another_gateway(self):
        """A valid batch from a key that is not listed, and from none: it is not even read."""
        links, refused = self.links(), self.router.metric('hubbub_router_gateways_refused_total')
        dealers = [self.connect(zmq.curve_keypair()) for _ in range(3)] + [self.connect(None)]
        self.wait_for(lambda: self.router.metric('hubbub_router_gateways_refused_total') >= refused + 3, 'the refusals')
        for dealer in dealers:
            self.assertEqual(dealer.poll(200), 0)
            dealer.close()
        self.assertEqual(self.links(), links)
        self.serves()

    def test_noise_at_an_encrypted_port(self):
        source = random.Random(9)
        curve = b'\xff' + bytes(8) + b'\x7f\x03\x00CURVE' + bytes(15) + b'\x00' + bytes(31)
        for prefix in (b'', GREETING + READY, curve, curve + b'\x04\xc8\x05HELLO\x01\x00'):
            for _ in range(10):
                with socket.create_connection(('127.0.0.1', self.router.port), PATIENCE) as stranger, contextlib.suppress(OSError):
                    stranger.sendall(prefix + source.randbytes(300))
        self.serves()

    def test_other_machines_are_not_heard_without_keys(self):
        """The router does not bind beyond loopback in the clear unless it is told so."""
        done = subprocess.run([BUILD / 'router' / 'hubbub-router', f'--listen=tcp://0.0.0.0:{free_port()}', f'--data={self.folder}/other'],
                              capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 78, done.stderr)


if __name__ == '__main__':
    unittest.main()
