/* SPDX-License-Identifier: MIT */
/*
 * The step SYN: one connect(2) to each address at the same time, with the error queue switched on
 * (IP_RECVERR of ip(7)), so that an RST, an ICMP message and silence are told apart, and who sent
 * the message is known.
 */
#include "source/stairs_step.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <linux/errqueue.h>

#include "wire/icmp.h"
#include "wire/ip.h"

#define STEP_MS 20

uint64_t stairs_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- One call -------------------------------------------------------------------------------- */

static socklen_t socket_address(const struct stairs_call *c, uint16_t port,
				struct sockaddr_storage *to)
{
	struct sockaddr_in *in4 = (void *)to;
	struct sockaddr_in6 *in6 = (void *)to;

	memset(to, 0, sizeof(*to));
	if (cpl_addr_is4(&c->addr)) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons(port);
		memcpy(&in4->sin_addr, c->addr.b + 12, 4);
		return sizeof(*in4);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	in6->sin6_scope_id = c->scope;
	memcpy(&in6->sin6_addr, c->addr.b, 16);
	return sizeof(*in6);
}

static void remember_local(struct stairs_call *c)
{
	struct sockaddr_storage name;
	const struct sockaddr_in *in4 = (const void *)&name;
	const struct sockaddr_in6 *in6 = (const void *)&name;
	socklen_t len = sizeof(name);

	if (getsockname(c->fd, (struct sockaddr *)&name, &len) < 0)
		return;
	if (name.ss_family == AF_INET) {
		c->local = cpl_addr4(0, 0, 0, 0);
		memcpy(c->local.b + 12, &in4->sin_addr, 4);
		c->local_port = ntohs(in4->sin_port);
	} else {
		memcpy(c->local.b, &in6->sin6_addr, 16);
		c->local_port = ntohs(in6->sin6_port);
	}
}

static void begin(struct stairs_call *c, uint16_t port)
{
	bool ip4 = cpl_addr_is4(&c->addr);
	struct sockaddr_storage to;
	socklen_t len = socket_address(c, port, &to);
	int on = 1;

	c->began = c->ended = stairs_now();
	c->outcome = STAIRS_NO_CALL;
	c->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		c->error = errno;
		return;
	}
	setsockopt(c->fd, ip4 ? IPPROTO_IP : IPPROTO_IPV6, ip4 ? IP_RECVERR : IPV6_RECVERR, &on,
		   sizeof(on));
	if (connect(c->fd, (struct sockaddr *)&to, len) == 0)
		c->outcome = STAIRS_OPEN;
	else if (errno == EINPROGRESS)
		c->outcome = STAIRS_SILENT;
	else
		c->error = errno;
	remember_local(c);
}

/* The ICMP message that ended the call, if one did. */
static bool read_icmp(struct stairs_call *c)
{
	char control[512], data[64];
	struct iovec iov = { data, sizeof(data) };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};

	if (recvmsg(c->fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
		return false;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		const struct sock_extended_err *e = (const void *)CMSG_DATA(h);
		const struct sockaddr *from = SO_EE_OFFENDER(e);
		const struct sockaddr_in *in4 = (const void *)from;
		const struct sockaddr_in6 *in6 = (const void *)from;

		if (!(h->cmsg_level == IPPROTO_IP && h->cmsg_type == IP_RECVERR) &&
		    !(h->cmsg_level == IPPROTO_IPV6 && h->cmsg_type == IPV6_RECVERR))
			continue;
		if (h->cmsg_len < CMSG_LEN(sizeof(*e) + sizeof(struct sockaddr_in)) ||
		    (e->ee_origin != SO_EE_ORIGIN_ICMP && e->ee_origin != SO_EE_ORIGIN_ICMP6))
			continue;
		c->icmp.ip6 = e->ee_origin == SO_EE_ORIGIN_ICMP6;
		c->icmp.type = e->ee_type;
		c->icmp.code = e->ee_code;
		c->icmp.has_from = from->sa_family != AF_UNSPEC;
		if (from->sa_family == AF_INET) {
			c->icmp.from = cpl_addr4(0, 0, 0, 0);
			memcpy(c->icmp.from.b + 12, &in4->sin_addr, 4);
		} else if (from->sa_family == AF_INET6 &&
			   h->cmsg_len >= CMSG_LEN(sizeof(*e) + sizeof(*in6))) {
			memcpy(c->icmp.from.b, &in6->sin6_addr, 16);
		}
		return true;
	}
	return false;
}

static void count_syns(struct stairs_call *c)
{
	struct linux_tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	c->syns = 1;
	if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
		c->syns += info.total_retrans;
}

/* The socket says that something has happened. */
static void settle(struct stairs_call *c)
{
	int error = 0;
	socklen_t len = sizeof(error);

	c->ended = stairs_now();
	if (read_icmp(c)) {
		c->outcome = STAIRS_BY_ICMP;
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		c->error = error;
		return;
	}
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	c->error = error;
	if (!error)
		c->outcome = STAIRS_OPEN;
	else if (error == ECONNREFUSED || error == ECONNRESET)
		c->outcome = STAIRS_REFUSED;
	else if (error == EHOSTUNREACH || error == ENETUNREACH)
		c->outcome = STAIRS_BY_ICMP; /* of which nothing was kept */
	else if (error != ETIMEDOUT)
		c->outcome = STAIRS_NO_CALL;
}

/* ---- All calls ------------------------------------------------------------------------------- */

/* One round: what has happened within MS. Returns how many have not ended. */
static unsigned wait_once(struct stairs_call *call, unsigned calls, unsigned ms)
{
	struct pollfd p[STAIRS_ADDRESSES];
	struct stairs_call *of[STAIRS_ADDRESSES];
	unsigned n = 0, left = 0;

	for (unsigned i = 0; i < calls; i++) {
		if (call[i].outcome != STAIRS_SILENT || call[i].error)
			continue;
		p[n] = (struct pollfd){ .fd = call[i].fd, .events = POLLOUT };
		of[n++] = &call[i];
	}
	if (!n || poll(p, n, (int)ms) < 0)
		return n;
	for (unsigned i = 0; i < n; i++) {
		if (p[i].revents)
			settle(of[i]);
		left += of[i]->outcome == STAIRS_SILENT && !of[i]->error;
	}
	return left;
}

static bool any_open(const struct stairs *s)
{
	for (unsigned i = 0; i < s->calls; i++)
		if (s->call[i].outcome == STAIRS_OPEN)
			return true;
	return false;
}

/* Until all have ended, or the time has. */
static void wait_for_all(struct stairs *s)
{
	unsigned patience = s->o->patience_ms ? s->o->patience_ms : STAIRS_PATIENCE_MS;
	uint64_t began = stairs_now();
	uint64_t end = began + patience * 1000000ull;

	while (wait_once(s->call, s->calls, STEP_MS)) {
		uint64_t now = stairs_now();

		if (any_open(s) && end > now + STAIRS_OTHERS_MS * 1000000ull)
			end = now + STAIRS_OTHERS_MS * 1000000ull;
		if (now >= end)
			return;
		if (now - began > STAIRS_WATCH_MS * 1000000ull)
			stairs_watch(s);
	}
}

bool call_alone(struct stairs_call *c, uint16_t port, unsigned ms)
{
	begin(c, port);
	wait_once(c, 1, ms);
	return c->outcome == STAIRS_OPEN;
}

/* The first that is open; else the first of those that got furthest. */
static void choose(struct stairs *s)
{
	for (unsigned i = 0; i < s->calls; i++) {
		struct stairs_call *c = &s->call[i];

		if (c->outcome != STAIRS_NO_CALL)
			count_syns(c);
		if (c->outcome == STAIRS_SILENT)
			c->ended = stairs_now();
		if (c->outcome > s->best->outcome)
			s->best = c;
	}
}

void stairs_call_all(struct stairs *s)
{
	for (unsigned i = 0; i < s->calls; i++)
		begin(&s->call[i], s->o->target.port);
	wait_for_all(s);
	stairs_see_neighbours(s);
	choose(s);
}

/* ---- The verdict ----------------------------------------------------------------------------- */

/* What RFC 792, RFC 1812 and RFC 4443 call it. */
static const char *icmp_text(const struct stairs_icmp *icmp)
{
	static const char *const v4[] = {
		"network unreachable",
		"host unreachable",
		"protocol unreachable",
		"port unreachable",
		"fragmentation needed",
		"source route failed",
		"network unknown",
		"host unknown",
		"source host isolated",
		"network prohibited",
		"host prohibited",
		"network unreachable for this service",
		"host unreachable for this service",
		"communication administratively prohibited",
		"host precedence violation",
		"precedence cutoff",
	};
	static const char *const v6[] = {
		"no route to destination",
		"communication administratively prohibited",
		"beyond scope of source address",
		"address unreachable",
		"port unreachable",
		"source address failed policy",
		"reject route to destination",
	};

	if (icmp->ip6 && icmp->type == ICMP6_UNREACHABLE)
		return icmp->code < sizeof(v6) / sizeof(*v6) ? v6[icmp->code] : "unreachable";
	if (icmp->ip6)
		return icmp->type == ICMP6_TIME_EXCEEDED ? "hop limit exceeded: a routing loop"
							 : "an ICMPv6 error";
	if (icmp->type == ICMP4_UNREACHABLE)
		return icmp->code < sizeof(v4) / sizeof(*v4) ? v4[icmp->code] : "unreachable";
	return icmp->type == ICMP4_TIME_EXCEEDED ? "time to live exceeded: a routing loop"
						 : "an ICMP error";
}

static bool is_prohibition(const struct stairs_icmp *icmp)
{
	return icmp->ip6
		       ? icmp->code == 1 || icmp->code == 4 || icmp->code == 5 || icmp->code == 6
		       : icmp->code == 3 || icmp->code == 9 || icmp->code == 10 || icmp->code == 13;
}

static void blame_icmp(struct stairs *s)
{
	const struct stairs_call *c = s->best;
	struct view_finding *f = stairs_find(s, VIEW_FINDING_syn_icmp, VIEW_CERTAIN);
	struct view_word from =
		c->icmp.has_from ? word_addr(&c->icmp.from) : word_format("somebody");
	bool own = c->icmp.has_from && cpl_addr_equal(&c->icmp.from, &c->local);
	const char *what = c->icmp.has_from ? icmp_text(&c->icmp) : strerror(c->error);
	const char *who = own					    ? "this machine itself"
			  : cpl_addr_equal(&c->icmp.from, &c->addr) ? "the destination"
			  : c->has_hop && cpl_addr_equal(&c->icmp.from, &c->hop) ? "the gateway"
										 : "a router";

	view_finding_say(f, "%s (%s) answered the SYN with ICMP%s: %s (type %u, code %u)", from.s,
			 who, c->icmp.ip6 ? "v6" : "", what, c->icmp.type, c->icmp.code);
	if (is_prohibition(&c->icmp))
		snprintf(
			f->next, sizeof(f->next),
			"A firewall there refuses this call by a rule: look at its rules (nft list "
			"ruleset) on %s.",
			own ? "this machine" : from.s);
	else
		snprintf(f->next, sizeof(f->next),
			 "%s does not know the way on: look at its routes and links.",
			 own ? "This machine" : from.s);
	view_diagnosis_step(s->d, VIEW_STEP_SYN, VIEW_STEP_FAILS, "%s (%s) refuses by ICMP: %s",
			    from.s, who, what);
}

/* The kernel of this machine refuses before a packet leaves. */
static void blame_own_kernel(struct stairs *s)
{
	const struct stairs_call *c = s->best;
	const char *error = strerror(c->error);
	struct view_finding *f;

	if (c->error == EADDRNOTAVAIL) {
		char range[40] = "";
		FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");

		if (file && fscanf(file, "%39[^\n]", range) == 1)
			for (char *p = range; (p = strchr(p, '\t')); *p = '-')
				;
		if (file)
			fclose(file);
		f = stairs_find(s, VIEW_FINDING_ports_exhausted, VIEW_DERIVED);
		view_finding_say(f, "connect() says EADDRNOTAVAIL: no free local port of %s for %s",
				 range[0] ? range : "ip_local_port_range",
				 word_endpoint(&c->addr, s->o->target.port).s);
	} else if (c->error == EMFILE || c->error == ENFILE) {
		f = stairs_find(s, VIEW_FINDING_fd_limit, VIEW_CERTAIN);
		f->pid = (uint32_t)getpid();
		snprintf(f->program, sizeof(f->program), "couplet");
		view_finding_say(f, "socket() says %s: %s", error,
				 c->error == EMFILE ? "this process may open no more"
						    : "the whole machine may open no more");
	} else if (c->error == EAFNOSUPPORT) {
		f = stairs_find(s, VIEW_FINDING_no_route, VIEW_CERTAIN);
		view_finding_say(f, "this kernel speaks no IPv%d (EAFNOSUPPORT)",
				 cpl_addr_is4(&c->addr) ? 4 : 6);
	} else {
		f = stairs_find(s, VIEW_FINDING_syn_dropped, VIEW_DERIVED);
		view_finding_say(f,
				 "connect() says %s at once: this machine itself forbids the "
				 "call",
				 error);
		snprintf(f->next, sizeof(f->next),
			 "Look for what forbids it here: firewall (nft list ruleset), security "
			 "module, BPF programs of the control group.");
	}
	view_diagnosis_step(s->d, VIEW_STEP_SYN, VIEW_STEP_FAILS, "%s: %s",
			    c->error == EMFILE || c->error == ENFILE ? "no socket" : "no SYN left",
			    strerror(c->error));
}

static struct view_word milliseconds(const struct stairs_call *c)
{
	return word_ns(c->ended - c->began);
}

/* Addresses of the same name that do not answer, although another does. */
static void others(struct stairs *s)
{
	for (unsigned i = 0; i < s->calls; i++) {
		const struct stairs_call *c = &s->call[i];
		struct view_finding *f;

		/* What fails at once costs nobody time: no IPv6, or ::1 beside 127.0.0.1. */
		if (c->outcome == STAIRS_OPEN || c->outcome == STAIRS_NO_CALL ||
		    (c->outcome == STAIRS_REFUSED && addr_is_loopback(&c->addr)))
			continue;
		f = stairs_find(s, VIEW_FINDING_address_dead, VIEW_CERTAIN);
		view_finding_say(f, "%s %s, %s answers",
				 word_endpoint(&c->addr, s->o->target.port).s,
				 c->outcome == STAIRS_SILENT ? "does not answer"
				 : c->outcome == STAIRS_NO_HOP
					 ? "is not reached: its next hop is silent"
				 : c->outcome == STAIRS_BY_ICMP ? "is refused by ICMP"
								: "refuses with an RST",
				 word_addr(&s->best->addr).s);
		if (i == 0)
			view_finding_say(f, "it is the first that programs try: they wait for it, "
					    "unless they try both at a time (RFC 8305)");
	}
}

static void answered(struct stairs *s)
{
	const struct stairs_call *c = s->best;
	unsigned open = 0;
	struct view_word of = { "" }, again = { "" };

	for (unsigned i = 0; i < s->calls; i++)
		open += s->call[i].outcome == STAIRS_OPEN;
	if (s->calls > 1)
		of = word_format(", %u of %u addresses", open, s->calls);
	if (c->syns > 1)
		again = word_format(", only at the %u%s SYN", c->syns,
				    c->syns == 2   ? "nd"
				    : c->syns == 3 ? "rd"
						   : "th");
	view_diagnosis_step(s->d, VIEW_STEP_SYN, VIEW_STEP_HOLDS, "answered by %s after %s%s%s",
			    word_addr(&c->addr).s, milliseconds(c).s, again.s, of.s);
	others(s);
}

bool stairs_syn(struct stairs *s)
{
	switch (s->best->outcome) {
	case STAIRS_OPEN:
		answered(s);
		return true;
	case STAIRS_REFUSED:
		stairs_blame_refused(s);
		return false;
	case STAIRS_BY_ICMP:
		blame_icmp(s);
		return false;
	case STAIRS_NO_CALL:
	case STAIRS_NOT_CALLED:
		blame_own_kernel(s);
		return false;
	case STAIRS_SILENT:
	case STAIRS_NO_HOP: /* stairs_neighbour() has ended the climb */
		break;
	}
	stairs_blame_silent(s);
	return false;
}
