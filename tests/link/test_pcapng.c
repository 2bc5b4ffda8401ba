/* SPDX-License-Identifier: MIT */
/*
 * Captures: block by block by the words of the format, and by tshark where there is one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "link/link.h"
#include "link/pcapng.h"
#include "wire/ip.h"
#include "wire/udp.h"

#define EPOCH 1700000000000000000ull
#define BIG   65000u

static char path[64];
static struct link_why why;
static uint8_t *file;
static size_t file_len;
static uint8_t big[BIG];

static int setup(void **state)
{
	int fd;

	(void)state;
	strcpy(path, "/tmp/couplet-test-XXXXXX");
	fd = mkstemp(path);
	for (unsigned i = 0; i < BIG; i++)
		big[i] = (uint8_t)(i * 13);
	return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
	(void)state;
	free(file);
	file = NULL;
	return unlink(path);
}

static void load(void)
{
	FILE *f = fopen(path, "rb");

	assert_non_null(f);
	file = realloc(file, 1 << 20);
	file_len = fread(file, 1, 1 << 20, f);
	fclose(f);
}

static uint32_t word(size_t at)
{
	uint32_t v;

	assert_true(at + 4 <= file_len);
	memcpy(&v, file + at, 4);
	return v;
}

/* The block at *AT, of TYPE: where its body starts; *AT moves behind it. */
static size_t block(size_t *at, uint32_t type)
{
	size_t start = *at;
	uint32_t len = word(start + 4);

	assert_int_equal(word(start), type);
	assert_int_equal(len % 4, 0);
	assert_int_equal(word(start + len - 4), len);
	*at += len;
	return start + 8;
}

/* The value of option CODE among those from AT on; NULL: not there. */
static const uint8_t *option(size_t at, uint16_t code, uint16_t *len)
{
	for (;;) {
		uint32_t head = word(at);
		uint16_t this = (uint16_t)head;

		*len = (uint16_t)(head >> 16);
		if (this == code)
			return file + at + 4;
		if (!this)
			return NULL;
		at += 4 + (*len + 3u) / 4 * 4;
	}
}

static size_t check_packet(size_t *at, uint32_t iface, uint32_t captured, uint32_t len,
			   uint64_t time, uint32_t direction)
{
	size_t body = block(at, 6);
	uint16_t n;
	const uint8_t *flags;
	uint32_t got;

	assert_int_equal(word(body), iface);
	assert_true(((uint64_t)word(body + 4) << 32 | word(body + 8)) == time);
	assert_int_equal(word(body + 12), captured);
	assert_int_equal(word(body + 16), len);
	flags = option(body + 20 + (captured + 3) / 4 * 4, 2, &n);
	assert_non_null(flags);
	assert_int_equal(n, 4);
	memcpy(&got, flags, 4);
	assert_int_equal(got, direction);
	return body + 20;
}

static void test_blocks(void **state)
{
	struct pcapng *w;
	struct cpl_frame in = { .data = big, .len = 61 };
	struct cpl_out out = { .iov = { { big, 14 }, { big + 14, 0 }, { big + 14, BIG - 14 } },
			       .iov_n = 3,
			       .len = BIG };
	struct stat st;
	uint16_t n;
	size_t at = 0, body;

	(void)state;
	unlink(path);
	assert_int_equal(pcapng_open(&w, path, EPOCH, 0, &why), 0);
	assert_int_equal(pcapng_add_iface(w, "tap0", CPL_IFACE_ETHER), 0);
	assert_int_equal(pcapng_add_iface(w, "", CPL_IFACE_IP), 1);
	pcapng_in(w, 0, &in, 5);
	pcapng_out(w, 1, &out, 7000000001);
	assert_int_equal(pcapng_close(w), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);

	load();
	body = block(&at, 0x0a0d0d0a);
	assert_int_equal(word(body), 0x1a2b3c4d);
	assert_int_equal(word(body + 4), 1); /* version 1.0 */
	assert_int_equal(word(body + 8), UINT32_MAX);
	assert_int_equal(word(body + 12), UINT32_MAX);
	body = block(&at, 1);
	assert_int_equal(word(body), 1);
	assert_int_equal(word(body + 4), PCAPNG_SNAPLEN);
	assert_memory_equal(option(body + 8, 2, &n), "tap0", 4);
	assert_int_equal(n, 4);
	assert_int_equal(*option(body + 8, 9, &n), 9);
	body = block(&at, 1);
	assert_int_equal(word(body), 101);
	assert_null(option(body + 8, 2, &n));
	body = check_packet(&at, 0, 61, 61, EPOCH + 5, 1);
	assert_memory_equal(file + body, big, 61);
	/* a super-segment as it is */
	body = check_packet(&at, 1, BIG, BIG, EPOCH + 7000000001, 2);
	assert_memory_equal(file + body, big, BIG);
	assert_int_equal(at, file_len);
}

static void test_snaplen(void **state)
{
	struct pcapng *w;
	struct cpl_frame in = { .data = big, .len = 1000 };
	struct cpl_out out = { .iov = { { big, 50 }, { big + 50, 950 } }, .iov_n = 2, .len = 1000 };
	size_t at = 0, body;

	(void)state;
	assert_int_equal(pcapng_open(&w, path, 0, 67, &why), 0);
	pcapng_add_iface(w, "a", CPL_IFACE_IP);
	/* more than is buffered at once */
	for (unsigned i = 0; i < 5000; i++) {
		pcapng_in(w, 0, &in, i);
		pcapng_out(w, 0, &out, i);
	}
	assert_int_equal(pcapng_flush(w), 0);
	assert_int_equal(pcapng_close(w), 0);
	load();
	block(&at, 0x0a0d0d0a);
	body = block(&at, 1);
	assert_int_equal(word(body + 4), 67);
	for (unsigned i = 0; i < 3000; i++) {
		body = check_packet(&at, 0, 67, 1000, i, 1);
		assert_memory_equal(file + body, big, 67);
		body = check_packet(&at, 0, 67, 1000, i, 2);
		assert_memory_equal(file + body, big, 67);
	}
}

static void test_errors(void **state)
{
	struct pcapng *w;
	struct cpl_frame in = { .data = big, .len = BIG };

	(void)state;
	assert_int_equal(pcapng_open(&w, "/nowhere/at/all", 0, 0, &why), -ENOENT);
	assert_non_null(strstr(why.text, "/nowhere/at/all"));
	assert_int_equal(pcapng_open(&w, "/dev/full", 0, 0, &why), 0);
	pcapng_add_iface(w, "a", CPL_IFACE_IP);
	for (unsigned i = 0; i < 100; i++)
		pcapng_in(w, 0, &in, i);
	assert_int_equal(pcapng_flush(w), -ENOSPC);
	pcapng_in(w, 0, &in, 1);
	assert_int_equal(pcapng_close(w), -ENOSPC);
}

/* Another reader of the format agrees. */
static void test_tshark(void **state)
{
	uint8_t packet[IPV4_HLEN + UDP_HLEN + 5];
	struct ip_hdr h = { .src = cpl_addr4(192, 0, 2, 1),
			    .dst = cpl_addr4(192, 0, 2, 2),
			    .version = 4,
			    .ttl = 64,
			    .protocol = IP_UDP,
			    .len = sizeof(packet) };
	struct udp_hdr udp = { .sport = 4000, .dport = 5000, .len = UDP_HLEN + 5 };
	struct cpl_frame in = { .data = packet, .len = sizeof(packet) };
	char command[200], line[200] = "";
	struct pcapng *w;
	FILE *p;

	(void)state;
	if (system("command -v tshark >/dev/null 2>&1") != 0) {
		print_message("# tshark is not installed\n");
		skip();
	}
	memcpy(packet + IPV4_HLEN + UDP_HLEN, "hello", 5);
	ip_build(packet, &h);
	udp_build(packet + IPV4_HLEN, &udp, &h.src, &h.dst, packet + IPV4_HLEN + UDP_HLEN, 5);
	assert_int_equal(pcapng_open(&w, path, EPOCH, 0, &why), 0);
	pcapng_add_iface(w, "wire0", CPL_IFACE_IP);
	pcapng_in(w, 0, &in, 123456789);
	assert_int_equal(pcapng_close(w), 0);
	snprintf(command, sizeof(command),
		 "tshark -r %s -T fields -e frame.time_epoch -e frame.interface_name "
		 "-e udp.dstport -e ip.src 2>/dev/null",
		 path);
	p = popen(command, "r");
	assert_non_null(p);
	assert_non_null(fgets(line, sizeof(line), p));
	pclose(p);
	assert_string_equal(line, "1700000000.123456789\twire0\t5000\t192.0.2.1\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_snaplen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tshark, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
