/* SPDX-License-Identifier: MIT */
/*
 * This process as the server's client: attached when it first needs to be, anew after fork(); its
 * connection, and what is handed out from it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/un.h>
#include <unistd.h>

#include "shim/inliner.h"
#include "shim/process.h"
#include "shim/shim.h"

#define SHIM_ENV "COUPLET_RUN"

/* What a child of fork() finds zeroed, whichever way it was made: MADV_WIPEONFORK. */
struct wiped {
	_Atomic int attached;
	_Atomic int lock, making;
};

static struct wiped *wiped;
static struct sockaddr_un server_addr; /* empty path: none */
static int conn = -1, heir = -1;
static struct shim_area *area;
static const struct shim_board *board;
static uint64_t key;
static bool spins;
static uint64_t slots_used[SHIM_SLOTS / 64];
static int gifts[SHIM_SLOTS]; /* descriptors that another thread took from the connection, plus 1 */
static _Atomic uint32_t generation; /* of attachments: slots of an earlier one are void */
static _Atomic bool lost;

/* ---- Attaching ------------------------------------------------------------------------------ */

/* Of the threads that have the locks. */
static int cancel_before, making_cancel;

static void lock(_Atomic int *at, sigset_t *before, int *cancel_of_holder)
{
	int zero = 0, cancel;
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, before);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	while (!atomic_compare_exchange_weak(at, &zero, 1)) {
		zero = 0;
		sched_yield();
	}
	*cancel_of_holder = cancel;
}

static void unlock(_Atomic int *at, const sigset_t *before, const int *cancel_of_holder)
{
	int cancel = *cancel_of_holder;

	atomic_store(at, 0);
	pthread_setcancelstate(cancel, NULL);
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

void process_lock(sigset_t *before)
{
	lock(&wiped->lock, before, &cancel_before);
}

void process_unlock(const sigset_t *before)
{
	unlock(&wiped->lock, before, &cancel_before);
}

void process_making(sigset_t *before)
{
	lock(&wiped->making, before, &making_cancel);
}

void process_made(const sigset_t *before)
{
	unlock(&wiped->making, before, &making_cancel);
}

__attribute__((constructor(101))) static void process_init(void)
{
	const char *path = getenv(SHIM_ENV);

	if (wiped || !path || !path[0] || strlen(path) >= sizeof(server_addr.sun_path))
		return;
	wiped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (wiped == MAP_FAILED || madvise(wiped, 4096, MADV_WIPEONFORK)) {
		wiped = NULL;
		return;
	}
	server_addr.sun_family = AF_UNIX;
	strcpy(server_addr.sun_path, path);
}

bool process_served(void)
{
	if (!wiped)
		process_init();
	return wiped != NULL;
}

static int connect_server(void)
{
	int fd = REAL(socket)(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return -1;
	do
		err = REAL(connect)(fd, (struct sockaddr *)&server_addr, sizeof(server_addr));
	while (err && errno == EINTR);
	if (err) {
		err = errno;
		REAL(close)(fd);
		errno = err;
		return -1;
	}
	return fd_hide(fd);
}

/* Send MESSAGE, with our own process's number, which the kernel checks, and perhaps FD. */
static int message_send(int to, struct shim_message *m, int fd)
{
	struct ucred who = { getpid(), getuid(), getgid() };
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(who)) + CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { m, sizeof(*m) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = CMSG_SPACE(sizeof(who)) };
	struct cmsghdr *h = &control.h;
	ssize_t n;

	m->magic = SHIM_MAGIC;
	m->version = SHIM_VERSION;
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_CREDENTIALS;
	h->cmsg_len = CMSG_LEN(sizeof(who));
	memcpy(CMSG_DATA(h), &who, sizeof(who));
	if (fd >= 0) {
		msg.msg_controllen = sizeof(control.room);
		h = (struct cmsghdr *)(void *)(control.room + CMSG_SPACE(sizeof(who)));
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	}
	do
		n = REAL(sendmsg)(to, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -1 : 0;
}

/* *N: how many descriptors came, 2 or 5. */
static int hello_read(struct shim_hello *h, int got[5], unsigned *n_got)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(5 * sizeof(int))];
	} control;
	struct iovec iov = { h, sizeof(*h) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t n;

	do
		n = REAL(recvmsg)(conn, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(*h) || h->magic != SHIM_MAGIC || h->version != SHIM_VERSION ||
	    msg.msg_controllen < CMSG_LEN(2 * sizeof(int)))
		return -1;
	*n_got = msg.msg_controllen >= CMSG_LEN(5 * sizeof(int)) ? 5 : 2;
	memcpy(got, CMSG_DATA(&control.h), *n_got * sizeof(int));
	return 0;
}

/* What an earlier attachment left: that of the parent, in a child. */
static void detach(void)
{
	if (conn >= 0) {
		fd_forget(conn);
		REAL(close)(conn);
	}
	conn = -1;
	inliner_detach();
	if (area)
		munmap(area, sizeof(*area));
	if (board)
		munmap((void *)board, sizeof(*board));
	area = NULL;
	board = NULL;
	memset(slots_used, 0, sizeof(slots_used));
	memset(gifts, 0, sizeof(gifts));
	atomic_store(&lost, false);
	atomic_fetch_add(&generation, 1);
}

static int attach_now(void)
{
	struct shim_message m = { .type = SHIM_HELLO };
	struct shim_hello hello;
	void *a, *b;
	unsigned n;
	int got[5];

	detach();
	conn = heir >= 0 ? heir : connect_server();
	heir = -1;
	if (conn < 0)
		return -1;
	strncpy(m.program, program_invocation_short_name, sizeof(m.program) - 1);
	if (message_send(conn, &m, -1) || hello_read(&hello, got, &n))
		return -1;
	a = mmap(NULL, sizeof(*area), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, got[0],
		 0);
	b = mmap(NULL, sizeof(*board), PROT_READ, MAP_SHARED, got[1], 0);
	REAL(close)(got[0]);
	REAL(close)(got[1]);
	if (a == MAP_FAILED || b == MAP_FAILED)
		return -1;
	/* A child must not write into its parent's calls. */
	madvise(a, sizeof(*area), MADV_DONTFORK);
	area = a;
	board = b;
	key = hello.key;
	spins = hello.cpus > 1;
	if (n == 5)
		inliner_attach(hello.arena, got + 2, key);
	return 0;
}

static bool attach(void)
{
	sigset_t before;
	int err = 0;

	if (!process_served()) {
		errno = ENETDOWN;
		return false;
	}
	if (atomic_load_explicit(&wiped->attached, memory_order_acquire))
		return true;
	process_lock(&before);
	if (!atomic_load(&wiped->attached)) {
		err = attach_now();
		if (!err)
			atomic_store(&wiped->attached, 1);
	}
	process_unlock(&before);
	if (err)
		errno = ENETDOWN;
	return !err;
}

const struct shim_board *process_board(void)
{
	return attach() ? board : NULL;
}

static sigset_t fork_mask;
static bool forking;

/* The server knows whose child is to have HEIR: else what the parent drops first would be gone. */
static bool heir_known(void)
{
	struct shim_message m = { .type = SHIM_HEIR, .key = key };
	ssize_t n;

	if (message_send(heir, &m, -1))
		return false;
	do
		n = REAL(read)(heir, &m, sizeof(m));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(m) && m.type == SHIM_HEIR;
}

static void before_fork(void)
{
	sigset_t before;

	fds_shared();
	/* A child that has not asked for anything yet: the connection that waits for it is not to
	 * be its own child's as well. */
	if (!wiped || (heir >= 0 ? !attach() : !atomic_load(&wiped->attached)))
		return;
	process_lock(&before);
	fork_mask = before;
	forking = true;
	heir = connect_server();
	if (heir >= 0 && !heir_known()) {
		fd_forget(heir);
		REAL(close)(heir);
		heir = -1;
	}
}

static void after_fork_child(void)
{
	sigset_t before = fork_mask;

	if (!forking)
		return;
	forking = false;
	inliner_detach();
	/* The parent's connection ends with the parent, and its area is not here. */
	area = NULL;
	conn = -1;
	fds_own_close(heir);
	thread_forked();
	pthread_setcancelstate(cancel_before, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void after_fork_parent(void)
{
	sigset_t before = fork_mask;

	if (!forking)
		return;
	forking = false;
	if (heir >= 0) {
		fd_forget(heir);
		REAL(close)(heir);
	}
	heir = -1;
	process_unlock(&before);
}

/* Also for those that the C library makes by itself: daemon(3), forkpty(3). */
__attribute__((constructor(103))) static void fork_watch(void)
{
	if (process_served())
		pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

/* ---- What the calls need: call.c ------------------------------------------------------------ */

struct shim_area *process_area(void)
{
	return attach() ? area : NULL;
}

int process_conn(void)
{
	return attach() ? conn : -1;
}

void process_lost(void)
{
	/* Who asks next is to ring, and to learn of it. */
	atomic_store(&area->asleep, 1);
	atomic_store(&lost, true);
}

bool process_is_lost(void)
{
	return atomic_load_explicit(&lost, memory_order_relaxed);
}

uint32_t process_generation(void)
{
	return atomic_load_explicit(&generation, memory_order_relaxed);
}

bool process_spins(void)
{
	return spins;
}

int slot_new(void)
{
	sigset_t before;
	int slot = -1;

	process_lock(&before);
	for (unsigned w = 0; w < SHIM_SLOTS / 64 && slot < 0; w++)
		if (~slots_used[w]) {
			unsigned bit = (unsigned)__builtin_ctzll(~slots_used[w]);

			slots_used[w] |= 1ull << bit;
			slot = (int)(w * 64 + bit);
		}
	process_unlock(&before);
	return slot;
}

void slot_free(int slot)
{
	sigset_t before;

	process_lock(&before);
	slots_used[slot / 64] &= ~(1ull << (slot % 64));
	process_unlock(&before);
}

static bool ring_writes, ring_looks; /* shut in: not by sendto(); and poll() may be asked */

bool process_ring(void)
{
	struct shim_message m = { .magic = SHIM_MAGIC, .version = SHIM_VERSION, .type = SHIM_RING };

	if (ring_writes) /* a broken pipe would be a signal */
		return (!ring_looks || process_alive()) &&
		       (REAL(write)(conn, &m, sizeof(m)) >= 0 || errno == EAGAIN);
	/* Full: there are rings that it has not heard yet. */
	return REAL(sendto)(conn, &m, sizeof(m), MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0) >= 0 ||
	       errno == EAGAIN;
}

bool process_alive(void)
{
	struct pollfd p = { .fd = conn };
	struct timespec zero = { 0 };

	return REAL(ppoll)(&p, 1, &zero, NULL) != 1 || !(p.revents & POLLHUP);
}

int process_give_bell(int slot, int fd)
{
	struct shim_message m = { .type = SHIM_BELL, .slot = (uint32_t)slot };

	return message_send(conn, &m, fd);
}

int process_give_holder(uint32_t place, uint64_t inode, uint64_t cookie, int fd)
{
	struct shim_message m = {
		.type = SHIM_HOLDER, .slot = place, .key = cookie, .inode = inode
	};

	return message_send(conn, &m, fd);
}

int process_waker(unsigned slot)
{
	struct shim_message m = { .type = SHIM_WAKER, .slot = slot };
	sigset_t before;
	int pair[2], fd = -1;

	/* No child is to inherit the server's end. */
	process_lock(&before);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
		fd = fd_hide(pair[0]);
		if (fd >= 0 && message_send(conn, &m, pair[1])) {
			fd_forget(fd);
			REAL(close)(fd);
			fd = -1;
		}
		if (fd >= 0)
			atomic_fetch_add(&area->slots[slot].wakers, 1);
		REAL(close)(pair[1]);
	}
	process_unlock(&before);
	return fd;
}

int process_adopt(const struct shim_adopt *adopt, int end)
{
	struct shim_message m = { .type = SHIM_ADOPT, .adopt = *adopt };

	return message_send(conn, &m, end);
}

void process_shut_in(uint64_t lacks, bool sends, bool polls)
{
	struct shim_message m = { .type = SHIM_SHUT_IN, .key = lacks };

	if (!attach())
		return;
	if (lacks)
		message_send(conn, &m, -1);
	/* write(2) is not told to give up at once. */
	if (!sends && REAL(fcntl)(conn, F_SETFL, O_NONBLOCK) == 0)
		ring_writes = true;
	ring_looks = polls;
}

int process_random(void *data, size_t n)
{
	return getrandom(data, n, 0) == (ssize_t)n ? 0 : -1;
}

/* The next descriptor that the server sent, of whatever slot. */
static int gift_read(unsigned *slot, bool cloexec)
{
	struct shim_message m;
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { &m, sizeof(m) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t n;
	int fd;

	do
		n = REAL(recvmsg)(conn, &msg, (cloexec ? MSG_CMSG_CLOEXEC : 0) | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	*slot = SHIM_SLOTS;
	if (n != (ssize_t)sizeof(m))
		return -1;
	if (m.slot < SHIM_SLOTS)
		*slot = m.slot;
	if (msg.msg_controllen < CMSG_LEN(sizeof(int))) {
		errno = EMFILE;
		return -1;
	}
	memcpy(&fd, CMSG_DATA(&control.h), sizeof(fd));
	return fd;
}

int process_gift(unsigned slot, bool cloexec)
{
	sigset_t before;
	unsigned whose;
	int fd;

	process_lock(&before);
	fd = gifts[slot] - 1;
	gifts[slot] = 0;
	if (fd >= 0 && !cloexec)
		REAL(fcntl)(fd, F_SETFD, 0);
	while (fd < 0) {
		/* It was sent before the answer: it is there. Another's is put aside. */
		fd = gift_read(&whose, cloexec);
		if (whose == slot || whose == SHIM_SLOTS)
			break;
		gifts[whose] = fd + 1;
		if (!cloexec && fd >= 0)
			REAL(fcntl)(fd, F_SETFD, FD_CLOEXEC);
		fd = -1;
	}
	process_unlock(&before);
	return fd;
}
