/* SPDX-License-Identifier: MIT */
/* unshare(2), and the maps of user and group that user_namespaces(7) asks for. */
#define _GNU_SOURCE
#include "host/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "link/kernel_if.h"

static int write_file(const char *path, const char *text)
{
	ssize_t n = -1;
	int err = 0, fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		n = write(fd, text, strlen(text));
	if (n < 0)
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

/* The last word of a sentence that refuses: how to get it all the same. */
static void add_command(struct link_why *why, char *const argv[])
{
	size_t n = strlen(why->text);

	if (!argv || !argv[0])
		return;
	for (unsigned i = 0; argv[i] && n < sizeof(why->text); i++)
		n += (size_t)snprintf(why->text + n, sizeof(why->text) - n, "%s%s",
				      i ? " " : "; run: sudo ", argv[i]);
}

static int refused(struct link_why *why, int err, const char *what, char *const argv[])
{
	const char *reason = strerror(-err);

	if (err == -EPERM || err == -EACCES)
		reason = "this system does not let users make user namespaces";
	else if (err == -ENOSPC || err == -EUSERS)
		reason = "the limit of user.max_user_namespaces or user.max_net_namespaces is "
			 "reached";
	else if (err == -EINVAL)
		reason = "the process has more than one thread, or the kernel has no user "
			 "namespaces";
	link_fail(why, err, "cannot %s: %s", what, reason);
	add_command(why, argv);
	return err;
}

int netns_map(uid_t as_uid, uid_t uid, gid_t as_gid, gid_t gid)
{
	char text[64];
	int err;

	/* user_namespaces(7): without it an unprivileged process may not write gid_map */
	err = write_file("/proc/self/setgroups", "deny");
	if (err && err != -ENOENT)
		return err;
	snprintf(text, sizeof(text), "%u %u 1", (unsigned)as_uid, (unsigned)uid);
	err = write_file("/proc/self/uid_map", text);
	if (err)
		return err;
	snprintf(text, sizeof(text), "%u %u 1", (unsigned)as_gid, (unsigned)gid);
	return write_file("/proc/self/gid_map", text);
}

int netns_enter(char *const argv[], struct link_why *why)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int err;

	if (unshare(CLONE_NEWNET) < 0) {
		if (errno != EPERM)
			return refused(why, -errno, "make a network namespace", argv);
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
			return refused(why, -errno, "make a network namespace of our own", argv);
		err = netns_map(0, uid, 0, gid);
		if (err)
			return refused(why, err, "become root in a user namespace", argv);
	}
	err = kernel_if_up("lo", why);
	/* AppArmor lets users make the namespace on some systems, and then do nothing in it. */
	if (err)
		add_command(why, argv);
	return err;
}
