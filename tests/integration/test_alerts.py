#!/usr/bin/env python3
"""The alert rules of deploy/alerts.yml, played by the real promtool: silent when all is well, and each fires for its fault.

The cases are made here rather than written down for promtool, so that one without a case is seen.
"""
import json
import pathlib
import re
import subprocess
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
RULES = TOP / 'deploy' / 'alerts.yml'
PROMTOOL_SECONDS = 120
GATEWAY = 'job="hubbub-gateway",instance="gateway-1:3020"'
ROUTER = 'job="hubbub-router",instance="router:3011"'


def histogram(name, labels, quick, slow):
    """One whose values all lie at or below 0.0025 s, and one whose values lie beyond 10 s: what they count a minute."""
    return {f'{name}_bucket{{{labels},le="0.0025"}}': f'0+{quick}x120',
            f'{name}_bucket{{{labels},le="10"}}': f'0+{quick}x120',
            f'{name}_bucket{{{labels},le="+Inf"}}': f'0+{quick + slow}x120'}


def up(labels, values):
    return {f'up{{{labels}}}': values}


# Two hours in which all is well, a value a minute.
WELL = {
    **up(GATEWAY, '1x120'), **up(GATEWAY.replace('-1', '-2'), '1x120'), **up(ROUTER, '1x120'),
    f'hubbub_link_up{{{GATEWAY}}}': '1x120',
    f'hubbub_link_resets_total{{{GATEWAY}}}': '2x120',
    f'hubbub_draining{{{GATEWAY}}}': '0x30 1x10 0x80',  # a rolling restart
    f'process_start_time_seconds{{{GATEWAY}}}': '1000x60 5000x60',  # one restart
    f'process_open_fds{{{GATEWAY}}}': '700x120',
    f'process_max_fds{{{GATEWAY}}}': '1000x120',
    f'hubbub_backend_waiting{{{ROUTER}}}': '0x120',
    f'hubbub_storage_full{{{ROUTER}}}': '0x120',
    f'hubbub_journal_waiting{{{ROUTER}}}': '3000x120',
    f'hubbub_archive_lag_seconds{{{ROUTER}}}': '2x120',
    f'hubbub_archive_refused_total{{{ROUTER}}}': '7x120',  # of an earlier day
    f'hubbub_refused_total{{{GATEWAY},code="busy"}}': '0x120',
    f'hubbub_refused_total{{{GATEWAY},code="unavailable"}}': '0+6x120',
    f'hubbub_refused_total{{{GATEWAY},code="rate_limited"}}': '0+60x120',
    f'hubbub_refused_total{{{ROUTER},code="forbidden"}}': '0+60x120',
    f'hubbub_refused_total{{{ROUTER},code="not_joined"}}': '0+6000x120',
    f'hubbub_refused_total{{{GATEWAY},code="token_expired"}}': '0+120x120',
    f'hubbub_tokens_verified_total{{{GATEWAY}}}': '0+600x120',
    f'hubbub_refused_connections_total{{{GATEWAY}}}': '12x120',
    f'hubbub_closed_total{{{GATEWAY},reason="slow_reader"}}': '0+10x120',
    f'hubbub_closed_total{{{GATEWAY},reason="transport_close"}}': '0+6000x120',
    f'hubbub_tls_certificate_expiry_timestamp_seconds{{{GATEWAY}}}': f'{20 * 86400}x120',  # since the beginning of time
    f'hubbub_tls_handshakes_total{{{GATEWAY},version="1.3"}}': '0+600x120',
    f'hubbub_tls_failed_total{{{GATEWAY},reason="alert"}}': '0+60x120',
    f'hubbub_tls_failed_total{{{GATEWAY},reason="http"}}': '0+6000x120',  # scanners
    f'hubbub_address_refused_total{{{GATEWAY},limit="connects_per_second"}}': '0+6x120',
    f'hubbub_config_reloads_total{{{GATEWAY},result="failed"}}': '1x120',
    f'hubbub_router_config_reloads_total{{{ROUTER},result="ok"}}': '0x60 1x60',
    f'hubbub_router_rules_differ_total{{{ROUTER}}}': '1x120',
    f'hubbub_router_versions_total{{{ROUTER}}}': '0x120',
    **histogram('hubbub_publish_seconds', GATEWAY, 10000, 10),
    **histogram('hubbub_commit_seconds', ROUTER, 1000, 1),
    **histogram('hubbub_loop_lag_seconds', GATEWAY, 240, 0),
    **histogram('hubbub_loop_lag_seconds', ROUTER, 240, 1),
}

# What is different from WELL, and the minute in which the alert has fired; in the minute before the other it has not.  The
# fault begins in minute 60, if it does not say otherwise.
FAULTS = {
    'HubbubRouterDown': ({**up(ROUTER, '1x59 0x60')}, 60, 61),
    'HubbubNoGateway': ({**up(GATEWAY, '1x59 _x60'), **up(GATEWAY.replace('-1', '-2'), '1x59 _x60')}, 60, 66),
    'HubbubGatewayDown': ({**up(GATEWAY, '1x59 0x60')}, 60, 62),
    'HubbubFewerGateways': ({**up(GATEWAY, '1x59 _x60')}, 70, 77),
    'HubbubLinkDown': ({f'hubbub_link_up{{{GATEWAY}}}': '1x59 0x60'}, 60, 62),
    'HubbubLinkUnsteady': ({f'hubbub_link_resets_total{{{GATEWAY}}}': '2x59 3+1x60'}, 60, 66),
    'HubbubRestarting': ({f'process_start_time_seconds{{{GATEWAY}}}': '1000x59 5000+60x60'}, 60, 64),
    'HubbubLeftDrained': ({f'hubbub_draining{{{GATEWAY}}}': '0x59 1x60'}, 88, 91),
    'HubbubBackendMissing': ({f'hubbub_backend_waiting{{{ROUTER}}}': '0x59 12x60'}, 61, 63),
    'HubbubStorageFull': ({f'hubbub_storage_full{{{ROUTER}}}': '0x59 1x60'}, 59, 61),
    'HubbubCommitsSlow': (histogram('hubbub_commit_seconds', ROUTER, 900, 100), 4, 12),
    'HubbubJournalBehind': ({f'hubbub_journal_waiting{{{ROUTER}}}': '3000x59 100000x60'}, 60, 62),
    'HubbubArchiveLagging': ({f'hubbub_archive_lag_seconds{{{ROUTER}}}': '2x59 60+60x60'}, 65, 72),
    'HubbubDeadLetters': ({f'hubbub_archive_refused_total{{{ROUTER}}}': '7x59 8x60'}, 59, 61),
    'HubbubRefusing': ({f'hubbub_refused_total{{{GATEWAY},code="busy"}}': '0x59 0+600x60'}, 60, 66),
    'HubbubTokensRefused': ({f'hubbub_refused_total{{{GATEWAY},code="token_invalid"}}': '0x59 0+1200x60',
                             f'hubbub_tokens_verified_total{{{GATEWAY}}}': '0+600x59 36000x60'}, 62, 70),
    'HubbubLimiting': ({f'hubbub_refused_total{{{GATEWAY},code="rate_limited"}}': '0+60x59 6000+3000x60'}, 65, 75),
    'HubbubGatewayFull': ({f'hubbub_refused_connections_total{{{GATEWAY}}}': '12x59 20+20x60'}, 60, 62),
    'HubbubFileDescriptors': ({f'process_open_fds{{{GATEWAY}}}': '700x59 900x60'}, 64, 66),
    'HubbubCertificateExpires': ({f'hubbub_tls_certificate_expiry_timestamp_seconds{{{GATEWAY}}}': f'{14 * 86400 + 3600}x120'},
                                 59, 61),
    'HubbubHandshakesFail': ({f'hubbub_tls_failed_total{{{GATEWAY},reason="alert"}}': '0+60x59 3600+300x60'}, 62, 70),
    'HubbubAddressesLimited': ({f'hubbub_address_refused_total{{{GATEWAY},limit="connects_per_second"}}': '0+6x59 360+600x60'},
                               68, 75),
    'HubbubSlowReaders': ({f'hubbub_closed_total{{{GATEWAY},reason="slow_reader"}}': '0+10x59 600+600x60'}, 64, 72),
    'HubbubPublishesSlow': (histogram('hubbub_publish_seconds', GATEWAY, 9000, 1000), 4, 12),
    'HubbubLoopLag': (histogram('hubbub_loop_lag_seconds', GATEWAY, 200, 40), 4, 12),
    'HubbubReloadFailed': ({f'hubbub_router_config_reloads_total{{{ROUTER},result="failed"}}': '0x59 1x60'}, 59, 61),
    'HubbubRulesDiffer': ({f'hubbub_router_rules_differ_total{{{ROUTER}}}': '1x59 2x60'}, 59, 61),
    'HubbubVersionsDiffer': ({f'hubbub_router_versions_total{{{ROUTER}}}': '0x59 1x60'}, 59, 61),
}


def expectation(minute, names):
    return {'expr': 'count by (alertname) (ALERTS{alertstate="firing"})', 'eval_time': f'{minute}m',
            'exp_samples': [{'labels': f'{{alertname="{name}"}}', 'value': 1} for name in names]}


def case(series, expectations):
    return {'interval': '1m', 'promql_expr_test': expectations,
            'input_series': [{'series': name, 'values': values} for name, values in series.items()]}


class Alerts(unittest.TestCase):
    def play(self, *cases):
        """What promtool says; a case is fine when that is nothing but SUCCESS."""
        plan = {'rule_files': [str(RULES)], 'evaluation_interval': '30s', 'tests': cases}
        with tempfile.NamedTemporaryFile('w', suffix='.yml', encoding='utf-8') as file:
            json.dump(plan, file)  # which is YAML
            file.flush()
            done = subprocess.run(['promtool', 'test', 'rules', file.name], capture_output=True, text=True, check=False,
                                  timeout=PROMTOOL_SECONDS)
        return done.returncode, done.stdout + done.stderr

    def test_promtool_takes_the_rules_and_the_configuration(self):
        for command in (['rules', '--lint-fatal', RULES], ['config', '--lint-fatal', TOP / 'deploy' / 'prometheus.yml']):
            done = subprocess.run(['promtool', 'check', *command], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_each_has_a_case_and_says_what_to_do(self):
        text = RULES.read_text(encoding='utf-8')
        blocks = re.split(r'^ +- alert: ', text, flags=re.MULTILINE)[1:]
        self.assertEqual(sorted(block.split()[0] for block in blocks), sorted(FAULTS))
        for block in blocks:
            with self.subTest(alert=block.split()[0]):
                self.assertRegex(block, r'severity: (page|ticket) ')
                self.assertRegex(block, r'summary: \S.{10}')
                self.assertRegex(block, r'description: \S')

    def test_none_fires_when_all_is_well(self):
        code, said = self.play(case(WELL, [expectation(minute, []) for minute in range(0, 121, 5)]))
        self.assertEqual(code, 0, said)

    def test_a_fault_is_seen_when_none_is_expected(self):
        series, _, minute = FAULTS['HubbubStorageFull']
        code, said = self.play(case({**WELL, **series}, [expectation(minute, [])]))
        self.assertNotEqual(code, 0, said)

    def test_each_fires_for_its_fault_alone_and_not_at_once(self):
        cases = [{'name': name, **case({**WELL, **series}, [expectation(before, []), expectation(after, [name])])}
                 for name, (series, before, after) in FAULTS.items()]
        code, said = self.play(*cases)
        self.assertEqual(code, 0, said)


if __name__ == '__main__':
    unittest.main()
