/*
 * ntlm: the three messages of MS-NLMP, just enough to play the server's part without passwords.
 */
#ifndef CAS_SIM_NTLM_H
#define CAS_SIM_NTLM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NTLM_CHALLENGE_MAX 512

/* 1, 2 or 3; 0 if the bytes are no NTLMSSP message. */
int ntlm_type(const unsigned char *message, size_t len);

/* Base64 of a Type 2 message whose challenge is made from number; target is the server's name. */
void ntlm_challenge(uint64_t number, const char *target, char ret_base64[NTLM_CHALLENGE_MAX]);

/* The user name of a Type 3 message (UTF-16LE or OEM) as ASCII; false if absent or malformed. */
bool ntlm_user(const unsigned char *message, size_t len, char *ret_user, size_t room);

#endif
