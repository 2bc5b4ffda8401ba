/* SPDX-License-Identifier: MIT */
/* Network namespaces: see namespaces.h. */
#define _GNU_SOURCE
#include "source/namespaces.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "source/owner.h"

/* Newer than some C libraries' headers. */
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#define GET_SOCKET_NAMESPACE 0x894c /* SIOCGSKNS */

/* ---- Finding them ---------------------------------------------------------------------------- */

void namespaces_free(struct netns_list *list)
{
	free(list->ns);
	memset(list, 0, sizeof(*list));
}

const struct netns *namespaces_get(const struct netns_list *list, uint32_t inode)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->ns[i].inode == inode)
			return &list->ns[i];
	return NULL;
}

/* The one with INODE, added if it is new; NULL: no memory. */
static struct netns *place(struct netns_list *list, uint32_t inode)
{
	struct netns *ns = (struct netns *)namespaces_get(list, inode);

	if (ns)
		return ns;
	if (list->n == list->room) {
		size_t room = list->room ? list->room * 2 : 16;
		struct netns *bigger = reallocarray(list->ns, room, sizeof(*bigger));

		if (!bigger)
			return NULL;
		list->ns = bigger;
		list->room = room;
	}
	ns = &list->ns[list->n++];
	memset(ns, 0, sizeof(*ns));
	ns->inode = inode;
	ns->socket_fd = -1;
	return ns;
}

static int find_ours(struct netns_list *list)
{
	static const char path[] = "/proc/self/ns/net";
	struct stat st;
	struct netns *ns;

	if (stat(path, &st) < 0)
		return -errno;
	ns = place(list, (uint32_t)st.st_ino);
	if (!ns)
		return -ENOMEM;
	ns->ours = true;
	memcpy(ns->path, path, sizeof(path));
	return 0;
}

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		unsigned c;

		if (s[0] == '\\' && sscanf(s + 1, "%3o", &c) == 1) {
			*to++ = (char)c;
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = 0;
}

/* "36 35 0:4 net:[4026532183] /run/netns/blue rw ... - nsfs nsfs rw" */
static int find_mount(struct netns_list *list, const char *line)
{
	char path[sizeof(list->ns->path)];
	unsigned long inode;
	struct netns *ns;
	char *base;

	if (sscanf(line, "%*s %*s %*s net:[%lu] %255s", &inode, path) != 2)
		return 0;
	unescape(path);
	ns = place(list, (uint32_t)inode);
	if (!ns)
		return -ENOMEM;
	base = strrchr(path, '/');
	/* One mounted twice has the first name. */
	if (!ns->name[0] && base)
		snprintf(ns->name, sizeof(ns->name), "%.*s", (int)sizeof(ns->name) - 1, base + 1);
	if (!ns->path[0])
		memcpy(ns->path, path, sizeof(path));
	return 0;
}

static int find_mounts(struct netns_list *list)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t size = 0;
	int err = 0;

	if (!file)
		return 0;
	while (!err && getline(&line, &size, file) > 0)
		err = find_mount(list, line);
	free(line);
	fclose(file);
	return err;
}

static int find_process(struct netns_list *list, int proc, const char *pid)
{
	char path[64];
	struct stat st;
	struct netns *ns;

	snprintf(path, sizeof(path), "%.20s/ns/net", pid);
	if (fstatat(proc, path, &st, 0) < 0) {
		list->denied += errno == EACCES || errno == EPERM;
		return 0;
	}
	ns = place(list, (uint32_t)st.st_ino);
	if (!ns)
		return -ENOMEM;
	if (!ns->pid)
		ns->pid = (uint32_t)strtoul(pid, NULL, 10);
	if (!ns->path[0])
		snprintf(ns->path, sizeof(ns->path), "/proc/%.20s/ns/net", pid);
	return 0;
}

static int find_processes(struct netns_list *list)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int err = 0;

	if (!proc)
		return -errno;
	while (!err && (entry = readdir(proc)) != NULL)
		if (isdigit((unsigned char)entry->d_name[0]))
			err = find_process(list, dirfd(proc), entry->d_name);
	closedir(proc);
	return err;
}

static int find_sockets(struct netns_list *list, const struct owner_table *owners)
{
	uint32_t last = 0;

	for (size_t i = 0; i < owners->size; i++) {
		const struct owner *o = &owners->slot[i];
		struct netns *ns;

		if (!o->inode || !o->netns || o->netns == last)
			continue;
		last = o->netns;
		ns = place(list, o->netns);
		if (!ns)
			return -ENOMEM;
		if (ns->path[0])
			continue;
		ns->pid = o->pid;
		ns->socket_fd = (int)o->fd;
	}
	return 0;
}

int namespaces_find(struct netns_list *list, const struct owner_table *owners)
{
	int err;

	memset(list, 0, sizeof(*list));
	err = find_ours(list);
	if (!err)
		err = find_mounts(list);
	if (!err)
		err = find_processes(list);
	if (!err && owners)
		err = find_sockets(list, owners);
	if (err)
		namespaces_free(list);
	return err;
}

/* ---- Being inside ---------------------------------------------------------------------------- */

/* Nothing but a socket stands for it: the socket is borrowed, and tells its namespace. */
static int open_by_socket(const struct netns *ns)
{
	int pidfd = (int)syscall(SYS_pidfd_open, ns->pid, 0);
	int fd = -1, result;

	if (pidfd < 0)
		return errno == ESRCH ? -ENOENT : -errno;
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, ns->socket_fd, 0);
	result = fd < 0 ? (errno == EBADF || errno == ESRCH ? -ENOENT : -errno) : 0;
	close(pidfd);
	if (result)
		return result;
	result = ioctl(fd, GET_SOCKET_NAMESPACE);
	if (result < 0)
		result = errno == ENOTTY ? -ENOENT : -errno; /* it is another file by now */
	close(fd);
	return result;
}

int namespace_open(const struct netns *ns)
{
	struct stat st;
	int fd;

	if (!ns) {
		fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	fd = ns->path[0] ? open(ns->path, O_RDONLY | O_CLOEXEC) : open_by_socket(ns);

	if (fd < 0)
		return ns->path[0] ? -errno : fd;
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

	v->result = v->call(v->arg);
	return NULL;
}

int namespace_run_apart(int (*call)(void *arg), void *arg)
{
	struct visit v = { .call = call, .arg = arg };
	pthread_t thread;
	int err = -pthread_create(&thread, NULL, visit_thread, &v);

	if (!err)
		err = -pthread_join(thread, NULL);
	return err ? err : v.result;
}

static int enter(void *arg)
{
	struct visit *v = arg;

	return setns(v->fd, CLONE_NEWNET) < 0 ? -errno : v->call(v->arg);
}

int namespace_run(const struct netns *ns, int (*call)(void *arg), void *arg)
{
	struct visit v = { .call = call, .arg = arg };
	int err;

	if (!ns || ns->ours)
		return call(arg);
	v.fd = namespace_open(ns);
	if (v.fd < 0)
		return v.fd;
	err = namespace_run_apart(enter, &v);
	close(v.fd);
	return err;
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

int namespace_try(const struct netns *ns)
{
	return namespace_run(ns, nothing, NULL);
}
