/* SPDX-License-Identifier: MIT */
/*
 * SipHash (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012) with 2 and 4, and with
 * 1 and 3 rounds; xoshiro256** (Blackman and Vigna, 2018), seeded through splitmix64 as its authors
 * ask.
 */
#include <string.h>

#include "base/hash.h"

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate_left(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

/* Byte by byte, so that the answer is the same on every machine; compilers make one load of it. */
static inline uint64_t little_endian64(const uint8_t *p)
{
	return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
	       (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
	       (uint64_t)p[7] << 56;
}

static inline __attribute__((always_inline)) void sip_rounds(struct sip *s, unsigned n)
{
	while (n--) {
		s->v0 += s->v1;
		s->v2 += s->v3;
		s->v1 = rotate_left(s->v1, 13) ^ s->v0;
		s->v3 = rotate_left(s->v3, 16) ^ s->v2;
		s->v0 = rotate_left(s->v0, 32);
		s->v2 += s->v1;
		s->v0 += s->v3;
		s->v1 = rotate_left(s->v1, 17) ^ s->v2;
		s->v3 = rotate_left(s->v3, 21) ^ s->v0;
		s->v2 = rotate_left(s->v2, 32);
	}
}

static inline struct sip sip_begin(const struct siphash_key *key)
{
	return (struct sip){
		.v0 = key->k[0] ^ 0x736f6d6570736575ull,
		.v1 = key->k[1] ^ 0x646f72616e646f6dull,
		.v2 = key->k[0] ^ 0x6c7967656e657261ull,
		.v3 = key->k[1] ^ 0x7465646279746573ull,
	};
}

static inline __attribute__((always_inline)) void sip_word(struct sip *s, uint64_t word, unsigned c)
{
	s->v3 ^= word;
	sip_rounds(s, c);
	s->v0 ^= word;
}

static inline __attribute__((always_inline)) uint64_t sip_end(struct sip *s, unsigned d)
{
	s->v2 ^= 0xff;
	sip_rounds(s, d);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

static inline __attribute__((always_inline)) uint64_t
siphash(const struct siphash_key *key, const uint8_t *data, size_t n, unsigned c, unsigned d)
{
	struct sip s = sip_begin(key);
	uint64_t last = (uint64_t)n << 56;
	size_t i;

	for (; n >= 8; n -= 8, data += 8)
		sip_word(&s, little_endian64(data), c);
	for (i = 0; i < n; i++)
		last |= (uint64_t)data[i] << (8 * i);
	sip_word(&s, last, c);
	return sip_end(&s, d);
}

static inline __attribute__((always_inline)) uint64_t
siphash_12(const struct siphash_key *key, uint64_t first, uint32_t then, unsigned c, unsigned d)
{
	struct sip s = sip_begin(key);

	sip_word(&s, first, c);
	sip_word(&s, 12ull << 56 | then, c);
	return sip_end(&s, d);
}

uint64_t siphash24(const struct siphash_key *key, const void *data, size_t n)
{
	return siphash(key, data, n, 2, 4);
}

uint64_t siphash13(const struct siphash_key *key, const void *data, size_t n)
{
	return siphash(key, data, n, 1, 3);
}

uint64_t siphash24_12(const struct siphash_key *key, uint64_t first, uint32_t then)
{
	return siphash_12(key, first, then, 2, 4);
}

uint64_t siphash13_12(const struct siphash_key *key, uint64_t first, uint32_t then)
{
	return siphash_12(key, first, then, 1, 3);
}

static uint64_t splitmix64(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

void prng_seed(struct prng *prng, uint64_t seed)
{
	unsigned i;

	for (i = 0; i < 4; i++)
		prng->s[i] = splitmix64(&seed);
}

uint64_t prng_u64(struct prng *prng)
{
	uint64_t *s = prng->s;
	uint64_t result = rotate_left(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate_left(s[3], 45);
	return result;
}

uint64_t prng_below(struct prng *prng, uint64_t bound)
{
	uint64_t reject, x;

	if (bound <= 1)
		return 0;
	if (bound <= UINT32_MAX) {
		/* Lemire, "Fast random integer generation in an interval", 2019. */
		uint32_t narrow = (uint32_t)bound;

		x = (prng_u64(prng) >> 32) * bound;
		if ((uint32_t)x < narrow) {
			reject = -narrow % narrow;
			while ((uint32_t)x < reject)
				x = (prng_u64(prng) >> 32) * bound;
		}
		return x >> 32;
	}
	/* The lowest 2^64 mod BOUND values would come up once too often. */
	reject = -bound % bound;
	do
		x = prng_u64(prng);
	while (x < reject);
	return x % bound;
}

double prng_unit(struct prng *prng)
{
	return (double)(prng_u64(prng) >> 11) * 0x1p-53;
}
