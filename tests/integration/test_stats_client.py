"""Commands that ask at the stats socket, and a person who stops one with Ctrl-Z and lets it go on (fg)."""
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'conformance'))
from programs import BUILD, PATIENCE  # noqa: E402

MESSAGE = '{"seq":1,"id":"one","event":"msg","from":"alice","at":1700000000000,"args":["hello"]}\n'


class StoppedProgram(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix='hubbub-stats-')
        self.addCleanup(folder.cleanup)
        self.path = f'{folder.name}/stats.sock'
        self.listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.listener.close)
        self.listener.bind(self.path)
        self.listener.listen()
        self.listener.settimeout(PATIENCE)

    def start(self, *command):
        """The program, and its connection, when it waits for the answer to its question."""
        program = subprocess.Popen([BUILD / 'cli' / 'hubbub', *command, '--stats', self.path], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
        self.addCleanup(program.stdout.close)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        connection, _ = self.listener.accept()
        self.addCleanup(connection.close)
        connection.settimeout(PATIENCE)
        question = b''
        while b'\n' not in question:
            question += connection.recv(65536)
        self.assertTrue(question.startswith(command[0].encode()), question)
        self.until(program, 'S')
        return program, connection

    def until(self, program, *states):
        end = time.monotonic() + PATIENCE
        while (state := pathlib.Path(f'/proc/{program.pid}/stat').read_text().rpartition(')')[2].split()[0]) not in states:
            self.assertLess(time.monotonic(), end, state)
            time.sleep(0.01)

    def stop_and_go_on(self, program):
        program.send_signal(signal.SIGSTOP)
        self.until(program, 'T')
        program.send_signal(signal.SIGCONT)
        self.until(program, 'S', 'Z')

    def goes_on(self, parts, *command):
        """It is stopped before each part of the answer."""
        program, connection = self.start(*command)
        for part in parts:
            self.stop_and_go_on(program)
            time.sleep(0.2)  # for one that gives up
            self.assertIsNone(program.poll())
            connection.sendall(part.encode())
            time.sleep(0.1)  # it reads it, and waits for more
        output, _ = program.communicate(timeout=PATIENCE)
        self.assertEqual(program.returncode, 0, output)
        return output

    def test_a_question(self):
        self.assertEqual(self.goes_on(['answered 1\n', '\n'], 'stats'), 'answered 1\n')

    def test_a_history(self):
        self.assertIn('hello', self.goes_on([MESSAGE, '{"more":false}\n\n'], 'history', 'R'))

    def test_a_signal_that_is_caught_ends_it_all_the_same(self):
        program, _ = self.start('history', 'R')
        self.stop_and_go_on(program)
        program.send_signal(signal.SIGINT)
        self.assertEqual(program.wait(PATIENCE), -signal.SIGINT)


if __name__ == '__main__':
    unittest.main()
