/* SPDX-License-Identifier: MIT */
/*
 * Keyed hashing (SipHash, Aumasson and Bernstein; sums of products, as UMAC's NH of RFC 4418) and a
 * seeded generator for everything random.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t k[2];
};

/* SipHash-2-4: for what an attacker must not predict (ISNs, cookies, ports). */
uint64_t siphash24(const struct siphash_key *key, const void *data, size_t n);
/* SipHash-1-3: for hash tables. */
uint64_t siphash13(const struct siphash_key *key, const void *data, size_t n);
/* The same of 12 octets: those of FIRST and of THEN, both little endian. */
uint64_t siphash24_12(const struct siphash_key *key, uint64_t first, uint32_t then);
uint64_t siphash13_12(const struct siphash_key *key, uint64_t first, uint32_t then);

/* For tables with a lookup for each packet: several times quicker. */
struct product_key {
	uint64_t k[6]; /* random */
};

/* Both halves of a product of 128 bits, as one. */
static inline uint64_t product_folded(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
	__extension__ unsigned __int128 p = (unsigned __int128)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
#else
	uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
	uint64_t ll = al * bl, lh = al * bh, hl = ah * bl, hh = ah * bh;
	uint64_t middle = (ll >> 32) + (uint32_t)lh + (uint32_t)hl;

	return (middle << 32 | (uint32_t)ll) ^ (hh + (lh >> 32) + (hl >> 32) + (middle >> 32));
#endif
}

/*
 * Of 12 octets, and of 36. Each product is of sums with a part of the key: whoever does not know it
 * can't make two inputs meet but by chance. Not for what is shown to anybody: it gives the key
 * away.
 */
static inline uint32_t product_hash_12(const struct product_key *key, uint64_t first, uint32_t then)
{
	uint64_t h = product_folded(first + key->k[0], then + key->k[1]);

	return (uint32_t)(h * (key->k[5] | 1) >> 32);
}

static inline uint32_t product_hash_36(const struct product_key *key, const uint64_t first[4],
				       uint32_t then)
{
	uint64_t h = product_folded(first[0] + key->k[0], first[1] + key->k[1]) +
		     product_folded(first[2] + key->k[2], first[3] + key->k[3]);

	h = product_folded(h + then, key->k[4] | 1);
	return (uint32_t)(h * (key->k[5] | 1) >> 32);
}

/* xoshiro256**: small, fast, seeded; not for secrets. */
struct prng {
	uint64_t s[4];
};

void prng_seed(struct prng *prng, uint64_t seed);
uint64_t prng_u64(struct prng *prng);
/* Uniform below BOUND, without bias; 0 if BOUND is 0. */
uint64_t prng_below(struct prng *prng, uint64_t bound);
/* Uniform in [0, 1). */
double prng_unit(struct prng *prng);

#endif
