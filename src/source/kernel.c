/* SPDX-License-Identifier: MIT */
/*
 * The kernel's connections: by which way, and of which network namespaces. BPF tells the whole
 * control block, sock_diag is there for everybody: TCP comes through BPF where that is chosen and
 * allowed, all else through sock_diag.
 */
#include <errno.h>
#include <string.h>

#include "source/bpf_source.h"
#include "source/namespaces.h"
#include "source/sock_diag.h"
#include "source/source.h"

struct way {
	struct source_options bpf, diag; /* what each is asked for */
	struct source_notes *notes;
	source_visit visit;
	void *arg;
	bool may_fall_back;
};

static void no_sequence_numbers(struct source_notes *notes, int err)
{
	source_note(notes, CPL_SOURCE_BPF, SOURCE_PARTIAL, err,
		    "sequence numbers were not looked at: %s", bpf_source_why(err));
}

/*
 * Which way TCP comes. sock_diag is still asked for what no iterator walks: sockets that are bound
 * and neither connect nor listen.
 */
static void choose(struct way *w, const struct source_options *options)
{
	unsigned chosen = options->sources ? options->sources : SOURCE_DEFAULT;
	unsigned states = options->states ? options->states : SOURCE_USUAL_STATES;
	bool diag = chosen & SOURCE_SOCK_DIAG;
	int err;

	w->may_fall_back = diag;
	w->bpf = w->diag = *options;
	w->bpf.no_tcp |= !(chosen & SOURCE_BPF) || (diag && options->brief);
	w->diag.no_tcp |= !diag;
	w->diag.udp &= diag;
	if (w->bpf.no_tcp)
		return;
	err = bpf_source_load();
	if (err) {
		w->bpf.no_tcp = true;
		if (diag)
			no_sequence_numbers(w->notes, err);
		else
			source_note(w->notes, CPL_SOURCE_BPF, SOURCE_NOTHING, err,
				    "the kernel's connections were not looked at: %s",
				    bpf_source_why(err));
		return;
	}
	w->diag.states = states & SOURCE_STATE(CPL_CLOSED);
	w->diag.no_tcp |= !w->diag.states;
}

static int walk(struct way *w, const struct netns *ns)
{
	struct source_options diag = w->diag;
	int err = 0, stopped = 0;

	if (!w->bpf.no_tcp) {
		err = bpf_source_walk(ns, &w->bpf, w->notes, w->visit, w->arg, &stopped);
		if (stopped)
			return stopped;
		if (err)
			no_sequence_numbers(w->notes, err);
		if (err && w->may_fall_back) {
			diag.no_tcp = false;
			diag.states = w->bpf.states;
		}
	}
	if (diag.no_tcp && !diag.udp)
		return err;
	return sock_diag_walk(ns, &diag, w->notes, w->visit, w->arg);
}

static int kernel_walk(const struct netns *ns, const struct source_options *options,
		       struct source_notes *notes, source_visit visit, void *arg)
{
	struct way w = { .notes = notes, .visit = visit, .arg = arg };

	choose(&w, options);
	if (w.bpf.no_tcp && w.diag.no_tcp && !w.diag.udp)
		return options->no_tcp ? 0 : -EIO;
	return walk(&w, ns);
}

static int kernel_again(const struct netns *ns, const struct source_options *options,
			const struct cpl_info *seen, struct cpl_info *now)
{
	(void)options;
	return seen->source == CPL_SOURCE_BPF ? bpf_source_again(ns, seen, now)
					      : sock_diag_again(ns, seen, now);
}

const struct source source_kernel = {
	.bits = SOURCE_KERNEL,
	.name = "the kernel",
	.of_namespace = true,
	.walk = kernel_walk,
	.again = kernel_again,
};
