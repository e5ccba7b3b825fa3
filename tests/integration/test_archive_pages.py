#!/usr/bin/env python3
"""Pages of history that lie in MongoDB, wholly or in part: the router, gateways that this file plays, and nx-27017.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from mongodb import NxServer  # noqa: E402
from played_gateway import ACK, EVENTS, PATIENCE, ROOT, RouterTest, texts  # noqa: E402

HUBBUB = pathlib.Path(os.environ.get("HUBBUB_BUILD", ROOT / "build")) / "cli" / "hubbub"


def fill(held, room, first, last, **fields):
    """Publishes the numbers first to last."""
    for at in range(first, last + 1):
        held.start("msg", room, [{"room": room, "text": at, **fields}], flags=ACK if at == last else 0)
    assert held.gateway.answer(held.gateway.request)["ok"]


def expected(count, limit, before=0, after=None):
    """The page of a room of so many messages: (seqs, more)."""
    if after is not None:
        return list(range(after + 1, min(after + limit, count) + 1)), after + limit < count
    last = min(before - 1, count) if before else count
    return list(range(max(1, last - limit + 1), last + 1)), last > limit


class ArchiveTest(RouterTest):
    """Nothing stays in memory, and what is archived may leave the journal at once."""
    configuration = EVENTS
    archive_options = ()

    def setUp(self):
        super().setUp()
        self.server = NxServer(self.folder).start()
        self.addCleanup(self.server.kill)
        self.assertEqual(self.router.stop(), 0)
        self.router.options += (f"--archive={self.server.uri}", "--recent-max=0", "--recovery-window=1",
                                "--recovery-margin=1", "--dead=10 min", *self.archive_options)
        self.router.start()

    def cool(self, keep):
        """All but the newest messages of all rooms leave the journal for the archive."""
        self.assertEqual(self.router.stop(), 0)
        self.router.options = tuple(option for option in self.router.options if not option.startswith("--hot-messages"))
        self.router.options += (f"--hot-messages={keep}",)
        self.router.start()
        for gateway in self.gateways:
            gateway.go_live()
        self.until(lambda: len(self.archived_rows()) <= keep, "messages stay in the journal")

    def archived_rows(self):
        return [row for row in self.router.rows() if row["class"] == 1]


class Seam(ArchiveTest):
    def check(self, held, count, seam):
        for limit in (1, 2, 50, 200):
            for edge in (1, 2, seam - 200, seam - 50, seam - 1, seam, seam + 1, seam + 2, seam + 50, seam + 200, count,
                         count + 1, count + 500):
                for bounds in (dict(before=max(edge, 1)), dict(after=max(edge, 1) - 1)):
                    page = held.history("R", limit=limit, **bounds)
                    self.assertTrue(page["ok"], (bounds, limit, page))
                    self.assertEqual(([message["seq"] for message in page["messages"]], page["more"]),
                                     expected(count, limit, **bounds), (bounds, limit))
                    self.assertEqual(texts(page["messages"]), [message["seq"] for message in page["messages"]])
            page = held.history("R", limit=limit)
            self.assertEqual((texts(page["messages"]), page["more"]), expected(count, limit))

    def test_pages_around_it(self):
        held = self.gateway().connect()
        held.join("S")
        held.join("R")
        fill(held, "S", 1, 20)
        fill(held, "R", 1, 900)
        self.cool(400)
        self.check(held, 900, 500)
        self.assertEqual(texts(held.history("S")["messages"]), list(range(1, 21)))
        self.assertEqual(held.history("S")["more"], False)
        archived = self.router.metric("hubbub_history_total{from=archive}")
        self.assertGreater(archived, 50)
        self.assertEqual(held.history("R", before=800, limit=200)["more"], True)
        self.assertEqual(held.history("R", after=600, limit=200)["more"], True)
        self.assertEqual(held.history("R", after=500, limit=50)["more"], True)
        self.assertEqual(self.router.metric("hubbub_history_total{from=archive}"), archived)

    def test_a_room_that_the_journal_has_no_message_of(self):
        held = self.gateway().connect()
        held.join("R")
        held.join("S")
        fill(held, "R", 1, 300)
        fill(held, "S", 1, 20)
        self.cool(20)
        self.check(held, 300, 250)
        fill(held, "R", 301, 302)
        self.check(held, 302, 300)

    def test_join_with_history(self):
        held, other = self.gateway().connect(), self.gateways[0].connect()
        held.join("R")
        fill(held, "R", 1, 120)
        self.cool(20)
        for count in (1, 19, 20, 21, 50, 120, 200):
            joined = other.join("R", history=count)
            seqs, more = expected(120, count)
            self.assertEqual((texts(joined["history"]), joined["more"], joined["seq"]), (seqs, more, 120), count)
            other.answer("LEAVE", "R")

    def test_a_join_while_the_room_goes_on(self):
        gateway = self.gateway()
        held, other = gateway.connect(), gateway.connect()
        held.join("R")
        fill(held, "R", 1, 120)
        self.cool(20)
        for turn in range(20):
            join = other.ask("JOIN", "R", 200, 0)
            gateway.settle()
            last = held.say("R", 121 + turn)["seq"]
            joined = gateway.answer(join)
            self.assertEqual(texts(joined["history"]), list(range(1, joined["seq"] + 1)))
            self.assertIn(joined["seq"], (last - 1, last))
            self.assertFalse(joined["more"])
            other.answer("LEAVE", "R")

    def test_large_messages_cut_a_page_short(self):
        held = self.gateway().connect()
        held.join("R")
        fill(held, "R", 1, 20, pad="x" * 100000)
        self.cool(10)
        for bounds, seqs, more in (({}, range(16, 21), True), (dict(before=13), range(8, 13), True),
                                   (dict(before=11), range(6, 11), True), (dict(before=6), range(1, 6), False),
                                   (dict(after=0), range(1, 6), True), (dict(after=7), range(8, 13), True),
                                   (dict(after=9), range(10, 15), True), (dict(after=15), range(16, 21), False)):
            page = held.history("R", **bounds)
            self.assertEqual((texts(page["messages"]), page["more"]), (list(seqs), more), bounds)

    def test_text_is_kept(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        arguments = '{"room" : "R","a":1.50,"b":1e400,"\\u00e4":"\u009b"} , 18446744073709551616'
        self.assertTrue(gateway.answer(held.ask("EVENT", ACK, "R", "msg", arguments, ""))["ok"])
        held.publish("msg", "R", {"a": {"_placeholder": True, "num": 0}}, attachments=[b"\x00\xff"])
        self.assertTrue(gateway.answer(held.ask("EVENT", ACK, "R", "plain", "", ""))["ok"])
        request = held.ask("HISTORY", "R", 0, 0, 0, 0)
        before = gateway.take("ANSWER", where=lambda record: record.request == request)
        held.join("S")
        held.say("S", 1)
        self.cool(1)
        request = held.ask("HISTORY", "R", 0, 0, 0, 0)
        after = gateway.take("ANSWER", where=lambda record: record.request == request)
        self.assertIn(arguments, after.answer)
        self.assertEqual((after.answer, after.attachments), (before.answer, before.attachments))
        self.assertEqual(after.attachments, [b"\x00\xff"])

    def test_a_journal_made_anew_beside_the_archive(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        fill(held, "R", 1, 60)
        self.until(lambda: len(self.server.messages()) == 60, "the archive has not got all")
        self.assertEqual(self.router.stop(), 0)
        for file in pathlib.Path(self.router.data).glob("journal.sqlite*"):
            file.unlink()
        self.router.start()
        held = self.gateway("g2").connect()
        self.assertEqual(held.join("R")["seq"], 60)
        self.check(held, 60, 30)
        fill(held, "R", 61, 130)
        self.check(held, 130, 60)
        self.cool(20)
        self.check(held, 130, 110)
        self.assertEqual(len({document["epoch"] for document in self.server.messages()}), 2)

    def test_what_others_put_there_breaks_no_answer(self):
        held = self.gateway().connect()
        held.join("R")
        fill(held, "R", 1, 10)
        self.cool(1)
        with self.server.client() as client:
            whole = client.hubbub.messages.find_one({"room": "R", "seq": 5}, {"_id": 0})
        for field, value in (("raw", '[{"room":}]'), ("raw", "[1]]"), ("raw", "[1],[2]"), ("raw", b'["\xff"]'),
                             ("event", b"\xff"), ("from", b"\xff"), ("id", b"\xff")):
            with self.server.client() as client:
                client.hubbub.messages.update_one({"room": "R", "seq": 5}, {"$set": {field: value}})
            self.refused(held.history("R", before=6, limit=1), "unavailable")
            self.assertEqual(self.router.ask('history {"room":"R","before":6}'), ["error unavailable: the archive can't be read; the router's log says why"])
            self.assertEqual(texts(held.history("R", before=5)["messages"]), [1, 2, 3, 4])
            with self.server.client() as client:
                client.hubbub.messages.update_one({"room": "R", "seq": 5}, {"$set": whole})

    def test_operators_do_not_notice_either(self):
        held = self.gateway().connect()
        held.join("R")
        fill(held, "R", 1, 700)
        before = subprocess.run([HUBBUB, "export", "--stats", self.router.stats, "R"], capture_output=True, timeout=PATIENCE)
        self.cool(200)
        after = subprocess.run([HUBBUB, "export", "--stats", self.router.stats, "R"], capture_output=True, timeout=PATIENCE)
        self.assertEqual((after.returncode, after.stdout, after.stderr), (0, before.stdout, b""))
        self.assertEqual(after.stdout.count(b"\n"), 700)
        newest = subprocess.run([HUBBUB, "history", "--stats", self.router.stats, "R", "--json", "--limit=600"],
                                capture_output=True, timeout=PATIENCE)
        self.assertEqual(newest.stdout.splitlines(), before.stdout.splitlines()[-600:])


class Moving(ArchiveTest):
    archive_options = ("--hot-messages=50",)

    def test_pages_while_messages_leave_the_journal(self):
        """Every page is whole, whatever has left the journal while it was planned and read."""
        gateway = self.gateway()
        held, other = gateway.connect(), gateway.connect()
        held.join("R")
        other.join("R")
        count = 0
        while self.router.statistics()["journal"]["removed"] < 600:
            for _ in range(20):
                count += 1
                request = held.start("msg", "R", [{"text": count}])
            self.assertEqual(gateway.answer(request)["seq"], count)
            for bounds in (dict(before=max(1, count - 40)), dict(after=max(0, count - 80)), dict(after=0), dict()):
                page = other.history("R", limit=60, **bounds)
                self.assertTrue(page["ok"], page)
                self.assertEqual((texts(page["messages"]), page["more"]), expected(count, 60, **bounds), bounds)
        seen, before, more = [], 0, True
        while more:
            page = other.history("R", before=before, limit=200)
            seen = texts(page["messages"]) + seen
            before, more = seen[0], page["more"]
        self.assertEqual(seen, list(range(1, count + 1)))


class Away(ArchiveTest):
    archive_options = ("--archive-timeout=3 s", "--archive-pages=4")

    def setUp(self):
        super().setUp()
        self.held = self.gateway().connect()
        self.held.join("R")
        fill(self.held, "R", 1, 150)
        self.cool(50)

    def check_the_journals_part(self):
        page = self.held.history("R", limit=20)
        self.assertEqual((texts(page["messages"]), page["more"]), (list(range(131, 151)), True))
        page = self.held.history("R", after=100)
        self.assertEqual((texts(page["messages"]), page["more"]), (list(range(101, 151)), False))
        page = self.held.history("R", limit=50)  # only whether there is more has to be asked
        self.assertEqual((texts(page["messages"]), page["more"]), (list(range(101, 151)), True))

    def test_a_server_that_is_gone_and_comes_back(self):
        self.assertEqual(texts(self.held.history("R", before=101, limit=2)["messages"]), [99, 100])
        self.server.kill()
        for bounds in (dict(before=101), dict(after=0), dict(after=99)):
            self.refused(self.held.history("R", **bounds), "unavailable")
        self.check_the_journals_part()
        for bounds in (dict(limit=51), dict(before=151, limit=200)):  # a part of it, and to be gone on from
            page = self.held.history("R", **bounds)
            self.assertEqual((texts(page["messages"]), page["more"]), (list(range(101, 151)), True))
        for bounds in ('"before":101', '"limit":51'):  # operators ask for all or nothing
            self.assertEqual(self.router.ask('history {"room":"R",%s}' % bounds),
                             ["error unavailable: the archive can't be read; the router's log says why"])
        self.assertGreater(self.router.metric("hubbub_history_archive_failed_total"), 4)
        self.assertEqual(self.held.say("R", 151)["seq"], 151)
        self.server.start()
        self.assertEqual(texts(self.held.history("R", before=101, limit=2)["messages"]), [99, 100])
        self.assertEqual(texts(self.held.history("R", after=0, limit=200)["messages"]), list(range(1, 152)))
        log = self.router.log()  # once an outage, not once a page
        self.assertEqual((log.count("the archive can't be read"), log.count("the archive can be read again")), (1, 1))

    def test_a_join_does_with_what_the_journal_has(self):
        other = self.gateways[0].connect()
        self.server.kill()
        answer = other.join("R", history=60)
        self.assertEqual((texts(answer["history"]), answer["more"], answer["members"]), (list(range(101, 151)), True, 2))
        self.assertEqual(len(other.join("R", history=50)["history"]), 50)
        other.answer("LEAVE", "R")
        self.server.start()
        self.assertEqual(texts(other.join("R", history=60)["history"]), list(range(91, 151)))

    def test_a_room_that_has_left_the_journal_can_be_joined(self):
        quiet, other, late = (self.gateways[0].connect() for _ in range(3))
        quiet.join("Q")
        fill(quiet, "Q", 1, 3)
        fill(self.held, "R", 151, 210)
        self.cool(50)
        self.server.kill()
        answer = other.join("Q", history=10)
        self.assertEqual((answer["history"], answer["more"], answer["seq"]), ([], True, 3))
        self.assertEqual(quiet.say("Q", 4)["seq"], 4)
        answer = late.join("Q", history=10)
        self.assertEqual((texts(answer["history"]), answer["more"], answer["seq"]), ([4], True, 4))

    def test_a_server_that_stands_still(self):
        gateway = self.gateways[0]
        self.assertTrue(self.held.history("R", before=101, limit=2)["ok"])  # connected
        self.server.pause()
        try:
            requests = [self.held.ask("HISTORY", "R", 101, 0, 0, 2) for _ in range(6)]
            busy = [gateway.answer(request) for request in requests[4:]]  # at once, before the others
            for answer in busy:
                self.refused(answer, "busy")
            self.check_the_journals_part_but_more()
            self.assertEqual(self.held.say("R", 151)["seq"], 151)
            self.assertFalse([record for record in gateway.records if getattr(record, "request", 0) in requests[:4]])
            for request in requests[:4]:
                self.refused(gateway.answer(request), "unavailable")
        finally:
            self.server.resume()
        self.assertEqual(texts(self.held.history("R", before=101, limit=2)["messages"]), [99, 100])

    def test_operators_are_told_what_they_wait_for(self):
        self.assertTrue(self.held.history("R", before=101, limit=2)["ok"])  # connected
        for stop, go_on in ((self.server.pause, self.server.resume), (self.server.kill, self.server.start)):
            stop()
            asked = subprocess.Popen([HUBBUB, "history", "--stats", self.router.stats, "R", "--json", "--before=101",
                                      "--limit=2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            try:
                said = asked.stderr.readline()
            finally:
                go_on()
            shown, rest = asked.communicate(timeout=PATIENCE)
            self.assertEqual((said, rest, asked.returncode),
                             (b"hubbub: waiting for the archive: MongoDB may be away\n", b"", 0))
            self.assertEqual(shown.count(b"\n"), 2)

    def check_the_journals_part_but_more(self):
        page = self.held.history("R", limit=50)
        self.assertEqual((texts(page["messages"]), page["more"]), (list(range(101, 151)), True))

    def test_who_waits_for_it_may_go(self):
        gateway = self.gateways[0]
        other = gateway.connect()
        self.assertTrue(self.held.history("R", before=101, limit=2)["ok"])
        self.server.pause()
        try:
            other.join("R")
            other.ask("HISTORY", "R", 101, 0, 0, 2)
            join = gateway.connect()
            request = join.ask("JOIN", "R", 60, 0)
            self.assertTrue(gateway.answer(join.ask("LEAVE", "R"))["ok"])
            self.assertEqual(gateway.answer(request)["history"], [])
            gateway.send(("DISCONNECT", other.number, "client_close"))
            self.assertEqual(self.held.answer("PRESENCE", "R")["members"], 1)
        finally:
            self.server.resume()
        self.until(lambda: self.held.history("R", before=101, limit=2)["ok"], "the archive is not read again")

    def test_the_router_ends_while_pages_wait(self):
        self.assertTrue(self.held.history("R", before=101, limit=2)["ok"])
        self.server.pause()
        try:
            self.held.ask("HISTORY", "R", 101, 0, 0, 2)
            self.gateways[0].settle()
            self.assertEqual(self.router.stop(), 0, self.router.log())
        finally:
            self.server.resume()
        self.router.start()


class Draining(ArchiveTest):
    archive_options = ("--archive-timeout=1 min",)

    def setUp(self):
        super().setUp()
        self.held = self.gateway().connect()
        self.held.join("R")
        fill(self.held, "R", 1, 150)
        self.cool(50)

    def stops_in_time(self):
        self.assertEqual(self.router.stop(), 0, self.router.log())
        self.assertNotIn("takes too long", self.router.log())

    def test_it_does_not_wait_for_a_mongodb_that_hangs(self):
        self.assertTrue(self.held.history("R", before=101, limit=2)["ok"])
        self.server.pause()
        try:
            request = self.held.ask("HISTORY", "R", 101, 0, 0, 2)
            self.gateways[0].settle()
            self.stops_in_time()
        finally:
            self.server.resume()
        # The gateway asks again, and gets it.
        self.router.start()
        self.gateways[0].go_live()
        self.gateways[0].send(("HISTORY", request, self.held.number, "R", 101, 0, 0, 2))
        self.assertEqual(texts(self.gateways[0].answer(request)["messages"]), [99, 100])

    def test_it_does_not_wait_for_operators_who_go_on_asking(self):
        def go_on_asking(operator):
            with contextlib.suppress(OSError):
                while True:
                    operator.sendall(b'history {"room":"R","before":101,"limit":50}\n' * 100)

        def take_answers(operator):
            with contextlib.suppress(OSError):
                while operator.recv(65536):
                    pass

        with contextlib.ExitStack() as stack:
            operators = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(8)]
            threads = [threading.Thread(target=does, args=[operator]) for operator in operators
                       for does in (go_on_asking, take_answers)]
            for operator in operators:
                operator.connect(self.router.stats)
            for thread in threads:
                thread.start()
            self.until(lambda: self.router.metric("hubbub_history_shown_total") > 8, "nobody is answered")
            self.stops_in_time()
            for thread in threads:
                thread.join(PATIENCE)


if __name__ == "__main__":
    unittest.main()
