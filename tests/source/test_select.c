/* SPDX-License-Identifier: MIT */
/* The grammar that names connections: each form by table, and what is no name. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>

#include "source/select.h"

/* ---- A machine with nine sockets ------------------------------------------------------------ */

enum {
	LISTENER,
	CURL,
	SERVER,
	SIX,
	WAITING,
	UDP_BOUND,
	UDP_CONNECTED,
	LINK_LOCAL,
	UNIX,
	SOCKETS
};

static struct cpl_info sockets[SOCKETS];

static void socket_set(unsigned n, uint8_t protocol, const char *local, uint16_t local_port,
		       const char *remote, uint16_t remote_port)
{
	struct cpl_info *i = &sockets[n];

	memset(i, 0, sizeof(*i));
	CPL_INFO_READ(i, source, CPL_SOURCE_SOCK_DIAG);
	CPL_INFO_READ(i, protocol, protocol);
	assert_int_equal(cpl_addr_parse(&i->local_addr, local), 0);
	assert_int_equal(cpl_addr_parse(&i->remote_addr, remote), 0);
	cpl_info_mark_read(i, CPL_F_local_addr);
	cpl_info_mark_read(i, CPL_F_remote_addr);
	CPL_INFO_READ(i, local_port, local_port);
	CPL_INFO_READ(i, remote_port, remote_port);
	CPL_INFO_READ(i, family, strchr(local, ':') ? 6 : 4);
	CPL_INFO_READ(i, id, n + 1);
}

static void socket_state(unsigned n, enum cpl_state state)
{
	CPL_INFO_READ(&sockets[n], state, state);
}

static void socket_owner(unsigned n, uint32_t pid, const char *program)
{
	CPL_INFO_READ(&sockets[n], pid, pid);
	CPL_INFO_READ(&sockets[n], uid, 1000);
	snprintf(sockets[n].program, sizeof(sockets[n].program), "%s", program);
	cpl_info_mark_read(&sockets[n], CPL_F_program);
}

static int machine(void **state)
{
	(void)state;
	socket_set(LISTENER, 6, "0.0.0.0", 443, "0.0.0.0", 0);
	socket_state(LISTENER, CPL_LISTEN);
	socket_owner(LISTENER, 70, "nginx");
	socket_set(CURL, 6, "10.0.0.1", 5000, "10.0.0.2", 443);
	socket_state(CURL, CPL_ESTABLISHED);
	socket_owner(CURL, 812, "curl");
	CPL_INFO_READ(&sockets[CURL], send_queue, 20000);
	CPL_INFO_READ(&sockets[CURL], srtt, 40000000);
	CPL_INFO_DERIVED(&sockets[CURL], cwnd, 14600);
	socket_set(SERVER, 6, "10.0.0.2", 443, "10.0.0.1", 5000);
	socket_state(SERVER, CPL_CLOSE_WAIT);
	socket_owner(SERVER, 70, "nginx");
	CPL_INFO_READ(&sockets[SERVER], send_queue, 0);
	socket_set(SIX, 6, "::1", 80, "::1", 40000);
	socket_state(SIX, CPL_FIN_WAIT_2);
	socket_owner(SIX, 99,
		     "gnome-shell-cal"); /* as the kernel cuts gnome-shell-calendar-server */
	socket_set(WAITING, 6, "10.0.0.1", 5001, "192.168.7.9", 22);
	socket_state(WAITING, CPL_TIME_WAIT);
	socket_set(UDP_BOUND, 17, "0.0.0.0", 53, "0.0.0.0", 0);
	socket_set(UDP_CONNECTED, 17, "10.0.0.1", 4000, "9.9.9.9", 53);
	socket_set(LINK_LOCAL, 6, "fe80::1", 6000, "fe80::2", 22);
	socket_state(LINK_LOCAL, CPL_SYN_SENT);
	CPL_INFO_READ(&sockets[LINK_LOCAL], ifindex, 1);
	memset(&sockets[UNIX], 0, sizeof(sockets[UNIX]));
	CPL_INFO_READ(&sockets[UNIX], source, CPL_SOURCE_SOCK_DIAG);
	CPL_INFO_READ(&sockets[UNIX], family, 1);
	CPL_INFO_READ(&sockets[UNIX], protocol, 0);
	CPL_INFO_READ(&sockets[UNIX], id, UNIX + 1);
	socket_state(UNIX, CPL_LISTEN);
	snprintf(sockets[UNIX].path, sizeof(sockets[UNIX].path), "/run/Bus.sock");
	cpl_info_mark_read(&sockets[UNIX], CPL_F_path);
	return 0;
}

/* Which sockets TEXT selects, as bits. */
static unsigned selected(const char *text)
{
	struct select s;
	struct select_error error;
	unsigned bits = 0;

	if (select_parse(&s, text, &error))
		fail_msg("\"%s\": %s (at %zu)", text, error.text, error.at);
	for (unsigned i = 0; i < SOCKETS; i++)
		bits |= (unsigned)select_match(&s, &sockets[i], i + 1) << i;
	return bits;
}

#define B(name) (1u << (name))
#define ALL	(B(SOCKETS) - 1)

struct row {
	const char *text;
	unsigned selected;
};

static void check(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (selected(rows[i].text) != rows[i].selected)
			fail_msg("\"%s\" selects %x, not %x", rows[i].text, selected(rows[i].text),
				 rows[i].selected);
}

#define CHECK(rows) check(rows, sizeof(rows) / sizeof(*(rows)))

/* ---- Names ----------------------------------------------------------------------------------- */

static void names(void **state)
{
	static const struct row rows[] = {
		{ "", ALL },
		{ "  ", ALL },
		{ "#3", B(SERVER) },
		{ "#99", 0 },
		{ ":443", B(LISTENER) | B(CURL) | B(SERVER) },
		{ ":https", B(LISTENER) | B(CURL) | B(SERVER) },
		{ ":22", B(WAITING) | B(LINK_LOCAL) },
		{ ":53", B(UDP_BOUND) | B(UDP_CONNECTED) },
		{ "*:443", B(LISTENER) | B(CURL) | B(SERVER) },
		{ "10.0.0.1", B(CURL) | B(SERVER) | B(WAITING) | B(UDP_CONNECTED) },
		{ "10.0.0.0/8", B(CURL) | B(SERVER) | B(WAITING) | B(UDP_CONNECTED) },
		{ "10.0.0.0/31", B(CURL) | B(SERVER) | B(WAITING) | B(UDP_CONNECTED) },
		{ "10.0.0.2/31", B(CURL) | B(SERVER) },
		{ "0.0.0.0/0", ALL & ~B(SIX) & ~B(LINK_LOCAL) & ~B(UNIX) },
		{ "10.0.0.2:443", B(CURL) | B(SERVER) },
		{ "10.0.0.2:5000", 0 },
		{ "0.0.0.0:443", B(LISTENER) },
		{ "::1", B(SIX) },
		{ "[::1]", B(SIX) },
		{ "[::1]:80", B(SIX) },
		{ "[0:0::1]:http", B(SIX) },
		{ "[::1]:81", 0 },
		{ "::/0", B(SIX) | B(LINK_LOCAL) },
		{ "fe80::2%lo", B(LINK_LOCAL) },
		{ "fe80::2%1", B(LINK_LOCAL) },
		{ "fe80::2%2", 0 },
		{ "[fe80::2%1]:22", B(LINK_LOCAL) },
		{ "::ffff:10.0.0.2", B(CURL) | B(SERVER) },
		{ "10.0.0.1:5000-10.0.0.2:443", B(CURL) | B(SERVER) },
		{ "10.0.0.2:443-10.0.0.1:5000", B(CURL) | B(SERVER) },
		{ "10.0.0.1-10.0.0.2", B(CURL) | B(SERVER) },
		{ "10.0.0.1:5001-10.0.0.2:443", 0 },
		{ ":5000-:443", B(CURL) | B(SERVER) },
		{ "[::1]:80-[::1]:40000", B(SIX) },
		{ "::1-::1", B(SIX) },
		{ "10.0.0.1-*:22", B(WAITING) },
		{ "pid:812", B(CURL) },
		{ "pid:70", B(LISTENER) | B(SERVER) },
		{ "uid:1000", B(LISTENER) | B(CURL) | B(SERVER) | B(SIX) },
		{ "id:2", B(CURL) },
		{ "curl", B(CURL) },
		{ "program:curl", B(CURL) },
		{ "nginx", B(LISTENER) | B(SERVER) },
		{ "ngin*", B(LISTENER) | B(SERVER) },
		{ "?url", B(CURL) },
		{ "wget", 0 },
		{ "gnome-shell-calendar-server", B(SIX) },
		{ "gnome-shell-cal", B(SIX) },
		{ "gnome-shell", 0 },
		{ "established", B(CURL) | B(UDP_CONNECTED) },
		{ "ESTAB", B(CURL) | B(UDP_CONNECTED) },
		{ "state:listen", B(LISTENER) | B(UNIX) },
		{ "FIN-WAIT-2", B(SIX) },
		{ "fin_wait_2", B(SIX) },
		{ "TIME_WAIT", B(WAITING) },
		{ "tcp", ALL & ~B(UDP_BOUND) & ~B(UDP_CONNECTED) & ~B(UNIX) },
		{ "udp", B(UDP_BOUND) | B(UDP_CONNECTED) },
		{ "ip6", B(SIX) | B(LINK_LOCAL) },
		{ "unix", B(UNIX) },
		{ "/run/bus.sock", B(UNIX) },
		{ "/run/*", B(UNIX) },
		{ "/tmp/*", 0 },
		{ "@/run/*", 0 },
		{ "10/8", B(CURL) | B(SERVER) | B(WAITING) | B(UDP_CONNECTED) },
		{ "192.168.7/24", B(WAITING) },
	};

	(void)state;
	CHECK(rows);
}

/* A host's name is looked up, in the hosts file here. */
static void host_names(void **state)
{
	(void)state;
	assert_int_equal(selected("localhost:80") & B(SIX), selected("localhost:80"));
	assert_int_equal(selected("dst localhost") & B(SIX), selected("dst localhost"));
}

static void filters(void **state)
{
	static const struct row rows[] = {
		{ "state established", B(CURL) | B(UDP_CONNECTED) },
		{ "state = established", B(CURL) | B(UDP_CONNECTED) },
		{ "state != established tcp",
		  B(LISTENER) | B(SERVER) | B(SIX) | B(WAITING) | B(LINK_LOCAL) },
		{ "exclude established and tcp",
		  B(LISTENER) | B(SERVER) | B(SIX) | B(WAITING) | B(LINK_LOCAL) },
		{ "state all", ALL },
		{ "state connected and tcp",
		  B(CURL) | B(SERVER) | B(SIX) | B(WAITING) | B(LINK_LOCAL) },
		{ "state synchronized and tcp", B(CURL) | B(SERVER) | B(SIX) | B(WAITING) },
		{ "state bucket", B(WAITING) },
		{ "dport = :443", B(CURL) },
		{ "dport = :https", B(CURL) },
		{ "dport=:443", B(CURL) },
		{ "dport 443", B(CURL) },
		{ "dport eq 443", B(CURL) },
		{ "sport = :443", B(LISTENER) | B(SERVER) },
		{ "sport > 5000", B(WAITING) | B(LINK_LOCAL) },
		{ "sport gt :5000", B(WAITING) | B(LINK_LOCAL) },
		{ "sport >= :5000 and sport < 6000", B(CURL) | B(WAITING) },
		{ "sport le 53", B(UDP_BOUND) },
		{ "sport != 443 dport != 0",
		  B(CURL) | B(SIX) | B(WAITING) | B(UDP_CONNECTED) | B(LINK_LOCAL) },
		{ "src 10.0.0.1", B(CURL) | B(WAITING) | B(UDP_CONNECTED) },
		{ "dst 10.0.0.1", B(SERVER) },
		{ "src = 10.0.0.1:5000", B(CURL) },
		{ "dst = [::1]:40000", B(SIX) },
		{ "dst 192.168.0.0/16", B(WAITING) },
		{ "src 10.0.0.0/8 dst != 10.0.0.0/8", B(WAITING) | B(UDP_CONNECTED) },
		{ "dst :22", B(WAITING) | B(LINK_LOCAL) },
		{ "send_queue > 0", B(CURL) },
		{ "send_queue = 0", B(SERVER) },
		{ "send_queue != 1", B(CURL) | B(SERVER) }, /* unknown ones are not */
		{ "not send_queue = 0", ALL & ~B(SERVER) },
		{ "send_queue >= 20k", B(CURL) },
		{ "send_queue > 20Ki", 0 },
		{ "cwnd < 20000", B(CURL) },
		{ "srtt > 39.5ms", B(CURL) },
		{ "srtt>=40ms", B(CURL) },
		{ "srtt > 40ms", 0 },
		{ "srtt < 1s", B(CURL) },
		{ "pid = 70", B(LISTENER) | B(SERVER) },
		{ "program = curl", B(CURL) },
		/* As ss has them: states one after the other are any of these. */
		{ "state fin-wait-2 state syn-sent", B(SIX) | B(LINK_LOCAL) },
		{ "state fin-wait-2 state syn-sent state listen :443", B(LISTENER) },
		{ "state fin-wait-2 and state syn-sent", 0 },
		{ "dport = :22 state time-wait state syn-sent", B(WAITING) | B(LINK_LOCAL) },
		{ "exclude listen exclude fin-wait-2 tcp exclude syn-sent",
		  B(CURL) | B(SERVER) | B(WAITING) },
		{ "state connected exclude time-wait tcp",
		  B(CURL) | B(SERVER) | B(SIX) | B(LINK_LOCAL) },
		{ "src inet:10.0.0.1:5000", B(CURL) },
		{ "dst inet6:[::1]", B(SIX) },
		{ "src unix:/run/*", B(UNIX) },
		{ "src = /RUN/BUS*", B(UNIX) },
		{ "src != /run/x", B(UNIX) },
		{ "path = *.sock", B(UNIX) },
		{ "dev lo", B(LINK_LOCAL) },
		{ "dev = 1", B(LINK_LOCAL) },
		{ "dev != 2", B(LINK_LOCAL) },
		{ "not dev = lo and ip6", B(SIX) },
		{ "dport = inet::443", B(CURL) },
		{ "program != curl", B(LISTENER) | B(SERVER) | B(SIX) },
	};

	(void)state;
	CHECK(rows);
}

static void logic(void **state)
{
	static const struct row rows[] = {
		{ "curl or nginx", B(CURL) | B(LISTENER) | B(SERVER) },
		{ "curl || nginx", B(CURL) | B(LISTENER) | B(SERVER) },
		{ "nginx and listen", B(LISTENER) },
		{ "nginx listen", B(LISTENER) },
		{ "nginx && listen", B(LISTENER) },
		{ "nginx & listen | curl", B(LISTENER) | B(CURL) },
		/* "and" binds tighter. */
		{ "curl or nginx and listen", B(CURL) | B(LISTENER) },
		{ "curl or nginx listen", B(CURL) | B(LISTENER) },
		{ "(curl or nginx) and listen", B(LISTENER) },
		{ "( dport = :443 or sport = :443 ) state established", B(CURL) },
		{ "not nginx", ALL & ~B(LISTENER) & ~B(SERVER) },
		{ "! nginx", ALL & ~B(LISTENER) & ~B(SERVER) },
		{ "!nginx :443", B(CURL) },
		{ "not not nginx", B(LISTENER) | B(SERVER) },
		{ "not (nginx or curl) :443", 0 },
		{ "!(listen)&&nginx", B(SERVER) },
		{ "((((curl))))", B(CURL) },
		{ "not state established or curl", ALL & ~B(UDP_CONNECTED) },
		{ "#1 or #2", B(LISTENER) | B(CURL) },
	};

	(void)state;
	CHECK(rows);
}

/* The ports that the system chooses are said by the system. */
static void autobound(void **state)
{
	FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");
	unsigned low, high, expected = 0;

	(void)state;
	if (!file || fscanf(file, "%u %u", &low, &high) != 2)
		skip();
	fclose(file);
	for (unsigned i = 0; i < SOCKETS; i++)
		if (cpl_info_known(&sockets[i], CPL_F_local_port) && sockets[i].local_port >= low &&
		    sockets[i].local_port <= high)
			expected |= B(i);
	assert_int_equal(selected("autobound"), expected);
	assert_int_equal(selected("! autobound"), ALL & ~expected);
}

/* ---- What is no name ------------------------------------------------------------------------- */

static void errors(void **state)
{
	static const struct {
		const char *text;
		size_t at, len;
		const char *says;
	} rows[] = {
		{ "curl and", 8, 1, "must follow" },
		{ "curl or or", 8, 2, "begin" },
		{ "(curl", 0, 1, "\"(\" without \")\"" },
		{ "curl)", 4, 1, "\")\" without \"(\"" },
		{ "()", 1, 1, "begin" },
		{ "not", 3, 1, "must follow" },
		{ "= 3", 0, 1, "begin" },
		{ "443", 0, 3, "pid:443" },
		{ "curl 80", 5, 2, ":80" },
		{ ":65536", 0, 6, "0 to 65535" },
		{ ":", 0, 1, "comes a port" },
		{ "10.0.0.1:", 0, 9, "comes a port" },
		{ ":no-such-service", 0, 16, "name of a service" },
		{ ":-1", 0, 3, "neither a port" },
		{ ":80x", 0, 4, "no port" },
		{ "10.0.0.300", 0, 10, "no address" },
		{ "10.0.0.300:80", 0, 13, "no address" },
		{ "10.0.0.1/33", 0, 11, "0 to 32" },
		{ "::1/129", 0, 7, "0 to 128" },
		{ "10.0.0.1/x", 0, 10, "prefix length" },
		{ "[::1:80", 0, 7, "without \"]\"" },
		{ "[::1]80", 0, 7, "behind \"]\"" },
		{ "[::zz]:80", 0, 9, "no address" },
		{ "fe80::1%nosuchif0", 0, 17, "no interface" },
		{ "pid:", 0, 4, "comes a number" },
		{ "pid:curl", 0, 8, "comes a number" },
		{ "pid:-1", 0, 6, "comes a number" },
		{ "#", 0, 1, "from 1" },
		{ "#0", 0, 2, "from 1" },
		{ "#x", 0, 2, "from 1" },
		{ "state", 5, 1, "a state" },
		{ "state establishd", 6, 10, "did you mean ESTABLISHED" },
		{ "state:nonsense", 0, 14, "no state" },
		{ "state > listen", 8, 6, "only be compared" },
		{ "sport", 5, 1, "a port" },
		{ "sport =", 7, 1, "a port" },
		{ "sport = = 80", 8, 1, "a port" },
		{ "sport = 10.0.0.1:80", 8, 11, "src and dst" },
		{ "dst < 10.0.0.1", 6, 8, "only be compared" },
		{ "dst = )", 6, 1, "an address" },
		{ "cwndd > 3", 0, 5, "no field" },
		{ "curl cwnd > x", 12, 1, "no value" },
		{ "srtt > 3", 7, 1, "200ms" },
		{ "srtt > 3k", 7, 2, "200ms" },
		{ "cwnd > 3ms", 7, 3, "64k" },
		{ "cwnd > -3", 7, 2, "no value" },
		{ "cwnd > 1e99G", 7, 5, "no value" },
		{ "cc_name = 3", 10, 1, "no number" },
		{ "fwmark = 0x01/0x03", 0, 6, "ss(8)" },
		{ "cgroup = /a", 0, 6, "ss(8)" },
		{ "dst /run/x", 4, 6, "with src" },
		{ "dev = nosuchif0", 6, 9, "no interface" },
		{ "dev > lo", 6, 2, "only be compared" },
		{ "path < /a", 7, 2, "only be compared" },
		{ "program < a", 10, 1, "only be compared" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct select s;
		struct select_error error;

		assert_int_equal(select_parse(&s, rows[i].text, &error), -EINVAL);
		if (error.at != rows[i].at || error.len != rows[i].len ||
		    !strstr(error.text, rows[i].says))
			fail_msg("\"%s\": at %zu, %zu bytes: %s", rows[i].text, error.at, error.len,
				 error.text);
	}
}

/* However long and however nested: an error, never a crash. */
static void limits(void **state)
{
	struct select s;
	struct select_error error;
	char text[2000];

	(void)state;
	memset(text, '(', sizeof(text));
	text[sizeof(text) - 1] = 0;
	assert_int_equal(select_parse(&s, text, &error), -EINVAL);
	memset(text, '!', sizeof(text) - 1);
	assert_int_equal(select_parse(&s, text, &error), -EINVAL);
	memset(text, 'a', sizeof(text) - 1);
	assert_int_equal(select_parse(&s, text, &error), -EINVAL);
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = i % 2 ? ' ' : 'a';
	assert_int_equal(select_parse(&s, text, &error), -EINVAL);
	assert_non_null(strstr(error.text, "too long"));
	text[2 * SELECT_NODES / 2 - 1] = 0; /* names and the "and" between them */
	assert_int_equal(select_parse(&s, text, &error), 0);
}

/* Every beginning of a good filter, and each with one byte spoiled: parsed or refused, nothing
 * else. */
static void spoiled(void **state)
{
	static const char good[] = "( dport = :443 or src 10.0.0.1:5-[::1%lo]:80 ) and not state "
				   "fin-wait-1 && srtt >= 1.5ms pid:3 #7 10.0.0.1:1-10.0.0.2:2";
	char text[sizeof(good)];
	struct select s;
	struct select_error error;

	(void)state;
	for (size_t n = 0; n < sizeof(good); n++) {
		memcpy(text, good, sizeof(good));
		text[n] = 0;
		if (select_parse(&s, text, &error))
			assert_true(error.text[0] && error.at <= n && error.len > 0);
		/* Not with ":" nor "-", which can make the name of a host that would be looked up.
		 */
		for (const char *c = "()!=[]%#/\377"; *c && n < sizeof(good) - 1; c++) {
			memcpy(text, good, sizeof(good));
			text[n] = *c;
			if (select_parse(&s, text, &error))
				assert_true(error.text[0] && error.at < sizeof(good));
		}
	}
}

/* ---- What a filter needs --------------------------------------------------------------------- */

static struct select parsed(const char *text)
{
	struct select s;
	struct select_error error;

	assert_int_equal(select_parse(&s, text, &error), 0);
	return s;
}

static void needs(void **state)
{
	struct select s;

	(void)state;
	s = parsed("");
	assert_int_equal(select_states(&s), SOURCE_USUAL_STATES);
	assert_false(select_needs_owners(&s) || select_needs_details(&s) || select_needs_rows(&s));
	s = parsed("state established or listen");
	assert_int_equal(select_states(&s),
			 SOURCE_STATE(CPL_ESTABLISHED) | SOURCE_STATE(CPL_LISTEN));
	s = parsed("state connected and state bucket :80");
	assert_int_equal(select_states(&s),
			 SOURCE_STATE(CPL_TIME_WAIT) | SOURCE_STATE(CPL_SYN_RECEIVED));
	s = parsed("established or :80");
	assert_int_equal(select_states(&s), SOURCE_USUAL_STATES);
	s = parsed("not listen");
	assert_int_equal(select_states(&s), SOURCE_USUAL_STATES & ~SOURCE_STATE(CPL_LISTEN));
	s = parsed("not (listen and :80)");
	assert_int_equal(select_states(&s), SOURCE_USUAL_STATES);
	s = parsed("closed");
	assert_int_equal(select_states(&s), SOURCE_STATE(CPL_CLOSED));
	s = parsed("not (curl)");
	assert_true(select_needs_owners(&s));
	s = parsed("pid:3");
	assert_true(select_needs_owners(&s));
	s = parsed(":3 srtt > 1ms");
	assert_true(select_needs_details(&s));
	assert_false(select_needs_block(&s));
	s = parsed("send_queue > 0 or rexmt_count > 2");
	assert_false(select_needs_details(&s));
	s = parsed("snd_una > 0");
	assert_true(select_needs_details(&s) && select_needs_block(&s));
	s = parsed("attached = 0");
	assert_true(select_needs_details(&s) && select_needs_block(&s));
	s = parsed("unix or @x");
	assert_true(select_names_unix(&s));
	s = parsed("unix or :80");
	assert_false(select_names_unix(&s));
	s = parsed("listen and /run/?");
	assert_true(select_names_unix(&s));
	s = parsed(":3 or #4");
	assert_true(select_needs_rows(&s));
}

static void in_order(void **state)
{
	struct cpl_info shuffled[SOCKETS], again[SOCKETS];

	(void)state;
	memcpy(shuffled, sockets, sizeof(shuffled));
	select_sort(shuffled, SOCKETS);
	for (unsigned i = 0; i < SOCKETS; i++)
		again[i] = sockets[SOCKETS - 1 - i];
	select_sort(again, SOCKETS);
	assert_memory_equal(shuffled, again, sizeof(again));
	assert_int_equal(shuffled[0].id, sockets[LISTENER].id);
	assert_int_equal(shuffled[SOCKETS - 1].family, 1);
	assert_int_equal(shuffled[SOCKETS - 2].protocol, 17);
	select_sort(shuffled, 0);
}

static void nearest(void **state)
{
	size_t near[SELECT_NEAREST];

	(void)state;
	assert_int_equal(select_nearest("crul", sockets, SOCKETS, near, 3), 1);
	assert_int_equal(near[0], CURL);
	assert_true(select_nearest("ngnix", sockets, SOCKETS, near, 3) >= 2);
	assert_int_equal(near[0], LISTENER);
	assert_int_equal(near[1], SERVER);
	assert_true(select_nearest(":4443", sockets, SOCKETS, near, 8) >= 3);
	assert_int_equal(near[0], LISTENER);
	assert_true(select_nearest("10.0.0.2:44", sockets, SOCKETS, near, 1) == 1);
	assert_int_equal(near[0], CURL);
	assert_int_equal(select_nearest("thunderbird", sockets, SOCKETS, near, 8), 0);
	assert_int_equal(select_nearest("", sockets, SOCKETS, near, 8), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),   cmocka_unit_test(host_names), cmocka_unit_test(filters),
		cmocka_unit_test(logic),   cmocka_unit_test(errors),	 cmocka_unit_test(limits),
		cmocka_unit_test(spoiled), cmocka_unit_test(needs),	 cmocka_unit_test(in_order),
		cmocka_unit_test(nearest), cmocka_unit_test(autobound),
	};

	return cmocka_run_group_tests_name("select", tests, machine, NULL);
}
