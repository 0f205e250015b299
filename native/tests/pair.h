/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_PAIR_H
#define MC_PAIR_H

#include <errno.h>
#include <string.h>

#include "check.h"
#include "mc/crc32c.h"
#include "mc/engine.h"
#include "mc/op.h"
#include "mc/peer.h"
#include "mc/region.h"

/* Two engines of one process: one serves a region, the other reaches it from its own. */
struct pair {
	struct mc_engine *server, *client;
	struct mc_region_info remote, local;
	uint32_t remote_id, local_id, peer;
	uint32_t port;
};

/* Called with each engine that is opened for a pair, if set: puts TLS on it. */
extern void (*pair_secure)(struct mc_engine *engine);

static inline struct mc_engine *open_engine(void)
{
	struct mc_engine_options options = { .size = sizeof(options), .server_threads = 3 };
	struct mc_engine *engine;

	CHECK_EQ(mc_engine_open(&options, &engine), 0);
	if (pair_secure)
		pair_secure(engine);
	return engine;
}

static inline uint32_t open_region(struct mc_engine *engine, uint32_t flags, uint64_t length,
				   struct mc_region_info *info)
{
	struct mc_region_options options = {
		.size = sizeof(options),
		.flags = flags,
		.length = length,
	};
	int id = mc_region_register(engine, &options, info);

	CHECK(id > 0);
	return (uint32_t)id;
}

/* Registers memory of the caller for peers. */
static inline uint32_t lend_region(struct mc_engine *engine, void *memory, uint64_t length,
				   struct mc_region_info *info)
{
	struct mc_region_options options = {
		.size = sizeof(options),
		.flags = MC_REGION_PUBLISHED,
		.length = length,
		.address = (uintptr_t)memory,
	};
	int id = mc_region_register(engine, &options, info);

	CHECK(id > 0);
	CHECK_EQ(info->address, (uintptr_t)memory);
	return (uint32_t)id;
}

static inline uint32_t open_peer(struct mc_engine *engine, uint32_t port, uint32_t version)
{
	struct mc_peer_options options = {
		.size = sizeof(options),
		.protocol_version = version,
		.port = port,
		.host = "127.0.0.1",
	};
	int id = mc_peer_open(engine, &options);

	CHECK(id > 0);
	return (uint32_t)id;
}

/* A peer on this host, whose memory is reached directly. */
static inline uint32_t open_local_peer(struct mc_engine *engine, struct mc_engine *server,
				       uint32_t port)
{
	struct mc_peer_options options = {
		.size = sizeof(options),
		.protocol_version = 2,
		.port = port,
		.host = "127.0.0.1",
	};
	int id;

	CHECK_EQ(mc_engine_local_name(server, options.local_name, sizeof(options.local_name)), 0);
	CHECK(options.local_name[0] != 0);
	id = mc_peer_open(engine, &options);
	CHECK(id > 0);
	return (uint32_t)id;
}

static inline void pair_open(struct pair *pair, uint64_t length)
{
	int port;

	pair->server = open_engine();
	pair->client = open_engine();
	pair->remote_id = open_region(pair->server, MC_REGION_PUBLISHED, length, &pair->remote);
	pair->local_id = open_region(pair->client, 0, length, &pair->local);
	port = mc_engine_listen(pair->server, "127.0.0.1", 0);
	CHECK(port > 0);
	pair->port = (uint32_t)port;
	pair->peer = open_peer(pair->client, pair->port, 2);
}

static inline void pair_close(struct pair *pair)
{
	CHECK_EQ(mc_engine_shutdown(pair->client), 0);
	CHECK_EQ(mc_engine_destroy(pair->client), 0);
	CHECK_EQ(mc_engine_shutdown(pair->server), 0);
	CHECK_EQ(mc_engine_destroy(pair->server), 0);
}

static inline struct mc_op pair_op(const struct pair *pair, uint32_t opcode, uint64_t offset,
				   uint64_t length)
{
	return (struct mc_op){
		.user_data = offset,
		.local_offset = offset,
		.remote = pair->remote.remote_base + offset,
		.length = length,
		.region = pair->local_id,
		.peer = pair->peer,
		.opcode = opcode,
	};
}

/* Runs an operation that sums, successfully, and returns the CRC-32C in its completion. */
static inline uint32_t run_summed(struct mc_engine *engine, struct mc_op op)
{
	struct mc_completion done;

	op.flags = MC_OP_CRC32C;
	CHECK_EQ(mc_submit(engine, &op, 1, 20000), 1);
	CHECK_EQ(mc_poll(engine, &done, 1, 20000), 1);
	CHECK_EQ(done.result, 0);
	CHECK_EQ(done.user_data, op.user_data);
	return done.crc32c;
}

/* Reads and writes of up to 4 MiB, from offset on, give the sum of what lies at both ends then. */
static inline void check_sums_at(struct pair *pair, uint64_t offset)
{
	static const uint64_t sizes[] = { 1, 100, 4096, 70000, 1 << 20, (4 << 20) + 5 };
	uint8_t *local = (uint8_t *)(uintptr_t)pair->local.address + offset;
	const uint8_t *remote = (const uint8_t *)(uintptr_t)pair->remote.address + offset;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct mc_op op = pair_op(pair, MC_OP_WRITE, offset, sizes[i]);
		uint32_t crc;

		for (uint64_t at = 0; at < sizes[i]; at++)
			local[at] = (uint8_t)(at * 131 + (at >> 11) + i);
		crc = mc_crc32c(0, local, sizes[i]);
		CHECK_EQ(run_summed(pair->client, op), crc);
		CHECK_EQ(mc_crc32c(0, remote, sizes[i]), crc);
		memset(local, 0, sizes[i]);
		op.opcode = MC_OP_READ;
		CHECK_EQ(run_summed(pair->client, op), crc);
		CHECK_EQ(mc_crc32c(0, local, sizes[i]), crc);
	}
}

static inline void check_sums(struct pair *pair)
{
	check_sums_at(pair, 16);
}

/* Polls until count operations have completed, all with the result. */
static inline void expect_results(struct mc_engine *engine, uint32_t count, int result)
{
	struct mc_completion done[16];

	while (count > 0) {
		int got = mc_poll(engine, done, count < 16 ? count : 16, 10000);

		CHECK(got > 0);
		for (int i = 0; i < got; i++)
			CHECK_EQ(done[i].result, result);
		count -= (uint32_t)got;
	}
}

#endif
