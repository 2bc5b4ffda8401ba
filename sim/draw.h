/* SPDX-License-Identifier: MIT */
/*
 * Random numbers by name: each is a function of a seed and of what it is for, so that a draw that
 * is left out does not shift the others.
 */
#ifndef SIM_DRAW_H
#define SIM_DRAW_H

#include <stdint.h>

/* The finalizer of splitmix64 (Steele, Lea, Flood): a bijection that spreads every bit. */
static inline uint64_t draw_mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* The number for (A, B) under SEED. */
static inline uint64_t draw_at(uint64_t seed, uint64_t a, uint64_t b)
{
	return draw_mix(draw_mix(draw_mix(seed + 0x9e3779b97f4a7c15u) + a * 0x9e3779b97f4a7c15u) +
			b * 0xd1b54a32d192ed03u);
}

/* A draw as a number in [0, 1). */
static inline double draw_unit(uint64_t x)
{
	return (double)(x >> 11) * 0x1p-53;
}

/* A draw as a number below BOUND, which is not 0. */
static inline uint64_t draw_below(uint64_t x, uint64_t bound)
{
	return (uint64_t)((unsigned __int128)x * bound >> 64);
}

#endif
