"""Backends that a test plays over ZeroMQ, beside gateways that it plays: docs/protocol.md, section 3."""

import json
import pathlib
import signal
import time

from played_gateway import ACK, PATIENCE, Gateway, RouterTest, Socket, kind, number  # noqa: F401  (for who plays both)

NEW, RECOVERED, HANDED, HELD = range(4)  # kinds of CONNECTION
PASS, CHANGE, REFUSE = range(3)  # of VERDICT
LOGGED, ARCHIVED, VOLATILE_CLASS = range(3)  # classes of SEND
META, TELL = 1, 2  # flags of SEND
CALL_ACK, AGAIN = 1, 2  # flags of CALL and JUDGE
HANDSHAKE = '{"headers":{},"address":"127.0.0.1","url":"/socket.io/","query":{},"auth":{}}'

NAMESPACES = """
namespaces = (
  { name = "/"; backend = true; events = (
      { name = "msg"; room = "$.room"; deliver = "room"; archive = true; dedup = "$.id"; meta = true; },
      { name = "asked"; room = "$.room"; deliver = "room"; archive = true; dedup = "$.id"; meta = true; ask = true; },
      { name = "fleeting"; room = "$.room"; deliver = "others"; volatile = true; ask = true; } ); },
  { name = "/all"; builtin = false; },
  { name = "/bare"; builtin = false; recovery = false; },
  { pattern = "/free-*"; },
  { name = "/plain"; recovery = false; }
);
router = { backend_wait = "60 s"; };
"""
MORTAL = "--dead=3s"  # for one test: silent peers are given up, and those that beat are not, though the machine may stand still


def options(*extra):
    """For one test: options of its router, behind those of its class."""
    def mark(test):
        test.options = extra
        return test
    return mark


class Beating(Gateway):
    """While one of a test's peers waits for something, all of them give signs of life but those that are silent."""

    silent = False

    def open(self):
        super().open()
        self.last_sent = time.monotonic()

    def send_raw(self, data):
        super().send_raw(data)
        self.last_sent = time.monotonic()

    def beat(self):
        for peer in self.peers:
            if peer.dealer and not peer.silent and time.monotonic() - peer.last_sent > 0.2:
                peer.send()

    def read(self, patience=PATIENCE):
        end = time.monotonic() + patience
        while True:
            self.beat()
            if super().read(max(0, min(0.2, end - time.monotonic()))):
                return True
            if time.monotonic() >= end:
                return False


class Backend(Beating):
    """One side of a backend's link, at the level of records.  It counts its requests as it likes."""

    def __init__(self, router, name, namespaces=("/", "/all", "/bare")):
        super().__init__(router, name)
        self.namespaces = list(namespaces)

    def serve(self, *held, live=True):
        """A new link that names the sids as held, up to SERVING."""
        self.open()
        self.send(("SERVE", self.name, self.incarnation, self.namespaces, "test", self.minor), *(("HOLD", sid) for sid in held),
                  ("SERVE_END", len(held)))
        return self.take("SERVING") if live else None

    def connection(self, which=NEW, sid=None):
        record = self.take("CONNECTION", where=lambda record: sid in (None, record.sid))
        assert record.connection == which, record
        return record

    def accept(self, data=""):
        """Says yes to the next client; gives its CONNECTION."""
        record = self.connection()
        self.send(("ACCEPT", record.task, data))
        return record

    def call(self, event=None):
        return self.take("CALL", where=lambda record: event in (None, record.event))

    def handle(self, call, *arguments):
        """Answers with these arguments."""
        self.send(("HANDLED", call.task, 1, json.dumps(arguments, separators=(",", ":"))[1:-1]))

    def done(self, call):
        self.send(("HANDLED", call.task, 0, ""))

    def none(self, *kinds, patience=0.3):
        """Nothing of these kinds has come, nor does for a moment."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            self.read(end - time.monotonic())
        found = [record for record in self.records if kind(record) in kinds]
        assert not found, found


class AskedGateway(Beating):
    """Tells handshakes when it is asked, unless handshake is None."""

    handshake = HANDSHAKE

    def read(self, patience=PATIENCE):
        got = super().read(patience)
        for record in [record for record in self.records if kind(record) == "ASK"]:
            if self.handshake is None:
                break
            self.records.remove(record)
            self.send(("TOLD", record.ask, self.handshake))
        return got

    def begin(self, namespace="/", auth=""):
        """CONNECT, without waiting for what becomes of it."""
        self.sockets += 1
        held = Socket(self, self.sockets, namespace)
        held.request = self.ask("CONNECT", held.number, namespace, auth, "127.0.0.1")
        return held

    def connected(self, held):
        record = self.take("CONNECTED", where=lambda record: record.request == held.request)
        held.sid, held.sender = record.sid, record.sender
        held.generation, held.pid, held.recovered = record.generation, record.pid, record.recovered
        self.held[held.number] = held
        return held


class BackendTest(RouterTest):
    configuration = NAMESPACES
    options = ("--heartbeat=100ms",)

    def setUp(self):
        self.options += getattr(getattr(self, self._testMethodName), "options", ())
        super().setUp()

    def gateway(self, name="g1", live=True, make=AskedGateway):
        gateway = super().gateway(name, False, make)
        gateway.peers = self.gateways
        if live:
            gateway.go_live()
        return gateway

    def backend(self, name="b1", namespaces=("/", "/all", "/bare"), held=()):
        backend = Backend(self.router, name, namespaces)
        self.gateways.append(backend)
        backend.peers = self.gateways
        backend.serve(*held)
        return backend

    def reload(self, *changes):
        """The configuration with other texts in it, in force."""
        reloads = "hubbub_router_config_reloads_total{result=ok}"
        text, before = self.configuration, self.router.metric(reloads)
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new)
        pathlib.Path(self.folder, "conf").write_text(text)
        self.router.process.send_signal(signal.SIGHUP)
        self.until(lambda: self.router.metric(reloads) > before, "not reloaded")

    def backend_wait(self, duration):
        """How long clients and events wait that begin to from now on.  A client waits until its handshake is told, too."""
        self.reload(('backend_wait = "60 s"', f'backend_wait = "{duration}"'))

    def judged(self, gateway, backend, namespace="/", auth=""):
        """A client whose CONNECTION has come to the backend: (its socket, the record)."""
        held = gateway.begin(namespace, auth)
        return held, self.both(gateway, backend, "CONNECTION", connection=NEW)

    def both(self, gateway, backend, what, **fields):
        """A record for the backend for which the gateway must be asked something."""
        def fits(record):
            return kind(record) == what and all(getattr(record, name) == value for name, value in fields.items())
        deadline = time.monotonic() + PATIENCE
        while not any(fits(record) for record in backend.records):
            self.assertLess(time.monotonic(), deadline, f"no {what} in {backend.records}; {self.router.log()}")
            gateway.read(0.02)
            backend.read(0.02)
        return backend.take(what, where=fits)

    def client(self, gateway, backend, namespace="/", auth="", data=""):
        """A client that the backend has accepted."""
        held, connection = self.judged(gateway, backend, namespace, auth)
        backend.send(("ACCEPT", connection.task, data))
        gateway.connected(held)
        self.assertEqual(held.sid, connection.sid)
        return held
