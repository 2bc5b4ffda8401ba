/* SPDX-License-Identifier: MIT */
/*
 * What the kernel is seen to do to packets: each kind of event made once, in a network namespace of
 * the test's own, and looked up by its ports.
 *
 * "test_watcher watch" watches until its input ends and prints what it saw, for tests/doctor.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "source/watcher.h"
#include "tests/util/loopback.h"

#define NOBODY 65534

/* ---- A namespace ----------------------------------------------------------------------------- */

static bool inside;

static void enter(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	if (inside || unshare(CLONE_NEWNET))
		return;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
	close(fd);
	inside = true;
}

/* The watcher, or a skip with its reason. */
static struct watcher *start_with(struct source_notes *notes, unsigned room)
{
	struct watcher *w;

	memset(notes, 0, sizeof(*notes));
	enter();
	w = watcher_start_with(notes, room);
	if (!w) {
		assert_int_equal(notes->n, 1);
		print_message("# %s\n", notes->note[0].text);
		skip();
	}
	assert_int_equal(notes->n, 0);
	return w;
}

static struct watcher *start(struct source_notes *notes)
{
	return start_with(notes, 4096);
}

/* ---- Sockets --------------------------------------------------------------------------------- */

static int socket_of(int family, int type, uint16_t *port)
{
	union name a = loopback(family, 0);
	int fd = bound(&a, type);

	*port = port_of(fd);
	return fd;
}

/* The address of loopback as events have it. */
static struct cpl_addr address_of(int family)
{
	struct cpl_addr a;

	assert_int_equal(cpl_addr_parse(&a, family == AF_INET ? "127.0.0.1" : "::1"), 0);
	return a;
}

/* ---- Events ---------------------------------------------------------------------------------- */

/* The only event of KIND from FROM to TO. */
static const struct view_event *find(const struct view_facts *facts, enum view_event_kind kind,
				     uint16_t from, uint16_t to)
{
	const struct view_event *found = NULL;

	for (size_t i = 0; i < facts->events; i++) {
		const struct view_event *e = &facts->event[i];

		if (e->kind != kind || e->from_port != from || e->to_port != to ||
		    e->netns != source_own_netns())
			continue;
		assert_null(found);
		found = e;
	}
	return found;
}

static const struct view_event *must_find(const struct view_facts *facts, enum view_event_kind kind,
					  int family, uint16_t from, uint16_t to)
{
	const struct view_event *e = find(facts, kind, from, to);
	struct cpl_addr lo = address_of(family);

	assert_non_null(e);
	assert_true(cpl_addr_equal(&e->from, &lo));
	assert_true(cpl_addr_equal(&e->to, &lo));
	return e;
}

/* A call to a port where nobody listens: the SYN is dropped, an RST goes and comes. */
static void refused(int family)
{
	struct source_notes notes;
	struct watcher *w = start(&notes);
	struct view_facts facts = { 0 };
	const struct view_event *e;
	uint16_t here, there;
	int fd = socket_of(family, SOCK_STREAM, &here),
	    other = socket_of(family, SOCK_STREAM, &there);
	union name a;

	close(other);
	a = loopback(family, there);
	assert_int_equal(connect(fd, &a.any, name_size(&a)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	assert_int_equal(watcher_collect(w, &facts, &notes), 0);
	assert_int_equal(notes.n, 0);
	assert_true(facts.watched);
	assert_true(facts.watched_ns > 0);

	e = must_find(&facts, VIEW_EVENT_DROP, family, here, there);
	assert_string_equal(e->reason_name, "NO_SOCKET");
	assert_int_equal(e->protocol, IPPROTO_TCP);
	assert_int_equal(e->tcp_flags & 0x12, 0x02);
	assert_int_equal(e->length, family == AF_INET ? 60 : 80);
	assert_int_equal(e->times, 1);
	e = must_find(&facts, VIEW_EVENT_RST_SENT, family, there, here);
	assert_int_equal(e->tcp_flags, 0x04);
	assert_int_equal(e->times, 1);
	e = must_find(&facts, VIEW_EVENT_RST_RECEIVED, family, there, here);
	assert_int_equal(e->times, 1);
	e = must_find(&facts, VIEW_EVENT_ICMP, family, there, here);
	assert_int_equal(e->reason, ECONNREFUSED);
	assert_int_equal(e->protocol, IPPROTO_TCP);
	assert_null(find(&facts, VIEW_EVENT_RETRANSMIT, here, there));
	free(facts.event);
	watcher_stop(w);
	close(fd);
}

static void refused_ip4(void **state)
{
	(void)state;
	refused(AF_INET);
}

static void refused_ip6(void **state)
{
	(void)state;
	refused(AF_INET6);
}

/* The same again is counted; what came before the start and what nobody drops is not there. */
static void counted(void **state)
{
	struct source_notes notes;
	struct watcher *w;
	struct view_facts facts = { 0 };
	const struct view_event *e;
	uint16_t here, nowhere, heard;
	int fd, gone, listener;
	union name a;

	(void)state;
	enter();
	fd = socket_of(AF_INET, SOCK_DGRAM, &here);
	gone = socket_of(AF_INET, SOCK_DGRAM, &nowhere);
	listener = socket_of(AF_INET, SOCK_DGRAM, &heard);
	close(gone);
	a = loopback(AF_INET, nowhere);
	sendto(fd, "before", 6, 0, &a.any, name_size(&a));
	w = start(&notes);
	assert_int_equal(watcher_collect(w, &facts, &notes), 0);
	assert_null(find(&facts, VIEW_EVENT_DROP, here, nowhere));
	for (int i = 1; i <= 5; i++)
		sendto(fd, "longer than that", (size_t)i, 0, &a.any, name_size(&a));
	a = loopback(AF_INET, heard);
	assert_int_equal(sendto(fd, "heard", 5, 0, &a.any, name_size(&a)), 5);

	/* Twice: the second look replaces the first. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(watcher_collect(w, &facts, &notes), 0);
		e = must_find(&facts, VIEW_EVENT_DROP, AF_INET, here, nowhere);
		assert_int_equal(e->protocol, IPPROTO_UDP);
		assert_string_equal(e->reason_name, "NO_SOCKET");
		assert_int_equal(e->times, 5);
		assert_int_equal(e->length, 20 + 8 + 5);
		assert_null(find(&facts, VIEW_EVENT_DROP, here, heard));
	}
	free(facts.event);
	watcher_stop(w);
	close(fd);
	close(listener);
}

/* More different events than there is room for: the oldest are forgotten, and that is said. */
static void overflow(void **state)
{
	struct source_notes notes;
	const int room = 1024, made = 2 * room, first = 20000;
	struct watcher *w = start_with(&notes, (unsigned)room);
	struct view_facts facts = { 0 };
	uint16_t here, last = 0;
	int fd = socket_of(AF_INET, SOCK_DGRAM, &here);

	(void)state;
	for (int i = 0; i < made; i++) {
		union name a = loopback(AF_INET, (uint16_t)(first + i));

		sendto(fd, "x", 1, 0, &a.any, name_size(&a));
	}
	assert_int_equal(watcher_collect(w, &facts, &notes), 0);
	assert_true(facts.events <= (size_t)room);
	assert_true(facts.events > (size_t)room / 2);
	assert_int_equal(notes.n, 1);
	assert_non_null(strstr(notes.note[0].text, "the older part"));
	assert_non_null(find(&facts, VIEW_EVENT_DROP, here, (uint16_t)(first + made - 1)));
	assert_null(find(&facts, VIEW_EVENT_DROP, here, (uint16_t)first));
	for (size_t i = 0; i < facts.events; i++) /* in the order in which they were first seen */
		if (facts.event[i].from_port == here && facts.event[i].to_port >= first) {
			assert_true(facts.event[i].to_port > last);
			last = facts.event[i].to_port;
		}
	free(facts.event);
	watcher_stop(w);
	close(fd);
}

/* ---- Without ----------------------------------------------------------------------------------
 */

static void not_allowed(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		struct source_notes notes = { 0 };
		struct watcher *w;

		if (getuid() == 0 && (setgid(NOBODY) || setuid(NOBODY)))
			_exit(2);
		w = watcher_start(&notes);
		watcher_stop(NULL);
		_exit(w || notes.n != 1 || notes.note[0].weight != SOURCE_PARTIAL ||
		      strncmp(notes.note[0].text, "drop reasons were not looked at: ", 33));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void harmless(void **state)
{
	(void)state;
	assert_true(watcher_harmless("NOT_SPECIFIED", IPPROTO_TCP));
	assert_true(watcher_harmless("CONSUMED", IPPROTO_UDP));
	assert_false(watcher_harmless("NETFILTER_DROP", IPPROTO_TCP));
	assert_false(watcher_harmless("NO_SOCKET", IPPROTO_TCP));
	assert_false(watcher_harmless("NO_SOCKET", IPPROTO_UDP));
	assert_true(watcher_harmless("NO_SOCKET", IPPROTO_ICMP));
	/* A reason that a later kernel brings is told. */
	assert_false(watcher_harmless("", IPPROTO_TCP));
	assert_false(watcher_harmless("SOMETHING_NEW", IPPROTO_TCP));
}

static void idle_ack(void **state)
{
	const struct view_event ack = { .kind = VIEW_EVENT_DROP,
					.protocol = 6,
					.tcp_flags = 0x10,
					.length = 72,
					.reason_name = "TCP_CLOSE" };
	struct view_event e = ack;

	(void)state;
	assert_true(watcher_idle_ack(&e));
	memcpy(e.reason_name, "TCP_FLAGS", 10);
	assert_true(watcher_idle_ack(&e));
	memcpy(e.reason_name, "NO_SOCKET", 10);
	assert_false(watcher_idle_ack(&e));
	e = ack;
	e.length = 1500;
	assert_false(watcher_idle_ack(&e));
	e = ack;
	e.tcp_flags = 0x11; /* a FIN */
	assert_false(watcher_idle_ack(&e));
}

/* ---- As a tool --------------------------------------------------------------------------------
 */

static int watch(void)
{
	static const char *const kinds[] = { "drop", "retransmit", "rst-sent", "rst-received",
					     "error" };
	struct source_notes notes = { 0 };
	struct view_facts facts = { 0 };
	struct watcher *w = watcher_start(&notes);
	char buffer[64];

	if (!w) {
		printf("note %s\n", notes.note[0].text);
		return 3;
	}
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, buffer, sizeof(buffer)) > 0)
		;
	watcher_collect(w, &facts, &notes);
	for (size_t i = 0; i < facts.events; i++) {
		const struct view_event *e = &facts.event[i];
		char from[CPL_ADDR_TEXT], to[CPL_ADDR_TEXT];

		cpl_addr_text(&e->from, from);
		cpl_addr_text(&e->to, to);
		printf("event %s %u %u %s %u %s %u %u %u %u %s %llu\n", kinds[e->kind], e->netns,
		       e->protocol, from, e->from_port, to, e->to_port, e->tcp_flags, e->length,
		       e->reason, e->reason_name[0] ? e->reason_name : "-",
		       (unsigned long long)e->times);
	}
	for (unsigned i = 0; i < notes.n; i++)
		printf("note %s\n", notes.note[i].text);
	free(facts.event);
	watcher_stop(w);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(harmless),    cmocka_unit_test(idle_ack),
		cmocka_unit_test(not_allowed), cmocka_unit_test(refused_ip4),
		cmocka_unit_test(refused_ip6), cmocka_unit_test(counted),
		cmocka_unit_test(overflow),
	};

	if (argc == 2 && !strcmp(argv[1], "watch"))
		return watch();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
