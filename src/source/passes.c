/* SPDX-License-Identifier: MIT */
/* Looking twice, and a third time: see passes.h. */
#include "source/passes.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void passes_init(struct passes *p)
{
	memset(p, 0, sizeof(*p));
	for (unsigned i = 0; i < VIEW_PASSES; i++)
		snapshot_set_init(&p->set[i]);
}

void passes_free(struct passes *p)
{
	for (unsigned i = 0; i < VIEW_PASSES; i++)
		snapshot_set_free(&p->set[i]);
	passes_init(p);
}

static void owner_copy(struct cpl_info *to, const struct cpl_info *from)
{
	static const enum cpl_field fields[] = { CPL_F_pid, CPL_F_fd, CPL_F_program };

	if (cpl_info_known(to, CPL_F_pid) || !cpl_info_known(from, CPL_F_pid))
		return;
	to->pid = from->pid;
	to->fd = from->fd;
	memcpy(to->program, from->program, sizeof(to->program));
	for (unsigned i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		if (cpl_info_known(from, fields[i]))
			cpl_info_mark_read(to, fields[i]);
}

/* What the first pass knows of owners, to the last one taken. */
static int carry_owners(struct passes *p)
{
	struct view_look look = { .passes = 2 };
	struct snapshot_set *last = &p->set[p->taken - 1];
	struct view_match m;
	int err;

	look.pass[0] = (struct view_pass){ p->set[0].info, p->set[0].n };
	look.pass[1] = (struct view_pass){ last->info, last->n };
	err = view_match_ends(&m, &look, 1);
	for (size_t i = 0; !err && i < m.n; i++) {
		const struct cpl_info *before = view_match_info(&m, i, 0);

		if (before && m.end[i].at[1] != VIEW_NONE)
			owner_copy(&last->info[m.end[i].at[1]], before);
	}
	view_match_free(&m);
	return err;
}

int passes_take(struct passes *p, const struct source_options *options)
{
	struct source_options o = *options;
	int err;

	if (p->taken == VIEW_PASSES)
		return -ENOSPC;
	o.owners = options->owners && !p->taken;
	o.same_namespaces = p->taken > 0;
	p->began[p->taken] = now_ns();
	err = source_collect(&p->set[p->taken], &o);
	p->ended[p->taken] = now_ns();
	if (err)
		return err;
	p->taken++;
	return options->owners && p->taken > 1 ? carry_owners(p) : 0;
}

int passes_take_again(struct passes *p, const struct source_options *options,
		      const struct cpl_info *const *seen, size_t n)
{
	struct snapshot_set *set = &p->set[p->taken];
	int err = 0;

	if (p->taken == VIEW_PASSES)
		return -ENOSPC;
	snapshot_set_clear(set);
	p->began[p->taken] = now_ns();
	for (size_t i = 0; i < n; i++) {
		struct cpl_info now;

		err = source_again(options, seen[i], &now);
		if (err == -ENOENT)
			continue;
		if (!err)
			err = snapshot_set_add(set, &now);
		if (err) {
			snapshot_set_clear(set);
			return err == -ENOMEM ? err : -EOPNOTSUPP;
		}
	}
	p->ended[p->taken++] = now_ns();
	return 0;
}

int passes_take_pair(struct passes *p, const struct cpl_info *x, const struct cpl_info *y,
		     uint64_t *apart_ns)
{
	struct source_pair pair;
	int err;

	p->began[0] = now_ns();
	if (source_pair_now(x, y, &pair) || !pair.found[0] || !pair.found[1])
		return -EOPNOTSUPP;
	p->ended[0] = p->began[1] = p->ended[1] = now_ns();
	for (unsigned end = 0; end < 2; end++) {
		err = snapshot_set_add(&p->set[0], &pair.first[end]);
		err = err ?: snapshot_set_add(&p->set[1], &pair.second[end]);
		if (err)
			return err;
	}
	p->taken = 2;
	*apart_ns = pair.apart_ns > pair.apart2_ns ? pair.apart_ns : pair.apart2_ns;
	return 0;
}

void passes_look(const struct passes *p, struct view_look *look)
{
	memset(look, 0, sizeof(*look));
	look->passes = p->taken;
	for (unsigned i = 0; i < p->taken; i++)
		look->pass[i] = (struct view_pass){ p->set[i].info, p->set[i].n };
}

void passes_notes(const struct passes *p, struct source_notes *notes)
{
	memset(notes, 0, sizeof(*notes));
	for (unsigned i = 0; i < p->taken; i++) {
		const struct source_notes *from = &p->set[i].notes;

		for (unsigned k = 0; k < from->n; k++)
			source_note(notes, from->note[k].source, from->note[k].weight,
				    from->note[k].error, "%s", from->note[k].text);
		notes->dropped += from->dropped;
	}
}

static bool any_note(const struct passes *p, bool (*which)(const struct source_note *note))
{
	for (unsigned i = 0; i < p->taken; i++)
		for (unsigned k = 0; k < p->set[i].notes.n; k++)
			if (which(&p->set[i].notes.note[k]))
				return true;
	return false;
}

/* Without sequence numbers, and without owners, the connections are there all the same. */
static bool hides_connections(const struct source_note *note)
{
	return note->weight != SOURCE_REMARK && note->source != CPL_SOURCE_UNKNOWN &&
	       strncmp(note->text, "sequence numbers ", 17) != 0;
}

static bool hides_namespaces(const struct source_note *note)
{
	return note->weight != SOURCE_REMARK && strstr(note->text, "network namespace");
}

bool passes_incomplete(const struct passes *p)
{
	return any_note(p, hides_connections);
}

bool passes_hide_namespaces(const struct passes *p)
{
	return any_note(p, hides_namespaces);
}
