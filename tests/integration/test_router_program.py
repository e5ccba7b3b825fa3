#!/usr/bin/env python3
"""The router as a program: its options, files and sockets, and how it ends.

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

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import ACK, PATIENCE, RouterTest, kind  # noqa: E402


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
        self.assertEqual(self.router.process.wait(PATIENCE), 0)
        written = len(self.router.rows())  # how many of them it took in before it was told is a matter of luck
        answers = [gateway.take("ANSWER") for _ in range(written - 1)]
        self.assertEqual([record.request for record in answers], requests[1:written])
        self.assertEqual([json.loads(record.answer)["seq"] for record in answers], list(range(2, written + 1)))
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
