/* SPDX-License-Identifier: MIT */
/* couplet doctor HOST PORT: the stairs to a destination (source/stairs.h). See doctor.h. */
#include "cli/doctor.h"

#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "source/peer.h"
#include "source/stairs.h"

static bool unseen_there(const struct view_diagnosis *d)
{
	for (unsigned i = 0; i < d->unseen; i++)
		if (strstr(d->not_seen[i], "far host") || strstr(d->not_seen[i], "another machine"))
			return true;
	return false;
}

int doctor_stairs(struct view_diagnosis *d, const struct doctor_options *options,
		  struct doctor_destination *to)
{
	struct stairs_options stairs = options->stairs;
	struct peer_options peer = { 0 };

	if (options->peer_is_command)
		peer.command = options->peer;
	else
		peer.host = options->peer;
	if (options->peer)
		stairs.peer = &peer;
	memset(&stairs.target, 0, sizeof(stairs.target));
	snprintf(stairs.target.host, sizeof(stairs.target.host), "%s", to->host);
	snprintf(stairs.target.scheme, sizeof(stairs.target.scheme), "%s", to->scheme);
	stairs.target.port = to->port;
	if (stairs_climb(d, &stairs, to->addr, &to->addrs))
		return cli_fail(CLI_CANNOT, "out of memory");
	/* For those who are root here, what is left to be seen is there. */
	if (!options->peer && geteuid() == 0 && unseen_there(d))
		snprintf(d->again, sizeof(d->again), "couplet doctor --peer ssh:HOST %.100s %u",
			 word_foreign(to->host).s, to->port);
	return CLI_OK;
}
