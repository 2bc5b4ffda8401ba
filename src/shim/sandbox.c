/* SPDX-License-Identifier: MIT */
/*
 * Programs that shut themselves in: prctl(2) and seccomp(2) with a filter of system calls of their
 * own, as servers do in the process that reads what strangers send. (SECCOMP_MODE_STRICT is refused
 * by the kernel to whoever has a filter, as all have that couplet run starts.) The filter was made
 * for the kernel's sockets; calls on ours make other system calls. What they need is made ready
 * before, so that few are left: to read and to write suffices for sockets that block, ppoll(2) for
 * the rest. What the filter does not let through of those is said, by name: it may end the program.
 *
 * What a filter would say is found by running it here, as seccomp(2) and the kernel's
 * seccomp_check_filter() have it.
 */
#define _GNU_SOURCE
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/inliner.h"
#include "shim/process.h"
#include "shim/shim.h"

/* ---- What it says --------------------------------------------------------------------------- */

struct machine {
	uint32_t a, x, mem[BPF_MEMWORDS];
};

/* BPF_ALU and BPF_JMP compare and compute with K or X. */
static bool jumps(const struct machine *m, uint16_t code, uint32_t with)
{
	switch (BPF_OP(code)) {
	case BPF_JEQ:
		return m->a == with;
	case BPF_JGT:
		return m->a > with;
	case BPF_JGE:
		return m->a >= with;
	default:
		return m->a & with;
	}
}

static uint32_t computed(uint32_t a, uint16_t code, uint32_t with)
{
	switch (BPF_OP(code)) {
	case BPF_ADD:
		return a + with;
	case BPF_SUB:
		return a - with;
	case BPF_MUL:
		return a * with;
	case BPF_DIV:
		return with ? a / with : 0;
	case BPF_OR:
		return a | with;
	case BPF_AND:
		return a & with;
	case BPF_XOR:
		return a ^ with;
	case BPF_LSH:
		return with < 32 ? a << with : 0;
	case BPF_RSH:
		return with < 32 ? a >> with : 0;
	default:
		return -a;
	}
}

static uint32_t loaded(const struct machine *m, const struct sock_filter *f,
		       const struct seccomp_data *data)
{
	uint32_t word = 0;

	switch (BPF_MODE(f->code)) {
	case BPF_IMM:
		return f->k;
	case BPF_MEM:
		return m->mem[f->k % BPF_MEMWORDS];
	case BPF_LEN:
		return sizeof(*data);
	default:
		if (f->k <= sizeof(*data) - sizeof(word))
			memcpy(&word, (const char *)data + f->k, sizeof(word));
		return word;
	}
}

/* The filter's answer. One that the kernel would not take lets everything through. */
static uint32_t answer(const struct sock_fprog *p, const struct seccomp_data *data)
{
	struct machine m = { 0 };

	for (uint32_t at = 0; at < p->len; at++) {
		const struct sock_filter *f = &p->filter[at];
		uint32_t with = BPF_SRC(f->code) == BPF_X ? m.x : f->k;

		switch (BPF_CLASS(f->code)) {
		case BPF_LD:
			m.a = loaded(&m, f, data);
			break;
		case BPF_LDX:
			m.x = loaded(&m, f, data);
			break;
		case BPF_ST:
			m.mem[f->k % BPF_MEMWORDS] = m.a;
			break;
		case BPF_STX:
			m.mem[f->k % BPF_MEMWORDS] = m.x;
			break;
		case BPF_ALU:
			m.a = computed(m.a, f->code, with);
			break;
		case BPF_JMP:
			/* Forward, and within the filter: else the kernel refuses it. */
			if (BPF_OP(f->code) == BPF_JA && f->k >= p->len - at)
				return SECCOMP_RET_ALLOW;
			at += BPF_OP(f->code) == BPF_JA	 ? f->k
			      : jumps(&m, f->code, with) ? f->jt
							 : f->jf;
			break;
		case BPF_RET:
			return BPF_RVAL(f->code) == BPF_A ? m.a : f->k;
		default:
			if (BPF_MISCOP(f->code) == BPF_TAX)
				m.x = m.a;
			else
				m.a = m.x;
		}
	}
	return SECCOMP_RET_ALLOW;
}

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

/* System call NUMBER is let through. */
static bool lets(const struct sock_fprog *p, int number)
{
	struct seccomp_data data = { .nr = number };
	uint32_t said;

#ifdef ARCH
	data.arch = ARCH;
#endif
	said = answer(p, &data) & SECCOMP_RET_ACTION_FULL;
	return said == SECCOMP_RET_ALLOW || said == SECCOMP_RET_LOG || said == SECCOMP_RET_TRACE ||
	       said == SECCOMP_RET_USER_NOTIF;
}

/* ---- Before it is there --------------------------------------------------------------------- */

static void prepare(const struct sock_fprog *p)
{
#define NUMBER(name) SYS_##name,
	static const int numbers[] = { SHIM_NEEDS(NUMBER) };
#undef NUMBER
	uint64_t lacks = 0;

	if (!process_served() || bad_pointer(p, sizeof(*p)) ||
	    bad_pointer(p->filter, p->len * sizeof(*p->filter)))
		return;
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (!lets(p, numbers[i]))
			lacks |= 1ull << i;
	inliner_nested(); /* for good: the stack itself needs more */
	thread_prepare();
	process_shut_in(lacks, lets(p, SYS_sendto), lets(p, SYS_ppoll));
}

EXPORT int prctl(int option, ...)
{
	unsigned long a[4];
	va_list args;

	va_start(args, option);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(args, unsigned long);
	va_end(args);
	if (option == PR_SET_SECCOMP && a[0] == SECCOMP_MODE_FILTER)
		prepare((const struct sock_fprog *)a[1]);
	return REAL(prctl)(option, a[0], a[1], a[2], a[3]);
}

/* After which there may be no more descriptors to be had. */
EXPORT int setrlimit(enum __rlimit_resource what, const struct rlimit *limit)
{
	struct rlimit now;

	if (what == RLIMIT_NOFILE && process_served() && !bad_pointer(limit, sizeof(*limit)) &&
	    getrlimit(what, &now) == 0 && limit->rlim_cur < now.rlim_cur)
		thread_prepare();
	return REAL(setrlimit)(what, limit);
}

#ifdef __LP64__
EXPORT int setrlimit64(enum __rlimit_resource what, const struct rlimit64 *limit)
{
	return setrlimit(what, (const struct rlimit *)(const void *)limit);
}
#endif

void sandbox_by_number(const long a[6])
{
	if (a[0] == SECCOMP_SET_MODE_FILTER)
		prepare((const struct sock_fprog *)a[2]);
}
