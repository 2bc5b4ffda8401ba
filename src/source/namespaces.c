/* SPDX-License-Identifier: MIT */
/* Network namespaces: see namespaces.h. */
#define _GNU_SOURCE
#include "source/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

int namespace_open(const struct netns *ns)
{
	struct stat st;
	int fd = open(ns->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	/* The process may be in another one by now, the name given to another one. */
	if (fstat(fd, &st) < 0 || (uint32_t)st.st_ino != ns->inode) {
		close(fd);
		return -ENOENT;
	}
	return fd;
}

struct visit {
	int fd;
	int (*call)(void *arg);
	void *arg;
	int result;
};

static void *visit_thread(void *arg)
{
	struct visit *v = arg;

	v->result = setns(v->fd, CLONE_NEWNET) < 0 ? -errno : v->call(v->arg);
	return NULL;
}

int namespace_run(const struct netns *ns, int (*call)(void *arg), void *arg)
{
	struct visit v = { .call = call, .arg = arg };
	pthread_t thread;
	int err;

	if (!ns || ns->ours)
		return call(arg);
	v.fd = namespace_open(ns);
	if (v.fd < 0)
		return v.fd;
	err = -pthread_create(&thread, NULL, visit_thread, &v);
	if (!err)
		err = -pthread_join(thread, NULL);
	close(v.fd);
	return err ? err : v.result;
}
