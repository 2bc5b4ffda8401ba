/* SPDX-License-Identifier: MIT */
/* The kernel's control blocks through BPF, for tests: in a network namespace of the test's own. */
#ifndef TESTS_UTIL_BPF_H
#define TESTS_UTIL_BPF_H

#include "source/source.h"

/* A group's setup: a new network namespace with a loopback interface, where BPF can be used. */
int bpf_in_namespace(void **state);
/* Skips the test that calls it where BPF cannot be used. */
void bpf_needed(void);

/* All that SOURCES give; any note fails the test. The caller frees SET. */
void bpf_collect(struct snapshot_set *set, unsigned sources);
/* By its ports; NULL: it is not there. */
const struct cpl_info *bpf_find(const struct snapshot_set *set, uint16_t local, uint16_t remote);
/* As BPF shows it now; that it is not there fails the test. */
struct cpl_info bpf_look(uint16_t local, uint16_t remote);

#endif
