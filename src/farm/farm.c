/*
 * farm: a configured farm brought together with the process's servers.
 */
#include "farm/farm.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
resolve(const char *name, struct addr *ret_addr, char *error, size_t error_size)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
    struct addrinfo *found = NULL;
    int result;

    if (addr_parse(name, 0, ret_addr))
        return true;
    result = getaddrinfo(name, NULL, &hints, &found);
    if (result != 0) {
        snprintf(error, error_size, "cannot resolve server %s: %s", name, gai_strerror(result));
        return false;
    }
    memset(ret_addr, 0, sizeof *ret_addr);
    memcpy(&ret_addr->u, found->ai_addr, found->ai_addrlen);
    ret_addr->len = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static bool
member_init(struct farm_member *member, const struct config_farm *farm,
    const struct config_server *config, struct server_board *board, char *error, size_t error_size)
{
    member->config = config;
    if (!resolve(config->address, &member->plain, error, error_size))
        return false;
    member->tls = member->plain;
    addr_set_port(&member->plain, config->http_port);
    addr_set_port(&member->tls, config->https_port);
    member->server = server_board_get(board, farm->name, config);
    if (!member->server)
        snprintf(error, error_size, "no memory for server %s", config->name);
    return member->server != NULL;
}

struct farm *
farm_create(const struct config *config, size_t index, struct server_board *board, char *error,
    size_t error_size)
{
    const struct config_farm *config_farm = &config->farms[index];
    struct farm *farm = calloc(1, sizeof *farm);

    if (farm)
        farm->members = calloc(config_farm->server_count, sizeof *farm->members);
    if (!farm || !farm->members) {
        snprintf(error, error_size, "no memory for farm %s", config_farm->name);
        free(farm);
        return NULL;
    }
    farm->config = config_farm;
    farm->index = index;
    for (; farm->count < config_farm->server_count; farm->count++)
        if (!member_init(&farm->members[farm->count], config_farm,
                &config_farm->servers[farm->count], board, error, error_size)) {
            farm_destroy(farm);
            return NULL;
        }
    return farm;
}

void
farm_destroy(struct farm *farm)
{
    if (!farm)
        return;
    for (size_t m = 0; m < farm->count; m++)
        server_unref(farm->members[m].server);
    free(farm->members);
    free(farm);
}
