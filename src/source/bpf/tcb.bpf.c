/* SPDX-License-Identifier: MIT */
/*
 * Two iterators over the kernel's sockets: the TCP connections of the network namespace in which
 * the iterator is made, as records (record.h); and who holds sockets, of all namespaces at once.
 * And a program that reads the two ends of one connection, one right after the other: it is made as
 * one that looks at packets, as these may look up sockets, but never sees one of the network's.
 *
 * One of each may run at a time: records are put together in variables, since a program's stack has
 * no room for them.
 */
#include "tcb_fill.h"

char bpf_license[] SEC("license") = "Dual MIT/GPL";

struct tcb_filter tcb_filter;
struct tcb_record tcb_scratch;

/* The kernel holds the socket's lock meanwhile: what is read of it is of one moment. */
SEC("iter/tcp")
int tcb_dump(struct bpf_iter__tcp *ctx)
{
	struct sock_common *c = ctx->sk_common;
	struct tcb_record *r = &tcb_scratch;

	if (!c)
		return 0;
	if (tcb_filter.cookie && tcb_filter.cookie != (__u64)c->skc_cookie.counter)
		return 0;
	if (tcb_filter.without_states >> (c->skc_state & 31) & 1)
		return 0;
	if (c->skc_family == KERNEL_AF_INET && tcb_filter.no_ip4)
		return 0;
	if (!record_fill(r, c))
		return 0;
	r->cookie = bpf_get_socket_cookie(c);
	bpf_seq_write(ctx->meta->seq, r, sizeof(*r));
	return 0;
}

/* The number that a process has in the PID namespace of whoever reads, as its /proc shows it. */
static __always_inline __u32 pid_seen(struct task_struct *leader)
{
	struct task_struct *reader = (void *)bpf_get_current_task_btf();
	struct pid *pid = leader->thread_pid, *readers = reader->thread_pid;
	unsigned int level = readers ? readers->level : 0;
	int nr = leader->tgid;

	if (!level || !pid)
		return (__u32)nr;
	bpf_probe_read_kernel(&nr, sizeof(nr),
			      (char *)&pid->numbers[0].nr +
				      (__u64)level * bpf_core_type_size(struct upid));
	return (__u32)nr;
}

SEC("iter/task_file")
int owner_dump(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct owner_record r = { .magic = OWNER_RECORD_MAGIC };
	struct task_struct *leader;
	struct socket *socket;
	struct sock *sk;
	__u16 family;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk)
		return 0;
	family = sk->__sk_common.skc_family;
	if (family != KERNEL_AF_INET && family != KERNEL_AF_INET6 && family != KERNEL_AF_UNIX)
		return 0;
	leader = task->group_leader;
	r.pid = pid_seen(leader);
	r.fd = (__u32)ctx->fd;
	r.netns = sk->__sk_common.skc_net.net->ns.inum;
	r.inode = file->f_inode->i_ino;
	bpf_probe_read_kernel(r.program, sizeof(r.program), leader->comm);
	bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
	return 0;
}

struct pair_end pair_ends[2];
struct tcb_record pair_records[PAIR_READS];
__u64 pair_ended[PAIR_READS]; /* when the last word was read */

static __noinline int read_end(struct __sk_buff *packet, struct pair_end *end, struct tcb_record *r,
			       __u64 *ended)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;

	r->kind = TCB_RECORD_NONE;
	if (end->family == KERNEL_AF_INET) {
		/* As a packet that comes in names them: it is from the remote end. */
		tuple.ipv4.saddr = end->remote[0];
		tuple.ipv4.daddr = end->local[0];
		tuple.ipv4.sport = end->remote_port;
		tuple.ipv4.dport = end->local_port;
		sk = bpf_skc_lookup_tcp(packet, &tuple, sizeof(tuple.ipv4), CURRENT_NETNS, 0);
	} else if (end->family == KERNEL_AF_INET6) {
		for (int i = 0; i < 4; i++) {
			tuple.ipv6.saddr[i] = end->remote[i];
			tuple.ipv6.daddr[i] = end->local[i];
		}
		tuple.ipv6.sport = end->remote_port;
		tuple.ipv6.dport = end->local_port;
		sk = bpf_skc_lookup_tcp(packet, &tuple, sizeof(tuple.ipv6), CURRENT_NETNS, 0);
	} else {
		return 0;
	}
	if (!sk)
		return 0;
	record_fill(r, (struct sock_common *)sk);
	*ended = bpf_ktime_get_ns();
	bpf_sk_release(sk);
	return 0;
}

SEC("tc")
int pair_read(struct __sk_buff *packet)
{
	read_end(packet, &pair_ends[0], &pair_records[0], &pair_ended[0]);
	read_end(packet, &pair_ends[1], &pair_records[1], &pair_ended[1]);
	read_end(packet, &pair_ends[0], &pair_records[2], &pair_ended[2]);
	read_end(packet, &pair_ends[1], &pair_records[3], &pair_ended[3]);
	return 0;
}
