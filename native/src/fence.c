// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "fence.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "engine.h"

#define FENCES_MAX 65536u

bool mc_fences_meet(const struct mc_fences *fences, uint64_t address, uint64_t length)
{
	uint32_t low = 0, high = fences->count;
	uint64_t end = address + length;

	/* The first that could reach as far as the address. */
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (fences->list[middle].start + fences->longest <= address)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < fences->count && fences->list[low].start < end; low++) {
		if (fences->list[low].end > address && fences->list[low].until > mc_now())
			return true;
	}
	return false;
}

struct mc_fences *mc_fences_with(const struct mc_fences *old, struct mc_fence fence)
{
	uint32_t most = (old ? old->count : 0) + 1;
	struct mc_fences *fences;
	int64_t now = mc_now();
	bool placed = false;

	if (most > FENCES_MAX)
		return NULL;
	fences = malloc(sizeof(*fences) + most * sizeof(fences->list[0]));
	if (!fences)
		return NULL;
	fences->count = 0;
	fences->longest = fence.end - fence.start;
	for (uint32_t i = 0; old && i < old->count; i++) {
		const struct mc_fence *kept = &old->list[i];

		if (kept->until <= now)
			continue;
		if (!placed && kept->start >= fence.start) {
			fences->list[fences->count++] = fence;
			placed = true;
		}
		fences->list[fences->count++] = *kept;
		if (kept->end - kept->start > fences->longest)
			fences->longest = kept->end - kept->start;
	}
	if (!placed)
		fences->list[fences->count++] = fence;
	return fences;
}

int mc_engine_set_identity(struct mc_engine *engine, const uint8_t *identity)
{
	pthread_mutex_lock(&engine->state_lock);
	memcpy(engine->identity, identity, MC_IDENTITY_SIZE);
	pthread_mutex_unlock(&engine->state_lock);
	return 0;
}

int mc_engine_fence(struct mc_engine *engine, uint64_t address, uint64_t length, uint32_t keep_ms,
		    const uint8_t *writer)
{
	struct mc_fence fence = {
		.start = address,
		.end = address + length,
		.until = mc_now() + (int64_t)keep_ms * 1000000,
	};
	int err;

	if (!length || fence.end < address || !keep_ms || !writer)
		return -EINVAL;
	if (mc_engine_registers(engine))
		return -EOPNOTSUPP;
	err = mc_shm_fence(mc_engine_transport(engine, MC_TRANSPORT_SHM), writer, fence.until);
	if (err)
		return err;
	return mc_publisher_fence(&engine->publisher, fence);
}
