/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE

#include "mc/crc32c.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "mc/api.h"

#define POLYNOMIAL 0x82f63b78u /* reflected */

/*
 * The instruction takes three cycles and a new one can begin in each, so three stretches of
 * STRETCH bytes are worked on together; sums are joined by stepping one over the bytes behind it.
 */
#define STRETCH ((size_t)1024)
/* The stretches are too short for the processor to see that they go on: bytes to fetch ahead. */
#define AHEAD (6 * STRETCH)
#define CACHE_LINE ((size_t)64)

static uint32_t bytewise[256];
/* A sum stepped over STRETCH zero bytes, one table for each of its bytes. */
static uint32_t over[4][256];
static bool has_instruction;
static pthread_once_t prepared = PTHREAD_ONCE_INIT;

static uint32_t step_over(uint32_t crc)
{
	return over[0][crc & 255] ^ over[1][crc >> 8 & 255] ^ over[2][crc >> 16 & 255] ^
	       over[3][crc >> 24];
}

static uint32_t by_table(uint32_t crc, const uint8_t *bytes, size_t length)
{
	while (length-- > 0)
		crc = crc >> 8 ^ bytewise[(crc ^ *bytes++) & 255];
	return crc;
}

static uint32_t over_zeros(uint32_t crc, size_t length)
{
	while (length-- > 0)
		crc = crc >> 8 ^ bytewise[crc & 255];
	return crc;
}

#if defined(__x86_64__)
#define WITH_INSTRUCTION __attribute__((target("sse4.2")))
#define STEP8(crc, word) __builtin_ia32_crc32di((crc), (word))
#define STEP1(crc, byte) __builtin_ia32_crc32qi((uint32_t)(crc), (byte))
#define FOUND() __builtin_cpu_supports("sse4.2")
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#define WITH_INSTRUCTION __attribute__((target("+crc")))
#define STEP8(crc, word) __builtin_aarch64_crc32cx((uint32_t)(crc), (word))
#define STEP1(crc, byte) __builtin_aarch64_crc32cb((uint32_t)(crc), (byte))
#define FOUND() ((getauxval(AT_HWCAP) & 1u << 7) != 0) /* HWCAP_CRC32 */
#endif

#ifdef WITH_INSTRUCTION
static uint64_t word_at(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

WITH_INSTRUCTION static uint32_t by_instruction(uint32_t crc, const uint8_t *bytes, size_t length)
{
	for (; length >= 3 * STRETCH; bytes += 3 * STRETCH, length -= 3 * STRETCH) {
		uint64_t a = crc, b = 0, c = 0;

		for (size_t line = 0; line < STRETCH; line += CACHE_LINE) {
			const uint8_t *at = bytes + line;

			__builtin_prefetch(at + AHEAD);
			__builtin_prefetch(at + AHEAD + STRETCH);
			__builtin_prefetch(at + AHEAD + 2 * STRETCH);
			for (size_t i = 0; i < CACHE_LINE; i += 8) {
				a = STEP8(a, word_at(at + i));
				b = STEP8(b, word_at(at + STRETCH + i));
				c = STEP8(c, word_at(at + 2 * STRETCH + i));
			}
		}
		crc = step_over(step_over((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
	}
	uint64_t sum = crc;

	for (; length >= 8; bytes += 8, length -= 8)
		sum = STEP8(sum, word_at(bytes));
	crc = (uint32_t)sum;
	for (; length > 0; length--)
		crc = STEP1(crc, *bytes++);
	return crc;
}
#endif

static void prepare(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
		bytewise[i] = crc;
	}
	for (int byte = 0; byte < 4; byte++) {
		for (uint32_t i = 0; i < 256; i++)
			over[byte][i] = over_zeros(i << 8 * byte, STRETCH);
	}
#ifdef WITH_INSTRUCTION
	has_instruction = FOUND();
#endif
}

MC_API uint32_t mc_crc32c(uint32_t crc, const void *bytes, uint64_t length)
{
	pthread_once(&prepared, prepare);
#ifdef WITH_INSTRUCTION
	if (has_instruction)
		return ~by_instruction(~crc, bytes, length);
#endif
	return ~by_table(~crc, bytes, length);
}
