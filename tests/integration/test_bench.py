#!/usr/bin/env python3
"""The benchmark itself: that it runs, counts what it says it counts, and notices a stack that loses clients.

Its figures mean nothing here.  HUBBUB_BUILD names the build folder (default: build, beside tests).
"""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / 'tests' / 'conformance'))
from programs import free_port  # noqa: E402

BUILD = pathlib.Path(os.environ.get('HUBBUB_BUILD', TOP / 'build')).resolve()
LOAD = BUILD / 'tests' / 'bench' / 'load'
HANG = 300  # seconds; far more than any of this needs
TRIES = 6

# A server that takes connections and answers the first bytes of each with nothing but the end.
DEAF = """
import socket
server = socket.create_server(('127.0.0.1', 0))
print(server.getsockname()[1], flush=True)
while True:
    client, _ = server.accept()
    client.recv(1)
    client.close()
"""


class Bench(unittest.TestCase):
    def run_scenarios(self, scenarios, *options):
        """Runs one short round of each; returns what was printed, and the figures.

        Once more when the machine stood still for all of the 0.3 s that are measured: its figures tell nothing, though all
        that it published has to be there even then."""
        for _ in range(TRIES):
            printed, figures = self.run_once(scenarios, *options)
            rounds = [one for servers in figures['rounds'].values() for (one,) in servers.values()]
            if all(one.get('acknowledged_per_s') or one['deliveries_per_s'] > one['published_per_s'] for one in rounds):
                break
            self.assertEqual([one[key] for one in rounds for key in ('failed', 'lost', 'missing', 'surplus') if one[key]], [])
        return printed, figures

    def run_once(self, scenarios, *options):
        with tempfile.TemporaryDirectory(prefix='hubbub-bench-') as folder:
            result = pathlib.Path(folder) / 'result.json'
            done = subprocess.run([TOP / 'tests' / 'bench' / 'run', '--build', BUILD, '--scenario', scenarios, '--rounds', '1',
                                   '--seconds', '0.3', '--json', result, *options], capture_output=True, text=True, timeout=HANG,
                                  check=False)
            if 'syncing costs nothing' in done.stdout:
                self.skipTest('the build folder is in memory')
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            return done.stdout, json.loads(result.read_text())

    def assert_complete(self, figures, connections):
        self.assertEqual((figures['connections'], figures['ready']), (connections, connections))
        self.assertEqual([figures[key] for key in ('failed', 'lost', 'missing', 'surplus')], [0, 0, 0, 0])

    def test_a_scenario_runs_and_loses_nothing(self):
        printed, figures = self.run_scenarios('chatty')
        self.assertIn('chatty', printed)
        (only,) = figures['rounds']['chatty']['hubbub']
        self.assert_complete(only, 500)
        self.assertGreater(only['deliveries_per_s'], only['published_per_s'])
        for key in ('cpu_us_per_delivery', 'deliveries_per_write', 'p50_ms', 'connect_cpu_us'):
            self.assertGreater(only[key], 0, key)
        self.assertEqual(figures['medians']['chatty']['hubbub']['lost'], 0)

    def test_polling_clients_get_everything(self):
        _, figures = self.run_scenarios('polling')
        (only,) = figures['rounds']['polling']['hubbub']
        self.assert_complete(only, 1000)
        self.assertGreater(only['deliveries_per_s'], only['published_per_s'])

    def test_compressed_messages_are_compared_with_others(self):
        printed, figures = self.run_scenarios('deflate')
        (compressed,), (plain,) = (figures['rounds']['deflate'][name] for name in ('hubbub', 'uncompressed'))
        for one in (compressed, plain):
            self.assert_complete(one, 1000)
        self.assertEqual((compressed['compressed_share'], plain['compressed_share']), (1, 0))
        self.assertRegex(printed, r'deflate: \d+\.\d\d times the CPU a delivery of uncompressed: (NOT )?(below|BELOW) 2\n')

    def test_clients_with_the_msgpack_parser_are_compared_with_others(self):
        printed, figures = self.run_scenarios('msgpack')
        for name in ('hubbub', 'text'):
            (only,) = figures['rounds']['msgpack'][name]
            self.assert_complete(only, 1000)
            self.assertGreater(only['deliveries_per_s'], only['published_per_s'])
        self.assertRegex(printed, r'msgpack: \d+\.\d\d times the CPU a delivery of text: (NOT )?(below|BELOW) 1\.2\n')

    def test_kept_messages_are_acknowledged_each(self):
        printed, figures = self.run_scenarios('kept-ids,kept-rate')
        for scenario in ('kept-ids', 'kept-rate'):
            (only,) = figures['rounds'][scenario]['hubbub']
            self.assert_complete(only, 50)
            self.assertEqual((only['refused'], only['unanswered']), (0, 0))
            self.assertGreater(only['acknowledged_per_s'], 0)
            self.assertGreater(only['threads']['router journal'], 0)
        self.assertRegex(printed, r'kept-rate: p99 .* times that of a 4 KB append with fdatasync .*(below|NOT BELOW) 5\n')

    def test_the_archive_catches_up(self):
        printed, figures = self.run_scenarios('archived-rate,catch-up', '--messages=2000')
        if 'catch-up' not in figures['rounds']:
            self.assertRegex(printed, r'SKIPPED: catch-up: no .*nx-27017\n')
            self.skipTest('nx-27017 is not installed')
        for scenario in ('archived-rate', 'catch-up'):
            (only,) = figures['rounds'][scenario]['hubbub']
            self.assert_complete(only, 50)
            self.assertGreater(only['threads']['nx-27017'], 0)
        self.assertGreater(only['piled'], 1000)  # of them a few were on their way when it went away
        self.assertGreater(only['threads']['router archive'], 0)
        self.assertRegex(printed, r'archived-rate: when the last of [\d,]+ was acknowledged [\d,]+ were not in the archive\n')
        self.assertRegex(printed, r'catch-up: [\d,]+ messages waited and left at [\d,]+ a second\n')

    def test_a_backend_acknowledges_what_is_called(self):
        printed, figures = self.run_scenarios('backend,backend-idle')
        (only,) = figures['rounds']['backend']['hubbub']
        self.assert_complete(only, 50)
        self.assertGreater(only['threads']['backend backend'], 0)
        self.assertGreater(only['acknowledged'], 50 * 64)
        self.assertRegex(printed, r'backend: [\d,]+ acknowledged a second: (at least|BELOW) 50,000\n')
        (called,), (answered,) = (figures['rounds']['backend-idle'][name] for name in ('hubbub', 'router'))
        for one in (called, answered):
            self.assert_complete(one, 1)
            self.assertEqual((one['refused'], one['unanswered']), (0, 0))
            self.assertGreater(one['p50_ms'], 0)
        # The router answers by itself; the backend does nothing then.
        self.assertLess(answered['threads']['backend backend'], called['threads']['backend backend'])
        self.assertRegex(printed, r'backend-idle: p50 [\d.]+ ms is -?[\d.]+ ms more than the [\d.]+ ms of the router: '
                                  r'(at most|NOT AT MOST) 1\n')

    @contextlib.contextmanager
    def stack(self, folder, config):
        """A stack with that configuration; its port."""
        file = pathlib.Path(folder) / 'hubbub.conf'
        file.write_text(config)
        port = free_port()
        with subprocess.Popen([BUILD / 'cli' / 'hubbub', 'run', '--config', file, '--data', f'{folder}/data', '--port', str(port)],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as stack:
            try:
                while (line := stack.stdout.readline().strip()) != 'ready':
                    self.assertTrue(line, 'it did not become ready')
                yield port
            finally:
                stack.terminate()

    def run_load(self, port, *options):
        return subprocess.run([LOAD, f'--port={port}', *options], capture_output=True, text=True, timeout=HANG, check=False)

    def test_clients_bring_tokens(self):
        with tempfile.TemporaryDirectory(prefix='hubbub-bench-') as folder:
            key, tokens = pathlib.Path(folder) / 'key', pathlib.Path(folder) / 'tokens'
            key.touch(0o600)
            key.write_text('x' * 32)
            tokens.write_text(''.join(
                subprocess.run([BUILD / 'cli' / 'hubbub', 'token', '--key', key, '--sub', user], stdout=subprocess.PIPE, text=True,
                               timeout=HANG, check=True).stdout for user in ('ann', 'bob')))
            with self.stack(folder, f'tokens: {{ required = true; keys = ( {{ algorithm = "HS256"; file = "{key}"; }} ); }};\n') as port:
                for option, code, ready in ((f'--tokens={tokens}', 0, 5), ('--tokens=', 1, 0)):
                    done = self.run_load(port, '--members=5', option)
                    self.assertEqual(done.returncode, code, done.stderr)
                    self.assertEqual(json.loads(done.stdout)['ready'], ready)
            self.assertIn('token_missing', done.stderr)
            done = self.run_load(port, f'--tokens={folder}/none')
            self.assertIn('load: --tokens: No such file', done.stderr)

    def test_refused_messages_make_it_fail(self):
        with tempfile.TemporaryDirectory(prefix='hubbub-bench-') as folder:
            with self.stack(folder, 'events = ();\n') as port:
                done = self.run_load(port, '--members=1', '--rate=50', '--measure=100ms', '--warm-up=0', '--acknowledged=true')
        self.assertEqual(done.returncode, 1, done.stderr)
        figures = json.loads(done.stdout)
        self.assertGreater(figures['refused'], 0)
        self.assertEqual((figures['acknowledged'], figures['missing'], figures['unanswered']), (0, 0, 0))
        self.assertIn('unknown_event', done.stderr)

    def test_a_server_that_hangs_up_makes_it_fail(self):
        with subprocess.Popen(['python3', '-c', DEAF], stdout=subprocess.PIPE, text=True) as server:
            try:
                port = server.stdout.readline().strip()
                done = subprocess.run([LOAD, f'--port={port}', '--members=5', '--window=1', '--measure=100ms'],
                                      capture_output=True, text=True, timeout=HANG, check=False)
            finally:
                server.kill()
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(json.loads(done.stdout)['failed'], 5)

    def test_a_build_without_programs_is_told_in_one_line(self):
        with tempfile.TemporaryDirectory(prefix='hubbub-bench-') as folder:
            done = subprocess.run([TOP / 'tests' / 'bench' / 'run', '--build', folder], capture_output=True, text=True,
                                  timeout=HANG, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stdout, r'run make build first\n$')


if __name__ == '__main__':
    unittest.main()
