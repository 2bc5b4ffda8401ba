/* SPDX-License-Identifier: MIT */
/* What the processor at hand can do beyond what this is compiled for. */
#ifndef BASE_CPU_H
#define BASE_CPU_H

#include <stdbool.h>

/* AVX2. To ask takes long in a virtual machine: once for each stack. */
bool cpu_has_avx2(void);

#endif
