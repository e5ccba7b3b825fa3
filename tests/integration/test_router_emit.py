#!/usr/bin/env python3
"""What programs send to clients, as the router takes it from an HTTP publisher's gateway: docs/protocol.md, section 3.

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
from played_gateway import (NAMESPACE, REPLAY, VOLATILE, RouterTest, kind)  # noqa: E402

LOGGED, ARCHIVED, TRANSIENT = 0, 1, 2  # classes of SEND
META, TELL = 1, 2  # its flags
OFFSETLESS = """
namespaces = ( { name = "/"; }, { name = "/plain"; recovery = false; }, { pattern = "/p-*"; } );
"""


def start(gateway, rooms, *arguments, namespace="/", spare=(), kind=LOGGED, flags=0, id="", event="news", attachments=(),
          text=None):
    """Sends a PUBLISH; its request."""
    text = json.dumps(arguments, separators=(",", ":"))[1:-1] if text is None else text
    return gateway.ask("PUBLISH", namespace, list(rooms), list(spare), kind, flags, id, event, text,
                       *([list(attachments)] if attachments else []))


def outcome(gateway, request):
    return gateway.take("OUTCOME", where=lambda record: record.number == request)


def publish(gateway, rooms, *arguments, **how):
    return outcome(gateway, start(gateway, rooms, *arguments, **how))


def deliveries(gateway):
    """What came to the gateway's sockets, in order; taken."""
    gateway.settle()
    kinds = ("DELIVER", "CAST", "EMIT", "POSE")
    came = [record for record in gateway.records if kind(record) in kinds]
    gateway.records = [record for record in gateway.records if kind(record) not in kinds]
    return came


def seen_by(held, records):
    """The payloads of those that a gateway would hand to this socket, judged as docs/protocol.md says."""
    seen = []
    for record in records:
        if kind(record) in ("EMIT", "POSE"):
            mine = record.socket == held.number
        else:
            mine = record.namespace == held.namespace and (record.flags & NAMESPACE or record.room in held.rooms)
            if kind(record) == "CAST":
                mine = mine and not any(name == held.sid or name in held.rooms for name in record.exceptions)
            else:
                mine = mine and record.except_socket != held.number
        if mine:
            seen.append(json.loads(record.payload))
    return seen


class Publishing(RouterTest):
    configuration = OFFSETLESS

    def fails(self, record, code):
        self.assertEqual((record.error, record.id, record.seqs), (code, "", []), record)
        self.assertTrue(record.message)

    def test_an_archived_event_to_a_room(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect(), two.connect()
        alice.join("R")
        bob.join("R")
        request = start(two, ["R"], {"n": 1}, "x", kind=ARCHIVED, flags=META)
        told = outcome(two, request)
        made = f"{two.incarnation:x}-{request:x}"
        self.assertEqual((told.error, told.message, told.id, told.seqs), ("", "", made, [1]))
        for gateway in (one, two):
            record, = deliveries(gateway)
            self.assertEqual((kind(record), record.pos, record.room, record.flags), ("DELIVER", 1, "R", 0))
            self.assertEqual(json.loads(record.payload),
                             ["news", {"n": 1}, "x", {"room": "R", "seq": 1, "id": made, "at": told.at}, f"{one.epoch}.1"])
        message, = alice.history("R")["messages"]
        self.assertEqual(message, {"seq": 1, "id": made, "event": "news", "from": "", "at": told.at, "args": [{"n": 1}, "x"]})

    def test_everyone_in_several_rooms_gets_it_once(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        members = {"a": one.connect(), "ab": one.connect(), "bc": two.connect(), "c": two.connect(), "": two.connect()}
        for rooms, held in members.items():
            for room in rooms:
                held.join(room)
        told = publish(one, ["a", "b", "a", "c"], 1, kind=ARCHIVED)
        self.assertEqual(told.seqs, [1, 1, 1])
        records = {gateway: deliveries(gateway) for gateway in (one, two)}
        self.assertEqual([record.pos for record in records[two]], [2, 3])
        for rooms, held in members.items():
            self.assertEqual(len(seen_by(held, records[held.gateway])), 1 if rooms else 0, rooms)
        self.assertEqual([(kind(record), record.room, getattr(record, "exceptions", None))
                          for record in records[one]], [("DELIVER", "a", None), ("CAST", "b", ["a"])])
        self.assertEqual([(row["room"], row["seq"]) for row in self.router.rows()], [("a", 1), ("b", 1), ("c", 1)])

    def test_exceptions_by_room_and_by_sid(self):
        gateway = self.gateway()
        alice, bob, carol = gateway.connect(), gateway.connect(), gateway.connect()
        for held in (alice, bob, carol):
            held.join("R")
        bob.join("quiet")
        publish(gateway, ["R"], 1, spare=["quiet", carol.sid])
        records = deliveries(gateway)
        self.assertEqual([(kind(record), record.exceptions) for record in records], [("CAST", ["quiet", carol.sid])])
        self.assertEqual([len(seen_by(held, records)) for held in (alice, bob, carol)], [1, 0, 0])
        publish(gateway, [], 2, spare=["quiet"])
        records = deliveries(gateway)
        self.assertEqual([(kind(record), record.flags) for record in records], [("CAST", NAMESPACE)])
        self.assertEqual([len(seen_by(held, records)) for held in (alice, bob, carol)], [1, 0, 1])

    def test_one_socket_as_the_exception_is_what_others_leaves_out(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect(), two.connect()
        alice.join("R")
        bob.join("R")
        publish(two, ["R"], 1, spare=[alice.sid])
        self.assertEqual([(kind(record), record.except_socket) for gateway in (one, two) for record in deliveries(gateway)],
                         [("DELIVER", alice.number), ("DELIVER", 0)])

    def test_a_single_socket(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect(), two.connect()
        told = publish(two, [alice.sid], 1)
        self.assertEqual((told.error, told.seqs), ("", []))
        record, = deliveries(one)
        self.assertEqual((kind(record), record.socket, json.loads(record.payload)),
                         ("EMIT", alice.number, ["news", 1, f"{one.epoch}.1"]))
        self.assertEqual(deliveries(two), [])
        alice.join("R")
        bob.join("R")
        publish(one, ["R", alice.sid, bob.sid], 2)
        self.assertEqual([kind(record) for record in deliveries(one) + deliveries(two)], ["DELIVER", "DELIVER"])
        publish(one, [alice.sid, "R"], 3)
        self.assertEqual([kind(record) for record in deliveries(one)], ["EMIT", "DELIVER"])
        publish(one, [alice.sid], 4, spare=["R"])
        self.assertEqual(deliveries(one), [])
        self.fails(publish(one, [bob.sid], 5, kind=ARCHIVED), "bad_room")

    def test_the_namespace(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        one.connect()
        two.connect("/plain")
        publish(two, [], 1)
        record, = deliveries(one)
        self.assertEqual((kind(record), record.room, record.flags), ("DELIVER", "", NAMESPACE))
        self.assertEqual(deliveries(two), [])
        publish(one, [], 2, namespace="/plain")
        self.assertEqual([json.loads(record.payload) for record in deliveries(two)], [["news", 2]])
        self.fails(publish(one, [], 3, kind=ARCHIVED), "bad_request")

    def test_classes(self):
        gateway = self.gateway()
        held, plain = gateway.connect(), gateway.connect("/plain")
        held.join("R")
        plain.join("R")
        volatile = publish(gateway, ["R"], 1, kind=TRANSIENT, flags=META)
        self.assertEqual((volatile.error, volatile.id, volatile.seqs), ("", "", []))
        logged = publish(gateway, ["R"], 2)
        unlogged = publish(gateway, ["R"], 3, namespace="/plain")
        named = publish(gateway, ["R"], 4, namespace="/plain", id="message-4")
        archived = publish(gateway, ["R"], 5, namespace="/plain", kind=ARCHIVED)
        self.assertEqual([(bool(record.id), record.seqs) for record in (logged, unlogged, named, archived)],
                         [(True, []), (True, []), (True, []), (True, [1])])
        records = deliveries(gateway)
        self.assertEqual([(record.pos, record.flags) for record in records], [(0, VOLATILE), (1, 0), (1, 0), (2, 0), (3, 0)])
        self.assertEqual(json.loads(records[0].payload)[1:],
                         [1, {"room": "R", "at": volatile.at}, f"{gateway.epoch}.0"])
        self.assertEqual([(row["class"], row["arguments"], row["publish_id"]) for row in self.router.rows()],
                         [(2, "2", logged.id), (2, "4", "message-4"), (1, "5", archived.id)])
        statistics = self.router.statistics()["metrics"]
        self.assertEqual([statistics.get(f"hubbub_messages_total{{class={name}}}") for name in
                          ("archived", "logged", "volatile", "unlogged")], [1, 2, 1, 1])
        self.assertEqual(statistics["hubbub_sends_total"], 5)

    def test_nothing_overtakes(self):
        """Whatever the class and the audience, a socket gets in order what was sent in order."""
        gateway = self.gateway()
        for namespace in ("/", "/plain"):
            held = gateway.connect(namespace)
            held.join("R")
            deliveries(gateway)
            sends = [(["R"], ARCHIVED), (["R"], TRANSIENT), ([held.sid], LOGGED), ([], TRANSIENT), (["R", "S"], LOGGED),
                     ([held.sid], TRANSIENT), ([], LOGGED), (["R"], ARCHIVED), ([held.sid], LOGGED)] * 5
            first = gateway.request + 1
            gateway.send(*(("PUBLISH", first + at, namespace, rooms, [], of_class, 0, "", "news", str(at))
                           for at, (rooms, of_class) in enumerate(sends)))
            gateway.request += len(sends)
            for at in range(len(sends)):
                self.assertEqual(outcome(gateway, first + at).error, "")
            held.rooms = {"R": (0, 0)}
            self.assertEqual([payload[1] for payload in seen_by(held, deliveries(gateway))], list(range(len(sends))))

    def test_attachments(self):
        gateway = self.gateway()
        gateway.connect().join("R")
        place = '{"_placeholder":true,"num":%d}'
        publish(gateway, ["R"], text=place % 0 + "," + place % 1, attachments=[b"a", b"\0\xff"], kind=ARCHIVED)
        self.assertEqual([record.attachments for record in deliveries(gateway)], [[b"a", b"\0\xff"]])
        self.fails(publish(gateway, ["R"], text=place % 2, attachments=[b"a", b"b"]), "bad_request")
        self.fails(publish(gateway, ["R"], text=place % 0, attachments=[b"x"] * 11), "too_large")
        self.assertEqual(publish(gateway, ["R"], text=place % 7).error, "")  # ordinary data

    def test_refusals(self):
        gateway = self.gateway()
        limit = 1 << 20
        for code, how in (("bad_request", dict(namespace="/nowhere")),
                          ("bad_request", dict(namespace="nowhere")),
                          ("bad_request", dict(event="connect")),
                          ("bad_request", dict(event="")),
                          ("bad_request", dict(event="a\x01")),
                          ("bad_request", dict(kind=3)),
                          ("bad_request", dict(id="short")),
                          ("bad_request", dict(id="a" * 65)),
                          ("bad_request", dict(text="{")),
                          ("bad_request", dict(text="1,")),
                          ("bad_request", dict(text="1],[2")),
                          ("bad_request", dict(text=" ")),
                          ("bad_request", dict(text=b'"\xff"')),
                          ("too_deep", dict(text="[" * 128 + "]" * 128)),
                          ("too_large", dict(text='"' + "x" * limit + '"')),
                          ("too_large", dict(spare=["x"] * 257)),
                          ("bad_room", dict(spare=["x", ""])),
                          ("bad_room", dict(spare=[7]))):
            self.fails(publish(gateway, ["R"], **{"text": "1", **how}), code)
        self.fails(publish(gateway, ["R", ""], 1), "bad_room")
        self.fails(publish(gateway, ["x" * 256], 1), "bad_room")
        self.fails(publish(gateway, [str(at) for at in range(257)], 1), "too_large")
        self.fails(publish(gateway, [str(at) for at in range(100)], "x" * (limit // 4)), "too_large")
        self.assertEqual(publish(gateway, [str(at) for at in range(256)], 1, kind=ARCHIVED).seqs, [1] * 256)
        self.assertEqual(publish(gateway, ["R"], text="[" * 127 + "]" * 127).error, "")
        self.assertEqual(publish(gateway, ["R"], text="").error, "")
        self.assertEqual(self.router.metric("hubbub_refused_total{code=too_deep}"), 1)
        self.assertEqual(len(self.router.rows()), 258)

    def test_an_id_counts_once_for_all_rooms(self):
        gateway = self.gateway()
        gateway.connect().join("a")
        publish(gateway, ["b"], 0, kind=ARCHIVED)
        first = publish(gateway, ["a", "b"], 1, kind=ARCHIVED, id="message-1")
        self.assertEqual(first.seqs, [1, 2])
        deliveries(gateway)
        again = publish(gateway, ["a", "b"], 2, kind=ARCHIVED, id="message-1")
        self.assertEqual(again._replace(number=first.number), first)
        wider = publish(gateway, ["a", "b", "c"], 3, kind=ARCHIVED, id="message-1")
        self.assertEqual((wider.error, wider.seqs, wider.at), ("", [1, 2], first.at))
        self.assertEqual(publish(gateway, ["c"], 4, kind=ARCHIVED, id="message-1").seqs, [1])
        self.assertEqual(deliveries(gateway), [])
        self.assertEqual(publish(gateway, ["a"], 5, kind=ARCHIVED, id="message-1", namespace="/plain").seqs, [1])
        self.assertEqual([row["arguments"] for row in self.router.rows()], ["0", "1", "1", "5"])
        self.assertEqual(self.router.metric("hubbub_repeated_total"), 6)

    def test_ids_outlive_a_kill(self):
        """A publisher's own id, and, for what is asked again on a new link, the request's."""
        gateway = self.gateway()
        own = publish(gateway, ["a", "b"], 1, kind=ARCHIVED, id="message-1")
        request = start(gateway, ["a"], 2, kind=ARCHIVED)
        made = outcome(gateway, request)
        number = start(gateway, ["a"], 3)
        logged = outcome(gateway, number)
        self.router.kill()
        self.router.start()
        gateway.go_live()
        self.assertEqual(publish(gateway, ["a", "b"], 1, kind=ARCHIVED, id="message-1").seqs, own.seqs)
        for asked, told, of_class in ((request, made, ARCHIVED), (number, logged, LOGGED)):
            gateway.send(("PUBLISH", asked, "/", ["a"], [], of_class, 0, "", "news", "2"))
            self.assertEqual(outcome(gateway, asked), told)
        self.assertEqual([row["arguments"] for row in self.router.rows()], ["1", "1", "2", "3"])

    def test_a_full_disk_takes_all_of_it_or_nothing(self):
        # The limit on the files' size stands for a full disk.
        gateway = self.gateway()
        gateway.connect().join("a")
        publish(gateway, ["a", "b"], 1, kind=ARCHIVED)
        deliveries(gateway)
        self.limit_files()
        self.fails(publish(gateway, ["a", "b", "c"], "x" * 300000, kind=ARCHIVED), "storage_full")
        self.assertEqual(deliveries(gateway), [])
        self.assertEqual(len(self.router.rows()), 2)

    def test_what_led_to_a_sockets_messages_goes_with_its_session(self):
        gateway = self.gateway()
        alice, bob = gateway.connect(), gateway.connect()
        publish(gateway, [alice.sid, bob.sid], 1)
        gateway.lose(alice, "client_disconnect")
        self.assertEqual(self.router.stop(), 0)
        with contextlib.closing(sqlite3.connect(f"{self.router.data}/journal.sqlite")) as database:
            self.assertEqual(database.execute("SELECT name FROM room WHERE name <> ''").fetchall(), [(bob.sid,)])

    def limit_files(self):
        path = pathlib.Path(self.router.data, "journal.sqlite-wal")
        limit = path.stat().st_size + 200000
        resource.prlimit(self.router.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


class Missed:
    """Who was away gets what it would have got: judged again, by the rooms that it had when it was sent."""

    between = None  # what happens before they come back

    def said(self, held, offset):
        back = held.gateway.come_back(held.pid, offset)
        self.assertEqual(back.recovered, 1)
        return [event[1] for event in back.replayed]

    def test_exceptions_hold_for_who_was_away(self):
        gateway = self.gateway()
        helper = gateway.connect()
        members = {name: gateway.connect() for name in ("alice", "bob", "carol", "dave", "erin")}
        for name, held in members.items():
            held.join("a")
            if name in ("bob", "carol"):
                held.join("b")
            if name == "dave":
                held.join("quiet")
        sid = {name: held.sid for name, held in members.items()}
        offset = f"{gateway.epoch}.{gateway.pos}"
        # Erin is in the excepted room only since then.
        publish(gateway, ["a"], 1, spare=["quiet", sid["carol"]])
        members["erin"].join("quiet")
        for held in members.values():
            gateway.lose(held)
        publish(gateway, ["a", "b"], 2)
        publish(gateway, ["b", "a"], 3, kind=ARCHIVED)
        publish(gateway, ["a"], 4, spare=[sid["bob"]])
        publish(gateway, [], 5, spare=["b", sid["alice"], sid["dave"]])
        publish(gateway, [sid["alice"]], 6)
        publish(gateway, [sid["dave"], sid["alice"]], 7, spare=["quiet"])
        publish(gateway, ["b", sid["bob"], sid["erin"]], 8)
        publish(gateway, ["a"], 9, kind=TRANSIENT)
        if self.between:
            self.between(gateway)
        for name, expected in {"alice": [1, 2, 3, 4, 6, 7], "bob": [1, 2, 3, 8], "carol": [2, 3, 4, 8], "dave": [2, 3, 4],
                               "erin": [1, 2, 3, 4, 5, 8]}.items():
            self.assertEqual(self.said(members[name], offset), expected, name)
        self.assertEqual(helper.recovered, 0)


class MissedInMemory(Missed, RouterTest):
    pass


class MissedInTheJournal(Missed, RouterTest):
    options = ("--recent-max=0",)


class MissedBeforeARestart(Missed, RouterTest):
    options = ("--recent-max=0",)

    def between(self, gateway):
        self.router.kill()
        self.router.start()
        gateway.go_live()


class Resync(RouterTest):
    def test_a_gateway_gets_the_exceptions_again(self):
        gateway = self.gateway()
        alice, bob = gateway.connect(), gateway.connect()
        alice.join("a")
        bob.join("a")
        bob.join("b")
        deliveries(gateway)
        gateway.close()  # the router does not know yet
        other = self.gateway("g2")
        sends = [dict(rooms=["a", "b"]), dict(rooms=[], spare=["b"]), dict(rooms=[bob.sid], spare=["b"]),
                 dict(rooms=[bob.sid]), dict(rooms=["a"], spare=[alice.sid]), dict(rooms=["a"], spare=["b", alice.sid])]
        for at, how in enumerate(sends):
            publish(other, how["rooms"], at, spare=how.get("spare", ()))
        gateway.go_live()
        self.assertEqual([(kind(record), getattr(record, "exceptions", None), record.flags, json.loads(record.payload)[1])
                          for record in gateway.before_live if kind(record) in ("DELIVER", "CAST", "EMIT")],
                         [("DELIVER", None, REPLAY, 0), ("CAST", ["a"], REPLAY, 0), ("CAST", ["b"], REPLAY | NAMESPACE, 1),
                          ("EMIT", None, REPLAY, 3), ("DELIVER", None, REPLAY, 4),
                          ("CAST", ["b", alice.sid], REPLAY, 5)])
        self.assertEqual([record.except_socket for record in gateway.before_live if kind(record) == "DELIVER"],
                         [0, alice.number])


class Looking(RouterTest):
    """GET /api/rooms/R: no membership is asked for."""

    configuration = OFFSETLESS
    options = ("--recent-max=0",)

    def look(self, gateway, room, history=0, before=0, after=None, limit=0, namespace="/"):
        return gateway.answer(gateway.ask("LOOK", namespace, room, history, before, int(after is not None), after or 0, limit))

    def test_a_room(self):
        gateway = self.gateway()
        self.assertEqual(self.look(gateway, "R"), {"ok": True, "room": "R", "members": 0, "seq": 0})
        gateway.connect().join("R")
        gateway.connect().join("R")
        publish(gateway, ["R", "S \u00e4"], 1, kind=ARCHIVED)
        rooms = self.router.statistics()["rooms"]
        self.assertEqual(self.look(gateway, "R"), {"ok": True, "room": "R", "members": 2, "seq": 1})
        self.assertEqual(self.look(gateway, "S \u00e4"), {"ok": True, "room": "S \u00e4", "members": 0, "seq": 1})
        self.assertEqual(self.look(gateway, "R", namespace="/p-1"), {"ok": True, "room": "R", "members": 0, "seq": 0})
        self.refused(self.look(gateway, "R", namespace="/nowhere"), "bad_request")
        self.refused(self.look(gateway, ""), "bad_room")
        self.assertEqual(self.router.statistics()["rooms"], rooms)  # looking has made none

    def test_it_tells_of_what_was_sent_before(self):
        gateway = self.gateway()
        first = gateway.request + 1
        gateway.request += 2
        gateway.connect().join("R")
        gateway.send(("PUBLISH", first, "/", ["R"], [], ARCHIVED, 0, "", "news", "1"), ("LOOK", first + 1, "/", "R", 0, 0, 0, 0, 0))
        self.assertEqual(gateway.answer(first + 1)["seq"], 1)

    def test_its_history(self):
        gateway = self.gateway()
        self.assertEqual(self.look(gateway, "R", 1), {"ok": True, "room": "R", "messages": [], "more": False})
        for at in range(1, 61):
            publish(gateway, ["R"], at, kind=ARCHIVED)
        numbers = {(before, after, limit): [message["seq"] for message in self.look(gateway, "R", 1, before, after, limit)["messages"]]
                   for before, after, limit in ((0, None, 0), (0, None, 3), (4, None, 0), (0, 57, 0), (0, 0, 2))}
        self.assertEqual(numbers, {(0, None, 0): list(range(11, 61)), (0, None, 3): [58, 59, 60], (4, None, 0): [1, 2, 3],
                                   (0, 57, 0): [58, 59, 60], (0, 0, 2): [1, 2]})
        self.assertTrue(self.look(gateway, "R", 1)["more"])
        self.assertFalse(self.look(gateway, "R", 1, limit=200)["more"])
        self.refused(self.look(gateway, "R", 1, 5, 3), "bad_request")

    def test_attachments_stand_in_their_messages(self):
        gateway = self.gateway()
        place = '{"_placeholder":true,"num":%d}'
        publish(gateway, ["R"], text=place % 0, attachments=[b"a"], kind=ARCHIVED)
        publish(gateway, ["R"], text=place % 1 + "," + place % 0, attachments=[b"b", b"\0\xff"], kind=ARCHIVED)
        request = gateway.ask("LOOK", "/", "R", 1, 0, 0, 0, 0)
        record = gateway.take("ANSWER", where=lambda record: record.request == request)
        self.assertEqual(record.attachments, [])
        self.assertEqual([(message["attachments"], message["args"]) for message in json.loads(record.answer)["messages"]],
                         [(["YQ=="], [{"_placeholder": True, "num": 0}]),
                          (["Yg==", "AP8="], [{"_placeholder": True, "num": 1}, {"_placeholder": True, "num": 0}])])


class LookingInMemory(Looking):
    options = ()


if __name__ == "__main__":
    unittest.main()
