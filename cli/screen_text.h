/*
 * Texts of strangers in the columns of a terminal: harmless, and exactly as wide as asked for.
 *
 * The columns of a character are those of the locale (setlocale(LC_CTYPE, "") first); one that the locale
 * cannot show is a ?.
 */
#ifndef HUBBUB_CLI_SCREEN_TEXT_H
#define HUBBUB_CLI_SCREEN_TEXT_H

#include "common/buffer.h"

enum screen_align { SCREEN_LEFT, SCREEN_RIGHT };

/*
 * Appends the text in that many columns, filled with blanks; when it is wider, its end is left out and ~
 * stands in the last column.  What acts on a terminal is escaped as by printable_append(); marks without a
 * width of their own stay, two a character at most, and what joins or restyles characters is left out, since
 * terminals do not agree on the width of the result.
 */
void screen_text_fit(struct buffer *out, struct bytes text, unsigned columns, enum screen_align align);

#endif
