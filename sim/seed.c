/* SPDX-License-Identifier: MIT */
/* Drawing a network from a seed: see seed.h. What becomes of it stands in play.c. */
#include "sim/seed.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sim/draw.h"

#define MS    CPL_MS
#define PORT  2000
#define FIRST 20000 /* clients' own ports, where they are fixed */

static uint64_t below(struct seed_run *run, uint64_t bound)
{
	return draw_below(draw_at(run->seed, ++run->draws, 0), bound);
}

/* LOW to HIGH, both included. */
static uint64_t from_to(struct seed_run *run, uint64_t low, uint64_t high)
{
	return low + below(run, high - low + 1);
}

static bool percent(struct seed_run *run, unsigned share)
{
	return below(run, 100) < share;
}

/* LOW to HIGH, small ones as likely as large ones. */
static uint64_t any_size(struct seed_run *run, uint64_t low, uint64_t high)
{
	uint64_t most = low + 1;

	while (most < high && percent(run, 93))
		most *= 2;
	return from_to(run, low, most < high ? most : high);
}

__attribute__((format(printf, 2, 3))) static void note(struct seed_run *run, const char *format,
						       ...)
{
	size_t n = strlen(run->text);
	va_list ap;

	va_start(ap, format);
	vsnprintf(run->text + n, sizeof(run->text) - n, format, ap);
	va_end(ap);
}

/* ---- The link ------------------------------------------------------------------------------- */

static void draw_trouble(struct seed_run *run, struct wire_params *p)
{
	unsigned kinds = (unsigned)from_to(run, 1, 3);

	for (unsigned i = 0; i < kinds; i++) {
		switch (below(run, 7)) {
		case 0:
		case 1:
			p->loss = (double)from_to(run, 1, 100) / 1000;
			break;
		case 2:
			p->burst_enter = (double)from_to(run, 1, 20) / 1000;
			p->burst_leave = (double)from_to(run, 10, 50) / 100;
			p->burst_loss = (double)from_to(run, 50, 100) / 100;
			break;
		case 3:
			p->jitter_ns = from_to(run, 1, 30) * MS;
			break;
		case 4:
			p->reorder = (double)from_to(run, 1, 200) / 1000;
			p->reorder_ns = from_to(run, 1, 40) * MS;
			break;
		case 5:
			p->duplicate = (double)from_to(run, 1, 200) / 1000;
			break;
		default:
			p->corrupt = (double)from_to(run, 1, 60) / 1000;
			break;
		}
	}
}

static struct wire_params draw_wire(struct seed_run *run)
{
	struct wire_params p = { .delay_ns = any_size(run, 0, 200) * MS };

	if (percent(run, 70))
		draw_trouble(run, &p);
	if (percent(run, 40)) {
		p.rate_bps = from_to(run, 1, 50) * 1000000;
		p.queue_bytes = (uint32_t)from_to(run, 3000, 100000);
		if (percent(run, 50))
			p.ecn_bytes = p.queue_bytes / (uint32_t)from_to(run, 2, 6);
	}
	if (percent(run, 15)) {
		p.drop_data_n = (unsigned)from_to(run, 1, 5);
		for (unsigned i = 0; i < p.drop_data_n; i++)
			p.drop_data[i] = (uint32_t)from_to(run, 1, 40);
	}
	if (percent(run, 15)) {
		p.down_n = 1;
		p.down[0].from = run->start + from_to(run, 0, 3000) * MS;
		p.down[0].to = p.down[0].from + from_to(run, 10, 15000) * MS;
		if (p.down[0].to > run->healed)
			run->healed = p.down[0].to;
	}
	note(run,
	     "link: delay %llu ms jitter %llu loss %.3f burst %.3f/%.2f/%.2f reorder %.3f +%llu "
	     "dup %.3f corrupt %.3f rate %llu queue %u drops %u down %u\n",
	     (unsigned long long)(p.delay_ns / MS), (unsigned long long)(p.jitter_ns / MS), p.loss,
	     p.burst_enter, p.burst_leave, p.burst_loss, p.reorder,
	     (unsigned long long)(p.reorder_ns / MS), p.duplicate, p.corrupt,
	     (unsigned long long)p.rate_bps, p.queue_bytes, p.drop_data_n, p.down_n);
	return p;
}

/* ---- Hosts ---------------------------------------------------------------------------------- */

static void draw_config(struct seed_run *run, struct cpl_config *c)
{
	cpl_config_init(c);
	c->memory_max = percent(run, 90) ? 64u << 20 : from_to(run, 1500000, 6000000);
	c->conns_max = 1024;
	c->half_open_max = 256;
	c->time_wait_max = 256;
	c->timestamps = percent(run, 80);
	c->sack = percent(run, 80);
	c->window_scaling = percent(run, 80);
	c->time_wait_ns = any_size(run, 1, 60) * CPL_SECOND;
	c->r2_ns = from_to(run, 924, 2000) * CPL_SECOND;
	c->r2_syn_ns = 600 * CPL_SECOND;
	c->synack_retries = 8; /* a lost ACK and a long partition must not end a handshake */
	c->delack_ns = from_to(run, 1, 200) * MS;
	if (percent(run, 30)) {
		c->sndbuf = c->sndbuf_max = (uint32_t)from_to(run, 4096, 65536);
		c->rcvbuf = c->rcvbuf_max = (uint32_t)from_to(run, 4096, 65536);
	}
	c->syncookies = percent(run, 80)   ? CPL_SYNCOOKIES_WHEN_FULL
			: percent(run, 60) ? CPL_SYNCOOKIES_ALWAYS
					   : CPL_SYNCOOKIES_NEVER;
	c->initial_window = (uint32_t)from_to(run, 1, 10);
	c->trace_records = percent(run, 30) ? 256 : 0;
	snprintf(c->cc_name, sizeof(c->cc_name), "%s",
		 percent(run, 50)   ? "cubic"
		 : percent(run, 50) ? "reno"
		 : percent(run, 70) ? "bbr"
				    : "dctcp");
	c->ecn = (uint8_t)from_to(run, CPL_ECN_NEVER, CPL_ECN_ACCURATE_PASSIVE);
	c->ecn_option = (uint8_t)from_to(run, CPL_ECN_OPTION_NEVER, CPL_ECN_OPTION_FULL);
}

/* Draws of its own: the others' stay as they are. */
static void draw_more_config(struct seed_run *run, struct cpl_config *c, unsigned host)
{
	uint64_t x = draw_at(run->seed, host, 20);

	c->fastopen = CPL_FASTOPEN_CLIENT | CPL_FASTOPEN_SERVER;
	if (x % 3 == 0)
		c->fastopen |= CPL_FASTOPEN_SERVER_NO_COOKIE;
	if (x / 3 % 3 == 0)
		c->fastopen |= CPL_FASTOPEN_CLIENT_NO_COOKIE;
	if (x / 9 % 8 == 0)
		c->fastopen = 0;
	c->fastopen_blackhole_ns = x / 72 % 2 ? 0 : 5 * CPL_SECOND;
	c->fastopen_cache = x / 144 % 4 ? 16 : 0;
	if (x / 576 % 4 == 0)
		c->notsent_lowat = 1 + (uint32_t)(x / 2304 % 20000);
	x = draw_at(run->seed, host, 22);
	if (x % 3) /* a connection rests after a while, soon, or at once */
		c->quiet_ns = x % 3 == 1 ? (x / 3 % 500 + 1) * MS : x / 3 % 2000000 + 1;
}

static void draw_fastopen(struct seed_run *run, struct talk *talk, unsigned n)
{
	uint64_t x = draw_at(run->seed, n, 21);
	struct app_plan *client = &talk->app[0].plan, *server = &talk->app[1].plan;

	if (x % 4)
		return;
	server->fastopen = x / 4 % 8 ? APP_FASTOPEN_DATA : APP_FASTOPEN_OFF;
	if (!(talk->app[0].host->config.fastopen & CPL_FASTOPEN_CLIENT) ||
	    !(talk->app[1].host->config.fastopen & CPL_FASTOPEN_CLIENT))
		return;
	client->fastopen = APP_FASTOPEN_DATA;
	if (x / 32 % 3 == 0 && (client->send_bytes || client->style == APP_REQUEST) &&
	    client->style != APP_SINK && client->urgent_at != 1)
		client->fastopen = APP_FASTOPEN_CONNECT;
	if (talk->simultaneous)
		server->fastopen = APP_FASTOPEN_DATA;
	run->strict[n] = false; /* a SYN that comes twice may be accepted twice */
	if (x / 96 % 2 && !talk->simultaneous) {
		talk->repeats = 1 + (unsigned)(x / 192 % 4); /* the first brings the cookie */
		talk->repeat_ns = x / 768 % 2000 * MS;
	}
	note(run, "talk %u: fast open %d/%d repeats %u\n", n, client->fastopen, server->fastopen,
	     talk->repeats);
}

static struct net_host *draw_host(struct seed_run *run, unsigned n)
{
	char name[2] = { (char)('a' + n), 0 };
	struct cpl_config config;
	struct net_host *host;

	draw_config(run, &config);
	draw_more_config(run, &config, n);
	host = net_host_add(run->net, name, &config);
	host->clock = below(run, 1ull << 50);
	host->lend = percent(run, 40) ? 1 : percent(run, 30) ? 0.5 : 0;
	host->verified = percent(run, 20);
	host->gather_ns = percent(run, 40) ? any_size(run, 1, 1000) * 1000 : 0;
	if (percent(run, 30))
		host->timer_slack_ns = any_size(run, 1, 20) * MS;
	if (config.memory_max < 16u << 20)
		run->forgiving = true;
	note(run,
	     "%s: ts %u sack %u ws %u snd %u/%u rcv %u/%u iw %u cookies %u %s ecn %u/%u slack %llu "
	     "ms, "
	     "gathers %llu us, memory %llu quiet %llu us\n",
	     name, config.timestamps, config.sack, config.window_scaling, config.sndbuf,
	     config.sndbuf_max, config.rcvbuf, config.rcvbuf_max, config.initial_window,
	     config.syncookies, config.cc_name, config.ecn, config.ecn_option,
	     (unsigned long long)(host->timer_slack_ns / MS),
	     (unsigned long long)(host->gather_ns / 1000), (unsigned long long)config.memory_max,
	     (unsigned long long)(config.quiet_ns / 1000));
	return host;
}

static struct cpl_addr host_addr(unsigned n, bool ipv6)
{
	struct cpl_addr a = cpl_addr4(10, 0, 0, (uint8_t)(n + 1));

	if (ipv6)
		a = (struct cpl_addr){ { 0xfd, [15] = (uint8_t)(n + 1) } };
	return a;
}

static void draw_iface(struct seed_run *run, struct net_host *host, struct net_link *link,
		       uint32_t mtu, bool quick)
{
	struct cpl_iface_config c = { .kind = link->ether ? CPL_IFACE_ETHER : CPL_IFACE_IP,
				      .mtu = mtu };
	struct net_iface *iface;
	unsigned device = (unsigned)below(run, 4);
	struct cpl_addr a4 = host_addr(host->index, false), a6 = host_addr(host->index, true);

	if (percent(run, 10) && mtu > 1500)
		c.mtu = 1500;
	if (device >= 1)
		c.flags |= CPL_IFACE_CSUM_OUT;
	if (device >= 2)
		c.flags |= CPL_IFACE_GSO4 | CPL_IFACE_GSO6;
	if (quick)
		c.flags |= CPL_IFACE_NO_DAD;
	c.gso_max = device >= 2 ? (uint32_t)from_to(run, 4000, 65000) : 0;
	iface = net_iface_add(host, &c);
	iface->uncut = device >= 1 && percent(run, 30);
	net_addr_add(iface, &a4, 24);
	if (c.mtu >= 1280)
		net_addr_add(iface, &a6, 64);
	if (percent(run, 40))
		iface->hold_ns = any_size(run, 1, 5) * MS;
	if (percent(run, 15)) {
		iface->refuse = (double)from_to(run, 1, 30) / 100;
		iface->refuse_until = run->start + 20 * CPL_SECOND;
	}
	net_link_join(link, iface);
	note(run, "%s: mtu %u flags %x gso %u uncut %d hold %llu ms refuse %.2f\n", host->name,
	     c.mtu, c.flags, c.gso_max, iface->uncut, (unsigned long long)(iface->hold_ns / MS),
	     iface->refuse);
}

/* ---- Programs ------------------------------------------------------------------------------- */

static void draw_manners(struct seed_run *run, struct app_plan *p)
{
	if (percent(run, 20))
		p->write_size = (uint32_t)any_size(run, 1, 4000);
	if (percent(run, 15))
		p->write_gap_ns = any_size(run, 1, 300) * MS;
	if (percent(run, 20))
		p->read_size = (uint32_t)any_size(run, 1, 4000);
	if (percent(run, 15))
		p->read_gap_ns = any_size(run, 1, 200) * MS;
	if (percent(run, 10))
		p->read_from_ns = from_to(run, 1, 20000) * MS;
	p->nodelay = percent(run, 30);
	p->cork = !p->nodelay && percent(run, 10);
	p->quickack = percent(run, 10);
	if (percent(run, 10))
		p->rcvbuf = (uint32_t)from_to(run, 2048, 20000);
	if (percent(run, 10))
		p->sndbuf = (uint32_t)from_to(run, 2048, 20000);
	if (percent(run, 10))
		p->maxseg = (uint32_t)from_to(run, 88, 1460);
	if (percent(run, 30))
		snprintf(p->cc, sizeof(p->cc), "%s",
			 percent(run, 40)   ? "reno"
			 : percent(run, 40) ? "cubic"
			 : percent(run, 50) ? "dctcp"
					    : "bbr");
	/* Tiny steps with pauses would take hours. */
	if (p->read_gap_ns && p->read_size && p->read_size < 200)
		p->read_size = 200;
	if (p->write_gap_ns && p->write_size && p->write_size < 200)
		p->write_size = 200;
}

static void draw_styles(struct seed_run *run, struct app_plan *c, struct app_plan *s)
{
	uint64_t most = percent(run, 6) ? 4000000 : 300000;

	switch (below(run, 6)) {
	case 0: /* upload */
		c->style = APP_SOURCE;
		c->end = percent(run, 50) ? APP_END_CLOSE : APP_END_SHUTDOWN;
		break;
	case 1: /* download */
		s->style = APP_SOURCE;
		s->end = percent(run, 50) ? APP_END_CLOSE : APP_END_SHUTDOWN;
		break;
	case 2:
		c->style = APP_SOURCE;
		s->style = APP_ECHO;
		most /= 2;
		break;
	case 3:
		c->style = APP_REQUEST;
		c->end = percent(run, 50) ? APP_END_CLOSE : APP_END_SHUTDOWN;
		s->style = APP_RESPOND;
		c->rounds = s->rounds = (uint32_t)from_to(run, 1, 20);
		c->request_bytes = s->request_bytes = (uint32_t)any_size(run, 1, 3000);
		c->response_bytes = s->response_bytes = (uint32_t)any_size(run, 1, 6000);
		break;
	default: /* both ways, each closes its side */
		c->style = s->style = APP_SOURCE;
		most /= 2;
		break;
	}
	c->send_bytes = percent(run, 5) ? 0 : any_size(run, 1, most);
	s->send_bytes = percent(run, 5) ? 0 : any_size(run, 1, most);
	if (c->style == APP_SOURCE && c->send_bytes && s->style != APP_ECHO && percent(run, 15)) {
		c->urgent_at = from_to(run, 1, c->send_bytes);
		s->urgent_inline = percent(run, 50);
	}
}

static void draw_abrupt(struct seed_run *run, struct app_plan *p)
{
	p->end = percent(run, 50) ? APP_END_ABORT : APP_END_LEAVE;
	p->end_at = below(run, 5000);
}

/* A slow reader of much would take hours. */
static void limit_slow(struct app_plan *reader, struct app_plan *writer)
{
	uint64_t size = reader->read_size ? reader->read_size : 16384;
	uint64_t n = writer->send_bytes +
		     (uint64_t)writer->rounds * (writer->request_bytes + writer->response_bytes);

	if (reader->style == APP_ECHO || writer->style == APP_ECHO)
		n *= 2;
	if (reader->read_gap_ns && n / size * reader->read_gap_ns > 60 * CPL_SECOND)
		reader->read_gap_ns = 60 * CPL_SECOND / (n / size);
	size = writer->write_size ? writer->write_size : 16384;
	if (writer->write_gap_ns && n / size * writer->write_gap_ns > 60 * CPL_SECOND)
		writer->write_gap_ns = 60 * CPL_SECOND / (n / size);
}

static void draw_talk(struct seed_run *run, unsigned n, bool restarts)
{
	unsigned c = (unsigned)below(run, run->net->hosts_n), s, both6;
	struct net_host *client = run->net->hosts[c], *server;
	struct app_plan cp = { 0 }, sp = { 0 };
	struct cpl_endpoint from = { .port = 0 }, to = { 0 };
	bool abrupt = percent(run, 12), cookies;
	struct talk *talk;

	s = (unsigned)((c + 1 + below(run, run->net->hosts_n - 1)) % run->net->hosts_n);
	server = run->net->hosts[s];
	both6 = client->ifaces[0].addrs_n > 1 && server->ifaces[0].addrs_n > 1;
	both6 = both6 && percent(run, 50);
	from.addr = host_addr(c, both6);
	to.addr = host_addr(s, both6);
	to.port = (uint16_t)(PORT + n);
	draw_manners(run, &cp);
	draw_manners(run, &sp);
	draw_styles(run, &cp, &sp);
	if (abrupt)
		draw_abrupt(run, percent(run, 50) ? &cp : &sp);
	limit_slow(&cp, &sp);
	limit_slow(&sp, &cp);
	cookies = server->config.syncookies == CPL_SYNCOOKIES_ALWAYS || run->attack.flood;
	/* Whose peer may be gone, or never there (a lost ACK to a cookie), must ask. */
	if (restarts || cookies || run->forgiving || abrupt || percent(run, 10))
		cp.keep_idle_ns = sp.keep_idle_ns = from_to(run, 2, 10) * CPL_SECOND;
	talk = talk_add(&run->apps, client, &from, server, &to, &cp, &sp,
			run->start + any_size(run, 0, 3000) * MS);
	talk->simultaneous = percent(run, 8);
	if (talk->simultaneous)
		talk->address[0].port = (uint16_t)(FIRST + n);
	if (!talk->simultaneous && percent(run, 12)) {
		talk->repeats = (unsigned)from_to(run, 1, 4);
		talk->repeat_ns = any_size(run, 0, 3000) * MS;
		if (percent(run, 70))
			talk->address[0].port = (uint16_t)(FIRST + n);
	}
	run->strict[n] = !abrupt && !restarts && !run->forgiving && !cookies && !talk->simultaneous;
	draw_fastopen(run, talk, n);
	note(run,
	     "talk %u: %s -> %s v%d style %d/%d send %llu/%llu end %d/%d at %llu/%llu "
	     "urgent %llu start %llu ms repeats %u%s%s\n",
	     n, client->name, server->name, both6 ? 6 : 4, cp.style, sp.style,
	     (unsigned long long)cp.send_bytes, (unsigned long long)sp.send_bytes, cp.end, sp.end,
	     (unsigned long long)cp.end_at, (unsigned long long)sp.end_at,
	     (unsigned long long)cp.urgent_at, (unsigned long long)(talk->start / MS),
	     talk->repeats, talk->simultaneous ? " simultaneous" : "",
	     run->strict[n] ? " strict" : "");
}

static void draw_datagrams(struct seed_run *run)
{
	struct net_host *client = run->net->hosts[0], *server = run->net->hosts[1];
	bool ipv6 =
		client->ifaces[0].addrs_n > 1 && server->ifaces[0].addrs_n > 1 && percent(run, 50);
	struct gram *g = &run->gram;

	if (!percent(run, 25))
		return;
	*g = (struct gram){ .net = run->net,
			    .client = client,
			    .server = server,
			    .from = { .addr = host_addr(0, ipv6) },
			    .to = { .addr = host_addr(1, ipv6), .port = PORT },
			    .seed = draw_mix(run->seed + 1),
			    .count = (uint32_t)from_to(run, 1, 20),
			    .size_max = (uint32_t)any_size(run, 4, GRAM_MAX),
			    .gap_ns = any_size(run, 1, 500) * MS };
	gram_start(g, run->start + 100 * MS);
	note(run, "datagrams: %u up to %u octets over v%d\n", g->count, g->size_max, ipv6 ? 6 : 4);
}

/* ---- Faults --------------------------------------------------------------------------------- */

static void restart(void *ctx, uint64_t arg)
{
	(void)arg;
	net_host_restart(ctx);
}

static void freeze(void *ctx, uint64_t until)
{
	net_host_freeze(ctx, until);
}

static void iface_down(void *ctx, uint64_t arg)
{
	struct net_host *host = ctx;

	cpl_iface_set_up(host->stack, host->ifaces[0].ifindex, arg != 0, net_clock(host));
	net_touch(host);
}

static void iface_up(void *ctx, uint64_t arg)
{
	(void)arg;
	iface_down(ctx, 1);
}

static void dead_from(struct wire *wire, uint64_t at)
{
	wire->params.down[wire->params.down_n++] = (struct wire_span){ at, UINT64_MAX };
}

static void path_mtu(void *ctx, uint64_t mtu)
{
	struct net_link *link = ctx;

	for (unsigned i = 0; i < link->ports; i++)
		for (unsigned k = 0; k < link->ports; k++)
			link->wire[i][k].params.mtu = (uint32_t)mtu;
}

/* The path's MTU changes on the way, and what does not fit is dropped with a word or without. */
static void draw_path(struct seed_run *run, struct net_link *link, uint32_t mtu)
{
	uint64_t x = draw_at(run->seed, 0, 22);

	if (mtu <= 1280)
		return;
	if (x % 8 == 0) {
		link->mtu_answer = false;
		note(run, "path: what is too big vanishes\n");
	}
	for (unsigned i = 0; x / 8 % 8 == 0 && i < 1 + x / 64 % 2; i++) {
		uint64_t y = draw_at(run->seed, i, 23), at = run->start + y % 4000 * MS;
		uint32_t to = 1280 + (uint32_t)(y / 4000 % (mtu - 1280));

		net_at(run->net, at, path_mtu, link, to);
		note(run, "path: mtu %u from %llu ms on\n", to, (unsigned long long)(at / MS));
	}
}

static bool draw_faults(struct seed_run *run)
{
	struct net *net = run->net;
	struct net_host *host = net->hosts[below(run, net->hosts_n)];
	uint64_t at = run->start + any_size(run, 1, 4000) * MS, until;
	bool restarts = percent(run, 8);

	if (restarts) {
		net_at(net, at, restart, host, 0);
		note(run, "fault: %s restarts at %llu ms\n", host->name,
		     (unsigned long long)(at / MS));
	}
	if (percent(run, 4)) {
		/* For good: what is not delivered by then never will be; all must give up. */
		for (unsigned i = 0; i < net->hosts_n; i++)
			for (unsigned k = 0; k < net->hosts_n; k++)
				dead_from(net_wire(net->links[0], net->hosts[i], net->hosts[k]),
					  at);
		note(run, "fault: the link is dead from %llu ms on\n",
		     (unsigned long long)(at / MS));
		restarts = true;
	}
	if (percent(run, 10)) {
		until = at + any_size(run, 1, 3000) * MS;
		net_at(net, at, freeze, host, until);
		note(run, "fault: %s sleeps from %llu to %llu ms\n", host->name,
		     (unsigned long long)(at / MS), (unsigned long long)(until / MS));
	}
	if (percent(run, 6)) {
		until = at + any_size(run, 1, 3000) * MS;
		net_at(net, at, iface_down, host, 0);
		net_at(net, until, iface_up, host, 0);
		note(run, "fault: %s's interface is down from %llu to %llu ms\n", host->name,
		     (unsigned long long)(at / MS), (unsigned long long)(until / MS));
	}
	if (percent(run, 15)) {
		run->attack = (struct attack){ .net = net,
					       .seed = draw_mix(run->seed),
					       .from = run->start + 100 * MS,
					       .until = run->start + 10 * CPL_SECOND,
					       .gap_ns = any_size(run, 1, 50) * MS,
					       .flood = percent(run, 40) };
		attack_start(&run->attack);
		note(run, "fault: forged packets every %llu ms%s\n",
		     (unsigned long long)(run->attack.gap_ns / MS),
		     run->attack.flood ? ", and SYNs" : "");
	}
	if (percent(run, 12)) {
		run->forgiving = true;
		host->alloc_fail = (double)from_to(run, 5, 100) / 100;
		host->alloc_fail_until = run->start + from_to(run, 1, 10000) * MS;
		note(run, "fault: %s cannot allocate: %.2f to %llu ms\n", host->name,
		     host->alloc_fail, (unsigned long long)(host->alloc_fail_until / MS));
	}
	return restarts;
}

/* ---- All of it ------------------------------------------------------------------------------ */

static int start_hosts(struct seed_run *run)
{
	for (unsigned i = 0; i < run->net->hosts_n; i++) {
		struct net_host *host = run->net->hosts[i];
		double fail = host->alloc_fail;
		int r;

		host->alloc_fail = 0;
		while ((r = net_host_start(host)) == -ENOMEM && host->config.memory_max < 64u << 20)
			host->config.memory_max += 1u << 20; /* less than a stack needs */
		host->alloc_fail = fail;
		if (r) {
			net_fail(run->net, "%s: cannot start: %d", host->name, r);
			return -1;
		}
	}
	return 0;
}

int seed_make(struct seed_run *run, uint64_t seed)
{
	static const uint32_t mtus[] = { 1500, 1500, 1500, 1500, 1280, 1400, 9000, 576, 65535 };
	struct wire_params params;
	struct net_link *link;
	unsigned hosts, talks;
	bool quick, restarts;
	uint32_t mtu;

	memset(run, 0, sizeof(*run));
	run->seed = seed;
	run->net = net_new(draw_mix(seed));
	run->net->steps_max = 3000000;
	apps_init(&run->apps, run->net);
	oracle_init(&run->oracle, run->net, &run->apps);
	quick = percent(run, 70);
	run->start = quick ? 0 : 4 * CPL_SECOND; /* addresses are usable after DAD */
	hosts = percent(run, 85) ? 2 : 3;
	params = draw_wire(run);
	mtu = mtus[below(run, sizeof(mtus) / sizeof(mtus[0]))];
	if (mtu > 1280 && percent(run, 12)) {
		params.mtu = (uint32_t)from_to(run, 1280, mtu - 1);
		note(run, "path: mtu %u\n", params.mtu);
	}
	link = net_link_add(run->net, hosts > 2 || percent(run, 60), &params);
	link->mtu_answer = true;
	for (unsigned i = 0; i < hosts; i++)
		draw_iface(run, draw_host(run, i), link, mtu, quick);
	/* The way back may differ. */
	if (percent(run, 30)) {
		params = draw_wire(run);
		params.ether = link->ether;
		wire_init(&link->wire[1][0], &params, draw_at(seed, 1, 9));
	}
	draw_path(run, link, mtu);
	restarts = draw_faults(run);
	talks = (unsigned)from_to(run, 1, 4);
	for (unsigned i = 0; i < talks; i++)
		draw_talk(run, i, restarts);
	draw_datagrams(run);
	return start_hosts(run);
}
