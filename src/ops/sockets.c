/*
 * sockets: a list of addresses, each with one socket per worker slot. An address is known by how the
 * configuration writes it, so that port 0 stays the port that the kernel chose at first.
 */
#include "ops/sockets.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "net/listener.h"
#include "ops/worker.h"

struct socket_set {
    struct socket_set *next;
    struct config_listen wanted; /* as configured */
    struct addr actual;          /* with the port that was bound */
    int *fds;                    /* owned array; the sockets are owned until handed to the workers */
    bool committed;              /* the workers have them */
};

struct sockets {
    struct socket_set *sets; /* owned */
    size_t slots;
};

struct sockets *
sockets_create(size_t slots)
{
    struct sockets *sockets = calloc(1, sizeof *sockets);

    if (sockets)
        sockets->slots = slots;
    return sockets;
}

static void
set_destroy(struct socket_set *set, size_t slots)
{
    for (size_t s = 0; s < slots && !set->committed; s++)
        close(set->fds[s]);
    free(set->fds);
    free(set);
}

void
sockets_destroy(struct sockets *sockets)
{
    if (!sockets)
        return;
    while (sockets->sets) {
        struct socket_set *set = sockets->sets;

        sockets->sets = set->next;
        set_destroy(set, sockets->slots);
    }
    free(sockets);
}

static bool
same_listen(const struct config_listen *a, const struct config_listen *b)
{
    return a->kind == b->kind && addr_equals(&a->addr, &b->addr);
}

static bool
is_open(const struct sockets *sockets, const struct config_listen *listen)
{
    for (const struct socket_set *set = sockets->sets; set; set = set->next)
        if (same_listen(&set->wanted, listen))
            return true;
    return false;
}

static bool
set_open(struct sockets *sockets, const struct config_listen *listen, char *error, size_t error_size)
{
    struct socket_set *set = calloc(1, sizeof *set);

    if (set)
        set->fds = calloc(sockets->slots, sizeof *set->fds);
    if (!set || !set->fds) {
        snprintf(error, error_size, "no memory for listening sockets");
        free(set);
        return false;
    }
    set->wanted = *listen;
    set->actual = listen->addr;
    if (!listener_open(&set->actual, sockets->slots, set->fds, error, error_size)) {
        free(set->fds);
        free(set);
        return false;
    }
    set->next = sockets->sets;
    sockets->sets = set;
    return true;
}

bool
sockets_prepare(struct sockets *sockets, const struct config *config, char *error,
    size_t error_size)
{
    for (size_t l = 0; l < config->listen_count; l++)
        if (!is_open(sockets, &config->listens[l]) &&
            !set_open(sockets, &config->listens[l], error, error_size)) {
            sockets_abandon(sockets);
            return false;
        }
    return true;
}

void
sockets_abandon(struct sockets *sockets)
{
    struct socket_set **link = &sockets->sets;

    while (*link) {
        struct socket_set *set = *link;

        if (set->committed) {
            link = &set->next;
            continue;
        }
        *link = set->next;
        set_destroy(set, sockets->slots);
    }
}

static bool
is_wanted(const struct config *config, const struct config_listen *listen)
{
    for (size_t l = 0; l < config->listen_count; l++)
        if (same_listen(&config->listens[l], listen))
            return true;
    return false;
}

static const char *
kind_word(enum config_listen_kind kind)
{
    return kind == CONFIG_LISTEN_TLS ? "tls" : "redirect";
}

void
sockets_commit(struct sockets *sockets, const struct config *config, struct worker **workers)
{
    struct socket_set **link = &sockets->sets;
    char text[ADDR_TEXT_MAX];

    while (*link) {
        struct socket_set *set = *link;
        bool wanted = is_wanted(config, &set->wanted);

        if (wanted && !set->committed)
            log_fact(LOG_LEVEL_NOTICE, "listener", "listening on %s (%s)",
                addr_format(&set->actual, text), kind_word(set->wanted.kind));
        for (size_t s = 0; s < sockets->slots; s++) {
            if (wanted && !set->committed)
                worker_listen(workers[s], set->fds[s], set->wanted.kind);
            else if (!wanted)
                worker_unlisten(workers[s], set->fds[s]);
        }
        set->committed = true;
        if (wanted) {
            link = &set->next;
            continue;
        }
        log_fact(LOG_LEVEL_NOTICE, "listener", "no longer listening on %s",
            addr_format(&set->actual, text));
        *link = set->next;
        set_destroy(set, sockets->slots);
    }
}

void
sockets_print(const struct sockets *sockets, FILE *out)
{
    char text[ADDR_TEXT_MAX];

    for (const struct socket_set *set = sockets->sets; set; set = set->next)
        fprintf(out, "%s %s\n", kind_word(set->wanted.kind), addr_format(&set->actual, text));
}
