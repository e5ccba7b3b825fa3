#!/usr/bin/env python3
"""`hubbub top` in a terminal: what it shows, its keys, sizes, hostile names, a router that goes, and the terminal after it.

A router that is only played answers what the test wants; the last test has a real stack.
HUBBUB_BUILD names the build folder (default: build, beside tests).
"""
import json
import os
import pathlib
import re
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
sys.path[:0] = [str(ROOT), str(ROOT / 'tests' / 'conformance')]
from programs import free_port  # noqa: E402
from tests.support.terminal import PATIENCE, Terminal  # noqa: E402

HUBBUB = pathlib.Path(os.environ.get('HUBBUB_BUILD', ROOT / 'build')) / 'cli' / 'hubbub'
QUICK = ('--interval', '100 ms')


def figures(**changes):
    return {'version': '9.8.7', 'uptime_seconds': 7384.5, 'connections': 12345, 'sockets': 4321, 'rooms': 345, 'members': 987654,
            'gateways': 3, 'backends': 1,
            'messages': {'in': {'per_second': 12.34, 'total': 5}, 'out': {'per_second': 4567.8, 'total': 6}},
            'journal': {'commit_ms': {'last': 1.25, 'average': 0.96, 'maximum': 14.04}, 'waiting': 17, 'storage_full': False},
            'archive': {'state': 'following', 'lag': {'messages': 42, 'seconds': 0.5}, 'dead_letters': 0}, **changes}


def room(name, members=1, rate=0.0, namespace='/'):
    return {'namespace': namespace, 'name': name, 'members': members, 'gateways': 2, 'seq': 1000 + members, 'rate': rate}


class PlayedRouter:
    """The stats socket; answers from tables that the test changes as it likes, and notes what was asked."""

    def __init__(self, path):
        self.path, self.asked, self.connections = path, [], []
        self.stats = figures()
        self.rooms = [room(f'room-{i:03}', 300 - i, i / 2) for i in range(60)]
        self.gateways = [{'name': f'gateway-{i}', 'state': state, 'connections': 100 * i + 5, 'sockets': 100 * i, 'draining': i == 2, 'unacknowledged_bytes': 2048 * i, 'version': '9.8.7'}
                         for i, state in enumerate(('live', 'live', 'behind'), 1)]
        self.backends = [{'name': 'moderation', 'state': 'live', 'sockets': 7, 'tasks': 3, 'unacknowledged_bytes': 0,
                          'namespaces': ['/', '/admin']}]
        self.instead = {}  # the first word of a question: bytes of the answer
        self.silent, self.holds = threading.Event(), threading.Event()  # to answer nothing; a question waits for that
        self.start()

    def start(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            for line in connection.makefile('r', encoding='utf-8'):
                question = line.rstrip('\n')
                self.asked.append(question)
                while self.silent.is_set():
                    self.holds.set()
                    time.sleep(0.01)
                connection.sendall(self.instead.get(question.split()[0]) or self.answer(question))
        except OSError:
            pass

    def answer(self, question):
        words = question.split()
        if words[0] == 'rooms':
            by, limit = words[2], int(words[3])
            rooms = sorted(self.rooms, key=lambda one: -one[by])[:limit]
            answer = {'rooms': rooms}
        else:
            answer = {'stats': self.stats, 'gateways': {'gateways': self.gateways}, 'backends': {'backends': self.backends}}[words[0]]
        return json.dumps(answer).encode() + b'\n\n'

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.path)
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            connection.close()
        self.connections = []


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='hubbub-top-')
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.path = os.path.join(self.folder, 'stats.sock')

    def play(self):
        router = PlayedRouter(self.path)
        self.addCleanup(lambda: os.path.exists(self.path) and router.stop())
        return router

    def top(self, *options, **how):
        terminal = Terminal([HUBBUB, 'top', '--stats', self.path, *options], **how)
        self.addCleanup(terminal.close)
        return terminal


class Content(Case):
    def test_totals_and_tables(self):
        self.play()
        top = self.top()
        top.wait_for_text('router 9.8.7, up 2 h 3 min', 'connections 12345', 'sockets 4321', 'rooms 345', 'members 988k',
                          'gateways up 1/3', 'messages in 12.3/s, out 4567.8/s', 'commit 1.2 ms, average 1.0, worst 14.0',
                          'archive following, behind by 42 messages, 0.5 s', 'moderation', 'q quit')
        for row in (r'room-000 +300 +0\.0 +2 +1300 +/', r'gateway-2 +draining +205 +200 +4\.0 KB +9\.8\.7',
                    r'moderation +live +7 +3 +0 B +/,/admin'):
            top.wait_for(lambda lines, row=row: any(re.fullmatch(row, line) for line in lines), row)
        lines = top.lines()
        self.assertTrue(lines[-1].startswith('q quit'))
        self.assertEqual(len(lines), 24)

    def test_figures_are_renewed_at_the_interval(self):
        router = self.play()
        top = self.top(*QUICK)
        top.wait_for_text('connections 12345')
        router.stats = figures(connections=54321, archive={'state': 'retrying', 'lag': {'messages': 2e6, 'seconds': 90}, 'dead_letters': 2},
                               journal={'commit_ms': {}, 'waiting': 0, 'storage_full': True})
        top.wait_for_text('connections 54321', 'archive retrying, behind by 2.0M messages, 90.0 s', 'dead letters 2', 'DISK FULL')
        router.stats = figures(archive={'state': 'none'})
        router.rooms, router.backends = [], []
        top.wait_for_text('archive none', 'no rooms')
        top.wait_for(lambda lines: not any(line.startswith('BACKEND') for line in lines))

    def test_an_error_of_the_router_stands_in_the_table(self):
        router = self.play()
        router.instead = {'rooms': b'error unknown command; try help\n\n'}
        self.top(*QUICK).wait_for_text('unknown command; try help', 'gateway-1')

    def test_rows_of_a_strange_kind_do_no_harm(self):
        router = self.play()
        router.rooms = [dict(room('fine', 5), namespace=7, seq='many')]
        router.gateways = [1, None, {'name': 5, 'state': {}, 'connections': 'x'}, {'name': 'last'}]
        router.backends = [{'name': 'odd', 'namespaces': [1, 'a', None]}, {'namespaces': 'b'}]
        top = self.top(*QUICK)
        top.wait_for_text('fine', 'gateways up 0/4', 'last')
        top.wait_for_text('odd')
        top.type('q')
        self.assertEqual(top.wait_for_end(), 0)

    @staticmethod
    def figures_stand(top, rooms):
        """Whether the rows below the heading have 100, 99, 98 ... members in the column of that name."""
        with top.lock:
            cells = [''.join(top.screen.buffer[y][x].data[:1] or '\0' for x in range(top.screen.columns)) for y in range(top.screen.lines)]
        at = next((y for y, row in enumerate(cells) if row.startswith('ROOM')), None)
        if at is None:
            return False
        end = cells[at].index('MEMBERS') + len('MEMBERS')
        rows = cells[at + 1:at + 1 + rooms]
        rows = rows[:next((i for i, row in enumerate(rows) if row.startswith(('GATEWAY', 'q quit'))), len(rows))]
        return len(rows) >= 4 and [row[end - 4:end].strip() for row in rows] == [str(100 - i) for i in range(len(rows))]

    def test_names_cannot_break_the_screen(self):
        router = self.play()
        names = ['\x1b[2J\x1b[31mred\x07', '客服直播间' * 12, 'a\u0301' * 4 + 'e' + '\u0300' * 200, '\u202eright to left',
                 '👩\u200d👩\u200d👧 family', 'line\nbreak\ttab', 'é' * 100, '\x9b31m', ' ', 'plain']
        router.rooms = [room(name, 100 - i, namespace='/\x1b]0;title\x07') for i, name in enumerate(names)]
        router.gateways[0]['name'] = 'gate\x1b[1;1Hway'
        for columns, lines in ((80, 24), (79, 24), (33, 12)):
            top = self.top(*QUICK, columns=columns, lines=lines)
            top.wait_for(lambda lines: any(line.startswith('ROOM') for line in lines) and 'u001b' in '\n'.join(lines))
            # Whatever came before it, each row's figures stand under their heading.
            top.wait_for(lambda _, top=top: self.figures_stand(top, len(names)), 'figures under their heading')
            shown = top.lines()
            at = next(i for i, line in enumerate(shown) if line.startswith('ROOM'))
            self.assertTrue(shown[at + 1].startswith(r'\u001b[2J\u001'), shown)
            self.assertTrue(shown[at + 2].startswith('客服'), shown)
            self.assertEqual(top.screen.title, '')
            if columns == 80:
                top.wait_for_text(r'\u202eright to left', '👩👩👧 family', 'line break tab', r'gate\u001b[1;1Hway')
                raw = top.raw.replace(b'\x1b', b'')
                self.assertNotIn('\u0300'.encode() * 3, raw)
            top.type('q')
            self.assertEqual(top.wait_for_end(), 0)

    def test_a_terminal_of_seven_bits(self):
        router = self.play()
        router.rooms = [room('straße 客服', 9)]
        self.top(*QUICK, LC_ALL='C').wait_for_text('stra?e ??')


class Keys(Case):
    def rooms(self, lines):
        return [line.split()[0] for line in lines if line.startswith('room-')]

    def test_sorting(self):
        router = self.play()
        top = self.top('--interval', '1 h')
        top.wait_for_text('>MEMBERS', 'room-000')
        top.type('s')
        top.wait_for(lambda lines: self.rooms(lines)[:2] == ['room-059', 'room-058'], 'rooms by rate')
        top.wait_for_text('>MSG/S')
        top.type('s')
        top.wait_for(lambda lines: self.rooms(lines)[:2] == ['room-000', 'room-001'], 'rooms by members')
        self.assertEqual([question.split()[2] for question in router.asked if question.startswith('rooms')], ['members', 'rate', 'members'])

    def test_moving(self):
        self.play()
        top = self.top(*QUICK)
        top.wait_for_text('room-000', 'moderation')
        page = len(self.rooms(top.lines()))
        self.assertGreater(page, 5)
        top.type('\x1b[B\x1b[B')
        top.wait_for(lambda lines: self.rooms(lines)[:1] == ['room-002'], 'two rows further')
        top.type('\x1b[A')
        top.wait_for(lambda lines: self.rooms(lines)[:1] == ['room-001'], 'one row back')
        top.type('\x1b[6~')
        top.wait_for(lambda lines: self.rooms(lines)[:1] == [f'room-{1 + page:03}'], 'a page further')
        top.type('\x1b[6~' * 20)  # faster than rooms come
        top.wait_for(lambda lines: self.rooms(lines)[-1:] == ['room-059'], 'the last')
        top.wait_for_text(f'{61 - page}-60 of 60')
        top.type('\x1b[5~')
        top.wait_for(lambda lines: self.rooms(lines)[:1] == [f'room-{60 - 2 * page:03}'], 'a page back')
        top.type('\x1b[1~')
        top.wait_for(lambda lines: self.rooms(lines)[:1] == ['room-000'], 'the first')

    def test_another_table_is_moved_after_tab(self):
        router = self.play()
        router.gateways = [dict(router.gateways[0], name=f'gateway-{i:02}') for i in range(30)]
        top = self.top(*QUICK)
        top.wait_for_text('gateway-00', 'of 30')
        top.type('\t\x1b[B\x1b[B\x1b[B')
        top.wait_for(lambda lines: next((line for line in lines if line.startswith('gateway-')), '').startswith('gateway-03'))
        self.assertIn('room-000', top.text())

    def test_pause(self):
        router = self.play()
        top = self.top(*QUICK)
        top.wait_for_text('room-000')
        router.silent.set()
        self.assertTrue(router.holds.wait(PATIENCE))
        asked = -(-len(router.asked) // 4) * 4  # at the end of the round that is under way
        time.sleep(0.3)  # other rounds are due
        top.type('p')
        top.wait_for_text('PAUSED', 'p go on')
        router.silent.clear()
        top.wait_for(lambda _: len(router.asked) == asked, 'the end of the round')
        router.stats = figures(connections=777)
        time.sleep(0.6)  # six intervals
        self.assertEqual(len(router.asked), asked)
        self.assertIn('connections 12345', top.text())
        top.type('p')
        top.wait_for_text('connections 777')
        top.wait_for(lambda lines: 'PAUSED' not in '\n'.join(lines))

    def test_help(self):
        self.play()
        top = self.top(*QUICK)
        top.wait_for_text('room-000')
        top.type('?')
        top.wait_for_text('Page Up, Down', 'sort rooms by members')
        top.wait_for(lambda lines: 'room-000' not in '\n'.join(lines), 'help in the place of the rooms')
        top.type('x')
        top.wait_for_text('room-000')
        top.type('?')
        top.wait_for_text('Page Up, Down')
        top.type('q')
        self.assertEqual(top.wait_for_end(), 0)


class Sizes(Case):
    def test_any_size(self):
        router = self.play()
        router.rooms = [room('r' * 70 + str(i), 300 - i) for i in range(60)]
        top = self.top('--interval', '1 h')
        top.wait_for_text('gateway-3')
        for columns, lines in ((120, 50), (200, 10), (40, 12), (20, 5), (10, 2), (3, 3), (1, 1), (80, 24)):
            with self.subTest(columns=columns, lines=lines):
                top.resize(columns, lines)
                start = 'hubbub top' if columns > 10 else ('hubbub top'[:columns - 1] + '~')
                shown = top.wait_for(lambda shown, start=start, lines=lines: len(shown) == lines and shown[0].startswith(start) and shown)
                if columns >= 14 and lines >= 12:
                    rows = top.wait_for(lambda shown: [line for line in shown if line.startswith('rrrr')], 'rooms')
                    self.assertTrue(all(len(row) <= columns for row in rows))
                if columns == 40 and lines == 12:
                    # What was on its way for the former size may stand there for a moment.
                    top.wait_for(lambda shown: 'MSG/S' in '\n'.join(shown) and 'SEQ' not in '\n'.join(shown), 'fewer columns')
                if lines == 50:
                    top.wait_for(lambda shown: len([line for line in shown if line.startswith('rrrr')]) > 30, 'more rooms')
        top.type('q')
        self.assertEqual(top.wait_for_end(), 0)
        self.assertTrue(top.is_restored())


class Away(Case):
    def test_a_router_that_comes_later_goes_and_returns(self):
        top = self.top(*QUICK)
        top.wait_for_text(f'no router: No such file or directory ({self.path})')
        router = self.play()
        top.wait_for_text('connections 12345')
        top.wait_for(lambda lines: 'no router' not in '\n'.join(lines))
        router.stop()
        top.wait_for_text('no router: ', 'connections 12345', 'room-000')
        router = self.play()
        router.stats = figures(connections=99)
        top.wait_for_text('connections 99')
        top.wait_for(lambda lines: 'no router' not in '\n'.join(lines))

    def test_a_router_that_is_silent(self):
        router = self.play()
        top = self.top(*QUICK)
        top.wait_for_text('room-000')
        router.silent.set()
        top.wait_for_text('the router has not answered for 3 s')
        top.type('?')
        top.wait_for_text('Page Up, Down')
        top.type('x')
        router.silent.clear()
        top.wait_for(lambda lines: 'has not answered' not in '\n'.join(lines) and 'room-000' in '\n'.join(lines))
        self.assertEqual(len(router.connections), 1)

    def test_one_that_is_no_router_or_busy(self):
        for answer, words in ((b'nonsense\n\n', 'answer is no JSON'), (b'[1]\n\n' * 9, 'does not speak as a router does'),
                              (b'error busy: too many clients\n\n', 'busy: too many clients'), (b'\n\n\n\n', 'answer is no JSON')):
            with self.subTest(answer=answer):
                router = self.play()
                router.instead = {'gateways': answer} if answer[0] in b'n\n' else {'stats': answer}
                top = self.top(*QUICK)
                top.wait_for_text(words)
                top.type('q')
                self.assertEqual(top.wait_for_end(), 0)
                router.stop()


class Ends(Case):
    def test_the_terminal_is_restored_after_every_end(self):
        self.play()
        for end in ('q', '\x03', '\x1c', signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            with self.subTest(end=end):
                top = self.top(*QUICK, TERM='xterm')
                top.wait_for_text('room-000')
                self.assertFalse(top.is_restored())
                if isinstance(end, str):
                    top.type(end)
                else:
                    top.process.send_signal(end)
                self.assertEqual(top.wait_for_end(), 0)
                self.assertTrue(top.is_restored())
                self.assertIn(b'\x1b[?1049l', top.raw, 'the former screen is not there')
                self.assertIn(b'\x1b[?25h', top.raw[top.raw.rindex(b'\x1b[?1049h'):])

    def test_it_can_be_stopped_and_go_on(self):
        self.play()
        top = self.top(*QUICK)
        top.wait_for_text('room-000')
        # A process group whose leader has no parent in its session is never stopped by the terminal.
        top.process.send_signal(signal.SIGTSTP)
        end = time.monotonic() + 2
        while time.monotonic() < end and not top.is_restored():
            time.sleep(0.02)
        top.process.send_signal(signal.SIGCONT)
        top.wait_for(lambda _: not top.is_restored(), 'the screen again')
        top.wait_for_text('room-000')
        top.type('q')
        self.assertEqual(top.wait_for_end(), 0)
        self.assertTrue(top.is_restored())

    def test_it_ends_when_its_terminal_goes(self):
        self.play()
        top = self.top(*QUICK)
        top.wait_for_text('room-000')
        top.closing = True
        top.reader.join()
        os.close(top.master)
        self.assertIn(top.process.wait(PATIENCE), (0, 70))
        top.master = os.open('/dev/null', os.O_RDONLY)

    def run_without(self, environment=None, **how):
        return subprocess.run([HUBBUB, 'top', '--stats', self.path], capture_output=True, text=True, timeout=PATIENCE, check=False,
                              env={**os.environ, **(environment or {})}, **how)

    def test_without_a_terminal_it_says_so(self):
        done = self.run_without(stdin=subprocess.DEVNULL)
        self.assertEqual((done.returncode, done.stdout), (70, ''))
        self.assertEqual(done.stderr, 'hubbub top: this is no terminal; hubbub stats shows the figures once, as text\n')

    def test_a_terminal_of_an_unknown_type_is_refused(self):
        for kind, words in (('no-such-terminal', "type 'no-such-terminal' is not known; set TERM"), ('', "type '' is not known; set TERM"),
                            ('dumb', "type 'dumb' can't show whole screens; set TERM")):
            with self.subTest(kind=kind):
                top = self.top(TERM=kind)
                self.assertEqual(top.wait_for_end(), 70)
                top.wait_for_text(words)
                self.assertTrue(top.is_restored())

    def test_options_are_checked(self):
        done = subprocess.run([HUBBUB, 'top', '--interval', '10 ms'], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 64)
        self.assertIn('expected 100 ms to 1 h', done.stderr)


class RealStack(Case):
    def test_a_stack_is_shown(self):
        stack = subprocess.Popen([HUBBUB, 'run', '--port', str(free_port()), '--data', self.folder], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end, stack)
        while stack.stdout.readline() not in ('ready\n', ''):
            pass
        port = stack.args[3]
        talk = subprocess.Popen(['node', '--input-type=module', '-e', f"""
            import {{ io }} from 'socket.io-client';
            const socket = io('http://localhost:{port}');
            socket.on('connect', () => {{ socket.emit('join', 'saloon'); setInterval(() => socket.emit('msg', {{ room: 'saloon' }}), 20); }});
        """], cwd=ROOT / 'tests', stdin=subprocess.DEVNULL)
        self.addCleanup(self.end, talk)
        top = self.top(*QUICK)
        top.wait_for_text('saloon', 'gateway-1', 'gateway-2', 'connections 1', 'archive none')
        row = re.compile(r'^saloon +1 +(\d+\.\d) +1 +(\d+) ')
        top.wait_for(lambda lines: any(match and float(match[1]) > 1 and int(match[2]) > 10 for match in map(row.match, lines)),
                     'what is said in the room')
        top.type('s')
        top.wait_for_text('>MSG/S', 'saloon')
        self.assertNotIn('error', top.text())

    @staticmethod
    def end(process):
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        if process.stdout:
            process.stdout.close()


if __name__ == '__main__':
    unittest.main()
