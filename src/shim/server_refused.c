/* SPDX-License-Identifier: MIT */
/*
 * What the user is to be told of. Options of sockets that Couplet does not have: setsockopt(2)
 * fails as its man page says; which it was, each once. Programs that shut themselves in
 * (sandbox.c).
 */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "shim/server_inside.h"

#define NAMED(level, name)                                                                         \
	{                                                                                          \
		level, name, #name                                                                 \
	}

/* Those that programs ask for. */
static const struct {
	int level, name;
	const char *text;
} names[] = {
	NAMED(SOL_SOCKET, SO_ATTACH_FILTER),
	NAMED(SOL_SOCKET, SO_ATTACH_BPF),
	NAMED(SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF),
	NAMED(SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF),
	NAMED(SOL_SOCKET, SO_LOCK_FILTER),
	NAMED(SOL_SOCKET, SO_PEEK_OFF),
	NAMED(SOL_SOCKET, SO_TIMESTAMPING),
	NAMED(SOL_SOCKET, SO_TXTIME),
	NAMED(SOL_SOCKET, SO_ZEROCOPY),
	NAMED(IPPROTO_TCP, TCP_ULP),
	NAMED(IPPROTO_TCP, TCP_MD5SIG),
	NAMED(IPPROTO_TCP, TCP_MD5SIG_EXT),
	NAMED(IPPROTO_TCP, TCP_REPAIR),
	NAMED(IPPROTO_TCP, TCP_TIMESTAMP),
	NAMED(IPPROTO_TCP, TCP_TX_DELAY),
	NAMED(IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE),
	NAMED(IPPROTO_IP, IP_OPTIONS),
	NAMED(IPPROTO_IP, IP_ADD_MEMBERSHIP),
	NAMED(IPPROTO_IP, IP_MULTICAST_IF),
	NAMED(IPPROTO_IP, MCAST_JOIN_GROUP),
	NAMED(IPPROTO_IPV6, IPV6_JOIN_GROUP),
	NAMED(IPPROTO_IPV6, IPV6_MULTICAST_IF),
	NAMED(IPPROTO_IPV6, IPV6_RTHDR),
	NAMED(IPPROTO_IPV6, MCAST_JOIN_GROUP),
};

static void name_text(int level, int name, char text[64])
{
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].level == level && names[i].name == name) {
			snprintf(text, 64, "%s", names[i].text);
			return;
		}
	snprintf(text, 64, "socket option %d of level %d", name, level);
}

void refused_say(struct shim_server *s, const struct client *c)
{
	char text[64], who[40] = "a program";
	int level, name;

	while (sockets_refused(s->sockets, s->refused_told, &level, &name)) {
		s->refused_told++;
		if (level < 0) /* a setting: whoever set it knows */
			continue;
		name_text(level, name, text);
		if (c)
			snprintf(who, sizeof(who), "%s (process %u)", c->program, c->pid);
		server_say(s, "%s asks for %s, which is not there: refused", who, text);
	}
}

void shut_in_say(const struct client *c, uint64_t lacks)
{
#define NAME(name) #name,
	static const char *const needs[] = { SHIM_NEEDS(NAME) };
#undef NAME
	char text[64] = "";
	size_t n = 0;

	for (unsigned i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if (lacks >> i & 1)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? ", " : "",
					      needs[i]);
	server_say(c->server,
		   "%s (process %u) installs a filter of system calls (seccomp) without %s, which "
		   "its sockets need: it may end there",
		   c->program, c->pid, text);
}
