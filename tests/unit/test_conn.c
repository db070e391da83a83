/*
 * conn: how much of a turn one peer gets, and what it may do with TLS itself. The peer is an OpenSSL client on a
 * thread of its own, at the other end of a socket pair.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/conn.h"
#include "net/loop.h"
#include "tls_pair.h"

TestSuite(conn, .timeout = 30);

enum { BYTES = 300, WAIT_US = 50000 };

/* What the client does after its handshake. */
struct client {
    SSL *ssl;          /* borrowed */
    int key_updates;   /* first; one record each */
    int bytes;         /* then; one record each */
};

/* Our end. */
static struct {
    struct loop *loop;
    struct conn conn;
    struct loop_task task;
    size_t bytes;         /* that have come */
    unsigned turn;        /* in which some came last */
    unsigned of_turn;     /* how many of them came in that one */
    unsigned most;        /* how many came in one turn */
    bool waited;
    ssize_t last;         /* result of the last conn_read */
} ours;

static void *
run_client(void *arg)
{
    struct client *client = arg;

    signal(SIGPIPE, SIG_IGN);
    if (SSL_connect(client->ssl) != 1)
        return NULL;
    for (int i = 0; i < client->key_updates; i++)
        if (SSL_key_update(client->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 ||
            SSL_do_handshake(client->ssl) != 1)
            return NULL;
    for (int i = 0; i < client->bytes; i++)
        if (SSL_write(client->ssl, "x", 1) != 1)
            return NULL;
    return NULL;
}

/* At first it waits, so that all records lie ready: then it is for conn to say how many there are in a turn. */
static void
on_event(void *owner)
{
    char data[BYTES];

    if (ours.conn.state == CONN_OPEN && !ours.waited) {
        ours.waited = true;
        usleep(WAIT_US);
    }
    while ((ours.last = conn_read(&ours.conn, data, sizeof data)) > 0) {
        if (ours.turn != loop_turn(ours.loop))
            ours.of_turn = 0;
        ours.turn = loop_turn(ours.loop);
        ours.bytes += (size_t) ours.last;
        ours.of_turn += (unsigned) ours.last;
        ours.most = ours.of_turn > ours.most ? ours.of_turn : ours.most;
    }
    if (ours.last == CONN_LATER)
        loop_defer(ours.loop, &ours.task);
    if (ours.last == CONN_BROKEN || ours.bytes == BYTES)
        loop_stop(ours.loop);
}

static void
on_task(struct loop_task *task)
{
    on_event(NULL);
}

/* Until all bytes have come, or the connection has ended. */
static void
meet(int key_updates, int bytes)
{
    struct tls_ring *ring = tls_ring_create();
    SSL_CTX *context = stranger(TLS1_3_VERSION, NULL);
    struct client client = { .key_updates = key_updates, .bytes = bytes };
    struct house house;
    struct worker worker;
    pthread_t thread;
    int fds[2];

    memset(&ours, 0, sizeof ours);
    conn_setup();
    house_init(&house, "server");
    worker_init(&worker, ring, &house);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    cr_assert_eq(evutil_make_socket_nonblocking(fds[0]), 0);
    ours.loop = loop_create(NULL);
    ours.task.run = on_task;
    cr_assert(conn_accept(&ours.conn, ours.loop, fds[0], tls_accept(worker.tls), on_event, NULL));
    client.ssl = client_of(context, NULL, NULL);
    SSL_set_fd(client.ssl, fds[1]);
    pthread_create(&thread, NULL, run_client, &client);
    loop_run(ours.loop);
    conn_close(&ours.conn, CONN_END_CLEAN);
    pthread_join(thread, NULL);
    SSL_free(client.ssl);
    close(fds[1]);
    loop_cancel(ours.loop, &ours.task);
    loop_destroy(ours.loop);
    worker_finish(&worker);
    SSL_CTX_free(context);
    house_finish(&house);
    tls_ring_destroy(ring);
}

Test(conn, a_peer_has_a_share_of_each_turn_however_little_its_records_hold)
{
    meet(0, BYTES);
    cr_expect_eq(ours.bytes, BYTES);
    cr_expect_leq(ours.most, 64, "%u records in one turn", ours.most);
}

Test(conn, some_key_updates_are_followed)
{
    meet(20, BYTES);
    cr_expect_eq(ours.bytes, BYTES);
}

Test(conn, a_peer_whose_key_updates_do_not_end_is_left)
{
    meet(200, BYTES);
    cr_expect_eq(ours.last, CONN_BROKEN);
    cr_expect_eq(ours.bytes, 0);
}
