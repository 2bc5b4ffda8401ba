/* SPDX-License-Identifier: MIT */
/* The command line of `couplet lab`: numbers come with their units, mistakes get one sentence. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/lab.h"

const char lab_options_help[] =
	"The link, both ways:\n"
	"  --delay TIME       one way: 40ms, 250us, 1.5s [20ms]\n"
	"  --rate RATE        20mbit, 1gbit, 64kbit; 0: no limit [20mbit]\n"
	"  --queue SIZE       what may wait for it: 64k, 1m, 3000 [256k]\n"
	"  --loss SHARE       lost at random: 2%, 0.1%\n"
	"  --jitter TIME      up to so much is added to the delay\n"
	"  --reorder SHARE    are overtaken by later ones\n"
	"  --duplicate SHARE  arrive twice\n"
	"  --corrupt SHARE    change on the way\n"
	"  --drop N,N...      lose these of the client's segments with data; 1 is first\n"
	"  --mtu BYTES        the largest IP packet [1500]\n"
	"The ends:\n"
	"  -6, --ipv6         IPv6 instead of IPv4\n"
	"  --cc NAME          congestion control: cubic, reno, bbr, dctcp\n"
	"  --no-sack  --no-timestamps  --no-window-scaling\n"
	"The run:\n"
	"  --seed N           all chance comes from it: same seed, same run [1]\n"
	"  --size SIZE        of what is sent when no FILE is named [256k]\n"
	"  --story NAME       play a trouble, show both ends, judge: in-flight,\n"
	"                     half-open, lost-fin, restart, zero-window,\n"
	"                     simultaneous-open\n"
	"Output:\n"
	"  --step             for each segment: which fields changed in which block\n"
	"  --json             both control blocks as JSON, nothing else\n"
	"  --svg FILE         drawing, ladder and states as pictures, too\n"
	"  --pcapng FILE      every packet, too\n"
	"  -v, --verbose      show all\n";

/* ---- Numbers with units --------------------------------------------------------------------- */

struct unit {
	const char *name;
	double factor;
};

static const struct unit times[] = { { "ns", 1 },  { "us", 1e3 },   { "ms", 1e6 },
				     { "s", 1e9 }, { "min", 6e10 }, { NULL, 0 } };
static const struct unit rates[] = {
	{ "bit", 1 }, { "kbit", 1e3 }, { "mbit", 1e6 }, { "gbit", 1e9 }, { NULL, 0 }
};
static const struct unit sizes[] = { { "", 1 },		  { "b", 1 },	    { "k", 1024 },
				     { "kib", 1024 },	  { "m", 1048576 }, { "mib", 1048576 },
				     { "g", 1073741824 }, { NULL, 0 } };
static const struct unit shares[] = { { "%", 0.01 }, { NULL, 0 } };

/* S as a number in one of UNITS, in [0, MOST]; a bare 0 needs no unit. */
static bool number(const char *s, const struct unit *units, double most, double *value)
{
	char *end;
	double n;

	if (!isdigit((unsigned char)*s) && *s != '.')
		return false;
	n = strtod(s, &end);
	if (end == s || strpbrk(s, "xXpP") || !isfinite(n))
		return false;
	if (n == 0 && !*end) {
		*value = 0;
		return true;
	}
	for (; units->name; units++) {
		if (strcasecmp(end, units->name) == 0) {
			*value = n * units->factor;
			return *value <= most;
		}
	}
	return false;
}

static bool whole(const char *s, uint64_t least, uint64_t most, uint64_t *value)
{
	char *end;

	errno = 0;
	if (!isdigit((unsigned char)*s))
		return false;
	*value = strtoull(s, &end, 10);
	return !*end && errno == 0 && *value >= least && *value <= most;
}

static int bad(const char *option, const char *value, const char *want)
{
	return cli_fail(CLI_USAGE, "--%s: \"%s\" is no %s", option, value, want);
}

/* ---- Options -------------------------------------------------------------------------------- */

enum {
	O_DELAY = 256,
	O_JITTER,
	O_RATE,
	O_QUEUE,
	O_LOSS,
	O_REORDER,
	O_DUPLICATE,
	O_CORRUPT,
	O_DROP,
	O_MTU,
	O_CC,
	O_NO_SACK,
	O_NO_TIMESTAMPS,
	O_NO_WSCALE,
	O_SEED,
	O_SIZE,
	O_STORY,
	O_STEP,
	O_JSON,
	O_SVG,
	O_PCAPNG,
};

static const struct option options[] = {
	{ "delay", required_argument, NULL, O_DELAY },
	{ "jitter", required_argument, NULL, O_JITTER },
	{ "rate", required_argument, NULL, O_RATE },
	{ "queue", required_argument, NULL, O_QUEUE },
	{ "loss", required_argument, NULL, O_LOSS },
	{ "reorder", required_argument, NULL, O_REORDER },
	{ "duplicate", required_argument, NULL, O_DUPLICATE },
	{ "corrupt", required_argument, NULL, O_CORRUPT },
	{ "drop", required_argument, NULL, O_DROP },
	{ "mtu", required_argument, NULL, O_MTU },
	{ "ipv6", no_argument, NULL, '6' },
	{ "cc", required_argument, NULL, O_CC },
	{ "no-sack", no_argument, NULL, O_NO_SACK },
	{ "no-timestamps", no_argument, NULL, O_NO_TIMESTAMPS },
	{ "no-window-scaling", no_argument, NULL, O_NO_WSCALE },
	{ "seed", required_argument, NULL, O_SEED },
	{ "size", required_argument, NULL, O_SIZE },
	{ "story", required_argument, NULL, O_STORY },
	{ "step", no_argument, NULL, O_STEP },
	{ "json", no_argument, NULL, O_JSON },
	{ "svg", required_argument, NULL, O_SVG },
	{ "pcapng", required_argument, NULL, O_PCAPNG },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const char *option_name(int c)
{
	for (const struct option *o = options; o->name; o++)
		if (o->val == c)
			return o->name;
	return "?";
}

static int read_time(int c, uint64_t *ns)
{
	double n;

	if (!number(optarg, times, 6e11, &n))
		return bad(option_name(c), optarg,
			   "time: write it as 40ms, 250us or 1.5s, at most 10min");
	*ns = (uint64_t)llround(n);
	return 0;
}

static int read_share(int c, double *share)
{
	if (!number(optarg, shares, 1, share))
		return bad(option_name(c), optarg, "share: write it as 2% or 0.1%, at most 100%");
	return 0;
}

static int read_drops(struct wire_params *wire)
{
	const char *s = optarg;

	for (wire->drop_data_n = 0;; s++) {
		char *end;
		unsigned long n = isdigit((unsigned char)*s) ? strtoul(s, &end, 10) : 0;

		if (n == 0 || n > UINT32_MAX || (*end && *end != ',') ||
		    wire->drop_data_n == WIRE_DROPS)
			return bad("drop", optarg,
				   "list of segments: write numbers from 1, as 3,7,8; at most 16");
		wire->drop_data[wire->drop_data_n++] = (uint32_t)n;
		if (!*end)
			return 0;
		s = end;
	}
}

static int read_story(struct lab_options *o)
{
	const char *best = NULL;
	unsigned least = 4;

	for (unsigned i = 0; i < lab_stories_n; i++) {
		unsigned d = view_distance(optarg, lab_stories[i].name);

		if (d == 0)
			o->story = &lab_stories[i];
		if (d < least) {
			least = d;
			best = lab_stories[i].name;
		}
	}
	if (o->story && strcmp(o->story->name, optarg) == 0)
		return 0;
	if (best)
		return cli_fail(CLI_USAGE,
				"--story: there is no story \"%s\"; did you mean \"%s\"?", optarg,
				best);
	return cli_fail(
		CLI_USAGE,
		"--story: there is no story \"%s\": in-flight, half-open, lost-fin, restart, "
		"zero-window, simultaneous-open",
		optarg);
}

static int read_link(struct wire_params *wire, int c)
{
	double n;

	switch (c) {
	case O_DELAY:
		return read_time(c, &wire->delay_ns);
	case O_JITTER:
		return read_time(c, &wire->jitter_ns);
	case O_LOSS:
		return read_share(c, &wire->loss);
	case O_REORDER:
		return read_share(c, &wire->reorder);
	case O_DUPLICATE:
		return read_share(c, &wire->duplicate);
	case O_CORRUPT:
		return read_share(c, &wire->corrupt);
	case O_DROP:
		return read_drops(wire);
	case O_RATE:
		if (!number(optarg, rates, 1e12, &n) || (n > 0 && n < 1000))
			return bad("rate", optarg,
				   "rate: write it as 20mbit, 1gbit or 64kbit, at least 1kbit");
		wire->rate_bps = (uint64_t)llround(n);
		return 0;
	default:
		if (!number(optarg, sizes, 1 << 30, &n))
			return bad("queue", optarg,
				   "size: write it as 64k, 1m or 3000, at most 1g");
		wire->queue_bytes = (uint32_t)n;
		return 0;
	}
}

static int read_run(struct lab_options *o, int c)
{
	struct lab_config *config = &o->config;
	uint64_t n;
	double d;

	switch (c) {
	case O_MTU:
		if (!whole(optarg, 576, 65535, &n))
			return bad("mtu", optarg, "MTU: write bytes from 576 to 65535");
		config->mtu = (uint32_t)n;
		return 0;
	case O_SEED:
		if (!whole(optarg, 0, UINT64_MAX, &config->seed))
			return bad("seed", optarg, "seed: write a whole number from 0 up");
		return 0;
	case O_SIZE:
		if (!number(optarg, sizes, (double)LAB_SIZE_MAX, &d))
			return bad("size", optarg,
				   "size: write it as 64k, 1m or 3000, at most 256m");
		config->size = (uint64_t)d;
		o->size_given = true;
		return 0;
	default:
		if (strcmp(optarg, "cubic") != 0 && strcmp(optarg, "reno") != 0 &&
		    strcmp(optarg, "bbr") != 0 && strcmp(optarg, "dctcp") != 0)
			return bad("cc", optarg,
				   "congestion control here: cubic, reno, bbr or dctcp");
		snprintf(config->cc, sizeof(config->cc), "%s", optarg);
		return 0;
	}
}

static int read_one(struct lab_options *o, int c)
{
	switch (c) {
	case O_NO_SACK:
		o->config.no_sack = true;
		return 0;
	case O_NO_TIMESTAMPS:
		o->config.no_timestamps = true;
		return 0;
	case O_NO_WSCALE:
		o->config.no_window_scaling = true;
		return 0;
	case '6':
		o->config.ipv6 = true;
		return 0;
	case O_STORY:
		return read_story(o);
	case O_STEP:
		o->step = true;
		return 0;
	case O_JSON:
		o->json = true;
		return 0;
	case O_SVG:
		o->svg = optarg;
		return 0;
	case O_PCAPNG:
		o->pcapng = optarg;
		return 0;
	case 'v':
		o->verbose = true;
		return 0;
	case 'h':
		o->help = true;
		return 0;
	case O_MTU:
	case O_SEED:
	case O_SIZE:
	case O_CC:
		return read_run(o, c);
	default:
		return read_link(&o->config.wire, c);
	}
}

/* What does not go together. */
static int check(struct lab_options *o)
{
	struct lab_config *c = &o->config;

	if (c->ipv6 && c->mtu < 1280)
		return cli_fail(CLI_USAGE, "--mtu: IPv6 needs at least 1280 bytes (RFC 8200 5)");
	if (c->wire.reorder > 0 && c->wire.reorder_ns == 0)
		c->wire.reorder_ns = c->wire.delay_ns / 2 + CPL_MS;
	if (c->wire.loss >= 1)
		return cli_fail(CLI_USAGE, "--loss: 100%% would let nothing through");
	if (o->step && o->json)
		return cli_fail(CLI_USAGE, "--step and --json are two outputs: choose one");
	if (c->file && o->size_given)
		return cli_fail(CLI_USAGE, "--size is for when no FILE is named");
	if (!c->file && !o->size_given)
		c->size = o->story ? o->story->size : o->step ? 4000 : LAB_SIZE;
	return 0;
}

int lab_options_read(struct lab_options *o, int argc, char **argv)
{
	int c, r;

	*o = (struct lab_options){ .config = { .seed = 1,
					       .mtu = 1500,
					       .wire = { .delay_ns = 20 * CPL_MS,
							 .rate_bps = 20000000,
							 .queue_bytes = 256 << 10 } } };
	optind = 1;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":6vh", options, NULL)) != -1) {
		if (c == '?' || c == ':')
			return cli_bad_option(c, argv);
		r = read_one(o, c);
		if (r)
			return r;
	}
	if (o->help)
		return 0;
	if (argc - optind > 1)
		return cli_fail(CLI_USAGE, "one FILE is sent; \"%s\" is too many",
				argv[optind + 1]);
	o->config.file = argv[optind];
	return check(o);
}
