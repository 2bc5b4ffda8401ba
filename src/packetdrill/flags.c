/* SPDX-License-Identifier: MIT */
/* --so_flags: "local=192.168.0.1/16,mtu=1500": addresses and MTU reach the library only so. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "packetdrill/drill.h"

static bool parse_number(const char *text, uint64_t most, uint64_t *value)
{
	char *end;

	*value = strtoull(text, &end, 10);
	return end != text && !*end && *value <= most;
}

static bool parse_local(char *text, struct drill_flags *f)
{
	struct cpl_addr *a = &f->local[f->local_n];
	uint8_t v4[4];
	char *slash = strchr(text, '/');
	uint64_t prefix;
	bool is4;

	if (f->local_n == sizeof(f->local) / sizeof(f->local[0]))
		return false;
	if (slash)
		*slash++ = 0;
	is4 = inet_pton(AF_INET, text, v4) == 1;
	if (is4)
		*a = cpl_addr4(v4[0], v4[1], v4[2], v4[3]);
	else if (inet_pton(AF_INET6, text, a->b) != 1)
		return false;
	prefix = is4 ? 16 : 64;
	if (slash && !parse_number(slash, is4 ? 32 : 128, &prefix))
		return false;
	f->prefix[f->local_n++] = (unsigned)prefix;
	return true;
}

static bool parse_word(char *word, struct drill_flags *f)
{
	char *value = strchr(word, '=');
	uint64_t n;

	if (!strcmp(word, "verbose"))
		return f->verbose = true;
	if (!value)
		return false;
	*value++ = 0;
	if (!strcmp(word, "local"))
		return parse_local(value, f);
	if (!strcmp(word, "mtu")) {
		f->mtu = parse_number(value, 65535, &n) ? (uint32_t)n : 0;
		return f->mtu >= 576;
	}
	if (!strcmp(word, "seed"))
		return parse_number(value, UINT64_MAX, &f->seed);
	if (!strcmp(word, "tools") && strlen(value) < sizeof(f->tools)) {
		memcpy(f->tools, value, strlen(value) + 1);
		return true;
	}
	return false;
}

bool drill_flags_parse(const char *text, struct drill_flags *f, const char **wrong)
{
	char word[sizeof(f->tools) + 16];

	memset(f, 0, sizeof(*f));
	f->mtu = 1500;
	while (text && *text) {
		size_t n = strcspn(text, ",");

		*wrong = text;
		if (n >= sizeof(word))
			return false;
		memcpy(word, text, n);
		word[n] = 0;
		if (n && !parse_word(word, f))
			return false;
		text += n + (text[n] == ',');
	}
	if (!f->local_n) { /* packetdrill's own default */
		char v4[] = "192.168.0.1/16", v6[] = "fd3d:fa7b:d17d::1/48";

		return parse_local(v4, f) && (f->mtu < 1280 || parse_local(v6, f));
	}
	return true;
}
