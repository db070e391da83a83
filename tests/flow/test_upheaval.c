/*
 * upheaval: everything that may change a running casgate, at once: reloads, drains with a deadline, health pages
 * that flap, questions of the administrator, a CAS that kills its connections, while clients of every kind go on.
 *
 *     each round:  SIGHUP │ drain cas1 … ready │ cas2's ECP up and down │ sessions, metrics │ requests, pings
 *
 * OWA has a server at any moment, so no request to it may fail and no channel may be cut. The point of this
 * play is its run under ThreadSanitizer: threads meet here that meet nowhere else.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "channels.h"
#include "deadline.h"
#include "lab.h"

TestSuite(upheaval, .fini = lab_finish, .timeout = 600);

enum { KEPT = 6, PAIRS = 3, REQUESTS = 8 };

static int
status_of(struct client *client, const char *target)
{
    struct reply *reply;
    int status;

    cr_assert(client_print(client, "GET %s HTTP/1.1\r\nHost: mail.contoso.test\r\n"
        "X-Sim: status=200 size=5000\r\n\r\n", target), "%s: cut", target);
    reply = reply_read(client, "GET");
    status = reply->status;
    reply_destroy(reply);
    return status;
}

/* What the administrator looks at; the answers come from all workers. */
static void
ask_around(const struct lab *lab)
{
    json_decref(admin_get(lab, "/api/v1/status"));
    json_decref(admin_get(lab, "/api/v1/sessions"));
    reply_destroy(admin_request(lab, "GET", "/metrics", ""));
}

/* Everything that changes the world. */
static void
turn_over(struct lab *lab, int round)
{
    static const char *const orders[] = { "drain", "ready", "drain?deadline=1", "ready" };
    char target[80];

    process_signal(lab_casgate(lab), SIGHUP);
    snprintf(target, sizeof(target), "/api/v1/servers/cas1/%s", orders[round % 4]);
    admin_order(lab, target);
    sim_command(lab_sim(lab), "cas2 health ecp %s", round % 3 ? "up" : "503");
}

static void
go_on(const struct lab *lab, struct client **kept, struct channels *pairs, int round)
{
    for (int i = 0; i < REQUESTS; i++) {
        struct client *fresh = i % 4 == 3 ? lab_client(lab) : NULL;

        cr_assert_eq(status_of(fresh ? fresh : kept[(i + round) % KEPT], "/owa/"), 200, "round %d", round);
        client_destroy(fresh);
    }
    for (int i = 0; i < PAIRS; i++)
        if (!pairs[i].in || !channels_exchange(&pairs[i]))
            cr_assert_fail("pair %d was cut in round %d", i, round);
}

static void
tell(struct lab *lab, int rounds)
{
    struct channels pairs[PAIRS];
    struct client *kept[KEPT];

    for (int i = 0; i < KEPT; i++)
        kept[i] = lab_client(lab);
    admin_order(lab, "/api/v1/servers/cas1/drain"); /* channels live on cas2: a deadline may end those of cas1 */
    for (int i = 0; i < PAIRS; i++)
        pairs[i] = channels_open(lab);
    for (int round = 0; round < rounds; round++) {
        turn_over(lab, round);
        go_on(lab, kept, pairs, round);
        ask_around(lab);
        if (round % 10 == 9)
            sim_command(lab_sim(lab), "cas1 kill");
    }
    for (int i = 0; i < PAIRS; i++)
        channels_close(&pairs[i]);
    for (int i = 0; i < KEPT; i++)
        client_destroy(kept[i]);
}

Test(upheaval, reloads_drains_and_flapping_health_at_once_cost_nobody_a_request)
{
    const char *full = getenv("TEST_FULL");
    struct lab *lab = admin_lab(&(struct lab_options) {
        .farm = "  bridge: {verify: same-certificate}\n  health: {interval: 150ms, rise: 1, fall: 1}\n" });

    tell(lab, full && *full ? 150 : 40);
    free(lab_fact(lab, "reload: "));
    free(lab_fact(lab, "cas1: drain"));
}
