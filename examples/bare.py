"""Prints the messages of a room, each once and in order, whatever is lost in between: bare.py ws://HOST:PORT/ws ROOM [TEXT]

With TEXT it says that first, and once: the id makes a repetition harmless. It takes: pip install websocket-client
"""
import json
import sys
import time
import urllib.parse
import uuid

import websocket

if len(sys.argv) < 3:
    sys.exit(__doc__.strip())
url, room, *text = sys.argv[1:]
message = {'data': {'name': 'script', 'body': text[0]}, 'id': str(uuid.uuid4()), 'ref': 1} if text else None
seen = None  # the last number that was printed


def body(arguments):
    match arguments:
        case [{'body': text}, *_]:
            return text
    return json.dumps(arguments)  # others in the room may say what they like


def follow(socket):
    global message, seen
    if message:
        socket.send(json.dumps(message))
    while True:
        opcode, data = socket.recv_data()  # pings are answered in there
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            return int.from_bytes(data[:2], 'big'), data[2:].decode()
        frame = json.loads(data)
        if frame['type'] == 'open' and seen is None:
            seen = frame['seq']
        elif frame['type'] == 'ack' and frame['ok']:
            message = None
        elif frame['type'] == 'event' and 'seq' in frame.get('meta', {}):
            seen = frame['meta']['seq']
            print(seen, body(frame['args']), flush=True)


while True:
    try:
        after = '' if seen is None else f'&after={seen}'
        code, reason = follow(websocket.create_connection(f'{url}?room={urllib.parse.quote(room)}{after}'))
    except (OSError, websocket.WebSocketException):
        code, reason = 1006, 'the connection is lost'
    if 4400 <= code < 4450:  # the same would be refused again
        sys.exit(f'{code} {reason}')
    time.sleep(0.2)
