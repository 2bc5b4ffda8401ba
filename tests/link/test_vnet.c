/* SPDX-License-Identifier: MIT */
/* virtio_net_hdr: what goes out byte by byte, what comes in, and what may not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "link/vnet.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static void test_build(void **state)
{
	static const struct {
		struct cpl_out out;
		struct virtio_net_hdr want;
	} cases[] = {
		{ { .len = 60, .header_len = 54 }, { .hdr_len = 54 } },
		{ { .len = 1514, .header_len = 66, .csum_start = 34, .csum_offset = 16 },
		  { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		    .hdr_len = 66,
		    .csum_start = 34,
		    .csum_offset = 16 } },
		{ { .len = 64000,
		    .header_len = 66,
		    .csum_start = 34,
		    .csum_offset = 16,
		    .gso_size = 1448 },
		  { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		    .hdr_len = 66,
		    .gso_size = 1448,
		    .csum_start = 34,
		    .csum_offset = 16 } },
		{ { .len = 64000,
		    .header_len = 86,
		    .csum_start = 54,
		    .csum_offset = 16,
		    .gso_size = 1428,
		    .ipv6 = 1,
		    .ecn = 1 },
		  { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		    .gso_type = VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN,
		    .hdr_len = 86,
		    .gso_size = 1428,
		    .csum_start = 54,
		    .csum_offset = 16 } },
		/* one segment is none to be cut */
		{ { .len = 66 + 1448,
		    .header_len = 66,
		    .csum_start = 34,
		    .csum_offset = 16,
		    .gso_size = 1448 },
		  { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		    .hdr_len = 66,
		    .csum_start = 34,
		    .csum_offset = 16 } },
		{ { .len = 66 + 1449,
		    .header_len = 66,
		    .csum_start = 34,
		    .csum_offset = 16,
		    .gso_size = 1448 },
		  { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		    .hdr_len = 66,
		    .gso_size = 1448,
		    .csum_start = 34,
		    .csum_offset = 16 } },
		/* bare IP: the sum may start at 0 only with an offset */
		{ { .len = 60, .header_len = 40, .csum_offset = 6 },
		  { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .hdr_len = 40, .csum_offset = 6 } },
	};

	(void)state;
	assert_int_equal(sizeof(struct virtio_net_hdr), VNET_HLEN);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t p[VNET_HLEN];

		memset(p, 0xff, sizeof(p));
		vnet_build(p, &cases[i].out);
		assert_memory_equal(p, &cases[i].want, VNET_HLEN);
	}
}

static void test_parse(void **state)
{
	static const struct {
		struct virtio_net_hdr in;
		uint32_t len;
		bool ok;
		uint32_t flags, gso_size;
	} cases[] = {
		{ { .flags = 0 }, 60, true, 0, 0 },
		{ { .flags = VIRTIO_NET_HDR_F_DATA_VALID }, 60, true, CPL_FRAME_CSUM_OK, 0 },
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16 },
		  52,
		  true,
		  CPL_FRAME_CSUM_PARTIAL,
		  0 },
		/* the field is not in the frame */
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16 },
		  51,
		  false,
		  0,
		  0 },
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		    .csum_start = 0xffff,
		    .csum_offset = 0xffff },
		  65535,
		  false,
		  0,
		  0 },
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		    .gso_size = 1448,
		    .csum_start = 34,
		    .csum_offset = 16 },
		  60000,
		  true,
		  CPL_FRAME_CSUM_PARTIAL,
		  1448 },
		{ { .gso_type = VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN,
		    .gso_size = 1428 },
		  60000,
		  true,
		  0,
		  1428 },
		{ { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 }, 60000, false, 0, 0 },
		{ { .gso_type = VIRTIO_NET_HDR_GSO_UDP, .gso_size = 1000 }, 6000, false, 0, 0 },
		{ { .gso_type = 5, .gso_size = 1000 }, 6000, false, 0, 0 },
		{ { .gso_type = 0x7f, .gso_size = 1000 }, 6000, false, 0, 0 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cpl_frame f = { .len = cases[i].len };

		if (vnet_parse((const uint8_t *)&cases[i].in, &f) != cases[i].ok)
			fail_msg("case %u", i);
		if (!cases[i].ok)
			continue;
		assert_int_equal(f.flags, cases[i].flags);
		assert_int_equal(f.gso_size, cases[i].gso_size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_build),
		cmocka_unit_test(test_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
