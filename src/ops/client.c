/*
 * client: `casgate status`, `drain` and their like: finds the admin listener, asks, shows.
 *
 *   where   --admin ADDRESS, else the admin key of -c FILE
 *   token   --token-file FILE, else admin.token-file of FILE; none is needed on a Unix socket
 *
 * Nothing is known here of health or orders; the server decides and its sentence is shown. Exit codes let a
 * script decide without reading: 0 done or all is well, 1 not.
 */
#include "ops/client.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client_parts.h"
#include "config/config.h"

enum { ADMIN_PORT = 9180, TOKEN_MAX = 512, TARGET_MAX = 1024, EVERY_MS = 2000, WAIT_MS = 500 };

struct contact {
    struct addr addr;
    char token[TOKEN_MAX]; /* "": none */
    char error[512];       /* one sentence */
};

static void
read_token(const char *path, char token[static TOKEN_MAX])
{
    FILE *file = path ? fopen(path, "re") : NULL;

    if (file && fgets(token, TOKEN_MAX, file))
        token[strcspn(token, "\r\n")] = '\0';
    if (file)
        fclose(file);
}

static bool
contact_find(struct contact *contact, const struct client_options *options)
{
    struct config *config = NULL;
    unsigned complaints;

    *contact = (struct contact) { 0 };
    if (options->admin) {
        if (!addr_parse(options->admin, ADMIN_PORT, &contact->addr))
            snprintf(contact->error, sizeof contact->error,
                "'%s' is not an address; write one like 127.0.0.1:9180 or unix:/path",
                options->admin);
    } else {
        config = config_load(options->config, stderr, &complaints);
        if (config)
            contact->addr = config->admin;
        if (contact->addr.len == 0)
            snprintf(contact->error, sizeof contact->error, "%s %s", options->config,
                config ? "has no 'admin' key" : "cannot be used; give the address with --admin");
    }
    read_token(options->token_file ? options->token_file
                   : config        ? config->admin_token_file
                                   : NULL,
        contact->token);
    config_unref(config);
    return !contact->error[0];
}

static json_t *
ask(struct contact *contact, const char *method, const char *target)
{
    return client_request(&contact->addr, contact->token[0] ? contact->token : NULL, method, target,
        contact->error, sizeof contact->error);
}

/* Appends text with all but unreserved characters encoded (RFC 3986 2.3). */
static void
append_encoded(char target[static TARGET_MAX], const char *text)
{
    size_t len = strlen(target);

    for (; *text && len + 4 < TARGET_MAX; text++) {
        unsigned char c = (unsigned char) *text;

        if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
            strchr("-._~:", c))
            target[len++] = (char) c;
        else
            len += (size_t) snprintf(target + len, 4, "%%%02X", c);
    }
    target[len] = '\0';
}

static void
append_query(char target[static TARGET_MAX], const char *name, const char *value)
{
    size_t len = strlen(target);

    if (!value)
        return;
    snprintf(target + len, TARGET_MAX - len, "%c%s=", strchr(target, '?') ? '&' : '?', name);
    append_encoded(target, value);
}

static void
pause_ms(long ms)
{
    struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

    nanosleep(&time, NULL);
}

/* --- commands --------------------------------------------------------------------------------------- */

static int
show_status(struct contact *contact, const struct client_options *options)
{
    json_t *status = ask(contact, "GET", "/api/v1/status");
    const char *verdict = json_string_value(json_object_get(status, "verdict"));
    bool fine = verdict && strcmp(verdict, "ok") == 0;

    if (!status)
        return EXIT_FAILURE;
    if (options->watch && isatty(STDOUT_FILENO))
        fputs("\033[H\033[2J", stdout);
    if (options->json) {
        json_dumpf(status, stdout, options->watch ? JSON_COMPACT : JSON_INDENT(2));
        fputc('\n', stdout);
    } else {
        client_print_status(status, stdout);
    }
    fflush(stdout);
    json_decref(status);
    return fine ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
command_status(struct contact *contact, const struct client_options *options)
{
    int code = show_status(contact, options);

    /* without contact it goes on trying: what is watched may be restarting */
    while (options->watch && !ferror(stdout)) {
        if (contact->error[0])
            fprintf(stderr, "casgate: %s\n", contact->error);
        contact->error[0] = '\0';
        pause_ms(EVERY_MS);
        code = show_status(contact, options);
    }
    return code;
}

/* Waits until nobody is connected to the server (with that protocol) any more. */
static int
wait_for_drain(struct contact *contact, const struct client_options *options)
{
    char target[TARGET_MAX] = "/api/v1/sessions?limit=1";
    json_int_t before = -1;

    append_query(target, "server", options->subject);
    append_query(target, "protocol", options->protocol);
    for (;;) {
        json_t *answer = ask(contact, "GET", target);
        json_int_t left = json_integer_value(json_object_get(answer, "count"));

        if (!answer)
            return EXIT_FAILURE;
        json_decref(answer);
        if (left != before && !options->json)
            printf("%s: %lld clients left\n", options->subject, (long long) left);
        fflush(stdout);
        if (left == 0)
            return EXIT_SUCCESS;
        before = left;
        pause_ms(WAIT_MS);
    }
}

static int
command_order(struct contact *contact, const struct client_options *options, const char *orders)
{
    char target[TARGET_MAX] = "/api/v1/servers/", deadline[24];
    json_t *answer;

    append_encoded(target, options->subject);
    strcat(target, "/");
    append_encoded(target, orders);
    append_query(target, "protocol", options->protocol);
    snprintf(deadline, sizeof deadline, "%ld", options->deadline_s);
    append_query(target, "deadline", options->deadline_s ? deadline : NULL);
    answer = ask(contact, "POST", target);
    if (!answer)
        return EXIT_FAILURE;
    if (options->json)
        json_dumpf(answer, stdout, 0);
    else
        printf("%s%s%s: %s", options->subject, options->protocol ? " " : "",
            options->protocol ? options->protocol : "", orders);
    fputc('\n', stdout);
    json_decref(answer);
    return options->wait ? wait_for_drain(contact, options) : EXIT_SUCCESS;
}

static int
command_sessions(struct contact *contact, const struct client_options *options)
{
    char target[TARGET_MAX] = "/api/v1/sessions?limit=1000";
    json_t *answer;

    append_query(target, "client", options->client);
    append_query(target, "server", options->subject);
    append_query(target, "protocol", options->protocol);
    answer = ask(contact, "GET", target);
    if (!answer)
        return EXIT_FAILURE;
    if (options->json)
        json_dumpf(answer, stdout, JSON_INDENT(2));
    else
        client_print_sessions(answer, stdout);
    json_decref(answer);
    return EXIT_SUCCESS;
}

/* 16 hexadecimal digits are a request id, all else is an address. */
static bool
is_request_id(const char *text)
{
    return strlen(text) == 16 && strspn(text, "0123456789abcdefABCDEF") == 16;
}

static int
command_why(struct contact *contact, const struct client_options *options)
{
    char target[TARGET_MAX] = "/api/v1/why";
    json_t *answer;

    append_query(target, is_request_id(options->subject) ? "id" : "client", options->subject);
    answer = ask(contact, "GET", target);
    if (!answer)
        return EXIT_FAILURE;
    if (options->json)
        json_dumpf(answer, stdout, JSON_INDENT(2));
    else
        client_print_stories(answer, options->subject, stdout);
    json_decref(answer);
    return EXIT_SUCCESS;
}

static int
run(struct contact *contact, enum client_command command, const struct client_options *options)
{
    switch (command) {
    case CLIENT_STATUS:
        return command_status(contact, options);
    case CLIENT_DRAIN:
        return command_order(contact, options, "drain");
    case CLIENT_READY:
        return command_order(contact, options, "ready");
    case CLIENT_MAINTENANCE:
        return command_order(contact, options, "maintenance");
    case CLIENT_SESSIONS:
        return command_sessions(contact, options);
    case CLIENT_WHY:
        return command_why(contact, options);
    }
    return EXIT_FAILURE;
}

int
client_run(enum client_command command, const struct client_options *options)
{
    struct contact contact;
    int code = contact_find(&contact, options) ? run(&contact, command, options) : EXIT_FAILURE;

    if (contact.error[0])
        fprintf(stderr, "casgate: %s\n", contact.error);
    return code;
}
