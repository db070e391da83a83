/*
 * lab: starts and ends the world of one test.
 *
 *   cas-sim --ready-fd 3 ──▶ "cas1 plain 127.0.0.1:P tls 127.0.0.1:Q" ──▶ casgate.yaml
 *   casgate run -c casgate.yaml --ready-fd 3 ──▶ "tls 127.0.0.1:R" ──▶ clients
 *
 * Where the programs and certificates are comes from the environment (CASGATE, CAS_SIM,
 * CASGATE_CERTS, set by `dev`), else from what the build knew. Every port is the system's choice. The
 * lab judges casgate's end as strictly as its answers: exit code 0, no sanitizer report.
 */
#include "lab.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deadline.h"

struct lab {
    char directory[256];       /* of the configuration and logs; removed at the end */
    char config[280];          /* path of casgate.yaml */
    const char *second;        /* borrowed; lines of the second farm; NULL: there is one */
    const char *certificate;   /* borrowed; name of casgate's certificate */
    struct process *casgate;   /* owned */
    struct sim *sim;           /* owned */
    unsigned port;             /* TLS listener */
    unsigned redirect_port;    /* port-80 listener */
    size_t access_from;        /* lines before this offset are forgotten */
    size_t facts_from;         /* the same for facts */
};

static struct lab *current; /* the running test's lab */

static const char *
place_of(const char *variable, const char *built_in)
{
    const char *value = getenv(variable);

    return value && value[0] ? value : built_in;
}

bool
lab_is_sanitized(void)
{
    return place_of("CASGATE_SANITIZED", NULL) != NULL;
}

bool
lab_is_full(void)
{
    return place_of("TEST_FULL", NULL) != NULL || place_of("CASGATE_TEST_FULL", NULL) != NULL;
}

const char *
lab_file(const char *name)
{
    static char paths[8][512];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "%s/%s", place_of("CASGATE_CERTS", TEST_CERTS), name);
    cr_assert(access(path, R_OK) == 0, "%s is missing: certs/make.sh makes it", path);
    return path;
}

static void
write_servers(FILE *file, struct sim *sim, unsigned first, unsigned last)
{
    fprintf(file, "  preset: exchange-2013\n  servers:\n");
    for (unsigned i = first; i <= last; i++)
        fprintf(file, "    - {name: cas%u, address: 127.0.0.1, http-port: %u, https-port: %u}\n", i,
            sim_plain_port(sim, i), sim_tls_port(sim, i));
}

static void
write_farms(FILE *file, const struct lab *lab, const char *farm)
{
    unsigned count = sim_server_count(lab->sim);
    unsigned first = lab->second ? count / 2 : count;

    fprintf(file, lab->second ? "farms:\n- name: first\n" : "farm:\n");
    write_servers(file, lab->sim, 1, first);
    fprintf(file, "%s", farm ? farm : "  bridge: {verify: same-certificate}\n");
    if (!farm || !strstr(farm, "health:")) /* the events of a test are its own */
        fprintf(file, "  health: {enabled: false}\n");
    if (!lab->second)
        return;
    fprintf(file, "- name: second\n");
    write_servers(file, lab->sim, first + 1, count);
    fprintf(file, "%s", lab->second);
    if (!strstr(lab->second, "health:"))
        fprintf(file, "  health: {enabled: false}\n");
}

/* Has yaml a line that begins so? */
static bool
begins_line(const char *yaml, const char *key)
{
    while (yaml && strncmp(yaml, key, strlen(key)) != 0) {
        yaml = strchr(yaml, '\n');
        yaml = yaml ? yaml + 1 : NULL;
    }
    return yaml != NULL;
}

void
lab_configure(struct lab *lab, const char *yaml, const char *farm)
{
    char next[300];
    char chain[64];
    char key[64];
    FILE *file;

    snprintf(next, sizeof(next), "%s.next", lab->config);
    snprintf(chain, sizeof(chain), "%s.pem", lab->certificate);
    snprintf(key, sizeof(key), "%s.key", lab->certificate);
    file = fopen(next, "we");
    cr_assert(file, "cannot write %s", next);
    fprintf(file, "listen: 127.0.0.1:0\nredirect: 127.0.0.1:0\n");
    if (!begins_line(yaml, "certificate"))
        fprintf(file, "certificate: {chain: %s, key: %s}\n", lab_file(chain), lab_file(key));
    if (!begins_line(yaml, "workers:"))
        fprintf(file, "workers: 2\n");
    if (!begins_line(yaml, "farm:"))
        write_farms(file, lab, farm);
    fprintf(file, "%s", yaml ? yaml : "");
    cr_assert(fclose(file) == 0 && rename(next, lab->config) == 0, "cannot write %s", lab->config);
}

static unsigned
ready_port(const struct lab *lab, const char *kind)
{
    char *line = process_find_line(lab->casgate, PROCESS_READY, kind, 0, 0, NULL);
    const char *colon = line ? strrchr(line, ':') : NULL;
    unsigned port = colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;

    free(line);
    return port;
}

static void
start_casgate(struct lab *lab, const struct lab_options *options)
{
    static const char limited[] = "ulimit -n \"$0\" && exec \"$@\"";
    const char *clock_rate = options->clock_rate;
    char descriptors[16];
    const char *argv[] = { "sh", "-c", limited, descriptors, place_of("CASGATE", TEST_CASGATE), "run",
        "-c", lab->config, "--ready-fd", "3", clock_rate ? "--clock-rate" : NULL, clock_rate, NULL };
    char *ready;
    char *facts;

    snprintf(descriptors, sizeof(descriptors), "%u", options->descriptors);
    lab->casgate = process_start(options->descriptors ? argv : argv + 4);
    ready = process_find_line(lab->casgate, PROCESS_READY, "ready", 0, SOON_MS, NULL);
    facts = process_output(lab->casgate, PROCESS_STDERR, NULL);
    cr_assert(ready, "casgate is not ready; it said:\n%s", facts);
    free(facts);
    free(ready);
    lab->port = ready_port(lab, "tls ");
    lab->redirect_port = ready_port(lab, "redirect ");
}

struct lab *
lab_start(const struct lab_options *options)
{
    static const struct lab_options defaults;
    struct lab *lab = calloc(1, sizeof(*lab));
    const char *base = place_of("CASGATE_TEST_TMP", "/tmp");

    if (!options)
        options = &defaults;
    cr_assert(lab && !current, "one lab at a time");
    current = lab;
    snprintf(lab->directory, sizeof(lab->directory), "%s/lab-XXXXXX", base);
    cr_assert(mkdtemp(lab->directory), "no directory in %s", base);
    snprintf(lab->config, sizeof(lab->config), "%s/casgate.yaml", lab->directory);
    lab->certificate = options->certificate ? options->certificate : "server";
    lab->second = options->second;
    lab->sim = sim_start(&(struct sim_options) {
        .program = place_of("CAS_SIM", TEST_CAS_SIM),
        .servers = options->servers ? options->servers : 2,
        .certificate = options->cas_certificate ? options->cas_certificate : "server",
        .record = lab->directory,
        .clock_rate = options->clock_rate,
    });
    lab_configure(lab, options->yaml, options->farm);
    start_casgate(lab, options);
    return lab;
}

static int
remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

/* What is wrong with how casgate ended, or NULL. */
static const char *
verdict(int code, const char *facts)
{
    static const char *const reports[] = { "AddressSanitizer", "runtime error:", "ThreadSanitizer",
        "LeakSanitizer", "UndefinedBehaviorSanitizer" };

    for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++)
        if (strstr(facts, reports[i]))
            return "a sanitizer report";
    if (code == -1)
        return "casgate did not end within its time after SIGTERM";
    return code == 0 ? NULL : "casgate's exit code is not 0";
}

void
lab_finish(void)
{
    struct lab *lab = current;
    const char *wrong = NULL;

    if (!lab)
        return;
    current = NULL;
    if (lab->casgate) {
        char *facts;
        int code;

        process_signal(lab->casgate, SIGTERM);
        process_signal(lab->casgate, SIGCONT);
        code = process_wait(lab->casgate, 2 * SOON_MS);
        if (code >= 0)
            free(process_find_line(lab->casgate, PROCESS_STDERR, "\x01", 0, SOON_MS, NULL));
        facts = process_output(lab->casgate, PROCESS_STDERR, NULL);
        wrong = verdict(code, facts);
        if (wrong || getenv("CASGATE_TEST_VERBOSE"))
            fprintf(stderr, "casgate (exit code %d) said:\n%s\n", code, facts);
        free(facts);
        process_destroy(lab->casgate);
    }
    sim_destroy(lab->sim);
    nftw(lab->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(lab);
    /* Criterion does not count an assertion that fails behind the test; a runner that crashed there, it does. */
    if (wrong) {
        fprintf(stderr, "%s\n", wrong);
        abort();
    }
}

const char *
lab_directory(const struct lab *lab)
{
    return lab->directory;
}

unsigned
lab_port(const struct lab *lab)
{
    return lab->port;
}

unsigned
lab_redirect_port(const struct lab *lab)
{
    return lab->redirect_port;
}

unsigned
lab_admin_port(const struct lab *lab)
{
    return ready_port(lab, "admin ");
}

struct sim *
lab_sim(struct lab *lab)
{
    return lab->sim;
}

struct process *
lab_casgate(struct lab *lab)
{
    return lab->casgate;
}

struct client *
lab_client(const struct lab *lab)
{
    return client_connect(&(struct client_options) { .transport = CLIENT_TLS,
        .port = lab->port, .server_name = "mail.contoso.test", .ca = lab_file("ca.pem") });
}

struct client *
lab_plain_client(const struct lab *lab)
{
    return client_connect(
        &(struct client_options) { .transport = CLIENT_PLAIN, .port = lab->redirect_port });
}

static char *
line_or_fail(struct lab *lab, enum process_stream stream, const char *text, size_t from)
{
    char *line = process_find_line(lab->casgate, stream, text, from, SOON_MS, NULL);
    char *all;

    if (line)
        return line;
    all = process_output(lab->casgate, stream, NULL);
    cr_assert_fail("no line with \"%s\" came; there were:\n%s", text, all + from);
    return NULL;
}

char *
lab_access_line(struct lab *lab, const char *text)
{
    return line_or_fail(lab, PROCESS_STDOUT, text, lab->access_from);
}

char *
lab_fact(struct lab *lab, const char *text)
{
    return line_or_fail(lab, PROCESS_STDERR, text, lab->facts_from);
}

bool
lab_has_said(struct lab *lab, const char *text)
{
    char *access_lines = process_output(lab->casgate, PROCESS_STDOUT, NULL);
    char *facts = process_output(lab->casgate, PROCESS_STDERR, NULL);
    bool said = strstr(access_lines, text) || strstr(facts, text);

    free(access_lines);
    free(facts);
    return said;
}

void
lab_forget_lines(struct lab *lab)
{
    lab->access_from = process_mark(lab->casgate, PROCESS_STDOUT);
    lab->facts_from = process_mark(lab->casgate, PROCESS_STDERR);
}

char *
access_field(const char *line, const char *name)
{
    size_t len = strlen(name);
    bool quoted = false;

    for (const char *at = line; *at; at++) {
        if (*at == '"')
            quoted = !quoted;
        if (quoted || (at != line && at[-1] != ' ') || strncmp(at, name, len) != 0
            || at[len] != '=')
            continue;
        at += len + 1;
        if (*at == '"')
            return strndup(at + 1, strcspn(at + 1, "\""));
        return strndup(at, strcspn(at, " \n"));
    }
    return NULL;
}

bool
access_is(const char *line, const char *name, const char *value)
{
    char *field = access_field(line, name);
    bool same = field && strcmp(field, value) == 0;

    free(field);
    return same;
}

bool
lab_reload(struct lab *lab)
{
    size_t from = process_mark(lab->casgate, PROCESS_STDERR);
    char *line;
    bool done;

    process_signal(lab->casgate, SIGHUP);
    line = line_or_fail(lab, PROCESS_STDERR, "reload: ", from);
    done = strstr(line, "keeps") == NULL;
    free(line);
    return done;
}

void
lab_terminate(struct lab *lab)
{
    process_signal(lab->casgate, SIGTERM);
}
