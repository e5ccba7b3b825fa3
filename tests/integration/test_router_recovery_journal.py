#!/usr/bin/env python3
"""What recovery reads from the journal, and what the journal keeps no longer, driven over ZeroMQ by played gateways.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import EVENTS, REPLAY, kind  # noqa: E402
from recovery_test import RecoveryTest, said  # noqa: E402


class FromTheJournal(RecoveryTest):
    options = ("--recent-max=2000",)
    configuration = (EVENTS.rstrip().removesuffix(");") + ', { name = "echo"; deliver = "self"; }, '
                     '{ name = "whisper"; room = "$.room"; deliver = "self"; });')

    def test_what_memory_lacks_is_read(self):
        one, two, alice, bob = self.pair("R", "S")
        bob.join("T")
        one.lose(alice)
        for at in range(40):
            bob.say("RST"[at % 3], f"{at}")
        bob.publish("logged", "R", {"text": "logged"})
        bob.publish("others", "R", {"text": "others"})
        bob.publish("self", "R", {"text": "for bob"})
        bob.publish("all", "", {"text": "all"})
        again = two.come_back(alice.pid, self.offset(4))
        self.went_on(again, alice)
        self.assertEqual(said(again.replayed),
                         [f"{at}" for at in range(4, 40) if at % 3 < 2] + ["logged", "others", "all"])
        self.assertGreater(self.router.metric("hubbub_journal_rows_read_total"), 0)

    def test_what_is_its_own_is_read(self):
        one, two, alice, bob = self.pair("R")
        alice.publish("self", "R", {"text": "archived"})
        alice.publish("echo", "", {"text": "of no room"})
        alice.publish("others", "R", {"text": "for others"})
        one.lose(alice)
        bob.publish("echo", "", {"text": "for bob"})
        for _ in range(5):  # so that memory knows no more of what was of no room
            bob.publish("self", "R", {"text": "for bob"})
        self.assertEqual(said(two.come_back(alice.pid).replayed), ["archived", "of no room"])

    def test_what_was_for_itself_in_a_room_that_it_left_is_read(self):
        one, two, alice, bob = self.pair("R")
        alice.publish("self", "R", {"text": "archived"})
        alice.publish("whisper", "R", {"text": "logged"})
        self.assertTrue(alice.answer("LEAVE", "R")["ok"])
        one.lose(alice)
        for at in range(10):
            bob.say("R", f"{at}")
        self.until(lambda: self.router.statistics()["journal"]["unindexed"] == 0, "the index pass did not come")
        for at in range(2):
            with self.subTest(restarted=at):
                again = two.come_back(alice.pid)
                self.assertEqual((again.recovered, said(again.replayed)), (1, ["archived", "logged"]))
            self.restart()
            two.held = {}
            two.go_live()

    def test_too_many_to_read(self):
        one, two, alice, bob = self.pair("R")
        one.lose(alice)
        for at in range(1001):
            bob.start("msg", "R", [{"room": "R", "text": f"{at}"}], flags=0)
        self.assertTrue(bob.say("R", "last")["ok"])
        self.is_fresh(two.come_back(alice.pid), alice, "too_many")

    def test_what_the_journal_keeps_no_longer(self):
        one, two, alice, bob = self.pair("R")
        one.lose(alice)
        for at in range(10):
            bob.say("R", f"{at}")
        self.router.stop()
        self.sql("INSERT OR REPLACE INTO meta VALUES ('logged_from', 5)")
        self.router.start()
        two.held = {}
        two.go_live()
        self.is_fresh(two.come_back(alice.pid), alice, "unreadable")

    def test_no_hole_and_no_repeat_while_others_publish(self):
        one, two, alice, bob = self.pair("R")
        one.lose(alice)
        published = 0
        for turn in range(20):
            for _ in range(10):
                bob.start("msg", "R", [{"room": "R", "text": f"{published}"}], flags=0)
                published += 1
            two.ask("CONNECT", 100 + turn, "/", json.dumps({"pid": alice.pid}), "")
            for _ in range(10):
                bob.start("msg", "R", [{"room": "R", "text": f"{published}"}], flags=0)
                published += 1
            two.take("CONNECTED", where=lambda record: record.socket == 100 + turn)
            bob.say("R", f"{published}")
            published += 1
            seen, joined = [], False
            for record in two.records:
                if kind(record) == "EMIT" and record.socket == 100 + turn:
                    self.assertEqual(record.flags, REPLAY)
                    seen.append(json.loads(record.payload))
                elif kind(record) == "JOINED" and record.socket == 100 + turn:
                    self.assertEqual(record.joined_pos, len(seen))
                    joined = True
                elif kind(record) == "DELIVER" and joined:
                    seen.append(json.loads(record.payload))
            self.assertEqual(said(seen), [f"{at}" for at in range(published)])
            two.send(("DISCONNECT", 100 + turn, "transport close"))

    def test_a_loss_while_it_is_read(self):
        one, two, alice, bob = self.pair("R")
        one.lose(alice)
        bob.say("R", "a")
        bob.say("R", "b")
        for _ in range(10):
            two.request += 1
            two.send(("CONNECT", two.request, 40 + two.request, "/", json.dumps({"pid": alice.pid}), ""))
            two.send(("DISCONNECT", 40 + two.request, "transport close"))
        two.settle()
        again = two.come_back(alice.pid)
        self.assertEqual((again.recovered, said(again.replayed)), (1, ["a", "b"]))

    def test_a_quiet_room_needs_no_read(self):
        one, two, alice, bob = self.pair("R")
        bob.join("S")
        one.lose(alice)
        for _ in range(5):
            bob.say("S", "x")
        before = self.router.metric("hubbub_journal_rows_read_total")
        self.went_on(two.come_back(alice.pid), alice)
        self.assertEqual(self.router.metric("hubbub_journal_rows_read_total"), before)

    def test_many_at_once(self):
        gateway = self.gateway()
        held = [gateway.connect() for _ in range(300)]
        for each in held:
            each.join("R")
        for at in range(3):
            held[0].say("R", f"{at}")
        self.restart()
        other = self.gateway("g2")
        for at, each in enumerate(held):
            other.ask("CONNECT", 1000 + at, "/", json.dumps({"pid": each.pid}), "")
        for at in range(len(held)):
            self.assertEqual(other.take("CONNECTED", where=lambda record: record.socket == 1000 + at).recovered, 1)
        emits = [record.socket for record in other.records if kind(record) == "EMIT"]
        self.assertEqual(sorted(emits), sorted(list(range(1000, 1300)) * 3))


class BeyondWhatIsKept(RecoveryTest):
    """Logged messages leave when the window and the margin are over, also those that were sent meanwhile."""
    options = ("--recent-max=0", "--recovery-window=6s", "--recovery-margin=1ms")
    configuration = EVENTS.rstrip().removesuffix(");") + ', { name = "hint"; room = "$.room"; deliver = "others"; });'

    def test_who_sent_all_of_it_has_missed_nothing(self):
        one, two, alice, bob = self.pair("R")
        carol = one.connect()
        carol.join("R")
        bob.publish("logged", "R", {"text": "bob's"})
        for at in range(5):
            alice.publish("hint", "R", {"text": f"{at}"})
        self.until(lambda: self.sql("SELECT count(*) FROM message") == [(0,)], "the messages have not left")
        alice.publish("hint", "R", {"text": "last"})
        offset = self.offset(1)
        one.lose(alice)
        one.lose(carol)
        bob.publish("hint", "R", {"text": "missed"})
        again = two.come_back(alice.pid, offset)
        self.assertEqual((again.recovered, said(again.replayed)), (1, ["missed"]))
        # Who was to get what left and does not say so has missed it.
        self.is_fresh(two.come_back(carol.pid, offset), carol, "unreadable")


if __name__ == "__main__":
    unittest.main()
