/* SPDX-License-Identifier: MIT */
/*
 * One call to the server. Each thread has a slot for the call it makes, and another one for a call
 * that a signal's handler makes meanwhile.
 *
 * Whoever asks a server that is awake looks for the answer for a while before it sleeps: that is
 * quicker than to sleep and be woken. If the server had to be rung, or says that the answer takes
 * time, there is no sense in that.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shim/inliner.h"
#include "shim/process.h"
#include "shim/shim.h"

#define DEPTH_MAX  8 /* handlers within handlers */
#define SPIN_ROUND 32
#define SPIN_NS	   30000

struct thread {
	uint32_t generation;
	int depth;
	int slots[DEPTH_MAX]; /* plus 1; 0: none yet */
	int wakers[DEPTH_MAX];
	int bell; /* plus 1 */
	bool bell_given;
	bool known; /* thread_end() will be called */
};

static __thread struct thread self __attribute__((tls_model("initial-exec")));
static pthread_key_t ending;

/* FD, plus 1, of this thread's own. */
static void let_go(int *fd)
{
	if (*fd) {
		fd_forget(*fd - 1);
		REAL(close)(*fd - 1);
	}
	*fd = 0;
}

static void fds_let_go(void)
{
	let_go(&self.bell);
	for (int i = 0; i < DEPTH_MAX; i++)
		let_go(&self.wakers[i]);
}

void thread_forked(void)
{
	self.bell = 0;
	for (int i = 0; i < DEPTH_MAX; i++)
		self.wakers[i] = 0;
}

static void thread_end(void *arg)
{
	(void)arg;
	self.known = false;
	inliner_thread_ends();
	fds_let_go();
	if (self.generation != process_generation())
		return;
	for (int i = 0; i < DEPTH_MAX; i++)
		if (self.slots[i])
			slot_free(self.slots[i] - 1);
	self.generation = 0;
}

__attribute__((constructor)) static void key_make(void)
{
	pthread_key_create(&ending, thread_end);
}

void thread_known(void)
{
	if (self.known)
		return;
	self.known = true;
	pthread_setspecific(ending, &self);
}

int64_t result_of(int64_t result)
{
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

/* ---- Slots ---------------------------------------------------------------------------------- */

static unsigned slot_number(const struct shim_slot *slot)
{
	return (unsigned)(slot - process_area()->slots);
}

struct shim_slot *call_begin(enum shim_op op, int fd, shim_token token)
{
	struct shim_area *area = process_area();
	struct shim_slot *slot;

	if (!area)
		return NULL;
	if (self.generation != process_generation()) {
		fds_let_go();
		self = (struct thread){ .generation = process_generation(), .known = self.known };
		thread_known();
	}
	if (self.depth == DEPTH_MAX) {
		errno = EAGAIN;
		return NULL;
	}
	if (!self.slots[self.depth])
		self.slots[self.depth] = slot_new() + 1;
	if (!self.slots[self.depth]) {
		errno = ENOBUFS;
		return NULL;
	}
	slot = &area->slots[self.slots[self.depth] - 1];
	self.depth++;
	slot->request = (struct shim_request){ .op = op, .fd = fd, .sock = token };
	return slot;
}

void call_end(struct shim_slot *slot)
{
	(void)slot;
	self.depth--;
}

/* ---- The call ------------------------------------------------------------------------------- */

/* Returns true if the server slept, or is gone: *GONE. */
static bool ask(struct shim_area *area, unsigned n, bool *gone)
{
	atomic_fetch_or(&area->asked[n / 64], 1ull << (n % 64));
	if (!atomic_load(&area->asleep) || !atomic_exchange(&area->asleep, 0))
		return false;
	if (process_ring())
		return true;
	/* For the next call as well. */
	atomic_store(&area->asleep, 1);
	*gone = true;
	return true;
}

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("" ::: "memory");
#endif
}

/* True: it is there. */
static bool spin(struct shim_slot *slot)
{
	uint64_t until = clock_ns() + SPIN_NS;

	do {
		for (int i = 0; i < SPIN_ROUND; i++) {
			if (atomic_load_explicit(&slot->state, memory_order_acquire) == SHIM_DONE)
				return true;
			relax();
		}
		if (atomic_load_explicit(&slot->parked, memory_order_acquire))
			return false;
	} while (clock_ns() < until);
	return false;
}

/*
 * Sleep until the state changes. False: a signal was handled, or it took long. The kernel goes on
 * reading after a handler where that is asked for (SA_RESTART), but never polling (signal(7)). The
 * thread may be cancelled here if it could be before the call, CANCEL, and nowhere else in it.
 */
static bool sleep_at(int waker, bool ever, int cancel, bool *gone)
{
	struct pollfd p = { .fd = waker, .events = POLLIN };
	char octets[8];
	ssize_t n = -1;

	pthread_setcancelstate(cancel, NULL);
	if (!ever || REAL(ppoll)(&p, 1, NULL, NULL) == 1)
		n = REAL(read)(waker, octets, sizeof(octets));
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	*gone = n == 0;
	return n >= 0;
}

/* As sleep_at(), without a waker; it takes longer to find that the server is gone. */
static bool sleep_on(struct shim_slot *slot, bool ever)
{
	/* With a limit the kernel does not go on by itself after a handler (futex(2)). */
	struct timespec limit = { .tv_sec = 10 };
	long err = REAL(syscall)(SYS_futex, &slot->state, FUTEX_WAIT, SHIM_WAITED,
				 ever ? &limit : NULL, NULL, 0);

	return !(err && (errno == EINTR || errno == ETIMEDOUT));
}

/* CANCEL: see sleep_at(). */
static void sleep_until_done(struct shim_area *area, struct shim_slot *slot, bool ever, int cancel,
			     bool *gone)
{
	uint32_t state = SHIM_ASKED;
	int *waker = &self.wakers[self.depth - 1];

	if (!*waker)
		*waker = process_waker(slot_number(slot)) + 1;
	atomic_compare_exchange_strong(&slot->state, &state, SHIM_WAITED);
	while (!*gone && atomic_load(&slot->state) == SHIM_WAITED) {
		/* signal(7): with SO_RCVTIMEO or SO_SNDTIMEO it does not go on after a handler. */
		bool ends = ever || atomic_load(&slot->parked) == SHIM_PARKED_LIMIT;
		bool handled;

		if (*waker ? sleep_at(*waker - 1, ends, cancel, gone) : sleep_on(slot, ends))
			continue;
		handled = errno == EINTR;
		if (!process_alive())
			*gone = true;
		else if (handled && !atomic_exchange(&slot->cancel, 1))
			ask(area, slot_number(slot), gone);
	}
}

/* The thread is cancelled in a call, which must end before another can have its slot. */
static void abandon(void *arg)
{
	struct shim_slot *slot = arg;
	struct shim_area *area = process_area();
	bool gone = false;
	int fd;

	atomic_store(&slot->cancel, 1);
	ask(area, slot_number(slot), &gone);
	if (!gone)
		sleep_until_done(area, slot, false, PTHREAD_CANCEL_DISABLE, &gone);
	inliner_waits(-1);
	/* A connection that came at last. */
	fd = gone ? -1 : call_descriptor(slot, true);
	if (fd >= 0)
		REAL(close)(fd);
	call_end(slot);
}

/* pthreads(7): the calls that may be ended so, of those that wait. */
static bool may_be_cancelled(enum shim_op op)
{
	return op == SHIM_CONNECT || op == SHIM_ACCEPT || op == SHIM_SEND || op == SHIM_RECV ||
	       op == SHIM_POLL;
}

static void sleep_for(struct shim_area *area, struct shim_slot *slot, bool ever, int cancel,
		      bool *gone)
{
	enum shim_op op = (enum shim_op)slot->request.op;

	pthread_cleanup_push(abandon, slot);
	sleep_until_done(area, slot, ever, may_be_cancelled(op) ? cancel : PTHREAD_CANCEL_DISABLE,
			 gone);
	pthread_cleanup_pop(0);
}

int64_t call_do(struct shim_slot *slot, bool ever)
{
	struct shim_area *area = process_area();
	bool rang, gone = false;
	int saved = errno, cancel;

	if (inline_call(slot)) {
		errno = saved;
		return slot->answer.result;
	}
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	inliner_waits(1);
	atomic_store(&slot->cancel, 0);
	atomic_store(&slot->parked, 0);
	atomic_store(&slot->state, SHIM_ASKED);
	rang = ask(area, slot_number(slot), &gone);
	if (!gone && (rang || !process_spins() || !spin(slot)))
		sleep_for(area, slot, ever, cancel, &gone);
	inliner_waits(-1);
	pthread_setcancelstate(cancel, NULL);
	errno = saved;
	if (gone) {
		slot->answer = (struct shim_answer){ .result = -ENETDOWN };
		process_lost();
	}
	return slot->answer.result;
}

int call_descriptor(struct shim_slot *slot, bool cloexec)
{
	if (!slot->answer.descriptors)
		return -1;
	return process_gift(slot_number(slot), cloexec);
}

int64_t call_simple(enum shim_op op, int fd, shim_token token, int64_t a, int64_t b, int64_t c)
{
	struct shim_slot *slot = call_begin(op, fd, token);
	int64_t result;

	if (!slot)
		return -1;
	slot->request.arg[0] = a;
	slot->request.arg[1] = b;
	slot->request.arg[2] = c;
	result = call_do(slot, false);
	call_end(slot);
	return result_of(result);
}

void thread_prepare(void)
{
	struct shim_slot *slot = call_begin(SHIM_POLL, -1, 0);

	if (!slot)
		return;
	if (!self.wakers[self.depth - 1])
		self.wakers[self.depth - 1] = process_waker(slot_number(slot)) + 1;
	call_end(slot);
	thread_bell();
}

/* ---- The thread's bell ---------------------------------------------------------------------- */

int thread_bell(void)
{
	struct shim_slot *slot = call_begin(SHIM_POLL, -1, 0);
	int fd;

	if (!slot)
		return -1;
	call_end(slot);
	if (self.bell && self.bell_given)
		return self.bell - 1;
	if (!self.bell) {
		fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		fd = fd < 0 ? -1 : fd_hide(fd);
		if (fd < 0)
			return -1;
		self.bell = fd + 1;
	}
	if (process_give_bell((int)slot_number(slot), self.bell - 1))
		return -1;
	self.bell_given = true;
	return self.bell - 1;
}
