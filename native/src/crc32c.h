/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_CRC32C_INTERNAL_H
#define MC_CRC32C_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mc/crc32c.h"

/* A way to compute CRC-32C. Sums are registers here: not inverted, neither before nor after. */
struct mc_crc32c_way {
	const char *name;
	size_t block; /* bytes that sum() and copy() take */
	/*
	 * Sums a block and has the processor fetch another one from ahead, which need not be
	 * memory, and the one to be overwritten at ahead_to unless that is NULL.
	 */
	uint32_t (*sum)(uint32_t crc, const uint8_t *bytes, const uint8_t *ahead,
			const uint8_t *ahead_to);
	uint32_t (*rest)(uint32_t crc, const uint8_t *bytes, size_t length);
	void (*copy)(uint8_t *to, const uint8_t *from);
};

/*
 * Moves ways in front of those that took more than twice their time. Processors have them in the
 * order in which they are found, which a disturbed trial must not change; one that is interpreted
 * may not: it does an instruction for sums bit by bit.
 */
void mc_crc32c_order(const struct mc_crc32c_way **ways, int64_t *times, uint32_t count);

/* Those that this processor has, the fastest first. */
const struct mc_crc32c_way *const *mc_crc32c_ways(uint32_t *count);

uint32_t mc_crc32c_by(const struct mc_crc32c_way *way, uint32_t crc, const void *bytes,
		      uint64_t length);
uint32_t mc_crc32c_copy_by(const struct mc_crc32c_way *way, uint32_t crc, void *to,
			   const void *from, uint64_t length);

/*
 * Copies between memories that do not overlap, and returns the CRC-32C of what lies at to
 * afterwards, as mc_crc32c() does: each byte is summed while it is in the nearest cache.
 */
uint32_t mc_crc32c_copy(uint32_t crc, void *to, const void *from, uint64_t length);

/* x^n modulo the polynomial, reflected. */
uint32_t mc_crc32c_power(uint64_t n);

#if defined(__x86_64__)
/* Carry-less multiplication beside the instruction; rest is to be set. False: not this processor. */
bool mc_crc32c_fold_prepare(struct mc_crc32c_way *way);
#endif

#endif
