/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_RDMA_PREFIX_H
#define MC_RDMA_PREFIX_H

#include <stdint.h>

/*
 * How far a transfer has come from its start without a gap, whose slices, all of the same length but
 * for the last, end in any order. Zeroed but for slice = nothing has ended.
 */
struct mc_prefix {
	uint64_t slice; /* bytes */
	uint64_t whole; /* bytes; beyond the transfer's length when all of it has ended */
	uint64_t ended; /* bit i: the slice i behind whole */
};

/* The slice that begins at a byte has ended. One that is too far ahead is not noted: whole stays. */
static inline void mc_prefix_note(struct mc_prefix *prefix, uint64_t at)
{
	uint64_t ahead = (at - prefix->whole) / prefix->slice;

	if (ahead >= 64)
		return;
	prefix->ended |= UINT64_C(1) << ahead;
	while (prefix->ended & 1) {
		prefix->ended >>= 1;
		prefix->whole += prefix->slice;
	}
}

#endif
