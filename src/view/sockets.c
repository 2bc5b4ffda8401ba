/* SPDX-License-Identifier: MIT */
/* Descriptor -> socket -> connection: see sockets.h. */
#include "view/sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "view/field.h"
#include "view/line.h"
#include "view/netstat.h"

#define FD_AT	   2
#define SOCKET_AT  14
#define STATE_AT   34
#define ADDRESS_AT 46

struct picture {
	struct text *t;
	const struct view_sockets *s;
	struct view_descriptor *by_process; /* in order of pid, inode, fd */
	struct view_descriptor *by_inode;   /* in order of inode, pid, fd */
	const struct cpl_info **socket;	    /* those with an inode, in its order */
	size_t sockets;
	bool *drawn; /* by their place in s->info */
};

static int order(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int process_order(const void *left, const void *right)
{
	const struct view_descriptor *a = left, *b = right;
	int d = order(a->pid, b->pid);

	if (!d)
		d = order(a->inode, b->inode);
	return d ? d : order(a->fd, b->fd);
}

static int inode_order(const void *left, const void *right)
{
	const struct view_descriptor *a = left, *b = right;
	int d = order(a->inode, b->inode);

	return d ? d : process_order(left, right);
}

static int socket_order(const void *left, const void *right)
{
	const struct cpl_info *const *a = left, *const *b = right;

	return order((*a)->inode, (*b)->inode);
}

static const struct cpl_info *socket_of(const struct picture *p, uint64_t inode)
{
	struct cpl_info wanted = { .inode = inode };
	const struct cpl_info *key = &wanted, **found;

	found = bsearch(&key, p->socket, p->sockets, sizeof(*p->socket), socket_order);
	return found ? *found : NULL;
}

/* The first descriptor that leads to INODE, or the place behind all. */
static size_t first_of(const struct picture *p, uint64_t inode)
{
	size_t low = 0, high = p->s->descriptors;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (p->by_inode[middle].inode < inode)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_shown(const struct picture *p, const struct cpl_info *i)
{
	return !p->s->shown || p->s->shown[i - p->s->info];
}

static bool has_descriptor(const struct picture *p, const struct cpl_info *i)
{
	size_t at;

	if (!cpl_info_known(i, CPL_F_inode))
		return false;
	at = first_of(p, i->inode);
	return at < p->s->descriptors && p->by_inode[at].inode == i->inode;
}

/* ---- One row --------------------------------------------------------------------------------- */

static void arrow(struct text *t, unsigned to)
{
	unsigned at = text_at(t);

	text_puts(t, " ");
	for (at++; at + 2 < to; at++)
		text_puts(t, t->ascii ? "-" : "─");
	text_puts(t, t->ascii ? "> " : "► ");
}

static struct view_word holder(const struct view_descriptor *d)
{
	return word_format("%s (pid %u)", word_foreign(d->program).s, d->pid);
}

static void put_unix(const struct picture *p, const struct cpl_info *i)
{
	const struct cpl_info *peer =
		cpl_info_known(i, CPL_F_peer_inode) ? socket_of(p, i->peer_inode) : NULL;

	text_puts(p->t, "unix ");
	if (cpl_info_known(i, CPL_F_path))
		text_puts(p->t, view_field_word(i, CPL_F_path, 0).s);
	else if (!peer)
		text_puts(p->t, "without a name");
	if (peer) {
		size_t at = first_of(p, peer->inode);

		text_printf(p->t, "%ssocket %llu", cpl_info_known(i, CPL_F_path) ? " - " : "- ",
			    (unsigned long long)peer->inode);
		if (at < p->s->descriptors && p->by_inode[at].inode == peer->inode)
			text_printf(p->t, " of %s", holder(&p->by_inode[at]).s);
	}
}

/* "ESTABLISHED 10.0.0.1:80 - 10.0.0.2:40000" */
static void put_connection(const struct picture *p, const struct cpl_info *i)
{
	struct text *t = p->t;
	const char *state = i->protocol == 17			       ? "udp"
			    : i->family == 1 && i->state == CPL_CLOSED ? ""
			    : cpl_info_known(i, CPL_F_state)	       ? view_state_name(i->state)
								       : "-";

	text_styled(t, view_state_style(i), state);
	text_column(t, ADDRESS_AT, 1);
	if (i->family == 1) {
		put_unix(p, i);
		return;
	}
	text_puts(t, word_endpoint(&i->local_addr, i->local_port).s);
	if (i->remote_port)
		text_printf(t, " - %s", word_endpoint(&i->remote_addr, i->remote_port).s);
}

static void put_note(const struct picture *p, const char *note)
{
	text_puts(p->t, "\n");
	text_repeat(p->t, " ", SOCKET_AT);
	text_wrap(p->t, note, SOCKET_AT, p->t->width);
}

/* What a socket is when it is no connection, or not used. */
static void put_kind(const struct picture *p, const struct cpl_info *i)
{
	if (cpl_info_known(i, CPL_F_state) && i->state == CPL_LISTEN) {
		if (cpl_info_known(i, CPL_F_accept_queue) && cpl_info_known(i, CPL_F_backlog))
			put_note(p, word_format("listens, has no connection; %u of at most %u wait "
						"for accept()",
						i->accept_queue, i->backlog)
					    .s);
		else
			put_note(p, "listens, has no connection");
	} else if (i->protocol == 6 && cpl_info_known(i, CPL_F_state) && i->state == CPL_CLOSED) {
		put_note(p, "bound to a port and not used: neither listening nor connected");
	}
}

/* Who else has it: descriptors of other processes. */
static void put_others(const struct picture *p, uint64_t inode, uint32_t pid)
{
	struct view_word others = { "" };
	size_t len = 0;
	unsigned n = 0;

	for (size_t at = first_of(p, inode);
	     at < p->s->descriptors && p->by_inode[at].inode == inode; at++) {
		const struct view_descriptor *d = &p->by_inode[at];

		if (d->pid == pid)
			continue;
		n++;
		if (len < sizeof(others.s) - 48)
			len += (size_t)snprintf(others.s + len, sizeof(others.s) - len,
						"%sfd %u of pid %u", n > 1 ? ", " : "", d->fd,
						d->pid);
		else if (len < sizeof(others.s) - 8 && others.s[len - 1] != '.')
			len += (size_t)snprintf(others.s + len, sizeof(others.s) - len, " ...");
	}
	if (n)
		put_note(p, word_format("the same socket: %s (fork, or passed on)", others.s).s);
}

static void put_queue(const struct picture *p, const struct cpl_info *listener)
{
	put_note(p,
		 word_format("a connection without a descriptor: it waits in the queue of socket "
			     "%llu",
			     (unsigned long long)listener->inode)
			 .s);
}

/* True if no program has it because none has accepted it. */
static bool is_waiting(const struct cpl_info *i)
{
	return i->family != 1 && view_detached(i) &&
	       (i->state == CPL_ESTABLISHED || i->state == CPL_CLOSE_WAIT);
}

/* What waits at the listener to be accepted. */
static void put_waiting(const struct picture *p, const struct cpl_info *listener)
{
	for (size_t n = 0; n < p->s->n; n++) {
		const struct cpl_info *i = &p->s->info[n];

		if (p->drawn[n] || !is_shown(p, i) || i->local_port != listener->local_port ||
		    !is_waiting(i) || view_listener(p->s->info, p->s->n, i) != listener)
			continue;
		p->drawn[n] = true;
		text_column(p->t, FD_AT, 0);
		text_puts(p->t, "no fd");
		text_column(p->t, SOCKET_AT, 1);
		text_puts(p->t, "not accepted");
		arrow(p->t, STATE_AT);
		put_connection(p, i);
		put_queue(p, listener);
		text_puts(p->t, "\n");
	}
}

/* N descriptors of one process, all of the same socket. */
static void put_socket(struct picture *p, const struct view_descriptor *d, size_t n)
{
	const struct cpl_info *i = socket_of(p, d->inode);
	struct view_word fds = word_format("fd %u", d->fd);

	for (size_t k = 1; k < n; k++) {
		size_t len = strlen(fds.s);

		snprintf(fds.s + len, sizeof(fds.s) - len, ",%u", d[k].fd);
	}
	text_column(p->t, FD_AT, 0);
	text_puts(p->t, fds.s);
	arrow(p->t, SOCKET_AT);
	text_printf(p->t, "socket %llu", (unsigned long long)d->inode);
	arrow(p->t, STATE_AT);
	if (p->drawn[i - p->s->info]) {
		const struct view_descriptor *first = &p->by_inode[first_of(p, d->inode)];

		text_printf(p->t, "as fd %u of pid %u\n", first->fd, first->pid);
		return;
	}
	put_connection(p, i);
	put_kind(p, i);
	if (n > 1)
		put_note(p, word_format("%zu descriptors of one socket (dup): it closes with the "
					"last of them",
					n)
				    .s);
	put_others(p, d->inode, d->pid);
	text_puts(p->t, "\n");
	p->drawn[i - p->s->info] = true;
	if (i->state == CPL_LISTEN && i->family != 1)
		put_waiting(p, i);
}

/* ---- Groups ---------------------------------------------------------------------------------- */

static void put_process(struct picture *p, size_t from, size_t to)
{
	const struct view_descriptor *d = &p->by_process[from];
	bool titled = false;
	size_t others = 0;

	for (size_t at = from, n; at < to; at += n) {
		const struct cpl_info *i = socket_of(p, p->by_process[at].inode);

		for (n = 1; at + n < to && p->by_process[at + n].inode == p->by_process[at].inode;)
			n++;
		if (!i || !is_shown(p, i)) {
			others += !i;
			continue;
		}
		if (!titled) {
			text_puts(p->t, p->t->len ? "\n" : "");
			text_styled(p->t, TEXT_BOLD, holder(d).s);
			text_puts(p->t, "\n");
		}
		titled = true;
		put_socket(p, &p->by_process[at], n);
	}
	if (titled && others && p->s->whole)
		text_printf(p->t, "  and %zu socket%s of other kinds, or never bound\n", others,
			    others == 1 ? "" : "s");
}

static const char *orphan_note(const struct cpl_info *i)
{
	switch (i->state) {
	case CPL_TIME_WAIT:
		return "over, and no socket any more: only the ports are remembered";
	case CPL_SYN_RECEIVED:
		return "half-open: no socket yet";
	case CPL_ESTABLISHED:
	case CPL_CLOSE_WAIT:
		return "not accepted by anybody yet, and no listener is to be seen";
	}
	return "closed by its program: the kernel finishes it alone";
}

/* What no process holds, or none that is seen. */
static void put_rest(struct picture *p, bool detached)
{
	const struct cpl_info *listener;
	bool titled = false;

	for (size_t n = 0; n < p->s->n; n++) {
		const struct cpl_info *i = &p->s->info[n];

		if (p->drawn[n] || !is_shown(p, i) || i->source == CPL_SOURCE_STACK ||
		    cpl_info_known(i, CPL_F_inode) == detached || has_descriptor(p, i))
			continue;
		if (!titled) {
			text_puts(p->t, p->t->len ? "\n" : "");
			text_styled(p->t, TEXT_BOLD,
				    detached		? "no descriptor"
				    : p->s->some_hidden ? "descriptors not seen from here (root "
							  "sees more)"
							: "no process that /proc shows here");
			text_puts(p->t, "\n");
		}
		titled = true;
		text_column(p->t, FD_AT, 0);
		text_puts(p->t, detached ? "no fd" : "fd ?");
		text_column(p->t, SOCKET_AT, 1);
		listener = detached ? view_listener(p->s->info, p->s->n, i) : NULL;
		if (detached && (i->state == CPL_TIME_WAIT || i->state == CPL_SYN_RECEIVED))
			text_puts(p->t, "no socket");
		else if (is_waiting(i) && listener)
			text_puts(p->t, "not accepted");
		else if (detached)
			text_puts(p->t, "orphan");
		else
			text_printf(p->t, "socket %llu", (unsigned long long)i->inode);
		arrow(p->t, STATE_AT);
		put_connection(p, i);
		if (is_waiting(i) && listener)
			put_queue(p, listener);
		else if (detached)
			put_note(p, orphan_note(i));
		text_puts(p->t, "\n");
		p->drawn[n] = true;
	}
}

static int prepare(struct picture *p)
{
	const struct view_sockets *s = p->s;
	size_t size = s->descriptors * sizeof(*s->descriptor);

	p->by_process = malloc(size + 1);
	p->by_inode = malloc(size + 1);
	p->socket = calloc(s->n + 1, sizeof(*p->socket));
	p->drawn = calloc(s->n + 1, sizeof(*p->drawn));
	if (!p->by_process || !p->by_inode || !p->socket || !p->drawn)
		return -ENOMEM;
	if (size) {
		memcpy(p->by_process, s->descriptor, size);
		memcpy(p->by_inode, s->descriptor, size);
	}
	qsort(p->by_process, s->descriptors, sizeof(*p->by_process), process_order);
	qsort(p->by_inode, s->descriptors, sizeof(*p->by_inode), inode_order);
	for (size_t i = 0; i < s->n; i++)
		if (cpl_info_known(&s->info[i], CPL_F_inode))
			p->socket[p->sockets++] = &s->info[i];
	qsort(p->socket, p->sockets, sizeof(*p->socket), socket_order);
	return 0;
}

int view_sockets(struct text *t, const struct view_sockets *sockets)
{
	struct picture p = { .t = t, .s = sockets };
	int err = prepare(&p);

	for (size_t from = 0, to; !err && from < sockets->descriptors; from = to) {
		for (to = from + 1;
		     to < sockets->descriptors && p.by_process[to].pid == p.by_process[from].pid;)
			to++;
		put_process(&p, from, to);
	}
	if (!err) {
		put_rest(&p, false);
		put_rest(&p, true);
	}
	free(p.by_process);
	free(p.by_inode);
	free(p.socket);
	free(p.drawn);
	return err;
}
