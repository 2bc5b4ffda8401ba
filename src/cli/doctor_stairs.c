/* SPDX-License-Identifier: MIT */
/* couplet doctor HOST PORT: the stairs to a destination (source/stairs.h). See doctor.h. */
#include "cli/doctor.h"

#include <string.h>

#include "cli/cli.h"
#include "source/stairs.h"

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
	return CLI_OK;
}
