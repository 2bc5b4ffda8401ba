/* SPDX-License-Identifier: MIT */
/* Links by what a user calls them: see link.h. */
#define _GNU_SOURCE
#include "link/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *name;
	enum link_kind kind;
	bool named; /* what it is of has to be said */
} kinds[] = {
	{ "tun", LINK_TUN, false },	 { "tap", LINK_TAP, false },
	{ "packet", LINK_PACKET, true }, { "packet3", LINK_PACKET3, true },
	{ "xdp", LINK_XDP, true },	 { "shm", LINK_SHM, true },
};

/* "eth0:3": queue 3. An interface's name has no colon. */
static int parse_queue(struct link_spec *spec, const char *text, struct link_why *why)
{
	char *colon = strchr(spec->name, ':'), *end;
	unsigned long n;

	if (!colon)
		return 0;
	errno = 0;
	n = strtoul(colon + 1, &end, 10);
	if (colon[1] < '0' || colon[1] > '9' || *end || errno || n > 65535)
		return link_fail(why, -EINVAL, "%s: \"%s\" is no number of a queue", text,
				 colon + 1);
	spec->queue = (unsigned)n;
	*colon = 0;
	return 0;
}

int link_parse(struct link_spec *spec, const char *text, struct link_why *why)
{
	size_t n = strcspn(text, "=");
	const char *name = text[n] ? text + n + 1 : "";

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strlen(kinds[i].name) != n || strncmp(text, kinds[i].name, n) != 0)
			continue;
		if ((kinds[i].named || text[n]) && !*name)
			return link_fail(why, -EINVAL, "%s: of which %s? %s=NAME", text,
					 kinds[i].kind == LINK_SHM ? "path" : "interface",
					 kinds[i].name);
		if (strlen(name) >= sizeof(spec->name))
			return link_fail(why, -EINVAL, "%s: the name is too long", text);
		spec->kind = kinds[i].kind;
		strcpy(spec->name, name);
		return spec->kind == LINK_XDP ? parse_queue(spec, text, why) : 0;
	}
	return link_fail(why, -EINVAL,
			 "%s: a link is tun, tap, packet=INTERFACE, xdp=INTERFACE or shm=PATH",
			 text);
}

bool link_has_kernel_end(const struct link_spec *spec)
{
	return spec->kind == LINK_TUN || spec->kind == LINK_TAP;
}

/* Queue number I of N; the first has been opened, if I is not 0. */
static int open_one(struct link **queues, unsigned i, unsigned n, const struct link_spec *s,
		    struct link_why *why)
{
	struct link_tun_config tun = { .name = s->name[0] ? s->name : NULL,
				       .mtu = s->mtu,
				       .no_offload = s->no_offload,
				       .multi_queue = n > 1 };
	struct link_packet_config packet = { .name = s->name,
					     .mtu = s->mtu,
					     .no_offload = s->no_offload,
					     .blocks = s->kind == LINK_PACKET3,
					     .fanout = n > 1 ? (uint16_t)(getpid() | 1) : 0 };
	struct link_xdp_config xdp = { .name = s->name, .mtu = s->mtu, .queue = s->queue + i };
	struct link_shm_config shm = { .path = s->name,
				       .mtu = s->mtu,
				       .no_offload = s->no_offload };

	if (i) {
		tun.name = queues[0]->iface.name;
		memcpy(tun.mac, queues[0]->iface.mac, sizeof(tun.mac));
	}
	switch (s->kind) {
	case LINK_TUN:
		return link_tun_open(&queues[i], &tun, why);
	case LINK_TAP:
		return link_tap_open(&queues[i], &tun, why);
	case LINK_PACKET:
	case LINK_PACKET3:
		return link_packet_open(&queues[i], &packet, why);
	case LINK_XDP:
		return link_xdp_open(&queues[i], &xdp, why);
	case LINK_SHM:
		if (n > 1)
			return link_fail(why, -EINVAL, "shm=%s has one queue, not %u", s->name, n);
		return link_shm_open(&queues[i], &shm, why);
	}
	return link_fail(why, -EINVAL, "no such kind of link");
}

int link_open_queues(struct link **queues, unsigned n, const struct link_spec *spec,
		     struct link_why *why)
{
	int err = 0;

	memset(queues, 0, n * sizeof(*queues));
	for (unsigned i = 0; i < n && !err; i++)
		err = open_one(queues, i, n, spec, why);
	for (unsigned i = 0; i < n && err; i++) {
		link_close(queues[i]);
		queues[i] = NULL;
	}
	return err;
}

int link_open(struct link **link, const struct link_spec *spec, struct link_why *why)
{
	return link_open_queues(link, 1, spec, why);
}
