/* SPDX-License-Identifier: MIT */
/* Talking to NETLINK_SOCK_DIAG: see diag.h. */
#include "source/diag.h"

#ifdef HAVE_LIBMNL

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <linux/netlink.h>

/* No answer for so long: something is wrong with this kernel. */
#define PATIENCE_S 10

/* A socket is of the namespace in which it was made, whoever uses it. */
static int open_here(void *arg)
{
	struct timeval patience = { .tv_sec = PATIENCE_S };
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);

	if (!nl)
		return -errno;
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVTIMEO, &patience,
		       sizeof(patience)) < 0) {
		int err = -errno;

		mnl_socket_close(nl);
		return err;
	}
	*(struct mnl_socket **)arg = nl;
	return 0;
}

struct mnl_socket *diag_open(const struct netns *ns)
{
	struct mnl_socket *nl = NULL;
	int err = namespace_run(ns, open_here, &nl);

	errno = -err;
	return err ? NULL : nl;
}

int diag_ask(const struct netns *ns, char *buffer, const struct nlmsghdr *h, mnl_cb_t message,
	     void *arg)
{
	struct mnl_socket *nl = diag_open(ns);
	int run = MNL_CB_OK, err = 0;

	if (!nl)
		return -errno;
	if (mnl_socket_sendto(nl, h, h->nlmsg_len) < 0)
		err = -errno;
	while (!err && run > MNL_CB_STOP) {
		ssize_t n = mnl_socket_recvfrom(nl, buffer, DIAG_BUFFER);

		if (n < 0 && errno == EINTR)
			continue; /* a signal */
		if (n < 0) {
			err = errno == EAGAIN ? -ETIMEDOUT : -errno;
			break;
		}
		run = mnl_cb_run(buffer, (size_t)n, 1, mnl_socket_get_portid(nl), message, arg);
		if (run < MNL_CB_STOP)
			err = -errno; /* EINTR: NLM_F_DUMP_INTR was set */
	}
	mnl_socket_close(nl);
	return err;
}

#endif
