/* Reading a small file that may hold a secret; see secret_file.h.  Key files and bearer keys use it. */
#include "common/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OTHERS = 077 };

int secret_file_read(const char *path, bool secret, const char *what, struct buffer *text,
                     struct buffer *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not hold us up */
    struct stat status;
    ssize_t n = -1;
    int result = ERROR_CONFIG;

    if (fd < 0 || fstat(fd, &status) < 0) {
        buffer_printf(error, "%s: cannot read %s: %s", path, what, strerror(errno));
    } else if (!S_ISREG(status.st_mode)) {
        buffer_printf(error, "%s: not a regular file", path);
    } else if (secret && status.st_mode & OTHERS) {
        buffer_printf(error, "%s: a secret key that others have rights to (mode %04o); expected mode 0600",
                      path, (unsigned)status.st_mode & 07777);
    } else if (status.st_size > SECRET_FILE_LIMIT) {
        buffer_printf(error, "%s: larger than %u bytes", path, (unsigned)SECRET_FILE_LIMIT);
    } else {
        char *room = buffer_reserve(text, SECRET_FILE_LIMIT);
        size_t length = 0;

        while ((n = read(fd, room + length, SECRET_FILE_LIMIT - length)) > 0)
            length += (size_t)n;
        if (n < 0)
            buffer_printf(error, "%s: cannot read %s: %s", path, what, strerror(errno));
        else
            result = 0;
        buffer_extend(text, length);
    }
    if (fd >= 0)
        close(fd);
    return result;
}

void secret_file_wipe(struct buffer *text)
{
    if (text->data)
        explicit_bzero(text->data, text->length);
    buffer_done(text);
}
