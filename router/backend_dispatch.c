/*
 * The table from a backend's record types to handlers; see backend_dispatch.h.  Its one surprising rule: a
 * record of a gateway's is nonsense here, though the number is known.
 */
#include "router/backend_dispatch.h"

#include "router/admission.h"
#include "router/backed.h"
#include "router/call.h"
#include "router/emit.h"
#include "router/judge.h"
#include "router/question.h"
#include "router/record_handler.h"
#include "router/targets.h"

enum { GREETING = 1 << BACKEND_GREETING, LIVE = 1 << BACKEND_LIVE };

static int hold(struct router *router, struct backend *backend, const struct wire_hold *record)
{
    if (record->sid.length != SID_LENGTH || !room_name_valid(record->sid))
        return ERROR_PROTOCOL;
    backend->greeted++;
    backed_hold(router, backend, record->sid);
    return 0;
}

#define HANDLER(name, call) RECORD_HANDLER(name, struct backend *backend, call)

HANDLER(hold, hold(router, backend, &record))
HANDLER(serve_end, backend_greeted(router, backend, &record))
HANDLER(accept, admission_accept(router, backend, &record))
HANDLER(reject, admission_reject(router, backend, &record))
HANDLER(handled, call_handled(router, backend, &record))
HANDLER(send, (emit_send(router, backend, &record), 0))
HANDLER(question, (question_ask(router, backend, &record), 0))
HANDLER(move, (targets_move(router, backend, &record), 0))
HANDLER(expel, (targets_expel(router, backend, &record), 0))
HANDLER(store, (targets_store(router, backend, &record), 0))
HANDLER(find, (targets_find(router, backend, &record), 0))
HANDLER(verdict, judge_verdict(router, backend, &record))
HANDLER(leaving, (backend_leave(router, backend), 0))

static const struct {
    unsigned type;
    unsigned states;
    int (*handle)(struct router *router, struct backend *backend, struct wire_reader *reader);
} handlers[] = {
    {WIRE_TYPE_HANDLED, LIVE, on_handled},
    {WIRE_TYPE_SEND, LIVE, on_send},
    {WIRE_TYPE_VERDICT, LIVE, on_verdict},
    {WIRE_TYPE_ACCEPT, LIVE, on_accept},
    {WIRE_TYPE_REJECT, LIVE, on_reject},
    {WIRE_TYPE_QUESTION, LIVE, on_question},
    {WIRE_TYPE_MOVE, LIVE, on_move},
    {WIRE_TYPE_EXPEL, LIVE, on_expel},
    {WIRE_TYPE_STORE, LIVE, on_store},
    {WIRE_TYPE_FIND, LIVE, on_find},
    {WIRE_TYPE_HOLD, GREETING, on_hold},
    {WIRE_TYPE_SERVE_END, GREETING, on_serve_end},
    {WIRE_TYPE_LEAVING, GREETING | LIVE, on_leaving},
    {WIRE_TYPE_SERVE, 0, NULL},
};

int backend_dispatch(struct router *router, struct backend *backend, struct wire_reader *reader,
                     unsigned type)
{
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
        if (handlers[i].type != type)
            continue;
        if (!(handlers[i].states & 1u << backend->state))
            return ERROR_PROTOCOL;
        return handlers[i].handle(router, backend, reader);
    }
    return wire_type_name(type) ? ERROR_PROTOCOL : 0;
}
