// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "mc/fence.h"
#include "pair.h"

#define LONG 60000u

static const uint8_t writer[MC_IDENTITY_SIZE] = "a writer";
static const uint8_t somebody[MC_IDENTITY_SIZE] = "somebody else";

static uint64_t in_window(uint64_t address, uint64_t window)
{
	return address + (window << MC_WINDOW_SHIFT);
}

static int run(struct pair *pair, uint32_t opcode, uint64_t remote, uint64_t length)
{
	struct mc_op op = pair_op(pair, opcode, 0, length);
	struct mc_completion done;

	op.remote = remote;
	CHECK_EQ(mc_submit(pair->client, &op, 1, 5000), 1);
	CHECK_EQ(mc_poll(pair->client, &done, 1, 10000), 1);
	return done.result;
}

static int fence(struct pair *pair, uint64_t address, uint64_t length, uint32_t keep_ms)
{
	return mc_engine_fence(pair->server, address, length, keep_ms, writer);
}

static void every_window_is_the_same_memory(void)
{
	struct pair pair;

	pair_open(&pair, 1 << 20);
	for (uint64_t window = 0; window < MC_WINDOWS; window++) {
		uint8_t *local = (uint8_t *)(uintptr_t)pair.local.address;
		const uint8_t *remote = (const uint8_t *)(uintptr_t)pair.remote.address;
		uint64_t address = in_window(pair.remote.remote_base, window);

		memset(local, (int)window + 1, 4096);
		CHECK_EQ(run(&pair, MC_OP_WRITE, address, 4096), 0);
		CHECK(memcmp(remote, local, 4096) == 0);
		memset(local, 0, 4096);
		CHECK_EQ(run(&pair, MC_OP_READ, address, 4096), 0);
		CHECK_EQ(local[4095], window + 1);
	}
	CHECK_EQ(run(&pair, MC_OP_READ, in_window(pair.remote.remote_base, MC_WINDOWS), 64),
		 -EFAULT);
	pair_close(&pair);
}

static void a_fenced_range_is_refused_in_its_window_only(void)
{
	struct pair pair;
	uint64_t base;

	pair_open(&pair, 1 << 20);
	base = pair.remote.remote_base;
	CHECK_EQ(fence(&pair, base + 8192, 4096, LONG), 0);
	CHECK_EQ(fence(&pair, base + 65536, 100, LONG), 0);
	CHECK_EQ(fence(&pair, base, 64, LONG), 0);
	CHECK_EQ(run(&pair, MC_OP_WRITE, base + 8192, 4096), -EFAULT);
	CHECK_EQ(run(&pair, MC_OP_READ, base + 8192, 4096), -EFAULT);
	CHECK_EQ(run(&pair, MC_OP_WRITE, base + 12287, 1), -EFAULT);
	CHECK_EQ(run(&pair, MC_OP_WRITE, base + 4096, 4097), -EFAULT);
	CHECK_EQ(run(&pair, MC_OP_WRITE, base, 1 << 20), -EFAULT);
	CHECK_EQ(run(&pair, MC_OP_WRITE, base + 65535, 2), -EFAULT);
	CHECK_EQ(run(&pair, MC_OP_WRITE, base + 64, 8128), 0);
	CHECK_EQ(run(&pair, MC_OP_WRITE, base + 12288, 53248), 0);
	CHECK_EQ(run(&pair, MC_OP_WRITE, in_window(base, 1), 1 << 20), 0);

	CHECK_EQ(fence(&pair, in_window(base, 1) + 8192, 4096, LONG), 0);
	CHECK_EQ(run(&pair, MC_OP_WRITE, in_window(base, 1) + 8192, 64), -EFAULT);
	CHECK_EQ(run(&pair, MC_OP_WRITE, in_window(base, 2) + 8192, 64), 0);
	pair_close(&pair);
}

static void memory_that_is_not_published_cannot_be_fenced(void)
{
	struct pair pair;

	pair_open(&pair, 1 << 20);
	CHECK_EQ(fence(&pair, pair.remote.remote_base + (1 << 20), 64, LONG), -EFAULT);
	CHECK_EQ(fence(&pair, 4096, 64, LONG), -EFAULT);
	CHECK_EQ(fence(&pair, pair.remote.remote_base, 0, LONG), -EINVAL);
	CHECK_EQ(fence(&pair, pair.remote.remote_base, 64, 0), -EINVAL);
	pair_close(&pair);
}

static void a_fence_is_over_when_its_time_is(void)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	struct pair pair;
	int64_t rounds = 0;

	pair_open(&pair, 1 << 20);
	CHECK_EQ(fence(&pair, pair.remote.remote_base, 4096, 100), 0);
	CHECK_EQ(run(&pair, MC_OP_WRITE, pair.remote.remote_base, 64), -EFAULT);
	while (run(&pair, MC_OP_WRITE, pair.remote.remote_base, 64) != 0) {
		CHECK(rounds++ < 60000);
		nanosleep(&nap, NULL);
	}
	pair_close(&pair);
}

static int connect_to(uint32_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(fd >= 0);
	CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Half of a body has come when the fence is put up; the other half is let in no more. */
static void bytes_under_way_are_kept_out(void)
{
	const struct timespec nap = { .tv_nsec = 100000 };
	static uint8_t bytes[1 << 20];
	struct __attribute__((packed)) {
		uint64_t size, address;
		uint8_t opcode, padding[7];
	} header = { .size = sizeof(bytes), .opcode = MC_OP_WRITE | 0x80 };
	struct { uint32_t code, magic; } status;
	struct mc_engine_stats stats = { 0 };
	const uint8_t *remote;
	struct pair pair;
	int fd;

	pair_open(&pair, sizeof(bytes));
	remote = (const uint8_t *)(uintptr_t)pair.remote.address;
	header.address = pair.remote.remote_base;
	memset(bytes, 7, sizeof(bytes));
	fd = connect_to(pair.port);
	CHECK_EQ(send(fd, &header, sizeof(header), 0), sizeof(header));
	CHECK_EQ(send(fd, bytes, 4096, 0), 4096);
	while (stats.served_write_bytes < 4096) {
		CHECK_EQ(mc_engine_stats(pair.server, &stats, sizeof(stats)), 0);
		nanosleep(&nap, NULL);
	}
	CHECK_EQ(fence(&pair, pair.remote.remote_base, sizeof(bytes), LONG), 0);
	memset((void *)(uintptr_t)pair.remote.address, 1, sizeof(bytes));
	send(fd, bytes, sizeof(bytes) - 4096, MSG_NOSIGNAL);
	CHECK_EQ(recv(fd, &status, sizeof(status), MSG_WAITALL), sizeof(status));
	CHECK_EQ(status.code, 1);
	for (size_t i = 0; i < sizeof(bytes); i++)
		CHECK_EQ(remote[i], 1);
	close(fd);
	pair_close(&pair);
}

static void a_writer_that_has_the_memory_mapped_cannot_be_fenced(void)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	struct pair pair;
	uint64_t base;

	pair_open(&pair, 1 << 20);
	base = pair.remote.remote_base;
	CHECK_EQ(mc_engine_set_identity(pair.client, writer), 0);
	pair.peer = open_local_peer(pair.client, pair.server, pair.port);
	CHECK_EQ(run(&pair, MC_OP_WRITE, base, 4096), 0);
	CHECK_EQ(fence(&pair, base, 4096, LONG), -EBUSY);
	CHECK_EQ(mc_engine_fence(pair.server, base, 4096, LONG, somebody), 0);
	CHECK_EQ(mc_peer_close(pair.client, pair.peer), 0);
	for (int i = 0; fence(&pair, base + 8192, 4096, LONG) != 0; i++) {
		CHECK(i < 60000);
		nanosleep(&nap, NULL);
	}

	/* From now on it is not let in: what it writes comes over TCP, and is refused. */
	pair.peer = open_local_peer(pair.client, pair.server, pair.port);
	CHECK_EQ(run(&pair, MC_OP_WRITE, base + 8192, 4096), -EFAULT);
	CHECK_EQ(run(&pair, MC_OP_WRITE, base + 16384, 4096), 0);
	CHECK_EQ(run(&pair, MC_OP_WRITE, in_window(base, 1) + 8192, 4096), 0);
	pair_close(&pair);
}

static void who_does_not_say_who_he_is_could_be_the_writer(void)
{
	struct pair pair;

	pair_open(&pair, 1 << 20);
	pair.peer = open_local_peer(pair.client, pair.server, pair.port);
	CHECK_EQ(run(&pair, MC_OP_WRITE, pair.remote.remote_base, 4096), 0);
	CHECK_EQ(fence(&pair, pair.remote.remote_base, 4096, LONG), -EBUSY);
	pair_close(&pair);
}

void test_fence(void)
{
	every_window_is_the_same_memory();
	a_fenced_range_is_refused_in_its_window_only();
	memory_that_is_not_published_cannot_be_fenced();
	a_fence_is_over_when_its_time_is();
	bytes_under_way_are_kept_out();
	a_writer_that_has_the_memory_mapped_cannot_be_fenced();
	who_does_not_say_who_he_is_could_be_the_writer();
}
