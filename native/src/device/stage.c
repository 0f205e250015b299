// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "stage.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "../common.h"
#include "mc/crc32c.h"

#define CHUNK_BYTES (256ull << 10)
#define CHUNKS 4u
/* Chunks that are copied ahead of the one in use; more would be thrown away by a full socket. */
#define AHEAD 1u

struct mc_stage {
	struct mc_stage *next;
	struct mc_device *device;
	void *stream;
	void *copied[CHUNKS]; /* events */
	uint8_t *memory;      /* CHUNKS of CHUNK_BYTES */
	bool broken;          /* copies may be under way that could not be waited for */
};

static void stage_free(struct mc_stage *stage)
{
	const struct mc_device_ops *ops = stage->device->ops;
	void *handle = stage->device->handle;

	if (stage->stream)
		ops->stream_close(handle, stage->stream);
	for (uint32_t i = 0; i < CHUNKS; i++) {
		if (stage->copied[i])
			ops->event_close(handle, stage->copied[i]);
	}
	if (stage->memory)
		ops->host_release(handle, stage->memory);
	free(stage);
}

static int stage_fill(struct mc_stage *stage)
{
	const struct mc_device_ops *ops = stage->device->ops;
	void *handle = stage->device->handle;
	int err = ops->host_allocate(handle, CHUNKS * CHUNK_BYTES, (void **)&stage->memory);

	if (err)
		stage->memory = NULL;
	else
		err = ops->stream_open(handle, &stage->stream);
	for (uint32_t i = 0; i < CHUNKS && !err; i++)
		err = ops->event_open(handle, &stage->copied[i]);
	return err;
}

struct mc_stage *mc_stages_get(struct mc_stages *stages, struct mc_device *device)
{
	struct mc_stage **at = &stages->first, *stage;

	while (*at && (*at)->device != device)
		at = &(*at)->next;
	stage = *at;
	if (stage && !stage->broken)
		return stage;
	if (stage) {
		*at = stage->next;
		stage_free(stage);
	}
	stage = calloc(1, sizeof(*stage));
	if (!stage)
		return NULL;
	stage->device = device;
	if (stage_fill(stage)) {
		stage_free(stage);
		return NULL;
	}
	stage->next = stages->first;
	stages->first = stage;
	return stage;
}

void mc_stages_free(struct mc_stages *stages)
{
	while (stages->first) {
		struct mc_stage *stage = stages->first;

		stages->first = stage->next;
		stage_free(stage);
	}
}

static uint8_t *chunk_memory(const struct mc_stage *stage, uint64_t index)
{
	return stage->memory + index % CHUNKS * CHUNK_BYTES;
}

static uint64_t chunk_count(uint64_t length)
{
	return (length + CHUNK_BYTES - 1) / CHUNK_BYTES;
}

static uint64_t chunk_length(uint64_t length, uint64_t index)
{
	return mc_min(CHUNK_BYTES, length - index * CHUNK_BYTES);
}

static int start_copy(struct mc_stage *stage, uint64_t index, uint32_t direction, uint64_t device,
		      uint64_t length)
{
	const struct mc_device_ops *ops = stage->device->ops;
	uint64_t host = (uintptr_t)chunk_memory(stage, index);
	bool load = direction == MC_COPY_FROM_DEVICE;
	int err = ops->copy(stage->device->handle, stage->stream, direction, load ? host : device,
			    load ? device : host, length);

	if (!err)
		err = ops->event_record(stage->device->handle, stage->copied[index % CHUNKS],
					stage->stream);
	return err;
}

static int wait_for(struct mc_stage *stage, uint64_t index)
{
	return stage->device->ops->event_wait(stage->device->handle, stage->copied[index % CHUNKS]);
}

/* Every copy that was started is over; what failed before is what is told. */
static int settle(struct mc_stage *stage, int err)
{
	int waited = stage->device->ops->stream_wait(stage->device->handle, stage->stream);

	if (waited)
		stage->broken = true;
	return err || waited ? -EREMOTEIO : 0;
}

/* Device memory that is read from its start to its end. */
struct reader {
	struct mc_stage *stage;
	uint64_t from, length;
	uint64_t started; /* chunks */
};

/* Returns chunk index once it is there, having begun the next; NULL when the device fails. */
static uint8_t *next_chunk(struct reader *reader, uint64_t index)
{
	uint64_t until = mc_min(chunk_count(reader->length), index + 1 + AHEAD);

	for (; reader->started < until; reader->started++) {
		if (start_copy(reader->stage, reader->started, MC_COPY_FROM_DEVICE,
			       reader->from + reader->started * CHUNK_BYTES,
			       chunk_length(reader->length, reader->started)))
			return NULL;
	}
	return wait_for(reader->stage, index) ? NULL : chunk_memory(reader->stage, index);
}

int64_t mc_stage_send(struct mc_stage *stage, struct mc_stream *stream, const void *head,
		      size_t head_size, uint64_t from, uint64_t length)
{
	struct reader reader = { .stage = stage, .from = from, .length = length };
	int64_t sent = 0;
	int err = 0;

	for (uint64_t i = 0; i < chunk_count(length); i++) {
		struct iovec iov[2] = { { (void *)(uintptr_t)head, head_size } };
		struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };
		size_t size = head_size + chunk_length(length, i);
		int64_t count;

		iov[1].iov_base = next_chunk(&reader, i);
		iov[1].iov_len = chunk_length(length, i);
		if (!iov[1].iov_base) {
			err = -EREMOTEIO;
			break;
		}
		count = mc_stream_send(stream, &message);
		if (count < 0 && !sent)
			sent = count;
		else if (count > 0)
			sent += count;
		if (count < (int64_t)size)
			break;
		head_size = 0;
	}
	return settle(stage, err) ? -EREMOTEIO : sent;
}

int64_t mc_stage_receive(struct mc_stage *stage, struct mc_stream *stream, uint64_t to,
			 uint64_t length)
{
	uint64_t done = 0, index = 0;
	int64_t result = 0;
	int err = 0;

	while (done < length && !err) {
		uint64_t part = mc_min(CHUNK_BYTES, length - done);
		int64_t count;

		if (index >= CHUNKS)
			err = wait_for(stage, index);
		if (err)
			break;
		count = mc_stream_receive_into(stream, chunk_memory(stage, index), part, false);
		if (count <= 0) {
			result = count;
			break;
		}
		err = start_copy(stage, index++, MC_COPY_TO_DEVICE, to + done, (uint64_t)count);
		done += (uint64_t)count;
		if ((uint64_t)count < part)
			break;
	}
	err = settle(stage, err);
	if (err)
		return err;
	return done ? (int64_t)done : result;
}

int mc_stage_load(struct mc_stage *stage, uint8_t *to, uint64_t from, uint64_t length)
{
	struct reader reader = { .stage = stage, .from = from, .length = length };
	int err = 0;

	for (uint64_t i = 0; i < chunk_count(length) && !err; i++) {
		const uint8_t *chunk = next_chunk(&reader, i);

		if (chunk)
			memcpy(to + i * CHUNK_BYTES, chunk, chunk_length(length, i));
		else
			err = -EREMOTEIO;
	}
	return settle(stage, err);
}

int mc_stage_store(struct mc_stage *stage, uint64_t to, const uint8_t *from, uint64_t length)
{
	int err = 0;

	for (uint64_t i = 0; i < chunk_count(length) && !err; i++) {
		if (i >= CHUNKS)
			err = wait_for(stage, i);
		if (err)
			break;
		memcpy(chunk_memory(stage, i), from + i * CHUNK_BYTES, chunk_length(length, i));
		err = start_copy(stage, i, MC_COPY_TO_DEVICE, to + i * CHUNK_BYTES,
				 chunk_length(length, i));
	}
	return settle(stage, err);
}

int mc_stage_move(struct mc_stage *stage, uint64_t to, uint64_t from, uint64_t length)
{
	return settle(stage, stage->device->ops->copy(stage->device->handle, stage->stream,
						      MC_COPY_ON_DEVICE, to, from, length));
}

int mc_stage_crc32c(struct mc_stage *stage, uint64_t from, uint64_t length, uint32_t *crc)
{
	struct reader reader = { .stage = stage, .from = from, .length = length };
	int err = 0;

	for (uint64_t i = 0; i < chunk_count(length) && !err; i++) {
		const uint8_t *chunk = next_chunk(&reader, i);

		if (chunk)
			*crc = mc_crc32c(*crc, chunk, chunk_length(length, i));
		else
			err = -EREMOTEIO;
	}
	return settle(stage, err);
}
