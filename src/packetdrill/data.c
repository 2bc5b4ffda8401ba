/* SPDX-License-Identifier: MIT */
/* The send and receive families: all of them are sendmsg(2) and recvmsg(2). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "packetdrill/drill.h"

/* Memory that is there: what the kernel finds out as it copies. Its protection is not looked at. */
static bool mapped(const void *p, size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uintptr_t first = (uintptr_t)p & ~(page - 1), last = ((uintptr_t)p + n - 1) & ~(page - 1);
	unsigned char in;

	return !n ||
	       (first && !mincore((void *)first, page, &in) && !mincore((void *)last, page, &in));
}

static bool mapped_all(const struct msghdr *msg)
{
	for (size_t i = 0; i < msg->msg_iovlen; i++)
		if (!mapped(msg->msg_iov[i].iov_base, msg->msg_iov[i].iov_len))
			return false;
	return true;
}

static size_t total(const struct msghdr *msg)
{
	size_t n = 0;

	for (size_t i = 0; i < msg->msg_iovlen; i++)
		n += msg->msg_iov[i].iov_len;
	return n;
}

/* What is left of C's message after the DONE octets; IOV is for its iovec. */
static void rest(const struct drill_call *c, struct msghdr *msg, struct iovec *iov)
{
	size_t skip = c->done, n = 0;

	*msg = c->msg;
	for (size_t i = 0; i < c->msg.msg_iovlen; i++) {
		struct iovec v = c->msg.msg_iov[i];
		size_t cut = skip < v.iov_len ? skip : v.iov_len;

		skip -= cut;
		if (v.iov_len == cut && c->done)
			continue;
		iov[n++] = (struct iovec){ (char *)v.iov_base + cut, v.iov_len - cut };
	}
	msg->msg_iov = iov;
	msg->msg_iovlen = n;
}

/* It fell short: true when the call is over all the same. */
static bool ends(struct drill *d, struct drill_call *c, enum socket_op op)
{
	if (socket_nonblock(d->sockets, c->sock) || c->flags & MSG_DONTWAIT) {
		c->result = c->done || c->result >= 0 ? (long)c->done : c->result;
		return true;
	}
	return !socket_wait(d->sockets, c->sock, op, c->flags, c->done, c->asked, c->began,
			    &c->events, &c->until, &c->result, d->now);
}

static bool step_send(struct drill *d, struct drill_call *c)
{
	struct iovec iov[c->msg.msg_iovlen + 1];
	struct msghdr msg;

	rest(c, &msg, iov);
	c->result = socket_sendmsg(d->sockets, c->sock, &msg, c->flags, d->now);
	/* Fast Open: the handshake first; what went with its SYN is in the next call's count. */
	c->with_syn = c->result == -EINPROGRESS;
	if (c->with_syn)
		return ends(d, c, SOCKET_SEND);
	if (c->result < 0 && c->result != -EAGAIN) {
		c->result = c->done ? (long)c->done : c->result;
		return true;
	}
	if (c->result >= 0)
		c->done += (size_t)c->result;
	if (c->done == c->asked && c->result >= 0) {
		c->result = (long)c->done;
		return true;
	}
	c->flags &= ~MSG_FASTOPEN;
	return ends(d, c, SOCKET_SEND);
}

static ssize_t send_all(struct drill *d, int fd, const struct msghdr *msg, int flags)
{
	struct drill_call c = { .step = step_send, .fd = fd, .flags = flags };
	struct iovec none = { 0 };
	struct msghdr empty = *msg;
	long r = -ENOTSOCK;

	drill_lock(d);
	c.sock = drill_sock(d, fd);
	c.msg = *msg;
	c.asked = total(msg);
	if (c.sock && !mapped_all(msg)) {
		/* What is wrong with the socket is told before what is wrong with the memory. */
		empty.msg_iov = &none;
		r = socket_sendmsg(d->sockets, c.sock, &empty, flags & ~MSG_FASTOPEN, d->now);
		r = r < 0 && !(flags & MSG_FASTOPEN) ? r : -EFAULT;
	} else if (c.sock) {
		r = drill_call(d, &c);
	}
	drill_unlock(d);
	return drill_result(r);
}

static bool step_receive(struct drill *d, struct drill_call *c)
{
	struct iovec iov[c->msg.msg_iovlen + 1];
	struct msghdr msg;

	rest(c, &msg, iov);
	c->result = socket_recvmsg(d->sockets, c->sock, &msg, c->flags, d->now);
	if (c->result < 0 && c->result != -EAGAIN) {
		c->result = c->done ? (long)c->done : c->result;
		return true;
	}
	if (c->result >= 0) {
		c->msg.msg_namelen = msg.msg_namelen;
		c->msg.msg_controllen = msg.msg_controllen;
		c->msg.msg_flags = msg.msg_flags;
	}
	if (c->result > 0 && !(c->flags & MSG_PEEK))
		c->done += (size_t)c->result;
	if (!c->result || (c->result > 0 && (c->flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_TRUNC)))) {
		c->result = c->done ? (long)c->done : c->result;
		return true;
	}
	if (c->done >= c->asked && c->done) {
		c->result = (long)c->done;
		return true;
	}
	return ends(d, c, SOCKET_RECV);
}

static ssize_t receive_all(struct drill *d, int fd, struct msghdr *msg, int flags)
{
	struct drill_call c = { .step = step_receive, .fd = fd, .flags = flags };
	char one;
	struct iovec iov = { &one, 1 };
	bool there = mapped_all(msg);
	long r = -ENOTSOCK;

	drill_lock(d);
	c.sock = drill_sock(d, fd);
	c.msg = *msg;
	if (!there) { /* nothing is read, but is there anything? */
		c.msg = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1 };
		c.flags |= MSG_PEEK;
	}
	c.asked = total(&c.msg);
	if (c.sock) {
		r = drill_call(d, &c);
		r = !there && r > 0 ? -EFAULT : r;
	}
	if (r >= 0 && there) {
		msg->msg_namelen = c.msg.msg_namelen;
		msg->msg_controllen = c.msg.msg_controllen;
		msg->msg_flags = c.msg.msg_flags;
	}
	drill_unlock(d);
	return drill_result(r);
}

/* ---- the entries ---- */

static ssize_t do_recvmsg(void *u, int fd, struct msghdr *msg, int flags)
{
	return receive_all(u, fd, msg, flags);
}

static ssize_t do_recvfrom(void *u, int fd, void *data, size_t n, int flags, drill_addr from,
			   socklen_t *len)
{
	struct iovec iov = { data, n };
	struct msghdr msg = { .msg_name = from,
			      .msg_namelen = from && len ? *len : 0,
			      .msg_iov = &iov,
			      .msg_iovlen = 1 };
	ssize_t r = receive_all(u, fd, &msg, flags);

	if (r >= 0 && from && len)
		*len = msg.msg_namelen;
	return r;
}

static ssize_t do_recv(void *u, int fd, void *data, size_t n, int flags)
{
	return do_recvfrom(u, fd, data, n, flags, NULL, NULL);
}

static ssize_t do_readv(void *u, int fd, const struct iovec *iov, int iov_n)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)iov_n };

	if (iov_n < 0)
		return drill_result(-EINVAL);
	if (!drill_sock(u, fd))
		return readv(fd, iov, iov_n);
	return receive_all(u, fd, &msg, 0);
}

static ssize_t do_read(void *u, int fd, void *data, size_t n)
{
	struct iovec iov = { data, n };

	return do_readv(u, fd, &iov, 1);
}

static ssize_t do_sendmsg(void *u, int fd, const struct msghdr *msg, int flags)
{
	return send_all(u, fd, msg, flags);
}

static ssize_t do_sendto(void *u, int fd, const void *data, size_t n, int flags, drill_addr_in to,
			 socklen_t len)
{
	struct iovec iov = { (void *)data, n };
	struct msghdr msg = { .msg_name = (void *)to,
			      .msg_namelen = to ? len : 0,
			      .msg_iov = &iov,
			      .msg_iovlen = 1 };

	return send_all(u, fd, &msg, flags);
}

static ssize_t do_send(void *u, int fd, const void *data, size_t n, int flags)
{
	return do_sendto(u, fd, data, n, flags, NULL, 0);
}

static ssize_t do_writev(void *u, int fd, const struct iovec *iov, int iov_n)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)iov_n };

	if (iov_n < 0)
		return drill_result(-EINVAL);
	if (!drill_sock(u, fd))
		return writev(fd, iov, iov_n);
	return send_all(u, fd, &msg, 0);
}

static ssize_t do_write(void *u, int fd, const void *data, size_t n)
{
	struct iovec iov = { (void *)data, n };

	return do_writev(u, fd, &iov, 1);
}

void drill_data(struct packetdrill_interface *i)
{
	i->read = do_read;
	i->readv = do_readv;
	i->recv = do_recv;
	i->recvfrom = do_recvfrom;
	i->recvmsg = do_recvmsg;
	i->write = do_write;
	i->writev = do_writev;
	i->send = do_send;
	i->sendto = do_sendto;
	i->sendmsg = do_sendmsg;
}
