// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>

#include "pair.h"

/*
 * Goal: no data race and no use after free between the threads that an engine allows.
 * No two operations touch the same bytes, since ordering by way of a socket is invisible to
 * a race detector.
 */
#define ROUNDS 200
#define BATCH 24
#define SLICE 4096
#define CHURN 100
#define WITHDRAWALS 24
#define CHURN_BASE ((uint64_t)ROUNDS * BATCH * SLICE)
#define TOTAL (CHURN_BASE + (uint64_t)CHURN * SLICE)

struct poller {
	struct mc_engine *engine;
	_Atomic uint64_t completed;
	_Atomic uint64_t failed;
};

static void *poll_all(void *argument)
{
	struct poller *poller = argument;
	struct mc_completion done[64];

	for (;;) {
		int got = mc_poll(poller->engine, done, 64, 50);

		if (got == -ESHUTDOWN)
			return NULL;
		CHECK(got >= 0);
		for (int i = 0; i < got; i++) {
			if (done[i].result)
				atomic_fetch_add(&poller->failed, 1);
		}
		atomic_fetch_add(&poller->completed, (uint64_t)got);
	}
}

/* Publishes and withdraws regions while others read them. */
static void *churn_regions(void *argument)
{
	struct mc_engine *engine = argument;

	for (int i = 0; i < ROUNDS; i++) {
		struct mc_region_info info;
		uint32_t id = open_region(engine, MC_REGION_PUBLISHED, 1 << 16, &info);

		CHECK_EQ(mc_region_unregister(engine, id), 0);
	}
	return NULL;
}

static void *churn_connections(void *argument)
{
	const struct pair *pair = argument;
	struct mc_engine *engine = open_engine();
	struct mc_region_info info;
	uint32_t region = open_region(engine, 0, (uint64_t)CHURN * SLICE, &info);

	for (uint32_t i = 0; i < CHURN; i++) {
		struct mc_completion done[4];
		struct mc_op op = pair_op(pair, i % 2 ? MC_OP_READ : MC_OP_WRITE,
					  CHURN_BASE + (uint64_t)i * SLICE, SLICE);
		uint32_t count = 0;

		op.region = region;
		op.local_offset = (uint64_t)i * SLICE;
		op.peer = open_peer(engine, pair->port, i % 3 ? 2 : 1);
		CHECK_EQ(mc_submit(engine, &op, 1, 5000), 1);
		if (i % 2)
			CHECK_EQ(mc_peer_close(engine, op.peer), 0);
		while (count == 0) {
			int got = mc_wait(engine, done, 4, 1, 2000, 1000);

			CHECK(got >= 0);
			count += (uint32_t)got;
		}
		if (!(i % 2))
			CHECK_EQ(mc_peer_close(engine, op.peer), 0);
	}
	CHECK_EQ(mc_engine_shutdown(engine), 0);
	CHECK_EQ(mc_engine_destroy(engine), 0);
	return NULL;
}

static uint64_t moved_bytes(struct mc_engine *engine)
{
	struct mc_engine_stats stats;

	CHECK_EQ(mc_engine_stats(engine, &stats, sizeof(stats)), 0);
	return stats.served_read_bytes + stats.served_write_bytes;
}

/*
 * Withdraws a region while it is read or written, and puts another one into its place:
 * nothing of the transfer may be found there.
 */
static void withdraw_in_use(void)
{
	struct mc_engine *server = open_engine(), *client = open_engine();
	uint32_t port = (uint32_t)mc_engine_listen(server, "127.0.0.1", 0);
	uint32_t peer = open_peer(client, port, 2);

	for (uint32_t i = 0; i < WITHDRAWALS; i++) {
		struct mc_region_info remote, local, next;
		uint32_t length = (4 << 20) + i * 7919;
		uint32_t remote_id = open_region(server, MC_REGION_PUBLISHED, length, &remote);
		uint32_t local_id = open_region(client, 0, length, &local);
		uint64_t before = moved_bytes(server);
		struct mc_completion done;
		struct mc_op op = {
			.remote = remote.remote_base,
			.length = length,
			.region = local_id,
			.peer = peer,
			.opcode = i % 4 ? MC_OP_WRITE : MC_OP_READ,
		};
		const uint8_t *bytes;

		memset((void *)(uintptr_t)local.address, 0xaa, length);
		CHECK_EQ(mc_submit(client, &op, 1, 5000), 1);
		CHECK_EQ(mc_region_unregister(client, local_id), 0);
		while (moved_bytes(server) == before)
			CHECK(mc_poll(client, &done, 1, 0) == 0);
		CHECK_EQ(mc_region_unregister(server, remote_id), 0);
		remote_id = open_region(server, 0, length, &next);
		while (mc_poll(client, &done, 1, 5000) == 0)
			;
		CHECK(done.result == 0 || done.result == -EFAULT || done.result == -ECONNRESET);
		bytes = (const uint8_t *)(uintptr_t)next.address;
		CHECK(bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
		CHECK_EQ(mc_region_unregister(server, remote_id), 0);
	}
	CHECK_EQ(mc_engine_shutdown(client), 0);
	CHECK_EQ(mc_engine_destroy(client), 0);
	CHECK_EQ(mc_engine_shutdown(server), 0);
	CHECK_EQ(mc_engine_destroy(server), 0);
}

static void every_thread_at_once(void)
{
	pthread_t polling, regions, connections;
	struct poller poller = { 0 };
	uint64_t submitted = 0, inline_done = 0;
	struct mc_op ops[BATCH];
	struct pair pair;

	pair_open(&pair, TOTAL);
	poller.engine = pair.client;
	pthread_create(&polling, NULL, poll_all, &poller);
	pthread_create(&regions, NULL, churn_regions, pair.server);
	pthread_create(&connections, NULL, churn_connections, &pair);

	for (uint32_t round = 0; round < ROUNDS; round++) {
		struct mc_completion done[64];
		struct mc_engine_stats stats;
		int got;

		for (uint32_t i = 0; i < BATCH; i++) {
			uint32_t opcode = (round + i) % 3 ? MC_OP_READ : MC_OP_WRITE;
			uint64_t offset = ((uint64_t)round * BATCH + i) * SLICE;

			ops[i] = pair_op(&pair, opcode, offset, 1 + (round * 997 + i) % SLICE);
		}
		CHECK_EQ(mc_submit(pair.client, ops, BATCH, 10000), BATCH);
		submitted += BATCH;
		got = mc_wait(pair.client, done, 64, BATCH, 50, 1000);
		CHECK(got >= 0);
		for (int i = 0; i < got; i++)
			CHECK_EQ(done[i].result, 0);
		inline_done += (uint64_t)got;
		if (round % 50 == 0) {
			CHECK_EQ(mc_engine_stats(pair.server, &stats, sizeof(stats)), 0);
			CHECK(stats.connections <= 64);
		}
		if (round % 100 == 99)
			CHECK_EQ(mc_wake(pair.client), 0);
	}
	pthread_join(regions, NULL);
	pthread_join(connections, NULL);
	while (atomic_load(&poller.completed) + inline_done < submitted) {
		struct mc_completion done[64];
		int got = mc_wait(pair.client, done, 64, 1, 100, 1000);

		CHECK(got >= 0);
		inline_done += (uint64_t)got;
	}
	CHECK_EQ(atomic_load(&poller.failed), 0);
	CHECK_EQ(mc_engine_shutdown(pair.client), 0);
	pthread_join(polling, NULL);
	pair_close(&pair);
}

void test_stress(void)
{
	withdraw_in_use();
	every_thread_at_once();
}
