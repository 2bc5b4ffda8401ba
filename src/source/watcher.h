/* SPDX-License-Identifier: MIT */
/*
 * What the kernel does to packets while somebody watches, through BPF tracepoints: what it throws
 * away and for which reason, what it sends again, RSTs, errors that sockets are told of. In all
 * network namespaces; needs CAP_BPF and CAP_PERFMON.
 */
#ifndef SOURCE_WATCHER_H
#define SOURCE_WATCHER_H

#include "source/source.h"
#include "view/facts.h"

struct watcher;

/*
 * Begins to watch. NULL: not possible; a note says why, as a clause that begins with "drop reasons
 * were not looked at". What only a part of the tracepoints tells is noted, too.
 */
struct watcher *watcher_start(struct source_notes *notes);
/* The same; the latest ROOM different events are kept: watcher_start() keeps 16384. */
struct watcher *watcher_start_with(struct source_notes *notes, unsigned room);

/*
 * What happened since the start, in the order in which each kind was first seen, without what is
 * harmless (see watcher_harmless()). Replaces FACTS->event, which the owner of FACTS frees with
 * free(), and sets watched and watched_ns. May be called again: the counts go on. If there was more
 * than is kept apart, the oldest is forgotten and a note says so. Returns 0 or -ENOMEM.
 */
int watcher_collect(struct watcher *watcher, struct view_facts *facts, struct source_notes *notes);

/* Ends it; NULL is allowed. */
void watcher_stop(struct watcher *watcher);

/*
 * Whether a drop for the reason of this name (without "SKB_DROP_REASON_") is part of the normal
 * course of things for a packet of PROTOCOL.
 */
bool watcher_harmless(const char *reason, uint8_t protocol);

/*
 * Whether that is the drop of an ACK without data that came while its connection was changing
 * hands: from the half-open one to its socket, or from the socket to its TIME-WAIT. Another says
 * the same, or none is needed.
 */
bool watcher_idle_ack(const struct view_event *event);

#endif
