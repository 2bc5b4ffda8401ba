/* SPDX-License-Identifier: MIT */
/*
 * A TCB as few bytes: the difference from a blank one, sequence numbers and times as distances from
 * one another, and of that only what is not 0. It is exact, and knows nothing of most fields: what
 * is added to struct tcb is packed like the rest.
 *
 * The bytes: a bit for each word of 8 bytes that is not 0; for each of those a byte, whose two
 * halves say where in 4 bytes the first that is not 0 is and how many there are up to the last; and
 * these.
 */
#include "tcp/rest.h"

#define WORDS	 (sizeof(struct tcb) / 8)
#define ID_WORDS ((sizeof(struct conn_id) + 7) / 8)
#define MAP	 ((WORDS + 7) / 8)

_Static_assert(sizeof(struct tcb) % 8 == 0, "a TCB is whole words");
_Static_assert(offsetof(struct tcb, node.id) == 0, "addresses and ports come first");
_Static_assert(MAP + WORDS * 9 <= TCB_PACKED_MAX, "the worst case fits");

/* Fields that are mostly near another, which is none of them or stands before them here. */
#define PAIR(field, base)                                                                          \
	{                                                                                          \
		offsetof(struct tcb, field), offsetof(struct tcb, base)                            \
	}
static const struct pair {
	uint16_t field, base;
} pairs32[] = {
	PAIR(snd_una, iss),	      PAIR(snd_nxt, snd_una),	  PAIR(snd_up, snd_una),
	PAIR(snd_wl2, snd_una),	      PAIR(snd_wnd_max, snd_wnd), PAIR(rcv_nxt, irs),
	PAIR(rcv_edge, rcv_nxt),      PAIR(rcv_up, rcv_nxt),	  PAIR(read_seq, rcv_nxt),
	PAIR(last_ack_sent, rcv_nxt), PAIR(snd_wl1, rcv_nxt),
}, pairs64[] = {
	PAIR(last_received, made),
	PAIR(last_data, last_received),
	PAIR(bytes_sent, bytes_acked),
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

union image {
	struct tcb tcb;
	uint64_t words[WORDS];
	uint8_t bytes[sizeof(struct tcb)];
};

static uint32_t get32(const void *p, size_t off)
{
	uint32_t v;

	memcpy(&v, (const uint8_t *)p + off, sizeof(v));
	return v;
}

static uint64_t get64(const void *p, size_t off)
{
	uint64_t v;

	memcpy(&v, (const uint8_t *)p + off, sizeof(v));
	return v;
}

/* Ahead or behind: small numbers both ways. */
static uint32_t zigzag32(uint32_t d)
{
	return d << 1 ^ (0u - (d >> 31));
}

static uint32_t unzigzag32(uint32_t v)
{
	return v >> 1 ^ (0u - (v & 1));
}

static uint64_t zigzag64(uint64_t d)
{
	return d << 1 ^ (0ull - (d >> 63));
}

static uint64_t unzigzag64(uint64_t v)
{
	return v >> 1 ^ (0ull - (v & 1));
}

/* In IMAGE, a copy of TCB, fields become distances. */
static void to_distances(union image *image, const struct tcb *tcb)
{
	for (size_t i = 0; i < COUNT(pairs32); i++) {
		uint32_t v = zigzag32(get32(tcb, pairs32[i].field) - get32(tcb, pairs32[i].base));

		memcpy(image->bytes + pairs32[i].field, &v, sizeof(v));
	}
	for (size_t i = 0; i < COUNT(pairs64); i++) {
		uint64_t v = zigzag64(get64(tcb, pairs64[i].field) - get64(tcb, pairs64[i].base));

		memcpy(image->bytes + pairs64[i].field, &v, sizeof(v));
	}
}

static void from_distances(union image *image)
{
	for (size_t i = 0; i < COUNT(pairs32); i++) {
		uint32_t v = unzigzag32(get32(image->bytes, pairs32[i].field)) +
			     get32(image->bytes, pairs32[i].base);

		memcpy(image->bytes + pairs32[i].field, &v, sizeof(v));
	}
	for (size_t i = 0; i < COUNT(pairs64); i++) {
		uint64_t v = unzigzag64(get64(image->bytes, pairs64[i].field)) +
			     get64(image->bytes, pairs64[i].base);

		memcpy(image->bytes + pairs64[i].field, &v, sizeof(v));
	}
}

/* Where the bytes of V that are not 0 begin, and how many there are: 4 bits; 0: none. */
static uint8_t half_code(uint32_t v)
{
	unsigned first, last;

	if (!v)
		return 0;
	first = (unsigned)__builtin_ctz(v) / 8;
	last = 3 - (unsigned)__builtin_clz(v) / 8;
	return (uint8_t)(first << 2 | (last - first)) ^ 15;
}

/* No code is 0: four bytes from the last on there cannot be. */
static unsigned code_first(uint8_t code)
{
	return (code ^ 15u) >> 2;
}

static unsigned code_len(uint8_t code)
{
	return code ? ((code ^ 15u) & 3) + 1 : 0;
}

static uint8_t *half_put(uint8_t *p, uint32_t v, uint8_t code)
{
	v >>= 8 * code_first(code);
	memcpy(p, &v, sizeof(v)); /* the next overwrites what is too much */
	return p + code_len(code);
}

static const uint8_t *half_get(const uint8_t *p, uint8_t code, uint32_t *v)
{
	unsigned n = code_len(code);

	*v = 0;
	for (unsigned i = 0; i < n; i++)
		*v |= (uint32_t)p[i] << 8 * (code_first(code) + i);
	return p + n;
}

size_t tcb_pack(const struct tcb *blank, const struct tcb *tcb, uint8_t out[TCB_PACKED_MAX])
{
	union image image = { .tcb = *tcb }, base = { .tcb = *blank };
	uint8_t *p = out + MAP;

	image.tcb.node.next = 0;
	image.tcb.slot = image.tcb.gen = 0;
	memset(&image.tcb.event, 0, sizeof(image.tcb.event));
	memset(&image.tcb.ready, 0, sizeof(image.tcb.ready));
	memset(&image.tcb.timer, 0, sizeof(image.tcb.timer));
	to_distances(&image, tcb);
	memset(out, 0, MAP);
	for (size_t i = 0; i < WORDS; i++) {
		uint64_t w = image.words[i] ^ base.words[i];
		uint8_t low, high;

		if (!w)
			continue;
		out[i / 8] |= (uint8_t)(1u << i % 8);
		low = half_code((uint32_t)w);
		high = half_code((uint32_t)(w >> 32));
		*p++ = (uint8_t)(high << 4 | low);
		p = half_put(p, (uint32_t)w, low);
		p = half_put(p, (uint32_t)(w >> 32), high);
	}
	return (size_t)(p - out);
}

/* The first N words. */
static void unpack_words(const union image *base, const uint8_t *bytes, uint64_t *words, size_t n)
{
	const uint8_t *p = bytes + MAP;

	for (size_t i = 0; i < n; i++) {
		uint32_t low, high;
		uint8_t codes;

		words[i] = base->words[i];
		if (!(bytes[i / 8] & 1u << i % 8))
			continue;
		codes = *p++;
		p = half_get(p, codes & 15, &low);
		p = half_get(p, codes >> 4, &high);
		words[i] ^= (uint64_t)high << 32 | low;
	}
}

void tcb_unpack(const struct tcb *blank, const uint8_t *bytes, struct tcb *tcb)
{
	union image image;

	unpack_words((const union image *)(const void *)blank, bytes, image.words, WORDS);
	from_distances(&image);
	*tcb = image.tcb;
	list_init(&tcb->event);
	list_init(&tcb->ready);
	wheel_node_init(&tcb->timer);
}

void tcb_unpack_id(const struct tcb *blank, const uint8_t *bytes, struct conn_id *id)
{
	uint64_t words[ID_WORDS];

	unpack_words((const union image *)(const void *)blank, bytes, words, ID_WORDS);
	memcpy(id, words, sizeof(*id));
}
