#!/usr/bin/env python3
"""A TCP proxy that misbehaves when told to: before a WebSocket port, a ZeroMQ tcp link, a MongoDB server.

    fault_proxy.py --to HOST:PORT [--listen HOST:PORT] [--protocol bytes|websocket|mongodb]

Prints "port N", then reads commands from its standard input, one a line, and answers each with one line that
begins with "ok" or "error".  It ends with its standard input, so it outlives no test.  `up` is from the client
to the server, `down` the other way; without either a command means both.

    delay MS [up|down]         each byte comes that much later; 0 ends it
    stall [up|down]            nothing goes through; what is under way waits, the sender meets a full buffer
    swallow [up|down]          what comes is read and forgotten: only a cut makes sense after it
    resume                     ends stall and swallow
    cut [rst|fin]              all connections end now: by a reset, or as if each side had closed
    refuse                     further connections are reset at once
    accept                     ends refuse
    break K up|down            the first connection with K more bytes that way ends after them
    lose N [TEXT]              each N-th message of the server is left out; 0 ends it
    tear N K [TEXT]            of each N-th message of the server K bytes come, then the connection ends
    status                     "ok connections=N accepted=N refused=N up=BYTES down=BYTES lost=N torn=N broken=N"

Messages are what the protocol says: with `websocket` the messages behind the HTTP head, and TEXT is what their
payload begins with (43 are acknowledgements); with `mongodb` the server's answers, and TEXT is the name of the
command that they answer (insert).  N counts the messages that match, over all connections.

A Python test uses it as FaultProxy(to=...).command("delay 200").
"""
import argparse
import asyncio
import collections
import contextlib
import socket
import struct
import subprocess
import sys

WAITING_MAX = 1 << 20  # bytes on the way in one direction of a connection, beyond it the sender waits
READ_SIZE = 64 << 10
WAYS = ('up', 'down')


class CommandError(Exception):
    pass


def end(writer, how):
    if how == 'fin':
        writer.close()
        return
    with contextlib.suppress(OSError):
        writer.get_extra_info('socket').setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    writer.transport.abort()


class Rules:
    """What is to happen now, and what has happened so far; one for all connections."""

    def __init__(self):
        self.delay = dict.fromkeys(WAYS, 0.0)
        self.stalled = dict.fromkeys(WAYS, False)
        self.swallowed = dict.fromkeys(WAYS, False)
        self.refusing = False
        self.break_after = dict.fromkeys(WAYS, None)
        self.every, self.torn_bytes, self.text, self.matched = 0, None, b'', 0
        self.changed = asyncio.Condition()
        self.counts = collections.Counter()

    def affected(self, text):
        """None, or how many bytes of this message of the server come before the connection ends; -1 for a lost one."""
        if not self.every or not text.startswith(self.text):
            return None
        self.matched += 1
        if self.matched % self.every:
            return None
        return -1 if self.torn_bytes is None else self.torn_bytes


# --- protocols: feed(bytes) gives [(bytes, what TEXT is compared with, or None for no message)]

class Bytes:
    """No messages, only bytes."""

    def up(self, data):
        pass

    def down(self, data):
        return [(data, None)] if data else []


class WebSocket:
    """The server's messages behind an HTTP head; control frames and the head are no messages."""

    def __init__(self):
        self.data, self.headed, self.parts, self.text = bytearray(), False, bytearray(), b''

    def up(self, data):
        pass

    def down(self, data):
        self.data += data
        found = []
        if not self.headed:
            end = self.data.find(b'\r\n\r\n')
            if end < 0:
                return found
            self.headed = True
            found.append((bytes(self.data[:end + 4]), None))
            del self.data[:end + 4]
        while (frame := self.frame()) is not None:
            head_length, length = frame
            raw = bytes(self.data[:head_length + length])
            del self.data[:head_length + length]
            if raw[0] & 0x08:
                found.append((raw, None))
                continue
            if not self.parts:
                self.text = raw[head_length:]
            self.parts += raw
            if raw[0] & 0x80:
                found.append((bytes(self.parts), self.text))
                self.parts.clear()
        return found

    def frame(self):
        """(bytes of the head, bytes of the payload) of the frame at the beginning; None when it is not whole."""
        if len(self.data) < 2:
            return None
        short = self.data[1] & 0x7f
        head_length = 2 + {126: 2, 127: 8}.get(short, 0)
        if len(self.data) < head_length:
            return None
        length = int.from_bytes(self.data[2:head_length], 'big') if head_length > 2 else short
        return (head_length, length) if len(self.data) >= head_length + length else None


class MongoDB:
    """The server's answers, by the name of the command that each answers (OP_MSG; empty for others)."""

    OP_MSG = 2013

    def __init__(self):
        self.requests, self.answers = bytearray(), bytearray()
        self.commands = collections.OrderedDict()  # request id -> name; as many as may be unanswered

    @staticmethod
    def messages(data):
        while len(data) >= 16:
            length, request, answered, code = struct.unpack_from('<iiii', data)
            if length < 16 or len(data) < length:
                return
            yield bytes(data[:length]), request, answered, code
            del data[:length]

    def up(self, data):
        self.requests += data
        for message, request, _, code in self.messages(self.requests):
            name = b''
            # Flags, then a section of kind 0: a document, whose first key is the command.
            if code == self.OP_MSG and len(message) > 26 and message[20] == 0:
                name = message[26:message.index(0, 26)]
            self.commands[request] = name
            if len(self.commands) > 1000:
                self.commands.popitem(last=False)

    def down(self, data):
        self.answers += data
        return [(message, self.commands.pop(answered, b'')) for message, _, answered, _ in self.messages(self.answers)]


PROTOCOLS = dict(bytes=Bytes, websocket=WebSocket, mongodb=MongoDB)


class Connection:
    def __init__(self, rules, protocol, client, server):
        """Client and server are (reader, writer)."""
        self.rules, self.protocol = rules, protocol
        self.readers = dict(up=client[0], down=server[0])
        self.writers = dict(up=server[1], down=client[1])
        self.queues = {way: collections.deque() for way in WAYS}  # (when it is due, bytes; None for the end)
        self.waiting = dict.fromkeys(WAYS, 0)
        self.moved = {way: asyncio.Event() for way in WAYS}
        self.over = False

    async def run(self):
        """Comes back when the connection has ended."""
        tasks = [asyncio.ensure_future(task(way)) for way in WAYS for task in (self.read, self.write)]
        try:
            await asyncio.gather(*tasks)
        except (OSError, asyncio.IncompleteReadError):
            self.cut('rst')
        finally:
            for task in tasks:
                task.cancel()
            self.cut('fin')

    def cut(self, how):
        if self.over:
            return
        self.over = True
        for writer in self.writers.values():
            end(writer, how)
        for event in self.moved.values():
            event.set()

    async def read(self, way):
        loop = asyncio.get_running_loop()
        while not self.over:
            data = await self.readers[way].read(READ_SIZE)
            self.rules.counts[way] += len(data)
            if data and self.rules.swallowed[way]:
                continue
            self.queues[way].append((loop.time() + self.rules.delay[way], data or None))
            self.waiting[way] += len(data)
            self.moved[way].set()
            if not data:
                return
            async with self.rules.changed:
                await self.rules.changed.wait_for(lambda: self.over or self.waiting[way] < WAITING_MAX)

    async def write(self, way):
        loop = asyncio.get_running_loop()
        while not self.over:
            await self.moved[way].wait()
            if not self.queues[way]:
                self.moved[way].clear()
                continue
            due, data = self.queues[way].popleft()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            async with self.rules.changed:
                await self.rules.changed.wait_for(lambda: self.over or not self.rules.stalled[way])
            if self.over:
                return
            if data is None:
                if self.writers[way].can_write_eof():
                    self.writers[way].write_eof()
                return
            self.pass_on(way, data)
            if not self.over:
                await self.writers[way].drain()
            async with self.rules.changed:
                self.waiting[way] -= len(data)
                self.rules.changed.notify_all()

    def pass_on(self, way, data):
        rules = self.rules
        if way == 'up':
            self.protocol.up(data)
            parts = [(data, None)]
        else:
            parts = self.protocol.down(data)
        for part, text in parts:
            kept = None if text is None else rules.affected(text)
            if kept == -1:
                rules.counts['lost'] += 1
                continue
            if kept is not None:
                rules.counts['torn'] += 1
                self.last_words(way, part[:kept])
                return
            if rules.break_after[way] is not None:
                rules.break_after[way] -= len(part)
                if rules.break_after[way] <= 0:
                    kept = len(part) + rules.break_after[way]
                    rules.break_after[way] = None
                    rules.counts['broken'] += 1
                    self.last_words(way, part[:kept])
                    return
            self.writers[way].write(part)

    def last_words(self, way, data):
        """Sends this much, then closes; a reset would lose what has not left yet, so only the other side gets one."""
        self.writers[way].write(data)
        self.over = True
        end(self.writers['down' if way == 'up' else 'up'], 'rst')
        self.writers[way].close()
        for event in self.moved.values():
            event.set()


class Proxy:
    def __init__(self, host, port, protocol):
        self.host, self.port, self.protocol = host, port, protocol
        self.rules, self.connections = Rules(), set()
        self.cuts, self.last_cut = 0, None

    async def accept(self, reader, writer):
        with contextlib.suppress(asyncio.CancelledError):  # the proxy ends
            await self.serve(reader, writer)

    async def serve(self, reader, writer):
        if self.rules.refusing:
            self.rules.counts['refused'] += 1
            end(writer, 'rst')
            return
        cuts = self.cuts
        try:
            server = await asyncio.open_connection(self.host, self.port)
        except OSError:
            end(writer, 'rst')
            return
        if self.cuts != cuts:  # the server saw it before we did
            for each in (writer, server[1]):
                end(each, self.last_cut)
            return
        for each in (writer, server[1]):
            each.get_extra_info('socket').setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rules.counts['accepted'] += 1
        connection = Connection(self.rules, PROTOCOLS[self.protocol](), (reader, writer), server)
        self.connections.add(connection)
        await connection.run()
        self.connections.discard(connection)

    async def command(self, line):
        """Does what a line says; gives what stands behind "ok"."""
        rules = self.rules
        match line.split():
            case ['delay', milliseconds, *ways]:
                for way in self.ways(ways):
                    rules.delay[way] = number(milliseconds) / 1000
            case ['stall' | 'swallow' as what, *ways]:
                for way in self.ways(ways):
                    (rules.stalled if what == 'stall' else rules.swallowed)[way] = True
            case ['resume']:
                for way in WAYS:
                    rules.stalled[way] = rules.swallowed[way] = False
            case ['cut', *how] if how in ([], ['rst'], ['fin']):
                self.cuts, self.last_cut = self.cuts + 1, how[0] if how else 'rst'
                for connection in list(self.connections):
                    connection.cut(self.last_cut)
            case ['refuse']:
                rules.refusing = True
            case ['accept']:
                rules.refusing = False
            case ['break', count, ('up' | 'down') as way]:
                rules.break_after[way] = number(count)
            case ['lose', every, *text] if len(text) < 2:
                self.affect(every, None, text)
            case ['tear', every, count, *text] if len(text) < 2:
                self.affect(every, number(count), text)
            case ['status']:
                names = ('accepted', 'refused', *WAYS, 'lost', 'torn', 'broken')
                return ' '.join([f'connections={len(self.connections)}', *(f'{name}={rules.counts[name]}' for name in names)])
            case _:
                raise CommandError(f'not a command: {line}')
        async with rules.changed:
            rules.changed.notify_all()
        return ''

    def affect(self, every, torn_bytes, text):
        if self.protocol == 'bytes':
            raise CommandError('there are no messages in bytes')
        self.rules.every, self.rules.torn_bytes = number(every), torn_bytes
        self.rules.text, self.rules.matched = text[0].encode() if text else b'', 0

    @staticmethod
    def ways(words):
        if words not in ([], ['up'], ['down']):
            raise CommandError(f'not a way: {" ".join(words)}')
        return words or WAYS


def number(text):
    if not text.isdecimal():
        raise CommandError(f'not a number: {text}')
    return int(text)


async def serve(options):
    host, port = options.to.rsplit(':', 1)
    proxy = Proxy(host, int(port), options.protocol)
    listen_host, listen_port = options.listen.rsplit(':', 1)
    server = await asyncio.start_server(proxy.accept, listen_host, int(listen_port), backlog=1024)
    print(f'port {server.sockets[0].getsockname()[1]}', flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).decode().strip():
        try:
            print(f'ok {await proxy.command(line)}'.strip(), flush=True)
        except CommandError as error:
            print(f'error {error}', flush=True)


class FaultProxy:
    """A proxy process, for tests in Python; close() ends it."""

    def __init__(self, to, protocol='bytes', listen='127.0.0.1:0'):
        self.process = subprocess.Popen([sys.executable, __file__, '--to', to, '--protocol', protocol, '--listen', listen],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith('port '):
            self.close()
            raise RuntimeError(f'the proxy did not start: {line!r}')
        self.port = int(line.split()[1])

    def command(self, line):
        self.process.stdin.write(line + '\n')
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer.startswith('ok'):
            raise RuntimeError(f'{line}: {answer or "the proxy has ended"}')
        return answer[3:]

    def status(self):
        """{name: number}"""
        return {name: int(value) for name, value in (pair.split('=') for pair in self.command('status').split())}

    def close(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--to', required=True, metavar='HOST:PORT')
    parser.add_argument('--listen', default='127.0.0.1:0', metavar='HOST:PORT')
    parser.add_argument('--protocol', choices=PROTOCOLS, default='bytes')
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args()))


if __name__ == '__main__':
    main()
