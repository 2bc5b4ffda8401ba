/* SPDX-License-Identifier: MIT */
/* A stack of our own beside the kernel's: see net.h. */
#include "cli/net.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "host/config.h"
#include "host/netns.h"
#include "link/kernel_if.h"
#include "source/source.h"
#include "view/pair.h"
#include "view/tcb.h"

#define PREFIX4 24
#define PREFIX6 64

static int fail(const struct link_why *why)
{
	return cli_fail(CLI_CANNOT, "%s", why->text);
}

static int open_link(struct net *net, const struct net_options *o, struct link_why *why)
{
	struct link_tun_config config = { .mtu = o->mtu, .no_offload = o->no_offload };
	const char *name;
	int err;

	err = o->tap ? link_tap_open(&net->link, &config, why)
		     : link_tun_open(&net->link, &config, why);
	if (err)
		return err;
	name = net->link->iface.name;
	if (o->mtu && (err = kernel_if_set_mtu(name, o->mtu, why)) != 0)
		return err;
	if ((err = kernel_if_up(name, why)) != 0)
		return err;
	if ((err = kernel_if_addr_add(name, &net->kernel4, PREFIX4, why)) != 0)
		return err;
	/* A machine without IPv6 serves IPv4. */
	if (kernel_if_addr_add(name, &net->kernel6, PREFIX6, why) != 0)
		net->kernel6 = (struct cpl_addr){ { 0 } };
	return 0;
}

static int open_stack(struct net *net, const struct net_options *o, struct link_why *why)
{
	struct cpl_config config;
	uint64_t now = loop_clock();
	int err = config_fill(&config, why);

	if (err)
		return err;
	config.trace_records = 4096;
	err = cpl_stack_new(&net->stack, &config, now);
	if (err)
		return link_fail(why, err, "cannot make a stack: %s", strerror(-err));
	err = loop_new(&net->loop, net->stack, why);
	if (err)
		return err;
	if (o->capture) {
		err = pcapng_open(&net->capture, o->capture, loop_epoch(), 0, why);
		if (err || (err = link_capture(net->link, net->capture)) != 0)
			return err;
	}
	net->ifindex = loop_add_link(net->loop, net->link, CPL_IFACE_NO_DAD, why);
	if (net->ifindex < 0)
		return net->ifindex;
	err = cpl_addr_add(net->stack, net->ifindex, &net->ours4, PREFIX4, now);
	if (!err && net->kernel6.b[0])
		err = cpl_addr_add(net->stack, net->ifindex, &net->ours6, PREFIX6, now);
	return err ? link_fail(why, err, "cannot set our address: %s", strerror(-err)) : 0;
}

int net_open(struct net *net, const struct net_options *o)
{
	struct cpl_addr any = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff } };
	struct link_why why = { "" };
	int err;

	memset(net, 0, sizeof(*net));
	net->child_fd = -1;
	net->ours4 = cpl_addr4(10, 99, 0, 2);
	net->kernel4 = cpl_addr4(10, 99, 0, 1);
	cpl_addr_parse(&net->ours6, "fd99::2");
	cpl_addr_parse(&net->kernel6, "fd99::1");
	if ((geteuid() != 0 || o->own_namespace) && netns_enter(o->argv, &why))
		return fail(&why);
	if (open_link(net, o, &why) || open_stack(net, o, &why))
		return fail(&why);
	/* The rest of the world, if the kernel forwards, is behind its end. */
	cpl_route_add(net->stack, &any, 0, &net->kernel4, net->ifindex, 0, loop_clock());
	err = control_open(&net->control, net->stack, NULL, o->name, &why);
	if (!err)
		err = loop_set_control(net->loop, net->control);
	if (err)
		fprintf(stderr, "couplet: %s; `couplet netstat` will not see this stack\n",
			why.text);
	return 0;
}

void net_close(struct net *net)
{
	net_end_child(net);
	loop_free(net->loop);
	if (net->control)
		control_close(net->control);
	cpl_stack_free(net->stack);
	if (net->capture)
		pcapng_close(net->capture);
}

/* ---- the command beside us ---- */

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

int net_run(struct net *net, char *const *argv, bool stop)
{
	fflush(stdout);
	net->child = fork();
	if (net->child < 0)
		return cli_fail(CLI_CANNOT, "cannot start %s: %s", argv[0], strerror(errno));
	if (net->child == 0) {
		execvp(argv[0], argv);
		fprintf(stderr, "couplet: cannot run %s: %s\n", argv[0], strerror(errno));
		_exit(errno == ENOENT ? 127 : 126);
	}
	if (!stop)
		return 0;
	net->child_fd = (int)syscall(SYS_pidfd_open, net->child, 0);
	if (net->child_fd < 0 ||
	    loop_watch(net->loop, net->child_fd, 1 /* EPOLLIN */, child_gone, net))
		return cli_fail(CLI_CANNOT, "cannot wait for %s: %s", argv[0], strerror(errno));
	return 0;
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
	if (net->child > 0 && !net->child_ended) {
		kill(net->child, SIGTERM);
		if (waitpid(net->child, &net->child_status, 0) == net->child)
			net->child_ended = true;
	}
	if (net->child_fd >= 0)
		close(net->child_fd);
	net->child_fd = -1;
}

/* ---- both ends ---- */

void net_own(struct net *net, cpl_handle handle, const char *program)
{
	cpl_set_option(net->stack, handle, CPL_OPT_OWNER_PID, (uint64_t)getpid(), loop_clock());
	cpl_set_program(net->stack, handle, program);
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
	struct source_options options = { .sources = SOURCE_SOCK_DIAG, .owners = true };
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
