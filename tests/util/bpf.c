/* SPDX-License-Identifier: MIT */
/* The kernel's control blocks through BPF, for tests: see bpf.h. */
#define _GNU_SOURCE
#include "tests/util/bpf.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sched.h>

#include "link/kernel_if.h"
#include "source/bpf_source.h"

static int refused; /* why BPF cannot be used; 0: it can */

int bpf_in_namespace(void **state)
{
	struct link_why why;

	(void)state;
	refused = bpf_source_load();
	if (refused)
		return 0;
	if (unshare(CLONE_NEWNET) < 0) {
		refused = -errno;
		return 0;
	}
	return kernel_if_up("lo", &why);
}

void bpf_needed(void)
{
	if (!refused)
		return;
	print_message("# sequence numbers: %s\n", bpf_source_why(refused));
	skip();
}

void bpf_collect(struct snapshot_set *set, unsigned sources)
{
	struct source_options options = { .sources = sources };

	snapshot_set_init(set);
	assert_int_equal(source_collect(set, &options), 0);
	for (unsigned i = 0; i < set->notes.n; i++)
		print_message("# note: %s\n", set->notes.note[i].text);
	assert_int_equal(set->notes.n, 0);
}

const struct cpl_info *bpf_find(const struct snapshot_set *set, uint16_t local, uint16_t remote)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->info[i].local_port == local && set->info[i].remote_port == remote)
			return &set->info[i];
	return NULL;
}

struct cpl_info bpf_look(uint16_t local, uint16_t remote)
{
	struct snapshot_set set;
	const struct cpl_info *found;
	struct cpl_info info;

	bpf_collect(&set, SOURCE_BPF);
	found = bpf_find(&set, local, remote);
	assert_non_null(found);
	info = *found;
	snapshot_set_free(&set);
	assert_int_equal(info.source, CPL_SOURCE_BPF);
	return info;
}
