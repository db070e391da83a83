/*
 * certificate: whatever order and encryption a file has, out comes one leaf, its key and its chain;
 * and whatever is wrong with a file has a sentence that says so.
 */
#include <criterion/criterion.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/certificate.h"

#define LAB SOURCE_ROOT "/certs/lab/"

static char error[512];

static void
make_lab(void)
{
    cr_assert_eq(system(SOURCE_ROOT "/certs/make.sh"), 0);
}

TestSuite(certificate, .init = make_lab);

/* A file with the bytes of others, one after the other; removed with remove_file. */
static char *
join(const char *const *paths, size_t count)
{
    char *path = strdup("/tmp/casgate-test-XXXXXX");
    int fd = mkstemp(path);
    FILE *out = fdopen(fd, "w");
    char bytes[16384];

    cr_assert_not_null(out);
    for (size_t i = 0; i < count; i++) {
        FILE *in = fopen(paths[i], "r");
        size_t len;

        cr_assert_not_null(in, "%s", paths[i]);
        len = fread(bytes, 1, sizeof bytes, in);
        fwrite(bytes, 1, len, out);
        fclose(in);
    }
    fclose(out);
    return path;
}

static char *
write_file(const char *text)
{
    char *path = strdup("/tmp/casgate-test-XXXXXX");
    FILE *out = fdopen(mkstemp(path), "w");

    cr_assert_not_null(out);
    fputs(text, out);
    fclose(out);
    return path;
}

static void
remove_file(char *path)
{
    unlink(path);
    free(path);
}

static bool
has_name(const struct certificate *certificate, const char *name)
{
    for (size_t i = 0; i < certificate->name_count; i++)
        if (strcmp(certificate->names[i], name) == 0)
            return true;
    return false;
}

/* server and server-rsa have one shape: this leaf, one intermediate, no root. */
static void
assert_is_server(struct certificate *certificate, const char *what)
{
    const unsigned char *at;
    X509 *leaf, *issuer;

    cr_assert_not_null(certificate, "%s: %s", what, error);
    cr_assert_eq(certificate->chain_count, 1, "%s: chain of %zu", what, certificate->chain_count);
    cr_assert_gt(certificate->key.len, 100, "%s", what);
    cr_assert_eq(certificate->name_count, 3, "%s", what);
    cr_assert(has_name(certificate, "autodiscover.contoso.test"), "%s", what);
    cr_assert_str_eq(certificate->subject, "CN=mail.contoso.test", "%s", what);
    cr_assert_gt(certificate->not_after - certificate->not_before, 700 * 86400, "%s", what);
    at = certificate->leaf.data;
    leaf = d2i_X509(NULL, &at, (long)certificate->leaf.len);
    at = certificate->chain[0].data;
    issuer = d2i_X509(NULL, &at, (long)certificate->chain[0].len);
    cr_assert_eq(X509_check_issued(issuer, leaf), X509_V_OK, "%s", what);
    X509_free(issuer);
    X509_free(leaf);
    certificate_destroy(certificate);
}

Test(certificate, loads_pem_with_the_key_beside_it)
{
    assert_is_server(certificate_load_pem(LAB "server.pem", LAB "server.key", error, sizeof error),
        "server.pem");
}

Test(certificate, loads_pem_with_the_key_in_the_same_file)
{
    assert_is_server(certificate_load_pem(LAB "server-all.pem", NULL, error, sizeof error), "NULL");
    assert_is_server(certificate_load_pem(LAB "server-all.pem", LAB "server-all.pem", error,
                         sizeof error), "the same");
    assert_is_server(certificate_load_pem(LAB "server-all.pem", LAB "server.key", error,
                         sizeof error), "both");
}

Test(certificate, orders_the_chain_whatever_the_order_of_the_file)
{
    static const char *const paths[] = { LAB "ca.pem", LAB "cas.pem", LAB "intermediate.pem",
        LAB "server.pem" };
    char *path = join(paths, 4);

    assert_is_server(certificate_load_pem(path, LAB "server.key", error, sizeof error), "shuffled");
    remove_file(path);
}

Test(certificate, loads_a_pfx_of_every_age)
{
    static const char *const kinds[] = { "aes", "3des", "rc2" };
    char path[256];

    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, LAB "server-%s.pfx", kinds[i]);
        assert_is_server(certificate_load_pfx(path, LAB "server.pw", error, sizeof error),
            kinds[i]);
    }
}

Test(certificate, a_pfx_holds_the_same_certificate_as_the_pem)
{
    struct certificate *pem = certificate_load_pem(LAB "server-rsa.pem", LAB "server-rsa.key",
        error, sizeof error);
    struct certificate *pfx = certificate_load_pfx(LAB "server-rc2.pfx", LAB "server.pw", error,
        sizeof error);

    cr_assert_not_null(pem);
    cr_assert_not_null(pfx);
    cr_assert_arr_eq(pem->fingerprint, pfx->fingerprint, sizeof pem->fingerprint);
    cr_assert_eq(pem->key.len, pfx->key.len);
    cr_assert_arr_eq(pem->key.data, pfx->key.data, pem->key.len);
    certificate_destroy(pem);
    certificate_destroy(pfx);
}

Test(certificate, loads_a_pfx_without_a_password)
{
    char *empty = write_file("\n");

    assert_is_server(certificate_load_pfx(LAB "server-nopassword.pfx", NULL, error, sizeof error),
        "no password file");
    assert_is_server(certificate_load_pfx(LAB "server-nopassword.pfx", empty, error, sizeof error),
        "empty password file");
    remove_file(empty);
}

Test(certificate, skips_a_byte_order_mark_before_the_password)
{
    char *password = write_file("\xef\xbb\xbfK\xc3\xa4se und Brot 4711\nsecond line\n");

    assert_is_server(certificate_load_pfx(LAB "server-aes.pfx", password, error, sizeof error),
        "BOM");
    remove_file(password);
}

Test(certificate, loads_an_expired_one)
{
    struct certificate *certificate = certificate_load_pem(LAB "expired.pem", LAB "expired.key",
        error, sizeof error);

    cr_assert_not_null(certificate, "%s", error);
    cr_assert_eq(certificate->not_before, 1577836800); /* 2020-01-01T00:00:00Z */
    cr_assert_eq(certificate->not_after, 1609459200);  /* 2021-01-01T00:00:00Z */
    certificate_destroy(certificate);
}

/* A PFX with two keys, which no command line makes. */
static char *
write_pfx_with_two_keys(void)
{
    STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    STACK_OF(PKCS7) *safes = NULL;
    EVP_PKEY *key[2] = { EVP_EC_gen("P-256"), EVP_EC_gen("P-256") };
    X509 *certificate = X509_new();
    char *path = strdup("/tmp/casgate-test-XXXXXX");
    FILE *out = fdopen(mkstemp(path), "w");
    PKCS12 *pfx;

    X509_set_version(certificate, X509_VERSION_3);
    X509_set_pubkey(certificate, key[0]);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_sign(certificate, key[0], EVP_sha256());
    PKCS12_add_cert(&bags, certificate);
    PKCS12_add_key(&bags, key[0], 0, 2048, NID_aes_256_cbc, "x");
    PKCS12_add_key(&bags, key[1], 0, 2048, NID_aes_256_cbc, "x");
    PKCS12_add_safe(&safes, bags, NID_aes_256_cbc, 2048, "x");
    pfx = PKCS12_add_safes(safes, 0);
    PKCS12_set_mac(pfx, "x", 1, NULL, 0, 2048, EVP_sha256());
    i2d_PKCS12_fp(out, pfx);
    fclose(out);
    PKCS12_free(pfx);
    sk_PKCS7_pop_free(safes, PKCS7_free);
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
    X509_free(certificate);
    EVP_PKEY_free(key[0]);
    EVP_PKEY_free(key[1]);
    return path;
}

Test(certificate, says_what_is_wrong_with_a_pem)
{
    static const char *const two_keys[] = { LAB "server-all.pem", LAB "cas.key" };
    char *both = join(two_keys, 2);
    char *damaged = write_file("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    char *locked = write_file("-----BEGIN ENCRYPTED "
                              "PRIVATE KEY-----\nMAA=\n"
                              "-----END ENCRYPTED PRIVATE KEY-----\n");
    const struct {
        const char *chain, *key, *sentence;
    } rows[] = {
        { LAB "absent.pem", LAB "server.key", "absent.pem: cannot be read: No such file" },
        { LAB "server.pem", LAB "absent.key", "absent.key: cannot be read: No such file" },
        { LAB "server.pem", NULL, "no private key" },
        { LAB "server.key", LAB "server.key", "there is no certificate in it" },
        { LAB "server.pem", LAB "cas.key", "cas.key: the private key does not belong" },
        { LAB "server.pw", LAB "server.key", "is not a PEM file" },
        { both, NULL, "holds 2 private keys" },
        { damaged, LAB "server.key", "damaged" },
        { LAB "server.pem", locked, "is encrypted" },
        { SOURCE_ROOT, LAB "server.key", "Is a directory" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_assert_null(certificate_load_pem(rows[i].chain, rows[i].key, error, sizeof error),
            "row %zu", i);
        cr_assert(strstr(error, rows[i].sentence), "row %zu: %s", i, error);
    }
    remove_file(both);
    remove_file(damaged);
    remove_file(locked);
}

Test(certificate, says_what_is_wrong_with_a_pfx)
{
    char *two_keys = write_pfx_with_two_keys(), *x = write_file("x\n");
    const struct {
        const char *pfx, *password, *sentence;
    } rows[] = {
        { LAB "absent.pfx", NULL, "absent.pfx: cannot be read" },
        { LAB "server-aes.pfx", LAB "absent.pw", "absent.pw: cannot be read" },
        { LAB "server-aes.pfx", LAB "wrong.pw", "the password in password-file is wrong" },
        { LAB "server-rc2.pfx", LAB "wrong.pw", "the password in password-file is wrong" },
        { LAB "server-3des.pfx", NULL, "needs a password" },
        { LAB "server.pem", NULL, "it is PEM" },
        { LAB "server.pw", NULL, "is not a PFX" },
        { two_keys, x, "holds 2 private keys" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_assert_null(certificate_load_pfx(rows[i].pfx, rows[i].password, error, sizeof error),
            "row %zu", i);
        cr_assert(strstr(error, rows[i].sentence), "row %zu: %s", i, error);
    }
    remove_file(two_keys);
    remove_file(x);
}

Test(certificate, survives_a_pfx_cut_anywhere)
{
    FILE *in = fopen(LAB "server-rc2.pfx", "r");
    unsigned char bytes[8192];
    size_t len = fread(bytes, 1, sizeof bytes, in);

    fclose(in);
    for (size_t cut = 0; cut < len; cut += 97) {
        char *path = strdup("/tmp/casgate-test-XXXXXX");
        FILE *out = fdopen(mkstemp(path), "w");

        fwrite(bytes, 1, cut, out);
        fclose(out);
        cr_assert_null(certificate_load_pfx(path, LAB "server.pw", error, sizeof error),
            "cut at %zu", cut);
        remove_file(path);
    }
}

Test(certificate, loads_a_bundle_of_anchors)
{
    static const char *const paths[] = { LAB "ca.pem", LAB "intermediate.pem" };
    char *path = join(paths, 2);
    size_t count;
    struct der *bundle = certificate_bundle_load(path, &count, error, sizeof error);

    cr_assert_not_null(bundle, "%s", error);
    cr_assert_eq(count, 2);
    cr_assert_gt(bundle[1].len, 100);
    certificate_bundle_destroy(bundle, count);
    cr_assert_null(certificate_bundle_load(LAB "server.key", &count, error, sizeof error));
    cr_assert(strstr(error, "no certificate"), "%s", error);
    cr_assert_eq(count, 0);
    remove_file(path);
}

Test(certificate, covers_its_names_and_one_label_of_a_wildcard)
{
    char *names[] = { "mail.contoso.test", "*.contoso.test" };
    struct certificate exact = { .names = names, .name_count = 1 };
    struct certificate wildcard = { .names = names + 1, .name_count = 1 };
    const struct {
        const struct certificate *certificate;
        const char *host;
        bool covered;
    } rows[] = {
        { &exact, "mail.contoso.test", true },
        { &exact, "mail.contoso.tes", false },
        { &exact, "ail.contoso.test", false },
        { &exact, "xmail.contoso.test", false },
        { &exact, "", false },
        { &wildcard, "mail.contoso.test", true },
        { &wildcard, "a.b.contoso.test", false },
        { &wildcard, "contoso.test", false },
        { &wildcard, ".contoso.test", false },
        { &wildcard, "mail.contoso.test.evil", false },
        { &wildcard, "mailcontoso.test", false },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_assert_eq(certificate_covers(rows[i].certificate, rows[i].host, strlen(rows[i].host)),
            rows[i].covered, "row %zu: %s", i, rows[i].host);
}
