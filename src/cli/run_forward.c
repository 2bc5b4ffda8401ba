/* SPDX-License-Identifier: MIT */
/*
 * See run_forward.h. A SYN is answered only when the socket beyond is connected, and refused when
 * that is refused, so that a program sees the errors that it would see without us. What one side
 * does not take stays in the other's buffers, whose window says so: nothing is queued here.
 */
#define _GNU_SOURCE
#include "cli/run_forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "host/config.h"
#include "host/loop.h"

#define BLOCK	    65536
#define PENDING_MAX 4096u
#define BUCKETS	    4096u
#define UDP_IDLE_NS (60 * CPL_SECOND)
#define ROUNDS	    16 /* blocks of one flow before the others have their turn */

enum flow_state {
	DIALLING, /* the SYN waits for the socket beyond */
	ANSWERED, /* the SYN,ACK is on its way */
	CALLING,  /* published: our connection to the program is being opened */
	CARRYING,
	DATAGRAMS,
};

struct flow {
	struct list bucket, all; /* all: in the order of use */
	struct forward *forward;
	enum flow_state state;
	int fd;
	cpl_handle conn; /* or the half-open connection that awaits the verdict */
	struct cpl_endpoint client, meant;
	uint64_t used;
	bool peer_fin, socket_eof;
	uint32_t events; /* that FD is watched for */
};

struct door {
	struct forward *forward;
	const struct forward_publish *publish;
	int fd;
};

struct forward {
	struct forward_config config;
	cpl_stack *stack;
	struct loop *loop;
	int ifindex;
	cpl_handle tcp_all, udp_all;
	struct list buckets[BUCKETS];
	struct list all;
	uint32_t flows;
	struct door doors[FORWARD_PUBLISH_MAX];
	pthread_t thread;
	bool runs;
	char data[BLOCK];
};

/* ---- Flows ---------------------------------------------------------------------------------- */

static struct list *bucket_of(struct forward *f, const struct cpl_endpoint *client,
			      const struct cpl_endpoint *meant)
{
	uint32_t h = client->port * 2654435761u ^ meant->port * 40503u;

	for (unsigned i = 0; i < 16; i++)
		h = (h ^ meant->addr.b[i]) * 16777619u;
	return &f->buckets[(h >> 8) % BUCKETS];
}

static struct flow *flow_find(struct forward *f, const struct cpl_endpoint *client,
			      const struct cpl_endpoint *meant, bool udp)
{
	struct list *bucket = bucket_of(f, client, meant);

	for (struct list *l = bucket->next; l != bucket; l = l->next) {
		struct flow *flow = container_of(l, struct flow, bucket);

		if ((flow->state == DATAGRAMS) == udp && flow->client.port == client->port &&
		    flow->meant.port == meant->port &&
		    cpl_addr_equal(&flow->client.addr, &client->addr) &&
		    cpl_addr_equal(&flow->meant.addr, &meant->addr))
			return flow;
	}
	return NULL;
}

static struct flow *flow_new(struct forward *f, const struct cpl_endpoint *client,
			     const struct cpl_endpoint *meant, enum flow_state state)
{
	struct flow *flow = f->flows < f->config.flows_max ? calloc(1, sizeof(*flow)) : NULL;

	if (!flow)
		return NULL;
	flow->forward = f;
	flow->state = state;
	flow->fd = -1;
	flow->client = *client;
	flow->meant = *meant;
	flow->used = loop_clock();
	list_push_back(bucket_of(f, client, meant), &flow->bucket);
	list_push_back(&f->all, &flow->all);
	f->flows++;
	return flow;
}

static void on_socket(void *arg, int fd, uint32_t events, uint64_t now);

/* For nothing is not at all: a hang-up, which epoll always reports, would be told without end. */
static int flow_want(struct flow *flow, uint32_t events)
{
	struct loop *loop = flow->forward->loop;
	int err = 0;

	if (flow->events && !events)
		loop_unwatch(loop, flow->fd);
	else if (!flow->events && events)
		err = loop_watch(loop, flow->fd, events, on_socket, flow);
	else if (flow->events != events)
		err = loop_rewatch(loop, flow->fd, events);
	flow->events = err ? 0 : events;
	return err;
}

static void flow_free(struct flow *flow)
{
	list_del(&flow->bucket);
	list_del(&flow->all);
	flow->forward->flows--;
	if (flow->fd >= 0) {
		flow_want(flow, 0);
		close(flow->fd);
	}
	free(flow);
}

static void flow_used(struct flow *flow, uint64_t now)
{
	flow->used = now;
	list_del(&flow->all);
	list_push_back(&flow->forward->all, &flow->all);
}

/* The other end broke off: so do we, on both sides. */
static void flow_break(struct flow *flow, uint64_t now)
{
	struct linger reset = { .l_onoff = 1 };

	if (flow->state == DIALLING)
		cpl_syn_refuse(flow->forward->stack, flow->conn, now);
	else if (flow->state != ANSWERED && flow->conn)
		cpl_abort(flow->forward->stack, flow->conn, now);
	if (flow->fd >= 0)
		setsockopt(flow->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	flow_free(flow);
}

/* ---- The socket beyond ---------------------------------------------------------------------- */

static socklen_t sockaddr_of(struct sockaddr_storage *ss, const struct cpl_endpoint *to)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	if (cpl_addr_is4(&to->addr)) {
		in->sin_family = AF_INET;
		in->sin_port = htons(to->port);
		memcpy(&in->sin_addr, to->addr.b + 12, 4);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(to->port);
	memcpy(&in6->sin6_addr, to->addr.b, 16);
	return sizeof(*in6);
}

/* Where in this machine's world MEANT is. */
static struct cpl_endpoint beyond(const struct forward *f, const struct cpl_endpoint *meant)
{
	struct cpl_endpoint to = *meant;

	if (cpl_addr_equal(&meant->addr, &f->config.gateway4))
		to.addr = cpl_addr4(127, 0, 0, 1);
	else if (cpl_addr_equal(&meant->addr, &f->config.gateway6))
		cpl_addr_parse(&to.addr, "::1");
	return to;
}

/* 0, or a negative errno. */
static int dial(struct flow *flow, int type)
{
	struct forward *f = flow->forward;
	struct sockaddr_storage ss;
	struct cpl_endpoint to = beyond(f, &flow->meant);
	socklen_t len = sockaddr_of(&ss, &to);
	int one = 1;

	flow->fd = socket(ss.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (flow->fd < 0)
		return -errno;
	if (type == SOCK_STREAM)
		setsockopt(flow->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(flow->fd, (struct sockaddr *)&ss, len) && errno != EINPROGRESS)
		return -errno;
	return flow_want(flow, type == SOCK_STREAM ? EPOLLOUT : EPOLLIN);
}

/* ---- TCP ------------------------------------------------------------------------------------ */

/* From the program to the socket. Negative: broken. */
static int to_socket(struct flow *flow, uint64_t now)
{
	struct forward *f = flow->forward;
	long n = 0;

	for (int i = 0; i < ROUNDS && !flow->peer_fin; i++) {
		ssize_t sent;

		n = cpl_recv(f->stack, flow->conn, f->data, BLOCK, CPL_MSG_PEEK, now);
		if (n <= 0)
			break;
		sent = send(flow->fd, f->data, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
			flow_want(flow, flow->events | EPOLLOUT);
			return 0;
		}
		if (sent < 0)
			return -errno;
		cpl_recv(f->stack, flow->conn, f->data, (size_t)sent, 0, now);
	}
	if (!flow->peer_fin && n > 0) { /* more remains: the socket's turn will come again */
		flow_want(flow, flow->events | EPOLLOUT);
		return 0;
	}
	flow_want(flow, flow->events & ~(uint32_t)EPOLLOUT);
	if (!flow->peer_fin && n == 0) {
		flow->peer_fin = true;
		shutdown(flow->fd, SHUT_WR);
	}
	return n < 0 && n != -EAGAIN ? (int)n : 0;
}

/* From the socket to the program. */
static int from_socket(struct flow *flow, uint64_t now)
{
	struct forward *f = flow->forward;

	for (int i = 0; i < ROUNDS && !flow->socket_eof; i++) {
		ssize_t n = recv(flow->fd, f->data, BLOCK, MSG_PEEK | MSG_DONTWAIT);
		long took;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n < 0)
			return -errno;
		if (n == 0) {
			flow->socket_eof = true;
			flow_want(flow, flow->events & ~(uint32_t)EPOLLIN);
			cpl_shutdown(f->stack, flow->conn, now);
			return 0;
		}
		took = cpl_send(f->stack, flow->conn, f->data, (size_t)n, 0, now);
		if (took > 0 && recv(flow->fd, NULL, (size_t)took, MSG_TRUNC) != took)
			return -EIO;
		if (took == -EAGAIN || (took >= 0 && took < n)) { /* until CPL_EV_WRITABLE */
			flow_want(flow, flow->events & ~(uint32_t)EPOLLIN);
			return 0;
		}
		if (took < 0)
			return (int)took;
	}
	if (!flow->socket_eof)
		flow_want(flow, flow->events | EPOLLIN);
	return 0;
}

static void carry(struct flow *flow, uint64_t now)
{
	if (from_socket(flow, now) || to_socket(flow, now)) {
		flow_break(flow, now);
	} else if (flow->peer_fin && flow->socket_eof) {
		cpl_close(flow->forward->stack, flow->conn, now);
		flow_free(flow);
	}
}

static void flow_carry(struct flow *flow, cpl_handle conn, uint64_t now)
{
	flow->conn = conn;
	flow->state = CARRYING;
	cpl_set_user(flow->forward->stack, conn, (uint64_t)(uintptr_t)flow);
	cpl_set_option(flow->forward->stack, conn, CPL_OPT_NODELAY, 1, now);
	flow_want(flow, EPOLLIN);
	carry(flow, now);
}

static void dialled(struct flow *flow, uint64_t now)
{
	int err = 0;
	socklen_t len = sizeof(err);

	getsockopt(flow->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err == ETIMEDOUT || err == EHOSTUNREACH || err == ENETUNREACH) {
		cpl_syn_drop(flow->forward->stack, flow->conn, now);
		flow->state = ANSWERED;
		flow_break(flow, now);
		return;
	}
	if (err || cpl_syn_accept(flow->forward->stack, flow->conn, now)) {
		flow_break(flow, now);
		return;
	}
	flow->state = ANSWERED;
	flow_want(flow, 0);
}

static void on_datagrams(struct flow *flow, uint64_t now);

static void on_socket(void *arg, int fd, uint32_t events, uint64_t now)
{
	struct flow *flow = arg;

	(void)fd;
	if (flow->state == DATAGRAMS)
		on_datagrams(flow, now);
	else if (flow->state == DIALLING)
		dialled(flow, now);
	else if (flow->state == CARRYING)
		carry(flow, now);
	else if (events & (EPOLLERR | EPOLLHUP))
		flow_break(flow, now);
}

static void on_syn(struct forward *f, cpl_handle syn, uint64_t now)
{
	struct cpl_endpoint client = { 0 }, meant = { 0 };
	struct cpl_info info;
	struct flow *flow;

	if (cpl_info_get(f->stack, syn, &info, now))
		return;
	client.addr = info.remote_addr;
	client.port = info.remote_port;
	meant.addr = info.local_addr;
	meant.port = info.local_port;
	flow = flow_new(f, &client, &meant, DIALLING);
	if (!flow) {
		cpl_syn_drop(f->stack, syn, now);
		return;
	}
	flow->conn = syn;
	if (dial(flow, SOCK_STREAM))
		flow_break(flow, now);
}

static void on_accept(struct forward *f, uint64_t now)
{
	cpl_handle conn;

	while (!cpl_accept(f->stack, f->tcp_all, &conn, now)) {
		struct cpl_endpoint client = { 0 }, meant = { 0 };
		struct flow *flow = NULL;
		struct cpl_info info;

		if (!cpl_info_get(f->stack, conn, &info, now)) {
			client.addr = info.remote_addr;
			client.port = info.remote_port;
			meant.addr = info.local_addr;
			meant.port = info.local_port;
			flow = flow_find(f, &client, &meant, false);
		}
		if (flow && flow->state == ANSWERED)
			flow_carry(flow, conn, now);
		else
			cpl_abort(f->stack, conn, now);
	}
}

/* ---- UDP ------------------------------------------------------------------------------------ */

static void on_udp(struct forward *f, uint64_t now)
{
	struct cpl_endpoint from, to;
	long n;

	while ((n = cpl_udp_recv(f->stack, f->udp_all, &from, &to, f->data, BLOCK, now)) >= 0) {
		struct flow *flow = flow_find(f, &from, &to, true);

		if (!flow && (flow = flow_new(f, &from, &to, DATAGRAMS)) != NULL &&
		    dial(flow, SOCK_DGRAM)) {
			cpl_udp_refuse(f->stack, f->udp_all, &from, &to, now);
			flow_free(flow);
			continue;
		}
		if (!flow)
			continue;
		flow_used(flow, now);
		if (send(flow->fd, f->data, (size_t)n, MSG_NOSIGNAL) < 0 && errno == ECONNREFUSED)
			cpl_udp_refuse(f->stack, f->udp_all, &from, &to, now);
	}
}

static void on_datagrams(struct flow *flow, uint64_t now)
{
	struct forward *f = flow->forward;
	ssize_t n;

	flow_used(flow, now);
	for (int i = 0; i < ROUNDS; i++) {
		n = recv(flow->fd, f->data, BLOCK, MSG_DONTWAIT);
		if (n < 0)
			break;
		cpl_udp_send(f->stack, f->udp_all, &flow->meant, &flow->client, f->data, (size_t)n,
			     now);
	}
	if (errno == ECONNREFUSED)
		cpl_udp_refuse(f->stack, f->udp_all, &flow->client, &flow->meant, now);
}

/* UDP has no end: what was silent for a minute is forgotten. */
static void age(struct forward *f, uint64_t now)
{
	struct list *l = f->all.next, *next;

	for (; l != &f->all; l = next) {
		struct flow *flow = container_of(l, struct flow, all);

		next = l->next;
		if (flow->state == DATAGRAMS && now - flow->used > UDP_IDLE_NS)
			flow_free(flow);
	}
}

/* ---- Published ports ------------------------------------------------------------------------ */

static struct cpl_endpoint endpoint_of(const struct sockaddr_storage *ss)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)ss;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
	struct cpl_endpoint e = { 0 };

	if (ss->ss_family == AF_INET) {
		e.addr.b[10] = e.addr.b[11] = 0xff;
		memcpy(e.addr.b + 12, &in->sin_addr, 4);
		e.port = ntohs(in->sin_port);
	} else {
		memcpy(e.addr.b, &in6->sin6_addr, 16);
		e.port = ntohs(in6->sin6_port);
	}
	return e;
}

/* Somebody calls at a published port: call the program, from the gateway. */
static void on_door(void *arg, int fd, uint32_t events, uint64_t now)
{
	struct door *door = arg;
	struct forward *f = door->forward;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int got;

	(void)events;
	while ((got = accept4(fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC)) >=
	       0) {
		struct cpl_endpoint caller = endpoint_of(&ss);
		struct cpl_endpoint local = { .addr = f->config.gateway4 };
		struct cpl_endpoint to = { .addr = f->config.program4,
					   .port = door->publish->port };
		struct flow *flow = flow_new(f, &caller, &to, CALLING);
		int one = 1;

		len = sizeof(ss);
		if (!flow) {
			close(got);
			continue;
		}
		flow->fd = got;
		setsockopt(got, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (cpl_connect(f->stack, &local, &to, &flow->conn, now))
			flow_break(flow, now);
		else
			cpl_set_user(f->stack, flow->conn, (uint64_t)(uintptr_t)flow);
	}
}

static int open_door(struct forward *f, struct door *door, const struct forward_publish *publish,
		     struct link_why *why)
{
	char text[CPL_ADDR_TEXT];
	struct sockaddr_storage ss;
	socklen_t len = sockaddr_of(&ss, &publish->at);
	int one = 1, zero = 0, err = 0;

	door->forward = f;
	door->publish = publish;
	door->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (door->fd < 0)
		return link_fail(why, -errno, "cannot open a socket: %s", strerror(errno));
	setsockopt(door->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (ss.ss_family == AF_INET6)
		setsockopt(door->fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(door->fd, (struct sockaddr *)&ss, len) || listen(door->fd, 1024))
		err = -errno;
	if (!err)
		err = loop_watch(f->loop, door->fd, EPOLLIN, on_door, door);
	cpl_addr_text(&publish->at.addr, text);
	return err ? link_fail(why, err, "cannot publish at %s port %u: %s", text, publish->at.port,
			       strerror(-err))
		   : 0;
}

/* ---- The thread ----------------------------------------------------------------------------- */

static void on_event(void *arg, const struct cpl_event *event, uint64_t now)
{
	struct forward *f = arg;
	struct flow *flow = (struct flow *)(uintptr_t)event->user;

	if (event->what & CPL_EV_SYN)
		on_syn(f, event->handle, now);
	else if (event->handle == f->tcp_all)
		on_accept(f, now);
	else if (event->handle == f->udp_all)
		on_udp(f, now);
	else if (flow && event->what & CPL_EV_CLOSED && event->error)
		flow_break(flow, now);
	else if (flow && flow->state == CALLING && event->what & CPL_EV_CONNECTED)
		flow_carry(flow, flow->conn, now);
	else if (flow && flow->state == CARRYING)
		carry(flow, now);
}

static void *run(void *arg)
{
	struct forward *f = arg;

	while (!loop_stopped(f->loop)) {
		uint64_t now = loop_clock();

		if (loop_turn(f->loop, now + CPL_SECOND))
			break;
		age(f, loop_clock());
	}
	return NULL;
}

static int open_stack(struct forward *f, struct link *link, struct link_why *why)
{
	struct cpl_addr any4 = cpl_addr4(0, 0, 0, 0), any6 = { { 0 } };
	struct cpl_config config;
	uint64_t now = loop_clock();
	int err = config_fill(&config, why);

	if (!err)
		err = cpl_stack_new(&f->stack, &config, now);
	if (!err)
		err = loop_new(&f->loop, f->stack, why);
	if (err) {
		link_close(link);
		return err;
	}
	f->ifindex = loop_add_link(f->loop, link, CPL_IFACE_NO_DAD, why);
	if (f->ifindex < 0)
		return f->ifindex;
	err = cpl_addr_add(f->stack, f->ifindex, &f->config.gateway4, 24, now);
	if (!err)
		err = cpl_route_add(f->stack, &any4, 0, NULL, f->ifindex, 0, now);
	if (!err && link->iface.mtu >= 1280)
		err = cpl_addr_add(f->stack, f->ifindex, &f->config.gateway6, 64, now);
	if (!err && link->iface.mtu >= 1280)
		err = cpl_route_add(f->stack, &any6, 0, NULL, f->ifindex, 0, now);
	if (!err)
		err = cpl_catch_all(f->stack, f->ifindex, PENDING_MAX, &f->tcp_all, now);
	if (!err)
		err = cpl_udp_catch_all(f->stack, f->ifindex, &f->udp_all, now);
	if (err)
		return link_fail(why, err, "cannot make the stack that forwards: %s",
				 strerror(-err));
	loop_on_event(f->loop, on_event, f);
	return 0;
}

int forward_start(struct forward **forward, struct link *link, const struct forward_config *config,
		  struct link_why *why)
{
	struct forward *f = calloc(1, sizeof(*f));
	sigset_t all, before;
	int err;

	*forward = f;
	if (!f) {
		link_close(link);
		return link_fail(why, -ENOMEM, "out of memory");
	}
	f->config = *config;
	list_init(&f->all);
	for (unsigned i = 0; i < BUCKETS; i++)
		list_init(&f->buckets[i]);
	for (unsigned i = 0; i < FORWARD_PUBLISH_MAX; i++)
		f->doors[i].fd = -1;
	err = open_stack(f, link, why);
	for (unsigned i = 0; !err && i < f->config.publish_n; i++)
		err = open_door(f, &f->doors[i], &f->config.publish[i], why);
	if (err)
		return err;
	sigfillset(&all); /* signals are for the thread that knows of them */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&f->thread, NULL, run, f);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return link_fail(why, err, "cannot start a thread: %s", strerror(-err));
	f->runs = true;
	return 0;
}

void forward_stop(struct forward *f)
{
	if (!f)
		return;
	if (f->runs) {
		loop_stop(f->loop);
		loop_wake(f->loop);
		pthread_join(f->thread, NULL);
	}
	while (!list_empty(&f->all))
		flow_free(list_first(&f->all, struct flow, all));
	for (unsigned i = 0; i < FORWARD_PUBLISH_MAX; i++)
		if (f->doors[i].fd >= 0)
			close(f->doors[i].fd);
	if (f->loop)
		loop_free(f->loop);
	cpl_stack_free(f->stack);
	free(f);
}
