/* SPDX-License-Identifier: MIT */
/*
 * Addresses as text: dotted decimal for IPv4; for IPv6 the forms of RFC 4291 2.2, written as RFC
 * 5952 section 4 asks. No libc: the library's core has none.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include <couplet/addr.h>

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Four numbers up to the end of TEXT; no leading zeros, which some read as octal. */
static bool parse4(uint8_t out[4], const char *text)
{
	for (int i = 0; i < 4; i++) {
		unsigned value = 0, digits = 0;

		for (; *text >= '0' && *text <= '9'; text++, digits++) {
			if (digits && !value)
				return false;
			value = value * 10 + (unsigned)(*text - '0');
			if (value > 255)
				return false;
		}
		if (!digits || *text != (i < 3 ? '.' : 0))
			return false;
		out[i] = (uint8_t)value;
		text++;
	}
	return true;
}

/* Groups of 16 bits; where "::" stood the rest moves to the end. */
static bool parse6(uint8_t out[16], const char *text)
{
	int n = 0, gap = -1;

	memset(out, 0, 16);
	if (text[0] == ':') {
		if (text[1] != ':')
			return false;
		gap = 0;
		text += 2;
	}
	while (*text) {
		const char *start = text;
		unsigned value = 0, digits = 0;

		for (; hex_value(*text) >= 0; text++) {
			value = value << 4 | (unsigned)hex_value(*text);
			if (++digits > 4)
				return false;
		}
		if (*text == '.' && digits && n <= 12) {
			if (!parse4(out + n, start))
				return false;
			n += 4;
			break;
		}
		if (!digits || n > 14)
			return false;
		out[n++] = (uint8_t)(value >> 8);
		out[n++] = (uint8_t)value;
		if (*text == 0)
			break;
		if (*text++ != ':')
			return false;
		if (*text == ':') {
			if (gap >= 0)
				return false;
			gap = n;
			text++;
		} else if (*text == 0) {
			return false;
		}
	}
	if (gap < 0)
		return n == 16;
	if (n > 14)
		return false; /* "::" stands for at least one group */
	memmove(out + 16 - (n - gap), out + gap, (size_t)(n - gap));
	memset(out + gap, 0, (size_t)(16 - n));
	return true;
}

int cpl_addr_parse(struct cpl_addr *addr, const char *text)
{
	uint8_t b[16];

	if (parse4(b, text)) {
		*addr = cpl_addr4(b[0], b[1], b[2], b[3]);
		return 0;
	}
	if (!parse6(b, text))
		return -EINVAL;
	memcpy(addr->b, b, 16);
	return 0;
}

static char *put_decimal(char *p, unsigned value)
{
	if (value >= 100)
		*p++ = (char)('0' + value / 100);
	if (value >= 10)
		*p++ = (char)('0' + value / 10 % 10);
	*p++ = (char)('0' + value % 10);
	return p;
}

static char *put_hex(char *p, unsigned value)
{
	for (int shift = 12; shift >= 0; shift -= 4)
		if (value >> shift || !shift)
			*p++ = "0123456789abcdef"[value >> shift & 15];
	return p;
}

/* The longest run of zero groups, the first of equals, of two at least (RFC 5952 4.2). */
static int longest_zeros(const unsigned group[8], int *length)
{
	int best = -1;

	*length = 1;
	for (int i = 0; i < 8; i++) {
		int n = 0;

		while (i + n < 8 && group[i + n] == 0)
			n++;
		if (n > *length) {
			best = i;
			*length = n;
		}
		i += n;
	}
	return best;
}

int cpl_addr_text(const struct cpl_addr *addr, char text[CPL_ADDR_TEXT])
{
	unsigned group[8];
	int gap, length;
	char *p = text;

	if (cpl_addr_is4(addr)) {
		for (int i = 0; i < 4; i++) {
			p = put_decimal(p, addr->b[12 + i]);
			*p++ = i < 3 ? '.' : 0;
		}
		return (int)(p - text) - 1;
	}
	for (int i = 0; i < 8; i++)
		group[i] = (unsigned)addr->b[2 * i] << 8 | addr->b[2 * i + 1];
	gap = longest_zeros(group, &length);
	for (int i = 0; i < 8; i++) {
		if (i == gap) {
			*p++ = ':';
			if (i + length == 8)
				*p++ = ':';
			i += length - 1;
			continue;
		}
		if (i)
			*p++ = ':';
		p = put_hex(p, group[i]);
	}
	*p = 0;
	return (int)(p - text);
}
