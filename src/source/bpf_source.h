/* SPDX-License-Identifier: MIT */
/*
 * The kernel's TCP connections through BPF iterators. The programs are loaded when they are first
 * needed and stay until the process ends. Not for several threads at a time.
 */
#ifndef SOURCE_BPF_SOURCE_H
#define SOURCE_BPF_SOURCE_H

#include "source/namespaces.h"
#include "source/source.h"

/*
 * 0: the programs are loaded. -EPERM: this user may not; -ENOSYS: built without libbpf; another
 * negative errno: this kernel cannot. The answer is the same for the process's life.
 */
int bpf_source_load(void);
/* Unloads them; asked again, they are loaded again, or not. */
void bpf_source_forget(void);
/* True if they are loaded already: what then costs little would cost much before. */
bool bpf_source_loaded(void);
/* What that error means, as a clause: "reading them needs root (CAP_BPF and CAP_PERFMON)". */
const char *bpf_source_why(int error);

/*
 * Every TCP connection of NS (NULL: ours) that OPTIONS want, to VISIT. *RESULT is what ended it,
 * returned by VISIT, or 0. Returns 0, or a negative errno if nothing was visited; that only some
 * were goes to NOTES.
 */
int bpf_source_walk(const struct netns *ns, const struct source_options *options,
		    struct source_notes *notes, source_visit visit, void *arg, int *result);

/*
 * Who holds which socket, of every process in our PID namespace and every network namespace, into
 * TABLE, which is empty. Returns 0 or a negative errno; then TABLE is empty again.
 */
struct owner_table;
int bpf_source_owners(struct owner_table *table);

/* That this process may load programs: 0 or -EPERM. *HZ is the kernel's ticks in a second. */
int bpf_source_prepare(unsigned *hz);
/* The one with that COOKIE, by walking all: 0, -ENOENT or another negative errno. */
int bpf_source_find(const struct netns *ns, uint64_t cookie, struct cpl_info *now);

/* source_pair_now() for ends of NS[0] and NS[1] (NULL: ours). */
int bpf_source_pair(const struct netns *const ns[2], const struct cpl_info *const seen[2],
		    struct source_pair *pair);

/* source_again() for a record of this source, which is of NS. */
int bpf_source_again(const struct netns *ns, const struct cpl_info *seen, struct cpl_info *now);

#endif
