#!/usr/bin/env python3
"""The documents say what the programs say: tables of docs/operations.md, and the README's examples.

`test_documents.py --write` brings the tables up to date.  HUBBUB_BUILD names the build folder (default: build,
beside tests).
"""
import os
import pathlib
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / 'tests' / 'conformance'))
from programs import free_port  # noqa: E402

BUILD = pathlib.Path(os.environ.get('HUBBUB_BUILD', TOP / 'build'))
OPERATIONS = TOP / 'docs' / 'operations.md'
README = TOP / 'README.md'
PATIENCE = 60  # seconds until an awaited event counts as missing

PROGRAMS = {
    'hubbub run': [BUILD / 'cli' / 'hubbub', 'run'],
    'hubbub-gateway': [BUILD / 'gateway' / 'hubbub-gateway'],
    'hubbub-router': [BUILD / 'router' / 'hubbub-router'],
}


# --- the tables

def table(heads, rows):
    lines = ['| ' + ' | '.join(heads) + ' |', '|' + '---|' * len(heads)]
    return lines + ['| ' + ' | '.join(cells) + ' |' for cells in rows]


def keys_table(program):
    text = subprocess.run([*PROGRAMS[program], '--help'], check=True, capture_output=True, text=True).stdout
    found = re.findall(r'^  --\S+ \S.*\n {8}(.*)\n {8}key (\S+), (.*), (no default|default (.*))$', text, re.MULTILINE)
    if len(found) != len(re.findall(r'^ +key ', text, re.MULTILINE)):
        raise AssertionError(f'--help of {program} is not understood')
    return table(['key', 'default', 'takes', ''],
                 [[f'`{key}`', default if default else 'none', takes, help_text]
                  for help_text, key, takes, _, default in found])


def rows_of(path, name):
    """The rows of an X-macro table: lists of arguments, texts without their quotes, and a comment at the end."""
    source = (TOP / path).read_text(encoding='utf-8')
    body = re.search(rf'#define {name}\(X\)\s*((?:.*\\\n)*.*\n)', source)[1].replace('\\\n', '\n')
    rows = []
    for row in re.finditer(r'X\(((?:"(?:[^"\\]|\\.)*"|[^()"])*)\)(?:\s*/\*\s*(.*?)\s*\*/)?', body, re.DOTALL):
        arguments = [argument.strip() for argument in re.split(r',(?=(?:[^"]*"[^"]*")*[^"]*$)', row[1])]
        texts = [''.join(re.findall(r'"((?:[^"\\]|\\.)*)"', one)) if '"' in one else one for one in arguments]
        rows.append([*texts, re.sub(r'\s+', ' ', row[2] or '')])
    return rows


METRIC_HEADS = ['metric', 'type', 'what it is', 'when it rises']


def metric_table(path, name):
    """A table of metrics; in each row the name is the first text, and meaning and action are the last two."""
    rows = []
    for *front, meaning, action, _ in rows_of(path, name):
        metric = next(one for one in front if '_' in one and re.match('(hubbub|process)_', one))
        kind = 'histogram' if name == 'HISTOGRAM_TABLE' else \
            'counter' if metric.split('{')[0].endswith('_total') else 'gauge'
        if not action:
            raise AssertionError(f'{path}: {metric} does not say what to do')
        rows.append([f'`{metric}{"{}" if name == "FAMILY_TABLE" else ""}`', kind, meaning, action])
    return table(METRIC_HEADS, rows)


def tables():
    close_reasons = [[f'`{text}`', code if code != '0' else '-', comment]
                     for name, code, text, comment in rows_of('gateway/close_reason.h', 'CLOSE_REASON_TABLE')
                     if name != 'NONE']
    return {
        **{f'keys of {program}': keys_table(program) for program in PROGRAMS},
        'counters of gateways': metric_table('gateway/counters.h', 'COUNTER_TABLE'),
        'families of gateways': metric_table('gateway/counters.h', 'FAMILY_TABLE'),
        'figures of one gateway': metric_table('gateway/counters.h', 'OWN_TABLE'),
        'histograms of gateways': metric_table('gateway/counters.h', 'HISTOGRAM_TABLE'),
        'counters of the router': metric_table('router/counters.h', 'COUNTER_TABLE'),
        'families of the router': metric_table('router/counters.h', 'FAMILY_TABLE'),
        'measures of the router': metric_table('router/measures.h', 'MEASURE_TABLE'),
        'histograms of the router': metric_table('router/measures.h', 'HISTOGRAM_TABLE'),
        'figures of processes': metric_table('common/process.h', 'PROCESS_TABLE'),
        'refusals': table(['code', 'usual message'], [[f'`{code}`', message] for _, code, message, _
                                                      in rows_of('proto/refusal.h', 'REFUSAL_TABLE')]),
        'engine errors': table(['code', 'HTTP status', 'message'], [[f'`{code}`', status, message] for _, code, status, message, _
                                                                    in rows_of('proto/engineio.h', 'ENGINEIO_ERROR_TABLE')]),
        'close reasons': table(['reason', 'Close code', ''], close_reasons),
        'exit codes': table(['code', ''], [[number, text] for _, number, text, _
                                           in rows_of('common/exit_code.h', 'EXIT_CODE_TABLE')]),
    }


def marked(name):
    return re.compile(rf'(?<=<!-- begin {re.escape(name)} -->\n)(.*?)(?=<!-- end {re.escape(name)} -->)', re.DOTALL)


def write():
    text = OPERATIONS.read_text(encoding='utf-8')
    for name, lines in tables().items():
        text, count = marked(name).subn(lambda _, lines=lines: '\n'.join(lines) + '\n', text)
        if count != 1:
            raise SystemExit(f'{OPERATIONS}: no marks for {name}')
    OPERATIONS.write_text(text, encoding='utf-8')


class Operations(unittest.TestCase):
    maxDiff = None

    def test_tables_are_those_of_the_programs(self):
        text = OPERATIONS.read_text(encoding='utf-8')
        for name, lines in tables().items():
            with self.subTest(table=name):
                found = marked(name).search(text)
                self.assertIsNotNone(found, 'its marks are missing')
                self.assertGreater(len(lines), 2)
                self.assertEqual(found[1].splitlines(), lines)

    def test_names_with_labels_have_a_row_for_what_they_have_in_common(self):
        for path in ('gateway/counters.h', 'router/counters.h'):
            with self.subTest(table=path):
                families = {row[0] for row in rows_of(path, 'FAMILY_TABLE')}
                labelled = {name.partition('{')[0] for _, name, *_ in rows_of(path, 'COUNTER_TABLE') if '{' in name}
                self.assertGreater(len(labelled), 2)
                self.assertEqual(sorted(labelled - families), [])


# --- the README

def readme_block(language, holding):
    blocks = re.findall(rf'^```{language}\n(.*?)^```$', README.read_text(encoding='utf-8'), re.DOTALL | re.MULTILINE)
    return next(block for block in blocks if holding in block)


class Lines:
    """What a process prints, line by line, as it comes."""

    def __init__(self, stream):
        self.queue, self.seen = queue.Queue(), []
        threading.Thread(target=self.read, args=(stream,), daemon=True).start()

    def read(self, stream):
        for line in stream:
            self.queue.put(line.rstrip('\n'))

    def wait_for(self, line):
        while line not in self.seen:
            try:
                self.seen.append(self.queue.get(timeout=PATIENCE))
            except queue.Empty:
                raise AssertionError(f'no line {line!r} in {self.seen}') from None


class Readme(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='hubbub-readme-')
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def start(self, command, **options):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, **options)
        self.addCleanup(self.stop, process)
        return Lines(process.stdout)

    def stop(self, process):
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def test_its_client_for_node_runs_as_it_stands(self):
        port = free_port()
        client = readme_block('js', 'socket.io-client')
        self.assertIn('localhost:3000', client)
        client = client.replace('localhost:3000', f'localhost:{port}')
        stack = self.start([BUILD / 'cli' / 'hubbub', 'run', '--port', str(port), '--data', self.folder])
        stack.wait_for('ready')
        first = self.start(['node', '--input-type=module', '-e', client], cwd=TOP / 'tests')
        first.wait_for('kept as number 1')
        first.wait_for('1 node: hello')
        second = self.start(['node', '--input-type=module', '-e', client], cwd=TOP / 'tests')
        second.wait_for('1 node: hello')
        second.wait_for('kept as number 2')
        first.wait_for('2 node: hello')

    def test_its_configuration_is_right_for_every_program(self):
        path = pathlib.Path(self.folder) / 'chat.conf'
        path.write_text(readme_block('', '# chat.conf'), encoding='utf-8')
        for name, command in PROGRAMS.items():
            with self.subTest(program=name):
                done = subprocess.run([*command, '--config', path, '--check-config'], capture_output=True, text=True,
                                      check=False)
                self.assertEqual((done.returncode, done.stderr), (0, ''))


if __name__ == '__main__':
    if sys.argv[1:] == ['--write']:
        write()
    else:
        unittest.main()
