"""Good clients beside bad ones: 1,000 in 50 rooms at 100 messages a second, alone and then beside 1,000 that mean harm.

The bad ones (tests/security/swarm.c) do all of it at once: slow heads, posts and frames, oversize, compressed bombs,
100,000 brackets, floods, storms of connects, slow reading, silence, smuggled requests, line breaks in names, bad tokens,
stolen session ids, foreign origins, rooms that are not theirs through each door, and noise and forged hellos at the
router's port. None of the good ones' messages is lost, no connection of theirs ends, memory stays bounded, and each bad
one is counted under its reason.

In the long form (HUBBUB_LOAD_SECONDS=60, make test-load) the good ones' p99 at most doubles; in the short one the ratio
is printed only, since a busy machine decides it. Where there are two cores the stack has one and all clients the other.
"""
import base64
import hashlib
import hmac
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

from attack import PATIENCE, resident
from played_gateway import Router
from programs import BUILD, free_ports, sanitized
from raw_client import get

SECONDS = float(os.environ.get('HUBBUB_LOAD_SECONDS', '0'))
LONG = SECONDS > 0
BASELINE, BESIDE = (SECONDS / 2, SECONDS) if LONG else (3, 11)
SCALE = 4 if sanitized() else 1  # a sanitizer's build is so much slower
KINDS = os.environ.get('HUBBUB_LOAD_KINDS', '')  # of the swarm, with commas between them: what does one of them cost?
ROOMS, MEMBERS, RATE, EACH = 50, 20 // SCALE, 100 // SCALE, 50 // SCALE
RULES = """
events = (
  { name = "msg";    room = "$.room"; deliver = "room";   archive = true;  dedup = "$.id"; meta = true; },
  { name = "loud";   room = "$.room"; deliver = "room";   meta = false; },
  { name = "typing"; room = "$.room"; deliver = "others"; volatile = true; meta = true; }
);
tokens = { keys = ( { id = "hs"; algorithm = "HS256"; file = "FOLDER/hs.key"; }, { id = "rs"; algorithm = "RS256"; file = "FOLDER/rs.pem"; } );
  anonymous = { join = ( "room-*", "bad-*" ); }; };
router = { recovery_window = "2 s"; recovery_margin = "2 s"; };
"""
LIMITS = {'events_per_second': 50, 'events_burst': 100, 'connects_per_second': 5, 'connects_burst': 20, 'max_connections_per_address': 30,
          'http_head_timeout': 3000, 'http_body_timeout': 3000, 'http_idle_timeout': 2000, 'connect_timeout': 3000, 'ping_interval': 3000, 'ping_timeout': 3000,
          'outbound_queue': 262144, 'compression': 'true', 'origins': '"https://app.example"'}

# What each kind of bad client is counted under: (kinds, one of their own figures, counters). Those that may end in several ways are counted together.
REASONS = (
    (('slow_head', 'slow_post'), 'thrown_out', ('hubbub_closed_total{reason=http_timeout}',)),
    (('slow_frame',), 'thrown_out', ('hubbub_closed_total{reason=ping_timeout}',)),
    (('oversize',), 'thrown_out', ('hubbub_http_refused_total{status=414}', 'hubbub_http_refused_total{status=431}',
                                   'hubbub_closed_total{reason=websocket_message_too_large}', 'hubbub_closed_total{reason=websocket_protocol_error}')),
    (('bomb',), 'thrown_out', ('hubbub_closed_total{reason=websocket_message_too_large}',)),
    (('brackets',), 'came', ('hubbub_refused_total{code=too_deep}',)),
    (('slow_reader',), 'thrown_out', ('hubbub_closed_total{reason=slow_reader}',)),
    (('silent', 'token'), 'thrown_out', ('hubbub_closed_total{reason=http_idle}', 'hubbub_closed_total{reason=connect_timeout}')),
    (('storm',), 'told_later', ('hubbub_address_refused_total{limit=connects_per_second}',)),
    (('smuggler', 'lines', 'thief'), 'came', ('hubbub_http_refused_total{status=400}',)),
    (('names',), 'came', ('hubbub_refused_total{code=bad_room}',)),
    (('names',), 'came', ('hubbub_refused_total{code=unknown_event}',)),
    (('token',), 'came', ('hubbub_refused_total{code=token_invalid}', 'hubbub_refused_total{code=token_expired}')),
    (('thief',), 'came', ('hubbub_engine_refused_total{code=1}',)),
    (('foreigner',), 'came', ('hubbub_origins_refused_total',)),
    (('door_websocket', 'door_polling'), 'came', ('hubbub_refused_total{code=forbidden}',)),
    (('door_polling',), 'came', ('hubbub_refused_total{code=not_joined}',)),
    (('door_bare',), 'thrown_out', ('hubbub_closed_total{reason=refused}',)),
    (('stranger',), 'came', ('hubbub_router_gateways_refused_total',)),
)
# And those of which nobody knows how often each must be counted.
SEEN = {
    'flood': ('hubbub_refused_total{code=rate_limited}', 'hubbub_reading_paused_total'),
    'token': ('hubbub_refused_total{code=token_expired}', 'hubbub_refused_total{code=token_invalid}'),
}


def cores():
    return sorted(os.sched_getaffinity(0))


def on_core(command, core):
    """The command on that core alone, where there are two."""
    return [*(['taskset', '-c', str(core)] if len(cores()) > 1 and shutil.which('taskset') else []), *map(str, command)]


class Machines:
    """A router and a gateway as on machines of their own: whoever likes reaches the port of each, and the link has keys."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        keys = ' '.join(f'{key} = {value};' for key, value in LIMITS.items())
        self.conf = self.folder / 'hubbub.conf'
        self.conf.write_text(f'gateway = {{ {keys} }};' + RULES.replace('FOLDER', folder))
        for name in ('router', 'gateway'):
            public = subprocess.run([BUILD / 'cli' / 'hubbub', 'keygen', self.folder / name], capture_output=True, check=True).stdout
        (self.folder / 'listed').write_bytes(public)
        self.port, self.router_port = free_ports(2)
        self.router = Router(folder, f'--config={self.conf}', f'--curve-secret-key={folder}/router', f'--curve-gateways={folder}/listed')
        self.router.endpoint = f'tcp://127.0.0.1:{self.router_port}'
        self.router.start()
        with open(self.folder / 'gateway.log', 'wb') as log:
            self.gateway = subprocess.Popen([BUILD / 'gateway' / 'hubbub-gateway', f'--config={self.conf}', '--name=real', '--host=127.0.0.1', f'--port={self.port}',
                                             f'--router={self.router.endpoint}', f'--curve-secret-key={folder}/gateway', f'--curve-router-key={folder}/router.pub'],
                                            stderr=log)
        self.pids = [self.router.process.pid, self.gateway.pid]

    def close(self):
        codes = []
        for process in (self.gateway, self.router.process):
            process.terminate()
            try:
                codes.append(process.wait(PATIENCE))
            except subprocess.TimeoutExpired:
                process.kill()
                codes.append(process.wait())
        assert codes == [0, 0], (codes, self.router.log()[-4000:], (self.folder / 'gateway.log').read_text(errors='replace')[-4000:])

    def pin(self):
        """Both on the first core, and out of the way of everything else."""
        if len(cores()) > 1:
            for pid in self.pids:
                subprocess.run(['taskset', '-a', '-p', '-c', str(cores()[0]), str(pid)], check=True, stdout=subprocess.DEVNULL)

    def wait_for(self, condition, what):
        """Waits until condition() is true; what it returns."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                if result := condition():
                    return result
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError(f'timed out: {what}\n{self.router.log()[-4000:]}')

    def metrics(self):
        return self.router.statistics()['metrics']

    def wait_for_metrics(self, wanted):
        """The metrics, once wanted() is true of them: gateways tell theirs once a second."""
        return self.wait_for(lambda: (metrics := self.metrics()) and wanted(metrics) and metrics, 'the figures')


def make_tokens(folder):
    """Writes the keys of tokens, and `tokens`: bad ones, one a line, of which one has expired."""
    folder = pathlib.Path(folder)
    secret = os.urandom(32).hex()
    (folder / 'hs.key').write_text(secret)
    (folder / 'hs.key').chmod(0o600)
    private = subprocess.run(['openssl', 'genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'], check=True, capture_output=True).stdout
    public = subprocess.run(['openssl', 'pkey', '-pubout'], input=private, check=True, capture_output=True).stdout
    (folder / 'rs.pem').write_bytes(public)

    def encoded(data):
        return base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).rstrip(b'=').decode()

    def token(head, key=secret.encode(), signature=None, **claims):
        text = encoded({'alg': 'HS256', **head}) + '.' + encoded({'sub': 'admin', 'exp': int(time.time()) + 3600, **claims})
        return text + '.' + encoded(hmac.digest(key, text.encode(), hashlib.sha256) if signature is None else signature)
    bad = [token({}, key=b'another secret, as long as it has to be'), token({}, exp=int(time.time()) - 60), token({}, nbf=int(time.time()) + 3600),
           token({'alg': 'none'}, signature=b''), token({'alg': 'None'}), token({'alg': 'HS512'}), token({'alg': 'RS256'}, signature=os.urandom(256)),
           token({}, key=public), token({'kid': 'rs'}, key=public), token({'kid': 'rs'}), token({'kid': '../../../dev/null'}, key=b''),
           token({'kid': "hs' OR 1=1 --"}), token({'jku': 'https://elsewhere.example/keys', 'crit': ['jku']}), token({})[:-8]]
    (folder / 'tokens').write_text('\n'.join(bad) + '\n')


class Load(unittest.TestCase):
    def setUp(self):
        folder = tempfile.mkdtemp(prefix='hubbub-load-')
        self.addCleanup(shutil.rmtree, folder)
        make_tokens(folder)
        self.stack = Machines(folder)
        self.addCleanup(self.stack.close)
        self.stack.wait_for(lambda: get(self.stack.port, '/healthz').status == 200 and self.stack.metrics().get('hubbub_router_links_total'), 'the gateway')
        self.stack.pin()

    def start(self, program, *options, before=()):
        return subprocess.Popen([*before, *on_core([BUILD / 'tests' / program, f'--port={self.stack.port}', *options], cores()[-1])], stdout=subprocess.PIPE, text=True)

    def good(self, seconds, warm_up=1):
        return self.start('bench/load', f'--rooms={ROOMS}', f'--members={MEMBERS}', '--publishers=1', f'--rate={RATE}', '--sources=100', '--opening=50',
                          f'--warm-up={int(warm_up * 1000)}', f'--measure={int(seconds * 1000)}')

    def bad(self, seconds):
        """Where there are two cores only, they share one with the good ones, whose process also measures. So it stands back: in life the bad ones are on
        machines of their own and delay nobody but the stack."""
        folder = self.stack.folder
        return self.start('security/swarm', f'--each={EACH}', f'--time={int(seconds * 1000)}', '--calm=2000', f'--tokens={folder}/tokens',
                          f'--router-port={self.stack.router_port}', f'--router-key={folder}/router.pub', f'--kinds={KINDS}', before=('nice', '-n', '10'))

    def figures(self, process, patience):
        out, _ = process.communicate(timeout=patience)
        self.assertEqual(process.returncode, 0, out)
        return json.loads(out)

    def test_good_clients_beside_bad_ones(self):
        patience = 120 + 3 * BESIDE
        alone = self.figures(self.good(BASELINE), patience)
        before, memory = self.stack.metrics(), resident(self.stack.pids)
        swarm = self.bad(BESIDE + 3)
        beside = self.figures(self.good(BESIDE, warm_up=2), patience)
        grown = resident(self.stack.pids) - memory
        bad = self.figures(swarm, patience)
        after = self.stack.wait_for_metrics(lambda now: now['hubbub_connections'] == 0)

        def counted(name):
            return after.get(name, 0) - before.get(name, 0)
        self.report(alone, beside, bad, grown, after, counted)
        for figures in (alone, beside):
            for what in ('failed', 'lost', 'missing', 'surplus'):
                self.assertEqual(figures[what], 0, (what, figures))
            self.assertEqual(figures['ready'], ROOMS * MEMBERS)
        self.assertLess(grown, (1200 if sanitized() else 200) << 20)
        self.each_is_counted(bad, counted)
        if LONG:
            self.assertLessEqual(beside['p99_ms'], 2 * alone['p99_ms'])

    def each_is_counted(self, bad, counted):
        for kinds, figure, names in REASONS:
            if bad.keys().isdisjoint(kinds):
                continue  # HUBBUB_LOAD_KINDS
            often = sum(bad[kind][figure] - (bad[kind]['told_later'] if figure != 'told_later' else 0) for kind in kinds if kind in bad)
            self.assertGreater(often, 0, (kinds, bad))
            self.assertGreaterEqual(sum(map(counted, names)), 0.9 * often, (kinds, names, bad))
        for kind in bad.keys() & SEEN.keys():
            for name in SEEN[kind]:
                self.assertGreater(counted(name), 0, name)
        self.assertEqual(sum(kind['came'] == 0 for kind in bad.values()), 0, bad)

    def report(self, alone, beside, bad, grown, after, counted):
        print(f'# alone: p50 {alone["p50_ms"]} ms, p99 {alone["p99_ms"]} ms; beside: p50 {beside["p50_ms"]} ms, p99 {beside["p99_ms"]} ms, '
              f'{beside["p99_ms"] / alone["p99_ms"]:.2f} times; memory {grown / 2**20:+.0f} MB')
        print(f'#   a commit took {1000 * counted("hubbub_commit_seconds_sum") / max(1, counted("hubbub_commit_seconds_count")):.1f} ms on average beside them')
        for kind, figures in bad.items():
            print(f'#   {kind}: {figures}')
        for name in sorted(after):
            if counted(name) and any(word in name for word in ('refused', 'closed', 'dropped', 'skipped', 'paused', 'strangers', 'malformed')):
                print(f'#   {name} {counted(name)}', flush=True)


if __name__ == '__main__':
    unittest.main()
