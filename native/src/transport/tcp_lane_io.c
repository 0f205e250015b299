// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "../common.h"
#include "tcp_lane.h"

#define IOV_COUNT 64
/* Of one call into the kernel; and of one that receives what is summed, out of the cache it is in. */
#define CALL_BYTES (1u << 20)
#define SUM_BYTES (256u << 10)

/*
 * Some processors copy at a third of their speed when the destination lies up to 31 bytes
 * behind the source in its page. A socket puts a request or an answer at the start of a
 * page, so its body lies 24 or 8 bytes into one, while large blocks from malloc() start 16
 * bytes into one: such bodies go by way of a buffer with another alignment.
 */
#define COLLISION_BYTES 32u
#define COLLISION_MIN (16u << 10)
#define PAGE_MASK 4095u

bool tcp_lane_collides(const struct tcp_lane *lane, const struct mc_work *work)
{
	uint64_t memory = (uintptr_t)work->local, distance;

	if (work->length < COLLISION_MIN || mc_work_device(work))
		return false;
	if (work->opcode == MC_OP_WRITE)
		distance = TCP_HEADER_SIZE - memory;
	else
		distance = memory - (lane->link->acknowledged ? TCP_STATUS_SIZE : 0);
	distance &= PAGE_MASK;
	return distance > 0 && distance < COLLISION_BYTES;
}

/*
 * A peer that acknowledges nothing closes when it refuses a WRITE, and may be asked to READ
 * behind it on the same connection: the answer says that the WRITE was carried out.
 */
static bool needs_proof(const struct tcp_lane *lane, const struct mc_work *work)
{
	return !lane->link->acknowledged && work->opcode == MC_OP_WRITE;
}

/* Bytes of an answer in front of the body of a READ. */
static uint64_t lead_size(const struct tcp_lane *lane, const struct mc_work *work)
{
	if (lane->link->acknowledged)
		return TCP_STATUS_SIZE;
	return needs_proof(lane, work) ? 1 : 0;
}

static uint64_t message_size(const struct tcp_lane *lane, const struct mc_work *work)
{
	return TCP_HEADER_SIZE + (work->opcode == MC_OP_WRITE ? work->length : 0) +
	       (needs_proof(lane, work) ? TCP_HEADER_SIZE : 0);
}

static void advance_sending(struct tcp_lane *lane, uint64_t bytes)
{
	while (bytes > 0) {
		struct mc_work *work = lane->sending;
		uint64_t size = message_size(lane, work);
		uint64_t part = mc_min(bytes, size - lane->sent);

		lane->sent += part;
		bytes -= part;
		if (work->opcode == MC_OP_WRITE && lane->sent > TCP_HEADER_SIZE)
			mc_work_sum(work, mc_min(lane->sent - TCP_HEADER_SIZE, work->length));
		if (lane->sent < size)
			return;
		lane->sending = work->next;
		lane->sent = 0;
	}
}

/* What a call that sent said: count, or -errno. */
static void sent(struct tcp_lane *lane, int64_t count, uint64_t total, uint64_t *budget)
{
	if (count < 0) {
		if (count == -EAGAIN) {
			lane->writable = false;
		} else if (count != -EINTR) {
			lane->broken = (int)-count;
			lane->readable = true;
		}
		return;
	}
	if ((uint64_t)count < total)
		lane->writable = false;
	*budget -= mc_min(*budget, (uint64_t)count);
	advance_sending(lane, (uint64_t)count);
}

static bool is_staged(const struct mc_work *work, uint32_t opcode)
{
	return work->opcode == opcode && mc_work_device(work);
}

/* Sends a request whose bytes lie on a device. */
static void send_staged(struct tcp_lane *lane, uint64_t *budget)
{
	struct mc_work *work = lane->sending;
	struct mc_stage *stage =
		mc_stages_get(&lane->link->client->engine->stages, mc_work_device(work));
	uint64_t skip = mc_min(lane->sent, TCP_HEADER_SIZE);
	uint64_t from = lane->sent - skip, part = mc_min(work->length - from, CALL_BYTES);
	int64_t count = -EREMOTEIO;

	if (stage)
		count = mc_stage_send(stage, &lane->stream,
				      (const uint8_t *)&tcp_request(work)->header + skip,
				      TCP_HEADER_SIZE - skip, (uintptr_t)work->local + from, part);
	if (count == -EREMOTEIO)
		tcp_lane_device_failed(lane, work);
	else
		sent(lane, count, TCP_HEADER_SIZE - skip + part, budget);
}

/* One call with as many requests as it takes; one alone where it lies on a device. */
void tcp_lane_send(struct tcp_lane *lane, uint64_t *budget)
{
	struct iovec iov[IOV_COUNT];
	struct msghdr message = { .msg_iov = iov };
	uint64_t skip = lane->sent, total = 0;
	struct mc_work *work;

	if (!lane->sending) {
		sent(lane, mc_stream_flush(&lane->stream), 0, budget);
		return;
	}
	if (is_staged(lane->sending, MC_OP_WRITE) && skip < TCP_HEADER_SIZE + lane->sending->length) {
		send_staged(lane, budget);
		return;
	}
	for (work = lane->sending; work && message.msg_iovlen + 3 <= IOV_COUNT && total < CALL_BYTES;
	     work = work->next) {
		if (is_staged(work, MC_OP_WRITE) && skip < TCP_HEADER_SIZE + work->length)
			break;
		if (skip < TCP_HEADER_SIZE) {
			iov[message.msg_iovlen].iov_base =
				(uint8_t *)&tcp_request(work)->header + skip;
			iov[message.msg_iovlen++].iov_len = TCP_HEADER_SIZE - skip;
			total += TCP_HEADER_SIZE - skip;
			skip = TCP_HEADER_SIZE;
		}
		if (work->opcode == MC_OP_WRITE && skip < TCP_HEADER_SIZE + work->length) {
			uint64_t from = skip - TCP_HEADER_SIZE;
			uint64_t part = mc_min(work->length - from, CALL_BYTES);
			uint8_t *body = work->local + from;

			if (tcp_request(work)->bounced) {
				part = mc_min(part, TCP_BOUNCE_SIZE);
				body = memcpy(lane->link->client->bounce, body, part);
			}
			iov[message.msg_iovlen].iov_base = body;
			iov[message.msg_iovlen++].iov_len = part;
			total += part;
			if (from + part < work->length || tcp_request(work)->bounced)
				break;
			skip = TCP_HEADER_SIZE + work->length;
		}
		if (needs_proof(lane, work)) {
			skip -= TCP_HEADER_SIZE + work->length;
			iov[message.msg_iovlen].iov_base =
				(uint8_t *)&tcp_request(work)->proof + skip;
			iov[message.msg_iovlen++].iov_len = TCP_HEADER_SIZE - skip;
			total += TCP_HEADER_SIZE - skip;
		}
		skip = 0;
	}
	sent(lane, mc_stream_send(&lane->stream, &message), total, budget);
}

/* Is the header of work on its way, so that an answer may come? */
static bool is_asked(const struct tcp_lane *lane, const struct mc_work *work)
{
	return work != lane->sending || lane->sent >= TCP_HEADER_SIZE;
}

/* Only one body of a call can be received by way of the buffer; it is the last. */
static bool by_bounce(struct mc_work *work)
{
	return tcp_request(work)->bounced || tcp_request(work)->abandoned;
}

/* Lists where the next bytes of the answers belong, and whether that is all that may come. */
static int list_answers(struct tcp_lane *lane, struct iovec *iov, uint64_t *total, bool *all)
{
	uint64_t skip = lane->received;
	struct mc_work *work;
	int count = 0;

	*total = 0;
	*all = false;
	for (work = lane->queue.first; work && is_asked(lane, work); work = work->next) {
		const uint64_t lead = lead_size(lane, work);

		if (count + 2 > IOV_COUNT || *total >= CALL_BYTES)
			return count;
		if (skip < lead) {
			iov[count].iov_base = (uint8_t *)&tcp_request(work)->status + skip;
			iov[count++].iov_len = lead - skip;
			*total += lead - skip;
			skip = lead;
		}
		if (is_staged(work, MC_OP_READ))
			return count;
		if (work->opcode == MC_OP_READ) {
			uint64_t from = skip - lead;
			uint64_t part = mc_min(work->length - from,
					       work->sums ? SUM_BYTES : CALL_BYTES);

			iov[count].iov_base = work->local + from;
			if (by_bounce(work)) {
				iov[count].iov_base = lane->link->client->bounce;
				part = mc_min(part, TCP_BOUNCE_SIZE);
			}
			iov[count++].iov_len = part;
			*total += part;
			if (from + part < work->length || by_bounce(work))
				return count;
		}
		skip = 0;
	}
	*all = true;
	return count;
}

/* Looks at a whole status; false: the lane was closed. */
static bool accepted(struct tcp_lane *lane, const struct tcp_status *status)
{
	if (status->magic == TCP_STATUS_MAGIC && status->code == TCP_STATUS_OK)
		return true;
	if (status->magic == TCP_STATUS_MAGIC && status->code == TCP_STATUS_REFUSED)
		tcp_lane_refuse_first(lane);
	else
		tcp_lane_fail(lane, -EPROTO, 0);
	return false;
}

/* Accounts for received bytes; false: the lane was closed. */
static bool advance_receiving(struct tcp_lane *lane, uint64_t bytes)
{
	while (bytes > 0) {
		struct mc_work *work = lane->queue.first;
		const uint64_t lead = lead_size(lane, work);
		struct tcp_status *status = &tcp_request(work)->status;
		uint64_t part;

		if (lane->received < lead) {
			part = mc_min(bytes, lead - lane->received);
			lane->received += part;
			bytes -= part;
			if (lane->received < lead)
				return true;
			if (lane->link->acknowledged && !accepted(lane, status))
				return false;
		}
		if (work->opcode == MC_OP_READ) {
			part = mc_min(bytes, lead + work->length - lane->received);
			if (tcp_request(work)->bounced && !tcp_request(work)->abandoned)
				mc_work_store(work, lane->received - lead,
					      lane->link->client->bounce, part);
			lane->received += part;
			bytes -= part;
			mc_work_sum(work, lane->received - lead);
			if (lane->received < lead + work->length)
				return true;
		} else if (work == lane->sending) {
			tcp_lane_fail(lane, -EPROTO, 0); /* acknowledged before it was sent */
			return false;
		}
		tcp_lane_finish_first(lane, 0);
	}
	return true;
}

/* A call that received said count: 0 or -errno, or bytes that nobody asked for. */
static void fail_receiving(struct tcp_lane *lane, int64_t count)
{
	int detail = count < 0 ? (int)-count : 0;

	if (count > 0)
		tcp_lane_fail(lane, -EPROTO, 0);
	else
		tcp_lane_fail(lane, -ECONNRESET, lane->broken ? lane->broken : detail);
}

/* Nothing is expected: the peer has closed, or it is not one of ours. */
void tcp_lane_check(struct tcp_lane *lane)
{
	uint8_t byte;
	int64_t count = mc_stream_receive_into(&lane->stream, &byte, 1, true);

	lane->readable = false;
	if ((count == -EAGAIN || count == -EINTR) && !lane->broken)
		return;
	fail_receiving(lane, count);
}

/*
 * What a call that received said: count, or -errno. It asked for total bytes, and with surplus for
 * one more that nobody may send.
 */
static void received(struct tcp_lane *lane, int64_t count, uint64_t total, bool surplus,
		     uint64_t *budget)
{
	if (count == -EINTR)
		return;
	if (count == -EAGAIN && !lane->broken) {
		lane->readable = false;
		return;
	}
	if (count <= 0) {
		fail_receiving(lane, count);
		return;
	}
	if ((uint64_t)count < total + surplus)
		lane->readable = lane->hung_up || lane->broken || mc_stream_ended(&lane->stream);
	*budget -= mc_min(*budget, (uint64_t)count);
	if (advance_receiving(lane, mc_min((uint64_t)count, total)) && (uint64_t)count > total)
		tcp_lane_fail(lane, -EPROTO, 0);
}

/* The first answer's bytes are next, and belong on a device. */
static bool wants_staged(const struct tcp_lane *lane)
{
	const struct mc_work *work = lane->queue.first;

	return work && is_asked(lane, work) && is_staged(work, MC_OP_READ) &&
	       lane->received >= lead_size(lane, work);
}

static void receive_staged(struct tcp_lane *lane, uint64_t *budget)
{
	struct mc_work *work = lane->queue.first;
	struct mc_stage *stage =
		mc_stages_get(&lane->link->client->engine->stages, mc_work_device(work));
	uint64_t from = lane->received - lead_size(lane, work);
	uint64_t part = mc_min(work->length - from, CALL_BYTES);
	int64_t count = -EREMOTEIO;

	if (stage)
		count = mc_stage_receive(stage, &lane->stream, (uintptr_t)work->local + from, part);
	if (count == -EREMOTEIO) {
		tcp_lane_device_failed(lane, work);
		return;
	}
	received(lane, count, part, false, budget);
}

/* One call of recvmsg into the memory of as many requests as there are answers. */
void tcp_lane_receive(struct tcp_lane *lane, uint64_t *budget)
{
	struct iovec iov[IOV_COUNT + 1];
	struct msghdr message = { .msg_iov = iov };
	uint8_t surplus;
	uint64_t total;
	bool all;

	if (wants_staged(lane)) {
		receive_staged(lane, budget);
		return;
	}
	message.msg_iovlen = (size_t)list_answers(lane, iov, &total, &all);
	if (total == 0) {
		tcp_lane_check(lane);
		return;
	}
	if (all) {
		iov[message.msg_iovlen].iov_base = &surplus;
		iov[message.msg_iovlen++].iov_len = 1;
	}
	received(lane, mc_stream_receive(&lane->stream, &message), total, all, budget);
}
