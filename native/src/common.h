/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_COMMON_H
#define MC_COMMON_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define MC_ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define mc_container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define MC_NEVER INT64_MAX

/* Monotonic nanoseconds. */
static inline int64_t mc_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static inline uint64_t mc_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline int64_t mc_earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Wrap-safe: does [offset, offset + length) lie inside [0, size)? */
static inline int mc_range_ok(uint64_t offset, uint64_t length, uint64_t size)
{
	return length <= size && offset <= size - length;
}

#endif
