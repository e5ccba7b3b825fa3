"""deploy/conformance-server: what the official suites of Engine.IO and Socket.IO ask of a server, from the echo backend."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from programs import BUILD, PATIENCE, ROOT, free_port
from raw_client import Connection, WebSocket, get, request


class ServerTest(unittest.TestCase):
    PING_TIMEOUT = None

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix='hubbub-conformance-')
        cls.addClassCleanup(cls.folder.cleanup)
        cls.port = free_port()
        cls.log = pathlib.Path(cls.folder.name) / 'log'
        cls.options = []
        if cls.PING_TIMEOUT:
            text = (ROOT / 'deploy' / 'conformance.conf').read_text()
            assert 'ping_timeout = "200 ms"' in text
            config = pathlib.Path(cls.folder.name) / 'patient.conf'
            config.write_text(text.replace('ping_timeout = "200 ms"', f'ping_timeout = "{cls.PING_TIMEOUT}"'))
            cls.options = ['--config', str(config)]
        cls.start()

    @classmethod
    def start(cls):
        with open(cls.log, 'wb') as log:
            cls.process = subprocess.Popen([ROOT / 'deploy' / 'conformance-server', BUILD, '--port', str(cls.port), *cls.options],
                                           stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                           env=dict(os.environ, TMPDIR=cls.folder.name))
        cls.addClassCleanup(cls.stop)
        end = time.monotonic() + PATIENCE
        while cls.log.read_text().splitlines().count('ready') < 2:  # the stack's, and the backend's
            if cls.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(cls.log.read_text())
            time.sleep(0.05)

    @classmethod
    def stop(cls):
        if cls.process.poll() is None:
            cls.process.send_signal(signal.SIGTERM)
        return cls.process.wait(PATIENCE)


class AsItIs(ServerTest):
    """With the times that the suites expect."""

    def test_the_handshake(self):
        for host in ('127.0.0.1', '::1'):
            with WebSocket(self.port, host=host) as client:
                self.assertEqual((client.open['pingInterval'], client.open['pingTimeout'], client.open['maxPayload']),
                                 (300, 200, 1000000))


class ConformanceServer(ServerTest):
    PING_TIMEOUT = '20 s'  # a busy machine takes 200 ms from a client that does nothing wrong

    def open(self, namespace='', auth='', host='127.0.0.1'):
        """A WebSocket that has connected to a namespace, and was greeted."""
        client = WebSocket(self.port, host=host)
        self.addCleanup(client.socket.close)
        prefix = namespace + ',' if namespace else ''
        client.send_text(f'40{prefix}{auth}')
        connected, greeting = client.read_packets(2)
        self.assertTrue(connected.startswith(f'40{prefix}{{"sid":"'), connected)
        self.assertEqual(greeting, f'42{prefix}["auth",{auth or "{}"}]')
        return client

    def test_cors(self):
        answer = get(self.port, '/socket.io/?EIO=4&transport=polling', 'Origin: http://elsewhere')
        self.assertEqual(answer.fields['access-control-allow-origin'], '*')

    def test_echo_of_engine_io(self):
        path = '/engine.io/?EIO=4&transport=polling'
        sid = json.loads(get(self.port, path).body[1:])['sid']
        with Connection(self.port) as poll:  # both at once, as the suite has it; they meet at the session's gateway
            poll.send(f'GET {path}&sid={sid} HTTP/1.1\r\nHost: test\r\n\r\n')
            body = '4test1\x1e4test2\x1e4test3'
            posted = request(self.port, f'POST {path}&sid={sid} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n{body}')
            self.assertEqual((posted.status, posted.body), (200, b'ok'))
            self.assertEqual(poll.response().body.decode(), body)
        client = WebSocket(self.port, path='/engine.io/?EIO=4&transport=websocket')
        client.send_text('4hello')
        client.send_binary(b'\1\2\3')
        self.assertEqual(client.read_packets(2), ['4hello', b'\1\2\3'])
        client.socket.close()

    def test_namespaces_with_auth(self):
        self.open(auth='{"token":"123"}')
        self.open('/custom', '{"token":"abc"}')
        client = WebSocket(self.port)
        client.send_text('40/random')
        self.assertEqual(client.read_packets(1), ['44/random,{"message":"Invalid namespace"}'])
        client.socket.close()

    def test_events_and_acknowledgements(self):
        for namespace in ('', '/custom'):
            prefix = namespace + ',' if namespace else ''
            client = self.open(namespace)
            client.send_text(f'42{prefix}["message",1,"2",{{"3":[true]}}]')
            self.assertEqual(client.read_packets(1), [f'42{prefix}["message-back",1,"2",{{"3":[true]}}]'])
            client.send_text(f'42{prefix}456["message-with-ack",1,"2",{{"3":[false]}}]')
            self.assertEqual(client.read_packets(1), [f'43{prefix}456[1,"2",{{"3":[false]}}]'])

    def test_binary(self):
        client = self.open()
        both = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'
        for sent, received in ((f'452-["message",{both}]', f'452-["message-back",{both}]'),
                               (f'452-789["message-with-ack",{both}]', f'462-789[{both}]')):
            client.send_text(sent)
            client.send_binary(b'\1\2\3')
            client.send_binary(b'\4\5\6')
            self.assertEqual(client.read_packets(3), [received, b'\1\2\3', b'\4\5\6'])

    def test_disconnect(self):
        client = self.open()
        client.send_text('41')
        self.assertEqual(client.read_text(), '2')  # no answer, and the connection stays
        client = self.open()
        client.send_text('40/custom')
        client.read_packets(2)
        client.send_text('41/custom')
        client.send_text('42["message","still here"]')
        self.assertEqual(client.read_packets(1), ['42["message-back","still here"]'])

    def test_middleware_and_patterns(self):
        client = WebSocket(self.port)
        self.addCleanup(client.socket.close)
        client.send_text('40/mw,{"data":1}')
        self.assertEqual(client.read_packets(1), ['44/mw,{"message":"not authorized","data":{"code":1}}'])
        client.send_text('40/mw,{}')
        self.assertEqual(client.read_packets(1), ['44/mw,{"message":"not authorized"}'])
        self.open('/mw', '{"ok":1}')
        self.open('/dyn-17')

    def test_ways_to_part(self):
        client = self.open()
        client.send_text('42["kick"]')
        self.assertEqual(client.read_packets(1), ['41'])
        client.send_text('40')
        self.assertEqual(len(client.read_packets(2)), 2)
        client.send_text('42["kick-close"]')
        self.assertEqual(client.read_packets(1), ['41'])
        client.read_close()
        client = self.open()
        client.send_text('42["drop"]')
        client.read_close()

    def test_rooms(self):
        member, speaker = self.open(), self.open()
        member.send_text('421["join","r"]')
        self.assertEqual(member.read_packets(1), ['431["joined"]'])
        speaker.send_text('42["room-emit","r",{"a":1}]')
        self.assertEqual(member.read_packets(1), ['42["room-msg",{"a":1}]'])

    def test_z_it_ends_as_it_should(self):
        """Last by its name: it stops the server."""
        self.assertEqual(self.stop(), 0, self.log.read_text())
        with socket.socket() as probe:
            self.assertNotEqual(probe.connect_ex(('127.0.0.1', self.port)), 0)
        self.assertEqual(sorted(os.listdir(self.folder.name)), ['log', 'patient.conf'])


if __name__ == '__main__':
    unittest.main()
