/* An app that serves "/" and "/dyn-*", a played router, and what the callbacks were called for, in words. */
#ifndef HUBBUB_TESTS_UNIT_APP_FIXTURE_H
#define HUBBUB_TESTS_UNIT_APP_FIXTURE_H

#include "tests/unit/app/played_router.h"

struct fixture {
    struct played_router router;
    struct hubbub_namespace *root;
    char told[1024];
    uint64_t task; /* of the last event */
    bool later;    /* on_event leaves it open; else it answers with its arguments */
    bool quiet;    /* on_event does nothing */
    bool block;    /* on_event takes six seconds */
};

/* For cmocka: *state is the fixture, in whose "/" all callbacks but on_connecting and on_judge are set. */
int set_up(void **state);
int tear_down(void **state);

/* Adds "what which" to what has been told. */
void tell(struct fixture *fixture, const char *what, const char *which);

/* Waits for a callback and checks what has been told since the last call: "join r, leave r". */
void assert_told(struct fixture *fixture, const char *expected);

/* Live, with a socket "s" in "/" that this backend has. */
void begin(struct fixture *fixture);
struct hubbub_socket *socket_s(struct fixture *fixture);

/* So many milliseconds for which this process seems to have stood still, by the clock of the lease; 0 in the
 * beginning of a test. */
extern uint64_t stood_still;

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
