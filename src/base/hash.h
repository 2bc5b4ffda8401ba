/* SPDX-License-Identifier: MIT */
/* Keyed hashing (SipHash, Aumasson and Bernstein) and a seeded generator for everything random. */
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
