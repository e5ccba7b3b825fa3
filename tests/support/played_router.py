"""The router in a test's hands: one hubbub-gateway, and a ZeroMQ socket that speaks to it as docs/protocol.md,
section 2, says."""
import pathlib
import sys
import tempfile
import time
import types
import unittest

import msgpack
import zmq

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))
import programs  # noqa: E402

HELLO, WELCOME, LIVE = 1, 32, 33
MINOR = 1


class PlayedRouter(unittest.TestCase):
    OPTIONS = {}  # keys of the gateway
    MINOR = MINOR  # the version that it says it is
    CONFIG = ""  # the configuration of its namespaces

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        context = zmq.Context()
        self.addCleanup(context.destroy, 0)
        self.router = context.socket(zmq.ROUTER)
        endpoint = f"ipc://{folder.name}/link"
        self.router.bind(endpoint)
        self.config = config = pathlib.Path(folder.name, "hubbub.conf")
        config.write_text(self.CONFIG)
        # This router is silent while a test does something else, or the machine.
        self.gateway = programs.Gateway(router=endpoint, config=config, **{"dead": "60s", **self.OPTIONS})
        self.addCleanup(self.gateway.close, check=False)
        self.server = types.SimpleNamespace(ports=[self.gateway.port])
        self.go_live()

    def receive(self):
        if not self.router.poll(programs.PATIENCE * 1000):
            raise self.gateway.failed("nothing comes")
        routing, batch = self.router.recv_multipart()
        _, link, number, _, records = msgpack.unpackb(batch, unicode_errors="surrogateescape")
        return routing, link, number, records

    def go_live(self):
        """Takes the next link's hello; what it says in the same batch behind that waits to be read."""
        while True:
            self.routing, self.link, self.heard, records = self.receive()
            if self.heard == 1 and records and records[0][0] == HELLO:
                break
        self.incarnation = records[0][2]
        self.said = 0
        self.records = []
        self.send([WELCOME, "epoch", 0, 1, 0, self.MINOR, "test"], [LIVE, 0])

    def send(self, *records):
        self.said += 1
        self.router.send_multipart([self.routing, msgpack.packb([1, self.link, self.said, self.heard, list(records)],
                                                               unicode_errors="surrogateescape")])

    def lose_link(self):
        """What either side says from here on until the new link is live is lost."""
        self.router.send_multipart([self.routing, msgpack.packb([1, self.link, self.said + 7, self.heard, []])])
        self.go_live()

    def next(self, *wanted):
        """The next record that begins so; others are passed over."""
        end = time.monotonic() + programs.PATIENCE
        while time.monotonic() < end:
            while self.records:
                record = self.records.pop(0)
                if tuple(record[:len(wanted)]) == wanted:
                    return record
            routing, link, number, records = self.receive()
            if link == self.link:
                self.assertEqual((routing, number), (self.routing, self.heard + 1))
                self.heard = number
                self.records = records
        raise self.gateway.failed(f"no {wanted}")
