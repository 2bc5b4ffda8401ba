/* SPDX-License-Identifier: MIT */
/*
 * Names: sockaddr_in and sockaddr_in6 in and out, as ip(7) and ipv6(7) have them and the kernel
 * checks them: families, lengths, IPv4-mapped addresses on dual-stack sockets, scope ids. And what
 * gives a socket its own name: bind(2), or a port taken by itself.
 */
#include "socket/sock.h"

#define SIN6_LEN_MIN 24 /* of RFC 2133: without a scope id */

struct cpl_addr name_any(const struct sock *so)
{
	return so->domain == AF_INET ? cpl_addr4(0, 0, 0, 0) : (struct cpl_addr){ { 0 } };
}

static struct cpl_addr addr_of_in(const struct sockaddr_in *in)
{
	struct cpl_addr a = cpl_addr4(0, 0, 0, 0);

	memcpy(a.b + 12, &in->sin_addr, 4);
	return a;
}

/* Link-local addresses need an interface: the one named, or the one bound to (RFC 4007). */
static bool needs_scope(const struct cpl_addr *a)
{
	if (cpl_addr_is4(a))
		return false;
	return addr_is_link_local(a) || (addr_is_multicast(a) && (a->b[1] & 15) <= 2);
}

static int scope(const struct sock *so, const struct sockaddr_in6 *in6, socklen_t len,
		 struct cpl_endpoint *at)
{
	at->ifindex = so->o.ifindex;
	if (!needs_scope(&at->addr) || (sock_is_stream(so) && addr_is_multicast(&at->addr)))
		return 0;
	if (len >= sizeof(*in6) && in6->sin6_scope_id) {
		if (at->ifindex && at->ifindex != in6->sin6_scope_id)
			return -EINVAL;
		at->ifindex = in6->sin6_scope_id;
	}
	return at->ifindex ? 0 : -EINVAL;
}

static int read_in(const struct sockaddr *addr, socklen_t len, bool binds, struct cpl_endpoint *at)
{
	struct sockaddr_in in;

	if (len < sizeof(in) || len > sizeof(struct sockaddr_storage))
		return -EINVAL;
	memcpy(&in, addr, sizeof(in));
	if (in.sin_family != AF_INET &&
	    (!binds || in.sin_family != AF_UNSPEC || in.sin_addr.s_addr != INADDR_ANY))
		return -EAFNOSUPPORT;
	memset(at, 0, sizeof(*at));
	at->addr = addr_of_in(&in);
	at->port = ntohs(in.sin_port);
	return 0;
}

static int read_in6(const struct sock *so, const struct sockaddr *addr, socklen_t len,
		    struct cpl_endpoint *at)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_UNSPEC };

	if (len < SIN6_LEN_MIN || len > sizeof(struct sockaddr_storage))
		return -EINVAL;
	memcpy(&in6, addr, len < sizeof(in6) ? len : sizeof(in6));
	if (in6.sin6_family != AF_INET6)
		return -EAFNOSUPPORT;
	memset(at, 0, sizeof(*at));
	memcpy(&at->addr, &in6.sin6_addr, sizeof(at->addr));
	at->port = ntohs(in6.sin6_port);
	return scope(so, &in6, len, at);
}

int name_local(const struct sock *so, const struct sockaddr *addr, socklen_t len,
	       struct cpl_endpoint *at)
{
	int err;

	if (so->domain == AF_INET) {
		err = read_in(addr, len, true, at);
		if (!err)
			at->ifindex = so->o.ifindex;
		return err;
	}
	err = read_in6(so, addr, len, at);
	if (err)
		return err;
	if (cpl_addr_is4(&at->addr) && so->o.v[OPT_V6ONLY])
		return -EINVAL;
	if (addr_is_multicast(&at->addr) && !cpl_addr_is4(&at->addr) && sock_is_stream(so))
		return -EINVAL;
	return 0;
}

/* As the kernel: whoever calls "any" calls itself. */
static void own_for_any(struct sockets *s, struct cpl_endpoint *at)
{
	static const struct cpl_addr loopback6 = { { [15] = 1 } };
	const struct route_table *t = &s->stack->routes;
	bool v4 = cpl_addr_is4(&at->addr);

	if (!addr_is_any(&at->addr))
		return;
	at->addr = v4 ? cpl_addr4(127, 0, 0, 1) : loopback6;
	if (route_our_addr(t, &at->addr, 0))
		return;
	for (uint32_t i = 0; i < t->addrs_n; i++) {
		if (!!cpl_addr_is4(&t->addrs[i].addr) != v4)
			continue;
		at->addr = t->addrs[i].addr;
		return;
	}
}

int name_remote(struct sockets *s, const struct sock *so, const struct sockaddr *addr,
		socklen_t len, bool scoped, struct cpl_endpoint *at)
{
	sa_family_t family = AF_UNSPEC;
	int err;

	memset(at, 0, sizeof(*at));
	if (so->domain == AF_INET) {
		err = read_in(addr, len, false, at);
		if (err)
			return err;
		at->ifindex = so->o.ifindex;
		own_for_any(s, at);
		return 0;
	}
	if (len >= sizeof(family))
		memcpy(&family, addr, sizeof(family));
	/* udp(7) of a dual-stack socket takes an IPv4 name as it is. */
	if (!sock_is_stream(so) && family == AF_INET) {
		if (so->o.v[OPT_V6ONLY])
			return -ENETUNREACH;
		err = read_in(addr, len, false, at);
	} else {
		err = read_in6(so, addr, len, at);
		if (err == -EINVAL && !scoped && at->addr.b[0]) /* it has all but a scope */
			err = len >= SIN6_LEN_MIN && needs_scope(&at->addr) ? 0 : err;
	}
	if (err)
		return err;
	if (cpl_addr_is4(&at->addr) && so->o.v[OPT_V6ONLY])
		return -ENETUNREACH;
	if (addr_is_any(&at->addr) && cpl_addr_is4(&so->local.addr))
		at->addr = cpl_addr4(0, 0, 0, 0);
	own_for_any(s, at);
	return 0;
}

void name_out(const struct sock *so, const struct cpl_endpoint *at, struct sockaddr *addr,
	      socklen_t *len)
{
	union {
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} name;
	socklen_t whole = so->domain == AF_INET ? sizeof(name.in) : sizeof(name.in6);

	if (!addr || !len)
		return;
	memset(&name, 0, sizeof(name));
	if (so->domain == AF_INET) {
		name.in.sin_family = AF_INET;
		name.in.sin_port = htons(at->port);
		memcpy(&name.in.sin_addr, at->addr.b + 12, 4);
	} else {
		name.in6.sin6_family = AF_INET6;
		name.in6.sin6_port = htons(at->port);
		memcpy(&name.in6.sin6_addr, &at->addr, sizeof(at->addr));
		if (!cpl_addr_is4(&at->addr) && addr_is_link_local(&at->addr))
			name.in6.sin6_scope_id = at->ifindex;
	}
	memcpy(addr, &name, *len < whole ? *len : whole);
	*len = whole;
}

/* ---- bind(2) ---- */

bool name_is_group(struct sockets *s, const struct cpl_addr *addr)
{
	return addr_is_multicast(addr) || route_is_broadcast(&s->stack->routes, addr);
}

/* To PORT of the address, or to one that is free; the socket knows its name then. */
static int stream_bind(struct sockets *s, struct sock *so, const struct cpl_endpoint *at,
		       uint64_t now)
{
	struct conn_status st;
	int err = conn_bind(s->stack, so->handle, at, now);

	if (err)
		return err;
	conn_status(s->stack, so->handle, &st);
	so->local = *at;
	so->local.port = st.id.lport;
	so->has_port = true;
	return 0;
}

int sock_autobind(struct sockets *s, struct sock *so, uint64_t now)
{
	struct cpl_endpoint at = { .addr = name_any(so), .ifindex = so->o.ifindex };

	if (so->has_port)
		return 0;
	at.addr = so->local.addr;
	return sock_is_stream(so) ? stream_bind(s, so, &at, now) : datagram_bind(s, so, &at, now);
}

bool sock_has_port(struct sockets *s, const struct sock *so)
{
	struct conn_status st;

	if (so->has_port || !sock_is_stream(so))
		return so->has_port;
	conn_status(s->stack, so->handle, &st);
	return st.state != CPL_CLOSED;
}

/* What a connection that has ended leaves to be bound again: as the kernel, all else stays. */
static int forget_connection(struct sockets *s, struct sock *so, uint64_t now)
{
	struct conn_status st;

	conn_status(s->stack, so->handle, &st);
	return st.over ? conn_disconnect(s->stack, so->handle, NULL, now) : 0;
}

int socket_bind(struct sockets *s, sock_id id, const struct sockaddr *addr, socklen_t len,
		uint64_t now)
{
	struct sock *so = sock_get(s, id);
	struct cpl_endpoint at;
	struct cpl_addr told;
	bool any, port, group;
	int err;

	if (!so)
		return -EBADF;
	err = name_local(so, addr, len, &at);
	if (err)
		return err;
	any = addr_is_any(&at.addr);
	port = at.port;
	group = name_is_group(s, &at.addr);
	if (!any && !group && !route_our_addr(&s->stack->routes, &at.addr, 0))
		return -EADDRNOTAVAIL;
	if (sock_has_port(s, so))
		return -EINVAL;
	err = sock_is_stream(so) ? forget_connection(s, so, now) : 0;
	if (err)
		return err;
	told = at.addr;
	if (group && sock_is_stream(so))
		at.addr = name_any(so); /* nothing comes to it; its name it has */
	if (sock_is_stream(so) && !port && so->o.v[OPT_BIND_NO_PORT])
		err = cpl_bind(s->stack, so->handle, &at, now); /* connect(2) takes one */
	else
		err = sock_is_stream(so) ? stream_bind(s, so, &at, now)
					 : datagram_bind(s, so, &at, now);
	if (err)
		return err;
	so->local.addr = told;
	so->local.ifindex = at.ifindex;
	so->bound_addr = !any && !(group && sock_is_stream(so));
	so->bound_port = port;
	if (so->domain == AF_INET6 && !any && !cpl_addr_is4(&at.addr))
		so->o.v[OPT_V6ONLY] = 1; /* as the kernel: nothing else can come there */
	return 0;
}

/* ---- getsockname(2), getpeername(2) ---- */

/* *SO and, of a stream, *ST of the socket whose name is asked for, with LEN octets of room. */
static int named(struct sockets *s, sock_id id, socklen_t len, struct sock **so,
		 struct conn_status *st)
{
	*so = sock_get(s, id);
	if (!*so)
		return -EBADF;
	if (len > INT32_MAX)
		return -EINVAL;
	if (sock_is_stream(*so))
		conn_status(s->stack, (*so)->handle, st);
	return 0;
}

int socket_getsockname(struct sockets *s, sock_id id, struct sockaddr *addr, socklen_t *len)
{
	struct cpl_endpoint at;
	struct conn_status st;
	struct sock *so;
	int err = named(s, id, *len, &so, &st);

	if (err)
		return err;
	at = so->local;
	if (sock_is_stream(so)) {
		if (st.state > CPL_LISTEN || st.over)
			at = (struct cpl_endpoint){ st.id.local, st.id.lport, 0, st.ifindex };
	}
	name_out(so, &at, addr, len);
	return 0;
}

int socket_getpeername(struct sockets *s, sock_id id, struct sockaddr *addr, socklen_t *len)
{
	struct cpl_endpoint at;
	struct conn_status st;
	struct sock *so;
	int err = named(s, id, *len, &so, &st);

	if (err)
		return err;
	at = so->remote;
	if (sock_is_stream(so)) {
		if (st.state == CPL_CLOSED || st.state == CPL_SYN_SENT || st.state == CPL_LISTEN)
			return -ENOTCONN;
		at = (struct cpl_endpoint){ st.id.remote, st.id.rport, 0, st.ifindex };
	} else if (!at.port) {
		return -ENOTCONN;
	}
	name_out(so, &at, addr, len);
	return 0;
}
