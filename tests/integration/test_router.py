#!/usr/bin/env python3
"""The router alone, driven over ZeroMQ by played gateways: docs/protocol.md, section 2.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import contextlib
import json
import os
import pathlib
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

import msgpack

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import (ACK, NAMESPACE, PATIENCE, REPLAY, VOLATILE, WATCHERS, RouterTest, Socket,  # noqa: E402
                            kind, payloads, texts)


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
        requests = [held.start("msg", "R", [{}], flags=0) for _ in range(8)]
        done = []
        while len(done) < len(requests):
            done += gateway.take("DONE").requests
        self.assertEqual(done, requests)
        errors = [record for record in gateway.records if kind(record) == "EMIT"]
        payload = json.loads(errors[0].payload)
        self.assertEqual((errors[0].socket, payload[0], payload[1]["event"], payload[1]["error"]["code"], payload[2]),
                         (held.number, "hubbub:error", "msg", "not_joined", f"{gateway.epoch}.0"))
        self.assertIn(len(errors), (5, 6))
        self.assertEqual(self.router.statistics()["dropped"], {"error_rate": 8 - len(errors)})

    def test_presence_events(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        watcher, quiet = one.connect(), two.connect()
        self.assertEqual(watcher.join("R", watch=1)["members"], 1)
        first = one.take("DELIVER")
        self.assertEqual(first.flags, VOLATILE | WATCHERS)
        self.assertEqual(json.loads(first.payload),
                         ["hubbub:presence", {"room": "R", "members": 1}, f"{one.epoch}.0"])
        started = time.monotonic()
        for count in range(5):
            two.connect().join("R")
        quiet.join("R")
        self.assertEqual(json.loads(one.take("DELIVER").payload)[1]["members"], 7)
        self.assertGreater(time.monotonic() - started, 0.5)
        two.send(("BYE", "drain"))
        self.assertEqual(json.loads(one.take("DELIVER").payload)[1]["members"], 1)
        self.assertEqual(payloads(two.records), [])
        self.assertEqual(self.router.metric("hubbub_presence_events_total"), 3)

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
        self.router.options += ("--heartbeat=50", "--dead=300")
        self.router.start()
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect(), two.connect()
        alice.join("R")
        bob.join("R")
        deadline = time.monotonic() + PATIENCE
        while alice.answer("PRESENCE", "R")["members"] == 2:
            self.assertLess(time.monotonic(), deadline)
        self.assertEqual(self.router.metric("hubbub_router_gateways_dead_total"), 1)
        two.send(("PRESENCE", 1000, bob.number, "R"))
        two.take("RESYNC")
        self.assertEqual(two.go_live().resume, 1)
        self.assertEqual(alice.answer("PRESENCE", "R")["members"], 2)

    def test_heartbeats(self):
        gateway = self.gateway()
        self.assertTrue(gateway.read(5))
        gateway.send()
        self.assertTrue(gateway.read(5))

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
            lambda g: os.urandom(50),
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
        self.assertEqual(self.router.metric("hubbub_router_strangers_total"), 7)  # one of them of another version


class Credit(RouterTest):
    options = ("--max-unacknowledged=65536", "--resync-max=65536", "--heartbeat=100", "--dead=20s",
               "--recent-max=16KB")

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


class Program(RouterTest):
    def run_router(self, *options):
        return subprocess.run(self.router.command(*options), capture_output=True, text=True, timeout=PATIENCE)

    def test_damage_while_it_serves_ends_it_and_says_what_it_is(self):
        gateway = self.gateway()
        alice, bob = gateway.connect(), gateway.connect()
        alice.join("R")
        alice.say("R", "x")
        gateway.lose(bob)
        self.router.stop()
        with contextlib.closing(sqlite3.connect(f"{self.router.data}/journal.sqlite")) as database:
            database.execute("UPDATE room SET recent = x'80' WHERE name = 'R'")
            database.commit()
        self.router.start()
        gateway.held = {}
        gateway.go_live()
        carol = gateway.connect()
        carol.join("S")
        number, gateway.request = gateway.request, gateway.request + 6
        # The first finds the damage; no other comes back, whatever it is.
        gateway.send(("JOIN", number + 1, carol.number, "R", 0, 0),
                     ("CONNECT", number + 2, 50, "/", json.dumps({"join": ["S", "T"]}), ""),
                     ("CONNECT", number + 3, 51, "/", json.dumps({"pid": bob.pid}), ""),
                     ("EVENT", number + 4, carol.number, ACK, "S", "msg", '{"room":"S"}', ""),
                     ("LEAVE", number + 5, carol.number, "S"), ("PRESENCE", number + 6, carol.number, "S"),
                     ("DISCONNECT", carol.number, "client_disconnect"))
        self.assertEqual(self.router.process.wait(PATIENCE), 70, self.router.log())
        self.assertIn("damaged: a room's counters could not be read", self.router.log())
        self.assertNotIn("not an error", self.router.log())

    def test_stats(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        held.say("R", "x")
        gateway.send(("STATISTICS", ["hubbub_connections", 3, "hubbub_closed_total{reason=slow_reader}", 2,
                                     "hubbub_refused_total{code=unavailable}", 4, "hubbub_origins_refused_total", 5,
                                     "hubbub_address_refused_total{limit=connects_per_second}", 6,
                                     "hubbub_refused_total{code=token_expired}", 7,
                                     "hubbub_config_reloads_total{result=failed}", 8]))
        gateway.settle()
        text = dict(line.split(" ", 1) for line in self.router.ask("stats")[0].split("\n"))
        for key, value in (("gateways", "1"), ("connections", "3"), ("sockets", "1"), ("rooms", "1"), ("members", "1"),
                           ("messages.in.total", "1"), ("journal.head", "1"), ("journal.waiting", "0"),
                           ("closed.slow_reader", "2"), ("refused.unavailable", "4"), ("refused.not_joined", "1"),
                           ("turned_away.origins", "5"), ("turned_away.connects_per_second", "6"),
                           ("turned_away.max_connections", "0"), ("turned_away.token_expired", "7"),
                           ("reloads.gateways.failed", "8"), ("reloads.gateways.ok", "0"),
                           ("epoch", gateway.epoch), ("journal.storage_full", "false")):
            self.assertEqual(text[key], value, key)
        for key in ("messages.in.per_second", "messages.out.per_second", "journal.commit_ms.average",
                    "uptime_seconds", "version", "recent.bytes", "journal.unindexed"):
            self.assertIn(key, text)
        document = self.router.statistics()
        self.assertEqual((document["journal"]["head"], document["closed"]), (1, {"slow_reader": 2}))
        self.assertEqual(document["metrics"]["hubbub_connections"], 3)
        self.assertGreater(document["metrics"]["hubbub_commit_seconds_sum"], 0)
        self.assertRegex(self.router.ask("rooms")[0], r"^# namespace members gateways seq rate name\n/ 1 1 1 0\.\d{3} R$")
        self.assertRegex(self.router.ask("gateways")[0], r"^# name state sockets .* protocol incarnation\ng1 live 1 3 0 \d+ \S+ \S+ 1\.\d+ ")
        gateway.send(("BYE", ""))
        self.until(lambda: self.router.statistics()["gateways"] == 0, "the gateway is still there")
        document = self.router.statistics()
        self.assertEqual((document["connections"], document["closed"]), (0, {"slow_reader": 2}))

    def test_killed_it_leaves_no_shared_memory(self):
        """libmongoc makes some for its counters, with an archive and without."""
        number = self.router.process.pid
        self.router.kill()
        self.assertEqual([name for name in os.listdir("/dev/shm") if name.endswith(f"-{number}")], [])

    def test_what_was_delivered_under_an_earlier_router_is_no_rate(self):
        gateway = self.gateway()
        gateway.send(("STATISTICS", ["hubbub_deliveries_total", 1000000]))
        gateway.settle()
        time.sleep(1.5)
        messages = self.router.statistics()["messages"]
        self.assertEqual((messages["out"]["total"], messages["out"]["per_second"]), (1000000, 0))
        gateway.send(("STATISTICS", ["hubbub_deliveries_total", 1000100]))
        gateway.settle()
        self.until(lambda: self.router.statistics()["messages"]["out"]["per_second"] > 0, "no rate")
        self.assertLessEqual(self.router.statistics()["messages"]["out"]["per_second"], 100)

    def test_the_stats_socket(self):
        self.assertEqual(os.stat(self.router.stats).st_mode & 0o777, 0o600)
        self.assertEqual(os.stat(self.router.data).st_mode & 0o777, 0o700)
        answers = self.router.ask("help", "nonsense", "", "rooms", "gateways", "quit", "stats")
        self.assertIn("kick", answers[0])
        self.assertEqual([answer.split(" ")[0] for answer in answers[1:]], ["error", "error", "#", "#", ""])
        self.assertEqual(self.router.ask("x" * 5000), ["error the line is too long"])
        with contextlib.ExitStack() as stack:
            clients = []
            for _ in range(20):
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.connect(self.router.stats)
                client.settimeout(PATIENCE)
                clients.append(client)
            self.assertEqual([client.recv(100) for client in clients[16:]], [b"error busy: too many ask at once\n\n"] * 4)
            clients[0].setblocking(False)
            with self.assertRaises(BlockingIOError):
                while True:  # and never reads
                    clients[0].send(b"help\n" * 1000)
            clients[1].sendall(b"gate")
            clients[1].sendall(b"ways\r\n")
            self.assertTrue(clients[1].recv(100).startswith(b"# name "))
        self.assertTrue(self.gateway().connect().sid)

    def test_a_second_router_is_refused(self):
        second = self.run_router()
        self.assertEqual((second.returncode, second.stdout), (70, ""))
        self.assertIn("journal.sqlite", second.stderr)
        with tempfile.TemporaryDirectory(prefix="hubbub-router-") as folder:
            other = self.run_router(f"--data={folder}", f"--stats={folder}/stats")
            self.assertEqual(other.returncode, 70)
            self.assertIn(self.router.endpoint, other.stderr)
            other = self.run_router(f"--data={folder}", f"--listen=ipc://{folder}/link")
            self.assertEqual(other.returncode, 70)
            self.assertIn(self.router.stats, other.stderr)
            self.assertFalse(os.path.exists(f"{folder}/stats"))
        self.assertTrue(self.gateway().connect().sid)

    def test_leftovers_of_a_dead_router_are_replaced(self):
        self.router.kill()
        self.assertTrue(os.path.exists(self.router.stats))
        self.router.start()
        self.assertEqual(self.router.statistics()["gateways"], 0)

    def test_a_foreign_journal_is_refused(self):
        self.assertEqual(self.router.stop(), 0)
        path = pathlib.Path(self.router.data, "journal.sqlite")
        path.write_bytes(b"no database at all\n" * 1000)
        self.assertEqual(self.run_router().returncode, 70)
        path.unlink()
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE other(x)")
            database.commit()
        before = path.read_bytes()
        refused = self.run_router()
        self.assertEqual(refused.returncode, 70)
        self.assertIn(str(path), refused.stderr)
        self.assertEqual(path.read_bytes(), before)

    def test_the_command_line(self):
        self.assertEqual(self.run_router("--heartbeat=1s", "--dead=1s").returncode, 78)
        self.assertEqual(self.run_router("--resync-max=128MB").returncode, 78)
        self.assertEqual(self.run_router("--no-such-option").returncode, 64)
        self.assertEqual(self.run_router("--check-config").returncode, 0)
        self.assertIn("--max-unacknowledged", self.run_router("--help").stdout)

    def check_config(self, keys, *options):
        path = pathlib.Path(self.folder, "conf")
        path.write_text("events = ();\nrouter: {\n%s\n};\n" % keys)
        checked = self.run_router("--check-config", *options)
        return checked.returncode, checked.stderr.replace(str(path), "FILE")

    def test_what_is_wrong_with_the_archive_is_said_with_its_place(self):
        wrong = "key archive is no MongoDB connection string: it must begin with mongodb:// or mongodb+srv://\n"
        for keys, options, text in (
                ('archive = "mysql://x";', (), "FILE:3: " + wrong),
                ('archive = "mongodb://x";', ("--archive=mysql://x",), wrong),
                ('archive = "mongodb://x";\narchive_database = "a b";', (),
                 "FILE:4: key archive_database: no name that a MongoDB database can have\n"),
                ('archive = "mongodb://x";\narchive_collection = "a$b";', (),
                 "FILE:4: key archive_collection: no name that a MongoDB collection can have\n")):
            with self.subTest(keys=keys, options=options):
                self.assertEqual(self.check_config(keys, *options), (78, text))

    def test_retention_is_for_routers_without_an_archive(self):
        wrong = ": messages stay in the archive for good; with the key archive, hot_days and hot_messages say how long they stay here\n"
        for keys, text in (("retention_days = 30;", "FILE:4: key retention_days" + wrong),
                           ("retention_messages = 1000;", "FILE:4: key retention_messages" + wrong)):
            with self.subTest(keys=keys):
                self.assertEqual(self.check_config('archive = "mongodb://x";\n' + keys), (78, text))
                self.assertEqual(self.check_config('archive = "";\n' + keys), (0, ""))
        self.assertEqual(self.check_config('archive = "mongodb://x";\nretention_days = 0;'), (0, ""))

    def test_drain_answers_what_was_taken(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        requests = [held.start("msg", "R", [{"text": at}]) for at in range(100)]
        gateway.answer(requests[0])
        self.router.process.terminate()
        while gateway.read(1):
            pass
        answered = {requests[0]} | {record.request for record in gateway.records if kind(record) == "ANSWER"}
        self.assertEqual(self.router.process.wait(PATIENCE), 0)
        self.assertEqual(len(self.router.rows()), len(answered))
        self.assertFalse(os.path.exists(self.router.stats))

    def test_no_space_on_the_disk(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        # The file may not grow further; the router takes that for a full disk.
        before = resource.prlimit(self.router.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.router.process.pid, resource.RLIMIT_FSIZE, (1 << 20, before[1]))
        acknowledged = []
        answer = {"ok": True}
        for count in range(2000):
            answer = held.say("R", "x" * 5000)
            if not answer["ok"]:
                break
            acknowledged.append(answer["seq"])
        self.refused(answer, "storage_full")
        self.assertEqual(held.join("S", history=3)["members"], 1)
        self.assertEqual(held.publish("typing", "R", {"room": "R"}), {"ok": True})
        gateway.records.clear()
        held.start("msg", "R", [{"room": "R", "text": "x" * 5000}], flags=0)
        self.assertEqual(json.loads(gateway.take("EMIT").payload)[1]["error"]["code"], "storage_full")
        gateway.take("DONE")
        self.assertTrue(self.router.statistics()["journal"]["storage_full"])
        resource.prlimit(self.router.process.pid, resource.RLIMIT_FSIZE, before)
        acknowledged.append(held.say("R", "again")["seq"])
        self.assertEqual(acknowledged, list(range(1, len(acknowledged) + 1)))
        self.assertEqual(self.router.stop(), 0)
        self.assertEqual([row["seq"] for row in self.router.rows()], acknowledged)

    def test_aborted_between_commit_and_release(self):
        self.assertEqual(self.router.stop(), 0)
        self.router.environment = {"HUBBUB_TEST_ABORT_AFTER_COMMITS": "2"}
        self.router.start()
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect(), two.connect()
        alice.join("R")
        bob.join("R")
        self.assertEqual(alice.say("R", "first")["seq"], 1)
        one.settle()
        two.settle()
        request = alice.start("msg", "R", [{"text": "second"}])
        deadline = time.monotonic() + PATIENCE
        while self.router.process.poll() is None:
            if [record for record in one.records if kind(record) == "ANSWER"]:
                self.router.stop()
                self.skipTest("built without test hooks")
            self.assertLess(time.monotonic(), deadline)
            one.read(0.05)
        self.assertEqual(self.router.process.returncode, -signal.SIGABRT)
        self.router.environment = {}
        self.router.start()
        self.assertEqual((one.go_live().resume, two.go_live().resume), (1, 1))
        self.assertEqual([(kind(record), getattr(record, "pos", 0)) for record in one.before_live],
                         [("ANSWER", 0), ("DELIVER", 2)])
        self.assertEqual((one.before_live[0].request, json.loads(one.before_live[0].answer)["seq"]), (request, 2))
        self.assertEqual([record.pos for record in two.before_live], [2])
        self.assertEqual(alice.say("R", "third")["seq"], 3)


if __name__ == "__main__":
    unittest.main()
