/* SPDX-License-Identifier: MIT */
/* Options of IPPROTO_TCP (tcp(7)), and of UDP (udp(7)). */
#include "socket/sock.h"

#include <linux/tcp.h>

/* Numbers that older headers lack. */
#define TCP_RTO_MAX_MS_	   44
#define TCP_RTO_MIN_US_	   45
#define TCP_DELACK_MAX_US_ 46
#define TCP_TIMEOUT_INIT_S 1
#define TCP_RTO_MAX_S	   120
#define WINDOW_CLAMP_MIN   1152
#define FIN_TIMEOUT_MAX_S  120

#define ANY INT32_MIN, INT32_MAX

static const struct option_def tcp_defs[] = {
	{ TCP_NODELAY, OPT_NODELAY, 0, 0, 0, 0 },
	{ TCP_CORK, OPT_CORK, 0, 0, 0, 0 },
	{ TCP_SYNCNT, OPT_SYNCNT, 1, 127, 0, 0 },
	{ TCP_LINGER2, OPT_LINGER2, ANY, 0, 0 },
	{ TCP_DEFER_ACCEPT, OPT_DEFER_ACCEPT, ANY, 0, 0 },
	{ TCP_WINDOW_CLAMP, OPT_WINDOW_CLAMP, ANY, 0, 0 },
	{ TCP_QUICKACK, OPT_QUICKACK, ANY, 1, 0 },
	{ TCP_THIN_LINEAR_TIMEOUTS, OPT_THIN_LINEAR, 0, 1, 0, 0 },
	{ TCP_USER_TIMEOUT, OPT_USER_TIMEOUT, 0, INT32_MAX, 0, 0 },
	{ TCP_FASTOPEN, OPT_FASTOPEN, 0, INT32_MAX, 0, 0 },
	{ TCP_FASTOPEN_CONNECT, OPT_FASTOPEN_CONNECT, 0, 1, 0, 0 },
	{ TCP_FASTOPEN_NO_COOKIE, OPT_FASTOPEN_NO_COOKIE, 0, 1, 0, 0 },
	{ TCP_NOTSENT_LOWAT, OPT_NOTSENT_LOWAT, ANY, 0, 0 },
	{ TCP_SAVE_SYN, OPT_SAVE_SYN, 0, 2, 0, 0 },
	{ TCP_INQ, OPT_INQ, 0, 1, 0, 0 },
	{ TCP_TX_DELAY, OPT_TX_DELAY, 0, 0, 0, SOCK_DGRAM /* of none */ },
	{ TCP_MAXSEG, OPT_MAXSEG, 0, 32767, 0, 0 },
};
const struct option_level options_tcp = { tcp_defs, sizeof(tcp_defs) / sizeof(tcp_defs[0]) };

static const struct option_def udp_defs[] = {
	{ 1 /* UDP_CORK */, OPT_UDP_CORK, 0, 0, 0, SOCK_DGRAM },
	{ 103 /* UDP_SEGMENT */, OPT_UDP_SEGMENT, 0, 65535, 0, SOCK_DGRAM },
	{ 104 /* UDP_GRO */, OPT_UDP_GRO, 0, 0, 0, SOCK_DGRAM },
};
const struct option_level options_udp = { udp_defs, sizeof(udp_defs) / sizeof(udp_defs[0]) };

/* ---- what is stored as a number of retransmissions, and told in seconds ---- */

static int secs_to_retrans(int seconds)
{
	int period = TCP_TIMEOUT_INIT_S, timeout = TCP_TIMEOUT_INIT_S, n = 1;

	if (seconds <= 0)
		return 0;
	while (seconds > period && n < 255) {
		n++;
		timeout = timeout * 2 > TCP_RTO_MAX_S ? TCP_RTO_MAX_S : timeout * 2;
		period += timeout;
	}
	return n;
}

static int retrans_to_secs(int n)
{
	int period = 0, timeout = TCP_TIMEOUT_INIT_S;

	for (; n > 0; n--) {
		period += timeout;
		timeout = timeout * 2 > TCP_RTO_MAX_S ? TCP_RTO_MAX_S : timeout * 2;
	}
	return period;
}

/* ---- set ---- */

static int set_stack(struct sockets *s, struct sock *so, enum cpl_option option, uint64_t v,
		     uint64_t now)
{
	int err = cpl_set_option(s->stack, so->handle, option, v, now);

	sockets_poll(s, now);
	return err;
}

static int set_congestion(struct sockets *s, struct sock *so, const char *value, socklen_t len,
			  uint64_t now)
{
	char name[16] = { 0 };

	if (len < 1)
		return -EINVAL;
	memcpy(name, value, len < sizeof(name) - 1 ? len : sizeof(name) - 1);
	return cpl_set_congestion(s->stack, so->handle, name, now);
}

static int set_seconds(struct sockets *s, struct sock *so, enum cpl_option option, int v,
		       uint64_t now)
{
	if (v < 1 || v > 32767)
		return -EINVAL;
	return set_stack(s, so, option, (uint64_t)v * CPL_SECOND, now);
}

/* A listener's, or a connection's before it is opened. */
static bool unopened(struct sockets *s, const struct sock *so)
{
	struct conn_status st;

	conn_status(s->stack, so->handle, &st);
	return st.state == CPL_CLOSED || st.state == CPL_LISTEN;
}

static bool closed(struct sockets *s, const struct sock *so)
{
	struct conn_status st;

	conn_status(s->stack, so->handle, &st);
	return st.state == CPL_CLOSED;
}

static int set_clamp(struct sockets *s, struct sock *so, int v, uint64_t now)
{
	struct conn_status st;

	conn_status(s->stack, so->handle, &st);
	if (!v && st.state != CPL_CLOSED)
		return -EINVAL;
	if (v)
		v = v < WINDOW_CLAMP_MIN ? WINDOW_CLAMP_MIN : v;
	so->o.v[OPT_WINDOW_CLAMP] = v;
	return set_stack(s, so, CPL_OPT_WINDOW_CLAMP, (uint32_t)v, now);
}

static int set_maxseg(struct sockets *s, struct sock *so, int v, uint64_t now)
{
	if (v && (v < 88 || v > 32767))
		return -EINVAL;
	so->o.v[OPT_MAXSEG] = v;
	return v ? set_stack(s, so, CPL_OPT_MAXSEG, (uint64_t)v, now) : 0;
}

/* What a number that was kept does. */
static int apply(struct sockets *s, struct sock *so, enum sock_opt slot, int v, uint64_t now)
{
	switch (slot) {
	case OPT_NODELAY:
		return set_stack(s, so, CPL_OPT_NODELAY, v != 0, now);
	case OPT_CORK:
		return set_stack(s, so, CPL_OPT_CORK, v != 0, now);
	case OPT_QUICKACK:
		return set_stack(s, so, CPL_OPT_QUICKACK, v != 0, now);
	case OPT_USER_TIMEOUT:
		return set_stack(s, so, CPL_OPT_USER_TIMEOUT, (uint64_t)v * CPL_MS, now);
	case OPT_LINGER2:
		v = v < 0 ? -1 : v > FIN_TIMEOUT_MAX_S ? FIN_TIMEOUT_MAX_S : v;
		so->o.v[slot] = v;
		return conn_set(s->stack, so->handle, CONN_LINGER2, v);
	case OPT_SYNCNT:
		return conn_set(s->stack, so->handle, CONN_SYN_RETRIES, v);
	case OPT_DEFER_ACCEPT:
		so->o.v[slot] = secs_to_retrans(v);
		return conn_set(s->stack, so->handle, CONN_DEFER_ACCEPT, so->o.v[slot]);
	case OPT_SAVE_SYN: /* there is no link header, which 2 asks for as well */
		return conn_set(s->stack, so->handle, CONN_SAVE_SYN, v);
	case OPT_FASTOPEN:
		so->o.v[slot] = v > (int)s->somaxconn ? (int)s->somaxconn : v;
		return set_stack(s, so, CPL_OPT_FASTOPEN, (uint64_t)so->o.v[slot], now);
	case OPT_FASTOPEN_CONNECT:
		return set_stack(s, so, CPL_OPT_FASTOPEN_CONNECT, v != 0, now);
	case OPT_FASTOPEN_NO_COOKIE:
		return set_stack(s, so, CPL_OPT_FASTOPEN_NO_COOKIE, v != 0, now);
	case OPT_NOTSENT_LOWAT:
		set_stack(s, so, CPL_OPT_NOTSENT_LOWAT, (uint32_t)v, now);
		sock_wake(s, so, 4 /* POLLOUT: perhaps there is room now */);
		return 0;
	default:
		return 0;
	}
}

static int set_number(struct sockets *s, struct sock *so, int name, int v, uint64_t now)
{
	const struct option_def *def;
	int err;

	switch (name) {
	case TCP_KEEPIDLE:
		return set_seconds(s, so, CPL_OPT_KEEP_IDLE, v, now);
	case TCP_KEEPINTVL:
		return set_seconds(s, so, CPL_OPT_KEEP_INTERVAL, v, now);
	case TCP_KEEPCNT:
		if (v < 1 || v > 127)
			return -EINVAL;
		return set_stack(s, so, CPL_OPT_KEEP_COUNT, (uint64_t)v, now);
	case TCP_MAXSEG:
		return set_maxseg(s, so, v, now);
	case TCP_WINDOW_CLAMP:
		return set_clamp(s, so, v, now);
	case TCP_THIN_DUPACK: /* gone from the kernel, and taken still */
		return v < 0 || v > 1 ? -EINVAL : 0;
	case TCP_TIMESTAMP:
	case TCP_REPAIR:
	case TCP_REPAIR_QUEUE:
	case TCP_QUEUE_SEQ:
		return option_lacking(s, -EPERM);
	case TCP_FASTOPEN:
	case TCP_FASTOPEN_NO_COOKIE:
		if (!unopened(s, so))
			return -EINVAL;
		break;
	case TCP_FASTOPEN_CONNECT:
		if (v < 0 || v > 1 || !closed(s, so))
			return -EINVAL;
		if (!(s->stack->config.fastopen & CPL_FASTOPEN_CLIENT))
			return -EOPNOTSUPP;
		break;
	case TCP_RTO_MAX_MS_:
		return v < 1000 || v > 120000 ? -EINVAL : option_lacking(s, -ENOPROTOOPT);
	default:
		break;
	}
	def = option_find(&options_tcp, so, name);
	if (!def)
		return option_lacking(s, -ENOPROTOOPT);
	err = option_keep(so, def, v);
	return err ? err : apply(s, so, def->slot, v, now);
}

static int set_udp(struct sockets *s, struct sock *so, int name, const void *value, socklen_t len,
		   uint64_t now)
{
	const struct option_def *def = option_find(&options_udp, so, name);
	int v, err = option_number(value, len, &v);

	if (err)
		return err;
	err = def ? option_keep(so, def, v) : option_lacking(s, -ENOPROTOOPT);
	if (!err && def->slot == OPT_UDP_CORK && !v) {
		datagram_push(s, so, now); /* what becomes of it nobody is told, as the kernel */
		sockets_poll(s, now);
	}
	return err;
}

int options_set_tcp(struct sockets *s, struct sock *so, int name, const void *value, socklen_t len,
		    uint64_t now)
{
	int v, err;

	if (!sock_is_stream(so))
		return set_udp(s, so, name, value, len, now);
	if (name == TCP_CONGESTION)
		return set_congestion(s, so, value, len, now);
	if (name == TCP_ULP)
		return len < 1 ? -EINVAL : option_lacking(s, -ENOENT);
	if (name == TCP_FASTOPEN_KEY)
		return fastopen_set_keys(s, value, len);
	err = option_number(value, len, &v);
	return err ? err : set_number(s, so, name, v, now);
}

/* ---- get ---- */

static int get_stack(struct sockets *s, struct sock *so, enum cpl_option option, uint64_t unit,
		     void *value, socklen_t *len, uint64_t now)
{
	uint64_t v = 0;

	cpl_get_option(s->stack, so->handle, option, &v, now);
	return option_int(value, len, (int)(v / unit));
}

static int get_congestion(struct sockets *s, struct sock *so, void *value, socklen_t *len)
{
	char name[16] = { 0 };

	conn_congestion(s->stack, so->handle, name);
	return option_out(value, len, name, sizeof(name));
}

static int get_kept(struct sockets *s, const struct sock *so, int slot, void *value, socklen_t *len)
{
	int v = so->o.v[slot];

	if (slot == OPT_SYNCNT && !v)
		v = (int)s->syn_retries;
	if (slot == OPT_LINGER2 && !v)
		v = (int)(s->stack->config.fin_wait_2_ns / CPL_SECOND);
	if (slot == OPT_DEFER_ACCEPT)
		v = retrans_to_secs(v);
	return option_int(value, len, v);
}

static int get_tcp_timestamp(struct sockets *s, struct sock *so, void *value, socklen_t *len,
			     uint64_t now)
{
	return option_int(value, len, (int)conn_tsval(s->stack, so->handle, now));
}

static int get_number(struct sockets *s, struct sock *so, int name, void *value, socklen_t *len,
		      uint64_t now)
{
	const struct option_def *def;

	switch (name) {
	case TCP_KEEPIDLE:
		return get_stack(s, so, CPL_OPT_KEEP_IDLE, CPL_SECOND, value, len, now);
	case TCP_KEEPINTVL:
		return get_stack(s, so, CPL_OPT_KEEP_INTERVAL, CPL_SECOND, value, len, now);
	case TCP_KEEPCNT:
		return get_stack(s, so, CPL_OPT_KEEP_COUNT, 1, value, len, now);
	case TCP_MAXSEG:
		return get_stack(s, so, CPL_OPT_MAXSEG, 1, value, len, now);
	case TCP_QUICKACK:
		return get_stack(s, so, CPL_OPT_QUICKACK, 1, value, len, now);
	case TCP_TIMESTAMP:
		return get_tcp_timestamp(s, so, value, len, now);
	case TCP_THIN_DUPACK:
	case TCP_REPAIR:
	case TCP_TX_DELAY:
		return option_int(value, len, 0);
	case TCP_REPAIR_QUEUE:
	case TCP_QUEUE_SEQ:
		return -EINVAL;
	case TCP_RTO_MAX_MS_:
		return option_int(value, len, (int)(s->stack->config.rto_max_ns / CPL_MS));
	case TCP_RTO_MIN_US_:
		return option_int(value, len, (int)(s->stack->config.rto_min_ns / 1000));
	case TCP_DELACK_MAX_US_:
		return option_int(value, len, (int)(s->stack->config.delack_ns / 1000));
	default:
		def = option_find(&options_tcp, so, name);
		return def ? get_kept(s, so, def->slot, value, len)
			   : option_lacking(s, -ENOPROTOOPT);
	}
}

static int get_saved_syn(struct sockets *s, struct sock *so, void *value, socklen_t *len)
{
	size_t n = *len;
	int err = conn_saved_syn(s->stack, so->handle, value, &n);

	*len = (socklen_t)n;
	return err < 0 ? err : 0;
}

int options_get_tcp(struct sockets *s, struct sock *so, int name, void *value, socklen_t *len,
		    uint64_t now)
{
	if (!sock_is_stream(so)) {
		const struct option_def *def = option_find(&options_udp, so, name);

		return def ? option_int(value, len, so->o.v[def->slot]) : -ENOPROTOOPT;
	}
	switch (name) {
	case TCP_INFO:
		return tcp_info_out(s, so, value, len, now);
	case TCP_CC_INFO:
		return tcp_cc_info_out(s, so, value, len, now);
	case TCP_CONGESTION:
		return get_congestion(s, so, value, len);
	case TCP_FASTOPEN_KEY:
		return option_out(value, len, s->fastopen_key, s->fastopen_key_len);
	case TCP_ULP:
		*len = 0;
		return 0;
	case TCP_SAVED_SYN:
		return get_saved_syn(s, so, value, len);
	default:
		return get_number(s, so, name, value, len, now);
	}
}
