/*
 * Reads a libconfig file with the errors that people need; used by config.c only.
 *
 * On top of libconfig: included files are looked for in the folder of the main
 * file, a number that does not fit is refused (libconfig keeps its lowest 32
 * bits), and so are folders, and comments that do not end.
 */
#ifndef HUBBUB_COMMON_CONFIG_FILE_H
#define HUBBUB_COMMON_CONFIG_FILE_H

#include "common/buffer.h"
#include "common/error.h"

#include <libconfig.h>

/*
 * file: after config_init(); config_destroy() stays the caller's.  0, or
 * ERROR_CONFIG after appending one line "FILE:LINE: ..." without newline to error.
 */
int config_file_read(const char *path, config_t *file, struct buffer *error) MUST_CHECK;

#endif
