/* SPDX-License-Identifier: MIT */
/*
 * Scripts set the kernel's settings through a shell: sysctl(8), and programs that write /proc/sys.
 * Stand-ins of those (src/packetdrill/bin), first in PATH, append NAME=VALUE to a file of this
 * process, which is read on as calls come.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "packetdrill/drill.h"
#include "stack/sockets.h"

#define SYSCTL_ENV "COUPLET_PACKETDRILL_SYSCTL"

void drill_sysctl_open(struct drill *d, const char *tools)
{
	const char *path = getenv("PATH");
	char *joined;

	d->sysctl_fd = -1;
	if (!*tools)
		return;
	snprintf(d->sysctl_path, sizeof(d->sysctl_path), "/tmp/couplet-sysctl-XXXXXX");
	d->sysctl_fd = mkostemp(d->sysctl_path, O_CLOEXEC);
	if (d->sysctl_fd < 0) {
		fprintf(stderr, "couplet: %s: %s: settings will not be seen\n", d->sysctl_path,
			strerror(errno));
		return;
	}
	setenv(SYSCTL_ENV, d->sysctl_path, 1);
	if (asprintf(&joined, "%s:%s", tools, path ? path : "/usr/bin:/bin") < 0)
		return;
	setenv("PATH", joined, 1);
	free(joined);
}

static void apply(struct drill *d, char *line)
{
	char *value = strchr(line, '=');
	int err;

	if (!value)
		return;
	*value++ = 0;
	if (!strcmp(line, "couplet.tcp_metrics")) { /* of ip(8) */
		if (!strncmp(value, "flush", 5))
			stack_forget_peers(d->stack);
		return;
	}
	err = sockets_sysctl_set(d->sockets, line, value, d->now);
	if (err && d->verbose)
		fprintf(stderr, "couplet: %s=%s: %s\n", line, value, strerror(-err));
}

/* Whole lines only: the rest comes later. */
void drill_sysctl_read(struct drill *d)
{
	char text[4096], *line = text, *end;
	ssize_t n;

	if (d->sysctl_fd < 0)
		return;
	n = pread(d->sysctl_fd, text, sizeof(text) - 1, d->sysctl_read);
	if (n <= 0)
		return;
	text[n] = 0;
	while ((end = strchr(line, '\n'))) {
		*end = 0;
		apply(d, line);
		line = end + 1;
	}
	d->sysctl_read += line - text;
	if (line != text)
		drill_sysctl_read(d);
}

void drill_sysctl_close(struct drill *d)
{
	if (d->sysctl_fd < 0)
		return;
	close(d->sysctl_fd);
	unlink(d->sysctl_path);
	d->sysctl_fd = -1;
}
