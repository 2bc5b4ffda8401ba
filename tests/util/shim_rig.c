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
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host/arena.h"

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

	h->broken = shim_server_lock(h->server) < 0;
	if (h->broken)
		return;
	h->conns = 0;
	while ((n = cpl_info_walk(h->stack, &cursor, infos, 16, loop_clock())) > 0)
		for (int i = 0; i < n; i++)
			h->conns += infos[i].state != CPL_TIME_WAIT;
	h->held = shim_server_sockets(h->server);
	h->programs = shim_server_programs(h->server);
	shim_server_unlock(h->server);
}

static void *run(void *arg)
{
	struct shim_host *h = arg;
	int err = 0;

	while (!loop_stopped(h->loop)) {
		if (err)
			usleep(1000);
		else
			err = shim_server_turn(h->server, CPL_NEVER);
		if (atomic_load(&h->look) == 1) {
			look(h);
			atomic_store(&h->look, 2);
		}
	}
	return NULL;
}

/* What link_pipe_open() does, over a pair of sockets that programs can have an end of. */
static int wire_open(struct shim_rig *rig, struct link *ends[2])
{
	int pair[2], room = 64 << 20, err = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		return -errno;
	for (unsigned n = 0; n < 2 && !err; n++) {
		struct cpl_iface_config iface = {
			.size = sizeof(iface),
			.kind = CPL_IFACE_ETHER,
			.mtu = 1500,
			.name = "wire",
			.mac = { 2, 0, 0, 0, 9, (uint8_t)n },
			.flags = CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4 | CPL_IFACE_GSO6,
			.gso_max = 60000,
		};

		rig->hosts[n].device = pair[n];
		rig->narrow |=
			setsockopt(pair[n], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) != 0;
		err = link_fd_open(&ends[n], pair[n], &iface);
	}
	return err;
}

static int arena_open(struct shim_host *h, struct link_why *why)
{
	int err = arena_new(&h->arena, 2 * h->config.memory_max, &h->arena_fd, why);

	h->config.alloc = arena_alloc;
	h->config.release = arena_release;
	h->config.alloc_ctx = h->arena;
	h->config.memory_shared = true;
	return err;
}

static int host_open(struct shim_host *h, unsigned n, struct link *link, enum shim_rig_how how,
		     struct link_why *why)
{
	struct cpl_addr addr4 = cpl_addr4(10, 9, 0, (uint8_t)(n + 1)), addr6;
	struct sockets_config config;
	char text[32];
	int err = config_fill(&h->config, why), ifindex;

	snprintf(text, sizeof(text), "fd09::%u", n + 1);
	cpl_addr_parse(&addr6, text);
	sockets_config_init(&config);
	pthread_mutex_init(&h->lock, NULL);
	if (!err && how)
		err = arena_open(h, why);
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
	if (how) {
		struct shim_inline shared = { .arena = h->arena,
					      .arena_fd = h->arena_fd,
					      .stack = h->stack,
					      .link = link,
					      .ifindex = ifindex,
					      .all = how == SHIM_RIG_ALL };

		err = shim_server_inline(h->server, &shared);
		if (err)
			return err;
		shim_server_unlock(h->server);
	}
	shim_server_add_addr(h->server, "wire0", (unsigned)ifindex, &addr4, 24);
	shim_server_add_addr(h->server, "wire0", (unsigned)ifindex, &addr6, 64);
	return 0;
}

int shim_rig_open(struct shim_rig *rig, enum shim_rig_how how)
{
	struct link_pipe_config pipe = { .kind = CPL_IFACE_ETHER, .offload = true, .wake = true };
	struct link_why why = { "" };
	struct link *ends[2];
	int err;

	memset(rig, 0, sizeof(*rig));
	rig->how = how;
	if (getenv("SHIM_PRELOAD"))
		snprintf(rig->library, sizeof(rig->library), "%s", getenv("SHIM_PRELOAD"));
	else if (!realpath("out/release/" SHIM_LIBRARY, rig->library)) {
		printf("no out/release/" SHIM_LIBRARY ": make BUILD=release\n");
		return 1;
	}
	err = how ? wire_open(rig, ends) : link_pipe_open(ends, &pipe, &why);
	for (unsigned n = 0; n < 2 && !err; n++)
		err = host_open(&rig->hosts[n], n, ends[n], how, &why);
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

		look(h);
		shim_server_close(h->server);
		if (!h->broken)
			sockets_free(h->sockets, loop_clock());
		loop_free(h->loop);
		if (!h->broken)
			cpl_stack_free(h->stack);
		if (h->arena) {
			arena_unmap(h->arena);
			close(h->arena_fd);
			close(h->device);
		}
	}
}

pid_t shim_rig_start(struct shim_rig *rig, int host, char *const argv[])
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing of a test outlives it */
	signal(SIGINT, SIG_DFL);	  /* a shell in the background has it ignored */
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
