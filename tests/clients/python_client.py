"""python-socketio through the steps of harness.mjs: python_client.py sync|asyncio|sync-msgpack|asyncio-msgpack URL TRANSPORT."""
import asyncio
import queue
import random
import sys
import threading
import time

import socketio

LIMIT = 60
AGAIN = 5  # seconds for an answer that may have gone with its connection


class Tap:
    def __init__(self):
        self.number = 0

    def line(self, text):
        self.number += 1
        print(text % self.number, flush=True)

    def ok(self, step):
        self.line(f'ok %d - {step}')

    def skip(self, step):
        self.line(f'ok %d - {step} # SKIP nothing can be killed here')

    def failed(self, step, error):
        self.line(f'not ok %d - {step}')
        print(f'# {error!r}', flush=True)

    def done(self):
        print(f'1..{self.number}', flush=True)


def killed():
    """Asks for every gateway to be killed once; whether that was done."""
    print('# kill', flush=True)
    return sys.stdin.readline().strip() == 'killed'


def check(condition, *shown):
    if not condition:
        raise AssertionError(shown)


class Plan:
    """What both kinds of client are put through."""

    def __init__(self, url, transport, msgpack):
        self.url = url
        self.options = {} if transport == 'default' else {'transports': [transport]}
        self.client_options = {'serializer': 'msgpack'} if msgpack else {}
        if msgpack:
            self.options['socketio_path'] = 'msgpack'
        self.wanted = 'polling' if transport == 'polling' else 'websocket'
        self.room = f'room of {transport} {random.random()}'
        self.bytes = bytes(range(256))

    def check_broadcast(self, arguments, body, seq, sid):
        check(arguments[0]['body'] == body, arguments)
        meta = arguments[-2] if isinstance(arguments[-1], str) else arguments[-1]
        check(meta['room'] == self.room and meta['seq'] == seq and meta['from'] == f'anon:{sid}', meta)


class Person:
    """A client with a queue of what came."""

    def __init__(self, plan, namespace='/'):
        self.plan, self.namespace = plan, namespace
        self.client = socketio.Client(**plan.client_options)
        self.events, self.errors, self.away = queue.Queue(), queue.Queue(), threading.Event()
        self.client.on('*', lambda event, *arguments: self.events.put((event, arguments)), namespace=namespace)
        self.client.on('connect_error', self.errors.put, namespace=namespace)
        self.client.on('disconnect', lambda *_: self.away.set(), namespace=namespace)

    def connect(self):
        self.client.connect(self.plan.url, namespaces=[self.namespace], wait_timeout=LIMIT, **self.plan.options)
        return self

    def ask(self, event, data=None, timeout=LIMIT):
        return self.client.call(event, data, namespace=self.namespace, timeout=timeout)

    def next(self, event):
        while True:
            name, arguments = self.events.get(timeout=LIMIT)
            if name == event:
                return arguments

    def join(self, timeout=LIMIT):
        answer = self.ask('join', self.plan.room, timeout)
        check(answer['ok'] is True and answer['room'] == self.plan.room, answer)


def run_sync(plan):
    tap, people = Tap(), []

    def person(namespace='/'):
        people.append(Person(plan, namespace))
        return people[-1]

    def connect():
        for one in (person(), person()):
            one.connect()
            check(one.client.transport() == plan.wanted, one.client.transport())

    def join():
        for one in people[:2]:
            one.join()

    def broadcast():
        people[0].client.emit('msg', ({'room': plan.room, 'body': 'é😀'}, 'second'))
        for one in people[:2]:
            arguments = one.next('msg')
            plan.check_broadcast(arguments, 'é😀', 1, people[0].client.get_sid())
            check(arguments[1] == 'second', arguments)

    def acknowledgement():
        answer = people[1].ask('msg', {'room': plan.room, 'body': 'acknowledged'})
        check(answer['ok'] is True and answer['seq'] == 2 and answer['id'], answer)
        for one in people[:2]:
            one.next('msg')
        check(people[0].ask('echo', (1, [2], {'three': None}))['ok'] is True)
        check(people[0].next('echo')[:3] == (1, [2], {'three': None}))

    def binary():
        people[0].client.emit('echo', ({'deep': [plan.bytes]}, 'between', b'', plan.bytes))
        check(people[0].next('echo')[:4] == ({'deep': [plan.bytes]}, 'between', b'', plan.bytes))
        check(people[0].ask('msg', {'room': plan.room, 'data': plan.bytes})['ok'] is True)
        check(people[1].next('msg')[0]['data'] == plan.bytes)

    def custom():
        one = person('/custom').connect()
        one.client.emit('echo', 'there', namespace='/custom')
        check(one.next('echo')[0] == 'there')
        check(one.ask('join', plan.room)['members'] == 1)
        one.client.disconnect()

    def unknown():
        one = person('/unknown')
        try:
            one.connect()
            check(False, 'connected')
        except socketio.exceptions.ConnectionError:
            error = one.errors.get(timeout=LIMIT)
        check('Invalid namespace' in str(error), error)

    def reconnect():
        for one in people[:2]:
            one.away.clear()
        if not killed():
            return False
        for one in people[:2]:
            check(one.away.wait(LIMIT), 'nobody noticed')
        end = time.monotonic() + LIMIT
        while True:
            try:
                for one in people[:2]:
                    one.join(AGAIN)
                break
            except (socketio.exceptions.SocketIOError, AssertionError):
                check(time.monotonic() < end, 'not back')
                time.sleep(0.1)
        check(people[0].ask('msg', {'room': plan.room, 'body': 'back'})['ok'] is True)
        while people[1].next('msg')[0].get('body') != 'back':
            pass
        return True

    for name, step in (('connect', connect), ('join', join), ('broadcast', broadcast), ('acknowledgement', acknowledgement),
                       ('binary', binary), ('custom namespace', custom), ('unknown namespace', unknown),
                       ('reconnect', reconnect)):
        try:
            tap.skip(name) if step() is False else tap.ok(name)
        except Exception as error:  # whatever it is, it is the step that failed
            tap.failed(name, error)
            break
    for one in people:
        one.client.disconnect()
    tap.done()


class AsyncPerson:
    def __init__(self, plan, namespace='/'):
        self.plan, self.namespace = plan, namespace
        self.client = socketio.AsyncClient(**plan.client_options)
        self.events, self.errors, self.away = asyncio.Queue(), asyncio.Queue(), asyncio.Event()

        async def came(event, *arguments):
            await self.events.put((event, arguments))

        async def refused(*error):
            await self.errors.put(error)

        async def left(*_):
            self.away.set()
        self.client.on('*', came, namespace=namespace)
        self.client.on('connect_error', refused, namespace=namespace)
        self.client.on('disconnect', left, namespace=namespace)

    async def connect(self):
        await self.client.connect(self.plan.url, namespaces=[self.namespace], wait_timeout=LIMIT, **self.plan.options)
        return self

    async def ask(self, event, data=None, timeout=LIMIT):
        return await self.client.call(event, data, namespace=self.namespace, timeout=timeout)

    async def next(self, event):
        while True:
            name, arguments = await asyncio.wait_for(self.events.get(), LIMIT)
            if name == event:
                return arguments

    async def join(self, timeout=LIMIT):
        answer = await self.ask('join', self.plan.room, timeout)
        check(answer['ok'] is True and answer['room'] == self.plan.room, answer)


async def run_async(plan):
    tap, people = Tap(), []

    def person(namespace='/'):
        people.append(AsyncPerson(plan, namespace))
        return people[-1]

    async def connect():
        for one in (person(), person()):
            await one.connect()
            check(one.client.transport() == plan.wanted, one.client.transport())

    async def join():
        await asyncio.gather(*(one.join() for one in people[:2]))

    async def broadcast():
        await people[0].client.emit('msg', ({'room': plan.room, 'body': 'é😀'}, 'second'))
        for one in people[:2]:
            arguments = await one.next('msg')
            plan.check_broadcast(arguments, 'é😀', 1, people[0].client.get_sid())
            check(arguments[1] == 'second', arguments)

    async def acknowledgement():
        answer = await people[1].ask('msg', {'room': plan.room, 'body': 'acknowledged'})
        check(answer['ok'] is True and answer['seq'] == 2 and answer['id'], answer)
        for one in people[:2]:
            await one.next('msg')
        check((await people[0].ask('echo', (1, [2], {'three': None})))['ok'] is True)
        check((await people[0].next('echo'))[:3] == (1, [2], {'three': None}))

    async def binary():
        await people[0].client.emit('echo', ({'deep': [plan.bytes]}, 'between', b'', plan.bytes))
        check((await people[0].next('echo'))[:4] == ({'deep': [plan.bytes]}, 'between', b'', plan.bytes))
        check((await people[0].ask('msg', {'room': plan.room, 'data': plan.bytes}))['ok'] is True)
        check((await people[1].next('msg'))[0]['data'] == plan.bytes)

    async def custom():
        one = await person('/custom').connect()
        await one.client.emit('echo', 'there', namespace='/custom')
        check((await one.next('echo'))[0] == 'there')
        check((await one.ask('join', plan.room))['members'] == 1)
        await one.client.disconnect()

    async def unknown():
        one = person('/unknown')
        try:
            await one.connect()
            check(False, 'connected')
        except socketio.exceptions.ConnectionError:
            error = await asyncio.wait_for(one.errors.get(), LIMIT)
        check('Invalid namespace' in str(error), error)

    async def reconnect():
        for one in people[:2]:
            one.away.clear()
        if not await asyncio.get_running_loop().run_in_executor(None, killed):
            return False
        for one in people[:2]:
            await asyncio.wait_for(one.away.wait(), LIMIT)
        end = time.monotonic() + LIMIT
        while True:
            try:
                for one in people[:2]:
                    await one.join(AGAIN)
                break
            except (socketio.exceptions.SocketIOError, AssertionError):
                check(time.monotonic() < end, 'not back')
                await asyncio.sleep(0.1)
        check((await people[0].ask('msg', {'room': plan.room, 'body': 'back'}))['ok'] is True)
        while (await people[1].next('msg'))[0].get('body') != 'back':
            pass
        return True

    for name, step in (('connect', connect), ('join', join), ('broadcast', broadcast), ('acknowledgement', acknowledgement),
                       ('binary', binary), ('custom namespace', custom), ('unknown namespace', unknown),
                       ('reconnect', reconnect)):
        try:
            tap.skip(name) if await step() is False else tap.ok(name)
        except Exception as error:  # whatever it is, it is the step that failed
            tap.failed(name, error)
            break
    for one in people:
        await one.client.disconnect()
    tap.done()


def main():
    kind, url, transport = sys.argv[1:]
    plan = Plan(url, transport, kind.endswith('-msgpack'))
    if kind.startswith('sync'):
        run_sync(plan)
    else:
        asyncio.run(run_async(plan))


if __name__ == '__main__':
    main()
