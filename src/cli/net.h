/* SPDX-License-Identifier: MIT */
/*
 * What `couplet serve` and `couplet get` stand on: a stack of our own on one end of a TUN or TAP
 * device, the kernel on the other, in a network namespace of their own where we are not root; and
 * the command that runs beside them.
 */
#ifndef CLI_NET_H
#define CLI_NET_H

#include <stdbool.h>
#include <sys/types.h>

#include <couplet/couplet.h>

#include "host/control.h"
#include "host/loop.h"
#include "link/link.h"
#include "link/pcapng.h"

struct net_options {
	const char *name;   /* of the stack, for its control socket: "serve", "get" */
	bool tap;	    /* Ethernet, not bare IP */
	bool own_namespace; /* also when root */
	bool no_offload;
	uint32_t mtu;	     /* 0: 1500 */
	const char *capture; /* write all frames there, or NULL */
	char *const *argv;   /* of couplet, for the sudo line */
};

struct net {
	cpl_stack *stack;
	struct loop *loop;
	struct link *link;
	struct control *control;
	struct pcapng *capture;
	int ifindex;
	struct cpl_addr ours4, ours6;	  /* 10.99.0.2, fd99::2 */
	struct cpl_addr kernel4, kernel6; /* 10.99.0.1, fd99::1 */
	pid_t child;
	int child_fd;	  /* a pidfd, or -1 */
	int child_status; /* of wait(), once it has ended */
	bool child_ended;
};

/* 0, or what cli_fail() returned. */
int net_open(struct net *net, const struct net_options *options);
void net_close(struct net *net);

/*
 * Start ARGV (ends with NULL; argv[0] is looked up in PATH) in the namespace; the loop stops when
 * it has ended, if STOP. 0, or what cli_fail() returned.
 */
int net_run(struct net *net, char *const *argv, bool stop);
/* After the loop: the command's exit status, 128 + the signal that ended it, or 0 without one. */
int net_child_status(const struct net *net);
/* End it, if it still runs: SIGTERM, and wait. */
void net_end_child(struct net *net);

/*
 * Both control blocks of OUR connection HANDLE on stdout: ours, and the kernel's at the other end,
 * with what binds them.
 */
void net_show_both(struct net *net, cpl_handle handle, const char *our_name,
		   const char *kernel_name);

/* One endpoint of SET_OPTION calls that every connection of ours gets: owner, for netstat. */
void net_own(struct net *net, cpl_handle handle, const char *program);

#endif
