/* SPDX-License-Identifier: MIT */
/* A stack of our own beside the kernel's: see net.h. */
#define _GNU_SOURCE
#include "cli/net.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "host/config.h"
#include "host/netns.h"
#include "link/kernel_if.h"
#include "source/source.h"
#include "view/pair.h"
#include "view/tcb.h"
#include "wire/ip.h"

#define PREFIX4	    24
#define PREFIX6	    64
#define TERM_TRIES  100 /* of 20 ms each, from SIGTERM to SIGKILL */
#define TERM_TRY_NS (20 * CPL_MS)

/* ---- The command line ----------------------------------------------------------------------- */

bool net_number(const char *text, unsigned long low, unsigned long high, unsigned long *value)
{
	char *end;

	errno = 0;
	*value = strtoul(text, &end, 10);
	return !errno && text[0] >= '0' && text[0] <= '9' && !*end && *value >= low &&
	       *value <= high;
}

int net_address(const char *text, struct cpl_addr *addr, unsigned *prefix_len)
{
	const char *slash = strchr(text, '/');
	char host[64];
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	unsigned long len = 0;
	unsigned most;

	snprintf(host, sizeof(host), "%.*s", (int)(n < sizeof(host) ? n : 0), text);
	if (cpl_addr_parse(addr, host))
		return cli_fail(CLI_USAGE, "%s: no IP address", text);
	if (addr_is_any(addr) || addr_is_loopback(addr) || addr_is_multicast(addr) ||
	    addr_is_broadcast(addr))
		return cli_fail(CLI_USAGE, "%s: not an address that a host on a network can have",
				text);
	most = cpl_addr_is4(addr) ? 32 : 128;
	if (slash && !net_number(slash + 1, 1, most, &len))
		return cli_fail(CLI_USAGE, "%s: a length of 1 to %u", text, most);
	if (slash)
		*prefix_len = (unsigned)len;
	return CLI_OK;
}

static int set_link(struct net_options *o, const char *arg)
{
	struct link_why why;

	if (link_parse(&o->link, arg, &why))
		return cli_fail(CLI_USAGE, "--link %s", why.text);
	return CLI_OK;
}

static int set_address(struct net_options *o, const char *arg)
{
	struct cpl_addr addr;
	unsigned len = 0;
	int status = net_address(arg, &addr, &len);

	if (status)
		return status;
	if (cpl_addr_is4(&addr)) {
		o->address4 = addr;
		o->prefix4 = len;
	} else {
		o->address6 = addr;
		o->prefix6 = len;
	}
	return CLI_OK;
}

static int set_gateway(struct net_options *o, const char *arg)
{
	struct cpl_addr addr;

	if (cpl_addr_parse(&addr, arg))
		return cli_fail(CLI_USAGE, "--gateway %s: no IP address", arg);
	*(cpl_addr_is4(&addr) ? &o->gateway4 : &o->gateway6) = addr;
	return CLI_OK;
}

int net_option(struct net_options *o, int c, const char *arg)
{
	unsigned long n;

	switch ((enum net_option)c) {
	case NET_OPT_LINK:
		return set_link(o, arg);
	case NET_OPT_TAP:
		o->link.kind = LINK_TAP;
		break;
	case NET_OPT_ADDRESS:
		return set_address(o, arg);
	case NET_OPT_GATEWAY:
		return set_gateway(o, arg);
	case NET_OPT_MTU:
		if (!net_number(arg, 576, 65535, &n))
			return cli_fail(CLI_USAGE, "--mtu %s: 576 to 65535 bytes", arg);
		o->link.mtu = (uint32_t)n;
		break;
	case NET_OPT_NO_OFFLOAD:
		o->link.no_offload = true;
		break;
	case NET_OPT_NAMESPACE:
		o->own_namespace = true;
		break;
	case NET_OPT_PCAPNG:
		o->capture = arg;
		break;
	}
	return CLI_OK;
}

int net_command(int argc, char **argv, int at, char *const **command)
{
	*command = NULL;
	if (at + 1 >= argc)
		return CLI_OK;
	if (strcmp(argv[at + 1], "--") != 0)
		return cli_fail(CLI_USAGE,
				argv[at + 1][0] == '-'
					? "%s: options come before %s"
					: "%s: one too many after %s; a command comes after \"--\"",
				argv[at + 1], argv[at]);
	if (at + 2 >= argc)
		return cli_fail(CLI_USAGE, "which command after \"--\"?");
	*command = argv + at + 2;
	return CLI_OK;
}

/* ---- The stack and its link ----------------------------------------------------------------- */

static struct cpl_addr addr_of(const struct sockaddr *sa)
{
	struct cpl_addr addr = { { 0 } };

	if (sa && sa->sa_family == AF_INET) {
		addr.b[10] = addr.b[11] = 0xff;
		memcpy(addr.b + 12, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
	} else if (sa && sa->sa_family == AF_INET6) {
		memcpy(addr.b, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
	}
	return addr;
}

bool net_kernel_has(const struct cpl_addr *addr, char name[IF_NAMESIZE])
{
	struct ifaddrs *all, *i;
	bool found = false;

	if (getifaddrs(&all))
		return false;
	for (i = all; i && !found; i = i->ifa_next) {
		struct cpl_addr one = addr_of(i->ifa_addr);

		if (!i->ifa_addr || !cpl_addr_equal(&one, addr))
			continue;
		snprintf(name, IF_NAMESIZE, "%s", i->ifa_name);
		found = true;
	}
	freeifaddrs(all);
	return found;
}

/* True: the file holds a number that is not 0. */
static bool is_on(const char *path)
{
	char c = '0';
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool on = fd >= 0 && read(fd, &c, 1) == 1 && c != '0';

	if (fd >= 0)
		close(fd);
	return on;
}

bool net_reaches(const struct net *net, const struct cpl_addr *addr, struct link_why *why)
{
	bool four = cpl_addr_is4(addr);
	const struct cpl_addr *kernel = four ? &net->kernel4 : &net->kernel6;
	char name[IF_NAMESIZE], text[CPL_ADDR_TEXT], there[CPL_ADDR_TEXT];
	struct cpl_addr loopback6 = { { [15] = 1 } };

	if (!net->kernel_end)
		return true;
	cpl_addr_text(addr, text);
	cpl_addr_text(kernel, there);
	if (four ? addr->b[12] == 127 : cpl_addr_equal(addr, &loopback6)) {
		link_fail(why, -ENETUNREACH,
			  "%s is the kernel's own loopback, which no other stack reaches; the "
			  "kernel's end of our link is %s",
			  text, there);
		return false;
	}
	if (cpl_addr_equal(addr, &net->ours4) || cpl_addr_equal(addr, &net->ours6) ||
	    net_kernel_has(addr, name))
		return true;
	if (is_on(four ? "/proc/sys/net/ipv4/ip_forward"
		       : "/proc/sys/net/ipv6/conf/all/forwarding"))
		return true;
	link_fail(
		why, -ENETUNREACH,
		"%s is out of reach: our link leads to the kernel, %s, which does not forward from "
		"here to other hosts",
		text, there);
	return false;
}

static int fail(const struct link_why *why)
{
	return cli_fail(CLI_CANNOT, "%s", why->text);
}

static bool has(const struct cpl_addr *addr)
{
	static const struct cpl_addr none;

	return !cpl_addr_equal(addr, &none);
}

static int set_up_kernel(struct net *net, const struct net_options *o, struct link_why *why)
{
	const char *name = net->ifname;
	int err;

	if (!net->kernel_end)
		return 0;
	if (o->link.mtu && (err = kernel_if_set_mtu(name, o->link.mtu, why)) != 0)
		return err;
	if ((err = kernel_if_set_queue(name, KERNEL_IF_QUEUE, why)) != 0 ||
	    (err = kernel_if_up(name, why)) != 0)
		return err;
	if ((err = kernel_if_addr_add(name, &net->kernel4, net->prefix4, why)) != 0)
		return err;
	/* A machine without IPv6, or a link too narrow for it, serves IPv4. */
	if ((o->link.mtu && o->link.mtu < 1280) ||
	    kernel_if_addr_add(name, &net->kernel6, net->prefix6, why))
		memset(&net->ours6, 0, sizeof(net->ours6));
	return 0;
}

/* Addresses, and the way to the rest of the world, which is behind the kernel if it forwards. */
static int set_addresses(struct net *net, uint64_t now)
{
	struct cpl_addr any4 = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff } }, any6 = { { 0 } };
	int err = 0;

	if (has(&net->ours4))
		err = cores_addr_add(net->cores, &net->ours4, net->prefix4, now);
	if (!err && has(&net->ours4) && has(&net->kernel4))
		err = cores_route_add(net->cores, &any4, 0, &net->kernel4, 0, now);
	if (err || !has(&net->ours6))
		return err;
	err = cores_addr_add(net->cores, &net->ours6, net->prefix6, now);
	if (!err && has(&net->kernel6))
		err = cores_route_add(net->cores, &any6, 0, &net->kernel6, 0, now);
	return err;
}

static int config_from(struct cpl_config *config, const struct net_options *o, struct link_why *why)
{
	int err = config_fill(config, why);

	if (err)
		return err;
	config->trace_records = 4096;
	if (o->fastopen)
		config->fastopen = o->fastopen;
	if (o->ecn)
		config->ecn = (uint8_t)(o->ecn - 1);
	if (o->cc)
		snprintf(config->cc_name, sizeof(config->cc_name), "%s", o->cc);
	return 0;
}

static int open_stacks(struct net *net, const struct net_options *o, struct link_why *why)
{
	unsigned n = o->cores ? o->cores : 1;
	struct link *queues[NET_CORES_MAX] = { NULL };
	struct cpl_config config;
	int err;

	err = link_open_queues(queues, n, &o->link, why);
	if (!err)
		strcpy(net->ifname, queues[0]->iface.name);
	err = err ? err : set_up_kernel(net, o, why);
	err = err ? err : config_from(&config, o, why);
	if (!err && o->capture) {
		err = pcapng_open(&net->capture, o->capture, loop_epoch(), 0, why);
		err = err ? err : link_capture(queues[0], net->capture);
	}
	if (err) {
		for (unsigned i = 0; i < n; i++)
			link_close(queues[i]);
		return err;
	}
	err = cores_new(&net->cores, &config, queues, n, CPL_IFACE_NO_DAD, why);
	if (err)
		return err;
	net->stack = cores_get(net->cores, 0)->stack;
	net->loop = cores_get(net->cores, 0)->loop;
	err = set_addresses(net, loop_clock());
	return err ? link_fail(why, err, "cannot set our address: %s", strerror(-err)) : 0;
}

static int choose_addresses(struct net *net, const struct net_options *o)
{
	bool given = has(&o->address4) || has(&o->address6);

	net->kernel_end = link_has_kernel_end(&o->link);
	net->prefix4 = o->prefix4 ? o->prefix4 : PREFIX4;
	net->prefix6 = o->prefix6 ? o->prefix6 : PREFIX6;
	if (o->own_namespace && !net->kernel_end)
		return cli_fail(CLI_USAGE, "--namespace goes with --link tun or tap alone");
	if (net->kernel_end && (given || has(&o->gateway4) || has(&o->gateway6)))
		return cli_fail(CLI_USAGE, "--address and --gateway are for an interface that is "
					   "there, or for shm");
	if (!net->kernel_end && o->link.kind != LINK_SHM && !given)
		return cli_fail(CLI_USAGE,
				"which address is ours on %s? --address A/LEN, one that nobody has",
				o->link.name);
	net->ours4 = o->address4;
	net->ours6 = o->address6;
	net->kernel4 = o->gateway4;
	net->kernel6 = o->gateway6;
	if (given)
		return CLI_OK;
	net->ours4 = cpl_addr4(10, 99, 0, o->opens && !net->kernel_end ? 1 : 2);
	net->kernel4 = cpl_addr4(10, 99, 0, o->opens && !net->kernel_end ? 2 : 1);
	net->ours6 = net->kernel6 = (struct cpl_addr){ { 0xfd, 0x99 } };
	net->ours6.b[15] = net->ours4.b[15];
	net->kernel6.b[15] = net->kernel4.b[15];
	return CLI_OK;
}

/* Two that answer for one address confuse everybody. */
static int check_addresses(const struct net *net)
{
	const struct cpl_addr *taken[] = { &net->ours4, &net->ours6 };
	char name[IF_NAMESIZE], text[CPL_ADDR_TEXT];

	if (net->kernel_end && net_kernel_has(&net->kernel4, name))
		return cli_fail(CLI_CANNOT,
				"10.99.0.1 is on %s already, of another couplet it seems: add "
				"--namespace, and this one is apart from it",
				name);
	for (unsigned i = 0; i < 2 && !net->kernel_end; i++) {
		if (!has(taken[i]) || !net_kernel_has(taken[i], name))
			continue;
		cpl_addr_text(taken[i], text);
		return cli_fail(CLI_CANNOT,
				"%s is the kernel's own address, on %s: give --address another",
				text, name);
	}
	return CLI_OK;
}

int net_open(struct net *net, const struct net_options *o)
{
	struct link_why why = { "" };
	int err, status;

	memset(net, 0, sizeof(*net));
	net->child_fd = -1;
	status = choose_addresses(net, o);
	if (status)
		return status;
	if (net->kernel_end && (geteuid() != 0 || o->own_namespace) && netns_enter(o->argv, &why))
		return fail(&why);
	status = check_addresses(net);
	if (status)
		return status;
	if (open_stacks(net, o, &why))
		return fail(&why);
	err = cores_offer(net->cores, o->name, &why);
	if (err)
		fprintf(stderr, "couplet: %s; `couplet netstat` will not see this stack\n",
			why.text);
	return 0;
}

void net_close(struct net *net)
{
	int err;

	net_end_child(net);
	cores_free(net->cores);
	err = pcapng_close(net->capture);
	if (err)
		fprintf(stderr, "couplet: the packets could not all be written: %s\n",
			strerror(-err));
}

/* ---- The command beside us ------------------------------------------------------------------ */

static void child_gone(void *arg, int fd, uint32_t events, uint64_t now)
{
	struct net *net = arg;

	(void)events;
	(void)now;
	if (waitpid(net->child, &net->child_status, WNOHANG) != net->child)
		return;
	net->child_ended = true;
	loop_unwatch(net->loop, fd);
	loop_stop(net->loop);
}

static void become(char *const *argv, int out, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(128 + SIGTERM);
	if (out != STDOUT_FILENO)
		dup2(out, STDOUT_FILENO);
	execvp(argv[0], argv);
	fprintf(stderr, "couplet: cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

int net_run(struct net *net, char *const *argv, int out)
{
	pid_t self = getpid();
	int err;

	fflush(stdout);
	net->child = fork();
	if (net->child < 0)
		return cli_fail(CLI_CANNOT, "cannot start %s: %s", argv[0], strerror(errno));
	if (net->child == 0)
		become(argv, out, self);
	net->child_fd = (int)syscall(SYS_pidfd_open, net->child, 0);
	err = net->child_fd < 0 ? -errno
				: loop_watch(net->loop, net->child_fd, EPOLLIN, child_gone, net);
	if (err)
		return cli_fail(CLI_CANNOT, "cannot wait for %s: %s", argv[0], strerror(-err));
	return CLI_OK;
}

int net_child_status(const struct net *net)
{
	if (!net->child_ended)
		return 0;
	if (WIFSIGNALED(net->child_status))
		return 128 + WTERMSIG(net->child_status);
	return WEXITSTATUS(net->child_status);
}

void net_end_child(struct net *net)
{
	struct timespec step = { .tv_nsec = TERM_TRY_NS };
	pid_t got = 0;

	if (net->child > 0 && !net->child_ended) {
		kill(net->child, SIGTERM);
		for (int i = 0; i < TERM_TRIES && got == 0; i++) {
			got = waitpid(net->child, &net->child_status, WNOHANG);
			if (got == 0)
				nanosleep(&step, NULL);
		}
		if (got == 0) { /* an interactive shell does not listen */
			kill(net->child, SIGKILL);
			got = waitpid(net->child, &net->child_status, 0);
		}
		net->child_ended = got == net->child;
	}
	if (net->child_fd >= 0)
		close(net->child_fd);
	net->child_fd = -1;
}

/* ---- Both ends --------------------------------------------------------------------------------
 */

void net_own(cpl_stack *stack, cpl_handle handle, const char *program)
{
	cpl_set_option(stack, handle, CPL_OPT_OWNER_PID, (uint64_t)getpid(), loop_clock());
	cpl_set_program(stack, handle, program);
}

static const struct cpl_info *other_end(const struct snapshot_set *set, const struct cpl_info *ours)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct cpl_info *k = &set->info[i];

		if (k->source != CPL_SOURCE_STACK && k->local_port == ours->remote_port &&
		    k->remote_port == ours->local_port &&
		    cpl_addr_equal(&k->local_addr, &ours->remote_addr) &&
		    cpl_addr_equal(&k->remote_addr, &ours->local_addr))
			return k;
	}
	return NULL;
}

/* Two passes, so that what moved between two looks is not taken for disagreement. */
void net_show_both(struct net *net, cpl_handle handle, const char *our_name,
		   const char *kernel_name)
{
	struct source_options options = { .sources = SOURCE_KERNEL, .owners = true };
	struct snapshot_set set;
	struct cpl_info ours, ours2, theirs2;
	struct view_ends ends = { .x_name = our_name, .y_name = kernel_name, .x = &ours };
	struct view_report report;
	struct text t;

	snapshot_set_init(&set);
	if (cpl_info_get(net->stack, handle, &ours, loop_clock()))
		return;
	if (!source_collect(&set, &options))
		ends.y = other_end(&set, &ours);
	ends.absent = set.n ? VIEW_LOOKED : VIEW_NOT_LOOKED;
	text_init(&t);
	t.ascii = !cli_utf8();
	t.colour = cli_colour(stdout);
	view_tcbs(&t, our_name, &ours, kernel_name, ends.y, 0);
	if (ends.y && !source_again(&options, ends.y, &theirs2) &&
	    !cpl_info_get(net->stack, handle, &ours2, loop_clock()))
		view_compare_passes(&ends, &ours2, &theirs2, &report);
	else
		view_compare(&ends, &report);
	view_report_line(&t, &report);
	text_flush(&t, stdout);
	fflush(stdout);
	text_free(&t);
	snapshot_set_free(&set);
}
