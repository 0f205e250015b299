// SPDX-License-Identifier: Apache-2.0
#include "../src/crc32c.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static uint32_t bit_by_bit(uint32_t crc, const uint8_t *bytes, size_t length)
{
	crc = ~crc;
	for (size_t i = 0; i < length; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
	}
	return ~crc;
}

/* RFC 3720, appendix B.4. */
static void published_sums_are_met(void)
{
	uint8_t bytes[32];

	memset(bytes, 0, sizeof(bytes));
	CHECK_EQ(mc_crc32c(0, bytes, sizeof(bytes)), 0x8a9136aau);
	memset(bytes, 0xff, sizeof(bytes));
	CHECK_EQ(mc_crc32c(0, bytes, sizeof(bytes)), 0x62a8ab43u);
	for (int i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	CHECK_EQ(mc_crc32c(0, bytes, sizeof(bytes)), 0x46dd794eu);
	CHECK_EQ(mc_crc32c(0, "123456789", 9), 0xe3069283u);
	CHECK_EQ(mc_crc32c(7, bytes, 0), 7);
}

#define BYTES 20000

static uint8_t bytes[BYTES], copied[BYTES + 18];

static void every_way_length_and_cut_gives_the_same_sum(const struct mc_crc32c_way *way)
{
	for (size_t length = 0; length < BYTES; length += 1 + length / 7) {
		for (size_t start = 0; start < 9 && start + length <= BYTES; start++) {
			uint32_t whole = bit_by_bit(0, bytes + start, length);
			size_t cut = length * 5 / 9;
			uint32_t first = mc_crc32c_by(way, 0, bytes + start, cut);

			CHECK_EQ(mc_crc32c_by(way, 0, bytes + start, length), whole);
			CHECK_EQ(mc_crc32c_by(way, first, bytes + start + cut, length - cut),
				 whole);
		}
	}
	/* Around whole blocks, byte by byte. */
	for (size_t length = way->block - 40; length < way->block + 40; length++) {
		CHECK_EQ(mc_crc32c_by(way, 9, bytes + 1, length),
			 bit_by_bit(9, bytes + 1, length));
		CHECK_EQ(mc_crc32c_by(way, 9, bytes + 1, length + way->block),
			 bit_by_bit(9, bytes + 1, length + way->block));
	}
}

static void a_copy_is_whole_and_summed_and_touches_nothing_else(const struct mc_crc32c_way *way)
{
	for (size_t length = 0; length < BYTES; length += 1 + length / 5) {
		for (size_t start = 0; start < 9 && start + length <= BYTES; start += 4) {
			uint8_t *to = copied + 8 - start;

			memset(copied, 0xa5, sizeof(copied));
			CHECK_EQ(mc_crc32c_copy_by(way, 5, to, bytes + start, length),
				 bit_by_bit(5, bytes + start, length));
			CHECK(memcmp(to, bytes + start, length) == 0);
			for (uint8_t *other = copied; other < copied + sizeof(copied); other++)
				CHECK((other >= to && other < to + length) || *other == 0xa5);
		}
	}
}

static void a_way_goes_first_where_it_takes_less_than_half(void)
{
	static const struct mc_crc32c_way a, b, c;
	const struct mc_crc32c_way *close[] = { &a, &b, &c }, *far[] = { &a, &b, &c };
	int64_t close_times[] = { 100, 60, 51 }, far_times[] = { 1000, 900, 100 };

	mc_crc32c_order(close, close_times, 3);
	CHECK(close[0] == &a && close[1] == &b && close[2] == &c);
	mc_crc32c_order(far, far_times, 3);
	CHECK(far[0] == &c && far[1] == &a && far[2] == &b);
	CHECK(far_times[0] == 100 && far_times[1] == 1000 && far_times[2] == 900);
}

void test_crc32c(void)
{
	uint32_t random = 1, count;
	const struct mc_crc32c_way *const *ways = mc_crc32c_ways(&count);

	for (size_t i = 0; i < BYTES; i++) {
		random = random * 1664525u + 1013904223u;
		bytes[i] = (uint8_t)(random >> 24);
	}
	published_sums_are_met();
	a_way_goes_first_where_it_takes_less_than_half();
	CHECK(count > 0);
	for (uint32_t i = 0; i < count; i++) {
		every_way_length_and_cut_gives_the_same_sum(ways[i]);
		a_copy_is_whole_and_summed_and_touches_nothing_else(ways[i]);
	}
}
