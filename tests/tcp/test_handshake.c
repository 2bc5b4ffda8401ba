/* SPDX-License-Identifier: MIT */
/* The handshake: options in all combinations, segment sizes, repeated and lost segments. */
#include "tests/util/tcp_bench.h"

static struct bench b;

#define OFFER_MSS    1u
#define OFFER_SACK   2u
#define OFFER_TS     4u
#define OFFER_WSCALE 8u
#define OFFERS	     16u

/* The options of SET in words, with an MSS of 1400 and a shift of 5. */
static const char *offer(unsigned set)
{
	static char text[80];

	snprintf(text, sizeof(text), "%s%s%s%s", set & OFFER_MSS ? "mss 1400," : "",
		 set & OFFER_SACK ? "sackOK," : "", set & OFFER_TS ? "TS," : "",
		 set & OFFER_WSCALE ? "wscale 5," : "");
	return text;
}

/* The same for what the stack says: its MSS is 1460, its shift that of 6 MiB. */
static const char *own(unsigned set)
{
	static char text[80];

	snprintf(text, sizeof(text), "mss 1460,%s%s%s", set & OFFER_SACK ? "sackOK," : "",
		 set & OFFER_TS ? "TS," : "", set & OFFER_WSCALE ? "wscale 7," : "");
	return text;
}

static void begin(unsigned ours)
{
	bench_init(&b);
	b.config.sack = !!(ours & OFFER_SACK);
	b.config.timestamps = !!(ours & OFFER_TS);
	b.config.window_scaling = !!(ours & OFFER_WSCALE);
	bench_start(&b);
}

static void check_agreed(cpl_handle h, unsigned theirs, unsigned agreed)
{
	const struct cpl_info *i = bench_info(&b, h);
	uint32_t options = 0, mss = theirs & OFFER_MSS ? 1400 : 536;

	options |= agreed & OFFER_SACK ? CPL_OPT_BIT_SACK : 0;
	options |= agreed & OFFER_TS ? CPL_OPT_BIT_TS : 0;
	options |= agreed & OFFER_WSCALE ? CPL_OPT_BIT_WSCALE : 0;
	assert_int_equal(i->options, options);
	assert_int_equal(i->peer_mss, mss); /* MUST-14, MUST-15 */
	assert_int_equal(i->snd_mss, agreed & OFFER_TS ? mss - 12 : mss);
	assert_int_equal(i->snd_wscale, agreed & OFFER_WSCALE ? 5 : 0);
	assert_int_equal(i->rcv_wscale, agreed & OFFER_WSCALE ? 7 : 0);
	assert_int_equal(i->rcv_mss, 1460);
}

/* MUST-14, MAY-3, SHLD-5: the MSS is always sent; of the others what both ends have. */
static void passive_options(void **state)
{
	(void)state;
	for (unsigned ours = 0; ours < OFFERS; ours += 2) {
		for (unsigned theirs = 0; theirs < OFFERS; theirs++) {
			unsigned agreed = ours & theirs;
			cpl_handle l, h;

			begin(ours);
			l = bench_listen(&b, 80);
			send(&b, "S 0 win 1000 <%s>", offer(theirs));
			expect(&b, "S. 0 ack 1 win 65535 <%s>", own(agreed));
			send(&b, ". 1 ack 1 win 1000");
			expect_nothing(&b);
			h = bench_accepted(&b, l);
			check_agreed(h, theirs, agreed);
			/* RFC 7323 2.2: the window of a SYN is not scaled, later ones are. */
			assert_int_equal(bench_info(&b, h)->snd_wnd,
					 agreed & OFFER_WSCALE ? 32000 : 1000);
			/* MUST-65: only timestamps go on. */
			bench_write(&b, h, 10);
			expect(&b, "P. 1:11 ack 1 <%s>", agreed & OFFER_TS ? "TS" : "");
			bench_end(&b);
		}
	}
}

/* MUST-14, SHLD-5 */
static void active_options(void **state)
{
	(void)state;
	for (unsigned ours = 0; ours < OFFERS; ours += 2) {
		for (unsigned theirs = 0; theirs < OFFERS; theirs++) {
			unsigned agreed = ours & theirs;
			cpl_handle h;

			begin(ours);
			h = bench_open(&b, 0, 80);
			expect(&b, "S 0 win 65535 <%s>", own(ours));
			send(&b, "S. 0 ack 1 win 1000 <%s>", offer(theirs));
			expect(&b, ". 1 ack 1 <%s>", agreed & OFFER_TS ? "TS" : "");
			expect_nothing(&b);
			expect_event(&b, h, CPL_EV_CONNECTED | CPL_EV_WRITABLE, 0);
			check_agreed(h, theirs, agreed);
			assert_int_equal(bench_info(&b, h)->snd_wnd, 1000);
			send(&b, ". 1 ack 1 win 1000");
			assert_int_equal(bench_info(&b, h)->snd_wnd,
					 agreed & OFFER_WSCALE ? 32000 : 1000);
			bench_write(&b, h, 10);
			expect(&b, "P. 1:11 ack 1 <%s>", agreed & OFFER_TS ? "TS" : "");
			bench_end(&b);
		}
	}
}

/* MUST-15: 536 over IPv4, 1220 over IPv6. */
static void default_mss(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		unsigned mss = v6 ? 1220 : 536;
		cpl_handle h;

		for (int active = 0; active < 2; active++) {
			bench_init(&b);
			b.v6 = v6;
			bench_start(&b);
			h = active ? bench_active(&b, "") : bench_passive(&b, "");
			assert_int_equal(bench_info(&b, h)->peer_mss, mss);
			bench_write(&b, h, 3 * mss);
			expect(&b, ". 1:%u ack 1", 1 + mss);
			expect(&b, ". %u:%u ack 1", 1 + mss, 1 + 2 * mss);
			expect(&b, "P. %u:%u ack 1", 1 + 2 * mss, 1 + 3 * mss);
			bench_end(&b);
		}
	}
}

/* MUST-16: min(SendMSS + 20, MMS_S) - TCPhdrsize - IPoptionsize. */
static void effective_mss(void **state)
{
	static const struct {
		unsigned peer_mss, mtu, ts, effective;
	} cases[] = {
		{ 1460, 1500, 0, 1460 },    { 1460, 1500, 1, 1448 }, { 9000, 1500, 0, 1460 },
		{ 9000, 1500, 1, 1448 },    { 1000, 1500, 0, 1000 }, { 1000, 1500, 1, 988 },
		{ 1460, 700, 0, 660 },	    { 1460, 700, 1, 648 },   { 100, 1500, 1, 88 },
		{ 65535, 65535, 0, 65495 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char options[40];
		cpl_handle h;

		bench_init(&b);
		b.config.timestamps = (uint8_t)cases[i].ts;
		b.iface.mtu = cases[i].mtu;
		bench_start(&b);
		snprintf(options, sizeof(options), "mss %u%s", cases[i].peer_mss,
			 cases[i].ts ? ",TS" : "");
		h = bench_passive(&b, options);
		assert_int_equal(bench_info(&b, h)->snd_mss, cases[i].effective);
		/* MUST-67: what we tell is what the interface takes, whatever the peer said. */
		assert_int_equal(bench_info(&b, h)->rcv_mss, cases[i].mtu - 40);
		bench_end(&b);
	}
}

/* MUST-67, SHLD-6: by the interface that the route leaves by; an option can only lower it. */
static void own_mss(void **state)
{
	struct cpl_iface_config second;
	struct cpl_addr addr = cpl_addr4(192, 168, 0, 1);
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	second = b.iface;
	second.mtu = 1000;
	b.ifindex = cpl_iface_add(b.stack, &second, b.now);
	assert_int_equal(cpl_addr_add(b.stack, b.ifindex, &addr, 24, b.now), 0);
	b.our_addr = addr;
	b.peer_addr = cpl_addr4(192, 168, 0, 2);
	h = bench_open(&b, 0, 80);
	b.flow.us.addr = addr;
	expect(&b, "S 0 <mss 960>");
	assert_int_equal(cpl_abort(b.stack, h, b.now), 0);

	/* A listener behind it says the same. */
	bench_listen(&b, 81);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <mss 960>");
	bench_end(&b);

	bench_begin(&b);
	bench_flow(&b, 0, 80);
	assert_int_equal(cpl_open(b.stack, NULL, &h, b.now), 0);
	assert_int_equal(cpl_set_option(b.stack, h, CPL_OPT_MAXSEG, 700, b.now), 0);
	assert_int_equal(cpl_open_active(b.stack, h, &b.flow.peer, b.now), 0);
	expect(&b, "S 0 <mss 700>");
	send(&b, "S. 0 ack 1 <mss 1460>");
	expect(&b, ". 1 ack 1");
	assert_int_equal(bench_info(&b, h)->snd_mss, 700);
	bench_end(&b);
}

/* A window scale above 14 is 14 (RFC 7323 2.3), which 15 bits of shift would not be. */
static void large_shift(void **state)
{
	cpl_handle h;

	(void)state;
	begin(OFFER_WSCALE);
	h = bench_passive(&b, "mss 1460,wscale 200");
	assert_int_equal(bench_info(&b, h)->snd_wscale, 14);
	send(&b, ". 1 ack 1 win 65535");
	assert_int_equal(bench_info(&b, h)->snd_wnd, 65535u << 14);
	bench_end(&b);
}

/* Malformed options: the segment is dropped and counted; unknown ones are skipped. */
static void odd_options(void **state)
{
	static const uint8_t unknown[] = { 200, 4, 1, 2, 2, 4, 5, 120, 253, 6, 9, 9, 9, 9, 1, 0 };
	static const uint8_t zero_length[] = { 2, 0, 5, 120 };
	static const uint8_t too_long[] = { 1, 1, 8, 10 };

	(void)state;
	bench_begin(&b);
	bench_listen(&b, 80);
	b.raw_options = zero_length;
	b.raw_options_n = sizeof(zero_length);
	expect_drop(&b, drop_tcp_options, "S 0");
	b.raw_options = too_long;
	b.raw_options_n = sizeof(too_long);
	expect_drop(&b, drop_tcp_options, "S 0");
	b.raw_options = unknown;
	b.raw_options_n = sizeof(unknown);
	send(&b, "S 0");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	assert_int_equal(bench_flow_info(&b)->peer_mss, 1400);
	bench_end(&b);
}

/* MUST-3: a wrong checksum is dropped, in every state alike. */
static void bad_checksum(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	bench_listen(&b, 80);
	b.bad_checksum = true;
	expect_drop(&b, drop_tcp_checksum, "S 0");
	b.bad_checksum = true;
	expect_drop(&b, drop_tcp_checksum, "S 0:100");
	bench_end(&b);

	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	b.bad_checksum = true;
	expect_drop(&b, drop_tcp_checksum, "P. 1:101 ack 1");
	b.bad_checksum = true;
	expect_drop(&b, drop_tcp_checksum, "R 1");
	assert_int_equal(bench_info(&b, h)->rcv_nxt, b.flow.iss + 1);
	expect_state(&b, CPL_ESTABLISHED);
	bench_end(&b);
}

/* The SYN,ACK goes again after 1, 2, 4, ... s, synack_retries times, and then it is over. */
static void synack_lost(void **state)
{
	(void)state;
	bench_begin(&b);
	bench_listen(&b, 80);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	for (unsigned i = 0; i < 5; i++)
		expect_after(&b, CPL_SECOND << i, "S. 0 ack 1 <mss 1460>");
	expect_nothing_for(&b, 31 * CPL_SECOND);
	expect_state(&b, CPL_SYN_RECEIVED);
	expect_nothing_for(&b, 60 * CPL_SECOND);
	expect_state(&b, CPL_CLOSED);
	/* Too late. */
	send(&b, ". 1 ack 1");
	expect(&b, "R 1");
	bench_end(&b);
}

/* The peer did not get it: its SYN comes again, and is answered again at once. */
static void syn_again(void **state)
{
	cpl_handle l;

	(void)state;
	bench_begin(&b);
	l = bench_listen(&b, 80);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	bench_run(&b, 400 * CPL_MS);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	send(&b, ". 1 ack 1");
	expect_event(&b, l, CPL_EV_ACCEPT, 0);
	bench_accepted(&b, l);
	assert_int_equal(counter(&b, passive_opens), 1);
	bench_end(&b);
}

/* The third segment is lost: data or a FIN takes its place. */
static void ack_lost(void **state)
{
	cpl_handle l, h;

	(void)state;
	bench_begin(&b);
	l = bench_listen(&b, 80);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	send(&b, "P. 1:101 ack 1");
	expect(&b, ". 1 ack 101");
	h = bench_accepted(&b, l);
	expect_event(&b, h, CPL_EV_READABLE, 0);
	bench_read(&b, h, 100);
	bench_end(&b);

	bench_begin(&b);
	l = bench_listen(&b, 80);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	send(&b, "FP. 1:101 ack 1");
	expect(&b, ". 1 ack 102");
	h = bench_accepted(&b, l);
	assert_int_equal(bench_info(&b, h)->state, CPL_CLOSE_WAIT);
	bench_read(&b, h, 100);
	bench_read(&b, h, 0);
	bench_end(&b);
}

/* Our ACK of the SYN,ACK was lost: it comes again, and the ACK goes again. */
static void synack_again(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_active(&b, "mss 1460");
	send(&b, "S. 0 ack 1 <mss 1460>");
	expect(&b, ". 1 ack 1");
	assert_int_equal(bench_info(&b, h)->state, CPL_ESTABLISHED);
	bench_end(&b);
}

/* A SYN,ACK that acknowledges another SYN is from an old connection (RFC 9293 figure 9). */
static void old_synack(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_open(&b, 0, 80);
	expect(&b, "S 0 <mss 1460>");
	send(&b, "S. 5000 ack 100");
	expect(&b, "R 100");
	send(&b, "S. 5000 ack 0");
	expect(&b, "R 0");
	send(&b, "R. 5000 ack 100");
	expect_nothing(&b);
	send(&b, "S. 0 ack 1 <mss 1460>");
	expect(&b, ". 1 ack 1");
	expect_event(&b, h, CPL_EV_CONNECTED | CPL_EV_WRITABLE, 0);
	bench_end(&b);
}

/* An old duplicate SYN (figure 8): what it starts, the peer's RST ends. */
static void old_syn(void **state)
{
	cpl_handle l, h;

	(void)state;
	bench_begin(&b);
	l = bench_listen(&b, 80);
	send(&b, "S -5000 <mss 1460>");
	expect(&b, "S. 0 ack -4999 <mss 1460>");
	/* The new SYN lies in the window of the old: back to LISTEN, and the next one counts. */
	send(&b, "S 0 <mss 1460>");
	expect_nothing(&b);
	expect_state(&b, CPL_CLOSED);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	send(&b, ". 1 ack 1");
	h = bench_accepted(&b, l);
	assert_int_equal(bench_info(&b, h)->irs, b.flow.iss);

	/* One that is beyond the window: our ACK is a surprise to the peer, which resets. */
	bench_flow(&b, 80, 40001);
	send(&b, "S -500000 <mss 1460>");
	expect(&b, "S. 0 ack -499999 <mss 1460>");
	send(&b, "S 0 <mss 1460>");
	expect(&b, ". 1 ack -499999");
	send(&b, "R -499999");
	expect_state(&b, CPL_CLOSED);
	bench_end(&b);
}

/* Text and FIN on the SYN,ACK are taken; on a SYN they are not, and come again. */
static void text_on_syn(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_open(&b, 0, 80);
	expect(&b, "S 0 <mss 1460>");
	send(&b, "S.F 0:10 ack 1 <mss 1460>");
	expect(&b, ". 1 ack 12");
	assert_int_equal(bench_info(&b, h)->state, CPL_CLOSE_WAIT);
	assert_int_equal(bench_info(&b, h)->recv_queue, 10);
	bench_end(&b);

	bench_begin(&b);
	bench_listen(&b, 80);
	send(&b, "S 0:10 <mss 1460>");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	send(&b, ". 1:11 ack 1");
	expect(&b, ". 1 ack 11");
	bench_end(&b);
}

/* RFC 6298: the handshake gives the first round trip, unless its SYN went twice (Karn). */
static void first_rtt(void **state)
{
	cpl_handle l, h;

	(void)state;
	bench_begin(&b);
	h = bench_open(&b, 0, 80);
	expect(&b, "S 0 <mss>");
	bench_run(&b, 30 * CPL_MS);
	send(&b, "S. 0 ack 1 <mss 1460>");
	expect(&b, ". 1 ack 1");
	assert_int_equal(bench_info(&b, h)->srtt, 30 * CPL_MS);
	bench_end(&b);

	bench_begin(&b);
	h = bench_open(&b, 0, 80);
	expect(&b, "S 0 <mss>");
	expect_after(&b, CPL_SECOND, "S 0 <mss>");
	bench_run(&b, 30 * CPL_MS);
	send(&b, "S. 0 ack 1 <mss 1460>");
	expect(&b, ". 1 ack 1");
	assert_false(cpl_info_known(bench_info(&b, h), CPL_F_srtt));
	assert_int_equal(bench_info(&b, h)->rto, 3 * CPL_SECOND); /* RFC 6298 5.7 */
	bench_end(&b);

	bench_begin(&b);
	l = bench_listen(&b, 80);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <mss>");
	bench_run(&b, 30 * CPL_MS);
	send(&b, ". 1 ack 1");
	h = bench_accepted(&b, l);
	assert_int_equal(bench_info(&b, h)->srtt, 30 * CPL_MS);
	bench_end(&b);
}

/* An ACK that may answer either of two SYN,ACKs measures nothing (Karn), nor one that was held up.
 */
static void no_rtt(void **state)
{
	cpl_handle l, h;

	(void)state;
	bench_begin(&b);
	l = bench_listen(&b, 80);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <mss>");
	bench_run(&b, 500 * CPL_MS);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <mss>");
	bench_run(&b, 10 * CPL_MS);
	send(&b, ". 1 ack 1");
	h = bench_accepted(&b, l);
	assert_false(cpl_info_known(bench_info(&b, h), CPL_F_srtt));
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passive_options), cmocka_unit_test(active_options),
		cmocka_unit_test(default_mss),	   cmocka_unit_test(effective_mss),
		cmocka_unit_test(own_mss),	   cmocka_unit_test(large_shift),
		cmocka_unit_test(odd_options),	   cmocka_unit_test(bad_checksum),
		cmocka_unit_test(synack_lost),	   cmocka_unit_test(syn_again),
		cmocka_unit_test(ack_lost),	   cmocka_unit_test(synack_again),
		cmocka_unit_test(old_synack),	   cmocka_unit_test(old_syn),
		cmocka_unit_test(text_on_syn),	   cmocka_unit_test(first_rtt),
		cmocka_unit_test(no_rtt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
