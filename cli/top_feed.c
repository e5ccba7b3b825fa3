/*
 * Rounds of questions for the live view; see top_feed.h.
 *
 * The surprise: a router that does not answer keeps its connection for as long as it lives, since one that
 * was stopped would find all those that we had given up in its backlog.
 */
#include "cli/top_feed.h"

#include "cli/stats_client.h"
#include "common/memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BLOCK = 65536,
    ANSWER_MAX = 64 << 20, /* bytes of a round; whoever sends more is no router */
    WORDS_MAX = 160,
    SILENCE_MS = 3000, /* from when on it is worth a word */
};

static const char no_router[] = "it does not speak as a router does";

enum state { STATE_AWAY, STATE_IDLE, STATE_ASKING };

struct answer {
    json_t *document;
    char error[WORDS_MAX];
};

struct top_feed {
    struct loop *loop;
    const char *path;
    top_feed_changed *changed;
    void *arg;
    enum state state;
    int fd; /* -1: none */
    struct loop_watch *watch;
    uint64_t asked_at; /* ms */
    struct buffer input;
    size_t looked_at; /* of the input: no end of an answer before it */
    struct answer answers[TOP_QUESTIONS], coming[TOP_QUESTIONS];
    unsigned answered; /* of those that are coming */
    char trouble[WORDS_MAX + 128];
};

static void set_state(struct top_feed *feed, enum state state)
{
    assert(state == STATE_AWAY || state == STATE_IDLE || feed->state == STATE_IDLE);
    feed->state = state;
}

static void forget(struct answer answers[static TOP_QUESTIONS])
{
    for (unsigned i = 0; i < TOP_QUESTIONS; i++) {
        json_decref(answers[i].document);
        answers[i] = (struct answer){0};
    }
}

static void hang_up(struct top_feed *feed)
{
    loop_watch_free(feed->watch);
    feed->watch = NULL;
    if (feed->fd >= 0)
        close(feed->fd);
    feed->fd = -1;
    forget(feed->coming);
}

/* The router is away; why: a reason, or NULL for errno's. */
static void lose(struct top_feed *feed, const char *why)
{
    snprintf(feed->trouble, sizeof feed->trouble, "no router: %s (%.100s)", why ? why : strerror(errno),
             feed->path);
    hang_up(feed);
    set_state(feed, STATE_AWAY);
    feed->changed(feed->arg);
}

static void take_error(struct answer *answer, struct bytes words)
{
    struct bytes line = bytes_make(words.data, strcspn(words.data, "\n"));

    snprintf(answer->error, sizeof answer->error, "%.*s", BYTES_PRINTF(line));
}

/* text: terminated. */
static void take_answer(struct answer *answer, struct bytes text)
{
    static const struct bytes mark = {"error ", 6};
    json_error_t error;

    if (bytes_starts_with(text, mark)) {
        take_error(answer, bytes_make(text.data + mark.length, text.length - mark.length));
        return;
    }
    answer->document = json_loadb(text.data, text.length, 0, &error);
    if (!answer->document)
        snprintf(answer->error, sizeof answer->error, "the router's answer is no JSON");
}

/* All answers are there: they become the current ones. */
static void end_round(struct top_feed *feed)
{
    if (feed->input.length) {
        lose(feed, no_router);
        return;
    }
    forget(feed->answers);
    memcpy(feed->answers, feed->coming, sizeof feed->answers);
    memset(feed->coming, 0, sizeof feed->coming);
    feed->trouble[0] = '\0';
    set_state(feed, STATE_IDLE);
    feed->changed(feed->arg);
}

/* Cuts the input into answers; false when the round ended. */
static bool go_on(struct top_feed *feed)
{
    for (;;) {
        char *from = feed->input.data + feed->looked_at;
        char *end = memmem(from, feed->input.length - feed->looked_at, "\n\n", 2);
        struct bytes text;

        if (!end) {
            if (feed->input.length)
                feed->looked_at = feed->input.length - 1; /* it may be the first of the two */
            return true;
        }
        *end = '\0';
        text = bytes_make(feed->input.data, (size_t)(end - feed->input.data));
        take_answer(&feed->coming[feed->answered], text);
        buffer_consume(&feed->input, text.length + 2);
        feed->looked_at = 0;
        if (strncmp(feed->coming[feed->answered].error, "busy", 4) == 0) {
            char words[WORDS_MAX];

            snprintf(words, sizeof words, "%s", feed->coming[feed->answered].error);
            lose(feed, words);
            return false;
        }
        if (++feed->answered == TOP_QUESTIONS) {
            end_round(feed);
            return false;
        }
    }
}

static void on_input(void *arg, int fd, unsigned ready)
{
    struct top_feed *feed = arg;

    (void)ready;
    for (;;) {
        char *block = buffer_reserve(&feed->input, BLOCK);
        ssize_t n = recv(fd, block, BLOCK, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            lose(feed, n < 0 ? NULL : "it has hung up");
            return;
        }
        buffer_extend(&feed->input, (size_t)n);
        if (feed->state == STATE_IDLE || feed->input.length > ANSWER_MAX) {
            bool busy = bytes_starts_with(buffer_bytes(&feed->input), BYTES("error busy"));

            lose(feed, busy ? "it is busy with other programs that ask" : no_router);
            return;
        }
        if (!go_on(feed))
            return;
    }
}

static int dial(struct top_feed *feed)
{
    if (stats_client_connect(feed->path, &feed->fd))
        return ERROR_SYSTEM;
    if (fcntl(feed->fd, F_SETFL, O_NONBLOCK) == 0)
        feed->watch = loop_watch_new(feed->loop, feed->fd, LOOP_READ, on_input, feed);
    if (!feed->watch)
        return ERROR_SYSTEM;
    set_state(feed, STATE_IDLE);
    return 0;
}

bool top_feed_ask(struct top_feed *feed, struct bytes lines)
{
    if (feed->state == STATE_ASKING) {
        uint64_t silence = loop_now(feed->loop) - feed->asked_at;

        if (silence >= SILENCE_MS)
            snprintf(feed->trouble, sizeof feed->trouble, "the router has not answered for %llu s",
                     (unsigned long long)silence / 1000);
        return false;
    }
    if (feed->state == STATE_AWAY && dial(feed)) {
        lose(feed, NULL);
        return true;
    }
    buffer_clear(&feed->input);
    feed->looked_at = 0;
    feed->answered = 0;
    feed->asked_at = loop_now(feed->loop);
    set_state(feed, STATE_ASKING);
    if (stats_client_send(feed->fd, lines))
        lose(feed, NULL);
    return true;
}

struct top_feed *top_feed_new(struct loop *loop, const char *path, top_feed_changed *changed, void *arg)
{
    struct top_feed *feed = memory_zero(1, sizeof *feed);

    feed->loop = loop;
    feed->path = path;
    feed->changed = changed;
    feed->arg = arg;
    feed->fd = -1;
    return feed;
}

void top_feed_free(struct top_feed *feed)
{
    if (!feed)
        return;
    hang_up(feed);
    forget(feed->answers);
    buffer_done(&feed->input);
    free(feed);
}

const json_t *top_feed_answer(const struct top_feed *feed, enum top_question question)
{
    return feed->answers[question].document;
}

const char *top_feed_error(const struct top_feed *feed, enum top_question question)
{
    return feed->answers[question].error;
}

const char *top_feed_trouble(const struct top_feed *feed)
{
    return feed->trouble[0] ? feed->trouble : NULL;
}
