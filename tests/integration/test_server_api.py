#!/usr/bin/env python3
"""libhubbub-app as others get it: installed, from C and from C++, shared and static; and docs/server-api.md.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tests' / 'conformance'))
import programs  # noqa: E402
from raw_client import WebSocket  # noqa: E402

BUILD = programs.BUILD
HEADER = (ROOT / 'app' / 'hubbub.h').read_text()
DOCUMENT = (ROOT / 'docs' / 'server-api.md').read_text()
STRICT = ['-Wall', '-Wextra', '-Wpedantic', '-Wshadow', '-Werror']


def functions():
    """What hubbub.h declares."""
    text = re.sub(r'/\*.*?\*/', '', HEADER, flags=re.S)
    return {name for name in re.findall(r'\b(hubbub_\w+)\(', text) if f'(*{name}' not in text and not
            re.search(rf'typedef [^;]*\b{name}\(', text)}


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True, **options)
    if done.returncode:
        raise AssertionError(f'{command}: {done.returncode}\n{done.stdout}\n{done.stderr}')
    return done.stdout


def symbols(path, *options):
    return {line.split()[-1] for line in run('nm', *options, '--defined-only', path).splitlines() if len(line.split()) == 3}


class Installed:
    """The library in a folder of its own, found by pkg-config."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='hubbub-install-'))
        run('meson', 'install', '-C', BUILD, '--no-rebuild', '--destdir', self.folder)
        self.package, = self.folder.rglob('hubbub-app.pc')
        self.libraries = self.package.parent.parent
        self.environment = dict(os.environ, PKG_CONFIG_SYSROOT_DIR=str(self.folder),
                                PKG_CONFIG_PATH=str(self.package.parent), LD_LIBRARY_PATH=str(self.libraries))
        self.sanitizers = ['-fsanitize=address,undefined'] if programs.sanitized() else []

    def flags(self, *what):
        return run('pkg-config', *what, 'hubbub-app', env=self.environment).split()

    def compile(self, compiler, source, output, *options):
        run(*compiler, *STRICT, *self.sanitizers, *self.flags('--cflags'), source, '-o', output, *options)


class Product(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.installed = Installed()
        cls.work = pathlib.Path(tempfile.mkdtemp(prefix='hubbub-api-'))
        cls.addClassCleanup(shutil.rmtree, cls.installed.folder)
        cls.addClassCleanup(shutil.rmtree, cls.work)
        cls.tutorial = cls.work / 'first.c'
        cls.tutorial.write_text(re.search(r'```c\n(.*?)```', DOCUMENT, flags=re.S)[1])

    def test_what_is_installed(self):
        header, = self.installed.folder.rglob('include/hubbub.h')
        self.assertEqual(header.read_text(), HEADER)
        names = {path.name for path in self.installed.libraries.iterdir()}
        self.assertLessEqual({'libhubbub-app.a', 'libhubbub-app.so', 'libhubbub-app.so.0'}, names)
        self.assertFalse({name for name in names if name.startswith('lib') and not name.startswith('libhubbub-app.')})
        version = re.search(r"version: '([\d.]+)'", (ROOT / 'meson.build').read_text())[1]
        self.assertEqual(self.installed.flags('--modversion'), [version])

    def test_only_the_api_shows(self):
        declared = functions()
        self.assertGreater(len(declared), 60)
        shared = symbols(self.installed.libraries / 'libhubbub-app.so', '-D')
        self.assertEqual({name for name in shared if not name.startswith(('__', '_init', '_fini'))}, declared)
        static = symbols(self.installed.libraries / 'libhubbub-app.a', '-g')
        self.assertEqual({name for name in static if not name.startswith(('__', '.', 'DW.'))}, declared)

    def test_the_tutorial_compiles_as_it_stands(self):
        for standard in ('c99', 'c11', 'c17'):
            self.installed.compile(['cc', f'-std={standard}'], self.tutorial, self.work / f'first-{standard}',
                                   *self.installed.flags('--libs'))

    def test_it_links_statically(self):
        program = self.work / 'first-static'
        libraries = [flag for flag in self.installed.flags('--libs', '--static') if flag != '-lhubbub-app']
        self.installed.compile(['cc'], self.tutorial, program, self.installed.libraries / 'libhubbub-app.a', *libraries)
        self.assertNotIn('libhubbub', run('ldd', program))
        # A program has names of its own, also those of ours.
        clash = self.work / 'clash.c'
        clash.write_text('#include <hubbub.h>\nint log_write, buffer_append_u64, table_find, utf8_valid, link_flush;\n'
                         'int main(void) { return hubbub_app_process(NULL) == HUBBUB_ERROR_ARGUMENT ? 0 : 1; }\n')
        self.installed.compile(['cc', '-Wno-builtin-declaration-mismatch'], clash, self.work / 'clash',
                               self.installed.libraries / 'libhubbub-app.a', *libraries)
        run(self.work / 'clash', env=self.installed.environment)

    def test_the_header_alone_in_c_and_cpp(self):
        source = self.work / 'header.c'
        source.write_text('#include <hubbub.h>\nint main(void) { return hubbub_version() ? 0 : 1; }\n')
        for compiler in (['cc', '-std=c99'], ['c++', '-x', 'c++', '-std=c++11'], ['c++', '-x', 'c++', '-std=c++20'],
                         ['clang', '-std=c99'], ['clang++', '-x', 'c++', '-std=c++17']):
            with self.subTest(compiler=compiler):
                run(*compiler, *STRICT, *self.installed.flags('--cflags'), '-fsyntax-only', source)

    def test_examples_compile_against_what_is_installed(self):
        for name in ('echo', 'room_chat'):
            self.installed.compile(['cc', '-std=gnu11', '-D_GNU_SOURCE'], ROOT / 'examples' / f'{name}.c',
                                   self.work / name, *self.installed.flags('--libs'))

    def test_the_tutorial_does_what_it_says(self):
        program = self.work / 'first'
        self.installed.compile(['cc'], self.tutorial, program, *self.installed.flags('--libs'))
        configuration = re.search(r'```\n(namespaces = .*?)```', DOCUMENT, flags=re.S)[1]
        stack = programs.Stack(rest=configuration)
        self.addCleanup(stack.close)
        with open(self.work / 'log', 'w+', encoding='utf-8') as log:
            backend = subprocess.Popen([program, f'ipc://{stack.folder}/data/router.ipc'], stderr=log,
                                       env=self.installed.environment)
        self.addCleanup(backend.wait)
        self.addCleanup(backend.kill)
        with WebSocket(stack.port) as nameless:
            nameless.send_text('40/chat,{}')
            self.assertEqual(nameless.read_packets(1), ['44/chat,{"message":"say who you are"}'])
        with WebSocket(stack.port) as ada, WebSocket(stack.port) as bob:
            for client, name in ((ada, 'Ada'), (bob, 'Bob')):
                client.send_text(f'40/chat,{{"name":"{name}"}}')
                connected, welcome = client.read_packets(2)
                self.assertTrue(connected.startswith('40/chat,{"sid":'))
                self.assertTrue(welcome.startswith('42/chat,["welcome","say something"'), welcome)
            ada.send_text('42/chat,7["say","hello \\"Bob\\""]')
            self.assertEqual(ada.read_packets(1), ['43/chat,7[true]'])
            said, = bob.read_packets(1)
            self.assertTrue(said.startswith('42/chat,["said","Ada","hello \\"Bob\\""'), said)
            ada.send_text('42/chat,8["say",1]')
            self.assertEqual(ada.read_packets(1), ['43/chat,8[false]'])


class Document(unittest.TestCase):
    def test_every_name_in_it_is_one(self):
        known = set(re.findall(r'\bhubbub_\w+|\bHUBBUB_\w+', HEADER))
        for name in set(re.findall(r'\bhubbub_\w+|\bHUBBUB_\w+', DOCUMENT)):
            self.assertIn(name, known)

    def test_every_handler_and_call_on_sockets_is_in_the_table(self):
        rows = '\n'.join(line for line in DOCUMENT.splitlines() if line.startswith('|'))
        # Not Socket.IO's: what is about memory, loops or JSON, or variants of what the table has.
        ours = {name for name in functions() if re.match(r'hubbub_(app|json|error|version|target_free|(answer_binary|done|pass|'
                                                         r'change|refuse|meta|socket_(user|set_user|app|from|find)|sockets_each)$)', name)}
        for name in functions() - ours:
            self.assertIn(name, rows)


if __name__ == '__main__':
    unittest.main()
