"""Prints every message of a room once and in order, whatever is lost in between: rejoin.py URL ROOM

It takes: pip install 'python-socketio[asyncio_client]'.  This client connects again by itself, but does not recover what
it missed.  So it rejoins, and asks for what came behind the last number that it has shown: the ten lines of rejoin() and
message().
"""
import asyncio
import sys

import socketio

if len(sys.argv) != 3:
    sys.exit(__doc__.strip())
url, room = sys.argv[1:]
client = socketio.AsyncClient()
seen = 0


async def rejoin():
    await client.call('join', room)
    while missed := (await client.call('history', {'room': room, 'after': seen, 'limit': 200}))['messages']:
        for each in missed:
            show(each['seq'], each['args'])


async def message(*arguments):
    *said, meta, _offset = arguments
    if meta['seq'] > seen + 1:  # what came before it is on its way, or lost
        await rejoin()
    show(meta['seq'], said)


def show(seq, said):
    global seen
    if seq > seen:
        seen = seq
        match said:
            case [{'body': text}, *_]:
                print(seq, text, flush=True)
            case _:  # others in the room may say what they like
                print(seq, said, flush=True)


async def main():
    # In a task of its own: the client does not notice a loss while its connect handler waits for something.
    client.on('connect', lambda: client.start_background_task(rejoin))
    client.on('msg', message)
    await client.connect(url, wait_timeout=30)  # by itself it gives up after a second
    await client.wait()


asyncio.run(main())
