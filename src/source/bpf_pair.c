/* SPDX-License-Identifier: MIT */
/*
 * One socket of the kernel, or the two ends of one connection, by their addresses, through a BPF
 * program that looks them up (bpf/pair.bpf.c). It is loaded when it is first needed.
 */
#define _GNU_SOURCE
#include "source/bpf_source.h"

#include <errno.h>
#include <string.h>

#ifndef HAVE_LIBBPF

int bpf_source_again(const struct netns *ns, const struct cpl_info *seen, struct cpl_info *now)
{
	(void)ns, (void)seen, (void)now;
	return -EOPNOTSUPP;
}

int bpf_source_pair(const struct netns *const ns[2], const struct cpl_info *const seen[2],
		    struct source_pair *pair)
{
	(void)ns, (void)seen, (void)pair;
	return -ENOSYS;
}

#else

#include <sched.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <linux/types.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "source/bpf_record.h"
#include "pair.skel.h"

static struct {
	bool tried;
	int error;
	unsigned hz;
	struct pair *skeleton;
} loaded;

static int load(void)
{
	if (loaded.tried)
		return loaded.error;
	loaded.tried = true;
	loaded.error = bpf_source_prepare(&loaded.hz);
	if (loaded.error)
		return loaded.error;
	errno = 0;
	loaded.skeleton = pair__open_and_load();
	if (!loaded.skeleton)
		loaded.error = errno ? -errno : -EOPNOTSUPP;
	return loaded.error;
}

static void end_of(struct pair_end *end, const struct cpl_info *i)
{
	bool ip4 = cpl_addr_is4(&i->local_addr) && cpl_addr_is4(&i->remote_addr);

	memset(end, 0, sizeof(*end));
	end->family = ip4 ? AF_INET : AF_INET6;
	end->local_port = htons(i->local_port);
	end->remote_port = htons(i->remote_port);
	memcpy(end->local, i->local_addr.b + (ip4 ? 12 : 0), ip4 ? 4 : 16);
	memcpy(end->remote, i->remote_addr.b + (ip4 ? 12 : 0), ip4 ? 4 : 16);
}

/*
 * Runs the program as often as ARG says, on a packet that never was, in the namespace in which this
 * thread is. It reads the next end each time.
 */
static int read_ends(void *arg)
{
	static const unsigned char packet[64] = { [12] = 8 }; /* Ethernet, IPv4 */
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof(packet),
		    .repeat = *(int *)arg);
	int err =
		bpf_prog_test_run_opts(bpf_program__fd(loaded.skeleton->progs.pair_read), &options);

	return err < 0 && errno ? -errno : err;
}

/* Two ends that no program can see at once: one by one, by a thread that goes to and fro. */
struct across {
	int fd[2];
	const struct pair_end *ends;
	struct tcb_record *records;
	uint64_t *ended;
};

static int read_across(void *arg)
{
	struct across *a = arg;
	struct pair__bss *bss = loaded.skeleton->bss;
	int err = 0, once = 1;

	memset(bss->pair_ends, 0, sizeof(bss->pair_ends));
	/* Once more than is needed: the first way in, with cold caches, is the longest. */
	for (unsigned i = 0; !err && i < PAIR_READS + 2; i++) {
		unsigned slot = i < 2 ? i : i - 2;

		bss->pair_at = 0;
		bss->pair_ends[0] = a->ends[i % 2];
		err = setns(a->fd[i % 2], CLONE_NEWNET) < 0 ? -errno : read_ends(&once);
		a->records[slot] = bss->pair_records[0];
		a->ended[slot] = bss->pair_ended[0];
	}
	return err;
}

static int read_apart(const struct netns *const ns[2], const struct pair_end ends[2],
		      struct tcb_record records[PAIR_READS], uint64_t ended[PAIR_READS])
{
	struct across a = { .ends = ends, .records = records, .ended = ended };
	int err = 0;

	a.fd[0] = namespace_open(ns[0]);
	a.fd[1] = namespace_open(ns[1]);
	for (unsigned i = 0; i < 2; i++)
		if (a.fd[i] < 0)
			err = a.fd[i];
	if (!err)
		err = namespace_run_apart(read_across, &a);
	for (unsigned i = 0; i < 2; i++)
		if (a.fd[i] >= 0)
			close(a.fd[i]);
	return err;
}

static int read_both(const struct netns *const ns[2], const struct pair_end ends[2],
		     struct tcb_record records[PAIR_READS], uint64_t ended[PAIR_READS])
{
	struct pair__bss *bss = loaded.skeleton->bss;
	int err = 0, all = PAIR_READS;

	if (source_netns(ns[0]) == source_netns(ns[1]) || !ends[1].family) {
		memcpy(bss->pair_ends, ends, sizeof(bss->pair_ends));
		bss->pair_at = 0;
		err = namespace_run(ns[0], read_ends, &all);
		memcpy(records, bss->pair_records, sizeof(bss->pair_records));
		memcpy(ended, bss->pair_ended, sizeof(bss->pair_ended));
		return err;
	}
	return read_apart(ns, ends, records, ended);
}

/* The record that was SEEN, or one with its addresses if SEEN has no number. */
static bool is_seen(struct cpl_info *now, const struct tcb_record *r, const struct cpl_info *seen)
{
	if (r->kind == TCB_RECORD_NONE || !bpf_record_info(now, r, loaded.hz))
		return false;
	return !cpl_info_known(seen, CPL_F_id) || seen->id == r->cookie;
}

static bool same_sequence(const struct tcb_record *a, const struct tcb_record *b)
{
	return a->state == b->state && a->snd_una == b->snd_una && a->snd_nxt == b->snd_nxt &&
	       a->write_seq == b->write_seq && a->snd_wnd == b->snd_wnd &&
	       a->rcv_nxt == b->rcv_nxt && a->copied_seq == b->copied_seq &&
	       a->rcv_wup == b->rcv_wup && a->rcv_wnd == b->rcv_wnd;
}

int bpf_source_pair(const struct netns *const ns[2], const struct cpl_info *const seen[2],
		    struct source_pair *pair)
{
	struct tcb_record r[PAIR_READS];
	uint64_t ended[PAIR_READS];
	struct pair_end ends[2];
	int err = load();

	if (err)
		return err;
	for (unsigned i = 0; i < 2; i++)
		end_of(&ends[i], seen[i]);
	err = read_both(ns, ends, r, ended);
	if (err)
		return err;
	for (unsigned i = 0; i < 2; i++)
		pair->found[i] = is_seen(&pair->first[i], &r[i], seen[i]) &&
				 is_seen(&pair->second[i], &r[i + 2], seen[i]);
	if (!pair->found[0] && !pair->found[1])
		return -ENOENT;
	if (!pair->found[0] || !pair->found[1])
		return 0;
	pair->apart_ns = ended[1] - r[0].taken;
	pair->apart2_ns = ended[3] - r[2].taken;
	pair->still = same_sequence(&r[0], &r[2]) && same_sequence(&r[1], &r[3]);
	return 0;
}

/* ---- The same one again ---------------------------------------------------------------------- */

/* By its addresses; -ENOENT: by these it is not found. */
static int again_by_address(const struct netns *ns, const struct cpl_info *seen,
			    struct cpl_info *now)
{
	const struct netns *const both[2] = { ns, ns };
	struct tcb_record r[PAIR_READS];
	uint64_t ended[PAIR_READS];
	struct pair_end ends[2] = { 0 };
	int err;

	end_of(&ends[0], seen);
	err = read_both(both, ends, r, ended);
	return err ? err : is_seen(now, &r[0], seen) ? 0 : -ENOENT;
}

int bpf_source_again(const struct netns *ns, const struct cpl_info *seen, struct cpl_info *now)
{
	int err = load();

	if (err)
		return err;
	if (!cpl_info_known(seen, CPL_F_id) || !seen->id)
		return -EOPNOTSUPP;
	err = again_by_address(ns, seen, now);
	/* Several listeners may have one address; with a device, the address is not all. */
	if (err != -ENOENT || (seen->remote_port && !seen->ifindex))
		return err;
	return bpf_source_find(ns, seen->id, now);
}

#endif
