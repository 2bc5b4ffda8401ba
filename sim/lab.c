/* SPDX-License-Identifier: MIT */
/* The engine of `couplet lab`: see lab.h. Stories stand in story.c. */
#include "sim/lab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sim/app.h"
#include "sim/draw.h"
#include "sim/oracle.h"
#include "sim/packet.h"

#define RING	  16384 /* records of each stack between two instants */
#define EARLY	  200	/* instants at which a middle is looked for whatever has arrived */
#define FILE_SEED 77

/* ---- The file ------------------------------------------------------------------------------- */

static int file_open(struct lab *lab, char error[LAB_ERROR])
{
	const char *name = lab->config.file;
	struct stat st;

	lab->size = lab->config.size;
	if (!name)
		return 0;
	lab->file = fopen(name, "rb");
	if (!lab->file || fstat(fileno(lab->file), &st) != 0) {
		int e = errno;

		snprintf(error, LAB_ERROR, "cannot read \"%.120s\": %s", name, strerror(e));
		return -e;
	}
	if (!S_ISREG(st.st_mode)) {
		snprintf(error, LAB_ERROR, "\"%.120s\" is no regular file: name one to send", name);
		return -EINVAL;
	}
	if ((uint64_t)st.st_size > LAB_SIZE_MAX) {
		snprintf(error, LAB_ERROR,
			 "\"%.120s\" has %llu bytes: the lab sends at most %llu MiB", name,
			 (unsigned long long)st.st_size, LAB_SIZE_MAX >> 20);
		return -EFBIG;
	}
	lab->size = (uint64_t)st.st_size;
	return 0;
}

/* The next octets to write: at most what AHEAD holds and the program may. */
static size_t file_ahead(struct lab *lab)
{
	struct lab_end *client = &lab->end[LAB_CLIENT];
	uint64_t end = client->writes_to < lab->size ? client->writes_to : lab->size;
	size_t n = sizeof(lab->ahead);

	if (client->done >= end)
		return 0;
	if (lab->ahead_at == lab->ahead_n) {
		if (lab->size - client->done < n)
			n = (size_t)(lab->size - client->done);
		if (!lab->file)
			app_fill(lab->ahead, lab->config.seed + FILE_SEED, client->done, n);
		else if (fread(lab->ahead, 1, n, lab->file) != n)
			net_fail(lab->net, "the file became shorter while it was read");
		lab->ahead_at = 0;
		lab->ahead_n = n;
	}
	n = lab->ahead_n - lab->ahead_at;
	return end - client->done < n ? (size_t)(end - client->done) : n;
}

/* ---- The programs --------------------------------------------------------------------------- */

static void end_close(struct lab_end *end)
{
	if (end->closed)
		return;
	end->closed = end->fin_sent = true;
	cpl_close(end->host->stack, end->handle, net_clock(end->host));
	net_touch(end->host);
}

static void end_read(struct lab_end *end)
{
	struct lab *lab = end->lab;
	uint8_t data[LAB_BUFFER];
	long n;

	while (end->reads && !end->closed && !end->fin_seen) {
		n = cpl_recv(end->host->stack, end->handle, data, sizeof(data), 0,
			     net_clock(end->host));
		if (n < 0)
			return;
		net_touch(end->host);
		if (n == 0) {
			end->fin_seen = true;
			if (end->side == LAB_SERVER)
				lab->finished_at = lab->net->now;
		} else if (end->side == LAB_SERVER) {
			end->done += (uint64_t)n;
			sha256_add(&end->sha, data, (size_t)n);
		}
	}
}

static void client_write(struct lab_end *end)
{
	struct lab *lab = end->lab;
	size_t n;
	long r;

	while (!end->fin_sent && (n = file_ahead(lab)) > 0 && !lab->net->failed) {
		r = cpl_send(end->host->stack, end->handle, lab->ahead + lab->ahead_at, n, 0,
			     net_clock(end->host));
		if (r <= 0)
			return;
		net_touch(end->host);
		sha256_add(&end->sha, lab->ahead + lab->ahead_at, (size_t)r);
		lab->ahead_at += (size_t)r;
		end->done += (uint64_t)r;
		if ((size_t)r < n)
			return;
	}
}

static void end_work(struct lab_end *end)
{
	struct lab *lab = end->lab;

	if (!end->open || end->closed)
		return;
	end_read(end);
	if (end->side == LAB_CLIENT)
		client_write(end);
	if (!end->closes)
		return;
	/* The client closes when all it wrote has been acknowledged, an empty file at once. */
	if (end->side == LAB_CLIENT && !end->fin_sent && end->done == lab->size &&
	    (end->acked || !lab->size)) {
		end->fin_sent = true;
		cpl_shutdown(end->host->stack, end->handle, net_clock(end->host));
		net_touch(end->host);
	}
	if (end->fin_seen)
		end_close(end);
}

/* Who owns the block, as a host would say: program and descriptor. */
static void end_own(struct lab_end *end, cpl_handle handle, uint64_t fd)
{
	uint64_t now = net_clock(end->host);
	cpl_stack *stack = end->host->stack;

	cpl_set_user(stack, handle, end->side + 1);
	cpl_set_program(stack, handle, end->side == LAB_CLIENT ? "send" : "receive");
	cpl_set_option(stack, handle, CPL_OPT_OWNER_PID, end->side == LAB_CLIENT ? 101 : 202, now);
	cpl_set_option(stack, handle, CPL_OPT_OWNER_FD, fd, now);
}

static void on_event(void *ctx, struct net_host *host, const struct cpl_event *event)
{
	struct lab *lab = ctx;
	struct lab_end *end = &lab->end[host->index];

	if (event->what & CPL_EV_ACCEPT) {
		if (cpl_accept(host->stack, end->listener, &end->handle, net_clock(host)) == 0) {
			end_own(end, end->handle, 4);
			end->open = true;
			net_touch(host);
		}
	} else if (event->handle != end->handle) {
		return;
	}
	if (event->what & CPL_EV_CONNECTED)
		end->open = true;
	end->acked |= (event->what & CPL_EV_SENT_ALL) && end->done == lab->size;
	end_work(end);
	if ((event->what & CPL_EV_CLOSED) && event->handle == end->handle) {
		end->error = event->error;
		end_close(end);
	}
}

static void server_listen(struct lab *lab)
{
	struct lab_end *end = &lab->end[LAB_SERVER];
	int r = cpl_listen(end->host->stack, &lab->address[LAB_SERVER], 8, &end->listener,
			   net_clock(end->host));

	if (r)
		net_fail(lab->net, "the server cannot listen: %s", strerror(-r));
	else
		end_own(end, end->listener, 3);
}

/* The host lost all: its program runs anew and listens. */
static void on_restart(void *ctx, struct net_host *host)
{
	struct lab *lab = ctx;
	struct lab_end *end = &lab->end[host->index];

	end->handle = 0;
	end->open = end->opening = false;
	end->closed = true;
	end->error = ECONNABORTED;
	end->records.cursor = 0;
	if (end->side == LAB_SERVER)
		server_listen(lab);
}

void lab_connect(struct lab *lab, bool both)
{
	for (unsigned side = 0; side < (both ? 2u : 1u); side++) {
		struct lab_end *end = &lab->end[side];
		uint64_t now = net_clock(end->host);
		int r;

		if (both && side == LAB_SERVER && end->listener)
			cpl_close(end->host->stack, end->listener, now);
		r = cpl_connect(end->host->stack, &lab->address[side], &lab->address[!side],
				&end->handle, now);
		if (r)
			net_fail(lab->net, "%s cannot connect: %s", end->host->name, strerror(-r));
		else
			end_own(end, end->handle, 3);
		end->opening = true;
		net_touch(end->host);
	}
}

void lab_kick(struct lab *lab)
{
	end_work(&lab->end[0]);
	end_work(&lab->end[1]);
}

void lab_abort(struct lab *lab, unsigned side)
{
	struct lab_end *end = &lab->end[side];

	cpl_abort(end->host->stack, end->handle, net_clock(end->host));
	end->closed = true;
	net_touch(end->host);
}

void lab_cut(struct lab *lab, unsigned side, bool dead)
{
	struct wire *wire = net_wire(lab->link, lab->end[side].host, lab->end[!side].host);

	wire->params.down_n = dead;
	wire->params.down[0] = (struct wire_span){ 0, UINT64_MAX };
}

/* ---- Looking -------------------------------------------------------------------------------- */

bool lab_info(struct lab *lab, unsigned side, struct cpl_info *info)
{
	struct net_host *host = lab->end[side].host;
	uint64_t cursor = 0;

	while (host->stack && cpl_info_walk(host->stack, &cursor, info, 1, net_clock(host)) == 1)
		if (info->protocol == 6 && info->state != CPL_LISTEN)
			return true;
	return false;
}

static void look_at_wire(struct lab *lab, struct lab_moment *m, unsigned side)
{
	const struct wire *wire = net_wire(lab->link, lab->end[side].host, lab->end[!side].host);
	struct packet p;

	for (uint32_t i = 0; i < wire->heap_n; i++) {
		const struct wire_frame *f = wire->heap[i];

		if (!packet_read(&p, f->data, f->len, lab->link->ether) || !p.tcp)
			continue;
		m->wire_segments[side]++;
		m->wire_bytes[side] += p.payload;
	}
}

void lab_look(struct lab *lab, struct lab_moment *m)
{
	memset(m, 0, sizeof(*m));
	m->at = lab->net->now;
	for (unsigned side = 0; side < 2; side++) {
		struct net_host *host = lab->end[side].host;
		uint64_t cursor = 0;
		int n;

		m->has[side] = lab_info(lab, side, &m->end[side]);
		while (host->stack && m->listed_n[side] < LAB_LISTED &&
		       (n = cpl_info_walk(host->stack, &cursor, &m->listed[side][m->listed_n[side]],
					  LAB_LISTED - m->listed_n[side], net_clock(host))) > 0)
			m->listed_n[side] += (unsigned)n;
		look_at_wire(lab, m, side);
	}
}

static void records_read(struct lab *lab, struct lab_end *end)
{
	struct lab_records *r = &end->records;
	uint64_t lost = 0;
	int n;

	do {
		if (r->n + 256 > r->cap) {
			size_t cap = r->cap ? 2 * r->cap : 4096;
			void *p = realloc(r->records, cap * sizeof(*r->records));

			if (!p) {
				net_fail(lab->net, "no memory for the record of events");
				return;
			}
			r->records = p;
			r->cap = cap;
		}
		n = cpl_trace_read(end->host->stack, &r->cursor, r->records + r->n, 256, &lost);
		/* On the network's clock: both ends' times compare. */
		for (int i = 0; i < n; i++)
			r->records[r->n + (size_t)i].time -= end->host->clock;
		r->n += n > 0 ? (size_t)n : 0;
		r->lost += lost;
	} while (n == 256);
}

/* Half of the file has arrived, and more is on its way; or as near to that as a short file comes:
 * the one segment that completes the handshake carries all of it. */
static void look_for_middle(struct lab *lab, const struct cpl_info end[2])
{
	bool half = lab->end[LAB_SERVER].done >= lab->size / 2;
	struct lab_moment m;

	if (lab->middle_found || (!half && lab->instants > EARLY))
		return;
	if (end[0].state != CPL_ESTABLISHED ||
	    (end[1].state != CPL_ESTABLISHED && end[1].state != CPL_SYN_RECEIVED))
		return;
	lab_look(lab, &m);
	if (m.wire_bytes[LAB_CLIENT] == 0)
		return;
	lab->middle = m;
	lab->has_middle = true;
	lab->middle_found = half;
}

static void settled(struct lab *lab)
{
	struct cpl_info end[2];
	const char *what;

	for (unsigned side = 0; side < 2; side++)
		records_read(lab, &lab->end[side]);
	lab->instants++;
	if (!lab_info(lab, 0, &end[0]) || !lab_info(lab, 1, &end[1]))
		return;
	look_for_middle(lab, end);
	lab->compared++;
	what = oracle_pair(&end[0], &end[1]);
	if (!what)
		what = oracle_pair(&end[1], &end[0]);
	if (what && lab->broken++ == 0)
		snprintf(lab->broken_what, sizeof(lab->broken_what), "%s", what);
}

static void see(void *ctx, const struct net_sight *sight)
{
	if (sight->what == NET_SETTLED)
		settled(ctx);
}

bool lab_run(struct lab *lab, bool (*until)(const struct lab *lab), uint64_t limit)
{
	while (!until || !until(lab))
		if (!net_step(lab->net, limit)) {
			if (!lab->net->failed && lab->net->now < limit && limit != UINT64_MAX)
				lab->net->now = limit;
			return false;
		}
	return true;
}

bool lab_is_over(const struct lab *lab)
{
	return lab->end[0].closed && lab->end[1].closed;
}

bool lab_is_established(const struct lab *lab)
{
	return lab->end[0].open && lab->end[1].open;
}

bool lab_is_right(const struct lab *lab)
{
	char a[SHA256_TEXT], b[SHA256_TEXT];

	sha256_text(&lab->end[0].sha, a);
	sha256_text(&lab->end[1].sha, b);
	return !lab->net->failed && lab->end[LAB_SERVER].done == lab->size && strcmp(a, b) == 0 &&
	       lab->broken == 0;
}

/* ---- Making --------------------------------------------------------------------------------- */

static void make_host(struct lab *lab, unsigned side)
{
	const struct lab_config *c = &lab->config;
	struct cpl_iface_config iface = { .kind = CPL_IFACE_IP,
					  .mtu = c->mtu,
					  .flags = CPL_IFACE_NO_DAD };
	struct lab_end *end = &lab->end[side];
	struct cpl_config config;

	cpl_config_init(&config);
	config.conns_max = 64;
	config.trace_records = RING;
	config.sack = !c->no_sack;
	config.timestamps = !c->no_timestamps;
	config.window_scaling = !c->no_window_scaling;
	if (c->cc[0])
		snprintf(config.cc_name, sizeof(config.cc_name), "%s", c->cc);
	end->lab = lab;
	end->side = side;
	end->reads = end->closes = true;
	end->writes_to = UINT64_MAX;
	end->host = net_host_add(lab->net, side == LAB_CLIENT ? "client" : "server", &config);
	end->host->clock = (side + 1) * 1000 * CPL_SECOND;
	sha256_init(&end->sha);
	lab->address[side].addr =
		c->ipv6 ? (struct cpl_addr){ { 0xfd, [15] = (uint8_t)(side + 1) } }
			: cpl_addr4(10, 0, 0, (uint8_t)(side + 1));
	net_addr_add(net_iface_add(end->host, &iface), &lab->address[side].addr, c->ipv6 ? 64 : 24);
	end->host->ifaces[0].batch = 1; /* each segment is seen by itself */
	net_link_join(lab->link, &end->host->ifaces[0]);
}

int lab_init(struct lab *lab, const struct lab_config *config, char error[LAB_ERROR])
{
	int r;

	memset(lab, 0, sizeof(*lab));
	lab->config = *config;
	r = file_open(lab, error);
	if (r)
		return r;
	lab->net = net_new(config->seed);
	lab->net->program = (struct net_program){ lab, on_event, on_restart };
	lab->link = net_link_add(lab->net, false, &config->wire);
	make_host(lab, LAB_CLIENT);
	make_host(lab, LAB_SERVER);
	net_wire(lab->link, lab->end[1].host, lab->end[0].host)->params.drop_data_n = 0;
	lab->address[LAB_SERVER].port = LAB_PORT;
	net_observe(lab->net, see, lab);
	for (unsigned side = 0; side < 2; side++) {
		r = net_host_start(lab->end[side].host);
		if (r) {
			snprintf(error, LAB_ERROR, "cannot make a stack: %s", strerror(-r));
			return r;
		}
	}
	server_listen(lab);
	/* What the listener's making left in the ring is no part of the connection. */
	lab_run(lab, NULL, 0);
	for (unsigned side = 0; side < 2; side++) {
		records_read(lab, &lab->end[side]);
		lab->end[side].records.n = 0;
	}
	return 0;
}

void lab_free(struct lab *lab)
{
	if (lab->net)
		net_free(lab->net);
	for (unsigned side = 0; side < 2; side++)
		free(lab->end[side].records.records);
	if (lab->file)
		fclose(lab->file);
}
