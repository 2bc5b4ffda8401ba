/* SPDX-License-Identifier: MIT */
/*
 * Several queues of one device: every frame comes to its own core, whichever queue the device put
 * it into; nothing is lost unsaid, nothing comes twice, and each flow stays in order.
 */
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

#include "link/link.h"
#include "tests/util/packet.h"

#define CORES 3
#define FLOWS 50

static const uint8_t key[40] = { 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a,
				 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a,
				 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a,
				 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a };
static struct link_why why;

/* The device: DEVICE[I] is the other end of queue I. */
struct rig {
	struct link *device[CORES], *links[CORES];
};

static void begin(struct rig *r)
{
	struct link_pipe_config config = { .kind = CPL_IFACE_IP, .wake = true, .offload = true };
	struct link *queues[CORES], *ends[2];

	for (unsigned i = 0; i < CORES; i++) {
		assert_int_equal(link_pipe_open(ends, &config, &why), 0);
		r->device[i] = ends[0];
		queues[i] = ends[1];
	}
	assert_int_equal(link_steer_open(r->links, queues, CORES, key, &why), 0);
}

static void end(struct rig *r)
{
	for (unsigned i = 0; i < CORES; i++) {
		link_close(r->device[i]);
		link_close(r->links[i]);
	}
}

/* Segment number SEQ of flow number FLOW. */
static uint32_t segment(uint8_t *p, size_t room, unsigned flow, uint32_t seq)
{
	struct ip_hdr ip = { .src = cpl_addr4(10, 0, 0, 9), .dst = cpl_addr4(10, 0, 0, 1) };
	struct tcp_seg seg = {
		.sport = (uint16_t)(1000 + flow), .dport = 80, .flags = TCP_ACK, .seq = seq
	};

	return packet_tcp(p, room, &ip, &seg);
}

static int put(struct link *device, const void *p, uint32_t len)
{
	struct cpl_out out = { .iov = { { p, len } }, .iov_n = 1, .len = len };

	return link_write(device, &out);
}

static bool readable(struct link *link)
{
	struct pollfd p = { .fd = link->fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

struct seen {
	uint32_t next[FLOWS];
	unsigned flows[CORES]; /* of which each core has seen something */
	uint64_t n;
};

/* Read all that LINK has, which must be its own. */
static void drain(struct link *link, unsigned core, struct seen *seen)
{
	struct cpl_frame frames[5];

	while (readable(link)) {
		int n = link_read(link, frames, 5);

		assert_in_range(n, 0, 5);
		for (int i = 0; i < n; i++) {
			struct test_packet t;
			unsigned flow;

			assert_int_equal(packet_parse(&t, frames[i].data, frames[i].len, false),
					 PACKET_TCP);
			flow = t.tcp.sport - 1000u;
			assert_int_equal(cpl_steer(key, CORES, CPL_IFACE_IP, frames[i].data,
						   frames[i].len),
					 core);
			assert_int_equal(t.tcp.seq, seen->next[flow]);
			seen->flows[core] += !seen->next[flow];
			seen->next[flow]++;
			seen->n++;
		}
	}
}

/* The device keeps each flow in one queue, as devices do, but by a rule of its own. */
static void test_each_to_its_own(void **state)
{
	uint32_t next[FLOWS] = { 0 };
	struct seen seen = { .n = 0 };
	uint64_t handed = 0, strays = 0;
	uint8_t p[128];
	struct rig r;

	(void)state;
	begin(&r);
	srand(7);
	for (unsigned n = 0; n < 20000; n++) {
		unsigned flow = (unsigned)rand() % FLOWS;
		uint32_t len = segment(p, sizeof(p), flow, next[flow]++);

		strays += cpl_steer(key, CORES, CPL_IFACE_IP, p, len) != (int)(flow % CORES);
		assert_int_equal(put(r.device[flow % CORES], p, len), 1);
		if (n % 64 == 63)
			for (unsigned round = 0; round < 2; round++)
				for (unsigned i = 0; i < CORES; i++)
					drain(r.links[i], i, &seen);
	}
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < CORES; i++)
			drain(r.links[i], i, &seen);
	assert_int_equal(seen.n, 20000);
	for (unsigned i = 0; i < CORES; i++) {
		assert_true(seen.flows[i] > FLOWS / CORES / 2);
		assert_int_equal(r.links[i]->lost_frames, 0);
		handed += link_steer_handed_on(r.links[i]);
	}
	assert_true(strays > 5000);
	assert_int_equal(handed, strays);
	end(&r);
}

static void test_for_all(void **state)
{
	uint8_t part[28] = {
		0x45, 0, 0, 28, 0, 1, 0x20, 0, 64, 17, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1
	};
	struct cpl_frame frame;
	struct rig r;

	(void)state;
	begin(&r);
	packet_fix(part, sizeof(part));
	assert_int_equal(put(r.device[1], part, sizeof(part)), 1);
	assert_int_equal(link_read(r.links[1], &frame, 1), 1);
	assert_memory_equal(frame.data, part, sizeof(part));
	for (unsigned i = 0; i < CORES; i += 2) {
		assert_true(readable(r.links[i]));
		assert_int_equal(link_read(r.links[i], &frame, 1), 1);
		assert_memory_equal(frame.data, part, sizeof(part));
		assert_int_equal(link_read(r.links[i], &frame, 1), 0);
	}
	assert_int_equal(link_read(r.links[1], &frame, 1), 0);
	end(&r);
}

/* A super-segment with an unfinished checksum stays what it is. */
static void test_offloads_are_kept(void **state)
{
	static uint8_t p[40000];
	struct cpl_frame frame;
	struct cpl_out out = { .iov_n = 1, .gso_size = 1448, .csum_start = 20, .csum_offset = 16 };
	unsigned flow = 0, core;
	struct rig r;
	uint32_t len;

	(void)state;
	begin(&r);
	do
		len = segment(p, sizeof(p), flow++, 1);
	while ((core = (unsigned)cpl_steer(key, CORES, CPL_IFACE_IP, p, len)) == 0);
	p[2] = 30000 >> 8;
	p[3] = 30000 & 255;
	packet_fix(p, 30000);
	out.iov[0] = (struct cpl_iov){ p, 30000 };
	out.len = 30000;
	assert_int_equal(link_write(r.device[0], &out), 1);
	assert_int_equal(link_read(r.links[0], &frame, 1), 0);
	assert_int_equal(link_read(r.links[core], &frame, 1), 1);
	assert_int_equal(frame.len, 30000);
	assert_int_equal(frame.gso_size, 1448);
	assert_int_equal(frame.flags, CPL_FRAME_CSUM_PARTIAL);
	end(&r);
}

/* Who does not read loses what does not fit, and it is counted. */
static void test_overflow_is_counted(void **state)
{
	static uint8_t p[128];
	struct cpl_frame frames[64];
	unsigned flow = 0, core, put_n = 0;
	uint64_t got = 0;
	struct rig r;
	uint32_t len;
	int n;

	(void)state;
	begin(&r);
	do
		len = segment(p, sizeof(p), flow++, 1);
	while ((core = (unsigned)cpl_steer(key, CORES, CPL_IFACE_IP, p, len)) == 0);
	for (; put_n < 20000; put_n++) {
		assert_int_equal(put(r.device[0], p, len), 1);
		assert_int_equal(link_read(r.links[0], frames, 1), 0);
	}
	while ((n = link_read(r.links[core], frames, 64)) > 0)
		got += (unsigned)n;
	assert_true(got > 1000);
	assert_int_equal(got + r.links[0]->lost_frames, put_n);
	end(&r);
}

/* A queue without room: the frame is refused, and the descriptor says when there is room again. */
static void test_refused_frame(void **state)
{
	static uint8_t big[30000];
	struct cpl_out out = { .iov = { { big, sizeof(big) } }, .iov_n = 1, .len = sizeof(big) };
	struct cpl_frame frames[64];
	struct rig r;
	int n, got = 0, sent = 0;

	(void)state;
	begin(&r);
	while (link_write(r.links[2], &out))
		sent++;
	assert_false(readable(r.links[2]));
	while ((n = link_read(r.device[2], frames, 64)) > 0)
		got += n;
	assert_int_equal(got, sent);
	assert_true(readable(r.links[2]));
	assert_int_equal(link_read(r.links[2], frames, 64), 0);
	assert_int_equal(link_write(r.links[2], &out), 1);
	assert_int_equal(r.links[2]->lost_frames, 0);
	end(&r);
}

static void test_bad_queues(void **state)
{
	struct link_pipe_config ip = { .kind = CPL_IFACE_IP, .wake = true };
	struct link_pipe_config ether = { .kind = CPL_IFACE_ETHER, .wake = true };
	struct link_pipe_config blind = { .kind = CPL_IFACE_IP };
	struct link *a[2], *b[2], *queues[2], *links[2];

	(void)state;
	assert_int_equal(link_steer_open(links, queues, 0, key, &why), -EINVAL);
	for (int kind = 0; kind < 2; kind++) {
		assert_int_equal(link_pipe_open(a, &ip, &why), 0);
		assert_int_equal(link_pipe_open(b, kind ? &ether : &blind, &why), 0);
		queues[0] = a[0];
		queues[1] = b[0];
		assert_int_equal(link_steer_open(links, queues, 2, key, &why), -EINVAL);
		link_close(a[1]);
		link_close(b[1]);
	}
}

/* ---- in threads ---- */

struct worker {
	struct rig *r;
	unsigned core;
	struct seen seen;
	uint64_t *total;
	pthread_t thread;
};

#define THREAD_FRAMES 60000u

static void *work(void *arg)
{
	struct worker *w = arg;
	struct pollfd p = { .fd = w->r->links[w->core]->fd, .events = POLLIN };

	while (__atomic_load_n(w->total, __ATOMIC_RELAXED) < THREAD_FRAMES) {
		uint64_t before = w->seen.n;

		poll(&p, 1, 10);
		drain(w->r->links[w->core], w->core, &w->seen);
		__atomic_fetch_add(w->total, w->seen.n - before + w->r->links[w->core]->lost_frames,
				   __ATOMIC_RELAXED);
		w->r->links[w->core]->lost_frames = 0;
	}
	return NULL;
}

/* Paced by what has come out, so that nothing overflows: then nothing may be lost. */
static void test_threads(void **state)
{
	static struct worker workers[CORES];
	uint32_t next[FLOWS] = { 0 };
	uint64_t total = 0;
	uint8_t p[128];
	struct rig r;

	(void)state;
	begin(&r);
	for (unsigned i = 0; i < CORES; i++) {
		workers[i] = (struct worker){ .r = &r, .core = i, .total = &total };
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (unsigned n = 0; n < THREAD_FRAMES; n++) {
		unsigned flow = n % FLOWS;
		uint32_t len = segment(p, sizeof(p), flow, next[flow]++);

		while (n - __atomic_load_n(&total, __ATOMIC_RELAXED) > 1000)
			sched_yield();
		assert_int_equal(put(r.device[flow % CORES], p, len), 1);
	}
	for (unsigned i = 0; i < CORES; i++)
		pthread_join(workers[i].thread, NULL);
	for (unsigned flow = 0; flow < FLOWS; flow++) {
		uint32_t seen = 0;

		for (unsigned i = 0; i < CORES; i++)
			seen += workers[i].seen.next[flow];
		assert_int_equal(seen, next[flow]);
	}
	end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_to_its_own),
		cmocka_unit_test(test_for_all),
		cmocka_unit_test(test_offloads_are_kept),
		cmocka_unit_test(test_overflow_is_counted),
		cmocka_unit_test(test_refused_frame),
		cmocka_unit_test(test_bad_queues),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests_name("steer", tests, NULL, NULL);
}
