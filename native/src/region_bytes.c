// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>

#include "engine.h"
#include "mc/crc32c.h"
#include "mc/device.h"

/* What is done with the bytes of a region. */
struct job {
	enum { LOAD, STORE, CRC } kind;
	uint8_t *to;
	const uint8_t *from;
	uint32_t *crc;
};

static void run_on_host(const struct job *job, uint8_t *memory, uint64_t length)
{
	switch (job->kind) {
	case LOAD:
		memcpy(job->to, memory, length);
		break;
	case STORE:
		memcpy(memory, job->from, length);
		break;
	case CRC:
		*job->crc = mc_crc32c(*job->crc, memory, length);
		break;
	}
}

static int run_staged(struct mc_stage *stage, const struct job *job, uint64_t at, uint64_t length)
{
	switch (job->kind) {
	case LOAD:
		return mc_stage_load(stage, job->to, at, length);
	case STORE:
		return mc_stage_store(stage, at, job->from, length);
	case CRC:
		return mc_stage_crc32c(stage, at, length, job->crc);
	}
	return -EINVAL;
}

static int run_on_device(struct mc_engine *engine, struct mc_device *device, const struct job *job,
			 uint64_t at, uint64_t length)
{
	struct mc_stage *stage;
	int err;

	pthread_mutex_lock(&engine->bytes_lock);
	stage = mc_stages_get(&engine->bytes_stages, device);
	err = stage ? run_staged(stage, job, at, length) : -ENOMEM;
	pthread_mutex_unlock(&engine->bytes_lock);
	return err == -EREMOTEIO ? -EIO : err;
}

static int run(struct mc_engine *engine, uint32_t id, uint64_t offset, uint64_t length,
	       const struct job *job)
{
	struct mc_region *region;
	bool last;
	int err;

	pthread_mutex_lock(&engine->state_lock);
	err = mc_region_get_locked(engine, id, offset, length, &region);
	pthread_mutex_unlock(&engine->state_lock);
	if (err)
		return err;
	if (region->device)
		err = run_on_device(engine, region->device, job,
				    (uintptr_t)region->memory + offset, length);
	else
		run_on_host(job, region->memory + offset, length);
	pthread_mutex_lock(&engine->state_lock);
	last = mc_region_put_locked(region);
	pthread_mutex_unlock(&engine->state_lock);
	if (last)
		mc_region_free(region);
	return err;
}

int mc_region_load(struct mc_engine *engine, uint32_t region, uint64_t offset, uint64_t length,
		   uint8_t *to)
{
	const struct job job = { .kind = LOAD, .to = to };

	return to ? run(engine, region, offset, length, &job) : -EINVAL;
}

int mc_region_store(struct mc_engine *engine, uint32_t region, uint64_t offset, uint64_t length,
		    const uint8_t *from)
{
	const struct job job = { .kind = STORE, .from = from };

	return from ? run(engine, region, offset, length, &job) : -EINVAL;
}

int mc_region_crc32c(struct mc_engine *engine, uint32_t region, uint64_t offset, uint64_t length,
		     uint32_t *crc)
{
	const struct job job = { .kind = CRC, .crc = crc };

	return crc ? run(engine, region, offset, length, &job) : -EINVAL;
}
