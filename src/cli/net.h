/* SPDX-License-Identifier: MIT */
/*
 * What `couplet serve` and `couplet get` stand on: a stack of our own, and the command that runs
 * beside it.
 *
 * On a TUN or TAP device it is 10.99.0.2 and fd99::2, and the kernel, on the other end, 10.99.0.1
 * and fd99::1, in a network namespace of their own where we are not root. On an interface that is
 * there, its addresses are given. On memory shared with another couplet, who serves is 10.99.0.2,
 * who opens 10.99.0.1.
 */
#ifndef CLI_NET_H
#define CLI_NET_H

#include <getopt.h>
#include <net/if.h>
#include <stdbool.h>
#include <sys/types.h>

#include <couplet/couplet.h>

#include "host/cores.h"
#include "link/link.h"
#include "link/pcapng.h"

#define NET_CORES_MAX 64u

struct net_options {
	const char *name; /* of the stack, for its control socket: "serve", "get" */
	struct link_spec link;
	/* Ours, and what is behind the link; all zero: as net.h's heading says, or none. */
	struct cpl_addr address4, address6, gateway4, gateway6;
	unsigned prefix4, prefix6; /* 0: 24 and 64 */
	bool opens;		   /* on shm: .1, where the one that listens is .2 */
	bool own_namespace;	   /* also when root */
	unsigned cores;		   /* stacks with the same addresses, a thread each; 0: 1 */
	uint32_t fastopen;	   /* CPL_FASTOPEN_*; 0: as the stack has it */
	int ecn;		   /* 1 + enum cpl_ecn; 0: as the stack has it */
	const char *cc;		   /* congestion control, or NULL: as the stack has it */
	const char *capture;	   /* write all frames there, or NULL */
	char *const *argv;	   /* of couplet, for the sudo line */
};

/* The options on the command line that set them, for getopt_long(). */
enum net_option {
	NET_OPT_LINK = 512,
	NET_OPT_TAP,
	NET_OPT_ADDRESS,
	NET_OPT_GATEWAY,
	NET_OPT_MTU,
	NET_OPT_NO_OFFLOAD,
	NET_OPT_NAMESPACE,
	NET_OPT_PCAPNG
};

/* clang-format off */
#define NET_OPTIONS                                                                                \
	{ "link", required_argument, NULL, NET_OPT_LINK },                                         \
	{ "tap", no_argument, NULL, NET_OPT_TAP },                                                 \
	{ "address", required_argument, NULL, NET_OPT_ADDRESS },                                   \
	{ "gateway", required_argument, NULL, NET_OPT_GATEWAY },                                   \
	{ "mtu", required_argument, NULL, NET_OPT_MTU },                                           \
	{ "no-offload", no_argument, NULL, NET_OPT_NO_OFFLOAD },                                   \
	{ "namespace", no_argument, NULL, NET_OPT_NAMESPACE },                                     \
	{ "pcapng", required_argument, NULL, NET_OPT_PCAPNG }

#define NET_HELP                                                                                   \
	"      --link LINK      tun[=NAME] (the default), tap[=NAME]: a new device of the\n"       \
	"                       kernel; packet=IF, xdp=IF[:QUEUE]: an interface that is\n"         \
	"                       there; shm=PATH: another couplet on this machine\n"                \
	"      --tap            --link tap: Ethernet, not bare IP\n"                               \
	"      --address A/LEN  our address, once for IPv4 and once for IPv6\n"                    \
	"      --gateway A      a router of that interface's network\n"                            \
	"      --mtu N          largest packet of the link (1500)\n"                               \
	"      --no-offload     no super-segments, every checksum computed here\n"                 \
	"      --namespace      in a network namespace of its own, also when root\n"               \
	"      --pcapng FILE    write all packets to FILE\n"
/* clang-format on */

/* What getopt_long() returned, C, is one of enum net_option: 0, or what cli_fail() returned. */
int net_option(struct net_options *options, int c, const char *arg);
/* A decimal number from LOW to HIGH, and nothing else. */
bool net_number(const char *text, unsigned long low, unsigned long high, unsigned long *value);
/* "A" or "A/LEN": PREFIX_LEN stays as it is without a length. 0, or what cli_fail() returned. */
int net_address(const char *text, struct cpl_addr *addr, unsigned *prefix_len);
/* The command behind "--" after argument AT of ARGV; NULL: none. 0, or what cli_fail() returned. */
int net_command(int argc, char **argv, int at, char *const **command);

struct net {
	struct cores *cores;
	cpl_stack *stack;  /* of core 0 */
	struct loop *loop; /* likewise */
	char ifname[16];   /* of the kernel's end */
	struct pcapng *capture;
	struct cpl_addr ours4, ours6; /* all zero: none of that family */
	/* What is behind the link: the kernel's end, or a router; all zero: nothing of that family
	 */
	struct cpl_addr kernel4, kernel6;
	unsigned prefix4, prefix6;
	bool kernel_end; /* the link is a device of the kernel's that we made */
	pid_t child;
	int child_fd;	  /* a pidfd, or -1 */
	int child_status; /* of wait(), once it has ended */
	bool child_ended;
};

/* 0, or what cli_fail() returned; net_close() in either case. */
int net_open(struct net *net, const struct net_options *options);
void net_close(struct net *net);

/*
 * Start ARGV (ends with NULL; argv[0] is looked up in PATH) in the namespace, with OUT as its
 * standard output; the loop stops when it has ended. 0, or what cli_fail() returned.
 */
int net_run(struct net *net, char *const *argv, int out);
/* After the loop: the command's exit status, 128 + the signal that ended it, or 0 without one. */
int net_child_status(const struct net *net);
/* End it, if it still runs: SIGTERM, and SIGKILL where that is not heard. */
void net_end_child(struct net *net);

/* Whether the kernel has ADDR, and on which interface. */
bool net_kernel_has(const struct cpl_addr *addr, char name[IF_NAMESIZE]);
/*
 * Whether the kernel's end takes packets to ADDR, as its own or to forward them. If not, WHY says
 * why.
 */
bool net_reaches(const struct net *net, const struct cpl_addr *addr, struct link_why *why);

/*
 * Both control blocks of OUR connection HANDLE on stdout: ours, and the kernel's at the other end,
 * with what binds them.
 */
void net_show_both(struct net *net, cpl_handle handle, const char *our_name,
		   const char *kernel_name);

/* Say whose the connection is, for netstat. */
void net_own(cpl_stack *stack, cpl_handle handle, const char *program);

#endif
