"""A router process, and gateways that a test plays over ZeroMQ: docs/protocol.md, section 2.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import collections
import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import unittest

import msgpack
import zmq

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROUTER = pathlib.Path(os.environ.get("HUBBUB_BUILD", ROOT / "build")) / "router" / "hubbub-router"
PATIENCE = 30  # seconds until an awaited event counts as missing

RECORDS = {
    "HELLO": (1, "name incarnation epoch pos rules_digest program_version minor"),
    "SOCKET": (2, "socket namespace sid sender generation grant"),
    "MEMBERS": (3, "namespace room members"),
    "HELLO_END": (4, "sockets"),
    "CONNECT": (5, "request socket namespace auth address grant"),
    "DISCONNECT": (6, "socket reason"),
    "JOIN": (7, "request socket room history watch"),
    "LEAVE": (8, "request socket room"),
    "HISTORY": (9, "request socket room before has_after after limit"),
    "PRESENCE": (10, "request socket room"),
    "EVENT": (11, "request socket flags room event arguments id attachments"),
    "STATISTICS": (12, "counters"),
    "BYE": (13, "reason"),
    "PASS": (14, "to number kind sid body"),
    "TAKE": (15, "incarnation number sockets"),
    "TOLD": (16, "ask handshake"),
    "RESPONSE": (17, "request socket ack arguments attachments"),
    "PUBLISH": (18, "request namespace rooms exceptions class_ flags id event arguments attachments"),
    "LOOK": (19, "request namespace room history before has_after after limit"),
    "TOKEN": (20, "request socket grant"),
    "WELCOME": (32, "epoch head resume rules_digest minor program_version"),
    "LIVE": (33, "pos"),
    "CONNECTED": (34, "request socket sid sender generation pid recovered grant"),
    "REFUSED": (35, "request socket error"),
    "JOINED": (36, "request socket room joined_pos watch answer attachments"),
    "LEFT": (37, "request socket room answer"),
    "ANSWER": (38, "request answer attachments"),
    "DONE": (39, "requests"),
    "DELIVER": (40, "pos namespace room flags except_socket payload attachments"),
    "EMIT": (41, "socket flags payload attachments"),
    "CLOSE": (42, "socket reason final"),
    "POSITION": (43, "pos"),
    "RESYNC": (44, "reason"),
    "PASSED": (45, "incarnation number kind sid body"),
    "GIVEN": (46, "to number sockets"),
    "TAKEN": (47, "number ok"),
    "GONE": (48, "incarnation"),
    "BACK": (49, "incarnation"),
    "ASK": (50, "ask socket"),
    "CAST": (51, "pos namespace room flags exceptions ack payload attachments"),
    "POSE": (52, "socket flags ack payload attachments"),
    "DRAIN": (53, "on seconds"),
    "LEVEL": (54, "level"),
    "SERVE": (64, "name incarnation namespaces program_version minor"),
    "HOLD": (65, "sid"),
    "SERVE_END": (66, "sockets"),
    "ACCEPT": (67, "task data"),
    "REJECT": (68, "task error"),
    "HANDLED": (69, "task answered arguments attachments"),
    "VERDICT": (70, "task verdict code message arguments attachments"),
    "SEND": (71, "number namespace rooms exceptions class_ flags id event arguments attachments"),
    "QUESTION": (72, "number namespace rooms exceptions timeout event arguments attachments"),
    "MOVE": (73, "number namespace rooms exceptions join leave"),
    "EXPEL": (74, "number namespace rooms exceptions close"),
    "STORE": (75, "number sid data"),
    "FIND": (76, "number namespace rooms exceptions"),
    "LEAVING": (77, "reason"),
    "SERVING": (96, "epoch heartbeat dead max_event minor program_version"),
    "CONNECTION": (97, "task connection namespace sid sender rooms data handshake"),
    "DISCONNECTION": (98, "sid reason rooms"),
    "TAKEN_AWAY": (99, "sid"),
    "CALL": (100, "task sid flags event arguments attachments"),
    "JUDGE": (101, "task sid flags room event arguments attachments"),
    "ENTERED": (102, "sid room"),
    "EXITED": (103, "sid room"),
    "OUTCOME": (104, "number error message id seqs at"),
    "ASKED": (105, "number sids"),
    "REPLY": (106, "number sid arguments attachments"),
    "FOUND": (107, "number sid sender rooms data address"),
    "FOUND_END": (108, "number sockets"),
    "CUT": (109, "reason"),
}
TYPES = {number: collections.namedtuple(name, fields, defaults=[[]] if fields.endswith(" attachments") else [])
         for name, (number, fields) in RECORDS.items()}
NUMBERS = {name: number for name, (number, _) in RECORDS.items()}


def encoded(kind, fields):
    """A record; who has no token need not say so."""
    number, names = RECORDS[kind]
    return [number, *fields, *([""] if names.split()[len(fields):] == ["grant"] else [])]


MINOR = 1  # of this table
ACK = 1
VOLATILE, REPLAY, NAMESPACE, WATCHERS, META, OFFSET = 1, 2, 4, 8, 16, 32

EVENTS = """
events = (
  { name = "msg"; room = "$.room"; deliver = "room"; archive = true; dedup = "$.id"; meta = true; },
  { name = "typing"; room = "$.room"; deliver = "others"; volatile = true; meta = true; },
  { name = "plain"; room = "$.room"; deliver = "room"; archive = true; meta = false; },
  { name = "logged"; room = "$.room"; deliver = "room"; meta = true; },
  { name = "others"; room = "$.room"; deliver = "others"; archive = true; meta = false; },
  { name = "self"; room = "$.room"; deliver = "self"; archive = true; meta = true; },
  { name = "all"; deliver = "namespace"; meta = false; }
);
"""


def kind(record):
    return type(record).__name__


def delivered(record):
    """Without META and OFFSET, which are about the payload and must be true of it; tests look at the others."""
    if kind(record) not in ("DELIVER", "EMIT", "CAST", "POSE"):
        return record
    *rest, last = json.loads(record.payload)
    offset = isinstance(last, str) and re.fullmatch(r"[\w-]{8}\.\d+", last) is not None
    assert bool(record.flags & OFFSET) == offset, record
    meta = (rest if offset else [*rest, last])[-1]
    is_meta = isinstance(meta, dict) and {"room", "at"} <= meta.keys()
    assert bool(record.flags & META) == is_meta, record
    return record._replace(flags=record.flags & ~(META | OFFSET))


def number():
    return int.from_bytes(os.urandom(6), "big")


class Router:
    """A router process on a data folder of its own."""

    def __init__(self, folder, *options, environment=None):
        self.folder, self.options, self.environment = folder, options, environment or {}
        self.endpoint = f"ipc://{folder}/link"
        self.data, self.stats = f"{folder}/data", f"{folder}/stats"
        self.process = None

    def command(self, *options):
        return [ROUTER, f"--listen={self.endpoint}", f"--data={self.data}", f"--stats={self.stats}", *self.options,
                *options]

    def start(self):
        read, write = os.pipe()
        with open(f"{self.folder}/log", "ab") as log:
            self.process = subprocess.Popen(self.command(), pass_fds=[write], stderr=log,
                                            env=dict(os.environ, HUBBUB_READY_FD=str(write), **self.environment))
        os.close(write)
        with os.fdopen(read) as ready:
            line = ready.readline()
        if line != "ready\n":
            raise AssertionError(f"not ready, exit code {self.process.wait(PATIENCE)}: {self.log()}")
        return self

    def log(self):
        return pathlib.Path(self.folder, "log").read_text(errors="replace")

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)

    def stop(self):
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def ask(self, *lines):
        """The answers to lines on the stats socket."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.stats)
            client.settimeout(PATIENCE)
            text = b""
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who is too many is not read from
                client.sendall("".join(line + "\n" for line in lines).encode())
                client.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while part := client.recv(65536):
                    text += part
        answers, lines = [], []
        for line in text.decode().split("\n")[:-1]:
            if line:
                lines.append(line)
            else:
                answers.append("\n".join(lines))
                lines = []
        return answers

    def statistics(self):
        return json.loads(self.ask("stats json")[0])

    def metric(self, name):
        return self.statistics()["metrics"].get(name, 0)

    def rows(self):
        with contextlib.closing(sqlite3.connect(f"{self.data}/journal.sqlite")) as database:
            database.row_factory = sqlite3.Row
            return list(database.execute("SELECT * FROM message ORDER BY pos"))


class Gateway:
    """One side of a link, at the level of records."""

    minor = MINOR  # the version that it says it is

    def __init__(self, router, name, incarnation=None):
        self.router, self.name = router, name
        self.incarnation = incarnation or number()
        self.context = zmq.Context.instance()
        self.dealer = None
        self.request, self.sockets = 0, 0
        self.epoch, self.pos = "", 0
        self.held = {}  # number -> Socket
        self.records = []  # received and not yet taken
        self.batches = []  # all record kinds of each batch received
        self.numbers = []  # of the batches received
        self.acknowledging = True

    def open(self):
        self.close()
        self.dealer = self.context.socket(zmq.DEALER)
        self.dealer.setsockopt(zmq.ROUTING_ID, b"g" + os.urandom(8))
        self.dealer.setsockopt(zmq.LINGER, 0)
        self.dealer.setsockopt(zmq.RECONNECT_IVL, 20)
        self.dealer.connect(self.router.endpoint)
        self.link, self.sent, self.received = number(), 0, 0
        self.records, self.batches, self.numbers = [], [], []

    def close(self):
        if self.dealer:
            self.dealer.close(0)
            self.dealer = None

    def send(self, *records):
        self.sent += 1
        self.send_raw(msgpack.packb([1, self.link, self.sent, self.received if self.acknowledging else 0,
                                     [encoded(kind, fields) for kind, *fields in records]]))

    def send_raw(self, data):
        self.dealer.send(data)

    def hello_records(self):
        rooms = collections.defaultdict(list)
        for held in self.held.values():
            for room, (joined_pos, watch) in held.rooms.items():
                rooms[held.namespace, room] += [held.number, joined_pos, watch]
        return [("HELLO", self.name, self.incarnation, self.epoch, self.pos, 0, "test", self.minor),
                *(("SOCKET", held.number, held.namespace, held.sid, held.sender, held.generation) for held in self.held.values()),
                *(("MEMBERS", namespace, room, members) for (namespace, room), members in rooms.items()),
                ("HELLO_END", len(self.held))]

    def go_live(self):
        """A new link, up to LIVE; gives WELCOME."""
        self.open()
        self.send(*self.hello_records())
        welcome = self.take("WELCOME")
        self.epoch = welcome.epoch
        self.before_live = []
        while kind(record := self.next()) != "LIVE":
            self.before_live.append(record)
        return welcome

    def read(self, patience=PATIENCE):
        """Waits for a batch.  False when none came."""
        if not self.dealer.poll(patience * 1000):
            return False
        version, link, count, _, records = msgpack.unpackb(self.dealer.recv())
        records = [delivered(TYPES[record[0]](*record[1:])) for record in records]
        if count == 0:  # the router does not know the link
            assert [kind(record) for record in records] == ["RESYNC"], records
        else:
            assert (version, link, count) == (1, self.link, self.received + 1), (link, count, self.received)
            self.received = count
        self.numbers.append(count)
        for record in records:
            if kind(record) in ("DELIVER", "CAST", "POSITION") and not getattr(record, "flags", 0) & VOLATILE:
                assert record.pos >= self.pos or kind(record) != "POSITION", (record, self.pos)
                self.pos = max(self.pos, record.pos)
            elif kind(record) == "LIVE":  # deliveries may stand behind it already
                self.pos = record.pos
        self.records += records
        if records:
            self.batches.append([kind(record) for record in records])
        return True

    def next(self):
        """The oldest record not yet taken."""
        deadline = time.monotonic() + PATIENCE
        while not self.records:
            assert time.monotonic() < deadline and self.read(), f"nothing came; {self.router.log()}"
        return self.records.pop(0)

    def take(self, *kinds, where=lambda record: True):
        """The oldest record of one of these kinds; others stay."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for at, record in enumerate(self.records):
                if kind(record) in kinds and where(record):
                    return self.records.pop(at)
            assert time.monotonic() < deadline and self.read(), f"no {kinds} in {shown(self.records)}; {self.router.log()}"

    def ask(self, name, *fields):
        self.request += 1
        self.send((name, self.request, *fields))
        return self.request

    def answer(self, request):
        """The acknowledgement that ends this request, parsed."""
        return json.loads(self.take("ANSWER", "JOINED", "LEFT",
                                    where=lambda record: record.request == request).answer)

    def connect(self, namespace="/", auth=""):
        self.sockets += 1
        held = Socket(self, self.sockets, namespace)
        request = self.ask("CONNECT", held.number, namespace, auth, "127.0.0.1")
        record = self.take("CONNECTED", where=lambda record: record.request == request)
        held.sid, held.sender = record.sid, record.sender
        held.generation, held.pid, held.recovered = record.generation, record.pid, record.recovered
        self.held[held.number] = held
        return held

    def come_back(self, pid, offset=None, namespace="/", **auth):
        """Connects with a pid; what came before CONNECTED is the socket's: replayed, and rooms."""
        held = self.connect(namespace, json.dumps(dict(auth, pid=pid, **({"offset": offset} if offset else {}))))
        held.replayed = []
        for record in list(self.records):
            if getattr(record, "socket", 0) != held.number:
                continue
            if kind(record) == "EMIT" and record.flags & REPLAY:
                held.replayed.append(json.loads(record.payload))
            elif kind(record) == "JOINED" and record.request == 0:
                held.rooms[record.room] = (record.joined_pos, record.watch)
            else:
                continue
            self.records.remove(record)
        return held

    def lose(self, held, reason="transport close"):
        self.send(("DISCONNECT", held.number, reason))
        del self.held[held.number]
        self.settle()

    def settle(self):
        """Everything that the router released up to now has come."""
        request = self.ask("JOIN", 0, "x", 0, 0)
        self.answer(request)


class Socket:
    def __init__(self, gateway, socket_number, namespace):
        self.gateway, self.number, self.namespace = gateway, socket_number, namespace
        self.rooms = {}
        self.sender = ""
        self.generation, self.pid, self.recovered = 1, "", 0

    def ask(self, name, *fields):
        return self.gateway.ask(name, self.number, *fields)

    def answer(self, name, *fields):
        return self.gateway.answer(self.ask(name, *fields))

    def join(self, room, history=0, watch=0):
        request = self.ask("JOIN", room, history, watch)
        record = self.gateway.take("JOINED", where=lambda record: record.request == request)
        self.rooms[room] = (record.joined_pos, record.watch)
        return json.loads(record.answer)

    def start(self, event, room, arguments, client_id="", flags=ACK, attachments=()):
        return self.ask("EVENT", flags, room, event, json.dumps(arguments, separators=(",", ":"))[1:-1], client_id,
                        *([list(attachments)] if attachments else []))

    def publish(self, event, room, *arguments, client_id="", attachments=()):
        return self.gateway.answer(self.start(event, room, arguments, client_id, attachments=attachments))

    def say(self, room, text, client_id=""):
        return self.publish("msg", room, {"room": room, "text": text}, client_id=client_id)

    def history(self, room, before=0, after=None, limit=0):
        return self.answer("HISTORY", room, before, int(after is not None), after or 0, limit)


def texts(messages):
    return [message["args"][0]["text"] for message in messages]


def payloads(records):
    return [json.loads(record.payload) for record in records if kind(record) in ("DELIVER", "CAST")]


def shown(records):
    text = str(records)
    return text if len(text) < 2000 else text[:1000] + " ... " + text[-1000:]


class RouterTest(unittest.TestCase):
    options = ()
    dead = "60s"  # gateways that a test plays are silent while it does something else, or the machine; None: the default
    configuration = EVENTS

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="hubbub-router-")
        self.addCleanup(shutil.rmtree, self.folder)
        path = pathlib.Path(self.folder, "conf")
        path.write_text(self.configuration)
        dead = (f"--dead={self.dead}",) if self.dead else ()
        self.router = Router(self.folder, f"--config={path}", *dead, *self.options)
        self.gateways = []
        self.router.start()
        self.addCleanup(self.end)

    def end(self):
        for gateway in self.gateways:
            gateway.close()
        if self.router.process.poll() is None:
            self.assertEqual(self.router.stop(), 0, self.router.log())

    def gateway(self, name="g1", live=True, make=Gateway):
        gateway = make(self.router, name)
        self.gateways.append(gateway)
        if live:
            gateway.go_live()
        return gateway

    def refused(self, answer, code):
        self.assertEqual((answer["ok"], answer["error"]["code"]), (False, code), answer)
        self.assertTrue(answer["error"]["message"])

    def until(self, condition, what):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"{what}; {self.router.log()}")
            time.sleep(0.02)
