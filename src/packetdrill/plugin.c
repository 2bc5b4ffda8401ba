/* SPDX-License-Identifier: MIT */
/*
 * The library that packetdrill loads, or is started with in LD_PRELOAD:
 * packetdrill_interface_init() makes the stack; network and clock are here.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/times.h>

#include "packetdrill/drill.h"

#define START (1000000 * CPL_SECOND) /* some time in 1970, far enough from 0 */

#define REAL_US 2000

struct drill *drill_here;

/* ---- network ---- */

static int do_netdev_send(void *u, const void *packet, size_t n)
{
	struct drill *d = u;
	struct cpl_frame frame = { .data = packet, .len = (uint32_t)n };
	int r;

	drill_lock(d);
	r = cpl_input(d->stack, d->ifindex, &frame, 1, d->now);
	drill_unlock(d);
	return r == 1 ? 0 : -1;
}

static int do_netdev_receive(void *u, void *packet, size_t *n, long long *time_us)
{
	struct drill *d = u;
	struct drill_packet *p = NULL;
	uint64_t limit;

	drill_lock(d);
	limit = d->now + DRILL_LIMIT;
	drill_settle(d);
	while (list_empty(&d->packets)) {
		uint64_t next = drill_next(d);

		if (next == CPL_NEVER || next > limit)
			break;
		drill_pass(d, next, true);
	}
	if (!list_empty(&d->packets)) {
		p = list_first(&d->packets, struct drill_packet, link);
		list_del(&p->link);
		*n = p->len < *n ? p->len : *n;
		memcpy(packet, p->data, *n);
		*time_us = (long long)(p->time / 1000);
		free(p);
	} else { /* nothing will ever come: a packet that packetdrill cannot take for one */
		*n = 0;
		*time_us = (long long)(d->now / 1000);
	}
	drill_unlock(d);
	return 0;
}

/* ---- clock ---- */

static int do_usleep(void *u, useconds_t us)
{
	struct drill *d = u;
	bool looked;

	drill_lock(d);
	drill_pass(d, d->now + us * 1000ull, false);
	looked = d->looked;
	d->looked = false;
	drill_unlock(d);
	if (looked) /* packetdrill notes the result of that call: in no virtual time */
		usleep(REAL_US);
	return 0;
}

/*
 * packetdrill spins on the clock: each look takes a microsecond. Not the look after a call that
 * waited: it is to show when the call was over.
 */
static int do_gettimeofday(void *u, struct timeval *tv, struct timezone *tz)
{
	struct drill *d = u;

	(void)tz;
	pthread_mutex_lock(&d->lock);
	if (!drill_call_looked(d))
		drill_pass(d, d->now + 1000, false);
	tv->tv_sec = (time_t)(d->now / CPL_SECOND);
	tv->tv_usec = (suseconds_t)(d->now % CPL_SECOND / 1000);
	pthread_mutex_unlock(&d->lock);
	return 0;
}

/* ---- what packetdrill asks the C library, if this library is in LD_PRELOAD ---- */

/* For %{ }%: TCP_INFO, TCP_CC_INFO, SO_MEMINFO. */
DRILL_EXPORT int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	struct drill *d = drill_here;
	int r;

	if (!d || !drill_sock(d, fd))
		return (int)syscall(SYS_getsockopt, fd, level, name, value, len);
	drill_lock(d);
	r = socket_getsockopt(d->sockets, drill_sock(d, fd), level, name, value, len, d->now);
	drill_unlock(d);
	return (int)drill_result(r);
}

/* At its start packetdrill waits for ten ticks of this clock. */
DRILL_EXPORT clock_t times(struct tms *t)
{
	static clock_t ticks;

	if (!drill_here)
		return syscall(SYS_times, t);
	if (t)
		memset(t, 0, sizeof(*t));
	return ++ticks;
}

/* ---- made and unmade ---- */

static void *stack_alloc(void *ctx, size_t n)
{
	(void)ctx;
	return malloc(n);
}

static void stack_release(void *ctx, void *slab, size_t n)
{
	(void)ctx;
	(void)n;
	free(slab);
}

static void do_free(void *u)
{
	struct drill *d = u;

	if (drill_here == d)
		drill_here = NULL;
	drill_sysctl_close(d);
	for (int fd = 0; fd < DRILL_FDS; fd++)
		if (drill_sock(d, fd) || drill_set(d, fd))
			drill_forget(d, fd);
	sockets_free(d->sockets, d->now);
	cpl_stack_free(d->stack);
	drill_packets_free(d);
	pthread_cond_destroy(&d->returned);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

/* One interface that has both families' addresses, and the way to everywhere. */
static int network(struct drill *d, const struct drill_flags *f)
{
	struct cpl_iface_config iface = {
		.size = sizeof(iface),
		.name = "tun0",
		.kind = CPL_IFACE_IP,
		.mtu = f->mtu,
		.flags = CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4 | CPL_IFACE_GSO6,
		.gso_max = 65535,
	};
	struct cpl_addr any4 = cpl_addr4(0, 0, 0, 0), any6 = { { 0 } };
	int err = 0;

	d->ifindex = cpl_iface_add(d->stack, &iface, d->now);
	if (d->ifindex < 0)
		return d->ifindex;
	for (unsigned i = 0; i < f->local_n && !err; i++)
		err = cpl_addr_add(d->stack, d->ifindex, &f->local[i], f->prefix[i], d->now);
	err = err ? err : cpl_route_add(d->stack, &any4, 0, NULL, d->ifindex, 0, d->now);
	return err ? err : cpl_route_add(d->stack, &any6, 0, NULL, d->ifindex, 0, d->now);
}

static int make(struct drill *d, const struct drill_flags *f)
{
	struct cpl_config config;
	struct sockets_config sockets;
	int err;

	cpl_config_init(&config);
	config.alloc = stack_alloc;
	config.release = stack_release;
	/* No secret at all: a script's run is the same each time. */
	memcpy(config.secret, &f->seed, sizeof(f->seed));
	err = cpl_stack_new(&d->stack, &config, d->now);
	if (err)
		return err;
	sockets_config_init(&sockets);
	err = sockets_new(&d->sockets, d->stack, &sockets, d->now);
	return err ? err : network(d, f);
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "couplet: packetdrill plug-in: %s: %s\n", what, why);
	exit(EXIT_FAILURE);
}

/* The stand-ins are installed beside the library, in packetdrill/. */
static void find_tools(struct drill_flags *f)
{
	Dl_info self;
	const char *slash;

	if (*f->tools || !dladdr((void *)packetdrill_interface_init, &self) || !self.dli_fname)
		return;
	slash = strrchr(self.dli_fname, '/');
	if (!slash)
		return;
	snprintf(f->tools, sizeof(f->tools), "%.*s/packetdrill", (int)(slash - self.dli_fname),
		 self.dli_fname);
	if (access(f->tools, X_OK))
		*f->tools = 0;
}

DRILL_EXPORT void packetdrill_interface_init(const char *flags, struct packetdrill_interface *i)
{
	struct drill *d = calloc(1, sizeof(*d));
	struct drill_flags f;
	const char *wrong;
	int err;

	if (!drill_flags_parse(flags, &f, &wrong))
		die("--so_flags is not understood from here on", wrong);
	if (!d)
		die("starting", strerror(ENOMEM));
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->returned, NULL);
	list_init(&d->packets);
	list_init(&d->calls);
	d->owner = pthread_self();
	d->now = START;
	d->verbose = f.verbose;
	err = make(d, &f);
	if (err)
		die("making the stack", strerror(-err));
	find_tools(&f);
	drill_sysctl_open(d, f.tools);
	unsetenv("LD_PRELOAD"); /* of no use to the programs that scripts start */
	i->userdata = d;
	i->free = do_free;
	i->netdev_send = do_netdev_send;
	i->netdev_receive = do_netdev_receive;
	i->usleep = do_usleep;
	i->gettimeofday = do_gettimeofday;
	drill_names(i);
	drill_data(i);
	drill_ready(i);
	drill_pipes(i);
	drill_here = d;
}
