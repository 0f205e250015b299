// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include "pair.h"

static void local_pair_open(struct pair *pair, uint64_t length)
{
	pair_open(pair, length);
	pair->peer = open_local_peer(pair->client, pair->server, pair->port);
}

static struct mc_engine_stats stats_of(struct mc_engine *engine)
{
	struct mc_engine_stats stats;

	CHECK_EQ(mc_engine_stats(engine, &stats, sizeof(stats)), 0);
	return stats;
}

static void run_one(struct pair *pair, struct mc_op op, int result)
{
	CHECK_EQ(mc_submit(pair->client, &op, 1, 5000), 1);
	expect_results(pair->client, 1, result);
}

static void bytes_are_copied_without_a_connection(void)
{
	static const uint64_t sizes[] = { 1, 100, 4096, 70000, 1 << 20, (4 << 20) + 5 };
	struct mc_engine_stats stats;
	struct pair pair;
	uint64_t sum = 0;

	local_pair_open(&pair, 8 << 20);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct mc_op op = pair_op(&pair, MC_OP_WRITE, 3, sizes[i]);
		uint8_t *local = (uint8_t *)(uintptr_t)pair.local.address;
		const uint8_t *remote = (const uint8_t *)(uintptr_t)pair.remote.address;

		memset(local + 3, (int)i + 1, sizes[i]);
		run_one(&pair, op, 0);
		CHECK(memcmp(local + 3, remote + 3, sizes[i]) == 0);
		memset(local + 3, 0, sizes[i]);
		op.opcode = MC_OP_READ;
		run_one(&pair, op, 0);
		CHECK(memcmp(local + 3, remote + 3, sizes[i]) == 0);
		sum += sizes[i];
	}
	CHECK_EQ(stats_of(pair.client).connects, 0);
	stats = stats_of(pair.server);
	CHECK_EQ(stats.served_reads, 6);
	CHECK_EQ(stats.served_writes, 6);
	CHECK_EQ(stats.served_read_bytes, sum);
	CHECK_EQ(stats.served_write_bytes, sum);
	CHECK_EQ(mc_region_unregister(pair.server, pair.remote_id), 0);
	CHECK_EQ(stats_of(pair.server).served_read_bytes, sum);
	pair_close(&pair);
}

static void operations_that_sum_tell_what_they_moved(void)
{
	struct pair pair;

	local_pair_open(&pair, 8 << 20);
	check_sums(&pair);
	pair_close(&pair);
}

/* The first part of a long copy is done by the call that submits it, the rest by polls. */
static void memory_that_is_withdrawn_ends_a_copy_at_its_next_part(void)
{
	static const uint32_t opcodes[] = { MC_OP_READ, MC_OP_WRITE };
	const uint64_t length = 16 << 20;

	for (size_t i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++) {
		struct pair pair;
		struct mc_op op;
		uint8_t *local;

		local_pair_open(&pair, length);
		local = (uint8_t *)(uintptr_t)pair.local.address;
		memset((void *)(uintptr_t)pair.remote.address, 3, length);
		run_one(&pair, pair_op(&pair, MC_OP_READ, 0, 1), 0);
		memset(local, 0, length);
		op = pair_op(&pair, opcodes[i], 0, length);
		CHECK_EQ(mc_submit(pair.client, &op, 1, 5000), 1);
		CHECK_EQ(mc_region_unregister(pair.server, pair.remote_id), 0);
		expect_results(pair.client, 1, -EFAULT);
		CHECK_EQ(local[length - 1], 0);
		if (opcodes[i] == MC_OP_READ)
			CHECK_EQ(local[0], 3);
		pair_close(&pair);
	}
}

static void memory_that_is_not_published_is_refused(void)
{
	struct mc_region_info later;
	struct pair pair;
	struct mc_op op;
	uint32_t id;

	local_pair_open(&pair, 1 << 20);
	run_one(&pair, pair_op(&pair, MC_OP_READ, 0, 1 << 20), 0);
	op = pair_op(&pair, MC_OP_READ, 0, 4096);
	op.remote = pair.remote.remote_base + (1 << 20) - 4095;
	run_one(&pair, op, -EFAULT);
	op.remote = pair.remote.remote_base - 1;
	run_one(&pair, op, -EFAULT);

	id = open_region(pair.server, MC_REGION_PUBLISHED, 1 << 20, &later);
	op.remote = later.remote_base + 100;
	run_one(&pair, op, 0);
	CHECK_EQ(mc_region_unregister(pair.server, id), 0);
	run_one(&pair, op, -EFAULT);
	run_one(&pair, pair_op(&pair, MC_OP_READ, 0, 4096), 0);
	pair_close(&pair);
}

/* Read out of the owner's process, and written by having the owner read ours. */
static void memory_of_the_caller_is_reached_without_a_connection(void)
{
	static const uint64_t sizes[] = { 2 << 20, (5 << 20) + 3, 8 << 20, (33 << 20) + 5 };
	const uint64_t room = 34 << 20;
	uint8_t *memory = malloc(room), *ours = malloc(room);
	struct mc_engine_stats stats;
	struct mc_region_info info;
	struct pair pair;
	uint32_t id;

	CHECK(memory && ours);
	local_pair_open(&pair, room);
	id = lend_region(pair.server, memory, room, &info);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct mc_op op = pair_op(&pair, MC_OP_WRITE, 0, sizes[i]);

		op.remote = info.remote_base + 7;
		memset((void *)(uintptr_t)pair.local.address, (int)i + 1, sizes[i]);
		run_one(&pair, op, 0);
		CHECK(memory[7] == i + 1 && memory[6 + sizes[i]] == i + 1);
		CHECK(memory[7 + sizes[i]] != i + 1);
		/* What nobody registered is local memory, too. */
		op.opcode = MC_OP_READ;
		op.region = MC_REGION_BORROWED;
		op.local_offset = (uintptr_t)ours;
		op.length = sizes[i] / 5;
		memset(ours, 0, op.length);
		run_one(&pair, op, 0);
		CHECK(memcmp(ours, memory + 7, op.length) == 0);
	}
	CHECK_EQ(stats_of(pair.client).connects, 0);
	stats = stats_of(pair.server);
	CHECK_EQ(stats.served_reads, 4);
	CHECK_EQ(stats.served_writes, 4);
	CHECK_EQ(stats.served_write_bytes, (48u << 20) + 8);
	CHECK_EQ(mc_engine_refusals(pair.client), 0);
	CHECK_EQ(mc_region_unregister(pair.server, id), 0);
	pair_close(&pair);
	free(memory);
	free(ours);
}

static void many_writes_are_ordered_at_once(void)
{
	enum { COUNT = 11, LENGTH = (2 << 20) + 9 };
	static uint8_t memory[COUNT * LENGTH];
	struct mc_region_info info;
	struct mc_op ops[COUNT];
	struct pair pair;

	local_pair_open(&pair, sizeof(memory));
	lend_region(pair.server, memory, sizeof(memory), &info);
	memset(memory, 0, sizeof(memory));
	memset((void *)(uintptr_t)pair.local.address, 9, sizeof(memory));
	for (uint32_t i = 0; i < COUNT; i++) {
		ops[i] = pair_op(&pair, MC_OP_WRITE, (uint64_t)i * LENGTH, LENGTH);
		ops[i].remote = info.remote_base + ops[i].local_offset;
	}
	CHECK_EQ(mc_submit(pair.client, ops, COUNT, 10000), COUNT);
	expect_results(pair.client, COUNT, 0);
	for (size_t i = 0; i < sizeof(memory); i++)
		CHECK(memory[i] == 9);
	CHECK_EQ(stats_of(pair.client).connects, 0);
	pair_close(&pair);
}

/* The owner may use its memory for something else as soon as it is withdrawn. */
static void memory_of_the_caller_is_left_alone_once_withdrawn(void)
{
	const uint64_t length = 8 << 20;
	uint8_t *memory = malloc(length);

	CHECK(memory != NULL);
	for (int round = 0; round < 12; round++) {
		struct mc_completion done[4];
		struct mc_region_info info;
		struct mc_op ops[4];
		struct pair pair;
		uint32_t id;

		local_pair_open(&pair, length);
		id = lend_region(pair.server, memory, length, &info);
		memset((void *)(uintptr_t)pair.local.address, 5, length);
		run_one(&pair, pair_op(&pair, MC_OP_READ, 0, 1), 0);
		for (int i = 0; i < 4; i++) {
			ops[i] = pair_op(&pair, i % 2 ? MC_OP_READ : MC_OP_WRITE, 0, length);
			ops[i].remote = info.remote_base;
		}
		CHECK_EQ(mc_submit(pair.client, ops, 4, 10000), 4);
		usleep((unsigned)round * 300);
		CHECK_EQ(mc_region_unregister(pair.server, id), 0);
		memset(memory, 1, length);
		for (int left = 4; left > 0;) {
			int got = mc_poll(pair.client, done, 4, 10000);

			CHECK(got > 0);
			for (int i = 0; i < got; i++)
				CHECK(done[i].result == 0 || done[i].result == -EFAULT);
			left -= got;
		}
		for (uint64_t i = 0; i < length; i++)
			CHECK(memory[i] == 1);
		pair_close(&pair);
	}
	free(memory);
}

static void ranges_that_are_no_memory_of_the_caller_fail(void)
{
	static uint8_t memory[2 << 20];
	struct mc_region_info info;
	struct pair pair;
	struct mc_op op;

	local_pair_open(&pair, sizeof(memory));
	lend_region(pair.server, memory, sizeof(memory), &info);
	for (uint32_t opcode = 0; opcode < 2; opcode++) {
		op = pair_op(&pair, opcode, 0, sizeof(memory));
		op.remote = info.remote_base + 1;
		run_one(&pair, op, -EFAULT);
		op.remote = info.remote_base - 1;
		run_one(&pair, op, -EFAULT);
		op.remote = info.remote_base;
		run_one(&pair, op, 0);
	}
	CHECK_EQ(stats_of(pair.client).connects, 0);
	pair_close(&pair);
}

static void many_regions_are_found(void)
{
	struct mc_region_info infos[150];
	struct pair pair;

	local_pair_open(&pair, 4096);
	for (size_t i = 0; i < 150; i++) {
		open_region(pair.server, MC_REGION_PUBLISHED, 4096, &infos[i]);
		*(uint8_t *)(uintptr_t)infos[i].address = (uint8_t)i;
	}
	for (size_t i = 0; i < 150; i++) {
		struct mc_op op = pair_op(&pair, MC_OP_READ, 0, 1);

		op.remote = infos[i].remote_base;
		run_one(&pair, op, 0);
		CHECK_EQ(*(uint8_t *)(uintptr_t)pair.local.address, i);
	}
	pair_close(&pair);
}

static void somebody_who_is_elsewhere_is_reached_over_tcp(void)
{
	struct mc_peer_options options = {
		.size = sizeof(options),
		.protocol_version = 2,
		.host = "127.0.0.1",
		.local_name = "snowskin-nobody",
	};
	struct pair pair;
	int id;

	pair_open(&pair, 1 << 20);
	options.port = pair.port;
	id = mc_peer_open(pair.client, &options);
	CHECK(id > 0);
	pair.peer = (uint32_t)id;
	for (int i = 0; i < 10; i++)
		run_one(&pair, pair_op(&pair, MC_OP_READ, 0, 1 << 20), 0);
	CHECK(stats_of(pair.client).connects > 0);
	memset(options.local_name, 'x', sizeof(options.local_name));
	CHECK_EQ(mc_peer_open(pair.client, &options), -EINVAL);
	pair_close(&pair);
}

static void an_owner_that_ends_is_noticed(void)
{
	struct pair pair;
	struct mc_op op;
	struct mc_completion done;

	local_pair_open(&pair, 1 << 20);
	op = pair_op(&pair, MC_OP_WRITE, 0, 4096);
	run_one(&pair, op, 0);
	CHECK_EQ(mc_engine_shutdown(pair.server), 0);
	CHECK_EQ(mc_submit(pair.client, &op, 1, 5000), 1);
	CHECK_EQ(mc_poll(pair.client, &done, 1, 10000), 1);
	CHECK(done.result == -ECONNRESET || done.result == -EHOSTUNREACH);
	pair_close(&pair);
}

/* Any thread may get one. */
static atomic_int signals_seen;

static void note_signal(int number)
{
	(void)number;
	atomic_fetch_add(&signals_seen, 1);
}

/* As a profiler sends them: calls that do not sleep end with EINTR, too. */
static void signals_are_no_end_of_an_owner(void)
{
	const struct itimerval often = { .it_interval.tv_usec = 50, .it_value.tv_usec = 50 };
	const struct itimerval never = { 0 };
	struct sigaction action = { .sa_handler = note_signal }, before;
	struct pair pair;

	local_pair_open(&pair, 1 << 20);
	signals_seen = 0;
	CHECK_EQ(sigaction(SIGALRM, &action, &before), 0);
	CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
	while (signals_seen < 4000)
		run_one(&pair, pair_op(&pair, MC_OP_READ, 0, 4096), 0);
	CHECK_EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
	CHECK_EQ(sigaction(SIGALRM, &before, NULL), 0);
	CHECK_EQ(stats_of(pair.client).connects, 0);
	pair_close(&pair);
}

static void closed_peers_and_engines_leave_nothing(void)
{
	struct pair pair;
	struct mc_op op;

	local_pair_open(&pair, 1 << 20);
	op = pair_op(&pair, MC_OP_WRITE, 0, 1 << 20);
	run_one(&pair, op, 0);
	for (int i = 0; i < 20; i++) {
		uint32_t peer = open_local_peer(pair.client, pair.server, pair.port);
		struct mc_completion done;

		op.peer = peer;
		CHECK_EQ(mc_submit(pair.client, &op, 1, 5000), 1);
		if (i & 1)
			run_one(&pair, pair_op(&pair, MC_OP_READ, 0, 100), 0);
		CHECK_EQ(mc_peer_close(pair.client, peer), 0);
		if (!(i & 1))
			CHECK_EQ(mc_poll(pair.client, &done, 1, 10000), 1);
		while (mc_poll(pair.client, &done, 1, 0) > 0)
			;
	}
	CHECK_EQ(mc_submit(pair.client, &op, 1, 5000), -ESTALE);
	op.peer = open_local_peer(pair.client, pair.server, pair.port);
	CHECK_EQ(mc_submit(pair.client, &op, 1, 5000), 1);
	pair_close(&pair);
}

void test_shm(void)
{
	bytes_are_copied_without_a_connection();
	operations_that_sum_tell_what_they_moved();
	memory_that_is_withdrawn_ends_a_copy_at_its_next_part();
	memory_that_is_not_published_is_refused();
	memory_of_the_caller_is_reached_without_a_connection();
	many_writes_are_ordered_at_once();
	memory_of_the_caller_is_left_alone_once_withdrawn();
	ranges_that_are_no_memory_of_the_caller_fail();
	many_regions_are_found();
	somebody_who_is_elsewhere_is_reached_over_tcp();
	an_owner_that_ends_is_noticed();
	signals_are_no_end_of_an_owner();
	closed_peers_and_engines_leave_nothing();
}
