/* SPDX-License-Identifier: MIT */
/*
 * The connections of Couplet's own stacks, each read from the control socket that its process
 * offers (host/control.h). A stack tells everything that it knows, sequence numbers included.
 *
 * Who answers may be anyone of this user, for root of any user: records are taken for those of a
 * stack, whatever they say they are, and source.c drops those that make no sense.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "host/control_client.h"
#include "source/source.h"

struct stacks {
	const struct source_options *options;
	struct source_notes *notes;
	source_visit visit;
	void *arg;
	int stopped; /* what the visitor returned */
};

static int stack_record(void *arg, const struct cpl_info *info)
{
	struct stacks *s = arg;
	struct cpl_info own = *info;

	CPL_INFO_READ(&own, source, CPL_SOURCE_STACK);
	s->stopped = s->visit(s->arg, &own);
	return s->stopped;
}

/* One stack; what is wrong with it does not keep us from the others. */
static int stack_walk(void *arg, const struct control_entry *entry)
{
	struct stacks *s = arg;
	struct control_client *client;
	struct link_why why;
	int err = control_connect(&client, entry->path, &why);

	if (err == -ENOENT)
		return 0; /* it ended meanwhile */
	if (err) {
		source_note(s->notes, CPL_SOURCE_STACK, SOURCE_PARTIAL, err, "%s", why.text);
		return 0;
	}
	err = control_list(client, stack_record, s);
	control_disconnect(client);
	if (err && !s->stopped)
		source_note(s->notes, CPL_SOURCE_STACK, SOURCE_PARTIAL, err,
			    "stack \"%s\" of process %u stopped answering: %s", entry->name,
			    entry->pid, strerror(-err));
	return s->stopped;
}

static int stacks_walk(const struct netns *ns, const struct source_options *options,
		       struct source_notes *notes, source_visit visit, void *arg)
{
	struct stacks s = { .options = options, .notes = notes, .visit = visit, .arg = arg };
	int err = control_each(options->stack_dir, stack_walk, &s);

	(void)ns;
	if (s.stopped)
		return s.stopped;
	if (err && options->stack_dir)
		source_note(notes, CPL_SOURCE_STACK, SOURCE_NOTHING, err,
			    "Couplet's stacks in %s were not looked at: %s", options->stack_dir,
			    strerror(-err));
	return err;
}

/* ---- The same one again ---------------------------------------------------------------------- */

struct again {
	const struct cpl_info *seen;
	struct cpl_info *now;
	bool found;
};

/* A handle is of one stack only: it must be the same two ends in the same process and namespace. */
static bool is_same(const struct cpl_info *a, const struct cpl_info *b)
{
	return a->id == b->id && a->pid == b->pid && a->netns == b->netns &&
	       a->protocol == b->protocol && a->local_port == b->local_port &&
	       a->remote_port == b->remote_port && cpl_addr_equal(&a->local_addr, &b->local_addr) &&
	       cpl_addr_equal(&a->remote_addr, &b->remote_addr);
}

static int stack_ask(void *arg, const struct control_entry *entry)
{
	struct again *a = arg;
	struct control_client *client;
	struct cpl_info info;
	struct link_why why;

	if (control_connect(&client, entry->path, &why))
		return 0;
	if (control_get(client, (cpl_handle)a->seen->id, &info) == 0 && is_same(&info, a->seen)) {
		*a->now = info;
		CPL_INFO_READ(a->now, source, CPL_SOURCE_STACK);
		a->found = true;
	}
	control_disconnect(client);
	return a->found;
}

static int stacks_again(const struct netns *ns, const struct source_options *options,
			const struct cpl_info *seen, struct cpl_info *now)
{
	struct again a = { .seen = seen, .now = now };

	(void)ns;
	control_each(options ? options->stack_dir : NULL, stack_ask, &a);
	return a.found ? 0 : -ENOENT;
}

const struct source source_stacks = {
	.bits = SOURCE_STACKS,
	.name = "Couplet's stacks",
	.walk = stacks_walk,
	.again = stacks_again,
};
