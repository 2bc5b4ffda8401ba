/* SPDX-License-Identifier: MIT */
/*
 * The kernel's connections through sock_diag: sockets that this test makes itself, on the loopback,
 * compared with what getsockopt() and ioctl() tell of the same sockets.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <linux/sockios.h>
#include <linux/tcp.h>

#include "source/source.h"
#include "tests/util/loopback.h"

/* ---- Snapshots ------------------------------------------------------------------------------- */

static struct snapshot_set set;

static void collect_with(struct source_options options)
{
	options.sources = SOURCE_SOCK_DIAG;
	snapshot_set_clear(&set);
	assert_int_equal(source_collect(&set, &options), 0);
	for (unsigned i = 0; i < set.notes.n; i++)
		print_message("# note: %s\n", set.notes.note[i].text);
}

static void collect(void)
{
	collect_with((struct source_options){ .udp = true });
}

static struct cpl_info *find(uint8_t protocol, uint16_t local, uint16_t remote)
{
	struct cpl_info *found = NULL;

	for (size_t i = 0; i < set.n; i++) {
		struct cpl_info *info = &set.info[i];

		if (info->protocol != protocol || info->local_port != local ||
		    info->remote_port != remote)
			continue;
		assert_null(found);
		found = info;
	}
	return found;
}

static struct cpl_info *find_tcp(uint16_t local, uint16_t remote)
{
	struct cpl_info *found = find(IPPROTO_TCP, local, remote);

	assert_non_null(found);
	return found;
}

/* Wait until the connection is in STATE, as collected. */
static struct cpl_info *await(uint16_t local, uint16_t remote, enum cpl_state state)
{
	for (int i = 0; i < 200; i++) {
		struct cpl_info *info;

		collect();
		info = find(IPPROTO_TCP, local, remote);
		if (info && info->state == state)
			return info;
		usleep(10000);
	}
	fail_msg("never came to state %d", state);
	return NULL;
}

static struct tcp_info kernel_info(int fd)
{
	struct tcp_info t;
	socklen_t len = sizeof(t);

	memset(&t, 0, sizeof(t));
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &t, &len), 0);
	return t;
}

#define assert_known(info, field)   assert_true(cpl_info_known(info, CPL_F_##field))
#define assert_read(info, field)    assert_true(cpl_info_is_read(info, CPL_F_##field))
#define assert_unknown(info, field) assert_false(cpl_info_known(info, CPL_F_##field))

/* ---- Tests ----------------------------------------------------------------------------------- */

static void a_listener(void **state)
{
	int fd = listener(AF_INET, 5);
	uint16_t port = port_of(fd);
	int a = connected(AF_INET, port), b = connected(AF_INET, port);
	struct cpl_addr lo = cpl_addr4(127, 0, 0, 1), any = cpl_addr4(0, 0, 0, 0);
	struct cpl_info *info;

	(void)state;
	collect();
	info = find_tcp(port, 0);
	assert_int_equal(info->state, CPL_LISTEN);
	assert_int_equal(info->source, CPL_SOURCE_SOCK_DIAG);
	assert_int_equal(info->size, sizeof(*info));
	assert_int_equal(info->version, CPL_INFO_VERSION);
	assert_int_equal(info->family, 4);
	assert_true(cpl_addr_equal(&info->local_addr, &lo));
	assert_true(cpl_addr_equal(&info->remote_addr, &any));
	assert_int_equal(info->accept_queue, 2);
	assert_int_equal(info->backlog, 5);
	assert_int_equal(info->syn_queue, 0);
	assert_known(info, syn_queue);
	assert_unknown(info, recv_queue);
	assert_unknown(info, send_queue);
	assert_unknown(info, rto);
	assert_unknown(info, in_flight);
	assert_int_equal(info->inode, inode_of(fd));
	assert_int_equal(info->uid, getuid());
	assert_read(info, uid);
	assert_int_equal(info->netns, source_own_netns());
	assert_true(info->id != 0);
	/* Its two children are established, and nobody holds them yet. */
	info = find_tcp(port, port_of(a));
	assert_int_equal(info->state, CPL_ESTABLISHED);
	assert_unknown(info, inode);
	assert_unknown(info, uid);
	close(a);
	close(b);
	close(fd);
}

static void compare(const struct cpl_info *i, int fd, const struct tcp_info *t)
{
	int n, size;
	socklen_t len = sizeof(n);

	assert_int_equal(i->snd_mss, t->tcpi_snd_mss);
	assert_int_equal(i->rcv_mss, t->tcpi_advmss);
	assert_int_equal(i->rcv_mss_est, t->tcpi_rcv_mss > 65535 ? 65535 : t->tcpi_rcv_mss);
	assert_int_equal(i->pmtu, t->tcpi_pmtu > 65535 ? 65535 : t->tcpi_pmtu);
	assert_int_equal(i->rto, t->tcpi_rto * 1000ull);
	assert_int_equal(i->srtt, t->tcpi_rtt * 1000ull);
	assert_int_equal(i->rttvar, t->tcpi_rttvar * 1000ull);
	assert_int_equal(i->rtt_min, t->tcpi_min_rtt * 1000ull);
	assert_int_equal(i->backoff, t->tcpi_backoff);
	assert_int_equal(i->cwnd, t->tcpi_snd_cwnd * t->tcpi_snd_mss);
	assert_int_equal(i->recovery, t->tcpi_ca_state);
	assert_int_equal(i->snd_wnd, t->tcpi_snd_wnd);
	assert_int_equal(i->snd_wscale, t->tcpi_snd_wscale);
	assert_int_equal(i->rcv_wscale, t->tcpi_rcv_wscale);
	assert_int_equal(!!(i->options & CPL_OPT_BIT_TS),
			 !!(t->tcpi_options & TCPI_OPT_TIMESTAMPS));
	assert_int_equal(!!(i->options & CPL_OPT_BIT_SACK), !!(t->tcpi_options & TCPI_OPT_SACK));
	assert_int_equal(!!(i->options & CPL_OPT_BIT_WSCALE),
			 !!(t->tcpi_options & TCPI_OPT_WSCALE));
	assert_int_equal(i->segs_out, t->tcpi_segs_out);
	assert_int_equal(i->segs_in, t->tcpi_segs_in);
	assert_int_equal(i->data_segs_out, t->tcpi_data_segs_out);
	assert_int_equal(i->data_segs_in, t->tcpi_data_segs_in);
	assert_int_equal(i->bytes_sent, t->tcpi_bytes_sent);
	assert_int_equal(i->bytes_retrans, t->tcpi_bytes_retrans);
	assert_int_equal(i->retrans, t->tcpi_total_retrans);
	assert_int_equal(i->not_sent, t->tcpi_notsent_bytes);
	if (t->tcpi_pacing_rate != UINT64_MAX)
		assert_int_equal(i->pacing_rate, t->tcpi_pacing_rate);
	assert_int_equal(ioctl(fd, SIOCINQ, &n), 0);
	assert_int_equal(i->recv_queue, n);
	assert_int_equal(ioctl(fd, SIOCOUTQ, &n), 0);
	assert_int_equal(i->send_queue, n);
	assert_int_equal(ioctl(fd, SIOCOUTQNSD, &n), 0);
	assert_int_equal(i->not_sent, n);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &len), 0);
	assert_int_equal(i->send_buffer, size);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, &len), 0);
	assert_int_equal(i->recv_buffer, size);
	assert_int_equal(i->inode, inode_of(fd));
	assert_int_equal(i->uid, getuid());
}

static void congestion_control(const struct cpl_info *i, int fd)
{
	char name[16] = "";
	socklen_t len = sizeof(name);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len), 0);
	assert_string_equal(i->cc_name, name);
}

static void a_pair(int family)
{
	struct pair p = pair_open(family);
	char data[3000] = { 1 };
	struct tcp_info client, server;
	struct cpl_info *c, *s;
	int tos = 0x10;

	if (family == AF_INET)
		assert_int_equal(setsockopt(p.client, IPPROTO_IP, IP_TOS, &tos, sizeof(tos)), 0);
	else
		assert_int_equal(setsockopt(p.client, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos)),
				 0);
	assert_int_equal(write(p.client, data, sizeof(data)), sizeof(data));
	assert_int_equal(write(p.server, data, 700), 700);
	assert_int_equal(read(p.server, data, 1000), 1000);
	usleep(250000); /* delayed ACKs are sent; nothing moves any more */
	collect();
	client = kernel_info(p.client);
	server = kernel_info(p.server);
	c = find_tcp(p.client_port, p.port);
	s = find_tcp(p.port, p.client_port);
	assert_int_equal(c->state, CPL_ESTABLISHED);
	assert_int_equal(s->state, CPL_ESTABLISHED);
	assert_int_equal(c->family, family == AF_INET ? 4 : 6);
	assert_true(cpl_addr_equal(&c->local_addr, &s->remote_addr));
	assert_true(c->id != s->id);
	compare(c, p.client, &client);
	compare(s, p.server, &server);
	congestion_control(c, p.client);
	assert_int_equal(c->tos, tos);
	/* Payload only, whoever sent the SYN. */
	assert_int_equal(client.tcpi_bytes_acked, 3001);
	assert_int_equal(c->bytes_acked, 3000);
	assert_int_equal(s->bytes_acked, 700);
	assert_int_equal(s->bytes_received, 3000);
	assert_int_equal(s->recv_queue, 2000);
	assert_int_equal(c->recv_queue, 700);
	assert_int_equal(c->send_queue, 0);
	assert_int_equal(c->in_flight, 0);
	assert_int_equal(c->why, CPL_WHY_IDLE);
	assert_known(c, passive);
	assert_known(s, passive);
	assert_int_equal(c->passive, 0);
	assert_int_equal(s->passive, 1);
	/* What sock_diag does not tell is not made up. */
	assert_unknown(c, iss);
	assert_unknown(c, snd_una);
	assert_unknown(c, rcv_nxt);
	assert_unknown(c, age);
	assert_unknown(c, timer_delack);
	assert_int_equal(c->timer_rexmt, CPL_TIMER_OFF);
	assert_int_equal(c->timer_keep, CPL_TIMER_OFF);
	assert_read(c, timer_rexmt);
	pair_close(&p);
}

static void a_pair4(void **state)
{
	(void)state;
	a_pair(AF_INET);
}

static void a_pair6(void **state)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	union name a = loopback(AF_INET6, 0);
	bool there = fd >= 0 && bind(fd, &a.any, name_size(&a)) == 0;

	(void)state;
	close(fd);
	if (!there) {
		print_message("# IPv6 has no loopback address here\n");
		skip();
	}
	a_pair(AF_INET6);
}

/* A listener on :: takes IPv4: what it speaks then is IPv4, and both ends say the same. */
static void mapped(void **state)
{
	union name any = { .in6 = { .sin6_family = AF_INET6 } };
	int fd = socket(AF_INET6, SOCK_STREAM, 0), client, server;
	struct cpl_addr lo = cpl_addr4(127, 0, 0, 1);
	struct cpl_info *c, *s;

	(void)state;
	if (fd < 0) {
		print_message("# the kernel has no IPv6\n");
		skip();
	}
	close(fd);
	fd = listener_on(&any, 4);
	client = connected(AF_INET, port_of(fd));
	server = accept(fd, NULL, NULL);
	collect();
	c = find_tcp(port_of(client), port_of(fd));
	s = find_tcp(port_of(fd), port_of(client));
	assert_int_equal(c->family, 4);
	assert_int_equal(s->family, 4);
	assert_true(cpl_addr_equal(&s->local_addr, &lo));
	assert_true(cpl_addr_equal(&s->remote_addr, &c->local_addr));
	assert_int_equal(find_tcp(port_of(fd), 0)->family, 6);
	/* Either family alone. */
	collect_with((struct source_options){ .no_ip6 = true });
	assert_non_null(find(IPPROTO_TCP, port_of(fd), port_of(client)));
	assert_null(find(IPPROTO_TCP, port_of(fd), 0));
	collect_with((struct source_options){ .no_ip4 = true });
	assert_null(find(IPPROTO_TCP, port_of(fd), port_of(client)));
	assert_non_null(find(IPPROTO_TCP, port_of(fd), 0));
	close(client);
	close(server);
	close(fd);
}

/* A reader that does not read: in flight, not sent, and why. */
static void zero_window(void **state)
{
	struct pair p = pair_open(AF_INET);
	static char data[65536];
	struct cpl_info *c = NULL;
	int queued, not_sent;
	size_t written = 0;

	(void)state;
	fcntl(p.client, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 200; i++) {
		ssize_t n;

		while ((n = write(p.client, data, sizeof(data))) > 0)
			written += (size_t)n;
		usleep(20000);
		collect();
		c = find_tcp(p.client_port, p.port);
		if (c->snd_wnd == 0 && c->in_flight == 0 && c->timer_persist != CPL_TIMER_OFF)
			break;
	}
	assert_int_equal(c->why, CPL_WHY_ZERO_WND);
	assert_read(c, timer_persist);
	assert_true(c->timer_persist < 60 * 1000000000ull);
	assert_int_equal(c->timer_rexmt, CPL_TIMER_OFF);
	assert_int_equal(ioctl(p.client, SIOCOUTQ, &queued), 0);
	assert_int_equal(ioctl(p.client, SIOCOUTQNSD, &not_sent), 0);
	assert_int_equal(c->send_queue, queued);
	assert_int_equal(c->not_sent, not_sent);
	assert_int_equal(c->in_flight, queued - not_sent);
	assert_true(c->not_sent > 0);
	assert_int_equal(c->bytes_acked + c->send_queue, written);
	assert_int_equal(find_tcp(p.port, p.client_port)->recv_queue, c->bytes_acked);
	assert_int_equal(c->passive, 0);
	assert_known(c, passive);
	pair_close(&p);
}

/* One side closes: FIN-WAIT-2 and CLOSE-WAIT, then the other: TIME-WAIT. */
static void closing(void **state)
{
	struct pair p = pair_open(AF_INET);
	struct cpl_info *c, *s;
	int64_t left;

	(void)state;
	assert_int_equal(write(p.client, "hello", 5), 5);
	assert_int_equal(shutdown(p.client, SHUT_WR), 0);
	c = await(p.client_port, p.port, CPL_FIN_WAIT_2);
	s = find_tcp(p.port, p.client_port);
	assert_int_equal(s->state, CPL_CLOSE_WAIT);
	assert_int_equal(s->recv_queue, 6); /* the FIN is one */
	assert_int_equal(s->bytes_received, 5);
	assert_int_equal(c->bytes_acked, 5);
	assert_int_equal(c->why, CPL_WHY_CLOSED);
	assert_int_equal(c->inode, inode_of(p.client));
	close(p.server);
	/* Unread data makes the server send RST instead of FIN; so open another pair. */
	close(p.client);
	close(p.listener);
	p = pair_open(AF_INET);
	close(p.client);
	/* Closed by its program: it has no inode any more, and a limit of time. */
	c = await(p.client_port, p.port, CPL_FIN_WAIT_2);
	assert_int_equal(find_tcp(p.port, p.client_port)->state, CPL_CLOSE_WAIT);
	assert_unknown(c, inode);
	assert_read(c, timer_close);
	assert_true(c->timer_close > 0 && c->timer_close <= 120 * 1000000000ull);
	close(p.server);
	c = await(p.client_port, p.port, CPL_TIME_WAIT);
	left = (int64_t)c->timer_close;
	assert_true(left > 50 * 1000000000ll && left <= 61 * 1000000000ll);
	assert_unknown(c, inode);
	assert_unknown(c, uid);
	assert_unknown(c, rto);
	assert_unknown(c, bytes_acked);
	assert_int_equal(c->recv_queue, 0);
	assert_int_equal(c->send_queue, 0);
	close(p.listener);
}

/* With TCP_DEFER_ACCEPT the ACK of the handshake is passed over: the server's end stays half-open.
 */
static void half_open(void **state)
{
	int fd = listener(AF_INET, 4), seconds = 5, client;
	struct cpl_info *s, *l;

	(void)state;
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds)),
			 0);
	client = connected(AF_INET, port_of(fd));
	collect();
	s = find_tcp(port_of(fd), port_of(client));
	assert_int_equal(s->state, CPL_SYN_RECEIVED);
	assert_read(s, timer_rexmt);
	assert_true(s->timer_rexmt > 0 && s->timer_rexmt <= 64 * 1000000000ull);
	assert_unknown(s, inode);
	l = find_tcp(port_of(fd), 0);
	assert_int_equal(l->syn_queue, 1);
	assert_true(cpl_info_is_derived(l, CPL_F_syn_queue));
	assert_int_equal(l->accept_queue, 0);
	/* Asked for by state alone. */
	collect_with((struct source_options){ .states = SOURCE_STATE(CPL_SYN_RECEIVED) });
	assert_non_null(find(IPPROTO_TCP, port_of(fd), port_of(client)));
	for (size_t i = 0; i < set.n; i++)
		assert_int_equal(set.info[i].state, CPL_SYN_RECEIVED);
	close(client);
	close(fd);
}

/* The accept queue is full: the SYN is dropped, the client retransmits it. */
static void syn_sent(void **state)
{
	int fd = listener(AF_INET, 0), first = connected(AF_INET, port_of(fd)), second;
	union name a = loopback(AF_INET, port_of(fd));
	struct cpl_info *c;

	(void)state;
	second = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(second, &a.any, name_size(&a)), -1);
	assert_int_equal(errno, EINPROGRESS);
	collect();
	c = find_tcp(port_of(second), port_of(fd));
	assert_int_equal(c->state, CPL_SYN_SENT);
	assert_read(c, timer_rexmt);
	assert_true(c->timer_rexmt <= 3 * 1000000000ull);
	assert_int_equal(c->why, CPL_WHY_HANDSHAKE);
	assert_int_equal(c->passive, 0);
	assert_read(c, passive);
	assert_unknown(c, options);
	assert_unknown(c, snd_wnd);
	assert_unknown(c, srtt);
	assert_int_equal(find_tcp(port_of(fd), 0)->accept_queue, 1);
	assert_int_equal(find_tcp(port_of(fd), 0)->backlog, 0);
	close(second);
	close(first);
	close(fd);
}

static void keepalive(void **state)
{
	struct pair p = pair_open(AF_INET);
	int on = 1, idle = 500;
	struct cpl_info *c;

	(void)state;
	setsockopt(p.client, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(p.client, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	collect();
	c = find_tcp(p.client_port, p.port);
	assert_int_equal(c->keepalive, 1);
	assert_read(c, timer_keep);
	assert_true(c->timer_keep > 490 * 1000000000ull && c->timer_keep <= 501 * 1000000000ull);
	assert_unknown(find_tcp(p.port, p.client_port), keepalive);
	pair_close(&p);
}

static void udp(void **state)
{
	union name a = loopback(AF_INET, 0), to;
	int server = bound(&a, SOCK_DGRAM), client = socket(AF_INET, SOCK_DGRAM, 0);
	struct cpl_info *s, *c, again;

	(void)state;
	to = loopback(AF_INET, port_of(server));
	assert_int_equal(connect(client, &to.any, name_size(&to)), 0);
	assert_int_equal(send(client, "abc", 3, 0), 3);
	collect();
	s = find(IPPROTO_UDP, port_of(server), 0);
	c = find(IPPROTO_UDP, port_of(client), port_of(server));
	assert_non_null(s);
	assert_non_null(c);
	assert_unknown(s, state);
	assert_true(s->recv_queue >= 3); /* with the kernel's overhead */
	assert_int_equal(c->recv_queue, 0);
	assert_int_equal(s->inode, inode_of(server));
	assert_read(s, drops);
	assert_unknown(s, rto);
	assert_unknown(s, timer_rexmt);
	assert_int_equal(source_again(NULL, c, &again), 0);
	assert_int_equal(again.id, c->id);
	assert_int_equal(source_again(NULL, s, &again), 0);
	assert_int_equal(again.id, s->id);
	/* Only when asked for. */
	collect_with((struct source_options){ 0 });
	assert_null(find(IPPROTO_UDP, port_of(server), 0));
	collect_with((struct source_options){ .udp = true, .no_tcp = true });
	assert_non_null(find(IPPROTO_UDP, port_of(server), 0));
	for (size_t i = 0; i < set.n; i++)
		assert_int_equal(set.info[i].protocol, IPPROTO_UDP);
	close(client);
	close(server);
}

/* One connection again, by its cookie: never another one that has its addresses. */
static void again(void **state)
{
	struct pair p = pair_open(AF_INET);
	struct cpl_info before, now, l;

	(void)state;
	collect_with((struct source_options){ .owners = true });
	before = *find_tcp(p.client_port, p.port);
	l = *find_tcp(p.port, 0);
	assert_int_equal(before.pid, getpid());
	assert_int_equal(write(p.client, "0123456789", 10), 10);
	assert_int_equal(source_again(NULL, &before, &now), 0);
	assert_int_equal(now.id, before.id);
	assert_int_equal(now.bytes_sent, 10);
	assert_int_equal(now.pid, before.pid);
	assert_int_equal(now.fd, p.client);
	assert_string_equal(now.program, before.program);
	assert_true(now.taken >= before.taken);
	assert_int_equal(source_again(NULL, &l, &l), 0);
	assert_int_equal(l.state, CPL_LISTEN);
	/* Another one's cookie. */
	now = before;
	now.id++;
	assert_int_equal(source_again(NULL, &now, &now), -ENOENT);
	pair_close(&p);
	assert_int_equal(source_again(NULL, &before, &now), -ENOENT);
	/* Of a namespace that there is not. */
	before.netns = 1;
	assert_int_equal(source_again(NULL, &before, &now), -ENOENT);
	before.source = CPL_SOURCE_CAPTURE;
	assert_int_equal(source_again(NULL, &before, &now), -EOPNOTSUPP);
}

/* Bound, but neither connected nor listening: no connection, listed only when asked for. */
static void bound_only(void **state)
{
	union name a = loopback(AF_INET, 0);
	int fd = bound(&a, SOCK_STREAM);

	(void)state;
	collect();
	assert_null(find(IPPROTO_TCP, port_of(fd), 0));
	collect_with((struct source_options){ .states = SOURCE_STATE(CPL_CLOSED) });
	for (size_t i = 0; i < set.n; i++)
		assert_int_equal(set.info[i].state, CPL_CLOSED);
	close(fd);
}

/* More sockets than one answer of the kernel holds; each appears once, brief or not. */
static void many(void **state)
{
	enum {
		N = 400
	};
	static int fds[N];
	int fd = listener(AF_INET, N);
	uint16_t port = port_of(fd);

	(void)state;
	for (int i = 0; i < N; i++)
		fds[i] = connected(AF_INET, port);
	for (int brief = 0; brief < 2; brief++) {
		collect_with((struct source_options){ .brief = brief });
		for (int i = 0; i < N; i++) {
			struct cpl_info *c = find_tcp(port_of(fds[i]), port);

			assert_int_equal(cpl_info_known(c, CPL_F_rto), !brief);
			assert_int_equal(c->inode, inode_of(fds[i]));
		}
		assert_int_equal(find_tcp(port, 0)->accept_queue, N);
	}
	for (int i = 0; i < N; i++)
		close(fds[i]);
	close(fd);
}

static int stop_at_once(void *arg, const struct cpl_info *info)
{
	(void)info;
	++*(int *)arg;
	return 42;
}

/* The visitor ends the walk, and what it says comes back. */
static void stopped(void **state)
{
	struct source_options options = { .sources = SOURCE_SOCK_DIAG };
	struct source_notes notes = { 0 };
	int fd = listener(AF_INET, 1), more = listener(AF_INET, 1), calls = 0;

	(void)state;
	assert_int_equal(source_walk(&options, &notes, stop_at_once, &calls), 42);
	assert_int_equal(calls, 1);
	assert_int_equal(notes.n, 0);
	close(fd);
	close(more);
}

/* No way to ask the kernel: said once, in one sentence, and nothing is made up. */
static void cannot_look(void **state)
{
	struct source_options options = { .sources = SOURCE_SOCK_DIAG, .udp = true };
	struct rlimit old, none;
	int err;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 3;
	snapshot_set_clear(&set);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	err = source_collect(&set, &options);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(err, -EIO);
	assert_int_equal(set.n, 0);
	assert_int_equal(set.notes.n, 1);
	assert_int_equal(set.notes.note[0].weight, SOURCE_NOTHING);
	assert_int_equal(set.notes.note[0].error, -EMFILE);
}

static void notes(void **state)
{
	struct source_notes n = { 0 };

	(void)state;
	source_note(&n, CPL_SOURCE_SOCK_DIAG, SOURCE_PARTIAL, -EPERM, "no %s", "right");
	source_note(&n, CPL_SOURCE_SOCK_DIAG, SOURCE_PARTIAL, -EPERM, "no right");
	assert_int_equal(n.n, 1);
	assert_string_equal(n.note[0].text, "no right");
	for (int i = 0; i < 40; i++)
		source_note(&n, CPL_SOURCE_UNKNOWN, SOURCE_REMARK, 0, "number %d", i);
	assert_int_equal(n.n, SOURCE_NOTES);
	assert_int_equal(n.dropped, 41 - SOURCE_NOTES);
}

#ifdef HAVE_LIBMNL
#define KERNEL(test) cmocka_unit_test(test)
#else
/* All that it can do is say so. */
static void __attribute__((unused)) instead(void **state)
{
	struct source_options options = { .sources = SOURCE_SOCK_DIAG };

	(void)state;
	snapshot_set_clear(&set);
	assert_int_equal(source_collect(&set, &options), -EIO);
	assert_int_equal(set.notes.n, 1);
	assert_int_equal(set.notes.note[0].weight, SOURCE_NOTHING);
	print_message("# built without libmnl\n");
	skip();
}
#define KERNEL(test)                                                                               \
	{                                                                                          \
#test, ((void)test, instead), NULL, NULL, NULL                                     \
	}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(notes), KERNEL(a_listener),  KERNEL(a_pair4), KERNEL(a_pair6),
		KERNEL(mapped),		 KERNEL(zero_window), KERNEL(closing), KERNEL(half_open),
		KERNEL(syn_sent),	 KERNEL(keepalive),   KERNEL(udp),     KERNEL(again),
		KERNEL(bound_only),	 KERNEL(many),	      KERNEL(stopped), KERNEL(cannot_look),
	};
	int failed;

	snapshot_set_init(&set);
	failed = cmocka_run_group_tests_name("sock_diag", tests, NULL, NULL);
	snapshot_set_free(&set);
	return failed;
}
