// SPDX-License-Identifier: Apache-2.0
/* Regions on a device, on the stand-in for CUDA: over TCP, on one host, with errors. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

#include "../src/device/device.h"
#include "device.h"
#include "mc/crc32c.h"
#include "pair.h"

#define ROOM (10ull << 20)

static uint32_t region_on(struct mc_engine *engine, uint32_t device, uint32_t flags,
			  uint64_t length, struct mc_region_info *info)
{
	struct mc_region_options options = {
		.size = sizeof(options),
		.flags = flags,
		.length = length,
		.device = device,
	};
	int id = mc_region_register(engine, &options, info);

	CHECK(id > 0);
	return (uint32_t)id;
}

/*
 * An engine with one thread that serves. An operation that fails takes its connection along, and the
 * next one's order after it goes over sockets only, where ThreadSanitizer would not see it.
 */
static struct mc_engine *open_server(void)
{
	struct mc_engine_options options = { .size = sizeof(options), .server_threads = 1 };
	struct mc_engine *engine;

	CHECK_EQ(mc_engine_open(&options, &engine), 0);
	if (pair_secure)
		pair_secure(engine);
	return engine;
}

/* A pair whose memory lies where it is said; the peer is reached over TCP, or as is best. */
static void open_pair(struct pair *pair, bool device_remote, bool device_local, bool same_host)
{
	uint32_t device = open_cuda();
	int port;

	pair->server = open_server();
	pair->client = open_engine();
	pair->remote_id = region_on(pair->server, device_remote ? device : 0, MC_REGION_PUBLISHED,
				    ROOM, &pair->remote);
	pair->local_id = region_on(pair->client, device_local ? device : 0, 0, ROOM, &pair->local);
	port = mc_engine_listen(pair->server, "127.0.0.1", 0);
	CHECK(port > 0);
	pair->port = (uint32_t)port;
	pair->peer = same_host ? open_local_peer(pair->client, pair->server, pair->port) :
				 open_peer(pair->client, pair->port, 2);
}

static void fill(uint8_t *bytes, uint64_t length, uint64_t seed)
{
	for (uint64_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)(i * 131 + (i >> 11) + seed * 7);
}

static void run(struct pair *pair, uint32_t opcode, uint64_t offset, uint64_t length, int result)
{
	struct mc_op op = pair_op(pair, opcode, offset, length);

	CHECK_EQ(mc_submit(pair->client, &op, 1, 20000), 1);
	expect_results(pair->client, 1, result);
}

static void bytes_arrive(bool device_remote, bool device_local, bool same_host)
{
	static const uint64_t sizes[] = { 1,	   100,		   4096,	   (256 << 10) + 1,
					  1 << 20, (5 << 20) + 11 };
	uint8_t *bytes = malloc(ROOM), *back = malloc(ROOM);
	struct mc_engine_stats stats;
	struct pair pair;

	CHECK(bytes && back);
	open_pair(&pair, device_remote, device_local, same_host);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t at = 3 + i, length = sizes[i];
		uint32_t crc = 0;

		fill(bytes, length, i);
		CHECK_EQ(mc_region_store(pair.client, pair.local_id, at, length, bytes), 0);
		CHECK_EQ(run_summed(pair.client, pair_op(&pair, MC_OP_WRITE, at, length)),
			 mc_crc32c(0, bytes, length));
		memset(back, 0, length);
		CHECK_EQ(mc_region_load(pair.server, pair.remote_id, at, length, back), 0);
		CHECK(memcmp(bytes, back, length) == 0);
		CHECK_EQ(mc_region_crc32c(pair.server, pair.remote_id, at, length, &crc), 0);
		CHECK_EQ(crc, mc_crc32c(0, bytes, length));

		fill(bytes, length, i + 50);
		CHECK_EQ(mc_region_store(pair.server, pair.remote_id, at, length, bytes), 0);
		CHECK_EQ(run_summed(pair.client, pair_op(&pair, MC_OP_READ, at, length)),
			 mc_crc32c(0, bytes, length));
		CHECK_EQ(mc_region_load(pair.client, pair.local_id, at, length, back), 0);
		CHECK(memcmp(bytes, back, length) == 0);
	}
	CHECK_EQ(mc_engine_stats(pair.client, &stats, sizeof(stats)), 0);
	CHECK(same_host ? stats.connects == 0 : stats.connects > 0);
	pair_close(&pair);
	free(bytes);
	free(back);
}

/* Device and host memory in one queue, small and large, so that batches are cut where they meet. */
static void mixed_queues_keep_their_order(bool same_host)
{
	enum { COUNT = 120 };
	struct mc_region_info host_info;
	struct mc_completion done[16];
	struct mc_op ops[COUNT];
	uint8_t bytes[5000], back[5000];
	struct pair pair;
	uint32_t host;

	open_pair(&pair, true, true, same_host);
	host = region_on(pair.client, 0, 0, ROOM, &host_info);
	for (uint32_t i = 0; i < COUNT; i++) {
		uint64_t length = i % 9 == 4 ? 70000 : 1 + i * 37;

		fill(bytes, length < 5000 ? length : 5000, i);
		ops[i] = pair_op(&pair, MC_OP_WRITE, i * 80000 + i, length);
		if (i % 3)
			ops[i].region = host;
		CHECK_EQ(mc_region_store(pair.client, ops[i].region, ops[i].local_offset,
					 length < 5000 ? length : 5000, bytes),
			 0);
	}
	for (int pass = 0; pass < 2; pass++) {
		CHECK_EQ(mc_submit(pair.client, ops, COUNT, 20000), COUNT);
		for (int left = COUNT; left > 0;) {
			int got = mc_poll(pair.client, done, 16, 20000);

			CHECK(got > 0);
			for (int i = 0; i < got; i++)
				CHECK_EQ(done[i].result, 0);
			left -= got;
		}
		for (uint32_t i = 0; i < COUNT; i++) {
			uint64_t length = ops[i].length < 5000 ? ops[i].length : 5000;

			fill(bytes, length, i);
			CHECK_EQ(mc_region_load(pass ? pair.client : pair.server,
						pass ? ops[i].region : pair.remote_id,
						ops[i].local_offset, length, back),
				 0);
			CHECK(memcmp(bytes, back, length) == 0);
			/* Then read into the other kind of memory. */
			ops[i].opcode = MC_OP_READ;
			if (!pass)
				ops[i].region = i % 3 ? pair.local_id : host;
		}
	}
	pair_close(&pair);
}

static sigjmp_buf faulted;

static void on_fault(int signal)
{
	(void)signal;
	siglongjmp(faulted, 1);
}

/* Without this the tests above could pass by touching the memory directly. */
static void device_memory_cannot_be_touched(void)
{
	struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER }, before;
	struct mc_region_info info;
	struct mc_engine *engine = open_engine();
	volatile int touched = 0;

	region_on(engine, open_cuda(), 0, 4096, &info);
	sigaction(SIGSEGV, &action, &before);
	if (sigsetjmp(faulted, 1) == 0) {
		touched = *(volatile uint8_t *)(uintptr_t)info.address;
		touched = 1;
	}
	sigaction(SIGSEGV, &before, NULL);
	CHECK_EQ(touched, 0);
	CHECK_EQ(mc_engine_destroy(engine), 0);
}

static void wrong_regions_are_refused(void)
{
	struct mc_device *device = mc_device_get(open_cuda());
	struct mc_engine *engine = open_engine();
	struct mc_region_options options = { .size = sizeof(options), .length = 4096 };
	struct mc_region_info info;
	uint64_t address;
	uint8_t byte;
	int id;

	options.device = 77;
	CHECK_EQ(mc_region_register(engine, &options, &info), -EINVAL);
	options.device = 0;
	options.address = 4096;
	options.page_shift = 21;
	CHECK_EQ(mc_region_register(engine, &options, &info), -EINVAL);
	options.page_shift = 0;
	options.device = open_cuda();
	options.address = (uintptr_t)&byte;
	CHECK_EQ(mc_region_register(engine, &options, &info), -EFAULT);
	CHECK_EQ(device->ops->allocate(device->handle, 8192, &address), 0);
	options.address = address + 4097;
	CHECK_EQ(mc_region_register(engine, &options, &info), -EFAULT);
	options.address = address + 4096;
	id = mc_region_register(engine, &options, &info);
	CHECK(id > 0);
	CHECK_EQ(info.address, address + 4096);
	CHECK_EQ(mc_region_unregister(engine, (uint32_t)id), 0);
	/* The caller's memory is still there. */
	CHECK_EQ(device->ops->release(device->handle, address), 0);

	options.address = 0;
	options.length = 1ull << 40;
	CHECK_EQ(mc_region_register(engine, &options, &info), -ENOMEM);
	options.length = 4096;
	cuda_fails("cuMemsetD8_v2", 0);
	CHECK_EQ(mc_region_register(engine, &options, &info), -EIO);
	id = mc_region_register(engine, &options, &info);
	CHECK(id > 0);
	byte = 1;
	CHECK_EQ(mc_region_load(engine, (uint32_t)id, 4095, 1, &byte), 0);
	CHECK_EQ(byte, 0); /* zeroed, though the stand-in gives it out full of rubbish */
	CHECK_EQ(mc_region_load(engine, (uint32_t)id, 4095, 2, &byte), -ERANGE);
	CHECK_EQ(mc_region_store(engine, (uint32_t)id, 0, 1, NULL), -EINVAL);
	CHECK_EQ(mc_region_populate(engine, (uint32_t)id), 0);
	CHECK_EQ(mc_engine_destroy(engine), 0);
}

/* A device that fails in the middle costs that operation, not the ones after it. */
static void a_failing_device_fails_the_operation(void)
{
	struct pair pair;

	open_pair(&pair, false, true, false);
	run(&pair, MC_OP_WRITE, 0, 4 << 20, 0);
	cuda_fails("cuMemcpyDtoHAsync_v2", 3);
	run(&pair, MC_OP_WRITE, 0, 4 << 20, -EREMOTEIO);
	cuda_fails("cuMemcpyHtoDAsync_v2", 3);
	run(&pair, MC_OP_READ, 0, 4 << 20, -EREMOTEIO);
	run(&pair, MC_OP_READ, 0, 4 << 20, 0);
	pair_close(&pair);

	open_pair(&pair, true, false, false);
	cuda_fails("cuMemcpyHtoDAsync_v2", 3);
	run(&pair, MC_OP_WRITE, 0, 4 << 20, -ECONNRESET);
	cuda_fails("cuMemcpyDtoHAsync_v2", 3);
	run(&pair, MC_OP_READ, 0, 4 << 20, -ECONNRESET);
	run(&pair, MC_OP_READ, 0, 4 << 20, 0);
	pair_close(&pair);

	open_pair(&pair, false, true, true);
	run(&pair, MC_OP_READ, 0, 4096, 0);
	cuda_fails("cuMemcpyHtoDAsync_v2", 0);
	run(&pair, MC_OP_READ, 0, 4096, -EREMOTEIO);
	run(&pair, MC_OP_READ, 0, 4096, 0);
	pair_close(&pair);
}

/* The stand-in ends the program when a copy touches memory that was freed. */
static void a_withdrawn_region_is_left_alone(bool same_host)
{
	for (int round = 0; round < 8; round++) {
		struct mc_completion done[8];
		struct mc_op ops[8];
		struct pair pair;
		int left = 8;

		open_pair(&pair, true, false, same_host);
		for (int i = 0; i < 8; i++)
			ops[i] = pair_op(&pair, i % 2 ? MC_OP_READ : MC_OP_WRITE, (uint64_t)i << 20,
					 1 << 20);
		CHECK_EQ(mc_submit(pair.client, ops, 8, 20000), 8);
		(void)mc_wait(pair.client, done, 1, 1, (uint32_t)round * 200, 1000);
		CHECK_EQ(mc_region_unregister(pair.server, pair.remote_id), 0);
		CHECK_EQ(mc_engine_shutdown(pair.client), 0);
		while (left > 0) {
			int got = mc_wait(pair.client, done, 8, 1, 0, 0);

			if (got == 0)
				break;
			left -= got;
		}
		CHECK_EQ(mc_engine_destroy(pair.client), 0);
		CHECK_EQ(mc_engine_destroy(pair.server), 0);
	}
}

/* Without a handle, and with memory that the caller may free, bytes go over TCP. */
static void device_memory_that_is_not_handed_out_is_reached_over_tcp(void)
{
	struct mc_device *device = mc_device_get(open_cuda());
	struct mc_region_options options = {
		.size = sizeof(options),
		.flags = MC_REGION_PUBLISHED,
		.length = ROOM,
		.device = open_cuda(),
	};
	struct mc_engine_stats stats;

	for (int given = 0; given < 2; given++) {
		struct pair pair;
		int id;

		open_pair(&pair, false, false, true);
		if (given)
			CHECK_EQ(device->ops->allocate(device->handle, ROOM, &options.address), 0);
		else
			cuda_fails("cuIpcGetMemHandle", 0);
		id = mc_region_register(pair.server, &options, &pair.remote);
		CHECK(id > 0);
		run(&pair, MC_OP_WRITE, 5, 70000, 0);
		run(&pair, MC_OP_READ, 5, 70000, 0);
		CHECK_EQ(mc_engine_stats(pair.client, &stats, sizeof(stats)), 0);
		CHECK(stats.connects > 0);
		pair_close(&pair);
		if (given)
			CHECK_EQ(device->ops->release(device->handle, options.address), 0);
	}
}

/* Memory goes back to the device when those who had it open are seen to have let go. */
static void handed_out_memory_is_recalled_before_it_is_freed(void)
{
	int left = cuda_left();
	struct mc_region_info host;
	struct mc_op op;
	struct pair pair;
	uint32_t id;

	open_pair(&pair, true, false, true);
	id = region_on(pair.server, 0, MC_REGION_PUBLISHED, 4096, &host);
	run(&pair, MC_OP_WRITE, 0, 4096, 0);
	CHECK_EQ(mc_region_unregister(pair.server, pair.remote_id), 0);
	run(&pair, MC_OP_READ, 0, 4096, -EFAULT);
	/* The peer lost its connection, not its peer. */
	op = pair_op(&pair, MC_OP_READ, 0, 4096);
	op.remote = host.remote_base;
	CHECK_EQ(mc_submit(pair.client, &op, 1, 20000), 1);
	expect_results(pair.client, 1, 0);
	CHECK_EQ(mc_region_unregister(pair.server, id), 0);
	pair_close(&pair);
	CHECK_EQ(cuda_left(), left);
}

void test_device_region(void)
{
	int left;

	device_memory_cannot_be_touched();
	left = cuda_left();
	for (int same_host = 0; same_host < 2; same_host++) {
		bytes_arrive(true, false, same_host);
		bytes_arrive(false, true, same_host);
		bytes_arrive(true, true, same_host);
		mixed_queues_keep_their_order(same_host);
		a_withdrawn_region_is_left_alone(same_host);
	}
	device_memory_that_is_not_handed_out_is_reached_over_tcp();
	handed_out_memory_is_recalled_before_it_is_freed();
	wrong_regions_are_refused();
	a_failing_device_fails_the_operation();
	CHECK_EQ(cuda_left(), left);
}
