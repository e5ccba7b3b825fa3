/* Event rules and namespaces as an operator is shown them. */
#ifndef HUBBUB_PROTO_RULES_DESCRIBE_H
#define HUBBUB_PROTO_RULES_DESCRIBE_H

#include "common/config_describe.h"
#include "proto/rules.h"

/*
 * Visits each namespace, and behind it each of its rules, in their order, so that they can stand among the
 * keys of config_describe():
 *
 *   namespaces[/]              builtin=true;recovery=true;backend=false                             default
 *   namespaces[/].events[msg]  room=$.room;deliver=room;archive=true;dedup=$.id;meta=true  hubbub.conf:12
 *
 * Values are what is in effect, keys as in the configuration, and of a rule only what it has.
 */
void namespaces_describe(const struct namespace_list *list, config_visit *visit, void *argument);

#endif
