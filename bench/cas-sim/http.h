/*
 * http: reads HTTP/1.0 and HTTP/1.1 requests, strictly. Written by hand for the simulator.
 */
#ifndef CAS_SIM_HTTP_H
#define CAS_SIM_HTTP_H

#include "buf.h"

#include <stdbool.h>
#include <stdint.h>

#define HTTP_HEAD_MAX (256 * 1024)

enum body_framing { BODY_NONE, BODY_LENGTH, BODY_CHUNKED };

/* One request head; every text points into the head that was parsed. */
struct request {
    struct text method;            /* any token */
    struct text target;            /* as sent */
    struct text query;             /* after the first '?'; at is NULL without one */
    struct text host;              /* value of Host */
    struct text authorization;     /* value of Authorization */
    struct text xsim;              /* value of X-Sim */
    struct text cookie;            /* value of the last Cookie line */
    struct text range;             /* value of Range */
    struct text if_range;          /* value of If-Range */
    struct text if_match;          /* value of If-Match */
    struct text if_none_match;     /* value of If-None-Match */
    struct text if_modified;       /* value of If-Modified-Since */
    struct text if_unmodified;     /* value of If-Unmodified-Since */
    struct text request_type;      /* value of X-RequestType */
    struct text transfer_encoding; /* value of Transfer-Encoding */
    struct text content_length;    /* value of Content-Length */
    struct text connection;        /* value of the last Connection line */
    struct text expect;            /* value of Expect */
    uint64_t length;               /* of the body, when framing is BODY_LENGTH */
    enum body_framing framing;     /* how the body is delimited */
    int minor;                     /* of the version: 0 or 1 */
    bool keep_alive;               /* the client allows another request */
};

enum chunk_place {
    CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_SIZE_LF, CHUNK_DATA, CHUNK_DATA_CR, CHUNK_DATA_LF,
    CHUNK_TRAILER_START, CHUNK_TRAILER, CHUNK_TRAILER_LF, CHUNK_LAST_LF,
};

/* Takes a request body apart as it arrives. */
struct body_reader {
    uint64_t left;          /* bytes of the body, or of this chunk, still to come */
    uint64_t total;         /* payload bytes so far */
    enum body_framing framing;
    enum chunk_place place; /* inside the chunked coding */
    unsigned digits;        /* of the chunk size read so far */
    unsigned line;          /* bytes of extension and trailer so far */
    bool is_done;           /* the whole body has been read */
};

/* Offset one past the empty line that ends the head in data[0..len), 0 while it is not there. */
size_t http_find_head_end(const char *data, size_t len);

/*
 * Parses a head of len bytes that ends with the empty line. False when it breaks the grammar or its
 * framing is not beyond doubt; ret_error then says why in a few words.
 */
bool http_parse_head(const char *head, size_t len, struct request *ret_request,
                     const char **ret_error);

void body_reader_init(struct body_reader *r, const struct request *request);

/*
 * Takes the next piece of a body from data[0..len) (len > 0): returns how many bytes it used, and
 * the payload among them (maybe empty). NULL in ret_error unless the framing is broken.
 */
size_t body_reader_next(struct body_reader *r, const char *data, size_t len,
                        struct text *ret_payload, const char **ret_error);

bool text_is(struct text t, const char *string);
bool text_is_nocase(struct text t, const char *string);
bool text_starts_nocase(struct text t, const char *prefix);
bool text_contains(struct text t, const char *needle);

/* Decimal digits only, no sign; false on anything else or above 2^62. */
bool text_number(struct text t, uint64_t *ret_number);

/* Value of name in `name=value` pairs separated by any of `separators`; at is NULL if absent. */
struct text text_pair(struct text t, const char *name, const char *separators);

#endif
