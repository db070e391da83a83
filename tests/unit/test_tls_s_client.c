/*
 * tls, s_client: what a real `openssl s_client` makes of it, over real sockets.
 */
#include <criterion/criterion.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tls_pair.h"

/* A loopback listener that serves a number of connections: handshake, one line, close_notify. */
struct stall {
    struct tls_ring *ring; /* owned */
    struct house house;
    struct worker worker;
    int fd;       /* listening */
    int visitors; /* how many to serve */
};

static void *
serve(void *arg)
{
    struct stall *stall = arg;

    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < stall->visitors; i++) {
        struct pollfd ready = { .fd = stall->fd, .events = POLLIN };
        int fd = poll(&ready, 1, 20000) == 1 ? accept(stall->fd, NULL, NULL) : -1;
        SSL *ssl = tls_accept(stall->worker.tls);
        struct timeval patience = { .tv_sec = 20 };
        char bytes[256];

        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        SSL_set_fd(ssl, fd);
        if (SSL_do_handshake(ssl) == 1 && SSL_write(ssl, "served\n", 7) == 7) {
            SSL_shutdown(ssl);
            SSL_read(ssl, bytes, sizeof bytes); /* until the client has gone */
        }
        SSL_free(ssl);
        close(fd);
    }
    return NULL;
}

static void
stall_open(struct stall *stall, int visitors)
{
    stall->visitors = visitors;
    stall->ring = tls_ring_create();
    house_init(&stall->house, "server");
    worker_init(&stall->worker, stall->ring, &stall->house);
}

static void
stall_close(struct stall *stall)
{
    worker_finish(&stall->worker);
    house_finish(&stall->house);
    tls_ring_destroy(stall->ring);
}

/* Runs s_client against a listener of our own; returns its output, valid until the next call. */
static const char *
s_client(struct stall *stall, const char *options)
{
    static char output[1 << 16];
    struct sockaddr_in address = { .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof address;
    char command[1024];
    pthread_t thread;
    size_t got;
    FILE *pipe;

    stall->fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(stall->fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(stall->fd, 8), 0);
    getsockname(stall->fd, (struct sockaddr *)&address, &len);
    pthread_create(&thread, NULL, serve, stall);
    snprintf(command, sizeof command,
        "timeout 20 openssl s_client -connect 127.0.0.1:%u -CAfile " LAB "ca.pem %s "
        "</dev/null 2>&1",
        ntohs(address.sin_port), options);
    pipe = popen(command, "r");
    cr_assert_not_null(pipe);
    got = fread(output, 1, sizeof output - 1, pipe);
    output[got] = '\0';
    pclose(pipe);
    pthread_join(thread, NULL);
    close(stall->fd);
    return output;
}

Test(tls, a_real_s_client_verifies_the_chain_and_gets_http11)
{
    struct stall stall;
    const char *output;

    stall_open(&stall, 1);
    output = s_client(&stall, "-servername mail.contoso.test -alpn h2,http/1.1 "
                              "-verify_hostname mail.contoso.test -ign_eof");
    cr_assert(strstr(output, "Verify return code: 0 (ok)"), "%s", output);
    cr_assert(strstr(output, "ALPN protocol: http/1.1"), "%s", output);
    cr_assert(strstr(output, "TLSv1.3, Cipher is TLS_AES_"), "%s", output);
    stall_close(&stall);
}

Test(tls, a_real_s_client_resumes_with_and_without_tickets)
{
    static const char *const options[] = { "-tls1_2 -reconnect", "-tls1_2 -no_ticket -reconnect" };
    struct stall stall;

    stall_open(&stall, 6);
    for (size_t i = 0; i < 2; i++) {
        const char *output = s_client(&stall, options[i]);
        int reused = 0;

        for (const char *at = output; (at = strstr(at, "Reused, TLSv1.2")) != NULL; at++)
            reused++;
        cr_assert_eq(reused, 5, "%s: %d\n%s", options[i], reused, output);
    }
    stall_close(&stall);
}

Test(tls, a_real_s_client_with_an_old_version_is_refused)
{
    struct stall stall;
    const char *output;

    stall_open(&stall, 1);
    output = s_client(&stall, "-tls1_1 -cipher ALL:@SECLEVEL=0");
    cr_assert(strstr(output, "alert protocol version"), "%s", output);
    stall_close(&stall);
}
