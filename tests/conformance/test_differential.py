"""The same bytes to the reference server and to Hubbub, and the same answers back.

Each probe sends raw bytes to one of them and notes what comes back; what cannot be equal (ids, dates, how a body is
framed) is made so.  The notes of both must be equal, unless the probe stands in differences.py: then ours must be
as it says there, and different from the reference's, so that a difference that has gone is found, too.

A probe is a function that takes a Side and gives a list of notes; its name is what it is about.
"""
import itertools
import json
import re
import unittest

from differences import DIFFERENCES, RACES
from probes import (CLOSE_FRAME, QUERY, SYNC, WEBSOCKET, Side, abort_get, again_until, ask, chunked, end_of_session,
                    frames, get, get_answer, get_coding, http, normal, other_method, overlapping_gets,
                    overlapping_posts, packets, pending_get_gets, pipelined, polls, post, post_answer, raw, say,
                    second_websocket, session, spoken, upgrade, upgrade_request, websocket, with_query, ws_closes,
                    ws_drops, ws_says)
from programs import REFERENCE, Reference, SAME_AS_REFERENCE, Stack
from raw_client import CLOSE, PING, TEXT, Response, close_payload, frame, handshake

# What the two are started with: options of the reference, keys of the gateway.
SETUPS = {
    'plain': ({}, {}),
    'limits': ({'maxHttpBufferSize': 2000}, {'max_payload': 2000}),
    'hasty': ({'pingInterval': 150, 'pingTimeout': 150, 'connectTimeout': 200, 'upgradeTimeout': 100},
              {'ping_interval': 150, 'ping_timeout': 150, 'connect_timeout': 200, 'upgrade_timeout': 100}),
    'cors': ({'cors': {'origin': ['http://example.com', 'http://other.example'], 'credentials': True}, 'cookie': True},
             {'cors_origins': '"http://example.com http://other.example"', 'cors_credentials': 'true', 'cookie': '"io"'}),
    'anyone': ({'cors': {'origin': '*'}}, {'cors_origins': '"*"'}),
    'deflate': ({'perMessageDeflate': {'threshold': 1024}}, {'compression': 'true', 'compression_threshold': 1024}),
    'echo': ({}, {'echo': 'true'}),
    'recovery': ({'connectionStateRecovery': {}}, {}),
}
# These times are so short that a pause of the machine is as long: then one of the two is probed too late, and the notes say nothing.
TRIES = {'hasty': 30}
RULES = {'recovery': SAME_AS_REFERENCE.replace('recovery = false', 'recovery = true')}

PLACEHOLDER = '{"_placeholder":true,"num":%d}'
ONE = PLACEHOLDER % 0

PLAIN = {
    # A1, A2, A3: paths, the query, the order of refusals
    'open': ask('GET', QUERY),
    'open, with more in the query': ask('GET', f't=PabcDEF&{QUERY}&token=1'),
    'open, b64': ask('GET', f'{QUERY}&b64=1'),
    'open, JSONP': ask('GET', f'{QUERY}&j=0'),
    'open, sid empty': ask('GET', f'{QUERY}&sid='),
    'open, to be closed': ask('GET', QUERY, ('Connection: close',)),
    'open, an origin': ask('GET', QUERY, ('Origin: http://example.com',)),
    'open, an old browser': ask('GET', QUERY, ('User-Agent: Mozilla/4.0 (compatible;MSIE 6.0; Trident/4.0)',)),
    'open, HTTP/1.0': raw(b'GET /socket.io/?EIO=4&transport=polling HTTP/1.0\r\n\r\n'),
    'open, percent signs': ask('GET', 'E%49O=4&transport=poll%69ng'),
    'open, a suffix': ask('GET', QUERY, path='/socket.io/foo/bar'),
    'open, no slash': ask('GET', QUERY, path='/socket.io'),
    'open, other path': ask('GET', QUERY, path='/other/'),
    'EIO 3': ask('GET', 'EIO=3&transport=polling'),
    'EIO 5': ask('GET', 'EIO=5&transport=polling'),
    'EIO absent': ask('GET', 'transport=polling'),
    'EIO 3, transport bad': ask('GET', 'EIO=3&transport=abc'),
    'transport absent': ask('GET', 'EIO=4'),
    'transport bad': ask('GET', 'EIO=4&transport=abc'),
    'transport webtransport': ask('GET', 'EIO=4&transport=webtransport'),
    'transport websocket, no upgrade': ask('GET', WEBSOCKET),
    'transport websocket, no upgrade, POST': ask('POST', WEBSOCKET, body=b''),
    'sid unknown': ask('GET', f'{QUERY}&sid=nope'),
    'sid unknown, POST': ask('POST', f'{QUERY}&sid=nope', body=b'4x'),
    'sid unknown, EIO 3': ask('GET', 'EIO=3&transport=polling&sid=nope'),
    'sid unknown, transport bad': ask('GET', 'EIO=4&transport=abc&sid=nope'),
    'sid of an object': ask('GET', f'{QUERY}&sid=__proto__'),
    **{f'{method} without a session': ask(method, QUERY, body=body)
       for method, body in (('POST', b''), ('POST', b'40'), ('PUT', b''), ('HEAD', None), ('OPTIONS', None), ('DELETE', None),
                            ('PATCH', b'x'))},
    'OPTIONS, a preflight': ask('OPTIONS', QUERY, ('Origin: http://a.b', 'Access-Control-Request-Method: POST',
                                                   'Access-Control-Request-Headers: x-foo')),
    'an origin that is no field': ask('GET', QUERY, ('Origin: a\x7fb',)),
    'client bundle, known': ask('GET', None, ('If-None-Match: "4.8.4"',), path='/socket.io/socket.io.min.js'),

    # HTTP
    'head: no host': raw(http('GET', f'/socket.io/?{QUERY}', host=None)),
    'head: bad line': raw(b'GET\r\n\r\n'),
    'head: blank before colon': raw(http('GET', f'/socket.io/?{QUERY}', ('X : y',))),
    'head: two lengths': raw(http('POST', f'/socket.io/?{QUERY}', ('Content-Length: 1', 'Content-Length: 2'))),
    'head: length and chunked': raw(http('POST', f'/socket.io/?{QUERY}', ('Content-Length: 1', 'Transfer-Encoding: chunked'))),
    'head: length no number': raw(http('POST', f'/socket.io/?{QUERY}', ('Content-Length: x',))),
    'two requests at once': raw(http('GET', f'/socket.io/?{QUERY}') + http('GET', '/socket.io/?EIO=4'), count=2),

    # A5, A6: polling
    'answer of POST': session(post_answer('40/custom,')),
    'answer of GET': session(post('40/custom,'), get_answer()),
    'utf-8': session(post('42["echo","é€😀"]'), get()),
    'two packets': session(post('42["echo",1]\x1e42["echo",2]'), packets(2)),
    'binary': session(post(f'451-["echo",{ONE}]\x1ebAQIDBA=='), get()),
    'binary, base64 without padding': session(post(f'451-["echo",{ONE}]\x1ebAQIDBA'), get()),
    'binary, URL-safe base64': session(post(f'451-["echo",{ONE}]\x1eb_-8'), get()),
    'binary, odd base64': session(post(f'451-["echo",{ONE}]\x1ebA!Q*ID'), get()),
    'binary, empty': session(post(f'451-["echo",{ONE}]\x1eb'), get()),
    'packets of servers': session(post('0\x1e5\x1e6\x1e3\x1e3probe'), post('42["echo",1]'), get()),
    **{f'POST {body!r}': session(post(body), end_of_session) for body in ('abc', '', '2', '2probe', '7', '\x1e', '4', 'é')},
    'POST of an octet-stream': session(post('4a', 'Content-Type: application/octet-stream'), end_of_session),
    'POST of a form': session(post('42["echo",1]', 'Content-Type: application/x-www-form-urlencoded'), get()),
    'POST of an unknown type': session(post('42["echo",1]', 'Content-Type: x/y; charset=utf-16'), get()),
    'POST chunked': session(chunked(b'42["ec', b'ho",1', b']'), get()),
    'POST chunked, extensions and trailers': session(chunked(b'42["echo",1]', tail=b'0;a=b\r\nX: y\r\n\r\n'), get()),
    'POST chunked, no hexadecimal': session(chunked(tail=b'x\r\n\r\n')),
    'POST and GET, pipelined': session(pipelined(b'42["echo",1]', None)),
    'GET and POST, pipelined': session(pipelined(None, b'42["echo",1]')),
    'POST and POST, pipelined': session(pipelined(b'42["echo",1]', b'42["echo",2]')),
    **{f'{method} with a session': session(other_method(method, body), post('42["echo",1]'), get())
       for method, body in (('PUT', 'x'), ('DELETE', None), ('PATCH', 'x'), ('OPTIONS', None))},
    'GETs overlap': session(overlapping_gets),
    'POSTs overlap': session(overlapping_posts),
    'GET aborted': session(abort_get),
    'POST 1, GET pending': session(pending_get_gets('1'), get()),
    'POST 1': session(post('1'), get()),
    'POST of a bad packet, GET pending': session(pending_get_gets('42[]'), get()),
    'POST of a bad packet': session(post('42[]'), end_of_session),
    'session, transport websocket': session(with_query(f'{WEBSOCKET}&sid=SID')),
    'session, transport bad': session(with_query('EIO=4&transport=abc&sid=SID')),
    'session, EIO 3': session(with_query('EIO=3&transport=polling&sid=SID')),
    'session, EIO 3, POST': session(with_query('EIO=3&transport=polling&sid=SID', 'POST', '3')),
    'session, EIO absent': session(with_query('transport=polling&sid=SID')),
    'session, more in the query': session(with_query(f'{QUERY}&sid=SID&t=abc&x=y', 'POST', '3')),
    'CONNECT and an event at once': session(post('40\x1e42["echo",1]'), packets(2), join=False),
    **{f'gzip: {coding}, {size} bytes': session(post('42["echo","' + 'x' * (size - 13) + '"]'), get_coding(coding))
       for coding, size in (('gzip', 1023), ('gzip', 1024), ('deflate', 2000), ('gzip, deflate', 2000), ('deflate, gzip', 2000),
                            ('br', 2000), ('gzip;q=0', 2000), ('*', 2000), ('gzip;q=0.1, deflate', 2000), ('identity', 2000))},

    # A7: WebSocket
    'ws: open': upgrade_request(),
    'ws: an origin': upgrade_request(fields=('Origin: http://example.com',)),
    'ws: deflate is offered': upgrade_request(fields=('Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits',)),
    'ws: subprotocols': upgrade_request(fields=('Sec-WebSocket-Protocol: foo, bar',)),
    'ws: EIO 3': upgrade_request('EIO=3&transport=websocket'),
    'ws: EIO absent': upgrade_request('transport=websocket'),
    'ws: transport bad': upgrade_request('EIO=4&transport=abc'),
    'ws: transport polling': upgrade_request(QUERY),
    'ws: sid unknown': upgrade_request(f'{WEBSOCKET}&sid=nope'),
    **{f'ws: {text!r}': websocket(text) for text in ('2', '2probe', '3', '3probe', '5', '6', '0', '7', '', '4', 'x', 'bAQID', 'é', '1')},
    'ws: binary alone': websocket(b'\1\2'),
    'ws: client closes': websocket((frame(CLOSE, close_payload(1000, 'bye'), mask=b'abcd'),)),
    'ws: client closes, no code': websocket((frame(CLOSE, mask=b'abcd'),)),
    'ws: ping': websocket((frame(PING, b'abc', mask=b'abcd'),)),
    'ws: no utf-8': websocket((frame(TEXT, b'\xff\xfe', mask=b'abcd'),)),
    'ws: reserved bit': websocket((frame(TEXT, '4x', rsv=4, mask=b'abcd'),)),
    'ws: not masked': websocket((frame(TEXT, '40', mask=None),)),
    'ws: fragments': websocket((frame(TEXT, '40/no', fin=False, mask=b'abcd') + frame(PING, b'x', mask=b'abcd') +
                                frame(0, 'pe,', mask=b'abcd'),)),
    'ws: continuation alone': websocket((frame(0, '40', mask=b'abcd'),)),
    'ws: opcode 3': websocket((frame(3, '40', mask=b'abcd'),)),
    'ws: a long ping': websocket((frame(PING, b'x' * 126, mask=b'abcd'),)),

    # A10: the upgrade
    'upgrade': upgrade(ws_says('2probe', hears='3probe'), polls(get()),
                       ws_says('5', '42["echo",1]', hears='42["echo",1]'), polls(get()), polls(post('3')), second_websocket),
    'upgrade without a probe': upgrade(ws_says('5', '42["echo",1]', hears='42["echo",1]')),
    'upgrade, second WebSocket': upgrade(ws_says('2probe', hears='3probe'), second_websocket, polls(post('42["echo",1]')),
                                         polls(packets(1))),
    **{f'upgrade, {text!r} first': upgrade(ws_says(text), polls(post('42["echo",1]')), polls(get()))
       for text in ('4hello', '40', '2', '3', '6', '2prob', '', 'x')},
    'upgrade, the WebSocket goes': upgrade(ws_says('2probe', hears='3probe'), ws_drops, polls(post('42["echo",1]')),
                                           polls(packets(1)), again_until('3probe')),
    'upgrade, the session closes': upgrade(ws_says('2probe', hears='3probe'), polls(post('1')), ws_closes, polls(get())),
    'upgrade, messages meanwhile': upgrade(ws_says('2probe', hears='3probe'), polls(post('42["echo",1]')), polls(packets(1)),
                                           polls(post('42["echo",2]')), ws_says('5', hears='42["echo",2]')),

    # B1, B3, B5: packets of Socket.IO
    **{f'connect {connect!r}': spoken(connect=connect)
       for connect in ('40', '401', '40/', '40/,', '40{}', '40{"token":"123"}', '40/custom', '40/custom,', '40/custom,{"a":[1]}',
                       '40/nope,', '40/nope,{"a":1}', '40/custom?x=1,', '40/Custom,', '40//')},
    **{f'connect with {auth}': websocket(f'40{auth}') for auth in ('null', '[]', '"x"', '{', '{}x', "{'a':1}", 'true')},
    'connect twice': spoken('40'),
    'connect to two': spoken('40/custom,', SYNC, '42/custom,["echo",1]'),
    'connect to two, an event at once': spoken('40/custom,', '42/custom,["echo",1]'),
    'event, not connected': websocket('42["echo",1]'),
    'ack, not connected': websocket('431[]'),
    'disconnect, not connected': websocket('41'),
    **{f'say {text!r}': spoken(text)
       for text in ('42/custom,["echo",1]', '42/nope,["echo",1]', '41/custom,', '41/nope,', '41{"a":1}', '44{"message":"x"}',
                    '43[1]', '4399[1]', '430{"a":1}', '43/custom,1[]', '42[]', '42{}', '42"a"', '42null', '42', '42[1,2]', '42[null]',
                    '42[true]', '42["connect"]', '42["connect_error"]', '42["disconnect"]', '42["disconnecting"]',
                    '42["newListener"]', '42["removeListener"]', '42["echo",1]x', '42["echo",1', '42 ["echo",1]',
                    '42[ "echo" , 1 ]', '42007["echo",1]', '4299999999999999999999["echo",1]', '429007199254740993["echo",1]',
                    '42-1["echo",1]', '42 5["echo",1]', '421["nobody",1]', '42["nobody",1]', '47', '49', '4b', '4 ["echo",1]', '4a',
                    '42["echo",1.0,1e3,-0,12345678901234567890,1e400,0.1]', '42["echo",{"a":1,"a":2}]',
                    '42["echo",{"b":1,"2":1,"1":1}]', '42["echo","\\u00e9\\ud83d\\ude00\\u0000\\/é","\\ud800"]',
                    '42["echo",01]', '42["echo",\'a\']', '42["echo",NaN]', '42["echo",]', '42["echo",{"a"}]',
                    '42["echo",{"_placeholder":true,"num":0}]', '427["echo",[1,{"a":null}]]')},
    **{f'an event {depth} levels deep': spoken('42["echo",' + '[' * (depth - 1) + ']' * (depth - 1) + ']') for depth in (100, 128, 129)},
    'disconnect, then an event': spoken('41', SYNC, '42["echo",1]'),
    'disconnect, then connect': spoken('41', SYNC, '40', re.compile('40')),
    'disconnect, then connect at once': spoken('41', '40'),
    'disconnect one of two': spoken('40/custom,', re.compile('40/custom,'), '41/custom,'),

    # B2: binary
    **{f'binary: {name}': spoken(*messages) for name, messages in {
        'an event': (f'451-["echo",{ONE}]', b'\1\2\3'),
        'nested and turned round': (f'452-["echo",{{"a":[{PLACEHOLDER % 1}],"b":{ONE}}}]', b'\1', b'\2'),
        'twice the same': (f'451-["echo",{ONE},{ONE}]', b'\1'),
        'with an id': (f'451-7["echo",{ONE}]', b'\1'),
        'count 0': ('450-["echo",1]',),
        'count 10': (f'4510-["echo",{ONE}]', *[b'\1'] * 10),
        'count 11': ('4511-["echo"]',),
        'count missing': ('45-["echo"]',),
        'no dash': ('451["echo"]',),
        'count no number': ('45x-["echo"]',),
        'count 1e0': ('451e0-["echo"]', b'\1'),
        'count 01': (f'4501-["echo",{ONE}]', b'\1'),
        'index too high': (f'451-["echo",{PLACEHOLDER % 1}]', b'\1'),
        'index negative': (f'451-["echo",{PLACEHOLDER % -1}]', b'\1'),
        'index missing': ('451-["echo",{"_placeholder":true}]', b'\1'),
        'index a text': ('451-["echo",{"_placeholder":true,"num":"0"}]', b'\1'),
        'index 0.5': ('451-["echo",{"_placeholder":true,"num":0.5}]', b'\1'),
        'placeholder false': ('451-["echo",{"_placeholder":false,"num":0}]', b'\1'),
        'placeholder with more': ('451-["echo",{"_placeholder":true,"num":0,"more":1}]', b'\1'),
        'no placeholder': ('451-["echo",1]', b'\1'),
        'text in between': (f'451-["echo",{ONE}]', '42["echo",1]'),
        'pong in between': (f'451-["echo",{ONE}]', '3', b'\1'),
        'unexpected': (b'\1',),
        'empty': (f'451-["echo",{ONE}]', b''),
        'ack of nothing': (f'461-5[{ONE}]', b'\1'),
        'reserved name': (f'451-["connect",{ONE}]', b'\1'),
        'not joined': (f'451-/custom,["echo",{ONE}]', b'\1'),
        'no array': (f'451-{{"a":{ONE}}}', b'\1'),
        'ack without id': (f'461-[{ONE}]', b'\1'),
    }.items()},
}

LIMITS = {
    'a body at the limit': session(post('42["echo","' + 'x' * (2000 - 13) + '"]'), get()),
    'a body over it': session(post_answer('4' + 'x' * 2000), post('42["echo",1]'), get()),
    'chunks over it': session(chunked(b'4' + b'x' * 2000), post('42["echo",1]'), get()),
    'open': ask('GET', QUERY),
    'ws: a text at the limit': spoken('42["echo","' + 'x' * (2000 - 13) + '"]'),
    'ws: a text over it': spoken('42["echo","' + 'x' * 2000 + '"]'),
    'ws: fragments over it': spoken((frame(TEXT, '4' + 'x' * 1500, fin=False, mask=b'abcd') + frame(0, 'x' * 1500, mask=b'abcd'),)),
    'ws: binary over it': spoken(f'451-["echo",{ONE}]', b'x' * 2001),
}


def closing(*messages):
    """A probe: what a WebSocket is told until the server closes it."""
    def probe(side):
        with side.websocket() as peer:
            return [*say(peer, messages), *frames(peer)]
    return probe


HASTY = {
    'nobody joins, polling': session(end_of_session, join=False),
    'nobody joins, websocket': closing(),
    'no pong, websocket': closing('40'),
    'no pong, polling': session(get(), end_of_session),
    'a probe alone': upgrade(ws_says('2probe'), ws_closes),
}


CORS = {
    **{f'{name}, {origin}': ask(method, query, (f'Origin: {origin}',), body)
       for name, method, query, body in (('open', 'GET', QUERY, None), ('refused', 'GET', 'EIO=4', None),
                                         ('sid unknown', 'POST', f'{QUERY}&sid=nope', b'x'))
       for origin in ('http://example.com', 'http://other.example', 'http://evil.example', 'null')},
    'open, no origin': ask('GET', QUERY),
    **{f'preflight, {name}': ask('OPTIONS', QUERY, fields) for name, fields in {
        'headers': ('Origin: http://example.com', 'Access-Control-Request-Method: POST', 'Access-Control-Request-Headers: x-foo, y'),
        'no headers': ('Origin: http://example.com', 'Access-Control-Request-Method: POST'),
        'another origin': ('Origin: http://evil.example', 'Access-Control-Request-Method: POST'),
        'nothing': (),
    }.items()},
    'preflight of an unknown session': ask('OPTIONS', f'{QUERY}&sid=nope', ('Origin: http://example.com',)),
    'ws: an origin': upgrade_request(fields=('Origin: http://example.com',)),
    'ws: another origin': upgrade_request(fields=('Origin: http://evil.example',)),
    'ws: refused': upgrade_request('EIO=4', fields=('Origin: http://example.com',)),
}

ANYONE = {
    'open': ask('GET', QUERY, ('Origin: http://example.com',)),
    'open, no origin': ask('GET', QUERY),
    'refused': ask('GET', 'EIO=4', ('Origin: http://example.com',)),
    'preflight': ask('OPTIONS', QUERY, ('Origin: http://example.com', 'Access-Control-Request-Method: POST',
                                        'Access-Control-Request-Headers: content-type')),
    'ws: an origin': upgrade_request(fields=('Origin: http://example.com',)),
    'POST': session(post_answer('42["echo",1]')),
}


def offers(side):
    """What is agreed on for each offer; frames are Autobahn's matter."""
    notes = []
    for offer in ('permessage-deflate', 'permessage-deflate; client_max_window_bits',
                  'permessage-deflate; server_no_context_takeover', 'permessage-deflate; client_no_context_takeover',
                  'permessage-deflate; server_no_context_takeover; client_no_context_takeover',
                  'permessage-deflate; server_max_window_bits=10', 'permessage-deflate; client_max_window_bits=10',
                  'x-other', 'x-other, permessage-deflate', 'permessage-deflate; unknown', 'permessage-deflate; server_max_window_bits=7',
                  'permessage-deflate; server_max_window_bits=16', 'permessage-deflate; unknown, permessage-deflate'):
        with side.connection() as connection:
            connection.send(handshake(f'/socket.io/?{WEBSOCKET}', fields=(f'Sec-WebSocket-Extensions: {offer}',)))
            response = Response(connection)
            notes.append([offer, response.status, response.fields.get('sec-websocket-extensions')])
    return notes


DEFLATE = {'offers': offers}

ECHO = {
    'open': ask('GET', QUERY, path='/engine.io/'),
    'ws: open': upgrade_request(path='/engine.io/'),
    'messages': session(post('4test1\x1e4test2\x1e4test3'), get(), path='/engine.io/'),
    'binary': session(post('4a\x1ebAQIDBA=='), get(), path='/engine.io/'),
    'no message': session(post('abc'), end_of_session, path='/engine.io/'),
    'ws: messages': websocket('4a', '4é', b'\1\2', path='/engine.io/'),
    'ws: empty message': websocket('4', path='/engine.io/'),
    'ws: ping': websocket('2', path='/engine.io/'),
    'sid unknown': ask('GET', f'{QUERY}&sid=nope', path='/engine.io/'),
    'no slash': ask('GET', QUERY, path='/engine.io'),
}

ROOMS = itertools.count()
OFFSET = re.compile(r',"([A-Za-z0-9_.:-]{7,})"\]\Z')


def plain_packet(text):
    """A packet without what differs each time."""
    text = re.sub(r'anon:[A-Za-z0-9_-]{20}', 'anon:S', re.sub(r'"at":\d+', '"at":0', normal(text)))
    return re.sub(r'"pid":"[^"]+"', '"pid":"P"', OFFSET.sub(',"OFFSET"]', text))


def recovery(received, missed, last=CLOSE_FRAME, changed=lambda auth: auth):
    """A probe of a client that gets some events, says something last, and comes back when it has missed others."""
    def publish(peer, room, events, name):
        for number, event in enumerate(events):
            peer.send_text(f'421["{event}",{{"room":"{room}","id":"{name} {event} {number}"}}]')
            while not peer.read_text().startswith('431'):
                pass

    def probe(side):
        room = f'room-{next(ROOMS)}'
        with side.websocket() as author, side.websocket() as lost, side.websocket() as back:
            for peer in (author, lost):
                peer.send_text('40')
                answer = peer.read_text()
                peer.send_text(f'421["join","{room}"]')
                peer.read_text()
            publish(author, room, received, 'received')
            texts = [lost.read_text() for _ in received]
            offsets = [match[1] for match in map(OFFSET.search, texts) if match]
            notes = [plain_packet(text).replace(room, 'r') for text in (answer, *texts)]
            lost.send(last)
            lost.read_frame()
            lost.socket.close()
            publish(author, room, ['presence'], '')  # the server hears of the loss before this
            publish(author, room, missed, 'missed')
            auth = {'pid': re.search(r'"pid":"([^"]+)"', answer)[1]} | ({'offset': offsets[-1]} if offsets else {})
            back.send_text('40' + json.dumps(changed(auth)))
            while not (text := back.read_text()).startswith('431'):
                if text.startswith('40'):
                    back.send_text('421["presence","r"]')  # what comes has come before the answer to this
                    text = 'as before' if text == answer else 'as another'
                notes.append(plain_packet(text).replace(room, 'r'))
            return notes
    return probe


RECOVERY = {
    'two missed': recovery(['msg'], ['msg', 'msg']),
    'nothing missed': recovery(['msg', 'msg'], []),
    'nothing received': recovery([], ['msg']),
    'a volatile event last': recovery(['msg', 'typing'], ['msg']),
    'after a disconnect': recovery(['msg'], ['msg'], frame(TEXT, '41') + CLOSE_FRAME),
    'after a bad packet': recovery(['msg'], [], frame(TEXT, '42[')),
    'after one in a wrong state': recovery(['msg'], [], frame(TEXT, '40')),
    'without a pid': recovery(['msg'], ['msg'], changed=lambda auth: {'offset': auth['offset']}),
    'a pid that is none': recovery(['msg'], ['msg'], changed=lambda auth: {**auth, 'pid': 'x' * len(auth['pid'])}),
    'an offset that is none': recovery(['msg'], ['msg'], changed=lambda auth: {**auth, 'offset': 'x'}),
    'more in the auth': recovery(['msg'], [], changed=lambda auth: {'token': 1, **auth}),
}

PROBES = {'recovery': RECOVERY, 'plain': PLAIN, 'limits': LIMITS, 'hasty': HASTY, 'cors': CORS, 'anyone': ANYONE, 'deflate': DEFLATE, 'echo': ECHO}

INTENDED = {name: (reason, notes) for reason, probes in DIFFERENCES for name, notes in probes.items()}


class Differential(unittest.TestCase):
    maxDiff = None

    @classmethod
    def compare(cls, setup):
        options, keys = SETUPS[setup]

        @unittest.skipIf(REFERENCE, 'both are the reference')
        def test(self):
            reference, ours = Reference(options=options), Stack(keys, RULES.get(setup, SAME_AS_REFERENCE), 2)
            try:
                for name, probe in PROBES[setup].items():
                    with self.subTest(f'{setup}: {name}'):
                        for tries_left in reversed(range(TRIES.get(setup, 1))):
                            try:
                                self.check(f'{setup}: {name}', probe(Side(reference)), probe(Side(ours)))
                                break
                            except AssertionError:
                                if not tries_left:
                                    raise
            finally:
                reference.close()
                ours.close()
        return test

    def check(self, name, reference, ours):
        if name not in INTENDED:
            self.assertEqual(ours, reference)
            return
        reason, notes = INTENDED[name]
        if name not in RACES:
            self.assertNotEqual(ours, reference, 'this difference is no more')
        self.assertEqual(ours, notes, f'not as intended: {reason}')

    def test_every_difference_belongs_to_a_probe(self):
        names = {f'{setup}: {name}' for setup, probes in PROBES.items() for name in probes}
        self.assertLessEqual(set(INTENDED), names)
        self.assertLessEqual(RACES, set(INTENDED))


for each in SETUPS:
    setattr(Differential, f'test_{each}', Differential.compare(each))


if __name__ == '__main__':
    unittest.main()
