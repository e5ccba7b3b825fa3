#!/usr/bin/env python3
"""The benchmark itself: that it runs, counts what it says it counts, and notices a stack that loses clients.

Its figures mean nothing here.  HUBBUB_BUILD names the build folder (default: build, beside tests).
"""
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get('HUBBUB_BUILD', TOP / 'build')).resolve()
LOAD = BUILD / 'tests' / 'bench' / 'load'
HANG = 300  # seconds; far more than any of this needs

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
    def test_a_scenario_runs_and_loses_nothing(self):
        with tempfile.TemporaryDirectory(prefix='hubbub-bench-') as folder:
            result = pathlib.Path(folder) / 'result.json'
            done = subprocess.run([TOP / 'tests' / 'bench' / 'run', '--build', BUILD, '--scenario', 'chatty', '--rounds', '1',
                                   '--seconds', '0.3', '--json', result], capture_output=True, text=True, timeout=HANG,
                                  check=False)
            if 'syncing costs nothing' in done.stdout:
                self.skipTest('the build folder is in memory')
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            figures = json.loads(result.read_text())
        self.assertIn('chatty', done.stdout)
        (only,) = figures['rounds']['chatty']['hubbub']
        self.assertEqual((only['connections'], only['ready']), (500, 500))
        self.assertEqual([only[key] for key in ('failed', 'lost', 'missing', 'surplus')], [0, 0, 0, 0])
        self.assertGreater(only['deliveries_per_s'], only['published_per_s'])
        for key in ('cpu_us_per_delivery', 'deliveries_per_write', 'p50_ms', 'connect_cpu_us'):
            self.assertGreater(only[key], 0, key)
        self.assertEqual(figures['medians']['chatty']['hubbub']['lost'], 0)

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
