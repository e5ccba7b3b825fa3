/* Event rules that were read again while a program runs. */
#ifndef HUBBUB_PROTO_RULES_RELOAD_H
#define HUBBUB_PROTO_RULES_RELOAD_H

#include "proto/rules.h"

/* In what a list that was read again differs from the one in force. */
enum namespaces_change {
    NAMESPACES_SAME,
    NAMESPACES_RULES, /* in event rules only */
    NAMESPACES_OTHER, /* in namespaces: their number, order, names or keys; or in whether one needs a backend,
                         which rules say, too */
};

enum namespaces_change namespaces_compare(const struct namespace_list *one,
                                          const struct namespace_list *other) MUST_CHECK;

/*
 * The rules of two lists change places, and where they and the namespaces stand in the file; the namespaces
 * stay where they are.  The lists do not differ in NAMESPACES_OTHER.  Between two turns of the loop: whoever
 * keeps a rule beyond a turn keeps a copy, without its name and origin.
 */
void namespaces_exchange_rules(struct namespace_list *one, struct namespace_list *other);

#endif
