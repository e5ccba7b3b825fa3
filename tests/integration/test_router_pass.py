#!/usr/bin/env python3
"""What gateways say to each other through the router, driven by played gateways: docs/protocol.md, section 2.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import PATIENCE, RouterTest, kind, number  # noqa: E402

UNKNOWN, AGAIN, QUESTION, ANSWER = 0, 1, 8, 32  # kinds of PASS


def kinds(gateway):
    return [kind(record) for record in gateway.records]


class PassTest(RouterTest):
    def passed(self, gateway, **expected):
        """The oldest PASSED, whose fields are these."""
        record = gateway.take("PASSED")
        self.assertEqual({name: getattr(record, name) for name in expected}, expected)
        return record

    def told(self, gateway, record_kind, *incarnations):
        """Of whom a gateway was told by records of that kind, up to now."""
        gateway.settle()
        told = [record.incarnation for record in gateway.records if kind(record) == record_kind]
        self.assertEqual(told, list(incarnations), f"{record_kind} for {gateway.name}")

    def lose(self, gateway):
        """The router gives up the link, and keeps the gateway."""
        gateway.send_raw(b"nonsense")
        gateway.take("RESYNC")

    def put_behind(self, gateway, sender, payload="x" * 1000):
        """Uses up the gateway's credit; it must acknowledge nothing from its hello on."""
        for _ in range(200):
            if self.router.metric("hubbub_router_links_behind_total"):
                return
            gateway.send()  # it lives
            sender.send(("PASS", gateway.incarnation, 0, ANSWER, "s", payload))
            sender.settle()
        self.fail("the gateway never was behind")


class Passes(PassTest):
    def test_both_ways(self):
        one, two, three = self.gateway("g1"), self.gateway("g2"), self.gateway("g3")
        one.send(("PASS", two.incarnation, 7, QUESTION, "s" * 20, "a question"))
        self.passed(two, incarnation=one.incarnation, number=7, kind=QUESTION, sid="s" * 20, body="a question")
        two.send(("PASS", one.incarnation, 7, ANSWER + 1, "s" * 20, ""))
        self.passed(one, incarnation=two.incarnation, number=7, kind=ANSWER + 1, sid="s" * 20, body="")
        three.settle()
        self.assertNotIn("PASSED", kinds(three))
        self.assertEqual(self.router.metric("hubbub_passes_total{result=passed}"), 2)

    def test_to_oneself(self):
        one = self.gateway()
        one.send(("PASS", one.incarnation, 7, QUESTION, "s", "x"))
        self.passed(one, incarnation=one.incarnation, number=7, kind=QUESTION, sid="s", body="x")

    def test_order_and_size(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        bodies = ["small", "x" * (5 << 20), "y" * (1 << 20), *(str(at) for at in range(500))]
        for at, body in enumerate(bodies):
            one.send(("PASS", two.incarnation, at, QUESTION, "s", body))
        for at, body in enumerate(bodies):
            self.passed(two, number=at, body=body)

    def test_the_routers_own_kinds_break_the_link(self):
        other = self.gateway("other")
        for own in (UNKNOWN, AGAIN, QUESTION - 1):
            gateway = self.gateway("bad")
            gateway.send(("PASS", other.incarnation, 1, own, "s", ""))
            gateway.take("RESYNC")
        self.assertEqual(self.router.metric("hubbub_router_malformed_total"), 3)
        other.settle()
        self.assertNotIn("PASSED", kinds(other))

    def test_only_a_live_gateway_passes(self):
        other = self.gateway("other")
        gateway = self.gateway("early", live=False)
        gateway.open()
        gateway.send(gateway.hello_records()[0], ("PASS", other.incarnation, 1, QUESTION, "s", ""))
        gateway.take("RESYNC")


class YoungRouter(PassTest):
    options = ("--dead=10min",)

    def test_a_gateway_that_it_does_not_know_may_be_yet_to_come(self):
        one = self.gateway()
        absent = number()
        one.send(("PASS", absent, 7, QUESTION, "s" * 20, "body"))
        self.passed(one, incarnation=absent, number=7, kind=AGAIN, sid="s" * 20, body="")
        one.send(("PASS", absent, 8, ANSWER - 1, "", ""))
        self.passed(one, incarnation=absent, number=8, kind=AGAIN, sid="", body="")
        self.assertEqual(self.router.metric("hubbub_passes_total{result=again}"), 2)

    def test_an_answer_for_nobody_is_dropped(self):
        one = self.gateway()
        one.send(("PASS", number(), 7, ANSWER, "s", "body"))
        one.settle()
        self.assertNotIn("PASSED", kinds(one))
        self.assertEqual(self.router.statistics()["dropped"], {"pass_unreachable": 1})


class OldRouter(PassTest):
    """As old as a silent gateway may get."""
    options = ("--heartbeat=100", "--dead=3s", "--max-unacknowledged=65536", "--resync-max=65536")

    def setUp(self):
        super().setUp()
        self.one = self.gateway("g1")
        deadline = time.monotonic() + PATIENCE
        while (first := self.asked(number())) == AGAIN:
            self.assertLess(time.monotonic(), deadline)
            self.one.read(0.05)
        self.assertEqual(first, UNKNOWN)

    def asked(self, incarnation):
        """The router's word about a question to that gateway."""
        self.one.send(("PASS", incarnation, 9, QUESTION, "s" * 20, "body"))
        return self.passed(self.one, incarnation=incarnation, number=9, sid="s" * 20, body="").kind

    def test_a_lost_gateway_is_waited_for_until_it_is_given_up(self):
        two = self.gateway("g2")
        self.lose(two)
        self.assertEqual(self.asked(two.incarnation), AGAIN)
        self.until(lambda: self.asked(two.incarnation) == UNKNOWN, "the gateway is not given up")
        self.assertEqual(self.router.metric("hubbub_router_gateways_dead_total"), 1)
        self.told(self.one, "GONE", two.incarnation)
        two.go_live()
        self.one.send(("PASS", two.incarnation, 1, QUESTION, "s", ""))
        self.passed(two, incarnation=self.one.incarnation)

    def test_a_gateway_that_says_hello_is_waited_for(self):
        two = self.gateway("g2", live=False)
        two.open()
        first, *others = two.hello_records()
        two.send(first)
        self.until(lambda: self.asked(two.incarnation) == AGAIN, "its hello did not come")
        two.send(*others)
        two.take("LIVE")
        self.one.send(("PASS", two.incarnation, 1, QUESTION, "s", ""))
        self.passed(two, incarnation=self.one.incarnation)

    def test_nothing_is_queued_for_a_gateway_behind(self):
        two = self.gateway("g2", live=False)
        two.acknowledging = False
        two.go_live()
        self.put_behind(two, self.one)
        dropped = self.router.metric("hubbub_dropped_total{reason=pass_unreachable}")
        self.assertEqual(self.asked(two.incarnation), AGAIN)
        self.one.send(("PASS", two.incarnation, 1, ANSWER, "s", ""))
        self.one.settle()
        self.assertEqual(self.router.metric("hubbub_dropped_total{reason=pass_unreachable}"), dropped + 1)
        two.send(("PASS", self.one.incarnation, 77, QUESTION, "s", "from behind"))
        self.passed(self.one, incarnation=two.incarnation, number=77, body="from behind")
        deadline = time.monotonic() + PATIENCE
        two.acknowledging = True
        while "RESYNC" not in kinds(two):
            self.assertLess(time.monotonic(), deadline)
            self.one.send()
            if two.read(0.1):
                two.send()
        self.assertEqual({record.number for record in two.records if kind(record) == "PASSED"}, {0})
        two.go_live()
        self.one.send(("PASS", two.incarnation, 2, ANSWER, "s", ""))
        self.passed(two, number=2)

    def test_a_gateway_that_said_goodbye_is_unknown_at_once(self):
        two = self.gateway("g2")
        two.send(("BYE", "drain"))
        self.one.take("GONE")
        self.assertEqual(self.asked(two.incarnation), UNKNOWN)


class ComingAndGoing(PassTest):
    def test_a_new_gateway_is_told_to_the_others(self):
        one = self.gateway("g1")
        two = self.gateway("g2")
        three = self.gateway("g3")
        self.told(one, "BACK", two.incarnation, three.incarnation)
        self.told(two, "BACK", three.incarnation)
        self.told(three, "BACK")
        for gateway in (one, two, three):
            self.told(gateway, "GONE")

    def test_a_resync_is_no_end(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        self.told(one, "BACK", two.incarnation)
        self.lose(two)
        self.told(one, "BACK", two.incarnation)
        two.go_live()
        self.told(one, "BACK", two.incarnation, two.incarnation)
        two.go_live()
        self.told(one, "BACK", *[two.incarnation] * 3)
        self.told(one, "GONE")
        self.told(two, "BACK")

    def test_goodbye_and_another_process(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        two.send(("PASS", one.incarnation, 1, QUESTION, "s", "the last word"), ("BYE", "drain"))
        one.take("GONE", where=lambda record: record.incarnation == two.incarnation)
        self.assertEqual(kinds(one)[-1], "PASSED")  # stood before it
        three = self.gateway("g3")
        self.told(one, "BACK", two.incarnation, three.incarnation)
        one.records.clear()
        successor = self.gateway("g3")
        self.assertNotEqual(successor.incarnation, three.incarnation)
        self.told(one, "GONE", three.incarnation)
        self.told(one, "BACK", successor.incarnation)
        self.assertLess(kinds(one).index("GONE"), kinds(one).index("BACK"))
        self.told(successor, "GONE")

    def test_one_that_is_not_live_is_told_nothing(self):
        one, two, three = self.gateway("g1"), self.gateway("g2", live=False), self.gateway("g3")
        two.open()
        first, *others = two.hello_records()
        two.send(first)
        three.send(("BYE", "drain"))
        one.take("GONE")
        two.send(*others)
        two.take("LIVE")
        self.told(two, "GONE")
        self.told(two, "BACK")

    def test_a_hello_that_is_none_is_no_end(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        two.open()
        two.send(two.hello_records()[0], ("HELLO_END", 5))
        two.take("RESYNC")
        two.go_live()
        self.told(one, "GONE")
        self.told(one, "BACK", two.incarnation, two.incarnation)

    def test_the_routers_end_is_nobody_elses(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        self.assertEqual(self.router.stop(), 0)
        for gateway in (one, two):
            while gateway.read(0.2):
                pass
            self.assertNotIn("GONE", kinds(gateway))


if __name__ == "__main__":
    unittest.main()
