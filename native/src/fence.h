/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_FENCE_INTERNAL_H
#define MC_FENCE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "mc/fence.h"

#define MC_WINDOW_MASK ((1ull << MC_WINDOW_SHIFT) - 1)

struct mc_publisher;

/* Addresses, with their window, that are refused until a time of mc_now(). */
struct mc_fence {
	uint64_t start, end;
	int64_t until;
};

/* Sorted by start; replaced, not edited. They may overlap. */
struct mc_fences {
	uint32_t count;
	uint64_t longest; /* of the ranges */
	struct mc_fence list[];
};

/* Is some byte of the range refused now? */
bool mc_fences_meet(const struct mc_fences *fences, uint64_t address, uint64_t length);

/* Those of old, or NULL, that are not over, and one more. NULL: no memory, or too many. */
struct mc_fences *mc_fences_with(const struct mc_fences *old, struct mc_fence fence);

#endif
