"""Passwords, keys, tokens, cookies and messages: in no log, no list of processes, no error, no statistics."""
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

from attack import PATIENCE, free_port
from programs import BUILD, Stack
from raw_client import Client, Connection, WebSocket

WORDS = {name: f'{name}-0f3c9a71' for name in ('password', 'token', 'cookie', 'bearer', 'message', 'query')}
URI = f'mongodb://writer:{WORDS["password"]}@127.0.0.1:{{port}}/chat?connectTimeoutMS=100'


class Secrets(unittest.TestCase):
    def hidden(self, text, where):
        for name, word in WORDS.items():
            self.assertNotIn(word, text, f'{name} in {where}')

    def everything_shown(self, stack):
        """Log, command lines and environments of the processes, and all that the stats socket says."""
        yield 'the log', stack.log_text()
        for name, pid in stack.pids.items():
            yield f'ps of {name}', pathlib.Path(f'/proc/{pid}/cmdline').read_bytes().decode(errors='replace')
            yield f'the environment of {name}', pathlib.Path(f'/proc/{pid}/environ').read_bytes().decode(errors='replace')
        for command in (['stats'], ['stats', 'json'], ['config'], ['config', 'json'], ['rooms'], ['gateways'], ['archive']):
            done = subprocess.run([BUILD / 'cli' / 'hubbub', *command, '--data', stack.folder / 'data'], capture_output=True, text=True)
            yield ' '.join(command), done.stdout + done.stderr

    def test_a_running_stack(self):
        stack = Stack({'log_level': '"debug"'}, f'router = {{ log_level = "debug"; }};')
        self.addCleanup(stack.close)
        with Client(stack.port, auth={'token': WORDS['token']}) as client:
            client.call('join', 'R')
            client.call('msg', {'room': 'R', 'body': WORDS['message']})
            client.call('nothing', WORDS['message'])
        fields = (f'Cookie: session={WORDS["cookie"]}', f'Authorization: Bearer {WORDS["bearer"]}')
        with WebSocket(stack.port, fields=fields, path=f'/socket.io/?EIO=4&transport=websocket&token={WORDS["query"]}') as websocket:
            websocket.send_text('40')
            websocket.read_text()
        for text in (f'GET /x?token={WORDS["query"]} HTTP/1.1\r\nHost: h\r\n{fields[0]}\r\nBad Header: {WORDS["token"]}\r\n\r\n',
                     f'BREW /{WORDS["query"]} HTTP/1.1\r\nHost: h\r\n\r\n'):
            with Connection(stack.port) as connection:
                connection.send(text)
                connection.response()
        with Client(stack.port) as client:
            client.send_text('42["msg",{"room":"' + WORDS['message'] + '"')  # no JSON
            client.read_frame()
        time.sleep(1.2)  # the gateways' next report
        for where, text in self.everything_shown(stack):
            self.hidden(text, where)

    def test_the_archives_password(self):
        port = free_port()  # where nothing listens: the driver has something to complain of
        for config in ('file', 'option'):
            folder = pathlib.Path(tempfile.mkdtemp(prefix='hubbub-secrets-'))
            self.addCleanup(shutil.rmtree, folder, True)
            uri = URI.format(port=port)
            (folder / 'router.conf').write_text(f'router = {{ archive = "{uri}"; }};' if config == 'file' else '')
            with open(folder / 'log', 'wb') as log:
                router = subprocess.Popen([BUILD / 'router' / 'hubbub-router', f'--config={folder}/router.conf', f'--listen=ipc://{folder}/link',
                                           f'--data={folder}/data', '--log-level=debug', *(['--archive', uri] if config == 'option' else [])], stderr=log)
            try:
                end = time.monotonic() + PATIENCE
                while 'MongoDB' not in (folder / 'log').read_text():
                    self.assertLess(time.monotonic(), end)
                    self.assertIsNone(router.poll(), (folder / 'log').read_text())
                    time.sleep(0.05)
                self.hidden((folder / 'log').read_text(), 'the log')
                self.hidden(pathlib.Path(f'/proc/{router.pid}/cmdline').read_bytes().decode(), 'ps')
            finally:
                router.kill()
                router.wait()

    def test_errors_of_the_configuration(self):
        for uri in (f'mongodb://u:{WORDS["password"]}@h:notaport/', f'mongo://u:{WORDS["password"]}@h/', f'mongodb://u:{WORDS["password"]}@/',
                    f'mongodb://u:{WORDS["password"]}@h/?w=0', f'mongodb://u:{WORDS["password"]}@h/' + 'x' * 5000, f'mongodb://u:{WORDS["password"]}@h/?x=%'):
            done = subprocess.run([BUILD / 'router' / 'hubbub-router', '--check-config', f'--archive={uri}'], capture_output=True, text=True)
            self.hidden(done.stdout + done.stderr, uri[:60])
            with tempfile.NamedTemporaryFile('w', suffix='.conf') as file:
                file.write(f'router = {{ archive = "{uri}"; }};')
                file.flush()
                done = subprocess.run([BUILD / 'cli' / 'hubbub', 'run', '--check-config', f'--config={file.name}'], capture_output=True, text=True)
                self.hidden(done.stdout + done.stderr, uri[:60])

    def test_files_of_keys(self):
        """What is wrong with a file of keys is said without what stands in it."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, 'keys')
            for text in (WORDS['bearer'][:10], f'{WORDS["bearer"]} with blanks', f'{WORDS["bearer"]}\x01'):
                path.write_text(text + '\n')
                path.chmod(0o600)
                done = subprocess.run([BUILD / 'gateway' / 'hubbub-gateway', '--check-config', f'--publish-key={path}', '--admin=127.0.0.1:1'], capture_output=True, text=True)
                self.assertNotIn(text[:10], done.stdout + done.stderr)


if __name__ == '__main__':
    unittest.main()
