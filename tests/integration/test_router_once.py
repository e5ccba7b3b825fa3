#!/usr/bin/env python3
"""Messages with an id of the client's own count once: what the router answers to the second, and to whom.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""
import json
import pathlib
import resource
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import ACK, PATIENCE, RouterTest, kind, payloads  # noqa: E402


class Once(RouterTest):
    def members(self, room="R"):
        """A member of the room on each of two gateways."""
        held = [self.gateway(name).connect() for name in ("g1", "g2")]
        for one in held:
            one.join(room)
        return held

    def test_sent_on_two_gateways_at_once(self):
        alice, bob = self.members()
        count = 100
        asked = []
        for i in range(count):
            asked.append([one.start("msg", "R", [{"room": "R", "by": one.gateway.name}], client_id=f"message {i:03}")
                          for one in (alice, bob)])
        for i, (first, second) in enumerate(asked):
            answers = [alice.gateway.answer(first), bob.gateway.answer(second)]
            self.assertEqual(answers[0], answers[1])
            self.assertEqual((answers[0]["ok"], answers[0]["id"]), (True, f"message {i:03}"))
        self.assertEqual([row["seq"] for row in self.router.rows()], list(range(1, count + 1)))
        for one in (alice, bob):
            one.gateway.settle()
            self.assertEqual([payload[2]["seq"] for payload in payloads(one.gateway.records)],
                             list(range(1, count + 1)))
        self.assertEqual(self.router.metric("hubbub_repeated_total"), count)

    def test_sent_twice_in_one_batch(self):
        alice, bob = self.members()
        gateway = alice.gateway
        for i in range(20):
            first, second = gateway.request + 1, gateway.request + 2
            gateway.request = second
            gateway.send(*(("EVENT", request, alice.number, ACK, "R", "msg", '{"room":"R"}', f"message {i:03}")
                           for request in (first, second)))
            self.assertEqual(gateway.answer(first), gateway.answer(second))
        self.assertEqual(len(self.router.rows()), 20)
        bob.gateway.settle()
        self.assertEqual(len(payloads(bob.gateway.records)), 20)

    def test_an_id_has_8_to_64_bytes(self):
        alice, _ = self.members()
        accepted = ["12345678", "123456\u00e9", "x" * 64, "\u00e9" * 32, "a b\"\\'/+"]
        refused = ["1234567", "x" * 65, "\u00e9" * 33, "with\nline", "with\u0000zero"]
        for number, client_id in enumerate(accepted, start=1):
            first = alice.say("R", "x", client_id=client_id)
            self.assertEqual((first["ok"], first["id"], first["seq"]), (True, client_id, number))
            self.assertEqual(alice.say("R", "x", client_id=client_id), first)
        for client_id in refused:
            for _ in range(2):
                self.refused(alice.say("R", "x", client_id=client_id), "bad_request")
        self.assertEqual(len(self.router.rows()), len(accepted))

    def test_a_name_counts_in_all_rooms_and_on_all_gateways(self):
        sockets = {}
        for name, sender in (("g1", "alice"), ("g2", "alice"), ("g3", "bob"), ("g4", "")):
            gateway = self.gateway(name)
            sockets[name] = held = gateway.connect()
            held.sender = sender
            for room in "RS":
                held.join(room)
            gateway.go_live()  # its hello says who it is
        first = sockets["g1"].say("R", "x", client_id="the same")
        self.assertEqual((first["ok"], first["seq"]), (True, 1))
        self.assertEqual(sockets["g1"].say("S", "x", client_id="the same"), first)
        self.assertEqual(sockets["g2"].say("R", "x", client_id="the same"), first)
        self.assertEqual(sockets["g3"].say("R", "x", client_id="the same")["seq"], 2)
        self.assertEqual(sockets["g4"].say("R", "x", client_id="the same")["seq"], 3)
        self.assertEqual(sockets["g4"].say("S", "x", client_id="the same")["seq"], 1)
        self.assertEqual([row["sender_name"] for row in self.router.rows()][:2], ["alice", "bob"])

    def test_a_logged_event_with_an_id(self):
        """It has no number, so the answer has none, but it counts once as well."""
        self.assertEqual(self.router.stop(), 0)
        pathlib.Path(self.folder, "conf").write_text(
            'events = ( { name = "msg"; room = "$.room"; dedup = "$.id"; meta = true; } );')
        self.router.start()
        alice, bob = self.members()
        self.assertEqual([one.say("R", "x", client_id="the same") for one in (alice, bob, alice)], [{"ok": True}] * 3)
        self.assertEqual(len(self.router.rows()), 1)

    def test_who_is_not_in_the_room_any_more_gets_the_first_outcome(self):
        """A stock client sends again what it has no answer to before its program can have it join again."""
        alice, bob = self.members()
        first = alice.say("R", "x", client_id="the same")
        again = bob.gateway.connect()
        self.assertEqual(again.say("R", "x", client_id="the same"), first)
        self.refused(again.say("R", "x", client_id="another one"), "not_joined")
        self.refused(again.say("S", "x", client_id="the same"), "not_joined")
        self.refused(again.say("R", "x"), "not_joined")
        again.start("msg", "R", [{"room": "R"}], client_id="another one", flags=0)
        emit = bob.gateway.take("EMIT")
        self.assertEqual((emit.socket, json.loads(emit.payload)[1]["error"]["code"]), (again.number, "not_joined"))
        again.join("R")
        self.assertEqual(again.say("R", "x", client_id="another one")["seq"], 2)
        self.assertEqual(again.say("R", "x", client_id="the same"), first)
        self.assertEqual(len(self.router.rows()), 2)

    def test_the_same_while_the_first_is_on_its_way(self):
        alice, bob = self.members()
        again = alice.gateway.connect()
        gateway = alice.gateway
        for i in range(20):
            first, second = gateway.request + 1, gateway.request + 2
            gateway.request = second
            gateway.send(*(("EVENT", request, socket, ACK, "R", "msg", '{"room":"R"}', f"message {i:03}")
                           for request, socket in ((first, alice.number), (second, again.number))))
            self.assertEqual(gateway.answer(first), gateway.answer(second))
        self.assertEqual(len(self.router.rows()), 20)

    def test_a_router_that_dies_between_commit_and_answer(self):
        self.assertEqual(self.router.stop(), 0)
        self.router.environment = {"HUBBUB_TEST_ABORT_AFTER_COMMITS": "1"}
        self.router.start()
        alice, bob = self.members()
        alice.start("msg", "R", [{"room": "R"}], client_id="the same")
        deadline = time.monotonic() + PATIENCE
        while self.router.process.poll() is None:
            if [record for record in alice.gateway.records if kind(record) == "ANSWER"]:
                self.skipTest("built without test hooks")
            self.assertLess(time.monotonic(), deadline)
            alice.gateway.read(0.05)
        self.router.environment = {}
        self.router.start()
        for one in (alice, bob):
            one.gateway.go_live()
        (row,) = self.router.rows()
        first = bob.say("R", "x", client_id="the same")
        self.assertEqual((first["seq"], first["at"]), (row["seq"], row["at"]))
        self.assertEqual(alice.say("R", "x", client_id="the same"), first)
        self.assertEqual(len(self.router.rows()), 1)

    def test_what_was_refused_for_want_of_space_counts_as_never_sent(self):
        alice, bob = self.members()
        before = resource.prlimit(self.router.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.router.process.pid, resource.RLIMIT_FSIZE, (1 << 20, before[1]))
        accepted = []
        for number in range(2000):
            answer = alice.say("R", "x" * 5000, client_id=f"message {number}")
            if not answer["ok"]:
                break
            accepted.append(answer)
        self.refused(answer, "storage_full")
        refused = f"message {number}"
        self.refused(bob.say("R", "x", client_id=refused), "storage_full")
        self.refused(alice.gateway.connect().say("R", "x", client_id=refused), "not_joined")
        self.assertEqual(bob.say("R", "x", client_id="message 0"), accepted[0])
        resource.prlimit(self.router.process.pid, resource.RLIMIT_FSIZE, before)
        first = bob.say("R", "at last", client_id=refused)
        self.assertEqual((first["ok"], first["seq"]), (True, len(accepted) + 1))
        self.assertEqual(alice.say("R", "again", client_id=refused), first)
        self.assertEqual([row["publish_id"] for row in self.router.rows()],
                         [answer["id"] for answer in accepted] + [refused])


if __name__ == "__main__":
    unittest.main()
