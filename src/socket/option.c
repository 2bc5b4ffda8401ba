/* SPDX-License-Identifier: MIT */
/*
 * setsockopt(2) and getsockopt(2): by level, and the options of SOL_SOCKET (socket(7)). Most
 * options are numbers that are checked and kept (struct option_def); what needs more stands in a
 * switch.
 */
#include "socket/sock.h"

#include <sys/time.h>

#define SNDBUF_MIN 4608 /* as the kernel's SOCK_MIN_SNDBUF */
#define RCVBUF_MIN 2304

/* Numbers that older C library headers lack. */
#define SO_MEMINFO_	     55
#define SO_INCOMING_NAPI_ID_ 56
#define SO_COOKIE_	     57
#define SO_ZEROCOPY_	     60
#define SO_TXTIME_	     61
#define SO_BINDTOIFINDEX_    62
#define SO_TIMESTAMP_NEW_    63
#define SO_TIMESTAMPNS_NEW_  64
#define SO_RCVTIMEO_NEW_     66
#define SO_SNDTIMEO_NEW_     67
#define SO_NETNS_COOKIE_     71

#define ANY INT32_MIN, INT32_MAX

static const struct option_def socket_defs[] = {
	{ SO_REUSEADDR, OPT_REUSEADDR, 0, 0, 0, 0 },
	{ SO_REUSEPORT, OPT_REUSEPORT, 0, 0, 0, 0 },
	{ SO_KEEPALIVE, OPT_KEEPALIVE, 0, 0, 0, 0 },
	{ SO_BROADCAST, OPT_BROADCAST, 0, 0, 0, 0 },
	{ SO_OOBINLINE, OPT_OOBINLINE, 0, 0, 0, 0 },
	{ SO_DONTROUTE, OPT_DONTROUTE, 0, 0, 0, 0 },
	{ SO_PRIORITY, OPT_PRIORITY, ANY, 0, 0 },
	{ SO_MARK, OPT_MARK, ANY, 0, 0 },
	{ SO_RCVLOWAT, OPT_RCVLOWAT, ANY, 1, 0 },
	{ SO_TIMESTAMP, OPT_TIMESTAMP, 0, 0, 0, 0 },
	{ SO_TIMESTAMPNS, OPT_TIMESTAMPNS, 0, 0, 0, 0 },
	{ SO_TIMESTAMP_NEW_, OPT_TIMESTAMP, 0, 0, 0, 0 },
	{ SO_TIMESTAMPNS_NEW_, OPT_TIMESTAMPNS, 0, 0, 0, 0 },
	{ SO_RXQ_OVFL, OPT_RXQ_OVFL, 0, 0, 0, 0 },
	{ SO_BUSY_POLL, OPT_BUSY_POLL, 0, INT32_MAX, 0, 0 },
	{ SO_INCOMING_CPU, OPT_INCOMING_CPU, ANY, -1, 0 },
	{ SO_NO_CHECK, OPT_NO_CHECK, 0, 0, 0, 0 },
	{ SO_PEEK_OFF, OPT_PEEK_OFF, ANY, -1, 0 },
	{ SO_NOFCS, OPT_NOFCS, 0, 0, 0, 0 },
	{ SO_ZEROCOPY_, OPT_ZEROCOPY, 0, 1, 0, 0 },
	{ 72 /* SO_BUF_LOCK */, OPT_BUF_LOCK, 0, 3, 0, 0 },
	{ SO_SELECT_ERR_QUEUE, OPT_SELECT_ERR_QUEUE, 0, 0, 0, 0 },
	{ 69 /* SO_PREFER_BUSY_POLL */, OPT_PREFER_BUSY_POLL, 0, 0, 0, 0 },
	{ 74 /* SO_TXREHASH */, OPT_TXREHASH, -1, 1, 1, SOCK_STREAM },
	{ 75 /* SO_RCVMARK */, OPT_RCVMARK, 0, 0, 0, 0 },
};
const struct option_level options_socket = { socket_defs,
					     sizeof(socket_defs) / sizeof(socket_defs[0]) };

/* ---- what all levels use ---- */

const struct option_def *option_find(const struct option_level *level, const struct sock *so,
				     int name)
{
	for (unsigned i = 0; i < level->n; i++) {
		const struct option_def *d = &level->defs[i];

		if (d->name == name && (!d->only || d->only == so->type))
			return d;
	}
	return NULL;
}

static void init_level(struct sock *so, const struct option_level *level)
{
	for (unsigned i = 0; i < level->n; i++)
		so->o.v[level->defs[i].slot] = level->defs[i].first;
}

void options_init(struct sock *so)
{
	init_level(so, &options_socket);
	init_level(so, &options_tcp);
	init_level(so, &options_udp);
	init_level(so, &options_ip);
	init_level(so, &options_ip6);
	so->o.max_pacing_rate = UINT64_MAX;
}

int option_keep(struct sock *so, const struct option_def *def, int v)
{
	if (!def->min && !def->max)
		v = v != 0;
	else if (v < def->min || v > def->max)
		return -EINVAL;
	so->o.v[def->slot] = v;
	return 0;
}

int option_number(const void *value, socklen_t len, int *v)
{
	if (len < sizeof(*v) || len > INT32_MAX)
		return -EINVAL;
	memcpy(v, value, sizeof(*v));
	return 0;
}

int option_lacking(struct sockets *s, int err)
{
	struct refused *r = s->refused;

	for (unsigned i = 0; i < s->refused_n; i++, r++)
		if (r->level == s->asked_level && r->name == s->asked_name)
			return err;
	if (s->refused_n < REFUSED_MAX) {
		*r = (struct refused){ s->asked_level, s->asked_name };
		s->refused_n++;
	}
	return err;
}

bool sockets_refused(const struct sockets *s, unsigned i, int *level, int *name)
{
	if (i >= s->refused_n || i >= REFUSED_MAX)
		return false;
	*level = s->refused[i].level;
	*name = s->refused[i].name;
	return true;
}

int option_out(void *value, socklen_t *len, const void *from, size_t n)
{
	if (*len > INT32_MAX)
		return -EINVAL;
	if (*len > n)
		*len = (socklen_t)n;
	memcpy(value, from, *len);
	return 0;
}

int option_int(void *value, socklen_t *len, int v)
{
	return option_out(value, len, &v, sizeof(v));
}

/* ---- SOL_SOCKET ---- */

static int set_sndbuf(struct sockets *s, struct sock *so, int v, bool force, uint64_t now)
{
	uint32_t most = s->wmem_max, n = (uint32_t)v;

	if (force)
		n = v < 0 ? 0 : n < 1u << 29 ? n : 1u << 29;
	else
		n = n < most ? n : most;
	so->o.sndbuf = 2 * n < SNDBUF_MIN ? SNDBUF_MIN : 2 * n;
	return sock_is_stream(so)
		       ? cpl_set_option(s->stack, so->handle, CPL_OPT_SNDBUF, so->o.sndbuf, now)
		       : 0;
}

/* The kernel doubles it for what it needs beside the data: ours is the data alone. */
static int set_rcvbuf(struct sockets *s, struct sock *so, int v, bool force, uint64_t now)
{
	uint32_t most = s->rmem_max, n = (uint32_t)v;
	struct udp_socket *u = sock_udp(s, so);

	if (force)
		n = v < 0 ? 0 : n < 1u << 29 ? n : 1u << 29;
	else
		n = n < most ? n : most;
	so->o.rcvbuf = 2 * n < RCVBUF_MIN ? RCVBUF_MIN : 2 * n;
	if (u)
		u->rcvbuf = so->o.rcvbuf;
	return sock_is_stream(so)
		       ? cpl_set_option(s->stack, so->handle, CPL_OPT_RCVBUF, so->o.rcvbuf / 2, now)
		       : 0;
}

static int set_linger(struct sockets *s, struct sock *so, const void *value, socklen_t len,
		      uint64_t now)
{
	struct linger l;

	if (len < sizeof(l))
		return -EINVAL;
	memcpy(&l, value, sizeof(l));
	so->o.linger = l.l_onoff;
	if (l.l_onoff)
		so->o.linger_s = (uint32_t)l.l_linger;
	if (!sock_is_stream(so))
		return 0;
	return cpl_set_option(s->stack, so->handle, CPL_OPT_LINGER_DROP, l.l_onoff && !l.l_linger,
			      now);
}

static int set_timeout(uint64_t *ns, const void *value, socklen_t len)
{
	struct timeval tv;

	if (len < sizeof(tv))
		return -EINVAL;
	memcpy(&tv, value, sizeof(tv));
	if (tv.tv_usec < 0 || tv.tv_usec >= 1000000)
		return -EDOM;
	if (tv.tv_sec < 0)
		*ns = 1; /* as the kernel: at once */
	else if (tv.tv_sec > INT32_MAX)
		*ns = 0;
	else
		*ns = (uint64_t)tv.tv_sec * CPL_SECOND + (uint64_t)tv.tv_usec * 1000;
	return 0;
}

static int get_timeout(uint64_t ns, void *value, socklen_t *len)
{
	struct timeval tv = { (time_t)(ns / CPL_SECOND), (suseconds_t)(ns % CPL_SECOND / 1000) };

	return option_out(value, len, &tv, sizeof(tv));
}

/* Of UDP it is only told: no device here has queues that would keep it (as fq on Linux). */
static int set_pacing(struct sockets *s, const struct sock *so, uint64_t now)
{
	uint64_t rate = so->o.max_pacing_rate;
	int err;

	if (!sock_is_stream(so))
		return 0;
	if (!rate)
		rate = 1; /* as good as none */
	err = cpl_set_option(s->stack, so->handle, CPL_OPT_PACING_MAX,
			     rate > UINT64_MAX / 4 ? 0 : rate, now);
	sockets_poll(s, now);
	return err;
}

static int bind_to_index(struct sockets *s, struct sock *so, uint32_t ifindex)
{
	struct udp_socket *u = sock_udp(s, so);

	if (ifindex > IFACES_MAX || (ifindex && !s->stack->ifaces[ifindex].used))
		return -ENODEV;
	so->o.ifindex = ifindex;
	so->local.ifindex = ifindex;
	if (u)
		u->local.ifindex = ifindex;
	if (sock_is_stream(so))
		conn_set_device(s->stack, so->handle, ifindex);
	return 0;
}

static int bind_to_device(struct sockets *s, struct sock *so, const char *value, socklen_t len)
{
	char name[16] = { 0 };

	memcpy(name, value, len < sizeof(name) - 1 ? len : sizeof(name) - 1);
	if (!name[0])
		return bind_to_index(s, so, 0);
	for (uint32_t i = 1; i <= IFACES_MAX; i++) {
		const struct iface *iface = &s->stack->ifaces[i];

		if (iface->used && !strcmp(iface->config.name, name))
			return bind_to_index(s, so, i);
	}
	return -ENODEV;
}

/* What is more than a number, or has no number. *DONE: that was all. */
static int set_special(struct sockets *s, struct sock *so, int name, const void *value,
		       socklen_t len, bool *done, uint64_t now)
{
	int v, err;

	*done = true;
	switch (name) {
	case SO_BINDTODEVICE:
		return bind_to_device(s, so, value, len);
	case SO_LINGER:
		return set_linger(s, so, value, len, now);
	case SO_RCVTIMEO:
	case SO_RCVTIMEO_NEW_:
		return set_timeout(&so->o.rcvtimeo, value, len);
	case SO_SNDTIMEO:
	case SO_SNDTIMEO_NEW_:
		return set_timeout(&so->o.sndtimeo, value, len);
	default:
		break;
	}
	err = option_number(value, len, &v);
	if (err)
		return err;
	switch (name) {
	case SO_SNDBUF:
	case SO_SNDBUFFORCE:
		return set_sndbuf(s, so, v, name == SO_SNDBUFFORCE, now);
	case SO_RCVBUF:
	case SO_RCVBUFFORCE:
		return set_rcvbuf(s, so, v, name == SO_RCVBUFFORCE, now);
	case SO_BINDTOIFINDEX_:
		return v < 0 ? -EINVAL : bind_to_index(s, so, (uint32_t)v);
	case SO_MAX_PACING_RATE:
		so->o.max_pacing_rate = (uint32_t)v == UINT32_MAX ? UINT64_MAX : (uint32_t)v;
		if (len >= sizeof(uint64_t))
			memcpy(&so->o.max_pacing_rate, value, sizeof(uint64_t));
		return set_pacing(s, so, now);
	case SO_DETACH_FILTER:
		return -ENOENT;
	case SO_PASSCRED:
	case SO_PASSSEC:
		return -EOPNOTSUPP;
	case SO_PEEK_OFF:
		return v < 0 ? 0 : option_lacking(s, -EOPNOTSUPP);
	case SO_ZEROCOPY_: /* sends would have to say when the memory is free again */
		return v < 0 || v > 1 ? -EINVAL : v ? option_lacking(s, -EOPNOTSUPP) : 0;
	default:
		*done = false;
		return 0;
	}
}

/* A stream's at most half of what its buffer may grow to, as the kernel. */
static int lowat(struct sockets *s, const struct sock *so, int v)
{
	int most = INT32_MAX;

	if (sock_is_stream(so))
		most = (int)((so->o.rcvbuf ? so->o.rcvbuf : s->stack->config.rcvbuf_max) / 2);
	v = v < 0 || v > most ? most : v;
	return v ? v : 1;
}

/* What a number that was kept does. */
static int apply(struct sockets *s, struct sock *so, enum sock_opt slot, uint64_t now)
{
	int v = so->o.v[slot];
	cpl_handle h = so->handle;

	switch (slot) {
	case OPT_RCVLOWAT:
		so->o.v[slot] = lowat(s, so, v);
		sock_wake(s, so, 1 /* POLLIN: perhaps it is enough now */);
		return 0;
	case OPT_TIMESTAMP:
		so->o.v[OPT_TIMESTAMPNS] = 0;
		return 0;
	case OPT_TIMESTAMPNS:
		so->o.v[OPT_TIMESTAMP] = 0;
		return 0;
	case OPT_REUSEPORT:
		conn_set_reuseport(s->stack, h, v);
		return 0;
	default:
		break;
	}
	if (!sock_is_stream(so))
		return 0;
	if (slot == OPT_REUSEADDR)
		return cpl_set_option(s->stack, h, CPL_OPT_REUSEADDR, (uint64_t)v, now);
	if (slot == OPT_KEEPALIVE)
		return cpl_set_option(s->stack, h, CPL_OPT_KEEPALIVE, (uint64_t)v, now);
	if (slot == OPT_OOBINLINE)
		return cpl_set_option(s->stack, h, CPL_OPT_OOB_INLINE, (uint64_t)v, now);
	return 0;
}

int options_set_socket(struct sockets *s, struct sock *so, int name, const void *value,
		       socklen_t len, uint64_t now)
{
	const struct option_def *def;
	bool done;
	int v, err = set_special(s, so, name, value, len, &done, now);

	if (done)
		return err;
	def = option_find(&options_socket, so, name);
	if (!def) {
		switch (name) {
		case SO_TYPE:
		case SO_PROTOCOL:
		case SO_DOMAIN:
		case SO_ERROR:
		case SO_SNDLOWAT:
		case SO_ACCEPTCONN:
			return -ENOPROTOOPT;
		case 74:
			return -EOPNOTSUPP;
		default:
			return option_lacking(s, -ENOPROTOOPT);
		}
	}
	err = option_number(value, len, &v);
	err = err ? err : option_keep(so, def, v);
	return err ? err : apply(s, so, def->slot, now);
}

static int get_error(struct sock *so)
{
	int error = sock_take_error(so);

	if (error)
		return error;
	error = so->soft_error;
	so->soft_error = 0;
	return error;
}

static int buffer_size(struct sockets *s, const struct sock *so, bool snd, uint64_t now)
{
	uint32_t set = snd ? so->o.sndbuf : so->o.rcvbuf;
	uint64_t v = 0;

	if (set)
		return (int)set;
	if (!sock_is_stream(so))
		return (int)(snd ? s->wmem_default : s->rmem_default);
	cpl_get_option(s->stack, so->handle, snd ? CPL_OPT_SNDBUF : CPL_OPT_RCVBUF, &v, now);
	return (int)v;
}

int options_get_socket(struct sockets *s, struct sock *so, int name, void *value, socklen_t *len,
		       uint64_t now)
{
	const struct {
		int32_t pid;
		uint32_t uid, gid;
	} nobody = { 0, UINT32_MAX, UINT32_MAX };
	struct linger l = { so->o.linger, (int)so->o.linger_s };
	const uint64_t one = 1;
	const struct option_def *def;
	struct conn_status st;

	switch (name) {
	case SO_TYPE:
		return option_int(value, len, so->type);
	case SO_DOMAIN:
		return option_int(value, len, so->domain);
	case SO_PROTOCOL:
		return option_int(value, len, so->protocol);
	case SO_ERROR:
		if (sock_is_stream(so))
			sock_look(s, so, &st);
		return option_int(value, len, get_error(so));
	case SO_ACCEPTCONN:
		return option_int(value, len,
				  conn_status(s->stack, so->handle, &st) && st.state == CPL_LISTEN);
	case SO_SNDBUF:
	case SO_RCVBUF:
		return option_int(value, len, buffer_size(s, so, name == SO_SNDBUF, now));
	case SO_LINGER:
		return option_out(value, len, &l, sizeof(l));
	case SO_RCVTIMEO:
	case SO_RCVTIMEO_NEW_:
		return get_timeout(so->o.rcvtimeo, value, len);
	case SO_SNDTIMEO:
	case SO_SNDTIMEO_NEW_:
		return get_timeout(so->o.sndtimeo, value, len);
	case SO_SNDLOWAT:
		return option_int(value, len, 1);
	case SO_BINDTODEVICE: {
		const char *dev = s->stack->ifaces[so->o.ifindex].config.name;

		if (so->o.ifindex && *len < 16)
			return -EINVAL;
		return option_out(value, len, dev, so->o.ifindex ? strlen(dev) + 1 : 0);
	}
	case SO_BINDTOIFINDEX_:
		return option_int(value, len, (int)so->o.ifindex);
	case SO_COOKIE_:
		if (*len < sizeof(so->cookie))
			return -EINVAL;
		return option_out(value, len, &so->cookie, sizeof(so->cookie));
	case SO_NETNS_COOKIE_:
		return *len != sizeof(one) ? -EINVAL : option_out(value, len, &one, sizeof(one));
	case SO_MEMINFO_:
		return meminfo_out(s, so, value, len);
	case SO_PASSCRED:
	case SO_PASSSEC:
		return -EOPNOTSUPP;
	case SO_PEERCRED:
		return option_out(value, len, &nobody, sizeof(nobody));
	case SO_INCOMING_NAPI_ID_:
		return option_int(value, len, 0);
	case SO_MAX_PACING_RATE:
		if (*len >= sizeof(uint64_t))
			return option_out(value, len, &so->o.max_pacing_rate, sizeof(uint64_t));
		return option_int(value, len,
				  so->o.max_pacing_rate > UINT32_MAX ? -1
								     : (int)so->o.max_pacing_rate);
	default:
		def = option_find(&options_socket, so, name);
		if (def)
			return option_int(value, len, so->o.v[def->slot]);
		return name == 74 ? -EOPNOTSUPP : option_lacking(s, -ENOPROTOOPT);
	}
}

/* ---- by level ---- */

int socket_setsockopt(struct sockets *s, sock_id id, int level, int name, const void *value,
		      socklen_t len, uint64_t now)
{
	struct sock *so = sock_get(s, id);

	if (!so)
		return -EBADF;
	if (len > INT32_MAX)
		return -EINVAL;
	s->asked_level = level;
	s->asked_name = name;
	if (level == SOL_SOCKET)
		return options_set_socket(s, so, name, value, len, now);
	if (level == (sock_is_stream(so) ? IPPROTO_TCP : IPPROTO_UDP))
		return options_set_tcp(s, so, name, value, len, now);
	if (level == SOL_IP)
		return options_set_ip(s, so, name, value, len, now);
	if (level == SOL_IPV6 && so->domain == AF_INET6)
		return options_set_ip6(s, so, name, value, len, now);
	return -ENOPROTOOPT;
}

int socket_getsockopt(struct sockets *s, sock_id id, int level, int name, void *value,
		      socklen_t *len, uint64_t now)
{
	struct sock *so = sock_get(s, id);

	if (!so)
		return -EBADF;
	if (*len > INT32_MAX)
		return -EINVAL;
	s->asked_level = level;
	s->asked_name = name;
	if (level == SOL_SOCKET)
		return options_get_socket(s, so, name, value, len, now);
	if (level == (sock_is_stream(so) ? IPPROTO_TCP : IPPROTO_UDP))
		return options_get_tcp(s, so, name, value, len, now);
	if (level == SOL_IP)
		return options_get_ip(s, so, name, value, len, now);
	if (level == SOL_IPV6 && so->domain == AF_INET6)
		return options_get_ip6(s, so, name, value, len, now);
	return so->domain == AF_INET6 ? -ENOPROTOOPT : -EOPNOTSUPP;
}
