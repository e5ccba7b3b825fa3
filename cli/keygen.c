/*
 * `hubbub keygen FILE`: makes a pair of CURVE keys for a router or a gateway.
 *
 * The surprise: the public key is written first, so that a FILE.pub that is in the way stops it before there
 * is a secret; the pair is there or neither.
 */
#include "cli/commands.h"
#include "common/config.h"
#include "common/exit_code.h"
#include "common/key_file.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

static int write_pair(const char *path, const char *public_path, const struct key *public_key,
                      const struct key *secret, struct buffer *error)
{
    int result = key_file_create(public_path, public_key, false, error);

    if (result)
        return result;
    result = key_file_create(path, secret, true, error);
    if (result)
        unlink(public_path);
    return result;
}

static int make_keys(const char *path)
{
    struct key public_key = {0}, secret = {0};
    struct buffer public_path = {0}, error = {0};
    int result;

    if (zmq_curve_keypair(public_key.text, secret.text) < 0) {
        fprintf(stderr, "hubbub: cannot make keys: %s\n", zmq_strerror(zmq_errno()));
        return EXIT_RUNTIME;
    }
    buffer_printf(&public_path, "%s.pub%c", path, '\0');
    result = write_pair(path, public_path.data, &public_key, &secret, &error);
    explicit_bzero(&secret, sizeof secret);
    if (result)
        fprintf(stderr, "hubbub: no keys written: %.*s\n", (int)error.length, error.data);
    else
        puts(public_key.text);
    buffer_done(&public_path);
    buffer_done(&error);
    return result ? EXIT_RUNTIME : EXIT_OK;
}

int command_keygen(int argc, char **argv)
{
    static const struct config_program program = {
        .name = "hubbub keygen",
        .summary =
            "makes a pair of keys: FILE is the secret one, FILE.pub the public one, which is printed too",
        .positional_maximum = 1,
        .positional_help = "FILE"};
    struct config_result result;
    char nothing = 0;

    if (config_load(&program, argc, argv, &nothing, &result))
        return config_report(&result);
    if (result.positional_count == 0) {
        fputs("hubbub keygen: which file? (see --help)\n", stderr);
        return EXIT_USAGE;
    }
    return make_keys(result.positional[0]);
}
