/* SPDX-License-Identifier: MIT */
/*
 * What the stairs read from anyone: DNS messages, answers of programs, the hosts file, proxy
 * variables; and destinations. The first octet says as which of them the rest is read.
 */
#include <errno.h>
#include <netdb.h>

#include "source/stairs_step.h"
#include "tests/fuzz/fuzz.h"

/* No file is searched here. */
struct servent *getservbyname(const char *name, const char *proto)
{
	(void)name, (void)proto;
	return NULL;
}

static size_t put(uint8_t *data, size_t max, uint8_t kind, const void *from, size_t n)
{
	if (n + 1 > max)
		return 0;
	data[0] = kind;
	memcpy(data + 1, from, n);
	return n + 1;
}

static size_t fresh(uint8_t *data, size_t max, uint64_t *seed)
{
	static const uint8_t dns[] = {
		0x12, 0x34, 0x81, 0x80, 0,    1,    0,	  2,  0, 0, 0, 0, 1, 'a', 2,  'b', 'c',
		0,    0,    1,	  0,	1,    0xc0, 0x0c, 0,  1, 0, 1, 0, 0, 0,	  60, 0,   4,
		10,   1,    2,	  3,	0xc0, 0x0c, 0,	  28, 0, 1, 0, 0, 0, 60,  0,  16,  0x20,
		1,    0xd,  0xb8, 0,	0,    0,    0,	  0,  0, 0, 0, 0, 0, 0,	  1,
	};
	static const char *const texts[] = {
		"HTTP/1.1 400 Bad Request\r\n\r\nplain HTTP request was sent to HTTPS port",
		"127.0.0.1 localhost # x\n10.0.0.2\tbox  box.example\n",
		"localhost,.example.org,10.0.0.0/8,[fd00::1]/64 *",
		"http://user:pw@[fd00::1]:8080/a?b#c",
		"box.example:443",
		"\x16\x03\x01",
	};

	if (!rnd(seed, 3))
		return put(data, max, 0, dns, sizeof(dns));
	return put(data, max, (uint8_t)rnd(seed, 6), texts[*seed % 6], strlen(texts[*seed % 6]));
}

static void leave(uint8_t *data, size_t size)
{
	(void)data, (void)size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	return mutate(data, size, max, seed, fresh, leave);
}

static void read_text(uint8_t kind, const char *text)
{
	struct stairs_target target;
	char error[STAIRS_ERROR], request[4096];
	size_t n;

	if (kind == 1) {
		name_hosts_line(text, "box.example");
	} else if (kind == 2) {
		proxy_exempt(text, "10.0.0.1");
		proxy_exempt(text, "www.example.org");
		CHECK(strlen(proxy_shown(text).s) < sizeof(struct view_word));
	} else if (stairs_target_parse(&target, text, kind == 3 ? "80" : NULL, error)) {
		CHECK(error[0] && strlen(error) < sizeof(error));
	} else {
		CHECK(target.host[0] && target.port);
		n = greet_http(request, sizeof(request), &target, 1500);
		CHECK(n >= 1500 && memcmp(request + n - 4, "\r\n\r\n", 4) == 0);
		n = greet_tls((uint8_t *)request, sizeof(request), &target, 1500);
		CHECK(n >= 1500);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cpl_addr addr[STAIRS_ADDRESSES];
	uint8_t kind = size ? data[0] % 6 : 0;
	char *text;

	if (!size)
		return 0;
	if (kind == 0) {
		CHECK(name_dns_answers(data + 1, size - 1, addr, STAIRS_ADDRESSES) <=
		      STAIRS_ADDRESSES);
		return 0;
	}
	if (kind == 5) {
		CHECK(greet_judge(data + 1, size - 1) <= GREET_OTHER);
		greet_line(data + 1, size - 1);
		return 0;
	}
	text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = 0;
	read_text(kind, text);
	free(text);
	return 0;
}
