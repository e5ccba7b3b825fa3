/* What our programs exit with: the numbers of sysexits, so that supervisors know them. */
#ifndef HUBBUB_COMMON_EXIT_CODE_H
#define HUBBUB_COMMON_EXIT_CODE_H

/* X(NAME, number, text for --help) */
#define EXIT_CODE_TABLE(X)                                                                                   \
    X(OK, 0, "success, or stopped by a signal as asked")                                                     \
    X(USAGE, 64, "the command line is wrong")                                                                \
    X(RUNTIME, 70, "failed while running (a port or file is in use, a system call failed)")                  \
    X(CONFIGURATION, 78, "the configuration is wrong")

enum exit_code {
#define X(name, number, text) EXIT_##name = number,
    EXIT_CODE_TABLE(X)
#undef X
};

#endif
