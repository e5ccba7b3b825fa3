#!/usr/bin/env python3
"""Rooms in the router alone, driven over ZeroMQ by played gateways: docs/protocol.md, section 2.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import json
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import ACK, NAMESPACE, VOLATILE, WATCHERS, RouterTest, kind, payloads  # noqa: E402


class Rooms(RouterTest):
    def test_a_first_hello_is_welcomed(self):
        gateway = self.gateway(live=False)
        welcome = gateway.go_live()
        self.assertRegex(welcome.epoch, r"^[A-Za-z0-9_-]{8}$")
        self.assertEqual((welcome.head, welcome.resume, gateway.pos), (0, 1, 0))

    def test_connect(self):
        gateway = self.gateway()
        first, second = gateway.connect(), gateway.connect()
        self.assertRegex(first.sid, r"^[A-Za-z0-9_-]{20}$")
        self.assertEqual(first.sender, "anon:" + first.sid)
        self.assertNotEqual(first.sid, second.sid)
        gateway.ask("CONNECT", 99, "/nowhere", "", "")
        refused = gateway.take("REFUSED")
        self.assertEqual((refused.socket, json.loads(refused.error)), (99, {"message": "Invalid namespace"}))

    def test_connect_joins_rooms_first(self):
        gateway = self.gateway()
        held = gateway.connect(auth=json.dumps({"token": "x", "join": ["a", {"room": "b"}, "", 7, "bad\x01", "a"]}))
        joined = [gateway.take("JOINED"), gateway.take("JOINED")]
        self.assertEqual([(record.request, record.room) for record in joined], [(0, "a"), (0, "b")])
        self.assertIn(["JOINED", "JOINED", "CONNECTED"], [batch[-3:] for batch in gateway.batches])
        self.assertTrue(held.say("a", "hello")["ok"])
        self.assertTrue(held.say("b", "hello")["ok"])
        self.assertEqual(self.router.metric("hubbub_joins_skipped_total"), 4)

    def test_messages_reach_the_room_on_all_gateways_and_nobody_else(self):
        one, two, three = self.gateway("g1"), self.gateway("g2"), self.gateway("g3")
        alice, bob, carol = one.connect(), two.connect(), three.connect()
        self.assertEqual(alice.join("R"), {"ok": True, "room": "R", "seq": 0, "members": 1})
        self.assertEqual(bob.join("R"), {"ok": True, "room": "R", "seq": 0, "members": 2})
        carol.join("S")
        request = alice.start("msg", "R", [{"room": "R", "n": 1.50, "t": "\u00fc\"\\"}, [2]])
        answer = one.answer(request)
        self.assertEqual({"ok": True, "id": f"{one.incarnation:x}-{request:x}", "seq": 1, "at": answer["at"]}, answer)
        self.assertLess(abs(answer["at"] / 1000 - time.time()), 60)
        for gateway in (one, two):
            record = gateway.take("DELIVER")
            self.assertEqual((record.pos, record.namespace, record.room, record.flags, record.except_socket),
                             (1, "/", "R", 0, 0))
            self.assertEqual(json.loads(record.payload),
                             ["msg", {"room": "R", "n": 1.5, "t": "\u00fc\"\\"}, [2],
                              {"room": "R", "seq": 1, "id": answer["id"], "from": alice.sender, "at": answer["at"]},
                              f"{one.epoch}.1"])
        carol.say("S", "x")
        self.assertEqual([record.room for record in three.records if kind(record) == "DELIVER"], ["S"])

    def test_arguments_are_passed_on_byte_for_byte(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        arguments = '{"room" : "R","a":1e2,"b":"\\u00e4"} , 1.0'
        gateway.answer(held.ask("EVENT", ACK, "R", "plain", arguments, ""))
        self.assertEqual(gateway.take("DELIVER").payload, f'["plain",{arguments},"{gateway.epoch}.1"]')
        gateway.answer(held.ask("EVENT", ACK, "R", "plain", "", ""))
        self.assertEqual(gateway.take("DELIVER").payload, f'["plain","{gateway.epoch}.2"]')
        self.assertEqual([row["arguments"] for row in self.router.rows()], [arguments, ""])

    def test_the_answer_comes_before_the_delivery(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        for flags, expected in ((ACK, "ANSWER"), (0, "DONE")):
            gateway.records.clear()
            held.start("msg", "R", [{"room": "R"}], flags=flags)
            gateway.take("DELIVER")
            self.assertIn(expected, gateway.batches[-1])
            self.assertLess(gateway.batches[-1].index(expected), gateway.batches[-1].index("DELIVER"))

    def test_order_and_numbers(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        members = [one.connect(), two.connect(), one.connect(), two.connect()]
        for member in members:
            member.join("R")
            member.join("S")
        requests = [[] for _ in members]
        for count in range(200):
            at = count % len(members)
            requests[at].append(members[at].start("msg", "RS"[count % 3 == 0], [{"room": "R", "text": count}]))
        answers = [members[at].gateway.answer(request) for at in range(len(members)) for request in requests[at]]
        self.assertTrue(all(answer["ok"] for answer in answers))
        seen = []
        for gateway in (one, two):
            gateway.settle()
            seen.append([(record.pos, record.room, json.loads(record.payload)[2]["seq"])
                         for record in gateway.records if kind(record) == "DELIVER"])
        self.assertEqual(seen[0], seen[1])
        self.assertEqual([pos for pos, _, _ in seen[0]], list(range(1, 201)))
        for room in "RS":
            numbers = [seq for _, where, seq in seen[0] if where == room]
            self.assertEqual(numbers, list(range(1, len(numbers) + 1)))

    def test_an_event_may_follow_its_join_at_once(self):
        gateway = self.gateway()
        held = gateway.connect()
        join, first = gateway.request + 1, gateway.request + 2
        gateway.request += 4
        gateway.send(("JOIN", join, held.number, "R", 5, 0),
                     ("EVENT", first, held.number, ACK, "R", "msg", '{"room":"R"}', ""),
                     ("PRESENCE", first + 1, held.number, "R"),
                     ("LEAVE", first + 2, held.number, "R"))
        order = [gateway.next() for _ in range(5)]
        self.assertEqual([kind(record) for record in order], ["JOINED", "ANSWER", "DELIVER", "ANSWER", "LEFT"])
        self.assertEqual(json.loads(order[0].answer),
                         {"ok": True, "room": "R", "seq": 0, "members": 1, "history": [], "more": False})
        self.assertTrue(json.loads(order[1].answer)["ok"])
        self.assertEqual(json.loads(order[3].answer), {"ok": True, "room": "R", "members": 1})
        self.refused(held.say("R", "late"), "not_joined")

    def test_join_twice_and_leave(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect(), two.connect()
        alice.join("R")
        joined_pos = alice.rooms["R"][0]
        bob.join("R")
        bob.say("R", "x")
        self.assertEqual(alice.join("R"), {"ok": True, "room": "R", "seq": 1, "members": 2})
        self.assertEqual(alice.rooms["R"][0], joined_pos)
        self.assertEqual(alice.answer("LEAVE", "R"), {"ok": True, "room": "R"})
        self.assertEqual(alice.answer("LEAVE", "R"), {"ok": True, "room": "R"})
        self.assertEqual(bob.answer("PRESENCE", "R"), {"ok": True, "room": "R", "members": 1})
        bob.say("R", "y")
        one.settle()
        self.assertEqual(len(payloads(one.records)), 1)
        two.send(("DISCONNECT", bob.number, "transport close"))
        self.until(lambda: self.router.statistics()["members"] == 0, "the socket is still a member")

    def test_a_clients_id_counts_once(self):
        gateway = self.gateway()
        alice, bob = gateway.connect(), gateway.connect()
        for held in (alice, bob):
            held.join("R")
            held.join("S")
        first = alice.say("R", "x", client_id="12345678")
        self.assertEqual(first["id"], "12345678")
        self.assertEqual(alice.say("R", "x", client_id="12345678"), first)
        self.assertEqual(bob.say("R", "x", client_id="12345678"), first)
        self.assertEqual(alice.say("S", "x", client_id="12345678")["seq"], 1)
        self.assertEqual(alice.say("R", "y", client_id="1234567\u00e9")["seq"], 2)
        gateway.settle()
        self.assertEqual(len(payloads(gateway.records)), 3)
        self.assertEqual(self.router.metric("hubbub_repeated_total"), 2)

    def test_volatile_events(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect(), two.connect()
        alice.join("R")
        bob.join("R")
        alice.say("R", "x")
        self.assertEqual(alice.publish("typing", "R", {"room": "R"}), {"ok": True})
        record = one.take("DELIVER", where=lambda record: record.flags)
        self.assertEqual((record.flags, record.except_socket, record.pos), (VOLATILE, alice.number, 1))
        record = two.take("DELIVER", where=lambda record: record.flags)
        self.assertEqual((record.flags, record.except_socket, record.pos), (VOLATILE, 0, 1))
        payload = json.loads(record.payload)
        self.assertEqual(payload, ["typing", {"room": "R"}, {"room": "R", "from": alice.sender, "at": payload[2]["at"]},
                                   f"{two.epoch}.1"])
        self.assertEqual(len(self.router.rows()), 1)

    def test_a_volatile_event_does_not_overtake(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        gateway.request += 2
        gateway.send(("EVENT", gateway.request - 1, held.number, ACK, "R", "msg", '{"room":"R"}', ""),
                     ("EVENT", gateway.request, held.number, ACK, "R", "typing", '{"room":"R"}', ""))
        self.assertEqual([gateway.take("DELIVER").flags for _ in range(2)], [0, VOLATILE])

    def test_the_other_ways_to_deliver(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect(), two.connect()
        stranger = two.connect()
        alice.join("R")
        bob.join("R")
        self.assertEqual(alice.publish("logged", "R", {"room": "R"}), {"ok": True})
        logged = json.loads(two.take("DELIVER").payload)
        self.assertEqual(sorted(logged[2]), ["at", "from", "id", "room"])
        self.assertEqual(alice.publish("others", "R", {"room": "R"})["seq"], 1)
        self.assertEqual(one.take("DELIVER", where=lambda record: record.pos == 2).except_socket, alice.number)
        self.assertEqual(two.take("DELIVER", where=lambda record: record.pos == 2).except_socket, 0)
        self.assertEqual(alice.publish("self", "R", {"room": "R"})["seq"], 2)
        emitted = one.take("EMIT")
        self.assertEqual((emitted.socket, json.loads(emitted.payload)[0], one.pos), (alice.number, "self", 3))
        self.assertEqual(stranger.publish("all", "", {"n": 1}), {"ok": True})
        for gateway in (one, two):
            record = gateway.take("DELIVER", where=lambda record: record.flags & NAMESPACE)
            self.assertEqual((record.room, record.pos, json.loads(record.payload)),
                             ("", 4, ["all", {"n": 1}, f"{one.epoch}.4"]))
        self.assertEqual([(row["seq"], row["class"], row["deliver"]) for row in self.router.rows()],
                         [(0, 2, 0), (1, 1, 1), (2, 1, 2), (0, 2, 3)])

    def test_refusals(self):
        gateway = self.gateway()
        held, other = gateway.connect(), gateway.connect()
        held.join("R")
        self.refused(held.publish("nothing", "R", {}), "unknown_event")
        self.refused(held.publish("msg", "S", {}), "not_joined")
        self.refused(held.publish("msg", "", {}), "bad_room")
        self.refused(held.publish("msg", "a\x7fb", {}), "bad_room")
        self.refused(held.publish("msg", "x" * 256, {}), "bad_room")
        self.refused(held.say("R", "x", client_id="short"), "bad_request")
        self.refused(held.say("R", "x", client_id="1234567\n"), "bad_request")
        self.refused(held.say("R", "x", client_id="x" * 65), "bad_request")
        self.refused(held.say("R", "x" * 1048576), "too_large")
        self.refused(held.answer("JOIN", "", 0, 0), "bad_room")
        self.refused(held.answer("JOIN", other.sid, 0, 0), "bad_room")
        self.refused(held.answer("LEAVE", "\x01"), "bad_room")
        self.refused(held.answer("PRESENCE", "S"), "not_joined")
        self.refused(held.history("S"), "not_joined")
        self.refused(held.history("\x01"), "bad_room")
        self.refused(held.history("R", before=5, after=2), "bad_request")
        for count in range(127):
            held.join(f"room {count}")
        self.refused(held.answer("JOIN", "one too many", 0, 0), "bad_request")
        self.refused(gateway.answer(gateway.ask("EVENT", 4711, ACK, "R", "msg", "", "")), "not_joined")
        self.assertEqual(self.router.rows(), [])
        refused = self.router.statistics()["refused"]
        self.assertEqual(refused, {"unknown_event": 1, "not_joined": 4, "bad_room": 7, "bad_request": 5,
                                   "too_large": 1})

    def test_a_refusal_without_acknowledgement(self):
        gateway = self.gateway()
        held = gateway.connect()
        requests = [gateway.request + at for at in range(1, 9)]
        gateway.request = requests[-1]  # in one batch, which no time passes in
        gateway.send(*(("EVENT", request, held.number, 0, "R", "msg", "{}", "") for request in requests))
        done = []
        while len(done) < len(requests):
            done += gateway.take("DONE").requests
        self.assertEqual(done, requests)
        errors = [record for record in gateway.records if kind(record) == "EMIT"]
        payload = json.loads(errors[0].payload)
        self.assertEqual((errors[0].socket, payload[0], payload[1]["event"], payload[1]["error"]["code"], payload[2]),
                         (held.number, "hubbub:error", "msg", "not_joined", f"{gateway.epoch}.0"))
        self.assertEqual(len(errors), 5)
        self.assertEqual(self.router.statistics()["dropped"], {"error_rate": 3})

    def test_presence_events(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        watcher, quiet = one.connect(), two.connect()
        started = time.monotonic()
        self.assertEqual(watcher.join("R", watch=1)["members"], 1)
        first = one.take("DELIVER")
        self.assertEqual(first.flags, VOLATILE | WATCHERS)
        self.assertEqual(json.loads(first.payload),
                         ["hubbub:presence", {"room": "R", "members": 1}, f"{one.epoch}.0"])
        told = [1]

        def told_up_to(members):
            while told[-1] != members:
                told.append(json.loads(one.take("DELIVER").payload)[1]["members"])

        for count in range(5):
            two.connect().join("R")
        quiet.join("R")
        told_up_to(7)
        two.send(("BYE", "drain"))
        told_up_to(1)
        # At most one a second, however slowly they came; seven, if each join and the end had its own.
        self.assertGreaterEqual(time.monotonic() - started, (len(told) - 1) * 0.99)
        self.assertEqual(told, sorted(told[:-1]) + [1])
        self.assertEqual(len(set(told)), len(told) - 1)
        self.assertEqual(payloads(two.records), [])
        self.assertEqual(self.router.metric("hubbub_presence_events_total"), len(told))

    def test_a_number_that_comes_back_is_another_socket(self):
        gateway = self.gateway()
        for turn in range(200):  # whether the journal still has the first one's requests is a matter of luck
            first = 10 * turn + 1
            gateway.send(("CONNECT", first, 1, "/", "", ""), ("JOIN", first + 1, 1, "R", turn % 2 * 5, 0),
                         ("EVENT", first + 2, 1, 0, "R", "msg", '{"room":"R"}', ""), ("LEAVE", first + 3, 1, "R"),
                         ("JOIN", first + 4, 1, "R", turn % 2 * 5, 1), ("HISTORY", first + 5, 1, "R", 0, 0, 0, 5),
                         ("PRESENCE", first + 6, 1, "R"), ("DISCONNECT", 1, "gone"))
        gateway.send(("CONNECT", 3000, 1, "/", "", ""))
        gateway.settle()
        self.assertEqual(self.gateway("g2").connect().join("R"), {"ok": True, "room": "R", "seq": 200, "members": 1})
        self.assertEqual(self.router.metric("hubbub_router_malformed_total"), 0)


class Busy(RouterTest):
    options = ("--max-waiting=1",)

    def test_a_full_queue_refuses(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        first = gateway.request + 1
        gateway.request += 20
        gateway.send(*(("EVENT", first + at, held.number, ACK, "R", "msg", '{"room":"R"}', "") for at in range(18)),
                     ("JOIN", first + 18, held.number, "S", 0, 0), ("LEAVE", first + 19, held.number, "R"))
        answers = [gateway.answer(first + at) for at in range(20)]
        self.assertTrue(answers[0]["ok"])
        for answer in answers[1:]:
            self.refused(answer, "busy")
        self.assertTrue(held.say("R", "x")["ok"])
        self.assertEqual(len(self.router.rows()), 2)


if __name__ == "__main__":
    unittest.main()
