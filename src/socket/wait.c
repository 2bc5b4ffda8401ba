/* SPDX-License-Identifier: MIT */
/*
 * What a call that would block is to wait for, and when it is to give up: SO_RCVTIMEO, SO_SNDTIMEO,
 * SO_RCVLOWAT, MSG_WAITALL and SO_LINGER (socket(7), recv(2)). One place for all who block.
 */
#define _GNU_SOURCE /* POLLRDHUP */
#include "socket/sock.h"

#include <poll.h>

#define FAULTS (POLLERR | POLLHUP)

static bool over_at(uint64_t began, uint64_t timeout, uint64_t *until, uint64_t now)
{
	*until = timeout ? began + timeout : CPL_NEVER;
	return timeout && now >= *until;
}

static bool wait_connect(const struct sock *so, short *events, long *result)
{
	*events = POLLOUT | POLLIN | FAULTS;
	*result = so->stage == SOCK_CONNECTED ? 0 : -EINPROGRESS;
	return so->stage == SOCK_CONNECTING;
}

/* As the kernel's tcp_recvmsg(): enough, or nothing more to come, or the urgent octet is next. */
static bool enough(const struct sock *so, const struct conn_status *st, int flags, size_t done,
		   size_t asked)
{
	size_t target = (size_t)so->o.v[OPT_RCVLOWAT];

	if (flags & MSG_WAITALL || target > asked)
		target = asked;
	if (!sock_is_stream(so) || !target)
		target = 1;
	if (done >= target)
		return true;
	return done && (so->error || so->over || so->shutdown & SHUT_RCV ||
			(st->urgent && !st->before_urgent));
}

static bool wait_receive(const struct sock *so, const struct conn_status *st, int flags,
			 size_t done, size_t asked, short *events, long *result)
{
	*events = POLLIN | POLLRDHUP | FAULTS | (flags & MSG_OOB ? POLLPRI : 0);
	*result = done ? (long)done : -EAGAIN;
	if (done && enough(so, st, flags, done, asked))
		return false;
	if (!sock_is_stream(so) && !done && so->shutdown & SHUT_RCV) {
		*result =
			0; /* a datagram socket that is shut down reads its end only if it waits */
		return false;
	}
	return true;
}

static bool wait_send(const struct sock *so, size_t done, size_t asked, short *events, long *result)
{
	*events = POLLOUT | FAULTS;
	*result = done || !asked ? (long)done : -EAGAIN;
	return done < asked && !(done && (so->error || so->shutdown & SHUT_SND));
}

bool socket_wait(struct sockets *s, sock_id id, enum socket_op op, int flags, size_t done,
		 size_t asked, uint64_t began, short *events, uint64_t *until, long *result,
		 uint64_t now)
{
	struct sock *so = sock_get(s, id);
	struct conn_status st = { .state = CPL_CLOSED };
	uint64_t timeout;
	bool wait;

	*events = 0;
	*until = CPL_NEVER;
	*result = -EBADF;
	if (!so)
		return false;
	if (sock_is_stream(so))
		sock_look(s, so, &st);
	timeout = op == SOCKET_CONNECT || op == SOCKET_SEND ? so->o.sndtimeo : so->o.rcvtimeo;
	switch (op) {
	case SOCKET_CONNECT:
		wait = wait_connect(so, events, result);
		break;
	case SOCKET_ACCEPT:
		*events = POLLIN | FAULTS;
		*result = -EAGAIN;
		wait = true;
		break;
	case SOCKET_SEND:
		so->resumed = so->stage == SOCK_CONNECTING && sock_is_stream(so);
		wait = wait_send(so, done, asked, events, result);
		break;
	case SOCKET_RECV:
		wait = wait_receive(so, &st, flags, done, asked, events, result);
		break;
	default:
		*events = POLLHUP;
		*result = 0;
		timeout = so->o.linger_s * CPL_SECOND;
		wait = sock_lingers(s, so);
		break;
	}
	if (!wait || flags & MSG_DONTWAIT)
		return false;
	return !over_at(began, timeout, until, now);
}
