#!/usr/bin/env python3
"""A room's history for operators: the command `history` of the stats socket, `hubbub history` and `hubbub export`.

The router alone, with gateways that this file plays.  HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import base64
import contextlib
import json
import os
import pathlib
import pty
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import ACK, PATIENCE, ROOT, RouterTest  # noqa: E402

HUBBUB = pathlib.Path(os.environ.get("HUBBUB_BUILD", ROOT / "build")) / "cli" / "hubbub"
ODD_ROOM = "a \"room\" \\ with 'quotes' \u00fc\u2028\u202e\U0001f600 "


def fill(held, room, first, last, **fields):
    """Publishes the numbers first to last."""
    for at in range(first, last + 1):
        held.start("msg", room, [{"text": at, **fields}], flags=ACK if at == last else 0)
    assert held.gateway.answer(held.gateway.request)["ok"]


def complaints(error):
    """What a command said but for what it says when it has to wait for longer than a second, whatever for."""
    return error.decode().replace("hubbub: waiting for the archive: MongoDB may be away\n", "")


def texts(lines):
    return [json.loads(line)["args"][0]["text"] for line in lines]


class HistoryTest(RouterTest):
    configuration = 'namespaces = ({ name = "/"; }, { pattern = "/orders-*"; });'

    def ask(self, room="R", **fields):
        return self.router.ask("history " + json.dumps({"room": room, **fields}))[0].split("\n")

    def page(self, room="R", **fields):
        lines = self.ask(room, **fields)
        return texts(lines[:-1]), json.loads(lines[-1])["more"]

    def command(self, name, *arguments, **options):
        return subprocess.Popen([HUBBUB, name, "--stats", self.router.stats, *arguments], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **options)

    def run_command(self, name, *arguments):
        with self.command(name, *arguments) as process:
            out, error = process.communicate(timeout=PATIENCE)
        return process.returncode, out.decode(), complaints(error)

    def lines(self, name, *arguments):
        code, out, error = self.run_command(name, *arguments)
        self.assertEqual((code, error), (0, ""))
        self.assertEqual(out[-1:] or "\n", "\n")
        return out.split("\n")[:-1]


class Question(HistoryTest):
    def check_pages(self):
        for fields, expected, more in (({}, list(range(251, 301)), True), (dict(limit=1), [300], True),
                                       (dict(before=4, limit=2), [2, 3], True), (dict(before=4), [1, 2, 3], False),
                                       (dict(before=1), [], False), (dict(after=0, limit=2), [1, 2], True),
                                       (dict(after=0, limit=200), list(range(1, 201)), True),
                                       (dict(after=298), [299, 300], False), (dict(after=300), [], False),
                                       (dict(after=2 ** 62), [], False), (dict(before=2 ** 62, limit=1), [300], True)):
            self.assertEqual(self.page(**fields), (expected, more), fields)

    def test_pages(self):
        held = self.gateway().connect()
        held.join("R")
        fill(held, "R", 1, 300)
        self.check_pages()
        self.assertEqual(self.router.metric("hubbub_history_shown_total"), 11)
        line = json.loads(self.ask(after=0, limit=1)[0])
        self.assertEqual(line, {"seq": 1, "id": line["id"], "event": "msg", "from": held.sender, "at": line["at"],
                                "args": [{"text": 1}]})
        self.assertEqual(line["id"], held.history("R", after=0, limit=1)["messages"][0]["id"])

    def test_rooms(self):
        held = self.gateway().connect("/orders-7")
        held.join(ODD_ROOM)
        held.join("quiet")
        self.assertEqual(self.ask("quiet", namespace="/orders-7"), ['{"more":false}'])
        self.assertEqual(self.ask(ODD_ROOM), ["error no such room"])
        fill(held, ODD_ROOM, 1, 3)
        self.assertEqual(self.page(ODD_ROOM, namespace="/orders-7"), ([1, 2, 3], False))
        self.assertEqual(self.ask("R", namespace="/nowhere"), ["error no such room"])

    def test_bad_questions(self):
        for question in ("", "{", "[]", '{"room":7}', '{"room":"R","limit":0}', '{"room":"R","limit":201}',
                         '{"room":"R","before":0}', '{"room":"R","before":-1}', '{"room":"R","after":1.5}',
                         '{"room":"R","after":9223372036854775808}', '{"room":"R","after":1,"before":3}',
                         '{"room":"R","namespace":null}', '{"room":"R","room":"S"}', '{"room":"R"} x'):
            self.assertRegex(self.router.ask("history " + question)[0], "^error expected {", question)
        for question in ("{}", '{"room":""}', '{"room":"\\u0001"}', '{"room":"R","namespace":""}',
                         '{"room":"R","namespace":"x"}'):
            self.assertEqual(self.router.ask("history " + question), ["error no room or namespace can have that name"])
        for question in ('{"room":"\\ud800"}', json.dumps({"room": "x" * 256})):
            self.assertRegex(self.router.ask("history " + question)[0], "^error ")
        self.assertRegex(self.router.ask("history")[0], "^error expected {")

    def test_text_is_kept(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        plain = '{"room" : "R","a":1.50,"b":1e400,"\\u00e4":"\u009b\x7f"} , 18446744073709551616'
        broken = '[1,\r\n2]\n,\t"\\n"'
        for arguments in (plain, broken, ""):
            self.assertTrue(gateway.answer(held.ask("EVENT", ACK, "R", "msg", arguments, ""))["ok"])
        held.publish("msg", "R", {"_placeholder": True, "num": 0}, attachments=[b"\x00\xff"])
        held.publish("msg", "R", {"a": {"_placeholder": True, "num": 1}, "b": {"_placeholder": True, "num": 0}},
                     attachments=[b"", b"xyz" * 1000])
        for start in range(2):  # from memory; from the journal
            lines = self.ask()
            self.assertEqual(len(lines), 6)
            self.assertTrue(lines[0].endswith(',"args":[' + plain + "]}"), lines[0])
            self.assertTrue(lines[1].endswith(',"args":[[1,  2] ,\t"\\n"]}'), lines[1])
            self.assertEqual(json.loads(lines[1])["raw"], f"[{broken}]")
            self.assertTrue(lines[2].endswith(',"args":[]}'), lines[2])
            for line in (lines[0], lines[2]):
                self.assertNotIn('"raw"', line)
                self.assertNotIn('"attachments"', line)
            self.assertEqual(json.loads(lines[3])["attachments"], [base64.b64encode(b"\x00\xff").decode()])
            self.assertEqual(json.loads(lines[4])["attachments"], ["", base64.b64encode(b"xyz" * 1000).decode()])
            self.assertIn('"num":1', lines[4].split(',"args":[')[1].split(',"b"')[0])
            if start == 0:
                self.assertEqual(self.router.stop(), 0)
                self.router.options += ("--recent-max=0",)
                self.router.start()

    def test_large_messages_cut_a_page_short(self):
        held = self.gateway().connect()
        held.join("R")
        fill(held, "R", 1, 12, pad="x" * 100000)
        for start in range(2):  # from memory; from the journal
            self.assertEqual(self.page(), (list(range(8, 13)), True))
            seen, after = [], 0
            while True:
                page, more = self.page(after=after)
                self.assertLess(len(page), 8)
                seen += page
                if not more:
                    break
                after = page[-1]
            self.assertEqual(seen, list(range(1, 13)))
            if start == 0:
                self.assertEqual(self.router.stop(), 0)
                self.router.options += ("--recent-max=0",)
                self.router.start()

    def test_who_hangs_up_is_forgotten(self):
        held = self.gateway().connect()
        held.join("R")
        fill(held, "R", 1, 20)
        self.assertEqual(self.router.stop(), 0)
        self.router.options += ("--recent-max=0",)
        self.router.start()
        for _ in range(10):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(self.router.stats)
                client.sendall(b'history {"room":"R"}\n')
        self.assertEqual(self.page(limit=1), ([20], True))


class QuestionToTheJournal(Question):
    options = ("--recent-max=0",)


class Command(HistoryTest):
    def setUp(self):
        super().setUp()
        self.held = self.gateway().connect()
        self.held.join("R")

    def test_history_as_json(self):
        fill(self.held, "R", 1, 450)
        for arguments, expected in (((), range(401, 451)), (("--limit", "3"), range(448, 451)),
                                    (("--limit", "430"), range(21, 451)), (("--limit=1000",), range(1, 451)),
                                    (("--before", "10"), range(1, 10)), (("--before", "301", "--limit", "250"), range(51, 301)),
                                    (("--before", "1"), ()), (("--after", "0"), range(1, 51)),
                                    (("--after", "100", "--limit", "300"), range(101, 401)), (("--after", "448"), (449, 450)),
                                    (("--after", "450"), ())):
            self.assertEqual(texts(self.lines("history", "R", "--json", *arguments)), list(expected), arguments)

    def test_history_as_text(self):
        self.held.publish("msg", "R", {"room": "R", "text": "hello"}, 2)
        self.held.gateway.answer(self.held.ask("EVENT", ACK, "R", "msg", '"\x7f\u009b2J\u202e \u00fc\U0001f600",\n1e400', ""))
        self.held.publish("msg", "R", {"_placeholder": True, "num": 0}, attachments=[b"x"])
        self.held.gateway.answer(self.held.ask("EVENT", ACK, "R", "msg", "", ""))
        lines = self.lines("history", "R")
        shown = []
        for at, line in enumerate(lines):
            match = re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z #(\d) (\S+) (.*)", line)
            self.assertTrue(match, line)
            self.assertEqual((match[1], match[2]), (str(at + 1), self.held.sender))
            shown.append(match[3])
        self.assertEqual(shown, ['msg {"room":"R","text":"hello"},2',
                                 'msg "\\u007f\\u009b2J\\u202e \u00fc\U0001f600", 1e400',
                                 'msg {"_placeholder":true,"num":0} (1 attachment)', "msg"])

    def test_json_on_a_terminal_is_harmless_and_the_same_value(self):
        text = '"\x7f\u009b2J\u202e"'
        self.held.gateway.answer(self.held.ask("EVENT", ACK, "R", "msg", text, ""))
        main, other = pty.openpty()
        with os.fdopen(main, "rb", buffering=0) as terminal:
            with subprocess.Popen([HUBBUB, "export", "--stats", self.router.stats, "R"], stdout=other) as process:
                os.close(other)
                line = b""
                with contextlib.suppress(OSError):  # the other side is closed
                    while part := terminal.read(65536):
                        line += part
                self.assertEqual(process.wait(PATIENCE), 0)
        self.assertIn(b'"\\u007f\\u009b2J\\u202e"', line)
        self.assertEqual(json.loads(line)["args"], [json.loads(text)])
        self.assertIn("\x7f\u009b2J\u202e", self.lines("export", "R")[0])

    def test_export(self):
        fill(self.held, "R", 1, 450)
        self.held.join("S")
        fill(self.held, "S", 1, 3)
        self.assertEqual(texts(self.lines("export", "R")), list(range(1, 451)))
        self.assertEqual(texts(self.lines("export", "--after", "440", "R")), list(range(441, 451)))
        self.assertEqual(self.lines("export", "R"), self.lines("history", "R", "--json", "--limit", "1000"))
        self.held.join("quiet")
        self.assertEqual(self.lines("export", "quiet"), [])

    def test_room_names(self):
        other = self.held.gateway.connect("/orders-7")
        for room in (ODD_ROOM, "-R", "--follow", " ", "x" * 255, "\u00fc" * 127):
            other.join(room)
            fill(other, room, 1, 2)
            self.assertEqual(texts(self.lines("export", "--namespace", "/orders-7", "--", room)), [1, 2])
            self.assertEqual(len(self.lines("history", "--namespace=/orders-7", "--", room)), 2)

    def test_what_is_not_there(self):
        for name in ("history", "export"):
            code, out, error = self.run_command(name, ODD_ROOM, "--namespace", "/x\u009b")
            self.assertEqual((code, out), (64, ""), error)
            self.assertEqual(error, "hubbub: no room or namespace can have that name\n")
            code, out, error = self.run_command(name, ODD_ROOM)
            self.assertEqual((code, out), (70, ""))
            self.assertEqual(error, "hubbub: no such room: 'a \"room\" \\ with 'quotes' \u00fc\\u2028\\u202e\U0001f600 ' in "
                                    "namespace /\n")
            for arguments, message in (((), "which room?"), (("R", "S"), "unexpected argument 'S'"),
                                       (("R", "--after", "x"), "--after takes the number of a message"),
                                       (("R", "--after", "-1"), "--after takes the number of a message"),
                                       (("R", "--after", "9223372036854775808"), "--after takes the number of a message"),
                                       ((b"\xff",), "a room and a namespace are UTF-8 text"),
                                       (("",), "no room or namespace can have that name"),
                                       (("x" * 300,), "expected {")):
                code, out, error = self.run_command(name, *arguments)
                self.assertEqual((code, out), (64, ""), arguments)
                self.assertIn(message, error)
        for arguments in (("--before", "0"), ("--before", "5", "--after", "3"), ("--before", "5", "--follow"),
                          ("--limit", "0"), ("--limit", "10001"), ("--follow=true",)):
            self.assertEqual(self.run_command("history", "R", *arguments)[0], 64, arguments)
        self.assertEqual(self.router.stop(), 0)
        code, out, error = self.run_command("export", "R")
        self.assertEqual((code, out), (70, ""))
        self.assertRegex(error, "^hubbub: nobody answers at .*\n$")
        self.router.start()

    def test_a_reader_that_goes_away(self):
        fill(self.held, "R", 1, 450, pad="x" * 1000)
        for arguments in (("export", "R"), ("history", "R", "--follow", "--limit", "450")):
            with self.command(*arguments) as process:
                self.assertTrue(process.stdout.readline())
                process.stdout.close()
                self.assertEqual(process.wait(PATIENCE), -signal.SIGPIPE, arguments)
                self.assertEqual(complaints(process.stderr.read()), "")

    def test_output_that_fails(self):
        fill(self.held, "R", 1, 3)
        with open("/dev/full", "wb") as full:
            done = subprocess.run([HUBBUB, "export", "--stats", self.router.stats, "R"], stdout=full, stderr=subprocess.PIPE,
                                  timeout=PATIENCE)
        self.assertEqual(done.returncode, 70)
        self.assertRegex(complaints(done.stderr), "^hubbub: cannot write: No space left on device\n$")

    def test_an_export_that_loses_the_router(self):
        fill(self.held, "R", 1, 450, pad="x" * 1000)
        with self.command("export", "R") as process:
            lines = [process.stdout.readline()]
            self.router.kill()
            lines += process.stdout.readlines()
            error = process.stderr.read()
            self.assertEqual(process.wait(PATIENCE), 70)
        seen = texts(lines)
        self.assertEqual(seen, list(range(1, len(seen) + 1)))
        self.assertLess(len(seen), 450)
        self.assertRegex(complaints(error), f"^hubbub: .*; go on with --after {len(seen)}\n$")
        self.router.start()
        self.assertEqual(texts(self.lines("export", "R", "--after", str(len(seen)))), list(range(len(seen) + 1, 451)))


class Full(unittest.TestCase):
    """A router whose places are all taken, played by the test: it says so to who comes, and hangs up on it."""

    def answer_all(self, client):
        client.settimeout(PATIENCE)
        with client, client.makefile("rb") as questions:
            for _ in questions:
                client.sendall(b'{"seq":1,"args":[{"text":1}]}\n{"more":false}\n\n')

    def test_a_place_is_waited_for(self):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="hubbub-router-"))
        listener = self.enterContext(socket.socket(socket.AF_UNIX))
        listener.settimeout(PATIENCE)
        listener.bind(f"{folder}/stats")
        listener.listen()
        for arguments in (("export", "R"), ("history", "R", "--json")):
            with subprocess.Popen([HUBBUB, *arguments, "--stats", f"{folder}/stats"], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE) as process:
                self.addCleanup(process.kill)
                for is_read in (False, True):
                    client, _ = listener.accept()
                    with client:
                        client.settimeout(PATIENCE)
                        if is_read:
                            self.assertTrue(client.recv(65536))
                        client.sendall(b"error busy: too many ask at once\n\n")
                self.answer_all(listener.accept()[0])
                out, error = process.communicate(timeout=PATIENCE)
            self.assertEqual((process.returncode, texts(out.splitlines()), complaints(error)), (0, [1], ""))


class Follow(HistoryTest):
    def setUp(self):
        super().setUp()
        self.held = self.gateway().connect()
        self.held.join("R")

    def follow(self, *arguments):
        process = self.command("history", "--follow", "--json", *arguments)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def read(self, process, count):
        deadline = threading.Timer(PATIENCE, process.kill)
        deadline.start()
        lines = [process.stdout.readline() for _ in range(count)]
        deadline.cancel()
        return texts(lines)

    def complaint(self, process):
        """The next line of its complaints."""
        while line := process.stderr.readline():
            if complaints(line):
                return line.decode()
        return ""

    def test_what_comes_and_a_restart(self):
        fill(self.held, "R", 1, 300)
        process = self.follow("R", "--limit", "2")
        self.assertEqual(self.read(process, 2), [299, 300])
        fill(self.held, "R", 301, 303)
        self.assertEqual(self.read(process, 3), [301, 302, 303])
        fill(self.held, "R", 304, 800)
        self.assertEqual(self.read(process, 497), list(range(304, 801)))
        self.router.kill()
        self.assertEqual(self.complaint(process), "hubbub: the router does not answer; waiting for it\n")
        self.router.start()
        self.held.gateway.go_live()
        fill(self.held, "R", 801, 803)
        self.assertEqual(self.read(process, 3), [801, 802, 803])
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(PATIENCE), 0)
        self.assertEqual((process.stdout.read(), complaints(process.stderr.read())), (b"", ""))

    def test_from_a_number_on(self):
        fill(self.held, "R", 1, 450)
        process = self.follow("R", "--after", "100")
        self.assertEqual(self.read(process, 350), list(range(101, 451)))
        fill(self.held, "R", 451, 452)
        self.assertEqual(self.read(process, 2), [451, 452])
        process.terminate()
        self.assertEqual(process.wait(PATIENCE), 0)

    def test_a_room_that_is_not_there_yet(self):
        process = self.follow("later")
        self.assertEqual(self.complaint(process), "hubbub: no room 'later' in namespace / yet; waiting for it\n")
        self.held.join("later")
        fill(self.held, "later", 1, 2)
        self.assertEqual(self.read(process, 2), [1, 2])

    def test_many_followers_leave_room_for_others(self):
        fill(self.held, "R", 1, 1)
        followers = [self.follow("R") for _ in range(24)]
        for process in followers:
            self.assertEqual(self.read(process, 1), [1])
        fill(self.held, "R", 2, 2)
        for process in followers:
            self.assertEqual(self.read(process, 1), [2])

    def test_a_reader_that_goes_away_while_nothing_happens(self):
        fill(self.held, "R", 1, 1)
        process = self.follow("R")
        self.assertEqual(self.read(process, 1), [1])
        process.stdout.close()
        self.assertEqual(process.wait(PATIENCE), -signal.SIGPIPE)


if __name__ == "__main__":
    unittest.main()
