/* SPDX-License-Identifier: MIT */
/*
 * What is said to a program to see whether it answers: the smallest HTTP request (RFC 9110 9.3.2)
 * and a TLS ClientHello (RFC 8446 4.1.2), and what kind of answer came. Answers are from anyone.
 */
#include "source/stairs_step.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

/* ---- HTTP ------------------------------------------------------------------------------------ */

size_t greet_http(char *buffer, size_t size, const struct stairs_target *target, size_t to_length)
{
	bool ip6 = strchr(target->host, ':') != NULL;
	bool usual = target->port == 80 || target->port == 443;
	char port[8] = "";
	size_t host = strcspn(target->host, "%"); /* a zone is nobody else's business: RFC 6874 */
	int n;

	if (!usual)
		snprintf(port, sizeof(port), ":%u", target->port);
	n = snprintf(buffer, size,
		     "HEAD / HTTP/1.1\r\nHost: %s%.*s%s%s\r\nUser-Agent: couplet-doctor\r\n"
		     "Accept: */*\r\n",
		     ip6 ? "[" : "", (int)host, target->host, ip6 ? "]" : "", port);
	if (n < 0 || (size_t)n + 32 > size)
		return 0;
	if ((size_t)n + 16 < to_length && to_length + 16 < size) {
		n += snprintf(buffer + n, size - (size_t)n, "X-Padding: ");
		while ((size_t)n + 4 < to_length)
			buffer[n++] = 'x';
		n += snprintf(buffer + n, size - (size_t)n, "\r\n");
	}
	n += snprintf(buffer + n, size - (size_t)n, "\r\n");
	return (size_t)n;
}

/* ---- TLS ------------------------------------------------------------------------------------- */

struct writer {
	uint8_t *p;
	size_t size, n;
	bool failed;
};

static void put(struct writer *w, const void *data, size_t len)
{
	if (w->n + len > w->size) {
		w->failed = true;
		return;
	}
	if (len)
		memcpy(w->p + w->n, data, len);
	w->n += len;
}

static void put8(struct writer *w, unsigned value)
{
	uint8_t b = (uint8_t)value;

	put(w, &b, 1);
}

static void put16(struct writer *w, unsigned value)
{
	put8(w, value >> 8);
	put8(w, value);
}

/* The length, to be written when what follows is known. */
static size_t open16(struct writer *w)
{
	put16(w, 0);
	return w->n;
}

static void close16(struct writer *w, size_t start)
{
	if (w->failed)
		return;
	w->p[start - 2] = (uint8_t)((w->n - start) >> 8);
	w->p[start - 1] = (uint8_t)(w->n - start);
}

static void put_list(struct writer *w, const uint16_t *list, size_t n)
{
	size_t start = open16(w);

	for (size_t i = 0; i < n; i++)
		put16(w, list[i]);
	close16(w, start);
}

/* RFC 6066 3: a DNS name, never an address. */
static void put_server_name(struct writer *w, const char *host)
{
	struct cpl_addr addr;
	size_t extension, list, len = strlen(host);

	if (cpl_addr_parse(&addr, host) == 0 || strchr(host, '%') || strchr(host, ':'))
		return;
	if (len && host[len - 1] == '.')
		len--;
	put16(w, 0);
	extension = open16(w);
	list = open16(w);
	put8(w, 0); /* host_name */
	put16(w, (unsigned)len);
	put(w, host, len);
	close16(w, list);
	close16(w, extension);
}

static void put_extensions(struct writer *w, const struct stairs_target *target)
{
	static const uint16_t groups[] = { 0x001d, 0x0017, 0x0018 }; /* x25519, P-256, P-384 */
	static const uint16_t signatures[] = { 0x0403, 0x0503, 0x0603, 0x0807, 0x0804,
					       0x0805, 0x0806, 0x0401, 0x0501, 0x0601 };
	size_t extension;

	put_server_name(w, target->host);
	put16(w, 10); /* supported_groups */
	extension = open16(w);
	put_list(w, groups, sizeof(groups) / sizeof(*groups));
	close16(w, extension);
	put16(w, 11); /* ec_point_formats: uncompressed (RFC 8422 5.1.2) */
	put16(w, 2);
	put16(w, 0x0100);
	put16(w, 13); /* signature_algorithms */
	extension = open16(w);
	put_list(w, signatures, sizeof(signatures) / sizeof(*signatures));
	close16(w, extension);
	put16(w, 43); /* supported_versions: 1.3, 1.2 */
	put16(w, 5);
	put8(w, 4);
	put16(w, 0x0304);
	put16(w, 0x0303);
	put16(w, 51); /* key_share: none, the server is to name a group (RFC 8446 4.2.8) */
	put16(w, 2);
	put16(w, 0);
}

size_t greet_tls(uint8_t *buffer, size_t size, const struct stairs_target *target, size_t to_length)
{
	static const uint16_t ciphers[] = {
		0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9,
		0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035, 0x00ff,
	};
	struct writer w = { .p = buffer, .size = size };
	uint8_t random[64] = { 0 };
	size_t record, hello, extensions;

	if (getrandom(random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		memset(random, 0x5a, sizeof(random)); /* no key comes of it */
	put8(&w, 22);				      /* handshake */
	put16(&w, 0x0301);
	record = open16(&w);
	put8(&w, 1); /* client_hello, of 24 bits of length */
	put8(&w, 0);
	hello = open16(&w);
	put16(&w, 0x0303);
	put(&w, random, 32);
	put8(&w, 32); /* legacy_session_id: for middleboxes, RFC 8446 D.4 */
	put(&w, random + 32, 32);
	put_list(&w, ciphers, sizeof(ciphers) / sizeof(*ciphers));
	put16(&w, 0x0100); /* one compression method: none */
	extensions = open16(&w);
	put_extensions(&w, target);
	if (w.n + 4 < to_length) { /* padding, RFC 7685 */
		size_t padding;

		put16(&w, 21);
		padding = open16(&w);
		while (!w.failed && w.n < to_length)
			put8(&w, 0);
		close16(&w, padding);
	}
	close16(&w, extensions);
	close16(&w, hello);
	close16(&w, record);
	return w.failed ? 0 : w.n;
}

/* ---- Answers --------------------------------------------------------------------------------- */

/* True if NEEDLE is somewhere in the answer, whatever the case. */
static bool holds(const uint8_t *answer, size_t len, const char *needle)
{
	size_t n = strlen(needle);

	for (size_t i = 0; i + n <= len; i++)
		if (strncasecmp((const char *)answer + i, needle, n) == 0)
			return true;
	return false;
}

enum greet_answer greet_judge(const uint8_t *a, size_t len)
{
	if (!len)
		return GREET_NOTHING;
	/* A record: type, version 3.x, length (RFC 8446 5.1). */
	if (len >= 3 && a[0] == 22 && a[1] == 3 && a[2] <= 4)
		return GREET_TLS;
	if (len >= 3 && a[0] == 21 && a[1] == 3 && a[2] <= 4)
		return GREET_TLS_ALERT;
	if (len >= 5 && memcmp(a, "HTTP/", 5) == 0)
		return holds(a, len, "HTTPS port") || holds(a, len, "HTTPS server") ||
				       holds(a, len, "speaking plain HTTP to an SSL")
			       ? GREET_HTTP_WANTS_TLS
			       : GREET_HTTP;
	return GREET_OTHER;
}

struct view_word greet_line(const uint8_t *answer, size_t len)
{
	char line[64];
	size_t n = 0;

	while (n < len && n < sizeof(line) - 1 && answer[n] != '\n' && answer[n] != '\r') {
		line[n] = (char)(answer[n] ? answer[n] : '?');
		n++;
	}
	line[n] = 0;
	return word_foreign(line);
}

enum stairs_greeting greet_choose(const struct stairs_options *o)
{
	const char *scheme = o->target.scheme;
	uint16_t port = o->target.port;

	if (o->greeting != STAIRS_GREET_BY_PORT)
		return o->greeting;
	if (strcmp(scheme, "http") == 0 || strcmp(scheme, "ws") == 0)
		return STAIRS_GREET_HTTP;
	if (strcmp(scheme, "https") == 0 || strcmp(scheme, "wss") == 0 ||
	    strcmp(scheme, "ldaps") == 0 || strcmp(scheme, "amqps") == 0 ||
	    strcmp(scheme, "mqtts") == 0 || strcmp(scheme, "rediss") == 0)
		return STAIRS_GREET_TLS;
	if (scheme[0])
		return STAIRS_GREET_NOBODY;
	/* IANA: http, http-alt; https, pcsync-https. */
	if (port == 80 || port == 8080)
		return STAIRS_GREET_HTTP;
	return port == 443 || port == 8443 ? STAIRS_GREET_TLS : STAIRS_GREET_NOBODY;
}
