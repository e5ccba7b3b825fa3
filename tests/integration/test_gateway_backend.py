"""What a backend needs of a gateway: one hubbub-gateway, and a router that this file plays."""
import json
import pathlib
import sys
import time
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / folder) for folder in ("conformance", "support")]
from played_router import PlayedRouter  # noqa: E402
from raw_client import Polling, WebSocket  # noqa: E402

CONNECT, DISCONNECT, JOIN, EVENT, TOLD, RESPONSE = 5, 6, 7, 11, 16, 17
CONNECTED, JOINED, LEFT, ANSWER, DONE, DELIVER, CLOSE, ASK, CAST, POSE = (
    34, 36, 37, 38, 39, 40, 42, 50, 51, 52)
NAMESPACE = 4
PLACEHOLDER = '{"_placeholder":true,"num":0}'


class GatewayBackend(PlayedRouter):
    CONFIG = """namespaces = (
        { name = "/"; events = ( { name = "msg"; room = "$.room"; },
                                 { name = "judged"; room = "$.room"; ask = true; } ); },
        { name = "/app"; builtin = false; recovery = false; } );"""

    def websocket(self, path=None):
        websocket = WebSocket(self.gateway.port, **({"path": path} if path else {}))
        self.addCleanup(websocket.socket.close)
        return websocket

    def let_in(self, client, namespace="/app", sid="S", auth=""):
        """Connects a client, on whatever transport; its socket's number."""
        head = "" if namespace == "/" else namespace + ","
        send = client.send_text if isinstance(client, WebSocket) else client.send
        send(f"40{head}{auth}")
        _, request, socket, asked, *_ = self.next(CONNECT)
        self.assertEqual(asked, namespace)
        self.send([CONNECTED, request, socket, sid, "anon:" + sid, 1, "", 0, ""])
        self.assertEqual(client.read_packets(1), [f'40{head}{{"sid":"{sid}"}}'])
        return socket

    def event(self):
        """The next EVENT: (request, flags, room, event, arguments, id, attachments)."""
        record = self.next(EVENT)
        return record[1:2] + record[3:8] + (record[8:] or [[]])

    def is_silent(self, client):
        """Whether nothing waits for that client but the answer to what it asks now."""
        client.send_text("42/app,999[\"silent?\"]")
        self.send([ANSWER, self.event()[0], "true"])
        return client.read_packets(1) == ["43/app,999[true]"]


class Events(GatewayBackend):
    def test_every_event_travels_as_it_is(self):
        client = self.websocket()
        self.let_in(client)
        for packet, event, arguments in (
                ('42/app,["msg"]', "msg", ""),  # no rule looks at it
                ('42/app,["join","R"]', "join", '"R"'),
                ('42/app,["typing",{"room":5}]', "typing", '{"room":5}'),
                ('42/app,["x", 1.0 ,\t{"a":"\\u00e9é"} ]', "x", '1.0 ,\t{"a":"\\u00e9é"}'),
                ('42/app,[7,null]', "7", "null"),
                ('42/app,["hist\\u006fry"]', "history", "")):
            with self.subTest(packet=packet):
                client.send_text(packet)
                self.assertEqual(self.event()[1:], [0, "", event, arguments, "", []])
        client.send_text(f'452-/app,7["x",{PLACEHOLDER},2]')
        client.send_binary(b"\0\xff")
        client.send_binary(b"")
        self.assertEqual(self.event()[1:], [1, "", "x", f"{PLACEHOLDER},2", "", [b"\0\xff", b""]])

    def test_a_rule_stands_before_the_backend_where_there_are_rules(self):
        client = self.websocket()
        self.let_in(client, "/")
        client.send_text('421["msg"]')
        self.assertIn("bad_room", client.read_packets(1)[0])
        client.send_text('422["other",{"room":1}]')
        self.assertEqual(self.event()[1:], [1, "", "other", '{"room":1}', "", []])

    def test_acknowledgements_of_every_kind(self):
        client = self.websocket()
        self.let_in(client)
        for answer, attachments, expected in (
                ("", [], ["43/app,1[]"]),
                ('1,"two",[3]', [], ['43/app,1[1,"two",[3]]']),
                (f"{PLACEHOLDER},2", [b"\0"], [f"461-/app,1[{PLACEHOLDER},2]", b"\0"])):
            with self.subTest(answer=answer):
                client.send_text('42/app,1["x"]')
                self.send([ANSWER, self.event()[0], answer] + ([attachments] if attachments else []))
                self.assertEqual(client.read_packets(len(expected)), expected)
        client.send_text('42/app,2["x"]')
        self.send([DONE, [self.event()[0]]])  # the backend gives none
        self.assertTrue(self.is_silent(client))


class Patience(GatewayBackend):
    OPTIONS = {"request_timeout": "200 ms", "max_unanswered": 64}

    def test_a_backend_takes_its_time(self):
        client = self.websocket()
        self.let_in(client)
        client.send_text('42/app,1["slow"]')
        request = self.event()[0]
        begun = time.monotonic()
        while time.monotonic() - begun < 1:  # five times what any other request may take
            self.assertTrue(self.is_silent(client))
        self.lose_link()
        self.assertEqual(self.event()[0], request)  # and again, under its number
        self.send([ANSWER, request, '"done"'])
        self.assertEqual(client.read_packets(1), ['43/app,1["done"]'])

    def test_what_a_backend_has_does_not_keep_a_client_from_being_read(self):
        client = self.websocket()
        self.let_in(client)
        for number in range(200):
            client.send_text(f'42/app,{number}["slow",{number}]')
        requests = []
        for number in range(200):
            request, *_, arguments, _, _ = self.event()
            self.assertEqual(arguments, str(number))
            requests.append(request)
        self.assertEqual(requests, sorted(requests))
        for number in reversed(range(200)):
            self.send([ANSWER, requests[number], ""])
        self.assertEqual(client.read_packets(200), [f"43/app,{number}[]" for number in reversed(range(200))])

    def test_a_backend_judges_in_its_time(self):
        client = self.websocket()
        self.let_in(client, "/")
        client.send_text('421["judged",{"room":"R"}]')
        request, flags, room, *_ = self.event()
        self.assertEqual((flags, room), (1, "R"))
        time.sleep(1)
        self.send([ANSWER, request, '{"ok":true}'])
        self.assertEqual(client.read_packets(1), ['431[{"ok":true}]'])

    def test_the_routers_own_answers_are_due(self):
        for packet, record in (('421["join","R"]', JOIN), ('421["msg",{"room":"R"}]', EVENT)):
            with self.subTest(packet=packet):
                client = self.websocket()
                self.let_in(client, "/")
                client.send_text(packet)
                self.next(record)
                self.assertEqual(client.read_close(), 1013)

    def test_a_backend_decides_on_a_client_in_its_time(self):
        client = self.websocket()
        self.let_in(client, "/")
        client.send_text("40/app,")
        _, request, socket, *_ = self.next(CONNECT)
        time.sleep(0.5)
        self.send([CONNECTED, request, socket, "T", "anon:T", 1, "", 0, ""])
        self.assertEqual(client.read_packets(1), ['40/app,{"sid":"T"}'])


class Impatience(GatewayBackend):
    OPTIONS = {"request_timeout": "200 ms", "connect_timeout": "3 s"}  # this test takes a client in within that

    def test_a_backend_has_not_for_ever_to_decide_on_a_client(self):
        client = self.websocket()
        self.let_in(client, "/")
        client.send_text("40/app,")
        self.next(CONNECT)
        self.assertEqual(client.read_close(), 1013)


class Sockets(GatewayBackend):
    def test_a_backend_moves_its_sockets(self):
        client = self.websocket()
        socket = self.let_in(client)

        def deliver(text):
            self.send([DELIVER, 5, "/app", "R", 0, 0, json.dumps([text])], [CAST, 6, "/app", "R", 0, ["other"], 0, '["cast"]'])

        deliver("before")
        self.send([JOINED, 0, socket, "R", 4, 0, ""])
        deliver("within")
        self.assertEqual(client.read_packets(2), ['42/app,["within"]', '42/app,["cast"]'])
        self.send([LEFT, 0, socket, "R", ""])
        deliver("behind")
        self.assertTrue(self.is_silent(client))

    def test_an_answer_is_said_until_it_is_heard(self):
        client = self.websocket()
        socket = self.let_in(client)
        self.send([POSE, socket, 0, 41, '["which",1]'])
        self.assertEqual(client.read_packets(1), ['42/app,41["which",1]'])
        client.send_text(f'461-/app,41[{PLACEHOLDER},"b"]')
        client.send_binary(b"bytes")
        answer = self.next(RESPONSE)
        self.assertEqual(answer[2:], [socket, 41, f'{PLACEHOLDER},"b"', [b"bytes"]])
        self.lose_link()
        self.assertEqual(self.next(RESPONSE), answer)
        self.send([DONE, [answer[1]]])
        client.send_text('43/app,41["again"]')  # the reference ignores it, too
        self.assertTrue(self.is_silent(client))
        self.lose_link()
        client.send_text('42/app,["last"]')
        records = []
        while not records or records[-1][0] != EVENT:
            if not self.records:
                _, _, self.heard, self.records = self.receive()
                continue
            records.append(self.records.pop(0))
        self.assertEqual([record for record in records if record[0] == RESPONSE], [])

    def test_a_question_is_for_whoever_is_there(self):
        clients = [self.websocket() for _ in range(3)]
        sockets = [self.let_in(client, sid=f"S{number}") for number, client in enumerate(clients)]
        for socket in sockets[:2]:
            self.send([JOINED, 0, socket, "R", 0, 0, ""])
        self.send([CAST, 0, "/app", "R", 0, ["S0"], 8, '["q"]'], [CAST, 0, "/app", "", NAMESPACE, ["R"], 8, '["q"]'])
        for number in (1, 2):
            self.assertEqual(clients[number].read_packets(1), ['42/app,8["q"]'])
            clients[number].send_text(f"43/app,8[{number}]")
            self.assertEqual(self.next(RESPONSE)[2:5], [sockets[number], 8, str(number)])
        clients[0].send_text("43/app,8[0]")
        self.assertTrue(self.is_silent(clients[0]))

    def test_what_the_client_told_is_there_before_it_is_let_in(self):
        client = self.websocket("/socket.io/?EIO=4&transport=websocket&token=a%20b&token=c")
        client.send_text('40/app,{"secret":[1.0]}')
        _, _, socket, *_ = self.next(CONNECT)
        self.send([ASK, 77, socket])
        _, ask, told = self.next(TOLD)
        self.assertEqual(ask, 77)
        self.assertIn('"auth":{"secret":[1.0]}', told)
        told = json.loads(told)
        self.assertEqual(set(told), {"headers", "time", "issued", "address", "xdomain", "secure", "url", "query", "auth"})
        self.assertEqual(told["query"], {"EIO": "4", "transport": "websocket", "token": "c"})
        self.assertEqual((told["address"], told["secure"], told["xdomain"]), ("127.0.0.1", False, False))
        self.assertEqual(told["url"], "/socket.io/?EIO=4&transport=websocket&token=a%20b&token=c")
        self.assertEqual(told["headers"]["host"], "test")
        self.send([ASK, 78, socket + (1 << 32)])
        self.assertEqual(self.next(TOLD)[1:], [78, ""])


class Closing(GatewayBackend):
    """As the reference does it: ../shared/protocol, "kick", "kick-close" and "drop"."""

    def pair(self, client):
        return self.let_in(client, "/", "M"), self.let_in(client)

    def test_a_socket(self):
        client = self.websocket()
        main, app = self.pair(client)
        self.send([CLOSE, main, "kicked", 1])
        self.assertEqual(client.read_packets(1), ["41"])
        self.assertTrue(self.is_silent(client))
        self.send([CLOSE, app, "kicked", 1])
        self.assertEqual(client.read_packets(1), ["41/app,"])
        client.send_text("40")  # the connection lives without a socket, too
        self.next(CONNECT)

    def test_a_transport(self):
        client = self.websocket()
        main, app = self.pair(client)
        self.send([CLOSE, main, "dropped", 0])
        self.assertIsNone(client.read_close())
        ended = {tuple(self.next(DISCONNECT)[1:]) for _ in range(2)}
        self.assertEqual(ended, {(main, "router_close"), (app, "router_close")})

    def test_a_connection(self):
        client = self.websocket()
        main, app = self.pair(client)
        client.send_text("40/nowhere,")
        client.read_packets(1)
        self.send([CLOSE, app, "kicked", 2])
        self.assertEqual(client.read_packets(2), ["41/app,", "41"])
        self.assertIsNone(client.read_close())
        self.assertEqual(self.next(DISCONNECT), [DISCONNECT, main, "server_disconnect"])

    def test_a_connection_with_a_socket_that_is_not_let_in(self):
        client = self.websocket()
        main = self.let_in(client, "/", "M")
        client.send_text("40/app,")
        app = self.next(CONNECT)[2]
        self.send([CLOSE, main, "kicked", 2])
        self.assertEqual(client.read_packets(1), ["41"])
        self.assertIsNone(client.read_close())
        self.assertEqual(self.next(DISCONNECT), [DISCONNECT, app, "router_close"])

    def test_a_session_on_polling(self):
        session = Polling(self.server)
        main, app = self.pair(session)
        self.send([CLOSE, app, "kicked", 2])
        self.assertEqual(self.next(DISCONNECT), [DISCONNECT, main, "server_disconnect"])
        self.assertEqual(session.read_packets(3), ["41/app,", "41", "1"])
        self.assertTrue(session.gone())


if __name__ == "__main__":
    unittest.main()
