/* SPDX-License-Identifier: MIT */
/* The connections of Couplet's own stacks, each read from the control socket that its process
 * offers. */
#include "source/source.h"

static int stacks_walk(const struct source_options *options, struct source_notes *notes,
		       source_visit visit, void *arg)
{
	(void)options, (void)notes, (void)visit, (void)arg;
	return 0;
}

const struct source source_stacks = {
	.bit = SOURCE_STACKS,
	.name = "Couplet's stacks",
	.walk = stacks_walk,
};
