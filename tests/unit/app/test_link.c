/* The link of a backend: hello, batches, new links, what is sent again, and the lease. */
#include "tests/unit/app/fixture.h"

#include <stdlib.h>
#include <string.h>
#include <zmq.h>

static void break_link(struct played_router *router)
{
    wire_put_resync(&router->out, &(struct wire_resync){.reason = BYTES("test")});
    router_send(router);
}

static void test_hello(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    EXPECT(router, SERVE, serve, serve);
    assert_bytes(serve.name, "tested");
    assert_list(serve.namespaces, "/", "/dyn-*", NULL);
    assert_bytes(serve.program_version, hubbub_version());
    assert_true(serve.incarnation && serve.incarnation < (uint64_t)1 << 48);
    EXPECT(router, SERVE_END, serve_end, end);
    assert_int_equal(end.sockets, 0);
    assert_int_equal(hubbub_app_state(router->app), HUBBUB_CONNECTING);
    wire_put_serving(&router->out,
                     &(struct wire_serving){.epoch = BYTES("e"), .heartbeat = 100, .dead = 5000});
    router_send(router);
    /* Without anything to say it sends empty batches. */
    for (uint64_t received = router->received; router->received < received + 3;)
        router_turn(router);
    assert_int_equal(hubbub_app_state(router->app), HUBBUB_LIVE);
    assert_int_equal(router->acknowledged, 1);
}

static void test_what_is_held_is_named_in_the_next_hello(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;
    char routing[256];
    uint64_t link;

    begin(fixture);
    link = router->link;
    memcpy(routing, router->routing, router->routing_length);
    break_link(router);
    EXPECT(router, SERVE, serve, serve);
    assert_int_equal(router->links, 2);
    assert_true(router->link != link);
    assert_memory_not_equal(router->routing, routing, router->routing_length);
    EXPECT(router, HOLD, hold, hold);
    assert_bytes(hold.sid, "s");
    EXPECT(router, SERVE_END, serve_end, end);
    assert_int_equal(end.sockets, 1);
    wire_put_serving(&router->out,
                     &(struct wire_serving){.epoch = BYTES("e"), .heartbeat = 1000, .dead = 5000});
    wire_put_connection(&router->out, &(struct wire_connection){.kind = WIRE_CONNECTION_HELD,
                                                                .namespace = BYTES("/"),
                                                                .sid = BYTES("s"),
                                                                .rooms = list_of("s", "r", NULL),
                                                                .data = BYTES("1")});
    router_send(router);
    assert_told(fixture, "join r");
    assert_string_equal(hubbub_socket_data(hubbub_socket_find(router->app, "s")), "1");
    assert_string_equal(hubbub_socket_from(hubbub_socket_find(router->app, "s")), "someone");
}

static void test_what_is_another_ones_is_handed_over(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    begin(fixture);
    break_link(router);
    router_greet(router, 1);
    wire_put_taken_away(&router->out, &(struct wire_taken_away){.sid = BYTES("s")});
    router_send(router);
    assert_told(fixture, "handover s");
    assert_null(hubbub_socket_find(router->app, "s"));
}

static void test_every_breach_leads_to_a_new_link(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    router_take_in(router, 0);
    for (int breach = 0; breach < 8; breach++) {
        uint64_t link = router->link;

        router->broken = true;
        switch (breach) {
        case 0: /* a gap */
            router->sent++;
            router_send(router);
            break;
        case 1: /* a repeat */
            router_send(router);
            router->sent--;
            router_send(router);
            break;
        case 2: /* another link's */
            router->link++;
            router_send(router);
            break;
        case 3: /* acknowledges what was not sent */
            router->received += 5;
            router_send(router);
            break;
        case 4: /* no batch */
            zmq_send(router->socket, router->routing, router->routing_length, ZMQ_SNDMORE);
            zmq_send(router->socket, "nonsense", 8, 0);
            break;
        case 5: /* SERVING twice */
            wire_put_serving(&router->out, &(struct wire_serving){0});
            router_send(router);
            break;
        case 6: /* a router that has lost the link */
            router->sent = (uint64_t)-1;
            router->received = 0;
            break_link(router);
            break;
        case 7: /* a namespace that is not served */
            wire_put_connection(&router->out,
                                &(struct wire_connection){.namespace = BYTES("/other"), .sid = BYTES("x")});
            router_send(router);
            break;
        }
        router_take_in(router, 0);
        assert_true(router->link != link);
    }
}

static void test_a_record_before_serving_is_out_of_place(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    EXPECT(router, SERVE, serve, serve);
    EXPECT(router, SERVE_END, serve_end, end);
    put_connection(router, 0, WIRE_CONNECTION_HANDED, "s");
    router_send(router);
    router_take_in(router, 0);
    assert_int_equal(router->links, 2);
    assert_string_equal(fixture->told, "");
}

static void test_requests_without_an_outcome_are_sent_again(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;
    struct hubbub_app *app = router->app;

    /* Before there is a link they wait for it. */
    assert_int_equal(hubbub_emit(hubbub_of(app, "/"), "one", "1"), 0);
    assert_int_equal(hubbub_emit(hubbub_volatile(hubbub_of(app, "/")), "dropped", NULL), 0);
    assert_int_equal(hubbub_emit(hubbub_of(app, "/"), "two", "2"), 0);
    router_take_in(router, 0);
    assert_int_equal(hubbub_emit(hubbub_of(app, "/"), "three", "3"), 0);
    for (uint64_t i = 1; i <= 3; i++) {
        EXPECT(router, SEND, send, send);
        assert_int_equal(send.number, i);
    }
    wire_put_outcome(&router->out, &(struct wire_outcome){.number = 2});
    router_send(router);
    break_link(router);
    router_take_in(router, 0);
    EXPECT(router, SEND, send, first);
    assert_int_equal(first.number, 1);
    assert_bytes(first.event, "one");
    assert_bytes(first.arguments, "1");
    EXPECT(router, SEND, send, third);
    assert_int_equal(third.number, 3);
    assert_bytes(third.event, "three");
    router_expect_silence(router);
}

static void test_a_full_queue(void **state)
{
    struct fixture *fixture = *state;
    struct hubbub_options options = {.router = fixture->router.endpoint, .queue_bytes = 1000};
    struct played_router *router = &fixture->router;
    int taken = 0;

    hubbub_app_free(router->app);
    assert_int_equal(hubbub_app_new(&options, &router->app), 0);
    assert_int_equal(hubbub_serve(router->app, "/", NULL, NULL, NULL), 0);
    while (hubbub_emit(hubbub_of(router->app, "/"), "e", "\"0123456789\"") == 0)
        taken++;
    assert_in_range(taken, 2, 100);
    assert_int_equal(hubbub_emit(hubbub_of(router->app, "/"), "e", NULL), HUBBUB_ERROR_BUSY);
    assert_int_equal(hubbub_sockets_join(hubbub_of(router->app, "/"), "r"), HUBBUB_ERROR_BUSY);
    router_take_in(router, 0);
    for (int i = 0; i < taken; i++) {
        EXPECT(router, SEND, send, send);
        wire_put_outcome(&router->out, &(struct wire_outcome){.number = send.number});
    }
    router_send(router);
    while (hubbub_emit(hubbub_of(router->app, "/"), "e", NULL) == HUBBUB_ERROR_BUSY)
        router_turn(router);
    (void)router_expect(router, WIRE_TYPE_SEND);
}

static void test_an_event_is_not_handled_twice(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    begin(fixture);
    /* Answered, and the answer is lost with the link. */
    put_call(router, 7, "s", "first", "1", true);
    router_send(router);
    assert_told(fixture, "first s");
    EXPECT(router, HANDLED, handled, lost);
    assert_int_equal(lost.task, 7);
    /* In progress. */
    fixture->later = true;
    put_call(router, 8, "s", "second", "2", true);
    router->withheld = router->received - 1; /* as if nothing but the hello had come */
    router_send(router);
    assert_told(fixture, "second s");
    break_link(router);
    router_greet(router, 1);
    put_connection(router, 0, WIRE_CONNECTION_HELD, "s");
    put_call(router, 7, "s", "first", "1", true);
    put_call(router, 8, "s", "second", "2", true);
    put_call(router, 9, "s", "third", "3", true);
    router_send(router);
    assert_told(fixture, "third s");
    EXPECT(router, HANDLED, handled, again);
    assert_int_equal(again.task, 7);
    assert_int_equal(again.answered, 1);
    assert_bytes(again.arguments, "1");
    router_expect_silence(router);
    /* The answers come in any order. */
    assert_int_equal(hubbub_answer(router->app, fixture->task, "\"c\""), 0);
    EXPECT(router, HANDLED, handled, third);
    assert_int_equal(third.task, 9);
    /* A task that is done with for good may be asked anew: another run of the router has its own numbers. */
    router_send(router);
    router_send(router);
    router_expect_silence(router);
    put_call(router, 7, "s", "other", "", true);
    router_send(router);
    assert_told(fixture, "other s");
}

static void test_an_answer_in_an_outage_waits_for_the_question(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    begin(fixture);
    fixture->later = true;
    put_call(router, 7, "s", "e", "1", true);
    router_send(router);
    assert_told(fixture, "e s");
    break_link(router);
    EXPECT(router, SERVE, serve, serve);
    assert_int_equal(hubbub_answer(router->app, fixture->task, "2"), 0);
    assert_int_equal(hubbub_answer(router->app, fixture->task, "2"), HUBBUB_ERROR_NOT_FOUND);
    (void)router_expect(router, WIRE_TYPE_HOLD);
    (void)router_expect(router, WIRE_TYPE_SERVE_END);
    wire_put_serving(&router->out, &(struct wire_serving){.heartbeat = 1000, .dead = 5000});
    put_connection(router, 0, WIRE_CONNECTION_HELD, "s");
    router_send(router);
    router_expect_silence(router);
    put_call(router, 7, "s", "e", "1", true);
    put_call(router, 7, "s", "e", "1", true); /* and not twice */
    router_send(router);
    EXPECT(router, HANDLED, handled, handled);
    assert_int_equal(handled.task, 7);
    assert_bytes(handled.arguments, "2");
    router_expect_silence(router);
    assert_string_equal(fixture->told, "");
}

static void test_what_was_taken_away_is_not_answered(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    begin(fixture);
    fixture->later = true;
    put_call(router, 7, "s", "e", "1", true);
    router_send(router);
    assert_told(fixture, "e s");
    wire_put_taken_away(&router->out, &(struct wire_taken_away){.sid = BYTES("s")});
    router_send(router);
    assert_told(fixture, "handover s");
    assert_int_equal(hubbub_answer(router->app, fixture->task, "2"), HUBBUB_ERROR_NOT_FOUND);
    router_expect_silence(router);
}

/* Stopped for ten seconds, with an event in its queue that another backend has by now. */
static void test_a_process_that_stood_still_handles_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    begin(fixture);
    put_call(router, 7, "s", "stale", "1", true);
    wire_put_entered(&router->out, &(struct wire_entered){.sid = BYTES("s"), .room = BYTES("r")});
    router_send(router);
    stood_still += 10000;
    assert_false(hubbub_socket_connected(hubbub_socket_find(router->app, "s")));
    assert_int_equal(hubbub_socket_emit(hubbub_socket_find(router->app, "s"), "e", NULL), HUBBUB_ERROR_GONE);
    router_greet(router, 1);
    assert_string_equal(fixture->told, "");
    wire_put_taken_away(&router->out, &(struct wire_taken_away){.sid = BYTES("s")});
    router_send(router);
    assert_told(fixture, "handover s");
    router_expect_silence(router);
}

static void test_a_callback_that_took_too_long_is_the_last(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    begin(fixture);
    fixture->block = true;
    put_call(router, 7, "s", "slow", "1", true);
    put_call(router, 8, "s", "next", "1", true);
    router_send(router);
    router->broken = true; /* the answer may still go out on the old link */
    assert_told(fixture, "slow s");
    fixture->block = false;
    router_greet(router, 1);
    put_connection(router, 0, WIRE_CONNECTION_HELD, "s");
    put_call(router, 8, "s", "next", "1", true);
    router_send(router);
    assert_told(fixture, "next s");
}

/* The router hears nothing, so what it sends does not make the lease longer. */
static void test_only_what_is_acknowledged_renews_the_lease(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    begin(fixture);
    router->deaf = true;
    stood_still += 3000;
    router_send(router);
    router_turn(router);
    stood_still += 3000;
    put_call(router, 7, "s", "stale", "1", true);
    router_send(router);
    for (int i = 0; i < 10; i++)
        router_turn(router);
    assert_string_equal(fixture->told, "");
    assert_int_equal(hubbub_app_state(router->app), HUBBUB_CONNECTING);
    router->deaf = false;
    router->broken = true; /* there are heartbeats of the old link */
    router_greet(router, 1);
}

static void test_what_the_router_does_not_take_up_again_is_dropped(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    begin(fixture);
    fixture->later = true;
    put_call(router, 7, "s", "e", "1", true);
    router_send(router);
    assert_told(fixture, "e s");
    break_link(router);
    EXPECT(router, SERVE, serve, serve);
    (void)router_expect(router, WIRE_TYPE_HOLD);
    (void)router_expect(router, WIRE_TYPE_SERVE_END);
    wire_put_serving(&router->out, &(struct wire_serving){.heartbeat = 100, .dead = 2500});
    router_send(router);
    while (!fixture->told[0]) {
        router_send(router); /* heartbeats */
        router_turn(router);
    }
    assert_told(fixture, "handover s");
    assert_int_equal(hubbub_answer(router->app, fixture->task, NULL), HUBBUB_ERROR_NOT_FOUND);
}

static void test_a_router_that_cuts_it_off_is_asked_again(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    begin(fixture);
    wire_put_cut(&router->out, &(struct wire_cut){.reason = BYTES("a second answer to a task")});
    router_send(router);
    router_greet(router, 1);
    assert_int_equal(router->links, 2);
}

static void on_outcome(void *user, const struct hubbub_outcome *outcome)
{
    tell(user, "refused", outcome->code);
}

static void test_a_request_that_gets_it_cut_off_is_given_up(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;
    struct hubbub_target *target = hubbub_on_outcome(hubbub_of(router->app, "/"), on_outcome, fixture);

    assert_int_equal(hubbub_emit(target, "poison", NULL), 0);
    for (int i = 0; i < 3; i++) {
        router_take_in(router, 0);
        (void)router_expect(router, WIRE_TYPE_SEND);
        assert_string_equal(fixture->told, "");
        wire_put_cut(&router->out, &(struct wire_cut){.reason = BYTES("a text that is no JSON")});
        router_send(router);
    }
    assert_told(fixture, "refused cut_off");
    router_take_in(router, 0);
    router_expect_silence(router);
}

/* It was silent for too long, so what it held is not its own until the router says so, socket by socket. */
static void test_a_new_link_is_not_enough_after_silence(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;

    begin(fixture);
    put_connection(router, 0, WIRE_CONNECTION_HANDED, "t");
    router_send(router);
    assert_told(fixture, "connection t");
    stood_still += 10000;
    router_take_in(router, 2);
    assert_false(hubbub_socket_connected(socket_s(fixture)));
    assert_int_equal(hubbub_socket_emit(socket_s(fixture), "e", NULL), HUBBUB_ERROR_GONE);
    put_connection(router, 0, WIRE_CONNECTION_HELD, "t");
    put_call(router, 1, "t", "e", "1", true);
    router_send(router);
    assert_told(fixture, "e t");
    assert_true(hubbub_socket_connected(hubbub_socket_find(router->app, "t")));
    assert_false(hubbub_socket_connected(socket_s(fixture)));
}

static void test_goodbye(void **state)
{
    struct fixture *fixture = *state;
    struct played_router *router = &fixture->router;
    zmq_pollitem_t item = {.socket = router->socket, .events = ZMQ_POLLIN};
    struct wire_reader reader;
    zmq_msg_t message;
    unsigned type = 0;

    begin(fixture);
    assert_int_equal(hubbub_emit(hubbub_of(router->app, "/"), "last", NULL), 0);
    hubbub_app_free(router->app);
    router->app = NULL;
    do {
        assert_int_equal(zmq_poll(&item, 1, 30000), 1);
        zmq_msg_init(&message);
        assert_true(zmq_msg_recv(&message, router->socket, 0) >= 0);
        assert_true(zmq_msg_recv(&message, router->socket, 0) >= 0);
        assert_int_equal(
            wire_reader_open(&reader, bytes_make(zmq_msg_data(&message), zmq_msg_size(&message))), 0);
        while (wire_reader_next(&reader, &type) == 1 && type != WIRE_TYPE_LEAVING)
            assert_int_equal(type, WIRE_TYPE_SEND);
        zmq_msg_close(&message);
    } while (type != WIRE_TYPE_LEAVING);
    assert_string_equal(fixture->told, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_hello),
        TEST(test_what_is_held_is_named_in_the_next_hello),
        TEST(test_what_is_another_ones_is_handed_over),
        TEST(test_every_breach_leads_to_a_new_link),
        TEST(test_a_record_before_serving_is_out_of_place),
        TEST(test_requests_without_an_outcome_are_sent_again),
        TEST(test_a_full_queue),
        TEST(test_an_event_is_not_handled_twice),
        TEST(test_an_answer_in_an_outage_waits_for_the_question),
        TEST(test_what_was_taken_away_is_not_answered),
        TEST(test_a_process_that_stood_still_handles_nothing),
        TEST(test_a_callback_that_took_too_long_is_the_last),
        TEST(test_only_what_is_acknowledged_renews_the_lease),
        TEST(test_what_the_router_does_not_take_up_again_is_dropped),
        TEST(test_a_router_that_cuts_it_off_is_asked_again),
        TEST(test_a_request_that_gets_it_cut_off_is_given_up),
        TEST(test_a_new_link_is_not_enough_after_silence),
        TEST(test_goodbye),
    };

    return cmocka_run_group_tests_name("app/link", tests, NULL, NULL);
}
