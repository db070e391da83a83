/*
 * admin_parts: what the files behind the private listener share. admin.c reads requests, decides who may, and
 * sends answers; admin_routes.c knows what there is to ask; admin_ask.c asks the workers; status.c and its
 * pages, metrics_text.c and story.c put answers into words.
 */
#ifndef OPS_ADMIN_PARTS_H
#define OPS_ADMIN_PARTS_H

#include <jansson.h>
#include <stdio.h>

#include "ops/admin.h"
#include "proxy/incident.h"
#include "proxy/survey.h"

enum { ADMIN_PATH = 512, ADMIN_NONCE = 33 };

struct ask;
struct history;

/* One request and its answer. */
struct exchange;

/* What is asked. */
struct exchange_request {
    const struct admin_world *world; /* borrowed */
    struct history *history;         /* borrowed */
    char method[16];
    char path[ADMIN_PATH];           /* without query, still percent-encoded */
    char query[ADMIN_PATH];          /* behind the `?`; "" if there is none */
    const char *refusal;             /* why it may not give orders; NULL: it may */
};

const struct exchange_request *exchange_request(const struct exchange *exchange);

/* Answers and ends the exchange. type: a media type. */
void exchange_answer(struct exchange *exchange, unsigned status, const char *type, const char *body,
    size_t len);
/* The same with JSON, which is taken over, and with {"error": sentence}. */
void exchange_json(struct exchange *exchange, unsigned status, json_t *json);
void exchange_error(struct exchange *exchange, unsigned status, const char *sentence);
/* A page, whose inline style and script carry the nonce. */
void exchange_page(struct exchange *exchange, const char *body, size_t len, const char *nonce);

/* The answer will come later from an ask, which is told if the client leaves before. */
void exchange_wait(struct exchange *exchange, struct ask *ask);

/* Opens the listening socket; *addr gets the port that was free if it is 0. -1 with one sentence in error. */
int admin_socket_open(struct addr *addr, char *error, size_t error_size);

/* Finds the request's answer, at once or later. */
void routes_serve(struct exchange *exchange);

/* Asks every worker for sessions, or for incidents, and answers when all have said something or a second is
 * over. */
struct ask_filter {
    struct survey_filter sessions;
    char client[INCIDENT_ADDRESS]; /* of incidents; "": any */
    uint64_t id;                   /* of incidents; 0: any */
    size_t limit;                  /* rows in all */
    bool incidents;                /* those, not sessions */
};
void ask_workers(struct exchange *exchange, const struct ask_filter *filter);
/* The client has gone; nobody is to be answered any more. */
void ask_abandon(struct ask *ask);

/* The last minutes, taken every two seconds. */
struct history *history_create(const struct admin_world *world);
void history_destroy(struct history *history);
/* Adds "history", and the rates of now to "requests" and each server. */
void history_describe(const struct history *history, json_t *status);
double history_server_rate(const struct history *history, unsigned slot);

/* All that the status page and `casgate status` show. Owned by the caller. NULL: no memory. */
json_t *status_json(const struct admin_world *world, const struct history *history);
/* Only its farms. */
json_t *status_farms_json(const struct admin_world *world, const struct history *history);

/* The status as a page; only its inner part for a page that updates itself. */
void status_page_write(const json_t *status, const char *nonce, FILE *out);
void status_page_write_part(const json_t *status, FILE *out);

/* Prometheus text format. */
void metrics_text_write(const struct admin_world *world, FILE *out);

/* An incident as an object with numbers and a sentence in plain words, "story". */
json_t *story_json(const struct incident *incident);

#endif
