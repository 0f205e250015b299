// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pair.h"

/* Not for a race detector: peers that write the same bytes at once race by design. */

/* Seeded, so that a failure comes again; SEED of the environment replaces the seed. */
static uint64_t state;

static uint32_t draw(uint32_t limit)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state >> 16) % limit);
}

static void seed(void)
{
	const char *given = getenv("SEED");

	state = given ? strtoull(given, NULL, 10) : 20260917;
}

struct request {
	uint64_t size;
	uint64_t address;
	uint8_t opcode;
	uint8_t padding[7];
};

/* A request that is nearly right: each field is valid, at a border, or random. */
static struct request draw_request(const struct mc_region_info *region)
{
	const uint64_t sizes[] = {
		1, 100, 4096, 70000, region->length, region->length + 1, 0, UINT64_MAX, 1ull << 63,
	};
	struct request request = { .size = draw(9000) + 1 };

	if (draw(4) == 0)
		request.size = sizes[draw(sizeof(sizes) / sizeof(sizes[0]))];
	request.address = region->remote_base + draw((uint32_t)region->length);
	if (draw(8) == 0)
		request.address = region->remote_base + region->length - draw(3);
	if (draw(16) == 0)
		request.address = (uint64_t)draw(UINT32_MAX) << 32 | draw(UINT32_MAX);
	request.opcode = (uint8_t)(draw(2) | (draw(3) ? 0x80 : 0));
	if (draw(20) == 0)
		request.opcode = (uint8_t)draw(256);
	return request;
}

static int dial(uint32_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Sends what the socket takes and reads what comes, so that neither side gets stuck. */
static int push(int fd, const void *bytes, size_t size)
{
	const char *at = bytes;
	static char answer[65536];

	while (size > 0) {
		struct pollfd ready = { .fd = fd, .events = POLLIN | POLLOUT };
		ssize_t count;

		CHECK(poll(&ready, 1, 10000) > 0);
		if (ready.revents & (POLLIN | POLLHUP | POLLERR)) {
			if (recv(fd, answer, sizeof(answer), MSG_DONTWAIT) == 0)
				return -1;
		}
		count = send(fd, at, size, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (count < 0 && errno != EAGAIN)
			return -1;
		if (count > 0) {
			at += count;
			size -= (size_t)count;
		}
	}
	return 0;
}

static void a_server_takes_anything(void)
{
	static uint8_t body[200000];
	struct pair pair;
	struct mc_op op;

	pair_open(&pair, 1 << 20);
	for (int connection = 0; connection < 300; connection++) {
		int fd = dial(pair.port), requests = 1 + (int)draw(30);

		while (requests-- > 0) {
			struct request request = draw_request(&pair.remote);
			uint64_t sent = request.opcode & 1 ? request.size : 0;

			if (draw(10) == 0)
				sent = draw(sizeof(body));
			if (sent > sizeof(body))
				sent = sizeof(body);
			if (push(fd, &request, draw(30) ? sizeof(request) : draw(24)) < 0 ||
			    push(fd, body, sent) < 0)
				break;
		}
		if (draw(2))
			shutdown(fd, SHUT_WR);
		close(fd);
	}
	op = pair_op(&pair, MC_OP_READ, 0, 1 << 20);
	CHECK_EQ(mc_submit(pair.client, &op, 1, 5000), 1);
	expect_results(pair.client, 1, 0);
	pair_close(&pair);
}

/* Answers requests with statuses and bytes that are nearly right. */
static void *answer_badly(void *argument)
{
	static uint8_t bytes[70000];
	int listener = *(int *)argument;

	for (;;) {
		int fd = accept(listener, NULL, NULL), answers = 1 + (int)draw(8);

		if (fd < 0)
			return NULL;
		while (answers-- > 0) {
			uint32_t status[2] = { 0, 0x4d435456u };
			struct request request;

			if (recv(fd, &request, sizeof(request), MSG_WAITALL) != sizeof(request))
				break;
			if (draw(8) == 0)
				status[0] = draw(3);
			if (draw(12) == 0)
				status[1] ^= 1u << draw(32);
			if (push(fd, status, draw(10) ? 8 : draw(8)) < 0)
				break;
			if (!(request.opcode & 1) && request.size <= sizeof(bytes)) {
				uint64_t size = draw(6) ? request.size : draw(sizeof(bytes));

				if (push(fd, bytes, size) < 0)
					break;
			}
		}
		close(fd);
	}
}

static void a_client_takes_anything(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct mc_completion done[64];
	pthread_t answering;
	struct pair pair;
	uint32_t peer;

	pair_open(&pair, 1 << 20);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK_EQ(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_EQ(listen(listener, 64), 0);
	CHECK_EQ(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	pthread_create(&answering, NULL, answer_badly, &listener);
	peer = open_peer(pair.client, ntohs(address.sin_port), 2);

	for (int round = 0; round < 60; round++) {
		int count = 1 + round % 12, left = count;

		for (int i = 0; i < count; i++) {
			struct mc_op op = pair_op(&pair, MC_OP_READ, (uint64_t)i * 66000,
						  1 + (uint64_t)((round * 641 + i * 97) % 66000));

			op.peer = peer;
			CHECK_EQ(mc_submit(pair.client, &op, 1, 40), 1);
		}
		while (left > 0) {
			int got = mc_poll(pair.client, done, 64, 5000);

			CHECK(got > 0);
			for (int i = 0; i < got; i++)
				CHECK(done[i].result == 0 || done[i].result == -EFAULT ||
				      done[i].result == -ECONNRESET || done[i].result == -EPROTO ||
				      done[i].result == -ETIMEDOUT);
			left -= got;
		}
	}
	shutdown(listener, SHUT_RDWR);
	CHECK_EQ(mc_peer_close(pair.client, peer), 0);
	pthread_join(answering, NULL);
	close(listener);
	pair_close(&pair);
}

void test_fuzz(void)
{
	seed();
	a_server_takes_anything();
	a_client_takes_anything();
}
