/* SPDX-License-Identifier: MIT */
/* couplet explain [WORD]: what a word means. The texts are in src/view/explain.def. */
#include <errno.h>
#include <string.h>

#include "cli/cli.h"
#include "view/explain.h"

#define SUGGESTIONS 5

static int unknown(const char *word)
{
	const char *near[SUGGESTIONS];
	unsigned n = view_explain_near(word, near, SUGGESTIONS);
	char list[256] = "";
	size_t at = 0;

	if (!n)
		return cli_fail(
			CLI_USAGE,
			"\"%s\" is not explained; \"couplet explain\" lists the words that are",
			word_foreign(word).s);
	for (unsigned i = 0; i < n && at < sizeof(list); i++)
		at += (size_t)snprintf(list + at, sizeof(list) - at, "%s\"%s\"",
				       i == 0	    ? ""
				       : i == n - 1 ? " or "
						    : ", ",
				       near[i]);
	return cli_fail(CLI_USAGE, "\"%s\" is not explained; did you mean %s?",
			word_foreign(word).s, list);
}

int cmd_explain(int argc, char **argv)
{
	char word[80] = "";
	struct text t;
	int status = CLI_OK;

	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return cli_help("explain",
				"Without a WORD it lists what it can explain, by theme.\n");
	if (argc > 1 && strcmp(argv[1], "--") == 0) {
		argc--;
		argv++;
	}
	/* "couplet explain syn cookie": several words are one. */
	for (int i = 1; i < argc; i++) {
		size_t at = strlen(word);

		if (at + strlen(argv[i]) + 2 > sizeof(word))
			return cli_fail(CLI_USAGE,
					"no word is as long as that; \"couplet explain\" "
					"lists those that are explained");
		snprintf(word + at, sizeof(word) - at, "%s%s", at ? " " : "", argv[i]);
	}
	text_init(&t);
	t.colour = cli_colour(stdout);
	if (argc < 2)
		view_explain_list(&t);
	else if (view_explain(&t, word) < 0)
		status = unknown(word);
	if (text_flush(&t, stdout) == -ENOMEM)
		status = cli_fail(CLI_CANNOT, "out of memory");
	text_free(&t);
	return status;
}
