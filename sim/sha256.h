/* SPDX-License-Identifier: MIT */
/* SHA-256 (FIPS 180-4), to compare what was sent with what arrived. */
#ifndef SIM_SHA256_H
#define SIM_SHA256_H

#include <stddef.h>
#include <stdint.h>

struct sha256 {
	uint32_t h[8];
	uint64_t bytes;
	uint8_t block[64];
};

#define SHA256_TEXT 65 /* in hexadecimal, with its terminating zero */

void sha256_init(struct sha256 *sha);
void sha256_add(struct sha256 *sha, const void *data, size_t n);
/* The digest of what was added so far, as text; more may be added afterwards. */
void sha256_text(const struct sha256 *sha, char text[SHA256_TEXT]);

#endif
