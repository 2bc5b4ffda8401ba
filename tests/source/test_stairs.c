/* SPDX-License-Identifier: MIT */
/* The pure parts of the stairs: destinations, the hosts file, DNS answers, no_proxy, greetings. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "source/stairs_step.h"

/* ---- Destinations ---------------------------------------------------------------------------- */

static void parsed(const char *first, const char *second, const char *host, uint16_t port,
		   const char *scheme)
{
	struct stairs_target t;
	char error[STAIRS_ERROR];

	if (stairs_target_parse(&t, first, second, error))
		fail_msg("%s: %s", first, error);
	assert_string_equal(t.host, host);
	assert_int_equal(t.port, port);
	assert_string_equal(t.scheme, scheme);
}

static void refused(const char *first, const char *second, const char *says)
{
	struct stairs_target t;
	char error[STAIRS_ERROR];

	assert_int_equal(stairs_target_parse(&t, first, second, error), -EINVAL);
	if (!strstr(error, says))
		fail_msg("%s: \"%s\" does not say \"%s\"", first, error, says);
}

static void test_destinations(void **state)
{
	(void)state;
	parsed("example.org", "80", "example.org", 80, "");
	parsed("example.org:80", NULL, "example.org", 80, "");
	parsed("10.0.0.1", "https", "10.0.0.1", 443, "");
	parsed("fe80::1%eth0", "22", "fe80::1%eth0", 22, "");
	parsed("[::1]:80", NULL, "::1", 80, "");
	parsed("[::1]", "80", "::1", 80, "");
	parsed("http://example.org", NULL, "example.org", 80, "http");
	parsed("HTTPS://example.org", NULL, "example.org", 443, "https");
	parsed("https://user:pass@example.org:8443/a:b@c?d://e#f", NULL, "example.org", 8443,
	       "https");
	parsed("http://[fd00::1]:8080/", NULL, "fd00::1", 8080, "http");
	parsed("postgresql://db/name", NULL, "db", 5432, "postgresql");
	parsed("http://example.org:/", NULL, "example.org", 80, "http");
	parsed("http://example.org", "8080", "example.org", 8080, "http");
}

static void test_bad_destinations(void **state)
{
	char longest[400];

	(void)state;
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	refused("example.org", NULL, "which port");
	refused("example.org:", NULL, "which port");
	refused("example.org", "", "which port");
	refused("example.org", "0", "1 to 65535");
	refused("example.org", "65536", "1 to 65535");
	refused("example.org", "123456789012345678901234567890", "1 to 65535");
	refused("example.org", "no-such-service", "neither a port");
	refused("example.org", longest, "too long");
	refused(longest, "80", "longer");
	refused("", "80", "which host");
	refused(":80", NULL, "which host");
	refused("fd00::1:80", NULL, "[fd00::1:80]");
	refused("[fd00::1:80", NULL, "never closed");
	refused("[fd00::1]80", NULL, "colon");
	refused("nosuchscheme://example.org", NULL, "which port");
	refused("://example.org", NULL, "scheme");
	refused("ht tp://example.org", NULL, "scheme");
	refused("http://", NULL, "which host");
}

/* ---- Names ----------------------------------------------------------------------------------- */

static void test_hosts_file(void **state)
{
	static const char text[] = "127.0.0.1 localhost\n"
				   "# 10.0.0.1 commented\n"
				   "\n"
				   "10.0.0.2\tbox.example  Box # other\n"
				   "10.0.0.3 last";

	(void)state;
	assert_int_equal(name_hosts_line(text, "localhost"), 1);
	assert_int_equal(name_hosts_line(text, "commented"), 0);
	assert_int_equal(name_hosts_line(text, "box"), 4);
	assert_int_equal(name_hosts_line(text, "box.example"), 4);
	assert_int_equal(name_hosts_line(text, "box.exam"), 0);
	assert_int_equal(name_hosts_line(text, "other"), 0);
	assert_int_equal(name_hosts_line(text, "10.0.0.2"), 0);
	assert_int_equal(name_hosts_line(text, "last"), 5);
	assert_int_equal(name_hosts_line("", "last"), 0);
}

/* One question, a CNAME, an A, an AAAA and a TXT record, as RFC 1035 4.1 has them. */
static const uint8_t answer[] = {
	0x12, 0x34, 0x81, 0x80, 0,    1,    0,	  4,	0, 0,  0, 0,  1, 'a', 2, 'b',
	'c',  0,    0,	  1,	0,    1,    0xc0, 0x0c, 0, 5,  0, 1,  0, 0,   0, 60,
	0,    4,    1,	  'x',	0xc0, 0x0e, 0xc0, 0x22, 0, 1,  0, 1,  0, 0,   0, 60,
	0,    4,    10,	  1,	2,    3,    0xc0, 0x22, 0, 28, 0, 1,  0, 0,   0, 60,
	0,    16,   0x20, 0x01, 0x0d, 0xb8, 0,	  0,	0, 0,  0, 0,  0, 0,   0, 0,
	0,    1,    0xc0, 0x22, 0,    16,   0,	  1,	0, 0,  0, 60, 0, 2,   1, 'y',
};

static void test_dns_answers(void **state)
{
	struct cpl_addr addr[4], ten = cpl_addr4(10, 1, 2, 3);

	(void)state;
	assert_int_equal(name_dns_answers(answer, sizeof(answer), addr, 4), 2);
	assert_memory_equal(&addr[0], &ten, sizeof(ten));
	assert_int_equal(addr[1].b[15], 1);
	assert_int_equal(name_dns_answers(answer, sizeof(answer), addr, 1), 1);
}

/* Cut anywhere and mangled anyhow, nothing is read behind the end: the sanitizers look. */
static void test_dns_answers_from_anyone(void **state)
{
	struct cpl_addr addr[4];

	(void)state;
	for (size_t len = 0; len <= sizeof(answer); len++) {
		uint8_t *copy = malloc(len + !len);

		for (size_t i = 0; i <= len; i++) {
			memcpy(copy, answer, len);
			if (i < len)
				copy[i] ^= 0xff;
			assert_true(name_dns_answers(copy, len, addr, 4) <= 4);
		}
		free(copy);
	}
}

static void test_no_proxy(void **state)
{
	(void)state;
	assert_true(proxy_exempt("localhost,example.org", "example.org"));
	assert_true(proxy_exempt("EXAMPLE.org", "www.example.ORG"));
	assert_true(proxy_exempt(" .example.org ", "example.org"));
	assert_true(proxy_exempt("example.org.", "example.org"));
	assert_false(proxy_exempt("example.org", "badexample.org"));
	assert_false(proxy_exempt("www.example.org", "example.org"));
	assert_true(proxy_exempt("a b\t*", "anything"));
	assert_true(proxy_exempt("10.0.0.1", "10.0.0.1"));
	assert_true(proxy_exempt("10.0.0.0/8", "10.200.0.1"));
	assert_false(proxy_exempt("10.0.0.0/9", "10.200.0.1"));
	assert_true(proxy_exempt("[fd00::]/8,fd00::/8", "fd01::1"));
	assert_true(proxy_exempt("[::1]", "::1"));
	assert_false(proxy_exempt("0.0.0.1", "10.0.0.1"));
	assert_false(proxy_exempt("10.0.0.0/x,10.0.0.0/33,/8,,", "10.0.0.1"));
	assert_false(proxy_exempt("", "example.org"));
	assert_false(proxy_exempt(".", "example.org"));
}

static void test_proxy_secrets(void **state)
{
	(void)state;
	assert_string_equal(proxy_shown("http://user:secret@proxy:3128").s,
			    "http://***@proxy:3128");
	assert_string_equal(proxy_shown("user:secret@proxy:3128").s, "***@proxy:3128");
	assert_string_equal(proxy_shown("socks5://proxy:1080/a@b").s, "socks5://proxy:1080/a@b");
	assert_string_equal(proxy_shown("pro\033xy").s, "pro?xy");
}

/* ---- Greetings ------------------------------------------------------------------------------- */

static struct stairs_target target(const char *host, uint16_t port)
{
	struct stairs_target t = { .port = port };

	strcpy(t.host, host);
	return t;
}

static void test_http_request(void **state)
{
	struct stairs_target t = target("example.org", 80);
	char request[4096];
	size_t n = greet_http(request, sizeof(request) - 1, &t, 0);

	(void)state;
	request[n] = 0;
	assert_string_equal(request, "HEAD / HTTP/1.1\r\nHost: example.org\r\n"
				     "User-Agent: couplet-doctor\r\nAccept: */*\r\n\r\n");
	n = greet_http(request, sizeof(request) - 1, &t, 1500);
	request[n] = 0;
	assert_int_equal(n, 1500);
	assert_string_equal(request + n - 5, "x\r\n\r\n");
	t = target("fe80::1%eth0", 8080);
	request[greet_http(request, sizeof(request) - 1, &t, 0)] = 0;
	assert_non_null(strstr(request, "\r\nHost: [fe80::1]:8080\r\n"));
	assert_int_equal(greet_http(request, 50, &t, 0), 0);
}

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* Every length in it says what is there (RFC 8446 4.1.2). */
static size_t hello_check(const uint8_t *p, size_t n, const char *name)
{
	size_t at = 43, extensions, found = 0;

	assert_int_equal(p[0], 22);
	assert_int_equal(get16(p + 3), n - 5);
	assert_int_equal(p[5], 1);
	assert_int_equal(p[6] << 16 | get16(p + 7), n - 9);
	at += 1u + p[at];
	at += 2 + get16(p + at);
	at += 1u + p[at];
	extensions = at + 2;
	assert_int_equal(get16(p + at), n - extensions);
	for (at = extensions; at < n; at += 4 + get16(p + at + 2)) {
		assert_true(at + 4 <= n);
		if (get16(p + at) == 0) {
			found = get16(p + at + 7);
			assert_int_equal(get16(p + at + 2), found + 5);
			assert_memory_equal(p + at + 9, name, found);
		}
	}
	assert_int_equal(at, n);
	return found;
}

static void test_client_hello(void **state)
{
	struct stairs_target t = target("example.org.", 443);
	uint8_t hello[4096];
	size_t n = greet_tls(hello, sizeof(hello), &t, 0);

	(void)state;
	assert_true(n > 100 && n < 400);
	assert_int_equal(hello_check(hello, n, "example.org"), 11);
	n = greet_tls(hello, sizeof(hello), &t, 1560);
	assert_int_equal(n, 1560);
	hello_check(hello, n, "example.org");
	t = target("10.0.0.1", 443);
	n = greet_tls(hello, sizeof(hello), &t, 0);
	assert_int_equal(hello_check(hello, n, ""), 0);
	assert_int_equal(greet_tls(hello, 99, &t, 0), 0);
}

static enum greet_answer judge(const char *s, size_t n)
{
	return greet_judge((const uint8_t *)s, n);
}

static void test_answers(void **state)
{
	(void)state;
	assert_int_equal(judge("", 0), GREET_NOTHING);
	assert_int_equal(judge("\x16\x03\x03\0\x7a", 5), GREET_TLS);
	assert_int_equal(judge("\x15\x03\x01\0\2\2\x46", 7), GREET_TLS_ALERT);
	assert_int_equal(judge("\x16\x05\x03", 3), GREET_OTHER);
	assert_int_equal(judge("\x16", 1), GREET_OTHER);
	assert_int_equal(judge("HTTP/1.1 200 OK\r\n", 17), GREET_HTTP);
	assert_int_equal(judge("HTTP", 4), GREET_OTHER);
	assert_int_equal(judge("SSH-2.0-x\r\n", 11), GREET_OTHER);
	static const char go[] =
		"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an "
		"HTTPS server.\n";
	assert_int_equal(judge(go, sizeof(go) - 1), GREET_HTTP_WANTS_TLS);
	assert_string_equal(greet_line((const uint8_t *)"a\033\0b\r\nc", 7).s, "a??b");
}

static void test_greeting_by_port(void **state)
{
	struct stairs_options o = { .target = target("x", 443) };

	(void)state;
	assert_int_equal(greet_choose(&o), STAIRS_GREET_TLS);
	o.target.port = 8080;
	assert_int_equal(greet_choose(&o), STAIRS_GREET_HTTP);
	o.target.port = 9100; /* a printer would print it */
	assert_int_equal(greet_choose(&o), STAIRS_GREET_NOBODY);
	strcpy(o.target.scheme, "http");
	assert_int_equal(greet_choose(&o), STAIRS_GREET_HTTP);
	strcpy(o.target.scheme, "postgresql");
	o.target.port = 443;
	assert_int_equal(greet_choose(&o), STAIRS_GREET_NOBODY);
	o.greeting = STAIRS_GREET_HTTP;
	assert_int_equal(greet_choose(&o), STAIRS_GREET_HTTP);
}

static void test_common_prefix(void **state)
{
	struct cpl_addr a = cpl_addr4(10, 0, 0, 1), b = cpl_addr4(10, 0, 0, 1), six = { { 0x20 } };

	(void)state;
	assert_int_equal(rt_common_prefix(&a, &b), 32);
	b.b[15] = 0;
	assert_int_equal(rt_common_prefix(&a, &b), 31);
	b.b[12] = 0x8a;
	assert_int_equal(rt_common_prefix(&a, &b), 0);
	assert_int_equal(rt_common_prefix(&a, &six), 0);
	assert_int_equal(rt_common_prefix(&six, &six), 128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_destinations),
		cmocka_unit_test(test_bad_destinations),
		cmocka_unit_test(test_hosts_file),
		cmocka_unit_test(test_dns_answers),
		cmocka_unit_test(test_dns_answers_from_anyone),
		cmocka_unit_test(test_no_proxy),
		cmocka_unit_test(test_proxy_secrets),
		cmocka_unit_test(test_http_request),
		cmocka_unit_test(test_client_hello),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_greeting_by_port),
		cmocka_unit_test(test_common_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
