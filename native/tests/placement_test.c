// SPDX-License-Identifier: Apache-2.0
/* Memory of the host by node, page and lock, as far as this machine has them. */
#define _GNU_SOURCE
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pair.h"

#define MIB (1ull << 20)
#define GET_POLICY_OF_ADDRESS 2 /* MPOL_F_ADDR */
#define PREFERRED 1
#define INTERLEAVE 3

static int place(struct mc_engine *engine, struct mc_region_options options,
		 struct mc_region_info *info)
{
	options.size = sizeof(options);
	return mc_region_register(engine, &options, info);
}

/* What the kernel is to do for a page, and on which nodes. */
static int policy_of(uint64_t address, uint64_t *nodes)
{
	int policy = -1;

	*nodes = 0;
	CHECK_EQ(syscall(SYS_get_mempolicy, &policy, nodes, 64ul, (void *)(uintptr_t)address,
			 GET_POLICY_OF_ADDRESS),
		 0);
	return policy;
}

static uint64_t resident(const struct mc_region_info *info)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), count = 0;
	uint64_t pages = info->mapped_length / page;
	unsigned char *there = malloc(pages);

	CHECK(there);
	CHECK_EQ(mincore((void *)(uintptr_t)info->mapped, info->mapped_length, there), 0);
	for (uint64_t i = 0; i < pages; i++)
		count += there[i] & 1;
	free(there);
	return count * page;
}

static void what_does_not_fit_together_is_refused(void)
{
	struct mc_engine *engine = open_engine();
	struct mc_region_info info;
	static const struct mc_region_options wrong[] = {
		{ .length = MIB, .flags = 1 << 7 },
		{ .length = MIB, .flags = MC_REGION_INTERLEAVED },
		{ .length = MIB, .page_shift = 12 },
		{ .length = MIB, .page_shift = 63 },
		{ .length = MIB, .page_shift = 21, .flags = MC_REGION_SMALL_PAGES },
		{ .length = MIB, .device = 1, .nodes = 1 },
		{ .length = MIB, .device = 1, .flags = MC_REGION_LOCKED },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CHECK_EQ(place(engine, wrong[i], &info), -EINVAL);
	CHECK_EQ(place(engine, (struct mc_region_options){ .length = MIB, .nodes = 1ull << 63 },
		       &info),
		 -ENODEV);
	CHECK_EQ(mc_engine_destroy(engine), 0);
}

static void memory_lies_where_it_is_told_to(uint32_t flags)
{
	struct mc_engine *engine = open_engine();
	struct mc_region_info info;
	uint64_t nodes;
	int id = place(engine,
		       (struct mc_region_options){ .length = 40 * MIB, .nodes = 1, .flags = flags },
		       &info);

	CHECK(id > 0);
	CHECK(info.mapped && info.mapped <= info.address);
	CHECK(info.mapped_length >= info.length);
	CHECK_EQ(policy_of(info.address + 39 * MIB, &nodes),
		 flags & MC_REGION_INTERLEAVED ? INTERLEAVE : PREFERRED);
	CHECK_EQ(nodes, 1);
	CHECK_EQ(mc_region_populate(engine, (uint32_t)id), 0);
	CHECK_EQ(resident(&info), info.mapped_length);
	CHECK_EQ(mc_region_unregister(engine, (uint32_t)id), 0);
	CHECK_EQ(mc_engine_destroy(engine), 0);
}

static void several_threads_provide_every_page(void)
{
	struct mc_engine *engine = open_engine();
	struct mc_region_info info;
	int id = place(engine,
		       (struct mc_region_options){ .length = 300 * MIB + 5, .flags = MC_REGION_PUBLISHED },
		       &info);

	CHECK(id > 0);
	CHECK(resident(&info) < MIB * 4);
	CHECK_EQ(mc_region_populate(engine, (uint32_t)id), 0);
	CHECK_EQ(resident(&info), info.mapped_length);
	CHECK_EQ(mc_engine_destroy(engine), 0);
}

static void locking_is_refused_where_it_is_limited(void)
{
	struct mc_region_options options = { .length = 4 * MIB, .flags = MC_REGION_LOCKED };
	struct rlimit before, none = { 0 };
	struct mc_engine *engine = open_engine();
	struct mc_region_info info;
	int id = place(engine, options, &info);

	CHECK(id > 0);
	CHECK_EQ(mc_region_unregister(engine, (uint32_t)id), 0);
	if (geteuid() != 0) { /* root may lock whatever it likes */
		CHECK_EQ(getrlimit(RLIMIT_MEMLOCK, &before), 0);
		none.rlim_max = before.rlim_max;
		CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &none), 0);
		CHECK_EQ(place(engine, options, &info), -EPERM);
		CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &before), 0);
	}
	CHECK_EQ(mc_engine_destroy(engine), 0);
}

/* With a pool the bytes arrive in it, also on this host; without one there is an error. */
static void pages_of_the_pool_or_an_error(void)
{
	struct mc_region_options options = {
		.size = sizeof(options),
		.length = 3 * MIB,
		.flags = MC_REGION_PUBLISHED,
		.page_shift = 21,
	};
	struct pair pair = { .server = open_engine(), .client = open_engine() };
	int id = mc_region_register(pair.server, &options, &pair.remote), port;

	if (id < 0) {
		CHECK(id == -ENOMEM || id == -EOPNOTSUPP);
	} else {
		struct mc_op op;

		CHECK_EQ(pair.remote.mapped_length, 4 * MIB);
		CHECK_EQ(pair.remote.mapped % (2 * MIB), 0);
		CHECK_EQ(mc_region_populate(pair.server, (uint32_t)id), 0);
		pair.remote_id = (uint32_t)id;
		pair.local_id = open_region(pair.client, 0, 3 * MIB, &pair.local);
		port = mc_engine_listen(pair.server, "127.0.0.1", 0);
		CHECK(port > 0);
		pair.port = (uint32_t)port;
		pair.peer = open_local_peer(pair.client, pair.server, pair.port);
		memset((void *)(uintptr_t)pair.local.address, 0x5a, 3 * MIB);
		op = pair_op(&pair, MC_OP_WRITE, 0, 3 * MIB);
		CHECK_EQ(mc_submit(pair.client, &op, 1, 5000), 1);
		expect_results(pair.client, 1, 0);
		CHECK_EQ(((uint8_t *)(uintptr_t)pair.remote.address)[3 * MIB - 1], 0x5a);
	}
	CHECK_EQ(mc_engine_destroy(pair.client), 0);
	CHECK_EQ(mc_engine_destroy(pair.server), 0);
}

/* Peers name such memory by its address; none of two regions may have the same one. */
static void memory_is_named_by_its_address(void)
{
	const uint32_t flags = MC_REGION_PUBLISHED | MC_REGION_AT_ADDRESS;
	struct mc_engine *engine = open_engine();
	uint8_t *memory = malloc(3 * MIB);
	struct mc_region_options first = { .length = MIB, .flags = flags };
	struct mc_region_options second = first, overlapping = first;
	struct mc_region_info info;
	int high, low;

	CHECK(memory);
	first.address = (uintptr_t)memory + 2 * MIB;
	second.address = (uintptr_t)memory;
	overlapping.address = (uintptr_t)memory + MIB + 1;
	high = place(engine, first, &info);
	CHECK(high > 0);
	CHECK_EQ(info.remote_base, first.address);
	low = place(engine, second, &info); /* below one that is there */
	CHECK(low > 0);
	CHECK_EQ(info.remote_base, second.address);
	CHECK_EQ(place(engine, overlapping, &info), -EEXIST);
	CHECK_EQ(mc_region_unregister(engine, (uint32_t)high), 0);
	CHECK(place(engine, overlapping, &info) > 0);
	CHECK_EQ(place(engine, first, &info), -EEXIST);
	first.flags = MC_REGION_AT_ADDRESS;
	CHECK_EQ(place(engine, first, &info), -EINVAL);
	first = (struct mc_region_options){ .length = MIB, .flags = flags };
	CHECK_EQ(place(engine, first, &info), -EINVAL);
	CHECK_EQ(mc_engine_destroy(engine), 0);
	free(memory);
}

void test_placement(void)
{
	what_does_not_fit_together_is_refused();
	memory_lies_where_it_is_told_to(0);
	memory_lies_where_it_is_told_to(MC_REGION_PUBLISHED);
	memory_lies_where_it_is_told_to(MC_REGION_PUBLISHED | MC_REGION_SMALL_PAGES);
	memory_lies_where_it_is_told_to(MC_REGION_PUBLISHED | MC_REGION_INTERLEAVED);
	several_threads_provide_every_page();
	locking_is_refused_where_it_is_limited();
	pages_of_the_pool_or_an_error();
	memory_is_named_by_its_address();
}
