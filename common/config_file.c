/*
 * Reading the configuration file for config.c.
 *
 * The surprise: every file is read twice, by a small scanner of ours and then by libconfig.  The scanner
 * knows just enough of the grammar (strings, comments, numbers, @include) to refuse what libconfig would
 * take wrongly or die of.
 */
#include "common/config_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_SIZE_MAX = 1 << 20,
    INCLUDE_DEPTH_MAX = 10, /* libconfig's own limit */
    PATH_LENGTH_MAX = 4096,
};

struct scanner {
    const char *shown; /* the path as errors name it */
    const char *at;
    unsigned line;
    unsigned depth;
    const char *folder; /* where included files are looked for */
    struct buffer *error;
};

static int scan_file(const char *path, const char *shown, const char *folder, unsigned depth,
                     struct buffer *error);

static int complain(struct scanner *scanner, unsigned line, const char *text)
{
    buffer_printf(scanner->error, "%s:%u: %s", scanner->shown, line, text);
    return ERROR_CONFIG;
}

/* Reads a whole regular file and ends it with NUL; the message has no prefix of its own. */
static int read_text(const char *path, struct buffer *text, struct buffer *error)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int result = ERROR_CONFIG;
    ssize_t n;

    if (fd < 0 || fstat(fd, &status)) {
        buffer_printf(error, "cannot read %s: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(status.st_mode)) {
        buffer_printf(error, "cannot read %s: not a regular file", path);
        goto out;
    }
    do {
        n = read(fd, buffer_reserve(text, 65536), 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            buffer_printf(error, "cannot read %s: %s", path, strerror(errno));
            goto out;
        }
        buffer_extend(text, (size_t)n);
        if (text->length > FILE_SIZE_MAX) {
            buffer_printf(error, "cannot read %s: larger than %d bytes", path, FILE_SIZE_MAX);
            goto out;
        }
    } while (n);
    if (text->length && memchr(text->data, '\0', text->length)) {
        buffer_printf(error, "cannot read %s: not a text file", path);
        goto out;
    }
    buffer_append_char(text, '\0');
    result = 0;
out:
    if (fd >= 0)
        close(fd);
    return result;
}

/* From the first character after the opening quote to the one after the closing quote. */
static int skip_string(struct scanner *scanner)
{
    unsigned start = scanner->line;

    for (; *scanner->at != '"'; scanner->at++) {
        if (*scanner->at == '\\' && scanner->at[1])
            scanner->at++;
        if (*scanner->at == '\n')
            scanner->line++;
        if (!*scanner->at)
            return complain(scanner, start, "the text in quotes does not end");
    }
    scanner->at++;
    return 0;
}

static int skip_block_comment(struct scanner *scanner)
{
    unsigned start = scanner->line;

    for (scanner->at += 2; scanner->at[0] != '*' || scanner->at[1] != '/'; scanner->at++) {
        if (*scanner->at == '\n')
            scanner->line++;
        if (!*scanner->at)
            return complain(scanner, start, "the comment does not end");
    }
    scanner->at += 2;
    return 0;
}

static bool word_character(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.' || c == '+' || c == '*';
}

/* Numbers that libconfig would cut off; anything else is left to it. */
static int check_number(struct scanner *scanner, const char *word, size_t length)
{
    bool hexadecimal = length > 2 && word[0] == '0' && (word[1] == 'x' || word[1] == 'X');
    char *end;
    long long value;

    errno = 0;
    value = strtoll(word, &end, hexadecimal ? 16 : 10);
    if (end < word + length && *end == 'L') {
        if (errno == ERANGE)
            return complain(scanner, scanner->line, "the number is too large");
        return 0;
    }
    if (end == word + length && (errno == ERANGE || value > INT32_MAX || value < INT32_MIN))
        return complain(scanner, scanner->line,
                        "the number needs an L at its end (numbers beyond 2147483647 do)");
    return 0;
}

static int scan_include(struct scanner *scanner)
{
    char path[PATH_LENGTH_MAX];
    struct buffer problem = {0};
    const char *name;
    int length, result;

    scanner->at += sizeof "@include" - 1;
    scanner->at += strspn(scanner->at, " \t");
    if (*scanner->at != '"')
        return 0; /* libconfig says what is wrong */
    name = ++scanner->at;
    result = skip_string(scanner);
    if (result)
        return result;
    length = (int)(scanner->at - name) - 1;
    if (*name == '/')
        return complain(scanner, scanner->line,
                        "the included file must be given relative to the folder of the main file");
    if (scanner->depth == INCLUDE_DEPTH_MAX)
        return complain(scanner, scanner->line, "included files are nested too deep");
    if (snprintf(path, sizeof path, "%s/%.*s", scanner->folder, length, name) >= (int)sizeof path)
        return complain(scanner, scanner->line, "the path of the included file is too long");
    if (access(path, R_OK)) {
        buffer_printf(&problem, "cannot read %s: %s%c", path, strerror(errno), '\0');
        result = complain(scanner, scanner->line, problem.data);
    } else {
        result = scan_file(path, path + strlen(scanner->folder) + 1, scanner->folder, scanner->depth + 1,
                           scanner->error);
    }
    buffer_done(&problem);
    return result;
}

static int scan_token(struct scanner *scanner)
{
    const char *word = scanner->at;

    if (word[0] == '#' || (word[0] == '/' && word[1] == '/')) {
        scanner->at += strcspn(word, "\n");
        return 0;
    }
    if (word[0] == '/' && word[1] == '*')
        return skip_block_comment(scanner);
    if (word[0] == '"') {
        scanner->at++;
        return skip_string(scanner);
    }
    if (strncmp(word, "@include", sizeof "@include" - 1) == 0)
        return scan_include(scanner);
    if (!word_character(word[0])) {
        if (word[0] == '\n')
            scanner->line++;
        scanner->at++;
        return 0;
    }
    while (word_character(*scanner->at))
        scanner->at++;
    if (isdigit((unsigned char)word[0]) ||
        ((word[0] == '-' || word[0] == '+') && isdigit((unsigned char)word[1])))
        return check_number(scanner, word, (size_t)(scanner->at - word));
    return 0;
}

/* shown: the path as errors name it, which for an included file is how it was written, as libconfig does. */
static int scan_file(const char *path, const char *shown, const char *folder, unsigned depth,
                     struct buffer *error)
{
    struct buffer text = {0};
    struct scanner scanner = {.shown = shown, .line = 1, .depth = depth, .folder = folder, .error = error};
    int result = read_text(path, &text, error);

    if (!result) {
        scanner.at = text.data;
        while (!result && *scanner.at)
            result = scan_token(&scanner);
    }
    buffer_done(&text);
    return result;
}

int config_file_read(const char *path, config_t *file, struct buffer *error)
{
    char folder[PATH_LENGTH_MAX];
    const char *slash = strrchr(path, '/');
    int length = slash ? (int)(slash - path) : 1;
    int result;

    if (snprintf(folder, sizeof folder, "%.*s", length ? length : 1, slash ? path : ".") >=
        (int)sizeof folder) {
        buffer_append_text(error, "the path of the configuration file is too long");
        return ERROR_CONFIG;
    }
    result = scan_file(path, path, folder, 0, error);
    if (result)
        return result;
    config_set_include_dir(file, folder);
    if (config_read_file(file, path))
        return 0;
    if (config_error_type(file) == CONFIG_ERR_PARSE)
        buffer_printf(error, "%s:%d: %s", config_error_file(file) ? config_error_file(file) : path,
                      config_error_line(file), config_error_text(file));
    else
        buffer_printf(error, "cannot read %s", path);
    return ERROR_CONFIG;
}
