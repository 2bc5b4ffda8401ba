/* SPDX-License-Identifier: MIT */
/* What the processor at hand can do: of all but x86-64 it is not asked. No state. */
#include "base/cpu.h"

#include <stdint.h>

#ifdef __x86_64__
static void cpuid(uint32_t leaf, uint32_t r[4])
{
	__asm__("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
}

/* The processor has AVX2, and the operating system keeps its registers (Intel SDM 1, 14.3). */
bool cpu_has_avx2(void)
{
	uint32_t r[4], low, high;

	cpuid(0, r);
	if (r[0] < 7)
		return false;
	cpuid(1, r);
	if (~r[2] & (1u << 27 | 1u << 28)) /* OSXSAVE, AVX */
		return false;
	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	cpuid(7, r);
	return (low & 6) == 6 && r[1] >> 5 & 1;
}
#else
bool cpu_has_avx2(void)
{
	return false;
}
#endif
