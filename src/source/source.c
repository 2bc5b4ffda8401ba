/* SPDX-License-Identifier: MIT */
/* The list of sources, walking them, and the set of what they gave. See source.h. */
#include "source/source.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "source/bpf_source.h"
#include "source/namespaces.h"
#include "source/owner.h"

static const struct source *const sources[] = { &source_stacks, &source_kernel, &source_unix };

#define SOURCES	 (sizeof(sources) / sizeof(*sources))
/* So many records ahead are fetched into the cache. */
#define PREFETCH 8

const char *source_denied(void)
{
	return geteuid() ? "needs root" : "is refused here even to root";
}

void source_note(struct source_notes *notes, enum cpl_source source, enum source_weight weight,
		 int error, const char *format, ...)
{
	struct source_note n = { .source = source, .weight = weight, .error = error };
	va_list ap;

	va_start(ap, format);
	vsnprintf(n.text, sizeof(n.text), format, ap);
	va_end(ap);
	for (unsigned i = 0; i < notes->n; i++)
		if (strcmp(notes->note[i].text, n.text) == 0)
			return;
	if (notes->n == SOURCE_NOTES)
		notes->dropped++;
	else
		notes->note[notes->n++] = n;
}

void source_info_init(struct cpl_info *info, enum cpl_source source)
{
	struct timespec now;

	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->version = CPL_INFO_VERSION;
	CPL_INFO_READ(info, source, (uint8_t)source);
	clock_gettime(CLOCK_MONOTONIC, &now);
	CPL_INFO_READ(info, taken, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
}

uint32_t source_own_netns(void)
{
	struct stat st;

	return stat("/proc/self/ns/net", &st) == 0 ? (uint32_t)st.st_ino : 0;
}

uint32_t source_netns(const struct netns *ns)
{
	return ns ? ns->inode : source_own_netns();
}

/* ---- Walking --------------------------------------------------------------------------------- */

/* What stands between a source and the caller's visitor. */
struct walk {
	const struct source_options *options;
	source_visit visit;
	void *arg;
	struct owner_table owners;
	bool all_owners; /* of every process: BPF tells them */
	size_t records;
	int stopped;	    /* what the visitor returned */
	unsigned senseless; /* records that make no sense */
	unsigned ownerless; /* sockets that someone holds, but nobody whom we see */
};

/* Numbers that stand for something must be among those that do: a record may come from anyone. */
static bool makes_sense(const struct cpl_info *i)
{
	if (i->state >= CPL_STATES || i->source > CPL_SOURCE_CAPTURE ||
	    i->recovery > CPL_RECOVERY_RTO || i->why >= CPL_WHYS)
		return false;
	if (i->program[sizeof(i->program) - 1] || i->cc_name[sizeof(i->cc_name) - 1] ||
	    i->path[sizeof(i->path) - 1])
		return false; /* text without an end */
	if (i->family == 1)
		return i->protocol == 0;
	return (i->family == 4 || i->family == 6) && (i->protocol == 6 || i->protocol == 17);
}

static bool wanted(const struct source_options *o, const struct cpl_info *info)
{
	unsigned states = o->states ? o->states : SOURCE_USUAL_STATES;

	if (info->family == 1)
		return o->unix_sockets;
	if (info->family == 4 ? o->no_ip4 : o->no_ip6)
		return false;
	if (info->protocol == 17)
		return o->udp;
	if (o->no_tcp)
		return false;
	return !cpl_info_known(info, CPL_F_state) || (states >> info->state & 1);
}

static void fill_owner(struct walk *w, struct cpl_info *info)
{
	size_t cursor = 0;
	const struct owner *o;

	if (!cpl_info_known(info, CPL_F_inode) || cpl_info_known(info, CPL_F_pid))
		return;
	o = owner_next(&w->owners, info->inode, &cursor);
	if (!o) {
		w->ownerless++;
		return;
	}
	CPL_INFO_READ(info, pid, o->pid);
	CPL_INFO_READ(info, fd, o->fd);
	memcpy(info->program, o->program, sizeof(info->program));
	cpl_info_mark_read(info, CPL_F_program);
	CPL_INFO_READ(info, attached, 1);
	while (o) {
		info->descriptors++;
		o = owner_next(&w->owners, info->inode, &cursor);
	}
	/* Processes that we may not look into may hold it, too. */
	if (w->owners.denied)
		cpl_info_mark_derived(info, CPL_F_descriptors);
	else
		cpl_info_mark_read(info, CPL_F_descriptors);
}

static int walk_visit(void *arg, const struct cpl_info *info)
{
	struct walk *w = arg;

	if (!makes_sense(info)) {
		w->senseless++;
		return 0;
	}
	if (!wanted(w->options, info))
		return 0;
	w->records++;
	if (w->options->owners)
		fill_owner(w, (struct cpl_info *)info); /* the record is the source's to lend */
	w->stopped = w->visit(w->arg, info);
	return w->stopped;
}

static void note_owners(const struct walk *w, struct source_notes *notes)
{
	if (!w->ownerless)
		return;
	if (w->owners.denied)
		source_note(notes, CPL_SOURCE_UNKNOWN, SOURCE_PARTIAL, -EACCES,
			    "no permission to see who holds %u of the sockets: they are %s",
			    w->ownerless,
			    geteuid() ? "other users' (root sees all)"
				      : "in processes that even root may not look into here");
	else
		source_note(notes, CPL_SOURCE_UNKNOWN, SOURCE_PARTIAL, 0,
			    "%u socket%s held by no process that is seen here: the kernel's own, "
			    "or another PID namespace's",
			    w->ownerless, w->ownerless > 1 ? "s are" : " is");
}

/*
 * BPF sees all in a third of /proc's time, and the namespaces of sockets; only for fewer than some
 * ten thousand does loading it take longer.
 */
static void scan_owners(struct walk *w, struct source_notes *notes)
{
	unsigned chosen = w->options->sources ? w->options->sources : SOURCE_DEFAULT;
	bool worth = !w->options->brief || w->options->namespaces || bpf_source_loaded();
	int err = -EPERM;

	if (chosen & SOURCE_BPF && worth)
		err = bpf_source_owners(&w->owners);
	w->all_owners = !err;
	if (err && w->options->owners)
		err = owner_scan(&w->owners);
	if (err && w->options->owners)
		source_note(notes, CPL_SOURCE_UNKNOWN, SOURCE_PARTIAL, err,
			    "who holds the sockets was not looked at: /proc: %s", strerror(-err));
}

/* What was found last: source_again() looks here for the namespace of a record. */
static struct netns_list known;

static void find_namespaces(struct walk *w, struct source_notes *notes)
{
	int err;

	namespaces_free(&known);
	err = namespaces_find(&known, &w->owners);
	if (err)
		source_note(notes, CPL_SOURCE_UNKNOWN, SOURCE_PARTIAL, err,
			    "other network namespaces were not looked at: /proc: %s",
			    strerror(-err));
	else if (known.denied && !w->all_owners)
		source_note(notes, CPL_SOURCE_UNKNOWN, SOURCE_PARTIAL, -EACCES,
			    "the network namespace%s of %u process%s not looked at: that %s",
			    known.denied > 1 ? "s" : "", known.denied,
			    known.denied > 1 ? "es were" : " was", source_denied());
}

/* SOURCE in all namespaces but ours, as far as we may. */
static void walk_others(struct walk *w, const struct source *source, struct source_notes *notes)
{
	unsigned refused = 0;

	for (size_t i = 0; i < known.n && !w->stopped; i++) {
		const struct netns *ns = &known.ns[i];
		int err = ns->ours ? -ENOENT : namespace_try(ns);

		if (!err)
			source->walk(ns, w->options, notes, walk_visit, w);
		else if (err == -EPERM || err == -EACCES)
			refused++;
		else if (err != -ENOENT) /* else it is gone meanwhile */
			source_note(notes, CPL_SOURCE_UNKNOWN, SOURCE_PARTIAL, err,
				    "network namespace %s was not looked at: %s",
				    ns->name[0] ? ns->name : ns->path, strerror(-err));
	}
	if (refused)
		source_note(notes, CPL_SOURCE_UNKNOWN, SOURCE_PARTIAL, -EPERM,
			    "%u other network namespace%s not looked at: entering %s %s "
			    "(CAP_SYS_ADMIN)",
			    refused, refused > 1 ? "s were" : " was", refused > 1 ? "them" : "it",
			    source_denied());
}

int source_walk(const struct source_options *options, struct source_notes *notes,
		source_visit visit, void *arg)
{
	unsigned chosen = options->sources ? options->sources : SOURCE_DEFAULT;
	struct walk w = { .options = options, .visit = visit, .arg = arg };
	unsigned failed = 0;

	owner_table_init(&w.owners);
	if (options->owners ||
	    (options->namespaces && !options->same_namespaces && !options->no_stray_namespaces))
		scan_owners(&w, notes);
	if (options->namespaces && !options->same_namespaces)
		find_namespaces(&w, notes);
	for (unsigned i = 0; i < SOURCES && !w.stopped; i++) {
		size_t before = w.records;

		if (!(chosen & sources[i]->bits))
			continue;
		failed += sources[i]->walk(NULL, options, notes, walk_visit, &w) &&
			  w.records == before;
		if (options->namespaces && sources[i]->of_namespace)
			walk_others(&w, sources[i], notes);
	}
	if (w.senseless)
		source_note(notes, CPL_SOURCE_STACK, SOURCE_PARTIAL, -EPROTO,
			    "%u records were passed over: they make no sense", w.senseless);
	if (options->owners)
		note_owners(&w, notes);
	owner_table_free(&w.owners);
	if (w.stopped)
		return w.stopped;
	return failed && !w.records ? -EIO : 0;
}

const struct netns *source_namespace(uint32_t inode)
{
	const struct netns *ns = namespaces_get(&known, inode);

	if (ns)
		return ns;
	namespaces_free(&known);
	return namespaces_find(&known, NULL) ? NULL : namespaces_get(&known, inode);
}

/* What a reading of one socket does not tell: who holds it. */
static void keep_owner(struct cpl_info *now, const struct cpl_info *before)
{
	static const enum cpl_field owner[] = { CPL_F_pid, CPL_F_fd, CPL_F_program,
						CPL_F_descriptors };

	if (cpl_info_known(now, CPL_F_pid) || !cpl_info_known(before, CPL_F_pid))
		return;
	now->pid = before->pid;
	now->fd = before->fd;
	now->descriptors = before->descriptors;
	memcpy(now->program, before->program, sizeof(now->program));
	for (unsigned i = 0; i < sizeof(owner) / sizeof(*owner); i++) {
		if (cpl_info_is_read(before, owner[i]))
			cpl_info_mark_read(now, owner[i]);
		else if (cpl_info_known(before, owner[i]))
			cpl_info_mark_derived(now, owner[i]);
	}
}

/* The namespace of a record of the kernel's; *NS is NULL for ours. */
static int namespace_of(const struct cpl_info *info, const struct netns **ns)
{
	*ns = NULL;
	if (!cpl_info_known(info, CPL_F_netns) || info->netns == source_own_netns())
		return 0;
	*ns = source_namespace(info->netns);
	return *ns ? 0 : -ENOENT;
}

static bool of_kernel(const struct cpl_info *i)
{
	return (i->source == CPL_SOURCE_BPF || i->source == CPL_SOURCE_SOCK_DIAG) &&
	       i->protocol == 6 && i->remote_port;
}

int source_pair_now(const struct cpl_info *x, const struct cpl_info *y, struct source_pair *pair)
{
	const struct cpl_info *seen[2] = { x, y };
	const struct netns *ns[2];
	struct cpl_info other;
	int err;

	memset(pair, 0, sizeof(*pair));
	if (!y) {
		memset(&other, 0, sizeof(other));
		other.source = x->source;
		other.protocol = x->protocol;
		other.local_addr = x->remote_addr;
		other.local_port = x->remote_port;
		other.remote_addr = x->local_addr;
		other.remote_port = x->local_port;
		CPL_INFO_READ(&other, netns, x->netns);
		seen[1] = &other;
	}
	if (!of_kernel(seen[0]) || !of_kernel(seen[1]))
		return -EOPNOTSUPP;
	for (unsigned i = 0; i < 2; i++) {
		err = namespace_of(seen[i], &ns[i]);
		if (err)
			return err;
	}
	err = bpf_source_pair(ns, seen, pair);
	for (unsigned i = 0; !err && i < 2; i++) {
		keep_owner(&pair->first[i], seen[i]);
		keep_owner(&pair->second[i], seen[i]);
	}
	return err;
}

int source_again(const struct source_options *options, const struct cpl_info *seen,
		 struct cpl_info *now)
{
	struct cpl_info before = *seen;
	const struct source *source;
	const struct netns *ns = NULL;
	int err = 0;

	switch (before.source) {
	case CPL_SOURCE_STACK:
		source = &source_stacks;
		break;
	case CPL_SOURCE_SOCK_DIAG:
	case CPL_SOURCE_BPF:
		source = before.family == 1 ? &source_unix : &source_kernel;
		break;
	default:
		return -EOPNOTSUPP;
	}
	if (!source->again)
		return -EOPNOTSUPP;
	if (source->of_namespace)
		err = namespace_of(&before, &ns);
	if (!err)
		err = source->again(ns, options, &before, now);
	if (!err)
		keep_owner(now, &before);
	return err;
}

/* ---- The set --------------------------------------------------------------------------------- */

void snapshot_set_init(struct snapshot_set *set)
{
	memset(set, 0, sizeof(*set));
}

void snapshot_set_free(struct snapshot_set *set)
{
	free(set->info);
	snapshot_set_init(set);
}

void snapshot_set_clear(struct snapshot_set *set)
{
	set->n = 0;
	memset(&set->notes, 0, sizeof(set->notes));
}

int snapshot_set_add(struct snapshot_set *set, const struct cpl_info *info)
{
	if (set->n == set->room) {
		/* What is not written to takes no memory; to move what is takes time. */
		size_t room = set->room ? set->room * 4 : 64;
		struct cpl_info *bigger = reallocarray(set->info, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		set->info = bigger;
		set->room = room;
	}
	set->info[set->n++] = *info;
	return 0;
}

/* A hash table of places in a set: 1 + index, 0 is empty. */
struct places {
	uint32_t *slot;
	size_t mask;
};

static int places_init(struct places *p, size_t n)
{
	size_t size = 64;

	while (size < n * 2)
		size *= 2;
	p->slot = calloc(size, sizeof(*p->slot));
	p->mask = size - 1;
	return p->slot ? 0 : -ENOMEM;
}

static size_t spread(uint64_t key)
{
	return (size_t)((key * 0x9e3779b97f4a7c15u) >> 32);
}

static bool same_record(const struct cpl_info *a, const struct cpl_info *b)
{
	return a->id == b->id && a->source == b->source && a->netns == b->netns &&
	       a->protocol == b->protocol;
}

int snapshot_set_unite(struct snapshot_set *set, size_t from)
{
	struct places p;
	size_t kept = from;

	if (places_init(&p, set->n - from))
		return -ENOMEM;
	for (size_t i = from; i < set->n; i++) {
		struct cpl_info *info = &set->info[i];
		size_t at = spread(info->id) & p.mask;

		if (i + PREFETCH < set->n) {
			__builtin_prefetch(&info[PREFETCH].id);
			__builtin_prefetch(&info[PREFETCH].source);
		}
		if (info->source == CPL_SOURCE_STACK || !cpl_info_known(info, CPL_F_id)) {
			set->info[kept++] = *info;
			continue;
		}
		while (p.slot[at] && !same_record(&set->info[p.slot[at] - 1], info))
			at = (at + 1) & p.mask;
		if (p.slot[at]) {
			set->info[p.slot[at] - 1] = *info;
			continue;
		}
		if (kept != i)
			set->info[kept] = *info;
		p.slot[at] = (uint32_t)++kept;
	}
	set->n = kept;
	free(p.slot);
	return 0;
}

static bool is_state(const struct cpl_info *i, enum cpl_state state)
{
	return i->protocol == 6 && cpl_info_known(i, CPL_F_state) && i->state == state;
}

static bool any(const struct cpl_addr *a)
{
	static const struct cpl_addr any6;
	struct cpl_addr any4 = cpl_addr4(0, 0, 0, 0);

	return cpl_addr_equal(a, &any6) || cpl_addr_equal(a, &any4);
}

/* How closely LISTENER answers for the half-open connection HALF: 0 not at all, 3 by address. */
static unsigned answers(const struct cpl_info *listener, const struct cpl_info *half)
{
	if (listener->local_port != half->local_port || listener->source != half->source ||
	    listener->netns != half->netns)
		return 0;
	if (cpl_addr_equal(&listener->local_addr, &half->local_addr))
		return 3;
	if (!any(&listener->local_addr))
		return 0;
	if (cpl_addr_is4(&listener->local_addr))
		return half->family == 4 ? 2 : 0;
	return half->family == 6 ? 2 : 1; /* a listener on :: takes IPv4 as well */
}

int snapshot_set_half_open(struct snapshot_set *set, size_t from)
{
	struct places p;

	if (places_init(&p, set->n - from))
		return -ENOMEM;
	for (size_t i = from; i < set->n; i++) {
		size_t at = spread(set->info[i].local_port) & p.mask;

		if (!is_state(&set->info[i], CPL_LISTEN))
			continue;
		if (!cpl_info_is_read(&set->info[i], CPL_F_syn_queue))
			CPL_INFO_DERIVED(&set->info[i], syn_queue, 0);
		while (p.slot[at])
			at = (at + 1) & p.mask;
		p.slot[at] = (uint32_t)i + 1;
	}
	for (size_t i = from; i < set->n; i++) {
		size_t at = spread(set->info[i].local_port) & p.mask;
		struct cpl_info *best = NULL;
		unsigned most = 0;

		if (!is_state(&set->info[i], CPL_SYN_RECEIVED))
			continue;
		for (; p.slot[at]; at = (at + 1) & p.mask) {
			struct cpl_info *listener = &set->info[p.slot[at] - 1];
			unsigned closeness = answers(listener, &set->info[i]);

			if (closeness > most) {
				most = closeness;
				best = listener;
			}
		}
		if (best && !cpl_info_is_read(best, CPL_F_syn_queue))
			best->syn_queue++;
	}
	free(p.slot);
	return 0;
}

struct collect {
	struct snapshot_set *set;
	bool uncounted; /* a listener whose source did not count its half-open connections */
};

static int collect_visit(void *arg, const struct cpl_info *info)
{
	struct collect *c = arg;

	c->uncounted |= info->state == CPL_LISTEN && !cpl_info_is_read(info, CPL_F_syn_queue);
	return snapshot_set_add(c->set, info);
}

int source_collect(struct snapshot_set *set, const struct source_options *options)
{
	struct collect c = { .set = set };
	size_t from = set->n;
	unsigned states = options->states ? options->states : SOURCE_USUAL_STATES;
	int err = source_walk(options, &set->notes, collect_visit, &c);

	if (!err)
		err = snapshot_set_unite(set, from);
	if (!err && c.uncounted && (states & SOURCE_STATE(CPL_SYN_RECEIVED)))
		err = snapshot_set_half_open(set, from);
	return err;
}
