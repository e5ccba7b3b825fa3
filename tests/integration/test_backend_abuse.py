"""A backend that misbehaves beside one that does not: a whole stack, with clients of both in one namespace.  The bad one
is cut off, its clients go on with the other, and nobody else notices."""
import json
import os
import pathlib
import select
import subprocess
import sys
import threading
import time
import types
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / folder) for folder in ("conformance", "support")]
import programs  # noqa: E402
from played_backend import Backend, kind  # noqa: E402
from raw_client import Client  # noqa: E402

CONFIGURATION = """
router = { max_unacknowledged = "256 KB"; resync_max = "64 KB"; recovery_max_bytes = "64 KB"; };
namespaces = ( { name = "/"; backend = true; }, { name = "/bare"; builtin = false; recovery = false; } );
"""


class GoodBackend:
    """tests/support/driven_backend.c as a process."""

    def __init__(self, stack):
        self.process = subprocess.Popen([programs.BUILD / "tests" / "support" / "driven-backend",
                                         f"ipc://{stack.folder}/data/router.ipc", "good"], stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        self.live = threading.Event()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        assert self.live.wait(programs.PATIENCE)

    def read(self):
        for line in self.process.stdout:
            if json.loads(line)["at"] == "live":
                self.live.set()

    def close(self):
        self.process.terminate()
        code = self.process.wait(programs.PATIENCE)
        self.reader.join(programs.PATIENCE)
        self.process.stdout.close()
        assert code == 0, code


class Crowd:
    """Clients that count, each in a thread, until stop(): every answer must come, once and right."""

    def __init__(self, clients):
        self.clients, self.running, self.counted, self.failure = clients, True, 0, None
        self.threads = [threading.Thread(target=self.count, args=(client,), daemon=True) for client in clients]
        for thread in self.threads:
            thread.start()

    def count(self, client):
        number = 0
        try:
            while self.running:
                number += 1
                answer = client.call("count", number)
                assert answer == number, (answer, number)
                self.counted += 1
        except BaseException as failure:  # told by stop()
            self.failure = failure

    def more(self, count, meanwhile=lambda: time.sleep(0.01)):
        wanted, end = self.counted + count, time.monotonic() + programs.PATIENCE
        while self.counted < wanted:
            assert self.failure is None and time.monotonic() < end, (self.failure, self.counted, wanted)
            meanwhile()

    def stop(self):
        self.running = False
        for thread in self.threads:
            thread.join(programs.PATIENCE)
        assert self.failure is None, self.failure


class Abuse(unittest.TestCase):
    def setUp(self):
        self.stack = programs.Stack(rest=CONFIGURATION, gateways=2)
        self.addCleanup(self.stack.close)
        self.good = GoodBackend(self.stack)
        self.addCleanup(self.good.close)
        router = types.SimpleNamespace(endpoint=f"ipc://{self.stack.folder}/data/router.ipc", log=self.stack.log_text)
        self.bad = Backend(router, "bad", ["/"])
        self.bad.peers = [self.bad]
        self.addCleanup(lambda: self.bad.close())
        self.bad.serve()

    def client(self, gateway):
        """(the client, whether it is the bad one's): whoever has the fewest gets it."""
        client = Client(self.stack.ports[gateway], connect=False)
        self.addCleanup(client.socket.close)
        client.send_text("40")
        accepted, end = [], time.monotonic() + programs.PATIENCE
        while not select.select([client.socket], [], [], 0)[0]:
            self.assertLess(time.monotonic(), end)
            self.bad.read(0.02)
            for record in [record for record in self.bad.records if kind(record) == "CONNECTION"]:
                self.bad.records.remove(record)
                self.bad.send(("ACCEPT", record.task, ""))
                accepted.append(record.sid)
        return client, json.loads(client.packet("40"))["sid"] in accepted

    def check(self, misbehave):
        """Runs it with a CALL and its client, while others count."""
        clients = [self.client(number % 2) for number in range(8)]
        bystanders = [client for client, is_bad in clients if not is_bad]
        victims = [client for client, is_bad in clients if is_bad]
        self.assertTrue(len(bystanders) > 2 and len(victims) > 2, clients)
        crowd = Crowd(bystanders)
        crowd.more(50, lambda: self.bad.read(0.01))  # which gives signs of life
        answer = []
        waiting = threading.Thread(target=lambda: answer.append(victims[0].call("count", 7)), daemon=True)
        waiting.start()
        call = self.bad.take("CALL")
        misbehave(call, victims)
        waiting.join(programs.PATIENCE)
        self.assertEqual(len(answer), 1, "the client has its answer")
        for victim in victims:
            self.assertEqual(victim.call("call", "which"), "good")
        crowd.more(50)
        crowd.stop()
        for client in crowd.clients + victims:  # nothing unexpected has come, and the connections live
            client.send_text('42999["call","which"]')
            self.assertEqual(client.packet("43"), '999["good"]')
        return answer[0]

    def cut(self):
        return self.bad.take("CUT").reason

    def test_nonsense(self):
        def misbehave(call, victims):
            self.bad.send_raw(b"\xc0" + os.urandom(99))  # no list: one may name another version, and be refused for that
            self.assertIn("none, or out of place", self.cut())
        self.assertEqual(self.check(misbehave), 7)

    def test_records_of_a_gateway(self):
        def misbehave(call, victims):
            self.bad.send(("EVENT", 1, 1, 0, "", "msg", "", ""))
            self.assertIn("none, or out of place", self.cut())
        self.assertEqual(self.check(misbehave), 7)

    def test_a_second_answer(self):
        def misbehave(call, victims):
            self.bad.handle(call, "first")
            self.bad.handle(call, "second")
            self.assertEqual(self.cut(), "a second answer to a task")
        self.assertEqual(self.check(misbehave), "first")

    def test_an_answer_that_is_no_json(self):
        def misbehave(call, victims):
            self.bad.send(("HANDLED", call.task, 1, '"],["more'))
            self.assertIn("no JSON", self.cut())
        self.check(misbehave)

    def test_a_namespace_that_it_does_not_serve(self):
        stranger = Client(self.stack.ports[0], connect=False)
        self.addCleanup(stranger.socket.close)
        stranger.send_text("40/bare,")
        sid = json.loads(stranger.packet("40/bare,"))["sid"]

        def misbehave(call, victims):
            self.bad.send(("EXPEL", 1, "/bare", [sid], [], 1))
            self.assertEqual(self.cut(), "a namespace that it does not serve")
        self.assertEqual(self.check(misbehave), 7)
        stranger.send_text('42/bare,1["call","which"]')
        self.assertEqual(stranger.packet("43/bare,"), '1["good"]')

    def test_data_for_a_strangers_socket(self):
        stranger = Client(self.stack.ports[0], connect=False)
        self.addCleanup(stranger.socket.close)
        stranger.send_text("40/bare,")
        sid = json.loads(stranger.packet("40/bare,"))["sid"]

        def misbehave(call, victims):
            self.bad.send(("STORE", 1, sid, '"stolen"'))
            record = self.bad.next()
            while kind(record) not in ("CUT", "OUTCOME"):
                record = self.bad.next()
            self.assertTrue(kind(record) == "CUT" or record.error, record)
            if kind(record) == "OUTCOME":  # it may have asked in good faith: the socket may just have left
                self.bad.close()
        self.check(misbehave)
        stranger.send_text('42/bare,1["call","fetch"]')
        (found,), = json.loads(stranger.packet("43/bare,1"))
        self.assertEqual((found["id"], found["data"]), (sid, ""))

    def test_it_stops_reading(self):
        def misbehave(call, victims):
            self.bad.acknowledging = False
            for number in range(12):
                victims[1].send_text("42" + json.dumps(["large", "x" * 50000]))
            self.assertEqual(self.cut(), "it reads too slowly")
        self.assertEqual(self.check(misbehave), 7)

    def test_it_takes_everything_and_answers_nothing(self):
        def misbehave(call, victims):
            self.bad.none("CUT", patience=1)  # others go on: the crowd counts
            self.bad.silent = True  # and after `dead` it counts as gone
        self.assertEqual(self.check(misbehave), 7)


if __name__ == "__main__":
    unittest.main()
