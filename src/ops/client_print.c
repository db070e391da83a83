/*
 * client_print: answers of the admin listener for people. On a terminal aligned and coloured; into a pipe the
 * same words and columns without colours, for grep and awk.
 *
 *   SERVER  CONNS  REQ/S  OWA  ECP  EWS  MAPI   …
 *   cas1       12    3.5  up   up   up   drain  …
 *
 * The words of a cell are those of the status ("state"); nothing is decided here.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client_parts.h"
#include "config/preset.h"

enum { NAME_WIDTH_MAX = 40, SPAN_MAX = 24 };

static const char *
text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "-";
}

static double
number_of(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* --- colours -------------------------------------------------------------------------------------- */

static const struct {
    const char *word, *colour;
} colours[] = {
    { "up", "32" }, { "ok", "32" }, { "down", "1;31" }, { "degraded", "33" }, { "ssl-required", "33" },
    { "drain", "33" }, { "maintenance", "36" },
};

static const char *
colour_of(const char *word)
{
    for (size_t c = 0; c < sizeof colours / sizeof *colours; c++)
        if (strcmp(colours[c].word, word) == 0)
            return colours[c].colour;
    return NULL;
}

/* A word in its colour, padded to a width. */
static void
put_word(FILE *out, const char *word, int width)
{
    int padding = width > (int) strlen(word) ? width - (int) strlen(word) : 0;
    const char *colour = isatty(fileno(out)) && !getenv("NO_COLOR") ? colour_of(word) : NULL;

    if (colour)
        fprintf(out, "\033[%sm%s\033[0m%*s", colour, word, padding, "");
    else
        fprintf(out, "%s%*s", word, padding, "");
}

/* "42s", "3m", "12h", "5d". */
static const char *
span_text(double seconds, char text[static SPAN_MAX])
{
    long long s = (long long) seconds;

    if (s >= 172800)
        snprintf(text, SPAN_MAX, "%lldd", s / 86400);
    else if (s >= 7200)
        snprintf(text, SPAN_MAX, "%lldh", s / 3600);
    else if (s >= 120)
        snprintf(text, SPAN_MAX, "%lldm", s / 60);
    else
        snprintf(text, SPAN_MAX, "%llds", s);
    return text;
}

/* --- status --------------------------------------------------------------------------------------- */

static int
name_width(const json_t *servers)
{
    size_t width = strlen("SERVER"), s;
    json_t *server;

    json_array_foreach(servers, s, server)
        if (strlen(text_of(server, "name")) > width)
            width = strlen(text_of(server, "name"));
    return (int) (width < NAME_WIDTH_MAX ? width : NAME_WIDTH_MAX);
}

/* Wide enough for the heading and for every word below it; 0: not published. */
static int
cell_width(const json_t *servers, const char *protocol)
{
    size_t width = 0, s;
    json_t *server;

    json_array_foreach(servers, s, server)
    {
        json_t *cell = json_object_get(json_object_get(server, "protocols"), protocol);

        if (cell && width == 0)
            width = strlen(protocol);
        if (cell && strlen(text_of(cell, "state")) > width)
            width = strlen(text_of(cell, "state"));
    }
    return (int) width;
}

static void
print_grid(const json_t *servers, FILE *out)
{
    int width = name_width(servers);
    size_t s;
    json_t *server;

    fprintf(out, "%-*s  %6s  %7s", width, "SERVER", "CONNS", "REQ/S");
    for (int p = 0; p < PROTOCOL_COUNT; p++) {
        const char *key = preset_route((enum protocol) p)->key;

        if (cell_width(servers, key))
            fprintf(out, "  %-*s", cell_width(servers, key), key);
    }
    fputc('\n', out);
    json_array_foreach(servers, s, server)
    {
        fprintf(out, "%-*s  %6.0f  %7.1f", width, text_of(server, "name"),
            number_of(server, "connections"), number_of(server, "requests_per_s"));
        for (int p = 0; p < PROTOCOL_COUNT; p++) {
            const char *key = preset_route((enum protocol) p)->key;
            json_t *cell = json_object_get(json_object_get(server, "protocols"), key);

            if (!cell_width(servers, key))
                continue;
            fputs("  ", out);
            put_word(out, text_of(cell, "state"), cell_width(servers, key));
        }
        fputc('\n', out);
    }
}

/* Why what is not up is not. */
static void
print_reasons(const json_t *servers, FILE *out)
{
    size_t s;
    json_t *server, *cell;
    const char *key;

    json_array_foreach(servers, s, server)
        json_object_foreach(json_object_get(server, "protocols"), key, cell)
            if (strcmp(text_of(cell, "health"), "up") != 0)
                fprintf(out, "%s %s is %s: %s (checks: %s)\n", text_of(server, "name"), key,
                    text_of(cell, "health"), text_of(cell, "reason"), text_of(cell, "window"));
}

static void
print_drains(const json_t *drains, FILE *out)
{
    size_t d, p;
    json_t *drain, *protocol;

    json_array_foreach(drains, d, drain)
    {
        fprintf(out, "%s is in %s for", text_of(drain, "server"), text_of(drain, "orders"));
        json_array_foreach(json_object_get(drain, "protocols"), p, protocol)
            fprintf(out, " %s", json_string_value(protocol));
        fprintf(out, "; %.0f connections left\n", number_of(drain, "connections"));
    }
}

static void
print_certificates(const json_t *certificates, FILE *out)
{
    size_t c;
    json_t *certificate;

    json_array_foreach(certificates, c, certificate)
        fprintf(out, "certificate %s: %.0f days left\n", text_of(certificate, "subject"),
            number_of(certificate, "days_left"));
}

static void
print_failures(const json_t *failures, FILE *out)
{
    size_t f;
    json_t *failure;

    json_array_foreach(failures, f, failure)
        fprintf(out, "%s%6.0f  %s (%s)\n", f == 0 ? "failures in the last five minutes:\n" : "",
            number_of(failure, "recent"), text_of(failure, "words"), text_of(failure, "cause"));
}

void
client_print_status(const json_t *status, FILE *out)
{
    const json_t *rates = json_object_get(status, "rates");
    char span[SPAN_MAX];
    size_t f;
    json_t *farm;

    fprintf(out, "casgate %s  ", text_of(status, "version"));
    put_word(out, text_of(status, "verdict"), 0);
    fprintf(out, "  up %s  %.0f clients  %.0f in flight  %.1f requests/s  %.1f failures/s\n",
        span_text((number_of(status, "now") - number_of(status, "started")) / 1000, span),
        number_of(status, "connections"), number_of(status, "in_flight"),
        number_of(rates, "requests_per_s"), number_of(rates, "failures_per_s"));
    json_array_foreach(json_object_get(status, "farms"), f, farm)
    {
        fputc('\n', out);
        if (json_array_size(json_object_get(status, "farms")) > 1)
            fprintf(out, "farm %s\n", text_of(farm, "name"));
        print_grid(json_object_get(farm, "servers"), out);
        print_reasons(json_object_get(farm, "servers"), out);
    }
    fputc('\n', out);
    print_drains(json_object_get(status, "drains"), out);
    print_failures(json_object_get(status, "failures"), out);
    print_certificates(json_object_get(status, "certificates"), out);
    if (!json_is_true(json_object_get(status, "reloaded")))
        fputs("the last reload was refused\n", out);
}

/* --- sessions and stories -------------------------------------------------------------------------- */

static void
print_session(const json_t *session, FILE *out)
{
    char span[SPAN_MAX];
    size_t l;
    json_t *lease;

    fprintf(out, "%-22s  %5s  %-9s  %-12s  %8.0f  %12.0f  %12.0f  %-10s ",
        text_of(session, "client"), span_text(number_of(session, "age_ms") / 1000, span),
        text_of(session, "state"), text_of(session, "protocol"), number_of(session, "requests"),
        number_of(session, "bytes_in"), number_of(session, "bytes_out"), text_of(session, "authenticated"));
    json_array_foreach(json_object_get(session, "servers"), l, lease)
        fprintf(out, " %s/%s", text_of(lease, "server"), text_of(lease, "hop"));
    fputc('\n', out);
}

void
client_print_sessions(const json_t *answer, FILE *out)
{
    json_t *sessions = json_object_get(answer, "sessions"), *session;
    size_t s;

    fprintf(out, "%-22s    AGE  %-9s  %-12s  %8s  %12s  %12s  %-10s  SERVERS\n", "CLIENT", "STATE",
        "PROTOCOL", "REQUESTS", "BYTES-IN", "BYTES-OUT", "LOGON");
    json_array_foreach(sessions, s, session)
        print_session(session, out);
    if (number_of(answer, "count") > (double) json_array_size(sessions))
        fprintf(out, "… and %.0f more\n",
            number_of(answer, "count") - (double) json_array_size(sessions));
    if (number_of(answer, "missing_workers") > 0)
        fprintf(out, "%.0f workers did not answer\n", number_of(answer, "missing_workers"));
}

void
client_print_stories(const json_t *answer, const char *subject, FILE *out)
{
    json_t *incidents = json_object_get(answer, "incidents"), *incident;
    size_t i;

    if (json_array_size(incidents) == 0)
        fprintf(out, "Nothing has gone wrong for %s lately.\n", subject);
    json_array_foreach(incidents, i, incident)
        fprintf(out, "%s  %s  %s\n    %s\n", text_of(incident, "time"), text_of(incident, "client"),
            text_of(incident, "id"), text_of(incident, "story"));
}
