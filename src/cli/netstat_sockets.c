/* SPDX-License-Identifier: MIT */
/* couplet netstat --sockets: descriptor, socket, connection of each process. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/netstat.h"
#include "source/owner.h"
#include "view/sockets.h"

/* Every descriptor of a socket that /proc shows; the caller frees it. NULL: no memory. */
static struct view_descriptor *descriptors(const struct owner_table *owners, size_t *n)
{
	struct view_descriptor *list = calloc(owners->n + 1, sizeof(*list));

	*n = 0;
	for (size_t i = 0; list && i < owners->size; i++) {
		const struct owner *o = &owners->slot[i];

		if (!o->inode)
			continue;
		list[*n].inode = o->inode;
		list[*n].pid = o->pid;
		list[*n].fd = o->fd;
		memcpy(list[(*n)++].program, o->program, sizeof(o->program));
	}
	return list;
}

static int draw(struct netstat *n, const struct snapshot_set *set, const struct owner_table *owners)
{
	struct view_sockets s = {
		.info = set->info,
		.n = set->n,
		.some_hidden = owners->denied > 0,
	};
	struct view_descriptor *list = descriptors(owners, &s.descriptors);
	bool *shown = calloc(set->n + 1, sizeof(*shown));
	struct text t;
	int err;

	text_init(&t);
	t.colour = cli_colour(stdout);
	t.ascii = !cli_utf8();
	t.width = (unsigned)cli_width(stdout);
	for (size_t i = 0; shown && i < set->n; i++)
		shown[i] = netstat_shows(n, &set->info[i], i + 1);
	s.descriptor = list;
	s.shown = shown;
	s.whole = !n->filtered && !n->tcp && !n->udp && !n->unix_sockets && !n->listening;
	err = list && shown ? view_sockets(&t, &s) : -1;
	if (!err && !t.len)
		text_puts(&t, "no socket is meant by that\n");
	if (!err && text_flush(&t, stdout) < 0 && t.failed)
		err = -1;
	text_free(&t);
	free(list);
	free(shown);
	return err ? cli_fail(CLI_CANNOT, "out of memory") : CLI_OK;
}

int netstat_sockets(struct netstat *n)
{
	struct source_options options;
	struct owner_table owners;
	struct snapshot_set set;
	int status, err;

	n->all = true;
	/* All of them: what is not meant is left out of the picture only. */
	options = (struct source_options){
		.udp = true,
		.unix_sockets = true,
		.namespaces = n->namespaces,
		.owners = select_needs_owners(&n->select),
		.brief = !select_needs_details(&n->select),
		.states = SOURCE_ALL_STATES,
	};
	snapshot_set_init(&set);
	owner_table_init(&owners);
	status = connections_collect(&set, &options);
	err = status == CLI_OK ? owner_scan(&owners) : 0;
	if (err)
		status = cli_fail(CLI_CANNOT, "cannot see who holds the sockets: /proc: %s",
				  strerror(-err));
	if (n->namespaces)
		connections_notes(&set.notes, true);
	if (status == CLI_OK)
		status = draw(n, &set, &owners);
	if (status == CLI_OK && owners.denied && geteuid())
		cli_fail(CLI_OK,
			 "no permission to see the descriptors of %u process%s (root sees "
			 "all)",
			 owners.denied, owners.denied == 1 ? "" : "es");
	owner_table_free(&owners);
	snapshot_set_free(&set);
	return status;
}
