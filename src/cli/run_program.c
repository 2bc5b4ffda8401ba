/* SPDX-License-Identifier: MIT */
/* See run_program.h: elf(5), ld.so(8), network_namespaces(7), user_namespaces(7). */
#define _GNU_SOURCE
#include "cli/run_program.h"
#include "cli/run_refuse.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/netns.h"

#define SLICE_NS    100000u /* the least that the kernel grants */
#define SCRIPTS_MAX 4	    /* interpreters of interpreters, as the kernel allows */

/* ---- What it is ----------------------------------------------------------------------------- */

static bool runnable(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static int look_up(const char *name, char path[PATH_MAX])
{
	const char *dirs = getenv("PATH");

	if (strchr(name, '/')) {
		if (snprintf(path, PATH_MAX, "%s", name) >= PATH_MAX)
			return -ENAMETOOLONG;
		return runnable(path) ? 0 : access(path, F_OK) ? -errno : -EACCES;
	}
	for (dirs = dirs ? dirs : "/usr/local/bin:/usr/bin:/bin"; *dirs;) {
		size_t n = strcspn(dirs, ":");

		if (snprintf(path, PATH_MAX, "%.*s%s%s", (int)n, dirs, n ? "/" : "", name) <
			    PATH_MAX &&
		    runnable(path))
			return 0;
		dirs += n + (dirs[n] == ':');
	}
	return -ENOENT;
}

/* Whether the ELF file behind FD names a dynamic loader; -ENOEXEC: not of this machine's kind. */
static int has_loader(int fd)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph;

	if (pread(fd, &eh, sizeof(eh), 0) != sizeof(eh) ||
	    memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh.e_phentsize != sizeof(ph))
		return -ENOEXEC;
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		if (pread(fd, &ph, sizeof(ph), (off_t)(eh.e_phoff + i * sizeof(ph))) != sizeof(ph))
			return -ENOEXEC;
		if (ph.p_type == PT_INTERP)
			return 1;
	}
	return 0;
}

/* The interpreter that a script names, into PATH; 0: it is no script. */
static int interpreter(int fd, char path[PATH_MAX])
{
	char line[256];
	ssize_t n = pread(fd, line, sizeof(line) - 1, 0);
	char *p = line + 2, *end;

	if (n < 3 || line[0] != '#' || line[1] != '!')
		return 0;
	line[n] = 0;
	p += strspn(p, " \t");
	end = p + strcspn(p, " \t\r\n");
	*end = 0;
	snprintf(path, PATH_MAX, "%s", p);
	return 1;
}

static bool gains_rights(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return false;
	return (st.st_mode & S_ISUID && st.st_uid != geteuid()) ||
	       ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
		st.st_gid != getegid());
}

static int check(const char *path, const char *name, struct link_why *why)
{
	char file[PATH_MAX];

	snprintf(file, sizeof(file), "%s", path);
	for (int i = 0; i < SCRIPTS_MAX; i++) {
		int script, loader, fd = open(file, O_RDONLY | O_CLOEXEC);

		if (fd < 0) /* may be run, not read: nothing is known about it */
			return 0;
		if (gains_rights(fd)) {
			close(fd);
			return link_fail(
				why, -ENOEXEC,
				"%s runs with another user's rights, and the dynamic loader "
				"keeps our library out of such programs: run it as that user",
				file);
		}
		script = interpreter(fd, file);
		loader = script ? 1 : has_loader(fd);
		close(fd);
		if (script)
			continue;
		if (loader > 0)
			return 0;
		return link_fail(
			why, -ENOEXEC,
			loader < 0 ? "%s is no 64-bit ELF program"
				   : "%s is statically linked: our library can't get into it, "
				     "and its sockets would be the kernel's",
			strcmp(file, path) ? file : name);
	}
	return 0;
}

int program_find(const char *name, char path[PATH_MAX], struct link_why *why)
{
	struct stat st;
	int err = look_up(name, path);

	if (err == -ENOENT)
		return link_fail(why, err, "there is no program %s%s", name,
				 strchr(name, '/') ? "" : " in PATH");
	if (err == -EACCES && stat(name, &st) == 0)
		return link_fail(why, err, "cannot run %s: it is %s", name,
				 S_ISDIR(st.st_mode) ? "a directory" : "not executable");
	if (err)
		return link_fail(why, err, "cannot run %s: %s", name, strerror(-err));
	return check(path, name, why);
}

int program_shim(char path[PATH_MAX], struct link_why *why)
{
	static const char *const places[] = { "libcouplet-shim.so",
					      "../lib/couplet/libcouplet-shim.so" };
	char self[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return link_fail(why, -errno, "cannot read /proc/self/exe: %s", strerror(errno));
	self[n] = 0;
	slash = strrchr(self, '/');
	*slash = 0;
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char name[2 * PATH_MAX];

		snprintf(name, sizeof(name), "%s/%s", self, places[i]);
		if (!realpath(name, path))
			continue;
		if (access(path, R_OK) == 0)
			return 0;
		return link_fail(why, -errno, "cannot read %s: %s", path, strerror(errno));
	}
	return link_fail(why, -ENOENT,
			 "libcouplet-shim.so is neither in %s nor in %s/../lib/couplet: build it "
			 "with make, or install both",
			 self, self);
}

/* ---- Where it lives ------------------------------------------------------------------------- */

int program_leave_network(struct link_why *why)
{
	unsigned uid = geteuid(), gid = getegid();
	int err;

	if (unshare(CLONE_NEWNET) == 0)
		return 0;
	if (errno != EPERM || unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return link_fail(why, -errno, "cannot make a network namespace for the program: %s",
				 errno == EPERM ? "this system does not let users make them; run "
						  "couplet with sudo"
						: strerror(errno));
	err = netns_map(uid, uid, gid, gid);
	return err ? link_fail(why, err, "cannot stay user %u in a user namespace: %s", uid,
			       strerror(-err))
		   : 0;
}

/* ---- Its start ------------------------------------------------------------------------------ */

static int set_environment(const struct program_config *c)
{
	const char *before = getenv("LD_PRELOAD");
	char preload[3 * PATH_MAX];

	if (before && *before)
		snprintf(preload, sizeof(preload), "%s:%s", c->shim, before);
	else
		snprintf(preload, sizeof(preload), "%s", c->shim);
	return setenv("LD_PRELOAD", preload, 1) || setenv("COUPLET_RUN", c->server, 1) ? -errno : 0;
}

/* One octet that carries FD. */
static void descriptor_send(int to, int fd)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .h = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { "", 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.h), &fd, sizeof(fd));
	sendmsg(to, &msg, MSG_NOSIGNAL);
	close(fd);
}

/* What the new process says, into TEXT; *FD: the descriptor that came with it, or as it is. */
static ssize_t message_read(int from, char *text, size_t room, int *fd)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { text, room };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t n;

	do
		n = recvmsg(from, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n > 0 && msg.msg_controllen >= CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(&control.h), sizeof(*fd));
	return n;
}

/*
 * In the new process: never returns. What fails goes to the other end of OUT, which exec closes;
 * before it, what it may not do is heard of.
 */
static void become(const struct program_config *c, int out, pid_t parent)
{
	struct link_why why = { "" };
	sigset_t none;
	ssize_t n;
	int fd;

	if (getppid() != parent)
		_exit(128 + SIGTERM);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGINT, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	if (program_leave_network(&why) == 0) {
		int err = set_environment(c);

		fd = err ? -1 : refuse_install();
		if (fd >= 0)
			descriptor_send(out, fd);
		if (!err)
			execv(c->path, c->argv);
		link_fail(&why, -errno, "cannot run %s: %s", c->path, strerror(errno));
	}
	n = write(out, why.text, strlen(why.text) + 1);
	_exit(n > 0 ? 126 : 127);
}

pid_t program_start(const struct program_config *config, int *refusals, struct link_why *why)
{
	struct link_why told = { "" };
	pid_t self = getpid(), child;
	int fds[2];
	ssize_t n;

	*refusals = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return link_fail(why, -errno, "cannot make a pair of sockets: %s", strerror(errno));
	fflush(NULL);
	child = fork();
	if (child == 0)
		become(config, fds[1], self);
	close(fds[1]);
	if (child < 0) {
		close(fds[0]);
		return link_fail(why, -errno, "cannot start a process: %s", strerror(errno));
	}
	n = message_read(fds[0], told.text, sizeof(told.text) - 1, refusals);
	if (*refusals >= 0)
		n = message_read(fds[0], told.text, sizeof(told.text) - 1, refusals);
	close(fds[0]);
	if (n <= 0)
		return child;
	if (*refusals >= 0)
		close(*refusals);
	waitpid(child, NULL, 0);
	return link_fail(why, -EPERM, "%s", told.text);
}

void program_answer_soon(void)
{
	/* struct sched_attr: <linux/sched/types.h> does not go with <sched.h> */
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attr = { .size = sizeof(attr) };

	if (syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0) || attr.policy != SCHED_OTHER)
		return;
	attr.runtime = SLICE_NS;
	syscall(SYS_sched_setattr, 0, &attr, 0);
}
