// SPDX-License-Identifier: Apache-2.0
#include "../src/rdma/rate.h"

#include "check.h"

#define MIB (1u << 20)
#define MS 1000000

static void an_estimate_follows_what_was_seen(void)
{
	struct mc_rate rate = { 0 };
	int64_t now = 5 * MS;

	CHECK(!mc_rate_known(&rate, now));
	CHECK(mc_rate_cost(&rate, now, MIB, 10) == 1025 * 10);
	mc_rate_note(&rate, now, MIB, MS);
	CHECK(mc_rate_known(&rate, now));
	CHECK(rate.ns_per_kib == MS / 1024);
	for (int i = 0; i < 100; i++)
		mc_rate_note(&rate, now, MIB, 10 * MS);
	CHECK(rate.ns_per_kib > 9600 && rate.ns_per_kib <= 9800);
	for (int i = 0; i < 100; i++)
		mc_rate_note(&rate, now, MIB, MS);
	CHECK(rate.ns_per_kib < 1000);
	CHECK(mc_rate_cost(&rate, now, MIB, 10) > MS * 9 / 10);
}

static void small_slices_and_clocks_that_stand_still_tell_nothing(void)
{
	struct mc_rate rate = { 0 };

	mc_rate_note(&rate, 1, MC_RATE_LEAST_BYTES - 1, MS);
	mc_rate_note(&rate, 1, MIB, 0);
	CHECK(rate.ns_per_kib == 0);
	mc_rate_note(&rate, 1, UINT64_MAX, 1);
	CHECK(rate.ns_per_kib == 1);
}

static void an_old_estimate_is_not_believed(void)
{
	struct mc_rate rate = { 0 };

	mc_rate_note(&rate, 0, MIB, 100 * MS);
	CHECK(mc_rate_known(&rate, MC_RATE_FRESH_NS - 1));
	CHECK(!mc_rate_known(&rate, MC_RATE_FRESH_NS));
	CHECK(mc_rate_cost(&rate, MC_RATE_FRESH_NS, MIB, 3) == 1025 * 3);
	mc_rate_note(&rate, MC_RATE_FRESH_NS, MIB, MS);
	CHECK(rate.ns_per_kib == MS / 1024);
}

void test_rate(void)
{
	an_estimate_follows_what_was_seen();
	small_slices_and_clocks_that_stand_still_tell_nothing();
	an_old_estimate_is_not_believed();
}
