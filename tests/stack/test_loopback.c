/* SPDX-License-Identifier: MIT */
/* A stack that speaks with itself: nothing of it is seen on the wire. */
#include "tests/util/rig.h"

static struct rig r;
static const char *const us[2] = { "10.0.0.1", "fd00::1" };

/* TOTAL octets from A to B, in order. */
static void transfer(cpl_handle from, cpl_handle to, uint32_t total)
{
	static uint8_t data[100000], got[100000];
	uint32_t sent = 0, received = 0;
	unsigned turns = 0;

	for (uint32_t i = 0; i < total; i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	while (received < total) {
		long n = sent < total ? cpl_send(r.stack, from, data + sent, total - sent, 0, r.now)
				      : 0;

		assert_true(n >= 0 || n == -EAGAIN);
		sent += n > 0 ? (uint32_t)n : 0;
		rig_run(&r, CPL_MS);
		n = cpl_recv(r.stack, to, got + received, total - received, 0, r.now);
		assert_true(n > 0 || n == -EAGAIN);
		received += n > 0 ? (uint32_t)n : 0;
		assert_true(++turns < 1000);
	}
	assert_memory_equal(got, data, total);
}

static void connects(void **state)
{
	(void)state;
	for (int kind = 0; kind < 4; kind++) {
		struct cpl_endpoint at = { .port = 80 }, to = rig_at(us[kind & 1], 80);
		struct cpl_info a, b;
		cpl_handle listener, active, passive;
		char c;

		rig_begin(&r, kind & 2 ? CPL_IFACE_ETHER : CPL_IFACE_IP);
		assert_int_equal(cpl_listen(r.stack, &at, 1, &listener, r.now), 0);
		assert_int_equal(cpl_connect(r.stack, NULL, &to, &active, r.now), 0);
		rig_run(&r, CPL_MS);
		assert_true(rig_events(&r, active, NULL) & CPL_EV_CONNECTED);
		assert_int_equal(cpl_accept(r.stack, listener, &passive, r.now), 0);
		transfer(active, passive, 100000);
		transfer(passive, active, 1000);
		/* Both control blocks of one connection, in one stack. */
		cpl_info_get(r.stack, active, &a, r.now);
		cpl_info_get(r.stack, passive, &b, r.now);
		assert_int_equal(a.iss, b.irs);
		assert_int_equal(a.snd_nxt, b.rcv_nxt);
		assert_int_equal(b.snd_nxt, a.rcv_nxt);
		assert_int_equal(a.local_port, b.remote_port);
		assert_int_equal(a.retrans + b.retrans, 0);
		assert_int_equal(cpl_close(r.stack, active, r.now), 0);
		rig_run(&r, CPL_MS);
		assert_int_equal(cpl_recv(r.stack, passive, &c, 1, 0, r.now), 0);
		assert_int_equal(cpl_close(r.stack, passive, r.now), 0);
		rig_run(&r, CPL_MS);
		assert_int_equal(cpl_info_get(r.stack, passive, &b, r.now), -EBADF);
		rig_run(&r, 61 * CPL_SECOND);
		assert_int_equal(rig_counter(&r, frames_out), rig_counter(&r, icmp_out)); /* DAD */
		rig_nothing(&r);
		assert_int_equal(rig_drops(&r), 0);
		rig_end(&r);
	}
}

static void refused(void **state)
{
	struct cpl_endpoint to = rig_at(us[0], 81);
	cpl_handle h, u;
	int error;

	(void)state;
	rig_begin(&r, CPL_IFACE_IP);
	assert_int_equal(cpl_connect(r.stack, NULL, &to, &h, r.now), 0);
	rig_run(&r, CPL_MS);
	assert_int_equal(rig_events(&r, h, &error), CPL_EV_CLOSED);
	assert_int_equal(error, ECONNREFUSED);
	u = rig_udp(&r, us[0], 5000);
	assert_int_equal(cpl_udp_send(r.stack, u, NULL, &to, "x", 1, r.now), 1);
	rig_run(&r, CPL_MS);
	assert_int_equal(rig_events(&r, u, &error), CPL_EV_SOFT);
	assert_int_equal(error, ECONNREFUSED);
	rig_nothing(&r);
	rig_end(&r);
}

/* From a port to the same port: a simultaneous open with oneself (RFC 9293 3.5, MUST-10). */
static void to_oneself(void **state)
{
	struct cpl_endpoint at = rig_at(us[0], 5000);
	cpl_handle h;
	char data[6] = "";

	(void)state;
	rig_begin(&r, CPL_IFACE_IP);
	assert_int_equal(cpl_connect(r.stack, &at, &at, &h, r.now), 0);
	rig_run(&r, CPL_MS);
	assert_true(rig_events(&r, h, NULL) & CPL_EV_CONNECTED);
	assert_int_equal(cpl_send(r.stack, h, "mirror", 6, 0, r.now), 6);
	rig_run(&r, CPL_MS);
	assert_int_equal(cpl_recv(r.stack, h, data, 6, 0, r.now), 6);
	assert_memory_equal(data, "mirror", 6);
	assert_int_equal(cpl_abort(r.stack, h, r.now), 0);
	rig_run(&r, CPL_SECOND);
	rig_nothing(&r);
	rig_end(&r);
}

/* From one of our interfaces to another. */
static void between_own_addresses(void **state)
{
	struct cpl_endpoint from = rig_at("10.1.0.1", 0), to = rig_at(us[0], 80);
	struct cpl_endpoint at = { .port = 80 };
	cpl_handle listener, h, passive;
	struct cpl_info info;
	int second;

	(void)state;
	rig_begin(&r, CPL_IFACE_IP);
	second = rig_iface(&r, CPL_IFACE_IP, 0);
	rig_addr_add(&r, second, "10.1.0.1", 24);
	assert_int_equal(cpl_listen(r.stack, &at, 1, &listener, r.now), 0);
	assert_int_equal(cpl_connect(r.stack, &from, &to, &h, r.now), 0);
	rig_run(&r, CPL_MS);
	assert_int_equal(cpl_accept(r.stack, listener, &passive, r.now), 0);
	cpl_info_get(r.stack, passive, &info, r.now);
	assert_memory_equal(&info.remote_addr, &from.addr, 16);
	transfer(h, passive, 50000);
	transfer(passive, h, 50000);
	rig_nothing(&r);
	assert_int_equal(rig_drops(&r), 0);
	rig_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connects),
		cmocka_unit_test(refused),
		cmocka_unit_test(to_oneself),
		cmocka_unit_test(between_own_addresses),
	};

	return cmocka_run_group_tests_name("stack: loopback", tests, NULL, NULL);
}
