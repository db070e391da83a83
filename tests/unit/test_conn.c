/*
 * conn: how much of a turn one peer gets, what it may do with TLS itself, and what is left of it when its network
 * breaks. The peer is an OpenSSL client on a thread of its own, at the other end of a socket pair.
 */
#include <criterion/criterion.h>
#include <event2/util.h>
#include <openssl/err.h>
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

/* How the client goes. */
enum leave { WITHOUT_A_WORD, WITH_NOTICE, WITH_ALERT };

/* What the client does after its handshake. */
struct visitor {
    SSL *ssl;          /* owned */
    int fd;            /* owned */
    int key_updates;   /* first; one record each */
    int bytes;         /* then; one record each */
    enum leave leave;
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
    ssize_t last;         /* result of the last conn_read */
    bool waited;
} ours;

static void *
run_visitor(void *arg)
{
    struct visitor *visitor = arg;
    char record[100];
    bool goes_on;

    signal(SIGPIPE, SIG_IGN);
    goes_on = SSL_connect(visitor->ssl) == 1;
    for (int i = 0; goes_on && i < visitor->key_updates; i++)
        goes_on = SSL_key_update(visitor->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 &&
            SSL_do_handshake(visitor->ssl) == 1;
    for (int i = 0; goes_on && i < visitor->bytes; i++)
        goes_on = SSL_write(visitor->ssl, "x", 1) == 1;
    if (goes_on && visitor->leave == WITH_ALERT) { /* of OpenSSL, which cannot decrypt what it is given */
        SSL_set0_rbio(visitor->ssl, BIO_new_mem_buf("\x17\x03\x03\0\x20 nobody has encrypted these bytes", 37));
        SSL_read(visitor->ssl, record, sizeof record);
    } else if (goes_on && visitor->leave == WITH_NOTICE)
        SSL_shutdown(visitor->ssl);
    shutdown(visitor->fd, SHUT_WR);
    return NULL;
}

/* At first it waits, so that all records lie ready: then it is for conn to say how many there are in a turn. */
static void
on_event(void *owner)
{
    char data[BYTES];

    ERR_raise(ERR_LIB_USER, ERR_R_INTERNAL_ERROR); /* a neighbour's, who shares the thread's queue */
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
    if (ours.last == CONN_BROKEN || ours.last == CONN_EOF)
        loop_stop(ours.loop);
}

static void
on_task(struct loop_task *task)
{
    on_event(NULL);
}

/* Until the connection has ended. */
static void
meet(struct tls *tls, struct visitor visitor)
{
    pthread_t thread;
    int fds[2];

    memset(&ours, 0, sizeof ours);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    cr_assert_eq(evutil_make_socket_nonblocking(fds[0]), 0);
    ours.loop = loop_create(NULL);
    ours.task.run = on_task;
    cr_assert(conn_accept(&ours.conn, ours.loop, fds[0], tls_accept(tls), on_event, NULL));
    visitor.fd = fds[1];
    SSL_set_fd(visitor.ssl, visitor.fd);
    pthread_create(&thread, NULL, run_visitor, &visitor);
    loop_run(ours.loop);
    conn_close(&ours.conn, CONN_END_CLEAN);
    pthread_join(thread, NULL);
    SSL_set_quiet_shutdown(visitor.ssl, 1); /* or its own OpenSSL would forget the session */
    SSL_shutdown(visitor.ssl);
    SSL_free(visitor.ssl);
    close(visitor.fd);
    loop_cancel(ours.loop, &ours.task);
    loop_destroy(ours.loop);
}

/* --- the world of each test ----------------------------------------------------------------------- */

static struct {
    struct tls_ring *ring;
    struct house house;
    struct worker worker;
    SSL_CTX *context;
} world;

static void
begin(int version)
{
    conn_setup();
    world.ring = tls_ring_create();
    world.context = stranger(version, NULL);
    house_init(&world.house, "server");
    worker_init(&world.worker, world.ring, &world.house);
}

static void
end(void)
{
    worker_finish(&world.worker);
    SSL_CTX_free(world.context);
    house_finish(&world.house);
    tls_ring_destroy(world.ring);
}

static SSL *
newcomer(SSL_SESSION *session)
{
    return client_of(world.context, NULL, session);
}

Test(conn, a_peer_has_a_share_of_each_turn_however_little_its_records_hold)
{
    begin(TLS1_3_VERSION);
    meet(world.worker.tls, (struct visitor) { .ssl = newcomer(NULL), .bytes = BYTES });
    cr_expect_eq(ours.bytes, BYTES);
    cr_expect_leq(ours.most, 64, "%u records in one turn", ours.most);
    end();
}

Test(conn, some_key_updates_are_followed)
{
    begin(TLS1_3_VERSION);
    meet(world.worker.tls,
        (struct visitor) { .ssl = newcomer(NULL), .key_updates = 20, .bytes = BYTES });
    cr_expect_eq(ours.bytes, BYTES);
    end();
}

Test(conn, a_peer_whose_key_updates_do_not_end_is_left)
{
    begin(TLS1_3_VERSION);
    meet(world.worker.tls,
        (struct visitor) { .ssl = newcomer(NULL), .key_updates = 200, .bytes = BYTES });
    cr_expect_eq(ours.last, CONN_BROKEN);
    cr_expect_eq(ours.bytes, 0);
    end();
}

Test(conn, only_a_close_notify_is_an_end)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        begin(version);
        for (enum leave leave = WITHOUT_A_WORD; leave <= WITH_ALERT; leave++) {
            meet(world.worker.tls, (struct visitor) { .ssl = newcomer(NULL), .bytes = BYTES, .leave = leave });
            cr_expect_eq(ours.bytes, BYTES);
            cr_expect_eq(ours.last, leave == WITH_NOTICE ? CONN_EOF : CONN_BROKEN, "version %x, left %d: %zd",
                version, (int) leave, ours.last);
        }
        end();
    }
}

/* Clients without tickets, which the session cache is for. */
Test(conn, a_session_is_kept_when_its_clients_network_breaks)
{
    SSL *first, *second;
    SSL_SESSION *session;

    begin(TLS1_2_VERSION);
    SSL_CTX_set_options(world.context, SSL_OP_NO_TICKET);
    first = newcomer(NULL);
    SSL_up_ref(first);
    meet(world.worker.tls, (struct visitor) { .ssl = first, .bytes = 1 });
    cr_expect_eq(ours.last, CONN_BROKEN, "a missing close_notify is a fault");
    session = SSL_get1_session(first);
    cr_assert(session);
    SSL_free(first);
    second = newcomer(session);
    SSL_up_ref(second);
    meet(world.worker.tls, (struct visitor) { .ssl = second, .bytes = 1 });
    cr_expect_eq(ours.bytes, 1);
    cr_expect(SSL_session_reused(second), "the session was forgotten");
    SSL_free(second);
    SSL_SESSION_free(session);
    end();
}
