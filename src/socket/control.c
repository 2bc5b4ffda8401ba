/* SPDX-License-Identifier: MIT */
/*
 * Control data of recvmsg(2) and sendmsg(2): what came with a datagram, and what one is to be sent
 * with (ip(7), ipv6(7), socket(7)).
 */
#define _GNU_SOURCE /* struct in6_pktinfo */
#include "socket/sock.h"

#include <netinet/ip.h>
#include <sys/time.h>
#include <time.h>

void control_begin(struct control *c, const struct msghdr *msg)
{
	c->base = msg->msg_control;
	c->room = msg->msg_control ? msg->msg_controllen : 0;
	c->used = 0;
	c->cut = false;
}

void control_put(struct control *c, int level, int type, const void *data, size_t n)
{
	struct cmsghdr h = { .cmsg_len = CMSG_LEN(n), .cmsg_level = level, .cmsg_type = type };
	size_t left = c->room - c->used, space = CMSG_SPACE(n);

	if (left < sizeof(h)) {
		c->cut = true;
		return;
	}
	if (left < h.cmsg_len) {
		c->cut = true;
		h.cmsg_len = left;
	}
	memcpy(c->base + c->used, &h, sizeof(h));
	memcpy(c->base + c->used + CMSG_LEN(0), data, h.cmsg_len - CMSG_LEN(0));
	c->used += space < left ? space : left;
}

void control_end(const struct control *c, struct msghdr *msg)
{
	msg->msg_controllen = c->used;
	if (c->cut)
		msg->msg_flags |= MSG_CTRUNC;
}

/* SO_TIMESTAMP, SO_TIMESTAMPNS: of the clock on the wall. */
void control_timestamp(struct sockets *s, const struct sock *so, struct control *c, uint64_t time)
{
	uint64_t wall = time + s->config.realtime_offset_ns;
	struct timespec ts = { (time_t)(wall / CPL_SECOND), (long)(wall % CPL_SECOND) };
	struct timeval tv = { ts.tv_sec, ts.tv_nsec / 1000 };

	if (so->o.v[OPT_TIMESTAMPNS])
		control_put(c, SOL_SOCKET, SO_TIMESTAMPNS, &ts, sizeof(ts));
	else if (so->o.v[OPT_TIMESTAMP])
		control_put(c, SOL_SOCKET, SO_TIMESTAMP, &tv, sizeof(tv));
}

/* ---- what came with a datagram ---- */

static void received4(struct sockets *s, const struct sock *so, const struct udp_datagram *d,
		      struct control *c)
{
	struct in_pktinfo info = { .ipi_ifindex = (int)d->to.ifindex };
	int ttl = d->ttl;

	memcpy(&info.ipi_addr, d->to.addr.b + 12, 4);
	if (route_our_addr(&s->stack->routes, &d->to.addr, 0))
		info.ipi_spec_dst = info.ipi_addr;
	if (so->o.v[OPT_PKTINFO])
		control_put(c, SOL_IP, IP_PKTINFO, &info, sizeof(info));
	if (so->o.v[OPT_RECVTTL])
		control_put(c, SOL_IP, IP_TTL, &ttl, sizeof(ttl));
	if (so->o.v[OPT_RECVTOS])
		control_put(c, SOL_IP, IP_TOS, &d->tos, 1);
	if (so->o.v[OPT_RECVORIGDST]) {
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(d->to.port) };

		in.sin_addr = info.ipi_addr;
		control_put(c, SOL_IP, IP_ORIGDSTADDR, &in, sizeof(in));
	}
}

static void received6(const struct sock *so, const struct udp_datagram *d, struct control *c)
{
	int hops = d->ttl, class = d->tos;

	if (so->o.v[OPT_RECVHOPLIMIT])
		control_put(c, SOL_IPV6, IPV6_HOPLIMIT, &hops, sizeof(hops));
	if (so->o.v[OPT_RECVTCLASS])
		control_put(c, SOL_IPV6, IPV6_TCLASS, &class, sizeof(class));
}

void control_received(struct sockets *s, const struct sock *so, const struct udp_datagram *d,
		      uint64_t drops, struct control *c)
{
	struct in6_pktinfo info = { .ipi6_ifindex = d->to.ifindex };
	uint32_t lost = (uint32_t)drops;

	control_timestamp(s, so, c, d->time);
	if (so->o.v[OPT_RXQ_OVFL] && lost)
		control_put(c, SOL_SOCKET, SO_RXQ_OVFL, &lost, sizeof(lost));
	memcpy(&info.ipi6_addr, &d->to.addr, sizeof(info.ipi6_addr));
	if (so->domain == AF_INET6 && so->o.v[OPT_RECVPKTINFO])
		control_put(c, SOL_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	if (cpl_addr_is4(&d->to.addr))
		received4(s, so, d, c);
	else
		received6(so, d, c);
}

/* ---- what a datagram is to be sent with ---- */

static int number(const struct cmsghdr *h, int *v)
{
	if (h->cmsg_len != CMSG_LEN(sizeof(*v)))
		return -EINVAL;
	memcpy(v, CMSG_DATA(h), sizeof(*v));
	return 0;
}

static int send4(const struct cmsghdr *h, struct udp_how *how)
{
	struct in_pktinfo info;
	uint8_t octet;
	int v, err;

	switch (h->cmsg_type) {
	case IP_PKTINFO:
		if (h->cmsg_len != CMSG_LEN(sizeof(info)))
			return -EINVAL;
		memcpy(&info, CMSG_DATA(h), sizeof(info));
		if (info.ipi_ifindex)
			how->to.ifindex = (uint32_t)info.ipi_ifindex;
		if (info.ipi_spec_dst.s_addr) {
			how->from.addr = cpl_addr4(0, 0, 0, 0);
			memcpy(how->from.addr.b + 12, &info.ipi_spec_dst, 4);
		}
		return 0;
	case IP_TTL:
		err = number(h, &v);
		if (err || v < 1 || v > 255)
			return -EINVAL;
		how->ttl = (uint8_t)v;
		return 0;
	case IP_TOS:
		if (h->cmsg_len == CMSG_LEN(1)) {
			memcpy(&octet, CMSG_DATA(h), 1);
			how->tos = octet;
			return 0;
		}
		err = number(h, &v);
		if (err || v < 0 || v > 255)
			return -EINVAL;
		how->tos = (uint8_t)v;
		return 0;
	default:
		return -EINVAL;
	}
}

static int send6(const struct cmsghdr *h, struct udp_how *how)
{
	struct in6_pktinfo info;
	int v, err;

	switch (h->cmsg_type) {
	case IPV6_PKTINFO:
		if (h->cmsg_len < CMSG_LEN(sizeof(info)))
			return -EINVAL;
		memcpy(&info, CMSG_DATA(h), sizeof(info));
		if (info.ipi6_ifindex)
			how->to.ifindex = info.ipi6_ifindex;
		memcpy(&how->from.addr, &info.ipi6_addr, sizeof(how->from.addr));
		return 0;
	case IPV6_HOPLIMIT:
		err = number(h, &v);
		if (err || v < -1 || v > 255)
			return -EINVAL;
		how->ttl = v < 0 ? 0 : (uint8_t)v;
		return 0;
	case IPV6_TCLASS:
		err = number(h, &v);
		if (err || v < -1 || v > 255)
			return -EINVAL;
		how->tos = v < 0 ? 0 : (uint8_t)v;
		return 0;
	case IPV6_DONTFRAG:
		err = number(h, &v);
		if (err || v < 0 || v > 1)
			return -EINVAL;
		how->dont_frag = v;
		return 0;
	default:
		return -EINVAL;
	}
}

/* To an IPv4 address from a socket of IPv6: of what is IPv6's, the source alone is looked at. */
static int send_mapped(const struct cmsghdr *h, struct udp_how *how)
{
	struct udp_how six = *how;
	int err;

	if (h->cmsg_type != IPV6_PKTINFO)
		return 0;
	err = send6(h, &six);
	if (err || !(cpl_addr_is4(&six.from.addr) || addr_is_any(&six.from.addr)))
		return -EINVAL;
	*how = six;
	return 0;
}

int control_send(const struct sock *so, const struct msghdr *msg, struct udp_how *how,
		 uint16_t *segment)
{
	size_t off = 0, room = msg->msg_control ? msg->msg_controllen : 0;
	bool v4 = cpl_addr_is4(&how->to.addr);

	while (room - off >= sizeof(struct cmsghdr)) {
		const struct cmsghdr *h = (const void *)((const char *)msg->msg_control + off);
		int err = 0;

		if (h->cmsg_len < sizeof(*h) || h->cmsg_len > room - off)
			return -EINVAL;
		if (h->cmsg_level == SOL_IP) /* what is the other family's is not looked at */
			err = v4 ? send4(h, how) : 0;
		else if (h->cmsg_level == SOL_IPV6 && so->domain == AF_INET6)
			err = v4 ? send_mapped(h, how) : send6(h, how);
		else if (h->cmsg_level == IPPROTO_UDP && h->cmsg_type == 103 /* UDP_SEGMENT */ &&
			 h->cmsg_len == CMSG_LEN(sizeof(*segment)))
			memcpy(segment, CMSG_DATA(h), sizeof(*segment));
		else if (h->cmsg_level == SOL_SOCKET && h->cmsg_type != SCM_RIGHTS &&
			 h->cmsg_type != SCM_CREDENTIALS && h->cmsg_type != SO_MARK)
			return -EINVAL;
		if (err)
			return err;
		off += CMSG_ALIGN(h->cmsg_len);
		if (off > room)
			break;
	}
	return 0;
}
