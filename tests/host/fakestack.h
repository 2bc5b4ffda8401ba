/* SPDX-License-Identifier: MIT */
/*
 * For the tests of the control socket: a stack that is nothing but the records it tells of. It
 * takes the place of the library's functions that the server calls.
 */
#ifndef TESTS_HOST_FAKESTACK_H
#define TESTS_HOST_FAKESTACK_H

#include <errno.h>
#include <string.h>

#include <couplet/couplet.h>

struct cpl_stack {
	uint64_t conns;	      /* handles 1 to conns */
	uint64_t trace_first; /* the oldest record kept */
	uint64_t trace_end;
	unsigned walked; /* records told since it was last set to 0 */
};

/* Connection HANDLE, whose fields follow from its number. */
static inline void fake_info(uint64_t handle, struct cpl_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->version = CPL_INFO_VERSION;
	CPL_INFO_READ(info, source, CPL_SOURCE_STACK);
	CPL_INFO_READ(info, id, handle);
	CPL_INFO_READ(info, snd_una, (uint32_t)handle * 2654435761u);
	CPL_INFO_DERIVED(info, why_time_memory, handle * 1000);
	CPL_INFO_READ(info, local_port, (uint16_t)handle);
	info->local_addr = cpl_addr4(10, 0, (uint8_t)(handle >> 8), (uint8_t)handle);
	cpl_info_mark_read(info, CPL_F_local_addr);
	memcpy(info->cc_name, "cubic", 6);
	cpl_info_mark_read(info, CPL_F_cc_name);
	if (handle % 2)
		CPL_INFO_READ(info, pid, 7);
}

int cpl_info_walk(cpl_stack *stack, uint64_t *cursor, struct cpl_info *info, unsigned max,
		  uint64_t now)
{
	unsigned n = 0;

	(void)now;
	while (n < max && *cursor < stack->conns)
		fake_info(++*cursor, &info[n++]);
	stack->walked += n;
	return (int)n;
}

int cpl_info_get(cpl_stack *stack, cpl_handle handle, struct cpl_info *info, uint64_t now)
{
	(void)now;
	if (!handle || handle > stack->conns)
		return -EBADF;
	fake_info(handle, info);
	return 0;
}

int cpl_counters_get(cpl_stack *stack, struct cpl_counters *counters)
{
	uint64_t k = stack->conns;

#define CPL_COUNTER(name, text) counters->name = k++;
#include <couplet/counters.def>
	return 0;
}

int cpl_trace_read(cpl_stack *stack, uint64_t *cursor, struct cpl_trace *records, unsigned max,
		   uint64_t *lost)
{
	unsigned n = 0;

	*lost = 0;
	if (*cursor < stack->trace_first) {
		*lost = stack->trace_first - *cursor;
		*cursor = stack->trace_first;
	}
	while (n < max && *cursor < stack->trace_end) {
		records[n] = (struct cpl_trace){ .time = *cursor, .handle = 5 };
		n++;
		++*cursor;
	}
	return (int)n;
}

#endif
