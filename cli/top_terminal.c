/*
 * Opening and closing the screen of the live view; see top_terminal.h.
 *
 * The surprise: the terminal is asked for before ncurses is, which would end the program itself or draw
 * nonsense on what can't move its cursor.
 */
#include "cli/top_terminal.h"

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* <term.h> makes macros of ordinary words, so nothing of ours follows. */
#define NCURSES_NOMACROS
#include <curses.h>
#include <term.h>

enum { ESCAPE_MS = 25 }; /* how long what follows an escape may take, so that it is one key */

static SCREEN *screen;

static int check(void)
{
    const char *type = getenv("TERM");
    int status;

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        fputs("hubbub top: this is no terminal; hubbub stats shows the figures once, as text\n", stderr);
        return ERROR_SYSTEM;
    }
    if (!type || !*type || setupterm(type, STDOUT_FILENO, &status) == ERR) {
        fprintf(stderr, "hubbub top: the terminal type '%s' is not known; set TERM\n", type ? type : "");
        return ERROR_SYSTEM;
    }
    status = cursor_address ? 0 : ERROR_SYSTEM;
    del_curterm(cur_term);
    if (status)
        fprintf(stderr, "hubbub top: a terminal of type '%s' can't show whole screens; set TERM\n", type);
    return status;
}

/* Room names are UTF-8.  An environment that says nothing of characters means no seven bits: nearly every
 * terminal has UTF-8. */
static void choose_locale(void)
{
    static const char seven_bits[] = "ANSI_X3.4-1968"; /* as nl_langinfo() calls them */
    const char *wanted = getenv("LC_ALL");

    if (!setlocale(LC_CTYPE, "") || (strcmp(nl_langinfo(CODESET), seven_bits) == 0 && !(wanted && *wanted)))
        setlocale(LC_CTYPE, "C.UTF-8");
}

int top_terminal_open(void)
{
    if (check())
        return ERROR_SYSTEM;
    choose_locale();
    screen = newterm(NULL, stdout, stdin);
    if (!screen) {
        fputs("hubbub top: the terminal can't be opened\n", stderr);
        return ERROR_SYSTEM;
    }
    set_escdelay(ESCAPE_MS);
    cbreak();
    noecho();
    nonl();
    nodelay(stdscr, TRUE);
    keypad(stdscr, TRUE);
    curs_set(0);
    return 0;
}

void top_terminal_close(void)
{
    curs_set(1);
    endwin();
    delscreen(screen);
    screen = NULL;
}
