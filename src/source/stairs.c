/* SPDX-License-Identifier: MIT */
/* The stairs to a destination, from one step to the next: see stairs.h. */
#include "source/stairs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "source/stairs_step.h"

void stairs_watch(struct stairs *s)
{
	if (s->tried_to_watch)
		return;
	s->tried_to_watch = true;
	s->watcher = watcher_start(&s->watcher_notes);
}

void stairs_hang_up(struct stairs *s)
{
	for (unsigned i = 0; i < s->calls; i++) {
		if (s->call[i].fd >= 0)
			talk_end(s->call[i].fd);
		s->call[i].fd = -1;
	}
}

/* The calls may all have been made before the kernel was watched: one more, for its reasons. */
static void call_watched(struct stairs *s)
{
	struct stairs_call again = { .addr = s->best->addr, .scope = s->best->scope, .fd = -1 };

	if (s->best->outcome != STAIRS_SILENT || !s->watcher)
		return;
	call_alone(&again, s->o->target.port, STAIRS_AGAIN_MS);
	s->best->watched_port = again.local_port;
	if (again.fd >= 0)
		close(again.fd);
}

/* All that goes over the network, and a look at what it left behind. */
static void go(struct stairs *s)
{
	stairs_routes(s);
	far_open(&s->far, s->name.addr, s->name.n);
	stairs_peer_open(s);
	stairs_ask_neighbours(s);
	stairs_call_all(s);
	if (s->best->outcome == STAIRS_OPEN)
		talk_run(s, s->best, &s->talk, greet_choose(s->o), true);
	call_watched(s);
	far_look(&s->far, s->best, s->o->target.port);
	stairs_peer_look(s);
	stairs_reconsider(s);
	tap_read(&s->tap, s->call, s->calls, s->o->target.port);
	if (s->watcher)
		watcher_collect(s->watcher, &s->facts, &s->watcher_notes);
}

static void climb(struct stairs *s)
{
	static bool (*const step[])(struct stairs *) = {
		stairs_address,	  stairs_route, stairs_neighbour, stairs_syn,
		stairs_handshake, stairs_data,	stairs_reads,
	};

	stairs_proxies(s);
	if (!stairs_name(s))
		return;
	go(s);
	if (s->best->outcome != STAIRS_OPEN && stairs_blame_name(s))
		return;
	for (unsigned i = 0; i < sizeof(step) / sizeof(*step); i++)
		if (!step[i](s))
			return;
}

static void describe(struct stairs *s)
{
	const struct stairs_target *t = &s->o->target;
	struct view_word host = word_foreign(t->host);

	if (t->scheme[0])
		snprintf(s->d->what, sizeof(s->d->what), "%s port %u (%s)", host.s, t->port,
			 t->scheme);
	else
		snprintf(s->d->what, sizeof(s->d->what), "%s port %u", host.s, t->port);
	s->d->stairs = true;
}

int stairs_climb(struct view_diagnosis *d, const struct stairs_options *options,
		 struct cpl_addr addr[STAIRS_ADDRESSES], unsigned *addrs)
{
	struct stairs *s = calloc(1, sizeof(*s));

	if (!s) {
		d->failed = true;
		return -ENOMEM;
	}
	s->d = d;
	s->o = options;
	s->tap.fd = -1;
	s->best = &s->call[0];
	describe(s);
	climb(s);
	if (addrs) {
		*addrs = s->name.n;
		memcpy(addr, s->name.addr, s->name.n * sizeof(*addr));
	}
	stairs_hang_up(s);
	stairs_peer_close(s);
	tap_close(&s->tap);
	far_close(&s->far);
	watcher_stop(s->watcher);
	free(s->facts.event);
	d->failed |= s->far.failed;
	free(s);
	return d->failed ? -ENOMEM : 0;
}
