"""HTTP/1.1 on the wire: every status, and nothing that two readers could take in two ways."""
import os
import time
import unittest

from programs import Gateway, PATIENCE
from raw_client import Closed, Connection, before_time_is_up, get, handshake, in_time, request, HANDSHAKE_PATH

HEAD = 'GET /healthz HTTP/1.1\r\nHost: test\r\n'
ETAG = '"4.8.4"'


def setUpModule():
    global gateway, impatient
    # No router is there: the health page says 503.
    gateway = Gateway(http_idle_timeout='60s', dead=100, heartbeat=50)
    impatient = Gateway(http_head_timeout=400, http_idle_timeout='60s')
    while get(gateway.port, '/healthz').status == 200:
        time.sleep(0.02)


def tearDownModule():
    gateway.close()
    impatient.close()


class HttpTest(unittest.TestCase):
    def refused(self, text, status, message=''):
        """The request gets that status, a text for people, and the end of the connection; nothing after it counts."""
        with Connection(gateway.port) as connection:
            connection.send(text)
            connection.send(HEAD + '\r\n')
            response = connection.response(head_only=False)
            self.assertEqual(response.status, status, message or text[:100])
            self.assertEqual(response.fields['connection'], 'close')
            self.assertEqual(response.body.decode(), response.reason)
            self.assertTrue(connection.peer_ended())

    def accepted(self, text, status=503):
        with Connection(gateway.port) as connection:
            connection.send(text)
            self.assertEqual(connection.response().status, status, text[:100])


class Statuses(HttpTest):
    def test_the_page_and_its_type(self):
        response = get(gateway.port, '/')
        self.assertEqual(response.status, 200)
        self.assertEqual(response.fields['content-type'], 'text/html; charset=utf-8')
        self.assertIn('content-security-policy', response.fields)
        self.assertEqual(response.fields['connection'], 'keep-alive')
        self.assertIn('date', response.fields)
        self.assertIn(b'<!doctype html>', response.body.lower())
        self.assertEqual(get(gateway.port, '/index.html').body, response.body)
        for path, kind in (('/app.js', 'application/javascript; charset=utf-8'),
                           ('/style.css', 'text/css; charset=utf-8'), ('/icon.svg', 'image/svg+xml')):
            response = get(gateway.port, path)
            self.assertEqual((response.status, response.fields['content-type']), (200, kind))
            self.assertEqual(response.fields['x-content-type-options'], 'nosniff')

    def test_health_without_a_router(self):
        response = get(gateway.port, '/healthz')
        self.assertEqual((response.status, response.fields['cache-control']), (503, 'no-store'))

    def test_404(self):
        for path in ('/nothing', '/index.htm', '/app.js/', '//', '/%2e%2e/etc/passwd', '/../etc/passwd', '/socket.io',
                     '/socket.iox/', '/engine.io/', '/?a=1/../b/x'.replace('/?', '/x?')):
            self.assertEqual(get(gateway.port, path).status, 404, path)
        self.assertEqual(request(gateway.port, 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n').status, 404)

    def test_405_says_what_is_allowed(self):
        for method in ('POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'):
            for path in ('/', '/healthz', '/app.js'):
                response = get(gateway.port, path, method=method)
                self.assertEqual((response.status, response.fields['allow']), (405, 'GET, HEAD'))

    def test_501_for_methods_and_codings_that_are_not_known(self):
        for method in ('BREW', 'TRACE', 'CONNECT', 'get', 'Get', 'GETT', 'PROPFIND'):
            self.refused(f'{method} / HTTP/1.1\r\nHost: test\r\n\r\n', 501)
        for coding in ('gzip', 'gzip, chunked', 'identity', 'chunked, chunked', 'chunked;a=1'):
            self.refused(f'POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: {coding}\r\n\r\n', 501)

    def test_505_for_other_versions(self):
        for version in ('HTTP/2.0', 'HTTP/0.9', 'HTTP/3.1'):
            self.refused(f'GET / {version}\r\nHost: test\r\n\r\n', 505)
        for version in ('HTTP/1', 'HTTP/1.', 'HTTP/1.10', 'http/1.1', 'HTTP/01.1', 'ICY/1.1', ''):
            self.refused(f'GET / {version}\r\nHost: test\r\n\r\n', 400)
        self.accepted('GET /healthz HTTP/1.2\r\nHost: test\r\n\r\n')

    def test_414_and_431_at_their_limits(self):
        # The request line: 8000 bytes; the whole head: 8192; fields: 64.
        fits = 'GET /healthz?' + 'a' * (8000 - len('GET /healthz? HTTP/1.1')) + ' HTTP/1.1\r\n'
        self.accepted(fits + 'Host: a\r\n\r\n')
        self.refused(fits.replace('a HTTP', 'aa HTTP') + 'Host: a\r\n\r\n', 414)
        self.refused('GET /' + 'a' * 9000, 414)
        rest = 8192 - len(HEAD) - len('X: \r\n\r\n')
        self.accepted(HEAD + 'X: ' + 'a' * rest + '\r\n\r\n')
        self.refused(HEAD + 'X: ' + 'a' * (rest + 1) + '\r\n\r\n', 431)
        self.accepted(HEAD + 'X: 1\r\n' * 63 + '\r\n')
        self.refused(HEAD + 'X: 1\r\n' * 64 + '\r\n', 431)

    def test_a_body_is_answered_and_never_read_as_a_request(self):
        inner = 'GET / HTTP/1.1\r\nHost: inner\r\n\r\n'
        for fields in (f'Content-Length: {len(inner)}\r\n', 'Transfer-Encoding: chunked\r\n',
                       'Content-Length: 9999999999\r\n', f'Content-Length: {len(inner)}\r\nExpect: 100-continue\r\n'):
            for path, status in (('/healthz', 405), ('/nothing', 404)):
                with Connection(gateway.port) as connection:
                    connection.send(f'POST {path} HTTP/1.1\r\nHost: test\r\n{fields}\r\n{inner}')
                    response = connection.response()
                    self.assertEqual((response.status, response.fields['connection']), (status, 'close'))
                    self.assertTrue(connection.peer_ended())
        with Connection(gateway.port) as connection:  # one without bytes is none
            connection.send(f'GET /healthz HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n{inner}')
            self.assertEqual(connection.response().fields['connection'], 'keep-alive')
            self.assertEqual(connection.response().status, 200)


class Smuggling(HttpTest):
    def test_framing_that_could_be_read_in_two_ways(self):
        for fields in ('Content-Length: 5\r\nTransfer-Encoding: chunked', 'Transfer-Encoding: chunked\r\nContent-Length: 0',
                       'Content-Length: 5\r\nContent-Length: 5', 'Content-Length: 0\r\nContent-Length: 5',
                       'Content-Length: 5, 5', 'Content-Length: +5', 'Content-Length: -1', 'Content-Length: 0x5',
                       'Content-Length: 5 5', 'Content-Length: ', 'Content-Length: 99999999999999999999'):
            self.refused(f'POST / HTTP/1.1\r\nHost: test\r\n{fields}\r\n\r\n', 400)
        self.refused('POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n', 400)

    def test_lines_and_names_that_are_not_exact(self):
        for text in ('GET / HTTP/1.1\nHost: test\n\n', 'GET / HTTP/1.1\r\nHost: test\n\r\n',
                     'GET / HTTP/1.1\r\nHost: test\r\nA: b\r\n folded\r\n\r\n',
                     'GET / HTTP/1.1\r\nHost: test\r\nA: b\r\n\tfolded\r\n\r\n',
                     'GET / HTTP/1.1\r\n Host: test\r\n\r\n', 'GET / HTTP/1.1\r\nHost : test\r\n\r\n',
                     'GET / HTTP/1.1\r\nHost: test\r\nA\0: b\r\n\r\n', 'GET / HTTP/1.1\r\nHost: test\r\nA: b\0\r\n\r\n',
                     'GET / HTTP/1.1\r\nHost: test\r\nA: b\rc\r\n\r\n', 'GET / HTTP/1.1\r\nHost: test\r\nA b\r\n\r\n',
                     'GET / HTTP/1.1\r\nHost: test\r\n: b\r\n\r\n', 'GET / HTTP/1.1\r\nHost: test\r\nA[]: b\r\n\r\n',
                     'GET  / HTTP/1.1\r\nHost: test\r\n\r\n', 'GET /  HTTP/1.1\r\nHost: test\r\n\r\n',
                     'GET\t/ HTTP/1.1\r\nHost: test\r\n\r\n', 'GET / HTTP/1.1 \r\nHost: test\r\n\r\n',
                     ' GET / HTTP/1.1\r\nHost: test\r\n\r\n', 'GET /\0 HTTP/1.1\r\nHost: test\r\n\r\n',
                     'GET /\x7f HTTP/1.1\r\nHost: test\r\n\r\n', 'GET /#a HTTP/1.1\r\nHost: test\r\n\r\n',
                     'GET nothing HTTP/1.1\r\nHost: test\r\n\r\n', 'GET * HTTP/1.1\r\nHost: test\r\n\r\n',
                     'GET /\r\n', '\0', '\x16\x03\x01', '\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: test\r\n\r\n'):
            self.refused(text, 400)

    def test_a_host_once(self):
        for text in ('GET / HTTP/1.1\r\n\r\n', 'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n',
                     'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n',
                     'GET / HTTP/1.1\r\nHost: a@b\r\n\r\n', 'GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n',
                     'GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n'):
            self.refused(text, 400)
        self.accepted('GET /healthz HTTP/1.0\r\n\r\n')
        self.accepted('GET http://other:1/healthz HTTP/1.1\r\nHost: a\r\n\r\n')
        self.accepted('GET /healthz HTTP/1.1\r\nHost:\r\n\r\n')
        self.accepted('\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n')


class Persistence(HttpTest):
    def test_pipelined_requests_are_answered_in_order(self):
        paths = ['/healthz', '/nothing', '/icon.svg', '/healthz'] * 20
        text = ''.join(f'GET {path} HTTP/1.1\r\nHost: test\r\n\r\n' for path in paths)
        for step in (len(text), 1000, 7):
            with Connection(gateway.port) as connection:
                for at in range(0, len(text), step):
                    connection.send(text[at:at + step])
                statuses = [connection.response().status for _ in paths]
                self.assertEqual(statuses, [503, 404, 200, 503] * 20)

    def test_a_head_may_come_byte_by_byte(self):
        with Connection(gateway.port) as connection:
            for byte in HEAD + '\r\n':
                connection.send(byte)
            self.assertEqual(connection.response().status, 503)

    def test_close_when_asked_to(self):
        for text in (HEAD + 'Connection: close\r\n\r\n', 'GET /healthz HTTP/1.0\r\n\r\n',
                     HEAD + 'Connection: keep-alive, Close\r\n\r\n'):
            with Connection(gateway.port) as connection:
                connection.send(text)
                self.assertEqual(connection.response().fields['connection'], 'close')
                self.assertTrue(connection.peer_ended())
        with Connection(gateway.port) as connection:
            connection.send('GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n' * 2)
            self.assertEqual(connection.response().fields['connection'], 'keep-alive')
            self.assertEqual(connection.response().status, 503)

    def test_408_for_a_slow_head_and_for_one_that_drips(self):
        def attempt(drips):
            started = time.monotonic()
            with Connection(impatient.port) as connection:
                connection.socket.settimeout(0.02)
                with before_time_is_up():  # one of which nothing has come by then is closed without a word
                    connection.send('GET / HTTP/1.1\r\nHost: test\r\nX: ')
                    while not connection.buffer:
                        try:
                            connection._more()
                        except TimeoutError:
                            self.assertLess(time.monotonic() - started, PATIENCE)
                            if drips:
                                connection.send('a')
                self.assertGreater(time.monotonic() - started, 0.38)  # clocks of a millisecond
                connection.socket.settimeout(PATIENCE)
                response = connection.response()
                self.assertEqual((response.status, response.fields['connection']), (408, 'close'))
        for drips in (False, True):
            in_time(lambda: attempt(drips))


class Silence(HttpTest):
    """At a gateway that waits for a short time only."""

    @classmethod
    def setUpClass(cls):
        cls.gateway = Gateway(http_head_timeout=400, http_idle_timeout=300)
        cls.addClassCleanup(cls.gateway.close)

    def test_a_kept_connection_ends_in_silence(self):
        def attempt():
            with Connection(self.gateway.port) as connection:
                with before_time_is_up():
                    connection.send(HEAD + '\r\n')
                    connection.response()
                self.assertTrue(connection.peer_ended())
        in_time(attempt)

    def test_a_connection_that_says_nothing_is_closed(self):
        with Connection(self.gateway.port) as connection:
            self.assertTrue(connection.peer_ended())

    def test_asking_without_reading_ends(self):
        with Connection(self.gateway.port) as connection:
            connection.socket.settimeout(5)
            try:
                for _ in range(10000):
                    connection.send((HEAD.replace('/healthz', '/app.js') + '\r\n') * 100)
            except OSError:
                return
            self.fail('the gateway took a million requests whose answers nobody read')


class Files(HttpTest):
    def test_head_is_get_without_the_body(self):
        for path in ('/', '/healthz', '/app.js', '/nothing'):
            whole, head = get(gateway.port, path), get(gateway.port, path, method='HEAD')
            self.assertEqual(head.status, whole.status)
            self.assertEqual(head.fields['content-length'], str(len(whole.body)))
            self.assertEqual(set(head.fields), set(whole.fields))
        with Connection(gateway.port) as connection:  # and nothing is left on the wire
            connection.send('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n' + HEAD + '\r\n')
            connection.response(head_only=True)
            self.assertEqual(connection.response().status, 503)

    def test_a_file_that_is_known_is_not_sent_again(self):
        tag = get(gateway.port, '/app.js').fields['etag']
        for given in (tag, 'W/' + tag, '*'):
            response = get(gateway.port, '/app.js', f'If-None-Match: {given}')
            self.assertEqual((response.status, response.body, response.fields['etag']), (304, b'', tag))
            self.assertNotIn('content-type', response.fields)
        self.assertEqual(get(gateway.port, '/app.js', 'If-None-Match: "other"').status, 200)

    def test_the_stock_client_and_its_map(self):
        script = get(gateway.port, '/socket.io/socket.io.js')
        if script.status != 200:
            self.skipTest('built without the stock client')
        self.assertEqual(script.fields['content-type'], 'application/javascript; charset=utf-8')
        self.assertEqual(script.fields['etag'], ETAG)
        self.assertIn(b'Socket.IO v4.8.4', script.body[:200])
        self.assertEqual(get(gateway.port, '/socket.io/socket.io.js', f'If-None-Match: {ETAG}').status, 304)
        source_map = script.body.rsplit(b'sourceMappingURL=', 1)[1].strip().decode()
        found = get(gateway.port, '/socket.io/' + source_map)
        self.assertEqual((found.status, found.fields['content-type']), (200, 'application/json; charset=utf-8'))
        self.assertEqual(found.json['version'], 3)
        for name in ('socket.io.min.js', 'socket.io.esm.min.js', 'socket.io.msgpack.min.js'):
            self.assertEqual(get(gateway.port, '/socket.io/' + name).status, 200)
        self.assertEqual(get(gateway.port, '/socket.io/nothing.js').status, 400)  # a bad Engine.IO request


class WithoutRouter(unittest.TestCase):
    """What an operator reads and a balancer sees when no router answers."""

    def test_it_is_said_and_the_health_check_fails(self):
        lonely = Gateway(dead='100ms')
        try:
            end = time.monotonic() + PATIENCE
            while 'message="no router answers" endpoint=ipc://nobody.ipc' not in lonely.log_text():
                self.assertLess(time.monotonic(), end, lonely.log_text())
                time.sleep(0.02)
            self.assertEqual(get(lonely.port, '/style.css').status, 200)
            self.assertEqual(get(lonely.port, '/healthz').status, 503)
        finally:
            lonely.close()


class Limits(unittest.TestCase):
    def test_503_over_the_limit_of_connections(self):
        limited = Gateway(max_connections=3, http_idle_timeout='60s')
        try:
            held = [self.admitted(limited.port) for _ in range(3)]
            with Connection(limited.port) as late:
                response = late.response()
                self.assertEqual((response.status, response.fields['connection']), (503, 'close'))
                self.assertIn('retry-after', response.fields)
                self.assertTrue(late.peer_ended())
            held.pop().socket.close()
            held.append(self.admitted(limited.port))
            for connection in held:
                connection.socket.close()
        finally:
            limited.close()

    def admitted(self, port):
        """A connection that was let in: another one's end may take the gateway a moment to see."""
        while True:
            connection = Connection(port)
            try:
                connection.send(HEAD + '\r\n')
                if 'retry-after' not in connection.response().fields:
                    return connection
            except (Closed, OSError):
                pass
            connection.socket.close()

    def test_draining_ends_http_and_websockets(self):
        drained = Gateway(http_idle_timeout='60s')
        with Connection(drained.port) as idle, Connection(drained.port) as open_socket:
            idle.send(HEAD + '\r\n')
            idle.response()
            open_socket.send(handshake(HANDSHAKE_PATH))
            open_socket.response()
            open_socket.read(2 + open_socket.read(2)[1] - 2)
            os.kill(drained.process.pid, 15)
            self.assertTrue(idle.peer_ended())
            self.assertEqual(open_socket.read(4), b'\x88\x02\x03\xe9')  # going away
            self.assertTrue(open_socket.peer_ended())
        drained.close()


if __name__ == '__main__':
    unittest.main()
