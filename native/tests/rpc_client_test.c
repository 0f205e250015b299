// SPDX-License-Identifier: Apache-2.0
/* Connections of RPC clients: one thread that owns them, one parked in the poll. */
#define _GNU_SOURCE
#include "mc/rpc_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define BIG (8u << 20)
#define SECOND 1000000

/* A listening socket of the loopback interface, and its port. */
static int listener(uint32_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK_EQ(bind(fd, (struct sockaddr *)&address, size), 0);
	CHECK_EQ(listen(fd, 16), 0);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	*port = ntohs(address.sin_port);
	return fd;
}

static struct mc_rpc_client *dial(uint32_t port)
{
	struct mc_rpc_client_options options = { sizeof(options), port, "127.0.0.1" };
	struct mc_rpc_client *client;

	CHECK_EQ(mc_rpc_client_open(&options, &client), 0);
	return client;
}

/* A client whose connection stands, and the server's end of it. */
static struct mc_rpc_client *connected(int *end)
{
	uint32_t port;
	int fd = listener(&port);
	struct mc_rpc_client *client = dial(port);

	*end = accept(fd, NULL, NULL);
	CHECK(*end >= 0);
	CHECK_EQ(mc_rpc_client_poll(client), MC_RPC_CLIENT_OUTPUT);
	CHECK_EQ(mc_rpc_client_flush(client), 0);
	close(fd);
	return client;
}

struct parked {
	struct mc_rpc_client *client;
	pthread_t thread;
	int32_t seen;
};

static void *park(void *argument)
{
	struct parked *parked = argument;

	parked->seen = mc_rpc_client_poll(parked->client);
	return NULL;
}

static void start(struct parked *parked, struct mc_rpc_client *client)
{
	parked->client = client;
	CHECK_EQ(pthread_create(&parked->thread, NULL, park, parked), 0);
}

static int32_t seen_by(struct parked *parked)
{
	CHECK_EQ(pthread_join(parked->thread, NULL), 0);
	return parked->seen;
}

static void *echo(void *argument)
{
	int end = *(int *)argument;
	uint8_t bytes[4096];
	ssize_t n;

	while ((n = recv(end, bytes, sizeof(bytes), 0)) > 0)
		CHECK_EQ(send(end, bytes, (size_t)n, MSG_NOSIGNAL), n);
	return NULL;
}

static double thread_seconds(pthread_t thread)
{
	struct timespec ts;
	clockid_t clock;

	CHECK_EQ(pthread_getcpuclockid(thread, &clock), 0);
	CHECK_EQ(clock_gettime(clock, &ts), 0);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Answers that come during the sleep do not wake the thread that is parked. */
static void answers_pass_the_parked_thread_by(void)
{
	int end;
	struct mc_rpc_client *client = connected(&end);
	struct parked parked;
	pthread_t server;
	uint8_t in[64];

	start(&parked, client);
	CHECK_EQ(pthread_create(&server, NULL, echo, &end), 0);
	double before = thread_seconds(parked.thread);
	for (int i = 0; i < 2000; i++) {
		uint8_t out[8] = { (uint8_t)i, 1, 2, 3, 4, 5, 6, 7 };

		CHECK_EQ(mc_rpc_client_send(client, out, sizeof(out)), 0);
		CHECK_EQ(mc_rpc_client_receive(client, in, sizeof(in), 10 * SECOND), sizeof(out));
		CHECK_EQ(in[0], (uint8_t)i);
	}
	CHECK(thread_seconds(parked.thread) - before < 0.005);
	mc_rpc_client_shutdown(client);
	CHECK_EQ(seen_by(&parked), -ESHUTDOWN);
	CHECK_EQ(pthread_join(server, NULL), 0);
	mc_rpc_client_close(client);
	close(end);
}

/* It is asked for input while it is parked, many times, and never misses any. */
static void input_is_seen_when_it_is_watched_for(void)
{
	int end;
	struct mc_rpc_client *client = connected(&end);
	uint8_t in[64];

	for (int i = 0; i < 500; i++) {
		struct parked parked;

		start(&parked, client);
		CHECK_EQ(mc_rpc_client_receive(client, in, sizeof(in), i % 3), 0);
		if (i % 2)
			mc_rpc_client_watch(client, 1);
		CHECK_EQ(send(end, "x", 1, MSG_NOSIGNAL), 1);
		if (i % 2 == 0)
			mc_rpc_client_watch(client, 1);
		CHECK_EQ(seen_by(&parked), MC_RPC_CLIENT_INPUT);
		CHECK_EQ(mc_rpc_client_receive(client, in, sizeof(in), 0), 1);
		mc_rpc_client_watch(client, 0);
	}
	mc_rpc_client_shutdown(client);
	CHECK_EQ(mc_rpc_client_poll(client), -ESHUTDOWN);
	mc_rpc_client_close(client);
	close(end);
}

static double seconds(void)
{
	struct timespec ts;

	CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* What is looked for first is part of the time given, and soon nothing is. */
static void a_wait_in_vain_takes_its_time(void)
{
	int end;
	struct mc_rpc_client *client = connected(&end);
	double cpu = thread_seconds(pthread_self());
	uint8_t in[64];

	for (int i = 0; i < 500; i++) {
		double begun = seconds();

		CHECK_EQ(mc_rpc_client_receive(client, in, sizeof(in), 2000), 0);
		CHECK(seconds() - begun >= 0.00199);
	}
	CHECK(thread_seconds(pthread_self()) - cpu < 0.25);
	mc_rpc_client_shutdown(client);
	mc_rpc_client_close(client);
	close(end);
}

static void *read_all(void *argument)
{
	int end = *(int *)argument;
	static uint8_t bytes[64 << 10];
	size_t at = 0;
	ssize_t n;

	while (at < 2 * BIG && (n = recv(end, bytes, sizeof(bytes), 0)) > 0)
		for (ssize_t i = 0; i < n; i++, at++)
			CHECK_EQ(bytes[i], (uint8_t)(at * 7));
	CHECK_EQ(at, 2 * BIG);
	return NULL;
}

static void what_the_socket_does_not_take_is_kept(void)
{
	int end;
	struct mc_rpc_client *client = connected(&end);
	uint8_t *bytes = malloc(2 * BIG);
	pthread_t reader;
	struct parked parked;

	CHECK(bytes);
	for (size_t i = 0; i < 2 * BIG; i++)
		bytes[i] = (uint8_t)(i * 7);
	start(&parked, client);
	CHECK(mc_rpc_client_send(client, bytes, BIG) > 0);
	CHECK(mc_rpc_client_send(client, bytes + BIG, BIG) > 0);
	free(bytes);
	CHECK_EQ(pthread_create(&reader, NULL, read_all, &end), 0);
	for (;;) {
		CHECK_EQ(seen_by(&parked), MC_RPC_CLIENT_OUTPUT);
		int32_t kept = mc_rpc_client_flush(client);

		CHECK(kept >= 0);
		if (kept == 0)
			break;
		start(&parked, client);
	}
	CHECK_EQ(pthread_join(reader, NULL), 0);
	mc_rpc_client_shutdown(client);
	mc_rpc_client_close(client);
	close(end);
}

static void ends_are_told(void)
{
	int end;
	uint8_t in[8];
	struct mc_rpc_client *client = connected(&end);
	struct parked parked;

	/* The parked thread sees the other end hang up, though it does not look for input. */
	start(&parked, client);
	CHECK_EQ(send(end, "last", 4, MSG_NOSIGNAL), 4);
	close(end);
	CHECK_EQ(seen_by(&parked), MC_RPC_CLIENT_INPUT);
	CHECK_EQ(mc_rpc_client_receive(client, in, sizeof(in), SECOND), 4);
	CHECK_EQ(mc_rpc_client_receive(client, in, sizeof(in), SECOND), -ESHUTDOWN);
	mc_rpc_client_shutdown(client);
	mc_rpc_client_close(client);

	/* Looking for an answer ends with the connection, too. */
	client = connected(&end);
	close(end);
	CHECK_EQ(mc_rpc_client_receive(client, in, sizeof(in), 150), -ESHUTDOWN);
	mc_rpc_client_shutdown(client);
	mc_rpc_client_close(client);

	/* A sleep ends with the connection. */
	client = connected(&end);
	close(end);
	CHECK_EQ(mc_rpc_client_receive(client, in, sizeof(in), 10 * SECOND), -ESHUTDOWN);
	mc_rpc_client_shutdown(client);
	mc_rpc_client_close(client);

	/* Nobody listens. */
	uint32_t port;
	close(listener(&port));
	struct mc_rpc_client_options options = { sizeof(options), port, "127.0.0.1" };
	int result = mc_rpc_client_open(&options, &client);
	if (result == 0) {
		CHECK(mc_rpc_client_poll(client) & MC_RPC_CLIENT_OUTPUT);
		result = mc_rpc_client_flush(client);
		mc_rpc_client_shutdown(client);
		mc_rpc_client_close(client);
	}
	CHECK_EQ(result, -ECONNREFUSED);
}

static void bad_options_are_refused(void)
{
	struct mc_rpc_client_options options = { sizeof(options), 50051, "a name" };
	struct mc_rpc_client *client = NULL;

	CHECK_EQ(mc_rpc_client_open(&options, &client), -EINVAL);
	strcpy(options.host, "::1");
	options.port = 0;
	CHECK_EQ(mc_rpc_client_open(&options, &client), -EINVAL);
	options.port = 65536;
	CHECK_EQ(mc_rpc_client_open(&options, &client), -EINVAL);
	options.port = 1;
	options.size = 4;
	CHECK_EQ(mc_rpc_client_open(&options, &client), -EINVAL);
	CHECK(client == NULL);
}

void test_rpc_client(void)
{
	answers_pass_the_parked_thread_by();
	input_is_seen_when_it_is_watched_for();
	what_the_socket_does_not_take_is_kept();
	a_wait_in_vain_takes_its_time();
	ends_are_told();
	bad_options_are_refused();
}
