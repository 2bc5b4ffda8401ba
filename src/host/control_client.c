/* SPDX-License-Identifier: MIT */
/* Asking stacks, as control_client.h says. */
#define _GNU_SOURCE
#include "host/control_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* Of each field of ours: where it is in a record of theirs. */
struct mapping {
	bool known;
	uint32_t number;
	uint32_t offset;
};

struct control_client {
	int fd;
	struct control_hello hello;
	struct mapping map[CPL_FIELDS];
	struct control_msg msg; /* the last that came */
	uint8_t body[CONTROL_LEN_MAX];
};

static const struct {
	const char *name;
	uint32_t offset, size;
} ours[CPL_FIELDS] = {
#define CPL_FIELD(group, type, name_, unit, text)                                                  \
	{ #name_, offsetof(struct cpl_info, name_), sizeof(((struct cpl_info *)0)->name_) },
#include <couplet/info.def>
};

/* ---- Messages ------------------------------------------------------------------------------- */

static int get(int fd, void *data, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = recv(fd, (char *)data + done, n - done, 0);

		if (got == 0)
			return -ECONNRESET;
		if (got < 0 && errno == EAGAIN)
			return -ETIMEDOUT;
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got > 0)
			done += (size_t)got;
	}
	return 0;
}

static int request(struct control_client *c, uint16_t type, uint64_t arg)
{
	struct control_msg m = {
		.magic = CONTROL_MAGIC, .version = CONTROL_VERSION, .type = type, .arg = arg
	};
	ssize_t n;

	do
		n = send(c->fd, &m, sizeof(m), MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(m))
		return 0;
	return n < 0 && errno != EAGAIN ? -errno : -ETIMEDOUT;
}

/*
 * The next message of an answer made of TYPE. Returns 1: there is one, whole records of SIZE
 * octets; 0: that was the end; or a negative errno.
 */
static int next(struct control_client *c, uint16_t type, size_t size)
{
	int err = get(c->fd, &c->msg, sizeof(c->msg));

	if (err)
		return err;
	if (c->msg.magic != CONTROL_MAGIC || c->msg.len > sizeof(c->body))
		return -EPROTO;
	if (c->msg.version != CONTROL_VERSION)
		return -EPROTONOSUPPORT;
	err = get(c->fd, c->body, c->msg.len);
	if (err)
		return err;
	if (c->msg.type == CONTROL_END)
		return c->msg.status <= 0 && c->msg.status > -4096 ? c->msg.status : -EPROTO;
	if (c->msg.type != type || !c->msg.len || c->msg.len % size)
		return -EPROTO;
	return 1;
}

/* ---- Connecting ----------------------------------------------------------------------------- */

static bool terminated(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

/* The whole answer of one record, into *RECORD. */
static int ask_one(struct control_client *c, uint16_t type, void *record, size_t size)
{
	int err = request(c, type, 0), got;

	if (err)
		return err;
	got = next(c, type, size);
	if (got <= 0)
		return got ? got : -EPROTO;
	memcpy(record, c->body, size);
	got = next(c, type, size);
	return got > 0 ? -EPROTO : got;
}

/* Find each field of ours among those of the server. */
static int map_fields(struct control_client *c)
{
	const struct control_field *f = (const void *)c->body;
	int err = request(c, CONTROL_FIELDS, 0), got;

	while (!err && (got = next(c, CONTROL_FIELDS, sizeof(*f))) != 0) {
		if (got < 0)
			return got;
		for (uint32_t k = 0; k < c->msg.len / sizeof(*f); k++) {
			if (!terminated(f[k].name, sizeof(f[k].name)))
				return -EPROTO;
			for (unsigned i = 0; i < CPL_FIELDS; i++) {
				if (strcmp(ours[i].name, f[k].name) || ours[i].size != f[k].size)
					continue;
				if (f[k].size > c->hello.info_size ||
				    f[k].offset > c->hello.info_size - f[k].size ||
				    f[k].number / 64 >= c->hello.info_words)
					return -EPROTO;
				c->map[i] = (struct mapping){ true, f[k].number, f[k].offset };
			}
		}
	}
	return err;
}

static bool same_layout(const struct control_hello *h)
{
	return h->info_version == CPL_INFO_VERSION && h->info_size == sizeof(struct cpl_info) &&
	       h->info_words == CPL_INFO_WORDS;
}

static int greet(struct control_client *c)
{
	struct control_hello *h = &c->hello;
	int err = ask_one(c, CONTROL_HELLO, h, sizeof(*h));

	if (err)
		return err;
	if (!terminated(h->program, sizeof(h->program)) || !terminated(h->name, sizeof(h->name)) ||
	    !terminated(h->couplet, sizeof(h->couplet)) || h->info_size > CONTROL_LEN_MAX ||
	    h->info_words > 64 || h->info_size < 8 + 16 * h->info_words)
		return -EPROTO;
	return same_layout(h) ? 0 : map_fields(c);
}

static int explain(struct link_why *why, int err, const char *path)
{
	const char *reason = strerror(-err);

	if (err == -EPROTO)
		reason = "what answers is no Couplet stack";
	else if (err == -EPROTONOSUPPORT)
		reason = "its Couplet speaks another version of the protocol";
	else if (err == -ETIMEDOUT)
		reason = "it does not answer: the process may be stopped";
	else if (err == -EAGAIN || err == -ECONNRESET)
		reason = "it has too many readers already";
	return link_fail(why, err, "cannot ask the stack at %s: %s", path, reason);
}

int control_connect(struct control_client **client, const char *path, struct link_why *why)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = CONTROL_PATIENCE_S };
	struct control_client *c;
	int err = 0;

	if (strlen(path) >= sizeof(address.sun_path))
		return explain(why, -ENAMETOOLONG, path);
	strcpy(address.sun_path, path);
	c = calloc(1, sizeof(*c));
	if (!c)
		return explain(why, -ENOMEM, path);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
	    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) ||
	    connect(c->fd, (struct sockaddr *)&address, sizeof(address)))
		err = -errno;
	if (!err)
		err = greet(c);
	if (err) {
		control_disconnect(c);
		return explain(why, err, path);
	}
	*client = c;
	return 0;
}

void control_disconnect(struct control_client *c)
{
	if (!c)
		return;
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}

const struct control_hello *control_server(const struct control_client *c)
{
	return &c->hello;
}

/* ---- Asking --------------------------------------------------------------------------------- */

static bool bit(const uint8_t *words, uint32_t number)
{
	uint64_t word;

	memcpy(&word, words + number / 64 * 8, 8);
	return word >> number % 64 & 1;
}

/* Text of a hostile server ends somewhere. */
static void terminate(struct cpl_info *info)
{
#define TERMINATE_name(field)			 info->field[sizeof(info->field) - 1] = '\0'
#define TERMINATE_path(field)			 info->field[sizeof(info->field) - 1] = '\0'
#define TERMINATE_u8(field)			 (void)0
#define TERMINATE_u16(field)			 (void)0
#define TERMINATE_u32(field)			 (void)0
#define TERMINATE_u64(field)			 (void)0
#define TERMINATE_seq(field)			 (void)0
#define TERMINATE_ns(field)			 (void)0
#define TERMINATE_ip(field)			 (void)0
#define CPL_FIELD(group, type, name, unit, text) TERMINATE_##type(name);
#include <couplet/info.def>
}

/* One record of theirs as one of ours. False: it is none. */
static bool translate(const struct control_client *c, const uint8_t *record, struct cpl_info *info)
{
	const uint8_t *read = record + 8, *derived = read + 8 * c->hello.info_words;
	uint32_t size;

	memcpy(&size, record, 4);
	if (size != c->hello.info_size)
		return false;
	if (same_layout(&c->hello)) {
		memcpy(info, record, sizeof(*info));
		terminate(info);
		return true;
	}
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->version = CPL_INFO_VERSION;
	for (unsigned i = 0; i < CPL_FIELDS; i++) {
		const struct mapping *m = &c->map[i];

		if (!m->known)
			continue;
		memcpy((uint8_t *)info + ours[i].offset, record + m->offset, ours[i].size);
		if (bit(read, m->number))
			cpl_info_mark_read(info, (enum cpl_field)i);
		if (bit(derived, m->number))
			cpl_info_mark_derived(info, (enum cpl_field)i);
	}
	terminate(info);
	return true;
}

int control_list(struct control_client *c, int (*visit)(void *arg, const struct cpl_info *info),
		 void *arg)
{
	uint32_t size = c->hello.info_size;
	int err = request(c, CONTROL_LIST, 0), got;
	struct cpl_info info;

	while (!err && (got = next(c, CONTROL_INFO, size)) != 0) {
		if (got < 0)
			return got;
		for (uint32_t at = 0; at < c->msg.len && !err; at += size)
			err = translate(c, c->body + at, &info) ? visit(arg, &info) : -EPROTO;
	}
	return err;
}

int control_get(struct control_client *c, cpl_handle handle, struct cpl_info *info)
{
	int err = request(c, CONTROL_GET, handle), got;
	bool found = false;

	while (!err && (got = next(c, CONTROL_INFO, c->hello.info_size)) != 0) {
		if (got < 0)
			return got;
		found = true;
		if (!translate(c, c->body, info))
			err = -EPROTO;
	}
	return !err && !found ? -EPROTO : err;
}

int control_counters(struct control_client *c,
		     int (*visit)(void *arg, const char *name, uint64_t value), void *arg)
{
	const struct control_counter *list = (const void *)c->body;
	int err = request(c, CONTROL_COUNTERS, 0), got;

	while (!err && (got = next(c, CONTROL_COUNTERS, sizeof(*list))) != 0) {
		if (got < 0)
			return got;
		for (uint32_t i = 0; i < c->msg.len / sizeof(*list) && !err; i++) {
			if (!terminated(list[i].name, sizeof(list[i].name)))
				return -EPROTO;
			err = visit(arg, list[i].name, list[i].value);
		}
	}
	return err;
}

int control_trace(struct control_client *c, uint64_t *cursor, uint64_t *lost,
		  int (*visit)(void *arg, const struct cpl_trace *record), void *arg)
{
	const struct cpl_trace *list = (const void *)c->body;
	int err = request(c, CONTROL_TRACE, *cursor), got;

	*lost = 0;
	while (!err && (got = next(c, CONTROL_TRACE, sizeof(*list))) != 0) {
		if (got < 0)
			return got;
		*lost += c->msg.arg;
		for (uint32_t i = 0; i < c->msg.len / sizeof(*list) && !err; i++)
			err = visit(arg, &list[i]);
	}
	if (!err)
		*cursor = c->msg.arg;
	return err;
}
