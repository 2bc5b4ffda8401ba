/* SPDX-License-Identifier: MIT */
/*
 * Two iterators over the kernel's sockets: the TCP connections of the network namespace in which
 * the iterator is made, as records (record.h); and who holds sockets, of all namespaces at once.
 *
 * One of each may be read at a time: the record is put together in a variable, since a program's
 * stack has no room for it.
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
