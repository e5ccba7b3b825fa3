#!/usr/bin/env python3
"""The encrypted link: a real router and real gateways with CURVE over tcp, and `hubbub keygen`.

HUBBUB_BUILD names the build folder (default: build, beside tests).
"""

import base64
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "conformance"))
from programs import free_port  # noqa: E402

BUILD = pathlib.Path(os.environ.get("HUBBUB_BUILD", ROOT / "build"))
HUBBUB, ROUTER, GATEWAY = (BUILD / folder / name for folder, name in
                           (("cli", "hubbub"), ("router", "hubbub-router"), ("gateway", "hubbub-gateway")))
PATIENCE = 30  # seconds until an awaited event counts as missing
CONFIGURATION = 78


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("timed out waiting for " + what)


class Client:
    """A WebSocket that speaks Socket.IO; its messages are short."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall((f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost:{port}\r\n"
                             f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                             "Sec-WebSocket-Version: 13\r\n\r\n").encode())
        self.stream = self.socket.makefile("rb")
        if b" 101 " not in self.stream.readline():
            raise AssertionError("no upgrade")
        while self.stream.readline() != b"\r\n":
            pass

    def send(self, text):
        data = text.encode()
        self.socket.sendall(bytes([0x81, 0x80 | len(data)]) + bytes(4) + data)

    def expect(self, prefix):
        while True:
            head = self.stream.read(2)
            length = head[1]
            if length == 126:
                length = int.from_bytes(self.stream.read(2), "big")
            text = self.stream.read(length).decode()
            if text.startswith(prefix):
                return text

    def close(self):
        self.stream.close()
        self.socket.close()


class CurveTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hubbub-curve-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.link = f"tcp://127.0.0.1:{free_port()}"
        self.keys = {name: self.make_keys(name) for name in ("router", "one", "other")}
        self.listed = self.write("listed", f"# who may connect\n\n  {self.keys['one']}  # gateway one\n")

    def path(self, name):
        return str(self.folder / name)

    def write(self, name, text, mode=0o644):
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def make_keys(self, name):
        done = subprocess.run([HUBBUB, "keygen", self.path(name)], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def router_options(self, curve=True):
        options = [f"--listen={self.link}", f"--data={self.path('data')}", "--dead=2 s"]
        if curve:
            options += [f"--curve-secret-key={self.path('router')}", f"--curve-gateways={self.listed}"]
        return options

    def gateway_options(self, name, port, router_key="router"):
        options = [f"--name={name}", f"--router={self.link}", "--host=127.0.0.1", f"--port={port}"]
        if router_key:
            options += [f"--curve-secret-key={self.path(name)}", f"--curve-router-key={self.path(router_key)}.pub"]
        return options

    def start(self, name, program, options):
        """A process, and the end of the pipe where it says that it is ready."""
        read, write = os.pipe()
        with open(self.path(name + ".log"), "ab") as log:
            process = subprocess.Popen([program, *options], pass_fds=[write], stderr=log,
                                       env=dict(os.environ, HUBBUB_READY_FD=str(write)))
        os.close(write)
        ready = os.fdopen(read)
        self.addCleanup(ready.close)
        self.addCleanup(self.end, name, process)
        return process, ready

    def end(self, name, process):
        if process.poll() is None:
            process.terminate()
        self.assertEqual(process.wait(PATIENCE), 0, self.log(name))

    def start_router(self, curve=True):
        process, ready = self.start("router", ROUTER, self.router_options(curve))
        self.assertEqual(ready.readline(), "ready\n", self.log("router"))
        return process

    def log(self, name):
        return pathlib.Path(self.path(name + ".log")).read_text(errors="replace")

    def refused(self):
        """How often the router refused a key."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(self.path("data/stats.sock"))
            client.sendall(b"stats json\nquit\n")
            text = b""
            while part := client.recv(65536):
                text += part
        return json.loads(text.decode().split("\n\n")[0])["metrics"].get("hubbub_router_gateways_refused_total", 0)

    def check_publishing(self, port):
        client = Client(port)
        self.addCleanup(client.close)
        client.send("40")
        client.expect("40{")
        client.send('420["join","r"]')
        self.assertIn('"ok":true', client.expect("430"))
        client.send('421["msg",{"room":"r","text":"secret"}]')
        self.assertIn('"ok":true', client.expect("431"))

    def start_live(self, name="one"):
        port = free_port()
        _, ready = self.start(name, GATEWAY, self.gateway_options(name, port))
        self.assertEqual(ready.readline(), "ready\n", self.log(name))
        return port

    def check_never_live(self, name, options):
        """It complains for longer than a link takes, and the router still serves others."""
        process, ready = self.start(name, GATEWAY, [*options, "--dead=200"])
        wait_for(lambda: "no router answers" in self.log(name), "a complaint")
        self.check_publishing(self.start_live())
        self.assertIsNone(process.poll())
        self.assertNotIn("is live", self.log(name))
        os.set_blocking(ready.fileno(), False)
        self.assertFalse(ready.read(1))

    def check_refused(self, program, options, expected):
        for more in ([], ["--check-config"]):
            done = subprocess.run([program, *options, *more], capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual(done.returncode, CONFIGURATION, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            self.assertIn(expected, done.stderr)

    def test_publish_over_encrypted_link(self):
        self.start_router()
        self.check_publishing(self.start_live())
        self.assertEqual(self.refused(), 0)

    def test_wire_shows_no_text(self):
        """What passes between gateway and router is not what the client said."""
        self.start_router()
        router, self.link = self.link, f"tcp://127.0.0.1:{free_port()}"
        listener = socket.create_server(("127.0.0.1", int(self.link.rsplit(":", 1)[1])))
        self.addCleanup(listener.close)
        seen = bytearray()
        self.addCleanup(relay(listener, int(router.rsplit(":", 1)[1]), seen))
        self.check_publishing(self.start_live())
        self.assertIn(b"CURVE", bytes(seen))
        self.assertNotIn(b"secret", bytes(seen))

    def test_unlisted_gateway_is_refused_and_counted(self):
        self.start_router()
        self.check_never_live("other", self.gateway_options("other", free_port()))
        wait_for(self.refused, "a refusal")
        self.assertIn(self.keys["other"], self.log("router").replace("\\", ""))

    def test_gateway_without_keys_never_becomes_live(self):
        self.start_router()
        self.check_never_live("plain", self.gateway_options("plain", free_port(), router_key=None))

    def test_wrong_router_key(self):
        self.start_router()
        self.keys["third"] = self.make_keys("third")
        self.write("listed", f"{self.keys['one']}\n{self.keys['third']}\n")
        self.check_never_live("third", self.gateway_options("third", free_port(), router_key="other"))

    def test_gateway_gets_in_when_its_key_is_listed_later(self):
        router = self.start_router()
        port = free_port()
        _, ready = self.start("other", GATEWAY, [*self.gateway_options("other", port), "--dead=1500"])  # tries again that soon
        wait_for(self.refused, "a refusal")
        self.end("router", router)
        self.write("listed", self.keys["other"])
        self.start_router()
        self.assertEqual(ready.readline(), "ready\n", self.log("other"))
        self.check_publishing(port)

    def test_bad_key_files(self):
        half = self.keys["one"][:20]
        secret = pathlib.Path(self.path("router")).read_text()
        for name, text, mode, expected in (
                ("open", secret, 0o640, "mode 0640"),
                ("half", half, 0o600, "half:1: not a key"),
                ("letters", "\n" + "é" * 20, 0o600, "letters:2: not a key"),
                ("overflow", "%nSc1" * 8, 0o600, "overflow:1: not a key"),
                ("empty", "# none\n", 0o600, "0 keys; expected one"),
                ("two", secret + secret, 0o600, "2 keys; expected one"),
                ("large", "#" * (2 << 20), 0o600, "larger than")):
            with self.subTest(name):
                path = self.write(name, text, mode)
                self.check_refused(ROUTER, [*self.router_options(), f"--curve-secret-key={path}"], expected)
                self.check_refused(GATEWAY, [*self.gateway_options("one", 3000), f"--curve-secret-key={path}"], expected)
        for path, expected in ((self.path("absent"), "No such file"), (self.path(""), "not a regular file")):
            self.check_refused(ROUTER, [*self.router_options(), f"--curve-gateways={path}"], expected)
            self.check_refused(GATEWAY, [*self.gateway_options("one", 3000), f"--curve-router-key={path}"], expected)

    def test_keys_belong_together(self):
        self.check_refused(ROUTER, [f"--curve-secret-key={self.path('router')}"], "belong together")
        self.check_refused(ROUTER, [f"--curve-gateways={self.listed}"], "belong together")
        self.check_refused(GATEWAY, [f"--curve-secret-key={self.path('one')}"], "belong together")
        self.check_refused(GATEWAY, [f"--curve-router-key={self.path('router')}.pub"], "belong together")

    def test_other_machines_take_keys(self):
        for endpoint in ("tcp://*:3010", "tcp://0.0.0.0:3010", "tcp://192.0.2.1:3010", "tcp://eth0:3010",
                         "tcp://[::]:3010", "tcp://127.0.0.1.example:3010", "tcp://localhost.example:3010"):
            with self.subTest(endpoint):
                self.check_refused(ROUTER, [f"--listen={endpoint}"], "curve_secret_key")
                subprocess.run([ROUTER, f"--listen={endpoint}", "--allow-plain=true", "--check-config"], check=True,
                               capture_output=True)
                self.check_refused(GATEWAY, [f"--router={endpoint}"], "another machine")
                subprocess.run([GATEWAY, f"--router={endpoint}", "--allow-plain=true", "--check-config"], check=True,
                               capture_output=True)
        for endpoint in ("tcp://127.0.0.2:3010", "tcp://localhost:3010", "tcp://[::1]:3010", "ipc://link"):
            subprocess.run([ROUTER, f"--listen={endpoint}", "--check-config"], check=True, capture_output=True)
            subprocess.run([GATEWAY, f"--router={endpoint}", "--check-config"], check=True, capture_output=True)
        subprocess.run([ROUTER, *self.router_options(), "--listen=tcp://*:3010", "--check-config"], check=True,
                       capture_output=True)

    def test_an_open_port_is_complained_of(self):
        port = free_port()
        process, ready = self.start("router", ROUTER, [f"--listen=tcp://0.0.0.0:{port}", f"--data={self.path('data')}",
                                                       "--allow-plain=true"])
        self.assertEqual(ready.readline(), "ready\n", self.log("router"))
        self.assertIn("level=warn", [line for line in self.log("router").splitlines() if "allow_plain" in line][0])
        self.check_refused(GATEWAY, [f"--router=tcp://0.0.0.0:{port}"], "curve_router_key")

    def test_a_reload_reads_the_list_again(self):
        router = self.start_router()
        port = free_port()
        _, ready = self.start("other", GATEWAY, [*self.gateway_options("other", port), "--dead=1500"])  # tries again that soon
        wait_for(self.refused, "the refusal")
        self.write("listed", f"{self.keys['one']}\nnonsense\n")
        router.send_signal(signal.SIGHUP)
        wait_for(lambda: "listed:2: not a key" in self.log("router"), "the error")
        self.write("listed", f"{self.keys['one']}\n{self.keys['other']}\n")
        router.send_signal(signal.SIGHUP)
        self.assertEqual(ready.readline(), "ready\n", self.log("other"))
        self.check_publishing(port)

    def test_hubbub_keys(self):
        secret = pathlib.Path(self.path("one"))
        self.assertEqual(stat.S_IMODE(secret.stat().st_mode), 0o600)
        self.assertEqual(pathlib.Path(self.path("one.pub")).read_text(), self.keys["one"] + "\n")
        self.assertRegex(self.keys["one"], r"^\S{40}$")
        before = secret.read_text()
        self.assertNotEqual(before, self.keys["one"] + "\n")
        for obstacle in ("one", "one.pub"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path("one.pub" if obstacle == "one" else "one"))
            left = pathlib.Path(self.path(obstacle)).read_text() if obstacle == "one" else self.keys["one"] + "\n"
            pathlib.Path(self.path(obstacle)).write_text(left)
            done = subprocess.run([HUBBUB, "keygen", self.path("one")], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout), (70, ""))
            self.assertIn("File exists", done.stderr)
            self.assertEqual(pathlib.Path(self.path(obstacle)).read_text(), left)
            self.assertFalse(os.path.exists(self.path("one.pub" if obstacle == "one" else "one")))
        done = subprocess.run([HUBBUB, "keygen"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 64)
        done = subprocess.run([HUBBUB, "keygen", "--help"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0)
        self.assertIn("FILE.pub", done.stdout)


def relay(listener, port, seen):
    """Passes one connection on and notes its bytes; returns what ends it."""
    ends = []

    def pump(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                seen.extend(data)
                target.sendall(data)

    def serve():
        with contextlib.suppress(OSError):
            inner, _ = listener.accept()
            outer = socket.create_connection(("127.0.0.1", port))
            ends.extend((inner, outer))
            back = threading.Thread(target=pump, args=(outer, inner))
            back.start()
            pump(inner, outer)
            back.join()

    thread = threading.Thread(target=serve)
    thread.start()

    def end():
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        for one in ends:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        thread.join()
        for one in ends:
            one.close()

    return end


if __name__ == "__main__":
    unittest.main()
