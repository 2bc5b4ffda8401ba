/* SPDX-License-Identifier: MIT */
/*
 * couplet snap: this machine's connections as a snapshot file, for couplet pair here or elsewhere.
 *
 * --serve is the far end of couplet pair --peer (source/peer.h). It says "couplet-snap 1", then
 * answers each line of its standard input: "pass" or "pass owners" by "snapshot LENGTH", a line
 * break and a document of view/json.h of so many bytes, or by "error SENTENCE"; "quit", or the end
 * of the input, ends it.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/connections.h"
#include "source/snapshot_file.h"

static const char help[] =
	"  -o, --output FILE  write it to FILE\n"
	"  -p, --passes[=SECONDS]   look twice, so many seconds apart (0 unless given)\n"
	"      --serve        answer couplet pair --peer on standard input and output\n"
	"\n"
	"Two files of two machines: couplet pair A.json B.json. With --passes=10, begun\n"
	"on both within ten seconds, they can be compared as well as with --peer.\n";

struct snap {
	const char *output;
	bool serve;
	unsigned passes, apart_ms;
};

enum {
	OPTION_SERVE = 256
};

static const struct option long_options[] = {
	{ "output", required_argument, NULL, 'o' },
	{ "passes", optional_argument, NULL, 'p' },
	{ "serve", no_argument, NULL, OPTION_SERVE },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static bool seconds_read(const char *s, unsigned *milliseconds)
{
	char *end;
	double seconds = s ? strtod(s, &end) : 0;

	if (s && (end == s || *end || !(seconds >= 0 && seconds <= 86400))) {
		cli_fail(CLI_USAGE, "\"%s\" is no time: seconds, 0 to 86400", s);
		return false;
	}
	*milliseconds = (unsigned)(seconds * 1000);
	return true;
}

/* -1: go on; else the exit status. */
static int options_read(struct snap *s, int argc, char **argv)
{
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":o:p::h", long_options, NULL)) >= 0) {
		switch (c) {
		case 'o':
			s->output = optarg;
			break;
		case 'p':
			s->passes = 2;
			if (!seconds_read(optarg, &s->apart_ms))
				return CLI_USAGE;
			break;
		case OPTION_SERVE:
			s->serve = true;
			break;
		case 'h':
			return cli_help("snap", help);
		default:
			return cli_bad_option(c, argv);
		}
	}
	if (optind < argc)
		return cli_fail(CLI_USAGE,
				"\"%s\" is too much: a snapshot holds every connection; couplet "
				"pair chooses among them",
				word_foreign(argv[optind]).s);
	if (s->serve && (s->output || s->passes > 1))
		return cli_fail(CLI_USAGE, "--serve takes no other option");
	return -1;
}

static struct source_options everything(bool owners)
{
	struct source_options options = {
		.states = SOURCE_USUAL_STATES,
		.namespaces = true,
		.owners = owners,
	};

	return options;
}

/* ---- A file ---------------------------------------------------------------------------------- */

static int take(const struct snap *s, struct snapshot *shot)
{
	struct source_options options = everything(true);

	if (snapshot_here(shot, &options))
		return cli_fail(CLI_CANNOT, "out of memory");
	for (unsigned i = 0; i < s->passes; i++) {
		int err;

		if (i)
			usleep(s->apart_ms * 1000u);
		err = passes_take(&shot->passes, &options);
		if (err == -ENOMEM)
			return cli_fail(CLI_CANNOT, "out of memory");
		connections_notes(&shot->passes.set[i].notes, false);
		if (err)
			return CLI_CANNOT;
	}
	return CLI_OK;
}

static int write_out(const struct snap *s, const struct snapshot *shot)
{
	FILE *file = s->output ? fopen(s->output, "we") : stdout;
	struct text t;
	int err;

	if (!file)
		return cli_fail(CLI_CANNOT, "cannot write %s: %s", s->output, strerror(errno));
	text_init(&t);
	err = snapshot_write(&t, shot);
	if (!err)
		err = text_flush(&t, file);
	text_free(&t);
	if (s->output && fclose(file) != 0 && !err)
		err = -EIO;
	if (err == -ENOSYS)
		return cli_fail(CLI_CANNOT, "couplet was built without JSON; install "
					    "libjansson-dev and build again");
	if (err)
		return cli_fail(CLI_CANNOT, "cannot write %s: %s",
				s->output ? s->output : "the snapshot", strerror(-err));
	return CLI_OK;
}

/* ---- For a peer ------------------------------------------------------------------------------ */

static int answer_pass(bool owners)
{
	struct source_options options = everything(owners);
	struct snapshot shot;
	struct text t;
	int err;

	snapshot_init(&shot);
	text_init(&t);
	err = snapshot_here(&shot, &options);
	if (!err)
		err = passes_take(&shot.passes, &options);
	if (!err)
		err = snapshot_write(&t, &shot);
	if (!err) {
		printf("snapshot %zu\n", t.len);
		text_flush(&t, stdout);
	} else {
		const struct source_notes *notes = &shot.passes.set[0].notes;

		printf("error %s\n", err == -ENOSYS ? "couplet was built without JSON there"
				     : notes->n	    ? notes->note[0].text
						    : strerror(-err));
	}
	text_free(&t);
	snapshot_free(&shot);
	return fflush(stdout) == 0 ? CLI_OK : CLI_CANNOT;
}

static int serve(void)
{
	char line[64];
	int status = CLI_OK;

	puts("couplet-snap 1");
	if (fflush(stdout) != 0)
		return CLI_CANNOT;
	while (status == CLI_OK && fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		if (strcmp(line, "quit") == 0)
			break;
		if (strcmp(line, "pass") == 0 || strcmp(line, "pass owners") == 0)
			status = answer_pass(line[4] != 0);
		else
			puts("error unknown request: pass, pass owners, or quit");
		if (fflush(stdout) != 0)
			status = CLI_CANNOT;
	}
	return status;
}

int cmd_snap(int argc, char **argv)
{
	struct snap s = { .passes = 1 };
	struct snapshot shot;
	int status = options_read(&s, argc, argv);

	if (status >= 0)
		return status;
	if (s.serve)
		return serve();
	snapshot_init(&shot);
	status = take(&s, &shot);
	if (status == CLI_OK)
		status = write_out(&s, &shot);
	snapshot_free(&shot);
	return status;
}
