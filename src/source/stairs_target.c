/* SPDX-License-Identifier: MIT */
/* HOST PORT, HOST:PORT, [V6]:PORT and URLs (RFC 3986) as destinations: see stairs.h. */
#define _GNU_SOURCE /* memrchr */
#include "source/stairs.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <netinet/in.h>

__attribute__((format(printf, 2, 3))) static int bad(char error[STAIRS_ERROR], const char *format,
						     ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(error, STAIRS_ERROR, format, ap);
	va_end(ap);
	return -EINVAL;
}

static int parse_port(struct stairs_target *t, const char *s, size_t len, char error[STAIRS_ERROR])
{
	char word[64];
	struct servent *service;
	unsigned long value;

	if (!len || len >= sizeof(word))
		return bad(error, "%s",
			   len ? "that port is too long" : "which port? couplet doctor HOST PORT");
	memcpy(word, s, len);
	word[len] = 0;
	if (strspn(word, "0123456789") == len) {
		value = len > 5 ? 65536 : strtoul(word, NULL, 10);
		if (value < 1 || value > 65535)
			return bad(error, "%s is no port: ports are 1 to 65535", word);
		t->port = (uint16_t)value;
		return 0;
	}
	service = getservbyname(word, "tcp");
	if (!service)
		return bad(error, "\"%s\" is neither a port nor the name of a service",
			   word_foreign(word).s);
	t->port = ntohs((uint16_t)service->s_port);
	return 0;
}

static int parse_host(struct stairs_target *t, const char *s, size_t len, char error[STAIRS_ERROR])
{
	if (len >= 2 && s[0] == '[' && s[len - 1] == ']') {
		s++;
		len -= 2;
	}
	if (!len)
		return bad(error, "which host? couplet doctor HOST PORT");
	if (len >= sizeof(t->host))
		return bad(error, "that name is longer than names can be (253 characters)");
	memcpy(t->host, s, len);
	t->host[len] = 0;
	return 0;
}

/* HOST[:PORT], of which the port may have to be there. */
static int parse_authority(struct stairs_target *t, const char *s, size_t len, bool need_port,
			   char error[STAIRS_ERROR])
{
	const char *colon = NULL;
	const char *bracket = len && s[0] == '[' ? memchr(s, ']', len) : NULL;
	int err;

	if (len && s[0] == '[' && !bracket)
		return bad(error, "the bracket of \"%s\" is never closed", word_foreign(s).s);
	if (bracket) {
		if (bracket + 1 < s + len && bracket[1] != ':')
			return bad(error, "after the bracket a colon and the port are expected");
		colon = bracket + 1 < s + len ? bracket + 1 : NULL;
	} else {
		colon = memrchr(s, ':', len);
		if (colon && memchr(s, ':', (size_t)(colon - s)))
			return bad(error,
				   "an IPv6 address with a port is written [%.*s]:PORT, or as two "
				   "words",
				   (int)(len < 60 ? len : 60), s);
	}
	if (!colon && need_port)
		return bad(error, "which port of %s? couplet doctor HOST PORT", word_foreign(s).s);
	err = parse_host(t, s, colon ? (size_t)(colon - s) : len, error);
	if (!err && colon && colon + 1 < s + len)
		err = parse_port(t, colon + 1, len - (size_t)(colon + 1 - s), error);
	else if (!err && need_port)
		err = bad(error, "which port of %s? couplet doctor HOST PORT",
			  word_foreign(t->host).s);
	return err;
}

static const struct {
	const char *scheme;
	uint16_t port;
} schemes[] = {
	{ "http", 80 },	      { "https", 443 },	      { "ws", 80 },	 { "wss", 443 },
	{ "ftp", 21 },	      { "ssh", 22 },	      { "sftp", 22 },	 { "git", 9418 },
	{ "smtp", 25 },	      { "imap", 143 },	      { "ldap", 389 },	 { "ldaps", 636 },
	{ "mysql", 3306 },    { "postgres", 5432 },   { "redis", 6379 }, { "rediss", 6379 },
	{ "mongodb", 27017 }, { "postgresql", 5432 }, { "amqp", 5672 },	 { "amqps", 5671 },
	{ "mqtt", 1883 },     { "mqtts", 8883 },
};

/* The port that a scheme has by itself; 0: none that we know. */
static uint16_t scheme_port(const char *scheme)
{
	struct servent *service;

	for (unsigned i = 0; i < sizeof(schemes) / sizeof(*schemes); i++)
		if (strcmp(schemes[i].scheme, scheme) == 0)
			return schemes[i].port;
	service = getservbyname(scheme, "tcp");
	return service ? ntohs((uint16_t)service->s_port) : 0;
}

static int parse_url(struct stairs_target *t, const char *s, const char *slashes,
		     char error[STAIRS_ERROR])
{
	size_t len = (size_t)(slashes - s);
	const char *authority = slashes + 3;
	const char *end = authority + strcspn(authority, "/?#");
	const char *at = memrchr(authority, '@', (size_t)(end - authority));

	if (!len || len >= sizeof(t->scheme))
		return bad(error, "a URL begins with a scheme, as http://");
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)s[i]) && !strchr("+-.", s[i]))
			return bad(error, "\"%s\" is no scheme of a URL", word_foreign(s).s);
		t->scheme[i] = (char)tolower((unsigned char)s[i]);
	}
	t->port = scheme_port(t->scheme);
	if (at)
		authority = at + 1;
	return parse_authority(t, authority, (size_t)(end - authority), !t->port, error);
}

int stairs_target_parse(struct stairs_target *target, const char *first, const char *second,
			char error[STAIRS_ERROR])
{
	const char *slashes = strstr(first, "://");
	int err;

	memset(target, 0, sizeof(*target));
	error[0] = 0;
	if (slashes) {
		err = parse_url(target, first, slashes, error);
		return !err && second ? parse_port(target, second, strlen(second), error) : err;
	}
	if (!second)
		return parse_authority(target, first, strlen(first), true, error);
	err = parse_host(target, first, strlen(first), error);
	return err ? err : parse_port(target, second, strlen(second), error);
}
