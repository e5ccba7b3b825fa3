#!/usr/bin/env python3
"""`hubbub doctor` beside good and broken set-ups: what it finds, what it tells to mend, and what it keeps to itself.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""
import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tests' / 'support'))
from mongodb import NxServer, PlayedServer, free_port  # noqa: E402

HUBBUB = pathlib.Path(os.environ.get('HUBBUB_BUILD', ROOT / 'build')).resolve() / 'cli' / 'hubbub'
PATIENCE = 60


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='hubbub-doctor-', dir='/var/tmp'))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.port = free_port()
        self.data = self.folder / 'data'

    def doctor(self, *options, prefix=(), **how):
        return subprocess.run([*prefix, HUBBUB, 'doctor', '--data', self.data, '--port', str(self.port), *options], cwd=self.folder,
                              capture_output=True, text=True, timeout=PATIENCE, check=False, **how)

    def findings(self, *options, code=None, **how):
        """[(level, check, found, mend), ...]; the exit code must fit them."""
        done = self.doctor('--json', *options, **how)
        self.assertEqual(done.stderr, '')
        document = json.loads(done.stdout)
        found = [(one['level'], one['check'], one['found'], one.get('mend', '')) for one in document['findings']]
        errors = [one for one in found if one[0] == 'error']
        self.assertEqual((document['ok'], done.returncode), (not errors, 1 if errors else 0), found)
        if code is not None:
            self.assertEqual(done.returncode, code, found)
        return found

    def of(self, findings, check):
        return [(level, found) for level, name, found, _ in findings if name == check]

    def assert_finding(self, findings, level, check, words, mend=''):
        for one in findings:
            if one[0] == level and one[1] == check and words in one[2] and mend in one[3]:
                return
        self.fail(f'no {level} on {check} with {words!r} and {mend!r} in ' + '\n'.join(map(str, findings)))

    def configure(self, text, mode=0o600):
        path = self.folder / 'hubbub.conf'
        path.write_text(text)
        path.chmod(mode)
        return '--config', 'hubbub.conf'

    def start_stack(self, *options, **how):
        stack = subprocess.Popen([HUBBUB, 'run', '--data', self.data, '--port', str(self.port), *options], cwd=self.folder,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, **how)
        self.addCleanup(self.end, stack)
        while (line := stack.stdout.readline()) != 'ready\n':
            self.assertNotEqual(line, '', 'the stack has not started')
        return stack

    @staticmethod
    def end(process):
        if process.stdout.closed:
            return
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        process.stdout.close()


class Good(Case):
    def test_before_the_first_start(self):
        found = self.findings('--admin-port', str(free_port()), code=0)
        self.assert_finding(found, 'ok', f'port {self.port}', 'free')
        self.assertEqual(len([one for one in found if one[1].startswith('port ')]), 3)
        self.assert_finding(found, 'ok', 'versions', 'hubbub-router ')
        self.assert_finding(found, 'ok', 'versions', 'SQLite 3.')
        self.assert_finding(found, 'ok', 'versions', 'OpenSSL 3.')
        self.assert_finding(found, 'ok', 'data folder', 'is not there yet')
        self.assert_finding(found, 'ok', 'archive', 'none is configured')
        self.assert_finding(found, 'ok', 'router', 'none runs here')
        self.assertTrue(any('fdatasync takes' in text for _, text in self.of(found, 'disk')), found)
        self.assertTrue(any('GB are free' in text or 'MB are free' in text for _, text in self.of(found, 'space')), found)
        self.assertTrue(any('somaxconn' in text for _, text in self.of(found, 'kernel')), found)
        self.assertEqual(len(self.of(found, 'clock')), 1)
        self.assertEqual(len(self.of(found, 'open files')), 1)
        self.assertFalse(self.data.exists(), 'it made something')
        self.assertEqual(os.listdir(self.folder), [])

    def test_beside_a_running_stack(self):
        options = self.configure('events = ( { name = "msg"; room = "$.room"; } );')
        self.start_stack(*options)
        found = self.findings(*options, code=0)
        self.assert_finding(found, 'ok', f'port {self.port}', 'hubbub-gateway (pid ')
        self.assert_finding(found, 'ok', 'configuration', 'hubbub.conf is right')
        self.assert_finding(found, 'ok', 'data folder', 'for its owner alone')
        self.assert_finding(found, 'ok', 'versions', 'the router runs with ')
        for gateway in ('gateway-1', 'gateway-2'):
            self.assert_finding(found, 'ok', 'versions', f'gateway {gateway} runs with 0.1.0, link protocol 1.')
        self.assertEqual(set(os.listdir(self.data)) & {'doctor'}, set())

    def test_a_file_for_programs_by_themselves(self):
        text = f'router = {{ data = "{self.folder}/journal"; }}; gateway = {{ port = {self.port}; }};'
        for more, port, data in ('', self.port, 'journal'), ('run = { };', 3000, 'data'):
            self.configure(text + more)
            done = subprocess.run([HUBBUB, 'doctor', '--config', 'hubbub.conf'], cwd=self.folder, capture_output=True, text=True, check=False)
            self.assertRegex(done.stdout, rf'(?m)^\w+ +port {port} ')
            self.assertRegex(done.stdout, rf'(?m)^ok +data folder +\S*/{data} is not there yet')

    def test_text_says_the_same_as_json(self):
        with contextlib.closing(socket.create_server(('', self.port), reuse_port=False)):
            done = self.doctor()
            found = self.findings()
        self.assertEqual(done.returncode, 1)
        lines = done.stdout.splitlines()
        shown = [line for line in lines[:-1] if not line.startswith(' ')]
        self.assertEqual([line.split()[0] for line in shown], [level for level, *_ in found])
        self.assertEqual(len([line for line in lines if line.lstrip().startswith('-> ')]), len([one for one in found if one[3]]))
        counts = {level: len([one for one in found if one[0] == level]) for level in ('error', 'warning', 'ok')}
        self.assertEqual(lines[-1], f'{counts["error"]} errors, {counts["warning"]} warnings, {counts["ok"]} in order')

    def test_the_command_line_is_checked(self):
        done = self.doctor('--prot', '1')
        self.assertEqual((done.returncode, done.stdout), (64, ''))
        self.assertIn('did you mean --port?', done.stderr)


class Broken(Case):
    def test_another_program_has_the_port(self):
        with contextlib.closing(socket.create_server(('', self.port))):
            found = self.findings(code=1)
        self.assert_finding(found, 'error', f'port {self.port}', f'(pid {os.getpid()}) has it', 'choose another port')

    def test_an_address_of_another_machine(self):
        found = self.findings('--host', '192.0.2.1', code=1)
        self.assert_finding(found, 'error', f'port {self.port}', 'cannot listen', 'run.host')

    def test_a_wrong_configuration(self):
        found = self.findings(*self.configure('gateway = {\n  pingtimeout = 1; };'), code=1)
        self.assert_finding(found, 'error', 'configuration', 'hubbub.conf:2: unknown key gateway.pingtimeout; did you mean ping_timeout?')
        self.assert_finding(found, 'ok', 'versions', 'hubbub-router ')
        found = self.findings(*self.configure('run = { prot = 1; };'), code=1)
        self.assert_finding(found, 'error', 'configuration', 'did you mean port?', 'mend it')
        self.assertEqual(len(self.of(found, 'clock')), 1, 'the rest was not looked at')
        found = self.findings('--config', 'none.conf', code=1)
        self.assert_finding(found, 'error', 'configuration', 'none.conf: No such file')

    def test_a_secret_key_that_others_can_read(self):
        for name in ('router.key', 'gateway.key'):
            subprocess.run([HUBBUB, 'keygen', self.folder / name], check=True, capture_output=True)
        shutil.copy(self.folder / 'gateway.key.pub', self.folder / 'gateways')
        options = self.configure(f'router = {{ curve_secret_key = "{self.folder}/router.key"; curve_gateways = "{self.folder}/gateways"; }};')
        self.findings(*options, code=0)
        (self.folder / 'router.key').chmod(0o644)
        found = self.findings(*options, code=1)
        self.assert_finding(found, 'error', 'configuration', 'mode 0644')
        self.assertNotIn((self.folder / 'router.key').read_text().strip(), str(found))

    def certificate(self, *options):
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc', '-subj', '/CN=chat',
                        '-keyout', self.folder / 'tls.key', '-out', self.folder / 'tls.pem', *options], check=True, capture_output=True)
        (self.folder / 'tls.key').chmod(0o600)
        return self.configure(f'gateway = {{ tls_certificate = "{self.folder}/tls.pem"; tls_key = "{self.folder}/tls.key"; }};')

    def expired_certificate(self):
        """The options of a configuration with one: tls.pem and tls.key."""
        self.certificate('-days', '1')
        request = ['openssl', 'req', '-new', '-key', self.folder / 'tls.key', '-subj', '/CN=chat', '-out', self.folder / 'tls.csr']
        subprocess.run(request, check=True, capture_output=True)
        (self.folder / 'index.txt').write_text('')
        (self.folder / 'tls.cnf').write_text('[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\n'
                                             'default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n')
        options = self.configure(f'gateway = {{ tls_certificate = "{self.folder}/tls.pem"; tls_key = "{self.folder}/tls.key"; }};')
        subprocess.run(['openssl', 'ca', '-batch', '-selfsign', '-config', 'tls.cnf', '-keyfile', 'tls.key', '-in', 'tls.csr', '-out', 'tls.pem',
                        '-notext', '-startdate', '20200101000000Z', '-enddate', '20200201000000Z'], cwd=self.folder, check=True, capture_output=True)
        return options

    def test_certificates_that_end(self):
        for days, level, words in ((90, 'ok', 'lasts for'), (10, 'warning', 'ends in')):
            found = self.findings(*self.certificate('-days', str(days)), code=0)
            (got, text), = self.of(found, 'certificate')
            self.assertEqual(got, level)
            self.assertRegex(text, rf'/tls\.pem {words} ({days}|{days - 1}) days$')
        options = self.expired_certificate()
        self.assert_finding(self.findings(*options, code=1), 'error', 'certificate', 'has ended: clients refuse it', 'SIGHUP')

    def test_the_certificate_of_run(self):
        """What hubbub run would give to gateways is looked at, also by its own --check-config, and a stack warns of it."""
        def check(*options):
            return subprocess.run([HUBBUB, 'run', '--data', self.data, *options, '--check-config'], cwd=self.folder, capture_output=True, text=True,
                                  timeout=PATIENCE, check=False)

        pair = ['--tls-certificate', 'tls.pem', '--tls-key', 'tls.key']
        for options, text in ((pair, ''), (['--config', 'hubbub.conf'], 'run = { tls_certificate = "tls.pem"; tls_key = "tls.key"; };')):
            (self.folder / 'tls.pem').unlink(missing_ok=True)
            self.configure(text)
            self.assert_finding(self.findings(*options, code=1), 'error', 'configuration', 'tls.pem: no certificate')
            done = check(*options)
            self.assertEqual((done.returncode, done.stdout), (78, ''))
            self.assertIn('tls.pem: no certificate', done.stderr)
            self.certificate('-days', '90')
            self.configure(text)
            self.assert_finding(self.findings(*options, code=0), 'ok', 'certificate', 'tls.pem lasts for')
            self.assertEqual(check(*options).returncode, 0)
            self.expired_certificate()
            self.configure(text)
            self.assert_finding(self.findings(*options, code=1), 'error', 'certificate', 'tls.pem has ended')
            done = check(*options)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (78, '', 'hubbub: tls.pem has ended: clients refuse it\n'))
        with open(self.folder / 'log', 'w', encoding='utf-8') as log:
            self.start_stack(*pair, stderr=log)
        self.assertIn('message="a certificate has expired: clients refuse it" file=tls.pem', (self.folder / 'log').read_text())

    def journal(self):
        """The file of a router that ran and has ended."""
        self.end(self.start_stack('--gateways', '1'))
        return self.data / 'journal.sqlite'

    def test_a_damaged_journal(self):
        journal = self.journal()
        before = sorted(os.listdir(self.data))
        self.assert_finding(self.findings(code=0), 'ok', 'journal', 'journal.sqlite is whole')
        self.assertEqual(sorted(os.listdir(self.data)), before, 'it left something')
        content = journal.read_bytes()
        journal.write_bytes(content[:4096] + b'\x5a' * 8192 + content[12288:])
        self.assert_finding(self.findings(code=1), 'error', 'journal', 'damaged', 'hubbub restore')
        journal.write_bytes(b'this is no database at all' * 500)
        self.assert_finding(self.findings(code=1), 'error', 'journal', 'no SQLite file at all', 'hubbub restore')
        self.assertEqual(sorted(os.listdir(self.data)), before, 'it left something')
        self.data = self.folder / 'odd?name#100%25'
        self.data.mkdir(mode=0o700)
        (self.data / 'journal.sqlite').write_bytes(content)
        self.assert_finding(self.findings(code=0), 'ok', 'journal', 'journal.sqlite is whole')

    def test_folders(self):
        self.data.mkdir(mode=0o755)
        self.assert_finding(self.findings(code=0), 'warning', 'data folder', 'has mode 0755', 'chmod 700')
        self.data.rmdir()
        self.data.write_text('no folder')
        self.assert_finding(self.findings(code=1), 'error', 'data folder', 'is no folder')
        self.data.unlink()
        self.data = self.folder / 'none' / 'data'
        self.assert_finding(self.findings(code=1), 'error', 'data folder', "can't be made by hubbub run", 'the folder above it')
        self.data = pathlib.Path('/proc/hubbub')
        self.assert_finding(self.findings(code=1), 'error', 'disk', 'no file can be written')

    @unittest.skipUnless(os.path.isdir('/dev/shm'), 'there is no /dev/shm')
    def test_memory_is_no_disk(self):
        with tempfile.TemporaryDirectory(dir='/dev/shm') as folder:
            self.data = pathlib.Path(folder)
            self.assert_finding(self.findings(code=0), 'warning', 'disk', 'tmpfs is memory', 'on a local disk')

    def test_few_open_files(self):
        found = self.findings(code=1, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512)))
        self.assert_finding(found, 'error', 'open files', 'may open 512', 'LimitNOFILE=')
        found = self.findings(code=0, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)))
        self.assert_finding(found, 'warning', 'open files', 'may open 4096')

    def test_a_full_disk_and_a_small_kernel(self):
        spaces = ['unshare', '--mount', '--net', '--', 'sh', '-ec',
                  f'mount -t tmpfs -o size=60m none {self.folder}; sysctl -qw net.core.somaxconn=128; exec "$0" "$@"']
        if subprocess.run([*spaces, 'true'], capture_output=True, check=False).returncode:
            self.skipTest('no namespaces can be made here')
        found = self.findings(code=1, prefix=spaces)
        self.assert_finding(found, 'error', 'space', 'MB are free', 'make room')
        self.assert_finding(found, 'warning', 'kernel', 'net.core.somaxconn is 128', 'sysctl -w net.core.somaxconn=1024')

    def test_programs_that_are_not_there(self):
        alone = self.folder / 'bin' / 'hubbub'
        alone.parent.mkdir()
        shutil.copy(HUBBUB, alone)
        done = subprocess.run([alone, 'doctor', '--json', '--port', str(self.port), '--data', self.data], capture_output=True, text=True,
                              check=False, env={**os.environ, 'PATH': '/nowhere'})
        found = [(one['level'], one['check'], one['found'], one.get('mend', '')) for one in json.loads(done.stdout)['findings']]
        self.assertEqual(done.returncode, 1)
        for part in ('router', 'gateway'):
            self.assert_finding(found, 'error', 'versions', f"hubbub-{part}: it can't be started", 'install programs')


class Stack(Case):
    """A router that is only played."""

    def play(self, stats, gateways):
        self.data.mkdir(mode=0o700)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.data / 'stats.sock'))
        listener.listen()
        self.addCleanup(listener.close)
        answers = {'stats json': stats, 'gateways json': gateways}

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection = listener.accept()[0]
                    for line in connection.makefile():
                        answer = answers[line.strip()]
                        if answer is None:
                            break
                        connection.sendall(json.dumps(answer).encode() + b'\n\n' if not isinstance(answer, bytes) else answer)
                    connection.shutdown(socket.SHUT_RDWR)
                    connection.close()
        threading.Thread(target=serve, daemon=True).start()

    def test_what_is_wrong_with_it(self):
        self.play({'version': '0.0.1', 'journal': {'storage_full': True},
                   'archive': {'state': 'retrying', 'lag': {'messages': 1234}, 'last_error': 'No suitable servers', 'dead_letters': 3}},
                  {'gateways': [{'name': 'a\tb\x1b[2J', 'state': 'behind', 'version': '0.0.2'}]})
        found = self.findings(code=1)
        self.assert_finding(found, 'warning', 'versions', 'the router runs with 0.0.1', 'restart it')
        self.assert_finding(found, 'error', 'router', 'the disk is full', 'make room')
        self.assert_finding(found, 'warning', 'router', 'its archive is retrying, 1234 messages behind: No suitable servers')
        self.assert_finding(found, 'warning', 'router', 'refused 3 messages for good', 'dead_letter')
        self.assert_finding(found, 'warning', 'gateways', r'a b\u001b[2J is behind')
        self.assert_finding(found, 'warning', 'versions', r'gateway a b\u001b[2J runs with 0.0.2')

    def test_nobody_is_linked(self):
        self.play({'version': '0.1.0', 'archive': {'state': 'none'}}, {'gateways': []})
        self.assert_finding(self.findings(code=1), 'error', 'gateways', 'nobody can connect')

    def test_it_hangs_up_or_knows_nothing(self):
        self.play({'version': '0.1.0'}, b'error unknown command; try help\n\n')
        self.assert_finding(self.findings(code=0), 'warning', 'router', "it answers 'gateways json' with: unknown command")
        shutil.rmtree(self.data)
        self.play(None, None)
        self.assert_finding(self.findings(code=1), 'error', 'router', 'the connection was closed')


class Programs(Case):
    """Router and gateway that are started by themselves."""

    def launch(self, part, *options):
        ready, ours = os.pipe()
        process = subprocess.Popen([HUBBUB.parents[1] / part / f'hubbub-{part}', '--config', 'hubbub.conf', *options], cwd=self.folder,
                                   stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[ours],
                                   env={**os.environ, 'HUBBUB_READY_FD': str(ours)})
        os.close(ours)

        def end():
            process.kill()
            process.wait(PATIENCE)
        self.addCleanup(end)
        with open(ready, encoding='utf-8') as pipe:
            self.assertEqual(pipe.readline(), 'ready\n')
        return process

    def look(self, code):
        done = subprocess.run([HUBBUB, 'doctor', '--json', '--config', 'hubbub.conf'], cwd=self.folder, capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        self.assertEqual((done.returncode, done.stderr), (code, ''), done.stdout)
        return [(one['level'], one['check'], one['found'], one.get('mend', '')) for one in json.loads(done.stdout)['findings']]

    def test_a_gateway_that_hangs_and_a_router_that_is_gone(self):
        endpoint = f'ipc://{self.folder}/link'
        self.configure(f'router = {{ data = "{self.data}"; listen = "{endpoint}"; dead = "3 s"; }};'
                       f'gateway = {{ port = {self.port}; router = "{endpoint}"; }};')
        router = self.launch('router')
        self.assert_finding(self.look(1), 'error', 'gateways', 'nobody can connect', 'start one')
        gateway = self.launch('gateway', '--name', 'g1')
        self.assert_finding(self.look(0), 'ok', 'versions', 'gateway g1 runs with')
        gateway.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + PATIENCE
        stats = [HUBBUB, 'gateways', '--config', 'hubbub.conf']
        while ' live ' in subprocess.run(stats, cwd=self.folder, capture_output=True, text=True, check=True).stdout:
            self.assertLess(time.monotonic(), deadline, 'the router still takes it for alive')
        self.assert_finding(self.look(1), 'error', 'gateways', 'nobody can connect', 'end it if it hangs')
        gateway.send_signal(signal.SIGCONT)
        router.kill()
        router.wait(PATIENCE)
        self.assert_finding(self.look(1), 'error', 'router', f'but a gateway does (pid {gateway.pid})', 'start it again')
        gateway.kill()
        gateway.wait(PATIENCE)
        self.assert_finding(self.look(0), 'ok', 'router', 'none runs here')

    def test_a_gateway_whose_router_is_elsewhere(self):
        """It never gets ready; that its router is on another machine is told by its options."""
        self.configure(f'router = {{ data = "{self.data}"; }}; gateway = {{ port = {self.port}; allow_plain = true; }};')
        gateway = subprocess.Popen([HUBBUB.parents[1] / 'gateway' / 'hubbub-gateway', '--config', 'hubbub.conf', '--router', 'tcp://192.0.2.1:3010'],
                                   cwd=self.folder, stderr=subprocess.PIPE, text=True)
        self.addCleanup(gateway.stderr.close)
        self.addCleanup(gateway.wait, PATIENCE)
        self.addCleanup(gateway.kill)
        while 'message=listening' not in (line := gateway.stderr.readline()):
            self.assertNotEqual(line, '')
        self.assert_finding(self.look(0), 'ok', 'router', 'none runs here')


class Archive(Case):
    def archive(self, uri, *more, timeout='10 s'):
        return self.configure(f'router = {{ archive = "{uri}"; archive_timeout = "{timeout}"; {" ".join(more)} }};')

    def archive_away(self, uri):
        return self.archive(uri, timeout='2 s')

    def test_one_that_is_as_it_should_be(self):
        server = NxServer(self.folder).start()
        self.addCleanup(server.kill)
        options = self.archive(server.uri)
        self.assert_finding(self.findings(*options, code=0), 'ok', 'archive', 'is empty; the router makes its indexes')
        self.end(self.start_stack(*options))
        with server.client() as client:
            client.hubbub.messages.insert_one({'_id': 1})
        found = self.findings(*options, code=0)
        self.assert_finding(found, 'ok', 'archive', f'answers at 127.0.0.1:{server.port}')
        self.assert_finding(found, 'ok', 'archive', 'messages has its indexes')
        self.assert_finding(found, 'ok', 'archive', 'by a majority, journaled')
        with server.client() as client:
            client.hubbub.others.insert_one({'_id': 1})
        found = self.findings(*self.archive(server.uri, 'archive_collection = "others";'), code=1)
        self.assert_finding(found, 'error', 'archive', 'others lacks the index on namespace, room, seq', 'createIndex')
        found = self.findings(*self.archive(server.uri + '?w=1&journal=false'))
        self.assert_finding(found, 'warning', 'archive', 'w=1, not journaled', 'leave w and journal out')

    def test_one_that_is_away(self):
        port = free_port()
        options = self.archive_away(f'mongodb://chat:geheim-4711@127.0.0.1:{port}/')
        found = self.findings(*options, code=1)
        self.assert_finding(found, 'error', 'archive', f'MongoDB at 127.0.0.1:{port} does not answer', 'start MongoDB')
        done = self.doctor(*options)
        self.assertNotIn('geheim', str(found) + done.stdout + done.stderr)

    def test_a_password_that_others_can_read(self):
        options = self.archive_away(f'mongodb://chat:geheim-4711@127.0.0.1:{free_port()}/')
        self.assertFalse([one for one in self.findings(*options) if 'has mode' in one[2]])
        (self.folder / 'hubbub.conf').chmod(0o644)
        found = self.findings(*options)
        self.assert_finding(found, 'warning', 'configuration', 'has mode 0644, and holds the password', 'chmod 600')
        self.assertNotIn('geheim', str(found))

    def test_an_archive_without_a_password_may_be_read_by_all(self):
        port = free_port()
        for uri in (f'mongodb://chat@127.0.0.1:{port}/', f'mongodb://chat:@127.0.0.1:{port}/', f'mongodb://127.0.0.1:{port}/?appName=chat:me@home'):
            options = self.archive_away(uri)
            (self.folder / 'hubbub.conf').chmod(0o644)
            self.assertEqual([one for one in self.findings(*options) if 'has mode' in one[2]], [], uri)

    def test_a_connection_string_that_is_none(self):
        found = self.findings(*self.archive_away('mongodb://chat:geheim-4711@127.0.0.1:99999/'), code=1)
        self.assert_finding(found, 'error', 'configuration', 'key archive is no MongoDB connection string')
        self.assertNotIn('geheim', str(found))

    def test_a_user_without_rights(self):
        server = PlayedServer()
        self.addCleanup(server.kill)
        refused = {'ok': 0, 'code': 13, 'errmsg': 'not authorized on hubbub', 'codeName': 'Unauthorized'}
        server.before_command = lambda name, _: refused if name in ('listIndexes', 'find') else None
        found = self.findings(*self.archive(server.uri), code=1)
        self.assert_finding(found, 'error', 'archive', 'not authorized on hubbub', 'readWrite')


if __name__ == '__main__':
    unittest.main()
