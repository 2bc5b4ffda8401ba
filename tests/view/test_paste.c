/* SPDX-License-Identifier: MIT */
/* Pasted rows of every netstat: what is read from them, and what is said. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "view/paste.h"

static const struct {
	const char *name;
	uint16_t port;
} services[] = { { "https", 443 }, { "ssh", 22 }, { "mdns", 5353 }, { "ipp", 631 } };

static uint16_t port(void *arg, const char *name, uint8_t protocol)
{
	(void)arg, (void)protocol;
	for (size_t i = 0; i < sizeof(services) / sizeof(*services); i++)
		if (strcmp(services[i].name, name) == 0)
			return services[i].port;
	return 0;
}

static const char *name(void *arg, uint16_t number, uint8_t protocol)
{
	(void)arg, (void)protocol;
	for (size_t i = 0; i < sizeof(services) / sizeof(*services); i++)
		if (services[i].port == number)
			return services[i].name;
	return NULL;
}

static struct view_paste paste;
static struct view_pasted row;

static void start(void)
{
	memset(&paste, 0, sizeof(paste));
	paste.services = (struct view_services){ port, name, NULL };
}

static void line(const char *s)
{
	view_paste_line(&paste, s, strlen(s), &row);
}

/* What is read of one row, as "tcp4 10.0.0.1:80 10.0.0.2:443 ESTABLISHED r=0 s=0 dress". */
static const char *summary(void)
{
	static char s[400];
	const struct cpl_info *i = &row.info;
	static const char *const dresses[] = { "?", "linux", "bsd", "ss", "windows", "couplet" };
	size_t n;

	if (row.kind != VIEW_PASTED_ROW)
		return row.kind == VIEW_PASTED_UNKNOWN	? "unknown"
		       : row.kind == VIEW_PASTED_DETAIL ? "detail"
							: "blank";
	n = (size_t)snprintf(s, sizeof(s), "%s%u ",
			     i->family == 1	? "unix"
			     : i->protocol == 6 ? "tcp"
						: "udp",
			     i->family);
	if (i->family != 1) {
		struct view_word l = word_format("%s:%u",
						 cpl_info_known(i, CPL_F_local_addr)
							 ? word_addr(&i->local_addr).s
							 : "-",
						 i->local_port);
		struct view_word r = word_format("%s:%u",
						 cpl_info_known(i, CPL_F_remote_addr)
							 ? word_addr(&i->remote_addr).s
							 : "-",
						 i->remote_port);

		n += (size_t)snprintf(s + n, sizeof(s) - n, "%s %s ", l.s, r.s);
	}
	n += (size_t)snprintf(s + n, sizeof(s) - n, "%s ",
			      cpl_info_known(i, CPL_F_state) ? view_state_name(i->state) : "-");
	if (cpl_info_known(i, CPL_F_recv_queue))
		n += (size_t)snprintf(s + n, sizeof(s) - n, "r=%u s=%u ", i->recv_queue,
				      i->send_queue);
	if (cpl_info_known(i, CPL_F_accept_queue))
		n += (size_t)snprintf(s + n, sizeof(s) - n, "waiting=%u ", i->accept_queue);
	if (cpl_info_known(i, CPL_F_backlog))
		n += (size_t)snprintf(s + n, sizeof(s) - n, "limit=%u ", i->backlog);
	if (cpl_info_known(i, CPL_F_pid))
		n += (size_t)snprintf(s + n, sizeof(s) - n, "pid=%u ", i->pid);
	if (cpl_info_known(i, CPL_F_program))
		n += (size_t)snprintf(s + n, sizeof(s) - n, "%s ", i->program);
	if (cpl_info_known(i, CPL_F_path))
		n += (size_t)snprintf(s + n, sizeof(s) - n, "%s ", i->path);
	if (row.local.cut || row.foreign.cut)
		n += (size_t)snprintf(s + n, sizeof(s) - n, "cut ");
	snprintf(s + n, sizeof(s) - n, "%s", dresses[row.dress]);
	return s;
}

/* Each alone, without a heading. */
static const struct {
	const char *text, *read;
} cases[] = {
	{ "tcp4 0 0 10.226.245.157.60596 20.189.173.17.https ESTABLISHED",
	  "tcp4 10.226.245.157:60596 20.189.173.17:443 ESTABLISHED r=0 s=0 bsd" },
	{ "tcp6 0 0 fe80::1%lo0.631 *.* LISTEN", "tcp6 fe80::1:631 :::0 LISTEN bsd" },
	{ "tcp46 0 0 *.80 *.* LISTEN", "tcp6 :::80 :::0 LISTEN bsd" },
	{ "tcp6 0 0 2001:db8::5.54321 2001:db8::1.443 SYN_SENT",
	  "tcp6 2001:db8::5:54321 2001:db8::1:443 SYN_SENT r=0 s=0 bsd" },
	{ "tcp6 0 0 ::1.50000 ::1.631 FIN_WAIT_2",
	  "tcp6 ::1:50000 ::1:631 FIN_WAIT_2 r=0 s=0 bsd" },
	{ "tcp6 0 0 2603:8000:7d01:1.54321 2607:f8b0:4007:8.https ESTABLISHED",
	  "tcp6 -:54321 -:443 ESTABLISHED r=0 s=0 cut bsd" },
	{ "tcp4 3 5 some-machine-with-a-na ec2.example.com.https CLOSE_WAIT",
	  "tcp4 -:0 -:443 CLOSE_WAIT r=3 s=5 cut bsd" },
	{ "udp4 0 0 *.mdns *.*", "udp4 0.0.0.0:5353 0.0.0.0:0 - r=0 s=0 bsd" },
	{ "tcp        0    128 0.0.0.0:22     0.0.0.0:*     LISTEN      812/sshd",
	  "tcp4 0.0.0.0:22 0.0.0.0:0 LISTEN waiting=0 limit=128 pid=812 sshd linux" },
	{ "tcp        2      0 0.0.0.0:22     0.0.0.0:*     LISTEN",
	  "tcp4 0.0.0.0:22 0.0.0.0:0 LISTEN waiting=2 linux" },
	{ "tcp6       0      0 :::80          :::*          LISTEN  -",
	  "tcp6 :::80 :::0 LISTEN waiting=0 linux" },
	{ "tcp6 0 0 ::1:631 ::1:50000 TIME_WAIT - timewait (43.21/0/0)",
	  "tcp6 ::1:631 ::1:50000 TIME_WAIT r=0 s=0 linux" },
	{ "tcp 0 2896 10.0.0.1:ssh 10.0.0.9:51234 ESTABLISHED 900/sshd: root@pts on "
	  "(0.20/3/0)",
	  "tcp4 10.0.0.1:22 10.0.0.9:51234 ESTABLISHED r=0 s=2896 pid=900 sshd linux" },
	{ "udp 0 0 127.0.0.53:53 0.0.0.0:* 700/systemd-resolve",
	  "udp4 127.0.0.53:53 0.0.0.0:0 - r=0 s=0 pid=700 systemd-resolve linux" },
	{ "ESTAB 0 0 10.0.0.1:22 10.0.0.9:51234 users:((\"sshd\",pid=9,fd=4))",
	  "tcp4 10.0.0.1:22 10.0.0.9:51234 ESTABLISHED r=0 s=0 pid=9 sshd ss" },
	{ "tcp LISTEN 0 511 [::]:80 [::]:*", "tcp6 :::80 :::0 LISTEN waiting=0 limit=511 ss" },
	{ "udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:*",
	  "udp4 127.0.0.53:53 0.0.0.0:0 - r=0 s=0 ss" },
	{ "SYN-SENT 0 1 [fe80::1]%eth0:40000 [fe80::2]:22",
	  "tcp6 fe80::1:40000 fe80::2:22 SYN_SENT r=0 s=1 ss" },
	{ "  TCP    127.0.0.1:80    0.0.0.0:0   LISTENING       4",
	  "tcp4 127.0.0.1:80 0.0.0.0:0 LISTEN pid=4 windows" },
	{ "  TCP    [fe80::1%12]:135    [::]:0   LISTENING",
	  "tcp6 fe80::1:135 :::0 LISTEN windows" },
	{ "  UDP    0.0.0.0:500   *:*    3160", "udp4 0.0.0.0:500 0.0.0.0:0 - pid=3160 windows" },
	{ "unix  2 [ ACC ] STREAM LISTENING 17733 1/init /run/systemd/private",
	  "unix1 LISTEN pid=1 init /run/systemd/private ?" },
	{ "u_str ESTAB 0 7 @/tmp/x 33 * 34 users:((\"Xorg\",pid=7,fd=8))",
	  "unix1 ESTABLISHED r=0 s=7 pid=7 Xorg @/tmp/x ss" },
	{ "83e2a1d5e3a5ea7 stream 0 0 0 83e2a1d5e3a5f6f 0 0 /var/run/mDNSResponder",
	  "unix1 - /var/run/mDNSResponder bsd" },
	{ "#12 tcp 0 0 10.0.0.1:40000 10.0.0.2:80 SYN_RCVD 4711/curl",
	  "tcp4 10.0.0.1:40000 10.0.0.2:80 SYN_RCVD r=0 s=0 pid=4711 curl linux" },
	{ "tcp 0 0 10.0.0.1:22\r", "unknown" },
	{ "tcp 0 0 10.0.0.1:22 10.0.0.2:33333", "unknown" },
	{ "tcp 0 0 10.0.0.1:22 10.0.0.2:33333 WAITING", "unknown" },
	{ "tcp 0 0 10.0.0.1:22 10.0.0.2:65536 LISTEN",
	  "tcp4 10.0.0.1:22 10.0.0.2:0 LISTEN waiting=0 linux" },
	{ "tcp 0 0 \"x\" 10.0.0.2:1 LISTEN", "unknown" },
	{ "tcpx 0 0 10.0.0.1:22 10.0.0.2:1 LISTEN", "unknown" },
	{ "tcp6 0 0 2a02:8109:9a40:1:41234 2a00:1450:4001:80f:443 ESTABLISHED",
	  "tcp6 -:41234 -:443 ESTABLISHED r=0 s=0 cut linux" },
	{ "tcp          0      0  127.0.0.1.25   *.*    LISTEN", /* OpenBSD */
	  "tcp4 127.0.0.1:25 0.0.0.0:0 LISTEN bsd" },
	{ "tcp4 0 0 192.168.1.5.52345 17.57.144.87.5223 ESTABLISHED 131072 131072 389 0",
	  "tcp4 192.168.1.5:52345 17.57.144.87:5223 ESTABLISHED r=0 s=0 bsd" },
	{ "icm6 0 0 *.* *.*", "unknown" },
	{ "hello world", "unknown" },
	{ "   ", "blank" },
	{ "$ netstat -an", "blank" },
};

static void rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		start();
		line(cases[i].text);
		if (strcmp(summary(), cases[i].read) != 0)
			fail_msg("\"%s\" was read as\n\"%s\", not as\n\"%s\" (%s)", cases[i].text,
				 summary(), cases[i].read, row.why);
	}
}

/* Headings tell whose table it is; what ss -i adds belongs to the row above. */
static void tables(void **state)
{
	(void)state;
	start();
	line("Active Internet connections (including servers)");
	assert_int_equal(row.kind, VIEW_PASTED_BLANK);
	assert_int_equal(paste.dress, VIEW_DRESS_BSD);
	line("Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)");
	assert_int_equal(row.kind, VIEW_PASTED_BLANK);
	line("tcp4       0      0  *.22                   *.*                    LISTEN");
	assert_string_equal(summary(), "tcp4 0.0.0.0:22 0.0.0.0:0 LISTEN bsd");
	line("Active Internet connections (w/o servers)");
	assert_int_equal(paste.dress, VIEW_DRESS_LINUX);
	line("Active UNIX domain sockets (w/o servers)");
	assert_true(paste.unix_sockets);
	/* What is no connection at all is passed over, up to the next table. */
	line("Active kernel control sockets");
	line("kctl       0      0      1      9 com.apple.netsrc");
	assert_int_equal(row.kind, VIEW_PASTED_BLANK);
	line("Active Internet connections (w/o servers)");
	line("raw 0 0 0.0.0.0:1 0.0.0.0:* 7");
	assert_int_equal(row.kind, VIEW_PASTED_UNKNOWN);
	assert_non_null(strstr(row.why, "sockets of raw are not explained"));
	start();
	line("State    Recv-Q   Send-Q     Local Address:Port      Peer Address:Port  Process");
	assert_int_equal(paste.dress, VIEW_DRESS_SS);
	line("\t cubic wscale:7,7 rto:204"); /* without a row above it */
	assert_int_equal(row.kind, VIEW_PASTED_UNKNOWN);
	line("ESTAB 0 0 10.0.0.1:22 10.0.0.9:51234 timer:(on,200ms,3)");
	assert_int_equal(row.info.rexmt_count, 3);
	assert_int_equal(row.info.timer_rexmt, 200000000);
	line("\t cubic wscale:7,7 rto:204");
	assert_int_equal(row.kind, VIEW_PASTED_DETAIL);
	line("ESTAB 0 0 10.0.0.1:22 10.0.0.9:51234 timer:(keepalive,1min59sec,0)");
	assert_int_equal(row.info.timer_keep, 119000000000);
	start();
	line("Proto Recv-Q Send-Q Local-Address  Foreign-Address (state)");
	line("tcp        1      8 127.0.0.1:2040 *:*             LISTEN");
	assert_int_equal(row.info.backlog, 8);
	assert_int_equal(row.info.accept_queue, 1);
}

static struct text t;

static void said(const char *s, const char *const *parts)
{
	text_init(&t);
	start();
	line(s);
	view_paste_explain(&t, &paste, &row);
	for (; *parts; parts++)
		if (!strstr(t.data, *parts))
			fail_msg("\"%s\" is not in:\n%s", *parts, t.data);
	text_free(&t);
}

#define SAID(row, ...) said((row), (const char *const[]){ __VA_ARGS__, NULL })

static void explained(void **state)
{
	(void)state;
	SAID("tcp4 0 0 10.226.245.157.60596 20.189.173.17.https ESTABLISHED",
	     "tcp4 0 0 10.226.245.157.60596", "TCP over IPv4", "a private network), port 60596.",
	     "20.189.173.17 (the Internet), port 443 (https)", "This machine called",
	     "the handshake is done", "Both queues are empty", "lsof -nP -iTCP:60596");
	SAID("tcp 0 9 10.0.0.1:22 10.0.0.9:51234 ESTABLISHED 900/sshd on (0.20/3/0)",
	     "The other end called: 22", "Send-Q 9: written by sshd (pid 900)", "sent 3 times more",
	     "next try in 200.0 ms", "couplet show 10.0.0.1:22-10.0.0.9:51234");
	SAID("LISTEN 129 128 0.0.0.0:8080 0.0.0.0:*", "129 of at most 128", "It is full",
	     "couplet show 'sport = :8080'");
	SAID("tcp6 0 0 2603:8000:7d01:1.54321 2607:f8b0:4007:8.https ESTABLISHED",
	     "cut short in the row", "netstat -anW");
	SAID("tcp 0 0 10.0.0.1:50000 ec2-52-1-2-3.comput:443 CLOSE_WAIT", "perhaps cut short",
	     "The peer has closed");
	SAID("TCP 127.0.0.1:80 0.0.0.0:0 LISTENING 4", "Windows", "tasklist /fi \"PID eq 4\"");
	SAID("tcp 0 1 10.0.0.1:50000 10.0.0.9:81 SYN_SENT", "nothing has answered",
	     "A closed port would have refused");
	SAID("\033[31mevil", "\"?[31mevil\"", "Not understood");
}

/* As long as it likes, with any bytes in it: quoted, cut at what a row can be, never obeyed. */
static void hostile(void **state)
{
	static char huge[5000];

	(void)state;
	start();
	memset(huge, 'x', sizeof(huge));
	view_paste_line(&paste, huge, sizeof(huge), &row);
	assert_int_equal(row.kind, VIEW_PASTED_UNKNOWN);
	assert_non_null(strstr(row.why, "5000 bytes"));
	memset(huge, ' ', sizeof(huge));
	view_paste_line(&paste, huge, sizeof(huge), &row);
	assert_int_equal(row.kind, VIEW_PASTED_BLANK);
	view_paste_line(&paste, "tcp\0 0 0", 8, &row);
	assert_int_equal(row.kind, VIEW_PASTED_UNKNOWN);
	SAID("tcp 0 0 10.0.0.1:22 10.0.0.9:51234 ESTABLISHED 900/\033]0;owned\007", "?]0;owned?");
	SAID("tcp 99999999999 0 10.0.0.1:22 10.0.0.9:51234 ESTABLISHED", "Not understood");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows),
		cmocka_unit_test(tables),
		cmocka_unit_test(explained),
		cmocka_unit_test(hostile),
	};

	return cmocka_run_group_tests_name("paste", tests, NULL, NULL);
}
