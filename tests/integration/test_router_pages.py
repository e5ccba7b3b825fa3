#!/usr/bin/env python3
"""Pages of a room's history in the router alone, driven over ZeroMQ by played gateways: docs/protocol.md.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import ACK, RouterTest, kind, texts  # noqa: E402


class History(RouterTest):
    def fill(self, held, room, count, pad=""):
        for at in range(count):
            held.start("msg", room, [{"text": at + 1, "pad": pad}], flags=0 if at < count - 1 else ACK)
        self.assertEqual(held.gateway.answer(held.gateway.request)["seq"], count)

    def check_pages(self, held):
        newest = held.history("R")
        self.assertEqual((texts(newest["messages"]), newest["more"]), (list(range(251, 301)), True))
        self.assertEqual((newest["ok"], newest["room"]), (True, "R"))
        message = newest["messages"][-1]
        self.assertEqual(sorted(message), ["args", "at", "event", "from", "id", "seq"])
        self.assertEqual((message["seq"], message["event"]), (300, "msg"))
        for arguments, expected, more in (
                (dict(before=11), list(range(1, 11)), False),
                (dict(before=1), [], False),
                (dict(before=301, limit=3), [298, 299, 300], True),
                (dict(before=5000, limit=2), [299, 300], True),
                (dict(before=4, limit=2), [2, 3], True),
                (dict(after=0, limit=2), [1, 2], True),
                (dict(after=0, limit=500), list(range(1, 201)), True),
                (dict(after=298), [299, 300], False),
                (dict(after=290, limit=4), [291, 292, 293, 294], True),
                (dict(after=300), [], False),
                (dict(after=2 ** 64 - 1), [], False),
                (dict(before=2 ** 64 - 1, limit=1), [300], True)):
            page = held.history("R", **arguments)
            self.assertEqual((texts(page["messages"]), page["more"]), (expected, more), arguments)
        for count, expected, more in ((2, [299, 300], True), (1000, list(range(101, 301)), True)):
            joined = held.join("R", history=count)
            self.assertEqual((texts(joined["history"]), joined["more"], joined["seq"]), (expected, more, 300))

    def test_from_memory(self):
        held = self.gateway().connect()
        held.join("R")
        self.fill(held, "R", 300)
        self.check_pages(held)
        self.assertEqual(self.router.metric("hubbub_history_total{from=journal}"), 0)

    def test_from_memory_after_a_restart(self):
        held = self.gateway("g1").connect()
        held.join("R")
        self.fill(held, "R", 300)
        self.assertEqual(self.router.stop(), 0)
        self.router.start()
        held = self.gateway("g2").connect()
        self.assertEqual(held.join("R")["seq"], 300)
        self.check_pages(held)
        self.assertEqual(self.router.metric("hubbub_history_total{from=journal}"), 0)

    def test_large_messages_cut_a_page_short(self):
        held = self.gateway().connect()
        held.join("R")
        self.fill(held, "R", 12, pad="x" * 100000)
        page = held.history("R")
        self.assertEqual((texts(page["messages"]), page["more"]), (list(range(8, 13)), True))
        page = held.history("R", after=0)
        self.assertEqual((texts(page["messages"]), page["more"]), (list(range(1, 6)), True))
        joined = held.join("R", history=10)
        self.assertEqual((texts(joined["history"]), joined["more"]), (list(range(8, 13)), True))

    def test_logged_and_volatile_events_have_no_place(self):
        held = self.gateway().connect()
        held.join("R")
        for event in ("logged", "msg", "typing", "logged", "msg"):
            held.publish(event, "R", {"text": event})
        self.assertEqual([message["seq"] for message in held.history("R")["messages"]], [1, 2])


class HistoryFromTheJournal(History):
    options = ("--recent-max=0",)

    def test_from_memory(self):
        held = self.gateway().connect()
        held.join("R")
        self.fill(held, "R", 300)
        self.check_pages(held)
        self.assertEqual(self.router.metric("hubbub_history_total{from=memory}"), 3)

    def test_from_memory_after_a_restart(self):
        held = self.gateway("g1").connect()
        held.join("R")
        self.fill(held, "R", 300)
        self.router.kill()
        self.router.start()
        gateway = self.gateways[0]
        self.assertEqual(gateway.go_live().resume, 1)
        self.check_pages(held)

    def test_a_leave_overtakes_no_join_that_waits_for_its_page(self):
        gateway = self.gateway()
        held, other = gateway.connect(), gateway.connect()
        other.join("R")
        self.fill(other, "R", 20)
        for _ in range(20):
            join = gateway.request + 1
            gateway.request += 2
            gateway.send(("JOIN", join, held.number, "R", 10, 0), ("LEAVE", join + 1, held.number, "R"))
            joined = gateway.take("JOINED", "ANSWER", where=lambda record: record.request == join)
            gateway.take("LEFT", where=lambda record: record.request == join + 1)
            self.assertTrue(json.loads(joined.answer)["ok"])
            self.assertEqual(other.answer("PRESENCE", "R")["members"], 1)

    def test_messages_behind_the_page_are_not_missed(self):
        gateway = self.gateway()
        held, other = gateway.connect(), gateway.connect()
        other.join("R")
        self.fill(other, "R", 20)
        for turn in range(20):
            join = gateway.request + 1
            gateway.request += 4
            gateway.records.clear()
            gateway.send(("JOIN", join, held.number, "R", 5, 0),
                         *(("EVENT", join + 1 + at, other.number, ACK, "R", "msg", '{"text":0}', "") for at in range(3)))
            last = gateway.answer(join + 3)["seq"]
            joined = gateway.take("JOINED")
            answer = json.loads(joined.answer)
            shown = [message["seq"] for message in answer["history"]]
            live = [json.loads(record.payload)[-2]["seq"] for record in gateway.records
                    if kind(record) == "DELIVER" and record.pos > joined.joined_pos]
            self.assertEqual(shown[-1], answer["seq"])
            self.assertEqual((shown + live)[-5:], list(range(last - 4, last + 1)))
            held.answer("LEAVE", "R")

    def test_a_room_that_outruns_memory_while_a_join_reads_its_page(self):
        self.assertEqual(self.router.stop(), 0)
        self.router.options += ("--max-history-bytes=64 MB",)
        self.router.start()
        gateway = self.gateway()
        held, other = gateway.connect(), gateway.connect()
        other.join("R")
        self.fill(other, "R", 200, pad="x" * 100000)  # takes far longer to read than three messages to commit
        for turn in range(5):
            join = held.ask("JOIN", "R", 200, 0)
            gateway.settle()  # the page is being read
            for _ in range(3):
                last = other.say("R", 0)["seq"]
            joined = gateway.answer(join)
            self.assertEqual([message["seq"] for message in joined["history"]],
                             list(range(joined["seq"] - 199, joined["seq"] + 1)))
            self.assertIn(joined["seq"], range(last - 3, last + 1))
            self.assertEqual(joined["more"], joined["seq"] > 200)
            held.answer("LEAVE", "R")

    def test_many_sockets_may_ask_at_once(self):
        gateway = self.gateway()
        members = [gateway.connect() for _ in range(300)]
        members[0].join("R")
        self.fill(members[0], "R", 20)
        requests = [member.ask("JOIN", "R", 10, 0) for member in members]
        members[7].gateway.send(("DISCONNECT", members[7].number, ""))
        for at, request in enumerate(requests):
            if at != 7:
                self.assertEqual(texts(gateway.answer(request)["history"]), list(range(11, 21)))
        self.until(lambda: members[0].answer("PRESENCE", "R")["members"] == 299, "the one that left still counts")

    def test_reads_are_bounded(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        self.fill(held, "R", 300)
        first = gateway.request + 1
        gateway.request += 300
        gateway.send(*(("HISTORY", first + at, held.number, "R", 0, 0, 0, 2) for at in range(300)))
        answers = [gateway.answer(first + at) for at in range(300)]
        self.assertTrue(all(answer["ok"] or answer["error"]["code"] == "busy" for answer in answers))
        self.assertTrue(answers[0]["ok"])
        self.assertGreater(len([answer for answer in answers if not answer["ok"]]), 0)
        self.assertTrue(held.history("R")["ok"])


if __name__ == "__main__":
    unittest.main()
