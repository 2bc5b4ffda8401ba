/* SPDX-License-Identifier: MIT */
/*
 * Inside libcouplet-shim.so: the stack inline (shim/inline.h), as this process has it.
 *
 * A call that may be made inline is tried so first. It is not (false, or INLINE_NOT) if this
 * process has no lease, and while several of its threads wait at once: then the server is the one
 * that knows whom to wake, and all of them ask it for a while.
 */
#ifndef SHIM_INLINER_H
#define SHIM_INLINER_H

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>

#include "shim/inline.h"
#include "shim/shim.h"

#define INLINE_NOT INT64_MIN
#define INLINE_ASK (-2) /* instead of a descriptor: ask the server */

/* The server offered it, at ADDRESS: takes the descriptors (arena, device, nudge). */
void inliner_attach(uint64_t address, const int fds[3], uint64_t key);
/* In a child: it is the parent's. */
void inliner_detach(void);
/* Before execve(2) and exit(3): no thread is in the stack any more, nor will be. */
void inliner_stop(void);
/* execve(2) failed. */
void inliner_go_on(void);

/*
 * An epoll descriptor is looked at from outside, where only its bell is seen, which the server
 * rings: it is to have all to do.
 */
void inliner_nested(void);

/* A thread is about to wait for the server, or is done. */
void inliner_waits(int change);
/* ... not in a call, but for the bell of a set: what has happened already is to ring it, too. */
void inliner_waits_at_bell(void);

/* Inline, as far as can be said without the lock. */
bool inline_may(void);

/* ---- In the stack --------------------------------------------------------------------------- */

/*
 * Take the lock, with all signals blocked, until inline_leave(). NULL: not inline. *NOW: the time.
 */
struct inline_state *inline_enter(uint64_t *now);
/*
 * Sends what there is to send. Who calls again and again, and never looks for input, keeps all
 * others from it: after INLINE_TAKE_NS this does it.
 */
void inline_leave(uint64_t now);
/*
 * As inline_leave(), but while a program is quick and has more than one ready socket to see to,
 * what it sends waits for what it sends next, and so does the ACK for what it reads: one burst
 * wakes the other side once, and the ACK goes with the answer. It leaves before the program waits
 * again, with a call when PUT_OFF_NS have passed, and if no call comes by the server, some
 * INLINE_TAKE_NS later.
 */
void inline_leave_soon(uint64_t now);
/* Between enter and leave: the program is told that N sockets are ready. */
void inline_told(unsigned n);
/*
 * What has come in and what is due; not more often than makes sense unless NEEDED. True: more may
 * have come in. Who did not find what it needs is to call again.
 */
bool inline_pass(uint64_t now, bool needed);

/* ---- Waiting -------------------------------------------------------------------------------- */

/* The thread ends, perhaps cancelled while it waited. */
void inliner_thread_ends(void);

/* A call that may wait begins: signals that are handled from now on end its wait. */
void inline_begin(void);
/* A handler ran since then: errno is EINTR. */
bool inline_interrupted(void);
/*
 * This thread is the one that waits, from now on: false, another is. Only what the server and other
 * threads do from now on ends inline_wait(): look once more before that.
 */
bool inline_drive(void);
bool inline_drives(void);
void inline_drive_end(void);
/*
 * Wait until something may have happened: for FDS (N of them, and room for three more) as ppoll(2)
 * does, for packets, timers and the server, until UNTIL. Returns as ppoll(2) for FDS, but early.
 */
int inline_wait(struct pollfd *fds, nfds_t n, uint64_t until, const sigset_t *mask);
/* A handler ran: does signal(7) make a call that blocks go on? */
bool inline_restarts(void);

/* ---- Calls: inline_call.c ------------------------------------------------------------------- */

/* What SLOT asks. False: ask the server. */
bool inline_call(struct shim_slot *slot);
/*
 * As shim_send(), shim_recv(): *DONE octets were sent or received. INLINE_NOT: the server is to be
 * asked for the rest.
 */
int64_t inline_send(int fd, const struct msghdr *msg, int flags, size_t len, size_t *done);
int64_t inline_recv(int fd, struct msghdr *msg, int flags, size_t len, size_t *done);
/*
 * A piece of the file IN from AT on, of the LEN octets that are to be sent, as far as the system
 * has it in memory. *ENDED: what the stack took is all it takes now, or the file's end. INLINE_NOT:
 * another way is to be tried.
 */
int64_t inline_sendfile(int fd, int in, off_t at, size_t len, bool *ended);
int inline_socket(int domain, int type, int protocol);
/* NAME: of the peer, *LEN its length. */
int inline_accept(int fd, struct sockaddr_storage *name, socklen_t *len, int flags);
/* The last descriptor of a socket was closed, which had ID. */
bool inline_close(uint64_t id);
/* Readiness of N descriptors; returns how many are, or INLINE_NOT. */
int64_t inline_look(struct pollfd *fds, nfds_t n);
/* NEEDED: as of inline_pass(); else the caller is about to wait for packets. */
int64_t inline_epoll_take(uint64_t id, struct epoll_event *events, int max, bool needed);

#endif
