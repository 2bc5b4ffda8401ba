/* SPDX-License-Identifier: MIT */
/*
 * The queue of errors that IP_RECVERR and IPV6_RECVERR fill and MSG_ERRQUEUE reads (ip(7)).
 */
#include "socket/sock.h"

#include <linux/errqueue.h>

#define ERRORS_MAX 64 /* a socket's: what comes beyond is dropped */

/* One error, and what of the datagram it quotes. */
struct sock_error {
	struct list link;
	struct sock_extended_err ee;
	struct cpl_endpoint to, offender;
	uint32_t len;
	uint8_t data[548];
};

void errqueue_clear(struct sockets *s, struct sock *so)
{
	while (!list_empty(&so->errors)) {
		struct sock_error *e = list_first(&so->errors, struct sock_error, link);

		list_del(&e->link);
		pool_free(&s->errors, e);
	}
}

void errqueue_init(struct sockets *s)
{
	pool_init(&s->errors, s->mem, sizeof(struct sock_error), 8, 65536, 16384);
}

static struct sock_error *push(struct sockets *s, struct sock *so, const struct cpl_endpoint *to,
			       int error)
{
	struct list *pos;
	struct sock_error *e;
	unsigned n = 0;

	list_for_each (pos, &so->errors)
		n++;
	e = n < ERRORS_MAX ? pool_alloc(&s->errors, NULL) : NULL;
	if (!e)
		return NULL;
	memset(e, 0, sizeof(*e));
	e->ee.ee_errno = (uint32_t)error;
	e->to = *to;
	list_push_back(&so->errors, &e->link);
	return e;
}

bool errqueue_wanted(const struct sock *so)
{
	return so->o.v[so->domain == AF_INET6 ? OPT_RECVERR6 : OPT_RECVERR] ||
	       (so->domain == AF_INET6 && so->o.v[OPT_RECVERR]);
}

void errqueue_local(struct sockets *s, struct sock *so, const struct cpl_endpoint *to, int error,
		    uint64_t now)
{
	struct sock_error *e = errqueue_wanted(so) ? push(s, so, to, error) : NULL;
	static const struct cpl_addr none;
	const struct dst *dst;
	int err;

	if (!e)
		return;
	e->ee.ee_origin = SO_EE_ORIGIN_LOCAL;
	dst = dst_path(s->stack, &to->addr, &none, 0, &err, now);
	if (dst)
		e->ee.ee_info = dst->mtu;
	so->error = error;
	sock_wake(s, so, 8 /* POLLERR */);
}

void errqueue_take(struct sockets *s, struct sock *so)
{
	struct udp_socket *u = sock_udp(s, so);
	struct udp_report *r;

	while (u && (r = udp_first_report(u)) != NULL) {
		struct sock_error *e = push(s, so, &r->to, r->icmp.error);

		if (e) {
			e->ee.ee_origin = r->icmp.ipv6 ? SO_EE_ORIGIN_ICMP6 : SO_EE_ORIGIN_ICMP;
			e->ee.ee_type = r->icmp.type;
			e->ee.ee_code = r->icmp.code;
			e->ee.ee_info = r->icmp.info;
			e->offender.addr = r->icmp.offender;
			e->len = r->len;
			memcpy(e->data, r->data, r->len);
		}
		udp_drop_report(s->stack, u, r);
	}
}

void errqueue_soft(struct sockets *s, struct sock *so, const struct conn_status *st)
{
	struct cpl_endpoint to = { st->id.remote, st->id.rport, 0, 0 };
	struct sock_error *e = push(s, so, &to, st->soft_error);

	if (e) {
		e->ee.ee_origin = cpl_addr_is4(&to.addr) ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6;
		e->offender.addr = st->id.remote;
	}
}

/* struct sock_extended_err and the offender's address after it. */
static void put_error(const struct sock *so, const struct sock_error *e, struct control *c)
{
	struct {
		struct sock_extended_err ee;
		union {
			struct sockaddr_in in;
			struct sockaddr_in6 in6;
		} offender;
	} x = { .ee = e->ee };
	bool v4 = so->domain == AF_INET;
	socklen_t len = sizeof(x.offender);

	if (e->ee.ee_origin != SO_EE_ORIGIN_LOCAL)
		name_out(so, &e->offender, (struct sockaddr *)&x.offender, &len);
	control_put(c, v4 ? SOL_IP : SOL_IPV6, v4 ? IP_RECVERR : IPV6_RECVERR, &x,
		    sizeof(x.ee) + (v4 ? sizeof(x.offender.in) : sizeof(x.offender.in6)));
}

long errqueue_receive(struct sockets *s, struct sock *so, struct msghdr *msg)
{
	socklen_t name_len = msg->msg_namelen;
	struct sock_error *e;
	struct control c;
	size_t copied = 0;

	if (list_empty(&so->errors))
		return -EAGAIN;
	e = list_first(&so->errors, struct sock_error, link);
	for (size_t i = 0; i < msg->msg_iovlen && copied < e->len; i++) {
		size_t n = msg->msg_iov[i].iov_len;

		n = n < e->len - copied ? n : e->len - copied;
		memcpy(msg->msg_iov[i].iov_base, e->data + copied, n);
		copied += n;
	}
	msg->msg_flags = MSG_ERRQUEUE | (copied < e->len ? MSG_TRUNC : 0);
	name_out(so, &e->to, msg->msg_name, &name_len);
	msg->msg_namelen = msg->msg_name ? name_len : 0;
	control_begin(&c, msg);
	put_error(so, e, &c);
	control_end(&c, msg);
	list_del(&e->link);
	pool_free(&s->errors, e);
	/* The next one is what SO_ERROR tells now. */
	so->error = 0;
	if (!list_empty(&so->errors)) {
		e = list_first(&so->errors, struct sock_error, link);
		so->error = (int)e->ee.ee_errno;
	}
	return (long)copied;
}
