/* SPDX-License-Identifier: MIT */
/*
 * A made-up machine for the rules of doctor: a client and a server (ends.h) and what else a test
 * adds, the same in three passes until the test spoils some of it.
 */
#ifndef TESTS_VIEW_SEEN_H
#define TESTS_VIEW_SEEN_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/view/ends.h"
#include "view/diagnose.h"

#define SEEN_ENDS 400
#define SECOND	  1000000000ull
#define NETNS	  4026531840u

struct machine {
	struct cpl_info info[3][SEEN_ENDS];
	bool gone[3][SEEN_ENDS];
	size_t n;
	unsigned passes;
	uint64_t later_ns;
	bool all_namespaces, complete, remarks;
	bool wanted[SEEN_ENDS], by_name;
	struct cpl_addr own[4];
	size_t owns;
	struct view_host host[2], host_before[2]; /* [0] is that of NETNS */
	struct view_process process[4], process_before[4];
	struct view_event event[4];
	struct view_facts facts, before;
	bool no_facts;
	/* What came of it. */
	struct view_diagnosis d;
	uint64_t longer;
};

static struct machine w;

/* X is 0, Y is 1. */
enum {
	X,
	Y
};

static inline size_t seen_add(const struct cpl_info *info)
{
	for (unsigned pass = 0; pass < 3; pass++) {
		w.info[pass][w.n] = *info;
		CPL_INFO_READ(&w.info[pass][w.n], id, 1000 + w.n);
		CPL_INFO_READ(&w.info[pass][w.n], netns, NETNS);
		CPL_INFO_READ(&w.info[pass][w.n], attached, 1);
		CPL_INFO_READ(&w.info[pass][w.n], source, CPL_SOURCE_BPF);
	}
	return w.n++;
}

/* FIELD of end I is VALUE in all passes. */
#define ALL(i, field, value)                                                                       \
	do {                                                                                       \
		for (unsigned pass_ = 0; pass_ < 3; pass_++)                                       \
			CPL_INFO_READ(&w.info[pass_][i], field, value);                            \
	} while (0)
/* In the third pass only. */
#define LATER(i, field, value) CPL_INFO_READ(&w.info[2][i], field, value)
#define UNKNOWN(i, field)                                                                          \
	do {                                                                                       \
		for (unsigned pass_ = 0; pass_ < 3; pass_++) {                                     \
			forget(&w.info[pass_][i], CPL_F_##field);                                  \
			memset(&w.info[pass_][i].field, 0, sizeof(w.info[pass_][i].field));        \
		}                                                                                  \
	} while (0)
#define FACT_IS(name, value)                                                                       \
	do {                                                                                       \
		w.host[0].fact[VIEW_FACT_##name] = value;                                          \
		w.host[0].known |= (uint64_t)1 << VIEW_FACT_##name;                                \
	} while (0)
#define FACT_WAS(name, value)                                                                      \
	do {                                                                                       \
		w.host_before[0].fact[VIEW_FACT_##name] = value;                                   \
		w.host_before[0].known |= (uint64_t)1 << VIEW_FACT_##name;                         \
	} while (0)

static inline void seen_gone(size_t i)
{
	for (unsigned pass = 0; pass < 3; pass++)
		w.gone[pass][i] = true;
}

/* A listener of the server's, on its port. */
static inline size_t seen_listener(uint32_t waiting, uint32_t backlog)
{
	struct cpl_info l;

	memset(&l, 0, sizeof(l));
	l.size = sizeof(l);
	l.version = CPL_INFO_VERSION;
	CPL_INFO_READ(&l, protocol, 6);
	CPL_INFO_READ(&l, family, 4);
	CPL_INFO_READ(&l, state, CPL_LISTEN);
	CPL_INFO_READ(&l, local_addr, cpl_addr4(0, 0, 0, 0));
	CPL_INFO_READ(&l, remote_addr, cpl_addr4(0, 0, 0, 0));
	CPL_INFO_READ(&l, local_port, 80);
	CPL_INFO_READ(&l, remote_port, 0);
	CPL_INFO_READ(&l, pid, 812);
	CPL_INFO_READ(&l, fd, 3);
	strcpy(l.program, "nginx");
	cpl_info_mark_read(&l, CPL_F_program);
	CPL_INFO_READ(&l, accept_queue, waiting);
	CPL_INFO_READ(&l, backlog, backlog);
	CPL_INFO_READ(&l, syn_queue, 0);
	return seen_add(&l);
}

/* One more end, a copy of END with another port for the client. */
static inline size_t seen_more(const struct cpl_info *end, uint16_t port)
{
	struct cpl_info more = *end;

	if (more.passive)
		more.remote_port = port;
	else
		more.local_port = port;
	return seen_add(&more);
}

static inline void seen_drop(struct cpl_addr from, uint16_t from_port, struct cpl_addr to,
			     uint16_t to_port, const char *reason, uint64_t times)
{
	struct view_event *e = &w.event[w.facts.events++];

	*e = (struct view_event){ .kind = VIEW_EVENT_DROP,
				  .netns = NETNS,
				  .protocol = 6,
				  .from = from,
				  .to = to,
				  .from_port = from_port,
				  .to_port = to_port,
				  .times = times };
	snprintf(e->reason_name, sizeof(e->reason_name), "%s", reason);
	w.facts.watched = true;
}

static int seen_setup(void **state)
{
	struct cpl_info x, y;

	(void)state;
	memset(&w, 0, sizeof(w));
	ends_init(&x, &y);
	seen_add(&x);
	seen_add(&y);
	w.passes = 3;
	w.later_ns = 3 * SECOND;
	w.all_namespaces = w.complete = true;
	w.own[0] = cpl_addr4(10, 0, 0, 1);
	w.own[1] = cpl_addr4(10, 0, 0, 2);
	w.owns = 2;
	w.host[0] = (struct view_host){ .netns = NETNS, .ours = true, .addr = w.own, .addrs = 2 };
	w.host_before[0] = w.host[0];
	w.process[0] = (struct view_process){ .pid = 812, .program = "nginx", .state = 'S' };
	w.process[1] = (struct view_process){ .pid = 4711, .program = "curl", .state = 'S' };
	memcpy(w.process_before, w.process, sizeof(w.process));
	w.facts = (struct view_facts){
		.host = w.host, .hosts = 1, .process = w.process, .processes = 2, .event = w.event
	};
	w.before = w.facts;
	w.before.host = w.host_before;
	w.before.process = w.process_before;
	return 0;
}

static int seen_teardown(void **state)
{
	(void)state;
	view_diagnosis_free(&w.d);
	return 0;
}

/* Runs the rules over the machine. */
static void diagnose(void)
{
	static struct cpl_info info[3][SEEN_ENDS];
	struct view_look look = { .passes = w.passes };
	struct view_match m;
	struct view_seen seen = { .match = &m,
				  .later_ns = w.later_ns,
				  .facts = w.no_facts ? NULL : &w.facts,
				  .before = w.no_facts ? NULL : &w.before,
				  .own = { w.own },
				  .owns = { w.owns },
				  .all_namespaces = { w.all_namespaces },
				  .complete = { w.complete },
				  .remarks = w.remarks };
	bool wanted[SEEN_ENDS];

	view_diagnosis_free(&w.d);
	for (unsigned pass = 0; pass < w.passes; pass++) {
		size_t n = 0;

		for (size_t i = 0; i < w.n; i++)
			if (!w.gone[pass][i])
				info[pass][n++] = w.info[pass][i];
		look.pass[pass] = (struct view_pass){ info[pass], n };
	}
	assert_int_equal(view_match(&m, &look, 1), 0);
	for (size_t i = 0; i < m.n; i++)
		wanted[i] = w.wanted[view_match_last(&m, i)->id - 1000];
	if (w.by_name)
		seen.wanted = wanted;
	w.longer = view_diagnose(&w.d, &seen);
	view_diagnosis_settle(&w.d);
	view_match_free(&m);
	assert_false(w.d.failed);
}

static void said(void)
{
	for (size_t i = 0; i < w.d.n; i++) {
		print_message("  %s\n", view_finding_kinds[w.d.finding[i].id].name);
		for (unsigned k = 0; k < w.d.finding[i].evidences; k++)
			print_message("    %s\n", w.d.finding[i].evidence[k]);
	}
}

/* Exactly this is found. */
static const struct view_finding *found(enum view_finding_id id)
{
	diagnose();
	if (w.d.n != 1 || w.d.finding[0].id != id) {
		said();
		fail_msg("not %s, or not it alone", view_finding_kinds[id].name);
	}
	return &w.d.finding[0];
}

static void nothing(void)
{
	diagnose();
	if (w.d.n) {
		said();
		fail_msg("a false alarm");
	}
}

static bool evidence(const struct view_finding *f, const char *words)
{
	for (unsigned i = 0; i < f->evidences; i++)
		if (strstr(f->evidence[i], words))
			return true;
	return false;
}

#define SEEN(f) cmocka_unit_test_setup_teardown(f, seen_setup, seen_teardown)

#endif
