/* SPDX-License-Identifier: MIT */
/* `couplet lab --pcapng`: every packet as each of the two hosts sees it, one capture interface
 * each. */
#include <string.h>

#include "cli/cli.h"
#include "cli/lab.h"
#include "link/link.h"
#include "link/pcapng.h"

/* The lab's time 0 in the capture: the same for each run, so that captures compare. */
#define EPOCH_NS 0

static void see(void *ctx, const struct net_sight *s)
{
	struct pcapng *capture = ctx;

	if (s->what == NET_SENT || s->what == NET_LOST) {
		struct cpl_out out = { .iov = { { s->frame, s->len } }, .iov_n = 1, .len = s->len };

		pcapng_out(capture, s->host->index, &out, s->now);
	} else if (s->what == NET_ARRIVED) {
		struct cpl_frame in = { .data = s->frame, .len = s->len };

		pcapng_in(capture, s->host->index, &in, s->now);
	}
}

int lab_capture_start(struct lab *lab, const char *name, struct pcapng **capture)
{
	struct link_why why;
	int r = pcapng_open(capture, name, EPOCH_NS, 0, &why);

	if (r)
		return cli_fail(CLI_CANNOT, "%s", why.text);
	for (unsigned side = 0; side < 2; side++)
		pcapng_add_iface(*capture, lab->end[side].host->name, CPL_IFACE_IP);
	net_observe(lab->net, see, *capture);
	return CLI_OK;
}

int lab_capture_end(struct pcapng *capture, const char *name)
{
	int r = pcapng_close(capture);

	return r ? cli_fail(CLI_CANNOT, "cannot write \"%s\": %s", name, strerror(-r)) : CLI_OK;
}
