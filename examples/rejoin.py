"""Prints every message of a room once and in order, whatever is lost in between: rejoin.py URL ROOM

It takes: pip install 'python-socketio[asyncio_client]'.  This client comes back by itself, but does not recover: so it
rejoins, and asks for what came behind its last number.
"""
import asyncio
import sys

import socketio

url, room = sys.argv[1:]
client = socketio.AsyncClient()
seen = 0


def show(message):
    global seen
    if message['seq'] > seen:
        seen = message['seq']
        print(seen, message['args'][0].get('body'), flush=True)


@client.event
async def connect():
    await client.call('join', room)
    await catch_up()


async def catch_up():
    page = {'more': True}
    while page['more']:
        page = await client.call('history', {'room': room, 'after': seen, 'limit': 200})
        for message in page['messages']:
            show(message)


@client.event
async def msg(argument, meta, _offset):
    if meta['seq'] == seen + 1:
        show({**meta, 'args': [argument]})
    else:  # what came before it is on its way, and it comes with that
        await catch_up()


async def main():
    await client.connect(url)
    await client.wait()


asyncio.run(main())
