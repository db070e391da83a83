/*
 * status_page: the status as a page that is complete without a script: everything is in the HTML that comes
 * first. The script only fetches the inner part again every two seconds, so there is one place that turns a
 * status into HTML, and a browser without scripts sees the same by reloading.
 *
 *   ┌ verdict ─ version, uptime ─────────────┐
 *   │ cards: a number and its last five min. │   clients, requests, failures, bytes
 *   │ grid:  CAS x protocol, colour and word │   on a phone: one block per CAS
 *   │ drains · causes · certificates · times │
 *   └────────────────────────────────────────┘
 *
 * All text that is not ours goes through put_text; there are no style attributes, no links and nothing that is
 * loaded from elsewhere, so that the policy in admin.c can forbid everything but the page's own style and
 * script.
 */
#include <string.h>

#include "admin_parts.h"
#include "config/preset.h"
#include "status_style.h"

enum { SPARK_WIDTH = 150, SPARK_HEIGHT = 36 };

/* --- reading the status ------------------------------------------------------------------------------ */

static const char *
text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static double
number_of(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* --- writing ----------------------------------------------------------------------------------------- */

static void
put_text(FILE *out, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fputc(*text, out);
        }
}

/* "1.2", "34", "87.6": as few digits as say something. Returns the prefix of the unit. */
static const char *
put_amount(FILE *out, double value)
{
    static const char *const prefixes[] = { "", "k", "M", "G", "T" };
    unsigned prefix = 0;

    for (; value >= 10000 && prefix < 4; prefix++)
        value /= 1000;
    fprintf(out, value >= 100 || value == (double) (long long) value ? "%.0f" : "%.1f", value);
    return prefixes[prefix];
}

static void
put_span(FILE *out, double seconds)
{
    long long s = (long long) seconds;

    if (s >= 172800)
        fprintf(out, "%lld days", s / 86400);
    else if (s >= 7200)
        fprintf(out, "%lld h", s / 3600);
    else if (s >= 120)
        fprintf(out, "%lld min", s / 60);
    else
        fprintf(out, "%lld s", s);
}

static double
largest(const json_t *points)
{
    double most = 0;
    size_t n;
    json_t *point;

    json_array_foreach(points, n, point)
        if (json_number_value(point) > most)
            most = json_number_value(point);
    return most;
}

/* The newest point is at the right edge; the top is the largest of them. */
static void
put_sparkline(FILE *out, const json_t *points)
{
    size_t count = json_array_size(points), n;
    double most = largest(points), first = (double) SPARK_WIDTH - (double) count + 1;
    json_t *point;

    fprintf(out, "<svg class=spark viewBox=\"0 0 %d %d\" preserveAspectRatio=none aria-hidden=true>",
        SPARK_WIDTH, SPARK_HEIGHT);
    for (int area = 1; count > 1 && area >= 0; area--) {
        fprintf(out, "<polyline class=%s points=\"", area ? "area" : "line");
        if (area)
            fprintf(out, "%.0f,%d ", first, SPARK_HEIGHT);
        json_array_foreach(points, n, point)
            fprintf(out, "%.0f,%.1f ", first + (double) n,
                SPARK_HEIGHT - 2 - (most > 0 ? json_number_value(point) / most : 0) * (SPARK_HEIGHT - 4));
        if (area)
            fprintf(out, "%d,%d", SPARK_WIDTH, SPARK_HEIGHT);
        fputs("\"/>", out);
    }
    fputs("</svg>", out);
}

/* --- the parts of the page ---------------------------------------------------------------------------- */

static void
put_banner(FILE *out, const json_t *status)
{
    static const char *const words[][2] = { { "ok", "Everything is up" },
        { "degraded", "Some servers do not serve everything" },
        { "down", "A protocol has no server" } };
    const char *verdict = text_of(status, "verdict");

    fprintf(out, "<header class=\"banner v-%s\"><h1>", verdict);
    for (size_t w = 0; w < sizeof words / sizeof *words; w++)
        if (strcmp(words[w][0], verdict) == 0)
            fputs(words[w][1], out);
    fprintf(out, "</h1><p>casgate %s &middot; up for ", text_of(status, "version"));
    put_span(out, (number_of(status, "now") - number_of(status, "started")) / 1000);
    fprintf(out, " &middot; %.0f workers", number_of(status, "workers"));
    if (!json_is_true(json_object_get(status, "reloaded")))
        fputs(" &middot; <strong>the last reload was refused</strong>", out);
    if (number_of(status, "log_dropped") > 0)
        fprintf(out, " &middot; %.0f log lines dropped", number_of(status, "log_dropped"));
    fputs("</p></header>\n", out);
}

static void
put_card(FILE *out, const char *title, double value, const char *unit, const json_t *points)
{
    const char *prefix;

    fprintf(out, "<div class=card><h2>%s</h2><p class=big>", title);
    prefix = put_amount(out, value);
    fprintf(out, "<small> %s%s</small></p>", prefix, unit);
    put_sparkline(out, points);
    fputs("</div>\n", out);
}

static void
put_cards(FILE *out, const json_t *status)
{
    const json_t *history = json_object_get(status, "history");
    const json_t *rates = json_object_get(status, "rates");

    fputs("<section class=cards aria-label=\"Now and the last five minutes\">\n", out);
    put_card(out, "Clients", number_of(status, "connections"), "",
        json_object_get(history, "connections"));
    put_card(out, "Requests", number_of(rates, "requests_per_s"), "/s",
        json_object_get(history, "requests_per_s"));
    put_card(out, "Failures", number_of(rates, "failures_per_s"), "/s",
        json_object_get(history, "failures_per_s"));
    put_card(out, "Bytes", number_of(rates, "bytes_per_s"), "B/s",
        json_object_get(history, "bytes_per_s"));
    fputs("</section>\n", out);
}

static void
put_cell(FILE *out, const char *protocol, const json_t *cell)
{
    const char *state = text_of(cell, "state");

    if (!cell) {
        fprintf(out, "<td class=none data-p=\"%s\"><span>&ndash;</span></td>", protocol);
        return;
    }
    fprintf(out, "<td class=\"s-%s\" data-p=\"%s\" title=\"", state, protocol);
    put_text(out, text_of(cell, "health"));
    if (text_of(cell, "reason")[0]) {
        fputs(": ", out);
        put_text(out, text_of(cell, "reason"));
    }
    fputs("; checks: ", out);
    put_text(out, text_of(cell, "window"));
    fprintf(out, "\"><span>%s</span></td>", strcmp(state, "ssl-required") == 0 ? "ssl" : state);
}

static bool
is_published(const json_t *servers, const char *protocol)
{
    return json_object_get(json_object_get(json_array_get(servers, 0), "protocols"), protocol) != NULL;
}

static void
put_server(FILE *out, const json_t *servers, const json_t *server)
{
    fputs("<tr><th scope=row>", out);
    put_text(out, text_of(server, "name"));
    fprintf(out, "<small>%.0f connections, ", number_of(server, "connections"));
    fprintf(out, " %sreq/s</small></th>", put_amount(out, number_of(server, "requests_per_s")));
    for (int p = 0; p < PROTOCOL_COUNT; p++) {
        const char *key = preset_route((enum protocol) p)->key;

        if (is_published(servers, key))
            put_cell(out, key, json_object_get(json_object_get(server, "protocols"), key));
    }
    fputs("</tr>\n", out);
}

static void
put_farm(FILE *out, const json_t *farm)
{
    const json_t *servers = json_object_get(farm, "servers");
    size_t s;
    json_t *server;

    fputs("<section class=panel><h2>Servers of ", out);
    put_text(out, text_of(farm, "name"));
    fputs("</h2><table class=grid><thead><tr><th scope=col>Server</th>", out);
    for (int p = 0; p < PROTOCOL_COUNT; p++)
        if (is_published(servers, preset_route((enum protocol) p)->key))
            fprintf(out, "<th scope=col>%s</th>", preset_route((enum protocol) p)->key);
    fputs("</tr></thead><tbody>\n", out);
    json_array_foreach(servers, s, server)
        put_server(out, servers, server);
    fputs("</tbody></table></section>\n", out);
}

static void
put_drains(FILE *out, const json_t *drains)
{
    size_t d, p;
    json_t *drain, *protocol;

    if (json_array_size(drains) == 0)
        return;
    fputs("<section class=panel><h2>Orders in force</h2><ul>\n", out);
    json_array_foreach(drains, d, drain)
    {
        fputs("<li><strong>", out);
        put_text(out, text_of(drain, "server"));
        fprintf(out, "</strong> %s: ", text_of(drain, "orders"));
        json_array_foreach(json_object_get(drain, "protocols"), p, protocol)
            fprintf(out, "%s%s", p ? ", " : "", json_string_value(protocol));
        fprintf(out, "<small>%.0f connections are left to this server</small></li>\n",
            number_of(drain, "connections"));
    }
    fputs("</ul></section>\n", out);
}

static void
put_failures(FILE *out, const json_t *failures)
{
    size_t f;
    json_t *failure;

    fputs("<section class=panel><h2>Failures, last five minutes</h2>", out);
    if (json_array_size(failures) == 0)
        fputs("<p class=quiet>None.</p>", out);
    fputs("<table class=list>", out);
    json_array_foreach(failures, f, failure)
    {
        fprintf(out, "<tr><td class=n>%.0f</td><td>%s<small>%s</small></td></tr>\n",
            number_of(failure, "recent"), text_of(failure, "words"), text_of(failure, "cause"));
    }
    fputs("</table></section>\n", out);
}

static void
put_certificates(FILE *out, const json_t *certificates)
{
    size_t c, n;
    json_t *certificate, *name;

    fputs("<section class=panel><h2>Certificates</h2><table class=list>", out);
    json_array_foreach(certificates, c, certificate)
    {
        double days = number_of(certificate, "days_left");

        fprintf(out, "<tr><td class=\"n %s\">%.0f days</td><td>", days < 7 ? "bad" : days < 30 ? "warn" : "",
            days);
        json_array_foreach(json_object_get(certificate, "names"), n, name)
        {
            fputs(n ? ", " : "", out);
            put_text(out, json_string_value(name));
        }
        fputs("<small>", out);
        put_text(out, text_of(certificate, "subject"));
        fputs("</small></td></tr>\n", out);
    }
    fputs("</table></section>\n", out);
}

static void
put_times(FILE *out, const json_t *protocols)
{
    size_t p;
    json_t *protocol;

    fputs("<section class=panel><h2>Time to first byte, since the start</h2>", out);
    if (json_array_size(protocols) == 0)
        fputs("<p class=quiet>No requests yet.</p>", out);
    fputs("<table class=list>", out);
    json_array_foreach(protocols, p, protocol)
        fprintf(out,
            "<tr><td>%s</td><td class=n>%.0f ms<small>half of them</small></td>"
            "<td class=n>%.0f ms<small>95 of 100</small></td></tr>\n",
            text_of(protocol, "protocol"), number_of(protocol, "p50_ms"),
            number_of(protocol, "p95_ms"));
    fputs("</table></section>\n", out);
}

void
status_page_write_part(const json_t *status, FILE *out)
{
    size_t f;
    json_t *farm;

    put_banner(out, status);
    put_cards(out, status);
    json_array_foreach(json_object_get(status, "farms"), f, farm)
        put_farm(out, farm);
    put_drains(out, json_object_get(status, "drains"));
    fputs("<div class=columns>\n", out);
    put_failures(out, json_object_get(status, "failures"));
    put_times(out, json_object_get(status, "protocols"));
    put_certificates(out, json_object_get(status, "certificates"));
    fputs("</div>\n", out);
}

void
status_page_write(const json_t *status, const char *nonce, FILE *out)
{
    fprintf(out,
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>\n"
        "<meta name=viewport content=\"width=device-width, initial-scale=1\">\n"
        "<title>casgate: %s</title><link rel=icon href=\"data:,\">\n"
        "<style nonce=\"%s\">%s</style></head>\n<body>\n<main id=main>\n",
        text_of(status, "verdict"), nonce, status_style);
    status_page_write_part(status, out);
    fprintf(out,
        "</main>\n<footer id=contact>updates itself every two seconds</footer>\n"
        "<script nonce=\"%s\">%s</script></body></html>\n",
        nonce, status_script);
}
