/* SPDX-License-Identifier: MIT */
/*
 * The kernel's TCP and UDP sockets of one network namespace, through NETLINK_SOCK_DIAG
 * (sock_diag(7)); no privilege is needed for our own.
 *
 * What the kernel tells is read: identity, state, queues, owner's uid and inode, the timer that
 * runs, struct tcp_info (see tcp_info.h), memory limits. Absolute sequence numbers are not told by
 * any field, nor are delayed ACK timer, ages and windows in sequence space: they stay unknown.
 *
 * TIME-WAIT and half-open connections are small records in the kernel too: of those only identity,
 * state and timer are known. A socket that was closed by its program but still lives has no inode
 * and no uid.
 */
#include "source/sock_diag.h"

#ifndef HAVE_LIBMNL

#include <errno.h>

int sock_diag_again(const struct netns *ns, const struct cpl_info *seen, struct cpl_info *now)
{
	(void)ns, (void)seen, (void)now;
	return -EOPNOTSUPP;
}

int sock_diag_walk(const struct netns *ns, const struct source_options *options,
		   struct source_notes *notes, source_visit visit, void *arg)
{
	(void)ns, (void)options, (void)visit, (void)arg;
	source_note(
		notes, CPL_SOURCE_SOCK_DIAG, SOURCE_NOTHING, -ENOSYS,
		"the kernel's connections were not looked at: couplet was built without libmnl; "
		"install libmnl-dev and build again");
	return -ENOSYS;
}

#else

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

#include "source/diag.h"
#include "source/tcp_info.h"

/* The kernel's numbers of timers (idiag_timer). */
enum {
	TIMER_NONE,
	TIMER_REXMT,
	TIMER_KEEP,
	TIMER_TIME_WAIT,
	TIMER_PROBE
};

/* Bits of idiag_ext. */
#define WANT(extension) (1u << ((extension)-1))

struct dump {
	const struct netns *ns;
	int family;   /* AF_INET or AF_INET6 */
	int protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	uint32_t states;
	bool brief;
	uint32_t netns;
	source_visit visit;
	void *arg;
	int result; /* what the visitor returned */
};

/* ---- One message ----------------------------------------------------------------------------- */

static struct cpl_addr address(int family, const uint32_t *words)
{
	struct cpl_addr a;

	if (family == AF_INET) {
		a = cpl_addr4(0, 0, 0, 0);
		memcpy(a.b + 12, words, 4);
	} else {
		memcpy(a.b, words, 16);
	}
	return a;
}

static void fill_identity(struct cpl_info *i, const struct inet_diag_msg *m, int protocol,
			  uint32_t netns)
{
	const struct inet_diag_sockid *id = &m->id;
	enum cpl_state state = linux_state_cpl(m->idiag_state);
	bool ip4;

	CPL_INFO_READ(i, protocol, (uint8_t)protocol);
	CPL_INFO_READ(i, local_addr, address(m->idiag_family, id->idiag_src));
	CPL_INFO_READ(i, local_port, ntohs(id->idiag_sport));
	CPL_INFO_READ(i, remote_addr, address(m->idiag_family, id->idiag_dst));
	CPL_INFO_READ(i, remote_port, ntohs(id->idiag_dport));
	/* An AF_INET6 socket that talks to an IPv4-mapped address sends IPv4. */
	ip4 = cpl_addr_is4(&i->remote_addr) || cpl_addr_is4(&i->local_addr);
	CPL_INFO_READ(i, family, ip4 ? 4 : 6);
	/* UDP has no state: connected or not is told by the remote address. */
	if (protocol == IPPROTO_TCP && state != CPL_STATES)
		CPL_INFO_READ(i, state, (uint8_t)state);
	if (id->idiag_if)
		CPL_INFO_READ(i, ifindex, id->idiag_if);
	CPL_INFO_READ(i, id, (uint64_t)id->idiag_cookie[1] << 32 | id->idiag_cookie[0]);
	if (netns)
		CPL_INFO_READ(i, netns, netns);
	if (m->idiag_inode) {
		CPL_INFO_READ(i, inode, m->idiag_inode);
		CPL_INFO_READ(i, uid, m->idiag_uid);
	}
}

static void fill_queues(struct cpl_info *i, const struct inet_diag_msg *m)
{
	if (cpl_info_known(i, CPL_F_state) && i->state == CPL_LISTEN) {
		CPL_INFO_READ(i, accept_queue, m->idiag_rqueue);
		CPL_INFO_READ(i, backlog, m->idiag_wqueue);
		return;
	}
	/* TCP counts sequence space: a SYN or FIN that is not acknowledged, or not read, is 1. */
	CPL_INFO_READ(i, recv_queue, m->idiag_rqueue);
	CPL_INFO_READ(i, send_queue, m->idiag_wqueue);
}

/*
 * The kernel tells one timer: the one of the retransmission slot (retransmission, tail loss probe
 * and reordering share it, and it does not tell which; zero-window probe as well, which it does),
 * else that of the socket (keep-alive, FIN-WAIT-2), else that of TIME-WAIT. None told: none of them
 * runs.
 */
static void fill_timers(struct cpl_info *i, const struct inet_diag_msg *m)
{
	/* The delta is of signed jiffies: older kernels let an overdue timer wrap. */
	uint64_t left = m->idiag_expires > INT32_MAX ? 0 : m->idiag_expires * 1000000ull;
	bool orphan = i->state == CPL_FIN_WAIT_2 && !m->idiag_inode;

	if (i->state == CPL_CLOSED)
		return;
	switch (m->idiag_timer) {
	case TIMER_REXMT:
		/* After the first time-out, and in the handshake, it can be no other. */
		if (m->idiag_retrans || i->state == CPL_SYN_SENT || i->state == CPL_SYN_RECEIVED)
			CPL_INFO_READ(i, timer_rexmt, left);
		else
			CPL_INFO_DERIVED(i, timer_rexmt, left);
		CPL_INFO_READ(i, timer_persist, CPL_TIMER_OFF);
		CPL_INFO_READ(i, rexmt_count, m->idiag_retrans);
		return;
	case TIMER_PROBE:
		CPL_INFO_READ(i, timer_persist, left);
		CPL_INFO_READ(i, timer_rexmt, CPL_TIMER_OFF);
		CPL_INFO_READ(i, probe_count, m->idiag_retrans);
		return;
	case TIMER_TIME_WAIT:
		CPL_INFO_READ(i, timer_close, left);
		return;
	case TIMER_KEEP:
		CPL_INFO_READ(i, timer_close, orphan ? left : CPL_TIMER_OFF);
		CPL_INFO_READ(i, timer_keep, orphan ? CPL_TIMER_OFF : left);
		if (!orphan)
			CPL_INFO_DERIVED(i, keepalive, 1);
		break;
	case TIMER_NONE:
		CPL_INFO_READ(i, timer_close, CPL_TIMER_OFF);
		CPL_INFO_READ(i, timer_keep, CPL_TIMER_OFF);
		break;
	default:
		return; /* a later kernel's */
	}
	if (i->state == CPL_LISTEN)
		return; /* has neither */
	CPL_INFO_READ(i, timer_rexmt, CPL_TIMER_OFF);
	CPL_INFO_READ(i, timer_persist, CPL_TIMER_OFF);
}

/* SK_MEMINFO_*: limits and drops. The limits count the kernel's overhead as well. */
static void fill_memory(struct cpl_info *i, const uint32_t *words, size_t n)
{
	if (i->protocol != IPPROTO_TCP || i->state != CPL_LISTEN) {
		if (n > SK_MEMINFO_RMEM_ALLOC)
			CPL_INFO_READ(i, recv_memory, words[SK_MEMINFO_RMEM_ALLOC]);
		if (n > SK_MEMINFO_WMEM_QUEUED)
			CPL_INFO_READ(i, send_memory, words[SK_MEMINFO_WMEM_QUEUED]);
	}
	if (n > SK_MEMINFO_SNDBUF) {
		CPL_INFO_READ(i, recv_buffer, words[SK_MEMINFO_RCVBUF]);
		CPL_INFO_READ(i, send_buffer, words[SK_MEMINFO_SNDBUF]);
	}
	if (n > SK_MEMINFO_DROPS)
		CPL_INFO_READ(i, drops, words[SK_MEMINFO_DROPS]);
}

struct attributes {
	const struct nlattr *info, *memory, *congestion, *tos, *tclass;
};

static void attributes_find(struct attributes *a, const struct nlmsghdr *h)
{
	const struct nlattr *attr;

	memset(a, 0, sizeof(*a));
	mnl_attr_for_each(attr, h, sizeof(struct inet_diag_msg))
	{
		switch (mnl_attr_get_type(attr)) {
		case INET_DIAG_INFO:
			a->info = attr;
			break;
		case INET_DIAG_SKMEMINFO:
			a->memory = attr;
			break;
		case INET_DIAG_CONG:
			a->congestion = attr;
			break;
		case INET_DIAG_TOS:
			a->tos = attr;
			break;
		case INET_DIAG_TCLASS:
			a->tclass = attr;
			break;
		}
	}
}

static void fill_attributes(struct cpl_info *i, const struct nlmsghdr *h)
{
	struct attributes a;

	attributes_find(&a, h);
	if (a.memory) {
		uint32_t words[SK_MEMINFO_VARS];
		size_t len = mnl_attr_get_payload_len(a.memory);

		if (len > sizeof(words))
			len = sizeof(words);
		memcpy(words, mnl_attr_get_payload(a.memory), len);
		fill_memory(i, words, len / sizeof(*words));
	}
	if (i->family == 6 && a.tclass && mnl_attr_get_payload_len(a.tclass))
		CPL_INFO_READ(i, tos, mnl_attr_get_u8(a.tclass));
	else if (a.tos && mnl_attr_get_payload_len(a.tos))
		CPL_INFO_READ(i, tos, mnl_attr_get_u8(a.tos));
	if (a.congestion) {
		size_t len = mnl_attr_get_payload_len(a.congestion);

		if (len > sizeof(i->cc_name) - 1)
			len = sizeof(i->cc_name) - 1;
		memcpy(i->cc_name, mnl_attr_get_payload(a.congestion), len);
		cpl_info_mark_read(i, CPL_F_cc_name);
	}
	if (a.info && i->protocol == IPPROTO_TCP)
		tcp_info_fill(i, mnl_attr_get_payload(a.info), mnl_attr_get_payload_len(a.info));
}

/* One answer of the kernel as a record; false if it is none. */
static bool message_fill(struct cpl_info *i, const struct nlmsghdr *h, int protocol, uint32_t netns)
{
	const struct inet_diag_msg *m = mnl_nlmsg_get_payload(h);

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*m))
		return false;
	if (m->idiag_family != AF_INET && m->idiag_family != AF_INET6)
		return false;
	source_info_init(i, CPL_SOURCE_SOCK_DIAG);
	fill_identity(i, m, protocol, netns);
	fill_queues(i, m);
	if (protocol == IPPROTO_TCP)
		fill_timers(i, m);
	fill_attributes(i, h);
	return true;
}

/* ---- Talking to the kernel ------------------------------------------------------------------- */

static struct inet_diag_req_v2 *request(char *buffer, struct nlmsghdr **header, int family,
					int protocol, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct inet_diag_req_v2 *r;

	h->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	h->nlmsg_seq = 1;
	r = mnl_nlmsg_put_extra_header(h, sizeof(*r));
	r->sdiag_family = (uint8_t)family;
	r->sdiag_protocol = (uint8_t)protocol;
	r->idiag_ext = WANT(INET_DIAG_SKMEMINFO) | WANT(INET_DIAG_TOS) | WANT(INET_DIAG_TCLASS);
	if (protocol == IPPROTO_TCP)
		r->idiag_ext |= WANT(INET_DIAG_INFO) | WANT(INET_DIAG_CONG);
	*header = h;
	return r;
}

static int dump_message(const struct nlmsghdr *h, void *arg)
{
	struct dump *d = arg;
	struct cpl_info info;

	if (!message_fill(&info, h, d->protocol, d->netns))
		return MNL_CB_OK;
	d->result = d->visit(d->arg, &info);
	return d->result ? MNL_CB_STOP : MNL_CB_OK;
}

/* 0: the dump is complete, or the visitor ended it; -EINTR: to be repeated. */
static int dump_once(struct dump *d, char *buffer)
{
	struct inet_diag_req_v2 *r;
	struct nlmsghdr *h;

	r = request(buffer, &h, d->family, d->protocol, NLM_F_DUMP);
	r->idiag_states = d->states;
	if (d->brief)
		r->idiag_ext = 0;
	return diag_ask(d->ns, buffer, h, dump_message, d);
}

static const char *protocol_name(int protocol)
{
	return protocol == IPPROTO_TCP ? "TCP" : "UDP";
}

/* One family and protocol. Problems go to the notes; true: something was looked at. */
static bool dump_run(struct dump *d, struct source_notes *notes, char *buffer)
{
	int err = -EINTR;

	for (int i = 0; i < DIAG_REPEATS && err == -EINTR; i++)
		err = dump_once(d, buffer);
	if (!err)
		return true;
	if (err == -EINTR) {
		source_note(
			notes, CPL_SOURCE_SOCK_DIAG, SOURCE_REMARK, err,
			"%s sockets changed too fast for the kernel to list them all at one time: "
			"some may be missing",
			protocol_name(d->protocol));
		return true;
	}
	/* Without IPv6, or without UDP's module, there are no such sockets either. */
	if (err == -ENOENT && d->family == AF_INET6)
		return true;
	source_note(notes, CPL_SOURCE_SOCK_DIAG, SOURCE_PARTIAL, err,
		    "the kernel's %s sockets over IPv%d were not looked at: sock_diag: %s%s",
		    protocol_name(d->protocol), d->family == AF_INET ? 4 : 6, strerror(-err),
		    err == -ENOENT ? " (module tcp_diag or udp_diag is not loaded)" : "");
	return false;
}

int sock_diag_walk(const struct netns *ns, const struct source_options *options,
		   struct source_notes *notes, source_visit visit, void *arg)
{
	static const int protocols[] = { IPPROTO_TCP, IPPROTO_UDP };
	/* Both always: IPv4 may be spoken by sockets of AF_INET6. */
	static const int families[] = { AF_INET, AF_INET6 };
	struct dump d = {
		.ns = ns,
		.brief = options->brief,
		.netns = source_netns(ns),
		.visit = visit,
		.arg = arg,
	};
	unsigned states = options->states ? options->states : SOURCE_USUAL_STATES;
	bool seen = false;
	char *buffer = malloc(DIAG_BUFFER);
	struct mnl_socket *nl = buffer ? diag_open(ns) : NULL;

	if (!nl) {
		int err = buffer ? -errno : -ENOMEM;

		free(buffer);
		source_note(notes, CPL_SOURCE_SOCK_DIAG, SOURCE_NOTHING, err,
			    "the kernel's connections were not looked at: sock_diag: %s",
			    strerror(-err));
		return err;
	}
	mnl_socket_close(nl); /* each dump has its own, so that a broken one leaves no rest */
	for (unsigned i = 0; i < 4 && !d.result; i++) {
		d.protocol = protocols[i / 2];
		d.family = families[i % 2];
		if (d.protocol == IPPROTO_TCP ? options->no_tcp : !options->udp)
			continue;
		if (d.family == AF_INET && options->no_ip4)
			continue;
		/* UDP: connected is the kernel's ESTABLISHED, unconnected its CLOSE. */
		d.states = d.protocol == IPPROTO_TCP ? linux_states_mask(states) : ~0u;
		seen |= dump_run(&d, notes, buffer);
	}
	free(buffer);
	if (d.result)
		return d.result;
	return seen || (options->no_tcp && !options->udp) ? 0 : -EIO;
}

/* ---- The same one again ---------------------------------------------------------------------- */

struct again {
	struct cpl_info *info;
	int protocol;
	uint32_t netns;
	bool found;
};

static int again_message(const struct nlmsghdr *h, void *arg)
{
	struct again *a = arg;

	a->found = message_fill(a->info, h, a->protocol, a->netns);
	return MNL_CB_STOP;
}

static void words(uint32_t *to, int family, const struct cpl_addr *addr)
{
	if (family == AF_INET)
		memcpy(to, addr->b + 12, 4);
	else
		memcpy(to, addr->b, 16);
}

/* Ask for the socket with this cookie; the kernel says ESTALE if the addresses are another's now.
 */
static int ask(struct mnl_socket *nl, const struct cpl_info *seen, char *buffer, int *family)
{
	struct inet_diag_req_v2 *r;
	struct nlmsghdr *h;
	struct inet_diag_sockid *id;
	/* UDP's exact query takes the two ends the other way round. */
	bool udp = seen->protocol == IPPROTO_UDP;
	const struct cpl_addr *src = udp ? &seen->remote_addr : &seen->local_addr;
	const struct cpl_addr *dst = udp ? &seen->local_addr : &seen->remote_addr;

	*family = cpl_addr_is4(src) && cpl_addr_is4(dst) ? AF_INET : AF_INET6;
	r = request(buffer, &h, *family, seen->protocol, 0);
	r->idiag_states = ~0u;
	id = &r->id;
	id->idiag_sport = htons(udp ? seen->remote_port : seen->local_port);
	id->idiag_dport = htons(udp ? seen->local_port : seen->remote_port);
	words(id->idiag_src, *family, src);
	words(id->idiag_dst, *family, dst);
	id->idiag_if = seen->ifindex;
	id->idiag_cookie[0] = (uint32_t)seen->id;
	id->idiag_cookie[1] = (uint32_t)(seen->id >> 32);
	return mnl_socket_sendto(nl, h, h->nlmsg_len) < 0 ? -errno : 0;
}

int sock_diag_again(const struct netns *ns, const struct cpl_info *seen, struct cpl_info *now)
{
	struct again a = { .info = now, .protocol = seen->protocol, .netns = seen->netns };
	struct mnl_socket *nl;
	char *buffer;
	ssize_t n = -1;
	int err, family;

	buffer = malloc(DIAG_BUFFER);
	nl = buffer ? diag_open(ns) : NULL;
	if (!nl) {
		err = buffer ? -errno : -ENOMEM;
		free(buffer);
		return err;
	}
	err = ask(nl, seen, buffer, &family);
	while (!err && n < 0) {
		n = mnl_socket_recvfrom(nl, buffer, DIAG_BUFFER);
		if (n < 0 && errno != EINTR)
			err = errno == EAGAIN ? -ETIMEDOUT : -errno;
	}
	if (!err &&
	    mnl_cb_run(buffer, (size_t)n, 1, mnl_socket_get_portid(nl), again_message, &a) < 0)
		err = errno == ESTALE ? -ENOENT : -errno;
	if (!err && !a.found)
		err = -ENOENT;
	mnl_socket_close(nl);
	free(buffer);
	return err;
}

#endif
