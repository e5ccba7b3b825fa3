"""The gateway's side of the link: one hubbub-gateway, and a router that this file plays."""
import pathlib
import sys
import tempfile
import time
import unittest

import msgpack
import zmq

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))
import programs  # noqa: E402
import raw_client  # noqa: E402

HELLO, SOCKET, HELLO_END, CONNECT, DISCONNECT = 1, 2, 4, 5, 6
WELCOME, LIVE, CONNECTED, RESYNC, LEVEL = 32, 33, 34, 44, 54
SID = "s" * 20


class GatewayLink(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.context = zmq.Context()
        self.addCleanup(self.context.destroy, 0)
        self.endpoint = f"ipc://{folder.name}/link"
        self.open()
        self.gateway = programs.Gateway(router=self.endpoint, dead="60s")
        self.addCleanup(self.gateway.close, check=False)

    def open(self):
        self.router = self.context.socket(zmq.ROUTER)
        self.router.bind(self.endpoint)

    def batch(self):
        """The next batch: its routing id, number and records."""
        self.assertTrue(self.router.poll(programs.PATIENCE * 1000), self.gateway.log_text())
        routing, batch = self.router.recv_multipart()
        _, self.link, number, _, records = msgpack.unpackb(batch)
        return routing, number, records

    def hello_records(self):
        """Waits for a new link's first batch: its routing id and its records."""
        while True:
            routing, number, records = self.batch()
            if number == 1:
                self.assertEqual(records[0][0], HELLO)
                return routing, records

    def hello(self):
        """The same: its routing id and its link."""
        return self.hello_records()[0], self.link

    def take(self, kind):
        """The next record of that kind, and the number of its batch."""
        while True:
            _, number, records = self.batch()
            for record in records:
                if record[0] == kind:
                    return record, number

    def connect(self, routing, link):
        """A client's socket: the client, and the number."""
        client = raw_client.Client(self.gateway.port, connect=False)
        self.addCleanup(client.__exit__)
        client.send_text("40")
        record, _ = self.take(CONNECT)
        self.send(routing, link, 2, 1, [CONNECTED, record[1], record[2], SID, f"anon:{SID}", 7, SID + "p" * 22, 0, ""])
        client.packet("40")
        return client, record[2]

    def assert_farewell(self, records, number):
        """The hello names the socket, which is gone behind it."""
        self.assertEqual([record[0] for record in records], [HELLO, SOCKET, HELLO_END, DISCONNECT])
        self.assertEqual(records[1][1:], [number, "/", SID, "", 7, ""])
        self.assertEqual((records[2][1], records[3][1:]), (1, [number, "client_disconnect"]))

    def test_who_leaves_while_no_router_is_there_is_named_when_there_is_one(self):
        client, number = self.connect(*self.go_live())
        self.router.close(0)
        while "starts anew" not in self.gateway.log_text():
            time.sleep(0.02)
        client.send_text("41")
        client.send_text("42[\"for nobody\"]")
        client.read_close()
        self.open()
        routing, records = self.hello_records()
        self.assert_farewell(records, number)
        # Once is enough.
        self.send(routing, self.link, 1, 1, [WELCOME, "epoch", 0, 0, 0], [LIVE, 0])
        self.send(routing, self.link, 2, 1, [RESYNC, "again"])
        self.assertEqual([record[0] for record in self.hello_records()[1]], [HELLO, HELLO_END])

    def test_who_left_in_a_batch_that_was_lost_is_named_again(self):
        routing, link = self.go_live()
        client, number = self.connect(routing, link)
        client.send_text("41")
        record, batch = self.take(DISCONNECT)
        self.assertEqual(record[1:], [number, "client_disconnect"])
        self.send(routing, link, 3, batch - 1, [RESYNC, "restarted"])
        self.assert_farewell(self.hello_records()[1], number)

    def test_who_left_in_a_batch_that_came_is_not(self):
        routing, link = self.go_live()
        client, _ = self.connect(routing, link)
        client.send_text("41")
        _, batch = self.take(DISCONNECT)
        self.send(routing, link, 3, batch, [RESYNC, "restarted"])
        self.assertEqual([record[0] for record in self.hello_records()[1]], [HELLO, HELLO_END])

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
        self.assertIn('or another gateway has the same name', self.gateway.log_text())

    def test_a_router_that_does_not_take_the_hello(self):
        routing, link = self.hello()
        self.send(routing, link, 0, 0, [RESYNC, "too many gateways"])
        self.assertNotEqual(self.hello()[1], link)
        self.assertIn('the router asks for it', self.gateway.log_text())

    def test_a_number_that_is_not_next_ends_the_link(self):
        routing, link = self.go_live()
        for link_of, number in ((0, 1), (0, 3), (1, 0)):
            with self.subTest(other_link=link_of, number=number):
                former = link
                self.send(routing, link ^ link_of, number, 1)
                routing, link = self.go_live()
                self.assertNotEqual(link, former)
                self.assertNotIn('the router asks for it', self.gateway.log_text())

    def resync(self, routing, link, number, *records):
        """Sends records and has the gateway make a new link, with a line in the log; gives the new link."""
        self.send(routing, link, number, 1, *records, [RESYNC, "again"])
        routing, link = self.hello()
        self.send(routing, link, 1, 1, [WELCOME, "epoch", 0, 0, 0], [LIVE, 0])
        return routing, link

    def test_the_router_sets_the_level_of_the_log(self):
        said = "the router asks for it"
        routing, link = self.resync(*self.go_live(), 2, [LEVEL, "error"])
        self.assertIn("level=warn", self.gateway.log_text())
        self.assertIn('message="log level changed"', self.gateway.log_text())
        self.assertNotIn(said, self.gateway.log_text())
        routing, link = self.resync(routing, link, 2, [LEVEL, "of a newer router"])
        self.assertNotIn(said, self.gateway.log_text())
        self.resync(routing, link, 2, [LEVEL, "debug"])
        self.assertIn(said, self.gateway.log_text())


if __name__ == "__main__":
    unittest.main()
