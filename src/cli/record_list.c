/* SPDX-License-Identifier: MIT */
/* couplet record --list: which hosts a store holds, since when, how much. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/record.h"
#include "source/store.h"
#include "view/text.h"

void record_time(char *out, size_t size, int64_t ns)
{
	time_t seconds = (time_t)(ns / 1000000000);
	struct tm tm;

	if (ns <= 0 || !gmtime_r(&seconds, &tm) || !strftime(out, size, "%Y-%m-%d %H:%M:%S", &tm))
		snprintf(out, size, "-");
}

/* Why the last sample is not the whole of its host, or "". */
static const char *lacks(const struct store_sample *s)
{
	return !s->id			 ? "no sample"
	       : s->filtered		 ? "filtered"
	       : s->dropped || s->hidden ? "rows left out"
	       : !s->whole		 ? "not all was seen"
					 : "";
}

static void print_text(struct text *t, const char *name, uint64_t bytes,
		       const struct store_host *hosts, size_t n)
{
	unsigned widest = 4;

	for (size_t i = 0; i < n; i++)
		if (strlen(hosts[i].name) > widest)
			widest = (unsigned)strlen(hosts[i].name);
	text_printf(t, "%s, %s\n\n", name, bytes ? word_size(bytes).s : "size unknown");
	text_printf(t, "%-*s  %-19s  %-19s  %9s  %11s  %s\n", (int)widest, "Host", "First (UTC)",
		    "Last", "Samples", "Rows", "Every");
	for (size_t i = 0; i < n; i++) {
		const struct store_host *h = &hosts[i];
		char first[32], last[32];

		record_time(first, sizeof(first), h->first_ns);
		record_time(last, sizeof(last), h->last_ns);
		text_printf(t, "%-*s  %-19s  %-19s  %9s  %11s  %s", (int)widest, h->name, first,
			    last, word_count((uint64_t)h->samples).s,
			    word_count((uint64_t)h->rows).s,
			    h->last.id ? word_ns(h->last.every_ns).s : "-");
		if (*lacks(&h->last))
			text_printf(t, "  (%s)", lacks(&h->last));
		text_puts(t, "\n");
	}
	if (!n)
		text_puts(t, "no host has recorded to it\n");
}

/* Names are printable ASCII already; what JSON keeps for itself is escaped. */
static void json_text(struct text *t, const char *s)
{
	text_puts(t, "\"");
	for (; *s; s++)
		text_printf(t, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
	text_puts(t, "\"");
}

static void print_json(struct text *t, const char *name, uint64_t bytes,
		       const struct store_host *hosts, size_t n)
{
	text_puts(t, "{\"store\": ");
	json_text(t, name);
	text_printf(t, ", \"bytes\": %llu, \"hosts\": [", (unsigned long long)bytes);
	for (size_t i = 0; i < n; i++) {
		const struct store_host *h = &hosts[i];

		text_printf(t, "%s\n{\"host\": ", i ? "," : "");
		json_text(t, h->name);
		text_puts(t, ", \"machine_id\": ");
		json_text(t, h->machine_id);
		text_printf(t,
			    ", \"first_ns\": %lld, \"last_ns\": %lld, \"samples\": %lld, "
			    "\"rows\": %lld, \"every_ns\": %llu, \"seen\": %lld, "
			    "\"dropped\": %lld, \"missed\": %lld, \"whole\": %s}",
			    (long long)h->first_ns, (long long)h->last_ns, (long long)h->samples,
			    (long long)h->rows, (unsigned long long)h->last.every_ns,
			    (long long)h->last.seen, (long long)h->last.dropped,
			    (long long)h->last.missed, h->last.whole ? "true" : "false");
	}
	text_puts(t, n ? "\n]}\n" : "]}\n");
}

int record_list(const char *where, bool json)
{
	struct store *store;
	struct store_host *hosts = NULL;
	char error[STORE_ERROR];
	uint64_t bytes = 0;
	struct text t;
	size_t n = 0;
	int err;

	if (store_open(&store, where, false, error))
		return cli_fail(CLI_CANNOT, "%s", error);
	err = store_hosts(store, INT64_MAX, true, &hosts, &n);
	if (!err)
		err = store_size(store, &bytes);
	if (err) {
		cli_fail(CLI_CANNOT, "%s", store_error(store));
		store_close(store);
		return CLI_CANNOT;
	}
	text_init(&t);
	(json ? print_json : print_text)(&t, store_name(store), bytes, hosts, n);
	err = text_flush(&t, stdout);
	text_free(&t);
	free(hosts);
	store_close(store);
	return err == -ENOMEM ? cli_fail(CLI_CANNOT, "out of memory") : CLI_OK;
}
