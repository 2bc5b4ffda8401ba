/* SPDX-License-Identifier: MIT */
/* Which pairs of states two ends can be in: the table of statepair.def. */
#include "view/pair.h"

#include <stddef.h>

static const struct view_state_pair state_pairs[] = {
#define STATE_PAIR(x, y, reach, reason) { CPL_##x, CPL_##y, VIEW_REACH_##reach, reason },
#include "view/statepair.def"
};

const struct view_state_pair *view_state_pair(unsigned a, unsigned b, bool *swapped)
{
	unsigned x = a < b ? a : b;
	unsigned y = a < b ? b : a;

	if (swapped)
		*swapped = a > b;
	for (size_t i = 0; i < sizeof(state_pairs) / sizeof(*state_pairs); i++)
		if (state_pairs[i].x == x && state_pairs[i].y == y)
			return &state_pairs[i];
	return NULL;
}
