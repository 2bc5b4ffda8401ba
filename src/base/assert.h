/* SPDX-License-Identifier: MIT */
/*
 * Assert what must hold. The one hook, cpl_assert_failed(), is supplied by whoever links the stack:
 * src/host has the usual one, which prints and aborts.
 */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

_Noreturn void cpl_assert_failed(const char *expr, const char *file, int line);

#define ASSERT(expr) ((expr) ? (void)0 : cpl_assert_failed(#expr, __FILE__, __LINE__))

/* For checks too dear for a release build. */
#ifdef CPL_DEBUG
#define DEBUG_ASSERT(expr) ASSERT(expr)
#else
#define DEBUG_ASSERT(expr) ((void)sizeof(expr))
#endif

#endif
