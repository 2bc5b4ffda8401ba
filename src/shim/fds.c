/* SPDX-License-Identifier: MIT */
/*
 * What this process knows of its descriptors. Those that came by execve() or SCM_RIGHTS are
 * recognized by their inode, which the server knows.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/epoll.h"
#include "shim/shim.h"

uint8_t fd_kinds[FDS_MAX];
struct fd fds[FDS_MAX];
static _Atomic unsigned own_first = FDS_MAX, own_end; /* where FD_OWN are */

static _Atomic uint32_t alone = 1;

uint32_t fds_alone(void)
{
	return atomic_load_explicit(&alone, memory_order_relaxed);
}

void fds_shared(void)
{
	if (!atomic_fetch_add(&alone, 1))
		atomic_fetch_add(&alone, 1);
}

void fd_is(int fd, enum fd_kind kind, struct fd f)
{
	/* Whoever had that number before has said that it is free: to the kernel, and here. */
	fd_kind(fd);
	/* But who looks through all of them may have come by here: fd_token(). */
	__atomic_store_n(&fds[fd].token, f.token, __ATOMIC_RELAXED);
	memcpy((char *)&fds[fd] + sizeof(f.token), (char *)&f + sizeof(f.token),
	       sizeof(f) - sizeof(f.token));
	__atomic_store_n(&fd_kinds[fd], (uint8_t)kind, __ATOMIC_RELEASE);
}

void fd_set_socket(int fd, shim_token token, uint64_t id, int domain, int type)
{
	if ((unsigned)fd >= FDS_MAX)
		return;
	fd_is(fd, FD_SOCKET,
	      (struct fd){
		      .token = token, .id = id, .domain = (uint8_t)domain, .type = (uint8_t)type });
}

void fd_copy(int from, int to)
{
	enum fd_kind kind = fd_kind(from);

	if ((unsigned)to >= FDS_MAX || kind == FD_OWN)
		return;
	if (kind != FD_OTHER) {
		fd_put(fds[from].alone, 0);
		fd_is(to, kind, fds[from]);
	} else {
		fd_forget(to);
	}
}

void fd_forget(int fd)
{
	if ((unsigned)fd < FDS_MAX)
		__atomic_store_n(&fd_kinds[fd], FD_OTHER, __ATOMIC_RELEASE);
}

void fd_arrived(int fd)
{
	struct shim_answer answer;
	struct shim_slot *slot;
	struct stat st;
	uint64_t cookie;

	fd_forget(fd);
	if (fstat(fd, &st) || !S_ISSOCK(st.st_mode))
		return;
	slot = call_begin(SHIM_FIND, fd, 0);
	if (!slot)
		return;
	slot->request.arg[0] = (int64_t)st.st_ino;
	if (call_do(slot, false) < 0) {
		call_end(slot);
		return;
	}
	answer = slot->answer;
	memcpy(&cookie, slot->data, sizeof(cookie));
	call_end(slot);
	if (answer.arg[0] >= 0)
		fd_set_socket(fd, answer.sock, answer.id, (int)answer.arg[0], (int)answer.arg[1]);
	else
		epoll_arrived(fd, answer.sock, (uint32_t)answer.arg[1] % SHIM_EPOLLS, cookie);
}

void fd_drop(int fd)
{
	int cancel;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	REAL(close)(fd);
	pthread_setcancelstate(cancel, NULL);
}

int fd_hide(int fd)
{
	struct rlimit limit = { 1024, 1024 };
	int high;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur > FDS_MAX)
		limit.rlim_cur = FDS_MAX;
	high = REAL(fcntl)(fd, F_DUPFD_CLOEXEC, (int)(limit.rlim_cur - limit.rlim_cur / 8));
	if (high < 0)
		high = REAL(fcntl)(fd, F_DUPFD_CLOEXEC, 0);
	fd_drop(fd);
	if (high >= 0 && (unsigned)high < FDS_MAX) {
		fd_is(high, FD_OWN, (struct fd){ .token = 0 });
		if ((unsigned)high >= own_end)
			own_end = (unsigned)high + 1;
		if ((unsigned)high < own_first)
			own_first = (unsigned)high;
	}
	return high;
}

void fds_own_close(int but)
{
	for (unsigned fd = own_first; fd < own_end; fd++)
		if (fd_kind((int)fd) == FD_OWN && !fd_token((int)fd) && (int)fd != but) {
			fd_forget((int)fd);
			REAL(close)((int)fd);
		}
}

void fds_holder_close(shim_token token)
{
	for (unsigned fd = own_first; fd < own_end; fd++)
		if (fd_kind((int)fd) == FD_OWN && fd_token((int)fd) == token) {
			fd_forget((int)fd);
			REAL(close)((int)fd);
		}
}

/* Descriptors that the program was started with. */
__attribute__((constructor(102))) static void fds_inherited(void)
{
	DIR *dir;
	struct dirent *e;
	int *all = NULL, *more;
	size_t n = 0, room = 0;

	if (!process_served())
		return;
	dir = opendir("/proc/self/fd");
	if (!dir) {
		for (int fd = 0; fd < 256; fd++)
			fd_arrived(fd);
		return;
	}
	/* All at first: to ask for one takes others. */
	while ((e = readdir(dir))) {
		if (n == room) {
			more = reallocarray(all, room + 1024, sizeof(*all));
			if (!more)
				break;
			all = more;
			room += 1024;
		}
		if (e->d_name[0] != '.')
			all[n++] = atoi(e->d_name);
	}
	closedir(dir);
	for (size_t i = 0; i < n; i++)
		fd_arrived(all[i]);
	free(all);
}
