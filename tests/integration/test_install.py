#!/usr/bin/env python3
"""What `meson install` puts where: programs that find each other and work, man pages that say all, and the completion.

The library and its package file are looked at by test_server_api.py.
HUBBUB_BUILD names the build folder (default: build, beside tests).
"""
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / 'tests' / 'support'))
from mongodb import free_port  # noqa: E402
from tests.support.terminal import PATIENCE, Terminal  # noqa: E402

BUILD = pathlib.Path(os.environ.get('HUBBUB_BUILD', ROOT / 'build')).resolve()


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise AssertionError(f'{command}: {done.returncode}\n{done.stdout}\n{done.stderr}')
    return done.stdout


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = pathlib.Path(tempfile.mkdtemp(prefix='hubbub-install-'))
        cls.addClassCleanup(shutil.rmtree, cls.top)
        run('meson', 'install', '-C', BUILD, '--no-rebuild', '--destdir', cls.top)
        cls.bin = cls.find('hubbub-router').parent
        cls.hubbub = cls.bin / 'hubbub'

    @classmethod
    def find(cls, name):
        found, = cls.top.rglob(name)
        return found

    def start_stack(self):
        """A folder, and the stack in it."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix='hubbub-install-data-'))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        stack = subprocess.Popen([self.hubbub, 'run', '--port', str(free_port()), '--data', folder], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, text=True, cwd='/', env={**os.environ, 'PATH': '/nowhere'})
        self.addCleanup(self.end, stack)
        lines = []
        while not lines or lines[-1] != 'ready':
            lines.append(stack.stdout.readline().rstrip('\n'))
            self.assertNotEqual(lines[-1], '', lines)
        return folder, stack, lines

    @staticmethod
    def end(process):
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        process.stdout.close()


class Programs(Installed):
    def test_they_find_each_other(self):
        folder, stack, lines = self.start_stack()
        for line in lines[:-1]:
            name, pid = re.match(r'(\S+) pid=(\d+)', line).groups()
            part = 'router' if name == 'router' else 'gateway'
            self.assertEqual(os.readlink(f'/proc/{pid}/exe'), os.path.realpath(self.bin / f'hubbub-{part}'))
        client = subprocess.run(['node', '--input-type=module', '-e', f"""
            import {{ io }} from 'socket.io-client';
            const socket = io('http://localhost:{stack.args[3]}');
            socket.on('connect', async () => {{
              await socket.emitWithAck('join', 'lobby');
              console.log((await socket.emitWithAck('msg', {{ room: 'lobby', body: 'hello' }})).seq);
              socket.disconnect();
            }});
        """], cwd=ROOT / 'tests', capture_output=True, text=True, timeout=PATIENCE, check=True)
        self.assertEqual(client.stdout, '1\n')
        self.assertIn('hello', run(self.hubbub, 'history', 'lobby', '--data', folder))
        self.assertIn('connections', run(self.hubbub, 'stats', '--data', folder))
        found = subprocess.run([self.hubbub, 'doctor', '--data', folder, '--port', stack.args[3]], capture_output=True, text=True, check=False)
        self.assertRegex(found.stdout, r'(?m)^ok +versions +hubbub-router ')
        self.assertRegex(found.stdout, r'(?m)^ok +versions +hubbub-gateway ')

    def test_what_else_is_there(self):
        doc = self.find('operations.md').parents[1]
        for page in (*doc.glob('*.md'), *doc.glob('docs/*.md')):
            for target in re.findall(r'\]\(([\w./-]+?)(?:#[\w-]+)?\)', page.read_text()):
                self.assertTrue((page.parent / target).exists(), f'{page.name}: {target}')
        for name in ('hubbub-gateway', 'include/hubbub.h', 'hubbub-app.pc', 'operations.md', 'hubbub.bash'):
            self.assertTrue(self.find(name).is_file(), name)

    def test_make_install_builds_what_it_installs_and_no_more(self):
        words = re.search(r'(?m)^ninja -C build (.*)$', run('make', '-n', '-C', ROOT, 'install').replace('\\\n', ' '))[1].split()
        targets = json.loads(run('meson', 'introspect', '--targets', BUILD))
        installed = {os.path.relpath(name, BUILD) for target in targets if target['installed'] for name in target['filename']}
        self.assertEqual(set(words), installed)

    def test_make_install_passes_on_where_to(self):
        words = run('make', '-n', '-C', ROOT, 'install', 'DESTDIR=/tmp/x y', 'PREFIX=/opt/hubbub')
        self.assertNotIn('ninja -C build\n', words)
        self.assertIn("meson configure build -Dprefix='/opt/hubbub'", words)
        self.assertRegex(words, r"meson install -C build .*--destdir '/tmp/x")


class ManPages(Installed):
    PAGES = ('hubbub.1', 'hubbub.conf.5', 'hubbub-gateway.8', 'hubbub-router.8')

    def read(self, name):
        text = run('man', '-l', self.find(name), env={**os.environ, 'MANWIDTH': '400', 'LC_ALL': 'C.UTF-8', 'MAN_KEEP_FORMATTING': ''})
        return text.replace('\u2010', '-').replace('\u2212', '-')

    def test_they_are_well_formed(self):
        for name in self.PAGES:
            with self.subTest(page=name):
                self.assertEqual(run('mandoc', '-T', 'lint', '-W', 'warning', self.find(name)), '')
                warnings = subprocess.run(['groff', '-ww', '-mdoc', '-Tutf8', '-z', self.find(name)], capture_output=True, text=True, check=True)
                self.assertEqual(warnings.stderr, '')
                self.assertEqual(re.findall(r'(?m)^@[\w ]+@$|^Takes \.$', self.find(name).read_text()), [])

    def test_every_command_and_option_is_described(self):
        page = self.read('hubbub.1')
        names = re.findall(r'(?m)^  ([a-z]+) +\S', run(self.hubbub, '--help').split('Commands:\n')[1].split('\n\n')[0])
        self.assertGreater(len(names), 8)
        for name in names:
            self.assertRegex(page, rf'(?m)^ +hubbub {name}\b')
            for option in re.findall(r'(?m)^  (--\S+)', run(self.hubbub, name, '--help')):
                self.assertRegex(page, rf'(?m){option}\b', name)
        for part in ('gateway', 'router'):
            page, settings = self.read(f'hubbub-{part}.8'), self.read('hubbub.conf.5')
            text = run(self.bin / f'hubbub-{part}', '--help')
            found = re.findall(r'(?m)^  --(\S+)(?: \S+)?\n {8}(.*)(?:\n {8}key \w+\.(\w+), )?', text)
            self.assertGreater(len(found), 30)
            for option, meaning, key in found:
                self.assertRegex(page, rf'(?m)^ +--{option}\b')
                self.assertIn(meaning[1:], page)
                if key:
                    self.assertRegex(settings, rf'(?m)^ +{key}\b')
        for code in ('64', '70', '78'):
            self.assertRegex(self.read('hubbub.1'), rf'(?m)^ +{code} ')


class Completion(Installed):
    def complete(self, *words, cwd='/'):
        """What bash would offer for these words, the last of them being completed."""
        script = '\n'.join([
            f'PATH={shlex.quote(str(self.bin))}:$PATH', f'source {shlex.quote(str(self.find("hubbub.bash")))}',
            'compopt() { :; }', 'COMP_WORDS=(' + ' '.join(map(shlex.quote, ('hubbub', *words))) + ')', f'COMP_CWORD={len(words)}',
            '_hubbub', '((${#COMPREPLY[@]})) && printf "%s\\n" "${COMPREPLY[@]}"; true'])
        done = subprocess.run(['bash', '--norc', '-c', script], capture_output=True, text=True, check=True, cwd=cwd)
        self.assertEqual(done.stderr, '')
        return done.stdout.splitlines()

    def test_commands_and_options(self):
        self.assertEqual(self.complete('ke'), ['keygen'])
        self.assertIn('history', self.complete(''))
        self.assertEqual(self.complete('--v'), ['--version'])
        self.assertEqual(self.complete('history', '--f'), ['--follow'])
        self.assertEqual(self.complete('history', '--lim'), ['--limit='])
        self.assertEqual(self.complete('doctor', '--port', '80', '--j'), ['--json'])
        self.assertEqual(self.complete('dance', '--'), [])
        for name in self.complete(''):
            if not name.startswith('-'):
                options = re.findall(r'(?m)^  (--\S+)', run(self.hubbub, name, '--help'))
                self.assertEqual([one.rstrip('=') for one in self.complete(name, '--')], options)

    def test_files_stand_behind_options_that_take_them(self):
        folder = tempfile.mkdtemp(prefix='hubbub-complete-')
        self.addCleanup(shutil.rmtree, folder)
        pathlib.Path(folder, 'chat.conf').touch()
        for words in (('--config', 'ch'), ('--config', '=', 'ch')):
            self.assertEqual(self.complete('run', *words, cwd=folder), ['chat.conf'])
        self.assertEqual(self.complete('run', '--config', '=', cwd=folder), ['chat.conf'])
        self.assertEqual(self.complete('keygen', 'ch', cwd=folder), ['chat.conf'])
        self.assertEqual(self.complete('run', '--port', '', cwd=folder), [])

    def test_names_of_rooms_and_gateways(self):
        folder, stack, _ = self.start_stack()
        client = subprocess.Popen(['node', '--input-type=module', '-e', f"""
            import {{ io }} from 'socket.io-client';
            const socket = io('http://localhost:{stack.args[3]}');
            socket.on('connect', async () => {{
              for (const room of ['lobby', 'lounge', '$(touch x)', "it's"]) await socket.emitWithAck('join', room);
              console.log('joined');
            }});
        """], cwd=ROOT / 'tests', stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end, client)
        self.assertEqual(client.stdout.readline(), 'joined\n')
        self.assertEqual(sorted(self.complete('history', '--data', str(folder), 'lo')), ['lobby', 'lounge'])
        self.assertEqual(sorted(self.complete('export', '--data', '=', str(folder), 'lob')), ['lobby'])
        self.assertEqual(self.complete('history', '--data', str(folder), 'it'), ["it\\'s"])
        self.assertEqual(self.complete('history', '--data', '/nowhere', 'lo'), [])

        shell = Terminal(['bash', '--norc', '--noprofile', '-i'], columns=200, PS1='$ ', PATH=f'{self.bin}:{os.environ["PATH"]}', INPUTRC='/dev/null')
        self.addCleanup(shell.close)
        shell.type(f'source {self.find("hubbub.bash")}\n')
        shell.type(f'hubbub hist\t--data {folder} lob\t')
        shell.wait_for_text(f'hubbub history --data {folder} lobby')
        shell.type('--limit 5\n')
        shell.type('exit\n')
        self.assertEqual(shell.wait_for_end(), 0)


if __name__ == '__main__':
    unittest.main()
