/* The gateway's part of hubbub doctor; see examine.h.  main.c calls it, and no gateway runs then. */
#include "gateway/examine.h"

#include "common/finding.h"
#include "proto/wire.h"

#include <event2/event.h>
#include <openssl/crypto.h>
#include <zlib.h>
#include <zmq.h>

void gateway_examine(struct buffer *out)
{
    int major, minor, patch;

    zmq_version(&major, &minor, &patch);
    finding_append(
        out, FINDING_OK, "versions", NULL,
        "hubbub-gateway %s, link protocol %d.%d; ZeroMQ %d.%d.%d, libevent %s, OpenSSL %s, zlib %s",
        HUBBUB_VERSION, WIRE_MAJOR, WIRE_MINOR, major, minor, patch, event_get_version(),
        OpenSSL_version(OPENSSL_VERSION_STRING), zlibVersion());
}
