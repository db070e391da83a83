/*
 * casgate-load: makes the load of the benchmarks, in one thread, and says what it saw as one JSON line.
 *
 *     casgate-load small --to 127.0.0.1:40001 --units 30000
 *     casgate-load pdu --to 127.0.0.1:40001 --rate 8000
 *
 * With --steps it goes hand in hand with whoever measures: after the preparation it prints `ready` and waits
 * for a line on stdin, after the run it prints the JSON line and waits for another (or for the end of
 * stdin), with all connections still open, so that processor time and memory can be read in between.
 *
 * The exit code is 0 only if every unit was answered with 200 and in whole.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "client.h"
#include "histogram.h"
#include "work.h"

enum { TIMEOUT_S = 300 };

static void
usage(FILE *to)
{
    fputs("usage: casgate-load WORK --to ADDRESS:PORT[,ADDRESS:PORT…] [OPTION…]\n\n"
          "  --units N        units to do after the preparation\n"
          "  --connections N  connections (pdu: pairs of channels) to open before\n"
          "  --busy N         most units in flight (64, or all connections if they are fewer)\n"
          "  --rotate         all connections take turns, instead of the first N of --busy\n"
          "  --rate R         R units a second by the clock (open loop)\n"
          "  --size BYTES     of a response's body, or of a request's in an upload\n"
          "  --steps          ready, a line from stdin, the run, the result, a line from stdin\n\n"
          "works:", to);
    for (unsigned i = 0; work_name(i); i++)
        fprintf(to, " %s", work_name(i));
    fputc('\n', to);
}

static void
take_targets(struct target *target, char *list)
{
    for (char *one; (one = strsep(&list, ",")); target->count++) {
        char *colon = strrchr(one, ':');

        if (!colon || target->count == sizeof target->address / sizeof target->address[0])
            die("not an address and a port: %s", one);
        *colon = '\0';
        struct sockaddr_in *address = &target->address[target->count];
        address->sin_family = AF_INET;
        address->sin_port = htons((uint16_t) strtoul(colon + 1, NULL, 10));
        if (inet_pton(AF_INET, one, &address->sin_addr) != 1)
            die("not an IPv4 address: %s", one);
    }
}

static unsigned long long
take_number(const char *text)
{
    char *end;
    unsigned long long number = strtoull(text, &end, 10);

    if (*end || end == text)
        die("not a number: %s", text);
    return number;
}

/* False: the command line makes no sense. */
static bool
take_options(int argc, char **argv, struct plan *plan, struct target *target, bool *ret_steps)
{
    static const struct option names[] = { { "to", 1, NULL, 't' }, { "units", 1, NULL, 'u' },
        { "connections", 1, NULL, 'c' }, { "busy", 1, NULL, 'b' }, { "rotate", 0, NULL, 'o' },
        { "rate", 1, NULL, 'r' }, { "size", 1, NULL, 's' }, { "steps", 0, NULL, 'p' }, { 0 } };

    *plan = (struct plan) { .work = argc > 1 ? work_find(argv[1]) : NULL, .busy = 64 };
    if (!plan->work)
        return false;
    plan->units = plan->work->units;
    plan->connections = plan->work->connections;
    plan->size = plan->work->size;
    optind = 2;
    for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (name) {
        case 't': take_targets(target, optarg); break;
        case 'u': plan->units = take_number(optarg); break;
        case 'c': plan->connections = (unsigned) take_number(optarg); break;
        case 'b': plan->busy = (unsigned) take_number(optarg); break;
        case 'o': plan->rotates = true; break;
        case 'r': plan->rate = strtod(optarg, NULL); break;
        case 's': plan->size = take_number(optarg); break;
        case 'p': *ret_steps = true; break;
        default: return false;
        }
    }
    return optind == argc && target->count && plan->connections && plan->busy;
}

static void
raise_descriptor_limit(void)
{
    struct rlimit files;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static void
say_result(const struct plan *plan, const struct result *result)
{
    static const struct { const char *name; double share; } quantiles[] = {
        { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p999", 0.999 }, { "max", 1 } };
    double seconds = (double) result->took_ns / 1e9;

    printf("{\"work\": \"%s\", \"units\": %" PRIu64 ", \"connections\": %u, \"busy\": %u, "
           "\"open_loop_rate\": %.0f, \"seconds\": %.3f, \"rate\": %.0f, \"tls\": \"%s\", "
           "\"resumed\": %u, \"latency_us\": {", plan->work->name, result->units, plan->connections,
        plan->busy, plan->rate, seconds, seconds > 0 ? (double) result->units / seconds : 0,
        clients_cipher(), clients_resumed());
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++)
        printf("%s\"%s\": %.1f", i ? ", " : "", quantiles[i].name,
            (double) histogram_quantile(&result->latency, quantiles[i].share) / 1e3);
    puts("}}");
    fflush(stdout);
}

static void
wait_for_line(void)
{
    char line[64];

    if (!fgets(line, sizeof line, stdin))
        exit(0);
}

int
main(int argc, char **argv)
{
    static struct target target;
    static struct plan plan;
    static struct result result;
    bool steps = false;

    if (!take_options(argc, argv, &plan, &target, &steps)) {
        usage(stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    alarm(TIMEOUT_S);
    raise_descriptor_limit();
    clients_setup(&target, plan.work->bulk);
    work_prepare(&plan);
    if (steps) {
        puts("ready");
        fflush(stdout);
        wait_for_line();
    }
    work_run(&result);
    say_result(&plan, &result);
    if (steps)
        wait_for_line();
    return 0;
}
