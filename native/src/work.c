// SPDX-License-Identifier: Apache-2.0
#include "work.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "crc32c.h"
#include "engine.h"

struct mc_work_block {
	struct mc_work_block *next;
	struct mc_work works[MC_WORK_BLOCK];
};

struct mc_work_block *mc_work_block_next(const struct mc_work_block *block)
{
	return block->next;
}

/* state_lock is held. Returns NULL when max_ops are out, or without memory. */
static struct mc_work *take_free(struct mc_engine *engine)
{
	struct mc_work *work = mc_queue_pop(&engine->free_work);

	if (!work) {
		struct mc_work_block *block;

		if (engine->work_count >= engine->max_ops)
			return NULL;
		block = calloc(1, sizeof(*block));
		if (!block)
			return NULL;
		block->next = engine->blocks;
		engine->blocks = block;
		for (uint32_t i = 0; i < MC_WORK_BLOCK; i++)
			mc_queue_push(&engine->free_work, &block->works[i]);
		engine->work_count += MC_WORK_BLOCK;
		work = mc_queue_pop(&engine->free_work);
	}
	return work;
}

/* state_lock is held. Returns 1 and *out, 0 when the queue is full, or -errno. */
static int admit(struct mc_engine *engine, const struct mc_op *op, int64_t deadline,
		 struct mc_work **out)
{
	struct mc_region *region = NULL;
	struct mc_work *work;
	struct mc_peer *peer;
	uint8_t *local;
	int err;

	if (op->length == 0 || op->opcode > MC_OP_WRITE || (op->flags & ~(uint32_t)MC_OP_CRC32C) ||
	    op->length - 1 > UINT64_MAX - op->remote)
		return -EINVAL;
	peer = mc_slots_get(&engine->peers, op->peer);
	if (!peer)
		return -ESTALE;
	work = take_free(engine);
	if (!work)
		return 0;
	if (op->region == MC_REGION_BORROWED) {
		local = (uint8_t *)(uintptr_t)op->local_offset;
		err = !(peer->transport->ops->capabilities & MC_CAN_BORROW) || !local ||
				      (uint64_t)(uintptr_t)local + op->length < op->length ?
			      -EINVAL :
			      0;
	} else {
		err = mc_region_get_locked(engine, op->region, op->local_offset, op->length,
					   &region);
		local = err ? NULL : region->memory + op->local_offset;
	}
	if (err) {
		mc_queue_push_front(&engine->free_work, work);
		return err;
	}
	work->peer = peer;
	work->region = region;
	work->local = local;
	work->remote = op->remote;
	work->length = op->length;
	work->user_data = op->user_data;
	work->opcode = op->opcode;
	work->sums = op->flags & MC_OP_CRC32C;
	mc_work_sum_anew(work);
	work->deadline = deadline;
	work->may_cancel = op->opcode == MC_OP_READ &&
			   (peer->transport->ops->capabilities & MC_CAN_CANCEL);
	*out = work;
	return 1;
}

int mc_submit(struct mc_engine *engine, const struct mc_op *ops, uint32_t count,
	      uint32_t timeout_ms)
{
	int64_t begun = mc_now(), deadline = begun + (int64_t)timeout_ms * 1000000;
	uint32_t accepted = 0;
	int result = 0;

	if (timeout_ms == 0)
		return -EINVAL;
	if (count > INT32_MAX)
		count = INT32_MAX;
	pthread_mutex_lock(&engine->state_lock);
	if (atomic_load(&engine->stopping))
		result = -ESHUTDOWN;
	while (result >= 0 && accepted < count) {
		struct mc_work *work = NULL;

		result = admit(engine, &ops[accepted], deadline, &work);
		if (result <= 0)
			break;
		mc_queue_push(&engine->staged, work);
		accepted++;
	}
	atomic_fetch_add(&engine->staged_count, accepted);
	pthread_mutex_unlock(&engine->state_lock);
	if (!accepted)
		return result;
	mc_engine_kick(engine);
	engine->spent += mc_now() - begun;
	return (int)accepted;
}

int mc_cancel(struct mc_engine *engine, uint64_t user_data, uint64_t mask)
{
	int count = 0;

	pthread_mutex_lock(&engine->progress_lock);
	pthread_mutex_lock(&engine->state_lock);
	for (struct mc_work_block *block = engine->blocks; block; block = block->next) {
		for (uint32_t i = 0; i < MC_WORK_BLOCK; i++) {
			struct mc_work *work = &block->works[i];

			if (!work->may_cancel || (work->user_data & mask) != user_data)
				continue;
			work->deadline = 0;
			count++;
		}
	}
	pthread_mutex_unlock(&engine->state_lock);
	if (count)
		engine->next_deadline = 0;
	mc_engine_step(engine, 0);
	mc_engine_unlock(engine);
	return count;
}

void mc_work_sum(struct mc_work *work, uint64_t end)
{
	if (!work->sums || end <= work->summed || mc_work_device(work))
		return;
	work->crc = mc_crc32c(work->crc, work->local + work->summed, end - work->summed);
	work->summed = end;
}

static int sum_on_device(struct mc_engine *engine, struct mc_work *work, struct mc_device *device)
{
	struct mc_stage *stage = mc_stages_get(&engine->stages, device);

	work->crc = 0;
	return stage ? mc_stage_crc32c(stage, (uintptr_t)work->local, work->length, &work->crc) :
		       -EREMOTEIO;
}

void mc_work_finish(struct mc_engine *engine, struct mc_work *work, int result, int detail)
{
	struct mc_device *device = mc_work_device(work);

	if (result == 0 && work->sums && device)
		result = sum_on_device(engine, work, device);
	else if (result == 0)
		mc_work_sum(work, work->length);
	work->result = result;
	work->detail = detail;
	mc_queue_push(&engine->finished, work);
	engine->finished_count++;
}

static void copy_and_sum(struct mc_work *work, uint64_t at, uint8_t *to, const uint8_t *from,
			 uint64_t count)
{
	if (!work->sums) {
		memcpy(to, from, count);
		return;
	}
	work->crc = mc_crc32c_copy(work->crc, to, from, count);
	work->summed = at + count;
}

void mc_work_store(struct mc_work *work, uint64_t at, const uint8_t *bytes, uint64_t count)
{
	copy_and_sum(work, at, work->local + at, bytes, count);
}

int mc_work_copy(struct mc_engine *engine, struct mc_work *work, uint64_t at, uint8_t *remote,
		 uint64_t count)
{
	struct mc_device *device = mc_work_device(work);
	uint8_t *local = work->local + at;
	struct mc_stage *stage;

	if (!device) {
		uint8_t *to = work->opcode == MC_OP_READ ? local : remote;
		const uint8_t *from = work->opcode == MC_OP_READ ? remote : local;

		copy_and_sum(work, at, to, from, count);
		return 0;
	}
	stage = mc_stages_get(&engine->stages, device);
	if (!stage)
		return -EREMOTEIO;
	if (work->opcode == MC_OP_READ)
		return mc_stage_store(stage, (uintptr_t)local, remote, count);
	return mc_stage_load(stage, remote, (uintptr_t)local, count);
}

struct mc_work *mc_work_alloc(struct mc_engine *engine)
{
	struct mc_work *work;

	pthread_mutex_lock(&engine->state_lock);
	work = take_free(engine);
	pthread_mutex_unlock(&engine->state_lock);
	return work;
}

void mc_work_free(struct mc_engine *engine, struct mc_work *work)
{
	pthread_mutex_lock(&engine->state_lock);
	mc_queue_push_front(&engine->free_work, work);
	pthread_mutex_unlock(&engine->state_lock);
}

uint32_t mc_work_harvest(struct mc_engine *engine, struct mc_completion *out, uint32_t max)
{
	struct mc_region *dead[16];
	uint32_t dead_count = 0, count = 0;

	pthread_mutex_lock(&engine->state_lock);
	while (count < max && dead_count < MC_ARRAY_SIZE(dead)) {
		struct mc_work *work = mc_queue_pop(&engine->finished);

		if (!work)
			break;
		out[count].user_data = work->user_data;
		out[count].result = work->result;
		out[count].detail = work->detail;
		out[count].crc32c = work->sums && work->result == 0 ? work->crc : 0;
		out[count].reserved = 0;
		count++;
		if (work->region && mc_region_put_locked(work->region))
			dead[dead_count++] = work->region;
		mc_queue_push_front(&engine->free_work, work);
	}
	engine->finished_count -= count;
	pthread_mutex_unlock(&engine->state_lock);
	while (dead_count)
		mc_region_free(dead[--dead_count]);
	return count;
}
