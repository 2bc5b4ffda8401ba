/* SPDX-License-Identifier: MIT */
/* The table of sockets: made, found, woken, closed; and what the stack's events mean to them. */
#include "socket/sock.h"

#include <poll.h>

#define SLAB	   (64u * 1024)
#define PLACES_MAX (1u << SOCKET_PLACE_BITS)

void sockets_config_init(struct sockets_config *config)
{
	config->sockets_max = 65536;
	config->epolls_max = 4096;
	config->realtime_offset_ns = 0;
}

int sockets_new(struct sockets **sockets, cpl_stack *stack, const struct sockets_config *config,
		uint64_t now)
{
	struct mem *mem = &stack->mem;
	struct sockets *s;

	(void)now;
	if (!config->sockets_max || config->sockets_max > PLACES_MAX || !config->epolls_max ||
	    config->epolls_max > PLACES_MAX)
		return -EINVAL;
	s = mem_alloc(mem, sizeof(*s));
	if (!s)
		return -ENOMEM;
	memset(s, 0, sizeof(*s));
	s->stack = stack;
	s->mem = mem;
	s->config = *config;
	s->somaxconn = 4096;
	s->syn_retries = 6;
	s->retries2 = 15;
	list_init(&s->kept);
	s->rmem_max = s->wmem_max = s->rmem_default = s->wmem_default = 212992;
	pool_init(&s->socks, mem, sizeof(struct sock), 8, config->sockets_max, SLAB);
	list_init(&s->woken);
	epoll_init(s);
	errqueue_init(s);
	*sockets = s;
	return 0;
}

void sockets_free(struct sockets *s, uint64_t now)
{
	struct sock *so;

	if (!s)
		return;
	for (uint32_t i = 0; (so = pool_next(&s->socks, &i)) != NULL; i++) {
		if (so->handle)
			cpl_abort(s->stack, so->handle, now);
		sock_free(s, so);
	}
	epoll_destroy(s);
	pool_destroy(&s->errors);
	sysctl_destroy(s);
	pool_destroy(&s->socks);
	if (s->scratch)
		mem_release(s->mem, s->scratch, SOCKETS_SCRATCH);
	mem_release(s->mem, s, sizeof(*s));
}

/* ---- numbers ---- */

struct sock *sock_get(struct sockets *s, sock_id id)
{
	struct sock *so = id ? pool_at(&s->socks, SOCKET_PLACE(id)) : NULL;

	return so && so->gen == id >> SOCKET_PLACE_BITS ? so : NULL;
}

sock_id sock_id_of(struct sockets *s, const struct sock *so)
{
	return so->gen << SOCKET_PLACE_BITS | pool_index(&s->socks, so);
}

struct sock *sock_new(struct sockets *s, int domain, int type)
{
	struct sock *so = pool_alloc(&s->socks, NULL);

	if (!so)
		return NULL;
	memset(so, 0, sizeof(*so));
	so->gen = ++s->gen;
	so->cookie = ++s->cookies;
	so->domain = (uint16_t)domain;
	so->type = (uint8_t)type;
	so->protocol = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
	list_init(&so->woken);
	list_init(&so->watches);
	list_init(&so->errors);
	so->local.addr = name_any(so);
	return so;
}

void sock_free(struct sockets *s, struct sock *so)
{
	epoll_forget(s, so);
	errqueue_clear(s, so);
	datagram_drop(s, so);
	list_del(&so->woken);
	so->gen = 0;
	pool_free(&s->socks, so);
}

/* ---- what happened ---- */

void sock_look(struct sockets *s, struct sock *so, struct conn_status *st)
{
	conn_status(s->stack, so->handle, st);
	if (st->fin_received)
		so->shutdown |= SHUT_RCV;
	if (!st->over || so->over)
		return;
	so->over = true;
	so->shutdown = SHUT_BOTH;
	if (st->error)
		so->error = st->error;
}

int sock_take_error(struct sock *so)
{
	int error = so->error;

	so->error = 0;
	return error;
}

void sock_wake(struct sockets *s, struct sock *so, uint32_t mask)
{
	s->wakes++;
	if (!list_linked(&so->woken))
		list_push_back(&s->woken, &so->woken);
	epoll_wake(s, so, mask);
}

/* As the kernel's wake-ups: what each kind of event says is ready, which edge-triggered sets see.
 */
static uint32_t wake_mask(const struct cpl_event *ev)
{
	const uint32_t in = POLLIN | POLLPRI | POLLRDNORM | POLLRDBAND;
	const uint32_t out = POLLOUT | POLLWRNORM | POLLWRBAND;
	uint32_t mask = 0;

	if (ev->what & (CPL_EV_CONNECTED | CPL_EV_PEER_FIN | CPL_EV_CLOSED | CPL_EV_SENT_ALL))
		return 0;
	if (ev->what & (CPL_EV_READABLE | CPL_EV_ACCEPT | CPL_EV_URGENT))
		mask |= in;
	if (ev->what & CPL_EV_WRITABLE)
		mask |= out;
	if (ev->what & CPL_EV_SOFT)
		mask |= POLLERR;
	return mask;
}

/* ICMP, which ends nothing: who asked for it by IP_RECVERR is told, and who has a UDP socket. */
static void take_soft(struct sockets *s, struct sock *so, int error)
{
	struct conn_status st;

	if (!sock_is_stream(so)) {
		errqueue_take(s, so);
		so->error = error;
		return;
	}
	conn_status(s->stack, so->handle, &st);
	if (!st.soft_error)
		return; /* R1 alone */
	if (errqueue_wanted(so)) {
		errqueue_soft(s, so, &st);
		so->error = st.soft_error;
	} else {
		so->soft_error = st.soft_error;
	}
}

static void take_event(struct sockets *s, struct sock *so, const struct cpl_event *ev)
{
	uint32_t mask = wake_mask(ev);
	struct conn_status st;

	if ((ev->what & (CPL_EV_SOFT | CPL_EV_CLOSED)) == CPL_EV_SOFT)
		take_soft(s, so, ev->error);
	if (mask == POLLERR && !so->error)
		return;
	if (sock_is_stream(so))
		sock_look(s, so, &st);
	sock_wake(s, so, mask);
}

void sockets_poll(struct sockets *s, uint64_t now)
{
	struct cpl_event ev;

	(void)now;
	while (cpl_next_event(s->stack, &ev)) {
		struct sock *so = sock_get(s, (sock_id)ev.user);

		if (so && so->handle == ev.handle)
			take_event(s, so, &ev);
	}
}

uint64_t sockets_wakes(struct sockets *s)
{
	sockets_poll(s, 0);
	return s->wakes;
}

unsigned sockets_woken(struct sockets *s, sock_id *ids, unsigned max)
{
	unsigned n = 0;

	sockets_poll(s, 0);
	while (n < max && !list_empty(&s->woken)) {
		struct sock *so = list_first(&s->woken, struct sock, woken);

		list_del(&so->woken);
		ids[n++] = sock_id_of(s, so);
	}
	return n;
}

/* ---- open and close ---- */

static int check_protocol(int domain, int type, int protocol)
{
	if (domain != AF_INET && domain != AF_INET6)
		return -EAFNOSUPPORT;
	if (protocol < 0 || protocol >= 256)
		return -EINVAL;
	if (type == SOCK_RAW && protocol)
		return -EPERM; /* raw(7): not without CAP_NET_RAW */
	if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_RAW)
		return -ESOCKTNOSUPPORT;
	if (protocol && protocol != (type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP))
		return -EPROTONOSUPPORT;
	return type == SOCK_RAW ? -EPROTONOSUPPORT : 0;
}

int socket_open(struct sockets *s, int domain, int type, int protocol, sock_id *id, uint64_t now)
{
	struct sock *so;
	int err;

	if (type < 0 || type >= SOCK_PACKET + 1)
		return -EINVAL;
	err = check_protocol(domain, type, protocol);
	if (err)
		return err;
	so = sock_new(s, domain, type);
	if (!so)
		return -ENFILE;
	if (type == SOCK_STREAM) {
		err = cpl_open(s->stack, NULL, &so->handle, now);
		if (err) {
			sock_free(s, so);
			return err;
		}
		cpl_set_user(s->stack, so->handle, sock_id_of(s, so));
	}
	options_init(so);
	*id = sock_id_of(s, so);
	return 0;
}

int sock_disconnect(struct sockets *s, struct sock *so, uint64_t now)
{
	struct cpl_endpoint at = so->local;
	struct conn_status st;
	int err;

	conn_status(s->stack, so->handle, &st);
	if (!so->bound_addr)
		at.addr = name_any(so);
	if (!so->bound_port)
		at.port = 0;
	err = conn_disconnect(s->stack, so->handle, so->bound_addr || so->bound_port ? &at : NULL,
			      now);
	so->has_port = so->bound_port && !err;
	so->stage = SOCK_UNCONNECTED;
	so->shutdown = 0;
	so->over = false;
	so->local.addr = at.addr;
	if (st.id.lport) /* what it was is told still, as by the kernel */
		so->local.port = st.id.lport;
	sock_wake(s, so, POLLERR);
	return 0; /* a port that others have by now is lost without a word */
}

/* Still to be waited for: the FIN is not acknowledged. */
bool sock_lingers(struct sockets *s, const struct sock *so)
{
	struct conn_status st;

	if (!sock_is_stream(so) || !conn_status(s->stack, so->handle, &st))
		return false;
	return st.state == CPL_FIN_WAIT_1 || st.state == CPL_CLOSING || st.state == CPL_LAST_ACK;
}

int socket_close(struct sockets *s, sock_id id, uint64_t now)
{
	struct sock *so = sock_get(s, id);
	struct conn_status st;

	if (!so)
		return -EBADF;
	if (!so->closing && so->o.linger && so->o.linger_s && sock_is_stream(so) &&
	    conn_status(s->stack, so->handle, &st) && !st.unread && st.state > CPL_SYN_RECEIVED &&
	    st.state != CPL_TIME_WAIT) {
		cpl_shutdown(s->stack, so->handle, now);
		so->closing = true;
		epoll_forget(s, so);
		if (sock_lingers(s, so))
			return -EAGAIN;
	}
	if (so->handle)
		cpl_close(s->stack, so->handle, now);
	sock_free(s, so);
	return 0;
}

void socket_set_owner(struct sockets *s, sock_id id, const struct socket_owner *owner)
{
	struct sock *so = sock_get(s, id);

	if (!so)
		return;
	so->owner = *owner;
	if (!sock_is_stream(so)) {
		datagram_owner(s, so);
		return;
	}
	cpl_set_option(s->stack, so->handle, CPL_OPT_OWNER_PID, owner->pid, 0);
	cpl_set_option(s->stack, so->handle, CPL_OPT_OWNER_FD, owner->fd, 0);
	cpl_set_program(s->stack, so->handle, owner->program);
}

void socket_set_nonblock(struct sockets *s, sock_id id, bool nonblock)
{
	struct sock *so = sock_get(s, id);

	if (so)
		so->nonblock = nonblock;
}

bool socket_nonblock(struct sockets *s, sock_id id)
{
	const struct sock *so = sock_get(s, id);

	return so && so->nonblock;
}

cpl_handle socket_handle(struct sockets *s, sock_id id)
{
	const struct sock *so = sock_get(s, id);

	return so ? so->handle : 0;
}
