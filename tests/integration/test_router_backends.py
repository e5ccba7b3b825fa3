#!/usr/bin/env python3
"""Backends at the router: connects, events, rooms, and what becomes of sockets, with gateways and backends that this
file plays.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_backend import (ACK, AGAIN, CALL_ACK, HANDED, HANDSHAKE, MORTAL, NEW, RECOVERED, BackendTest,  # noqa: E402
                            kind, options)


class Connects(BackendTest):
    def test_serving_tells_what_a_backend_must_know(self):
        backend = self.backend()
        backend.open()
        backend.send(("SERVE", "b", backend.incarnation, ["/"], "test"), ("SERVE_END", 0))
        serving = backend.take("SERVING")
        self.assertEqual((serving.heartbeat, serving.dead, serving.max_event), (100, 60000, 1 << 20))
        self.assertEqual(serving.epoch, self.gateway().epoch)

    def test_a_backend_lets_a_client_in(self):
        gateway, backend = self.gateway(), self.backend()
        held, connection = self.judged(gateway, backend, auth='{"token":"t","join":["lobby"]}')
        self.assertEqual((connection.connection, connection.namespace, connection.rooms, connection.data),
                         (NEW, "/", [], ""))
        self.assertEqual((connection.handshake, connection.sender), (HANDSHAKE, "anon:" + connection.sid))
        gateway.settle()
        self.assertEqual([kind(r) for r in gateway.records if kind(r) in ("CONNECTED", "REFUSED", "JOINED")], [])
        backend.send(("ACCEPT", connection.task, '{"name":"Ann"}'))
        gateway.connected(held)
        self.assertEqual((held.sid, held.sender, len(held.pid)), (connection.sid, connection.sender, 42))
        joined = gateway.take("JOINED")
        self.assertEqual((joined.request, joined.room), (0, "lobby"))
        entered = backend.take("ENTERED")
        self.assertEqual((entered.sid, entered.room), (held.sid, "lobby"))

    def test_a_backend_turns_a_client_away(self):
        gateway, backend = self.gateway(), self.backend()
        held, connection = self.judged(gateway, backend)
        error = '{"message":"no","data":{"code":7}}'
        backend.send(("REJECT", connection.task, error))
        refused = gateway.take("REFUSED")
        self.assertEqual((refused.request, refused.socket, refused.error), (held.request, held.number, error))
        backend.none("DISCONNECTION")
        self.assertEqual(self.router.statistics()["sockets"], 0)

    def test_without_a_backend_a_client_waits_and_is_refused(self):
        gateway = self.gateway()
        self.backend_wait("100 ms")
        for namespace in ("/", "/all", "/bare"):
            held = gateway.begin(namespace)
            refused = gateway.take("REFUSED", where=lambda record: record.request == held.request)
            self.assertEqual(json.loads(refused.error), {"message": "No backend serves this namespace",
                                                         "data": {"code": "unavailable"}})
        self.assertEqual(self.router.statistics()["sockets"], 0)

    def test_a_client_waits_for_a_backend_that_comes(self):
        gateway = self.gateway()
        held = gateway.begin()
        gateway.settle()
        backend = self.backend()
        connection = self.both(gateway, backend, "CONNECTION")
        backend.send(("ACCEPT", connection.task, ""))
        gateway.connected(held)

    @options(MORTAL)
    def test_other_namespaces_go_on_without_one(self):
        gateway = self.gateway()
        held = gateway.connect("/plain")
        self.refused(held.publish("own", "", 1), "unknown_event")
        self.assertEqual(held.join("R")["members"], 1)
        backend = self.backend(namespaces=["/plain", "/free-*"])
        connection = self.both(gateway, backend, "CONNECTION")
        self.assertEqual((connection.connection, connection.sid, connection.rooms), (HANDED, held.sid, ["R"]))
        request = held.start("own", "", [1])
        backend.handle(backend.call(), "x")
        self.assertEqual(gateway.answer(request), "x")
        held, connection = self.judged(gateway, backend, "/free-7")
        self.assertEqual(connection.namespace, "/free-7")
        backend.send(("LEAVING", "test"))
        gateway.settle()
        self.refused(gateway.connect("/plain").publish("own", "", 1), "unknown_event")

    def test_a_client_that_leaves_while_it_is_judged(self):
        gateway, backend = self.gateway(), self.backend()
        held, connection = self.judged(gateway, backend)
        gateway.send(("DISCONNECT", held.number, "transport_close"))
        gone = backend.take("DISCONNECTION")
        self.assertEqual((gone.sid, gone.reason, gone.rooms), (connection.sid, "transport close", []))
        backend.send(("ACCEPT", connection.task, ""))  # crossed it
        held, connection = self.judged(gateway, backend)
        backend.send(("ACCEPT", connection.task, ""))
        gateway.connected(held)
        self.assertEqual(self.router.statistics()["sockets"], 1)

    def test_what_a_client_sends_before_it_is_let_in(self):
        gateway, backend = self.gateway(), self.backend()
        held, connection = self.judged(gateway, backend)
        early = held.start("own", "", ["early"])
        self.refused(held.answer("JOIN", "R", 0, 0), "busy")
        self.refused(held.answer("LEAVE", "R"), "busy")
        self.refused(held.publish("msg", "R", {"room": "R"}), "busy")
        backend.none("CALL")
        backend.send(("ACCEPT", connection.task, ""))
        gateway.connected(held)
        call = backend.call()
        self.assertEqual(call.arguments, '"early"')
        backend.handle(call, 1)
        self.assertEqual(gateway.answer(early), 1)

    @options("--max-backend-tasks=2")
    def test_too_many_clients_wait(self):
        gateway = self.gateway()
        for _ in range(3):
            gateway.begin()
        refused = gateway.take("REFUSED")
        self.assertEqual(json.loads(refused.error)["data"], {"code": "busy"})

    @options(MORTAL)
    def test_a_gateway_that_tells_no_handshake(self):
        gateway, backend = self.gateway(), self.backend()
        gateway.handshake = None
        held = gateway.begin()
        refused = gateway.take("REFUSED")
        self.assertEqual((refused.request, json.loads(refused.error)["data"]["code"]), (held.request, "unavailable"))
        backend.none("CONNECTION")

    def take_all(self, gateway, backend, count):
        """The CONNECTIONs of so many sockets that are handed over."""
        found = {}
        while len(found) < count:
            record = self.both(gateway, backend, "CONNECTION")
            found[record.sid] = record
        self.assertEqual({(record.connection, record.handshake) for record in found.values()},
                         {(HANDED, gateway.handshake)})
        return set(found)

    @options(MORTAL)
    def test_a_backend_that_comes_gets_all_sockets_there_are(self):
        gateway = self.gateway()
        requests = [gateway.begin("/plain") for _ in range(700)]  # more than are asked about at once
        sids = {gateway.connected(held).sid for held in requests}
        backend = self.backend(namespaces=["/plain"])
        self.assertEqual(self.take_all(gateway, backend, 700), sids)
        backend.none("CONNECTION")

    @options(MORTAL, "--max-unacknowledged=256 KB", "--resync-max=64 KB", "--recovery-max-bytes=64 KB")
    def test_a_crowd_is_handed_over_as_fast_as_it_is_taken(self):
        gateway = self.gateway()
        gateway.handshake = '{"url":"%s"}' % ("x" * 5000)
        requests = [gateway.begin("/plain") for _ in range(200)]
        sids = {gateway.connected(held).sid for held in requests}
        first = self.backend("b1", ["/plain"])
        self.assertEqual(self.take_all(gateway, first, 200), sids)
        second = self.backend("b2", ["/plain"])
        first.send(("LEAVING", ""))
        self.assertEqual(self.take_all(gateway, second, 200), sids)
        second.none("CUT")

    def test_new_sockets_go_to_the_backend_with_the_fewest(self):
        gateway, backends = self.gateway(), [self.backend("b1"), self.backend("b2"), self.backend("b3", ["/bare"])]
        for _ in range(6):
            held = gateway.begin()
            while "CONNECTED" not in [kind(record) for record in gateway.records]:
                gateway.read(0.02)
                for backend in backends:
                    backend.read(0.02)
                    for record in list(backend.records):
                        backend.records.remove(record)
                        backend.send(("ACCEPT", record.task, ""))
            gateway.connected(held)
        lines = [line.split() for line in self.router.ask("backends")[0].splitlines()[1:]]
        self.assertEqual(sorted((line[0], line[1], line[2]) for line in lines),
                         [("b1", "live", "3"), ("b2", "live", "3"), ("b3", "live", "0")])


class Events(BackendTest):
    def test_an_event_is_called_and_answered(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend)
        request = held.start("own", "", [{"a": [1, "é"]}, 2])
        call = backend.call()
        self.assertEqual((call.sid, call.flags, call.event, call.arguments, call.attachments),
                         (held.sid, CALL_ACK, "own", '{"a":[1,"\\u00e9"]},2', []))
        self.assertEqual([r for r in gateway.records if kind(r) == "ANSWER"], [])
        backend.handle(call, {"b": 1}, 2)
        answer = gateway.take("ANSWER")
        self.assertEqual((answer.request, answer.answer), (request, '{"b":1},2'))

    def test_rules_and_the_brokers_own_events_go_on(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend)
        self.assertEqual(held.join("R")["members"], 1)
        entered = backend.take("ENTERED")
        self.assertEqual((entered.sid, entered.room), (held.sid, "R"))
        self.assertEqual(held.join("R")["members"], 1)
        self.assertEqual(held.say("R", "x")["seq"], 1)
        self.assertEqual(len(held.history("R")["messages"]), 1)
        self.assertTrue(held.answer("LEAVE", "R")["ok"])
        exited = backend.take("EXITED")
        self.assertEqual((exited.sid, exited.room), (held.sid, "R"))
        backend.none("CALL", "ENTERED", "EXITED")

    def test_builtin_false_leaves_everything_to_the_backend(self):
        gateway, backend = self.gateway(), self.backend()
        for namespace in ("/all", "/bare"):
            held = self.client(gateway, backend, namespace, auth='{"join":["R"]}')
            for event in ("join", "msg", "history"):
                request = held.start(event, "", ["R"])
                call = backend.call()
                self.assertEqual(call.event, event)
                backend.handle(call, event)
                self.assertEqual(gateway.answer(request), event)
            backend.none("ENTERED")
            self.assertEqual(held.pid == "", namespace == "/bare")

    def test_no_acknowledgement(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend)
        unasked = held.start("own", "", [1], flags=0)
        call = backend.call()
        self.assertEqual(call.flags, 0)
        backend.handle(call, "unasked")
        unanswered = held.start("own", "", [2])
        call = backend.call()
        backend.done(call)
        done = []
        while len(done) < 2:
            done += gateway.take("DONE").requests
        self.assertEqual(done, [unasked, unanswered])
        nothing = held.start("own", "", [3])
        backend.handle(backend.call())
        answer = gateway.take("ANSWER")
        self.assertEqual((answer.request, answer.answer), (nothing, ""))

    def test_attachments_both_ways(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend)
        placeholder = {"_placeholder": True, "num": 0}
        request = held.start("own", "", [placeholder], attachments=[b"\0\1"])
        call = backend.call()
        self.assertEqual(call.attachments, [b"\0\1"])
        backend.send(("HANDLED", call.task, 1, json.dumps(placeholder), [b"\2"]))
        answer = gateway.take("ANSWER")
        self.assertEqual((answer.request, json.loads(answer.answer), answer.attachments),
                         (request, placeholder, [b"\2"]))

    def test_events_of_a_socket_come_in_order_and_are_answered_in_any(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend)
        requests = [held.start("own", "", [i]) for i in range(200)]
        calls = [backend.call() for _ in requests]
        self.assertEqual([json.loads(call.arguments) for call in calls], list(range(200)))
        self.assertEqual(len({call.task for call in calls}), 200)
        for call in reversed(calls):
            backend.handle(call, json.loads(call.arguments))
        answers = {record.request: record.answer for record in [gateway.take("ANSWER") for _ in requests]}
        self.assertEqual(answers, {request: str(i) for i, request in enumerate(requests)})

    @options("--max-event=256", "--max-backend-tasks=2")
    def test_too_large_and_too_many(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend)
        self.refused(held.publish("own", "", "x" * 300), "too_large")
        first, second = held.start("own", "", [1]), held.start("own", "", [2])
        calls = [backend.call(), backend.call()]
        self.refused(held.publish("own", "", 3), "busy")
        backend.handle(calls[0], "x" * 300)
        self.refused(gateway.answer(first), "too_large")
        backend.handle(calls[1], 2)
        self.assertEqual(gateway.answer(second), 2)

    @options("--max-backend-bytes=5 KB")
    def test_events_that_wait_take_no_more_than_so_many_bytes(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend)
        requests = [held.start("own", "", ["x" * 2000]) for _ in range(4)]
        self.refused(gateway.answer(requests[3]), "busy")

    def test_events_wait_for_a_backend(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend)
        backend.send(("LEAVING", "test"))
        gateway.settle()
        requests = [held.start("own", "", [i]) for i in range(3)]
        gateway.settle()
        other = self.backend("b2")
        record = other.next()
        self.assertEqual((kind(record), record.connection, record.sid), ("CONNECTION", HANDED, held.sid))
        for i, request in enumerate(requests):
            call = other.call()
            self.assertEqual((call.arguments, call.flags), (str(i), CALL_ACK))
            other.handle(call, i)
            self.assertEqual(gateway.answer(request), i)

    def test_events_wait_only_so_long(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend)
        begun = held.start("own", "", ["begun"])
        backend.call()
        self.backend_wait("100 ms")
        backend.send(("LEAVING", "test"))
        gateway.settle()
        request, unasked = held.start("own", "", [1]), held.start("own", "", [2], flags=0)
        for waiting in (begun, request):
            self.refused(gateway.answer(waiting), "unavailable")
        error = json.loads(gateway.take("EMIT").payload)
        self.assertEqual((error[0], error[1]["error"]["code"]), ("hubbub:error", "unavailable"))
        self.assertEqual(gateway.take("DONE").requests, [unasked])

    def test_an_event_of_a_socket_that_is_gone(self):
        gateway, backend = self.gateway(), self.backend()
        held = self.client(gateway, backend)
        held.join("R")
        held.start("own", "", [1])
        call = backend.call()
        gateway.send(("DISCONNECT", held.number, "ping_timeout"))
        gone = backend.take("DISCONNECTION")
        self.assertEqual((gone.sid, gone.reason, gone.rooms), (held.sid, "ping timeout", ["R"]))
        backend.handle(call, 1)  # passed over
        self.assertEqual(self.client(gateway, backend).publish("msg", "", 1)["error"]["code"], "bad_room")

    def test_reasons_in_the_words_of_socketio(self):
        gateway, backend = self.gateway(), self.backend()
        for reason, word in (("transport_close", "transport close"), ("transport_error", "transport error"),
                             ("client_disconnect", "client namespace disconnect"), ("parse_error", "parse error"),
                             ("drain", "server shutting down"), ("packet_in_wrong_state", "forced server close"),
                             ("ping_timeout", "ping timeout"), ("unheard of", "transport close")):
            held = self.client(gateway, backend)
            gateway.send(("DISCONNECT", held.number, reason))
            self.assertEqual(backend.take("DISCONNECTION").reason, word)
        self.client(gateway, backend)
        gateway.send(("BYE", "drain"))
        self.assertEqual(backend.take("DISCONNECTION").reason, "server shutting down")


if __name__ == "__main__":
    unittest.main()
