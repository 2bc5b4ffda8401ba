/* SPDX-License-Identifier: MIT */
/*
 * view_paste_line() against any text: what comes out is printable, holds what went in or says why
 * not, and no field of a record is out of its range.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "view/paste.h"

static size_t draw(unsigned *seed, size_t bound)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 16) % bound;
}

/* Words of all these tables in any order, now and then a byte spoiled. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	static const char *const words[] = {
		"tcp4 0 0 10.226.245.157.60596 20.189.173.17.https ESTABLISHED\n",
		"tcp 0 2896 10.0.0.1:22 10.0.0.9:5123 ESTABLISHED 9/sshd on (0.2/3/0)\n",
		"ESTAB 0 0 10.0.0.1:22 10.0.0.9:51234 timer:(keepalive,119min,0)\n",
		"\t cubic wscale:7,7 rto:204\n",
		"  TCP    127.0.0.1:80           0.0.0.0:0              LISTENING       4\n",
		"unix  2 [ ACC ] STREAM LISTENING 17733 1/init /run/systemd/private\n",
		"Active Internet connections (including servers)\n",
		"Active UNIX domain sockets (servers and established)\n",
		"tcp6",
		"udp46",
		"u_str",
		"#7",
		"0",
		"4294967296",
		"-",
		"fe80::1%lo0.631",
		"*.*",
		"*:*",
		"[::1]:80",
		":::22",
		"::",
		".",
		":",
		"[",
		"]",
		"%",
		"LISTEN",
		"TIME_WAIT",
		"users:((\"a\",pid=1,fd=2))",
		"users:((\"",
		"/",
		"12/",
		"on",
		"(1.5/2/3)",
		"(",
		"timer:(",
		"timer:(on,",
		"99999999999999999999hour",
		"\n",
		"\t",
		"\xff",
		"stream",
		"83e2a1d5e3a5ea7",
		"2603:8000:7d01:1.54321",
		"(state)",
		"Netid",
		"State Recv-Q",
	};
	size_t n = draw(&seed, 14) + 1;

	size = 0;
	while (n--) {
		const char *word = words[draw(&seed, sizeof(words) / sizeof(*words))];

		if (size + strlen(word) + 1 > max)
			break;
		memcpy(data + size, word, strlen(word));
		size += strlen(word);
		if (draw(&seed, 4))
			data[size++] = draw(&seed, 12) ? ' ' : '\n';
	}
	for (size_t spoil = draw(&seed, 3); size && spoil; spoil--)
		data[draw(&seed, size)] = (uint8_t)draw(&seed, 256);
	return size;
}

static uint16_t port(void *arg, const char *name, uint8_t protocol)
{
	(void)arg;
	CHECK(protocol == 6 || protocol == 17);
	return strcmp(name, "https") == 0 ? 443 : 0;
}

static const char *name(void *arg, uint16_t number, uint8_t protocol)
{
	(void)arg, (void)protocol;
	return number == 443 ? "https" : NULL;
}

/* Nothing that a terminal would obey. */
static void check_text(const struct text *t)
{
	CHECK(!t->failed);
	for (const char *s = t->data; s && *s;) {
		size_t n = strcspn(s, "\n");

		for (size_t i = 0; i < n; i++)
			CHECK(s[i] >= 0x20 && s[i] < 0x7f);
		CHECK(s[n] == '\n');
		s += n + 1;
	}
}

static void check_row(const struct view_pasted *row)
{
	const struct cpl_info *i = &row->info;

	CHECK(row->dress < VIEW_DRESSES);
	CHECK(memchr(row->line, 0, sizeof(row->line)));
	CHECK(memchr(row->local.host, 0, sizeof(row->local.host)));
	CHECK(i->state < CPL_STATES);
	CHECK(memchr(i->program, 0, sizeof(i->program)) && memchr(i->path, 0, sizeof(i->path)));
	if (row->kind == VIEW_PASTED_UNKNOWN)
		CHECK(row->why[0]);
	if (row->kind != VIEW_PASTED_ROW)
		return;
	if (i->family == 1)
		CHECK(i->protocol == 0);
	else
		CHECK(i->protocol == 6 || i->protocol == 17);
	/* A row of TCP has a state, and addresses that are marked are of it. */
	if (i->protocol == 6)
		CHECK(cpl_info_known(i, CPL_F_state));
	CHECK(!cpl_info_known(i, CPL_F_local_addr) || !row->local.cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct view_pasted row;
	struct view_paste p = { .services = { port, name, NULL } };
	const char *s = (const char *)data;

	while (size) {
		const char *end = memchr(s, '\n', size);
		size_t n = end ? (size_t)(end - s) : size;
		char *line = malloc(n);
		struct text t;

		if (n)
			memcpy(line, s, n);
		view_paste_line(&p, line, n, &row);
		free(line);
		check_row(&row);
		text_init(&t);
		view_paste_explain(&t, &p, &row);
		CHECK((t.len > 0) ==
		      (row.kind == VIEW_PASTED_ROW || row.kind == VIEW_PASTED_UNKNOWN));
		check_text(&t);
		text_free(&t);
		n += end != NULL;
		s += n;
		size -= n;
	}
	return 0;
}
