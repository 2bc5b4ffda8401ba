/* SPDX-License-Identifier: MIT */
/*
 * TCP Fast Open (RFC 7413) in the calls: sendmsg(2) with MSG_FASTOPEN, and the first send(2) after
 * connect(2) with TCP_FASTOPEN_CONNECT. Both connect and send in one. Who blocks waits for the
 * handshake and then sends the rest; who does not gets what went with the SYN.
 */
#include "socket/sock.h"

static bool blocks(const struct sock *so, int flags)
{
	return !so->nonblock && !(flags & MSG_DONTWAIT);
}

/* All of MSG's data but the first SKIP octets, at most MOST. */
static long send_some(struct sockets *s, struct sock *so, const struct msghdr *msg, size_t skip,
		      size_t most, uint64_t now)
{
	long sent = 0;

	for (size_t i = 0; i < msg->msg_iovlen && (size_t)sent < most; i++) {
		const struct iovec *v = &msg->msg_iov[i];
		size_t off = skip < v->iov_len ? skip : v->iov_len, n = v->iov_len - off;
		long r;

		skip -= off;
		n = n < most - (size_t)sent ? n : most - (size_t)sent;
		if (!n)
			continue;
		r = cpl_send(s->stack, so->handle, (const char *)v->iov_base + off, n, 0, now);
		if (r < 0)
			return sent ? sent : r;
		sent += r;
		if ((size_t)r < n)
			break;
	}
	return sent;
}

/* The SYN is about to leave, with what of the data fits. */
static long with_syn(struct sockets *s, struct sock *so, const struct msghdr *msg, int flags,
		     uint64_t now)
{
	long r = send_some(s, so, msg, 0, conn_fastopen_room(s->stack, so->handle), now);

	if (r < 0)
		r = 0;
	if (!r) /* there is nothing to wait for */
		conn_syn_now(s->stack, so->handle);
	if (!blocks(so, flags))
		return r ? r : -EINPROGRESS;
	so->taken = (uint32_t)r;
	return -EINPROGRESS;
}

/* The handshake of such a send was awaited. */
static long go_on(struct sockets *s, struct sock *so, const struct msghdr *msg,
		  const struct conn_status *st, uint64_t now)
{
	long r, taken = so->taken;

	so->resumed = false;
	if (st->state == CPL_SYN_SENT || st->state == CPL_SYN_RECEIVED)
		return -EAGAIN;
	if (st->state == CPL_CLOSED)
		return stream_failed(s, so, now);
	so->stage = SOCK_CONNECTED;
	so->taken = 0;
	r = send_some(s, so, msg, (size_t)taken, SIZE_MAX, now);
	if (r < 0)
		return taken ? taken : r;
	return taken + r;
}

bool fastopen_concerns(const struct sock *so, const struct conn_status *st, int flags)
{
	return flags & MSG_FASTOPEN || st->syn_deferred || so->resumed;
}

long fastopen_send(struct sockets *s, struct sock *so, const struct msghdr *msg, int flags,
		   struct conn_status *st, uint64_t now)
{
	sa_family_t family = AF_UNSPEC;
	int err;

	if (so->resumed)
		return go_on(s, so, msg, st, now);
	if (st->syn_deferred)
		return with_syn(s, so, msg, flags, now);
	if (msg->msg_name && msg->msg_namelen >= sizeof(family))
		memcpy(&family, msg->msg_name, sizeof(family));
	if (!(s->stack->config.fastopen & CPL_FASTOPEN_CLIENT) ||
	    (family == AF_UNSPEC && msg->msg_name))
		return -EOPNOTSUPP;
	if (so->stage == SOCK_CONNECTED)
		return -EISCONN;
	if (so->stage == SOCK_CONNECTING) {
		if (st->state == CPL_CLOSED)
			return stream_failed(s, so, now);
		if (st->state == CPL_SYN_SENT || st->state == CPL_SYN_RECEIVED)
			return -EALREADY;
		so->stage = SOCK_CONNECTED; /* this call finds out, and sends */
		return stream_send(s, so, msg, flags & ~MSG_FASTOPEN, now);
	}
	if (st->state != CPL_CLOSED)
		return -EISCONN;
	if (!msg->msg_name)
		return -EINVAL;
	err = stream_begin(s, so, msg->msg_name, msg->msg_namelen, true, st, now);
	if (err && err != -EINPROGRESS)
		return err;
	return err ? err : with_syn(s, so, msg, flags, now);
}

/* ---- keys ---- */

int fastopen_set_keys(struct sockets *s, const uint8_t *key, socklen_t len)
{
	if (len != 16 && len != 32)
		return -EINVAL;
	memcpy(s->fastopen_key, key, len);
	s->fastopen_key_len = (uint8_t)len;
	return cpl_set_fastopen_key(s->stack, key, len == 32 ? key + 16 : NULL);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "xxxxxxxx-xxxxxxxx-xxxxxxxx-xxxxxxxx": four little-endian numbers. NULL: it is none. */
static const char *read_key(const char *text, uint8_t key[16])
{
	for (unsigned i = 0; i < 4; i++) {
		uint32_t v = 0;
		unsigned n = 0;

		while (n < 8 && hex_digit(*text) >= 0) {
			v = v << 4 | (uint32_t)hex_digit(*text++);
			n++;
		}
		if (!n || (i < 3 && *text++ != '-'))
			return NULL;
		for (unsigned j = 0; j < 4; j++)
			key[4 * i + j] = (uint8_t)(v >> 8 * j);
	}
	return text;
}

int fastopen_read_keys(struct sockets *s, const char *text)
{
	uint8_t key[32];
	socklen_t len = 16;

	text = read_key(text, key);
	if (text && *text == ',') {
		text = read_key(text + 1, key + 16);
		len = 32;
	}
	if (!text || (*text && *text != '\n'))
		return -EINVAL;
	return fastopen_set_keys(s, key, len);
}
