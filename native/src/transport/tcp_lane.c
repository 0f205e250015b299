// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "tcp_lane.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../common.h"

/* Of one lane before the next has its turn. */
#define TURN_BYTES (512u << 10)
/* The answers to requests of more bytes in all take too long to be looked for. */
#define SPIN_BYTES (128u << 10)

void tcp_lane_set_ready(struct tcp_lane *lane)
{
	if (mc_list_empty(&lane->ready))
		mc_list_append(&lane->link->client->ready, &lane->ready);
}

static void on_event(struct mc_watch *watch, uint32_t events)
{
	struct tcp_lane *lane = mc_container_of(watch, struct tcp_lane, watch);

	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		lane->hung_up = true;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		lane->readable = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		lane->writable = true;
	tcp_lane_set_ready(lane);
}

struct tcp_lane *tcp_lane_new(struct tcp_link *link)
{
	struct tcp_lane *lane = calloc(1, sizeof(*lane));

	if (!lane)
		return NULL;
	mc_list_init(&lane->ready);
	lane->watch.ready = on_event;
	lane->link = link;
	lane->stream.fd = -1;
	return lane;
}

static void lane_close(struct tcp_lane *lane)
{
	if (lane->state == LANE_CLOSED)
		return;
	mc_watch_remove(lane->link->client->engine, &lane->watch);
	mc_stream_close(&lane->stream);
	mc_list_remove(&lane->ready);
	lane->state = LANE_CLOSED;
	lane->readable = false;
	lane->writable = false;
	lane->hung_up = false;
	lane->broken = 0;
}

void tcp_lane_free(struct tcp_lane *lane)
{
	lane_close(lane);
	free(lane);
}

static int lane_open(struct tcp_lane *lane)
{
	struct tcp_link *link = lane->link;
	struct mc_engine *engine = link->client->engine;
	int fd, err;

	fd = tcp_socket(link->address.ss_family);
	if (fd < 0)
		return fd;
	err = mc_watch_add(engine, &lane->watch, fd);
	if (err) {
		close(fd);
		return err;
	}
	lane->stream.fd = fd;
	lane->mark = 1;
	lane->state = LANE_CONNECTING;
	lane->connect_deadline = engine->now + link->client->connect_timeout;
	if (connect(fd, (struct sockaddr *)&link->address, link->address_length) < 0 &&
	    errno != EINPROGRESS) {
		err = -errno;
		lane_close(lane);
		return err;
	}
	mc_engine_deadline(engine, lane->connect_deadline);
	return 0;
}

/* What a request weighs in the choice of a lane. */
static uint64_t weight(const struct mc_work *work)
{
	return work->length + TCP_HEADER_SIZE;
}

int tcp_lane_push(struct tcp_lane *lane, struct mc_work *work)
{
	struct tcp_request *request = tcp_request(work);
	int err;

	if (lane->state == LANE_CLOSED) {
		err = lane_open(lane);
		if (err)
			return err;
	}
	*request = (struct tcp_request){
		.header.size = work->length,
		.header.address = work->remote,
		.header.opcode = (uint8_t)work->opcode |
				 (lane->link->acknowledged ? TCP_ACKNOWLEDGED : 0),
		.proof.size = 1,
		.proof.address = work->remote,
		.proof.opcode = MC_OP_READ,
		.bounced = tcp_lane_collides(lane, work),
	};
	mc_work_sum_anew(work);
	mc_queue_push(&lane->queue, work);
	lane->queued_bytes += weight(work);
	if (!lane->sending) {
		lane->sending = work;
		lane->sent = 0;
	}
	if (lane->state == LANE_OPEN)
		tcp_lane_set_ready(lane);
	return 0;
}

/* Detaches the queue and forgets all progress on it. */
static struct mc_work_queue take_queue(struct tcp_lane *lane)
{
	struct mc_work_queue queue = lane->queue;

	lane->queue.first = NULL;
	lane->sending = NULL;
	lane->sent = 0;
	lane->received = 0;
	lane->queued_bytes = 0;
	return queue;
}

/* Closes the connection; one work, if any, fails with another result than the rest. */
static void lane_break(struct tcp_lane *lane, struct mc_work *cause, int cause_result, int result,
		       int detail)
{
	struct mc_engine *engine = lane->link->client->engine;
	struct mc_work_queue queue = take_queue(lane);
	struct mc_work *work;

	lane_close(lane);
	while ((work = mc_queue_pop(&queue))) {
		if (tcp_request(work)->abandoned)
			mc_work_free(engine, work);
		else
			mc_work_finish(engine, work, work == cause ? cause_result : result, detail);
	}
}

void tcp_lane_fail(struct tcp_lane *lane, int result, int detail)
{
	lane_break(lane, NULL, 0, result, detail);
}

void tcp_lane_device_failed(struct tcp_lane *lane, struct mc_work *work)
{
	lane_break(lane, work, -EREMOTEIO, -ECONNRESET, 0);
}

void tcp_lane_finish_first(struct tcp_lane *lane, int result)
{
	struct mc_engine *engine = lane->link->client->engine;
	struct mc_work *work = mc_queue_pop(&lane->queue);

	lane->queued_bytes -= weight(work);
	lane->received = 0;
	if (tcp_request(work)->abandoned)
		mc_work_free(engine, work);
	else
		mc_work_finish(engine, work, result, 0);
}

void tcp_lane_refuse_first(struct tcp_lane *lane)
{
	struct tcp_client *client = lane->link->client;
	struct mc_work_queue queue;
	struct mc_work *work;

	tcp_lane_finish_first(lane, -EFAULT);
	queue = take_queue(lane);
	lane_close(lane);
	while ((work = mc_queue_pop(&queue))) {
		if (tcp_request(work)->abandoned)
			mc_work_free(client->engine, work);
		else
			tcp_client_submit(client, work);
	}
}

static void finish_connecting(struct tcp_lane *lane)
{
	socklen_t length = sizeof(int);
	int err = 0;

	if (!lane->writable)
		return;
	if (getsockopt(lane->stream.fd, SOL_SOCKET, SO_ERROR, &err, &length) < 0)
		err = errno;
	if (!err)
		err = -mc_stream_secure(&lane->stream, lane->link->client->engine->tls,
					lane->link->server_name);
	if (err) {
		tcp_lane_fail(lane, -EHOSTUNREACH, err);
		return;
	}
	tcp_tune_connected(lane->stream.fd);
	lane->state = lane->stream.tls ? LANE_SECURING : LANE_OPEN;
	atomic_fetch_add(&lane->link->client->connects, 1);
}

static void go_on_securing(struct tcp_lane *lane)
{
	int err = mc_tls_connection_begin(lane->stream.tls);

	if (err == -EAGAIN)
		return;
	if (err) {
		tcp_lane_fail(lane, -EHOSTUNREACH, -err);
		return;
	}
	lane->state = LANE_OPEN;
	lane->readable = true; /* what came behind the handshake may have been read with it */
}

static bool can_send(const struct tcp_lane *lane)
{
	return lane->writable && (lane->sending || mc_stream_owes(&lane->stream)) && !lane->broken;
}

/* Bytes that the first answer still lacks, if it is a READ's. */
static uint64_t missing_body(const struct tcp_lane *lane)
{
	const struct mc_work *work = lane->queue.first;

	if (!work || work->opcode != MC_OP_READ)
		return 0;
	return work->length + (lane->link->acknowledged ? TCP_STATUS_SIZE : 0) - lane->received;
}

bool tcp_lane_run(struct tcp_lane *lane, uint64_t *budget)
{
	uint64_t turn = mc_min(*budget, TURN_BYTES);
	const uint64_t granted = turn;

	if (lane->state == LANE_CONNECTING)
		finish_connecting(lane);
	if (lane->state == LANE_SECURING)
		go_on_securing(lane);
	lane->active = lane->link->client->engine->now;
	while (turn > 0 && lane->state == LANE_OPEN && (can_send(lane) || lane->readable)) {
		if (can_send(lane))
			tcp_lane_send(lane, &turn);
		if (lane->state == LANE_OPEN && lane->readable)
			tcp_lane_receive(lane, &turn);
	}
	/* With TLS part of the body may have left the socket, so that its rest would wait for ever. */
	if (lane->state == LANE_OPEN && !lane->readable && !lane->stream.tls)
		tcp_set_mark(lane->stream.fd, missing_body(lane), &lane->mark);
	*budget -= granted - turn;
	if (lane->state == LANE_OPEN && lane->queue.first && !lane->sending &&
	    lane->queued_bytes <= SPIN_BYTES)
		lane->link->client->engine->spin = &lane->link->spin;
	return lane->state == LANE_OPEN && (can_send(lane) || lane->readable);
}

/*
 * Ends overdue work whose header has left: its memory is its caller's again, so a blank
 * takes its place in the queue. Returns the blank, or NULL when that cannot be done.
 */
static struct mc_work *abandon(struct tcp_lane *lane, struct mc_work *work, struct mc_work *before)
{
	struct mc_engine *engine = lane->link->client->engine;
	struct mc_work *blank;

	if (work == lane->sending && work->opcode == MC_OP_WRITE)
		return NULL;
	blank = mc_work_alloc(engine);
	if (!blank)
		return NULL;
	*blank = *work;
	blank->region = NULL;
	blank->local = NULL;
	blank->sums = false;
	tcp_request(blank)->abandoned = true;
	if (before)
		before->next = blank;
	else
		lane->queue.first = blank;
	if (lane->queue.last == work)
		lane->queue.last = blank;
	if (lane->sending == work)
		lane->sending = blank;
	mc_work_finish(engine, work, -ETIMEDOUT, 0);
	return blank;
}

int64_t tcp_lane_expire(struct tcp_lane *lane, int64_t now)
{
	struct mc_engine *engine = lane->link->client->engine;
	struct mc_work *work, *following, *before = NULL;
	int64_t next = MC_NEVER;
	bool has_left = true, wanted = false;

	if (lane->state == LANE_CONNECTING || lane->state == LANE_SECURING) {
		if (now >= lane->connect_deadline) {
			tcp_lane_fail(lane, -EHOSTUNREACH, ETIMEDOUT);
			return MC_NEVER;
		}
		next = lane->connect_deadline;
	}
	for (work = lane->queue.first; work; work = following) {
		following = work->next;
		if (work == lane->sending)
			has_left = lane->sent > 0;
		else if (before && before == lane->sending)
			has_left = false;
		if (tcp_request(work)->abandoned || work->deadline > now) {
			if (!tcp_request(work)->abandoned) {
				next = mc_earlier(next, work->deadline);
				wanted = true;
			}
			before = work;
			continue;
		}
		if (has_left) {
			before = abandon(lane, work, before);
			if (before)
				continue;
			lane_break(lane, work, -ETIMEDOUT, -ECONNRESET, 0);
			return MC_NEVER;
		}
		mc_queue_remove_after(&lane->queue, before);
		lane->queued_bytes -= weight(work);
		if (lane->sending == work)
			lane->sending = following;
		mc_work_finish(engine, work, -ETIMEDOUT, 0);
	}
	if (lane->queue.first && !wanted)
		tcp_lane_fail(lane, -ECONNRESET, 0);
	return next;
}
