#!/usr/bin/env python3
"""Messages leave the journal: what the router's keys say of it, and what clients and gateways see.

The router alone, with gateways that this file plays.  HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import RouterTest, texts  # noqa: E402

EVENTS = """
events = (
  { name = "msg";  room = "$.room"; deliver = "room"; archive = true; },
  { name = "note"; room = "$.room"; deliver = "room"; }
);
"""


class Retention(RouterTest):
    options = ("--retention-messages=100", "--recovery-window=50", "--recovery-margin=50")
    configuration = EVENTS

    def removed(self, count):
        self.until(lambda: self.router.metric("hubbub_journal_removed_total") >= count, f"{count} were not removed")

    def fill(self, held, room, first, last):
        for at in range(first, last + 1):
            held.publish("note", room, {"text": f"note {at}"})
            self.assertEqual(held.publish("msg", room, {"text": at})["seq"], at)

    def test_the_newest_stay(self):
        held = self.gateway().connect()
        held.join("R")
        self.fill(held, "R", 1, 250)
        self.removed(150)
        self.router.stop()  # memory has them all
        self.router.start()
        held = self.gateway("g2").connect()
        held.join("R")
        for fields, first, last in ((dict(after=0, limit=10), 151, 160), (dict(before=200, limit=200), 151, 199),
                                    (dict(limit=50), 201, 250)):
            page = held.history("R", **fields)["messages"]
            self.assertEqual([message["seq"] for message in page], list(range(first, last + 1)))
        self.assertEqual(held.history("R", before=151)["messages"], [])
        self.assertEqual(held.history("R", before=20)["messages"], [])
        self.fill(held, "R", 251, 300)
        self.removed(200)
        self.until(lambda: all(row["class"] == 1 for row in self.router.rows()), "notes stay")
        self.assertEqual([row["seq"] for row in self.router.rows()], list(range(201, 301)))

    def test_a_room_that_lost_all_goes_on_counting(self):
        held = self.gateway().connect()
        held.join("old")
        held.join("new")
        self.fill(held, "old", 1, 5)
        self.fill(held, "new", 1, 100)
        self.removed(5)
        self.router.stop()
        self.router.start()
        held = self.gateway("g2").connect()
        held.join("old")
        self.assertEqual(held.history("old")["messages"], [])
        self.assertEqual(held.publish("msg", "old", {"text": "again"})["seq"], 6)
        self.assertEqual(texts(held.history("old", after=0)["messages"]), ["again"])

    def test_a_gateway_from_long_ago_starts_afresh(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        self.fill(held, "R", 1, 5)
        long_ago = gateway.pos
        self.fill(held, "R", 6, 30)
        self.until(lambda: self.router.statistics()["journal"]["tail"] > long_ago + 10, "no note was removed")
        self.router.stop()  # and its memory
        self.router.start()
        gateway.pos = long_ago
        self.assertEqual(gateway.go_live().resume, 0)
        self.assertIn("the journal does not go back that far", self.router.log())


if __name__ == "__main__":
    unittest.main()
