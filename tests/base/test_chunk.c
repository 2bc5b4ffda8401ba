/* SPDX-License-Identifier: MIT */
/* Chunks: classes, sharing, lent memory; queues against plain byte arrays. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/chunk.h"
#include "base/hash.h"
#include "tests/util/heap.h"

struct fixture {
	struct heap heap;
	struct chunk_mem cm;
};

static void setup(struct fixture *f, uint64_t limit)
{
	heap_init(&f->heap, limit);
	chunk_mem_init(&f->cm, &f->heap.mem);
}

static void teardown(struct fixture *f)
{
	unsigned i;

	for (i = 0; i < CHUNK_CLASSES; i++) {
		pool_trim(&f->cm.classes[i]);
		assert_int_equal(f->cm.classes[i].in_use, 0);
	}
	pool_trim(&f->cm.refs);
	assert_int_equal(f->cm.refs.in_use, 0);
	assert_int_equal(f->cm.lent.in_use, 0);
	chunk_mem_destroy(&f->cm);
	assert_int_equal(f->heap.slabs, 0);
	assert_int_equal(f->heap.mem.used, 0);
}

static void test_classes(void **state)
{
	static const struct {
		uint32_t size, cap;
	} cases[] = { { 0, 480 },	{ 480, 480 },	  { 481, 2016 },
		      { 2016, 2016 },	{ 2017, 16352 },  { 16353, 65504 },
		      { 65504, 65504 }, { 65505, 65504 }, { 1 << 30, 65504 } };
	struct fixture f;
	struct chunk *chunk;
	unsigned i;

	(void)state;
	setup(&f, UINT64_MAX);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		chunk = chunk_new(&f.cm, cases[i].size);
		assert_non_null(chunk);
		assert_int_equal(chunk->cap, cases[i].cap);
		assert_int_equal(chunk->fill, 0);
		assert_int_equal(chunk->refs, 1);
		memset(chunk->data, 0xaa, chunk->cap);
		chunk_put(&f.cm, chunk);
	}
	assert_true(f.heap.largest <= 1 << 20);
	teardown(&f);
}

/* Few bytes pin a small chunk; many small writes end up in few chunks. */
static void test_append_classes(void **state)
{
	static const struct {
		size_t n;
		uint32_t chunk_sizes;
	} cases[] = { { 10, 512 },	{ 480, 512 },	  { 481, 2048 },
		      { 1460, 2048 },	{ 2048, 16384 },  { 16000, 16384 },
		      { 16384, 65536 }, { 65504, 65536 }, { 65536, 65536 + 16384 } };
	static const uint8_t data[65536];
	struct fixture f;
	struct chunkq q;
	struct list *node;
	unsigned i, refs;

	(void)state;
	setup(&f, UINT64_MAX);
	chunkq_init(&q);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(chunkq_append(&q, &f.cm, data, cases[i].n), cases[i].n);
		refs = 0;
		list_for_each (node, &q.refs)
			refs++;
		assert_int_equal(q.memory, cases[i].chunk_sizes + refs * sizeof(struct chunk_ref));
		chunkq_clear(&q, &f.cm);
		assert_int_equal(q.memory, 0);
	}

	for (i = 0; i < 65536 / 64; i++)
		assert_int_equal(chunkq_append(&q, &f.cm, data, 64), 64);
	refs = 0;
	list_for_each (node, &q.refs)
		refs++;
	assert_true(refs <= 12);
	assert_true(q.memory <= q.bytes * 3 / 2);
	chunkq_check(&q);
	chunkq_clear(&q, &f.cm);
	teardown(&f);
}

/* Two queues that share a tail chunk: only one goes on writing there, neither sees the other's. */
static void test_shared_tail(void **state)
{
	struct fixture f;
	struct chunkq a, b;
	struct chunk_piece piece;
	uint32_t covered;
	char text[16];

	(void)state;
	setup(&f, UINT64_MAX);
	chunkq_init(&a);
	chunkq_init(&b);
	assert_int_equal(chunkq_append(&a, &f.cm, "shared", 6), 6);
	assert_int_equal(chunkq_pieces(&a, 0, 100, &piece, 1, &covered), 1);
	assert_int_equal(covered, 6);
	assert_true(chunkq_append_ref(&b, &f.cm, piece.chunk, 0, 6));
	assert_int_equal(chunkq_append(&a, &f.cm, "+a", 2), 2);
	assert_int_equal(chunkq_append(&b, &f.cm, "+b", 2), 2);
	assert_int_equal(chunkq_append(&a, &f.cm, "!", 1), 1);
	assert_int_equal(chunkq_copy(&a, 0, text, sizeof(text)), 9);
	assert_memory_equal(text, "shared+a!", 9);
	assert_int_equal(chunkq_copy(&b, 0, text, sizeof(text)), 8);
	assert_memory_equal(text, "shared+b", 8);
	assert_memory_equal(piece.data, "shared", 6);

	/* What was trimmed may be referred to elsewhere: it is not written over. */
	chunkq_trim(&a, &f.cm, 3);
	assert_int_equal(chunkq_append(&a, &f.cm, "x", 1), 1);
	assert_int_equal(piece.chunk->data[6], '+');
	assert_int_equal(chunkq_copy(&a, 0, text, sizeof(text)), 7);
	assert_memory_equal(text, "sharedx", 7);
	chunkq_check(&a);
	chunkq_check(&b);
	chunkq_clear(&a, &f.cm);

	/* What nobody else refers to is room again. */
	assert_int_equal(chunkq_append(&a, &f.cm, "mine", 4), 4);
	chunkq_trim(&a, &f.cm, 3);
	assert_int_equal(chunkq_append(&a, &f.cm, "ill", 3), 3);
	assert_ptr_equal(a.refs.next, a.refs.prev);
	assert_int_equal(chunkq_copy(&a, 0, text, sizeof(text)), 4);
	assert_memory_equal(text, "mill", 4);
	chunkq_clear(&a, &f.cm);
	chunkq_clear(&b, &f.cm);
	assert_memory_equal(piece.data, "shared", 6);
	chunk_put(&f.cm, piece.chunk);
	teardown(&f);
}

/* One chunk counts once where its references are neighbours; adjacent ranges become one reference.
 */
static void test_memory(void **state)
{
	const uint64_t ref = sizeof(struct chunk_ref);
	struct fixture f;
	struct chunkq a, b;
	struct chunk *chunk;

	(void)state;
	setup(&f, UINT64_MAX);
	chunkq_init(&a);
	chunkq_init(&b);
	chunk = chunk_new(&f.cm, 10000);
	memset(chunk->data, 1, 10000);
	chunk->fill = 10000;
	assert_true(chunkq_append_ref(&a, &f.cm, chunk, 0, 100));
	assert_true(chunkq_append_ref(&a, &f.cm, chunk, 100, 100));
	assert_int_equal(a.memory, 16384 + ref);
	assert_true(chunkq_append_ref(&a, &f.cm, chunk, 300, 100));
	assert_int_equal(a.memory, 16384 + 2 * ref);
	assert_true(chunkq_append_ref(&b, &f.cm, chunk, 500, 100));
	assert_int_equal(b.memory, 16384 + ref);
	assert_true(chunkq_append_ref(&b, &f.cm, chunk, 700, 0));
	assert_int_equal(b.memory, 16384 + ref);
	assert_int_equal(chunk->refs, 4);
	chunkq_splice(&a, &b);
	assert_int_equal(a.memory, 16384 + 3 * ref);
	assert_int_equal(a.bytes, 400);
	assert_int_equal(b.memory, 0);
	assert_int_equal(b.bytes, 0);
	chunkq_drop(&a, &f.cm, 250);
	assert_int_equal(a.memory, 16384 + 2 * ref);
	chunkq_trim(&a, &f.cm, 150);
	assert_int_equal(a.memory, 0);
	assert_int_equal(chunk->refs, 1);
	chunkq_drop(&a, &f.cm, 1);
	chunkq_trim(&a, &f.cm, 1);
	chunk_put(&f.cm, chunk);
	teardown(&f);
}

/* Every token comes back once, in the order in which the memory was given up. */
static void test_lent(void **state)
{
	enum {
		N = 1000
	};
	static struct chunk *chunks[N];
	static const char frame[] = "lent";
	struct fixture f;
	struct chunkq q;
	uint64_t token;
	unsigned i;

	(void)state;
	setup(&f, UINT64_MAX);
	chunkq_init(&q);
	assert_false(chunk_mem_released(&f.cm, &token));
	for (i = 0; i < N; i++) {
		chunks[i] = chunk_lend(&f.cm, frame, 4, 7000 + i);
		assert_non_null(chunks[i]);
	}
	/* No memory for anything: giving up needs none. */
	f.heap.left = 0;
	for (i = 0; i < N; i++)
		chunk_put(&f.cm, chunks[i]);
	for (i = 0; i < N; i++) {
		assert_true(chunk_mem_released(&f.cm, &token));
		assert_int_equal(token, 7000 + i);
	}
	assert_false(chunk_mem_released(&f.cm, &token));

	/* Lent memory is never appended to. */
	f.heap.left = UINT64_MAX;
	chunks[0] = chunk_lend(&f.cm, frame, 4, 1);
	assert_true(chunkq_append_ref(&q, &f.cm, chunks[0], 0, 3));
	chunk_put(&f.cm, chunks[0]);
	assert_int_equal(q.memory,
			 sizeof(struct chunk_ref) + sizeof(struct chunk) + chunks[0]->cap);
	assert_int_equal(chunkq_append(&q, &f.cm, "x", 1), 1);
	assert_string_equal(frame, "lent");
	chunkq_drop(&q, &f.cm, 2);
	assert_false(chunk_mem_released(&f.cm, &token));
	chunkq_drop(&q, &f.cm, 1);
	assert_true(chunk_mem_released(&f.cm, &token));
	assert_int_equal(token, 1);
	chunkq_clear(&q, &f.cm);
	teardown(&f);
}

/* Tokens that wait while more memory is lent, in a ring that turns and grows. */
static void test_release_ring(void **state)
{
	enum {
		N = 700
	};
	static struct chunk *out[N];
	static uint64_t waiting[N];
	uint64_t token, next_token = 1, first = 0, last = 0;
	struct fixture f;
	struct prng prng;
	unsigned step, n = 0, k;

	(void)state;
	setup(&f, UINT64_MAX);
	prng_seed(&prng, 3);
	/* Until the ring is full of tokens that wait: what is lent next needs room of its own. */
	for (k = 0; k < 64; k++)
		out[k] = chunk_lend(&f.cm, "x", 1, next_token++);
	assert_int_equal(f.cm.released_cap, 64);
	for (k = 0; k < 64; k++) {
		waiting[last++ % N] = out[k]->token;
		chunk_put(&f.cm, out[k]);
	}
	out[n++] = chunk_lend(&f.cm, "x", 1, next_token++);
	assert_int_equal(f.cm.released_cap, 128);
	for (step = 0; step < 30000; step++) {
		/* In waves: much is lent, much is given up, much is taken. */
		switch (prng_below(&prng, 3) ? step / 300 % 3 : prng_below(&prng, 3)) {
		case 0:
			if (n + (last - first) == N)
				break;
			out[n] = chunk_lend(&f.cm, "x", 1, next_token++);
			assert_non_null(out[n++]);
			break;
		case 1:
			if (!n)
				break;
			k = (unsigned)prng_below(&prng, n);
			waiting[last++ % N] = out[k]->token;
			chunk_put(&f.cm, out[k]);
			out[k] = out[--n];
			break;
		default:
			assert_int_equal(chunk_mem_released(&f.cm, &token), first < last);
			if (first < last)
				assert_int_equal(token, waiting[first++ % N]);
			break;
		}
	}
	assert_true(next_token > N && f.cm.released_cap >= 256);
	while (n)
		chunk_put(&f.cm, out[--n]);
	teardown(&f);
}

static void test_no_memory(void **state)
{
	static const uint8_t data[300000];
	struct chunk *chunk, *large[8];
	struct fixture f;
	struct chunkq q;
	size_t taken, all = 0;
	unsigned i;

	(void)state;
	for (i = 0; i < 20; i++) {
		setup(&f, UINT64_MAX);
		chunkq_init(&q);
		f.heap.left = i;
		taken = chunkq_append(&q, &f.cm, data, sizeof(data));
		assert_int_equal(q.bytes, taken);
		chunkq_check(&q);
		assert_true(taken >= all);
		all = taken;
		chunkq_clear(&q, &f.cm);
		teardown(&f);
	}
	assert_int_equal(all, sizeof(data));

	/* A limit too low for the class wanted: smaller chunks serve. */
	setup(&f, 200000);
	chunkq_init(&q);
	taken = chunkq_append(&q, &f.cm, data, sizeof(data));
	assert_true(taken > 100000 && taken < 200000);
	chunkq_check(&q);
	chunkq_clear(&q, &f.cm);
	teardown(&f);

	/* What one class holds in reserve is given up for another. */
	setup(&f, 600000);
	for (i = 0; i < 8; i++) {
		large[i] = chunk_new(&f.cm, 65504);
		assert_non_null(large[i]);
	}
	for (i = 0; i < 8; i++)
		chunk_put(&f.cm, large[i]);
	for (i = 0; (chunk = chunk_new(&f.cm, 16352)) && chunk->cap == 16352; i++)
		large[i % 8] = chunk;
	assert_true(i >= 32);
	chunk_mem_destroy(&f.cm);
	assert_int_equal(f.heap.slabs, 0);
}

/* ---- A random run against plain bytes ------------------------------------------------------- */

#define QUEUES 3
#define ROOM   400000u
#define HELD   64
#define FRAMES 4096

struct model {
	struct fixture f;
	struct prng prng;
	struct chunkq q[QUEUES];
	uint8_t *bytes[QUEUES];
	size_t n[QUEUES];
	/* Pieces that somebody holds, and what they said when they were taken. */
	struct chunk_piece held[HELD];
	uint8_t *said[HELD];
	/* Lent frames: 1 while lent. */
	uint8_t *frames[FRAMES];
	uint32_t lent;
	uint8_t next_byte;
	uint8_t buffer[ROOM];
};

static size_t some(struct model *m, size_t max)
{
	static const uint32_t scales[] = { 4, 100, 1460, 5000, 70000, ROOM };
	uint64_t scale = scales[prng_below(&m->prng, 6)];

	return prng_below(&m->prng, (scale < max ? scale : max) + 1);
}

static void fresh_bytes(struct model *m, uint8_t *to, size_t n)
{
	while (n--)
		*to++ = (uint8_t)(m->next_byte++ * 167u);
}

static void op_append(struct model *m, unsigned i)
{
	size_t n = some(m, ROOM - m->n[i]), taken;

	fresh_bytes(m, m->buffer, n);
	taken = chunkq_append(&m->q[i], &m->f.cm, m->buffer, n);
	assert_true(taken == n || m->f.heap.left == 0);
	memcpy(m->bytes[i] + m->n[i], m->buffer, taken);
	m->n[i] += taken;
	/* The caller's memory is not referred to. */
	memset(m->buffer, 0, n);
}

static void append_part(struct model *m, unsigned i, struct chunk *chunk, uint32_t off,
			uint32_t len)
{
	if (m->n[i] + len > ROOM)
		return;
	if (!chunkq_append_ref(&m->q[i], &m->f.cm, chunk, off, len)) {
		assert_true(m->f.heap.left == 0);
		return;
	}
	memcpy(m->bytes[i] + m->n[i], chunk->data + off, len);
	m->n[i] += len;
}

/* A frame comes in, lent or copied; parts of it go to queues. */
static void op_frame(struct model *m)
{
	uint32_t len = (uint32_t)prng_below(&m->prng, 9000), off, part, k;
	struct chunk *chunk;
	uint8_t *frame;

	if (prng_below(&m->prng, 2) && m->lent < FRAMES) {
		frame = malloc(len + 1);
		fresh_bytes(m, frame, len);
		chunk = chunk_lend(&m->f.cm, frame, len, m->lent);
		if (!chunk) {
			free(frame);
			return;
		}
		m->frames[m->lent++] = frame;
	} else {
		chunk = chunk_new(&m->f.cm, len);
		if (!chunk)
			return;
		assert_true(chunk->cap >= len);
		fresh_bytes(m, chunk->data, len);
		chunk->fill = len;
	}
	for (k = 0, off = 0; k < 4; k++) {
		off += (uint32_t)prng_below(&m->prng, 3) * (uint32_t)prng_below(&m->prng, 100);
		if (off > len)
			break;
		part = (uint32_t)prng_below(&m->prng, len - off + 1);
		append_part(m, (unsigned)prng_below(&m->prng, QUEUES), chunk, off, part);
		off += part;
	}
	chunk_put(&m->f.cm, chunk);
}

static void op_shorten(struct model *m, unsigned i)
{
	size_t n = some(m, m->n[i]);

	if (prng_below(&m->prng, 4)) {
		chunkq_drop(&m->q[i], &m->f.cm, n);
		memmove(m->bytes[i], m->bytes[i] + n, m->n[i] - n);
	} else {
		chunkq_trim(&m->q[i], &m->f.cm, n);
	}
	m->n[i] -= n;
}

static void op_splice(struct model *m, unsigned to, unsigned from)
{
	if (to == from || m->n[to] + m->n[from] > ROOM)
		return;
	chunkq_splice(&m->q[to], &m->q[from]);
	memcpy(m->bytes[to] + m->n[to], m->bytes[from], m->n[from]);
	m->n[to] += m->n[from];
	m->n[from] = 0;
}

static void op_copy(struct model *m, unsigned i)
{
	size_t off = prng_below(&m->prng, m->n[i] + 10), n = some(m, ROOM), want = 0;

	if (off < m->n[i])
		want = n < m->n[i] - off ? n : m->n[i] - off;
	assert_int_equal(chunkq_copy(&m->q[i], off, m->buffer, n), want);
	assert_memory_equal(m->buffer, m->bytes[i] + off, want);
}

static void release_held(struct model *m, unsigned k)
{
	if (!m->held[k].chunk)
		return;
	assert_memory_equal(m->held[k].data, m->said[k], m->held[k].len);
	free(m->said[k]);
	chunk_put(&m->f.cm, m->held[k].chunk);
	m->held[k].chunk = NULL;
}

static void op_pieces(struct model *m, unsigned i)
{
	size_t off = prng_below(&m->prng, m->n[i] + 10), n = some(m, 65536), want = 0, sum = 0;
	unsigned max = (unsigned)prng_below(&m->prng, 9), pieces, k, slot;
	struct chunk_piece got[8];
	uint32_t covered;

	if (off < m->n[i])
		want = n < m->n[i] - off ? n : m->n[i] - off;
	pieces = chunkq_pieces(&m->q[i], off, (uint32_t)n, got, max, &covered);
	assert_true(pieces <= max);
	for (k = 0; k < pieces; k++) {
		assert_true(got[k].len > 0);
		assert_memory_equal(got[k].data, m->bytes[i] + off + sum, got[k].len);
		sum += got[k].len;
		slot = (unsigned)prng_below(&m->prng, HELD);
		release_held(m, slot);
		m->held[slot] = got[k];
		m->said[slot] = malloc(got[k].len);
		memcpy(m->said[slot], got[k].data, got[k].len);
	}
	assert_int_equal(sum, covered);
	assert_true(covered == want || pieces == max);
}

static void take_tokens(struct model *m)
{
	uint64_t token;

	while (chunk_mem_released(&m->f.cm, &token)) {
		assert_true(token < m->lent);
		assert_non_null(m->frames[token]);
		/* Freed: a reader that is left would be found out by the address sanitizer. */
		free(m->frames[token]);
		m->frames[token] = NULL;
	}
}

static void model_step(struct model *m)
{
	unsigned i = (unsigned)prng_below(&m->prng, QUEUES);
	unsigned j = (unsigned)prng_below(&m->prng, QUEUES);

	switch (prng_below(&m->prng, 12)) {
	case 0:
	case 1:
	case 2:
		op_append(m, i);
		break;
	case 3:
	case 4:
		op_frame(m);
		break;
	case 5:
	case 6:
		op_shorten(m, i);
		break;
	case 7:
		op_splice(m, i, j);
		break;
	case 8:
		op_copy(m, i);
		break;
	case 9:
		op_pieces(m, i);
		break;
	case 10:
		release_held(m, (unsigned)prng_below(&m->prng, HELD));
		break;
	default:
		take_tokens(m);
		break;
	}
	assert_int_equal(m->q[i].bytes, m->n[i]);
	chunkq_check(&m->q[i]);
}

static void random_run(uint64_t seed, unsigned steps)
{
	struct model *m = calloc(1, sizeof(*m));
	unsigned i, step;

	setup(&m->f, UINT64_MAX);
	prng_seed(&m->prng, seed);
	for (i = 0; i < QUEUES; i++) {
		chunkq_init(&m->q[i]);
		m->bytes[i] = malloc(ROOM);
	}
	for (step = 0; step < steps; step++) {
		if (step % 64 == 0)
			m->f.heap.left =
				prng_below(&m->prng, 5) ? UINT64_MAX : prng_below(&m->prng, 3);
		model_step(m);
	}
	for (i = 0; i < HELD; i++)
		release_held(m, i);
	for (i = 0; i < QUEUES; i++) {
		assert_int_equal(chunkq_copy(&m->q[i], 0, m->buffer, ROOM), m->n[i]);
		assert_memory_equal(m->buffer, m->bytes[i], m->n[i]);
		chunkq_clear(&m->q[i], &m->f.cm);
		free(m->bytes[i]);
	}
	take_tokens(m);
	for (i = 0; i < m->lent; i++)
		assert_null(m->frames[i]);
	teardown(&m->f);
	free(m);
}

static void test_random(void **state)
{
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 10; seed++)
		random_run(seed, 2000);
}

/* A walk along a long queue of many references does not start over at each step. */
static void test_sequential(void **state)
{
	enum {
		N = 20000
	};
	struct fixture f;
	struct chunkq q;
	struct chunk *chunk;
	uint8_t byte, bytes[100];
	uint64_t off;
	unsigned i;

	(void)state;
	setup(&f, UINT64_MAX);
	chunkq_init(&q);
	chunk = chunk_new(&f.cm, 2000);
	for (i = 0; i < 2000; i++)
		chunk->data[i] = (uint8_t)i;
	chunk->fill = 2000;
	/* Every other byte, so that no two references join. */
	for (i = 0; i < N; i++)
		assert_true(chunkq_append_ref(&q, &f.cm, chunk, i * 2 % 2000, 1));
	for (off = 0; off < N; off++) {
		assert_int_equal(chunkq_copy(&q, off, &byte, 1), 1);
		assert_int_equal(byte, (uint8_t)(off * 2 % 2000));
		assert_int_equal(q.hint_off, off);
	}
	for (off = N; off--;) {
		assert_int_equal(chunkq_copy(&q, off, &byte, 1), 1);
		assert_int_equal(byte, (uint8_t)(off * 2 % 2000));
	}
	/* A look-up that spans many references ends at the last. */
	assert_int_equal(chunkq_copy(&q, 5000, bytes, 100), 100);
	assert_int_equal(q.hint_off, 5099);
	chunkq_clear(&q, &f.cm);
	chunk_put(&f.cm, chunk);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classes),	    cmocka_unit_test(test_append_classes),
		cmocka_unit_test(test_shared_tail), cmocka_unit_test(test_memory),
		cmocka_unit_test(test_lent),	    cmocka_unit_test(test_release_ring),
		cmocka_unit_test(test_no_memory),   cmocka_unit_test(test_sequential),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("base/chunk", tests, NULL, NULL);
}
