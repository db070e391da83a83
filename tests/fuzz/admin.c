/*
 * admin: one byte of circumstances (u: the Unix socket; anything else: TCP), then any bytes as what a client
 * sends to the private listener, over a real socket, to two real listeners on one loop.
 *
 *     bytes ──socket──> admin ──> gate ──> routes ──> answer ──socket──> read until the end
 *
 * Must hold: an end, and before it at most one answer; its length is what it says, JSON is JSON; an order is obeyed
 * only where the token was shown, or on the Unix socket; over TCP nothing is told to somebody who names another host.
 */
#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "config/config.h"
#include "farm/server.h"
#include "fuzz.h"
#include "net/loop.h"
#include "ops/admin.h"
#include "ops/drain.h"
#include "scratch.h"

#define TOKEN "0123456789abcdef"

enum { ANSWER_MAX = 1 << 20, PATIENCE_MS = 8000, DOORS = 2 };

/* One listener and the world that it tells about. */
struct door {
    struct admin_world world;
    struct admin *admin;
    struct addr addr;
    bool is_unix;
};

static struct loop *loop;
static struct door doors[DOORS];
static struct {
    struct loop_watch *watch;
    struct loop_timer patience;
    int fd;
    size_t len;
    bool ended;
} client;
static char answer[ANSWER_MAX + 1];

/* --- two listeners --------------------------------------------------------------------------------- */

static struct config *
load_config(const char *listen)
{
    char yaml[1024];
    unsigned complaints = 0;
    struct config *config;
    int len = snprintf(yaml, sizeof yaml,
        "listen: 127.0.0.1:0\n"
        "certificate: {chain: a.pem, key: a.key}\n"
        "admin: {listen: \"%s\", token-file: token}\n"
        "farm: {preset: exchange-2013, bridge: {verify: same-certificate},\n"
        "  servers: [{name: cas1, address: 192.0.2.1}, {name: cas2, address: 192.0.2.2}]}\n",
        listen);

    scratch_write("token", TOKEN "\n", sizeof TOKEN);
    scratch_write("input", yaml, (size_t) len);
    config = config_load(scratch_path("input"), stderr, &complaints);
    FUZZ_REQUIRE(config, "the configuration loads");
    return config;
}

/* The port that a TCP listener got is only printed. */
static void
find_port(struct door *door)
{
    char *line = NULL, *colon;
    size_t size;
    FILE *out = open_memstream(&line, &size);

    admin_print(door->admin, out);
    fclose(out);
    colon = strrchr(line, ':');
    FUZZ_REQUIRE(colon && addr_parse("127.0.0.1", (uint16_t) atoi(colon + 1), &door->addr), "it has a port");
    free(line);
}

static void
open_door(struct door *door, const char *listen, struct server_board *board)
{
    struct config *config = load_config(listen);
    char error[256];

    door->is_unix = listen[0] == 'u';
    door->world = (struct admin_world) { .loop = loop, .config = config, .board = board,
        .drains = drains_create(loop, NULL, 0), .reloaded = true };
    door->admin = admin_create(&door->world);
    FUZZ_REQUIRE(door->world.drains && door->admin, "memory");
    FUZZ_REQUIRE(admin_open(door->admin, config, error, sizeof error), error);
    door->addr = config->admin;
    if (!door->is_unix)
        find_port(door);
}

/* The board knows a server while somebody holds it. */
static struct server *
hold_server(struct server_board *board, size_t index)
{
    struct server *server = server_board_get(board, doors[0].world.config->farms[0].name,
        &doors[0].world.config->farms[0].servers[index]);

    FUZZ_REQUIRE(server, "memory");
    return server;
}

static struct server *servers[2];

static void
begin(void)
{
    static const struct log_target off = { .path = "off" };
    struct server_board *board = server_board_create();
    char error[256], path[128];

    FUZZ_REQUIRE(log_open(&off, &off, LOG_LEVEL_ERROR, error, sizeof error), error);
    loop = loop_create(NULL);
    FUZZ_REQUIRE(loop && board, "memory");
    open_door(&doors[0], "127.0.0.1:0", board);
    snprintf(path, sizeof path, "unix:%s", scratch_path("door"));
    open_door(&doors[1], path, board);
    for (size_t s = 0; s < 2; s++)
        servers[s] = hold_server(board, s);
}

/* --- one client ------------------------------------------------------------------------------------ */

static void
on_answer(void *owner)
{
    ssize_t n;

    do {
        n = recv(client.fd, answer + client.len, ANSWER_MAX - client.len, MSG_DONTWAIT);
        if (n > 0)
            client.len += (size_t) n;
        FUZZ_REQUIRE(client.len < ANSWER_MAX, "an answer is bounded");
    } while (n > 0);
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        client.ended = true;
        loop_stop(loop);
    }
}

static void
on_silence(struct loop_timer *timer)
{
    FUZZ_REQUIRE(false, "a client is not left in silence");
}

/* Ends in TIME_WAIT are many in ten minutes: each client has another address, so that ports do not run out. */
static bool
connect_from_somewhere(int fd, const struct door *door)
{
    static uint32_t client_number;
    struct sockaddr_in from = { .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(0x7f010000 + client_number++ % 0x10000) };
    int on = 1;

    if (!door->is_unix)
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (!door->is_unix && bind(fd, (struct sockaddr *) &from, sizeof from) != 0)
        return false;
    while (connect(fd, &door->addr.u.sa, door->addr.len) != 0)
        if (errno != EINTR) { /* a fuzzer has an alarm clock */
            perror("connect");
            return false;
        }
    return true;
}

static void
ask(struct door *door, const char *data, size_t len)
{
    struct linger reset = { .l_onoff = 1 };

    memset(&client, 0, sizeof client);
    client.fd = socket(door->addr.u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    FUZZ_REQUIRE(client.fd >= 0 && connect_from_somewhere(client.fd, door), "it listens");
    setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    FUZZ_REQUIRE(send(client.fd, data, len, MSG_NOSIGNAL) == (ssize_t) len, "a request fits into the socket");
    shutdown(client.fd, SHUT_WR);
    client.watch = loop_watch_start(loop, client.fd, on_answer, NULL);
    client.patience.fire = on_silence;
    FUZZ_REQUIRE(client.watch, "memory");
    loop_timer_set(loop, &client.patience, PATIENCE_MS);
    loop_run(loop);
    loop_timer_stop(loop, &client.patience);
    loop_watch_stop(client.watch);
    close(client.fd);
    answer[client.len] = '\0';
}

/* --- what must hold -------------------------------------------------------------------------------- */

static bool
contains(const char *data, size_t len, const char *text)
{
    return memmem(data, len, text, strlen(text)) != NULL;
}

/* Is there anything in it that could be an address of ours? */
static bool
names_us(const char *data, size_t len)
{
    for (size_t i = 0; i + 9 <= len; i++)
        if (strncasecmp(data + i, "localhost", 9) == 0)
            return true;
    return contains(data, len, "127.") || contains(data, len, ":1");
}

/* Empty lines may stand before a request. */
static bool
is_head(const char *data, size_t len)
{
    while (len && (*data == '\r' || *data == '\n')) {
        data++;
        len--;
    }
    return len > 5 && memcmp(data, "HEAD ", 5) == 0;
}

/* A method that could not be read is no HEAD. */
static void
check_answer(bool to_head)
{
    char *end = strstr(answer, "\r\n\r\n"), *length = strstr(answer, "\r\nContent-Length: ");
    size_t body;

    if (!client.len)
        return;
    FUZZ_REQUIRE(strncmp(answer, "HTTP/1.1 ", 9) == 0 && end && length && length < end, "an answer has a head");
    body = client.len - (size_t) (end + 4 - answer);
    to_head = to_head && strncmp(answer + 9, "400", 3) != 0;
    FUZZ_REQUIRE(body == (to_head ? 0 : strtoul(length + 18, NULL, 10)), "the length is true");
    if (body && contains(answer, (size_t) (end - answer), "application/json")) {
        json_t *json = json_loadb(end + 4, body, 0, NULL);

        FUZZ_REQUIRE(json, "JSON is JSON");
        json_decref(json);
    }
}

/* Takes back what was ordered. True: something was. */
static bool
was_ordered(void)
{
    bool ordered = false;

    for (size_t s = 0; s < 2; s++) {
        for (unsigned p = 0; p < PROTOCOL_COUNT; p++)
            ordered = ordered || orders_of(server_word(servers[s], (enum protocol) p)) != ORDERS_READY;
        for (size_t d = 0; d < DOORS; d++)
            drains_order(doors[d].world.drains, servers[s], PROTOCOL_NONE, ORDERS_READY, 0);
    }
    return ordered;
}

int
fuzz_admin(const uint8_t *bytes, size_t size)
{
    const struct door *door;
    const char *data;
    bool ordered;

    if (!loop)
        begin();
    if (size == 0)
        return 0;
    data = (const char *) bytes + 1;
    door = &doors[bytes[0] == 'u'];
    size--;
    ask(&doors[bytes[0] == 'u'], data, size);
    check_answer(is_head(data, size));
    ordered = was_ordered();
    FUZZ_REQUIRE(!ordered || strncmp(answer, "HTTP/1.1 200", 12) == 0, "an order that is obeyed is said to be");
    if (door->is_unix)
        return 0;
    FUZZ_REQUIRE(!ordered || contains(data, size, TOKEN), "no order without the token");
    FUZZ_REQUIRE(strncmp(answer, "HTTP/1.1 200", 12) != 0 || names_us(data, size), "nothing is told to another host");
    return 0;
}
