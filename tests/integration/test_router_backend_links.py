#!/usr/bin/env python3
"""What becomes of sockets and tasks when links of backends and gateways, or processes, go: the router alone, with
gateways and backends that this file plays.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import json
import os
import pathlib
import random
import sys
import unittest

import msgpack

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_backend import (AGAIN, CALL_ACK, HANDED, HANDSHAKE, HELD, MORTAL, NEW, RECOVERED, Backend, BackendTest,  # noqa: E402
                            kind, number, options)


class Ends(BackendTest):
    """A backend goes."""

    def check_handed_over(self, end):
        """Two clients with open events are another backend's after end(backend)."""
        gateway, backend = self.gateway(), self.backend()
        held = [self.client(gateway, backend, data='{"i":%d}' % i) for i in range(2)]
        held[1].join("R")
        requests = [held[i % 2].start("own", "", [i]) for i in range(4)]
        calls = [backend.call() for _ in requests]
        waiting, connection = self.judged(gateway, backend)
        backend.handle(calls[0], "done")
        self.assertEqual(gateway.answer(requests[0]), "done")
        other = self.backend("b2", ["/"])
        end(backend)
        seen = [other.take("CONNECTION") for _ in range(3)]
        self.assertEqual({(record.sid, record.connection, record.data, tuple(record.rooms)) for record in seen},
                         {(held[0].sid, HANDED, '{"i":0}', ()), (held[1].sid, HANDED, '{"i":1}', ("R",)),
                          (connection.sid, NEW, "", ())})
        self.assertEqual({record.handshake for record in seen}, {HANDSHAKE})
        self.assertEqual({record.task for record in seen if record.connection == NEW}, {connection.task})
        again = [other.call() for _ in range(3)]
        self.assertEqual({(call.task, call.sid, call.arguments, call.flags) for call in again},
                         {(call.task, call.sid, call.arguments, CALL_ACK | AGAIN) for call in calls[1:]})
        self.assertEqual([call.arguments for call in again if call.sid == held[1].sid], ["1", "3"])
        for call in again:
            other.handle(call, json.loads(call.arguments))
        self.assertEqual([gateway.answer(request) for request in requests[1:]], [1, 2, 3])
        other.send(("ACCEPT", connection.task, ""))
        gateway.connected(waiting)
        gateway.settle()
        self.assertEqual([r for r in gateway.records if kind(r) in ("CLOSE", "ANSWER")], [])
        self.assertEqual(self.router.metric("hubbub_backend_handed_over_total"), 2)
        self.assertEqual(self.router.metric("hubbub_backend_tasks_again_total"), 4)

    def test_it_leaves(self):
        self.check_handed_over(lambda backend: backend.send(("LEAVING", "test")))

    @options(MORTAL)
    def test_it_is_killed(self):
        self.check_handed_over(lambda backend: backend.close())

    @options(MORTAL)
    def test_it_stops(self):
        def stop(backend):
            backend.silent = True
        self.check_handed_over(stop)
        self.assertEqual(self.router.metric("hubbub_router_backends_dead_total"), 1)

    def test_it_is_cut_off(self):
        self.check_handed_over(lambda backend: backend.send(("WELCOME", "", 0, 0, 0)))

    @options(MORTAL)
    def test_it_was_stopped_and_goes_on(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend)
        request = held.start("own", "", [1])
        call = backend.call()
        other = self.backend("b2", ["/"])
        backend.silent = True
        self.assertEqual(other.connection(HANDED).sid, held.sid)
        again = other.call()
        backend.handle(call, "late")
        backend.silent = False
        self.assertEqual(backend.take("RESYNC").reason, "say hello first")
        backend.serve(held.sid)
        self.assertEqual(backend.take("TAKEN_AWAY").sid, held.sid)
        backend.handle(call, "late")  # another's by now
        other.handle(again, "on time")
        self.assertEqual(gateway.answer(request), "on time")
        backend.none("CUT", "CALL")

    def check_cut(self, reason, *records, backend=None, raw=None):
        backend = backend or self.backend("b", ["/"])
        if raw is not None:
            backend.send_raw(raw)
        else:
            backend.send(*records)
        self.assertEqual(backend.take("CUT").reason, reason)
        self.assertNotIn(backend.name + " ", [line[:2] for line in self.router.ask("backends")[0].splitlines()])
        return backend

    def test_what_it_is_cut_off_for(self):
        nonsense, no_json = ("a record that is none, or out of place",
                             "a text that is no JSON, or placeholders without attachments")
        gateway, other = self.gateway(), self.backend("other", ["/all"])
        self.client(gateway, other, "/all")
        for records in ([("HOLD", "x" * 20)], [("SERVE_END", 0)], [("SERVE", "b", 1, ["/"], "")],
                        [("EVENT", 1, 1, 0, "", "own", "", "")], [("CALL", 1, "x", 0, "own", "")],
                        [("HELLO", "g", 1, "", 0, 0, "")]):
            self.check_cut(nonsense, *records)
        backend = self.backend("b", ["/"])
        self.check_cut(nonsense, backend=backend, raw=msgpack.packb([1, backend.link, backend.sent + 1, 0, [[69, "x"]]]))
        backend = self.backend("b", ["/"])
        self.check_cut(nonsense, backend=backend, raw=b"\xc1nonsense")
        for answer in (("ACCEPT", "{"), ("ACCEPT", '"' + "x" * (16 << 10) + '"'), ("ACCEPT", '"\xff"'.encode("latin-1")),
                       ("REJECT", "[]"), ("REJECT", "{}"), ("REJECT", '{"message":1}'), ("REJECT", "")):
            backend = self.backend("b", ["/"])
            held, connection = self.judged(gateway, backend)
            self.check_cut(no_json, (answer[0], connection.task, answer[1]), backend=backend)
            gateway.send(("DISCONNECT", held.number, "transport_close"))
            gateway.settle()
        for handled in (("{",), ("1,",), ("1],[2",), ("\"\x01\"",), ('{"_placeholder":true,"num":1}', [b"x"]),
                        ("1", [b"x"] * 11), ("[" * 128 + "]" * 128,)):
            backend = self.backend("b", ["/"])
            held = self.client(gateway, backend)
            request = held.start("own", "", [1])
            call = backend.call()
            self.backend_wait("100 ms")
            self.check_cut(no_json, ("HANDLED", call.task, 1, *handled), backend=backend)
            self.refused(gateway.answer(request), "unavailable")
            self.backend_wait("60 s")
            gateway.send(("DISCONNECT", held.number, "transport_close"))
            gateway.settle()
        other.none("CUT", "DISCONNECTION", "TAKEN_AWAY")
        self.assertEqual(self.router.metric("hubbub_router_backends_cut_total{reason=json}"), 14)
        self.assertEqual(self.router.metric("hubbub_router_backends_cut_total{reason=nonsense}"), 8)

    def test_a_second_answer(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend)
        request = held.start("own", "", [1])
        call = backend.call()
        backend.handle(call, "first")
        self.assertEqual(gateway.answer(request), "first")
        backend.send(("HANDLED", number(), 1, "1"), ("HANDLED", 0, 1, "1"))  # of an old run
        backend.none("CUT")
        backend.handle(call, "second")
        self.assertEqual(backend.take("CUT").reason, "a second answer to a task")
        gateway.settle()
        self.assertEqual([r for r in gateway.records if kind(r) == "ANSWER"], [])

    def test_an_answer_of_another_kind(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend)
        held.start("own", "", [1])
        backend.send(("ACCEPT", backend.call().task, ""))
        self.assertEqual(backend.take("CUT").reason, "a record that is none, or out of place")

    @options("--max-unacknowledged=256 KB", "--resync-max=64 KB", "--recovery-max-bytes=64 KB")
    def test_it_reads_too_slowly(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend)
        other = self.backend("b2", ["/"])
        backend.acknowledging = False
        requests = [held.start("own", "", ["x" * 50000]) for _ in range(10)]
        self.assertEqual(backend.take("CUT").reason, "it reads too slowly")
        self.assertEqual(other.connection(HANDED).sid, held.sid)
        for request in requests:
            other.handle(other.call(), 1)
            self.assertEqual(gateway.answer(request), 1)

    def test_a_hello_that_is_none(self):
        backend = self.backend()
        for hello in (("SERVE", "", 1, ["/"], ""), ("SERVE", "b", 0, ["/"], ""), ("SERVE", "b", 1, [], ""),
                      ("SERVE", "b", 1, ["no"], ""), ("SERVE", "b", 1, ["/"] * 65, ""), ("SERVE", "b", 1, "x", "")):
            reason = "say hello first"
            while reason == "say hello first":  # strangers that share a slot are told one at a time
                backend.open()
                backend.send(hello)
                backend.silent = True
                reason = backend.take("RESYNC").reason if backend.read(1) else "say hello first"
            self.assertIn("SERVE wants", reason, hello)
        backend.silent = False
        for held in (["short"], ["x" * 20, "x" * 21]):
            backend.open()
            backend.send(("SERVE", "b", 7, ["/"], ""), *(("HOLD", sid) for sid in held), ("SERVE_END", len(held)))
            self.assertTrue(backend.take("CUT").reason)
        backend.open()
        backend.send(("SERVE", "b", 7, ["/"], ""), ("SERVE_END", 1))
        self.assertTrue(backend.take("CUT").reason)
        backend.serve()

    @options("--max-backends=2")
    def test_too_many(self):
        self.backend("b1"), self.backend("b2")
        backend = Backend(self.router, "b3")
        self.gateways.append(backend)
        backend.peers = self.gateways
        backend.serve(live=False)
        self.assertEqual(backend.take("RESYNC").reason, "too many backends")


class Renewals(BackendTest):
    """Links are made anew, and nobody is gone."""

    @options(MORTAL)
    def test_a_backends_new_link(self):
        gateway, backend = self.gateway(), self.backend()
        one, two, three = [self.client(gateway, backend, data='"%d"' % i) for i in range(3)]
        request = one.start("own", "", [1])
        call = backend.call()
        waiting, connection = self.judged(gateway, backend)
        backend.close()
        one.join("R")
        gateway.send(("DISCONNECT", two.number, "transport_close"))
        later = one.start("own", "", [2])
        gateway.settle()
        backend.serve(one.sid, two.sid, "stranger".ljust(20, "x"))
        self.assertEqual({backend.take("TAKEN_AWAY").sid for _ in range(2)}, {two.sid, "stranger".ljust(20, "x")})
        held = backend.connection(HELD)
        self.assertEqual((held.sid, held.rooms, held.data), (one.sid, ["R"], '"0"'))
        again, new = backend.call(), backend.call()
        self.assertEqual((again.task, again.flags, new.arguments), (call.task, CALL_ACK | AGAIN, "2"))
        self.assertEqual(new.flags & ~AGAIN, CALL_ACK)  # ZeroMQ may have taken it for the old link, whose end it had not seen
        self.assertEqual(backend.connection(NEW).task, connection.task)
        self.assertEqual((backend.connection(HANDED).sid), three.sid)  # it did not say that it has it
        backend.handle(again, 1), backend.handle(new, 2)
        backend.send(("ACCEPT", connection.task, ""))
        self.assertEqual([gateway.answer(request), gateway.answer(later)], [1, 2])
        gateway.connected(waiting)
        backend.none("TAKEN_AWAY", "CONNECTION", "CALL", "CUT")

    def test_a_batch_that_is_lost(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend)
        backend.sent += 1
        backend.send(("HANDLED", 1, 0, ""))
        self.assertEqual(backend.take("RESYNC").reason, "batch numbers")
        request = held.start("own", "", [1])
        gateway.settle()
        backend.serve(held.sid)
        self.assertEqual(backend.connection(HELD).sid, held.sid)
        backend.handle(backend.call(), 1)
        self.assertEqual(gateway.answer(request), 1)

    def test_it_serves_less_than_before(self):
        gateway, backend = self.gateway(), self.backend()
        held, other = self.client(gateway, backend), self.client(gateway, backend, "/all")
        backend.namespaces = ["/"]
        backend.serve(held.sid, other.sid)
        self.assertEqual(backend.take("TAKEN_AWAY").sid, other.sid)
        self.assertEqual(backend.connection(HELD).sid, held.sid)
        request = other.start("own", "", [1])
        taker = self.backend("b2", ["/al*"])
        self.assertEqual(taker.connection(HANDED).sid, other.sid)
        taker.handle(taker.call(), 1)
        self.assertEqual(gateway.answer(request), 1)

    def renew(self, gateway, *lost):
        for held in lost:
            del gateway.held[held.number]
        gateway.go_live()

    def test_a_gateways_new_link_is_not_seen(self):
        gateway, backend = self.gateway(), self.backend()
        one = self.client(gateway, backend, data='{"a":1}')
        bare = self.client(gateway, backend, "/bare", data='{"b":2}')
        one.join("R")
        backend.take("ENTERED")
        requests = [held.start("own", "", [i]) for i, held in enumerate((one, bare))]
        calls = [backend.call(), backend.call()]
        self.renew(gateway)
        for request, held in zip(requests, (one, bare)):
            gateway.send(("EVENT", request, held.number, 1, "", "own", str(requests.index(request)), ""))
        gateway.settle()
        for call, request in zip(calls, requests):
            backend.handle(call, "once")
            self.assertEqual(gateway.answer(request), "once")
        backend.none("CALL", "CONNECTION", "DISCONNECTION", "TAKEN_AWAY", "ENTERED", "EXITED")
        # what was stored outlives it, too
        other = self.backend("b2")
        backend.send(("LEAVING", ""))
        self.assertEqual({(record.sid, record.data, tuple(record.rooms)) for record in (other.connection(HANDED),
                                                                                     other.connection(HANDED))},
                         {(one.sid, '{"a":1}', ("R",)), (bare.sid, '{"b":2}', ())})

    def test_an_answer_while_a_gateway_has_no_link(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend)
        requests = [held.start("own", "", [i]) for i in range(2)]
        calls = [backend.call(), backend.call()]
        gateway.open()
        gateway.send(*gateway.hello_records()[:1])
        self.until(lambda: " greeting " in self.router.ask("gateways")[0], "no greeting")
        backend.handle(calls[0], "kept")
        backend.done(calls[1])
        self.until(lambda: self.router.ask("backends")[0].splitlines()[1].split()[3] == "0", "not taken")
        gateway.go_live()
        for i, request in enumerate(requests):
            gateway.send(("EVENT", request, held.number, 1, "", "own", str(i), ""))
        self.assertEqual(gateway.answer(requests[0]), "kept")
        self.assertEqual(gateway.take("DONE").requests, [requests[1]])
        backend.none("CALL", "CUT")

    def test_an_answer_that_was_lost_is_asked_for_again(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend)
        request = held.start("own", "", [1])
        backend.handle(backend.call(), "lost")
        gateway.answer(request)  # the gateway forgets that
        self.renew(gateway)
        gateway.send(("EVENT", request, held.number, 1, "", "own", "1", ""))
        call = backend.call()
        self.assertEqual(call.flags, CALL_ACK | AGAIN)
        backend.handle(call, "again")
        self.assertEqual(gateway.answer(request), "again")

    def test_rooms_and_sockets_that_changed_meanwhile(self):
        gateway, backend = self.gateway(), self.backend()
        one, gone = self.client(gateway, backend), self.client(gateway, backend, "/bare")
        for room in ("stays", "left"):
            one.join(room)
            backend.take("ENTERED")
        del one.rooms["left"]
        one.rooms["new"] = (0, 0)
        connecting, connection = self.judged(gateway, backend)
        self.renew(gateway, gone)
        self.assertEqual(backend.take("ENTERED").room, "new")
        self.assertEqual(backend.take("EXITED").room, "left")
        ended = {record.sid: record.reason for record in (backend.take("DISCONNECTION"), backend.take("DISCONNECTION"))}
        self.assertEqual(ended, {gone.sid: "transport close", connection.sid: "transport close"})
        gateway.send(("CONNECT", connecting.request, connecting.number, "/", "", "127.0.0.1"))
        again = self.both(gateway, backend, "CONNECTION", connection=NEW)
        self.assertNotEqual(again.sid, connection.sid)
        backend.send(("ACCEPT", connection.task, ""), ("ACCEPT", again.task, ""))
        gateway.connected(connecting)

    @options(MORTAL)
    def test_a_gateway_that_does_not_come_back(self):
        gateway, backend = self.gateway(), self.backend()
        one, bare = self.client(gateway, backend), self.client(gateway, backend, "/bare")
        gateway.open()
        gateway.send(*gateway.hello_records()[:1])
        gateway.silent = True
        ended = {record.sid: record.reason for record in (backend.take("DISCONNECTION"), backend.take("DISCONNECTION"))}
        self.assertEqual(ended, {one.sid: "transport close", bare.sid: "transport close"})

    @options(MORTAL)
    def test_a_malformed_hello_and_then_none(self):
        gateway, backend = self.gateway(), self.backend()
        one = self.client(gateway, backend)
        gateway.open()
        gateway.send(*gateway.hello_records()[:1], ("HELLO_END", 7))
        self.assertEqual(gateway.take("RESYNC").reason, "malformed")
        gateway.silent = True
        self.assertEqual(backend.take("DISCONNECTION").sid, one.sid)

    def test_another_process_under_a_gateways_name(self):
        gateway, backend = self.gateway(), self.backend()
        one = self.client(gateway, backend)
        gateway.incarnation, gateway.held, gateway.epoch, gateway.pos = number(), {}, "", 0
        gateway.go_live()
        self.assertEqual(backend.take("DISCONNECTION").sid, one.sid)

    def test_a_socket_that_moves_is_not_seen(self):
        here, there, backend = self.gateway("g1"), self.gateway("g2"), self.backend()
        held = self.client(here, backend, data='"kept"')
        request = held.start("own", "", [1])
        call = backend.call()
        there.send(("TAKE", here.incarnation, 1, [held.number, 77]))
        self.assertEqual(there.take("TAKEN").ok, 0)  # something is in its backend's hands
        backend.handle(call, 1)
        self.assertEqual(here.answer(request), 1)
        there.send(("TAKE", here.incarnation, 2, [held.number, 77]))
        self.assertEqual(there.take("TAKEN").ok, 1)
        there.send(("EVENT", 1000, 77, 1, "", "own", "2", ""))
        call = backend.call()
        self.assertEqual((call.sid, call.flags), (held.sid, CALL_ACK))
        backend.handle(call, 2)
        self.assertEqual(there.answer(1000), 2)
        backend.none("CONNECTION", "DISCONNECTION", "ENTERED", "EXITED", "TAKEN_AWAY")


class Recoveries(BackendTest):
    @options(MORTAL)
    def test_a_client_that_comes_back(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend, data='{"a":1}')
        held.join("R")
        backend.take("ENTERED")
        pid, sid = held.pid, held.sid
        gateway.lose(held, "ping_timeout")
        gone = backend.take("DISCONNECTION")
        self.assertEqual((gone.sid, gone.reason, gone.rooms), (sid, "ping timeout", ["R"]))
        self.assertEqual(backend.records, [])
        held = gateway.come_back(pid)
        self.assertEqual((held.sid, held.recovered), (sid, 1))
        early = held.start("own", "", [1])
        connection = self.both(gateway, backend, "CONNECTION")
        self.assertEqual((connection.connection, connection.sid, connection.rooms, connection.data, connection.handshake),
                         (RECOVERED, sid, ["R"], '{"a":1}', HANDSHAKE))
        backend.handle(backend.call(), 1)
        self.assertEqual(gateway.answer(early), 1)

    @options(MORTAL)
    def test_one_that_takes_over(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend)
        request = held.start("own", "", [1])
        call = backend.call()
        other = self.gateway("g2")
        taken = other.come_back(held.pid)
        self.assertEqual((taken.sid, taken.recovered), (held.sid, 1))
        self.assertEqual((backend.take("DISCONNECTION").sid), held.sid)
        connection = self.both(other, backend, "CONNECTION")
        self.assertEqual((connection.connection, connection.sid), (RECOVERED, held.sid))
        backend.handle(call, "for nobody")
        gateway.settle()
        self.assertEqual([r for r in gateway.records if kind(r) == "ANSWER" and r.request == request], [])
        backend.none("CUT")

    def test_one_that_cannot_be_recovered_is_judged(self):
        gateway, backend = self.gateway(), self.backend()
        held, connection = self.judged(gateway, backend, auth='{"pid":"%s"}' % ("x" * 42))
        backend.send(("ACCEPT", connection.task, ""))
        self.assertEqual(gateway.connected(held).recovered, 0)

    @options(MORTAL)
    def test_nobody_waits_for_a_backend(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend, data='"d"')
        gateway.lose(held)
        backend.take("DISCONNECTION")
        backend.send(("LEAVING", ""))
        gateway.settle()
        held = gateway.come_back(held.pid)
        self.assertEqual(held.recovered, 1)
        request = held.start("own", "", [1])
        other = self.backend("b2")
        connection = self.both(gateway, other, "CONNECTION")
        self.assertEqual((connection.connection, connection.data), (RECOVERED, '"d"'))
        other.handle(other.call(), 1)
        self.assertEqual(gateway.answer(request), 1)

    def test_without_recovery_a_client_is_new(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend, "/bare", data='"d"')
        self.assertEqual(held.pid, "")
        gateway.lose(held)
        self.assertEqual(backend.take("DISCONNECTION").sid, held.sid)
        again = self.client(gateway, backend, "/bare")
        self.assertNotEqual(again.sid, held.sid)

    @options(MORTAL)
    def test_a_gateway_that_was_given_up_and_comes_back(self):
        gateway, backend = self.gateway(), self.backend()
        one, bare = self.client(gateway, backend, data='"d"'), self.client(gateway, backend, "/bare")
        gateway.silent = True
        gateway.close()
        for _ in range(2):
            backend.take("DISCONNECTION")
        gateway.silent = False
        gateway.go_live()
        found = {}
        while len(found) < 2:
            record = self.both(gateway, backend, "CONNECTION")
            found[record.sid] = record.connection, record.data
        self.assertEqual(found, {one.sid: (RECOVERED, '"d"'), bare.sid: (HANDED, "")})


class Crashes(BackendTest):
    """The router is killed, and started again."""

    def crash(self):
        self.router.kill()
        self.router.start()

    @options("--dead=6s")  # all of this must be said to a router that is younger than that
    def test_what_a_backend_holds_is_its_own_whoever_comes_first(self):
        gateway, backend, other = self.gateway(), self.backend(), self.backend("b2")
        held = [self.client(gateway, backend if i % 2 == 0 else other, "/bare") for i in range(4)]
        mine = [held[0].sid, held[2].sid]
        request = held[0].start("own", "", [1])
        old = backend.call()
        self.crash()
        other.serve()  # it holds nothing more, and gets nothing yet
        gateway.go_live()
        gateway.send(("EVENT", request, held[0].number, 1, "", "own", "1", ""))
        gateway.settle()
        backend.serve(*mine)
        self.assertEqual({backend.connection(HELD).sid for _ in mine}, set(mine))
        call = backend.call()
        self.assertEqual(call.flags, CALL_ACK | AGAIN)
        self.assertNotEqual(call.task, old.task)
        backend.handle(old, "of a former run")
        backend.handle(call, "now")
        self.assertEqual(gateway.answer(request), "now")
        found = set()
        while len(found) < 2:  # once the router is old enough
            for taker in (backend, other):
                gateway.read(0.02), taker.read(0.02)
                found |= {r.sid for r in taker.records if kind(r) == "CONNECTION" and r.connection == HANDED}
        self.assertEqual(found, {held[1].sid, held[3].sid})
        self.assertGreaterEqual(self.router.statistics()["uptime_seconds"], 6)
        backend.none("CUT", "TAKEN_AWAY")

    @options("--dead=6s")
    def test_a_backend_that_comes_before_the_gateways(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend, "/bare")
        gone = "gone".ljust(20, "x")
        self.crash()
        backend.serve(held.sid, gone)
        backend.none("TAKEN_AWAY", "CONNECTION", patience=0.2)
        gateway.go_live()
        record = backend.connection(HELD)
        self.assertEqual((record.sid, record.handshake), (held.sid, ""))
        self.assertEqual(backend.take("TAKEN_AWAY").sid, gone)
        request = held.start("own", "", [1])
        backend.handle(backend.call(), 1)
        self.assertEqual(gateway.answer(request), 1)
        other = self.backend("b2")  # the handshake is asked for now
        backend.send(("LEAVING", ""))
        self.assertEqual(self.both(gateway, other, "CONNECTION").handshake, HANDSHAKE)

    def test_a_client_that_recovers_on_the_new_router(self):
        gateway, backend = self.gateway(), self.backend()
        held, other = self.client(gateway, backend, data='"d"'), self.client(gateway, backend, data='"e"')
        self.crash()
        gateway.held = {}
        gateway.go_live()
        first = gateway.come_back(held.pid)
        self.assertEqual(first.recovered, 1)
        backend.serve(held.sid, other.sid)
        record = backend.connection(HELD)
        self.assertEqual(record.sid, held.sid)
        second = gateway.come_back(other.pid)
        self.assertEqual(second.recovered, 1)
        self.assertEqual(backend.connection(HELD).sid, other.sid)
        request = second.start("own", "", [1])
        backend.handle(backend.call(), 1)
        self.assertEqual(gateway.answer(request), 1)

    def test_new_clients_need_not_wait_for_the_routers_age(self):
        gateway, backend = self.gateway(), self.backend()
        self.crash()
        gateway.go_live()
        backend.serve()
        self.client(gateway, backend)
        self.assertLess(self.router.statistics()["uptime_seconds"], 60)

    @options(MORTAL)
    def test_a_backend_that_dies_before_the_gateways_come(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend, "/bare")
        self.crash()
        backend.serve(held.sid)
        backend.send(("LEAVING", ""))
        gateway.go_live()
        other = self.backend("b2")
        self.assertEqual(self.both(gateway, other, "CONNECTION").sid, held.sid)


class Noise(BackendTest):
    @options("--max-backends=1024")  # those that were not cut off count until they are dead
    def test_nonsense_of_every_kind_harms_nobody(self):
        gateway, good = self.gateway(), self.backend("good", ["/all"])
        held = self.client(gateway, good, "/all")
        rounds = int(os.environ.get("HUBBUB_NOISE", "300"))
        seed = int.from_bytes(os.urandom(4), "big")
        noise = random.Random(seed)
        values = [0, 1, 2 ** 64 - 1, -1, "", "x" * 20, held.sid, "/", "{}", [], [1], ["/"], ["x" * 300], b"\xff", None, {}, 1.5]
        bad = None
        for _ in range(rounds):
            if bad is None or noise.random() < 0.3:
                if bad:
                    bad.close()
                    self.gateways.remove(bad)
                bad = self.backend("bad", ["/"])
            bad.sent += 1
            records = [[noise.choice([1, 5, 11, 16, 17, 32, 64, 65, 66, 67, 68, 69, 70, 97, 200]),
                        *(noise.choice(values) for _ in range(noise.randrange(8)))] for _ in range(noise.randrange(4))]
            bad.send_raw(msgpack.packb([1, bad.link, bad.sent, 0, records]))
            if noise.random() < 0.1:
                bad.sent += noise.randrange(3)
        request = held.start("own", "", [1])
        good.handle(good.call(), 1)
        self.assertEqual(gateway.answer(request), 1, f"seed {seed}")
        good.none("DISCONNECTION", "TAKEN_AWAY", "CUT")


if __name__ == "__main__":
    unittest.main()
