#!/usr/bin/env python3
"""The command `session SID` of the stats socket, which asks a gateway: the router alone, with gateways that this file plays.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import PATIENCE, ROOT, RouterTest  # noqa: E402

HUBBUB = pathlib.Path(os.environ.get("HUBBUB_BUILD", ROOT / "build")) / "cli" / "hubbub"
HANDSHAKE = '{"headers":{"host":"h"},"query":{},"auth":{"a":"\\u009b é"}}'


class Operator:
    """A client of the stats socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.settimeout(PATIENCE)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *lines):
        self.socket.sendall("".join(line + "\n" for line in lines).encode())

    def answer(self):
        while b"\n\n" not in self.buffer and self.buffer != b"\n":
            part = self.socket.recv(65536)
            assert part, f"hung up behind {self.buffer}"
            self.buffer += part
        if self.buffer.startswith(b"\n"):
            self.buffer = self.buffer[1:]
            return ""
        text, self.buffer = self.buffer.split(b"\n\n", 1)
        return text.decode()

    def ended(self):
        return self.buffer == b"" and self.socket.recv(1) == b""


class Ask(RouterTest):
    configuration = 'namespaces = ({ name = "/"; }, { pattern = "/orders-*"; });'

    def operator(self):
        client = Operator(self.router.stats)
        self.addCleanup(client.__exit__)
        return client

    def test_what_router_and_gateway_know(self):
        gateway = self.gateway()
        gateway.connect()
        held = gateway.connect("/orders-17")
        operator = self.operator()
        shown = ["one", '"two\\u0020\\u0020\\u2028"']  # one word each, and nothing that acts on a terminal
        for rooms in ((), ("one", "two  \u2028")):
            for room in rooms:
                held.join(room)
            operator.send(f"session {held.sid}")
            asked = gateway.take("ASK")
            self.assertEqual(asked.socket, held.number)
            gateway.send(("TOLD", asked.ask, HANDSHAKE))
            self.assertEqual(operator.answer(), "\n".join([
                f"sid {held.sid}", "namespace /orders-17", f"from anon:{held.sid}", "state live", "away_seconds 0.000",
                "gateway g1", *(f"room {said}" for said in shown[:len(rooms)]), f"handshake {HANDSHAKE}"]))
            operator.send(f"session {held.sid} json")
            gateway.send(("TOLD", gateway.take("ASK").ask, HANDSHAKE))
            self.assertEqual(json.loads(operator.answer()), {
                "sid": held.sid, "namespace": "/orders-17", "from": f"anon:{held.sid}", "state": "live", "away_seconds": 0,
                "gateway": "g1", "rooms": list(rooms), "handshake": json.loads(HANDSHAKE)})

    def test_unknown_sockets(self):
        gateway = self.gateway()
        held = gateway.connect()
        operator = self.operator()
        for sid in ("x", "x" * 20, held.sid[:-1], held.sid + "x", '""', '"\\u0000"'):
            operator.send(f"session {sid}")
            self.assertEqual(operator.answer(), "error no such session")
        for line in ("session", "session ", f"session {held.sid} x", f"session {held.sid} json json"):
            operator.send(line)
            self.assertEqual(operator.answer(), "error expected session SID", line)
        gateway.settle()
        self.assertEqual(gateway.records, [])

    def test_a_socket_that_is_gone_by_then(self):
        gateway = self.gateway()
        held, other = gateway.connect(), gateway.connect()
        operator = self.operator()
        operator.send(f"session {held.sid}")
        gateway.send(("TOLD", gateway.take("ASK").ask, ""))
        self.assertEqual(operator.answer(), "error no such session")
        operator.send(f"session {other.sid}")
        gateway.send(("DISCONNECT", other.number, "client_disconnect"), ("TOLD", gateway.take("ASK").ask, HANDSHAKE))
        self.assertEqual(operator.answer(), "error no such session")

    def test_a_socket_whose_connection_is_lost_by_then(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        held = one.connect()
        operator = self.operator()
        operator.send(f"session {held.sid}")
        one.send(("DISCONNECT", held.number, "transport close"), ("TOLD", one.take("ASK").ask, ""))
        lines = operator.answer().split("\n")
        self.assertEqual((lines[0], lines[3], lines[5:]), (f"sid {held.sid}", "state away", ["gateway -", "handshake -"]))
        self.assertEqual(two.come_back(held.pid).sid, held.sid)

    def test_a_session_that_another_gateway_has_by_then(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        held = one.connect()
        operator = self.operator()
        operator.send(f"session {held.sid}")
        asked = one.take("ASK")
        back = two.come_back(held.pid)
        one.send(("TOLD", asked.ask, ""))
        again = two.take("ASK")
        self.assertEqual(again.socket, back.number)
        two.send(("TOLD", again.ask, HANDSHAKE))
        lines = operator.answer().split("\n")
        self.assertEqual((lines[0], lines[3:]), (f"sid {held.sid}", [
            "state live", "away_seconds 0.000", "gateway g2", f"handshake {HANDSHAKE}"]))

    def test_answers_come_in_the_order_of_the_questions(self):
        gateway = self.gateway()
        held = gateway.connect()
        operator = self.operator()
        operator.send("rooms", f"session {held.sid}", "gateways", f"session {held.sid}", "quit", "rooms")
        operator.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(operator.answer(), "# namespace members gateways seq rate name")
        for _ in range(2):
            gateway.send(("TOLD", gateway.take("ASK").ask, HANDSHAKE))
            self.assertTrue(operator.answer().endswith(HANDSHAKE))
            if _ == 0:
                self.assertIn("\ng1 live 1 ", operator.answer())
        self.assertEqual(operator.answer(), "")
        self.assertTrue(operator.ended())

    def test_many_ask_at_once_and_answers_find_their_questions(self):
        gateway = self.gateway()
        sockets = [gateway.connect() for _ in range(10)]
        operators = [self.operator() for _ in sockets]
        for operator, held in zip(operators, sockets):
            operator.send(f"session {held.sid}")
        asked = [gateway.take("ASK") for _ in sockets]
        for record in reversed(asked):
            gateway.send(("TOLD", record.ask, json.dumps({"number": record.socket})))
        for operator, held in zip(operators, sockets):
            lines = operator.answer().split("\n")
            self.assertEqual(lines[0], f"sid {held.sid}")
            self.assertEqual(lines[-1], f'handshake {{"number": {held.number}}}')

    def test_who_hangs_up_meanwhile_is_forgotten(self):
        gateway = self.gateway()
        held = gateway.connect()
        for _ in range(40):  # more than there are places
            with Operator(self.router.stats) as operator:
                operator.send(f"session {held.sid}")
                gateway.send(("TOLD", gateway.take("ASK").ask, HANDSHAKE))
        with contextlib.ExitStack() as stack:
            waiting = stack.enter_context(Operator(self.router.stats))
            waiting.send(f"session {held.sid}")
            asked = gateway.take("ASK")
        gateway.send(("TOLD", asked.ask, HANDSHAKE), ("TOLD", asked.ask, HANDSHAKE), ("TOLD", 99999, HANDSHAKE))
        self.assertTrue(held.join("R")["ok"])

    def test_another_gateway_can_not_answer(self):
        one, two = self.gateway("g1"), self.gateway("g2")
        held = one.connect()
        operator = self.operator()
        operator.send(f"session {held.sid}")
        asked = one.take("ASK")
        two.send(("TOLD", asked.ask, '{"forged":true}'))
        two.settle()
        one.send(("TOLD", asked.ask, HANDSHAKE))
        self.assertTrue(operator.answer().endswith(HANDSHAKE))

    def test_a_gateway_that_goes(self):
        gateway = self.gateway()
        held = gateway.connect()
        operator = self.operator()
        operator.send(f"session {held.sid}")
        gateway.take("ASK")
        gateway.send(("BYE", ""))
        self.assertEqual(operator.answer(), "error the link to its gateway is down")
        operator.send(f"session {held.sid}")
        lines = operator.answer().split("\n")  # it may come back
        self.assertEqual((lines[3], lines[5:]), ("state away", ["gateway -", "handshake -"]))

    def test_a_gateway_that_comes_back_with_another_link(self):
        gateway = self.gateway()
        held = gateway.connect()
        operator = self.operator()
        operator.send(f"session {held.sid}")
        gateway.take("ASK")
        gateway.go_live()
        self.assertEqual(operator.answer(), "error the link to its gateway is down")
        operator.send(f"session {held.sid}")
        gateway.send(("TOLD", gateway.take("ASK").ask, HANDSHAKE))
        self.assertTrue(operator.answer().endswith(HANDSHAKE))

    def test_a_link_that_is_down(self):
        gateway = self.gateway()
        held = gateway.connect()
        gateway.send_raw(b"nonsense")
        gateway.take("RESYNC")
        operator = self.operator()
        operator.send(f"session {held.sid}")
        self.assertEqual(operator.answer(), "error the link to its gateway is down")

    def test_an_answer_that_is_more_than_a_line(self):
        for text in ('{"a":1}\n\nsid forged', "\x00", b"\xff", "\t"):
            gateway = self.gateway()
            held = gateway.connect()
            operator = self.operator()
            operator.send(f"session {held.sid}")
            gateway.send(("TOLD", gateway.take("ASK").ask, text))
            gateway.take("RESYNC")
            gateway.go_live()
            self.assertEqual(operator.answer(), "error the link to its gateway is down")
            gateway.send(("BYE", ""))

    def test_the_command(self):
        gateway = self.gateway()
        held = gateway.connect()

        def command(*arguments):
            return subprocess.Popen([HUBBUB, "session", "--stats", self.router.stats, *arguments], text=True,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)

        with command(held.sid) as process:
            gateway.send(("TOLD", gateway.take("ASK").ask, HANDSHAKE))
            out, error = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, error), (0, ""))
        self.assertEqual(out.split("\n")[-2:], [f"handshake {HANDSHAKE}", ""])
        for arguments, code, message in (((held.sid[:-1],), 70, "hubbub: no such session\n"),
                                         (("-x",), 64, "unknown option '-x'; as an argument it stands behind --"),
                                         (("--", "-x"), 70, "hubbub: no such session\n"),
                                         (("--", "-x", "--json"), 64, "unexpected argument '--json': nothing is an option behind --"),
                                         ((), 64, "expected SID ("), (("a b",), 70, "hubbub: no such session\n"),
                                         (("x\nstats",), 70, "hubbub: no such session\n"),
                                         ((b"\xff",), 64, "an argument is no UTF-8"),
                                         (("x", "y"), 64, "unexpected argument 'y'")):
            with command(*arguments) as process:
                out, error = process.communicate(timeout=PATIENCE)
            self.assertEqual((process.returncode, out), (code, ""), arguments)
            self.assertIn(message, error)


class Silent(RouterTest):
    dead = "3s"  # far more than what passes between two signs of life of the gateway
    options = ("--heartbeat=100",)

    def test_a_gateway_that_does_not_answer(self):
        gateway = self.gateway()
        held = gateway.connect()
        with Operator(self.router.stats) as operator:
            operator.send(f"session {held.sid}", "gateways")
            asked = gateway.take("ASK")
            operator.socket.settimeout(0.1)
            while True:  # it lives, but it is a version that does not know the question
                gateway.send()
                try:
                    answer = operator.answer()
                    break
                except TimeoutError:
                    continue
            self.assertEqual(answer, "error its gateway does not answer")
            operator.socket.settimeout(PATIENCE)
            self.assertIn("\ng1 live 1 ", operator.answer())
            gateway.send(("TOLD", asked.ask, HANDSHAKE))  # too late
            self.assertTrue(held.join("R")["ok"])


if __name__ == "__main__":
    unittest.main()
