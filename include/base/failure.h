/*
 * failure: THE TABLE. Every trouble of a request has one row, and the row decides everything: the name in
 * the access line, the words, the status that the client sees, whether the request may be tried on another
 * server (only while no byte of it has left), whether it counts against the server, and who ended it.
 */
#ifndef BASE_FAILURE_H
#define BASE_FAILURE_H

#include <stdbool.h>

enum failure_side { SIDE_NONE, SIDE_CLIENT, SIDE_SERVER, SIDE_CASGATE };

/* What the client gets if its response has not begun. A status: that answer. SILENT: its connection is
 * closed without one. Once the response has begun, every failure truncates it. */
enum { FAILURE_SILENT = 0 };

enum failure_retry { STAY, ELSEWHERE };
enum failure_blame { INNOCENT, COUNTS };

/*      name                  words                                              status  retry      blame     side */
#define FAILURES(ROW)                                                                                               \
    ROW(NONE,                "answered in full",                                   0, STAY,      INNOCENT, NONE)    \
    ROW(CLIENT_CLOSED,       "client left before its response was complete",       0, STAY,      INNOCENT, CLIENT)  \
    ROW(CHANNEL_CLOSED,      "end of an RPC channel",                              0, STAY,      INNOCENT, NONE)    \
    ROW(HEAD_TIMEOUT,        "request head took too long",                       408, STAY,      INNOCENT, CLIENT)  \
    ROW(BODY_TIMEOUT,        "request body came too slowly",                     408, STAY,      INNOCENT, CLIENT)  \
    ROW(BAD_REQUEST,         "malformed request",                                400, STAY,      INNOCENT, CLIENT)  \
    ROW(BAD_HOST,            "Host missing, repeated or malformed",              400, STAY,      INNOCENT, CLIENT)  \
    ROW(BAD_FRAMING,         "ambiguous message length",                         400, STAY,      INNOCENT, CLIENT)  \
    ROW(BAD_BODY,            "malformed chunk in the request body",              400, STAY,      INNOCENT, CLIENT)  \
    ROW(BAD_TARGET,          "target refused",                                   400, STAY,      INNOCENT, CLIENT)  \
    ROW(FOREIGN_AUTHORITY,   "absolute target for a name not published here",    400, STAY,      INNOCENT, CLIENT)  \
    ROW(BAD_VERSION,         "HTTP version not supported",                       505, STAY,      INNOCENT, CLIENT)  \
    ROW(BAD_METHOD,          "method not supported",                             501, STAY,      INNOCENT, CLIENT)  \
    ROW(HEAD_TOO_LARGE,      "request head too large",                           431, STAY,      INNOCENT, CLIENT)  \
    ROW(TARGET_TOO_LONG,     "request target too long",                          414, STAY,      INNOCENT, CLIENT)  \
    ROW(BODY_TOO_LARGE,      "request body over the route's limit",              413, STAY,      INNOCENT, CLIENT)  \
    ROW(FORBIDDEN,           "not allowed from this address",                    403, STAY,      INNOCENT, CLIENT)  \
    ROW(PLAIN_FORBIDDEN,     "only GET and HEAD are redirected to https",        403, STAY,      INNOCENT, CLIENT)  \
    ROW(NOT_FOUND,           "no such virtual directory",                        404, STAY,      INNOCENT, CLIENT)  \
    ROW(NO_SERVER,           "no server is up for this protocol",                503, STAY,      INNOCENT, SERVER)  \
    ROW(QUEUE_TIMEOUT,       "no server had room for a new connection in time",  503, STAY,      INNOCENT, SERVER)  \
    ROW(QUEUE_FULL,          "too many requests wait for a new connection",      503, STAY,      INNOCENT, SERVER)  \
    ROW(EVICTED,             "the server was taken out of service by order",     503, STAY,      INNOCENT, CASGATE) \
    ROW(CONNECT_REFUSED,     "server refused the connection",                    502, ELSEWHERE, COUNTS,   SERVER)  \
    ROW(CONNECT_TIMEOUT,     "server did not accept in time",                    504, ELSEWHERE, COUNTS,   SERVER)  \
    ROW(BRIDGE_HANDSHAKE,    "TLS handshake with the server failed",             502, ELSEWHERE, COUNTS,   SERVER)  \
    ROW(BRIDGE_TIMEOUT,      "TLS handshake with the server took too long",      502, ELSEWHERE, COUNTS,   SERVER)  \
    ROW(BRIDGE_TRUST,        "server's certificate is not trusted",              502, ELSEWHERE, COUNTS,   SERVER)  \
    ROW(LOCAL_PORTS,         "no local port left towards the server",            503, ELSEWHERE, INNOCENT, CASGATE) \
    ROW(LOCAL_DESCRIPTORS,   "no descriptor left",                               503, STAY,      INNOCENT, CASGATE) \
    ROW(NO_MEMORY,           "no memory left",                                   503, STAY,      INNOCENT, CASGATE) \
    ROW(SERVER_CLOSED,       "server closed before it answered",                 502, STAY,      INNOCENT, SERVER)  \
    ROW(LEASE_EXPIRED,       "server closed a reused connection before it answered", 0, STAY,    INNOCENT, SERVER)  \
    ROW(SERVER_TRUNCATED,    "server broke off its response",                      0, STAY,      INNOCENT, SERVER)  \
    ROW(BAD_RESPONSE,        "malformed response",                               502, STAY,      INNOCENT, SERVER)  \
    ROW(RESPONSE_TOO_LARGE,  "response head too large",                          502, STAY,      INNOCENT, SERVER)  \
    ROW(UPGRADE_REFUSED,     "server tried to switch protocols",                 502, STAY,      INNOCENT, SERVER)  \
    ROW(FIRST_BYTE_TIMEOUT,  "server did not answer in time",                    504, STAY,      INNOCENT, SERVER)  \
    ROW(IDLE_TIMEOUT,        "no byte either way for too long",                  504, STAY,      INNOCENT, CASGATE) \
    ROW(DURATION_TIMEOUT,    "request lasted too long",                          504, STAY,      INNOCENT, CASGATE) \
    ROW(SHUTDOWN,            "casgate is stopping",                              503, STAY,      INNOCENT, CASGATE) \
    ROW(BUG,                 "a broken invariant of this session",               500, STAY,      INNOCENT, CASGATE)

enum failure {
#define ROW(name, words, status, retry, blame, side) FAIL_##name,
    FAILURES(ROW)
#undef ROW
    FAIL_COUNT
};

struct failure_row {
    const char *name;          /* as in the access line */
    const char *words;         /* for people */
    unsigned status;           /* or FAILURE_SILENT */
    enum failure_retry retry;  /* ELSEWHERE: another server may be tried, nothing has left yet */
    enum failure_blame blame;  /* COUNTS: a passive sign that the server is down */
    enum failure_side side;    /* who ended it */
};

/* The row of a failure; never NULL. */
const struct failure_row *failure_row(enum failure failure);

#endif
