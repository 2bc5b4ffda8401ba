/* SPDX-License-Identifier: MIT */
/*
 * What looking at many connections costs, beside ss(8) of iproute2 doing the same: as root, in a
 * network namespace of its own, with connections over loopback that this program makes.
 * Each repetition does every piece of work once, in turn. What counts are the ratios within a
 * repetition, and of those the median: of time, and, which other work on the machine disturbs less,
 * of the processor's time.
 *
 *   load      the BPF programs, once in a process's life
 *   collect   every control block into memory, as the first look of a command does
 *   owners    who holds which socket, of all processes and network namespaces
 *   print     every control block collected, sorted, and a table printed: couplet netstat -tan
 *             does it from sock_diag, `full` here with the whole control block of each in hand
 *   pair      couplet pair --all: two passes, both ends joined and checked
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "bench/options.h"
#include "link/kernel_if.h"
#include "source/bpf_source.h"
#include "source/owner.h"
#include "source/select.h"
#include "source/source.h"
#include "view/netstat.h"

static const char usage[] =
	"look [sockets=100000] [reps=5]\n"
	"What it prints: load, once; collect, owners, print (netstat: by sock_diag;\n"
	"full: each whole control block in hand) and pair, as ratios to ss.\n"
	"COUPLET in the environment: the command, unless out/release/couplet.\n";

/* A process may hold so many sockets: RLIMIT_NOFILE is often 20,000. */
#define SOCKETS_EACH 18000
#define REPS_MAX     101

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

static void die(const char *what)
{
	fprintf(stderr, "look: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double milliseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Of the processor, by this process and by the commands that it ran. */
static double processor_milliseconds(void)
{
	struct timespec t;
	struct rusage u;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	getrusage(RUSAGE_CHILDREN, &u);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6 +
	       (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

/* ---- The farm -------------------------------------------------------------------------------- */

/* PAIRS connections to 127.0.0.NUMBER, both ends in this process; every eighth has unread data. */
static void hold_pairs(unsigned number, unsigned pairs)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(5000) };
	int on = 1, l = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(0x7f000000 + number);
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (l < 0 || bind(l, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(l, 64) < 0)
		die("listen");
	for (unsigned i = 0; i < pairs; i++) {
		int c = socket(AF_INET, SOCK_STREAM, 0);

		setsockopt(c, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
		if (c < 0 || connect(c, (struct sockaddr *)&a, sizeof(a)) < 0)
			die("connect");
		if (accept(l, NULL, NULL) < 0)
			die("accept");
		if (i % 8 == 0 && write(c, "0123456789", 10) != 10)
			die("write");
	}
}

static void farm(unsigned sockets)
{
	int ready[2];
	unsigned processes = 0;
	char byte;

	if (pipe(ready) < 0)
		die("pipe");
	for (unsigned left = sockets; left; processes++) {
		unsigned n = left < SOCKETS_EACH ? left : SOCKETS_EACH;

		left -= n;
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			hold_pairs(processes + 1, n / 2);
			if (write(ready[1], "r", 1) != 1)
				die("write");
			for (;;)
				pause();
		}
	}
	close(ready[1]);
	while (processes && read(ready[0], &byte, 1) == 1)
		processes--;
	if (processes)
		exit(1);
	close(ready[0]);
}

static void prepare(void)
{
	struct rlimit limit;
	struct link_why why;
	int fd;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (unshare(CLONE_NEWNET) < 0)
		die("a network namespace of our own needs root");
	if (kernel_if_up("lo", &why))
		die(why.text);
	fd = open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY);
	if (fd < 0 || write(fd, "10000 65000", 11) < 0)
		die("ip_local_port_range");
	close(fd);
}

/* ---- The work -------------------------------------------------------------------------------- */

static void command(char *const argv[])
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	waitpid(child, &status, 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status) > 1) {
		errno = ENOENT;
		die(argv[0]);
	}
}

static void ss_info(void)
{
	command((char *[]){ "ss", "-tani", NULL });
}

static void ss_owners(void)
{
	command((char *[]){ "ss", "-tanp", NULL });
}

static const char *couplet;

static void netstat(void)
{
	command((char *[]){ (char *)couplet, "netstat", "-tan", NULL });
}

static void pair_all(void)
{
	command((char *[]){ (char *)couplet, "pair", "--all", NULL });
}

static size_t records;

static void collect_into(struct snapshot_set *set)
{
	struct source_options options = { .sources = SOURCE_BPF };
	int err;

	snapshot_set_init(set);
	err = source_collect(set, &options);
	if (err) {
		errno = -err;
		die("collect");
	}
	records = set->n;
}

static void collect(void)
{
	struct snapshot_set set;

	collect_into(&set);
	snapshot_set_free(&set);
}

static void owners(void)
{
	struct owner_table table;
	int err;

	owner_table_init(&table);
	err = bpf_source_owners(&table);
	if (err) {
		errno = -err;
		die("owners");
	}
	owner_table_free(&table);
}

static void full(void)
{
	FILE *null = fopen("/dev/null", "w");
	struct view_row *rows;
	struct snapshot_set set;
	struct text t;

	collect_into(&set);
	select_sort(set.info, set.n);
	rows = calloc(set.n, sizeof(*rows));
	if (!rows || !null)
		die("print");
	for (size_t i = 0; i < set.n; i++)
		rows[i].info = &set.info[i];
	text_init(&t);
	t.width = 80;
	view_netstat(&t, rows, set.n, 0);
	text_flush(&t, null);
	text_free(&t);
	free(rows);
	fclose(null);
	snapshot_set_free(&set);
}

/* ---- Medians --------------------------------------------------------------------------------- */

enum {
	SS_INFO,
	SS_OWNERS,
	COLLECT,
	OWNERS,
	NETSTAT,
	FULL,
	PAIR,
	WORKS
};

static const struct {
	const char *name;
	void (*run)(void);
	int beside;	/* whose time is 1 */
	double at_most; /* the ratio that is wanted; 0: none */
} works[WORKS] = {
	[SS_INFO] = { "ss -tani", ss_info, SS_INFO, 0 },
	[SS_OWNERS] = { "ss -tanp", ss_owners, SS_OWNERS, 0 },
	[COLLECT] = { "collect", collect, SS_INFO, 0.3 },
	[OWNERS] = { "owners", owners, SS_OWNERS, 0.05 },
	[NETSTAT] = { "couplet netstat -tan", netstat, SS_INFO, 0.8 },
	[FULL] = { "full", full, SS_INFO, 0.8 },
	[PAIR] = { "couplet pair --all", pair_all, SS_INFO, 1 },
};

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

struct measured {
	double time[REPS_MAX], processor[REPS_MAX];
};

static double median(const double *values, const double *beside, unsigned n)
{
	double sorted[REPS_MAX];

	for (unsigned i = 0; i < n; i++)
		sorted[i] = beside ? values[i] / beside[i] : values[i];
	qsort(sorted, n, sizeof(*sorted), by_size);
	return sorted[n / 2];
}

static int report(const struct measured *m, unsigned reps)
{
	int status = 0;

	printf("%-22s %9s %9s %9s %9s\n", "", "ms", "ratio", "of CPU", "wanted");
	for (int w = 0; w < WORKS; w++) {
		const struct measured *beside = &m[works[w].beside];
		double ratio = median(m[w].time, beside->time, reps);

		printf("%-22s %9.1f", works[w].name, median(m[w].time, NULL, reps));
		if (works[w].at_most > 0) {
			printf(" %9.3f %9.3f %9.2f%s", ratio,
			       median(m[w].processor, beside->processor, reps), works[w].at_most,
			       ratio > works[w].at_most ? "  too slow" : "");
			status |= ratio > works[w].at_most;
		}
		putchar('\n');
	}
	return status;
}

int main(int argc, char **argv)
{
	static struct measured m[WORKS];
	unsigned sockets = (unsigned)option_number(argc, argv, "sockets", 100000);
	unsigned reps = (unsigned)option_number(argc, argv, "reps", 5);
	double began, processor;
	int err;

	options_check(argc, argv, usage);
	couplet = getenv("COUPLET") ? getenv("COUPLET") : "out/release/couplet";
	if (reps < 1 || reps > REPS_MAX)
		reps = 5;
	began = milliseconds();
	err = bpf_source_load();
	if (err) {
		printf("look: skipped: %s\n", bpf_source_why(err));
		return 0;
	}
	printf("load                   %9.1f\n", milliseconds() - began);
	fflush(stdout);
	prepare();
	farm(sockets);
	for (unsigned r = 0; r < reps; r++) {
		for (int w = 0; w < WORKS; w++) {
			began = milliseconds();
			processor = processor_milliseconds();
			works[w].run();
			m[w].time[r] = milliseconds() - began;
			m[w].processor[r] = processor_milliseconds() - processor;
		}
	}
	printf("%zu sockets, medians of %u\n", records, reps);
	return report(m, reps);
}
