/* SPDX-License-Identifier: MIT */
/*
 * The server of control.h. Each client has a buffer of what it asked with and one of what it is to
 * be told; what does not fit waits for the next turn. Nothing that a client sends is more than a
 * fixed request, and nothing that it does or leaves undone makes the stack wait.
 */
#define _GNU_SOURCE
#include "host/control.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS	     8
#define OUT_SIZE     65536u
#define BATCH	     32		      /* records of one message */
#define TURN_RECORDS 32		      /* for all clients: some 50 us */
#define IDLE_NS	     (5 * CPL_SECOND) /* then others have precedence */
#define TRACE_BATCH  256
#define TRACE_MAX    65536u /* records of one answer */

struct client {
	int fd; /* -1: none */
	uint32_t in_len;
	uint32_t out_len, out_done;
	uint16_t doing; /* the request being answered, or 0 */
	bool polls_out;
	uint64_t cursor;
	uint64_t left; /* records of a trace still to be told */
	uint64_t last; /* when it was last heard or told something */
	struct control_msg in;
	uint8_t out[OUT_SIZE];
};

struct control {
	cpl_stack *stack;
	int epoll;
	int listener;
	uint64_t now;
	struct control_hello hello;
	struct client *clients[CLIENTS];
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct cpl_info infos[BATCH];
};

static const struct control_field fields[CPL_FIELDS] = {
#define CPL_FIELD(group, type, name_, unit, text)                                                  \
	{ #name_, CPL_F_##name_, offsetof(struct cpl_info, name_),                                 \
	  sizeof(((struct cpl_info *)0)->name_), 0 },
#include <couplet/info.def>
};

/* ---- Opening and closing -------------------------------------------------------------------- */

/* Make DIR; one that others could write to is not trusted. */
static int dir_ready(const char *dir, struct link_why *why)
{
	struct stat st;

	if (mkdir(dir, 0700) && errno != EEXIST)
		return link_fail(why, -errno, "cannot make the directory %s: %s", dir,
				 strerror(errno));
	if (lstat(dir, &st))
		return link_fail(why, -errno, "cannot look at %s: %s", dir, strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
		return link_fail(why, -EACCES,
				 "%s is not a directory that this user alone may write to: "
				 "remove it, or set XDG_RUNTIME_DIR",
				 dir);
	return 0;
}

static bool name_ok(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && name[i] != '-' && name[i] != '_')
			return false;
	return n >= 1 && n < sizeof(((struct control_hello *)0)->name);
}

static int watch(struct control *c, int fd, uint32_t events, void *what)
{
	struct epoll_event event = { .events = events, .data.ptr = what };

	return epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &event);
}

static int listener_open(struct control *c, struct link_why *why)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strcpy(address.sun_path, c->path);
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->epoll < 0 || c->listener < 0)
		return link_fail(why, -errno, "cannot make a control socket: %s", strerror(errno));
	/* Of this mode from the first moment on: bind() takes it from the socket. */
	if (fchmod(c->listener, 0600) ||
	    bind(c->listener, (struct sockaddr *)&address, sizeof(address))) {
		int err = -errno;

		c->path[0] = '\0'; /* not ours to remove */
		return link_fail(why, err, "cannot make the control socket %s: %s",
				 address.sun_path, strerror(-err));
	}
	if (listen(c->listener, CLIENTS) || watch(c, c->listener, EPOLLIN, NULL))
		return link_fail(why, -errno, "cannot listen on the control socket %s: %s", c->path,
				 strerror(errno));
	return 0;
}

static void hello_fill(struct control_hello *h, const char *name)
{
	struct stat st;

	h->pid = (uint32_t)getpid();
	h->uid = (uint32_t)geteuid();
	h->info_size = sizeof(struct cpl_info);
	h->info_version = CPL_INFO_VERSION;
	h->info_words = CPL_INFO_WORDS;
	if (stat("/proc/self/ns/net", &st) == 0)
		h->netns = (uint32_t)st.st_ino;
	snprintf(h->program, sizeof(h->program), "%s", program_invocation_short_name);
	snprintf(h->name, sizeof(h->name), "%s", name);
	snprintf(h->couplet, sizeof(h->couplet), "%s", CPL_VERSION);
}

int control_open(struct control **control, cpl_stack *stack, const char *dir, const char *name,
		 struct link_why *why)
{
	char usual[sizeof((*control)->path)];
	struct control *c;
	int err, n;

	if (!name_ok(name))
		return link_fail(why, -EINVAL,
				 "a stack's name is 1 to 31 letters, digits, '-' and '_', not '%s'",
				 name);
	if (!dir) {
		control_dir(usual, sizeof(usual));
		dir = usual;
	}
	err = dir_ready(dir, why);
	if (err)
		return err;
	c = calloc(1, sizeof(*c));
	if (!c)
		return link_fail(why, -ENOMEM, "no memory for a control socket");
	c->stack = stack;
	c->epoll = c->listener = -1;
	hello_fill(&c->hello, name);
	n = snprintf(c->path, sizeof(c->path), "%s/%u.%s" CONTROL_SUFFIX, dir, c->hello.pid, name);
	if (n < 0 || (size_t)n >= sizeof(c->path)) {
		c->path[0] = '\0';
		err = link_fail(why, -ENAMETOOLONG, "the path %s is too long for a socket", dir);
	} else {
		err = listener_open(c, why);
	}
	if (err) {
		control_close(c);
		return err;
	}
	*control = c;
	return 0;
}

static void client_close(struct control *c, unsigned i)
{
	close(c->clients[i]->fd);
	free(c->clients[i]);
	c->clients[i] = NULL;
}

void control_close(struct control *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < CLIENTS; i++)
		if (c->clients[i])
			client_close(c, i);
	if (c->path[0])
		unlink(c->path);
	if (c->listener >= 0)
		close(c->listener);
	if (c->epoll >= 0)
		close(c->epoll);
	free(c);
}

int control_fd(const struct control *c)
{
	return c->epoll;
}

const char *control_path(const struct control *c)
{
	return c->path;
}

/* ---- Answers -------------------------------------------------------------------------------- */

static uint32_t room(const struct client *k)
{
	return OUT_SIZE - k->out_len;
}

/* The caller has seen that there is room. */
static void tell(struct client *k, uint16_t type, const void *body, uint32_t len, int status,
		 uint64_t arg)
{
	struct control_msg m = { CONTROL_MAGIC, CONTROL_VERSION, type, len, status, arg };

	memcpy(k->out + k->out_len, &m, sizeof(m));
	if (len)
		memcpy(k->out + k->out_len + sizeof(m), body, len);
	k->out_len += (uint32_t)sizeof(m) + len;
}

static void finish(struct client *k, int status, uint64_t arg)
{
	tell(k, CONTROL_END, NULL, 0, status, arg);
	k->doing = 0;
}

/* What the process knows of a connection's owner, unless the socket layer has said. */
static void owner_fill(const struct control *c, struct cpl_info *info)
{
	if (!cpl_info_known(info, CPL_F_pid))
		CPL_INFO_READ(info, pid, c->hello.pid);
	if (!cpl_info_known(info, CPL_F_uid))
		CPL_INFO_READ(info, uid, c->hello.uid);
	if (!cpl_info_known(info, CPL_F_netns) && c->hello.netns)
		CPL_INFO_READ(info, netns, c->hello.netns);
	if (!cpl_info_known(info, CPL_F_program)) {
		memcpy(info->program, c->hello.program, sizeof(info->program));
		cpl_info_mark_read(info, CPL_F_program);
	}
}

/* One batch; returns the records. */
static unsigned list_some(struct control *c, struct client *k)
{
	uint32_t fit = (room(k) - 2 * (uint32_t)sizeof(struct control_msg)) / sizeof(c->infos[0]);
	int n = cpl_info_walk(c->stack, &k->cursor, c->infos, fit < BATCH ? fit : BATCH, c->now);

	if (n <= 0) {
		finish(k, n, 0);
		return 0;
	}
	for (int i = 0; i < n; i++)
		owner_fill(c, &c->infos[i]);
	tell(k, CONTROL_INFO, c->infos, (uint32_t)n * (uint32_t)sizeof(c->infos[0]), 0, 0);
	return (unsigned)n;
}

static unsigned trace_some(struct control *c, struct client *k)
{
	struct cpl_trace records[TRACE_BATCH];
	uint64_t lost = 0;
	unsigned max = k->left < TRACE_BATCH ? (unsigned)k->left : TRACE_BATCH;
	int n = max ? cpl_trace_read(c->stack, &k->cursor, records, max, &lost) : 0;

	if (n <= 0) {
		finish(k, n, k->cursor);
		return 0;
	}
	k->left -= (unsigned)n;
	tell(k, CONTROL_TRACE, records, (uint32_t)n * (uint32_t)sizeof(records[0]), 0, lost);
	return (unsigned)n / 8 + 1; /* a record is a copy of 64 octets */
}

static void tell_counters(struct control *c, struct client *k)
{
	struct control_counter list[] = {
#define CPL_COUNTER(name_, text) { .name = #name_ },
#include <couplet/counters.def>
	};
	struct cpl_counters counters = { .size = sizeof(counters) };
	int err = cpl_counters_get(c->stack, &counters);
	unsigned i = 0;

	if (!err) {
#define CPL_COUNTER(name_, text) list[i++].value = counters.name_;
#include <couplet/counters.def>
		tell(k, CONTROL_COUNTERS, list, sizeof(list), 0, 0);
	}
	finish(k, err, i);
}

static void tell_one(struct control *c, struct client *k, cpl_handle handle)
{
	int err = cpl_info_get(c->stack, handle, &c->infos[0], c->now);

	if (!err) {
		owner_fill(c, &c->infos[0]);
		tell(k, CONTROL_INFO, &c->infos[0], sizeof(c->infos[0]), 0, 0);
	}
	finish(k, err, 0);
}

static void begin(struct control *c, struct client *k)
{
	k->doing = k->in.type;
	k->cursor = 0;
	switch (k->in.type) {
	case CONTROL_HELLO:
		c->hello.now = c->now;
		tell(k, CONTROL_HELLO, &c->hello, sizeof(c->hello), 0, 0);
		finish(k, 0, 0);
		break;
	case CONTROL_FIELDS:
		tell(k, CONTROL_FIELDS, fields, sizeof(fields), 0, 0);
		finish(k, 0, 0);
		break;
	case CONTROL_GET:
		tell_one(c, k, k->in.arg);
		break;
	case CONTROL_COUNTERS:
		tell_counters(c, k);
		break;
	case CONTROL_TRACE:
		k->cursor = k->in.arg;
		k->left = TRACE_MAX;
		break;
	case CONTROL_LIST:
		break;
	default:
		finish(k, -EOPNOTSUPP, 0);
	}
}

/* ---- Clients -------------------------------------------------------------------------------- */

/* False: it is gone. */
static bool client_send(struct client *k)
{
	ssize_t n;

	if (k->out_done == k->out_len)
		return true;
	n = send(k->fd, k->out + k->out_done, k->out_len - k->out_done,
		 MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	k->out_done += (uint32_t)n;
	if (k->out_done == k->out_len)
		k->out_done = k->out_len = 0;
	return true;
}

/* False: it is gone, or what it sent is no request. */
static bool client_read(struct control *c, struct client *k)
{
	ssize_t n =
		recv(k->fd, (uint8_t *)&k->in + k->in_len, sizeof(k->in) - k->in_len, MSG_DONTWAIT);

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	k->in_len += (uint32_t)n;
	k->last = c->now;
	if (k->in_len < sizeof(k->in))
		return true;
	k->in_len = 0;
	if (k->in.magic != CONTROL_MAGIC || k->in.len)
		return false;
	if (k->in.version != CONTROL_VERSION)
		finish(k, -EPROTONOSUPPORT, 0);
	else
		begin(c, k);
	return true;
}

/* The descriptor turns writable while there is something to tell, readable while there is not. */
static bool client_poll(struct control *c, struct client *k)
{
	bool out = k->out_len || k->doing;
	struct epoll_event event = { .events = out ? EPOLLOUT : EPOLLIN, .data.ptr = k };

	if (out == k->polls_out)
		return true;
	k->polls_out = out;
	return epoll_ctl(c->epoll, EPOLL_CTL_MOD, k->fd, &event) == 0;
}

/* The largest message, and the end after it, fit in an empty buffer. */
_Static_assert(sizeof(fields) + 2 * sizeof(struct control_msg) <= OUT_SIZE, "fields fit");
_Static_assert(TRACE_BATCH * sizeof(struct cpl_trace) + 2 * sizeof(struct control_msg) <= OUT_SIZE,
	       "a batch of trace records fits");
_Static_assert(sizeof(struct cpl_info) + 2 * sizeof(struct control_msg) <= OUT_SIZE,
	       "a record fits");
_Static_assert(OUT_SIZE <= CONTROL_LEN_MAX, "no message is longer than promised");

/* One client; *BUDGET are the records that may still be told in this turn. */
static bool client_serve(struct control *c, struct client *k, unsigned *budget)
{
	if (!client_send(k))
		return false;
	if (k->out_len)
		return client_poll(c, k);
	if (!k->doing && !client_read(c, k))
		return false;
	if (k->doing == CONTROL_LIST || k->doing == CONTROL_TRACE) {
		unsigned n;

		if (!*budget)
			return client_poll(c, k);
		n = k->doing == CONTROL_LIST ? list_some(c, k) : trace_some(c, k);
		*budget -= n < *budget ? n : *budget;
		k->last = c->now;
	}
	return client_send(k) && client_poll(c, k);
}

/* A place for one more: a free one, or that of who has been idle longest, for long. */
static int place(struct control *c)
{
	int idle = -1;

	for (int i = 0; i < CLIENTS; i++) {
		if (!c->clients[i])
			return i;
		if (idle < 0 || c->clients[i]->last < c->clients[idle]->last)
			idle = i;
	}
	if (c->now - c->clients[idle]->last < IDLE_NS)
		return -1;
	client_close(c, (unsigned)idle);
	return idle;
}

static void client_accept(struct control *c)
{
	int fd = accept4(c->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), i;
	struct client *k;

	if (fd < 0)
		return;
	i = place(c);
	k = i < 0 ? NULL : malloc(sizeof(*k));
	if (!k) {
		close(fd);
		return;
	}
	memset(k, 0, offsetof(struct client, out));
	k->fd = fd;
	k->last = c->now;
	c->clients[i] = k;
	if (watch(c, fd, EPOLLIN, k))
		client_close(c, (unsigned)i);
}

void control_serve(struct control *c, uint64_t now)
{
	struct epoll_event events[CLIENTS + 1];
	int n = epoll_wait(c->epoll, events, CLIENTS + 1, 0);
	unsigned budget = TURN_RECORDS;

	c->now = now;
	for (int e = 0; e < n; e++)
		for (unsigned i = 0; events[e].data.ptr && i < CLIENTS; i++)
			if (c->clients[i] == events[e].data.ptr &&
			    !client_serve(c, c->clients[i], &budget))
				client_close(c, i);
	/* Last: a new client may take the place, and the memory, of one that was served above. */
	for (int e = 0; e < n; e++)
		if (!events[e].data.ptr)
			client_accept(c);
}
