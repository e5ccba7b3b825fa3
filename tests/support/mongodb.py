"""MongoDB servers for tests: two that others wrote, and one that a test plays.

    NxServer       PyPI's nx-27017, an independent server on SQLite
    JavaServer     Maven's mongo-java-server, on a file of H2; SkipTest with the reason when it can't be had
    PlayedServer   keeps documents in memory, and answers what a test tells it to

Each has start(), kill(), port, uri and messages(); what they keep survives a kill().
"""
import os
import pathlib
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
import unittest

import bson
import pymongo
import pymongo.common

# mongo-java-server says 8 (MongoDB 4.2), which speaks all that is asked of it here.
pymongo.common.MIN_SUPPORTED_WIRE_VERSION = min(8, pymongo.common.MIN_SUPPORTED_WIRE_VERSION)

TOP = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 60


def free_port():
    """A free port below those that outgoing connections take, so that it is still free for the next start."""
    while True:
        port = 20000 + int.from_bytes(os.urandom(2), 'big') % 12000
        with socket.socket() as probe:
            try:
                probe.bind(('127.0.0.1', port))
                return port
            except OSError:
                continue


class Server:
    """A server that is a process."""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, free_port(), None
        self.uri = f'mongodb://127.0.0.1:{self.port}/'

    def start(self):
        with open(f'{self.folder}/mongodb.log', 'ab') as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with self.client() as client:
                    client.admin.command('ping')
                return self
            except pymongo.errors.PyMongoError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(pathlib.Path(self.folder, 'mongodb.log').read_text(errors='replace')) from None
                time.sleep(0.05)

    def client(self):
        return pymongo.MongoClient(self.uri, serverSelectionTimeoutMS=PATIENCE * 1000 if self.process.poll() is None else 1)

    def messages(self):
        """All documents of the archive."""
        with self.client() as client:
            return list(client.hubbub.messages.find())

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)


class NxServer(Server):
    def command(self):
        return [pathlib.Path(sys.executable).parent / 'nx-27017', '--db', f'{self.folder}/nx.db', '--host', '127.0.0.1',
                '--port', str(self.port), '--pid-file', f'{self.folder}/nx.{os.urandom(4).hex()}.pid']


class JavaServer(Server):
    def kill(self):
        """Ends it in order: after a real kill it lacks what it answered for a moment before."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)

    def command(self):
        out = TOP / 'build' / 'mongodb-java'
        subprocess.run([TOP / 'tests' / 'support' / 'mongodb_java' / 'prepare'], check=True)
        if (out / 'missing').exists():
            raise unittest.SkipTest('no MongoDB server in Java: ' + (out / 'missing').read_text().strip())
        return [shutil.which('java'), '-cp', f'{out}/lib/*:{out}/classes', 'Server', str(self.port), f'{self.folder}/h2.mv']


class PlayedServer:
    """
    Speaks as much of the wire protocol (OP_MSG, section kinds 0 and 1) as the router's archive needs.

    In what the functions below see, the documents of an insert are in body["documents"], as in the shell.
    before_insert(document) may give an error for it, {'code':.., 'errmsg':..}: it is not stored then.
    before_command(name, body) may give a whole answer instead.  after_command(name, body, answer) may change one.
    """

    def __init__(self):
        self.documents = {}  # encoded _id -> document
        self.commands = []   # (name, how many documents)
        self.before_insert = self.before_command = self.after_command = lambda *arguments: None
        self.lock = threading.Lock()
        played = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                played.serve(self.request)

        class Listener(socketserver.ThreadingTCPServer):
            daemon_threads = allow_reuse_address = True

        self.listener = Listener(('127.0.0.1', 0), Handler)
        self.port = self.listener.server_address[1]
        self.uri = f'mongodb://127.0.0.1:{self.port}/'
        threading.Thread(target=self.listener.serve_forever, daemon=True).start()

    def kill(self):
        self.listener.shutdown()
        self.listener.server_close()

    def messages(self):
        with self.lock:
            return list(self.documents.values())

    def serve(self, connection):
        stream = connection.makefile('rb')
        while len(head := stream.read(16)) == 16:
            length, request, _, code = struct.unpack('<iiii', head)
            body = stream.read(length - 16)
            if code == 2004:  # OP_QUERY: the hello of a client that does not know us yet
                answer = bson.encode(self.hello())
                text = struct.pack('<iqii', 8, 0, 0, 1) + answer
                connection.sendall(struct.pack('<iiii', 16 + len(text), 1, request, 1) + text)
                continue
            command, documents = self.parse(body)
            answer = b'\0\0\0\0\0' + bson.encode(self.answer(command, documents))
            connection.sendall(struct.pack('<iiii', 16 + len(answer), 1, request, 2013) + answer)

    @staticmethod
    def parse(body):
        """(the command, the raw documents of its sections of kind 1)"""
        at, command, documents = 4, None, []
        while at < len(body):
            kind, length = body[at], struct.unpack_from('<i', body, at + 1)[0]
            if kind == 0:
                command = bson.decode(body[at + 1:at + 1 + length])
            else:
                inner = body.index(b'\0', at + 5) + 1
                while inner < at + 1 + length:
                    size = struct.unpack_from('<i', body, inner)[0]
                    documents.append(bson.decode(body[inner:inner + size]))
                    inner += size
            at += 1 + length
        return command, documents

    @staticmethod
    def hello():
        return {'ok': 1, 'helloOk': True, 'ismaster': True, 'isWritablePrimary': True, 'maxBsonObjectSize': 16 << 20,
                'maxMessageSizeBytes': 48000000, 'maxWriteBatchSize': 100000, 'minWireVersion': 0, 'maxWireVersion': 13}

    def answer(self, command, documents):
        name = next(iter(command))
        if documents:
            command['documents'] = documents
        with self.lock:
            self.commands.append((name, len(documents)))
            answer = self.before_command(name, command)
            if answer is None:
                answer = getattr(self, 'on_' + name, lambda _: self.hello())(command)
            return self.after_command(name, command, answer) or answer

    def on_createIndexes(self, command):
        return {'ok': 1}

    def on_insert(self, command):
        errors = []
        for index, document in enumerate(command['documents']):
            key = bson.encode(document['_id'])
            error = self.before_insert(document)
            if error is None and key in self.documents:
                error = {'code': 11000, 'errmsg': 'E11000 duplicate key'}
            if error is None:
                self.documents[key] = document
            else:
                errors.append({'index': index, **error})
        return {'ok': 1, 'n': len(command['documents']) - len(errors), **({'writeErrors': errors} if errors else {})}

    def on_find(self, command):
        """Equal values and {$in: ..} only."""
        def fits(document):
            return all(document.get(key) in wanted['$in'] if isinstance(wanted, dict) else document.get(key) == wanted
                       for key, wanted in command.get('filter', {}).items())
        found = [document for document in self.documents.values() if fits(document)]
        return {'ok': 1, 'cursor': {'id': bson.Int64(0), 'ns': f"{command['$db']}.{command['find']}", 'firstBatch': found}}

    def on_aggregate(self, command):
        """As of an empty collection."""
        return {'ok': 1, 'cursor': {'id': bson.Int64(0), 'ns': f"{command['$db']}.{command['aggregate']}", 'firstBatch': []}}
