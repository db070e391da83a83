/*
 * iis_path: the reference canonicaliser. What http.sys, IIS and Windows together may make of a
 * request-target; independent of the proxy's own classifier, so that it can be its oracle.
 */
#ifndef CAS_SIM_IIS_PATH_H
#define CAS_SIM_IIS_PATH_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Writes the resolved path of the raw request-target raw[0..len) to out, NUL-terminated: decoded,
 * lower case, without dot segments, empty segments or query, beginning with '/'. Where the layers
 * are known to disagree, the most dangerous reading is taken. What http.sys refuses with 400 (an
 * escape that is none, a control character, a target without a path) gives the empty string.
 * A result that does not fit is cut at out_size - 1 bytes; out_size must be at least 2.
 */
void iis_path(const char *raw, size_t len, char *out, size_t out_size);

/* True if a path that iis_path wrote is served by the mailbox replication proxy (MRSProxy). */
bool iis_path_is_mrsproxy(const char *path);

#endif
