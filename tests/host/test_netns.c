/* SPDX-License-Identifier: MIT */
/* A namespace of one's own without root, and the sentence of who may not have one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/netns.h"

#define NOBODY 65534

/* What a child found. */
struct report {
	int err;
	unsigned uid;
	bool other_netns, lo_up;
	struct link_why why;
};

static ino_t netns(void)
{
	struct stat st;

	return stat("/proc/self/ns/net", &st) ? 0 : st.st_ino;
}

static bool lo_is_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	bool up = ioctl(fd, SIOCGIFFLAGS, &ifr) == 0 && ifr.ifr_flags & IFF_UP;

	close(fd);
	return up;
}

/*
 * A child, without root if that can be given up, enters. A process that may not be traced does not
 * own its own files in /proc, and is refused the maps.
 */
static struct report enter(bool traceable)
{
	char *argv[] = { "couplet", "serve", ".", NULL };
	struct report report = { 0 };
	int pipe_fds[2], status;
	pid_t pid;

	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	if (!pid) {
		ino_t before = netns();

		if (getuid() == 0 && (setgid(NOBODY) || setuid(NOBODY)))
			_exit(1);
		prctl(PR_SET_DUMPABLE, traceable);
		report.err = netns_enter(argv, &report.why);
		report.uid = geteuid();
		report.other_netns = netns() != before;
		report.lo_up = lo_is_up();
		_exit(write(pipe_fds[1], &report, sizeof(report)) != sizeof(report));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(pipe_fds[0], &report, sizeof(report)), sizeof(report));
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return report;
}

static void test_enter(void **state)
{
	struct report r = enter(true);

	(void)state;
	if (r.err) {
		print_message("# %s\n", r.why.text);
		skip();
	}
	assert_int_equal(r.uid, 0);
	assert_true(r.other_netns);
	assert_true(r.lo_up);
}

static void test_refused(void **state)
{
	static const char end[] = "; run: sudo couplet serve .";
	struct report r = enter(false);
	size_t n = strlen(r.why.text);

	(void)state;
	assert_true(r.err < 0);
	assert_true(n > sizeof(end));
	assert_string_equal(r.why.text + n - (sizeof(end) - 1), end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_enter),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
