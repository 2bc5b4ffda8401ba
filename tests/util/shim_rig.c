/* SPDX-License-Identifier: MIT */
/* The two hosts of shim_rig.h. */
#define _GNU_SOURCE
#include "tests/util/shim_rig.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void say(void *arg, const char *text)
{
	struct shim_host *h = arg;

	pthread_mutex_lock(&h->lock);
	snprintf(h->said, sizeof(h->said), "%s", text);
	h->said_n++;
	pthread_mutex_unlock(&h->lock);
}

unsigned shim_rig_said(struct shim_rig *rig, int host, char text[512])
{
	struct shim_host *h = &rig->hosts[host];
	unsigned n;

	pthread_mutex_lock(&h->lock);
	n = h->said_n;
	memcpy(text, h->said, sizeof(h->said));
	h->said_n = 0;
	pthread_mutex_unlock(&h->lock);
	return n;
}

static void look(struct shim_host *h)
{
	struct cpl_info infos[16];
	uint64_t cursor = 0;
	int n;

	h->conns = 0;
	while ((n = cpl_info_walk(h->stack, &cursor, infos, 16, loop_clock())) > 0)
		for (int i = 0; i < n; i++)
			h->conns += infos[i].state != CPL_TIME_WAIT;
	h->held = shim_server_sockets(h->server);
	h->programs = shim_server_programs(h->server);
}

static void *run(void *arg)
{
	struct shim_host *h = arg;
	int err = 0;

	while (!err && !loop_stopped(h->loop)) {
		err = shim_server_turn(h->server, CPL_NEVER);
		if (atomic_load(&h->look) == 1) {
			look(h);
			atomic_store(&h->look, 2);
		}
	}
	return NULL;
}

static int host_open(struct shim_host *h, unsigned n, struct link *link, struct link_why *why)
{
	struct cpl_addr addr4 = cpl_addr4(10, 9, 0, (uint8_t)(n + 1)), addr6;
	struct sockets_config config;
	char text[32];
	int err = config_fill(&h->config, why), ifindex;

	snprintf(text, sizeof(text), "fd09::%u", n + 1);
	cpl_addr_parse(&addr6, text);
	sockets_config_init(&config);
	pthread_mutex_init(&h->lock, NULL);
	if (!err)
		err = cpl_stack_new(&h->stack, &h->config, loop_clock());
	if (!err)
		err = loop_new(&h->loop, h->stack, why);
	if (err)
		return err;
	ifindex = loop_add_link(h->loop, link, CPL_IFACE_NO_DAD, why);
	if (ifindex < 0)
		return ifindex;
	cpl_addr_add(h->stack, ifindex, &addr4, 24, loop_clock());
	cpl_addr_add(h->stack, ifindex, &addr6, 64, loop_clock());
	err = sockets_new(&h->sockets, h->stack, &config, loop_clock());
	if (!err)
		err = shim_server_open(&h->server, h->loop, h->sockets, why);
	if (err)
		return err;
	shim_server_on_say(h->server, say, h);
	shim_server_add_addr(h->server, "wire0", (unsigned)ifindex, &addr4, 24);
	shim_server_add_addr(h->server, "wire0", (unsigned)ifindex, &addr6, 64);
	return 0;
}

int shim_rig_open(struct shim_rig *rig)
{
	struct link_pipe_config pipe = { .kind = CPL_IFACE_ETHER, .offload = true, .wake = true };
	struct link_why why = { "" };
	struct link *ends[2];
	int err;

	memset(rig, 0, sizeof(*rig));
	if (getenv("SHIM_PRELOAD"))
		snprintf(rig->library, sizeof(rig->library), "%s", getenv("SHIM_PRELOAD"));
	else if (!realpath("out/release/" SHIM_LIBRARY, rig->library)) {
		printf("no out/release/" SHIM_LIBRARY ": make BUILD=release\n");
		return 1;
	}
	err = link_pipe_open(ends, &pipe, &why);
	for (unsigned n = 0; n < 2 && !err; n++)
		err = host_open(&rig->hosts[n], n, ends[n], &why);
	if (err) {
		printf("%s (%s)\n", why.text, strerror(-err));
		return 1;
	}
	for (unsigned n = 0; n < 2; n++)
		pthread_create(&rig->hosts[n].thread, NULL, run, &rig->hosts[n]);
	return 0;
}

void shim_rig_close(struct shim_rig *rig)
{
	for (unsigned n = 0; n < 2; n++) {
		loop_stop(rig->hosts[n].loop);
		pthread_join(rig->hosts[n].thread, NULL);
	}
	for (unsigned n = 0; n < 2; n++) {
		struct shim_host *h = &rig->hosts[n];

		shim_server_close(h->server);
		sockets_free(h->sockets, loop_clock());
		loop_free(h->loop);
		cpl_stack_free(h->stack);
	}
}

pid_t shim_rig_start(struct shim_rig *rig, int host, char *const argv[])
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing of a test outlives it */
	setenv("LD_PRELOAD", rig->library, 1);
	setenv(SHIM_ENV, shim_server_path(rig->hosts[host].server), 1);
	execvp(argv[0], argv);
	fprintf(stderr, "cannot start %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

int shim_rig_wait(pid_t pid, double seconds)
{
	struct timespec tick = { 0, 1000000 };
	int status;

	for (double at = 0; at < seconds; at += 0.001) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		nanosleep(&tick, NULL);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

void shim_rig_look(struct shim_rig *rig, int host)
{
	struct shim_host *h = &rig->hosts[host];

	atomic_store(&h->look, 1);
	while (atomic_load(&h->look) != 2) {
		loop_wake(h->loop);
		usleep(500);
	}
}
