/*
 * vdir: the virtual directories of a CAS, and which play answers a request to one of them.
 */
#ifndef CAS_SIM_VDIR_H
#define CAS_SIM_VDIR_H

#include <stddef.h>

struct exchange;
struct play;

enum vdir {
    VDIR_ROOT, VDIR_OWA, VDIR_ECP, VDIR_EWS, VDIR_MAPI, VDIR_RPC, VDIR_OAB, VDIR_AUTODISCOVER,
    VDIR_EAS, VDIR_POWERSHELL, VDIR_UNKNOWN, VDIR_COUNT,
};

/* Lower-case first segment, "" for the root. */
extern const char *const vdir_names[VDIR_COUNT];

/* The directory of a path that iis_path wrote. */
enum vdir vdir_of_path(const char *path);

/* By name ("owa", "eas" and "root" too); VDIR_COUNT if there is none. */
enum vdir vdir_by_name(const char *name);

/* Who answers this request, once it may be answered at all (authentication is over). */
const struct play *vdir_play(struct exchange *x);

/* Answers that do not depend on the directory. */
extern const struct play play_health, play_ssl_required, play_mrsproxy_plain;

#endif
