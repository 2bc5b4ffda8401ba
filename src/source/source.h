/* SPDX-License-Identifier: MIT */
/*
 * Where snapshots come from. Whatever the source (a Couplet stack, the kernel through sock_diag or
 * BPF, a snapshot file, a capture, a store), it delivers the same record, struct cpl_info,
 * and says in a note what it could not look at: a tool never calls healthy what it could not see.
 *
 * source_walk() hands out one record after the other and keeps none, so that its memory does not
 * grow with the number of connections; source_collect() keeps them in a set. Both run every source
 * that the options name; the list of sources is in source.c, and a new one is one line there.
 */
#ifndef SOURCE_SOURCE_H
#define SOURCE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <couplet/info.h>

/* The sources, as bits of source_options.sources; 0 there means SOURCE_DEFAULT. */
#define SOURCE_STACKS	 1u /* the control sockets of Couplet's stacks */
#define SOURCE_SOCK_DIAG 2u /* the kernel's connections, through NETLINK_SOCK_DIAG */
/*
 * The kernel's connections, through BPF iterators: the whole TCB with absolute sequence numbers,
 * and owners. Needs CAP_BPF and CAP_PERFMON. Where it is chosen together with SOURCE_SOCK_DIAG, the
 * latter is asked only for what BPF could not give, and a note says why; a walk that is `brief`
 * leaves BPF alone, since loading it costs more than it gives.
 */
#define SOURCE_BPF	 4u
#define SOURCE_KERNEL	 (SOURCE_SOCK_DIAG | SOURCE_BPF)
#define SOURCE_DEFAULT	 (SOURCE_STACKS | SOURCE_KERNEL)

/* Bits of source_options.states: 1 << enum cpl_state. */
#define SOURCE_STATE(s)	    (1u << (s))
#define SOURCE_ALL_STATES   (SOURCE_STATE(CPL_STATES) - 1)
/*
 * What tables show. CLOSED is left out: those are sockets that were bound and neither connect nor
 * listen, of which there is no connection; ask for it by name (Linux 6.8 and later tell them).
 */
#define SOURCE_USUAL_STATES (SOURCE_ALL_STATES & ~SOURCE_STATE(CPL_CLOSED))

/* What to look at. All zero (source_options = {0}) is: every source, TCP, both families. */
struct source_options {
	unsigned sources; /* SOURCE_ bits; 0: SOURCE_DEFAULT */
	bool no_tcp;
	bool udp;
	bool unix_sockets;
	bool namespaces; /* every network namespace of the machine, as far as we may, not only ours
			  */
	/*
	 * With namespaces, without owners: not those that live on by a socket alone, without a
	 * process in them or a mount; finding them takes as long as a walk.
	 */
	bool no_stray_namespaces;
	bool same_namespaces; /* with namespaces: those that the last such walk found */
	bool no_ip4;
	bool no_ip6;
	bool brief;	 /* addresses, state and queues are enough: no tcp_info, half the time */
	bool owners;	 /* find pid, fd and program: reads all of /proc that it may */
	unsigned states; /* SOURCE_STATE() bits, for TCP; 0: SOURCE_USUAL_STATES */
	const char *stack_dir; /* where control sockets are looked for; NULL: the usual places */
};

/* How much a note weighs. */
enum source_weight {
	SOURCE_REMARK,	/* all was seen that was asked for, but ... */
	SOURCE_PARTIAL, /* some of it could not be looked at */
	SOURCE_NOTHING, /* this source gave nothing at all */
};

struct source_note {
	enum cpl_source source; /* CPL_SOURCE_UNKNOWN: not of one source */
	enum source_weight weight;
	int error;	/* negative errno, or 0 */
	char text[160]; /* one sentence, without a final stop: what was not looked at and why */
};

/* At most this many are kept; further ones are only counted. */
#define SOURCE_NOTES 16

struct source_notes {
	unsigned n;
	unsigned dropped; /* notes that found no room */
	struct source_note note[SOURCE_NOTES];
};

/* Add a note; one with the same text is not added twice. */
__attribute__((format(printf, 5, 6))) void source_note(struct source_notes *notes,
						       enum cpl_source source,
						       enum source_weight weight, int error,
						       const char *format, ...);

/* What to say of a refusal: "needs root", or to root, that it is refused even so. */
const char *source_denied(void);

/*
 * Called with one record, which is the walk's own and lives until the call returns. Returns 0 to go
 * on; anything else ends the walk, which returns it.
 */
typedef int (*source_visit)(void *arg, const struct cpl_info *info);

/*
 * Every record of every source that OPTIONS name, to VISIT. What a source could not look at goes to
 * NOTES and does not end the walk. Returns 0, or what VISIT returned; -EIO when no source gave
 * anything at all (each says why in NOTES). A record may come twice if a dump of the kernel had to
 * be repeated; id and netns tell; source_collect() keeps one.
 *
 * With OPTIONS->owners, pid, fd and program are filled where /proc tells them.
 */
int source_walk(const struct source_options *options, struct source_notes *notes,
		source_visit visit, void *arg);

/* A growing array of records, in the order in which the sources gave them, with the sources' notes.
 */
struct snapshot_set {
	struct cpl_info *info;
	size_t n;
	size_t room;
	struct source_notes notes;
};

void snapshot_set_init(struct snapshot_set *set);
void snapshot_set_free(struct snapshot_set *set);
/* Forget the records and notes, keep the memory. */
void snapshot_set_clear(struct snapshot_set *set);
/* Append a copy of INFO. Returns 0 or -ENOMEM. */
int snapshot_set_add(struct snapshot_set *set, const struct cpl_info *info);

/*
 * While the kernel lists its sockets they move between its tables: one can come twice, half-open
 * and then established. Keeps the later one of those from index FROM on, in the place of the first.
 * Only the kernel's ids are unique in a machine: what stacks gave is left alone. Returns 0 or
 * -ENOMEM.
 */
int snapshot_set_unite(struct snapshot_set *set, size_t from);
/*
 * Counts the half-open connections of each listener from FROM on, into its syn_queue, derived,
 * unless its source counts itself. Returns 0 or -ENOMEM.
 */
int snapshot_set_half_open(struct snapshot_set *set, size_t from);

/*
 * source_walk() into SET, appended to what it holds, and what only the whole can tell: the
 * half-open connections of each listener (syn_queue), counted. Returns 0, -ENOMEM or -EIO.
 */
int source_collect(struct snapshot_set *set, const struct source_options *options);

/*
 * A new snapshot of the one that *SEEN shows, found by its source's own number for it (the kernel's
 * cookie, a stack's handle): never of another connection that took its addresses over. Owner fields
 * are kept from *SEEN. Returns 0; -ENOENT: it is gone; -EOPNOTSUPP: this source cannot; or
 * another negative errno. NOW may be SEEN.
 */
int source_again(const struct source_options *options, const struct cpl_info *seen,
		 struct cpl_info *now);

/*
 * Both ends of one connection that this machine has, read together: X, Y, and both once more, so
 * that first[] and second[] are two passes as view_compare_passes() wants them.
 */
struct source_pair {
	struct cpl_info first[2], second[2]; /* X and Y */
	bool found[2];	    /* in both readings; else that end's records are not to be used */
	uint64_t apart_ns;  /* from when reading X began to when reading Y had ended, the first time
			     */
	uint64_t apart2_ns; /* the second time */
	bool still;	    /* both times the same sequence numbers were read */
};

/*
 * Reads the two ends that X and Y show; Y may be NULL: X's other end, in X's network namespace. No
 * lock is taken: what moves meanwhile differs between the two readings. In one namespace the two
 * ends are read by one call of the kernel's, within a microsecond; in two, by a thread that goes to
 * and fro, within some. An end whose id is known is found only if it still is the same. Owner
 * fields are those of X and Y.
 *
 * Returns 0 if at least one end was found; -ENOENT: neither is there; -EPERM, -ENOSYS or another
 * negative errno: BPF cannot be used here; -EOPNOTSUPP: not of TCP connections of the kernel's.
 */
int source_pair_now(const struct cpl_info *x, const struct cpl_info *y, struct source_pair *pair);

/* A cleared record, of SOURCE; size, version, source and taken are set. */
void source_info_init(struct cpl_info *info, enum cpl_source source);

/* The inode of this process's network namespace, or 0. */
uint32_t source_own_netns(void);
struct netns; /* namespaces.h */
/* That of NS; NULL: ours. */
uint32_t source_netns(const struct netns *ns);
/*
 * The namespace with that INODE, as the last walk with options.namespaces found it, or looked for
 * now; NULL: there is none that we can see. It lives until the next such walk or call.
 */
const struct netns *source_namespace(uint32_t inode);

/* ---- One source ------------------------------------------------------------------------------ */

/*
 * What source.c calls. walk() returns 0, what VISIT returned, or, if it gave nothing, -EIO or
 * another negative errno, with the note made. NS is the network namespace to look at; NULL: ours.
 */
struct source {
	unsigned bits; /* SOURCE_ */
	const char *name;
	bool of_namespace; /* looks at one namespace; else NS is always NULL */
	int (*walk)(const struct netns *ns, const struct source_options *options,
		    struct source_notes *notes, source_visit visit, void *arg);
	/* NULL: cannot */
	int (*again)(const struct netns *ns, const struct source_options *options,
		     const struct cpl_info *seen, struct cpl_info *now);
};

extern const struct source source_kernel; /* kernel.c */
extern const struct source source_unix;	  /* unix_diag.c */
extern const struct source source_stacks; /* stack_source.c */

#endif
