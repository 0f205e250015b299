// SPDX-License-Identifier: Apache-2.0
/*
 * TLS between two engines. SNOWSKIN_TEST_CERTIFICATES names a folder with ca.pem, node.pem,
 * node.key and, of another authority, other-ca.pem, other.pem and other.key; node.pem covers
 * 127.0.0.1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <limits.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "pair.h"

#include "../src/engine.h"
#include "mc/plugin.h"
#include "mc/tls.h"

#define REGION (8u << 20)
/* Each of them longer than its socket's room, so that all of them stall and go on. */
#define LONG (6u << 20)

static const char *folder;
static uint32_t handshake_ms; /* 0: the default */

static const char *in_folder(const char *name)
{
	static char paths[8][PATH_MAX];
	static int next;
	char *path = paths[next++ % 8];

	snprintf(path, PATH_MAX, "%s/%s", folder, name);
	return path;
}

static int give(struct mc_engine *engine, const char *cert, const char *key, const char *ca,
		char *why)
{
	return mc_tls_open(engine, in_folder(cert), in_folder(key), in_folder(ca),
			   handshake_ms, why, 256);
}

static int renew(struct mc_engine *engine, const char *cert, const char *key, const char *ca,
		 char *why)
{
	return mc_tls_renew(engine, in_folder(cert), in_folder(key), in_folder(ca), why, 256);
}

static void give_node(struct mc_engine *engine)
{
	struct mc_plugin_options plugin = { .size = sizeof(plugin) };
	char why[256];
	int err = give(engine, "node.pem", "node.key", "ca.pem", why);

	if (err)
		fprintf(stderr, "%s\n", why);
	CHECK_EQ(err, 0);
	CHECK_EQ(give(engine, "node.pem", "node.key", "ca.pem", why), -EALREADY);
	CHECK_EQ(mc_plugin_open(engine, &plugin, why, sizeof(why)), -EALREADY);
}

enum side { PLAIN, NODE, OTHER };

static struct mc_engine *open_side(enum side side)
{
	struct mc_engine *engine = open_engine();
	char why[256];

	if (side == NODE)
		give_node(engine);
	if (side == OTHER)
		CHECK_EQ(give(engine, "other.pem", "other.key", "other-ca.pem", why), 0);
	return engine;
}

static void open_pair(struct pair *pair, enum side server, enum side client)
{
	int port;

	pair->server = open_side(server);
	pair->client = open_side(client);
	pair->remote_id = open_region(pair->server, MC_REGION_PUBLISHED, REGION, &pair->remote);
	pair->local_id = open_region(pair->client, 0, REGION, &pair->local);
	port = mc_engine_listen(pair->server, "127.0.0.1", 0);
	CHECK(port > 0);
	pair->port = (uint32_t)port;
	pair->peer = open_peer(pair->client, pair->port, 2);
}

static uint8_t *memory(const struct mc_region_info *info)
{
	return (uint8_t *)(uintptr_t)info->address;
}

static void fill(uint8_t *bytes, uint64_t length, uint32_t seed)
{
	for (uint64_t i = 0; i < length; i++) {
		seed = seed * 1664525u + 1013904223u;
		bytes[i] = (uint8_t)(seed >> 24);
	}
}

static void run(struct pair *pair, uint32_t opcode, uint64_t offset, uint64_t length, int result)
{
	struct mc_op op = pair_op(pair, opcode, offset, length);

	CHECK_EQ(mc_submit(pair->client, &op, 1, 20000), 1);
	expect_results(pair->client, 1, result);
}

static void bytes_arrive_whole(uint32_t rekey_records)
{
	static const uint64_t lengths[] = { 1, 24, 4096, 16384, 16385, 100000, LONG };
	struct pair pair;

	open_pair(&pair, NODE, NODE);
	pair.server->tls->rekey_records = pair.client->tls->rekey_records = rekey_records;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		fill(memory(&pair.remote), REGION, (uint32_t)i);
		memset(memory(&pair.local), 0, REGION);
		run(&pair, MC_OP_READ, 7, lengths[i], 0);
		CHECK_EQ(memcmp(memory(&pair.remote) + 7, memory(&pair.local) + 7, lengths[i]), 0);
		CHECK_EQ(memory(&pair.local)[7 + lengths[i]], 0);
		fill(memory(&pair.local), REGION, (uint32_t)i + 100);
		run(&pair, MC_OP_WRITE, 3, lengths[i], 0);
		CHECK_EQ(memcmp(memory(&pair.remote) + 3, memory(&pair.local) + 3, lengths[i]), 0);
	}
	pair_close(&pair);
}

/* More bytes in both directions at once than sockets hold, on every lane. */
static void many_at_once(void)
{
	struct mc_op ops[64];
	struct pair pair;

	open_pair(&pair, NODE, NODE);
	fill(memory(&pair.remote), REGION, 1);
	fill(memory(&pair.local), REGION, 2);
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 64; i++)
			ops[i] = pair_op(&pair, i % 2 ? MC_OP_READ : MC_OP_WRITE, i * 131072u,
					 i % 8 ? 131072 - i : 1 + i);
		CHECK_EQ(mc_submit(pair.client, ops, 64, 20000), 64);
		expect_results(pair.client, 64, 0);
	}
	for (uint32_t i = 0; i < 64; i++)
		CHECK_EQ(memcmp(memory(&pair.remote) + ops[i].local_offset,
				memory(&pair.local) + ops[i].local_offset, ops[i].length),
			 0);
	pair_close(&pair);
}

static void refusals_leave_the_rest_alone(void)
{
	struct mc_op ops[3];
	struct pair pair;
	struct mc_completion done[3];
	int refused = 0, count = 0;

	open_pair(&pair, NODE, NODE);
	for (int i = 0; i < 3; i++)
		ops[i] = pair_op(&pair, MC_OP_READ, 64, 4096);
	ops[1].remote += REGION;
	CHECK_EQ(mc_submit(pair.client, ops, 3, 20000), 3);
	while (count < 3) {
		int got = mc_poll(pair.client, done, 3, 10000);

		CHECK(got > 0);
		for (int i = 0; i < got; i++) {
			CHECK(done[i].result == 0 || done[i].result == -EFAULT);
			refused += done[i].result == -EFAULT;
		}
		count += got;
	}
	CHECK_EQ(refused, 1);
	pair_close(&pair);
}

/* The next report of an engine, once there is one. */
static struct mc_tls_report next_report(struct mc_engine *engine)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct mc_tls_report report;

	for (int i = 0; i < 10000; i++) {
		if (mc_tls_take_report(engine, &report))
			return report;
		nanosleep(&pause, NULL);
	}
	CHECK(!"a report");
	exit(1);
}

static void strangers_are_refused(void)
{
	static const struct {
		enum side server, client;
	} cases[] = { { NODE, OTHER }, { OTHER, NODE }, { NODE, PLAIN }, { PLAIN, NODE } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mc_completion done;
		struct mc_op op;
		struct pair pair;

		open_pair(&pair, cases[i].server, cases[i].client);
		op = pair_op(&pair, MC_OP_WRITE, 0, 100000);
		CHECK_EQ(mc_submit(pair.client, &op, 1, 20000), 1);
		CHECK_EQ(mc_poll(pair.client, &done, 1, 10000), 1);
		CHECK(done.result == -EHOSTUNREACH || done.result == -ECONNRESET ||
		      done.result == -EPROTO);
		if (cases[i].client != PLAIN) {
			struct mc_tls_report report = next_report(pair.client);

			CHECK_EQ(report.served, 0);
			CHECK(strncmp(report.peer, "127.0.0.1:", 10) == 0);
			CHECK(strstr(report.text,
				     cases[i].server == PLAIN ? "no TLS" : "certificate"));
		}
		if (cases[i].server != PLAIN) {
			struct mc_tls_report report = next_report(pair.server);

			CHECK_EQ(report.served, 1);
			CHECK(report.text[0]);
		}
		CHECK_EQ(memory(&pair.remote)[0], 0);
		pair_close(&pair);
	}
}

/* The certificate covers the address, not this name. */
static void names_are_checked(void)
{
	struct mc_peer_options options = {
		.size = sizeof(options),
		.protocol_version = 2,
		.host = "127.0.0.1",
		.server_name = "elsewhere.example",
	};
	struct pair pair;

	open_pair(&pair, NODE, NODE);
	options.port = pair.port;
	pair.peer = (uint32_t)mc_peer_open(pair.client, &options);
	run(&pair, MC_OP_READ, 0, 10, -EHOSTUNREACH);
	CHECK(strstr(next_report(pair.client).text, "hostname mismatch"));
	pair_close(&pair);
}

static int dial(uint32_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Silent ones, and one that stops in the middle, are gone when the handshake's time is up. */
static void handshakes_are_bounded(void)
{
	static const uint8_t begun[] = { 22, 3, 1, 2, 0, 1, 0 };
	struct pair pair;
	int fds[3];
	uint8_t byte;

	handshake_ms = 1500;
	open_pair(&pair, NODE, NODE);
	handshake_ms = 0;
	for (int i = 0; i < 3; i++) {
		fds[i] = dial(pair.port);
		if (i > 0)
			CHECK_EQ(send(fds[i], begun, sizeof(begun), 0), sizeof(begun));
	}
	run(&pair, MC_OP_READ, 0, 1000, 0);
	for (int i = 0; i < 3; i++) {
		CHECK(recv(fds[i], &byte, 1, 0) <= 0);
		close(fds[i]);
	}
	run(&pair, MC_OP_READ, 0, 1000, 0);
	pair_close(&pair);
}

/* A listener that takes connections and says nothing, or dies in the middle of the handshake. */
static void clients_give_up(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct mc_engine_options options = { .size = sizeof(options), .connect_timeout_ms = 200 };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	socklen_t length = sizeof(address);
	struct pair pair;

	CHECK_EQ(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_EQ(listen(listener, 8), 0);
	CHECK_EQ(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	open_pair(&pair, NODE, PLAIN);
	CHECK_EQ(mc_engine_shutdown(pair.client), 0);
	CHECK_EQ(mc_engine_destroy(pair.client), 0);
	CHECK_EQ(mc_engine_open(&options, &pair.client), 0);
	give_node(pair.client);
	pair.local_id = open_region(pair.client, 0, REGION, &pair.local);
	pair.peer = open_peer(pair.client, ntohs(address.sin_port), 2);
	run(&pair, MC_OP_READ, 0, 1000, -EHOSTUNREACH);
	close(accept(listener, NULL, NULL)); /* the one that was given up */
	for (int i = 0; i < 2; i++) {
		struct mc_op op = pair_op(&pair, MC_OP_READ, 0, 1000);
		struct mc_completion done;
		int fd = -1;

		CHECK_EQ(mc_submit(pair.client, &op, 1, 20000), 1);
		while (mc_wait(pair.client, &done, 1, 0, 1000, 1000) == 0) {
			uint8_t hello[16];

			if (fd < 0)
				fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
			else if (recv(fd, hello, sizeof(hello), 0) > 0)
				CHECK_EQ(close(fd), 0);
		}
		CHECK_EQ(done.result, -EHOSTUNREACH);
	}
	close(listener);
	pair_close(&pair);
}

/* Closes the peer again and again in the middle of its transfers. */
static void *hurry(void *argument)
{
	struct pair *pair = argument;

	for (int i = 0; i < 20; i++) {
		struct mc_op ops[4];
		uint32_t peer = open_peer(pair->client, pair->port, 2);

		for (uint32_t k = 0; k < 4; k++) {
			ops[k] = pair_op(pair, k % 2 ? MC_OP_WRITE : MC_OP_READ, k << 20, 1 << 20);
			ops[k].peer = peer;
		}
		CHECK_EQ(mc_submit(pair->client, ops, 4, 20000), 4);
		if (i % 2)
			sched_yield();
		CHECK_EQ(mc_peer_close(pair->client, peer), 0);
	}
	return NULL;
}

static void peers_may_go_at_any_time(void)
{
	struct pair pair;
	pthread_t thread;

	open_pair(&pair, NODE, NODE);
	CHECK_EQ(pthread_create(&thread, NULL, hurry, &pair), 0);
	for (int left = 80; left > 0;) {
		struct mc_completion done[16];
		int got = mc_poll(pair.client, done, 16, 10000);

		CHECK(got > 0);
		for (int i = 0; i < got; i++)
			CHECK(done[i].result == 0 || done[i].result == -ECANCELED);
		left -= got;
	}
	CHECK_EQ(pthread_join(thread, NULL), 0);
	run(&pair, MC_OP_READ, 0, 1000, 0);
	/* And the server in the middle of one. */
	struct mc_op op = pair_op(&pair, MC_OP_READ, 0, LONG);

	CHECK_EQ(mc_submit(pair.client, &op, 1, 20000), 1);
	CHECK_EQ(mc_engine_shutdown(pair.server), 0);
	struct mc_completion done;

	CHECK_EQ(mc_poll(pair.client, &done, 1, 10000), 1);
	CHECK(done.result == -ECONNRESET || done.result == 0);
	pair_close(&pair);
}

static void wrong_files_are_named(void)
{
	static const struct {
		const char *cert, *key, *ca, *said;
	} cases[] = {
		{ "none.pem", "node.key", "ca.pem", "none.pem\" cannot be read: No such file" },
		{ "node.pem", "none.key", "ca.pem", "none.key\" cannot be read: No such file" },
		{ "node.pem", "node.key", "none.pem", "none.pem\" cannot be read: No such file" },
		{ "node.key", "node.key", "ca.pem", "node.key\" holds no certificate" },
		{ "node.pem", "node.pem", "ca.pem", "node.pem\" holds no private key" },
		{ "node.pem", "node.key", "node.key", "node.key\" holds no certificate" },
		{ "node.pem", "other.key", "ca.pem", "other.key\" is not the key" },
		{ "node.pem", "node.key", "other-ca.pem", "would be refused by peers" },
		{ "expired.pem", "expired.key", "ca.pem", "expired.pem\" is out of date" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mc_engine *engine = open_engine();
		char why[256];

		CHECK_EQ(give(engine, cases[i].cert, cases[i].key, cases[i].ca, why), -EINVAL);
		if (!strstr(why, cases[i].said))
			fprintf(stderr, "%s\n", why);
		CHECK(strstr(why, cases[i].said));
		CHECK_EQ(mc_engine_destroy(engine), 0);
	}
}

/* Connections from now on show the new files; those that are there are left alone. */
static void files_are_renewed(void)
{
	struct pair pair;
	char why[256];

	open_pair(&pair, NODE, NODE);
	run(&pair, MC_OP_READ, 0, 1000, 0);
	CHECK_EQ(renew(pair.server, "node.pem", "other.key", "ca.pem", why), -EINVAL);
	CHECK(strstr(why, "is not the key"));
	CHECK_EQ(renew(pair.server, "other.pem", "other.key", "other-ca.pem", why), 0);
	run(&pair, MC_OP_READ, 0, 1000, 0);
	CHECK_EQ(mc_peer_close(pair.client, pair.peer), 0);
	pair.peer = open_peer(pair.client, pair.port, 2);
	run(&pair, MC_OP_READ, 0, 1000, -EHOSTUNREACH);
	CHECK_EQ(renew(pair.server, "node.pem", "node.key", "ca.pem", why), 0);
	run(&pair, MC_OP_READ, 0, 1000, 0);
	pair_close(&pair);
}

/* Whatever comes in the handshake costs its connection only. */
static void garbage_is_refused(void)
{
	struct pair pair;
	uint32_t seed = 7;

	open_pair(&pair, NODE, NODE);
	for (int i = 0; i < 200; i++) {
		uint8_t bytes[600] = { 22, 3, 1, 2, 0, 1 };
		int fd = dial(pair.port);

		seed = seed * 1664525u + 1013904223u;
		fill(bytes + 1 + i % 8, sizeof(bytes) - 8, seed);
		CHECK(send(fd, bytes, 1 + seed % sizeof(bytes), MSG_NOSIGNAL) > 0);
		close(fd);
	}
	run(&pair, MC_OP_READ, 0, 1000, 0);
	pair_close(&pair);
}

void test_tls(void)
{
	folder = getenv("SNOWSKIN_TEST_CERTIFICATES");
	CHECK(folder);
	wrong_files_are_named();
	bytes_arrive_whole(1u << 23);
	bytes_arrive_whole(2);
	many_at_once();
	refusals_leave_the_rest_alone();
	strangers_are_refused();
	names_are_checked();
	files_are_renewed();
	handshakes_are_bounded();
	clients_give_up();
	peers_may_go_at_any_time();
	garbage_is_refused();
	pair_secure = give_node;
	test_stress();
	test_device_region();
	pair_secure = NULL;
}
