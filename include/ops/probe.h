/*
 * probe: asks every server for the health page of every protocol, over the hop that the protocol's requests
 * take, and hands what came to farm/health. On the control thread.
 */
#ifndef OPS_PROBE_H
#define OPS_PROBE_H

struct loop;
struct probes;
struct view;

/* NULL: no memory. */
struct probes *probes_create(struct loop *loop);

/* Probes what this view names from now on; its reference becomes the probes'. Probes under way are dropped
 * without a result; what is known of servers that stay is kept, and servers that are new to a process that
 * serves already begin with a slow start. */
void probes_follow(struct probes *probes, struct view *view);

/* The view in use; borrowed, NULL before the first. Its farms are the control thread's own. */
struct view *probes_view(const struct probes *probes);

void probes_destroy(struct probes *probes);

#endif
