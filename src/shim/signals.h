/* SPDX-License-Identifier: MIT */
/*
 * Inside libcouplet-shim.so: no signal while a thread is in the stack (shim/inliner.h).
 *
 * A handler may call us, and the default action of most signals would end the process in the
 * middle of things. Blocking them all takes two system calls, more than most calls of a socket are
 * worth. So there is a handler of ours before the program's own, and in place of default actions
 * that end or stop it: what comes at a bad time is sent again later. The program does not see it:
 * sigaction(2) tells it what it has set itself.
 */
#ifndef SHIM_SIGNALS_H
#define SHIM_SIGNALS_H

/* This process is about to run the stack. */
void signals_guard(void);
/* Between the two this thread runs no handler, and is not ended but by SIGKILL. They do not nest.
 */
void signals_hold(void);
void signals_release(void);
/* So many of the program's handlers have run in this thread. */
unsigned signals_handled(void);

#endif
