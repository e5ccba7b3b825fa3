"""TLS on gateways, and clients behind balancers (docs/operations.md): with a whole stack of two gateways."""
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock
import warnings

os.environ['HUBBUB_TLS'] = '1'
TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / 'conformance'), str(TESTS / 'support')]
import certificates  # noqa: E402
import programs  # noqa: E402
import raw_client  # noqa: E402
from bare import Bare  # noqa: E402
from raw_client import PATIENCE, Client, Connection, Polling, get, tls_context  # noqa: E402

VERSIONS = {'1.2': ssl.TLSVersion.TLSv1_2, '1.3': ssl.TLSVersion.TLSv1_3}
SIGNATURE = b'\r\n\r\n\0\r\nQUIT\n'


def dial(port, context=None, name=None, session=None, first=b''):
    """A TLS connection; first: bytes in front of it."""
    connection = socket.create_connection(('127.0.0.1', port), PATIENCE)
    connection.sendall(first)
    return (context or tls_context()).wrap_socket(connection, server_hostname=name, session=session)


def ask(connection, path='/healthz', fields=''):
    """The status of an answer, whose connection stays."""
    connection.sendall(f'GET {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n'.encode())
    head = b''
    while b'\r\n\r\n' not in head:
        data = connection.recv(65536)
        if not data:
            raise AssertionError(f'the connection ended with {head!r}')
        head += data
    return int(head.split()[1])


def read_end(connection):
    data = b''
    try:
        while True:
            more = connection.recv(65536)
            if not more:
                return data
            data += more
    except ConnectionResetError:
        return data


class TlsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix='hubbub-tls-'))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        for name in ('exact', 'wild'):
            certificates.make(cls.folder, name, 'DNS:exact.wild.test' if name == 'exact' else 'DNS:*.wild.test')
        (cls.folder / 'tickets').write_bytes(os.urandom(80))
        (cls.folder / 'tickets').chmod(0o600)
        listed = ', '.join(f'{{ certificate = "{cls.folder}/{name}.pem"; key = "{cls.folder}/{name}.key"; }}'
                           for name in ('wild', 'exact'))
        cls.stack = programs.Stack({'tls_ticket_key': f'"{cls.folder}/tickets"'},
                                   f'certificates = ({listed});', gateways=2)
        cls.addClassCleanup(cls.stack.close)
        cls.port = cls.stack.port

    def counted(self, name, by, act, stack=None):
        """What is counted rises by so much when that is done."""
        stack = stack or self.stack
        before = stack.metrics().get(name, 0)
        act()
        stack.wait_for_metric(lambda metrics: metrics.get(name, 0) >= before + by)

    def test_both_versions_are_spoken_and_counted(self):
        for version, value in VERSIONS.items():
            context = tls_context()
            context.minimum_version = context.maximum_version = value
            context.set_alpn_protocols(['h2', 'http/1.1'])

            def visit():
                with dial(self.port, context) as connection:
                    self.assertEqual(connection.version(), f'TLSv{version}')
                    self.assertEqual(connection.selected_alpn_protocol(), 'http/1.1')
                    self.assertEqual(ask(connection), 200)

            self.counted(f'hubbub_tls_handshakes_total{{version={version}}}', 1, visit)

    def test_an_old_version_is_refused_and_counted(self):
        context = tls_context()
        context.set_ciphers('DEFAULT@SECLEVEL=0')
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1

        def visit():
            with self.assertRaisesRegex(ssl.SSLError, 'PROTOCOL_VERSION'):
                dial(self.port, context)

        self.counted('hubbub_tls_failed_total{reason=version}', 1, visit)

    def test_the_name_chooses_the_certificate(self):
        def certificate(name):
            with dial(self.port, name=name) as connection:
                return ssl.DER_cert_to_PEM_cert(connection.getpeercert(True))

        listed = {name: (self.folder / f'{name}.pem').read_text() for name in ('exact', 'wild')}
        self.assertEqual(certificate('exact.wild.test'), listed['exact'])
        self.assertEqual(certificate('a.wild.test'), listed['wild'])
        first = certificate(None)
        self.assertNotIn(first, listed.values())
        self.assertEqual(certificate('unknown.test'), first)

    def test_a_client_that_knows_the_certificate_takes_it(self):
        context = ssl.create_default_context(cafile=self.folder / 'wild.pem')
        with dial(self.port, context, 'chat.wild.test') as connection:
            self.assertEqual(ask(connection), 200)

        def visit():
            with self.assertRaises(ssl.SSLCertVerificationError):
                dial(self.port, context, 'nobody.test')

        self.counted('hubbub_tls_failed_total{reason=alert}', 1, visit)

    def test_tickets_are_good_at_both_gateways_and_after_a_restart(self):
        for value in VERSIONS.values():
            context = tls_context()
            context.minimum_version = context.maximum_version = value
            with dial(self.stack.ports[0], context) as connection:
                self.assertFalse(connection.session_reused)
                ask(connection)  # the ticket comes before the answer
                session = connection.session

            def visit():
                with dial(self.stack.ports[1], context, session=session) as again:
                    self.assertEqual(ask(again), 200)
                    self.assertTrue(again.session_reused)

            self.counted('hubbub_tls_resumed_total', 1, visit)
        os.kill(self.stack.pids['gateway-2'], signal.SIGKILL)
        self.stack.wait_for('gateway-2 pid=')
        end = time.monotonic() + PATIENCE
        while True:
            try:
                with dial(self.stack.ports[1], context, session=session) as again:
                    self.assertTrue(again.session_reused)
                    break
            except ConnectionRefusedError:
                self.assertLess(time.monotonic(), end)
                time.sleep(.05)

    def test_what_is_no_handshake_ends_and_is_counted(self):
        def garbage():
            with socket.create_connection(('127.0.0.1', self.port), PATIENCE) as connection:
                connection.sendall(bytes(range(256)) * 20)
                self.assertLess(len(read_end(connection)), 100)  # an alert at most

        def http():
            with socket.create_connection(('127.0.0.1', self.port), PATIENCE) as connection:
                connection.sendall(b'GET / HTTP/1.1\r\nHost: h\r\n\r\n')
                answer = read_end(connection)
                self.assertTrue(answer.startswith(b'HTTP/1.1 400 '), answer)
                self.assertIn(b'This port speaks TLS', answer)

        def gone():
            with socket.create_connection(('127.0.0.1', self.port), PATIENCE) as connection:
                connection.sendall(self.hello()[:100])

        for name, act in dict(protocol=garbage, http=http, abandoned=gone).items():
            with self.subTest(name):
                self.counted(f'hubbub_tls_failed_total{{reason={name}}}', 1, act)

    def test_a_handshake_that_takes_too_long_ends_and_is_counted(self):
        # Of its own: whoever is a little slow in the other cases is no reason to end a handshake.
        stack = programs.Stack({'tls_handshake_timeout': '"500 ms"'})
        self.addCleanup(stack.close)

        def slow():
            with socket.create_connection(('127.0.0.1', stack.port), PATIENCE) as connection:
                connection.sendall(self.hello()[:100])
                self.assertEqual(read_end(connection), b'')

        def silent():
            with socket.create_connection(('127.0.0.1', stack.port), PATIENCE) as connection:
                self.assertEqual(read_end(connection), b'')

        for act in (slow, silent):
            self.counted('hubbub_tls_failed_total{reason=timeout}', 1, act, stack)

    @staticmethod
    def hello():
        """A client's first flight."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with unittest.TestCase().assertRaises(ssl.SSLWantReadError):
            tls_context().wrap_bio(incoming, outgoing).do_handshake()
        return outgoing.read()

    def test_a_connection_that_drips_is_served(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = tls_context().wrap_bio(incoming, outgoing)
        with socket.create_connection(('127.0.0.1', self.port), PATIENCE) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def flush():
                data = outgoing.read()
                for at in range(0, len(data), 50):
                    connection.sendall(data[at:at + 50])

            def until_it_goes_on(act):
                while True:
                    try:
                        return act()
                    except ssl.SSLWantReadError:
                        flush()
                        incoming.write(connection.recv(50))

            until_it_goes_on(client.do_handshake)
            client.write(b'GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n')
            flush()
            self.assertIn(b' 200 ', until_it_goes_on(lambda: client.read(1000)))

    def test_who_says_goodbye_behind_a_request_gets_the_answer(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = tls_context().wrap_bio(incoming, outgoing)
        with socket.create_connection(('127.0.0.1', self.port), PATIENCE) as connection:
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    connection.sendall(outgoing.read())
                    incoming.write(connection.recv(65536))
            client.write(b'GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n')
            with self.assertRaises(ssl.SSLWantReadError):
                client.unwrap()
            connection.sendall(outgoing.read())  # in one piece
            answer = read_end(connection)
        incoming.write(answer)
        self.assertIn(b' 200 ', client.read(1000))
        client.unwrap()  # its goodbye came, too

    def test_large_messages_go_both_ways(self):
        text = 'x' * 900_000
        with Client(self.stack.ports[0]) as first, Client(self.stack.ports[1]) as second:
            for client in (first, second):
                self.assertTrue(client.call('join', 'large')['ok'])
            first.emit('msg', {'room': 'large', 'text': text})
            for client in (first, second):
                self.assertEqual(client.event()[1]['text'], text)
            polling = Polling(self.stack)
            polling.connect()
            self.assertTrue(polling.call('join', 'large')['ok'])
            polling.send('42["msg",' + json.dumps({'room': 'large', 'text': text + 'y'}) + ']')
            for client in (first, second):
                self.assertEqual(client.event()[1]['text'], text + 'y')
            packet, = polling.read_packets(1)
            self.assertEqual(json.loads(packet[2:])[1]['text'], text + 'y')

    def test_the_page_and_bare_websockets(self):
        for path in ('/', '/socket.io/socket.io.js'):
            self.assertEqual(get(self.port, path).status, 200)
        with Bare(self.stack.ports[0], 'bare') as one, Bare(self.stack.ports[1], 'bare') as other:
            one.send(data={'text': 'hello'})
            frame = other.receive()
            self.assertEqual((frame['type'], frame['args'][0]['text']), ('event', 'hello'))

    def test_a_reload_changes_the_certificate_and_loses_nobody(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix='hubbub-tls-reload-'))
        self.addCleanup(shutil.rmtree, folder)
        certificate, key = certificates.make(folder, 'site', 'DNS:old.test')
        old = certificate.read_text()
        options = {'tls_certificate': certificate, 'tls_key': key}
        with unittest.mock.patch.object(programs, 'tls_options', lambda: []):
            gateway = programs.Gateway(**options)
        self.addCleanup(gateway.close)

        def reload(said):
            count = gateway.log_text().count(said)
            gateway.process.send_signal(signal.SIGHUP)
            end = time.monotonic() + PATIENCE
            while gateway.log_text().count(said) == count:
                self.assertLess(time.monotonic(), end, said)
                time.sleep(.01)

        def shown():
            with dial(gateway.port) as connection:
                return ssl.DER_cert_to_PEM_cert(connection.getpeercert(True))

        with dial(gateway.port) as connection, Connection(gateway.port) as upgraded:
            upgraded.send(raw_client.handshake('/socket.io/?EIO=4&transport=websocket'))
            self.assertEqual(upgraded.response().status, 101)
            self.assertEqual(ask(connection, '/'), 200)
            certificates.make(folder, 'site', 'DNS:new.test')
            new = certificate.read_text()
            self.assertEqual(shown(), old)
            reload('configuration reloaded')
            self.assertEqual(shown(), new)
            certificate.write_text('-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n')
            reload('configuration not reloaded')
            self.assertEqual(shown(), new)
            self.assertEqual(ask(connection, '/'), 200)
            self.assertEqual(upgraded.read(1), b'\x81')  # the open packet
        context = tls_context()
        with dial(gateway.port, context) as first:
            ask(first, '/')
            session = first.session
        certificates.make(folder, 'site', 'DNS:newer.test')
        reload('configuration reloaded')
        with dial(gateway.port, context, session=session) as again:
            self.assertTrue(again.session_reused)

    def test_a_broken_certificate_is_told_at_the_start(self):
        for arguments, said in ((['--tls-certificate', '/nowhere.pem'], '/nowhere.pem: no certificate'),
                                (['--tls-key', 'x'], 'key tls_key is of no use without tls_certificate'),
                                (['--tls-certificate', self.folder / 'wild.pem', '--tls-key', self.folder / 'exact.key'],
                                 'exact.key: no key for'),
                                (['--tls-certificate', self.folder / 'wild.pem'],
                                 'wild.pem: no private key in this file; name one with --tls-key')):
            done = subprocess.run([programs.BUILD / 'gateway' / 'hubbub-gateway', '--check-config', *arguments],
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 78)
            self.assertIn(said, done.stderr)


class BalancerTest(unittest.TestCase):
    """A balancer in front: PROXY headers, also before TLS."""

    def told(self, stack, sid):
        done = subprocess.run([programs.BUILD / 'cli' / 'hubbub', 'session', sid, '--data', stack.folder / 'data'],
                              capture_output=True, text=True, check=True)
        line, = (line for line in done.stdout.splitlines() if line.startswith('handshake'))
        return json.loads(line[line.index('{'):])

    def come_in(self, stack, header=b'', fields=(), secured=True):
        """A WebSocket that begins with those bytes; what the stack knows of its handshake."""
        connection = socket.create_connection(('127.0.0.1', stack.port), PATIENCE)
        self.addCleanup(connection.close)
        connection.sendall(header)
        if secured:
            connection = tls_context().wrap_socket(connection)
            self.addCleanup(connection.close)
        client = Client.__new__(Client)
        client.socket, client.buffer, client.acks = connection, b'', 0
        client.send(raw_client.handshake(fields=fields))
        self.assertEqual(client.response().status, 101)
        client.packet('0')
        client.send_text('40')
        return self.told(stack, json.loads(client.packet('40'))['sid'])

    @staticmethod
    def header(address, tls=False):
        block = socket.inet_aton(address) + socket.inet_aton('10.0.0.1') + struct.pack('>HH', 4711, 443)
        if tls:
            block += b'\x20\0\x05\x01\0\0\0\0'
        return SIGNATURE + b'\x21\x11' + struct.pack('>H', len(block)) + block

    def test_headers_before_tls(self):
        stack = programs.Stack({'proxy_protocol': '"required"', 'trusted_proxies': '"127.0.0.1"'})
        self.addCleanup(stack.close)
        told = self.come_in(stack, self.header('192.0.2.7'))
        self.assertEqual((told['address'], told['secure']), ('192.0.2.7', True))
        told = self.come_in(stack, b'PROXY TCP6 2001:db8::9 ::1 4711 443\r\n', ('X-Forwarded-For: 203.0.113.9',))
        self.assertEqual((told['address'], told['secure']), ('2001:db8::9', True))
        with dial(stack.port, first=SIGNATURE + b'\x20\0\0\0') as check:  # a health check
            self.assertEqual(ask(check), 200)
        before = stack.metrics().get('hubbub_closed_total{reason=proxy_refused}', 0)
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            dial(stack.port)
        stack.wait_for_metric(lambda metrics: metrics.get('hubbub_closed_total{reason=proxy_refused}', 0) > before)

    def test_the_balancer_has_the_tls(self):
        with unittest.mock.patch.object(programs, 'tls_options', lambda: []):
            stack = programs.Stack({'proxy_protocol': '"required"', 'trusted_proxies': '"127.0.0.0/8"'})
        self.addCleanup(stack.close)
        told = self.come_in(stack, self.header('192.0.2.7', tls=True), secured=False)
        self.assertEqual((told['address'], told['secure']), ('192.0.2.7', True))
        told = self.come_in(stack, self.header('192.0.2.8'), secured=False)
        self.assertEqual((told['address'], told['secure']), ('192.0.2.8', False))

    def test_forwarded_fields_of_trusted_addresses(self):
        fields = ('X-Forwarded-For: 198.51.100.1, 192.0.2.7, 10.0.0.3', 'X-Forwarded-Proto: https')
        for trusted, expected in (('127.0.0.1 10.0.0.0/8', ('192.0.2.7', True)), ('10.0.0.0/8', ('127.0.0.1', False))):
            with unittest.mock.patch.object(programs, 'tls_options', lambda: []):
                stack = programs.Stack({'trusted_proxies': f'"{trusted}"'})
            self.addCleanup(stack.close)
            told = self.come_in(stack, fields=fields, secured=False)
            self.assertEqual((told['address'], told['secure']), expected)


if __name__ == '__main__':
    unittest.main()
