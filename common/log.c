/*
 * Log lines on standard error; called by the programs through the macros of log.h, from any thread.
 *
 * The surprise: the format is taken apart here, key by key, because a value can only be quoted rightly while
 * it is known where it begins and ends.
 */
#include "common/log.h"

#include "common/buffer.h"
#include "common/clock.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

const char *const log_level_names[] = {
#define X(name, text) text,
    LOG_LEVEL_TABLE(X)
#undef X
        NULL};

static _Atomic enum log_level threshold = LOG_LEVEL_INFO;
static const char *program_name;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all sites and the list */
static struct log_site *suppressed_sites;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&threshold, level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
    return atomic_load_explicit(&threshold, memory_order_relaxed);
}

int log_level_find(struct bytes text, enum log_level *out)
{
    for (unsigned i = 0; log_level_names[i]; i++)
        if (bytes_equal_text(text, log_level_names[i])) {
            *out = (enum log_level)i;
            return 0;
        }
    return ERROR_NOT_FOUND;
}

void log_set_program(const char *name)
{
    program_name = name;
}

bool log_enabled(enum log_level level)
{
    return level <= log_get_level();
}

static bool plain(unsigned char c)
{
    return c > ' ' && c < 0x7f && c != '"' && c != '\\' && c != '=';
}

static void append_value(struct buffer *line, const char *value, size_t length)
{
    bool quote = length == 0;
    bool cut = length > LOG_VALUE_MAX;

    if (cut)
        length = LOG_VALUE_MAX;
    for (size_t i = 0; i < length && !quote; i++)
        quote = !plain((unsigned char)value[i]);
    if (!quote) {
        buffer_append(line, value, length);
    } else {
        buffer_append_char(line, '"');
        for (size_t i = 0; i < length; i++) {
            unsigned char c = (unsigned char)value[i];

            if (c == '"' || c == '\\')
                buffer_append_char(line, '\\');
            if (c < ' ' || c >= 0x7f)
                buffer_printf(line, "\\x%02x", c);
            else
                buffer_append_char(line, (char)c);
        }
        buffer_append_char(line, '"');
    }
    if (cut)
        buffer_append_literal(line, "...");
}

static void append_head(struct buffer *line, enum log_level level, const char *message)
{
    uint64_t now = clock_wall_ms();
    time_t seconds = (time_t)(now / 1000);
    struct tm date;

    gmtime_r(&seconds, &date);
    buffer_printf(line, "time=%04d-%02d-%02dT%02d:%02d:%02d.%03uZ level=%s", date.tm_year + 1900,
                  date.tm_mon + 1, date.tm_mday, date.tm_hour, date.tm_min, date.tm_sec,
                  (unsigned)(now % 1000), log_level_names[level]);
    if (program_name) {
        buffer_append_literal(line, " program=");
        append_value(line, program_name, strlen(program_name));
    }
    buffer_append_literal(line, " message=");
    append_value(line, message, strlen(message));
}

enum width { WIDTH_INT, WIDTH_LONG, WIDTH_LONG_LONG, WIDTH_SIZE, WIDTH_MAX };

/* What an argument was passed as, read once so that one snprintf() call serves each kind. */
struct directive {
    char text[32];
    size_t length;
    char conversion;
    enum width width;
    unsigned stars;
    int star[2];
};

/* Reads one directive that starts at '%'; the compiler has checked it, so it is well-formed. */
static const char *read_directive(const char *format, struct directive *out)
{
    static const char flags[] = "-+ #0123456789.*hlzj";

    *out = (struct directive){.text = "%", .length = 1};
    for (format++; *format && strchr(flags, *format); format++) {
        assert(out->length < sizeof out->text - 2);
        out->text[out->length++] = *format;
        if (*format == '*') {
            assert(out->stars < 2);
            out->stars++;
        } else if (*format == 'l') {
            out->width = out->width == WIDTH_LONG ? WIDTH_LONG_LONG : WIDTH_LONG;
        } else if (*format == 'z') {
            out->width = WIDTH_SIZE;
        } else if (*format == 'j') {
            out->width = WIDTH_MAX;
        }
    }
    out->conversion = *format;
    out->text[out->length] = *format;
    return format + 1;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#define APPEND(value)                                                                                        \
    (d->stars == 2   ? buffer_printf(out, d->text, d->star[0], d->star[1], value)                            \
     : d->stars == 1 ? buffer_printf(out, d->text, d->star[0], value)                                        \
                     : buffer_printf(out, d->text, value))

#define APPEND_BY_WIDTH(arguments, sign)                                                                     \
    switch (d->width) {                                                                                      \
    case WIDTH_INT:                                                                                          \
        APPEND(va_arg(*arguments, sign int));                                                                \
        break;                                                                                               \
    case WIDTH_LONG:                                                                                         \
        APPEND(va_arg(*arguments, sign long));                                                               \
        break;                                                                                               \
    case WIDTH_LONG_LONG:                                                                                    \
        APPEND(va_arg(*arguments, sign long long));                                                          \
        break;                                                                                               \
    case WIDTH_SIZE:                                                                                         \
        APPEND(va_arg(*arguments, size_t));                                                                  \
        break;                                                                                               \
    case WIDTH_MAX:                                                                                          \
        APPEND(va_arg(*arguments, uintmax_t));                                                               \
        break;                                                                                               \
    }

static void append_directive(struct buffer *out, struct directive *d, va_list *arguments)
{
    for (unsigned i = 0; i < d->stars; i++)
        d->star[i] = va_arg(*arguments, int);
    switch (d->conversion) {
    case 'd':
    case 'i':
    case 'c':
        APPEND_BY_WIDTH(arguments, signed)
        break;
    case 'u':
    case 'x':
    case 'X':
    case 'o':
        APPEND_BY_WIDTH(arguments, unsigned)
        break;
    case 'f':
    case 'e':
    case 'g':
        APPEND(va_arg(*arguments, double));
        break;
    case 's': {
        const char *text = va_arg(*arguments, const char *);

        APPEND(text ? text : "(null)");
        break;
    }
    case 'p':
        APPEND(va_arg(*arguments, void *));
        break;
    default:
        assert(d->conversion == '%');
        buffer_append_char(out, '%');
        break;
    }
}
#pragma GCC diagnostic pop

static void append_fields(struct buffer *line, const char *format, va_list *arguments)
{
    struct buffer value = {0};

    while (*format) {
        const char *equals;

        if (*format == ' ') {
            format++;
            continue;
        }
        equals = strchr(format, '=');
        assert(equals);
        buffer_append_char(line, ' ');
        buffer_append(line, format, (size_t)(equals - format) + 1);
        buffer_clear(&value);
        for (format = equals + 1; *format && *format != ' ';) {
            struct directive directive;

            if (*format == '%') {
                format = read_directive(format, &directive);
                append_directive(&value, &directive, arguments);
            } else {
                buffer_append_char(&value, *format++);
            }
        }
        append_value(line, value.data, value.length);
    }
    buffer_done(&value);
}

/* One write() a line, so that lines of several processes on one pipe stay whole. */
static void write_lines(const struct buffer *lines)
{
    size_t done = 0;

    while (done < lines->length) {
        ssize_t n = write(STDERR_FILENO, lines->data + done, lines->length - done);

        if (n < 0 && errno != EINTR)
            return; /* there is nowhere left to complain */
        if (n > 0)
            done += (size_t)n;
    }
}

/* Counts a line of the site; false when it is beyond the burst.  Locked. */
static bool admit(struct log_site *site, uint64_t second)
{
    if (site->window != second && !site->suppressed) {
        site->window = second;
        site->written = 0;
    }
    if (site->written < LOG_BURST) {
        site->written++;
        return true;
    }
    if (site->suppressed++ == 0) {
        site->next_suppressed = suppressed_sites;
        suppressed_sites = site;
    }
    return false;
}

/* Writes a line for each site whose second is over, and lets it start anew.  Locked. */
static void report_suppressed(struct buffer *lines, uint64_t second)
{
    struct log_site **link = &suppressed_sites;

    while (*link) {
        struct log_site *site = *link;

        if (site->window == second) {
            link = &site->next_suppressed;
            continue;
        }
        append_head(lines, site->level, site->message);
        buffer_printf(lines, " suppressed=%u\n", site->suppressed);
        site->suppressed = 0;
        *link = site->next_suppressed;
    }
}

void log_write(struct log_site *site, const char *format, ...)
{
    uint64_t second = clock_monotonic_ms() / 1000;
    int saved_errno = errno;
    struct buffer line = {0};
    va_list arguments;

    pthread_mutex_lock(&lock);
    if (suppressed_sites)
        report_suppressed(&line, second);
    if (admit(site, second)) {
        append_head(&line, site->level, site->message);
        errno = saved_errno;
        va_start(arguments, format);
        append_fields(&line, format, &arguments);
        va_end(arguments);
        buffer_append_char(&line, '\n');
    }
    write_lines(&line);
    pthread_mutex_unlock(&lock);
    buffer_done(&line);
    errno = saved_errno;
}
