/* SPDX-License-Identifier: MIT */
/*
 * Loads packets.bpf.c, reads its table, gives the kernel's numbers their names.
 *
 * The names of the reasons are those of the running kernel (enum skb_drop_reason in its BTF): the
 * numbers move from version to version.
 */
#include "source/watcher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "source/bpf/packets.h"

/*
 * Reasons for which the kernel frees a packet though nothing went wrong. All else is told.
 */
static const struct harmless {
	const char *reason;
	uint8_t protocol; /* 0: any */
} harmless[] = {
	{ "NOT_DROPPED_YET", 0 },
	{ "CONSUMED", 0 },
	/* Freed by code that gives no reason: mostly at the end of a packet's normal life. */
	{ "NOT_SPECIFIED", 0 },
	/* What waits in the queues of a socket or device that is closed. */
	{ "QUEUE_PURGE", 0 },
	/* Out of order, and the bytes are there already: a sender's spurious retransmission. */
	{ "TCP_OFOMERGE", 0 },
	/* An acceptable ACK that acknowledges nothing new, or an RST that did its work. */
	{ "TCP_OLD_ACK", 0 },
	{ "TCP_RESET", 0 },
	/* For another host: a device that hears more than its own, as bridges and captures do. */
	{ "OTHERHOST", 0 },
	{ "UNICAST_IN_L2_MULTICAST", 0 },
	{ "LOCAL_MAC", 0 },
	/* No protocol takes it, and nobody had asked for it (LLDP and the like). */
	{ "UNHANDLED_PROTO", 0 },
	/* The copy that a capture or raw socket had no room or wish for. */
	{ "PACKET_SOCK_ERROR", 0 },
	{ "SOCKET_FILTER", 0 },
	/* Raw sockets (ping) have had their copies of it. */
	{ "NO_SOCKET", 1 },
	{ "NO_SOCKET", 58 },
	/* Advertisements for which this host had not asked. */
	{ "IPV6_NDISC_NS_OTHERHOST", 0 },
};

bool watcher_harmless(const char *reason, uint8_t protocol)
{
	for (size_t i = 0; i < sizeof(harmless) / sizeof(*harmless); i++)
		if (!strcmp(harmless[i].reason, reason) &&
		    (!harmless[i].protocol || harmless[i].protocol == protocol))
			return true;
	return false;
}

bool watcher_idle_ack(const struct view_event *e)
{
	return e->kind == VIEW_EVENT_DROP && e->protocol == 6 && e->tcp_flags == 0x10 &&
	       e->length <= 80 &&
	       (!strcmp(e->reason_name, "TCP_FLAGS") || !strcmp(e->reason_name, "TCP_CLOSE"));
}

struct watcher *watcher_start(struct source_notes *notes)
{
	return watcher_start_with(notes, PACKETS_ROOM);
}

#ifndef HAVE_LIBBPF

struct watcher *watcher_start_with(struct source_notes *notes, unsigned room)
{
	(void)room;
	source_note(notes, CPL_SOURCE_BPF, SOURCE_PARTIAL, -ENOSYS,
		    "drop reasons were not looked at: built without libbpf (install libbpf-dev, "
		    "bpftool and clang, then make)");
	return NULL;
}

int watcher_collect(struct watcher *watcher, struct view_facts *facts, struct source_notes *notes)
{
	(void)watcher;
	(void)facts;
	(void)notes;
	return 0;
}

void watcher_stop(struct watcher *watcher)
{
	(void)watcher;
}

#else

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "packets.skel.h"

_Static_assert((int)PACKETS_DROP == VIEW_EVENT_DROP &&
		       (int)PACKETS_RETRANSMIT == VIEW_EVENT_RETRANSMIT &&
		       (int)PACKETS_RST_SENT == VIEW_EVENT_RST_SENT &&
		       (int)PACKETS_RST_RECEIVED == VIEW_EVENT_RST_RECEIVED &&
		       (int)PACKETS_ERROR == VIEW_EVENT_ICMP,
	       "one list of kinds");

struct watcher {
	struct packets *bpf;
	struct btf *kernel; /* its types, for names */
	uint32_t room;
	uint64_t since_ns;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int silent(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

/* ---- Names ----------------------------------------------------------------------------------- */

/* The list of reasons; *N its length, 0: this kernel has none. */
static const struct btf_enum *reasons(const struct btf *kernel, int *n)
{
	int id = btf__find_by_name_kind(kernel, "skb_drop_reason", BTF_KIND_ENUM);
	const struct btf_type *type = id < 0 ? NULL : btf__type_by_id(kernel, (uint32_t)id);

	*n = type ? btf_vlen(type) : 0;
	return type ? btf_enum(type) : NULL;
}

/* A reason's name without its prefix. */
static const char *bare_name(const struct btf *kernel, const struct btf_enum *e)
{
	static const char *const prefixes[] = { "SKB_DROP_REASON_", "SKB_" };
	const char *text = btf__name_by_offset(kernel, e->name_off);

	for (size_t i = 0; text && i < sizeof(prefixes) / sizeof(*prefixes); i++)
		if (!strncmp(text, prefixes[i], strlen(prefixes[i])))
			return text + strlen(prefixes[i]);
	return text ? text : "";
}

/* NUMBER as the kernel names it; left empty if it has no name. */
static void reason_name(const struct btf *kernel, uint32_t number, char *name, size_t size)
{
	int n;
	const struct btf_enum *e = reasons(kernel, &n);

	for (int i = 0; i < n; i++)
		if ((uint32_t)e[i].val == number) {
			snprintf(name, size, "%s", bare_name(kernel, &e[i]));
			return;
		}
}

/* What is harmless is not even counted: it would push out of the table what is not. */
static void leave_out(struct watcher *w)
{
	int n;
	const struct btf_enum *e = reasons(w->kernel, &n);

	for (int i = 0; i < n; i++) {
		uint32_t number = (uint32_t)e[i].val;
		const char *name = bare_name(w->kernel, &e[i]);

		if (number >= PACKETS_REASONS)
			continue;
		if (watcher_harmless(name, 0))
			w->bpf->rodata->harmless[number / 64] |= 1ull << number % 64;
		if (watcher_harmless(name, 1) && watcher_harmless(name, 58))
			w->bpf->rodata->harmless_icmp[number / 64] |= 1ull << number % 64;
	}
}

/* ---- Loading --------------------------------------------------------------------------------- */

/* How many arguments the tracepoint NAME hands out; -1: this kernel has none of that name. */
static int tracepoint_arguments(const struct btf *kernel, const char *name)
{
	char type_name[64];
	const struct btf_type *type;
	int id;

	snprintf(type_name, sizeof(type_name), "btf_trace_%s", name);
	id = btf__find_by_name_kind(kernel, type_name, BTF_KIND_TYPEDEF);
	type = id < 0 ? NULL : btf__type_by_id(kernel, (uint32_t)id);
	/* A pointer to a function, whose first argument is the probe's own. */
	for (int i = 0; type && !btf_is_func_proto(type) && i < 4; i++)
		type = btf__type_by_id(kernel, type->type);
	return type && btf_is_func_proto(type) ? btf_vlen(type) - 1 : -1;
}

/* Leaves out the programs whose tracepoints this kernel does not have, and notes them. */
static void choose(struct watcher *w, struct source_notes *notes)
{
	static const char prefix[] = "tp_btf/";
	struct bpf_program *program;

	bpf_object__for_each_program(program, w->bpf->obj)
	{
		const char *name = bpf_program__section_name(program) + sizeof(prefix) - 1;

		if (tracepoint_arguments(w->kernel, name) >= 0)
			continue;
		bpf_program__set_autoload(program, false);
		source_note(notes, CPL_SOURCE_BPF, SOURCE_PARTIAL, -ENOENT,
			    "this kernel has no tracepoint %s: what it tells was not looked at",
			    name);
	}
	w->bpf->rodata->has_rx_sk = tracepoint_arguments(w->kernel, "kfree_skb") >= 4;
}

static int load(struct watcher *w, struct source_notes *notes)
{
	int err;

	w->kernel = btf__load_vmlinux_btf();
	if (!w->kernel)
		return -errno;
	w->bpf = packets__open();
	if (!w->bpf)
		return -errno;
	choose(w, notes);
	leave_out(w);
	err = bpf_map__set_max_entries(w->bpf->maps.events, w->room);
	if (err)
		return err;
	err = packets__load(w->bpf);
	if (!err)
		err = packets__attach(w->bpf);
	return err;
}

struct watcher *watcher_start_with(struct source_notes *notes, unsigned room)
{
	libbpf_print_fn_t before = libbpf_set_print(silent);
	struct watcher *w = calloc(1, sizeof(*w));
	int err = -ENOMEM;

	if (w) {
		w->room = room;
		err = load(w, notes);
	}
	libbpf_set_print(before);
	if (!err) {
		w->since_ns = now_ns();
		return w;
	}
	if (err == -EPERM || err == -EACCES)
		source_note(notes, CPL_SOURCE_BPF, SOURCE_PARTIAL, err,
			    "drop reasons were not looked at: that %s (CAP_BPF and CAP_PERFMON)",
			    source_denied());
	else if (w && !w->kernel && err == -ENOENT)
		source_note(notes, CPL_SOURCE_BPF, SOURCE_PARTIAL, err,
			    "drop reasons were not looked at: this kernel does not describe its "
			    "types (CONFIG_DEBUG_INFO_BTF)");
	else
		source_note(notes, CPL_SOURCE_BPF, SOURCE_PARTIAL, err,
			    "drop reasons were not looked at: the kernel does not take the BPF "
			    "program: %s",
			    strerror(-err));
	watcher_stop(w);
	return NULL;
}

void watcher_stop(struct watcher *w)
{
	if (!w)
		return;
	packets__destroy(w->bpf);
	btf__free(w->kernel);
	free(w);
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* An entry with the time at which it was first seen, for sorting. */
struct seen {
	uint64_t first_ns;
	struct view_event event;
};

static int by_time(const void *a, const void *b)
{
	uint64_t x = ((const struct seen *)a)->first_ns, y = ((const struct seen *)b)->first_ns;

	return (x > y) - (x < y);
}

static struct view_event event_of(const struct packets_key *k, const struct packets_value *v)
{
	struct view_event e = {
		.kind = (enum view_event_kind)k->kind,
		.netns = k->netns,
		.protocol = k->protocol,
		.tcp_flags = k->tcp_flags,
		.from_port = k->from_port,
		.to_port = k->to_port,
		.length = (uint32_t)v->length,
		.reason = k->reason,
		.times = v->times,
	};

	memcpy(e.from.b, k->from, sizeof(e.from.b));
	memcpy(e.to.b, k->to, sizeof(e.to.b));
	return e;
}

/* The whole table, in SEEN. Returns the number of entries, or a negative errno. */
static long table_read(const struct watcher *w, struct seen *seen)
{
	struct packets_key *keys = malloc(w->room * sizeof(*keys));
	struct packets_value *values = malloc(w->room * sizeof(*values));
	/* In one go: a walk from key to key begins anew where an entry had to go. */
	uint32_t cursor, n = w->room;
	long err = -ENOMEM;

	if (keys && values)
		err = bpf_map_lookup_batch(bpf_map__fd(w->bpf->maps.events), NULL, &cursor, keys,
					   values, &n, NULL);
	if (err && err != -ENOENT) /* that is: and that was all */
		n = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct view_event *e = &seen[i].event;

		*e = event_of(&keys[i], &values[i]);
		e->times += !e->times; /* it is being counted */
		seen[i].first_ns = values[i].first_ns;
		if (e->kind == VIEW_EVENT_DROP)
			reason_name(w->kernel, e->reason, e->reason_name, sizeof(e->reason_name));
	}
	free(keys);
	free(values);
	return err && err != -ENOENT ? err : n;
}

int watcher_collect(struct watcher *w, struct view_facts *facts, struct source_notes *notes)
{
	struct seen *seen = calloc(w->room, sizeof(*seen));
	struct view_event *events;
	long kept = 0, n = seen ? table_read(w, seen) : -ENOMEM;

	events = n < 0 ? NULL : calloc((size_t)n + 1, sizeof(*events));
	if (!events) {
		free(seen);
		return -ENOMEM;
	}
	qsort(seen, (size_t)n, sizeof(*seen), by_time);
	for (long i = 0; i < n; i++)
		if (!watcher_idle_ack(&seen[i].event))
			events[kept++] = seen[i].event;
	free(seen);
	free(facts->event);
	facts->event = events;
	facts->events = (size_t)kept;
	facts->watched = true;
	facts->watched_ns = now_ns() - w->since_ns;
	if (w->bpf->bss->made > (uint64_t)n)
		source_note(notes, CPL_SOURCE_BPF, SOURCE_PARTIAL, 0,
			    "of what happened to packets, the older part: there were %llu "
			    "different events, and %ld are kept",
			    (unsigned long long)w->bpf->bss->made, n);
	return 0;
}

#endif
