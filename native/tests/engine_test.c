// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include "pair.h"

static void bytes_arrive_both_ways(void)
{
	static const uint64_t sizes[] = { 1, 100, 4096, 70000, 1 << 20, (4 << 20) + 5 };
	struct pair pair;

	pair_open(&pair, 8 << 20);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct mc_op op = pair_op(&pair, MC_OP_WRITE, 3, sizes[i]);
		uint8_t *local = (uint8_t *)(uintptr_t)pair.local.address;
		const uint8_t *remote = (const uint8_t *)(uintptr_t)pair.remote.address;

		memset(local + 3, (int)i + 1, sizes[i]);
		CHECK_EQ(mc_submit(pair.client, &op, 1, 5000), 1);
		expect_results(pair.client, 1, 0);
		CHECK(memcmp(local + 3, remote + 3, sizes[i]) == 0);
		memset(local + 3, 0, sizes[i]);
		op.opcode = MC_OP_READ;
		CHECK_EQ(mc_submit(pair.client, &op, 1, 5000), 1);
		expect_results(pair.client, 1, 0);
		CHECK(memcmp(local + 3, remote + 3, sizes[i]) == 0);
	}
	pair_close(&pair);
}

static void operations_that_sum_tell_what_they_moved(void)
{
	struct pair pair;

	pair_open(&pair, 8 << 20);
	check_sums(&pair);
	/* As large arrays lie: their bytes go by way of a buffer. */
	check_sums_at(&pair, (16 - pair.local.address) & 4095);
	pair_close(&pair);
}

static void malformed_operations_are_refused_at_once(void)
{
	struct mc_region_info gone;
	struct pair pair;
	struct mc_op good, bad;

	pair_open(&pair, 4096);
	good = pair_op(&pair, MC_OP_READ, 0, 16);
	CHECK_EQ(mc_submit(pair.client, &good, 1, 0), -EINVAL);
	bad = good, bad.length = 0;
	CHECK_EQ(mc_submit(pair.client, &bad, 1, 1000), -EINVAL);
	bad = good, bad.opcode = 2;
	CHECK_EQ(mc_submit(pair.client, &bad, 1, 1000), -EINVAL);
	bad = good, bad.flags = 2;
	CHECK_EQ(mc_submit(pair.client, &bad, 1, 1000), -EINVAL);
	bad = good, bad.remote = UINT64_MAX;
	CHECK_EQ(mc_submit(pair.client, &bad, 1, 1000), -EINVAL);
	bad = good, bad.local_offset = 4090;
	CHECK_EQ(mc_submit(pair.client, &bad, 1, 1000), -ERANGE);
	bad = good, bad.local_offset = UINT64_MAX;
	CHECK_EQ(mc_submit(pair.client, &bad, 1, 1000), -ERANGE);
	bad = good, bad.peer = 77;
	CHECK_EQ(mc_submit(pair.client, &bad, 1, 1000), -ESTALE);
	bad = good, bad.region = open_region(pair.client, 0, 64, &gone);
	CHECK_EQ(mc_region_unregister(pair.client, bad.region), 0);
	CHECK_EQ(mc_region_unregister(pair.client, bad.region), -ESTALE);
	CHECK_EQ(mc_region_populate(pair.client, bad.region), -ESTALE);
	CHECK_EQ(mc_submit(pair.client, &bad, 1, 1000), -ESTALE);
	bad = good, bad.region = MC_REGION_BORROWED, bad.local_offset = 0;
	CHECK_EQ(mc_submit(pair.client, &bad, 1, 1000), -EINVAL);

	CHECK_EQ(mc_submit(pair.client, &good, 1, 1000), 1);
	expect_results(pair.client, 1, 0);
	CHECK_EQ(mc_peer_close(pair.client, pair.peer), 0);
	CHECK_EQ(mc_peer_close(pair.client, pair.peer), -ESTALE);
	CHECK_EQ(mc_submit(pair.client, &good, 1, 1000), -ESTALE);
	pair_close(&pair);
}

static void options_out_of_range_are_refused(void)
{
	struct mc_engine_options options = { .size = sizeof(options), .lanes_per_peer = 17 };
	struct mc_peer_options peer = { .size = sizeof(peer), .protocol_version = 2, .port = 1 };
	struct mc_engine *engine;

	CHECK_EQ(mc_engine_open(&options, &engine), -EINVAL);
	CHECK_EQ(mc_engine_open(&(struct mc_engine_options){ .size = 4 }, &engine), -EINVAL);
	CHECK_EQ(mc_engine_open(NULL, &engine), -EINVAL);

	engine = open_engine();
	CHECK_EQ(mc_peer_open(engine, &peer), -EINVAL);
	strcpy(peer.host, "localhost");
	CHECK_EQ(mc_peer_open(engine, &peer), -EINVAL);
	strcpy(peer.host, "127.0.0.1");
	peer.protocol_version = 3;
	CHECK_EQ(mc_peer_open(engine, &peer), -EINVAL);
	peer.protocol_version = 2;
	peer.port = 65536;
	CHECK_EQ(mc_peer_open(engine, &peer), -EINVAL);
	peer.port = 1;
	peer.transport = 9;
	CHECK_EQ(mc_peer_open(engine, &peer), -ENODEV);
	memset(peer.host, 'x', sizeof(peer.host));
	CHECK_EQ(mc_peer_open(engine, &peer), -EINVAL);
	CHECK_EQ(mc_engine_listen(engine, "nowhere", 0), -EINVAL);
	CHECK_EQ(mc_engine_listen(engine, "127.0.0.1", 65536), -EINVAL);
	CHECK(mc_engine_listen(engine, "127.0.0.1", 0) > 0);
	CHECK_EQ(mc_engine_listen(engine, "127.0.0.1", 0), -EALREADY);
	CHECK_EQ(mc_engine_shutdown(engine), 0);
	CHECK_EQ(mc_engine_destroy(engine), 0);
}

static void a_full_queue_accepts_no_more_until_something_ends(void)
{
	struct mc_engine_options options = { .size = sizeof(options), .max_ops = 256 };
	struct mc_completion done[256];
	struct mc_region_info info;
	struct mc_engine *engine;
	struct mc_op ops[300];
	struct pair pair;
	int accepted = 0;

	pair_open(&pair, 1 << 20);
	CHECK_EQ(mc_engine_open(&options, &engine), 0);
	for (int i = 0; i < 300; i++) {
		ops[i] = pair_op(&pair, MC_OP_READ, 0, 64);
		ops[i].region = accepted ? ops[0].region : open_region(engine, 0, 64, &info);
		ops[i].peer = accepted ? ops[0].peer : open_peer(engine, pair.port, 2);
		accepted = 1;
	}
	CHECK_EQ(mc_submit(engine, ops, 300, 5000), 256);
	CHECK_EQ(mc_submit(engine, ops, 1, 5000), 0);
	accepted = 0;
	while (accepted < 256) {
		int got = mc_poll(engine, done, 256, 5000);

		CHECK(got > 0);
		accepted += got;
	}
	CHECK_EQ(mc_submit(engine, ops, 200, 5000), 200);
	expect_results(engine, 200, 0);
	CHECK_EQ(mc_engine_shutdown(engine), 0);
	CHECK_EQ(mc_engine_destroy(engine), 0);
	pair_close(&pair);
}

static void refused_ranges_fail_alone(void)
{
	struct mc_completion done[64];
	struct pair pair;
	struct mc_op ops[64];
	int left = 64;

	pair_open(&pair, 1 << 20);
	for (uint32_t i = 0; i < 64; i++) {
		ops[i] = pair_op(&pair, i % 2 ? MC_OP_READ : MC_OP_WRITE, i * 4096, 4096);
		ops[i].user_data = i;
		if (i % 7 == 3)
			ops[i].remote = 4096;
	}
	CHECK_EQ(mc_submit(pair.client, ops, 64, 5000), 64);
	while (left > 0) {
		int got = mc_poll(pair.client, done, 64, 5000);

		CHECK(got > 0);
		for (int i = 0; i < got; i++)
			CHECK_EQ(done[i].result, done[i].user_data % 7 == 3 ? -EFAULT : 0);
		left -= got;
	}
	pair_close(&pair);
}

static int silent_listener(uint32_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK_EQ(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_EQ(listen(fd, 10), 0);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	*port = ntohs(address.sin_port);
	return fd;
}

static void what_never_answers_ends_at_its_deadline(void)
{
	struct pair pair;
	struct mc_op op;
	uint32_t port;
	int fd = silent_listener(&port);

	pair_open(&pair, 1 << 20);
	op = pair_op(&pair, MC_OP_READ, 0, 4096);
	op.peer = open_peer(pair.client, port, 2);
	CHECK_EQ(mc_submit(pair.client, &op, 1, 30), 1);
	CHECK_EQ(mc_submit(pair.client, &op, 1, 60), 1);
	expect_results(pair.client, 2, -ETIMEDOUT);

	CHECK_EQ(mc_submit(pair.client, &op, 1, 5000), 1);
	CHECK_EQ(mc_peer_close(pair.client, op.peer), 0);
	expect_results(pair.client, 1, -ECANCELED);
	close(fd);

	op.peer = open_peer(pair.client, port, 2);
	CHECK_EQ(mc_submit(pair.client, &op, 1, 5000), 1);
	expect_results(pair.client, 1, -EHOSTUNREACH);
	pair_close(&pair);
}

static void reads_are_cancelled_and_writes_are_not(void)
{
	struct mc_engine *client = open_engine();
	struct mc_region_info info;
	struct mc_completion done;
	struct mc_op ops[3] = { 0 };
	uint32_t port, region;
	int listener = silent_listener(&port);

	region = open_region(client, 0, 4096, &info);
	for (int i = 0; i < 3; i++) {
		ops[i] = (struct mc_op){
			.user_data = i == 2 ? 2ull << 32 : 1 | (uint64_t)i << 32,
			.remote = 4096,
			.length = 64,
			.region = region,
			.peer = open_peer(client, port, 2),
			.opcode = i == 1 ? MC_OP_WRITE : MC_OP_READ,
		};
	}
	CHECK_EQ(mc_submit(client, ops, 3, 60000), 3);
	CHECK_EQ(mc_cancel(client, 7, UINT32_MAX), 0);
	CHECK_EQ(mc_cancel(client, 1, UINT32_MAX), 1);
	CHECK_EQ(mc_poll(client, &done, 1, 10000), 1);
	CHECK_EQ(done.result, -ETIMEDOUT);
	CHECK_EQ(done.user_data, 1);
	CHECK_EQ(mc_poll(client, &done, 1, 10), 0);
	CHECK_EQ(mc_engine_shutdown(client), 0);
	expect_results(client, 2, -ECANCELED);
	CHECK_EQ(mc_engine_destroy(client), 0);
	close(listener);
}

static void shutdown_fails_what_is_in_flight(void)
{
	struct mc_completion done[4];
	struct pair pair;
	struct mc_op op;
	uint32_t port;
	int fd = silent_listener(&port);

	pair_open(&pair, 1 << 20);
	op = pair_op(&pair, MC_OP_WRITE, 0, 1 << 20);
	op.peer = open_peer(pair.client, port, 2);
	CHECK_EQ(mc_submit(pair.client, &op, 1, 5000), 1);
	CHECK_EQ(mc_engine_shutdown(pair.client), 0);
	CHECK_EQ(mc_submit(pair.client, &op, 1, 5000), -ESHUTDOWN);
	CHECK_EQ(mc_wait(pair.client, done, 4, 1, 0, 0), 1);
	CHECK_EQ(done[0].result, -ECANCELED);
	CHECK_EQ(mc_poll(pair.client, done, 4, 5000), 0); /* woken by the shutdown */
	CHECK_EQ(mc_poll(pair.client, done, 4, 5000), -ESHUTDOWN);
	close(fd);
	pair_close(&pair);
}

static void a_wake_ends_one_poll(void)
{
	struct mc_engine *engine = open_engine();
	struct mc_completion done[1];

	CHECK_EQ(mc_wake(engine), 0);
	CHECK_EQ(mc_poll(engine, done, 1, UINT32_MAX), 0);
	CHECK_EQ(mc_poll(engine, done, 1, 1), 0);
	CHECK_EQ(mc_engine_shutdown(engine), 0);
	CHECK_EQ(mc_engine_destroy(engine), 0);
}

static void what_a_wait_took_is_told_once(void)
{
	struct mc_completion done[4];
	struct pair pair;
	struct mc_op op;
	uint32_t port;
	int fd = silent_listener(&port);

	pair_open(&pair, 1 << 20);
	op = pair_op(&pair, MC_OP_WRITE, 0, 64);
	op.peer = open_peer(pair.client, port, 2);
	CHECK_EQ(mc_spent(pair.client), 0);
	CHECK_EQ(mc_submit(pair.client, &op, 1, 5000), 1);
	CHECK_EQ(mc_wait(pair.client, done, 4, 1, 3000, 1000), 0);
	CHECK(mc_spent(pair.client) >= 3000000);
	CHECK_EQ(mc_spent(pair.client), 0);
	close(fd);
	pair_close(&pair);
}

static void a_stale_descriptor_is_refused_after_the_region_came_back(void)
{
	struct mc_region_info again;
	struct pair pair;
	struct mc_op op;

	pair_open(&pair, 1 << 16);
	op = pair_op(&pair, MC_OP_READ, 0, 64);
	CHECK_EQ(mc_region_unregister(pair.server, pair.remote_id), 0);
	pair.remote_id = open_region(pair.server, MC_REGION_PUBLISHED, 1 << 16, &again);
	CHECK(again.remote_base != pair.remote.remote_base);
	CHECK_EQ(mc_submit(pair.client, &op, 1, 5000), 1);
	expect_results(pair.client, 1, -EFAULT);
	op.remote = again.remote_base;
	CHECK_EQ(mc_submit(pair.client, &op, 1, 5000), 1);
	expect_results(pair.client, 1, 0);
	CHECK_EQ(mc_region_populate(pair.server, pair.remote_id), 0);
	pair_close(&pair);
}

static void memory_of_the_caller_is_served_where_it_is(void)
{
	static uint8_t memory[100003];
	struct mc_region_options wrong = { .size = sizeof(wrong), .length = 16 };
	struct mc_region_info info;
	struct pair pair;
	struct mc_op op;
	uint32_t id;

	pair_open(&pair, 1 << 17);
	wrong.address = UINT64_MAX - 8;
	CHECK_EQ(mc_region_register(pair.server, &wrong, &info), -EINVAL);
	wrong.address = (uintptr_t)memory;
	wrong.flags = MC_REGION_LOCKED;
	CHECK_EQ(mc_region_register(pair.server, &wrong, &info), -EINVAL);
	id = lend_region(pair.server, memory + 1, sizeof(memory) - 2, &info);
	CHECK_EQ(mc_region_populate(pair.server, id), 0);
	memset((void *)(uintptr_t)pair.local.address, 0x5a, sizeof(memory));
	op = pair_op(&pair, MC_OP_WRITE, 0, sizeof(memory) - 2);
	op.remote = info.remote_base;
	CHECK_EQ(mc_submit(pair.client, &op, 1, 5000), 1);
	expect_results(pair.client, 1, 0);
	CHECK(memory[0] == 0 && memory[1] == 0x5a);
	CHECK(memory[sizeof(memory) - 2] == 0x5a && memory[sizeof(memory) - 1] == 0);
	op.length++;
	CHECK_EQ(mc_submit(pair.client, &op, 1, 5000), 1);
	expect_results(pair.client, 1, -EFAULT);
	CHECK_EQ(mc_region_unregister(pair.server, id), 0);
	op.length--;
	CHECK_EQ(mc_submit(pair.client, &op, 1, 5000), 1);
	expect_results(pair.client, 1, -EFAULT);
	CHECK(memory[1] == 0x5a);
	pair_close(&pair);
}

/* Connections in another process, so that only the server's side counts here. */
static pid_t connect_silently(uint32_t port, int count, const struct rlimit *limit)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	pid_t child = fork();

	if (child)
		return child;
	setrlimit(RLIMIT_NOFILE, limit);
	while (count-- > 0) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
			_exit(1);
	}
	pause();
	_exit(0);
}

static void silence_gives_way_without_descriptors(void)
{
	struct mc_engine_options options = { .size = sizeof(options), .stall_timeout_ms = 200 };
	struct mc_engine_stats stats = { 0 };
	struct rlimit before, low;
	struct mc_region_info remote;
	struct mc_completion done;
	struct mc_engine *server, *client = open_engine();
	struct mc_op op = { .length = 8, .opcode = MC_OP_READ };
	int port, result = -1;
	pid_t child;

	CHECK_EQ(mc_engine_open(&options, &server), 0);
	op.region = open_region(client, 0, 64, &remote);
	open_region(server, MC_REGION_PUBLISHED, 64, &remote);
	op.remote = remote.remote_base;
	port = mc_engine_listen(server, "127.0.0.1", 0);
	CHECK(port > 0);
	op.peer = open_peer(client, (uint32_t)port, 2);
	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = (struct rlimit){ .rlim_cur = (rlim_t)dup(0) + 12, .rlim_max = before.rlim_max };
	CHECK_EQ(close((int)low.rlim_cur - 12), 0);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
	child = connect_silently((uint32_t)port, 40, &before);
	CHECK(child > 0);
	for (int i = 0; i < 1000 && stats.connections < 8; i++) {
		usleep(10000);
		CHECK_EQ(mc_engine_stats(server, &stats, sizeof(stats)), 0);
	}
	CHECK(stats.connections >= 8);
	for (int i = 0; i < 200 && result; i++) {
		CHECK_EQ(mc_submit(client, &op, 1, 500), 1);
		CHECK_EQ(mc_poll(client, &done, 1, 10000), 1);
		result = done.result;
		if (result)
			usleep(50000);
	}
	CHECK_EQ(result, 0);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	CHECK_EQ(mc_engine_destroy(client), 0);
	CHECK_EQ(mc_engine_destroy(server), 0);
}

void test_engine(void)
{
	bytes_arrive_both_ways();
	operations_that_sum_tell_what_they_moved();
	malformed_operations_are_refused_at_once();
	options_out_of_range_are_refused();
	a_full_queue_accepts_no_more_until_something_ends();
	refused_ranges_fail_alone();
	what_never_answers_ends_at_its_deadline();
	reads_are_cancelled_and_writes_are_not();
	shutdown_fails_what_is_in_flight();
	a_wake_ends_one_poll();
	what_a_wait_took_is_told_once();
	a_stale_descriptor_is_refused_after_the_region_came_back();
	memory_of_the_caller_is_served_where_it_is();
	silence_gives_way_without_descriptors();
}
