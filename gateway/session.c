/*
 * The table of sessions; see session.h.  polling.c serves them while they are polling, upgrade.c takes them
 * over.  Its surprising rule: an entry outlives its connection when the session moved to another gateway,
 * because requests with its sid still come here, and are to hear that it has another transport.
 */
#include "gateway/session.h"

#include "common/base64.h"
#include "common/memory.h"
#include "common/random.h"
#include "gateway/connection.h"
#include "gateway/gateway.h"
#include "gateway/relay.h"

#include <assert.h>
#include <stdlib.h>

enum { HOME_LENGTH = 8, INCARNATION_BITS = 6 * HOME_LENGTH }; /* a character has six bits */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static struct bytes session_key(const void *entry)
{
    return session_sid(entry);
}

void sessions_init(struct session_table *table)
{
    *table = (struct session_table){0};
    table_init(&table->by_sid, session_key);
}

static void release(struct session *session)
{
    buffer_done(&session->retained);
    free(session);
}

void sessions_done(struct session_table *table)
{
    struct session *session;
    uint32_t cursor = 0;

    loop_timer_stop(&table->late_timer);
    while ((session = table_next(&table->by_sid, &cursor))) {
        assert(session->state == SESSION_MOVED);
        release(session);
    }
    table_done(&table->by_sid);
    free(table->moving);
    *table = (struct session_table){0};
}

struct caller caller_here(const struct gateway *gateway, const struct connection *connection)
{
    return (struct caller){gateway->incarnation, connection->number};
}

uint64_t session_draw_incarnation(void)
{
    uint64_t incarnation;

    do {
        incarnation = random_u64() >> (64 - INCARNATION_BITS);
    } while (alphabet[incarnation >> (INCARNATION_BITS - 6)] == '-');
    return incarnation;
}

void session_make_sid(struct gateway *gateway, char sid[SESSION_SID_LENGTH])
{
    for (int i = 0; i < HOME_LENGTH; i++)
        sid[i] = alphabet[gateway->incarnation >> (6 * (HOME_LENGTH - 1 - i)) & 63];
    random_id(sid + HOME_LENGTH, SESSION_SID_LENGTH - HOME_LENGTH);
}

int session_home(struct bytes sid, uint64_t *incarnation)
{
    uint64_t home = 0;

    if (sid.length != SESSION_SID_LENGTH)
        return ERROR_MALFORMED;
    for (int i = 0; i < SESSION_SID_LENGTH; i++) {
        char c = sid.data[i];
        int digit = base64_digit(c);

        if (digit < 0 || c == '+' || c == '/') /* they have no place in a URL */
            return ERROR_MALFORMED;
        if (i < HOME_LENGTH)
            home = home << 6 | (uint64_t)digit;
    }
    *incarnation = home;
    return 0;
}

struct session *session_new(struct gateway *gateway, struct bytes sid, struct connection *connection,
                            enum session_state state)
{
    struct session *session = memory_zero(1, sizeof *session);

    memcpy(session->sid, sid.data, SESSION_SID_LENGTH);
    session->state = (uint8_t)state;
    session->connection = connection;
    connection->session = session;
    table_insert(&gateway->sessions.by_sid, session);
    return session;
}

void sessions_unwatch(struct session_table *table, const struct session *session)
{
    for (uint32_t i = 0; i < table->moving_count; i++)
        if (table->moving[i] == session)
            table->moving[i--] = table->moving[--table->moving_count];
}

void session_free(struct gateway *gateway, struct session *session)
{
    struct session_table *table = &gateway->sessions;

    sessions_unwatch(table, session);
    if (session->connection)
        session->connection->session = NULL;
    table_remove(&table->by_sid, session);
    release(session);
}

struct session *session_find(struct gateway *gateway, struct bytes sid)
{
    return table_find(&gateway->sessions.by_sid, sid);
}

struct partners {
    uint64_t *incarnations;
    uint32_t count, capacity;
};

static void add_partner(struct gateway *gateway, struct partners *partners, struct caller caller)
{
    if (caller.number == 0 || caller.gateway == gateway->incarnation)
        return;
    for (uint32_t i = 0; i < partners->count; i++)
        if (partners->incarnations[i] == caller.gateway)
            return;
    if (partners->count == partners->capacity) {
        partners->capacity = partners->capacity ? partners->capacity * 2 : 8;
        partners->incarnations =
            memory_resize(partners->incarnations, partners->capacity * sizeof *partners->incarnations);
    }
    partners->incarnations[partners->count++] = caller.gateway;
}

uint64_t *sessions_partners(struct gateway *gateway, uint32_t *count)
{
    struct partners partners = {0};
    const struct session *session;
    uint32_t cursor = 0;

    while ((session = table_next(&gateway->sessions.by_sid, &cursor))) {
        add_partner(gateway, &partners, session->arrival);
        add_partner(gateway, &partners, session->poll);
        add_partner(gateway, &partners, session->post);
    }
    *count = partners.count;
    return partners.incarnations;
}

void session_set_state(struct session *session, enum session_state state)
{
    assert(session->state == SESSION_POLLING
               ? state == SESSION_MOVING
               : session->state == SESSION_MOVING && (state == SESSION_UPGRADED || state == SESSION_MOVED));
    session->state = (uint8_t)state;
}

void session_end(struct gateway *gateway, struct connection *connection)
{
    struct session *session = connection->session;
    uint64_t home;

    if (!session)
        return;
    if (session_home(session_sid(session), &home) == 0 && home != gateway->incarnation)
        relay_ask(gateway, home, RELAY_ENDED, session_sid(session), (struct bytes){0}, 0);
    session_free(gateway, session);
}
