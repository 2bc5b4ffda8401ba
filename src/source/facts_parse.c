/* SPDX-License-Identifier: MIT */
/* The files of /proc that hold facts, parsed: see facts.h. Nothing in them is relied upon. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "source/facts.h"

static void fact_set(struct view_host *host, enum view_fact fact, uint64_t value)
{
	host->fact[fact] = value;
	host->known |= (uint64_t)1 << fact;
}

/* A number at S, which ends with END or a space. False: it is none. */
static bool number(const char *s, int base, uint64_t *value)
{
	char *end;

	if (!isxdigit((unsigned char)*s))
		return false;
	*value = strtoull(s, &end, base);
	return end != s && (!*end || isspace((unsigned char)*end));
}

/* The N-th word (from 0) of the line at S; NULL: the line has fewer. */
static const char *word_at(const char *s, size_t n)
{
	for (;; n--) {
		s += strspn(s, " \t");
		if (!*s || *s == '\n')
			return NULL;
		if (!n)
			return s;
		s += strcspn(s, " \t\n");
	}
}

static bool word_is(const char *s, const char *word)
{
	size_t n = strlen(word);

	return s && strncmp(s, word, n) == 0 && (!s[n] || isspace((unsigned char)s[n]));
}

/* Where WORD stands in the line at S; -1: nowhere. */
static int word_find(const char *s, const char *word)
{
	const char *at;

	for (int i = 0; (at = word_at(s, (size_t)i)); i++)
		if (word_is(at, word))
			return i;
	return -1;
}

static const char *next_line(const char *s)
{
	s += strcspn(s, "\n");
	return *s ? s + 1 : s;
}

/* ---- Counters -------------------------------------------------------------------------------- */

void facts_parse_netstat(struct view_host *host, const char *text)
{
	static const struct {
		const char *group, *name;
		enum view_fact fact;
	} wanted[] = {
		{ "TcpExt:", "ListenOverflows", VIEW_FACT_listen_overflows },
		{ "TcpExt:", "ListenDrops", VIEW_FACT_listen_drops },
		{ "TcpExt:", "SyncookiesSent", VIEW_FACT_syncookies_sent },
		{ "TcpExt:", "SyncookiesFailed", VIEW_FACT_syncookies_failed },
		{ "TcpExt:", "TCPReqQFullDrop", VIEW_FACT_reqq_full_drop },
		{ "TcpExt:", "IPReversePathFilter", VIEW_FACT_rp_filter_drops },
		{ "TcpExt:", "TCPTimeWaitOverflow", VIEW_FACT_tw_overflow },
	};

	while (*text) {
		const char *names = text, *values = next_line(text);
		size_t group = strcspn(names, " \n");

		/* Both lines begin with the same word. */
		if (!*values || strncmp(names, values, group + 1) != 0) {
			text = values;
			continue;
		}
		for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
			int at = word_is(names, wanted[i].group) ? word_find(names, wanted[i].name)
								 : -1;
			const char *s = at > 0 ? word_at(values, (size_t)at) : NULL;
			uint64_t value;

			if (s && number(s, 10, &value))
				fact_set(host, wanted[i].fact, value);
		}
		text = next_line(values);
	}
}

void facts_parse_sockstat(struct view_host *host, const char *text, uint64_t page)
{
	static const struct {
		const char *name;
		enum view_fact fact;
	} wanted[] = {
		{ "orphan", VIEW_FACT_orphans },
		{ "tw", VIEW_FACT_timewait_number },
		{ "mem", VIEW_FACT_tcp_memory },
	};

	for (; *text; text = next_line(text)) {
		if (!word_is(text, "TCP:"))
			continue;
		for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
			int at = word_find(text, wanted[i].name);
			const char *s = at > 0 ? word_at(text, (size_t)at + 1) : NULL;
			uint64_t value;

			if (s && number(s, 10, &value) && value < UINT64_MAX / page)
				fact_set(host, wanted[i].fact,
					 wanted[i].fact == VIEW_FACT_tcp_memory ? value * page
										: value);
		}
	}
}

void facts_parse_conntrack(struct view_host *host, const char *text)
{
	int at = word_find(text, "drop");
	uint64_t sum = 0;
	bool any = false;

	for (text = next_line(text); at >= 0 && *text; text = next_line(text)) {
		const char *s = word_at(text, (size_t)at);
		uint64_t value;

		if (!s || !number(s, 16, &value))
			return;
		sum += value;
		any = true;
	}
	if (any)
		fact_set(host, VIEW_FACT_conntrack_drops, sum);
}

/* ---- Processes ------------------------------------------------------------------------------- */

bool facts_parse_stat(struct view_process *process, const char *text)
{
	/* "812 (name, which may hold anything) S 1 ..." */
	const char *open = strchr(text, '('), *close = strrchr(text, ')');

	if (!open || !close || close < open || close[1] != ' ' || !isalpha((unsigned char)close[2]))
		return false;
	snprintf(process->program, sizeof(process->program), "%.*s", (int)(close - open - 1),
		 open + 1);
	process->state = close[2];
	return true;
}

bool facts_parse_limits(struct view_process *process, const char *text)
{
	static const char name[] = "Max open files";
	uint64_t value;

	for (; *text; text = next_line(text)) {
		const char *s;

		if (strncmp(text, name, sizeof(name) - 1) != 0)
			continue;
		s = word_at(text + sizeof(name) - 1, 0);
		if (!s)
			return false;
		if (word_is(s, "unlimited"))
			value = UINT32_MAX;
		else if (!number(s, 10, &value))
			return false;
		process->descriptors_max = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
		return true;
	}
	return false;
}
