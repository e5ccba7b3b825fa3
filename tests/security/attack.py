"""What the tests of attacks share: the folder of helpers, figures of a stack, and that it goes on serving."""
import os
import pathlib
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / 'conformance'), str(TESTS / 'support')]

from programs import PATIENCE, free_port, sanitized  # noqa: E402
from raw_client import Client  # noqa: E402


def resident(pids):
    """Resident bytes of these processes."""
    total = 0
    for pid in pids:
        with open(f'/proc/{pid}/statm', encoding='ascii') as file:
            total += int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
    return total


class Figures:
    """What a stack counted and took before, against what it does now."""

    def __init__(self, stack):
        self.stack = stack
        self.before = stack.metrics()
        self.memory = resident(stack.pids.values())

    def wait_for(self, name, count=1):
        """Waits until that is counted so many times more; how many times it is."""
        counted = self.stack.wait_for_metric(
            lambda now: now.get(name, 0) >= self.before.get(name, 0) + count)
        return counted[name] - self.before.get(name, 0)

    def grown(self):
        """Bytes more of memory.  The sanitizer keeps what is freed for a while."""
        return resident(self.stack.pids.values()) - self.memory

    def bound(self, megabytes):
        """How much more memory may be in use: the sanitizer's quarantine is 256 MB for each process."""
        return (megabytes + (300 * len(self.stack.pids) if sanitized() else 0)) << 20


def serves(stack):
    """Somebody connects, joins, says something and hears it."""
    with Client(stack.port) as good:
        room = f'after-{time.monotonic_ns()}'
        assert good.call('join', room)['ok']
        answer = good.call('msg', {'room': room, 'body': 'still here'})
        assert answer['ok'], answer


__all__ = ['PATIENCE', 'free_port', 'Figures', 'resident', 'serves']
