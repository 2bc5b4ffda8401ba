/* SPDX-License-Identifier: MIT */
/*
 * See signals.h. signal(7), sigaction(2), sigreturn(2): a handler of ours that finds its thread in
 * the stack keeps what came and returns with all signals blocked; when the thread leaves, it sends
 * itself that signal again and restores its mask.
 */
#define _GNU_SOURCE
#include "shim/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "shim/shim.h"

#define MASK_SIZE 8	       /* the kernel's, as it is in a signal's frame: sigset_t is larger */
#define LIBRARY	  (3ull << 31) /* the C library's own two signals, which are never blocked */
#define OURS	  (SA_SIGINFO | SA_RESETHAND) /* flags that mean the program's handler */

/* What the program has set, where ours is in its place. */
static struct {
	_Atomic(sighandler_t) handler;
	_Atomic int flags;
} set[NSIG];

static pid_t guarded; /* the process; a child after vfork() writes to our memory */

/* What came while this thread was in the stack. */
static __thread volatile bool inside __attribute__((tls_model("initial-exec")));
static __thread volatile int held __attribute__((tls_model("initial-exec")));
static __thread siginfo_t held_info __attribute__((tls_model("initial-exec")));
static __thread uint64_t held_mask __attribute__((tls_model("initial-exec")));

static __thread volatile unsigned handled __attribute__((tls_model("initial-exec")));

static void on_signal(int sig, siginfo_t *info, void *context);

/* ---- Holding -------------------------------------------------------------------------------- */

void signals_hold(void)
{
	inside = true;
	atomic_signal_fence(memory_order_seq_cst);
}

/* Comes at once, as it had come, or with what waits behind it. */
static void send_again(void)
{
	pid_t tid = (pid_t)REAL(syscall)(SYS_gettid);
	int sig = held, before = errno;

	held = 0;
	if (REAL(syscall)(SYS_rt_tgsigqueueinfo, getpid(), tid, sig, &held_info))
		REAL(syscall)(SYS_tgkill, getpid(), tid, sig); /* too many wait */
	REAL(syscall)(SYS_rt_sigprocmask, SIG_SETMASK, &held_mask, NULL, MASK_SIZE);
	errno = before;
}

void signals_release(void)
{
	atomic_signal_fence(memory_order_seq_cst);
	inside = false;
	atomic_signal_fence(memory_order_seq_cst);
	if (held)
		send_again();
}

unsigned signals_handled(void)
{
	return handled;
}

/* ---- Our handler ---------------------------------------------------------------------------- */

static bool is_fault(int sig)
{
	return sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL ||
	       sig == SIGTRAP || sig == SIGSYS;
}

/* Default actions that must not happen in the stack. A fault there has no other end. */
static bool default_matters(int sig)
{
	return !is_fault(sig) && sig != SIGABRT && sig != SIGCHLD && sig != SIGCONT &&
	       sig != SIGURG && sig != SIGWINCH;
}

/* As if the handler were SIG_DFL: ends the process, or stops it for a while. */
static void act_by_default(int sig)
{
	const struct sigaction none = { .sa_handler = SIG_DFL };
	struct sigaction was;
	sigset_t one;

	sigemptyset(&one);
	sigaddset(&one, sig);
	REAL(sigaction)(sig, &none, &was);
	raise(sig);
	pthread_sigmask(SIG_UNBLOCK, &one, NULL);
	REAL(sigaction)(sig, &was, NULL);
}

static void keep(int sig, const siginfo_t *info, ucontext_t *context)
{
	const uint64_t all = ~LIBRARY;

	held_info = *info;
	memcpy(&held_mask, &context->uc_sigmask, MASK_SIZE);
	memcpy(&context->uc_sigmask, &all, MASK_SIZE);
	held = sig;
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
	const struct sigaction none = { .sa_handler = SIG_DFL };
	sighandler_t handler = atomic_load(&set[sig].handler);
	int before = errno;

	if (inside && is_fault(sig) && info->si_code > 0) {
		REAL(sigaction)(sig, &none, NULL); /* once more, and for good */
	} else if (inside) {
		keep(sig, info, context);
	} else if (handler == SIG_DFL) {
		act_by_default(sig);
	} else {
		/* What the kernel does by itself is right of our handler, not of theirs. */
		if (atomic_load(&set[sig].flags) & SA_RESETHAND)
			sigaction(sig, &none, NULL);
		/* One that expects a number alone does not look at the rest. */
		((void (*)(int, siginfo_t *, void *))(void (*)(void))handler)(sig, info, context);
		handled++;
		return;
	}
	errno = before;
}

/* ---- What the program sets and sees --------------------------------------------------------- */

static bool is_ours(const struct sigaction *act)
{
	return (act->sa_flags & SA_SIGINFO) && act->sa_sigaction == on_signal;
}

/* Not ours what the kernel or the C library keep to themselves. */
static bool may_guard(int sig)
{
	return sig > 0 && sig < NSIG && sig != SIGKILL && sig != SIGSTOP &&
	       !(LIBRARY >> (sig - 1) & 1);
}

static bool wants_guard(int sig, const struct sigaction *act)
{
	return act->sa_handler == SIG_DFL ? default_matters(sig) : act->sa_handler != SIG_IGN;
}

/* ACT with our handler instead of its own, which is noted. */
static struct sigaction guard(int sig, const struct sigaction *act)
{
	struct sigaction ours = *act;

	atomic_store(&set[sig].flags, act->sa_handler == SIG_DFL ? 0 : act->sa_flags & OURS);
	atomic_store(&set[sig].handler, act->sa_handler);
	if (act->sa_handler == SIG_DFL) {
		ours.sa_flags = SA_RESTART | SA_ONSTACK;
		sigemptyset(&ours.sa_mask);
	}
	ours.sa_sigaction = on_signal;
	ours.sa_flags = (ours.sa_flags & ~SA_RESETHAND) | SA_SIGINFO;
	return ours;
}

/* What the program had set. */
static void unguard(struct sigaction *act, sighandler_t handler, int flags)
{
	if (handler == SIG_DFL)
		memset(act, 0, sizeof(*act));
	act->sa_flags = (act->sa_flags & ~OURS) | flags;
	act->sa_handler = handler;
}

static void guard_one(int sig)
{
	struct sigaction act;

	if (!may_guard(sig) || REAL(sigaction)(sig, NULL, &act) || is_ours(&act) ||
	    !wants_guard(sig, &act))
		return;
	act = guard(sig, &act);
	REAL(sigaction)(sig, &act, NULL);
}

void signals_guard(void)
{
	for (int sig = 1; sig < NSIG; sig++)
		guard_one(sig);
	guarded = getpid();
}

static bool is_guarded(void)
{
	return guarded && guarded == getpid();
}

EXPORT int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	sighandler_t handler;
	struct sigaction ours, was;
	int flags, err;

	if (!guarded || !may_guard(sig))
		return REAL(sigaction)(sig, act, old);
	handler = atomic_load(&set[sig].handler);
	flags = atomic_load(&set[sig].flags);
	if (act && is_guarded() && wants_guard(sig, act)) {
		ours = guard(sig, act);
		act = &ours;
	}
	err = REAL(sigaction)(sig, act, &was);
	if (!err && is_ours(&was))
		unguard(&was, handler, flags);
	if (!err && old)
		*old = was;
	return err;
}

/* One of the older calls, which are all made of sigaction(2), within the C library. */
static sighandler_t older(enum real_name name, int sig, sighandler_t handler)
{
	sighandler_t had = SIG_ERR, got;

	if (guarded && may_guard(sig))
		had = atomic_load(&set[sig].handler);
	got = ((sighandler_t(*)(int, sighandler_t))real_find(name))(sig, handler);
	if (is_guarded())
		guard_one(sig);
	return got == (sighandler_t)(void (*)(void))on_signal ? had : got;
}

EXPORT sighandler_t signal(int sig, sighandler_t handler)
{
	return older(REAL_signal, sig, handler);
}

EXPORT sighandler_t ssignal(int sig, sighandler_t handler)
{
	return older(REAL_signal, sig, handler);
}

EXPORT sighandler_t bsd_signal(int sig, sighandler_t handler)
{
	return older(REAL_signal, sig, handler);
}

EXPORT sighandler_t sysv_signal(int sig, sighandler_t handler)
{
	return older(REAL_sysv_signal, sig, handler);
}

EXPORT sighandler_t __sysv_signal(int sig, sighandler_t handler)
{
	return older(REAL_sysv_signal, sig, handler);
}

EXPORT sighandler_t sigset(int sig, sighandler_t handler)
{
	return older(REAL_sigset, sig, handler);
}
