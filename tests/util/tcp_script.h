/* SPDX-License-Identifier: MIT */
/* A segment in words, as tests/util/tcp_bench.h says, to a struct. */
#ifndef TESTS_UTIL_TCP_SCRIPT_H
#define TESTS_UTIL_TCP_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/tcp.h"

struct script {
	struct tcp_seg seg; /* relative numbers; data NULL */
	uint8_t ttl, tos;
	bool has_ack, has_wnd, has_up, has_ttl, has_tos;
	bool has_options; /* "<...>" was there */
	bool any_options; /* "<*>" */
	bool has_mss, has_wscale, has_tsval;
	bool any_cookie; /* "FO *" */
};

/* NULL, or what is wrong with TEXT. */
const char *script_parse(struct script *s, const char *text);

#endif
