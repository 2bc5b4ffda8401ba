/* SPDX-License-Identifier: MIT */
/* ICMP errors about our segments (RFC 9293 3.9.2.2): soft, hard, too big, forged; and neighbours
 * that do not answer. */
#include "tests/util/tcp_bench.h"

static struct bench b;

/* The errors that must not end a connection, and what a program is told of them. */
static const struct {
	uint8_t v6, type, code;
	int error;
} soft[] = {
	{ 0, 3, 0, ENETUNREACH },   { 0, 3, 1, EHOSTUNREACH },	{ 0, 3, 5, EOPNOTSUPP },
	{ 0, 3, 9, ENETUNREACH },   { 0, 3, 13, EHOSTUNREACH }, { 0, 11, 0, EHOSTUNREACH },
	{ 0, 11, 1, EHOSTUNREACH }, { 0, 12, 0, EPROTO },	{ 1, 1, 0, ENETUNREACH },
	{ 1, 1, 3, EHOSTUNREACH },  { 1, 3, 0, EHOSTUNREACH },	{ 1, 4, 0, EPROTO },
};
#define SOFT (sizeof(soft) / sizeof(soft[0]))

static void begin(bool v6)
{
	bench_init(&b);
	b.v6 = v6;
	bench_start(&b);
}

/* MUST-56: neither while it is opened nor later. MUST-47, SHLD-25: the program learns of it. */
static void soft_errors(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SOFT; i++) {
		cpl_handle h;

		begin(soft[i].v6);
		h = bench_open(&b, 0, 80);
		expect(&b, "S 0 <mss>");
		bench_send_icmp(&b, soft[i].type, soft[i].code, 0, 0, 0);
		expect_event(&b, h, CPL_EV_SOFT, soft[i].error);
		assert_int_equal(bench_info(&b, h)->soft_error, soft[i].error);
		expect_state(&b, CPL_SYN_SENT);
		send(&b, "S. 0 ack 1 <mss 1000>");
		expect(&b, ". 1 ack 1");
		expect_event(&b, h, CPL_EV_CONNECTED | CPL_EV_WRITABLE, 0);

		bench_write(&b, h, 100);
		expect(&b, "P. 1:101 ack 1");
		bench_send_icmp(&b, soft[i].type, soft[i].code, 0, 1, 100);
		expect_event(&b, h, CPL_EV_SOFT, soft[i].error);
		expect_state(&b, CPL_ESTABLISHED);
		/* What is acknowledged shows that it was nothing lasting. */
		send(&b, ". 1 ack 101");
		assert_int_equal(bench_info(&b, h)->soft_error, 0);
		assert_int_equal(counter(&b, icmp_in), 2);
		bench_end(&b);
	}
}

/* MUST-47: if it lasts until R2, it says why the connection was given up. */
static void soft_error_at_the_end(void **state)
{
	cpl_handle h;

	(void)state;
	begin(false);
	h = bench_open(&b, 0, 80);
	expect(&b, "S 0 <mss>");
	bench_send_icmp(&b, 3, 0, 0, 0, 0);
	bench_run(&b, 600 * CPL_SECOND);
	while (bench_take(&b))
		assert_int_equal(b.last.p.tcp.flags, TCP_SYN);
	expect_event(&b, h, CPL_EV_SOFT | CPL_EV_CLOSED, ENETUNREACH);
	assert_int_equal(cpl_send(b.stack, h, "x", 1, 0, b.now), -ENETUNREACH);
	bench_end(&b);
}

/* One that was not told yet does not spoil a normal end. */
static void soft_error_before_close(void **state)
{
	cpl_handle h;

	(void)state;
	begin(false);
	h = bench_active(&b, "mss 1000");
	send(&b, "F. 1 ack 1");
	expect(&b, ". 1 ack 2");
	assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
	expect(&b, "F. 1 ack 2");
	bench_run(&b, 10 * CPL_SECOND); /* R1 */
	while (bench_take(&b))
		;
	send(&b, ". 2 ack 2");
	expect_event(&b, h,
		     CPL_EV_READABLE | CPL_EV_PEER_FIN | CPL_EV_SENT_ALL | CPL_EV_SOFT |
			     CPL_EV_CLOSED,
		     0);
	bench_end(&b);
}

/* SHLD-20: a program can do without the reports; the snapshot still says it. */
static void no_soft_errors(void **state)
{
	uint64_t value = 9;
	cpl_handle h;

	(void)state;
	begin(false);
	h = bench_active(&b, "mss 1000");
	cpl_get_option(b.stack, h, CPL_OPT_SOFT_ERRORS, &value, b.now);
	assert_int_equal(value, 1);
	assert_int_equal(cpl_set_option(b.stack, h, CPL_OPT_SOFT_ERRORS, 0, b.now), 0);
	bench_write(&b, h, 100);
	expect(&b, "P. 1:101 ack 1");
	bench_send_icmp(&b, 3, 1, 0, 1, 100);
	expect_event(&b, h, 0, 0);
	assert_int_equal(bench_info(&b, h)->soft_error, EHOSTUNREACH);
	assert_int_equal(cpl_set_option(b.stack, h, CPL_OPT_SOFT_ERRORS, 1, b.now), 0);
	bench_send_icmp(&b, 3, 1, 0, 1, 100);
	expect_event(&b, h, CPL_EV_SOFT, EHOSTUNREACH);
	bench_end(&b);
}

static const struct {
	uint8_t v6, type, code;
	int error;
} hard[] = {
	{ 0, 3, 2, ENOPROTOOPT },
	{ 0, 3, 3, ECONNREFUSED },
	{ 1, 1, 1, EACCES },
	{ 1, 1, 4, ECONNREFUSED },
};
#define HARD (sizeof(hard) / sizeof(hard[0]))

/*
 * SHLD-26: who refuses a SYN ends the attempt. On a connection that works it is a soft error, as
 * RFC 5461 has it: nobody answers for a port that talks.
 */
static void hard_errors(void **state)
{
	(void)state;
	for (unsigned i = 0; i < HARD; i++) {
		cpl_handle h;

		begin(hard[i].v6);
		h = bench_open(&b, 0, 80);
		expect(&b, "S 0 <mss>");
		bench_send_icmp(&b, hard[i].type, hard[i].code, 0, 0, 0);
		expect_event(&b, h, CPL_EV_CLOSED, hard[i].error);
		expect_state(&b, CPL_CLOSED);
		expect_nothing_for(&b, 10 * CPL_SECOND);
		bench_end(&b);

		begin(hard[i].v6);
		h = bench_open(&b, 0, 80);
		expect(&b, "S 0 <mss>");
		send(&b, "S 0 <mss 1000>"); /* SYN-RECEIVED, simultaneously opened */
		expect(&b, "S. 0 ack 1 <mss>");
		bench_send_icmp(&b, hard[i].type, hard[i].code, 0, 0, 0);
		expect_event(&b, h, CPL_EV_CLOSED, hard[i].error);
		bench_end(&b);

		begin(hard[i].v6);
		h = bench_active(&b, "mss 1000");
		bench_write(&b, h, 100);
		expect(&b, "P. 1:101 ack 1");
		bench_send_icmp(&b, hard[i].type, hard[i].code, 0, 1, 100);
		expect_event(&b, h, CPL_EV_SOFT, hard[i].error);
		expect_state(&b, CPL_ESTABLISHED);
		bench_end(&b);
	}
}

/* SHLD-26, MUST-54: the SYN,ACK of a half-open connection; its number must be right, too. */
static void half_open(void **state)
{
	cpl_handle l;

	(void)state;
	begin(false);
	l = bench_listen(&b, 80);
	send(&b, "S 0 <mss 1000>");
	expect(&b, "S. 0 ack 1 <mss>");
	bench_send_icmp(&b, 3, 3, 0, 1, 0);
	assert_int_equal(counter(&b, drop_icmp_unmatched), 1);
	bench_send_icmp(&b, 3, 1, 0, 0, 0);
	expect_state(&b, CPL_SYN_RECEIVED);
	bench_send_icmp(&b, 3, 3, 0, 0, 0);
	expect_state(&b, CPL_CLOSED);
	expect_event(&b, l, 0, 0);
	assert_int_equal(bench_info(&b, l)->syn_queue, 0);
	bench_end(&b);
}

/* MUST-54: only the connection that is quoted, and only what is in flight there (RFC 5927 4.1). */
static void only_who_caused_it(void **state)
{
	cpl_handle first, second;
	struct bench_flow flow;

	(void)state;
	begin(false);
	first = bench_active(&b, "mss 1000");
	flow = b.flow;
	second = bench_open(&b, 0, 81);
	expect(&b, "S 0 <mss>");
	send(&b, "S. 0 ack 1 <mss 1000>");
	expect(&b, ". 1 ack 1");
	bench_events(&b, second, NULL);
	bench_write(&b, second, 100);
	expect(&b, "P. 1:101 ack 1");

	bench_send_icmp(&b, 3, 1, 0, 0, 0);   /* acknowledged long ago */
	bench_send_icmp(&b, 3, 1, 0, 101, 0); /* never sent */
	bench_send_icmp(&b, 3, 1, 0, -70000u, 0);
	b.flow.peer.port++;
	bench_send_icmp(&b, 3, 1, 0, 1, 100);
	b.flow.peer.port--;
	b.flow.us.port++;
	bench_send_icmp(&b, 3, 1, 0, 1, 100);
	b.flow.us.port--;
	b.flow.peer.addr = cpl_addr4(10, 0, 0, 9);
	bench_send_icmp(&b, 3, 1, 0, 1, 100);
	b.flow.peer.addr = b.peer_addr;
	assert_int_equal(counter(&b, drop_icmp_unmatched), 6);
	expect_event(&b, second, 0, 0);
	bench_send_icmp(&b, 3, 1, 0, 100, 1); /* the last octet */
	expect_event(&b, second, CPL_EV_SOFT, EHOSTUNREACH);
	expect_event(&b, first, 0, 0);
	assert_int_equal(bench_info(&b, first)->soft_error, 0);
	b.flow = flow;
	bench_send_icmp(&b, 3, 1, 0, 1, 0); /* nothing in flight there */
	expect_event(&b, first, 0, 0);
	bench_end(&b);
}

/* MUST-55: Source Quench changes nothing. */
static void source_quench(void **state)
{
	struct cpl_info before, after;
	cpl_handle h;

	(void)state;
	begin(false);
	h = bench_active(&b, "mss 1000");
	bench_write(&b, h, 3000);
	while (bench_take(&b))
		;
	before = *bench_info(&b, h);
	bench_send_icmp(&b, ICMP4_SOURCE_QUENCH, 0, 0, 1, 1000);
	after = *bench_info(&b, h);
	assert_memory_equal(&before, &after, sizeof(before));
	expect_event(&b, h, 0, 0);
	expect_nothing(&b);
	assert_int_equal(counter(&b, drop_icmp_unmatched), 1);
	bench_end(&b);
}

/* ---- too big ---- */

/* Packet Too Big, or fragmentation needed, with this MTU, about SEQ. */
static void too_big(uint32_t mtu, uint32_t seq, uint32_t len)
{
	if (b.v6)
		bench_send_icmp(&b, ICMP6_TOO_BIG, 0, mtu, seq, len);
	else
		bench_send_icmp(&b, ICMP4_UNREACHABLE, ICMP4_FRAG_NEEDED, mtu, seq, len);
}

/* RFC 1191, RFC 8201: what was too big goes again in smaller segments, at once. */
static void path_mtu(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		uint32_t headers = v6 ? 60 : 40, full = 1500 - headers, less = 1300 - headers;
		const struct cpl_info *i;
		uint32_t cwnd, seq = 1, end;
		cpl_handle h;

		begin(v6);
		h = bench_active(&b, "mss 1460");
		bench_write(&b, h, 3 * full);
		end = 1 + 3 * full;
		for (unsigned k = 0; k < 3; k++)
			expect(&b, "%s %u:%u ack 1", k == 2 ? "P." : ".", 1 + k * full,
			       1 + (k + 1) * full);
		cwnd = bench_info(&b, h)->cwnd / full;
		too_big(1300, 1, full);
		i = bench_info(&b, h);
		assert_int_equal(i->pmtu, 1300);
		assert_int_equal(i->snd_mss, less);
		assert_int_equal(i->cwnd / less, cwnd); /* no congestion */
		while (bench_take(&b)) {
			assert_int_equal(b.last.p.tcp.seq - b.flow.our_iss, seq);
			assert_true(b.last.p.tcp.len <= less);
			seq += b.last.p.tcp.len;
		}
		assert_int_equal(seq, end);
		send(&b, ". 1 ack %u", end);
		/* New data goes in segments of the new size. */
		bench_write(&b, h, 2 * less);
		expect(&b, ". %u:%u ack 1", end, end + less);
		expect(&b, "P. %u:%u ack 1", end + less, end + 2 * less);
		bench_end(&b);
	}
}

/* What is learned holds for other connections to that address, for ten minutes. */
static void path_mtu_shared(void **state)
{
	cpl_handle h;

	(void)state;
	begin(false);
	h = bench_active(&b, "mss 1460");
	bench_write(&b, h, 1460);
	expect(&b, "P. 1:1461 ack 1");
	too_big(1000, 1, 1460);
	expect(&b, ". 1:961 ack 1");
	expect(&b, "P. 961:1461 ack 1");
	h = bench_open(&b, 0, 81);
	expect(&b, "S 0 <mss 1460>"); /* what we take has not changed (RFC 1191 3.1) */
	send(&b, "S. 0 ack 1 <mss 1460>");
	expect(&b, ". 1 ack 1");
	assert_int_equal(bench_info(&b, h)->snd_mss, 960);
	bench_run(&b, 601 * CPL_SECOND);
	while (bench_take(&b))
		;
	h = bench_open(&b, 0, 82);
	assert_int_equal(bench_info(&b, h)->pmtu, 1500);
	bench_end(&b);
}

/* Without proof, that is a quote of what is in flight, nothing shrinks; nor does it ever grow. */
static void path_mtu_forged(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		uint32_t full = v6 ? 1440 : 1460;
		cpl_handle h, other;

		begin(v6);
		h = bench_active(&b, "mss 1460");
		bench_write(&b, h, full);
		expect(&b, "P. 1:%u ack 1", 1 + full);
		too_big(1280, 5000, 100);
		too_big(1280, 0, 100);
		assert_int_equal(counter(&b, drop_icmp_unmatched), 2);
		assert_int_equal(bench_info(&b, h)->pmtu, 1500);
		too_big(1500, 1, full);
		too_big(9000, 1, full);
		assert_int_equal(bench_info(&b, h)->pmtu, 1500);
		/* A tiny one: IPv6 discards it (RFC 8201 4), IPv4 goes as far as Linux's min_pmtu.
		 */
		too_big(68, 1, full);
		assert_int_equal(bench_info(&b, h)->pmtu, v6 ? 1500 : 552);
		other = bench_open(&b, 0, 81);
		assert_int_equal(bench_info(&b, other)->pmtu, v6 ? 1500 : 552);
		bench_end(&b);
	}
}

/*
 * RFC 5927 7: a forger who has guessed addresses, ports and a number in flight must also hit the
 * first octet of a segment, and one that was larger than the MTU that he claims, whatever he
 * quotes.
 */
static void path_mtu_guessed(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		uint32_t full = v6 ? 1440 : 1460;
		uint64_t unmatched;
		cpl_handle h;

		begin(v6);
		h = bench_active(&b, "mss 1460");
		bench_write(&b, h, 3 * full + 1000);
		for (unsigned k = 0; k < 3; k++)
			expect(&b, ". %u:%u ack 1", 1 + k * full, 1 + (k + 1) * full);
		expect(&b, "P. %u:%u ack 1", 1 + 3 * full, 1 + 3 * full + 1000);
		for (uint32_t seq = 1; seq < 3 * full; seq++)
			if ((seq - 1) % full)
				too_big(1300, seq, full);
		assert_int_equal(bench_info(&b, h)->pmtu, 1500);
		unmatched = counter(&b, drop_icmp_unmatched);
		assert_int_equal(unmatched, 3 * full - 3 - 1);
		too_big(1300, 1 + 3 * full, full); /* that fitted */
		assert_int_equal(counter(&b, drop_icmp_unmatched), unmatched + 1);
		assert_int_equal(bench_info(&b, h)->pmtu, 1500);
		expect_nothing(&b);
		too_big(1300, 1 + full, full);
		assert_int_equal(bench_info(&b, h)->pmtu, 1300);
		bench_end(&b);
	}
}

/* Super-segments: what the device cuts are segments, too; and what goes again is cut anew. */
static void path_mtu_of_pieces(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.iface.flags |= CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4;
	b.iface.gso_max = 65000;
	b.config.initial_window = 16; /* half of it may leave at once */
	bench_start(&b);
	h = bench_active(&b, "mss 1460");
	bench_write(&b, h, 8 * 1460);
	expect(&b, "P. 1:%u ack 1", 1 + 8 * 1460);
	send(&b, ". 1 ack %u", 1 + 2 * 1460);
	too_big(1300, 1 + 5 * 1460 + 1, 1460);
	assert_int_equal(bench_info(&b, h)->pmtu, 1500);
	too_big(1300, 1 + 5 * 1460, 1460);
	assert_int_equal(bench_info(&b, h)->pmtu, 1300);
	expect(&b, "P. %u:%u ack 1", 1 + 2 * 1460, 1 + 8 * 1460);
	assert_int_equal(b.last.gso_size, 1260);
	/* A narrower link further on. */
	too_big(1280, 1 + 2 * 1460 + 1460, 1260);
	assert_int_equal(bench_info(&b, h)->pmtu, 1300);
	too_big(1280, 1 + 2 * 1460 + 1260, 1260);
	assert_int_equal(bench_info(&b, h)->pmtu, 1280);
	bench_end(&b);
}

/* An old router says no MTU: the next plateau below what was sent (RFC 1191 5). */
static void path_mtu_unsaid(void **state)
{
	cpl_handle h;

	(void)state;
	begin(false);
	h = bench_active(&b, "mss 1460");
	bench_write(&b, h, 1460);
	expect(&b, "P. 1:1461 ack 1");
	too_big(0, 1, 1460);
	assert_int_equal(bench_info(&b, h)->pmtu, 1492);
	expect(&b, ". 1:1453 ack 1");
	expect(&b, "P. 1453:1461 ack 1");
	bench_end(&b);
}

/* ---- messages that say nothing ---- */

static void malformed(void **state)
{
	uint8_t quote[64], packet[256];
	struct ip_hdr ip, inner;
	struct tcp_seg seg;
	struct icmp_msg m = { .type = ICMP4_UNREACHABLE, .code = 3, .body = quote };
	cpl_handle h;
	uint32_t len;

	(void)state;
	begin(false);
	h = bench_open(&b, 0, 80);
	expect(&b, "S 0 <mss>");
	ip = (struct ip_hdr){ .src = b.gateway, .dst = b.our_addr };
	inner = (struct ip_hdr){ .src = b.our_addr, .dst = b.peer_addr };
	seg = (struct tcp_seg){
		.sport = b.flow.us.port, .dport = 80, .seq = b.flow.our_iss, .flags = TCP_SYN
	};
	len = packet_tcp(quote, sizeof(quote), &inner, &seg);
	for (m.body_len = 0; m.body_len < len; m.body_len++) {
		uint64_t bad = counter(&b, drop_icmp_bad);

		bench_inject(&b, packet, packet_icmp(packet, sizeof(packet), &ip, &m));
		if (m.body_len >= 28) /* eight octets of TCP are enough (RFC 792) */
			break;
		assert_int_equal(counter(&b, drop_icmp_bad), bad + 1);
		expect_state(&b, CPL_SYN_SENT);
	}
	expect_event(&b, h, CPL_EV_CLOSED, ECONNREFUSED);
	expect_nothing(&b);
	bench_end(&b);

	/* A wrong checksum. */
	begin(false);
	h = bench_open(&b, 0, 80);
	expect(&b, "S 0 <mss>");
	m.body_len = len;
	len = packet_icmp(packet, sizeof(packet), &ip, &m);
	packet[len - 1] ^= 1;
	bench_inject(&b, packet, len);
	assert_int_equal(counter(&b, drop_icmp_bad), 1);
	expect_state(&b, CPL_SYN_SENT);
	bench_end(&b);
}

/* ---- neighbours ---- */

/* Nobody answers on the link: an attempt to open ends at once with EHOSTUNREACH. */
static void neighbour_silent(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		cpl_handle h;
		unsigned asked = 0;

		bench_init(&b);
		b.v6 = v6;
		b.iface.kind = CPL_IFACE_ETHER;
		b.mute_neighbours = b.show_neighbours = true;
		bench_start(&b);
		h = bench_open(&b, 0, 80);
		bench_run(&b, 10 * CPL_SECOND);
		while (bench_take(&b)) {
			assert_int_equal(b.last.p.kind, v6 ? PACKET_ICMP : PACKET_ARP);
			asked++;
		}
		assert_int_equal(asked, 3); /* RFC 4861 10: MAX_MULTICAST_SOLICIT */
		expect_event(&b, h, CPL_EV_CLOSED, EHOSTUNREACH);
		assert_true(counter(&b, drop_neigh_failed) > 0);
		bench_end(&b);
	}
}

/* It falls silent later: the connection lives, and says why it does not get on. */
static void neighbour_falls_silent(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.iface.kind = CPL_IFACE_ETHER;
	bench_start(&b);
	h = bench_active(&b, "mss 1000");
	bench_write(&b, h, 100);
	expect(&b, "P. 1:101 ack 1");
	b.mute_neighbours = true;
	bench_run(&b, 200 * CPL_SECOND);
	assert_true(bench_events(&b, h, NULL) & CPL_EV_SOFT);
	assert_int_equal(bench_info(&b, h)->state, CPL_ESTABLISHED);
	assert_int_equal(bench_info(&b, h)->soft_error, EHOSTUNREACH);
	while (bench_take(&b))
		;
	b.mute_neighbours = false;
	bench_run(&b, 200 * CPL_SECOND);
	expect(&b, "P. 1:101 ack 1");
	send(&b, ". 1 ack 101");
	assert_int_equal(bench_info(&b, h)->send_queue, 0);
	assert_int_equal(bench_info(&b, h)->soft_error, 0);
	bench_end(&b);
}

/* A SYN,ACK whose neighbour does not answer: the record stays until its time is over. */
static void neighbour_of_syn(void **state)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 2 };

	(void)state;
	bench_init(&b);
	b.iface.kind = CPL_IFACE_ETHER;
	b.mute_neighbours = true;
	bench_start(&b);
	bench_listen(&b, 80);
	send(&b, "S 0 <mss 1000>");
	bench_run(&b, 2 * CPL_SECOND);
	expect_nothing(&b);
	expect_state(&b, CPL_SYN_RECEIVED);
	b.mute_neighbours = false;
	bench_run(&b, 20 * CPL_SECOND);
	expect(&b, "S. 0 ack 1 <mss>");
	assert_memory_equal(b.last.p.ether.dst, mac, 6);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(soft_errors),
		cmocka_unit_test(soft_error_at_the_end),
		cmocka_unit_test(soft_error_before_close),
		cmocka_unit_test(no_soft_errors),
		cmocka_unit_test(hard_errors),
		cmocka_unit_test(half_open),
		cmocka_unit_test(only_who_caused_it),
		cmocka_unit_test(source_quench),
		cmocka_unit_test(path_mtu),
		cmocka_unit_test(path_mtu_shared),
		cmocka_unit_test(path_mtu_forged),
		cmocka_unit_test(path_mtu_guessed),
		cmocka_unit_test(path_mtu_of_pieces),
		cmocka_unit_test(path_mtu_unsaid),
		cmocka_unit_test(malformed),
		cmocka_unit_test(neighbour_silent),
		cmocka_unit_test(neighbour_falls_silent),
		cmocka_unit_test(neighbour_of_syn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
