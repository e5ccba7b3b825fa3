#!/usr/bin/env python3
"""Links of gateways to the router alone, driven over ZeroMQ: what begins and ends them, what a new one gets, credit.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import json
import os
import pathlib
import sys
import time
import unittest

import msgpack

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import NAMESPACE, PATIENCE, REPLAY, WATCHERS, RouterTest, Socket, kind  # noqa: E402


class Links(RouterTest):
    def test_a_new_link_gets_what_was_missed(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob, carol = one.connect(), two.connect(), two.connect()
        alice.join("R")
        bob.join("R")
        carol.join("S")
        bob.say("R", "before")
        two.settle()
        two.records.clear()
        two.close()
        for count in range(3):
            alice.say("R", count)
        alice.publish("logged", "R", {"room": "R", "text": "logged"})
        self.assertEqual(two.go_live().resume, 1)
        self.assertEqual([(record.flags, record.pos) for record in two.before_live],
                         [(REPLAY, 2), (REPLAY, 3), (REPLAY, 4), (REPLAY, 5)])
        live = [record for record in one.records if kind(record) == "DELIVER" and record.pos > 1]
        self.assertEqual([record.payload for record in two.before_live], [record.payload for record in live])
        self.assertTrue(carol.say("S", "still a member")["ok"])
        self.assertEqual(self.router.statistics()["sockets"], 3)

    def test_a_lost_answer_is_replayed(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        gateway.settle()
        request = held.start("msg", "R", [{"room": "R", "text": "x"}])
        logged = held.start("logged", "R", [{"room": "R"}])
        self.until(lambda: self.router.statistics()["journal"]["head"] == 2, "not committed")
        gateway.pos = 0
        self.assertEqual(gateway.go_live().resume, 1)
        self.assertEqual([kind(record) for record in gateway.before_live], ["ANSWER", "DELIVER", "ANSWER", "DELIVER"])
        answers = [json.loads(record.answer) for record in gateway.before_live if kind(record) == "ANSWER"]
        self.assertEqual([gateway.before_live[0].request, gateway.before_live[2].request], [request, logged])
        self.assertEqual((answers[0]["seq"], answers[1]), (1, {"ok": True}))

    def test_a_clients_id_answers_no_request_of_a_gateway(self):
        for recent_max in ("16MB", "0"):
            with self.subTest(recent_max=recent_max):
                self.router.stop()
                self.router.options = (*self.router.options, f"--recent-max={recent_max}")
                self.router.start()
                one, two = self.gateway("g1"), self.gateway("g2")
                one.connect().join("R")
                forger = two.connect()
                forger.join("R")
                forged = f"{one.incarnation:x}-{one.request + 1:x}"
                self.assertTrue(forger.say("R", "instead", client_id=forged)["ok"])
                one.go_live()
                self.assertEqual([kind(record) for record in one.before_live], ["DELIVER"])

    def test_the_private_ways_are_replayed_too(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect(), two.connect()
        alice.join("R")
        bob.join("R")
        for event, room in (("self", "R"), ("others", "R"), ("all", "")):
            alice.publish(event, room, {"room": "R"})
        one.pos = two.pos = 0
        one.go_live()
        two.go_live()
        self.assertEqual([(kind(record), record.flags) for record in one.before_live
                          if kind(record) in ("EMIT", "DELIVER")],
                         [("EMIT", REPLAY), ("DELIVER", REPLAY), ("DELIVER", REPLAY | NAMESPACE)])
        self.assertEqual([record.except_socket for record in one.before_live if kind(record) == "DELIVER"],
                         [alice.number, 0])
        self.assertEqual([(kind(record), record.flags) for record in two.before_live],
                         [("DELIVER", REPLAY), ("DELIVER", REPLAY | NAMESPACE)])

    def test_what_can_not_be_replayed(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        held.say("R", "x")
        gateway.pos = 99
        self.assertEqual((gateway.go_live().resume, gateway.pos), (0, 1))
        gateway.epoch = "another0"
        self.assertEqual((gateway.go_live().resume, gateway.pos), (0, 1))
        self.assertTrue(held.say("R", "y")["ok"])

    def test_the_router_restarts(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect(), two.connect()
        alice.join("R", watch=1)
        bob.join("R")
        for count in range(10):
            alice.say("R", count)
        one.settle()
        two.settle()
        epoch, seen = one.epoch, two.pos
        self.router.kill()
        self.router.start()
        self.assertEqual(one.go_live()[:3], (epoch, 10, 1))
        two.pos = 4
        self.assertEqual(two.go_live()[:3], (epoch, 10, 1))
        self.assertEqual(seen, 10)
        self.assertEqual([record.pos for record in two.before_live], list(range(5, 11)))
        self.assertEqual(bob.answer("PRESENCE", "R")["members"], 2)
        self.assertEqual(alice.say("R", "after")["seq"], 11)
        self.assertEqual(two.take("DELIVER").pos, 11)
        presence = one.take("DELIVER", where=lambda record: record.flags & WATCHERS)
        self.assertIn(json.loads(presence.payload)[1]["members"], (1, 2))
        self.assertEqual([row["seq"] for row in self.router.rows()], list(range(1, 12)))

    def test_more_rooms_than_a_lowered_limit_allows_are_kept(self):
        gateway = self.gateway()
        held = gateway.connect()
        for room in "RST":
            held.join(room)
        self.assertEqual(self.router.stop(), 0)
        self.router.options += ("--max-rooms-per-connection=2",)
        self.router.start()
        gateway.go_live()
        self.assertEqual([held.answer("PRESENCE", room)["members"] for room in "RST"], [1, 1, 1])
        self.refused(held.answer("JOIN", "U", 0, 0), "bad_request")

    def test_a_repeated_id_after_a_restart(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        first = held.say("R", "x", client_id="the same id")
        self.router.kill()
        self.router.start()
        gateway.go_live()
        self.assertEqual(held.say("R", "x", client_id="the same id"), first)
        other = gateway.connect()
        other.join("R")
        self.assertEqual(other.say("R", "x", client_id="the same id"), first)
        self.assertEqual(len(self.router.rows()), 1)

    def test_a_silent_gateway_is_given_up(self):
        self.assertEqual(self.router.stop(), 0)
        self.router.options += ("--heartbeat=50", "--dead=3s")
        self.router.start()
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect(), two.connect()
        alice.join("R")
        bob.join("R")
        deadline = time.monotonic() + PATIENCE
        while alice.answer("PRESENCE", "R")["members"] == 2:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        self.assertEqual(self.router.metric("hubbub_router_gateways_dead_total"), 1)
        two.send(("PRESENCE", 1000, bob.number, "R"))
        two.take("RESYNC")
        self.assertEqual(two.go_live().resume, 1)
        self.assertEqual(alice.answer("PRESENCE", "R")["members"], 2)

    def test_heartbeats(self):
        gateway = self.gateway()
        self.assertTrue(gateway.read())
        gateway.send()
        self.assertTrue(gateway.read())

    def test_goodbye(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect(), two.connect()
        alice.join("R")
        bob.join("R")
        two.send(("BYE", "drain"))
        self.until(lambda: self.router.statistics()["gateways"] == 1, "the gateway is still there")
        self.assertEqual(alice.answer("PRESENCE", "R")["members"], 1)

    def test_another_process_takes_over_the_name(self):
        one = self.gateway("g1")
        one.connect().join("R")
        two = self.gateway("g1")
        self.assertEqual(self.router.statistics()["sockets"], 0)
        one.send(("PRESENCE", 1000, 1, "R"))
        one.take("RESYNC")
        self.assertEqual(one.numbers[-1], 0)
        self.assertEqual(two.connect().join("R")["members"], 1)

    def test_malformed_batches(self):
        survivor = self.gateway("survivor")
        other = survivor.connect()
        other.join("R")
        good = [1, 0, 0, 0, []]

        def batch(gateway, *records, **changes):
            fields = dict(version=1, link=gateway.link, number=gateway.sent + 1, acknowledged=gateway.received,
                          records=list(records))
            fields.update(changes)
            return msgpack.packb(list(fields.values()))

        cases = (
            lambda g: b"",
            lambda g: b"\xc1",
            lambda g: b"\xc0" + os.urandom(49),  # no list, which might name another version: that is refused by name
            lambda g: msgpack.packb(good[:4]),
            lambda g: msgpack.packb({"a": 1}),
            lambda g: batch(g, number=g.sent + 2),
            lambda g: batch(g, number=g.sent),
            lambda g: batch(g, link=g.link + 1),
            lambda g: batch(g, acknowledged=1 << 40),
            lambda g: batch(g, "record"),
            lambda g: batch(g, [7, 1]),
            lambda g: batch(g, [7, -1, 1, "R", 0, 0]),
            lambda g: batch(g, [7, 1, 1, ["R"], 0, 0]),
            lambda g: batch(g, [5, 1, 1, "/", "", ""]),  # the socket is connected already
            lambda g: batch(g, [1, g.name, 1, "", 0, 0, ""]),
            lambda g: batch(g, [3, "/", "R", [1, 2]]),
            lambda g: batch(g, [12, ["name"]]),
            lambda g: batch(g, [12, ["name", "value"]]),
            lambda g: batch(g)[:-1],
            lambda g: b"\xdf" + b"\xff" * 40,
        )
        for at, case in enumerate(cases):
            gateway = self.gateway("bad")
            gateway.connect().join("R")
            gateway.send_raw(case(gateway))
            gateway.take("RESYNC")
            self.assertTrue(other.say("R", at)["ok"])
        self.assertEqual(self.router.metric("hubbub_router_malformed_total"), len(cases))
        gateway = self.gateway("bad")
        gateway.dealer.send_multipart([b"", msgpack.packb(good)])
        gateway.take("RESYNC")

    def test_hellos_that_contradict_themselves(self):
        sid = "?" * 20
        for at, records in enumerate((
                [("HELLO_END", 1)],
                [("SOCKET", 1, "/", sid, "", 1), ("SOCKET", 1, "/", "t" * 20, "", 1)],
                [("SOCKET", 0, "/", sid, "", 1)],
                [("SOCKET", 1, "/", "short", "", 1)],
                [("SOCKET", 1, "/", sid, "bad\x01", 1)],
                [("SOCKET", 1, "/", sid, "", 1), ("MEMBERS", "/", "", [1, 0, 0])],
                [("SOCKET", 1, "/", sid, "", 1), ("MEMBERS", "/other", "R", [1, 0, 0])],
                [("SOCKET", 1, "/", sid, "", 1), ("MEMBERS", "/", "R", [1, 0, 0, 1, 0, 0])],
                [("JOIN", 1, 1, "R", 0, 0)])):
            gateway = self.gateway(f"bad-{at}", live=False)
            gateway.open()
            gateway.send(gateway.hello_records()[0],
                         *([f"{at:020}" if field == sid else field for field in record] for record in records))
            gateway.take("RESYNC")
        self.assertEqual(self.router.statistics()["members"], 0)

    def test_sockets_that_can_not_be_kept_are_closed(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice = one.connect()
        alice.join("R")
        strange = Socket(two, 7, "/gone")
        strange.sid, strange.rooms = "s" * 20, {"R": (0, 0)}
        double = Socket(two, 8, "/")
        double.sid = alice.sid
        two.held = {7: strange, 8: double}
        two.go_live()
        self.assertEqual([two.take("CLOSE").socket for _ in range(2)], [7, 8])
        self.assertEqual(self.router.statistics()["members"], 1)
        self.assertTrue(alice.say("R", "x")["ok"])

    def test_two_gateways_of_one_name_are_named_in_the_log(self):
        one = self.gateway("twin")
        two = self.gateway("twin")
        line = next(line for line in self.router.log().splitlines() if "takes over a gateway's name" in line)
        self.assertRegex(line, f"level=warn .*gateway=twin incarnation={two.incarnation:x} address=\\S+:{os.getpid()} "
                               f"former_incarnation={one.incarnation:x} former_address=\\S+:{os.getpid()}$")
        self.assertNotIn("level=error", self.router.log())
        one.close()
        one.go_live()
        two.close()
        two.go_live()
        lines = [line for line in self.router.log().splitlines() if "give each gateway a name of its own" in line]
        self.assertEqual(len(lines), 2, self.router.log())
        self.assertRegex(lines[0], f"level=error .*takeovers=2 incarnation={one.incarnation:x} .* former_incarnation={two.incarnation:x} ")
        self.assertIn("takeovers=3", lines[1])

    def test_strangers_are_told_to_start_anew(self):
        gateway = self.gateway(live=False)
        gateway.open()
        gateway.send(("PRESENCE", 1, 1, "R"))
        gateway.take("RESYNC")
        self.assertEqual(gateway.numbers, [0])
        for _ in range(5):
            gateway.send_raw(b"nonsense")
        gateway = self.gateway("other", live=False)
        gateway.open()
        gateway.send_raw(msgpack.packb([2, 1, 1, 0, []]))
        gateway.sent = 0
        gateway.send(*gateway.hello_records())
        gateway.take("LIVE")
        self.assertEqual(self.router.metric("hubbub_router_versions_total"), 1)
        self.until(lambda: self.router.metric("hubbub_router_strangers_total") == 7, "not seven")  # one of them of another version


class Credit(RouterTest):
    options = ("--max-unacknowledged=65536", "--resync-max=65536", "--heartbeat=100", "--recent-max=16KB")

    def test_a_gateway_behind_is_resynced(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect(), two.connect()
        alice.join("R")
        bob.join("R")
        two.acknowledging = False
        count = 0
        while self.router.metric("hubbub_router_links_behind_total") == 0:
            count += 1
            self.assertLess(count, 200)
            alice.say("R", "x" * 1000)
        for _ in range(3):
            alice.publish("typing", "R", {"room": "R"})
        missed = [alice.say("R", at)["seq"] for at in range(3)]
        self.assertEqual(self.router.statistics()["dropped"], {"gateway_behind": 3})
        two.acknowledging = True
        deadline = time.monotonic() + PATIENCE
        while not any(kind(record) == "RESYNC" for record in two.records):
            self.assertLess(time.monotonic(), deadline)
            if two.read(0.1):
                two.send()
        self.assertLess(two.pos, missed[0])
        self.assertEqual(two.go_live().resume, 1)
        self.assertEqual([json.loads(record.payload)[2]["seq"] for record in two.before_live],
                         list(range(two.before_live[0].pos, missed[-1] + 1)))
        self.assertTrue(bob.say("R", "again")["ok"])
        self.assertEqual(two.take("DELIVER").pos, missed[-1] + 1)

    def test_replay_from_the_journal_and_too_much_of_it(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect(), two.connect()
        alice.join("R")
        bob.join("R")
        two.close()
        for _ in range(40):
            alice.say("R", "x" * 1000)
        self.assertEqual(two.go_live().resume, 1)
        self.assertEqual([record.pos for record in two.before_live], list(range(1, 41)))
        two.close()
        for _ in range(100):
            alice.say("R", "x" * 1000)
        self.assertEqual((two.go_live().resume, two.pos), (0, 140))
        self.assertEqual(self.router.metric("hubbub_router_replays_total{result=impossible}"), 1)


if __name__ == "__main__":
    unittest.main()
