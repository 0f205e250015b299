// SPDX-License-Identifier: Apache-2.0
#include "../src/slots.h"

#include "check.h"

static void stale_ids_are_recognised(void)
{
	struct mc_slots slots = { 0 };
	int objects[100], ids[100];

	for (int i = 0; i < 100; i++) {
		ids[i] = mc_slots_add(&slots, &objects[i]);
		CHECK(ids[i] > 0);
	}
	for (int i = 0; i < 100; i++)
		CHECK(mc_slots_get(&slots, (uint32_t)ids[i]) == &objects[i]);
	CHECK(mc_slots_get(&slots, 0) == NULL);
	CHECK(mc_slots_get(&slots, UINT32_MAX) == NULL);

	CHECK(mc_slots_remove(&slots, (uint32_t)ids[7]) == &objects[7]);
	CHECK(mc_slots_remove(&slots, (uint32_t)ids[7]) == NULL);
	CHECK(mc_slots_get(&slots, (uint32_t)ids[7]) == NULL);
	mc_slots_free(&slots);
}

static void a_freed_index_comes_back_with_another_id(void)
{
	struct mc_slots slots = { 0 };
	int object, first = mc_slots_add(&slots, &object), id = first;

	for (int i = 0; i < 10000; i++) {
		CHECK(mc_slots_remove(&slots, (uint32_t)id) == &object);
		id = mc_slots_add(&slots, &object);
		CHECK(id > 0);
		CHECK(mc_slots_get(&slots, (uint32_t)id) == &object);
	}
	CHECK(slots.capacity == 16);
	mc_slots_free(&slots);
}

static void a_full_table_is_drained_and_filled_again(void)
{
	struct mc_slots slots = { 0 };
	int object, ids[16];
	uint32_t cursor = 0, seen = 0;

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 16; i++)
			ids[i] = mc_slots_add(&slots, &object);
		CHECK_EQ(slots.count, 16);
		for (int i = 0; i < 16; i++)
			CHECK(mc_slots_remove(&slots, (uint32_t)ids[(i * 5) % 16]) == &object);
		CHECK_EQ(slots.count, 0);
	}
	CHECK_EQ(slots.capacity, 16);
	mc_slots_add(&slots, &object);
	mc_slots_add(&slots, &object);
	while (mc_slots_next(&slots, &cursor))
		seen++;
	CHECK_EQ(seen, 2);
	mc_slots_free(&slots);
}

void test_slots(void)
{
	stale_ids_are_recognised();
	a_freed_index_comes_back_with_another_id();
	a_full_table_is_drained_and_filled_again();
}
