/* The namespaces and patterns that an app serves, and the functions for their events. */
#ifndef HUBBUB_APP_NAMESPACE_H
#define HUBBUB_APP_NAMESPACE_H

#include "app/hubbub.h"
#include "common/bytes.h"
#include "common/table.h"

enum { APP_NAMESPACES_MAX = 64 };

struct event_handler {
    struct bytes name; /* owned */
    hubbub_event_callback *callback;
    void *user;
};

struct hubbub_namespace {
    struct hubbub_app *app;
    struct bytes name; /* or pattern; owned */
    bool is_pattern;
    struct hubbub_handlers handlers;
    void *user;
    struct table events; /* of struct event_handler */
};

struct served {
    struct hubbub_namespace *entries[APP_NAMESPACES_MAX];
    size_t count;
};

void served_done(struct served *served);

/* What serves a namespace of that name: the entry of that very name, else the first pattern that matches, or
 * NULL. */
struct hubbub_namespace *served_find(const struct served *served, struct bytes name);

#endif
