/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_RDMA_RATE_H
#define MC_RDMA_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes under way below which the time of a slice tells latency, not speed. */
#define MC_RATE_LEAST_BYTES (64u << 10)
/* After which an estimate is no longer believed, so that a path that was slow is tried again. */
#define MC_RATE_FRESH_NS 1000000000

/* A running estimate of how long a path takes for its bytes; zeroed = none. */
struct mc_rate {
	uint64_t ns_per_kib; /* 0: not known */
	int64_t sampled_at;
};

static inline bool mc_rate_known(const struct mc_rate *rate, int64_t now)
{
	return rate->ns_per_kib && now - rate->sampled_at < MC_RATE_FRESH_NS;
}

/* A slice ended ns after it was posted, when bytes were under way with it. */
static inline void mc_rate_note(struct mc_rate *rate, int64_t now, uint64_t bytes, int64_t ns)
{
	uint64_t sample;

	if (bytes < MC_RATE_LEAST_BYTES || ns <= 0)
		return;
	sample = (uint64_t)ns / (bytes >> 10);
	sample = sample ? sample : 1;
	if (!mc_rate_known(rate, now))
		rate->ns_per_kib = sample;
	else
		rate->ns_per_kib = (rate->ns_per_kib * 7 + sample + 7) / 8;
	rate->sampled_at = now;
}

/* Expected nanoseconds for bytes; a path that is not known is taken for one of other_ns_per_kib. */
static inline uint64_t mc_rate_cost(const struct mc_rate *rate, int64_t now, uint64_t bytes,
				    uint64_t other_ns_per_kib)
{
	uint64_t each = mc_rate_known(rate, now) ? rate->ns_per_kib : other_ns_per_kib;

	return ((bytes >> 10) + 1) * each;
}

#endif
