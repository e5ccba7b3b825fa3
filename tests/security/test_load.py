"""Good clients beside bad ones: 1,000 in 50 rooms at 100 messages a second, alone and then beside 1,000 that mean harm.

The bad ones (tests/security/swarm.c) do all of it at once: slow heads, posts and frames, oversize, compressed bombs,
floods, storms of connects, slow reading, bad tokens, silence. None of the good ones' messages is lost, no connection of
theirs ends, memory stays bounded, and each bad one is counted under its reason.

In the long form (HUBBUB_LOAD_SECONDS=60, make test-load) the good ones' p99 at most doubles; in the short one the ratio
is printed only, since a busy machine decides it. Where there are two cores the stack has one and all clients the other.
"""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from attack import resident
from programs import BUILD, Stack, sanitized

SECONDS = float(os.environ.get('HUBBUB_LOAD_SECONDS', '0'))
LONG = SECONDS > 0
BASELINE, BESIDE = (SECONDS / 2, SECONDS) if LONG else (4, 14)
SCALE = 4 if sanitized() else 1  # a sanitizer's build is so much slower
ROOMS, MEMBERS, RATE, EACH = 50, 20 // SCALE, 100 // SCALE, 100 // SCALE
RULES = """
events = (
  { name = "msg";    room = "$.room"; deliver = "room";   archive = true;  dedup = "$.id"; meta = true; },
  { name = "loud";   room = "$.room"; deliver = "room";   meta = false; },
  { name = "typing"; room = "$.room"; deliver = "others"; volatile = true; meta = true; }
);
router = { recovery_window = "2 s"; recovery_margin = "2 s"; };
"""
LIMITS = {'events_per_second': 50, 'events_burst': 100, 'connects_per_second': 5, 'connects_burst': 20, 'max_connections_per_address': 30,
          'http_head_timeout': 3000, 'http_body_timeout': 3000, 'http_idle_timeout': 2000, 'connect_timeout': 3000, 'ping_interval': 3000, 'ping_timeout': 3000,
          'outbound_queue': 262144, 'compression': 'true'}

# What each kind of bad client is counted under; those that may end in several ways are counted together.
REASONS = {
    ('slow_head', 'slow_post'): ('hubbub_closed_total{reason=http_timeout}',),
    ('slow_frame',): ('hubbub_closed_total{reason=ping_timeout}',),
    ('oversize',): ('hubbub_http_refused_total{status=431}', 'hubbub_closed_total{reason=websocket_message_too_large}',
                    'hubbub_closed_total{reason=websocket_protocol_error}'),
    ('bomb',): ('hubbub_closed_total{reason=websocket_message_too_large}',),
    ('silent', 'token'): ('hubbub_closed_total{reason=http_idle}', 'hubbub_closed_total{reason=connect_timeout}'),
}


def cores():
    return sorted(os.sched_getaffinity(0))


def on_core(command, core):
    """The command on that core alone, where there are two."""
    return [*(['taskset', '-c', str(core)] if len(cores()) > 1 and shutil.which('taskset') else []), *map(str, command)]


class PinnedStack(Stack):
    """Gateways and router on the first core, and out of the way of everything else."""

    def pin(self):
        if len(cores()) > 1:
            for pid in self.pids.values():
                subprocess.run(['taskset', '-a', '-p', '-c', str(cores()[0]), str(pid)], check=True, stdout=subprocess.DEVNULL)


class Load(unittest.TestCase):
    def setUp(self):
        folder = tempfile.mkdtemp(prefix='hubbub-load-')
        self.addCleanup(shutil.rmtree, folder)
        key = pathlib.Path(folder, 'token.key')
        key.write_text(os.urandom(32).hex())
        key.chmod(0o600)
        tokens = f'tokens = {{ keys = ( {{ algorithm = "HS256"; file = "{key}"; }} ); }};'  # and who has none is anonymous
        self.stack = PinnedStack(LIMITS, RULES + tokens, gateways=1)
        self.addCleanup(self.stack.close)
        self.stack.pin()

    def start(self, program, *options, before=()):
        return subprocess.Popen([*before, *on_core([BUILD / 'tests' / program, f'--port={self.stack.port}', *options], cores()[-1])], stdout=subprocess.PIPE, text=True)

    def bad(self, seconds):
        """Where there are two cores only, they share one with the good ones, whose process also measures. So it stands back: in life the bad ones are on
        machines of their own and delay nobody but the stack."""
        return self.start('security/swarm', f'--each={EACH}', f'--time={int(seconds * 1000)}', '--calm=2000', before=('nice', '-n', '10'))

    def good(self, seconds, warm_up=1):
        return self.start('bench/load', f'--rooms={ROOMS}', f'--members={MEMBERS}', '--publishers=1', f'--rate={RATE}', '--sources=100', '--opening=50',
                          f'--warm-up={int(warm_up * 1000)}', f'--measure={int(seconds * 1000)}')

    def figures(self, process, patience):
        out, _ = process.communicate(timeout=patience)
        self.assertEqual(process.returncode, 0, out)
        return json.loads(out)

    def test_good_clients_beside_bad_ones(self):
        patience = 120 + 3 * BESIDE
        alone = self.figures(self.good(BASELINE), patience)
        before, memory = self.stack.metrics(), resident(self.stack.pids.values())
        swarm = self.bad(BESIDE + 3)
        beside = self.figures(self.good(BESIDE, warm_up=2), patience)
        grown = resident(self.stack.pids.values()) - memory
        bad = self.figures(swarm, patience)
        after = self.stack.wait_for_metric(lambda now: now['hubbub_connections'] == 0)

        def counted(name):
            return after.get(name, 0) - before.get(name, 0)
        self.report(alone, beside, bad, grown, counted)
        for figures in (alone, beside):
            for what in ('failed', 'lost', 'missing', 'surplus'):
                self.assertEqual(figures[what], 0, (what, figures))
            self.assertEqual(figures['ready'], ROOMS * MEMBERS)
        self.assertLess(grown, (1200 if sanitized() else 200) << 20)
        self.each_is_counted(bad, counted)
        if LONG:
            self.assertLessEqual(beside['p99_ms'], 2 * alone['p99_ms'])

    def each_is_counted(self, bad, counted):
        for kinds, names in REASONS.items():
            thrown_out = sum(bad[kind]['thrown_out'] - bad[kind]['told_later'] for kind in kinds)
            self.assertGreater(thrown_out, 0, kinds)
            self.assertGreaterEqual(sum(map(counted, names)), 0.9 * thrown_out, (kinds, bad))
        self.assertGreaterEqual(counted('hubbub_refused_total{code=token_invalid}'), 0.9 * bad['token']['came'])
        self.assertGreater(counted('hubbub_refused_total{code=rate_limited}'), EACH)
        self.assertGreater(counted('hubbub_reading_paused_total'), EACH)
        self.assertGreater(bad['storm']['told_later'], 0)
        self.assertGreaterEqual(counted('hubbub_address_refused_total{limit=connects_per_second}'), bad['storm']['told_later'])
        self.assertGreater(counted('hubbub_closed_total{reason=slow_reader}'), 0)
        self.assertEqual(sum(kind['came'] == 0 for kind in bad.values()), 0, bad)

    def report(self, alone, beside, bad, grown, counted):
        print(f'# alone: p50 {alone["p50_ms"]} ms, p99 {alone["p99_ms"]} ms; beside: p50 {beside["p50_ms"]} ms, p99 {beside["p99_ms"]} ms, '
              f'{beside["p99_ms"] / alone["p99_ms"]:.2f} times; memory {grown / 2**20:+.0f} MB')
        print(f'#   a commit took {1000 * counted("hubbub_commit_seconds_sum") / max(1, counted("hubbub_commit_seconds_count")):.1f} ms on average beside them')
        for kind, figures in bad.items():
            print(f'#   {kind}: {figures}')
        for name in ('hubbub_refused_total{code=rate_limited}', 'hubbub_refused_total{code=token_invalid}', 'hubbub_reading_paused_total', 'hubbub_address_refused_total{limit=connects_per_second}',
                     'hubbub_address_refused_total{limit=max_connections_per_address}', 'hubbub_closed_total{reason=slow_reader}',
                     'hubbub_closed_total{reason=http_timeout}', 'hubbub_closed_total{reason=ping_timeout}', 'hubbub_closed_total{reason=websocket_message_too_large}',
                     'hubbub_http_refused_total{status=431}', 'hubbub_http_refused_total{status=429}', 'hubbub_closed_total{reason=http_idle}',
                     'hubbub_closed_total{reason=connect_timeout}'):
            print(f'#   {name} {counted(name)}', flush=True)


if __name__ == '__main__':
    unittest.main()
