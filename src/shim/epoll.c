/* SPDX-License-Identifier: MIT */
/*
 * epoll(7) over both kinds of descriptors. The program's epoll descriptor is a real one: the
 * kernel's descriptors are in it, and from the first socket of Couplet's on the bell of a set that
 * the server keeps for those. So an epoll descriptor may itself be polled, or be in another set.
 *
 * What is ready of both kinds is taken in turn: neither starves the other.
 */
#define _GNU_SOURCE
#include "shim/epoll.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shim/inliner.h"
#include "shim/shim.h"

/* ---- What is in the sets -------------------------------------------------------------------- */

/*
 * What this process has put into sets, by descriptor: the server knows it, and takes it with it
 * when it dies. Then everything in them is as a connection after RST, and calls say ENETDOWN.
 */
struct entry {
	struct entry *next; /* of the descriptor */
	shim_token set, sock;
	uint32_t events;
	uint64_t data;
};

#define DEAD (EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM | EPOLLRDHUP)

static struct entry *entries[FDS_MAX];
static unsigned entries_end, entries_next; /* after the highest; where the dead are told of next */

static struct entry **entry_find(shim_token set, int fd)
{
	struct entry **e = &entries[fd];

	while (*e && (*e)->set != set)
		e = &(*e)->next;
	return e;
}

/* EPOLL_CTL_... has been done. Without memory it is forgotten: it matters only then. */
static void entry_note(shim_token set, int op, int fd, const struct epoll_event *event)
{
	struct entry **at, *e;
	sigset_t before;

	process_lock(&before);
	at = entry_find(set, fd);
	e = *at;
	if (op == EPOLL_CTL_DEL && e) {
		*at = e->next;
		free(e);
	} else if (op != EPOLL_CTL_DEL) {
		if (!e)
			e = *at = calloc(1, sizeof(*e));
		if (e) {
			e->set = set;
			e->sock = fds[fd].token;
			e->events = event->events;
			e->data = event->data.u64;
		}
		if ((unsigned)fd >= entries_end)
			entries_end = (unsigned)fd + 1;
	}
	process_unlock(&before);
}

/* What is told of E when the server is gone; 0: nothing more. */
static uint32_t entry_dead(struct entry *e, int fd)
{
	uint32_t events = e->events;
	const struct fd *f = fd_socket(fd);

	/* Edges come once. Whoever closed it does not hear of it. */
	if (events & (EPOLLET | EPOLLONESHOT))
		e->events = EPOLLET;
	if (events == EPOLLET || !f || f->token != e->sock)
		return 0;
	return (events & DEAD) | EPOLLERR | EPOLLHUP;
}

static int take_dead(int set, struct epoll_event *events, int max)
{
	sigset_t before;
	int n = 0;

	process_lock(&before);
	for (unsigned looked = 0; looked < entries_end && n < max; looked++) {
		int fd = (int)(entries_next++ % entries_end);
		struct entry *e = *entry_find(fds[set].token, fd);
		uint32_t got = e ? entry_dead(e, fd) : 0;

		if (got)
			events[n++] = (struct epoll_event){ .events = got, .data.u64 = e->data };
	}
	process_unlock(&before);
	return n;
}

/* ---- Making a set --------------------------------------------------------------------------- */

/* The descriptor of a socket of ours is never in it: ENOENT. Of another kind: EINVAL. */
static bool is_epoll(int set, int fd)
{
	struct epoll_event event;

	return REAL(epoll_ctl)(set, EPOLL_CTL_DEL, fd, &event) && errno == ENOENT;
}

static int set_make_now(int fd)
{
	struct shim_slot *slot = call_begin(SHIM_EPOLL_NEW, fd, 0);
	struct epoll_event event = { .events = EPOLLIN };
	int64_t result;
	uint64_t cookie;
	int bell = -1;

	if (!slot)
		return -1;
	result = call_do(slot, false);
	if (result < 0) {
		errno = (int)-result;
	} else if (getrandom(&cookie, sizeof(cookie), 0) == (ssize_t)sizeof(cookie)) {
		bell = call_descriptor(slot, true);
		event.data.u64 = cookie;
	}
	if (bell >= 0 && REAL(epoll_ctl)(fd, EPOLL_CTL_ADD, bell, &event)) {
		REAL(close)(bell);
		bell = -1;
	}
	if (bell >= 0) {
		fd_set_token(fd, slot->answer.sock);
		fds[fd].cookie = cookie;
		fds[fd].id = slot->answer.id;
		fds[fd].place = (uint32_t)slot->answer.arg[0] % SHIM_EPOLLS;
		__atomic_store_n(&fd_kinds[fd], FD_EPOLL, __ATOMIC_RELEASE);
		/* The server's copy keeps it in the set. */
		REAL(close)(bell);
		if (!(REAL(fcntl)(fd, F_GETFD, 0) & FD_CLOEXEC))
			epoll_keep(fd);
	}
	call_end(slot);
	return bell < 0 ? -1 : 0;
}

/* Give the epoll descriptor FD a set, one, however many threads want it. */
static int set_make(int fd)
{
	sigset_t before;
	int err = 0;

	process_making(&before);
	if (fd_kind(fd) != FD_EPOLL)
		err = set_make_now(fd);
	process_made(&before);
	return err;
}

/* ---- Over execve() -------------------------------------------------------------------------- */

void epoll_keep(int fd)
{
	int pair[2], high;
	struct stat st;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return;
	high = fd_hide(pair[0]);
	if (high >= 0 && fstat(high, &st) == 0 && (unsigned)high < FDS_MAX &&
	    process_give_holder(fds[fd].place, st.st_ino, fds[fd].cookie, pair[1]) == 0) {
		fd_set_token(high, fds[fd].token);
		REAL(fcntl)(high, F_SETFD, 0);
	}
	REAL(close)(pair[1]);
}

/* Has the epoll descriptor FD an entry known by COOKIE? proc(5) tells. */
static bool has_cookie(int fd, uint64_t cookie)
{
	char path[64], line[128];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		const char *data = strstr(line, " data:");

		found = !strncmp(line, "tfd:", 4) && data && strtoull(data + 6, NULL, 16) == cookie;
	}
	if (f)
		fclose(f);
	return found;
}

void epoll_arrived(int holder, shim_token token, uint32_t place, uint64_t cookie)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;
	bool found = false;
	int high;

	while (dir && (e = readdir(dir)) != NULL) {
		int fd = atoi(e->d_name);

		if (e->d_name[0] == '.' || fd == dirfd(dir) || (unsigned)fd >= FDS_MAX ||
		    !has_cookie(fd, cookie))
			continue;
		fd_is(fd, FD_EPOLL,
		      (struct fd){
			      .token = token, .cookie = cookie, .place = place, .kernel = true });
		found = true;
	}
	if (dir)
		closedir(dir);
	high = fd_hide(holder);
	if (high < 0 || (unsigned)high >= FDS_MAX)
		return;
	fd_set_token(high, token);
	REAL(fcntl)(high, F_SETFD, 0);
	if (!found)
		epoll_left(token);
}

void epoll_left(shim_token token)
{
	for (unsigned fd = 0; fd < FDS_MAX; fd++)
		if (fd_kind((int)fd) == FD_EPOLL && fd_token((int)fd) == token)
			return;
	fds_holder_close(token);
	call_simple(SHIM_EPOLL_FREE, -1, token, 0, 0, 0);
}

EXPORT int epoll_ctl(int set, int op, int fd, struct epoll_event *event)
{
	const struct fd *f = fd_socket(fd);
	struct shim_slot *slot;
	int64_t result;

	if (op == EPOLL_CTL_ADD && !f && (unsigned)fd < FDS_MAX && fds[fd].epoll &&
	    is_epoll(fd, set))
		inliner_nested();
	if (!f || (unsigned)set >= FDS_MAX || fd_kind(set) == FD_OWN) {
		if (op == EPOLL_CTL_ADD && (unsigned)set < FDS_MAX && !fd_socket(set))
			fd_put(fds[set].kernel, true);
		return REAL(epoll_ctl)(set, op, fd, event);
	}
	if (op != EPOLL_CTL_DEL && bad_pointer(event, sizeof(*event))) {
		errno = EFAULT;
		return -1;
	}
	if (set == fd || fd_kind(set) == FD_SOCKET || !is_epoll(set, fd)) {
		/* The kernel's errno for it. */
		return REAL(epoll_ctl)(set, op, set == fd ? fd : set, event);
	}
	if (fd_kind(set) != FD_EPOLL && set_make(set))
		return -1;
	slot = call_begin(SHIM_EPOLL_CTL, set, fds[set].token);
	if (!slot)
		return -1;
	slot->request.arg[0] = op;
	slot->request.arg[1] = (int64_t)f->token;
	slot->request.arg[2] = fd;
	if (op != EPOLL_CTL_DEL) {
		slot->request.arg[3] = event->events;
		slot->request.arg[4] = (int64_t)event->data.u64;
	}
	result = call_do(slot, false);
	call_end(slot);
	if (result == 0)
		entry_note(fds[set].token, op, fd, event);
	return (int)result_of(result);
}

/* ---- Waiting -------------------------------------------------------------------------------- */

static int real_wait(int set, struct epoll_event *events, int max, const struct timespec *timeout,
		     const sigset_t *mask)
{
	int64_t ms = -1;
	int n = REAL(epoll_pwait2)(set, events, max, timeout, mask);

	if (n >= 0 || errno != ENOSYS)
		return n;
	if (timeout)
		ms = timeout->tv_sec * 1000 + (timeout->tv_nsec + 999999) / 1000000;
	return REAL(epoll_pwait)(set, events, max, ms > INT32_MAX ? -1 : (int)ms, mask);
}

/* Couplet's part of what is ready. */
static int take(int set, struct epoll_event *events, int max)
{
	struct shim_slot *slot = call_begin(SHIM_EPOLL_TAKE, set, fds[set].token);
	const struct shim_event *from;
	int n;

	if (!slot)
		return errno == ENETDOWN ? take_dead(set, events, max) : 0;
	from = (const struct shim_event *)(const void *)slot->data;
	slot->request.arg[0] = max;
	n = (int)call_do(slot, false);
	for (int i = 0; i < n && i < max; i++) {
		events[i].events = from[i].events;
		events[i].data.u64 = from[i].data;
	}
	call_end(slot);
	if (n == -ENETDOWN)
		return take_dead(set, events, max);
	return n < 0 ? 0 : n < max ? n : max;
}

/* The kernel's part, without the bell. *RUNG: it was there. Negative: an error. */
static int take_kernel(int set, struct epoll_event *events, int max, const struct timespec *timeout,
		       const sigset_t *mask, bool *rung)
{
	int n = real_wait(set, events, max, timeout, mask), kept = 0;

	for (int i = 0; i < n; i++) {
		if (events[i].data.u64 == fds[set].cookie || events[i].data.u64 == ~fds[set].cookie)
			*rung = true;
		else
			events[kept++] = events[i];
	}
	return n < 0 ? n : kept;
}

/* That the server is gone is to be heard of: each process has a connection of its own. */
static void watch_server(int set)
{
	/* Once: whoever has heard of it knows it. */
	struct epoll_event event = { .events = EPOLLONESHOT, .data.u64 = ~fds[set].cookie };
	int conn = process_conn();

	fd_put(fds[set].watched, process_generation());
	if (conn >= 0)
		REAL(epoll_ctl)(set, EPOLL_CTL_ADD, conn, &event);
}

static bool is_rung(int set)
{
	const struct shim_board *board = process_board();

	if (!board || process_is_lost())
		return true;
	if (fd_get(fds[set].watched) != process_generation())
		watch_server(set);
	return atomic_load_explicit(&board->epoll_ready[fds[set].place], memory_order_acquire);
}

static const struct timespec zero;

static bool next_turn(int set)
{
	uint8_t turn = fd_get(fds[set].turn) ^ 1;

	fd_put(fds[set].turn, turn);
	return turn;
}

/* With room for one alone, each kind goes first in turn. Returns 0 if there is nothing. */
static int take_one(int set, struct epoll_event *event)
{
	bool rung = is_rung(set);
	int n;

	if (rung && next_turn(set) && take(set, event, 1) == 1)
		return 1;
	n = take_kernel(set, event, 1, &zero, NULL, &rung);
	return n ? n : rung ? take(set, event, 1) : 0;
}

/* What there is of both; if there is nothing, after waiting for it. TIMEOUT NULL: for ever. */
static int take_both(int set, struct epoll_event *events, int max, const struct timespec *timeout,
		     const sigset_t *mask, bool *rung)
{
	int ours = 0, kernel;

	if (max == 1) {
		ours = take_one(set, events);
		if (ours)
			return ours;
	} else if (is_rung(set)) {
		/* Half of the room, and what the kernel leaves. */
		ours = take(set, events, fd_get(fds[set].kernel) ? (max + 1) / 2 : max);
		if (ours && !fd_get(fds[set].kernel))
			return ours;
	}
	*rung = false;
	kernel = take_kernel(set, events + ours, max - ours, ours ? &zero : timeout,
			     ours ? NULL : mask, rung);
	if (kernel < 0)
		return ours ? ours : kernel;
	/* Not twice: what is level-triggered would be told twice. */
	if (!ours && *rung && kernel < max)
		ours = take(set, events + kernel, max - kernel);
	return ours + kernel;
}

static int wait_both(int set, struct epoll_event *events, int max, const struct timespec *timeout,
		     const sigset_t *mask)
{
	struct timespec left = timeout ? *timeout : zero;
	uint64_t until = 0, now;
	bool rung;
	int n;

	if (max <= 0 || (size_t)max > INT32_MAX / sizeof(*events)) {
		errno = EINVAL;
		return -1;
	}
	if (bad_pointer(events, (size_t)max * sizeof(*events))) {
		errno = EFAULT;
		return -1;
	}
	if (timeout && (left.tv_sec || left.tv_nsec))
		until = clock_ns() + time_ns(&left);
	for (;;) {
		n = take_both(set, events, max, timeout ? &left : NULL, mask, &rung);
		/* Rung, and another thread was quicker: go on waiting. */
		if (n || !rung || (timeout && !until))
			return n;
		now = clock_ns();
		if (timeout && now >= until)
			return 0;
		left = time_left(until, now);
	}
}

static int64_t left_ns(uint64_t until)
{
	uint64_t now = clock_ns();

	return until > now ? (int64_t)(until - now) : 0;
}

/*
 * The kernel's part beside N of ours, which the stack inline said are ready. The bell rings only if
 * the server did something: it knows how to silence it.
 */
static int with_kernel(int set, struct epoll_event *events, int max, int n)
{
	bool rung = false;
	int kernel;

	if (n == max)
		return n;
	kernel = take_kernel(set, events + n, max - n, &zero, NULL, &rung);
	if (kernel < 0)
		return n ? n : kernel;
	n += kernel;
	/* What was taken inline and is level-triggered would come twice. */
	if (rung && !n)
		n = take(set, events, max);
	return n;
}

/*
 * Inline: this thread looks for packets itself. Returns as epoll_wait(2); INLINE_NOT: the server
 * is to be asked. UNTIL 0: does not wait.
 */
static int64_t wait_inline(int set, struct epoll_event *events, int max, uint64_t until,
			   const sigset_t *mask)
{
	bool kernels = fd_get(fds[set].kernel);
	/* Then what is waited for tells of the kernel's part without another call. */
	bool waited = false, waits = until != 0;
	struct pollfd p[4];
	int64_t n;
	int ready = 0;

	inline_begin();
	for (;;) {
		/* With room for one alone, each kind goes first in turn. */
		if (max == 1 && kernels && next_turn(set)) {
			n = with_kernel(set, events, max, 0);
			if (n)
				break;
		}
		n = inline_epoll_take(fds[set].id, events, kernels && max > 1 ? (max + 1) / 2 : max,
				      waited || !inline_drives());
		if (n == INLINE_NOT)
			break;
		if (waited ? ready && (kernels || !n) : kernels && (n || !waits))
			n = with_kernel(set, events, max, (int)n);
		if (n || !until)
			break;
		n = INLINE_NOT;
		if (!inline_drives()) {
			if (!inline_drive())
				break;
			continue;
		}
		n = 0;
		if (!left_ns(until)) {
			if (!waited && kernels)
				n = with_kernel(set, events, max, 0);
			break;
		}
		p[0] = (struct pollfd){ .fd = set, .events = POLLIN, .revents = POLLNVAL };
		ready = inline_wait(p, 1, until, mask);
		n = ready;
		if (ready < 0)
			break;
		waited = p[0].revents != POLLNVAL;
	}
	inline_drive_end();
	return n;
}

static int wait_any(int set, struct epoll_event *events, int max, const struct timespec *timeout,
		    const sigset_t *mask)
{
	uint64_t until = UINT64_MAX;
	int64_t n;
	int result;

	if (max > 0 && (size_t)max <= INT32_MAX / sizeof(*events) &&
	    !bad_pointer(events, (size_t)max * sizeof(*events)) && fds[set].id && inline_may()) {
		if (timeout)
			until = timeout->tv_sec || timeout->tv_nsec
					? clock_ns() + (uint64_t)timeout->tv_sec * 1000000000u +
						  (uint64_t)timeout->tv_nsec
					: 0;
		n = wait_inline(set, events, max, until, mask);
		if (n != INLINE_NOT)
			return (int)n;
	}
	inliner_waits_at_bell();
	result = wait_both(set, events, max, timeout, mask);
	inliner_waits(-1);
	return result;
}

EXPORT int epoll_pwait2(int set, struct epoll_event *events, int max,
			const struct timespec *timeout, const sigset_t *mask)
{
	if (fd_kind(set) != FD_EPOLL)
		return REAL(epoll_pwait2)(set, events, max, timeout, mask);
	if (bad_limit(timeout)) {
		errno = EINVAL;
		return -1;
	}
	return wait_any(set, events, max, timeout, mask);
}

EXPORT int epoll_pwait(int set, struct epoll_event *events, int max, int ms, const sigset_t *mask)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	if (fd_kind(set) != FD_EPOLL)
		return REAL(epoll_pwait)(set, events, max, ms, mask);
	return wait_any(set, events, max, ms < 0 ? NULL : &t, mask);
}

EXPORT int epoll_wait(int set, struct epoll_event *events, int max, int ms)
{
	return epoll_pwait(set, events, max, ms, NULL);
}

/* ---- Descriptors ---------------------------------------------------------------------------- */

static int made(int fd)
{
	if ((unsigned)fd < FDS_MAX)
		fd_is(fd, FD_OTHER, (struct fd){ .epoll = true });
	return fd;
}

EXPORT int epoll_create1(int flags)
{
	return made(REAL(epoll_create1)(flags));
}

EXPORT int epoll_create(int size)
{
	if (size <= 0) {
		errno = EINVAL;
		return -1;
	}
	return epoll_create1(0);
}
