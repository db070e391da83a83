/*
 * pfx: any bytes as a PKCS#12 file. The MAC over its contents would stop nearly every mutation at the door, so
 * what can be decoded at all is loaded a second time with a MAC of ours (password "pw").
 *
 * Must hold: no crash, no leak; a certificate or a sentence, never neither. Seeds hold private keys and are
 * therefore made by `dev fuzz`, not committed.
 */
#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <string.h>

#include "config/certificate.h"
#include "fuzz.h"
#include "scratch.h"

static void
load(const void *data, size_t size, const char *password)
{
    char error[512] = "";
    struct certificate *certificate;

    scratch_write("input", data, size);
    certificate = certificate_load_pfx(scratch_path("input"), password, error, sizeof(error));
    FUZZ_REQUIRE(certificate || error[0], "a refusal has a reason");
    if (certificate) {
        FUZZ_REQUIRE(certificate->leaf.len && certificate->key.len, "it has a certificate and a key");
        certificate_covers(certificate, "mail.contoso.test", 17);
    }
    certificate_destroy(certificate);
}

int
fuzz_pfx(const uint8_t *data, size_t size)
{
    const unsigned char *at = data;
    PKCS12 *pfx = d2i_PKCS12(NULL, &at, (long)size);
    unsigned char *sealed = NULL;
    int len = 0;

    load(data, size, NULL);
    if (pfx && PKCS12_set_mac(pfx, "pw", -1, NULL, 0, 1, EVP_sha256()))
        len = i2d_PKCS12(pfx, &sealed);
    if (len > 0)
        load(sealed, (size_t)len, scratch_path("a.pw"));
    OPENSSL_free(sealed);
    PKCS12_free(pfx);
    ERR_clear_error();
    return 0;
}
