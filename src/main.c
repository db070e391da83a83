/*
 * main: arguments only. Which command, which file, which options; the work is done elsewhere.
 *
 * Exit codes: 0 done, 1 found faults, 2 usage.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "config/config.h"
#include "config/explain.h"
#include "net/conn.h"
#include "ops/client.h"
#include "ops/control.h"

enum { EXIT_USAGE = 2, CLOCK_RATE_MAX = 100000 };

static const char usage[] =
    "usage: casgate COMMAND [OPTIONS]\n"
    "\n"
    "  run -c FILE       serve; SIGHUP reloads, SIGTERM stops, SIGUSR1 reopens logs\n"
    "  check -c FILE     check a configuration: every fault with file:line:column\n"
    "  explain [KEY]     what a configuration key means, its unit and default\n"
    "  reference         print a complete configuration with every key and default\n"
    "  status            the servers, by protocol; exit code 1 if something is not up\n"
    "  drain SERVER      no new connections for it; what lives ends by itself\n"
    "  maintenance SERVER  no new connections, and end idle ones\n"
    "  ready SERVER      in service again\n"
    "  sessions [SERVER] who is connected\n"
    "  why CLIENT|ID     what went wrong for a client address or a request id, in words\n"
    "  --version         print the version\n"
    "\n"
    "options of run:\n"
    "  -c, --config FILE     default /etc/casgate/casgate.yaml\n"
    "      --ready-fd N      write the listening addresses and `ready` to descriptor N\n"
    "      --clock-rate N    run timers N times faster than life (for labs)\n"
    "\n"
    "options of status and what follows it, which speak to the admin listener:\n"
    "  -c, --config FILE     whose admin key says where\n"
    "      --admin ADDRESS   instead of that: 127.0.0.1:9180 or unix:/path\n"
    "      --token-file FILE whose first line is the token for orders over TCP\n"
    "      --protocol NAME   of an order or of sessions: only this one\n"
    "      --client ADDRESS  of sessions\n"
    "      --deadline N      of drain and maintenance: end what is left after N seconds\n"
    "      --wait            of drain and maintenance: until nobody is left\n"
    "      --watch           of status: again every two seconds\n"
    "      --json            for programs\n"
    "\n"
    "exit codes: 0 done, 1 found faults, 2 usage\n";

static int
misuse(const char *what)
{
    fprintf(stderr, "casgate: %s\n%s", what, usage);
    return EXIT_USAGE;
}

struct options {
    const char *config; /* borrowed from argv */
    long ready_fd;      /* -1: none */
    long clock_rate;
};

static bool
read_number(const char *text, long min, long max, long *ret_number)
{
    char *end;

    *ret_number = strtol(text, &end, 10);
    return *text && !*end && *ret_number >= min && *ret_number <= max;
}

static bool
read_options(int argc, char **argv, struct options *ret_options)
{
    static const struct option known[] = {
        { "config", required_argument, NULL, 'c' },
        { "ready-fd", required_argument, NULL, 'r' },
        { "clock-rate", required_argument, NULL, 't' },
        { NULL, 0, NULL, 0 },
    };
    int option;

    *ret_options = (struct options) { "/etc/casgate/casgate.yaml", -1, 1 };
    while ((option = getopt_long(argc, argv, "c:", known, NULL)) != -1) {
        bool fine = true;

        if (option == 'c')
            ret_options->config = optarg;
        else if (option == 'r')
            fine = read_number(optarg, 0, 1 << 20, &ret_options->ready_fd);
        else if (option == 't')
            fine = read_number(optarg, 1, CLOCK_RATE_MAX, &ret_options->clock_rate);
        else
            fine = false;
        if (!fine)
            return false;
    }
    return true;
}

static bool
wants_help(int argc, char **argv)
{
    for (int a = 1; a < argc; a++)
        if (strcmp(argv[a], "--help") == 0 || strcmp(argv[a], "-h") == 0)
            return true;
    return false;
}

static int
command_run(int argc, char **argv)
{
    struct options options;
    struct control_options control;

    if (!read_options(argc, argv, &options) || optind < argc)
        return misuse("run: options not understood");
    clock_set_rate((unsigned) options.clock_rate);
    control.config_path = options.config;
    control.ready_fd = (int) options.ready_fd;
    return control_run(&control);
}

static int
command_check(int argc, char **argv)
{
    struct options options;
    struct config *config;
    unsigned complaints = 0;

    if (!read_options(argc, argv, &options) || optind < argc)
        return misuse("check: options not understood");
    config = config_load(options.config, stderr, &complaints);
    if (config)
        printf("%s: %s\n", options.config, complaints ? "usable, with warnings" : "fine");
    else
        fprintf(stderr, "%s: %u fault%s\n", options.config, complaints, complaints == 1 ? "" : "s");
    config_unref(config);
    return config ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
command_explain(int argc, char **argv)
{
    if (argc > 2)
        return misuse("explain: one key at most");
    return explain_key(argc == 2 ? argv[1] : NULL, stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
command_reference(int argc, char **argv)
{
    if (argc > 1)
        return misuse("reference: takes no arguments");
    explain_reference(stdout);
    return EXIT_SUCCESS;
}

static const struct {
    const char *name;
    enum client_command command;
    bool needs_subject;
} client_commands[] = {
    { "status", CLIENT_STATUS, false },
    { "drain", CLIENT_DRAIN, true },
    { "ready", CLIENT_READY, true },
    { "maintenance", CLIENT_MAINTENANCE, true },
    { "sessions", CLIENT_SESSIONS, false },
    { "why", CLIENT_WHY, true },
};

static bool
read_client_options(int argc, char **argv, struct client_options *ret_options)
{
    enum { ADMIN = 256, TOKEN, PROTOCOL, CLIENT, DEADLINE, WAIT, WATCH, JSON };
    static const struct option known[] = {
        { "config", required_argument, NULL, 'c' },
        { "admin", required_argument, NULL, ADMIN },
        { "token-file", required_argument, NULL, TOKEN },
        { "protocol", required_argument, NULL, PROTOCOL },
        { "client", required_argument, NULL, CLIENT },
        { "deadline", required_argument, NULL, DEADLINE },
        { "wait", no_argument, NULL, WAIT },
        { "watch", no_argument, NULL, WATCH },
        { "json", no_argument, NULL, JSON },
        { NULL, 0, NULL, 0 },
    };
    const char **texts[] = { &ret_options->admin, &ret_options->token_file,
        &ret_options->protocol, &ret_options->client };
    bool *switches[] = { &ret_options->wait, &ret_options->watch, &ret_options->json };
    int option;

    *ret_options = (struct client_options) { .config = "/etc/casgate/casgate.yaml" };
    while ((option = getopt_long(argc, argv, "c:", known, NULL)) != -1)
        if (option == 'c')
            ret_options->config = optarg;
        else if (option >= ADMIN && option <= CLIENT)
            *texts[option - ADMIN] = optarg;
        else if (option >= WAIT)
            *switches[option - WAIT] = true;
        else if (option != DEADLINE || !read_number(optarg, 1, 604800, &ret_options->deadline_s))
            return false;
    if (optind < argc)
        ret_options->subject = argv[optind++];
    return optind == argc;
}

/* -1: no command of that name. */
static int
run_client_command(int argc, char **argv)
{
    struct client_options options;

    for (size_t c = 0; c < sizeof client_commands / sizeof *client_commands; c++) {
        if (strcmp(argv[0], client_commands[c].name) != 0)
            continue;
        if (!read_client_options(argc, argv, &options))
            return misuse("options not understood");
        if (client_commands[c].needs_subject && !options.subject)
            return misuse("whom? a name is missing");
        return client_run(client_commands[c].command, &options);
    }
    return -1;
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {
        { "run", command_run },
        { "check", command_check },
        { "explain", command_explain },
        { "reference", command_reference },
    };

    int code;

    if (!conn_setup()) {
        fputs("casgate: no memory\n", stderr);
        return EXIT_FAILURE;
    }
    if (argc < 2)
        return misuse("a command is needed");
    if (strcmp(argv[1], "--version") == 0) {
        puts("casgate " CASGATE_VERSION);
        return EXIT_SUCCESS;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    for (size_t c = 0; c < sizeof commands / sizeof *commands; c++)
        if (strcmp(argv[1], commands[c].name) == 0) {
            if (!wants_help(argc - 1, argv + 1))
                return commands[c].run(argc - 1, argv + 1);
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        }
    if (wants_help(argc - 1, argv + 1)) {
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    code = run_client_command(argc - 1, argv + 1);
    return code >= 0 ? code : misuse("unknown command");
}
