#!/usr/bin/env python3
"""Connection state recovery in the router alone, driven over ZeroMQ by played gateways: docs/protocol.md.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import contextlib
import json
import pathlib
import resource
import signal
import sqlite3
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import EVENTS, REPLAY, RouterTest, kind, payloads  # noqa: E402


def said(replayed):
    """What the messages say, wherever they say it."""
    return [event[1]["text"] for event in replayed]


class RecoveryTest(RouterTest):
    def recoveries(self, result):
        return self.router.metric(f"hubbub_recoveries_total{{result={result}}}")

    def offset(self, pos):
        return f"{self.gateways[0].epoch}.{pos}"

    def head(self):
        return self.router.statistics()["journal"]["head"]

    def sql(self, text):
        with contextlib.closing(sqlite3.connect(f"{self.router.data}/journal.sqlite")) as database:
            rows = database.execute(text).fetchall()
            database.commit()
            return rows

    def restart(self):
        """The router is killed and started again; no gateway has said hello yet."""
        self.router.kill()
        self.router.start()

    def went_on(self, held, former):
        self.assertEqual((held.recovered, held.sid, held.pid, held.sender, held.generation),
                         (1, former.sid, former.pid, former.sender, former.generation + 1))

    def is_fresh(self, held, former, result):
        self.assertEqual(held.recovered, 0)
        self.assertNotEqual(held.sid, former.sid)
        self.assertNotEqual(held.pid[20:], former.pid[20:])
        self.assertEqual((held.replayed, held.rooms), ([], {}))
        self.assertEqual(self.recoveries(result), 1)

    def pair(self, *rooms):
        """Alice on the first gateway, and bob on the second, in these rooms."""
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect(), two.connect()
        for room in rooms:
            alice.join(room)
            bob.join(room)
        return one, two, alice, bob


class GoingOn(RecoveryTest):
    def test_a_pid_is_given(self):
        gateway = self.gateway()
        one, two = gateway.connect(), gateway.connect()
        self.assertRegex(one.pid, r"^[A-Za-z0-9_-]{42}$")
        self.assertEqual((one.pid[:20], one.generation, one.recovered), (one.sid, 1, 0))
        self.assertNotEqual(one.pid[20:], two.pid[20:])

    def test_a_session_goes_on_at_another_gateway(self):
        one, two, alice, bob = self.pair("R", "S")
        bob.join("T")
        bob.say("R", "seen")
        one.lose(alice)
        for room, text in (("R", "a"), ("T", "not hers"), ("S", "b"), ("R", "c")):
            bob.say(room, text)
        again = two.come_back(alice.pid, self.offset(1))
        self.went_on(again, alice)
        self.assertEqual(said(again.replayed), ["a", "b", "c"])
        self.assertEqual([event[-1] for event in again.replayed], [self.offset(pos) for pos in (2, 4, 5)])
        self.assertEqual(again.rooms, {"R": (5, 0), "S": (5, 0)})
        bob.say("S", "live")
        self.assertEqual(said(payloads([two.take("DELIVER", where=lambda record: record.pos == 6)])), ["live"])
        self.assertEqual(again.say("R", "mine")["ok"], True)
        self.assertEqual((self.recoveries("recovered"), self.router.metric("hubbub_recovered_messages_total")), (1, 3))

    def test_what_was_missed_stands_in_one_batch_in_front_of_the_answer(self):
        one, two, alice, bob = self.pair("R")
        one.lose(alice)
        bob.say("R", "a")
        bob.say("R", "b")
        two.settle()
        two.batches.clear()
        two.come_back(alice.pid, self.offset(1))
        batch = [name for batch in two.batches for name in batch if batch[-1] == "CONNECTED"]
        self.assertEqual([name for name in batch if name != "POSITION"], ["EMIT", "JOINED", "CONNECTED"])

    def test_without_an_offset_it_starts_where_it_joined(self):
        one, two, alice, bob = self.pair("R")
        bob.join("S")
        bob.say("S", "before")
        alice.join("S")
        one.lose(alice)
        bob.say("R", "a")
        bob.say("S", "b")
        again = two.come_back(alice.pid)
        self.went_on(again, alice)
        self.assertEqual(said(again.replayed), ["a", "b"])

    def test_an_offset_from_before_a_join_does_not_reach_behind_it(self):
        one, two, alice, bob = self.pair("R")
        bob.join("S")
        bob.say("R", "seen")
        bob.say("S", "before")
        alice.join("S")
        one.lose(alice)
        bob.say("S", "a")
        again = two.come_back(alice.pid, self.offset(1))
        self.assertEqual(said(again.replayed), ["a"])

    def test_nothing_was_missed(self):
        one, two, alice, _ = self.pair("R")
        one.lose(alice)
        again = two.come_back(alice.pid)
        self.went_on(again, alice)
        self.assertEqual((again.replayed, list(again.rooms)), ([], ["R"]))

    def test_every_way_to_deliver_and_both_classes(self):
        one, two, alice, bob = self.pair("R")
        alice.publish("others", "R", {"text": "own, for others"})
        alice.publish("self", "R", {"text": "own, for itself"})
        alice.publish("all", "", {"text": "for all"})
        one.lose(alice)
        bob.publish("logged", "R", {"text": "logged"})
        bob.publish("others", "R", {"text": "for others"})
        bob.publish("self", "R", {"text": "for bob"})
        bob.publish("typing", "R", {"text": "volatile"})
        bob.publish("all", "", {"text": "for all again"})
        again = two.come_back(alice.pid)
        self.assertEqual(said(again.replayed),
                         ["own, for itself", "for all", "logged", "for others", "for all again"])

    def test_what_was_for_itself_comes_whatever_became_of_the_room(self):
        one, two, alice, bob = self.pair("R", "S")
        for room in ("R", "S"):
            alice.publish("self", room, {"text": f"in {room}"})
            self.assertTrue(alice.answer("LEAVE", room)["ok"])
        alice.join("S")
        bob.publish("self", "R", {"text": "for bob"})
        one.lose(alice)
        again = two.come_back(alice.pid)
        self.assertEqual((said(again.replayed), list(again.rooms)), (["in R", "in S"], ["S"]))
        two.lose(again)
        self.assertEqual(said(two.come_back(alice.pid, self.offset(1)).replayed), ["in S"])

    def test_without_rooms_it_gets_what_is_for_all(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        bob = two.connect()
        bob.publish("all", "", {"text": "before"})
        alice = one.connect()
        one.lose(alice)
        bob.publish("all", "", {"text": "after"})
        self.assertEqual(said(two.come_back(alice.pid).replayed), ["after"])

    def test_attachments_are_replayed(self):
        one, two, alice, bob = self.pair("R")
        one.lose(alice)
        bob.publish("msg", "R", {"room": "R", "data": {"_placeholder": True, "num": 0}}, attachments=[b"\x00\xff"])
        two.ask("CONNECT", 50, "/", json.dumps({"pid": alice.pid}), "")
        self.assertEqual(two.take("EMIT").attachments, [b"\x00\xff"])

    def test_it_may_come_back_to_its_own_gateway(self):
        one, _, alice, bob = self.pair("R")
        one.lose(alice)
        bob.say("R", "a")
        again = one.come_back(alice.pid)
        self.went_on(again, alice)
        self.assertEqual(said(again.replayed), ["a"])

    def test_it_goes_on_again_and_again(self):
        one, two, alice, bob = self.pair("R")
        former = alice
        one.lose(alice)
        for turn in range(3):
            bob.say("R", f"{turn}")
            again = two.come_back(alice.pid, self.offset(turn) if turn else None)
            self.went_on(again, former)
            self.assertEqual(said(again.replayed), [f"{turn}"])
            two.lose(again)
            former = again

    def test_a_replay_that_never_arrived_comes_again(self):
        one, two, alice, bob = self.pair("R")
        one.lose(alice)
        bob.say("R", "a")
        for _ in range(2):  # the client has got nothing, and says so
            again = two.come_back(alice.pid)
            self.assertEqual(said(again.replayed), ["a"])
            two.lose(again)
            two.go_live()

    def test_watching_goes_on(self):
        one, two, alice, bob = self.pair()
        alice.join("R", watch=1)
        one.lose(alice)
        again = two.come_back(alice.pid)
        self.assertEqual(again.rooms, {"R": (0, 1)})
        two.take("DELIVER")
        bob.join("R")
        self.assertEqual(json.loads(two.take("DELIVER").payload)[1], {"room": "R", "members": 2})

    def test_rooms_to_join_with_a_connect_are_for_a_new_session(self):
        one, two, alice, _ = self.pair("R")
        alice.answer("LEAVE", "R")
        alice.join("S")
        one.lose(alice)
        again = two.come_back(alice.pid, join=["R", "T"])
        self.went_on(again, alice)
        self.assertEqual(list(again.rooms), ["S"])
        fresh = two.come_back("x" * 42, join=["R", "T"])
        self.assertEqual((fresh.recovered, list(fresh.rooms)), (0, ["R", "T"]))

    def test_away_sessions_do_not_count(self):
        one, two, alice, bob = self.pair("R")
        one.lose(alice)
        self.assertEqual(bob.answer("PRESENCE", "R")["members"], 1)
        statistics = self.router.statistics()
        self.assertEqual((statistics["sockets"], statistics["away"], statistics["members"]), (1, 1, 1))
        two.come_back(alice.pid)
        self.assertEqual(bob.answer("PRESENCE", "R")["members"], 2)
        self.assertEqual(self.router.statistics()["away"], 0)
        self.assertTrue(self.router.ask(f"session {'x' * 20}")[0].startswith("error"))

    def test_an_away_session_is_shown_without_its_handshake(self):
        one, _, alice, _ = self.pair("R")
        one.lose(alice)
        lines = self.router.ask(f"session {alice.sid}")[0].split("\n")
        self.assertEqual((lines[3], lines[5:]), ("state away", ["gateway -", "room R", "handshake -"]))

    def test_a_goodbye_leaves_sessions(self):
        one, two, alice, bob = self.pair("R")
        one.send(("BYE", "drain"))
        self.until(lambda: self.router.statistics()["gateways"] == 1, "the gateway is still there")
        bob.say("R", "a")
        again = two.come_back(alice.pid)
        self.went_on(again, alice)
        self.assertEqual(said(again.replayed), ["a"])

    def test_leaving_just_before_the_loss(self):
        one, two, alice, bob = self.pair("R", "S")
        one.request += 1
        one.send(("LEAVE", one.request, alice.number, "R"), ("DISCONNECT", alice.number, "transport close"))
        one.settle()
        bob.say("R", "x")
        bob.say("S", "y")
        again = two.come_back(alice.pid)
        self.assertEqual((said(again.replayed), list(again.rooms)), (["y"], ["S"]))

    def test_a_join_on_its_way_at_the_loss_counts(self):
        for history in (0, 5):
            with self.subTest(history=history):
                one, two, alice, bob = self.pair("R")
                bob.join("S")
                bob.say("S", "before")
                one.request += 1
                one.send(("JOIN", one.request, alice.number, "S", history, 0),
                         ("DISCONNECT", alice.number, "transport close"))
                one.settle()
                bob.say("S", "after")
                again = two.come_back(alice.pid)
                self.assertEqual((said(again.replayed), sorted(again.rooms)), (["after"], ["R", "S"]))
                self.assertEqual([record for record in one.records if kind(record) == "JOINED"], [])

    def test_what_it_had_published_just_before_the_loss(self):
        one, two, alice, bob = self.pair("R")
        one.request += 2
        one.send(("EVENT", one.request - 1, alice.number, 0, "R", "others", '{"text":"own"}', ""),
                 ("EVENT", one.request, alice.number, 0, "R", "msg", '{"text":"for all"}', ""),
                 ("DISCONNECT", alice.number, "transport close"))
        one.settle()
        self.assertEqual(said(two.come_back(alice.pid).replayed), ["for all"])


class TakingOver(RecoveryTest):
    def test_operators_see_how_they_go(self):
        one, two, alice, _ = self.pair("R")
        self.assertEqual(self.router.statistics()["recoveries"], {})
        one.lose(alice)
        two.come_back(alice.pid)
        two.come_back(alice.sid + "x" * 22)
        lines = self.router.ask("stats")[0].split("\n")
        self.assertEqual([line for line in lines if line.startswith("recoveries")],
                         ["recoveries.recovered 1", "recoveries.unknown 1"])
        self.assertEqual(self.router.statistics()["recoveries"], {"recovered": 1, "unknown": 1})

    def test_a_reconnect_overtakes_the_old_end(self):
        one, two, alice, bob = self.pair("R")
        bob.say("R", "a")
        again = two.come_back(alice.pid)
        self.went_on(again, alice)
        self.assertEqual(said(again.replayed), ["a"])
        closed = one.take("CLOSE")
        self.assertEqual((closed.socket, closed.reason, closed.final), (alice.number, "taken over", 0))
        self.assertEqual(bob.answer("PRESENCE", "R")["members"], 2)
        # What the old socket still says is of no matter.
        self.refused(alice.say("R", "x"), "not_joined")
        self.refused(alice.answer("JOIN", "S", 0, 0), "not_joined")
        alice.answer("LEAVE", "R")
        one.lose(alice, "client_disconnect")
        self.assertEqual(bob.answer("PRESENCE", "R")["members"], 2)
        self.assertTrue(again.say("R", "y")["ok"])
        self.assertEqual(payloads([record for record in one.records if getattr(record, "pos", 0) > 1]), [])

    def test_two_at_once_with_one_pid(self):
        one, two, alice, bob = self.pair("R")
        three = self.gateway("g3")
        one.lose(alice)
        bob.say("R", "a")
        auth = json.dumps({"pid": alice.pid})
        requests = [gateway.ask("CONNECT", 40, "/", auth, "") for gateway in (two, three)]
        answers = [gateway.take("CONNECTED", where=lambda record, request=request: record.request == request)
                   for gateway, request in zip((two, three), requests)]
        self.assertEqual([answer.recovered for answer in answers], [1, 1])
        self.assertEqual(sorted(answer.generation for answer in answers), [2, 3])
        loser = two if answers[0].generation == 2 else three
        closed = loser.take("CLOSE")
        self.assertEqual((closed.socket, closed.final), (40, 0))
        self.assertEqual(bob.answer("PRESENCE", "R")["members"], 2)
        self.until(lambda: self.sql("SELECT generation FROM session WHERE sid = '%s'" % alice.sid) == [(3,)],
                   "the row has not the last generation")

    def test_two_at_once_on_one_link(self):
        one, two, alice, bob = self.pair("R")
        one.lose(alice)
        auth = json.dumps({"pid": alice.pid})
        two.request += 2
        two.send(("CONNECT", two.request - 1, 40, "/", auth, ""), ("CONNECT", two.request, 41, "/", auth, ""))
        answers = [two.take("CONNECTED"), two.take("CONNECTED")]
        self.assertEqual([(answer.socket, answer.recovered) for answer in answers], [(40, 1), (41, 1)])
        self.assertEqual(two.take("CLOSE").socket, 40)
        self.assertEqual(bob.answer("PRESENCE", "R")["members"], 2)

    def test_the_second_loss_comes_before_the_answer(self):
        one, two, alice, bob = self.pair("R")
        one.lose(alice)
        bob.say("R", "a")
        two.request += 1
        two.send(("CONNECT", two.request, 40, "/", json.dumps({"pid": alice.pid}), ""),
                 ("DISCONNECT", 40, "transport close"))
        two.settle()
        self.assertNotIn("CONNECTED", [kind(record) for record in two.records])
        again = two.come_back(alice.pid)
        self.went_on(again, alice)
        self.assertEqual(said(again.replayed), ["a"])

    def test_what_comes_behind_the_connect_is_answered(self):
        one, two, alice, _ = self.pair("R")
        one.lose(alice)
        two.request += 3
        two.send(("CONNECT", two.request - 2, 40, "/", json.dumps({"pid": alice.pid}), ""),
                 ("JOIN", two.request - 1, 40, "S", 0, 0), ("LEAVE", two.request, 40, "R"))
        self.refused(two.answer(two.request - 1), "busy")
        self.refused(two.answer(two.request), "busy")
        self.assertEqual(two.take("CONNECTED").recovered, 1)
        self.assertEqual([record.room for record in two.records if kind(record) == "JOINED" and record.socket == 40], ["R"])

    def test_a_lost_link_makes_the_gateway_ask_again(self):
        one, two, alice, bob = self.pair("R")
        one.lose(alice)
        bob.say("R", "a")
        del two.held[bob.number]
        two.ask("CONNECT", 40, "/", json.dumps({"pid": alice.pid}), "")
        two.go_live()  # nothing of the answer arrived
        again = two.come_back(alice.pid)
        self.assertEqual((again.recovered, again.sid, said(again.replayed)), (1, alice.sid, ["a"]))


class Refusals(RecoveryTest):
    options = ("--recovery-max-messages=3", "--recovery-max-bytes=4096")

    def lost(self):
        one, two, alice, bob = self.pair("R")
        one.lose(alice)
        bob.say("R", "a")
        return two, alice, bob

    def is_refused(self, result, offset):
        """A fresh session, and the old one is gone."""
        two, alice, _ = self.lost()
        self.is_fresh(two.come_back(alice.pid, offset(alice)), alice, result)
        self.is_fresh(two.come_back(alice.pid), alice, "unknown")
        self.assertEqual(self.sql("SELECT count(*) FROM session WHERE sid = '%s'" % alice.sid), [(0,)])

    def test_another_epoch(self):
        self.is_refused("foreign_epoch", lambda _: "xxxxxxxx.1")

    def test_a_position_beyond_the_log(self):
        self.is_refused("bad_offset", lambda _: self.offset(2))

    def test_an_offset_that_is_none(self):
        self.is_refused("bad_offset", lambda _: "hello")

    def test_an_offset_that_is_no_text(self):
        self.is_refused("bad_offset", lambda _: 7)

    def test_an_offset_that_is_too_long(self):
        self.is_refused("bad_offset", lambda _: self.offset("0" * 100))

    def test_too_many_missed(self):
        two, alice, bob = self.lost()
        bob.join("S")
        for text in ("b", "c"):
            bob.say("R", text)
            bob.say("S", "not hers")
        again = two.come_back(alice.pid)
        self.assertEqual(said(again.replayed), ["a", "b", "c"])
        two.lose(again)
        bob.say("R", "d")
        self.is_fresh(two.come_back(alice.pid), alice, "too_many")
        self.is_fresh(two.come_back(alice.pid), alice, "unknown")

    def test_too_much_missed(self):
        two, alice, bob = self.lost()
        bob.say("R", "x" * 4096)
        self.is_fresh(two.come_back(alice.pid), alice, "too_many")

    def test_a_session_that_is_discarded_has_no_socket_any_more(self):
        one, two, alice, _ = self.pair("R")
        self.is_fresh(two.come_back(alice.pid, "xxxxxxxx.1"), alice, "foreign_epoch")
        self.assertEqual(one.take("CLOSE").socket, alice.number)

    def test_pids_of_no_session(self):
        two, alice, _ = self.lost()
        pids = ["", "x", "x" * 42, alice.pid[:41] + ("a" if alice.pid[41] != "a" else "b"), alice.pid + "a", alice.sid,
                alice.sid + "\0" * 22, 7, None, [alice.pid]]
        for at, pid in enumerate(pids, 1):
            self.assertEqual(two.come_back(pid).recovered, 0)
            self.assertEqual(self.recoveries("unknown"), at, pid)
        two.connect(auth='{"pid":"%s","pid":"%s"}' % (alice.pid, alice.pid))
        self.assertEqual(self.recoveries("unknown"), len(pids) + 1)
        self.went_on(two.come_back(alice.pid), alice)

    def test_a_pid_of_somebody_else(self):
        two, alice, _ = self.lost()
        self.sql("UPDATE session SET sender = 'alice' WHERE sid = '%s'" % alice.sid)
        self.restart()
        for gateway in self.gateways:
            gateway.held = {}
            gateway.go_live()
        fresh = two.come_back(alice.pid)
        self.is_fresh(fresh, alice, "other_user")
        self.assertEqual(self.router.statistics()["away"], 2)  # bob, and alice: undisturbed
        self.assertEqual(self.sql("SELECT sender, generation FROM session WHERE sid = '%s'" % alice.sid),
                         [("alice", 1)])

    def test_who_leaves_for_good(self):
        self.leaves("client_disconnect")

    def test_who_is_disconnected_with_another_socket(self):
        self.leaves("server_disconnect")

    def leaves(self, reason):
        one, two, alice, _ = self.pair("R")
        one.lose(alice, reason)
        self.is_fresh(two.come_back(alice.pid), alice, "unknown")
        self.assertEqual(self.sql("SELECT count(*) FROM session WHERE sid = '%s'" % alice.sid), [(0,)])


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
        one, _, alice, bob = self.pair("R")
        one.lose(alice)
        self.router.kill()
        self.assertEqual(self.sql("SELECT count(*) FROM session"), [(2,)])
        self.router.start()
        self.until(lambda: self.sql("SELECT count(*) FROM session") == [(0,)], "they are still there")
        self.assertEqual(self.router.metric("hubbub_sessions_ended_total{reason=expired}"), 2)

    def test_a_live_session_has_no_window(self):
        one, two, alice, bob = self.pair("R")
        one.lose(alice)
        again = two.come_back(alice.pid)
        other = one.connect()
        one.lose(other)
        self.until(lambda: self.router.metric("hubbub_sessions_ended_total{reason=expired}") == 1, "it is still there")
        two.lose(again)
        self.went_on(two.come_back(alice.pid), again)


    def test_a_router_that_stood_still_reads_before_it_judges(self):
        one, two, alice, bob = self.pair("R")
        bob.say("R", "a")
        one.lose(alice)
        self.router.process.send_signal(signal.SIGSTOP)
        try:
            request = two.ask("CONNECT", 40, "/", json.dumps({"pid": alice.pid}), "")
            time.sleep(2)  # of this the test is about
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


class FromTheJournal(RecoveryTest):
    options = ("--recent-max=2000",)
    configuration = (EVENTS.rstrip().removesuffix(");") + ', { name = "echo"; deliver = "self"; }, '
                     '{ name = "whisper"; room = "$.room"; deliver = "self"; });')

    def test_what_memory_lacks_is_read(self):
        one, two, alice, bob = self.pair("R", "S")
        bob.join("T")
        one.lose(alice)
        for at in range(40):
            bob.say("RST"[at % 3], f"{at}")
        bob.publish("logged", "R", {"text": "logged"})
        bob.publish("others", "R", {"text": "others"})
        bob.publish("self", "R", {"text": "for bob"})
        bob.publish("all", "", {"text": "all"})
        again = two.come_back(alice.pid, self.offset(4))
        self.went_on(again, alice)
        self.assertEqual(said(again.replayed),
                         [f"{at}" for at in range(4, 40) if at % 3 < 2] + ["logged", "others", "all"])
        self.assertGreater(self.router.metric("hubbub_journal_rows_read_total"), 0)

    def test_what_is_its_own_is_read(self):
        one, two, alice, bob = self.pair("R")
        alice.publish("self", "R", {"text": "archived"})
        alice.publish("echo", "", {"text": "of no room"})
        alice.publish("others", "R", {"text": "for others"})
        one.lose(alice)
        bob.publish("echo", "", {"text": "for bob"})
        for _ in range(5):  # so that memory knows no more of what was of no room
            bob.publish("self", "R", {"text": "for bob"})
        self.assertEqual(said(two.come_back(alice.pid).replayed), ["archived", "of no room"])

    def test_what_was_for_itself_in_a_room_that_it_left_is_read(self):
        one, two, alice, bob = self.pair("R")
        alice.publish("self", "R", {"text": "archived"})
        alice.publish("whisper", "R", {"text": "logged"})
        self.assertTrue(alice.answer("LEAVE", "R")["ok"])
        one.lose(alice)
        for at in range(10):
            bob.say("R", f"{at}")
        self.until(lambda: self.router.statistics()["journal"]["unindexed"] == 0, "the index pass did not come")
        for at in range(2):
            with self.subTest(restarted=at):
                again = two.come_back(alice.pid)
                self.assertEqual((again.recovered, said(again.replayed)), (1, ["archived", "logged"]))
            self.restart()
            two.held = {}
            two.go_live()

    def test_too_many_to_read(self):
        one, two, alice, bob = self.pair("R")
        one.lose(alice)
        for at in range(1001):
            bob.start("msg", "R", [{"room": "R", "text": f"{at}"}], flags=0)
        self.assertTrue(bob.say("R", "last")["ok"])
        self.is_fresh(two.come_back(alice.pid), alice, "too_many")

    def test_what_the_journal_keeps_no_longer(self):
        one, two, alice, bob = self.pair("R")
        one.lose(alice)
        for at in range(10):
            bob.say("R", f"{at}")
        self.router.stop()
        self.sql("INSERT OR REPLACE INTO meta VALUES ('logged_from', 5)")
        self.router.start()
        two.held = {}
        two.go_live()
        self.is_fresh(two.come_back(alice.pid), alice, "unreadable")

    def test_no_hole_and_no_repeat_while_others_publish(self):
        one, two, alice, bob = self.pair("R")
        one.lose(alice)
        published = 0
        for turn in range(20):
            for _ in range(10):
                bob.start("msg", "R", [{"room": "R", "text": f"{published}"}], flags=0)
                published += 1
            two.ask("CONNECT", 100 + turn, "/", json.dumps({"pid": alice.pid}), "")
            for _ in range(10):
                bob.start("msg", "R", [{"room": "R", "text": f"{published}"}], flags=0)
                published += 1
            two.take("CONNECTED", where=lambda record: record.socket == 100 + turn)
            bob.say("R", f"{published}")
            published += 1
            seen, joined = [], False
            for record in two.records:
                if kind(record) == "EMIT" and record.socket == 100 + turn:
                    self.assertEqual(record.flags, REPLAY)
                    seen.append(json.loads(record.payload))
                elif kind(record) == "JOINED" and record.socket == 100 + turn:
                    self.assertEqual(record.joined_pos, len(seen))
                    joined = True
                elif kind(record) == "DELIVER" and joined:
                    seen.append(json.loads(record.payload))
            self.assertEqual(said(seen), [f"{at}" for at in range(published)])
            two.send(("DISCONNECT", 100 + turn, "transport close"))

    def test_a_loss_while_it_is_read(self):
        one, two, alice, bob = self.pair("R")
        one.lose(alice)
        bob.say("R", "a")
        bob.say("R", "b")
        for _ in range(10):
            two.request += 1
            two.send(("CONNECT", two.request, 40 + two.request, "/", json.dumps({"pid": alice.pid}), ""))
            two.send(("DISCONNECT", 40 + two.request, "transport close"))
        two.settle()
        again = two.come_back(alice.pid)
        self.assertEqual((again.recovered, said(again.replayed)), (1, ["a", "b"]))

    def test_a_quiet_room_needs_no_read(self):
        one, two, alice, bob = self.pair("R")
        bob.join("S")
        one.lose(alice)
        for _ in range(5):
            bob.say("S", "x")
        before = self.router.metric("hubbub_journal_rows_read_total")
        self.went_on(two.come_back(alice.pid), alice)
        self.assertEqual(self.router.metric("hubbub_journal_rows_read_total"), before)

    def test_many_at_once(self):
        gateway = self.gateway()
        held = [gateway.connect() for _ in range(300)]
        for each in held:
            each.join("R")
        for at in range(3):
            held[0].say("R", f"{at}")
        self.restart()
        other = self.gateway("g2")
        for at, each in enumerate(held):
            other.ask("CONNECT", 1000 + at, "/", json.dumps({"pid": each.pid}), "")
        for at in range(len(held)):
            self.assertEqual(other.take("CONNECTED", where=lambda record: record.socket == 1000 + at).recovered, 1)
        emits = [record.socket for record in other.records if kind(record) == "EMIT"]
        self.assertEqual(sorted(emits), sorted(list(range(1000, 1300)) * 3))


class BeyondWhatIsKept(RecoveryTest):
    """Logged messages leave when the window and the margin are over, also those that were sent meanwhile."""
    options = ("--recent-max=0", "--recovery-window=4s", "--recovery-margin=1ms")
    configuration = EVENTS.rstrip().removesuffix(");") + ', { name = "hint"; room = "$.room"; deliver = "others"; });'

    def test_who_sent_all_of_it_has_missed_nothing(self):
        one, two, alice, bob = self.pair("R")
        carol = one.connect()
        carol.join("R")
        bob.publish("logged", "R", {"text": "bob's"})
        for at in range(5):
            alice.publish("hint", "R", {"text": f"{at}"})
        self.until(lambda: self.sql("SELECT count(*) FROM message") == [(0,)], "the messages have not left")
        alice.publish("hint", "R", {"text": "last"})
        offset = self.offset(1)
        one.lose(alice)
        one.lose(carol)
        bob.publish("hint", "R", {"text": "missed"})
        again = two.come_back(alice.pid, offset)
        self.assertEqual((again.recovered, said(again.replayed)), (1, ["missed"]))
        # Who was to get what left and does not say so has missed it.
        self.is_fresh(two.come_back(carol.pid, offset), carol, "unreadable")


class OtherNamespaces(RecoveryTest):
    configuration = """
    namespaces = (
      { name = "/"; events = ({ name = "msg"; room = "$.room"; archive = true; }); },
      { name = "/plain"; recovery = false; events = ({ name = "msg"; room = "$.room"; archive = true; }); },
      { pattern = "/orders-*"; events = ({ name = "msg"; room = "$.room"; archive = true; }); }
    );
    """

    def test_without_recovery_nothing_of_it_is_there(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice = one.connect("/plain")
        alice.join("R")
        self.assertEqual(alice.pid, "")
        self.assertEqual(self.sql("SELECT count(*) FROM session"), [(0,)])
        one.lose(alice)
        self.assertEqual(self.router.statistics()["away"], 0)
        fresh = two.come_back(alice.sid + "x" * 22, namespace="/plain")
        self.assertEqual((fresh.recovered, fresh.pid, self.recoveries("unknown")), (0, "", 0))

    def test_a_session_belongs_to_its_namespace(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        alice = one.connect("/orders-1")
        one.lose(alice)
        for namespace in ("/", "/orders-2", "/plain"):
            self.assertEqual(two.come_back(alice.pid, namespace=namespace).recovered, 0)
        self.went_on(two.come_back(alice.pid, namespace="/orders-1"), alice)

    def test_a_namespace_that_is_served_no_longer_or_not_so(self):
        gateway = self.gateway()
        held = [gateway.connect("/orders-1"), gateway.connect("/")]
        gateway.close()
        self.router.kill()
        path = pathlib.Path(self.folder, "conf")
        path.write_text('namespaces = ({ name = "/"; recovery = false; events = (); }, '
                        '{ name = "/other"; events = (); });')
        self.router.start()
        self.until(lambda: self.sql("SELECT count(*) FROM session") == [(0,)], "the rows are still there")
        gateway.held = {}
        gateway.go_live()
        self.assertEqual(gateway.come_back(held[1].pid).recovered, 0)


if __name__ == "__main__":
    unittest.main()
