"""Starts the programs under test for one test file, and leaves nothing behind.

HUBBUB_BUILD names the build folder (default: build, beside tests).  Every start has a port and a temporary folder
of its own, so any number of test files may run at once.  With HUBBUB_REFERENCE set, tests that use serve() run
against the reference server, which shows that they ask for nothing that it does not do.
"""
import atexit
import functools
import json
import os
import pathlib
import queue
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / 'tests' / 'support'))
import certificates  # noqa: E402
BUILD = pathlib.Path(os.environ.get('HUBBUB_BUILD', ROOT / 'build')).resolve()
REFERENCE = bool(os.environ.get('HUBBUB_REFERENCE'))
PATIENCE = float(os.environ.get('HUBBUB_PATIENCE', 60))  # seconds until what is awaited counts as missing: a sanitizer's build on a busy machine

_running = set()


@functools.cache
def tls_options():
    """With HUBBUB_TLS set, gateways serve over TLS; these are the options for a certificate that all of them share."""
    if not os.environ.get('HUBBUB_TLS'):
        return []
    folder = tempfile.mkdtemp(prefix='hubbub-certificate-')
    atexit.register(shutil.rmtree, folder)
    certificate, key = certificates.make(folder, 'site', 'DNS:localhost', 'IP:127.0.0.1')
    return [f'--tls-certificate={certificate}', f'--tls-key={key}']


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


def free_ports(count):
    """Different free ports."""
    ports = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


def sanitized():
    """Whether the programs were built with the address sanitizer."""
    return b'__asan_init' in (BUILD / 'gateway' / 'hubbub-gateway').read_bytes()


class _Program:
    """A process, the folder that it works in, and what it printed."""

    def __init__(self, arguments, files=None):
        """files: names and texts, in the folder that it runs in and as long as it runs."""
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='hubbub-conformance-'))
        for name, text in (files or {}).items():
            (self.folder / name).write_text(text)
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

    def wait_until_it_listens(self, port):
        end = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(('127.0.0.1', port), PATIENCE).close()
                return
            except ConnectionError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise self.failed(f'nobody listens on port {port}') from None
                time.sleep(0.01)

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
                          *tls_options(), *words])
        self.wait_until_it_listens(self.port)


class Stack(_Program):
    """`hubbub run`, each gateway on a port of its own; gateway: keys of its section, rest: further text of the file."""

    def __init__(self, gateway=None, rest='', gateways=1):
        self.ports = free_ports(gateways)
        self.port = self.ports[0]
        self.pids = {}
        keys = ' '.join(f'{key} = {value};' for key, value in (gateway or {}).items())
        super().__init__([BUILD / 'cli' / 'hubbub', 'run', f'--ports={",".join(map(str, self.ports))}', '--data=data',
                          '--config=stack.conf', *tls_options()], {'stack.conf': f'gateway = {{ {keys} }};\n{rest}\n'})
        self.wait_for('ready')

    def wait_for(self, wanted):
        """Reads lines up to one that begins so, and keeps the newest process id of each name."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise self.failed(f'the stack does not say {wanted!r}')
            name, _, rest = line.partition(' pid=')
            if rest:
                self.pids[name] = int(rest.split()[0])
            if line.startswith(wanted):
                return line

    def metrics(self):
        """What gateways and router have counted, as of the gateways' last report (one a second)."""
        answer = subprocess.run([BUILD / 'cli' / 'hubbub', 'stats', '--data', self.folder / 'data', 'json'],
                                capture_output=True, check=True, text=True)
        return json.loads(answer.stdout)['metrics']

    def wait_for_metric(self, wanted):
        """Waits until wanted(metrics) is true; the metrics."""
        end = time.monotonic() + PATIENCE
        while True:
            metrics = self.metrics()
            if wanted(metrics):
                return metrics
            if time.monotonic() > end:
                raise AssertionError(f'not counted: {metrics}')
            time.sleep(0.1)


# The gateway's key for each option of the reference server that has one.
REFERENCE_OPTIONS = dict(ping_interval='pingInterval', ping_timeout='pingTimeout', connect_timeout='connectTimeout',
                         upgrade_timeout='upgradeTimeout', max_payload='maxHttpBufferSize')


class Reference(_Program):
    """The reference server, in the place of a stack: one process, on whose port all gateways are said to be."""

    def __init__(self, gateway=None, gateways=1, options=None):
        self.port = free_port()
        self.ports = [self.port] * gateways
        given = {REFERENCE_OPTIONS[key]: value for key, value in (gateway or {}).items() if key in REFERENCE_OPTIONS}
        plan = dict(port=self.port, options={**given, **(options or {})})
        super().__init__(['node', ROOT / 'tests' / 'support' / 'reference.mjs', json.dumps(plan)])
        try:
            line = self.lines.get(timeout=PATIENCE)
        except queue.Empty:
            line = None
        if line != 'ready':
            raise self.failed('the reference server does not get ready')


# What the reference server does in "/" and "/custom", as a configuration.
SAME_AS_REFERENCE = """
namespaces = (
  { name = "/"; recovery = false; events = EVENTS },
  { name = "/custom"; recovery = false; events = EVENTS }
);
""".replace('EVENTS', """(
    { name = "msg";    room = "$.room"; deliver = "room";   archive = true;  dedup = "$.id"; meta = true; },
    { name = "typing"; room = "$.room"; deliver = "others"; volatile = true; meta = true; },
    { name = "echo";   deliver = "self"; meta = false; });""")


def serve(gateway=None, gateways=2, options=None, rest='', rules=SAME_AS_REFERENCE):
    """Two gateways with the reference's rules; or, to test a test, the reference itself with those options."""
    if REFERENCE:
        return Reference(gateway, gateways, options)
    return Stack(gateway, rules + rest, gateways)


def in_placements(*placements):
    """For a TestCase whose tests take a placement: each test once for each of them."""
    def decorate(cls):
        for name, method in list(vars(cls).items()):
            if name.startswith('test_'):
                delattr(cls, name)
                for place in placements[:1] if REFERENCE else placements:
                    setattr(cls, f'{name}_{place.name}', functools.partialmethod(method, place))
        return cls
    return decorate
