/* SPDX-License-Identifier: MIT */
/* The programs of the simulated network: see app.h. */
#include "sim/app.h"

#include <errno.h>
#include <string.h>

#include "sim/draw.h"
#include "sim/gram.h"

#define BUFFER	   16384
#define OPENS_MAX  300
#define ECHO_AHEAD 65536 /* an echo reads no further ahead of what it could write */

static struct app *peer_of(struct app *app)
{
	return &app->talk->app[!app->end];
}

void app_fill(uint8_t *p, uint64_t seed, uint64_t off, size_t n)
{
	while (n) {
		uint64_t word = draw_at(seed, off / 8, 0);
		size_t at = off % 8, k = 8 - at < n ? 8 - at : n;

		memcpy(p, (uint8_t *)&word + at, k);
		p += k;
		off += k;
		n -= k;
	}
}

/* What the peer's octets are made from: an echo gives back our own. */
static uint64_t peer_seed(struct app *app)
{
	struct app *peer = peer_of(app);

	return peer->plan.style == APP_ECHO ? app->seed : peer->seed;
}

static uint64_t own_seed(struct app *app)
{
	return app->plan.style == APP_ECHO ? peer_of(app)->seed : app->seed;
}

/* ---- What there is to write ----------------------------------------------------------------- */

/* Up to which octet it may write by now. */
static uint64_t write_limit(const struct app *app)
{
	const struct app_plan *p = &app->plan;
	uint64_t rounds;

	switch (p->style) {
	case APP_SOURCE:
		return p->send_bytes;
	case APP_ECHO:
		return app->received;
	case APP_REQUEST:
		rounds = app->received / p->response_bytes + 1;
		return (rounds < p->rounds ? rounds : p->rounds) * p->request_bytes;
	case APP_RESPOND:
		return app->received / p->request_bytes * p->response_bytes;
	default:
		return 0;
	}
}

/* True when nothing will ever follow what it has written. */
static bool written_all(const struct app *app)
{
	const struct app_plan *p = &app->plan;

	switch (p->style) {
	case APP_SINK:
		return app->fin_seen;
	case APP_SOURCE:
		return app->sent == p->send_bytes;
	case APP_REQUEST:
		return app->received >= (uint64_t)p->rounds * p->response_bytes &&
		       app->sent == (uint64_t)p->rounds * p->request_bytes;
	default:
		return app->fin_seen && app->sent == write_limit(app);
	}
}

/* ---- Waking --------------------------------------------------------------------------------- */

static void app_work(struct app *app);

static void app_woken(void *ctx, uint64_t at)
{
	struct app *app = ctx;

	if (app->wake_at != at)
		return;
	app->wake_at = 0;
	app_work(app);
}

static void wake_at(struct app *app, uint64_t at)
{
	if (app->wake_at && app->wake_at <= at)
		return;
	app->wake_at = at;
	net_at(app->talk->net, at, app_woken, app, at);
}

void app_kick(struct app *app)
{
	wake_at(app, app->talk->net->now);
}

/* ---- Ending --------------------------------------------------------------------------------- */

static void talk_open(void *ctx, uint64_t arg);

static void talk_again(struct talk *talk)
{
	talk->again = true;
	net_at(talk->net, talk->net->now + CPL_SECOND, talk_open, talk, 0);
}

/* Both programs are through: once more? */
static void maybe_repeat(struct talk *talk)
{
	if (!talk->repeats || !talk_over(talk) || talk->app[1].state == APP_IDLE)
		return;
	talk->repeats--;
	talk->again = true;
	net_at(talk->net, talk->net->now + talk->repeat_ns, talk_open, talk, 0);
}

static bool is_momentary(int error)
{
	return error == EHOSTUNREACH || error == ENETUNREACH || error == ENOBUFS ||
	       error == EADDRINUSE;
}

static void over(struct app *app, int error)
{
	struct talk *talk = app->talk;

	/* The program still holds the handle of what is over: it gives it back. */
	if (app->handle && app->host->stack && app->life == app->host->lives)
		cpl_close(app->host->stack, app->handle, net_clock(app->host));
	app->state = APP_DONE;
	app->handle = 0;
	app->error = error;
	/* What comes of a moment's trouble before it began is tried again, as a program would. */
	if (!app->end && !talk->simultaneous && is_momentary(error) && !app->opened_at &&
	    talk->opens < OPENS_MAX)
		talk_again(talk);
	maybe_repeat(talk);
}

/* CLOSE or ABORT: the handle is gone. */
static void leave(struct app *app, bool abort)
{
	struct net_host *host = app->host;
	uint64_t now = net_clock(host);
	int r = abort ? cpl_abort(host->stack, app->handle, now)
		      : cpl_close(host->stack, app->handle, now);

	if (r && r != -ENOTCONN)
		net_fail(host->net, "%s: %s of talk %u says %d", host->name,
			 abort ? "abort" : "close", app->talk->index, r);
	app->state = APP_CLOSED;
	app->fin_sent |= !abort;
	app->handle = 0;
	net_touch(host);
	maybe_repeat(app->talk);
}

static bool leaves_early(struct app *app)
{
	const struct app_plan *p = &app->plan;

	if (p->end != APP_END_ABORT && p->end != APP_END_LEAVE)
		return false;
	if (app->sent + app->received < p->end_at && !written_all(app))
		return false;
	app->broken = true;
	leave(app, p->end == APP_END_ABORT);
	return true;
}

static void maybe_end(struct app *app)
{
	struct net_host *host = app->host;
	int r;

	if (leaves_early(app) || !written_all(app))
		return;
	if (app->plan.end == APP_END_STAY && !app->fin_seen)
		return;
	if (app->fin_seen || app->plan.end == APP_END_CLOSE) {
		app->fin_sent = true;
		leave(app, false);
	} else if (!app->fin_sent && app->plan.end == APP_END_SHUTDOWN) {
		app->fin_sent = true;
		r = cpl_shutdown(host->stack, app->handle, net_clock(host));
		if (r == -ENOBUFS) {
			app->fin_sent = false;
			wake_at(app, host->net->now + 100 * CPL_MS);
			return;
		}
		if (r)
			net_fail(host->net, "%s: shutdown of talk %u says %d", host->name,
				 app->talk->index, r);
		net_touch(host);
	}
}

/* ---- Reading and writing -------------------------------------------------------------------- */

/* The number of the peer's octet that is kept out of the stream; 0: none. */
static uint64_t kept_out(struct app *app)
{
	return app->plan.urgent_inline ? 0 : peer_of(app)->plan.urgent_at;
}

static void leave(struct app *app, bool abort);

/*
 * RFC 7413 2.1: a SYN with data that comes again, after its connection, makes another one. When the
 * talk is at another connection by then, what it brings is of the past.
 */
static bool stale(struct app *app)
{
	if (!app->end || !app->plan.fastopen || app->talk->opens < 2)
		return false;
	app->talk->strays++;
	leave(app, true);
	return true;
}

static bool compare(struct app *app, const uint8_t *p, size_t n)
{
	uint64_t urgent = kept_out(app), seed = peer_seed(app);
	uint8_t want[BUFFER];

	if (app->talk->apps->blind) {
		app->received += n;
		return true;
	}
	while (n) {
		size_t k = n;

		if (urgent && app->received + 1 == urgent)
			app->received++;
		if (urgent && app->received < urgent - 1 && k > urgent - 1 - app->received)
			k = (size_t)(urgent - 1 - app->received);
		app_fill(want, seed, app->received, k);
		for (size_t i = 0; i < k; i++) {
			if (p[i] == want[i])
				continue;
			if (stale(app))
				return false;
			net_fail(app->talk->net,
				 "%s: octet %llu of talk %u is 0x%02x, must be 0x%02x",
				 app->host->name, (unsigned long long)(app->received + i),
				 app->talk->index, p[i], want[i]);
			return false;
		}
		app->received += k;
		p += k;
		n -= k;
	}
	return true;
}

static void saw_end(struct app *app)
{
	struct app *peer = peer_of(app);

	app->fin_seen = true;
	if (kept_out(app) && app->received + 1 == kept_out(app) && peer->sent >= kept_out(app))
		app->received++;
	if (peer->host->lives != peer->life || app->talk->strays || app->talk->apps->blind)
		return; /* what it sent is not known any more */
	if (!peer->fin_sent || app->received != peer->sent)
		net_fail(app->talk->net,
			 "%s: end of data of talk %u after %llu octets; the peer has sent %llu%s",
			 app->host->name, app->talk->index, (unsigned long long)app->received,
			 (unsigned long long)peer->sent, peer->fin_sent ? "" : " and not closed");
}

/* One read. True: there may be more. */
static bool read_some(struct app *app)
{
	struct net_host *host = app->host;
	uint64_t now = host->net->now;
	uint8_t data[BUFFER];
	size_t want = app->plan.read_size ? app->plan.read_size : BUFFER;
	long n;

	if (app->fin_seen || now < app->read_next ||
	    (app->plan.style == APP_ECHO && app->received > app->sent + ECHO_AHEAD))
		return false;
	n = cpl_recv(host->stack, app->handle, data, want < BUFFER ? want : BUFFER, 0,
		     net_clock(host));
	if (n == -EAGAIN)
		return false;
	net_touch(host);
	if (n < 0) {
		if (app->state == APP_OPEN)
			over(app, (int)-n);
		return false;
	}
	if (n == 0) {
		saw_end(app);
		return false;
	}
	if (!compare(app, data, (size_t)n))
		return false;
	if (app->plan.read_gap_ns)
		app->read_next = now + app->plan.read_gap_ns;
	return true;
}

/* One write. True: there may be more. */
static bool write_some(struct app *app)
{
	struct net_host *host = app->host;
	uint64_t now = host->net->now, limit = write_limit(app), urgent = app->plan.urgent_at;
	size_t n = app->plan.write_size ? app->plan.write_size : BUFFER;
	uint8_t data[BUFFER];
	unsigned flags = 0;
	long r;

	if (app->fin_sent || app->sent >= limit || now < app->write_next)
		return false;
	n = n < BUFFER ? n : BUFFER;
	n = limit - app->sent < n ? (size_t)(limit - app->sent) : n;
	if (urgent > app->sent && urgent - app->sent <= n) {
		/* Up to the one before first: the urgent octet goes alone. */
		n = urgent - app->sent > 1 ? (size_t)(urgent - app->sent - 1) : 1;
		flags = urgent - app->sent > 1 ? 0 : CPL_MSG_OOB;
	}
	app_fill(data, own_seed(app), app->sent, n);
	r = cpl_send(host->stack, app->handle, data, n, flags, net_clock(host));
	if (r == -EAGAIN)
		return false;
	net_touch(host);
	if (r <= 0) {
		if (r == 0)
			net_fail(host->net, "%s: cpl_send() says 0", host->name);
		if (app->state == APP_OPEN)
			over(app, (int)-r);
		return false;
	}
	app->sent += (uint64_t)r;
	if (app->plan.write_gap_ns)
		app->write_next = now + app->plan.write_gap_ns;
	return (size_t)r == n;
}

static void app_work(struct app *app)
{
	struct net_host *host = app->host;
	bool again = true;

	if (app->state != APP_OPEN || app->life != host->lives)
		return;
	if (host->net->now < host->frozen_until) {
		wake_at(app, host->frozen_until);
		return;
	}
	while (again && app->state == APP_OPEN && !host->net->failed) {
		again = read_some(app);
		if (app->state == APP_OPEN)
			again |= write_some(app);
		if (app->state == APP_OPEN && leaves_early(app))
			return;
	}
	if (app->state != APP_OPEN)
		return;
	maybe_end(app);
	if (app->state != APP_OPEN)
		return;
	if (app->read_next > host->net->now && !app->fin_seen)
		wake_at(app, app->read_next);
	if (app->write_next > host->net->now && app->sent < write_limit(app))
		wake_at(app, app->write_next);
}

static void read_urgent(struct app *app)
{
	uint64_t urgent = kept_out(app);
	uint8_t got, want;
	long n;

	if (!urgent || app->urgent_read)
		return;
	n = cpl_recv(app->host->stack, app->handle, &got, 1, CPL_MSG_OOB_IN, net_clock(app->host));
	if (n != 1)
		return; /* announced; the octet itself comes later */
	app->urgent_read = true;
	app_fill(&want, peer_seed(app), urgent - 1, 1);
	if (got != want)
		net_fail(app->talk->net, "%s: the urgent octet of talk %u is 0x%02x, not 0x%02x",
			 app->host->name, app->talk->index, got, want);
}

/* ---- Opening -------------------------------------------------------------------------------- */

static int set(struct app *app, cpl_handle handle, enum cpl_option option, uint64_t value)
{
	int r;

	if (!value)
		return 0;
	r = cpl_set_option(app->host->stack, handle, option, value, net_clock(app->host));
	if (r && r != -ENOBUFS)
		net_fail(app->talk->net, "%s: cpl_set_option(%d, %llu) says %d", app->host->name,
			 (int)option, (unsigned long long)value, r);
	return r;
}

/* Options that a handle has before its handshake. 0, or -ENOBUFS. */
static int set_options(struct app *app, cpl_handle handle)
{
	const struct app_plan *p = &app->plan;
	int r = 0;

	r |= set(app, handle, CPL_OPT_SNDBUF, p->sndbuf);
	r |= set(app, handle, CPL_OPT_RCVBUF, p->rcvbuf);
	r |= set(app, handle, CPL_OPT_MAXSEG, p->maxseg);
	r |= set(app, handle, CPL_OPT_NODELAY, p->nodelay);
	r |= set(app, handle, CPL_OPT_CORK, p->cork);
	r |= set(app, handle, CPL_OPT_QUICKACK, p->quickack);
	r |= set(app, handle, CPL_OPT_OOB_INLINE, p->urgent_inline);
	r |= set(app, handle, CPL_OPT_KEEP_IDLE, p->keep_idle_ns);
	r |= set(app, handle, CPL_OPT_KEEP_INTERVAL, p->keep_idle_ns);
	r |= set(app, handle, CPL_OPT_KEEPALIVE, p->keep_idle_ns != 0);
	if (p->cc[0] && cpl_set_congestion(app->host->stack, handle, p->cc, net_clock(app->host)))
		net_fail(app->talk->net, "%s: no congestion control \"%s\"", app->host->name,
			 p->cc);
	if (app->end && !app->talk->simultaneous)
		r |= set(app, handle, CPL_OPT_FASTOPEN, p->fastopen ? 4 : 0);
	else
		r |= set(app, handle, CPL_OPT_FASTOPEN_CONNECT,
			 p->fastopen == APP_FASTOPEN_CONNECT);
	return r;
}

static void begin(struct app *app, cpl_handle handle)
{
	app->state = APP_OPENING;
	app->handle = handle;
	app->life = app->host->lives;
	app->sent = app->received = 0;
	app->fin_sent = app->fin_seen = app->broken = app->urgent_read = false;
	app->error = 0;
	app->read_next = app->write_next = 0;
	if (cpl_set_user(app->host->stack, handle, (uintptr_t)app))
		net_fail(app->talk->net, "%s: cpl_set_user() fails", app->host->name);
}

static void connected(struct app *app)
{
	if (app->state != APP_OPENING)
		return;
	app->state = APP_OPEN;
	app->opened_at = app->talk->net->now;
	app->read_next = app->plan.read_from_ns ? app->opened_at + app->plan.read_from_ns : 0;
}

/* Open with as much as fits one write, but for the urgent octet, which goes by a call of its own.
 */
static int open_with_data(struct app *app)
{
	struct net_host *host = app->host;
	uint64_t n = write_limit(app);
	uint8_t data[BUFFER];
	long r;

	n = n < BUFFER ? n : BUFFER;
	if (app->plan.urgent_at && n >= app->plan.urgent_at)
		n = app->plan.urgent_at - 1;
	app_fill(data, own_seed(app), 0, (size_t)n);
	r = cpl_open_active_data(host->stack, app->handle, &app->talk->address[!app->end], data,
				 (size_t)n, 0, net_clock(host));
	if (r == -EINPROGRESS)
		return 0;
	app->sent += r > 0 ? (uint64_t)r : 0;
	return r < 0 ? (int)r : 0;
}

static void open_active(struct app *app)
{
	struct talk *talk = app->talk;
	struct net_host *host = app->host;
	uint64_t now = net_clock(host);
	const struct cpl_endpoint *local = &talk->address[app->end];
	cpl_handle handle = 0;
	int r = cpl_open(host->stack, local, &handle, now);

	if (!r) {
		begin(app, handle);
		r = set_options(app, handle);
	}
	if (!r && app->plan.fastopen == APP_FASTOPEN_DATA)
		r = open_with_data(app);
	else if (!r)
		r = cpl_open_active(host->stack, handle, &talk->address[!app->end], now);
	net_touch(host);
	if (r)
		over(app, -r);
}

static void talk_listen(struct talk *talk)
{
	struct net_host *host = talk->app[1].host;
	int r = cpl_listen(host->stack, &talk->address[1], talk->backlog, &talk->listener,
			   net_clock(host));

	if (r) {
		if (r != -ENOBUFS)
			net_fail(talk->net, "%s: cpl_listen() says %d", host->name, r);
		return;
	}
	if (set_options(&talk->app[1], talk->listener)) {
		cpl_close(host->stack, talk->listener, net_clock(host));
		return;
	}
	talk->listener_life = host->lives;
	cpl_set_user(host->stack, talk->listener, (uintptr_t)&talk->app[1]);
	net_touch(host);
}

/* The talk begins, or begins again. */
static void talk_open(void *ctx, uint64_t arg)
{
	struct talk *talk = ctx;

	(void)arg;
	talk->opens++;
	talk->again = false;
	/* Each connection has octets of its own: those of an earlier one are found out. */
	for (unsigned e = 0; e < 2; e++) {
		talk->app[e].seed = draw_at(talk->net->seed, talk->index, 5 + e + 2 * talk->opens);
		talk->app[e].opened_at = 0;
		talk->app[e].state = APP_IDLE;
	}
	if (talk->simultaneous) {
		open_active(&talk->app[0]);
		open_active(&talk->app[1]);
		return;
	}
	if (talk->listener_life != talk->app[1].host->lives)
		talk_listen(talk);
	if (talk->listener_life == talk->app[1].host->lives)
		open_active(&talk->app[0]);
	else if (talk->opens < OPENS_MAX)
		talk_again(talk);
}

static void accept_all(struct talk *talk)
{
	struct app *app = &talk->app[1];
	struct net_host *host = app->host;
	cpl_handle handle;

	while (cpl_accept(host->stack, talk->listener, &handle, net_clock(host)) == 0) {
		talk->accepts++;
		net_touch(host);
		if (app->state != APP_IDLE && app->state != APP_DONE && app->state != APP_CLOSED) {
			talk->strays++;
			cpl_abort(host->stack, handle, net_clock(host));
			continue;
		}
		begin(app, handle);
		connected(app);
		app_work(app);
	}
}

/* ---- Events --------------------------------------------------------------------------------- */

static void on_event(void *ctx, struct net_host *host, const struct cpl_event *event)
{
	struct app *app = (struct app *)(uintptr_t)event->user;

	(void)ctx;
	if (event->user & 1) {
		gram_event((struct gram *)(uintptr_t)(event->user - 1), host, event);
		return;
	}
	if (!app || app->host != host)
		return;
	if (event->what & CPL_EV_ACCEPT)
		accept_all(app->talk);
	if (event->handle != app->handle || app->life != host->lives)
		return;
	if (event->what & CPL_EV_CONNECTED)
		connected(app);
	if ((event->what & CPL_EV_WRITABLE) && app->state == APP_OPENING &&
	    app->plan.fastopen == APP_FASTOPEN_CONNECT)
		write_some(app);
	if (event->what & CPL_EV_URGENT)
		read_urgent(app);
	app_work(app);
	if (!(event->what & CPL_EV_CLOSED) || event->handle != app->handle)
		return;
	/* Over, and well: what has arrived is still there to be read. */
	if (event->error || app->state != APP_OPEN)
		over(app, event->error);
}

static void on_restart(void *ctx, struct net_host *host)
{
	struct apps *apps = ctx;

	for (unsigned i = 0; i < apps->talks_n; i++) {
		struct talk *talk = &apps->talks[i];

		for (unsigned e = 0; e < 2; e++) {
			struct app *app = &talk->app[e];

			if (app->host != host || app->state == APP_IDLE)
				continue;
			app->handle = 0;
			if (app->state != APP_DONE)
				over(app, ECONNABORTED);
		}
		if (talk->app[1].host == host && talk->listener && !talk->simultaneous)
			talk_listen(talk);
	}
}

/* ---- Making --------------------------------------------------------------------------------- */

void apps_init(struct apps *apps, struct net *net)
{
	memset(apps, 0, sizeof(*apps));
	apps->net = net;
	net->program = (struct net_program){ apps, on_event, on_restart };
}

struct talk *talk_add(struct apps *apps, struct net_host *client, const struct cpl_endpoint *from,
		      struct net_host *server, const struct cpl_endpoint *to,
		      const struct app_plan *client_plan, const struct app_plan *server_plan,
		      uint64_t start)
{
	struct talk *talk = &apps->talks[apps->talks_n];

	if (apps->talks_n == APP_TALKS)
		return NULL;
	memset(talk, 0, sizeof(*talk));
	talk->net = apps->net;
	talk->apps = apps;
	talk->index = apps->talks_n++;
	talk->address[0] = *from;
	talk->address[1] = *to;
	talk->start = start;
	talk->backlog = 8;
	for (unsigned e = 0; e < 2; e++) {
		struct app *app = &talk->app[e];

		app->talk = talk;
		app->end = e;
		app->host = e ? server : client;
		app->plan = e ? *server_plan : *client_plan;
	}
	net_at(apps->net, start, talk_open, talk, 0);
	return talk;
}

bool talk_over(const struct talk *talk)
{
	for (unsigned e = 0; e < 2; e++) {
		enum app_state s = talk->app[e].state;

		if (s == APP_OPENING || s == APP_OPEN)
			return false;
	}
	return talk->opens > 0 && !talk->again;
}
