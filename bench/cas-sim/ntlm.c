/*
 * ntlm: the bytes of NTLM (MS-NLMP 2.2.1), seen from the server.
 *
 *   Type 1, Type 3   "NTLMSSP\0" | type(4) | ... security buffers: len(2) max(2) offset(4)
 *   Type 2           | target name buffer(8) | flags(4) | challenge(8) | reserved(8)
 *                    | target info buffer(8) | version(8) | target name | target info
 *
 * The challenge differs per connection, so that a recording of one is no good on another. The
 * proof in Type 3 is not looked at: any password is right. What matters to the tests is who comes
 * in which order on which connection, and auth.c keeps that.
 */
#include "ntlm.h"

#include <openssl/evp.h>
#include <string.h>

#define FLAG_UNICODE 0x00000001u
#define TYPE2_FLAGS (FLAG_UNICODE | 0x00000004u | 0x00000200u | 0x00008000u | 0x00020000u | \
    0x00080000u | 0x00800000u | 0x02000000u | 0x20000000u | 0x80000000u)

static void
put16(unsigned char *at, unsigned value)
{
    at[0] = (unsigned char)value;
    at[1] = (unsigned char)(value >> 8);
}

static void
put32(unsigned char *at, uint32_t value)
{
    put16(at, value & 0xffff);
    put16(at + 2, value >> 16);
}

static uint32_t
get32(const unsigned char *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

int
ntlm_type(const unsigned char *message, size_t len)
{
    if (len < 12 || memcmp(message, "NTLMSSP", 8) != 0)
        return 0;
    uint32_t type = get32(message + 8);
    return type >= 1 && type <= 3 ? (int)type : 0;
}

static size_t
put_utf16(unsigned char *at, const char *text)
{
    size_t n = 0;
    for (; *text; text++) {
        at[n++] = (unsigned char)*text;
        at[n++] = 0;
    }
    return n;
}

static size_t
put_pair(unsigned char *at, unsigned id, const char *text)
{
    size_t n = put_utf16(at + 4, text);
    put16(at, id);
    put16(at + 2, (unsigned)n);
    return n + 4;
}

void
ntlm_challenge(uint64_t number, const char *target, char ret_base64[NTLM_CHALLENGE_MAX])
{
    static const char domain[] = "CONTOSO";
    unsigned char m[320] = "NTLMSSP";
    uint64_t mixed = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
    size_t name_len = put_utf16(m + 56, domain);
    size_t info = 56 + name_len;
    size_t end = info;
    put32(m + 8, 2);
    put16(m + 12, (unsigned)name_len);
    put16(m + 14, (unsigned)name_len);
    put32(m + 16, 56);
    put32(m + 20, TYPE2_FLAGS);
    memcpy(m + 24, &mixed, 8);
    end += put_pair(m + end, 2, domain);
    end += put_pair(m + end, 1, target);
    end += put_pair(m + end, 4, "contoso.local");
    end += put_pair(m + end, 0, "");
    put16(m + 40, (unsigned)(end - info));
    put16(m + 42, (unsigned)(end - info));
    put32(m + 44, (uint32_t)info);
    memcpy(m + 48, "\x06\x03\x80\x25\x00\x00\x00\x0f", 8);
    EVP_EncodeBlock((unsigned char *)ret_base64, m, (int)end);
}

bool
ntlm_user(const unsigned char *message, size_t len, char *ret_user, size_t room)
{
    if (len < 64)
        return false;
    size_t bytes = message[36] | (size_t)message[37] << 8;
    size_t offset = get32(message + 40);
    size_t step = get32(message + 60) & FLAG_UNICODE ? 2 : 1;
    if (offset > len || bytes > len - offset || bytes < step)
        return false;
    size_t n = 0;
    for (size_t i = 0; i + step <= bytes && n + 1 < room; i += step) {
        unsigned char byte = message[offset + i];
        bool is_wide = step == 2 && message[offset + i + 1] != 0;
        ret_user[n++] = is_wide || byte <= 0x20 || byte >= 0x7f ? '?' : (char)byte;
    }
    ret_user[n] = '\0';
    return true;
}
