/*
 * The load generator of the benchmark: makes a crowd of clients, lets them talk, prints one JSON object.
 *
 * Started by tests/bench/run, or by hand against any server that speaks Socket.IO.  Three
 * ways to load: a window (each publisher keeps so many messages under way and sends the next when one of its
 * own comes back, so the rate finds itself), a rate (messages a second over all publishers, whatever comes
 * back), or neither (idle connections).
 *
 * The surprise: it goes on receiving after the measured time until every delivery that was due has come,
 * so a message that a member never got is counted, under missing.
 */
#include "common/clock.h"
#include "common/config.h"
#include "common/exit_code.h"
#include "common/memory.h"
#include "tests/bench/crowd.h"
#include "tests/bench/processes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum {
    CONNECT_SECONDS = 120,
    DRAIN_SILENCE_MS = 30000, /* nothing has come for so long: what is missing does not come any more */
    SPARE_FILES = 64,
    EXIT_INCOMPLETE = 1,
};

struct load_settings {
    char *host;
    uint16_t port;
    enum crowd_language language;
    enum crowd_transport_kind transport;
    bool tls;
    unsigned rooms, members, publishers, window, rate, text, opening, sources;
    bool acknowledged, ids;
    uint32_t warm_up, measure, idle; /* ms */
    char *call, *servers, *tokens;
};

static const char *const languages[] = {"socketio", "plain", "msgpack", NULL};
static const char *const transports[] = {"websocket", "deflate", "polling", NULL};

#define KEY(key, kind)                                                                                       \
    .section = "load", .name = #key, .type = CONFIG_KEY_##kind, CONFIG_FIELD(struct load_settings, key)

static const struct config_key keys[] = {
    {KEY(host, STRING), .minimum = 1, .fallback = "127.0.0.1", .help = "the server's IPv4 address"},
    {KEY(port, INTEGER), .minimum = 1, .fallback = "3000", .help = "the server's port"},
    {KEY(language, CHOICE), .choices = languages, .fallback = "socketio",
     .help =
         "plain: text frames, the room in the URL; msgpack: Socket.IO with the msgpack parser, at /msgpack/"},
    {KEY(transport, CHOICE), .choices = transports, .fallback = "websocket",
     .help = "deflate: WebSockets with compressed messages"},
    {KEY(tls, BOOL), .fallback = "false", .help = "over TLS"},
    {KEY(rooms, INTEGER), .minimum = 1, .maximum = 1000000, .fallback = "1", .help = "how many rooms"},
    {KEY(members, INTEGER), .minimum = 1, .maximum = 1000000, .fallback = "100",
     .help = "how many connections in each room"},
    {KEY(publishers, INTEGER), .maximum = 1000000, .fallback = "1", .help = "how many of them publish"},
    {KEY(window, INTEGER), .maximum = 1000, .fallback = "0",
     .help = "how many messages each publisher keeps under way"},
    {KEY(rate, INTEGER), .maximum = 1000000, .fallback = "0",
     .help = "messages a second over all publishers, instead of a window"},
    {KEY(text, INTEGER), .maximum = 60000, .fallback = "100", .help = "bytes of a message's text"},
    {KEY(acknowledged, BOOL), .fallback = "false",
     .help = "publishers ask for acknowledgements, and these are counted and timed"},
    {KEY(call, STRING), .fallback = "",
     .help = "publishers emit this event, which is answered and delivered to nobody, in place of msg"},
    {KEY(ids, BOOL), .fallback = "false", .help = "each message carries an id of its own"},
    {KEY(tokens, PATH), .fallback = "",
     .help = "a file with a token in each line, which clients show in CONNECT, in turn"},
    {KEY(opening, INTEGER), .minimum = 1, .maximum = 100000, .fallback = "100",
     .help = "how many connections may be opening at once"},
    {KEY(sources, INTEGER), .maximum = 60000, .fallback = "0",
     .help = "addresses of loopback (127.2.0.1 and on) that the clients come from in turn; 0 for one"},
    {KEY(warm_up, DURATION), .maximum = 600000, .fallback = "1 s", .help = "load before the measured time"},
    {KEY(measure, DURATION), .minimum = 1, .maximum = 600000, .fallback = "4 s", .help = "the measured time"},
    {KEY(idle, DURATION), .maximum = 600000, .fallback = "0", .help = "a rest before memory is read"},
    {KEY(servers, STRING), .fallback = "", .help = "PID,PID,...: the server's processes, for CPU and memory"},
};

static int finish(const config_t *file, void *settings, struct buffer *error)
{
    const struct load_settings *load = settings;
    const char *wrong = NULL;

    (void)file;
    if (load->publishers > load->members)
        wrong = "there are more publishers than members";
    else if (load->window && load->rate)
        wrong = "window and rate exclude each other";
    else if (load->language != CROWD_SOCKETIO && load->transport == CROWD_POLLING)
        wrong = "only Socket.IO as text has polling";
    else if (load->acknowledged && (load->language != CROWD_SOCKETIO || load->transport == CROWD_POLLING))
        wrong = "only Socket.IO as text on WebSockets is acknowledged";
    else if (load->tokens[0] && load->language == CROWD_PLAIN)
        wrong = "only Socket.IO shows tokens";
    else if (load->call[0] && !load->acknowledged)
        wrong = "what is called has to be acknowledged";
    else if ((load->window || load->rate) && !load->publishers)
        wrong = "there is nobody to publish";
    else if ((uint64_t)load->rooms * load->members > 1000000)
        wrong = "more than a million connections";
    if (!wrong)
        return 0;
    buffer_printf(error, "load: %s", wrong);
    return ERROR_CONFIG;
}

static const struct config_program program = {
    .name = "load",
    .summary = "loads a server with a crowd of clients and prints what it measured",
    .keys = keys,
    .key_count = sizeof keys / sizeof *keys,
    .finish = finish,
};

/* The lines of a file. */
struct lines {
    char **texts;
    unsigned count;
};

static void lines_done(struct lines *lines)
{
    for (unsigned i = 0; i < lines->count; i++)
        free(lines->texts[i]);
    free(lines->texts);
}

/* path: "" has none.  0, or ERROR_SYSTEM (errno). */
static int lines_read(const char *path, struct lines *out)
{
    struct lines lines = {0};
    char *line = NULL;
    size_t size = 0;
    FILE *file;

    if (!path[0])
        return 0;
    file = fopen(path, "re");
    if (!file)
        return ERROR_SYSTEM;
    for (ssize_t length; (length = getline(&line, &size, file)) > 0; lines.count++) {
        lines.texts = memory_resize(lines.texts, (lines.count + 1) * sizeof *lines.texts);
        lines.texts[lines.count] = memory_text(line, strcspn(line, "\n"));
    }
    free(line);
    fclose(file);
    *out = lines;
    return 0;
}

/* What was read at one moment. */
struct reading {
    uint64_t time, cpu, memory, own_cpu; /* ns, ns, bytes, ns */
    uint64_t delivered, published, compressed, acknowledged, segments;
};

struct load {
    struct load_settings settings;
    struct processes servers;
    struct crowd *crowd;
    bool talking;
    struct reading start, connected, rested, begin, end;
};

static int read_all(const struct load *load, struct reading *out)
{
    const struct crowd_figures *figures = crowd_figures(load->crowd);
    struct timespec own;
    struct reading reading = {.time = clock_monotonic_ns(),
                              .delivered = figures->delivered,
                              .published = figures->published,
                              .compressed = figures->compressed,
                              .acknowledged = figures->acknowledged};

    if (processes_cpu(&load->servers, &reading.cpu) || processes_memory(&load->servers, &reading.memory)) {
        fputs("load: a process of the server has ended\n", stderr);
        return ERROR_NOT_FOUND;
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
    reading.own_cpu = (uint64_t)own.tv_sec * 1000000000 + (uint64_t)own.tv_nsec;
    reading.segments = crowd_segments(load->crowd);
    *out = reading;
    return 0;
}

static void message_returned(void *arg, unsigned client)
{
    struct load *load = arg;

    if (load->talking && load->settings.window)
        crowd_publish(load->crowd, client);
}

/* False when not all became ready. */
static bool connect_all(struct load *load)
{
    const struct crowd_figures *figures = crowd_figures(load->crowd);
    uint64_t deadline = clock_monotonic_ms() + CONNECT_SECONDS * 1000;

    while (!crowd_start_some(load->crowd) ||
           figures->ready + figures->failed + figures->lost < figures->started) {
        crowd_turn(load->crowd, 100);
        if (clock_monotonic_ms() > deadline) {
            fprintf(stderr, "load: %u of %u were ready after %d s\n", figures->ready, crowd_size(load->crowd),
                    CONNECT_SECONDS);
            return false;
        }
    }
    return figures->ready == crowd_size(load->crowd);
}

static void rest(struct load *load)
{
    uint64_t until = clock_monotonic_ms() + load->settings.idle;

    for (uint64_t now = clock_monotonic_ms(); now < until; now = clock_monotonic_ms())
        crowd_turn(load->crowd, (int)(until - now));
}

static void fill_windows(struct load *load)
{
    for (unsigned i = 0; i < crowd_size(load->crowd); i++)
        for (unsigned n = 0; crowd_is_publisher(load->crowd, i) && n < load->settings.window; n++)
            crowd_publish(load->crowd, i);
}

/* Lets the publishers take turns until so many messages have been published since the beginning. */
static unsigned keep_up(struct load *load, unsigned turn, uint64_t due)
{
    unsigned size = crowd_size(load->crowd);

    /* One round at most: publishers that were lost are no reason to look for others for ever. */
    for (unsigned tried = 0; tried < size && crowd_figures(load->crowd)->published < due; tried++, turn++)
        if (crowd_is_publisher(load->crowd, turn % size))
            crowd_publish(load->crowd, turn % size);
    return turn;
}

static int talk(struct load *load)
{
    const struct load_settings *settings = &load->settings;
    uint64_t begin = clock_monotonic_ns();
    uint64_t warm = begin + settings->warm_up * 1000000ULL, end = warm + settings->measure * 1000000ULL;
    bool measuring = false;
    unsigned turn = 0;

    load->talking = true;
    fill_windows(load);
    for (uint64_t now = begin; now < end; now = clock_monotonic_ns()) {
        if (!measuring && now >= warm) {
            if (read_all(load, &load->begin))
                return ERROR_NOT_FOUND;
            measuring = true;
            crowd_measure(load->crowd, true);
        }
        if (settings->rate)
            turn = keep_up(load, turn, (now - begin) / 1000 * settings->rate / 1000000 + 1);
        crowd_turn(load->crowd, settings->rate ? 1 : 50);
    }
    crowd_measure(load->crowd, false);
    load->talking = false;
    return read_all(load, &load->end);
}

static uint64_t unanswered(const struct load *load)
{
    const struct crowd_figures *figures = crowd_figures(load->crowd);

    return load->settings.acknowledged ? figures->published - figures->acknowledged - figures->refused : 0;
}

/* Waits for what was published to reach everyone, as long as anything comes. */
static void drain(struct load *load)
{
    const struct crowd_figures *figures = crowd_figures(load->crowd);
    uint64_t delivered = figures->delivered, last = clock_monotonic_ms();

    while ((figures->delivered < figures->expected || unanswered(load)) &&
           clock_monotonic_ms() - last < DRAIN_SILENCE_MS) {
        crowd_turn(load->crowd, 50);
        if (figures->delivered != delivered) {
            delivered = figures->delivered;
            last = clock_monotonic_ms();
        }
    }
}

static int compare_samples(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

static double sample_ms(const struct crowd_samples *samples, double quantile)
{
    return samples->count ? samples->values[(uint64_t)(quantile * (double)(samples->count - 1))] / 1e3 : 0;
}

static double ratio(double value, double count)
{
    return count > 0 ? value / count : 0;
}

static void print_talk(const struct load *load)
{
    const struct crowd_samples *samples = crowd_samples(load->crowd);
    double seconds = (double)(load->end.time - load->begin.time) / 1e9;
    double deliveries = (double)(load->end.delivered - load->begin.delivered);
    double acknowledged = (double)(load->end.acknowledged - load->begin.acknowledged);

    qsort(samples->values, samples->count, sizeof *samples->values, compare_samples);
    printf(", \"published_per_s\": %.1f, \"deliveries_per_s\": %.1f, \"cpu_us_per_delivery\": %.4f, "
           "\"deliveries_per_write\": %.3f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"server_cpu_share\": %.3f, "
           "\"generator_cpu_share\": %.3f, \"compressed_share\": %.3f",
           ratio((double)(load->end.published - load->begin.published), seconds), ratio(deliveries, seconds),
           ratio((double)(load->end.cpu - load->begin.cpu) / 1e3, deliveries),
           ratio(deliveries, (double)(load->end.segments - load->begin.segments)), sample_ms(samples, .5),
           sample_ms(samples, .99), ratio((double)(load->end.cpu - load->begin.cpu) / 1e9, seconds),
           ratio((double)(load->end.own_cpu - load->begin.own_cpu) / 1e9, seconds),
           ratio((double)(load->end.compressed - load->begin.compressed), deliveries));
    if (load->settings.acknowledged)
        printf(", \"acknowledged\": %" PRIu64 ", \"refused\": %" PRIu64 ", \"unanswered\": %" PRIu64
               ", \"acknowledged_per_s\": %.1f, \"cpu_us_per_acknowledged\": %.4f, "
               "\"generator_cpu_us_per_acknowledged\": %.4f",
               crowd_figures(load->crowd)->acknowledged, crowd_figures(load->crowd)->refused,
               unanswered(load), ratio(acknowledged, seconds),
               ratio((double)(load->end.cpu - load->begin.cpu) / 1e3, acknowledged),
               ratio((double)(load->end.own_cpu - load->begin.own_cpu) / 1e3, acknowledged));
}

/* Whether nothing failed and nothing was lost. */
static bool print_all(const struct load *load)
{
    const struct crowd_figures *figures = crowd_figures(load->crowd);
    uint64_t missing = figures->expected > figures->delivered ? figures->expected - figures->delivered : 0;
    uint64_t surplus = figures->delivered > figures->expected ? figures->delivered - figures->expected : 0;
    double ready = figures->ready;
    double grown = (double)load->rested.memory - (double)load->start.memory;

    printf("{\"connections\": %u, \"ready\": %u, \"failed\": %u, \"lost\": %u, \"missing\": %" PRIu64
           ", \"surplus\": %" PRIu64 ", \"connect_s\": %.3f, \"connect_cpu_us\": %.2f, "
           "\"memory_start\": %" PRIu64 ", \"memory_connected\": %" PRIu64
           ", \"bytes_per_connection\": %.1f, "
           "\"idle_cpu_ms\": %.1f",
           crowd_size(load->crowd), figures->ready, figures->failed, figures->lost, missing, surplus,
           (double)(load->connected.time - load->start.time) / 1e9,
           ratio((double)(load->connected.cpu - load->start.cpu) / 1e3, ready), load->start.memory,
           load->rested.memory, ratio(grown, ready), (double)(load->rested.cpu - load->connected.cpu) / 1e6);
    if (load->end.time)
        print_talk(load);
    puts("}");
    return !figures->failed && !figures->lost && !missing && !surplus && !figures->refused &&
           !unanswered(load);
}

static int raise_file_limit(unsigned files)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return ERROR_SYSTEM;
    if (limit.rlim_cur >= files + SPARE_FILES)
        return 0;
    limit.rlim_cur = files + SPARE_FILES;
    if (limit.rlim_max < limit.rlim_cur)
        limit.rlim_max = limit.rlim_cur;
    return setrlimit(RLIMIT_NOFILE, &limit) ? ERROR_SYSTEM : 0;
}

static int run(struct load *load)
{
    const struct load_settings *settings = &load->settings;
    bool all;

    if (read_all(load, &load->start))
        return EXIT_RUNTIME;
    all = connect_all(load);
    if (read_all(load, &load->connected))
        return EXIT_RUNTIME;
    rest(load);
    if (read_all(load, &load->rested))
        return EXIT_RUNTIME;
    if (all && (settings->window || settings->rate)) {
        if (talk(load))
            return EXIT_RUNTIME;
        drain(load);
    }
    return print_all(load) ? EXIT_OK : EXIT_INCOMPLETE;
}

int main(int argc, char **argv)
{
    struct load load = {.talking = false};
    struct config_result result;
    struct lines tokens = {0};
    int exit_code = EXIT_RUNTIME;

    if (config_load(&program, argc, argv, &load.settings, &result))
        return config_report(&result);
    if (processes_parse(load.settings.servers, &load.servers)) {
        fputs("load: --servers is no list of process ids\n", stderr);
        exit_code = EXIT_USAGE;
        goto out;
    }
    if (lines_read(load.settings.tokens, &tokens)) {
        perror("load: --tokens");
        goto out;
    }
    if (raise_file_limit(load.settings.rooms * load.settings.members *
                         crowd_links(load.settings.transport))) {
        perror("load: cannot open so many files");
        goto out;
    }
    struct crowd_plan plan = {.host = load.settings.host,
                              .port = load.settings.port,
                              .language = load.settings.language,
                              .transport = load.settings.transport,
                              .tls = load.settings.tls,
                              .rooms = load.settings.rooms,
                              .members = load.settings.members,
                              .publishers = load.settings.publishers,
                              .text = load.settings.text,
                              .acknowledged = load.settings.acknowledged,
                              .call = load.settings.call[0] ? load.settings.call : NULL,
                              .ids = load.settings.ids,
                              .sources = load.settings.sources,
                              .tokens = tokens.texts,
                              .token_count = tokens.count,
                              .opening = load.settings.opening,
                              .returned = message_returned,
                              .arg = &load};

    load.crowd = crowd_new(&plan);
    if (!load.crowd)
        perror("load: cannot begin");
    else
        exit_code = run(&load);
    crowd_free(load.crowd);
out:
    lines_done(&tokens);
    config_settings_done(&program, &load.settings);
    return exit_code;
}
