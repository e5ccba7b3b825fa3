"""Every limit: its key decides, what is beyond it is refused, and its counter says so (docs/security.md has the table).

    heartbeat, times of clients       Times.*
    sizes and numbers of one client   Sizes.*   (test_requests.py, test_bombs.py: bodies, heads, messages)
    rates, addresses, origins         Rates.*, Addresses.*, Origins.*
    connections, file descriptors     Full.*
    recovery                          Recovery.*
    the link's times                  tests/integration/test_gateway_link.py, test_router_links.py
    who may read what is on the disk  Files.*
"""
import json
import os
import pathlib
import resource
import socket
import stat
import subprocess
import tempfile
import time
import unittest

from attack import PATIENCE, Figures, free_port, serves
from programs import BUILD, Stack
from raw_client import CLOSE, HANDSHAKE_PATH, Client, Connection, Polling, WebSocket, frame, get, handshake

POLL = '/socket.io/?EIO=4&transport=polling'


class WithStack(unittest.TestCase):
    GATEWAY, REST = {}, ''

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(cls.GATEWAY, cls.REST)

    @classmethod
    def tearDownClass(cls):
        cls.stack.close()

    def setUp(self):
        self.figures = Figures(self.stack)


class Times(unittest.TestCase):
    """Each on a stack that has no other short time."""

    def start(self, **keys):
        self.stack = Stack(keys)
        self.addCleanup(self.stack.close)
        self.figures = Figures(self.stack)

    def ends(self, websocket, reason):
        with websocket:
            while websocket.read_frame()[0] != CLOSE:
                pass
            self.figures.wait_for(f'hubbub_closed_total{{reason={reason}}}')

    def test_pings(self):
        self.start(ping_interval=200, ping_timeout=200)
        websocket = WebSocket(self.stack.port)
        self.assertEqual((websocket.open['pingInterval'], websocket.open['pingTimeout']), (200, 200))
        websocket.send_text('40')
        self.ends(websocket, 'ping_timeout')

    def test_a_namespace_in_time(self):
        self.start(connect_timeout=300)
        self.ends(WebSocket(self.stack.port), 'connect_timeout')

    def test_an_upgrade_in_time(self):
        self.start(upgrade_timeout=300)
        session = Polling(self.stack)
        session.connect()
        websocket = session.websocket()
        websocket.send_text('2probe')
        self.ends(websocket, 'upgrade_failed')


class Sizes(WithStack):
    GATEWAY = {'max_payload': 5000, 'max_attachments': 6000, 'max_http_head': 1000, 'max_auth': 200, 'max_namespaces': 2, 'outbound_queue': 100000,
               'max_attachment_count': 3, 'max_depth': 5, 'msgpack_path': '"/msgpack/"'}
    REST = """
router = { max_rooms_per_connection = 3; max_event = 2000; max_name = 40; };
namespaces = ( { name = "/"; }, { name = "/a"; }, { name = "/b"; } );
"""

    def test_a_message(self):
        with WebSocket(self.stack.port) as websocket:
            self.assertEqual(websocket.open['maxPayload'], 5000)
            websocket.send(frame(1, '4' + 'x' * 5000))
            self.assertEqual(websocket.read_frame(), (CLOSE, (1009).to_bytes(2, 'big')))
        self.figures.wait_for('hubbub_closed_total{reason=websocket_message_too_large}')

    def test_a_head(self):
        self.assertEqual(get(self.stack.port, '/', 'X: ' + 'x' * 1000).status, 431)
        self.figures.wait_for('hubbub_http_refused_total{status=431}')

    def test_auth(self):
        with Client(self.stack.port, connect=False) as client:
            client.send_text('40' + json.dumps({'token': 'x' * 300}))
            self.assertIn('too large', client.packet('44'))
        self.figures.wait_for('hubbub_auths_refused_total')

    def test_namespaces(self):
        with Client(self.stack.port) as client:
            client.send_text('40/a,')
            client.packet('40/a,')
            client.send_text('40/b,')
            self.assertIn('Too many', client.packet('44/b,'))
        self.figures.wait_for('hubbub_sockets_refused_total')

    def test_rooms(self):
        with Client(self.stack.port) as client:
            self.assertEqual([client.call('join', f'r{i}').get('ok') for i in range(4)], [True, True, True, False])
        self.figures.wait_for('hubbub_refused_total{code=bad_request}')

    def test_an_event(self):
        with Client(self.stack.port) as client:
            client.call('join', 'R')
            self.assertEqual(client.call('msg', {'room': 'R', 'body': 'x' * 3000})['error']['code'], 'too_large')
        self.figures.wait_for('hubbub_refused_total{code=too_large}')

    def test_attachments(self):
        with Client(self.stack.port) as client:
            client.call('join', 'R')
            client.send_text('452-9["msg",{"room":"R","a":{"_placeholder":true,"num":0},"b":{"_placeholder":true,"num":1}}]')
            client.send(frame(2, b'x' * 4000) + frame(2, b'x' * 4000))
            self.assertIn('too_large', client.packet('439'))
        self.figures.wait_for('hubbub_refused_total{code=too_large}')

    def test_more_attachments(self):
        with Client(self.stack.port) as client:
            client.call('join', 'R')
            client.send_text('453-9["msg",{"room":"R"}]')
            client.send(frame(2, b'x') * 3)
            self.assertIn('"ok":true', client.packet('439'))
            client.send_text('454-["msg"]')
            while client.read_frame()[0] != CLOSE:  # its own message
                pass
        self.figures.wait_for('hubbub_closed_total{reason=parse_error}')

    def msgpack(self, *packets):
        """The frames that follow these packets of the msgpack parser, one each."""
        with WebSocket(self.stack.port, path='/msgpack/?EIO=4&transport=websocket') as websocket:
            answers = []
            for packet in (b'\x82\xa4type\x00\xa3nsp\xa1/', *packets):
                websocket.send(frame(2, packet))
                answers.append(websocket.read_frame()[1])
            return answers[1:]

    @staticmethod
    def event(name, *arguments):
        """An event with ack id 1."""
        data = bytes([0x91 + len(arguments), 0xa0 + len(name)]) + name.encode() + b''.join(arguments)
        return b'\x84\xa4type\x02\xa3nsp\xa1/\xa2id\x01\xa4data' + data

    def test_more_attachments_in_msgpack(self):
        blob = b'\xc4\x01x'
        taken, refused = self.msgpack(self.event('presence', b'\xa1R', *[blob] * 3), self.event('presence', b'\xa1R', *[blob] * 4))
        self.assertIn(b'not_joined', taken)
        self.assertIn(b'too_large', refused)
        self.figures.wait_for('hubbub_refused_total{code=too_large}')

    def test_depth(self):
        """The event's own array is the first level."""
        with Client(self.stack.port) as client:
            client.call('join', 'R')
            self.assertTrue(client.call('msg', {'room': 'R', 'body': [[[]]]})['ok'])
            self.assertEqual(client.call('msg', {'room': 'R', 'body': [[[[]]]]})['error']['code'], 'too_deep')
            client.send_text('451-7["msg",{"room":"R","body":[[[{"_placeholder":true,"num":0}]]]}]')
            client.send(frame(2, b'x'))
            self.assertIn('too_deep', client.packet('437'))
        self.figures.wait_for('hubbub_refused_total{code=too_deep}', 2)
        taken, refused = self.msgpack(self.event('presence', b'\xa1R', b'\x91' * 3 + b'\x90'), self.event('presence', b'\xa1R', b'\x91' * 4 + b'\x90'))
        self.assertIn(b'not_joined', taken)
        self.assertIn(b'too_deep', refused)
        self.figures.wait_for('hubbub_refused_total{code=too_deep}', 3)

    def test_depth_of_what_is_no_event(self):
        for text in ('40{"join":[[[[[]]]]]}', '431[[[[[[]]]]]]'):
            with Client(self.stack.port, connect=not text.startswith('40')) as client:
                client.send_text(text)
                self.assertEqual(client.read_frame()[0], CLOSE)
        with Connection(self.stack.port) as websocket:
            websocket.send(handshake('/ws?room=R'))
            websocket.response()
            websocket.send(frame(1, '{"data":[[[[[]]]]]}'))
            self.assertIn(b'nested deeper', websocket.read_end())
        self.figures.wait_for('hubbub_closed_total{reason=parse_error}', 3)

    def test_names_of_rooms(self):
        with Client(self.stack.port) as client:
            self.assertTrue(client.call('join', 'r' * 40)['ok'])
            too_long = {'code': 'bad_room', 'message': "the room's name is longer than allowed"}
            for event in ('join', 'leave', 'presence', 'history'):
                self.assertEqual(client.call(event, 'r' * 41)['error'], too_long)
            self.assertEqual(client.call('msg', {'room': 'é' * 21})['error'], too_long)
            self.assertTrue(client.call('msg', {'room': 'r' * 40})['ok'])
        self.figures.wait_for('hubbub_refused_total{code=bad_room}', 5)
        with Client(self.stack.port, auth={'join': ['r' * 40, 'r' * 41]}) as client:
            self.assertEqual(client.call('presence', 'r' * 41)['error']['code'], 'bad_room')
            self.assertTrue(client.call('presence', 'r' * 40)['ok'])
        self.figures.wait_for('hubbub_joins_skipped_total')
        with Connection(self.stack.port) as websocket:
            websocket.send(handshake('/ws?room=' + 'r' * 41))
            websocket.response()
            self.assertIn(b'bad_room', websocket.read_end())
        self.figures.wait_for('hubbub_refused_total{code=bad_room}', 7)

    def test_names_of_events(self):
        with Client(self.stack.port) as client:
            self.assertEqual(client.call('e' * 40, 1)['error']['code'], 'unknown_event')
            self.assertEqual(client.call('e' * 41, 1)['error']['code'], 'too_large')
        self.figures.wait_for('hubbub_refused_total{code=too_large}')


class Rates(WithStack):
    GATEWAY = {'events_per_second': 5, 'events_burst': 10}

    def test_events_of_every_protocol(self):
        with Client(self.stack.port) as client:
            client.call('join', 'R')
            end, codes = time.monotonic() + PATIENCE, []
            while codes[-1:] != ['rate_limited']:  # who is slow is not limited
                codes.append(client.call('presence', 'R').get('error', {}).get('code'))
                self.assertLess(time.monotonic(), end)
            self.assertGreaterEqual(len(codes), 9)
            self.assertEqual(codes[:-1], [None] * (len(codes) - 1))
            time.sleep(0.5)
            self.assertTrue(client.call('presence', 'R')['ok'])  # time mends it
        session = Polling(self.stack)
        session.connect()
        session.send(*[f'42{i}["presence","R"]' for i in range(20)])
        packets = session.read_packets(20)
        self.assertIn('rate_limited', ''.join(packets))
        with Connection(self.stack.port) as websocket:
            websocket.send(handshake('/ws?room=R'))
            websocket.response()
            websocket.send(b''.join(frame(1, json.dumps({'type': 'presence', 'ref': i})) for i in range(20)))
            data = b''
            while b'"ref":19' not in data:
                data += websocket.read(1)
            self.assertIn(b'rate_limited', data)
        self.figures.wait_for('hubbub_refused_total{code=rate_limited}', 3)

    def test_who_asked_for_no_answer_is_told(self):
        with Client(self.stack.port) as client:
            client.send(frame(1, '42["msg",{"room":"R"}]') * 15)
            while (event := client.event())[1]['error']['code'] != 'rate_limited':
                self.assertEqual(event[0], 'hubbub:error')

    def test_a_flood_is_left_unread(self):
        """Nobody else waits for it, and its memory is that of one message."""
        with Client(self.stack.port) as flood:
            flood.socket.setblocking(False)
            sent, end = 0, time.monotonic() + PATIENCE
            while time.monotonic() < end:
                try:
                    sent += flood.socket.send(frame(1, '42["typing",{"room":"R"}]') * 1000)
                except BlockingIOError:
                    break
            else:
                self.fail(f'{sent} bytes were taken')
            with Client(self.stack.port) as good:
                self.assertTrue(good.call('join', 'R')['ok'])
        self.figures.wait_for('hubbub_reading_paused_total')
        self.assertLess(self.figures.grown(), self.figures.bound(16))


class Addresses(WithStack):
    GATEWAY = {'connects_per_second': 5, 'connects_burst': 10, 'max_connections_per_address': 20, 'host': '"0.0.0.0"', 'http_head_timeout': 60000,
               'http_idle_timeout': 60000}

    def come(self, source):
        connection = socket.socket()
        connection.settimeout(PATIENCE)
        connection.bind((source, 0))
        connection.connect(('127.0.0.1', self.stack.port))
        self.addCleanup(connection.close)
        return connection

    def first_line(self, connection):
        connection.sendall(b'GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n')
        data = b''
        while b'\r\n\r\n' not in data:
            part = connection.recv(65536)
            if not part:
                break
            data += part
        return data.split(b'\r\n')[0]

    def test_connects_a_second(self):
        end, lines = time.monotonic() + PATIENCE, []
        while lines[-1:] != [b'HTTP/1.1 429 Too Many Requests']:  # who is slow is not limited
            connection = self.come('127.9.0.1')
            lines.append(self.first_line(connection))
            connection.close()
            self.assertLess(time.monotonic(), end)
        self.assertGreaterEqual(len(lines), 11)
        self.assertEqual(lines[:-1], [b'HTTP/1.1 200 OK'] * (len(lines) - 1))
        self.assertEqual(self.first_line(self.come('127.9.0.2')), b'HTTP/1.1 200 OK')  # another address
        self.figures.wait_for('hubbub_address_refused_total{limit=connects_per_second}')
        time.sleep(0.5)
        self.assertEqual(self.first_line(self.come('127.9.0.1')), b'HTTP/1.1 200 OK')

    def test_connections_at_once(self):
        kept, end = [], time.monotonic() + PATIENCE
        while len(kept) < 20 and time.monotonic() < end:
            connection = self.come('127.9.0.3')
            if self.first_line(connection) == b'HTTP/1.1 200 OK':
                kept.append(connection)
            else:
                time.sleep(0.2)
        self.assertEqual(len(kept), 20)
        time.sleep(0.5)
        self.assertEqual(self.first_line(self.come('127.9.0.3')), b'HTTP/1.1 429 Too Many Requests')
        self.figures.wait_for('hubbub_address_refused_total{limit=max_connections_per_address}')
        kept.pop().close()
        while self.first_line(self.come('127.9.0.3')) != b'HTTP/1.1 200 OK':
            self.assertLess(time.monotonic(), end)
            time.sleep(0.2)

    def test_sessions_on_one_connection(self):
        """A client may not begin sessions on polling without end."""
        connection = self.come('127.9.0.4')
        end, statuses = time.monotonic() + PATIENCE, []
        while statuses[-1:] != [b'429']:  # who is slow is not limited
            connection.sendall(f'GET {POLL} HTTP/1.1\r\nHost: h\r\n\r\n'.encode())
            data = b''
            while b'\r\n\r\n' not in data or not data.endswith((b'}', b'Requests')):
                part = connection.recv(65536)
                self.assertTrue(part, data)
                data += part
            statuses.append(data[9:12])
            self.assertLess(time.monotonic(), end)
        self.assertGreaterEqual(len(statuses), 2)
        self.assertEqual(statuses[:-1], [b'200'] * (len(statuses) - 1))


class Origins(WithStack):
    GATEWAY = {'origins': '"https://good.example https://*.good.example self"'}

    def statuses(self, *fields):
        found = [get(self.stack.port, POLL, *fields).status]
        for path in (HANDSHAKE_PATH, '/ws?room=R'):
            with Connection(self.stack.port) as connection:
                connection.send(handshake(path, fields=fields))
                found.append(connection.response().status)
        return found

    def test_foreign_pages(self):
        for origin in ('https://evil.example', 'http://good.example', 'https://good.example.evil.example', 'null', ''):
            self.assertEqual(self.statuses(f'Origin: {origin}'), [403, 403, 403], origin)
        self.figures.wait_for('hubbub_origins_refused_total', 15)
        self.figures.wait_for('hubbub_engine_refused_total{code=4}', 10)

    def test_who_was_refused_is_logged(self):
        def line_of(origin, part):
            """A place in the code writes ten lines a second, so not each time."""
            end = time.monotonic() + PATIENCE
            while True:
                self.assertEqual(self.statuses(f'Origin: {origin}')[0], 403)
                found = [line for line in self.stack.log_text().splitlines() if part in line]
                if found:
                    return found[0]
                self.assertLess(time.monotonic(), end, self.stack.log_text())
                time.sleep(0.1)
        self.assertIn('add it to gateway.origins', line_of('https://evil.example', 'origin=https://evil.example address=127.0.0.1'))
        self.assertLess(len(line_of('https://e"' + 'x' * 4000, 'e\\"xxx')), 500)

    def test_what_no_browser_says_is_refused_at_the_start(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, 'hubbub.conf')

            def complaint(keys, *options):
                file.write_text(f'gateway = {{\n  {keys}\n}};\n')
                done = subprocess.run([BUILD / 'gateway' / 'hubbub-gateway', '--config', file, '--check-config', *options],
                                      capture_output=True, text=True, check=False)
                return done.returncode, done.stderr
            for key, entry in (('origins', 'app.example'), ('origins', 'https://app.example/'), ('cors_origins', 'self')):
                code, text = complaint(f'{key} = "https://good.example {entry}";')
                self.assertEqual(code, 78)
                self.assertIn(f"hubbub.conf:2: gateway.{key}: '{entry}' is no origin", text)
                self.assertIn('https://app.example', text)
            code, text = complaint('origins = "self";', '--origins=app.example')
            self.assertEqual((code, text.startswith("key gateway.origins: 'app.example'")), (78, True), text)
            self.assertEqual(complaint('origins = "app.example";', '--origins=self'), (0, ''))

    def test_own_pages_and_programs(self):
        for fields in (('Origin: https://good.example',), ('Origin: https://chat.good.example',), ('Origin: https://test',), ()):
            self.assertEqual(self.statuses(*fields), [200, 101, 101], fields)

    def test_a_session_does_not_go_on_for_another_page(self):
        session = Polling(self.stack, fields=('Origin: https://good.example',))
        self.assertEqual(get(self.stack.port, f'/socket.io/?{session.query}', 'Origin: https://evil.example').status, 403)
        with Connection(self.stack.port) as connection:
            connection.send(handshake(session.websocket_path(), fields=('Origin: https://evil.example',)))
            self.assertEqual(connection.response().status, 403)
        session.connect()


class Full(unittest.TestCase):
    REFUSED = 'hubbub_refused_connections_total'

    def refused(self, port, count=20):
        """Each is told 503, whether it has spoken before or not."""
        for number in range(count):
            with Connection(port) as connection:
                if number % 2:
                    connection.send('GET / HTTP/1.1\r\nHost: h\r\n\r\n')
                answer = connection.response()
                self.assertEqual((answer.status, 'retry-after' in answer.fields), (503, True))

    def test_connections(self):
        stack = Stack({'max_connections': 10})
        self.addCleanup(stack.close)
        figures = Figures(stack)
        clients = [Client(stack.port) for _ in range(10)]
        self.refused(stack.port)
        figures.wait_for(self.REFUSED, 20)
        figures.wait_for('hubbub_http_refused_total{status=503}', 20)
        for client in clients:
            self.assertTrue(client.call('join', 'R')['ok'])
            client.socket.close()
        stack.wait_for_metric(lambda now: now['hubbub_connections'] == 0)
        serves(stack)

    def test_no_descriptor_is_left(self):
        """The reserve: whoever comes when the process has none at all is told so, and nobody hangs."""
        stack = Stack()
        self.addCleanup(stack.close)
        figures = Figures(stack)
        pid = stack.pids['gateway-1']
        clients = [Client(stack.port) for _ in range(3)]
        highest = max(int(name) for name in os.listdir(f'/proc/{pid}/fd'))
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1, before[1]))
        self.refused(stack.port)
        for client in clients:
            self.assertTrue(client.call('join', 'R')['ok'])
        figures.wait_for(self.REFUSED, 20)
        clients.pop().socket.close()  # one that goes makes room for one
        stack.wait_for_metric(lambda now: now['hubbub_connections'] == 2)
        serves(stack)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        serves(stack)
        for client in clients:
            client.socket.close()

    def test_a_low_limit_of_files(self):
        """What the limit allows, less the reserve: the rest is told 503."""
        port = free_port()
        script = f'ulimit -n 96; exec {BUILD}/gateway/hubbub-gateway "$@"'
        process = subprocess.Popen(['bash', '-c', script, 'gateway', f'--port={port}', '--router=ipc://nobody.ipc',
                                    '--http-idle-timeout=60000'], stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(('127.0.0.1', port), PATIENCE).close()
                break
            except ConnectionRefusedError:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.05)
        time.sleep(0.2)
        held = []
        for _ in range(64):
            connection = Connection(port)
            connection.send('GET / HTTP/1.1\r\nHost: h\r\n\r\n')
            status = connection.response().status
            held.append(connection)
            if status == 503:
                break
        self.assertEqual(status, 503)
        self.assertLessEqual(len(held), 96 - 64 + 1)
        for connection in held:
            connection.socket.close()


class Recovery(unittest.TestCase):
    def start(self, keys):
        self.stack = Stack(rest=f'router = {{ {keys} }};')
        self.addCleanup(self.stack.close)
        self.figures = Figures(self.stack)

    def leave(self):
        client = Client(self.stack.port)
        client.call('join', 'R')
        client.emit('msg', {'room': 'R', 'body': 'x'})
        offset = client.event()[-1]
        client.socket.close()
        self.figures.wait_for('hubbub_closed_total{reason=transport_close}')  # an end of the connection, not a time before it came
        return {'pid': client.connected['pid'], 'offset': offset}

    def test_too_late(self):
        self.start('recovery_window = "500 ms";')
        auth = self.leave()
        time.sleep(1)
        with Client(self.stack.port, auth=auth) as late:
            self.assertNotEqual(late.connected['pid'], auth['pid'])
        counted = self.stack.wait_for_metric(lambda now: now['hubbub_recoveries_total{result=expired}'] + now['hubbub_recoveries_total{result=unknown}'])
        self.assertEqual(counted['hubbub_recoveries_total{result=recovered}'], 0)

    def test_too_much(self):
        self.start('recovery_max_messages = 3;')
        auth = self.leave()
        with Client(self.stack.port) as other:
            other.call('join', 'R')
            for _ in range(5):
                self.assertTrue(other.call('msg', {'room': 'R', 'body': 'x'})['ok'])
        with Client(self.stack.port, auth=auth) as back:
            self.assertNotEqual(back.connected['pid'], auth['pid'])
        self.figures.wait_for('hubbub_recoveries_total{result=too_many}')


class Files(WithStack):
    def test_nobody_else_reads_them(self):
        data = self.stack.folder / 'data'
        self.assertEqual(stat.S_IMODE(data.stat().st_mode), 0o700)
        self.assertEqual(stat.S_IMODE((data / 'stats.sock').stat().st_mode), 0o600)
        for name in ('journal.sqlite', 'journal.sqlite-wal'):
            self.assertEqual(stat.S_IMODE((data / name).stat().st_mode) & 0o007, 0, name)

    def test_a_stats_socket_elsewhere(self):
        """Its mode is its own protection where the folder is open to all."""
        router = subprocess.Popen([BUILD / 'router' / 'hubbub-router', f'--listen=ipc://{self.stack.folder}/other.ipc', f'--data={self.stack.folder}/other',
                                   f'--stats={self.stack.folder}/open.sock'], stderr=subprocess.DEVNULL, umask=0)
        self.addCleanup(router.wait)
        self.addCleanup(router.terminate)
        path, end = self.stack.folder / 'open.sock', time.monotonic() + PATIENCE
        while not path.exists():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)


if __name__ == '__main__':
    unittest.main()
