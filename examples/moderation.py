"""Reads the messages of a chat before anyone sees them: moderation.py ENDPOINT [--ban WORD,...] [--mask WORD,...]

Messages with a banned word are refused, the author is told so; others have their masked words starred out, and the rest
passes.  It takes: pip install pyzmq msgpack.  ENDPOINT is the router's: ipc://data/router.ipc beside `hubbub run --data data`.
The configuration says that a backend is asked:

    events = ( { name = "msg"; room = "$.room"; archive = true; dedup = "$.id"; meta = true; ask = true; },
               { name = "typing"; room = "$.room"; deliver = "others"; volatile = true; meta = true; } );

Nothing here is made for Python: this is a backend as docs/protocol.md, section 3, describes it, with the part of the
protocol that a moderator needs.  Start several, and they share the clients; when one dies, another goes on.
"""
import argparse
import enum
import json
import re
import secrets
import signal
import sys
import time

import msgpack
import zmq


class Record(enum.IntEnum):
    SERVE, HOLD, SERVE_END, ACCEPT = 64, 65, 66, 67
    HANDLED, VERDICT, LEAVING = 69, 70, 77
    SERVING, CONNECTION, DISCONNECTION, TAKEN_AWAY = 96, 97, 98, 99
    CALL, JUDGE, CUT = 100, 101, 109


MAJOR, MINOR = 1, 1  # of the protocol: the router may be one minor version older or newer
NEW_CLIENT = 0
PASS, CHANGE, REFUSE = range(3)
INCARNATION = secrets.randbits(48)  # of this run of the program
UNKNOWN = '{"ok":false,"error":{"code":"unknown_event","message":"there is nothing but the chat"}}'


class Lost(Exception):
    """The link is to be made anew."""


class Link:
    """A DEALER socket with numbered batches, from the hello on; held: the sids of the clients from an earlier link."""

    def __init__(self, context, options, held):
        self.socket = context.socket(zmq.DEALER)
        self.socket.connect(options.endpoint)
        self.number = secrets.randbits(64)
        self.sent = self.received = 0
        self.heartbeat, self.dead = 1, 5  # seconds, until the router has said what it wants
        self.heard = time.monotonic()
        self.send([Record.SERVE, 'moderation', INCARNATION, [options.namespace], '1', MINOR],
                  *([Record.HOLD, sid] for sid in held), [Record.SERVE_END, len(held)])

    def send(self, *records):
        self.sent += 1
        self.spoke = time.monotonic()
        self.socket.send(msgpack.packb([MAJOR, self.number, self.sent, self.received, list(records)]))

    def receive(self):
        """The records of the next batch; or none, when it is time to give a sign of life."""
        wait = self.spoke + self.heartbeat - time.monotonic()
        if not self.socket.poll(max(0, wait) * 1000):
            if time.monotonic() - self.heard > self.dead:
                raise Lost('the router is silent')
            return []
        version, link, number, _, records = msgpack.unpackb(self.socket.recv())
        if version != MAJOR:
            raise Lost(f'the router speaks version {version} of the protocol, and this is {MAJOR}.{MINOR}')
        if number == 0:  # the router does not take this link
            raise Lost(records[0][1])
        if (link, number) != (self.number, self.received + 1):
            raise Lost('a batch is not the next one')
        self.received, self.heard = number, time.monotonic()
        return records

    def serve(self, moderator):
        while True:
            answers = [answer for record in self.receive() if (answer := moderator.handle(self, record))]
            if answers or time.monotonic() - self.spoke >= self.heartbeat:
                self.send(*answers)


class Moderator:
    def __init__(self, options):
        self.banned, self.masked = (self.pattern(words) for words in (options.ban, options.mask))
        self.held = set()  # the clients that are this backend's

    @staticmethod
    def pattern(words):
        any_of = '|'.join(re.escape(word) for word in words.split(',') if word)
        return re.compile(rf'\b(?:{any_of})\b' if any_of else '(?!)', re.IGNORECASE)  # (?!) is nowhere

    def handle(self, link, record):
        """Does what the router wants; the record that answers it, if it wants an answer."""
        match record:
            case [Record.SERVING, _, heartbeat, dead, _, *later]:
                minor = later[0] if later else 0  # the first version did not tell
                if abs(minor - MINOR) > 1:
                    raise Lost(f'the router speaks version {MAJOR}.{minor} of the protocol, and this is {MAJOR}.{MINOR}')
                link.heartbeat, link.dead = heartbeat / 1000, dead / 1000
                print('serving', flush=True)
            case [Record.CONNECTION, task, kind, _, sid, *_]:
                self.held.add(sid)
                if kind == NEW_CLIENT:
                    return [Record.ACCEPT, task, '']
            case [Record.DISCONNECTION | Record.TAKEN_AWAY, sid, *_]:
                self.held.discard(sid)
            case [Record.JUDGE, task, _, _, _, _, arguments, *attachments]:
                return [Record.VERDICT, task, *self.judge(arguments), *attachments]
            case [Record.CALL, task, *_]:  # an event for which there is no rule
                return [Record.HANDLED, task, 1, UNKNOWN]
            case [Record.CUT, reason]:
                raise Lost(reason)

    def judge(self, arguments):
        """(verdict, code, message, arguments); arguments are JSON texts joined by commas."""
        before = json.loads(f'[{arguments}]')
        if any(self.banned.search(text) for text in self.texts(before)):
            return REFUSE, 'forbidden', 'mind your language', ''
        after = self.starred(before)
        if after == before:
            return PASS, '', '', ''  # as the bytes that its author sent
        try:
            return CHANGE, '', '', json.dumps(after, allow_nan=False)[1:-1]
        except ValueError:  # such as 1e400, which Python can read but not write
            return REFUSE, 'bad_request', 'a number is too large', ''

    def texts(self, value):
        if isinstance(value, str):
            yield value
        elif isinstance(value, (list, dict)):
            for each in value.values() if isinstance(value, dict) else value:
                yield from self.texts(each)

    def starred(self, value):
        if isinstance(value, str):
            return self.masked.sub(lambda word: '*' * len(word.group()), value)
        if isinstance(value, list):
            return [self.starred(each) for each in value]
        if isinstance(value, dict):  # its room and its id are names, and stay
            return {key: each if key in ('room', 'id') else self.starred(each) for key, each in value.items()}
        return value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0].split(':')[0])
    parser.add_argument('endpoint', help="the router's, such as ipc://data/router.ipc")
    parser.add_argument('--namespace', default='/')
    parser.add_argument('--ban', default='', metavar='WORD,...')
    parser.add_argument('--mask', default='', metavar='WORD,...')
    options = parser.parse_args()
    context, moderator = zmq.Context(), Moderator(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    while True:
        link = Link(context, options, moderator.held)
        try:
            link.serve(moderator)
        except Lost as why:
            print('a new link:', why, file=sys.stderr)
            link.socket.close(0)
            time.sleep(0.2)
        except (KeyboardInterrupt, SystemExit):
            link.send([Record.LEAVING, 'stops'])
            link.socket.close(1000)  # ms that the goodbye may take
            break


if __name__ == '__main__':
    main()
