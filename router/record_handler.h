/* What the dispatchers of gateways' records (dispatch.c) and of backends' (backend_dispatch.c) are made of. */
#ifndef HUBBUB_ROUTER_RECORD_HANDLER_H
#define HUBBUB_ROUTER_RECORD_HANDLER_H

#include "proto/wire.h"

/*
 * Defines on_NAME(router, PEER, reader): reads the record that the reader has begun into `record` and gives
 * what call gives, 0 or a negative error; ERROR_MALFORMED when it can't be read.  A call that can't fail is
 * written (call, 0).
 */
#define RECORD_HANDLER(name, peer, call)                                                                     \
    static int on_##name(struct router *router, peer, struct wire_reader *reader)                            \
    {                                                                                                        \
        struct wire_##name record;                                                                           \
        int result = wire_get_##name(reader, &record);                                                       \
                                                                                                             \
        if (result == 0)                                                                                     \
            result = (call);                                                                                 \
        return result;                                                                                       \
    }

#endif
