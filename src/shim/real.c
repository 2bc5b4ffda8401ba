/* SPDX-License-Identifier: MIT */
/* The C library's functions behind ours. They are looked up when first used: other libraries'
 * constructors may call them before ours has run. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>

#include "shim/shim.h"

static const char *const names[REAL_N] = {
#define REAL_NAME(name) #name,
	REAL_NAMES(REAL_NAME)
};

static void *_Atomic found[REAL_N];

void *real_find(enum real_name name)
{
	void *f = atomic_load_explicit(&found[name], memory_order_acquire);

	if (!f) {
		f = dlsym(RTLD_NEXT, names[name]);
		atomic_store_explicit(&found[name], f, memory_order_release);
	}
	return f;
}
