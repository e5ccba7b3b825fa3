"""SIGHUP: the configuration is read again, all of it or nothing."""
import base64
import hmac
import json
import pathlib
import signal
import sys
import tempfile
import time
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / folder) for folder in ("support", "conformance")]
import programs  # noqa: E402
from played_gateway import EVENTS, NUMBERS, RouterTest  # noqa: E402
from played_router import PlayedRouter  # noqa: E402
from raw_client import CLOSE, Client, request  # noqa: E402

CONNECT, CONNECTED, STATISTICS = (NUMBERS[name] for name in ("CONNECT", "CONNECTED", "STATISTICS"))
RULES = 'events = ( { name = "msg"; room = "$.room"; deliver = "room"; } );\n'
KEYS = "first-key-of-somebody", "second-key-of-somebody"


def section(name, **keys):
    return f"{name} = {{\n" + "".join(f"  {key} = {json.dumps(value)};\n" for key, value in keys.items()) + "};\n"


class ReloadTest(PlayedRouter):
    OPTIONS = dict(dead="60s", max_auth="300")
    CONFIG = RULES + section("gateway", cors_origins="https://one.example", max_http_head=1000)

    def setUp(self):
        self.OPTIONS = dict(self.OPTIONS, admin=f"127.0.0.1:{programs.free_port()}")
        super().setUp()

    def hang_up(self, text, *awaited):
        before = len(self.gateway.log_text())
        self.config.write_text(text)
        self.gateway.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + programs.PATIENCE
        while not any(all(part in line for part in awaited) for line in self.gateway.log_text()[before:].splitlines()):
            self.assertLess(time.monotonic(), end, self.gateway.log_text())
            time.sleep(0.01)
        return self.gateway.log_text()[before:]

    def allowed(self, origin):
        answer = request(self.gateway.port, f"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\nOrigin: {origin}\r\n"
                                            "Connection: close\r\n\r\n")
        self.assertEqual(answer.status, 200)
        return answer.fields.get("access-control-allow-origin") == origin

    def head_status(self, length):
        return request(self.gateway.port, f"GET /healthz HTTP/1.1\r\nHost: h\r\nX: {'x' * length}\r\nConnection: close\r\n\r\n").status

    def configuration_shown(self):
        """What `hubbub config` asks for."""
        self.send([NUMBERS["ASK"], 1, 0])
        return {name: value for name, value, _ in json.loads(self.next(NUMBERS["TOLD"])[2])}

    def reloads(self, result):
        while True:
            counters = self.next(STATISTICS)[1]
            value = dict(zip(counters[::2], counters[1::2])).get(f"hubbub_config_reloads_total{{result={result}}}", 0)
            if value:
                return value


class Gateway(ReloadTest):
    def test_what_may_change_takes_effect_and_the_rest_is_named(self):
        client = Client(self.gateway.port, connect=False)
        self.addCleanup(client.__exit__)
        client.send_text("40")
        record = self.next(CONNECT)
        self.send([CONNECTED, record[1], record[2], "s" * 20, "anon:" + "s" * 20, 1, "", 0, ""])
        client.packet("40")
        self.assertEqual((self.allowed("https://one.example"), self.allowed("https://two.example")), (True, False))
        self.assertEqual(self.head_status(1500), 431)
        log = self.hang_up(RULES.replace("msg", "other") +
                           section("gateway", cors_origins="https://two.example", max_http_head=4000, ping_interval="9 s", max_auth=128),
                           "configuration reloaded", "changed=3", "wait_for_restart=1")
        self.assertIn("takes a restart\" key=gateway.ping_interval", log)
        self.assertIn("event rules changed", log)
        self.assertNotIn("max_auth", log)  # the option goes over the file, now as then
        self.assertEqual((self.allowed("https://one.example"), self.allowed("https://two.example")), (False, True))
        self.assertEqual(self.head_status(1500), 200)
        self.assertEqual(self.reloads("ok"), 1)
        client.send_text('421["msg",{"room":"R"}]')  # nobody was disconnected
        self.assertEqual(self.next(NUMBERS["EVENT"])[4:6], ["", "msg"])  # it has no rule now that says where its room stands
        client.send_text('422["other",{"room":"R"}]')
        self.assertEqual(self.next(NUMBERS["EVENT"])[4:6], ["R", "other"])
        # And back again: what was taken over is what is compared.
        log = self.hang_up(self.CONFIG, "configuration reloaded", "changed=3", "wait_for_restart=0")
        self.assertEqual((self.allowed("https://one.example"), self.allowed("https://two.example")), (True, False))
        client.send_text('423["msg",{"room":"R"}]')
        self.assertEqual(self.next(NUMBERS["EVENT"])[4:6], ["R", "msg"])

    def test_rules_are_refused_with_the_whole_file(self):
        shown = self.configuration_shown()
        self.assertEqual(shown["namespaces[/].events[msg]"], "room=$.room;deliver=room;meta=true")
        keys = section("gateway", cors_origins="https://two.example", max_http_head=4000)
        self.hang_up('events = (\n  { name = "msg"; room = "$.room"; },\n  { name = "bad"; room = "no path"; } );\n' + keys,
                     "level=error", "nothing has changed", "hubbub.conf:3", "is not a path")
        self.assertEqual((self.allowed("https://one.example"), self.head_status(1500)), (True, 431))
        self.assertEqual(self.configuration_shown(), shown)

    def test_rules_wait_with_their_namespaces(self):
        shown = self.configuration_shown()
        for text in ('namespaces = ( { name = "/"; recovery = false; events = ( { name = "other"; room = "$"; } ); } );\n',
                     'namespaces = ( { name = "/"; }, { name = "/more"; } );\n',
                     RULES.replace('deliver', 'ask = true; deliver')):  # it would need a backend now
            log = self.hang_up(text + self.CONFIG.replace(RULES, ""), "configuration reloaded", "changed=0", "wait_for_restart=1")
            self.assertIn("changed namespaces, and events beside them, take a restart", log)
            self.assertEqual(self.configuration_shown(), shown)

    def test_a_broken_file_changes_nothing(self):
        self.hang_up(RULES + section("gateway", cors_origins="https://two.example", max_http_head="many"),
                     "level=error", "nothing has changed", "hubbub.conf:4")
        self.assertEqual((self.allowed("https://one.example"), self.head_status(1500)), (True, 431))
        self.hang_up("gateway = {", "nothing has changed", "hubbub.conf:")
        self.config.unlink()
        self.gateway.process.send_signal(signal.SIGHUP)
        while self.reloads("failed") < 3:
            pass
        self.assertTrue(self.allowed("https://one.example"))
        self.hang_up(self.CONFIG, "configuration reloaded", "changed=0", "wait_for_restart=0")

    def test_tokens_stay_off(self):
        secret = pathlib.Path(self.config.parent, "secret")
        secret.write_text("x" * 40)
        secret.chmod(0o600)
        self.hang_up(self.CONFIG + f'tokens = {{ keys = ( {{ algorithm = "HS256"; file = "{secret}"; }} ); }};\n',
                     "nothing has changed", "tokens on or off takes a restart")
        self.assertEqual(self.configuration_shown()["tokens.keys"], None)
        client = Client(self.gateway.port, connect=False)
        self.addCleanup(client.__exit__)
        client.send_text("40")
        self.next(CONNECT)

    def test_log_level_and_publish_keys(self):
        keys = pathlib.Path(self.config.parent, "keys")

        def write(key):
            keys.write_text(key + "\n")
            keys.chmod(0o600)

        def status(key):
            return request(int(self.OPTIONS["admin"].split(":")[1]), "GET /api/rooms/R%00 HTTP/1.1\r\nHost: h\r\n"
                           f"Authorization: Bearer {key}\r\nConnection: close\r\n\r\n").status
        write(KEYS[0])
        self.assertEqual(status(KEYS[0]), 403)
        self.hang_up(self.CONFIG.replace("};", f' publish_key = "{keys}"; log_level = "warn"; }};').replace("warn", "info"),
                     "configuration reloaded")
        self.assertNotIn(status(KEYS[0]), (401, 403))
        self.assertEqual(status(KEYS[1]), 401)
        write(KEYS[1])
        self.hang_up(self.config.read_text(), "configuration reloaded")
        self.assertEqual(status(KEYS[0]), 401)
        self.assertNotIn(status(KEYS[1]), (401, 403))
        keys.chmod(0o644)
        self.hang_up(self.config.read_text(), "nothing has changed", "mode 0644")
        self.assertNotIn(status(KEYS[1]), (401, 403))


def sign(secret, **claims):
    """A token by HS256."""
    def encode(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")
    said = b".".join(encode(json.dumps(part).encode()) for part in (dict(alg="HS256", typ="JWT"), claims))
    return (said + b"." + encode(hmac.digest(secret.encode(), said, "sha256"))).decode()


class Tokens(ReloadTest):
    SECRETS = "x" * 40, "y" * 40

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.secret = pathlib.Path(folder.name, "secret")
        self.secret.write_text(self.SECRETS[0])
        self.secret.chmod(0o600)
        self.without = self.CONFIG
        self.CONFIG += f'tokens = {{ required = true; keys = ( {{ algorithm = "HS256"; file = "{self.secret}"; }} ); }};\n'
        super().setUp()

    def say(self, **auth):
        client = Client(self.gateway.port, connect=False)
        self.addCleanup(client.__exit__)
        client.send_text("40" + json.dumps(auth))
        return client

    def test_keys(self):
        old, new = (sign(secret, sub="ann", exp=int(time.time()) + 3600) for secret in self.SECRETS)
        self.assertIn("token_invalid", self.say(token=new).packet("44"))
        self.say(token=old)
        self.assertIn('"sub":"ann"', self.next(CONNECT)[6])
        self.secret.write_text(self.SECRETS[1])
        self.hang_up(self.CONFIG, "configuration reloaded")
        self.assertIn("token_invalid", self.say(token=old).packet("44"))
        self.say(token=new)
        self.assertIn('"sub":"ann"', self.next(CONNECT)[6])

    def test_the_configuration_is_shown_without_secrets(self):
        other = f'{{ id = "2026"; algorithm = "HS256"; file = "{self.secret}"; }}'
        self.hang_up(self.CONFIG.replace("keys = ( ", f"keys = ( {other}, ").replace("required = true;", 'required = true; audience = "chat";'),
                     "configuration reloaded")
        shown = self.configuration_shown()
        self.assertEqual({name: shown[name] for name in shown if name.startswith("tokens.")},
                         {"tokens.required": "true", "tokens.issuer": None, "tokens.audience": "chat", "tokens.leeway": "5s", "tokens.grace": "30s",
                          "tokens.keys": "2026:HS256 -:HS256", "tokens.rights": None, "tokens.anonymous": None})
        self.assertNotIn("x" * 20, json.dumps(shown))

    def test_what_is_wrong_changes_nothing(self):
        self.secret.chmod(0o644)
        self.hang_up(self.CONFIG, "nothing has changed", "mode 0644")
        self.hang_up(self.without, "nothing has changed", "tokens on or off takes a restart")
        self.assertIn("token_missing", self.say().packet("44"))


class OfARouter(RouterTest):
    dead = None
    configuration = EVENTS + section("router", max_rooms_per_connection=1)

    def hang_up(self, text, awaited):
        before = len(self.router.log())
        pathlib.Path(self.folder, "conf").write_text(text)
        self.router.process.send_signal(signal.SIGHUP)
        self.until(lambda: awaited in self.router.log()[before:], awaited)
        return self.router.log()[before:]

    def test_limits_change_and_the_rest_is_named(self):
        alice = self.gateway().connect()
        alice.join("one")
        self.refused(alice.answer("JOIN", "two", 0, 0), "bad_request")
        self.assertEqual(self.router.statistics()["reloaded"], "never")
        log = self.hang_up(EVENTS + section("router", max_rooms_per_connection=2, dead="7 s"), "changed=1 wait_for_restart=1")
        self.assertIn("takes a restart\" key=router.dead", log)
        alice.join("two")
        self.refused(alice.answer("JOIN", "three", 0, 0), "bad_request")
        self.assertRegex(self.router.statistics()["reloaded"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ok changed=1 wait_for_restart=1$")
        self.assertEqual(self.router.metric("hubbub_router_config_reloads_total{result=ok}"), 1)

    def test_a_broken_file_changes_nothing(self):
        alice = self.gateway().connect()
        alice.join("one")
        log = self.hang_up(EVENTS + section("router", max_rooms_per_connection=2, max_history=1000), "nothing has changed")
        self.assertRegex(log, r"conf:\d+: .*max_history")
        self.refused(alice.answer("JOIN", "two", 0, 0), "bad_request")
        self.assertIn(" failed ", self.router.statistics()["reloaded"])
        log = self.hang_up(EVENTS + "gateway = { port = ; };\n", "nothing has changed")  # what nobody can read, everybody refuses
        self.assertRegex(log, r"conf:\d+: ")
        self.assertEqual(self.router.metric("hubbub_router_config_reloads_total{result=failed}"), 2)

    def test_rules_change_and_nobody_is_disconnected(self):
        g = self.gateway()
        alice, bob = g.connect(), g.connect()
        for held in (alice, bob):
            held.join("R")
        self.refused(alice.publish("new", "R", 1), "unknown_event")
        self.assertEqual(alice.publish("msg", "R", 1)["seq"], 1)
        new = '  { name = "new"; room = "$2"; deliver = "others"; archive = true; meta = false; },\n'
        text = self.configuration.replace("events = (\n", "events = (\n" + new).replace('"msg"; room = "$.room"; deliver = "room"; archive = true; dedup = "$.id";',
                                                                                      '"msg"; room = "$.room"; deliver = "room";')
        log = self.hang_up(text, "changed=1 wait_for_restart=0")
        self.assertIn("event rules changed", log)
        self.assertEqual(alice.publish("new", "R", 2)["seq"], 2)
        g.take("DELIVER")
        self.assertEqual(g.take("DELIVER").except_socket, alice.number)
        self.assertNotIn("seq", alice.publish("msg", "R", 3))  # not archived any more
        g.take("DELIVER")
        rows = {each["key"]: (each["value"], each["origin"]) for each in json.loads(self.router.ask("config json")[0])["config"]}
        place = self.router.options[0].removeprefix("--config=")
        self.assertEqual(rows["namespaces[/]"], ("builtin=true;recovery=true;backend=false", "default"))
        self.assertEqual(rows["namespaces[/].events[new]"], ("room=$2;deliver=others;archive=true;meta=false", f"{place}:3"))
        self.assertEqual(rows["namespaces[/].events[msg]"], ("room=$.room;deliver=room;meta=true", f"{place}:4"))
        self.assertIn(f"namespaces[/].events[new] room=$2;deliver=others;archive=true;meta=false {place}:3", self.router.ask("config")[0].split("\n"))
        self.hang_up(text.replace('"others"; archive', '"other"; archive') + section("router", max_rooms_per_connection=7), "nothing has changed")
        self.assertEqual(alice.publish("new", "R", 4)["seq"], 3)
        self.refused(alice.answer("JOIN", "two", 0, 0), "bad_request")
        self.hang_up('namespaces = ( { name = "/"; }, { name = "/more"; } );\n' + section("router", max_rooms_per_connection=1), "changed=0 wait_for_restart=1")
        self.assertEqual(alice.publish("new", "R", 5)["seq"], 4)
        self.hang_up(self.configuration, "changed=1 wait_for_restart=0")
        self.refused(alice.publish("new", "R", 6), "unknown_event")
        self.assertEqual([self.router.metric(f"hubbub_router_links{name}_total") for name in ("", "_lost")], [1, 0])

    def test_values_of_other_programs_are_theirs(self):
        self.hang_up(EVENTS + section("router", max_rooms_per_connection=1) + section("gateway", port="no number"), "changed=0 wait_for_restart=0")
        self.hang_up(EVENTS + "gateway = 5;\n", "nothing has changed")
        self.assertEqual(self.router.metric("hubbub_router_config_reloads_total{result=failed}"), 1)


class OfAStack(unittest.TestCase):
    """All processes at once, with a client that stays."""

    def hang_up(self, stack, old, new, awaited, count=2):
        """Another text in the file; waits until so many processes have said that they took it."""
        path = stack.folder / "stack.conf"
        self.assertIn(old, path.read_text())
        path.write_text(path.read_text().replace(old, new))
        stack.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + programs.PATIENCE
        while stack.log_text().count(awaited) < count:
            self.assertLess(time.monotonic(), end, stack.log_text())
            time.sleep(0.01)

    def test_limits_of_names_depth_and_attachments(self):
        stack = programs.Stack({"max_depth": 128, "max_attachment_count": 10}, "router = { max_name = 255; };")
        self.addCleanup(stack.close)
        with Client(stack.port) as client:
            self.assertTrue(client.call("join", "R" * 50)["ok"])
            self.assertTrue(client.call("join", "S" * 50)["ok"])
            deep = {"room": "R" * 50, "body": [[[]]]}
            self.assertTrue(client.call("msg", deep)["ok"])
            self.hang_up(stack, "max_depth = 128; max_attachment_count = 10;", "max_depth = 4; max_attachment_count = 1;", "configuration key changed", 2)
            self.hang_up(stack, "max_name = 255;", "max_name = 49;", "key=router.max_name", 1)
            self.assertEqual(client.call("msg", deep)["error"]["code"], "too_deep")
            self.assertEqual(client.call("join", "T" * 50)["error"]["code"], "bad_room")
            self.assertTrue(client.call("presence", "R" * 50)["ok"])  # it is in there, and stays
            self.assertTrue(client.call("leave", "S" * 50)["ok"])
            self.assertEqual(client.call("join", "S" * 50)["error"]["code"], "bad_room")
            client.send_text('452-["msg"]')
            while client.read_frame()[0] != CLOSE:
                pass

    def test_rules_change_under_a_client(self):
        rule = 'events = ( { name = "msg"; room = "$.room"; archive = true; }%s );'
        stack = programs.Stack(rest=rule % "")
        self.addCleanup(stack.close)
        with Client(stack.port) as client:
            client.call("join", "R")
            self.assertEqual(client.call("wave", {"to": "R"})["error"]["code"], "unknown_event")
            self.hang_up(stack, rule % "", rule % ', { name = "wave"; room = "$.to"; }', "event rules changed")
            client.emit("wave", {"to": "R"})
            event = client.event()
            self.assertEqual((event[0], event[1], event[2]["room"]), ("wave", {"to": "R"}, "R"))
            self.assertEqual(client.call("msg", {"room": "R"})["seq"], 1)


if __name__ == "__main__":
    unittest.main()
