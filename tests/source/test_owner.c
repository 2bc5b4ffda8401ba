/* SPDX-License-Identifier: MIT */
/* Who holds a socket: this process and a child of it, as /proc tells. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "source/owner.h"
#include "tests/util/loopback.h"

/* How many owners INODE has, and whether PID with FD is one. */
static unsigned owners(const struct owner_table *t, uint64_t inode, uint32_t pid, uint32_t fd,
		       bool *found)
{
	const struct owner *o;
	size_t cursor = 0;
	unsigned n = 0;

	*found = false;
	while ((o = owner_next(t, inode, &cursor)) != NULL) {
		assert_int_equal(o->inode, inode);
		*found |= o->pid == pid && o->fd == fd;
		n++;
	}
	return n;
}

static void scan(struct owner_table *t)
{
	owner_table_init(t);
	assert_int_equal(owner_scan(t), 0);
	assert_true(t->processes >= 1);
}

static void ours(void **state)
{
	struct owner_table t;
	int fd = socket(AF_INET, SOCK_STREAM, 0), file = open("/proc/self/stat", O_RDONLY);
	size_t cursor = 0;
	const struct owner *o;
	char name[16];

	(void)state;
	prctl(PR_GET_NAME, name);
	scan(&t);
	o = owner_next(&t, inode_of(fd), &cursor);
	assert_non_null(o);
	assert_int_equal(o->pid, getpid());
	assert_int_equal(o->fd, fd);
	assert_string_equal(o->program, name);
	assert_null(owner_next(&t, inode_of(fd), &cursor));
	/* What is no socket is not there, nor is 0. */
	cursor = 0;
	assert_null(owner_next(&t, inode_of(file), &cursor));
	cursor = 0;
	assert_null(owner_next(&t, 0, &cursor));
	owner_table_free(&t);
	close(fd);
	close(file);
	scan(&t);
	owner_table_free(&t);
}

/* Two descriptors here and one in a child. */
static void several(void **state)
{
	struct owner_table t;
	int fd = socket(AF_INET, SOCK_DGRAM, 0), copy = dup(fd), ready[2];
	bool found;
	char c;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		close(copy);
		prctl(PR_SET_NAME, "a (b) c");
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	scan(&t);
	assert_int_equal(owners(&t, inode_of(fd), (uint32_t)getpid(), (uint32_t)fd, &found), 3);
	assert_true(found);
	owners(&t, inode_of(fd), (uint32_t)getpid(), (uint32_t)copy, &found);
	assert_true(found);
	owners(&t, inode_of(fd), (uint32_t)child, (uint32_t)fd, &found);
	assert_true(found);
	for (size_t cursor = 0;;) {
		const struct owner *o = owner_next(&t, inode_of(fd), &cursor);

		assert_non_null(o);
		if (o->pid == (uint32_t)child) {
			assert_string_equal(o->program, "a (b) c");
			break;
		}
	}
	owner_table_free(&t);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(fd);
	close(copy);
	close(ready[0]);
	close(ready[1]);
}

/* The table grows, and finds every one of many. */
static void many(void **state)
{
	enum {
		N = 900
	};
	static int fds[N];
	struct owner_table t;
	bool found;

	(void)state;
	for (int i = 0; i < N; i++) {
		fds[i] = socket(AF_INET, SOCK_DGRAM, 0);
		assert_true(fds[i] >= 0);
	}
	scan(&t);
	assert_true(t.n >= N);
	assert_true(t.size >= t.n);
	for (int i = 0; i < N; i++) {
		assert_int_equal(owners(&t, inode_of(fds[i]), (uint32_t)getpid(), (uint32_t)fds[i],
					&found),
				 1);
		assert_true(found);
		close(fds[i]);
	}
	owner_table_free(&t);
}

/* Processes of others are counted, not passed over in silence. */
static void denied(void **state)
{
	int status;
	pid_t child;

	(void)state;
	if (getuid() != 0) {
		struct owner_table t;

		scan(&t);
		if (access("/proc/1/fd", R_OK) == 0)
			print_message("# every process is ours\n");
		else
			assert_true(t.denied > 0);
		owner_table_free(&t);
		return;
	}
	child = fork();
	if (child == 0) {
		struct owner_table t;

		owner_table_init(&t);
		if (setgid(65534) || setuid(65534) || owner_scan(&t))
			_exit(1);
		_exit(t.denied > 0 ? 0 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ours),
		cmocka_unit_test(several),
		cmocka_unit_test(many),
		cmocka_unit_test(denied),
	};

	return cmocka_run_group_tests_name("owner", tests, NULL, NULL);
}
