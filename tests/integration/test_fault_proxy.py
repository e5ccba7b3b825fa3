#!/usr/bin/env python3
"""The proxy of the fault tests does what it is told, and nothing else."""
import contextlib
import pathlib
import socket
import struct
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'support'))
from fault_proxy import FaultProxy  # noqa: E402

PATIENCE = 30  # seconds until an awaited event counts as missing
QUIET = 0.2  # seconds without a byte that show that none comes


def text_frame(payload):
    head = bytes([0x81, len(payload)]) if len(payload) < 126 else b'\x81\x7e' + len(payload).to_bytes(2, 'big')
    return head + payload


def mongodb_message(request, answered, command):
    """OP_MSG with a document {command: 1}."""
    document = struct.pack('<i', 4 + 1 + len(command) + 1 + 4 + 1) + b'\x10' + command + b'\0' + struct.pack('<i', 1) + b'\0'
    return struct.pack('<iiiiIB', 21 + len(document), request, answered, 2013, 0, 0) + document


class FaultProxyTest(unittest.TestCase):
    def setUp(self):
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.listener.settimeout(PATIENCE)
        self.addCleanup(self.listener.close)

    def start(self, protocol='bytes'):
        proxy = FaultProxy('127.0.0.1:%d' % self.listener.getsockname()[1], protocol)
        self.addCleanup(proxy.close)
        return proxy

    def connect(self, proxy):
        """(client's socket, server's socket)"""
        client = socket.create_connection(('127.0.0.1', proxy.port), PATIENCE)
        server = self.listener.accept()[0]
        for each in (client, server):
            each.settimeout(PATIENCE)
            self.addCleanup(each.close)
        return client, server

    def assert_comes(self, reader, expected):
        data = b''
        while len(data) < len(expected):
            part = reader.recv(len(expected) - len(data))
            self.assertTrue(part, f'the end after {data}')
            data += part
        self.assertEqual(data, expected)

    def assert_quiet(self, reader):
        reader.settimeout(QUIET)
        with self.assertRaises(socket.timeout):
            reader.recv(1)
        reader.settimeout(PATIENCE)

    def test_passes_what_it_is_given_and_both_ends(self):
        client, server = self.connect(self.start())
        data = bytes(range(256)) * 20_000  # more than any buffer on the way
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        self.assert_comes(server, data)
        sender.join()
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(server.recv(1), b'')
        server.sendall(b'still')
        self.assert_comes(client, b'still')
        server.close()
        self.assertEqual(client.recv(1), b'')

    def test_delay_holds_for_each_way(self):
        proxy = self.start()
        client, server = self.connect(proxy)
        proxy.command('delay 300 down')
        start = time.monotonic()
        server.sendall(b'late')
        self.assert_comes(client, b'late')
        self.assertGreaterEqual(time.monotonic() - start, 0.3)
        proxy.command('delay 0')
        client.sendall(b'up')
        self.assert_comes(server, b'up')

    def test_stall_of_one_way_leaves_the_other(self):
        proxy = self.start()
        client, server = self.connect(proxy)
        proxy.command('stall up')
        client.sendall(b'waits')
        server.sendall(b'comes')
        self.assert_comes(client, b'comes')
        self.assert_quiet(server)
        proxy.command('resume')
        self.assert_comes(server, b'waits')

    def test_swallow_forgets(self):
        proxy = self.start()
        client, server = self.connect(proxy)
        proxy.command('swallow down')
        server.sendall(b'never')
        deadline = time.monotonic() + PATIENCE
        while proxy.status()['down'] < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        proxy.command('resume')
        server.sendall(b'after')
        self.assert_comes(client, b'after')

    def test_cut_resets_or_closes(self):
        proxy = self.start()
        client, server = self.connect(proxy)
        proxy.command('cut rst')
        for each in (client, server):
            with self.assertRaises(ConnectionResetError):
                each.recv(1)
        client, server = self.connect(proxy)
        proxy.command('cut fin')
        self.assertEqual((client.recv(1), server.recv(1)), (b'', b''))

    def test_refuses_until_it_accepts(self):
        proxy = self.start()
        proxy.command('refuse')
        # The reset may come before or behind the client's look at it.
        with self.assertRaises(ConnectionResetError):
            with contextlib.closing(socket.create_connection(('127.0.0.1', proxy.port), PATIENCE)) as client:
                client.recv(1)
        self.assertEqual(proxy.status()['refused'], 1)
        proxy.command('accept')
        client, server = self.connect(proxy)
        client.sendall(b'again')
        self.assert_comes(server, b'again')

    def test_break_ends_one_connection_in_the_middle(self):
        proxy = self.start()
        client, server = self.connect(proxy)
        other_client, other_server = self.connect(proxy)
        proxy.command('break 6 down')
        server.sendall(b'one two')
        self.assert_comes(client, b'one tw')
        self.assertEqual(client.recv(1), b'')
        with self.assertRaises(ConnectionResetError):
            server.recv(1)
        other_server.sendall(b'three four')
        self.assert_comes(other_client, b'three four')

    def test_loses_each_third_acknowledgement_of_a_websocket(self):
        proxy = self.start('websocket')
        client, server = self.connect(proxy)
        proxy.command('lose 3 43')
        head = b'HTTP/1.1 101 Switching Protocols\r\n\r\n'
        frames = [text_frame(payload) for payload in (
            b'430[1]', b'42["msg"]', b'431[2]', b'432' + b'x' * 300, b'2', b'433[4]')]
        # A message in two frames, with a control frame between them, is the sixth to match.
        pieces = [b'\x01\x0243', b'\x89\x00', b'\x80\x024[']
        last = text_frame(b'435[6]')
        for byte in head + b''.join(frames) + last + b''.join(pieces) + text_frame(b'end'):
            server.sendall(bytes([byte]))
        expected = head + b''.join(frames[:3]) + b''.join(frames[4:]) + last + pieces[1] + text_frame(b'end')
        self.assert_comes(client, expected)
        self.assertEqual(proxy.status()['lost'], 2)

    def test_loses_and_tears_answers_of_mongodb_by_their_command(self):
        proxy = self.start('mongodb')
        client, server = self.connect(proxy)
        ask = lambda request, command: (client.sendall(mongodb_message(request, 0, command)),
                                        self.assert_comes(server, mongodb_message(request, 0, command)))
        answers = [mongodb_message(100 + request, request, b'ok') for request in range(4)]
        proxy.command('lose 1 insert')
        ask(1, b'insert')
        ask(2, b'ping')
        server.sendall(answers[1] + answers[2])
        self.assert_comes(client, answers[2])
        self.assertEqual(proxy.status()['lost'], 1)
        proxy.command('tear 1 10 insert')
        ask(3, b'insert')
        server.sendall(answers[3])
        self.assert_comes(client, answers[3][:10])
        self.assertEqual(client.recv(1), b'')

    def test_says_what_is_no_command(self):
        proxy = self.start()
        for line in ('nonsense', 'delay x', 'stall sideways', 'cut softly', 'lose 10'):
            with self.assertRaises(RuntimeError):
                proxy.command(line)


if __name__ == '__main__':
    unittest.main()
