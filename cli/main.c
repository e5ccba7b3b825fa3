/*
 * The program `hubbub`: finds the command and hands over to it.
 *
 * The surprise: options belong to the commands; before the command only --help and --version are known,
 * and `help` is no command of the table, so that it stands in no list of those that take options.
 */
#include "cli/commands.h"
#include "common/exit_code.h"
#include "common/nearest.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*call)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"run", command_run, "start the whole stack on this machine: a router, gateways, the journal"},
    {"stats", command_ask, "show the figures of a running router"},
    {"top", command_top, "watch what a running stack does, live on the whole screen"},
    {"rooms", command_ask, "list the largest rooms"},
    {"room", command_ask, "show one room"},
    {"gateways", command_ask, "list the gateways"},
    {"backends", command_ask, "list the backends"},
    {"user", command_ask, "show the sessions of a user"},
    {"session", command_ask, "show one session, and what its client told when it connected"},
    {"archive", command_ask, "show how far the archive is"},
    {"kick", command_ask, "disconnect a session, or a user, for good"},
    {"close", command_ask, "have all members leave a room"},
    {"drain", command_ask, "have a gateway send its clients elsewhere"},
    {"resume", command_ask, "have it serve again"},
    {"loglevel", command_ask, "say what router and gateways log"},
    {"config", command_ask, "show the configuration that is in effect, and where it comes from"},
    {"history", command_history, "show the messages of a room, and follow it"},
    {"export", command_export, "write all messages of a room as JSON lines"},
    {"backup", command_backup, "copy the journal, while it is in use"},
    {"restore", command_restore, "make a journal from such a copy"},
    {"doctor", command_doctor, "look at what a stack on this machine needs, and say what to mend"},
    {"keygen", command_keygen, "make a pair of keys for the link between machines"},
    {"token", command_token, "make a token with which a client may connect"},
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static int help(void)
{
    puts("hubbub: live rooms for browsers and apps\n\nUsage: hubbub COMMAND [options]\n\nCommands:");
    for (unsigned i = 0; i < COMMANDS; i++)
        printf("  %-10s%s\n", commands[i].name, commands[i].help);
    puts("\nhubbub COMMAND --help shows the options of a command; hubbub --version the version.\n\nExit "
         "codes:");
#define X(name, number, text) puts("  " #number "\t" text);
    EXIT_CODE_TABLE(X)
#undef X
    return EXIT_OK;
}

static int complain(const char *name)
{
    struct nearest nearest;
    const char *meant;

    nearest_init(&nearest, name);
    for (unsigned i = 0; i < COMMANDS; i++)
        nearest_offer(&nearest, commands[i].name);
    meant = nearest_found(&nearest);
    fprintf(stderr, "hubbub: unknown command '%s'%s%s%s (see hubbub --help)\n", name,
            meant ? "; did you mean " : "", meant ? meant : "", meant ? "?" : "");
    return EXIT_USAGE;
}

static int call(int argc, char **argv)
{
    for (unsigned i = 0; i < COMMANDS; i++)
        if (strcmp(argv[0], commands[i].name) == 0)
            return commands[i].call(argc, argv);
    return complain(argv[0]);
}

/* argv[0] is the word `help`, which the stats socket knows, too. */
static int help_with(int argc, char **argv)
{
    static char option[] = "--help";

    if (argc < 2 || strcmp(argv[1], "help") == 0 || argv[1][0] == '-')
        return help();
    return call(2, (char *[]){argv[1], option, NULL});
}

int main(int argc, char **argv)
{
    /* A reader of our output that went away must not take the stack with it. */
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        fputs("hubbub: which command? (see hubbub --help)\n", stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0)
        return help();
    if (strcmp(argv[1], "--version") == 0) {
        puts("hubbub " HUBBUB_VERSION);
        return EXIT_OK;
    }
    if (strcmp(argv[1], "help") == 0)
        return help_with(argc - 1, argv + 1);
    return call(argc - 1, argv + 1);
}
