#!/usr/bin/env python3
"""The archive: what the router copies to MongoDB, through whatever becomes of the server and of the way there.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""
import base64
import contextlib
import datetime
import json
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import bson

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from fault_proxy import FaultProxy  # noqa: E402
from mongodb import JavaServer, NxServer, PlayedServer  # noqa: E402
from played_gateway import ACK, EVENTS, PATIENCE, ROUTER, Gateway, Router  # noqa: E402

QUICK = ("--archive-retry-max=200", "--archive-timeout=5 s")


class ArchiveTest(unittest.TestCase):
    """A router whose archive is at self.uri, which a test may set before start_router()."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="hubbub-archive-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.configuration = pathlib.Path(self.folder, "conf")
        self.configuration.write_text(EVENTS)
        self.router = self.gateway = None
        self.addCleanup(self.end)

    def end(self):
        if self.gateway:
            self.gateway.close()
        if self.router and self.router.process.poll() is None:
            self.assertEqual(self.router.stop(), 0, self.router.log())

    def start_router(self, *options, uri=None):
        self.router = Router(self.folder, f"--config={self.configuration}", f"--archive={uri or self.uri}",
                             "--dead=10 min", *(options or QUICK))
        self.router.start()
        return self.go_live()

    def go_live(self):
        """A member of room R."""
        if self.gateway:
            self.gateway.close()
        self.gateway = Gateway(self.router, "g1")
        self.gateway.go_live()
        member = self.gateway.connect()
        member.join("R")
        return member

    def say_many(self, member, count, text=lambda at: {"room": "R", "text": f"t{at}"}):
        """Publishes without waiting in between, then for all answers."""
        requests = [member.start("msg", "R", [text(at)]) for at in range(count)]
        for request in requests:
            self.assertTrue(self.gateway.answer(request)["ok"])
        self.gateway.records.clear()

    def archive(self):
        return self.router.statistics()["archive"]

    def until(self, condition, what):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"{what}; {self.router.log()}")
            time.sleep(0.02)

    def until_caught_up(self):
        self.until(lambda: self.archive()["lag"]["messages"] == 0, "it never catches up")

    def check_archive(self, without=()):
        """Every archived message of the journal stands in the archive once and as it is, and nothing else does."""
        found = self.server.messages()
        by_place = {(document["namespace"], document["room"], document["epoch"], int(document["seq"])): document
                    for document in found}
        self.assertEqual(len(by_place), len(found))
        rows = [row for row in self.router.rows() if row["class"] == 1 and row["pos"] not in without]
        self.assertEqual(len(found), len(rows))
        for row in rows:
            document = by_place[row["namespace"], row["room"], self.gateway.epoch, row["seq"]]
            self.assertEqual(document["raw"], f"[{row['arguments']}]")
            self.assertEqual([int(document["pos"]), document["id"], document["event"], document["from"], document["sid"]],
                             [row["pos"], row["publish_id"], row["event"], row["sender_name"], row["sender_sid"]])
            self.assertEqual(document["at"].replace(tzinfo=datetime.timezone.utc).timestamp(), row["at"] / 1000)
        return found


class ServerCases:
    """What holds with every server; make_server() starts one."""

    def setUp(self):
        super().setUp()
        self.server = self.make_server(self.folder)
        self.addCleanup(self.server.kill)
        self.server.start()
        self.uri = self.server.uri

    def test_messages_stand_there_as_documents(self):
        member = self.start_router()
        member.say("R", "first", client_id="mine-1234")
        member.publish("logged", "R", {"room": "R"})
        member.publish("msg", "R", {"room": "R", "file": {"_placeholder": True, "num": 0}}, attachments=[b"\0\xff"])
        strange = ['{"a":1e400}', '{"a":1,"a":2}', '{"\\u0000":1}', '"\\ud800"', '{"$date":1,"$ref":"x"}',
                   "[" * 100 + "]" * 100]
        fine = ['{"a.b":{"":[1,-0.5,9007199254740993]}} , "\\u00e9\\u0000"', "", "9223372036854775808,null,true"]
        for arguments in strange + fine:
            self.assertTrue(self.gateway.answer(member.ask("EVENT", ACK, "R", "plain", arguments, ""))["ok"])
        self.until_caught_up()
        found = sorted(self.check_archive(), key=lambda document: document["seq"])
        self.assertEqual((found[0]["id"], found[0]["args"], found[0]["deliver"], found[0]["meta"]),
                         ("mine-1234", [{"room": "R", "text": "first"}], "room", True))
        self.assertEqual((found[1]["attachments"], found[1]["pos"]), ([b"\0\xff"], 3))
        for document in found[2:2 + len(strange)]:
            self.assertNotIn("args", document)
        self.assertEqual([document["args"] for document in found[-3:]],
                         [[{"a.b": {"": [1, -0.5, 9007199254740993]}}, "\u00e9\0"], [], [2.0 ** 63, None, True]])
        self.assertEqual(self.router.metric("hubbub_archived_total"), len(found))

    def test_a_restart_goes_on_where_it_was(self):
        member = self.start_router()
        self.say_many(member, 50)
        self.until_caught_up()
        self.assertEqual(self.router.stop(), 0)
        self.router.start()
        self.assertEqual(self.archive()["noted"], 50)
        self.say_many(self.go_live(), 50)
        self.until_caught_up()
        self.assertEqual(len(self.check_archive()), 100)
        self.assertEqual(self.router.metric("hubbub_archived_total"), 50)

    def test_killed_in_the_middle_of_a_write(self):
        member = self.start_router("--archive-batch=20", *QUICK)
        for _ in range(3):
            before = self.archive()["position"]
            self.say_many(member, 400)
            self.until(lambda: self.archive()["position"] > before, "nothing is archived")
            self.router.kill()
            self.router.start()
            member = self.go_live()
        self.until_caught_up()
        self.assertEqual(len(self.check_archive()), 1200)

    def test_the_server_dies_and_comes_back(self):
        member = self.start_router()
        self.say_many(member, 20)
        self.until_caught_up()
        self.server.kill()
        self.say_many(member, 500)
        self.until(lambda: self.archive()["state"] == "retrying" and self.archive()["retries"] > 2, "it does not retry")
        lagging = self.archive()
        self.assertEqual(lagging["lag"]["messages"], 500)
        self.assertGreater(lagging["lag"]["seconds"], 0)
        self.assertTrue(lagging["last_error"])
        self.server.start()
        self.until_caught_up()
        self.assertEqual(len(self.check_archive()), 520)
        self.assertEqual(self.archive()["state"], "following")
        self.assertEqual(self.router.log().count("out of reach"), 1)
        self.assertEqual(self.router.log().count("within reach"), 1)

    def test_what_is_not_for_the_archive_is_passed_over_after_an_outage(self):
        self.start_router()
        self.assertEqual(self.router.stop(), 0)
        self.server.kill()
        self.router.start()
        self.go_live().publish("logged", "R", {"room": "R"})
        self.until(lambda: self.archive()["retries"] > 2, "it does not retry")
        self.server.start()
        self.until_caught_up()
        self.assertEqual(self.archive()["position"], 1)

    def test_answers_that_get_lost_make_no_second_copy(self):
        with contextlib.closing(FaultProxy(to=f"127.0.0.1:{self.server.port}", protocol="mongodb")) as proxy:
            member = self.start_router("--archive-batch=50", "--archive-timeout=500", "--archive-retry-max=50",
                                       uri=f"mongodb://127.0.0.1:{proxy.port}/")
            proxy.command("tear 3 9 insert")
            self.say_many(member, 1000)
            self.until_caught_up()
            proxy.command("lose 2 insert")
            self.say_many(member, 100)
            self.until_caught_up()
            self.assertGreater(self.router.metric("hubbub_archive_known_total"), 0)
            self.assertEqual(len(self.check_archive()), 1100)

    def test_a_new_journal_goes_on_above_the_archive(self):
        member = self.start_router()
        self.say_many(member, 30)
        member.join("S")
        member.say("S", "alone")
        self.until_caught_up()
        first = self.gateway.epoch
        self.assertEqual(self.router.stop(), 0)
        shutil.rmtree(self.router.data)
        self.router.start()
        member = self.go_live()
        self.assertNotEqual(self.gateway.epoch, first)
        self.assertEqual(member.say("R", "again")["seq"], 31)
        member.join("S")
        self.assertEqual(member.say("S", "again")["seq"], 2)
        member.join("T")
        self.assertEqual(member.say("T", "new")["seq"], 1)
        self.until_caught_up()
        self.assertEqual(sorted(int(document["seq"]) for document in self.server.messages() if document["room"] == "R"),
                         list(range(1, 32)))
        self.assertEqual(self.router.stop(), 0)
        self.router.start()
        self.assertEqual(self.go_live().say("R", "once more")["seq"], 32)


class Nx(ServerCases, ArchiveTest):
    make_server = NxServer

    def test_indexes_are_there_before_the_first_message(self):
        self.start_router()
        self.until(lambda: self.archive()["state"] == "following", "it does not connect")
        with self.server.client() as client:
            keys = [list(index["key"].items()) for index in client.hubbub.messages.list_indexes()]
        self.assertIn([("namespace", 1), ("room", 1), ("seq", 1)], keys)
        self.assertIn([("at", 1)], keys)

    def test_a_new_journal_waits_for_the_archive(self):
        member = self.start_router()
        self.say_many(member, 3)
        self.until_caught_up()
        self.assertEqual(self.router.stop(), 0)
        shutil.rmtree(self.router.data)
        self.server.kill()
        with open(f"{self.folder}/log", "ab") as log:
            process = subprocess.Popen(self.router.command(), stderr=log)
        self.addCleanup(process.kill)
        self.until(lambda: "waiting for MongoDB" in self.router.log(), "it does not say that it waits")
        self.assertIsNone(process.poll())
        process.kill()
        process.wait(PATIENCE)
        self.server.start()
        self.router.start()
        self.assertEqual(self.go_live().say("R", "again")["seq"], 4)

    def test_a_server_that_hangs_holds_up_nothing(self):
        member = self.start_router("--archive-timeout=60 s")
        self.say_many(member, 10)
        self.until_caught_up()
        self.server.pause()
        self.addCleanup(self.server.resume)
        self.say_many(member, 200)
        started = time.monotonic()
        self.assertEqual(self.router.stop(), 0)
        self.assertLess(time.monotonic() - started, 20)
        self.server.resume()
        self.router.start()
        self.until_caught_up()
        self.go_live()
        self.assertEqual(len(self.check_archive()), 210)


    def test_a_goodbye_that_hangs_holds_up_nothing(self):
        member = self.start_router("--archive-timeout=60 s")
        self.say_many(member, 10)
        self.until_caught_up()
        self.server.pause()
        self.addCleanup(self.server.resume)
        started = time.monotonic()
        self.assertEqual(self.router.stop(), 0)
        self.assertLess(time.monotonic() - started, 20)


class Java(ServerCases, ArchiveTest):
    make_server = JavaServer


class Played(ArchiveTest):
    """What no server does when asked to."""

    def setUp(self):
        super().setUp()
        self.server = PlayedServer()
        self.addCleanup(self.server.kill)
        self.uri = self.server.uri

    def rows_of_dead_letters(self):
        with contextlib.closing(sqlite3.connect(f"{self.router.data}/journal.sqlite")) as database:
            database.row_factory = sqlite3.Row
            return list(database.execute("SELECT * FROM dead_letter ORDER BY pos"))

    def until_buried(self, count):
        self.until(lambda: self.archive()["dead_letters"] == count, "no dead letter")

    def test_what_is_refused_for_good_becomes_a_dead_letter(self):
        self.server.before_insert = lambda document: (
            {"code": 121, "errmsg": "Document failed validation"} if "poison" in document["raw"] else None)
        member = self.start_router()
        self.say_many(member, 100, lambda at: {"room": "R", "text": "poison" if at % 10 == 5 else f"t{at}"})
        self.until_caught_up()
        self.until_buried(10)
        buried = self.rows_of_dead_letters()
        self.assertEqual([row["pos"] for row in buried], list(range(6, 101, 10)))
        self.assertEqual({(row["code"], row["error"], row["arguments"]) for row in buried},
                         {(121, "Document failed validation", '{"room":"R","text":"poison"}')})
        self.check_archive(without={row["pos"] for row in buried})
        self.assertIn("refuses a message for good", self.router.log())
        self.assertNotIn("poison", self.router.log())
        self.assertEqual(self.router.metric("hubbub_archive_refused_total"), 10)
        self.router.kill()
        self.router.start()
        self.until_caught_up()
        self.until_buried(10)

    def test_what_is_refused_with_args_is_kept_without(self):
        self.server.before_insert = lambda document: {"code": 57, "errmsg": "dotted"} if "args" in document else None
        member = self.start_router()
        self.say_many(member, 20)
        self.until_caught_up()
        self.assertTrue(all("args" not in document for document in self.check_archive()))
        self.assertEqual(self.archive()["dead_letters"], 0)

    def test_a_journal_that_cannot_be_read_is_no_outage_of_mongodb(self):
        member = self.start_router("--archive-retry-max=200", "--archive-batch=1")
        held, go_on = threading.Event(), threading.Event()
        self.addCleanup(go_on.set)

        def before_insert(document):
            held.set()
            go_on.wait(PATIENCE)

        self.server.before_insert = before_insert
        self.say_many(member, 5)
        self.assertTrue(held.wait(PATIENCE))
        with contextlib.closing(sqlite3.connect(f"{self.router.data}/journal.sqlite", timeout=PATIENCE)) as database:
            database.execute("ALTER TABLE message RENAME TO hidden")
            go_on.set()
            self.until(lambda: "can't be read for the archive" in self.router.log(), "nothing is said")
            self.until(lambda: self.archive()["last_error"] == "the journal can't be read", "no word of it")
            database.execute("ALTER TABLE hidden RENAME TO message")
        self.until_caught_up()
        self.until(lambda: "can be read for the archive again" in self.router.log(), "its end is not said")
        self.assertNotIn("reach", self.router.log())
        self.check_archive()

    def test_a_whole_write_that_is_refused_is_narrowed_down(self):
        def refuse(name, body):
            if name == "insert" and any("poison" in document["raw"] for document in body["documents"]):
                return {"ok": 0, "code": 10334, "errmsg": "too large"}
            return None
        self.server.before_command = refuse
        member = self.start_router()
        self.say_many(member, 100, lambda at: {"room": "R", "text": "poison" if at in (17, 18, 80) else f"t{at}"})
        self.until_caught_up()
        self.until_buried(3)
        self.check_archive(without={18, 19, 81})

    def test_a_primary_that_steps_down_is_waited_for(self):
        answers = iter([{"ok": 0, "code": 10107, "errmsg": "not primary"},
                        {"ok": 0, "code": 189, "errmsg": "stepped down", "errorLabels": ["RetryableWriteError"]},
                        {"ok": 1, "n": 0, "writeErrors": [{"index": 0, "code": 11600, "errmsg": "interrupted"}]}])
        self.server.before_command = lambda name, body: next(answers, None) if name == "insert" else None
        member = self.start_router()
        self.say_many(member, 1)
        self.until_caught_up()
        self.assertEqual(self.archive()["retries"], 3)
        self.assertEqual(len(self.check_archive()), 1)

    def test_without_a_majority_nothing_counts_as_archived(self):
        state = {"majority": False}

        def complain(name, body, answer):
            if name == "insert" and not state["majority"]:
                return {**answer, "writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}}
            return None
        self.server.after_command = complain
        member = self.start_router()
        self.say_many(member, 30)
        self.until(lambda: self.archive()["retries"] > 3, "it does not retry")
        self.assertEqual(self.archive()["position"], 0)
        state["majority"] = True
        self.until_caught_up()
        self.assertEqual(len(self.check_archive()), 30)

    def test_another_message_in_its_place_is_no_success(self):
        member = self.start_router()
        self.say_many(member, 1)
        self.until_caught_up()
        first = dict(self.server.messages()[0])
        key = {**first["_id"], "seq": bson.Int64(3)}
        with self.server.lock:
            self.server.documents[bson.encode(key)] = {**first, "_id": key, "seq": bson.Int64(3), "id": "another"}
        self.say_many(member, 4)
        self.until_caught_up()
        self.until_buried(1)
        row, = self.rows_of_dead_letters()
        self.assertEqual((row["pos"], row["seq"], row["code"]), (3, 3, 11000))
        self.assertIn("another message", row["error"])
        self.assertEqual(len(self.server.messages()), 5)

    def test_a_code_that_nobody_knows_stops_nothing_for_ever(self):
        self.server.before_insert = lambda document: (
            {"code": 4711, "errmsg": "?"} if "poison" in document["raw"] else None)
        member = self.start_router("--archive-retry-max=10")
        self.say_many(member, 10, lambda at: {"room": "R", "text": "poison" if at == 3 else f"t{at}"})
        self.until_caught_up()
        self.until_buried(1)
        self.check_archive(without={4})

    def test_what_no_document_can_hold_becomes_a_dead_letter(self):
        member = self.start_router("--max-event=40 MB", "--max-batch=64 MB", *QUICK)
        self.assertTrue(member.say("R", "x" * (17 << 20))["ok"])
        self.assertTrue(member.say("R", "small")["ok"])
        self.until_caught_up()
        self.until_buried(1)
        row, = self.rows_of_dead_letters()
        self.assertEqual((row["pos"], row["code"], len(row["arguments"]) > 17 << 20), (1, 10334, True))
        self.check_archive(without={1})

    def test_a_slow_server_is_sent_as_much_as_it_takes_in_time(self):
        self.server.before_insert = lambda document: time.sleep(0.002)
        member = self.start_router("--archive-timeout=300", "--archive-retry-max=50")
        self.say_many(member, 2000)
        self.until_caught_up()
        self.check_archive()
        self.assertGreater(self.archive()["retries"], 0)
        self.assertLess(self.archive()["retries"], 20)

    def test_what_trickles_in_during_writes_is_gathered(self):
        self.server.before_command = lambda name, body: time.sleep(0.002 if name == "insert" else 0)
        member = self.start_router()
        begun, requests = time.monotonic(), []
        for at in range(300):
            requests.append(member.start("msg", "R", [{"room": "R", "text": f"t{at}"}]))
            time.sleep(0.002)
        for request in requests:
            self.assertTrue(self.gateway.answer(request)["ok"])
        self.until_caught_up()
        most = (time.monotonic() - begun) / 0.019 + 1  # there is a pause of 20 ms, in whole ones, before each
        self.assertEqual(len(self.check_archive()), 300)
        self.assertLessEqual(self.router.metric("hubbub_archive_writes_total"), most)

    def test_a_server_that_makes_no_indexes_is_used_without(self):
        self.server.before_command = lambda name, body: (
            {"ok": 0, "code": 115, "errmsg": "not supported"} if name == "createIndexes" else None)
        member = self.start_router()
        self.say_many(member, 5)
        self.until_caught_up()
        self.check_archive()
        self.assertIn("indexes can't be made", self.router.log())

    def test_signals_are_for_the_loop(self):
        member = self.start_router()
        self.say_many(member, 1)
        self.until_caught_up()
        names = ("hubbub-router", "journal", "journal-copy", "journal-read", "archive", "archive-read")
        main = str(self.router.process.pid)
        blocked = {}

        def look():
            """Each names itself when it runs first; those of the driver come and go."""
            for task in pathlib.Path(f"/proc/{main}/task").iterdir():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    fields = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
                    if fields["Name"].strip() != "hubbub-router" or task.name == main:
                        blocked[fields["Name"].strip()] = int(fields["SigBlk"], 16) >> (signal.SIGTERM - 1) & 1
            return set(names) <= blocked.keys()

        self.until(look, "not all threads are there")
        self.assertEqual([blocked[name] for name in names], [0, 1, 1, 1, 1, 1])

    def test_the_password_comes_from_a_file_of_its_own(self):
        payloads = []

        def before_command(name, body):
            if name == "saslStart":
                payloads.append(base64.b64decode(body["payload"]))
                return {"ok": 1, "conversationId": 1, "done": True, "payload": b""}
            return None
        self.server.before_command = before_command
        password = pathlib.Path(self.folder, "password")
        password.touch(mode=0o600)
        password.write_text("very: secret/@\n")
        options = (f"--archive-password={password}", *QUICK)
        uri = f"mongodb://someone@127.0.0.1:{self.server.port}/?authMechanism=PLAIN&tls=false"
        member = self.start_router(*options, uri=uri)
        self.say_many(member, 1)
        self.until(lambda: len(self.server.messages()) == 1, "nothing is archived")
        self.assertEqual(set(payloads), {b"\0someone\0very: secret/@"})
        self.assertNotIn("very: secret", self.router.log())
        self.router.stop()

        def refusal(text, mode=0o600):
            password.write_text(text)
            password.chmod(mode)
            done = subprocess.run([ROUTER, f"--archive={uri}", options[0], "--check-config"], capture_output=True, text=True,
                                  check=False)
            self.assertNotEqual(done.returncode, 0)
            return done.stderr
        self.assertIn("expected one line, the password", refusal(""))
        self.assertIn("expected one line, the password", refusal("two\nlines\n"))
        self.assertIn("that others have rights to", refusal("fine\n", 0o644))

    def test_a_password_is_told_nobody(self):
        self.server.kill()
        uri = f"mongodb://someone:verysecret@127.0.0.1:{self.server.port}/?authMechanism=PLAIN&tls=false"
        self.router = Router(self.folder, f"--config={self.configuration}", "--dead=10 min", *QUICK)
        self.router.start()  # makes the journal, so that the next start need not wait
        member = self.go_live()
        member.say("R", "x")
        self.router.stop()
        self.start_router(uri=uri)
        self.until(lambda: self.archive()["retries"] > 1, "it does not retry")
        self.assertNotIn("verysecret", self.router.log())
        self.assertNotIn("verysecret", json.dumps(self.router.statistics()))


if __name__ == "__main__":
    unittest.main()
