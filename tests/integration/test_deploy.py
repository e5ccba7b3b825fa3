#!/usr/bin/env python3
"""What deploy/ has for operators: units, configurations, and what `meson install` makes of them.

tests/stack brings the whole of it up; here it is read by the programs that it is for.
HUBBUB_BUILD names the build folder (default: build, beside tests).
"""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

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
        done = run("haproxy", "-c", "-f", configuration)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("WARNING", done.stdout + done.stderr)


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
            command = re.search(r"^ExecStart=(.*)$", (units / unit).read_text(), re.M)[1].replace("%i", "3001")
            self.assertIn(str(configuration), command)
            done = run(*command.split(), "--check-config")
            self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
