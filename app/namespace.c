/* What an app serves; see namespace.h and hubbub.h.  Entries live as long as the app. */
#include "app/namespace.h"

#include "app/app.h"
#include "common/memory.h"
#include "proto/name.h"
#include "proto/socketio.h"
#include "proto/utf8.h"

#include <stdlib.h>

static struct bytes key_of(const void *entry)
{
    const struct event_handler *handler = entry;

    return handler->name;
}

static struct bytes copy(struct bytes text)
{
    return bytes_make(memory_text(text.data, text.length), text.length);
}

int hubbub_serve(struct hubbub_app *app, const char *name, const struct hubbub_handlers *handlers, void *user,
                 struct hubbub_namespace **out)
{
    struct bytes text = bytes_from_text(name);
    struct hubbub_namespace *entry;
    bool is_pattern = name && strchr(name, '*');

    if (!app || !(is_pattern ? namespace_pattern_valid(text) : namespace_name_valid(text)) ||
        app->namespaces.count == APP_NAMESPACES_MAX)
        return HUBBUB_ERROR_ARGUMENT;
    for (size_t i = 0; i < app->namespaces.count; i++)
        if (bytes_equal(app->namespaces.entries[i]->name, text))
            return HUBBUB_ERROR_ARGUMENT;
    if (app->started)
        return HUBBUB_ERROR_STATE;
    entry = memory_zero(1, sizeof *entry);
    entry->app = app;
    entry->name = copy(text);
    entry->is_pattern = is_pattern;
    if (handlers)
        entry->handlers = *handlers;
    entry->user = user;
    table_init(&entry->events, key_of);
    app->namespaces.entries[app->namespaces.count++] = entry;
    if (out)
        *out = entry;
    return 0;
}

int hubbub_on(struct hubbub_namespace *name_space, const char *event, hubbub_event_callback *callback,
              void *user)
{
    struct bytes name = bytes_from_text(event);
    struct event_handler *handler;

    if (!name_space || !callback || name.length == 0 || name.length > SOCKETIO_NAME_MAX ||
        !utf8_valid(name) || socketio_name_reserved(name))
        return HUBBUB_ERROR_ARGUMENT;
    if (table_find(&name_space->events, name))
        return HUBBUB_ERROR_STATE;
    handler = memory_new(sizeof *handler);
    *handler = (struct event_handler){.name = copy(name), .callback = callback, .user = user};
    table_insert(&name_space->events, handler);
    return 0;
}

struct hubbub_namespace *served_find(const struct served *served, struct bytes name)
{
    for (size_t i = 0; i < served->count; i++)
        if (bytes_equal(served->entries[i]->name, name))
            return served->entries[i];
    for (size_t i = 0; i < served->count; i++)
        if (served->entries[i]->is_pattern && namespace_pattern_matches(served->entries[i]->name, name))
            return served->entries[i];
    return NULL;
}

void served_done(struct served *served)
{
    for (size_t i = 0; i < served->count; i++) {
        struct hubbub_namespace *entry = served->entries[i];
        struct event_handler *handler;
        uint32_t cursor = 0;

        while ((handler = table_next(&entry->events, &cursor))) {
            free((char *)handler->name.data);
            free(handler);
        }
        table_done(&entry->events);
        free((char *)entry->name.data);
        free(entry);
    }
}
