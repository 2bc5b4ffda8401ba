/* SPDX-License-Identifier: MIT */
/* Routes, our addresses, and source address selection: tables of RFC cases, and failures. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ip/route.h"
#include "tests/util/heap.h"
#include "wire/ip.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct fix {
	struct heap heap;
	struct route_table t;
	struct route_memo memo;
};

static int setup(void **state)
{
	static struct fix f;

	heap_init(&f.heap, 1 << 22);
	route_init(&f.t, &f.heap.mem);
	f.memo = (struct route_memo){ 0 };
	for (int i = 1; i <= 4; i++)
		route_set_up(&f.t, i, true);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	route_destroy(&f->t);
	return f->heap.slabs || f->heap.mem.used ? -1 : 0;
}

static struct cpl_addr addr(const char *text)
{
	struct cpl_addr a = { { 0 } };
	uint8_t v4[4];

	if (!text)
		return a;
	if (inet_pton(AF_INET, text, v4) == 1)
		return cpl_addr4(v4[0], v4[1], v4[2], v4[3]);
	assert_int_equal(inet_pton(AF_INET6, text, a.b), 1);
	return a;
}

static const char *text(const struct cpl_addr *a)
{
	static char s[4][64];
	static unsigned n;
	char *out = s[n++ % 4];

	if (cpl_addr_is4(a))
		inet_ntop(AF_INET, a->b + 12, out, 64);
	else
		inet_ntop(AF_INET6, a->b, out, 64);
	return out;
}

static int add_addr(struct fix *f, int ifindex, const char *a, unsigned len)
{
	struct cpl_addr x = addr(a);

	return route_addr_add(&f->t, ifindex, &x, len, false);
}

static int add_route(struct fix *f, const char *prefix, unsigned len, const char *gw, int ifindex,
		     uint32_t metric)
{
	struct cpl_addr p = addr(prefix), g = addr(gw);

	return route_add(&f->t, &p, len, &g, ifindex, metric);
}

static int del_route(struct fix *f, const char *prefix, unsigned len, const char *gw, int ifindex)
{
	struct cpl_addr p = addr(prefix), g = addr(gw);

	return route_del(&f->t, &p, len, gw ? &g : NULL, ifindex);
}

/* "ifindex next-hop source", or the error. */
static const char *look(struct fix *f, const char *dst, int ifindex, const char *source)
{
	static const struct cpl_addr none;
	static char s[160];
	struct cpl_addr d = addr(dst), src = addr(source);
	struct route_result res;
	int err = route_lookup(&f->t, &d, ifindex, source ? &src : NULL, &res);

	/* What is remembered, of this or of another table, says the same. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(route_recall(&f->t, &f->memo, &d, ifindex, source ? &src : &none),
				 err);
		assert_true(err || (f->memo.route.ifindex == res.ifindex &&
				    cpl_addr_equal(&f->memo.route.next_hop, &res.next_hop) &&
				    cpl_addr_equal(&f->memo.route.source, &res.source)));
	}
	if (err == -ENETUNREACH)
		return "unreach";
	if (err == -EADDRNOTAVAIL)
		return "noaddr";
	assert_int_equal(err, 0);
	snprintf(s, sizeof(s), "%d %s %s", res.ifindex, text(&res.next_hop), text(&res.source));
	return s;
}

static void test_longest_prefix(void **state)
{
	struct fix *f = *state;

	assert_string_equal(look(f, "10.1.2.3", 0, NULL), "unreach");
	assert_int_equal(add_addr(f, 1, "10.0.0.2", 24), 0);
	assert_int_equal(add_addr(f, 2, "192.168.7.2", 24), 0);
	assert_int_equal(add_route(f, "0.0.0.0", 0, "10.0.0.1", 1, 100), 0);
	assert_int_equal(add_route(f, "0.0.0.0", 0, "192.168.7.1", 2, 50), 0);
	assert_int_equal(add_route(f, "172.16.0.0", 12, "10.0.0.9", 1, 0), 0);
	assert_int_equal(add_route(f, "172.16.5.0", 24, "192.168.7.9", 2, 900), 0);
	assert_int_equal(add_route(f, "172.16.5.128", 25, NULL, 1, 0), 0);

	assert_string_equal(look(f, "10.0.0.77", 0, NULL), "1 10.0.0.77 10.0.0.2");
	/* the lowest metric among equal prefixes */
	assert_string_equal(look(f, "8.8.8.8", 0, NULL), "2 192.168.7.1 192.168.7.2");
	/* bound to an interface */
	assert_string_equal(look(f, "8.8.8.8", 1, NULL), "1 10.0.0.1 10.0.0.2");
	assert_string_equal(look(f, "8.8.8.8", 3, NULL), "unreach");
	/* the longest prefix, whatever the metric */
	assert_string_equal(look(f, "172.16.5.1", 0, NULL), "2 192.168.7.9 192.168.7.2");
	assert_string_equal(look(f, "172.16.5.129", 0, NULL), "1 172.16.5.129 10.0.0.2");
	assert_string_equal(look(f, "172.31.255.255", 0, NULL), "1 10.0.0.9 10.0.0.2");
	assert_string_equal(look(f, "172.32.0.0", 0, NULL), "2 192.168.7.1 192.168.7.2");
	/* an interface that is down takes its routes along */
	route_set_up(&f->t, 2, false);
	assert_string_equal(look(f, "8.8.8.8", 0, NULL), "1 10.0.0.1 10.0.0.2");
	assert_string_equal(look(f, "8.8.8.8", 2, NULL), "unreach");
	route_set_up(&f->t, 2, true);
	assert_int_equal(del_route(f, "0.0.0.0", 0, "192.168.7.1", 2), 0);
	assert_int_equal(del_route(f, "0.0.0.0", 0, "192.168.7.1", 2), -ESRCH);
	assert_string_equal(look(f, "8.8.8.8", 0, NULL), "1 10.0.0.1 10.0.0.2");
	assert_string_equal(look(f, "0.0.0.0", 0, NULL), "unreach");
}

static void test_families_apart(void **state)
{
	struct fix *f = *state;

	assert_int_equal(add_addr(f, 1, "2001:db8::2", 64), 0);
	assert_int_equal(add_route(f, "::", 0, "2001:db8::1", 1, 0), 0);
	assert_string_equal(look(f, "8.8.8.8", 0, NULL), "unreach");
	assert_string_equal(look(f, "2a00::1", 0, NULL), "1 2001:db8::1 2001:db8::2");
	assert_int_equal(add_route(f, "0.0.0.0", 0, NULL, 1, 0), 0);
	/* a route but no address */
	assert_string_equal(look(f, "8.8.8.8", 0, NULL), "noaddr");
	assert_string_equal(look(f, "8.8.8.8", 0, "2001:db8::2"), "noaddr");
	/* a gateway of the other family */
	assert_int_equal(add_route(f, "::", 0, "10.0.0.1", 1, 0), -EINVAL);
	assert_int_equal(add_route(f, "10.0.0.0", 8, "2001:db8::1", 1, 0), -EINVAL);
}

static void test_own_address_first(void **state)
{
	struct fix *f = *state;
	struct cpl_addr a = addr("10.0.0.2");
	struct ip_address *entry;

	add_addr(f, 1, "10.0.0.2", 24);
	add_addr(f, 2, "10.9.0.2", 24);
	add_route(f, "10.0.0.2", 32, NULL, 2, 0);
	assert_string_equal(look(f, "10.0.0.2", 0, NULL), "1 10.0.0.2 10.0.0.2");
	assert_string_equal(look(f, "10.0.0.2", 0, "10.9.0.2"), "1 10.0.0.2 10.9.0.2");
	/* not while another host may own it */
	entry = route_our_addr(&f->t, &a, 0);
	assert_non_null(entry);
	entry->tentative = true;
	assert_string_equal(look(f, "10.0.0.2", 0, NULL), "2 10.0.0.2 10.9.0.2");
	route_addr_ready(&f->t, entry);
	assert_string_equal(look(f, "10.0.0.2", 0, NULL), "1 10.0.0.2 10.0.0.2");
	assert_null(route_our_addr(&f->t, &a, 2));
}

static void test_groups(void **state)
{
	struct fix *f = *state;

	assert_string_equal(look(f, "224.0.0.1", 0, NULL), "unreach");
	add_addr(f, 1, "10.0.0.2", 24);
	add_addr(f, 2, "10.9.0.2", 24);
	add_addr(f, 2, "fe80::2", 64);
	add_addr(f, 1, "fe80::1", 64);
	/* never by the gateway */
	assert_string_equal(look(f, "224.0.0.1", 0, NULL), "1 224.0.0.1 10.0.0.2");
	add_route(f, "0.0.0.0", 0, "10.9.0.1", 2, 0);
	assert_string_equal(look(f, "224.0.0.1", 0, NULL), "2 224.0.0.1 10.9.0.2");
	assert_string_equal(look(f, "224.0.0.1", 0, "10.0.0.2"), "1 224.0.0.1 10.0.0.2");
	assert_string_equal(look(f, "224.0.0.1", 1, NULL), "1 224.0.0.1 10.0.0.2");
	assert_string_equal(look(f, "255.255.255.255", 1, NULL), "1 255.255.255.255 10.0.0.2");
	assert_string_equal(look(f, "10.0.0.255", 0, NULL), "1 10.0.0.255 10.0.0.2");
	assert_string_equal(look(f, "ff02::1", 1, NULL), "1 ff02::1 fe80::1");
	assert_string_equal(look(f, "ff02::1", 0, NULL), "2 ff02::1 fe80::2");
	assert_string_equal(look(f, "ff02::1", 3, NULL), "noaddr");
}

static void test_link_local(void **state)
{
	struct fix *f = *state;

	add_addr(f, 1, "fe80::1", 64);
	assert_string_equal(look(f, "fe80::99", 0, NULL), "1 fe80::99 fe80::1");
	add_addr(f, 2, "fe80::2", 64);
	/* which link? */
	assert_string_equal(look(f, "fe80::99", 0, NULL), "unreach");
	assert_string_equal(look(f, "fe80::99", 2, NULL), "2 fe80::99 fe80::2");
	assert_string_equal(look(f, "fe80::99", 0, "fe80::2"), "2 fe80::99 fe80::2");
	/* the same address on two links */
	assert_int_equal(add_addr(f, 2, "fe80::1", 64), 0);
	assert_int_equal(add_addr(f, 2, "fe80::1", 64), -EEXIST);
	/* a link-local gateway */
	add_addr(f, 2, "2001:db8::2", 64);
	add_route(f, "::", 0, "fe80::ff", 2, 0);
	assert_string_equal(look(f, "2a00::1", 0, NULL), "2 fe80::ff 2001:db8::2");
}

/* A foreign source, as a catch-all answers from, is taken as it is. */
static void test_given_source(void **state)
{
	struct fix *f = *state;

	add_addr(f, 1, "10.0.0.2", 24);
	assert_string_equal(look(f, "10.0.0.3", 0, "93.184.216.34"), "1 10.0.0.3 93.184.216.34");
	assert_string_equal(look(f, "10.0.0.3", 0, "0.0.0.0"), "1 10.0.0.3 10.0.0.2");
}

static const struct {
	const char *rule;
	const char *ours[4]; /* address/length@interface */
	const char *dst;
	const char *want;
} source_cases[] = {
	/* RFC 6724 10.1, with its addresses */
	{ "2: multicast beyond the link",
	  { "2001:db8:1::1/64@1", "fe80::1/64@1" },
	  "ff05::1",
	  "2001:db8:1::1" },
	{ "2: the scope of the destination",
	  { "fe80::1/64@1", "2001:db8:1::1/64@1" },
	  "2001:db8:2::1",
	  "2001:db8:1::1" },
	{ "2: link-local to link-local",
	  { "2001:db8:1::1/64@1", "fe80::1/64@1" },
	  "fe80::9",
	  "fe80::1" },
	{ "1: the same address",
	  { "2001:db8:1::1/64@1", "2001:db8:2::1/64@1" },
	  "2001:db8:2::1",
	  "2001:db8:2::1" },
	{ "8: the longest matching prefix",
	  { "2001:db8:1::2/64@1", "2001:db8:3::2/64@1" },
	  "2001:db8:3:99::1",
	  "2001:db8:3::2" },
	{ "8: but no longer than the prefix of the source",
	  { "2001:db8:1::1/64@1", "2001:db8:1::ff01/64@1" },
	  "2001:db8:1::ff02",
	  "2001:db8:1::1" },
	{ "6: 6to4 to 6to4",
	  { "2001:db8:1::2/48@1", "2002:c633:6401::d5e3:7953:13eb:22e8/64@1" },
	  "2002:c633:6401::1",
	  "2002:c633:6401:0:d5e3:7953:13eb:22e8" },
	{ "6: a ULA does not go to the Internet",
	  { "fd00:1::1/64@1", "2001:db8::1/64@1" },
	  "2a00::1",
	  "2001:db8::1" },
	{ "6: but to another ULA",
	  { "2001:db8::1/64@1", "fd00:1::1/64@1" },
	  "fd77::1",
	  "fd00:1::1" },
	{ "5: the outgoing interface before a longer match",
	  { "2a00::1/64@2", "2001:db8::1/64@1" },
	  "2a00::99:1",
	  "2001:db8::1" },
	{ "an interface without an address borrows one",
	  { "10.0.0.2/24@2" },
	  "8.8.8.8",
	  "10.0.0.2" },
	{ "but not a link-local or loopback one",
	  { "169.254.1.1/16@2", "127.0.0.1/8@1" },
	  "8.8.8.8",
	  "noaddr" },
	{ "IPv4: the subnet of the next hop",
	  { "8.8.8.1/30@1", "10.0.0.2/24@1" },
	  "8.8.8.200",
	  "10.0.0.2" },
	{ "IPv4: the first of a subnet is the primary one",
	  { "10.0.0.9/24@1", "10.0.0.2/24@1" },
	  "10.0.0.3",
	  "10.0.0.9" },
	{ "IPv4: link-local goes to link-local",
	  { "10.0.0.2/24@1", "169.254.9.9/16@1" },
	  "169.254.1.1",
	  "169.254.9.9" },
};

static void test_source_selection(void **state)
{
	struct fix *f = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(source_cases); i++) {
		char a[64], want[64], got[64];
		unsigned len;
		int ifindex;

		route_destroy(&f->t);
		setup(state);
		for (unsigned j = 0; j < 4 && source_cases[i].ours[j]; j++) {
			assert_int_equal(sscanf(source_cases[i].ours[j], "%63[^/]/%u@%d", a, &len,
						&ifindex),
					 3);
			assert_int_equal(add_addr(f, ifindex, a, len), 0);
		}
		add_route(f, "0.0.0.0", 0, "10.0.0.1", 1, 0);
		add_route(f, "2000::", 3, "fe80::ff", 1, 0);
		add_route(f, "2a00::99:0", 112, "fe80::ff", 1, 0);
		add_route(f, "fc00::", 7, "fe80::ff", 1, 0);
		strcpy(want, source_cases[i].want);
		strcpy(got, look(f, source_cases[i].dst, 0, NULL));
		if (strrchr(got, ' '))
			memmove(got, strrchr(got, ' ') + 1, strlen(strrchr(got, ' ')));
		if (strcmp(got, want))
			fail_msg("%s: to %s from %s, not %s", source_cases[i].rule,
				 source_cases[i].dst, got, want);
	}
}

static void test_addresses(void **state)
{
	static const struct {
		const char *a;
		unsigned len;
		int ifindex, want;
	} cases[] = {
		{ "10.0.0.1", 33, 1, -EINVAL },	  { "2001:db8::1", 129, 1, -EINVAL },
		{ "10.0.0.1", 24, 0, -EINVAL },	  { "10.0.0.1", 24, 65, -EINVAL },
		{ "0.0.0.0", 24, 1, -EINVAL },	  { "::", 64, 1, -EINVAL },
		{ "224.0.0.5", 24, 1, -EINVAL },  { "ff02::5", 64, 1, -EINVAL },
		{ "10.0.0.255", 24, 1, -EINVAL }, { "255.255.255.255", 32, 1, -EINVAL },
		{ "10.0.0.255", 31, 1, 0 },	  { "10.1.0.255", 32, 1, 0 },
		{ "10.2.0.1", 0, 1, 0 },	  { "2001:db8::1", 128, 1, 0 },
	};
	struct fix *f = *state;
	struct cpl_addr a = addr("10.1.0.255");

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(add_addr(f, cases[i].ifindex, cases[i].a, cases[i].len),
				 cases[i].want);
	assert_int_equal(route_addr_del(&f->t, 2, &a), -ESRCH);
	assert_int_equal(route_addr_del(&f->t, 1, &a), 0);
	assert_int_equal(route_addr_del(&f->t, 1, &a), -ESRCH);
}

static void test_connected_routes(void **state)
{
	struct fix *f = *state;
	struct cpl_addr a = addr("10.0.0.2"), b = addr("10.0.0.3");
	uint32_t generation = f->t.generation;

	assert_int_equal(route_addr_add(&f->t, 1, &a, 24, false), 0);
	assert_int_not_equal(f->t.generation, generation);
	assert_int_equal(route_addr_add(&f->t, 1, &b, 24, false), 0);
	assert_int_equal(f->t.routes_n, 1);
	assert_int_equal(add_route(f, "10.0.0.77", 24, NULL, 1, 5), -EEXIST);
	assert_int_equal(route_addr_del(&f->t, 1, &a), 0);
	assert_string_equal(look(f, "10.0.0.9", 0, NULL), "1 10.0.0.9 10.0.0.3");
	generation = f->t.generation;
	assert_int_equal(route_addr_del(&f->t, 1, &b), 0);
	assert_int_not_equal(f->t.generation, generation);
	assert_int_equal(f->t.routes_n, 0);
	/* a route that was asked for stays */
	assert_int_equal(add_route(f, "10.0.0.0", 24, NULL, 1, 5), 0);
	assert_int_equal(route_addr_add(&f->t, 1, &b, 24, false), 0);
	assert_int_equal(route_addr_del(&f->t, 1, &b), 0);
	assert_int_equal(f->t.routes_n, 1);
}

static void test_broadcast(void **state)
{
	static const struct {
		const char *a;
		bool want;
	} cases[] = {
		{ "255.255.255.255", true }, { "10.0.0.255", true },  { "10.0.0.254", false },
		{ "10.0.0.0", false },	     { "10.0.1.255", false }, { "10.63.255.255", true },
		{ "192.0.2.1", false },	     { "192.0.2.3", false },  { "2001:db8::ff", false },
		{ "0.0.0.0", false },	     { "224.0.0.1", false },
	};
	struct fix *f = *state;

	add_addr(f, 1, "10.0.0.2", 24);
	add_addr(f, 1, "10.40.0.2", 10);
	add_addr(f, 1, "192.0.2.0", 31); /* RFC 3021: no broadcast address */
	add_addr(f, 1, "192.0.2.3", 32);
	add_addr(f, 1, "2001:db8::1", 64);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cpl_addr a = addr(cases[i].a);

		if (route_is_broadcast(&f->t, &a) != cases[i].want)
			fail_msg("%s", cases[i].a);
	}
}

/* The table against a walk over an unsorted copy; and memory that runs out. */
static void test_random(void **state)
{
	struct fix *f = *state;
	struct {
		struct cpl_addr prefix;
		unsigned len;
		uint32_t metric;
		int ifindex;
	} model[200];
	unsigned n = 0;

	srand(7);
	add_addr(f, 4, "192.0.2.1", 32);
	while (n < 200) {
		struct cpl_addr p = cpl_addr4(10, (uint8_t)(rand() % 4), (uint8_t)(rand() % 4),
					      (uint8_t)rand());
		unsigned len = (unsigned)rand() % 33;
		uint32_t metric = (uint32_t)rand();
		int ifindex = 1 + rand() % 3, err;

		for (unsigned bit = len; bit < 32; bit++)
			p.b[12 + bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
		err = route_add(&f->t, &p, len, NULL, ifindex, metric);
		if (err == -EEXIST)
			continue;
		assert_int_equal(err, 0);
		model[n].prefix = p;
		model[n].len = len;
		model[n].metric = metric;
		model[n++].ifindex = ifindex;
	}
	for (unsigned k = 0; k < 5000; k++) {
		struct cpl_addr d = cpl_addr4(10, (uint8_t)(rand() % 5), (uint8_t)(rand() % 4),
					      (uint8_t)(rand() % 254));
		struct route_result res;
		int best = -1;

		if (route_is_broadcast(&f->t, &d))
			continue;
		for (unsigned i = 0; i < n; i++)
			if (addr_in_prefix(&d, &model[i].prefix, model[i].len) &&
			    (best < 0 || model[i].len > model[best].len ||
			     (model[i].len == model[best].len &&
			      model[i].metric < model[best].metric)))
				best = (int)i;
		assert_int_equal(route_lookup(&f->t, &d, 0, NULL, &res),
				 best < 0 ? -ENETUNREACH : 0);
		if (best >= 0)
			assert_int_equal(res.ifindex, model[best].ifindex);
	}
}

static void test_no_memory(void **state)
{
	struct fix *f = *state;

	f->heap.left = 0;
	assert_int_equal(add_addr(f, 1, "10.0.0.1", 24), -ENOMEM);
	f->heap.left = 1; /* room for the address, none for its route */
	assert_int_equal(add_addr(f, 1, "10.0.0.1", 24), -ENOMEM);
	assert_int_equal(f->t.addrs_n, 0);
	assert_int_equal(add_route(f, "10.0.0.0", 24, NULL, 1, 0), -ENOMEM);
	f->heap.left = UINT64_MAX;
	for (unsigned i = 0; i < 3000; i++) {
		struct cpl_addr p = cpl_addr4(10, 0, (uint8_t)(i >> 8), (uint8_t)i);

		assert_int_equal(route_add(&f->t, &p, 32, NULL, 1, 0), 0);
	}
	assert_true(f->heap.largest <= 1 << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_longest_prefix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_families_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_own_address_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_link_local, setup, teardown),
		cmocka_unit_test_setup_teardown(test_given_source, setup, teardown),
		cmocka_unit_test_setup_teardown(test_source_selection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_connected_routes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broadcast, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
