#!/usr/bin/env python3
"""What backends send to clients, ask of them, and do with their sockets: docs/protocol.md, section 3.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import contextlib
import json
import pathlib
import resource
import sqlite3
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_backend import ARCHIVED, LOGGED, META, MORTAL, RECOVERED, TELL, VOLATILE_CLASS, BackendTest, options  # noqa: E402
from played_gateway import NAMESPACE, kind  # noqa: E402

FINAL, ALL = 1, 2  # CLOSE.final


class ProgramTest(BackendTest):
    def setUp(self):
        super().setUp()
        self.numbers = 0

    def ask(self, backend, name, *fields):
        """Sends a request of a backend's; its number."""
        self.numbers += 1
        backend.send((name, self.numbers, *fields))
        return self.numbers

    def outcome(self, backend, number):
        return backend.take("OUTCOME", where=lambda record: record.number == number)

    def send(self, backend, rooms, *arguments, namespace="/", spare=(), kind=LOGGED, flags=TELL, id="", event="news"):
        return self.ask(backend, "SEND", namespace, list(rooms), list(spare), kind, flags, id, event,
                        json.dumps(arguments, separators=(",", ":"))[1:-1])

    def sent(self, backend, rooms, *arguments, **how):
        told = self.outcome(backend, self.send(backend, rooms, *arguments, **how))
        self.assertEqual(told.error, "", told)
        return told

    def done(self, backend, name, *fields):
        told = self.outcome(backend, self.ask(backend, name, *fields))
        self.assertEqual((told.error, told.message), ("", ""))

    def fails(self, backend, code, name, *fields):
        told = self.outcome(backend, self.ask(backend, name, *fields))
        self.assertEqual((told.error, bool(told.message)), (code, True), told)

    def move(self, backend, rooms, join=(), leave=(), namespace="/", spare=()):
        self.done(backend, "MOVE", namespace, list(rooms), list(spare), list(join), list(leave))

    def find(self, backend, rooms=(), namespace="/", spare=()):
        number = self.ask(backend, "FIND", namespace, list(rooms), list(spare))
        end = backend.take("FOUND_END", where=lambda record: record.number == number)
        found = {}
        while len(found) < end.sockets:
            record = backend.take("FOUND", where=lambda record: record.number == number)
            found[record.sid] = record
        return found

    def cut(self, backend, words):
        self.assertIn(words, backend.take("CUT").reason)

    def three(self, namespace="/"):
        """A backend, two gateways, and three of its clients: two on the first, one on the second."""
        backend = self.backend()
        one, two = self.gateway("g1"), self.gateway("g2")
        return backend, [self.client(gateway, backend, namespace) for gateway in (one, one, two)]

    def came(self, gateway, *kinds):
        """What of these kinds has come by now, taken."""
        gateway.settle()
        came = [record for record in gateway.records if kind(record) in kinds]
        gateway.records = [record for record in gateway.records if kind(record) not in kinds]
        return came


class Sending(ProgramTest):
    def test_a_backends_event(self):
        backend, (alice, bob, carol) = self.three()
        self.move(backend, [alice.sid, carol.sid], join=["R"])
        told = self.sent(backend, ["R"], 1, kind=ARCHIVED, flags=TELL | META)
        self.assertEqual((told.id, told.seqs), (f"{backend.incarnation:x}-{told.number:x}", [1]))
        for gateway in (alice.gateway, carol.gateway):
            record = gateway.take("DELIVER")
            self.assertEqual(json.loads(record.payload)[:3],
                             ["news", 1, {"room": "R", "seq": 1, "id": told.id, "at": told.at}])

    def test_who_did_not_ask_is_told_of_failures_only(self):
        backend, (alice, _, _) = self.three()
        self.send(backend, [alice.sid], 1, flags=0)
        self.send(backend, [alice.sid], 2, kind=VOLATILE_CLASS)
        failed = self.send(backend, [alice.sid], 3, kind=ARCHIVED, flags=0)
        last = self.send(backend, [alice.sid], 4)
        self.outcome(backend, last)
        self.assertEqual([(record.number, record.error) for record in backend.records if kind(record) == "OUTCOME"],
                         [(failed, "bad_room")])
        self.assertEqual([json.loads(record.payload)[1] for record in self.came(alice.gateway, "EMIT")], [1, 2, 4])

    def test_what_is_sent_again_on_a_new_link_is_sent_once(self):
        backend, (alice, _, _) = self.three()
        first = self.sent(backend, [alice.sid], 1)
        archived = self.sent(backend, ["R", "S"], 2, kind=ARCHIVED)
        for restart in (False, True):
            if restart:
                self.router.kill()
                self.router.start()
                for gateway in self.gateways[1:]:
                    gateway.go_live()
            backend.serve(alice.sid)
            backend.send(("SEND", first.number, "/", [alice.sid], [], LOGGED, TELL, "", "news", "1"),
                         ("SEND", archived.number, "/", ["R", "S"], [], ARCHIVED, TELL, "", "news", "2"))
            self.assertEqual(self.outcome(backend, first.number), first)
            self.assertEqual(self.outcome(backend, archived.number), archived)
        self.assertEqual([row["arguments"] for row in self.router.rows()], ["1", "2", "2"])

    def test_backends_and_publishers_share_ids(self):
        backend, (alice, _, _) = self.three()
        first = self.sent(backend, ["R"], 1, kind=ARCHIVED, id="message-1")
        request = alice.gateway.ask("PUBLISH", "/", ["R"], [], ARCHIVED, 0, "message-1", "news", "2")
        again = alice.gateway.take("OUTCOME", where=lambda record: record.number == request)
        self.assertEqual(again._replace(number=first.number), first)

    def test_what_is_sent_before_the_answer_to_connect_waits_at_the_gateway(self):
        backend, gateway = self.backend(), self.gateway()
        held, connection = self.judged(gateway, backend)
        self.sent(backend, [connection.sid], 1)
        self.assertEqual([record.socket for record in self.came(gateway, "EMIT")], [held.number])

    def test_nonsense_is_cut_off(self):
        for words, record in (("no JSON", ("SEND", 1, "/", [], [], LOGGED, 0, "", "news", "{")),
                              ("no JSON", ("SEND", 1, "/", [], [], LOGGED, 0, "", "news", '{"_placeholder":true,"num":1}', [b"x"])),
                              ("does not serve", ("SEND", 1, "/free-1", [], [], LOGGED, 0, "", "news", "1")),
                              ("no JSON", ("QUESTION", 1, "/", [], [], 100, "news", "1 2")),
                              ("does not serve", ("QUESTION", 1, "/plain", [], [], 100, "news", "1")),
                              ("does not serve", ("MOVE", 1, "/plain", [], [], ["R"], [])),
                              ("does not serve", ("EXPEL", 1, "/nowhere", [], [], 0)),
                              ("does not serve", ("FIND", 1, "/plain", [], [])),
                              ("none, or out of place", ("SEND", 1, "/", 7, [], LOGGED, 0, "", "news", "1"))):
            backend = self.backend("bad")
            backend.send(record)
            self.cut(backend, words)
        backend, (alice, _, _) = self.three()
        backend.send(("STORE", 1, alice.sid, "{"))
        self.cut(backend, "no JSON")
        stranger = self.backend("stranger", ["/free-*"])
        stranger.send(("STORE", 1, alice.sid, "1"))
        self.cut(stranger, "does not serve")
        self.assertEqual(self.came(alice.gateway, "DELIVER", "CAST", "EMIT"), [])
        self.assertTrue(alice.join("R")["ok"])


class Moving(ProgramTest):
    def test_sockets_of_rooms_join_and_leave(self):
        backend, (alice, bob, carol) = self.three()
        self.move(backend, [alice.sid], join=["a", "b"])
        self.move(backend, [carol.sid, bob.sid], join=["b"])
        self.assertEqual([(record.request, record.socket, record.room, record.answer)
                          for record in self.came(alice.gateway, "JOINED") if record.request == 0],
                         [(0, alice.number, "a", ""), (0, alice.number, "b", ""), (0, bob.number, "b", "")])
        self.assertEqual([(record.socket, record.room) for record in self.came(carol.gateway, "JOINED") if record.request == 0],
                         [(carol.number, "b")])
        self.assertEqual(sorted((record.sid, record.room) for record in self.came_to(backend, "ENTERED")),
                         sorted([(alice.sid, "a"), (alice.sid, "b"), (bob.sid, "b"), (carol.sid, "b")]))
        self.move(backend, ["b"], join=["c"], leave=["b"], spare=["a"])
        self.assertEqual(set(self.find(backend, ["b"])), {alice.sid})
        self.assertEqual(set(self.find(backend, ["c"])), {bob.sid, carol.sid})
        self.assertEqual([(record.request, record.room) for record in self.came(carol.gateway, "LEFT")], [(0, "b")])
        self.move(backend, [], join=["all"], spare=[bob.sid])
        self.assertEqual(set(self.find(backend, ["all"])), {alice.sid, carol.sid})
        self.assertEqual(self.router.metric("hubbub_targets_moved_total"), 7)

    def came_to(self, backend, name):
        self.find(backend)
        return [record for record in backend.records if kind(record) == name]

    def test_what_is_sent_behind_a_move_finds_them_there(self):
        backend, (alice, bob, carol) = self.three()
        sids = [alice.sid, bob.sid, carol.sid]
        backend.send(("MOVE", 1, "/", sids, [], ["a"], []), ("MOVE", 2, "/", ["a"], [carol.sid], ["b"], []),
                     ("MOVE", 3, "/", ["b"], [bob.sid], [], ["a"]), ("SEND", 4, "/", ["a"], ["b"], LOGGED, TELL, "", "news", "1"),
                     ("FIND", 5, "/", ["a"], []), ("EXPEL", 6, "/", ["a"], ["b"], 0), ("FIND", 7, "/", ["a", "b"], []))
        self.assertEqual([self.outcome(backend, number).error for number in (1, 2, 3, 4, 6)], [""] * 5)
        self.assertEqual({number: {record.sid for record in backend.records if kind(record) == "FOUND" and record.number == number}
                          for number in (5, 7)}, {5: {bob.sid, carol.sid}, 7: {alice.sid, bob.sid}})
        self.assertEqual([(record.room, record.exceptions) for record in self.came(carol.gateway, "CAST")], [("a", ["b"])])
        joined = self.came(alice.gateway, "JOINED", "LEFT", "CAST", "CLOSE")
        self.assertEqual([(kind(record), record.room) for record in joined if getattr(record, "request", 0) == 0],
                         [("JOINED", "a"), ("JOINED", "a"), ("JOINED", "b"), ("JOINED", "b"), ("LEFT", "a"), ("CAST", "a")])

    def test_joins_are_kept_over_a_kill(self):
        backend, (alice, _, _) = self.three()
        self.move(backend, [alice.sid], join=["kept", "left"])
        self.move(backend, [alice.sid], leave=["left"])
        offset = f"{alice.gateway.epoch}.{alice.gateway.pos}"
        self.router.kill()
        self.router.start()
        backend.serve()
        self.sent(backend, ["kept", "left"], 1)
        alice.gateway.held.clear()
        alice.gateway.go_live()
        back = alice.gateway.come_back(alice.pid, offset)
        self.assertEqual((back.recovered, set(back.rooms), [event[1] for event in back.replayed]), (1, {"kept"}, [1]))

    def test_refusals(self):
        backend, (alice, bob, _) = self.three()
        everyone = ("/", [], [])
        self.fails(backend, "bad_room", "MOVE", *everyone, ["R", ""], [])
        self.fails(backend, "bad_room", "MOVE", *everyone, ["R"], ["\x01"])
        self.fails(backend, "bad_room", "MOVE", *everyone, [bob.sid], [])
        self.fails(backend, "bad_room", "MOVE", "/", [""], [], ["R"], [])
        self.fails(backend, "too_large", "MOVE", *everyone, [str(at) for at in range(257)], [])
        self.fails(backend, "too_large", "FIND", "/", [str(at) for at in range(257)], [])
        self.fails(backend, "bad_room", "EXPEL", "/", [], [7], 0)
        self.assertEqual(self.find(backend, ["R"]), {})

    @options("--max-rooms-per-connection=2")
    def test_too_many_rooms(self):
        backend, (alice, bob, _) = self.three()
        self.move(backend, [alice.sid], join=["a"])
        self.fails(backend, "bad_request", "MOVE", "/", [alice.sid, bob.sid], [], ["b", "c"], [])
        self.assertEqual(set(self.find(backend, ["b"])), {alice.sid, bob.sid})
        self.assertEqual(set(self.find(backend, ["c"])), {bob.sid})
        self.move(backend, [alice.sid], leave=["a"])
        self.move(backend, [alice.sid], join=["c"])

    def test_clients_of_a_namespace_without_builtins_and_recovery(self):
        backend, (alice, bob, carol) = self.three("/bare")
        self.move(backend, [alice.sid, carol.sid], join=["R"], namespace="/bare")
        self.sent(backend, ["R"], 1, namespace="/bare")
        self.assertEqual([len(self.came(held.gateway, "DELIVER")) for held in (alice, carol)], [1, 1])
        self.assertEqual(self.router.rows(), [])


class Expelling(ProgramTest):
    def test_a_namespace_and_a_connection(self):
        backend, (alice, bob, carol) = self.three()
        self.move(backend, [alice.sid, carol.sid], join=["R"])
        self.send(backend, ["R"], "bye")
        self.done(backend, "EXPEL", "/", ["R"], [carol.sid], 0)
        self.assertEqual([(kind(record), getattr(record, "final", None)) for record in self.came(alice.gateway, "DELIVER", "CLOSE")],
                         [("DELIVER", None), ("CLOSE", FINAL)])
        self.done(backend, "EXPEL", "/", ["R"], [], 1)
        record, = self.came(carol.gateway, "CLOSE")
        self.assertEqual((record.socket, record.final), (carol.number, ALL))
        gone = [record for record in backend.records if kind(record) == "DISCONNECTION"]
        self.assertEqual([(record.sid, record.reason, record.rooms) for record in gone],
                         [(alice.sid, "server namespace disconnect", ["R"]), (carol.sid, "server namespace disconnect", ["R"])])
        self.assertEqual(set(self.find(backend)), {bob.sid})
        self.assertEqual(self.router.metric("hubbub_expelled_total"), 2)

    def test_nobody_comes_back_to_it(self):
        backend, (alice, _, carol) = self.three()
        self.done(backend, "EXPEL", "/", [alice.sid], [], 0)
        carol.gateway.send(("DISCONNECT", carol.number, "server_disconnect"))  # of a connection that another namespace expelled
        del carol.gateway.held[carol.number], alice.gateway.held[alice.number]
        gone = {record.sid: record.reason for record in [backend.take("DISCONNECTION"), backend.take("DISCONNECTION")]}
        self.assertEqual(gone, {sid: "server namespace disconnect" for sid in (alice.sid, carol.sid)})
        for held in (alice, carol):
            fresh = held.gateway.begin(auth=json.dumps({"pid": held.pid}))
            connection = self.both(held.gateway, backend, "CONNECTION")
            backend.send(("ACCEPT", connection.task, ""))
            held.gateway.connected(fresh)
            self.assertEqual((fresh.recovered, fresh.sid == held.sid), (0, False))

    def test_operators_kick_and_close(self):
        """As backends do; the rooms of a namespace without builtins are the backend's, so clients are told nothing."""
        for namespace, told in (("/", ["LEFT", "EMIT"]), ("/bare", ["LEFT"])):
            with self.subTest(namespace=namespace):
                backend, (alice, bob, carol) = self.three(namespace)
                self.move(backend, [alice.sid, bob.sid, carol.sid], join=["R"], namespace=namespace)
                self.came(alice.gateway, "JOINED")
                self.assertEqual(self.router.ask(f"kick {alice.sid}"), ["ok kicked 1"])
                gone = backend.take("DISCONNECTION")
                self.assertEqual((gone.sid, gone.reason, gone.rooms), (alice.sid, "server namespace disconnect", ["R"]))
                record, = self.came(alice.gateway, "CLOSE")
                self.assertEqual((record.socket, record.final), (alice.number, FINAL))
                self.assertEqual(self.router.ask(f"close R in {namespace}"), ["left 2\nunreachable 0"])
                exited = {backend.take("EXITED").sid for _ in range(2)}
                self.assertEqual(exited, {bob.sid, carol.sid})
                self.assertEqual([kind(record) for record in self.came(bob.gateway, "LEFT", "EMIT")], told)
                self.assertEqual(set(self.find(backend, namespace=namespace)), {bob.sid, carol.sid})
                for gateway in self.gateways:
                    gateway.send(("BYE", ""))
                backend.send(("LEAVING", ""))
                self.until(lambda: "\n" not in self.router.ask("backends")[0], "not gone")


class Finding(ProgramTest):
    def test_what_is_told(self):
        backend, gateway = self.backend(), self.gateway()
        alice = self.client(gateway, backend, data='{"n":1}')
        self.client(gateway, backend, "/all")
        self.move(backend, [alice.sid], join=["a", "b"])
        found, = self.find(backend).values()
        self.assertEqual((found.sid, found.sender, sorted(found.rooms), found.data, found.address),
                         (alice.sid, alice.sender, ["a", "b"], '{"n":1}', "127.0.0.1"))
        self.assertEqual(self.find(backend, ["c"]), {})
        self.assertEqual(self.find(backend, ["a"], spare=["b"]), {})

    def test_who_is_not_accepted_yet_is_not_there(self):
        backend, gateway = self.backend(), self.gateway()
        _, connection = self.judged(gateway, backend)
        for rooms in ([], [connection.sid]):
            self.assertEqual(self.find(backend, rooms), {})
        self.move(backend, [connection.sid], join=["R"])
        self.done(backend, "EXPEL", "/", [connection.sid], [], 0)
        self.assertEqual(self.came(gateway, "JOINED", "CLOSE")[1:], [])

    def test_many(self):
        backend, gateway = self.backend(), self.gateway()
        held = [gateway.begin() for _ in range(300)]
        for _ in held:
            backend.send(("ACCEPT", self.both(gateway, backend, "CONNECTION").task, json.dumps("x" * 4000)))
        sids = {gateway.connected(socket).sid for socket in held}
        backend.batches.clear()
        self.assertEqual(set(self.find(backend)), sids)
        self.assertGreater(sum("FOUND" in batch for batch in backend.batches), 1)


class Storing(ProgramTest):
    def rows(self):
        with contextlib.closing(sqlite3.connect(f"{self.router.data}/journal.sqlite")) as database:
            return database.execute("SELECT sid, data FROM session").fetchall()

    def test_it_is_on_disk_when_it_is_told(self):
        backend, gateway = self.backend(), self.gateway()
        alice = self.client(gateway, backend, data="1")
        self.assertEqual(self.rows(), [(alice.sid, "1")])
        for data in ('{"a":"\u00e4"}', "", '"' + "x" * (16384 - 2) + '"'):
            self.done(backend, "STORE", alice.sid, data)
            self.assertEqual(self.rows(), [(alice.sid, data or None)])
            self.assertEqual(self.find(backend)[alice.sid].data, data)

    @options(MORTAL)
    def test_it_is_there_on_recovery(self):
        backend, gateway = self.backend(), self.gateway()
        alice = self.client(gateway, backend)
        self.done(backend, "STORE", alice.sid, "[1]")
        gateway.lose(alice)
        back = gateway.come_back(alice.pid)
        self.assertEqual(self.both(gateway, backend, "CONNECTION", connection=RECOVERED).data, "[1]")
        self.done(backend, "STORE", alice.sid, "[2]")
        self.router.kill()
        self.router.start()
        gateway.held.clear()
        gateway.go_live()
        backend.serve()
        again = gateway.come_back(back.pid)
        self.assertEqual((again.recovered, self.both(gateway, backend, "CONNECTION", connection=RECOVERED).data), (1, "[2]"))

    def test_it_goes_with_the_socket_to_another_backend(self):
        first, gateway = self.backend("first"), self.gateway()
        alice = self.client(gateway, first, "/bare", data="0")
        self.done(first, "STORE", alice.sid, "[1]")
        second = self.backend("second")
        first.send(("LEAVING", "test"))
        self.assertEqual(self.both(gateway, second, "CONNECTION").data, "[1]")

    def test_a_full_disk_keeps_them_until_there_is_room(self):
        backend, gateway = self.backend(), self.gateway()
        alice = self.client(gateway, backend, data="1")
        before = resource.prlimit(self.router.process.pid, resource.RLIMIT_FSIZE)
        # The limit on the files' size stands for a full disk.
        resource.prlimit(self.router.process.pid, resource.RLIMIT_FSIZE, (1, before[1]))
        told = self.outcome(backend, self.send(backend, ["R"], 1))
        self.assertEqual(told.error, "storage_full")
        self.done(backend, "STORE", alice.sid, "2")
        self.assertEqual((self.find(backend)[alice.sid].data, self.rows()), ("2", [(alice.sid, "1")]))
        resource.prlimit(self.router.process.pid, resource.RLIMIT_FSIZE, before)
        self.sent(backend, ["R"], 2)
        self.until(lambda: self.rows() == [(alice.sid, "2")], "the row is not right")

    def test_refusals(self):
        backend, gateway = self.backend(), self.gateway()
        alice = self.client(gateway, backend)
        self.fails(backend, "bad_request", "STORE", "x" * 20, "1")
        self.fails(backend, "bad_request", "STORE", "short", "1")
        self.fails(backend, "too_large", "STORE", alice.sid, '"' + "x" * 16384 + '"')
        self.assertEqual(self.rows(), [(alice.sid, None)])

    def test_while_its_gateway_says_hello_a_socket_is_its_own_backend_s_alone(self):
        first, gateway = self.backend("first"), self.gateway()
        alice = self.client(gateway, first, "/bare", data="0")
        second = self.backend("second")
        gateway.open()
        hello = gateway.hello_records()
        gateway.send(hello[0])
        self.until(lambda: self.outcome(second, self.ask(second, "STORE", alice.sid, "[2]")).error == "bad_request",
                   "another backend stored data")
        self.done(first, "STORE", alice.sid, "[1]")
        gateway.send(*hello[1:])
        gateway.take("LIVE")
        self.assertEqual(self.find(first, namespace="/bare")[alice.sid].data, "[1]")


class Asking(ProgramTest):
    def question(self, backend, rooms, *arguments, namespace="/", spare=(), timeout=60000, event="news"):
        number = self.ask(backend, "QUESTION", namespace, list(rooms), list(spare), timeout, event,
                          json.dumps(arguments, separators=(",", ":"))[1:-1])
        return number, backend.take("ASKED", where=lambda record: record.number == number).sids

    def answer(self, held, ack, *arguments, attachments=()):
        request = held.ask("RESPONSE", ack, json.dumps(arguments, separators=(",", ":"))[1:-1],
                           *([list(attachments)] if attachments else []))
        held.gateway.take("DONE", where=lambda record: request in record.requests)

    def replies(self, backend):
        self.find(backend)
        came = [(record.number, record.sid, record.arguments, record.attachments) for record in backend.records
                if kind(record) == "REPLY"]
        backend.records = [record for record in backend.records if kind(record) != "REPLY"]
        return came

    def test_one_socket(self):
        backend, (alice, bob, _) = self.three()
        number, sids = self.question(backend, [alice.sid], {"n": 1})
        self.assertEqual(sids, [alice.sid])
        pose = alice.gateway.take("POSE")
        self.assertEqual((pose.socket, pose.flags, pose.payload), (alice.number, 0, '["news",{"n":1}]'))
        self.assertTrue(0 < pose.ack < 1 << 31)
        self.answer(bob, pose.ack, "not asked")
        self.answer(alice, pose.ack + 1, "another")
        self.answer(alice, pose.ack, "yes", 2, attachments=[b"\0x"])
        self.answer(alice, pose.ack, "again")
        self.assertEqual(self.replies(backend), [(number, alice.sid, '"yes",2', [b"\0x"])])
        self.assertEqual(self.router.metric("hubbub_question_answers_total{result=passed}"), 1)
        self.assertEqual(self.router.metric("hubbub_question_answers_total{result=dropped}"), 3)
        self.assertEqual(self.router.rows(), [])

    def test_many_sockets_each_once(self):
        backend, (alice, bob, carol) = self.three()
        self.move(backend, [alice.sid, bob.sid], join=["a"])
        self.move(backend, [bob.sid, carol.sid], join=["b"])
        number, sids = self.question(backend, ["a", "b", alice.sid])
        self.assertEqual(sorted(sids), sorted([alice.sid, bob.sid, carol.sid]))
        casts = {gateway: self.came(gateway, "CAST", "POSE") for gateway in (alice.gateway, carol.gateway)}
        self.assertEqual([(record.room, record.exceptions) for record in casts[alice.gateway]], [("a", []), ("b", ["a"])])
        self.assertEqual([(record.room, record.exceptions) for record in casts[carol.gateway]], [("b", ["a"])])
        ack, = {record.ack for records in casts.values() for record in records}
        for held in (carol, alice, bob):
            self.answer(held, ack, held.number)
        self.assertEqual([reply[1] for reply in self.replies(backend)], [carol.sid, alice.sid, bob.sid])
        _, sids = self.question(backend, [], spare=["b"])
        self.assertEqual(sids, [alice.sid])
        record, = self.came(carol.gateway, "CAST")
        self.assertEqual((record.flags, record.exceptions), (NAMESPACE, ["b"]))
        self.assertNotEqual(record.ack, ack)

    def test_nobody_is_there(self):
        backend, (alice, _, _) = self.three()
        self.assertEqual(self.question(backend, ["R"])[1], [])
        self.assertEqual(self.came(alice.gateway, "CAST", "POSE"), [])

    def test_a_late_answer_is_none(self):
        backend, (alice, _, _) = self.three()
        self.question(backend, [alice.sid], timeout=1)
        pose = alice.gateway.take("POSE")
        self.until(lambda: self.router.metric("hubbub_questions_expired_total") == 1, "no end")
        self.answer(alice, pose.ack, "late")
        self.assertEqual(self.replies(backend), [])

    def test_it_comes_behind_what_was_sent_before(self):
        backend, (alice, _, _) = self.three()
        self.move(backend, [alice.sid], join=["R"])
        backend.send(*(record for at in range(0, 40, 2) for record in (
            ("SEND", 100 + at, "/", ["R"], [], ARCHIVED, 0, "", "news", str(at)),
            ("QUESTION", 101 + at, "/", [alice.sid], [], 60000, "news", str(at + 1)))))
        backend.take("ASKED", where=lambda record: record.number == 139)
        self.assertEqual([json.loads(record.payload)[1] for record in self.came(alice.gateway, "DELIVER", "POSE")], list(range(40)))

    def test_asked_again_on_a_new_link_it_is_asked_once(self):
        backend, (alice, _, _) = self.three()
        number, sids = self.question(backend, [alice.sid], 1)
        backend.serve(alice.sid)
        backend.send(("QUESTION", number, "/", [alice.sid], [], 60000, "news", "1"))
        self.assertEqual(backend.take("ASKED").sids, sids)
        pose, = self.came(alice.gateway, "POSE")
        self.answer(alice, pose.ack, "yes")
        self.assertEqual([reply[2] for reply in self.replies(backend)], ['"yes"'])

    def test_asked_again_after_the_answers_it_is_asked_once(self):
        """They came while the backend's link was down, and are lost; the clients must not be asked twice."""
        backend, (alice, _, _) = self.three()
        number, sids = self.question(backend, [alice.sid], 1)
        pose, = self.came(alice.gateway, "POSE")
        backend.close()
        self.answer(alice, pose.ack, "yes")
        alice.gateway.settle()
        backend.serve(alice.sid)
        backend.send(("QUESTION", number, "/", [alice.sid], [], 60000, "news", "1"))
        self.assertEqual(backend.take("ASKED").sids, sids)
        alice.gateway.settle()
        self.assertEqual(self.came(alice.gateway, "POSE"), [])

    def test_a_backend_that_goes_takes_its_questions_along(self):
        backend, (alice, _, _) = self.three()
        self.question(backend, [alice.sid], 1)
        pose = alice.gateway.take("POSE")
        backend.send(("LEAVING", "test"))
        self.until(lambda: self.router.metric("hubbub_backends_left_total") or "backend leaves" in self.router.log(), "it stays")
        self.answer(alice, pose.ack, "yes")
        self.assertEqual(self.router.metric("hubbub_question_answers_total{result=dropped}"), 1)

    def test_refusals(self):
        backend, _ = self.three()
        for code, fields in (("bad_request", ("/", [], [], 0, "news", "1")),
                             ("bad_request", ("/", [], [], 3600001, "news", "1")),
                             ("bad_request", ("/", [], [], 100, "disconnect", "1")),
                             ("bad_room", ("/", [""], [], 100, "news", "1")),
                             ("too_deep", ("/", [], [], 100, "news", "[" * 128 + "]" * 128)),
                             ("too_large", ("/", [], [], 100, "news", '"' + "x" * (1 << 20) + '"'))):
            self.fails(backend, code, "QUESTION", *fields)

    @options(MORTAL)
    def test_no_offset_is_in_it_and_nothing_is_recovered(self):
        backend, (alice, _, _) = self.three()
        self.move(backend, [alice.sid], join=["R"])
        self.question(backend, ["R"], 1)
        self.assertEqual(self.came(alice.gateway, "CAST")[0].payload, '["news",1]')
        alice.gateway.lose(alice)
        self.assertEqual(alice.gateway.come_back(alice.pid).replayed, [])
        self.both(alice.gateway, backend, "CONNECTION", connection=RECOVERED)


if __name__ == "__main__":
    unittest.main()
