/* SPDX-License-Identifier: MIT */
/*
 * poll(2) and select(2) over both kinds of descriptors. Sockets of Couplet alone are waited for at
 * the server; mixed with others, the kernel waits, with the thread's bell in their place.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#include "shim/inliner.h"
#include "shim/shim.h"

#define DEAD	 (POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLRDHUP)
#define OURS_MAX (SHIM_DATA / sizeof(struct shim_poll))

/* A poll at work. */
struct asked {
	struct pollfd *fds;
	nfds_t n;
	unsigned ours, others;
};

/* The server is gone: so are its sockets, as after RST, and the calls on them say so (ENETDOWN). */
static int all_dead(struct asked *a)
{
	int n = 0;

	for (nfds_t i = 0; i < a->n; i++)
		if (fd_socket(a->fds[i].fd)) {
			a->fds[i].revents = (short)((a->fds[i].events & DEAD) | POLLERR | POLLHUP);
			n++;
		}
	return n;
}

/* Ask the server. Returns how many of ours are ready, their revents set; -1 with errno. */
static int ask_server(struct asked *a, int64_t timeout_ns, enum shim_poll_how how)
{
	struct shim_slot *slot = call_begin(SHIM_POLL, -1, 0);
	struct shim_poll *p;
	unsigned k = 0;
	int64_t result;

	if (!slot)
		return errno == ENETDOWN ? all_dead(a) : -1;
	p = (struct shim_poll *)(void *)slot->data;
	for (nfds_t i = 0; i < a->n; i++) {
		const struct fd *f = fd_socket(a->fds[i].fd);

		if (f && k < a->ours)
			p[k++] = (struct shim_poll){ .sock = f->token, .events = a->fds[i].events };
	}
	slot->request.arg[0] = k;
	slot->request.arg[1] = timeout_ns;
	slot->request.arg[2] = how;
	result = call_do(slot, true);
	k = 0;
	for (nfds_t i = 0; i < a->n && result >= 0; i++)
		if (fd_socket(a->fds[i].fd) && k < a->ours)
			a->fds[i].revents = p[k++].revents;
	call_end(slot);
	return result == -ENETDOWN ? all_dead(a) : (int)result_of(result);
}

/* The kernel's part, and BELL if it is not -1. Returns as poll(2), the bell not counted. */
static int ask_kernel(struct asked *a, struct pollfd *copy, int bell,
		      const struct timespec *timeout, const sigset_t *mask)
{
	nfds_t n = a->n;
	int ready;

	for (nfds_t i = 0; i < n; i++) {
		copy[i] = a->fds[i];
		if (fd_socket(copy[i].fd))
			copy[i].fd = -1;
	}
	copy[n] = (struct pollfd){ .fd = bell, .events = POLLIN };
	copy[n + 1] = (struct pollfd){ .fd = bell < 0 ? -1 : process_conn() };
	ready = REAL(ppoll)(copy, bell < 0 ? n : n + 2, timeout, mask);
	if (ready < 0)
		return ready;
	for (nfds_t i = 0; i < n; i++)
		if (copy[i].fd >= 0 || a->fds[i].fd < 0)
			a->fds[i].revents = copy[i].revents;
	if (bell >= 0)
		ready -= (copy[n].revents != 0) + (copy[n + 1].revents != 0);
	return ready;
}

static void bell_reset(int bell)
{
	uint64_t count;

	/* It does not block. */
	if (REAL(read)(bell, &count, sizeof(count)) < 0)
		return;
}

/* Of both kinds. COPY has room for two more than there are. */
static int poll_mixed(struct asked *a, struct pollfd *copy, const struct timespec *timeout,
		      const sigset_t *mask)
{
	static const struct timespec zero;
	bool wait = !timeout || timeout->tv_sec || timeout->tv_nsec;
	int bell = wait ? thread_bell() : -1, ours, others;

	if (wait && bell < 0)
		return -1;
	if (wait)
		bell_reset(bell);
	ours = ask_server(a, wait ? -1 : 0, wait ? SHIM_POLL_ARM : SHIM_POLL_WAIT);
	if (ours < 0)
		return -1;
	if (ours || !wait) {
		others = ask_kernel(a, copy, -1, &zero, mask);
		return others < 0 ? others : ours + others;
	}
	others = ask_kernel(a, copy, bell, timeout, mask);
	if (others < 0) {
		int saved = errno;

		ask_server(a, 0, SHIM_POLL_DISARM);
		errno = saved;
		return -1;
	}
	ours = ask_server(a, 0, SHIM_POLL_DISARM);
	return ours < 0 ? ours : ours + others;
}

/* Again until something is there: a bell may have rung for what was gone again. */
static int poll_until(struct asked *a, const struct timespec *timeout, const sigset_t *mask)
{
	struct pollfd few[64], *copy = few;
	struct timespec left = timeout ? *timeout : (struct timespec){ 0 };
	uint64_t until = 0, now;
	int n, err;

	if (timeout)
		until = clock_ns() + time_ns(&left);
	if (a->n + 2 > sizeof(few) / sizeof(few[0]))
		copy = reallocarray(NULL, a->n + 2, sizeof(*copy));
	if (!copy) {
		errno = ENOMEM;
		return -1;
	}
	inliner_waits_at_bell();
	for (;;) {
		n = poll_mixed(a, copy, timeout ? &left : NULL, mask);
		now = clock_ns();
		if (n || (timeout && now >= until))
			break;
		left = time_left(until, now);
	}
	err = errno;
	inliner_waits(-1);
	errno = err;
	if (copy != few)
		free(copy);
	return n;
}

/*
 * Inline: this thread looks for packets itself. COPY has room for three more than there are.
 * INLINE_NOT: the server is to be asked.
 */
static int64_t poll_inline(struct asked *a, struct pollfd *copy, const struct timespec *timeout,
			   const sigset_t *mask)
{
	uint64_t until = UINT64_MAX;
	int64_t ours, others = 0;

	if (timeout)
		until = clock_ns() + (uint64_t)timeout->tv_sec * 1000000000u +
			(uint64_t)timeout->tv_nsec;
	inline_begin();
	for (;;) {
		ours = inline_look(a->fds, a->n);
		if (ours == INLINE_NOT)
			break;
		if (a->others) {
			static const struct timespec zero;

			others = ask_kernel(a, copy, -1, &zero, NULL);
			if (others < 0) {
				ours = -1;
				break;
			}
		}
		ours += others;
		if (ours)
			break;
		if (timeout && clock_ns() >= until) {
			/* As the kernel's do_poll(): a signal counts even if the time is over. */
			ours = inline_interrupted() ? -1 : 0;
			break;
		}
		ours = INLINE_NOT;
		if (!inline_drives()) {
			if (!inline_drive())
				break;
			continue;
		}
		for (nfds_t i = 0; i < a->n; i++) {
			copy[i] = a->fds[i];
			if (fd_socket(copy[i].fd))
				copy[i].fd = -1;
		}
		ours = inline_wait(copy, a->n, until, mask);
		if (ours < 0)
			break;
	}
	inline_drive_end();
	return ours;
}

static bool try_inline(struct asked *a, const struct timespec *timeout, const sigset_t *mask,
		       int *result)
{
	struct pollfd few[64], *copy = few;
	int64_t n;

	if (!inline_may())
		return false;
	if (a->n + 3 > sizeof(few) / sizeof(few[0]))
		copy = reallocarray(NULL, a->n + 3, sizeof(*copy));
	if (!copy)
		return false;
	n = poll_inline(a, copy, timeout, mask);
	if (copy != few)
		free(copy);
	*result = (int)n;
	return n != INLINE_NOT;
}

static int poll_any(struct pollfd *set, nfds_t n, const struct timespec *timeout,
		    const sigset_t *mask)
{
	struct asked a = { .fds = set, .n = n };
	int result;

	if (!bad_pointer(set, n * sizeof(*set)))
		for (nfds_t i = 0; i < n; i++) {
			if (fd_socket(set[i].fd) && a.ours < OURS_MAX)
				a.ours++;
			else if (set[i].fd >= 0)
				a.others++;
			if (fd_kind(set[i].fd) == FD_EPOLL)
				inliner_nested();
		}
	if (!a.ours)
		return REAL(ppoll)(set, n, timeout, mask);
	pthread_testcancel();
	for (nfds_t i = 0; i < n; i++)
		set[i].revents = 0;
	if (try_inline(&a, timeout, mask, &result))
		return result;
	if (a.others || mask)
		return poll_until(&a, timeout, mask);
	return ask_server(&a, timeout ? (int64_t)time_ns(timeout) : -1, SHIM_POLL_WAIT);
}

EXPORT int poll(struct pollfd *set, nfds_t n, int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	return poll_any(set, n, ms < 0 ? NULL : &t, NULL);
}

EXPORT int ppoll(struct pollfd *set, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	if (timeout &&
	    (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec > 999999999)) {
		errno = EINVAL;
		return -1;
	}
	return poll_any(set, n, timeout, mask);
}

/* ---- select(2) ------------------------------------------------------------------------------ */

#define IN_SET	(POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR)
#define OUT_SET (POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR)
#define EX_SET	POLLPRI

/* A set may be larger than fd_set says: bits by hand. */
static bool bit(const fd_set *set, int fd)
{
	const unsigned long *words = (const unsigned long *)(const void *)set;

	return set && words[fd / 64] >> (fd % 64) & 1;
}

static void put_bit(fd_set *set, int fd, bool on, int *n)
{
	unsigned long *words = (unsigned long *)(void *)set, mask = 1ul << (fd % 64);

	if (!set)
		return;
	words[fd / 64] = on ? words[fd / 64] | mask : words[fd / 64] & ~mask;
	*n += on;
}

static bool any_socket(int n, const fd_set *in, const fd_set *out, const fd_set *except)
{
	for (int fd = 0; fd < n; fd++)
		if (fd_socket(fd) && (bit(in, fd) || bit(out, fd) || bit(except, fd)))
			return true;
	return false;
}

static int select_by_poll(int n, fd_set *in, fd_set *out, fd_set *except, struct pollfd *set,
			  const struct timespec *timeout, const sigset_t *mask)
{
	nfds_t k = 0;
	int ready, bits = 0;

	for (int fd = 0; fd < n; fd++) {
		short events = (short)((bit(in, fd) ? POLLIN | POLLRDNORM : 0) |
				       (bit(out, fd) ? POLLOUT | POLLWRNORM : 0) |
				       (bit(except, fd) ? POLLPRI : 0));

		if (events)
			set[k++] = (struct pollfd){ .fd = fd, .events = events };
	}
	ready = poll_any(set, k, timeout, mask);
	if (ready < 0)
		return -1;
	for (nfds_t i = 0; i < k; i++)
		if (set[i].revents & POLLNVAL) {
			errno = EBADF;
			return -1;
		}
	for (nfds_t i = 0; i < k; i++) {
		int fd = set[i].fd, was = set[i].events, is = set[i].revents;

		put_bit(in, fd, was & POLLIN && is & IN_SET, &bits);
		put_bit(out, fd, was & POLLOUT && is & OUT_SET, &bits);
		put_bit(except, fd, was & POLLPRI && is & EX_SET, &bits);
	}
	return bits;
}

EXPORT int pselect(int n, fd_set *in, fd_set *out, fd_set *except, const struct timespec *timeout,
		   const sigset_t *mask)
{
	struct pollfd *set;
	int result;

	if (n <= 0 || n > (int)FDS_MAX || !any_socket(n, in, out, except))
		return REAL(pselect)(n, in, out, except, timeout, mask);
	if (bad_limit(timeout)) {
		errno = EINVAL;
		return -1;
	}
	set = reallocarray(NULL, (size_t)n, sizeof(*set));
	if (!set) {
		errno = ENOMEM;
		return -1;
	}
	result = select_by_poll(n, in, out, except, set, timeout, mask);
	free(set);
	return result;
}

EXPORT int select(int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout)
{
	struct timespec t = { 0 };
	uint64_t began, took, all;
	int result;

	if (n <= 0 || n > (int)FDS_MAX || !any_socket(n, in, out, except))
		return REAL(select)(n, in, out, except, timeout);
	if (!timeout)
		return pselect(n, in, out, except, NULL, NULL);
	if (timeout->tv_sec < 0 || timeout->tv_usec < 0) {
		errno = EINVAL;
		return -1;
	}
	t.tv_sec = timeout->tv_sec + timeout->tv_usec / 1000000;
	t.tv_nsec = timeout->tv_usec % 1000000 * 1000;
	began = clock_ns();
	result = pselect(n, in, out, except, &t, NULL);
	/* Linux tells how much of it is left. */
	took = clock_ns() - began;
	all = time_ns(&t);
	t = time_left(all, took < all ? took : all);
	timeout->tv_sec = t.tv_sec;
	timeout->tv_usec = t.tv_nsec / 1000;
	return result;
}
