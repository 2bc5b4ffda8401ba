/* SPDX-License-Identifier: MIT */
/* The wire in memory: order, bounds, super-segments, and two threads that wake each other. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "link/link.h"

static struct link_why why;
static uint8_t pattern[70000];

static int setup(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 31 + i / 251);
	return 0;
}

/* Frame number K: its length and octets follow from K. */
static uint32_t frame_len(uint32_t k)
{
	return k % 97 == 0 ? 60000 + k % 5000 : 20 + k * 7919 % 1500;
}

static struct cpl_out frame_make(uint32_t k)
{
	uint32_t len = frame_len(k);
	const uint8_t *p = pattern + k % 4096;

	return (struct cpl_out){ .iov = { { p, 13 }, { p + 13, len - 13 } },
				 .iov_n = 2,
				 .len = len,
				 .gso_size = (uint16_t)(len > 1500 ? 1448 : 0),
				 .csum_start = (uint16_t)(k % 2 ? 34 : 0),
				 .csum_offset = (uint16_t)(k % 2 ? 16 : 0) };
}

static bool frame_is(const struct cpl_frame *f, uint32_t k)
{
	return f->len == frame_len(k) && !memcmp(f->data, pattern + k % 4096, f->len) &&
	       f->gso_size == (f->len > 1500 ? 1448 : 0) &&
	       f->flags == (k % 2 ? CPL_FRAME_CSUM_PARTIAL : 0);
}

static void test_order_and_bound(void **state)
{
	struct link_pipe_config config = { .kind = CPL_IFACE_ETHER, .room = 1 };
	struct cpl_frame frames[7];
	struct link *ends[2];
	uint32_t written = 0, got = 0, refused = 0;

	(void)state;
	srand(1);
	assert_int_equal(link_pipe_open(ends, &config, &why), 0);
	assert_int_equal(ends[0]->fd, -1);
	assert_int_equal(ends[0]->iface.flags, 0);
	assert_memory_not_equal(ends[0]->iface.mac, ends[1]->iface.mac, 6);
	assert_int_equal(link_read(ends[1], frames, 7), 0);
	while (got < 50000) {
		for (int burst = rand() % 60; burst; burst--) {
			struct cpl_out f = frame_make(written);
			int sent = link_write(ends[0], &f);

			written += (uint32_t)sent;
			refused += !sent;
			/* 128 KiB hold no more than that */
			assert_true(written - got <= (1u << 17) / 32 + 7);
		}
		for (int burst = rand() % 10; burst; burst--) {
			int n = link_read(ends[1], frames, 7);

			for (int i = 0; i < n; i++)
				assert_true(frame_is(&frames[i], got++));
		}
	}
	assert_true(refused > 100);
	/* nothing came back */
	assert_int_equal(link_read(ends[0], frames, 7), 0);
	link_close(ends[0]);
	while (link_read(ends[1], frames, 7) > 0)
		;
	/* nobody there: as if lost */
	written = 0;
	struct cpl_out f = frame_make(1);
	assert_int_equal(link_write(ends[1], &f), 1);
	assert_int_equal(ends[1]->lost_frames, 1);
	link_close(ends[1]);
}

static void test_offload(void **state)
{
	struct link_pipe_config config = { .kind = CPL_IFACE_IP, .mtu = 9000, .offload = true };
	struct link *ends[2];

	(void)state;
	assert_int_equal(link_pipe_open(ends, &config, &why), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(ends[i]->iface.flags,
				 CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4 | CPL_IFACE_GSO6);
		assert_true(ends[i]->iface.gso_max > 60000);
		assert_int_equal(ends[i]->iface.mtu, 9000);
		assert_int_equal(ends[i]->iface.kind, CPL_IFACE_IP);
		link_close(ends[i]);
	}
	config.room = UINT32_MAX;
	assert_int_equal(link_pipe_open(ends, &config, &why), -EINVAL);
}

#define THREAD_FRAMES 60000u

static bool ready(struct link *link)
{
	struct pollfd p = { .fd = link->fd, .events = POLLIN };

	return poll(&p, 1, 5000) == 1;
}

static void *writer(void *arg)
{
	struct link *end = arg;
	struct cpl_frame frames[8];

	for (uint32_t k = 0; k < THREAD_FRAMES;) {
		struct cpl_out f = frame_make(k);

		if (link_write(end, &f)) {
			k++;
			continue;
		}
		if (!ready(end)) /* the other side made room */
			return NULL;
		link_read(end, frames, 8);
	}
	return arg;
}

/* A wake-up that is lost shows as five seconds of silence. */
static void test_threads(void **state)
{
	struct link_pipe_config config = { .kind = CPL_IFACE_IP, .room = 1, .wake = true };
	struct cpl_frame frames[16];
	struct link *ends[2];
	pthread_t thread;
	uint32_t got = 0;
	void *ended;

	(void)state;
	assert_int_equal(link_pipe_open(ends, &config, &why), 0);
	assert_int_equal(pthread_create(&thread, NULL, writer, ends[0]), 0);
	while (got < THREAD_FRAMES) {
		int n = link_read(ends[1], frames, 1 + got % 16);

		for (int i = 0; i < n; i++)
			assert_true(frame_is(&frames[i], got++));
		if (!n)
			assert_true(ready(ends[1]));
	}
	pthread_join(thread, &ended);
	assert_ptr_equal(ended, ends[0]);
	link_close(ends[1]);
	link_close(ends[0]);
}

/* What is done just before the next read(2), which here is this one. */
static struct link *meanwhile;

ssize_t read(int fd, void *data, size_t n)
{
	struct link *writer = meanwhile;
	struct cpl_out f = frame_make(1);

	meanwhile = NULL;
	if (writer)
		assert_int_equal(link_write(writer, &f), 1);
	return syscall(SYS_read, fd, data, n);
}

static bool readable(const struct link *link)
{
	struct pollfd p = { .fd = link->fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/*
 * A frame comes between the look at the ring and the clearing of the descriptor: it is handed out,
 * and whoever asks the descriptor hears of those that follow.
 */
static void test_between(void **state)
{
	struct link_pipe_config config = { .kind = CPL_IFACE_ETHER, .wake = true };
	struct cpl_out next = frame_make(2), first = frame_make(0);
	struct cpl_frame frames[7];
	struct link *ends[2];

	(void)state;
	assert_int_equal(link_pipe_open(ends, &config, &why), 0);
	assert_int_equal(link_write(ends[0], &first), 1);
	assert_int_equal(link_read(ends[1], frames, 7), 1);
	meanwhile = ends[0];
	assert_int_equal(link_read(ends[1], frames, 7), 1);
	assert_null(meanwhile);
	assert_true(frame_is(&frames[0], 1));
	assert_int_equal(link_write(ends[0], &next), 1);
	assert_true(readable(ends[1]));
	assert_int_equal(link_read(ends[1], frames, 7), 1);
	assert_true(frame_is(&frames[0], 2));
	assert_int_equal(link_read(ends[1], frames, 7), 0);
	assert_false(readable(ends[1]));
	link_close(ends[0]);
	link_close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_bound),
		cmocka_unit_test(test_offload),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_between),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
