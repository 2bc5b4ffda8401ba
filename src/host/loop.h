/* SPDX-License-Identifier: MIT */
/*
 * What runs one stack in a process: frames between it and its links, its timers on CLOCK_MONOTONIC,
 * its events to the program, its control socket, and descriptors of the program's own.
 *
 * A loop belongs to one thread, which calls loop_run() or, turn by turn, loop_turn(). All handlers
 * run in that thread, between the stack's calls, and may call the stack. Only loop_stop() and
 * loop_wake() may be called from elsewhere, also from a signal handler.
 */
#ifndef HOST_LOOP_H
#define HOST_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include <couplet/couplet.h>

#include "host/control.h"
#include "link/link.h"

#define LOOP_BATCH 64 /* frames moved at once */

struct loop;

/* CLOCK_MONOTONIC in nanoseconds: the time of a stack that a loop runs. */
uint64_t loop_clock(void);
/* What loop_clock() is to be added to for nanoseconds since 1970: for pcapng_open(). */
uint64_t loop_epoch(void);

/* A loop around STACK, which stays the caller's. Sets the thread's timer slack to 1 ns. */
int loop_new(struct loop **loop, cpl_stack *stack, struct link_why *why);
/* Closes the links, not the control socket. NULL is allowed. */
void loop_free(struct loop *loop);

/*
 * Make an interface of the stack for LINK, which needs a descriptor, and which is the loop's from
 * now on, also if this fails. FLAGS: CPL_IFACE_NO_DAD or 0. Returns its number or a negative errno.
 */
int loop_add_link(struct loop *loop, struct link *link, uint32_t flags, struct link_why *why);
/* Serve CONTROL; NULL: no more. It stays the caller's. */
int loop_set_control(struct loop *loop, struct control *control);

/*
 * Look for SPIN_NS whether something comes before sleeping [0]. Where the other side runs on
 * another core, falling asleep and being woken costs several times what a round trip does; where it
 * runs on the same, looking keeps it from running. Without it, the core is offered once to others
 * before sleeping, as long as that brings frames.
 */
void loop_set_spin(struct loop *loop, uint64_t spin_ns);

/* Readable when the loop has something to do but what is due by time. */
int loop_fd(const struct loop *loop);

/* What happened to a connection; once for each event. */
typedef void (*loop_event_fn)(void *arg, const struct cpl_event *event, uint64_t now);
void loop_on_event(struct loop *loop, loop_event_fn fn, void *arg);
/*
 * Instead of that: FN takes the stack's events itself. It is called in each turn before output, and
 * after input and timers, also when there is none: what has to be done between them fits there.
 * Returns true if there was something to do.
 */
typedef bool (*loop_take_fn)(void *arg, uint64_t now);
void loop_on_take(struct loop *loop, loop_take_fn fn, void *arg);

/*
 * Called with true before the loop may sleep, with false after: to let go of a lock meanwhile. A
 * negative errno ends the turn at once. What is positive before it means that FN has waited, and
 * that there is something to do.
 */
typedef int (*loop_wait_fn)(void *arg, bool waits);
void loop_on_wait(struct loop *loop, loop_wait_fn fn, void *arg);
/*
 * Leave the links' input and the stack's timers to somebody else, or take them back. What the
 * stack has to send is sent in either case.
 */
void loop_pause(struct loop *loop, bool paused);

/* EVENTS of epoll(7) on a descriptor of the program's, level-triggered. */
typedef void (*loop_fd_fn)(void *arg, int fd, uint32_t events, uint64_t now);
int loop_watch(struct loop *loop, int fd, uint32_t events, loop_fd_fn fn, void *arg);
int loop_rewatch(struct loop *loop, int fd, uint32_t events);
void loop_unwatch(struct loop *loop, int fd);

/*
 * Move all there is to move, once, after waiting for it until UNTIL at most (a time, or 0: do not
 * wait, or CPL_NEVER). Returns 0, or the negative errno of a link that is gone.
 */
int loop_turn(struct loop *loop, uint64_t until);
/* Turns until loop_stop(). */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
bool loop_stopped(const struct loop *loop);
/* End the wait of the turn that runs, if it waits. */
void loop_wake(struct loop *loop);

#endif
