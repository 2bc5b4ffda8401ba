/* SPDX-License-Identifier: MIT */
/*
 * couplet record: the connections of this host, again and again, to a store. What the store cannot
 * take is tried again until the next sample is due; what is lost is counted, in the store as well.
 */
#include "cli/record.h"

#include <errno.h>
#include <getopt.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/connections.h"
#include "source/store.h"
#include "view/text.h"

#define SECOND	     1000000000u
#define EVERY_MS     10000
#define RATE	     10000
#define HEARTBEAT_NS (300ull * SECOND) /* the recorder's own */
#define PRUNE_NS     (60ull * SECOND)  /* between looks for what is too old */
#define RETRY_MS     200	       /* first wait after a failure; it doubles */
#define RETRY_MOST   5000

static const char help[] =
	"  -s, --store FILE|URL   an SQLite file, or postgresql://USER@HOST/DATABASE\n"
	"                       (default: ~/.local/state/couplet/couplet.db)\n"
	"  -e, --every SECONDS  between samples (default: 10)\n"
	"  -f, --for DURATION   then end (default: not before Ctrl-C); 0: one sample\n"
	"  -k, --keep DURATION  delete what is older, of this host: 90s 30m 12h 7d 2w\n"
	"      --limit ROWS     a second at most (default: 10000; 0: no limit)\n"
	"      --host NAME      instead of this host's own name\n"
	"      --here           this network namespace only, not all that may be seen\n"
	"  -x, --unix           UNIX sockets, too\n"
	"  -l, --list           what is in the store: hosts, samples, rows, size\n"
	"      --json           the list as JSON\n"
	"\n"
	"FILTER: :443  curl  pid:812  'state established', as of couplet netstat\n"
	"\"couplet pair --store FILE|URL\" joins the ends that several hosts recorded.\n";

struct record {
	const char *where;
	unsigned every_ms;
	uint64_t for_ns, keep_ns;
	bool ends, list, json;
	struct source_options source;
	struct recorder_options options;
	struct select select;
	bool filtered;
	/* At work */
	struct store *store;
	struct recorder *recorder;
	int64_t position; /* the last that was seen */
	uint64_t prune_at;
	bool noted;    /* what cannot be seen was said */
	int trouble;   /* errno of what was complained about last */
	bool dropping; /* likewise of the limit */
	bool slow;     /* likewise of passes that take longer than there is time between them */
	char not_seen[1024];
};

enum {
	OPTION_LIMIT = 256,
	OPTION_HOST,
	OPTION_HERE,
	OPTION_JSON,
};

static const struct option long_options[] = {
	{ "store", required_argument, NULL, 's' },
	{ "every", required_argument, NULL, 'e' },
	{ "for", required_argument, NULL, 'f' },
	{ "keep", required_argument, NULL, 'k' },
	{ "limit", required_argument, NULL, OPTION_LIMIT },
	{ "host", required_argument, NULL, OPTION_HOST },
	{ "here", no_argument, NULL, OPTION_HERE },
	{ "unix", no_argument, NULL, 'x' },
	{ "list", no_argument, NULL, 'l' },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static volatile sig_atomic_t stopped;

static void stop(int signo)
{
	(void)signo;
	stopped = 1;
}

bool record_duration(const char *s, uint64_t *ns)
{
	static const struct {
		char unit;
		unsigned seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };
	char *end;
	double value = strtod(s, &end);
	unsigned scale = *end ? 0 : 1;

	for (unsigned i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (end[0] == units[i].unit && !end[1])
			scale = units[i].seconds;
	if (end == s || !scale || !(value >= 0 && value * scale <= 1e9))
		return false;
	*ns = (uint64_t)(value * scale * 1e9);
	return true;
}

/* ---- Options --------------------------------------------------------------------------------- */

static bool duration(const char *s, uint64_t *ns)
{
	if (record_duration(s, ns))
		return true;
	cli_fail(CLI_USAGE, "\"%s\" is no time: seconds, or 30s 5m 12h 7d 2w", s);
	return false;
}

static bool rate(const char *s, uint64_t *rows)
{
	char *end;

	errno = 0;
	*rows = strtoull(s, &end, 10);
	if (!errno && end != s && !*end && *s != '-' && *rows <= 1000000000)
		return true;
	cli_fail(CLI_USAGE, "\"%s\" is no number of rows a second", s);
	return false;
}

/* -1: go on; else the exit status. */
static int option_read(struct record *r, int c, char **argv)
{
	switch (c) {
	case 's':
		r->where = optarg;
		break;
	case 'e':
		return connections_interval(optarg, &r->every_ms) ? -1 : CLI_USAGE;
	case 'f':
		r->ends = true;
		return duration(optarg, &r->for_ns) ? -1 : CLI_USAGE;
	case 'k':
		return duration(optarg, &r->keep_ns) ? -1 : CLI_USAGE;
	case OPTION_LIMIT:
		return rate(optarg, &r->options.rate) ? -1 : CLI_USAGE;
	case OPTION_HOST:
		r->options.host = optarg;
		break;
	case OPTION_HERE:
		r->source.namespaces = false;
		break;
	case 'x':
		r->source.unix_sockets = true;
		break;
	case 'l':
		r->list = true;
		break;
	case OPTION_JSON:
		r->json = true;
		break;
	case 'h':
		return cli_help("record", help);
	default:
		return cli_bad_option(c, argv);
	}
	return -1;
}

static int options_read(struct record *r, int argc, char **argv)
{
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":s:e:f:k:xlh", long_options, NULL)) >= 0) {
		int status = option_read(r, c, argv);

		if (status >= 0)
			return status;
	}
	if (r->options.host && (!*r->options.host || strlen(r->options.host) > 64))
		return cli_fail(CLI_USAGE, "the name of a host has 1 to 64 characters");
	if (r->keep_ns && r->keep_ns < 2000000ull * r->every_ms)
		return cli_fail(CLI_USAGE, "--keep must be at least twice as long as --every");
	if (r->json && !r->list)
		return cli_fail(CLI_USAGE, "--json goes with --list");
	r->filtered = optind < argc;
	if (r->list && r->filtered)
		return cli_fail(CLI_USAGE, "--list takes no FILTER: \"%s\"", argv[optind]);
	if (connections_parse(&r->select, argc - optind, argv + optind) != CLI_OK)
		return CLI_USAGE;
	if (select_needs_rows(&r->select))
		return cli_fail(CLI_USAGE, "a row of a table, \"#3\", is another one each time");
	return -1;
}

/* ---- Where and who --------------------------------------------------------------------------- */

static bool make_directories(char *path)
{
	for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = 0;
		if (mkdir(path, 0700) < 0 && errno != EEXIST) {
			cli_fail(CLI_CANNOT,
				 "cannot make the directory %s: %s; name a file with --store", path,
				 strerror(errno));
			return false;
		}
		*at = '/';
	}
	return true;
}

bool record_default_store(char *path, size_t size, bool make)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int n;

	if (state && *state == '/')
		n = snprintf(path, size, "%s/couplet/couplet.db", state);
	else if (home && *home == '/')
		n = snprintf(path, size, "%s/.local/state/couplet/couplet.db", home);
	else
		n = -1;
	if (n < 0 || (size_t)n >= size) {
		cli_fail(CLI_CANNOT, "there is no home directory to record to; name a file with "
				     "--store");
		return false;
	}
	return !make || make_directories(path);
}

static void read_word(const char *path, char *out, size_t size)
{
	FILE *file = fopen(path, "re");

	*out = 0;
	if (!file)
		return;
	if (!fgets(out, (int)size, file))
		*out = 0;
	out[strcspn(out, "\n")] = 0;
	fclose(file);
}

/* A host that forwards packets may translate addresses as well. */
static bool forwards(void)
{
	char four[8], six[8];

	read_word("/proc/sys/net/ipv4/ip_forward", four, sizeof(four));
	read_word("/proc/sys/net/ipv6/conf/all/forwarding", six, sizeof(six));
	return strcmp(four, "0") != 0 || (*six && strcmp(six, "0") != 0);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* ---- One pass -------------------------------------------------------------------------------- */

/* What others may call this host; link-local and loopback addresses are no names elsewhere. */
static int record_addresses(struct record *r)
{
	struct ifaddrs *list;
	int err = 0;

	if (getifaddrs(&list) < 0)
		return 0;
	for (struct ifaddrs *i = list; i && !err; i = i->ifa_next) {
		struct cpl_addr addr;

		if (!i->ifa_addr || (i->ifa_flags & IFF_LOOPBACK))
			continue;
		if (i->ifa_addr->sa_family == AF_INET) {
			const uint8_t *b =
				(const uint8_t *)&((struct sockaddr_in *)(void *)i->ifa_addr)
					->sin_addr;

			addr = cpl_addr4(b[0], b[1], b[2], b[3]);
		} else if (i->ifa_addr->sa_family == AF_INET6) {
			memcpy(addr.b, &((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr,
			       sizeof(addr.b));
			if (addr.b[0] == 0xfe && (addr.b[1] & 0xc0) == 0x80)
				continue;
		} else {
			continue;
		}
		err = recorder_address(r->recorder, &addr);
	}
	freeifaddrs(list);
	return err;
}

static void collect_notes(struct record *r, const struct source_notes *notes)
{
	size_t n = 0;

	r->not_seen[0] = 0;
	for (unsigned i = 0; i < notes->n; i++) {
		if (notes->note[i].weight == SOURCE_REMARK ||
		    notes->note[i].source == CPL_SOURCE_UNKNOWN ||
		    strncmp(notes->note[i].text, "sequence numbers", 16) == 0)
			continue; /* nothing of it is about connections that were not seen */
		n += (size_t)snprintf(r->not_seen + n, sizeof(r->not_seen) - n, "%s%s",
				      n ? "; " : "", notes->note[i].text);
		if (n >= sizeof(r->not_seen))
			break;
	}
}

static int collect(struct record *r, struct snapshot_set *set)
{
	size_t *numbers = NULL;
	int err, status;

	snapshot_set_clear(set);
	err = source_collect(set, &r->source);
	collect_notes(r, &set->notes);
	if (!err && !r->noted)
		connections_notes(&set->notes, false);
	r->noted = true;
	if (err == -EIO)
		return cli_fail(CLI_CANNOT, "%s",
				*r->not_seen ? r->not_seen : "nothing can be seen");
	if (err)
		return cli_fail(CLI_CANNOT, "cannot list the connections: %s", strerror(-err));
	if (!r->filtered)
		return CLI_OK;
	status = connections_select(set, &r->select, &numbers);
	free(numbers);
	return status;
}

/* One sentence when something begins to fail, one when it works again. */
static void complain(struct record *r, int err)
{
	if (err == r->trouble)
		return;
	if (err)
		cli_fail(CLI_OK, "%s; trying again", store_error(r->store));
	else
		cli_fail(CLI_OK, "%s: works again", store_name(r->store));
	r->trouble = err;
}

/* Sleeps until UNTIL of CLOCK_MONOTONIC, or a signal. */
static void sleep_until(uint64_t until)
{
	struct timespec t = { (time_t)(until / SECOND), (long)(until % SECOND) };

	while (!stopped && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* Locked, lost and full pass away; all else does not by itself. */
static bool passes_away(int err)
{
	return err == -EBUSY || err == -ECONNRESET || err == -ENOSPC || err == -EIO ||
	       err == -ENOMEM;
}

static int reopen(struct record *r)
{
	int err = store_reopen(r->store);

	return err ? err : recorder_resume(r->recorder);
}

/* ACTION until it works, or until the next pass is due. */
static int persist(struct record *r, uint64_t due, int (*action)(struct record *r, void *arg),
		   void *arg)
{
	unsigned wait_ms = RETRY_MS;

	for (;;) {
		uint64_t now;
		int err = r->trouble == -ECONNRESET ? reopen(r) : 0;

		if (!err)
			err = action(r, arg);
		now = clock_ns(CLOCK_MONOTONIC);
		complain(r, err);
		if (!err || !passes_away(err) || stopped || now + wait_ms * (SECOND / 1000) >= due)
			return err;
		sleep_until(now + wait_ms * (SECOND / 1000));
		wait_ms = wait_ms * 2 < RETRY_MOST ? wait_ms * 2 : RETRY_MOST;
	}
}

struct stored {
	const struct recorder_pass *pass;
	const struct snapshot_set *set;
};

static int store_pass(struct record *r, void *arg)
{
	const struct stored *s = arg;
	int err = record_addresses(r);

	return err ? err : recorder_store(r->recorder, s->pass, s->set->info, s->set->n);
}

static void say_dropped(struct record *r, uint64_t before)
{
	uint64_t dropped = recorder_totals(r->recorder)->dropped - before;

	if (dropped && !r->dropping)
		cli_fail(CLI_OK,
			 "%llu rows of this sample were left out: more than --limit %llu a second",
			 (unsigned long long)dropped, (unsigned long long)r->options.rate);
	r->dropping = dropped != 0;
}

static int prune(struct record *r, void *arg)
{
	bool more = false;
	int err;

	(void)arg;
	err = recorder_prune(r->recorder, (int64_t)(clock_ns(CLOCK_REALTIME) - r->keep_ns),
			     1000000ull * r->every_ms / 4, &more);
	if (!err && !more)
		r->prune_at = clock_ns(CLOCK_MONOTONIC) +
			      (r->keep_ns / 4 < PRUNE_NS ? r->keep_ns / 4 : PRUNE_NS);
	return err;
}

/* DUE: when the next one begins. */
static int one_pass(struct record *r, struct snapshot_set *set, uint64_t due)
{
	struct recorder_pass pass = { .not_seen = r->not_seen };
	struct stored s = { &pass, set };
	uint64_t dropped = recorder_totals(r->recorder)->dropped;
	int status, err;

	/* What is not known again is what was known before: that is true as well. */
	if (r->trouble != -ECONNRESET)
		recorder_position(r->recorder, &r->position);
	pass.after = r->position;
	pass.time_ns = (int64_t)clock_ns(CLOCK_REALTIME);
	pass.monotonic_ns = clock_ns(CLOCK_MONOTONIC);
	status = collect(r, set);
	if (status != CLI_OK)
		return status;
	pass.duration_ns = clock_ns(CLOCK_MONOTONIC) - pass.monotonic_ns;
	err = persist(r, due, store_pass, &s);
	if (err) {
		recorder_missed(r->recorder);
		return passes_away(err) ? CLI_OK : CLI_CANNOT;
	}
	say_dropped(r, dropped);
	if (r->keep_ns && clock_ns(CLOCK_MONOTONIC) >= r->prune_at)
		persist(r, due, prune, NULL);
	return CLI_OK;
}

static int passes(struct record *r)
{
	uint64_t every = 1000000ull * r->every_ms, start = clock_ns(CLOCK_MONOTONIC), due = start;
	struct snapshot_set set;
	int status = CLI_OK;

	snapshot_set_init(&set);
	while (!stopped && status == CLI_OK) {
		uint64_t now;

		due += every;
		status = one_pass(r, &set, due);
		now = clock_ns(CLOCK_MONOTONIC);
		if (r->ends && due > start + r->for_ns)
			break;
		if (now > due && !r->slow && !r->trouble) {
			r->slow = true;
			cli_fail(CLI_OK, "a sample takes %s, longer than --every",
				 word_ns(now - (due - every)).s);
		}
		if (now > due)
			due = now;
		sleep_until(due);
	}
	snapshot_set_free(&set);
	return status;
}

/* ---- All together ---------------------------------------------------------------------------- */

/* "1 row", "2,000 rows" */
static struct view_word plural(uint64_t n, const char *what)
{
	return word_format("%s %s%s", word_count(n).s, what, n == 1 ? "" : "s");
}

static int summary(const struct record *r)
{
	const struct recorder_totals *t = recorder_totals(r->recorder);

	printf("%s, %s in %s", plural(t->passes, "sample").s, plural(t->rows, "row").s,
	       store_name(r->store));
	if (t->still)
		printf("; %s times an end stood still and needed none", word_count(t->still).s);
	if (t->deleted)
		printf("; %s deleted", plural(t->deleted, "old row").s);
	printf("\n");
	if (t->missed)
		cli_fail(CLI_TROUBLE, "%s could not be stored", plural(t->missed, "sample").s);
	if (t->dropped)
		cli_fail(CLI_TROUBLE, "%s left out: more than --limit",
			 plural(t->dropped, "row").s);
	return t->missed || t->dropped ? CLI_TROUBLE : CLI_OK;
}

/* What is deleted soon must not be needed for long. */
static unsigned heartbeat(const struct record *r)
{
	uint64_t passes = r->keep_ns / 4 / r->options.every_ns;

	if (!r->keep_ns || r->keep_ns / 4 >= HEARTBEAT_NS)
		return 0;
	return passes < 2 ? 2 : (unsigned)passes;
}

static int record(struct record *r)
{
	char error[STORE_ERROR], host[72] = "", machine[40], boot[40];
	struct sigaction on_stop = { .sa_handler = stop, .sa_flags = (int)SA_RESETHAND };
	int status;

	/* Twice: the second one does not wait. */
	sigaction(SIGINT, &on_stop, NULL);
	sigaction(SIGTERM, &on_stop, NULL);
	if (store_open(&r->store, r->where, true, error))
		return cli_fail(CLI_CANNOT, "%s", error);
	if (!r->options.host) {
		gethostname(host, sizeof(host) - 1);
		r->options.host = *host ? host : "localhost";
	}
	read_word("/etc/machine-id", machine, sizeof(machine));
	read_word("/proc/sys/kernel/random/boot_id", boot, sizeof(boot));
	r->options.machine_id = machine;
	r->options.boot_id = boot;
	r->options.every_ns = 1000000ull * r->every_ms;
	r->options.heartbeat = heartbeat(r);
	r->options.namespaces = r->source.namespaces;
	r->options.forwards = forwards();
	if (recorder_begin(&r->recorder, r->store, &r->options)) {
		status = cli_fail(CLI_CANNOT, "%s", store_error(r->store));
	} else {
		int end;

		status = passes(r);
		end = summary(r);
		status = status == CLI_OK ? end : status;
	}
	recorder_end(r->recorder);
	store_close(r->store);
	return status;
}

int cmd_record(int argc, char **argv)
{
	struct record r = {
		.every_ms = EVERY_MS,
		.source = { .udp = true, .namespaces = true, .owners = true },
		.options = { .rate = RATE },
	};
	char path[512], filter[200] = "";
	int status = options_read(&r, argc, argv);

	if (status >= 0)
		return status;
	for (int i = optind; i < argc; i++)
		snprintf(filter + strlen(filter), sizeof(filter) - strlen(filter), "%s%s",
			 i > optind ? " " : "", argv[i]);
	r.options.filter = filter;
	if (!r.where) {
		if (!record_default_store(path, sizeof(path), !r.list))
			return CLI_CANNOT;
		r.where = path;
	}
	return r.list ? record_list(r.where, r.json) : record(&r);
}
