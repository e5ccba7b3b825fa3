/*
 * The router's answers to ZeroMQ's questions about CURVE keys; see gate.h.  The links own it and serve it
 * before they read.  Its one surprising rule: ZeroMQ lets everybody in as long as nobody takes its questions,
 * so the gate is open before the endpoint is bound, and closed after it.
 */
#include "router/gate.h"

#include <stdio.h>
#include <zmq.h>

enum {
    QUESTIONS_A_TURN = 100,
    CREDENTIALS_SIZE = 32,
    PART_MAX = 255,
};

/* The parts of a question, in order; an answer begins with the first two. */
enum part { VERSION, REQUEST, DOMAIN, ADDRESS, IDENTITY, MECHANISM, CREDENTIALS, PARTS };

struct question {
    char text[PARTS][PART_MAX + 1];
    size_t length[PARTS];
    bool sound; /* the right number of parts, and none too long */
};

static bool read_question(struct gate *gate, struct question *question)
{
    unsigned parts = 0;
    int more = 1;

    *question = (struct question){.sound = true};
    while (more) {
        char extra[PART_MAX + 1];
        size_t size = sizeof more;
        bool wanted = parts < PARTS;
        int length = zmq_recv(gate->socket, wanted ? question->text[parts] : extra, PART_MAX, ZMQ_DONTWAIT);

        if (length < 0)
            return false;
        if (!wanted || length > PART_MAX)
            question->sound = false;
        else
            question->length[parts++] = (size_t)length;
        if (zmq_getsockopt(gate->socket, ZMQ_RCVMORE, &more, &size) < 0)
            return false;
    }
    question->sound = question->sound && parts == PARTS;
    return true;
}

static bool may_enter(struct gate *gate, const struct question *question)
{
    struct key key = {0};

    if (!question->sound || strcmp(question->text[MECHANISM], "CURVE") != 0 ||
        question->length[CREDENTIALS] != CREDENTIALS_SIZE ||
        !zmq_z85_encode(key.text, (const uint8_t *)question->text[CREDENTIALS], CREDENTIALS_SIZE))
        return false;
    if (key_list_has(&gate->settings->gateway_keys, &key))
        return true;
    log_warn("gateway refused: its key is not among curve_gateways", "address=%s public_key=%s",
             question->text[ADDRESS], key.text);
    return false;
}

static void answer(struct gate *gate, const struct question *question, bool yes)
{
    const struct bytes parts[] = {
        bytes_make(question->text[VERSION], question->length[VERSION]),
        bytes_make(question->text[REQUEST], question->length[REQUEST]),
        yes ? BYTES("200") : BYTES("400"),
        yes ? BYTES("OK") : BYTES("unknown key"),
        BYTES(""), /* no user */
        BYTES(""), /* no metadata */
    };
    enum { COUNT = sizeof parts / sizeof *parts };

    for (unsigned i = 0; i < COUNT; i++)
        if (zmq_send(gate->socket, parts[i].data, parts[i].length,
                     ZMQ_DONTWAIT | (i + 1 < COUNT ? ZMQ_SNDMORE : 0)) < 0)
            return; /* who asked is gone */
}

void gate_serve(struct gate *gate)
{
    struct question question;

    if (!gate->readable)
        return;
    gate->readable = false;
    for (int i = 0; i < QUESTIONS_A_TURN; i++) {
        bool yes;

        if (!read_question(gate, &question))
            return;
        yes = may_enter(gate, &question);
        if (!yes)
            gate->counters->gateways_refused++;
        answer(gate, &question, yes);
    }
    gate->readable = true;
    loop_wake_now(gate->loop);
}

static void on_ready(void *arg, int fd, unsigned ready)
{
    struct gate *gate = arg;

    (void)fd;
    (void)ready;
    gate->readable = true;
}

static int set_number(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

int gate_open(struct gate *gate, const struct router_settings *settings, struct loop *loop, void *context,
              void *socket, struct counters *counters, char *message, size_t message_size)
{
    static const char domain[] = "hubbub";
    size_t fd_size = sizeof(int);
    int fd = -1;

    *gate = (struct gate){.settings = settings, .counters = counters, .loop = loop};
    if (!settings->secret_key.text[0])
        return 0;
    gate->socket = zmq_socket(context, ZMQ_REP);
    if (!gate->socket || set_number(gate->socket, ZMQ_LINGER, 0) < 0 ||
        zmq_bind(gate->socket, "inproc://zeromq.zap.01") < 0 || set_number(socket, ZMQ_CURVE_SERVER, 1) < 0 ||
        zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, settings->secret_key.text, KEY_LENGTH + 1) < 0 ||
        zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, domain, sizeof domain - 1) < 0 ||
        zmq_getsockopt(gate->socket, ZMQ_FD, &fd, &fd_size) < 0) {
        snprintf(message, message_size, "ZeroMQ and CURVE: %s", zmq_strerror(zmq_errno()));
        return ERROR_SYSTEM;
    }
    gate->watch = loop_watch_new(loop, fd, LOOP_READ, on_ready, gate);
    if (!gate->watch) {
        snprintf(message, message_size, "can't watch the ZeroMQ socket of the gate");
        return ERROR_SYSTEM;
    }
    gate->readable = true;
    return 0;
}

void gate_close(struct gate *gate)
{
    loop_watch_free(gate->watch);
    if (gate->socket)
        zmq_close(gate->socket);
    *gate = (struct gate){0};
}
