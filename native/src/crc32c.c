/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE

#include "crc32c.h"

#include <pthread.h>
#include <string.h>

#include "common.h"
#include "mc/api.h"

#define POLYNOMIAL 0x82f63b78u /* reflected */

/*
 * The instruction takes three cycles and a new one can begin in each, so three stretches of
 * STRETCH bytes are worked on together; sums are joined by stepping one over the bytes behind it.
 */
#define STRETCH ((size_t)1024)
#define CACHE_LINE ((size_t)64)
/* Without an instruction. */
#define PLAIN_BLOCK ((size_t)4096)
#define TRIALS 4

/* tables[n][byte]: the sum of a byte that n zero bytes follow. */
static uint32_t tables[8][256];
static struct mc_crc32c_way by_table, by_instruction, by_folding;
static const struct mc_crc32c_way *ways[3];
static uint32_t way_count;
static pthread_once_t prepared = PTHREAD_ONCE_INIT;

uint32_t mc_crc32c_power(uint64_t n)
{
	uint32_t power = 0x80000000u;

	while (n-- > 0)
		power = power & 1 ? power >> 1 ^ POLYNOMIAL : power >> 1;
	return power;
}

static uint64_t word_at(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

/*
 * Eight bytes at a time, as in Kounavis and Berry, "A Systematic Approach to Building High
 * Performance Software-Based CRC Generators" (2005).
 */
static uint32_t table_rest(uint32_t crc, const uint8_t *bytes, size_t length)
{
	_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte is the lowest");
	for (; length >= 8; bytes += 8, length -= 8) {
		uint64_t word = word_at(bytes) ^ crc;

		crc = tables[7][word & 255] ^ tables[6][word >> 8 & 255] ^
		      tables[5][word >> 16 & 255] ^ tables[4][word >> 24 & 255] ^
		      tables[3][word >> 32 & 255] ^ tables[2][word >> 40 & 255] ^
		      tables[1][word >> 48 & 255] ^ tables[0][word >> 56];
	}
	while (length-- > 0)
		crc = crc >> 8 ^ tables[0][(crc ^ *bytes++) & 255];
	return crc;
}

static uint32_t table_sum(uint32_t crc, const uint8_t *bytes, const uint8_t *ahead,
			  const uint8_t *ahead_to)
{
	(void)ahead;
	(void)ahead_to;
	return table_rest(crc, bytes, PLAIN_BLOCK);
}

static void plain_copy(uint8_t *to, const uint8_t *from)
{
	memcpy(to, from, PLAIN_BLOCK);
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
/* A sum stepped over STRETCH zero bytes, one table for each of its bytes. */
static uint32_t over[4][256];

static uint32_t step_over(uint32_t crc)
{
	return over[0][crc & 255] ^ over[1][crc >> 8 & 255] ^ over[2][crc >> 16 & 255] ^
	       over[3][crc >> 24];
}

static uint32_t over_zeros(uint32_t crc, size_t length)
{
	while (length-- > 0)
		crc = crc >> 8 ^ tables[0][crc & 255];
	return crc;
}

WITH_INSTRUCTION static uint32_t instruction_sum(uint32_t crc, const uint8_t *bytes,
						 const uint8_t *ahead, const uint8_t *ahead_to)
{
	uint64_t a = crc, b = 0, c = 0;

	for (size_t line = 0; line < STRETCH; line += CACHE_LINE) {
		for (size_t part = 0; part < 3 * STRETCH; part += STRETCH) {
			__builtin_prefetch(ahead + part + line);
			if (ahead_to)
				__builtin_prefetch(ahead_to + part + line, 1);
		}
		for (size_t i = line; i < line + CACHE_LINE; i += 8) {
			a = STEP8(a, word_at(bytes + i));
			b = STEP8(b, word_at(bytes + STRETCH + i));
			c = STEP8(c, word_at(bytes + 2 * STRETCH + i));
		}
	}
	return step_over(step_over((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
}

WITH_INSTRUCTION static uint32_t instruction_rest(uint32_t crc, const uint8_t *bytes, size_t length)
{
	uint64_t sum;

	for (; length >= 3 * STRETCH; bytes += 3 * STRETCH, length -= 3 * STRETCH)
		crc = instruction_sum(crc, bytes, bytes + 3 * STRETCH, NULL);
	sum = crc;
	for (; length >= 8; bytes += 8, length -= 8)
		sum = STEP8(sum, word_at(bytes));
	crc = (uint32_t)sum;
	for (; length > 0; length--)
		crc = STEP1(crc, *bytes++);
	return crc;
}

static void stretches_copy(uint8_t *to, const uint8_t *from)
{
	memcpy(to, from, 3 * STRETCH);
}

static void prepare_instruction(void)
{
	for (int byte = 0; byte < 4; byte++) {
		for (uint32_t i = 0; i < 256; i++)
			over[byte][i] = over_zeros(i << 8 * byte, STRETCH);
	}
	by_instruction = (struct mc_crc32c_way){
		.name = "instruction",
		.block = 3 * STRETCH,
		.sum = instruction_sum,
		.rest = instruction_rest,
		.copy = stretches_copy,
	};
#if defined(__x86_64__)
	by_folding.rest = instruction_rest;
	if (mc_crc32c_fold_prepare(&by_folding))
		ways[way_count++] = &by_folding;
#endif
	ways[way_count++] = &by_instruction;
}
#endif

static void make_tables(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
		tables[0][i] = crc;
	}
	for (int zeros = 1; zeros < 8; zeros++) {
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t crc = tables[zeros - 1][i];

			tables[zeros][i] = crc >> 8 ^ tables[0][crc & 255];
		}
	}
}

/* Nanoseconds of the fastest of some trials. */
static int64_t time_of(const struct mc_crc32c_way *way)
{
	int64_t least = MC_NEVER;

	for (int i = 0; i < TRIALS; i++) {
		int64_t begun = mc_now();

		mc_crc32c_by(way, 0, tables, sizeof(tables));
		least = mc_earlier(least, mc_now() - begun);
	}
	return least;
}

void mc_crc32c_order(const struct mc_crc32c_way **of, int64_t *times, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++) {
		const struct mc_crc32c_way *way = of[i];
		int64_t time = times[i];
		uint32_t at = i;

		for (; at > 0 && time < times[at - 1] / 2; at--) {
			of[at] = of[at - 1];
			times[at] = times[at - 1];
		}
		of[at] = way;
		times[at] = time;
	}
}

static void prepare(void)
{
	int64_t times[MC_ARRAY_SIZE(ways)];

	make_tables();
#ifdef WITH_INSTRUCTION
	if (FOUND())
		prepare_instruction();
#endif
	by_table = (struct mc_crc32c_way){
		.name = "table",
		.block = PLAIN_BLOCK,
		.sum = table_sum,
		.rest = table_rest,
		.copy = plain_copy,
	};
	ways[way_count++] = &by_table;
	for (uint32_t i = 0; i < way_count; i++)
		times[i] = time_of(ways[i]);
	mc_crc32c_order(ways, times, way_count);
}

const struct mc_crc32c_way *const *mc_crc32c_ways(uint32_t *count)
{
	pthread_once(&prepared, prepare);
	*count = way_count;
	return ways;
}

uint32_t mc_crc32c_by(const struct mc_crc32c_way *way, uint32_t crc, const void *memory,
		      uint64_t length)
{
	const uint8_t *bytes = memory;

	crc = ~crc;
	for (; length >= way->block; bytes += way->block, length -= way->block)
		crc = way->sum(crc, bytes, bytes + 2 * way->block, NULL);
	return ~way->rest(crc, bytes, length);
}

uint32_t mc_crc32c_copy_by(const struct mc_crc32c_way *way, uint32_t crc, void *target,
			   const void *source, uint64_t length)
{
	const uint8_t *from = source;
	const size_t block = way->block;
	uint8_t *to = target;

	crc = ~crc;
	for (; length >= block; to += block, from += block, length -= block) {
		way->copy(to, from);
		crc = way->sum(crc, to, from + block, to + block);
	}
	memcpy(to, from, length);
	return ~way->rest(crc, to, length);
}

MC_API uint32_t mc_crc32c(uint32_t crc, const void *bytes, uint64_t length)
{
	uint32_t count;

	return mc_crc32c_by(mc_crc32c_ways(&count)[0], crc, bytes, length);
}

uint32_t mc_crc32c_copy(uint32_t crc, void *to, const void *from, uint64_t length)
{
	uint32_t count;

	return mc_crc32c_copy_by(mc_crc32c_ways(&count)[0], crc, to, from, length);
}
