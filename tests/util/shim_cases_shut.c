/* SPDX-License-Identifier: MIT */
/* Of the programs of shim_cases.h: those with a filter of system calls of their own. */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "tests/util/shim_case.h"

/* What a server lets the process do that reads what strangers send; WITHOUT one of them, or -1. */
static void shut_in(int without, bool by_number)
{
	static const int most[] = {
		SYS_read,	   SYS_write,	     SYS_readv,	  SYS_writev, SYS_close,
		SYS_ppoll,	   SYS_pselect6,     SYS_futex,	  SYS_brk,    SYS_mmap,
		SYS_munmap,	   SYS_mremap,	     SYS_madvise, SYS_exit,   SYS_exit_group,
		SYS_clock_gettime, SYS_rt_sigreturn, SYS_getpid,  SYS_gettid, SYS_rt_sigprocmask,
		SYS_newfstatat,	   SYS_shutdown,
	};
	struct sock_filter filter[64] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	struct sock_fprog p = { 1, filter };

	for (size_t i = 0; i < sizeof(most) / sizeof(most[0]); i++) {
		if (most[i] == without)
			continue;
		filter[p.len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							       (uint32_t)most[i], 0, 1);
		filter[p.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	filter[p.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK((by_number ? (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p)
			 : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p)) == 0);
}

/* A filter whose jump leads back to itself, by a number that wraps: the kernel refuses it. */
static void refused(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_STMT(BPF_JMP | BPF_JA, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = { sizeof(filter) / sizeof(filter[0]), filter };

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p) == -1 && errno == EINVAL);
}

/* It lives on: argv[0]: prctl, seccomp, or what its filter lacks, of which it dies. */
int case_shut_in(char **argv)
{
	int fd = case_dial(ECHO_PORT);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char back[5];

	case_say(fd, "before");
	refused();
	shut_in(!strcmp(argv[0], "ppoll") ? SYS_ppoll : -1, !strcmp(argv[0], "seccomp"));
	for (int i = 0; i < 100; i++) {
		if (write(fd, "after", 5) != 5)
			syscall(SYS_exit, 2);
		if (poll(&p, 1, 5000) != 1)
			syscall(SYS_exit, 3);
		if (read(fd, back, 5) != 5 || memcmp(back, "after", 5) != 0)
			syscall(SYS_exit, 4);
	}
	if (poll(&p, 1, 20) != 0 || shutdown(fd, SHUT_WR) || read(fd, back, 5) != 0 || close(fd))
		syscall(SYS_exit, 5);
	syscall(SYS_exit, 0);
	return 6;
}
