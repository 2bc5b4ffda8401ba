/* SPDX-License-Identifier: MIT */
/*
 * The far host asked as well (peer.h): its sockets on the port stand beside those of this machine's
 * namespaces, as a place of its own, so that the same questions find who listens there, what waits
 * to be accepted or read, and what has arrived.
 */
#include "source/stairs_step.h"

#include <string.h>

#include "source/peer.h"

void stairs_peer_open(struct stairs *s)
{
	char error[PEER_ERROR];

	if (!s->o->peer)
		return;
	if (peer_open(&s->peer, s->o->peer, error)) {
		s->peer = NULL;
		view_diagnosis_unseen(s->d, "the far host: %.150s", error);
	}
}

/* Of the namespaces of that host, the one that has the address, or our connection; 0: none is
 * known. */
static uint32_t netns_of(const struct snapshot_set *set, const struct stairs_call *c, uint16_t port)
{
	uint32_t netns = 0;

	for (size_t i = 0; i < set->n; i++) {
		const struct cpl_info *f = &set->info[i];

		if (f->local_port == port && f->remote_port == c->local_port &&
		    cpl_addr_equal(&f->remote_addr, &c->local))
			return f->netns;
		if (cpl_addr_equal(&f->local_addr, &c->addr))
			netns = f->netns;
	}
	return netns;
}

static void take(struct stairs *s, const struct snapshot *there)
{
	const struct snapshot_set *set = &there->passes.set[0];
	const struct stairs_call *c = s->best;
	uint16_t port = s->o->target.port;
	uint32_t netns = netns_of(set, c, port);
	struct far_place *home, *other;

	home = far_add_place(&s->far, there->host[0] ? there->host : "the far host");
	other = far_add_place(&s->far, there->host[0] ? there->host : "the far host");
	if (!home || !other)
		return;
	home->has_address = true;
	other->elsewhere = true;
	for (size_t i = 0; i < set->n; i++) {
		const struct cpl_info *f = &set->info[i];
		struct far_place *place = !netns || f->netns == netns ? home : other;

		if (f->local_port == port &&
		    (f->state == CPL_LISTEN || f->remote_port == c->local_port))
			far_add_socket(&s->far, place, f);
	}
}

void stairs_peer_look(struct stairs *s)
{
	struct snapshot there;
	char error[PEER_ERROR];

	if (!s->peer)
		return;
	snapshot_init(&there);
	if (peer_ask(s->peer, 1, true, error) || peer_answer(s->peer, &there, error))
		view_diagnosis_unseen(s->d, "the far host: %.150s", error);
	else if (!snapshot_owns(&there, &s->best->addr))
		view_diagnosis_unseen(
			s->d, "the far host: %.64s was asked, and %s is none of its addresses",
			word_foreign(there.host).s, word_addr(&s->best->addr).s);
	else if (there.passes.taken)
		take(s, &there);
	snapshot_free(&there);
}

void stairs_peer_close(struct stairs *s)
{
	if (s->peer)
		peer_close(s->peer);
	s->peer = NULL;
}
