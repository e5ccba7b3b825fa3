/*
 * What strangers say at the router's port: noise, ZMTP without the right keys, and the hello of a gateway
 * that is none of its own.  swarm_kinds.c has their row.
 *
 * The surprise: the hello goes through a ZeroMQ socket of its own, since nobody else can speak CURVE; the
 * intruder's connection only makes noise.
 */
#include "tests/security/swarm.h"

#include "common/key_file.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <zmq.h>

enum {
    ENDPOINT_MAX = 32,
    NOISE = 1000,
};

/* In version 3 of ZMTP (ZeroMQ's RFC 23); mechanism: 5 bytes. */
#define GREETING(mechanism)                                                                                  \
    "\xff\0\0\0\0\0\0\0\0\x7f\x03\0" mechanism "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"                              \
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define READY                                                                                                \
    "\x04\x29\x05READY\x0bSocket-Type\0\0\0\x06"                                                             \
    "DEALER\x08Identity\0\0\0\0"

/* A first batch (version 1, link 7, number 1): HELLO with the real gateway's name, and HELLO_END without
   sockets. */
#define HELLO                                                                                                \
    "\x95\x01\x07\x01\x00\x92\x98\x01\xa4real\x07\xa0\x00\x00\xa5"                                           \
    "0.1.0\x01\x92\x04\x00"
#define HELLO_FRAME "\x00\x1b" HELLO

static void *context; /* ZeroMQ's; NULL: nobody says a hello */
static char endpoint[ENDPOINT_MAX];
static struct key secret_key, public_key, router_key;

/* NULL when ZeroMQ has no more sockets. */
static void *say_hello(void)
{
    void *dealer = zmq_socket(context, ZMQ_DEALER);
    int none = 0;

    if (!dealer)
        return NULL;
    (void)zmq_setsockopt(dealer, ZMQ_LINGER, &none, sizeof none);
    if (zmq_setsockopt(dealer, ZMQ_CURVE_SERVERKEY, router_key.text, KEY_LENGTH + 1) < 0 ||
        zmq_setsockopt(dealer, ZMQ_CURVE_PUBLICKEY, public_key.text, KEY_LENGTH + 1) < 0 ||
        zmq_setsockopt(dealer, ZMQ_CURVE_SECRETKEY, secret_key.text, KEY_LENGTH + 1) < 0 ||
        zmq_connect(dealer, endpoint) < 0 || zmq_send(dealer, HELLO, sizeof HELLO - 1, ZMQ_DONTWAIT) < 0) {
        zmq_close(dealer);
        return NULL;
    }
    return dealer;
}

void swarm_stranger_greet(struct intruder *intruder)
{
    static const struct bytes greetings[] = {
        BYTES("GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        BYTES(GREETING("NULL\0") READY HELLO_FRAME),
        BYTES(GREETING("CURVE") "\x04\xc8\x05HELLO\x01\x00"),
        BYTES("x"),
    };
    struct bytes greeting = greetings[intruder->number % (sizeof greetings / sizeof *greetings)];
    char noise[NOISE];

    _Static_assert(sizeof HELLO - 1 == 0x1b, "as the frame says");
    memset(noise, 'x', sizeof noise);
    swarm_say(intruder, greeting.data, greeting.length);
    swarm_say(intruder, noise, sizeof noise);
    swarm_stranger_leave(intruder);
    if (context)
        intruder->dealer = say_hello();
}

void swarm_stranger_leave(struct intruder *intruder)
{
    if (intruder->dealer)
        zmq_close(intruder->dealer);
    intruder->dealer = NULL;
}

int swarm_strangers_init(const struct swarm_settings *settings)
{
    struct buffer error = {0};
    int code;

    if (!settings->router_key[0])
        return 0;
    code = key_file_read_public(settings->router_key, &router_key, &error);
    if (code != 0)
        fprintf(stderr, "swarm: %.*s\n", (int)error.length, error.data);
    buffer_done(&error);
    if (code != 0)
        return code;
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", settings->router_port);
    if (zmq_curve_keypair(public_key.text, secret_key.text) < 0 || !(context = zmq_ctx_new())) {
        fprintf(stderr, "swarm: ZeroMQ and CURVE: %s\n", zmq_strerror(zmq_errno()));
        return ERROR_SYSTEM;
    }
    return 0;
}

void swarm_strangers_done(void)
{
    if (context)
        zmq_ctx_term(context);
    context = NULL;
}
