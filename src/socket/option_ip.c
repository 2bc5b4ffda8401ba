/* SPDX-License-Identifier: MIT */
/* Options of IPPROTO_IP (ip(7)) and IPPROTO_IPV6 (ipv6(7)). */
#include "socket/sock.h"

#include <netinet/ip.h>

#define RANGE_(low, high) low, high

static const struct option_def ip_defs[] = {
	{ IP_TOS, OPT_TOS, RANGE_(INT32_MIN, INT32_MAX), 0, 0 },
	{ IP_TTL, OPT_TTL, RANGE_(-1, 255), -1, 0 },
	{ IP_MULTICAST_TTL, OPT_MULTICAST_TTL, RANGE_(-1, 255), 1, 0 },
	{ IP_MULTICAST_LOOP, OPT_MULTICAST_LOOP, 0, 0, 1, 0 },
	{ IP_PKTINFO, OPT_PKTINFO, 0, 0, 0, 0 },
	{ IP_RECVTTL, OPT_RECVTTL, 0, 0, 0, 0 },
	{ IP_RECVTOS, OPT_RECVTOS, 0, 0, 0, 0 },
	{ IP_RECVERR, OPT_RECVERR, 0, 0, 0, 0 },
	{ IP_RECVORIGDSTADDR, OPT_RECVORIGDST, 0, 0, 0, 0 },
	{ IP_MTU_DISCOVER, OPT_MTU_DISCOVER, RANGE_(0, 5), 1, 0 },
	{ IP_FREEBIND, OPT_FREEBIND, 0, 0, 0, 0 },
	{ IP_TRANSPARENT, OPT_TRANSPARENT, 0, 0, 0, 0 },
	{ IP_MINTTL, OPT_MINTTL, RANGE_(0, 255), 0, 0 },
	{ 24 /* IP_BIND_ADDRESS_NO_PORT */, OPT_BIND_NO_PORT, 0, 0, 0, 0 },
	{ 51 /* IP_LOCAL_PORT_RANGE */, OPT_LOCAL_PORT_RANGE, RANGE_(INT32_MIN, INT32_MAX), 0, 0 },
};
const struct option_level options_ip = { ip_defs, sizeof(ip_defs) / sizeof(ip_defs[0]) };

static const struct option_def ip6_defs[] = {
	{ IPV6_V6ONLY, OPT_V6ONLY, 0, 0, 0, 0 },
	{ IPV6_UNICAST_HOPS, OPT_HOPS, RANGE_(-1, 255), -1, 0 },
	{ IPV6_MULTICAST_HOPS, OPT_MULTICAST_HOPS, RANGE_(-1, 255), 1, 0 },
	{ IPV6_MULTICAST_LOOP, OPT_MULTICAST_LOOP6, RANGE_(0, 1), 1, 0 },
	{ IPV6_TCLASS, OPT_TCLASS, RANGE_(-1, 255), 0, 0 },
	{ IPV6_RECVPKTINFO, OPT_RECVPKTINFO, 0, 0, 0, 0 },
	{ IPV6_RECVHOPLIMIT, OPT_RECVHOPLIMIT, 0, 0, 0, 0 },
	{ IPV6_RECVTCLASS, OPT_RECVTCLASS, 0, 0, 0, 0 },
	{ IPV6_RECVERR, OPT_RECVERR6, 0, 0, 0, 0 },
	{ IPV6_MTU_DISCOVER, OPT_MTU_DISCOVER6, RANGE_(0, 5), 1, 0 },
	{ IPV6_DONTFRAG, OPT_DONTFRAG, 0, 0, 0, 0 },
	{ IPV6_AUTOFLOWLABEL, OPT_AUTOFLOWLABEL, 0, 0, 1, 0 },
	{ IPV6_ADDR_PREFERENCES, OPT_ADDR_PREFERENCES, RANGE_(0, 0xffff), 0x500, 0 },
	{ IPV6_FREEBIND, OPT_FREEBIND6, 0, 0, 0, 0 },
	{ IPV6_MINHOPCOUNT, OPT_MINHOPS, RANGE_(0, 255), 0, 0 },
	{ 33 /* IPV6_FLOWINFO_SEND */, OPT_FLOWINFO_SEND, 0, 0, 0, 0 },
};
const struct option_level options_ip6 = { ip6_defs, sizeof(ip6_defs) / sizeof(ip6_defs[0]) };

/* A connection has one TTL and one TOS, those of its family. */
static void to_stream(struct sockets *s, struct sock *so, uint64_t now)
{
	struct conn_status st;
	bool v4;
	int ttl;

	if (!sock_is_stream(so))
		return;
	conn_status(s->stack, so->handle, &st);
	v4 = so->domain == AF_INET || (st.state > CPL_LISTEN && cpl_addr_is4(&st.id.remote));
	ttl = so->o.v[v4 ? OPT_TTL : OPT_HOPS];
	if (ttl <= 0)
		ttl = s->stack->config.ttl;
	cpl_set_option(s->stack, so->handle, CPL_OPT_TTL, (uint64_t)ttl, now);
	cpl_set_option(s->stack, so->handle, CPL_OPT_TOS,
		       (uint64_t)(so->o.v[v4 ? OPT_TOS : OPT_TCLASS] & 0xff), now);
}

/* The octet that a short value is, as ip(7) allows. */
static int ip_number(const void *value, socklen_t len)
{
	uint8_t octet = 0;
	int v;

	if (len >= sizeof(v)) {
		memcpy(&v, value, sizeof(v));
		return v;
	}
	if (len)
		memcpy(&octet, value, 1);
	return octet;
}

static int path_mtu(struct sockets *s, const struct sock *so, int *mtu, uint64_t now)
{
	static const struct cpl_addr none;
	struct cpl_endpoint to = so->remote;
	const struct dst *dst;
	struct conn_status st;
	int err;

	if (sock_is_stream(so)) {
		conn_status(s->stack, so->handle, &st);
		if (st.state <= CPL_LISTEN)
			return -ENOTCONN;
		to.addr = st.id.remote;
		to.port = st.id.rport;
		to.ifindex = st.ifindex;
	}
	if (!to.port)
		return -ENOTCONN;
	dst = dst_path(s->stack, &to.addr, &none, 0, &err, now);
	*mtu = dst ? (int)dst->mtu : 0;
	return dst ? 0 : -ENOTCONN;
}

/* Groups: IP multicast is not spoken, so that no interface has any. */
static int membership(struct sockets *s, const struct sock *so, bool join)
{
	if (sock_is_stream(so))
		return -EPROTO;
	return option_lacking(s, join ? -ENODEV : -EADDRNOTAVAIL);
}

/* IP_MULTICAST_IF: an address, struct ip_mreq or struct ip_mreqn. */
static int multicast_from(struct sockets *s, const void *value, socklen_t len)
{
	uint32_t words[3] = { 0 }, from;

	if (len < sizeof(words[0]))
		return -EINVAL;
	memcpy(words, value, len < sizeof(words) ? len : sizeof(words));
	from = len < sizeof(struct ip_mreq) ? words[0] : words[1] | words[2];
	return from ? option_lacking(s, -EADDRNOTAVAIL) : 0;
}

static void recverr(struct sockets *s, struct sock *so)
{
	struct udp_socket *u = sock_udp(s, so);

	if (u)
		u->recverr = errqueue_wanted(so);
	if (!errqueue_wanted(so)) /* as the kernel: what there was is gone */
		errqueue_clear(s, so);
}

static int check_ip(const struct sock *so, int name, socklen_t len, int v)
{
	uint32_t low = (uint32_t)v & 0xffff, high = (uint32_t)v >> 16;

	switch (name) {
	case IP_TTL:
		return !len || v == 0 ? -EINVAL : 0;
	case IP_MULTICAST_TTL:
		return !len || sock_is_stream(so) ? -EINVAL : 0;
	case IP_MULTICAST_LOOP:
	case IP_FREEBIND:
	case IP_TRANSPARENT:
	case IP_MINTTL:
		return !len ? -EINVAL : 0;
	case 51:
		return len != sizeof(v) || (low && high && low > high) ? -EINVAL : 0;
	default:
		return 0;
	}
}

int options_set_ip(struct sockets *s, struct sock *so, int name, const void *value, socklen_t len,
		   uint64_t now)
{
	const struct option_def *def = option_find(&options_ip, so, name);
	int err, v;

	switch (name) {
	case IP_OPTIONS:
		return len ? option_lacking(s, -EINVAL) : 0;
	case IP_ADD_MEMBERSHIP:
	case IP_ADD_SOURCE_MEMBERSHIP:
		return membership(s, so, true);
	case IP_DROP_MEMBERSHIP:
	case IP_DROP_SOURCE_MEMBERSHIP:
		return membership(s, so, false);
	case IP_MULTICAST_IF:
		return sock_is_stream(so) ? -EINVAL : multicast_from(s, value, len);
	case IP_HDRINCL:
		return -ENOPROTOOPT;
	default:
		break;
	}
	if (!def)
		return option_lacking(s, -ENOPROTOOPT);
	v = ip_number(value, len);
	err = check_ip(so, name, len, v);
	err = err ? err : option_keep(so, def, v);
	if (err)
		return err;
	if (name == IP_TOS)
		so->o.v[OPT_TOS] = sock_is_stream(so) ? v & 0xfc : v & 0xff;
	if (name == IP_MULTICAST_TTL && v == -1)
		so->o.v[OPT_MULTICAST_TTL] = 1;
	if (name == IP_TOS || name == IP_TTL)
		to_stream(s, so, now);
	if (name == IP_RECVERR)
		recverr(s, so);
	return 0;
}

/* ip(7): what fits is given as an octet to who has room for no more. */
static int ip_out(void *value, socklen_t *len, int v)
{
	uint8_t octet = (uint8_t)v;

	if (*len && *len < sizeof(v) && v >= 0 && v <= 255)
		return option_out(value, len, &octet, 1);
	return option_int(value, len, v);
}

int options_get_ip(struct sockets *s, struct sock *so, int name, void *value, socklen_t *len,
		   uint64_t now)
{
	const struct option_def *def = option_find(&options_ip, so, name);
	const struct in_addr none = { 0 };
	int v, err;

	switch (name) {
	case IP_OPTIONS:
		*len = 0;
		return 0;
	case IP_MTU:
		err = path_mtu(s, so, &v, now);
		return err ? err : ip_out(value, len, v);
	case IP_MULTICAST_IF:
		return option_out(value, len, &none, sizeof(none));
	case IP_HDRINCL:
		return ip_out(value, len, 0);
	default:
		break;
	}
	if (!def)
		return option_lacking(s, -ENOPROTOOPT);
	v = so->o.v[def->slot];
	if (name == IP_TTL && v < 0)
		v = s->stack->config.ttl;
	return ip_out(value, len, v);
}

int options_set_ip6(struct sockets *s, struct sock *so, int name, const void *value, socklen_t len,
		    uint64_t now)
{
	const struct option_def *def = option_find(&options_ip6, so, name);
	int err, v;

	switch (name) {
	case IPV6_JOIN_GROUP:
	case IPV6_LEAVE_GROUP:
		return membership(s, so, name == IPV6_JOIN_GROUP);
	case IPV6_MULTICAST_IF:
		if (sock_is_stream(so))
			return -ENOPROTOOPT;
		err = option_number(value, len, &v);
		return err || !v ? err : option_lacking(s, -ENODEV);
	case IPV6_MULTICAST_HOPS:
	case IPV6_MULTICAST_LOOP:
		if (sock_is_stream(so) && name == IPV6_MULTICAST_HOPS)
			return -ENOPROTOOPT;
		break;
	case IPV6_MTU: /* a limit for fragments: the path's own is kept to */
		err = option_number(value, len, &v);
		return err || (v && v < 1280) ? -EINVAL : 0;
	default:
		break;
	}
	if (!def)
		return option_lacking(s, -ENOPROTOOPT);
	err = option_number(value, len, &v);
	/* The kernel takes what is short for 0. */
	if (err && name == IPV6_DONTFRAG && len <= INT32_MAX)
		err = v = 0;
	if (err)
		return err;
	if (name == IPV6_V6ONLY && sock_has_port(s, so))
		return -EINVAL;
	err = option_keep(so, def, v);
	if (err)
		return err;
	if (name == IPV6_V6ONLY && sock_is_stream(so))
		return cpl_set_option(s->stack, so->handle, CPL_OPT_V6ONLY, v != 0, now);
	if (name == IPV6_TCLASS && v < 0)
		so->o.v[OPT_TCLASS] = 0;
	if (name == IPV6_TCLASS && sock_is_stream(so))
		so->o.v[OPT_TCLASS] &= 0xfc;
	if (name == IPV6_MULTICAST_HOPS && v < 0)
		so->o.v[OPT_MULTICAST_HOPS] = 1;
	if (name == IPV6_TCLASS || name == IPV6_UNICAST_HOPS)
		to_stream(s, so, now);
	if (name == IPV6_RECVERR)
		recverr(s, so);
	return 0;
}

int options_get_ip6(struct sockets *s, struct sock *so, int name, void *value, socklen_t *len,
		    uint64_t now)
{
	const struct option_def *def = option_find(&options_ip6, so, name);
	int v, err;

	if (name == IPV6_MTU) {
		err = path_mtu(s, so, &v, now);
		return err ? err : option_int(value, len, v);
	}
	if (name == IPV6_MULTICAST_IF)
		return option_int(value, len, 0);
	if (!def)
		return option_lacking(s, -ENOPROTOOPT);
	v = so->o.v[def->slot];
	if (name == IPV6_UNICAST_HOPS && v < 0)
		v = s->stack->config.ttl;
	return option_int(value, len, v);
}
