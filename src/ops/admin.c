/*
 * admin: the private listener's connections. One request each, then the connection ends: nothing here needs to
 * be fast, everything must be bounded, since the control thread must never wait for anybody.
 *
 *   accept ─> READING ─> gate ─> routes_serve ─> ANSWERED ─> the client closes, or ten seconds are over
 *                │                   └─> WAITING for workers ──┘
 *                └─ more than 16 KiB, too slow, malformed: refused
 *
 * The gate stands between a browser and the orders. A page of some other site may make the administrator's
 * browser send requests here, and may give its own name our address (DNS rebinding) so as to read answers:
 *
 *   Host             must be loopback or the configured address, never a name
 *   Origin           if there, our own
 *   Sec-Fetch-Site   if there, same-origin or none; only a link may lead to the page from elsewhere
 *   Authorization    orders over TCP: Bearer and the token
 *
 * A Unix socket has no browsers; its mode is its gate.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin_parts.h"
#include "base/reaper.h"
#include "http/parser.h"
#include "net/conn.h"
#include "net/listener.h"
#include "net/loop.h"

enum {
    CONNECTIONS_MAX = 32,
    HEAD_MAX = 16 * 1024,
    PATIENCE_MS = 10000, /* from accept to the end of the head; from the answer to the client's end */
    TOKEN_MAX = 512
};

enum exchange_state { EXCHANGE_READING, EXCHANGE_WAITING, EXCHANGE_ANSWERED, EXCHANGE_GONE };

struct exchange {
    struct exchange *next;        /* in the admin's list */
    struct admin *admin;          /* borrowed */
    struct ask *ask;              /* borrowed; while WAITING */
    struct conn conn;
    struct buffer head;           /* what has come of the request */
    struct head_scan scan;        /* progress through it */
    struct loop_timer timer;      /* patience */
    struct reaper_node grave;     /* when GONE */
    struct exchange_request request;
    enum exchange_state state;
    bool to_head;                 /* answers HEAD: no body */
};

struct admin {
    const struct admin_world *world; /* borrowed */
    struct history *history;      /* owned */
    struct listener *listener;    /* owned; NULL: not listening */
    struct exchange *exchanges;   /* owned */
    unsigned count;               /* of them */
    struct addr addr;             /* where it listens; len 0: nowhere */
    struct addr wanted;           /* as configured, where the port may be 0 */
    int fd;                       /* owned while listening */
    struct head parsed;           /* the head being looked at */
    char token[TOKEN_MAX];        /* "": none is configured */
};

static bool
is_unix(const struct admin *admin)
{
    return admin->addr.u.sa.sa_family == AF_UNIX;
}

/* --- the end of an exchange ----------------------------------------------------------------------- */

static void
exchange_destroy(void *subject)
{
    free(subject);
}

static void
exchange_end(struct exchange *exchange)
{
    struct admin *admin = exchange->admin;
    struct exchange **link = &admin->exchanges;

    if (exchange->state == EXCHANGE_GONE)
        return;
    exchange->state = EXCHANGE_GONE;
    if (exchange->ask)
        ask_abandon(exchange->ask);
    while (*link != exchange)
        link = &(*link)->next;
    *link = exchange->next;
    admin->count--;
    loop_timer_stop(admin->world->loop, &exchange->timer);
    conn_close(&exchange->conn, CONN_END_CLEAN);
    buffer_clear(&exchange->head);
    reaper_add(loop_reaper(admin->world->loop), &exchange->grave, exchange_destroy, exchange);
}

static void
on_timer(struct loop_timer *timer)
{
    exchange_end((struct exchange *) (void *) ((char *) timer - offsetof(struct exchange, timer)));
}

/* --- answers -------------------------------------------------------------------------------------- */

static const char *
status_words(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 413:
        return "Content Too Large";
    case 503:
        return "Service Unavailable";
    default:
        return status < 500 ? "Bad Request" : "Internal Server Error";
    }
}

/* Policy: what the answer may load, run and be framed by; nothing by default. */
static void
answer(struct exchange *exchange, unsigned status, const char *type, const char *policy,
    struct slice body)
{
    char head[1024];
    int size = snprintf(head, sizeof head,
        "HTTP/1.1 %u %s\r\n"
        "Content-Type: %s\r\n"
        "Content-Length: %zu\r\n"
        "Cache-Control: no-store\r\n"
        "Content-Security-Policy: default-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'%s\r\n"
        "Cross-Origin-Resource-Policy: same-origin\r\n"
        "Referrer-Policy: no-referrer\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "%s%s"
        "Connection: close\r\n\r\n",
        status, status_words(status), type, body.len, policy,
        status == 401 ? "WWW-Authenticate: Bearer\r\n" : "",
        status == 405 ? "Allow: GET, HEAD, POST\r\n" : "");
    struct iovec pieces[] = { { head, (size_t) size },
        { (void *) (uintptr_t) body.data, body.len } };

    exchange->state = EXCHANGE_ANSWERED;
    exchange->ask = NULL;
    conn_write(&exchange->conn, pieces, exchange->to_head || !body.len ? 1 : 2);
    conn_shutdown(&exchange->conn);
    loop_timer_set(exchange->admin->world->loop, &exchange->timer, PATIENCE_MS);
}

void
exchange_answer(struct exchange *exchange, unsigned status, const char *type, const char *body,
    size_t len)
{
    answer(exchange, status, type, "", (struct slice) { body, len });
}

void
exchange_page(struct exchange *exchange, const char *body, size_t len, const char *nonce)
{
    char policy[256];

    snprintf(policy, sizeof policy,
        "; style-src 'nonce-%s'; script-src 'nonce-%s'; connect-src 'self'; img-src data:", nonce,
        nonce);
    answer(exchange, 200, "text/html; charset=utf-8", policy, (struct slice) { body, len });
}

void
exchange_json(struct exchange *exchange, unsigned status, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;

    json_decref(json);
    if (text)
        exchange_answer(exchange, status, "application/json", text, strlen(text));
    else
        exchange_answer(exchange, 503, "application/json", "{}", 2);
    free(text);
}

void
exchange_error(struct exchange *exchange, unsigned status, const char *sentence)
{
    exchange_json(exchange, status, json_pack("{s:s}", "error", sentence));
}

void
exchange_wait(struct exchange *exchange, struct ask *ask)
{
    exchange->state = EXCHANGE_WAITING;
    exchange->ask = ask;
}

const struct exchange_request *
exchange_request(const struct exchange *exchange)
{
    return &exchange->request;
}

/* --- the gate ------------------------------------------------------------------------------------- */

static struct slice
header(const struct head *head, struct slice name)
{
    for (unsigned f = 0; f < head->count; f++)
        if (slice_equals_nocase(head->fields[f].name, name))
            return head->fields[f].value;
    return (struct slice) { NULL, 0 };
}

/* Host without its port, brackets and all. */
static struct slice
host_name(struct slice host)
{
    const char *end = host.len ? memchr(host.data, host.data[0] == '[' ? ']' : ':', host.len) : NULL;

    if (end)
        host.len = (size_t) (end - host.data) + (*end == ']');
    return host;
}

/* A name would be anybody's to point here; localhost is not. */
static bool
is_our_host(const struct admin *admin, struct slice host)
{
    char text[ADDR_TEXT_MAX], ours[ADDR_TEXT_MAX];
    struct slice name = host_name(host);
    struct addr addr;

    if (slice_equals_nocase(name, SLICE("localhost")))
        return true;
    if (!name.len || name.len >= sizeof text)
        return false;
    if (name.data[0] == '[' && name.len < 3)
        return false;
    if (name.data[0] == '[') {
        name.data++;
        name.len -= 2;
    }
    snprintf(text, sizeof text, "%.*s", (int) name.len, name.data);
    if (!addr_parse(text, 0, &addr))
        return false;
    return strncmp(addr_format_host(&addr, text), "127.", 4) == 0 || strcmp(text, "::1") == 0 ||
        strcmp(text, addr_format_host(&admin->addr, ours)) == 0;
}

static bool
is_our_origin(struct slice origin, struct slice host)
{
    struct slice scheme = SLICE("http://");

    if (!origin.len)
        return true;
    if (!slice_starts_nocase(origin, scheme))
        return false;
    origin.data += scheme.len;
    origin.len -= scheme.len;
    return slice_equals_nocase(origin, host);
}

/* Why a request is refused, or NULL. */
static const char *
cross_site(const struct admin *admin, const struct head *head)
{
    struct slice site = header(head, SLICE("Sec-Fetch-Site"));
    struct slice mode = header(head, SLICE("Sec-Fetch-Mode"));
    bool is_link = slice_equals(mode, SLICE("navigate")) && slice_equals(head->method, SLICE("GET"));

    if (is_unix(admin))
        return NULL;
    if (!is_our_host(admin, head->host))
        return "the Host of this request is not an address of this listener; use its address";
    if (!is_our_origin(header(head, SLICE("Origin")), head->host))
        return "requests of other sites are refused";
    if (site.len && !slice_equals(site, SLICE("same-origin")) &&
        !slice_equals(site, SLICE("none")) && !is_link)
        return "requests of other sites are refused";
    return NULL;
}

/* Compares all bytes whatever the first ones say. */
static bool
is_token(const char *token, struct slice shown)
{
    size_t len = strlen(token);
    unsigned char differs = len != shown.len;

    for (size_t i = 0; i < shown.len; i++)
        differs |= (unsigned char) (shown.data[i] ^ token[len ? i % len : 0]);
    return !differs;
}

/* Why it may not give orders, or NULL. */
static const char *
order_refusal(const struct admin *admin, const struct head *head)
{
    struct slice shown = header(head, SLICE("Authorization"));
    struct slice bearer = SLICE("Bearer ");

    if (is_unix(admin))
        return NULL;
    if (!admin->token[0])
        return "orders over TCP need a token: set admin.token-file, or listen on unix:/path";
    if (!slice_starts_nocase(shown, bearer))
        return "orders need 'Authorization: Bearer' and the first line of admin.token-file";
    shown.data += bearer.len;
    shown.len -= bearer.len;
    return is_token(admin->token, shown) ? NULL : "this is not the token of admin.token-file";
}

/* --- requests ------------------------------------------------------------------------------------- */

static bool
copy(char *to, size_t size, struct slice from)
{
    if (from.len >= size || memchr(from.data, '\0', from.len))
        return false;
    memcpy(to, from.data, from.len);
    to[from.len] = '\0';
    return true;
}

static bool
note_request(struct exchange *exchange, const struct head *head)
{
    struct exchange_request *request = &exchange->request;
    struct slice path = head->target, query = { "", 0 };
    const char *mark = path.len ? memchr(path.data, '?', path.len) : NULL;

    if (mark) {
        query = (struct slice) { mark + 1, path.len - (size_t) (mark + 1 - path.data) };
        path.len = (size_t) (mark - path.data);
    }
    request->world = exchange->admin->world;
    request->history = exchange->admin->history;
    request->refusal = order_refusal(exchange->admin, head);
    return copy(request->method, sizeof request->method, head->method) &&
        copy(request->path, sizeof request->path, path) &&
        copy(request->query, sizeof request->query, query);
}

static void
serve(struct exchange *exchange, size_t size)
{
    struct admin *admin = exchange->admin;
    struct head_limits limits = { HEAD_MAX, HEAD_MAX, ADMIN_PATH * 2, 100 };
    struct head *head = &admin->parsed;
    const char *refusal;

    if (parse_request(buffer_bytes(&exchange->head).data, size, &limits, head) != FAIL_NONE) {
        exchange_error(exchange, 400, "this is not a request that can be understood");
        return;
    }
    exchange->to_head = slice_equals(head->method, SLICE("HEAD"));
    refusal = cross_site(admin, head);
    if (refusal)
        exchange_error(exchange, 403, refusal);
    else if (head->body != BODY_NONE && !(head->body == BODY_LENGTH && head->length == 0))
        exchange_error(exchange, 413, "no request here has a body");
    else if (!note_request(exchange, head))
        exchange_error(exchange, 400, "this target is too long");
    else
        routes_serve(exchange);
}

static void
on_bytes(struct exchange *exchange, const char *data, size_t len)
{
    struct head_limits limits = { HEAD_MAX, HEAD_MAX, ADMIN_PATH * 2, 100 };
    enum head_scan_result result;
    enum failure failure;
    size_t size = 0;

    if (exchange->state != EXCHANGE_READING)
        return; /* nothing more is wanted */
    if (!buffer_append(&exchange->head, data, len)) {
        exchange_end(exchange);
        return;
    }
    result = head_scan(&exchange->scan, &limits, buffer_bytes(&exchange->head).data,
        buffer_len(&exchange->head), &size, &failure);
    if (result == HEAD_WHOLE)
        serve(exchange, size);
    else if (result == HEAD_REFUSED)
        exchange_error(exchange, 400, "this is not a request that can be understood");
}

static void
on_event(void *owner)
{
    struct exchange *exchange = owner;
    char data[4096];

    while (exchange->state != EXCHANGE_GONE && conn_can_read(&exchange->conn)) {
        ssize_t n = conn_read(&exchange->conn, data, sizeof data);

        if (n == CONN_WAIT)
            return;
        if (n > 0)
            on_bytes(exchange, data, (size_t) n);
        else if (n == CONN_BROKEN || exchange->state != EXCHANGE_WAITING)
            exchange_end(exchange);
        else
            return; /* a half-closed client still wants its answer */
    }
}

static void
on_accept(void *owner, void *tag, int fd, const struct addr *peer)
{
    struct admin *admin = owner;
    struct exchange *exchange =
        admin->count < CONNECTIONS_MAX ? calloc(1, sizeof *exchange) : NULL;

    if (!exchange ||
        !conn_accept(&exchange->conn, admin->world->loop, fd, NULL, on_event, exchange)) {
        close(fd);
        free(exchange);
        return;
    }
    exchange->admin = admin;
    exchange->timer.fire = on_timer;
    exchange->next = admin->exchanges;
    admin->exchanges = exchange;
    admin->count++;
    loop_timer_set(admin->world->loop, &exchange->timer, PATIENCE_MS);
}

/* --- listening ------------------------------------------------------------------------------------ */

static void
on_wait(void *owner, int error)
{
}

static void
admin_close(struct admin *admin)
{
    if (!admin->listener)
        return;
    listener_stop(admin->listener);
    close(admin->fd);
    if (is_unix(admin))
        unlink(admin->addr.u.un.sun_path);
    admin->listener = NULL;
    admin->addr.len = admin->wanted.len = 0;
}

static bool
read_token(const char *path, char token[static TOKEN_MAX], char *error, size_t error_size)
{
    FILE *file = fopen(path, "re");
    size_t len = 0;

    if (file && fgets(token, TOKEN_MAX, file))
        len = strcspn(token, "\r\n");
    token[len] = '\0';
    if (file)
        fclose(file);
    if (len < 16)
        snprintf(error, error_size, "%s: the first line must hold a token of 16 characters or more",
            path);
    return len >= 16;
}

static bool
is_same(const struct addr *a, const struct addr *b)
{
    return a->len == b->len &&
        (a->len == 0 ||
            (a->u.sa.sa_family == AF_UNIX ? a->u.sa.sa_family == b->u.sa.sa_family &&
                        strcmp(a->u.un.sun_path, b->u.un.sun_path) == 0
                                          : addr_equals(a, b)));
}

static bool
admin_listen(struct admin *admin, const struct addr *wanted, char *error, size_t error_size)
{
    struct addr addr = *wanted;
    struct listener *listener;
    int fd = admin_socket_open(&addr, error, error_size);

    if (fd < 0)
        return false;
    listener = listener_start(admin->world->loop, fd, on_accept, on_wait, admin, NULL);
    if (!listener) {
        snprintf(error, error_size, "no memory for the admin listener");
        close(fd);
        return false;
    }
    admin_close(admin);
    admin->listener = listener;
    admin->fd = fd;
    admin->addr = addr;
    admin->wanted = *wanted;
    return true;
}

bool
admin_open(struct admin *admin, const struct config *config, char *error, size_t error_size)
{
    char token[TOKEN_MAX] = "";

    if (config->admin_token_file && !read_token(config->admin_token_file, token, error, error_size))
        return false;
    if (config->admin.len == 0)
        admin_close(admin);
    else if (!is_same(&config->admin, &admin->wanted) &&
        !admin_listen(admin, &config->admin, error, error_size))
        return false;
    memcpy(admin->token, token, sizeof token);
    return true;
}

void
admin_print(const struct admin *admin, FILE *out)
{
    char text[ADDR_TEXT_MAX];

    if (admin->listener)
        fprintf(out, "admin %s\n", addr_format(&admin->addr, text));
}

struct admin *
admin_create(const struct admin_world *world)
{
    struct admin *admin = calloc(1, sizeof *admin);

    if (!admin)
        return NULL;
    admin->world = world;
    admin->history = history_create(world);
    if (admin->history)
        return admin;
    free(admin);
    return NULL;
}

void
admin_destroy(struct admin *admin)
{
    if (!admin)
        return;
    while (admin->exchanges)
        exchange_end(admin->exchanges);
    admin_close(admin);
    history_destroy(admin->history);
    free(admin);
}
