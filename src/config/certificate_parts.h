/*
 * certificate_parts: what the readers of PEM and PFX share. Each reader fills a bag with whatever
 * certificates and keys its file holds, in any order; certificate_assemble makes one certificate of
 * it.
 */
#ifndef CERTIFICATE_PARTS_H
#define CERTIFICATE_PARTS_H

#include <openssl/provider.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>

#include "config/certificate.h"

/* A library context that lives as long as one file is read, so that what reading old files needs is
 * never loaded anywhere else. */
struct certificate_bag {
    OSSL_LIB_CTX *library;       /* owned */
    OSSL_PROVIDER *provider;     /* owned; default */
    OSSL_PROVIDER *legacy;       /* owned; NULL unless asked for and present */
    STACK_OF(X509) *certificates; /* owned, as found */
    EVP_PKEY *key;               /* owned; the first key found, NULL if none */
    size_t key_count;            /* keys found, whether kept or not */
    const char *path;            /* borrowed; the file being read, for sentences */
    const char *chain_path;      /* borrowed; the file that the certificates are from, likewise */
    char *error;                 /* borrowed; where the sentence goes */
    size_t error_size;           /* bytes of error */
};

/* False with a sentence in error: no memory. Finish it in either case. */
bool certificate_bag_init(struct certificate_bag *bag, const char *path, bool with_legacy,
    char *error, size_t error_size);
void certificate_bag_finish(struct certificate_bag *bag);

/* Decodes one certificate in the bag's library and keeps it. False with a sentence in error. */
bool certificate_bag_add(struct certificate_bag *bag, const unsigned char *data, size_t len);

/* Keeps the first key and counts all; takes the key over. */
void certificate_bag_add_key(struct certificate_bag *bag, EVP_PKEY *key);

/* Writes the sentence `<path>: …` and returns false, so that a reader can return it. */
bool certificate_bag_fail(struct certificate_bag *bag, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* OpenSSL's own words for its last error on this thread, never NULL. */
const char *certificate_openssl_reason(void);

/* Reads a file of at most a megabyte that may hold secrets: free with OPENSSL_clear_free. NULL with
 * a sentence in error. *ret_len does not count the NUL that is put behind the bytes. */
unsigned char *certificate_read_file(const char *path, size_t *ret_len, char *error,
    size_t error_size);

/* One key, the certificate it belongs to, and the chain above that one. Owned by the caller; NULL
 * with a sentence in error. */
struct certificate *certificate_assemble(struct certificate_bag *bag);

#endif
