#!/usr/bin/env python3
"""/metrics of every process of a stack that has something to do, held against promtool, against a real Prometheus with the
rules and the dashboard of deploy/, against the stats socket, and against docs/operations.md."""
import contextlib
import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'conformance'))
from programs import BUILD, PATIENCE, ROOT, Gateway, Stack, free_ports  # noqa: E402

DEPLOY = ROOT / 'deploy'
OPERATIONS = ROOT / 'docs' / 'operations.md'
CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'
LOAD = dict(rooms=4, members=3, publishers=2, rate=60, acknowledged='true', warm_up='500ms', measure='1500ms')
EXPIRY = 'hubbub_tls_certificate_expiry_timestamp_seconds'  # of gateways with TLS only
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([a-zA-Z_]+)="((?:[^"\\\n]|\\[\\"n])*)"\})? (\S+)')
# What a machine that stood still for a moment leaves pending for minutes; they fire when it lasts.
SLOWNESS = {'HubbubLoopLag', 'HubbubCommitsSlow', 'HubbubPublishesSlow'}
METRIC = re.compile(r'\b(?:hubbub|process)_[a-z0-9_]+')


def request(port, path, method='GET'):
    """(status, fields, body)"""
    wanted = urllib.request.Request(f'http://127.0.0.1:{port}{path}', method=method)
    try:
        with urllib.request.urlopen(wanted, timeout=PATIENCE) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


def families(text):
    """{name: type} of an exposition."""
    return dict(re.findall(r'^# TYPE (\S+) (\S+)$', text, re.MULTILINE))


def samples(text):
    """{(name, label's value or None): value}; every line must be one, or a comment."""
    found = {}
    for line in text.splitlines():
        if line.startswith('# '):
            continue
        match = SAMPLE.fullmatch(line)
        if not match:
            raise AssertionError(f'no sample: {line!r}')
        if (match[1], match[3]) in found:
            raise AssertionError(f'twice: {line!r}')
        found[match[1], match[3]] = float(match[4])
    return found


def free_pair(taken):
    while True:
        port = free_ports(1)[0]
        with contextlib.suppress(OSError), socket.socket() as second:
            second.bind(('127.0.0.1', port + 1))
            if not {port, port + 1} & set(taken):
                return port


class Busy:
    """A stack with two gateways, after a crowd on each of them has talked for a while."""

    def __init__(self):
        router = free_ports(1)[0]
        admin = free_pair([router])
        self.stack = Stack(gateways=2, rest=f'run = {{ admin_port = {admin}; router_admin_port = {router}; }};')
        self.gateways, self.router = [admin, admin + 1], router
        crowds = [subprocess.Popen([BUILD / 'tests' / 'bench' / 'load', f'--port={port}',
                                    *(f'--{key.replace("_", "-")}={value}' for key, value in LOAD.items())],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for port in self.stack.ports]
        self.under_load = self.expositions()
        for crowd in crowds:
            said, _ = crowd.communicate(timeout=PATIENCE)
            figures = json.loads(said.splitlines()[-1])  # the crowds meet in the same rooms: each hears more than it expects
            if any(figures[kind] for kind in ('failed', 'lost', 'missing', 'refused', 'unanswered')):
                raise AssertionError(said)

    def ports(self):
        return {'gateway-1': self.gateways[0], 'gateway-2': self.gateways[1], 'router': self.router}

    def expositions(self):
        return {name: request(port, '/metrics')[2] for name, port in self.ports().items()}

    def settled(self):
        """What they show once all clients are gone and nothing is on its way to them any more."""
        end = time.monotonic() + PATIENCE
        before = None
        while True:
            texts = self.expositions()
            gateways = [samples(texts[name]) for name in ('gateway-1', 'gateway-2')]
            shown = [(found['hubbub_connections', None], found['hubbub_deliveries_total', None]) for found in gateways]
            if shown == before and not any(connections for connections, _ in shown):
                return texts
            if time.monotonic() > end:
                raise AssertionError(f'connections and deliveries: {before}, {shown}')
            before = shown
            time.sleep(0.2)

    def close(self):
        self.stack.close()


class Prometheus:
    """A real one that scrapes the stack once a second, with the rules of deploy/."""

    def __init__(self, busy):
        self.folder = tempfile.TemporaryDirectory(prefix='hubbub-prometheus-')
        self.port = free_ports(1)[0]
        folder = pathlib.Path(self.folder.name)
        text = (DEPLOY / 'prometheus.yml').read_text(encoding='utf-8')
        for service, ports in (('gateway', busy.gateways), ('router', [busy.router])):
            targets = ', '.join(f'"127.0.0.1:{port}"' for port in ports)
            text, count = re.subn(r'dns_sd_configs: .*\[%s\].*' % service, f'static_configs: [{{ targets: [{targets}] }}]', text)
            assert count == 1
        text = re.sub(r'_interval: 10s', '_interval: 1s', text).replace('alerts.yml', str(DEPLOY / 'alerts.yml'))
        (folder / 'prometheus.yml').write_text(text, encoding='utf-8')
        with open(folder / 'log', 'wb') as log:
            self.process = subprocess.Popen(
                ['prometheus', f'--config.file={folder}/prometheus.yml', f'--storage.tsdb.path={folder}/data',
                 f'--web.listen-address=127.0.0.1:{self.port}'], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ask(self, path, **parameters):
        status, _, body = request(self.port, f'/api/v1/{path}?{urllib.parse.urlencode(parameters)}')
        answer = json.loads(body)
        if status != 200 or answer['status'] != 'success':
            raise AssertionError(f'{path} {parameters}: {body}')
        return answer['data']

    def query(self, expression):
        return self.ask('query', query=expression)['result']

    def wait_for(self, expression):
        """Waits until it gives something; one that has just started has no answers yet (503, no JSON)."""
        end = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError, json.JSONDecodeError):
                found = self.query(expression)
                if found:
                    return found
            if time.monotonic() > end or self.process.poll() is not None:
                raise AssertionError(f'nothing: {expression}\n' + pathlib.Path(self.folder.name, 'log').read_text())
            time.sleep(0.2)

    def close(self):
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.folder.cleanup()


class Metrics(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.busy = Busy()
        cls.addClassCleanup(cls.busy.close)
        cls.texts = cls.busy.settled()

    def test_promtool_finds_nothing_to_say_of_them(self):
        for when, texts in (('under load', self.busy.under_load), ('after it', self.texts)):
            for name, text in texts.items():
                with self.subTest(process=name, when=when):
                    done = subprocess.run(['promtool', 'check', 'metrics'], input=text, capture_output=True, text=True,
                                          check=False)
                    self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ''))

    def test_each_process_has_the_usual_figures_of_its_own(self):
        for name, text in self.texts.items():
            with self.subTest(process=name):
                found, pid = samples(text), self.busy.stack.pids[name]
                self.assertAlmostEqual(found['process_start_time_seconds', None], time.time(), delta=600)
                self.assertGreater(found['process_cpu_seconds_total', None], 0)
                self.assertGreater(found['process_resident_memory_bytes', None], 1 << 20)
                open_ones = len(list(pathlib.Path(f'/proc/{pid}/fd').iterdir()))
                self.assertAlmostEqual(found['process_open_fds', None], open_ones, delta=8)
                limit = re.search(r'^Max open files +(\d+)', pathlib.Path(f'/proc/{pid}/limits').read_text(), re.MULTILINE)
                self.assertEqual(found['process_max_fds', None], int(limit[1]))
                self.assertEqual(found['hubbub_build_info', '0.1.0'], 1)

    def test_every_one_stands_in_the_document_with_its_type_and_what_to_do(self):
        section = OPERATIONS.read_text(encoding='utf-8').partition('\n## 11. ')[2].partition('\n## 12. ')[0]
        documented = {}
        for name, kind, what, action in re.findall(r'^\| `(\S+?)` \| (\w+) \| (.+?) \| (.+?) \|$', section, re.MULTILINE):
            documented[name.partition('{')[0]] = kind
            self.assertGreater(len(what), 5, name)
            self.assertGreater(len(action), 10, name)
        documented['hubbub_build_info'] = 'gauge'
        for name, text in self.texts.items():
            for family, kind in families(text).items():
                with self.subTest(process=name, family=family):
                    self.assertEqual(documented.get(family), kind)
        shown = set().union(*(families(text) for text in self.texts.values()))
        self.assertEqual(sorted(set(documented) - shown - {'hubbub_http_refused_total', EXPIRY}), [])

    def test_nothing_is_counted_twice(self):
        gateways = [samples(self.texts[name]) for name in ('gateway-1', 'gateway-2')]
        router = samples(self.texts['router'])
        deliveries = [found['hubbub_deliveries_total', None] for found in gateways]
        self.assertTrue(all(deliveries))
        self.assertNotIn(('hubbub_deliveries_total', None), router)
        self.busy.stack.wait_for_metric(lambda metrics: metrics['hubbub_deliveries_total'] == sum(deliveries))
        metrics = self.busy.stack.metrics()
        self.assertEqual(metrics['hubbub_messages_total{class=archived}'], router['hubbub_messages_total', 'archived'])
        self.assertFalse([key for key in gateways[0] if key in router and not re.match(
            r'(process_|hubbub_build_info|hubbub_(loop_lag|turn)_seconds|'
            r'hubbub_(refused|dropped|connects_refused|namespaces_refused)_total)', key[0])])

    def test_each_publish_is_in_the_histograms_once(self):
        gateways = [samples(self.texts[name]) for name in ('gateway-1', 'gateway-2')]
        router = samples(self.texts['router'])
        published = router['hubbub_messages_total', 'archived']
        self.assertGreater(published, 100)
        self.assertEqual(sum(found['hubbub_publish_seconds_count', None] for found in gateways), published)
        for found in gateways:
            requests = found['hubbub_request_seconds_count', None]
            self.assertGreater(requests, found['hubbub_publish_seconds_count', None])
            self.assertGreater(found['hubbub_publish_seconds_sum', None], 0)
            self.assertLess(found['hubbub_publish_seconds_sum', None],
                            found['hubbub_publish_seconds_count', None] * PATIENCE)
        committed = router['hubbub_commit_messages_sum', None]
        self.assertEqual(committed, published + router['hubbub_session_changes_total', None])
        self.assertEqual(router['hubbub_commit_messages_count', None], router['hubbub_commit_seconds_count', None])
        metrics = self.busy.stack.wait_for_metric(lambda metrics: metrics['hubbub_publish_seconds_count'] == published)
        self.assertEqual(metrics['hubbub_publish_seconds_bucket{le=+Inf}'], published)

    def test_buckets_count_up(self):
        for name, text in self.texts.items():
            kinds = families(text)
            found = samples(text)
            for family in (family for family, kind in kinds.items() if kind == 'histogram'):
                with self.subTest(process=name, family=family):
                    buckets = [(float(le), value) for (key, le), value in found.items() if key == f'{family}_bucket']
                    self.assertEqual(buckets, sorted(buckets))
                    self.assertEqual([value for _, value in buckets], sorted(value for _, value in buckets))
                    self.assertEqual(buckets[-1], (float('inf'), found[f'{family}_count', None]))
        self.assertGreater(samples(self.texts['router'])['hubbub_loop_lag_seconds_count', None], 0)

    def test_neither_a_key_nor_a_body_is_wanted(self):
        for name, port in self.busy.ports().items():
            with self.subTest(process=name):
                status, fields, _ = request(port, '/metrics')
                self.assertEqual((status, fields['Content-Type']), (200, CONTENT_TYPE))
                self.assertEqual(request(port, '/metrics', 'HEAD')[::2], (200, ''))
                self.assertEqual(request(port, '/healthz')[::2], (200, 'ok\n'))
                status, fields, _ = request(port, '/metrics', 'POST')
                self.assertEqual((status, fields['Allow']), (405, 'GET, HEAD'))
                self.assertEqual(request(port, '/metrics/', 'GET')[0], 404)

    def test_a_scrape_that_is_closed_does_not_deafen_whoever_gets_its_descriptor(self):
        for _ in range(3):
            self.assertEqual(request(self.busy.router, '/metrics')[0], 200)  # with Connection: close
            self.assertTrue(self.busy.stack.metrics())

    def test_a_real_prometheus_finds_all_that_rules_and_dashboard_ask_for(self):
        dashboard = json.loads((DEPLOY / 'grafana-dashboard.json').read_text(encoding='utf-8'))
        expressions = [target['expr'] for panel in dashboard['panels'] for target in panel.get('targets', [])]
        expressions += [annotation['expr'].removesuffix('> 0') for annotation in dashboard['annotations']['list']]
        self.assertGreater(len(expressions), 30)
        names = set().union({EXPIRY}, *({name for name, _ in samples(text)} for text in self.texts.values()))
        for expression in expressions + [(DEPLOY / 'alerts.yml').read_text(encoding='utf-8')]:
            named = set(METRIC.findall(re.sub(r'(summary|description):.*(\n {12}.*)*', '', expression)))
            self.assertEqual(sorted(named - names), [], expression)

        prometheus = Prometheus(self.busy)
        self.addCleanup(prometheus.close)
        prometheus.wait_for('count(up{job=~"hubbub-.*"} == 1) == 3')
        prometheus.wait_for('count_over_time(up{job="hubbub-router"}[20s]) >= 3')
        for expression in expressions:
            with self.subTest(expression=expression):
                # What shows only trouble has none to show, and rates may be 0 by now.
                prometheus.wait_for(expression.replace('$__rate_interval', '20s').removesuffix(' > 0'))
        rules = [rule for group in prometheus.ask('rules')['groups'] for rule in group['rules']]
        self.assertEqual({rule['name']: rule.get('lastError', '') for rule in rules if rule['health'] == 'err'}, {})
        self.assertGreater(len(rules), 15)
        end = time.monotonic() + PATIENCE
        while alerts := [alert for alert in prometheus.ask('alerts')['alerts']
                         if alert['state'] == 'firing' or alert['labels']['alertname'] not in SLOWNESS]:
            self.assertNotIn('firing', [alert['state'] for alert in alerts], alerts)
            self.assertLess(time.monotonic(), end, alerts)  # a scrape that failed makes some pending, until the next
            time.sleep(0.2)


class Health(unittest.TestCase):
    def test_a_gateway_without_a_router_is_not_healthy_and_says_why(self):
        port = free_ports(1)[0]
        gateway = Gateway(dead='300ms', heartbeat='100ms', admin=f'127.0.0.1:{port}')
        self.addCleanup(gateway.close)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(urllib.error.URLError):  # it opens behind the clients' port
                if request(port, '/healthz')[0] != 200:
                    break
            time.sleep(0.02)
        self.assertEqual(request(port, '/healthz')[::2], (503, 'the router is away\n'))
        self.assertEqual(request(gateway.port, '/healthz')[::2], (503, 'the router is away\n'))
        self.assertEqual(samples(request(port, '/metrics')[2])['hubbub_link_up', None], 0)

    def test_an_address_that_is_none_is_refused_by_both(self):
        for program in ('gateway', 'router'):
            done = subprocess.run([BUILD / program / f'hubbub-{program}', '--admin=3020', '--check-config'],
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 78)
            self.assertIn("key admin: '3020' is no address; expected HOST:PORT", done.stderr)


if __name__ == '__main__':
    unittest.main()
