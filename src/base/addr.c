/* SPDX-License-Identifier: MIT */
/*
 * Addresses as text: IPv4 as four decimal octets, IPv6 as RFC 4291 section 2.2 reads and RFC 5952
 * writes it. There is no zone ("%eth0"): an endpoint names its interface apart.
 */
#include <couplet/addr.h>

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#define GROUPS 8

static int digit_value(char c, unsigned base)
{
	unsigned value;

	if (c >= '0' && c <= '9')
		value = (unsigned)(c - '0');
	else if (c >= 'a' && c <= 'f')
		value = (unsigned)(c - 'a') + 10;
	else if (c >= 'A' && c <= 'F')
		value = (unsigned)(c - 'A') + 10;
	else
		return -1;
	return value < base ? (int)value : -1;
}

/* Up to MAX digits of BASE at *TEXT, which moves past them. Returns the number, -1: none. */
static int parse_number(const char **text, unsigned base, unsigned max)
{
	unsigned n;
	int value = 0, digit;

	for (n = 0; n < max && (digit = digit_value((*text)[n], base)) >= 0; n++)
		value = value * (int)base + digit;
	*text += n;
	return n ? value : -1;
}

/*
 * Four octets to the end of the text. None has a leading zero, which some take for octal (RFC 6943
 * section 3.1.1).
 */
static bool parse_dotted(uint8_t out[4], const char *text)
{
	const char *start;
	unsigned i;
	int value;

	for (i = 0; i < 4; i++) {
		if (i && *text++ != '.')
			return false;
		start = text;
		value = parse_number(&text, 10, 3);
		if (value < 0 || value > 255 || (*start == '0' && text - start > 1))
			return false;
		out[i] = (uint8_t)value;
	}
	return !*text;
}

/* The groups of an IPv6 address up to its end; N of them; *GAP is before which "::" stood, or -1.
 */
static bool parse_groups(uint8_t out[16], const char *text, unsigned *n, int *gap)
{
	const char *start;
	int value;

	*n = 0;
	*gap = -1;
	if (text[0] == ':' && text[1] != ':')
		return false;
	if (text[0] == ':')
		text++;
	while (*text) {
		if (*text == ':') {
			if (*gap >= 0)
				return false;
			*gap = (int)*n;
			if (!*++text)
				return true;
		}
		if (*n == GROUPS)
			return false;
		start = text;
		value = parse_number(&text, 16, 4);
		if (*text == '.') {
			if (*n > GROUPS - 2 || !parse_dotted(out + 2 * *n, start))
				return false;
			*n += 2;
			return true;
		}
		if (value < 0)
			return false;
		out[2 * *n] = (uint8_t)(value >> 8);
		out[2 * *n + 1] = (uint8_t)value;
		++*n;
		/* A colon stands between groups, never at the end. */
		if (*text && (*text++ != ':' || !*text))
			return false;
	}
	return true;
}

int cpl_addr_parse(struct cpl_addr *addr, const char *text)
{
	uint8_t groups[16], dotted[4];
	struct cpl_addr parsed;
	size_t before;
	unsigned n;
	int gap;

	if (parse_dotted(dotted, text)) {
		*addr = cpl_addr4(dotted[0], dotted[1], dotted[2], dotted[3]);
		return 0;
	}
	if (!parse_groups(groups, text, &n, &gap))
		return -EINVAL;
	/* "::" stands for one group or more (RFC 4291 2.2); without it there are eight. */
	if (gap < 0 ? n != GROUPS : n >= GROUPS)
		return -EINVAL;
	before = gap < 0 ? 2 * n : 2 * (size_t)gap;
	memset(&parsed, 0, sizeof(parsed));
	memcpy(parsed.b, groups, before);
	memcpy(parsed.b + 16 - (2 * n - before), groups + before, 2 * n - before);
	*addr = parsed;
	return 0;
}

/* Without leading zeros. */
static char *put_number(char *p, unsigned value, unsigned base)
{
	if (value >= base)
		p = put_number(p, value / base, base);
	*p = "0123456789abcdef"[value % base];
	return p + 1;
}

static unsigned group_at(const struct cpl_addr *addr, unsigned i)
{
	return (unsigned)addr->b[2 * i] << 8 | addr->b[2 * i + 1];
}

/* The longest run of two zero groups or more, the first of equals (RFC 5952 4.2). */
static void longest_run(const struct cpl_addr *addr, unsigned *at, unsigned *len)
{
	unsigned i, n = 0;

	*at = GROUPS;
	*len = 1;
	for (i = 0; i < GROUPS; i++) {
		n = group_at(addr, i) ? 0 : n + 1;
		if (n > *len) {
			*len = n;
			*at = i + 1 - n;
		}
	}
}

int cpl_addr_text(const struct cpl_addr *addr, char text[CPL_ADDR_TEXT])
{
	unsigned i, at, len;
	char *p = text;

	if (cpl_addr_is4(addr)) {
		for (i = 0; i < 4; i++) {
			if (i)
				*p++ = '.';
			p = put_number(p, addr->b[12 + i], 10);
		}
		*p = '\0';
		return (int)(p - text);
	}
	longest_run(addr, &at, &len);
	for (i = 0; i < GROUPS; i++) {
		if (i == at) {
			*p++ = ':';
			if (i + len == GROUPS)
				*p++ = ':';
			i += len - 1;
			continue;
		}
		if (i)
			*p++ = ':';
		p = put_number(p, group_at(addr, i), 16);
	}
	*p = '\0';
	return (int)(p - text);
}
