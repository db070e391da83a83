/*
 * reaper: nobody frees inside a callback. Close marks and detaches; what is dead is handed to the reaper,
 * which destroys it at the end of the turn, when no caller up the stack can still hold it.
 */
#ifndef BASE_REAPER_H
#define BASE_REAPER_H

#include <stddef.h>

/* Embedded in what is to die. */
struct reaper_node {
    struct reaper_node *next;       /* owned by the reaper */
    void (*destroy)(void *subject); /* called once, at the end of the turn */
    void *subject;                  /* passed to destroy */
};

struct reaper {
    struct reaper_node *first; /* all that died in this turn, last one first */
};

/* Hands over a subject; twice for the same node is a bug of the caller. */
static inline void
reaper_add(struct reaper *reaper, struct reaper_node *node, void (*destroy)(void *), void *subject)
{
    *node = (struct reaper_node) { reaper->first, destroy, subject };
    reaper->first = node;
}

/* Destroys all, also what dies meanwhile. */
static inline void
reaper_run(struct reaper *reaper)
{
    while (reaper->first) {
        struct reaper_node *node = reaper->first;

        reaper->first = node->next;
        node->destroy(node->subject);
    }
}

#endif
