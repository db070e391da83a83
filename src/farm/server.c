/*
 * server: a list of counted servers. The board looks one up by key when a configuration is prepared; a
 * server that no configuration and no lease refers to any more is forgotten at the next look-up, so that a
 * server taken out and put back during a drain is still the same one.
 */
#include "farm/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct board_entry {
    struct board_entry *next;
    struct server *server; /* counted */
};

struct server_board {
    struct board_entry *entries; /* owned */
};

struct server_board *
server_board_create(void)
{
    return calloc(1, sizeof(struct server_board));
}

static void
board_forget(struct board_entry **link)
{
    struct board_entry *entry = *link;

    *link = entry->next;
    server_unref(entry->server);
    free(entry);
}

void
server_board_destroy(struct server_board *board)
{
    if (!board)
        return;
    while (board->entries)
        board_forget(&board->entries);
    free(board);
}

static struct server *
server_create(const char *key, const char *name)
{
    struct server *server = calloc(1, sizeof *server);

    if (!server)
        return NULL;
    atomic_init(&server->refs, 1);
    server->key = strdup(key);
    server->name = strdup(name);
    if (server->key && server->name)
        return server;
    server_unref(server);
    return NULL;
}

struct server *
server_board_get(struct server_board *board, const char *farm, const struct config_server *config)
{
    struct board_entry **link = &board->entries;
    struct board_entry *entry;
    char key[1024];

    snprintf(key, sizeof key, "%s/%s/%s", farm, config->name, config->address);
    while ((entry = *link)) {
        if (strcmp(entry->server->key, key) == 0)
            return server_ref(entry->server);
        if (atomic_load(&entry->server->refs) == 1)
            board_forget(link);
        else
            link = &entry->next;
    }
    entry = calloc(1, sizeof *entry);
    if (entry)
        entry->server = server_create(key, config->name);
    if (!entry || !entry->server) {
        free(entry);
        return NULL;
    }
    *link = entry;
    return server_ref(entry->server);
}

bool
server_is_of(const struct server *server, const char *farm)
{
    size_t len = strlen(farm);

    return strncmp(server->key, farm, len) == 0 && server->key[len] == '/';
}

struct server *
server_ref(struct server *server)
{
    atomic_fetch_add(&server->refs, 1);
    return server;
}

void
server_unref(struct server *server)
{
    if (!server || atomic_fetch_sub(&server->refs, 1) > 1)
        return;
    free(server->key);
    free(server->name);
    free(server);
}
