#!/usr/bin/env python3
"""Events that a backend judges before they are published (rules with ask = true), at the router: with gateways and
backends that this file plays.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_backend import (AGAIN, CALL_ACK, CHANGE, PASS, REFUSE, BackendTest, kind, options)  # noqa: E402


class Judges(BackendTest):
    def setUp(self):
        super().setUp()
        self.g, self.b = self.gateway(), self.backend()

    def member(self, gateway=None, room="R"):
        held = self.client(gateway or self.g, self.b)
        held.join(room)
        return held

    def ask(self, held, text="x", client_id="", event="asked", room="R", flags=1):
        return held.start(event, room, [{"room": room, "text": text}], client_id, flags)

    def judge(self, backend=None, **fields):
        return (backend or self.b).take("JUDGE", where=lambda r: all(getattr(r, k) == v for k, v in fields.items()))

    def say(self, judge, verdict, code="", message="", *arguments, backend=None):
        (backend or self.b).send(("VERDICT", judge.task, verdict, code, message,
                                  json.dumps(arguments, separators=(",", ":"))[1:-1]))

    def nothing(self, gateway, *kinds):
        gateway.settle()
        self.assertEqual([record for record in gateway.records if kind(record) in kinds], [])

    def delivered(self, gateway=None):
        return json.loads((gateway or self.g).take("DELIVER").payload)

    def test_passed(self):
        held = self.member()
        request = self.ask(held)
        judge = self.judge()
        self.assertEqual((judge.sid, judge.flags, judge.room, judge.event, judge.arguments, judge.attachments),
                         (held.sid, CALL_ACK, "R", "asked", '{"room":"R","text":"x"}', []))
        self.nothing(self.g, "DELIVER", "ANSWER")
        self.say(judge, PASS)
        self.assertEqual(self.g.answer(request)["seq"], 1)
        self.assertEqual(self.delivered()[:2], ["asked", {"room": "R", "text": "x"}])

    def test_changed(self):
        held = self.member()
        request = self.ask(held)
        judge = self.judge()
        self.b.send(("VERDICT", judge.task, CHANGE, "", "", '"clean",{"_placeholder":true,"num":0}', [b"\1"]))
        self.assertEqual(self.g.answer(request)["seq"], 1)
        record = self.g.take("DELIVER")
        self.assertEqual((json.loads(record.payload)[:3], record.attachments),
                         (["asked", "clean", {"_placeholder": True, "num": 0}], [b"\1"]))
        self.assertEqual(self.router.rows()[0]["arguments"], '"clean",{"_placeholder":true,"num":0}')

    def test_refused(self):
        held = self.member()
        request = self.ask(held)
        self.say(self.judge(), REFUSE, "rude", 'say "please"')
        self.assertEqual(self.g.answer(request), {"ok": False, "error": {"code": "rude", "message": 'say "please"'}})
        request = self.ask(held)
        self.say(self.judge(), REFUSE)
        self.refused(self.g.answer(request), "forbidden")
        request = self.ask(held, flags=0)
        self.say(self.judge(), REFUSE, "", "no")
        error = json.loads(self.g.take("EMIT").payload)
        self.assertEqual(error[1], {"event": "asked", "error": {"code": "forbidden", "message": "no"}})
        self.assertEqual(self.g.take("DONE").requests, [request])
        self.nothing(self.g, "DELIVER")

    @options("--max-event=512")
    def test_checked_before_and_after(self):
        held = self.client(self.g, self.b)
        self.refused(self.g.answer(self.ask(held)), "not_joined")
        held.join("R")
        self.refused(self.g.answer(self.ask(held, "x" * 600)), "too_large")
        request = self.ask(held)
        judge = self.judge()
        self.assertTrue(held.answer("LEAVE", "R")["ok"])
        self.say(judge, PASS)
        self.refused(self.g.answer(request), "not_joined")
        held.join("R")
        request = self.ask(held)
        self.say(self.judge(), CHANGE, "", "", "x" * 600)
        self.refused(self.g.answer(request), "too_large")
        self.assertEqual(self.router.rows(), [])
        self.b.none("JUDGE")

    def test_volatile(self):
        held, other = self.member(), self.member()
        request = self.ask(held, event="fleeting")
        self.say(self.judge(), PASS)
        self.assertEqual(self.g.answer(request), {"ok": True})
        record = self.g.take("DELIVER")
        self.assertEqual(record.except_socket, held.number)
        self.assertTrue(other)

    def test_an_id_counts_once(self):
        held, other = self.member(), self.member(self.gateway("g2"))
        first = self.ask(held, client_id="12345678")
        judge = self.judge()
        second = self.ask(held, "y", client_id="12345678")
        third = self.ask(other, "z", client_id="12345678")
        self.nothing(other.gateway, "ANSWER")
        self.b.none("JUDGE")
        self.say(judge, PASS)
        answer = self.g.answer(first)
        self.assertEqual(answer["seq"], 1)
        self.assertEqual(self.g.answer(second), answer)
        self.assertEqual(other.gateway.answer(third), answer)
        self.assertEqual(self.g.answer(self.ask(held, client_id="12345678")), answer)
        self.b.none("JUDGE")
        self.assertEqual(len(self.router.rows()), 1)

    def test_an_id_that_was_refused(self):
        held, other = self.member(), self.member(self.gateway("g2"))
        first = self.ask(held, client_id="12345678")
        judge = self.judge()
        second = self.ask(other, client_id="12345678")
        self.nothing(other.gateway, "ANSWER")
        self.say(judge, REFUSE, "rude", "no")
        self.refused(self.g.answer(first), "rude")
        self.refused(other.gateway.answer(second), "rude")
        third = self.ask(held, client_id="12345678")  # counts as never sent
        self.say(self.judge(), PASS)
        self.assertEqual(self.g.answer(third)["seq"], 1)

    def test_an_id_whose_first_sender_goes(self):
        held, other, third = self.member(), self.member(self.gateway("g2")), self.member(self.gateway("g3"))
        self.ask(held, "first", client_id="12345678")
        judge = self.judge()
        self.ask(held, "first again", client_id="12345678")
        second = self.ask(other, "second", client_id="12345678")
        other.gateway.settle()
        last = self.ask(third, "third", client_id="12345678")
        third.gateway.settle()
        self.g.lose(held, "transport_close")
        self.assertEqual(self.b.take("DISCONNECTION").sid, held.sid)
        self.say(judge, PASS)  # crossed it
        judge = self.judge()
        self.assertEqual((judge.sid, json.loads(judge.arguments)["text"]), (other.sid, "second"))
        self.say(judge, PASS)
        self.assertEqual(other.gateway.answer(second)["seq"], 1)
        self.assertEqual(third.gateway.answer(last)["seq"], 1)
        self.assertEqual(len(self.router.rows()), 1)

    def test_an_id_all_of_whose_senders_go(self):
        held = self.member()
        self.ask(held, client_id="12345678")
        self.judge()
        self.ask(held, client_id="12345678")
        self.ask(held, client_id="12345678")
        self.g.lose(held, "transport_close")
        held = self.member()
        request = self.ask(held, client_id="12345678")
        self.say(self.judge(), PASS)
        self.assertEqual(self.g.answer(request)["seq"], 1)

    def test_verdicts_take_effect_in_the_order_of_the_events(self):
        held = self.member()
        requests = [self.ask(held, str(i), "id-%06d" % i if i % 2 else "") for i in range(10)]
        judges = [self.judge() for _ in requests]
        self.assertEqual([json.loads(judge.arguments)["text"] for judge in judges], [str(i) for i in range(10)])
        for judge in reversed(judges[1:]):
            self.say(judge, PASS)
        self.nothing(self.g, "ANSWER", "DELIVER")
        self.say(judges[0], REFUSE)
        self.refused(self.g.answer(requests[0]), "forbidden")
        self.assertEqual([self.g.answer(request)["seq"] for request in requests[1:]], list(range(1, 10)))
        self.assertEqual([self.delivered()[1]["text"] for _ in requests[1:]], [str(i) for i in range(1, 10)])

    def test_calls_and_judges_keep_the_order_of_the_socket(self):
        held = self.member()
        self.ask(held, "1", client_id="12345678")
        held.start("own", "", [2])
        self.ask(held, "3")
        self.ask(held, "4", client_id="12345679")
        self.assertEqual([kind(self.b.take("CALL", "JUDGE")) for _ in range(4)], ["JUDGE", "CALL", "JUDGE", "JUDGE"])

    def test_asked_again_of_another(self):
        held = self.member()
        request, follower = self.ask(held, client_id="12345678"), None
        judge = self.judge()
        follower = self.ask(held, client_id="12345678")
        other = self.backend("b2")
        self.b.send(("LEAVING", "test"))
        again = self.judge(other)
        self.assertEqual((again.task, again.flags, again.arguments), (judge.task, CALL_ACK | AGAIN, judge.arguments))
        self.say(again, PASS, backend=other)
        self.assertEqual(self.g.answer(request)["seq"], 1)
        self.assertEqual(self.g.answer(follower)["seq"], 1)

    def test_a_rule_that_goes_meanwhile(self):
        """What is with a backend is published as the rule said when it came, whatever becomes of that."""
        held = self.member()
        requests = [self.ask(held), self.ask(held, "y", client_id="12345678")]
        judges = [self.judge(), self.judge()]
        self.reload(('{ name = "asked"; ', '{ name = "asked-no-more"; '))
        for judge in judges:
            self.say(judge, PASS)
        self.assertEqual([self.g.answer(request)["seq"] for request in requests], [1, 2])
        self.assertEqual([self.delivered()[:2] for _ in requests], [["asked", {"room": "R", "text": text}] for text in "xy"])
        self.assertEqual([row["event"] for row in self.router.rows()], ["asked", "asked"])
        held.start("asked", "", [2])
        self.assertEqual(self.b.call().event, "asked")  # which has no rule now

    def test_an_id_of_a_volatile_event(self):
        """A gateway whose rules are older still reads ids that the router's no longer have: they mean nothing."""
        held = self.member()
        for text in "xy":
            request = self.ask(held, text, client_id="12345678", event="fleeting")
            self.say(self.judge(), PASS)
            self.assertEqual(self.g.answer(request), {"ok": True})
            self.assertEqual(self.delivered()[:2], ["fleeting", {"room": "R", "text": text}])
        self.assertEqual(self.router.rows(), [])

    def test_what_is_open_stays_what_it_is(self):
        """Asked for again on another link, behind a reload, an event is no other backend's task and is not published twice."""
        held = self.member()
        judged, called = self.ask(held), held.start("own", "", [2])
        judge, call = self.judge(), self.b.call()
        self.reload(("meta = true; ask = true; }", "meta = true; }"), ('{ name = "fleeting"', '{ name = "own"; room = "$.room"; }, { name = "fleeting"'))
        self.g.go_live()
        self.g.send(("EVENT", judged, held.number, 1, "R", "asked", '{"room":"R","text":"x"}', ""),
                    ("EVENT", called, held.number, 1, "R", "own", "2", ""))
        self.b.none("JUDGE", "CALL")
        self.assertEqual(self.router.rows(), [])
        self.say(judge, PASS)
        self.b.handle(call, "done")
        self.assertEqual(self.g.answer(judged)["seq"], 1)
        self.assertEqual(self.g.answer(called), "done")
        self.assertEqual([row["event"] for row in self.router.rows()], ["asked"])
        self.assertEqual(self.g.answer(self.ask(held, "y"))["seq"], 2)  # nobody is asked about it now

    def test_without_a_backend_it_waits_and_is_refused(self):
        held = self.member()
        self.backend_wait("100 ms")
        self.b.send(("LEAVING", "test"))
        self.g.settle()
        requests = [self.ask(held, client_id="12345678"), self.ask(held, client_id="12345678"), self.ask(held)]
        for request in requests:
            self.refused(self.g.answer(request), "unavailable")
        self.assertEqual(self.router.rows(), [])

    def test_a_verdict_while_the_gateway_has_no_link(self):
        held = self.member()
        requests = [self.ask(held, client_id="12345678"), self.ask(held, "y")]
        judges = [self.judge(), self.judge()]
        self.g.open()  # a new link, but no hello yet: the router still has the old one
        self.g.send(*self.g.hello_records()[:1])
        self.until(lambda: " greeting " in self.router.ask("gateways")[0], "no greeting")
        for judge in judges:
            self.say(judge, PASS)
        self.until(lambda: self.router.statistics()["backend"]["tasks"] == 2, "gone")
        self.b.none("DISCONNECTION", "TAKEN_AWAY")
        self.g.go_live()
        for request, text in zip(requests, ("x", "y")):
            self.g.send(("EVENT", request, held.number, 1, "R", "asked", '{"room":"R","text":"%s"}' % text,
                         "12345678" if text == "x" else ""))
        self.assertEqual([self.g.answer(request)["seq"] for request in requests], [1, 2])
        self.b.none("JUDGE")
        self.assertEqual(len(self.router.rows()), 2)

    def test_a_router_that_crashed_asks_again(self):
        held = self.member()
        request = self.ask(held, client_id="12345678")
        judge = self.judge()
        self.router.kill()
        self.router.start()
        self.g.go_live()
        self.g.send(("EVENT", request, held.number, 1, "R", "asked", judge.arguments, "12345678"))
        self.b.serve(held.sid)
        self.b.connection(3)
        again = self.judge()
        self.assertEqual((again.flags, again.arguments), (CALL_ACK | AGAIN, judge.arguments))
        self.assertNotEqual(again.task, judge.task)
        self.say(judge, REFUSE)  # of the former run: passed over
        self.say(again, PASS)
        self.assertEqual(self.g.answer(request)["seq"], 1)

    def test_verdicts_that_are_none(self):
        for verdict in ((3, "", "", ""), (CHANGE, "", "", "{"), (REFUSE, "x" * 65, "", "")):
            backend = self.b = self.backend("b", ["/"])
            for other in self.gateways:
                if other is not backend and other is not self.g and other.dealer:
                    other.send(("LEAVING", ""))
            self.until(lambda: len(self.router.ask("backends")[0].splitlines()) == 2, "not alone")
            held = self.member()
            self.ask(held)
            backend.send(("VERDICT", self.judge().task, *verdict))
            self.assertTrue(backend.take("CUT").reason)
            backend.close()


if __name__ == "__main__":
    unittest.main()
