/* SPDX-License-Identifier: MIT */
/* couplet doctor HOST PORT: the stairs to a destination (source/stairs.h). See doctor.h. */
#include "cli/doctor.h"

#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "source/stairs.h"

/* How to see what was not: as root, the same once more. */
static void say_again(struct view_diagnosis *d, const struct doctor_destination *to)
{
	bool ip6 = strchr(to->host, ':') != NULL;
	struct view_word host = word_foreign(to->host);

	if (geteuid() == 0 || !d->unseen || *d->again)
		return;
	if (to->scheme[0])
		snprintf(d->again, sizeof(d->again), "sudo couplet doctor %s://%s%.100s%s:%u",
			 to->scheme, ip6 ? "[" : "", host.s, ip6 ? "]" : "", to->port);
	else
		snprintf(d->again, sizeof(d->again), "sudo couplet doctor %.100s %u", host.s,
			 to->port);
}

int doctor_stairs(struct view_diagnosis *d, const struct doctor_options *options,
		  struct doctor_destination *to)
{
	struct stairs_options stairs = options->stairs;

	memset(&stairs.target, 0, sizeof(stairs.target));
	snprintf(stairs.target.host, sizeof(stairs.target.host), "%s", to->host);
	snprintf(stairs.target.scheme, sizeof(stairs.target.scheme), "%s", to->scheme);
	stairs.target.port = to->port;
	if (stairs_climb(d, &stairs, to->addr, &to->addrs))
		return cli_fail(CLI_CANNOT, "out of memory");
	say_again(d, to);
	return CLI_OK;
}
