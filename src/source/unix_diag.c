/* SPDX-License-Identifier: MIT */
/*
 * The UNIX sockets of one network namespace (unix(7)), through NETLINK_SOCK_DIAG; no privilege is
 * needed for our own. They have no control block: what is known is name, type, state, queues, inode
 * and the inode of the socket at the other end. States are those that the kernel uses for them:
 * LISTEN, ESTABLISHED, SYN-SENT while connect() waits, CLOSED where there is no connection
 * (datagrams too). A socket that waits to be accepted has no inode and is not told at all.
 */
#include "source/source.h"

#include <errno.h>

#ifndef HAVE_LIBMNL

static int unix_diag_walk(const struct netns *ns, const struct source_options *options,
			  struct source_notes *notes, source_visit visit, void *arg)
{
	(void)ns, (void)visit, (void)arg;
	if (!options->unix_sockets)
		return 0;
	source_note(notes, CPL_SOURCE_SOCK_DIAG, SOURCE_NOTHING, -ENOSYS,
		    "UNIX sockets were not looked at: couplet was built without libmnl; install "
		    "libmnl-dev and build again");
	return -ENOSYS;
}

const struct source source_unix = {
	.bits = SOURCE_SOCK_DIAG,
	.of_namespace = true,
	.name = "the kernel's UNIX sockets",
	.walk = unix_diag_walk,
};

#else

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>

#include "source/diag.h"
#include "source/tcp_info.h"

/* Since Linux 5.3, newer than some machine's header that builds. */
#define SHOW_UID	 0x40u
#define UNIX_UID	 7
#define SHUTDOWN_RECEIVE 1u
#define SHUTDOWN_SEND	 2u

struct walk {
	uint32_t netns;
	source_visit visit;
	void *arg;
	int result; /* what the visitor returned */
};

/* A zero that begins the name makes it abstract; one that ends it is no part of it. */
static void fill_path(struct cpl_info *i, const struct nlattr *name)
{
	const char *s = mnl_attr_get_payload(name);
	size_t n = mnl_attr_get_payload_len(name);

	if (n && s[0])
		n = strnlen(s, n);
	if (n > sizeof(i->path) - 1)
		n = sizeof(i->path) - 1;
	for (size_t at = 0; at < n; at++)
		i->path[at] = s[at] ? s[at] : '@';
	if (n)
		cpl_info_mark_read(i, CPL_F_path);
}

static void fill_queues(struct cpl_info *i, const struct nlattr *attr)
{
	struct unix_diag_rqlen q;

	if (mnl_attr_get_payload_len(attr) < sizeof(q))
		return;
	memcpy(&q, mnl_attr_get_payload(attr), sizeof(q));
	if (i->state == CPL_LISTEN) {
		CPL_INFO_READ(i, accept_queue, q.udiag_rqueue);
		CPL_INFO_READ(i, backlog, q.udiag_wqueue);
	} else {
		CPL_INFO_READ(i, recv_queue, q.udiag_rqueue);
		CPL_INFO_READ(i, send_queue, q.udiag_wqueue);
	}
}

static void fill_memory(struct cpl_info *i, const struct nlattr *attr)
{
	uint32_t words[SK_MEMINFO_VARS];
	size_t len = mnl_attr_get_payload_len(attr);

	if (len < (SK_MEMINFO_SNDBUF + 1) * sizeof(*words))
		return;
	memcpy(words, mnl_attr_get_payload(attr), len < sizeof(words) ? len : sizeof(words));
	CPL_INFO_READ(i, recv_buffer, words[SK_MEMINFO_RCVBUF]);
	CPL_INFO_READ(i, send_buffer, words[SK_MEMINFO_SNDBUF]);
}

static void fill_attribute(struct cpl_info *i, const struct nlattr *attr)
{
	bool word = mnl_attr_get_payload_len(attr) >= sizeof(uint32_t);

	switch (mnl_attr_get_type(attr)) {
	case UNIX_DIAG_NAME:
		fill_path(i, attr);
		break;
	case UNIX_DIAG_PEER:
		/* 0: the other end has no descriptor: not accepted yet, or closed. */
		if (word && mnl_attr_get_u32(attr))
			CPL_INFO_READ(i, peer_inode, mnl_attr_get_u32(attr));
		break;
	case UNIX_DIAG_RQLEN:
		fill_queues(i, attr);
		break;
	case UNIX_DIAG_MEMINFO:
		fill_memory(i, attr);
		break;
	case UNIX_DIAG_SHUTDOWN:
		if (mnl_attr_get_payload_len(attr)) {
			uint8_t how = mnl_attr_get_u8(attr);

			CPL_INFO_READ(i, snd_shutdown, !!(how & SHUTDOWN_SEND));
			CPL_INFO_READ(i, rcv_shutdown, !!(how & SHUTDOWN_RECEIVE));
		}
		break;
	case UNIX_UID:
		if (word)
			CPL_INFO_READ(i, uid, mnl_attr_get_u32(attr));
		break;
	}
}

/* One answer of the kernel as a record; false if it is none. */
static bool message_fill(struct cpl_info *i, const struct nlmsghdr *h, uint32_t netns)
{
	const struct unix_diag_msg *m = mnl_nlmsg_get_payload(h);
	enum cpl_state state;
	const struct nlattr *attr;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*m) || m->udiag_family != AF_UNIX)
		return false;
	source_info_init(i, CPL_SOURCE_SOCK_DIAG);
	CPL_INFO_READ(i, family, 1);
	CPL_INFO_READ(i, protocol, 0);
	CPL_INFO_READ(i, socket_type, m->udiag_type);
	CPL_INFO_READ(i, id, (uint64_t)m->udiag_cookie[1] << 32 | m->udiag_cookie[0]);
	state = linux_state_cpl(m->udiag_state);
	if (state != CPL_STATES)
		CPL_INFO_READ(i, state, (uint8_t)state);
	if (netns)
		CPL_INFO_READ(i, netns, netns);
	if (m->udiag_ino) {
		CPL_INFO_READ(i, inode, m->udiag_ino);
		CPL_INFO_DERIVED(i, attached, 1);
	}
	mnl_attr_for_each(attr, h, sizeof(*m)) fill_attribute(i, attr);
	return true;
}

static struct unix_diag_req *request(char *buffer, struct nlmsghdr **header, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct unix_diag_req *r;

	h->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	h->nlmsg_seq = 1;
	r = mnl_nlmsg_put_extra_header(h, sizeof(*r));
	r->sdiag_family = AF_UNIX;
	r->udiag_states = ~0u;
	r->udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN | UDIAG_SHOW_MEMINFO |
			SHOW_UID;
	*header = h;
	return r;
}

static int walk_message(const struct nlmsghdr *h, void *arg)
{
	struct walk *w = arg;
	struct cpl_info info;

	if (!message_fill(&info, h, w->netns))
		return MNL_CB_OK;
	w->result = w->visit(w->arg, &info);
	return w->result ? MNL_CB_STOP : MNL_CB_OK;
}

static int unix_diag_walk(const struct netns *ns, const struct source_options *options,
			  struct source_notes *notes, source_visit visit, void *arg)
{
	struct walk w = { .netns = source_netns(ns), .visit = visit, .arg = arg };
	struct nlmsghdr *h;
	int err = -EINTR;
	char *buffer;

	if (!options->unix_sockets)
		return 0;
	buffer = malloc(DIAG_BUFFER);
	if (!buffer)
		return -ENOMEM;
	for (int i = 0; i < DIAG_REPEATS && err == -EINTR; i++) {
		request(buffer, &h, NLM_F_DUMP);
		err = diag_ask(ns, buffer, h, walk_message, &w);
	}
	free(buffer);
	if (w.result)
		return w.result;
	if (err == -EINTR)
		source_note(notes, CPL_SOURCE_SOCK_DIAG, SOURCE_REMARK, err,
			    "UNIX sockets changed too fast for the kernel to list them all at one "
			    "time: some may be missing");
	else if (err)
		source_note(notes, CPL_SOURCE_SOCK_DIAG, SOURCE_PARTIAL, err,
			    "the kernel's UNIX sockets were not looked at: sock_diag: %s%s",
			    strerror(-err),
			    err == -ENOENT ? " (module unix_diag is not loaded)" : "");
	return err == -EINTR ? 0 : err;
}

/* ---- The same one again ---------------------------------------------------------------------- */

struct again {
	struct cpl_info *info;
	uint32_t netns;
	bool found;
};

static int again_message(const struct nlmsghdr *h, void *arg)
{
	struct again *a = arg;

	a->found = message_fill(a->info, h, a->netns);
	return MNL_CB_STOP;
}

static int unix_diag_again(const struct netns *ns, const struct source_options *options,
			   const struct cpl_info *seen, struct cpl_info *now)
{
	struct again a = { .info = now, .netns = seen->netns };
	struct unix_diag_req *r;
	struct nlmsghdr *h;
	char *buffer;
	int err;

	(void)options;
	/* The kernel finds them by inode; one that waits to be accepted has none. */
	if (!cpl_info_known(seen, CPL_F_inode))
		return -EOPNOTSUPP;
	buffer = malloc(DIAG_BUFFER);
	if (!buffer)
		return -ENOMEM;
	r = request(buffer, &h, 0);
	r->udiag_ino = (uint32_t)seen->inode;
	r->udiag_cookie[0] = (uint32_t)seen->id;
	r->udiag_cookie[1] = (uint32_t)(seen->id >> 32);
	err = diag_ask(ns, buffer, h, again_message, &a);
	free(buffer);
	if (err == -ESTALE || (!err && !a.found))
		return -ENOENT;
	return err;
}

const struct source source_unix = {
	.bits = SOURCE_SOCK_DIAG,
	.of_namespace = true,
	.name = "the kernel's UNIX sockets",
	.walk = unix_diag_walk,
	.again = unix_diag_again,
};

#endif
