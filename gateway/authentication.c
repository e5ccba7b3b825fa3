/*
 * Tokens of clients and of their sockets; see authentication.h.  packet.c and bare_service.c ask it about
 * each CONNECT.  The surprising rule: times of tokens are of the wall clock, timers are not; so a timer that
 * fires looks at the clock, and none is longer than an hour.
 */
#include "gateway/authentication.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "gateway/ask.h"
#include "gateway/connection.h"
#include "gateway/engine.h"
#include "gateway/gateway.h"
#include "gateway/handshake.h"
#include "gateway/token.h"
#include "proto/json_scan.h"

#include <stdlib.h>
#include <strings.h>

enum { TIMER_MAX_MS = 3600 * 1000 };

bool authentication_enabled(const struct gateway *gateway)
{
    return gateway->tokens != NULL;
}

/* -- finding the token ------------------------------------------------------------------------ */

/* Appends the text of a JSON value that is to be a token.  0, ERROR_NOT_FOUND for nothing, ERROR_MALFORMED. */
static int take_text(struct json_value value, struct buffer *out)
{
    size_t length;

    if (value.kind == JSON_NULL || value.kind == JSON_ABSENT)
        return ERROR_NOT_FOUND;
    if (value.kind != JSON_STRING ||
        json_string_decode(value, buffer_reserve(out, TOKEN_LENGTH_MAX), TOKEN_LENGTH_MAX, &length) < 0)
        return ERROR_MALFORMED;
    buffer_extend(out, length);
    return length ? 0 : ERROR_NOT_FOUND;
}

/* The token of an object, and what else is in it. */
static int take_from_auth(struct bytes auth, struct buffer *token, struct buffer *rest)
{
    struct json_value object, key, value, found = {0};
    struct json_cursor cursor;
    unsigned count = 0;

    if (auth.length == 0 || json_scan(auth, &object) < 0 || object.kind != JSON_OBJECT)
        return ERROR_NOT_FOUND;
    cursor = json_object_cursor(object);
    buffer_append_char(rest, '{');
    while (json_member_next(&cursor, &key, &value) == 0) {
        if (json_string_is(key, BYTES("token"))) {
            found = value;
            count++;
            continue;
        }
        if (rest->length > 1)
            buffer_append_char(rest, ',');
        buffer_append_bytes(rest, key.text);
        buffer_append_char(rest, ':');
        buffer_append_bytes(rest, value.text);
    }
    buffer_append_char(rest, '}');
    return count > 1 ? ERROR_MALFORMED : take_text(found, token);
}

static int take_from_query(const struct handshake *handshake, struct buffer *token)
{
    int code = handshake_query_value(handshake, BYTES("token"), token);

    if (code == 0 && token->length == 0)
        return ERROR_NOT_FOUND;
    return code == 0 && token->length > TOKEN_LENGTH_MAX ? ERROR_MALFORMED : code;
}

static int take_from_field(const struct handshake *handshake, struct buffer *token)
{
    struct bytes value = handshake_bearer(handshake);

    if (value.length == 0)
        return ERROR_NOT_FOUND;
    if (value.length > TOKEN_LENGTH_MAX)
        return ERROR_MALFORMED;
    buffer_append_bytes(token, value);
    return 0;
}

/* 0, ERROR_NOT_FOUND when there is none anywhere, ERROR_MALFORMED for one that can't be. */
static int find_token(const struct connection *connection, struct bytes auth, struct buffer *token,
                      struct buffer *rest)
{
    int code = take_from_auth(auth, token, rest);

    if (code == ERROR_NOT_FOUND && connection->handshake)
        code = take_from_query(connection->handshake, token);
    if (code == ERROR_NOT_FOUND && connection->handshake)
        code = take_from_field(connection->handshake, token);
    return code;
}

/* -- judging ---------------------------------------------------------------------------------- */

static int verify(struct gateway *gateway, struct bytes token, struct buffer *grant, enum refusal_code *code)
{
    const char *why;

    switch (token_verify(gateway->tokens, token, clock_wall_ms(), grant, &why)) {
    case TOKEN_GOOD:
        gateway->counters.tokens_verified++;
        return 0;
    case TOKEN_EXPIRED:
        *code = REFUSAL_TOKEN_EXPIRED;
        break;
    default:
        *code = REFUSAL_TOKEN_INVALID;
        break;
    }
    log_debug("token refused", "why=\"%s\"", why);
    return ERROR_FORBIDDEN;
}

static bool is_required(const struct gateway *gateway, const struct namespace_config *namespace)
{
    return namespace->tokens == NAMESPACE_TOKENS_DEFAULT ? gateway->tokens->required
                                                         : namespace->tokens == NAMESPACE_TOKENS_REQUIRED;
}

int authentication_judge(struct gateway *gateway, const struct connection *connection,
                         const struct namespace_config *namespace, struct bytes auth, struct credentials *out,
                         enum refusal_code *code)
{
    struct buffer token = {0};
    int result;

    *out = (struct credentials){.auth = auth};
    if (!gateway->tokens)
        return 0;
    result = find_token(connection, auth, &token, &out->space);
    if (out->space.length)
        out->auth = buffer_bytes(&out->space);
    if (result == 0) {
        result = verify(gateway, buffer_bytes(&token), &out->grant, code);
    } else if (result != ERROR_NOT_FOUND) {
        *code = REFUSAL_TOKEN_INVALID;
        result = ERROR_FORBIDDEN;
    } else if (is_required(gateway, namespace)) {
        *code = REFUSAL_TOKEN_MISSING;
        result = ERROR_FORBIDDEN;
    } else {
        token_append_anonymous(gateway->tokens, &out->grant);
        result = 0;
    }
    if (token.data)
        explicit_bzero(token.data, token.length);
    buffer_done(&token);
    return result;
}

void credentials_done(struct credentials *credentials)
{
    buffer_done(&credentials->grant);
    buffer_done(&credentials->space);
}

void authentication_append_error(struct gateway *gateway, enum refusal_code code, struct buffer *out)
{
    gateway->counters.refused[code]++;
    buffer_printf(out, "{\"message\":\"%s\",\"data\":{\"code\":\"%s\",\"message\":\"%s\"}}",
                  refusal_message(code), refusal_text(code), refusal_message(code));
}

/* -- a socket's token ------------------------------------------------------------------------- */

/* When its time is over, in ms of the wall clock. */
static uint64_t end_of(const struct socket_token *token)
{
    const struct token_policy *policy = token->gateway->tokens;

    return token->grant->expires * 1000 + (policy ? policy->leeway : 0);
}

static uint32_t grace_of(const struct gateway *gateway)
{
    return gateway->tokens ? gateway->tokens->grace : 0;
}

static void arm(struct socket_token *token, uint64_t due)
{
    uint64_t now = clock_wall_ms(), rest = due > now ? due - now : 0;

    loop_timer_start(&token->timer, rest < TIMER_MAX_MS ? rest : TIMER_MAX_MS);
}

static void tell(struct socket_token *token, struct socket *socket, uint64_t grace)
{
    struct gateway *gateway = token->gateway;
    bool offset = socket->namespace->config->recovery;
    struct buffer text = {0};

    buffer_append_literal(&text, "[\"hubbub:token\",{\"expired\":true,\"grace\":");
    buffer_append_u64(&text, grace);
    buffer_append_char(&text, '}');
    if (offset) {
        buffer_append_literal(&text, ",\"");
        link_append_offset(gateway->link, &text);
        buffer_append_char(&text, '"');
    }
    buffer_append_char(&text, ']');
    socket_emit(gateway, socket, buffer_bytes(&text), offset ? WIRE_DELIVER_OFFSET : 0, (struct bytes){0});
    buffer_done(&text);
    token->told = true;
    gateway->counters.tokens_expired++;
}

static void on_time(void *arg)
{
    struct socket_token *token = arg;
    struct gateway *gateway = token->gateway;
    struct socket *socket = sockets_find(gateway, token->socket);
    uint64_t now = clock_wall_ms(), end = end_of(token), last = end + grace_of(gateway);

    if (now < end) {
        arm(token, end);
    } else if (now < last) {
        arm(token, last);
        if (!token->told)
            tell(token, socket, last - now);
    } else {
        engine_close(gateway, socket->connection, CLOSE_TOKEN_EXPIRED);
    }
}

static void hold(struct gateway *gateway, struct socket *socket, struct grant *grant)
{
    struct socket_token *token = socket->token;

    if (!token) {
        token = socket->token = memory_zero(1, sizeof *token);
        token->gateway = gateway;
        token->socket = socket->number;
        loop_timer_init(&token->timer, gateway->loop, on_time, token);
    }
    grant_free(token->grant);
    token->grant = grant;
    token->told = false;
    loop_timer_stop(&token->timer);
    if (grant->expires)
        arm(token, end_of(token));
}

int authentication_hold(struct gateway *gateway, struct socket *socket, struct bytes text)
{
    struct grant *grant;

    if (text.length == 0)
        return 0;
    if (grant_parse(&gateway->grants, text, &grant) < 0)
        return ERROR_MALFORMED;
    hold(gateway, socket, grant);
    return 0;
}

void authentication_hold_name(struct gateway *gateway, struct socket *socket, struct bytes sub)
{
    hold(gateway, socket, grant_new(sub));
}

void authentication_release(struct socket *socket)
{
    if (!socket->token)
        return;
    loop_timer_stop(&socket->token->timer);
    grant_free(socket->token->grant);
    free(socket->token);
    socket->token = NULL;
}

struct bytes authentication_sub(const struct socket *socket)
{
    return grant_sub(socket->token ? socket->token->grant : NULL);
}

void authentication_append_grant(const struct socket *socket, struct buffer *out)
{
    if (socket->token)
        grant_append_text(socket->token->grant, out);
}

/* -- newer tokens ----------------------------------------------------------------------------- */

/* 0 when the router was asked, else why not. */
static int renew(struct gateway *gateway, struct socket *socket, long long ack, struct json_value argument,
                 struct buffer *token, struct buffer *text, enum refusal_code *code)
{
    struct json_value value = argument;
    struct grant *grant;
    bool same;

    *code = REFUSAL_TOKEN_MISSING;
    if (argument.kind == JSON_OBJECT && json_object_find(argument, "token", &value) < 0)
        return ERROR_FORBIDDEN;
    switch (take_text(value, token)) {
    case 0:
        break;
    case ERROR_NOT_FOUND:
        return ERROR_FORBIDDEN;
    default:
        *code = REFUSAL_TOKEN_INVALID;
        return ERROR_FORBIDDEN;
    }
    if (verify(gateway, buffer_bytes(token), text, code) < 0)
        return ERROR_FORBIDDEN;
    *code = REFUSAL_FORBIDDEN;
    if (grant_parse(&gateway->grants, buffer_bytes(text), &grant) < 0)
        return ERROR_FORBIDDEN;
    same = bytes_equal(grant_sub(grant), authentication_sub(socket));
    grant_free(grant);
    if (!same)
        return ERROR_FORBIDDEN;
    *code = REFUSAL_UNAVAILABLE;
    return ask_token(gateway, socket, ack, (struct wire_token){.grant = buffer_bytes(text)});
}

void authentication_renew(struct gateway *gateway, struct socket *socket, long long ack, struct bytes event,
                          struct json_value argument)
{
    struct buffer token = {0}, text = {0};
    enum refusal_code code;

    if (renew(gateway, socket, ack, argument, &token, &text, &code) < 0)
        socket_refuse(gateway, socket, ack, event, code,
                      code == REFUSAL_FORBIDDEN ? "the token is somebody else's" : NULL);
    else if (authentication_hold(gateway, socket, buffer_bytes(&text)) < 0)
        abort(); /* it was read a moment ago */
    if (token.data)
        explicit_bzero(token.data, token.length);
    buffer_done(&token);
    buffer_done(&text);
}
