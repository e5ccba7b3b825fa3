"""What tests of recovery in the router share."""

import contextlib
import sqlite3

from played_gateway import RouterTest


def said(replayed):
    """What the messages say, wherever they say it."""
    return [event[1]["text"] for event in replayed]


class RecoveryTest(RouterTest):
    def recoveries(self, result):
        return self.router.metric(f"hubbub_recoveries_total{{result={result}}}")

    def offset(self, pos):
        return f"{self.gateways[0].epoch}.{pos}"

    def head(self):
        return self.router.statistics()["journal"]["head"]

    def sql(self, text):
        with contextlib.closing(sqlite3.connect(f"{self.router.data}/journal.sqlite")) as database:
            rows = database.execute(text).fetchall()
            database.commit()
            return rows

    def restart(self):
        """The router is killed and started again; no gateway has said hello yet."""
        self.router.kill()
        self.router.start()

    def went_on(self, held, former):
        self.assertEqual((held.recovered, held.sid, held.pid, held.sender, held.generation),
                         (1, former.sid, former.pid, former.sender, former.generation + 1))

    def is_fresh(self, held, former, result):
        self.assertEqual(held.recovered, 0)
        self.assertNotEqual(held.sid, former.sid)
        self.assertNotEqual(held.pid[20:], former.pid[20:])
        self.assertEqual((held.replayed, held.rooms), ([], {}))
        self.assertEqual(self.recoveries(result), 1)

    def pair(self, *rooms):
        """Alice on the first gateway, and bob on the second, in these rooms."""
        one, two = self.gateway("g1"), self.gateway("g2")
        alice, bob = one.connect(), two.connect()
        for room in rooms:
            alice.join(room)
            bob.join(room)
        return one, two, alice, bob
