#!/usr/bin/env python3
"""What operators ask the router, and have it do: docs/protocol.md, section 4; the router alone, with gateways that this file plays.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import contextlib
import json
import os
import pathlib
import random
import select
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import PATIENCE, ROOT, Gateway, RouterTest, Socket, kind  # noqa: E402

HUBBUB = pathlib.Path(os.environ.get("HUBBUB_BUILD", ROOT / "build")) / "cli" / "hubbub"
FINAL = 1  # CLOSE.final
ODD = ["two words", 'a "quote"', "back\\slash", "comma,s", "-", "#", "json", "by", "100", "ümläut", "\u202eturned", "in"]


class OperatorTest(RouterTest):
    def say(self, line):
        answers = self.router.ask(line)
        self.assertEqual(len(answers), 1, line)
        return answers[0]

    def document(self, line):
        """The answer as JSON; `json` is added."""
        return json.loads(self.say(line + " json"))

    def fails(self, line, what):
        for form in (line, line + " json"):
            self.assertEqual(self.say(form), "error " + what, form)

    def misused(self, *lines):
        for line in lines:
            self.assertRegex(self.say(line), r"^error expected \w+", line)

    def named(self, name, sockets):
        """A gateway whose hello brings sockets of these users, [(sid's first letter, user, rooms)]."""
        gateway = Gateway(self.router, name)
        self.gateways.append(gateway)
        for letter, user, rooms in sockets:
            gateway.sockets += 1
            held = Socket(gateway, gateway.sockets, "/")
            held.sid, held.sender, held.rooms = letter * 20, user, {room: (0, 0) for room in rooms}
            gateway.held[held.number] = held
        gateway.go_live()
        return gateway


class Rooms(OperatorTest):
    def names(self, line):
        return [room["name"] for room in self.document(line)["rooms"]]

    def test_the_largest_first_by_prefix_and_up_to_a_limit(self):
        gateway = self.gateway()
        sizes = {"chat:a": 1, "chat:b": 3, "chat:c": 2, "game:a": 4}
        for room, size in sizes.items():
            for _ in range(size):
                gateway.connect().join(room)
        self.assertEqual(self.names("rooms"), ["game:a", "chat:b", "chat:c", "chat:a"])
        self.assertEqual(self.names("rooms by members"), ["game:a", "chat:b", "chat:c", "chat:a"])
        self.assertEqual(self.names("rooms chat:"), ["chat:b", "chat:c", "chat:a"])
        self.assertEqual(self.document("rooms chat: by members 2")["more"], 1)
        self.assertEqual(self.names("rooms 1"), ["game:a"])
        self.assertEqual(self.say("rooms 1").split("\n")[::2], ["# namespace members gateways seq rate name", "# more 3"])
        self.assertEqual(self.names("rooms nothing"), [])
        self.misused("rooms by", "rooms by size", "rooms a b", "rooms 0", "rooms in", "rooms a 1 2", "rooms by rate by rate")

    def test_the_loudest_first(self):
        gateway = self.gateway()
        held = gateway.connect()
        for room, count in (("a", 2), ("b", 5), ("c", 0)):
            held.join(room)
            for _ in range(count):
                held.say(room, "x")
        rooms = self.document("rooms by rate")["rooms"]
        self.assertEqual([room["name"] for room in rooms], ["b", "a", "c"])
        self.assertEqual([room["seq"] for room in rooms], [5, 2, 0])
        self.assertGreater(rooms[0]["rate"], 0)
        self.assertEqual(rooms[2]["rate"], 0)
        held.publish("typing", "c", {"room": "c"})  # volatile ones count
        self.assertGreater(self.document("room c")["rate"], 0)

    def test_one_room(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        members = [one.connect(), one.connect(), two.connect()]
        for held in members:
            held.join("R", watch=int(held is members[0]))
        members[0].say("R", "x")
        shown = self.document("room R")
        self.assertEqual([shown[key] for key in ("namespace", "name", "members", "watchers", "seq")], ["/", "R", 3, 1, 1])
        self.assertEqual(sorted((each["name"], each["members"]) for each in shown["gateways"]), [("g1", 2), ("g2", 1)])
        self.assertEqual(sorted(each["sid"] for each in shown["users"]), sorted(held.sid for held in members))
        self.assertEqual({each["from"] for each in shown["users"]}, {f"anon:{held.sid}" for held in members})
        self.assertIn("\nuser ", self.say("room R"))
        self.fails("room r", "no such room")
        self.fails("room R in /other", "no such room")
        self.misused("room", "room R in", "room R x", "room R in / x")
        for _ in range(30):
            one.connect().join("R")
        self.assertEqual(len(self.document("room R")["users"]), 20)

    def test_names_of_all_kinds(self):
        gateway = self.gateway()
        held = gateway.connect()
        for name in ODD:
            held.join(name)
        self.assertEqual(sorted(self.names("rooms")), sorted(ODD))
        for name in ODD:
            self.assertEqual(self.document(f"room {json.dumps(name)}")["name"], name)
            self.assertEqual(self.names(f"rooms {json.dumps(name)}"), [name])
        for line in self.say("rooms").split("\n")[1:]:  # one word each, that reads back
            word = line.split(" ")
            self.assertEqual(len(word), 6, line)
            self.assertEqual(self.document(f"room {word[5]}")["members"], 1)
        told = json.loads(subprocess.run([HUBBUB, "room", "two words", "--json", "--stats", self.router.stats], check=True,
                                         capture_output=True, text=True, timeout=PATIENCE).stdout)
        self.assertEqual(told["name"], "two words")

    def test_rooms_that_come_and_go_while_they_are_listed(self):
        gateway = self.gateway()
        fixed = [gateway.connect() for _ in range(5)]
        for at in range(120):  # some rooms stay
            gateway.send(*(("JOIN", 10 ** 9 + at * 5 + i, held.number, f"stays-{at}-{i}", 0, 0) for i, held in enumerate(fixed)))
        gateway.settle()
        guest = gateway.connect()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.router.stats)
            client.settimeout(PATIENCE)
            text, seed = b"", random.Random(7)
            for turn in range(60):
                client.sendall(b"rooms stays- 1000 json\n")
                room = f"guest-{seed.randrange(40)}"
                gateway.send((("JOIN", "LEAVE")[turn % 2], 2 * 10 ** 9 + turn, guest.number, room, *((0, 0) if turn % 2 == 0 else ())))
                while text.count(b"\n\n") <= turn:
                    text += client.recv(65536)
        for answer in text.decode().split("\n\n")[:-1]:
            names = [room["name"] for room in json.loads(answer)["rooms"]]
            self.assertEqual((len(names), len(set(names))), (600, 600))


class Users(OperatorTest):
    def test_all_sessions_of_a_user_over_gateways(self):
        self.named("g1", [("a", "anna", ["R", "S, T"]), ("b", "anna", []), ("c", "bob", ["R"])])
        two = self.named("g2", [("d", "anna", ["R"])])
        sessions = {each["sid"]: each for each in self.document("user anna")["sessions"]}
        self.assertEqual({sid[0]: (each["gateway"], sorted(each["rooms"]), each["state"]) for sid, each in sessions.items()},
                         {"a": ("g1", ["R", "S, T"], "live"), "b": ("g1", [], "live"), "d": ("g2", ["R"], "live")})
        lines = self.say("user anna").split("\n")
        self.assertEqual(lines[0], "# sid namespace state gateway rooms")
        self.assertEqual({line.split(" ")[0] for line in lines[1:]}, {letter * 20 for letter in "abd"})
        self.assertIn('"S,\\u0020T"', "\n".join(lines))
        self.fails("user nobody", "no such user")
        held = two.connect()
        self.assertEqual(self.document(f"user anon:{held.sid}")["sessions"][0]["sid"], held.sid)
        two.lose(held)
        away = self.document(f"user anon:{held.sid}")["sessions"][0]
        self.assertEqual((away["state"], away["gateway"]), ("away", None))
        self.misused("user", "user a b")

    def test_a_kicked_session_is_told_and_can_not_come_back(self):
        gateway = self.gateway()
        held, other = gateway.connect(), gateway.connect()
        held.join("R")
        self.assertEqual(self.say(f'kick {held.sid} "said too much" twice'), "ok kicked 1")
        close = gateway.take("CLOSE")
        self.assertEqual((close.socket, close.final), (held.number, FINAL))
        self.assertIn('reason="said too much twice"', self.router.log())
        self.fails(f"session {held.sid}", "no such session")
        self.fails(f"kick {held.sid}", "no such session")
        self.assertEqual(gateway.come_back(held.pid).recovered, 0)
        self.assertEqual(self.document("rooms")["rooms"], [])
        self.assertTrue(other.join("R")["ok"])
        self.assertEqual(self.router.metric("hubbub_kicked_total"), 1)
        self.misused("kick", "kick user")

    def test_a_kicked_session_that_is_away(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        held = one.connect()
        held.join("R")
        one.lose(held)
        self.assertEqual(self.document(f"kick {held.sid}"), {"ok": True, "kicked": 1})
        self.assertEqual(self.router.statistics()["away"], 0)
        self.assertEqual(two.come_back(held.pid).recovered, 0)
        self.assertEqual(self.router.metric("hubbub_recoveries_total{result=unknown}"), 1)

    def test_what_was_kicked_stays_gone_after_a_restart(self):
        gateway = self.gateway()
        held = gateway.connect()
        self.say(f"kick {held.sid}")
        gateway.take("CLOSE")
        gateway.settle()
        self.assertEqual(self.router.stop(), 0)
        self.router.start()
        del gateway.held[held.number]
        gateway.go_live()
        self.assertEqual(gateway.come_back(held.pid).recovered, 0)

    def test_all_of_a_user(self):
        one = self.named("g1", [("a", "anna b", ["R"]), ("b", "anna b", []), ("c", "bob", ["R"])])
        two = self.named("g2", [("d", "anna b", ["R"])])
        self.assertEqual(self.say('kick user "anna b" spam'), "ok kicked 3")
        self.assertEqual(sorted(one.take("CLOSE").socket for _ in range(2)), [1, 2])
        self.assertEqual(two.take("CLOSE").socket, 1)
        self.fails('user "anna b"', "no such user")
        self.assertEqual(len(self.document("user bob")["sessions"]), 1)
        self.fails("kick user nobody", "no such user")


class Closing(OperatorTest):
    configuration = 'namespaces = ({ name = "/"; }, { name = "/other"; recovery = false; });'

    def closed(self, gateway, held, room, offset=True):
        """LEFT, and behind it the event, which is the last of the room."""
        left = gateway.take("LEFT", where=lambda record: record.socket == held.number)
        self.assertEqual((left.request, left.room), (0, room))
        event = json.loads(gateway.take("EMIT", where=lambda record: record.socket == held.number).payload)
        self.assertEqual(event[:2], ["hubbub:closed", {"room": room}])
        self.assertEqual(len(event), 3 if offset else 2)

    def test_all_members_leave_and_are_told(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        members = [(gateway, gateway.connect()) for gateway in (one, one, two)]
        outside = one.connect()
        outside.join("S")
        for _, held in members:
            held.join("R")
        members[0][1].say("R", "before")
        self.assertEqual(self.document("close R"), {"left": 3, "unreachable": 0})
        for gateway, held in members:
            self.closed(gateway, held, "R")
            self.refused(held.say("R", "x"), "not_joined")
        self.assertEqual([room["name"] for room in self.document("rooms")["rooms"]], ["S"])
        self.assertEqual(members[0][1].join("R", history=5)["seq"], 1)  # its history stays
        self.assertTrue(outside.say("S", "x")["ok"])
        self.assertEqual(self.router.metric("hubbub_rooms_closed_total"), 1)
        self.assertEqual(self.say("close R"), "left 1\nunreachable 0")
        self.fails("close nothing", "no such room")
        self.misused("close", "close R x", "close R in")

    def test_a_namespace_of_its_own(self):
        gateway = self.gateway()
        here, there = gateway.connect(), gateway.connect("/other")
        for held in (here, there):
            held.join("two words")
        self.assertEqual(self.document('close "two words" in /other')["left"], 1)
        self.closed(gateway, there, "two words", offset=False)
        self.assertTrue(here.say("two words", "x")["ok"])

    def test_those_who_are_away_leave_too(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        gone, stays = one.connect(), one.connect()
        for held in (gone, stays):
            held.join("R")
            held.join("S")
        one.lose(gone)
        self.assertEqual(self.document("close R"), {"left": 2, "unreachable": 0})
        one.settle()
        stays.say("S", "x")
        again = two.come_back(gone.pid)
        self.assertEqual((again.recovered, list(again.rooms)), (1, ["S"]))
        self.assertEqual([payload[1]["room"] for payload in again.replayed], ["S"])
        one.lose(stays)
        two.lose(again)
        self.assertEqual(self.router.stop(), 0)
        self.router.start()  # and their rows say so
        one.go_live()
        self.assertEqual(list(one.come_back(stays.pid).rooms), ["S"])

    def test_members_behind_a_broken_link_stay(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        gateway.send_raw(b"nonsense")
        gateway.take("RESYNC")
        self.assertEqual(self.document("close R"), {"left": 0, "unreachable": 1})
        gateway.go_live()
        self.assertTrue(held.say("R", "x")["ok"])
        self.assertEqual(self.document("close R"), {"left": 1, "unreachable": 0})
        self.closed(gateway, held, "R")

    def test_a_large_room_while_it_talks(self):
        gateway = self.gateway()
        talker = gateway.connect()
        talker.join("R")
        crowd = [gateway.connect() for _ in range(400)]
        gateway.send(*(("JOIN", 10 ** 9 + i, held.number, "R", 0, 0) for i, held in enumerate(crowd)))
        gateway.settle()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.router.stats)
            client.settimeout(PATIENCE)
            requests = [talker.start("msg", "R", [{"room": "R", "text": str(i)}]) for i in range(200)]
            answers = [gateway.answer(request) for request in requests[:50]]
            client.sendall(b"close R json\n")
            requests += [talker.start("msg", "R", [{"room": "R", "text": str(i)}]) for i in range(200)]
            self.assertEqual(json.loads(client.recv(1000)), {"left": 401, "unreachable": 0})
        answers += [gateway.answer(request) for request in requests[50:]]
        while [kind(record) for record in gateway.records].count("EMIT") < 401:
            self.assertTrue(gateway.read())
        said = [answer["ok"] for answer in answers]
        self.assertGreaterEqual(sum(said), 50)
        self.assertEqual(said, sorted(said, reverse=True))  # accepted up to a point, refused behind it
        self.assertEqual([answer["seq"] for answer in answers if answer["ok"]], list(range(1, sum(said) + 1)))
        order = [kind(record) for record in gateway.records if kind(record) in ("LEFT", "DELIVER")]
        self.assertEqual(order, ["DELIVER"] * sum(said) + ["LEFT"] * 401)
        told = [record.socket for record in gateway.records if kind(record) == "EMIT"]
        self.assertEqual(sorted(told), sorted(held.number for held in (talker, *crowd)))
        self.assertEqual(self.document("rooms")["rooms"], [])
        self.assertTrue(talker.join("R")["ok"])


class Gateways(OperatorTest):
    def test_the_list(self):
        gateway = self.gateway("g 1")
        gateway.connect()
        gateway.send(("STATISTICS", ["hubbub_connections", 7, "hubbub_deliveries_total", 12]))
        gateway.settle()
        shown = self.document("gateways")["gateways"]
        self.assertEqual([[each[key] for key in ("name", "state", "sockets", "connections", "deliveries", "draining", "version",
                                                 "incarnation")] for each in shown],
                         [["g 1", "live", 1, 7, 12, False, "test", f"{gateway.incarnation:x}"]])
        self.assertEqual(self.say("gateways").split("\n")[1].split(" ")[0], '"g\\u00201"')
        self.misused("gateways x", "backends x", "stats x", "archive x", "help x")

    def test_drain_and_resume(self):
        gateway, other = self.gateway("g1"), self.gateway("g2")
        begun = time.monotonic()
        self.assertEqual(self.say("drain g1 60"), "ok")
        self.assertEqual(gateway.take("DRAIN")[:], (1, 60))
        self.assertEqual([each["draining"] for each in self.document("gateways")["gateways"]], [True, False])
        gateway.go_live()  # said again on a new link, with what is left of the time
        on, seconds = gateway.take("DRAIN")[:]
        self.assertTrue(on == 1 and 59 - (time.monotonic() - begun) <= seconds <= 60, seconds)
        self.assertEqual(self.document("resume g1"), {"ok": True})
        self.assertEqual(gateway.take("DRAIN", where=lambda record: record.on == 0)[:], (0, 0))
        gateway.go_live()
        gateway.settle()
        self.assertNotIn("DRAIN", map(kind, gateway.records))
        self.assertEqual(self.say("drain g1"), "ok")
        self.assertEqual(gateway.take("DRAIN")[:], (1, 0))
        other.send(("STATISTICS", ["hubbub_draining", 1]))  # it stops, by itself
        self.until(lambda: [each["draining"] for each in self.document("gateways")["gateways"]] == [True, True], "not both drain")
        gateway.send(("BYE", ""))
        self.until(lambda: len(self.document("gateways")["gateways"]) == 1, "not gone")
        self.fails("drain g1", "no such gateway")
        self.fails("resume g1", "no such gateway")
        again = Gateway(self.router, "g1")  # another process of that name has no order
        self.gateways.append(again)
        again.go_live()
        again.settle()
        other.settle()
        self.assertNotIn("DRAIN", [kind(record) for record in again.records + other.records])
        self.misused("drain", "drain g1 0", "drain g1 x", "drain g1 86401", "drain g1 1 1", "resume", "resume g1 1")

    def test_an_order_waits_for_the_next_link(self):
        gateway = self.gateway("g1")
        gateway.send_raw(b"nonsense")
        gateway.take("RESYNC")
        self.assertEqual(self.say("drain g1 30"), "ok")
        self.assertEqual(self.say("loglevel g1 debug"), "ok")
        gateway.go_live()
        gateway.settle()
        self.assertEqual([record[:] for record in gateway.records if kind(record) in ("DRAIN", "LEVEL")], [(1, 30), ("debug",)])

    def test_log_levels(self):
        gateway, other = self.gateway("g1"), self.gateway("router")
        self.assertEqual(self.say("loglevel g1 debug"), "ok")
        self.assertEqual(gateway.take("LEVEL").level, "debug")
        self.say('loglevel "router" warn')
        self.assertEqual(other.take("LEVEL").level, "warn")
        self.say("loglevel router error")
        gateway.lose(gateway.connect())
        self.say("loglevel warn")
        self.assertEqual([each.take("LEVEL").level for each in (gateway, other)], ["warn", "warn"])
        self.assertIn('message="log level changed" level=error', self.router.log())
        self.assertIn('message="log level changed" level=warn', self.router.log())
        self.fails("loglevel nobody info", "no such gateway")
        self.misused("loglevel", "loglevel loud", "loglevel g1", "loglevel g1 Info", "loglevel g1 info x")

    def test_configuration(self):
        gateway = self.gateway("g1")
        keys = {each["key"]: (each["value"], each["origin"]) for each in self.document("config")["config"]}
        self.assertEqual(keys["router.heartbeat"], ("1s", "default"))
        self.assertEqual(keys["router.data"], (self.router.data, "--data"))
        self.assertEqual(keys["router.archive_database"][0], None)
        self.assertIn("router.max_batch 16MB default", self.say("config router").split("\n"))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.router.stats)
            client.settimeout(PATIENCE)
            for told, answer in (('[["gateway.port","3000","default"],["gateway.cookie",null,"a b:7"]]',
                                  '# key value origin\ngateway.port 3000 default\ngateway.cookie - "a\\u0020b:7"\n\n'),
                                 ("", "error the gateway is too old to tell\n\n"),
                                 ("{}", "error the gateway's answer can't be read\n\n"),
                                 ('[["a"]]', "error the gateway's answer can't be read\n\n"),
                                 ('[["a",1,"b"]]', "error the gateway's answer can't be read\n\n")):
                client.sendall(b"config g1\n")
                asked = gateway.take("ASK")
                self.assertEqual(asked.socket, 0)
                gateway.send(("TOLD", asked.ask, told))
                text = ""
                while not text.endswith("\n\n"):
                    text += client.recv(65536).decode()
                self.assertEqual(text, answer)
        self.fails("config g2", "no such gateway")
        self.misused("config a b")


class Secrets(OperatorTest):
    def test_a_password_is_masked(self):
        held = self.gateway().connect()
        held.join("R")
        held.say("R", "x")
        self.assertEqual(self.router.stop(), 0)  # with a journal without messages it would ask the archive first
        self.router.options += ("--archive=mongodb://anna:s3cr3t@127.0.0.1:1/rooms?authSource=admin",)
        self.router.start()
        for form in ("config", "config json"):
            text = self.say(form)
            self.assertIn("mongodb://anna:***@127.0.0.1:1/rooms?authSource=admin", text)
            self.assertNotIn("s3cr3t", text)
        self.assertEqual(self.document("archive")["state"], "connecting")
        self.assertIn("lag.messages 1", self.say("archive"))


class Hostile(OperatorTest):
    def test_lines_of_all_kinds(self):
        gateway = self.gateway()
        held = gateway.connect()
        seed = random.Random(11)
        words = [b"stats", b"rooms", b"room", b"user", b"kick", b"close", b"drain", b"json", b"in", b"by", b'"', b'"\\u0000"', b"\xff",
                 b"\x00", b"\x1b[2J", b"g1", b"R", b"%s%n", b"-1", b"99999999999999999999", b"history", b"{}", b"\r", b"config"]
        lines = [b" ".join(seed.choice(words) for _ in range(seed.randrange(1, 20))) for _ in range(2000)]
        lines = [line for line in lines if not line.startswith((b"drain g1", b"close", b"kick"))]
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.router.stats)
            client.settimeout(PATIENCE)
            text = b""
            for at, line in enumerate(lines):
                client.sendall(line + b"\n")
                while text.count(b"\n\n") <= at - text.startswith(b"\n"):
                    while line.startswith(b"config g1") and not select.select([client], [], [], 0)[0]:
                        gateway.read(0.02)
                        for record in gateway.records:
                            if kind(record) == "ASK":
                                gateway.send(("TOLD", record.ask, "[]"))
                        gateway.records.clear()
                    part = client.recv(65536)
                    self.assertTrue(part, line)
                    text += part
        for answer in text.decode().split("\n\n")[:-1]:
            self.assertRegex(answer, r"^(error |#|\{|help |[a-z_]+ )")
        self.assertNotIn(b"\x1b", text)
        self.assertTrue(held.join("R")["ok"])

    def test_bytes_of_all_kinds(self):
        seed = random.Random(5)
        for size in (1, 100, 4096, 5000, 200000):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(self.router.stats)
                client.settimeout(PATIENCE)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    client.sendall(seed.randbytes(size))
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(65536):
                        pass
        self.assertIn("version", self.say("stats"))

    def test_who_asks_much_and_goes(self):
        gateway = self.gateway()
        held = gateway.connect()
        held.join("R")
        for _ in range(200):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(self.router.stats)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # there are too many already
                    client.sendall(b"rooms\nroom R\nuser x\nrooms by rate json\nkick user nobody\n" * 20)
        self.until(lambda: not self.say("stats").startswith("error"), "all places are taken")
        self.assertEqual(self.document("rooms")["rooms"][0]["members"], 1)

    def test_many_wait_at_once(self):
        gateway = self.gateway()
        for _ in range(50):
            gateway.connect().join("R")
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(16)]
            for client in clients:
                client.connect(self.router.stats)
                client.settimeout(PATIENCE)
                client.sendall(b"rooms json\nroom R json\nuser nobody json\nstats json\n")
            for client in clients:
                text = b""
                while text.count(b"\n\n") < 4:
                    text += client.recv(65536)
                rooms, room, user, stats = text.decode().split("\n\n")[:4]
                rooms, room, stats = map(json.loads, (rooms, room, stats))
                self.assertEqual((rooms["rooms"][0]["members"], room["members"], user, stats["members"]),
                                 (50, 50, "error no such user", 50))


class Help(OperatorTest):
    def test_help_and_mistakes(self):
        commands = {row["command"] for row in self.document("help")["commands"]}
        self.assertLessEqual({"stats", "rooms", "room", "gateways", "backends", "user", "session", "archive", "kick", "close", "drain",
                              "resume", "loglevel", "config", "history", "help", "quit"}, commands)
        self.assertEqual(self.say("romos"), "error unknown command; did you mean rooms?")
        self.assertEqual(self.say("dance"), "error unknown command; try help")
        self.assertTrue(self.say('"stats"').startswith("error unknown command"))
        self.assertEqual(self.say(" "), "error no command; try help")
        self.assertEqual(self.say(" ".join(["room"] * 17)), "error too many words")

    def test_every_command_is_one_of_hubbub(self):
        for row in self.document("help")["commands"]:
            if row["command"] in ("help", "quit"):
                continue
            done = subprocess.run([HUBBUB, row["command"], "--help"], capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual(done.returncode, 0, row)
            if row["command"] != "history":
                self.assertIn("--json", done.stdout)
                self.assertIn(f"Usage: hubbub {row['command']} [options] {row['arguments']}".strip(), done.stdout)

    def test_exit_codes(self):
        for words, code, said in ((["rooms", "by", "size"], 64, "expected rooms"), (["room", "nothing"], 70, "no such room"),
                                  (["close", "a b"], 70, "no such room"), (["kick", "x"], 70, "no such session"),
                                  (["kick", "user", "typo"], 70, "no such user"), (["user", "typo", "--json"], 70, "no such user"),
                                  (["loglevel", "info"], 0, ""), (["drain", "g1"], 70, "no such gateway"),
                                  (["drain", "g1", "0"], 64, "SECONDS is a whole number from 1 to 86400"),
                                  (["loglevel", "loud"], 64, "LEVEL is error, warn, info or debug"), (["user"], 64, "expected ID ("),
                                  (["config", "router", "--json"], 0, ""), (["config", "a", "b"], 64, "unexpected argument")):
            done = subprocess.run([HUBBUB, *words, "--stats", self.router.stats], capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual(done.returncode, code, (words, done))
            self.assertIn(said, done.stderr)


if __name__ == "__main__":
    unittest.main()
