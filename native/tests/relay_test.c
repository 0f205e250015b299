// SPDX-License-Identifier: Apache-2.0
/* Handshakes at the data port: relayed to a Unix socket, beside requests. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "pair.h"

#define ROUNDS 100
#define FRAME_SIZE 41

struct answerer {
	int listener;
	char name[64];
	pthread_t thread;
};

/* Answers each connection with what it got, and one that begins with 'q' by ending itself. */
static void *answer(void *argument)
{
	struct answerer *answerer = argument;

	for (;;) {
		int fd = accept(answerer->listener, NULL, NULL);
		char bytes[FRAME_SIZE];

		CHECK(fd >= 0);
		CHECK_EQ(recv(fd, bytes, sizeof(bytes), MSG_WAITALL), FRAME_SIZE);
		if (bytes[10] == 'q') {
			close(fd);
			return NULL;
		}
		CHECK_EQ(send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL), FRAME_SIZE);
		close(fd);
	}
}

static void answerer_start(struct answerer *answerer)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length;

	snprintf(answerer->name, sizeof(answerer->name), "snowskin-relay-test-%d", (int)getpid());
	length = strlen(answerer->name);
	memcpy(address.sun_path + 1, answerer->name, length);
	answerer->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_EQ(bind(answerer->listener, (struct sockaddr *)&address,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)),
		 0);
	CHECK_EQ(listen(answerer->listener, 128), 0);
	CHECK_EQ(pthread_create(&answerer->thread, NULL, answer, answerer), 0);
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

/* A handshake with a mark in its text. */
static void frame(char *bytes, char mark)
{
	uint64_t length = FRAME_SIZE - 8;

	memset(bytes, ' ', FRAME_SIZE);
	memcpy(bytes, &length, sizeof(length));
	bytes[8] = 3;
	bytes[9] = '{';
	bytes[10] = mark;
	bytes[FRAME_SIZE - 1] = '}';
}

static void expect_echo(uint32_t port, size_t cut)
{
	char sent[FRAME_SIZE], received[FRAME_SIZE + 1];
	int fd = dial(port);

	frame(sent, 'a');
	CHECK_EQ(send(fd, sent, cut, 0), (ssize_t)cut);
	CHECK_EQ(send(fd, sent + cut, sizeof(sent) - cut, 0), (ssize_t)(sizeof(sent) - cut));
	CHECK_EQ(recv(fd, received, sizeof(received), MSG_WAITALL), FRAME_SIZE);
	CHECK_EQ(memcmp(sent, received, sizeof(sent)), 0);
	close(fd);
}

static void handshakes_and_requests_share_a_port(void)
{
	struct answerer answerer;
	struct pair pair;
	char bytes[FRAME_SIZE];
	int port, held, fd;

	answerer_start(&answerer);
	pair.server = open_engine();
	pair.client = open_engine();
	pair.remote_id = open_region(pair.server, MC_REGION_PUBLISHED, 1 << 20, &pair.remote);
	pair.local_id = open_region(pair.client, 0, 1 << 20, &pair.local);
	CHECK_EQ(mc_engine_answer_at(pair.server, ""), -EINVAL);
	CHECK_EQ(mc_engine_answer_at(pair.server, NULL), -EINVAL);
	CHECK_EQ(mc_engine_answer_at(pair.server, answerer.name), 0);
	port = mc_engine_listen(pair.server, "127.0.0.1", 0);
	CHECK(port > 0);
	CHECK_EQ(mc_engine_answer_at(pair.server, answerer.name), -EALREADY);
	pair.port = (uint32_t)port;
	pair.peer = open_peer(pair.client, pair.port, 2);
	for (int i = 0; i < ROUNDS; i++) {
		struct mc_op op = pair_op(&pair, i % 2 ? MC_OP_READ : MC_OP_WRITE, 3, 100);

		expect_echo(pair.port, 1 + (size_t)i % 40);
		CHECK_EQ(mc_submit(pair.client, &op, 1, 10000), 1);
		expect_results(pair.client, 1, 0);
	}
	/* One that is under way, and one whose answerer is gone, end with the engine at the latest. */
	held = dial(pair.port);
	frame(bytes, 'q');
	CHECK_EQ(send(held, bytes, sizeof(bytes), 0), FRAME_SIZE);
	CHECK_EQ(pthread_join(answerer.thread, NULL), 0);
	close(answerer.listener);
	fd = dial(pair.port);
	CHECK_EQ(send(fd, bytes, sizeof(bytes), 0), FRAME_SIZE);
	CHECK(recv(fd, bytes, sizeof(bytes), 0) <= 0);
	close(fd);
	pair_close(&pair);
	close(held);
}

void test_relay(void)
{
	handshakes_and_requests_share_a_port();
}
