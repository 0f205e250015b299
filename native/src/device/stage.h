/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_DEVICE_STAGE_H
#define MC_DEVICE_STAGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../transport/stream.h"
#include "device.h"

/*
 * Pinned memory through which bytes of a device go, in chunks: while one is on the socket the next
 * is copied. No copy outlives the call that started it, so a region that was withdrawn is touched
 * by nothing once the calls of before have returned. A stage belongs to one thread or lock.
 */
struct mc_stage;

/* The stages of one owner, one for each device that it met; all zero is none. */
struct mc_stages {
	struct mc_stage *first;
};

/* Returns NULL when the device or the system has no room for it. */
struct mc_stage *mc_stages_get(struct mc_stages *stages, struct mc_device *device);
void mc_stages_free(struct mc_stages *stages);

/*
 * Sends head, then length bytes of device memory, with as many calls into the kernel as it takes.
 * Returns the bytes that were sent, or -errno; -EREMOTEIO: the device failed.
 */
int64_t mc_stage_send(struct mc_stage *stage, struct mc_stream *stream, const void *head,
		      size_t head_size, uint64_t from, uint64_t length);

/* Receives up to length bytes into device memory: their count, 0 at the end, or as above. */
int64_t mc_stage_receive(struct mc_stage *stage, struct mc_stream *stream, uint64_t to,
			 uint64_t length);

/* Copies from and to host memory: 0 or -EREMOTEIO. */
int mc_stage_load(struct mc_stage *stage, uint8_t *to, uint64_t from, uint64_t length);
int mc_stage_store(struct mc_stage *stage, uint64_t to, const uint8_t *from, uint64_t length);

/* Copies on the device: 0 or -EREMOTEIO. */
int mc_stage_move(struct mc_stage *stage, uint64_t to, uint64_t from, uint64_t length);

/* Continues a CRC-32C over device memory: 0 or -EREMOTEIO. */
int mc_stage_crc32c(struct mc_stage *stage, uint64_t from, uint64_t length, uint32_t *crc);

#endif
