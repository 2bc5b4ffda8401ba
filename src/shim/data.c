/* SPDX-License-Identifier: MIT */
/*
 * The calls that carry data: the send and recv families, read, write and their vectors.
 * All are one of two: shim_send() and shim_recv(), which carry it through the slot in pieces.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shim/inliner.h"
#include "shim/shim.h"

/* ---- Vectors -------------------------------------------------------------------------------- */

/* All of IOV together, or a negative errno. */
static int64_t iov_len(const struct iovec *iov, size_t n)
{
	size_t len = 0;

	if (n > IOV_MAX)
		return -EMSGSIZE;
	if (bad_pointer(iov, n * sizeof(*iov)))
		return -EFAULT;
	for (size_t i = 0; i < n; i++) {
		if ((ssize_t)iov[i].iov_len < 0)
			return -EINVAL;
		if (bad_pointer(iov[i].iov_base, iov[i].iov_len))
			return -EFAULT;
		len += iov[i].iov_len;
		if (len > LEN_MAX)
			len = LEN_MAX;
	}
	return (int64_t)len;
}

/* Where a piece begins. */
struct at {
	const struct iovec *iov;
	size_t n, done; /* vectors left, octets done of the first */
};

/* LEN octets are done already. */
static void skip(struct at *at, size_t len)
{
	while (len && at->n && len >= at->iov->iov_len) {
		len -= at->iov->iov_len;
		at->iov++;
		at->n--;
	}
	at->done = len;
}

/* Copy LEN octets between the vectors and DATA. */
static void copy(struct at *at, uint8_t *data, size_t len, bool out)
{
	while (len && at->n) {
		size_t n = at->iov->iov_len - at->done;
		uint8_t *base = (uint8_t *)at->iov->iov_base + at->done;

		n = n < len ? n : len;
		if (n && out)
			memcpy(data, base, n);
		else if (n)
			memcpy(base, data, n);
		data += n;
		len -= n;
		at->done += n;
		if (at->done == at->iov->iov_len) {
			at->iov++;
			at->n--;
			at->done = 0;
		}
	}
}

/* ---- Sending -------------------------------------------------------------------------------- */

/* The address and the control data: 0, or a negative errno. */
static int sendable(const struct msghdr *msg)
{
	if (msg->msg_name && msg->msg_namelen) {
		if (msg->msg_namelen > SHIM_NAME)
			return -EINVAL;
		if (bad_pointer(msg->msg_name, msg->msg_namelen))
			return -EFAULT;
	}
	if (msg->msg_control && msg->msg_controllen) {
		if (msg->msg_controllen > SHIM_CONTROL)
			return -ENOBUFS;
		if (bad_pointer(msg->msg_control, msg->msg_controllen))
			return -EFAULT;
	}
	return 0;
}

static void names_in(struct shim_slot *slot, const struct msghdr *msg)
{
	if (msg->msg_name) {
		memcpy(slot->name, msg->msg_name, msg->msg_namelen);
		slot->request.name_len = msg->msg_namelen;
	}
	if (msg->msg_control) {
		memcpy(slot->control, msg->msg_control, msg->msg_controllen);
		slot->request.control_len = (uint32_t)msg->msg_controllen;
	}
}

/* One piece; MORE: others follow. */
static int64_t send_piece(struct shim_slot *slot, struct at *at, size_t len, int flags, bool more)
{
	const int last_only = MSG_OOB | MSG_EOR;

	slot->request.flags = more ? (flags & ~last_only) | MSG_MORE : flags;
	slot->request.data_len = (uint32_t)len;
	copy(at, slot->data, len, true);
	return call_do(slot, false);
}

/* DONE octets of it have been sent. */
static int64_t send_all(struct shim_slot *slot, const struct msghdr *msg, size_t len, size_t done,
			int flags, bool stream)
{
	struct at at = { msg->msg_iov, msg->msg_iovlen, 0 };
	int64_t n;

	skip(&at, done);

	if (!stream && len > SHIM_DATA)
		return -EMSGSIZE;
	do {
		size_t piece = len - done < SHIM_DATA ? len - done : SHIM_DATA;

		n = send_piece(slot, &at, piece, flags, done + piece < len);
		if (n < 0)
			return done ? (int64_t)done : n;
		done += (size_t)n;
		if ((size_t)n < piece)
			break;
		slot->request.name_len = slot->request.control_len = 0;
	} while (done < len);
	return (int64_t)done;
}

int64_t shim_send(int fd, const struct msghdr *msg, int flags)
{
	const struct fd *f = &fds[fd];
	int64_t n = iov_len(msg->msg_iov, msg->msg_iovlen);
	struct shim_slot *slot;
	size_t done = 0;
	int err;

	if (n < 0)
		return n;
	err = sendable(msg);
	if (err)
		return err;
	pthread_testcancel();
	if (inline_may()) {
		int64_t sent = inline_send(fd, msg, flags & ~MSG_NOSIGNAL, (size_t)n, &done);

		if (sent != INLINE_NOT) {
			n = sent;
			goto sent;
		}
	}
	slot = call_begin(SHIM_SEND, fd, f->token);
	if (!slot)
		return -errno;
	names_in(slot, msg);
	n = send_all(slot, msg, (size_t)n, done, flags & ~MSG_NOSIGNAL, f->type == SOCK_STREAM);
	call_end(slot);
sent:
	if (n == -EPIPE && f->type == SOCK_STREAM && !(flags & MSG_NOSIGNAL))
		raise(SIGPIPE);
	return n;
}

static ssize_t send_one(int fd, const void *data, size_t n, int flags, const struct sockaddr *addr,
			socklen_t len)
{
	struct iovec iov = { (void *)data, n };
	struct msghdr msg = { .msg_name = (void *)addr,
			      .msg_namelen = addr ? len : 0,
			      .msg_iov = &iov,
			      .msg_iovlen = 1 };

	if (n > LEN_MAX)
		iov.iov_len = LEN_MAX;
	return (ssize_t)result_of(shim_send(fd, &msg, flags));
}

EXPORT ssize_t sendto(int fd, const void *data, size_t n, int flags, const struct sockaddr *addr,
		      socklen_t len)
{
	return fd_socket(fd) ? send_one(fd, data, n, flags, addr, len)
			     : REAL(sendto)(fd, data, n, flags, addr, len);
}

EXPORT ssize_t send(int fd, const void *data, size_t n, int flags)
{
	return sendto(fd, data, n, flags, NULL, 0);
}

EXPORT ssize_t write(int fd, const void *data, size_t n)
{
	return fd_socket(fd) ? send_one(fd, data, n, 0, NULL, 0) : REAL(write)(fd, data, n);
}

/* What N buffers hold, or a negative errno, which FLAGS may be. */
static int64_t vector_len(const struct iovec *iov, int n, int flags)
{
	if (n < 0 || n > IOV_MAX)
		return -EINVAL;
	return flags < 0 ? flags : iov_len(iov, (size_t)n);
}

/* As the kernel: nothing wanted is not even a look at the socket. FLAGS may be a negative errno. */
static ssize_t send_vector(int fd, const struct iovec *iov, int n, int flags)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };
	int64_t len = vector_len(iov, n, flags);

	return (ssize_t)result_of(len > 0 ? shim_send(fd, &msg, flags) : len);
}

EXPORT ssize_t writev(int fd, const struct iovec *iov, int n)
{
	return fd_socket(fd) ? send_vector(fd, iov, n, 0) : REAL(writev)(fd, iov, n);
}

/* preadv2(2), pwritev2(2): a socket has no place, only flags. Those of send(2), or a negative
 * errno.
 */
static int vector_flags(off64_t at, int flags)
{
	const int known = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND;

	if (at != -1)
		return -ESPIPE;
	if (flags & ~known)
		return -EOPNOTSUPP;
	return flags & RWF_NOWAIT ? MSG_DONTWAIT : 0;
}

EXPORT ssize_t pwritev64v2(int fd, const struct iovec *iov, int n, off64_t at, int flags)
{
	return fd_socket(fd) ? send_vector(fd, iov, n, vector_flags(at, flags))
			     : REAL(pwritev64v2)(fd, iov, n, at, flags);
}

EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t at, int flags)
	__attribute__((alias("pwritev64v2")));

/* Descriptors may go to another process. Of several messages, the first is not looked at alone. */
static void descriptors_out(const struct msghdr *msg, unsigned n)
{
	if (process_served() && n &&
	    (n > 1 || (!bad_pointer(msg, sizeof(*msg)) && msg->msg_control)))
		fds_shared();
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	if (!fd_socket(fd)) {
		descriptors_out(msg, 1);
		return REAL(sendmsg)(fd, msg, flags);
	}
	if (bad_pointer(msg, sizeof(*msg))) {
		errno = EFAULT;
		return -1;
	}
	return (ssize_t)result_of(shim_send(fd, msg, flags));
}

EXPORT int sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
	unsigned done = 0;
	int64_t sent = 0;

	if (!fd_socket(fd)) {
		descriptors_out(&msgs->msg_hdr, n);
		return REAL(sendmmsg)(fd, msgs, n, flags);
	}
	if (n > IOV_MAX)
		n = IOV_MAX;
	if (bad_pointer(msgs, n * sizeof(*msgs))) {
		errno = EFAULT;
		return -1;
	}
	for (; done < n; done++) {
		sent = shim_send(fd, &msgs[done].msg_hdr, flags);
		if (sent < 0)
			break;
		msgs[done].msg_len = (unsigned)sent;
	}
	return done || !n ? (int)done : (int)result_of(sent);
}

/* ---- Receiving ------------------------------------------------------------------------------ */

static int names_out(const struct shim_slot *slot, struct msghdr *msg)
{
	const struct shim_answer *a = &slot->answer;
	size_t n = a->control_len;

	if (msg->msg_name && msg->msg_namelen) {
		if (bad_pointer(msg->msg_name, msg->msg_namelen))
			return -EFAULT;
		memcpy(msg->msg_name, slot->name,
		       a->name_len < msg->msg_namelen ? a->name_len : msg->msg_namelen);
	}
	msg->msg_namelen = a->name_len;
	if (n && msg->msg_control)
		memcpy(msg->msg_control, slot->control,
		       n < msg->msg_controllen ? n : msg->msg_controllen);
	else
		n = 0;
	msg->msg_controllen = n;
	msg->msg_flags = (int)a->arg[0] | (slot->request.flags & MSG_CMSG_CLOEXEC);
	return 0;
}

/* DONE octets of it have been received. */
static int64_t recv_all(struct shim_slot *slot, struct msghdr *msg, size_t len, size_t done,
			int flags, bool stream)
{
	struct at at = { msg->msg_iov, msg->msg_iovlen, 0 };
	size_t piece;
	int64_t n;

	/* A stream goes on in the next piece only if the caller wants all of it. */
	bool all = stream && (flags & MSG_WAITALL) && !(flags & MSG_PEEK);

	skip(&at, done);
	do {
		piece = len - done < SHIM_DATA ? len - done : SHIM_DATA;
		slot->request.data_room = (uint32_t)piece;
		n = call_do(slot, false);
		if (n < 0)
			return done ? (int64_t)done : n;
		if (!(stream && (flags & MSG_TRUNC)))
			copy(&at, slot->data, slot->answer.data_len, false);
		done += (size_t)n;
	} while (all && (size_t)n == piece && done < len);
	n = names_out(slot, msg);
	return n ? n : (int64_t)done;
}

int64_t shim_recv(int fd, struct msghdr *msg, int flags)
{
	const struct fd *f = &fds[fd];
	int64_t n = iov_len(msg->msg_iov, msg->msg_iovlen);
	struct shim_slot *slot;
	size_t done = 0;

	if (n < 0)
		return n;
	/* Neither waits, in the kernel. */
	if (flags & MSG_ERRQUEUE || (flags & MSG_OOB && f->type == SOCK_STREAM))
		flags |= MSG_DONTWAIT;
	if (msg->msg_control && msg->msg_controllen &&
	    bad_pointer(msg->msg_control, msg->msg_controllen))
		return -EFAULT;
	if (msg->msg_name && msg->msg_namelen && bad_pointer(msg->msg_name, msg->msg_namelen))
		return -EFAULT;
	pthread_testcancel();
	if (inline_may()) {
		int64_t got = inline_recv(fd, msg, flags, (size_t)n, &done);

		if (got != INLINE_NOT)
			return got;
	}
	slot = call_begin(SHIM_RECV, fd, f->token);
	if (!slot)
		return -errno;
	slot->request.flags = flags;
	if (msg->msg_control)
		slot->request.control_len =
			(uint32_t)(msg->msg_controllen < SHIM_CONTROL ? msg->msg_controllen
								      : SHIM_CONTROL);
	n = recv_all(slot, msg, (size_t)n, done, flags, f->type == SOCK_STREAM);
	call_end(slot);
	return n;
}

static ssize_t recv_one(int fd, void *data, size_t n, int flags, struct sockaddr *addr,
			socklen_t *len)
{
	struct iovec iov = { data, n < LEN_MAX ? n : LEN_MAX };
	struct msghdr msg = { .msg_name = addr, .msg_iov = &iov, .msg_iovlen = 1 };
	int64_t got;

	if (addr) {
		if (bad_length(len))
			return -1;
		msg.msg_namelen = *len;
	}
	got = shim_recv(fd, &msg, flags);
	if (got >= 0 && addr)
		*len = msg.msg_namelen;
	return (ssize_t)result_of(got);
}

EXPORT ssize_t recvfrom(int fd, void *data, size_t n, int flags, struct sockaddr *addr,
			socklen_t *len)
{
	return fd_socket(fd) ? recv_one(fd, data, n, flags, addr, len)
			     : REAL(recvfrom)(fd, data, n, flags, addr, len);
}

EXPORT ssize_t recv(int fd, void *data, size_t n, int flags)
{
	return recvfrom(fd, data, n, flags, NULL, NULL);
}

EXPORT ssize_t read(int fd, void *data, size_t n)
{
	if (!fd_socket(fd))
		return REAL(read)(fd, data, n);
	/* Nothing wanted: not even a look at the socket, as in the kernel. */
	return n ? recv_one(fd, data, n, 0, NULL, NULL) : 0;
}

static ssize_t recv_vector(int fd, const struct iovec *iov, int n, int flags)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };
	int64_t len = vector_len(iov, n, flags);

	return (ssize_t)result_of(len > 0 ? shim_recv(fd, &msg, flags) : len);
}

EXPORT ssize_t readv(int fd, const struct iovec *iov, int n)
{
	return fd_socket(fd) ? recv_vector(fd, iov, n, 0) : REAL(readv)(fd, iov, n);
}

EXPORT ssize_t preadv64v2(int fd, const struct iovec *iov, int n, off64_t at, int flags)
{
	return fd_socket(fd) ? recv_vector(fd, iov, n, vector_flags(at, flags))
			     : REAL(preadv64v2)(fd, iov, n, at, flags);
}

EXPORT ssize_t preadv2(int fd, const struct iovec *iov, int n, off_t at, int flags)
	__attribute__((alias("preadv64v2")));

/* Descriptors may have come, some of them Couplet's. */
static void descriptors_in(struct msghdr *msg)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h; h = CMSG_NXTHDR(msg, h)) {
		size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(fd));
			fd_arrived(fd);
		}
	}
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t n;

	if (!fd_socket(fd)) {
		n = REAL(recvmsg)(fd, msg, flags);
		if (n >= 0 && msg->msg_controllen && process_served())
			descriptors_in(msg);
		return n;
	}
	if (bad_pointer(msg, sizeof(*msg))) {
		errno = EFAULT;
		return -1;
	}
	return (ssize_t)result_of(shim_recv(fd, msg, flags));
}

EXPORT int recvmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags, struct timespec *timeout)
{
	uint64_t until = 0;
	unsigned done = 0;
	int64_t got = 0;

	if (!fd_socket(fd))
		return REAL(recvmmsg)(fd, msgs, n, flags, timeout);
	n = n < IOV_MAX ? n : IOV_MAX;
	if (bad_pointer(msgs, n * sizeof(*msgs)) ||
	    (timeout && bad_pointer(timeout, sizeof(*timeout))))
		return (int)result_of(-EFAULT);
	if (bad_limit(timeout))
		return (int)result_of(-EINVAL);
	if (timeout)
		until = clock_ns() + time_ns(timeout);
	while (done < n) {
		got = shim_recv(fd, &msgs[done].msg_hdr, flags & ~MSG_WAITFORONE);
		if (got < 0)
			break;
		msgs[done++].msg_len = (unsigned)got;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
		/* The limit is looked at after each datagram, as recvmmsg(2) confesses. */
		if (timeout) {
			uint64_t now = clock_ns();

			*timeout = time_left(until, now < until ? now : until);
			if (now >= until)
				break;
		}
	}
	return done || got >= 0 ? (int)done : (int)result_of(got);
}
