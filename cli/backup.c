/*
 * `hubbub backup FILE` and `hubbub restore FILE`: the router's program does it, which knows the journal.
 *
 * The surprise: this process becomes that program, whose output and exit code are the command's.
 */
#include "cli/commands.h"
#include "cli/places.h"
#include "cli/stats_client.h"
#include "common/config.h"
#include "common/exit_code.h"
#include "common/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct backup_settings {
    struct stats_place place;
};

static const struct config_key keys[] = {STATS_PLACE_KEYS(struct backup_settings)};

static int finish(const config_t *file, void *settings, struct buffer *error)
{
    struct backup_settings *backup = settings;
    const char *data = "./data";

    (void)error;
    if (backup->place.data)
        return 0;
    stats_place_lookup(file, "data", &data);
    backup->place.data = memory_text(data, strlen(data));
    return 0;
}

static int become_router(const char *option, const char *data, const char *file)
{
    char *program = places_find_program("router");

    execlp(program, program, "--data", data, option, file, (char *)NULL);
    fprintf(stderr, "hubbub: cannot start %s: %s\n", program, strerror(errno));
    free(program);
    return EXIT_RUNTIME;
}

static int command(int argc, char **argv, const char *name, const char *summary, const char *option)
{
    const struct config_program program = {.name = name,
                                           .summary = summary,
                                           .keys = keys,
                                           .key_count = sizeof keys / sizeof *keys,
                                           .others = stats_place_others,
                                           .finish = finish,
                                           .positional_maximum = 1,
                                           .positional_help = "FILE"};
    struct backup_settings settings = {0};
    struct config_result result;
    int code;

    if (config_load(&program, argc, argv, &settings, &result))
        return config_report(&result);
    if (result.positional_count == 0) {
        fprintf(stderr, "%s: which file? (see --help)\n", name);
        code = EXIT_USAGE;
    } else
        code = become_router(option, settings.place.data, result.positional[0]);
    config_settings_done(&program, &settings);
    return code;
}

int command_backup(int argc, char **argv)
{
    return command(argc, argv, "hubbub backup",
                   "copies the journal into a new file, while the router runs or not", "--backup");
}

int command_restore(int argc, char **argv)
{
    return command(argc, argv, "hubbub restore",
                   "makes the journal of a data folder that has none from a backup", "--restore");
}
