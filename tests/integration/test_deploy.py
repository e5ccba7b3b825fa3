#!/usr/bin/env python3
"""What deploy/ has for operators: units, configurations, and what `meson install` makes of them.

tests/stack brings the whole of it up; here it is read by the programs that it is for.
HUBBUB_BUILD names the build folder (default: build, beside tests).
"""
import contextlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("HUBBUB_BUILD", ROOT / "build")).resolve()
DEPLOY = ROOT / "deploy"
EXPOSURE = 15  # tenths of systemd-analyze's scale: OK ends at 1.5
UNITS = ("hubbub-router.service", "hubbub-gateway@.service")


def run(*command, **more):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **more)


class DeployTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hubbub-deploy-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def with_key(self, configuration):
        """The configuration, with a key of tokens that is there."""
        key = self.folder / "token.key"
        key.touch(mode=0o600)
        key.write_text("0123456789abcdef" * 4)
        text = configuration.read_text()
        self.assertIn("/etc/hubbub/secrets/token.key", text)
        copy = self.folder / "with-key.conf"
        copy.write_text(text.replace("/etc/hubbub/secrets/token.key", str(key)))
        return copy

    def installed(self):
        """The folder that everything is installed below; what is built is not built again."""
        done = run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", self.folder / "root")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return self.folder / "root" / "usr" / "local"


class Configuration(DeployTest):
    def test_both_programs_take_it(self):
        for program in ("router/hubbub-router", "gateway/hubbub-gateway"):
            done = run(BUILD / program, "--config", self.with_key(DEPLOY / "hubbub.conf"), "--check-config")
            self.assertEqual(done.returncode, 0, done.stderr)

    @unittest.skipUnless(shutil.which("haproxy"), "no haproxy here")
    def test_haproxy_takes_its_own(self):
        text = (DEPLOY / "haproxy.cfg").read_text()
        certificate = self.folder / "site.pem"
        done = run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                   "/CN=localhost", "-keyout", certificate, "-out", self.folder / "certificate")
        self.assertEqual(done.returncode, 0, done.stderr)
        with certificate.open("a") as file:
            file.write((self.folder / "certificate").read_text())
        configuration = self.folder / "haproxy.cfg"
        configuration.write_text(text.replace("/etc/haproxy/certificates/", str(certificate)))
        done = run("haproxy", "-c", "-f", configuration, env=dict(os.environ, HUBBUB_HTTPS="443"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("WARNING", done.stdout + done.stderr)

    @unittest.skipUnless(shutil.which("haproxy"), "no haproxy here")
    def test_haproxy_leads_to_the_port_that_is_published(self):
        """Of its own configuration only the part that redirects."""
        part = re.search(r"^frontend plain\n(?: +.*\n)+", (DEPLOY / "haproxy.cfg").read_text(), re.M)[0]
        for https, host, location in ((None, "chat.example", "https://chat.example/a?b=c"),
                                      ("443", "chat.example:80", "https://chat.example/a?b=c"),
                                      ("443", "chat.example", "https://chat.example/a?b=c"),
                                      ("8443", "chat.example:8080", "https://chat.example:8443/a?b=c"),
                                      ("127.0.0.1:8443", "[::1]:8080", "https://[::1]:8443/a?b=c")):
            at = self.folder / "http.sock"
            configuration = self.folder / "redirect.cfg"
            configuration.write_text("defaults\n    mode http\n    timeout client 10s\n" + part.replace("bind :8080", f"bind unix@{at}"))
            haproxy = subprocess.Popen(["haproxy", "-db", "-f", configuration], env=dict(os.environ, **({"HUBBUB_HTTPS": https} if https else {})),
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                answer = None
                while not answer:
                    self.assertIsNone(haproxy.poll())
                    with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                        client.settimeout(30)
                        client.connect(str(at))
                        client.sendall(f"GET /a?b=c HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                        answer = client.recv(65536).decode()
                    time.sleep(0.02)
            finally:
                haproxy.kill()
                haproxy.wait()
            self.assertRegex(answer, r"^HTTP/1.1 308 ")
            self.assertIn(f"location: {location}\r\n", answer)


class Compose(DeployTest):
    def test_every_service_has_a_health_check(self):
        with (DEPLOY / "docker-compose.yml").open() as file:
            services = yaml.safe_load(file)["services"]
        self.assertEqual(set(services), {"haproxy", "gateway", "router", "mongodb", "prometheus"})
        self.assertRegex((DEPLOY / "Dockerfile").read_text(), r'(?m)^HEALTHCHECK .* CMD \["hubbub-health"\]$')
        for name, service in services.items():
            if "build" in service:  # the image has it
                self.assertNotIn("healthcheck", service, name)
                continue
            check = service["healthcheck"]
            self.assertEqual(check["test"][0], "CMD", name)
            self.assertLessEqual({"interval", "timeout", "retries"}, set(check), name)


class Setup(DeployTest):
    def setUp(self):
        super().setUp()
        programs = self.folder / "bin"
        programs.mkdir()
        # Runs at once, in the folder, what a container is to run there.
        for name, text in (("docker", 'case $1 in run) for a; do case $a in *:/secrets) at=${a%:/secrets} ;; esac; last=$a; done; cd "$at"; '
                                      'sh -euc "$last" ;; esac'), ("chown", ":"), ("hubbub", f'exec {BUILD}/cli/hubbub "$@"')):
            (programs / name).write_text(f"#!/bin/sh\n{text}\n")
            (programs / name).chmod(0o755)
        self.secrets = self.folder / "secrets"

    def setup(self, *names):
        done = run(DEPLOY / "setup", *names, env=dict(os.environ, HUBBUB_SECRETS=str(self.secrets), PATH=f"{self.folder}/bin:{os.environ['PATH']}"))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_what_is_there_stays_and_that_is_said(self):
        self.assertIn("making", self.setup("one.example"))
        before = {path: path.read_bytes() for path in self.secrets.rglob("*") if path.is_file()}
        self.assertGreater(len(before), 8)
        said = self.setup("two.example")
        self.assertNotIn("making", said)
        self.assertIn("haproxy/site.pem", said)
        self.assertIn("for two.example", said)
        self.assertEqual({path: path.read_bytes() for path in self.secrets.rglob("*") if path.is_file()}, before)
        self.assertEqual(self.setup(), "")


class Installation(DeployTest):
    def test_programs_units_and_a_configuration_are_installed(self):
        root = self.installed()
        for name in ("hubbub", "hubbub-router", "hubbub-gateway"):
            self.assertEqual(run(root / "bin" / name, "--version").returncode, 0)
        configuration = root / "etc" / "hubbub" / "hubbub.conf"
        self.assertEqual(configuration.read_text(), (DEPLOY / "hubbub.conf").read_text())
        for unit in UNITS:
            text = (root / "lib/systemd/system" / unit).read_text()
            self.assertNotIn("@bindir@", text)
            self.assertIn("--config /usr/local/etc/hubbub/hubbub.conf", text)
        configuration.write_text("# changed\n")
        self.installed()
        self.assertEqual(configuration.read_text(), "# changed\n")

    @unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze here")
    def test_systemd_takes_the_units_and_finds_them_hardened(self):
        root = self.installed()
        units = root / "lib/systemd/system"
        for unit in UNITS:  # where the programs are now
            path = units / unit
            path.write_text(path.read_text().replace("/usr/local/", f"{root}/"))
        environment = dict(os.environ, SYSTEMD_UNIT_PATH=f"{units}:")
        for unit in ("hubbub-router.service", "hubbub-gateway@3001.service"):
            done = run("systemd-analyze", "verify", "--man=no", unit, env=environment)
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))
            done = run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", unit, env=environment)
            self.assertEqual(done.returncode, 0, done.stdout[-500:] + done.stderr)
            self.assertIn("✓ NoNewPrivileges=", done.stdout)
        # What ExecStart says is what the programs take.
        configuration = root / "etc/hubbub/hubbub.conf"
        shutil.copy(self.with_key(configuration), configuration)
        for unit in UNITS:
            text = (units / unit).read_text()
            command = re.search(r"^ExecStart=(.*)$", text, re.M)[1].replace("%i", "3001")
            self.assertIn(str(configuration), command)
            more = re.search(r'"OPTIONS=(.*)"', (DEPLOY / "systemd/gateway-admin.conf").read_text())[1].replace("%i", "3001")
            for options in ("", more):
                done = run(*command.replace("$OPTIONS", options).split(), "--check-config")
                self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(text, r"(?m)^ExecReload=.* -HUP \$MAINPID$")

    @unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze here")
    def test_systemd_takes_the_drop_ins(self):
        units = self.installed() / "lib/systemd/system"
        template = units / "hubbub-gateway@.service"
        template.write_text(template.read_text().replace("/usr/local/bin/", f"{self.folder}/root/usr/local/bin/"))
        for instance, name in (("@", "gateway-admin.conf"), ("@443", "low-port.conf")):
            drop_in = units / f"hubbub-gateway{instance}.service.d"
            drop_in.mkdir()
            shutil.copy(DEPLOY / "systemd" / name, drop_in)
        environment = dict(os.environ, SYSTEMD_UNIT_PATH=f"{units}:")
        for port in (443, 3001):
            done = run("systemd-analyze", "verify", "--man=no", f"hubbub-gateway@{port}.service", env=environment)
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))
        done = run("systemd-analyze", "security", "--offline=true", "hubbub-gateway@443.service", env=environment)
        self.assertRegex(done.stdout, r"(?m)^✗ AmbientCapabilities=")
        self.assertRegex(done.stdout, r"(?m)^✗ PrivateUsers=")


if __name__ == "__main__":
    unittest.main()
