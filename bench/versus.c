/* SPDX-License-Identifier: MIT */
/*
 * Couplet and the kernel through the same impairment wire (sim/wire.h in real time), each run with
 * the same drops as its partner: how much one flow delivers, how often it sends again, how long its
 * receiver waits for the next segment (99 of 100 wait less); and what each of several flows gets of
 * one bottleneck. Needs root, or a user that may make namespaces.
 *
 * Loss is that of the data's direction alone. Ratios of goodput are geometric means with the 95%
 * interval, of the others the quotient of all runs together. **Bold** is what is not within
 * 0.95 to 1.10 of the second, or exceeds 1.10 of it where less is better. Of shares the
 * interval is that of pairs of runs, in which each flow was once the first.
 * Run it while nothing else runs, or under chrt -f 20: late frames count as well as lost ones.
 */
#define _GNU_SOURCE
#include <math.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/options.h"
#include "tests/util/flow.h"

static const char usage[] =
	"versus [KEY=VALUE ...]\n"
	"who=cc,kk      two kinds of run in turn: sender and receiver, c Couplet, k the\n"
	"               kernel\n"
	"cc=cubic       congestion control of the sender; several with commas\n"
	"loss=0,0.01 rtt=10,50 (ms) rate=50 (Mbit/s) queue=1 (BDP)\n"
	"seconds=4 skip=0 (the first are no result) reps=3 seed=1\n"
	"jobs=1         cells at a time\n"
	"jitter=0 (ms)  up to so much more on the way of the ACKs: without it what enters\n"
	"               a full queue and what leaves it keep step, and chance has no part\n"
	"               in who is dropped\n"
	"later=0 (us)   so much longer is one's round trip, of two runs the first's, of two\n"
	"               the other's: who comes just when the queue has room\n"
	"phases=0       1: instead in each run another part of what a packet takes there\n"
	"apart=0 (ms)   so much after one flow the other starts; the first is the first\n"
	"               in every other run\n"
	"late=20 (ms)   runs in which the wire was later than this once are made again\n"
	"trace=FILE     cwnd of each sender, every 5 ms, and the fate of each segment at\n"
	"               the wire, in files whose names begin so\n"
	"share=cc+kk    instead: flows at once, in one bottleneck; cc=cubic+bbr: one for\n"
	"               each flow; with phases=1 apart=200 unless told, so that reps= is\n"
	"               best a multiple of 4\n"
	"The whole table:\n"
	"  versus cc=cubic,reno,bbr rate=50,200 rtt=10,50,100 loss=0,0.001,0.01,0.03 \\\n"
	"         reps=10 jobs=3\n"
	"  versus share=cc+kk cc=cubic,reno,bbr rate=50 rtt=10,50,100 loss=0 \\\n"
	"         seconds=20 skip=5 reps=16\n";

#define REPS_MAX    64
#define CELLS_MAX   512
#define LIST_MAX    8
#define TRIES	    4
#define PACKET_BITS 12000.0

struct cell {
	char cc[64];
	double rate, rtt_ms, loss;
	FILE *out; /* what it printed */
	pid_t pid;
};

struct options {
	const char *who, *share, *trace;
	double queue, jitter_ms, later_us, apart_ms;
	uint64_t run_ns, skip_ns, late_ns, seed;
	bool phases;
	int reps, jobs;
};

/* All runs of one kind. */
struct sum {
	double mbit, retrans, sent;
	uint32_t gaps[GAP_BUCKETS];
};

/* The words of LIST, separated by commas, as numbers. */
static int numbers(const char *list, double *value, int max)
{
	int n = 0;

	for (char *end; n < max && *list; list = *end ? end + 1 : end)
		value[n++] = strtod(list, &end);
	return n;
}

/* ---- Statistics ------------------------------------------------------------------------------ */

/* Mean of N values, and half of its 95% interval (Student's t). */
static double interval(const double *value, int n, double *half)
{
	static const double t[] = { 0,	  12.7, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36,
				    2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13 };
	double sum = 0, squares = 0;

	for (int i = 0; i < n; i++)
		sum += value[i];
	for (int i = 0; i < n; i++)
		squares += pow(value[i] - sum / n, 2);
	*half = n < 2 ? INFINITY : (n - 1 < 16 ? t[n - 1] : 2.0) * sqrt(squares / (n - 1) / n);
	return sum / n;
}

/* The same of what N values are if runs that follow each other are one: each flow was the first. */
static double interval_of_pairs(const double *value, int n, bool pairs, double *half)
{
	double mean[REPS_MAX / 2];

	if (!pairs || n % 2)
		return interval(value, n, half);
	for (int i = 0; i < n / 2; i++)
		mean[i] = (value[2 * i] + value[2 * i + 1]) / 2;
	return interval(mean, n / 2, half);
}

static double mbit(const struct options *o, const struct flow_result *r)
{
	return (double)r->octets * 8 / ((double)(o->run_ns - o->skip_ns) / 1e9) / 1e6;
}

static void add(const struct options *o, struct sum *s, const struct flow_result *r)
{
	s->mbit += mbit(o, r) / o->reps;
	s->retrans += (double)r->retrans;
	s->sent += (double)r->sent;
	for (unsigned i = 0; i < GAP_BUCKETS; i++)
		s->gaps[i] += r->gaps[i];
}

static double resent(const struct sum *s)
{
	return s->sent > 0 ? 100 * s->retrans / s->sent : 0;
}

/* ---- Cells ----------------------------------------------------------------------------------- */

static void prepare(const struct options *o, const struct cell *c, struct flow_run *run)
{
	double bdp = c->rate * 1e6 / 8 * c->rtt_ms / 1e3 * o->queue;

	*run = (struct flow_run){
		.n = 1,
		.cc = { c->cc },
		.wire = { { .delay_ns = (uint64_t)(c->rtt_ms * 5e5),
			    .rate_bps = (uint64_t)(c->rate * 1e6),
			    .queue_bytes = bdp < 3000 ? 3000 : (uint32_t)bdp,
			    .loss = c->loss },
			  { .delay_ns = (uint64_t)(c->rtt_ms * 5e5),
			    .jitter_ns = (uint64_t)(o->jitter_ms * 1e6) } },
		.later_ns = (uint64_t)(o->later_us * 1e3),
		.apart_ns = (uint64_t)(o->apart_ms * 1e6),
		.run_ns = o->run_ns,
		.skip_ns = o->skip_ns,
		.trace = o->trace,
	};
}

/* RUN, again if something held up the wire; *LATE: at least what it was late by. */
static void run_again(const struct options *o, const struct flow_run *run, struct flow_result *r,
		      double *late)
{
	uint64_t by = UINT64_MAX;

	for (int i = 0; i < TRIES && by > o->late_ns; i++)
		by = flows_run(run, r);
	*late = fmax(*late, (double)by);
}

static void figure(double value, bool outside)
{
	printf(outside ? "**%.2f**" : "%.2f", value);
}

static void compare(const struct options *o, const struct cell *c)
{
	static struct sum sum[2];
	struct flow_result r;
	struct flow_run run;
	double ratio[REPS_MAX], mean, half, gap[2], late = 0;

	prepare(o, c, &run);
	for (int i = 0; i < o->reps; i++) {
		run.seed = o->seed + (uint64_t)i;
		ratio[i] = 0;
		for (int k = 0; k < 2; k++) {
			run.who[0] = o->who + 3 * k;
			run_again(o, &run, &r, &late);
			ratio[i] += (k ? -1 : 1) * log(mbit(o, &r) + 0.001);
			add(o, &sum[k], &r);
		}
	}
	mean = interval(ratio, o->reps, &half);
	gap[0] = flow_gap_ms(sum[0].gaps, 0.99);
	gap[1] = flow_gap_ms(sum[1].gaps, 0.99);
	printf("| %s | %g | %g | %g%% | %.2f | %.2f | ", c->cc, c->rate, c->rtt_ms, c->loss * 100,
	       sum[0].mbit, sum[1].mbit);
	figure(exp(mean), exp(mean) < 0.95 || exp(mean) > 1.10);
	printf(" (%.2f, %.2f) | ", exp(mean - half), exp(mean + half));
	figure(resent(&sum[0]), resent(&sum[0]) > 1.1 * resent(&sum[1]));
	printf(" | %.2f | %.1f | %.1f | ", resent(&sum[1]), gap[0], gap[1]);
	figure(gap[0] / gap[1], gap[0] > 1.1 * gap[1]);
	printf(" | %.1f |\n", late / 1e6);
}

/* Several flows at once: what the I-th gets of all. */
static void share(const struct options *o, const struct cell *c)
{
	static double part[FLOWS_MAX][REPS_MAX];
	static struct sum sum[FLOWS_MAX];
	struct flow_result r[FLOWS_MAX];
	struct flow_run run;
	char names[64], *save, *name;
	double late = 0, mean, half;

	prepare(o, c, &run);
	snprintf(names, sizeof(names), "%s", c->cc);
	name = strtok_r(names, "+", &save);
	for (run.n = 0; run.n < FLOWS_MAX; run.n++) {
		run.who[run.n] = o->share + 3 * run.n;
		run.cc[run.n] = name;
		if (run.n && (name = strtok_r(NULL, "+", &save)))
			run.cc[run.n] = name;
		else if (run.n)
			run.cc[run.n] = run.cc[run.n - 1];
		if (strlen(run.who[run.n]) < 3) {
			run.n++;
			break;
		}
	}
	for (int k = 0; k < o->reps; k++) {
		double all = 0;

		run.seed = o->seed + (uint64_t)k;
		if (o->phases)
			run.later_ns =
				(uint64_t)(k * PACKET_BITS / (c->rate * 1e6) * 1e9 / o->reps);
		run_again(o, &run, r, &late);
		for (unsigned i = 0; i < run.n; i++) {
			add(o, &sum[i], &r[i]);
			all += mbit(o, &r[i]);
		}
		for (unsigned i = 0; i < run.n; i++)
			part[i][k] = 100 * mbit(o, &r[i]) / all;
	}
	printf("| %s | %s | %g | %g | %g%% ", c->cc, o->share, c->rate, c->rtt_ms, c->loss * 100);
	for (unsigned i = 0; i < run.n; i++) {
		mean = interval_of_pairs(part[i], o->reps, o->apart_ms > 0, &half);
		printf("| %.2f | %.0f%% (%.0f, %.0f) | %.2f ", sum[i].mbit, mean, mean - half,
		       mean + half, resent(&sum[i]));
	}
	for (int k = 0; k < o->reps; k++)
		printf("%s%.0f", k ? " " : "| ", part[0][k]);
	printf(" | %.1f |\n", late / 1e6);
}

/* Each cell in a process of its own, JOBS at a time; what they print, in order. */
static void work(const struct options *o, struct cell *cells, int n)
{
	int running = 0, started = 0, printed = 0, c;

	while (printed < n) {
		for (; started < n && running < o->jobs; started++, running++) {
			struct cell *cell = &cells[started];

			cell->out = tmpfile();
			fflush(stdout);
			cell->pid = fork();
			if (cell->pid)
				continue;
			dup2(fileno(cell->out), STDOUT_FILENO);
			if (o->share)
				share(o, cell);
			else
				compare(o, cell);
			exit(0);
		}
		pid_t pid = wait(NULL);

		running--;
		for (int i = 0; i < n; i++)
			if (cells[i].pid == pid)
				cells[i].pid = 0;
		for (; printed < started && !cells[printed].pid; printed++) {
			rewind(cells[printed].out);
			while ((c = getc(cells[printed].out)) != EOF)
				putchar(c);
			fclose(cells[printed].out);
			fflush(stdout);
		}
	}
}

static void heading(const struct options *o)
{
	if (o->share) {
		size_t n = (strlen(o->share) + 1) / 3;

		printf("| | flows | Mbit/s | RTT, ms | loss ");
		for (size_t i = 0; i < n; i++)
			printf("| %.2s, Mbit/s | share (95%%) | sent again, %% ", o->share + 3 * i);
		printf("| first's share in each run, %% | late, ms |\n|-|-|-|-|-|-|-|");
		for (size_t i = 0; i < n; i++)
			printf("-|-|-|");
		printf("\n");
		return;
	}
	printf("| | Mbit/s | RTT, ms | loss | %.2s | %.2s | ratio (95%%) | sent again, %% | %.2s "
	       "| gap, ms | %.2s | ratio | late, ms |\n|-|-|-|-|-|-|-|-|-|-|-|-|-|\n",
	       o->who, o->who + 3, o->who + 3, o->who + 3);
}

/* WORDS: pairs of sender and receiver with SEPARATOR between them, N at most. */
static bool pairs(const char *words, char separator, size_t n)
{
	for (; n && strspn(words, "ck") == 2; n--, words += 3)
		if (words[2] != separator)
			return !words[2];
	return false;
}

int main(int argc, char **argv)
{
	static struct cell cells[CELLS_MAX];
	const bool shares = option(argc, argv, "share", NULL);
	struct options o = {
		.who = option(argc, argv, "who", "cc,kk"),
		.share = option(argc, argv, "share", NULL),
		.trace = option(argc, argv, "trace", NULL),
		.queue = atof(option(argc, argv, "queue", "1")),
		.jitter_ms = atof(option(argc, argv, "jitter", "0")),
		.later_us = atof(option(argc, argv, "later", "0")),
		.phases = option_number(argc, argv, "phases", shares),
		.apart_ms = atof(option(argc, argv, "apart", shares ? "200" : "0")),
		.run_ns = (uint64_t)(atof(option(argc, argv, "seconds", "4")) * 1e9),
		.skip_ns = (uint64_t)(atof(option(argc, argv, "skip", "0")) * 1e9),
		.late_ns = (uint64_t)(atof(option(argc, argv, "late", "20")) * 1e6),
		.seed = (uint64_t)option_number(argc, argv, "seed", 1),
		.reps = (int)option_number(argc, argv, "reps", 3),
		.jobs = (int)option_number(argc, argv, "jobs", 1),
	};
	double loss[LIST_MAX], rtt[LIST_MAX], rate[LIST_MAX];
	int loss_n = numbers(option(argc, argv, "loss", "0,0.01"), loss, LIST_MAX);
	int rtt_n = numbers(option(argc, argv, "rtt", "10,50"), rtt, LIST_MAX);
	int rate_n = numbers(option(argc, argv, "rate", "50"), rate, LIST_MAX), n = 0;
	char names[200], *save, *cc;

	options_check(argc, argv, usage);
	if (o.reps < 1 || o.reps > REPS_MAX || o.jobs < 1 || o.skip_ns >= o.run_ns ||
	    strlen(o.who) != 5 || !pairs(o.who, ',', 2) ||
	    (shares && !pairs(o.share, '+', FLOWS_MAX))) {
		fprintf(stderr,
			"versus: reps= is 1 to %d, jobs= 1 at least, skip= less than "
			"seconds=, who= like cc,kk and share= like cc+kk\n",
			REPS_MAX);
		return 2;
	}
	snprintf(names, sizeof(names), "%s", option(argc, argv, "cc", "cubic"));
	for (cc = strtok_r(names, ",", &save); cc; cc = strtok_r(NULL, ",", &save))
		for (int i = 0; i < rate_n * rtt_n * loss_n && n < CELLS_MAX; i++, n++) {
			cells[n] = (struct cell){ .rate = rate[i / loss_n / rtt_n],
						  .rtt_ms = rtt[i / loss_n % rtt_n],
						  .loss = loss[i % loss_n] };
			snprintf(cells[n].cc, sizeof(cells[n].cc), "%s", cc);
		}
	heading(&o);
	work(&o, cells, n);
	return 0;
}
