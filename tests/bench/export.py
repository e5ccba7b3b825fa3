#!/usr/bin/env python3
"""What an export of a large room costs others: publishing through the router with and without one, in turns.

    HUBBUB_BUILD=build tests/bench/export.py [--messages 200000] [--rounds 5] [--seconds 5] [--rate 500]

Prints, for each turn, the latency of acknowledged publishes and the CPU time of the router's loop, and the ratios of
the medians.  One played gateway publishes to another room at a fixed rate; the export's output is thrown away.
"""
import argparse
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import EVENTS, Gateway, Router, kind  # noqa: E402

HUBBUB = pathlib.Path(os.environ.get("HUBBUB_BUILD", "build")) / "cli" / "hubbub"
TICK = os.sysconf("SC_CLK_TCK")


def cpu(pid):
    """Seconds of CPU of the process's main thread, and of all its threads."""
    def seconds(path):
        fields = pathlib.Path(path).read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK
    return seconds(f"/proc/{pid}/task/{pid}/stat"), seconds(f"/proc/{pid}/stat")


def percentile(values, part):
    return sorted(values)[int(len(values) * part)]


def publish(gateway, held, seconds, rate):
    """Latencies in ms of publishes at that rate."""
    sent, latencies = {}, []
    start = time.monotonic()
    due = start
    while (now := time.monotonic()) < start + seconds or sent:
        if now >= due and now < start + seconds:
            sent[held.start("msg", "live", [{"text": "x" * 100}])] = time.monotonic()
            due += 1 / rate
        wait = max(0, min(due - time.monotonic(), 0.05)) if now < start + seconds else 0.05
        if gateway.dealer.poll(int(wait * 1000)):
            gateway.read(1)
            now = time.monotonic()
            for record in gateway.records:
                if kind(record) == "ANSWER" and record.request in sent:
                    latencies.append((now - sent.pop(record.request)) * 1000)
            gateway.records.clear()
    return latencies


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=200000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rate", type=float, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hubbub-export-") as folder:
        pathlib.Path(folder, "conf").write_text(EVENTS)
        router = Router(folder, f"--config={folder}/conf").start()
        gateway = Gateway(router, "g1")
        gateway.go_live()
        held = gateway.connect()
        held.join("big")
        held.join("live")
        for first in range(0, options.messages, 1000):
            for at in range(first, min(first + 1000, options.messages)):
                held.start("msg", "big", [{"room": "big", "text": f"message {at} " + "x" * 100}],
                           flags=1 if at % 1000 == 999 else 0)
            gateway.answer(gateway.request)
            gateway.records.clear()
        print(f"{options.messages} messages, load {os.getloadavg()[0]:.1f}")
        results = {False: [], True: []}
        for turn in range(2 * options.rounds):
            with_export = turn % 2 == 1
            lines = 0
            before = cpu(router.process.pid)
            started = time.monotonic()
            if with_export:
                with open(os.devnull, "wb") as nothing:
                    # over and over, so that one runs all the time
                    process = subprocess.Popen(["sh", "-c", 'while :; do "$0" export --stats "$1" big; echo end >&2; done',
                                                str(HUBBUB), router.stats], stdout=nothing, stderr=subprocess.PIPE,
                                               start_new_session=True)
            latencies = publish(gateway, held, options.seconds, options.rate)
            if with_export:
                os.killpg(process.pid, signal.SIGKILL)
                lines = process.stderr.read().count(b"end")
            took = time.monotonic() - started
            after = cpu(router.process.pid)
            figures = (percentile(latencies, 0.5), percentile(latencies, 0.99), (after[0] - before[0]) / took * 100,
                       (after[1] - before[1]) / took * 100)
            results[with_export].append(figures)
            print("{:8} p50 {:6.2f} ms  p99 {:7.2f} ms  loop {:5.1f}%  router {:5.1f}%".format(
                "export" if with_export else "alone", *figures) + (f"  exports {lines}" if with_export else ""))
        median = {which: [statistics.median(column) for column in zip(*rows)] for which, rows in results.items()}
        print("ratio    p50 {:.2f}  p99 {:.2f}  loop {:.2f}  router {:.2f}".format(
            *(with_one / alone for with_one, alone in zip(median[True], median[False]))))
        gateway.close()
        router.stop()


if __name__ == "__main__":
    main()
