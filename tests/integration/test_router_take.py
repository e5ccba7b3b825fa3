#!/usr/bin/env python3
"""Sockets that move from one gateway to another, driven by played gateways: docs/protocol.md, section 2.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import contextlib
import json
import os
import pathlib
import random
import signal
import sqlite3
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import (ACK, NAMESPACE, PATIENCE, REPLAY, VOLATILE, WATCHERS, Gateway, RouterTest, Socket,  # noqa: E402
                            kind, number, texts)


class Holder(Gateway):
    """A gateway that keeps books: whatever comes in is done at once, in its order."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.expected = {}  # number -> Socket, to come with a TAKE
        self.lost = []  # given to another gateway

    def read(self, patience=PATIENCE):
        before = len(self.records)
        came = super().read(patience)
        for record in self.records[before:]:
            book = getattr(self, "on_" + kind(record).lower(), None)
            if book:
                book(record)
        return came

    def on_connected(self, record):
        if record.request == 0:
            held = self.held[record.socket] = self.expected.pop(record.socket)
            held.sid, held.sender = record.sid, record.sender

    def on_joined(self, record):
        self.held[record.socket].rooms[record.room] = (record.joined_pos, record.watch)

    def on_left(self, record):
        del self.held[record.socket].rooms[record.room]

    def on_given(self, record):
        self.lost += [self.held.pop(socket) for socket in record.sockets]

    def on_deliver(self, record):
        for held in self.held.values():
            joined_pos, _ = held.rooms.get(record.room, (None, 0))
            if record.flags & (VOLATILE | NAMESPACE) or joined_pos is None or held.number == record.except_socket:
                continue
            if not record.flags & REPLAY or joined_pos < record.pos:
                held.got.append((record.room, json.loads(record.payload)[1]["text"]))


class Place(Socket):
    """A socket for as long as it is at one gateway."""

    def __init__(self, gateway, socket_number, namespace="/"):
        super().__init__(gateway, socket_number, namespace)
        self.got = []


class Moving:
    """A client's socket, wherever it is."""

    def __init__(self, gateway):
        held = gateway.connect()
        place = Place(gateway, held.number)
        place.sid, place.sender = held.sid, held.sender
        gateway.held[place.number] = place
        self.places = [place]

    @property
    def place(self):
        return self.places[-1]

    def got(self, room):
        return [text for place in self.places for where, text in place.got if where == room]


class TakeTest(RouterTest):
    def holders(self, *names):
        return [self.gateway(name, make=Holder) for name in names]

    def start_take(self, to, *moving):
        """Sends TAKE for these, all of them of one gateway; gives its number."""
        take, pairs, source = number(), [], moving[0].place.gateway
        for one in moving:
            to.sockets += 1
            pairs += [one.place.number, to.sockets]
            to.expected[to.sockets] = Place(to, to.sockets)
            one.places.append(to.expected[to.sockets])
        to.send(("TAKE", source.incarnation, take, pairs))
        return take

    def taken(self, to, take):
        record = to.take("TAKEN")
        self.assertEqual((record.number, record.ok), (take, 1), self.router.log())

    def take(self, to, *moving):
        """Moves them, and waits until both gateways have heard of it."""
        source = moving[0].place.gateway
        numbers = [one.place.number for one in moving]
        take = self.start_take(to, *moving)
        self.taken(to, take)
        self.assertEqual(source.take("GIVEN"), (to.incarnation, take, numbers))

    def refuse(self, to, incarnation, *pairs):
        take = number()
        to.send(("TAKE", incarnation, take, list(pairs)))
        self.assertEqual(to.take("TAKEN"), (take, 0))

    @contextlib.contextmanager
    def journal_stalled(self, held):
        """What goes through the journal meanwhile waits behind a message of that socket in the room X."""
        held.join("X")
        with contextlib.closing(sqlite3.connect(f"{self.router.data}/journal.sqlite", isolation_level=None)) as file:
            file.execute("BEGIN IMMEDIATE")
            request = held.start("msg", "X", [{"text": "waits"}])
            held.gateway.settle()
            yield
            file.execute("ROLLBACK")
        self.assertTrue(held.gateway.answer(request)["ok"])


class Moves(TakeTest):
    def test_a_socket_moves_with_its_rooms(self):
        one, two = self.holders("g1", "g2")
        alice, bob = Moving(one), Moving(one)
        alice.place.join("R")
        alice.place.say("R", "first")
        bob.place.join("R", watch=1)
        bob.place.join("S")
        one.settle()
        rooms, sid, sender = dict(bob.place.rooms), bob.place.sid, bob.place.sender
        self.assertEqual(one.pos, 1)
        self.take(two, bob)
        self.assertEqual(two.batches[-1][-4:], ["CONNECTED", "JOINED", "JOINED", "TAKEN"])
        self.assertEqual(two.pos, 1)  # as it is told before that
        self.assertEqual((bob.place.rooms, bob.place.sid, bob.place.sender), (rooms, sid, sender))
        self.assertEqual(rooms["R"][1], 1)
        statistics = self.router.statistics()
        self.assertEqual((statistics["sockets"], statistics["members"]), (2, 3))
        self.assertEqual(self.router.metric("hubbub_takes_total{result=taken}"), 1)
        self.assertEqual(self.router.metric("hubbub_sockets_moved_total"), 1)
        alice.place.say("R", "second")
        one.settle()
        two.settle()
        self.assertEqual(alice.got("R"), ["first", "second"])
        self.assertEqual(bob.got("R"), ["second"])
        self.assertEqual([len(place.got) for place in bob.places], [0, 1])

    def test_several_at_once_and_none(self):
        one, two = self.holders("g1", "g2")
        movers = [Moving(one) for _ in range(5)]
        self.take(two, *movers[1:4])
        self.assertEqual(sorted(two.held), [place.number for place in (one.place for one in movers[1:4])])
        self.assertEqual(sorted(one.held), [movers[0].place.number, movers[4].place.number])
        two.send(("TAKE", one.incarnation, 5, []))
        self.assertEqual(two.take("TAKEN"), (5, 1))
        self.assertEqual(one.take("GIVEN"), (two.incarnation, 5, []))

    def test_it_lives_on_at_its_new_place(self):
        one, two = self.holders("g1", "g2")
        alice, bob = Moving(one), Moving(one)
        for moving in (alice, bob):
            moving.place.join("R")
        old = bob.place
        self.take(two, bob)
        new = bob.place
        self.refused(old.publish("msg", "R", {"room": "R", "text": "not from here"}), "not_joined")
        self.assertEqual(new.say("R", "from there")["seq"], 1)
        self.assertEqual(texts(new.history("R")["messages"]), ["from there"])
        self.assertEqual(new.join("S")["members"], 1)
        self.assertEqual(new.answer("PRESENCE", "R")["members"], 2)
        self.assertEqual(new.answer("LEAVE", "R"), {"ok": True, "room": "R"})
        self.assertEqual(alice.place.answer("PRESENCE", "R")["members"], 1)
        alice.place.say("R", "without bob")
        two.settle()
        self.assertEqual(bob.got("R"), ["from there"])
        one.send(("DISCONNECT", old.number, "transport_close"))  # of nobody any more
        one.settle()
        self.assertEqual(self.router.statistics()["sockets"], 2)
        two.send(("DISCONNECT", new.number, "transport_close"))
        two.settle()
        self.assertEqual((self.router.statistics()["sockets"], self.router.statistics()["members"]), (1, 1))

    def test_its_events_know_where_it_is(self):
        one, two = self.holders("g1", "g2")
        alice, bob = Moving(one), Moving(one)
        for moving in (alice, bob):
            moving.place.join("R")
        self.take(two, bob)
        self.take(one, bob)
        self.take(two, bob)
        one.settle()
        one.records.clear()
        for event in ("self", "others", "typing"):
            bob.place.publish(event, "R", {"room": "R", "text": event})
        alice.place.publish("all", "", {"text": "all"})
        one.settle()
        two.settle()
        self.assertEqual([(record.socket, json.loads(record.payload)[0]) for record in two.records
                          if kind(record) == "EMIT"], [(bob.place.number, "self")])
        delivered = [(json.loads(record.payload)[0], record.except_socket) for record in two.records
                     if kind(record) == "DELIVER"]
        self.assertEqual(delivered, [("others", bob.place.number), ("typing", bob.place.number), ("all", 0)])
        delivered = [(json.loads(record.payload)[0], record.except_socket) for record in one.records
                     if kind(record) == "DELIVER"]
        self.assertEqual(delivered, [("others", 0), ("typing", 0), ("all", 0)])
        self.assertNotIn("EMIT", [kind(record) for record in one.records])
        self.take(two, alice)
        one.records.clear()
        alice.place.publish("all", "", {"text": "all"})
        one.settle()
        self.assertNotIn("DELIVER", [kind(record) for record in one.records])

    def test_what_it_published_before_comes_back_to_it(self):
        one, two = self.holders("g1", "g2")
        alice, bob, other = Moving(one), Moving(one), self.gateway("g3").connect()
        for moving in (alice, bob):
            moving.place.join("R")
        with self.journal_stalled(other):
            requests = [bob.place.start(event, "R", [{"room": "R", "text": event}])
                        for event in ("self", "others", "typing", "msg")]
            one.settle()
            self.take(two, bob)
        for request in requests:
            self.assertTrue(one.answer(request)["ok"])
        two.settle()
        self.assertEqual([(record.socket, json.loads(record.payload)[0]) for record in two.records
                          if kind(record) == "EMIT"], [(bob.place.number, "self")])
        delivered = [(json.loads(record.payload)[0], record.except_socket) for record in two.records
                     if kind(record) == "DELIVER"]
        self.assertEqual(delivered, [("others", bob.place.number), ("typing", bob.place.number), ("msg", 0)])
        self.assertNotIn("EMIT", [kind(record) for record in one.records])

    def test_what_is_done_is_said_before_it_is_given(self):
        one, two = self.holders("g1", "g2")
        alice = Moving(one)
        alice.place.join("R")
        met = 0
        for _ in range(200):
            source, to = alice.place.gateway, two if alice.place.gateway is one else one
            refused = self.router.metric("hubbub_refused_total{code=not_joined}")
            source.settle()
            source.batches.clear()
            os.kill(self.router.process.pid, signal.SIGSTOP)  # both then wait for its next turn
            request = alice.place.start("typing", "R", [{"room": "R"}], flags=0)
            take = self.start_take(to, alice)
            os.kill(self.router.process.pid, signal.SIGCONT)
            self.taken(to, take)
            source.take("GIVEN")
            source.take("DONE", where=lambda record, request=request: request in record.requests)
            if self.router.metric("hubbub_refused_total{code=not_joined}") > refused + 1:
                continue  # TAKE came first (one refusal is that of settle())
            order = [name for batch in source.batches for name in batch if name in ("DONE", "GIVEN")]
            self.assertEqual(order, ["DONE", "GIVEN"])
            met += any("DONE" in batch and "GIVEN" in batch for batch in source.batches)
            if met >= 3:
                return
        self.fail(f"both in one turn: {met} times")

    def test_presence_does_not_move(self):
        one, two = self.holders("g1", "g2")
        witness = self.gateway("g3")
        watcher = witness.connect()
        movers = [Moving(one) for _ in range(3)]
        for moving in movers:
            moving.place.join("R", watch=1)
        watcher.join("R", watch=1)

        def members(gateway):
            return [json.loads(record.payload)[1]["members"] for record in gateway.records
                    if kind(record) == "DELIVER" and record.flags & WATCHERS]

        self.until(lambda: witness.read(0.1) and 4 in members(witness), "presence was not announced")
        for gateway in (one, two, witness):
            gateway.settle()
            gateway.records.clear()
        for turn in range(6):
            self.take((two, one)[turn % 2], *movers)
            self.assertEqual(watcher.answer("PRESENCE", "R")["members"], 4)
        self.take(two, movers[0])
        Moving(one).place.join("R")
        for gateway in (two, witness, one):  # the first announcement after all the moves
            announced = gateway.take("DELIVER", where=lambda record: record.flags & WATCHERS)
            self.assertEqual(json.loads(announced.payload)[1]["members"], 5, gateway.name)


class UnderLoad(TakeTest):
    TURNS = 100

    def move_under_load(self, after_take=lambda turn, source, to: None):
        """Publishes to two rooms while four sockets of them go back and forth; then looks at what they got."""
        one, two = self.holders("g1", "g2")
        publisher = self.gateway("g3").connect()
        sent = {"R": [], "S": []}
        movers = [Moving(one) for _ in range(3)] + [Moving(two)]
        for at, rooms in enumerate(("R", "S", "RS", "RS")):
            for room in rooms:
                movers[at].place.join(room)
        for room in sent:
            publisher.join(room)

        def publish(count):
            for _ in range(count):
                room = random.choice("RS")
                sent[room].append(len(sent[room]))
                publisher.start("msg", room, [{"text": sent[room][-1]}], flags=0)
            return room, sent[room][-1]

        for turn in range(self.TURNS):
            source, to = (one, two) if turn % 2 == 0 else (two, one)
            # The last one goes the other way, at the same time.
            room, text = publish(random.randrange(1, 6))
            there = self.start_take(to, *movers[:3])
            back = self.start_take(source, movers[3])
            publish(random.randrange(1, 6))
            self.taken(to, there)
            self.taken(source, back)
            for gateway in (source, to):
                gateway.take("GIVEN")
            after_take(turn, source, to)
            # So each turn has a message, before or behind the move.
            publisher.gateway.take("DELIVER", where=lambda record, room=room, text=text: record.room == room and
                                   json.loads(record.payload)[1]["text"] == text)
        for room in sent:
            sent[room].append("end")
            publisher.say(room, "end")
        for gateway in (one, two):
            gateway.settle()
        for at, rooms in enumerate(("R", "S", "RS", "RS")):
            self.assertEqual(len(movers[at].places), self.TURNS + 1)
            for room in "RS":
                self.assertEqual(movers[at].got(room), sent[room] if room in rooms else [], f"socket {at}, room {room}")
        statistics = self.router.statistics()
        self.assertEqual((statistics["sockets"], statistics["members"]), (5, 8))
        return movers

    def test_every_message_comes_once_and_in_order(self):
        movers = self.move_under_load()
        self.assertGreaterEqual(sum(1 for place in movers[2].places if place.got), self.TURNS // 2)

    def test_also_when_either_link_begins_anew_after_a_move(self):
        def resync(turn, source, to):
            if turn % 3 == 1:
                self.assertEqual(source.go_live().resume, 1)
            if turn % 3 == 2 or turn % 5 == 0:
                self.assertEqual(to.go_live().resume, 1)

        self.move_under_load(resync)
        self.assertGreater(self.router.metric("hubbub_router_replayed_messages_total"), 0)


class LostLinks(TakeTest):
    """A move and a link that breaks around it."""

    def movers(self):
        one, two = self.holders("g1", "g2")
        alice, bob = Moving(one), Moving(one)
        for moving in (alice, bob):
            moving.place.join("R")
        for at in range(3):
            alice.place.say("R", at)
        one.settle()
        self.assertEqual(bob.got("R"), [0, 1, 2])
        return one, two, alice, bob

    def test_the_new_link_is_not_shown_what_the_former_one_had(self):
        one, two, alice, bob = self.movers()
        alice.place.publish("all", "", {"text": "all"})
        self.take(two, bob)
        two.go_live()
        self.assertEqual(two.before_live, [])
        alice.place.say("R", 3)
        two.settle()
        two.go_live()
        self.assertEqual(bob.got("R"), [0, 1, 2, 3])
        self.assertEqual(bob.place.answer("PRESENCE", "R")["members"], 2)

    def test_a_hello_names_a_socket_that_was_given_away(self):
        one, two, alice, bob = self.movers()
        given = bob.place
        self.taken(two, self.start_take(two, bob))
        one.go_live()  # before it has read GIVEN
        self.assertEqual(one.take("CLOSE").socket, given.number)
        del one.held[given.number]
        self.assertEqual(alice.place.answer("PRESENCE", "R")["members"], 2)
        self.assertTrue(bob.place.say("R", 3)["ok"])
        one.settle()
        two.settle()
        self.assertEqual((alice.got("R"), bob.got("R")), ([0, 1, 2, 3], [0, 1, 2, 3]))
        self.assertEqual(self.router.statistics()["sockets"], 2)

    def test_a_hello_lacks_a_socket_that_was_taken(self):
        one, two, alice, bob = self.movers()
        self.start_take(two, bob)
        one.take("GIVEN")
        two.go_live()  # before it has read TAKEN
        self.assertEqual(two.held, {})
        self.assertEqual(alice.place.answer("PRESENCE", "R")["members"], 1)
        self.assertEqual(self.router.statistics()["sockets"], 1)
        two.expected.clear()
        self.assertEqual(Moving(two).place.join("R")["members"], 2)

    def test_the_former_gateway_ends(self):
        one, two, alice, bob = self.movers()
        self.take(two, bob)
        one.send(("BYE", "drain"))
        two.take("GONE")
        self.assertEqual(bob.place.answer("PRESENCE", "R")["members"], 1)
        self.assertTrue(bob.place.say("R", 3)["ok"])

    def test_the_new_gateway_ends(self):
        one, two, alice, bob = self.movers()
        self.take(two, bob)
        two.send(("BYE", "drain"))
        one.take("GONE")
        self.assertEqual(alice.place.answer("PRESENCE", "R")["members"], 1)
        self.assertEqual(self.router.statistics()["sockets"], 1)

    def test_the_router_restarts(self):
        one, two, alice, bob = self.movers()
        self.take(two, bob)
        alice.place.say("R", 3)
        self.router.kill()
        self.router.start()
        one.go_live()
        two.go_live()
        self.take(one, bob)
        alice.place.say("R", 4)
        one.settle()
        self.assertEqual((alice.got("R"), bob.got("R")), ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4]))


class Refusals(TakeTest):
    options = ("--max-rooms-per-connection=10000",)

    def setUp(self):
        super().setUp()
        self.one, self.two = self.holders("g1", "g2")
        self.alice, self.bob = Moving(self.one), Moving(self.one)
        for moving in (self.alice, self.bob):
            moving.place.join("R")

    def check_nothing_moved(self):
        self.assertEqual(self.alice.place.answer("PRESENCE", "R")["members"], 2)
        self.assertTrue(self.bob.place.say("R", "still here")["ok"])
        for gateway in (self.one, self.two):
            gateway.settle()
            self.assertNotIn("GIVEN", [kind(record) for record in gateway.records])
            self.assertNotIn("CONNECTED", [kind(record) for record in gateway.records])
        self.assertEqual(self.bob.got("R")[-1], "still here")
        self.assertEqual(self.router.metric("hubbub_takes_total{result=taken}"), 0)

    def test_from_a_gateway_that_is_not_there_or_itself(self):
        self.refuse(self.two, number(), self.alice.place.number, 5)
        self.refuse(self.two, number())
        self.refuse(self.one, self.one.incarnation, self.alice.place.number, 5)
        self.check_nothing_moved()

    def test_from_a_gateway_that_is_not_live(self):
        alice = self.alice.place.number
        self.one.send_raw(b"nonsense")
        self.one.take("RESYNC")
        self.refuse(self.two, self.one.incarnation, alice, 5)
        self.one.open()
        first, *others = self.one.hello_records()
        self.one.send(first)
        self.until(lambda: self.router.metric("hubbub_router_links_total") == 3, "no hello")
        self.refuse(self.two, self.one.incarnation, alice, 5)
        self.one.send(*others)
        self.one.take("LIVE")
        self.check_nothing_moved()

    def test_numbers(self):
        alice, bob = self.alice.place.number, self.bob.place.number
        there = self.two.connect().number
        self.two.held.clear()
        for pairs in ((alice, there), (alice, 5, bob, there), (alice, 5, bob, 5), (alice, 5, alice, 6), (99, 5),
                      (alice, 5, 99, 6), (there + 1 << 32, 5)):
            self.refuse(self.two, self.one.incarnation, *pairs)
        self.check_nothing_moved()

    def test_too_many(self):
        alice = self.alice.place.number
        self.refuse(self.two, self.one.incarnation, alice, 5, *range(1000, 1000 + 2 * 1024))
        for name in "ab":
            self.one.sockets += 1
            place = Place(self.one, self.one.sockets)
            self.one.held[place.number] = place
            self.one.ask("CONNECT", place.number, "/", json.dumps({"join": [f"{name}{at}" for at in range(8500)]}), "")
            self.one.take("CONNECTED")
        self.one.settle()
        self.assertEqual(self.router.statistics()["members"], 17002)
        self.refuse(self.two, self.one.incarnation, place.number - 1, 5, place.number, 6)
        self.check_nothing_moved()
        self.two.expected[5] = Place(self.two, 5)
        self.two.send(("TAKE", self.one.incarnation, 1, [place.number, 5]))
        self.assertEqual(self.two.take("TAKEN"), (1, 1))
        self.assertEqual(len(self.two.held[5].rooms), 8500)
        self.assertEqual(self.router.statistics()["members"], 17002)

    def test_what_is_no_list_of_pairs_breaks_the_link(self):
        for wrong in ([1], [1, "x"], [1, -1], [0, 5], [5, 0], "12", {1: 2}, [[1, 2]]):
            gateway = self.gateway("bad")
            gateway.send(("TAKE", self.one.incarnation, 1, wrong))
            gateway.take("RESYNC")
        self.check_nothing_moved()

    def test_a_join_or_a_leave_on_its_way(self):
        other = self.gateway("g3").connect()
        alice, bob = self.alice.place, self.bob.place
        for name, room, *more in (("JOIN", "S", 0, 0), ("JOIN", "R", 0, 1), ("LEAVE", "S"), ("LEAVE", "R")):
            with self.journal_stalled(other):
                request = alice.ask(name, room, *more)
                self.one.settle()
                self.refuse(self.two, self.one.incarnation, alice.number, 5)
                self.refuse(self.two, self.one.incarnation, bob.number, 5, alice.number, 6)
            self.assertTrue(self.one.answer(request)["ok"])
        alice.join("R")
        self.check_nothing_moved()
        self.take(self.two, self.alice, self.bob)

    def test_a_connect_on_its_way(self):
        other = self.gateway("g3").connect()
        with self.journal_stalled(other):
            self.one.sockets += 1
            place = self.one.held[self.one.sockets] = Place(self.one, self.one.sockets)
            self.one.ask("CONNECT", place.number, "/", '{"join":["R"]}', "")
            self.one.settle()
            self.refuse(self.two, self.one.incarnation, place.number, 5)
        self.one.take("CONNECTED")
        self.assertEqual(self.bob.place.answer("PRESENCE", "R")["members"], 3)


class RefusedReads(TakeTest):
    options = ("--recent-max=0",)

    def test_a_page_of_history_on_its_way(self):
        one, two = self.holders("g1", "g2")
        alice = Moving(one)
        alice.place.join("R")
        for at in range(200):
            alice.place.start("msg", "R", [{"text": at, "pad": "x" * 2000}], flags=0 if at < 199 else ACK)
        self.assertEqual(one.answer(one.request)["seq"], 200)
        # Pages may be back before TAKE comes: then it moves, and the next try is from there.
        for _ in range(50):
            source, to = alice.place.gateway, two if alice.place.gateway is one else one
            requests = [alice.place.ask("HISTORY", "R", 0, 0, 0, 200) for _ in range(30)]
            take = self.start_take(to, alice)
            record = to.take("TAKEN")
            self.assertEqual(record.number, take)
            for request in requests:
                self.assertEqual(len(source.answer(request)["messages"]), 200)
            if not record.ok:
                alice.places.pop()
                break
            source.take("GIVEN")
        else:
            self.fail("it never met a page on its way")
        self.assertTrue(alice.place.say("R", "still here")["ok"])
        self.take(to, alice)
        self.assertTrue(alice.place.say("R", "and there")["ok"])


class Credit(TakeTest):
    options = ("--max-unacknowledged=65536", "--resync-max=65536", "--heartbeat=100")

    def put_behind(self, gateway, sender):
        for _ in range(200):
            if self.router.metric("hubbub_router_links_behind_total"):
                return
            sender.send(("PASS", gateway.incarnation, 0, 32, "s", "x" * 1000))
            sender.settle()
        self.fail("the gateway never was behind")

    def catch_up(self, gateway):
        deadline = time.monotonic() + PATIENCE
        gateway.acknowledging = True
        while not any(kind(record) == "RESYNC" for record in gateway.records):
            self.assertLess(time.monotonic(), deadline)
            if gateway.read(0.1):
                gateway.send()

    def test_nothing_moves_from_or_to_a_gateway_behind(self):
        one, two = self.holders("g1", "g2")
        alice = Moving(one)
        alice.place.join("R")
        other = self.gateway("g3")
        slow = self.gateway("slow", live=False, make=Holder)
        slow.acknowledging = False
        slow.go_live()
        bob = Moving(slow)
        bob.place.join("R")
        self.put_behind(slow, other)
        self.refuse(two, slow.incarnation, bob.place.number, 5)
        slow.send(("TAKE", one.incarnation, 1, [alice.place.number, 5]))
        self.until(lambda: self.router.metric("hubbub_takes_total{result=refused}") == 2, "TAKE did not come")
        alice.place.say("R", 1)
        self.catch_up(slow)
        self.assertEqual([record for record in slow.records if kind(record) in ("TAKEN", "CONNECTED")], [])
        slow.go_live()
        self.take(two, alice)
        self.take(slow, alice)
        self.take(one, bob)
        alice.place.say("R", 2)
        one.settle()
        self.assertEqual((alice.got("R"), bob.got("R")), ([1, 2], [1, 2]))


if __name__ == "__main__":
    unittest.main()
