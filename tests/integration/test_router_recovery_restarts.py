#!/usr/bin/env python3
"""Sessions that are away, over restarts of the router and with a full disk, driven over ZeroMQ by played gateways.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import json
import pathlib
import resource
import signal
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import Socket  # noqa: E402
from recovery_test import RecoveryTest, said  # noqa: E402


class Away(RecoveryTest):
    options = ("--recovery-window=200ms",)

    def test_the_window_passes(self):
        one, two, alice, _ = self.pair("R")
        one.lose(alice)
        self.until(lambda: self.router.metric("hubbub_sessions_ended_total{reason=expired}") == 1, "it is still there")
        self.is_fresh(two.come_back(alice.pid), alice, "expired")
        self.assertEqual(self.sql("SELECT count(*) FROM session WHERE sid = '%s'" % alice.sid), [(0,)])
        self.assertEqual(self.sql("SELECT count(*) FROM session_room"), [(1,)])  # bob's

    def test_the_window_begins_anew_with_a_restart(self):
        self.assertEqual(self.router.stop(), 0)
        *options, short = self.router.options
        self.router.options = options
        self.router.start()
        one, _, alice, bob = self.pair("R")
        one.lose(alice)
        self.router.kill()
        self.assertEqual(self.sql("SELECT count(*) FROM session"), [(2,)])
        self.router.options = [*options, short]
        self.router.start()
        self.until(lambda: self.sql("SELECT count(*) FROM session") == [(0,)], "they are still there")
        self.assertEqual(self.router.metric("hubbub_sessions_ended_total{reason=expired}"), 2)


class StillThere(RecoveryTest):
    """Longer than the window, which is more than what may pass between a loss and what the tests do next."""
    options = ("--recovery-window=2500ms",)

    def lose_and_come_back(self, gateway, held):
        """In one batch, so that only the journal takes time."""
        gateway.sockets += 1
        gateway.request += 1
        gateway.send(("DISCONNECT", held.number, "transport close"),
                     ("CONNECT", gateway.request, gateway.sockets, "/", json.dumps({"pid": held.pid}), ""))
        del gateway.held[held.number]
        again = Socket(gateway, gateway.sockets, "/")
        record = gateway.take("CONNECTED", where=lambda record: record.request == gateway.request)
        again.sid, again.sender = record.sid, record.sender
        again.generation, again.pid, again.recovered = record.generation, record.pid, record.recovered
        gateway.held[again.number] = again
        return again

    def test_a_live_session_has_no_window(self):
        one, two, alice, bob = self.pair("R")
        again = self.lose_and_come_back(one, alice)
        self.went_on(again, alice)
        other = one.connect()
        one.lose(other)
        self.until(lambda: self.router.metric("hubbub_sessions_ended_total{reason=expired}") == 1, "it is still there")
        self.went_on(self.lose_and_come_back(one, again), again)

    def test_a_router_that_stood_still_reads_before_it_judges(self):
        one, two, alice, bob = self.pair("R")
        bob.say("R", "a")
        one.lose(alice)
        self.router.process.send_signal(signal.SIGSTOP)
        try:
            request = two.ask("CONNECT", 40, "/", json.dumps({"pid": alice.pid}), "")
            time.sleep(4.5)  # of this the test is about: a second more than the window, and more than that
        finally:
            self.router.process.send_signal(signal.SIGCONT)
        answer = two.take("CONNECTED", where=lambda record: record.request == request)
        self.assertEqual((answer.recovered, answer.sid), (1, alice.sid))


class Crowd(RecoveryTest):
    options = ("--max-away-sessions=2",)

    def test_the_oldest_makes_room(self):
        gateway = self.gateway()
        held = [gateway.connect() for _ in range(3)]
        for each in held:
            gateway.lose(each)
        self.assertEqual(self.router.statistics()["away"], 2)
        self.assertEqual(self.router.metric("hubbub_sessions_ended_total{reason=too_many}"), 1)
        self.assertEqual([gateway.come_back(each.pid).recovered for each in held], [0, 1, 1])

    def test_who_is_live_is_no_crowd_after_a_restart(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        first, second = ([gateway.connect() for _ in range(4)] for gateway in (one, two))
        self.restart()
        one.go_live()
        one.lose(first[0])
        two.go_live()
        for each in second:
            two.lose(each)
            self.went_on(two.come_back(each.pid), each)
        self.assertEqual(self.router.metric("hubbub_sessions_ended_total{reason=too_many}"), 0)


class Restarts(RecoveryTest):
    def test_it_goes_on_after_a_kill_of_everything(self):
        one, two, alice, bob = self.pair("R", "S")
        alice.join("W", watch=1)
        alice.answer("LEAVE", "S")
        bob.say("R", "a")
        bob.say("S", "not hers")
        self.router.kill()
        for gateway in (one, two):
            gateway.close()
        self.router.start()
        three = self.gateway("g3")
        again = three.come_back(alice.pid)
        self.went_on(again, alice)
        self.assertEqual((said(again.replayed), again.rooms), (["a"], {"R": (2, 0), "W": (2, 1)}))
        self.assertTrue(again.say("R", "b")["ok"])

    def test_a_hello_gets_its_sessions_back(self):
        one, two, alice, bob = self.pair("R")
        self.restart()
        self.assertEqual(self.router.statistics()["away"], 2)
        one.go_live()
        two.go_live()
        statistics = self.router.statistics()
        self.assertEqual((statistics["away"], statistics["sockets"], statistics["members"]), (0, 2, 2))
        one.lose(alice)
        bob.say("R", "a")
        again = two.come_back(alice.pid)
        self.went_on(again, alice)
        self.assertEqual(said(again.replayed), ["a"])

    def test_a_hello_may_name_a_socket_only_to_say_that_its_client_left(self):
        gateway = self.gateway()
        for restarted in (False, True):
            with self.subTest(restarted=restarted):
                alice = gateway.connect()
                alice.join("R")
                if restarted:
                    self.router.kill()
                    self.router.start()
                alice.rooms = {}
                gateway.open()
                gateway.send(*gateway.hello_records(), ("DISCONNECT", alice.number, "client_disconnect"))
                gateway.take("LIVE")
                gone = "SELECT sid FROM session WHERE sid = '%s'" % alice.sid
                self.until(lambda gone=gone: self.sql(gone) == [], "the row is still there")
                self.assertEqual(gateway.come_back(alice.pid).recovered, 0)
                gateway.held = {}
                gateway.go_live()

    def test_an_older_socket_is_turned_away(self):
        one, two, alice, bob = self.pair("R")
        again = two.come_back(alice.pid)
        one.take("CLOSE")
        self.restart()
        one.go_live()  # has not heard of it, and comes first
        self.assertEqual(one.take("CLOSE").socket, alice.number)
        two.go_live()
        self.assertEqual(bob.answer("PRESENCE", "R")["members"], 2)
        self.assertTrue(again.say("R", "x")["ok"])
        self.assertEqual(self.router.metric("hubbub_router_sockets_skipped_total"), 1)

    def test_a_younger_socket_wins_when_the_rows_do_not_know_it(self):
        one, two, alice, bob = self.pair("R")
        again = two.come_back(alice.pid)
        one.take("CLOSE")
        self.router.kill()
        self.sql("UPDATE session SET generation = 1")
        self.router.start()
        one.go_live()
        two.go_live()
        self.assertEqual(one.take("CLOSE").socket, alice.number)
        self.assertEqual(bob.answer("PRESENCE", "R")["members"], 2)
        self.assertTrue(again.say("R", "x")["ok"])
        self.assertEqual(self.sql("SELECT generation FROM session WHERE sid = '%s'" % alice.sid), [(2,)])

    def test_the_gateway_knows_the_rooms_of_its_sockets(self):
        one, two, alice, bob = self.pair("R", "S")
        self.router.kill()
        self.sql("DELETE FROM session_room WHERE room = 'S'")
        self.sql("UPDATE session_room SET room = 'T' WHERE room = 'R'")
        self.router.start()
        one.go_live()
        two.go_live()
        one.settle()
        self.assertEqual(self.sql("SELECT room FROM session_room JOIN session ON id = session WHERE sid = '%s' "
                                  "ORDER BY room" % alice.sid), [("R",), ("S",)])
        one.lose(alice)
        bob.say("S", "a")
        self.assertEqual(said(two.come_back(alice.pid).replayed), ["a"])

    def test_rows_that_are_right_are_left_alone(self):
        one, two, _, _ = self.pair("R")
        self.restart()
        one.go_live()
        two.go_live()
        one.settle()
        self.assertEqual(self.router.metric("hubbub_session_changes_total"), 0)

    def test_a_recovered_socket_keeps_the_place_of_its_join_over_a_restart(self):
        one, two, alice, bob = self.pair("R")
        one.lose(alice)
        bob.say("R", "a")
        again = two.come_back(alice.pid)  # and its client gets nothing of it
        self.restart()
        one.go_live()
        two.go_live()
        two.lose(again)
        self.assertEqual(said(one.come_back(alice.pid).replayed), ["a"])

    def test_killed_after_each_change(self):
        """Whatever was answered is there afterwards, and a session that was told goes on."""
        for changes in range(1, 7):
            with self.subTest(changes=changes):
                self.router.stop()
                self.router.environment = {"HUBBUB_TEST_ABORT_AFTER_CHANGES": str(changes)}
                self.router.start()
                self.router.environment = {}
                gateway = self.gateway(f"h{changes}")
                state, pid, survived = self.walk(gateway)
                if not survived:
                    self.assertEqual(self.router.process.wait(30), -signal.SIGABRT)
                    gateway.close()
                    self.router.start()
                    other = self.gateway(f"i{changes}")
                    if pid:
                        again = other.come_back(pid)
                        self.assertEqual((again.recovered, sorted(again.rooms)), (1, state))
            if survived:
                self.skipTest("built without test hooks")

    def walk(self, gateway):
        """Connect, join A, join B, leave A, lose, come back; until the router is gone.  What must be there after
        the step that was not answered: it was committed.  And whether the router survived it all."""
        rooms, pid, survived = [], None, False
        try:
            held = self.patiently(gateway.connect)
            pid = held.pid
            for step, room in (("JOIN", "A"), ("JOIN", "B"), ("LEAVE", "A")):
                rooms = sorted(set(rooms) ^ {room})
                self.patiently(lambda: held.answer(step, room, *([0, 0] if step == "JOIN" else [])))
            gateway.send(("DISCONNECT", held.number, "transport close"))
            self.patiently(lambda: gateway.come_back(pid))
            held = self.patiently(gateway.connect)
            survived = True
        except EOFError:
            pass
        return rooms, pid, survived

    def patiently(self, call):
        """The call's result; EOFError when the router ends instead."""
        gateway_read = type(self.gateways[-1]).read

        def read(gateway, patience=0.1):
            while not gateway_read(gateway, 0.1):
                if self.router.process.poll() is not None:
                    raise EOFError
            return True

        self.gateways[-1].read = lambda patience=0: read(self.gateways[-1])
        return call()


class FullDisk(RecoveryTest):
    def test_rows_are_made_good_when_there_is_room_again(self):
        one, two, alice, bob = self.pair("R")
        carol = two.connect()
        before = resource.prlimit(self.router.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.router.process.pid, resource.RLIMIT_FSIZE, (1 << 20, before[1]))
        while bob.say("R", "x" * 5000)["ok"]:
            pass
        resource.prlimit(self.router.process.pid, resource.RLIMIT_FSIZE, (1, before[1]))
        # Nothing of this is refused.
        self.assertTrue(alice.join("S")["ok"])
        self.assertTrue(alice.answer("LEAVE", "R")["ok"])
        dave = two.connect()
        two.lose(carol, "client_disconnect")
        one.lose(alice)
        alice = two.come_back(alice.pid, self.offset(self.head()))
        self.assertEqual((alice.recovered, alice.generation, list(alice.rooms)), (1, 2, ["S"]))
        self.assertTrue(self.router.statistics()["journal"]["storage_full"])

        resource.prlimit(self.router.process.pid, resource.RLIMIT_FSIZE, before)
        self.assertTrue(bob.say("R", "again")["ok"])
        self.until(lambda: self.sql("SELECT sid, generation, room FROM session LEFT JOIN session_room "
                                    "ON session = id ORDER BY id") ==
                   [(alice.sid, 2, "S"), (bob.sid, 1, "R"), (dave.sid, 1, None)], "the rows are not right")
        self.restart()
        two.held = {}
        two.go_live()
        self.assertEqual(list(two.come_back(alice.pid).rooms), ["S"])


if __name__ == "__main__":
    unittest.main()
