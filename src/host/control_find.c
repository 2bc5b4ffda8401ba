/* SPDX-License-Identifier: MIT */
/* Where control sockets are, and the removal of those that their processes left behind. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/control_client.h"

struct walk {
	int (*visit)(void *arg, const struct control_entry *entry);
	void *arg;
};

/* This user, as it is called outside of a user namespace that we may have made. */
static unsigned outer_uid(void)
{
	unsigned uid = geteuid(), inside, outside, n;
	FILE *map = fopen("/proc/self/uid_map", "re");

	if (!map)
		return uid;
	while (fscanf(map, "%u %u %u", &inside, &outside, &n) == 3) {
		if (uid - inside < n) {
			uid = outside + (uid - inside);
			break;
		}
	}
	fclose(map);
	return uid;
}

void control_dir(char *dir, size_t size)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	unsigned uid = outer_uid();
	char user[64];
	struct stat st;

	snprintf(user, sizeof(user), "/run/user/%u", uid);
	if (runtime && *runtime == '/')
		snprintf(dir, size, "%s/couplet", runtime);
	else if (uid == 0)
		snprintf(dir, size, "/run/couplet");
	else if (stat(user, &st) == 0 && st.st_uid == geteuid())
		snprintf(dir, size, "%s/couplet", user);
	else
		snprintf(dir, size, "/tmp/couplet-%u", uid);
}

/* PID.NAME.sock */
static bool entry_parse(const char *dir, const char *file, struct control_entry *e)
{
	char *dot, *end;
	unsigned long pid;
	size_t n;
	int len;

	if (!isdigit((unsigned char)*file))
		return false;
	pid = strtoul(file, &dot, 10);
	n = strlen(file);
	if (*dot != '.' || !pid || pid > INT32_MAX || n <= strlen(CONTROL_SUFFIX))
		return false;
	end = (char *)(uintptr_t)file + n - strlen(CONTROL_SUFFIX);
	if (strcmp(end, CONTROL_SUFFIX) || end <= dot + 1 ||
	    (size_t)(end - dot - 1) >= sizeof(e->name))
		return false;
	e->pid = (uint32_t)pid;
	memcpy(e->name, dot + 1, (size_t)(end - dot - 1));
	e->name[end - dot - 1] = '\0';
	len = snprintf(e->path, sizeof(e->path), "%s/%s", dir, file);
	return len > 0 && (size_t)len < sizeof(e->path);
}

/* Nobody listens, and the process that its name tells is gone: it died without a word. */
static bool is_stale(const struct control_entry *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat st;
	bool refused;
	int fd;

	if (kill((pid_t)e->pid, 0) == 0 || errno != ESRCH)
		return false;
	if (lstat(e->path, &st) || !S_ISSOCK(st.st_mode) ||
	    strlen(e->path) >= sizeof(address.sun_path))
		return false;
	strcpy(address.sun_path, e->path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	/* A process of another PID namespace may well be alive: ask. */
	refused =
		connect(fd, (struct sockaddr *)&address, sizeof(address)) && errno == ECONNREFUSED;
	close(fd);
	return refused;
}

static int dir_each(const char *dir, const struct walk *walk)
{
	struct control_entry e;
	struct dirent *d;
	DIR *files = opendir(dir);
	int end = 0;

	if (!files)
		return -errno;
	while (!end && (d = readdir(files)) != NULL) {
		if (!entry_parse(dir, d->d_name, &e))
			continue;
		if (is_stale(&e))
			unlink(e.path);
		else
			end = walk->visit(walk->arg, &e);
	}
	closedir(files);
	return end;
}

/* The directories of all users, for root: PARENT/PREFIXuidSUFFIX, but BUT. */
static int users_each(const char *parent, const char *prefix, const char *suffix, const char *but,
		      const struct walk *walk)
{
	DIR *users = opendir(parent);
	struct dirent *d;
	char path[320];
	int end = 0;

	if (!users)
		return 0;
	while (end <= 0 && (d = readdir(users)) != NULL) {
		const char *rest = d->d_name + strlen(prefix);

		if (strncmp(d->d_name, prefix, strlen(prefix)) || !isdigit((unsigned char)*rest))
			continue;
		snprintf(path, sizeof(path), "%s/%s%s", parent, d->d_name, suffix);
		if (strcmp(path, but))
			end = dir_each(path, walk);
	}
	closedir(users);
	return end;
}

/* What VISIT said ends the walk; that a directory is not there does not. */
static bool ends(int result)
{
	return result && result != -ENOENT && result != -EACCES && result != -ENOTDIR;
}

int control_each(const char *dir, int (*visit)(void *arg, const struct control_entry *entry),
		 void *arg)
{
	const struct walk walk = { visit, arg };
	char usual[256];
	int end;

	if (dir)
		return dir_each(dir, &walk);
	control_dir(usual, sizeof(usual));
	end = dir_each(usual, &walk);
	if (!ends(end) && strcmp(usual, "/run/couplet"))
		end = dir_each("/run/couplet", &walk);
	if (geteuid() == 0) {
		if (!ends(end))
			end = users_each("/run/user", "", "/couplet", usual, &walk);
		if (!ends(end))
			end = users_each("/tmp", "couplet-", "", usual, &walk);
	}
	return ends(end) ? end : 0;
}
