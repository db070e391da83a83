/*
 * certificate: a certificate with chain and key, read from PEM files or from a PFX (PKCS#12) as
 * Export-ExchangeCertificate writes it, and carried on as DER, so that each worker can decode it in an
 * OpenSSL library context of its own. Old RC2-40 and 3DES encryptions are opened in a throw-away
 * library context with OpenSSL's legacy provider, which no other part of casgate ever loads.
 */
#ifndef CONFIG_CERTIFICATE_H
#define CONFIG_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct der {
    unsigned char *data; /* owned */
    size_t len;          /* bytes */
};

enum { CERTIFICATE_FINGERPRINT_LEN = 32 }; /* SHA-256 of the leaf's DER */

struct certificate {
    struct der leaf;       /* owned, X.509 */
    struct der key;        /* owned, PKCS#8; wiped when destroyed */
    struct der *chain;     /* owned, intermediates in order from the leaf up; roots are left out */
    size_t chain_count;
    char **names;          /* owned, DNS names of subjectAltName in lower case (CN if there are none) */
    size_t name_count;
    unsigned char fingerprint[CERTIFICATE_FINGERPRINT_LEN];
    int64_t not_before;    /* seconds since 1970 */
    int64_t not_after;     /* seconds since 1970 */
    char subject[256];     /* for logs, RFC 2253 form, truncated */
};

/* Each returns a certificate to be destroyed by the caller, or NULL with one sentence in error that
 * says what is wrong and what to do (file not readable, no certificate in it, key does not belong to
 * the certificate, wrong password, encryption not supported). Chains are ordered by issuer whatever
 * the order in the file. An expired certificate loads: whoever uses it decides. */
struct certificate *certificate_load_pem(const char *chain_path, const char *key_path, char *error,
    size_t error_size);
/* password_path: a file whose first line is the password, without its line end; a UTF-8 BOM is
 * skipped. NULL: no password. */
struct certificate *certificate_load_pfx(const char *pfx_path, const char *password_path, char *error,
    size_t error_size);
void certificate_destroy(struct certificate *certificate);

/* Certificates (no key) of a PEM bundle as DER, for `bridge: {ca: …}`. Owned by the caller; free with
 * certificate_bundle_destroy. NULL with a sentence in error: not readable or empty. */
struct der *certificate_bundle_load(const char *path, size_t *ret_count, char *error,
    size_t error_size);
void certificate_bundle_destroy(struct der *bundle, size_t count);

/* Does the (lower-case) host match one of the certificate's names, wildcards by one left-most label
 * (RFC 6125 6.4.3)? */
bool certificate_covers(const struct certificate *certificate, const char *host, size_t len);

#endif
