/* SPDX-License-Identifier: MIT */
/*
 * The step NAME: what the name means, by getaddrinfo(3) as every program asks, and where the answer
 * came from: hosts(5) is read here as well. Where its address does not answer, DNS is asked for
 * what it would have said (RFC 1035), since a forgotten line there is a frequent cause.
 */
#define _GNU_SOURCE /* AI_IDN */
#include "source/stairs_step.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <arpa/nameser.h>
#include <netinet/in.h>

#define HOSTS	   "/etc/hosts"
#define HOSTS_MAX  (256 * 1024)
#define DNS_ANSWER 4096

/* ---- The hosts file -------------------------------------------------------------------------- */

/* True if NAME is one of the words from S to END. */
static bool among(const char *s, const char *end, const char *name)
{
	size_t len = strlen(name);

	while (s < end) {
		const char *word;

		while (s < end && isspace((unsigned char)*s))
			s++;
		word = s;
		while (s < end && !isspace((unsigned char)*s))
			s++;
		if ((size_t)(s - word) == len && strncasecmp(word, name, len) == 0)
			return true;
	}
	return false;
}

unsigned name_hosts_line(const char *text, const char *name)
{
	unsigned line = 1;

	for (; *text; line++) {
		const char *end = text + strcspn(text, "\n");
		const char *comment = memchr(text, '#', (size_t)(end - text));
		const char *last = comment ? comment : end;

		while (text < last && isspace((unsigned char)*text))
			text++;
		while (text < last && !isspace((unsigned char)*text))
			text++; /* the address */
		if (among(text, last, name))
			return line;
		text = *end ? end + 1 : end;
	}
	return 0;
}

static unsigned in_hosts_file(const char *name)
{
	char *text = calloc(1, HOSTS_MAX + 1);
	int fd = open(HOSTS, O_RDONLY | O_CLOEXEC);
	unsigned line = 0;
	size_t n = 0;
	ssize_t got = 1;

	while (text && fd >= 0 && n < HOSTS_MAX && got > 0) {
		got = read(fd, text + n, HOSTS_MAX - n);
		if (got > 0)
			n += (size_t)got;
	}
	if (text)
		line = name_hosts_line(text, name);
	if (fd >= 0)
		close(fd);
	free(text);
	return line;
}

/* ---- DNS ------------------------------------------------------------------------------------- */

/* Past a name of a DNS message (RFC 1035 4.1.4); 0: it is none. */
static size_t name_end(const uint8_t *m, size_t len, size_t at)
{
	while (at < len) {
		if (m[at] >= 0xc0)
			return at + 2 <= len ? at + 2 : 0; /* a pointer ends it */
		if (m[at] >= 0x40)
			return 0;
		if (!m[at])
			return at + 1;
		at += 1u + m[at];
	}
	return 0;
}

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

unsigned name_dns_answers(const uint8_t *m, size_t len, struct cpl_addr *addr, unsigned max)
{
	unsigned questions, answers, n = 0;
	size_t at = 12;

	if (len < 12)
		return 0;
	questions = get16(m + 4);
	answers = get16(m + 6);
	for (; questions; questions--) {
		at = name_end(m, len, at);
		if (!at || at + 4 > len)
			return 0;
		at += 4;
	}
	for (; answers && n < max; answers--) {
		unsigned type, size;

		at = name_end(m, len, at);
		if (!at || at + 10 > len)
			return n;
		type = get16(m + at);
		size = get16(m + at + 8);
		at += 10;
		if (at + size > len)
			return n;
		if (type == ns_t_a && size == 4)
			addr[n++] = cpl_addr4(m[at], m[at + 1], m[at + 2], m[at + 3]);
		else if (type == ns_t_aaaa && size == 16)
			memcpy(addr[n++].b, m + at, 16);
		at += size;
	}
	return n;
}

void name_ask_dns(struct stairs *s)
{
	static const int types[] = { ns_t_a, ns_t_aaaa };
	struct stairs_name *name = &s->name;
	struct __res_state state;
	uint8_t answer[DNS_ANSWER];

	/* RFC 6761 6.3: localhost is nobody else's business. */
	if (name->from != NAME_FROM_HOSTS || strcasecmp(s->o->target.host, "localhost") == 0)
		return;
	memset(&state, 0, sizeof(state));
	if (res_ninit(&state) < 0)
		return;
	state.retrans = 1; /* it is only asked by the way */
	state.retry = 1;
	for (unsigned i = 0; i < 2; i++) {
		int n;

		if (i ? s->o->no_ip6 : s->o->no_ip4)
			continue;
		n = res_nsearch(&state, s->o->target.host, ns_c_in, types[i], answer,
				sizeof(answer));
		if (n > (int)sizeof(answer))
			n = sizeof(answer);
		if (n > 0)
			name->dns_n += name_dns_answers(answer, (size_t)n, name->dns + name->dns_n,
							STAIRS_ADDRESSES - name->dns_n);
	}
	res_nclose(&state);
}

/* ---- getaddrinfo(3) -------------------------------------------------------------------------- */

static bool same_as_before(const struct stairs_name *name, const struct cpl_addr *addr,
			   uint32_t scope)
{
	for (unsigned i = 0; i < name->n; i++)
		if (cpl_addr_equal(&name->addr[i], addr) && name->scope[i] == scope)
			return true;
	return false;
}

static void keep(struct stairs *s, const struct addrinfo *list)
{
	struct stairs_name *name = &s->name;

	for (const struct addrinfo *a = list; a; a = a->ai_next) {
		const struct sockaddr_in *in4 = (const void *)a->ai_addr;
		const struct sockaddr_in6 *in6 = (const void *)a->ai_addr;
		struct cpl_addr addr = cpl_addr4(0, 0, 0, 0);
		uint32_t scope = 0;

		if (a->ai_family == AF_INET) {
			memcpy(addr.b + 12, &in4->sin_addr, 4);
		} else if (a->ai_family == AF_INET6) {
			memcpy(addr.b, &in6->sin6_addr, 16);
			scope = in6->sin6_scope_id;
		} else {
			continue;
		}
		if (same_as_before(name, &addr, scope))
			continue;
		if (name->n == STAIRS_ADDRESSES) {
			name->more++;
			continue;
		}
		name->addr[name->n] = addr;
		name->scope[name->n++] = scope;
	}
}

/* RFC 1035 2.3.4: labels of 1 to 63 octets, 253 in all; NULL: nothing is wrong with it. */
static const char *wrong_with(const char *name)
{
	size_t label = 0, len = strlen(name);

	if (len > 253)
		return "it is longer than 253 characters";
	for (size_t i = 0; i <= len; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c == '.' || !c) {
			if (!label && !(i == len && len))
				return "it has an empty part between two dots";
			label = 0;
		} else if (isspace(c) || iscntrl(c)) {
			return "it has a space or control character in it";
		} else if (strchr("/@\\\"'<>,;!?*(){}|^`", c)) {
			return "it has a character in it that names cannot have";
		} else if (++label > 63) {
			return "a part of it is longer than 63 characters";
		}
	}
	return NULL;
}

static bool fails(struct stairs *s, int error)
{
	const char *host = s->o->target.host;
	const char *wrong = wrong_with(host);
	struct view_finding *f = stairs_find(s, VIEW_FINDING_name_unknown, VIEW_CERTAIN);
	struct view_word shown = word_foreign(host);

	if (wrong) {
		view_finding_say(f, "\"%s\" cannot be a name: %s", shown.s, wrong);
		view_diagnosis_step(s->d, VIEW_STEP_NAME, VIEW_STEP_FAILS,
				    "\"%s\" cannot be a name: %s", shown.s, wrong);
	} else if (error == EAI_AGAIN) {
		view_finding_say(f, "no name server answered for %s (%s)", shown.s,
				 gai_strerror(error));
		snprintf(f->next, sizeof(f->next),
			 "Look whether the name servers of /etc/resolv.conf can be reached; try "
			 "the address itself.");
		view_diagnosis_step(s->d, VIEW_STEP_NAME, VIEW_STEP_FAILS,
				    "%s: no name server answered", shown.s);
	} else if (error == EAI_NODATA || error == EAI_ADDRFAMILY) {
		view_finding_say(f, "%s exists and has no IPv%s address", shown.s,
				 s->o->no_ip4	? "6"
				 : s->o->no_ip6 ? "4"
						: "4 or IPv6");
		view_diagnosis_step(s->d, VIEW_STEP_NAME, VIEW_STEP_FAILS,
				    "%s has no address of that family", shown.s);
	} else {
		view_finding_say(f, "getaddrinfo(\"%s\"): %s", shown.s,
				 error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
		view_diagnosis_step(s->d, VIEW_STEP_NAME, VIEW_STEP_FAILS,
				    "%s is in neither the hosts file nor DNS", shown.s);
	}
	if (s->name.took_ns > 1000000000u)
		view_finding_say(f, "that took %s", word_ns(s->name.took_ns).s);
	return false;
}

static void list(const struct cpl_addr *addr, unsigned n, char *text, size_t size)
{
	size_t at = 0;

	text[0] = 0;
	for (unsigned i = 0; i < n && i < 4 && at < size; i++)
		at += (size_t)snprintf(text + at, size - at, "%s%s", i ? ", " : "",
				       word_addr(&addr[i]).s);
	if (n > 4 && at < size)
		snprintf(text + at, size - at, " and %u more", n - 4);
}

static void holds(struct stairs *s)
{
	struct stairs_name *name = &s->name;
	char addresses[120], where[60] = "from DNS", slow[140] = "";

	list(name->addr, name->n, addresses, sizeof(addresses));
	if (name->from == NAME_LITERAL) {
		view_diagnosis_step(s->d, VIEW_STEP_NAME, VIEW_STEP_NEEDLESS,
				    "%s is an address: no name to look up", addresses);
		return;
	}
	if (name->from == NAME_FROM_HOSTS)
		snprintf(where, sizeof(where), "%s line %u", HOSTS, name->line);
	if (name->took_ns > 1000000000u)
		snprintf(slow, sizeof(slow), " after %s", word_ns(name->took_ns).s);
	view_diagnosis_step(s->d, VIEW_STEP_NAME, VIEW_STEP_HOLDS, "%s (%s)%s", addresses, where,
			    slow);
}

bool stairs_name(struct stairs *s)
{
	const char *host = s->o->target.host;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
	struct addrinfo *list = NULL;
	uint64_t began = stairs_now();
	int err;

	hints.ai_family = s->o->no_ip4 ? AF_INET6 : s->o->no_ip6 ? AF_INET : AF_UNSPEC;
	err = getaddrinfo(host, NULL, &hints, &list);
	if (err) {
		hints.ai_flags = AI_IDN;
		err = wrong_with(host) ? EAI_NONAME : getaddrinfo(host, NULL, &hints, &list);
		s->name.took_ns = stairs_now() - began;
		s->name.line = in_hosts_file(host);
		s->name.from = s->name.line ? NAME_FROM_HOSTS : NAME_FROM_DNS;
	}
	if (!err) {
		keep(s, list);
		freeaddrinfo(list);
	}
	if (!s->name.n)
		return fails(s, err ? err : EAI_NODATA);
	holds(s);
	return true;
}
