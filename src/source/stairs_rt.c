/* SPDX-License-Identifier: MIT */
/* Links, addresses, routes and neighbours by rtnetlink(7): see stairs_rt.h. */
#include "source/stairs_rt.h"

#include <errno.h>
#include <string.h>

unsigned rt_common_prefix(const struct cpl_addr *a, const struct cpl_addr *b)
{
	unsigned from = cpl_addr_is4(a) ? 12 : 0;
	unsigned bits = 0;

	if (cpl_addr_is4(a) != cpl_addr_is4(b))
		return 0;
	for (unsigned i = from; i < 16; i++) {
		uint8_t differ = a->b[i] ^ b->b[i];

		if (differ)
			return bits + (unsigned)__builtin_clz(differ) - 24;
		bits += 8;
	}
	return bits;
}

#ifndef HAVE_LIBMNL

int rt_links(rt_visit_link visit, void *arg)
{
	(void)visit, (void)arg;
	return -ENOSYS;
}

int rt_link(uint32_t ifindex, struct rt_link *link)
{
	(void)ifindex, (void)link;
	return -ENOSYS;
}

int rt_addresses(rt_visit_address visit, void *arg)
{
	(void)visit, (void)arg;
	return -ENOSYS;
}

int rt_neighbours(uint32_t ifindex, rt_visit_neighbour visit, void *arg)
{
	(void)ifindex, (void)visit, (void)arg;
	return -ENOSYS;
}

int rt_neighbour(uint32_t ifindex, const struct cpl_addr *addr, struct rt_neighbour *neighbour)
{
	(void)ifindex, (void)addr, (void)neighbour;
	return -ENOSYS;
}

int rt_route(const struct cpl_addr *to, uint32_t ifindex, struct rt_route *route)
{
	(void)to, (void)ifindex, (void)route;
	return -ENOSYS;
}

int rt_rules(bool ip4, unsigned *rules)
{
	(void)ip4, (void)rules;
	return -ENOSYS;
}

#else

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <libmnl/libmnl.h>

#define BUFFER	   (32 * 1024)
/* No answer for so long: something is wrong with this kernel. */
#define PATIENCE_S 5
#define ATTRIBUTES 64

/* Attributes of one message by number; a number that is too high is of a newer kernel. */
struct attributes {
	const struct nlattr *at[ATTRIBUTES];
};

static int attribute(const struct nlattr *attr, void *data)
{
	struct attributes *a = data;

	if (mnl_attr_get_type(attr) < ATTRIBUTES)
		a->at[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

static bool get_u32(const struct attributes *a, unsigned type, uint32_t *value)
{
	if (!a->at[type] || mnl_attr_get_payload_len(a->at[type]) < sizeof(*value))
		return false;
	*value = mnl_attr_get_u32(a->at[type]);
	return true;
}

static bool bytes_addr(const void *data, size_t len, struct cpl_addr *addr)
{
	if (len == 4) {
		*addr = cpl_addr4(0, 0, 0, 0);
		memcpy(addr->b + 12, data, 4);
		return true;
	}
	if (len == 16)
		memcpy(addr->b, data, 16);
	return len == 16;
}

static bool get_addr(const struct attributes *a, unsigned type, struct cpl_addr *addr)
{
	return a->at[type] && bytes_addr(mnl_attr_get_payload(a->at[type]),
					 mnl_attr_get_payload_len(a->at[type]), addr);
}

static uint8_t get_mac(const struct attributes *a, unsigned type, uint8_t mac[RT_MAC])
{
	size_t len = a->at[type] ? mnl_attr_get_payload_len(a->at[type]) : 0;

	if (len > RT_MAC)
		return 0;
	if (len)
		memcpy(mac, mnl_attr_get_payload(a->at[type]), len);
	return (uint8_t)len;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

/* Sends the request in BUFFER, and each answer to CALL. */
static int ask(char *buffer, struct nlmsghdr *h, mnl_cb_t call, void *arg)
{
	struct timeval patience = { .tv_sec = PATIENCE_S };
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	bool dump = (h->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	int run = MNL_CB_OK, err = 0;

	if (!nl)
		return -errno;
	h->nlmsg_seq = 1;
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVTIMEO, &patience,
		       sizeof(patience)) < 0 ||
	    mnl_socket_sendto(nl, h, h->nlmsg_len) < 0)
		err = -errno;
	while (!err && run > MNL_CB_STOP) {
		ssize_t n = mnl_socket_recvfrom(nl, buffer, BUFFER);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err = errno == EAGAIN ? -ETIMEDOUT : -errno;
			break;
		}
		run = mnl_cb_run(buffer, (size_t)n, 1, mnl_socket_get_portid(nl), call, arg);
		if (run < MNL_CB_STOP)
			err = -errno;
		if (!dump)
			break; /* one question, one answer */
	}
	mnl_socket_close(nl);
	return err;
}

/* A request with an empty header of SIZE bytes, whose first byte is the family. */
static struct nlmsghdr *request(char *buffer, uint16_t type, uint16_t flags, uint8_t family,
				size_t size, void **extra)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	*extra = mnl_nlmsg_put_extra_header(h, size);
	*(uint8_t *)*extra = family;
	return h;
}

struct visit {
	rt_visit_link link;
	rt_visit_address address;
	rt_visit_neighbour neighbour;
	void *arg;
	uint32_t ifindex; /* neighbours: of this link only; 0: all */
};

static int dump(uint16_t type, size_t size, mnl_cb_t call, struct visit *v)
{
	char *buffer = malloc(BUFFER);
	struct nlmsghdr *h;
	void *extra;
	int err;

	if (!buffer)
		return -ENOMEM;
	h = request(buffer, type, NLM_F_DUMP, AF_UNSPEC, size, &extra);
	err = ask(buffer, h, call, v);
	free(buffer);
	return err;
}

/* ---- Links ----------------------------------------------------------------------------------- */

static bool fill_link(struct rt_link *link, const struct nlmsghdr *h)
{
	const struct ifinfomsg *m = mnl_nlmsg_get_payload(h);
	struct attributes a = { { NULL } };

	memset(link, 0, sizeof(*link));
	if (h->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(h) < sizeof(*m))
		return false;
	mnl_attr_parse(h, sizeof(*m), attribute, &a);
	link->ifindex = (uint32_t)m->ifi_index;
	link->flags = m->ifi_flags;
	link->type = m->ifi_type;
	get_u32(&a, IFLA_MTU, &link->mtu);
	link->mac_len = get_mac(&a, IFLA_ADDRESS, link->mac);
	if (a.at[IFLA_IFNAME]) {
		size_t len = mnl_attr_get_payload_len(a.at[IFLA_IFNAME]);

		if (len > sizeof(link->name) - 1)
			len = sizeof(link->name) - 1;
		memcpy(link->name, mnl_attr_get_payload(a.at[IFLA_IFNAME]), len);
	}
	return true;
}

static int visit_link(const struct nlmsghdr *h, void *data)
{
	const struct visit *v = data;
	struct rt_link link;

	if (!fill_link(&link, h))
		return MNL_CB_OK;
	return v->link(v->arg, &link) ? MNL_CB_STOP : MNL_CB_OK;
}

int rt_links(rt_visit_link visit, void *arg)
{
	struct visit v = { .link = visit, .arg = arg };

	return dump(RTM_GETLINK, sizeof(struct ifinfomsg), visit_link, &v);
}

struct find_link {
	uint32_t ifindex;
	struct rt_link *link;
	bool found;
};

static int same_link(void *arg, const struct rt_link *link)
{
	struct find_link *f = arg;

	f->found = link->ifindex == f->ifindex;
	if (f->found)
		*f->link = *link;
	return f->found;
}

int rt_link(uint32_t ifindex, struct rt_link *link)
{
	struct find_link f = { ifindex, link, false };
	int err = rt_links(same_link, &f);

	return err ? err : f.found ? 0 : -ENODEV;
}

/* ---- Addresses ------------------------------------------------------------------------------- */

static int visit_address(const struct nlmsghdr *h, void *data)
{
	const struct visit *v = data;
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	struct rt_address address = { 0 };
	struct attributes a = { { NULL } };

	if (h->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(h) < sizeof(*m))
		return MNL_CB_OK;
	mnl_attr_parse(h, sizeof(*m), attribute, &a);
	/* On a point-to-point link IFA_ADDRESS is the other end's. */
	if (!get_addr(&a, IFA_LOCAL, &address.addr) && !get_addr(&a, IFA_ADDRESS, &address.addr))
		return MNL_CB_OK;
	address.ifindex = m->ifa_index;
	address.prefix = m->ifa_prefixlen;
	address.scope = m->ifa_scope;
	if (!get_u32(&a, IFA_FLAGS, &address.flags))
		address.flags = m->ifa_flags;
	return v->address(v->arg, &address) ? MNL_CB_STOP : MNL_CB_OK;
}

int rt_addresses(rt_visit_address visit, void *arg)
{
	struct visit v = { .address = visit, .arg = arg };

	return dump(RTM_GETADDR, sizeof(struct ifaddrmsg), visit_address, &v);
}

/* ---- Neighbours ------------------------------------------------------------------------------ */

static int visit_neighbour(const struct nlmsghdr *h, void *data)
{
	const struct visit *v = data;
	const struct ndmsg *m = mnl_nlmsg_get_payload(h);
	struct rt_neighbour neighbour = { 0 };
	struct attributes a = { { NULL } };

	if (h->nlmsg_type != RTM_NEWNEIGH || mnl_nlmsg_get_payload_len(h) < sizeof(*m))
		return MNL_CB_OK;
	if (v->ifindex && (uint32_t)m->ndm_ifindex != v->ifindex)
		return MNL_CB_OK;
	mnl_attr_parse(h, sizeof(*m), attribute, &a);
	if (!get_addr(&a, NDA_DST, &neighbour.addr))
		return MNL_CB_OK;
	neighbour.ifindex = (uint32_t)m->ndm_ifindex;
	neighbour.state = m->ndm_state;
	neighbour.mac_len = get_mac(&a, NDA_LLADDR, neighbour.mac);
	return v->neighbour(v->arg, &neighbour) ? MNL_CB_STOP : MNL_CB_OK;
}

int rt_neighbours(uint32_t ifindex, rt_visit_neighbour visit, void *arg)
{
	struct visit v = { .neighbour = visit, .arg = arg, .ifindex = ifindex };

	return dump(RTM_GETNEIGH, sizeof(struct ndmsg), visit_neighbour, &v);
}

struct find_neighbour {
	const struct cpl_addr *addr;
	struct rt_neighbour *neighbour;
	bool found;
};

static int same_neighbour(void *arg, const struct rt_neighbour *neighbour)
{
	struct find_neighbour *f = arg;

	f->found = cpl_addr_equal(f->addr, &neighbour->addr);
	if (f->found)
		*f->neighbour = *neighbour;
	return f->found;
}

int rt_neighbour(uint32_t ifindex, const struct cpl_addr *addr, struct rt_neighbour *neighbour)
{
	struct find_neighbour f = { addr, neighbour, false };
	int err = rt_neighbours(ifindex, same_neighbour, &f);

	return err ? err : f.found ? 0 : -ENOENT;
}

/* ---- Routes ---------------------------------------------------------------------------------- */

static int visit_metric(const struct nlattr *attr, void *data)
{
	struct rt_route *route = data;

	if (mnl_attr_get_type(attr) == RTAX_MTU && mnl_attr_get_payload_len(attr) >= 4)
		route->mtu = mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

/* The gateway of an IPv4 route may be an IPv6 address (RFC 5549). */
static bool get_via(const struct attributes *a, struct cpl_addr *gateway)
{
	const struct rtvia *via = a->at[RTA_VIA] ? mnl_attr_get_payload(a->at[RTA_VIA]) : NULL;
	size_t len = via ? mnl_attr_get_payload_len(a->at[RTA_VIA]) : 0;

	return len > sizeof(*via) && bytes_addr(via->rtvia_addr, len - sizeof(*via), gateway);
}

static int visit_route(const struct nlmsghdr *h, void *data)
{
	struct rt_route *route = data;
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	const struct rta_cacheinfo *cache;
	struct attributes a = { { NULL } };

	if (h->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(h) < sizeof(*m))
		return MNL_CB_OK;
	mnl_attr_parse(h, sizeof(*m), attribute, &a);
	route->type = m->rtm_type;
	route->table = m->rtm_table;
	get_u32(&a, RTA_TABLE, &route->table);
	get_u32(&a, RTA_OIF, &route->ifindex);
	route->has_source = get_addr(&a, RTA_PREFSRC, &route->source);
	route->has_gateway =
		get_addr(&a, RTA_GATEWAY, &route->gateway) || get_via(&a, &route->gateway);
	if (a.at[RTA_METRICS])
		mnl_attr_parse_nested(a.at[RTA_METRICS], visit_metric, route);
	/* IPv6 answers with a route that holds the error. */
	if (a.at[RTA_CACHEINFO] &&
	    mnl_attr_get_payload_len(a.at[RTA_CACHEINFO]) >= sizeof(*cache)) {
		cache = mnl_attr_get_payload(a.at[RTA_CACHEINFO]);
		if ((int32_t)cache->rta_error < 0)
			route->error = (int32_t)cache->rta_error;
	}
	return MNL_CB_OK;
}

/* The entry that matched, as it was configured: only its length is of use. */
static int visit_entry(const struct nlmsghdr *h, void *data)
{
	struct rt_route *route = data;
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);

	if (h->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(h) < sizeof(*m))
		return MNL_CB_OK;
	route->prefix = m->rtm_dst_len;
	route->has_prefix = true;
	return MNL_CB_OK;
}

static int ask_route(char *buffer, const struct cpl_addr *to, uint32_t ifindex, uint32_t flags,
		     mnl_cb_t call, struct rt_route *route)
{
	bool ip4 = cpl_addr_is4(to);
	struct nlmsghdr *h;
	struct rtmsg *m;
	void *extra;

	h = request(buffer, RTM_GETROUTE, 0, ip4 ? AF_INET : AF_INET6, sizeof(*m), &extra);
	m = extra;
	m->rtm_dst_len = ip4 ? 32 : 128;
	m->rtm_flags = flags;
	mnl_attr_put(h, RTA_DST, ip4 ? 4 : 16, to->b + (ip4 ? 12 : 0));
	if (ifindex)
		mnl_attr_put_u32(h, RTA_OIF, ifindex);
	return ask(buffer, h, call, route);
}

int rt_route(const struct cpl_addr *to, uint32_t ifindex, struct rt_route *route)
{
	char *buffer = malloc(BUFFER);
	int err;

	memset(route, 0, sizeof(*route));
	if (!buffer)
		return -ENOMEM;
	err = ask_route(buffer, to, ifindex, RTM_F_LOOKUP_TABLE, visit_route, route);
	if (err == -ENETUNREACH || err == -EHOSTUNREACH || err == -EACCES || err == -EINVAL ||
	    err == -EAGAIN) {
		route->error = err == -EAGAIN ? -ENETUNREACH : err;
		err = 0;
	}
	if (!err && !route->error)
		ask_route(buffer, to, ifindex, RTM_F_FIB_MATCH, visit_entry, route);
	free(buffer);
	return err;
}

/* ---- Rules ----------------------------------------------------------------------------------- */

/* Every namespace has three (IPv6: two): to the tables local, main and, IPv4, default. */
static int visit_rule(const struct nlmsghdr *h, void *data)
{
	unsigned *rules = data;
	const struct fib_rule_hdr *m = mnl_nlmsg_get_payload(h);
	struct attributes a = { { NULL } };
	uint32_t priority = 0;

	if (h->nlmsg_type != RTM_NEWRULE || mnl_nlmsg_get_payload_len(h) < sizeof(*m))
		return MNL_CB_OK;
	mnl_attr_parse(h, sizeof(*m), attribute, &a);
	get_u32(&a, FRA_PRIORITY, &priority);
	if (priority != 0 && priority != 32766 && priority != 32767)
		++*rules;
	return MNL_CB_OK;
}

int rt_rules(bool ip4, unsigned *rules)
{
	char *buffer = malloc(BUFFER);
	struct nlmsghdr *h;
	void *extra;
	int err;

	*rules = 0;
	if (!buffer)
		return -ENOMEM;
	h = request(buffer, RTM_GETRULE, NLM_F_DUMP, ip4 ? AF_INET : AF_INET6,
		    sizeof(struct fib_rule_hdr), &extra);
	err = ask(buffer, h, visit_rule, rules);
	free(buffer);
	return err;
}

#endif
