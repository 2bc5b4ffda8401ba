/* SPDX-License-Identifier: MIT */
/*
 * See run_refuse.h. The shim makes no such socket, so whoever does has not come by the shim: a
 * program that is statically linked, or one with system calls of its own, or the C library itself.
 */
#define _GNU_SOURCE
#include "cli/run_refuse.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif

#define LOAD(field)	   BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
/* Skip YES or NO statements. */
#define IF(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))
#define ANSWER(what)	   BPF_STMT(BPF_RET | BPF_K, (what))

int refuse_install(void)
{
#ifdef OUR_ARCH
	struct sock_filter code[] = {
		LOAD(arch),
		IF(OUR_ARCH, 0, 6),
		LOAD(nr),
		IF(SYS_io_uring_setup, 5, 0),
		IF(SYS_socket, 0, 3),
		LOAD(args[0]), /* its low half: these are little-endian */
		IF(AF_INET, 2, 0),
		IF(AF_INET6, 1, 0),
		ANSWER(SECCOMP_RET_ALLOW),
		ANSWER(SECCOMP_RET_USER_NOTIF),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };
	long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			  SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_SPEC_ALLOW,
			  &program);

	return fd < 0 ? -errno : (int)fd;
#else
	return -ENOSYS;
#endif
}

/* How PID got past the shim, by what it has mapped. */
static const char *way_past(uint32_t pid)
{
	char path[32], line[512];
	bool dynamic = false, shim = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/maps", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		dynamic |= strstr(line, "/ld-linux") || strstr(line, "/ld-musl");
		shim |= strstr(line, "/libcouplet-shim.so") != NULL;
	}
	if (f)
		fclose(f);
	if (shim)
		return "makes a socket past our library, by a system call of its own";
	if (dynamic)
		return "makes a socket without our library: it was started without LD_PRELOAD, as "
		       "env -i does";
	return "makes a socket past our library, as statically linked programs do";
}

static const char *reason(const struct seccomp_data *d, uint32_t pid)
{
	int type = (int)d->args[1] & 0xf, protocol = (int)d->args[2];

	if (d->nr == SYS_io_uring_setup)
		return "asks for io_uring, which our library would not see";
	if ((type == SOCK_STREAM && (!protocol || protocol == IPPROTO_TCP)) ||
	    (type == SOCK_DGRAM && (!protocol || protocol == IPPROTO_UDP)))
		return way_past(pid);
	return "asks for a socket that is neither TCP's nor UDP's";
}

/* Whether this is the first time that PID is refused for REASON: of the last few that were. */
static int first_time(uint32_t pid, const char *why)
{
	static struct {
		uint32_t pid;
		const char *why;
	} last[16];
	static unsigned turn;

	for (unsigned i = 0; i < 16; i++)
		if (last[i].pid == pid && last[i].why == why)
			return 0;
	last[turn].pid = pid;
	last[turn++ % 16].why = why;
	turn %= 16;
	return 1;
}

/* The errno of a call that no network would help. */
static int kernel_says(const struct seccomp_data *d)
{
	int fd = socket((int)d->args[0], (int)d->args[1], (int)d->args[2]);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

void refuse_next(int fd, char text[256])
{
	struct seccomp_notif asked = { 0 };
	struct seccomp_notif_resp answer = { 0 };
	char path[32], name[32] = "a program";
	const char *why;
	int err;
	FILE *f;

	text[0] = 0;
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &asked))
		return; /* it has been killed meanwhile */
	why = reason(&asked.data, asked.pid);
	answer.id = asked.id;
	err = asked.data.nr == SYS_io_uring_setup ? 0 : kernel_says(&asked.data);
	if (err) {
		answer.error = -err;
		ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer);
		return;
	}
	answer.error = asked.data.nr == SYS_io_uring_setup ? -ENOSYS : -EAFNOSUPPORT;
	snprintf(path, sizeof(path), "/proc/%u/comm", asked.pid);
	f = fopen(path, "re");
	if (f && fgets(name, sizeof(name), f))
		name[strcspn(name, "\n")] = 0;
	if (f)
		fclose(f);
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0 && first_time(asked.pid, why))
		snprintf(text, 256, "%s (process %u) %s: refused", name, asked.pid, why);
}
