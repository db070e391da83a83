/*
 * story: an incident in plain words, for the person at the telephone.
 *
 *   "POST /EWS/Exchange.asmx was answered with 502 since cas2 refused the connection; it was tried over plain
 *    HTTP and ended after 3 ms. This is the server's side."
 *
 * The words of a failure come from its row in base/failure; here they are joined with how far the request had
 * come and whose side it was. The numbers are told beside the sentence, for programs.
 */
#include <stdio.h>
#include <string.h>

#include "admin_parts.h"
#include "base/clock.h"
#include "base/metrics.h"

enum { STORY_MAX = 1024 };

static const char *
side_words(enum failure_side side)
{
    switch (side) {
    case SIDE_CLIENT:
        return "The client's side ended it.";
    case SIDE_SERVER:
        return "The server's side ended it.";
    case SIDE_CASGATE:
        return "casgate ended it.";
    case SIDE_NONE:
        break;
    }
    return "";
}

/* How far it had come. */
static const char *
progress(const struct incident *incident)
{
    if (incident->first_ms >= 0)
        return "the server had begun to answer";
    if (incident->uploaded_ms >= 0)
        return "the server had the whole request and had not answered";
    if (incident->sent_ms >= 0)
        return "the request was still on its way to the server";
    if (incident->picked_ms >= 0)
        return "no byte of it had been sent to the server";
    return "it had been given to no server";
}

static const char *
hop_words(const struct incident *incident)
{
    if (incident->picked_ms < 0)
        return "";
    return incident->bridged ? " over TLS" : " over plain HTTP";
}

static void
duration_words(int64_t ms, char *text, size_t size)
{
    if (ms < 1000)
        snprintf(text, size, "%lld ms", (long long) ms);
    else if (ms < 120000)
        snprintf(text, size, "%.1f s", (double) ms / 1000);
    else
        snprintf(text, size, "%lld min", (long long) ms / 60000);
}

static void
tell_failure(const struct incident *incident, const char *server, const char *after, char *text,
    size_t size)
{
    const struct failure_row *row = failure_row(incident->failure);
    char outcome[64] = "got no answer";

    if (incident->status)
        snprintf(outcome, sizeof outcome, "was answered with %u", incident->status);
    snprintf(text, size, "%s %s: %s%s%s%s%s%s. When it ended, after %s in step %s, %s. %s",
        incident->line[0] ? incident->line : "A request", outcome, row->words,
        incident->detail ? " (" : "", incident->detail ? incident->detail : "",
        incident->detail ? ")" : "", server[0] ? "; server " : "", server, after, incident->step,
        progress(incident), side_words(row->side));
}

static void
tell(const struct incident *incident, char *text, size_t size)
{
    const char *server = metrics_server_label(incident->server);
    char after[32];

    server = server ? server : "";
    duration_words(incident->total_ms, after, sizeof after);
    if (incident->kind == INCIDENT_HANDSHAKE)
        snprintf(text, size,
            "A TLS handshake did not come to its end and was given up after %s: the client went away, "
            "offers nothing that this profile allows, or does not trust the certificate.",
            after);
    else if (incident->kind == INCIDENT_LOGON)
        snprintf(text, size,
            "%s was refused by %s%s with 401 after a logon with NTLM or Negotiate: a wrong password, a "
            "locked account, or a name the server does not know.",
            incident->line, server, hop_words(incident));
    else if (incident->failure == FAIL_NONE)
        snprintf(text, size,
            "%s was answered by %s%s with %u after %s. This is the server's own answer; casgate "
            "passed it on.",
            incident->line, server[0] ? server : "casgate", hop_words(incident), incident->status,
            after);
    else
        tell_failure(incident, server, after, text, size);
}

json_t *
story_json(const struct incident *incident)
{
    static const char *const kinds[] = { "request", "logon", "handshake" };
    const char *server = metrics_server_label(incident->server);
    char story[STORY_MAX], id[17] = "", when[CLOCK_TEXT_MAX];

    tell(incident, story, sizeof story);
    if (incident->id)
        snprintf(id, sizeof id, "%016llx", (unsigned long long) incident->id);
    return json_pack("{s:s, s:s, s:s, s:s?, s:s, s:s, s:s?, s:s?, s:s?, s:s, s:i, s:i, s:i, s:i, s:i, "
                     "s:i, s:I, s:I, s:s}",
        "time", clock_format(incident->wall_ms, when), "client", incident->client, "kind", kinds[incident->kind], "id",
        id[0] ? id : NULL, "request", incident->line, "step", incident->step, "failure",
        incident->failure ? failure_row(incident->failure)->name : NULL, "protocol",
        incident->protocol < PROTOCOL_COUNT ? preset_route(incident->protocol)->key : NULL,
        "server", server && server[0] ? server : NULL, "hop",
        incident->picked_ms < 0 ? "none" : incident->bridged ? "tls" : "plain", "status",
        incident->status, "picked_ms", incident->picked_ms, "sent_ms", incident->sent_ms,
        "uploaded_ms", incident->uploaded_ms, "first_ms", incident->first_ms, "total_ms",
        incident->total_ms, "bytes_in", (json_int_t) incident->bytes_in, "bytes_out",
        (json_int_t) incident->bytes_out, "story", story);
}
