// SPDX-License-Identifier: Apache-2.0
#include "mc/crc32c.h"

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

static void every_length_and_cut_gives_the_same_sum(void)
{
	static uint8_t bytes[20000];
	uint32_t random = 1;

	for (size_t i = 0; i < sizeof(bytes); i++) {
		random = random * 1664525u + 1013904223u;
		bytes[i] = (uint8_t)(random >> 24);
	}
	for (size_t length = 0; length < sizeof(bytes); length += 1 + length / 7) {
		for (size_t start = 0; start < 9 && start + length <= sizeof(bytes); start++) {
			uint32_t whole = bit_by_bit(0, bytes + start, length);
			size_t cut = length * 5 / 9;
			uint32_t first = mc_crc32c(0, bytes + start, cut);

			CHECK_EQ(mc_crc32c(0, bytes + start, length), whole);
			CHECK_EQ(mc_crc32c(first, bytes + start + cut, length - cut), whole);
		}
	}
}

void test_crc32c(void)
{
	published_sums_are_met();
	every_length_and_cut_gives_the_same_sum();
}
