"""Starts the programs under test for one test file, and leaves nothing behind.

HUBBUB_BUILD names the build folder (default: build, beside tests).  Every start has a port and a temporary folder
of its own, so any number of test files may run at once.
"""
import atexit
import os
import pathlib
import queue
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get('HUBBUB_BUILD', ROOT / 'build')).resolve()
PATIENCE = 60  # seconds until what is awaited counts as missing: a sanitizer's build on a busy machine

_running = set()


@atexit.register
def _kill_what_is_left():
    for process in list(_running):
        process.kill()


def free_port():
    """A free port below the range that outgoing connections take."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket(socket.AF_INET6) as probe:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            try:
                probe.bind(('::', port))
            except OSError:
                continue
        return port


class _Program:
    """A process, the folder that it works in, and what it printed."""

    def __init__(self, arguments):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='hubbub-conformance-'))
        self.log = self.folder / 'log'
        self.process = None
        try:
            with open(self.log, 'wb') as log:
                self.process = subprocess.Popen([str(a) for a in arguments], cwd=self.folder,
                                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        except OSError:
            shutil.rmtree(self.folder)
            raise
        _running.add(self.process)
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.decode().rstrip('\n'))
        self.lines.put(None)

    def log_text(self):
        return self.log.read_text(errors='replace')

    def failed(self, why):
        text = self.log_text()
        self.close(check=False)
        return AssertionError(f'{why}\n{text}')

    def close(self, check=True):
        """Stops it as an operator would; its exit code must be 0."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.reader.join(PATIENCE)
        self.process.stdout.close()
        _running.discard(self.process)
        self.process = None
        text = self.log_text()
        shutil.rmtree(self.folder, ignore_errors=True)
        if check and code != 0:
            raise AssertionError(f'exit code {code}\n{text}')


class Gateway(_Program):
    """One hubbub-gateway that finds no router: options are its keys, such as ping_interval=300."""

    def __init__(self, **options):
        self.port = free_port()
        words = [f'--{key.replace("_", "-")}={value}' for key, value in options.items()]
        super().__init__([BUILD / 'gateway' / 'hubbub-gateway', f'--port={self.port}', '--router=ipc://nobody.ipc',
                          *words])
        end = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(('127.0.0.1', self.port), PATIENCE).close()
                return
            except ConnectionRefusedError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise self.failed('the gateway does not listen') from None
                time.sleep(0.01)


class Stack(_Program):
    """`hubbub run` with one gateway; gateway: keys of its section in the configuration, rest: further text of it."""

    def __init__(self, gateway=None, rest=''):
        self.port = free_port()
        self.pids = {}
        with tempfile.NamedTemporaryFile('w', suffix='.conf', prefix='hubbub-conformance-') as config:
            keys = ' '.join(f'{key} = {value};' for key, value in (gateway or {}).items())
            config.write(f'gateway = {{ {keys} }};\n{rest}\n')
            config.flush()
            super().__init__([BUILD / 'cli' / 'hubbub', 'run', f'--port={self.port}', '--gateways=1', '--data=data',
                              f'--config={config.name}'])
            end = time.monotonic() + PATIENCE
            while True:
                try:
                    line = self.lines.get(timeout=max(0.0, end - time.monotonic()))
                except queue.Empty:
                    line = None
                if line is None:
                    raise self.failed('the stack does not get ready')
                if line == 'ready':
                    return
                name, _, rest = line.partition(' pid=')
                if rest:
                    self.pids[name] = int(rest.split()[0])
