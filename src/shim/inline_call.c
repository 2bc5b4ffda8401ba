/* SPDX-License-Identifier: MIT */
/*
 * The calls that are made inline: what server_call.c does for those that ask it, on the program's
 * own buffers. A socket made here has an ordinary descriptor, whose other end goes to the server
 * with the next message: whoever inherits it finds all as it should be.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/hash.h"
#include "shim/inliner.h"
#include "shim/process.h"

#define WINDOW	    16		/* vectors of what is left of a send or a receive */
#define BULK	    (64u << 10) /* octets of one call: a burst by themselves */
/* Of a file, 64 KiB each: what is read still lies in the cache when it leaves. */
#define FILE_PIECES 4

/* The first call on a descriptor that came by other ways goes to the server, which so hears of it.
 */
static bool known(int fd)
{
	bool told = fd_get(fds[fd].told);

	if (!told)
		fd_put(fds[fd].told, true);
	return told && fds[fd].id;
}

static bool blocks(struct inline_state *sh, uint64_t id, int flags)
{
	return !(flags & MSG_DONTWAIT) && !socket_nonblock(sh->sockets, id);
}

/* ---- Calls that may wait -------------------------------------------------------------------- */

struct work {
	int fd;
	uint64_t id;
	enum socket_op op;
	int flags;
	struct msghdr *msg;    /* SEND, RECV */
	struct sockaddr *addr; /* CONNECT, ACCEPT */
	socklen_t len;
	sock_id conn; /* ACCEPT */
	bool again;
	size_t asked, done;
	uint64_t began;
	struct iovec window[WINDOW];
};

/* What is left of the vectors. */
static struct msghdr rest_of(struct work *w)
{
	struct msghdr msg = *w->msg;
	size_t skip = w->done, i = 0, n = 0;

	if (!skip)
		return msg;
	while (i < w->msg->msg_iovlen && skip >= w->msg->msg_iov[i].iov_len)
		skip -= w->msg->msg_iov[i++].iov_len;
	for (; i < w->msg->msg_iovlen && n < WINDOW; i++, n++) {
		w->window[n] = w->msg->msg_iov[i];
		w->window[n].iov_base = (uint8_t *)w->window[n].iov_base + skip;
		w->window[n].iov_len -= skip;
		skip = 0;
	}
	msg.msg_iov = w->window;
	msg.msg_iovlen = n;
	return msg;
}

/* Each returns the call's result, or -EAGAIN: it would block. */
static long try_send(struct inline_state *sh, struct work *w, uint64_t now)
{
	struct msghdr msg = rest_of(w);
	long result = socket_sendmsg(sh->sockets, w->id, &msg, w->flags, now);

	if (result > 0)
		w->done += (size_t)result;
	if (result < 0 && result != -EAGAIN)
		return w->done ? (long)w->done : result;
	return w->done < w->asked ? -EAGAIN : (long)w->done;
}

static long try_recv(struct inline_state *sh, struct work *w, uint64_t now)
{
	struct sockaddr_storage addr = { 0 };
	bool peek = w->flags & MSG_PEEK, all = w->flags & MSG_WAITALL;
	size_t before = peek ? 0 : w->done;
	struct msghdr msg;
	long result;

	w->done = before;
	msg = rest_of(w);
	msg.msg_name = &addr;
	msg.msg_namelen = sizeof(addr);
	result = socket_recvmsg(sh->sockets, w->id, &msg, w->flags, now);
	if (result > 0)
		w->done += (size_t)result;
	if (result == -EAGAIN || (result > 0 && all && w->again && w->done < w->asked))
		return -EAGAIN;
	if (result < 0)
		return w->done ? (long)w->done : result;
	if (w->msg->msg_name && w->msg->msg_namelen)
		memcpy(w->msg->msg_name, &addr,
		       msg.msg_namelen < w->msg->msg_namelen ? msg.msg_namelen
							     : w->msg->msg_namelen);
	w->msg->msg_namelen = msg.msg_namelen;
	w->msg->msg_controllen = w->msg->msg_control ? msg.msg_controllen : 0;
	w->msg->msg_flags = msg.msg_flags | (w->flags & MSG_CMSG_CLOEXEC);
	return (long)w->done;
}

static long try_connect(struct inline_state *sh, struct work *w, uint64_t now)
{
	int err = socket_connect(sh->sockets, w->id, w->addr, w->len, now);

	if (err != -EINPROGRESS && !(err == -EALREADY && w->again))
		return err;
	if (!blocks(sh, w->id, w->flags))
		return err;
	w->again = true;
	return -EAGAIN;
}

static long try_accept(struct inline_state *sh, struct work *w, uint64_t now)
{
	return socket_accept(sh->sockets, w->id, &w->conn, w->addr, &w->len, now);
}

static long try_op(struct inline_state *sh, struct work *w, uint64_t now)
{
	switch (w->op) {
	case SOCKET_SEND:
		return try_send(sh, w, now);
	case SOCKET_RECV:
		return try_recv(sh, w, now);
	case SOCKET_CONNECT:
		return try_connect(sh, w, now);
	default:
		return try_accept(sh, w, now);
	}
}

/* It fell short. True: it waits, until *UNTIL. False: *RESULT is the program's. */
static bool waits(struct inline_state *sh, struct work *w, uint64_t now, uint64_t *until,
		  long *result)
{
	short events;

	if (!blocks(sh, w->id, w->flags)) {
		*result = w->done ? (long)w->done : -EAGAIN;
		return false;
	}
	return socket_wait(sh->sockets, w->id, w->op, w->flags, w->done, w->asked, w->began,
			   &events, until, result, now);
}

/* Done for good: a result. False: it is to wait, until *UNTIL. */
static bool try_work(struct inline_state *sh, struct work *w, uint64_t now, uint64_t *until,
		     long *result)
{
	bool looked = false, more = false;

	for (;;) {
		*result = try_op(sh, w, now);
		if (*result != -EAGAIN)
			return true;
		/* What it has may be all: another try would take what is to be told later. */
		if (((looked && !more) || w->done) && !waits(sh, w, now, until, result))
			return true;
		if (looked && !more)
			return false;
		more = inline_pass(now, true);
		looked = true;
	}
}

static int64_t work(struct work *w)
{
	struct pollfd room[3];
	uint64_t now, until = CPL_NEVER;
	int64_t result = INLINE_NOT;

	inline_begin();
	for (;;) {
		struct inline_state *sh = inline_enter(&now);
		long got = 0;
		bool over;

		if (!sh)
			break;
		if (!w->began)
			w->began = now;
		over = try_work(sh, w, now, &until, &got);
		if (over && w->op != SOCKET_CONNECT && w->asked < BULK)
			inline_leave_soon(now);
		else
			inline_leave(now);
		if (over) {
			result = got;
			break;
		}
		if (!inline_drives()) {
			if (!inline_drive())
				break;
			continue;
		}
		if (inline_wait(room, 0, until, NULL) < 0 &&
		    (until != CPL_NEVER || !inline_restarts())) {
			result = w->done ? (int64_t)w->done : -EINTR;
			break;
		}
	}
	inline_drive_end();
	return result;
}

int64_t inline_send(int fd, const struct msghdr *msg, int flags, size_t len, size_t *done)
{
	struct work w = { .fd = fd,
			  .id = fds[fd].id,
			  .op = SOCKET_SEND,
			  .flags = flags,
			  .msg = (struct msghdr *)msg,
			  .asked = len };
	int64_t result = known(fd) ? work(&w) : INLINE_NOT;

	*done = w.done;
	return result;
}

int64_t inline_recv(int fd, struct msghdr *msg, int flags, size_t len, size_t *done)
{
	struct work w = { .fd = fd,
			  .id = fds[fd].id,
			  .op = SOCKET_RECV,
			  .flags = flags,
			  .msg = msg,
			  .asked = len,
			  .again = fds[fd].type == SOCK_STREAM };
	int64_t result = known(fd) ? work(&w) : INLINE_NOT;

	*done = flags & MSG_PEEK ? 0 : w.done;
	return result;
}

/*
 * The stack's lock is held while the file is read, which therefore must not wait for a disk.
 * Returns what the stack took, or 0; *ENDED as inline_sendfile(); *ERR: -EAGAIN, -ENOBUFS, or 0.
 */
static size_t read_and_send(struct inline_state *sh, int fd, int in, off_t at, size_t len,
			    bool *ended, int *err, uint64_t now)
{
	size_t done = 0;

	for (int i = 0; i < FILE_PIECES && done < len && !*ended && !*err; i++) {
		struct socket_piece piece;
		struct iovec iov;
		ssize_t got;
		long sent;

		*err = socket_piece_new(sh->sockets, fds[fd].id, len - done, &piece, now);
		if (*err)
			break;
		iov = (struct iovec){ piece.data, piece.n };
		got = REAL(preadv2)(in, &iov, 1, at + (off_t)done, RWF_NOWAIT);
		if (got < (ssize_t)piece.n) /* what else there may be, another call finds out */
			*err = -ENOBUFS;
		got = got < 0 ? 0 : got;
		sent = socket_piece_send(sh->sockets, &piece, (size_t)got,
					 done + (size_t)got < len ? MSG_MORE : 0, now);
		*ended = sent < got;
		done += sent > 0 ? (size_t)sent : 0;
	}
	return done;
}

int64_t inline_sendfile(int fd, int in, off_t at, size_t len, bool *ended)
{
	struct inline_state *sh;
	uint64_t now;
	size_t done;
	bool wait;
	int err = 0;

	if (!known(fd))
		return INLINE_NOT;
	sh = inline_enter(&now);
	if (!sh)
		return INLINE_NOT;
	done = read_and_send(sh, fd, in, at, len, ended, &err, now);
	wait = blocks(sh, fds[fd].id, 0);
	if (done && len < BULK)
		inline_leave_soon(now);
	else
		inline_leave(now);
	/* Who waits does so in another call, for as long as that takes. */
	if (*ended || err == -EAGAIN)
		*ended = !wait;
	if (done)
		return (int64_t)done;
	return *ended ? -EAGAIN : INLINE_NOT;
}

/* ---- Descriptors ---------------------------------------------------------------------------- */

static const struct siphash_key *token_key(void)
{
	static struct siphash_key key;
	static _Atomic bool there;
	sigset_t before;

	if (!there) {
		process_lock(&before);
		if (!there)
			there = process_random(&key, sizeof(key)) == 0;
		process_unlock(&before);
	}
	return there ? &key : NULL;
}

/* A token of our own making: as the server's, not to be guessed. 0: there is none. */
static shim_token token_new(uint64_t id)
{
	static _Atomic uint64_t count;
	const struct siphash_key *key = token_key();
	uint64_t n = atomic_fetch_add(&count, 1) ^ (uint64_t)getpid() << 40, high;

	if (!key)
		return 0;
	high = siphash24(key, &n, sizeof(n)) << 32;
	return (high ? high : 1ull << 32) | SOCKET_PLACE(id);
}

/* A descriptor, and the other end for the server. */
static int pair_new(int flags, int pair[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | flags, 0, pair))
		return -1;
	if ((unsigned)pair[0] >= FDS_MAX) {
		REAL(close)(pair[0]);
		REAL(close)(pair[1]);
		errno = EMFILE;
		return -1;
	}
	/* A call that is not ours finds an end at once instead of waiting for ever. */
	REAL(shutdown)(pair[1], SHUT_WR);
	return 0;
}

static void pair_drop(void *arg)
{
	const int *pair = arg;

	fd_drop(pair[0]);
	fd_drop(pair[1]);
}

static int made_uncancelled(const int pair[2], uint64_t id, int domain, int type)
{
	struct shim_adopt adopt = { .token = token_new(id),
				    .id = id,
				    .fd = pair[0],
				    .domain = (uint16_t)domain,
				    .type = (uint16_t)type };
	struct stat st;
	int err = !adopt.token || fstat(pair[0], &st);

	if (!err) {
		adopt.inode = st.st_ino;
		err = process_adopt(&adopt, pair[1]);
	}
	REAL(close)(pair[1]);
	if (err) {
		REAL(close)(pair[0]);
		inline_close(id);
		errno = ENETDOWN;
		return -1;
	}
	fd_set_socket(pair[0], adopt.token, id, domain, type);
	fd_put(fds[pair[0]].alone, fds_alone());
	fd_put(fds[pair[0]].told, true);
	return pair[0];
}

/* The engine's socket ID gets the descriptor PAIR[0]. */
static int made(const int pair[2], uint64_t id, int domain, int type)
{
	int cancel, fd;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	fd = made_uncancelled(pair, id, domain, type);
	pthread_setcancelstate(cancel, NULL);
	return fd;
}

int inline_socket(int domain, int type, int protocol)
{
	int flags = type & (SOCK_NONBLOCK | SOCK_CLOEXEC), pair[2], err;
	struct inline_state *sh;
	sock_id id = 0;
	uint64_t now;

	if (!inline_may())
		return INLINE_ASK;
	/* That takes one descriptor more for a moment: the server may do without. */
	if (pair_new(flags, pair))
		return INLINE_ASK;
	sh = inline_enter(&now);
	if (!sh) {
		pair_drop(pair);
		return INLINE_ASK;
	}
	err = socket_open(sh->sockets, domain, type & ~flags, protocol, &id, now);
	if (!err)
		socket_set_nonblock(sh->sockets, id, flags & SOCK_NONBLOCK);
	inline_leave(now);
	if (!err)
		return made(pair, id, domain, type & ~flags);
	pair_drop(pair);
	errno = -err;
	return -1;
}

/* The thread may be cancelled while it waits. */
static int64_t work_with(struct work *w, int pair[2])
{
	int64_t result;

	pthread_cleanup_push(pair_drop, pair);
	result = work(w);
	pthread_cleanup_pop(0);
	return result;
}

int inline_accept(int fd, struct sockaddr_storage *name, socklen_t *len, int flags)
{
	struct work w = { .fd = fd,
			  .id = fds[fd].id,
			  .op = SOCKET_ACCEPT,
			  .addr = (struct sockaddr *)name,
			  .len = sizeof(*name) };
	struct inline_state *sh;
	int64_t result;
	uint64_t now;
	int pair[2];

	if (!inline_may() || !known(fd))
		return INLINE_ASK;
	/* That takes one descriptor more for a moment: the server may do without. */
	if (pair_new(flags, pair))
		return INLINE_ASK;
	result = work_with(&w, pair);
	if (result) {
		pair_drop(pair);
		if (result != INLINE_NOT)
			errno = (int)-result;
		return result == INLINE_NOT ? INLINE_ASK : -1;
	}
	sh = inline_enter(&now);
	if (sh) {
		socket_set_nonblock(sh->sockets, w.conn, flags & SOCK_NONBLOCK);
		inline_leave_soon(now);
	}
	*len = w.len;
	return made(pair, w.conn, fds[fd].domain, fds[fd].type);
}

bool inline_close(uint64_t id)
{
	uint64_t now;
	struct inline_state *sh = inline_enter(&now);
	struct linger linger = { 0 };
	socklen_t len = sizeof(linger);

	if (!sh)
		return false;
	socket_getsockopt(sh->sockets, id, SOL_SOCKET, SO_LINGER, &linger, &len, now);
	/* The server waits. */
	if (!linger.l_onoff || !linger.l_linger)
		socket_close(sh->sockets, id, now);
	inline_leave_soon(now);
	return !linger.l_onoff || !linger.l_linger;
}

/* ---- Calls that are answered at once -------------------------------------------------------- */

static int64_t do_name(struct inline_state *sh, struct shim_slot *slot, uint64_t id)
{
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof(addr);
	int err = slot->request.op == SHIM_SOCKNAME
			  ? socket_getsockname(sh->sockets, id, (struct sockaddr *)&addr, &len)
			  : socket_getpeername(sh->sockets, id, (struct sockaddr *)&addr, &len);

	slot->answer.name_len = len;
	memcpy(slot->name, &addr, len < SHIM_NAME ? len : SHIM_NAME);
	return err;
}

static int64_t do_option(struct inline_state *sh, struct shim_slot *slot, uint64_t id, uint64_t now)
{
	const struct shim_request *ask = &slot->request;
	socklen_t len = ask->data_room;
	int err;

	if (ask->op == SHIM_SETOPT)
		return socket_setsockopt(sh->sockets, id, (int)ask->arg[0], (int)ask->arg[1],
					 slot->data, ask->data_len, now);
	err = socket_getsockopt(sh->sockets, id, (int)ask->arg[0], (int)ask->arg[1], slot->data,
				&len, now);
	slot->answer.data_len = len;
	return err;
}

static int64_t do_ioctl(struct inline_state *sh, struct shim_slot *slot, uint64_t id, uint64_t now)
{
	int value = (int)slot->request.arg[1];
	int err = socket_ioctl(sh->sockets, id, (unsigned long)slot->request.arg[0], &value, now);

	slot->answer.arg[0] = value;
	return err;
}

static int64_t do_epoll_ctl(struct inline_state *sh, const struct shim_slot *slot, uint64_t id)
{
	const struct shim_request *ask = &slot->request;
	struct socket_event event = { .events = (uint32_t)ask->arg[3],
				      .data = (uint64_t)ask->arg[4] };

	return socket_epoll_ctl(sh->sockets, fds[ask->fd].id, (int)ask->arg[0], id,
				(int)ask->arg[2], &event);
}

static int64_t dispatch(struct inline_state *sh, struct shim_slot *slot, uint64_t id, uint64_t now)
{
	const struct shim_request *ask = &slot->request;
	struct sockaddr_storage addr = { 0 };

	switch (ask->op) {
	case SHIM_BIND:
		memcpy(&addr, slot->name, ask->name_len);
		return socket_bind(sh->sockets, id, (struct sockaddr *)&addr, ask->name_len, now);
	case SHIM_LISTEN:
		return socket_listen(sh->sockets, id, (int)ask->arg[0], now);
	case SHIM_SHUTDOWN:
		return socket_shutdown(sh->sockets, id, (int)ask->arg[0], now);
	case SHIM_SOCKNAME:
	case SHIM_PEERNAME:
		return do_name(sh, slot, id);
	case SHIM_SETOPT:
	case SHIM_GETOPT:
		return do_option(sh, slot, id, now);
	case SHIM_IOCTL:
		return do_ioctl(sh, slot, id, now);
	case SHIM_NONBLOCK:
		socket_set_nonblock(sh->sockets, id, ask->arg[0] != 0);
		return 0;
	default:
		return do_epoll_ctl(sh, slot, id);
	}
}

static int64_t connect_now(struct shim_slot *slot, uint64_t id)
{
	struct sockaddr_storage addr = { 0 };
	struct work w = { .fd = slot->request.fd,
			  .id = id,
			  .op = SOCKET_CONNECT,
			  .addr = (struct sockaddr *)&addr,
			  .len = slot->request.name_len };

	int64_t result;

	memcpy(&addr, slot->name, slot->request.name_len);
	result = work(&w);
	slot->request.arg[0] = w.again;
	return result;
}

bool inline_call(struct shim_slot *slot)
{
	const struct shim_request *ask = &slot->request;
	int fd = ask->op == SHIM_EPOLL_CTL ? (int)ask->arg[2] : ask->fd;
	const struct fd *f = fd_socket(fd);
	struct inline_state *sh;
	uint64_t now;

	if (!inline_may() || !f || !known(fd) || (ask->op == SHIM_EPOLL_CTL && !fds[ask->fd].id))
		return false;
	switch (ask->op) {
	case SHIM_CONNECT:
		memset(&slot->answer, 0, sizeof(slot->answer));
		slot->answer.result = connect_now(slot, f->id);
		return slot->answer.result != INLINE_NOT;
	case SHIM_BIND:
	case SHIM_LISTEN:
	case SHIM_SHUTDOWN:
	case SHIM_SOCKNAME:
	case SHIM_PEERNAME:
	case SHIM_SETOPT:
	case SHIM_GETOPT:
	case SHIM_IOCTL:
	case SHIM_NONBLOCK:
	case SHIM_EPOLL_CTL:
		break;
	default:
		return false;
	}
	sh = inline_enter(&now);
	if (!sh)
		return false;
	memset(&slot->answer, 0, sizeof(slot->answer));
	slot->answer.result = dispatch(sh, slot, f->id, now);
	inline_leave_soon(now);
	return true;
}

/* ---- Readiness ------------------------------------------------------------------------------ */

static int look(struct inline_state *sh, struct pollfd *set, nfds_t n)
{
	int ready = 0;

	for (nfds_t i = 0; i < n; i++) {
		const struct fd *f = fd_socket(set[i].fd);
		short got;

		if (!f)
			continue;
		got = socket_readiness(sh->sockets, f->id);
		if (got != POLLNVAL)
			got &= (short)(set[i].events | POLLERR | POLLHUP);
		set[i].revents = got;
		ready += got != 0;
	}
	return ready;
}

int64_t inline_look(struct pollfd *set, nfds_t n)
{
	uint64_t now;
	struct inline_state *sh = inline_enter(&now);
	int ready;

	if (!sh)
		return INLINE_NOT;
	inline_pass(now, false);
	ready = look(sh, set, n);
	for (bool more = true; !ready && more;) {
		more = inline_pass(now, true);
		ready = look(sh, set, n);
	}
	inline_told((unsigned)ready);
	inline_leave(now);
	return ready;
}

int64_t inline_epoll_take(uint64_t id, struct epoll_event *events, int max, bool needed)
{
	struct socket_event got[64];
	uint64_t now;
	struct inline_state *sh = inline_enter(&now);
	unsigned n;

	if (!sh)
		return INLINE_NOT;
	if (max > 64) /* a level-triggered one would come twice */
		max = 64;
	inline_pass(now, false);
	n = socket_epoll_take(sh->sockets, id, got, (unsigned)max);
	for (bool more = needed; !n && more;) {
		more = inline_pass(now, true);
		n = socket_epoll_take(sh->sockets, id, got, (unsigned)max);
	}
	inline_told(n);
	inline_leave(now);
	for (unsigned i = 0; i < n; i++) {
		events[i].events = got[i].events;
		events[i].data.u64 = got[i].data;
	}
	return n;
}
