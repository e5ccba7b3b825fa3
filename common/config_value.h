/* What the values of config.h's keys may be, and how they are stored; used by config.c only. */
#ifndef HUBBUB_COMMON_CONFIG_VALUE_H
#define HUBBUB_COMMON_CONFIG_VALUE_H

#include "common/buffer.h"
#include "common/config.h"

#include <stdbool.h>

/* Parses the text and stores it in the key's field.  0, or ERROR_MALFORMED with the field as it was. */
int config_value_store(const struct config_key *key, const char *text, void *settings) MUST_CHECK;

/* Appends what a valid value is: "1 s to 10 min". */
void config_value_append_expected(struct buffer *out, const struct config_key *key);

/* Appends the field's value as one would write it, with no blank before a unit; nothing for a text that is absent. */
void config_value_append(struct buffer *out, const struct config_key *key, const void *settings);

/* How --help writes a value of that type. */
const char *config_value_placeholder(const struct config_key *key);

/* Whether a setting of that libconfig type (CONFIG_TYPE_...) may stand for the key. */
bool config_value_takes(const struct config_key *key, int file_type);

/* Whether the field is an owned char *. */
bool config_value_is_text(const struct config_key *key);

#endif
