/*
 * lab: one test's world on loopback: a simulated farm (cas-sim), casgate in front of it with a
 * configuration made for the test, and clients.
 *
 *     struct lab *lab = lab_start(&(struct lab_options) { .servers = 2 });
 *     struct client *client = lab_client(lab);
 *     client_print(client, "GET /owa/ HTTP/1.1\r\nHost: mail.contoso.test\r\n\r\n");
 *     struct reply *reply = reply_read(client, "GET");
 *     …
 *     TestSuite(topic, .fini = lab_finish);    // ends casgate in good order and judges how it ended
 *
 * A test has one lab at a time; lab_finish, the suite's end function, stops and frees it.
 */
#ifndef SUPPORT_LAB_H
#define SUPPORT_LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "process.h"
#include "sim.h"

struct lab; /* opaque */

struct lab_options {
    unsigned servers;        /* simulated CAS; 0: two */
    const char *yaml;        /* further top-level lines of the configuration, which may replace
                                `workers`, `certificate` and `farm`; NULL: none */
    const char *farm;        /* lines of `farm:`, indented by two, instead of `bridge: {verify:
                                same-certificate}`; NULL: that. Probes are off unless `health:` is
                                among them */
    const char *certificate; /* the certificate that casgate shows; NULL: "server" */
    const char *cas_certificate; /* the one that the CAS show; NULL: "server" */
    const char *second;      /* lines, indented by two, of a second farm with its `hosts`; the second
                                half of the simulated CAS are its servers; NULL: one farm */
    unsigned descriptors;    /* how many casgate may have; 0: as many as this process */
    const char *clock_rate;  /* "60": both programs live a minute in a second; NULL: real time */
};

/* For a lab with a fast clock: top-level and farm lines that keep limits which are not the test's subject
 * from shrinking to milliseconds. */
#define LAB_PATIENT                                                                                \
    "tls: {handshake-timeout: 1h}\n"                                                               \
    "timeouts: {client-header: 1h, client-keep-alive: 24h, connect: 1h, backend-handshake: 1h,"    \
    " backend-idle: 24h, linger: 10m}\n"
#define LAB_UNPROBED "  bridge: {verify: same-certificate}\n  health: {enabled: false}\n"

/* Starts the farm and casgate and waits until both listen. Fails the test, with what they said, when
 * they do not. options may be NULL. */
struct lab *lab_start(const struct lab_options *options);

/* Suite end function: stops casgate by SIGTERM and fails the test unless it exits 0 in time and no
 * sanitizer spoke. Also after a failed assertion, then with casgate's facts printed. */
void lab_finish(void);

/* Are long runs wanted? (TEST_FULL or CASGATE_TEST_FULL) */
bool lab_is_full(void);

/* Is casgate built with a sanitizer? Then it is slower and larger than it promises to be. */
bool lab_is_sanitized(void);

/* The name's file among the lab's certificates: "ca.pem", "server.key". Valid until the test ends. */
const char *lab_file(const char *name);

/* The lab's own directory, removed at its end. */
const char *lab_directory(const struct lab *lab);

unsigned lab_port(const struct lab *lab);          /* of the TLS listener */
unsigned lab_redirect_port(const struct lab *lab); /* of the port-80 listener */
unsigned lab_admin_port(const struct lab *lab);    /* of the admin listener, if it is TCP */
struct sim *lab_sim(struct lab *lab);
struct process *lab_casgate(struct lab *lab);

/* A client on the TLS listener: verified, SNI mail.contoso.test; one on the port-80 listener. */
struct client *lab_client(const struct lab *lab);
struct client *lab_plain_client(const struct lab *lab);

/* The first access line from the last lab_forget_lines on that contains the text; fails the test when
 * none comes in time. Owned by the caller. */
char *lab_access_line(struct lab *lab, const char *text);

/* A fact (stderr) that contains the text, by the same rules. */
char *lab_fact(struct lab *lab, const char *text);

/* Has a fact or an access line contained the text so far? */
bool lab_has_said(struct lab *lab, const char *text);

/* Lines up to now no longer count for lab_access_line and lab_fact. */
void lab_forget_lines(struct lab *lab);

/* A field of a text access line ("server", "hop", "end"), owned by the caller; NULL: not there. */
char *access_field(const char *line, const char *name);

/* Is the field of the line exactly this? */
bool access_is(const char *line, const char *name, const char *value);

/* Writes a new configuration in place of the old one: yaml and farm as in lab_options. */
void lab_configure(struct lab *lab, const char *yaml, const char *farm);

/* SIGHUP, and waits for the fact that says how it went: "reloaded" or "keeps". True: reloaded. */
bool lab_reload(struct lab *lab);

/* SIGTERM; the caller looks at how it ends: process_wait(lab_casgate(lab), …). */
void lab_terminate(struct lab *lab);

#endif
