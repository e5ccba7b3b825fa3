#!/usr/bin/env python3
"""Namespaces that come from patterns, in the router alone: who shares what, how long they last, and how many.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import EVENTS, NAMESPACE, RouterTest, Socket, kind, payloads  # noqa: E402

RULES = EVENTS.replace("events =", "").strip().rstrip(";")
CONFIGURATION = f"""
namespaces = (
  {{ pattern = "/orders-*"; events = {RULES}; }},
  {{ pattern = "/*-*"; builtin = false; recovery = false;
     events = ({{ name = "all"; deliver = "namespace"; archive = false; meta = false; }}); }},
  {{ name = "/"; }},
  {{ name = "/orders-fixed"; recovery = false; }}
);
"""


class Patterns(RouterTest):
    configuration = CONFIGURATION

    def namespaces(self):
        return self.router.metric("hubbub_namespaces")

    def refusal(self, gateway, name):
        request = gateway.ask("CONNECT", 1000, name, "", "")
        refused = gateway.take("REFUSED", where=lambda record: record.request == request)
        return json.loads(refused.error)["message"]

    def leave(self, held):
        held.gateway.send(("DISCONNECT", held.number, "client_disconnect"))
        del held.gateway.held[held.number]
        held.gateway.settle()

    def test_each_has_its_own_rooms_and_numbers(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob, carol = one.connect("/orders-1"), two.connect("/orders-1"), two.connect("/orders-2")
        for held in (alice, bob, carol):
            held.join("R")
        self.assertEqual([held.answer("PRESENCE", "R")["members"] for held in (alice, bob, carol)], [2, 2, 1])
        self.assertEqual(carol.say("R", "x")["seq"], 1)
        self.assertEqual(alice.say("R", "y")["seq"], 1)
        self.assertEqual(bob.say("R", "z")["seq"], 2)
        for gateway in (one, two):
            gateway.settle()
        delivered = {gateway.name: [(record.namespace, json.loads(record.payload)[1]["text"])
                                    for record in gateway.records if kind(record) == "DELIVER"]
                     for gateway in (one, two)}
        self.assertEqual(delivered, {"g1": [("/orders-1", "y"), ("/orders-1", "z")],
                                     "g2": [("/orders-2", "x"), ("/orders-1", "y"), ("/orders-1", "z")]})
        self.assertEqual([(row["namespace"], row["seq"]) for row in self.router.rows()],
                         [("/orders-2", 1), ("/orders-1", 1), ("/orders-1", 2)])
        rooms = json.loads(self.router.ask("rooms json")[0])["rooms"]
        self.assertEqual([(room["namespace"], room["members"], room["gateways"], room["seq"], room["name"]) for room in rooms],
                         [("/orders-1", 2, 2, 2, "R"), ("/orders-2", 1, 1, 1, "R")])

    def test_each_has_the_keys_and_rules_of_its_entry(self):
        gateway = self.gateway()
        order, fixed, other = (gateway.connect(name) for name in ("/orders-1", "/orders-fixed", "/a-b"))
        for held in (order, fixed):
            held.join("R")
            held.say("R", "x")
            payload = payloads([gateway.take("DELIVER")])[0]
            self.assertEqual(isinstance(payload[-1], str), held is order, payload)  # the offset
        self.refused(other.answer("JOIN", "R", 0, 0), "unknown_event")
        self.refused(other.publish("msg", "R", {"room": "R"}), "unknown_event")
        self.assertTrue(other.publish("all", "", 5)["ok"])
        self.assertEqual(gateway.take("DELIVER").payload, '["all",5]')

    def test_an_event_for_the_namespace_goes_where_it_has_sockets(self):
        one, two, three = self.gateway("g1"), self.gateway("g2"), self.gateway("g3")
        first, second, elsewhere = one.connect("/a-1"), two.connect("/a-1"), three.connect("/a-2")
        self.assertTrue(first.publish("all", "", "x")["ok"])
        for gateway in (one, two):
            record = gateway.take("DELIVER")
            self.assertEqual((record.namespace, record.flags, record.payload), ("/a-1", NAMESPACE, '["all","x"]'))
        self.leave(second)
        self.assertTrue(first.publish("all", "", "y")["ok"])
        self.assertEqual(one.take("DELIVER").payload, '["all","y"]')
        self.assertTrue(elsewhere.publish("all", "", "z")["ok"])
        self.assertEqual(three.take("DELIVER").payload, '["all","z"]')
        for gateway in (one, two, three):
            gateway.settle()
            self.assertEqual(payloads(gateway.records), [])

    def test_what_is_not_served(self):
        gateway = self.gateway()
        for name in ("/orders-", "/orders-1/2", "/orders-1?x=1", "/orders", "", "orders-1", "/orders-1,", "/orders-\n",
                     "/orders-\u0085", "/orders-" + "x" * 248):
            self.assertEqual(self.refusal(gateway, name), "Invalid namespace", name)
        self.assertEqual(self.refusal(gateway, b"/orders-\xff"), "Invalid namespace")
        self.assertEqual(gateway.connect("/orders-" + "x" * 247).namespace, "/orders-" + "x" * 247)

    def test_it_goes_when_nobody_uses_it(self):
        gateway = self.gateway()
        self.assertEqual(self.namespaces(), 2)
        held = [gateway.connect(f"/orders-{at}") for at in range(5)]
        held.append(gateway.connect("/orders-0"))
        held[0].join("R")
        self.assertEqual(self.namespaces(), 7)
        for each in held:
            self.leave(each)
        self.assertEqual(self.namespaces(), 2)
        self.assertEqual(self.refusal(gateway, "/nothing"), "Invalid namespace")
        self.assertEqual(self.namespaces(), 2)

    def test_history_of_one_that_was_gone(self):
        gateway = self.gateway()
        held = gateway.connect("/orders-17")
        held.join("R")
        for count in range(3):
            held.say("R", count)
        self.leave(held)
        for restart in (False, True):
            if restart:
                self.router.kill()
                self.router.start()
                gateway.go_live()
            held = gateway.connect("/orders-17")
            self.assertEqual(held.join("R", history=2)["seq"], 3)
            self.assertEqual([message["seq"] for message in held.history("R")["messages"]], [1, 2, 3])
            self.leave(held)
        other = gateway.connect("/orders-18")
        self.assertEqual((other.join("R")["seq"], other.history("R")["messages"]), (0, []))

    def test_sockets_come_back_after_a_restart(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect("/orders-1"), two.connect("/orders-1")
        alice.join("R")
        bob.join("R")
        for count in range(4):
            alice.say("R", count)
        for gateway in (one, two):
            gateway.settle()
        self.router.kill()
        self.router.start()
        two.pos = 2
        self.assertEqual((one.go_live().resume, two.go_live().resume), (1, 1))
        self.assertEqual([(record.namespace, record.pos) for record in two.before_live], [("/orders-1", 3), ("/orders-1", 4)])
        self.assertEqual(bob.answer("PRESENCE", "R")["members"], 2)
        self.assertEqual(alice.say("R", "after")["seq"], 5)
        self.assertEqual(two.take("DELIVER", where=lambda record: record.pos == 5).namespace, "/orders-1")
        self.assertEqual(self.namespaces(), 3)


class PatternsFromTheJournal(Patterns):
    """With nothing kept in memory."""
    options = ("--recent-max=0",)


class Limit(RouterTest):
    configuration = CONFIGURATION
    options = ("--max-pattern-namespaces=2",)

    refusal = Patterns.refusal
    leave = Patterns.leave
    namespaces = Patterns.namespaces

    def test_namespaces_of_patterns_are_bounded(self):
        gateway, other = self.gateway("g1"), self.gateway("g2")
        first, second = gateway.connect("/orders-1"), gateway.connect("/a-2")
        self.assertEqual(self.refusal(gateway, "/orders-3"), "Too many namespaces")
        self.assertEqual(self.refusal(other, "/orders-3"), "Too many namespaces")
        self.assertEqual(self.router.metric("hubbub_namespaces_refused_total"), 2)
        again = other.connect("/orders-1")
        self.assertTrue(other.connect("/").sid)
        self.assertTrue(other.connect("/orders-fixed").sid)
        first.join("R")
        self.assertTrue(first.say("R", "kept in memory")["ok"])
        self.leave(first)
        self.assertEqual(self.refusal(gateway, "/orders-3"), "Too many namespaces")
        self.leave(again)
        self.assertTrue(gateway.connect("/orders-3").sid)  # what only memory holds does not count
        self.assertEqual(self.refusal(gateway, "/orders-1"), "Too many namespaces")
        self.leave(second)
        self.assertTrue(gateway.connect("/orders-1").sid)

    def test_a_hello_beyond_the_limit_loses_sockets_and_no_more(self):
        gateway = self.gateway()
        held = [gateway.connect(name) for name in ("/orders-1", "/orders-2", "/")]
        for each in held[:2]:
            each.join("R")
        self.assertEqual(self.router.stop(), 0)
        self.router.options = (self.router.options[0], "--max-pattern-namespaces=1")
        self.router.start()
        gateway.go_live()
        closed = gateway.take("CLOSE")
        self.assertEqual((closed.socket, closed.final), (held[1].number, 0))
        self.assertEqual(self.router.statistics()["members"], 1)
        self.assertTrue(held[0].say("R", "x")["ok"])

    def test_sockets_of_a_name_that_is_no_longer_served_are_closed(self):
        gateway = self.gateway()
        strange = Socket(gateway, 7, "/orders-1/2")
        strange.sid, strange.rooms = "s" * 20, {"R": (0, 0)}
        gateway.held = {7: strange}
        gateway.go_live()
        self.assertEqual(gateway.take("CLOSE").socket, 7)
        self.assertEqual(self.namespaces(), 2)


if __name__ == "__main__":
    unittest.main()
