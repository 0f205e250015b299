/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_RDMA_SPREAD_H
#define MC_RDMA_SPREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "mc/rdma.h"

/* A transfer is cut into slices of at least this, so that each queue pair gets some of it. */
#define MC_SPREAD_LEAST_BYTES (64u << 10)
#define MC_SPREAD_PAGE 4096u

/*
 * What is under way on the queue pairs of a link. One queue pair is served in order, by one unit of
 * an adapter or one processor, so a transfer is fast when all of them have a part in it. Zeroed but
 * for count = nothing.
 */
struct mc_spread {
	uint32_t count; /* of queue pairs */
	uint32_t next;  /* whose turn it is among equals */
	uint32_t posted[MC_RDMA_QPS]; /* work requests */
	uint64_t bytes[MC_RDMA_QPS];
};

/* Finds the queue pair with the least bytes that has less than max_wr work requests; false: none. */
static inline bool mc_spread_choose(const struct mc_spread *spread, uint32_t max_wr,
				    uint32_t *chosen)
{
	bool found = false;

	for (uint32_t i = 0; i < spread->count; i++) {
		uint32_t qp = (spread->next + i) % spread->count;

		if (spread->posted[qp] >= max_wr)
			continue;
		if (!found || spread->bytes[qp] < spread->bytes[*chosen])
			*chosen = qp;
		found = true;
	}
	return found;
}

static inline void mc_spread_add(struct mc_spread *spread, uint32_t qp, uint64_t bytes)
{
	spread->posted[qp]++;
	spread->bytes[qp] += bytes;
	spread->next = (qp + 1) % spread->count;
}

static inline void mc_spread_remove(struct mc_spread *spread, uint32_t qp, uint64_t bytes)
{
	spread->posted[qp]--;
	spread->bytes[qp] -= bytes;
}

/* Bytes of the slices of a transfer of length, at most max; the last one has what is left. */
static inline uint64_t mc_spread_slice(const struct mc_spread *spread, uint64_t length,
				       uint64_t max)
{
	uint64_t share = length / spread->count + MC_SPREAD_PAGE - 1;

	share -= share % MC_SPREAD_PAGE;
	if (share < MC_SPREAD_LEAST_BYTES)
		share = MC_SPREAD_LEAST_BYTES;
	return share < max ? share : max;
}

#endif
