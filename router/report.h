/*
 * An answer of the stats socket being written, as text for people and awk or as JSON on one line.
 *
 * The caller says what there is once; both forms follow from it.
 *
 *   a list     # name members                {"rooms":[{"name":"a","members":3},{"name":"b c","members":1}],"more":7}
 *              a 3
 *              "b\u0020c" 1
 *              # more 7
 *   an object  name a                        {"name":"a","gateways":[{"name":"g1","members":3}],"rooms":["x"]}
 *              gateway g1 3
 *              room x
 *
 * In text a value never has a blank in it: one that has a blank, a quote or a comma, or could be taken for
 * something else, is a JSON string with \u0020 for its blanks; "-" is what is not there.  What would act on a
 * terminal is escaped, too.
 */
#ifndef HUBBUB_ROUTER_REPORT_H
#define HUBBUB_ROUTER_REPORT_H

#include "common/buffer.h"

#include <stdbool.h>
#include <stdint.h>

struct report {
    struct buffer *out;
    bool json;
    /* The rest is for report.c. */
    const char *const *columns; /* of the list, or of the rows in an object; NULL: none, or plain values */
    const char *label;          /* of rows in an object, in text */
    unsigned column;            /* of the next value in its row */
    bool in_rows, in_object, second, in_texts;
};

struct report report_new(struct buffer *out, bool json);

/* A list is all of the answer: begin, rows with a value for each column (NULL at the end of them), end.
   more: of how many others nothing is said here. */
void report_list_begin(struct report *report, const char *name, const char *const *columns);
void report_row(struct report *report);
void report_list_end(struct report *report, uint64_t more);

/* An object is all of the answer: begin, names with a value each, end. */
void report_object_begin(struct report *report);
void report_name(struct report *report, const char *name);
void report_object_end(struct report *report);

/*
 * Rows within an object: in JSON the array `name`, of objects with these keys, or of plain values where columns
 * is NULL; in text a line for each that begins with label.  report_row() begins each.
 */
void report_rows_begin(struct report *report, const char *name, const char *label,
                       const char *const *columns);
void report_rows_end(struct report *report);

/* Values. */
void report_number(struct report *report, uint64_t value);
void report_real(struct report *report, double value);
void report_text(struct report *report, struct bytes value);
void report_flag(struct report *report, bool value);
void report_nothing(struct report *report);

/* JSON text, on one line, that stands as it is in both forms. */
void report_json(struct report *report, struct bytes value);

/* A value that is several texts: an array, or joined by commas ("-" for none). */
void report_texts_begin(struct report *report);
void report_texts_add(struct report *report, struct bytes value);
void report_texts_end(struct report *report);

/* An answer by itself, {"ok":true} or "ok", with the name and number if name is not NULL. */
void report_done(struct report *report, const char *name, uint64_t number);

/* An answer by itself: "error " and the text, also with JSON. */
void report_error(struct report *report, const char *text);

#endif
