/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_FENCE_H
#define MC_FENCE_H

#include <stdint.h>

#include "mc/api.h"

struct mc_engine;

/*
 * The remote address of a byte has a window in its upper bits: in every window published
 * memory is the same. A writer that was given an address and stopped can be kept out of
 * that window, while the next writer is given the memory in another one.
 */
#define MC_WINDOW_SHIFT 49
#define MC_WINDOWS 8

/* Bytes of a name that tells engines' owners apart. */
#define MC_IDENTITY_SIZE 16

/*
 * Names the owner of the engine, MC_IDENTITY_SIZE bytes, to engines of this host whose
 * memory it maps. Before the first operation. Returns 0.
 */
MC_API int mc_engine_set_identity(struct mc_engine *engine, const uint8_t *identity);

/*
 * Refuses every request for a byte of [address, address + length), in the address's window,
 * for keep_ms from now. When it returns 0, no byte of an earlier request arrives any more
 * either. writer, MC_IDENTITY_SIZE bytes, is whose requests are meant: as long as it has
 * the memory mapped it cannot be kept out, and afterwards it is not let map it for keep_ms.
 *
 * Returns 0, -EINVAL, -EFAULT (not inside one published region), -EBUSY (the writer, or
 * somebody who did not say who he is, has the memory mapped), -ENOSPC (too many are kept
 * out already), -EOPNOTSUPP (RDMA devices write on their own), -ENOMEM.
 */
MC_API int mc_engine_fence(struct mc_engine *engine, uint64_t address, uint64_t length,
			   uint32_t keep_ms, const uint8_t *writer);

#endif
