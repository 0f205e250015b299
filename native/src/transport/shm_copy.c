// SPDX-License-Identifier: Apache-2.0
/* Ways to the bytes of a map. */
#include "shm_client.h"

#include <errno.h>

/*
 * Where memory of a process was measured to be quicker than TCP, on two cores: a short read takes a
 * quarter of the time, a long one leaves the other core idle; a short write waits for the owner.
 */
#define READ_MAX (8u << 20)
#define ORDER_MIN (2u << 20)

/* Whether memory of the owner's process may be reached at all. */
static bool in_reach(const struct shm_link *link, const struct mc_work *work,
		     const struct shm_map *map)
{
	return map->kind == SHM_PROCESS && !mc_work_device(work) && !link->refused &&
	       link->owner.pid;
}

bool shm_can_copy(const struct shm_link *link, const struct mc_work *work,
		  const struct shm_map *map)
{
	struct mc_device *device = mc_work_device(work);

	switch (map->kind) {
	case SHM_FILE:
		return true;
	case SHM_PROCESS:
		return work->opcode == MC_OP_READ && work->length <= READ_MAX &&
		       in_reach(link, work, map);
	case SHM_DEVICE:
		return !device || device == map->device;
	default:
		return false;
	}
}

bool shm_can_order(const struct shm_link *link, const struct mc_work *work,
		   const struct shm_map *map)
{
	return work->opcode == MC_OP_WRITE && work->length >= ORDER_MIN &&
	       in_reach(link, work, map);
}

/* Through pinned chunks, or on the device where the local memory lies there, too. */
static int copy_on_device(struct mc_engine *engine, const struct shm_map *map,
			  const struct mc_work *work, uint64_t at, uint64_t count)
{
	struct mc_stage *stage = mc_stages_get(&engine->stages, map->device);
	uint64_t remote = (uintptr_t)map->memory + (work->remote - map->base) + at;
	uint8_t *local = work->local + at;
	bool read = work->opcode == MC_OP_READ;

	if (!stage)
		return -EREMOTEIO;
	if (mc_work_device(work))
		return mc_stage_move(stage, read ? (uintptr_t)local : remote,
				     read ? remote : (uintptr_t)local, count);
	return read ? mc_stage_load(stage, local, remote, count) :
		      mc_stage_store(stage, remote, local, count);
}

int shm_copy(struct mc_engine *engine, const struct shm_link *link, const struct shm_map *map,
	     struct mc_work *work, uint64_t at, uint64_t count)
{
	uint8_t *remote = map->memory + (work->remote - map->base) + at;
	int err;

	switch (map->kind) {
	case SHM_DEVICE:
		return copy_on_device(engine, map, work, at, count);
	case SHM_PROCESS:
		err = shm_process_read(&link->owner, (uintptr_t)remote, work->local + at, count);
		return err == -ESRCH ? -ECONNRESET : err;
	default:
		return mc_work_copy(engine, work, at, remote, count);
	}
}
