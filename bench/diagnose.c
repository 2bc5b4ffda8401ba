/* SPDX-License-Identifier: MIT */
/*
 * What the rules of couplet doctor cost on 100,000 sockets, all well, or all in one trouble: time
 * for one socket, which must not grow with their number. No socket is made: the records are.
 */
#include <errno.h>
#include <time.h>

#include "bench/options.h"
#include "tests/view/ends.h"
#include "view/diagnose.h"

static const char usage[] = "diagnose [sockets=100000]\n";

enum kind {
	HEALTHY,
	CLOSE_WAIT,
	HALF_OPEN,
	BLACK_HOLE,
	KINDS
};

static const char *const names[KINDS] = { "well", "close-wait", "half-open", "black-hole" };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void number(struct cpl_info *i, size_t n, size_t connection)
{
	struct cpl_addr client = cpl_addr4(10, 1, (uint8_t)(n >> 16), 1);
	uint32_t sequence = (uint32_t)connection * 2654435761u; /* each its own */

	CPL_INFO_READ(i, id, n);
	CPL_INFO_READ(i, netns, 1);
	CPL_INFO_READ(i, attached, 1);
	CPL_INFO_READ(i, source, CPL_SOURCE_BPF);
	i->pid = 1000 + (uint32_t)(n / 9); /* few of each: no crowd */
	i->iss += sequence;
	i->irs += sequence;
	i->snd_una += sequence;
	i->snd_nxt += sequence;
	i->write_seq += sequence;
	i->rcv_nxt += sequence;
	i->read_seq += sequence;
	i->rcv_edge += sequence;
	if (i->passive) {
		i->remote_port = (uint16_t)n;
		i->remote_addr = client;
	} else {
		i->local_port = (uint16_t)n;
		i->local_addr = client;
	}
}

/* Both ends of N / 2 connections. */
static void fill(struct cpl_info *info, size_t n, enum kind kind)
{
	struct cpl_info x, y;

	ends_init(&x, &y);
	if (kind == CLOSE_WAIT) {
		y.state = CPL_CLOSE_WAIT;
		x.state = CPL_FIN_WAIT_2;
		x.snd_una = ++x.snd_nxt;
		y.rcv_nxt++;
		y.rcv_edge++;
		CPL_INFO_READ(&y, last_ack, 2500000000u);
	} else if (kind == HALF_OPEN) {
		y.state = CPL_TIME_WAIT;
	} else if (kind == BLACK_HOLE) {
		end_sends(&x, 4000);
		CPL_INFO_READ(&x, rexmt_count, 6);
	}
	for (size_t i = 0; i < n; i++) {
		info[i] = i % 2 ? y : x;
		number(&info[i], i, kind == HALF_OPEN ? i : i / 2);
		if (i % 2)
			info[i].remote_port = (uint16_t)(i - 1);
		if (i % 2 && kind == HALF_OPEN)
			info[i].remote_port ^= 1;
	}
}

static void run(struct cpl_info *pass[3], size_t n, enum kind kind)
{
	struct cpl_addr own[] = { cpl_addr4(10, 0, 0, 2) };
	struct view_host host = { .netns = 1, .ours = true, .addr = own, .addrs = 1 };
	struct view_facts facts = { .host = &host, .hosts = 1 };
	struct view_look look = { .passes = 3 };
	struct view_match m;
	struct view_seen seen = { .match = &m,
				  .later_ns = 1000000000,
				  .facts = &facts,
				  .own = { own },
				  .owns = { 1 },
				  .all_namespaces = { true },
				  .complete = { true } };
	struct view_diagnosis d;
	double begun, matched, done;

	for (unsigned i = 0; i < 3; i++) {
		fill(pass[i], n, kind);
		look.pass[i] = (struct view_pass){ pass[i], n };
	}
	view_diagnosis_init(&d);
	begun = now();
	if (view_match(&m, &look, 1)) {
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	matched = now();
	view_diagnose(&d, &seen);
	view_diagnosis_settle(&d);
	done = now();
	printf("%-11s %8zu sockets  match %6.1f ms  rules %6.1f ms  %5.0f ns each  %zu findings\n",
	       names[kind], n, (matched - begun) * 1e3, (done - matched) * 1e3,
	       (done - matched) * 1e9 / (double)n, d.n);
	view_diagnosis_free(&d);
	view_match_free(&m);
}

int main(int argc, char **argv)
{
	size_t n = (size_t)option_number(argc, argv, "sockets", 100000);
	struct cpl_info *pass[3];

	options_check(argc, argv, usage);
	for (unsigned i = 0; i < 3; i++) {
		pass[i] = calloc(n ? n : 1, sizeof(*pass[i]));
		if (!pass[i])
			return 1;
	}
	for (int kind = 0; kind < KINDS; kind++)
		for (size_t part = 4; part > 0; part /= 2)
			run(pass, n / part, (enum kind)kind);
	for (unsigned i = 0; i < 3; i++)
		free(pass[i]);
	return 0;
}
