"""What is meant to differ from the reference server: why, the probes of test_differential.py, and what we answer.

docs/protocol.md tells the same to people ("Where it differs from the reference server, and why").
"""

DIFFERENCES = (
    ('missed events come behind the answer to CONNECT: a stock client keeps what comes before it over a second loss', {
        'recovery: two missed':
            ['40{"sid":"S","pid":"P"}',
             '42["msg",{"room":"r","id":"received msg 0"},{"room":"r","seq":1,"id":"received msg 0","from":"anon:S","at":0},"OFFSET"]',
             'as before',
             '42["msg",{"room":"r","id":"missed msg 0"},{"room":"r","seq":2,"id":"missed msg 0","from":"anon:S","at":0},"OFFSET"]',
             '42["msg",{"room":"r","id":"missed msg 1"},{"room":"r","seq":3,"id":"missed msg 1","from":"anon:S","at":0},"OFFSET"]'],
    }),
    ('whoever has received nothing goes on from its joins', {
        'recovery: nothing received':
            ['40{"sid":"S","pid":"P"}', 'as before',
             '42["msg",{"room":"r","id":"missed msg 0"},{"room":"r","seq":1,"id":"missed msg 0","from":"anon:S","at":0},"OFFSET"]'],
    }),
    ('volatile events have an offset, too: a stock client takes any text at the end for one', {
        'recovery: a volatile event last':
            ['40{"sid":"S","pid":"P"}',
             '42["msg",{"room":"r","id":"received msg 0"},{"room":"r","seq":1,"id":"received msg 0","from":"anon:S","at":0},"OFFSET"]',
             '42["typing",{"room":"r","id":"received typing 1"},{"room":"r","from":"anon:S","at":0},"OFFSET"]',
             'as before',
             '42["msg",{"room":"r","id":"missed msg 0"},{"room":"r","seq":2,"id":"missed msg 0","from":"anon:S","at":0},"OFFSET"]'],
    }),
    ('JSONP is for clients of older protocols: the parameter is ignored', {
        'plain: open, JSONP':
            [200,
             [('cache-control', 'no-store'), ('connection', 'keep-alive'),
              ('content-type', 'text/plain; charset=UTF-8'), ('keep-alive', 'timeout=5')],
             '0{"sid":"S","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}',
             'open'],
    }),
    ('the field is for browsers that speak no version 4', {
        'plain: open, an old browser':
            [200,
             [('cache-control', 'no-store'), ('connection', 'keep-alive'),
              ('content-type', 'text/plain; charset=UTF-8'), ('keep-alive', 'timeout=5')],
             '0{"sid":"S","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}',
             'open'],
    }),
    ('refusals of HTTP itself say in words what they are', {
        'plain: open, no slash':
            [404,
             [('connection', 'keep-alive'), ('content-type', 'text/plain; charset=utf-8'),
              ('keep-alive', 'timeout=5')],
             'Not Found', 'open'],
        'plain: open, other path':
            [404,
             [('connection', 'keep-alive'), ('content-type', 'text/plain; charset=utf-8'),
              ('keep-alive', 'timeout=5')],
             'Not Found', 'open'],
        'plain: an origin that is no field':
            [400, [('connection', 'close'), ('content-type', 'text/plain; charset=utf-8')], 'Bad Request', 'ended'],
        'plain: head: no host':
            [400, [('connection', 'close'), ('content-type', 'text/plain; charset=utf-8')], 'Bad Request', 'ended'],
        'plain: head: bad line':
            [400, [('connection', 'close'), ('content-type', 'text/plain; charset=utf-8')], 'Bad Request', 'ended'],
        'plain: head: blank before colon':
            [400, [('connection', 'close'), ('content-type', 'text/plain; charset=utf-8')], 'Bad Request', 'ended'],
        'plain: head: two lengths':
            [400, [('connection', 'close'), ('content-type', 'text/plain; charset=utf-8')], 'Bad Request', 'ended'],
        'plain: head: length and chunked':
            [400, [('connection', 'close'), ('content-type', 'text/plain; charset=utf-8')], 'Bad Request', 'ended'],
        'plain: head: length no number':
            [400, [('connection', 'close'), ('content-type', 'text/plain; charset=utf-8')], 'Bad Request', 'ended'],
        'echo: no slash':
            [404,
             [('connection', 'keep-alive'), ('content-type', 'text/plain; charset=utf-8'),
              ('keep-alive', 'timeout=5')],
             'Not Found', 'open'],
    }),
    ('RFC 9110, 15.4.5: the fields that a 200 would have had', {
        'plain: client bundle, known':
            [304,
             [('cache-control', 'public, max-age=0'), ('connection', 'keep-alive'), ('etag', '"4.8.4"'),
              ('keep-alive', 'timeout=5')],
             '', 'open'],
    }),
    ('the close packet says it all: no noop before it', {
        "plain: POST '4'": [[200, 'ok'], ['1', 400, '{"code":1,"message":"Session ID unknown"}']],
        'plain: POST of a bad packet': [[200, 'ok'], ['1', 400, '{"code":1,"message":"Session ID unknown"}']],
    }),
    ('requests of one connection are served one after another, as HTTP has it', {
        'plain: GET and POST, pipelined': [['held']],
        'plain: POST and POST, pipelined':
            [[200,
              [('cache-control', 'no-store'), ('connection', 'keep-alive'), ('content-type', 'text/html'),
               ('keep-alive', 'timeout=5')],
              'ok', 200,
              [('cache-control', 'no-store'), ('connection', 'keep-alive'), ('content-type', 'text/html'),
               ('keep-alive', 'timeout=5')],
              'ok', 'open']],
    }),
    ('what stands behind a CONNECT counts', {
        'plain: CONNECT and an event at once': [[200, 'ok'], ['40{"sid":"S"}', '42["echo",1]']],
        'plain: connect to two, an event at once':
            ['40{"sid":"S"}', '40/custom,{"sid":"S"}', '42/custom,["echo",1]', '42["echo","last"]',
             '43987654[{"ok":true}]'],
        'plain: disconnect, then connect at once':
            ['40{"sid":"S"}', '40{"sid":"S"}', '42["echo","last"]', '43987654[{"ok":true}]'],
    }),
    ('gzip is the only coding: every browser takes it', {
        'plain: gzip: deflate, 2000 bytes': [[200, 'ok'], [200, None, 'text/plain; charset=UTF-8', 2000]],
        'plain: gzip: deflate, gzip, 2000 bytes': [[200, 'ok'], [200, 'gzip', 'text/plain; charset=UTF-8', 2000]],
        'plain: gzip: gzip;q=0.1, deflate, 2000 bytes': [[200, 'ok'], [200, 'gzip', 'text/plain; charset=UTF-8', 2000]],
    }),
    ('refused before 101, where a client can read it', {
        'plain: ws: EIO 3':
            [400, [('connection', 'close'), ('content-type', 'text/html')], 'Unsupported protocol version', 'ended'],
        'plain: ws: EIO absent':
            [400, [('connection', 'close'), ('content-type', 'text/html')], 'Unsupported protocol version', 'ended'],
        'plain: ws: transport polling':
            [400, [('connection', 'close'), ('content-type', 'text/html')], 'Transport unknown', 'ended'],
    }),
    ('a close packet closes at once: the client has said that it is gone', {
        "plain: ws: '1'": ['Close None'],
    }),
    ('an event that nobody handles is refused, since stock clients with retries wait for an answer', {
        "plain: say '42[1,2]'":
            ['40{"sid":"S"}',
             '42["hubbub:error",{"event":"1","error":{"code":"unknown_event","message":"no rule and no backend takes '
             'this event"}}]',
             '42["echo","last"]', '43987654[{"ok":true}]'],
        'plain: say \'421["nobody",1]\'':
            ['40{"sid":"S"}', '42["echo","last"]',
             '431[{"ok":false,"error":{"code":"unknown_event","message":"no rule and no backend takes this event"}}]',
             '43987654[{"ok":true}]'],
        'plain: say \'42["nobody",1]\'':
            ['40{"sid":"S"}',
             '42["hubbub:error",{"event":"nobody","error":{"code":"unknown_event","message":"no rule and no backend '
             'takes this event"}}]',
             '42["echo","last"]', '43987654[{"ok":true}]'],
    }),
    ('an id holds digits only, and is small enough to come back unchanged: an acknowledgement must find its request', {
        'plain: say \'42 ["echo",1]\'': ['40{"sid":"S"}', 'Close None'],
        'plain: say \'4299999999999999999999["echo",1]\'': ['40{"sid":"S"}', 'Close None'],
        'plain: say \'429007199254740993["echo",1]\'': ['40{"sid":"S"}', 'Close None'],
        'plain: say \'42 5["echo",1]\'': ['40{"sid":"S"}', 'Close None'],
    }),
    ('arguments travel as the bytes that came', {
        'plain: say \'42["echo",1.0,1e3,-0,12345678901234567890,1e400,0.1]\'':
            ['40{"sid":"S"}', '42["echo",1.0,1e3,-0,12345678901234567890,1e400,0.1]', '42["echo","last"]',
             '43987654[{"ok":true}]'],
        'plain: say \'42["echo",{"a":1,"a":2}]\'':
            ['40{"sid":"S"}', '42["echo",{"a":1,"a":2}]', '42["echo","last"]', '43987654[{"ok":true}]'],
        'plain: say \'42["echo",{"b":1,"2":1,"1":1}]\'':
            ['40{"sid":"S"}', '42["echo",{"b":1,"2":1,"1":1}]', '42["echo","last"]', '43987654[{"ok":true}]'],
        'plain: say \'42["echo","\\\\u00e9\\\\ud83d\\\\ude00\\\\u0000\\\\/é","\\\\ud800"]\'':
            ['40{"sid":"S"}', '42["echo","\\u00e9\\ud83d\\ude00\\u0000\\/é","\\ud800"]', '42["echo","last"]',
             '43987654[{"ok":true}]'],
        'plain: binary: nested and turned round':
            ['40{"sid":"S"}', '452-["echo",{"a":[{"_placeholder":true,"num":1}],"b":{"_placeholder":true,"num":0}}]',
             "2 b'\\x01'", "2 b'\\x02'", '42["echo","last"]', '43987654[{"ok":true}]'],
        'plain: binary: twice the same':
            ['40{"sid":"S"}', '451-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]',
             "2 b'\\x01'", '42["echo","last"]', '43987654[{"ok":true}]'],
        'plain: binary: count 10':
            ['40{"sid":"S"}', '4510-["echo",{"_placeholder":true,"num":0}]', "2 b'\\x01'", "2 b'\\x01'", "2 b'\\x01'",
             "2 b'\\x01'", "2 b'\\x01'", "2 b'\\x01'", "2 b'\\x01'", "2 b'\\x01'", "2 b'\\x01'", "2 b'\\x01'",
             '42["echo","last"]', '43987654[{"ok":true}]'],
        'plain: binary: placeholder false':
            ['40{"sid":"S"}', '451-["echo",{"_placeholder":false,"num":0}]', "2 b'\\x01'", '42["echo","last"]',
             '43987654[{"ok":true}]'],
        'plain: binary: placeholder with more':
            ['40{"sid":"S"}', '451-["echo",{"_placeholder":true,"num":0,"more":1}]', "2 b'\\x01'",
             '42["echo","last"]', '43987654[{"ok":true}]'],
        'plain: binary: no placeholder':
            ['40{"sid":"S"}', '451-["echo",1]', "2 b'\\x01'", '42["echo","last"]', '43987654[{"ok":true}]'],
    }),
    ('JSON is at most 128 levels deep', {
        'plain: an event 129 levels deep':
            ['40{"sid":"S"}',
             '42["hubbub:error",{"event":"echo","error":{"code":"too_deep","message":"the arguments are nested '
             'deeper than allowed"}}]',
             '42["echo","last"]', '43987654[{"ok":true}]'],
    }),
    ('a count and an index are whole numbers in digits', {
        'plain: binary: count 1e0': ['40{"sid":"S"}', 'Close None'],
        'plain: binary: index 0.5': ['40{"sid":"S"}', 'Close None'],
    }),
    ('what is too large is not read to its end: the connection closes, the session goes on', {
        'limits: a body over it': [[413, [('connection', 'close')], ''], [200, 'ok'], [200, '42["echo",1]']],
        'limits: chunks over it': [[413, [('connection', 'close')], '', 'ended'], [200, 'ok'], [200, '42["echo",1]']],
    }),
    ('a page that may not read answers is not told that it may send cookies along', {
        'cors: open, http://evil.example':
            [200,
             [('cache-control', 'no-store'), ('connection', 'keep-alive'),
              ('content-type', 'text/plain; charset=UTF-8'), ('keep-alive', 'timeout=5'),
              ('set-cookie', 'io=S; Path=/; HttpOnly; SameSite=Lax'), ('vary', 'origin')],
             '0{"sid":"S","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}',
             'open'],
        'cors: open, null':
            [200,
             [('cache-control', 'no-store'), ('connection', 'keep-alive'),
              ('content-type', 'text/plain; charset=UTF-8'), ('keep-alive', 'timeout=5'),
              ('set-cookie', 'io=S; Path=/; HttpOnly; SameSite=Lax'), ('vary', 'origin')],
             '0{"sid":"S","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}',
             'open'],
        'cors: refused, http://evil.example':
            [400,
             [('connection', 'keep-alive'), ('content-type', 'application/json'), ('keep-alive', 'timeout=5'),
              ('vary', 'origin')],
             '{"code":0,"message":"Transport unknown"}', 'open'],
        'cors: refused, null':
            [400,
             [('connection', 'keep-alive'), ('content-type', 'application/json'), ('keep-alive', 'timeout=5'),
              ('vary', 'origin')],
             '{"code":0,"message":"Transport unknown"}', 'open'],
        'cors: sid unknown, http://evil.example':
            [400,
             [('connection', 'keep-alive'), ('content-type', 'application/json'), ('keep-alive', 'timeout=5'),
              ('vary', 'origin')],
             '{"code":1,"message":"Session ID unknown"}', 'open'],
        'cors: sid unknown, null':
            [400,
             [('connection', 'keep-alive'), ('content-type', 'application/json'), ('keep-alive', 'timeout=5'),
              ('vary', 'origin')],
             '{"code":1,"message":"Session ID unknown"}', 'open'],
        'cors: open, no origin':
            [200,
             [('cache-control', 'no-store'), ('connection', 'keep-alive'),
              ('content-type', 'text/plain; charset=UTF-8'), ('keep-alive', 'timeout=5'),
              ('set-cookie', 'io=S; Path=/; HttpOnly; SameSite=Lax'), ('vary', 'origin')],
             '0{"sid":"S","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}',
             'open'],
        'cors: preflight, another origin':
            [204,
             [('access-control-allow-methods', 'GET,HEAD,PUT,PATCH,POST,DELETE'), ('connection', 'keep-alive'),
              ('keep-alive', 'timeout=5'), ('vary', 'access-control-request-headers, origin')],
             '', 'open'],
        'cors: preflight, nothing':
            [204,
             [('access-control-allow-methods', 'GET,HEAD,PUT,PATCH,POST,DELETE'), ('connection', 'keep-alive'),
              ('keep-alive', 'timeout=5'), ('vary', 'access-control-request-headers, origin')],
             '', 'open'],
        'cors: ws: another origin':
            [101, [('connection', 'Upgrade'), ('upgrade', 'websocket'), ('vary', 'origin')], '',
             '0{"sid":"S","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}',
             '44/last,{"message":"Invalid namespace"}'],
    }),
    ('no context is taken over, in either direction: a broadcast is compressed once for all', {
        'deflate: offers':
            [['permessage-deflate', 101,
              'permessage-deflate; server_no_context_takeover; client_no_context_takeover'],
             ['permessage-deflate; client_max_window_bits', 101,
              'permessage-deflate; server_no_context_takeover; client_no_context_takeover'],
             ['permessage-deflate; server_no_context_takeover', 101,
              'permessage-deflate; server_no_context_takeover; client_no_context_takeover'],
             ['permessage-deflate; client_no_context_takeover', 101,
              'permessage-deflate; server_no_context_takeover; client_no_context_takeover'],
             ['permessage-deflate; server_no_context_takeover; client_no_context_takeover', 101,
              'permessage-deflate; server_no_context_takeover; client_no_context_takeover'],
             ['permessage-deflate; server_max_window_bits=10', 101,
              'permessage-deflate; server_no_context_takeover; client_no_context_takeover; '
              'server_max_window_bits=10'],
             ['permessage-deflate; client_max_window_bits=10', 101,
              'permessage-deflate; server_no_context_takeover; client_no_context_takeover'],
             ['x-other', 101, None],
             ['x-other, permessage-deflate', 101,
              'permessage-deflate; server_no_context_takeover; client_no_context_takeover'],
             ['permessage-deflate; unknown', 101, None], ['permessage-deflate; server_max_window_bits=7', 101, None],
             ['permessage-deflate; server_max_window_bits=16', 101, None],
             ['permessage-deflate; unknown, permessage-deflate', 101,
              'permessage-deflate; server_no_context_takeover; client_no_context_takeover']],
    }),
)

# Here the reference joins asynchronously and may be in time, or not: then its answer is ours.  Ours is checked in any case.
RACES = {'plain: connect to two, an event at once', 'plain: disconnect, then connect at once'}
