/* SPDX-License-Identifier: MIT */
/* Sending and receiving without copying: cpl_send_chunk(), cpl_recv_borrow(), cpl_recv_return(). */
#include "tests/util/rig.h"

#define SIZE 200000u

static struct rig r;
static cpl_handle listener, a, b;
static uint8_t data[SIZE], got[SIZE];

static void connect_ends(void)
{
	struct cpl_endpoint at = { .port = 80 }, to = rig_at("10.0.0.1", 80);

	rig_begin(&r, CPL_IFACE_IP);
	assert_int_equal(cpl_listen(r.stack, &at, 1, &listener, r.now), 0);
	assert_int_equal(cpl_connect(r.stack, NULL, &to, &a, r.now), 0);
	rig_run(&r, CPL_MS);
	assert_int_equal(cpl_accept(r.stack, listener, &b, r.now), 0);
	for (uint32_t i = 0; i < SIZE; i++)
		data[i] = (uint8_t)(i * 7 + i / 253);
}

/* All that B can borrow, copied to GOT + AT by us; gives back HALF of it or all. */
static uint32_t take(uint32_t at, bool half)
{
	struct cpl_iov iov[8];
	uint32_t total = 0;
	int n = cpl_recv_borrow(r.stack, b, iov, 8, r.now);

	assert_true(n > 0 || n == -EAGAIN);
	for (int i = 0; i < n; i++) {
		assert_true(at + total + iov[i].len <= SIZE);
		memcpy(got + at + total, iov[i].base, iov[i].len);
		total += (uint32_t)iov[i].len;
	}
	if (half && total > 1)
		total /= 2;
	assert_int_equal(cpl_recv_return(r.stack, b, total, r.now), total);
	return total;
}

static void the_same_octets(void **state)
{
	uint32_t sent = 0, received = 0, released = 0;
	uint64_t token;

	(void)state;
	connect_ends();
	while (received < SIZE) {
		uint32_t n = SIZE - sent < 5000 ? SIZE - sent : 5000;

		while (n && cpl_send_chunk(r.stack, a, data + sent, n, sent, 0, r.now) == n) {
			sent += n;
			n = SIZE - sent < 5000 ? SIZE - sent : 5000;
		}
		rig_run(&r, CPL_MS);
		received += take(received, received % 3 == 0);
		while (cpl_next_release(r.stack, &token)) /* in order, each once */
			assert_int_equal(token, 5000 * released++);
	}
	rig_run(&r, 500 * CPL_MS);
	while (cpl_next_release(r.stack, &token))
		assert_int_equal(token, 5000 * released++);
	assert_int_equal(released, SIZE / 5000);
	assert_memory_equal(got, data, SIZE);
	rig_end(&r);
}

static void borrowed_is_not_read(void **state)
{
	struct cpl_iov one, again;
	struct cpl_info info;

	(void)state;
	connect_ends();
	assert_int_equal(cpl_send(r.stack, a, data, 3000, 0, r.now), 3000);
	rig_run(&r, CPL_MS);
	assert_int_equal(cpl_recv_borrow(r.stack, b, &one, 1, r.now), 1);
	assert_int_equal(cpl_recv_borrow(r.stack, b, &again, 1, r.now), 1);
	assert_ptr_equal(one.base, again.base);
	assert_int_equal(cpl_info_get(r.stack, b, &info, r.now), 0);
	assert_int_equal(info.recv_queue, 3000);
	assert_int_equal(cpl_recv_return(r.stack, b, 1000, r.now), 1000);
	assert_int_equal(cpl_recv(r.stack, b, got, SIZE, 0, r.now), 2000);
	assert_memory_equal(got, data + 1000, 2000);
	assert_int_equal(cpl_recv_borrow(r.stack, b, &one, 1, r.now), -EAGAIN);
	assert_int_equal(cpl_recv_borrow(r.stack, b, &one, 0, r.now), -EINVAL);
	assert_int_equal(cpl_shutdown(r.stack, a, r.now), 0);
	rig_run(&r, CPL_MS);
	assert_int_equal(cpl_recv_borrow(r.stack, b, &one, 1, r.now), 0);
	rig_end(&r);
}

/* What is refused stays the caller's: its token never comes. */
static void all_or_nothing(void **state)
{
	uint64_t token;

	(void)state;
	connect_ends();
	assert_int_equal(cpl_set_option(r.stack, a, CPL_OPT_SNDBUF, 10000, r.now), 0);
	assert_int_equal(cpl_send_chunk(r.stack, a, data, SIZE, 1, 0, r.now), -EAGAIN);
	assert_int_equal(cpl_send_chunk(r.stack, a, data, CPL_CHUNK_MAX + 1, 2, 0, r.now),
			 -EMSGSIZE);
	assert_int_equal(cpl_send_chunk(r.stack, a, data, 0, 3, 0, r.now), -EINVAL);
	assert_int_equal(cpl_send_chunk(r.stack, listener, data, 10, 4, 0, r.now), -ENOTCONN);
	rig_run(&r, 100 * CPL_MS);
	assert_int_equal(cpl_next_release(r.stack, &token), 0);
	assert_int_equal(cpl_send_chunk(r.stack, a, data, 4000, 5, 0, r.now), 4000);
	assert_int_equal(cpl_abort(r.stack, a, r.now), 0); /* gone with its connection */
	rig_run(&r, 100 * CPL_MS);
	assert_int_equal(cpl_next_release(r.stack, &token), 1);
	assert_int_equal(token, 5);
	assert_int_equal(cpl_send_chunk(r.stack, a, data, 10, 6, 0, r.now), -EBADF);
	rig_end(&r);
}

/* Each as cpl_recv(): nothing is there, or never will be. */
static void nothing_to_borrow(void **state)
{
	struct cpl_iov one;

	(void)state;
	connect_ends();
	assert_int_equal(cpl_recv_return(r.stack, b, 0, r.now), 0);
	assert_int_equal(cpl_recv_return(r.stack, b, 10, r.now), -EAGAIN);
	assert_int_equal(cpl_recv_borrow(r.stack, listener, &one, 1, r.now), -ENOTCONN);
	assert_int_equal(cpl_recv_return(r.stack, listener, 10, r.now), -ENOTCONN);
	assert_int_equal(cpl_send(r.stack, a, data, 100, 0, r.now), 100);
	rig_run(&r, CPL_MS);
	/* More than is there: all of it. */
	assert_int_equal(cpl_recv_return(r.stack, b, 1000, r.now), 100);
	assert_int_equal(cpl_abort(r.stack, a, r.now), 0);
	rig_run(&r, CPL_MS);
	assert_int_equal(cpl_recv_borrow(r.stack, b, &one, 1, r.now), -ECONNRESET);
	assert_int_equal(cpl_send_chunk(r.stack, b, data, 10, 7, 0, r.now), -ECONNRESET);
	assert_int_equal(cpl_close(r.stack, b, r.now), 0);
	assert_int_equal(cpl_recv_borrow(r.stack, b, &one, 1, r.now), -EBADF);
	assert_int_equal(cpl_recv_return(r.stack, b, 1, r.now), -EBADF);
	rig_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_octets),
		cmocka_unit_test(borrowed_is_not_read),
		cmocka_unit_test(all_or_nothing),
		cmocka_unit_test(nothing_to_borrow),
	};

	return cmocka_run_group_tests_name("stack: without copying", tests, NULL, NULL);
}
