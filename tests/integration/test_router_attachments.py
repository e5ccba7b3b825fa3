#!/usr/bin/env python3
"""Events with attachments at the router, driven by played gateways: docs/protocol.md, section 2.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import json
import pathlib
import sys
import unittest

import msgpack

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import ACK, NAMESPACE, VOLATILE, RouterTest, kind, payloads  # noqa: E402


def placeholder(num):
    return {"_placeholder": True, "num": num}


def filled(value, attachments):
    """What a client makes of a binary packet."""
    if isinstance(value, dict):
        if value.get("_placeholder") is True:
            return attachments[value["num"]]
        return {key: filled(one, attachments) for key, one in value.items()}
    return [filled(one, attachments) for one in value] if isinstance(value, list) else value


class Attachments(RouterTest):
    """By way of the router's memory."""

    def binary_answer(self, gateway, request):
        """The acknowledgement as a client reads it, and how many attachments it has."""
        record = gateway.take("ANSWER", "JOINED", where=lambda record: record.request == request)
        self.assertLessEqual(len(record.attachments), 10)
        answer = json.loads(record.answer)
        return (filled(answer, record.attachments) if record.attachments else answer), len(record.attachments)

    def page(self, held, room, before=0, after=None, limit=0):
        return self.binary_answer(held.gateway,
                                  held.ask("HISTORY", room, before, int(after is not None), after or 0, limit))

    def fill(self, held, *messages):
        """Publishes messages: lists of arguments behind the one with the room, and attachments."""
        for arguments, attachments in messages:
            answer = held.publish("msg", "R", {"room": "R"}, *arguments, attachments=attachments)
            self.assertTrue(answer["ok"], answer)

    def between(self, *gateways):
        """Stands between writing and reading; the gateways have a link afterwards."""

    def test_members_get_them_as_they_came(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect(), two.connect()
        alice.join("R")
        bob.join("R")
        attachments = [b"", b"\0\xff" * 100000, b"unused"]
        answer = alice.publish("msg", "R", {"room": "R", "deep": [placeholder(1)]}, placeholder(0), placeholder(1),
                               attachments=attachments)
        self.assertEqual((answer["ok"], answer["seq"]), (True, 1))
        for gateway in (one, two):
            record = gateway.take("DELIVER")
            self.assertEqual(record.attachments, attachments)
            payload = json.loads(record.payload)
            self.assertEqual(payload[:4], ["msg", {"room": "R", "deep": [placeholder(1)]}, placeholder(0), placeholder(1)])
            self.assertEqual(payload[4]["seq"], 1)
        row, = self.router.rows()
        self.assertEqual(msgpack.unpackb(row["attachments"]), attachments)
        self.assertEqual(json.loads(f"[{row['arguments']}]"), payload[1:4])

    def test_events_without_any_have_no_such_field(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        held.publish("msg", "R", {"room": "R"}, placeholder(3))
        record = gateway.take("DELIVER")
        self.assertEqual((record.attachments, json.loads(record.payload)[2]), ([], placeholder(3)))
        self.assertIsNone(self.router.rows()[0]["attachments"])

    def test_every_way_to_deliver(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect(), two.connect()
        alice.join("R")
        bob.join("R")
        for event, room, flags in (("logged", "R", 0), ("others", "R", 0), ("all", "", NAMESPACE), ("typing", "R", VOLATILE)):
            self.assertTrue(alice.publish(event, room, {"room": "R", "data": placeholder(0)}, attachments=[event.encode()])["ok"])
            for gateway in (one, two):
                record = gateway.take("DELIVER")
                self.assertEqual((record.flags, record.attachments), (flags, [event.encode()]))
                if event == "others":
                    self.assertEqual(record.except_socket, alice.number if gateway is one else 0)
        self.assertTrue(alice.publish("self", "R", {"room": "R"}, placeholder(0), attachments=[b"own"])["ok"])
        self.assertEqual(one.take("EMIT").attachments, [b"own"])
        two.settle()
        self.assertNotIn("EMIT", [kind(record) for record in two.records])

    def test_a_volatile_event_behind_a_message(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        gateway.request += 2
        gateway.send(("EVENT", gateway.request - 1, held.number, ACK, "R", "msg", '{"room":"R"}', "", [b"first"]),
                     ("EVENT", gateway.request, held.number, ACK, "R", "typing", '{"room":"R"}', "", [b"second"]))
        self.assertEqual([(record.flags, record.attachments) for record in (gateway.take("DELIVER"), gateway.take("DELIVER"))],
                         [(0, [b"first"]), (VOLATILE, [b"second"])])
        self.assertEqual([msgpack.unpackb(row["attachments"]) for row in self.router.rows()], [[b"first"]])

    def test_a_repeated_id(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect(), two.connect()
        alice.join("R")
        bob.join("R")
        first = alice.publish("msg", "R", {"room": "R", "id": "only-once", "data": placeholder(0)}, client_id="only-once",
                              attachments=[b"first"])
        self.assertEqual(two.take("DELIVER").attachments, [b"first"])
        for attachments in ([b"first"], [b"other", b"ones"], ()):
            self.assertEqual(bob.publish("msg", "R", {"room": "R", "id": "only-once"}, client_id="only-once",
                                         attachments=attachments), first)
        two.settle()
        self.assertEqual(payloads(two.records), [])
        self.assertEqual(len(self.router.rows()), 1)

    def test_they_count_for_what_an_event_may_be(self):
        held = self.gateway().connect()
        held.join("R")
        self.refused(held.publish("msg", "R", {"room": "R"}, attachments=[b"x" * 524288, b"x" * 524288]), "too_large")
        self.refused(held.publish("msg", "R", {"room": "R"}, "x" * 524288, attachments=[b"x" * 524288]), "too_large")
        self.refused(held.publish("msg", "R", {"room": "R"}, attachments=[b""] * 11), "too_large")
        self.assertTrue(held.publish("msg", "R", {"room": "R"}, attachments=[b"x" * 524288, b"x" * 524000])["ok"])
        self.assertEqual(len(self.router.rows()), 1)

    def test_a_field_that_is_no_list_of_bytes_is_malformed(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        for wrong in (7, "text", [1], [b"a", None], [[b"a"]], {"a": b"b"}):
            held.gateway.send(("EVENT", 99, held.number, ACK, "R", "msg", '{"room":"R"}', "", wrong))
            gateway.take("RESYNC")
            self.assertEqual(gateway.go_live().resume, 1)
        self.assertEqual(self.router.rows(), [])

    def test_pages(self):
        held = self.gateway().connect()
        held.join("R")
        self.fill(held, ([placeholder(1), placeholder(0)], [b"1a", b"1b"]), (["two"], []),
                  ([[placeholder(0)], placeholder(0)], [b"3"]), (["four"], [b"unused"]), ([placeholder(0)], [b""]))
        self.between(held.gateway)
        expected = [[b"1b", b"1a"], ["two"], [[b"3"], b"3"], ["four"], [b""]]

        def shown(messages):
            return [message["args"][1:] for message in messages]

        for arguments, first, last, count in ((dict(), 0, 5, 5), (dict(limit=2), 3, 5, 2), (dict(before=3), 0, 2, 2),
                                              (dict(after=1, limit=1), 1, 2, 0), (dict(after=0), 0, 5, 5),
                                              (dict(after=2, limit=2), 2, 4, 2)):
            page, attachments = self.page(held, "R", **arguments)
            self.assertEqual((shown(page["messages"]), attachments), (expected[first:last], count), arguments)
            self.assertEqual([message["seq"] for message in page["messages"]], list(range(first + 1, last + 1)))
        for history, first, count in ((5, 0, 5), (3, 2, 3), (1, 4, 1)):
            answer, attachments = self.binary_answer(held.gateway, held.ask("JOIN", "R", history, 0))
            self.assertEqual((shown(answer["history"]), attachments, answer["seq"]), (expected[first:], count, 5))

    def test_a_page_ends_before_the_eleventh_attachment(self):
        held = self.gateway().connect()
        held.join("R")
        self.fill(held, *([([placeholder(3), {"n": n}], [b"%d" % n, b"", b"", b"last %d" % n]) for n in range(1, 6)]))
        self.between(held.gateway)
        seqs = lambda messages: [message["seq"] for message in messages]
        for arguments, expected, more in ((dict(), [4, 5], True), (dict(before=4), [2, 3], True), (dict(before=2), [1], False),
                                          (dict(after=0), [1, 2], True), (dict(after=2), [3, 4], True), (dict(after=4), [5], False)):
            page, attachments = self.page(held, "R", **arguments)
            self.assertEqual((seqs(page["messages"]), page["more"], attachments), (expected, more, 4 * len(expected)), arguments)
            self.assertEqual([message["args"][1] for message in page["messages"]], [b"last %d" % seq for seq in expected])
        answer, attachments = self.binary_answer(held.gateway, held.ask("JOIN", "R", 50, 0))
        self.assertEqual((seqs(answer["history"]), answer["more"], answer["seq"], attachments), ([4, 5], True, 5, 8))
        walked, before = [], 0
        while not walked or page["more"]:
            page, _ = self.page(held, "R", before=before)
            walked = seqs(page["messages"]) + walked
            before = walked[0]
        self.assertEqual(walked, [1, 2, 3, 4, 5])

    def test_what_only_looks_like_a_placeholder_stands_in_a_page_of_its_own(self):
        held = self.gateway().connect()
        held.join("R")
        self.fill(held, ([placeholder(0)], []), ([placeholder(0)], [b"two"]), (["three"], []),
                  ([{"deep": [placeholder(7)]}], []), ([placeholder(0)], [b"five"]))
        self.between(held.gateway)
        pages = {}
        for arguments, expected in ((dict(), [5]), (dict(before=5), [3, 4]), (dict(before=4), [2, 3]), (dict(before=3), [2]),
                                    (dict(after=0), [1]), (dict(after=1), [2, 3]), (dict(after=2), [3, 4]), (dict(after=4), [5])):
            page, attachments = self.page(held, "R", **arguments)
            self.assertEqual([message["seq"] for message in page["messages"]], expected, arguments)
            self.assertEqual(attachments, len({2, 5} & set(expected)))
            pages.update({message["seq"]: message["args"][1:] for message in page["messages"]})
        self.assertEqual(pages, {1: [placeholder(0)], 2: [b"two"], 3: ["three"], 4: [{"deep": [placeholder(7)]}], 5: [b"five"]})

    def test_large_ones_cut_a_page_short(self):
        held = self.gateway().connect()
        held.join("R")
        self.fill(held, *([([placeholder(0)], [b"x" * 200000])] * 5))
        self.between(held.gateway)
        page, attachments = self.page(held, "R")
        self.assertEqual(([message["seq"] for message in page["messages"]], page["more"], attachments), ([4, 5], True, 2))

    def test_a_new_link_gets_them(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect(), two.connect()
        alice.join("R")
        bob.join("R")
        two.settle()
        two.close()
        for event, room in (("msg", "R"), ("logged", "R"), ("others", "R"), ("all", ""), ("self", "R")):
            self.assertTrue(alice.publish(event, room, {"room": "R"}, placeholder(0), attachments=[event.encode(), b""])["ok"])
        one.pos = 0
        self.between()
        for gateway, events in ((one, ["msg", "logged", "others", "all", "self"]), (two, ["msg", "logged", "others", "all"])):
            self.assertEqual(gateway.go_live().resume, 1)
            got = [record for record in gateway.before_live if kind(record) in ("DELIVER", "EMIT")]
            self.assertEqual([(json.loads(record.payload)[0], record.attachments) for record in got],
                             [(event, [event.encode(), b""]) for event in events])

    def test_they_count_for_what_is_replayed(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        self.fill(held, *([([placeholder(0)], [b"x" * 1000000])] * 17))
        gateway.pos = 0
        self.between()
        self.assertEqual(gateway.go_live().resume, 0)


class AttachmentsFromTheJournal(Attachments):
    """The same with no messages in memory."""
    options = ("--recent-max=0",)


class AttachmentsAfterARestart(Attachments):
    """The same, read back by another router."""

    def between(self, *gateways):
        self.router.kill()
        self.router.start()
        for gateway in gateways:
            gateway.go_live()


if __name__ == "__main__":
    unittest.main()
