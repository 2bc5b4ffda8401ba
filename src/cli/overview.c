/* SPDX-License-Identifier: MIT */
/* couplet without a word: this machine's connections in five lines. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/connections.h"
#include "view/text.h"

#define UDP 17

struct counted {
	char name[32];
	unsigned n;
};

/* Names and how often each was seen; what finds no room is counted together. */
struct tally {
	struct counted *counted;
	size_t n, room;
	bool failed;
};

static void count(struct tally *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++) {
		if (strcmp(t->counted[i].name, name) == 0) {
			t->counted[i].n++;
			return;
		}
	}
	if (t->n == t->room) {
		size_t room = t->room ? t->room * 2 : 32;
		struct counted *bigger = reallocarray(t->counted, room, sizeof(*bigger));

		if (!bigger) {
			t->failed = true;
			return;
		}
		t->counted = bigger;
		t->room = room;
	}
	snprintf(t->counted[t->n].name, sizeof(t->counted->name), "%s", name);
	t->counted[t->n++].n = 1;
}

static int by_count(const void *a, const void *b)
{
	const struct counted *x = a, *y = b;

	return x->n != y->n ? (x->n < y->n ? 1 : -1) : strcmp(x->name, y->name);
}

/* "LABEL a 3, b 2, c, and 4 more" in one line of the width of T. */
static void put_tally(struct text *t, const char *label, struct tally *tally, const char *none,
		      bool ones)
{
	unsigned room = t->width > 40 ? t->width - 14 : 26;
	size_t i;

	if (tally->n)
		qsort(tally->counted, tally->n, sizeof(*tally->counted), by_count);
	text_puts(t, label);
	text_column(t, 12, 1);
	for (i = 0; i < tally->n; i++) {
		const struct counted *c = &tally->counted[i];
		struct view_word w = { "" };

		if (ones || c->n > 1)
			snprintf(w.s, sizeof(w.s), " %u", c->n);
		if (i && text_at(t) + strlen(c->name) + strlen(w.s) + 2 > room)
			break;
		text_puts(t, i ? ", " : "");
		text_foreign(t, c->name);
		text_puts(t, w.s);
	}
	if (i < tally->n)
		text_printf(t, ", %zu more", tally->n - i);
	if (!tally->n)
		text_puts(t, none);
	text_puts(t, "\n");
}

static bool is_tcp_state(const struct cpl_info *i, enum cpl_state state)
{
	return i->protocol != UDP && cpl_info_known(i, CPL_F_state) && i->state == state;
}

/* What is worth a look at this one, or NULL. In words that fit behind its name. */
static const char *odd(const struct cpl_info *i)
{
	if (i->protocol == UDP || !cpl_info_known(i, CPL_F_state))
		return NULL;
	if (i->state == CPL_LISTEN)
		return cpl_info_known(i, CPL_F_backlog) && i->accept_queue > i->backlog
			       ? "accept queue full: its program does not accept"
			       : NULL;
	if (i->state == CPL_SYN_SENT && i->rexmt_count)
		return "no answer to its SYN";
	if (cpl_info_known(i, CPL_F_why) && i->why == CPL_WHY_ZERO_WND)
		return "the peer's window is zero: the program there does not read";
	if (cpl_info_known(i, CPL_F_backoff) && i->backoff > 1 && i->send_queue)
		return "sends again and again: no ACK comes";
	if (i->state == CPL_CLOSE_WAIT && cpl_info_known(i, CPL_F_inode))
		return "the peer has closed, its program has not";
	return NULL;
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static void put_odd(struct text *t, const struct snapshot_set *set)
{
	size_t n = 0, first = 0;

	for (size_t i = 0; i < set->n; i++)
		if (odd(&set->info[i]) && n++ == 0)
			first = i;
	text_puts(t, "look at");
	text_column(t, 12, 1);
	if (!n) {
		text_puts(t, "nothing that stands out among what can be seen from here\n");
		return;
	}
	text_printf(t, "'#%zu': %s", first + 1, odd(&set->info[first]));
	if (n > 1)
		text_printf(t, " (and %zu more)", n - 1);
	text_puts(t, "\n");
}

static void put_all(struct text *t, const struct snapshot_set *set)
{
	struct tally states = { 0 }, listeners = { 0 }, programs = { 0 };
	size_t connections = 0, listening = 0, udp = 0, stacks = 0;

	for (size_t i = 0; i < set->n; i++) {
		const struct cpl_info *info = &set->info[i];
		bool listen = is_tcp_state(info, CPL_LISTEN);
		struct view_word port;

		stacks += info->source == CPL_SOURCE_STACK;
		udp += info->protocol == UDP;
		listening += listen;
		if (listen) {
			snprintf(port.s, sizeof(port.s), ":%u%s%.15s", info->local_port,
				 cpl_info_known(info, CPL_F_program) ? " " : "", info->program);
			count(&listeners, port.s);
		} else if (info->protocol != UDP) {
			connections++;
			count(&states, view_state_name(info->state));
			if (cpl_info_known(info, CPL_F_program))
				count(&programs, info->program);
		}
	}
	text_printf(t, "here");
	text_column(t, 12, 1);
	text_printf(t, "%zu TCP connection%s, %zu listener%s, %zu UDP socket%s", connections,
		    plural(connections), listening, plural(listening), udp, plural(udp));
	if (stacks)
		text_printf(t, "; %zu of Couplet's stacks", stacks);
	text_puts(t, "\n");
	put_tally(t, "states", &states, "none", true);
	put_tally(t, "listening", &listeners, "nobody", false);
	put_tally(t, "programs", &programs, "none that can be seen from here", true);
	put_odd(t, set);
	free(states.counted);
	free(listeners.counted);
	free(programs.counted);
}

int overview(void)
{
	/* Counts need no sequence numbers: BPF would cost more than it gives. */
	struct source_options options = {
		.sources = SOURCE_STACKS | SOURCE_SOCK_DIAG,
		.udp = true,
		.owners = true,
	};
	struct snapshot_set set;
	struct text t;
	int status;

	snapshot_set_init(&set);
	status = connections_collect(&set, &options);
	if (status == CLI_OK) {
		text_init(&t);
		t.width = (unsigned)cli_width(stdout);
		put_all(&t, &set);
		if (text_flush(&t, stdout) == -ENOMEM)
			status = cli_fail(CLI_CANNOT, "out of memory");
		text_free(&t);
		connections_notes(&set.notes, true);
	}
	snapshot_set_free(&set);
	return status;
}
