// SPDX-License-Identifier: Apache-2.0
#include "../src/rdma/prefix.h"
#include "../src/rdma/spread.h"

#include "check.h"

#define KIB 1024u
#define SLICE (256 * KIB)

static void slices_go_to_the_queue_pair_with_the_least_bytes(void)
{
	struct mc_spread spread = { .count = 3 };
	uint32_t qp = 9;

	for (uint32_t i = 0; i < 6; i++) {
		CHECK(mc_spread_choose(&spread, 4, &qp));
		CHECK(qp == i % 3);
		mc_spread_add(&spread, qp, SLICE);
	}
	mc_spread_remove(&spread, 1, SLICE);
	CHECK(mc_spread_choose(&spread, 4, &qp) && qp == 1);
	mc_spread_add(&spread, 1, KIB);
	CHECK(mc_spread_choose(&spread, 4, &qp) && qp == 1);
}

static void a_full_queue_pair_is_passed_over(void)
{
	struct mc_spread spread = { .count = 2 };
	uint32_t qp = 9;

	mc_spread_add(&spread, 0, 1);
	mc_spread_add(&spread, 1, SLICE);
	mc_spread_add(&spread, 1, SLICE);
	CHECK(mc_spread_choose(&spread, 2, &qp) && qp == 0);
	mc_spread_add(&spread, 0, 1);
	CHECK(!mc_spread_choose(&spread, 2, &qp));
	mc_spread_remove(&spread, 1, SLICE);
	CHECK(mc_spread_choose(&spread, 2, &qp) && qp == 1);
}

/* Cuts a transfer; returns how many slices that are, each of whole pages but the last. */
static uint32_t cut(uint32_t count, uint64_t length, uint64_t *longest)
{
	struct mc_spread spread = { .count = count };
	uint64_t at = 0;
	uint32_t slices = 0;

	*longest = 0;
	for (; at < length; slices++) {
		uint64_t bytes = mc_spread_slice(&spread, length, SLICE);

		bytes = bytes < length - at ? bytes : length - at;
		CHECK(bytes > 0 && bytes <= SLICE);
		CHECK(at + bytes == length || bytes % MC_SPREAD_PAGE == 0);
		*longest = bytes > *longest ? bytes : *longest;
		at += bytes;
	}
	CHECK(at == length);
	return slices;
}

static void a_transfer_has_a_slice_for_each_queue_pair(void)
{
	uint64_t longest;

	CHECK(cut(2, 1024 * KIB, &longest) == 4 && longest == SLICE);
	CHECK(cut(2, 256 * KIB, &longest) == 2 && longest == 128 * KIB);
	CHECK(cut(2, 256 * KIB + 7, &longest) == 2 && longest == 132 * KIB);
	CHECK(cut(4, 256 * KIB, &longest) == 4 && longest == 64 * KIB);
	CHECK(cut(1, 256 * KIB, &longest) == 1);
}

static void a_small_transfer_stays_whole(void)
{
	struct mc_spread spread = { .count = 16 };
	uint64_t longest;

	CHECK(cut(16, 64 * KIB, &longest) == 1);
	CHECK(cut(16, 1, &longest) == 1);
	CHECK(mc_spread_slice(&spread, 64 * KIB, 4096) == 4096);
}

static void a_prefix_grows_over_what_has_ended_before(void)
{
	struct mc_prefix prefix = { .slice = 4096 };

	mc_prefix_note(&prefix, 4096);
	mc_prefix_note(&prefix, 3 * 4096);
	CHECK(prefix.whole == 0);
	mc_prefix_note(&prefix, 0);
	CHECK(prefix.whole == 2 * 4096);
	mc_prefix_note(&prefix, 2 * 4096);
	CHECK(prefix.whole == 4 * 4096 && prefix.ended == 0);
	mc_prefix_note(&prefix, 67 * 4096);
	mc_prefix_note(&prefix, 68 * 4096);
	for (uint64_t i = 4; i < 67; i++)
		mc_prefix_note(&prefix, i * 4096);
	CHECK(prefix.whole == 68 * 4096);
	mc_prefix_note(&prefix, 69 * 4096);
	CHECK(prefix.whole == 68 * 4096);
}

void test_spread(void)
{
	a_prefix_grows_over_what_has_ended_before();
	slices_go_to_the_queue_pair_with_the_least_bytes();
	a_full_queue_pair_is_passed_over();
	a_transfer_has_a_slice_for_each_queue_pair();
	a_small_transfer_stays_whole();
}
