// SPDX-License-Identifier: Apache-2.0
/* Answers of a session: a status, then bytes of a region, looked up again for each call. */
#define _GNU_SOURCE
#include "tcp_answers.h"

#include <string.h>
#include <sys/uio.h>

#include "../common.h"

static const struct tcp_status status_frames[] = {
	[TCP_STATUS_OK] = { TCP_STATUS_OK, TCP_STATUS_MAGIC },
	[TCP_STATUS_REFUSED] = { TCP_STATUS_REFUSED, TCP_STATUS_MAGIC },
};

void tcp_answers_add(struct tcp_session *session, bool acknowledged, uint8_t code,
		     uint64_t address, uint64_t length)
{
	uint32_t at = (session->answer_first + session->answer_count++) % TCP_ANSWERS_MAX;

	session->answers[at] = (struct tcp_answer){
		.address = address,
		.left = length,
		.status_left = acknowledged ? TCP_STATUS_SIZE : 0,
		.code = code,
	};
	session->answer_bytes += length;
}

/* Sends an answer whose bytes lie on a device. */
static int64_t send_staged(struct tcp_session *session, struct tcp_thread *thread,
			   const struct tcp_answer *answer, struct mc_place place, uint64_t size)
{
	struct mc_stage *stage = tcp_stage_for(thread, place);
	int64_t count;

	if (!stage)
		return TCP_IO_ERROR;
	count = mc_stage_send(stage, &session->stream,
			      (const uint8_t *)&status_frames[answer->code] + TCP_STATUS_SIZE -
				      answer->status_left,
			      answer->status_left, (uintptr_t)place.memory, size);
	if (count < 0)
		return count == -EAGAIN ? TCP_IO_WAIT : TCP_IO_ERROR;
	return count;
}

int64_t tcp_answers_send(struct tcp_session *session, struct tcp_thread *thread)
{
	struct mc_publisher *publisher = tcp_server_publisher(thread->server);
	struct iovec iov[2 * TCP_ANSWERS_MAX];
	struct msghdr message = { .msg_iov = iov };
	struct mc_published *published;
	uint64_t total = 0;
	bool gone = false;
	int64_t count;

	published = mc_reader_enter(publisher, &thread->reader);
	for (uint32_t i = 0; i < session->answer_count && total < TCP_CALL_BYTES; i++) {
		struct tcp_answer *answer =
			&session->answers[(session->answer_first + i) % TCP_ANSWERS_MAX];
		uint64_t part = mc_min(answer->left, TCP_CALL_BYTES);
		struct mc_place place = { NULL, NULL };

		if (answer->left) {
			place = mc_published_find(published, answer->address, answer->left);
			gone = !place.memory;
			if (gone)
				break;
		}
		if (place.device) {
			if (total)
				break;
			total = answer->status_left + part;
			count = send_staged(session, thread, answer, place, part);
			goto sent;
		}
		if (answer->status_left) {
			iov[message.msg_iovlen].iov_base =
				(uint8_t *)&status_frames[answer->code] + TCP_STATUS_SIZE -
				answer->status_left;
			iov[message.msg_iovlen++].iov_len = answer->status_left;
			total += answer->status_left;
		}
		if (answer->left) {
			iov[message.msg_iovlen].iov_base = place.memory;
			iov[message.msg_iovlen++].iov_len = part;
			total += part;
			if (part < answer->left)
				break;
		}
	}
	count = total ? tcp_io_result(mc_stream_send(&session->stream, &message)) : TCP_IO_ERROR;
sent:
	mc_reader_leave(&thread->reader);
	if (count < (int64_t)total)
		session->writable = false;
	/* A status has promised bytes that are gone: only closing tells the peer. */
	if (gone && count == (int64_t)total)
		return TCP_IO_ERROR;
	return count;
}

void tcp_answers_advance(struct tcp_session *session, struct tcp_thread *thread, uint64_t bytes)
{
	while (bytes > 0) {
		struct tcp_answer *answer = &session->answers[session->answer_first];
		uint64_t part = mc_min(bytes, answer->status_left);

		answer->status_left -= (uint8_t)part;
		bytes -= part;
		part = mc_min(bytes, answer->left);
		answer->address += part;
		answer->left -= part;
		bytes -= part;
		session->answer_bytes -= part;
		tcp_count(thread, TCP_READ_BYTES, part);
		if (answer->status_left || answer->left)
			return;
		session->answer_first = (session->answer_first + 1) % TCP_ANSWERS_MAX;
		session->answer_count--;
		thread->answered = true;
	}
}
