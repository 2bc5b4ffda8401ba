/* SPDX-License-Identifier: MIT */
/*
 * Socket options: what each is at first, what it is after it was set to this and that, and what a
 * wrong length, level or time is answered. Sizes that a system may choose are compared by what must
 * hold for them. See calls.h.
 */
#include "tests/interop/calls.h"

#include <linux/sockios.h>
#include <netinet/ip.h>
#include <netinet/udp.h>

struct option {
	const char *text;
	int level, name;
	char kind; /* i: int; c: int, or an octet as well; b: size of a buffer; t: struct timeval;
		      l: linger; n: name; x: some number; z: a size;
		      g: only got */
};

#define SOL(name, kind)                                                                            \
	{                                                                                          \
#name, SOL_SOCKET, name, kind                                                      \
	}
#define TCP(name, kind)                                                                            \
	{                                                                                          \
#name, IPPROTO_TCP, name, kind                                                     \
	}
#define IP4(name, kind)                                                                            \
	{                                                                                          \
#name, IPPROTO_IP, name, kind                                                      \
	}
#define IP6(name, kind)                                                                            \
	{                                                                                          \
#name, IPPROTO_IPV6, name, kind                                                    \
	}

static const struct option options[] = {
	SOL(SO_REUSEADDR, 'i'),
	SOL(SO_REUSEPORT, 'i'),
	SOL(SO_KEEPALIVE, 'i'),
	SOL(SO_BROADCAST, 'i'),
	SOL(SO_OOBINLINE, 'i'),
	SOL(SO_DONTROUTE, 'i'),
	SOL(SO_TIMESTAMP, 'i'),
	SOL(SO_TIMESTAMPNS, 'i'),
	SOL(SO_NO_CHECK, 'i'),
	SOL(SO_PRIORITY, 'i'),
	SOL(SO_RCVLOWAT, 'i'),
	SOL(SO_SNDLOWAT, 'i'),
	SOL(SO_TYPE, 'i'),
	SOL(SO_DOMAIN, 'i'),
	SOL(SO_PROTOCOL, 'i'),
	SOL(SO_ERROR, 'i'),
	SOL(SO_ACCEPTCONN, 'i'),
	SOL(SO_PEEK_OFF, 'i'),
	SOL(SO_BUSY_POLL, 'i'),
	SOL(SO_ZEROCOPY, 'i'),
	SOL(SO_RXQ_OVFL, 'i'),
	SOL(SO_SELECT_ERR_QUEUE, 'i'),
	SOL(SO_INCOMING_NAPI_ID, 'i'),
	SOL(SO_MAX_PACING_RATE, 'i'),
	SOL(SO_LOCK_FILTER, 'g'),
	SOL(SO_DETACH_FILTER, 'i'),
	SOL(SO_ATTACH_FILTER, 'i'),
	SOL(SO_ATTACH_BPF, 'i'),
	SOL(SO_PASSCRED, 'i'),
	SOL(SO_BINDTOIFINDEX, 'g'),
	SOL(SO_SNDBUF, 'b'),
	SOL(SO_RCVBUF, 'b'),
	SOL(SO_RCVTIMEO, 't'),
	SOL(SO_SNDTIMEO, 't'),
	SOL(SO_LINGER, 'l'),
	TCP(TCP_NODELAY, 'i'),
	TCP(TCP_CORK, 'i'),
	TCP(TCP_KEEPIDLE, 'i'),
	TCP(TCP_KEEPINTVL, 'i'),
	TCP(TCP_KEEPCNT, 'i'),
	TCP(TCP_SYNCNT, 'i'),
	TCP(TCP_LINGER2, 'i'),
	TCP(TCP_DEFER_ACCEPT, 'i'),
	TCP(TCP_WINDOW_CLAMP, 'i'),
	TCP(TCP_QUICKACK, 'i'),
	TCP(TCP_USER_TIMEOUT, 'i'),
	TCP(TCP_NOTSENT_LOWAT, 'i'),
	TCP(TCP_MAXSEG, 'i'),
	TCP(TCP_SAVE_SYN, 'i'),
	TCP(TCP_FASTOPEN, 'i'),
	TCP(TCP_FASTOPEN_CONNECT, 'i'),
	TCP(TCP_THIN_LINEAR_TIMEOUTS, 'i'),
	TCP(TCP_TIMESTAMP, 'x'),
	TCP(TCP_INQ, 'i'),
	TCP(TCP_FASTOPEN_NO_COOKIE, 'i'),
	TCP(TCP_REPAIR, 'g'),
	TCP(TCP_THIN_DUPACK, 'i'),
	TCP(TCP_TX_DELAY, 'g'),
	TCP(TCP_ULP, 'g'),
	TCP(TCP_SAVED_SYN, 'g'),
	TCP(TCP_INFO, 'z'),
	TCP(TCP_CONGESTION, 'n'),
	IP4(IP_TOS, 'c'),
	IP4(IP_TTL, 'c'),
	IP4(IP_PKTINFO, 'c'),
	IP4(IP_RECVTTL, 'c'),
	IP4(IP_RECVTOS, 'c'),
	IP4(IP_RECVERR, 'c'),
	IP4(IP_MTU_DISCOVER, 'c'),
	IP4(IP_FREEBIND, 'c'),
	IP4(IP_BIND_ADDRESS_NO_PORT, 'c'),
	IP4(IP_MULTICAST_TTL, 'c'),
	IP4(IP_MULTICAST_LOOP, 'c'),
	IP4(IP_MTU, 'i'),
	IP4(IP_MINTTL, 'c'),
	IP4(IP_TRANSPARENT, 'c'),
	IP4(IP_RECVORIGDSTADDR, 'c'),
	IP4(IP_OPTIONS, 'g'),
	IP4(IP_HDRINCL, 'c'),
	IP4(IP_MULTICAST_IF, 'g'),
	{ "IP_LOCAL_PORT_RANGE", IPPROTO_IP, 51, 'i' },
	IP6(IPV6_V6ONLY, 'i'),
	IP6(IPV6_UNICAST_HOPS, 'i'),
	IP6(IPV6_MULTICAST_HOPS, 'i'),
	IP6(IPV6_RECVPKTINFO, 'i'),
	IP6(IPV6_RECVHOPLIMIT, 'i'),
	IP6(IPV6_RECVTCLASS, 'i'),
	IP6(IPV6_TCLASS, 'i'),
	IP6(IPV6_RECVERR, 'i'),
	IP6(IPV6_MTU_DISCOVER, 'i'),
	IP6(IPV6_MTU, 'i'),
	IP6(IPV6_DONTFRAG, 'i'),
	IP6(IPV6_FREEBIND, 'i'),
	IP6(IPV6_MINHOPCOUNT, 'i'),
	IP6(IPV6_MULTICAST_LOOP, 'i'),
	IP6(IPV6_MULTICAST_IF, 'g'),
	{ "an unknown one of SOL_SOCKET", SOL_SOCKET, 9999, 'i' },
	{ "an unknown one of IPPROTO_TCP", IPPROTO_TCP, 9999, 'i' },
	{ "an unknown one of IPPROTO_IP", IPPROTO_IP, 9999, 'i' },
	{ "one of an unknown level", 12345, 1, 'i' },
	{ NULL, 0, 0, 0 },
};

static void show_value(const struct option *o, const void *value, socklen_t len)
{
	int i = 0;
	struct timeval tv;
	struct linger l;

	memcpy(&i, value, len < sizeof(i) ? len : sizeof(i));
	printf("%u bytes ", len);
	if (o->kind == 'x')
		printf("of some time");
	else if (o->kind == 'z')
		printf("of something");
	else if (o->kind == 'n')
		printf("\"%.16s\"", (const char *)value);
	else if (o->kind == 'b')
		printf("%s", i >= 2048 ? "at least 2048" : "small");
	else if (o->kind == 't' && len == sizeof(tv))
		memcpy(&tv, value, sizeof(tv)), printf("%ld.%06ld", tv.tv_sec, tv.tv_usec);
	else if (o->kind == 'l' && len == sizeof(l))
		memcpy(&l, value, sizeof(l)), printf("%d %d", l.l_onoff, l.l_linger);
	else
		printf("%d", i);
}

static void get(int fd, const struct option *o, socklen_t room)
{
	char value[64] = { 0 };
	socklen_t len = room;
	long r = getsockopt(fd, o->level, o->name, value, &len);

	if (r)
		printf("%s", answer(r));
	else
		show_value(o, value, len);
}

static void set(int fd, const struct option *o, const char *what, const void *value, socklen_t len)
{
	printf("; %s: %s, now ", what, answer(setsockopt(fd, o->level, o->name, value, len)));
	get(fd, o, sizeof(struct timeval) > 16 ? 16 : sizeof(struct timeval));
}

static void numbers(int fd, const struct option *o)
{
	static const int values[] = { 1, 0, -1, 7, 65535, 1 << 20 };

	for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char what[32];

		snprintf(what, sizeof(what), "%d", values[i]);
		set(fd, o, what, &values[i], sizeof(int));
	}
}

static void times(int fd, const struct option *o)
{
	struct timeval some = { 2, 500000 }, bad = { 1, 1000000 }, zero = { 0, 0 };

	set(fd, o, "2.5 s", &some, sizeof(some));
	set(fd, o, "1,000,000 us", &bad, sizeof(bad));
	set(fd, o, "short", &some, 8);
	set(fd, o, "0", &zero, sizeof(zero));
}

static void lingers(int fd, const struct option *o)
{
	struct linger on = { 1, 5 }, off = { 0, 7 };

	set(fd, o, "on 5", &on, sizeof(on));
	set(fd, o, "off 7", &off, sizeof(off));
	set(fd, o, "short", &on, 4);
}

static void names(int fd, const struct option *o)
{
	set(fd, o, "reno", "reno", 4);
	set(fd, o, "cubic", "cubic", 6);
	set(fd, o, "none such", "none such", 9);
	set(fd, o, "empty", "", 0);
}

static void lengths(int fd, const struct option *o)
{
	int one = 1;
	char octet = 1;

	printf("; set with");
	printf(" 0 bytes %s,", answer(setsockopt(fd, o->level, o->name, &one, 0)));
	printf(" 1 byte %s,", answer(setsockopt(fd, o->level, o->name, &octet, 1)));
	printf(" 3 bytes %s,", answer(setsockopt(fd, o->level, o->name, &one, 3)));
	printf(" 8 bytes %s", answer(setsockopt(fd, o->level, o->name, (long[]){ 1 }, 8)));
	printf("; got in 0 bytes ");
	get(fd, o, 0);
	printf(", in 1 ");
	get(fd, o, 1);
	printf(", in 3 ");
	get(fd, o, 3);
}

static int subject(char family, char kind)
{
	int a, b;

	switch (kind) {
	case 'u':
		return socket(domain(family), SOCK_DGRAM, 0);
	case 'l':
		return listener(family);
	case 'c':
		connected(family, &a, &b);
		return a; /* b stays open for as long as we live */
	default:
		return socket(domain(family), SOCK_STREAM, 0);
	}
}

static void one(char family, char kind, const struct option *o)
{
	int fd = subject(family, kind);

	printf("%c %c %s: ", family, kind, o->text);
	if (o->kind != 'n') /* which is the default is up to the system */
		get(fd, o, 16);
	if (o->kind == 'i' || o->kind == 'c' || o->kind == 'x')
		numbers(fd, o);
	else if (o->kind == 't')
		times(fd, o);
	else if (o->kind == 'l')
		lingers(fd, o);
	else if (o->kind == 'n')
		names(fd, o);
	close(fd);
	fd = subject(family, kind);
	if (o->kind != 'n')
		lengths(fd, o);
	printf("\n");
	close(fd);
}

/* ---- Sizes, which are doubled, and bounded below --------------------------------------------- */

static void buffer(int name, const char *text)
{
	static const int values[] = { 1, 0, -1, 5000, 100000 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	printf("%s:", text);
	for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		int got = 0;
		socklen_t len = sizeof(got);

		printf(" %d %s,", values[i],
		       answer(setsockopt(fd, SOL_SOCKET, name, &values[i], sizeof(int))));
		getsockopt(fd, SOL_SOCKET, name, &got, &len);
		printf(" now %s;", got == 2 * values[i]	 ? "twice that"
				   : values[i] < 0	 ? "the most"
				   : got > 2 * values[i] ? "the least"
							 : "less");
	}
	printf("\n");
	close(fd);
}

/* ---- TCP_CC_INFO ---------------------------------------------------------------------------- */

/* This kernel has it: Couplet has all that are asked for. */
static bool available(const char *controller)
{
	char list[256] = "", *at;
	FILE *f = fopen("/proc/sys/net/ipv4/tcp_available_congestion_control", "re");

	if (f && !fgets(list, sizeof(list), f))
		list[0] = 0;
	if (f)
		fclose(f);
	at = strstr(list, controller);
	return at && (at == list || at[-1] == ' ') && strchr(" \n", at[strlen(controller)]);
}

/* How much there is to tell, and of what it tells whether it is there: of BBR, five numbers. */
static void told(int fd, const char *state)
{
	uint32_t v[16];
	socklen_t len = sizeof(v);

	memset(v, 0xee, sizeof(v));
	printf(" %s %s", state, answer(getsockopt(fd, IPPROTO_TCP, TCP_CC_INFO, v, &len)));
	printf(" %u", len);
	if (len >= 20)
		/* A loopback may take no time, to the microsecond, and have no bandwidth. */
		printf(" round trip %d gains %d %d", v[2]<1000000, v[3]> 256, v[4] > 256);
	printf(" beyond %d,", len < sizeof(v) && v[len / 4] != 0xeeeeeeee);
}

static void controller(char family, const char *name)
{
	static const int lengths[] = { 0, 6, -1 };
	int l = listener(family), a = socket(domain(family), SOCK_STREAM, 0), b;
	struct name n = name_of(loopback(family), port_of(l));
	char octets[5000] = { 0 };
	socklen_t len;

	printf("%c TCP_CC_INFO of %s: set %s", family, name,
	       answer(setsockopt(a, IPPROTO_TCP, TCP_CONGESTION, name, strlen(name))));
	setsockopt(l, IPPROTO_TCP, TCP_CONGESTION, name, strlen(name));
	told(a, "new");
	told(l, "listening");
	connect(a, (struct sockaddr *)&n.ss, n.len);
	b = accept(l, NULL, NULL);
	for (int i = 0; i < 20; i++) {
		send(a, octets, sizeof(octets), 0);
		recv(b, octets, sizeof(octets), MSG_WAITALL);
		await_sent(a);
	}
	told(a, "sent");
	for (unsigned i = 0; i < 3; i++) {
		len = (socklen_t)lengths[i];
		printf(" length %d %s", lengths[i],
		       answer(getsockopt(a, IPPROTO_TCP, TCP_CC_INFO, octets, &len)));
		printf(" %d", (int)len);
	}
	printf(" to be set %s", answer(setsockopt(a, IPPROTO_TCP, TCP_CC_INFO, octets, 4)));
	reset_by(b);
	await(a, POLLHUP);
	len = sizeof(octets);
	printf(" reset %s", answer(getsockopt(a, IPPROTO_TCP, TCP_CC_INFO, octets, &len)));
	printf(" %u\n", len);
	close(a);
	close(l);
}

/* ---- What is inherited from a listener ------------------------------------------------------- */

static void inherited(const struct option *o, int value)
{
	struct name n;
	int l = listener('4'), a, b, got = -1;
	socklen_t len = sizeof(got);

	setsockopt(l, o->level, o->name, &value, sizeof(value));
	n = name_of("127.0.0.1", port_of(l));
	a = socket(AF_INET, SOCK_STREAM, 0);
	connect(a, (struct sockaddr *)&n.ss, n.len);
	b = accept(l, NULL, NULL);
	printf("accepted, of a listener with %s %d: %s", o->text, value,
	       answer(getsockopt(b, o->level, o->name, &got, &len)));
	printf(", %d\n", got);
	close(a);
	close(b);
	close(l);
}

/* ---- socket(2) itself ------------------------------------------------------------------------ */

static void made(const char *text, int d, int type, int protocol)
{
	int fd = socket(d, type, protocol);

	printf("socket %s: %s", text, fd < 0 ? answer(-1) : "made");
	if (fd >= 0) {
		struct option t = SOL(SO_TYPE, 'i'), p = SOL(SO_PROTOCOL, 'i'),
			      dm = SOL(SO_DOMAIN, 'i');

		printf(", type ");
		get(fd, &t, 4);
		printf(", protocol ");
		get(fd, &p, 4);
		printf(", domain ");
		get(fd, &dm, 4);
		printf(", flags %s%s", fcntl(fd, F_GETFL) & O_NONBLOCK ? "nonblock " : "",
		       fcntl(fd, F_GETFD) & FD_CLOEXEC ? "cloexec" : "");
		close(fd);
	}
	printf("\n");
}

int main(void)
{
	const struct option keep = SOL(SO_KEEPALIVE, 'i'), idle = TCP(TCP_KEEPIDLE, 'i'),
			    nodelay = TCP(TCP_NODELAY, 'i'), oob = SOL(SO_OOBINLINE, 'i'),
			    tos = IP4(IP_TOS, 'i'), ttl = IP4(IP_TTL, 'i'),
			    cork = TCP(TCP_CORK, 'i'), user = TCP(TCP_USER_TIMEOUT, 'i');

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	for (const char *k = "slcu"; *k; k++)
		for (const char *f = "46"; *f; f++)
			for (const struct option *o = options; o->text; o++)
				one(*f, *k, o);
	for (const char *f = "46"; *f; f++) {
		controller(*f, "reno");
		controller(*f, "cubic");
		if (available("bbr"))
			controller(*f, "bbr");
	}
	buffer(SO_SNDBUF, "SO_SNDBUF");
	buffer(SO_RCVBUF, "SO_RCVBUF");
	inherited(&keep, 1);
	inherited(&idle, 33);
	inherited(&nodelay, 1);
	inherited(&oob, 1);
	inherited(&tos, 0x10);
	inherited(&ttl, 9);
	inherited(&cork, 1);
	inherited(&user, 1234);
	made("inet stream", AF_INET, SOCK_STREAM, 0);
	made("inet stream tcp", AF_INET, SOCK_STREAM, IPPROTO_TCP);
	made("inet stream udp", AF_INET, SOCK_STREAM, IPPROTO_UDP);
	made("inet dgram tcp", AF_INET, SOCK_DGRAM, IPPROTO_TCP);
	made("inet stream 9999", AF_INET, SOCK_STREAM, 9999);
	made("inet stream 255", AF_INET, SOCK_STREAM, 200);
	made("inet type 99", AF_INET, 99, 0);
	made("inet seqpacket", AF_INET, SOCK_SEQPACKET, 0);
	made("inet6 stream", AF_INET6, SOCK_STREAM, 0);
	made("inet6 dgram udp", AF_INET6, SOCK_DGRAM, IPPROTO_UDP);
	made("nonblock", AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	made("cloexec", AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	made("both", AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	made("family 99", 99, SOCK_STREAM, 0);
	made("family -1", -1, SOCK_STREAM, 0);
	return 0;
}
