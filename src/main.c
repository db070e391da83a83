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
#include "ops/control.h"

enum { EXIT_USAGE = 2, CLOCK_RATE_MAX = 100000 };

static const char usage[] =
    "usage: casgate COMMAND [OPTIONS]\n"
    "\n"
    "  run -c FILE       serve; SIGHUP reloads, SIGTERM stops, SIGUSR1 reopens logs\n"
    "  check -c FILE     check a configuration: every fault with file:line:column\n"
    "  explain [KEY]     what a configuration key means, its unit and default\n"
    "  reference         print a complete configuration with every key and default\n"
    "  --version         print the version\n"
    "\n"
    "options of run:\n"
    "  -c, --config FILE     default /etc/casgate/casgate.yaml\n"
    "      --ready-fd N      write the listening addresses and `ready` to descriptor N\n"
    "      --clock-rate N    run timers N times faster than life (for labs)\n"
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
    return misuse("unknown command");
}
