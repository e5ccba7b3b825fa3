#!/usr/bin/env python3
"""`hubbub` alone: the supervisor with programs that only pretend to be router and gateway.

The program under test is copied into a folder laid out like a build tree, where the fakes stand beside it.
HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import contextlib
import fcntl
import os
import pathlib
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "conformance"))
from programs import free_port  # noqa: E402

HUBBUB = pathlib.Path(os.environ.get("HUBBUB_BUILD", ROOT / "build")) / "cli" / "hubbub"
PATIENCE = 30  # seconds until an awaited event counts as missing

# Says in the log what happens to it, and behaves as the files in the control folder say:
# NAME.check: exit code of --check-config; NAME.fail: exit with this code before being ready;
# NAME.deaf: ignore SIGTERM; NAME.slow: not ready as long as the file is there.
FAKE = r"""#!/usr/bin/env python3
import os, pathlib, signal, sys, time
control = pathlib.Path(os.environ["FAKE_CONTROL"])
options = dict(a[2:].split("=", 1) for a in sys.argv[1:] if "=" in a)
program = os.path.basename(sys.argv[0])
name = options.get("name", program)

def log(text):
    fd = os.open(control / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, (name + " " + text + "\n").encode())
    os.close(fd)

def setting(kind, who=name):
    path = control / (who + "." + kind)
    return path.read_text() if path.exists() else None

if "--check-config" in sys.argv:
    log("check")
    code = setting("check", program)
    if code:
        print("main.conf:3: wrong", file=sys.stderr)
    sys.exit(int(code or 0))

signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
log("start %d group %d args %s" % (os.getpid(), os.getpgid(0), " ".join(sys.argv[1:])))
if setting("fail"):
    sys.exit(int(setting("fail")))
while setting("slow") is not None and signal.SIGTERM not in signal.sigpending():
    time.sleep(0.01)
fd = int(os.environ["HUBBUB_READY_FD"])
os.write(fd, b"ready\n")
os.close(fd)
while True:
    number = signal.sigwait(signals)
    log("reload" if number == signal.SIGHUP else "signal %d" % number)
    if number == signal.SIGINT or number == signal.SIGTERM and setting("deaf") is None:
        os._exit(0)
"""


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError("timed out waiting for " + what)


def alive(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


class Stream:
    """Lines of a pipe, which a thread reads as they come."""

    def __init__(self, pipe):
        self.seen = []
        self.queue = queue.Queue()
        self.thread = threading.Thread(target=self.read, args=(pipe,), daemon=True)
        self.thread.start()

    def read(self, pipe):
        with pipe:
            for line in pipe:
                self.queue.put(line.decode().rstrip("\n"))
        self.queue.put(None)

    def await_line(self, matches):
        """The next line of which matches(line) is true."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                line = self.queue.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError("the awaited line did not come; seen: %r" % self.seen)
            self.seen.append(line)
            if matches(line):
                return line

    def rest(self):
        """All lines so far, once the pipe is closed."""
        while (line := self.queue.get(timeout=PATIENCE)) is not None:
            self.seen.append(line)
        return self.seen


class HubbubTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hubbub-test-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.control = self.folder / "control"
        self.control.mkdir()
        (self.folder / "cli").mkdir()
        self.hubbub = self.folder / "cli" / "hubbub"
        shutil.copy(HUBBUB, self.hubbub)
        for part in ("router", "gateway"):
            (self.folder / part).mkdir()
            fake = self.folder / part / ("hubbub-" + part)
            fake.write_text(FAKE)
            fake.chmod(0o700)
        self.data = self.folder / "data"
        self.port = free_port()
        self.started = []
        self.addCleanup(self.end_all)

    def end_all(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.err.thread.join(PATIENCE)  # its children have the pipe, too, those also that have said nothing yet
        for line in self.log():
            words = line.split()
            if words[1] == "start":
                wait_for(lambda: not alive(int(words[2])), line + " to end")

    def start(self, *arguments, hangup=signal.SIG_DFL):
        # Whoever runs the tests may have SIGHUP ignored (nohup), and that would be inherited.
        process = subprocess.Popen(
            [self.hubbub, *arguments], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=dict(os.environ, FAKE_CONTROL=str(self.control)), start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, hangup))
        process.out = Stream(process.stdout)
        process.err = Stream(process.stderr)
        self.started.append(process)
        return process

    def start_stack(self, *arguments, **options):
        return self.start("run", "--port", str(self.port), "--data", "data", *arguments, **options)

    def ready_stack(self, *arguments):
        process = self.start_stack(*arguments)
        process.out.await_line(lambda line: line == "ready")
        return process

    def finish(self, process):
        """Exit code, standard output and standard error of a process that ends by itself."""
        code = process.wait(PATIENCE)
        return code, process.out.rest(), process.err.rest()

    def command(self, *arguments):
        return self.finish(self.start(*arguments))

    def log(self):
        path = self.control / "log"
        return path.read_text().splitlines() if path.exists() else []

    def set(self, name, value):
        (self.control / name).write_text(value)

    def pid_of(self, process, name):
        """The last process id that was printed for that name."""
        lines = [line for line in process.out.seen if line.startswith(name + " pid=")]
        return int(lines[-1].split()[1].partition("=")[2])


class Commands(HubbubTest):
    def test_help_lists_the_commands_and_exit_codes(self):
        code, out, _ = self.command("--help")
        self.assertEqual(code, 0)
        text = "\n".join(out)
        for word in ("run", "stats", "rooms", "gateways", "backends", "64\t", "70\t", "78\t"):
            self.assertIn(word, text)

    def test_each_command_has_its_own_help(self):
        for name in ("run", "stats", "rooms", "gateways", "backends"):
            code, out, _ = self.command(name, "--help")
            self.assertEqual(code, 0)
            self.assertIn("Usage: hubbub %s [options]" % name, "\n".join(out))
            self.assertIn("  --data PATH", out)

    def test_help_is_a_command_as_at_the_stats_socket(self):
        for words, option in ((["help"], ["--help"]), (["help", "rooms"], ["rooms", "--help"]), (["help", "--help"], ["--help"]),
                              (["help", "dance"], ["dance"])):
            self.assertEqual(self.command(*words), self.command(*option), words)
        self.assertEqual(self.command("help")[0], 0)

    def test_version(self):
        code, out, _ = self.command("--version")
        self.assertEqual(code, 0)
        self.assertRegex(out[0], r"^hubbub \d+\.\d+\.\d+$")

    def test_usage_errors_are_one_line_and_64(self):
        for arguments in ([], ["dance"], ["run", "--prot", "1"], ["run", "--port", "x"], ["run", "now"],
                          ["gateways", "json"], ["room"]):
            code, out, err = self.command(*arguments)
            self.assertEqual((code, out, len(err)), (64, [], 1), arguments)

    def test_bad_lists_of_ports_are_refused(self):
        for arguments in (["--ports", "1,,2"], ["--ports", "0"], ["--ports", "3000,"], ["--ports", "x"], ["--ports", "3000,3000"],
                          ["--ports", "3000,3001", "--gateways", "3"]):
            code, _, err = self.command("run", *arguments)
            self.assertEqual((code, len(err)), (78, 1), arguments)
        self.assertFalse(self.data.exists())


class Stats(HubbubTest):
    def serve(self, answer):
        """A stats socket for one connection, which answers every line but the last (quit) with this."""
        self.data.mkdir()
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(self.data / "stats.sock"))
        listener.listen()
        self.asked = asked = queue.Queue()

        def run():
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as lines:
                asked.put(lines.readline().decode())
                with contextlib.suppress(BrokenPipeError):  # gone as soon as it has its answer
                    for piece in answer:
                        connection.sendall(piece)
                asked.put(lines.readline().decode())

        threading.Thread(target=run, daemon=True).start()

    def test_prints_the_answer_without_its_end(self):
        self.serve([b"connections 5\n", b"rooms", b" 2\n", b"\n", b"what comes later is not ours\n"])
        self.assertEqual(self.command("stats", "--data", "data"), (0, ["connections 5", "rooms 2"], []))
        self.assertEqual([self.asked.get(timeout=PATIENCE) for _ in range(2)], ["stats\n", "quit\n"])

    def test_json(self):
        self.serve([b'{"connections":5}\n\n'])
        self.assertEqual(self.command("stats", "--stats", "data/stats.sock", "json"),
                         (0, ['{"connections":5}'], []))
        self.assertEqual(self.asked.get(timeout=PATIENCE), "stats json\n")

    def test_rooms_and_gateways_ask_their_own_question(self):
        for name in ("rooms", "gateways", "backends"):
            self.serve([b"\n"])
            self.assertEqual(self.command(name, "--data", "data"), (0, [], []))
            self.assertEqual(self.asked.get(timeout=PATIENCE), name + "\n")
            shutil.rmtree(self.data)

    def test_the_folder_of_the_configuration_is_found(self):
        self.serve([b"\n"])
        (self.folder / "main.conf").write_text('run = { data = "data"; port = 5; };')
        self.assertEqual(self.command("stats", "--config", "main.conf"), (0, [], []))

    def test_a_file_for_programs_by_themselves_names_the_folder_too(self):
        for text, place in (('router = { data = "data"; };', "data"), ('router = { data = "data"; }; run = { };', "./data"),
                            ('router = { data = "data"; stats = "x.sock"; };', "x.sock")):
            (self.folder / "main.conf").write_text(text)
            code, _, err = self.command("stats", "--config", "main.conf")
            self.assertEqual((code, len(err)), (70, 1))
            self.assertIn("nobody answers at %s: " % (place if place.endswith(".sock") else place + "/stats.sock"), err[0])

    def test_a_router_that_hangs_is_said_to(self):
        answered = threading.Event()
        self.addCleanup(answered.set)
        self.serve(b"" for _ in range(1) if answered.wait(PATIENCE))
        code, out, err = self.command("stats", "--data", "data")
        self.assertEqual((code, out, len(err)), (70, [], 1))
        self.assertIn("no answer within 10 s: the router hangs or is overloaded", err[0])

    def test_a_folder_of_another_user_is_no_router_that_is_away(self):
        self.data.mkdir()
        self.data.chmod(0)
        self.addCleanup(self.data.chmod, 0o700)
        nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        self.folder.chmod(0o755)
        self.hubbub.chmod(0o755)
        self.hubbub.parent.chmod(0o755)
        done = subprocess.run([self.hubbub, "stats", "--data", self.data], capture_output=True, text=True, timeout=PATIENCE, **nobody)
        self.assertEqual(done.returncode, 70)
        self.assertRegex(done.stderr, "Permission denied \\(ask as the user that hubbub runs as, or with sudo\\)\n$")
        self.assertNotIn("nobody answers", done.stderr)

    def test_nobody_there_is_one_line_and_70(self):
        code, out, err = self.command("stats", "--data", "data")
        self.assertEqual((code, out, len(err)), (70, [], 1))
        self.assertIn("nobody answers at data/stats.sock", err[0])

    def test_half_an_answer_is_a_failure(self):
        self.serve([b"connections 5\n"])
        code, out, err = self.command("stats", "--data", "data")
        self.assertEqual((code, out, len(err)), (70, ["connections 5"], 1))


class Run(HubbubTest):
    def test_starts_router_then_gateways_and_says_so(self):
        process = self.ready_stack()
        process.out.await_line(lambda line: line == "stop with Ctrl-C")
        seen = process.out.seen
        pids = [self.pid_of(process, name) for name in ("router", "gateway-1", "gateway-2")]
        data = os.path.realpath(self.data)
        self.assertEqual(seen, [
            "router pid=%d journal=%s/journal.sqlite" % (pids[0], data),
            "gateway-1 pid=%d port=%d" % (pids[1], self.port),
            "gateway-2 pid=%d port=%d" % (pids[2], self.port),
            "ready",
            "open http://localhost:%d/" % self.port,
            "stats %s/stats.sock" % data,
            "stop with Ctrl-C",
        ])
        starts = sorted(line for line in self.log() if " start " in line)
        link = "ipc://%s/router.ipc" % data
        gateway = "--port=%d --host=localhost --reuse-port=true --router=%s" % (self.port, link)
        self.assertEqual(starts, sorted([
            "router start %d group %d args --name=router --listen=%s --data=%s --stats=%s/stats.sock"
            % (pids[0], pids[0], link, data, data),
            "gateway-1 start %d group %d args --name=gateway-1 %s" % (pids[1], pids[1], gateway),
            "gateway-2 start %d group %d args --name=gateway-2 %s" % (pids[2], pids[2], gateway),
        ]))
        self.assertEqual(self.data.stat().st_mode & 0o777, 0o700)

    def test_ports_and_host_and_stats(self):
        ports = [self.port, free_port()]
        process = self.start("run", "--ports", "%d,%d" % tuple(ports), "--host", "127.0.0.1", "--data", "data",
                             "--stats", "my.sock")
        process.out.await_line(lambda line: line == "stop with Ctrl-C")
        self.assertIn("open http://127.0.0.1:%d/" % ports[1], process.out.seen)
        self.assertIn("stats %s/my.sock" % os.path.realpath(self.folder), process.out.seen)
        text = "\n".join(self.log())
        self.assertIn("--port=%d --host=127.0.0.1 --reuse-port=false" % ports[0], text)
        self.assertIn("--port=%d --host=127.0.0.1 --reuse-port=false" % ports[1], text)

    def stop_and_check_order(self, number, group):
        process = self.ready_stack()
        if group:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        code, _, err = self.finish(process)
        self.assertEqual((code, err), (0, []))
        ends = [line for line in self.log() if " signal " in line]
        self.assertEqual(sorted(ends[:2]), ["gateway-1 signal 15", "gateway-2 signal 15"])
        self.assertEqual(ends[2:], ["router signal 15"])

    def test_sigterm_ends_gateways_then_router(self):
        self.stop_and_check_order(signal.SIGTERM, False)

    def test_ctrl_c_reaches_the_supervisor_only(self):
        self.stop_and_check_order(signal.SIGINT, True)

    def test_a_closed_terminal_ends_it(self):
        master, slave = os.openpty()
        process = subprocess.Popen(
            [self.hubbub, "run", "--port", str(self.port), "--data", "data"], cwd=self.folder, stdin=slave,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ, FAKE_CONTROL=str(self.control)),
            start_new_session=True, preexec_fn=lambda: (fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                                                        signal.signal(signal.SIGHUP, signal.SIG_DFL)))
        os.close(slave)
        process.out, process.err = Stream(process.stdout), Stream(process.stderr)
        self.started.append(process)
        process.out.await_line(lambda line: line == "ready")
        process.send_signal(signal.SIGHUP)  # while the terminal is there: a reload
        wait_for(lambda: sorted(line for line in self.log() if "reload" in line) ==
                 ["gateway-1 reload", "gateway-2 reload", "router reload"], "the reload")
        os.close(master)
        self.assertEqual(self.finish(process)[0], 0)
        self.assertEqual(len([line for line in self.log() if " signal 15" in line]), 3)

    def test_sighup_has_all_read_their_configuration_again(self):
        process = self.ready_stack()
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: len([line for line in self.log() if "reload" in line]) == 3, "the reload")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(self.finish(process)[0], 0)

    def test_who_starts_when_sighup_comes_reads_its_configuration_again_when_it_is_ready(self):
        process = self.ready_stack()
        self.set("gateway-1.slow", "")
        os.kill(self.pid_of(process, "gateway-1"), signal.SIGKILL)
        process.out.await_line(lambda line: line.startswith("gateway-1 pid="))
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: sorted(line for line in self.log() if "reload" in line) == ["gateway-2 reload", "router reload"],
                 "the reload of the others")
        (self.control / "gateway-1.slow").unlink()
        wait_for(lambda: "gateway-1 reload" in self.log(), "its reload")

    def test_nohup_lets_it_outlive_its_terminal(self):
        process = self.start_stack(hangup=signal.SIG_IGN)
        process.out.await_line(lambda line: line == "ready")
        process.send_signal(signal.SIGHUP)
        os.kill(self.pid_of(process, "gateway-1"), signal.SIGKILL)
        process.err.await_line(lambda line: line.startswith("hubbub: gateway-1"))
        process.out.await_line(lambda line: line.startswith("gateway-1 pid="))
        process.send_signal(signal.SIGTERM)
        self.assertEqual(self.finish(process)[0], 0)

    def test_a_second_signal_kills_what_does_not_end(self):
        self.set("gateway-1.deaf", "")
        process = self.ready_stack()
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: "gateway-1 signal 15" in self.log(), "the deaf gateway to be told")
        process.send_signal(signal.SIGTERM)
        code, _, err = self.finish(process)
        self.assertEqual((code, err), (0, ["hubbub: asked again; killing what still runs"]))

    def test_a_killed_child_comes_back_soon(self):
        process = self.ready_stack()
        for name, info in (("gateway-1", "port=%d" % self.port), ("router", "journal=")):
            old = self.pid_of(process, name)
            # Younger than a second it would count as a failed start; both ways begin with 100 ms.
            os.kill(old, signal.SIGKILL)
            line = process.err.await_line(lambda line: line.startswith("hubbub: " + name))
            self.assertEqual(line, "hubbub: %s (pid %d) was killed by signal 9 (Killed); "
                                   "starting it again in 100 ms" % (name, old))
            line = process.out.await_line(lambda line: line.startswith(name + " pid="))
            self.assertIn(info, line)
            self.assertTrue(line.endswith(" restarted=1"), line)
            self.assertNotEqual(self.pid_of(process, name), old)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(self.finish(process)[0], 0)
        self.assertEqual(process.out.seen.count("ready"), 1)

    def test_a_child_that_dies_before_it_is_ready_waits_longer_each_time(self):
        self.set("gateway-1.fail", "1")
        process = self.start_stack()
        for delay in (100, 200, 400, 800):
            line = process.err.await_line(lambda line: "gateway-1" in line)
            self.assertRegex(line, r"exited with code 1; starting it again in %d ms$" % delay)
        self.assertNotIn("ready", process.out.seen)
        (self.control / "gateway-1.fail").unlink()
        process.out.await_line(lambda line: line == "ready")

    def test_a_stop_while_a_child_waits_for_its_restart(self):
        self.set("gateway-1.fail", "1")
        process = self.start_stack()
        process.err.await_line(lambda line: line.endswith("400 ms"))
        process.send_signal(signal.SIGTERM)
        self.assertEqual(self.finish(process)[0], 0)

    def test_a_child_that_finds_its_configuration_wrong_ends_the_stack(self):
        for code in (64, 78):
            self.set("gateway-2.fail", str(code))
            got, out, err = self.finish(self.start_stack())
            self.assertEqual(got, code)
            self.assertNotIn("ready", out)
            self.assertRegex(err[-1], r"gateway-2 \(pid \d+\) exited with code %d; stopping everything" % code)

    def test_a_failure_before_the_stack_served_ends_it(self):
        self.set("router.fail", "70")
        code, out, err = self.finish(self.start_stack())
        self.assertEqual((code, len(err)), (70, 1))
        self.assertEqual(len(out), 1)  # no gateway was started

    def test_a_failure_after_that_does_not(self):
        process = self.ready_stack()
        self.set("gateway-1.fail", "70")
        os.kill(self.pid_of(process, "gateway-1"), signal.SIGKILL)
        process.err.await_line(lambda line: "exited with code 70; starting it again" in line)

    def test_children_end_with_a_killed_supervisor(self):
        process = self.ready_stack()
        pids = [self.pid_of(process, name) for name in ("router", "gateway-1", "gateway-2")]
        process.kill()
        for pid in pids:
            wait_for(lambda: not alive(pid), "process %d to end" % pid)

    def test_programs_that_are_missing(self):
        shutil.rmtree(self.folder / "router")
        code, _, err = self.finish(self.start_stack())
        self.assertEqual(code, 70)
        self.assertEqual(err[0], "hubbub: cannot start hubbub-router: No such file or directory")


class SecondStart(HubbubTest):
    def test_the_same_folder_is_refused(self):
        first = self.ready_stack()
        self.port = free_port()
        code, out, err = self.finish(self.start_stack())
        self.assertEqual((code, out), (70, []))
        self.assertEqual(err, ["hubbub: the data folder %s is in use by another hubbub run (pid %d)"
                               % (os.path.realpath(self.data), first.pid)])

    def test_the_folder_is_free_again_after_a_crash(self):
        first = self.ready_stack()
        pids = [self.pid_of(first, name) for name in ("router", "gateway-1", "gateway-2")]
        first.kill()
        first.wait()
        for pid in pids:
            wait_for(lambda: not alive(pid), "process %d to end" % pid)
        self.ready_stack()

    def test_a_taken_port_is_refused(self):
        for family, address, options in ((socket.AF_INET, "127.0.0.1", ()), (socket.AF_INET6, "::1", ("--host=::",))):
            with socket.socket(family) as other:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                other.bind((address, 0))
                other.listen()
                self.port = other.getsockname()[1]
                code, out, err = self.finish(self.start_stack(*options))
                self.assertEqual((code, out), (70, []))
                self.assertEqual(err, ["hubbub: port %d is in use by another program" % self.port])

    def test_only_this_machine_is_let_in_unless_something_else_is_said(self):
        def hosts(*options):
            stack = self.ready_stack(*options)
            stack.terminate()
            stack.wait()
            found = {part for line in self.log() if " start " in line for part in line.split() if part.startswith("--host")}
            os.remove(self.control / "log")
            return found

        self.assertEqual(hosts(), {"--host=localhost"})
        self.assertEqual(hosts("--host=::"), {"--host=::"})
        everywhere = os.path.join(self.folder, "everywhere.conf")
        with open(everywhere, "w") as file:
            file.write('gateway = { host = ""; };\n')
        self.assertEqual(hosts("--config", everywhere), set())


class BeforeTheStart(HubbubTest):
    def test_long_paths_of_sockets_are_refused(self):
        code, out, err = self.finish(self.start_stack("--data", "d" * 100))
        self.assertEqual((code, out, len(err)), (70, [], 1))
        self.assertIn("choose a shorter --data", err[0])
        code, out, err = self.finish(self.start_stack("--stats", "s" * 100))
        self.assertEqual((code, out, len(err)), (70, [], 1))
        self.assertIn("choose a shorter --stats", err[0])

    def test_a_folder_that_cannot_be_is_refused(self):
        (self.folder / "file").write_text("")
        for path in ("none/data", "file", "file/data"):
            code, out, err = self.finish(self.start_stack("--data", path))
            self.assertEqual((code, out, len(err)), (70, [], 1), path)

    def test_the_configuration_is_checked_by_all_before_anything_starts(self):
        (self.folder / "main.conf").write_text("gateway = { };")
        self.set("hubbub-gateway.check", "78")
        code, out, err = self.finish(self.start_stack("--config", "main.conf"))
        self.assertEqual((code, out, err), (78, [], ["main.conf:3: wrong"]))
        self.assertFalse(self.data.exists())
        self.assertEqual(self.log(), ["hubbub-router check", "hubbub-gateway check"])

    def test_check_config_asks_all_programs(self):
        (self.folder / "main.conf").write_text("gateway = { };")
        code, out, err = self.command("run", "--config", "main.conf", "--check-config")
        self.assertEqual((code, out, err), (0, ["configuration ok"], []))
        self.assertEqual(self.log(), ["hubbub-router check", "hubbub-gateway check"])

    def test_the_file_of_keys_is_checked_before_anything_starts(self):
        keys = self.folder / "keys"
        keys.write_text("0123456789abcdef\n")
        keys.chmod(0o644)
        for option in ((), ("--check-config",)):
            code, out, err = self.finish(self.start_stack("--publish-key", "keys", *option))
            self.assertEqual((code, out, len(err)), (78, [], 1), option)
            self.assertRegex(err[0], "^keys: .*mode 0644")
        self.assertFalse(self.data.exists())
        keys.chmod(0o600)
        self.assertEqual(self.finish(self.start_stack("--publish-key", "keys", "--admin-port", "20", "--check-config")),
                         (0, ["configuration ok"], []))

    def test_the_certificate_is_checked_before_anything_starts(self):
        self.set("hubbub-gateway.check", "78")
        code, out, _ = self.finish(self.start_stack("--tls-certificate", "site.pem"))
        self.assertEqual((code, out, self.log()), (78, [], ["hubbub-gateway check"]))
        self.assertFalse(self.data.exists())

    def test_the_certificate_goes_to_the_gateways(self):
        process = self.start_stack("--tls-certificate", "site.pem", "--tls-key", "site.key")
        process.out.await_line(lambda line: line == "open https://localhost:%d/" % self.port)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(self.finish(process)[0], 0)
        for line in (line for line in self.log() if " args " in line):
            self.assertEqual(line.startswith("gateway-"), "--tls-certificate=site.pem --tls-key=site.key" in line, line)

    def test_publishing_is_offered_where_there_is_a_key_for_it(self):
        keys = self.folder / "keys"
        keys.write_text("0123456789abcdef\n")
        keys.chmod(0o600)
        (self.folder / "main.conf").write_text('gateway = { publish_key = "%s"; };' % keys)
        for options, offered in (((), False), (("--publish-key", "keys"), True), (("--config", "main.conf"), True)):
            port = free_port()
            process = self.ready_stack("--gateways", "1", "--admin-port", str(port), *options)
            process.out.await_line(lambda line: line == "stop with Ctrl-C")
            self.assertEqual("publish http://127.0.0.1:%d/api/publish" % port in process.out.seen, offered, options)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(self.finish(process)[0], 0)

    def test_a_key_without_a_port_to_use_it_on_is_no_secret(self):
        keys = self.folder / "keys"
        keys.write_text("0123456789abcdef\n")
        keys.chmod(0o600)
        code, out, err = self.finish(self.start_stack("--publish-key", "keys"))
        self.assertEqual((code, out), (78, []))
        self.assertRegex(err[0], "^hubbub run: publish_key without admin_port: .*--admin-port")
        self.assertFalse(self.data.exists())
        (self.folder / "main.conf").write_text('gateway = { admin = "127.0.0.1:20"; };')
        self.assertEqual(self.finish(self.start_stack("--publish-key", "keys", "--config", "main.conf", "--check-config")),
                         (0, ["configuration ok"], []))

    def test_misspelt_commands_options_and_keys_are_seen_through(self):
        self.assertEqual(self.command("gateway"), (64, [], [
            "hubbub: unknown command 'gateway'; did you mean gateways? (see hubbub --help)"]))
        self.assertEqual(self.command("dance")[2], ["hubbub: unknown command 'dance' (see hubbub --help)"])
        self.assertEqual(self.command("run", "--gateway=3")[2], [
            "hubbub run: unknown option '--gateway=3'; did you mean --gateways? (see --help)"])
        (self.folder / "main.conf").write_text("run = {\n  pots = \"1,2\";\n};")
        self.assertEqual(self.command("run", "--config", "main.conf")[2],
                         ["main.conf:2: unknown key run.pots; did you mean ports?"])

    def test_its_own_section_is_read_and_checked(self):
        (self.folder / "main.conf").write_text("run = {\n  gateways = 65;\n};")
        code, _, err = self.finish(self.start_stack("--config", "main.conf"))
        self.assertEqual((code, err),
                         (78, ["main.conf:2: run.gateways: '65' is not valid; expected 0 to 64 gateways"]))
        (self.folder / "main.conf").write_text("run = { gateways = 1; };")
        process = self.ready_stack("--config", "main.conf")
        self.assertFalse(any(line.startswith("gateway-2") for line in process.out.seen))
        self.assertIn("--config=%s/main.conf " % os.path.realpath(self.folder), "\n".join(self.log()))


if __name__ == "__main__":
    unittest.main(verbosity=2)
