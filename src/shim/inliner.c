/* SPDX-License-Identifier: MIT */
/*
 * The stack inline, as this process has it: attaching, the lock, moving packets, waiting.
 *
 * Signals are held back while the lock is held (shim/signals.h). Only one thread waits; it is the
 * one that reads the device.
 */
#define _GNU_SOURCE
#include "shim/inliner.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "host/arena.h"
#include "host/loop.h"
#include "host/send.h"
#include "link/link.h"
#include "shim/process.h"
#include "shim/signals.h"
#include "stack/sockets.h"

#define BATCHES	     16		     /* of output at once */
#define PASS_NS	     (20 * 1000ull)  /* as often is input looked for by those who do not wait */
#define PUT_OFF_NS   (200 * 1000ull) /* so long may output wait for more */
#define QUICK_NS     (10 * 1000)     /* from call to call of a program that is quick */
#define CONTENDED_NS (100 * CPL_MS)  /* all ask the server so long after two threads waited */
#define SPIN_NS	     (30 * 1000ull)
/* Waits that ended within this are looked for before sleeping. */
#define SPIN_WORTH   (60 * 1000ull)
/*
 * Whoever is to answer may want this core: then looking for it only keeps it from being there.
 * After so often more in vain than not, so many waits sleep at once, twice as many after each more.
 */
#define SPIN_VAIN    4
#define SPIN_MOST    9
#define SPIN_REST    64
/*
 * Where frames come one by one, the read that finds no more is a call for nothing: after so often,
 * so many frames are read without.
 */
#define LONE_SEEN    4
#define LONE_TRUSTED 16

struct inliner {
	struct arena *arena;
	struct inline_state *shared;
	struct stack_code code; /* where this process has it */
	struct link *link;
	uint64_t key;
	int device, nudge;
	bool blocked; /* the device took no more */
	bool spins;
	unsigned spin_vain, spin_rest; /* of the one that waits */
	unsigned lone;		       /* reads that gave one frame and no more */
	_Atomic bool several; /* the program was told of more than one ready socket at once */
	uint64_t passed, called;
	uint64_t put_off; /* since then; 0: no output is */
	int64_t pause_ns; /* of the program from call to call, smoothed */
	_Atomic bool stopped, nested;
	_Atomic bool driving;
	_Atomic uint64_t contended; /* until then */
	struct cpl_frame frames[LOOP_BATCH];
	struct cpl_out outs[LOOP_BATCH];
};

/* Gone in a child, whichever way it was made. */
static struct inliner *_Atomic *_Atomic own;
static int descriptors[2];

/* The caller's, while it has the lock. */
static __thread int error __attribute__((tls_model("initial-exec")));
static __thread uint64_t waited __attribute__((tls_model("initial-exec")));
static __thread bool drives __attribute__((tls_model("initial-exec")));
static __thread unsigned handled __attribute__((tls_model("initial-exec")));
static __thread uint32_t waits __attribute__((tls_model("initial-exec")));
static __thread int cancel __attribute__((tls_model("initial-exec")));

static struct inliner *inliner(void)
{
	struct inliner *_Atomic *at = atomic_load_explicit(&own, memory_order_acquire);

	return at ? atomic_load_explicit(at, memory_order_acquire) : NULL;
}

/* ---- Attaching ------------------------------------------------------------------------------ */

static void *memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void inliner_attach(uint64_t address, const int fds[3], uint64_t key)
{
	struct inliner *in = memory(sizeof(*in));

	if (!own) {
		void *page = memory(4096);

		if (page && madvise(page, 4096, MADV_WIPEONFORK)) {
			munmap(page, 4096);
			page = NULL;
		}
		own = page;
	}
	if (!own || !in || arena_map(&in->arena, (void *)(uintptr_t)address, fds[0])) {
		if (in)
			munmap(in, sizeof(*in));
		for (int i = 0; i < 3; i++)
			REAL(close)(fds[i]);
		return;
	}
	REAL(close)(fds[0]);
	in->shared = arena_root(in->arena);
	in->key = key;
	in->code = (struct stack_code){ arena_alloc, arena_release, in->arena, sum_best(),
					sum_copy_best() };
	in->spins = process_spins();
	in->device = descriptors[0] = fd_hide(fds[1]);
	in->nudge = descriptors[1] = fd_hide(fds[2]);
	if (in->device < 0 || in->nudge < 0 ||
	    link_fd_open(&in->link, in->device, &in->shared->iface)) {
		arena_unmap(in->arena);
		munmap(in, sizeof(*in));
		return;
	}
	signals_guard();
	*own = in;
}

void inliner_detach(void)
{
	struct inliner *in = inliner();

	if (in)
		*own = NULL;
	/* Those of the parent, in a child. */
	for (int i = 0; i < 2; i++) {
		if (descriptors[i] <= 0)
			continue;
		fd_forget(descriptors[i]);
		REAL(close)(descriptors[i]);
		descriptors[i] = 0;
	}
}

/* ---- The lock ------------------------------------------------------------------------------- */

static bool leased(const struct inliner *in)
{
	uint64_t lease = atomic_load_explicit(&in->shared->lease, memory_order_relaxed);

	return (lease == in->key || lease == INLINE_ANY) &&
	       !atomic_load_explicit(&in->stopped, memory_order_relaxed);
}

static void leave(const struct inliner *in)
{
	arena_unlock(in->arena);
	signals_release();
	pthread_setcancelstate(cancel, NULL);
	errno = error;
}

static bool enter(struct inliner *in)
{
	int err;

	error = errno;
	/* Reading and writing the device would be where the thread ends, with the lock. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	signals_hold();
	err = arena_trylock(in->arena);
	if (err == -EBUSY) {
		/* A server that is at work sees it and lets go. */
		atomic_store_explicit(&in->shared->drove, loop_clock(), memory_order_relaxed);
		err = arena_lock(in->arena);
	}
	if (!err && leased(in)) {
		if (in->shared->bound != in->key)
			stack_set_code(in->shared->stack, &in->code);
		in->shared->bound = in->key;
		return true;
	}
	if (!err) {
		leave(in);
	} else {
		signals_release();
		pthread_setcancelstate(cancel, NULL);
	}
	return false;
}

void inline_begin(void)
{
	handled = signals_handled();
}

bool inline_interrupted(void)
{
	if (handled == signals_handled())
		return false;
	errno = EINTR;
	return true;
}

bool inline_may(void)
{
	const struct inliner *in = inliner();

	return in && leased(in);
}

/* What a program does between its calls; a single long pause is soon forgotten. */
static void called(struct inliner *in, uint64_t now)
{
	uint64_t pause = now - in->called < CPL_MS ? now - in->called : CPL_MS;

	in->pause_ns += ((int64_t)pause - in->pause_ns) / 16;
	in->called = now;
}

struct inline_state *inline_enter(uint64_t *now)
{
	struct inliner *in = inliner();
	uint64_t contended;

	if (!in || !leased(in))
		return NULL;
	contended = atomic_load_explicit(&in->contended, memory_order_relaxed);
	if (contended && loop_clock() < contended)
		return NULL;
	if (contended)
		atomic_compare_exchange_strong(&in->contended, &contended, 0);
	if (!enter(in))
		return NULL;
	/* With the lock: whoever had it has used a time, and it does not go back. */
	*now = loop_clock();
	atomic_store_explicit(&in->shared->drove, *now, memory_order_relaxed);
	called(in, *now);
	return in->shared;
}

/* ---- Packets -------------------------------------------------------------------------------- */

static int output_some(struct inliner *in, uint64_t now)
{
	struct inline_state *sh = in->shared;
	struct send_result sent =
		send_frames(sh->stack, sh->ifindex, in->link, in->outs, LOOP_BATCH, now);

	in->blocked = sent.refused;
	if (sent.frames)
		in->called = loop_clock();
	return (int)sent.frames;
}

static void output(struct inliner *in, uint64_t now)
{
	struct inline_state *sh = in->shared;

	in->put_off = 0;
	/* Nothing leaves by the loopback: asked for frames, it turns them round. */
	for (int i = 0; i < BATCHES && cpl_output_pending(sh->stack, sh->lo); i++)
		if (cpl_output(sh->stack, sh->lo, in->outs, LOOP_BATCH, now) <= 0)
			break;
	for (int i = 0; i < BATCHES && !in->blocked; i++)
		if (!cpl_output_pending(sh->stack, sh->ifindex) || !output_some(in, now))
			break;
}

/* Who calls all the time keeps everybody else from looking for input: it looks for it itself. */
static void look_for_others(const struct inliner *in, uint64_t now)
{
	bool more = now - in->passed >= INLINE_TAKE_NS;

	while (more)
		more = inline_pass(now, true);
}

/* Another thread drives: what it waits for may have come, or it is to wake earlier. */
static bool wakes_driver(const struct inliner *in)
{
	struct inline_state *sh = in->shared;
	uint64_t deadline, wakes;
	bool news;

	if (drives || !atomic_load(&sh->driver))
		return false;
	deadline = cpl_deadline(sh->stack);
	wakes = sockets_wakes(sh->sockets);
	news = in->blocked || deadline < sh->deadline || wakes != sh->wakes;
	sh->deadline = deadline < sh->deadline ? deadline : sh->deadline;
	sh->wakes = wakes;
	return news;
}

static void leave_and_ring(struct inliner *in)
{
	bool others = atomic_load_explicit(&in->shared->waits, memory_order_relaxed);
	bool nudges = wakes_driver(in);
	const uint64_t one = 1;

	leave(in);
	/* What was done may be what they wait for. */
	if (others)
		process_ring();
	/* It fails only when it was written 2^64 - 2 times already. */
	if (nudges && REAL(write)(in->nudge, &one, sizeof(one)) < 0)
		errno = error;
}

void inline_leave(uint64_t now)
{
	struct inliner *in = inliner();

	look_for_others(in, now);
	output(in, now);
	leave_and_ring(in);
}

void inline_leave_soon(uint64_t now)
{
	struct inliner *in = inliner();

	look_for_others(in, now);
	if (!atomic_load_explicit(&in->several, memory_order_relaxed) || in->pause_ns > QUICK_NS ||
	    (in->put_off && now - in->put_off >= PUT_OFF_NS))
		output(in, now);
	else if (!in->put_off)
		in->put_off = now;
	leave_and_ring(in);
}

void inline_told(unsigned n)
{
	atomic_store_explicit(&inliner()->several, n > 1, memory_order_relaxed);
}

/* How many frames came; they are in IN->frames. *MORE: not all that there were were asked for. */
static int input(struct inliner *in, bool *more)
{
	bool trust = in->lone >= LONE_SEEN && in->lone < LONE_SEEN + LONE_TRUSTED;
	int n = link_read(in->link, in->frames, trust ? 1 : LOOP_BATCH);

	if (n == 1)
		in->lone = in->lone < LONE_SEEN + LONE_TRUSTED ? in->lone + 1 : LONE_SEEN;
	else if (n > 1)
		in->lone = 0;
	*more = trust && n == 1;
	return n;
}

bool inline_pass(uint64_t now, bool needed)
{
	struct inliner *in = inliner();
	struct inline_state *sh = in->shared;
	bool more;
	int n;

	if (!needed && now < in->passed + PASS_NS)
		return false;
	in->passed = now;
	in->blocked = false;
	n = input(in, &more);
	if (n > 0)
		cpl_input(sh->stack, sh->ifindex, in->frames, (unsigned)n, now);
	if (cpl_deadline(sh->stack) <= now)
		cpl_advance(sh->stack, now);
	sockets_poll(sh->sockets, now);
	if (n > 0)
		in->called = loop_clock();
	output(in, now);
	return more;
}

/* ---- Waiting -------------------------------------------------------------------------------- */

void inliner_waits(int change)
{
	struct inliner *in = inliner();

	if (!in)
		return;
	atomic_fetch_add(&in->shared->waits, (uint32_t)change);
	waits += (uint32_t)change;
	thread_known();
	/* A handler of a signal that interrupted inline_wait(). */
	if (drives)
		inline_drive_end();
}

void inliner_waits_at_bell(void)
{
	const struct inliner *in = inliner();

	inliner_waits(1);
	if (in && atomic_load(&in->shared->lease))
		process_ring();
}

bool inline_drive(void)
{
	struct inliner *in = inliner();
	uint64_t nobody = 0;

	if (!in || !leased(in))
		return false;
	if (!atomic_exchange(&in->driving, true)) {
		if (atomic_compare_exchange_strong(&in->shared->driver, &nobody, in->key)) {
			drives = true;
			thread_known();
			return true;
		}
		atomic_store(&in->driving, false);
	}
	atomic_store(&in->contended, loop_clock() + CONTENDED_NS);
	return false;
}

bool inline_drives(void)
{
	return drives;
}

void inline_drive_end(void)
{
	struct inliner *in = inliner();
	uint64_t key;
	bool others;

	if (!drives)
		return;
	drives = false;
	key = in->key;
	others = atomic_load(&in->shared->waits);
	/* Who still waits does so at the server, which is to read the device at once. */
	atomic_store(&in->shared->drove, others ? 0 : loop_clock());
	atomic_compare_exchange_strong(&in->shared->driver, &key, 0);
	atomic_store(&in->driving, false);
	if (atomic_exchange(&in->shared->ring, 0) || others)
		process_ring();
}

void inliner_thread_ends(void)
{
	inline_drive_end();
	if (waits)
		inliner_waits(-(int)waits);
}

/* Look for something for as long as a sleep would cost. As ppoll(2). */
static int spin(struct inliner *in, struct pollfd *fds, nfds_t n, uint64_t until,
		const sigset_t *mask)
{
	static const struct timespec zero;
	int ready = 0;

	if (!in->spins || waited > SPIN_WORTH)
		return 0;
	if (in->spin_rest) {
		in->spin_rest--;
		return 0;
	}
	ready = REAL(ppoll)(fds, n, &zero, mask);
	if (ready) /* it was there before */
		return ready;
	do
		ready = REAL(ppoll)(fds, n, &zero, mask);
	while (!ready && loop_clock() < until);
	if (ready) {
		in->spin_vain -= in->spin_vain != 0;
	} else if (++in->spin_vain >= SPIN_VAIN) {
		in->spin_rest = SPIN_REST << (in->spin_vain - SPIN_VAIN);
		in->spin_vain -= in->spin_vain == SPIN_MOST;
	}
	return ready;
}

/*
 * The thread may be cancelled here, as in the kernel's calls. A handler that ran since the call
 * began ends it, also if it came before we sleep.
 */
static int sleep_on(struct pollfd *fds, nfds_t n, uint64_t wait_ns, const sigset_t *mask)
{
	struct timespec t = { (time_t)(wait_ns / CPL_SECOND), (long)(wait_ns % CPL_SECOND) };
	sigset_t all, before;
	int ready = -1;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (!inline_interrupted())
		ready = REAL(ppoll)(fds, n, wait_ns == CPL_NEVER ? NULL : &t,
				    mask ? mask : &before);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ready;
}

int inline_wait(struct pollfd *fds, nfds_t n, uint64_t until, const sigset_t *mask)
{
	struct inliner *in = inliner();
	uint64_t began = loop_clock(), deadline = CPL_NEVER, now, count;
	int ready;

	if (!enter(in))
		return 0;
	deadline = in->shared->deadline = cpl_deadline(in->shared->stack);
	in->shared->wakes = sockets_wakes(in->shared->sockets);
	fds[n] = (struct pollfd){ .fd = in->device,
				  .events = (short)(in->blocked ? POLLIN | POLLOUT : POLLIN) };
	leave(in);
	fds[n + 1] = (struct pollfd){ .fd = in->nudge, .events = POLLIN };
	fds[n + 2] = (struct pollfd){ .fd = process_conn() };
	until = deadline < until ? deadline : until;
	if (until <= began)
		return 0;
	ready = spin(in, fds, n + 3, began + SPIN_NS < until ? began + SPIN_NS : until, mask);
	if (!ready)
		ready = sleep_on(fds, n + 3, until == CPL_NEVER ? CPL_NEVER : until - began, mask);
	if (ready < 0)
		return ready;
	now = loop_clock();
	waited = now - began;
	atomic_store(&in->shared->drove, now);
	if (fds[n + 1].revents && REAL(read)(in->nudge, &count, sizeof(count)) < 0)
		fds[n + 1].revents = 0; /* another process has read it */
	/* The server is gone: whoever asks it is told so. */
	if (fds[n + 2].revents)
		atomic_store(&in->stopped, true);
	ready = 0;
	for (nfds_t i = 0; i < n; i++)
		ready += fds[i].revents != 0;
	return ready;
}

/* ppoll(2) does not say which handler ran. Only if all ask for it does a call go on. */
bool inline_restarts(void)
{
	for (int sig = 1; sig < NSIG; sig++) {
		struct sigaction sa;

		if (sigaction(sig, NULL, &sa) == 0 && sa.sa_handler != SIG_DFL &&
		    sa.sa_handler != SIG_IGN && !(sa.sa_flags & SA_RESTART))
			return false;
	}
	return true;
}

/* ---- Ending --------------------------------------------------------------------------------- */

void inliner_stop(void)
{
	struct inliner *in = inliner();

	if (!in || !enter(in))
		return;
	atomic_store(&in->stopped, true);
	leave(in);
}

void inliner_nested(void)
{
	struct inliner *in = inliner();

	if (in)
		atomic_store(&in->nested, true);
	inliner_stop();
}

void inliner_go_on(void)
{
	struct inliner *in = inliner();

	if (in && !atomic_load(&in->nested))
		atomic_store(&in->stopped, false);
}

/* exit(3) ends the other threads wherever they are. */
__attribute__((destructor)) static void ending(void)
{
	inliner_stop();
}
