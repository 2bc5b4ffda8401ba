/* SPDX-License-Identifier: MIT */
/*
 * See run_link.h. The ways out: none; user (a second stack in this process forwards,
 * run_forward.c), and the links of link.h: a TUN or TAP device, whose other end is an interface of
 * the kernel that we make, or an interface that is there.
 */
#include "cli/run_link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/config.h"
#include "link/kernel_if.h"

#define USER_MTU     65535u
#define LOOPBACK_MTU 65535u
#define MTU_V6	     1280u

/* ---- The link ------------------------------------------------------------------------------- */

static int open_user(struct run_link *l, const struct run_link_options *o, struct link_why *why)
{
	struct link_pipe_config config = { .kind = CPL_IFACE_IP,
					   .mtu = o->device.mtu ? o->device.mtu : USER_MTU,
					   .offload = !o->device.no_offload,
					   .wake = true };
	struct forward_config forward = { .gateway4 = o->gateway4,
					  .gateway6 = o->gateway6,
					  .program4 = o->ours4,
					  .program6 = o->ours6,
					  .flows_max = 65536,
					  .publish_n = o->publish_n };
	struct link *ends[2];
	int err = link_pipe_open(ends, &config, why);

	if (err)
		return err;
	l->link = ends[0];
	memcpy(forward.publish, o->publish, sizeof(forward.publish));
	return forward_start(&l->forward, ends[1], &forward, why);
}

static int open_device(struct run_link *l, const struct run_link_options *o, struct link_why *why)
{
	const char *name;
	int err = link_open(&l->link, &o->device, why);

	if (err || !link_has_kernel_end(&o->device))
		return err;
	name = l->link->iface.name;
	if (o->device.mtu && (err = kernel_if_set_mtu(name, o->device.mtu, why)) != 0)
		return err;
	if ((err = kernel_if_set_queue(name, KERNEL_IF_QUEUE, why)) != 0 ||
	    (err = kernel_if_up(name, why)) != 0)
		return err;
	err = kernel_if_addr_add(name, &o->gateway4, o->prefix4, why);
	/* A machine without IPv6, or a link too narrow for it, has IPv4. */
	if (!err && l->link->iface.mtu >= MTU_V6) {
		struct link_why no6;

		kernel_if_addr_add(name, &o->gateway6, o->prefix6, &no6);
	}
	return err;
}

/* ---- The stack ------------------------------------------------------------------------------ */

/*
 * An interface that nothing leaves by: what goes to our own addresses turns round in the stack. The
 * loop asks it for frames like any other, and so a link stands behind it.
 */
static int add_loopback(struct run_link *l, uint64_t now, struct link_why *why)
{
	struct link_pipe_config config = {
		.kind = CPL_IFACE_IP, .mtu = LOOPBACK_MTU, .offload = true, .wake = true
	};
	struct cpl_addr lo4 = cpl_addr4(127, 0, 0, 1), lo6 = { { [15] = 1 } };
	struct link *ends[2];
	int ifindex, err = link_pipe_open(ends, &config, why);

	if (err)
		return err;
	l->nowhere = ends[1];
	snprintf(ends[0]->iface.name, sizeof(ends[0]->iface.name), "lo");
	ifindex = loop_add_link(l->loop, ends[0], CPL_IFACE_NO_DAD, why);
	if (ifindex < 0)
		return ifindex;
	l->lo = (unsigned)ifindex;
	err = cpl_addr_add(l->stack, ifindex, &lo4, 8, now);
	if (!err)
		err = cpl_addr_add(l->stack, ifindex, &lo6, 128, now);
	return err ? link_fail(why, err, "cannot set our loopback's addresses: %s", strerror(-err))
		   : 0;
}

bool run_link_has(const struct cpl_addr *addr)
{
	static const struct cpl_addr none;

	return !cpl_addr_equal(addr, &none);
}

static int add_family(struct run_link *l, const struct cpl_addr *any, const struct cpl_addr *ours,
		      unsigned prefix_len, const struct cpl_addr *gateway, uint64_t now)
{
	int err = cpl_addr_add(l->stack, l->ifindex, ours, prefix_len, now);

	if (!err && run_link_has(gateway))
		err = cpl_route_add(l->stack, any, 0, gateway, l->ifindex, 0, now);
	return err;
}

static int add_way_out(struct run_link *l, const struct run_link_options *o, uint64_t now)
{
	struct cpl_addr any4 = cpl_addr4(0, 0, 0, 0), any6 = { { 0 } };
	int err = 0;

	if (run_link_has(&o->ours4))
		err = add_family(l, &any4, &o->ours4, o->prefix4, &o->gateway4, now);
	if (!err && l->has6)
		err = add_family(l, &any6, &o->ours6, o->prefix6, &o->gateway6, now);
	return err;
}

static int open_stack(struct run_link *l, const struct run_link_options *o, struct link_why *why)
{
	struct cpl_config config;
	uint64_t now = loop_clock();
	int err = config_fill(&config, why);

	if (err)
		return err;
	config.trace_records = 4096;
	if (o->share) {
		/* Blocks are powers of two. */
		err = arena_new(&l->arena, 2 * config.memory_max, &l->arena_fd, why);
		if (err)
			return err;
		config.alloc = arena_alloc;
		config.release = arena_release;
		config.alloc_ctx = l->arena;
		config.memory_shared = true;
	}
	err = cpl_stack_new(&l->stack, &config, now);
	if (err)
		return link_fail(why, err, "cannot make a stack: %s", strerror(-err));
	err = loop_new(&l->loop, l->stack, why);
	if (err)
		return err;
	if (o->kind == RUN_LINK_NONE)
		return add_loopback(l, now, why);
	if (o->capture) {
		err = pcapng_open(&l->capture, o->capture, loop_epoch(), 0, why);
		if (!err)
			err = link_capture(l->link, l->capture);
		if (err)
			return err;
	}
	l->has6 = l->link->iface.mtu >= MTU_V6 && run_link_has(&o->ours6);
	snprintf(l->device, sizeof(l->device), "%s", l->link->iface.name);
	l->ifindex = loop_add_link(l->loop, l->link, CPL_IFACE_NO_DAD, why);
	l->shared = l->link;
	l->link = NULL;
	if (l->ifindex < 0)
		return l->ifindex;
	err = add_loopback(l, now, why);
	if (err)
		return err;
	err = add_way_out(l, o, now);
	return err ? link_fail(why, err, "cannot set our addresses: %s", strerror(-err)) : 0;
}

int run_link_open(struct run_link *l, const struct run_link_options *o, struct link_why *why)
{
	struct link_why unseen;
	int err;

	memset(l, 0, sizeof(*l));
	l->arena_fd = -1;
	if (o->kind == RUN_LINK_USER)
		err = open_user(l, o, why);
	else
		err = o->kind == RUN_LINK_NONE ? 0 : open_device(l, o, why);
	if (!err)
		err = open_stack(l, o, why);
	if (err)
		return err;
	err = control_open(&l->control, l->stack, NULL, o->name, &unseen);
	if (!err)
		err = loop_set_control(l->loop, l->control);
	if (err)
		fprintf(stderr, "couplet run: %s; `couplet netstat` will not see this stack\n",
			unseen.text);
	return 0;
}

void run_link_close(struct run_link *l)
{
	int err;

	link_close(l->link);
	if (l->loop)
		loop_free(l->loop); /* and the link with it */
	link_close(l->nowhere);
	forward_stop(l->forward);
	if (l->control)
		control_close(l->control);
	cpl_stack_free(l->stack);
	arena_unmap(l->arena);
	if (l->arena_fd >= 0)
		close(l->arena_fd);
	err = pcapng_close(l->capture);
	if (err)
		fprintf(stderr, "couplet run: the packets could not all be written: %s\n",
			strerror(-err));
}
