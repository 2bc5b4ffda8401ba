/* SPDX-License-Identifier: MIT */
/*
 * Which fields move by themselves, so that an end of which nothing else has moved need not be
 * stored again, and what they are later.
 *
 * Timers run down, ages up. The sums of time (why_time_*) grow; they stay as they were written.
 */
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "source/store_backend.h"

/* Sources count in jiffies of up to 10 ms or in whole ms, and are not read at one instant. */
#define SLACK_NS    50000000
/* The kernel stamps TS.Recent in whole seconds. */
#define SLACK_TS_NS 1100000000

enum course {
	STILL,
	TIMER,
	AGE,
	SUM,
	CLOCK,
};

static enum course course_of(int f)
{
	if (f == CPL_F_taken)
		return CLOCK;
	if (f == CPL_F_age || f == CPL_F_ts_recent_age || f == CPL_F_last_sent ||
	    f == CPL_F_last_received || f == CPL_F_last_ack || f == CPL_F_why_for)
		return AGE;
	if (f >= CPL_F_why_time_sending && f <= CPL_F_why_time_busy)
		return SUM;
	if (f >= CPL_F_timer_rexmt && f <= CPL_F_timer_pace)
		return TIMER;
	return STILL;
}

#define OFF UINT64_MAX

void store_print_take(struct store_print *print, const struct cpl_info *info, uint64_t taken)
{
	static const struct siphash_key key = { { 0x636f75706c657430, 0x2073746f72656420 } };
	struct cpl_info still = *info;
	unsigned clocks = 0;

	memset(print, 0, sizeof(*print));
	print->taken = cpl_info_known(info, CPL_F_taken) ? info->taken : taken;
	for (int n = 0; n < CPL_FIELDS; n++) {
		const struct view_field *f = &view_fields[n];
		char *at = (char *)&still + f->offset;
		enum course course = course_of(n);
		uint64_t value;

		if (course == STILL) {
			if (f->type == VIEW_TYPE_name || f->type == VIEW_TYPE_path) {
				size_t len = strnlen(at, f->size);

				memset(at + len, 0, f->size - len);
			}
			continue;
		}
		memset(at, 0, f->size);
		if (course != TIMER && course != AGE)
			continue;
		ASSERT(clocks < STORE_CLOCKS);
		if (!view_get(info, (enum cpl_field)n, &value))
			value = OFF;
		print->clock[clocks++] = value;
	}
	print->hash = siphash13(&key, &still, sizeof(still));
}

bool store_print_differs(const struct store_print *old, const struct store_print *now)
{
	uint64_t passed = now->taken - old->taken;
	unsigned clocks = 0;

	if (now->hash != old->hash || now->taken < old->taken)
		return true;
	for (int n = 0; n < CPL_FIELDS; n++) {
		enum course course = course_of(n);
		uint64_t a, b;

		if (course != TIMER && course != AGE)
			continue;
		a = old->clock[clocks];
		b = now->clock[clocks++];
		if ((a == OFF || b == OFF) && a != b)
			return true;
		if (a == OFF)
			continue;
		a = course == AGE ? a + passed : a > passed ? a - passed : 0;
		if ((a > b ? a - b : b - a) > (n == CPL_F_ts_recent_age ? SLACK_TS_NS : SLACK_NS))
			return true;
	}
	return false;
}

void store_advance(struct cpl_info *info, uint64_t passed)
{
	for (int n = 0; n < CPL_FIELDS; n++) {
		enum course course = course_of(n);
		uint64_t value;

		if ((course != TIMER && course != AGE && course != CLOCK) ||
		    !view_get(info, (enum cpl_field)n, &value))
			continue;
		if (course != TIMER)
			value += passed;
		else if (value != CPL_TIMER_OFF)
			value = value > passed ? value - passed : 0;
		view_set(info, (enum cpl_field)n, value);
	}
}
