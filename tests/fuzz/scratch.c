/*
 * scratch: what the loaders of files need around them. A fuzzer's child may die at any moment, so the
 * directory is in memory (/dev/shm) where there is one, and small.
 *
 * Called by the yaml, pfx and admin targets. The key is made anew in every process: none is ever in the tree.
 */
#include "scratch.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

const char *fuzz_input;

static char directory[64];
static pid_t owner;

static void
remove_directory(void)
{
    static const char *const names[] = { "a.pem", "a.key", "a.pw", "input", "token", "door" };

    if (getpid() != owner)
        return;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlink(scratch_path(names[i]));
    rmdir(directory);
}

static void
make_certificate(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_NAME *name = X509_NAME_new();
    X509_EXTENSION *names =
        X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:mail.contoso.test,DNS:*.wild.test");
    FILE *file;

    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"mail", -1, -1, 0);
    X509_set_version(certificate, X509_VERSION_3);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_set_subject_name(certificate, name);
    X509_set_issuer_name(certificate, name);
    X509_set_pubkey(certificate, key);
    X509_add_ext(certificate, names, -1);
    FUZZ_REQUIRE(X509_sign(certificate, key, EVP_sha256()) > 0, "a certificate can be made");
    file = fopen(scratch_path("a.pem"), "we");
    FUZZ_REQUIRE(file && PEM_write_X509(file, certificate), "it can be written");
    fclose(file);
    file = fopen(scratch_path("a.key"), "we");
    FUZZ_REQUIRE(file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), "so can its key");
    fclose(file);
    X509_EXTENSION_free(names);
    X509_NAME_free(name);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void
make_directory(void)
{
    owner = getpid();
    snprintf(directory, sizeof(directory), "%s/casgate-fuzz-XXXXXX",
        access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    FUZZ_REQUIRE(mkdtemp(directory), "there is room for a directory");
    atexit(remove_directory);
    make_certificate();
    scratch_write("a.pw", "pw\n", 3);
}

const char *
scratch_path(const char *name)
{
    static char paths[8][96];
    static unsigned next;
    char *path = paths[next++ % 8];

    if (!owner)
        make_directory();
    snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    return path;
}

void
scratch_write(const char *name, const void *data, size_t size)
{
    FILE *file = fopen(scratch_path(name), "we");

    FUZZ_REQUIRE(file && fwrite(data, 1, size, file) == size && fclose(file) == 0, "a file can be written");
}
