/*
 * certificate_pfx: reads a PFX (PKCS#12) as Windows writes it, bag by bag.
 *
 *     PFX ── MAC (proves the password) ──┬─ encrypted: certificate bags    RC2-40 | 3DES | AES
 *                                        └─ plain: shrouded key bag        3DES | AES
 *
 * Windows Server 2012 encrypts certificates with RC2-40, which OpenSSL 3 keeps in its legacy
 * provider. That provider is loaded into a library context which dies when this function returns;
 * the result goes on as DER and nothing else in the process can negotiate what is in there.
 *
 * PKCS12_parse is not used: it takes the first of several keys without a word. Walking the bags
 * also lets each thing that goes wrong have a sentence of its own.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <stdio.h>
#include <string.h>

#include "certificate_parts.h"

enum { NESTING_MAX = 4, PASSWORD_MAX = 1024 };

/* A password on its way to OpenSSL; NULL text and "" are different passwords in PKCS#12. */
struct password {
    char text[PASSWORD_MAX]; /* wiped by password_finish */
    size_t len;              /* bytes, without NUL */
    const char *use;         /* text, or NULL for none at all */
};

static bool
password_init(struct password *password, struct certificate_bag *bag, const char *path)
{
    unsigned char *file, *line;
    size_t file_len, len;

    *password = (struct password) { .use = NULL };
    if (!path)
        return true;
    file = certificate_read_file(path, &file_len, bag->error, bag->error_size);
    if (!file)
        return false;
    line = file;
    if (file_len >= 3 && memcmp(file, "\xef\xbb\xbf", 3) == 0)
        line += 3;
    len = strcspn((char *)line, "\r\n");
    if (len < sizeof password->text) {
        memcpy(password->text, line, len);
        password->len = len;
        password->use = password->text;
    }
    OPENSSL_clear_free(file, file_len);
    if (!password->use) {
        snprintf(bag->error, bag->error_size, "%s: the password is longer than %d bytes", path,
            PASSWORD_MAX - 1);
        return false;
    }
    return true;
}

static void
password_finish(struct password *password)
{
    OPENSSL_cleanse(password, sizeof *password);
}

/* Finds out whether the password is right, and which of the two empty ones an empty one is. */
static bool
check_mac(struct certificate_bag *bag, PKCS12 *pfx, struct password *password, bool given)
{
    if (!PKCS12_mac_present(pfx))
        return true;
    if (PKCS12_verify_mac(pfx, password->use, (int)password->len))
        return true;
    if (password->len == 0) {
        password->use = password->use ? NULL : password->text;
        if (PKCS12_verify_mac(pfx, password->use, 0))
            return true;
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) == PKCS12_R_MAC_GENERATION_ERROR)
        return certificate_bag_fail(bag, "its integrity check is of a kind that is not supported "
                                         "(OpenSSL: %s)", certificate_openssl_reason());
    return certificate_bag_fail(bag, "%s", given ? "the password in password-file is wrong"
                                                 : "needs a password: give password-file");
}

static bool
take_key(struct certificate_bag *bag, const PKCS8_PRIV_KEY_INFO *info)
{
    EVP_PKEY *key = EVP_PKCS82PKEY_ex(info, bag->library, NULL);

    if (!key)
        return certificate_bag_fail(bag, "the private key is of an unknown kind (OpenSSL: %s)",
            certificate_openssl_reason());
    certificate_bag_add_key(bag, key);
    return true;
}

static bool
take_shrouded_key(struct certificate_bag *bag, const PKCS12_SAFEBAG *safe,
    const struct password *password)
{
    PKCS8_PRIV_KEY_INFO *info = PKCS12_decrypt_skey_ex(safe, password->use, (int)password->len,
        bag->library, NULL);
    bool ok;

    if (!info)
        return certificate_bag_fail(bag, "the encryption of its key is not supported or the "
                                         "password is wrong (OpenSSL: %s)",
            certificate_openssl_reason());
    ok = take_key(bag, info);
    PKCS8_PRIV_KEY_INFO_free(info);
    return ok;
}

static bool
take_certificate(struct certificate_bag *bag, const PKCS12_SAFEBAG *safe)
{
    X509 *found = PKCS12_SAFEBAG_get1_cert(safe);
    unsigned char *data = NULL;
    int len;
    bool ok;

    if (!found)
        return certificate_bag_fail(bag, "a certificate in it is damaged (OpenSSL: %s)",
            certificate_openssl_reason());
    /* it was decoded in OpenSSL's global library: decode again in ours */
    len = i2d_X509(found, &data);
    X509_free(found);
    ok = len > 0 && certificate_bag_add(bag, data, (size_t)len);
    OPENSSL_free(data);
    return ok;
}

/* Takes one safe's bags. Bags may hold safes; a file that nests deeper than anyone writes is
 * refused. */
static bool
take_safe(struct certificate_bag *bag, const STACK_OF(PKCS12_SAFEBAG) *safes,
    const struct password *password, int depth)
{
    bool ok = depth < NESTING_MAX || certificate_bag_fail(bag, "is nested too deeply");

    for (int i = 0; ok && i < sk_PKCS12_SAFEBAG_num(safes); i++) {
        const PKCS12_SAFEBAG *safe = sk_PKCS12_SAFEBAG_value(safes, i);

        switch (PKCS12_SAFEBAG_get_nid(safe)) {
        case NID_keyBag:
            ok = take_key(bag, PKCS12_SAFEBAG_get0_p8inf(safe));
            break;
        case NID_pkcs8ShroudedKeyBag:
            ok = take_shrouded_key(bag, safe, password);
            break;
        case NID_certBag:
            if (PKCS12_SAFEBAG_get_bag_nid(safe) == NID_x509Certificate)
                ok = take_certificate(bag, safe);
            break;
        case NID_safeContentsBag:
            ok = take_safe(bag, PKCS12_SAFEBAG_get0_safes(safe), password, depth + 1);
            break;
        default:
            break;
        }
    }
    return ok;
}

static bool
take_part(struct certificate_bag *bag, PKCS7 *part, const struct password *password)
{
    STACK_OF(PKCS12_SAFEBAG) *safes = NULL;
    bool ok;

    switch (OBJ_obj2nid(part->type)) {
    case NID_pkcs7_data:
        safes = PKCS12_unpack_p7data(part);
        break;
    case NID_pkcs7_encrypted:
        safes = PKCS12_unpack_p7encdata(part, password->use, (int)password->len);
        break;
    default:
        return true;
    }
    if (!safes)
        return certificate_bag_fail(bag, "its encryption is not supported here%s (OpenSSL: %s)",
            bag->legacy ? "" : " because OpenSSL's legacy provider is missing",
            certificate_openssl_reason());
    ok = take_safe(bag, safes, password, 0);
    sk_PKCS12_SAFEBAG_pop_free(safes, PKCS12_SAFEBAG_free);
    return ok;
}

static bool
take_pfx(struct certificate_bag *bag, PKCS12 *pfx, const struct password *password)
{
    STACK_OF(PKCS7) *parts = PKCS12_unpack_authsafes(pfx);
    bool ok = parts || certificate_bag_fail(bag, "is damaged (OpenSSL: %s)",
                           certificate_openssl_reason());

    for (int i = 0; ok && i < sk_PKCS7_num(parts); i++)
        ok = take_part(bag, sk_PKCS7_value(parts, i), password);
    sk_PKCS7_pop_free(parts, PKCS7_free);
    return ok;
}

static PKCS12 *
open_pfx(struct certificate_bag *bag)
{
    size_t len;
    unsigned char *file = certificate_read_file(bag->path, &len, bag->error, bag->error_size);
    const unsigned char *at = file;
    PKCS12 *pfx;

    if (!file)
        return NULL;
    pfx = PKCS12_init_ex(NID_pkcs7_data, bag->library, NULL);
    /* on failure d2i frees what it was given and sets it to NULL */
    if (!pfx || !d2i_PKCS12(&pfx, &at, (long)len)) {
        certificate_bag_fail(bag, "is not a PFX (PKCS#12) file%s",
            memcmp(file, "-----BEGIN", 10) == 0 ? "; it is PEM: use chain and key instead" : "");
        pfx = NULL;
    }
    OPENSSL_clear_free(file, len);
    return pfx;
}

struct certificate *
certificate_load_pfx(const char *pfx_path, const char *password_path, char *error,
    size_t error_size)
{
    struct certificate_bag bag;
    struct certificate *certificate = NULL;
    struct password password = { .use = NULL };
    PKCS12 *pfx = NULL;

    if (certificate_bag_init(&bag, pfx_path, true, error, error_size) &&
        password_init(&password, &bag, password_path) && (pfx = open_pfx(&bag)) &&
        check_mac(&bag, pfx, &password, password_path != NULL) && take_pfx(&bag, pfx, &password))
        certificate = certificate_assemble(&bag);
    PKCS12_free(pfx);
    password_finish(&password);
    certificate_bag_finish(&bag);
    return certificate;
}
