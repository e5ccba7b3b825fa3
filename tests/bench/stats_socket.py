#!/usr/bin/env python3
"""What questions at the stats socket cost the router's loop, with few rooms and with many.

    HUBBUB_BUILD=build tests/bench/stats_socket.py [--rooms 10,100000] [--seconds 3] [--questions "stats,rooms by rate 1000"]

One played gateway has the rooms, 100 a socket, one member each.  Each question is asked again and again, one at a time, by one
client; meanwhile the router itself counts how long the turns of its loop take (hubbub_turn_seconds).  Printed are the time of
an answer and how long all but one turn in a thousand took, and the longest: upper bounds of the histogram's steps, of wall
clock time.  The loop's thread runs with SCHED_FIFO where that is allowed, so that other load on the machine shows less; `nothing`
is the same time without questions.
"""
import argparse
import contextlib
import os
import pathlib
import socket
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import Gateway, Router  # noqa: E402

ROOMS_A_SOCKET = 100
PATIENCE = 120
QUESTIONS = ("nothing", "stats", "stats json", "rooms", "rooms by rate 1000 json", "room room-7", "user nobody")


class Asker:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.settimeout(PATIENCE)

    def ask(self, line):
        """The seconds until the answer was whole."""
        start, text = time.monotonic(), b""
        self.socket.sendall(line.encode() + b"\n")
        while not text.endswith(b"\n\n"):
            text += self.socket.recv(1 << 20)
        return time.monotonic() - start


def turns(router):
    """How many turns took at most so long, by the upper bound in seconds."""
    prefix = "hubbub_turn_seconds_bucket{le="
    counts, before = {}, 0
    metrics = router.statistics()["metrics"]
    bounds = sorted((float(name[len(prefix):-1].replace("+Inf", "inf")), count) for name, count in metrics.items()
                    if name.startswith(prefix))
    for bound, count in bounds:
        counts[bound] = count - before
        before = count
    return counts


def measure(router, question, seconds):
    asker, taken = Asker(router.stats), []
    before = turns(router)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if question == "nothing":
            time.sleep(0.01)
        else:
            taken.append(asker.ask(question))
    grown = {bound: count - before[bound] for bound, count in turns(router).items()}
    longest = max((bound for bound, count in grown.items() if count), default=0)
    rest = sum(grown.values()) / 1000
    for most in sorted(grown, reverse=True):
        rest -= grown[most]
        if rest < 0:
            break
    return taken, most, longest


def fill(gateway, rooms):
    sockets = [gateway.connect() for _ in range(max(1, rooms // ROOMS_A_SOCKET))]
    number = 10 ** 9
    for at, held in enumerate(sockets):
        count = min(ROOMS_A_SOCKET, rooms)
        gateway.send(*(("JOIN", number + i, held.number, f"room-{at * ROOMS_A_SOCKET + i}", 0, 0) for i in range(count)))
        number += count
        gateway.answer(number - 1)
        gateway.records.clear()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rooms", default="10,100000")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--questions", default=",".join(QUESTIONS))
    arguments = parser.parse_args()
    for rooms in map(int, arguments.rooms.split(",")):
        with tempfile.TemporaryDirectory(prefix="hubbub-bench-") as folder:
            router = Router(folder, "--dead=600000", "--heartbeat=60000", "--log-level=warn").start()
            with contextlib.suppress(PermissionError):
                os.sched_setscheduler(router.process.pid, os.SCHED_FIFO, os.sched_param(1))
            gateway = Gateway(router, "g1")
            gateway.go_live()
            fill(gateway, rooms)
            print(f"{router.statistics()['members']} rooms")
            for question in arguments.questions.split(","):
                taken, most, longest = measure(router, question, arguments.seconds)
                answers = (f"{len(taken):6} answers, median {statistics.median(taken) * 1000:7.2f} ms, longest {max(taken) * 1000:7.2f} ms"
                           if taken else " " * 54)
                print(f"  {question:24} {answers}; turns: 99.9% within {most * 1000:g} ms, all within {longest * 1000:g} ms", flush=True)
            gateway.close()
            router.stop()


if __name__ == "__main__":
    main()
