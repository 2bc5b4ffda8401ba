/* SPDX-License-Identifier: MIT */
/*
 * Reassembly at random: against a model that keeps each packet as an array of octets, and with
 * octets that are hardly a packet any more.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ip/fragments.h"

#define NAMES	  6
#define MODEL_MAX 2048

/* A packet as the naive think of it: octet by octet. */
struct model {
	bool used, dead;
	uint64_t deadline;
	uint32_t end, reach;
	bool have[MODEL_MAX];
	uint8_t data[MODEL_MAX];
};

static struct model models[NAMES];

static enum reasm_verdict model_add(struct model *m, const struct piece *f, uint64_t time_ns)
{
	uint32_t end = f->off + f->len, had = 0;
	bool differs = false;

	if (!f->len || (f->more && f->len % 8))
		return REASM_BAD;
	if (!m->used) {
		memset(m, 0, sizeof(*m));
		m->used = true;
		m->deadline = now + time_ns;
	}
	if (m->dead)
		return REASM_OVERLAP;
	for (uint32_t i = 0; i < f->len; i++) {
		had += m->have[f->off + i];
		differs |= m->have[f->off + i] && m->data[f->off + i] != f->data[i];
	}
	if ((!f->more && ((m->end && m->end != end) || (!m->end && m->reach >= end))) ||
	    (f->more && m->end && end >= m->end) || (had && (had < f->len || differs))) {
		m->dead = true;
		return REASM_OVERLAP;
	}
	memcpy(m->data + f->off, f->data, f->len);
	memset(m->have + f->off, 1, f->len);
	m->reach = end > m->reach ? end : m->reach;
	if (!f->more)
		m->end = end;
	for (uint32_t i = 0; i < m->end; i++)
		if (!m->have[i])
			return REASM_KEPT;
	if (!m->end)
		return REASM_KEPT;
	m->used = false;
	return REASM_COMPLETE;
}

static void test_model(void **state)
{
	static uint8_t datas[3][MODEL_MAX];
	unsigned complete = 0, overlap = 0, kept = 0;

	(void)state;
	srand(11);
	for (unsigned i = 0; i < sizeof(datas); i++)
		datas[i / MODEL_MAX][i % MODEL_MAX] = (uint8_t)rand();
	for (unsigned k = 0; k < 300000; k++) {
		uint32_t id = (uint32_t)rand() % NAMES, size = 8u << (id % 3 * 2);
		/* mostly the same cut of the same data; now and then something else */
		uint32_t total = size * 5 + 3, which = rand() % 40 ? 0 : (uint32_t)rand() % 3;
		struct piece f = { .ipv6 = id % 2, .id = id };
		struct reasm_expired expired;
		enum reasm_verdict want, got;

		f.off = (uint32_t)rand() % 6 * size;
		f.len = f.off + size < total ? size : total - f.off;
		if (rand() % 60 == 0)
			f.len = (uint32_t)rand() % 100;
		if (rand() % 60 == 0)
			f.off = (uint32_t)rand() % 150 * 8;
		f.more = rand() % 100 ? f.off + f.len < total : rand() % 2;
		if (!f.more && !f.off && f.ipv6)
			continue; /* atomic */
		if (!f.more && !f.off)
			continue; /* no fragment */
		f.data = datas[which] + f.off;
		want = model_add(&models[id], &f, f.ipv6 ? 60 * SECOND : 30 * SECOND);
		got = add(&f);
		if (got != want)
			fail_msg("step %u: %d, not %d", k, (int)got, (int)want);
		if (got == REASM_COMPLETE)
			check_whole(models[id].data, models[id].end);
		complete += got == REASM_COMPLETE;
		overlap += got == REASM_OVERLAP;
		kept += got == REASM_KEPT;
		now += (uint64_t)rand() % SECOND;
		while (reasm_expire(&r, now, &expired))
			;
		for (unsigned i = 0; i < NAMES; i++)
			if (models[i].used && models[i].deadline <= now)
				models[i].used = false;
	}
	assert_true(complete > 5000 && overlap > 5000 && kept > 5000);
}

/* Octets at random behind a plausible header: only that nothing breaks and all comes back. */
static void test_garbage(void **state)
{
	struct reasm_expired expired;

	(void)state;
	srand(13);
	for (unsigned k = 0; k < 100000; k++) {
		uint8_t p[200];
		struct ip_problem problem;
		struct ip_hdr h;
		struct piece f = { .ipv6 = rand() % 2,
				   .id = (uint32_t)rand() % 3,
				   .off = (uint32_t)rand() % 30 * 8,
				   .len = (uint32_t)rand() % 80,
				   .more = rand() % 2,
				   .ext = (unsigned)rand() % 3 * 8,
				   .protocol = rand() % 2 ? IP_TCP : 60 };
		uint32_t len = piece_build(&f, p), skip = f.ipv6 ? 4 : 20;

		for (unsigned flips = (unsigned)rand() % 3; flips; flips--)
			p[skip + (unsigned)rand() % (len - skip + 1)] ^= (uint8_t)(1 << rand() % 8);
		if (ip_parse(p, len, &h, &problem) != IP_OK || !h.fragment)
			continue;
		if (reasm_add(&r, 1 + rand() % 2, p, &h, now, &whole, &whole_len, &handle) ==
		    REASM_COMPLETE) {
			assert_in_range(ip_parse(whole, whole_len, &h, &problem), IP_OK,
					IP_UNKNOWN_OPTION);
			reasm_release(&r, handle);
		}
		now += (uint64_t)rand() % (SECOND / 4);
		reasm_expire(&r, now, &expired);
	}
	while (reasm_expire(&r, now + 61 * SECOND, &expired))
		;
	all_free();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_model, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
