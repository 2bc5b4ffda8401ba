/* SPDX-License-Identifier: MIT */
/*
 * Frames copied out (cpl_output_copy()) against frames that are described and returned
 * (cpl_output()): two stacks that are told the same, one asked in each way, send the same packets,
 * byte for byte, over IPv4 and IPv6, with checksums made here or by the device, cut here or not.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <couplet/couplet.h>

#include "tests/util/bytes.h"
#include "tests/util/heap.h"

#define FRAME_MAX 66000u
#define ROUNDS	  400u
#define MARK	  0xa5

enum {
	DESCRIBED,
	COPIED,
	PEER,
	STACKS
};

struct trio {
	struct heap heap;
	cpl_stack *stack[STACKS];
	int ifindex[STACKS];
	cpl_handle handle[STACKS], listener;
	uint8_t kind;
	bool ipv6;
	uint32_t flags;
	uint64_t now, seed;
	uint8_t frame[FRAME_MAX], copy[FRAME_MAX + 8];
	unsigned frames, cut, whole, too_long;
};

static struct cpl_addr addr_of(const struct trio *t, bool peer)
{
	if (t->ipv6)
		return (struct cpl_addr){ { 0xfd, [15] = peer ? 2 : 1 } };
	return cpl_addr4(10, 0, 0, peer ? 2 : 1);
}

static void open_stack(struct trio *t, unsigned i)
{
	bool peer = i == PEER;
	struct cpl_iface_config ic = { .size = sizeof(ic),
				       .name = "t",
				       .kind = t->kind,
				       .mtu = 1500,
				       .mac = { 2, 0, 0, 0, 0, peer ? 2 : 1 },
				       .gso_max = 65000,
				       .flags = t->flags | CPL_IFACE_NO_DAD };
	struct cpl_addr a = addr_of(t, peer);
	struct cpl_config c;

	cpl_config_init(&c);
	c.alloc = heap_alloc;
	c.release = heap_release;
	c.alloc_ctx = &t->heap;
	c.secret[0] = peer ? 2 : 1;
	assert_int_equal(cpl_stack_new(&t->stack[i], &c, t->now), 0);
	t->ifindex[i] = cpl_iface_add(t->stack[i], &ic, t->now);
	assert_true(t->ifindex[i] > 0);
	assert_int_equal(cpl_addr_add(t->stack[i], t->ifindex[i], &a, t->ipv6 ? 64 : 24, t->now),
			 0);
}

static void give(struct trio *t, unsigned to, const uint8_t *data, const struct cpl_out *out)
{
	struct cpl_frame f = { .data = data,
			       .len = out->len,
			       .gso_size = out->gso_size,
			       .flags = out->csum_offset ? CPL_FRAME_CSUM_PARTIAL : 0 };

	assert_int_equal(cpl_input(t->stack[to], t->ifindex[to], &f, 1, t->now), 1);
}

/* The next frame of stack I into t->frame; false: none. */
static bool described(struct trio *t, unsigned i, struct cpl_out *out)
{
	uint32_t n = 0;

	if (!cpl_output(t->stack[i], t->ifindex[i], out, 1, t->now))
		return false;
	for (unsigned k = 0; k < out->iov_n; k++) {
		memcpy(t->frame + n, out->iov[k].base, out->iov[k].len);
		n += (uint32_t)out->iov[k].len;
	}
	assert_int_equal(n, out->len);
	assert_int_equal(cpl_output_done(t->stack[i], out->token, 1, t->now), 0);
	return true;
}

/* The stack that copies sends what OUT and t->frame are, whatever the room it is offered first. */
static void copied(struct trio *t, const struct cpl_out *out)
{
	cpl_stack *s = t->stack[COPIED];
	int ifindex = t->ifindex[COPIED];
	struct cpl_out what;
	bool asked = rnd(&t->seed, 2);

	memset(t->copy, MARK, sizeof(t->copy));
	if (rnd(&t->seed, 4) == 0) {
		memset(&what, 0, sizeof(what));
		assert_int_equal(cpl_output_copy(s, ifindex, t->copy, rnd(&t->seed, out->len),
						 asked ? &what : NULL, t->now),
				 -EMSGSIZE);
		assert_int_equal(t->copy[0], MARK);
		if (asked)
			assert_int_equal(what.len, out->len);
		t->too_long++;
	}
	assert_int_equal(cpl_output_copy(s, ifindex, t->copy,
					 rnd(&t->seed, 2) ? out->len : FRAME_MAX,
					 asked ? &what : NULL, t->now),
			 out->len);
	assert_memory_equal(t->copy, t->frame, out->len);
	assert_int_equal(t->copy[out->len], MARK);
	if (!asked)
		return;
	assert_ptr_equal(what.iov[0].base, t->copy);
	assert_int_equal(what.iov[0].len, out->len);
	assert_int_equal(what.iov_n, 1);
	assert_int_equal(what.len, out->len);
	assert_int_equal(what.gso_size, out->gso_size);
	assert_int_equal(what.csum_start, out->csum_start);
	assert_int_equal(what.csum_offset, out->csum_offset);
	assert_int_equal(what.header_len, out->header_len);
	assert_int_equal(what.ipv6, out->ipv6);
	assert_int_equal(what.ecn, out->ecn);
	assert_int_equal(what.token, 0);
}

/* All that wants to leave; the peer's frames go to both. */
static void carry(struct trio *t)
{
	struct cpl_out out;

	while (described(t, DESCRIBED, &out)) {
		copied(t, &out);
		t->frames++;
		t->whole += out.gso_size > 0;
		t->cut += out.len > 1400 && !out.gso_size;
		give(t, PEER, t->frame, &out);
	}
	assert_int_equal(cpl_output_copy(t->stack[COPIED], t->ifindex[COPIED], t->copy, FRAME_MAX,
					 NULL, t->now),
			 0);
	while (described(t, PEER, &out)) {
		give(t, DESCRIBED, t->frame, &out);
		give(t, COPIED, t->frame, &out);
	}
}

static void connect_both(struct trio *t)
{
	struct cpl_endpoint at = { .addr = addr_of(t, true), .port = 80 };

	assert_int_equal(cpl_listen(t->stack[PEER], &at, 8, &t->listener, t->now), 0);
	for (unsigned i = 0; i < PEER; i++)
		assert_int_equal(cpl_connect(t->stack[i], NULL, &at, &t->handle[i], t->now), 0);
	for (unsigned i = 0; i < 10; i++)
		carry(t);
	assert_int_equal(cpl_accept(t->stack[PEER], t->listener, &t->handle[PEER], t->now), 0);
}

static void same_frames(uint8_t kind, bool ipv6, uint32_t flags)
{
	static struct trio t;
	static uint8_t data[100000], got[100000];
	struct cpl_counters c[2];

	t = (struct trio){ .kind = kind, .ipv6 = ipv6, .flags = flags, .seed = 7 };
	heap_init(&t.heap, UINT64_MAX);
	t.now = CPL_SECOND;
	for (unsigned i = 0; i < STACKS; i++)
		open_stack(&t, i);
	connect_both(&t);
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t n = rnd(&t.seed, rnd(&t.seed, 3) ? 3000 : sizeof(data));
		long taken;

		rnd_fill(&t.seed, data, n);
		taken = cpl_send(t.stack[DESCRIBED], t.handle[DESCRIBED], data, n, 0, t.now);
		assert_int_equal(cpl_send(t.stack[COPIED], t.handle[COPIED], data, n, 0, t.now),
				 taken);
		carry(&t);
		while (cpl_recv(t.stack[PEER], t.handle[PEER], got, sizeof(got), 0, t.now) > 0)
			carry(&t);
		t.now += 50 * CPL_MS; /* delayed ACKs */
		for (unsigned i = 0; i < STACKS; i++)
			cpl_advance(t.stack[i], t.now);
	}
	for (unsigned i = 0; i < PEER; i++)
		cpl_counters_get(t.stack[i], &c[i]);
	assert_memory_equal(&c[DESCRIBED], &c[COPIED], sizeof(c[0]));
	assert_true(t.frames > 100 && t.too_long > 20 && t.cut + t.whole > 50);
	assert_int_equal(t.whole > 0, (flags & (CPL_IFACE_GSO4 | CPL_IFACE_GSO6)) != 0);
	for (unsigned i = 0; i < STACKS; i++)
		cpl_stack_free(t.stack[i]);
	assert_int_equal(t.heap.slabs, 0);
}

static void test_same_frames(void **state)
{
	static const uint32_t flags[] = { 0, CPL_IFACE_CSUM_OUT,
					  CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4 | CPL_IFACE_GSO6 };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		same_frames(CPL_IFACE_IP, false, flags[i]);
		same_frames(CPL_IFACE_IP, true, flags[i]);
		same_frames(CPL_IFACE_ETHER, false, flags[i]);
		same_frames(CPL_IFACE_ETHER, true, flags[i]);
	}
}

static void test_no_interface(void **state)
{
	static struct trio t;
	uint8_t room[64];

	(void)state;
	t = (struct trio){ .now = CPL_SECOND };
	heap_init(&t.heap, UINT64_MAX);
	open_stack(&t, COPIED);
	assert_int_equal(cpl_output_copy(t.stack[COPIED], 0, room, sizeof(room), NULL, t.now),
			 -EINVAL);
	assert_int_equal(cpl_output_copy(t.stack[COPIED], 2, room, sizeof(room), NULL, t.now),
			 -EINVAL);
	assert_int_equal(cpl_output_copy(t.stack[COPIED], 1, room, sizeof(room), NULL, t.now), 0);
	cpl_stack_free(t.stack[COPIED]);
	assert_int_equal(t.heap.slabs, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_frames),
		cmocka_unit_test(test_no_interface),
	};

	return cmocka_run_group_tests_name("output copy", tests, NULL, NULL);
}
