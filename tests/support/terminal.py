"""A program in a terminal: a pseudo terminal, and its screen as a person would see it (pyte)."""
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
import time

import pyte

PATIENCE = 30  # seconds until an awaited screen counts as missing


class Terminal:
    """Starts a command on a pseudo terminal of its own, of the type that pyte is most like.  close() ends what still runs."""

    def __init__(self, command, columns=80, lines=24, **environment):
        self.master, self.slave = pty.openpty()
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.lock = threading.Lock()
        self.raw = b''
        self.set_size(columns, lines)
        self.modes = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            command, stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, 'TERM': 'linux', 'LC_ALL': 'C.UTF-8', **environment})
        self.closing = False
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while not self.closing:
            if not select.select([self.master], [], [], 0.1)[0]:
                continue
            with self.lock:
                try:
                    data = os.read(self.master, 65536)
                except OSError:
                    return
                self.raw += data
                self.stream.feed(data)

    def drain(self):
        """Until all that the program, which has ended, wrote is on the screen: the kernel passes it on a moment later, so
        that an empty terminal says nothing, but what is written now comes behind it."""
        mark = b'\x1b]9;' + os.urandom(8).hex().encode() + b'\x07'  # which no terminal shows
        os.write(self.slave, mark)
        end = time.monotonic() + PATIENCE
        while mark not in self.raw and time.monotonic() < end:
            time.sleep(0.005)

    def set_size(self, columns, lines):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack('HHHH', lines, columns, 0, 0))

    def resize(self, columns, lines):
        """The kernel tells the program (SIGWINCH) by itself."""
        with self.lock:
            self.screen.resize(lines, columns)
            self.screen.reset()
        self.set_size(columns, lines)

    def type(self, keys):
        os.write(self.master, keys.encode() if isinstance(keys, str) else keys)

    def lines(self):
        with self.lock:
            return [line.rstrip() for line in self.screen.display]

    def text(self):
        return '\n'.join(self.lines())

    def wait_for(self, condition, what=''):
        """Until condition(lines) is true; gives its value."""
        end = time.monotonic() + PATIENCE
        while True:
            lines = self.lines()
            value = condition(lines)
            if value:
                return value
            if time.monotonic() > end or self.process.poll() is not None:
                self.drain()
                lines = self.lines()
                value = condition(lines)
                if value:
                    return value
                raise AssertionError('%s did not show:\n%s' % (what or 'what was awaited', '\n'.join(lines)))
            time.sleep(0.02)

    def wait_for_text(self, *texts):
        return self.wait_for(lambda lines: all(text in '\n'.join(lines) for text in texts), repr(texts))

    def wait_for_end(self):
        """Its exit code, once all that it wrote is on the screen."""
        code = self.process.wait(PATIENCE)
        self.drain()
        return code

    def is_restored(self):
        return termios.tcgetattr(self.slave) == self.modes

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.closing = True
        self.reader.join()
        os.close(self.slave)
        os.close(self.master)
