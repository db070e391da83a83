/*
 * sandbox: which system calls may be made from now on. Any other ends the process at once (SIGSYS): what makes
 * one is not casgate any more.
 *
 *   SANDBOX_PROCESS  what the control thread needs: files, names, sockets, threads. No other program is started,
 *                    no user changed, nothing mounted, traced or loaded into the kernel.
 *   SANDBOX_WORKER   what moving bytes needs: no file is opened, no name looked up, no thread started, no code
 *                    mapped; sockets are of the internet families. Reading a file is refused (EACCES) and does not end
 *                    the process: the C library looks at the machine when it likes.
 */
#ifndef OPS_SANDBOX_H
#define OPS_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

enum sandbox { SANDBOX_PROCESS, SANDBOX_WORKER };

/* Enters it for good. PROCESS holds for all threads, those that will be started too; WORKER for the calling
 * thread, on top of PROCESS, after it has allocated once. Nothing happens in a build with sanitizers, which do as
 * they please. False with one sentence in error. */
bool sandbox_enter(enum sandbox sandbox, char *error, size_t error_size);

#endif
