/*
 * certificate: from a file to one certificate with chain and key as DER.
 *
 *     PEM  certificate.c      ┐                          ┌ leaf   the certificate of the one key
 *                             ├─ bag of X509s and keys ──┤ chain  its issuers, root left out
 *     PFX  certificate_pfx.c  ┘                          └ key    PKCS#8
 *
 * The order inside a file means nothing: the leaf is the certificate that the key belongs to, and
 * the chain is found by asking who issued whom. What a file holds beyond that is ignored, except a
 * second key, because then nobody can know which one was meant.
 *
 * Everything is decoded in a library context that dies with the load; what is carried on is DER,
 * which every worker decodes in a context of its own. Secrets are wiped before their memory is
 * given back.
 *
 * This room does not judge: an expired, self-signed or oddly named certificate loads. Configuration
 * checks say so, and net/tls decides whom it trusts.
 */
#include "config/certificate.h"

#include <errno.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "certificate_parts.h"

enum { FILE_MAX = 1 << 20 };

/* ---- files and sentences --------------------------------------------------------------------- */

bool
certificate_bag_fail(struct certificate_bag *bag, const char *format, ...)
{
    va_list args;
    int len = snprintf(bag->error, bag->error_size, "%s: ", bag->path);

    if (len > 0 && (size_t)len < bag->error_size) {
        va_start(args, format);
        vsnprintf(bag->error + len, bag->error_size - (size_t)len, format, args);
        va_end(args);
    }
    return false;
}

const char *
certificate_openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    return reason ? reason : "no reason given";
}

unsigned char *
certificate_read_file(const char *path, size_t *ret_len, char *error, size_t error_size)
{
    FILE *file = fopen(path, "rbe");
    unsigned char *data;
    size_t len;

    if (!file) {
        snprintf(error, error_size, "%s: cannot be read: %s", path, strerror(errno));
        return NULL;
    }
    /* stdio would leave a copy of the key in its own buffer */
    setvbuf(file, NULL, _IONBF, 0);
    data = OPENSSL_zalloc(FILE_MAX + 1);
    len = data ? fread(data, 1, FILE_MAX, file) : 0;
    if (!data || ferror(file) || !feof(file)) {
        snprintf(error, error_size, "%s: %s", path,
            !data ? "out of memory" : ferror(file) ? strerror(errno) : "is larger than a megabyte");
        OPENSSL_clear_free(data, FILE_MAX + 1);
        data = NULL;
    }
    fclose(file);
    *ret_len = len;
    return data;
}

/* ---- the bag --------------------------------------------------------------------------------- */

bool
certificate_bag_init(struct certificate_bag *bag, const char *path, bool with_legacy, char *error,
    size_t error_size)
{
    *bag = (struct certificate_bag) {
        .path = path, .chain_path = path, .error = error, .error_size = error_size };
    bag->library = OSSL_LIB_CTX_new();
    bag->certificates = sk_X509_new_null();
    if (bag->library) {
        bag->provider = OSSL_PROVIDER_load(bag->library, "default");
        bag->legacy = with_legacy ? OSSL_PROVIDER_load(bag->library, "legacy") : NULL;
    }
    ERR_clear_error();
    if (!bag->provider || !bag->certificates)
        return certificate_bag_fail(bag, "OpenSSL's default provider cannot be loaded");
    return true;
}

void
certificate_bag_finish(struct certificate_bag *bag)
{
    EVP_PKEY_free(bag->key);
    sk_X509_pop_free(bag->certificates, X509_free);
    OSSL_PROVIDER_unload(bag->legacy);
    OSSL_PROVIDER_unload(bag->provider);
    OSSL_LIB_CTX_free(bag->library);
    ERR_clear_error();
}

bool
certificate_bag_add(struct certificate_bag *bag, const unsigned char *data, size_t len)
{
    X509 *certificate = X509_new_ex(bag->library, NULL);

    if (!certificate || !d2i_X509(&certificate, &data, (long)len)) {
        /* d2i has freed it and set it to NULL if it was the one to fail */
        X509_free(certificate);
        return certificate_bag_fail(bag, "a certificate in it is damaged (OpenSSL: %s)",
            certificate_openssl_reason());
    }
    if (!sk_X509_push(bag->certificates, certificate)) {
        X509_free(certificate);
        return certificate_bag_fail(bag, "out of memory");
    }
    return true;
}

void
certificate_bag_add_key(struct certificate_bag *bag, EVP_PKEY *key)
{
    bag->key_count++;
    if (bag->key)
        EVP_PKEY_free(key);
    else
        bag->key = key;
}

/* ---- assembling ------------------------------------------------------------------------------ */

static bool
der_of(struct der *der, const X509 *certificate)
{
    int len;

    der->data = NULL;
    len = i2d_X509(certificate, &der->data);
    der->len = len > 0 ? (size_t)len : 0;
    return len > 0;
}

static bool
der_of_key(struct der *der, const EVP_PKEY *key)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    int len = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &der->data) : -1;

    PKCS8_PRIV_KEY_INFO_free(info);
    der->len = len > 0 ? (size_t)len : 0;
    return len > 0;
}

static bool
is_self_issued(X509 *certificate)
{
    return X509_NAME_cmp(X509_get_subject_name(certificate),
               X509_get_issuer_name(certificate)) == 0;
}

/* Could OpenSSL not look, for lack of memory? A candidate of the right name, the public key of which it could not
 * read, is no stranger either: it does not say why not. */
static bool
is_undecided(int verdict)
{
    return verdict == X509_V_ERR_UNSPECIFIED || verdict == X509_V_ERR_OUT_OF_MEM ||
        verdict == X509_V_ERR_NO_ISSUER_PUBLIC_KEY;
}

/* NULL without an issuer, or when OpenSSL could not look: a chain must not be cut short for that. */
static X509 *
issuer_in(STACK_OF(X509) *certificates, X509 *subject, bool *ret_looked)
{
    *ret_looked = true;
    for (int i = 0; i < sk_X509_num(certificates); i++) {
        X509 *candidate = sk_X509_value(certificates, i);
        int verdict = candidate == subject ? X509_V_ERR_SUBJECT_ISSUER_MISMATCH
                                           : X509_check_issued(candidate, subject);

        if (verdict == X509_V_OK)
            return candidate;
        *ret_looked = *ret_looked && !is_undecided(verdict);
    }
    return NULL;
}

static bool
take_chain(struct certificate *certificate, STACK_OF(X509) *certificates, X509 *leaf)
{
    size_t limit = (size_t)sk_X509_num(certificates);
    bool looked = true;
    X509 *at = leaf;

    certificate->chain = OPENSSL_zalloc(limit * sizeof *certificate->chain);
    if (!certificate->chain)
        return false;
    while (!is_self_issued(at) && certificate->chain_count + 1 < limit) {
        at = issuer_in(certificates, at, &looked);
        if (!at || is_self_issued(at))
            break;
        if (!der_of(&certificate->chain[certificate->chain_count], at))
            return false;
        certificate->chain_count++;
    }
    return looked;
}

/* Keeps one name in lower case; a name with a NUL or an odd byte in it can never match and is
 * left out. */
static bool
take_name(struct certificate *certificate, const unsigned char *text, int len)
{
    char *name;

    for (int i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] >= 0x7f)
            return true;
    if (len <= 0)
        return true;
    name = OPENSSL_strndup((const char *)text, (size_t)len);
    if (!name)
        return false;
    for (char *at = name; *at; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at += 'a' - 'A';
    certificate->names[certificate->name_count++] = name;
    return true;
}

static bool
take_common_name(struct certificate *certificate, X509 *leaf)
{
    const X509_NAME *subject = X509_get_subject_name(leaf);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    unsigned char *utf8 = NULL;
    int len;
    bool ok;

    if (at < 0)
        return true;
    len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    ok = len < 0 || take_name(certificate, utf8, len);
    OPENSSL_free(utf8);
    return ok;
}

static bool
take_names(struct certificate *certificate, X509 *leaf)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    int count = all ? sk_GENERAL_NAME_num(all) : 0;
    bool ok;

    certificate->names = OPENSSL_zalloc(((size_t)count + 1) * sizeof *certificate->names);
    ok = certificate->names != NULL;
    for (int i = 0; ok && i < count; i++) {
        const GENERAL_NAME *one = sk_GENERAL_NAME_value(all, i);

        if (one->type == GEN_DNS)
            ok = take_name(certificate, ASN1_STRING_get0_data(one->d.dNSName),
                ASN1_STRING_length(one->d.dNSName));
    }
    GENERAL_NAMES_free(all);
    if (ok && certificate->name_count == 0)
        ok = take_common_name(certificate, leaf);
    return ok;
}

static int64_t
seconds_of(const ASN1_TIME *when)
{
    struct tm tm;

    return ASN1_TIME_to_tm(when, &tm) ? (int64_t)timegm(&tm) : 0;
}

static void
take_subject(struct certificate *certificate, X509 *leaf)
{
    BIO *text = BIO_new(BIO_s_mem());
    int len;

    if (!text)
        return;
    X509_NAME_print_ex(text, X509_get_subject_name(leaf), 0, XN_FLAG_RFC2253);
    len = BIO_read(text, certificate->subject, sizeof certificate->subject - 1);
    certificate->subject[len > 0 ? len : 0] = '\0';
    BIO_free(text);
}

static bool
take_all(struct certificate *certificate, struct certificate_bag *bag, X509 *leaf)
{
    certificate->not_before = seconds_of(X509_get0_notBefore(leaf));
    certificate->not_after = seconds_of(X509_get0_notAfter(leaf));
    take_subject(certificate, leaf);
    return der_of(&certificate->leaf, leaf) && der_of_key(&certificate->key, bag->key) &&
        EVP_Q_digest(bag->library, "SHA256", NULL, certificate->leaf.data, certificate->leaf.len,
            certificate->fingerprint, NULL) &&
        take_names(certificate, leaf);
}

static X509 *
leaf_of_key(struct certificate_bag *bag)
{
    for (int i = 0; i < sk_X509_num(bag->certificates); i++)
        if (X509_check_private_key(sk_X509_value(bag->certificates, i), bag->key))
            return sk_X509_value(bag->certificates, i);
    return NULL;
}

/* What is wrong with the certificates themselves, not with their key. */
static void
fail_chain(struct certificate_bag *bag, const char *sentence)
{
    bag->path = bag->chain_path;
    certificate_bag_fail(bag, "%s (OpenSSL: %s)", sentence, certificate_openssl_reason());
}

struct certificate *
certificate_assemble(struct certificate_bag *bag)
{
    struct certificate *certificate = NULL;
    X509 *leaf;

    if (sk_X509_num(bag->certificates) == 0)
        certificate_bag_fail(bag, "there is no certificate in it");
    else if (bag->key_count == 0)
        certificate_bag_fail(bag, "there is no private key with it");
    else if (bag->key_count > 1)
        certificate_bag_fail(bag, "holds %zu private keys; export the one certificate alone",
            bag->key_count);
    else if (!(leaf = leaf_of_key(bag)))
        certificate_bag_fail(bag, "the private key does not belong to the certificate");
    else if (!(certificate = OPENSSL_zalloc(sizeof *certificate)))
        certificate_bag_fail(bag, "out of memory");
    else if (!take_all(certificate, bag, leaf))
        fail_chain(bag, "cannot be taken over");
    else if (!take_chain(certificate, bag->certificates, leaf))
        fail_chain(bag, "an issuer's public key cannot be read");
    else
        return certificate;
    certificate_destroy(certificate);
    return NULL;
}

void
certificate_destroy(struct certificate *certificate)
{
    if (!certificate)
        return;
    OPENSSL_clear_free(certificate->key.data, certificate->key.len);
    OPENSSL_free(certificate->leaf.data);
    for (size_t i = 0; i < certificate->chain_count; i++)
        OPENSSL_free(certificate->chain[i].data);
    OPENSSL_free(certificate->chain);
    for (size_t i = 0; i < certificate->name_count; i++)
        OPENSSL_free(certificate->names[i]);
    OPENSSL_free(certificate->names);
    OPENSSL_free(certificate);
}

/* ---- PEM ------------------------------------------------------------------------------------- */

static bool
ends_with(const char *text, const char *end)
{
    size_t text_len = strlen(text), end_len = strlen(end);

    return text_len >= end_len && strcmp(text + text_len - end_len, end) == 0;
}

static bool
take_pem_key(struct certificate_bag *bag, const char *name, const char *header,
    const unsigned char *data, long len)
{
    EVP_PKEY *key;

    if (strcmp(name, PEM_STRING_PKCS8) == 0 || strstr(header, "ENCRYPTED"))
        return certificate_bag_fail(bag, "the private key is encrypted; write it without a "
                                         "passphrase (openssl pkey), or use a pfx with a "
                                         "password-file");
    key = d2i_AutoPrivateKey_ex(NULL, &data, len, bag->library, NULL);
    if (!key)
        return certificate_bag_fail(bag, "the private key is damaged or of an unknown kind "
                                         "(OpenSSL: %s)", certificate_openssl_reason());
    certificate_bag_add_key(bag, key);
    return true;
}

static bool
take_pem_block(struct certificate_bag *bag, const char *name, const char *header,
    const unsigned char *data, long len)
{
    if (strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0 ||
        strcmp(name, PEM_STRING_X509_TRUSTED) == 0)
        return certificate_bag_add(bag, data, (size_t)len);
    if (ends_with(name, "PRIVATE KEY"))
        return take_pem_key(bag, name, header, data, len);
    return true; /* parameters, requests: nobody asked for them */
}

/* Takes what a PEM file holds into the bag; *ret_blocks counts what looked like PEM at all. */
static bool
read_pem(struct certificate_bag *bag, const char *path, size_t *ret_blocks)
{
    size_t file_len;
    unsigned char *file, *data;
    char *name, *header;
    long len;
    BIO *bio;
    bool ok;

    bag->path = path;
    *ret_blocks = 0;
    file = certificate_read_file(path, &file_len, bag->error, bag->error_size);
    if (!file)
        return false;
    bio = BIO_new_mem_buf(file, (int)file_len);
    ok = bio || certificate_bag_fail(bag, "out of memory");
    while (ok && PEM_read_bio(bio, &name, &header, &data, &len)) {
        ok = take_pem_block(bag, name, header, data, len);
        ++*ret_blocks;
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(data, (size_t)len);
    }
    if (ok && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        ok = certificate_bag_fail(bag, "a PEM block in it is damaged (OpenSSL: %s)",
            certificate_openssl_reason());
    ERR_clear_error();
    BIO_free(bio);
    OPENSSL_clear_free(file, file_len);
    if (ok && *ret_blocks == 0)
        ok = certificate_bag_fail(bag, "is not a PEM file (a pfx is configured as pfx: …)");
    return ok;
}

struct certificate *
certificate_load_pem(const char *chain_path, const char *key_path, char *error, size_t error_size)
{
    struct certificate_bag bag;
    struct certificate *certificate = NULL;
    size_t blocks;
    bool ok;

    ok = certificate_bag_init(&bag, chain_path, false, error, error_size) &&
        read_pem(&bag, chain_path, &blocks);
    if (ok && sk_X509_num(bag.certificates) == 0)
        ok = certificate_bag_fail(&bag, "there is no certificate in it");
    /* a key that stands in the chain file as well counts once */
    if (ok && key_path && strcmp(key_path, chain_path) != 0) {
        EVP_PKEY_free(bag.key);
        bag.key = NULL;
        bag.key_count = 0;
        ok = read_pem(&bag, key_path, &blocks);
    }
    if (ok)
        certificate = certificate_assemble(&bag);
    certificate_bag_finish(&bag);
    return certificate;
}

struct der *
certificate_bundle_load(const char *path, size_t *ret_count, char *error, size_t error_size)
{
    struct certificate_bag bag;
    struct der *bundle = NULL;
    size_t blocks, count = 0;
    bool ok;

    *ret_count = 0;
    ok = certificate_bag_init(&bag, path, false, error, error_size) &&
        read_pem(&bag, path, &blocks);
    if (ok && sk_X509_num(bag.certificates) == 0)
        ok = certificate_bag_fail(&bag, "there is no certificate in it");
    if (ok) {
        bundle = OPENSSL_zalloc((size_t)sk_X509_num(bag.certificates) * sizeof *bundle);
        ok = bundle != NULL;
        for (int i = 0; ok && i < sk_X509_num(bag.certificates); i++)
            ok = der_of(&bundle[count++], sk_X509_value(bag.certificates, i));
        if (!ok) {
            certificate_bag_fail(&bag, "out of memory");
            certificate_bundle_destroy(bundle, count);
            bundle = NULL;
            count = 0;
        }
    }
    certificate_bag_finish(&bag);
    *ret_count = count;
    return bundle;
}

void
certificate_bundle_destroy(struct der *bundle, size_t count)
{
    for (size_t i = 0; bundle && i < count; i++)
        OPENSSL_free(bundle[i].data);
    OPENSSL_free(bundle);
}

/* ---- names ----------------------------------------------------------------------------------- */

bool
certificate_covers(const struct certificate *certificate, const char *host, size_t len)
{
    const char *dot = memchr(host, '.', len);
    size_t label_len = dot ? (size_t)(dot - host) : len;

    for (size_t i = 0; i < certificate->name_count; i++) {
        const char *name = certificate->names[i];
        size_t name_len = strlen(name);

        if (name_len == len && memcmp(name, host, len) == 0)
            return true;
        if (name_len > 2 && name[0] == '*' && name[1] == '.' && label_len > 0 &&
            name_len - 1 == len - label_len &&
            memcmp(name + 1, host + label_len, len - label_len) == 0)
            return true;
    }
    return false;
}
