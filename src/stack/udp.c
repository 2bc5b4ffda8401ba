/* SPDX-License-Identifier: MIT */
/* UDP sockets (RFC 768, RFC 1122 4.1), and the catch-all for embedders. */
#include "stack/sockets.h"

static struct list *udp_bucket(struct cpl_stack *s, uint16_t port)
{
	return &s->udp_ports[port % UDP_BUCKETS];
}

static bool udp_covers(const struct udp_socket *u, const struct cpl_addr *addr)
{
	const struct cpl_addr *own = &u->local.addr;

	if (cpl_addr_equal(own, addr))
		return true;
	if (!addr_is_any(own))
		return false;
	return cpl_addr_is4(own) ? cpl_addr_is4(addr) : !(u->v6only && cpl_addr_is4(addr));
}

/* How well U suits a datagram from FROM to TO: the most that is said of both wins; 0: not at all.
 */
static unsigned udp_rank(const struct udp_socket *u, const struct cpl_endpoint *to,
			 const struct cpl_endpoint *from)
{
	if (u->local.port != to->port || !udp_covers(u, &to->addr))
		return 0;
	if (u->local.ifindex && to->ifindex && u->local.ifindex != to->ifindex)
		return 0;
	if (u->remote.port &&
	    (u->remote.port != from->port || !cpl_addr_equal(&u->remote.addr, &from->addr)))
		return 0;
	return 1u + cpl_addr_is4(&u->local.addr) + (addr_is_any(&u->local.addr) ? 0 : 4) +
	       (u->remote.port ? 8 : 0) + (u->local.ifindex ? 4 : 0);
}

/* SO_REUSEPORT: those of the same rank have each their share, by a hash of the addresses. */
static struct udp_socket *udp_share(struct cpl_stack *s, const struct cpl_endpoint *to,
				    const struct cpl_endpoint *from, unsigned rank, unsigned n)
{
	struct conn_id id = { to->addr, from->addr, to->port, from->port };
	unsigned turn = (unsigned)(siphash13(&s->key, &id, sizeof(id)) % n);
	struct list *pos;

	list_for_each (pos, udp_bucket(s, to->port)) {
		struct udp_socket *u = container_of(pos, struct udp_socket, link);

		if (u->reuseport && udp_rank(u, to, from) == rank && !turn--)
			return u;
	}
	return NULL;
}

struct udp_socket *udp_for(struct cpl_stack *s, const struct cpl_endpoint *to,
			   const struct cpl_endpoint *from)
{
	struct udp_socket *best = NULL;
	unsigned best_rank = 0, share = 0;
	struct list *pos;

	list_for_each (pos, udp_bucket(s, to->port)) {
		struct udp_socket *u = container_of(pos, struct udp_socket, link);
		unsigned rank = udp_rank(u, to, from);

		if (rank > best_rank) {
			best = u;
			best_rank = rank;
			share = 0;
		}
		share += rank && rank == best_rank && u->reuseport;
	}
	if (best && best->reuseport && share > 1)
		return udp_share(s, to, from, best_rank, share);
	if (best)
		return best;
	return s->udp_catch_all[to->ifindex] ? s->udp_catch_all[to->ifindex] : s->udp_catch_all[0];
}

struct udp_socket *udp_find(struct cpl_stack *s, cpl_handle h)
{
	struct udp_socket *u;

	if (handle_kind(h) != KIND_UDP)
		return NULL;
	u = pool_at(&s->udp_sockets, handle_index(h));
	return u && u->gen == h >> 32 ? u : NULL;
}

static cpl_handle udp_handle(const struct cpl_stack *s, const struct udp_socket *u)
{
	return handle_make(KIND_UDP, pool_index(&s->udp_sockets, u), u->gen);
}

static uint32_t datagram_memory(const struct udp_datagram *d)
{
	return (uint32_t)(sizeof(*d) + d->data.memory);
}

static void datagram_free(struct cpl_stack *s, struct udp_socket *u, struct udp_datagram *d)
{
	list_del(&d->link);
	u->queued -= (uint32_t)d->data.bytes;
	u->memory -= datagram_memory(d);
	chunkq_clear(&d->data, &s->chunks);
	pool_free(&s->datagrams, d);
}

/* ---- in ---- */

static bool udp_queue(struct cpl_stack *s, struct udp_socket *u, const struct packet *pkt,
		      const struct udp_hdr *h, uint64_t now)
{
	const uint8_t *data = pkt->p + pkt->ip.hlen + UDP_HLEN;
	uint32_t len = h->len - UDP_HLEN;
	struct udp_datagram *d;

	if (u->memory + len > u->rcvbuf)
		return false;
	d = pool_alloc(&s->datagrams, NULL);
	if (!d)
		return false;
	memset(d, 0, sizeof(*d));
	chunkq_init(&d->data);
	d->from.addr = pkt->ip.src;
	d->from.port = h->sport;
	d->to.addr = pkt->ip.dst;
	d->to.port = h->dport;
	d->from.ifindex = addr_is_link_local(&pkt->ip.src) ? (uint32_t)pkt->ifindex : 0;
	d->to.ifindex = (uint32_t)pkt->ifindex;
	d->time = now;
	d->tos = pkt->ip.tos;
	d->ttl = pkt->ip.ttl;
	if (len && chunkq_append(&d->data, &s->chunks, data, len) != len) {
		chunkq_clear(&d->data, &s->chunks);
		pool_free(&s->datagrams, d);
		return false;
	}
	list_push_back(&u->queue, &d->link);
	u->queued += len;
	u->memory += datagram_memory(d);
	if (!list_linked(&u->event))
		list_push_back(&s->udp_events, &u->event);
	return true;
}

void udp_input(struct cpl_stack *s, const struct packet *pkt, uint64_t now)
{
	const uint8_t *p = pkt->p + pkt->ip.hlen;
	struct udp_socket *u;
	struct udp_hdr h;

	if (!udp_parse(p, pkt->ip.len - pkt->ip.hlen, &pkt->ip.src, &pkt->ip.dst, pkt->csum_ok,
		       &h)) {
		s->counters.drop_udp_bad++;
		return;
	}
	u = udp_for(s, &(struct cpl_endpoint){ pkt->ip.dst, h.dport, 0, (uint32_t)pkt->ifindex },
		    &(struct cpl_endpoint){ pkt->ip.src, h.sport, 0, 0 });
	if (!u) {
		s->counters.drop_udp_no_port++;
		icmp_error(s, pkt, ICMP_ERR_PORT, 0, 0, now);
		return;
	}
	if (udp_queue(s, u, pkt, &h, now)) {
		s->counters.datagrams_in++;
		return;
	}
	u->drops++;
	s->counters.drop_udp_full++;
}

bool udp_next_event(struct cpl_stack *s, struct cpl_event *event)
{
	struct udp_socket *u;

	do {
		if (list_empty(&s->udp_events))
			return false;
		u = list_first(&s->udp_events, struct udp_socket, event);
		list_del(&u->event);
	} while (list_empty(&u->queue) && !u->error); /* read meanwhile */
	memset(event, 0, sizeof(*event));
	event->handle = udp_handle(s, u);
	event->user = u->user;
	event->what = (list_empty(&u->queue) ? 0 : CPL_EV_READABLE) | (u->error ? CPL_EV_SOFT : 0);
	event->error = u->error;
	u->error = 0;
	return true;
}

/* ---- sockets ---- */

static struct udp_socket *udp_new(struct cpl_stack *s, uint64_t now)
{
	struct udp_socket *u = pool_alloc(&s->udp_sockets, NULL);

	if (!u)
		return NULL;
	memset(u, 0, sizeof(*u));
	u->gen = tcp_gen(&s->tcp);
	u->made = now;
	u->rcvbuf = UDP_QUEUE_MAX;
	list_init(&u->link);
	list_init(&u->event);
	list_init(&u->queue);
	list_init(&u->reports);
	return u;
}

/* As Linux: who both say SO_REUSEADDR, or both SO_REUSEPORT, share a port. */
static bool udp_port_taken(struct cpl_stack *s, const struct cpl_endpoint *local,
			   struct udp_flags flags)
{
	struct udp_socket probe = { .local = *local, .v6only = flags.v6only };
	struct list *pos;

	list_for_each (pos, udp_bucket(s, local->port)) {
		const struct udp_socket *u = container_of(pos, struct udp_socket, link);

		if (u->local.port != local->port ||
		    (!udp_covers(u, &local->addr) && !udp_covers(&probe, &u->local.addr)))
			continue;
		if ((u->reuseaddr && flags.reuseaddr) || (u->reuseport && flags.reuseport))
			continue;
		if (u->local.ifindex && local->ifindex && u->local.ifindex != local->ifindex)
			continue;
		return true;
	}
	return false;
}

/* RFC 6056 3.3.1: random, then the next that is free: of anyone, however willing to share. */
static uint16_t udp_port(struct cpl_stack *s, struct cpl_endpoint *local, struct udp_flags flags)
{
	uint32_t n = s->config.port_last - s->config.port_first + 1u;
	uint32_t offset = (uint32_t)prng_below(&s->prng, n);

	flags.reuseaddr = flags.reuseport = false;
	for (uint32_t i = 0; i < n; i++) {
		local->port = (uint16_t)(s->config.port_first + (offset + i) % n);
		if (!udp_port_taken(s, local, flags))
			return local->port;
	}
	return 0;
}

int udp_bind(struct cpl_stack *s, const struct cpl_endpoint *local, struct udp_flags flags,
	     cpl_handle *handle, uint64_t now)
{
	struct cpl_endpoint at = { .port = 0 };
	struct udp_socket *u;

	if (local)
		at = *local;
	if (!addr_is_any(&at.addr) && !route_our_addr(&s->routes, &at.addr, 0) &&
	    !addr_is_multicast(&at.addr) && !route_is_broadcast(&s->routes, &at.addr))
		return -EADDRNOTAVAIL;
	if (at.port ? udp_port_taken(s, &at, flags) : !udp_port(s, &at, flags))
		return -EADDRINUSE;
	u = udp_find(s, *handle);
	if (u && u->local.port)
		return -EINVAL;
	u = u ? u : udp_new(s, now);
	if (!u)
		return -ENOBUFS;
	u->local = at;
	u->v6only = flags.v6only;
	u->reuseaddr = flags.reuseaddr;
	u->reuseport = flags.reuseport;
	/* As Linux: of two equals the later one receives. */
	list_push_front(udp_bucket(s, at.port), &u->link);
	*handle = udp_handle(s, u);
	return 0;
}

int cpl_udp_open(cpl_stack *s, const struct cpl_endpoint *local, cpl_handle *handle, uint64_t now)
{
	*handle = 0;
	return udp_bind(s, local, (struct udp_flags){ false, false, false }, handle, now);
}

void udp_connect(struct udp_socket *u, const struct cpl_endpoint *local,
		 const struct cpl_endpoint *remote)
{
	u->local.addr = local->addr;
	u->local.ifindex = local->ifindex;
	if (remote)
		u->remote = *remote;
	else
		memset(&u->remote, 0, sizeof(u->remote));
}

void udp_unbind(struct udp_socket *u)
{
	list_del(&u->link);
	u->local.port = 0;
}

struct udp_datagram *udp_first(struct udp_socket *u)
{
	return list_empty(&u->queue) ? NULL : list_first(&u->queue, struct udp_datagram, link);
}

void udp_drop_first(struct cpl_stack *s, struct udp_socket *u)
{
	datagram_free(s, u, list_first(&u->queue, struct udp_datagram, link));
}

int cpl_udp_catch_all(cpl_stack *s, int ifindex, cpl_handle *handle, uint64_t now)
{
	struct udp_socket *u;

	if (ifindex < 0 || ifindex > IFACES_MAX)
		return -EINVAL;
	if (s->udp_catch_all[ifindex])
		return -EADDRINUSE;
	u = udp_new(s, now);
	if (!u)
		return -ENOBUFS;
	u->catch_all = true;
	u->ifindex = (uint8_t)ifindex;
	s->udp_catch_all[ifindex] = u;
	*handle = udp_handle(s, u);
	return 0;
}

int udp_close(struct cpl_stack *s, struct udp_socket *u)
{
	while (!list_empty(&u->queue))
		datagram_free(s, u, list_first(&u->queue, struct udp_datagram, link));
	while (udp_first_report(u))
		udp_drop_report(s, u, udp_first_report(u));
	if (u->catch_all)
		s->udp_catch_all[u->ifindex] = NULL;
	list_del(&u->link);
	list_del(&u->event);
	u->gen = 0;
	pool_free(&s->udp_sockets, u);
	return 0;
}

/* ---- out ---- */

static int udp_source(struct cpl_stack *s, const struct udp_socket *u,
		      const struct cpl_endpoint *from, const struct cpl_endpoint *to,
		      struct cpl_endpoint *src)
{
	struct route_result route;
	int err;

	*src = *from;
	if (!src->port)
		src->port = u->local.port;
	if (!u->catch_all && !addr_is_any(&src->addr) && !route_our_addr(&s->routes, &src->addr, 0))
		return -EADDRNOTAVAIL;
	if (!addr_is_any(&src->addr))
		return 0;
	if (cpl_addr_is4(&src->addr) && !cpl_addr_is4(&to->addr))
		return -EADDRNOTAVAIL; /* bound to IPv4's "any" */
	err = route_lookup(&s->routes, &to->addr, (int)to->ifindex, NULL, &route);
	if (!err)
		src->addr = route.source;
	return err;
}

int udp_send(struct cpl_stack *s, struct udp_socket *u, const struct udp_how *how, const void *data,
	     size_t n, uint64_t now)
{
	const struct cpl_endpoint *to = &how->to;
	struct udp_hdr h = { .len = (uint16_t)(n + UDP_HLEN), .dport = to->port };
	struct ip_hdr ip = { .protocol = IP_UDP,
			     .tos = how->tos,
			     .ttl = how->ttl ? how->ttl : s->config.ttl,
			     .dont_frag = how->dont_frag };
	struct cpl_endpoint src;
	struct frame *f;
	int err;

	if (n > 65507)
		return -EMSGSIZE;
	if (!to->port || addr_is_any(&to->addr))
		return -EINVAL;
	err = udp_source(s, u, &how->from, to, &src);
	if (err)
		return err;
	f = frame_new(s);
	if (!f || !frame_copy(s, f, data, (uint32_t)n)) {
		if (f)
			frame_free(s, f);
		return -ENOBUFS;
	}
	h.sport = src.port;
	udp_build(frame_push(f, UDP_HLEN), &h, &src.addr, &to->addr, data, (uint32_t)n);
	ip.src = src.addr;
	ip.dst = to->addr;
	err = output_ip(s, f, &ip, (int)to->ifindex, now);
	if (err)
		return err;
	s->counters.datagrams_out++;
	output_run(s, now);
	return 0;
}

long cpl_udp_send(cpl_stack *s, cpl_handle handle, const struct cpl_endpoint *from,
		  const struct cpl_endpoint *to, const void *data, size_t n, uint64_t now)
{
	struct udp_socket *u = udp_find(s, handle);
	struct udp_how how = { .to = *to };
	int err;

	if (!u)
		return -EBADF;
	how.from = from ? *from : u->local;
	err = udp_send(s, u, &how, data, n, now);
	return err ? err : (long)n;
}

long cpl_udp_recv(cpl_stack *s, cpl_handle handle, struct cpl_endpoint *from,
		  struct cpl_endpoint *to, void *data, size_t n, uint64_t now)
{
	struct udp_socket *u = udp_find(s, handle);
	struct udp_datagram *d;
	long len;

	(void)now;
	if (!u)
		return -EBADF;
	if (list_empty(&u->queue))
		return -EAGAIN;
	d = list_first(&u->queue, struct udp_datagram, link);
	if (from)
		*from = d->from;
	if (to)
		*to = d->to;
	chunkq_copy(&d->data, 0, data, n);
	len = (long)d->data.bytes;
	datagram_free(s, u, d);
	return len;
}

int cpl_udp_refuse(cpl_stack *s, cpl_handle handle, const struct cpl_endpoint *from,
		   const struct cpl_endpoint *to, uint64_t now)
{
	uint8_t p[IPV6_HLEN + UDP_HLEN];
	struct ip_hdr h = { .src = from->addr,
			    .dst = to->addr,
			    .ttl = 64,
			    .protocol = IP_UDP,
			    .version = cpl_addr_is4(&from->addr) ? 4 : 6 };
	struct udp_hdr udp = { from->port, to->port, UDP_HLEN };
	struct packet pkt = { .p = p, .ip = h, .to_us_alone = true, .ifindex = (int)to->ifindex };
	unsigned header = h.version == 4 ? IPV4_HLEN : IPV6_HLEN;

	if (!udp_find(s, handle))
		return -EBADF;
	/* The datagram is gone: its headers are written again to be quoted. */
	h.len = header + UDP_HLEN;
	ip_build(p, &h);
	udp_build(p + header, &udp, &h.src, &h.dst, NULL, 0);
	pkt.ip.hlen = (uint16_t)header;
	pkt.ip.len = h.len;
	icmp_error(s, &pkt, ICMP_ERR_PORT, 0, 0, now);
	output_run(s, now);
	return 0;
}

void udp_info(struct cpl_stack *s, const struct udp_socket *u, struct cpl_info *info, uint64_t now)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->version = CPL_INFO_VERSION;
	CPL_INFO_READ(info, source, CPL_SOURCE_STACK);
	CPL_INFO_READ(info, protocol, IP_UDP);
	CPL_INFO_READ(info, family, cpl_addr_is4(&u->local.addr) ? 4 : 6);
	CPL_INFO_READ(info, local_addr, u->local.addr);
	CPL_INFO_READ(info, local_port, u->local.port);
	CPL_INFO_READ(info, remote_addr, u->remote.addr);
	CPL_INFO_READ(info, remote_port, u->remote.port);
	if (u->pid) {
		CPL_INFO_READ(info, pid, u->pid);
		CPL_INFO_READ(info, fd, u->fd);
	}
	if (u->program[0]) {
		memcpy(info->program, u->program, sizeof(info->program));
		cpl_info_mark_read(info, CPL_F_program);
	}
	CPL_INFO_READ(info, id, udp_handle(s, u));
	CPL_INFO_READ(info, taken, now);
	CPL_INFO_READ(info, age, now - u->made);
	CPL_INFO_READ(info, recv_queue, u->queued);
	CPL_INFO_READ(info, send_queue, 0);
	CPL_INFO_READ(info, drops, (uint32_t)u->drops);
}
