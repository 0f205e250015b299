// SPDX-License-Identifier: Apache-2.0
/*
 * Reads over loopback with the calls that the shim makes (epoll, sendmsg, recvmsg) and with
 * io_uring (linked SENDMSG and RECVMSG, one system call for a batch), in every pairing of the
 * two. Not the shim itself: a client and a server with its framing and its limits for a call,
 * and nothing else, so that only the way into the kernel differs.
 *
 *     io_uring_probe CLIENT SERVER COUNT BYTES ROUNDS      (CLIENT and SERVER: epoll or uring)
 *
 * Prints the median of a batch and the processor time of both sides for it, in microseconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HEADER 24
#define STATUS 8
#define IOV_MAX_CALL 64
#define ENTRIES 64
#define MARK (256 << 10)

static void die(const char *what)
{
	perror(what);
	exit(1);
}

struct ring {
	int fd;
	uint32_t *sq_head, *sq_tail, *sq_mask, *sq_array;
	uint32_t *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	uint32_t queued;
};

static void ring_open(struct ring *ring)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	};
	size_t size;
	uint8_t *map;

	ring->fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &params);
	if (ring->fd < 0)
		die("io_uring_setup");
	size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
		   IORING_OFF_SQ_RING);
	ring->sqes = mmap(NULL, params.sq_entries * sizeof(*ring->sqes), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQES);
	if (map == MAP_FAILED || ring->sqes == MAP_FAILED)
		die("mmap");
	ring->sq_head = (uint32_t *)(map + params.sq_off.head);
	ring->sq_tail = (uint32_t *)(map + params.sq_off.tail);
	ring->sq_mask = (uint32_t *)(map + params.sq_off.ring_mask);
	ring->sq_array = (uint32_t *)(map + params.sq_off.array);
	ring->cq_head = (uint32_t *)(map + params.cq_off.head);
	ring->cq_tail = (uint32_t *)(map + params.cq_off.tail);
	ring->cq_mask = (uint32_t *)(map + params.cq_off.ring_mask);
	ring->cqes = (struct io_uring_cqe *)(map + params.cq_off.cqes);
	ring->queued = 0;
}

static void ring_add(struct ring *ring, uint8_t opcode, int fd, const struct msghdr *message)
{
	uint32_t tail = *ring->sq_tail, at = tail & *ring->sq_mask;

	ring->sqes[at] = (struct io_uring_sqe){
		.opcode = opcode,
		.fd = fd,
		.addr = (uintptr_t)message,
		.len = 1,
		.msg_flags = MSG_WAITALL | MSG_NOSIGNAL,
		.flags = IOSQE_IO_LINK,
	};
	ring->sq_array[at] = at;
	__atomic_store_n(ring->sq_tail, tail + 1, __ATOMIC_RELEASE);
	ring->queued++;
}

/* Runs what was added, one after the other, and checks that each moved all of its bytes. */
static void ring_run(struct ring *ring, uint64_t expected)
{
	uint32_t count = ring->queued, seen = 0, head;
	uint64_t moved = 0;

	ring->sqes[(*ring->sq_tail - 1) & *ring->sq_mask].flags = 0;
	while (seen < count) {
		int got = (int)syscall(SYS_io_uring_enter, ring->fd, ring->queued, count - seen,
				       IORING_ENTER_GETEVENTS, NULL, 0);

		if (got < 0 && errno != EINTR)
			die("io_uring_enter");
		if (got > 0)
			ring->queued -= (uint32_t)got;
		head = *ring->cq_head;
		for (; head != __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE); head++, seen++) {
			int result = ring->cqes[head & *ring->cq_mask].res;

			if (result <= 0)
				exit(3); /* the peer has gone */
			moved += (uint64_t)result;
		}
		__atomic_store_n(ring->cq_head, head, __ATOMIC_RELEASE);
	}
	if (moved != expected)
		exit(2);
}

/* One side of the connection: what it sends and receives in a round, as lists of memory. */
struct side {
	int fd, epoll_fd;
	int uring;
	struct ring ring;
	struct iovec *out, *in;
	int out_count, in_count;
	uint64_t out_bytes, in_bytes;
};

static void wait_for(struct side *side)
{
	struct epoll_event event;

	if (epoll_wait(side->epoll_fd, &event, 1, -1) < 0 && errno != EINTR)
		die("epoll_wait");
}

static void set_mark(struct side *side, uint64_t left)
{
	int mark = left >= MARK ? MARK : (int)left;

	setsockopt(side->fd, SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof(mark));
}

/* Moves a list with at most IOV_MAX_CALL of it in a call. */
static void move(struct side *side, const struct iovec *list, int count, uint64_t total,
		 int sending)
{
	uint64_t done = 0;
	int marks = !sending && total >= (384 << 10);

	while (done < total) {
		struct iovec part[IOV_MAX_CALL];
		struct msghdr message = { .msg_iov = part };
		uint64_t skip = done;
		ssize_t moved;

		for (int i = 0; i < count && message.msg_iovlen < IOV_MAX_CALL; i++) {
			if (skip >= list[i].iov_len) {
				skip -= list[i].iov_len;
				continue;
			}
			part[message.msg_iovlen].iov_base = (uint8_t *)list[i].iov_base + skip;
			part[message.msg_iovlen++].iov_len = list[i].iov_len - skip;
			skip = 0;
		}
		moved = sending ? sendmsg(side->fd, &message, MSG_NOSIGNAL) :
				  recvmsg(side->fd, &message, 0);
		if (moved == 0 || (moved < 0 && errno != EAGAIN && errno != EINTR))
			exit(3);
		if (moved > 0) {
			done += (uint64_t)moved;
			continue;
		}
		if (marks)
			set_mark(side, total - done);
		wait_for(side);
	}
	if (marks)
		set_mark(side, 1);
}

static void queue(struct side *side, uint8_t opcode, struct iovec *list, int count,
		  struct msghdr *messages, int *used)
{
	for (int at = 0; at < count; at += IOV_MAX_CALL) {
		struct msghdr *message = &messages[(*used)++];

		*message = (struct msghdr){
			.msg_iov = list + at,
			.msg_iovlen = (size_t)(count - at < IOV_MAX_CALL ? count - at : IOV_MAX_CALL),
		};
		ring_add(&side->ring, opcode, side->fd, message);
	}
}

/* A client's round is send, receive; a server's receive, send. */
static void round_trip(struct side *side, int server)
{
	struct msghdr messages[ENTRIES];
	int used = 0;

	if (!side->uring) {
		for (int i = 0; i < 2; i++) {
			if (i == server)
				move(side, side->out, side->out_count, side->out_bytes, 1);
			else
				move(side, side->in, side->in_count, side->in_bytes, 0);
		}
		return;
	}
	for (int i = 0; i < 2; i++) {
		if (i == server)
			queue(side, IORING_OP_SENDMSG, side->out, side->out_count, messages, &used);
		else
			queue(side, IORING_OP_RECVMSG, side->in, side->in_count, messages, &used);
	}
	ring_run(&side->ring, side->out_bytes + side->in_bytes);
}

static struct iovec *list_of(int count, const uint64_t *sizes, int kinds, uint64_t *total)
{
	struct iovec *list = calloc((size_t)(count * kinds), sizeof(*list));

	*total = 0;
	for (int i = 0; i < count * kinds; i++) {
		list[i].iov_len = sizes[i % kinds];
		list[i].iov_base = (uint8_t *)malloc(list[i].iov_len + 4096) + 2064;
		memset(list[i].iov_base, i, list[i].iov_len);
		*total += list[i].iov_len;
	}
	return list;
}

static void side_open(struct side *side, int fd, int uring, int server, int count, uint64_t bytes)
{
	const uint64_t ask[] = { HEADER }, answer[] = { STATUS, bytes };
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
	const int on = 1;

	memset(side, 0, sizeof(*side));
	side->fd = fd;
	side->uring = uring;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
	if (uring) {
		ring_open(&side->ring);
	} else {
		if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
			die("fcntl");
		side->epoll_fd = epoll_create1(0);
		epoll_ctl(side->epoll_fd, EPOLL_CTL_ADD, fd, &event);
	}
	side->out_count = server ? 2 * count : count;
	side->in_count = server ? count : 2 * count;
	side->out = list_of(count, server ? answer : ask, server ? 2 : 1, &side->out_bytes);
	side->in = list_of(count, server ? ask : answer, server ? 1 : 2, &side->in_bytes);
}

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static double cpu_us(int who)
{
	struct rusage use;

	getrusage(who, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

static int ascending(const void *a, const void *b)
{
	return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	struct side side;
	double *times, before;
	int listener, count, rounds, fd;
	uint64_t bytes;

	if (argc != 6)
		return 64;
	count = atoi(argv[3]);
	bytes = strtoull(argv[4], NULL, 10);
	rounds = atoi(argv[5]);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 1) < 0 || getsockname(listener, (struct sockaddr *)&address, &length) < 0)
		die("listen");
	if (fork() == 0) {
		side_open(&side, accept(listener, NULL, NULL), !strcmp(argv[2], "uring"), 1, count,
			  bytes);
		for (;;)
			round_trip(&side, 1);
	}
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("connect");
	side_open(&side, fd, !strcmp(argv[1], "uring"), 0, count, bytes);
	times = calloc((size_t)rounds, sizeof(*times));
	for (int i = 0; i < rounds / 10 + 1; i++)
		round_trip(&side, 0);
	before = cpu_us(RUSAGE_SELF);
	for (int i = 0; i < rounds; i++) {
		double begun = now_us();

		round_trip(&side, 0);
		times[i] = now_us() - begun;
	}
	before = cpu_us(RUSAGE_SELF) - before;
	qsort(times, (size_t)rounds, sizeof(*times), ascending);
	shutdown(fd, SHUT_RDWR);
	close(fd);
	while (wait(NULL) < 0 && errno == EINTR)
		;
	printf("%.1f %.1f %.1f\n", times[rounds / 2], before / rounds,
	       cpu_us(RUSAGE_CHILDREN) / (rounds * 1.1));
	return 0;
}
