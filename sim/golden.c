/* SPDX-License-Identifier: MIT */
/* The golden table: see golden.h. */
#include "sim/golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/dumbbell.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define SEED	    1
#define QUEUE_MIN   12000u /* a queue holds eight packets, however short the path is */
#define MARK_MIN    4500u
#define SECONDS	    10 /* a run lasts so long, or ... */
#define ROUNDS	    200
#define OCTETS_MAX  500000000u /* at most that much, but no shorter than ... */
#define ROUNDS_MIN  25
#define MS_MIN	    5500 /* BBR's ProbeRTT is part of it */
#define SHARED_RATE 100
#define SHARED_TIME 60 /* the second half of it counts */
#define SHARED_GAP  200

/* Gilbert-Elliott: of a thousand packets one begins a spell of ten, in which half are lost. */
#define BURST_ENTER 0.001
#define BURST_LEAVE 0.1
#define BURST_LOSS  0.5

/* ---- The rows ------------------------------------------------------------------------------- */

static const unsigned rtts[] = { 1, 10, 50, 100, 300 };
static const unsigned rates[] = { 1, 10, 50, 200, 1000 };
static const double queues[] = { 0.5, 1, 4 };
static const double losses[] = { 0, 0.1, 1, 3, 10, -1 };
static const char *const ccs[] = { "bbr", "cubic", "reno", "dctcp" };

static uint64_t bdp(const struct golden_row *row)
{
	return (uint64_t)row->rate * 125 * row->rtt_ms;
}

static uint32_t queue_bytes(const struct golden_row *row)
{
	uint64_t bytes = (uint64_t)((double)bdp(row) * row->queue);

	return bytes < QUEUE_MIN ? QUEUE_MIN : (uint32_t)bytes;
}

static void name_one(struct golden_row *row)
{
	char loss[16] = "bursts";

	if (!row->bursts)
		snprintf(loss, sizeof(loss), "%.3g%%", row->loss);
	snprintf(row->key, sizeof(row->key), "one    %3u ms %4u Mbit/s %3.1f BDP %6s %-5s",
		 row->rtt_ms, row->rate, row->queue, loss, row->cc);
}

static void name_shared(struct golden_row *row)
{
	char rtt[16], who[24];

	snprintf(rtt, sizeof(rtt), row->other_rtt_ms ? "%u+%u" : "%u", row->rtt_ms,
		 row->other_rtt_ms);
	snprintf(who, sizeof(who), "%s%s%s", row->cc, row->other ? "+" : "",
		 row->other ? row->other : "");
	snprintf(row->key, sizeof(row->key), "shared %5s ms %3u Mbit/s %3.1f BDP %2u %-10s", rtt,
		 row->rate, row->queue, row->flows, who);
}

/* A bit of everything that is short. */
static bool in_cut(const struct golden_row *row)
{
	if (row->rate > 50 || row->rtt_ms > 100)
		return false;
	if (!strcmp(row->cc, "dctcp"))
		return row->rtt_ms == 10 && row->rate == 50 && row->queue == 1;
	if (row->queue == 1)
		return (row->rtt_ms == 10 || row->rtt_ms == 100) &&
		       (row->rate == 10 || row->rate == 50) &&
		       (row->bursts || row->loss == 0 || row->loss == 1);
	return row->rtt_ms == 50 && row->rate == 10 && !row->bursts && row->loss == 0;
}

static unsigned rows_of_path(struct golden_row *rows, const struct golden_row *path)
{
	unsigned n = 0;

	for (unsigned l = 0; l < ARRAY_SIZE(losses); l++) {
		for (unsigned c = 0; c < ARRAY_SIZE(ccs); c++) {
			struct golden_row *row = &rows[n];

			*row = *path;
			row->cc = ccs[c];
			row->bursts = losses[l] < 0;
			row->loss = row->bursts ? 0 : losses[l];
			/* DCTCP is for paths that mark instead of losing. */
			if (!strcmp(row->cc, "dctcp") && (row->bursts || row->loss > 1))
				continue;
			row->cut = in_cut(row);
			name_one(row);
			n++;
		}
	}
	return n;
}

static unsigned rows_of_one(struct golden_row *rows)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(rtts) * ARRAY_SIZE(rates); i++) {
		for (unsigned q = 0; q < ARRAY_SIZE(queues); q++) {
			struct golden_row path = { .kind = GOLDEN_ONE,
						   .flows = 1,
						   .rtt_ms = rtts[i / ARRAY_SIZE(rates)],
						   .rate = rates[i % ARRAY_SIZE(rates)],
						   .queue = queues[q] };

			/* Where several come to the least queue there is, the last stands for all.
			 */
			if (q + 1 < ARRAY_SIZE(queues)) {
				struct golden_row next = path;

				next.queue = queues[q + 1];
				if (queue_bytes(&next) == queue_bytes(&path))
					continue;
			}
			n += rows_of_path(rows + n, &path);
		}
	}
	return n;
}

static unsigned rows_of_shared(struct golden_row *rows)
{
	static const struct {
		const char *cc, *other;
	} who[] = {
		{ "bbr", NULL },    { "cubic", NULL }, { "reno", NULL },
		{ "cubic", "bbr" }, { "reno", "bbr" }, { "reno", "cubic" },
	};
	static const unsigned paths[][2] = { { 10, 0 }, { 50, 0 }, { 50, 10 } };
	static const unsigned flows[] = { 2, 4, 16 };
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(paths) * ARRAY_SIZE(who); i++) {
		for (unsigned j = 0; j < 2 * ARRAY_SIZE(flows); j++) {
			struct golden_row *row = &rows[n];

			*row = (struct golden_row){ .kind = GOLDEN_SHARED,
						    .rtt_ms = paths[i / ARRAY_SIZE(who)][0],
						    .other_rtt_ms = paths[i / ARRAY_SIZE(who)][1],
						    .cc = who[i % ARRAY_SIZE(who)].cc,
						    .other = who[i % ARRAY_SIZE(who)].other,
						    .queue = j % 2 ? 4 : 1,
						    .flows = flows[j / 2],
						    .rate = SHARED_RATE };
			if (row->other && row->other_rtt_ms)
				continue;
			row->cut = row->rtt_ms == 10 && row->queue == 1 && row->flows == 2 &&
				   !row->other && !strcmp(row->cc, "cubic");
			name_shared(row);
			n++;
		}
	}
	return n;
}

unsigned golden_rows(struct golden_row rows[GOLDEN_ROWS])
{
	unsigned n = rows_of_one(rows);

	return n + rows_of_shared(rows + n);
}

/* ---- Computing ------------------------------------------------------------------------------ */

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

static struct wire_params path_of(const struct golden_row *row)
{
	struct wire_params p = { .rate_bps = row->rate * 1000000ull,
				 .queue_bytes = queue_bytes(row),
				 .loss = row->loss / 100 };

	if (row->bursts) {
		p.burst_enter = BURST_ENTER;
		p.burst_leave = BURST_LEAVE;
		p.burst_loss = BURST_LOSS;
	}
	/* RFC 8257 section 4.1 (K) with some room: a fifth of what the path holds. */
	if (!strcmp(row->cc, "dctcp"))
		p.ecn_bytes = bdp(row) / 5 < MARK_MIN ? MARK_MIN : (uint32_t)(bdp(row) / 5);
	return p;
}

static struct dumbbell_flow *make_flows(const struct golden_row *row)
{
	struct dumbbell_flow *flows = must(calloc(row->flows, sizeof(*flows)));

	for (unsigned i = 0; i < row->flows; i++) {
		bool second = i % 2;

		snprintf(flows[i].cc, sizeof(flows[i].cc), "%s",
			 second && row->other ? row->other : row->cc);
		flows[i].rtt_ns =
			(second && row->other_rtt_ms ? row->other_rtt_ms : row->rtt_ms) * CPL_MS;
		flows[i].start_ns = i * SHARED_GAP * CPL_MS;
	}
	return flows;
}

/* Per cent of the packets that a network lost, for whatever reason. */
static double lost(const struct dumbbell *d)
{
	return 100.0 * (double)(d->there.frames - d->there.fates[WIRE_SENT]) /
	       (double)(d->there.frames ? d->there.frames : 1);
}

static void run_one(const struct golden_row *row, struct dumbbell *d,
		    double figures[GOLDEN_FIGURES])
{
	uint64_t rtt = row->rtt_ms * CPL_MS, least = ROUNDS_MIN * rtt, most = ROUNDS * rtt;
	struct dumbbell_flow *flow = d->flows;
	struct cpl_info info = { 0 };

	if (least < MS_MIN * CPL_MS)
		least = MS_MIN * CPL_MS;
	if (most < SECONDS * CPL_SECOND)
		most = SECONDS * CPL_SECOND;
	while (d->now < most && (d->now < least || flow->received < OCTETS_MAX))
		dumbbell_run(d, d->now + CPL_SECOND / 2);
	if (!dumbbell_info(d, flow, &info))
		fprintf(stderr, "golden: %s: the connection is gone\n", row->key);
	figures[0] = (double)flow->received * 8000 / (double)d->now;
	figures[1] = lost(d);
	figures[2] =
		info.bytes_sent ? 100.0 * (double)info.bytes_retrans / (double)info.bytes_sent : 0;
	figures[3] = (double)spread_at(&flow->gaps, 0.99) / 1e6;
	figures[4] = (double)spread_at(&d->queueing, 0.5) / 1e6;
	figures[5] = (double)spread_at(&d->queueing, 0.95) / 1e6;
	figures[6] = info.rto_count;
}

static void run_shared(const struct golden_row *row, struct dumbbell *d,
		       double figures[GOLDEN_FIGURES])
{
	double sum = 0, squares = 0, first = 0, sent = 0, again = 0;
	uint64_t half[DUMBBELL_FLOWS];

	dumbbell_run(d, SHARED_TIME * CPL_SECOND / 2);
	for (unsigned i = 0; i < row->flows; i++)
		half[i] = d->flows[i].received;
	dumbbell_run(d, SHARED_TIME * CPL_SECOND);
	for (unsigned i = 0; i < row->flows; i++) {
		double got = (double)(d->flows[i].received - half[i]);
		struct cpl_info info = { 0 };

		dumbbell_info(d, &d->flows[i], &info);
		sent += (double)info.bytes_sent;
		again += (double)info.bytes_retrans;
		sum += got;
		squares += got * got;
		first += i % 2 ? 0 : got;
	}
	figures[0] = squares > 0 ? sum * sum / (row->flows * squares) : 0;
	figures[1] = sum > 0 ? 100 * first / sum : 0;
	figures[2] = 100 * sum * 8 / (row->rate * 1e6 * SHARED_TIME / 2);
	figures[3] = lost(d);
	figures[4] = sent > 0 ? 100 * again / sent : 0;
	figures[5] = (double)spread_at(&d->queueing, 0.5) / 1e6;
	figures[6] = (double)spread_at(&d->queueing, 0.95) / 1e6;
}

static struct dumbbell *begin(const struct golden_row *row)
{
	struct dumbbell *d = must(calloc(1, sizeof(*d)));
	struct wire_params path = path_of(row);

	dumbbell_init(d, &path, make_flows(row), row->flows, SEED);
	return d;
}

static void end(struct dumbbell *d)
{
	dumbbell_free(d);
	free(d->flows);
	free(d);
}

void golden_run(const struct golden_row *row, double figures[GOLDEN_FIGURES])
{
	struct dumbbell *d = begin(row);

	if (row->kind == GOLDEN_ONE)
		run_one(row, d, figures);
	else
		run_shared(row, d, figures);
	end(d);
}

void golden_series(FILE *file, const struct golden_row *row, uint64_t step_ns, unsigned seconds)
{
	struct dumbbell *d = begin(row);
	uint64_t before[DUMBBELL_FLOWS] = { 0 };

	fprintf(file, "# %s: s; of each flow cwnd in segments, Mbit/s\n", row->key);
	while (d->now < seconds * CPL_SECOND) {
		dumbbell_run(d, d->now + step_ns);
		fprintf(file, "%.3f", (double)d->now / CPL_SECOND);
		for (unsigned i = 0; i < row->flows; i++) {
			uint64_t got = d->flows[i].received - before[i];
			struct cpl_info info = { 0 };

			dumbbell_info(d, &d->flows[i], &info);
			fprintf(file, " %.1f %.2f",
				info.snd_mss ? (double)info.cwnd / info.snd_mss : 0,
				(double)got * 8000 / (double)step_ns);
			before[i] += got;
		}
		fputc('\n', file);
	}
	end(d);
}

/* ---- Text ----------------------------------------------------------------------------------- */

void golden_print_head(FILE *file)
{
	fputs("# out/release/bench/goodput all >tests/sim/golden.txt\n"
	      "#\n"
	      "# one: one flow. Mbit/s; % of the packets that the network lost; % of the octets "
	      "sent\n"
	      "# again; ms between reads, p99; ms in the bottleneck's queue, p50, p95; time-outs.\n"
	      "# shared: flows of one or two controllers, of one or two round trips: flows 2, 4, "
	      "6...\n"
	      "# have the second. Over the last 30 s of 60: Jain's index, % that flows 1, 3, 5... "
	      "got,\n"
	      "# % of the rate used. Over all: % lost; % sent again; ms in the queue, p50, p95.\n",
	      file);
}

static void print_figures(char *line, size_t n, const struct golden_row *row,
			  const double f[GOLDEN_FIGURES])
{
	if (row->kind == GOLDEN_ONE)
		snprintf(line, n, "%7.2f %5.2f %5.2f %7.2f %7.2f %7.2f %3.0f", f[0], f[1], f[2],
			 f[3], f[4], f[5], f[6]);
	else
		snprintf(line, n, "%5.3f %5.1f %5.1f %5.2f %5.2f %7.2f %7.2f", f[0], f[1], f[2],
			 f[3], f[4], f[5], f[6]);
}

void golden_print(FILE *file, const struct golden_row *row, const double figures[GOLDEN_FIGURES])
{
	char line[GOLDEN_LINE];

	print_figures(line, sizeof(line), row, figures);
	fprintf(file, "%s %s\n", row->key, line);
	fflush(file);
}

bool golden_drifts(const struct golden_row *row, const double was[GOLDEN_FIGURES],
		   const double is[GOLDEN_FIGURES])
{
	char a[GOLDEN_LINE], b[GOLDEN_LINE];

	print_figures(a, sizeof(a), row, was);
	print_figures(b, sizeof(b), row, is);
	return strcmp(a, b) != 0;
}

bool golden_find(FILE *file, const struct golden_row *row, double f[GOLDEN_FIGURES])
{
	size_t n = strlen(row->key);
	char line[GOLDEN_LINE];

	rewind(file);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, row->key, n) && line[n] == ' ')
			return sscanf(line + n, "%lf %lf %lf %lf %lf %lf %lf", &f[0], &f[1], &f[2],
				      &f[3], &f[4], &f[5], &f[6]) == GOLDEN_FIGURES;
	return false;
}

/* Any change to what is sent when draws other losses: that much may come of it. */
const char *golden_differs(const struct golden_row *row, const double was[GOLDEN_FIGURES],
			   const double is[GOLDEN_FIGURES])
{
	static const struct {
		const char *what;
		double part, more;
	} bounds[2][GOLDEN_FIGURES] = {
		[GOLDEN_ONE] = { { "goodput", 0.2, 0.1 },
				 { "loss", 0.3, 0.5 },
				 { "what is sent again", 0.3, 0.5 },
				 { "the p99 gap", 0.5, 5 },
				 { "the queue's median", 0.5, 5 },
				 { "the queue's p95", 0.5, 5 },
				 { "time-outs", 0.5, 3 } },
		[GOLDEN_SHARED] = { { "Jain's index", 0.15, 0 },
				    { "the share", 0.2, 5 },
				    { "use of the link", 0.05, 1 },
				    { "loss", 0.3, 0.5 },
				    { "what is sent again", 0.3, 0.5 },
				    { "the queue's median", 0.5, 5 },
				    { "the queue's p95", 0.5, 5 } },
	};

	for (unsigned i = 0; i < GOLDEN_FIGURES; i++) {
		double part = bounds[row->kind][i].part;

		/* Where time-outs decide, one more or less is a good part of a run. */
		if (row->loss >= 3 || row->bursts)
			part = part < 0.5 ? 0.5 : part;
		if (fabs(is[i] - was[i]) > part * was[i] + bounds[row->kind][i].more)
			return bounds[row->kind][i].what;
	}
	return NULL;
}
