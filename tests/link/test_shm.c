/* SPDX-License-Identifier: MIT */
/*
 * The wire between two processes: streams across it both ways, a peer that is killed and one that
 * comes after it, and a peer that writes whatever it likes into the shared memory.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/util/looped.h"

#define TOTAL  (2u << 20)
#define PORT   7
#define TURNS  2000
#define HELLO  16 /* octets */
#define ROUNDS 3000

static struct link_why why;
static char path[64];
static struct link_shm_config config = { .path = path };

static void ok(int err)
{
	if (err < 0)
		fail_msg("%s: %s", strerror(-err), why.text);
}

static struct cpl_addr addr(bool ipv6, unsigned host)
{
	struct cpl_addr six = { { 0xfd, 0, [15] = (uint8_t)host } };

	return ipv6 ? six : cpl_addr4(10, 97, 0, (uint8_t)host);
}

static void host_open(struct looped *h, unsigned number)
{
	struct link *link;

	ok(link_shm_open(&link, &config, &why));
	ok(looped_open(h, link, &why));
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		struct cpl_addr ours = addr(ipv6, number);

		ok(looped_addr(h, &ours, ipv6 ? 64 : 24));
	}
}

/* A process that echoes until it is killed; it is at the path when this returns. */
static pid_t echo_process(void)
{
	pid_t parent = getpid(), pid;
	struct looped h;
	int ready[2];
	char c;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid) {
		close(ready[1]);
		assert_int_equal(read(ready[0], &c, 1), 1);
		close(ready[0]);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	host_open(&h, 2);
	if (looped_echo(&h, PORT) || write(ready[1], "", 1) != 1)
		_exit(1);
	loop_run(h.loop);
	_exit(0);
}

static void kill_process(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void stream(struct looped *h, bool ipv6)
{
	struct cpl_endpoint remote = { .addr = addr(ipv6, 2), .port = PORT };
	unsigned turns = 0;

	/*
	 * They meet: a SYN sent before would be lost, and again in a second. No descriptor of the
	 * one before, open still in a process forked since, keeps the loop awake.
	 */
	for (uint64_t end = loop_clock() + 20 * CPL_MS; loop_clock() < end; turns++)
		ok(loop_turn(h->loop, end));
	if (turns > 100)
		fail_msg("%u turns in 20 ms of nothing", turns);
	ok(looped_send(h, &remote, TOTAL));
	assert_int_equal(h->received, TOTAL);
	ok(cpl_abort(h->stack, h->conn, loop_clock()));
}

static void echo_both(bool offload, uint64_t spin_ns)
{
	struct looped h;
	pid_t pid;

	config.no_offload = !offload;
	config.mtu = offload ? 0 : 1500;
	host_open(&h, 1); /* we listen */
	pid = echo_process();
	loop_set_spin(h.loop, spin_ns);
	stream(&h, false);
	stream(&h, true);
	kill_process(pid);
	/* who comes after it finds the wire as it was */
	pid = echo_process();
	stream(&h, false);
	kill_process(pid);
	looped_close(&h);
	assert_int_equal(access(path, F_OK), -1);
	config.no_offload = false;
	config.mtu = 0;
}

static void test_echo(void **state)
{
	(void)state;
	echo_both(true, 0);
	echo_both(false, 0);
}

static void test_spin(void **state)
{
	(void)state;
	echo_both(true, 20000);
}

/* We find the other side there; it ends and comes again. */
static void test_connecting(void **state)
{
	struct stat st;
	struct looped h;
	pid_t pid = echo_process();

	(void)state;
	for (unsigned i = 0; i < TURNS && stat(path, &st); i++)
		usleep(1000);
	assert_int_equal(st.st_mode & 0777, 0700);
	host_open(&h, 1);
	stream(&h, true);
	kill_process(pid);
	ok(loop_turn(h.loop, loop_clock() + CPL_MS));
	pid = echo_process(); /* takes the path over, whose owner is no more */
	stream(&h, false);
	kill_process(pid);
	looped_close(&h);
	unlink(path);
}

/* ---- A peer without manners ---- */

struct rogue {
	int socket;
	uint8_t *memory;
	size_t size;
	int fds[3];
};

static int rogue_dial(struct rogue *r)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	strcpy(at.sun_path, path);
	r->memory = NULL;
	r->socket = socket(AF_UNIX, SOCK_STREAM, 0);
	return connect(r->socket, (struct sockaddr *)&at, sizeof(at));
}

static void rogue_map(struct rogue *r)
{
	char hello[HELLO];
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(r->fds))];
	} control;
	struct iovec iov = { hello, sizeof(hello) };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	struct stat st;

	assert_int_equal(recvmsg(r->socket, &m, 0), HELLO);
	memcpy(r->fds, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(r->fds));
	assert_int_equal(fstat(r->fds[0], &st), 0);
	/* nobody can take it away from under the other */
	assert_int_equal(ftruncate(r->fds[0], 4096), -1);
	r->size = (size_t)st.st_size;
	r->memory = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fds[0], 0);
	assert_true(r->memory != MAP_FAILED);
}

static void rogue_close(struct rogue *r)
{
	munmap(r->memory, r->size);
	for (unsigned i = 0; i < 3; i++)
		close(r->fds[i]);
	close(r->socket);
}

static void frame_out(struct cpl_out *f, uint32_t len)
{
	static uint8_t data[65536];

	*f = (struct cpl_out){ .iov = { { data, len } }, .iov_n = 1, .len = len };
}

/* Whatever is in the memory, frames lie where they may, and the link lives on. */
static void use_link(struct link *link)
{
	struct cpl_frame frames[16];
	struct cpl_out out;
	volatile uint8_t sum = 0;
	int n = link_read(link, frames, 16);

	assert_true(n >= 0 && n <= 16);
	for (int i = 0; i < n; i++) {
		assert_true(frames[i].len <= 65549 && frames[i].gso_size <= 65535);
		for (uint32_t k = 0; k < frames[i].len; k++)
			sum = (uint8_t)(sum + ((const uint8_t *)frames[i].data)[k]);
	}
	frame_out(&out, (uint32_t)rand() % 3000);
	link_write(link, &out);
	link_ready(link, rand() & 1);
}

/* Octets at random, mostly where the indices and the first records lie. */
static void scribble(struct rogue *r)
{
	size_t half = r->size / 2;

	for (unsigned i = 1 + (unsigned)rand() % 8; i; i--) {
		size_t at = (rand() & 1 ? half : 0) +
			    (rand() % 4 ? (size_t)rand() % 256 : (size_t)rand() % half);
		uint64_t v = rand() % 3 ? (uint64_t)rand() % 1024 * 16
					: (uint64_t)rand() << 33 | (uint64_t)rand();

		if (at + 8 <= r->size)
			memcpy(r->memory + (rand() % 4 ? at & ~(size_t)7 : at), &v, 8);
	}
}

/* One record at the start of the ring, and what the indices say. */
static const struct rubbish {
	uint64_t tail;
	uint32_t len, gso_size, flags;
} rubbish[] = {
	{ 64, 1000, 0, 0 },	  /* longer than what was written */
	{ 300000, 290000, 0, 0 }, /* longer than any frame */
	{ 64, 3, 0, 0 },	  /* shorter than any packet */
	{ 64, 40, 70000, 0 },	  /* segments longer than any packet */
	{ 64, 40, 0, 1 },	  /* memory lent: not by this one */
	{ 1u << 20, 40, 0, 0 },	  /* more than there is room for */
	{ 24, 8, 0, 0 },	  /* not at a record's end */
	{ UINT64_MAX, 40, 0, 0 }, /* far behind */
	{ 64, UINT32_MAX, 0, 0 }, /* "go on at the start", and nothing is there */
};

static void test_each_word_is_checked(void **state)
{
	struct cpl_frame frames[4];
	struct link *link;
	struct rogue r;

	(void)state;
	ok(link_shm_open(&link, &config, &why));
	for (unsigned i = 0; i < sizeof(rubbish) / sizeof(rubbish[0]); i++) {
		const uint32_t record[4] = { rubbish[i].len, rubbish[i].gso_size,
					     rubbish[i].flags };

		assert_int_equal(rogue_dial(&r), 0);
		while (link->bad_frames == i &&
		       recv(r.socket, &(char){ 0 }, 1, MSG_PEEK | MSG_DONTWAIT) < 0)
			assert_int_equal(link_read(link, frames, 4), 0);
		rogue_map(&r);
		memcpy(r.memory + 128, record, sizeof(record));
		memcpy(r.memory, &rubbish[i].tail, 8);
		assert_int_equal(link_read(link, frames, 4), 0);
		if (link->bad_frames != i + 1)
			fail_msg("rubbish %u was believed", i);
		rogue_close(&r);
	}
	/* and a good one */
	assert_int_equal(rogue_dial(&r), 0);
	link_read(link, frames, 4);
	rogue_map(&r);
	memcpy(r.memory + 128, (const uint32_t[4]){ 40 }, 16);
	memcpy(r.memory, &(uint64_t){ 64 }, 8);
	assert_int_equal(link_read(link, frames, 4), 1);
	assert_int_equal(frames[0].len, 40);
	rogue_close(&r);
	link_close(link);
}

static void test_rubbish(void **state)
{
	struct link *link;
	struct rogue r;
	unsigned parted = 0;

	(void)state;
	srand(1);
	ok(link_shm_open(&link, &config, &why));
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t before = link->bad_frames;

		assert_int_equal(rogue_dial(&r), 0);
		use_link(link);
		rogue_map(&r);
		for (unsigned i = 0; i < 8; i++) {
			scribble(&r);
			use_link(link);
		}
		parted += link->bad_frames > before;
		rogue_close(&r);
		for (unsigned i = 0; i < 40; i++) /* it notices the end */
			use_link(link);
	}
	/* most of it was seen to be rubbish */
	assert_true(parted > ROUNDS / 4);
	link_close(link);
}

/* A listener that sends something else than it should. */
static void test_rogue_listener(void **state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd;
	struct cpl_frame frames[4];
	struct link *link;

	(void)state;
	strcpy(at.sun_path, path);
	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(listener, 1), 0);
	ok(link_shm_open(&link, &config, &why));
	fd = accept(listener, NULL, NULL);
	assert_int_equal(send(fd, "couplet\0\0\0\10\0\0\0\0\0", HELLO, 0), HELLO);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(link_read(link, frames, 4), 0);
	assert_int_equal(link->bad_frames, 1);
	link_close(link);
	close(fd);
	close(listener);
	unlink(path);
}

static void test_errors(void **state)
{
	struct link_shm_config bad = { .path = "/no-such-directory/wire" };
	char longer[200] = "";
	struct link *link;

	(void)state;
	assert_int_equal(link_shm_open(&link, &bad, &why), -ENOENT);
	assert_non_null(strstr(why.text, "/no-such-directory/wire"));
	memset(longer, 'x', sizeof(longer) - 1);
	bad.path = longer;
	assert_int_equal(link_shm_open(&link, &bad, &why), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_spin),
		cmocka_unit_test(test_connecting),
		cmocka_unit_test(test_rogue_listener),
		cmocka_unit_test(test_rubbish),
		cmocka_unit_test(test_each_word_is_checked),
	};
	char directory[] = "/tmp/couplet-shm-XXXXXX";
	int failed;

	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(directory))
		return 1;
	snprintf(path, sizeof(path), "%s/wire", directory);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(directory);
	return failed;
}
