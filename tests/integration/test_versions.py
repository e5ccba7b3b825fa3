"""Programs one minor version of the protocol apart work together, others refuse each other: docs/protocol.md, section 2.

The other version is played: gateways and backends before a router, and routers before a gateway and two backends.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

import msgpack
import zmq

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/support"), str(ROOT / "tests/conformance")]
import programs  # noqa: E402
import raw_client  # noqa: E402
from played_backend import AskedGateway, Backend, BackendTest, Beating  # noqa: E402
from played_gateway import MINOR, NUMBERS, PATIENCE, RECORDS, RouterTest, encoded, kind  # noqa: E402
from played_router import HELLO, LIVE, WELCOME, PlayedRouter  # noqa: E402

RESYNC, SERVE, SERVING, CONNECT, CONNECTED = (NUMBERS[name] for name in ("RESYNC", "SERVE", "SERVING", "CONNECT", "CONNECTED"))
UNKNOWN = 31, 63, 95, 127  # types that no version has yet


class Oldest(AskedGateway):
    """A gateway of version 1.0, which said nothing of versions."""

    def hello_records(self):
        (name, *fields), *rest = super().hello_records()
        return [(name, *fields[:6]), *rest]


class Newer(AskedGateway):
    """One of the next minor version: it has fields and records that nobody knows yet."""
    minor = MINOR + 1

    def send(self, *records):
        records = [[*encoded(name, fields), *([{"later": [1, None]}, 1.5] if "attachments" not in RECORDS[name][1] else [])]
                   for name, *fields in records]
        self.sent += 1
        self.send_raw(msgpack.packb([1, self.link, self.sent, self.received,
                                     [part for record in records for part in (record, [UNKNOWN[0], "later", {}])]]))


class Gateways(RouterTest):
    def talk(self, make):
        other, ours = self.gateway("other", make=make), self.gateway("ours")
        for gateway in (other, ours):
            gateway.peers = self.gateways
        alice, bob = other.connect(), ours.connect()
        self.assertEqual(alice.join("R")["members"], 1)
        self.assertEqual(bob.join("R")["members"], 2)
        self.assertEqual([socket.say("R", "hello")["seq"] for socket in (alice, bob)], [1, 2])
        for gateway in (other, ours):
            gateway.settle()
            self.assertEqual([json.loads(record.payload)[0] for record in gateway.records if kind(record) == "DELIVER"],
                             ["msg", "msg"])
        other.go_live()  # a new link, with sockets and members
        self.assertEqual(bob.answer("PRESENCE", "R")["members"], 2)
        return other, alice

    def gateway(self, name="g1", live=True, make=Beating):
        gateway = super().gateway(name, False, make)
        gateway.peers = self.gateways
        if live:
            gateway.go_live()
        return gateway

    def test_an_older_one_works(self):
        other, _ = self.talk(Oldest)
        self.assertIn("gateway=other version=test protocol=1.0", self.router.log())
        self.assertIn(f"gateway=ours version=test protocol=1.{MINOR}", self.router.log())
        # Fields that it does not send are empty.
        other.sockets += 1
        request = other.ask("CONNECT", other.sockets, "/")
        other.take("CONNECTED", where=lambda record: record.request == request)
        self.assertEqual(other.answer(other.ask("JOIN", other.sockets, "S"))["members"], 1)
        self.assertEqual(self.router.metric("hubbub_router_malformed_total"), 0)

    def test_a_newer_one_works(self):
        self.talk(Newer)
        self.assertIn(f"gateway=other version=test protocol=1.{MINOR + 1}", self.router.log())
        self.assertEqual(self.router.metric("hubbub_router_malformed_total"), 0)

    def test_fields_that_ours_lack_are_malformed(self):
        for make in (Beating, Newer):
            gateway = self.gateway(make.__name__, make=make)
            gateway.send_raw(msgpack.packb([1, gateway.link, gateway.sent + 1, 0, [[CONNECT, 1, 1, "/"]]]))
            gateway.take("RESYNC")
        self.assertEqual(self.router.metric("hubbub_router_malformed_total"), 2)

    def refused(self, gateway):
        """The hello's answer: why."""
        gateway.open()
        gateway.send(*gateway.hello_records())
        reason = gateway.take("RESYNC").reason
        self.assertEqual(gateway.numbers, [0])
        return reason

    def test_two_minor_versions_apart_is_refused(self):
        gateway = self.gateway("far", live=False)
        gateway.minor = MINOR + 2
        reason = self.refused(gateway)
        self.assertIn(f"the router speaks version 1.{MINOR} of the protocol, not 1.{MINOR + 2}", reason)
        self.assertIn(f"peer=far program_version=test protocol=1.{MINOR + 2} ours=1.{MINOR}", self.router.log())
        self.assertIn("level=error", [line for line in self.router.log().splitlines() if "peer=far" in line][0])
        self.assertEqual(self.router.metric("hubbub_router_versions_total"), 1)
        self.assertEqual(json.loads(self.router.ask("gateways json")[0])["gateways"], [])
        gateway.minor = MINOR  # upgraded, or downgraded
        gateway.go_live()

    def test_another_major_version_is_refused(self):
        gateway = self.gateway("far", live=False)
        gateway.open()
        gateway.send_raw(msgpack.packb([2, {"whatever": 1}]))
        self.assertTrue(gateway.dealer.poll(PATIENCE * 1000))
        version, _, number, _, records = msgpack.unpackb(gateway.dealer.recv())
        self.assertEqual((version, number, records), (1, 0, [[RESYNC, "another version of the protocol"]]))
        self.assertIn(f"protocol=2 ours=1.{MINOR}", self.router.log())
        self.assertEqual(self.router.metric("hubbub_router_versions_total"), 1)


class Backends(BackendTest):
    def serves(self, make):
        gateway, backend = self.gateway(), make(self.router, "other")
        self.gateways.append(backend)
        backend.peers = self.gateways
        serving = backend.serve()
        self.assertEqual(serving.minor, MINOR)
        alice = self.client(gateway, backend)
        alice.start("custom", "", [1])
        call = self.both(gateway, backend, "CALL")
        self.assertEqual(call.arguments, "1")
        backend.handle(call, "done")
        gateway.take("ANSWER")
        self.assertEqual(self.router.metric("hubbub_router_malformed_total"), 0)

    def test_an_older_one_works(self):
        class Old(Backend):
            def send(self, *records):
                super().send(*[record[:5] if record[0] == "SERVE" else record for record in records])
        self.serves(Old)

    def test_a_newer_one_works(self):
        class New(Backend):
            minor = MINOR + 1
            send = Newer.send
        self.serves(New)

    def test_two_minor_versions_apart_is_refused(self):
        backend = Backend(self.router, "far")
        self.gateways.append(backend)
        backend.peers = self.gateways
        backend.minor = MINOR + 2
        backend.serve(live=False)
        self.assertIn(f"not 1.{MINOR + 2}", backend.take("RESYNC").reason)
        self.assertEqual(self.router.metric("hubbub_router_versions_total"), 1)
        self.assertEqual(json.loads(self.router.ask("backends json")[0])["backends"], [])


class Routers(PlayedRouter):
    """Before our gateway."""
    OPTIONS = dict(dead="60s")  # those that are played have no heartbeat

    def welcome(self, *fields):
        """Takes the next link's hello, and answers it with these fields behind those of 1.0."""
        while True:
            self.routing, self.link, self.heard, records = self.receive()
            if self.heard == 1 and records and records[0][0] == HELLO:
                break
        self.assertEqual(records[0][7], MINOR)
        self.said = 0
        self.records = []
        self.send([WELCOME, "epoch", 0, 1, 0, *fields])

    def connects(self, *later):
        """A client is taken in; later: what each record has more."""
        client = raw_client.Client(self.gateway.port, connect=False)
        self.addCleanup(client.__exit__)
        client.send_text("40")
        record = self.next(CONNECT)
        sid = "s" * 20
        self.send([UNKNOWN[1], 1, "x"], [CONNECTED, record[1], record[2], sid, f"anon:{sid}", 1, "", 0, "", *later])
        self.assertIn(sid, client.packet("40"))

    def log_has(self, *texts):
        end = time.monotonic() + programs.PATIENCE
        while not any(all(text in line for text in texts) for line in self.gateway.log_text().splitlines()):
            self.assertLess(time.monotonic(), end, self.gateway.log_text())
            time.sleep(0.02)

    def test_an_older_one_works(self):
        self.lose()
        self.welcome()
        self.send([LIVE, 0])
        self.connects()

    def test_a_newer_one_works(self):
        self.lose()
        self.welcome(MINOR + 1, "2.0", ["later"])
        self.send([LIVE, 0, None])
        self.connects({"later": 1})

    def lose(self):
        self.router.send_multipart([self.routing, msgpack.packb([1, self.link, self.said + 7, self.heard, []])])

    def test_two_minor_versions_apart_is_left(self):
        self.lose()
        self.welcome(MINOR + 2, "9.9")
        self.log_has("level=error", "program_version=9.9", f"protocol=1.{MINOR + 2}", f"ours=1.{MINOR}")
        self.welcome(MINOR, "1.0")  # it tries again, and the router has been changed
        self.send([LIVE, 0])
        self.connects()

    def test_what_the_router_says_about_a_refusal_is_logged(self):
        self.lose()
        while True:
            routing, link, number, records = self.receive()
            if number == 1:
                break
        self.router.send_multipart([routing, msgpack.packb([1, link, 0, 0, [[RESYNC, "version 1.7 and no other"]]])])
        self.log_has("level=warn", 'why="version 1.7 and no other"')
        self.go_live()
        self.connects()

    def test_another_major_version_is_left(self):
        self.lose()
        while True:
            routing, link, number, records = self.receive()
            if number == 1:
                break
        self.router.send_multipart([routing, msgpack.packb([2, "nobody knows the rest"])])
        self.log_has("level=error", "protocol=2", f"ours=1.{MINOR}")
        self.go_live()
        self.connects()


class BackendPrograms(unittest.TestCase):
    """Backends before a router that is played: one with the library, one in Python."""
    PROGRAMS = {"library": [programs.BUILD / "examples/example-echo"],
                "python": [sys.executable, "-u", ROOT / "examples/moderation.py"]}
    READY = {"library": "ready", "python": "serving"}

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        context = zmq.Context()
        self.addCleanup(context.destroy, 0)
        self.router = context.socket(zmq.ROUTER)
        self.router.bind(f"ipc://{folder.name}/link")

    def start(self, command):
        self.log = pathlib.Path(self.folder, "log")
        with open(self.log, "wb") as log:
            process = subprocess.Popen([*command, f"ipc://{self.folder}/link"], stdout=log, stderr=log)

        def end():
            process.kill()
            process.wait(PATIENCE)
        self.addCleanup(end)

    def hello(self):
        """Waits for the next link: its routing id and number."""
        while True:
            self.assertTrue(self.router.poll(PATIENCE * 1000), self.log.read_text())
            routing, batch = self.router.recv_multipart()
            version, link, number, _, records = msgpack.unpackb(batch)
            if number == 1:
                self.assertEqual((version, records[0][0], records[0][5]), (1, SERVE, MINOR))
                return routing, link

    def answer(self, records, major=1, number=1):
        routing, link = self.hello()
        self.router.send_multipart([routing, msgpack.packb([major, link, number, 1 if number else 0, records])])

    def said(self, text):
        end = time.monotonic() + PATIENCE
        while text not in self.log.read_text():
            self.assertLess(time.monotonic(), end, self.log.read_text())
            time.sleep(0.02)

    def each(self):
        for name, command in self.PROGRAMS.items():
            with self.subTest(name):
                self.start(command)
                yield name
                self.doCleanups()
                self.setUp()

    def test_an_older_one_works(self):
        for name in self.each():
            self.answer([[SERVING, "epoch", 1000, 5000, 100000]])
            self.said(self.READY[name])

    def test_a_newer_one_works(self):
        for name in self.each():
            self.answer([[UNKNOWN[3], 1], [SERVING, "epoch", 1000, 5000, 100000, MINOR + 1, "2.0", None]])
            self.said(self.READY[name])

    def test_others_are_left(self):
        for name in self.each():
            self.answer([[SERVING, "epoch", 1000, 5000, 100000, MINOR + 2, "9.9"]])
            self.said({"library": "the router's version is too far away", "python": f"version 1.{MINOR + 2}"}[name])
            self.answer([], major=2)
            self.said({"library": "another major version", "python": "version 2"}[name])
            self.answer([[RESYNC, "version 1.7 and no other"]], number=0)
            self.said("version 1.7 and no other")
            self.assertNotIn(self.READY[name], self.log.read_text())
            self.answer([[SERVING, "epoch", 1000, 5000, 100000, MINOR, "1.0"]])
            self.said(self.READY[name])


if __name__ == "__main__":
    unittest.main()
