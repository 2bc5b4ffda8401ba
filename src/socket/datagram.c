/* SPDX-License-Identifier: MIT */
/* UDP sockets, as udp(7) has them. */
#include "socket/sock.h"

struct udp_socket *sock_udp(struct sockets *s, const struct sock *so)
{
	return udp_find(s->stack, so->handle);
}

void datagram_owner(struct sockets *s, const struct sock *so)
{
	struct udp_socket *u = sock_udp(s, so);

	if (!u)
		return;
	u->pid = so->owner.pid;
	u->fd = so->owner.fd;
	memcpy(u->program, so->owner.program, sizeof(u->program));
	u->program[sizeof(u->program) - 1] = '\0';
}

int datagram_bind(struct sockets *s, struct sock *so, const struct cpl_endpoint *at, uint64_t now)
{
	struct udp_flags flags = { .reuseaddr = so->o.v[OPT_REUSEADDR],
				   .reuseport = so->o.v[OPT_REUSEPORT],
				   .v6only = so->o.v[OPT_V6ONLY] };
	struct udp_socket *u;
	int err;

	err = udp_bind(s->stack, at, flags, &so->handle, now);
	if (err)
		return err;
	so->has_port = true;
	cpl_set_user(s->stack, so->handle, sock_id_of(s, so));
	u = sock_udp(s, so);
	u->rcvbuf = so->o.rcvbuf ? so->o.rcvbuf : s->rmem_default;
	u->bsd = true;
	u->recverr = errqueue_wanted(so);
	so->local = u->local;
	datagram_owner(s, so);
	return 0;
}

/* ---- connect(2) ---- */

static int may_broadcast(struct sockets *s, const struct sock *so, const struct cpl_endpoint *to)
{
	bool all = addr_is_broadcast(&to->addr) || route_is_broadcast(&s->stack->routes, &to->addr);

	return all && !so->o.v[OPT_BROADCAST] ? -EACCES : 0;
}

int datagram_connect(struct sockets *s, struct sock *so, const struct sockaddr *addr, socklen_t len,
		     uint64_t now)
{
	struct cpl_endpoint to, from;
	struct route_result route;
	sa_family_t family;
	int err;

	if (len > sizeof(struct sockaddr_storage))
		return -EINVAL;
	err = sock_autobind(s, so, now); /* whatever becomes of it, as the kernel */
	if (err)
		return -EAGAIN;
	memcpy(&family, addr, sizeof(family));
	if (family == AF_INET && so->domain == AF_INET6 && so->o.v[OPT_V6ONLY])
		return -EAFNOSUPPORT;
	err = name_remote(s, so, addr, len, true, &to);
	err = err ? err : may_broadcast(s, so, &to);
	if (err)
		return err;
	from = so->local;
	if (name_is_group(s, &from.addr))
		from.addr = name_any(so);
	err = route_lookup(&s->stack->routes, &to.addr, (int)to.ifindex,
			   addr_is_any(&from.addr) ? NULL : &from.addr, &route);
	if (err)
		return err == -EADDRNOTAVAIL && !addr_is_any(&from.addr) ? -EINVAL : -ENETUNREACH;
	if (addr_is_any(&from.addr))
		from.addr = route.source;
	so->local = from;
	so->remote = to;
	/* Port 0 is no one's: nothing will come from there, and send(2) refuses it. */
	udp_connect(sock_udp(s, so), &from, &to);
	return 0;
}

int datagram_disconnect(struct sockets *s, struct sock *so, uint64_t now)
{
	(void)now;
	memset(&so->remote, 0, sizeof(so->remote));
	if (!so->bound_addr)
		so->local.addr = name_any(so);
	if (!so->handle)
		return 0;
	udp_connect(sock_udp(s, so), &so->local, NULL);
	if (!so->bound_port) {
		udp_unbind(sock_udp(s, so));
		so->has_port = false;
		so->local.port = 0;
	}
	return 0;
}

/* ---- send ---- */

static int send_to(struct sockets *s, const struct sock *so, const struct msghdr *msg,
		   struct cpl_endpoint *to)
{
	sa_family_t family = AF_UNSPEC;
	struct sockaddr_in in;

	if (!msg->msg_name || !msg->msg_namelen)
		return so->remote.port ? (*to = so->remote, 0) : -EDESTADDRREQ;
	if (msg->msg_namelen < sizeof(family))
		return -EINVAL;
	memcpy(&family, msg->msg_name, sizeof(family));
	if (family == AF_UNSPEC && so->domain == AF_INET6)
		return so->remote.port ? (*to = so->remote, 0) : -EDESTADDRREQ;
	if (family == AF_UNSPEC && msg->msg_namelen >= sizeof(in)) {
		memcpy(&in, msg->msg_name, sizeof(in));
		in.sin_family = AF_INET; /* as the kernel takes it */
		return name_remote(s, so, (const void *)&in, sizeof(in), false, to);
	}
	if (so->domain == AF_INET6 && family != AF_INET6 && family != AF_INET)
		return -EINVAL;
	return name_remote(s, so, msg->msg_name, msg->msg_namelen, false, to);
}

static const void *gather(struct sockets *s, const struct msghdr *msg, size_t n)
{
	size_t at = 0;

	if (!s->scratch)
		s->scratch = mem_alloc(s->mem, SOCKETS_SCRATCH);
	if (!s->scratch)
		return NULL;
	for (size_t i = 0; i < msg->msg_iovlen && at < n; i++) {
		memcpy(s->scratch + at, msg->msg_iov[i].iov_base, msg->msg_iov[i].iov_len);
		at += msg->msg_iov[i].iov_len;
	}
	return s->scratch;
}

/* How the options say that it goes; control data says more. */
static struct udp_how how_by_options(const struct sock *so, const struct cpl_endpoint *to)
{
	bool v4 = cpl_addr_is4(&to->addr);
	int ttl = so->o.v[v4 ? OPT_TTL : OPT_HOPS];
	int pmtu = so->o.v[v4 ? OPT_MTU_DISCOVER : OPT_MTU_DISCOVER6];

	return (struct udp_how){
		.from = { .addr = so->local.addr },
		.to = *to,
		.tos = (uint8_t)so->o.v[v4 ? OPT_TOS : OPT_TCLASS],
		.ttl = ttl < 0 ? 0 : (uint8_t)ttl,
		.dont_frag = pmtu == 2 || pmtu == 3 || (!v4 && so->o.v[OPT_DONTFRAG]),
	};
}

static int send_all(struct sockets *s, struct sock *so, const struct udp_how *how,
		    const uint8_t *data, size_t n, uint16_t segment, uint64_t now)
{
	struct udp_socket *u = sock_udp(s, so);
	int err = 0;

	if (!segment || segment >= n)
		return udp_send(s->stack, u, how, data, n, now);
	for (size_t at = 0; at < n && !err; at += segment) /* UDP_SEGMENT: as if cut by a device */
		err = udp_send(s->stack, u, how, data + at, n - at < segment ? n - at : segment,
			       now);
	return err;
}

/* ---- UDP_CORK, MSG_MORE: one datagram of several calls ---- */

/* As the call that began it said: what later ones say of address and control data is not looked at.
 */
struct cork {
	struct udp_how how;
	uint16_t segment;
	uint32_t n;
	uint8_t data[SOCKETS_SCRATCH];
};

void datagram_drop(struct sockets *s, struct sock *so)
{
	if (so->cork)
		mem_release(s->mem, so->cork, sizeof(*so->cork));
	so->cork = NULL;
}

static int send_whole(struct sockets *s, struct sock *so, struct udp_how *how, const void *data,
		      size_t n, uint16_t segment, uint64_t now)
{
	int err = send_all(s, so, how, data, n, segment, now);

	if (err == -EADDRNOTAVAIL) /* a source that control data asked for, and is not ours */
		err = addr_is_any(&how->from.addr) || cpl_addr_is4(&how->to.addr) ? -ENETUNREACH
										  : -EINVAL;
	if (err == -EMSGSIZE)
		errqueue_local(s, so, &how->to, EMSGSIZE, now);
	return err;
}

int datagram_push(struct sockets *s, struct sock *so, uint64_t now)
{
	struct cork *cork = so->cork;
	int err;

	if (!cork)
		return 0;
	err = send_whole(s, so, &cork->how, cork->data, cork->n, cork->segment, now);
	datagram_drop(s, so);
	return err;
}

/* More of what is corked; the last of it, if MORE says so. What gets too long is lost, all of it.
 */
static long cork_add(struct sockets *s, struct sock *so, const struct msghdr *msg, bool more,
		     uint64_t now)
{
	struct cork *cork = so->cork;
	size_t n = iov_total(msg);
	uint32_t header = cpl_addr_is4(&cork->how.to.addr) ? IPV4_HLEN : 0;
	int err = 0;

	if (cork->n + n + UDP_HLEN + header > 65535) {
		errqueue_local(s, so, &cork->how.to, EMSGSIZE, now);
		datagram_drop(s, so);
		return -EMSGSIZE;
	}
	for (size_t i = 0; i < msg->msg_iovlen; i++) {
		memcpy(cork->data + cork->n, msg->msg_iov[i].iov_base, msg->msg_iov[i].iov_len);
		cork->n += (uint32_t)msg->msg_iov[i].iov_len;
	}
	if (!more)
		err = datagram_push(s, so, now);
	return err ? err : (long)n;
}

static long cork_begin(struct sockets *s, struct sock *so, const struct msghdr *msg,
		       const struct udp_how *how, uint16_t segment, uint64_t now)
{
	so->cork = mem_alloc(s->mem, sizeof(*so->cork));
	if (!so->cork)
		return -ENOBUFS;
	so->cork->how = *how;
	so->cork->segment = segment;
	so->cork->n = 0;
	return cork_add(s, so, msg, true, now);
}

/* ---- sendmsg(2) ---- */

/* Where to, and how, by MSG and the options. */
static int send_begin(struct sockets *s, struct sock *so, const struct msghdr *msg, int flags,
		      struct udp_how *how, uint16_t *segment, uint64_t now)
{
	struct cpl_endpoint to;
	int err = send_to(s, so, msg, &to);

	if (err)
		return err;
	if (flags & MSG_OOB && cpl_addr_is4(&to.addr))
		return -EOPNOTSUPP;
	if (!to.port)
		return -EINVAL;
	*how = how_by_options(so, &to);
	if (name_is_group(s, &how->from.addr))
		how->from.addr = name_any(so);
	err = control_send(so, msg, how, segment);
	err = err ? err : may_broadcast(s, so, &to);
	if (err)
		return err;
	if (so->shutdown & SHUT_SND)
		return -EPIPE;
	if (so->error)
		return -sock_take_error(so);
	err = sock_autobind(s, so, now);
	how->from.port = so->local.port;
	return err == -EADDRINUSE ? -EAGAIN : err;
}

long datagram_send(struct sockets *s, struct sock *so, const struct msghdr *msg, int flags,
		   uint64_t now)
{
	size_t n = iov_total(msg);
	uint16_t segment = (uint16_t)so->o.v[OPT_UDP_SEGMENT];
	bool more = so->o.v[OPT_UDP_CORK] || flags & MSG_MORE;
	struct udp_how how;
	const void *data;
	int err;

	if (n > 65535)
		return -EMSGSIZE;
	if (flags & MSG_OOB && so->domain == AF_INET)
		return -EOPNOTSUPP;
	if (so->cork)
		return cork_add(s, so, msg, more, now);
	err = send_begin(s, so, msg, flags, &how, &segment, now);
	if (err)
		return err;
	if (more)
		return cork_begin(s, so, msg, &how, segment, now);
	data = gather(s, msg, n);
	if (!data)
		return -ENOBUFS;
	err = send_whole(s, so, &how, data, n, segment, now);
	return err ? err : (long)n;
}

/* ---- receive ---- */

long datagram_receive(struct sockets *s, struct sock *so, struct msghdr *msg, int flags,
		      uint64_t now)
{
	struct udp_socket *u = sock_udp(s, so);
	struct udp_datagram *d = u ? udp_first(u) : NULL;
	socklen_t name_len = msg->msg_namelen;
	struct control c;
	uint64_t whole;
	size_t copied = 0;

	(void)now;
	if (flags & MSG_ERRQUEUE)
		return errqueue_receive(s, so, msg);
	if (so->error)
		return -sock_take_error(so);
	if (!d)
		return -EAGAIN;
	msg->msg_flags = 0;
	whole = d->data.bytes;
	for (size_t i = 0; i < msg->msg_iovlen && copied < whole; i++)
		copied += chunkq_copy(&d->data, copied, msg->msg_iov[i].iov_base,
				      msg->msg_iov[i].iov_len);
	if (copied < whole)
		msg->msg_flags |= MSG_TRUNC;
	name_out(so, &d->from, msg->msg_name, &name_len);
	msg->msg_namelen = msg->msg_name ? name_len : 0;
	control_begin(&c, msg);
	control_received(s, so, d, u->drops, &c);
	control_end(&c, msg);
	if (!(flags & MSG_PEEK))
		udp_drop_first(s->stack, u);
	return flags & MSG_TRUNC ? (long)whole : (long)copied;
}
