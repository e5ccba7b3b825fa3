"""docs/protocol.md says what the code does: its tables against those of the source, and the stats of a running router."""
import json
import pathlib
import re
import socket
import unittest

from programs import ROOT, Stack
from raw_client import Client

DOCUMENT = (ROOT / 'docs' / 'protocol.md').read_text()


def source(path):
    """A file of the source, without comments and with its macros' lines joined."""
    text = (ROOT / path).read_text().replace('\\\n', ' ')
    return re.sub(r'/\*.*?\*/', '', text, flags=re.S)


def section(title):
    """The text below a heading or a line, up to the next heading."""
    _, found, rest = DOCUMENT.partition(f'\n{title}\n')
    assert found, f'docs/protocol.md has no line {title!r}'
    return re.split(r'\n#+ ', rest, maxsplit=1)[0]


def table(text, *heads):
    """The rows of the first table with these heads, as lists of cells."""
    lines = text.splitlines()
    start = lines.index('| ' + ' | '.join(heads) + ' |')
    rows = []
    for line in lines[start + 2:]:
        if not line.startswith('|'):
            break
        cells = [cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]]
        assert len(cells) == len(heads), line
        rows.append(cells)
    return rows


def macro_rows(text, name):
    """The arguments of every X(...) in a table macro; names and numbers bare, texts without quotes."""
    body = re.search(rf'#define {name}\(\w\)(.*)', text)[1]
    return [[part.strip().strip('"') for part in re.split(r',(?=(?:[^"]*"[^"]*")*[^"]*$)', row)]
            for row in re.findall(r'\bX\(((?:[^()"]|"[^"]*"|\([^()]*\))*)\)', body)]


def constants(text, prefix):
    return {int(value): name for name, value in re.findall(rf'\b{prefix}(\w+) = (\d+),', text)}


class Records(unittest.TestCase):
    HEADS = ('number', 'record', 'fields', 'meaning, and when it is sent')

    TITLES = {'### Records from the gateway': range(1, 32), '### Records from the router': range(32, 64),
              '### Records from the backend': range(64, 96), '### Records to the backend': range(96, 128)}

    def in_source(self):
        text = source('proto/wire.h') + source('proto/wire_backend.h')
        shapes = {name: re.findall(r'F\((\w+), (\w+)\)', body)
                  for name, body in re.findall(r'#define (WIRE_\w+)\(F\) (.*)', text)}
        listed = re.findall(r'R\((\w+), (\w+), (\d+), (\w+)\)', text)
        self.assertTrue(listed)
        for upper, lower, _, fields in listed:
            self.assertEqual((upper, fields), (lower.upper(), 'WIRE_' + upper))
        return [[number, name, ', '.join(f'{field} {kind.lower()}' for kind, field in shapes[fields])]
                for name, _, number, fields in listed]

    def test_records(self):
        in_source = self.in_source()
        for title, numbers in self.TITLES.items():
            with self.subTest(title):
                documented = [row[:3] for row in table(section(title), *self.HEADS)]
                self.assertEqual(documented, [row for row in in_source if int(row[0]) in numbers])
        self.assertEqual({int(row[0]) for row in in_source} - {n for numbers in self.TITLES.values() for n in numbers}, set())

    def test_kinds_of_backends_records(self):
        text = source('proto/wire_backend.h')
        sent = section('### Records from the backend')
        rows = table(sent, 'number', 'class', 'meaning') + table(sent, 'bit', 'flag', 'meaning')
        self.assertEqual([(name, number) for number, name, _ in rows], re.findall(r'\bWIRE_SEND_(\w+) = (\d+),', text))
        for title, prefix in (('### Records from the backend', 'WIRE_VERDICT_'), ('### Records to the backend', 'WIRE_CONNECTION_')):
            rows = table(section(title), 'number', 'kind', 'meaning')
            self.assertEqual({int(number): name for number, name, _ in rows}, constants(text, prefix))
        rows = table(section('### Records to the backend'), 'bit', 'flag', 'meaning')
        self.assertEqual({int(bit): name for bit, name, _ in rows}, constants(text, 'WIRE_CALL_'))
        rows = table(sent, 'number', 'close', 'meaning')
        self.assertEqual({int(number): name for number, name, _ in rows}, constants(text, 'WIRE_EXPEL_'))

    def test_flags(self):
        text = source('proto/wire.h')
        for title, prefix in (('### Records from the gateway', 'WIRE_EVENT_'), ('### Records from the router', 'WIRE_DELIVER_')):
            rows = table(section(title), 'bit', 'flag', 'meaning')
            self.assertEqual({int(bit): name for bit, name, _ in rows}, constants(text, prefix))

    def test_kinds_of_pass(self):
        text = source('gateway/relay.h')
        expected = [[number, name] for macro in ('RELAY_QUESTIONS', 'RELAY_ANSWERS') for name, number in macro_rows(text, macro)]
        rows = table(section('### Records from the gateway'), 'number', 'kind', 'meaning')
        self.assertEqual([row[:2] for row in rows], expected)

    def test_the_version(self):
        text = source('proto/wire.h')
        major, minor = (re.search(rf'WIRE_{name} = (\d+)', text)[1] for name in ('MAJOR', 'MINOR'))
        rows = dict(table(section('### Batches'), 'field', 'meaning'))
        self.assertTrue(rows['version'].startswith(major + '.'))
        self.assertIn(f'Today the version is {major}.{minor}.', section('### Versions'))
        self.assertEqual(list(rows), ['version', 'link', 'number', 'acknowledged', 'records'])


class Clients(unittest.TestCase):
    def test_refusals(self):
        rows = macro_rows(source('proto/refusal.h'), 'REFUSAL_TABLE')
        self.assertEqual(table(section('### Refusals'), 'code', 'message'), [[f'`{code}`', text] for _, code, text in rows])

    def test_reasons_of_a_connections_end(self):
        rows = macro_rows(source('gateway/close_reason.h'), 'CLOSE_REASON_TABLE')
        expected = [[f'`{text}`', '' if code == '0' else code] for name, code, text in rows if name != 'NONE']
        self.assertEqual([row[:2] for row in table(section('### How a connection ends'), 'reason', 'code', 'when')], expected)

    def test_close_codes_of_bare_websockets(self):
        rows = macro_rows(source('gateway/bare_close.h'), 'BARE_CLOSE_TABLE')
        documented = table(section('### Bare WebSocket'), 'code', 'name', 'when')
        self.assertEqual([row[:2] for row in documented], [[code, f'`{name}`'] for _, code, name, _ in rows])

    def test_keys_and_types_of_bare_frames(self):
        text = source('proto/bare.h')
        keys = {row[1] for row in macro_rows(text, 'BARE_KEY_TABLE')}
        documented = table(section('### Bare WebSocket'), 'key', 'meaning')
        self.assertLessEqual(keys, set(re.findall(r'`(\w+)`', ' '.join(row[0] for row in documented))))
        types = [row[1] for row in macro_rows(text, 'BARE_TYPE_TABLE')]
        self.assertEqual(re.findall(r'`(\w+)`', dict(documented)['`type`']), types)

    def test_errors_of_the_handshake(self):
        rows = macro_rows(source('proto/engineio.h'), 'ENGINEIO_ERROR_TABLE')
        messages = {code: text for _, code, _, text in rows}
        documented = table(section('### Engine.IO v4'), 'code', 'message', 'when')
        self.assertEqual([code for code, _, _ in documented], ['0', '1', '2', '3', '5'])
        for code, message, _ in documented:
            self.assertEqual(message, messages[code])

    def test_limits_and_their_defaults(self):
        defaults = {}
        for program in ('gateway', 'router'):
            for row in re.findall(r'\{KEY\((.*?)\},', source(f'{program}/settings.c'), flags=re.S):
                fallback = re.search(r'\.fallback = "([^"]*)"', row)
                defaults[f'{program}.{row.split(",")[0]}'] = fallback[1] if fallback else ''
        for _, key, default, _ in table(section('### Limits'), 'what', 'key', 'default', 'beyond it'):
            self.assertEqual(defaults[key.strip('`')], default, key)

    def test_the_default_rules(self):
        """The text of the configuration in the document behaves as the default does."""
        rules = re.search(r'```\n(events = .*?)\n```', section('### Events of the application'), flags=re.S)[1]
        outcomes = []
        for rest in ('', rules):
            stack = Stack(rest=rest)
            try:
                self.assertNotIn('different event rules', stack.log_text())
                with Client(stack.port) as sender, Client(stack.port) as other:
                    sender.call('join', 'r')
                    other.call('join', 'r')
                    seen = []
                    for event, argument in (('msg', {'room': 'r', 'id': '12345678'}), ('msg', {'room': 'r', 'id': '12345678'}),
                                            ('typing', {'room': 'r'}), ('other', {'room': 'r'})):
                        answer = sender.call(event, argument)
                        seen.append((sorted(answer), answer.get('seq'), answer.get('id')))
                    for _ in range(2):
                        name, argument, meta, offset = other.event()
                        seen.append((name, argument, sorted(meta), meta.get('seq'), offset.split('.')[1]))
                    outcomes.append(seen)
            finally:
                stack.close()
        self.assertEqual(outcomes[0], outcomes[1])
        self.assertEqual(outcomes[0][0], outcomes[0][1])
        self.assertEqual([event[0] for event in outcomes[0][4:]], ['msg', 'typing'])


class Statistics(unittest.TestCase):
    def test_every_command_and_every_line_of_stats(self):
        text = section('## 4. The stats socket')
        documented = {name for cell, _ in table(text, 'line of `stats`', 'meaning') for name in re.findall(r'`([^`]+)`', cell)}
        commands = [cell.strip('`').replace('\\|', '|') for cell, _ in table(text, 'command', 'answer')]
        stack = Stack()
        try:
            with Client(stack.port) as client:
                client.call('nothing')
                help_text = json.loads(self.ask(stack.folder / 'data' / 'stats.sock', 'help json')[0])
                listed = {f'{row["command"]} {row["arguments"]}'.strip() for row in help_text['commands']}
                self.assertEqual(listed, set(commands) - {'anything else'})
                lines = self.ask(stack.folder / 'data' / 'stats.sock', 'stats')
        finally:
            stack.close()
        shown = {line.split(' ')[0] for line in lines}
        by_label = {name[:-1] for name in documented if name.endswith('*')}
        self.assertLessEqual({name for name in documented if not name.endswith('*')}, shown)
        for name in shown - documented:
            self.assertTrue(any(name.startswith(prefix) for prefix in by_label), name)

    def ask(self, path, command):
        """The lines of the answer, up to its empty one."""
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(60)
            peer.connect(str(pathlib.Path(path)))
            peer.sendall(command.encode() + b'\nquit\n')
            answer = b''
            while data := peer.recv(65536):
                answer += data
        return answer.decode().split('\n\n')[0].splitlines()


if __name__ == '__main__':
    unittest.main()
