"""Requests made to be misread: smuggled, with two lengths, larger than anything allowed, with lines in their names.

    smuggling                         Smuggling.*
    oversize everything               Oversize.*
    CRLF in names                     Lines.*
"""
import json
import unittest

from attack import Figures, serves
from programs import Stack
from raw_client import CLOSE, Client, Closed, Connection, Polling, WebSocket, frame, get, handshake, request

SECRET = 'GET /healthz HTTP/1.1\r\nHost: smuggled\r\n\r\n'
POLL = '/socket.io/?EIO=4&transport=polling'


def setUpModule():
    global stack
    stack = Stack({'max_payload': 20000, 'cookie': '"io"', 'cors_origins': '"*"', 'cors_credentials': 'true'})


def tearDownModule():
    stack.close()


def answers_to(text):
    """The statuses of all answers on one connection, up to its end."""
    with Connection(stack.port) as connection:
        connection.send(text)
        connection.socket.shutdown(1)
        data = connection.read_end()
    return [int(part[:3]) for part in data.decode('latin-1').split('HTTP/1.1 ')[1:]]


class Smuggling(unittest.TestCase):
    def refused(self, head, body=SECRET):
        """Nothing of the body is ever taken for a request."""
        self.assertEqual(answers_to(head + '\r\n' + body), [400], head)

    def test_two_lengths(self):
        line = f'POST {POLL} HTTP/1.1\r\nHost: h\r\n'
        for fields in ('Content-Length: 0\r\nContent-Length: 44\r\n', 'Content-Length: 44\r\nContent-Length: 0\r\n',
                       'Content-Length: 0, 44\r\n', 'Content-Length: 0\r\ncontent-length: 44\r\n'):
            self.refused(line + fields)

    def test_a_length_beside_a_coding(self):
        line = f'POST {POLL} HTTP/1.1\r\nHost: h\r\n'
        for fields in ('Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', 'Transfer-Encoding: chunked\r\nContent-Length: 4\r\n'):
            self.refused(line + fields, '0\r\n\r\n' + SECRET)

    def test_codings_that_others_may_not_see(self):
        line = f'POST {POLL} HTTP/1.1\r\nHost: h\r\n'
        for fields in ('Transfer-Encoding : chunked\r\n', 'Transfer-Encoding:\x0bchunked\r\n', 'Transfer-Encoding: chunked\x00\r\n',
                       ' Transfer-Encoding: chunked\r\n', 'X: y\r\n Transfer-Encoding: chunked\r\n', 'X: y\nTransfer-Encoding: chunked\r\n',
                       'Transfer-Encoding: chunked, identity\r\n', 'Transfer-Encoding: xchunked\r\n', 'Transfer-Encoding: "chunked"\r\n',
                       'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', 'Transfer-Encoding: identity, chunked\r\n'):
            statuses = answers_to(line + fields + '\r\n0\r\n\r\n' + SECRET)
            self.assertEqual(len(statuses), 1, fields)
            self.assertIn(statuses[0], (400, 501), fields)

    def test_lengths_that_are_none(self):
        line = f'POST {POLL} HTTP/1.1\r\nHost: h\r\n'
        for value in ('+4', '-4', '0x4', '4 4', '4;', '', '18446744073709551620', '4e1', '４'):
            self.refused(line + f'Content-Length: {value}\r\n'.encode().decode('latin-1'))

    def test_chunks_that_lie(self):
        session = Polling(stack)
        head = f'POST /socket.io/?{session.query} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n'
        for body in ('5\r\n40\r\n0\r\n\r\n', '2\n40\r\n0\r\n\r\n', '-2\r\n40\r\n0\r\n\r\n', '2\r\n40X\r\n0\r\n\r\n',
                     'ffffffffffffffff0\r\n40\r\n', '2 2\r\n40\r\n0\r\n\r\n', '0x2\r\n40\r\n0\r\n\r\n'):
            self.assertNotIn(200, answers_to(head + body + SECRET), body)
            session = Polling(stack)
            head = f'POST /socket.io/?{session.query} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n'

    def test_a_body_where_none_is_read(self):
        """It is answered, and the connection ends: what stands in the body is nobody's request."""
        for head in ('GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 44\r\n', 'GET /healthz HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n',
                     'POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 44\r\n'):
            self.assertEqual(len(answers_to(head + '\r\n' + SECRET)), 1, head)

    def test_behind_an_upgrade(self):
        """What comes with a WebSocket's request is frames, also when the handshake is refused."""
        text = handshake().decode() + SECRET
        with Connection(stack.port) as connection:
            connection.send(text)
            connection.socket.shutdown(1)
            self.assertEqual(connection.read_end().count(b'HTTP/1.1'), 1)
        refused = handshake().decode().replace('transport=websocket', 'transport=nothing') + SECRET
        self.assertEqual(answers_to(refused), [400])

    def test_where_a_request_goes(self):
        for line in ('CONNECT elsewhere:80 HTTP/1.1', 'GET //elsewhere/ HTTP/1.1', 'GET /../etc/passwd HTTP/1.1',
                     'GET /%2e%2e/etc/passwd HTTP/1.1', 'GET /socket.io/../../etc/passwd HTTP/1.1', 'GET /app.js%00.html HTTP/1.1'):
            for status in answers_to(line + '\r\nHost: h\r\nConnection: close\r\n\r\n'):
                self.assertIn(status, (400, 404, 501), line)


class Oversize(unittest.TestCase):
    def test_heads(self):
        figures = Figures(stack)
        for text, status in ((f'GET /{"x" * 9000} HTTP/1.1\r\nHost: h\r\n\r\n', 414), (f'GET / HTTP/1.1\r\nHost: h\r\nX: {"x" * 9000}\r\n\r\n', 431),
                             ('GET / HTTP/1.1\r\nHost: h\r\n' + ''.join(f'X{i}: y\r\n' for i in range(200)) + '\r\n', 431)):
            self.assertEqual(request(stack.port, text).status, status)
            figures.wait_for(f'hubbub_http_refused_total{{status={status}}}')
        figures.wait_for('hubbub_closed_total{reason=http_bad_request}', 3)

    def test_a_head_without_end(self):
        figures = Figures(stack)
        with Connection(stack.port) as connection:
            connection.send('GET / HTTP/1.1\r\nHost: h\r\nX: ')
            with self.assertRaises((ConnectionError, Closed)):
                for _ in range(1000):
                    connection.send(b'x' * 65536)
                connection.read(1 << 20)
        self.assertLess(figures.grown(), figures.bound(8))

    def test_bodies(self):
        figures = Figures(stack)
        session = Polling(stack)
        self.assertEqual(session.post('4' + 'x' * 20001).status, 413)
        with session.start('POST', 'Content-Length: 99999999999999') as connection:
            self.assertEqual(connection.response().status, 413)
        with session.start('POST', 'Transfer-Encoding: chunked') as connection:
            connection.send('7fffffff\r\n' + 'x' * 30000)
            self.assertEqual(connection.response().status, 413)
        self.assertTrue(session.connect())  # the session lives
        figures.wait_for('hubbub_http_refused_total{status=413}', 3)

    def test_messages(self):
        figures = Figures(stack)
        for data in (frame(1, '4' + 'x' * 20001), b'\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0', b'\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0',
                     frame(1, 'x' * 15000, fin=False) + frame(0, 'x' * 15000)):
            with WebSocket(stack.port) as websocket:
                websocket.send(data)
                opcode, payload = websocket.read_frame()
                self.assertEqual(opcode, CLOSE)
                self.assertIn(int.from_bytes(payload, 'big'), (1002, 1009))
        figures.wait_for('hubbub_closed_total{reason=websocket_message_too_large}', 2)

    def test_names(self):
        figures = Figures(stack)
        with Client(stack.port) as client:
            self.assertEqual(client.call('join', 'r' * 256)['error']['code'], 'bad_room')
            self.assertEqual(client.call('join', 'é' * 128)['error']['code'], 'bad_room')
            self.assertTrue(client.call('join', 'r' * 255)['ok'])
            self.assertEqual(client.call('e' * 256, 1)['error']['code'], 'too_large')
            self.assertEqual(client.call('msg', {'room': 'r' * 255, 'id': 'i' * 65})['error']['code'], 'bad_request')
        figures.wait_for('hubbub_refused_total{code=bad_room}', 2)
        figures.wait_for('hubbub_refused_total{code=too_large}', 1)

    def test_rooms_and_namespaces_of_one_client(self):
        figures = Figures(stack)
        with Client(stack.port) as client:
            answers = [client.call('join', f'many-{i}') for i in range(130)]
            self.assertEqual([answer['ok'] for answer in answers], [True] * 128 + [False] * 2)
            self.assertEqual(answers[-1]['error']['code'], 'bad_request')
        figures.wait_for('hubbub_refused_total{code=bad_request}', 2)

    def test_acknowledgement_ids(self):
        for number in ('9' * 30, '18446744073709551616', '-1'):
            with Client(stack.port) as client:
                client.send_text(f'42{number}["presence","R"]')
                client.read_frame()  # answered or closed: it does not wait
        serves(stack)


class Lines(unittest.TestCase):
    """What a client chooses never becomes a line of anything."""

    def test_fields_of_answers(self):
        for value in ('a%0d%0aX-Injected: 1', 'a\rX-Injected: 1', 'a\nX-Injected: 1', 'a%0aX-Injected:1'):
            for text in (f'GET {POLL}&x={value} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n',
                         f'GET {POLL}&sid={value} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n',
                         f'GET {POLL} HTTP/1.1\r\nHost: h\r\nOrigin: {value}\r\nConnection: close\r\n\r\n',
                         f'OPTIONS {POLL} HTTP/1.1\r\nHost: h\r\nOrigin: http://a\r\nAccess-Control-Request-Headers: {value}\r\nConnection: close\r\n\r\n',
                         handshake(fields=(f'Sec-WebSocket-Protocol: {value}',)).decode()):
                with Connection(stack.port) as connection:
                    connection.send(text)
                    connection.socket.shutdown(1)
                    head = connection.read_end().split(b'\r\n\r\n')[0]
                self.assertNotIn(b'\nX-Injected', head, text)
                self.assertNotIn(b'\rX-Injected', head, text)

    def test_cookies(self):
        answer = get(stack.port, POLL + '&sid=%0d%0aSet-Cookie:%20x=1')
        self.assertNotIn('set-cookie', answer.fields)
        answer = get(stack.port, POLL)
        self.assertRegex(answer.fields['set-cookie'], r'^io=[\w-]+; Path=/; HttpOnly; SameSite=Lax$')

    def test_rooms_and_events(self):
        with Client(stack.port) as client:
            for room in ('a\r\nb', 'a\nb', 'a\0b', 'a\x7fb', 'a\u0085b', '\ud800'):
                self.assertEqual(client.call('join', room)['error']['code'], 'bad_room', repr(room))
            self.assertTrue(client.call('join', 'plain')['ok'])
            answer = client.call('x\r\ntime=2026-01-01T00:00:00Z level=error message=forged', 1)
            self.assertEqual(answer['error']['code'], 'unknown_event')
        for line in stack.log_text().splitlines():
            self.assertFalse(line.startswith('time=2026-01-01'), line)

    def test_events_come_out_as_they_went_in(self):
        text = 'x\r\n\r\n42["forged"]\x1e\u2028</script>'
        with Client(stack.port) as client:
            client.call('join', 'lines')
            client.emit('msg', {'room': 'lines', 'body': text})
            self.assertEqual(client.event()[1]['body'], text)

    def test_the_stats_socket_has_a_room_a_line(self):
        """Rooms of printable names that look like answers do not add lines to them."""
        import subprocess
        from programs import BUILD
        with Client(stack.port) as client:
            client.call('join', 'room  with "quotes" \\ and = signs')
            rooms = subprocess.run([BUILD / 'cli' / 'hubbub', 'rooms', '--data', stack.folder / 'data'], capture_output=True, text=True, check=True)
            self.assertEqual(sum('quotes' in line for line in rooms.stdout.splitlines()), 1)

    def test_handshakes_as_backends_and_operators_see_them(self):
        fields = ('X-Weird: \x80\xff"\\', 'Cookie: a="b\\"')
        with WebSocket(stack.port, fields=fields) as websocket:
            websocket.send_text('40')
            sid = json.loads(websocket.read_text()[2:])['sid']
            import subprocess
            from programs import BUILD
            shown = subprocess.run([BUILD / 'cli' / 'hubbub', 'session', sid, '--data', stack.folder / 'data'], capture_output=True, check=True)
            self.assertIn(b'handshake', shown.stdout)
            self.assertNotIn(b'\xff', shown.stdout)


if __name__ == '__main__':
    unittest.main()
