"""A journal is copied while its router runs, and restored: `hubbub backup`, `hubbub restore` (docs/operations.md, section 8)."""
import contextlib
import os
import pathlib
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "support")]
from played_gateway import ROUTER, RouterTest, texts  # noqa: E402

HUBBUB = ROUTER.parents[1] / "cli" / "hubbub"
RUNTIME, USAGE = 70, 64


def command(*arguments, code=0):
    done = subprocess.run([HUBBUB, *arguments], capture_output=True, text=True)
    assert done.returncode == code, (done.returncode, done.stderr)
    return done.stderr


class Backup(RouterTest):
    def setUp(self):
        super().setUp()
        self.copy = f"{self.folder}/copy"

    def backup(self, **options):
        return command("backup", self.copy, "--data", self.router.data, **options)

    def restore(self, **options):
        return command("restore", self.copy, "--data", self.router.data, **options)

    def lose_everything(self):
        self.router.kill()
        shutil.rmtree(self.router.data)

    def restart(self):
        """The router starts again; a gateway that it has not seen."""
        self.router.start()
        return self.gateway("after")

    def test_what_was_said_before_the_backup_is_there_under_another_epoch(self):
        before = self.gateway()
        alice = before.connect()
        alice.join("R")
        said = [alice.say("R", f"message {i}", client_id=f"id-of-{i:08}") for i in range(3)]
        self.backup()
        lost = alice.say("R", "behind the backup")
        self.assertEqual(lost["seq"], 4)
        epoch = before.epoch
        before.close()
        self.lose_everything()
        self.restore()
        after = self.restart()
        self.assertNotEqual(after.epoch, epoch)
        bob = after.connect()
        bob.join("R")
        self.assertEqual(texts(bob.history("R")["messages"]), ["message 0", "message 1", "message 2"])
        # A repetition gets its outcome; what is new gets the number that was given before, of another epoch.
        self.assertEqual(bob.say("R", "again", client_id="id-of-00000001")["id"], said[1]["id"])
        self.assertEqual(bob.say("R", "new")["seq"], 4)
        # And a gateway, or a client, that knows the former one is not told that it may go on.
        before.held.clear()
        self.assertEqual(before.go_live().resume, 0)
        back = before.come_back(alice.pid, offset=f"{epoch}.4")
        self.assertEqual((back.recovered, back.replayed), (0, []))
        back = before.come_back(alice.pid)
        self.assertEqual((back.recovered, back.rooms), (0, {}))

    def test_while_messages_are_committed(self):
        gateway = self.gateway()
        alice = gateway.connect()
        alice.join("R")
        for i in range(200):
            alice.say("R", f"{i} " + "x" * 2000)
        done = threading.Event()

        def copy_all():
            try:
                for number in range(5):
                    command("backup", f"{self.copy}{number}", "--data", self.router.data)
            finally:
                done.set()
        thread = threading.Thread(target=copy_all)
        thread.start()
        count = 200
        while not done.is_set():
            self.assertEqual(alice.say("R", str(count))["seq"], count + 1)
            count += 1
        thread.join()
        last = 200
        for number in range(5):
            path = f"{self.copy}{number}"
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
            database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            rows = [seq for (seq,) in database.execute("SELECT seq FROM message ORDER BY pos")]
            database.close()
            self.assertEqual(rows, list(range(1, len(rows) + 1)))
            self.assertGreaterEqual(len(rows), last)
            last = len(rows)
        self.assertLessEqual(last, count)

    def test_of_a_stack_that_stands(self):
        alice = self.gateway().connect()
        alice.join("R")
        alice.say("R", "one")
        self.assertEqual(self.router.stop(), 0)
        configuration = pathlib.Path(self.folder) / "hubbub.conf"  # of programs that are started by themselves
        configuration.write_text(f'router = {{ data = "{self.router.data}"; }};')
        command("backup", self.copy, "--config", configuration)
        shutil.rmtree(self.router.data)
        self.restore()
        bob = self.restart().connect()
        bob.join("R")
        self.assertEqual(texts(bob.history("R")["messages"]), ["one"])

    def assert_nothing_is_left(self):
        self.assertLessEqual(set(os.listdir(self.router.data)), {"journal.sqlite-lock"})

    def test_a_copy_that_is_damaged_leaves_nothing_behind(self):
        self.backup()
        self.lose_everything()
        with contextlib.closing(sqlite3.connect(self.copy)) as copy, copy:
            copy.execute("DELETE FROM meta WHERE key = 'dedup_keys'")
        self.assertIn("lacks the keys", self.restore(code=RUNTIME))
        self.assert_nothing_is_left()
        with contextlib.closing(sqlite3.connect(self.copy)) as copy, copy:
            copy.execute("UPDATE meta SET key = 'dedup_keys', value = zeroblob(16) WHERE key = 'epoch'")
        self.assertIn("this is no journal", self.restore(code=RUNTIME))
        self.assert_nothing_is_left()
        with open(self.copy, "r+b") as copy:
            copy.seek(4096)
            copy.write(b"\xff" * (os.path.getsize(self.copy) - 4096))
        self.assertIn("copy: damaged: cannot be read", self.restore(code=RUNTIME))
        self.assert_nothing_is_left()

    def test_what_is_refused(self):
        pathlib.Path(self.copy).write_text("something else\n" * 100)
        self.assertIn("File exists", self.backup(code=RUNTIME))
        self.assertIn("File exists", self.restore(code=RUNTIME))  # the journal is there
        self.lose_everything()
        self.assertIn("copy", self.restore(code=RUNTIME))  # it is none
        self.assert_nothing_is_left()
        os.unlink(self.copy)
        self.assertIn("No such file", self.backup(code=RUNTIME))
        self.assertFalse(os.path.exists(self.copy))
        self.assertIn("No such file", self.restore(code=RUNTIME))
        self.router.start()
        self.backup()
        self.router.kill()
        os.unlink(f"{self.router.data}/journal.sqlite")
        pathlib.Path(f"{self.router.data}/journal.sqlite-wal").write_text("of another one")
        self.assertIn("left of another journal", self.restore(code=RUNTIME))
        os.unlink(f"{self.router.data}/journal.sqlite-wal")
        self.restore()
        self.router.start()
        self.assertIn("which file?", command("backup", code=USAGE))
        done = subprocess.run([ROUTER, "--backup"], capture_output=True, text=True)
        self.assertEqual(done.returncode, USAGE, done.stderr)


if __name__ == "__main__":
    unittest.main()
