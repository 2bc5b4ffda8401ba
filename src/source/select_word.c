/* SPDX-License-Identifier: MIT */
/* The words of the grammar of select.h that name connections: ends, owners, states, rows. */
#include "source/select_parser.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "view/field.h"

/* ---- Words ----------------------------------------------------------------------------------- */

/* A whole decimal number of at most MAX. */
bool select_number(const char *s, uint64_t max, uint64_t *value)
{
	char *end;

	if (!isdigit((unsigned char)*s))
		return false;
	errno = 0;
	*value = strtoull(s, &end, 10);
	return !*end && !errno && *value <= max;
}

/* A port by number or, as services(5) has it, by name. "*": any. */
int select_port(struct select_parser *p, const char *s, struct select_point *point)
{
	struct servent *service;
	uint64_t value;

	if (strcmp(s, "*") == 0)
		return 0;
	point->has_port = true;
	if (isdigit((unsigned char)*s)) {
		if (!select_number(s, 65535, &value))
			return select_fail(p, "\"%s\" is no port: ports are 0 to 65535", s);
		point->port = (uint16_t)value;
		return 0;
	}
	service = getservbyname(s, NULL);
	if (!service)
		return select_fail(p, "\"%s\" is neither a port nor the name of a service", s);
	point->port = ntohs((uint16_t)service->s_port);
	return 0;
}

static int parse_scope(struct select_parser *p, const char *s, struct select_point *point)
{
	uint64_t value;

	point->ifindex = if_nametoindex(s);
	if (!point->ifindex && select_number(s, UINT32_MAX, &value))
		point->ifindex = (uint32_t)value;
	return point->ifindex ? 0 : select_fail(p, "there is no interface \"%s\"", s);
}

static int look_up(struct select_parser *p, const char *host, struct select_point *point)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	int err = getaddrinfo(host, NULL, &hints, &list);

	if (err)
		return select_fail(p, "\"%s\" is no address, and cannot be looked up: %s", host,
				   gai_strerror(err));
	for (struct addrinfo *a = list; a && point->addrs < SELECT_ADDRESSES; a = a->ai_next) {
		struct cpl_addr *addr = &point->addr[point->addrs];

		if (a->ai_family == AF_INET) {
			*addr = cpl_addr4(0, 0, 0, 0);
			memcpy(addr->b + 12, &((struct sockaddr_in *)a->ai_addr)->sin_addr, 4);
		} else if (a->ai_family == AF_INET6) {
			memcpy(addr->b, &((struct sockaddr_in6 *)a->ai_addr)->sin6_addr, 16);
		} else {
			continue;
		}
		point->addrs++;
	}
	freeaddrinfo(list);
	return point->addrs ? 0 : select_fail(p, "\"%s\" has no IP address", host);
}

/* 193.233.7/24 is 193.233.7.0/24: octets that the prefix does not need may be left out. */
static void complete(const char *host, char whole[SELECT_WORD + 8])
{
	unsigned dots = 0;

	for (const char *s = host; *s; s++)
		dots += *s == '.';
	snprintf(whole, SELECT_WORD + 8, "%s%s", host,
		 *host && host[strspn(host, "0123456789.")] == 0 && dots < 3 ? &".0.0.0"[2 * dots]
									     : "");
}

/* HOST is an address with prefix or scope, or "*", or a name. */
static int parse_host(struct select_parser *p, char *host, struct select_point *point)
{
	char *slash = strchr(host, '/'), *scope, whole[SELECT_WORD + 8];
	uint64_t length;

	if (strcmp(host, "*") == 0)
		return 0;
	if (slash) {
		*slash++ = 0;
		complete(host, whole);
		host = whole;
	}
	scope = strchr(host, '%');
	if (scope) {
		*scope++ = 0;
		if (parse_scope(p, scope, point))
			return -1;
	}
	if (cpl_addr_parse(&point->addr[0], host)) {
		bool digits = host[strspn(host, "0123456789.")] == 0;

		if (digits || strchr(host, ':') || slash || scope)
			return select_fail(p, "\"%s\" is no address", host);
		point->prefix = 128;
		return look_up(p, host, point);
	}
	point->addrs = 1;
	point->prefix = cpl_addr_is4(&point->addr[0]) ? 32 : 128;
	if (slash) {
		if (!select_number(slash, point->prefix, &length))
			return select_fail(p, "\"/%s\" is no prefix length: 0 to %u", slash,
					   point->prefix);
		point->prefix = (unsigned)length;
	}
	return 0;
}

/* True if S is an address as it stands, port or none: what has several colons is IPv6. */
static bool is_address(const char *s)
{
	struct cpl_addr addr;
	char host[SELECT_WORD];
	size_t len = strcspn(s, "%/");

	memcpy(host, s, len);
	host[len] = 0;
	return cpl_addr_parse(&addr, host) == 0;
}

/* ADDRESS, ADDRESS:PORT, [ADDRESS]:PORT, :PORT, HOST:PORT. */
int select_point(struct select_parser *p, const char *s, struct select_point *point)
{
	char host[SELECT_WORD];
	const char *port = NULL;

	memset(point, 0, sizeof(*point));
	snprintf(host, sizeof(host), "%s", s);
	if (host[0] == '[') {
		char *end = strchr(host, ']');

		if (!end)
			return select_fail(p, "\"[\" without \"]\"");
		*end = 0;
		memmove(host, host + 1, (size_t)(end - host));
		port = s + (end - host) + 1;
		if (*port && *port != ':')
			return select_fail(p, "behind \"]\" comes \":\" and a port");
		port = *port ? port + 1 : NULL;
	} else if (!is_address(host)) {
		char *colon = strrchr(host, ':');

		if (colon) {
			*colon = 0;
			port = s + (colon - host) + 1;
		}
	}
	if (port && !*port)
		return select_fail(p, "behind \":\" comes a port");
	if (host[0] || !port)
		if (parse_host(p, host, point))
			return -1;
	return port ? select_port(p, port, point) : 0;
}

/* Whether S can only be meant as an address or endpoint. */
static bool looks_like_point(const char *s)
{
	if (strchr(s, ':'))
		return true;
	return is_address(s) || (strpbrk(s, "./") && s[strspn(s, "0123456789./")] == 0);
}

/* Both ends, a dash between them. */
static int parse_pair(struct select_parser *p, const char *s)
{
	/* Names of hosts hold dashes too: take one that has an end on each side. */
	for (const char *dash = strchr(s, '-'); dash; dash = strchr(dash + 1, '-')) {
		char left[SELECT_WORD];
		struct select_node *n;
		int at;

		memcpy(left, s, (size_t)(dash - s));
		left[dash - s] = 0;
		if (!left[0] || !looks_like_point(left) || !dash[1] || !looks_like_point(dash + 1))
			continue;
		at = select_node(p, SELECT_PAIR);
		if (at < 0)
			return -1;
		n = &p->select->node[at];
		if (select_point(p, left, &n->point[0]) || select_point(p, dash + 1, &n->point[1]))
			return -1;
		return at;
	}
	return -2;
}

static int state_node(struct select_parser *p, unsigned states)
{
	int at = select_node(p, SELECT_STATE);

	if (at >= 0)
		p->select->node[at].states = states;
	return at;
}

static unsigned state_group(const char *s)
{
	static const unsigned small = SOURCE_STATE(CPL_SYN_RECEIVED) | SOURCE_STATE(CPL_TIME_WAIT);
	unsigned connected = SOURCE_USUAL_STATES & ~SOURCE_STATE(CPL_LISTEN);
	int state = view_state_find(s);

	if (state >= 0)
		return SOURCE_STATE((unsigned)state);
	if (strcasecmp(s, "all") == 0)
		return SOURCE_ALL_STATES;
	if (strcasecmp(s, "connected") == 0)
		return connected;
	if (strcasecmp(s, "synchronized") == 0)
		return connected & ~SOURCE_STATE(CPL_SYN_SENT);
	if (strcasecmp(s, "bucket") == 0)
		return small;
	if (strcasecmp(s, "big") == 0)
		return SOURCE_USUAL_STATES & ~small;
	return 0;
}

int select_state(struct select_parser *p, const char *s)
{
	unsigned states = state_group(s), best = CPL_STATES, near = 3;

	if (states)
		return state_node(p, states);
	for (unsigned i = 0; i < CPL_STATES; i++) {
		unsigned d = view_distance(s, view_state_name(i));

		if (d < near) {
			near = d;
			best = i;
		}
	}
	if (best < CPL_STATES)
		return select_fail(p, "there is no state \"%s\"; did you mean %s?", s,
				   view_state_name(best));
	return select_fail(
		p,
		"there is no state \"%s\"; they are LISTEN, SYN_SENT, SYN_RCVD, ESTABLISHED, "
		"FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT, CLOSED",
		s);
}

int select_field(struct select_parser *p, enum cpl_field field, enum select_op op, uint64_t value)
{
	int at = select_node(p, SELECT_FIELD);

	if (at >= 0) {
		p->select->node[at].field = field;
		p->select->node[at].op = op;
		p->select->node[at].value = value;
	}
	return at;
}

int select_program(struct select_parser *p, enum select_op op, const char *name)
{
	int at = select_node(p, SELECT_PROGRAM);

	if (at < 0)
		return -1;
	if (strlen(name) > 31)
		return select_fail(p, "the name of a program has at most 15 letters");
	if (op != SELECT_EQ && op != SELECT_NE)
		return select_fail(p, "a program's name can only be compared with = and !=");
	p->select->node[at].op = op;
	strcpy(p->select->node[at].name, name);
	return at;
}

int select_path(struct select_parser *p, enum select_op op, const char *path)
{
	int at = select_node(p, SELECT_PATH);

	if (at < 0)
		return -1;
	if (op != SELECT_EQ && op != SELECT_NE)
		return select_fail(p, "a path can only be compared with = and !=");
	if (strlen(path) >= sizeof(p->select->node[at].name))
		return select_fail(p, "the path of a UNIX socket has at most 108 letters");
	p->select->node[at].op = op;
	strcpy(p->select->node[at].name, path);
	return at;
}

int select_device(struct select_parser *p, enum select_op op, const char *name)
{
	uint64_t index = if_nametoindex(name);

	if (op != SELECT_EQ && op != SELECT_NE)
		return select_fail(p, "an interface can only be compared with = and !=");
	if (!index && (!select_number(name, UINT32_MAX, &index) || !index))
		return select_fail(p, "there is no interface \"%s\"", name);
	return select_field(p, CPL_F_ifindex, op, index);
}

int select_autobound(struct select_parser *p)
{
	FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	unsigned low = 32768, high = 60999; /* Linux's own choice */

	if (file && fscanf(file, "%u %u", &low, &high) != 2)
		low = 32768, high = 60999;
	if (file)
		fclose(file);
	return select_join(p, SELECT_AND, select_field(p, CPL_F_local_port, SELECT_GE, low),
			   select_field(p, CPL_F_local_port, SELECT_LE, high));
}

/* KEY:VALUE with one of our keys. As in all that follow, -2: it is no such word. */
static int parse_keyed(struct select_parser *p, const char *s)
{
	static const struct {
		const char *key;
		int field; /* -1: program, -2: state */
	} keys[] = {
		{ "pid:", CPL_F_pid }, { "uid:", CPL_F_uid }, { "inode:", CPL_F_inode },
		{ "id:", CPL_F_id },   { "fd:", CPL_F_fd },   { "netns:", CPL_F_netns },
		{ "program:", -1 },    { "state:", -2 },
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		size_t len = strlen(keys[i].key);
		uint64_t value;

		if (strncmp(s, keys[i].key, len) != 0)
			continue;
		if (keys[i].field == -1)
			return select_program(p, SELECT_EQ, s + len);
		if (keys[i].field == -2)
			return select_state(p, s + len);
		if (!select_number(s + len, UINT64_MAX, &value))
			return select_fail(p, "behind \"%s\" comes a number", keys[i].key);
		return select_field(p, (enum cpl_field)keys[i].field, SELECT_EQ, value);
	}
	return -2;
}

static int parse_protocol(struct select_parser *p, const char *s)
{
	static const struct {
		const char *word;
		enum cpl_field field;
		uint64_t value;
	} words[] = {
		{ "tcp", CPL_F_protocol, 6 }, { "udp", CPL_F_protocol, 17 },
		{ "unix", CPL_F_family, 1 },  { "ip4", CPL_F_family, 4 },
		{ "inet", CPL_F_family, 4 },  { "ip6", CPL_F_family, 6 },
		{ "inet6", CPL_F_family, 6 },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(s, words[i].word) == 0)
			return select_field(p, words[i].field, SELECT_EQ, words[i].value);
	return -2;
}

/* One word that names connections by itself. */
int select_name(struct select_parser *p, const char *s)
{
	uint64_t value;
	int at;

	if (s[0] == '#') {
		if (!select_number(s + 1, SIZE_MAX, &value) || !value)
			return select_fail(p, "behind \"#\" comes the number of a row, from 1");
		at = select_node(p, SELECT_ROW);
		if (at >= 0)
			p->select->node[at].value = value;
		return at;
	}
	at = parse_keyed(p, s);
	if (at == -2)
		at = parse_protocol(p, s);
	if (at != -2)
		return at;
	if (view_state_find(s) >= 0)
		return select_state(p, s);
	if (select_number(s, UINT64_MAX, &value))
		return select_fail(
			p,
			"\"%s\" may be a port (:%s), a process (pid:%s) or a row (#%s): write "
			"which",
			s, s, s, s);
	if (s[0] == '/' || s[0] == '@')
		return select_path(p, SELECT_EQ, s);
	at = parse_pair(p, s);
	if (at != -2)
		return at;
	if (!looks_like_point(s))
		return select_program(p, SELECT_EQ, s);
	at = select_node(p, SELECT_POINT);
	if (at < 0 || select_point(p, s, &p->select->node[at].point[0]))
		return -1;
	return at;
}
