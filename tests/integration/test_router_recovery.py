#!/usr/bin/env python3
"""Connection state recovery in the router alone, driven over ZeroMQ by played gateways: docs/protocol.md.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import kind, payloads  # noqa: E402
from recovery_test import RecoveryTest, said  # noqa: E402


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
