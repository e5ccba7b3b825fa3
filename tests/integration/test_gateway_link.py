"""The gateway's side of the link: one hubbub-gateway, and a router that this file plays."""
import pathlib
import sys
import tempfile
import unittest

import msgpack
import zmq

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))
import programs  # noqa: E402

HELLO, WELCOME, LIVE, RESYNC = 1, 32, 33, 44


class GatewayLink(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        context = zmq.Context()
        self.addCleanup(context.destroy, 0)
        self.router = context.socket(zmq.ROUTER)
        endpoint = f"ipc://{folder.name}/link"
        self.router.bind(endpoint)
        self.gateway = programs.Gateway(router=endpoint)
        self.addCleanup(self.gateway.close, check=False)

    def hello(self):
        """Waits for a new link's first batch: its routing id and its link."""
        while self.router.poll(programs.PATIENCE * 1000):
            routing, batch = self.router.recv_multipart()
            version, link, number, acknowledged, records = msgpack.unpackb(batch)
            if number == 1:
                self.assertEqual((version, acknowledged, records[0][0]), (1, 0, HELLO))
                return routing, link
        raise self.gateway.failed("no hello")

    def send(self, routing, link, number, acknowledged, *records):
        self.router.send_multipart([routing, msgpack.packb([1, link, number, acknowledged, list(records)])])

    def go_live(self):
        routing, link = self.hello()
        self.send(routing, link, 1, 1, [WELCOME, "epoch", 0, 0, 0], [LIVE, 0])
        return routing, link

    def test_a_router_that_lost_the_link_is_no_breach_of_the_protocol(self):
        routing, link = self.go_live()
        self.send(routing, link, 0, 0, [RESYNC, "say hello first"])
        self.assertNotEqual(self.hello()[1], link)
        self.assertIn('the router asks for it', self.gateway.log_text())
        self.assertNotIn('broke the protocol', self.gateway.log_text())

    def test_a_router_that_does_not_take_the_hello(self):
        routing, link = self.hello()
        self.send(routing, link, 0, 0, [RESYNC, "too many gateways"])
        self.assertNotEqual(self.hello()[1], link)
        self.assertIn('the router asks for it', self.gateway.log_text())

    def test_a_number_that_is_not_next_ends_the_link(self):
        for link_of, number in ((0, 1), (0, 3), (1, 0)):
            with self.subTest(other_link=link_of, number=number):
                routing, link = self.go_live()
                self.send(routing, link ^ link_of, number, 1)
                self.assertNotEqual(self.hello()[1], link)
                self.assertNotIn('the router asks for it', self.gateway.log_text())


if __name__ == "__main__":
    unittest.main()
