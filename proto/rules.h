/*
 * What becomes of an application's events: the rules of each namespace, from the
 * configuration.  The router and every gateway load the same ones.
 *
 *   namespaces = ( { name = "/"; builtin = true; recovery = true; events = ( ... ); },
 *                  { pattern = "/orders-*"; events = ( ... ); } );
 *   events = ( { name = "msg"; room = "$.room"; deliver = "room"; archive = true; dedup = "$.id"; meta =
 * true; } );
 *
 * events at the top level are those of "/"; either list may stand alone, not both.
 * Errors are text: "FILE:LINE: what is wrong, what was expected".  "/" need not be served.
 */
#ifndef HUBBUB_PROTO_RULES_H
#define HUBBUB_PROTO_RULES_H

#include "common/buffer.h"
#include "common/error.h"
#include "proto/json_scan.h"
#include "proto/name.h"

#include <libconfig.h>

enum {
    RULES_MAX = 256, /* of a namespace */
    NAMESPACES_MAX = 64,
    RULE_ARGUMENTS_MAX = 64,
    DEDUP_MIN = 8, /* bytes of a client's own id */
    DEDUP_MAX = 64
};

/* Who gets the event: X(NAME, key) */
#define RULE_DELIVER_TABLE(X)                                                                                \
    X(ROOM, "room")           /* everyone in the room */                                                     \
    X(OTHERS, "others")       /* everyone in the room but the sender */                                      \
    X(SELF, "self")           /* the sender alone */                                                         \
    X(NAMESPACE, "namespace") /* everyone in the namespace */

enum rule_deliver {
#define X(name, key) RULE_DELIVER_##name,
    RULE_DELIVER_TABLE(X)
#undef X
};

enum rule_class {
    RULE_ARCHIVED, /* journal and archive for good, numbered, durable before visible */
    RULE_LOGGED,   /* the journal for the recovery window */
    RULE_VOLATILE  /* never written, dropped for slow readers */
};

/* Indices of event_rule.paths, which go as they are to socketio_event_finish(). */
enum rule_path { RULE_PATH_ROOM, RULE_PATH_DEDUP, RULE_PATHS };

/* A path that the rule lacks is the zero path, whose value is always absent. */
struct event_rule {
    struct bytes name; /* owned by the set */
    struct json_path paths[RULE_PATHS];
    enum rule_deliver deliver;
    enum rule_class class;
    bool meta; /* {"room":..,"seq":..,...} goes behind the arguments */
    bool ask;  /* a backend judges it before it is published */
    /* How many a client may send at most; 0: any number.  A receiver that finds meta by counting from the front
       would take one more for it. */
    unsigned arguments;
    char *origin; /* "FILE:LINE", owned by the set; NULL: a default */
};

/* Zero-initialised is empty.  Rules stay where they are once the set is complete, until a reload
   (rules_reload.h). */
struct rule_set {
    struct event_rule *rules;
    size_t count;
};

void rules_done(struct rule_set *set);

/* A rule as the configuration has it; NULL strings are absent keys. */
struct event_rule_source {
    const char *name;
    const char *room;
    const char *dedup;
    const char *deliver; /* "room" when absent */
    bool archive;
    bool is_volatile;
    bool meta;
    bool ask;
    int arguments; /* 0: any number */
};

/*
 * Adds a rule.  ERROR_CONFIG, with what is wrong and what was expected appended to
 * error: a bad name, path or deliver; archive and volatile together; dedup of a
 * volatile event; no room where one is needed (deliver room or others, or archive);
 * a name that is there already; arguments below
 * what a path names, or above RULE_ARGUMENTS_MAX; more than RULES_MAX.
 */
int rules_add(struct rule_set *set, const struct event_rule_source *source, struct buffer *error) MUST_CHECK;

/* NULL when there is no rule of that name. */
const struct event_rule *rules_find(const struct rule_set *set, struct bytes name);

/* Whether its clients need tokens: as the group `tokens` says, or by its own key tokens_required. */
enum namespace_tokens { NAMESPACE_TOKENS_DEFAULT, NAMESPACE_TOKENS_OPTIONAL, NAMESPACE_TOKENS_REQUIRED };

struct namespace_config {
    struct bytes
        entry;       /* its name or its pattern, owned by the list; a namespace itself knows its own name */
    bool is_pattern; /* serves every namespace whose name the pattern matches, each on its own */
    bool builtin;    /* the broker itself handles join, leave, history and presence */
    bool recovery;   /* connection state recovery: pid and offsets */
    bool
        backend; /* its clients wait for a backend: the configuration says so, or gives one something to do */
    enum namespace_tokens tokens;
    struct rule_set rules;
    char *origin; /* "FILE:LINE", owned by the list; NULL: a default */
};

/* Zero-initialised is empty. */
struct namespace_list {
    struct namespace_config *namespaces;
    size_t count;
};

/*
 * Reads namespaces or events from a configuration; with neither there is "/" with
 * the default rules, and a namespace without events has the default rules too, but for one with
 * builtin = false, which has none: all its events are a backend's.
 * ERROR_CONFIG for everything that rules_add() refuses, unknown keys, wrong types, bad
 * or repeated names of namespaces, and rules that the broker itself would shadow; a line
 * of text is appended to error then.
 */
int namespaces_load(const config_t *config, struct namespace_list *out, struct buffer *error) MUST_CHECK;

void namespaces_done(struct namespace_list *list);

/* What serves a namespace of that name: the entry of that very name, else the first pattern that matches.
   NULL when nothing does. */
const struct namespace_config *namespaces_find(const struct namespace_list *list, struct bytes name);

/* Equal for equal configurations, whichever process computes it; the order of entries counts. */
uint64_t namespaces_digest(const struct namespace_list *list);

#endif
