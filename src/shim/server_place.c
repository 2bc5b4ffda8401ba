/* SPDX-License-Identifier: MIT */
/*
 * Where the server listens: a unix socket in a directory of its own, which others may pass, but not
 * list: who knows the name has been told it. (An abstract name would be known in one network
 * namespace alone.) A server that was killed leaves its directory; the next one of the same user
 * removes it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "shim/server_inside.h"

#define PREFIX	"couplet-run-"
#define BACKLOG 1024
#define YOUNG_S 10 /* it may be about to listen */

/* ---- What others left ----------------------------------------------------------------------- */

/* Nobody listens there. */
static bool is_dead(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd;
	bool dead;

	if (snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path) >=
	    (int)sizeof(addr.sun_path))
		return false;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	dead = fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) &&
	       errno == ECONNREFUSED;
	if (fd >= 0)
		close(fd);
	return dead;
}

/* The directory NAME in TOP, if it is ours and its server is gone. */
static void clear_one(const char *top, const char *name)
{
	char path[1024];
	struct dirent *e;
	struct stat st;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%s", top, name);
	if (lstat(path, &st) || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
	    time(NULL) - st.st_mtime < YOUNG_S)
		return;
	dir = opendir(path);
	while (dir && (e = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s/%s", top, name, e->d_name);
		if (e->d_name[0] != '.' && is_dead(path))
			unlink(path);
	}
	if (dir)
		closedir(dir);
	/* Not where a server still has its socket. */
	snprintf(path, sizeof(path), "%s/%s", top, name);
	rmdir(path);
}

static void clear_dead(const char *top)
{
	DIR *dir = opendir(top);
	struct dirent *e;

	while (dir && (e = readdir(dir)) != NULL)
		if (!strncmp(e->d_name, PREFIX, strlen(PREFIX)))
			clear_one(top, e->d_name);
	if (dir)
		closedir(dir);
}

/* ---- Ours ----------------------------------------------------------------------------------- */

int place_open(struct shim_server *s, struct link_why *why)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *top = getenv("TMPDIR");
	uint64_t name[2];

	name[0] = token_new(s, 0) ^ token_new(s, 0) >> 32;
	name[1] = token_new(s, 0) ^ token_new(s, 0) >> 32;
	if (!top || strlen(top) > 32)
		top = "/tmp";
	clear_dead(top);
	snprintf(s->dir, sizeof(s->dir), "%s/" PREFIX "XXXXXX", top);
	if (!mkdtemp(s->dir)) {
		int err = -errno;

		s->dir[0] = '\0';
		return link_fail(why, err, "cannot make a directory in %s: %s", top,
				 strerror(-err));
	}
	snprintf(s->path, sizeof(s->path), "%s/%016llx%016llx", s->dir, (unsigned long long)name[0],
		 (unsigned long long)name[1]);
	memcpy(addr.sun_path, s->path, sizeof(addr.sun_path));
	s->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->listener < 0 || chmod(s->dir, 0711) || fchmod(s->listener, 0666) ||
	    bind(s->listener, (struct sockaddr *)&addr, sizeof(addr)) || chmod(s->path, 0666) ||
	    listen(s->listener, BACKLOG))
		return link_fail(why, -errno, "cannot listen for programs at %s: %s", s->path,
				 strerror(errno));
	return 0;
}

void place_close(struct shim_server *s)
{
	if (s->listener >= 0)
		close(s->listener);
	if (s->path[0])
		unlink(s->path);
	if (s->dir[0])
		rmdir(s->dir);
}
