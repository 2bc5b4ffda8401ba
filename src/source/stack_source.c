/* SPDX-License-Identifier: MIT */
/*
 * The connections of Couplet's own stacks, each read from the control socket that its process
 * offers (src/host/control.h). A stack that cannot be asked is a note; one that ended meanwhile is
 * none.
 */
#include "source/source.h"

#include <errno.h>

#include "host/control_client.h"

#define PROTOCOL_UDP 17

struct walk {
	const struct source_options *options;
	struct source_notes *notes;
	source_visit visit;
	void *arg;
	int end; /* what VISIT said */
};

static bool wanted(const struct source_options *options, const struct cpl_info *info)
{
	unsigned states = options->states ? options->states : SOURCE_USUAL_STATES;

	if (info->family == 4 ? options->no_ip4 : options->no_ip6)
		return false;
	if (info->protocol == PROTOCOL_UDP)
		return options->udp;
	return !options->no_tcp && info->state < CPL_STATES && (states & SOURCE_STATE(info->state));
}

static int take(void *arg, const struct cpl_info *info)
{
	struct walk *walk = arg;

	/* Whatever the server says: this is where it comes from. */
	if (info->source != CPL_SOURCE_STACK || !wanted(walk->options, info))
		return 0;
	walk->end = walk->visit(walk->arg, info);
	return walk->end;
}

static bool is_gone(int err)
{
	return err == -ECONNREFUSED || err == -ENOENT || err == -ECONNRESET;
}

static int stack_walk(void *arg, const struct control_entry *entry)
{
	struct walk *walk = arg;
	struct control_client *client;
	struct link_why why;
	int err = control_connect(&client, entry->path, &why);

	if (!err) {
		err = control_list(client, take, walk);
		control_disconnect(client);
		if (walk->end)
			return walk->end;
		if (err)
			link_fail(&why, err, "the stack %s of process %u broke off its answer",
				  entry->name, entry->pid);
	}
	if (err && !is_gone(err))
		source_note(walk->notes, CPL_SOURCE_STACK, SOURCE_PARTIAL, err, "%s", why.text);
	return 0;
}

static int stacks_walk(const struct source_options *options, struct source_notes *notes,
		       source_visit visit, void *arg)
{
	struct walk walk = { .options = options, .notes = notes, .visit = visit, .arg = arg };
	int err = control_each(options->stack_dir, stack_walk, &walk);

	if (walk.end)
		return walk.end;
	if (err && options->stack_dir)
		source_note(notes, CPL_SOURCE_STACK, SOURCE_NOTHING, err,
			    "cannot read the directory %s of control sockets", options->stack_dir);
	return err;
}

struct again {
	const struct cpl_info *seen;
	struct cpl_info *now;
};

/* Handles are numbers of one stack: the addresses tell whether it is the right one. */
static bool is_same(const struct cpl_info *a, const struct cpl_info *b)
{
	return a->pid == b->pid && a->protocol == b->protocol && a->local_port == b->local_port &&
	       a->remote_port == b->remote_port && cpl_addr_equal(&a->local_addr, &b->local_addr) &&
	       cpl_addr_equal(&a->remote_addr, &b->remote_addr);
}

static int stack_again(void *arg, const struct control_entry *entry)
{
	const struct again *again = arg;
	struct control_client *client;
	struct cpl_info info;
	struct link_why why;
	int err = control_connect(&client, entry->path, &why);

	if (err)
		return 0;
	err = control_get(client, again->seen->id, &info);
	control_disconnect(client);
	if (err || !is_same(&info, again->seen))
		return 0;
	*again->now = info;
	return 1;
}

static int stacks_again(const struct cpl_info *seen, struct cpl_info *now)
{
	struct again again = { seen, now };
	int found = control_each(NULL, stack_again, &again);

	return found == 1 ? 0 : -ENOENT;
}

const struct source source_stacks = {
	.bit = SOURCE_STACKS,
	.name = "Couplet's stacks",
	.walk = stacks_walk,
	.again = stacks_again,
};
