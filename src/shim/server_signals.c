/* SPDX-License-Identifier: MIT */
/*
 * SIGIO and SIGURG of programs' sockets (socket(7), fcntl(2)). The program's descriptor has O_ASYNC
 * and an owner in the kernel, too: SIGIO is the kernel's, for a shutdown(2) of the other end, which
 * may be told again and again. SIGURG is sent from here, to processes of ours alone.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/inline.h"
#include "shim/server_inside.h"

static void heed(struct shim_server *s, struct held *h, bool async, int32_t to)
{
	bool before = h->async || h->signals_to, after = async || to;

	/* Programs that run the stack leave it to us to hear of what happens. */
	if (s->shared && before != after)
		atomic_fetch_add(&s->shared->waits, after ? 1u : UINT32_MAX);
	h->async = async;
	h->signals_to = to;
}

int64_t signals_async(struct shim_server *s, struct held *h, bool on)
{
	heed(s, h, on, h->signals_to);
	return 0;
}

int64_t signals_owner(struct shim_server *s, struct held *h, int64_t owner)
{
	if (owner <= INT32_MIN || owner > INT32_MAX)
		return -EINVAL;
	heed(s, h, h->async, (int32_t)owner);
	return 0;
}

void signals_forget(struct shim_server *s, struct held *h)
{
	heed(s, h, false, 0);
}

/* To a process, or a group, of those that are attached. */
static void send_urgent(const struct shim_server *s, int32_t to)
{
	const struct list *pos;

	list_for_each (pos, &s->clients) {
		pid_t pid = (pid_t)container_of(pos, struct client, node)->pid;

		if (pid > 0 && (to > 0 ? pid == to : getpgid(pid) == -to))
			kill(pid, SIGURG);
	}
}

void signals_tell(struct shim_server *s, struct held *h)
{
	uint32_t at;

	if (h->async)
		shutdown(h->end, SHUT_WR);
	if (!h->signals_to || !socket_urgent(s->sockets, h->id, &at) ||
	    (h->urgent && h->urgent_at == at))
		return;
	h->urgent = true;
	h->urgent_at = at;
	send_urgent(s, h->signals_to);
}
