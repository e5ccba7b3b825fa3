"""Runs one unittest file and prints a TAP line for each test: unittest_tap.py FILE."""
import importlib.util
import os
import sys
import traceback
import unittest


class TapResult(unittest.TestResult):
    """A subTest that fails makes its test fail; its traceback stands in the log."""

    def __init__(self):
        super().__init__()
        self.number = 0

    def line(self, ok, test, more=''):
        self.number += 1
        print(f'{"ok" if ok else "not ok"} {self.number} - {name_of(test)}{more}', flush=True)

    def addSuccess(self, test):
        self.line(True, test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.line(True, test, f' # SKIP {reason}')

    def addFailure(self, test, err):
        super().addFailure(test, err)
        comment(err)
        self.line(False, test)

    def addError(self, test, err):
        super().addError(test, err)
        comment(err)
        self.line(False, test)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            comment(err)
            self.line(False, subtest)


def name_of(test):
    return str(test).split(' ', 1)[0] if not hasattr(test, '_subDescription') else str(test)


def comment(err):
    for line in ''.join(traceback.format_exception(*err)).splitlines():
        print('# ' + line)


def main():
    path = os.path.abspath(sys.argv[1])
    sys.path.insert(0, os.path.dirname(path))
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    result = TapResult()
    unittest.defaultTestLoader.loadTestsFromModule(module).run(result)
    print(f'1..{result.number}')
    return 0 if result.number and result.wasSuccessful() else 1


if __name__ == '__main__':
    sys.exit(main())
