/* SPDX-License-Identifier: MIT */
/* Interfaces, addresses and routes of the kernel: rtnetlink(7), one request and its answer at a
 * time. */
#define _GNU_SOURCE
#include "link/kernel_if.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LOCAL_TRIES   1000 /* two seconds */
#define LOCAL_STEP_NS 2000000

struct request {
	struct nlmsghdr nl;
	union {
		struct ifinfomsg link;
		struct ifaddrmsg addr;
		struct rtmsg route;
	};
	uint8_t attributes[256];
};

static void request_init(struct request *q, uint16_t type, uint16_t flags, uint32_t body)
{
	memset(q, 0, sizeof(*q));
	q->nl.nlmsg_type = type;
	q->nl.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	q->nl.nlmsg_len = NLMSG_LENGTH(body);
}

static void attribute(struct request *q, uint16_t type, const void *value, uint16_t len)
{
	struct rtattr *a = (struct rtattr *)(void *)((char *)q + NLMSG_ALIGN(q->nl.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(len);
	memcpy(RTA_DATA(a), value, len);
	q->nl.nlmsg_len = NLMSG_ALIGN(q->nl.nlmsg_len) + RTA_ALIGN(a->rta_len);
}

static void addr_attribute(struct request *q, uint16_t type, const struct cpl_addr *addr)
{
	if (cpl_addr_is4(addr))
		attribute(q, type, addr->b + 12, 4);
	else
		attribute(q, type, addr->b, 16);
}

static uint8_t family(const struct cpl_addr *addr)
{
	return cpl_addr_is4(addr) ? AF_INET : AF_INET6;
}

union answer {
	struct nlmsghdr nl;
	uint8_t buf[2048];
};

/* The first message that the kernel answers: its length, or a negative errno. */
static long exchange(const struct request *q, union answer *answer)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	ssize_t n = -1;
	int err = 0, fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	if (sendto(fd, q, q->nl.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		err = -errno;
	if (!err)
		n = recv(fd, answer, sizeof(*answer), 0);
	if (!err && n < 0)
		err = -errno;
	close(fd);
	if (err)
		return err;
	return NLMSG_OK(&answer->nl, (size_t)n) ? n : -EPROTO;
}

/* The kernel's verdict: 0 or a negative errno. */
static int ask(const struct request *q)
{
	union answer answer;
	const struct nlmsgerr *error;
	long n = exchange(q, &answer);

	if (n < 0)
		return (int)n;
	if (answer.nl.nlmsg_type != NLMSG_ERROR ||
	    answer.nl.nlmsg_len < NLMSG_LENGTH(sizeof(*error)))
		return -EPROTO;
	error = NLMSG_DATA(&answer.nl);
	return error->error == -EEXIST ? 0 : error->error;
}

/* Its number, or a negative errno. */
static int index_of(const char *name, struct link_why *why)
{
	int index = (int)if_nametoindex(name);

	if (index > 0)
		return index;
	return link_fail(why, -ENODEV, "no interface %s: %s", name, strerror(errno));
}

static const char *hint(int err)
{
	return err == -EPERM ? " (it takes CAP_NET_ADMIN in this network namespace)" : "";
}

int kernel_if_up(const char *name, struct link_why *why)
{
	struct request q;
	int err, index = index_of(name, why);

	if (index < 0)
		return index;
	request_init(&q, RTM_NEWLINK, 0, sizeof(q.link));
	q.link.ifi_index = index;
	q.link.ifi_flags = IFF_UP;
	q.link.ifi_change = IFF_UP;
	err = ask(&q);
	if (!err)
		return 0;
	return link_fail(why, err, "cannot bring interface %s up: %s%s", name, strerror(-err),
			 hint(err));
}

static int set_number(const char *name, unsigned short type, const char *what, uint32_t value,
		      struct link_why *why)
{
	struct request q;
	int err, index = index_of(name, why);

	if (index < 0)
		return index;
	request_init(&q, RTM_NEWLINK, 0, sizeof(q.link));
	q.link.ifi_index = index;
	attribute(&q, type, &value, sizeof(value));
	err = ask(&q);
	if (!err)
		return 0;
	return link_fail(why, err, "cannot set the %s of interface %s to %u: %s%s", what, name,
			 value, strerror(-err), hint(err));
}

int kernel_if_set_mtu(const char *name, uint32_t mtu, struct link_why *why)
{
	return set_number(name, IFLA_MTU, "MTU", mtu, why);
}

int kernel_if_set_queue(const char *name, uint32_t packets, struct link_why *why)
{
	return set_number(name, IFLA_TXQLEN, "queue", packets, why);
}

static bool is_up(const char *name)
{
	struct ifreq q = { .ifr_flags = 0 };
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool up;

	snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", name);
	up = fd >= 0 && !ioctl(fd, SIOCGIFFLAGS, &q) && q.ifr_flags & IFF_UP;
	if (fd >= 0)
		close(fd);
	return up;
}

/* Whether the kernel takes packets to ADDR as its own by now. */
static bool is_local(const struct cpl_addr *addr)
{
	union answer answer;
	struct request q;

	request_init(&q, RTM_GETROUTE, 0, sizeof(q.route));
	q.nl.nlmsg_flags = NLM_F_REQUEST;
	q.route.rtm_family = family(addr);
	q.route.rtm_dst_len = cpl_addr_is4(addr) ? 32 : 128;
	addr_attribute(&q, RTA_DST, addr);
	return exchange(&q, &answer) > 0 && answer.nl.nlmsg_type == RTM_NEWROUTE &&
	       answer.nl.nlmsg_len >= NLMSG_LENGTH(sizeof(struct rtmsg)) &&
	       ((struct rtmsg *)NLMSG_DATA(&answer.nl))->rtm_type == RTN_LOCAL;
}

/*
 * An IPv6 address is tentative until a work queue of the kernel comes by, also without duplicate
 * address detection: until then packets to it are dropped, and nothing can be bound to it.
 */
static void await_local(const char *name, const struct cpl_addr *addr)
{
	struct timespec step = { .tv_nsec = LOCAL_STEP_NS };

	if (cpl_addr_is4(addr) || !is_up(name)) /* one that is down will have it when it is up */
		return;
	for (int i = 0; i < LOCAL_TRIES && !is_local(addr); i++)
		nanosleep(&step, NULL);
}

int kernel_if_addr_add(const char *name, const struct cpl_addr *addr, unsigned prefix_len,
		       struct link_why *why)
{
	uint32_t no_dad = IFA_F_NODAD;
	char text[CPL_ADDR_TEXT];
	struct request q;
	int err, index = index_of(name, why);

	if (index < 0)
		return index;
	request_init(&q, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(q.addr));
	q.addr.ifa_family = family(addr);
	q.addr.ifa_prefixlen = (uint8_t)(prefix_len <= 128 ? prefix_len : 255);
	q.addr.ifa_index = (uint32_t)index;
	addr_attribute(&q, IFA_LOCAL, addr);
	addr_attribute(&q, IFA_ADDRESS, addr);
	if (!cpl_addr_is4(addr))
		attribute(&q, IFA_FLAGS, &no_dad, sizeof(no_dad));
	err = ask(&q);
	if (!err) {
		await_local(name, addr);
		return 0;
	}
	cpl_addr_text(addr, text);
	return link_fail(why, err, "cannot give %s/%u to interface %s: %s%s", text, prefix_len,
			 name, strerror(-err), hint(err));
}

int kernel_if_route_add(const char *name, const struct cpl_addr *prefix, unsigned prefix_len,
			const struct cpl_addr *gateway, struct link_why *why)
{
	char text[CPL_ADDR_TEXT];
	struct request q;
	int err, index = index_of(name, why);

	if (index < 0)
		return index;
	request_init(&q, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof(q.route));
	q.route.rtm_family = family(prefix);
	q.route.rtm_dst_len = (uint8_t)(prefix_len <= 128 ? prefix_len : 255);
	q.route.rtm_table = RT_TABLE_MAIN;
	q.route.rtm_protocol = RTPROT_STATIC;
	q.route.rtm_type = RTN_UNICAST;
	q.route.rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	addr_attribute(&q, RTA_DST, prefix);
	attribute(&q, RTA_OIF, &index, sizeof(index));
	if (gateway)
		addr_attribute(&q, RTA_GATEWAY, gateway);
	err = ask(&q);
	if (!err)
		return 0;
	cpl_addr_text(prefix, text);
	return link_fail(why, err, "cannot add a route to %s/%u by interface %s: %s%s", text,
			 prefix_len, name, strerror(-err), hint(err));
}

int kernel_if_set_offload(const char *name, bool on, struct link_why *why)
{
	static const uint32_t switches[] = { ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO,
					     ETHTOOL_SGRO };
	int err = 0, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_value value = { .data = on };
	struct ifreq q = { .ifr_data = (void *)&value };

	if (fd < 0)
		return link_fail(why, -errno, "no socket: %s", strerror(errno));
	snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", name);
	for (unsigned i = 0; i < sizeof(switches) / sizeof(switches[0]) && !err; i++) {
		value.cmd = switches[i];
		if (ioctl(fd, SIOCETHTOOL, &q) && errno != EOPNOTSUPP)
			err = -errno;
	}
	close(fd);
	if (!err)
		return 0;
	return link_fail(why, err, "cannot set the offloads of interface %s: %s%s", name,
			 strerror(-err), hint(err));
}
