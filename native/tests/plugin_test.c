// SPDX-License-Identifier: Apache-2.0
/* The engine's side of mc/transport_plugin.h, over the fake transport. */
#include <stdlib.h>
#include <string.h>

#include "pair.h"
#include "mc/plugin.h"
#include "mc/tls.h"

#define BYTES (1u << 20)

static int open_plugin(struct mc_engine *engine, const char *parameters, char *why, uint32_t size)
{
	struct mc_plugin_options options = { .size = sizeof(options) };

	CHECK(getenv("SNOWSKIN_FAKE_TRANSPORT"));
	strncpy(options.library, getenv("SNOWSKIN_FAKE_TRANSPORT"), sizeof(options.library) - 1);
	strncpy(options.parameters, parameters, sizeof(options.parameters) - 1);
	return mc_plugin_open(engine, &options, why, size);
}

static void reach(struct pair *pair)
{
	struct mc_peer_options options = { .size = sizeof(options), .transport = MC_TRANSPORT_PLUGIN };
	struct mc_plugin_buffer buffer = {
		.address = pair->remote.remote_base,
		.length = pair->remote.length,
	};
	struct mc_plugin_info info;
	int id = mc_peer_open(pair->client, &options);

	CHECK(id > 0);
	pair->peer = (uint32_t)id;
	CHECK_EQ(mc_plugin_info(pair->server, &info), 0);
	CHECK_EQ(strcmp(info.name, "fake"), 0);
	buffer.key_size =
		(uint32_t)mc_plugin_region_key(pair->server, pair->remote_id, buffer.key);
	CHECK_EQ(buffer.key_size, 8);
	CHECK_EQ(mc_plugin_peer_set(pair->client, pair->peer, info.address, info.address_size,
				    &buffer, 1),
		 0);
}

static void open_pair_over(struct pair *pair, const char *client_parameters)
{
	char why[256];

	pair->server = open_engine();
	pair->client = open_engine();
	CHECK_EQ(open_plugin(pair->server, "", why, sizeof(why)), 0);
	CHECK_EQ(open_plugin(pair->client, client_parameters, why, sizeof(why)), 0);
	pair->remote_id = open_region(pair->server, MC_REGION_PUBLISHED, BYTES, &pair->remote);
	pair->local_id = open_region(pair->client, 0, BYTES, &pair->local);
	reach(pair);
}

static void close_both(struct pair *pair)
{
	CHECK_EQ(mc_engine_destroy(pair->client), 0);
	CHECK_EQ(mc_engine_destroy(pair->server), 0);
}

/* Submits one operation and returns how it ended. */
static int run(struct pair *pair, uint32_t opcode, uint64_t remote, uint64_t length,
	       uint32_t timeout_ms)
{
	struct mc_op op = {
		.remote = remote,
		.length = length,
		.region = pair->local_id,
		.peer = pair->peer,
		.opcode = opcode,
	};
	struct mc_completion done;

	CHECK_EQ(mc_submit(pair->client, &op, 1, timeout_ms), 1);
	CHECK_EQ(mc_poll(pair->client, &done, 1, 10000), 1);
	return done.result;
}

static void bytes_pass(const char *parameters)
{
	struct pair pair;
	uint8_t *remote, *local;

	open_pair_over(&pair, parameters);
	remote = (uint8_t *)(uintptr_t)pair.remote.address;
	local = (uint8_t *)(uintptr_t)pair.local.address;
	for (uint32_t i = 0; i < BYTES; i++)
		remote[i] = (uint8_t)(i * 7);
	CHECK_EQ(run(&pair, MC_OP_READ, pair.remote.remote_base, BYTES, 10000), 0);
	CHECK_EQ(memcmp(remote, local, BYTES), 0);
	memset(local, 9, BYTES);
	CHECK_EQ(run(&pair, MC_OP_WRITE, pair.remote.remote_base + 5, BYTES - 5, 10000), 0);
	CHECK_EQ(memcmp(remote + 5, local, BYTES - 5), 0);
	CHECK_EQ(run(&pair, MC_OP_READ, pair.remote.remote_base + 1, BYTES, 10000), -EFAULT);
	CHECK_EQ(mc_region_unregister(pair.server, pair.remote_id), 0);
	CHECK_EQ(run(&pair, MC_OP_READ, pair.remote.remote_base, 64, 10000), -EFAULT);
	CHECK_EQ(mc_engine_shutdown(pair.server), 0);
	CHECK_EQ(run(&pair, MC_OP_READ, pair.remote.remote_base, 64, 10000), -EHOSTUNREACH);
	close_both(&pair);
}

static void overdue_work_ends(void)
{
	struct pair pair;
	struct mc_op op;
	struct mc_completion done;

	open_pair_over(&pair, "stall,needs_memory");
	CHECK_EQ(run(&pair, MC_OP_READ, pair.remote.remote_base, BYTES, 20), -ETIMEDOUT);
	op = (struct mc_op){
		.remote = pair.remote.remote_base,
		.length = BYTES,
		.region = pair.local_id,
		.peer = pair.peer,
	};
	CHECK_EQ(mc_submit(pair.client, &op, 1, 60000), 1);
	CHECK_EQ(mc_peer_close(pair.client, pair.peer), 0);
	CHECK_EQ(mc_poll(pair.client, &done, 1, 10000), 1);
	CHECK_EQ(done.result, -ECANCELED);
	close_both(&pair);
}

static void refusals(void)
{
	struct mc_engine *engine = open_engine();
	struct mc_region_info info;
	char why[256];

	CHECK_EQ(open_plugin(engine, "absent", why, sizeof(why)), -ENODEV);
	CHECK(strstr(why, "fake: "));
	CHECK_EQ(open_plugin(engine, "", why, sizeof(why)), 0);
	CHECK_EQ(open_plugin(engine, "", why, sizeof(why)), -EALREADY);
	CHECK_EQ(mc_tls_open(engine, "cert", "key", "ca", 0, why, sizeof(why)), -EALREADY);
	CHECK_EQ(mc_engine_destroy(engine), 0);

	engine = open_engine();
	open_region(engine, 0, 4096, &info);
	CHECK_EQ(open_plugin(engine, "", why, sizeof(why)), -EBUSY);
	CHECK_EQ(mc_engine_destroy(engine), 0);
}

void test_plugin(void)
{
	refusals();
	bytes_pass("");
	bytes_pass("needs_memory");
	bytes_pass("no_descriptor");
	bytes_pass("small,needs_memory");
	overdue_work_ends();
}
