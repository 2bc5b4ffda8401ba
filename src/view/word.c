/* SPDX-License-Identifier: MIT */
/* Numbers, addresses and names as people read them: the formats of text.h. */
#include "view/text.h"

#include <stdarg.h>
#include <string.h>
#include <strings.h>

struct view_word word_format(const char *format, ...)
{
	struct view_word w;
	va_list ap;

	va_start(ap, format);
	vsnprintf(w.s, sizeof(w.s), format, ap);
	va_end(ap);
	return w;
}

struct view_word word_text(const char *s)
{
	struct view_word w;
	size_t len = strlen(s);

	if (len > sizeof(w.s) - 1)
		len = sizeof(w.s) - 1;
	memcpy(w.s, s, len);
	w.s[len] = 0;
	return w;
}

/* The digits of N at S, which has room for 20 and the zero; returns how many. */
static size_t digits_put(char *s, uint64_t n)
{
	char backwards[20];
	size_t len = 0;

	do
		backwards[len++] = (char)('0' + n % 10);
	while (n /= 10);
	for (size_t i = 0; i < len; i++)
		s[i] = backwards[len - 1 - i];
	s[len] = 0;
	return len;
}

struct view_word word_number(uint64_t n)
{
	struct view_word w;

	digits_put(w.s, n);
	return w;
}

struct view_word word_count(uint64_t n)
{
	struct view_word w;
	char digits[24];
	size_t len = digits_put(digits, n);
	char *p = w.s;

	for (size_t i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			*p++ = ',';
		*p++ = digits[i];
	}
	*p = 0;
	return w;
}

struct view_word word_bytes(uint64_t n)
{
	struct view_word w = word_count(n);

	strcat(w.s, n == 1 ? " byte" : " bytes");
	return w;
}

/* N / UNIT with three significant digits: 1.23, 12.3, 123. */
static void three_digits(char *s, size_t size, uint64_t n, uint64_t unit, const char *name)
{
	double v = (double)n / (double)unit;
	int decimals = v < 9.995 ? 2 : v < 99.95 ? 1 : 0;

	snprintf(s, size, "%.*f %s", decimals, v, name);
}

struct view_word word_size(uint64_t n)
{
	static const char *const names[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	struct view_word w;
	unsigned i = 0;
	uint64_t unit = 1024;

	if (n < 1024)
		return word_format("%u B", (unsigned)n);
	while (i < 5 && n / 1024 >= unit) {
		unit *= 1024;
		i++;
	}
	if (n % unit == 0)
		w = word_format("%u %s", (unsigned)(n / unit), names[i]);
	else
		three_digits(w.s, sizeof(w.s), n, unit, names[i]);
	return w;
}

struct view_word word_rate(uint64_t bytes)
{
	static const char *const names[] = { "bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s" };
	struct view_word w;
	uint64_t bits = bytes > UINT64_MAX / 8 ? UINT64_MAX : bytes * 8;
	uint64_t unit = 1;
	unsigned i = 0;

	while (i < 4 && bits / 1000 >= unit) {
		unit *= 1000;
		i++;
	}
	if (i == 0)
		w = word_format("%u bit/s", (unsigned)bits);
	else
		three_digits(w.s, sizeof(w.s), bits, unit, names[i]);
	return w;
}

struct view_word word_ns(uint64_t ns)
{
	uint64_t s = ns / 1000000000;

	if (ns == CPL_TIMER_OFF)
		return word_format("off");
	if (ns == 0)
		return word_format("0 s");
	if (ns < 1000)
		return word_format("%u ns", (unsigned)ns);
	if (ns < 1000000)
		return word_format("%llu us", (unsigned long long)ns / 1000);
	if (ns < 1000000000)
		return word_format("%.1f ms", (double)(ns / 10000) / 100);
	if (s < 120)
		return word_format("%u.%03u s", (unsigned)s, (unsigned)(ns / 1000000 % 1000));
	if (s < 7200)
		return word_format("%u min %02u s", (unsigned)(s / 60), (unsigned)(s % 60));
	if (s < 172800)
		return word_format("%u h %02u min", (unsigned)(s / 3600), (unsigned)(s / 60 % 60));
	return word_format("%llu days %02u h", (unsigned long long)s / 86400,
			   (unsigned)(s / 3600 % 24));
}

struct view_word word_seq(uint32_t seq)
{
	return word_format("%u", seq);
}

struct view_word word_seq_rel(uint32_t seq, uint32_t base, const char *name)
{
	uint32_t above = seq - base;

	if (above == 0)
		return word_format("%s", name);
	if (above < 0xffff0000u) /* beyond 2 GiB the sign cannot tell: count upwards */
		return word_format("%s+%u", name, above);
	return word_format("%s-%u", name, 0u - above);
}

static bool addr_is_any(const struct cpl_addr *addr)
{
	static const struct cpl_addr none;
	struct cpl_addr any4 = cpl_addr4(0, 0, 0, 0);

	return cpl_addr_equal(addr, &none) || cpl_addr_equal(addr, &any4);
}

struct view_word word_addr(const struct cpl_addr *addr)
{
	char text[CPL_ADDR_TEXT];

	cpl_addr_text(addr, text);
	return word_text(text);
}

struct view_word word_endpoint(const struct cpl_addr *addr, uint16_t port)
{
	struct view_word w; /* much longer than "[address]:port" */
	char *p = w.s;

	if (addr_is_any(addr)) {
		*p++ = '*';
	} else if (cpl_addr_is4(addr)) {
		p += cpl_addr_text(addr, p);
	} else {
		*p++ = '[';
		p += cpl_addr_text(addr, p);
		*p++ = ']';
	}
	*p++ = ':';
	if (port)
		digits_put(p, port);
	else
		memcpy(p, "*", 2);
	return w;
}

/* The names of the bits that are set, joined by SEPARATOR. */
static struct view_word bit_names(uint32_t bits, const char *const *names, unsigned n,
				  char separator, const char *none)
{
	struct view_word w;
	size_t at = 0;

	w.s[0] = 0;
	for (unsigned i = 0; i < n; i++)
		if (bits >> i & 1)
			at += (size_t)snprintf(w.s + at, sizeof(w.s) - at, "%.1s%s",
					       at ? &separator : "", names[i]);
	if (!at)
		w = word_format("%s", none);
	return w;
}

struct view_word word_options(uint32_t bits)
{
	static const char *const names[] = { "wscale", "ts", "sack", "ecn", "tfo", "accecn" };

	return bit_names(bits, names, 6, ' ', "none");
}

struct view_word word_accecn(uint32_t bits)
{
	static const char *const names[] = { "sent", "seen", "blocked", "zeroed" };

	return bit_names(bits, names, 4, ' ', "none");
}

struct view_word word_flags(uint32_t flags)
{
	/* SYN, FIN and RST first, ACK last: as people say it. */
	static const char *const names[] = {
		"SYN", "FIN", "RST", "PSH", "URG", "ECE", "CWR", "ACK"
	};
	uint32_t bits = (flags >> 1 & 1) | (flags & 1) << 1 | (flags & 4) | (flags & 8) |
			(flags >> 5 & 1) << 4 | (flags >> 6 & 1) << 5 | (flags >> 7 & 1) << 6 |
			(flags >> 4 & 1) << 7;

	return bit_names(bits, names, 8, ',', "-");
}

struct view_word word_foreign(const char *s)
{
	struct view_word w;
	size_t i;

	for (i = 0; s[i] && i < sizeof(w.s) - 1; i++)
		w.s[i] = s[i] >= 0x20 && s[i] < 0x7f ? s[i] : '?';
	w.s[i] = 0;
	return w;
}

static const char *const states_netstat[CPL_STATES] = {
	"CLOSED",     "LISTEN",	    "SYN_SENT", "SYN_RCVD", "ESTABLISHED", "FIN_WAIT_1",
	"FIN_WAIT_2", "CLOSE_WAIT", "CLOSING",	"LAST_ACK", "TIME_WAIT",
};

static const char *const states_rfc[CPL_STATES] = {
	"CLOSED",     "LISTEN",	    "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1",
	"FIN-WAIT-2", "CLOSE-WAIT", "CLOSING",	"LAST-ACK",	"TIME-WAIT",
};

const char *view_state_name(unsigned state)
{
	return state < CPL_STATES ? states_netstat[state] : "?";
}

const char *view_state_rfc(unsigned state)
{
	return state < CPL_STATES ? states_rfc[state] : "?";
}

int view_state_find(const char *name)
{
	/* As the RFC, BSD's netstat, net-tools and iproute2 spell them, without - and _. */
	static const struct {
		const char *name;
		int state;
	} spellings[] = {
		{ "closed", CPL_CLOSED },	    { "close", CPL_CLOSED },
		{ "listen", CPL_LISTEN },	    { "listening", CPL_LISTEN },
		{ "synsent", CPL_SYN_SENT },	    { "synreceived", CPL_SYN_RECEIVED },
		{ "synrcvd", CPL_SYN_RECEIVED },    { "synrecv", CPL_SYN_RECEIVED },
		{ "established", CPL_ESTABLISHED }, { "estab", CPL_ESTABLISHED },
		{ "finwait1", CPL_FIN_WAIT_1 },	    { "finwait2", CPL_FIN_WAIT_2 },
		{ "closewait", CPL_CLOSE_WAIT },    { "closing", CPL_CLOSING },
		{ "lastack", CPL_LAST_ACK },	    { "timewait", CPL_TIME_WAIT },
	};
	char plain[16];
	size_t n = 0;

	for (; *name; name++) {
		if (*name == '-' || *name == '_')
			continue;
		if (n == sizeof(plain) - 1)
			return -1;
		plain[n++] = *name;
	}
	plain[n] = 0;
	for (size_t i = 0; i < sizeof(spellings) / sizeof(*spellings); i++)
		if (strcasecmp(plain, spellings[i].name) == 0)
			return spellings[i].state;
	return -1;
}

static const char *const why_names[CPL_WHYS][2] = {
	[CPL_WHY_SENDING] = { "sending", "it is sending as fast as the device takes segments" },
	[CPL_WHY_IDLE] = { "idle", "the program gave it nothing to send" },
	[CPL_WHY_HANDSHAKE] = { "handshake", "the handshake is not done" },
	[CPL_WHY_CWND] = { "cwnd", "its congestion window is full" },
	[CPL_WHY_RWND] = { "rwnd", "the peer's window is full" },
	[CPL_WHY_ZERO_WND] = { "zero-wnd", "the peer's window is zero: it probes" },
	[CPL_WHY_NAGLE] = { "nagle", "a short segment waits for an ACK, or for more" },
	[CPL_WHY_PACING] = { "pacing", "the pacer holds the next burst" },
	[CPL_WHY_DEVICE] = { "device", "it awaits the device or the neighbour's address" },
	[CPL_WHY_MEMORY] = { "memory", "the stack has no memory left for it" },
	[CPL_WHY_SNDBUF] = { "sndbuf", "its send buffer is full, and all of that is in flight" },
	[CPL_WHY_RECOVERY] = { "recovery", "it repairs what was lost" },
	[CPL_WHY_CLOSED] = { "closed", "this side is closed: there will be no more data" },
};

const char *view_why_name(unsigned why)
{
	return why < CPL_WHYS ? why_names[why][0] : "?";
}

const char *view_why_text(unsigned why)
{
	return why < CPL_WHYS ? why_names[why][1] : "?";
}

const char *view_recovery_name(unsigned recovery)
{
	static const char *const names[] = { "open", "disorder", "cwr", "recovery", "loss" };

	return recovery < sizeof(names) / sizeof(*names) ? names[recovery] : "?";
}

const char *view_source_name(unsigned source)
{
	static const char *const names[] = { "unknown", "couplet", "kernel", "kernel/bpf",
					     "capture" };

	return source < sizeof(names) / sizeof(*names) ? names[source] : "?";
}

#define DISTANCE_MAX 40

static unsigned lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned)(c - 'A' + 'a') : (unsigned char)c;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	return a < b ? (a < c ? a : c) : (b < c ? b : c);
}

/* Optimal string alignment: Levenshtein's distance with swaps of neighbours. */
unsigned view_distance(const char *a, const char *b)
{
	unsigned d[3][DISTANCE_MAX + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > DISTANCE_MAX || lb > DISTANCE_MAX)
		return 255;
	for (size_t j = 0; j <= lb; j++)
		d[0][j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned *row = d[i % 3], *above = d[(i + 2) % 3], *above2 = d[(i + 1) % 3];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			bool same = lower(a[i - 1]) == lower(b[j - 1]);

			row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + !same);
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
			    lower(a[i - 2]) == lower(b[j - 1]) && above2[j - 2] + 1 < row[j])
				row[j] = above2[j - 2] + 1;
		}
	}
	return d[la % 3][lb];
}
