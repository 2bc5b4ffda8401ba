/* SPDX-License-Identifier: MIT */
/* select_parse() against any text: a filter, or an error that points into the text. */
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "source/select.h"

/* Nothing is looked up here. */
int getaddrinfo(const char *restrict node, const char *restrict service,
		const struct addrinfo *restrict hints, struct addrinfo **restrict list)
{
	(void)node, (void)service, (void)hints, (void)list;
	return EAI_NONAME;
}

static size_t draw(unsigned *seed, size_t bound)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 16) % bound;
}

/* Words of the grammar in any order, now and then a byte spoiled. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	static const char *const words[] = {
		"and",	      "or",
		"not",	      "(",
		")",	      "=",
		"!=",	      ">=",
		"state",      "listen",
		"exclude",    "sport",
		":443",	      "dport",
		"src",	      "10.0.0.1",
		"dst",	      "[::1]:80",
		"#3",	      "pid:8",
		"curl",	      "10.0.0.1:5-10.0.0.2:6",
		"cwnd",	      "64k",
		"srtt",	      "1.5ms",
		"fe80::1%lo", "127/8",
		"program",    "py*",
		"id:",	      "tcp",
		"10.0.0.0/8", "*:*",
		"a:b-c:d",    "\xff",
		"/run/?",     "@x",
		"unix:/a",    "dev",
		"lo",	      "autobound",
		"fwmark",     "10.1/16",
	};
	size_t n = draw(&seed, 12) + 1;

	size = 0;
	while (n--) {
		const char *word = words[draw(&seed, sizeof(words) / sizeof(*words))];

		if (size + strlen(word) + 1 > max)
			break;
		memcpy(data + size, word, strlen(word));
		size += strlen(word);
		if (draw(&seed, 4))
			data[size++] = ' ';
	}
	if (size && !draw(&seed, 3))
		data[draw(&seed, size)] = (uint8_t)draw(&seed, 256);
	return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct select select;
	struct select_error error;
	struct cpl_info info;
	char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = 0;
	if (select_parse(&select, text, &error)) {
		if (!error.text[0] || !error.len || error.at > strlen(text))
			abort();
	} else {
		source_info_init(&info, CPL_SOURCE_SOCK_DIAG);
		memset(&info.read, 0xff, sizeof(info.read));
		info.state = CPL_ESTABLISHED;
		select_match(&select, &info, 3);
		if (select_states(&select) & ~SOURCE_ALL_STATES)
			abort();
		select_needs_details(&select);
		select_needs_owners(&select);
	}
	free(text);
	return 0;
}
