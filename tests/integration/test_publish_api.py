"""The HTTP API: docs/openapi.yaml held against the running program by schemathesis, and what it promises by hand."""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'conformance'))
from programs import BUILD, PATIENCE, ROOT, free_ports  # noqa: E402

KEY = 'a-key-for-the-tests-of-http'
RULES = '''
namespaces = (
  { name = "/"; events = (
      { name = "msg"; room = "$.room"; archive = true; dedup = "$.id"; meta = true; },
      { name = "note"; room = "$.room"; },
      { name = "typing"; room = "$.room"; volatile = true; } ); },
  { name = "/chat"; } );
'''


class Stack:
    """`hubbub run` with two gateways, their admin ports and a key."""

    def __init__(self, *arguments, key=KEY, configuration=''):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='hubbub-publish-'))
        self.ports = free_ports(2)
        self.admin = self.free_pair(set(self.ports))
        key_file = self.folder / 'keys'
        key_file.write_text(f'{key}\n')
        key_file.chmod(0o600)
        (self.folder / 'conf').write_text(RULES + configuration)
        self.log = open(self.folder / 'log', 'w+')
        self.process = subprocess.Popen(
            [BUILD / 'cli' / 'hubbub', 'run', '--config', self.folder / 'conf', '--data', self.folder / 'data',
             '--ports', ','.join(map(str, self.ports)), '--admin-port', str(self.admin),
             *(['--publish-key', key_file] if key else []), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.pids = {}
        for line in self.process.stdout:
            if ' pid=' in line:
                name, rest = line.split(' pid=')
                self.pids[name] = int(rest.split()[0])
            if line.startswith('ready'):
                return
        raise AssertionError('no ready:\n' + (self.folder / 'log').read_text())

    @staticmethod
    def free_pair(taken):
        while True:
            port = free_ports(1)[0]
            if {port, port + 1} & taken:
                continue
            with socket.socket() as second:
                try:
                    second.bind(('127.0.0.1', port + 1))
                except OSError:
                    continue
            return port

    def url(self, path, gateway=0):
        return f'http://127.0.0.1:{self.admin + gateway}{path}'

    def publish(self, body, gateway=0, key=KEY, **options):
        data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return requests.post(self.url('/api/publish', gateway), data=data, timeout=PATIENCE,
                             headers={'Authorization': f'Bearer {key}'} if key else {}, **options)

    def get(self, path, gateway=0):
        return requests.get(self.url(path, gateway), headers={'Authorization': f'Bearer {KEY}'}, timeout=PATIENCE)

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(PATIENCE)
        self.process.stdout.close()
        self.log.close()
        shutil.rmtree(self.folder)


class Api(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = Stack()
        cls.addClassCleanup(cls.stack.close)

    def assert_refused(self, answer, status, code):
        self.assertEqual(answer.status_code, status, answer.text)
        self.assertEqual(answer.headers['Content-Type'], 'application/json')
        body = answer.json()
        self.assertIs(body['ok'], False)
        self.assertEqual(body['error']['code'], code)
        self.assertTrue(body['error']['message'])

    def test_the_document_is_what_the_program_does(self):
        # The document's own limits are wider than what a name may be (no control characters) and than which
        # namespaces there are, so what it generates may be refused with 422, which the document allows.
        # Methods of its own invention get evhttp's 501, as RFC 9110 has it.
        (self.stack.folder / 'st.toml').write_text('[phases.coverage]\nunexpected-methods = ["DELETE", "PUT", "PATCH"]\n')
        result = subprocess.run(
            [sys.executable, '-m', 'schemathesis.cli', '--config-file', 'st.toml', 'run', ROOT / 'docs' / 'openapi.yaml', '--url', self.stack.url(''),
             '-H', f'Authorization: Bearer {KEY}', '--max-examples', '60', '--seed', '17', '--no-color',
             '--checks', 'not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,'
             'response_headers_conformance,unsupported_method,ignored_auth',
             '--phases', 'examples,coverage,fuzzing'],
            cwd=self.stack.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            env={**os.environ, 'HOME': str(self.stack.folder)}, timeout=10 * PATIENCE)
        self.assertEqual(result.returncode, 0, result.stdout[-6000:] + result.stderr[-2000:])

    def test_an_id_counts_once_on_whatever_gateway(self):
        body = {'room': 'once', 'event': 'msg', 'args': [{'room': 'once'}], 'id': 'order-0017'}
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: self.stack.publish(body, n % 2), range(16)))
        self.assertEqual({answer.text for answer in answers}, {answers[0].text})
        self.assertEqual(answers[0].status_code, 200, answers[0].text)
        self.assertEqual(self.stack.get('/api/rooms/once', 1).json(), {'ok': True, 'room': 'once', 'members': 0, 'seq': 1})

    def test_numbers_and_texts_stay_as_they_are_written(self):
        args = '[1.0, 1e400, 12345678901234567890, "\\u00e9\\ud800", {"b":1,"a":2}]'
        self.assertEqual(self.stack.publish(f'{{"room":"exact","event":"msg","args":{args}}}').status_code, 200)
        self.assertIn(f'"args":{args}', self.stack.get('/api/rooms/exact/history').text)

    def test_the_class_is_the_rule_s_unless_it_is_said(self):
        outcomes = {}
        for event, extra in (('msg', {}), ('note', {}), ('typing', {}), ('other', {}), ('msg', {'class': 'logged'}),
                             ('other', {'class': 'archived'})):
            answer = self.stack.publish({'room': 'classes', 'event': event, **extra})
            self.assertEqual(answer.status_code, 200, answer.text)
            outcomes[event, *extra.values()] = answer.json().get('seq')
        self.assertEqual(outcomes, {('msg',): 1, ('note',): None, ('typing',): None, ('other',): None,
                                    ('msg', 'logged'): None, ('other', 'archived'): 2})

    def test_pages(self):
        for n in range(5):
            self.stack.publish({'room': 'a/b c', 'event': 'msg', 'args': [n], 'class': 'archived'})
        pages = {query: [m['seq'] for m in self.stack.get('/api/rooms/a%2Fb%20c/history' + query, 1).json()['messages']]
                 for query in ('', '?limit=2', '?before=3', '?after=3', '?after=0&limit=1', '?limit=100000')}
        self.assertEqual(pages, {'': [1, 2, 3, 4, 5], '?limit=2': [4, 5], '?before=3': [1, 2], '?after=3': [4, 5],
                                 '?after=0&limit=1': [1], '?limit=100000': [1, 2, 3, 4, 5]})
        for query in ('?before=0', '?after=-1', '?limit=0', '?limit=x', '?before=2&after=1', '?before=99999999999999999999'):
            self.assert_refused(self.stack.get('/api/rooms/r/history' + query), 422, 'bad_request')

    def test_who_shows_no_key_gets_nothing(self):
        for key in ('', 'another-key-for-the-tests-', KEY + 'x', KEY[:-1]):
            answer = self.stack.publish({'room': 'secret', 'event': 'msg'}, key=key)
            self.assert_refused(answer, 401, 'unauthorized')
            self.assertEqual(answer.headers['WWW-Authenticate'], 'Bearer')
        self.assertEqual(requests.get(self.stack.url('/api/rooms/secret'), timeout=PATIENCE).status_code, 401)
        self.assertEqual(self.stack.get('/api/rooms/secret').json()['seq'], 0)

    def test_what_is_wrong_is_named(self):
        for body in ('', '{', '[]', '"x"', b'{"room":"\xff"}'):
            self.assert_refused(self.stack.publish(body), 400, 'bad_request')
        for body in ({}, {'event': 'e'}, {'room': '', 'event': 'e'}, {'room': 'a\n', 'event': 'e'},
                     {'room': 'r' * 256, 'event': 'e'}, {'room': 'a', 'event': 'disconnect'},
                     {'room': 'a', 'event': 'e', 'namespace': '/nowhere'}, {'room': 'a', 'event': 'e', 'args': 1},
                     {'sid': 'a', 'event': 'e', 'class': 'archived'}, {'rooms': [], 'event': 'e', 'class': 'archived'}):
            with self.subTest(body):
                self.assert_refused(self.stack.publish(body), 422, 'bad_request')
        self.assert_refused(self.stack.publish('{"room":"a","event":"e","args":' + '[' * 130 + ']' * 130 + '}'), 422, 'too_deep')
        self.assertEqual(self.stack.publish({'room': 'a', 'event': 'e', 'args': ['x' * 2_000_000]}).status_code, 413)
        self.assert_refused(self.stack.get('/api/rooms/a%0Ab'), 422, 'bad_room')
        self.assert_refused(self.stack.get('/api/rooms/a/b'), 404, 'not_found')
        self.assert_refused(self.stack.get('/'), 404, 'not_found')
        answer = requests.delete(self.stack.url('/api/publish'), headers={'Authorization': f'Bearer {KEY}'}, timeout=PATIENCE)
        self.assert_refused(answer, 405, 'method_not_allowed')
        self.assertEqual(answer.headers['Allow'], 'POST')


    def test_head_has_no_body(self):
        """What came behind the head would be the next answer's beginning."""
        with socket.create_connection(('127.0.0.1', self.stack.admin), PATIENCE) as client:
            for path in ('/api/rooms/a', '/api/publish', '/'):
                client.sendall(f'HEAD {path} HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\n\r\n'.encode())
            client.sendall(f'GET /api/rooms/a HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n\r\n'.encode())
            answers = b''
            while part := client.recv(65536):
                answers += part
        heads = answers.split(b'\r\n\r\n')
        self.assertEqual([head.split(b' ')[1] for head in heads[:4]], [b'405', b'405', b'404', b'200'], answers)
        self.assertIs(json.loads(heads[4])['ok'], True)

    def test_no_value_ends_at_a_null(self):
        self.assert_refused(self.stack.get('/api/rooms/a?namespace=/%00'), 400, 'bad_request')
        self.assert_refused(self.stack.get('/api/rooms/a/history?limit=5%00'), 400, 'bad_request')


class Faults(unittest.TestCase):
    def test_who_holds_the_admin_port_leaves_descriptors_to_clients(self):
        stack = Stack(configuration='gateway = { max_admin_connections = 20; };')
        self.addCleanup(stack.close)

        def held():
            """The connections to the admin port that have been accepted."""
            ours = set()
            for name in os.listdir(folder := f'/proc/{stack.pids["gateway-1"]}/fd'):
                with contextlib.suppress(FileNotFoundError):
                    ours.add(os.readlink(f'{folder}/{name}'))
            lines = [line.split() for line in pathlib.Path('/proc/net/tcp').read_text().splitlines()[1:]]
            return sum(line[1].endswith(f':{stack.admin:04X}') and line[3] != '0A' and f'socket:[{line[9]}]' in ours
                       for line in lines)

        def stays(count):
            """It was reached, and nothing more is accepted for a moment."""
            deadline = time.monotonic() + PATIENCE
            while held() != count and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(0.5)
            self.assertLessEqual(held(), count)  # fewer when some that ask nothing have been sent away

        clients = [socket.create_connection(('127.0.0.1', stack.admin), PATIENCE) for _ in range(100)]
        stays(20)
        for client in clients[:90]:  # those that waited are next
            client.close()
        self.assertEqual(stack.publish({'room': 'a', 'event': 'note'}).status_code, 200)
        stays(10)
        for client in clients[90:]:
            client.close()

    def test_without_a_key_file_nobody_may(self):
        stack = Stack(key='')
        self.addCleanup(stack.close)
        self.assertEqual(stack.publish({'room': 'a', 'event': 'msg'}).status_code, 403)

    def test_the_router_killed_under_publishers_loses_and_doubles_nothing(self):
        stack = Stack()
        self.addCleanup(stack.close)
        count = 300
        killed = threading.Event()

        def publish(n):
            if n >= count * 2 // 3:
                self.assertTrue(killed.wait(PATIENCE))  # so that it is killed under publishers, however late that comes
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                answer = stack.publish({'room': 'k', 'event': 'msg', 'args': [n], 'id': f'number-{n:05}'}, n % 2)
                if answer.status_code == 200:
                    return answer.json()['seq']
                self.assertIn(answer.status_code, (503, 504), answer.text)
            raise AssertionError('never published')

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(publish, n) for n in range(count)]
            futures[count // 3].result()
            os.kill(stack.pids['router'], 9)
            killed.set()
            seqs = [future.result() for future in futures]
        self.assertEqual(sorted(seqs), list(range(1, count + 1)))
        messages = []
        for after in (0, 200):
            page = stack.get(f'/api/rooms/k/history?after={after}&limit=200')
            self.assertEqual(page.status_code, 200, page.text)
            messages += page.json()['messages']
        self.assertEqual({m['seq']: m['args'][0] for m in messages}, {seq: n for n, seq in enumerate(seqs)})


if __name__ == '__main__':
    unittest.main()
