/* SPDX-License-Identifier: MIT */
/*
 * One call of a program: from the slot to the engine of socket/socket.h and back. The request is
 * copied before it is looked at; addresses and control data are copied as well. Only the octets of
 * the stream are read and written in place, which may change under us and mean nothing to us.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/server_inside.h"

#define VALUE_MAX 4096u /* of a socket option */

/* ---- Slots ---------------------------------------------------------------------------------- */

struct call *call_get(struct client *c, unsigned slot)
{
	struct call *call = c->calls[slot];

	if (call)
		return call;
	call = calloc(1, sizeof(*call));
	if (!call)
		return NULL;
	call->client = c;
	call->slot = slot;
	call->bell = call->waker = -1;
	list_init(&call->node);
	wheel_node_init(&call->limit);
	list_init(&call->one.node);
	call->one.call = call;
	c->calls[slot] = call;
	return call;
}

static struct held *call_held(const struct call *call)
{
	return held_told(call->client->server, call->ask.sock);
}

void call_free(struct call *call)
{
	struct held *h = call->parked && call->ask.op == SHIM_CLOSED ? call_held(call) : NULL;

	call_unpark(call);
	/* The kernel does not wait in exit(2). */
	if (h)
		held_close(call->client->server, h);
	if (call->bell >= 0)
		close(call->bell);
	if (call->waker >= 0)
		close(call->waker);
	call->client->calls[call->slot] = NULL;
	free(call->waits);
	free(call->polls);
	free(call);
}

struct shim_slot *call_slot(const struct call *call)
{
	return &call->client->area->slots[call->slot];
}

/* ---- Waiting -------------------------------------------------------------------------------- */

void call_unpark(struct call *call)
{
	if (list_linked(&call->one.node))
		list_del(&call->one.node);
	for (unsigned i = 0; i < call->waits_n; i++)
		if (list_linked(&call->waits[i].node))
			list_del(&call->waits[i].node);
	call->waits_n = 0;
	if (list_linked(&call->node))
		list_del(&call->node);
	wheel_stop(&call->client->server->limits, &call->limit);
	call->parked = false;
	call->armed = false;
}

#define HEARINGS 64 /* more than a socket holds; one that goes on and on holds up nobody */

/* Who sleeps until SLOT's state changes looks at it again. */
static void slot_wake(struct shim_slot *slot, struct call *call)
{
	/* The waker may be on its way still, behind any number of rings. */
	for (unsigned i = 0; i < HEARINGS && call && call->wakers != atomic_load(&slot->wakers);
	     i++)
		if (client_hear(call->client) <= 0)
			break;
	if (!call || call->waker < 0 || send(call->waker, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1)
		syscall(SYS_futex, &slot->state, FUTEX_WAKE, 1, NULL, NULL, 0);
}

void call_hold(struct call *call)
{
	struct shim_server *s = call->client->server;
	struct shim_slot *slot = call_slot(call);

	wheel_start(&s->limits, &call->limit, call->until);
	if (call->parked)
		return;
	call->parked = true;
	list_push_back(&s->parked, &call->node);
	if (call->until == CPL_NEVER || call->ask.op == SHIM_POLL) {
		atomic_store_explicit(&slot->parked, SHIM_PARKED, memory_order_release);
		return;
	}
	atomic_store(&slot->parked, SHIM_PARKED_LIMIT);
	if (atomic_load(&slot->state) == SHIM_WAITED)
		slot_wake(slot, call); /* it is to sleep otherwise */
}

void call_park(struct call *call, struct held *h, short events)
{
	call->one.events = events;
	if (!list_linked(&call->one.node))
		list_push_back(&h->waits, &call->one.node);
	call_hold(call);
}

void slot_done(struct shim_slot *slot, struct call *call)
{
	if (atomic_exchange(&slot->state, SHIM_DONE) == SHIM_WAITED)
		slot_wake(slot, call);
}

static void answer_give(struct call *call, const struct shim_answer *answer)
{
	struct shim_slot *slot = call_slot(call);
	struct shim_server *s = call->client->server;
	const struct held *h = call_held(call);

	call_unpark(call);
	/* Who asks its epoll descriptor next is to see what this call took. */
	if (h && !s->broken)
		socket_epolls_touch(s->sockets, h->id);
	sets_woken(s);
	slot->answer = *answer;
	/* What the program does next is likely to be another call. */
	server_worked(s);
	slot_done(slot, call);
}

void call_finish(struct call *call, int64_t result)
{
	struct shim_answer answer = { .result = result };

	answer_give(call, &answer);
}

static bool never_blocks(struct call *call, const struct held *h)
{
	return (call->ask.flags & MSG_DONTWAIT) ||
	       socket_nonblock(call->client->server->sockets, h->id);
}

/*
 * OP fell short, or would block. True: the call waits. False: *RESULT is the program's.
 */
static bool wait_for(struct call *call, struct held *h, enum socket_op op, size_t asked,
		     long *result)
{
	struct shim_server *s = call->client->server;
	short events = 0;

	if (atomic_load(&call_slot(call)->cancel)) {
		*result = call->done ? (long)call->done : -EINTR;
		return false;
	}
	if (!socket_wait(s->sockets, h->id, op, (int)call->ask.flags, call->done, asked,
			 call->began, &events, &call->until, result, s->now))
		return false;
	call_park(call, h, events);
	return true;
}

/* ---- Calls that may wait: each returns true when it is answered ----------------------------- */

static bool try_connect(struct call *call, struct held *h)
{
	struct shim_server *s = call->client->server;
	struct sockaddr_storage addr = { 0 };
	bool again = call->parked || call->ask.arg[0];
	long result;
	int err;

	memcpy(&addr, call_slot(call)->name, call->ask.name_len);
	err = socket_connect(s->sockets, h->id, (struct sockaddr *)&addr, call->ask.name_len,
			     s->now);
	result = err;
	if ((err == -EINPROGRESS || (err == -EALREADY && again)) && !never_blocks(call, h) &&
	    wait_for(call, h, SOCKET_CONNECT, 0, &result))
		return false;
	call_finish(call, result);
	return true;
}

static void name_give(struct call *call, struct shim_answer *answer, const void *name,
		      socklen_t len)
{
	answer->name_len = len;
	memcpy(call_slot(call)->name, name, len < SHIM_NAME ? len : SHIM_NAME);
}

static bool try_accept(struct call *call, struct held *h)
{
	struct shim_server *s = call->client->server;
	struct shim_answer answer = { 0 };
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof(addr);
	int domain = h->domain, type = h->type, fd = -1, error = 0;
	struct held *conn;
	long result;
	sock_id id;

	result = socket_accept(s->sockets, h->id, &id, (struct sockaddr *)&addr, &len, s->now);
	if (result == -EAGAIN && !never_blocks(call, h) &&
	    wait_for(call, h, SOCKET_ACCEPT, 0, &result))
		return false;
	if (result < 0) {
		call_finish(call, result);
		return true;
	}
	conn = held_new(s, id, domain, type, &fd, &error);
	if (conn) {
		answer.sock = conn->token;
		answer.id = id;
		socket_set_nonblock(s->sockets, id, (call->ask.flags & SOCK_NONBLOCK) != 0);
		error = client_gift(call->client, call->slot, fd);
		if (error)
			held_drop(s, conn);
	}
	if (error) {
		socket_close(s->sockets, id, s->now);
		answer.result = error;
	} else {
		answer.descriptors = 1;
		name_give(call, &answer, &addr, len);
	}
	answer_give(call, &answer);
	return true;
}

static bool try_send(struct call *call, struct held *h)
{
	struct shim_server *s = call->client->server;
	struct shim_slot *slot = call_slot(call);
	uint8_t control[SHIM_CONTROL];
	struct sockaddr_storage addr = { 0 };
	struct iovec iov = { slot->data + call->done, call->ask.data_len - call->done };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	long result;

	if (call->ask.name_len) {
		memcpy(&addr, slot->name, call->ask.name_len);
		msg.msg_name = &addr;
		msg.msg_namelen = call->ask.name_len;
	}
	if (call->ask.control_len) {
		memcpy(control, slot->control, call->ask.control_len);
		msg.msg_control = control;
		msg.msg_controllen = call->ask.control_len;
	}
	result = socket_sendmsg(s->sockets, h->id, &msg, (int)call->ask.flags, s->now);
	if (result > 0) {
		call->done += (size_t)result;
		result = (long)call->done;
	}
	if (result == -EAGAIN || (result >= 0 && call->done < call->ask.data_len)) {
		if (never_blocks(call, h))
			result = call->done ? (long)call->done : -EAGAIN;
		else if (wait_for(call, h, SOCKET_SEND, call->ask.data_len, &result))
			return false;
	} else if (result < 0 && call->done) {
		/* The error is told by the next call, as the kernel does. */
		result = (long)call->done;
	}
	call_finish(call, result);
	return true;
}

static bool try_recv(struct call *call, struct held *h)
{
	struct shim_server *s = call->client->server;
	struct shim_slot *slot = call_slot(call);
	_Alignas(8) uint8_t control[SHIM_CONTROL];
	struct shim_answer answer = { 0 };
	struct sockaddr_storage addr = { 0 };
	bool peek = call->ask.flags & MSG_PEEK;
	size_t from = peek ? 0 : call->done;
	struct iovec iov = { slot->data + from, call->ask.data_room - from };
	struct msghdr msg = { .msg_name = &addr,
			      .msg_namelen = sizeof(addr),
			      .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = call->ask.control_len };
	long result = socket_recvmsg(s->sockets, h->id, &msg, (int)call->ask.flags, s->now);
	bool end = result == 0;

	if (peek && result >= 0)
		call->done = (size_t)result;
	else if (result > 0)
		call->done += (size_t)result;
	if (result == -EAGAIN || ((call->ask.flags & MSG_WAITALL) && result >= 0 && !end &&
				  h->type == SOCK_STREAM && call->done < call->ask.data_room)) {
		if (never_blocks(call, h))
			result = call->done ? (long)call->done : -EAGAIN;
		else if (wait_for(call, h, SOCKET_RECV, call->ask.data_room, &result))
			return false;
	} else if (call->done && result <= 0) {
		result = (long)call->done;
	} else if (result > 0 && h->type == SOCK_STREAM) {
		result = (long)call->done;
	}
	answer.result = result;
	answer.arg[0] = msg.msg_flags;
	if (result >= 0) {
		size_t n = (size_t)result;

		answer.data_len = (uint32_t)(n < call->ask.data_room ? n : call->ask.data_room);
		name_give(call, &answer, &addr, msg.msg_namelen);
		answer.control_len = (uint32_t)msg.msg_controllen;
		memcpy(slot->control, control, msg.msg_controllen);
	}
	answer_give(call, &answer);
	return true;
}

/* A descriptor was closed. If it was the last, the socket closes now and not when we hear of it. */
static bool try_closed(struct call *call, struct held *h)
{
	struct shim_server *s = call->client->server;
	long result = 0;

	if (held_is_left(h) && held_leave(s, h) == -EAGAIN) {
		if (wait_for(call, h, SOCKET_CLOSE, 0, &result))
			return false;
		call_unpark(call);
		held_close(s, h);
	}
	call_finish(call, 0);
	return true;
}

void call_try(struct call *call)
{
	struct held *h = call_held(call);

	if (call->ask.op == SHIM_POLL) {
		poll_try(call);
		return;
	}
	if (call->ask.op == SHIM_NAMES) {
		if (atomic_load(&call_slot(call)->cancel))
			call_finish(call, -EINTR);
		return;
	}
	if (!h) {
		call_finish(call, -EBADF);
		return;
	}
	if (list_linked(&call->one.node))
		list_del(&call->one.node);
	switch (call->ask.op) {
	case SHIM_CONNECT:
		try_connect(call, h);
		break;
	case SHIM_ACCEPT:
		try_accept(call, h);
		break;
	case SHIM_SEND:
		try_send(call, h);
		break;
	case SHIM_RECV:
		try_recv(call, h);
		break;
	case SHIM_CLOSED:
		try_closed(call, h);
		break;
	default:
		call_finish(call, -ENOSYS);
		break;
	}
}

/* ---- Calls that are answered at once -------------------------------------------------------- */

static int64_t do_socket(struct call *call, struct shim_answer *answer)
{
	struct shim_server *s = call->client->server;
	int type = (int)call->ask.arg[1] & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct held *h;
	int fd = -1, err;
	sock_id id;

	err = socket_open(s->sockets, (int)call->ask.arg[0], type, (int)call->ask.arg[2], &id,
			  s->now);
	if (err)
		return err;
	h = held_new(s, id, (int)call->ask.arg[0], type, &fd, &err);
	if (h) {
		socket_set_nonblock(s->sockets, id, (call->ask.arg[1] & SOCK_NONBLOCK) != 0);
		err = client_gift(call->client, call->slot, fd);
		if (err)
			held_drop(s, h);
	}
	if (err) {
		socket_close(s->sockets, id, s->now);
		return err;
	}
	answer->sock = h->token;
	answer->id = id;
	answer->descriptors = 1;
	return 0;
}

static int64_t do_name(struct call *call, struct held *h, struct shim_answer *answer)
{
	struct sockets *sockets = call->client->server->sockets;
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof(addr);
	int err = call->ask.op == SHIM_SOCKNAME
			  ? socket_getsockname(sockets, h->id, (struct sockaddr *)&addr, &len)
			  : socket_getpeername(sockets, h->id, (struct sockaddr *)&addr, &len);

	if (!err)
		name_give(call, answer, &addr, len);
	return err;
}

static int64_t do_option(struct call *call, struct held *h, struct shim_answer *answer)
{
	struct shim_server *s = call->client->server;
	struct shim_slot *slot = call_slot(call);
	int level = (int)call->ask.arg[0], name = (int)call->ask.arg[1];
	_Alignas(8) uint8_t value[VALUE_MAX];
	socklen_t len;
	int err;

	if (call->ask.op == SHIM_SETOPT) {
		len = call->ask.data_len < VALUE_MAX ? call->ask.data_len : VALUE_MAX;
		memcpy(value, slot->data, len);
		err = socket_setsockopt(s->sockets, h->id, level, name, value, len, s->now);
		refused_say(s, call->client);
		return err;
	}
	/* It may be read as well: IP_... that take a request in the buffer. */
	len = call->ask.data_room < VALUE_MAX ? call->ask.data_room : VALUE_MAX;
	memcpy(value, slot->data, len);
	err = socket_getsockopt(s->sockets, h->id, level, name, value, &len, s->now);
	refused_say(s, call->client);
	/* TCP_SAVED_SYN says with EINVAL how much it is. */
	answer->data_len = len < VALUE_MAX ? len : VALUE_MAX;
	if (err)
		return err;
	memcpy(slot->data, value, answer->data_len);
	return 0;
}

static int64_t do_ioctl(struct call *call, struct held *h, struct shim_answer *answer)
{
	struct shim_server *s = call->client->server;
	int value = (int)call->ask.arg[1];
	int err = socket_ioctl(s->sockets, h->id, (unsigned long)call->ask.arg[0], &value, s->now);

	answer->arg[0] = value;
	return err;
}

static int64_t do_find(struct call *call, struct shim_answer *answer)
{
	struct held *h = held_by_inode(call->client->server, (uint64_t)call->ask.arg[0]);

	if (!h)
		return set_find_held(call, answer);
	answer->sock = h->token;
	answer->id = h->id;
	answer->arg[0] = h->domain;
	answer->arg[1] = h->type;
	return 0;
}

static int64_t do_addrs(struct call *call, struct shim_answer *answer)
{
	const struct shim_server *s = call->client->server;

	answer->data_len = (uint32_t)(s->addrs_n * sizeof(s->addrs[0]));
	memcpy(call_slot(call)->data, s->addrs, answer->data_len);
	return s->addrs_n;
}

static int64_t do_on_socket(struct call *call, struct held *h, struct shim_answer *answer)
{
	struct shim_server *s = call->client->server;
	struct sockaddr_storage addr = { 0 };

	switch (call->ask.op) {
	case SHIM_BIND:
		memcpy(&addr, call_slot(call)->name, call->ask.name_len);
		return socket_bind(s->sockets, h->id, (struct sockaddr *)&addr, call->ask.name_len,
				   s->now);
	case SHIM_LISTEN:
		return socket_listen(s->sockets, h->id, (int)call->ask.arg[0], s->now);
	case SHIM_SHUTDOWN:
		return socket_shutdown(s->sockets, h->id, (int)call->ask.arg[0], s->now);
	case SHIM_SOCKNAME:
	case SHIM_PEERNAME:
		return do_name(call, h, answer);
	case SHIM_SETOPT:
	case SHIM_GETOPT:
		return do_option(call, h, answer);
	case SHIM_IOCTL:
		return do_ioctl(call, h, answer);
	case SHIM_ASYNC:
		return signals_async(s, h, call->ask.arg[0] != 0);
	case SHIM_OWNER:
		return signals_owner(s, h, call->ask.arg[0]);
	case SHIM_NONBLOCK:
		socket_set_nonblock(s->sockets, h->id, call->ask.arg[0] != 0);
		return 0;
	default:
		return -ENOSYS;
	}
}

/* ---- Taking a request ----------------------------------------------------------------------- */

static bool lengths_ok(const struct shim_request *ask)
{
	return ask->name_len <= sizeof(struct sockaddr_storage) &&
	       ask->control_len <= SHIM_CONTROL && ask->data_len <= SHIM_DATA &&
	       ask->data_room <= SHIM_DATA;
}

static void dispatch(struct call *call)
{
	struct shim_answer answer = { 0 };
	struct shim_server *s = call->client->server;
	struct held *h;

	switch (call->ask.op) {
	case SHIM_POLL:
		poll_ask(call);
		return;
	case SHIM_NAMES:
		names_ask(call);
		return;
	case SHIM_CONNECT:
	case SHIM_ACCEPT:
	case SHIM_SEND:
	case SHIM_RECV:
	case SHIM_CLOSED:
		h = call_held(call);
		if (h && call->ask.op != SHIM_CLOSED)
			held_owner(s, h, call->client, call->ask.fd);
		call_try(call);
		return;
	case SHIM_SOCKET:
		answer.result = do_socket(call, &answer);
		break;
	case SHIM_FIND:
		answer.result = do_find(call, &answer);
		break;
	case SHIM_ADDRS:
		answer.result = do_addrs(call, &answer);
		break;
	case SHIM_EPOLL_NEW:
		answer.result = set_new(call, &answer);
		break;
	case SHIM_EPOLL_CTL:
		answer.result = set_ctl(call);
		break;
	case SHIM_EPOLL_TAKE:
		answer.result = set_take(call, &answer);
		break;
	case SHIM_EPOLL_FREE:
		set_leave(call->client, (uint32_t)call->ask.sock);
		break;
	default:
		h = call_held(call);
		if (h)
			held_owner(s, h, call->client, call->ask.fd);
		answer.result = h ? do_on_socket(call, h, &answer) : -EBADF;
		break;
	}
	answer_give(call, &answer);
}

void call_take(struct client *c, unsigned slot)
{
	struct shim_slot *shared = &c->area->slots[slot];
	uint32_t state = atomic_load(&shared->state);
	struct call *call = call_get(c, slot);

	if (!call || (state != SHIM_ASKED && state != SHIM_WAITED))
		return;
	if (call->parked) {
		/* A second request in one slot: the client wants an end of the first. */
		if (atomic_load(&shared->cancel))
			call_try(call);
		return;
	}
	call_unpark(call);
	c->server->touched = true;
	memcpy(&call->ask, &shared->request, sizeof(call->ask));
	call->began = c->server->now;
	call->until = CPL_NEVER;
	call->done = 0;
	call->turn++;
	if (lengths_ok(&call->ask))
		dispatch(call);
	else
		call_finish(call, -EINVAL);
}
