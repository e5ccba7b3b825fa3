"""Sessions between a gateway and others when records are lost on the way: one hubbub-gateway, and a router and another
gateway that this file plays."""
import pathlib
import sys
import time
import unittest

import msgpack

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / folder) for folder in ("conformance", "support")]
import programs  # noqa: E402
from played_router import PlayedRouter  # noqa: E402
from raw_client import CROSSING, Polling, WebSocket, handshake  # noqa: E402

PASS, TAKE, PASSED, GONE = 14, 15, 45, 48
PROBE, PROBED, SWITCH, CANCEL, ENDED, PRESENT = 14, 15, 16, 17, 18, 22
OK, WELCOME, OFFER, HANDOVER = 33, 37, 39, 41
UNKNOWN = 0
OTHER = 0xABCDEF012345  # the played gateway's incarnation
SID = "q83vASNF" + "x" * 16  # one of its sessions


class GatewayMoves(PlayedRouter):
    OPTIONS = {"dead": "60s"}

    def next_passed(self, kind):
        """(to, number, sid, body) of the next PASS of that kind."""
        while True:
            _, to, number, passed, sid, body = self.next(PASS)
            if passed == kind:
                return to, number, sid, body

    def say(self, number, kind, sid, body="", gateway=OTHER):
        self.send([PASSED, gateway, number, kind, sid, body])

    def moved(self):
        """A session of the gateway that the other one has, but for the last word, which is on its way: its number."""
        session = Polling(self.server)
        for kind in (PROBE, PROBED, SWITCH):
            self.say(77, kind, session.sid)
        self.next_passed(WELCOME)
        self.offered = self.next_passed(OFFER)[3]
        return session

    def offer(self, *sockets):
        """The body of an OFFER: what this gateway says of a session of its own, but for the sockets."""
        self.moved()
        head = msgpack.unpackb(self.offered.encode(errors="surrogateescape"), unicode_errors="surrogateescape")[:4]
        return msgpack.packb([*head, *sockets], unicode_errors="surrogateescape").decode(errors="surrogateescape")

    def arriving(self):
        """A WebSocket at the gateway for a session of the other one, as far as the switch; and its question's number."""
        websocket = WebSocket.__new__(WebSocket)
        super(WebSocket, websocket).__init__(self.gateway.port)
        self.addCleanup(websocket.socket.close)
        websocket.send(handshake(f"/socket.io/?EIO=4&transport=websocket&sid={SID}"))
        to, number, sid, _ = self.next_passed(PROBE)
        self.assertEqual((to, sid), (OTHER, SID))
        self.say(number, WELCOME, SID)
        self.assertEqual(websocket.response().status, 101)
        websocket.send_text("2probe")
        self.assertEqual(websocket.read_text(), "3probe")
        self.next_passed(PROBED)
        return websocket, number


class Home(GatewayMoves):
    def test_a_handover_that_was_lost(self):
        """The other gateway asks again, or says that the attempt is over: in both cases nothing is left."""
        for question in (SWITCH, CANCEL):
            with self.subTest(question=question):
                session = self.moved()
                self.lose_link()
                self.say(77, question, session.sid)
                self.assertTrue(session.gone())

    def test_an_end_before_the_switch_leaves_the_session_polling(self):
        session = Polling(self.server)
        self.say(77, PROBE, session.sid)
        self.next_passed(WELCOME)
        self.say(77, CANCEL, session.sid)
        self.assertEqual(self.next_passed(OK)[1], 77)
        self.say(78, PROBE, session.sid)
        self.assertEqual(self.next_passed(WELCOME)[1], 78)

    def test_the_other_gateway_went_with_the_former_router(self):
        session = self.moved()
        self.lose_link()
        to, number, sid, _ = self.next_passed(PRESENT)
        self.assertEqual(to, OTHER)
        self.assertEqual(session.get().json, {"code": 3, "message": "Bad request"})
        self.say(number, UNKNOWN, sid)
        self.assertTrue(session.gone())

    def test_the_other_gateway_is_there(self):
        session = self.moved()
        self.lose_link()
        _, number, sid, _ = self.next_passed(PRESENT)
        self.say(number, OK, sid)
        self.say(number, UNKNOWN, sid)  # to a question that is no more
        self.say(79, PRESENT, sid)
        self.assertEqual(self.next_passed(OK)[1], 79)
        self.assertEqual(session.get().json, {"code": 3, "message": "Bad request"})


class Arrival(GatewayMoves):
    OPTIONS = {"dead": "60s", "request_timeout": 2500}

    def expect_until_answered(self, kind, number=None):
        """The question is asked on every link until it is answered, however long that takes."""
        _, asked, sid, _ = self.next_passed(kind)
        self.assertEqual(sid, SID)
        if number is not None:
            self.assertEqual(asked, number)
        self.lose_link()
        self.assertEqual(self.next_passed(kind)[1], asked)
        self.say(asked, HANDOVER, SID)  # what is said to the question that it was is no answer
        self.lose_link()
        self.assertEqual(self.next_passed(kind)[1], asked)
        self.say(asked, OK, SID)

    def test_one_that_ends_before_the_switch(self):
        websocket, number = self.arriving()
        websocket.socket.close()
        self.assertEqual(self.next_passed(CANCEL)[1], number)
        self.lose_link()
        self.assertEqual(self.next_passed(CANCEL)[1], number)

    def test_one_that_is_being_taken_when_the_link_is_lost(self):
        websocket, number = self.arriving()
        websocket.send_text("5")
        self.assertEqual(self.next_passed(SWITCH)[1], number)
        self.say(number, OFFER, SID, self.offer(5, "/", ""))
        self.next(TAKE)
        self.lose_link()
        websocket.read_close()
        self.expect_until_answered(CANCEL, number)

    def test_a_session_that_ends_while_the_router_is_away(self):
        websocket, number = self.arriving()
        websocket.send_text("5")
        self.next_passed(SWITCH)
        self.say(number, OFFER, SID, self.offer())
        self.say(number, HANDOVER, SID)
        websocket.send_text("1")  # read by the session only: an arrival does not read any more
        websocket.read_close()
        _, asked, sid, _ = self.next_passed(ENDED)
        # Longer than any other request waits: something else that is asked now has been refused.
        poll = Polling.__new__(Polling)
        poll.__dict__.update(server=self.server, place=CROSSING, path="/socket.io/", host="127.0.0.1", fields=(),
                             turns=iter([0]), query=f"EIO=4&transport=polling&sid={SID}")
        self.assertEqual(poll.post("3").json, {"code": 1, "message": "Session ID unknown"})
        self.lose_link()
        self.assertEqual(self.next_passed(ENDED)[1:3], (asked, SID))


if __name__ == "__main__":
    unittest.main()
